/* grammar/dfa_open.c - from which states any plain text leads on, or back to them.
 *
 * The largest set of pairs (state of plain text, state of the automaton) in which no byte
 * leads from a living first partner to a dead second one: pairs are struck out until none
 * has to be. */
#include "grammar/dfa.h"

#include "base/mem.h"
#include "grammar/dfa_build.h"
#include <string.h>

typedef struct pairs {
    const dfa *plain, *d;
    uint8_t *good; /* [plain->n_states, d->n_states] */
    uint32_t n_bytes;
    uint8_t bytes[256]; /* one of each sort */
} pairs;

static void sort_bytes(pairs *p)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t i = 0;
        while (i < p->n_bytes &&
               (p->plain->class_of[p->bytes[i]] != p->plain->class_of[byte] ||
                p->d->class_of[p->bytes[i]] != p->d->class_of[byte]))
            i++;
        if (i == p->n_bytes)
            p->bytes[p->n_bytes++] = (uint8_t)byte;
    }
}

static bool still_good(const pairs *p, uint32_t a, uint32_t s)
{
    for (uint32_t i = 0; i < p->n_bytes; i++) {
        uint32_t to = dfa_step(p->plain, a, p->bytes[i]);
        if (to != DFA_DEAD &&
            !p->good[(size_t)to * p->d->n_states + dfa_step(p->d, s, p->bytes[i])])
            return false;
    }
    return true;
}

static void strike(pairs *p)
{
    uint32_t n = p->d->n_states;
    memset(p->good, 1, (size_t)p->plain->n_states * n);
    for (uint32_t a = 1; a < p->plain->n_states; a++)
        p->good[(size_t)a * n] = 0;
    for (bool again = true; again;) {
        again = false;
        for (uint32_t s = n; s-- > 1;) { /* ways mostly lead to higher numbers */
            for (uint32_t a = p->plain->n_states; a-- > 1;) {
                uint8_t *good = &p->good[(size_t)a * n + s];
                if (*good && !still_good(p, a, s)) {
                    *good = 0;
                    again = true;
                }
            }
        }
    }
}

/* Does text that leads to the end of a character lead back to s?  From a place
 * inside a character, `to` of it in the automaton; at most three deep. */
static bool leads_back(const pairs *p, uint32_t s, uint32_t a, uint32_t to)
{
    for (uint32_t i = 0; i < p->n_bytes; i++) {
        uint32_t next = dfa_step(p->plain, a, p->bytes[i]);
        uint32_t next_to = dfa_step(p->d, to, p->bytes[i]);
        if (next != DFA_DEAD &&
            (next == p->plain->start ? next_to != s : !leads_back(p, s, next, next_to)))
            return false;
    }
    return true;
}

int dfa_open(const dfa *d, uint8_t *open, st_err *err)
{
    dfa *plain;
    int rc = dfa_plain(&plain, err);
    if (rc < 0)
        return rc;
    pairs p = {.plain = plain, .d = d};
    p.good = st_alloc_n((size_t)plain->n_states, d->n_states);
    if (p.good) {
        sort_bytes(&p);
        strike(&p);
        memcpy(open, p.good + (size_t)plain->start * d->n_states, d->n_states);
        open[DFA_DEAD] = 0;
        for (uint32_t s = 1; s < d->n_states; s++) {
            if (open[s] && leads_back(&p, s, plain->start, s))
                open[s] = DFA_LOOPS;
        }
    }
    st_free(p.good);
    dfa_free(plain);
    return p.good ? 0 : dfa_out_of_memory(err);
}
