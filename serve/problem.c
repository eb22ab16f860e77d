/* serve/problem.c - what is wrong with a request, in the dialect of its route. */
#include "serve/problem.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "serve/param.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAX_MESSAGE = 1024, MAX_JOINED = 1 << 16 };

typedef struct kind_row {
    bool body;       /* is it about the body: TypeSafe lists those */
    unsigned status; /* OpenAI, KServe */
    const char *type, *code;
    unsigned typesafe_status;
    const char *typesafe_type;
} kind_row;

#define INVALID "invalid_request_error"

static const kind_row rows[PROBLEM_KINDS] = {
    [PROBLEM_JSON] = {true, 400, INVALID, "invalid_json", 422, "json_invalid"},
    [PROBLEM_MISSING] = {true, 400, INVALID, "missing_required_parameter", 422,
                         "missing"},
    [PROBLEM_TYPE] = {true, 400, INVALID, "invalid_type", 422, "type_error"},
    [PROBLEM_VALUE] = {true, 400, INVALID, "invalid_value", 422, "value_error"},
    [PROBLEM_COUNT] = {true, 400, INVALID, "invalid_length", 422, "length_error"},
    [PROBLEM_UNKNOWN] = {true, 400, INVALID, "unknown_parameter", 422, "extra_forbidden"},
    [PROBLEM_UNSUPPORTED] = {true, 400, INVALID, "unsupported_parameter", 422,
                             "unsupported"},
    [PROBLEM_TOO_LONG] = {true, 400, INVALID, "context_length_exceeded", 422,
                          "context_length_exceeded"},
    [PROBLEM_SCHEMA] = {true, 400, INVALID, "invalid_schema", 422, "schema_error"},
    [PROBLEM_NO_KEY] = {false, 401, INVALID, "invalid_api_key", 403,
                        "authentication_error"},
    [PROBLEM_BAD_KEY] = {false, 401, INVALID, "invalid_api_key", 401,
                         "authentication_error"},
    [PROBLEM_FORBIDDEN] = {false, 403, "permission_error", "insufficient_permissions",
                           403, "permission_error"},
    [PROBLEM_NO_MODEL] = {false, 404, INVALID, "model_not_found", 404, "not_found_error"},
    [PROBLEM_NO_ROUTE] = {false, 404, INVALID, "unknown_url", 404, "not_found_error"},
    [PROBLEM_METHOD] = {false, 405, INVALID, "method_not_allowed", 405,
                        "method_not_allowed"},
    [PROBLEM_TOO_LARGE] = {false, 413, INVALID, "request_too_large", 413,
                           "request_too_large"},
    [PROBLEM_MEDIA_TYPE] = {false, 415, INVALID, "unsupported_media_type", 415,
                            "unsupported_media_type"},
    [PROBLEM_BUSY] = {false, 429, "rate_limit_error", "rate_limit_exceeded", 429,
                      "rate_limit_error"},
    [PROBLEM_DRAINING] = {false, 503, "server_error", "server_draining", 529,
                          "overloaded_error"},
    [PROBLEM_DEADLINE] = {false, 504, "server_error", "deadline_exceeded", 504,
                          "timeout_error"},
    [PROBLEM_NOT_DONE] = {false, 500, "server_error", "answer_not_valid", 500,
                          "answer_not_valid"},
    [PROBLEM_SERVER] = {false, 500, "server_error", "internal_error", 500,
                        "internal_error"},
};

unsigned problem_status(problem_kind kind, dialect d)
{
    return d == DIALECT_TYPESAFE ? rows[kind].typesafe_status : rows[kind].status;
}

const char *problem_code(problem_kind kind, dialect d)
{
    return d == DIALECT_TYPESAFE ? rows[kind].typesafe_type : rows[kind].code;
}

problem_kind problem_of_code(int st_code)
{
    switch (st_code) {
    case ST_EINVAL:
    case ST_ERAISED:
        return PROBLEM_VALUE;
    case ST_EUNSUPPORTED:
        return PROBLEM_UNSUPPORTED;
    case ST_ENOTFOUND:
        return PROBLEM_NO_MODEL;
    case ST_ELIMIT:
        return PROBLEM_TOO_LONG;
    case ST_EBUSY:
        return PROBLEM_BUSY;
    case ST_ECANCELLED:
        return PROBLEM_DRAINING;
    case ST_ETIMEOUT:
        return PROBLEM_DEADLINE;
    default:
        return PROBLEM_SERVER;
    }
}

/* ---- the list ---- */

void problems_done(problems *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        st_free(p->list[i].param);
        st_free(p->list[i].message);
        st_free(p->list[i].code);
    }
    *p = (problems){0};
}

/* Text for JSON: what is not UTF-8 (a name that was cut, a byte of a file) is '?'. */
static char *clean(const char *text)
{
    char *copy = st_strdup(text);
    size_t n = copy ? strlen(copy) : 0;
    size_t from = 0;
    size_t bad;
    while (copy && !st_utf8_valid(copy + from, n - from, &bad)) {
        copy[from + bad] = '?';
        from += bad + 1;
    }
    return copy;
}

