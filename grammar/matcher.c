/* grammar/matcher.c - one text under way: its bytes and the state behind each of them.
 *
 * The text is the pieces of its tokens one behind the other, as they continue a text: no
 * leading space is stripped, and it is this text, not a decoding of the ids, that is held
 * and that the user gets.
 *
 * States are numbers of one epoch of the masker.  When it has forgotten them, the text is
 * gone through again before anything else.  So every piece of work here can be begun
 * anew: what runs into the bound of the masker is tried once more with all forgotten. */
#include "grammar/masker.h"

#include "base/mem.h"
#include "base/utf8.h"
#include <string.h>

enum { MATCHER_TEXT = 1 << 30, MOST_FORCED = 1 << 16 };

struct matcher {
    masker *m;
    uint64_t epoch;
    st_buf text;
    state_id *at; /* [cap] state after so many bytes; ENDS is set where it may end */
    size_t cap;
};

#define ENDS 0x80000000u

static int out_of_memory(st_err *err)
{
    return st_err_set(err, ST_ENOMEM, "out of memory for a text under way");
}

static state_id state_of(const matcher *t)
{
    return t->at[t->text.len] & ~ENDS;
}

const automaton *matcher_at(const matcher *t, state_id *ret)
{
    *ret = t->epoch == t->m->epoch ? state_of(t) : STATE_DEAD;
    return t->m->a;
}

static void put_state(matcher *t, size_t len, state_id s)
{
    const automaton *a = t->m->a;
    t->at[len] = s | (a->ops->accepts(a, s) ? ENDS : 0);
}

static bool repeats(const matcher *t, state_id s)
{
    const automaton *a = t->m->a;
    return a->ops->may_repeat && a->ops->may_repeat(a, s) &&
           a->ops->repeats(a, s, t->text.data ? t->text.data : "", t->text.len);
}

static int room_for(matcher *t, size_t len, st_err *err)
{
    if (len >= t->cap) {
        size_t cap = len + len / 2 + 256;
        state_id *at = st_realloc_n(t->at, cap, sizeof *at);
        if (!at)
            return out_of_memory(err);
        t->at = at;
        t->cap = cap;
    }
    return 0;
}

/* Forget the text from `len` on, and that there was no memory for it. */
static void cut(matcher *t, size_t len)
{
    t->text.code = 0;
    t->text.len = len;
    if (t->text.data)
        t->text.data[len] = '\0';
}

/* The states of the text again, when they were forgotten. */
static int catch_up(matcher *t, st_err *err)
{
    masker *m = t->m;
    if (t->epoch == m->epoch)
        return 0;
    state_id s = STATE_START;
    put_state(t, 0, s);
    for (size_t i = 0; i < t->text.len; i++) {
        int rc = masker_step(m, s, (uint8_t)t->text.data[i], &s, err);
        if (rc < 0)
            return rc;
        put_state(t, i + 1, s);
    }
    t->epoch = m->epoch;
    return 0;
}

typedef int work(matcher *t, void *arg, st_err *err);

static int attempt(matcher *t, work *fn, void *arg, st_err *err)
{
    int rc = catch_up(t, err);
    return rc < 0 ? rc : fn(t, arg, err);
}

/* Work that runs into the bound of the masker is begun anew with all forgotten. */
static int begin(matcher *t, work *fn, void *arg, st_err *err)
{
    st_err first = {0};
    int rc = attempt(t, fn, arg, &first);
    if (rc == ST_ELIMIT) {
        masker_forget(t->m);
        return attempt(t, fn, arg, err);
    }
    if (rc < 0 && err && !err->code)
        *err = first;
    return rc;
}

/* Go on by bytes; back to where it was when they do not fit. */
static int go(matcher *t, const char *bytes, size_t len, st_err *err)
{
    size_t before = t->text.len;
    state_id s = state_of(t);
    int rc = room_for(t, before + len, err);
    if (rc == 0 && (rc = st_buf_room(&t->text, len)) < 0)
        st_err_set(err, rc, "a text under way: %s", st_code_text(rc));
    for (size_t i = 0; rc == 0 && i < len; i++) {
        rc = masker_step(t->m, s, (uint8_t)bytes[i], &s, err);
        if (rc == 0 && s != STATE_DEAD)
            rc = st_buf_char(&t->text, bytes[i]);
        if (rc == 0 && (s == STATE_DEAD || repeats(t, s)))
            rc = st_err_set(err, ST_EINVAL, "%s at byte %zu of the text",
                            s == STATE_DEAD ? "not allowed" : "a repeat", before + i);
        if (rc == 0)
            put_state(t, before + i + 1, s);
    }
    if (rc < 0)
        cut(t, before);
    return rc;
}

