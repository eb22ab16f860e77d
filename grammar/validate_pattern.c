/* grammar/validate_pattern.c - expressions of ECMA-262 searched for with PCRE2.
 *
 * The two languages differ in little: an expression is read once, piece by piece, and
 * written in PCRE2's words.  What ECMA-262 (Unicode mode) does not know is refused,
 * though PCRE2 would take it for something else; a '\' before punctuation is harmless and
 * allowed. */
#include "grammar/validate_priv.h"

#include "base/mem.h"
#include "base/utf8.h"
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    MATCH_LIMIT = 5000000,
    DEPTH_LIMIT = 100000,
    TEXT_LIMIT = 1 << 20,
    NO_HEAP = 121, /* PCRE2's numbers for two errors that it has no names for */
    LONG_LOOK_BEHIND = 125,
};

struct pattern {
    pcre2_code *code;
};

/* What ECMA-262 calls white space and line ends, and all else. */
#define SPACE                                                                            \
    "\\x{9}-\\x{D}\\x{20}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}" \
    "\\x{205F}\\x{3000}\\x{FEFF}"
#define NO_SPACE                                                                         \
    "\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-\\x{9F}\\x{A1}-\\x{167F}\\x{1681}-\\x{1FFF}"     \
    "\\x{200B}-\\x{2027}\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}"       \
    "\\x{3001}-\\x{FEFE}\\x{FF00}-\\x{10FFFF}"

typedef struct reader {
    const char *s;
    size_t len, at;
    bool in_class;
    st_buf *out;
    st_err *err;
} reader;

static int fail(const reader *r, int code, const char *what)
{
    return st_err_set(r->err, code, "expression, byte %zu: %s", r->at, what);
}

static char peek(const reader *r, size_t ahead)
{
    return r->len - r->at > ahead ? r->s[r->at + ahead] : '\0';
}

