/* serve/gen.h - one text that a model makes: tokens in, text that may be shown out.
 *
 *   token -> its bytes -> well-formed text -> stop words, calls -> what is certain
 *
 * What is shown while the text grows is the beginning of what it is in the end.
 *
 * Threads: one at a time. */
#ifndef SERVE_GEN_H
#define SERVE_GEN_H
#include "engine/sched.h"
#include "grammar/toolcall.h"
#include "serve/stop_text.h"
#include "serve/text_join.h"

typedef struct gen_spec { /* what the texts of a request share */
    const tok *tok;
    bool held;      /* to a grammar: pieces are taken as they are, control tokens too */
    bool continues; /* the prompt's own text: its first word keeps its space */
    stop_set stops;
    bool keeps_stop;              /* the word that ended it is part of the text */
    const toolcall_format *calls; /* of an answer that may call functions; NULL */
    bool logp;
    uint64_t most_us; /* from the first token on; 0: any */
} gen_spec;

typedef enum gen_finish {
    GEN_GOING,
    GEN_STOP,
    GEN_LENGTH,
    GEN_FAILED, /* `err` says why */
} gen_finish;

typedef struct gen_token { /* of the text, where they are asked for */
    int32_t id;
    double logp;
    size_t begin; /* in the text */
    uint32_t top, n_top;
} gen_token;

typedef struct gen {
    st_buf text;    /* without what a stop word cut off */
    size_t certain; /* bytes of it that will stay.  With calls: of `seen` */
    toolcalls_seen seen;
    gen_finish finish;
    bool stopped_by_word;
    uint32_t stop_word;
    st_err err;
    gen_token *tokens; /* [n_tokens] */
    uint32_t n_tokens;
    sched_top *top;
    int32_t *ids; /* [n_ids] all that were made; */
    uint32_t n_ids;
    uint32_t n_prompt, n_cached, n_new, n_proposed, n_agreed;
    uint64_t queued_us, first_us, total_us;
    uint64_t begun_us; /* when its first token came */
    /* private */
    text_join join;
    st_buf piece;
    size_t searched; /* for stop words */
    uint32_t cap_tokens, n_tops, cap_tops, cap_ids;
} gen;

void gen_init(gen *g);
void gen_done(gen *g); /* zeroes allowed */
/* False: the text ends with it. */
bool gen_add(gen *g, const gen_spec *spec, const sched_token *token);
void gen_end(gen *g, const gen_spec *spec, const sched_result *result);
#endif
