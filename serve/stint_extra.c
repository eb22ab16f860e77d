/* serve/stint_extra.c - the member `stint` of answers that a task gave. */
#include "serve/stint_extra.h"

#include <math.h>

/* Set a member; false: no memory. */
static bool put(json_t *object, const char *name, json_t *value)
{
    return object && value && json_object_set_new(object, name, value) == 0;
}

static json_t *distribution(const question *q, const double *probs)
{
    json_t *map = json_object();
    bool good = map != NULL;
    for (uint32_t i = 0; i < q->n_options && good; i++)
        good = put(map, q->options[i].value, json_real(probs[i]));
    if (good)
        return map;
    json_decref(map);
    return NULL;
}

static json_t *experts_json(const task *t, const question *q, const double *experts)
{
    json_t *map = json_object();
    bool good = map != NULL;
    for (uint32_t e = 0; e < task_n_experts(t) && good; e++)
        good = put(map, task_expert_name(t, e),
                   distribution(q, experts + (size_t)e * q->n_options));
    if (good)
        return map;
    json_decref(map);
    return NULL;
}

static bool put_decided(json_t *o, const hub_use *u, const hub_answer *answer)
{
    const question *q = &hub_use_contract(u)->question;
    const task_answer *a = answer->decided;
    bool good = put(o, "calibrated", json_boolean(a->route != TASK_ZERO_SHOT)) &&
                put(o, "p", json_real(a->confidence));
    if (good && !isnan(a->label_mass))
        good = put(o, "label_mass", json_real(a->label_mass));
    if (good && a->rule >= 0)
        good = put(o, "rule", json_integer(a->rule + 1));
    if (good && answer->experts && a->route == TASK_EXPERTS)
        good = put(o, "experts", experts_json(hub_use_task(u), q, answer->experts));
    return good;
}

static bool put_written(json_t *o, const hub_use *u, const extract_answer *a)
{
    return put(o, "calibrated", json_boolean(extraction_fitted(hub_use_extraction(u)))) &&
           put(o, "examples", json_integer(a->n_shots)) &&
           put(o, "accepted", json_boolean(a->n_faults == 0));
}

const char *stint_route(const hub_answer *answer)
{
    if (answer->decided)
        return task_route_name(answer->decided->route);
    return answer->written->n_shots ? "few-shot" : "zero-shot";
}

json_t *stint_extra(const hub_use *u, const hub_answer *answer)
{
    json_t *o = json_pack("{s:s, s:s, s:s}", "task", hub_use_contract(u)->name, "version",
                          answer->version, "route", stint_route(answer));
    bool cut = answer->decided ? answer->decided->truncated : answer->written->truncated;
    bool good =
        answer->decided ? put_decided(o, u, answer) : put_written(o, u, answer->written);
    if (good && cut)
        good = put(o, "truncated", json_true());
    if (good)
        return o;
    json_decref(o);
    return NULL;
}

const member stint_extra_members[] = {
    {"task", MEMBER_STRING, .need = true},
    {"version", MEMBER_STRING, .need = true,
     .about = "Of all that answers; the same version gives the same answers."},
    {"route", MEMBER_STRING, .need = true, .words = "rule experts zero-shot few-shot"},
    {"calibrated", MEMBER_BOOL, .need = true,
     .about = "Are the probabilities fitted on examples?"},
    {"p", MEMBER_NUMBER, .about = "Of the option that was chosen."},
    {"label_mass", MEMBER_NUMBER,
     .about = "What the model gave to all options together; zero-shot only."},
    {"experts", MEMBER_OBJECT, .open = true,
     .about = "Each fitted expert's own probabilities."},
    {"rule", MEMBER_INTEGER, .about = "The rule that answered, from 1."},
    {"examples", MEMBER_INTEGER, .about = "That the model was shown."},
    {"accepted", MEMBER_BOOL, .about = "All checks of what was written hold."},
    {"truncated", MEMBER_BOOL, .about = "The middle of the input was left out."},
    {0},
};
