/* grammar/dfa_open.c - from which states any plain text leads on, or back to them.
 *
 * The largest set of pairs (state of plain text, state of the automaton) in which no byte
 * leads from a living first partner to a dead second one: pairs are struck out until none
 * has to be.  Only pairs that can be met are looked at: those of the state between
 * characters, and what the ones among them lead to that do not fail at once.
 *
 * What is left of them is then looked at character by character: how many can be read at
 * least before one fails. */
#include "grammar/dfa.h"

#include "base/mem.h"
#include "grammar/dfa_build.h"
#include <string.h>

enum { MOST_WORK = 1 << 19 }; /* steps of one round of what is not open for ever */

typedef struct pairs {
    const dfa *plain, *d;
    uint8_t *good; /* [plain->n_states, d->n_states] met and not struck out */
    size_t *met;   /* [n_met] place in `good` */
    size_t n_met;
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

/* Where a pair leads by a byte; false: it is no plain text. */
static bool step(const pairs *p, size_t pair, uint8_t byte, size_t *ret, bool *ret_dead)
{
    uint32_t n = p->d->n_states;
    uint32_t a = dfa_step(p->plain, (uint32_t)(pair / n), byte);
    uint32_t s = dfa_step(p->d, (uint32_t)(pair % n), byte);
    *ret = (size_t)a * n + s;
    *ret_dead = s == DFA_DEAD;
    return a != DFA_DEAD;
}

static bool still_good(const pairs *p, size_t pair)
{
    size_t to;
    bool dead;
    for (uint32_t i = 0; i < p->n_bytes; i++) {
        if (step(p, pair, p->bytes[i], &to, &dead) && (dead || !p->good[to]))
            return false;
    }
    return true;
}

/* Look at a pair for the first time: it fails at once, or all that it leads to is met. */
static void meet(pairs *p, size_t pair)
{
    size_t to;
    bool dead;
    for (uint32_t i = 0; i < p->n_bytes; i++) {
        if (step(p, pair, p->bytes[i], &to, &dead) && dead)
            return;
    }
    p->good[pair] = 1;
    p->met[p->n_met++] = pair;
}

static void meet_all(pairs *p)
{
    uint32_t n = p->d->n_states;
    size_t to;
    bool dead;
    for (uint32_t s = 1; s < n; s++)
        meet(p, (size_t)p->plain->start * n + s);
    for (size_t i = 0; i < p->n_met; i++) {
        for (uint32_t k = 0; k < p->n_bytes; k++) {
            bool plain = step(p, p->met[i], p->bytes[k], &to, &dead);
            if (plain && !p->good[to] && to / n != p->plain->start)
                meet(p, to);
        }
    }
}

static void strike(pairs *p)
{
    for (bool again = true; again;) {
        again = false;
        for (size_t i = p->n_met; i-- > 0;) { /* ways mostly lead to later ones */
            if (p->good[p->met[i]] && !still_good(p, p->met[i])) {
                p->good[p->met[i]] = 0;
                again = true;
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

/* Does every byte from a pair lead on?  To the end of a character from where `rounds`
 * more can be read, or to a pair inside of one that is `good`. */
static bool leads_on(const pairs *p, size_t pair, const uint8_t *open, uint32_t rounds)
{
    uint32_t n = p->d->n_states;
    size_t to;
    bool dead;
    for (uint32_t i = 0; i < p->n_bytes; i++) {
        if (!step(p, pair, p->bytes[i], &to, &dead))
            continue;
        if (dead || (to / n == p->plain->start ? open[to % n] < rounds : !p->good[to]))
            return false;
    }
    return true;
}

/* Of the states that are not open: how many characters at least can be read. */
static void count_rooms(pairs *p, uint8_t *open)
{
    uint32_t n = p->d->n_states;
    size_t begin = (size_t)p->plain->start * n;
    bool more = p->n_met * p->n_bytes <= MOST_WORK;
    for (size_t i = 0; i < p->n_met; i++) /* those struck out count as inside */
        p->good[p->met[i]] |= (uint8_t)(p->good[p->met[i]] << 1);
    for (uint32_t round = 0; more && round < DFA_FAR; round++) {
        more = false;
        for (uint32_t byte = 0; byte < 3; byte++) { /* inside: the last bytes first */
            for (size_t i = 0; i < p->n_met; i++) {
                size_t pair = p->met[i];
                if (pair / n != p->plain->start && !(p->good[pair] & 2))
                    p->good[pair] = leads_on(p, pair, open, round);
            }
        }
        for (size_t i = 0; i < p->n_met; i++) {
            size_t pair = p->met[i];
            if (pair - begin < n && open[pair - begin] == round &&
                leads_on(p, pair, open, round)) {
                open[pair - begin]++;
                more = true;
            }
        }
    }
}

int dfa_open(const dfa *d, uint8_t *open, st_err *err)
{
    dfa *plain;
    int rc = dfa_plain(&plain, err);
    if (rc < 0)
        return rc;
    pairs p = {.plain = plain, .d = d};
    p.good = st_zalloc_n((size_t)plain->n_states, d->n_states);
    p.met = st_alloc_n((size_t)plain->n_states * d->n_states, sizeof *p.met);
    rc = p.good && p.met ? 0 : dfa_out_of_memory(err);
    if (!rc) {
        sort_bytes(&p);
        meet_all(&p);
        strike(&p);
        memcpy(open, p.good + (size_t)plain->start * d->n_states, d->n_states);
        open[DFA_DEAD] = 0;
        for (uint32_t s = 1; s < d->n_states; s++) {
            if (open[s])
                open[s] = leads_back(&p, s, plain->start, s) ? DFA_LOOPS : DFA_ENDLESS;
        }
        count_rooms(&p, open);
    }
    st_free(p.good);
    st_free(p.met);
    dfa_free(plain);
    return rc;
}
