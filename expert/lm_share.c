/* expert/lm_share.c - what all who have an lm share: its scheduler, beginnings of texts.
 */
#include "expert/lm.h"

#include <string.h>

#include "base/mem.h"
#include "engine/sched.h"

int lm_sched(lm *l, const sched_opts *opts, sched **ret_sched, st_err *err)
{
    static const sched_opts alone = {.max_requests = 256};
    int rc = l->sched ? 0 : sched_new(l->engine, opts ? opts : &alone, &l->sched, err);
    if (rc == 0)
        *ret_sched = l->sched;
    return rc;
}

static void forget(lm *l, lm_begun *b)
{
    if (b->pin)
        sched_prefix_unpin(l->sched, b->pin);
    b->pin = NULL;
    b->ids.n = 0;
}

static bool is_of(const lm_begun *b, const int32_t *ids, uint32_t n)
{
    return b->pin && b->ids.n == n && memcmp(b->ids.ids, ids, n * sizeof *ids) == 0;
}

/* The one that was asked for longest ago, or an empty one; `pinned`: one with a pin, NULL
 * when there is none. */
static lm_begun *oldest(lm *l, bool pinned)
{
    lm_begun *found = NULL;
    for (uint32_t i = 0; i < LM_BEGINNINGS; i++) {
        lm_begun *b = &l->begun[i];
        if ((!pinned || b->pin) && (!found || b->used < found->used))
            found = b;
    }
    return found;
}

static int pin(lm *l, lm_begun *b, const int32_t *ids, uint32_t n, st_err *err)
{
    int32_t *room = st_realloc_n(b->ids.ids, n, sizeof *room);
    if (!room)
        return st_err_set(err, ST_ENOMEM, "no memory for a beginning of %u tokens", n);
    memcpy(room, ids, n * sizeof *room);
    b->ids = (tok_ids){.ids = room, .n = n, .cap = n};
    for (;;) { /* older ones make room */
        st_err why = {0};
        int rc = sched_prefix_pin(l->sched, ids, n, &b->pin, &why);
        lm_begun *other = rc == ST_ELIMIT ? oldest(l, true) : NULL;
        if (!other)
            return rc ? st_err_set(err, rc, "%s", why.message) : 0;
        forget(l, other);
    }
}

static int begin(lm *l, lm_begun *b, const int32_t *ids, uint32_t n, const seq **ret_seq,
                 st_err *err)
{
    int rc = 0;
    if (!b->pin)
        rc = pin(l, b, ids, n, err);
    if (rc == 0 && l->keeps)
        rc = sched_prefix_run_kept(l->sched, b->pin, err);
    return rc ? rc : sched_prefix_run(l->sched, b->pin, ret_seq, err);
}

int lm_beginning(lm *l, const int32_t *ids, uint32_t n, const seq **ret_seq, st_err *err)
{
    struct sched *s;
    lm_begun *b = NULL;
    int rc = lm_sched(l, NULL, &s, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < LM_BEGINNINGS && !b; i++)
        b = is_of(&l->begun[i], ids, n) ? &l->begun[i] : NULL;
    if (!b) {
        b = oldest(l, false);
        forget(l, b);
    }
    b->used = ++l->n_asked;
    rc = begin(l, b, ids, n, ret_seq, err);
    if (rc)
        forget(l, b);
    return rc;
}

bool lm_spare(lm *l)
{
    uint32_t before = engine_free_pages(l->engine);
    if (l->sched)
        sched_spare(l->sched, UINT32_MAX);
    return engine_free_pages(l->engine) > before;
}
