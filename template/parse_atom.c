/* template/parse_atom.c - literals, names and tuples, and what may follow them: .b, [b],
 * (b), |filter, is test. */
#include "template/ast.h"

#include <string.h>

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
    tok_skip(p);
    if (tok(p)->type == TOK_STRING) {
        tbuild b;
        tbuild_init(&b, &p->r);
        rc = tbuild_str(&b, text);
        for (; !rc && tok(p)->type == TOK_STRING; tok_skip(p))
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
    tok_skip(p);
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
        rc = node_take(p, list, &items);
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
    tok_skip(p);
    while (!rc && !tok_is_op(p, '}')) {
        if (items.n && (rc = expect_op(p, ',')))
            break;
        if (!tok_is_op(p, '}'))
            rc = parse_pair(p, &items);
    }
    if (!rc)
        rc = expect_op(p, '}');
    if (!rc)
        rc = node_take(p, dict, &items);
    if (!rc)
        *ret = dict;
    return rc;
}

static int parse_name(parse_state *p, const tuple_rules *rules, node **ret)
{
    const tstr *name = tok(p)->text;
    int line = tok(p)->line;
    tok_skip(p);
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

int parse_primary(parse_state *p, const tuple_rules *rules, node **ret)
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
        tok_skip(p);
        return const_node(p, t->number, t->line, ret);
    case TOK_OP:
        if (t->op == '[')
            return parse_list(p, ret);
        if (t->op == '{')
            return parse_dict(p, ret);
        if (t->op == '(') {
            tok_skip(p);
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
            rc = rules->no_cond ? parse_operand(p, &item) : parse_expression(p, &item);
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
                          tok_text(tok(p), got, sizeof got));
    node *n = node_new(p, N_TUPLE, line);
    if (!n)
        return p->r.err->code;
    *ret = n;
    return node_take(p, n, &items);
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
            rc = node_deepen(p, n, value);
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
    int rc = node_join(p, N_CALL, tok(p)->line, on, NULL, &n);
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
    if ((rc = expect_op(p, ']')) || (rc = node_join(p, colons ? N_SLICE : N_ITEM, line,
                                                    on, colons ? NULL : part[0], &n)))
        return rc;
    if (colons) {
        n->kids = rt_take(&p->r, 3, sizeof *n->kids);
        if (!n->kids)
            return p->r.err->code;
        memcpy(n->kids, part, sizeof part);
        n->n_kids = 3;
        for (size_t i = 0; i < 3 && !rc; i++)
            rc = node_deepen(p, n, part[i]);
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
    tok_skip(p);
    if (t->type == TOK_NAME) {
        if (!(rc = node_join(p, N_ATTR, t->line, on, NULL, &n)))
            n->name = t->text;
    } else if (t->type == TOK_INT) {
        rc = const_node(p, t->number, t->line, &key);
        if (!rc)
            rc = node_join(p, N_ITEM, t->line, on, key, &n);
    } else {
        p->at--;
        return fail_token(p, "name or number");
    }
    if (!rc)
        *ret = n;
    return rc;
}

int parse_postfix(parse_state *p, node **n)
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
        rc = node_join(p, N_FILTER, tok(p)->line, on, NULL, &n);
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
        rc = node_deepen(p, n, arg);
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
    int rc = node_join(p, N_TEST, line, on, NULL, &n);
    if (!rc)
        rc = parse_dotted(p, &n->name);
    if (rc)
        return rc;
    n->fn = test_find(n->name);
    rc = test_argument(p, n);
    if (rc)
        return rc;
    *ret = n;
    return negated ? node_join(p, N_NOT, line, n, NULL, ret) : 0;
}

int parse_suffixes(parse_state *p, node **n)
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
