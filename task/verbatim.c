/* task/verbatim.c - fields held to the input's own words while they are written.
 *
 * What is offered is one subschema, the same for every field:
 *
 *     {"anyOf": [{"enum": [texts and numbers]}, {"type": ["null", "boolean", "array",
 *      "object"]}]}
 *
 * and it is joined to the schema by allOf. */
#include "task/verbatim.h"

#include <ctype.h>
#include <string.h>

#include "task/checks.h"

typedef struct offer { /* what the input offers, as members of an enum */
    const char *text;
    size_t len;
    st_buf *out;
    uint32_t n_runs;
    uint32_t n_numbers;
} offer;

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

static void put_quoted(const char *text, size_t len, st_buf *out)
{
    (void)st_buf_char(out, '"');
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"' || text[i] == '\\')
            (void)st_buf_char(out, '\\');
        (void)st_buf_char(out, text[i]);
    }
    (void)st_buf_char(out, '"');
}

static bool known_before(const offer *o, size_t begin, size_t len)
{
    for (size_t i = 0; i < begin; i++)
        if ((i == 0 || !is_word(o->text[i - 1])) &&
            memcmp(o->text + i, o->text + begin, len) == 0 &&
            (!is_word(o->text[i + len]) || !is_word(o->text[i + len - 1])))
            return true;
    return false;
}

static void offer_run(offer *o, size_t begin, size_t end)
{
    if (known_before(o, begin, end - begin))
        return;
    (void)st_buf_str(o->out, o->n_runs++ ? "," : "");
    put_quoted(o->text + begin, end - begin, o->out);
}

/* A run may end with the bracket that closes one inside it. */
static bool closes(const offer *o, size_t begin, size_t end)
{
    return end < o->len && o->text[end] == ')' &&
           memchr(o->text + begin, '(', end - begin);
}

/* The runs that begin at a word. */
static void offer_from(offer *o, size_t begin)
{
    size_t at = begin;
    for (unsigned words = 0; words < VERBATIM_MAX_WORDS && at < o->len; words++) {
        while (at < o->len && is_word(o->text[at]))
            at++;
        offer_run(o, begin, at);
        if (closes(o, begin, at))
            offer_run(o, begin, at + 1);
        while (at < o->len && !is_word(o->text[at]) && (unsigned char)o->text[at] >= 0x20)
            at++;
        if (at >= o->len || !is_word(o->text[at]))
            return;
    }
}

static bool enough(const offer *o)
{
    return o->n_runs > VERBATIM_MAX_RUNS || o->out->len > VERBATIM_MAX_BYTES;
}

static void offer_texts(offer *o)
{
    for (size_t i = 0; i < o->len && !enough(o); i++)
        if (is_word(o->text[i]) && (i == 0 || !is_word(o->text[i - 1])))
            offer_from(o, i);
}

/* A number in the way that JSON writes it; also one whose decimals follow a comma. */
static void offer_number(offer *o, const char *digits, size_t n)
{
    char text[40];
    size_t commas = 0;
    if (n >= sizeof text || o->n_numbers >= VERBATIM_MAX_NUMBERS)
        return;
    for (int point = 0; point < 2; point++) {
        size_t used = 0;
        const char *last = NULL;
        commas = 0;
        for (size_t i = 0; i < n; i++) {
            commas += digits[i] == ',';
            last = digits[i] == ',' ? digits + i : last;
        }
        if (point && (commas == 0 || memchr(digits, '.', n)))
            return;
        for (size_t i = 0; i < n; i++)
            if (digits[i] != ',')
                text[used++] = digits[i];
            else if (point && digits + i == last)
                text[used++] = '.';
        if (used > 1 && text[0] == '0' && text[1] != '.')
            return;
        o->n_numbers++;
        (void)st_buf_fmt(o->out, ",%.*s", (int)used, text);
    }
}

static void offer_numbers(offer *o)
{
    for (size_t i = 0; i < o->len; i++) {
        if (!isdigit((unsigned char)o->text[i]))
            continue;
        size_t n = 1;
        while (i + n < o->len &&
               (isdigit((unsigned char)o->text[i + n]) ||
                ((o->text[i + n] == '.' || o->text[i + n] == ',') && i + n + 1 < o->len &&
                 isdigit((unsigned char)o->text[i + n + 1]))))
            n++;
        const char *first = memchr(o->text + i, '.', n);
        bool one =
            !first || !memchr(first + 1, '.', n - (size_t)(first + 1 - o->text - i));
        if (one)
            offer_number(o, o->text + i, n);
        i += n;
    }
}

/* {"properties":{"a":{"properties":{"b": ... the pointer's parts, and back. */
static void put_field(const char *pointer, const st_buf *offered, st_buf *out)
{
    unsigned depth = 0;
    for (const char *p = pointer; *p; depth++) {
        size_t n = strcspn(p + 1, "/");
        (void)st_buf_str(out, "{\"properties\":{");
        put_quoted(p + 1, n, out);
        (void)st_buf_char(out, ':');
        p += 1 + n;
    }
    (void)st_buf_fmt(out,
                     "{\"anyOf\":[{\"enum\":[%s]},{\"type\":[\"null\",\"boolean\","
                     "\"array\",\"object\"]}]}",
                     offered->data);
    while (depth--)
        (void)st_buf_str(out, "}}");
}

/* Can the field be named by `properties` alone?  A part of digits may be an item. */
static bool is_plain(const check *k)
{
    for (const char *p = k->text; *p;) {
        size_t n = strcspn(p + 1, "/");
        if (strspn(p + 1, "0123456789") == n)
            return false;
        p += 1 + n;
    }
    return k->verbatim && !strpbrk(k->text, "*~\"\\");
}

int verbatim_schema(const contract *c, const char *text, size_t len, st_buf *out,
                    bool *ret_changed, st_err *err)
{
    const contract_output *o = &c->output;
    st_buf offered;
    uint32_t n = 0;
    *ret_changed = false;
    if (o->schema[0] != '{' || strstr(o->schema, "\"allOf\"") ||
        strncmp(o->schema, "{\"$ref\"", 7) == 0)
        return 0;
    st_buf_init(&offered, VERBATIM_MAX_BYTES * 4);
    offer all = {.text = text, .len = len, .out = &offered};
    offer_texts(&all);
    if (all.n_runs && !enough(&all)) {
        offer_numbers(&all);
        (void)st_buf_add(out, o->schema, o->schema_len - 1);
        (void)st_buf_str(out, o->schema_len > 2 ? ",\"allOf\":[" : "\"allOf\":[");
        for (uint32_t i = 0; i < o->n_checks; i++) {
            if (!is_plain(&o->checks[i]))
                continue;
            (void)st_buf_str(out, n++ ? "," : "");
            put_field(o->checks[i].text, &offered, out);
        }
        (void)st_buf_str(out, "]}");
    }
    int rc = offered.code == ST_ENOMEM || out->code ? ST_ENOMEM : 0;
    st_buf_done(&offered);
    *ret_changed = n > 0;
    return rc ? st_err_set(err, rc, "no memory for an input's words") : 0;
}
