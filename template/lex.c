/* template/lex.c - template text to tokens.
 *
 * As jinja2's lexer with trim_blocks and lstrip_blocks: the newline after a block or
 * comment goes, and so does the blank space between the start of a line and a block or
 * comment; a `-` in a tag takes all white space on its side, a `+` keeps it.  Line ends
 * become "\n", and one at the very end of the template is dropped. */
#include "template/ast.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/utf8.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct lexer {
    parse_state *p;
    const char *s;
    size_t n, i;
    int line;
    bool line_start; /* what was read before `i` ended a line */
    char brackets[PARSE_DEPTH];
    size_t n_brackets;
} lexer;

static int lex_fail(lexer *x, const char *text)
{
    x->p->r.line = x->line;
    return rt_fail(&x->p->r, ST_EFORMAT, "%s", text);
}

static int add_token(lexer *x, token t)
{
    parse_state *p = x->p;
    if (p->n_tokens == p->cap_tokens) {
        size_t cap = p->cap_tokens ? p->cap_tokens * 2 : 256;
        token *more = st_realloc_n(p->tokens, cap, sizeof *more);
        if (!more)
            return rt_fail(&p->r, ST_ENOMEM, "out of memory while parsing");
        p->tokens = more;
        p->cap_tokens = cap;
    }
    t.line = x->line;
    p->tokens[p->n_tokens++] = t;
    return 0;
}

static int add_plain(lexer *x, token_type type)
{
    return add_token(x, (token){.type = (uint8_t)type});
}

static void count_lines(lexer *x, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x->line += s[i] == '\n';
}

static int add_data(lexer *x, const char *s, size_t n)
{
    if (!n)
        return 0;
    const tstr *text = tstr_new(&x->p->r, s, n, 0);
    if (!text)
        return x->p->r.err->code;
    int rc = add_token(x, (token){.type = TOK_DATA, .text = text});
    count_lines(x, s, n);
    return rc;
}

static bool at_text(const lexer *x, size_t i, const char *text)
{
    size_t n = strlen(text);
    return x->n - i >= n && memcmp(x->s + i, text, n) == 0;
}

/* Leave out what the tag at the end of `n` bytes takes from the text before it. */
static size_t strip_before(const lexer *x, const char *s, size_t n, char sign,
                           bool variable)
{
    if (sign == '-')
        return n - space_right(s, n);
    if (sign == '+' || variable)
        return n;
    size_t line = n;
    while (line > 0 && s[line - 1] != '\n')
        line--;
    bool starts = line > 0 || x->line_start;
    return starts && line < n && space_left(s + line, n - line) == n - line ? line : n;
}

static char sign_at(const lexer *x, size_t i)
{
    return i < x->n && (x->s[i] == '-' || x->s[i] == '+') ? x->s[i] : 0;
}

/* Length of a closing tag `end` at i with its sign and what it takes; 0: not there. */
static size_t closing(const lexer *x, size_t i, const char *end, bool trim)
{
    char sign = sign_at(x, i);
    size_t n = sign ? 1 : 0;
    if (sign == '+' && !trim)
        return 0;
    if (!at_text(x, i + n, end))
        return 0;
    n += 2;
    if (sign == '-')
        n += space_left(x->s + i + n, x->n - i - n);
    else if (!sign && trim && i + n < x->n && x->s[i + n] == '\n')
        n++;
    return n;
}

static void advance(lexer *x, size_t n)
{
    count_lines(x, x->s + x->i, n);
    x->i += n;
    x->line_start = n ? x->s[x->i - 1] == '\n' : x->line_start;
}

static int lex_comment(lexer *x)
{
    for (size_t i = x->i; i < x->n; i++) {
        size_t n = closing(x, i, "#}", true);
        if (n) {
            advance(x, i + n - x->i);
            return 0;
        }
    }
    return lex_fail(x, "Missing end of comment tag");
}

/* Length of "word" with white space around it at i; 0: something else. */
static size_t spaced_word(const lexer *x, size_t i, const char *word)
{
    size_t n = space_left(x->s + i, x->n - i);
    if (!at_text(x, i + n, word))
        return 0;
    n += strlen(word);
    return n + space_left(x->s + i + n, x->n - i - n);
}

/* "{% raw %}" at i, which stands at "{%"; 0: not that. */
static size_t raw_begin(const lexer *x, size_t i)
{
    size_t n = 2 + (sign_at(x, i + 2) ? 1 : 0);
    size_t word = spaced_word(x, i + n, "raw");
    if (!word)
        return 0;
    n += word;
    size_t end = closing(x, i + n, "%}", false);
    return end ? n + end : 0;
}

