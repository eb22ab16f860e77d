/* grammar/dfa_product.h - automata run side by side; private to this room.
 *
 * A state of the product is one state of each part.  What it is labelled with is asked of
 * the caller, who may fail.
 *
 * Threads: one owner.  Memory: nothing is kept. */
#ifndef GRAMMAR_DFA_PRODUCT_H
#define GRAMMAR_DFA_PRODUCT_H
#include "grammar/dfa.h"

typedef struct dfa_product {
    const dfa *const *parts; /* [n] */
    uint32_t n;
    uint32_t n_need; /* dead as soon as one of the first n_need is; 0: when all are */
    bool merge;      /* make it minimal */
    int (*label)(const struct dfa_product *p, const uint32_t *states, uint32_t *ret,
                 st_err *err);
    void *arg; /* of `label` */
} dfa_product;

ST_NODISCARD int dfa_product_make(const dfa_product *p, dfa **ret, st_err *err);
#endif
