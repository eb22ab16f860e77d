/* task/relation.c - what the fields of an answer must have to do with each other.
 *
 * A relation is kept as a list of operations in postfix order, left side, right side and
 * the comparison last; it runs over a small stack. */
#include "task/relation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_OPS = 64, MAX_NEST = 16, MAX_TEXT = 1 << 20 };

typedef enum op_kind {
    OP_FIELD,
    OP_SUM,
    OP_COUNT,
    OP_NUMBER,
    OP_TEXT,
    OP_ADD,
    OP_TAKE,
    OP_TIMES,
} op_kind;

typedef enum compare { EQUAL, UNEQUAL, LESS, MOST, MORE, LEAST } compare;
static const char *const compare_names[] = {
    [EQUAL] = "==", [UNEQUAL] = "!=", [LESS] = "<",
    [MOST] = "<=",  [MORE] = ">",     [LEAST] = ">=",
};

typedef struct op {
    op_kind kind;
    double number;
    char *text; /* pointer or text; owned */
} op;

struct relation {
    op ops[MAX_OPS];
    uint32_t n;
    compare how;
    uint32_t pointers[MAX_OPS]; /* which operations have one */
    uint32_t n_pointers;
};

typedef enum value_kind { VALUE_NONE, VALUE_NUMBER, VALUE_TEXT, VALUE_WRONG } value_kind;

typedef struct value {
    value_kind kind;
    double number;
    st_buf text;
    const char *field; /* where a VALUE_WRONG comes from */
} value;

/* ---- parsing ---- */

typedef struct parser {
    relation *r;
    const char *text;
    const char *at;
    unsigned nest;
    st_err *err;
} parser;

static int expected(const parser *p, const char *what)
{
    return st_err_set(p->err, ST_EINVAL, "at character %zu: expected %s",
                      (size_t)(p->at - p->text) + 1, what);
}

static void skip_blanks(parser *p)
{
    p->at += strspn(p->at, " \t\r\n");
}

static bool take(parser *p, const char *word)
{
    size_t len = strlen(word);
    skip_blanks(p);
    if (strncmp(p->at, word, len) != 0)
        return false;
    p->at += len;
    return true;
}

/* Keep an operation; its text is copied from the text at hand. */
static int add_op(parser *p, op_kind kind, double number, const char *text, size_t len)
{
    relation *r = p->r;
    op o = {.kind = kind, .number = number};
    if (r->n == MAX_OPS)
        return st_err_set(p->err, ST_EINVAL, "more than %d parts", MAX_OPS);
    if (text && !(o.text = st_dup(text, len)))
        return st_err_set(p->err, ST_ENOMEM, "no memory for a rule");
    if (kind == OP_FIELD || kind == OP_SUM || kind == OP_COUNT)
        r->pointers[r->n_pointers++] = r->n;
    r->ops[r->n++] = o;
    return 0;
}

static bool has_star(const char *pointer, size_t len)
{
    for (size_t i = 0; i + 1 < len; i++)
        if (pointer[i] == '/' && pointer[i + 1] == '*' &&
            (i + 2 == len || pointer[i + 2] == '/'))
            return true;
    return false;
}

static int parse_pointer(parser *p, op_kind kind)
{
    skip_blanks(p);
    size_t len = strcspn(p->at, " \t\r\n)=!<>");
    if (*p->at != '/')
        return expected(p, "a field, like /total");
    if (kind == OP_FIELD && has_star(p->at, len))
        return expected(p, "one field; * goes with sum(...) and count(...)");
    int rc = add_op(p, kind, 0, p->at, len);
    p->at += len;
    return rc;
}

static int parse_call(parser *p, op_kind kind)
{
    int rc = parse_pointer(p, kind);
    if (rc == 0 && !take(p, ")"))
        rc = expected(p, "')'");
    return rc;
}

static int parse_text(parser *p)
{
    char quote = *p->at;
    const char *end = strchr(p->at + 1, quote);
    if (!end)
        return expected(p, "a text that ends");
    int rc = add_op(p, OP_TEXT, 0, p->at + 1, (size_t)(end - p->at) - 1);
    p->at = end + 1;
    return rc;
}

static int parse_number(parser *p)
{
    char *end;
    size_t len = strspn(p->at, "0123456789.-");
    double number = strtod(p->at, &end);
    if (len == 0 || end == p->at || !isfinite(number))
        return expected(p, "a field, a number, a 'text', sum(...), count(...) or '('");
    p->at = end;
    return add_op(p, OP_NUMBER, number, NULL, 0);
}

static int parse_sum(parser *p);

