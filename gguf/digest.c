/* gguf/digest.c - the SHA-256 of a file, hashed or remembered. */
#include "gguf/gguf_priv.h"

#include "base/cache.h"
#include <string.h>

enum { HASH_STEP = 4 << 20 }; /* bytes of the file that are in memory at a time */

static void hash_all(const gguf *g, char ret_hex[ST_DIGEST_TEXT])
{
    st_sha sha;
    st_sha_init(&sha);
    for (size_t at = 0, n; at < g->len; at += n) {
        n = g->len - at < HASH_STEP ? g->len - at : HASH_STEP;
        st_sha_add(&sha, g->data + at, n);
        gguf_forget(g, g->data + at, n);
    }
    st_sha_end(&sha, ret_hex);
}

/* `n` numbers and what they are, as a digest. */
static void numbers_digest(const char *what, const uint64_t *numbers, size_t n,
                           char ret_hex[ST_DIGEST_TEXT])
{
    st_sha sha;
    st_sha_init(&sha);
    st_sha_add(&sha, what, strlen(what));
    st_sha_add(&sha, numbers, n * sizeof *numbers);
    st_sha_end(&sha, ret_hex);
}

static bool is_digest(const st_cached *c)
{
    return c->len == ST_DIGEST_TEXT - 1 &&
           strspn((const char *)c->data, "0123456789abcdef") >= c->len;
}

/* Hash, and remember when nothing can have changed meanwhile or change unseen. */
static void hash_and_keep(const gguf *g, const st_cache_item *item,
                          char ret_hex[ST_DIGEST_TEXT])
{
    st_file_id now;
    hash_all(g, ret_hex);
    if (st_file_id_get(g->path, &now, NULL) == 0 &&
        memcmp(&now, &g->map.id, sizeof now) == 0 && st_file_id_settled(&now))
        st_cache_write(item, ret_hex, ST_DIGEST_TEXT - 1, NULL);
}

static void digest_recall(const gguf *g, char ret_hex[ST_DIGEST_TEXT])
{
    const st_file_id *id = &g->map.id;
    const uint64_t numbers[] = {id->device, id->inode, id->bytes,
                                (uint64_t)id->modified_ns, (uint64_t)id->changed_ns};
    char which[ST_DIGEST_TEXT], key[ST_DIGEST_TEXT];
    st_cached kept = {0};
    numbers_digest("stint.digest.file", numbers, 2, which);
    numbers_digest("stint.digest.1", numbers, ST_COUNT(numbers), key);
    const st_cache_item item = {"digest", which, key};
    if (st_cache_open(&item, &kept, NULL) == 0 && is_digest(&kept))
        memcpy(ret_hex, kept.data, kept.len);
    else
        hash_and_keep(g, &item, ret_hex);
    st_cache_close(&kept);
}

static int digest_need(gguf *g, bool recall, const char **ret_hex, st_err *err)
{
    if (pthread_mutex_lock(&g->digest_lock))
        return st_err_set(err, ST_EBUSY, "%s: digest: cannot lock", g->path);
    if (!g->digest[0] && recall && g->map.data)
        digest_recall(g, g->digest);
    if (!g->digest[0])
        hash_all(g, g->digest);
    pthread_mutex_unlock(&g->digest_lock);
    *ret_hex = g->digest;
    return 0;
}

int gguf_digest(gguf *g, const char **ret_hex, st_err *err)
{
    return digest_need(g, false, ret_hex, err);
}

int gguf_digest_recall(gguf *g, const char **ret_hex, st_err *err)
{
    return digest_need(g, true, ret_hex, err);
}
