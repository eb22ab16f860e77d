/* grammar/json.c - JSON text as a tree that forgets nothing.
 *
 * One pass with a stack of its own, so that depth costs no C stack.  Values wait in
 * `pending` until their array or object ends, and are then copied behind each other into
 * blocks; all strings and numbers lie in one more block, which is as long as the text
 * (every one loses a quote or is followed by a delimiter, and gains a NUL).  Names are
 * sorted once, which serves look-up, equality, hashes and the search for repeated ones.
 */
#include "grammar/json.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "grammar/decimal.h"
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_BYTES = 1 << 13,
    FIRST_PENDING = 64,
    TEXT_MAX = 1 << 30,
    PLAIN_DIGITS = 400, /* numbers up to this length are written without an exponent */
};

typedef struct block block;
struct block {
    block *next;
    size_t used, bytes;
    max_align_t data[];
};

typedef struct document {
    json root; /* first: json_free gets its address */
    block *blocks;
    char *text;
} document;

typedef struct level { /* an array or object that is open */
    size_t first;      /* its values from here in `pending`; names and values in turn */
    bool is_object;
} level;

typedef struct reader {
    const char *s;
    size_t len;
    size_t at;
    bool last_wins;
    document *doc;
    char *text; /* where the next string goes */
    json *pending;
    size_t n, cap;
    uint32_t depth;
    level levels[JSON_DEPTH];
    st_err *err;
} reader;