static int parse_part(parser *p)
{
    skip_blanks(p);
    if (*p->at == '/')
        return parse_pointer(p, OP_FIELD);
    if (*p->at == '\'' || *p->at == '"')
        return parse_text(p);
    if (take(p, "sum("))
        return parse_call(p, OP_SUM);
    if (take(p, "count("))
        return parse_call(p, OP_COUNT);
    if (!take(p, "("))
        return parse_number(p);
    if (++p->nest > MAX_NEST)
        return expected(p, "fewer parentheses");
    int rc = parse_sum(p);
    p->nest--;
    if (rc == 0 && !take(p, ")"))
        rc = expected(p, "')'");
    return rc;
}

static int parse_product(parser *p)
{
    int rc = parse_part(p);
    while (rc == 0 && take(p, "*")) {
        rc = parse_part(p);
        if (rc == 0)
            rc = add_op(p, OP_TIMES, 0, NULL, 0);
    }
    return rc;
}

static int parse_sum(parser *p)
{
    int rc = parse_product(p);
    while (rc == 0) {
        bool minus = take(p, "-");
        if (!minus && !take(p, "+"))
            return 0;
        rc = parse_product(p);
        if (rc == 0)
            rc = add_op(p, minus ? OP_TAKE : OP_ADD, 0, NULL, 0);
    }
    return rc;
}

static int parse_compare(parser *p)
{
    static const compare longest_first[] = {EQUAL, UNEQUAL, MOST, LEAST, LESS, MORE};
    for (size_t i = 0; i < ST_COUNT(longest_first); i++) {
        if (!take(p, compare_names[longest_first[i]]))
            continue;
        p->r->how = longest_first[i];
        return 0;
    }
    return expected(p, "==, !=, <, <=, > or >=");
}

int relation_parse(const char *text, relation **ret, st_err *err)
{
    relation *r = st_zalloc_n(1, sizeof *r);
    parser p = {.r = r, .text = text, .at = text, .err = err};
    if (!r)
        return st_err_set(err, ST_ENOMEM, "no memory for a rule");
    int rc = parse_sum(&p);
    if (rc == 0)
        rc = parse_compare(&p);
    if (rc == 0)
        rc = parse_sum(&p);
    skip_blanks(&p);
    if (rc == 0 && *p.at)
        rc = expected(&p, "the end, or an operator between blanks");
    if (rc == 0 && r->n_pointers == 0)
        rc = st_err_set(err, ST_EINVAL, "names no field");
    if (rc) {
        relation_free(r);
        return rc;
    }
    *ret = r;
    return 0;
}

void relation_free(relation *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->n; i++)
        st_free(r->ops[i].text);
    st_free(r);
}

bool relation_compares_equal(const relation *r)
{
    return r->how == EQUAL;
}

uint32_t relation_n(const relation *r)
{
    return r->n_pointers;
}

const char *relation_pointer(const relation *r, uint32_t i)
{
    return r->ops[r->pointers[i]].text;
}

/* ---- evaluation ---- */

static bool reads_as_number(const char *text, double *ret)
{
    char *end;
    if (!text[0] || text[strspn(text, "0123456789.-")])
        return false;
    *ret = strtod(text, &end);
    return !*end && isfinite(*ret);
}

/* What an entry says; the value's text buffer is ready. */
static int take_entry(const fields *f, uint32_t i, value *v)
{
    field_kind kind = f->at[i].kind;
    v->field = fields_pointer(f, i);
    if (kind == FIELD_NULL)
        return 0;
    v->kind = VALUE_WRONG;
    if (kind != FIELD_NUMBER && kind != FIELD_TEXT)
        return 0;
    int rc = fields_value(f, i, &v->text);
    if (rc)
        return rc;
    v->kind = VALUE_TEXT;
    if (kind == FIELD_NUMBER)
        v->number = strtod(v->text.data, NULL);
    if (kind == FIELD_NUMBER ||
        (v->text.len && reads_as_number(v->text.data, &v->number)))
        v->kind = VALUE_NUMBER;
    return 0;
}

static int take_field(const fields *f, const char *pointer, value *v)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (strcmp(fields_pointer(f, i), pointer) == 0)
            return take_entry(f, i, v);
    return 0;
}

static int take_sum(const fields *f, const char *form, value *v)
{
    double sum = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        value one = {0};
        if (!fields_match(form, fields_pointer(f, i)))
            continue;
        st_buf_init(&one.text, MAX_TEXT);
        int rc = take_entry(f, i, &one);
        st_buf_done(&one.text);
        if (rc)
            return rc;
        if (one.kind == VALUE_TEXT || one.kind == VALUE_WRONG) {
            v->kind = VALUE_WRONG;
            v->field = one.field;
            return 0;
        }
        sum += one.number;
    }
    v->kind = VALUE_NUMBER;
    v->number = sum;
    return 0;
}

