/* grammar/regex_tree.c - reads regular expressions: alternatives, rows, repeats, groups.
 *
 * One function per rule of the standard's grammar, each leaving the parser behind what it
 * read.  Atoms that are sets of characters are read by regex_class.c. */
#include "grammar/regex_tree.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "grammar/regex_reader.h"
#include <string.h>

int regex_error(regex_reader *p, size_t at, int code, const char *what)
{
    size_t character = 1;
    for (size_t i = 0; i < at; i++)
        character += ((uint8_t)p->text[i] & 0xC0) != 0x80;
    return st_err_set(p->err, code, "pattern, character %zu: %s", character, what);
}

static int refuse(regex_reader *p, size_t at, const char *what, const char *hint)
{
    regex_error(p, at, ST_EUNSUPPORTED, what);
    st_err_hint(p->err, "%s", hint);
    return ST_EUNSUPPORTED;
}

static int add_node(regex_reader *p, regex_node node, uint32_t *ret)
{
    regex_tree *t = p->tree;
    if (t->n_nodes == t->cap) {
        uint32_t cap = t->cap ? 2 * t->cap : 32;
        regex_node *nodes = st_realloc_n(t->nodes, cap, sizeof *nodes);
        if (!nodes)
            return st_err_set(p->err, ST_ENOMEM, "out of memory for a pattern");
        t->nodes = nodes;
        t->cap = cap;
    }
    t->nodes[t->n_nodes] = node;
    *ret = t->n_nodes++;
    return 0;
}

static int add_set(regex_reader *p, const code_set *set, uint32_t *ret)
{
    uint32_t number;
    const void *ranges = set->n ? (const void *)set->ranges : "";
    int rc =
        intern_put(&p->tree->sets, ranges, set->n * sizeof *set->ranges, &number, p->err);
    return rc ? rc : add_node(p, (regex_node){.kind = REGEX_SET, .set = number}, ret);
}

/* The name of a group, behind "(?<". */
static int read_group_name(regex_reader *p)
{
    size_t from = p->at;
    while (p->at < p->len && p->text[p->at] != '>' && p->text[p->at] != ')')
        p->at++;
    if (p->at == from || p->at == p->len || p->text[p->at] != '>')
        return regex_error(p, from, ST_EFORMAT, "a group's name has no end");
    p->at++;
    return 0;
}

static int read_either(regex_reader *p, uint32_t *ret);

/* Behind "(?": which group it is.  *ret_kind REGEX_ROW: a plain one. */
static int read_group_kind(regex_reader *p, regex_kind *ret_kind)
{
    char c = p->at < p->len ? p->text[p->at] : '\0';
    size_t from = p->at - 2;
    p->at++;
    *ret_kind = REGEX_ROW;
    if (c == ':')
        return 0;
    if (c == '=' || c == '!') {
        *ret_kind = c == '=' ? REGEX_LOOK : REGEX_NO_LOOK;
        return 0;
    }
    if (c != '<')
        return refuse(p, from, "this kind of group is not supported",
                      "flags like (?i): write the letters as [Aa]; groups: use (?:...)");
    c = p->at < p->len ? p->text[p->at] : '\0';
    if (c == '=' || c == '!')
        return refuse(p, from, "look-behind is not supported",
                      "say what may stand before instead: a class or an alternative");
    return read_group_name(p);
}

static int read_group(regex_reader *p, uint32_t *ret)
{
    size_t from = p->at++;
    regex_kind kind = REGEX_ROW;
    uint32_t child;
    int rc = 0;
    if (++p->depth > REGEX_MAX_DEPTH)
        return regex_error(p, from, ST_ELIMIT, "groups are nested too deep");
    if (p->at < p->len && p->text[p->at] == '?') {
        p->at++;
        rc = read_group_kind(p, &kind);
    }
    if (!rc)
        rc = read_either(p, &child);
    if (rc < 0)
        return rc;
    if (p->at == p->len)
        return regex_error(p, from, ST_EFORMAT, "'(' has no ')'");
    p->at++;
    p->depth--;
    if (kind == REGEX_ROW) {
        *ret = child;
        return 0;
    }
    uint32_t look = p->tree->n_looks++;
    return add_node(p, (regex_node){.kind = kind, .child = child, .set = look}, ret);
}

/* A decimal number; false when there is none.  Large ones stop at UINT32_MAX - 1. */
static bool read_count(regex_reader *p, uint32_t *ret)
{
    size_t from = p->at;
    uint64_t n = 0;
    for (; p->at < p->len && p->text[p->at] >= '0' && p->text[p->at] <= '9'; p->at++) {
        n = 10 * n + (uint64_t)(p->text[p->at] - '0');
        if (n >= UINT32_MAX)
            n = UINT32_MAX - 1;
    }
    *ret = (uint32_t)n;
    return p->at > from;
}

/* "{2}", "{2,}" or "{2,5}"; anything else leaves the parser where it was: a brace is then
 * a character like any other. */
static bool read_braces(regex_reader *p, uint32_t *min, uint32_t *max)
{
    size_t from = p->at++;
    bool good = read_count(p, min);
    *max = *min;
    if (good && p->at < p->len && p->text[p->at] == ',') {
        p->at++;
        if (!read_count(p, max))
            *max = UINT32_MAX;
    }
    good = good && p->at < p->len && p->text[p->at] == '}';
    p->at = good ? p->at + 1 : from;
    return good;
}

