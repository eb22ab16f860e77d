/* grammar/text.c - strings of an automaton and of a length at once.
 *
 * Layer k holds the states from which k characters more lead to acceptance; layer k + 1
 * is what a character leads from into layer k.  Layers stop changing soon for almost
 * every automaton, and then none is kept beyond.  The layers, turned round, are a row of
 * bits for each state: a text that has n characters so far lives while its state has a
 * bit from min - n to max - n.  Without a max, layer k holds the states from which k or
 * more characters lead on. */
#include "grammar/text.h"

#include "base/mem.h"
#include "grammar/dfa_build.h"
#include <string.h>

enum {
    MAX_WORK = 1 << 26,    /* ways looked at for all layers: some tens of milliseconds */
    MAX_COUNTED = 1 << 16, /* layers after which counting gives up */
};

typedef struct layers {
    const dfa *d;
    const uint8_t *pending;
    uint32_t *begin; /* [n_states + 1] of the ways out of a state, each end once */
    uint32_t *to;
    uint32_t *weight; /* how many bytes go that way */
    uint32_t *order; /* states inside a character, the nearest to its end first; others */
    uint8_t *now, *last;
    bool stable; /* now and last are the same */
} layers;

/* Which states are inside a character: all texts that lead to a state agree on that, as
 * every continuation must be well-formed after each of them. */
static void find_pending(const dfa *d, uint8_t *pending)
{
    memset(pending, 0, d->n_states);
    for (uint32_t s = 1; s < d->n_states; s++) { /* each is met before its ways out */
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t to = dfa_step(d, s, (uint8_t)byte);
            if (to == DFA_DEAD)
                continue;
            if (pending[s])
                pending[to] = (uint8_t)(pending[s] - 1);
            else if (byte >= 0xC0)
                pending[to] = (uint8_t)(byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1);
        }
    }
}

static void list_ways(layers *l)
{
    uint32_t bytes_of[256] = {0}, n = 0;
    for (uint32_t byte = 0; byte < 256; byte++)
        bytes_of[l->d->class_of[byte]]++;
    for (uint32_t s = 0; s < l->d->n_states; s++) {
        l->begin[s] = n;
        for (uint32_t c = 0; c < l->d->n_classes; c++) {
            uint32_t to = l->d->next[(size_t)s * l->d->n_classes + c];
            uint32_t i = l->begin[s];
            while (i < n && l->to[i] != to)
                i++;
            if (to == DFA_DEAD)
                continue;
            if (i == n) {
                l->to[n] = to;
                l->weight[n++] = 0;
            }
            l->weight[i] += bytes_of[c];
        }
    }
    l->begin[l->d->n_states] = n;
    n = 0;
    static const uint8_t turns[] = {1, 2, 3, 0};
    for (size_t t = 0; t < ST_COUNT(turns); t++) {
        for (uint32_t s = 1; s < l->d->n_states; s++) {
            if (l->pending[s] == turns[t])
                l->order[n++] = s;
        }
    }
}

static void layers_done(layers *l)
{
    st_free(l->begin);
    st_free(l->to);
    st_free(l->now);
    st_free(l->last);
    *l = (layers){0};
}

static int layers_init(layers *l, const dfa *d, const uint8_t *pending, st_err *err)
{
    size_t cells = (size_t)d->n_states * d->n_classes;
    *l = (layers){.d = d, .pending = pending};
    l->begin = st_alloc_n((size_t)d->n_states + 1, 2 * sizeof *l->begin);
    l->to = st_alloc_n(cells, 2 * sizeof *l->to);
    l->now = st_zalloc_n(d->n_states, 1);
    l->last = st_zalloc_n(d->n_states, 1);
    if (!l->begin || !l->to || !l->now || !l->last) {
        layers_done(l);
        return dfa_out_of_memory(err);
    }
    l->order = l->begin + d->n_states + 1;
    l->weight = l->to + cells;
    list_ways(l);
    return 0;
}

static void layers_first(layers *l, bool exact)
{
    for (uint32_t s = 0; s < l->d->n_states; s++)
        l->now[s] = s != DFA_DEAD && (!exact || l->d->label[s] != 0);
    l->stable = false;
}

static void layers_next(layers *l)
{
    uint8_t *last = l->now;
    l->now = l->last;
    l->last = last;
    for (uint32_t i = 0; i + 1 < l->d->n_states; i++) {
        uint32_t s = l->order[i];
        uint8_t found = 0;
        for (uint32_t k = l->begin[s]; !found && k < l->begin[s + 1]; k++)
            found = (l->pending[l->to[k]] ? l->now : l->last)[l->to[k]];
        l->now[s] = found;
    }
    l->stable = memcmp(l->now, l->last, l->d->n_states) == 0;
}

