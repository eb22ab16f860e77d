/* kernels/kernels.h - the arithmetic of inference: one table of functions per ISA.
 *
 * Weights.  A matrix of `rows` outputs by `cols` inputs is re-laid once, at load, into
 * panels of KERN_PANEL rows: within a panel the blocks of all its rows that cover the
 * same columns stand together, so that one vector register holds the same columns of many
 * rows.  The layout is the same for every ISA and as large as the file's (plus padding:
 * the last panel, at most 2 % for some formats); blocks keep their bits and are never
 * expanded to float matrices.
 *
 * Activations.  Against quantised weights a row of floats is quantised once to int8 with
 * one float scale d and the sum s = d * sum(q) per 32 columns (and the sums of each
 * half), and reused by every matrix that reads it; kact_refine() adds a second term to
 * the few blocks that hold most of a row's rounding error.  Against F32, F16 and BF16
 * weights the floats are used as they are.
 *
 * Arithmetic.  For output r and token t, with blocks b of 32 columns in order:
 *     part = dw[r,b] * (float)sum_i(qw * qx)       integers exact
 *     acc = fma(part, dx[t,b], acc)
 *     acc = fma(mw[r,b], sx[t,b], acc)             where a format has a minimum
 * (formats with scales per 16 columns have part = fma(dw', (float)sum', part) for the
 * second half, and a minimum line for each half; the second terms of refined blocks
 * follow after each 8 blocks), and for float weights acc = fma(w[r,c], x[t,c], acc) over
 * the columns c in order.  Each lane belongs to one output, so the result of (r, t) is
 * the same bytes whatever the number of tokens, the panel range, or the thread count.
 *
 * Threads: everything is pure; callers split work by panel range.
 * Memory: the caller's. */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H
#include "base/cpu.h"
#include "base/dtype.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KERN_PANEL = 16,     /* rows a panel */
    KERN_QBLOCK = 32,    /* columns an activation scale */
    KV_PAGE_TOKENS = 64, /* positions of one page of keys and values */
    KERN_LAYOUT = 1,     /* counts the changes of the bytes that kmat_pack() makes: packed
                          * weights are kept between runs */
};

/* A packed weight matrix.  `data` is owned by whoever packed it, 64-byte aligned. */
typedef struct kmat {
    st_dtype type;
    uint32_t rows;
    uint32_t cols;
    const void *data;
} kmat;

/* Bytes of a packed matrix; false when the type is not supported, cols is not a whole
 * number of blocks, or the size overflows. */
bool kmat_bytes(st_dtype type, uint32_t rows, uint32_t cols, size_t *ret_bytes);

/* Re-lay `rows` rows of GGUF blocks from `blocks` into `room` (kmat_bytes, 64-byte
 * aligned), panels [panel0, panel1) only, so that threads can share the work. */
void kmat_pack(const kmat *m, const void *blocks, void *room, uint32_t panel0,
               uint32_t panel1);
static inline uint32_t kmat_panels(const kmat *m)
{
    return (m->rows + KERN_PANEL - 1) / KERN_PANEL;
}

/* Rows of activations.  `x` always; `q` only when the weights are quantised: kact_bytes()
 * bytes of the caller, 64-byte aligned, valid after kern.quant has seen every row.  Its
 * layout (blocks of 32 columns, many rows of a block together) is private to this room,
 * so a part of the rows is not a kact: gather the floats and quantise again. */
typedef struct kqact kqact;
typedef struct kact {
    uint32_t n; /* rows (tokens) */
    uint32_t cols;
    const float *x; /* [n, cols] */
    kqact *q;
    bool fine; /* q was refined by kact_refine: products use the second terms */
} kact;
bool kact_bytes(uint32_t n, uint32_t cols, size_t *ret_bytes); /* false on overflow */

/* After kern.quant of rows [row0, row1): give the few blocks that hold most of a row's
 * rounding error a second term (refine.c).  All rows, before a product with x->fine. */
void kact_refine(const kact *x, uint32_t row0, uint32_t row1);

/* Keys and values of one layer in pages: position p of a sequence is in page
 * pages[p / KV_PAGE_TOKENS], slot p % KV_PAGE_TOKENS.  A page is at
 * base + page * page_stride and holds kkv_bytes() of keys and of values, head by head.
 * F32 and F16: values as [slot][dim_v]; keys in panels of 16 slots,
 * [slot / 16][dim_k][slot % 16], so that a register holds the same element of 16 keys.
 * Q8_0: whole numbers of 8 bits under one scale a slot and head, keys rotated; the layout
 * is private to this room (kv8.h), pages are 64-byte aligned, heads at most
 * KKV8_MAX_DIM wide.  Copy whole pages with memcpy, single positions with kkv_copy. */
typedef struct kkv {
    unsigned char *k; /* layer's first key byte in page 0 */
    unsigned char *v;
    size_t page_stride; /* bytes from page to page */
    uint32_t n_kv_head;
    uint32_t dim_k; /* a key head's width */
    uint32_t dim_v;
    st_dtype type; /* ST_F32, ST_F16 or ST_Q8_0 */
} kkv;

enum { KKV8_MAX_DIM = 512 };

/* Bytes that the keys (or values) of KV_PAGE_TOKENS positions take, all heads. */
size_t kkv_bytes(st_dtype type, uint32_t n_kv_head, uint32_t dim);

