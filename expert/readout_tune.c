/* expert/readout_tune.c - choose how a model is asked, by labelled rows.
 *
 * Each mode is scored once with the most rotations that may be chosen; fewer rotations,
 * PMI and the temperature are only other combinations of the same scores. */
#include "expert/readout.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
    DEFAULT_TOKENS = 20000,
    MIN_ROWS = 8,
    GROUP = 16,     /* rows that are asked about together */
    MAX_ROWS = 256, /* more do not change a choice among a dozen */
    MAX_ROTATIONS =
        4, /* each doubles the cost of a decision; eight brought nothing more */
};

/* Worth this many nats before a dearer way is taken. */
static const double worth_nats = 0.05;

typedef struct scores { /* of one mode */
    double *rows;       /* [n, rotations, K] */
    double *neutral;    /* [rotations, K] */
    uint32_t n;
    uint32_t n_options;
    uint32_t rotations;
    const int32_t *labels;
    double us; /* a row with all rotations */
} scores;

int readout_opts_write(const readout_opts *opts, char *ret_text, size_t size)
{
    int n = snprintf(ret_text, size,
                     "{\"mode\":\"%s\",\"pmi\":%s,\"rotations\":%u,\"temperature\":%.6f}",
                     readout_mode_name(opts->mode), opts->pmi ? "true" : "false",
                     opts->rotations, opts->temperature);
    return n > 0 && (size_t)n < size ? 0 : ST_ELIMIT;
}

int readout_opts_read(const char *text, readout_opts *ret_opts, st_err *err)
{
    const char *mode;
    int pmi, rotations;
    readout_opts o = {0};
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    int bad =
        !root || json_unpack(root, "{s:s, s:b, s:i, s:F!}", "mode", &mode, "pmi", &pmi,
                             "rotations", &rotations, "temperature", &o.temperature);
    if (!bad) {
        unsigned m = READOUT_TEXT;
        while (m <= READOUT_NAMES && strcmp(mode, readout_mode_name((readout_mode)m)))
            m++;
        bad = m > READOUT_NAMES || rotations < 1 || rotations > READOUT_MAX_ROTATIONS ||
              !(o.temperature > 0) || !isfinite(o.temperature);
        o.mode = (readout_mode)m;
        o.pmi = pmi;
        o.rotations = (uint32_t)rotations;
    }
    json_decref(root);
    if (bad)
        return st_err_set(err, ST_EFORMAT, "readout setting '%.80s' is damaged", text);
    *ret_opts = o;
    return 0;
}

/* Mean NLL of the labels under one combination, and its accuracy. */
static double rate(const scores *s, const readout_opts *o, double *ret_accuracy)
{
    double probs[QUESTION_MAX_OPTIONS];
    double sum = 0;
    uint32_t right = 0;
    size_t stride = (size_t)s->rotations * s->n_options;
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t best = 0;
        (void)readout_combine(o, s->n_options, s->rows + i * stride, s->neutral, probs);
        for (uint32_t k = 1; k < s->n_options; k++)
            best = probs[k] > probs[best] ? k : best;
        right += best == (uint32_t)s->labels[i];
        sum -= log(fmax(probs[s->labels[i]], 1e-12));
    }
    if (ret_accuracy)
        *ret_accuracy = (double)right / s->n;
    return sum / s->n;
}

/* The temperature with the lowest NLL: golden section over its logarithm. */
static void fit_temperature(const scores *s, readout_opts *o)
{
    const double ratio = 0.6180339887498949;
    double low = log(0.005);
    double high = log(1000.0); /* uninformative scores end up uniform */
    double at[2] = {high - ratio * (high - low), low + ratio * (high - low)};
    double nll[2];
    for (int k = 0; k < 2; k++) {
        o->temperature = exp(at[k]);
        nll[k] = rate(s, o, NULL);
    }
    for (int step = 0; step < 40; step++) {
        int worse = nll[1] > nll[0];
        if (worse)
            high = at[1];
        else
            low = at[0];
        at[worse] = at[!worse];
        nll[worse] = nll[!worse];
        at[!worse] = worse ? high - ratio * (high - low) : low + ratio * (high - low);
        o->temperature = exp(at[!worse]);
        nll[!worse] = rate(s, o, NULL);
    }
    o->temperature = exp(nll[0] < nll[1] ? at[0] : at[1]);
}

