/* cli/frame.h - what the frame of the program shares with itself, not with commands.
 *
 * The table of commands (commands.c) is the only list: dispatch, help, shell completion
 * and the man page are made from it. */
#ifndef CLI_FRAME_H
#define CLI_FRAME_H
#include "cli/cli.h"
#include <stdio.h>

enum {
    CLI_MAX_OPERANDS = 64, /* operands that one command line may hold */
    CLI_MAX_GIVEN = 64,    /* options that one command line may hold */
};

typedef struct cli_row {
    const char *group; /* heading in the list of commands */
    const cli_command *command;
} cli_row;

const cli_row *cli_rows(size_t *ret_n);
const cli_command *cli_find_command(const char *name); /* NULL when there is none */

typedef struct cli_given {
    const cli_option *option;
    const char *value; /* NULL for a flag */
} cli_given;

struct cli_args {
    const cli_command *command;
    bool help; /* --help was asked: nothing else counts */
    unsigned n_given;
    unsigned n_operands;
    cli_given given[CLI_MAX_GIVEN];
    const char *operands[CLI_MAX_OPERANDS];
};

/* Sort the words after the command's name into options and operands.  ST_EINVAL names
 * the word: unknown, without its value, given twice, or too few or many operands. */
ST_NODISCARD int cli_parse(const cli_command *command, int argc, const char *const *argv,
                           cli_args *ret_args, st_err *err);

void cli_help(FILE *out);                               /* all commands */
void cli_help_command(FILE *out, const cli_command *c); /* one of them */
#endif
