/* grammar/intern.h - byte strings numbered by value; private to this room.
 *
 * Numbers begin at 1 in order of first sight.  Memory: intern_done.  Threads: one owner.
 */
#ifndef GRAMMAR_INTERN_H
#define GRAMMAR_INTERN_H
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

typedef struct intern {
    uint32_t n;     /* the last number given */
    uint8_t *bytes; /* of all, one after the other */
    size_t used, cap;
    size_t *begin; /* [n + 2] where number i begins: begin[i]; ends: begin[i + 1] */
    uint32_t cap_n;
    uint32_t *slots; /* hash table of numbers */
    uint32_t n_slots;
} intern;

/* The number of a value, new or known. */
ST_NODISCARD int intern_put(intern *s, const void *value, size_t len, uint32_t *ret,
                            st_err *err);
/* 0: it is not known. */
uint32_t intern_find(const intern *s, const void *value, size_t len);
/* Valid until the next put. */
const void *intern_get(const intern *s, uint32_t number, size_t *ret_len);
void intern_keep(intern *s, uint32_t n); /* forget numbers over n, and their memory */
size_t intern_bytes(const intern *s);
void intern_done(intern *s);
#endif