static void try_combinations(const scores *s, readout_mode mode, readout_tuning *t)
{
    bool decoder = mode != READOUT_NAMES;
    for (uint32_t r = 1; r <= s->rotations; r *= 2) {
        for (int pmi = 0; pmi <= decoder && t->n_trials < ST_COUNT(t->trials); pmi++) {
            readout_trial *trial = &t->trials[t->n_trials++];
            *trial = (readout_trial){.opts = {mode, pmi, r, 1},
                                     .us = s->us * r / s->rotations};
            fit_temperature(s, &trial->opts);
            trial->nll = rate(s, &trial->opts, &trial->accuracy);
        }
    }
}

static uint32_t most_rotations(const question *q, readout_mode mode)
{
    uint32_t n = 1;
    if (q->type == QUESTION_SCORE || mode == READOUT_NAMES)
        return 1;
    while (n * 2 <= MAX_ROTATIONS && n * 2 <= q->n_options)
        n *= 2;
    return n;
}

typedef struct tuner {
    lm *lm;
    const question *q;
    const question_row **rows; /* chosen, spread over the given */
    int32_t *labels;
    uint32_t n;
    uint32_t rotations; /* the most that are tried */
    const st_progress *progress;
} tuner;

/* Scores of rows [from, from + n), behind the `kept` ones.  Rows whose prompt this model
 * cannot hold are left out, here and in later modes. */
static int score_group(tuner *t, readout *r, scores *s, uint32_t from, uint32_t n,
                       uint32_t *kept, st_err *err)
{
    const char *texts[GROUP];
    size_t lens[GROUP], stride = (size_t)s->rotations * s->n_options;
    int codes[GROUP];
    double *to = s->rows + *kept * stride;
    for (uint32_t i = 0; i < n; i++) {
        texts[i] = t->rows[from + i]->text;
        lens[i] = t->rows[from + i]->len;
    }
    int rc = readout_raw_many(r, texts, lens, n, to, codes, err);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        if (codes[i])
            continue;
        memmove(s->rows + *kept * stride, to + i * stride, stride * sizeof *to);
        t->rows[*kept] = t->rows[from + i];
        t->labels[*kept] = t->rows[from + i]->label;
        ++*kept;
    }
    return rc;
}

static int score_rows(tuner *t, readout *r, scores *s, const char *what, st_err *err)
{
    uint32_t kept = 0;
    int rc = readout_raw(r, NULL, 0, s->neutral, err);
    uint64_t start = st_clock_us();
    for (uint32_t i = 0; i < t->n && rc == 0; i += GROUP) {
        if (!st_progress_report(t->progress, what, i, t->n))
            return st_err_set(err, ST_ECANCELLED, "stopped while tuning the readout");
        uint32_t n = t->n - i < GROUP ? t->n - i : GROUP;
        rc = score_group(t, r, s, i, n, &kept, err);
    }
    if (rc == 0 && kept == 0)
        rc = st_err_set(err, ST_ELIMIT, "no row fits the context beside the options");
    if (rc)
        return rc;
    s->us = (double)(st_clock_us() - start) / t->n;
    s->n = t->n = kept;
    return 0;
}

static int try_mode(tuner *t, readout_mode mode, const char *what, readout_tuning *tuning,
                    st_err *err)
{
    scores s = {.n = t->n,
                .n_options = t->q->n_options,
                .rotations = t->rotations,
                .labels = t->labels};
    readout_opts o = {.mode = mode, .rotations = s.rotations, .temperature = 1};
    readout *r = NULL;
    size_t stride = (size_t)s.rotations * s.n_options;
    int rc = ST_ENOMEM;
    s.rows = st_alloc_n(t->n, stride * sizeof *s.rows);
    s.neutral = st_alloc_n(stride, sizeof *s.neutral);
    if (!s.rows || !s.neutral) {
        st_err_set(err, rc, "no memory for tuning");
        goto out;
    }
    rc = readout_new(t->lm, t->q, &o, &r, err);
    if (rc == 0)
        rc = score_rows(t, r, &s, what, err);
    if (rc == 0)
        try_combinations(&s, mode, tuning);
out:
    readout_free(r);
    st_free(s.rows);
    st_free(s.neutral);
    return rc;
}

/* How many rows, and with how many rotations, the token budget pays for: label texts
 * and codes are run; what held texts cost beside them does not count.  Rotations are
 * given up before there are fewer than MIN_ROWS rows. */
