/* grammar/instance.c - values written through a matcher, byte by byte.
 *
 * Where the order of members is the schema's, the automaton says what it is: every shape
 * that an object may take has its own, so they are tried in turn. */
#include "grammar/instance.h"

#include "base/clock.h"
#include "base/mem.h"
#include "grammar/decimal.h"
#include "grammar/grammar.h"
#include "grammar/json.h"
#include "grammar/masker.h"
#include "grammar/schema_run.h"
#include <stdlib.h>
#include <string.h>

enum { TEXT_LIMIT = 1 << 28, TRIES = 20000, MASKER_BYTES = 256 << 20 };

typedef struct writer {
    masker *m;
    matcher *t;
    uint32_t tries;
    bool any_order;
    bool draft4; /* 1.0 is no integer, so it is not written as 1 */
    st_buf scratch;
    st_err *err;
} writer;

/* 1: written; 0: not allowed, and nothing has changed; or an error. */
static int put(writer *w, const char *text, size_t len)
{
    st_err why = {0};
    int rc = matcher_accept_text(w->t, text, len, &why);
    if (rc == 0)
        return 1;
    return rc == ST_EINVAL ? 0 : st_err_set(w->err, rc, "%s", why.message);
}

static int put_scratch(writer *w)
{
    if (w->scratch.code)
        return st_err_set(w->err, w->scratch.code, "a value: %s",
                          st_code_text(w->scratch.code));
    return put(w, w->scratch.data, w->scratch.len);
}

static size_t written(const writer *w)
{
    size_t len;
    matcher_text(w->t, &len);
    return len;
}

static int put_number(writer *w, const json *value)
{
    decimal d;
    st_buf_reset(&w->scratch);
    json_write(value, JSON_COMPACT, &w->scratch);
    if (w->draft4 && decimal_read(value->text, value->n, &d) && decimal_is_integer(&d) &&
        strcspn(value->text, ".eE") < value->n)
        st_buf_str(&w->scratch, ".0");
    int rc = put_scratch(w);
    return rc == 0 ? put(w, value->text, value->n) : rc;
}

static int put_value(writer *w, const json *value, uint32_t around);

/* Items behind the '['. */
static int put_items(writer *w, const json *value, uint32_t as)
{
    int rc = 1;
    for (uint32_t i = 0; rc == 1 && i < value->n; i++) {
        if (i)
            rc = put(w, ",", 1);
        if (rc == 1)
            rc = put_value(w, &value->items[i], as);
    }
    return rc == 1 ? put(w, "]", 1) : rc;
}

static int put_name(writer *w, const json *name, bool first)
{
    st_buf_reset(&w->scratch);
    if (!first)
        st_buf_char(&w->scratch, ',');
    json_write_string(name->text, name->n, &w->scratch);
    st_buf_char(&w->scratch, ':');
    return put_scratch(w);
}

/* Members behind the '{', in this order or as they are where it is NULL. */
static int put_members(writer *w, const json *object, uint32_t as, const uint32_t *order)
{
    int rc = 1;
    for (uint32_t i = 0; rc == 1 && i < object->n; i++) {
        uint32_t k = order ? order[i] : i;
        rc = put_name(w, &object->names[k], i == 0);
        if (rc == 1)
            rc = put_value(w, &object->items[k], as);
    }
    return rc == 1 ? put(w, "}", 1) : rc;
}

/* Members in the order in which a shape lists them, those it does not list behind them:
 * sorted by insertion. */
static int put_listed(writer *w, const json *object, uint32_t as)
{
    state_id s;
    const automaton *a = matcher_at(w->t, &s);
    uint32_t *place = st_alloc_n((size_t)object->n + 1, 2 * sizeof *place);
    if (!place)
        return st_err_set(w->err, ST_ENOMEM, "out of memory for a value");
    uint32_t *order = place + object->n;
    for (uint32_t i = 0; i < object->n; i++) {
        const json *name = &object->names[i];
        place[i] = schema_automaton_place(a, as, name->text, name->n);
        uint32_t to = i;
        for (; to > 0 && place[order[to - 1]] > place[i]; to--)
            order[to] = order[to - 1];
        order[to] = i;
    }
    int rc = put_members(w, object, as, order);
    st_free(place);
    return rc;
}

