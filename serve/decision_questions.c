/* serve/decision_questions.c - the bodies of /v1/decisions: which shape they have, and
 * OpenAI's. */
#include "base/map.h"
#include "base/mem.h"
#include "serve/decision_priv.h"
#include <stdio.h>
#include <string.h>

/* ---- building ---- */

bool decision_room(decision *d, size_t n, problems *out)
{
    d->questions = decision_alloc(d, n, sizeof *d->questions, out);
    return d->questions;
}

decision_question *decision_add(decision *d, question_type type, const char *name,
                                const char *at, uint32_t n_options, problems *out)
{
    decision_question *q = &d->questions[d->n_questions];
    question_option *list =
        n_options ? decision_alloc(d, n_options, sizeof *list, out) : NULL;
    const json_t **sent =
        n_options ? decision_alloc(d, n_options, sizeof *sent, out) : NULL;
    if (n_options && (!list || !sent))
        return NULL;
    *q = (decision_question){
        .q = {.type = type, .options = list, .n_options = n_options},
        .name = name,
        .options = sent,
    };
    snprintf(q->param, sizeof q->param, "%s", at);
    d->n_questions++;
    return q;
}

/* ---- OpenAI ---- */

static const member choice_value[] = {
    {"value", MEMBER_STRING | MEMBER_BOOL, .need = true, .min = 1, .max = -1},
    {"description", MEMBER_STRING | MEMBER_NULL, .need = false},
    {0},
};
static const member level_value[] = {
    {"label", MEMBER_STRING, .need = true, .min = 1, .max = -1},
    {"description", MEMBER_STRING | MEMBER_NULL, .need = false},
    {0},
};

#define COMMON(word)                                                                     \
    {"type", MEMBER_STRING, .need = true, .words = word},                                \
        {"instructions", MEMBER_STRING | MEMBER_ARRAY, .need = true},                    \
    {                                                                                    \
        "name", MEMBER_STRING,                                                           \
            .about = "Comes back in the answer; the model does not "                     \
                     "see it."                                                           \
    }

static const member predicate[] = {COMMON("predicate"), {0}};
static const member choice[] = {
    COMMON("choice"),
    {"choices", MEMBER_ARRAY, .need = true, .min = 2, .max = DECISION_MAX_CHOICES,
     .of = choice_value, .about = "Different values."},
    {0},
};
static const member score[] = {
    COMMON("score"),
    {"levels", MEMBER_ARRAY, .need = true, .min = 2, .max = DECISION_MAX_LEVELS,
     .of = level_value, .about = "Lowest first."},
    {0},
};
static const member *const any_question[] = {predicate, choice, score, NULL};

static const member cache_options[] = {
    {"mode", MEMBER_STRING, .words = "implicit explicit"},
    {"ttl", MEMBER_STRING, .words = "30m"},
    {0},
};

const member decision_openai_body[] = {
    {"model", MEMBER_STRING, .need = true, .min = 1, .max = 256},
    {"input", MEMBER_STRING | MEMBER_ARRAY, .need = true, .nul = true,
     .about = "A text, or messages and calls of tools in their order."},
    {"questions", MEMBER_ARRAY, .need = true, .min = 1, .max = DECISION_MAX_QUESTIONS,
     .either = any_question},
    {"prompt_cache_key", MEMBER_STRING | MEMBER_NULL, .max = 1024,
     .about = "Text of one is not reused for another."},
    {"prompt_cache_options", MEMBER_OBJECT | MEMBER_NULL, .use = MEMBER_IDLE,
     .of = cache_options, .about = "Accepted; what was run is kept by itself."},
    {"safety_identifier", MEMBER_STRING | MEMBER_NULL, .use = MEMBER_REFUSE,
     .about = "Nothing here keeps it."},
    {0},
};

