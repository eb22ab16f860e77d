/* model/packed.c - pack what was bound, into memory or into a file of the cache. */
#include "model/packed.h"

#include "base/hash.h"
#include "base/mem.h"
#include "model/bind.h"
#include "model/narrow.h"
#include <string.h>

enum {
    CHUNK_PANELS = 32,    /* panels a chunk of a worker's work */
    STEP_BYTES = 8 << 20, /* packed before the source's memory is given back */
};

/* Where packed bytes go, in rising order. */
typedef struct sink {
    unsigned char *block; /* all of it; or NULL, and then ... */
    unsigned char *room;  /* ... a step at a time is made here and written */
    st_cache_file *file;
    size_t done; /* bytes of the file */
} sink;

typedef struct job {
    const kmat *m;
    const void *blocks;
    void *to;
} job;

static void chunk_pack(void *arg, uint32_t chunk, uint32_t worker)
{
    const job *j = arg;
    uint32_t first = chunk * CHUNK_PANELS, end = kmat_panels(j->m);
    (void)worker;
    if (end - first > CHUNK_PANELS)
        end = first + CHUNK_PANELS;
    kmat_pack(j->m, j->blocks, j->to, first, end);
}

/* Rows [row0, row0 + n) of an item, whole panels but for the last. */
static int rows_pack(const binder *b, const bind_item *item, workers *w, uint32_t row0,
                     uint32_t n, void *to, st_err *err)
{
    const kmat part = {.type = item->matrix->type, .rows = n, .cols = item->matrix->cols};
    size_t row_bytes = item->t->bytes / (item->t->n / part.cols);
    const unsigned char *blocks = item->blocks + row0 * row_bytes;
    job j = {&part, blocks, to};
    int rc = 0;
    if (part.type != item->t->type)
        rc = narrow_pack(&part, item->t->type, blocks, w, to, err);
    else if (w)
        workers_run(w, (kmat_panels(&part) + CHUNK_PANELS - 1) / CHUNK_PANELS, chunk_pack,
                    &j);
    else
        kmat_pack(&part, blocks, to, 0, kmat_panels(&part));
    gguf_forget(b->g, blocks, n * row_bytes);
    return rc;
}

static size_t panel_size(const kmat *m)
{
    size_t bytes = 0;
    return kmat_bytes(m->type, KERN_PANEL, m->cols, &bytes) ? bytes : 0;
}

/* Panels of a matrix that are packed in one step. */
static uint32_t panels_of_step(const kmat *m)
{
    size_t n = STEP_BYTES / panel_size(m);
    return n == 0                        ? 1
           : n > UINT32_MAX / KERN_PANEL ? UINT32_MAX / KERN_PANEL
                                         : (uint32_t)n;
}

/* Where the bytes from `at` on are made. */
static unsigned char *sink_room(const sink *s, size_t at)
{
    return s->block ? s->block + at : s->room;
}

/* They are made. */
static int sink_put(sink *s, size_t at, size_t bytes, st_err *err)
{
    static const unsigned char zeros[64];
    if (s->block)
        return 0;
    int rc = st_cache_add(s->file, zeros, at - s->done, err);
    if (rc == 0)
        rc = st_cache_add(s->file, s->room, bytes, err);
    s->done = at + bytes;
    return rc;
}

static int matrix_pack(const binder *b, const bind_item *item, workers *w, sink *s,
                       st_err *err)
{
    const kmat *m = item->matrix;
    size_t panel = panel_size(m), at = item->first_byte;
    uint32_t step = panels_of_step(m), n = kmat_panels(m);
    int rc = 0;
    for (uint32_t p = 0; p < n && rc == 0; p += step) {
        uint32_t last = n - p < step ? n - p : step, row = p * KERN_PANEL;
        uint32_t rows =
            m->rows - row < last * KERN_PANEL ? m->rows - row : last * KERN_PANEL;
        rc = rows_pack(b, item, w, row, rows, sink_room(s, at), err);
        if (rc == 0)
            rc = sink_put(s, at, last * panel, err);
        at += last * panel;
    }
    return rc;
}

static int vector_pack(const bind_item *item, sink *s, st_err *err)
{
    float *to = (float *)(void *)sink_room(s, item->first_byte);
    int rc = kern_dequant(item->t->type, item->blocks, item->n, to, err);
    return rc ? rc : sink_put(s, item->first_byte, item->bytes, err);
}

static int all_pack(const binder *b, workers *w, sink *s, st_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < b->n_items && rc == 0; i++) {
        const bind_item *item = &b->items[i];
        rc = item->matrix ? matrix_pack(b, item, w, s, err) : vector_pack(item, s, err);
        if (rc)
            st_err_at(err, "tensor '%s'", item->t->name);
    }
    return rc;
}