/* Items of an array, or the fields of a form with "*". */
static void take_count(const fields *f, const char *form, value *v)
{
    bool star = has_star(form, strlen(form));
    v->kind = star ? VALUE_NUMBER : VALUE_NONE;
    for (uint32_t i = 0; i < f->n; i++) {
        if (!fields_match(form, fields_pointer(f, i)))
            continue;
        v->field = fields_pointer(f, i);
        if (star) {
            v->number++;
        } else if (f->at[i].kind == FIELD_ARRAY) {
            v->kind = VALUE_NUMBER;
            for (uint32_t j = i + 1; j < f->n; j++)
                v->number += f->at[j].parent == i;
        } else if (f->at[i].kind != FIELD_NULL) {
            v->kind = VALUE_WRONG;
        }
    }
}

static void combine(op_kind kind, value *a, const value *b)
{
    if (a->kind == VALUE_WRONG || a->kind == VALUE_NONE)
        return;
    if (b->kind != VALUE_NUMBER || a->kind != VALUE_NUMBER) {
        a->field = a->kind == VALUE_TEXT ? a->field : b->field;
        a->kind = b->kind == VALUE_NONE ? VALUE_NONE : VALUE_WRONG;
        return;
    }
    if (kind == OP_TIMES)
        a->number *= b->number;
    else
        a->number += kind == OP_ADD ? b->number : -b->number;
}

static int run_op(const op *o, const fields *f, value *stack, uint32_t *n)
{
    if (o->kind >= OP_ADD) {
        value *b = &stack[--*n];
        combine(o->kind, &stack[*n - 1], b);
        st_buf_done(&b->text);
        return 0;
    }
    value *v = &stack[(*n)++];
    *v = (value){.number = o->number};
    st_buf_init(&v->text, MAX_TEXT);
    if (o->kind == OP_FIELD)
        return take_field(f, o->text, v);
    if (o->kind == OP_SUM)
        return take_sum(f, o->text, v);
    if (o->kind == OP_COUNT) {
        take_count(f, o->text, v);
        return 0;
    }
    v->kind = o->kind == OP_TEXT ? VALUE_TEXT : VALUE_NUMBER;
    return o->kind == OP_TEXT ? st_buf_str(&v->text, o->text) : 0;
}

static bool holds(compare how, int order)
{
    switch (how) {
    case EQUAL:
        return order == 0;
    case UNEQUAL:
        return order != 0;
    case LESS:
        return order < 0;
    case MOST:
        return order <= 0;
    case MORE:
        return order > 0;
    case LEAST:
        return order >= 0;
    }
    return false;
}

static void put_side(const value *v, char *to, size_t size)
{
    if (v->kind == VALUE_NUMBER)
        snprintf(to, size, "%.10g", v->number);
    else
        snprintf(to, size, "'%.40s'", v->text.data ? v->text.data : "");
}

static bool compare_sides(compare how, double within, const value *a, const value *b)
{
    if (a->kind == VALUE_NUMBER && b->kind == VALUE_NUMBER) {
        double off = a->number - b->number;
        double slack = 1e-9 * (fabs(a->number) + fabs(b->number));
        if (how == EQUAL || how == UNEQUAL)
            slack += how == EQUAL ? within : 0;
        return holds(how, fabs(off) <= slack ? 0 : off < 0 ? -1 : 1);
    }
    return holds(
        how, strcmp(a->text.data ? a->text.data : "", b->text.data ? b->text.data : ""));
}

static bool judge(const relation *r, double within, const value *a, const value *b,
                  char *why, size_t size)
{
    char left[48];
    char right[48];
    if (a->kind == VALUE_NONE || b->kind == VALUE_NONE)
        return true;
    if (a->kind == VALUE_WRONG || b->kind == VALUE_WRONG) {
        const value *bad = a->kind == VALUE_WRONG ? a : b;
        snprintf(why, size, "%.60s is not a number", bad->field ? bad->field : "a text");
        return false;
    }
    if (compare_sides(r->how, within, a, b))
        return true;
    put_side(a, left, sizeof left);
    put_side(b, right, sizeof right);
    snprintf(why, size, "%s is not %s %s", left, compare_names[r->how], right);
    return false;
}

int relation_holds(const relation *r, double within, const fields *f, bool *ret_holds,
                   char *why, size_t size, st_err *err)
{
    value stack[MAX_OPS] = {0};
    uint32_t n = 0;
    int rc = 0;
    for (uint32_t i = 0; i < r->n && rc == 0; i++)
        rc = run_op(&r->ops[i], f, stack, &n);
    if (rc == 0)
        *ret_holds = judge(r, within, &stack[0], &stack[1], why, size);
    else
        st_err_set(err, rc, "no memory for a check");
    while (n)
        st_buf_done(&stack[--n].text);
    return rc;
}
