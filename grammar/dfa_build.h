/* grammar/dfa_build.h - automata under construction; private to this room.
 *
 * A draft is a table that grows row by row.  dfa_finish makes of it what dfa.h promises:
 * states that cannot be reached, or lead nowhere, are dropped; the start is state 1;
 * bytes that no state tells apart share a class.
 *
 * Threads: one owner.  Memory: dfa_draft_done; dfa_finish does not free the draft. */
#ifndef GRAMMAR_DFA_BUILD_H
#define GRAMMAR_DFA_BUILD_H
#include "grammar/dfa.h"

enum {
    DRAFT_MAX_STATES = 2 * DFA_MAX_STATES,
    DRAFT_MAX_CELLS = 1 << 22, /* 16 MiB of table */
};

typedef struct dfa_draft {
    uint32_t n_states; /* with the dead state 0, which is there from the beginning */
    uint32_t n_classes;
    uint32_t start;
    uint32_t cap;
    uint8_t class_of[256];
    uint32_t *next;  /* [n_states, n_classes] */
    uint32_t *label; /* [n_states] */
} dfa_draft;

ST_NODISCARD int dfa_draft_init(dfa_draft *w, const uint8_t class_of[256],
                                uint32_t n_classes, st_err *err);
void dfa_draft_done(dfa_draft *w);
/* One more state, all its ways dead. */
ST_NODISCARD int dfa_draft_add(dfa_draft *w, uint32_t label, uint32_t *ret_state,
                               st_err *err);

static inline uint32_t *dfa_draft_row(const dfa_draft *w, uint32_t state)
{
    return w->next + (size_t)state * w->n_classes;
}

/* The automaton of a draft; with `merge` the smallest one with these labels. */
ST_NODISCARD int dfa_finish(const dfa_draft *w, bool merge, dfa **ret, st_err *err);

/* block[s] of each state s >= 1 of a trimmed draft: equal where two states have the same
 * labelled language.  Blocks are 0 .. *ret_n - 1. */
ST_NODISCARD int dfa_minimise(const dfa_draft *w, uint32_t *block, uint32_t *ret_n,
                              st_err *err);

/* order[i], [n_states - 1]: the states in an order in which every way leads to a later
 * one. False: there is a circle, so texts without end.  ways_in: scratch, [n_states]. */
bool dfa_sort(const dfa *d, uint32_t *ways_in, uint32_t *order);

int dfa_out_of_memory(st_err *err);
#endif
