/* template/ast.h - the parsed template: tokens, nodes, and where each variable lives.
 *
 * Nodes, names and literals stand in one arena that the template owns, and do not change
 * after parsing, so any number of threads may render from them.
 *
 * Variables are resolved before anything runs, by the rules that jinja2 compiles by: each
 * construct with a scope of its own has a `tscope`, a table of slots; a name is a pair
 * (scopes to go up, slot).  A slot starts as its `load` says. */
#ifndef TEMPLATE_AST_H
#define TEMPLATE_AST_H
#include "template/value.h"

typedef enum token_type {
    TOK_DATA,
    TOK_VAR_BEGIN,
    TOK_VAR_END,
    TOK_BLOCK_BEGIN,
    TOK_BLOCK_END,
    TOK_NAME,
    TOK_STRING,
    TOK_INT,
    TOK_FLOAT,
    TOK_OP,
    TOK_END,
} token_type;

/* Operators of one character are their character; the others follow. */
enum { OP_EQ = 256, OP_NE, OP_LE, OP_GE, OP_SLASH2, OP_STAR2 };

typedef struct token {
    uint8_t type; /* token_type */
    int line;
    int op; /* TOK_OP */
    const tstr
        *text;  /* TOK_DATA, TOK_NAME (the same name: the same pointer), TOK_STRING */
    val number; /* TOK_INT, TOK_FLOAT */
} token;

typedef enum node_type {
    /* expressions */
    N_CONST,
    N_NAME,
    N_NSREF, /* ns.attr as a target */
    N_TUPLE,
    N_LIST,
    N_DICT, /* kids: key, value, key, value... */
    N_ATTR,
    N_ITEM,
    N_SLICE, /* a[b:c:d]: kids start, stop, step, each may be NULL */
    N_CALL,
    N_FILTER,
    N_TEST,
    N_BINARY,
    N_CONCAT,
    N_COMPARE, /* kids: operands; ops: between them */
    N_AND,
    N_OR,
    N_NOT,
    N_NEG,
    N_POS,
    N_COND, /* a if b else c */
    /* statements */
    N_BODY,
    N_DATA,
    N_PRINT,
    N_SET,
    N_SET_BLOCK,
    N_IF, /* kids: test, body, test, body...; c: else */
    N_FOR,
    N_BREAK,
    N_CONTINUE,
    N_MACRO,
    N_CALL_BLOCK,
    N_FILTER_BLOCK,
    N_WITH,   /* kids: target, value, target, value... */
    N_SCOPED, /* a body in a scope of its own: generation blocks */
} node_type;

typedef enum compare_op {
    CMP_EQ,
    CMP_NE,
    CMP_LT,
    CMP_LE,
    CMP_GT,
    CMP_GE,
    CMP_IN,
    CMP_NOT_IN,
} compare_op;

typedef enum load_kind { LOAD_PARAM, LOAD_RESOLVE, LOAD_ALIAS, LOAD_MISSING } load_kind;

typedef struct tslot {
    load_kind load;
    unsigned up, slot; /* LOAD_ALIAS */
    const tstr *name;
} tslot;

typedef struct tscope {
    size_t n;
    tslot *slots;
} tscope;

typedef struct node node;

/* What is passed in a call, a filter or a test. */
typedef struct node_args {
    node **pos;
    size_t n_pos;
    const tstr **names;
    node **named;
    size_t n_named;
    node *more_pos, *more_named; /* *x and **x, or NULL */
} node_args;

/* A macro, or the body of a call block. */
typedef struct node_macro {
    const tstr *name;
    node **params; /* N_NAME */
    size_t n_params;
    node **defaults; /* of the last n_defaults parameters */
    size_t n_defaults;
    bool has_caller, has_varargs, has_kwargs; /* the body reads them */
    size_t caller_slot, varargs_slot, kwargs_slot;
} node_macro;

