/* cli/grammar_masks.c - stint grammar masks: how long masks take.
 *
 * As a model would write it, each valid value of each schema is tokenised, and before
 * every token the mask is asked for; each schema has its own masker.  Members may come in
 * any order, as the data has them.  Times are of the wall clock. */
#include "cli/grammar_masks.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "gguf/gguf.h"
#include "grammar/grammar.h"
#include "grammar/json.h"
#include "tokenizer/tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_BYTES = 1 << 30 }; /* of the rows; of the times */

typedef struct measure {
    tok *t;
    vocab *v;
    masker *m; /* of the row under way */
    matcher *x;
    st_buf masks, compiles; /* double, microseconds */
    uint32_t n_refused, n_texts, n_not_allowed;
    size_t most_bytes;
    st_buf text, piece;
    tok_ids ids;
} measure;

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int keep_time(st_buf *times, double from, st_err *err)
{
    double us = now_us() - from;
    int rc = st_buf_add(times, &us, sizeof us);
    return rc < 0 ? st_err_set(err, rc, "too many masks to keep their times") : 0;
}

/* The last ids whose pieces are `len` bytes; all ids where there are no such. */
static int ids_of_last(measure *k, size_t len, size_t *ret_from, st_err *err)
{
    size_t from = k->ids.n;
    int rc = 0;
    st_buf_reset(&k->piece);
    while (rc == 0 && from > 0 && k->piece.len < len)
        rc = tok_piece(k->t, k->ids.ids[--from], &k->piece, err);
    *ret_from = k->piece.len == len ? from : 0;
    return rc;
}

/* The ids of the text behind a new line, which keeps off the space that some tokenizers
 * put before a text; or of the text alone, where the new line would be in a piece of it.
 */
static int encode_text(measure *k, size_t *ret_from, st_err *err)
{
    int rc = 0;
    for (size_t skip = 0; rc == 0 && skip < 2; skip++) {
        k->ids.n = 0;
        rc = tok_encode(k->t, k->text.data + skip, k->text.len - skip, TOK_LITERAL,
                        &k->ids, err);
        if (rc == 0)
            rc = ids_of_last(k, k->text.len - 1, ret_from, err);
        if (*ret_from > 0)
            break;
    }
    return rc;
}

/* One text, a mask before each token and at its end. */
static int measure_text(measure *k, const json *value, st_err *err)
{
    mask shown = {0};
    size_t from_id = 0, i;
    st_buf_reset(&k->text);
    st_buf_char(&k->text, '\n');
    json_write(value, JSON_SPACED, &k->text);
    if (k->text.code < 0)
        return st_err_set(err, k->text.code, "a text: %s", st_code_text(k->text.code));
    int rc = encode_text(k, &from_id, err);
    matcher_reset(k->x);
    for (i = from_id; rc == 0 && i <= k->ids.n; i++) {
        double from = now_us();
        rc = matcher_mask(k->x, &shown, err);
        if (rc == 0)
            rc = keep_time(&k->masks, from, err);
        if (rc == 0 && i < k->ids.n && matcher_accept(k->x, k->ids.ids[i], NULL) < 0)
            break;
    }
    k->n_texts++;
    k->n_not_allowed += rc == 0 && (i <= k->ids.n || !shown.may_end);
    return rc;
}

static int measure_tests(measure *k, const json *tests, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && tests && i < tests->n; i++) {
        const json *data = json_get(&tests->items[i], "data");
        const json *valid = json_get(&tests->items[i], "valid");
        if (data && (!valid || valid->type == JSON_TRUE))
            rc = measure_text(k, data, err);
    }
    return rc;
}

