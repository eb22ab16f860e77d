/* grammar/parts_states.c - a graph of parts as an automaton.
 *
 * A state is a sorted set of spots: a leaf and how far the text is in it (bytes of a
 * literal, a state of an automaton).  The spot DONE is there when the whole text may end.
 *
 * Names and items that may not repeat belong to one automaton and to the text since it
 * was entered; where that was is found by reading the text again from a place short of
 * its end that the last reading kept.
 */
#include "grammar/intern.h"
#include "grammar/parts_priv.h"

#include "base/mem.h"
#include <string.h>

enum {
    DONE = UINT32_MAX, /* the leaf behind the last one */
    KEEP_BEHIND = 96,  /* bytes before a text's end where reading again begins */
};

typedef struct spot {
    uint32_t leaf, at;
    size_t from; /* byte of the text where the leaf was entered; not part of the state */
} spot;

typedef struct spots {
    spot *list; /* [n] by leaf and at, each pair once */
    uint32_t n, cap;
    bool failed; /* out of memory */
} spots;

typedef struct parts_state { /* what is numbered */
    uint32_t leaf, at;
} parts_state;

typedef struct parts_run {
    automaton base;
    parts *p;
    intern states;
    uint32_t *first; /* [n_first] */
    uint32_t n_first;
    bool empty;
    char *markers[PARTS_MARKERS]; /* owned */
    uint32_t n_markers;
    spots now, next;
    parts_state *packed;
    uint32_t cap_packed;
    char *read; /* [n_read] the text that `kept` is behind */
    size_t n_read, cap_read;
    spots kept;
} parts_run;

static int spot_cmp(const spot *a, const spot *b)
{
    if (a->leaf != b->leaf)
        return a->leaf < b->leaf ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

/* Put a spot where it belongs; false when it is there already. */
static bool spots_put(spots *s, spot new)
{
    uint32_t lo = 0, hi = s->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = spot_cmp(&s->list[mid], &new);
        if (c == 0)
            return false;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? 2 * s->cap : 16;
        spot *list = st_realloc_n(s->list, cap, sizeof *list);
        if (!list) {
            s->failed = true;
            return false;
        }
        s->list = list;
        s->cap = cap;
    }
    memmove(s->list + lo + 1, s->list + lo, (s->n - lo) * sizeof *s->list);
    s->list[lo] = new;
    s->n++;
    return true;
}

static const automaton *sub_of(const parts_run *a, const part_leaf *leaf)
{
    return a->p->subs[leaf->n];
}

static void leaf_enter(const parts_run *a, uint32_t number, size_t from, spots *out);

/* What may come behind a leaf that is done. */
static void leaf_leave(const parts_run *a, const part_leaf *leaf, size_t from, spots *out)
{
    if (leaf->last)
        spots_put(out, (spot){.leaf = DONE});
    for (uint32_t i = 0; i < leaf->n_follows; i++)
        leaf_enter(a, a->p->follows[leaf->follows + i].to, from, out);
}

/* The beginning of a leaf, and what is behind it where it may be empty. */
static void leaf_enter(const parts_run *a, uint32_t number, size_t from, spots *out)
{
    const part_leaf *leaf = &a->p->leaves[number];
    spot s = {.leaf = number, .at = leaf->text ? 0 : STATE_START, .from = from};
    if (!spots_put(out, s) || leaf->text)
        return;
    const automaton *sub = sub_of(a, leaf);
    if (sub->ops->accepts(sub, STATE_START))
        leaf_leave(a, leaf, from, out);
}

static int spot_step(parts_run *a, const spot *s, uint8_t byte, size_t at, spots *out,
                     st_err *err)
{
    if (s->leaf == DONE)
        return 0;
    const part_leaf *leaf = &a->p->leaves[s->leaf];
    spot next = *s;
    if (leaf->text) {
        if ((uint8_t)leaf->text[s->at] != byte)
            return 0;
        next.at++;
        if (next.at == leaf->n)
            leaf_leave(a, leaf, at + 1, out);
        else
            spots_put(out, next);
        return 0;
    }
    automaton *sub = a->p->subs[leaf->n];
    int rc = sub->ops->step(sub, s->at, byte, &next.at, err);
    if (rc < 0 || next.at == STATE_DEAD)
        return rc;
    spots_put(out, next);
    if (sub->ops->accepts(sub, next.at))
        leaf_leave(a, leaf, at + 1, out);
    return 0;
}