/* Has every accepted text at least `min` characters? */
static bool all_from(layers *l, uint32_t min)
{
    layers_first(l, true);
    for (uint32_t k = 0; k < min && !l->stable; k++) {
        if (l->now[l->d->start])
            return false;
        layers_next(l);
    }
    return true;
}

/* Has it at most `max`?  Not where there are texts without end.  longest[s] are the most
 * characters from s on. */
static int all_up_to(const layers *l, uint32_t max, bool *ret, st_err *err)
{
    const dfa *d = l->d;
    *ret = max == UINT32_MAX;
    if (*ret)
        return 0;
    uint32_t *order = st_alloc_n(d->n_states, 2 * sizeof *order);
    if (!order)
        return dfa_out_of_memory(err);
    uint32_t *longest = order + d->n_states;
    if (dfa_sort(d, longest, order)) {
        for (uint32_t i = d->n_states - 1; i-- > 0;) {
            uint32_t s = order[i];
            longest[s] = 0;
            for (uint32_t k = l->begin[s]; k < l->begin[s + 1]; k++) {
                uint32_t n = longest[l->to[k]] + (l->pending[l->to[k]] == 0);
                longest[s] = n > longest[s] ? n : longest[s];
            }
        }
        *ret = longest[d->start] <= max;
    }
    st_free(order);
    return 0;
}

static int too_long(const text_rule *r, st_err *err)
{
    st_err_set(err, ST_ELIMIT,
               "lengths up to %u of an expression with %u states are too much to hold",
               r->max == UINT32_MAX ? r->min : r->max, r->d->n_states);
    st_err_hint(err, "use a smaller length or a simpler pattern");
    return ST_ELIMIT;
}

/* How many layers there are to keep: the last is the last one that matters, or the first
 * that is like all after it. */
static int find_horizon(const text_rule *r, layers *l, uint32_t *ret, st_err *err)
{
    uint32_t last = r->max == UINT32_MAX ? r->min : r->max, k = 0;
    uint64_t work = 0, ways = l->begin[l->d->n_states] + (uint64_t)l->d->n_states;
    layers_first(l, r->max != UINT32_MAX);
    for (; k < last; k++) {
        layers_next(l);
        if (l->stable)
            break;
        work += ways;
        if (work > MAX_WORK)
            return too_long(r, err);
    }
    *ret = k;
    return 0;
}

static int keep_lengths(text_rule *r, layers *l, st_err *err)
{
    int rc = find_horizon(r, l, &r->horizon, err);
    if (rc < 0)
        return rc;
    r->words = r->horizon / 64 + 1;
    r->lengths = st_zalloc_n((size_t)r->d->n_states * r->words, sizeof *r->lengths);
    if (!r->lengths)
        return dfa_out_of_memory(err);
    layers_first(l, r->max != UINT32_MAX);
    for (uint32_t k = 0;; k++) {
        for (uint32_t s = 1; s < r->d->n_states; s++)
            r->lengths[(size_t)s * r->words + k / 64] |= (uint64_t)l->now[s] << k % 64;
        if (k == r->horizon)
            return 0;
        layers_next(l);
    }
}

static bool has_length(const text_rule *r, uint32_t s, uint32_t k)
{
    k = k < r->horizon ? k : r->horizon;
    return r->lengths[(size_t)s * r->words + k / 64] >> k % 64 & 1;
}

/* The smallest number of characters from `from` to `to` that lead from s to acceptance.
 */
static bool find_length(const text_rule *r, uint32_t s, uint32_t from, uint32_t to,
                        uint32_t *ret)
{
    uint32_t k = from;
    for (; k < r->horizon && k <= to; k++) {
        uint64_t rest = r->lengths[(size_t)s * r->words + k / 64] >> k % 64;
        if (rest & 1)
            break;
        k += rest ? (uint32_t)__builtin_ctzll(rest) - 1 : 63 - k % 64;
    }
    *ret = k;
    return k <= to && has_length(r, s, k);
}

/* Open states count as such only where every length from some one on leads to acceptance:
 * then `slack` characters are all that must be left over. */
static void find_slack(text_rule *r)
{
    r->slack = 0;
    if (!r->lengths || r->max == UINT32_MAX)
        return;
    for (uint32_t s = 1; s < r->d->n_states; s++) {
        uint32_t k, shortest;
        if (r->open[s] < DFA_ENDLESS)
            continue;
        bool found = find_length(r, s, 0, r->horizon, &shortest);
        for (k = shortest; found && k <= r->horizon && has_length(r, s, k);)
            k++;
        if (!found || k <= r->horizon) {
            memset(r->open, 0, r->d->n_states);
            return;
        }
        r->slack = shortest > r->slack ? shortest : r->slack;
    }
}

