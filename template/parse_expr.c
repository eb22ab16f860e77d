/* template/parse_expr.c - expressions, with jinja2's precedence.
 *
 * if-else < or < and < not < comparisons < + - < ~ < * / // % < ** < unary < postfix,
 * filters and tests.  Depth is bounded twice: PARSE_DEPTH for the parser's own recursion,
 * NODE_DEPTH for chains that grow to the left, so that no later pass can run out of
 * stack. */
#include "template/ast.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

token *tok(parse_state *p)
{
    return &p->tokens[p->at];
}

bool tok_is_op(const parse_state *p, int op)
{
    const token *t = &p->tokens[p->at];
    return t->type == TOK_OP && t->op == op;
}

bool tok_is_name(const parse_state *p, const char *name)
{
    const token *t = &p->tokens[p->at];
    return t->type == TOK_NAME && tstr_is(t->text, name);
}

bool tok_next_is_name(const parse_state *p, const char *name)
{
    if (p->tokens[p->at].type == TOK_END)
        return false;
    const token *t = &p->tokens[p->at + 1];
    return t->type == TOK_NAME && tstr_is(t->text, name);
}

static void next(parse_state *p)
{
    if (tok(p)->type != TOK_END)
        p->at++;
}

bool skip_op(parse_state *p, int op)
{
    bool is = tok_is_op(p, op);
    if (is)
        next(p);
    return is;
}

bool skip_name(parse_state *p, const char *name)
{
    bool is = tok_is_name(p, name);
    if (is)
        next(p);
    return is;
}

int parse_fail(parse_state *p, const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    p->r.line = tok(p)->line;
    return rt_fail(&p->r, ST_EFORMAT, "%s", text);
}

static const char *describe(const token *t, char *buf, size_t cap)
{
    static const char *const twos[] = {"==", "!=", "<=", ">=", "//", "**"};
    static const char *const names[] = {[TOK_DATA] = "template data / text",
                                        [TOK_VAR_BEGIN] = "begin of print statement",
                                        [TOK_VAR_END] = "end of print statement",
                                        [TOK_BLOCK_BEGIN] = "begin of statement block",
                                        [TOK_BLOCK_END] = "end of statement block",
                                        [TOK_STRING] = "string",
                                        [TOK_INT] = "integer",
                                        [TOK_FLOAT] = "float",
                                        [TOK_END] = "end of template"};
    if (t->type == TOK_NAME)
        snprintf(buf, cap, "%.*s", (int)(t->text->len < 60 ? t->text->len : 60),
                 t->text->s);
    else if (t->type == TOK_OP && t->op < 256)
        snprintf(buf, cap, "%c", t->op);
    else
        snprintf(buf, cap, "%s", t->type == TOK_OP ? twos[t->op - 256] : names[t->type]);
    return buf;
}

int fail_token(parse_state *p, const char *what)
{
    char got[80];
    describe(tok(p), got, sizeof got);
    if (!what)
        return parse_fail(p, "unexpected '%s'", got);
    return parse_fail(p, "expected %s, got '%s'", what, got);
}

int expect_op(parse_state *p, int op)
{
    token want = {.type = TOK_OP, .op = op};
    char text[80], quoted[90];
    if (skip_op(p, op))
        return 0;
    snprintf(quoted, sizeof quoted, "token '%s'", describe(&want, text, sizeof text));
    return fail_token(p, quoted);
}

int expect_name(parse_state *p, const tstr **ret)
{
    if (tok(p)->type != TOK_NAME)
        return fail_token(p, "a name");
    *ret = tok(p)->text;
    next(p);
    return 0;
}

node *node_new(parse_state *p, node_type type, int line)
{
    node *n = rt_take(&p->r, 1, sizeof *n);
    if (n) {
        n->type = (uint8_t)type;
        n->line = line;
        n->depth = 1;
    }
    return n;
}

/* Take `kid`'s depth into account. */
static int deepen(parse_state *p, node *n, const node *kid)
{
    if (kid && kid->depth >= n->depth)
        n->depth = (uint16_t)(kid->depth + 1);
    if (n->depth <= NODE_DEPTH)
        return 0;
    p->r.line = n->line;
    return rt_fail(&p->r, ST_ELIMIT, "expression nested too deep");
}

