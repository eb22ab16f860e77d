/* grammar/instance.c - values written through a matcher, byte by byte.
 *
 * Where the order of members is the schema's, it has to be guessed (put_object): what an
 * object's schema lists is known to the automaton only. */
#include "grammar/instance.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "grammar/decimal.h"
#include "grammar/grammar.h"
#include "grammar/json.h"
#include "grammar/schema_pool.h"
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_LIMIT = 1 << 28,
    MOST_MOVED = 256,
    MOST_TRIES = 64,
    MASKER_BYTES = 256 << 20
};

typedef struct writer {
    masker *m;
    matcher *t;
    const json **listings; /* [n_listings] every `properties` of the schema */
    uint32_t n_listings, cap_listings;
    st_map ranks; /* names that the schema lists -> when first */
    bool any_order;
    bool draft4;    /* 1.0 is no integer, so it is not written as 1 */
    bool bad_value; /* the last failure was of a value, not of a name */
    uint32_t tries; /* in other orders after such a failure */
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

static int put_value(writer *w, const json *value);

static int put_array(writer *w, const json *value)
{
    int rc = put(w, "[", 1);
    for (uint32_t i = 0; rc == 1 && i < value->n; i++) {
        if (i)
            rc = put(w, ",", 1);
        if (rc == 1)
            rc = put_value(w, &value->items[i]);
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

static int put_member(writer *w, const json *object, uint32_t k, bool first)
{
    int rc = put_name(w, &object->names[k], first);
    if (rc == 1) {
        rc = put_value(w, &object->items[k]);
        w->bad_value = rc == 0; /* another order will hardly help */
    }
    return rc;
}

/* All members in this order, or as they are in the object where it is NULL. */
static int put_in_order(writer *w, const json *object, const uint32_t *order)
{
    int rc = put(w, "{", 1);
    for (uint32_t i = 0; rc == 1 && i < object->n; i++)
        rc = put_member(w, object, order ? order[i] : i, i == 0);
    return rc == 1 ? put(w, "}", 1) : rc;
}

/* Insertion sort: members of one rank stay as they are. */
static void sort_members(const uint64_t *rank, uint32_t n, uint32_t *order)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t to = i;
        for (; to > 0 && rank[order[to - 1]] > rank[i]; to--)
            order[to] = order[to - 1];
        order[to] = i;
    }
}

/* How many of the object's names are listed there? */
static uint32_t overlap(const json *object, const json *listing)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < object->n; i++)
        n += json_get_n(listing, object->names[i].text, object->names[i].n) != NULL;
    return n;
}

/* The list of properties that has most names of an object, or NULL. */
static const json *best_listing(const writer *w, const json *object)
{
    const json *best = NULL;
    uint32_t most = 0;
    for (uint32_t i = 0; i < w->n_listings; i++) {
        uint32_t n = overlap(object, w->listings[i]);
        if (n > most) {
            most = n;
            best = w->listings[i];
        }
    }
    return best;
}

/* Where a member stands: in `listing`, else behind that where the schema names it first
 * (`far`), else last. */
static uint64_t rank_of(const writer *w, const json *name, const json *listing, bool far)
{
    const json *here = listing ? json_get_n(listing, name->text, name->n) : NULL;
    uint32_t first;
    if (here)
        return (uint64_t)(here - listing->items);
    if (far && st_map_get(&w->ranks, name->text, name->n, &first))
        return (UINT64_C(1) << 32) + first;
    return UINT64_MAX;
}

static int put_ranked(writer *w, const json *object, const json *listing, bool far)
{
    uint64_t *rank = st_alloc_n(object->n, sizeof *rank);
    uint32_t *order = st_alloc_n(object->n, sizeof *order);
    int rc =
        rank && order ? 1 : st_err_set(w->err, ST_ENOMEM, "out of memory for a value");
    for (uint32_t i = 0; rc == 1 && i < object->n; i++)
        rank[i] = rank_of(w, &object->names[i], listing, far);
    if (rc == 1) {
        sort_members(rank, object->n, order);
        rc = put_in_order(w, object, order);
    }
    st_free(rank);
    st_free(order);
    return rc;
}

