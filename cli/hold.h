/* cli/hold.h - the options that hold a model's text to a grammar. */
#ifndef CLI_HOLD_H
#define CLI_HOLD_H
#include "cli/cli.h"
#include "grammar/grammar.h"

#define CLI_HOLD_OPTIONS                                                                 \
    {"schema", 0, "FILE",                                                                \
     "Hold the answer to a JSON Schema, and show it to the model."},                     \
        {"no-schema-prompt", 0, NULL, "Do not show the schema to the model."},           \
        {"regex", 0, "RE", "Hold the answer to a regular expression."},                  \
        {"grammar", 0, "FILE", "Hold the answer to a GBNF grammar."},                    \
    {                                                                                    \
        "choice", 0, "TEXT ...", "Hold the answer to these texts; once for each."        \
    }

typedef struct hold { /* all NULL: nothing is held */
    grammar *grammar;
    vocab *vocab;
    masker *masker;
    char *shown; /* what the model is told about it, or NULL */
} hold;

/* At most one of the options; `t` must outlive it.  On failure *ret is untouched. */
ST_NODISCARD int cli_hold(const cli_args *args, const tok *t, hold *ret, st_err *err);
void hold_done(hold *h); /* zeroes allowed */
#endif