typedef struct span {
    const char *bytes;
    size_t len;
} span;

static int go_work(matcher *t, void *arg, st_err *err)
{
    const span *s = arg;
    return go(t, s->bytes, s->len, err);
}

int matcher_accept_text(matcher *t, const char *text, size_t len, st_err *err)
{
    return begin(t, go_work, &(span){text, len}, err);
}

static const masker_marker *marker_of(const masker *m, int32_t id)
{
    for (uint32_t i = 0; i < m->n_markers; i++) {
        if (m->markers[i].id == (uint32_t)id)
            return &m->markers[i];
    }
    return NULL;
}

static int marker_work(matcher *t, void *arg, st_err *err)
{
    const masker_marker *k = arg;
    const automaton *a = t->m->a;
    if (!a->ops->marker_may(a, state_of(t), k->marker))
        return st_err_set(err, ST_EINVAL, "the control token %u may not stand here",
                          k->id);
    return go(t, k->control->spelling, k->control->len, err);
}

int matcher_accept(matcher *t, int32_t id, st_err *err)
{
    const vocab *v = t->m->v;
    const masker_marker *k = marker_of(t->m, id);
    span s = {0};
    if (k)
        return begin(t, marker_work, &(masker_marker){k->id, k->marker, k->control}, err);
    if (id >= 0 && (uint32_t)id < v->n_ids)
        s.bytes = vocab_bytes(v, (uint32_t)id, &s.len);
    if (s.len == 0)
        return st_err_set(err, ST_EINVAL, "token %d is no text", id);
    return begin(t, go_work, &s, err);
}

/* Take the pieces at and below a node out of the mask that is shown. */
static void clear(masker *m, const trie *v, uint32_t node, uint32_t *n)
{
    for (uint32_t i = v->first[node]; i < v->first[v->nodes[node].end]; i++) {
        uint32_t bit = 1u << v->ids[i] % 32, *word = &m->bits[v->ids[i] / 32];
        *n -= (*word & bit) != 0;
        *word &= ~bit;
    }
    m->shown = STATE_DEAD;
}

/* The node of a text, or n_nodes. */
static uint32_t node_of(const trie *v, const char *text, size_t len)
{
    uint32_t i = 0, end = v->n_nodes, found = v->n_nodes;
    for (size_t d = 0; d < len; d++) {
        while (i < end && v->nodes[i].byte != (uint8_t)text[d])
            i = v->nodes[i].end;
        if (i >= end)
            return v->n_nodes;
        found = i;
        end = v->nodes[i].end;
        i++;
    }
    return found;
}

/* Is the text repeated that ends at a node? */
static int repeated_at(matcher *t, const trie *v, uint32_t node, bool *ret, st_err *err)
{
    size_t before = t->text.len, len = v->nodes[node].depth, all;
    const char *bytes = vocab_bytes(t->m->v, v->ids[v->first[node]], &all);
    state_id s = state_of(t);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < len; i++)
        rc = masker_step(t->m, s, (uint8_t)bytes[i], &s, err);
    if (rc < 0)
        return rc;
    rc = st_buf_add(&t->text, bytes, len);
    *ret = rc == 0 && repeats(t, s);
    cut(t, before);
    return rc < 0 ? out_of_memory(err) : 0;
}

static int clear_nodes(matcher *t, const trie *v, const uint32_t *nodes, uint32_t n_nodes,
                       uint32_t *n, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < n_nodes; i++) {
        bool repeated = false;
        rc = repeated_at(t, v, nodes[i], &repeated, err);
        if (repeated)
            clear(t->m, v, nodes[i], n);
    }
    return rc;
}