static void move_member(uint32_t *order, uint32_t from, uint32_t to) /* to <= from */
{
    uint32_t k = order[from];
    memmove(order + to + 1, order + to, (from - to) * sizeof *order);
    order[to] = k;
}

/* Where one of the members from `i` on can come before that, move it there: the latest
 * such place.  `at` [i] is how long the text was before each.  1: moved, *ret_to. */
static int move_back(writer *w, const json *object, uint32_t *order, const size_t *at,
                     uint32_t i, uint32_t *ret_to)
{
    for (uint32_t r = i; r < object->n; r++) {
        for (uint32_t to = i; to-- > 0;) {
            matcher_rewind(w->t, at[to]);
            int rc = put_name(w, &object->names[order[r]], to == 0);
            if (rc < 0)
                return rc;
            if (rc == 0)
                continue;
            matcher_rewind(w->t, at[to]);
            move_member(order, r, to);
            *ret_to = to;
            return 1;
        }
    }
    return 0;
}

/* The next member is the first that fits; where none does, one should have come before.
 */
static int put_by_moving(writer *w, const json *object, uint32_t *order, size_t *at)
{
    uint32_t moves = 0;
    int rc = put(w, "{", 1);
    for (uint32_t i = 0; rc == 1 && i < object->n;) {
        uint32_t j = i;
        at[i] = written(w);
        for (rc = 0; rc == 0 && j < object->n; j += rc == 0) {
            matcher_rewind(w->t, at[i]);
            rc = put_member(w, object, order[j], i == 0);
        }
        if (rc == 1)
            move_member(order, j, i++);
        else if (rc == 0 && ++moves <= object->n)
            rc = move_back(w, object, order, at, i, &i);
    }
    return rc == 1 ? put(w, "}", 1) : rc;
}

static int put_moved(writer *w, const json *object)
{
    uint32_t *order = st_alloc_n(object->n, sizeof *order);
    size_t *at = st_alloc_n(object->n, sizeof *at);
    int rc = order && at ? 1 : st_err_set(w->err, ST_ENOMEM, "out of memory for a value");
    for (uint32_t i = 0; rc == 1 && i < object->n; i++)
        order[i] = i;
    if (rc == 1)
        rc = put_by_moving(w, object, order, at);
    st_free(order);
    st_free(at);
    return rc;
}

/* The schema's order, which has to be guessed: as given; that of the list of properties
 * that fits best, with names listed elsewhere or without; of all lists; by moving. */
static int put_object(writer *w, const json *value)
{
    size_t from = written(w);
    const json *listing = w->any_order ? NULL : best_listing(w, value);
    int rc = 0;
    w->bad_value = false;
    for (int way = 0; rc == 0 && way < 5; way++) {
        if (w->bad_value && ++w->tries > MOST_TRIES)
            break;
        matcher_rewind(w->t, from);
        if (way == 0)
            rc = put_in_order(w, value, NULL);
        else if (w->any_order)
            break;
        else if (way <= 2)
            rc = put_ranked(w, value, listing, way == 1);
        else if (way == 3)
            rc = put_ranked(w, value, NULL, true);
        else if (value->n <= MOST_MOVED)
            rc = put_moved(w, value);
    }
    return rc;
}

/* On 0 the text is as it was. */
static int put_value(writer *w, const json *value)
{
    size_t from = written(w);
    int rc;
    switch (value->type) {
    case JSON_NUMBER:
        return put_number(w, value);
    case JSON_ARRAY:
        rc = put_array(w, value);
        break;
    case JSON_OBJECT:
        rc = put_object(w, value);
        break;
    default:
        st_buf_reset(&w->scratch);
        json_write(value, JSON_COMPACT, &w->scratch);
        return put_scratch(w);
    }
    if (rc == 0)
        matcher_rewind(w->t, from);
    return rc;
}

