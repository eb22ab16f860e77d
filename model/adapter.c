/* model/adapter.c - an adapter's factors to the matrices of its base.
 *
 * Factors are packed as weights are, in the format they came in.  Rows of q and k stand
 * in a PEFT adapter as Hugging Face has them; where the base's were brought together so
 * that neighbours rotate (model.qk_paired), B's rows follow. */
#include "model/adapter.h"

#include "base/mem.h"
#include "gguf/lora.h"
#include "model/adapt.h"
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { ALIGN = 64 };

static const struct {
    const char *name;
    adapt_slot slot;
} parts[] = {
    {"attn_qkv", ADAPT_QKV}, {"attn_q", ADAPT_Q},      {"attn_k", ADAPT_K},
    {"attn_v", ADAPT_V},     {"attn_output", ADAPT_O}, {"ffn_gate", ADAPT_GATE},
    {"ffn_up", ADAPT_UP},    {"ffn_down", ADAPT_DOWN},
};

/* What a name of the base's means: layer and slot, if it can be adapted. */
static bool place_find(const char *tensor, uint32_t n_layers, uint32_t *ret_layer,
                       adapt_slot *ret_slot)
{
    char part[LORA_NAME_ROOM];
    unsigned il;
    int end = 0;
    if (sscanf(tensor, "blk.%6u.%95[a-z_].weight%n", &il, part, &end) != 2 || end == 0 ||
        tensor[end] || il >= n_layers)
        return false;
    for (size_t i = 0; i < ST_COUNT(parts); i++)
        if (strcmp(part, parts[i].name) == 0) {
            *ret_layer = il;
            *ret_slot = parts[i].slot;
            return true;
        }
    return false;
}

static const kmat *base_matrix(const layer *l, adapt_slot slot)
{
    const linear *of[ADAPT_SLOTS] = {
        [ADAPT_QKV] = &l->qkv,   [ADAPT_Q] = &l->q,           [ADAPT_K] = &l->k,
        [ADAPT_V] = &l->v,       [ADAPT_O] = &l->o,           [ADAPT_GATE] = &l->ffn.gate,
        [ADAPT_UP] = &l->ffn.up, [ADAPT_DOWN] = &l->ffn.down,
    };
    return l->conv.n_taps && slot == ADAPT_O ? NULL : &of[slot]->w;
}

/* --- binding: what is there and fits, and how many bytes it takes */

static int shape_check(const lora_pair *p, const kmat *w, st_err *err)
{
    if (p->a.rows > ADAPTER_MAX_RANK)
        return st_err_set(err, ST_ELIMIT, "tensor '%s': a rank of %llu; at most %d",
                          p->tensor, (unsigned long long)p->a.rows, ADAPTER_MAX_RANK);
    if (p->a.cols == w->cols && p->b.rows == w->rows)
        return 0;
    return st_err_set(err, ST_EFORMAT,
                      "tensor '%s': the adapter is for [%llu, %llu], the model has "
                      "[%u, %u]",
                      p->tensor, (unsigned long long)p->b.rows,
                      (unsigned long long)p->a.cols, w->rows, w->cols);
}

/* The most parts, a power of two, whose rows fit a panel. */
static uint32_t fold_of(const lora_factor *a)
{
    uint32_t fold = 1;
    while (2 * fold * a->rows <= KERN_PANEL && a->cols % (2 * fold) == 0)
        fold *= 2;
    return fold;
}

static int factor_place(const lora_factor *f, uint32_t fold, kmat *ret, size_t *bytes,
                        st_err *err)
{
    size_t n, end;
    *ret = (kmat){.type = f->type,
                  .rows = (uint32_t)f->rows * fold,
                  .cols = (uint32_t)f->cols / fold};
    if (!kmat_bytes(ret->type, ret->rows, ret->cols, &n) || !st_add_ok(*bytes, n, &end) ||
        !st_add_ok(end, ALIGN - 1, &end))
        return st_err_set(err, ST_EFORMAT, "a factor larger than the address space");
    *bytes = end / ALIGN * ALIGN;
    return 0;
}

static int pair_bind(adapter *a, const lora_pair *p, low_rank **ret, st_err *err)
{
    uint32_t il;
    adapt_slot slot;
    const kmat *w = NULL;
    if (place_find(p->tensor, a->base->info.n_layers, &il, &slot))
        w = base_matrix(&a->base->layers[il], slot);
    if (!w || !w->data)
        return st_err_set(err, ST_EUNSUPPORTED,
                          "the adapted tensor '%s' is none that this model has and that "
                          "can be adapted",
                          p->tensor);
    low_rank *lr = &a->layers[il].slots[slot];
    if (lr->rank > 0)
        return st_err_set(err, ST_EFORMAT, "tensor '%s' is adapted twice", p->tensor);
    int rc = shape_check(p, w, err);
    if (rc < 0)
        return rc;
    lr->rank = (uint32_t)p->a.rows;
    lr->fold = fold_of(&p->a);
    rc = factor_place(&p->a, lr->fold, &lr->a, &a->info.bytes, err);
    if (rc == 0)
        rc = factor_place(&p->b, 1, &lr->b, &a->info.bytes, err);
    a->info.n_adapted++;
    if (a->info.max_rank < lr->rank)
        a->info.max_rank = lr->rank;
    *ret = lr;
    return rc;
}

/* --- packing */

/* The rows of B for heads whose rows were brought together: 2i and 2i + 1 are the rows
 * that stood half a head apart. */
static void rows_pair(const unsigned char *from, uint32_t rows, uint32_t dim,
                      size_t row_bytes, unsigned char *to)
{
    for (uint32_t r = 0; r < rows; r++) {
        uint32_t head = r / dim * dim, i = r % dim;
        memcpy(to + r * row_bytes, from + (head + i % 2 * (dim / 2) + i / 2) * row_bytes,
               row_bytes);
    }
}

