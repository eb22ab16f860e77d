/* expert/readout.c - answer a question with a model and no examples.
 *
 * A `view` is one rotation: its prompt form, the sequence that holds the beginning shared
 * by the prompts of all inputs, and the trie of replies in the order of the question's
 * options.  A decision forks each view's sequence as far as the input's own prompt agrees
 * with it, so the shared beginning saves time and never changes a result. */
#include "expert/readout.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engine/options.h"
#include "expert/names.h"
#include "expert/prompt.h"

/* Stands for "no input" where PMI asks what the model answers to nothing. */
static const char neutral_text[] = "N/A";

typedef struct view {
    prompt_form form;
    tok_ids prefix;
    seq *base; /* holds the prefix; NULL when there is no room to keep it */
    options *replies;
} view;

struct readout {
    lm *lm;
    const question *q;
    readout_opts opts;
    view views[READOUT_MAX_ROTATIONS];
    char codes[QUESTION_MAX_OPTIONS][PROMPT_CODE_BYTES];
    int32_t code_ids[QUESTION_MAX_OPTIONS];
    double *neutral; /* [rotations, n_options]; NULL until needed */
    double *logp;    /* [rotations, n_options] of the input at hand */
    names *names;    /* READOUT_NAMES */
};

/* How chat formats spell the end of a turn, where it is not the end of the text. */
static const char *const turn_ends[] = {"<|im_end|>", "<|eot_id|>", "<end_of_turn>",
                                        "<|end|>", "<|END_OF_TURN_TOKEN|>"};

static const char *const mode_names[] = {
    [READOUT_TEXT] = "text",
    [READOUT_CODES] = "codes",
    [READOUT_NAMES] = "names",
};

const char *readout_mode_name(readout_mode mode)
{
    return mode_names[mode];
}

readout_opts readout_default(const lm *l)
{
    const model_info *info = model_about(l->model);
    bool decoder = info->causal && info->has_head;
    return (readout_opts){.mode = decoder ? READOUT_TEXT : READOUT_NAMES,
                          .pmi = decoder,
                          .rotations = 1,
                          .temperature = decoder ? 1 : NAMES_TEMPERATURE};
}

/* The token that ends a reply in the model's chat format; -1 without one. */
static int32_t end_of_turn(const lm *l)
{
    if (!l->chat)
        return -1;
    for (size_t i = 0; i < ST_COUNT(turn_ends); i++) {
        int32_t id = tok_find(l->tok, turn_ends[i]);
        if (id >= 0 && tok_is_end(l->tok, id))
            return id;
    }
    return tok_eos(l->tok);
}

/* Shifts 0, K/2, K/4, 3K/4, ...: each power of two of them is spread evenly. */
static uint32_t rotation_shift(uint32_t rotation, uint32_t n_options)
{
    uint32_t reversed = 0;
    for (uint32_t bit = 1; bit < READOUT_MAX_ROTATIONS; bit <<= 1)
        reversed = reversed * 2 + ((rotation & bit) != 0);
    return (uint32_t)((uint64_t)reversed * n_options / READOUT_MAX_ROTATIONS);
}

/* The ids that the prompts of different inputs begin with. */
static int find_prefix(const prompt_form *form, tok_ids *prefix, st_err *err)
{
    static const char *const probes[] = {"1", " x", "\n."};
    int rc = prompt_encode(form, "A", 1, prefix, err);
    for (size_t i = 0; i < ST_COUNT(probes) && rc == 0; i++) {
        tok_ids other = {0};
        rc = prompt_encode(form, probes[i], strlen(probes[i]), &other, err);
        size_t n = 0;
        while (n < prefix->n && n < other.n && prefix->ids[n] == other.ids[n])
            n++;
        if (rc == 0)
            prefix->n = n;
        tok_ids_done(&other);
    }
    return rc;
}

/* Run the prefix once and keep it.  Where pages are short it is run with every input. */
static int keep_prefix(view *v, lm *l, uint64_t *kept, st_err *err)
{
    engine *e = l->engine;
    st_err why = {0};
    if (v->prefix.n == 0 || *kept + v->prefix.n > engine_n_ctx(e))
        return 0;
    int rc = seq_new(e, &v->base, &why);
    if (rc == 0)
        rc = lm_begin(l, v->base, v->prefix.ids, (uint32_t)v->prefix.n, &why);
    if (rc) {
        seq_free(v->base);
        v->base = NULL;
        if (rc != ST_EBUSY)
            return st_err_set(err, rc, "%s", why.message);
        return 0;
    }
    *kept += v->prefix.n;
    return 0;
}

static int make_code_replies(const readout *r, view *v, st_err *err)
{
    uint32_t n = r->q->n_options;
    int32_t ids[QUESTION_MAX_OPTIONS];
    const int32_t *chains[QUESTION_MAX_OPTIONS];
    uint32_t lens[QUESTION_MAX_OPTIONS];
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = r->code_ids[(i + n - v->form.shift) % n];
        chains[i] = &ids[i];
        lens[i] = 1;
    }
    return options_new(chains, lens, n, -1, &v->replies, err);
}