/* Every `properties` of a schema, and the names in them in the order of the text. */
static int list_names(writer *w, const json *schema)
{
    int rc = 0;
    for (uint32_t i = 0; schema->type >= JSON_ARRAY && rc == 0 && i < schema->n; i++) {
        const json *value = &schema->items[i];
        bool lists = schema->type == JSON_OBJECT && value->type == JSON_OBJECT &&
                     json_is(&schema->names[i], "properties");
        if (lists)
            rc = array_room(&w->listings, w->n_listings, &w->cap_listings,
                            sizeof *w->listings, w->err);
        if (lists && rc == 0)
            w->listings[w->n_listings++] = value;
        for (uint32_t k = 0; lists && rc == 0 && k < value->n; k++)
            rc = st_map_put(&w->ranks, value->names[k].text, value->names[k].n,
                            (uint32_t)w->ranks.n_used, NULL);
        if (rc == 0)
            rc = list_names(w, value);
    }
    return rc;
}

static int check_tests(writer *w, const json *tests, st_buf *out)
{
    st_buf_str(out, ",\"accepts\":[");
    for (uint32_t i = 0; i < tests->n; i++) {
        matcher_reset(w->t);
        w->tries = 0;
        int rc = put_value(w, json_get(&tests->items[i], "data"));
        if (rc < 0)
            return rc;
        bool accepts = rc == 1 && matcher_may_end(w->t);
        st_buf_fmt(out, "%s%s", i ? "," : "", accepts ? "true" : "false");
    }
    st_buf_str(out, "]}\n");
    return 0;
}

static bool is_draft4(const json *schema)
{
    const json *draft = json_get(schema, "$schema");
    return draft && draft->type == JSON_STRING && strstr(draft->text, "/draft-04/");
}

/* `schema` NULL: members are tried in any order. */
static int writer_init(writer *w, const grammar *g, const json *schema, st_err *err)
{
    masker_opts bytes = {.bytes = MASKER_BYTES};
    st_buf_init(&w->scratch, TEXT_LIMIT);
    st_map_init(&w->ranks);
    w->draft4 = schema && is_draft4(schema);
    int rc = masker_new(g, NULL, &bytes, &w->m, err);
    if (rc == 0)
        rc = matcher_new(w->m, &w->t, err);
    if (rc == 0 && schema && !w->any_order && list_names(w, schema) < 0)
        rc = st_err_set(err, ST_ENOMEM, "out of memory for a schema's names");
    return rc;
}

static void writer_done(writer *w)
{
    matcher_free(w->t);
    masker_free(w->m);
    st_map_done(&w->ranks);
    st_free(w->listings);
    st_buf_done(&w->scratch);
}

static int run_tests(const grammar *g, const json *schema, const json *tests,
                     const instance_opts *opts, uint64_t since_us, st_buf *out,
                     st_err *err)
{
    writer w = {.any_order = opts->any_order, .err = err};
    int rc = writer_init(&w, g, schema, err);
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
        rc = put_value(&w, value);
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

static int check_schema(const json *schema, const json *tests, const instance_opts *opts,
                        st_buf *out, st_err *err)
{
    st_buf text;
    grammar *g = NULL;
    grammar_refusal why = {0};
    grammar_schema_opts how = {.space = GRAMMAR_EITHER, .any_order = opts->any_order};
    st_err refused = {0};
    st_buf_init(&text, TEXT_LIMIT);
    json_write(schema, JSON_COMPACT, &text);
    uint64_t since_us = st_clock_us();
    int rc = text.code ? st_err_set(&refused, text.code, "%s", st_code_text(text.code))
                       : grammar_schema(text.data, text.len, &how, &g, &why, &refused);
    st_buf_done(&text);
    if (rc == ST_ENOMEM)
        return st_err_set(err, rc, "%s", refused.message);
    if (rc < 0)
        put_refusal(&why, &refused, out);
    rc = rc < 0 ? 0 : run_tests(g, schema, tests, opts, since_us, out, err);
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