/* Inside an array or object: as each shape that it may take in turn, until one lets it be
 * written and the shape around it still stands. */
static int put_shaped(writer *w, const json *value, uint32_t around)
{
    size_t from = written(w);
    state_id s;
    uint32_t as;
    const automaton *a = matcher_at(w->t, &s);
    for (uint32_t way = 0; schema_automaton_shape(a, s, around, way, &as); way++) {
        if (++w->tries > TRIES)
            return 0;
        int rc = value->type == JSON_ARRAY ? put_items(w, value, as)
                                           : put_listed(w, value, as);
        if (rc < 0)
            return rc;
        a = matcher_at(w->t, &s);
        if (rc == 1 && schema_automaton_still(a, s, around))
            return 1;
        matcher_rewind(w->t, from);
        a = matcher_at(w->t, &s);
    }
    return 0;
}

/* On 0 the text is as it was. */
static int put_value(writer *w, const json *value, uint32_t around)
{
    size_t from = written(w);
    if (value->type == JSON_NUMBER)
        return put_number(w, value);
    if (value->type != JSON_ARRAY && value->type != JSON_OBJECT) {
        st_buf_reset(&w->scratch);
        json_write(value, JSON_COMPACT, &w->scratch);
        return put_scratch(w);
    }
    int rc = put(w, value->type == JSON_ARRAY ? "[" : "{", 1);
    if (rc == 1 && !w->any_order)
        rc = put_shaped(w, value, around);
    else if (rc == 1)
        rc = value->type == JSON_ARRAY ? put_items(w, value, around)
                                       : put_members(w, value, around, NULL);
    if (rc == 0)
        matcher_rewind(w->t, from);
    return rc;
}

static int check_tests(writer *w, const json *tests, st_buf *out)
{
    st_buf_str(out, ",\"accepts\":[");
    for (uint32_t i = 0; i < tests->n; i++) {
        matcher_reset(w->t);
        w->tries = 0;
        int rc = put_value(w, json_get(&tests->items[i], "data"), SHAPE_ROOT);
        if (rc < 0)
            return rc;
        bool accepts = rc == 1 && matcher_may_end(w->t);
        st_buf_fmt(out, "%s%s", i ? "," : "", accepts ? "true" : "false");
    }
    st_buf_str(out, "]}\n");
    return 0;
}

static bool is_draft4(const json *raw)
{
    const json *draft = json_get(raw, "$schema");
    return draft && draft->type == JSON_STRING && strstr(draft->text, "/draft-04/");
}

/* `raw`, the schema, may be NULL. */
static int writer_init(writer *w, const grammar *g, const json *raw, st_err *err)
{
    masker_opts bytes = {.bytes = MASKER_BYTES};
    st_buf_init(&w->scratch, TEXT_LIMIT);
    w->draft4 = raw && is_draft4(raw);
    int rc = masker_new(g, NULL, &bytes, &w->m, err);
    if (rc == 0)
        rc = matcher_new(w->m, &w->t, err);
    return rc;
}

static void writer_done(writer *w)
{
    matcher_free(w->t);
    masker_free(w->m);
    st_buf_done(&w->scratch);
}

static int run_tests(const grammar *g, const json *raw, const json *tests,
                     const instance_opts *opts, uint64_t since_us, st_buf *out,
                     st_err *err)
{
    writer w = {.any_order = opts->any_order, .err = err};
    int rc = writer_init(&w, g, raw, err);
    st_buf_str(out, "{\"compiled\":true");
    if (opts->times)
        st_buf_fmt(out, ",\"compile_us\":%llu",
                   (unsigned long long)(st_clock_us() - since_us));
    if (rc == 0)
        rc = check_tests(&w, tests, out);
    writer_done(&w);
    return rc;
}

