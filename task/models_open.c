/* task/models_open.c - a model of a contract, found and opened, or borrowed. */
#include "task/models.h"

#include <string.h>

#include "base/mem.h"

static int open_own(const contract *c, const char *name, unsigned n_threads, lm **ret_lm,
                    st_err *err)
{
    const lm_opts opts = {.engine = {.n_threads = n_threads, .kv_best = true},
                          .int8 = true};
    char *path;
    int rc = models_find(name, c->path, &path, err);
    if (rc)
        return rc;
    rc = lm_open(path, &opts, ret_lm, err);
    st_free(path);
    return rc;
}

int models_open(const model_source *source, const contract *c, const char *name,
                unsigned n_threads, lm **ret_lm, st_err *err)
{
    lm *l;
    int rc = source ? source->open(source->arg, c, name, &l, err)
                    : open_own(c, name, n_threads, &l, err);
    if (rc)
        return rc;
    if (strncmp(name, "sha256:", 7) == 0 && strcmp(name + 7, l->digest)) {
        rc = st_err_set(err, ST_EMISMATCH, "%s: has digest %s; expected %s", l->path,
                        l->digest, name + 7);
        models_close(source, l);
        return rc;
    }
    *ret_lm = l;
    return 0;
}

void models_close(const model_source *source, lm *l)
{
    if (l && source)
        source->close(source->arg, l);
    else
        lm_close(l);
}
