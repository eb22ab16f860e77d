/* cli/open.c - from options to an open model. */
#include "cli/open.h"

#include "base/mem.h"
#include "task/models.h"
#include <string.h>

int cli_open_model(const cli_args *args, lm **ret_lm, st_err *err)
{
    const char *name, *kv = cli_get(args, "kv");
    char *path = NULL;
    uint64_t threads, ctx;
    int rc = cli_need(args, "model", &name, err);
    if (rc < 0 || (rc = cli_u64(args, "threads", 0, 1, 256, &threads, err)) < 0 ||
        (rc = cli_u64(args, "ctx", 0, 1, 1 << 24, &ctx, err)) < 0)
        return rc;
    if (kv && strcmp(kv, "f32") != 0 && strcmp(kv, "f16") != 0)
        return st_err_set(err, ST_EINVAL, "--kv takes f32 or f16, not '%s'", kv);
    engine_opts opts = {
        .n_threads = (unsigned)threads,
        .n_ctx = (uint32_t)ctx,
        .kv_type = kv && strcmp(kv, "f16") == 0 ? ST_F16 : ST_F32,
    };
    rc = models_find(name, "", &path, err);
    if (rc == 0)
        rc = lm_open(path, &(lm_opts){.engine = opts}, ret_lm, err);
    st_free(path);
    return rc;
}
