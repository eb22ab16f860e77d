/* serve/talk_ask.h - what a body says about how text is made, whatever its route: how
 * tokens are drawn, when the text ends, what is told about it.
 *
 * Routes that make text put TALK_SAMPLING into the table of their members, so a field
 * means the same in all of them.
 *
 * Threads: one at a time.  Memory: texts are borrowed from the body. */
#ifndef SERVE_TALK_ASK_H
#define SERVE_TALK_ASK_H
#include "serve/body.h"
#include "serve/gen.h"

enum { TALK_MAX_STOP_IDS = 64, TALK_MAX_NEW = 1 << 24 };

#define TALK_NUMBER (MEMBER_NUMBER | MEMBER_NULL)
#define TALK_INTEGER (MEMBER_INTEGER | MEMBER_NULL)
#define TALK_BOOL (MEMBER_BOOL | MEMBER_NULL)
#define TALK_STRING (MEMBER_STRING | MEMBER_NULL)
#define TALK_OBJECT (MEMBER_OBJECT | MEMBER_NULL)

#define TALK_SAMPLING                                                                    \
    {"temperature", TALK_NUMBER, .max = 100, .about = "0: always the likeliest token."}, \
        {"top_p", TALK_NUMBER, .max = 1, .about = "Draw from this much probability."},   \
        {"top_k", TALK_INTEGER, .min = -1, .max = TALK_MAX_NEW,                          \
         .about = "Draw from so many tokens; 0 or -1: all."},                            \
        {"min_p", TALK_NUMBER, .max = 1,                                                 \
         .about = "Draw from tokens this likely beside the likeliest."},                 \
        {"frequency_penalty", TALK_NUMBER, .min = -2, .max = 2,                          \
         .about = "Taken off a token's logit for each time that it was there."},         \
        {"presence_penalty", TALK_NUMBER, .min = -2, .max = 2,                           \
         .about = "Taken off the logit of a token that was there."},                     \
        {"repeat_penalty", TALK_NUMBER, .min = 0.01, .max = 100,                         \
         .about = "Divides the logit of a token that was there."},                       \
        {"repetition_penalty", TALK_NUMBER, .min = 0.01, .max = 100,                     \
         .about = "The same as repeat_penalty."},                                        \
        {"seed", TALK_INTEGER, .about = "Of the draw; -1: any."},                        \
        {"logit_bias", MEMBER_OBJECT | MEMBER_ARRAY | TALK_BOOL, .max = SCHED_MAX_BIAS,  \
         .items = MEMBER_ARRAY,                                                          \
         .about = "What is added to the logits of tokens, by id: -100 to 100."},         \
        {"stop", MEMBER_STRING | MEMBER_ARRAY | MEMBER_NULL, .max = STOP_MAX_LEN,        \
         .items = MEMBER_STRING, .about = "Words that end the text."},                   \
        {"stop_token_ids", MEMBER_ARRAY | MEMBER_NULL, .max = TALK_MAX_STOP_IDS,         \
         .items = MEMBER_INTEGER, .about = "Tokens that end the text."},                 \
        {"include_stop_str_in_output", TALK_BOOL,                                        \
         .about = "Leave the stop word in the text."},                                   \
        {"ignore_eos", TALK_BOOL, .about = "Go on to the last token allowed."},          \
        {"cache_prompt", TALK_BOOL,                                                      \
         .about = "false: nothing that was run for others is used again."},              \
        {"prompt_cache_key", TALK_STRING, .max = 1024,                                   \
         .about = "What was run is used again only under the same one."},                \
        {"t_max_predict_ms", TALK_INTEGER, .max = 86400000,                              \
         .about = "End the text so long after its first token."},                        \
        {"timings_per_token", TALK_BOOL, .about = "Tell `timings` in each event."},      \
        {"return_tokens", TALK_BOOL, .about = "Tell the ids of the tokens made."},       \
        {"stream", TALK_BOOL, .about = "Answer in server-sent events."},

extern const member talk_stream_options[]; /* of stream_options */

/* Where OpenAI's routes say nothing: temperature 1, and no token less likely than a
 * twentieth of the likeliest, without which small models lose the thread. */
extern const sampler_opts talk_how_openai;

typedef struct talk_ask {
    sampler_opts how;
    uint32_t max_new; /* 0: as many as there is room for */
    bool stream;
    bool logprobs;
    uint32_t n_top;
    stop_set stops;
    bool keeps_stop;
    int32_t stop_ids[TALK_MAX_STOP_IDS];
    uint32_t n_stop_ids;
    sched_bias bias[SCHED_MAX_BIAS];
    uint32_t n_bias;
    bool ignore_eos;
    bool reuses;           /* what was run before */
    const char *cache_key; /* NULL: none */
    uint64_t most_us;
    bool timings, return_tokens;
} talk_ask;

/* Read the members of TALK_SAMPLING that body_check has found good; `ret` holds the
 * route's defaults. */
void talk_ask_read(const json_t *body, talk_ask *ret, problems *out);
/* Against a model's vocabulary: ids must be its own; words that are control tokens end
 * the text as ids do. */
void talk_ask_bind(talk_ask *a, const tok *t, problems *out);
#endif
