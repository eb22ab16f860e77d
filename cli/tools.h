/* cli/tools.h - functions that a model may call, for stint run. */
#ifndef CLI_TOOLS_H
#define CLI_TOOLS_H
#include "cli/cli.h"
#include "expert/lm.h"
#include "grammar/toolcall.h"

#define CLI_TOOLS_OPTIONS                                                                \
    {"tools", 0, "FILE", "Functions to call: OpenAI's array of tools."},                 \
        {"tool-choice", 0, "WHICH", "auto (default), none, required or a name."},        \
        {"no-parallel-tool-calls", 0, NULL, "At most one call in an answer."},           \
    {                                                                                    \
        "max-tool-calls", 0, "N", "Most calls in an answer; any number when not given."  \
    }

typedef struct cli_tools { /* what all rows of a run share */
    bool given;            /* by an option; else only rows may have functions */
    json_t *tools;         /* owned; NULL: only those of rows */
    json_t *choice;        /* owned; NULL: auto */
    bool one_call;
    uint32_t max_calls;
    vocab *vocab; /* owned; made for the first row */
} cli_tools;

/* What the options say.  cli_tools_done in any case. */
ST_NODISCARD int cli_tools_read(const cli_args *args, cli_tools *ret, st_err *err);
void cli_tools_done(cli_tools *t);

typedef struct called {  /* the functions of one row */
    const json_t *tools; /* borrowed from the row or the cli_tools; NULL: none */
    char *text, *choice; /* of tools and tool_choice */
    toolset *set;
    const toolcall_format *format;
    grammar *grammar;
    masker *masker;
} called;

/* The row's own "tools", "tool_choice" and "parallel_tool_calls" come before the options;
 * `row` may be NULL.  called_done in any case. */
ST_NODISCARD int called_open(cli_tools *t, const lm *l, const json_t *row, called *ret,
                             st_err *err);
void called_done(called *c);
/* The prompt of OpenAI's messages. */
ST_NODISCARD int called_encode(const called *c, const lm *l, const json_t *messages,
                               tok_ids *ids, st_err *err);
/* {"content", "tool_calls", "finish"} of a whole answer. */
ST_NODISCARD int called_read(const called *c, const st_buf *text, json_t **ret,
                             st_err *err);
#endif
