/* serve/decision_text.c - JSON values and parts of messages as text. */
#include "base/mem.h"
#include "serve/decision_priv.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

struct decision_block {
    decision_block *next;
    void *memory;
};

static bool take(decision *d, void *memory, problems *out)
{
    decision_block *b = memory ? st_alloc(sizeof *b) : NULL;
    if (!b) {
        st_free(memory);
        out->out_of_memory = true;
        return false;
    }
    *b = (decision_block){d->kept, memory};
    d->kept = b;
    return true;
}

void *decision_alloc(decision *d, size_t count, size_t size, problems *out)
{
    void *memory = st_zalloc_n(count ? count : 1, size);
    return take(d, memory, out) ? memory : NULL;
}

const char *decision_keep(decision *d, st_buf *text, problems *out)
{
    char *memory = st_buf_detach(text, NULL);
    return take(d, memory, out) ? memory : NULL;
}

void decision_done(decision *d)
{
    while (d->kept) {
        decision_block *b = d->kept;
        d->kept = b->next;
        st_free(b->memory);
        st_free(b);
    }
    st_buf_done(&d->text);
    *d = (decision){0};
}

/* ---- JSON ---- */

static int write_piece(const char *bytes, size_t len, void *out)
{
    return st_buf_add(out, bytes, len);
}

static int write_real(st_buf *out, double x)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    return st_buf_str(out, text);
}

static int write_array(st_buf *out, const json_t *array)
{
    size_t i;
    json_t *item;
    st_buf_char(out, '[');
    json_array_foreach(array, i, item)
    {
        if (i > 0)
            st_buf_char(out, ',');
        decision_json_write(out, item);
    }
    return st_buf_char(out, ']');
}

static int write_object(st_buf *out, const json_t *object)
{
    json_t *walked = (json_t *)(uintptr_t)object; /* iterators take no const */
    const char *comma = "";
    st_buf_char(out, '{');
    for (void *it = json_object_iter(walked); it;
         it = json_object_iter_next(walked, it)) {
        json_t *name = json_string_nocheck(json_object_iter_key(it));
        st_buf_str(out, comma);
        if (!name ||
            json_dump_callback(name, write_piece, out, JSON_ENCODE_ANY | JSON_COMPACT))
            out->code = out->code ? out->code : ST_ENOMEM;
        json_decref(name);
        st_buf_char(out, ':');
        decision_json_write(out, json_object_iter_value(it));
        comma = ",";
    }
    return st_buf_char(out, '}');
}

int decision_json_write(st_buf *out, const json_t *value)
{
    if (json_is_array(value))
        return write_array(out, value);
    if (json_is_object(value))
        return write_object(out, value);
    if (json_is_real(value))
        return write_real(out, json_real_value(value));
    if (json_dump_callback(value, write_piece, out, JSON_ENCODE_ANY | JSON_COMPACT) &&
        !out->code)
        out->code = ST_ENOMEM;
    return out->code;
}

const char *decision_text(decision *d, const json_t *value, problems *out)
{
    return json_is_string(value) ? json_string_value(value)
                                 : decision_json(d, value, out);
}

const char *decision_json(decision *d, const json_t *value, problems *out)
{
    st_buf text;
    st_buf_init(&text, SIZE_MAX / 2);
    if (decision_json_write(&text, value)) {
        st_buf_done(&text);
        out->out_of_memory = true;
        return NULL;
    }
    return decision_keep(d, &text, out);
}

void decision_too_long(problems *out, const char *at, size_t most, const char *what,
                       size_t got)
{
    problems_add(out, PROBLEM_COUNT, at, "at most %zu %s, got %zu", most, what, got);
    problems_code(out, "too_long");
}

bool decision_fits(const json_t *text, size_t most, const char *at, problems *out)
{
    size_t n = json_string_length(text);
    if (!json_is_string(text) || n <= most)
        return true;
    decision_too_long(out, at, most, "bytes", n);
    return false;
}

/* ---- parts ---- */

#define BREAKPOINT                                                                       \
    {                                                                                    \
        "prompt_cache_breakpoint", MEMBER_OBJECT,                                        \
            .use = MEMBER_IDLE, .of = breakpoint,                                        \
            .about = "Accepted: what was run is kept to the token by itself."            \
    }

static const member breakpoint[] = {
    {"mode", MEMBER_STRING, .need = true, .words = "explicit"},
    {0},
};
static const member text_part[] = {
    {"type", MEMBER_STRING, .need = true},
    {"text", MEMBER_STRING, .need = true, .nul = true},
    {0},
};
static const member text_part_marked[] = {
    {"type", MEMBER_STRING, .need = true},
    {"text", MEMBER_STRING, .need = true, .nul = true},
    BREAKPOINT,
    {0},
};
static const member json_part[] = {
    {"type", MEMBER_STRING, .need = true},
    {"data", MEMBER_OBJECT | MEMBER_ARRAY, .need = true, .items = MEMBER_OBJECT},
    {0},
};
static const member refusal_part[] = {
    {"type", MEMBER_STRING, .need = true},
    {"refusal", MEMBER_STRING, .need = true, .nul = true},
    {0},
};