/* A node of up to two kids. */
static int join(parse_state *p, node_type type, int line, node *a, node *b, node **ret)
{
    node *n = node_new(p, type, line);
    if (!n)
        return p->r.err->code;
    n->a = a;
    n->b = b;
    int rc = deepen(p, n, a);
    if (!rc)
        rc = deepen(p, n, b);
    if (!rc)
        *ret = n;
    return rc;
}

int node_list_add(parse_state *p, node_list *list, node *n)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 4;
        node **v = tarena_grow(&p->r.mem, list->v, list->n * sizeof n, cap * sizeof n);
        if (!v)
            return rt_oom(&p->r);
        list->v = v;
        list->cap = cap;
    }
    list->v[list->n++] = n;
    return 0;
}

static int take_kids(parse_state *p, node *n, const node_list *list)
{
    n->kids = list->v;
    n->n_kids = list->n;
    int rc = 0;
    for (size_t i = 0; i < list->n && !rc; i++)
        rc = deepen(p, n, list->v[i]);
    return rc;
}

static int parse_or(parse_state *p, node **ret);
static int parse_unary(parse_state *p, bool filters, node **ret);

static int enter(parse_state *p)
{
    if (p->depth >= PARSE_DEPTH) {
        p->r.line = tok(p)->line;
        return rt_fail(&p->r, ST_ELIMIT, "expression nested too deep");
    }
    p->depth++;
    return 0;
}

/* --- literals --- */

static int const_node(parse_state *p, val v, int line, node **ret)
{
    node *n = node_new(p, N_CONST, line);
    if (!n)
        return p->r.err->code;
    n->value = v;
    *ret = n;
    return 0;
}

static int parse_strings(parse_state *p, node **ret)
{
    int line = tok(p)->line, rc = 0;
    const tstr *text = tok(p)->text;
    next(p);
    if (tok(p)->type == TOK_STRING) {
        tbuild b;
        tbuild_init(&b, &p->r);
        rc = tbuild_str(&b, text);
        for (; !rc && tok(p)->type == TOK_STRING; next(p))
            rc = tbuild_str(&b, tok(p)->text);
        text = rc ? NULL : tbuild_take(&b);
    }
    return text ? const_node(p, val_str(text), line, ret) : p->r.err->code;
}

static int parse_list(parse_state *p, node **ret)
{
    node_list items = {0};
    node *list = node_new(p, N_LIST, tok(p)->line), *item;
    int rc = list ? 0 : p->r.err->code;
    next(p);
    while (!rc && !tok_is_op(p, ']')) {
        if (items.n && (rc = expect_op(p, ',')))
            break;
        if (tok_is_op(p, ']'))
            break;
        rc = parse_expression(p, &item);
        if (!rc)
            rc = node_list_add(p, &items, item);
    }
    if (!rc)
        rc = expect_op(p, ']');
    if (!rc)
        rc = take_kids(p, list, &items);
    if (!rc)
        *ret = list;
    return rc;
}

static int parse_pair(parse_state *p, node_list *items)
{
    node *key = NULL, *value = NULL;
    int rc = parse_expression(p, &key);
    if (!rc)
        rc = expect_op(p, ':');
    if (!rc)
        rc = parse_expression(p, &value);
    if (!rc)
        rc = node_list_add(p, items, key);
    return rc ? rc : node_list_add(p, items, value);
}

static int parse_dict(parse_state *p, node **ret)
{
    node_list items = {0};
    node *dict = node_new(p, N_DICT, tok(p)->line);
    int rc = dict ? 0 : p->r.err->code;
    next(p);
    while (!rc && !tok_is_op(p, '}')) {
        if (items.n && (rc = expect_op(p, ',')))
            break;
        if (!tok_is_op(p, '}'))
            rc = parse_pair(p, &items);
    }
    if (!rc)
        rc = expect_op(p, '}');
    if (!rc)
        rc = take_kids(p, dict, &items);
    if (!rc)
        *ret = dict;
    return rc;
}

