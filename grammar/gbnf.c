/* grammar/gbnf.c - reads llama.cpp's grammar notation, by recursive descent. */
#include "grammar/gbnf.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 28, LAST_CODE = 0x10FFFF };

typedef struct named { /* what is known of a name */
    uint32_t rule;
    bool defined;
    size_t at; /* where it was used first */
} named;

typedef struct reader {
    const char *text;
    size_t len, at;
    gbnf *g;
    st_buf rules;   /* gbnf_rule */
    st_buf alts;    /* gbnf_alt, in the order in which they end */
    st_buf symbols; /* gbnf_symbol */
    st_buf work;    /* gbnf_symbol, of the sequences that are under way */
    st_buf names;   /* named, by number - 1 */
    uint32_t name;  /* of the rule under way */
    uint32_t depth;
    st_err *err;
} reader;

/* An error at a place of the text: fails with `code`. */
static int fail_at(const reader *r, size_t at, int code, const char *what)
{
    uint32_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < r->len; i++) {
        if (r->text[i] == '\n')
            line++, column = 1;
        else if ((r->text[i] & 0xC0) != 0x80)
            column++;
    }
    return st_err_set(r->err, code, "grammar, line %u, column %u: %s", line, column,
                      what);
}

static int fail(const reader *r, const char *what)
{
    return fail_at(r, r->at, ST_EFORMAT, what);
}

static int put(reader *r, st_buf *b, const void *value, size_t size)
{
    int rc = st_buf_add(b, value, size);
    return rc < 0 ? st_err_set(r->err, rc, "grammar: %s", st_code_text(rc)) : 0;
}

static char peek(const reader *r)
{
    return r->at < r->len ? r->text[r->at] : '\0';
}

static size_t n_work(const reader *r)
{
    return r->work.len / sizeof(gbnf_symbol);
}

static int new_rule(reader *r, uint32_t *ret)
{
    *ret = (uint32_t)(r->rules.len / sizeof(gbnf_rule));
    return put(r, &r->rules, &(gbnf_rule){.name = r->name}, sizeof(gbnf_rule));
}

static int add_alt(reader *r, uint32_t rule, const gbnf_symbol *symbols, size_t n)
{
    gbnf_alt alt = {rule, (uint32_t)(r->symbols.len / sizeof *symbols), (uint32_t)n};
    if (alt.begin + n > GBNF_MAX_SYMBOLS || r->alts.len / sizeof alt > GBNF_MAX_SYMBOLS)
        return fail_at(r, r->at, ST_ELIMIT, "too many symbols up to here");
    int rc = put(r, &r->alts, &alt, sizeof alt);
    return rc < 0 || n == 0 ? rc : put(r, &r->symbols, symbols, n * sizeof *symbols);
}

static int push(reader *r, gbnf_symbol symbol)
{
    if (n_work(r) > GBNF_MAX_SYMBOLS)
        return fail_at(r, r->at, ST_ELIMIT, "too many symbols up to here");
    return put(r, &r->work, &symbol, sizeof symbol);
}

static int push_class(reader *r, const gbnf_range *ranges, size_t n)
{
    uint32_t number;
    int rc = intern_put(&r->g->classes, ranges, n * sizeof *ranges, &number, r->err);
    return rc < 0 ? rc : push(r, (gbnf_symbol){false, number});
}

/* Spaces and comments; new lines too where a rule cannot end. */
static void skip_space(reader *r, bool lines)
{
    for (; r->at < r->len; r->at++) {
        char c = r->text[r->at];
        if (c == '#') {
            while (r->at < r->len && r->text[r->at] != '\n' && r->text[r->at] != '\r')
                r->at++;
            if (r->at == r->len)
                return;
            c = r->text[r->at];
        }
        if (c != ' ' && c != '\t' && !(lines && (c == '\n' || c == '\r')))
            return;
    }
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_';
}

/* The number of the name here; its entry is made when it is new. */
static int read_name(reader *r, uint32_t *ret)
{
    size_t begin = r->at;
    while (r->at < r->len && is_name(r->text[r->at]))
        r->at++;
    if (r->at == begin)
        return fail(r, "a name is missing here");
    int rc = intern_put(&r->g->names, r->text + begin, r->at - begin, ret, r->err);
    if (rc < 0 || *ret <= r->names.len / sizeof(named))
        return rc;
    named n = {.at = begin};
    uint32_t outer = r->name;
    r->name = *ret;
    rc = new_rule(r, &n.rule);
    r->name = outer;
    return rc < 0 ? rc : put(r, &r->names, &n, sizeof n);
}

