/* task/extract_true.c - what the scores of a written field are worth. */
#include "task/extract_true.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "stats/logistic.h"

enum { MAX_FIELDS = 200, MAX_NAME = 512 };
#define LEAST_SUM (-20.0)

typedef struct offset {
    char *pointer;
    double value;
} offset;

struct extract_true {
    double bias, held, free; /* b, s, t */
    offset offsets[MAX_FIELDS];
    uint32_t n;
};

static void features(field_score score, double *ret_held, double *ret_free)
{
    double h = score.held_logp;
    double d = score.logp - score.held_logp;
    *ret_held = h > LEAST_SUM ? h : LEAST_SUM;
    *ret_free = d > LEAST_SUM ? d : LEAST_SUM;
}

static uint32_t find_field(const extract_true *t, const char *pointer)
{
    uint32_t i = 0;
    while (i < t->n && strcmp(t->offsets[i].pointer, pointer))
        i++;
    return i;
}

/* A line of the text form holds one pointer, so one with a line's end has no offset. */
static int add_field(extract_true *t, const char *pointer, double value, st_err *err)
{
    if (t->n == MAX_FIELDS || strlen(pointer) > MAX_NAME || strchr(pointer, '\n') ||
        find_field(t, pointer) < t->n)
        return 0;
    char *own = st_strdup(pointer);
    if (!own)
        return st_err_set(err, ST_ENOMEM, "no memory for a calibration");
    t->offsets[t->n++] = (offset){own, value};
    return 0;
}

/* ---- fitting ---- */

/* Rows of 2 + n numbers: both sums, and which field it is. */
static void fill_rows(const extract_true *t, const true_row *rows, uint32_t n,
                      float *numbers, int32_t *labels)
{
    uint32_t d = 2 + t->n;
    for (uint32_t i = 0; i < n; i++) {
        double h;
        double f;
        uint32_t place = find_field(t, rows[i].pointer);
        features(rows[i].score, &h, &f);
        numbers[(size_t)i * d] = (float)h;
        numbers[(size_t)i * d + 1] = (float)f;
        if (place < t->n)
            numbers[(size_t)i * d + 2 + place] = 1;
        labels[i] = rows[i].right;
    }
}

static void take_model(extract_true *t, const float *m)
{
    uint32_t d = 2 + t->n;
    t->held = (double)(m[1] - m[0]);
    t->free = (double)(m[3] - m[2]);
    t->bias = (double)(m[2 * (size_t)d + 1] - m[2 * (size_t)d]);
    for (uint32_t i = 0; i < t->n; i++)
        t->offsets[i].value =
            (double)(m[2 * (size_t)(2 + i) + 1] - m[2 * (size_t)(2 + i)]);
}

static int learn(extract_true *t, const true_row *rows, uint32_t n, st_err *err)
{
    uint32_t d = 2 + t->n;
    gemm *g = NULL;
    float *numbers = st_zalloc_n(n, d * sizeof *numbers);
    int32_t *labels = st_alloc_n(n, sizeof *labels);
    float *weights = st_zalloc_n(logit_size(d, 2), sizeof *weights);
    float *prior = st_zalloc_n((size_t)d * 2, sizeof *prior);
    int rc = ST_ENOMEM;
    if (!numbers || !labels || !weights || !prior) {
        st_err_set(err, rc, "no memory for a calibration");
        goto out;
    }
    rc = gemm_new(NULL, &g, err);
    if (rc)
        goto out;
    fill_rows(t, rows, n, numbers, labels);
    prior[0] = prior[2] = -0.5F; /* the difference of both classes is the slope: 1 */
    prior[1] = prior[3] = 0.5F;
    const logit_rows data = {.dense = numbers, .n = n, .d = d};
    const logit_opts opts = {.l2 = 1.0 / n, .prior = prior};
    rc = logit_fit(g, &data, labels, 2, &opts, weights, NULL, err);
    if (rc == 0)
        take_model(t, weights);
out:
    gemm_free(g);
    st_free(prior);
    st_free(weights);
    st_free(labels);
    st_free(numbers);
    return rc;
}

int extract_true_fit(const true_row *rows, uint32_t n, extract_true **ret, st_err *err)
{
    uint32_t right = 0;
    int rc = 0;
    for (uint32_t i = 0; i < n; i++)
        right += rows[i].right;
    if (n < TRUE_MIN_ROWS || right == 0 || right == n)
        return st_err_set(err, ST_EINVAL,
                          "%u of %u fields are right: nothing to learn from", right, n);
    extract_true *t = st_zalloc_n(1, sizeof *t);
    if (!t)
        return st_err_set(err, ST_ENOMEM, "no memory for a calibration");
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = add_field(t, rows[i].pointer, 0, err);
    if (rc == 0)
        rc = learn(t, rows, n, err);
    if (rc) {
        extract_true_free(t);
        return rc;
    }
    *ret = t;
    return 0;
}

void extract_true_free(extract_true *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->n; i++)
        st_free(t->offsets[i].pointer);
    st_free(t);
}

double extract_true_of(const extract_true *t, const char *pointer, field_score score)
{
    double h;
    double f;
    uint32_t place = find_field(t, pointer);
    features(score, &h, &f);
    double z = t->bias + t->held * h + t->free * f;
    if (place < t->n)
        z += t->offsets[place].value;
    return 1 / (1 + exp(-z));
}

/* ---- as text: "b s t", then "o POINTER" lines ---- */

int extract_true_write(const extract_true *t, st_buf *out)
{
    (void)st_buf_fmt(out, "%.9g %.9g %.9g\n", t->bias, t->held, t->free);
    for (uint32_t i = 0; i < t->n; i++)
        (void)st_buf_fmt(out, "%.9g %s\n", t->offsets[i].value, t->offsets[i].pointer);
    return out->code;
}

static bool read_number(const char **at, double *ret)
{
    char *end;
    *ret = strtod(*at, &end);
    bool ok = end != *at && isfinite(*ret);
    *at = end;
    return ok;
}

static int read_offsets(extract_true *t, const char *at, st_err *err)
{
    char name[MAX_NAME + 1];
    while (*at) {
        double value;
        if (!read_number(&at, &value) || *at != ' ')
            return ST_EFORMAT;
        size_t len = strcspn(++at, "\n");
        if (len > MAX_NAME || at[len] != '\n')
            return ST_EFORMAT;
        memcpy(name, at, len);
        name[len] = '\0';
        at += len + 1;
        int rc = add_field(t, name, value, err);
        if (rc)
            return rc;
    }
    return 0;
}

int extract_true_read(const char *text, extract_true **ret, st_err *err)
{
    extract_true *t = st_zalloc_n(1, sizeof *t);
    const char *at = text;
    if (!t)
        return st_err_set(err, ST_ENOMEM, "no memory for a calibration");
    bool ok = read_number(&at, &t->bias) && read_number(&at, &t->held) &&
              read_number(&at, &t->free) && *at == '\n';
    int rc = ok ? read_offsets(t, at + 1, err) : ST_EFORMAT;
    if (rc) {
        extract_true_free(t);
        return st_err_set(err, rc, "'%.40s' is no calibration of fields", text);
    }
    *ret = t;
    return 0;
}