/* The same with the questions left to be read one by one. */
static const member openai_top[] = {
    {"model", MEMBER_STRING, .need = true, .min = 1, .max = 256},
    {"input", MEMBER_STRING | MEMBER_ARRAY, .need = true, .nul = true},
    {"questions", MEMBER_ARRAY, .need = true, .min = 1, .max = DECISION_MAX_QUESTIONS,
     .items = MEMBER_ANY},
    {"prompt_cache_key", MEMBER_STRING | MEMBER_NULL, .max = 1024},
    {"prompt_cache_options", MEMBER_OBJECT | MEMBER_NULL, .use = MEMBER_IDLE,
     .of = cache_options},
    {"safety_identifier", MEMBER_STRING | MEMBER_NULL, .use = MEMBER_REFUSE},
    {0},
};

/* Instructions: a string, or parts. */
static const char *instructions_read(decision *d, const json_t *said, const char *at,
                                     uint32_t *n_parts, problems *out)
{
    char place[PROBLEM_PARAM_MAX];
    st_buf text;
    param_name(place, at, "instructions");
    st_buf_init(&text, SIZE_MAX / 2);
    if (json_is_string(said) && !decision_fits(said, DECISION_MAX_LABEL, place, out))
        return NULL;
    decision_content(said, PART_TEXT | PART_IMAGE | PART_JSON, place, n_parts, &text,
                     out);
    if (text.len > DECISION_MAX_LABEL)
        decision_too_long(out, place, DECISION_MAX_LABEL, "bytes", text.len);
    else if (memchr(text.data ? text.data : "", 0, text.len))
        problems_add(out, PROBLEM_VALUE, place, "may not hold U+0000");
    else if (st_buf_char(&text, 0) == 0) /* so that there are bytes */
        return decision_keep(d, &text, out);
    if (text.code)
        out->out_of_memory = true;
    st_buf_done(&text);
    return NULL;
}

/* Values are shown as they are, but as JSON where a boolean is among them: true is not
 * "true". */
static void options_read(decision *d, decision_question *q, const json_t *list,
                         const char *value, const char *at, problems *out)
{
    question_option *to = decision_options(q);
    bool json = false;
    char place[PROBLEM_PARAM_MAX];
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) json =
        json || json_is_boolean(json_object_get(item, value));
    json_array_foreach(list, i, item)
    {
        const json_t *v = json_object_get(item, value);
        const json_t *about = json_object_get(item, "description");
        param_index(place, at, i);
        decision_fits(v, DECISION_MAX_LABEL, place, out);
        decision_fits(about, DECISION_MAX_LABEL, place, out);
        to[i].value = json ? decision_json(d, v, out) : json_string_value(v);
        to[i].description = json_string_value(about);
        q->options[i] = v;
    }
}

/* Two choices with the same JSON. */
static void values_check(decision *d, const decision_question *q, const char *at,
                         problems *out)
{
    st_map seen;
    char place[PROBLEM_PARAM_MAX];
    st_map_init(&seen);
    for (uint32_t i = 0; i < q->q.n_options; i++) {
        const char *key = decision_json(d, q->options[i], out);
        bool is_new = true;
        if (key && st_map_put(&seen, key, strlen(key), i, &is_new) < 0)
            out->out_of_memory = true;
        param_index(place, at, i);
        param_name(place, place, "value");
        if (!is_new)
            problems_add(out, PROBLEM_VALUE, place, "another choice has the value %.60s",
                         key);
    }
    st_map_done(&seen);
}

static const struct type_row {
    const char *name;
    question_type type;
    const member *members;
    const char *list;
    const char *value;
} type_rows[] = {
    {"predicate", QUESTION_PREDICATE, predicate, NULL, NULL},
    {"choice", QUESTION_CHOICE, choice, "choices", "value"},
    {"score", QUESTION_SCORE, score, "levels", "label"},
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
    problems_add(out,
                 !type   ? PROBLEM_MISSING
                 : !name ? PROBLEM_TYPE
                         : PROBLEM_VALUE,
                 place, "must be one of: predicate, choice, score");
    return NULL;
}