static int parse_name(parse_state *p, const tuple_rules *rules, node **ret)
{
    const tstr *name = tok(p)->text;
    int line = tok(p)->line;
    next(p);
    if (tstr_is(name, "true") || tstr_is(name, "True"))
        return const_node(p, val_bool(true), line, ret);
    if (tstr_is(name, "false") || tstr_is(name, "False"))
        return const_node(p, val_bool(false), line, ret);
    if (tstr_is(name, "none") || tstr_is(name, "None"))
        return const_node(p, val_of(V_NONE), line, ret);
    bool ns = rules && rules->namespaces && skip_op(p, '.');
    node *n = node_new(p, ns ? N_NSREF : N_NAME, line);
    if (!n)
        return p->r.err->code;
    n->name = name;
    int rc = ns ? expect_name(p, &n->attr) : 0;
    if (!rc)
        *ret = n;
    return rc;
}

static int parse_primary(parse_state *p, const tuple_rules *rules, node **ret)
{
    static const tuple_rules parens = {.parens = true};
    token *t = tok(p);
    int rc;
    switch ((token_type)t->type) {
    case TOK_NAME:
        return parse_name(p, rules, ret);
    case TOK_STRING:
        return parse_strings(p, ret);
    case TOK_INT:
    case TOK_FLOAT:
        next(p);
        return const_node(p, t->number, t->line, ret);
    case TOK_OP:
        if (t->op == '[')
            return parse_list(p, ret);
        if (t->op == '{')
            return parse_dict(p, ret);
        if (t->op == '(') {
            next(p);
            rc = parse_tuple(p, &parens, ret);
            return rc ? rc : expect_op(p, ')');
        }
        break;
    case TOK_DATA:
    case TOK_VAR_BEGIN:
    case TOK_VAR_END:
    case TOK_BLOCK_BEGIN:
    case TOK_BLOCK_END:
    case TOK_END:
        break;
    }
    return fail_token(p, NULL);
}

static bool tuple_ends(parse_state *p, const tuple_rules *rules)
{
    const token *t = tok(p);
    return t->type == TOK_VAR_END || t->type == TOK_BLOCK_END || tok_is_op(p, ')') ||
           (rules->end && tok_is_name(p, rules->end));
}

int parse_tuple(parse_state *p, const tuple_rules *rules, node **ret)
{
    node_list items = {0};
    node *item = NULL;
    bool tuple = false;
    int rc = 0, line = tok(p)->line;
    do {
        if (tuple_ends(p, rules))
            break;
        if (rules->targets)
            rc = parse_primary(p, rules, &item);
        else
            rc = rules->no_cond ? parse_or(p, &item) : parse_expression(p, &item);
        if (!rc)
            rc = node_list_add(p, &items, item);
        if (rc)
            return rc;
    } while (skip_op(p, ',') && (tuple = true));
    if (!tuple && items.n) {
        *ret = item;
        return 0;
    }
    char got[80];
    if (!tuple && !rules->parens)
        return parse_fail(p, "Expected an expression, got '%s'",
                          describe(tok(p), got, sizeof got));
    node *n = node_new(p, N_TUPLE, line);
    if (!n)
        return p->r.err->code;
    *ret = n;
    return take_kids(p, n, &items);
}

/* --- postfix: a.b, a[b], a(b), a|f, a is t --- */

static int parse_args(parse_state *p, node *n)
{
    node_list pos = {0}, named = {0};
    node_args *args = rt_take(&p->r, 1, sizeof *args);
    const tstr **names = NULL;
    node *value;
    int rc = args ? expect_op(p, '(') : p->r.err->code;
    for (bool first = true; !rc && !tok_is_op(p, ')'); first = false) {
        if (!first && ((rc = expect_op(p, ',')) || tok_is_op(p, ')')))
            break;
        bool star = skip_op(p, '*'), stars = !star && skip_op(p, OP_STAR2);
        const token *t = tok(p);
        bool is_named = !star && !stars && t->type == TOK_NAME && t[1].type == TOK_OP &&
                        t[1].op == '=';
        if ((star && (args->more_pos || args->more_named)) ||
            (stars && args->more_named) || (is_named && args->more_named) ||
            (!star && !stars && !is_named &&
             (named.n || args->more_pos || args->more_named)))
            return parse_fail(p, "invalid syntax for function call expression");
        p->at += is_named ? 2 : 0;
        rc = parse_expression(p, &value);
        if (!rc)
            rc = deepen(p, n, value);
        if (rc)
            break;
        if (star)
            args->more_pos = value;
        else if (stars)
            args->more_named = value;
        else
            rc = node_list_add(p, is_named ? &named : &pos, value);
        if (!rc && is_named) {
            size_t k = named.n - 1;
            names =
                tarena_grow(&p->r.mem, names, k * sizeof *names, named.n * sizeof *names);
            rc = names ? 0 : rt_oom(&p->r);
            if (!rc)
                names[k] = t->text;
        }
    }
    if (!rc)
        rc = expect_op(p, ')');
    if (!rc)
        *args = (node_args){pos.v,   pos.n,          names,           named.v,
                            named.n, args->more_pos, args->more_named};
    n->args = args;
    return rc;
}