static named *name_entry(const reader *r, uint32_t number)
{
    return (named *)(void *)r->names.data + number - 1;
}

static int read_hex(reader *r, int digits, uint32_t *ret)
{
    uint32_t value = 0;
    for (int i = 0; i < digits; i++, r->at++) {
        char c = peek(r);
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0)
            return fail(r, "a hexadecimal digit is missing here");
        value = value << 4 | (uint32_t)d;
    }
    *ret = value;
    return 0;
}

static int read_escape(reader *r, uint32_t *ret)
{
    static const char plain[] = "nrt\"\\[]-^/'", means[] = "\n\r\t\"\\[]-^/'";
    size_t begin = r->at++;
    char c = peek(r);
    const char *known = c ? strchr(plain, c) : NULL;
    int rc = 0;
    if (r->at < r->len)
        r->at++;
    if (known)
        *ret = (uint8_t)means[known - plain];
    else if (c == 'x' || c == 'u' || c == 'U')
        rc = read_hex(r, c == 'x' ? 2 : c == 'u' ? 4 : 8, ret);
    else
        return fail_at(r, begin, ST_EFORMAT, "an escape that is not known");
    if (rc == 0 && (*ret > LAST_CODE || (*ret >= 0xD800 && *ret < 0xE000)))
        return fail_at(r, begin, ST_EFORMAT, "no character has this number");
    return rc;
}

static int read_char(reader *r, uint32_t *ret)
{
    size_t used;
    if (peek(r) == '\\')
        return read_escape(r, ret);
    uint32_t c = st_utf8_decode(r->text + r->at, r->len - r->at, &used);
    if (c == ST_UTF8_BAD)
        return fail(r, "not UTF-8");
    r->at += used;
    *ret = c;
    return 0;
}

static int read_literal(reader *r)
{
    size_t begin = r->at++;
    while (r->at < r->len && peek(r) != '"') {
        uint32_t c;
        int rc = read_char(r, &c);
        if (rc == 0)
            rc = push_class(r, &(gbnf_range){c, c}, 1);
        if (rc < 0)
            return rc;
    }
    if (r->at == r->len)
        return fail_at(r, begin, ST_EFORMAT, "this text has no end");
    r->at++;
    return 0;
}

static int by_lo(const void *a, const void *b)
{
    const gbnf_range *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

static int add_range(reader *r, st_buf *out, uint32_t lo, uint32_t hi)
{
    const gbnf_range below = {lo, hi < 0xD7FF ? hi : 0xD7FF};
    const gbnf_range above = {lo > 0xE000 ? lo : 0xE000, hi};
    int rc = 0;
    if (below.lo <= below.hi)
        rc = put(r, out, &below, sizeof below);
    if (rc == 0 && above.lo <= above.hi)
        rc = put(r, out, &above, sizeof above);
    return rc;
}

/* The ranges in order and joined, or all that is not in them; surrogates left out. */
static int settle(reader *r, st_buf *in, bool negated, st_buf *out)
{
    gbnf_range *x = (void *)in->data;
    size_t n = in->len / sizeof *x;
    uint32_t next = 0; /* the first code point that is not decided */
    int rc = 0;
    if (n > 0)
        qsort(x, n, sizeof *x, by_lo);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        uint32_t lo = x[i].lo, hi = x[i].hi;
        if (negated) {
            if (lo > next)
                rc = add_range(r, out, next, lo - 1);
            next = hi >= next ? hi + 1 : next;
            continue;
        }
        for (; i + 1 < n && x[i + 1].lo <= hi + 1; i++)
            hi = x[i + 1].hi > hi ? x[i + 1].hi : hi;
        rc = add_range(r, out, lo, hi);
    }
    if (rc == 0 && negated && next <= LAST_CODE)
        rc = add_range(r, out, next, LAST_CODE);
    return rc;
}

