/* expert/words.c - hashed n-grams of words and characters.
 *
 * A text is cut into tokens: a run of letters, digits and marks, lower-cased, or one
 * other character that is no space.  Hits (family and bucket of each n-gram) are gathered
 * in one growable array, sorted, and counted. */
#include "expert/words.h"

#include "base/mem.h"
#include "base/utf8.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum {
    BUCKET_BITS = 23,         /* of the hash, below the family's bit */
    CHARS = 1 << BUCKET_BITS, /* set in a hit of the character family */
    MIN_CHARS = 2,
    MAX_CHARS = 4,
    EDGE = '_',
    N_HITS = 1 << (BUCKET_BITS + 1),
};

typedef struct hits { /* n-grams of one text, family and bucket in one number */
    uint32_t *at;
    size_t n, cap;
} hits;

typedef struct scan {
    hits *out;
    int32_t *code; /* code points of the current token, between two edges */
    size_t n_code, cap_code;
    uint64_t last; /* hash of the token before */
    int failed;
} scan;

static int hit_add(hits *h, uint32_t at)
{
    if (h->n == h->cap) {
        size_t cap = h->cap ? 2 * h->cap : 256;
        uint32_t *grown = st_realloc_n(h->at, cap, sizeof *grown);
        if (!grown)
            return ST_ENOMEM;
        h->at = grown;
        h->cap = cap;
    }
    h->at[h->n++] = at;
    return 0;
}

static uint32_t bucket(uint64_t hash)
{
    return (uint32_t)(hash >> (64 - BUCKET_BITS));
}

static void code_add(scan *s, int32_t code)
{
    if (s->n_code == s->cap_code) {
        size_t cap = s->cap_code ? 2 * s->cap_code : 64;
        int32_t *grown = st_realloc_n(s->code, cap, sizeof *grown);
        if (!grown) {
            s->failed = ST_ENOMEM;
            return;
        }
        s->code = grown;
        s->cap_code = cap;
    }
    s->code[s->n_code++] = code;
}

/* The token is complete: its n-grams of characters, itself, and it after the last one. */
static void token_end(scan *s)
{
    if (s->n_code < 2 || s->failed)
        return;
    code_add(s, EDGE);
    for (size_t n = MIN_CHARS; n <= MAX_CHARS && !s->failed; n++)
        for (size_t i = 0; i + n <= s->n_code && !s->failed; i++)
            s->failed = hit_add(
                s->out, CHARS | bucket(st_hash64(s->code + i, n * sizeof *s->code, n)));
    uint64_t word = st_hash64(s->code, s->n_code * sizeof *s->code, 1);
    uint64_t pair[2] = {s->last, word};
    if (!s->failed)
        s->failed = hit_add(s->out, bucket(word));
    if (!s->failed)
        s->failed = hit_add(s->out, bucket(st_hash64(pair, sizeof pair, 2)));
    s->last = word;
    s->n_code = 0;
}

static bool in_word(utf8proc_category_t c)
{
    return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NO);
}

static bool is_space(int32_t code, utf8proc_category_t c)
{
    return code <= ' ' || (c >= UTF8PROC_CATEGORY_ZS && c <= UTF8PROC_CATEGORY_ZP);
}

/* All hits of a text, sorted. */
static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int text_hits(const words_text *text, scan *s, hits *out)
{
    s->out = out;
    s->last = s->n_code = 0;
    out->n = 0;
    for (size_t i = 0, len; i < text->len && !s->failed; i += len) {
        uint32_t u = st_utf8_decode(text->text + i, text->len - i, &len);
        int32_t code = u == ST_UTF8_BAD ? 0xFFFD : (int32_t)u;
        utf8proc_category_t category = utf8proc_category(code);
        bool word = in_word(category);
        if (!word)
            token_end(s);
        if (is_space(code, category))
            continue;
        if (s->n_code == 0)
            code_add(s, EDGE);
        code_add(s, utf8proc_tolower(code));
        if (!word)
            token_end(s);
    }
    token_end(s);
    uint64_t end[2] = {s->last, 0};
    if (!s->failed)
        s->failed = hit_add(out, bucket(st_hash64(end, sizeof end, 2)));
    if (s->failed)
        return s->failed;
    qsort(out->at, out->n, sizeof *out->at, by_number);
    return 0;
}

static int out_of_memory(st_err *err)
{
    return st_err_set(err, ST_ENOMEM, "words: out of memory");
}

/* In how many texts does each hit occur? */
static int count_texts(const words_text *texts, uint32_t n, uint32_t *count)
{
    scan s = {0};
    hits h = {0};
    int code = 0;
    for (uint32_t t = 0; t < n && !code; t++) {
        code = text_hits(&texts[t], &s, &h);
        for (size_t i = 0; i < h.n && !code; i++)
            if (i == 0 || h.at[i] != h.at[i - 1])
                count[h.at[i]]++;
    }
    st_free(s.code);
    st_free(h.at);
    return code;
}