static int measure_schema(measure *k, const json *row, const json *schema, st_err *err)
{
    grammar_schema_opts opts = {GRAMMAR_SPACED, true};
    grammar *g = NULL;
    st_err why = {0};
    st_buf_reset(&k->text);
    json_write(schema, JSON_COMPACT, &k->text);
    double from = now_us();
    int rc = k->text.code;
    if (rc == 0)
        rc = grammar_schema(k->text.data, k->text.len, &opts, &g, NULL, &why);
    if (rc == 0)
        rc = masker_new(g, k->v, NULL, &k->m, &why);
    if (rc == 0)
        rc = matcher_new(k->m, &k->x, &why);
    bool refused = rc < 0 && rc != ST_ENOMEM;
    if (rc == 0 || refused)
        rc = keep_time(&k->compiles, from, err);
    else
        st_err_set(err, rc, "%s", why.message);
    k->n_refused += refused;
    if (rc == 0 && !refused)
        rc = measure_tests(k, json_get(row, "tests"), err);
    if (k->m && masker_bytes(k->m) > k->most_bytes)
        k->most_bytes = masker_bytes(k->m);
    matcher_free(k->x);
    masker_free(k->m);
    grammar_free(g);
    k->x = NULL;
    k->m = NULL;
    return rc;
}

static int measure_row(measure *k, const char *line, size_t len, st_err *err)
{
    const json *row;
    int rc = json_read(line, len, &row, err);
    if (rc < 0)
        return rc;
    const json *schema = json_get(row, "schema");
    rc = schema ? measure_schema(k, row, schema, err)
                : st_err_set(err, ST_EFORMAT, "a row needs \"schema\"");
    json_free(row);
    return rc;
}

static int measure_rows(measure *k, const char *path, st_err *err)
{
    char *rows;
    size_t len, number = 0;
    int rc = st_file_read(path, MOST_BYTES, &rows, &len, err);
    if (rc < 0)
        return rc;
    for (size_t at = 0; rc == 0 && at < len;) {
        const char *end = memchr(rows + at, '\n', len - at);
        size_t n = end ? (size_t)(end - rows) - at : len - at;
        number++;
        if (n > 0)
            rc = measure_row(k, rows + at, n, err);
        at += n + 1;
    }
    if (rc < 0)
        st_err_at(err, "%s:%zu", path, number);
    st_free(rows);
    return rc;
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print_times(const char *what, st_buf *times)
{
    double *us = (void *)times->data, sum = 0;
    size_t n = times->len / sizeof *us;
    if (n == 0)
        return;
    qsort(us, n, sizeof *us, by_time);
    for (size_t i = 0; i < n; i++)
        sum += us[i];
    printf("%-8s %zu: mean %.1f us, p50 %.1f, p95 %.1f, p99 %.1f, max %.1f\n", what, n,
           sum / (double)n, us[n / 2], us[n * 95 / 100], us[n * 99 / 100], us[n - 1]);
}

static int open_vocab(measure *k, const char *path, st_err *err)
{
    gguf *g;
    int rc = gguf_open(path, &g, err);
    if (rc < 0)
        return rc;
    rc = tok_new(g, &k->t, err);
    gguf_close(g);
    return rc < 0 ? rc : vocab_new(k->t, &k->v, err);
}

int grammar_masks(const char *vocab_path, const char *rows_path, st_err *err)
{
    measure k = {0};
    st_buf_init(&k.masks, MOST_BYTES);
    st_buf_init(&k.compiles, MOST_BYTES);
    st_buf_init(&k.text, MOST_BYTES);
    st_buf_init(&k.piece, MOST_BYTES);
    int rc = open_vocab(&k, vocab_path, err);
    if (rc == 0)
        rc = measure_rows(&k, rows_path, err);
    if (rc == 0) {
        print_times("compile", &k.compiles);
        print_times("mask", &k.masks);
        printf("schemas refused %u; texts %u, not allowed %u; ids %u; at most %.1f MB "
               "for a schema\n",
               k.n_refused, k.n_texts, k.n_not_allowed, vocab_n(k.v),
               (double)k.most_bytes / 1e6);
    }
    st_buf_done(&k.masks);
    st_buf_done(&k.compiles);
    st_buf_done(&k.text);
    st_buf_done(&k.piece);
    tok_ids_done(&k.ids);
    vocab_free(k.v);
    tok_free(k.t);
    return rc;
}
