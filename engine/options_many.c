/* engine/options_many.c - several requests' options in shared steps.
 *
 * Requests start in their order and share each step in their order, so the first are
 * never held up by the later ones.  One starts when the free pages hold all that it and
 * those before it may still take, or when it would be alone. */
#include "engine/core.h"
#include "engine/options.h"

#include "base/mem.h"

typedef struct scorer {
    engine *e;
    const options_request *requests;
    uint32_t n;
    uint32_t n_started;
    options_run **runs; /* [n] NULL: not started, or done */
    uint32_t *before;   /* [n] lengths of the sequences */
    step_item *items;   /* [n] of the step being made */
    uint32_t *item_of;  /* [n] the request of an item */
} scorer;

/* Most pages that a request takes, one for the copy of a shared tail among them. */
static uint64_t pages_wanted(const scorer *sc, const options_request *q)
{
    uint32_t nodes = options_n_run(q->options, q->held);
    if (nodes > engine_max_batch(sc->e))
        nodes = engine_max_batch(sc->e);
    return (uint64_t)kv_pages_for(q->n) + kv_pages_for(nodes) + 2;
}

static int requests_start(scorer *sc, st_err *err)
{
    uint64_t wanted = 0;
    bool alone = true;
    for (uint32_t i = 0; i < sc->n_started; i++) {
        if (!sc->runs[i])
            continue;
        alone = false;
        wanted += pages_wanted(sc, &sc->requests[i]);
    }
    for (; sc->n_started < sc->n; alone = false) {
        const options_request *q = &sc->requests[sc->n_started];
        wanted += pages_wanted(sc, q);
        if (!alone && wanted > engine_free_pages(sc->e))
            break;
        int rc = options_run_new(sc->e, options_n_nodes(q->options),
                                 &sc->runs[sc->n_started++], err);
        if (rc == 0)
            rc = options_run_start(sc->runs[sc->n_started - 1], q, err);
        if (rc < 0) {
            st_err_at(err, "request %u", sc->n_started - 1);
            return rc;
        }
    }
    return 0;
}

static uint32_t items_make(scorer *sc)
{
    uint32_t n = 0, room = engine_max_batch(sc->e);
    for (uint32_t i = 0; i < sc->n_started && room > 0; i++) {
        if (!sc->runs[i] || !options_run_next(sc->runs[i], room, &sc->items[n]))
            continue;
        room -= sc->items[n].n;
        sc->item_of[n++] = i;
    }
    return n;
}

static void items_take(scorer *sc, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = sc->item_of[k];
        options_run_take(sc->runs[i]);
        if (!options_run_is_done(sc->runs[i]))
            continue;
        options_run_free(sc->runs[i]);
        sc->runs[i] = NULL;
    }
}

static int requests_check(const options_request *requests, uint32_t n, st_err *err)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < i; k++)
            if (requests[i].s == requests[k].s)
                return st_err_set(err, ST_EINVAL, "requests %u and %u share a sequence",
                                  k, i);
    return 0;
}

static int scorer_run(scorer *sc, st_err *err)
{
    for (;;) {
        int rc = requests_start(sc, err);
        uint32_t n_items = rc == 0 ? items_make(sc) : 0;
        if (n_items == 0)
            return rc;
        rc = engine_step(sc->e, sc->items, n_items, err);
        if (rc < 0)
            return rc;
        items_take(sc, n_items);
    }
}

int options_score_many(const options_request *requests, uint32_t n, st_err *err)
{
    scorer sc = {.requests = requests, .n = n};
    int rc = requests_check(requests, n, err);
    if (rc < 0 || n == 0)
        return rc;
    sc.e = seq_engine(requests[0].s);
    sc.runs = st_zalloc_n(n, sizeof(options_run *));
    sc.before = st_alloc_n(n, sizeof *sc.before);
    sc.items = st_alloc_n(n, sizeof *sc.items);
    sc.item_of = st_alloc_n(n, sizeof *sc.item_of);
    if (!sc.runs || !sc.before || !sc.items || !sc.item_of) {
        rc = st_err_set(err, ST_ENOMEM, "no memory to score %u requests", n);
        goto done;
    }
    for (uint32_t i = 0; i < n; i++)
        sc.before[i] = seq_len(requests[i].s);
    rc = scorer_run(&sc, err);
    for (uint32_t i = 0; rc < 0 && i < n; i++)
        seq_truncate(requests[i].s, sc.before[i]);
done:
    for (uint32_t i = 0; sc.runs && i < n; i++)
        options_run_free(sc.runs[i]);
    st_free(sc.item_of);
    st_free(sc.items);
    st_free(sc.before);
    st_free(sc.runs);
    return rc;
}

int options_score(const options *o, seq *s, const int32_t *tokens, uint32_t n,
                  double *ret_logp, st_err *err)
{
    options_request q = {
        .options = o, .s = s, .tokens = tokens, .n = n, .ret_logp = ret_logp};
    return options_score_many(&q, 1, err);
}
