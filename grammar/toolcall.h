/* grammar/toolcall.h - functions that a model may call, and how its family writes a call.
 *
 *   tools, tool_choice (OpenAI's JSON) -> toolset -.
 *   chat template -> toolcall_format --------------+-> grammar_tools -> masks
 *                                                  '-> toolcalls_read -> content, calls
 *
 * A call names a function of the set and its arguments fit the function's `parameters`;
 * the masks see to it, and toolcalls_read, which shares no code with them, looks again.
 * `strict` is true of every function, whatever it says.
 *
 * A function takes the arguments it names: an object schema that lists properties and
 * says nothing of others (no additionalProperties, no $ref, no combination) is read as
 * closed.
 *
 * Threads: sets and formats are immutable.  Memory: texts are copied. */
#ifndef GRAMMAR_TOOLCALL_H
#define GRAMMAR_TOOLCALL_H
#include "base/buf.h"
#include "base/err.h"
#include "grammar/grammar.h"

typedef struct toolset toolset;
typedef struct toolcall_format toolcall_format;

enum { TOOLSET_MAX = 128, TOOL_NAME_MAX = 64 };

typedef struct toolset_opts {
    const char *choice; /* `tool_choice` as JSON; NULL: "auto" */
    size_t choice_len;
    bool one_call;      /* parallel_tool_calls: false */
    uint32_t max_calls; /* in one answer; 0: as many as the model likes */
} toolset_opts;

/* `tools` is OpenAI's array of {"type": "function", "function": {"name", "description",
 * "parameters", "strict"}}; `opts` NULL: all defaults.  What is wrong with it: ST_EINVAL
 * or ST_EFORMAT, ret_refusal->pointer "/tools/2/function/name" or "/tool_choice/...". */
ST_NODISCARD int toolset_new(const char *tools, size_t len, const toolset_opts *opts,
                             toolset **ret, grammar_refusal *ret_refusal, st_err *err);
void toolset_free(toolset *set); /* NULL allowed */
uint32_t toolset_n(const toolset *set);
const char *toolset_name(const toolset *set, uint32_t i);
bool toolset_is_none(const toolset *set); /* tool_choice "none": no call is allowed */

/* The format that a model with this chat template writes; NULL or one that is not known:
 * the format "json", which toolset_instructions explains to the model. */
const toolcall_format *toolcall_format_of(const char *chat_template);
const toolcall_format *toolcall_format_named(const char *name); /* NULL: none */
const toolcall_format *toolcall_format_at(uint32_t i);          /* NULL behind the last */
const char *toolcall_format_name(const toolcall_format *format);
/* The template shows the tools itself; else give the model the instructions. */
bool toolcall_format_is_own(const toolcall_format *format);

/* Append what a model is told of the functions when its template has no place for them:
 * text of a system turn. */
ST_NODISCARD int toolset_instructions(const toolset *set, st_buf *out, st_err *err);

/* Texts that are content, calls or both, as tool_choice has it.  The set must outlive the
 * grammar.  Refused as by grammar_schema, at "/tools/2/function/parameters/...". */
ST_NODISCARD int grammar_tools(const toolset *set, const toolcall_format *format,
                               grammar **ret, grammar_refusal *ret_refusal, st_err *err);

typedef struct toolcall {
    const char *name;
    const char *arguments; /* a JSON object as the model wrote it */
    const char *id;        /* "" when the model wrote none */
} toolcall;

typedef struct toolcalls {
    const char *content; /* "" when there is none; a NUL follows */
    size_t content_len;
    toolcall *calls; /* [n] */
    uint32_t n;
    st_buf bytes; /* of all texts */
} toolcalls;

/* Read a finished text, control tokens spelled.  `set` NULL: any name, any arguments.
 * Blanks between the marks of a format are free.  ST_EFORMAT: says at which byte and
 * what was expected, or which argument is wrong. */
ST_NODISCARD int toolcalls_read(const toolset *set, const toolcall_format *format,
                                const char *text, size_t len, toolcalls *ret,
                                st_err *err);
void toolcalls_done(toolcalls *calls);
/* What is certain of an answer that grammar_tools holds and that is still being made. */
typedef struct toolcalls_seen { /* zeroes to begin with; kept between calls */
    size_t begin, end;          /* of the content that will stay */
    bool begun;                 /* calls have: the content is whole; */
    size_t calls;               /* and where they begin */
} toolcalls_seen;
/* text[0, len) has grown since the last look. */
void toolcalls_look(const toolcall_format *format, const char *text, size_t len,
                    toolcalls_seen *seen);

typedef struct toolcall_part { /* points into the text */
    const char *name, *id, *arguments;
    size_t name_len, id_len, arguments_len; /* arguments: as far as they are there */
    bool named; /* the name, and the id where the format writes one, are whole */
    bool whole; /* the arguments too */
} toolcall_part;
/* The call that begins at *at (from `seen` for the first, then as the last whole one left
 * it).  False: none begins there yet.  *at moves on behind a whole one. */
bool toolcalls_part(const toolcall_format *format, const char *text, size_t len,
                    const toolcalls_seen *seen, size_t *at, toolcall_part *ret);

/* Append the text that the format has for them: what toolcalls_read reads. */
ST_NODISCARD int toolcalls_write(const toolcall_format *format, const toolcalls *calls,
                                 st_buf *out, st_err *err);
#endif