/* Does one reply begin another?  Then both need an end to compete fairly; else an end
 * only asks whether the model would have said more. */
static bool one_begins_another(const tok_ids *ids, uint32_t n)
{
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = 0; b < n; b++)
            if (a != b && ids[a].n <= ids[b].n &&
                memcmp(ids[a].ids, ids[b].ids, ids[a].n * sizeof *ids[a].ids) == 0)
                return true;
    return false;
}

static int make_text_replies(const readout *r, view *v, const tok_ids *prompt,
                             st_err *err)
{
    uint32_t n = r->q->n_options;
    tok_ids ids[QUESTION_MAX_OPTIONS] = {{0}};
    const int32_t *chains[QUESTION_MAX_OPTIONS];
    uint32_t lens[QUESTION_MAX_OPTIONS];
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        rc = prompt_reply(r->lm, prompt, prompt_option(r->q, i), &ids[i], err);
        chains[i] = ids[i].ids;
        lens[i] = (uint32_t)ids[i].n;
    }
    bool end = rc == 0 && one_begins_another(ids, n);
    if (rc == 0)
        rc =
            options_new(chains, lens, n, end ? end_of_turn(r->lm) : -1, &v->replies, err);
    for (uint32_t i = 0; i < n; i++)
        tok_ids_done(&ids[i]);
    return rc;
}

static int make_view(readout *r, uint32_t rotation, uint64_t *kept, st_err *err)
{
    view *v = &r->views[rotation];
    tok_ids prompt = {0};
    bool codes = r->opts.mode == READOUT_CODES;
    v->form = (prompt_form){
        .lm = r->lm,
        .q = r->q,
        .codes = codes,
        .shift = rotation_shift(rotation, r->q->n_options),
        .code = (const char(*)[PROMPT_CODE_BYTES])r->codes,
    };
    int rc = prompt_encode(&v->form, "A", 1, &prompt, err);
    if (rc == 0 && codes && rotation == 0)
        rc = prompt_codes(r->lm, r->q, &prompt, r->codes, r->code_ids, err);
    if (rc == 0)
        rc = codes ? make_code_replies(r, v, err) : make_text_replies(r, v, &prompt, err);
    if (rc == 0)
        rc = find_prefix(&v->form, &v->prefix, err);
    if (rc == 0)
        rc = keep_prefix(v, r->lm, kept, err);
    tok_ids_done(&prompt);
    return rc;
}

static int check_opts(const lm *l, const question *q, const readout_opts *o, st_err *err)
{
    const model_info *info = model_about(l->model);
    bool power = o->rotations && (o->rotations & (o->rotations - 1)) == 0;
    if (!power || o->rotations > READOUT_MAX_ROTATIONS || o->rotations > q->n_options)
        return st_err_set(
            err, ST_EINVAL,
            "%u rotations of %u options; expected a power of two, at most %d "
            "and at most the options",
            o->rotations, q->n_options, READOUT_MAX_ROTATIONS);
    if (!(o->temperature > 0) || !isfinite(o->temperature))
        return st_err_set(err, ST_EINVAL, "temperature %g; expected more than 0",
                          o->temperature);
    if (o->mode != READOUT_NAMES && !(info->causal && info->has_head))
        return st_err_set(err, ST_EUNSUPPORTED,
                          "%s is an encoder: it has no replies to read", l->path);
    if (o->mode == READOUT_NAMES && info->causal)
        return st_err_set(err, ST_EUNSUPPORTED, "%s is a decoder: names need an encoder",
                          l->path);
    return 0;
}

int readout_new(lm *l, const question *q, const readout_opts *opts, readout **ret_readout,
                st_err *err)
{
    uint64_t kept = 0;
    int rc = check_opts(l, q, opts, err);
    if (rc)
        return rc;
    readout *r = st_zalloc_n(1, sizeof *r);
    size_t n = (size_t)opts->rotations * q->n_options;
    if (!r || !(r->logp = st_zalloc_n(n, sizeof *r->logp))) {
        rc = st_err_set(err, ST_ENOMEM, "no memory for a readout");
        goto fail;
    }
    r->lm = l;
    r->q = q;
    r->opts = *opts;
    if (opts->mode == READOUT_NAMES)
        rc = names_new(l, q, &r->names, err);
    for (uint32_t i = 0; opts->mode != READOUT_NAMES && i < opts->rotations && rc == 0;
         i++)
        rc = make_view(r, i, &kept, err);
    if (rc)
        goto fail;
    *ret_readout = r;
    return 0;
fail:
    readout_free(r);
    return rc;
}

void readout_free(readout *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < READOUT_MAX_ROTATIONS; i++) {
        seq_free(r->views[i].base);
        options_free(r->views[i].replies);
        tok_ids_done(&r->views[i].prefix);
    }
    names_free(r->names);
    st_free(r->neutral);
    st_free(r->logp);
    st_free(r);
}

