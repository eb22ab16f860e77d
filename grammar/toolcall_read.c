/* grammar/toolcall_read.c - a finished text to content and calls.
 *
 * One pass over the text along the format's row.  The marks of the row are compared
 * without their blanks, so that what another program wrote is read too; the arguments
 * are cut out as balanced JSON, read, and held against the function's schema by the
 * validator.
 */
#include "grammar/toolcall_priv.h"

#include "base/mem.h"
#include <string.h>

typedef struct reading {
    const toolset *set; /* or NULL */
    const toolcall_format *format;
    const char *text;
    size_t len, at;
    toolcalls *out;
    uint32_t cap;
    st_err *err;
} reading;

static bool blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void blanks_skip(reading *r)
{
    while (r->at < r->len && blank(r->text[r->at]))
        r->at++;
}

/* Go behind a mark, blanks not counted on either side; false and no move when it is not
 * there. */
static bool mark_read(reading *r, const char *mark, size_t len)
{
    size_t begin = r->at;
    for (size_t i = 0; i < len; i++) {
        if (blank(mark[i]))
            continue;
        blanks_skip(r);
        if (r->at >= r->len || r->text[r->at] != mark[i]) {
            r->at = begin;
            return false;
        }
        r->at++;
    }
    return true;
}

static int expected(reading *r, const char *mark, size_t len)
{
    return st_err_set(r->err, ST_EFORMAT, "byte %zu of the answer: expected '%.*s'",
                      r->at, (int)(len < 80 ? len : 80), mark);
}

/* The JSON value that begins here: balanced, as far as strings and brackets say. */
static int value_cut(reading *r, const char **ret_begin, size_t *ret_len)
{
    blanks_skip(r);
    size_t at = r->at, depth = 0;
    bool string = false, done = false;
    for (; !done && at < r->len; at++) {
        char c = r->text[at];
        if (string) {
            at += c == '\\';
            string = c != '"';
        } else if (c == '"') {
            string = true;
        } else if (c == '{' || c == '[') {
            depth++;
            continue;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        } else if (depth == 0 && (blank(c) || strchr(",:}]", c))) {
            break; /* behind a number or a word */
        } else {
            continue;
        }
        done = depth == 0 && !string;
    }
    if (at > r->len || string || depth > 0)
        return st_err_set(r->err, ST_EFORMAT,
                          "byte %zu of the answer: the JSON value does not end", r->at);
    *ret_begin = r->text + r->at;
    *ret_len = at - r->at;
    r->at = at;
    return 0;
}

/* A text kept behind those that are there; the buffer has room for all from the start, so
 * they do not move. */
static const char *keep(reading *r, const char *text, size_t len)
{
    size_t at = r->out->bytes.len;
    st_buf_add(&r->out->bytes, text, len);
    st_buf_char(&r->out->bytes, '\0');
    return r->out->bytes.data + at;
}

/* Is the call one that the set has, and do its arguments fit? */
static int call_check(reading *r, const toolcall *call)
{
    const json *value = NULL;
    st_err why = {0};
    const tool *t = NULL;
    for (uint32_t i = 0; r->set && i < r->set->n; i++) {
        if (strcmp(r->set->tools[i].name, call->name) == 0)
            t = &r->set->tools[i];
    }
    if (r->set && (!t || !t->allowed))
        return st_err_set(r->err, ST_EFORMAT, "call %u: '%.*s' is no function%s",
                          r->out->n, TOOL_NAME_MAX, call->name,
                          t ? " that tool_choice allows" : " of the request");
    size_t len = strlen(call->arguments);
    int rc = t ? grammar_validate(t->arguments, call->arguments, len, &why)
               : json_read(call->arguments, len, &value, &why);
    if (rc == 0 && !t && value->type != JSON_OBJECT)
        rc = st_err_set(&why, ST_EFORMAT, "no JSON object");
    json_free(value);
    if (rc < 0)
        st_err_set(r->err, rc, "call %u: arguments of %s: %s", r->out->n, call->name,
                   why.message);
    return rc;
}