static int plan(tuner *t, const question_row *rows, uint32_t n_rows, uint64_t max_tokens,
                st_err *err)
{
    readout *r;
    uint64_t each;
    readout_opts o = readout_default(t->lm);
    t->n = n_rows < MAX_ROWS ? n_rows : MAX_ROWS;
    t->rotations = most_rotations(t->q, o.mode);
    if (o.mode == READOUT_NAMES)
        return 0;
    int rc = readout_new(t->lm, t->q, &o, &r, err);
    if (rc)
        return rc;
    rc = readout_cost(r, rows[n_rows / 2].text, rows[n_rows / 2].len, &each, err);
    readout_free(r);
    if (rc)
        return rc;
    while (t->rotations > 1 && 2 * each * t->rotations * MIN_ROWS > max_tokens)
        t->rotations /= 2;
    uint64_t paid = max_tokens / (2 * each * t->rotations);
    paid = paid < MIN_ROWS ? MIN_ROWS : paid;
    t->n = paid < t->n ? (uint32_t)paid : t->n;
    return 0;
}

/* The cheapest of those that are about as good as the best. */
static uint32_t choose(const readout_tuning *t)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < t->n_trials; i++)
        if (t->trials[i].nll < t->trials[best].nll)
            best = i;
    double limit = t->trials[best].nll + worth_nats;
    for (uint32_t i = 0; i < t->n_trials; i++)
        if (t->trials[i].nll <= limit && t->trials[i].us < t->trials[best].us)
            best = i;
    return best;
}

/* A way that the model cannot be asked is noted, not an error. */
static int note_refusal(readout_tuning *tuning, int rc, const st_err *why, st_err *err)
{
    if (rc != ST_EUNSUPPORTED && rc != ST_ELIMIT)
        return rc ? st_err_set(err, rc, "%s", why->message) : 0;
    if (!tuning->refused[0])
        snprintf(tuning->refused, sizeof tuning->refused, "%.199s", why->message);
    return 0;
}

static int try_modes(tuner *t, readout_tuning *tuning, st_err *err)
{
    static const struct {
        readout_mode mode;
        const char *what;
    } ways[] = {{READOUT_NAMES, "reading names"},
                {READOUT_TEXT, "reading label texts"},
                {READOUT_CODES, "reading codes"},
                {READOUT_HELD, "reading held label texts"}};
    bool encoder = readout_default(t->lm).mode == READOUT_NAMES;
    int rc = 0;
    for (size_t i = 0; i < ST_COUNT(ways) && rc == 0; i++) {
        st_err why = {0};
        if (encoder != (ways[i].mode == READOUT_NAMES))
            continue;
        rc = try_mode(t, ways[i].mode, ways[i].what, tuning, &why);
        rc = note_refusal(tuning, rc, &why, err);
    }
    return rc;
}

int readout_tune(lm *l, const question *q, const question_row *rows, uint32_t n_rows,
                 uint64_t max_tokens, const st_progress *progress,
                 readout_tuning *ret_tuning, st_err *err)
{
    tuner t = {.lm = l, .q = q, .progress = progress};
    readout_tuning tuning = {0};
    if (n_rows == 0)
        return st_err_set(err, ST_EINVAL, "no labelled rows to tune a readout with");
    st_err why = {0};
    int rc = plan(&t, rows, n_rows, max_tokens ? max_tokens : DEFAULT_TOKENS, &why);
    if (rc) {
        rc = note_refusal(&tuning, rc, &why, err);
        if (rc == 0)
            *ret_tuning = tuning;
        return rc;
    }
    t.rows = st_alloc_n(t.n, sizeof *t.rows);
    t.labels = st_alloc_n(t.n, sizeof *t.labels);
    if (!t.rows || !t.labels) {
        rc = st_err_set(err, ST_ENOMEM, "no memory for tuning");
        goto out;
    }
    for (uint32_t i = 0; i < t.n; i++) {
        t.rows[i] = &rows[(uint64_t)i * n_rows / t.n];
        t.labels[i] = t.rows[i]->label;
    }
    rc = try_modes(&t, &tuning, err);
    if (rc)
        goto out;
    tuning.n_rows = t.n;
    tuning.best = choose(&tuning);
    *ret_tuning = tuning;
out:
    st_free(t.rows);
    st_free(t.labels);
    return rc;
}
