/* serve/series.c - series are found in an open hash table whose slots are only ever
 * filled, so that looking takes no lock: a slot is empty or holds a whole series. */
#include "serve/series.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"
#include <stdio.h>
#include <string.h>

enum { MAX_VALUE = 128, MAX_LABELS = SERIES_LABELS * (2 * MAX_VALUE + 40) };

void series_init(series_table *t, const family *f)
{
    t->family = f;
    pthread_mutex_init(&t->lock, NULL);
}

void series_done(series_table *t)
{
    for (series *s = atomic_load(&t->first); s;) {
        series *next = atomic_load(&s->next);
        st_free(s);
        s = next;
    }
    pthread_mutex_destroy(&t->lock);
}

/* ---- labels ---- */

static size_t put(char *ret, size_t room, size_t n, const char *s, size_t len)
{
    if (n + len > room)
        return n;
    memcpy(ret + n, s, len);
    return n + len;
}

/* A backslash, a quote and a line's end are escaped; what is not UTF-8 is '?'. */
static size_t put_value(char *ret, size_t room, size_t n, const char *value)
{
    size_t left = strlen(value);
    size_t used = 0;
    size_t len;
    for (; left; left -= len, value += len, used += len) {
        uint32_t c = st_utf8_decode(value, left, &len);
        if (used + len > MAX_VALUE)
            break;
        if (c == ST_UTF8_BAD)
            n = put(ret, room, n, "?", 1);
        else if (c == '\n')
            n = put(ret, room, n, "\\n", 2);
        else if (c == '"' || c == '\\')
            n = put(ret, room, put(ret, room, n, "\\", 1), value, 1);
        else
            n = put(ret, room, n, value, len);
    }
    return n;
}

size_t series_labels(const family *f, const char *const *values, char *ret, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < SERIES_LABELS && f->labels[i]; i++) {
        n = put(ret, room, n, ",", i > 0);
        n = put(ret, room, n, f->labels[i], strlen(f->labels[i]));
        n = put(ret, room, n, "=\"", 2);
        n = put_value(ret, room, n, values[i] ? values[i] : "");
        n = put(ret, room, n, "\"", 1);
    }
    return n;
}

/* ---- the table ---- */

/* The series, or the empty slot where it belongs. */
static series *look(series_table *t, const char *labels, size_t len, uint64_t hash,
                    size_t *ret_slot)
{
    size_t at = hash % SERIES_SLOTS;
    for (;; at = (at + 1) % SERIES_SLOTS) {
        series *s = atomic_load_explicit(&t->slots[at], memory_order_acquire);
        *ret_slot = at;
        if (!s ||
            (s->hash == hash && s->len == len && memcmp(s->labels, labels, len) == 0))
            return s;
    }
}

static series *make(series_table *t, const char *labels, size_t len, uint64_t hash,
                    size_t slot)
{
    series *s = st_zalloc_n(1, sizeof *s + len + 1);
    if (!s)
        return NULL;
    s->hash = hash;
    s->len = len;
    memcpy(s->labels, labels, len);
    t->n++;
    if (t->last)
        atomic_store_explicit(&t->last->next, s, memory_order_release);
    else
        atomic_store_explicit(&t->first, s, memory_order_release);
    t->last = s;
    atomic_store_explicit(&t->slots[slot], s, memory_order_release);
    return s;
}

static series *find_text(series_table *t, const char *labels, size_t len, bool make_more)
{
    size_t slot;
    uint64_t hash = st_hash64(labels, len, 0);
    series *s = look(t, labels, len, hash, &slot);
    if (s)
        return s;
    pthread_mutex_lock(&t->lock);
    s = look(t, labels, len, hash, &slot);
    if (!s && (t->n < SERIES_MAX || make_more))
        s = make(t, labels, len, hash, slot);
    pthread_mutex_unlock(&t->lock);
    return s;
}

static series *find(series_table *t, const char *const *values)
{
    static const char *const other[SERIES_LABELS] = {"other", "other", "other", "other"};
    char labels[MAX_LABELS];
    size_t len = series_labels(t->family, values, labels, sizeof labels);
    series *s = find_text(t, labels, len, false);
    if (s)
        return s;
    len = series_labels(t->family, other, labels, sizeof labels);
    return find_text(t, labels, len, true);
}

void series_add(series_table *t, const char *const *values, uint64_t n)
{
    series *s = find(t, values);
    if (s)
        atomic_fetch_add_explicit(&s->n[0], n, memory_order_relaxed);
}

void series_observe(series_table *t, const char *const *values, uint64_t x,
                    uint64_t times)
{
    series *s = find(t, values);
    const family *f = t->family;
    size_t bucket = 0;
    if (!s)
        return;
    while (f->bounds[bucket] > 0 && (double)x > f->bounds[bucket] * f->unit)
        bucket++;
    atomic_fetch_add_explicit(&s->n[bucket], times, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->sum, x * times, memory_order_relaxed);
}

/* ---- text ---- */

static const char *const kind_names[] = {"counter", "gauge", "histogram"};

void series_head(const family *f, const char *prefix, st_buf *out)
{
    st_buf_fmt(out, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, f->name, f->help, prefix,
               f->name, kind_names[f->kind]);
}

/* {labels,more,le="..."} with commas only where something stands on both sides. */
static void put_braces(const char *labels, const char *more, const char *le, st_buf *out)
{
    const char *before = "{";
    if (!*labels && !*more && !le)
        return;
    if (*labels) {
        st_buf_fmt(out, "%s%s", before, labels);
        before = ",";
    }
    if (*more) {
        st_buf_fmt(out, "%s%s", before, more);
        before = ",";
    }
    if (le)
        st_buf_fmt(out, "%sle=\"%s\"", before, le);
    st_buf_char(out, '}');
}

static void put_histogram(const family *f, series *s, const char *prefix,
                          const char *more, st_buf *out)
{
    char le[32];
    uint64_t n = 0;
    size_t i = 0;
    for (;; i++) {
        bool last = !(f->bounds[i] > 0);
        n += atomic_load_explicit(&s->n[i], memory_order_relaxed);
        if (last)
            snprintf(le, sizeof le, "+Inf");
        else
            snprintf(le, sizeof le, "%.9g", f->bounds[i]);
        st_buf_fmt(out, "%s%s_bucket", prefix, f->name);
        put_braces(s->labels, more, le, out);
        st_buf_fmt(out, " %llu\n", (unsigned long long)n);
        if (last)
            break;
    }
    st_buf_fmt(out, "%s%s_sum", prefix, f->name);
    put_braces(s->labels, more, NULL, out);
    st_buf_fmt(out, " %.15g\n",
               (double)atomic_load_explicit(&s->sum, memory_order_relaxed) / f->unit);
    st_buf_fmt(out, "%s%s_count", prefix, f->name);
    put_braces(s->labels, more, NULL, out);
    st_buf_fmt(out, " %llu\n", (unsigned long long)n);
}

void series_render(series_table *t, const char *prefix, const char *more, st_buf *out)
{
    const family *f = t->family;
    series *s = atomic_load_explicit(&t->first, memory_order_acquire);
    if (s)
        series_head(f, prefix, out);
    for (; s; s = atomic_load_explicit(&s->next, memory_order_acquire)) {
        if (f->kind == FAMILY_HISTOGRAM) {
            put_histogram(f, s, prefix, more, out);
            continue;
        }
        st_buf_fmt(out, "%s%s", prefix, f->name);
        put_braces(s->labels, more, NULL, out);
        st_buf_fmt(
            out, " %llu\n",
            (unsigned long long)atomic_load_explicit(&s->n[0], memory_order_relaxed));
    }
}
