/* serve/decision_sglang.c - SGLang's body of /v1/decisions:
 *
 *   {"model", "input", "questions": [{"id", "type": "yes_no" | "choice" | "score",
 *    "question", "options": [{"name", "description"}], "levels": ["..."], "yes", "no"}]}
 *
 * A question without a type is what it brings: options, levels, or yes_no. */
#include "base/map.h"
#include "serve/decision_priv.h"
#include <string.h>

static const member option[] = {
    {"name", MEMBER_STRING, .need = true, .min = 1, .max = -1},
    {"description", MEMBER_STRING | MEMBER_NULL, .need = false},
    {0},
};

#define ID                                                                               \
    {                                                                                    \
        "id", MEMBER_STRING, .need = true, .min = 1, .max = 1024,                        \
                             .about = "Its answer's key; the model does not see it."     \
    }
#define TYPE                                                                             \
    {                                                                                    \
        "type", MEMBER_STRING, .words = "yes_no choice score"                            \
    }
#define QUESTION                                                                         \
    {                                                                                    \
        "question", MEMBER_STRING, .need = true                                          \
    }
#define MEANING(word)                                                                    \
    {                                                                                    \
        word, MEMBER_STRING | MEMBER_NULL, .need = false                                 \
    }

static const member yes_no[] = {
    ID,
    TYPE,
    QUESTION,
    {"yes_no", MEMBER_BOOL, .need = false},
    MEANING("yes"),
    MEANING("no"),
    {0},
};
static const member choice[] = {
    ID,
    TYPE,
    QUESTION,
    {"options", MEMBER_ARRAY, .need = true, .min = 2, .max = DECISION_MAX_CHOICES,
     .of = option},
    {0},
};
static const member score[] = {
    ID,
    TYPE,
    QUESTION,
    {"levels", MEMBER_ARRAY, .need = true, .min = 2, .max = DECISION_MAX_LEVELS,
     .items = MEMBER_STRING},
    {0},
};

/* All of them, for the description. */
static const member any_question[] = {
    ID,
    TYPE,
    QUESTION,
    {"yes_no", MEMBER_BOOL, .need = false},
    MEANING("yes"),
    MEANING("no"),
    {"options", MEMBER_ARRAY, .min = 2, .max = DECISION_MAX_CHOICES, .of = option},
    {"levels", MEMBER_ARRAY, .min = 2, .max = DECISION_MAX_LEVELS,
     .items = MEMBER_STRING},
    {0},
};

enum { INPUT = MEMBER_STRING | MEMBER_ARRAY | MEMBER_OBJECT };

#define MODEL                                                                            \
    {                                                                                    \
        "model", MEMBER_STRING, .need = true, .min = 1, .max = 256                       \
    }
#define REFUSED                                                                          \
    {"temperature", MEMBER_NUMBER, .use = MEMBER_REFUSE, .words = "1"},                  \
        {"prompt_format_version", MEMBER_ANY, .use = MEMBER_REFUSE},                     \
    {                                                                                    \
        "return_prompt_token_ids", MEMBER_BOOL, .use = MEMBER_REFUSE                     \
    }

const member decision_sglang_body[] = {
    MODEL,
    {"input", INPUT, .need = true, .nul = true},
    {"questions", MEMBER_ARRAY, .need = true, .min = 1, .max = DECISION_MAX_QUESTIONS,
     .of = any_question},
    REFUSED,
    {0},
};

/* The same with the questions left to be read one by one. */
static const member top[] = {
    MODEL,
    {"input", INPUT, .need = true, .nul = true},
    {"questions", MEMBER_ARRAY, .need = true, .min = 1, .max = DECISION_MAX_QUESTIONS,
     .items = MEMBER_ANY},
    REFUSED,
    {0},
};

static const struct kind_row {
    const char *name;
    const char *mark; /* the member that tells it */
    question_type type;
    const member *members;
} kind_rows[] = {
    {"choice", "options", QUESTION_CHOICE, choice},
    {"score", "levels", QUESTION_SCORE, score},
    {"yes_no", "yes_no", QUESTION_PREDICATE, yes_no},
};

static const struct kind_row *kind_find(const json_t *q, const char *at, problems *out)
{
    const json_t *type = json_object_get(q, "type");
    char place[PROBLEM_PARAM_MAX];
    for (size_t i = 0; i < ST_COUNT(kind_rows); i++) {
        const struct kind_row *row = &kind_rows[i];
        if (type ? json_is_string(type) && strcmp(json_string_value(type), row->name) == 0
                 : json_object_get(q, row->mark) != NULL)
            return row;
    }
    param_name(place, at, "type");
    problems_add(out, type ? PROBLEM_VALUE : PROBLEM_MISSING, place,
                 "must be one of: yes_no, choice, score");
    return NULL;
}