static bool is_letter(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* `n` hexadecimal digits from `ahead` on; UINT32_MAX when they are not there. */
static uint32_t hex(const reader *r, size_t ahead, size_t n)
{
    uint32_t code = 0;
    for (size_t i = ahead; i < ahead + n; i++) {
        char c = peek(r, i);
        if (is_digit(c))
            code = code * 16 + (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            code = code * 16 + (uint32_t)((c | 32) - 'a' + 10);
        else
            return UINT32_MAX;
    }
    return code;
}

static int put_code(reader *r, uint32_t code)
{
    if (code >= 0xD800 && code < 0xE000)
        return fail(r, ST_EUNSUPPORTED, "half of a surrogate pair");
    return st_buf_fmt(r->out, "\\x{%X}", code);
}

/* \uXXXX, two of them for a surrogate pair, or \u{X...}. */
static int read_unicode(reader *r)
{
    uint32_t code = hex(r, 2, 4);
    if (peek(r, 2) == '{') {
        size_t n = 0;
        while (n < 9 && peek(r, 3 + n) != '}')
            n++;
        code = n >= 1 && n <= 8 ? hex(r, 3, n) : UINT32_MAX;
        if (code > 0x10FFFF)
            return fail(r, ST_EFORMAT, "\\u{} without a character's number");
        r->at += 4 + n;
        return put_code(r, code);
    }
    if (code == UINT32_MAX)
        return fail(r, ST_EFORMAT, "\\u without four hexadecimal digits");
    r->at += 6;
    if (code >= 0xD800 && code < 0xDC00 && peek(r, 0) == '\\' && peek(r, 1) == 'u') {
        uint32_t low = hex(r, 2, 4);
        if (low >= 0xDC00 && low < 0xE000) {
            r->at += 6;
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return put_code(r, code);
}

/* Names of general categories; PCRE2 knows the short ones only. */
static const char *short_category(const char *name, size_t len)
{
    static const char *const names[][2] = {
        {"Letter", "L"},
        {"Lowercase_Letter", "Ll"},
        {"Uppercase_Letter", "Lu"},
        {"Titlecase_Letter", "Lt"},
        {"Cased_Letter", "L&"},
        {"LC", "L&"},
        {"Modifier_Letter", "Lm"},
        {"Other_Letter", "Lo"},
        {"Mark", "M"},
        {"Combining_Mark", "M"},
        {"Nonspacing_Mark", "Mn"},
        {"Spacing_Mark", "Mc"},
        {"Enclosing_Mark", "Me"},
        {"Number", "N"},
        {"Decimal_Number", "Nd"},
        {"digit", "Nd"},
        {"Letter_Number", "Nl"},
        {"Other_Number", "No"},
        {"Punctuation", "P"},
        {"punct", "P"},
        {"Connector_Punctuation", "Pc"},
        {"Dash_Punctuation", "Pd"},
        {"Open_Punctuation", "Ps"},
        {"Close_Punctuation", "Pe"},
        {"Initial_Punctuation", "Pi"},
        {"Final_Punctuation", "Pf"},
        {"Other_Punctuation", "Po"},
        {"Symbol", "S"},
        {"Math_Symbol", "Sm"},
        {"Currency_Symbol", "Sc"},
        {"Modifier_Symbol", "Sk"},
        {"Other_Symbol", "So"},
        {"Separator", "Z"},
        {"Space_Separator", "Zs"},
        {"Line_Separator", "Zl"},
        {"Paragraph_Separator", "Zp"},
        {"Other", "C"},
        {"Control", "Cc"},
        {"cntrl", "Cc"},
        {"Format", "Cf"},
        {"Surrogate", "Cs"},
        {"Private_Use", "Co"},
        {"Unassigned", "Cn"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i][0]) == len && memcmp(names[i][0], name, len) == 0)
            return names[i][1];
    return NULL;
}

/* \p{...}: a category, Script=... or a binary property. */
static int read_property(reader *r)
{
    static const char *const categories[] = {"General_Category=", "gc="};
    const char *name = r->s + r->at + 3;
    const char *end = peek(r, 2) == '{' ? memchr(name, '}', r->len - r->at - 3) : NULL;
    if (!end)
        return fail(r, ST_EFORMAT, "\\p without a property in braces");
    st_buf_fmt(r->out, "\\%c{", peek(r, 1));
    r->at = (size_t)(end + 1 - r->s);
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(categories[i]);
        if ((size_t)(end - name) > n && memcmp(name, categories[i], n) == 0)
            name += n;
    }
    const char *known = short_category(name, (size_t)(end - name));
    if (known)
        st_buf_str(r->out, known);
    else
        st_buf_add(r->out, name, (size_t)(end - name));
    return st_buf_char(r->out, '}');
}

/* A set of characters: in a class a '-' beside it stands for itself. */
static int put_set(reader *r, const char *in_class, const char *plain)
{
    r->at += 2;
    st_buf_str(r->out, r->in_class ? in_class : plain);
    if (r->in_class && peek(r, 0) == '-') {
        r->at++;
        return st_buf_str(r->out, "\\-");
    }
    return r->out->code;
}

static int put_escape(reader *r, const char *text, size_t used)
{
    r->at += used;
    return st_buf_str(r->out, text);
}

/* \1 refers back; \0 is the character NUL. */
static int read_digits(reader *r)
{
    size_t n = 1;
    while (is_digit(peek(r, n)))
        n++;
    if (peek(r, 1) == '0' && n == 2)
        return put_escape(r, "\\x{0}", 2);
    if (peek(r, 1) == '0' || r->in_class)
        return fail(r, ST_EFORMAT, "an octal number");
    st_buf_str(r->out, "\\g{");
    st_buf_add(r->out, r->s + r->at + 1, n - 1);
    st_buf_char(r->out, '}');
    r->at += n;
    return r->out->code;
}

static int read_name_reference(reader *r)
{
    const char *from = r->s + r->at;
    const char *end = peek(r, 2) == '<' ? memchr(from, '>', r->len - r->at) : NULL;
    if (!end || r->in_class)
        return fail(r, ST_EFORMAT, "\\k without a name in '<' and '>'");
    st_buf_add(r->out, from, (size_t)(end + 1 - from));
    r->at += (size_t)(end + 1 - from);
    return r->out->code;
}

static int read_letter_escape(reader *r, char c)
{
    char plain[3] = {'\\', c, '\0'};
    switch (c) {
    case 'd':
    case 'D':
    case 'w':
    case 'W':
        return put_set(r, plain, plain);
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return put_escape(r, plain, 2);
    case 'b':
        return put_escape(r, r->in_class ? "\\x{8}" : plain, 2);
    case 'B':
        return r->in_class ? fail(r, ST_EFORMAT, "\\B in a class")
                           : put_escape(r, plain, 2);
    case 'v':
        return put_escape(r, "\\x{B}", 2);
    case 's':
        return put_set(r, SPACE, "[" SPACE "]");
    case 'S':
        return put_set(r, NO_SPACE, "[^" SPACE "]");
    case 'u':
        return read_unicode(r);
    case 'p':
    case 'P':
        return read_property(r);
    case 'k':
        return read_name_reference(r);
    case 'x': {
        uint32_t code = hex(r, 2, 2);
        if (code == UINT32_MAX)
            return fail(r, ST_EFORMAT, "\\x without two hexadecimal digits");
        r->at += 4;
        return put_code(r, code);
    }
    case 'c':
        if (!is_letter(peek(r, 2)))
            return fail(r, ST_EFORMAT, "\\c without a letter");
        r->at += 3;
        return put_code(r, (uint32_t)r->s[r->at - 1] % 32);
    default:
        return fail(r, ST_EFORMAT, "an escape that ECMA-262 does not know");
    }
}

static int read_escape(reader *r)
{
    char c = peek(r, 1);
    if (r->len - r->at < 2)
        return fail(r, ST_EFORMAT, "a '\\' at the end");
    if (is_letter(c))
        return read_letter_escape(r, c);
    if (is_digit(c))
        return read_digits(r);
    if ((unsigned char)c >= 0x80 || c < 0x20)
        return fail(r, ST_EFORMAT, "a '\\' before a character that needs none");
    st_buf_fmt(r->out, "\\x{%X}", (unsigned)c);
    r->at += 2;
    return r->out->code;
}

/* [...]: PCRE2 gives a '[' in it, and a ']' at its start, another meaning. */
static int read_class(reader *r)
{
    bool negated = peek(r, 1) == '^';
    r->at += 1 + (size_t)negated;
    if (peek(r, 0) == ']') {
        r->at++;
        return st_buf_str(r->out, negated ? "[\\x{0}-\\x{10FFFF}]" : "(?!)");
    }
    st_buf_str(r->out, negated ? "[^" : "[");
    r->in_class = true;
    while (r->at < r->len && peek(r, 0) != ']') {
        int rc = 0;
        if (peek(r, 0) == '\\')
            rc = read_escape(r);
        else if (peek(r, 0) == '[')
            rc = put_escape(r, "\\[", 1);
        else if (peek(r, 0) == '-' && peek(r, 1) == '\\' && peek(r, 2) &&
                 strchr("dDwWsSpP", peek(r, 2)))
            rc = put_escape(r, "\\-", 1);
        else
            rc = st_buf_char(r->out, r->s[r->at++]);
        if (rc < 0)
            return rc;
    }
    r->in_class = false;
    if (r->at >= r->len)
        return fail(r, ST_EFORMAT, "a class without its ']'");
    r->at++;
    return st_buf_char(r->out, ']');
}

static int read_group(reader *r)
{
    static const char *const known[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i]);
        if (r->len - r->at >= n && memcmp(r->s + r->at, known[i], n) == 0)
            return put_escape(r, known[i], n);
    }
    if (peek(r, 1) == '*')
        return fail(r, ST_EFORMAT, "a '*' with nothing before it");
    if (peek(r, 1) == '?' &&
        (peek(r, 2) != '<' || !(is_letter(peek(r, 3)) || strchr("_$", peek(r, 3)))))
        return fail(r, ST_EFORMAT, "a group that ECMA-262 does not know");
    return put_escape(r, "(", 1);
}

