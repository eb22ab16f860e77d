/* kernels/layout.h - how packed weights and quantised activations lie in memory.
 *
 * Private to the room.
 *
 * Panel of a quantised matrix: 16 rows, read from its first byte to its last.  It is a
 * sequence of bunches: the scale records of `bunch` blocks of 32 columns, padded to 64
 * bytes, then the quants of these blocks; the last bunch may have fewer blocks.  Bunches
 * are short, so that memory is read in one direction (measured: twice as fast as scales
 * in a region of their own, and no gain from prefetch instructions).  A block's quants
 * are planes of 64-byte vectors; in each vector lane r (a 32-bit lane) belongs to row r
 * and byte i of the lane to column 4g + i of some group g of 4 columns, g = 0..7:
 *
 *     NIBBLES  4 vectors   v: low 4 bits group v, high 4 bits group v + 4
 *     PAIRS    2 vectors   h: bits 2f, 2f+1 group 4h + f
 *     BITS     1 vector    bit g: group g
 *     BYTES    8 vectors   g: the byte, sign bit flipped
 *
 * Unpacked, a block of any format is 8 vectors of unsigned bytes u (vector g = group g)
 * and float scales, so that one inner loop serves all:
 *     weight = (u - (1 << shift)) * d          formats without a minimum
 *     weight = u * d + m                       formats with one
 * Q2_K, Q3_K and Q6_K have d (and m) for each half of a block (groups 0..3 and 4..7).
 *
 * A scale record covers `super` columns: n_half arrays of 16 halves (f16), then n_byte
 * arrays of 16 bytes: byte k of each row's scale bytes, as in the file.
 *
 * Panel of a float matrix: for each column 16 elements, one a row. */
#ifndef KERNELS_LAYOUT_H
#define KERNELS_LAYOUT_H
#include "base/compiler.h"
#include "kernels/kernels.h"

enum {
    STRIP_BLOCKS = 8,  /* blocks of 32 columns that are multiplied at a time */
    STRIP_COLS = 64,   /* columns of float weights that are widened at a time */
    GROUP_TOKENS = 96, /* tokens that share one unpacking of the weights */
    FINE_MAX = 8,      /* most refined blocks of a row */
    Q_NIBBLES = 1,
    Q_PAIRS = 2,
    Q_BITS = 4,
    Q_BYTES = 8,
};

typedef struct kfmt {
    uint8_t planes; /* Q_... */
    uint8_t shift;  /* log2 of the offset of u; no meaning with a minimum */
    bool has_min;
    bool halves;          /* scales per 16 columns */
    uint8_t bunch;        /* blocks of a bunch */
    uint16_t block_bytes; /* quants of 16 rows x 32 columns */
    uint16_t super;       /* columns of a scale record */
    uint8_t n_half;
    uint8_t n_byte;
    uint8_t at_half; /* where they are in a block of the file */
    uint8_t at_byte;
    uint8_t codes; /* 0, or 1 + the row of kfmt_codes with u for each 4-bit code */
} kfmt;

/* type, planes, shift, has_min, halves, bunch, block_bytes, super, n_half, n_byte,
 * at_half, at_byte, codes */