static int lex_raw(lexer *x)
{
    for (size_t i = x->i; i < x->n; i++) {
        if (!at_text(x, i, "{%"))
            continue;
        char sign = sign_at(x, i + 2);
        size_t n = 2 + (sign ? 1 : 0), word = spaced_word(x, i + n, "endraw");
        size_t end = word ? closing(x, i + n + word, "%}", true) : 0;
        if (!end)
            continue;
        int rc =
            add_data(x, x->s + x->i, strip_before(x, x->s + x->i, i - x->i, sign, false));
        if (rc)
            return rc;
        x->i = i;
        advance(x, n + word + end);
        return 0;
    }
    return lex_fail(x, "Missing end of raw directive");
}

/* --- inside {{ }} and {% %} --- */

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || (unsigned char)c >= 0x80;
}

static int intern(lexer *x, const char *s, size_t n, const tstr **ret)
{
    parse_state *p = x->p;
    uint32_t at;
    if (st_map_get(p->names, s, n, &at)) {
        *ret = p->interned[at];
        return 0;
    }
    if (p->n_interned == NAMES_MAX)
        return rt_fail(&p->r, ST_ELIMIT, "over %d names", NAMES_MAX);
    if (p->n_interned == p->cap_interned) {
        size_t cap = p->cap_interned ? p->cap_interned * 2 : 64;
        const tstr **more = st_realloc_n(p->interned, cap, sizeof *more);
        if (!more)
            return rt_fail(&p->r, ST_ENOMEM, "out of memory while parsing");
        p->interned = more;
        p->cap_interned = cap;
    }
    const tstr *name = tstr_new(&p->r, s, n, 0);
    if (!name)
        return p->r.err->code;
    if (st_map_put(p->names, s, n, (uint32_t)p->n_interned, NULL))
        return rt_fail(&p->r, ST_ENOMEM, "out of memory while parsing");
    p->interned[p->n_interned++] = name;
    *ret = name;
    return 0;
}

static bool valid_name(const char *s, size_t n)
{
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t code = st_utf8_decode(s + i, n - i, &len);
        if (code >= 0x80 && !code_is(code, CLASS_WORD))
            return false;
    }
    return true;
}

static int lex_name(lexer *x)
{
    size_t n = 0;
    const tstr *name = NULL;
    while (x->i + n < x->n && is_name_byte(x->s[x->i + n]))
        n++;
    if (!valid_name(x->s + x->i, n))
        return lex_fail(x, "Invalid character in identifier");
    int rc = intern(x, x->s + x->i, n, &name);
    if (!rc)
        rc = add_token(x, (token){.type = TOK_NAME, .text = name});
    advance(x, n);
    return rc;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits with single underscores between. */
static size_t digits_at(const lexer *x, size_t i)
{
    size_t n = 0;
    while (i + n < x->n && (is_digit(x->s[i + n]) ||
                            (x->s[i + n] == '_' && n && is_digit(x->s[i + n - 1]) &&
                             i + n + 1 < x->n && is_digit(x->s[i + n + 1]))))
        n++;
    return n;
}

/* Length of a float at x->i, 0 when the number is none. */
static size_t float_length(const lexer *x)
{
    if (x->i && x->s[x->i - 1] == '.')
        return 0;
    size_t i = x->i + digits_at(x, x->i), whole = i, fraction = 0;
    if (i < x->n && x->s[i] == '.' && (fraction = digits_at(x, i + 1)))
        i += 1 + fraction;
    if (i < x->n && (x->s[i] | 0x20) == 'e') {
        size_t sign = sign_at(x, i + 1) ? 1 : 0;
        size_t exponent = digits_at(x, i + 1 + sign);
        i += exponent ? 1 + sign + exponent : 0;
    }
    return i > whole ? i - x->i : 0;
}

static size_t int_length(const lexer *x)
{
    char c = x->i + 1 < x->n ? (char)(x->s[x->i + 1] | 0x20) : 0;
    size_t n = 2;
    if (x->s[x->i] == '0' && (c == 'x' || c == 'o' || c == 'b')) {
        while (x->i + n < x->n) {
            char d = x->s[x->i + n], low = (char)(d | 0x20);
            bool ok = d == '_' ||
                      (is_digit(d) && (c != 'b' || d < '2') && (c != 'o' || d < '8')) ||
                      (c == 'x' && low >= 'a' && low <= 'f');
            if (!ok)
                break;
            n++;
        }
        return n > 2 ? n : 1;
    }
    n = digits_at(x, x->i);
    if (x->s[x->i] == '0') { /* 0 and 00, but 01 is two tokens */
        for (size_t k = 0; k < n; k++) {
            if (x->s[x->i + k] != '0' && x->s[x->i + k] != '_')
                return k;
        }
    }
    return n;
}

static int lex_number(lexer *x)
{
    token t = {.type = TOK_FLOAT};
    size_t n = float_length(x);
    bool big = false;
    double f = 0;
    tint i = 0;
    if (n) {
        if (!float_parse(x->s + x->i, n, &f))
            return lex_fail(x, "invalid number");
        t.number = val_float(f);
    } else {
        n = int_length(x);
        t.type = TOK_INT;
        if (!tint_parse(x->s + x->i, n, 0, &i, &big))
            return lex_fail(x, "invalid number");
        t.number = val_int(i);
    }
    if (big) {
        x->p->r.line = x->line;
        return rt_fail(&x->p->r, ST_ELIMIT, "integer over 128 bits");
    }
    int rc = add_token(x, t);
    advance(x, n);
    return rc;
}

static bool hex_value(const char *s, size_t n, uint32_t *ret)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++) {
        char c = (char)(s[i] | 0x20);
        if (!is_digit(s[i]) && !(c >= 'a' && c <= 'f'))
            return false;
        v = v * 16 + (uint32_t)(is_digit(s[i]) ? s[i] - '0' : c - 'a' + 10);
    }
    *ret = v;
    return true;
}