/* {n}, {n,} or {n,m} at r->at: its length; 0 when it is something else. */
static size_t count_len(const reader *r)
{
    size_t n = 1;
    while (is_digit(peek(r, n)))
        n++;
    if (n == 1)
        return 0;
    if (peek(r, n) == ',')
        n++;
    while (is_digit(peek(r, n)))
        n++;
    return peek(r, n) == '}' ? n + 1 : 0;
}

/* A quantifier with its '?'; another one behind it would be possessive in PCRE2. */
static int read_quantifier(reader *r, size_t n)
{
    n += peek(r, n) == '?';
    st_buf_add(r->out, r->s + r->at, n);
    r->at += n;
    char c = peek(r, 0);
    if (c == '*' || c == '+' || c == '?' || (c == '{' && count_len(r)))
        return fail(r, ST_EFORMAT, "a quantifier behind a quantifier");
    return r->out->code;
}

static int read_piece(reader *r)
{
    char c = peek(r, 0);
    switch (c) {
    case '\\':
        return read_escape(r);
    case '[':
        return read_class(r);
    case '(':
        return read_group(r);
    case '.':
        return put_escape(r, "[^\\n\\r\\x{2028}\\x{2029}]", 1);
    case '*':
    case '+':
    case '?':
        return read_quantifier(r, 1);
    case '{': {
        size_t n = count_len(r);
        return n ? read_quantifier(r, n) : put_escape(r, "\\{", 1);
    }
    default:
        r->at++;
        return st_buf_char(r->out, c);
    }
}