static const struct part_row {
    const char *type;
    unsigned bit;
    const member *members;
    const char *text; /* the member that holds it; NULL: JSON */
} part_rows[] = {
    {"input_text", PART_TEXT, text_part, "text"},
    {"input_image", PART_IMAGE, NULL, NULL},
    {"input_json", PART_JSON, json_part, NULL},
    {"output_text", PART_OUTPUT, text_part, "text"},
    {"refusal", PART_REFUSAL, refusal_part, "refusal"},
};

/* Values in it, itself not; *ret_depth: containers in each other. */
static size_t json_size(const json_t *value, unsigned depth, unsigned *ret_depth)
{
    size_t n = 0;
    json_t *walked = (json_t *)(uintptr_t)value;
    if (!json_is_array(value) && !json_is_object(value))
        return 0;
    if (++depth > *ret_depth)
        *ret_depth = depth;
    for (size_t i = 0; i < json_array_size(value); i++)
        n += 1 + json_size(json_array_get(value, i), depth, ret_depth);
    for (void *it = json_object_iter(walked); it; it = json_object_iter_next(walked, it))
        n += 1 + json_size(json_object_iter_value(it), depth, ret_depth);
    return n;
}

static void json_add(const json_t *data, const char *at, st_buf *out, problems *p)
{
    char place[PROBLEM_PARAM_MAX];
    unsigned depth = 0;
    size_t n = json_size(data, 0, &depth), before = out->len;
    param_name(place, at, "data");
    if (depth > DECISION_MAX_DEPTH)
        decision_too_long(p, place, DECISION_MAX_DEPTH, "containers in each other",
                          depth);
    else if (n > DECISION_MAX_VALUES)
        decision_too_long(p, place, DECISION_MAX_VALUES, "values", n);
    else if (decision_json_write(out, data) == 0 && out->len - before > DECISION_MAX_JSON)
        decision_too_long(p, place, DECISION_MAX_JSON, "bytes of JSON",
                          out->len - before);
}

static const struct part_row *row_find(const json_t *part, unsigned may, const char *at,
                                       problems *p)
{
    char known[128] = "", place[PROBLEM_PARAM_MAX];
    const json_t *type = json_object_get(part, "type");
    for (size_t i = 0; i < ST_COUNT(part_rows); i++) {
        const struct part_row *row = &part_rows[i];
        if (!(row->bit & may))
            continue;
        if (json_is_string(type) && strcmp(json_string_value(type), row->type) == 0)
            return row;
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s",
                 known[0] ? ", " : "", row->type);
    }
    param_name(place, at, "type");
    if (!type)
        problems_add(p, PROBLEM_MISSING, place, "is missing; one of: %s", known);
    else if (!json_is_string(type))
        problems_add(p, PROBLEM_TYPE, place, "must be a string; one of: %s", known);
    else
        problems_add(p, PROBLEM_VALUE, place, "must be one of: %s; got \"%.40s\"", known,
                     json_string_value(type));
    return NULL;
}

static void part_add(const json_t *part, unsigned may, const char *at, st_buf *out,
                     problems *p)
{
    uint32_t before = p->n + p->n_more;
    if (!json_is_object(part)) {
        problems_add(p, PROBLEM_TYPE, at, "must be an object");
        return;
    }
    const struct part_row *row = row_find(part, may, at, p);
    if (!row)
        return;
    if (row->bit == PART_IMAGE) {
        problems_add(p, PROBLEM_UNSUPPORTED, at, "images cannot be read here");
        problems_code(p, "unsupported_content");
        return;
    }
    bool marked = row->bit == PART_TEXT && (may & PART_BREAKPOINT);
    body_check(part, marked ? text_part_marked : row->members, false, at, p);
    if (p->n + p->n_more > before)
        return;
    if (!row->text) {
        json_add(json_object_get(part, "data"), at, out, p);
        return;
    }
    const json_t *text = json_object_get(part, row->text);
    if (decision_fits(text, DECISION_MAX_TEXT, at, p))
        (void)st_buf_add(out, json_string_value(text), json_string_length(text));
}

void decision_content(const json_t *content, unsigned may, const char *at,
                      uint32_t *n_parts, st_buf *out, problems *p)
{
    char place[PROBLEM_PARAM_MAX];
    size_t i;
    json_t *part;
    if (json_is_string(content)) {
        if (decision_fits(content, DECISION_MAX_TEXT, at, p))
            (void)st_buf_add(out, json_string_value(content),
                             json_string_length(content));
        return;
    }
    json_array_foreach(content, i, part)
    {
        if ((*n_parts)++ == DECISION_MAX_PARTS) {
            decision_too_long(p, at, DECISION_MAX_PARTS, "parts in all", *n_parts);
            return;
        }
        param_index(place, at, i);
        if (i > 0)
            (void)st_buf_char(out, '\n');
        part_add(part, may, place, out, p);
    }
}