static int call_add(reading *r, toolcall call)
{
    if (r->out->n == r->cap) {
        uint32_t cap = r->cap ? 2 * r->cap : 4;
        toolcall *calls = st_realloc_n(r->out->calls, cap, sizeof *calls);
        if (!calls)
            return st_err_set(r->err, ST_ENOMEM, "no memory for calls");
        r->out->calls = calls;
        r->cap = cap;
    }
    if (r->set && r->set->max_calls && r->out->n >= r->set->max_calls)
        return st_err_set(r->err, ST_EFORMAT, "more than %u calls", r->set->max_calls);
    r->out->calls[r->out->n++] = call;
    return call_check(r, &call);
}

/* A JSON string as the text it stands for, kept. */
static int string_keep(reading *r, const char *text, size_t len, const char **ret)
{
    const json *value;
    st_err why = {0};
    int rc = json_read(text, len, &value, &why);
    if (rc < 0)
        return st_err_set(r->err, rc, "call %u: %s", r->out->n + 1, why.message);
    if (value->type != JSON_STRING)
        rc = st_err_set(r->err, ST_EFORMAT, "call %u: '%.*s' is no string", r->out->n + 1,
                        (int)(len < 40 ? len : 40), text);
    else if (memchr(value->text, '\0', value->n))
        rc = st_err_set(r->err, ST_EFORMAT, "call %u: a NUL in a name or arguments",
                        r->out->n + 1);
    else
        *ret = keep(r, value->text, value->n);
    json_free(value);
    return rc;
}

/* One member of a call: its meaning, and its value where that is kept. */
static int member_read(reading *r, toolcall *call)
{
    const char *name, *value, *type;
    size_t name_len, len;
    int rc = value_cut(r, &name, &name_len);
    if (rc == 0 && !mark_read(r, ":", 1))
        rc = expected(r, ":", 1);
    if (rc == 0)
        rc = value_cut(r, &value, &len);
    if (rc == 0)
        rc = string_keep(r, name, name_len, &name);
    if (rc < 0)
        return rc;
    bool string = len > 0 && value[0] == '"';
    if (strcmp(name, "name") == 0 || strcmp(name, "tool_name") == 0)
        return string_keep(r, value, len, &call->name);
    if (strcmp(name, "id") == 0 || strcmp(name, "tool_call_id") == 0)
        return string_keep(r, value, len, &call->id);
    if (strcmp(name, "arguments") == 0 || strcmp(name, "parameters") == 0) {
        if (string) /* their text in a string, as OpenAI's API has it */
            return string_keep(r, value, len, &call->arguments);
        call->arguments = keep(r, value, len);
        return 0;
    }
    rc = strcmp(name, "type") == 0 ? string_keep(r, value, len, &type) : ST_EFORMAT;
    if (rc < 0 || strcmp(type, "function") != 0)
        return st_err_set(r->err, ST_EFORMAT,
                          "call %u: member '%.80s' has no meaning in a call",
                          r->out->n + 1, name);
    return 0;
}

/* A call that is one JSON object, its members in any order. */
static int object_call(reading *r)
{
    toolcall call = {.id = ""};
    if (!mark_read(r, "{", 1))
        return expected(r, "{", 1);
    int rc = 0;
    for (bool more = true; rc == 0 && more; more = mark_read(r, ",", 1))
        rc = member_read(r, &call);
    if (rc == 0 && !mark_read(r, "}", 1))
        rc = expected(r, "}", 1);
    if (rc == 0 && (!call.name || !call.arguments))
        rc = st_err_set(r->err, ST_EFORMAT, "call %u has %s", r->out->n + 1,
                        call.name ? "no arguments" : "no name");
    return rc < 0 ? rc : call_add(r, call);
}

static size_t word_len(const reading *r)
{
    size_t len = 0;
    while (r->at + len < r->len) {
        char c = r->text[r->at + len];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'))
            break;
        len++;
    }
    return len;
}