int text_rule_make(dfa *d, uint32_t min, uint32_t max, text_rule *ret, st_err *err)
{
    layers l = {0};
    text_rule r = {.d = d, .min = min, .max = max};
    r.open = st_zalloc_n(d->n_states, 1);
    r.pending = st_zalloc_n(d->n_states, 1);
    int rc = r.open && r.pending ? dfa_open(d, r.open, err) : dfa_out_of_memory(err);
    bool limited = d->start != DFA_DEAD && (min > 0 || max != UINT32_MAX);
    if (!rc && limited) {
        find_pending(d, r.pending);
        rc = layers_init(&l, d, r.pending, err);
        bool short_enough = false;
        if (!rc)
            rc = all_up_to(&l, max, &short_enough, err);
        limited = !rc && !(short_enough && all_from(&l, min));
    }
    if (!rc && limited) {
        r.cap = max == UINT32_MAX ? min : max;
        rc = keep_lengths(&r, &l, err);
    } else {
        r.min = 0;
        r.max = UINT32_MAX;
    }
    layers_done(&l);
    if (rc < 0) {
        text_rule_done(&r);
        return rc;
    }
    find_slack(&r);
    *ret = r;
    return 0;
}

void text_rule_done(text_rule *r)
{
    dfa_free(r->d);
    st_free(r->open);
    st_free(r->pending);
    st_free(r->lengths);
    *r = (text_rule){0};
}

static bool alive(const text_rule *r, text_state s)
{
    uint32_t k;
    if (s.at == DFA_DEAD || !r->lengths)
        return s.at != DFA_DEAD;
    uint32_t from = r->min > s.n ? r->min - s.n : 0;
    if (r->max == UINT32_MAX)
        return has_length(r, s.at, from);
    return s.n <= r->max && find_length(r, s.at, from, r->max - s.n, &k);
}

text_state text_start(const text_rule *r)
{
    text_state s = {r->d->start, 0};
    return alive(r, s) ? s : (text_state){0};
}

bool text_rule_empty(const text_rule *r)
{
    return text_start(r).at == DFA_DEAD;
}

text_state text_step(const text_rule *r, text_state s, uint8_t byte)
{
    text_state to = {dfa_step(r->d, s.at, byte), s.n};
    if (!r->lengths || to.at == DFA_DEAD)
        return to;
    if (r->pending[to.at] == 0) {
        if (r->max != UINT32_MAX)
            to.n++;
        else
            to.n += to.n < r->cap;
    }
    return alive(r, to) ? to : (text_state){0};
}

bool text_accepts(const text_rule *r, text_state s)
{
    return r->d->label[s.at] != 0 && (!r->lengths || (s.n >= r->min && s.n <= r->max));
}

uint32_t text_room(const text_rule *r, text_state s)
{
    if (r->open[s.at] < DFA_ENDLESS)
        return r->lengths ? 0 : r->open[s.at];
    if (!r->lengths || r->max == UINT32_MAX)
        return UINT32_MAX;
    uint32_t left = r->max - s.n;
    return left > r->slack ? left - r->slack : 0;
}

bool text_loops(const text_rule *r, text_state s)
{
    return r->open[s.at] == DFA_LOOPS && (!r->lengths || s.n >= r->cap);
}

/* texts[s]: accepted texts of k more characters, for one k after the other. */
static uint64_t count_layers(const text_rule *r, layers *l, uint64_t *texts,
                             uint64_t most)
{
    uint32_t n = r->d->n_states;
    uint64_t *now = texts, *last = texts + n, count = 0;
    for (uint32_t s = 0; s < n; s++)
        now[s] = r->d->label[s] != 0;
    for (uint32_t k = 0; k <= r->max; k++) {
        uint64_t any = 0;
        for (uint32_t s = 1; s < n; s++)
            any |= now[s];
        if (k >= r->min)
            count += now[r->d->start] < most - count ? now[r->d->start] : most - count;
        if (count == most || any == 0)
            return count;
        if (k == MAX_COUNTED)
            return most;
        uint64_t *swap = now;
        now = last;
        last = swap;
        for (uint32_t i = 0; i + 1 < n; i++) {
            uint32_t s = l->order[i];
            now[s] = 0;
            for (uint32_t w = l->begin[s]; w < l->begin[s + 1]; w++) {
                uint64_t more = (r->pending[l->to[w]] ? now : last)[l->to[w]];
                bool over = more > 0 && (most - now[s]) / more < l->weight[w];
                now[s] = over ? most : now[s] + more * l->weight[w];
            }
        }
    }
    return count;
}

uint64_t text_rule_count(const text_rule *r, uint64_t most)
{
    layers l;
    if (!r->lengths || most == 0 || text_rule_empty(r))
        return text_rule_empty(r) ? 0 : dfa_count(r->d, most);
    uint64_t *texts = st_zalloc_n(r->d->n_states, 2 * sizeof *texts);
    uint64_t count = most; /* without memory: "that many or more" */
    if (texts && layers_init(&l, r->d, r->pending, NULL) == 0) {
        count = count_layers(r, &l, texts, most);
        layers_done(&l);
    }
    st_free(texts);
    return count;
}
