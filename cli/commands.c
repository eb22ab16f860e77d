/* cli/commands.c - the table of commands.
 *
 * A new command is one file cli/cmd_NAME.c, one row here, and one word in meson.build.
 * Rows of one group stand together. */
#include "cli/frame.h"

#include "base/compiler.h"
#include <string.h>

/* group, name: cli_NAME is defined in cmd_NAME.c */
#define COMMANDS(X)                                                                      \
    X("Work on a task", check)                                                           \
    X("Work on a task", fit)                                                             \
    X("Work on a task", decide)                                                          \
    X("Ask a model", run)                                                                \
    X("Ask a model", extract)                                                            \
    X("Ask a model", embed)                                                              \
    X("Serve", serve)                                                                    \
    X("Serve", key)                                                                      \
    X("Look at models", inspect)                                                         \
    X("Look at models", tokenize)                                                        \
    X("Look at models", logits)                                                          \
    X("Look at models", convert)                                                         \
    X("Look at models", render)                                                          \
    X("Look at models", dequant)                                                         \
    X("Look at models", grammar)                                                         \
    X("Look at models", bench)                                                           \
    X("About this program", completion)                                                  \
    X("About this program", man)                                                         \
    X("About this program", version)

#define COMMAND_EXTERN(group, name) extern const cli_command cli_##name;
COMMANDS(COMMAND_EXTERN)
#undef COMMAND_EXTERN

static const cli_row rows[] = {
#define COMMAND_ROW(group, name) {group, &cli_##name},
    COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
};

const cli_row *cli_rows(size_t *ret_n)
{
    *ret_n = ST_COUNT(rows);
    return rows;
}

const cli_command *cli_find_command(const char *name)
{
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        if (strcmp(rows[i].command->name, name) == 0)
            return rows[i].command;
    }
    return NULL;
}