#define KFMT_MAP(X)                                                                      \
    X(Q4_0, Q_NIBBLES, 3, 0, 0, 2, 256, 32, 1, 0, 0, 0, 0)                               \
    X(Q4_1, Q_NIBBLES, 0, 1, 0, 1, 256, 32, 2, 0, 0, 0, 0)                               \
    X(Q5_0, Q_NIBBLES | Q_BITS, 4, 0, 0, 2, 320, 32, 1, 0, 0, 0, 0)                      \
    X(Q5_1, Q_NIBBLES | Q_BITS, 0, 1, 0, 1, 320, 32, 2, 0, 0, 0, 0)                      \
    X(Q8_0, Q_BYTES, 7, 0, 0, 2, 512, 32, 1, 0, 0, 0, 0)                                 \
    X(Q2_K, Q_PAIRS, 0, 1, 1, 8, 128, 256, 2, 16, 80, 0, 0)                              \
    X(Q3_K, Q_PAIRS | Q_BITS, 2, 0, 1, 8, 192, 256, 1, 12, 108, 96, 0)                   \
    X(Q4_K, Q_NIBBLES, 0, 1, 0, 8, 256, 256, 2, 12, 0, 4, 0)                             \
    X(Q5_K, Q_NIBBLES | Q_BITS, 0, 1, 0, 8, 320, 256, 2, 12, 0, 4, 0)                    \
    X(Q6_K, Q_NIBBLES | Q_PAIRS, 5, 0, 1, 8, 384, 256, 1, 16, 208, 192, 0)               \
    X(IQ4_NL, Q_NIBBLES, 7, 0, 0, 2, 256, 32, 1, 0, 0, 0, 1)                             \
    X(IQ4_XS, Q_NIBBLES, 7, 0, 0, 8, 256, 256, 1, 6, 0, 2, 1)                            \
    X(MXFP4, Q_NIBBLES, 4, 0, 0, 4, 256, 32, 0, 1, 0, 0, 2)

extern const uint8_t kfmt_codes[2][16];

/* By value, so that it folds where the type is a constant; bunch 0 when there is none. */
static inline kfmt kfmt_of(st_dtype type)
{
    switch ((unsigned)type) {
#define KFMT_CASE(name, ...)                                                             \
    case ST_##name:                                                                      \
        return (kfmt){__VA_ARGS__};
        KFMT_MAP(KFMT_CASE)
#undef KFMT_CASE
    }
    return (kfmt){0};
}

/* The largest u of a format with small ones, else 255. */
static inline int kfmt_most(kfmt f)
{
    if (f.codes == 2)
        return 28;
    if (f.codes || f.planes & Q_BYTES)
        return 255;
    int bits = f.planes & Q_NIBBLES ? 4 : 0;
    bits += f.planes & Q_PAIRS ? 2 : 0;
    bits += f.planes & Q_BITS ? 1 : 0;
    return (1 << bits) - 1;
}

/* One activation block: 32 columns of a token; kact_at() tells where it is. */
struct kqact {
    int8_t q[KERN_QBLOCK];
    float d;        /* scale */
    float s;        /* d * sum of q */
    float s2[2];    /* the same for each half */
    int32_t z;      /* -128 * sum of q: what weights that are 128 too large add */
    int32_t z2[2];  /* the same for each half */
    uint32_t block; /* of a fine block: its number, or FINE_NONE */
};
#define FINE_NONE UINT32_MAX

/* Blocks of a row that may get a second term: refine.c. */
static inline uint32_t fine_slots(uint32_t blocks)
{
    uint32_t slots = (blocks + 7) / 8;
    return slots < FINE_MAX ? slots : FINE_MAX;
}

/* Block 0 of row t; *ret_stride blocks on is block 1, and the fine blocks follow the
 * last. Groups of GROUP_TOKENS rows (the last may have fewer) lie by themselves, block by
 * block, so that a group stays in the caches: a stride of all rows, often a power of two,
 * would use a few of their sets. */
static inline kqact *kact_at(const kact *x, uint32_t t, uint32_t *ret_stride)
{
    const uint32_t blocks = x->cols / KERN_QBLOCK + (x->cols % KERN_QBLOCK != 0);
    const uint32_t in_group = t % GROUP_TOKENS, left = x->n - (t - in_group);
    *ret_stride = left < GROUP_TOKENS ? left : GROUP_TOKENS;
    return x->q + (t - in_group) * ((size_t)blocks + fine_slots(blocks)) + in_group;
}

/* An unpacked block of weights, where it is in memory. */
typedef struct kblock {
    ST_ALIGNED(64) uint8_t u[8][64];
    float d[2][KERN_PANEL];
    float m[2][KERN_PANEL];
} kblock;

typedef float kfstrip[STRIP_COLS][KERN_PANEL];