static int parse_call(parse_state *p, node *on, node **ret)
{
    node *n = NULL;
    int rc = join(p, N_CALL, tok(p)->line, on, NULL, &n);
    if (!rc)
        rc = parse_args(p, n);
    if (!rc)
        *ret = n;
    return rc;
}

static bool slice_ends(parse_state *p)
{
    return tok_is_op(p, ']') || tok_is_op(p, ',') || tok_is_op(p, ':');
}

/* What stands in brackets: an expression, or the parts of a slice into slice->kids. */
static int parse_subscript(parse_state *p, node *on, node **ret)
{
    node *part[3] = {0}, *n;
    size_t colons = 0;
    int rc = 0, line = tok(p)->line;
    while (!rc && !tok_is_op(p, ']')) {
        if (!slice_ends(p))
            rc = parse_expression(p, &part[colons]);
        if (!rc && (colons == 2 || !skip_op(p, ':')))
            break;
        colons++;
    }
    if (rc)
        return rc;
    if (!colons && tok_is_op(p, ','))
        return parse_fail(p, "subscripts of more than one expression are not supported");
    if (!colons && !part[0])
        return fail_token(p, NULL);
    if ((rc = expect_op(p, ']')) ||
        (rc = join(p, colons ? N_SLICE : N_ITEM, line, on, colons ? NULL : part[0], &n)))
        return rc;
    if (colons) {
        n->kids = rt_take(&p->r, 3, sizeof *n->kids);
        if (!n->kids)
            return p->r.err->code;
        memcpy(n->kids, part, sizeof part);
        n->n_kids = 3;
        for (size_t i = 0; i < 3 && !rc; i++)
            rc = deepen(p, n, part[i]);
    }
    if (!rc)
        *ret = n;
    return rc;
}

static int parse_dot(parse_state *p, node *on, node **ret)
{
    token *t = tok(p);
    node *key = NULL, *n = NULL;
    int rc = 0;
    next(p);
    if (t->type == TOK_NAME) {
        if (!(rc = join(p, N_ATTR, t->line, on, NULL, &n)))
            n->name = t->text;
    } else if (t->type == TOK_INT) {
        rc = const_node(p, t->number, t->line, &key);
        if (!rc)
            rc = join(p, N_ITEM, t->line, on, key, &n);
    } else {
        p->at--;
        return fail_token(p, "name or number");
    }
    if (!rc)
        *ret = n;
    return rc;
}

static int parse_postfix(parse_state *p, node **n)
{
    int rc = 0;
    while (!rc) {
        if (skip_op(p, '.'))
            rc = parse_dot(p, *n, n);
        else if (skip_op(p, '['))
            rc = parse_subscript(p, *n, n);
        else if (tok_is_op(p, '('))
            rc = parse_call(p, *n, n);
        else
            break;
    }
    return rc;
}

/* "name" or "a.b": no filter or test has a dot, so the last part is looked up in vain. */
static int parse_dotted(parse_state *p, const tstr **ret)
{
    int rc = expect_name(p, ret);
    while (!rc && skip_op(p, '.'))
        rc = expect_name(p, ret);
    return rc;
}

