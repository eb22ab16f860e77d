/* model/adapt.h - what an adapter is made of, and what it adds to a product; private to
 * this room. */
#ifndef MODEL_ADAPT_H
#define MODEL_ADAPT_H
#include "model/adapter.h"
#include "model/layer.h"

/* The matrices of a layer that can be adapted. */
typedef enum adapt_slot {
    ADAPT_QKV,
    ADAPT_Q,
    ADAPT_K,
    ADAPT_V,
    ADAPT_O,
    ADAPT_GATE,
    ADAPT_UP,
    ADAPT_DOWN,
    ADAPT_SLOTS,
} adapt_slot;

/* A of a low rank would fill few lanes of a panel: it is folded, so that a row of it is
 * `fold` rows of a, of which row f * rank + r holds the f-th part of A's row r.  Then the
 * parts of a row of x are tokens, and A x is the sum of a's rows f * rank + r for the
 * f-th of them. */
typedef struct low_rank {
    kmat a; /* [fold * rank, columns / fold]; a.data NULL: not adapted */
    kmat b; /* [rows, rank] */
    uint32_t rank;
    uint32_t fold;
    float scale;
} low_rank;

typedef struct adapter_layer {
    low_rank slots[ADAPT_SLOTS];
} adapter_layer;

struct adapter {
    const model *base;
    adapter_info info;
    uint64_t serial;
    adapter_layer *layers; /* [n_layers] */
    unsigned char *block;  /* of all factors, packed */
    char *name;            /* behind info.base */
};

/* Rows of a stripe that are next to each other and carry the same adapter. */
typedef struct adapt_tile {
    const adapter *adapter;
    uint32_t row0;
    uint32_t n;
} adapt_tile;

/* A product that was run for the live rows: y[row * ldy] from x[row * columns of W]. */
typedef struct adapt_part {
    adapt_slot slot;
    const float *x;
    float *y;
    size_t ldy;
} adapt_part;

/* Add what the adapters of the live rows give to products of the layer that runs. */
void adapt_run(const pass *p, const adapt_part *parts, uint32_t n);
#endif