int instance_check(const grammar *g, const char *text, size_t len,
                   const instance_opts *opts, st_err *err)
{
    const json *value = NULL;
    writer w = {.any_order = opts->any_order, .err = err};
    int rc = json_read(text, len, &value, err);
    if (rc == 0)
        rc = writer_init(&w, g, NULL, err);
    if (rc == 0)
        rc = put_value(&w, value, SHAPE_ROOT);
    if (rc >= 0 && (rc == 0 || !matcher_may_end(w.t))) {
        rc = st_err_set(err, ST_EFORMAT, "the mask does not allow it");
        st_err_hint(err, "members may stand in another order than the schema's");
    }
    writer_done(&w);
    json_free(value);
    return rc < 0 ? rc : 0;
}

static void put_refusal(const grammar_refusal *why, const st_err *err, st_buf *out)
{
    st_buf_str(out, "{\"compiled\":false,\"pointer\":");
    json_write_string(why->pointer, strlen(why->pointer), out);
    st_buf_str(out, ",\"keyword\":");
    json_write_string(why->keyword, strlen(why->keyword), out);
    st_buf_str(out, ",\"message\":");
    json_write_string(err->message, strlen(err->message), out);
    if (err->hint[0]) {
        st_buf_str(out, ",\"hint\":");
        json_write_string(err->hint, strlen(err->hint), out);
    }
    st_buf_str(out, "}\n");
}

static int check_schema(const json *raw, const json *tests, const instance_opts *opts,
                        st_buf *out, st_err *err)
{
    st_buf text;
    grammar *g = NULL;
    grammar_refusal why = {0};
    grammar_schema_opts how = {.space = GRAMMAR_EITHER, .any_order = opts->any_order};
    st_err refused = {0};
    st_buf_init(&text, TEXT_LIMIT);
    json_write(raw, JSON_COMPACT, &text);
    uint64_t since_us = st_clock_us();
    int rc = text.code ? st_err_set(&refused, text.code, "%s", st_code_text(text.code))
                       : grammar_schema(text.data, text.len, &how, &g, &why, &refused);
    st_buf_done(&text);
    if (rc == ST_ENOMEM)
        return st_err_set(err, rc, "%s", refused.message);
    if (rc < 0)
        put_refusal(&why, &refused, out);
    rc = rc < 0 ? 0 : run_tests(g, raw, tests, opts, since_us, out, err);
    grammar_free(g);
    return rc;
}

/* Is it a row with a schema and tests that have data? */
static bool is_row(const json *row)
{
    const json *tests = json_get(row, "tests");
    bool is = json_get(row, "schema") && tests && tests->type == JSON_ARRAY;
    for (uint32_t i = 0; is && i < tests->n; i++)
        is = json_get(&tests->items[i], "data") != NULL;
    return is;
}

static int answer_error(const st_err *why, st_buf *out, st_err *err)
{
    st_buf_str(out, "{\"error\":");
    json_write_string(why->message, strlen(why->message), out);
    st_buf_str(out, "}\n");
    return st_err_set(err, ST_EFORMAT, "%s", why->message);
}

int instance_check_line(const char *line, size_t len, const instance_opts *opts,
                        st_buf *out, st_err *err)
{
    const json *row = NULL;
    st_err why = {0};
    size_t from = out->len;
    int rc = json_read(line, len, &row, &why);
    if (rc == ST_ENOMEM)
        return st_err_set(err, rc, "%s", why.message);
    if (rc == 0 && !is_row(row))
        rc = st_err_set(&why, ST_EFORMAT,
                        "no \"schema\" with \"tests\", a list of objects with \"data\"");
    if (rc < 0) {
        json_free(row);
        return answer_error(&why, out, err);
    }
    rc = check_schema(json_get(row, "schema"), json_get(row, "tests"), opts, out, &why);
    json_free(row);
    if (rc == 0)
        return out->code;
    out->len = from; /* no half of an answer */
    return rc == ST_ENOMEM ? st_err_set(err, rc, "%s", why.message)
                           : answer_error(&why, out, err);
}
