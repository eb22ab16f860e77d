/* stats/folds.c - stratified folds and samples.
 *
 * Both stand on one order: rows shuffled within their label and labels one after another,
 * as a counting sort makes it. */
#include "stats/folds.h"

#include "base/mem.h"
#include "base/rng.h"
#include <stdbool.h>
#include <string.h>

typedef struct by_label {
    uint32_t *start; /* [n_labels + 1] */
    uint32_t *rows;  /* [n]: label l has rows[start[l] .. start[l + 1]) */
} by_label;

static void by_label_done(by_label *b)
{
    st_free(b->start);
    st_free(b->rows);
}

static void shuffle(uint32_t *rows, uint32_t n, st_rng *rng)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = st_rng_below(rng, i), t = rows[i - 1];
        rows[i - 1] = rows[j];
        rows[j] = t;
    }
}

static int by_label_new(const int32_t *labels, uint32_t n, uint32_t n_labels,
                        uint64_t seed, by_label *b, st_err *err)
{
    b->start = st_zalloc_n((size_t)n_labels + 2, sizeof *b->start);
    b->rows = st_alloc_n(n, sizeof *b->rows);
    if (!b->start || !b->rows)
        return st_err_set(err, ST_ENOMEM, "folds: out of memory");
    for (uint32_t i = 0; i < n; i++)
        b->start[labels[i] + 2]++;
    for (uint32_t l = 0; l < n_labels; l++)
        b->start[l + 2] += b->start[l + 1];
    for (uint32_t i = 0; i < n; i++)
        b->rows[b->start[labels[i] + 1]++] = i;
    st_rng rng = {seed};
    for (uint32_t l = 0; l < n_labels; l++)
        shuffle(b->rows + b->start[l], b->start[l + 1] - b->start[l], &rng);
    return 0;
}

int folds_assign(const int32_t *labels, uint32_t n, uint32_t n_labels, uint32_t n_folds,
                 uint64_t seed, uint8_t *ret_fold, st_err *err)
{
    by_label b = {0};
    int code = by_label_new(labels, n, n_labels, seed, &b, err);
    if (!code)
        for (uint32_t i = 0; i < n; i++)
            ret_fold[b.rows[i]] = (uint8_t)(i % n_folds);
    by_label_done(&b);
    return code;
}

/* Mark the first row of every label, then the second, ... until `want` are marked. */
static uint32_t mark_rows(const by_label *b, uint32_t n_labels, uint32_t want,
                          unsigned char *marks)
{
    uint32_t n = 0;
    bool more = true;
    for (uint32_t depth = 0; more && n < want; depth++) {
        more = false;
        for (uint32_t l = 0; l < n_labels && n < want; l++) {
            if (depth >= b->start[l + 1] - b->start[l])
                continue;
            marks[b->rows[b->start[l] + depth]] = 1;
            more = true;
            n++;
        }
    }
    return n;
}

int64_t folds_sample(const int32_t *labels, uint32_t n, uint32_t n_labels, uint32_t want,
                     uint64_t seed, uint32_t *ret_rows, st_err *err)
{
    by_label b = {0};
    unsigned char *marks = st_zalloc_n(n, 1);
    int64_t code = marks ? by_label_new(labels, n, n_labels, seed, &b, err)
                         : st_err_set(err, ST_ENOMEM, "sample: out of memory");
    if (code == 0) {
        mark_rows(&b, n_labels, want, marks);
        for (uint32_t i = 0; i < n; i++)
            if (marks[i])
                ret_rows[code++] = i;
    }
    by_label_done(&b);
    st_free(marks);
    return code;
}
