/* serve/task_item.c - the answer to one input of a task, as JSON. */
#include "serve/task_item.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "expert/ask.h"

/* ---- parts ---- */

static bool put(json_t *object, const char *name, json_t *value)
{
    return object && value && json_object_set_new(object, name, value) == 0;
}

/* A message that may have been cut inside a character. */
static json_t *message_json(const char *text)
{
    size_t n = strlen(text), good = n;
    (void)st_utf8_valid(text, n, &good);
    return json_stringn(text, good < n ? good : n);
}

json_t *task_usage(uint64_t n_prompt, uint64_t n_cached, uint64_t n_new)
{
    return json_pack("{s:I, s:{s:I}, s:I, s:I}", "input_tokens", (json_int_t)n_prompt,
                     "input_tokens_details", "cached_tokens", (json_int_t)n_cached,
                     "output_tokens", (json_int_t)n_new, "total_tokens",
                     (json_int_t)(n_prompt + n_new));
}

/* ---- decisions ---- */

static json_t *rows_json(const question *q, const double *probs)
{
    json_t *list = json_array();
    bool good = list != NULL;
    for (uint32_t i = 0; i < q->n_options && good; i++) {
        const char *value = q->options[i].value;
        json_t *row =
            q->type == QUESTION_SCORE
                ? json_pack("{s:s, s:i, s:f}", "label", value, "value", (int)i,
                            "probability", probs[i])
                : json_pack("{s:s, s:f}", "value", value, "probability", probs[i]);
        good = row && json_array_append_new(list, row) == 0;
    }
    if (good)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *decision_json(const contract *c, const hub_answer *answer)
{
    const question *q = &c->question;
    const double *p = answer->probs;
    double confidence = ask_confidence(q->type, p, q->n_options);
    switch (q->type) {
    case QUESTION_PREDICATE:
        return json_pack("{s:s, s:s, s:f}", "type", "predicate", "name", c->name,
                         "probability", p[0]);
    case QUESTION_SCORE:
        return json_pack("{s:s, s:s, s:f, s:f, s:o}", "type", "score", "name", c->name,
                         "score", ask_score(p, q->n_options), "confidence", confidence,
                         "probabilities", rows_json(q, p));
    default:
        return json_pack("{s:s, s:s, s:s, s:f, s:o}", "type", "choice", "name", c->name,
                         "choice", q->options[answer->decided->answer].value,
                         "confidence", confidence, "probabilities", rows_json(q, p));
    }
}

/* ---- what is written ---- */

static json_t *fields_json(const extract_answer *a)
{
    json_t *map = json_object();
    bool good = map != NULL;
    for (uint32_t i = 0; i < a->fields.n && good; i++)
        if (fields_is(&a->fields, i))
            good = put(map, fields_pointer(&a->fields, i),
                       json_pack("{s:f}", "p", a->probability[i]));
    if (good)
        return map;
    json_decref(map);
    return NULL;
}

static json_t *faults_json(const contract *c, const extract_answer *a)
{
    json_t *list = json_array();
    bool good = list != NULL;
    for (uint32_t i = 0; i < a->n_faults && good; i++) {
        const check_fault *f = &a->faults[i];
        const check *k = &c->output.checks[f->check];
        json_t *one = json_pack("{s:i, s:s, s:o}", "check", (int)f->check + 1,
                                k->rule ? "rule" : "field", f->field ? f->field : k->text,
                                "message", message_json(f->why));
        good = one && json_array_append_new(list, one) == 0;
    }
    if (good)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *written_json(const contract *c, const extract_answer *a)
{
    json_t *o =
        json_pack("{s:s, s:s, s:o, s:o, s:b}", "type",
                  c->output.draft ? "draft" : "extract", "name", c->name, "fields",
                  fields_json(a), "faults", faults_json(c, a), "repaired", a->repaired);
    if (!a->text || put(o, "text", json_string(a->text)))
        return o;
    json_decref(o);
    return NULL;
}

/* ---- items ---- */

static void refuse(task_item *it, problem_kind kind, const char *message)
{
    it->wrong = (problem){.kind = kind, .message = st_strdup(message)};
}

/* A text that did not end, or that is not of its schema, is the model's failure; one that
 * is too long was not begun. */
static void refuse_written(task_item *it, const extract_answer *a)
{
    problem_kind kind = problem_of_code(a->code);
    if (a->n_tokens > 0 && (a->code == ST_ELIMIT || a->code == ST_EFORMAT))
        kind = PROBLEM_NOT_DONE;
    refuse(it, kind, a->why);
}

static void take_written(task_item *it, const contract *c, const extract_answer *a)
{
    it->n_new = a->n_tokens;
    if (a->code) {
        refuse_written(it, a);
        return;
    }
    it->output = st_dup(a->output, a->len);
    it->rest = it->output ? written_json(c, a) : NULL;
}

static void take_decided(task_item *it, const contract *c, const hub_answer *answer)
{
    const task_answer *a = answer->decided;
    if (a->code) {
        refuse(it, problem_of_code(a->code), a->why);
        return;
    }
    it->label = c->question.options[a->answer].value;
    it->confidence = a->confidence;
    it->rest = decision_json(c, answer);
}

void task_item_take(task_item *it, const hub_use *u, const hub_answer *answer,
                    const st_err *why)
{
    const contract *c = hub_use_contract(u);
    if (why) {
        refuse(it, problem_of_code(why->code), why->message);
        return;
    }
    it->n_prompt = answer->n_tokens;
    it->n_cached = answer->n_cached;
    it->queued_us = answer->queued_us;
    if (answer->decided)
        take_decided(it, c, answer);
    else
        take_written(it, c, answer->written);
    if (!it->rest)
        return;
    it->route = stint_route(answer);
    if (put(it->rest, "usage", task_usage(it->n_prompt, it->n_cached, it->n_new)) &&
        put(it->rest, "stint", stint_extra(u, answer)))
        return;
    json_decref(it->rest);
    it->rest = NULL;
}

void task_item_done(task_item *it)
{
    json_decref(it->rest);
    st_free(it->output);
    st_free(it->wrong.message);
    st_free(it->wrong.param);
    *it = (task_item){0};
}

bool task_item_is_ours(const task_item *it)
{
    problem_kind kind = it->wrong.kind;
    return !it->rest && (!it->wrong.message || kind == PROBLEM_BUSY ||
                         kind == PROBLEM_DRAINING || kind == PROBLEM_SERVER);
}

/* A JSON object's members behind those that are there. */
static bool members_write(const json_t *object, st_buf *out)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    if (!text)
        return false;
    st_buf_str(out, text + 1);
    st_free(text);
    return out->code == 0;
}

static bool error_write(const task_item *it, st_buf *out)
{
    json_t *o =
        json_pack("{s:s, s:o}", "object", "error", "error", problem_json(&it->wrong));
    bool good = members_write(o, out);
    json_decref(o);
    return good;
}

bool task_item_write(const task_item *it, const char *more, st_buf *out)
{
    st_buf_fmt(out, "{%s", more);
    if (!it->rest)
        return error_write(it, out);
    st_buf_str(out, "\"object\":\"task.answer\",");
    if (it->output)
        st_buf_fmt(out, "\"output\":%s,", it->output);
    return members_write(it->rest, out);
}

/* ---- descriptions ---- */

static const member details[] = {{"cached_tokens", MEMBER_INTEGER, .need = true}, {0}};

const member task_usage_members[] = {
    {"input_tokens", MEMBER_INTEGER, .need = true,
     .about = "Of the prompts, the same whether they were run before or not; 0 where no "
              "language model was asked."},
    {"input_tokens_details", MEMBER_OBJECT, .need = true, .of = details},
    {"output_tokens", MEMBER_INTEGER, .need = true},
    {"total_tokens", MEMBER_INTEGER, .need = true},
    {0},
};

static const member row[] = {
    {"value", MEMBER_STRING | MEMBER_INTEGER, .need = true},
    {"label", MEMBER_STRING, .about = "Of a level."},
    {"probability", MEMBER_NUMBER, .need = true},
    {0},
};
static const member fault[] = {
    {"check", MEMBER_INTEGER, .need = true, .about = "Which one, from 1."},
    {"field", MEMBER_STRING, .about = "By JSON pointer."},
    {"rule", MEMBER_STRING, .about = "As the contract has it."},
    {"message", MEMBER_STRING, .need = true},
    {0},
};

const member task_item_members[] = {
    {"object", MEMBER_STRING, .need = true, .words = "task.answer list"},
    {"model", MEMBER_STRING, .need = true, .about = "The task."},
    {"type", MEMBER_STRING, .words = "choice predicate score extract draft"},
    {"name", MEMBER_STRING, .about = "The task."},
    {"choice", MEMBER_STRING, .about = "The likeliest option."},
    {"probability", MEMBER_NUMBER, .about = "That the predicate holds."},
    {"score", MEMBER_NUMBER, .about = "The mean level, from 0."},
    {"confidence", MEMBER_NUMBER, .about = "How much the answer stands out."},
    {"probabilities", MEMBER_ARRAY, .of = row},
    {"output", MEMBER_OBJECT, .open = true, .about = "What was written."},
    {"text", MEMBER_STRING, .about = "The draft."},
    {"fields", MEMBER_OBJECT, .open = true,
     .about = "By JSON pointer, the probability p that a field is right."},
    {"faults", MEMBER_ARRAY, .of = fault, .about = "Checks that fail."},
    {"repaired", MEMBER_BOOL, .about = "The second attempt is what is given here."},
    {"data", MEMBER_ARRAY, .items = MEMBER_OBJECT,
     .about = "Of several inputs: an answer or an error for each, in their order, with "
              "its index."},
    {"usage", MEMBER_OBJECT, .need = true, .of = task_usage_members},
    {"stint", MEMBER_OBJECT, .of = stint_extra_members},
    {0},
};