/* The parts that each ISA brings; matmul_panels() joins them.  `acc` is [n][16]. */
typedef struct kparts {
    /* Expand blocks [b0, b0 + nb) of a panel. */
    void (*expand)(const kmat *w, const unsigned char *panel, uint32_t b0, uint32_t nb,
                   kblock *s);
    /* acc[at[t]] += blocks [b0, b0 + nb) of a panel x token t, t < n; x is token 0 at
     * block b0, `stride` tokens from block to block. */
    void (*blocks)(const kmat *w, const unsigned char *panel, uint32_t b0, uint32_t nb,
                   const kqact *x, size_t stride, uint32_t n, const uint8_t *at,
                   float (*acc)[KERN_PANEL]);
    /* Widen nc columns from c0 of a float panel. */
    void (*widen)(st_dtype type, const unsigned char *panel, uint32_t c0, uint32_t nc,
                  kfstrip s);
    void (*ftile)(const float *s, uint32_t nc, const float *x, size_t ldx, uint32_t n,
                  float (*acc)[KERN_PANEL]);
    /* acc = a whole float panel x one token, the same bytes; may be NULL. */
    void (*fone)(st_dtype type, const unsigned char *panel, uint32_t cols, const float *x,
                 float *acc);
} kparts;

/* Tokens that are multiplied together, and their fine blocks, those of one block of
 * columns side by side, blocks rising. */
typedef struct fine_run {
    uint32_t block;
    uint32_t first; /* in token and act */
    uint32_t n;
} fine_run;

typedef struct token_group {
    uint32_t t; /* the first */
    uint32_t n;
    const kqact *q; /* its block 0 */
    uint32_t stride;
    uint32_t n_runs;
    fine_run runs[GROUP_TOKENS * FINE_MAX];
    uint8_t every[GROUP_TOKENS];            /* 0, 1, 2 ... */
    uint8_t token[GROUP_TOKENS * FINE_MAX]; /* in the group */
    ST_ALIGNED(64) kqact act[GROUP_TOKENS * FINE_MAX];
} token_group;

void fine_gather(const kact *x, token_group *g); /* fill runs, token and act */

/* Bytes of a panel, 0 when the type is not supported or cols is no whole number of
 * blocks; cols < 2^32 cannot overflow. */
uint64_t panel_bytes(st_dtype type, uint32_t cols);

static inline uint32_t record_bytes(const kfmt *f)
{
    return 32u * f->n_half + 16u * f->n_byte;
}
static inline uint32_t bunch_head(const kfmt *f) /* bytes of a bunch's scale records */
{
    return (f->bunch * KERN_QBLOCK / f->super * record_bytes(f) + 63) / 64 * 64;
}
static inline size_t bunch_at(const kfmt *f, uint32_t block)
{
    return block / f->bunch * (size_t)(bunch_head(f) + f->bunch * f->block_bytes);
}
/* Offset in a panel of a block's quants, and of the record with its scales. */
static inline size_t block_at(const kfmt *f, uint32_t block)
{
    return bunch_at(f, block) + bunch_head(f) + block % f->bunch * f->block_bytes;
}
static inline size_t record_at(const kfmt *f, uint32_t block)
{
    return bunch_at(f, block) +
           block % f->bunch * KERN_QBLOCK / f->super * record_bytes(f);
}
static inline const unsigned char *panel_at(const kmat *w, uint32_t panel)
{
    return (const unsigned char *)w->data + panel * (size_t)panel_bytes(w->type, w->cols);
}

void matmul_panels(const kparts *p, const kmat *w, const kact *x, uint32_t panel0,
                   uint32_t panel1, float *y, size_t ldy);
void matmul_rows(const kparts *p, const kmat *w, const kact *x, uint32_t t,
                 const int32_t *rows, uint32_t n, float *y);
void matmul_row(const kparts *p, const kmat *w, uint32_t r, float *out);

extern const kern kern_c;
const kern *kern_native(st_isa isa); /* tables of this architecture, NULL when none */
#endif
