/* serve/decision_systemone.c - TypeSafe's body: a state and a map of questions.
 *
 * Top-level fields that nobody knows are ignored, as their client sends some; a
 * question's are refused.  Structured texts are shown to the model as compact JSON. */
#include "serve/decision_priv.h"
#include <string.h>

enum { TEXT = MEMBER_STRING | MEMBER_OBJECT | MEMBER_ARRAY };

#define TYPE(word)                                                                       \
    {                                                                                    \
        "type", MEMBER_STRING, .need = true, .words = word                               \
    }
#define INSTRUCTIONS                                                                     \
    {                                                                                    \
        "instructions", TEXT | MEMBER_NULL, .need = false                                \
    }

static const member truth[] = {
    {"true", TEXT | MEMBER_NULL, .need = false},
    {"false", TEXT | MEMBER_NULL, .need = false},
    {0},
};
static const member noul[] = {
    TYPE("noul"),
    INSTRUCTIONS,
    {"criteria", MEMBER_OBJECT | MEMBER_NULL, .of = truth},
    {0},
};
static const member choice[] = {
    TYPE("choice"),
    INSTRUCTIONS,
    {"criteria", MEMBER_OBJECT, .need = true, .min = 1, .max = DECISION_MAX_CHOICES},
    {0},
};
static const member score[] = {
    TYPE("score"),
    INSTRUCTIONS,
    {"criteria", MEMBER_ARRAY, .need = true, .min = 2, .max = DECISION_MAX_LEVELS,
     .items = TEXT},
    {0},
};

static const member *const any_question[] = {noul, choice, score, NULL};

#define OTHERS                                                                           \
    {"assets", MEMBER_ANY, .use = MEMBER_REFUSE,                                         \
     .about = "Images cannot be read here."},                                            \
    {                                                                                    \
        "images", MEMBER_ANY, .use = MEMBER_REFUSE,                                      \
                              .about = "Images cannot be read here."                     \
    }

const member decision_systemone_body[] = {
    {"model", MEMBER_STRING, .need = true, .min = 1, .max = 256},
    {"state", TEXT, .need = true, .nul = true},
    {"questions", MEMBER_OBJECT, .need = true, .min = 1, .max = DECISION_MAX_QUESTIONS,
     .map = true, .either = any_question,
     .about = "Type noul, choice or score, instructions and criteria of each; the model "
              "does not see the keys."},
    OTHERS,
    {.open = true},
};

/* The same with the questions left to be read one by one. */
static const member top[] = {
    {"model", MEMBER_STRING, .need = true, .min = 1, .max = 256},
    {"state", TEXT, .need = true, .nul = true},
    {"questions", MEMBER_OBJECT, .need = true, .min = 1, .max = DECISION_MAX_QUESTIONS},
    OTHERS,
    {.open = true},
};

static const struct type_row {
    const char *name;
    question_type type;
    const member *members;
} type_rows[] = {
    {"noul", QUESTION_PREDICATE, noul},
    {"choice", QUESTION_CHOICE, choice},
    {"score", QUESTION_SCORE, score},
};

static const struct type_row *type_find(const json_t *q, const char *at, problems *out)
{
    char place[PROBLEM_PARAM_MAX];
    const json_t *type = json_object_get(q, "type");
    const char *name = json_string_value(type);
    for (size_t i = 0; name && i < ST_COUNT(type_rows); i++)
        if (strcmp(name, type_rows[i].name) == 0)
            return &type_rows[i];
    param_name(place, at, "type");
    if (name && strcmp(name, "box") == 0)
        problems_add(out, PROBLEM_UNSUPPORTED, place,
                     "boxes are found in images, which cannot be read here");
    else
        problems_add(out,
                     !type   ? PROBLEM_MISSING
                     : !name ? PROBLEM_TYPE
                             : PROBLEM_VALUE,
                     place, "must be one of: noul, choice, score");
    return NULL;
}

/* A string, or JSON as text; NULL for null, and where there is a problem. */
static const char *text_read(decision *d, const json_t *value, const char *at,
                             problems *out)
{
    if (!value || json_is_null(value) ||
        !decision_fits(value, DECISION_MAX_LABEL, at, out))
        return NULL;
    const char *text = decision_text(d, value, out);
    if (text && strlen(text) > DECISION_MAX_LABEL)
        decision_too_long(out, at, DECISION_MAX_LABEL, "bytes of JSON", strlen(text));
    else if (json_is_string(value) && strlen(text) != json_string_length(value))
        problems_add(out, PROBLEM_VALUE, at, "may not hold U+0000");
    return text;
}

static void truth_read(decision *d, decision_question *q, const json_t *criteria,
                       const char *at, problems *out)
{
    static const char *const names[] = {"true", "false"};
    question_option *to = decision_options(q);
    char place[PROBLEM_PARAM_MAX];
    for (size_t i = 0; i < 2; i++) {
        param_name(place, at, names[i]);
        to[i].value = names[i];
        to[i].description = text_read(d, json_object_get(criteria, names[i]), place, out);
    }
}

