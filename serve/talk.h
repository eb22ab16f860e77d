/* serve/talk.h - a call that asks a model for texts, from its prompts to its answer.
 *
 *   pool thread     the route reads the body into a talk, adds prompts -> talk_start
 *   engine thread   each token goes into its text; streams: view->more
 *   pool thread     all texts have ended: they are checked, view->finish answers
 *
 * From talk_start on the call and the talk are this file's; a route that gives up before
 * answers the call itself and calls talk_free.
 *
 * Threads: as above; one at a time but for the client's hanging up. */
#ifndef SERVE_TALK_H
#define SERVE_TALK_H
#include "serve/call.h"
#include "serve/held_cache.h"
#include "serve/id.h"
#include "serve/talk_ask.h"
#include "serve/talk_form.h"
#include <pthread.h>
#include <stdatomic.h>

enum { TALK_MAX_TEXTS = 128 };

typedef struct talk talk;

typedef struct talk_text { /* one of the texts asked for */
    gen g;
    talk *of;
    uint32_t at, prompt; /* of all; of its prompt */
    sched_id id;
    bool asked, ended; /* submitted; and its done came */
    toolcalls calls;   /* once it has ended, of a talk with functions */
    /* the view's, of streams */
    bool begun;
    size_t shown;          /* bytes of content that were sent */
    uint32_t shown_tokens; /* of g.tokens */
    uint32_t shown_ids;    /* of g.ids */
    size_t call_at, call_shown;
    uint32_t n_calls; /* begun */
    bool call_open;
    char call_id[ID_MAX]; /* of the one that is open */
} talk_text;

typedef struct talk_view { /* how a route tells it */
    /* A token has come to the text.  False: the client is gone. */
    bool (*more)(talk *t, talk_text *x);
    /* All have ended well: answer. */
    void (*finish)(talk *t);
    /* A stream that has begun fails: tell it; the stream is ended by the caller. */
    void (*fail)(talk *t, const problems *p);
} talk_view;

struct talk {
    call *c;
    const talk_view *view;
    void *own; /* the view's; freed with own_free */
    void (*own_free)(void *own);
    hub_use *use;
    const lm *lm;
    const char *model; /* as the answer names it */
    char id[ID_MAX];
    char print[16]; /* system_fingerprint */
    int64_t created;
    uint64_t key;
    talk_ask ask;
    talk_form form;
    bool calls;    /* the answer may call functions; else `form`, if any, is held */
    json_t *tools; /* OpenAI's array, borrowed or `owned_tools` */
    json_t *owned_tools;
    char *tools_text, *choice; /* of them and of tool_choice */
    bool one_call;
    const json_t *more;    /* chat_template_kwargs; NULL */
    const char *effort;    /* reasoning_effort; NULL */
    const char *effort_at; /* the member that says it */
    bool flat_tools;       /* as /v1/responses has them: without "function" */
    held_form *held;       /* NULL: free text */
    gen_spec spec;
    st_buf input;   /* what the answer may repeat parts of: the last that was said, or */
    bool predicted; /* what the request predicts */
    tok_ids *prompts;
    uint32_t n_prompts;
    uint32_t n; /* texts of each prompt */
    talk_text *texts;
    uint32_t n_texts;
    bool streams; /* the answer has begun as a stream */
    problems wrong;
    atomic_uint left;
    pthread_mutex_t lock; /* of gone and the ids */
    bool gone;
};

/* NULL: the call has been answered.  `prefix` of the answer's id: "chatcmpl-". */
talk *talk_new(call *c, const talk_view *view, const char *prefix);
void talk_free(talk *t);
/* Answer with what is in t->wrong, and free.  Always true where there is something. */
bool talk_refuse(talk *t);

/* Look up the model; t->lm is NULL when the name is a task's without one. */
void talk_find(talk *t);
/* The same where a task cannot answer. */
void talk_find_model(talk *t);
/* Members that contradict a form. */
void talk_held_check(talk *t);
/* Members that a route does not tell anything for; `names` end with NULL. */
void talk_not_told(talk *t, const char *const *names);
/* Functions and forms: compiled, or a problem at their member. */
void talk_hold(talk *t);
/* A prompt, whose ids are taken; checked against the context. */
void talk_prompt(talk *t, tok_ids *ids, const char *param);
void talk_start(talk *t);
#endif
