/* cli/open.c - from options to an open model. */
#include "cli/open.h"

#include "base/mem.h"
#include "task/models.h"
#include <string.h>

int cli_engine_opts(const cli_args *args, engine_opts *ret_opts, st_err *err)
{
    const char *kv = cli_get(args, "kv");
    uint64_t ctx;
    int rc = cli_u64(args, "ctx", 0, 1, 1 << 24, &ctx, err);
    if (rc < 0)
        return rc;
    if (kv && strcmp(kv, "f32") != 0 && strcmp(kv, "f16") != 0 && strcmp(kv, "q8") != 0)
        return st_err_set(err, ST_EINVAL, "--kv takes f32, f16 or q8, not '%s'", kv);
    *ret_opts = (engine_opts){
        .n_ctx = (uint32_t)ctx,
        .kv_type = !kv || strcmp(kv, "q8") == 0 ? ST_Q8_0
                   : strcmp(kv, "f16") == 0     ? ST_F16
                                                : ST_F32,
        .kv_best = !kv,
    };
    return 0;
}

int cli_open_model_with(const cli_args *args, const lm_opts *opts, lm **ret_lm,
                        st_err *err)
{
    const char *name;
    char *path = NULL;
    int rc = cli_need(args, "model", &name, err);
    if (rc == 0)
        rc = models_find(name, "", &path, err);
    if (rc == 0)
        rc = lm_open(path, opts, ret_lm, err);
    st_free(path);
    return rc;
}

int cli_open_model(const cli_args *args, lm **ret_lm, st_err *err)
{
    uint64_t threads;
    lm_opts opts = {0};
    int rc = cli_u64(args, "threads", 0, 1, 256, &threads, err);
    if (rc == 0)
        rc = cli_engine_opts(args, &opts.engine, err);
    if (rc < 0)
        return rc;
    opts.engine.n_threads = (unsigned)threads;
    return cli_open_model_with(args, &opts, ret_lm, err);
}
