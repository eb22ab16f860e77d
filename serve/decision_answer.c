/* serve/decision_answer.c - answers in the shape that their questions had.
 *
 * Numbers are full doubles.  What is not in a shape of others is under `stint`, one entry
 * a question: how it was answered, and the probability that the model gave to the options
 * at all. */
#include "serve/decision_priv.h"
#include <math.h>
#include <stdio.h>

/* Set a member; false: no memory (value NULL or not set). */
static bool put(json_t *object, const char *name, json_t *value)
{
    return object && value && json_object_set_new(object, name, value) == 0;
}

static json_t *copy(const json_t *value)
{
    return json_incref((json_t *)(uintptr_t)value);
}

static void drop(json_t **object)
{
    json_decref(*object);
    *object = NULL;
}

/* ---- OpenAI ---- */

static json_t *openai_row(const decision_question *q, uint32_t i, double p)
{
    bool score = q->q.type == QUESTION_SCORE;
    return score ? json_pack("{s:O, s:i, s:f}", "label", q->options[i], "value", (int)i,
                             "probability", p)
                 : json_pack("{s:O, s:f}", "value", q->options[i], "probability", p);
}

static json_t *openai_rows(const decision_question *q, const double *probs)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < q->q.n_options; i++)
        if (json_array_append_new(list, openai_row(q, i, probs[i])))
            drop(&list);
    return list;
}

static json_t *openai_name(const decision_question *q)
{
    return q->name ? json_string(q->name) : json_null();
}

static json_t *openai_one(const decision_question *q, const decided *a)
{
    switch (q->q.type) {
    case QUESTION_PREDICATE:
        return json_pack("{s:s, s:o, s:f}", "type", "predicate", "name", openai_name(q),
                         "probability", a->probs[0]);
    case QUESTION_SCORE:
        return json_pack("{s:s, s:o, s:f, s:f, s:o}", "type", "score", "name",
                         openai_name(q), "score", a->answer.score, "confidence",
                         a->answer.confidence, "probabilities", openai_rows(q, a->probs));
    default:
        return json_pack("{s:s, s:o, s:O, s:f, s:o}", "type", "choice", "name",
                         openai_name(q), "choice", q->options[a->answer.best],
                         "confidence", a->answer.confidence, "probabilities",
                         openai_rows(q, a->probs));
    }
}

static json_t *openai_usage(const decision_result *r)
{
    return json_pack("{s:I, s:{s:I, s:i}, s:i, s:{s:i}, s:I}", "input_tokens",
                     (json_int_t)r->n_prompt, "input_tokens_details", "cached_tokens",
                     (json_int_t)r->n_cached, "cache_write_tokens", 0, "output_tokens", 0,
                     "output_tokens_details", "reasoning_tokens", 0, "total_tokens",
                     (json_int_t)r->n_prompt);
}

/* ---- TypeSafe and SGLang: maps ---- */

/* An option's key: of a choice its value, of a score its number. */
static const char *key_of(const decision_question *q, uint32_t i, char number[16])
{
    if (q->q.type == QUESTION_CHOICE)
        return q->q.options[i].value;
    snprintf(number, 16, "%u", i);
    return number;
}

static json_t *map_probs(const decision_question *q, const double *probs)
{
    char number[16];
    json_t *map = json_object();
    for (uint32_t i = 0; map && i < q->q.n_options; i++)
        if (!put(map, key_of(q, i, number), json_real(probs[i])))
            drop(&map);
    return map;
}

static json_t *legend(const decision_question *q)
{
    char number[16];
    json_t *map = json_object();
    for (uint32_t i = 0; map && i < q->q.n_options; i++)
        if (!put(map, key_of(q, i, number), copy(q->options[i])))
            drop(&map);
    return map;
}

static json_t *systemone_one(const decision_question *q, const decided *a)
{
    switch (q->q.type) {
    case QUESTION_PREDICATE:
        return json_pack("{s:s, s:f}", "type", "noul", "noul", a->probs[0]);
    case QUESTION_SCORE:
        return json_pack("{s:s, s:f, s:o, s:o, s:f}", "type", "score", "score",
                         a->answer.score, "legend", legend(q), "probabilities",
                         map_probs(q, a->probs), "confidence", a->answer.confidence);
    default:
        return json_pack("{s:s, s:s, s:o, s:f}", "type", "choice", "choice",
                         q->q.options[a->answer.best].value, "probabilities",
                         map_probs(q, a->probs), "confidence", a->answer.confidence);
    }
}

static json_t *mass_of(const decided *a)
{
    return isnan(a->mass) ? json_null() : json_real(a->mass);
}

static json_t *sglang_one(const decision_question *q, const decided *a)
{
    switch (q->q.type) {
    case QUESTION_PREDICATE:
        return json_pack("{s:s, s:{s:f, s:f}, s:o}", "type", "yes_no", "probabilities",
                         "yes", a->probs[0], "no", a->probs[1], "label_mass", mass_of(a));
    case QUESTION_SCORE:
        return json_pack("{s:s, s:o, s:f, s:f, s:o}", "type", "score", "probabilities",
                         map_probs(q, a->probs), "score", a->answer.score, "confidence",
                         a->answer.confidence, "label_mass", mass_of(a));
    default:
        return json_pack("{s:s, s:o, s:s, s:f, s:o}", "type", "choice", "probabilities",
                         map_probs(q, a->probs), "choice",
                         q->q.options[a->answer.best].value, "confidence",
                         a->answer.confidence, "label_mass", mass_of(a));
    }
}

static json_t *short_usage(const decision_result *r)
{
    return json_pack("{s:I, s:i}", "input_tokens", (json_int_t)r->n_prompt,
                     "output_tokens", 0);
}

/* ---- all of it ---- */

static json_t *about_one(const decision_question *q, const decided *a)
{
    (void)q; /* as the others */
    if (a->route)
        return json_pack("{s:s, s:b, s:f, s:o}", "route", a->route, "calibrated",
                         a->calibrated, "p", a->probs[a->answer.best], "label_mass",
                         mass_of(a));
    return json_pack("{s:s, s:b, s:f, s:o, s:s, s:i}", "route", "model", "calibrated", 0,
                     "p", a->probs[a->answer.best], "label_mass", mass_of(a), "method",
                     ask_method_name(a->method), "orders", (int)a->n_orders);
}

typedef json_t *one_made(const decision_question *q, const decided *a);

/* One for each question: by name where they have keys, else in their order. */
static json_t *all_made(const decision *d, const decision_result *r, one_made *make)
{
    bool list = d->shape == DECISION_OPENAI;
    json_t *all = list ? json_array() : json_object();
    for (uint32_t i = 0; all && i < d->n_questions; i++) {
        const decision_question *q = &d->questions[i];
        json_t *one = make(q, &r->answers[i]);
        if (list ? json_array_append_new(all, one) != 0 : !put(all, q->name, one))
            drop(&all);
    }
    return all;
}

json_t *decision_answer(const decision *d, const decision_result *r)
{
    static one_made *const made[] = {
        [DECISION_OPENAI] = openai_one,
        [DECISION_SYSTEMONE] = systemone_one,
        [DECISION_SGLANG] = sglang_one,
    };
    bool openai = d->shape == DECISION_OPENAI;
    json_t *about = json_pack("{s:s*, s:s, s:o}", "task", r->task, "version", r->version,
                              "answers", all_made(d, r, about_one));
    return json_pack("{s:s, s:o, s:o, s:o}", "model", r->model, "answers",
                     all_made(d, r, made[d->shape]), "usage",
                     openai ? openai_usage(r) : short_usage(r), "stint", about);
}
