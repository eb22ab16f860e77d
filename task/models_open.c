/* task/models_open.c - a model of a contract, found and opened. */
#include "task/models.h"

#include <string.h>

#include "base/mem.h"

int models_open(const contract *c, const char *name, unsigned n_threads, lm **ret_lm,
                st_err *err)
{
    const lm_opts opts = {.engine = {.n_threads = n_threads, .kv_best = true},
                          .int8 = true};
    char *path;
    lm *l;
    int rc = models_find(name, c->path, &path, err);
    if (rc)
        return rc;
    rc = lm_open(path, &opts, &l, err);
    st_free(path);
    if (rc)
        return rc;
    if (strncmp(name, "sha256:", 7) == 0 && strcmp(name + 7, l->digest)) {
        rc = st_err_set(err, ST_EMISMATCH, "%s: has digest %s; expected %s", l->path,
                        l->digest, name + 7);
        lm_close(l);
        return rc;
    }
    *ret_lm = l;
    return 0;
}
