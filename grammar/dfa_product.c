/* grammar/dfa_product.c - what several automata say of a text, in one; and, or, not. */
#include "grammar/dfa_product.h"

#include "base/mem.h"
#include "grammar/dfa_build.h"
#include "grammar/intern.h"
#include <string.h>

/* Bytes that no part tells apart share a class; bytes[c] is one of class c. */
static uint32_t join_classes(const dfa_product *p, uint8_t class_of[256],
                             uint8_t bytes[256])
{
    uint32_t n = 0;
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t c = 0;
        for (; c < n; c++) {
            uint32_t i = 0;
            while (i < p->n &&
                   p->parts[i]->class_of[byte] == p->parts[i]->class_of[bytes[c]])
                i++;
            if (i == p->n)
                break;
        }
        if (c == n)
            bytes[n++] = (uint8_t)byte;
        class_of[byte] = (uint8_t)c;
    }
    return n;
}

static bool is_dead(const dfa_product *p, const uint32_t *states)
{
    for (uint32_t i = 0; i < p->n_need; i++) {
        if (states[i] == DFA_DEAD)
            return true;
    }
    for (uint32_t i = p->n_need; i < p->n; i++) {
        if (states[i] != DFA_DEAD)
            return false;
    }
    return p->n_need == 0;
}

/* The product's state for `states`, a new row where it is new. */
static int visit(const dfa_product *p, intern *known, dfa_draft *w,
                 const uint32_t *states, uint32_t *ret, st_err *err)
{
    uint32_t state, label, row;
    if (is_dead(p, states)) {
        *ret = DFA_DEAD;
        return 0;
    }
    int rc = intern_put(known, states, p->n * sizeof *states, &state, err);
    if (!rc && state == w->n_states) {
        rc = p->label(p, states, &label, err);
        if (!rc)
            rc = dfa_draft_add(w, label, &row, err);
    }
    if (!rc)
        *ret = state;
    return rc;
}

static int explore(const dfa_product *p, const uint8_t bytes[256], intern *known,
                   dfa_draft *w, uint32_t *from, uint32_t *to, st_err *err)
{
    for (uint32_t i = 0; i < p->n; i++)
        from[i] = p->parts[i]->start;
    int rc = visit(p, known, w, from, &w->start, err);
    for (uint32_t s = 1; !rc && s < w->n_states; s++) {
        size_t len;
        memcpy(from, intern_get(known, s, &len), p->n * sizeof *from);
        for (uint32_t c = 0; !rc && c < w->n_classes; c++) {
            uint32_t next;
            for (uint32_t i = 0; i < p->n; i++)
                to[i] = dfa_step(p->parts[i], from[i], bytes[c]);
            rc = visit(p, known, w, to, &next, err);
            if (!rc)
                dfa_draft_row(w, s)[c] = next;
        }
    }
    return rc;
}

int dfa_product_make(const dfa_product *p, dfa **ret, st_err *err)
{
    uint8_t class_of[256], bytes[256];
    dfa_draft w = {0};
    intern known = {0};
    uint32_t n_classes = join_classes(p, class_of, bytes);
    uint32_t *room = st_alloc_n(p->n, 2 * sizeof *room);
    int rc = room ? dfa_draft_init(&w, class_of, n_classes, err) : dfa_out_of_memory(err);
    if (!rc)
        rc = explore(p, bytes, &known, &w, room, room + p->n, err);
    if (!rc)
        rc = dfa_finish(&w, p->merge, ret, err);
    dfa_draft_done(&w);
    intern_done(&known);
    st_free(room);
    return rc;
}

/* In all of the needed parts and in none of the others. */
static int label_meet(const dfa_product *p, const uint32_t *states, uint32_t *ret,
                      st_err *err)
{
    (void)err;
    bool in = true;
    for (uint32_t i = 0; i < p->n; i++)
        in = in && (p->parts[i]->label[states[i]] != 0) == (i < p->n_need);
    *ret = in;
    return 0;
}

static int label_join(const dfa_product *p, const uint32_t *states, uint32_t *ret,
                      st_err *err)
{
    (void)err;
    bool in = false;
    for (uint32_t i = 0; i < p->n; i++)
        in = in || p->parts[i]->label[states[i]] != 0;
    *ret = in;
    return 0;
}

static int copy(const dfa *d, dfa **ret, st_err *err)
{
    dfa *twin = st_dup(d, sizeof *d);
    if (twin) {
        twin->next =
            st_dup(d->next, (size_t)d->n_states * d->n_classes * sizeof *d->next);
        twin->label = st_dup(d->label, d->n_states * sizeof *d->label);
    }
    if (!twin || !twin->next || !twin->label) {
        dfa_free(twin);
        return dfa_out_of_memory(err);
    }
    *ret = twin;
    return 0;
}

int dfa_meet(const dfa *const *in, uint32_t n_in, const dfa *const *out, uint32_t n_out,
             dfa **ret, st_err *err)
{
    dfa *any = NULL;
    uint32_t n_need = n_in ? n_in : 1;
    if (n_in == 1 && n_out == 0)
        return copy(in[0], ret, err);
    const dfa **parts = st_alloc_n((size_t)n_need + n_out, sizeof *parts);
    int rc = parts ? 0 : dfa_out_of_memory(err);
    if (!rc && n_in == 0)
        rc = dfa_any(&any, err);
    if (!rc) {
        parts[0] = any;
        for (uint32_t i = 0; i < n_in; i++)
            parts[i] = in[i];
        for (uint32_t i = 0; i < n_out; i++)
            parts[n_need + i] = out[i];
        dfa_product p = {parts, n_need + n_out, n_need, true, label_meet, NULL};
        rc = dfa_product_make(&p, ret, err);
    }
    st_free(parts);
    dfa_free(any);
    return rc;
}

int dfa_join(const dfa *const *parts, uint32_t n, dfa **ret, st_err *err)
{
    dfa_product p = {parts, n, 0, true, label_join, NULL};
    if (n > 0)
        return dfa_product_make(&p, ret, err);
    return dfa_texts(NULL, NULL, 0, ret, err);
}
