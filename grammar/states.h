/* grammar/states.h - byte strings numbered by value; private to this room.
 *
 * Numbers begin at 1 in order of first sight.  Memory: states_done.  Threads: one owner.
 */
#ifndef GRAMMAR_STATES_H
#define GRAMMAR_STATES_H
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

typedef struct states {
    uint32_t n;     /* the last number given */
    uint8_t *bytes; /* of all, one after the other */
    size_t used, cap;
    size_t *begin; /* [n + 2] where number i begins: begin[i]; ends: begin[i + 1] */
    uint32_t cap_n;
    uint32_t *slots; /* hash table of numbers */
    uint32_t n_slots;
} states;

/* The number of a value, new or known. */
ST_NODISCARD int states_put(states *s, const void *value, size_t len, uint32_t *ret,
                            st_err *err);
/* Valid until the next put. */
const void *states_get(const states *s, uint32_t number, size_t *ret_len);
void states_keep(states *s, uint32_t n); /* forget numbers over n */
size_t states_bytes(const states *s);
void states_done(states *s);
#endif