static int read_ranges(reader *r, st_buf *in)
{
    size_t begin = r->at;
    while (r->at < r->len && peek(r) != ']') {
        gbnf_range x;
        size_t at = r->at;
        int rc = read_char(r, &x.lo);
        x.hi = x.lo;
        if (rc == 0 && peek(r) == '-' && r->at + 1 < r->len &&
            r->text[r->at + 1] != ']') {
            r->at++;
            rc = read_char(r, &x.hi);
        }
        if (rc == 0 && x.hi < x.lo)
            return fail_at(r, at, ST_EFORMAT, "a range that goes backwards");
        if (rc == 0)
            rc = put(r, in, &x, sizeof x);
        if (rc < 0)
            return rc;
    }
    if (r->at == r->len)
        return fail_at(r, begin, ST_EFORMAT, "this class has no end");
    return 0;
}

static int read_class(reader *r)
{
    size_t begin = r->at++;
    bool negated = peek(r) == '^';
    st_buf in, out;
    st_buf_init(&in, MOST_BYTES);
    st_buf_init(&out, MOST_BYTES);
    r->at += negated;
    int rc = read_ranges(r, &in);
    r->at++; /* ] */
    if (rc == 0)
        rc = settle(r, &in, negated, &out);
    if (rc == 0 && out.len == 0)
        rc = fail_at(r, begin, ST_EFORMAT, "a class without characters");
    if (rc == 0)
        rc = push_class(r, (const void *)out.data, out.len / sizeof(gbnf_range));
    st_buf_done(&in);
    st_buf_done(&out);
    return rc;
}

static int read_any(reader *r)
{
    static const gbnf_range any[] = {{0, 0xD7FF}, {0xE000, LAST_CODE}};
    r->at++;
    return push_class(r, any, 2);
}

/* One symbol for what stands in the work from `begin` on; it is taken out. */
static int as_one(reader *r, size_t begin, gbnf_symbol *ret)
{
    const gbnf_symbol *s = (void *)r->work.data;
    size_t n = n_work(r) - begin;
    int rc = 0;
    if (n == 1) {
        *ret = s[begin];
    } else {
        ret->is_rule = true;
        rc = new_rule(r, &ret->index);
        if (rc == 0)
            rc = add_alt(r, ret->index, n ? s + begin : NULL, n);
    }
    r->work.len = begin * sizeof *s;
    return rc;
}

/* x repeated any number of times: R ::= | R x */
static int push_star(reader *r, gbnf_symbol x)
{
    gbnf_symbol loop[] = {{true, 0}, x};
    int rc = new_rule(r, &loop[0].index);
    if (rc == 0)
        rc = add_alt(r, loop[0].index, NULL, 0);
    if (rc == 0)
        rc = add_alt(r, loop[0].index, loop, 2);
    return rc < 0 ? rc : push(r, loop[0]);
}

/* x at most n times: R ::= | x R' */
static int push_up_to(reader *r, gbnf_symbol x, uint32_t n)
{
    gbnf_symbol both[] = {x, {true, 0}};
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        uint32_t rule;
        rc = new_rule(r, &rule);
        if (rc == 0)
            rc = add_alt(r, rule, NULL, 0);
        if (rc == 0)
            rc = add_alt(r, rule, both, i ? 2 : 1);
        both[1].index = rule;
    }
    return rc < 0 || n == 0 ? rc : push(r, both[1]);
}

static int read_count(reader *r, uint32_t *ret)
{
    uint32_t value = 0;
    size_t begin = r->at;
    for (; peek(r) >= '0' && peek(r) <= '9'; r->at++) {
        value = 10 * value + (uint32_t)(peek(r) - '0');
        if (value > GBNF_MAX_COUNT)
            return fail_at(r, begin, ST_ELIMIT, "at most 10000 repetitions are taken");
    }
    *ret = value;
    return r->at == begin ? fail(r, "a number is missing here") : 0;
}