/* From `now` to `next` by the byte that is the text's number `at`. */
static int spots_step(parts_run *a, const spots *now, uint8_t byte, size_t at,
                      spots *next, st_err *err)
{
    int rc = 0;
    next->n = 0;
    next->failed = false;
    for (uint32_t i = 0; rc == 0 && i < now->n; i++)
        rc = spot_step(a, &now->list[i], byte, at, next, err);
    if (rc == 0 && next->failed)
        rc = st_err_set(err, ST_ENOMEM, "no memory for a state");
    return rc;
}

static int state_put(parts_run *a, const spots *s, state_id *ret, st_err *err)
{
    if (s->n == 0) {
        *ret = STATE_DEAD;
        return 0;
    }
    if (s->n > a->cap_packed) {
        parts_state *packed = st_realloc_n(a->packed, s->cap, sizeof *packed);
        if (!packed)
            return st_err_set(err, ST_ENOMEM, "no memory for a state");
        a->packed = packed;
        a->cap_packed = s->cap;
    }
    for (uint32_t i = 0; i < s->n; i++)
        a->packed[i] = (parts_state){.leaf = s->list[i].leaf, .at = s->list[i].at};
    return intern_put(&a->states, a->packed, s->n * sizeof *a->packed, ret, err);
}

/* A spot of a state; the bytes of states have no alignment. */
static parts_state state_spot(const parts_run *a, state_id s, uint32_t i, uint32_t *ret_n)
{
    size_t len;
    parts_state one = {0};
    const uint8_t *bytes = intern_get(&a->states, s, &len);
    *ret_n = (uint32_t)(len / sizeof one);
    if (i < *ret_n)
        memcpy(&one, bytes + i * sizeof one, sizeof one);
    return one;
}

static int spots_unpack(parts_run *a, state_id s, spots *ret, st_err *err)
{
    uint32_t n;
    state_spot(a, s, 0, &n);
    ret->n = 0;
    ret->failed = false;
    for (uint32_t i = 0; i < n; i++) {
        parts_state at = state_spot(a, s, i, &n);
        spots_put(ret, (spot){.leaf = at.leaf, .at = at.at});
    }
    return ret->failed ? st_err_set(err, ST_ENOMEM, "no memory for a state") : 0;
}

static int run_step(automaton *base, state_id s, uint8_t byte, state_id *ret, st_err *err)
{
    parts_run *a = (parts_run *)base;
    if (s == STATE_DEAD) {
        *ret = STATE_DEAD;
        return 0;
    }
    int rc = spots_unpack(a, s, &a->now, err);
    if (rc == 0)
        rc = spots_step(a, &a->now, byte, 0, &a->next, err);
    return rc < 0 ? rc : state_put(a, &a->next, ret, err);
}

static bool run_accepts(const automaton *base, state_id s)
{
    const parts_run *a = (const parts_run *)base;
    uint32_t n;
    if (s == STATE_DEAD)
        return false;
    state_spot(a, s, 0, &n);
    return state_spot(a, s, n - 1, &n).leaf == DONE; /* it sorts behind all others */
}

static size_t run_bytes(const automaton *base)
{
    const parts_run *a = (const parts_run *)base;
    size_t sum = intern_bytes(&a->states);
    for (uint32_t i = 0; i < a->p->n_subs; i++)
        sum += a->p->subs[i]->ops->bytes(a->p->subs[i]);
    return sum;
}

static void run_forget(automaton *base)
{
    parts_run *a = (parts_run *)base;
    intern_keep(&a->states, STATE_START);
    a->n_read = 0; /* and what was kept of states with it */
    a->kept.n = 0;
    for (uint32_t i = 0; i < a->p->n_subs; i++)
        a->p->subs[i]->ops->forget(a->p->subs[i]);
}

