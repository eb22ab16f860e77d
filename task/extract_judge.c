/* task/extract_judge.c - what a model wrote, as an answer: fields, probabilities, checks;
 * and which of two answers is better. */
#include "task/extract_judge.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "task/draft.h"

enum { MAX_TEXT = 64 << 20 };

void extract_answer_done(extract_answer *a)
{
    st_free(a->output);
    st_free(a->text);
    fields_done(&a->fields);
    st_free(a->probability);
    st_free(a->scores);
    *a = (extract_answer){0};
}

void extract_refuse(extract_answer *a, int code, const char *why)
{
    a->code = code;
    snprintf(a->why, sizeof a->why, "%s", why);
}

static int score_fields(const extraction *x, extract_answer *a, const extract_reply *r,
                        st_err *err)
{
    a->probability = st_alloc_n(a->fields.n, sizeof *a->probability);
    a->scores = st_zalloc_n(a->fields.n, sizeof *a->scores);
    if (!a->probability || !a->scores)
        return st_err_set(err, ST_ENOMEM, "no memory for an answer");
    for (uint32_t i = 0; i < a->fields.n; i++) {
        a->probability[i] = (double)NAN;
        if (!fields_is(&a->fields, i))
            continue;
        a->scores[i] = extract_score(r, &a->fields, i);
        a->probability[i] =
            x->truth
                ? extract_true_of(x->truth, fields_pointer(&a->fields, i), a->scores[i])
                : exp(a->scores[i].logp);
    }
    return 0;
}

static int render_text(const extraction *x, extract_answer *a, st_err *err)
{
    st_buf text;
    if (!x->c->output.draft)
        return 0;
    st_buf_init(&text, MAX_TEXT);
    int rc = draft_render(x->c->output.draft, &a->fields, &text, err);
    if (rc == 0 && !(a->text = st_buf_detach(&text, NULL)))
        rc = st_err_set(err, ST_ENOMEM, "no memory for a text");
    st_buf_done(&text);
    return rc;
}

/* Take over what a reply wrote, with its fields and checks. */
int extract_settle(const extraction *x, const extract_ask *ask, extract_reply *r,
                   extract_answer *a, st_err *err)
{
    const contract_output *o = &x->c->output;
    a->n_tokens += r->n_tokens;
    a->n_steps += r->n_steps;
    a->n_forced += r->n_forced;
    if (r->code) {
        extract_refuse(a, r->code, r->why);
        return 0;
    }
    a->output = r->text;
    a->len = r->len;
    r->text = NULL;
    int rc = fields_read(a->output, a->len, &a->fields, err);
    if (rc == 0)
        rc = score_fields(x, a, r, err);
    if (rc == 0)
        rc = render_text(x, a, err);
    if (rc == 0)
        rc = checks_run(o->checks, o->n_checks, ask->text, ask->len, &a->fields,
                        a->faults, &a->n_faults, err);
    return rc;
}

static int write_faults(const extraction *x, const extract_answer *a, st_buf *out,
                        st_err *err)
{
    for (uint32_t i = 0; i < a->n_faults; i++) {
        const check_fault *f = &a->faults[i];
        const char *of = f->field ? f->field : x->c->output.checks[f->check].text;
        (void)st_buf_fmt(out, "%s: %s\n", of, f->why);
    }
    return out->code ? st_err_set(err, out->code, "no memory for a second attempt") : 0;
}

void extract_take_better(extract_answer *a, extract_answer *again)
{
    bool better = again->code == 0 && (a->code || again->n_faults < a->n_faults);
    if (better) {
        extract_answer first = *a;
        *a = *again;
        *again = first;
        a->repaired = true;
        a->n_shots = first.n_shots;
        a->truncated = first.truncated;
    }
    a->n_tokens += again->n_tokens;
    a->n_steps += again->n_steps;
    a->n_forced += again->n_forced;
}

int extract_ask_again(const extraction *x, const extract_answer *a, extract_ask *ask,
                      st_buf *why, bool *ret_again, st_err *err)
{
    *ret_again = a->code == ST_ELIMIT ? a->n_tokens > 0 : !a->code && a->n_faults;
    if (!*ret_again)
        return 0;
    if (a->code) {
        ask->looped = true;
        return 0;
    }
    int rc = write_faults(x, a, why, err);
    ask->failed = a->output;
    ask->failed_len = a->len;
    ask->why = why->data;
    return rc;
}
