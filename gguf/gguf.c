/* gguf/gguf.c - an open GGUF file: mapping, lookup. */
#include "gguf/gguf_priv.h"

#include "base/mem.h"
#include <string.h>

static int open_checked(gguf *g, gguf **ret_gguf, st_err *err)
{
    int rc = gguf_parse(g, err);
    if (rc) {
        st_err_at(err, "%s", g->path);
        gguf_close(g);
        return rc;
    }
    *ret_gguf = g;
    return 0;
}

static gguf *new_gguf(const char *path)
{
    gguf *g = st_zalloc_n(1, sizeof *g);
    char *copy = st_strdup(path);
    if (!g || !copy || pthread_mutex_init(&g->digest_lock, NULL)) {
        st_free(copy);
        st_free(g);
        return NULL;
    }
    g->path = copy;
    return g;
}

int gguf_open(const char *path, gguf **ret_gguf, st_err *err)
{
    gguf *g = new_gguf(path);
    if (!g)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", path);
    int rc = st_file_map_open(path, &g->map, err);
    if (rc) {
        gguf_close(g);
        return rc;
    }
    g->data = g->map.data;
    g->len = g->map.len;
    return open_checked(g, ret_gguf, err);
}

int gguf_open_bytes(const void *data, size_t len, gguf **ret_gguf, st_err *err)
{
    gguf *g = new_gguf("bytes");
    if (!g)
        return st_err_set(err, ST_ENOMEM, "bytes: out of memory");
    g->data = data;
    g->len = len;
    return open_checked(g, ret_gguf, err);
}

void gguf_close(gguf *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_keys; i++)
        st_free((void *)(uintptr_t)g->keys[i].name);
    for (size_t i = 0; i < g->n_tensors; i++)
        st_free((void *)(uintptr_t)g->tensors[i].name);
    st_free(g->keys);
    st_free(g->tensors);
    st_map_done(&g->key_map);
    st_map_done(&g->tensor_map);
    st_file_map_close(&g->map);
    pthread_mutex_destroy(&g->digest_lock);
    st_free(g->path);
    st_free(g);
}

const char *gguf_path(const gguf *g)
{
    return g->path;
}

uint32_t gguf_version(const gguf *g)
{
    return g->version;
}

size_t gguf_file_bytes(const gguf *g)
{
    return g->len;
}

void gguf_forget(const gguf *g, const void *data, size_t bytes)
{
    st_file_map_forget(&g->map, data, bytes);
}

size_t gguf_n_keys(const gguf *g)
{
    return g->n_keys;
}

const gguf_key *gguf_key_at(const gguf *g, size_t i)
{
    return i < g->n_keys ? &g->keys[i] : NULL;
}

const gguf_key *gguf_find(const gguf *g, const char *name)
{
    uint32_t i;
    return st_map_get(&g->key_map, name, strlen(name), &i) ? &g->keys[i] : NULL;
}

bool gguf_has(const gguf *g, const char *key)
{
    return gguf_find(g, key) != NULL;
}

size_t gguf_n_tensors(const gguf *g)
{
    return g->n_tensors;
}

const gguf_tensor *gguf_tensor_at(const gguf *g, size_t i)
{
    return i < g->n_tensors ? &g->tensors[i] : NULL;
}

const gguf_tensor *gguf_find_tensor(const gguf *g, const char *name)
{
    uint32_t i;
    return st_map_get(&g->tensor_map, name, strlen(name), &i) ? &g->tensors[i] : NULL;
}