static bool is_paired(const adapter *a, const lora *file, const low_rank *lr,
                      uint32_t *ret_dim)
{
    size_t at = (size_t)((const char *)lr - (const char *)a->layers);
    const layer *l = &a->base->layers[at / sizeof *a->layers];
    const low_rank *slots = a->layers[at / sizeof *a->layers].slots;
    *ret_dim = l->dim_k;
    return lora_is_peft(file) && a->base->qk_paired && l->dim_k % 2 == 0 &&
           (lr == &slots[ADAPT_Q] || lr == &slots[ADAPT_K]);
}

/* Row f * rank + r of the folded matrix is the f-th part of row r. */
static void rows_fold(const unsigned char *from, uint32_t rank, uint32_t fold,
                      size_t part_bytes, unsigned char *to)
{
    for (uint32_t f = 0; f < fold; f++)
        for (uint32_t r = 0; r < rank; r++)
            memcpy(to + ((size_t)f * rank + r) * part_bytes,
                   from + ((size_t)r * fold + f) * part_bytes, part_bytes);
}

/* How the rows of a factor are moved: `dim` > 0: paired; fold > 1: folded. */
static int factor_pack(const lora_factor *f, kmat *w, uint32_t dim, uint32_t fold,
                       unsigned char *room, st_err *err)
{
    size_t row_bytes = 0;
    bool ok = st_dtype_size(w->type, w->cols, &row_bytes);
    unsigned char *moved = ok ? st_alloc_n(w->rows, row_bytes) : NULL;
    if (!moved)
        return st_err_set(err, ST_ENOMEM, "out of memory for an adapter");
    if (dim > 0)
        rows_pair(f->data, w->rows, dim, row_bytes, moved);
    else
        rows_fold(f->data, w->rows / fold, fold, row_bytes, moved);
    kmat_pack(w, moved, room, 0, kmat_panels(w));
    w->data = room;
    st_free(moved);
    return 0;
}

static unsigned char *room_next(unsigned char *room, const kmat *w)
{
    size_t n = 0;
    bool ok = kmat_bytes(w->type, w->rows, w->cols, &n); /* factor_place has asked */
    return room + (ok ? (n + ALIGN - 1) / ALIGN * ALIGN : 0);
}

static int pairs_load(adapter *a, const lora *file, float scale, st_err *err)
{
    size_t n = lora_n_pairs(file);
    low_rank **places = st_alloc_n(n, sizeof *places);
    int rc = places ? 0 : st_err_set(err, ST_ENOMEM, "out of memory for an adapter");
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = pair_bind(a, lora_pair_at(file, i), &places[i], err);
    if (rc == 0 && !(a->block = st_large_n(a->info.bytes, 1)))
        rc = st_err_set(err, ST_ENOMEM, "out of memory for an adapter of %zu bytes",
                        a->info.bytes);
    unsigned char *room = a->block;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const lora_pair *p = lora_pair_at(file, i);
        low_rank *lr = places[i];
        uint32_t dim;
        bool paired = is_paired(a, file, lr, &dim);
        lr->scale = (float)p->scale * scale;
        rc = factor_pack(&p->a, &lr->a, 0, lr->fold, room, err);
        room = room_next(room, &lr->a);
        if (rc == 0)
            rc = factor_pack(&p->b, &lr->b, paired ? dim : 0, 1, room, err);
        room = room_next(room, &lr->b);
    }
    st_free(places);
    return rc;
}

/* --- */

static int base_check(const model *base, const lora *file, st_err *err)
{
    if (!base->info.causal)
        return st_err_set(err, ST_EUNSUPPORTED, "an encoder ('%s') takes no adapter",
                          base->info.arch);
    if (lora_arch(file)[0] && strcmp(lora_arch(file), base->info.arch) != 0)
        return st_err_set(err, ST_EFORMAT,
                          "the adapter is for '%.40s', the model is '%s'",
                          lora_arch(file), base->info.arch);
    return 0;
}

static int adapter_make(adapter *a, const lora *file, float scale, st_err *err)
{
    static _Atomic uint64_t n_made;
    a->layers = st_zalloc_n(a->base->info.n_layers, sizeof *a->layers);
    a->name = st_strdup(lora_base(file));
    if (!a->layers || !a->name)
        return st_err_set(err, ST_ENOMEM, "out of memory for an adapter");
    a->info.base = a->name;
    a->serial = atomic_fetch_add(&n_made, 1) + 1;
    return pairs_load(a, file, scale, err);
}

int adapter_open(const char *path, const model *base, float scale, adapter **ret_adapter,
                 st_err *err)
{
    lora *file;
    int rc = lora_open(path, &file, err);
    if (rc < 0)
        return rc;
    adapter *a = st_zalloc_n(1, sizeof *a);
    if (!a)
        rc = st_err_set(err, ST_ENOMEM, "out of memory for an adapter");
    else
        a->base = base;
    if (rc == 0)
        rc = base_check(base, file, err);
    if (rc == 0)
        rc = adapter_make(a, file, scale, err);
    lora_close(file);
    if (rc < 0) {
        adapter_free(a);
        st_err_at(err, "%s", path);
        return rc;
    }
    *ret_adapter = a;
    return 0;
}

void adapter_free(adapter *a)
{
    if (!a)
        return;
    st_free(a->layers);
    st_free(a->block);
    st_free(a->name);
    st_free(a);
}

const adapter_info *adapter_about(const adapter *a)
{
    return &a->info;
}

uint64_t adapter_serial(const adapter *a)
{
    return a ? a->serial : 0;
}

const model *adapter_model(const adapter *a)
{
    return a->base;
}