int parse_filters(parse_state *p, node *on, bool first_without_pipe, node **ret)
{
    int rc = 0;
    while (!rc && (first_without_pipe || skip_op(p, '|'))) {
        node *n = NULL;
        first_without_pipe = false;
        rc = join(p, N_FILTER, tok(p)->line, on, NULL, &n);
        if (!rc)
            rc = parse_dotted(p, &n->name);
        if (rc)
            return rc;
        n->fn = filter_find(n->name);
        if (tok_is_op(p, '('))
            rc = parse_args(p, n);
        on = n;
    }
    if (!rc)
        *ret = on;
    return rc;
}

static bool starts_test_arg(parse_state *p)
{
    const token *t = tok(p);
    if (t->type == TOK_NAME)
        return !tok_is_name(p, "else") && !tok_is_name(p, "or") && !tok_is_name(p, "and");
    return t->type == TOK_STRING || t->type == TOK_INT || t->type == TOK_FLOAT ||
           tok_is_op(p, '[') || tok_is_op(p, '{');
}

static int test_argument(parse_state *p, node *n)
{
    node_list pos = {0};
    node *arg;
    if (tok_is_op(p, '('))
        return parse_args(p, n);
    if (!starts_test_arg(p))
        return 0;
    if (tok_is_name(p, "is"))
        return parse_fail(p, "You cannot chain multiple tests with is");
    int rc = parse_primary(p, NULL, &arg);
    if (!rc)
        rc = parse_postfix(p, &arg);
    if (!rc)
        rc = node_list_add(p, &pos, arg);
    if (!rc)
        rc = deepen(p, n, arg);
    if (rc)
        return rc;
    n->args = rt_take(&p->r, 1, sizeof *n->args);
    if (!n->args)
        return p->r.err->code;
    n->args->pos = pos.v;
    n->args->n_pos = pos.n;
    return 0;
}

static int parse_test(parse_state *p, node *on, node **ret)
{
    node *n = NULL;
    int line = tok(p)->line;
    bool negated = skip_name(p, "not");
    int rc = join(p, N_TEST, line, on, NULL, &n);
    if (!rc)
        rc = parse_dotted(p, &n->name);
    if (rc)
        return rc;
    n->fn = test_find(n->name);
    rc = test_argument(p, n);
    if (rc)
        return rc;
    *ret = n;
    return negated ? join(p, N_NOT, line, n, NULL, ret) : 0;
}

static int parse_suffixes(parse_state *p, node **n)
{
    int rc = 0;
    while (!rc) {
        if (tok_is_op(p, '|'))
            rc = parse_filters(p, *n, false, n);
        else if (skip_name(p, "is"))
            rc = parse_test(p, *n, n);
        else if (tok_is_op(p, '('))
            rc = parse_call(p, *n, n);
        else
            break;
    }
    return rc;
}

/* --- operators --- */

static int parse_unary(parse_state *p, bool filters, node **ret)
{
    int line = tok(p)->line;
    node *n = NULL, *inner;
    int rc = enter(p);
    if (rc)
        return rc;
    bool minus = skip_op(p, '-'), plus = !minus && skip_op(p, '+');
    if (minus || plus) {
        rc = parse_unary(p, false, &inner);
        if (!rc)
            rc = join(p, minus ? N_NEG : N_POS, line, inner, NULL, &n);
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
                rc = join(p, N_BINARY, line, left, right, &left);
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
    return take_kids(p, all, &parts);
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
    return take_kids(p, all, &kids);
}

static int parse_not(parse_state *p, node **ret)
{
    int line = tok(p)->line;
    if (!skip_name(p, "not"))
        return parse_compare(p, ret);
    node *inner;
    int rc = enter(p);
    if (rc)
        return rc;
    rc = parse_not(p, &inner);
    p->depth--;
    return rc ? rc : join(p, N_NOT, line, inner, NULL, ret);
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
            rc = join(p, type, line, left, right, &left);
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
            rc = join(p, N_COND, line, value, test, &n);
        if (!rc)
            rc = deepen(p, n, other);
        if (!rc) {
            n->c = other;
            value = n;
        }
    }
    if (!rc)
        *ret = value;
    return rc;
}

int parse_expression(parse_state *p, node **ret)
{
    int rc = enter(p);
    if (rc)
        return rc;
    rc = parse_cond(p, ret);
    p->depth--;
    return rc;
}
