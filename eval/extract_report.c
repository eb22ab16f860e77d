/* eval/extract_report.c - a task of type extract or draft run over a data set. */
#include "eval/extract_report.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

/* ---- judging ---- */

static extract_field *find_each(extract_judged *j, const char *pointer, st_err *err)
{
    for (uint32_t i = 0; i < j->n_each; i++)
        if (strcmp(j->each[i].pointer, pointer) == 0)
            return &j->each[i];
    if (j->n_each == EXTRACT_MAX_FIELDS)
        return NULL;
    char *own = st_strdup(pointer);
    if (!own) {
        st_err_set(err, ST_ENOMEM, "no memory for a report");
        return NULL;
    }
    j->each[j->n_each] = (extract_field){.pointer = own};
    return &j->each[j->n_each++];
}

/* The part of `f` that is one field, for comparing it alone. */
static bool only_field(const fields *f, const char *pointer, fields *ret)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (!fields_is(f, i) || strcmp(fields_pointer(f, i), pointer))
            continue;
        uint32_t end = i + 1;
        while (end < f->n && f->at[end].inside)
            end++;
        *ret = *f;
        ret->n = end;
        return true;
    }
    return false;
}

/* Units of one field: what the whole has up to its end, less what it has before it. */
static int count_field(const fields *given, const fields *wanted, const char *pointer,
                       fields_count *count, st_err *err)
{
    fields_count with = {0};
    fields a = {0};
    fields b = {0};
    field *copies[2] = {NULL, NULL};
    fields *parts[2] = {&a, &b};
    const fields *wholes[2] = {given, wanted};
    int rc = 0;
    for (int side = 0; side < 2 && rc == 0; side++) {
        if (!only_field(wholes[side], pointer, parts[side]))
            continue;
        copies[side] = st_dup(parts[side]->at, parts[side]->n * sizeof(field));
        if (!copies[side])
            rc = st_err_set(err, ST_ENOMEM, "no memory for a report");
        for (uint32_t i = 0; rc == 0 && i < parts[side]->n; i++)
            if (fields_is(wholes[side], i) &&
                strcmp(fields_pointer(wholes[side], i), pointer))
                copies[side][i].kind = FIELD_NULL; /* counts nothing */
        parts[side]->at = copies[side];
    }
    if (rc == 0)
        rc = fields_compare(&a, &b, &with, NULL, err);
    count->hits += with.hits;
    count->given += with.given;
    count->wanted += with.wanted;
    st_free(copies[0]);
    st_free(copies[1]);
    return rc;
}

static int count_each(extract_judged *j, const fields *given, const fields *wanted,
                      st_err *err)
{
    const fields *sides[2] = {wanted, given};
    int rc = 0;
    for (int side = 0; side < 2 && rc == 0; side++) {
        const fields *f = sides[side];
        for (uint32_t i = 0; i < f->n && rc == 0; i++) {
            const char *pointer = fields_pointer(f, i);
            fields other;
            if (!fields_is(f, i) || (side == 1 && only_field(wanted, pointer, &other)))
                continue;
            st_err why = {0};
            extract_field *each = find_each(j, pointer, &why);
            if (each)
                rc = count_field(given, wanted, pointer, &each->count, err);
            else if (why.code)
                rc = st_err_set(err, why.code, "%s", why.message);
        }
    }
    return rc;
}

static void count_probabilities(extract_judged *j, const extract_answer *a,
                                const bool *right)
{
    for (uint32_t i = 0; i < a->fields.n; i++) {
        double p = a->probability[i];
        if (isnan(p))
            continue;
        unsigned bin = p >= 1 ? 9 : p <= 0 ? 0 : (unsigned)(p * 10);
        j->bins[bin]++;
        j->right[bin] += right[i];
        j->sums[bin] += p;
        j->n_given++;
    }
}

static int judge_row(extract_judged *j, const data_row *row, const extract_answer *a,
                     st_err *err)
{
    fields wanted;
    const fields none = {0};
    const fields *given = a->code ? &none : &a->fields;
    fields_count count = {0};
    int rc = fields_read(row->output, row->output_len, &wanted, err);
    if (rc)
        return rc;
    bool *right = st_zalloc_n(given->n + 1u, sizeof *right);
    if (!right)
        rc = st_err_set(err, ST_ENOMEM, "no memory for a report");
    if (rc == 0)
        rc = fields_compare(given, &wanted, &count, right, err);
    if (rc == 0)
        rc = count_each(j, given, &wanted, err);
    if (rc == 0) {
        j->n_judged++;
        j->n_right += count.hits == count.given && count.hits == count.wanted && !a->code;
        j->fields.hits += count.hits;
        j->fields.given += count.given;
        j->fields.wanted += count.wanted;
        if (!a->code)
            count_probabilities(j, a, right);
    }
    st_free(right);
    fields_done(&wanted);
    return rc;
}

static int take_answer(extract_judged *j, const data_row *row, const extract_answer *a,
                       extract_sink *sink, void *arg, st_err *err)
{
    j->n++;
    j->n_refused += a->code != 0;
    j->n_accepted += a->code == 0 && a->n_faults == 0;
    j->n_repaired += a->repaired;
    j->n_tokens += a->n_tokens;
    j->n_steps += a->n_steps;
    j->n_forced += a->n_forced;
    int rc = row->output ? judge_row(j, row, a, err) : 0;
    return rc == 0 && sink ? sink(arg, row, a, err) : rc;
}