/* The escape after a backslash at s[*i]; moves *i behind it. */
static int unescape(lexer *x, tbuild *b, const char *s, size_t n, size_t *i)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    char c = s[*i];
    const char *at = c ? strchr(from, c) : NULL;
    if (c == '\n') {
        ++*i;
        return 0;
    }
    if (at) {
        ++*i;
        return tbuild_add(b, to + (at - from), 1, 0);
    }
    uint32_t code = 0;
    if (c >= '0' && c <= '7') {
        for (size_t k = 0; k < 3 && *i < n && s[*i] >= '0' && s[*i] <= '7'; k++)
            code = code * 8 + (uint32_t)(s[(*i)++] - '0');
        return tbuild_code(b, code, 0);
    }
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (!digits)
        return c == 'N' ? lex_fail(x, "\\N{...} escapes are not supported")
                        : tbuild_add(b, "\\", 1, 0);
    if (n - *i <= digits || !hex_value(s + *i + 1, digits, &code))
        return lex_fail(x, "truncated \\x, \\u or \\U escape");
    *i += 1 + digits;
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return lex_fail(x, "escape of a code point that is no character");
    return tbuild_code(b, code, 0);
}

static int lex_string(lexer *x)
{
    const char *s = x->s + x->i + 1;
    size_t max = x->n - x->i - 1, n = 0, i = 0;
    char quote = x->s[x->i];
    while (n < max && s[n] != quote)
        n += s[n] == '\\' ? 2 : 1;
    if (n >= max)
        return lex_fail(x, "unexpected char: a string without end");
    tbuild b;
    int rc = 0;
    tbuild_init(&b, &x->p->r);
    while (i < n && !rc) {
        const char *slash = memchr(s + i, '\\', n - i);
        size_t to = slash ? (size_t)(slash - s) : n;
        rc = tbuild_add(&b, s + i, to - i, 0);
        i = to + 1;
        if (!rc && slash)
            rc = unescape(x, &b, s, n, &i);
    }
    const tstr *text = rc ? NULL : tbuild_take(&b);
    if (!text)
        return x->p->r.err->code;
    rc = add_token(x, (token){.type = TOK_STRING, .text = text});
    advance(x, n + 2);
    return rc;
}

static int bracket(lexer *x, char c)
{
    static const char open[] = "([{", close[] = ")]}";
    const char *at = strchr(open, c);
    if (at) {
        if (x->n_brackets == PARSE_DEPTH) {
            x->p->r.line = x->line;
            return rt_fail(&x->p->r, ST_ELIMIT, "brackets nested too deep");
        }
        x->brackets[x->n_brackets++] = close[at - open];
        return 0;
    }
    if (!strchr(close, c))
        return 0;
    if (!x->n_brackets || x->brackets[--x->n_brackets] != c) {
        char text[] = "unexpected '?'";
        text[12] = c;
        return lex_fail(x, text);
    }
    return 0;
}