/* {m}, {m,} or {m,n}; *ret_most UINT32_MAX: no end. */
static int read_counts(reader *r, uint32_t *ret_least, uint32_t *ret_most)
{
    size_t begin = r->at++;
    skip_space(r, true);
    int rc = peek(r) == ',' ? *ret_least = 0, 0 : read_count(r, ret_least);
    if (rc < 0)
        return rc;
    *ret_most = *ret_least;
    skip_space(r, true);
    if (peek(r) == ',') {
        r->at++;
        skip_space(r, true);
        *ret_most = UINT32_MAX;
        if (peek(r) != '}')
            rc = read_count(r, ret_most);
        skip_space(r, true);
    }
    if (rc == 0 && peek(r) != '}')
        return fail(r, "a } is missing here");
    if (rc == 0 && *ret_most < *ret_least)
        return fail_at(r, begin, ST_EFORMAT, "the most is less than the least");
    r->at++;
    return rc;
}

/* A quantifier behind the symbols from `begin` on. */
static int read_quantifier(reader *r, size_t begin, bool any)
{
    uint32_t least = 0, most = UINT32_MAX;
    gbnf_symbol x;
    int rc = 0;
    if (!any)
        return fail(r, "nothing stands before this quantifier");
    if (peek(r) == '{') {
        rc = read_counts(r, &least, &most);
    } else {
        least = peek(r) == '+';
        most = peek(r) == '?' ? 1 : UINT32_MAX;
        r->at++;
    }
    if (rc == 0)
        rc = as_one(r, begin, &x);
    for (uint32_t i = 0; rc == 0 && i < least; i++)
        rc = push(r, x);
    if (rc < 0)
        return rc;
    return most == UINT32_MAX ? push_star(r, x) : push_up_to(r, x, most - least);
}

static int read_alternatives(reader *r, uint32_t rule, bool nested);

static int read_group(reader *r)
{
    size_t begin = r->at++;
    uint32_t rule;
    if (r->depth == GBNF_MAX_NESTING)
        return fail_at(r, begin, ST_ELIMIT, "groups are nested too deep");
    r->depth++;
    int rc = new_rule(r, &rule);
    if (rc == 0)
        rc = read_alternatives(r, rule, true);
    r->depth--;
    if (rc == 0 && peek(r) != ')')
        return r->at < r->len ? fail(r, "a ) is missing here")
                              : fail_at(r, begin, ST_EFORMAT, "this group has no end");
    r->at++;
    return rc < 0 ? rc : push(r, (gbnf_symbol){true, rule});
}

static int read_use(reader *r)
{
    uint32_t name;
    int rc = read_name(r, &name);
    return rc < 0 ? rc : push(r, (gbnf_symbol){true, name_entry(r, name)->rule});
}

/* The next element of a sequence; *ret_none when none stands here. */
static int read_element(reader *r, bool *ret_none)
{
    char c = peek(r);
    *ret_none = false;
    if (c == '"')
        return read_literal(r);
    if (c == '[')
        return read_class(r);
    if (c == '.')
        return read_any(r);
    if (c == '(')
        return read_group(r);
    if (c == '<' || c == '!') {
        int rc = fail_at(r, r->at, ST_EUNSUPPORTED, "tokens are not taken, only text");
        st_err_hint(r->err, "write the text of the token in quotes");
        return rc;
    }
    if (is_name(c))
        return read_use(r);
    *ret_none = true;
    return 0;
}

/* Elements and their quantifiers, as one alternative of the rule. */
static int read_sequence(reader *r, uint32_t rule, bool nested)
{
    size_t base = n_work(r), begin = base;
    bool any = false, none = false;
    int rc = 0;
    while (rc == 0 && !none) {
        char c = peek(r);
        if (c && strchr("*+?{", c)) {
            rc = read_quantifier(r, begin, any);
        } else {
            begin = n_work(r);
            rc = read_element(r, &none);
            any = true;
        }
        if (rc == 0 && !none)
            skip_space(r, nested);
    }
    const gbnf_symbol *s = (const void *)r->work.data;
    size_t n = n_work(r) - base;
    if (rc == 0)
        rc = add_alt(r, rule, n ? s + base : NULL, n);
    r->work.len = base * sizeof *s;
    return rc;
}

static int read_alternatives(reader *r, uint32_t rule, bool nested)
{
    for (;;) {
        skip_space(r, true);
        int rc = read_sequence(r, rule, nested);
        if (rc < 0)
            return rc;
        size_t at = r->at;
        skip_space(r, true); /* an alternative may begin a line */
        if (peek(r) != '|') {
            r->at = nested ? r->at : at;
            return 0;
        }
        r->at++;
    }
}

