/* serve/talk_form.h - what a body asks a text to be held to.
 *
 *   response_format                     OpenAI, and llama-server's json_object with
 * schema json_schema, grammar                llama-server structured_outputs, guided_...
 * vLLM
 *
 * One of them at most: a text is held one way.
 *
 * Threads: one at a time. */
#ifndef SERVE_TALK_FORM_H
#define SERVE_TALK_FORM_H
#include "serve/body.h"
#include "serve/held_cache.h"

#define TALK_FORMS                                                                       \
    {"json_schema", MEMBER_OBJECT | MEMBER_BOOL | MEMBER_NULL,                           \
     .about = "A schema that the text is held to."},                                     \
        {"grammar", MEMBER_STRING | MEMBER_NULL,                                         \
         .about = "A GBNF grammar that the text is held to."},                           \
        {"structured_outputs", MEMBER_OBJECT | MEMBER_NULL, .of = talk_form_structured,  \
         .about = "What the text is held to: one of its members."},                      \
        {"guided_json", MEMBER_OBJECT | MEMBER_BOOL | MEMBER_STRING | MEMBER_NULL,       \
         .nul = true, .about = "The same as structured_outputs.json."},                  \
        {"guided_regex", MEMBER_STRING | MEMBER_NULL,                                    \
         .about = "The same as structured_outputs.regex."},                              \
        {"guided_choice",                                                                \
         MEMBER_ARRAY | MEMBER_NULL,                                                     \
         .min = 1,                                                                       \
         .max = 100000,                                                                  \
         .items = MEMBER_STRING,                                                         \
         .nul = true,                                                                    \
         .about = "The same as structured_outputs.choice."},                             \
        {"guided_grammar", MEMBER_STRING | MEMBER_NULL,                                  \
         .about = "The same as structured_outputs.grammar."},                            \
        {"show_schema", MEMBER_BOOL | MEMBER_NULL,                                       \
         .about = "Is the schema told to the model?  By default, where the messages do " \
                  "not name what it names."},

extern const member talk_form_structured[];
extern const member talk_form_response[]; /* of response_format */

typedef struct talk_form { /* zeroes: free text */
    form_kind kind;
    char *text; /* owned: JSON, an expression or a grammar */
    size_t len;
    const json_t *schema; /* borrowed from the body, or NULL */
    const char *param;    /* the member that it was asked by, a constant */
    json_t *owned;        /* a schema that came as text */
} talk_form;

/* `format`: the object with "type" (response_format, or text.format of /v1/responses) at
 * `format_at`, or NULL.  talk_form_done in any case. */
void talk_form_read(const json_t *body, const json_t *format, const char *format_at,
                    talk_form *ret, problems *out);
void talk_form_done(talk_form *f);

/* A refusal of held_cache_get, as a problem of the member at fault. */
void talk_form_refused(const char *param, const grammar_refusal *refusal,
                       const st_err *why, problems *out);

/* Does `text` name all members and listed values of the schema? */
bool talk_form_is_told(const json_t *schema, const char *text, size_t len);
/* What the model is told: the schema in compact form; NULL when memory ran out. */
char *talk_form_told(const json_t *schema);
#endif