/* The best promise of any spot: one that lives is enough. */
static uint32_t run_room(const automaton *base, state_id s)
{
    const parts_run *a = (const parts_run *)base;
    uint32_t most = 0, n = 1;
    for (uint32_t i = 0; s != STATE_DEAD && i < n; i++) {
        parts_state at = state_spot(a, s, i, &n);
        if (at.leaf == DONE || a->p->leaves[at.leaf].text)
            continue;
        const automaton *sub = sub_of(a, &a->p->leaves[at.leaf]);
        uint32_t room = sub->ops->room ? sub->ops->room(sub, at.at) : 0;
        most = room > most ? room : most;
    }
    return most;
}

static const automaton *repeating_sub(const parts_run *a, uint32_t leaf, uint32_t at)
{
    if (leaf == DONE || a->p->leaves[leaf].text)
        return NULL;
    const automaton *sub = sub_of(a, &a->p->leaves[leaf]);
    return sub->ops->may_repeat && sub->ops->may_repeat(sub, at) ? sub : NULL;
}

static bool run_may_repeat(const automaton *base, state_id s)
{
    const parts_run *a = (const parts_run *)base;
    for (uint32_t i = 0, n = 1; s != STATE_DEAD && i < n; i++) {
        parts_state at = state_spot(a, s, i, &n);
        if (i < n && repeating_sub(a, at.leaf, at.at))
            return true;
    }
    return false;
}

/* ---- the text read again ---- */

static bool spots_copy(const spots *from, spots *to)
{
    if (to->cap < from->n) {
        spot *list = st_realloc_n(to->list, from->cap, sizeof *list);
        if (!list)
            return false;
        to->list = list;
        to->cap = from->cap;
    }
    if (from->n > 0)
        memcpy(to->list, from->list, from->n * sizeof *to->list);
    to->n = from->n;
    return true;
}

/* Keep where the reading stands, `len` bytes into the text. */
static void reading_keep(parts_run *a, const char *text, size_t len)
{
    if (len > a->cap_read) {
        char *read = st_realloc_n(a->read, 2 * len, 1);
        if (!read)
            return; /* it only costs time */
        a->read = read;
        a->cap_read = 2 * len;
    }
    if (!spots_copy(&a->now, &a->kept))
        return;
    memcpy(a->read, text, len);
    a->n_read = len;
}

/* Leave in a->now the spots of a text, each with where its leaf was entered.  False when
 * memory runs out. */
static bool text_read(parts_run *a, const char *text, size_t len)
{
    bool known = a->n_read > 0 && a->n_read <= len && !memcmp(a->read, text, a->n_read);
    size_t at = known ? a->n_read : 0;
    a->n_read = at;
    a->now.n = 0;
    a->now.failed = false;
    if (known && !spots_copy(&a->kept, &a->now))
        return false;
    for (uint32_t i = 0; !known && i < a->n_first; i++)
        leaf_enter(a, a->first[i], 0, &a->now);
    for (; !a->now.failed && at < len; at++) {
        if (len > KEEP_BEHIND && at == len - KEEP_BEHIND && at > a->n_read)
            reading_keep(a, text, at);
        if (spots_step(a, &a->now, (uint8_t)text[at], at, &a->next, NULL) < 0)
            return false;
        spots done = a->now;
        a->now = a->next;
        a->next = done;
    }
    return !a->now.failed;
}

/* Whether every way by which the last byte was read is a repeat.  What a way leads on to
 * (the literal behind an array that is done) goes with it. */
static bool run_repeats(const automaton *base, state_id s, const char *text, size_t len)
{
    parts_run *a = (parts_run *)(uintptr_t)base; /* the reading is no part of a state */
    bool found = false;
    (void)s;
    if (len == 0 || !text_read(a, text, len - 1))
        return false; /* the text is checked again when it is done */
    for (uint32_t i = 0; i < a->now.n; i++) {
        const spot *at = &a->now.list[i];
        a->next.n = 0;
        if (spot_step(a, at, (uint8_t)text[len - 1], len - 1, &a->next, NULL) < 0)
            return false;
        if (a->next.n == 0)
            continue;
        uint32_t k = 0;
        while (k < a->next.n && a->next.list[k].leaf != at->leaf)
            k++;
        const automaton *sub =
            k < a->next.n ? repeating_sub(a, at->leaf, a->next.list[k].at) : NULL;
        if (!sub ||
            !sub->ops->repeats(sub, a->next.list[k].at, text + at->from, len - at->from))
            return false;
        found = true;
    }
    return found;
}

