/* template/run.h - running a parsed template: scopes, macros, loops.
 *
 * A `frame` is one activation of a scope: its slots and the frame around it.  A macro
 * keeps the frame it was defined in, so it sees that frame's variables as they are when
 * it is called. */
#ifndef TEMPLATE_RUN_H
#define TEMPLATE_RUN_H
#include "template/ast.h"

typedef struct frame {
    struct frame *up;
    const tscope *scope;
    val slots[];
} frame;

typedef struct tmacro {
    const node *def; /* N_MACRO, or N_CALL_BLOCK for a caller */
    frame *env;
} tmacro;

typedef struct tloop {
    const node *def;
    frame *env; /* around the loop */
    tlist *items;
    size_t i;
    size_t level; /* of a recursive loop, from 0 */
    val seen;     /* last argument of changed() */
} tloop;

/* How a body ended, beside 0 and errors. */
enum { RUN_BREAK = 1, RUN_CONTINUE = 2 };

int eval(rt *r, frame *f, const node *n, val *ret);
int exec(rt *r, frame *f, const node *n); /* 0, RUN_..., or an error */
int eval_args(rt *r, frame *f, const node_args *args, tcall *ret);
int filter_apply(rt *r, frame *f, const node *filter, val in, val *ret);

frame *frame_new(rt *r, frame *up, const tscope *scope); /* NULL: reported */
int frame_load(rt *r, frame *f); /* the starting values of its slots */
int assign(rt *r, frame *f, const node *target, val v);
int capture_begin(rt *r, tbuild *b, tbuild **ret_outer);
int exec_for(rt *r, frame *f, const node *n);
int loop_again(rt *r, tloop *loop, val iter, val *ret); /* loop(x) */
int loop_attr(rt *r, tloop *loop, const tstr *name, val *ret, bool *ret_found);
int macro_attr(const tmacro *macro, const tstr *name, val *ret, bool *ret_found);
int macro_call(rt *r, tmacro *macro, const tcall *call, val *ret);

/* A variable of the render or a global function; *ret_found false: neither. */
int context_find(rt *r, const tstr *name, val *ret, bool *ret_found);
#endif