/* Copy keys and values of slot `from` to slot `to` of the sequence `pages`. */
void kkv_copy(const kkv *kv, const uint32_t *pages, uint32_t from, uint32_t to);
/* Set slots [from, KV_PAGE_TOKENS) of a page to zero. */
void kkv_clear(const kkv *kv, uint32_t page, uint32_t from);

/* What one token sees: positions [lo, hi) of its sequence, and then the slots `extra` (a
 * token tree's ancestors, in order) as if they stood at positions max(lo, hi), +1, ...:
 * the bytes are those of a chain. */
typedef struct kview {
    uint32_t lo, hi;
    const uint32_t *extra;
    uint32_t n_extra;
} kview;

/* Attention of n tokens that share a page table. */
typedef struct kattn {
    const kkv *kv;
    const uint32_t *pages; /* the sequence's page table */
    const kview *views;    /* [n] */
    uint32_t n;
    size_t ldq, ldo;    /* floats from a token's queries, or outputs, to the next one's */
    uint32_t n_head;    /* query heads in all; n_head / n_kv_head share a KV head */
    float scale;        /* of q.k */
    float softcap;      /* 0: none; else s = cap * tanh(s / cap) */
    const float *sinks; /* NULL, or one logit a head that takes mass and no value */
} kattn;

typedef struct kern {
    st_isa isa;

    /* Quantise rows [row0, row1) of x->x into x->q: d = max|x| / 127, q = x * (127 / max)
     * rounded to nearest even.  A block below 1e-36 is zero; one with a NaN or an
     * infinity becomes NaN. */
    void (*quant)(const kact *x, uint32_t row0, uint32_t row1);

    /* y[t * ldy + r] = W[r] . x[t] for the rows of panels [panel0, panel1), all n tokens.
     * ldy in floats.  Quantised types read x->q; F32, F16, BF16 read x->x. */
    void (*matmul)(const kmat *w, const kact *x, uint32_t panel0, uint32_t panel1,
                   float *y, size_t ldy);

    /* y[i] = W[rows[i]] . x for chosen outputs of one activation row `t`; bit-equal to
     * what matmul gives. */
    void (*rows)(const kmat *w, const kact *x, uint32_t t, const int32_t *rows,
                 uint32_t n, float *y);

    /* out[cols] = row r of W, dequantised exactly. */
    void (*row)(const kmat *w, uint32_t r, float *out);

    /* y = x / sqrt(mean(x^2) + eps) * w;  w may be NULL.  y may be x. */
    void (*rms_norm)(const float *x, const float *w, float eps, uint32_t n, float *y);
    /* y = (x - mean) / sqrt(var + eps) * w + b;  b may be NULL.  y may be x. */
    void (*layer_norm)(const float *x, const float *w, const float *b, float eps,
                       uint32_t n, float *y);
    void (*add)(float *y, const float *x, uint32_t n);           /* y += x */
    void (*mul)(float *y, const float *x, uint32_t n);           /* y *= x */
    void (*axpy)(float *y, float a, const float *x, uint32_t n); /* y = fma(a, x, y) */
    float (*dot)(const float *a, const float *b, uint32_t n);
    void (*silu_mul)(float *g, const float *u, uint32_t n); /* g = silu(g) * u */
    void (*gelu_tanh_mul)(float *g, const float *u,
                          uint32_t n);                      /* g = gelu_tanh(g) * u */
    void (*gelu_erf)(float *x, const float *b, uint32_t n); /* x = GELU(x + b), exact; b
                                                             * may be NULL */
    void (*gelu_tanh)(float *x, const float *b, uint32_t n);
    void (*softmax)(float *x, uint32_t n); /* in place, max-shifted */

    /* Rotate pairs of one head vector: `half` pairs with cos/sin tables [half].
     * neox: pairs (i, i + half); otherwise (2i, 2i + 1). */
    void (*rope)(float *x, const float *cos, const float *sin, uint32_t half, bool neox);

    /* Store one token's keys [n_kv_head * dim_k] and values at `slot`. */
    void (*kv_store)(const kkv *kv, const uint32_t *pages, uint32_t slot, const float *k,
                     const float *v);

    /* out[t * ldo + (h - head0) * dim_v ..] for heads [head0, head1), all of one or more
     * KV groups, of each token; q points at head0's query of the first one.
     * `scratch` holds KERN_ATTN_SCRATCH floats.  Positions are visited in blocks of whole
     * pages with a running maximum (online softmax), so the bytes do not depend on how
     * the sequence was fed, on the tokens beside, nor on chain or tree. */
    void (*attn)(const kattn *a, uint32_t head0, uint32_t head1, const float *q,
                 float *out, float *scratch);
} kern;

enum { KERN_ATTN_SCRATCH = 128 << 10 }; /* floats that kern.attn may use */

/* The table of an ISA, or NULL when this build or machine lacks it. */
const kern *kern_get(st_isa isa);
/* The best table after STINT_CPU; an error when the mask asks for what is not there. */
ST_NODISCARD int kern_best(const kern **ret_kern, st_err *err);

/* Exact dequantisation of n elements of GGUF blocks (not packed). */
ST_NODISCARD int kern_dequant(st_dtype type, const void *blocks, uint64_t n,
                              float *ret_out, st_err *err);
#endif
