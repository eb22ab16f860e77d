/* engine/kvfile.c - the pages of a sequence, or numbers, in a file of the cache.
 *
 * The file of a sequence is the sequence's pages as they lie in memory; slots after its
 * last token are zero, so that nothing of another text gets into a file. */
#include "engine/kvfile.h"

#include "base/build.h"
#include "base/cache.h"
#include "base/cpu.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/core.h"
#include <gnu/libc-version.h>
#include <string.h>

enum {
    LEAST_TOKENS = 32, /* fewer are run in the time that a file takes */
    BUILD_BYTES = 64,
};

typedef struct keys { /* of a cache item */
    char id[ST_DIGEST_TEXT];
    char key[ST_DIGEST_TEXT];
} keys;

/* What a file is of, and with what it was computed.  False when that is not known. */
static bool keys_make(const engine *e, const void *what, size_t bytes, keys *ret)
{
    const char *model_id = model_about(e->model)->id, *libc = gnu_get_libc_version();
    const uint64_t numbers[] = {e->kv.type, e->n_ctx, KV_PAGE_TOKENS, bytes,
                                st_cpu_isa_best()};
    unsigned char build[BUILD_BYTES];
    size_t n_build = st_build_id(build, sizeof build);
    st_sha sha;
    if (!model_id[0] || n_build == 0)
        return false;
    st_sha_init(&sha);
    st_sha_add(&sha, "stint.computed.1", 16);
    st_sha_add(&sha, model_id, strlen(model_id));
    st_sha_add(&sha, numbers, sizeof numbers);
    st_sha_add(&sha, what, bytes);
    st_sha whole = sha; /* another build's file is replaced */
    st_sha_end(&sha, ret->id);
    st_sha_add(&whole, build, n_build);
    st_sha_add(&whole, libc, strlen(libc));
    st_sha_end(&whole, ret->key);
    return true;
}

static const unsigned char *page_at(const engine *e, kv_page page, size_t page_bytes)
{
    return e->kv.base + page * page_bytes;
}

/* ST_EBUSY: no pages; anything else below 0: no file. */
static int pages_read(seq *s, uint32_t n, const st_cache_item *item)
{
    const engine *e = s->engine;
    uint32_t n_pages = kv_pages_for(n);
    size_t page_bytes = model_kv_page_bytes(e->model, e->kv.type);
    st_cached file = {0};
    int rc = st_cache_open(item, &file, NULL);
    if (rc == 0 && file.len != n_pages * page_bytes)
        rc = ST_EFORMAT;
    if (rc == 0)
        rc = kvpool_take(e->pool, n_pages, s->pages);
    if (rc == 0) {
        for (uint32_t i = 0; i < n_pages; i++)
            memcpy(e->kv.base + s->pages[i] * page_bytes, file.data + i * page_bytes,
                   page_bytes);
        s->n_pages = n_pages;
        s->len = n;
    }
    st_cache_close(&file);
    return rc;
}

/* A copy of the last page without what stands after the sequence's end. */
static int tail_add(const seq *s, size_t page_bytes, st_cache_file *file)
{
    const engine *e = s->engine;
    model_kv copy = {st_aligned_n(1, page_bytes), e->kv.type};
    if (!copy.base)
        return ST_ENOMEM;
    memcpy(copy.base, page_at(e, s->pages[s->n_pages - 1], page_bytes), page_bytes);
    model_kv_clear(e->model, &copy, 0, s->len - (s->n_pages - 1) * KV_PAGE_TOKENS);
    int rc = st_cache_add(file, copy.base, page_bytes, NULL);
    st_free(copy.base);
    return rc;
}

static void pages_write(const seq *s, const st_cache_item *item)
{
    const engine *e = s->engine;
    size_t page_bytes = model_kv_page_bytes(e->model, e->kv.type);
    st_cache_file file;
    int rc = st_cache_begin(item, s->n_pages * page_bytes, &file, NULL);
    if (rc)
        return;
    for (uint32_t i = 0; i + 1 < s->n_pages && rc == 0; i++)
        rc = st_cache_add(&file, page_at(e, s->pages[i], page_bytes), page_bytes, NULL);
    if (rc == 0)
        rc = tail_add(s, page_bytes, &file);
    if (rc == 0)
        rc = st_cache_end(&file, NULL, NULL);
    st_cache_drop(&file);
}

int seq_run_kept(seq *s, const int32_t *tokens, uint32_t n, st_err *err)
{
    keys k;
    const st_cache_item item = {"prefix", k.id, k.key};
    engine *e = s->engine;
    const step_item step = {.s = s, .tokens = tokens, .n = n};
    bool kept = s->len == 0 && s->n_tree == 0 && n >= LEAST_TOKENS && n <= e->n_ctx &&
                model_about(e->model)->causal && !s->adapter &&
                keys_make(e, tokens, n * sizeof *tokens, &k);
    if (kept && pages_read(s, n, &item) == 0)
        return 0;
    int rc = engine_step(e, &step, 1, err);
    if (rc == 0 && kept)
        pages_write(s, &item);
    return rc;
}

bool engine_recall(const engine *e, const char *what, double *ret, uint32_t n)
{
    keys k;
    st_cached file = {0};
    const st_cache_item item = {"numbers", k.id, k.key};
    bool found = keys_make(e, what, strlen(what), &k) &&
                 st_cache_open(&item, &file, NULL) == 0 && file.len == n * sizeof *ret;
    if (found)
        memcpy(ret, file.data, file.len);
    st_cache_close(&file);
    return found;
}

void engine_keep(const engine *e, const char *what, const double *numbers, uint32_t n)
{
    keys k;
    const st_cache_item item = {"numbers", k.id, k.key};
    if (keys_make(e, what, strlen(what), &k))
        st_cache_write(&item, numbers, n * sizeof *numbers, NULL);
}