static bool label_fits(const json_t *text, const char *at, const char *name,
                       problems *out)
{
    char place[PROBLEM_PARAM_MAX];
    param_name(place, at, name);
    return decision_fits(text, DECISION_MAX_LABEL, place, out);
}

static void names_check(const json_t *list, const char *at, problems *out)
{
    st_map seen;
    char place[PROBLEM_PARAM_MAX];
    size_t i;
    json_t *item;
    st_map_init(&seen);
    json_array_foreach(list, i, item)
    {
        const char *name = body_text(item, "name", "");
        bool is_new = true;
        if (st_map_put(&seen, name, strlen(name), (uint32_t)i, &is_new) < 0)
            out->out_of_memory = true;
        param_index(place, at, i);
        if (!is_new)
            problems_add(out, PROBLEM_VALUE, place, "another option has this name");
    }
    st_map_done(&seen);
}

static void options_read(decision_question *q, const json_t *list, const char *at,
                         problems *out)
{
    question_option *to = decision_options(q);
    char place[PROBLEM_PARAM_MAX];
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        const json_t *value = json_is_string(item) ? item : json_object_get(item, "name");
        param_index(place, at, i);
        decision_fits(value, DECISION_MAX_LABEL, place, out);
        if (json_string_length(value) == 0)
            problems_add(out, PROBLEM_VALUE, place, "needs words");
        label_fits(json_object_get(item, "description"), place, "description", out);
        to[i].value = json_string_value(value);
        to[i].description = body_text(item, "description", NULL);
        q->options[i] = value;
    }
}

/* What yes and no mean, where it is said. */
static void meanings_read(decision_question *q, const json_t *sent, const char *at,
                          problems *out)
{
    static const char *const names[] = {"yes", "no"};
    question_option *to = decision_options(q);
    for (size_t i = 0; i < 2; i++) {
        label_fits(json_object_get(sent, names[i]), at, names[i], out);
        to[i] = (question_option){names[i], body_text(sent, names[i], NULL)};
    }
}

static void question_read(decision *d, const json_t *sent, const char *at, problems *out)
{
    char place[PROBLEM_PARAM_MAX];
    uint32_t before = out->n + out->n_more;
    const struct kind_row *row = json_is_object(sent) ? kind_find(sent, at, out) : NULL;
    if (!json_is_object(sent))
        problems_add(out, PROBLEM_TYPE, at, "must be an object");
    if (!row)
        return;
    body_check(sent, row->members, false, at, out);
    label_fits(json_object_get(sent, "question"), at, "question", out);
    if (out->n + out->n_more > before)
        return;
    const json_t *list = json_object_get(sent, row->mark);
    bool predicate = row->type == QUESTION_PREDICATE;
    uint32_t n = predicate ? 2 : (uint32_t)json_array_size(list);
    decision_question *q =
        decision_add(d, row->type, body_text(sent, "id", ""), at, n, out);
    if (!q)
        return;
    q->q.instructions = body_text(sent, "question", "");
    param_name(place, at, row->mark);
    if (predicate)
        meanings_read(q, sent, at, out);
    else
        options_read(q, list, place, out);
    if (row->type == QUESTION_CHOICE)
        names_check(list, place, out);
}

static void ids_check(const decision *d, problems *out)
{
    st_map seen;
    char place[PROBLEM_PARAM_MAX];
    st_map_init(&seen);
    for (uint32_t i = 0; i < d->n_questions; i++) {
        const decision_question *q = &d->questions[i];
        bool is_new = true;
        if (st_map_put(&seen, q->name, strlen(q->name), i, &is_new) < 0)
            out->out_of_memory = true;
        param_name(place, q->param, "id");
        if (!is_new)
            problems_add(out, PROBLEM_VALUE, place, "another question has this id");
    }
    st_map_done(&seen);
}

static void input_read(decision *d, const json_t *input, problems *out)
{
    uint32_t n_parts = 0;
    if (json_is_array(input))
        decision_input(d, input, out);
    else if (json_is_object(input))
        (void)decision_json_write(&d->text, input);
    else
        decision_content(input, 0, "input", &n_parts, &d->text, out);
}

void decision_read_sglang(const json_t *body, decision *d, problems *out)
{
    const json_t *list = json_object_get(body, "questions");
    char place[PROBLEM_PARAM_MAX];
    size_t i;
    json_t *one;
    d->shape = DECISION_SGLANG;
    d->text_param = "input";
    body_check(body, top, false, "", out);
    d->model = body_text(body, "model", NULL);
    input_read(d, json_object_get(body, "input"), out);
    if (json_array_size(list) > DECISION_MAX_QUESTIONS ||
        !decision_room(d, json_array_size(list), out))
        return;
    json_array_foreach(list, i, one)
    {
        param_index(place, "questions", i);
        question_read(d, one, place, out);
    }
    ids_check(d, out);
}