static int fail(reader *r, size_t at, const char *what)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        column += ((unsigned char)r->s[i] & 0xC0) != 0x80;
        if (r->s[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return st_err_set(r->err, ST_EFORMAT, "line %zu column %zu: %s", line, column, what);
}

static int no_memory(reader *r)
{
    return st_err_set(r->err, ST_ENOMEM, "out of memory for a JSON text of %zu bytes",
                      r->len);
}

/* Memory that lives as long as the document; NULL when there is none. */
static void *keep(document *doc, size_t count, size_t size)
{
    size_t bytes;
    if (!st_mul_ok(count, size, &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
    block *b = doc->blocks;
    if (!b || b->bytes - b->used < bytes) {
        size_t room = bytes > BLOCK_BYTES / 4 ? bytes : BLOCK_BYTES;
        b = st_alloc(sizeof *b + room);
        if (!b)
            return NULL;
        *b = (block){.next = doc->blocks, .bytes = room};
        doc->blocks = b;
    }
    void *p = (char *)b->data + b->used;
    b->used += bytes;
    return p;
}

static int push(reader *r, const json *value)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : FIRST_PENDING;
        json *more = st_realloc_n(r->pending, cap, sizeof *more);
        if (!more)
            return no_memory(r);
        r->pending = more;
        r->cap = cap;
    }
    r->pending[r->n++] = *value;
    return 0;
}

static void skip_space(reader *r)
{
    while (r->at < r->len && (r->s[r->at] == ' ' || r->s[r->at] == '\n' ||
                              r->s[r->at] == '\r' || r->s[r->at] == '\t'))
        r->at++;
}

static char peek(const reader *r) /* a NUL stands for the end and is no JSON either */
{
    return r->at < r->len ? r->s[r->at] : '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool skip_digits(reader *r) /* at least one */
{
    size_t from = r->at;
    while (is_digit(peek(r)))
        r->at++;
    return r->at > from;
}

static int read_number(reader *r)
{
    size_t from = r->at;
    r->at += peek(r) == '-';
    if (peek(r) == '0')
        r->at++;
    else if (!skip_digits(r))
        return fail(r, from, "a '-' without a number");
    if (is_digit(peek(r)))
        return fail(r, from, "a number that begins with 0");
    if (peek(r) == '.') {
        r->at++;
        if (!skip_digits(r))
            return fail(r, from, "a number without a digit behind its '.'");
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        r->at++;
        r->at += peek(r) == '-' || peek(r) == '+';
        if (!skip_digits(r))
            return fail(r, from, "a number without a digit in its exponent");
    }
    size_t n = r->at - from;
    json value = {.type = JSON_NUMBER, .n = (uint32_t)n, .text = r->text};
    memcpy(r->text, r->s + from, n);
    r->text[n] = '\0';
    r->text += n + 1;
    return push(r, &value);
}

/* Four hexadecimal digits at `at`; UINT32_MAX when they are not. */
static uint32_t hex4(const reader *r, size_t at)
{
    uint32_t code = 0;
    if (r->len - at < 4)
        return UINT32_MAX;
    for (size_t i = at; i < at + 4; i++) {
        char c = r->s[i];
        uint32_t d = is_digit(c)            ? (uint32_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                            : 16;
        if (d == 16)
            return UINT32_MAX;
        code = code << 4 | d;
    }
    return code;
}

/* The escape behind a '\' at r->at; two of \u make one character outside the first
 * plane. */
static int read_unicode_escape(reader *r)
{
    size_t from = r->at;
    uint32_t code = hex4(r, from + 2);
    if (code == UINT32_MAX)
        return fail(r, from, "\\u without four hexadecimal digits");
    r->at += 6;
    if (code >= 0xD800 && code < 0xE000) {
        bool more = code < 0xDC00 && r->len - r->at >= 6 && r->s[r->at] == '\\' &&
                    r->s[r->at + 1] == 'u';
        uint32_t low = more ? hex4(r, r->at + 2) : UINT32_MAX;
        if (low < 0xDC00 || low >= 0xE000)
            return fail(r, from, "half of a surrogate pair, which is no character");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        r->at += 6;
    }
    r->text += st_utf8_encode(code, r->text);
    return 0;
}

static int read_escape(reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = r->len - r->at > 1 ? r->s[r->at + 1] : '\0';
    if (c == 'u')
        return read_unicode_escape(r);
    const char *known = c ? strchr(from, c) : NULL;
    if (!known)
        return fail(r, r->at, "a '\\' before what JSON does not escape");
    *r->text++ = to[known - from];
    r->at += 2;
    return 0;
}

static int read_string(reader *r)
{
    size_t from = r->at++;
    char *text = r->text;
    for (;;) {
        unsigned char c = r->at < r->len ? (unsigned char)r->s[r->at] : '\0';
        size_t n = 1;
        if (r->at >= r->len)
            return fail(r, from, "a string without an end");
        if (c == '"')
            break;
        if (c < 0x20)
            return fail(r, r->at, "a control character in a string");
        if (c == '\\') {
            int rc = read_escape(r);
            if (rc < 0)
                return rc;
            continue;
        }
        if (c >= 0x80 && st_utf8_decode(r->s + r->at, r->len - r->at, &n) == ST_UTF8_BAD)
            return fail(r, r->at, "a byte that is not UTF-8");
        memcpy(r->text, r->s + r->at, n);
        r->text += n;
        r->at += n;
    }
    json value = {.type = JSON_STRING, .n = (uint32_t)(r->text - text), .text = text};
    *r->text++ = '\0';
    r->at++;
    return push(r, &value);
}

static int read_word(reader *r, const char *word, json_type type)
{
    size_t n = strlen(word);
    if (r->len - r->at < n || memcmp(r->s + r->at, word, n) != 0)
        return fail(r, r->at, "no JSON value");
    r->at += n;
    return push(r, &(json){.type = type});
}

static int cmp_text(const json *a, const char *text, size_t len)
{
    int c = memcmp(a->text, text, a->n < len ? a->n : len);
    return c ? c : (a->n > len) - (a->n < len);
}

/* By text; of equal ones the earlier first. */
static int cmp_names(const void *a, const void *b)
{
    const json *x = *(const json *const *)a, *y = *(const json *const *)b;
    int c = cmp_text(x, y->text, y->n);
    return c ? c : (x > y) - (x < y);
}

/* Names that come again: refuse them, or keep the last value at the first place. */
static int settle_repeats(reader *r, json *object, json *names, json *items,
                          const json **sorted)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < object->n; i++) {
        const json *name = sorted[i];
        if (kept == 0 || cmp_text(name, sorted[kept - 1]->text, sorted[kept - 1]->n)) {
            sorted[kept++] = name;
            continue;
        }
        if (!r->last_wins)
            return fail(r, r->at, "the object that ends here has the same name twice");
        items[sorted[kept - 1] - names] = items[name - names];
        names[name - names].type = JSON_NULL; /* dropped below */
    }
    if (kept == object->n)
        return 0;
    uint32_t to = 0;
    for (uint32_t i = 0; i < object->n; i++) {
        if (names[i].type == JSON_NULL)
            continue;
        names[to] = names[i];
        items[to++] = items[i];
    }
    object->n = to;
    for (uint32_t i = 0; i < to; i++)
        sorted[i] = &names[i];
    qsort(sorted, to, sizeof *sorted, cmp_names);
    return 0;
}

static int close_object(reader *r, const json *pending, json *object)
{
    uint32_t n = object->n;
    json *both = keep(r->doc, 2 * (size_t)n, sizeof *both);
    const json **sorted = keep(r->doc, n, sizeof *sorted);
    if (!both || !sorted)
        return no_memory(r);
    for (uint32_t i = 0; i < n; i++) {
        both[i] = pending[2 * (size_t)i];
        both[n + i] = pending[2 * (size_t)i + 1];
        sorted[i] = &both[i];
    }
    qsort(sorted, n, sizeof *sorted, cmp_names);
    object->names = both;
    object->items = both + n;
    object->sorted = sorted;
    return settle_repeats(r, object, both, both + n, sorted);
}

/* What is pending since the last bracket becomes one value. */
static int close_level(reader *r)
{
    level *l = &r->levels[--r->depth];
    size_t n = r->n - l->first;
    json value = {.type = l->is_object ? JSON_OBJECT : JSON_ARRAY,
                  .n = (uint32_t)(l->is_object ? n / 2 : n)};
    const json *pending = n ? r->pending + l->first : NULL;
    if (n && l->is_object) {
        int rc = close_object(r, pending, &value);
        if (rc < 0)
            return rc;
    } else if (n) {
        json *items = keep(r->doc, n, sizeof *items);
        if (!items)
            return no_memory(r);
        memcpy(items, pending, n * sizeof *items);
        value.items = items;
    }
    r->n = l->first;
    r->at++;
    return push(r, &value);
}

/* A member's name and the ':' behind it. */
static int read_name(reader *r)
{
    skip_space(r);
    if (peek(r) != '"')
        return fail(r, r->at, "an object's name, in '\"', is missing");
    int rc = read_string(r);
    if (rc < 0)
        return rc;
    skip_space(r);
    if (peek(r) != ':')
        return fail(r, r->at, "':' is missing behind an object's name");
    r->at++;
    return 0;
}

/* A bracket that opens; *ret_ended when it closed again at once. */
static int open_level(reader *r, bool is_object, bool *ret_ended)
{
    if (r->depth == JSON_DEPTH)
        return st_err_set(r->err, ST_ELIMIT, "nested more than %d deep", JSON_DEPTH);
    r->levels[r->depth++] = (level){.first = r->n, .is_object = is_object};
    r->at++;
    skip_space(r);
    *ret_ended = peek(r) == (is_object ? '}' : ']');
    if (*ret_ended)
        return close_level(r);
    return is_object ? read_name(r) : 0;
}

/* One value or the bracket that begins it; *ret_ended when it is complete. */
static int begin_value(reader *r, bool *ret_ended)
{
    *ret_ended = true;
    skip_space(r);
    switch (peek(r)) {
    case '{':
        return open_level(r, true, ret_ended);
    case '[':
        return open_level(r, false, ret_ended);
    case '"':
        return read_string(r);
    case 't':
        return read_word(r, "true", JSON_TRUE);
    case 'f':
        return read_word(r, "false", JSON_FALSE);
    case 'n':
        return read_word(r, "null", JSON_NULL);
    default:
        if (peek(r) == '-' || is_digit(peek(r)))
            return read_number(r);
        return fail(r, r->at, r->at < r->len ? "no JSON value" : "a value is missing");
    }
}

/* Behind a value: a ',' leads to the next one, a bracket ends the one around it. */
static int after_value(reader *r, bool *ret_more)
{
    *ret_more = false;
    skip_space(r);
    while (r->depth) {
        const level *l = &r->levels[r->depth - 1];
        if (peek(r) == ',') {
            r->at++;
            *ret_more = true;
            return l->is_object ? read_name(r) : 0;
        }
        if (peek(r) != (l->is_object ? '}' : ']'))
            return fail(r, r->at,
                        l->is_object ? "',' or '}' is missing" : "',' or ']' is missing");
        int rc = close_level(r);
        if (rc < 0)
            return rc;
        skip_space(r);
    }
    return r->at == r->len ? 0 : fail(r, r->at, "something behind the value");
}

static int read_all(reader *r)
{
    bool ended = false, more = true;
    while (more) {
        int rc = begin_value(r, &ended);
        if (rc == 0 && ended)
            rc = after_value(r, &more);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_document(reader *r, const json **ret_root)
{
    document *doc = st_zalloc_n(1, sizeof *doc);
    if (!doc)
        return no_memory(r);
    r->doc = doc;
    doc->text = st_alloc(r->len + 1);
    r->text = doc->text;
    int rc = doc->text ? read_all(r) : no_memory(r);
    if (rc == 0) {
        doc->root = r->pending[0];
        *ret_root = &doc->root;
    } else {
        json_free(&doc->root);
    }
    st_free(r->pending);
    return rc;
}

static int read_how(const char *text, size_t len, bool last_wins, const json **ret_root,
                    st_err *err)
{
    reader r = {.s = text, .len = len, .last_wins = last_wins, .err = err};
    if (len > TEXT_MAX)
        return st_err_set(err, ST_ELIMIT, "a JSON text of over %d bytes", TEXT_MAX);
    return read_document(&r, ret_root);
}

int json_read(const char *text, size_t len, const json **ret_root, st_err *err)
{
    return read_how(text, len, false, ret_root, err);
}

int json_read_last(const char *text, size_t len, const json **ret_root, st_err *err)
{
    return read_how(text, len, true, ret_root, err);
}

void json_free(const json *root)
{
    if (!root)
        return;
    document *doc = (document *)(uintptr_t)root;
    for (block *b = doc->blocks; b;) {
        block *next = b->next;
        st_free(b);
        b = next;
    }
    st_free(doc->text);
    st_free(doc);
}

const json *json_get_n(const json *object, const char *name, size_t len)
{
    if (object->type != JSON_OBJECT)
        return NULL;
    uint32_t lo = 0, hi = object->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = cmp_text(object->sorted[mid], name, len);
        if (c == 0)
            return &object->items[object->sorted[mid] - object->names];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

const json *json_get(const json *object, const char *name)
{
    return json_get_n(object, name, strlen(name));
}

bool json_is(const json *string, const char *text)
{
    return string && string->type == JSON_STRING &&
           cmp_text(string, text, strlen(text)) == 0;
}

static bool same_number(const json *a, const json *b)
{
    decimal x, y;
    if (!decimal_read(a->text, a->n, &x) || !decimal_read(b->text, b->n, &y))
        return cmp_text(a, b->text, b->n) == 0;
    return decimal_cmp(&x, &y) == 0;
}

bool json_same(const json *a, const json *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == JSON_NUMBER)
        return same_number(a, b);
    if (a->n != b->n)
        return false;
    if (a->type == JSON_STRING)
        return memcmp(a->text, b->text, a->n) == 0;
    for (uint32_t i = 0; a->type == JSON_ARRAY && i < a->n; i++)
        if (!json_same(&a->items[i], &b->items[i]))
            return false;
    for (uint32_t i = 0; a->type == JSON_OBJECT && i < a->n; i++) {
        const json *x = a->sorted[i], *y = b->sorted[i];
        if (cmp_text(x, y->text, y->n) != 0 ||
            !json_same(&a->items[x - a->names], &b->items[y - b->names]))
            return false;
    }
    return true;
}

static uint64_t hash_number(const json *value)
{
    decimal d;
    if (!decimal_read(value->text, value->n, &d))
        return st_hash64(value->text, value->n, JSON_NUMBER);
    uint64_t h = (uint64_t)d.negative; /* one by one, wherever the '.' is */
    for (uint32_t k = 0; k < d.n; k++)
        h = h * 31 + decimal_digit(&d, d.exp - 1 - k);
    return st_hash64(&d.exp, sizeof d.exp, h);
}

uint64_t json_hash(const json *value)
{
    uint64_t h = (uint64_t)value->type;
    if (value->type == JSON_NUMBER)
        return hash_number(value);
    if (value->type == JSON_STRING)
        return st_hash64(value->text, value->n, h);
    for (uint32_t i = 0; i < value->n; i++) {
        const json *name = value->type == JSON_OBJECT ? value->sorted[i] : NULL;
        uint64_t part[3] = {h, 0, 0};
        part[1] = name ? st_hash64(name->text, name->n, 0) : 0;
        part[2] = json_hash(&value->items[name ? (uint32_t)(name - value->names) : i]);
        h = st_hash64(part, sizeof part, h);
    }
    return h;
}

void json_write_string(const char *text, size_t len, st_buf *out)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    st_buf_char(out, '"');
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        st_buf_add(out, text + from, i - from);
        from = i + 1;
        const char *known = c ? strchr(plain, c) : NULL;
        if (known)
            st_buf_fmt(out, "\\%c", letter[known - plain]);
        else
            st_buf_fmt(out, "\\u%04X", (unsigned)c);
    }
    st_buf_add(out, text + from, len - from);
    st_buf_char(out, '"');
}

static void write_number(const json *value, st_buf *out)
{
    decimal d;
    bool plain = decimal_read(value->text, value->n, &d) && d.exp <= PLAIN_DIGITS &&
                 d.n <= PLAIN_DIGITS && (int64_t)d.n - d.exp <= PLAIN_DIGITS;
    if (plain)
        decimal_write(&d, out);
    else
        st_buf_add(out, value->text, value->n);
}

void json_write(const json *value, json_space space, st_buf *out)
{
    static const char *const words[] = {
        [JSON_NULL] = "null", [JSON_FALSE] = "false", [JSON_TRUE] = "true"};
    bool is_object = value->type == JSON_OBJECT;
    if (value->type < JSON_NUMBER) {
        st_buf_str(out, words[value->type]);
        return;
    }
    if (value->type == JSON_NUMBER || value->type == JSON_STRING) {
        if (value->type == JSON_NUMBER)
            write_number(value, out);
        else
            json_write_string(value->text, value->n, out);
        return;
    }
    st_buf_char(out, is_object ? '{' : '[');
    for (uint32_t i = 0; i < value->n; i++) {
        if (i)
            st_buf_str(out, space == JSON_SPACED ? ", " : ",");
        if (is_object) {
            json_write_string(value->names[i].text, value->names[i].n, out);
            st_buf_str(out, space == JSON_SPACED ? ": " : ":");
        }
        json_write(&value->items[i], space, out);
    }
    st_buf_char(out, is_object ? '}' : ']');
}