static int lex_operator(lexer *x)
{
    static const struct {
        const char *text;
        int op;
    } twos[] = {{"==", OP_EQ}, {"!=", OP_NE},     {"<=", OP_LE},
                {">=", OP_GE}, {"//", OP_SLASH2}, {"**", OP_STAR2}};
    char c = x->s[x->i];
    int op = c;
    size_t n = 1;
    for (size_t k = 0; k < ST_COUNT(twos); k++) {
        if (at_text(x, x->i, twos[k].text)) {
            op = twos[k].op;
            n = 2;
        }
    }
    if (n == 1 && (!c || !strchr("+-*/%~[](){}<>=.:|,;", c))) {
        char text[] = "unexpected char '?'";
        text[17] = c >= ' ' && c < 0x7F ? c : '?';
        return lex_fail(x, text);
    }
    int rc = n == 1 ? bracket(x, c) : 0;
    if (!rc)
        rc = add_token(x, (token){.type = TOK_OP, .op = op});
    advance(x, n);
    return rc;
}

/* The tokens of one tag, up to and with its end. */
static int lex_tag(lexer *x, bool block)
{
    x->n_brackets = 0;
    int rc = add_plain(x, block ? TOK_BLOCK_BEGIN : TOK_VAR_BEGIN);
    while (!rc && x->i < x->n) {
        size_t end = x->n_brackets ? 0 : closing(x, x->i, block ? "%}" : "}}", block);
        if (end) {
            rc = add_plain(x, block ? TOK_BLOCK_END : TOK_VAR_END);
            advance(x, end);
            return rc;
        }
        size_t space = space_left(x->s + x->i, x->n - x->i);
        char c = x->s[x->i];
        if (space)
            advance(x, space);
        else if (is_digit(c))
            rc = lex_number(x);
        else if (is_name_byte(c))
            rc = lex_name(x);
        else if (c == '"' || c == '\'')
            rc = lex_string(x);
        else
            rc = lex_operator(x);
    }
    return rc;
}

/* Offset of the next tag at or after x->i; x->n when there is none. */
static size_t next_tag(const lexer *x)
{
    for (size_t i = x->i; i + 1 < x->n; i++) {
        if (x->s[i] == '{' &&
            (x->s[i + 1] == '{' || x->s[i + 1] == '%' || x->s[i + 1] == '#'))
            return i;
    }
    return x->n;
}

static int lex_root(lexer *x)
{
    size_t tag = next_tag(x);
    if (tag == x->n) {
        int rc = add_data(x, x->s + x->i, x->n - x->i);
        x->i = x->n;
        return rc;
    }
    char kind = x->s[tag + 1], sign = sign_at(x, tag + 2);
    size_t raw = kind == '%' ? raw_begin(x, tag) : 0;
    size_t keep = strip_before(x, x->s + x->i, tag - x->i, sign, kind == '{');
    int line = x->line, rc = add_data(x, x->s + x->i, keep);
    if (rc)
        return rc;
    x->line = line; /* advance() counts the data again */
    advance(x, tag - x->i + (raw ? raw : sign ? 3 : 2));
    if (raw)
        return lex_raw(x);
    return kind == '#' ? lex_comment(x) : lex_tag(x, kind == '%');
}

/* Line ends as "\n", one at the end dropped. */
static int normalise(parse_state *p, char **ret_s, size_t *ret_n)
{
    char *s = tarena_take(&p->r.mem, p->len + 1);
    size_t n = 0;
    if (!s)
        return rt_oom(&p->r);
    for (size_t i = 0; i < p->len; i++) {
        if (p->s[i] != '\r')
            s[n++] = p->s[i];
        else if (i + 1 == p->len || p->s[i + 1] != '\n')
            s[n++] = '\n';
    }
    if (n && s[n - 1] == '\n')
        n--;
    *ret_s = s;
    *ret_n = n;
    return 0;
}

int lex_all(parse_state *p)
{
    char *s = NULL;
    size_t n = 0;
    int rc = normalise(p, &s, &n);
    if (rc)
        return rc;
    lexer x = {.p = p, .s = s, .n = n, .line = 1, .line_start = true};
    while (!rc && x.i < x.n)
        rc = lex_root(&x);
    return rc ? rc : add_plain(&x, TOK_END);
}
