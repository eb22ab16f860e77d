/* serve/call_priv.h - a call as the frame sees it; wires see serve/call.h. */
#ifndef SERVE_CALL_PRIV_H
#define SERVE_CALL_PRIV_H
#include "serve/id.h"
#include "serve/route.h"
#include "serve/server_priv.h"
#include "serve/trace.h"

enum {
    CALL_MAX_VALUES = 3, /* {name}s in a pattern */
    CALL_MAX_HEADERS = 8,
    CALL_MAX_USES = 4,
    CALL_WORD_MAX = 48,
};

typedef struct call_who { /* whose call it is, and what they may */
    uint64_t key;         /* 0: nobody's */
    key_info info;        /* of the key; all zeros without */
} call_who;

typedef struct call_header_copy {
    char *name;
    char *value;
} call_header_copy;

struct call {
    server *server;
    http_exchange *x;
    const route *route; /* NULL: none fits */
    dialect dialect;
    char id[ID_MAX + 1];
    char *path; /* copied; values point into it */
    const char *values[CALL_MAX_VALUES];
    uint32_t n_values;
    call_who who;
    sched_class class;
    uint64_t deadline_us;
    json_t *body;
    hub_use *uses[CALL_MAX_USES];
    uint32_t n_uses;
    call_header_copy headers[CALL_MAX_HEADERS];
    uint32_t n_headers;
    bool lost_header;         /* no memory for one */
    bool broken;              /* a stream that lacks something: it must not look whole */
    unsigned status;          /* of the answer; 0: none yet */
    char code[CALL_WORD_MAX]; /* of its first problem */
    char model[HUB_NAME_MAX]; /* what it was about (call_add_work) */
    char finish[CALL_WORD_MAX];
    call_work work; /* sums; its texts are those above */
    trace *trace;   /* NULL: none is written */
    crew_job job;
    void (*go_on)(call *c, void *arg); /* NULL: the route's handle */
    void *go_on_arg;
};

/* NULL: out of memory. */
call *call_new(server *s, http_exchange *x);
void call_free(call *c);
/* The last of a call before its answer goes: what it used is let go. */
void call_close(call *c, unsigned status);
/* Count, log and trace it. */
void call_seen(call *c);
/* As call_reply_problems, where memory ran out before there was a call. */
void call_reply_nothing_left(http_exchange *x);
#endif