typedef struct node_for {
    node *target, *iter, *test, *body, *other;
    bool recursive, extended; /* extended: the body reads `loop` */
    size_t loop_slot;
    tscope *test_scope, *other_scope; /* the body's is node.scope */
} node_for;

struct node {
    uint8_t type; /* node_type */
    uint8_t op;   /* N_BINARY: top */
    bool store;   /* N_NAME, N_TUPLE: a target */
    uint16_t depth;
    int line;
    const tstr *name;  /* N_NAME, N_NSREF, N_ATTR, N_FILTER, N_TEST, N_DATA */
    unsigned up, slot; /* N_NAME, N_NSREF, N_MACRO */
    node *a, *b, *c;
    node **kids;
    size_t n_kids;
    uint8_t *ops;       /* N_COMPARE */
    val value;          /* N_CONST */
    const tbuiltin *fn; /* N_FILTER, N_TEST; NULL: no such name */
    node_args *args;
    node_macro *macro;
    node_for *loop;
    const tstr *attr; /* N_NSREF */
    tscope *scope;
};

struct tmpl {
    tarena mem;
    node *body;
    tscope *root;
};

/* One parse: borrowed by lexer, parser and resolver. */
typedef struct parse_state {
    rt r; /* for its arena, budget and error */
    const char *s;
    size_t len;
    token *tokens;
    size_t n_tokens, cap_tokens, at;
    struct st_map *names; /* interned names: index into `interned` */
    const tstr **interned;
    size_t n_interned, cap_interned;
    unsigned depth, loops;
} parse_state;

enum { PARSE_DEPTH = 180, NODE_DEPTH = 500, NAMES_MAX = 2048 };

int lex_all(parse_state *p);
int parse_all(parse_state *p, node **ret_body);
int scope_resolve(parse_state *p, node *body, tscope **ret_root);

/* Parser pieces shared by the parse_*.c files. */
node *node_new(parse_state *p, node_type type, int line); /* NULL: reported */
token *tok(parse_state *p);                               /* the present token */
bool tok_is_op(const parse_state *p, int op);
bool tok_is_name(const parse_state *p, const char *name);
bool tok_next_is_name(const parse_state *p, const char *name);
bool skip_op(parse_state *p, int op);
bool skip_name(parse_state *p, const char *name);
int expect_op(parse_state *p, int op);
int expect_name(parse_state *p, const tstr **ret); /* any name */
int parse_fail(parse_state *p, const char *fmt, ...) ST_PRINTF(2, 3);
int fail_token(parse_state *p, const char *what); /* "expected ..., got ..." */

void tok_skip(parse_state *p);
const char *tok_text(const token *t, char *buf, size_t cap); /* for messages */
int parse_enter(parse_state *p); /* one level deeper; leave with p->depth-- */

typedef struct node_list {
    node **v;
    size_t n, cap;
} node_list;
int node_list_add(parse_state *p, node_list *list, node *n);
int node_deepen(parse_state *p, node *n, const node *kid); /* count the kid's depth */
int node_join(parse_state *p, node_type type, int line, node *a, node *b, node **ret);
int node_take(parse_state *p, node *n, const node_list *list); /* as its kids */

/* A list of expressions without brackets; one alone is itself. */
typedef struct tuple_rules {
    bool targets;    /* names and literals only, made into targets */
    bool no_cond;    /* no `a if b` */
    bool parens;     /* inside parentheses: may be empty */
    bool namespaces; /* targets may be ns.attr */
    const char *end; /* a name that ends it, or NULL */
} tuple_rules;
int parse_tuple(parse_state *p, const tuple_rules *rules, node **ret);
int parse_expression(parse_state *p, node **ret);
int parse_operand(parse_state *p, node **ret); /* an expression without `a if b` */
int parse_primary(parse_state *p, const tuple_rules *rules, node **ret);
int parse_postfix(parse_state *p, node **n);
int parse_suffixes(parse_state *p, node **n);
int parse_filters(parse_state *p, node *on, bool first_without_pipe, node **ret);
#endif
