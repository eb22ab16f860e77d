/* serve/task_about.c - what a task is, as JSON. */
#include "serve/task_about.h"

#include "task/draft.h"

static const char *const types[] = {
    [QUESTION_PREDICATE] = "predicate", [QUESTION_CHOICE] = "choice",
    [QUESTION_SCORE] = "score",         [QUESTION_EXTRACT] = "extract",
    [QUESTION_DRAFT] = "draft",
};

static bool put(json_t *object, const char *name, json_t *value)
{
    return object && value && json_object_set_new(object, name, value) == 0;
}

/* An array of n values; NULL: no memory. */
static json_t *array_of(const void *from, uint32_t n,
                        json_t *(*make)(const void *from, uint32_t i))
{
    json_t *list = json_array();
    bool good = list != NULL;
    for (uint32_t i = 0; i < n && good; i++) {
        json_t *one = make(from, i);
        good = one && json_array_append_new(list, one) == 0;
    }
    if (good)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *option_value(const void *from, uint32_t i)
{
    const contract *c = from;
    return json_string(c->question.options[i].value);
}

static json_t *option_whole(const void *from, uint32_t i)
{
    const contract *c = from;
    const question_option *o = &c->question.options[i];
    return json_pack("{s:s, s:s?}", "value", o->value, "description", o->description);
}

static json_t *model_name(const void *from, uint32_t i)
{
    const contract *c = from;
    return json_string(c->models[i]);
}

static json_t *expert_name(const void *from, uint32_t i)
{
    return json_string(task_expert_name(from, i));
}

static json_t *rule_json(const void *from, uint32_t i)
{
    const contract *c = from;
    return json_pack("{s:s, s:s}", "matches", c->rules[i].matches, "answer",
                     c->question.options[c->rules[i].answer].value);
}

static json_t *check_json(const void *from, uint32_t i)
{
    const contract *c = from;
    const check *k = &c->output.checks[i];
    json_t *o = json_pack("{s:s}", k->rule ? "rule" : "field", k->text);
    bool good = o != NULL;
    if (good && k->verbatim)
        good = put(o, "verbatim", json_true());
    if (good && k->has_min)
        good = put(o, "min", json_real(k->min));
    if (good && k->has_max)
        good = put(o, "max", json_real(k->max));
    if (good && k->pattern)
        good = put(o, "matches", json_string(k->pattern));
    if (good)
        return o;
    json_decref(o);
    return NULL;
}

static bool put_way(json_t *o, const hub_use *u)
{
    const task *t = hub_use_task(u);
    const extraction *x = hub_use_extraction(u);
    shots_way find;
    if (t)
        return put(o, "fitted", json_boolean(task_way(t) == TASK_EXPERTS)) &&
               put(o, "route", json_string(task_route_name(task_way(t)))) &&
               put(o, "experts", array_of(t, task_n_experts(t), expert_name));
    return put(o, "fitted", json_boolean(extraction_fitted(x))) &&
           put(o, "route",
               json_string(extraction_shots(x, &find) ? "few-shot" : "zero-shot"));
}

static bool put_written(json_t *o, const contract *c)
{
    const contract_output *out = &c->output;
    bool good = put(o, "schema", json_loadb(out->schema, out->schema_len, 0, NULL)) &&
                put(o, "checks", array_of(c, out->n_checks, check_json)) &&
                put(o, "max_tokens", json_integer(out->max_tokens));
    if (good && out->draft)
        good = put(o, "template", json_string(draft_template(out->draft)));
    return good;
}

static bool put_whole(json_t *o, const contract *c)
{
    json_t *input = json_pack(
        "{s:o, s:s}", "max_tokens",
        c->max_tokens ? json_integer(c->max_tokens) : json_null(), "on_too_long",
        c->too_long == CONTRACT_REJECT ? "reject" : "truncate_middle");
    return put(o, "instructions",
               c->question.instructions ? json_string(c->question.instructions)
                                        : json_null()) &&
           put(o, "abstain", json_boolean(c->question.abstain)) &&
           put(o, "rules", array_of(c, c->n_rules, rule_json)) &&
           put(o, "digest", json_string(c->digest)) && put(o, "input", input) &&
           (!contract_writes(c) || put_written(o, c));
}

json_t *task_about(const hub_use *u, bool whole)
{
    const contract *c = hub_use_contract(u);
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", hub_use_name(u), "object",
                          "task", "name", c->name, "version", hub_use_version(u), "type",
                          types[c->question.type]);
    bool good =
        put(o, "options",
            array_of(c, c->question.n_options, whole ? option_whole : option_value)) &&
        put(o, "models", array_of(c, c->n_models, model_name)) && put_way(o, u) &&
        (!whole || put_whole(o, c));
    if (good)
        return o;
    json_decref(o);
    return NULL;
}

const member task_about_members[] = {
    {"id", MEMBER_STRING, .need = true},
    {"object", MEMBER_STRING, .need = true, .words = "task"},
    {"name", MEMBER_STRING, .need = true},
    {"version", MEMBER_STRING, .need = true,
     .about = "Of all that answers; the same version gives the same answers."},
    {"type", MEMBER_STRING, .need = true,
     .words = "predicate choice score extract draft"},
    {"options", MEMBER_ARRAY, .need = true, .items = MEMBER_STRING | MEMBER_OBJECT,
     .about =
         "Their values; of one task with descriptions.  None where text is written."},
    {"models", MEMBER_ARRAY, .need = true, .items = MEMBER_STRING},
    {"fitted", MEMBER_BOOL, .need = true, .about = "Are its probabilities fitted?"},
    {"route", MEMBER_STRING, .need = true, .words = "experts zero-shot few-shot"},
    {"experts", MEMBER_ARRAY, .items = MEMBER_STRING},
    {"instructions", MEMBER_STRING | MEMBER_NULL, .about = "What is asked."},
    {"abstain", MEMBER_BOOL, .about = "The last option is none of the others."},
    {"rules", MEMBER_ARRAY, .items = MEMBER_OBJECT},
    {"digest", MEMBER_STRING, .about = "Of the contract."},
    {"input", MEMBER_OBJECT, .open = true},
    {"schema", MEMBER_OBJECT | MEMBER_BOOL, .open = true},
    {"checks", MEMBER_ARRAY, .items = MEMBER_OBJECT},
    {"max_tokens", MEMBER_INTEGER, .about = "Of an answer that is written."},
    {"template", MEMBER_STRING, .about = "Of a draft."},
    {0},
};
