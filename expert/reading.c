/* expert/reading.c - texts as hidden states.
 *
 * Texts go through the engine in slices, so memory does not grow with their number.
 * Inside a prompt the mean is taken over the text's own tokens: what stands before and
 * after it is found by comparing the prompts of two probes. */
#include "expert/reading.h"

#include "base/mem.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SLICE = 64 };

typedef struct slice {
    const reading_job *job;
    bool prompt;
    uint32_t before, after; /* tokens of the prompt around the text */
    tok_ids ids[SLICE];
    const int32_t *tokens[SLICE];
    uint32_t n_tokens[SLICE];
    step_states want[SLICE];
    uint32_t n; /* texts in the engine's lists */
} slice;

uint32_t reading_width(const reading *r, const lm *l)
{
    return r->n_layers * model_about(l->model)->n_embd;
}

bool reading_same(const reading *a, const reading *b)
{
    return a->n_layers == b->n_layers && a->pooling == b->pooling &&
           a->prompt == b->prompt &&
           memcmp(a->layers, b->layers, a->n_layers * sizeof *a->layers) == 0;
}

void reading_name(const reading *r, char *ret_text, size_t size)
{
    int at =
        snprintf(ret_text, size, "%s of ", r->pooling == READING_LAST ? "last" : "mean");
    for (uint32_t i = 0; i < r->n_layers && at > 0 && (size_t)at < size; i++)
        at += snprintf(ret_text + at, size - (size_t)at, i ? "+%u" : "%u", r->layers[i]);
    if (r->prompt && at > 0 && (size_t)at < size)
        snprintf(ret_text + at, size - (size_t)at, " in the prompt");
}

static int encode(const reading_job *job, bool prompt, const char *text, size_t len,
                  tok_ids *ids, st_err *err)
{
    ids->n = 0;
    if (prompt)
        return lm_prompt(job->lm, job->q->instructions, text, len, ids, err);
    return tok_encode(job->lm->tok, text, len, TOK_LITERAL | TOK_ADD, ids, err);
}

/* How many tokens of a prompt come before and after the text, the same for every text. */
static int find_surroundings(slice *s, st_err *err)
{
    tok_ids a = {0}, b = {0};
    int code = encode(s->job, true, "7", 1, &a, err);
    if (!code)
        code = encode(s->job, true, "why not", 7, &b, err);
    size_t least = a.n < b.n ? a.n : b.n, before = 0, after = 0;
    while (!code && before < least && a.ids[before] == b.ids[before])
        before++;
    while (!code && after < least - before &&
           a.ids[a.n - 1 - after] == b.ids[b.n - 1 - after])
        after++;
    s->before = (uint32_t)before;
    s->after = (uint32_t)after;
    tok_ids_done(&a);
    tok_ids_done(&b);
    return code;
}

static void slice_done(slice *s)
{
    for (int i = 0; i < SLICE; i++)
        tok_ids_done(&s->ids[i]);
}

static int too_long(const slice *s, uint32_t text, size_t n, st_err *err)
{
    st_err_set(err, ST_ELIMIT, "text %u has %zu tokens for %s, whose context holds %u",
               text, n, s->job->name, engine_n_ctx(s->job->lm->engine));
    st_err_hint(err, "shorten it, or let the contract do so (input: on_too_long)");
    return ST_ELIMIT;
}

/* Tokens [from, to) of a prompt are the text's own; all of it where that leaves nothing.
 */
static void set_range(const slice *s, step_states *want, uint32_t n)
{
    want->from = 0;
    want->to = 0;
    if (!s->prompt || s->before + s->after >= n || !want->ret_mean)
        return;
    want->from = s->before;
    want->to = n - s->after;
}

static int slice_add(slice *s, uint32_t i, const words_text *text, uint32_t number,
                     const step_states *want, st_err *err)
{
    tok_ids *ids = &s->ids[i];
    int code = encode(s->job, s->prompt, text->text, text->len, ids, err);
    if (code) {
        st_err_at(err, "text %u", number);
        return code;
    }
    if (ids->n > engine_n_ctx(s->job->lm->engine))
        return too_long(s, number, ids->n, err);
    if (ids->n == 0)
        return 0;
    s->tokens[s->n] = ids->ids;
    s->n_tokens[s->n] = (uint32_t)ids->n;
    s->want[s->n] = *want;
    set_range(s, &s->want[s->n], (uint32_t)ids->n);
    s->n++;
    return 0;
}

static int slice_run(slice *s, st_err *err)
{
    if (s->n == 0)
        return 0;
    return engine_states(s->job->lm->engine, s->tokens, s->n_tokens, s->want, s->n, err);
}

static int report(const reading_job *job, uint32_t done, uint32_t total, st_err *err)
{
    char what[96];
    snprintf(what, sizeof what, "reading with %.64s", job->name);
    if (st_progress_report(job->progress, what, done, total))
        return 0;
    return st_err_set(err, ST_ECANCELLED, "cancelled while reading");
}

