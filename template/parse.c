/* template/parse.c - statements: what stands in {% %}.
 *
 * A body is a list of nodes up to the tag that ends it, which the caller of parse_body()
 * looks at.  Tags that would reach other files (include, import, extends) are refused by
 * name. */
#include "template/ast.h"

#include <string.h>

static const tuple_rules plain_tuple = {0};
static const tuple_rules test_tuple = {.no_cond = true};

static int parse_body(parse_state *p, const char *const *ends, node **ret);

static int expect_block_end(parse_state *p)
{
    if (tok(p)->type != TOK_BLOCK_END)
        return fail_token(p, "token 'end of statement block'");
    tok_skip(p);
    return 0;
}

/* The body of a tag that ends with `end`, that end's own tag name skipped. */
static int parse_until(parse_state *p, const char *end, node **ret)
{
    const char *ends[] = {end, NULL};
    int rc = expect_block_end(p);
    if (!rc)
        rc = parse_body(p, ends, ret);
    tok_skip(p);
    return rc;
}

/* --- targets --- */

static int make_target(parse_state *p, node *n)
{
    if (n->type == N_NAME || n->type == N_NSREF) {
        n->store = true;
        return 0;
    }
    if (n->type != N_TUPLE)
        return parse_fail(p, "can't assign to this expression");
    n->store = true;
    int rc = 0;
    for (size_t i = 0; i < n->n_kids && !rc; i++)
        rc = make_target(p, n->kids[i]);
    return rc;
}

static int parse_target(parse_state *p, const tuple_rules *rules, node **ret)
{
    node *n;
    int rc = parse_tuple(p, rules, &n);
    if (!rc)
        rc = make_target(p, n);
    if (!rc)
        *ret = n;
    return rc;
}

/* A name that is bound, as a node. */
static int parse_param(parse_state *p, node **ret)
{
    node *n = node_new(p, N_NAME, tok(p)->line);
    if (!n)
        return p->r.err->code;
    n->store = true;
    *ret = n;
    return expect_name(p, &n->name);
}

/* --- set, with --- */

static int parse_set(parse_state *p, node *n)
{
    static const tuple_rules rules = {.targets = true, .namespaces = true};
    int rc = parse_target(p, &rules, &n->a);
    if (rc)
        return rc;
    n->type = N_SET;
    if (skip_op(p, '='))
        return parse_tuple(p, &plain_tuple, &n->b);
    n->type = N_SET_BLOCK;
    rc = parse_filters(p, NULL, false, &n->b);
    return rc ? rc : parse_until(p, "endset", &n->c);
}

static int parse_with(parse_state *p, node *n)
{
    node_list pairs = {0};
    node *target = NULL, *value = NULL;
    int rc = 0;
    while (!rc && tok(p)->type != TOK_BLOCK_END) {
        if (pairs.n && (rc = expect_op(p, ',')))
            break;
        rc = parse_param(p, &target);
        if (!rc)
            rc = expect_op(p, '=');
        if (!rc)
            rc = parse_expression(p, &value);
        if (!rc)
            rc = node_list_add(p, &pairs, target);
        if (!rc)
            rc = node_list_add(p, &pairs, value);
    }
    n->type = N_WITH;
    n->kids = pairs.v;
    n->n_kids = pairs.n;
    return rc ? rc : parse_until(p, "endwith", &n->c);
}

/* --- if --- */

static int parse_if(parse_state *p, node *n)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    node_list parts = {0};
    node *part;
    int rc = 0;
    n->type = N_IF;
    do {
        rc = parse_tuple(p, &test_tuple, &part);
        if (!rc)
            rc = node_list_add(p, &parts, part);
        if (!rc)
            rc = expect_block_end(p);
        if (!rc)
            rc = parse_body(p, ends, &part);
        if (!rc)
            rc = node_list_add(p, &parts, part);
    } while (!rc && skip_name(p, "elif"));
    if (!rc && skip_name(p, "else"))
        rc = parse_until(p, "endif", &n->c);
    else
        tok_skip(p);
    n->kids = parts.v;
    n->n_kids = parts.n;
    return rc;
}

/* --- for --- */

