/* eval/report.c - what came out of a data set, as text for a terminal. */
#include "eval/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "stats/metrics.h"

static const double z95 = 1.959963984540054; /* normal quantile of a 95 % interval */

enum {
    NAME_COLUMNS = 24, /* of a label's name, at most */
    MIN_BAR = 10,
};

/* One way's figures over the rows that have both a label and an answer. */
typedef struct figures {
    uint32_t n;
    double *probs;
    int32_t *labels;
    metrics all;
    metrics_interval accuracy;
    double a_second;
    double mass; /* mean label mass; NaN when there is none */
    uint32_t routes[TASK_ZERO_SHOT + 1];
    metrics_label each[QUESTION_MAX_OPTIONS];
} figures;

static void gather(const question *q, const data_set *set, const judged *j, figures *f)
{
    size_t options = q->n_options;
    uint32_t n_mass = 0;
    double mass = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        const task_answer *a = &j->answers[i];
        if (a->code)
            continue;
        f->routes[a->route]++;
        if (!isnan(a->label_mass)) {
            mass += a->label_mass;
            n_mass++;
        }
        if (set->rows[i].label < 0)
            continue;
        memcpy(f->probs + f->n * options, j->probs + i * options,
               options * sizeof *f->probs);
        f->labels[f->n++] = set->rows[i].label;
    }
    f->mass = n_mass ? mass / n_mass : (double)NAN;
    f->a_second = j->seconds > 0 ? j->n / j->seconds : 0;
}

static int figure(const question *q, const data_set *set, const judged *j, figures *f,
                  st_err *err)
{
    f->probs = st_alloc_n(set->n, q->n_options * sizeof *f->probs);
    f->labels = st_alloc_n(set->n, sizeof *f->labels);
    if (!f->probs || !f->labels)
        return st_err_set(err, ST_ENOMEM, "no memory for a report");
    gather(q, set, j, f);
    if (f->n == 0)
        return st_err_set(err, ST_EINVAL, "%s: no row has a label and an answer",
                          set->path);
    int rc = metrics_of(f->probs, f->labels, f->n, q->n_options, &f->all, f->each, err);
    if (rc == 0)
        f->accuracy = metrics_wilson((uint32_t)lround(f->all.accuracy * f->n), f->n, z95);
    return rc;
}

static void figures_done(figures *f)
{
    st_free(f->probs);
    st_free(f->labels);
}

/* Columns that a UTF-8 text takes, a character each. */
static size_t text_columns(const char *s, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xC0) != 0x80;
    return n;
}

static void pad(st_buf *out, size_t have, size_t want)
{
    for (; have < want; have++)
        (void)st_buf_char(out, ' ');
}

/* One line's worth of a text: control characters become blanks, the end may be cut. */
static void put_text(st_buf *out, const char *text, size_t len, size_t columns)
{
    bool cut = text_columns(text, len) > columns;
    size_t room = cut && columns > 3 ? columns - 3 : columns;
    size_t used = 0;
    for (size_t i = 0; i < len;) {
        size_t n;
        uint32_t c = st_utf8_decode(text + i, len - i, &n);
        if (used++ == room)
            break;
        if (c < 0x20 || (c >= 0x7F && c < 0xA0) || c == ST_UTF8_BAD)
            (void)st_buf_char(out, ' ');
        else
            (void)st_buf_add(out, text + i, n);
        i += n;
    }
    if (cut)
        (void)st_buf_str(out, "...");
}

static const char *option_name(const question *q, uint32_t i)
{
    return q->abstain && i + 1 == q->n_options ? "(none of these)" : q->options[i].value;
}

static size_t name_columns(const question *q)
{
    size_t widest = 5;
    for (uint32_t i = 0; i < q->n_options; i++) {
        const char *name = option_name(q, i);
        size_t n = text_columns(name, strlen(name));
        widest = n > widest ? n : widest;
    }
    return widest < NAME_COLUMNS ? widest : NAME_COLUMNS;
}

static void put_name(st_buf *out, const question *q, uint32_t i, size_t columns)
{
    const char *name = option_name(q, i);
    size_t len = strlen(name);
    size_t have = text_columns(name, len);
    put_text(out, name, len, columns);
    pad(out, have < columns ? have : columns, columns);
}

static void put_whole(const report_way *ways, const figures *f, uint32_t n, st_buf *out)
{
    (void)st_buf_fmt(out, "%-24s", "");
    for (uint32_t w = 0; w < n; w++)
        (void)st_buf_fmt(out, "%18s", ways[w].title);
    (void)st_buf_fmt(out, "\n%-24s", "accuracy");
    for (uint32_t w = 0; w < n; w++)
        (void)st_buf_fmt(out, "%18.3f", f[w].all.accuracy);
    (void)st_buf_fmt(out, "\n%-24s", "  95 % interval");
    for (uint32_t w = 0; w < n; w++)
        (void)st_buf_fmt(out, "%8s%.3f-%.3f", "", f[w].accuracy.low, f[w].accuracy.high);
    (void)st_buf_fmt(out, "\n%-24s", "macro F1");
    for (uint32_t w = 0; w < n; w++)
        (void)st_buf_fmt(out, "%18.3f", f[w].all.macro_f1);
    (void)st_buf_fmt(out, "\n%-24s", "NLL (nats)");
    for (uint32_t w = 0; w < n; w++)
        (void)st_buf_fmt(out, "%18.3f", f[w].all.nll);
    (void)st_buf_fmt(out, "\n%-24s", "calibration error (ECE)");
    for (uint32_t w = 0; w < n; w++)
        (void)st_buf_fmt(out, "%18.3f", f[w].all.ece);
    (void)st_buf_fmt(out, "\n%-24s", "  its noise floor");
    for (uint32_t w = 0; w < n; w++)
        (void)st_buf_fmt(out, "%18.3f", f[w].all.ece_noise);
    (void)st_buf_fmt(out, "\n%-24s", "decisions a second");
    for (uint32_t w = 0; w < n; w++)
        (void)st_buf_fmt(out, "%18.1f", f[w].a_second);
    (void)st_buf_char(out, '\n');
}