/* Clear the pieces by which a name or an item would come twice. */
static int clear_repeats(matcher *t, const kept_mask *k, uint32_t *n, st_err *err)
{
    const automaton *a = t->m->a;
    const uint32_t *first = k->data + k->n_ids, *later = first + k->n_first;
    const char *text = t->text.data ? t->text.data : "";
    const trie *all = &t->m->v->all;
    if (k->n_first == 0)
        return 0;
    st_buf out;
    st_buf_init(&out, SIZE_MAX / 2);
    int rc = 0;
    if (a->ops->taken && a->ops->taken(a, state_of(t), text, t->text.len, &out)) {
        for (size_t i = 0, len; i < out.len; i += len + 1) {
            len = strlen(out.data + i);
            uint32_t node = node_of(all, out.data + i, len);
            if (node < all->n_nodes)
                clear(t->m, all, node, n);
        }
        rc = out.code ? out_of_memory(err) : 0;
    } else {
        rc = clear_nodes(t, k->of, first, k->n_first, n, err);
    }
    st_buf_done(&out);
    return rc < 0 ? rc : clear_nodes(t, k->of, later, k->n_later, n, err);
}

static int mask_work(matcher *t, void *arg, st_err *err)
{
    masker *m = t->m;
    const kept_mask *k;
    int rc = masker_show(m, state_of(t), &k, err);
    if (rc < 0)
        return rc;
    mask ret = {.bits = m->bits, .n = k->n, .may_end = matcher_may_end(t)};
    rc = clear_repeats(t, k, &ret.n, err);
    if (rc == 0)
        *(mask *)arg = ret;
    return rc;
}

int matcher_mask(matcher *t, mask *ret, st_err *err)
{
    return begin(t, mask_work, ret, err);
}

bool matcher_may_end(const matcher *t)
{
    return (t->at[t->text.len] & ENDS) != 0;
}

static int must_end_work(matcher *t, void *arg, st_err *err)
{
    int way, rc = masker_way(t->m, state_of(t), &way, err);
    if (rc == 0)
        *(bool *)arg = way == WAY_NONE;
    return rc;
}

bool matcher_must_end(matcher *t)
{
    bool none = false;
    return matcher_may_end(t) && begin(t, must_end_work, &none, NULL) == 0 && none;
}

/* Bytes at the end of a text that begin a character without finishing it. */
static size_t unfinished(const char *s, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        uint8_t byte = (uint8_t)s[len - back];
        if ((byte & 0xC0) == 0x80)
            continue;
        size_t need = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
        return need > back ? back : 0;
    }
    return 0;
}

/* Goes on by the only byte there is as long as there is one; then back again. */
static int forced_work(matcher *t, void *arg, st_err *err)
{
    st_buf *out = arg;
    size_t before = t->text.len;
    int rc = 0;
    while (rc == 0 && t->text.len - before < MOST_FORCED && !matcher_may_end(t) &&
           !masker_marks(t->m, state_of(t))) {
        int way;
        st_err refused = {0};
        rc = masker_way(t->m, state_of(t), &way, err);
        if (rc < 0 || way < 0)
            break;
        rc = go(t, &(char){(char)way}, 1, &refused);
        if (rc < 0 && rc != ST_EINVAL) /* else: the only way on is a repeat */
            st_err_set(err, rc, "%s", refused.message);
    }
    if (rc == 0 || rc == ST_EINVAL) {
        size_t len = t->text.len - before;
        const char *bytes = len ? t->text.data + before : "";
        rc = st_buf_add(out, bytes, len - unfinished(bytes, len));
        if (rc < 0)
            st_err_set(err, rc, "forced text: %s", st_code_text(rc));
    }
    cut(t, before);
    return rc == ST_EINVAL ? 0 : rc;
}

int matcher_forced(matcher *t, st_buf *out, st_err *err)
{
    return begin(t, forced_work, out, err);
}

const char *matcher_text(const matcher *t, size_t *ret_len)
{
    *ret_len = t->text.len;
    return t->text.data ? t->text.data : "";
}

void matcher_rewind(matcher *t, size_t len)
{
    if (len < t->text.len)
        cut(t, len);
}

void matcher_reset(matcher *t)
{
    matcher_rewind(t, 0);
}

int matcher_new(masker *m, matcher **ret, st_err *err)
{
    matcher *t = st_zalloc_n(1, sizeof *t);
    if (!t)
        return out_of_memory(err);
    t->m = m;
    t->epoch = m->epoch;
    st_buf_init(&t->text, MATCHER_TEXT);
    int rc = room_for(t, 0, err);
    if (rc < 0) {
        matcher_free(t);
        return rc;
    }
    put_state(t, 0, STATE_START);
    *ret = t;
    return 0;
}

void matcher_free(matcher *t)
{
    if (!t)
        return;
    st_buf_done(&t->text);
    st_free(t->at);
    st_free(t);
}
