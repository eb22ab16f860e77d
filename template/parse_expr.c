/* template/parse_expr.c - operators, with jinja2's precedence.
 *
 * if-else < or < and < not < comparisons < + - < ~ < * / // % < ** < unary < postfix,
 * filters and tests. */
#include "template/ast.h"

static int parse_unary(parse_state *p, bool filters, node **ret)
{
    int line = tok(p)->line;
    node *n = NULL, *inner;
    int rc = parse_enter(p);
    if (rc)
        return rc;
    bool minus = skip_op(p, '-'), plus = !minus && skip_op(p, '+');
    if (minus || plus) {
        rc = parse_unary(p, false, &inner);
        if (!rc)
            rc = node_join(p, minus ? N_NEG : N_POS, line, inner, NULL, &n);
    } else {
        rc = parse_primary(p, NULL, &n);
    }
    if (!rc)
        rc = parse_postfix(p, &n);
    if (!rc && filters)
        rc = parse_suffixes(p, &n);
    p->depth--;
    if (!rc)
        *ret = n;
    return rc;
}

typedef struct op_row {
    int op;
    top is;
} op_row;

/* One level of binary operators, left to right. */
static int parse_binary(parse_state *p, int (*operand)(parse_state *, node **),
                        const op_row *rows, size_t n_rows, node **ret)
{
    node *left = NULL, *right = NULL;
    int rc = operand(p, &left);
    for (bool found = true; !rc && found;) {
        found = false;
        for (size_t i = 0; i < n_rows && !found; i++) {
            int line = tok(p)->line;
            if (!skip_op(p, rows[i].op))
                continue;
            found = true;
            rc = operand(p, &right);
            if (!rc)
                rc = node_join(p, N_BINARY, line, left, right, &left);
            if (!rc)
                left->op = (uint8_t)rows[i].is;
        }
    }
    if (!rc)
        *ret = left;
    return rc;
}

static int parse_filtered(parse_state *p, node **ret)
{
    return parse_unary(p, true, ret);
}

static int parse_power(parse_state *p, node **ret)
{
    static const op_row rows[] = {{OP_STAR2, OP_POW}};
    return parse_binary(p, parse_filtered, rows, ST_COUNT(rows), ret);
}

static int parse_product(parse_state *p, node **ret)
{
    static const op_row rows[] = {
        {'*', OP_MUL}, {'/', OP_DIV}, {OP_SLASH2, OP_FLOORDIV}, {'%', OP_MOD}};
    return parse_binary(p, parse_power, rows, ST_COUNT(rows), ret);
}

static int parse_concat(parse_state *p, node **ret)
{
    node_list parts = {0};
    node *n;
    int line = tok(p)->line;
    int rc = parse_product(p, &n);
    if (rc || !tok_is_op(p, '~')) {
        if (!rc)
            *ret = n;
        return rc;
    }
    rc = node_list_add(p, &parts, n);
    while (!rc && skip_op(p, '~')) {
        rc = parse_product(p, &n);
        if (!rc)
            rc = node_list_add(p, &parts, n);
    }
    node *all = rc ? NULL : node_new(p, N_CONCAT, line);
    if (!all)
        return p->r.err->code;
    *ret = all;
    return node_take(p, all, &parts);
}

static int parse_sum(parse_state *p, node **ret)
{
    static const op_row rows[] = {{'+', OP_ADD}, {'-', OP_SUB}};
    return parse_binary(p, parse_concat, rows, ST_COUNT(rows), ret);
}

/* The comparison at the present token, skipped; false when there is none. */
static bool skip_compare(parse_state *p, compare_op *ret)
{
    static const struct {
        int op;
        compare_op is;
    } rows[] = {{OP_EQ, CMP_EQ}, {OP_NE, CMP_NE}, {'<', CMP_LT},
                {OP_LE, CMP_LE}, {'>', CMP_GT},   {OP_GE, CMP_GE}};
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        if (skip_op(p, rows[i].op)) {
            *ret = rows[i].is;
            return true;
        }
    }
    *ret = CMP_IN;
    if (skip_name(p, "in"))
        return true;
    if (!tok_is_name(p, "not") || !tok_next_is_name(p, "in"))
        return false;
    p->at += 2;
    *ret = CMP_NOT_IN;
    return true;
}

static int parse_compare(parse_state *p, node **ret)
{
    node_list kids = {0};
    uint8_t *ops = NULL;
    node *n;
    compare_op op;
    int line = tok(p)->line;
    int rc = parse_sum(p, &n);
    while (!rc && skip_compare(p, &op)) {
        if (!kids.n && (rc = node_list_add(p, &kids, n)))
            break;
        ops = tarena_grow(&p->r.mem, ops, kids.n - 1, kids.n);
        if (!ops)
            return rt_oom(&p->r);
        ops[kids.n - 1] = (uint8_t)op;
        rc = parse_sum(p, &n);
        if (!rc)
            rc = node_list_add(p, &kids, n);
    }
    if (rc || !kids.n) {
        if (!rc)
            *ret = n;
        return rc;
    }
    node *all = node_new(p, N_COMPARE, line);
    if (!all)
        return p->r.err->code;
    all->ops = ops;
    *ret = all;
    return node_take(p, all, &kids);
}

static int parse_not(parse_state *p, node **ret)
{
    int line = tok(p)->line;
    if (!skip_name(p, "not"))
        return parse_compare(p, ret);
    node *inner;
    int rc = parse_enter(p);
    if (rc)
        return rc;
    rc = parse_not(p, &inner);
    p->depth--;
    return rc ? rc : node_join(p, N_NOT, line, inner, NULL, ret);
}

/* `and`, `or`: left to right. */
static int parse_logic(parse_state *p, const char *word, node_type type,
                       int (*operand)(parse_state *, node **), node **ret)
{
    node *left = NULL, *right = NULL;
    int line = tok(p)->line, rc = operand(p, &left);
    while (!rc && skip_name(p, word)) {
        rc = operand(p, &right);
        if (!rc)
            rc = node_join(p, type, line, left, right, &left);
    }
    if (!rc)
        *ret = left;
    return rc;
}

static int parse_and(parse_state *p, node **ret)
{
    return parse_logic(p, "and", N_AND, parse_not, ret);
}

static int parse_or(parse_state *p, node **ret)
{
    return parse_logic(p, "or", N_OR, parse_and, ret);
}

static int parse_cond(parse_state *p, node **ret)
{
    node *value = NULL, *test, *other, *n;
    int line = tok(p)->line, rc = parse_or(p, &value);
    while (!rc && skip_name(p, "if")) {
        other = NULL;
        rc = parse_or(p, &test);
        if (!rc && skip_name(p, "else"))
            rc = parse_expression(p, &other);
        if (!rc)
            rc = node_join(p, N_COND, line, value, test, &n);
        if (!rc)
            rc = node_deepen(p, n, other);
        if (!rc) {
            n->c = other;
            value = n;
        }
    }
    if (!rc)
        *ret = value;
    return rc;
}

/* Without `a if b`. */
int parse_operand(parse_state *p, node **ret)
{
    return parse_or(p, ret);
}

int parse_expression(parse_state *p, node **ret)
{
    int rc = parse_enter(p);
    if (rc)
        return rc;
    rc = parse_cond(p, ret);
    p->depth--;
    return rc;
}