static int judge_group(extraction *x, const data_set *set, uint32_t first, uint32_t n,
                       extract_sink *sink, void *arg, extract_judged *j, st_err *err)
{
    extract_answer answers[EXTRACT_GROUP];
    const char *texts[EXTRACT_GROUP];
    size_t lens[EXTRACT_GROUP];
    for (uint32_t i = 0; i < n; i++) {
        texts[i] = set->rows[first + i].text;
        lens[i] = set->rows[first + i].len;
    }
    uint64_t start = st_clock_us();
    int rc = extraction_decide(x, texts, lens, NULL, n, answers, err);
    j->seconds += (double)(st_clock_us() - start) / 1e6;
    for (uint32_t i = 0; i < n; i++) {
        if (rc == 0)
            rc = take_answer(j, &set->rows[first + i], &answers[i], sink, arg, err);
        extract_answer_done(&answers[i]);
    }
    return rc;
}

int extract_judge(extraction *x, const data_set *set, extract_sink *sink, void *arg,
                  const st_progress *progress, extract_judged *ret_judged, st_err *err)
{
    extract_judged j = {0};
    int rc = 0;
    for (uint32_t i = 0; i < set->n && rc == 0; i += EXTRACT_GROUP) {
        uint32_t n = set->n - i < EXTRACT_GROUP ? set->n - i : EXTRACT_GROUP;
        rc = st_progress_report(progress, "deciding", i, set->n)
                 ? judge_group(x, set, i, n, sink, arg, &j, err)
                 : st_err_set(err, ST_ECANCELLED, "stopped while deciding");
    }
    if (rc) {
        extract_judged_done(&j);
        return rc;
    }
    *ret_judged = j;
    return 0;
}

void extract_judged_done(extract_judged *j)
{
    for (uint32_t i = 0; i < j->n_each; i++)
        st_free(j->each[i].pointer);
    *j = (extract_judged){0};
}

/* How far probabilities and shares of right fields are apart, over ten bins. */
static double judged_ece(const extract_judged *j)
{
    double sum = 0;
    for (unsigned b = 0; b < 10; b++)
        sum += fabs(j->sums[b] - (double)j->right[b]);
    return j->n_given ? sum / (double)j->n_given : 0;
}

/* ---- the report ---- */

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

static void put_way(const extraction *x, st_buf *out)
{
    shots_way find;
    uint32_t n = extraction_shots(x, &find);
    (void)st_buf_fmt(out, "%s, %s", extraction_model(x),
                     n ? "shown " : "shown no examples");
    if (n && find == SHOTS_FIXED)
        (void)st_buf_fmt(out, "%u examples", n);
    else if (n)
        (void)st_buf_fmt(out, "the %u nearest examples by %s", n,
                         find == SHOTS_WORDS ? "words" : "an encoder");
    (void)st_buf_str(out, extraction_fitted(x) ? "; fitted\n" : "; not fitted\n");
}

static void put_fields(const extract_judged *j, st_buf *out)
{
    (void)st_buf_fmt(out, "\n%-28s %6s %10s %8s %8s\n", "field", "n", "precision",
                     "recall", "F1");
    for (uint32_t i = 0; i < j->n_each; i++) {
        const extract_field *f = &j->each[i];
        (void)st_buf_fmt(out, "%-28.28s %6llu %10.3f %8.3f %8.3f\n", f->pointer,
                         (unsigned long long)f->count.wanted,
                         share(f->count.hits, f->count.given),
                         share(f->count.hits, f->count.wanted), fields_f1(&f->count));
    }
    (void)st_buf_fmt(out, "%-28s %6llu %10.3f %8.3f %8.3f\n", "all",
                     (unsigned long long)j->fields.wanted,
                     share(j->fields.hits, j->fields.given),
                     share(j->fields.hits, j->fields.wanted), fields_f1(&j->fields));
}

int extract_report(const extraction *x, const data_set *set, const extract_judged *j,
                   st_buf *out, st_err *err)
{
    const contract_output *o = &extraction_contract(x)->output;
    (void)st_buf_fmt(out, "%s: %u rows; ", set->path, j->n);
    put_way(x, out);
    (void)st_buf_fmt(out, "%-28s %u of %u\n", "valid answers", j->n - j->n_refused, j->n);
    if (o->n_checks)
        (void)st_buf_fmt(out, "%-28s %u of %u, %u of them after a second attempt\n",
                         "all checks hold", j->n_accepted, j->n, j->n_repaired);
    if (j->n_judged) {
        (void)st_buf_fmt(out, "%-28s %u of %u\n", "all fields right", j->n_right,
                         j->n_judged);
        (void)st_buf_fmt(out, "%-28s %.3f\n", "calibration error of fields",
                         judged_ece(j));
    }
    (void)st_buf_fmt(out, "%-28s %llu tokens in %llu steps: %.0f %% saved\n", "steps",
                     (unsigned long long)j->n_tokens, (unsigned long long)j->n_steps,
                     100 * (1 - share(j->n_steps, j->n_tokens)));
    (void)st_buf_fmt(out, "%-28s %.0f ms\n", "a row",
                     j->n ? 1000 * j->seconds / j->n : 0);
    if (j->n_judged)
        put_fields(j, out);
    return out->code ? st_err_set(err, out->code, "no memory for a report") : 0;
}
