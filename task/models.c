/* task/models.c - names of models to files. */
#include "task/models.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

enum { MAX_PATH = 4096 };

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool is_path(const char *name)
{
    size_t len = strlen(name);
    return strchr(name, '/') || (len > 5 && strcmp(name + len - 5, ".gguf") == 0);
}

static int find_path(const char *name, const char *contract_path, char **ret_path,
                     st_err *err)
{
    char *path = st_path_beside(contract_path, name);
    if (!path)
        return st_err_set(err, ST_ENOMEM, "model '%s': out of memory", name);
    if (is_file(path)) {
        *ret_path = path;
        return 0;
    }
    st_err_set(err, ST_ENOTFOUND, "model '%s': there is no file %s", name, path);
    st_err_hint(err, "a path is relative to the contract; a bare name is looked up in "
                     "$STINT_MODELS");
    st_free(path);
    return ST_ENOTFOUND;
}

/* The i-th folder to look in, into `folder`; false when it is not set, *ret_end past the
 * last one. */
static bool model_folder(unsigned i, st_buf *folder, bool *ret_end)
{
    static const struct {
        const char *variable;
        const char *below;
    } places[] = {{"STINT_MODELS", ""},
                  {"XDG_CACHE_HOME", "/stint/models"},
                  {"HOME", "/.cache/stint/models"}};
    *ret_end = i >= ST_COUNT(places);
    if (*ret_end)
        return false;
    const char *base = getenv(places[i].variable);
    if (!base || !base[0])
        return false;
    st_buf_reset(folder);
    (void)st_buf_str(folder, base);
    (void)st_buf_str(folder, places[i].below);
    return true;
}

/* Look in one folder for the file names that `name` may have: NAME.gguf, or the three of
 * a digest. */
static bool find_in(const char *folder, const char *name, st_buf *path)
{
    bool digest = strncmp(name, "sha256:", 7) == 0;
    for (size_t i = 0; i < (digest ? 3u : 1u); i++) {
        st_buf_reset(path);
        (void)st_buf_str(path, folder);
        (void)st_buf_str(path, digest && i < 2 ? "/sha256-" : "/");
        (void)st_buf_str(path, digest ? name + 7 : name);
        (void)st_buf_str(path, digest && i == 0 ? "" : ".gguf");
        if (path->code == 0 && is_file(path->data))
            return true;
    }
    return false;
}

int models_find(const char *name, const char *contract_path, char **ret_path, st_err *err)
{
    st_buf folder;
    st_buf path;
    st_buf looked;
    bool end = false;
    int rc = ST_ENOTFOUND;
    if (is_path(name))
        return find_path(name, contract_path, ret_path, err);
    st_buf_init(&folder, MAX_PATH);
    st_buf_init(&path, MAX_PATH);
    st_buf_init(&looked, MAX_PATH);
    for (unsigned i = 0; rc == ST_ENOTFOUND && !end; i++) {
        if (!model_folder(i, &folder, &end))
            continue;
        if (folder.code == 0 && find_in(folder.data, name, &path)) {
            *ret_path = st_buf_detach(&path, NULL);
            rc = *ret_path ? 0 : ST_ENOMEM;
        }
        (void)st_buf_fmt(&looked, "%s%s", looked.len ? ", " : "",
                         folder.code ? "?" : folder.data);
        if (folder.code == ST_ENOMEM || path.code == ST_ENOMEM)
            rc = ST_ENOMEM;
    }
    if (rc == ST_ENOMEM)
        st_err_set(err, rc, "model '%s': out of memory", name);
    if (rc == ST_ENOTFOUND) {
        st_err_set(err, rc, "model '%s': no %s in %s", name,
                   strncmp(name, "sha256:", 7) ? "file of that name with .gguf"
                                               : "file of that digest",
                   looked.len ? looked.data : "any folder: $STINT_MODELS is not set");
        st_err_hint(err, "put the GGUF there, or write its path into `models`; `stint "
                         "convert` makes a GGUF of safetensors");
    }
    st_buf_done(&folder);
    st_buf_done(&path);
    st_buf_done(&looked);
    return rc;
}
