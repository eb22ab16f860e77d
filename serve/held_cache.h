/* serve/held_cache.h - what texts are held to, compiled once and shared by the requests
 * that ask for the same.
 *
 *   kind, text, tokenizer -> held_form: grammar, masker (and the functions of a toolset)
 *
 * A form that many ask for at the same time is compiled by the first; the others wait for
 * it.  Forms nobody uses are kept until the bound is passed, the one longest unused goes
 * first.  Masks that one request met serve the next.
 *
 * Threads: get and release from any; a form's masker on the engine thread alone, between
 * get and release.  A form may outlive the model that it was made for: it has the
 * tokenizer's pieces of its own. */
#ifndef SERVE_HELD_CACHE_H
#define SERVE_HELD_CACHE_H
#include "grammar/grammar.h"
#include "grammar/toolcall.h"

typedef struct held_cache held_cache;
typedef struct held_form held_form;

typedef enum form_kind {
    FORM_NONE,
    FORM_SCHEMA,  /* text: JSON Schema */
    FORM_REGEX,   /* an expression */
    FORM_GBNF,    /* a grammar */
    FORM_CHOICES, /* a JSON array of strings */
    FORM_TOOLS,   /* OpenAI's array of functions, with the fields below */
} form_kind;

typedef struct form_ask {
    form_kind kind;
    const char *text;
    size_t len;
    const char *choice; /* tool_choice as JSON; NULL: auto */
    bool one_call;
    uint32_t max_calls; /* 0: any number */
    const toolcall_format *format;
} form_ask;

typedef struct held_cache_stats {
    uint32_t forms;
    size_t bytes;
    uint64_t hits, compiled;
} held_cache_stats;

/* `bytes`: most that unused forms take; 0: 256 MiB. */
ST_NODISCARD int held_cache_new(size_t bytes, held_cache **ret_cache, st_err *err);
void held_cache_free(held_cache *c); /* NULL allowed; every form must be released */
/* Blocks while it is compiled.  Refused as by grammar_schema and toolset_new. */
ST_NODISCARD int held_cache_get(held_cache *c, const tok *t, const form_ask *ask,
                                held_form **ret_form, grammar_refusal *ret_refusal,
                                st_err *err);
void held_cache_stats_get(held_cache *c, held_cache_stats *ret_stats);

void held_form_release(held_form *f); /* NULL allowed */
/* On the engine thread, after use: how much its masks have grown to. */
void held_form_measure(held_form *f);
const grammar *held_form_grammar(const held_form *f);
masker *held_form_masker(const held_form *f);
const toolset *held_form_tools(const held_form *f); /* NULL: no FORM_TOOLS */
#endif
