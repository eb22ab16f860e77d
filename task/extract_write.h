/* task/extract_write.h - one text that a model writes, whose end comes later.
 *
 * For the files of extraction only.  A text is a request of the scheduler; what it is
 * held to and where its prompt begins are the extractor's, or its own.
 *
 * Threads: the owner of the lm. */
#ifndef TASK_EXTRACT_WRITE_H
#define TASK_EXTRACT_WRITE_H
#include "engine/sched.h"
#include "grammar/grammar.h"
#include "task/extractor.h"

struct extractor {
    lm *lm;
    const contract *c;
    char *system;
    vocab *vocab;
    masker *masker;
    sched *sched;
    tok_ids beginning; /* of every prompt */
    sched_prefix *prefix;
};

typedef struct writing writing; /* a text under way */

typedef struct writing_opts {
    sched_class class;
    uint64_t key;
    uint64_t deadline_us;
    bool follows; /* as of sched_request */
    /* Once, from a step.  The reply is the caller's to take things out of and is done
     * with after the call; its code concerns this input.  NULL: `why` is ST_ECANCELLED,
     * ST_ETIMEOUT, ST_ENOMEM or ST_EBUSY (no pages). */
    void (*done)(void *arg, extract_reply *reply, const st_err *why);
    void *arg;
} writing_opts;

/* What `ask` points to is borrowed until done.  ST_EBUSY, ST_ENOMEM, or what is wrong
 * with this input: too long (ST_ELIMIT), held to what no text fits. */
ST_NODISCARD int writing_start(extractor *x, const extract_ask *ask,
                               const writing_opts *opts, writing **ret_writing,
                               st_err *err);
void writing_cancel(writing *w);
#endif