/* A sequence that holds as much of `prompt` as the view has run already, never all. */
static int start_sequence(const readout *r, view *v, const tok_ids *prompt, seq **ret_seq,
                          st_err *err)
{
    size_t n = 0;
    if (!v->base)
        return seq_new(r->lm->engine, ret_seq, err);
    while (n < v->prefix.n && n + 1 < prompt->n && v->prefix.ids[n] == prompt->ids[n])
        n++;
    return seq_fork(v->base, (uint32_t)n, ret_seq, err);
}

static int score_view(const readout *r, view *v, const char *text, size_t len,
                      double *ret_logp, st_err *err)
{
    tok_ids prompt = {0};
    seq *s = NULL;
    int rc = prompt_encode(&v->form, text, len, &prompt, err);
    if (rc == 0 && prompt.n > engine_n_ctx(r->lm->engine))
        rc = st_err_set(err, ST_ELIMIT, "the prompt has %zu tokens; the context holds %u",
                        prompt.n, engine_n_ctx(r->lm->engine));
    if (rc == 0)
        rc = start_sequence(r, v, &prompt, &s, err);
    if (rc == 0) {
        uint32_t done = seq_len(s);
        rc = options_score(v->replies, s, prompt.ids + done, (uint32_t)prompt.n - done,
                           ret_logp, err);
    }
    seq_free(s);
    tok_ids_done(&prompt);
    return rc;
}

int readout_raw(readout *r, const char *text, size_t len, double *ret_logp, st_err *err)
{
    uint32_t n = r->q->n_options;
    int rc = 0;
    if (!text) {
        text = neutral_text;
        len = sizeof neutral_text - 1;
    }
    if (r->names)
        return names_score(r->names, text, len, ret_logp, err);
    for (uint32_t i = 0; i < r->opts.rotations && rc == 0; i++)
        rc = score_view(r, &r->views[i], text, len, ret_logp + (size_t)i * n, err);
    return rc;
}

/* x[n] -= ln sum exp(x); returns that logarithm. */
static double normalise(double *x, uint32_t n)
{
    double max = -HUGE_VAL;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    if (!isfinite(max)) { /* the model rules out every option: no preference */
        for (uint32_t i = 0; i < n; i++)
            x[i] = -log((double)n);
        return -HUGE_VAL;
    }
    for (uint32_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    double lse = max + log(sum);
    for (uint32_t i = 0; i < n; i++)
        x[i] -= lse;
    return lse;
}

double readout_combine(const readout_opts *opts, uint32_t n, const double *logp,
                       const double *neutral, double *ret_probs)
{
    double row[QUESTION_MAX_OPTIONS];
    double mass = 0;
    memset(ret_probs, 0, n * sizeof *ret_probs);
    for (uint32_t r = 0; r < opts->rotations; r++) {
        const double *from = logp + (size_t)r * n;
        memcpy(row, from, n * sizeof *row);
        mass += exp(normalise(row, n)) / opts->rotations;
        for (uint32_t i = 0; opts->pmi && i < n; i++)
            row[i] = from[i] - neutral[(size_t)r * n + i];
        if (opts->pmi)
            (void)normalise(row, n);
        for (uint32_t i = 0; i < n; i++)
            ret_probs[i] += row[i] / (opts->rotations * opts->temperature);
    }
    (void)normalise(ret_probs, n);
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += ret_probs[i] = exp(ret_probs[i]);
    for (uint32_t i = 0; i < n; i++)
        ret_probs[i] /= sum;
    return opts->mode == READOUT_NAMES ? (double)NAN : mass < 1 ? mass : 1;
}

static int need_neutral(readout *r, st_err *err)
{
    size_t n = (size_t)r->opts.rotations * r->q->n_options;
    if (!r->opts.pmi || r->neutral)
        return 0;
    double *neutral = st_alloc_n(n, sizeof *neutral);
    if (!neutral)
        return st_err_set(err, ST_ENOMEM, "no memory for a readout");
    int rc = readout_raw(r, NULL, 0, neutral, err);
    if (rc)
        st_free(neutral);
    else
        r->neutral = neutral;
    return rc;
}

int readout_decide(readout *r, const char *text, size_t len, double *ret_probs,
                   double *ret_mass, st_err *err)
{
    int rc = need_neutral(r, err);
    if (rc == 0)
        rc = readout_raw(r, text, len, r->logp, err);
    if (rc)
        return rc;
    double mass =
        readout_combine(&r->opts, r->q->n_options, r->logp, r->neutral, ret_probs);
    if (ret_mass)
        *ret_mass = mass;
    return 0;
}

int readout_cost(readout *r, const char *text, size_t len, uint64_t *ret_tokens,
                 st_err *err)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; !r->names && i < r->opts.rotations; i++) {
        view *v = &r->views[i];
        tok_ids prompt = {0};
        int rc = prompt_encode(&v->form, text, len, &prompt, err);
        if (rc)
            return rc;
        size_t kept = v->base ? v->prefix.n : 0;
        sum += prompt.n > kept ? prompt.n - kept : 1;
        sum += options_n_nodes(v->replies);
        tok_ids_done(&prompt);
    }
    *ret_tokens = sum;
    return 0;
}