static int to_memory(const binder *b, workers *w, packed *ret, st_err *err)
{
    sink s = {.block = st_large_n(b->bytes, 1)};
    if (!s.block)
        return st_err_set(err, ST_ENOMEM, "out of memory for %zu MiB of weights",
                          b->bytes >> 20);
    int rc = all_pack(b, w, &s, err);
    if (rc)
        st_free(s.block);
    else
        *ret = (packed){.base = s.block, .block = s.block};
    return rc;
}

/* The most that a step makes. */
static size_t room_bytes(const binder *b)
{
    size_t most = 0;
    for (size_t i = 0; i < b->n_items; i++) {
        const bind_item *item = &b->items[i];
        size_t step = item->bytes;
        if (item->matrix && step > STEP_BYTES)
            step = panels_of_step(item->matrix) * panel_size(item->matrix);
        most = step > most ? step : most;
    }
    return most;
}

static int to_file(const binder *b, workers *w, const st_cache_item *item, packed *ret)
{
    st_cache_file file;
    packed p = {0};
    int rc = st_cache_begin(item, b->bytes, &file, NULL);
    if (rc)
        return rc;
    sink s = {.room = st_aligned_n(room_bytes(b), 1), .file = &file};
    rc = s.room ? all_pack(b, w, &s, NULL) : ST_ENOMEM;
    st_free(s.room);
    if (rc == 0)
        rc = sink_put(&s, b->bytes, 0, NULL); /* what stands after the last */
    if (rc == 0)
        rc = st_cache_end(&file, &p.file, NULL);
    st_cache_drop(&file);
    if (rc)
        return rc;
    p.base = p.file.data;
    *ret = p;
    return 0;
}

/* All that the packed bytes depend on. */
static void key_make(const binder *b, const char *digest, char ret_key[ST_DIGEST_TEXT])
{
    st_sha sha;
    st_sha_init(&sha);
    st_sha_add(&sha, "stint.weights", 13);
    st_sha_add(&sha, digest, strlen(digest));
    st_sha_add(&sha, &(const uint32_t){KERN_LAYOUT}, sizeof(uint32_t));
    for (size_t i = 0; i < b->n_items; i++) {
        const bind_item *item = &b->items[i];
        const kmat none = {0}, *m = item->matrix ? item->matrix : &none;
        size_t from = (size_t)(item->blocks - (const unsigned char *)item->t->data);
        const uint64_t numbers[] = {item->first_byte,  item->bytes, from,   item->n,
                                    (uint64_t)m->type, m->rows,     m->cols};
        st_sha_add(&sha, item->t->name, strlen(item->t->name) + 1);
        st_sha_add(&sha, numbers, sizeof numbers);
    }
    st_sha_end(&sha, ret_key);
}

st_cache_item packed_item(const char *digest, bool narrow)
{
    return (st_cache_item){.kind = narrow ? "narrowed" : "weights", .id = digest};
}

/* Is any matrix packed in another format than the file's? */
static bool is_narrow(const binder *b)
{
    for (size_t i = 0; i < b->n_items; i++)
        if (b->items[i].matrix && b->items[i].matrix->type != b->items[i].t->type)
            return true;
    return false;
}

/* From the cache, or by way of it.  Any failure leaves *ret untouched. */
static int by_cache(const binder *b, workers *w, const char *digest, const char *key,
                    packed *ret)
{
    st_cache_item item = packed_item(digest, is_narrow(b));
    packed p = {0};
    item.key = key;
    if (st_cache_open(&item, &p.file, NULL) == 0 && p.file.len == b->bytes) {
        p.base = p.file.data;
        *ret = p;
        return 0;
    }
    st_cache_close(&p.file);
    return to_file(b, w, &item, ret);
}

int packed_make(const binder *b, workers *w, const char *digest, packed *ret_packed,
                st_err *err)
{
    packed p = {0};
    char key[ST_DIGEST_TEXT] = "";
    if (digest)
        key_make(b, digest, key);
    if (!digest || by_cache(b, w, digest, key, &p)) {
        int rc = to_memory(b, w, &p, err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < b->n_items; i++) {
        const bind_item *item = &b->items[i];
        const void *place = p.base + item->first_byte;
        if (item->matrix)
            item->matrix->data = place;
        else
            *item->vector = place;
    }
    memcpy(p.key, key, sizeof key);
    *ret_packed = p;
    return 0;
}

void packed_done(packed *p)
{
    st_free(p->block);
    st_cache_close(&p->file);
    *p = (packed){0};
}