void problems_add(problems *p, problem_kind kind, const char *param, const char *fmt, ...)
{
    char text[MAX_MESSAGE];
    if (p->n == PROBLEMS_MAX) {
        p->n_more++;
        return;
    }
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    problem one = {kind, clean(param), clean(text), NULL};
    if (!one.param || !one.message) {
        st_free(one.param);
        st_free(one.message);
        p->out_of_memory = true;
        return;
    }
    p->list[p->n++] = one;
}

void problems_code(problems *p, const char *code)
{
    if (!p->n || p->n_more || p->out_of_memory)
        return;
    char **at = &p->list[p->n - 1].code;
    st_free(*at);
    *at = clean(code);
    if (!*at)
        p->out_of_memory = true;
}

void problems_from(problems *p, const char *param, const st_err *err)
{
    problem_kind kind = problem_of_code(err->code);
    const char *message = *err->message ? err->message : st_code_text(err->code);
    if (*err->hint)
        problems_add(p, kind, param, "%s; %s", message, err->hint);
    else
        problems_add(p, kind, param, "%s", message);
}

/* ---- the answer ---- */

static char no_param[] = "";
static char no_memory[] = "out of memory";
static const problem lost = {PROBLEM_SERVER, no_param, no_memory, NULL};

static const problem *first(const problems *p)
{
    return p->n && !p->out_of_memory ? &p->list[0] : &lost;
}

unsigned problems_status(const problems *p, dialect d)
{
    return problem_status(first(p)->kind, d);
}

static const char *code_of(const problem *p, dialect d)
{
    return p->code ? p->code : problem_code(p->kind, d);
}

static void add_message(const problem *p, st_buf *out)
{
    if (*p->param)
        st_buf_fmt(out, "%s: ", p->param);
    st_buf_str(out, p->message);
}

/* All messages as one; NULL when memory ran out. */
static char *joined(const problems *p)
{
    st_buf out;
    st_buf_init(&out, (size_t)PROBLEMS_MAX * (MAX_MESSAGE + PROBLEM_PARAM_MAX + 8));
    if (first(p) == &lost)
        st_buf_str(&out, lost.message);
    for (uint32_t i = 0; i < p->n && first(p) != &lost; i++) {
        if (i)
            st_buf_str(&out, "; ");
        add_message(&p->list[i], &out);
    }
    if (p->n_more)
        st_buf_fmt(&out, "; and %u more", p->n_more);
    return st_buf_detach(&out, NULL);
}

static json_t *param_json(const problem *p)
{
    return *p->param ? json_string(p->param) : json_null();
}

static json_t *openai_one(const problem *p, const char *message)
{
    return json_pack("{s:s, s:s, s:o, s:s}", "message", message, "type",
                     rows[p->kind].type, "param", param_json(p), "code",
                     code_of(p, DIALECT_OPENAI));
}

json_t *problem_json(const problem *p)
{
    st_buf text;
    st_buf_init(&text, MAX_JOINED);
    add_message(p, &text);
    char *message = st_buf_detach(&text, NULL);
    json_t *one = message ? openai_one(p, message) : NULL;
    st_free(message);
    return one;
}

static json_t *openai_list(const problems *p)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < p->n; i++) {
        const problem *one = &p->list[i];
        json_t *row = json_pack("{s:s, s:o, s:s}", "message", one->message, "param",
                                param_json(one), "code", code_of(one, DIALECT_OPENAI));
        if (json_array_append_new(list, row)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *openai_body(const problems *p, const char *message)
{
    json_t *error = openai_one(first(p), message);
    if (error && p->n > 1 && first(p) != &lost &&
        json_object_set_new(error, "errors", openai_list(p))) {
        json_decref(error);
        return NULL;
    }
    return error ? json_pack("{s:o}", "error", error) : NULL;
}

static json_t *typesafe_list(const problems *p)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < p->n; i++) {
        const problem *one = &p->list[i];
        if (!rows[one->kind].body)
            continue;
        json_t *row = json_pack("{s:o, s:s, s:s}", "loc", param_loc(one->param), "msg",
                                one->message, "type", code_of(one, DIALECT_TYPESAFE));
        if (json_array_append_new(list, row)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *typesafe_body(const problems *p, const char *message)
{
    const problem *one = first(p);
    if (rows[one->kind].body)
        return json_pack("{s:o}", "detail", typesafe_list(p));
    return json_pack("{s:{s:s, s:s}}", "detail", "error_type",
                     code_of(one, DIALECT_TYPESAFE), "message", message);
}

static int add_piece(const char *bytes, size_t len, void *out)
{
    return st_buf_add(out, bytes, len);
}

char *problems_body(const problems *p, dialect d, size_t *ret_len)
{
    char *message = joined(p);
    if (!message)
        return NULL;
    json_t *body = d == DIALECT_OPENAI     ? openai_body(p, message)
                   : d == DIALECT_TYPESAFE ? typesafe_body(p, message)
                                           : json_pack("{s:s}", "error", message);
    st_free(message);
    st_buf out;
    st_buf_init(&out, SIZE_MAX / 2);
    int bad = !body || json_dump_callback(body, add_piece, &out, JSON_COMPACT);
    json_decref(body);
    if (bad) {
        st_buf_done(&out);
        return NULL;
    }
    return st_buf_detach(&out, ret_len);
}