static void question_read(decision *d, const json_t *sent, const char *at,
                          uint32_t *n_parts, problems *out)
{
    char place[PROBLEM_PARAM_MAX];
    uint32_t before = out->n + out->n_more;
    if (!json_is_object(sent)) {
        problems_add(out, PROBLEM_TYPE, at, "must be an object");
        return;
    }
    const struct type_row *row = type_find(sent, at, out);
    if (!row)
        return;
    body_check(sent, row->members, false, at, out);
    if (out->n + out->n_more > before)
        return;
    const json_t *list = row->list ? json_object_get(sent, row->list) : NULL;
    decision_question *q = decision_add(d, row->type, body_text(sent, "name", NULL), at,
                                        (uint32_t)json_array_size(list), out);
    if (!q)
        return;
    q->q.instructions =
        instructions_read(d, json_object_get(sent, "instructions"), at, n_parts, out);
    if (!row->list)
        return;
    param_name(place, at, row->list);
    options_read(d, q, list, row->value, place, out);
    if (row->type == QUESTION_CHOICE)
        values_check(d, q, place, out);
}

void decision_read_openai(const json_t *body, decision *d, problems *out)
{
    const json_t *list = json_object_get(body, "questions");
    const json_t *input = json_object_get(body, "input");
    char place[PROBLEM_PARAM_MAX];
    uint32_t n_parts = 0;
    size_t i;
    json_t *one;
    d->shape = DECISION_OPENAI;
    d->text_param = "input";
    body_check(body, openai_top, false, "", out);
    d->model = body_text(body, "model", NULL);
    d->cache_key = body_text(body, "prompt_cache_key", NULL);
    if (json_is_array(input))
        decision_input(d, input, out);
    else
        decision_content(input, 0, "input", &n_parts, &d->text, out);
    if (json_array_size(list) > DECISION_MAX_QUESTIONS ||
        !decision_room(d, json_array_size(list), out))
        return;
    json_array_foreach(list, i, one)
    {
        param_index(place, "questions", i);
        question_read(d, one, place, &n_parts, out);
    }
}

/* ---- which shape ---- */

static bool has_any(const json_t *q, const char *const *names)
{
    for (; *names; names++)
        if (json_object_get(q, *names))
            return true;
    return false;
}

/* Questions of OpenAI's shape, of SGLang's, or (a problem) of both. */
static bool is_sglang(const json_t *questions, problems *out)
{
    static const char *const theirs[] = {"question", "options", "yes_no", "id",
                                         "yes",      "no",      NULL};
    static const char *const openai[] = {"instructions", "choices", "name", NULL};
    bool sglang = false, other = false;
    char place[PROBLEM_PARAM_MAX];
    size_t i;
    json_t *q;
    json_array_foreach(questions, i, q)
    {
        bool t = has_any(q, theirs), o = has_any(q, openai);
        if ((t && (o || other)) || (o && sglang)) {
            param_index(place, "questions", i);
            problems_add(out, PROBLEM_VALUE, place,
                         "mixes two shapes: `instructions` (OpenAI) and `question` "
                         "(SGLang)");
            return false;
        }
        sglang |= t;
        other |= o;
    }
    return sglang;
}

void decision_read(const json_t *body, decision *ret, problems *out)
{
    *ret = (decision){0};
    st_buf_init(&ret->text, SIZE_MAX / 2);
    if (json_object_get(body, "state") && json_object_get(body, "input")) {
        problems_add(out, PROBLEM_VALUE, "state",
                     "mixes two shapes: `input` (OpenAI) and `state` (TypeSafe)");
        return;
    }
    if (json_object_get(body, "state")) {
        decision_read_systemone(body, ret, out);
        return;
    }
    bool sglang = is_sglang(json_object_get(body, "questions"), out);
    if (out->n > 0)
        return;
    if (sglang)
        decision_read_sglang(body, ret, out);
    else
        decision_read_openai(body, ret, out);
    if (ret->text.code)
        out->out_of_memory = true;
}