static int read_rule(reader *r)
{
    size_t begin = r->at;
    int rc = read_name(r, &r->name);
    if (rc < 0)
        return rc;
    named *n = name_entry(r, r->name);
    if (n->defined)
        return fail_at(r, begin, ST_EFORMAT, "this rule is there already");
    n->defined = true;
    uint32_t rule = n->rule;
    skip_space(r, false);
    if (r->len - r->at < 3 || memcmp(r->text + r->at, "::=", 3) != 0)
        return fail(r, "::= is missing here");
    r->at += 3;
    rc = read_alternatives(r, rule, false);
    if (rc == 0 && r->at < r->len && peek(r) != '\n' && peek(r) != '\r')
        return fail(r, "this cannot stand here");
    return rc;
}

/* Alternatives by rule. */
static int sort_alts(reader *r, st_err *err)
{
    gbnf *g = r->g;
    const gbnf_alt *in = (const void *)r->alts.data;
    uint32_t n = (uint32_t)(r->alts.len / sizeof *in), at = 0;
    g->alts = st_alloc_n(n, sizeof *g->alts);
    if (!g->alts)
        return st_err_set(err, ST_ENOMEM, "grammar: out of memory");
    for (uint32_t i = 0; i < n; i++)
        g->rules[in[i].rule].n++;
    for (uint32_t i = 0; i < g->n_rules; i++) {
        g->rules[i].begin = at;
        at += g->rules[i].n;
        g->rules[i].n = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        gbnf_rule *rule = &g->rules[in[i].rule];
        g->alts[rule->begin + rule->n++] = in[i];
    }
    g->n_alts = n;
    return 0;
}

/* Every name that is used has a rule, and there is a root. */
static int check_names(reader *r)
{
    bool root = false;
    for (uint32_t i = 1; i <= r->g->names.n; i++) {
        const named *n = name_entry(r, i);
        size_t len;
        const char *name = intern_get(&r->g->names, i, &len);
        if (!n->defined)
            return fail_at(r, n->at, ST_EFORMAT, "a rule of this name is missing");
        if (len == 4 && memcmp(name, "root", 4) == 0) {
            root = true;
            r->g->root = n->rule;
        }
    }
    return root ? 0 : fail_at(r, 0, ST_EFORMAT, "the rule root is missing");
}

static int read_all(reader *r)
{
    int rc = 0;
    for (skip_space(r, true); rc == 0 && r->at < r->len; skip_space(r, true))
        rc = read_rule(r);
    if (rc == 0)
        rc = check_names(r);
    if (rc < 0)
        return rc;
    gbnf *g = r->g;
    g->n_rules = (uint32_t)(r->rules.len / sizeof *g->rules);
    g->n_symbols = (uint32_t)(r->symbols.len / sizeof *g->symbols);
    g->rules = (void *)st_buf_detach(&r->rules, &(size_t){0});
    if (g->n_symbols > 0)
        g->symbols = (void *)st_buf_detach(&r->symbols, &(size_t){0});
    if (!g->rules)
        return st_err_set(r->err, ST_ENOMEM, "grammar: out of memory");
    return sort_alts(r, r->err);
}

int gbnf_read(const char *text, size_t len, gbnf **ret, st_err *err)
{
    reader r = {.text = text, .len = len, .err = err};
    st_buf *bufs[] = {&r.rules, &r.alts, &r.symbols, &r.work, &r.names};
    r.g = st_zalloc_n(1, sizeof *r.g);
    if (!r.g)
        return st_err_set(err, ST_ENOMEM, "grammar: out of memory");
    for (size_t i = 0; i < ST_COUNT(bufs); i++)
        st_buf_init(bufs[i], MOST_BYTES);
    int rc = read_all(&r);
    for (size_t i = 0; i < ST_COUNT(bufs); i++)
        st_buf_done(bufs[i]);
    if (rc < 0) {
        gbnf_free(r.g);
        return rc;
    }
    *ret = r.g;
    return 0;
}

void gbnf_free(gbnf *g)
{
    if (!g)
        return;
    st_free(g->rules);
    st_free(g->alts);
    st_free(g->symbols);
    intern_done(&g->classes);
    intern_done(&g->names);
    st_free(g);
}
