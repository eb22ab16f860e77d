/* expert/reading.c - texts as hidden states.
 *
 * Texts go through the engine in slices, so memory does not grow with their number.
 * Inside a prompt the mean is taken over the text's own tokens: what stands before and
 * after it is found by comparing the prompts of two probes.  What stands before is run
 * once and every text goes on from it. */
#include "expert/reading.h"

#include "base/mem.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SLICE = 64 };

typedef struct slice {
    const reading_job *job;
    bool prompt;
    tok_ids before;    /* tokens of the prompt before the text, ... */
    uint32_t after;    /* ... and how many after it */
    const seq *shared; /* holds those before; NULL: texts are run with theirs */
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

/* What comes before and after the text in a prompt, the same for every text. */
static int find_surroundings(slice *s, st_err *err)
{
    tok_ids *a = &s->before, b = {0};
    int code = encode(s->job, true, "7", 1, a, err);
    if (!code)
        code = encode(s->job, true, "why not", 7, &b, err);
    size_t least = a->n < b.n ? a->n : b.n, before = 0, after = 0;
    while (!code && before < least && a->ids[before] == b.ids[before])
        before++;
    while (!code && after < least - before &&
           a->ids[a->n - 1 - after] == b.ids[b.n - 1 - after])
        after++;
    a->n = before;
    s->after = (uint32_t)after;
    tok_ids_done(&b);
    return code;
}

/* Run what stands before the texts, where a model can go on from it and has the room. */
static int run_before(slice *s, st_err *err)
{
    st_err why = {0};
    lm *l = s->job->lm;
    if (s->before.n == 0 || !model_about(l->model)->causal)
        return 0;
    int code = lm_beginning(l, s->before.ids, (uint32_t)s->before.n, &s->shared, &why);
    if (code == ST_EBUSY || code == ST_ELIMIT)
        return 0;
    return code ? st_err_set(err, code, "%s", why.message) : 0;
}

static int slice_init(slice *s, const reading_job *job, bool prompt, st_err *err)
{
    *s = (slice){.job = job, .prompt = prompt};
    int code = prompt ? find_surroundings(s, err) : 0;
    return code || !prompt ? code : run_before(s, err);
}

static void slice_done(slice *s)
{
    tok_ids_done(&s->before);
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

/* The text of ids goes on from what stands before it. */
static void set_prefix(const slice *s, const tok_ids *ids, step_states *want)
{
    size_t n = s->before.n;
    if (s->shared && ids->n > n &&
        memcmp(ids->ids, s->before.ids, n * sizeof *ids->ids) == 0)
        want->prefix = s->shared;
}

/* Tokens [from, to) of a prompt are the text's own; all of it where that leaves nothing.
 */
static void set_range(const slice *s, const tok_ids *ids, step_states *want)
{
    bool own = s->prompt && s->before.n + s->after < ids->n;
    want->from = 0;
    want->to = 0;
    if (own || !want->ret_mean)
        set_prefix(s, ids, want);
    if (!own || !want->ret_mean)
        return;
    want->from = want->prefix ? 0 : (uint32_t)s->before.n;
    want->to = want->from + (uint32_t)(ids->n - s->before.n) - s->after;
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
    step_states *mine = &s->want[s->n];
    *mine = *want;
    set_range(s, ids, mine);
    size_t skip = mine->prefix ? s->before.n : 0;
    s->tokens[s->n] = ids->ids + skip;
    s->n_tokens[s->n] = (uint32_t)(ids->n - skip);
    s->n++;
    return 0;
}

static int slice_run(slice *s, st_err *err)
{
    lm *l = s->job->lm;
    st_err why = {0};
    if (s->n == 0)
        return 0;
    int rc = engine_states(l->engine, s->tokens, s->n_tokens, s->want, s->n, &why);
    if (rc == ST_EBUSY && lm_spare(l)) {
        why = (st_err){0};
        rc = engine_states(l->engine, s->tokens, s->n_tokens, s->want, s->n, &why);
    }
    return rc ? st_err_set(err, rc, "%s", why.message) : 0;
}

static int report(const reading_job *job, uint32_t done, uint32_t total, st_err *err)
{
    char what[96];
    snprintf(what, sizeof what, "reading with %.64s", job->name);
    if (st_progress_report(job->progress, what, done, total))
        return 0;
    return st_err_set(err, ST_ECANCELLED, "cancelled while reading");
}

/* Where the states of text i of a call go. */
typedef struct layers_room {
    uint32_t first, last;
    size_t step;       /* floats of one text */
    float *mean, *end; /* either may be NULL */
} layers_room;

/* Read `count` texts, at most SLICE, that the caller counts from `number`. */
static int slice_read(slice *s, const words_text *texts, uint32_t number, uint32_t count,
                      const layers_room *room, st_err *err)
{
    int code = 0;
    if (room->mean)
        memset(room->mean, 0, count * room->step * sizeof(float));
    if (room->end)
        memset(room->end, 0, count * room->step * sizeof(float));
    s->n = 0;
    for (uint32_t i = 0; i < count && !code; i++) {
        step_states want = {.first_layer = room->first, .last_layer = room->last};
        want.ret_mean = room->mean ? room->mean + i * room->step : NULL;
        want.ret_last = room->end ? room->end + i * room->step : NULL;
        code = slice_add(s, i, &texts[i], number + i, &want, err);
    }
    return code ? code : slice_run(s, err);
}

int reading_layers(const reading_job *job, bool prompt, uint32_t first, uint32_t last,
                   const words_text *texts, uint32_t n, float *ret_mean, float *ret_last,
                   st_err *err)
{
    slice s;
    size_t step = (size_t)(last - first + 1) * model_about(job->lm->model)->n_embd;
    int code = slice_init(&s, job, prompt, err);
    for (uint32_t at = 0; at < n && !code; at += SLICE) {
        uint32_t count = n - at < SLICE ? n - at : SLICE;
        const layers_room room = {first, last, step,
                                  ret_mean ? ret_mean + at * step : NULL,
                                  ret_last ? ret_last + at * step : NULL};
        code = slice_read(&s, texts + at, job->first + at, count, &room, err);
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
    slice s;
    uint32_t n_embd = model_about(job->lm->model)->n_embd;
    size_t width = (size_t)r->n_layers * n_embd;
    layers_room room = {.first = r->layers[0], .last = r->layers[r->n_layers - 1]};
    room.step = (size_t)(room.last - room.first + 1) * n_embd;
    float *range = st_alloc_n(SLICE, room.step * sizeof *range);
    *(r->pooling == READING_MEAN ? &room.mean : &room.end) = range;
    int code = slice_init(&s, job, r->prompt, err);
    if (!range && !code)
        code = st_err_set(err, ST_ENOMEM, "reading: out of memory");
    for (uint32_t at = 0; at < n && !code; at += SLICE) {
        uint32_t count = n - at < SLICE ? n - at : SLICE;
        code = slice_read(&s, texts + at, job->first + at, count, &room, err);
        for (uint32_t i = 0; i < count && !code; i++)
            pick_layers(r, range + i * room.step, n_embd, ret_rows + (at + i) * width);
        if (!code)
            code = report(job, at + count, n, err);
    }
    slice_done(&s);
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