/* A call whose pieces stand one after the other. */
static int pieces_call(reading *r)
{
    toolcall call = {.id = ""};
    const char *at = r->format->call, *text;
    call_piece piece;
    size_t len;
    int rc = 0;
    while (rc == 0 && call_next(&at, &piece, &text, &len)) {
        if (piece == PIECE_TEXT) {
            if (!mark_read(r, text, len))
                rc = expected(r, text, len);
            continue;
        }
        if (piece == PIECE_ARGUMENTS) {
            if ((rc = value_cut(r, &text, &len)) == 0)
                call.arguments = keep(r, text, len);
            continue;
        }
        blanks_skip(r);
        if ((len = word_len(r)) == 0) {
            rc = expected(r, piece == PIECE_NAME ? "a function's name" : "an id", 17);
            continue;
        }
        const char *word = keep(r, r->text + r->at, len);
        if (piece == PIECE_NAME)
            call.name = word;
        else
            call.id = word;
        r->at += len;
    }
    return rc < 0 ? rc : call_add(r, call);
}

/* The marks behind a call: the end of all, or what stands before the next one. */
static int calls_read(reading *r)
{
    const char *between = r->format->between, *end = r->format->end;
    for (;;) {
        int rc = r->format->object ? object_call(r) : pieces_call(r);
        if (rc < 0)
            return rc;
        size_t behind = r->at;
        if (mark_read(r, end, strlen(end))) {
            blanks_skip(r);
            if (r->at == r->len)
                return 0;
        }
        r->at = behind;
        if (!mark_read(r, between, strlen(between)))
            return expected(r, *end ? end : "the end", *end ? strlen(end) : 7);
    }
}

/* Where calls begin, or the text's end. */
static size_t calls_find(const reading *r, size_t from)
{
    const toolcall_format *f = r->format;
    size_t len = strlen(f->trigger);
    for (size_t at = from; at + len <= r->len; at++) {
        if (memcmp(r->text + at, f->trigger, len) == 0)
            return at;
    }
    return r->len;
}

/* Does a text that has calls only at its beginning begin with one? */
static bool calls_lead(reading *r)
{
    const toolcall_format *f = r->format;
    if (f->tag && mark_read(r, f->tag, strlen(f->tag)))
        return true;
    bool lead = mark_read(r, f->trigger, strlen(f->trigger));
    r->at = 0;
    return lead;
}

static int answer_read(reading *r)
{
    const toolcall_format *f = r->format;
    size_t head = f->content ? strlen(f->content) : 0, end = r->len;
    const char *mark = f->first;
    r->out->content = "";
    if (f->leads) {
        end = calls_lead(r) ? 0 : r->len;
    } else if (head > 0) {
        bool content = r->len >= head && memcmp(r->text, f->content, head) == 0;
        r->at = content ? head : 0;
        end = content ? calls_find(r, head) : 0;
        mark = content && f->behind ? f->behind : mark;
    } else {
        end = calls_find(r, 0);
    }
    bool calls = end < r->len;
    if (end > r->at) {
        size_t len = end - r->at;
        while (calls && len > 0 && blank(r->text[r->at + len - 1]))
            len--;
        r->out->content = keep(r, r->text + r->at, len);
        r->out->content_len = len;
        r->at = end;
    }
    if (!calls)
        return 0;
    return mark_read(r, mark, strlen(mark)) ? calls_read(r)
                                            : expected(r, mark, strlen(mark));
}

int toolcalls_read(const toolset *set, const toolcall_format *format, const char *text,
                   size_t len, toolcalls *ret, st_err *err)
{
    toolcalls out = {0};
    reading r = {
        .set = set, .format = format, .text = text, .len = len, .out = &out, .err = err};
    st_buf_init(&out.bytes, SIZE_MAX / 2);
    /* every kept text is a piece of the answer of its own, at least a byte, and a NUL */
    size_t room;
    if (!st_mul_ok(len, 2, &room) || st_buf_room(&out.bytes, room + 2) < 0)
        return st_err_set(err, ST_ENOMEM, "no memory for an answer of %zu bytes", len);
    int rc = answer_read(&r);
    if (rc == 0 && set && set->mode == TOOLS_REQUIRED && out.n == 0)
        rc = st_err_set(err, ST_EFORMAT, "the answer calls no function");
    if (rc == 0 && set && set->mode == TOOLS_NONE && out.n > 0)
        rc = st_err_set(err, ST_EFORMAT, "the answer calls a function");
    if (rc < 0) {
        toolcalls_done(&out);
        return rc;
    }
    *ret = out;
    return 0;
}

void toolcalls_done(toolcalls *calls)
{
    st_free(calls->calls);
    st_buf_done(&calls->bytes);
    *calls = (toolcalls){0};
}