static int parse_for_head(parse_state *p, node_for *f)
{
    static const tuple_rules targets = {.targets = true, .end = "in"};
    static const tuple_rules iter = {.no_cond = true, .end = "recursive"};
    int rc = parse_target(p, &targets, &f->target);
    if (!rc && !skip_name(p, "in"))
        rc = fail_token(p, "token 'in'");
    if (!rc)
        rc = parse_tuple(p, &iter, &f->iter);
    if (!rc && skip_name(p, "if"))
        rc = parse_expression(p, &f->test);
    f->recursive = !rc && skip_name(p, "recursive");
    return rc ? rc : expect_block_end(p);
}

static int parse_for(parse_state *p, node *n)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    node_for *f = rt_take(&p->r, 1, sizeof *f);
    if (!f)
        return p->r.err->code;
    n->type = N_FOR;
    n->loop = f;
    int rc = parse_for_head(p, f);
    p->loops++;
    if (!rc)
        rc = parse_body(p, ends, &f->body);
    p->loops--;
    if (!rc && skip_name(p, "else"))
        return parse_until(p, "endfor", &f->other);
    tok_skip(p);
    return rc;
}

static int parse_loop_control(parse_state *p, node *n, bool is_break)
{
    n->type = is_break ? N_BREAK : N_CONTINUE;
    if (!p->loops)
        return parse_fail(p, "'%s' outside loop", is_break ? "break" : "continue");
    return 0;
}

/* --- macros, calls, filters --- */

static int parse_signature(parse_state *p, node_macro *m)
{
    node_list params = {0}, defaults = {0};
    node *n;
    int rc = expect_op(p, '(');
    while (!rc && !tok_is_op(p, ')')) {
        if (params.n && (rc = expect_op(p, ',')))
            break;
        rc = parse_param(p, &n);
        if (!rc)
            rc = node_list_add(p, &params, n);
        if (!rc && skip_op(p, '=')) {
            rc = parse_expression(p, &n);
            if (!rc)
                rc = node_list_add(p, &defaults, n);
        } else if (!rc && defaults.n) {
            rc = parse_fail(p, "non-default argument follows default argument");
        }
    }
    m->params = params.v;
    m->n_params = params.n;
    m->defaults = defaults.v;
    m->n_defaults = defaults.n;
    return rc ? rc : expect_op(p, ')');
}

/* A macro's body is run elsewhere: no loop around it can be broken. */
static int parse_macro_body(parse_state *p, const char *end, node **ret)
{
    unsigned loops = p->loops;
    p->loops = 0;
    int rc = parse_until(p, end, ret);
    p->loops = loops;
    return rc;
}

static int parse_macro(parse_state *p, node *n)
{
    n->type = N_MACRO;
    n->macro = rt_take(&p->r, 1, sizeof *n->macro);
    int rc = n->macro ? expect_name(p, &n->macro->name) : p->r.err->code;
    if (!rc)
        rc = parse_signature(p, n->macro);
    return rc ? rc : parse_macro_body(p, "endmacro", &n->c);
}

static int parse_call_block(parse_state *p, node *n)
{
    n->type = N_CALL_BLOCK;
    n->macro = rt_take(&p->r, 1, sizeof *n->macro);
    int rc = n->macro ? 0 : p->r.err->code;
    if (!rc && tok_is_op(p, '('))
        rc = parse_signature(p, n->macro);
    if (!rc)
        rc = parse_expression(p, &n->a);
    if (!rc && n->a->type != N_CALL)
        rc = parse_fail(p, "expected call");
    return rc ? rc : parse_macro_body(p, "endcall", &n->c);
}

static int parse_filter_block(parse_state *p, node *n)
{
    n->type = N_FILTER_BLOCK;
    int rc = parse_filters(p, NULL, true, &n->b);
    return rc ? rc : parse_until(p, "endfilter", &n->c);
}

static int parse_generation(parse_state *p, node *n)
{
    n->type = N_SCOPED;
    return parse_until(p, "endgeneration", &n->c);
}

