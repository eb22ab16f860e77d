/* model/bind.c - tensors of a file to the places of a model, by name and exact shape. */
#include "model/bind.h"

#include "base/mem.h"
#include <stdio.h>
#include <string.h>

enum { ALIGN = 64 }; /* of every part of the block */

void binder_init(binder *b, const gguf *g)
{
    *b = (binder){.g = g};
    st_map_init(&b->used);
}

void binder_done(binder *b)
{
    st_free(b->items);
    st_map_done(&b->used);
    *b = (binder){0};
}

bool bind_has(const binder *b, const char *name)
{
    return gguf_find_tensor(b->g, name) != NULL;
}

static int find(binder *b, const char *name, const gguf_tensor **ret_tensor, st_err *err)
{
    const gguf_tensor *t = gguf_find_tensor(b->g, name);
    if (!t)
        return st_err_set(err, ST_EFORMAT, "tensor '%s' is missing", name);
    const st_dtype_info *type = st_dtype_get(t->type);
    if (!type || !type->supported) {
        st_err_set(err, ST_EUNSUPPORTED,
                   "tensor '%s' has the format %s, which is not "
                   "supported",
                   name, type ? type->name : "unknown");
        st_err_hint(err, "use a file quantised as Q4_0, Q4_K_M, Q5_K_M, Q6_K or Q8_0");
        return ST_EUNSUPPORTED;
    }
    if (st_map_put(&b->used, t->name, strlen(t->name), 0, NULL))
        return st_err_set(err, ST_ENOMEM, "out of memory for tensor names");
    *ret_tensor = t;
    return 0;
}

static int wrong_shape(const gguf_tensor *t, const char *expected, st_err *err)
{
    char dims[96];
    int n = 0;
    for (uint32_t i = 0; i < t->n_dims && i < GGUF_MAX_DIMS; i++)
        n += snprintf(dims + n, sizeof dims - (size_t)n, "%s%llu", i ? ", " : "",
                      (unsigned long long)t->dims[i]);
    return st_err_set(err, ST_EFORMAT, "tensor '%s' is [%s], expected [%s]", t->name,
                      dims, expected);
}

/* Room for one more item of `bytes` in the block. */
static int reserve(binder *b, size_t bytes, bind_item **ret_item, st_err *err)
{
    size_t end;
    if (b->n_items == b->room) {
        size_t room = b->room ? 2 * b->room : 64;
        bind_item *items = st_realloc_n(b->items, room, sizeof *items);
        if (!items)
            return st_err_set(err, ST_ENOMEM, "out of memory for the list of tensors");
        b->items = items;
        b->room = room;
    }
    if (!st_add_ok(b->bytes, bytes, &end) || !st_add_ok(end, ALIGN - 1, &end))
        return st_err_set(err, ST_EFORMAT,
                          "the weights are larger than the address space");
    bind_item *item = &b->items[b->n_items++];
    *item = (bind_item){.first_byte = b->bytes, .bytes = bytes};
    b->bytes = end / ALIGN * ALIGN;
    *ret_item = item;
    return 0;
}

/* The format of a tensor's matrix once it is packed. */
static st_dtype packed_type(binder *b, st_dtype type, uint32_t cols)
{
    bool is_float = type == ST_F32 || type == ST_F16 || type == ST_BF16;
    if (!b->layers || !is_float || cols % KERN_QBLOCK != 0)
        return type;
    b->floats = true;
    return b->int8 ? ST_Q8_0 : type;
}

int bind_slice(binder *b, const char *name, uint32_t index, uint32_t count, uint32_t rows,
               uint32_t cols, kmat *place, st_err *err)
{
    const gguf_tensor *t;
    bind_item *item;
    size_t bytes;
    int rc = find(b, name, &t, err);
    if (rc)
        return rc;
    if (t->dims[0] != cols || t->dims[1] != rows || t->dims[2] != count ||
        t->dims[3] != 1) {
        char want[64];
        snprintf(want, sizeof want, count == 1 ? "%u, %u" : "%u, %u, %u", cols, rows,
                 count);
        return wrong_shape(t, want, err);
    }
    const st_dtype type = packed_type(b, t->type, cols);
    if (rows == 0 || cols == 0 || !kmat_bytes(type, rows, cols, &bytes))
        return st_err_set(err, ST_EFORMAT,
                          "tensor '%s': rows of %u elements do not fit the "
                          "format %s",
                          name, cols, st_dtype_get(t->type)->name);
    rc = reserve(b, bytes, &item, err);
    if (rc)
        return rc;
    item->t = t;
    item->blocks = (const unsigned char *)t->data + t->bytes / count * index;
    item->matrix = place;
    *place = (kmat){.type = type, .rows = rows, .cols = cols};
    b->n_params += (uint64_t)rows * cols;
    return 0;
}

int bind_matrix(binder *b, const char *name, uint32_t rows, uint32_t cols, kmat *place,
                st_err *err)
{
    return bind_slice(b, name, 0, 1, rows, cols, place, err);
}

int bind_vector(binder *b, const char *name, uint64_t first, uint64_t n, uint64_t total,
                const float **place, st_err *err)
{
    const gguf_tensor *t;
    bind_item *item;
    size_t bytes, before;
    int rc = find(b, name, &t, err);
    if (rc)
        return rc;
    if (t->n != total) {
        char want[32];
        snprintf(want, sizeof want, "%llu", (unsigned long long)total);
        return wrong_shape(t, want, err);
    }
    if (n == 0 || !st_dtype_size(t->type, first, &before) ||
        !st_dtype_size(t->type, n, &bytes) ||
        !st_mul_ok((size_t)n, sizeof(float), &bytes))
        return st_err_set(err, ST_EFORMAT,
                          "tensor '%s': %llu elements do not fit the format "
                          "%s",
                          name, (unsigned long long)n, st_dtype_get(t->type)->name);
    rc = reserve(b, bytes, &item, err);
    if (rc)
        return rc;
    item->t = t;
    item->blocks = (const unsigned char *)t->data + before;
    item->vector = place;
    item->n = n;
    b->n_params += n;
    return 0;
}

int bind_read(binder *b, const char *name, uint32_t n, float *ret, st_err *err)
{
    const gguf_tensor *t;
    int rc = find(b, name, &t, err);
    if (rc)
        return rc;
    if (t->n != n) {
        char want[32];
        snprintf(want, sizeof want, "%u", n);
        return wrong_shape(t, want, err);
    }
    rc = kern_dequant(t->type, t->data, n, ret, err);
    if (rc)
        st_err_at(err, "tensor '%s'", name);
    return rc;
}

int bind_all_used(const binder *b, st_err *err)
{
    uint32_t ignored;
    for (size_t i = 0; i < gguf_n_tensors(b->g); i++) {
        const char *name = gguf_tensor_at(b->g, i)->name;
        if (!st_map_get(&b->used, name, strlen(name), &ignored))
            return st_err_set(err, ST_EUNSUPPORTED,
                              "tensor '%s' has no place in this "
                              "architecture",
                              name);
    }
    return 0;
}