/* The options of a choice are the names of a map. */
static void choices_read(decision *d, decision_question *q, const json_t *criteria,
                         const char *at, problems *out)
{
    json_t *walked = (json_t *)(uintptr_t)criteria; /* iterators take no const */
    question_option *to = decision_options(q);
    char place[PROBLEM_PARAM_MAX];
    uint32_t i = 0;
    for (void *it = json_object_iter(walked); it;
         it = json_object_iter_next(walked, it), i++) {
        const json_t *about = json_object_iter_value(it);
        const char *name = json_object_iter_key(it);
        param_name(place, at, name);
        if (!name[0])
            problems_add(out, PROBLEM_VALUE, place, "an option needs a name");
        else if (strlen(name) > DECISION_MAX_LABEL)
            decision_too_long(out, place, DECISION_MAX_LABEL, "bytes", strlen(name));
        if (!json_is_string(about) && !json_is_null(about) && !json_is_object(about) &&
            !json_is_array(about))
            problems_add(out, PROBLEM_TYPE, place, "must be a description or null");
        else
            to[i].description = text_read(d, about, place, out);
        to[i].value = name;
        q->options[i] = about;
    }
}

static void levels_read(decision *d, decision_question *q, const json_t *criteria,
                        const char *at, problems *out)
{
    question_option *to = decision_options(q);
    char place[PROBLEM_PARAM_MAX];
    size_t i;
    json_t *level;
    json_array_foreach(criteria, i, level)
    {
        param_index(place, at, i);
        to[i].value = text_read(d, level, place, out);
        if (to[i].value && !to[i].value[0])
            problems_add(out, PROBLEM_VALUE, place, "a level needs words");
        q->options[i] = level;
    }
}

static void question_read(decision *d, const json_t *sent, const char *name,
                          const char *at, problems *out)
{
    char place[PROBLEM_PARAM_MAX];
    uint32_t before = out->n + out->n_more, n = 2;
    const struct type_row *row = json_is_object(sent) ? type_find(sent, at, out) : NULL;
    if (!json_is_object(sent))
        problems_add(out, PROBLEM_TYPE, at, "must be an object");
    if (!row)
        return;
    body_check(sent, row->members, false, at, out);
    if (out->n + out->n_more > before)
        return;
    const json_t *criteria = json_object_get(sent, "criteria");
    if (row->type == QUESTION_CHOICE)
        n = (uint32_t)json_object_size(criteria);
    else if (row->type == QUESTION_SCORE)
        n = (uint32_t)json_array_size(criteria);
    decision_question *q = decision_add(d, row->type, name, at, n, out);
    if (!q)
        return;
    param_name(place, at, "instructions");
    q->q.instructions = text_read(d, json_object_get(sent, "instructions"), place, out);
    param_name(place, at, "criteria");
    if (row->type == QUESTION_PREDICATE)
        truth_read(d, q, criteria, place, out);
    else if (row->type == QUESTION_CHOICE)
        choices_read(d, q, criteria, place, out);
    else
        levels_read(d, q, criteria, place, out);
}

static void state_read(decision *d, const json_t *state, problems *out)
{
    if (json_is_object(state) || json_is_array(state))
        (void)decision_json_write(&d->text, state);
    else if (json_is_string(state) &&
             decision_fits(state, DECISION_MAX_TEXT, "state", out))
        (void)st_buf_add(&d->text, json_string_value(state), json_string_length(state));
    if (d->text.len > DECISION_MAX_TEXT)
        decision_too_long(out, "state", DECISION_MAX_TEXT, "bytes of JSON", d->text.len);
}

void decision_read_systemone(const json_t *body, decision *ret, problems *out)
{
    const json_t *map = json_object_get(body, "questions");
    char place[PROBLEM_PARAM_MAX];
    *ret = (decision){.shape = DECISION_SYSTEMONE, .text_param = "state"};
    st_buf_init(&ret->text, SIZE_MAX / 2);
    body_check(body, top, false, "", out);
    if (!json_is_object(body))
        return;
    ret->model = body_text(body, "model", NULL);
    state_read(ret, json_object_get(body, "state"), out);
    if (json_object_size(map) > DECISION_MAX_QUESTIONS ||
        !decision_room(ret, json_object_size(map), out))
        return;
    json_t *walked = (json_t *)(uintptr_t)map;
    for (void *it = json_object_iter(walked); it;
         it = json_object_iter_next(walked, it)) {
        param_name(place, "questions", json_object_iter_key(it));
        question_read(ret, json_object_iter_value(it), json_object_iter_key(it), place,
                      out);
    }
    if (ret->text.code)
        out->out_of_memory = true;
}