/* How often what was read comes, if that is said.  No sign: min = max = 1. */
static bool read_repeat(regex_reader *p, uint32_t *min, uint32_t *max)
{
    char c = p->at < p->len ? p->text[p->at] : '\0';
    *min = c == '+';
    *max = c == '?' ? 1 : UINT32_MAX;
    if (c == '*' || c == '+' || c == '?')
        p->at++;
    else if (c != '{' || !read_braces(p, min, max))
        return false;
    if (p->at < p->len && p->text[p->at] == '?') /* as few as possible: the same texts */
        p->at++;
    return true;
}

/* Characters that stand for themselves, sets and escapes. */
static int read_character(regex_reader *p, uint32_t *ret)
{
    code_set set = {0};
    int rc = regex_read_set(p, &set);
    if (!rc)
        rc = add_set(p, &set, ret);
    code_set_done(&set);
    return rc;
}

static bool read_assertion(regex_reader *p, regex_kind *ret)
{
    char c = p->text[p->at];
    char next = p->at + 1 < p->len ? p->text[p->at + 1] : '\0';
    if (c == '^' || c == '$') {
        *ret = c == '^' ? REGEX_BEGIN : REGEX_END;
        p->at++;
        return true;
    }
    if (c != '\\' || (next != 'b' && next != 'B'))
        return false;
    *ret = next == 'b' ? REGEX_WORD : REGEX_NO_WORD;
    p->tree->words = true;
    p->at += 2;
    return true;
}

/* One piece of a row, with how often it comes. */
static int read_piece(regex_reader *p, uint32_t *ret)
{
    size_t from = p->at;
    char c = p->text[p->at];
    uint32_t min, max, child = 0;
    regex_kind kind;
    bool repeatable = true;
    int rc;
    if (read_assertion(p, &kind)) {
        repeatable = false;
        rc = add_node(p, (regex_node){.kind = kind}, &child);
    } else if (c == '(') {
        rc = read_group(p, &child);
    } else if (read_repeat(p, &min, &max)) {
        return regex_error(p, from, ST_EFORMAT, "nothing to repeat");
    } else {
        rc = read_character(p, &child);
    }
    size_t sign = p->at;
    if (!rc && read_repeat(p, &min, &max)) {
        if (!repeatable)
            return regex_error(p, sign, ST_EFORMAT, "nothing to repeat");
        if (max < min)
            return regex_error(p, sign, ST_EFORMAT, "the counts are in the wrong order");
        if (min > REGEX_MAX_COUNT || (max != UINT32_MAX && max > REGEX_MAX_COUNT))
            return regex_error(p, sign, ST_ELIMIT, "the count is too large");
        rc = add_node(
            p, (regex_node){.kind = REGEX_REPEAT, .min = min, .max = max, .child = child},
            &child);
    }
    if (!rc)
        *ret = child;
    return rc;
}

/* Several children under one node; one child is itself, none is empty. */
static int read_row(regex_reader *p, uint32_t *ret)
{
    uint32_t first = 0, last = 0, node = 0, n = 0;
    while (p->at < p->len && p->text[p->at] != '|' && p->text[p->at] != ')') {
        int rc = read_piece(p, &node);
        if (rc < 0)
            return rc;
        if (last)
            p->tree->nodes[last].after = node;
        else
            first = node;
        last = node;
        n++;
    }
    if (n == 1) {
        *ret = first;
        return 0;
    }
    regex_node row = {.kind = n ? REGEX_ROW : REGEX_EMPTY, .child = first};
    return add_node(p, row, ret);
}

static int read_either(regex_reader *p, uint32_t *ret)
{
    uint32_t first, last, node;
    int rc = read_row(p, &first);
    if (rc < 0 || p->at == p->len || p->text[p->at] != '|') {
        if (!rc)
            *ret = first;
        return rc;
    }
    for (last = first; !rc && p->at < p->len && p->text[p->at] == '|'; last = node) {
        p->at++;
        rc = read_row(p, &node);
        if (rc < 0)
            return rc;
        p->tree->nodes[last].after = node;
    }
    return add_node(p, (regex_node){.kind = REGEX_EITHER, .child = first}, ret);
}

int regex_parse(const char *pattern, size_t len, regex_tree *ret, st_err *err)
{
    regex_tree t = {0};
    regex_reader p = {.text = pattern, .len = len, .tree = &t, .err = err};
    size_t bad;
    if (len > REGEX_MAX_LEN)
        return st_err_set(err, ST_ELIMIT, "the pattern is longer than %d bytes",
                          (int)REGEX_MAX_LEN);
    if (!st_utf8_valid(pattern, len, &bad))
        return st_err_set(err, ST_EFORMAT, "the pattern is not well-formed UTF-8");
    uint32_t none; /* number 0 is no node */
    int rc = add_node(&p, (regex_node){.kind = REGEX_EMPTY}, &none);
    if (!rc)
        rc = read_either(&p, &t.root);
    if (!rc && p.at < len)
        rc = regex_error(&p, p.at, ST_EFORMAT, "')' has no '('");
    if (rc < 0) {
        regex_tree_done(&t);
        return rc;
    }
    *ret = t;
    return 0;
}

void regex_tree_done(regex_tree *t)
{
    st_free(t->nodes);
    intern_done(&t->sets);
    *t = (regex_tree){0};
}