int reading_layers(const reading_job *job, bool prompt, uint32_t first, uint32_t last,
                   const words_text *texts, uint32_t n, float *ret_mean, float *ret_last,
                   st_err *err)
{
    slice s = {.job = job, .prompt = prompt};
    size_t step = (size_t)(last - first + 1) * model_about(job->lm->model)->n_embd;
    int code = prompt ? find_surroundings(&s, err) : 0;
    for (uint32_t at = 0; at < n && !code; at += SLICE) {
        uint32_t count = n - at < SLICE ? n - at : SLICE;
        if (ret_mean)
            memset(ret_mean + at * step, 0, count * step * sizeof(float));
        if (ret_last)
            memset(ret_last + at * step, 0, count * step * sizeof(float));
        s.n = 0;
        for (uint32_t i = 0; i < count && !code; i++) {
            step_states want = {.first_layer = first, .last_layer = last};
            want.ret_mean = ret_mean ? ret_mean + (at + i) * step : NULL;
            want.ret_last = ret_last ? ret_last + (at + i) * step : NULL;
            code = slice_add(&s, i, &texts[at + i], job->first + at + i, &want, err);
        }
        if (!code)
            code = slice_run(&s, err);
        if (!code)
            code = report(job, at + count, n, err);
    }
    slice_done(&s);
    return code;
}

int reading_count(const reading_job *job, bool prompt, const words_text *texts,
                  uint32_t n, uint64_t *ret_tokens, st_err *err)
{
    tok_ids ids = {0};
    uint64_t sum = 0;
    int code = 0;
    for (uint32_t i = 0; i < n && !code; i++) {
        code = encode(job, prompt, texts[i].text, texts[i].len, &ids, err);
        sum += ids.n;
    }
    tok_ids_done(&ids);
    if (!code)
        *ret_tokens = sum;
    return code;
}

void reading_unit(float *row, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)row[i] * (double)row[i];
    double scale = sum > 0 ? 1 / sqrt(sum) : 0;
    for (uint32_t i = 0; i < n; i++)
        row[i] = (float)((double)row[i] * scale);
}

/* Pick the reading's layers from a text's range of layers. */
static void pick_layers(const reading *r, const float *range, uint32_t n_embd, float *out)
{
    for (uint32_t i = 0; i < r->n_layers; i++, out += n_embd) {
        memcpy(out, range + (size_t)(r->layers[i] - r->layers[0]) * n_embd,
               n_embd * sizeof *out);
        reading_unit(out, n_embd);
    }
}

int reading_run(const reading_job *job, const reading *r, const words_text *texts,
                uint32_t n, float *ret_rows, st_err *err)
{
    uint32_t first = r->layers[0], last = r->layers[r->n_layers - 1];
    uint32_t n_embd = model_about(job->lm->model)->n_embd;
    size_t step = (size_t)(last - first + 1) * n_embd,
           width = (size_t)r->n_layers * n_embd;
    reading_job quiet = *job;
    quiet.progress = NULL;
    float *range = st_alloc_n(SLICE, step * sizeof *range);
    int code = range ? 0 : st_err_set(err, ST_ENOMEM, "reading: out of memory");
    for (uint32_t at = 0; at < n && !code; at += SLICE) {
        uint32_t count = n - at < SLICE ? n - at : SLICE;
        bool mean = r->pooling == READING_MEAN;
        quiet.first = job->first + at;
        code = reading_layers(&quiet, r->prompt, first, last, texts + at, count,
                              mean ? range : NULL, mean ? NULL : range, err);
        for (uint32_t i = 0; i < count && !code; i++)
            pick_layers(r, range + i * step, n_embd, ret_rows + (at + i) * width);
        if (!code)
            code = report(job, at + count, n, err);
    }
    st_free(range);
    return code;
}

int scaling_fit(const float *rows, uint32_t n, uint32_t d, scaling *ret_scale,
                st_err *err)
{
    scaling s = {d, st_alloc_n(d, sizeof *s.mean), st_alloc_n(d, sizeof *s.factor)};
    double *sum = st_zalloc_n(d, 2 * sizeof *sum);
    if (!s.mean || !s.factor || !sum) {
        st_free(s.mean);
        st_free(s.factor);
        st_free(sum);
        return st_err_set(err, ST_ENOMEM, "scaling: out of memory");
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t f = 0; f < d; f++)
            sum[f] += (double)rows[(size_t)i * d + f];
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t f = 0; f < d; f++) {
            double off = (double)rows[(size_t)i * d + f] - sum[f] / n;
            sum[d + f] += off * off;
        }
    for (uint32_t f = 0; f < d; f++) {
        double sd = sqrt(sum[d + f] / n);
        s.mean[f] = (float)(sum[f] / n);
        s.factor[f] = sd > 1e-6 ? (float)(1 / (sd * sqrt(d))) : 0;
    }
    st_free(sum);
    *ret_scale = s;
    return 0;
}

void scaling_apply(const scaling *s, const float *rows, uint32_t n, float *ret_rows)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t f = 0; f < s->d; f++) {
            size_t at = (size_t)i * s->d + f;
            ret_rows[at] = (rows[at] - s->mean[f]) * s->factor[f];
        }
}
