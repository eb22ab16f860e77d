/* template/parse_tokens.c - what all of the parser stands on: looking at tokens, making
 * nodes, and the bounds on depth.
 *
 * Depth is bounded twice: PARSE_DEPTH for the parser's own recursion, NODE_DEPTH for
 * chains that grow to the left, so that no later pass can run out of stack. */
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

void tok_skip(parse_state *p)
{
    if (tok(p)->type != TOK_END)
        p->at++;
}

bool skip_op(parse_state *p, int op)
{
    bool is = tok_is_op(p, op);
    if (is)
        tok_skip(p);
    return is;
}

bool skip_name(parse_state *p, const char *name)
{
    bool is = tok_is_name(p, name);
    if (is)
        tok_skip(p);
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

const char *tok_text(const token *t, char *buf, size_t cap)
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
    tok_text(tok(p), got, sizeof got);
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
    snprintf(quoted, sizeof quoted, "token '%s'", tok_text(&want, text, sizeof text));
    return fail_token(p, quoted);
}

int expect_name(parse_state *p, const tstr **ret)
{
    if (tok(p)->type != TOK_NAME)
        return fail_token(p, "a name");
    *ret = tok(p)->text;
    tok_skip(p);
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
int node_deepen(parse_state *p, node *n, const node *kid)
{
    if (kid && kid->depth >= n->depth)
        n->depth = (uint16_t)(kid->depth + 1);
    if (n->depth <= NODE_DEPTH)
        return 0;
    p->r.line = n->line;
    return rt_fail(&p->r, ST_ELIMIT, "expression nested too deep");
}

/* A node of up to two kids. */
int node_join(parse_state *p, node_type type, int line, node *a, node *b, node **ret)
{
    node *n = node_new(p, type, line);
    if (!n)
        return p->r.err->code;
    n->a = a;
    n->b = b;
    int rc = node_deepen(p, n, a);
    if (!rc)
        rc = node_deepen(p, n, b);
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

int node_take(parse_state *p, node *n, const node_list *list)
{
    n->kids = list->v;
    n->n_kids = list->n;
    int rc = 0;
    for (size_t i = 0; i < list->n && !rc; i++)
        rc = node_deepen(p, n, list->v[i]);
    return rc;
}

int parse_enter(parse_state *p)
{
    if (p->depth >= PARSE_DEPTH) {
        p->r.line = tok(p)->line;
        return rt_fail(&p->r, ST_ELIMIT, "expression nested too deep");
    }
    p->depth++;
    return 0;
}