static uint32_t count_features(const uint32_t *count, uint32_t min_rows)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < N_HITS; i++)
        n += count[i] >= min_rows;
    return n;
}

int words_choose(const words_text *texts, uint32_t n, uint32_t min_rows, uint32_t most,
                 words_model *ret_model, st_err *err)
{
    words_model m = {0};
    uint32_t *count = st_zalloc_n(N_HITS, sizeof *count);
    if (!count || count_texts(texts, n, count))
        goto fail;
    uint32_t least = min_rows ? min_rows : 1;
    while (count_features(count, least) > most)
        least++;
    m.n = count_features(count, least);
    if (m.n == 0) { /* every text is new: one feature that never occurs keeps shapes */
        least = 0;
        m.n = 1;
    }
    m.feature = st_alloc_n(m.n, sizeof *m.feature);
    m.idf = st_alloc_n(m.n, sizeof *m.idf);
    if (!m.feature || !m.idf)
        goto fail;
    for (uint32_t i = 0, at = 0; i < N_HITS && at < m.n; i++) {
        if (count[i] < least)
            continue;
        m.feature[at] = i;
        m.idf[at++] = (float)(log((1.0 + n) / (1.0 + count[i])) + 1);
    }
    st_free(count);
    *ret_model = m;
    return 0;
fail:
    st_free(count);
    st_free(m.feature);
    st_free(m.idf);
    return out_of_memory(err);
}

static bool find_feature(const words_model *m, uint32_t hit, uint32_t *ret)
{
    uint32_t low = 0, high = m->n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (m->feature[mid] < hit)
            low = mid + 1;
        else
            high = mid;
    }
    *ret = low;
    return low < m->n && m->feature[low] == hit;
}

/* Scale entries [from, to) to unit length. */
static void unit_length(float *val, uint64_t from, uint64_t to)
{
    double sum = 0;
    for (uint64_t i = from; i < to; i++)
        sum += (double)val[i] * (double)val[i];
    double scale = sum > 0 ? 1 / sqrt(sum) : 0;
    for (uint64_t i = from; i < to; i++)
        val[i] = (float)((double)val[i] * scale);
}

/* Append the row of sorted hits; room for h->n entries is there. */
static void row_write(const words_model *m, const hits *h, sparse *rows, uint32_t row)
{
    uint64_t at = rows->start[row], chars = UINT64_MAX;
    for (size_t i = 0, end; i < h->n; i = end) {
        uint32_t feature;
        for (end = i + 1; end < h->n && h->at[end] == h->at[i];)
            end++;
        if (!find_feature(m, h->at[i], &feature))
            continue;
        if (chars == UINT64_MAX && h->at[i] >= CHARS)
            chars = at;
        rows->col[at] = feature;
        rows->val[at++] = (float)(1 + log((double)(end - i))) * m->idf[feature];
    }
    rows->start[row + 1] = at;
    if (chars == UINT64_MAX)
        chars = at;
    unit_length(rows->val, rows->start[row], chars);
    unit_length(rows->val, chars, at);
}

static int rows_room(sparse *rows, uint64_t need, uint64_t *cap)
{
    if (need <= *cap)
        return 0;
    uint64_t wanted = need + need / 2 + 256;
    uint32_t *col = st_realloc_n(rows->col, wanted, sizeof *col);
    if (!col)
        return ST_ENOMEM;
    rows->col = col;
    float *val = st_realloc_n(rows->val, wanted, sizeof *val);
    if (!val)
        return ST_ENOMEM;
    rows->val = val;
    *cap = wanted;
    return 0;
}

int words_rows(const words_model *m, const words_text *texts, uint32_t n,
               sparse *ret_rows, st_err *err)
{
    sparse rows = {.n_rows = n, .n_cols = m->n};
    scan s = {0};
    hits h = {0};
    uint64_t cap = 0;
    rows.start = st_zalloc_n((size_t)n + 1, sizeof *rows.start);
    int code = rows.start ? 0 : ST_ENOMEM;
    for (uint32_t t = 0; t < n && !code; t++) {
        code = text_hits(&texts[t], &s, &h);
        if (!code)
            code = rows_room(&rows, rows.start[t] + h.n, &cap);
        if (!code)
            row_write(m, &h, &rows, t);
    }
    st_free(s.code);
    st_free(h.at);
    if (code) {
        sparse_done(&rows);
        return out_of_memory(err);
    }
    *ret_rows = rows;
    return 0;
}