static void put_notes(const report_way *ways, const figures *f, uint32_t n,
                      uint32_t n_rows, st_buf *out)
{
    for (uint32_t w = 0; w < n; w++) {
        const judged *j = ways[w].result;
        if (!isnan(f[w].mass))
            (void)st_buf_fmt(out,
                             "%s: %.3g %% of the model's probability is on the options\n",
                             ways[w].title, 100 * f[w].mass);
        if (f[w].routes[TASK_RULE])
            (void)st_buf_fmt(out, "%s: rules answered %u rows\n", ways[w].title,
                             f[w].routes[TASK_RULE]);
        if (j->n_refused)
            (void)st_buf_fmt(out, "%s: %u rows have no answer\n", ways[w].title,
                             j->n_refused);
        if (f[w].n + j->n_refused < n_rows)
            (void)st_buf_fmt(out, "%s: %u rows have no label and are not judged\n",
                             ways[w].title, n_rows - f[w].n - j->n_refused);
    }
}

static void put_labels(const question *q, const figures *f, uint32_t n, st_buf *out)
{
    size_t columns = name_columns(q);
    (void)st_buf_str(out, "\nlabel");
    pad(out, 5, columns);
    (void)st_buf_str(out, "     n");
    for (uint32_t w = 0; w < n; w++)
        (void)st_buf_str(out, "   precision recall    F1");
    for (uint32_t i = 0; i < q->n_options; i++) {
        (void)st_buf_char(out, '\n');
        put_name(out, q, i, columns);
        (void)st_buf_fmt(out, " %5u", f[0].each[i].n_true);
        for (uint32_t w = 0; w < n; w++)
            (void)st_buf_fmt(out, "   %9.3f %6.3f %5.3f", f[w].each[i].precision,
                             f[w].each[i].recall, f[w].each[i].f1);
    }
    (void)st_buf_char(out, '\n');
}

int report_tables(const question *q, const data_set *set, const report_way *ways,
                  uint32_t n_ways, st_buf *out, st_err *err)
{
    figures *f = st_zalloc_n(n_ways, sizeof *f);
    int rc = 0;
    if (!f)
        return st_err_set(err, ST_ENOMEM, "no memory for a report");
    for (uint32_t w = 0; w < n_ways && rc == 0; w++)
        rc = figure(q, set, ways[w].result, &f[w], err);
    if (rc == 0) {
        (void)st_buf_fmt(out, "%s: %u rows, %u options\n", set->path, set->n,
                         q->n_options);
        put_whole(ways, f, n_ways, out);
        put_notes(ways, f, n_ways, set->n, out);
        put_labels(q, f, n_ways, out);
        if (out->code)
            rc = st_err_set(err, out->code, "no memory for a report");
    }
    for (uint32_t w = 0; w < n_ways; w++)
        figures_done(&f[w]);
    st_free(f);
    return rc;
}

/* A bar of `part` of `columns`, to an eighth of a column. */
static void put_bar(st_buf *out, double part, size_t columns)
{
    static const char *const eighths[] = {"",
                                          "\xE2\x96\x8F",
                                          "\xE2\x96\x8E",
                                          "\xE2\x96\x8D",
                                          "\xE2\x96\x8C",
                                          "\xE2\x96\x8B",
                                          "\xE2\x96\x8A",
                                          "\xE2\x96\x89"};
    size_t n = (size_t)lround(part * (double)columns * 8);
    for (size_t i = 0; i < n / 8; i++)
        (void)st_buf_str(out, "\xE2\x96\x88");
    (void)st_buf_str(out, eighths[n % 8]);
}

int report_bars(const question *q, const char *text, size_t len, int32_t label,
                const double *probs, unsigned columns, st_buf *out, st_err *err)
{
    size_t name = name_columns(q);
    size_t bar = columns > name + 12 + MIN_BAR ? columns - name - 12 : MIN_BAR;
    bool shown[QUESTION_MAX_OPTIONS] = {false};
    put_text(out, text, len, columns);
    (void)st_buf_char(out, '\n');
    for (uint32_t k = 0; k < q->n_options; k++) {
        uint32_t best = UINT32_MAX; /* the likeliest that is left */
        for (uint32_t i = 0; i < q->n_options; i++)
            if (!shown[i] && (best == UINT32_MAX || probs[i] > probs[best]))
                best = i;
        shown[best] = true;
        (void)st_buf_str(out, (int32_t)best == label ? "* " : "  ");
        put_name(out, q, best, name);
        (void)st_buf_fmt(out, " %6.3f ", probs[best]);
        put_bar(out, probs[best], bar);
        (void)st_buf_char(out, '\n');
    }
    return out->code ? st_err_set(err, out->code, "no memory for bars") : 0;
}
