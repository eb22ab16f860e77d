/* grammar/dfa_automaton.c - a DFA as one of the automata that masks are made of. */
#include "grammar/dfa_automaton.h"

#include "base/mem.h"
#include "grammar/dfa_build.h"

typedef struct dfa_automaton {
    automaton base;
    const dfa *d;
    uint8_t *open; /* [n_states] dfa_open */
} dfa_automaton;

static const dfa_automaton *of(const automaton *a)
{
    return (const dfa_automaton *)a; /* the first member of it */
}

static void done(automaton *a)
{
    if (!a)
        return;
    st_free(of(a)->open);
    st_free(a);
}

static int step(automaton *a, state_id s, uint8_t byte, state_id *ret, st_err *err)
{
    (void)err;
    *ret = dfa_step(of(a)->d, s, byte);
    return 0;
}

static bool accepts(const automaton *a, state_id s)
{
    return of(a)->d->label[s] != 0;
}

static size_t bytes(const automaton *a)
{
    return sizeof(dfa_automaton) + of(a)->d->n_states;
}

static void forget(automaton *a)
{
    (void)a;
}

static uint32_t room(const automaton *a, state_id s)
{
    uint8_t open = of(a)->open[s];
    return open < DFA_ENDLESS ? open : UINT32_MAX;
}

static bool loops(const automaton *a, state_id s)
{
    return of(a)->open[s] == DFA_LOOPS;
}

static const automaton_ops ops = {
    .free = done,
    .step = step,
    .accepts = accepts,
    .bytes = bytes,
    .forget = forget,
    .room = room,
    .loops = loops,
};

int dfa_automaton_new(const dfa *d, automaton **ret, st_err *err)
{
    if (d->start != STATE_START)
        return st_err_set(err, ST_EINVAL, "no text is accepted");
    dfa_automaton *a = st_zalloc_n(1, sizeof *a);
    uint8_t *open = st_zalloc_n(d->n_states, 1);
    int rc = a && open ? dfa_open(d, open, err) : dfa_out_of_memory(err);
    if (rc < 0) {
        st_free(a);
        st_free(open);
        return rc;
    }
    *a = (dfa_automaton){.base = {&ops}, .d = d, .open = open};
    *ret = &a->base;
    return 0;
}