/* {% print a, b %} */
static int parse_print(parse_state *p, node *n)
{
    node_list parts = {0};
    int rc = 0;
    while (!rc && tok(p)->type != TOK_BLOCK_END) {
        if (parts.n && (rc = expect_op(p, ',')))
            break;
        node *one = node_new(p, N_PRINT, tok(p)->line);
        rc = one ? parse_expression(p, &one->a) : p->r.err->code;
        if (!rc)
            rc = node_list_add(p, &parts, one);
    }
    n->type = N_BODY;
    n->kids = parts.v;
    n->n_kids = parts.n;
    return rc;
}

static int unknown_tag(parse_state *p, const tstr *name)
{
    static const char *const refused[] = {"include", "import", "from",  "extends",
                                          "block",   "do",     "trans", "autoescape"};
    p->at--;
    int n = (int)(name->len < 60 ? name->len : 60);
    for (size_t i = 0; i < ST_COUNT(refused); i++) {
        if (tstr_is(name, refused[i]))
            return parse_fail(p, "tag '%.*s' is not supported in chat templates", n,
                              name->s);
    }
    return parse_fail(p, "Encountered unknown tag '%.*s'.", n, name->s);
}

static int parse_statement(parse_state *p, node *n)
{
    static const struct {
        const char *name;
        int (*parse)(parse_state *, node *);
    } tags[] = {{"set", parse_set},         {"if", parse_if},
                {"for", parse_for},         {"macro", parse_macro},
                {"call", parse_call_block}, {"filter", parse_filter_block},
                {"with", parse_with},       {"generation", parse_generation},
                {"print", parse_print}};
    const tstr *name;
    int rc = expect_name(p, &name);
    if (rc)
        return rc;
    if (tstr_is(name, "break") || tstr_is(name, "continue"))
        return parse_loop_control(p, n, tstr_is(name, "break"));
    for (size_t i = 0; i < ST_COUNT(tags); i++) {
        if (tstr_is(name, tags[i].name))
            return tags[i].parse(p, n);
    }
    return unknown_tag(p, name);
}

/* --- bodies --- */

static int parse_output(parse_state *p, node *n)
{
    n->type = N_PRINT;
    tok_skip(p);
    int rc = parse_tuple(p, &plain_tuple, &n->a);
    if (!rc && tok(p)->type != TOK_VAR_END)
        rc = fail_token(p, "token 'end of print statement'");
    tok_skip(p);
    return rc;
}

static bool ends_here(parse_state *p, const char *const *ends)
{
    for (; ends && *ends; ends++) {
        if (tok_next_is_name(p, *ends))
            return true;
    }
    return false;
}

/* Nodes up to a tag named in `ends` (whose name is then the present token), or up to the
 * end of the template where `ends` is NULL. */
static int parse_nodes(parse_state *p, const char *const *ends, node_list *list)
{
    int rc = 0;
    while (!rc && tok(p)->type != TOK_END) {
        token *t = tok(p);
        node *n;
        if (t->type == TOK_BLOCK_BEGIN && ends_here(p, ends)) {
            tok_skip(p);
            return 0;
        }
        n = node_new(p, N_DATA, t->line);
        if (!n)
            return p->r.err->code;
        if (t->type == TOK_DATA) {
            n->name = t->text;
            tok_skip(p);
        } else if (t->type == TOK_VAR_BEGIN) {
            rc = parse_output(p, n);
        } else {
            tok_skip(p);
            rc = parse_statement(p, n);
            if (!rc)
                rc = expect_block_end(p);
        }
        if (!rc)
            rc = node_list_add(p, list, n);
    }
    if (!rc && ends)
        rc = parse_fail(p,
                        "Unexpected end of template. Jinja was looking for the following "
                        "tag: '%s'.",
                        ends[0]);
    return rc;
}

static int parse_body(parse_state *p, const char *const *ends, node **ret)
{
    node_list list = {0};
    node *body = node_new(p, N_BODY, tok(p)->line);
    if (!body)
        return p->r.err->code;
    if (p->depth >= PARSE_DEPTH) {
        p->r.line = body->line;
        return rt_fail(&p->r, ST_ELIMIT, "blocks nested too deep");
    }
    p->depth++;
    int rc = parse_nodes(p, ends, &list);
    p->depth--;
    body->kids = list.v;
    body->n_kids = list.n;
    if (!rc)
        *ret = body;
    return rc;
}

int parse_all(parse_state *p, node **ret_body)
{
    return parse_body(p, NULL, ret_body);
}
