/* expert/readout.c - how a model is asked a question: a view for each rotation. */
#include "expert/readout_view.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

static const char *const mode_names[] = {
    [READOUT_TEXT] = "text",
    [READOUT_HELD] = "held",
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

static int make_replies(view *v, const int32_t *const *chains, const uint32_t *lens,
                        uint32_t n, int32_t end, st_err *err)
{
    st_sha sha;
    st_sha_init(&sha);
    st_sha_add(&sha, &end, sizeof end);
    for (uint32_t i = 0; i < n; i++) {
        st_sha_add(&sha, &lens[i], sizeof lens[i]);
        st_sha_add(&sha, chains[i], lens[i] * sizeof *chains[i]);
    }
    st_sha_end(&sha, v->replies_digest);
    return options_new(chains, lens, n, end, &v->replies, err);
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
    return make_replies(v, chains, lens, n, -1, err);
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
        rc = make_replies(v, chains, lens, n, end ? lm_turn_end(r->lm) : -1, err);
    for (uint32_t i = 0; i < n; i++)
        tok_ids_done(&ids[i]);
    return rc;
}

static int make_view(readout *r, uint32_t rotation, st_err *err)
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
    int rc = check_opts(l, q, opts, err);
    if (rc)
        return rc;
    readout *r = st_zalloc_n(1, sizeof *r);
    if (!r) {
        rc = st_err_set(err, ST_ENOMEM, "no memory for a readout");
        goto fail;
    }
    r->lm = l;
    r->q = q;
    r->opts = *opts;
    for (uint32_t i = 0; opts->mode != READOUT_NAMES && i < opts->rotations && rc == 0;
         i++)
        rc = make_view(r, i, err);
    if (rc)
        goto fail;
    *ret_readout = r;
    return 0;
fail:
    readout_free(r);
    return rc;
}

/* A beginning that does not fit beside others is no error: prompts are run whole then. */
static int pin_prefix(const readout *r, view *v, st_err *err)
{
    st_err why = {0};
    if (v->prefix.n == 0 || v->pin)
        return 0;
    int rc =
        sched_prefix_pin(r->sched, v->prefix.ids, (uint32_t)v->prefix.n, &v->pin, &why);
    if (rc == 0 && r->lm->keeps)
        rc = sched_prefix_run_kept(r->sched, v->pin, &why);
    return rc == 0 || rc == ST_ELIMIT || rc == ST_EBUSY
               ? 0
               : st_err_set(err, rc, "%s", why.message);
}

int readout_bind(readout *r, st_err *err)
{
    if (r->opts.mode == READOUT_NAMES)
        return r->names ? 0 : names_new(r->lm, r->q, &r->names, err);
    if (r->sched)
        return 0;
    int rc = lm_sched(r->lm, NULL, &r->sched, err);
    for (uint32_t i = 0; i < r->opts.rotations && rc == 0; i++)
        rc = pin_prefix(r, &r->views[i], err);
    if (rc)
        r->sched = NULL;
    return rc;
}

void readout_free(readout *r)
{
    if (!r)
        return;
    readout_stop(r);
    for (uint32_t i = 0; i < READOUT_MAX_ROTATIONS; i++) {
        if (r->views[i].pin)
            sched_prefix_unpin(r->lm->sched, r->views[i].pin);
        options_free(r->views[i].replies);
        tok_ids_done(&r->views[i].prefix);
    }
    names_free(r->names);
    st_free(r->neutral);
    st_free(r);
}