/* PCRE2's own memory comes from ours, so that tests can make it fail. */
static void *take(size_t bytes, void *unused)
{
    (void)unused;
    return st_alloc(bytes);
}

static void give(void *p, void *unused)
{
    (void)unused;
    st_free(p);
}

/* 0, or PCRE2's number for what is wrong. */
static int compile(const st_buf *text, pcre2_code **ret)
{
    int why = PCRE2_ERROR_NOMEMORY;
    size_t at;
    pcre2_general_context *memory = pcre2_general_context_create(take, give, NULL);
    pcre2_compile_context *context = memory ? pcre2_compile_context_create(memory) : NULL;
    if (context)
        *ret = pcre2_compile((PCRE2_SPTR)text->data, text->len,
                             PCRE2_UTF | PCRE2_DOLLAR_ENDONLY |
                                 PCRE2_MATCH_UNSET_BACKREF | PCRE2_NEVER_BACKSLASH_C,
                             &why, &at, context);
    pcre2_compile_context_free(context);
    pcre2_general_context_free(memory);
    return *ret ? 0 : why;
}

static int fail_compile(int why, st_err *err)
{
    PCRE2_UCHAR text[160] = "";
    if (why == 0)
        return 0;
    if (why == PCRE2_ERROR_NOMEMORY || why == NO_HEAP)
        return st_err_set(err, ST_ENOMEM, "out of memory for an expression");
    pcre2_get_error_message(why, text, sizeof text);
    return st_err_set(err, why == LONG_LOOK_BEHIND ? ST_EUNSUPPORTED : ST_EFORMAT,
                      "expression: %s", (const char *)text);
}

int pattern_new(const char *text, size_t len, pattern **ret, st_err *err)
{
    st_buf out;
    pcre2_code *code = NULL;
    reader r = {.s = text, .len = len, .out = &out, .err = err};
    st_buf_init(&out, TEXT_LIMIT);
    int rc = st_buf_str(&out, "");
    while (rc == 0 && r.at < r.len)
        rc = read_piece(&r);
    if (rc < 0)
        st_err_set(err, rc, "expression: %s", st_code_text(rc));
    else
        rc = fail_compile(compile(&out, &code), err);
    st_buf_done(&out);
    if (rc < 0)
        return rc;
    pattern *p = st_alloc(sizeof *p);
    if (!p) {
        pcre2_code_free(code);
        return st_err_set(err, ST_ENOMEM, "out of memory for an expression");
    }
    p->code = code;
    *ret = p;
    return 0;
}

void pattern_free(pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    st_free(p);
}

bool pattern_is_valid(const char *text, size_t len)
{
    pattern *p = NULL;
    int rc = pattern_new(text, len, &p, NULL);
    pattern_free(p);
    return rc == 0 || rc == ST_EUNSUPPORTED;
}

int pattern_find(const pattern *p, const char *text, size_t len, st_err *err)
{
    int found = PCRE2_ERROR_NOMEMORY;
    pcre2_general_context *memory = pcre2_general_context_create(take, give, NULL);
    pcre2_match_context *context = memory ? pcre2_match_context_create(memory) : NULL;
    pcre2_match_data *match = memory ? pcre2_match_data_create(1, memory) : NULL;
    if (context && match) {
        pcre2_set_match_limit(context, MATCH_LIMIT);
        pcre2_set_depth_limit(context, DEPTH_LIMIT);
        found = pcre2_match(p->code, (PCRE2_SPTR)text, len, 0, 0, match, context);
    }
    pcre2_match_data_free(match);
    pcre2_match_context_free(context);
    pcre2_general_context_free(memory);
    if (found >= 0)
        return 1;
    if (found == PCRE2_ERROR_NOMATCH)
        return 0;
    if (found == PCRE2_ERROR_NOMEMORY)
        return st_err_set(err, ST_ENOMEM, "out of memory for an expression");
    return st_err_set(err, ST_ELIMIT, "an expression takes too long to search");
}