/* A literal leads into an automaton at its beginning, where nothing was there before. */
static bool run_taken(const automaton *base, state_id s, const char *text, size_t len,
                      st_buf *out)
{
    parts_run *a = (parts_run *)(uintptr_t)base;
    (void)s;
    if (!text_read(a, text, len) || a->now.n != 1)
        return false;
    const spot *at = a->now.list;
    if (at->leaf == DONE || a->p->leaves[at->leaf].text)
        return true;
    const automaton *sub = sub_of(a, &a->p->leaves[at->leaf]);
    return sub->ops->taken &&
           sub->ops->taken(sub, at->at, text + at->from, len - at->from, out);
}

/* ---- markers ---- */

static const char *run_marker(const automaton *base, uint32_t i)
{
    const parts_run *a = (const parts_run *)base;
    return i < a->n_markers ? a->markers[i] : NULL;
}

static bool run_marker_may(const automaton *base, state_id s, uint32_t i)
{
    const parts_run *a = (const parts_run *)base;
    size_t len = strlen(a->markers[i]);
    for (uint32_t k = 0, n = 1; s != STATE_DEAD && k < n; k++) {
        parts_state at = state_spot(a, s, k, &n);
        if (at.leaf == DONE)
            continue;
        const part_leaf *leaf = &a->p->leaves[at.leaf];
        if (leaf->text && leaf->n - at.at >= len &&
            memcmp(leaf->text + at.at, a->markers[i], len) == 0)
            return true;
    }
    return false;
}

static void run_free(automaton *base)
{
    parts_run *a = (parts_run *)base;
    if (!a)
        return;
    parts_free(a->p);
    intern_done(&a->states);
    for (uint32_t i = 0; i < a->n_markers; i++)
        st_free(a->markers[i]);
    st_free(a->first);
    st_free(a->now.list);
    st_free(a->next.list);
    st_free(a->kept.list);
    st_free(a->packed);
    st_free(a->read);
    st_free(a);
}

static const automaton_ops ops = {
    .free = run_free,
    .step = run_step,
    .accepts = run_accepts,
    .bytes = run_bytes,
    .forget = run_forget,
    .room = run_room,
    .may_repeat = run_may_repeat,
    .repeats = run_repeats,
    .taken = run_taken,
    .marker = run_marker,
    .marker_may = run_marker_may,
};

static int markers_copy(parts_run *a, const char *const *markers, uint32_t n, st_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!(a->markers[i] = st_strdup(markers[i])))
            return st_err_set(err, ST_ENOMEM, "no memory for a grammar of parts");
        a->n_markers++;
    }
    return 0;
}

static int start_make(parts_run *a, st_err *err)
{
    state_id start;
    for (uint32_t i = 0; i < a->n_first; i++)
        leaf_enter(a, a->first[i], 0, &a->now);
    if (a->empty)
        spots_put(&a->now, (spot){.leaf = DONE});
    if (a->now.failed)
        return st_err_set(err, ST_ENOMEM, "no memory for a state");
    if (a->now.n == 0)
        return st_err_set(err, ST_EINVAL, "no text fits the grammar");
    return state_put(a, &a->now, &start, err);
}

int parts_automaton(parts *p, part_id root, const char *const *markers,
                    uint32_t n_markers, automaton **ret, st_err *err)
{
    parts_run *a = st_zalloc_n(1, sizeof *a);
    if (!a) {
        parts_free(p);
        return st_err_set(err, ST_ENOMEM, "no memory for a grammar of parts");
    }
    a->base.ops = &ops;
    a->p = p;
    int rc = n_markers <= PARTS_MARKERS
                 ? parts_graph(p, root, &a->first, &a->n_first, &a->empty)
                 : ST_EINVAL;
    if (rc < 0)
        st_err_set(err, rc, "%s", p->code ? p->err.message : "too many markers");
    if (rc == 0)
        rc = markers_copy(a, markers, n_markers, err);
    if (rc == 0)
        rc = start_make(a, err);
    if (rc < 0) {
        run_free(&a->base);
        return rc;
    }
    *ret = &a->base;
    return 0;
}
