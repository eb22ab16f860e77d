/* cli/cli.h - what every command of the `stint` program shares.
 *
 * One command is one file cli/cmd_NAME.c that defines `const cli_command cli_NAME`, and
 * one row in cli/commands.c.  A command gets its arguments sorted, calls one room,
 * prints, and returns 0 or an ST_E... code; main() prints the error and turns it into the
 * exit status (st_code_exit).  Help, the man page and shell completion are made from the
 * same tables.
 *
 * Standard output carries results only; progress and errors go to standard error. */
#ifndef CLI_CLI_H
#define CLI_CLI_H
#include "base/buf.h"
#include "base/err.h"
#include "base/progress.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct cli_option {
    const char *name;  /* long name without dashes; NULL ends the list */
    char letter;       /* one-letter form, or 0 */
    const char *value; /* placeholder of its value ("FILE"), NULL for a flag; "FILE ..."
                        * where it may be given many times */
    const char *help;  /* one sentence */
} cli_option;

typedef struct cli_args cli_args;

typedef struct cli_command {
    const char *name;
    const char *summary;       /* one line, lower case, no full stop */
    const char *operands;      /* "FILE", "TASK.yaml", "" */
    unsigned min_operands, max_operands;
    const cli_option *options; /* ends with {0} */
    const char *details;       /* paragraphs of the man page; may be NULL */
    const char *example;       /* one real command line, then what it prints */
    int (*run)(cli_args *args, st_err *err);
} cli_command;

const char *cli_get(const cli_args *args, const char *option); /* NULL when absent */
const char *cli_get_nth(const cli_args *args, const char *option, unsigned nth);
bool cli_flag(const cli_args *args, const char *option);
const char *cli_operand(const cli_args *args, unsigned i);     /* NULL when absent */
unsigned cli_n_operands(const cli_args *args);
/* The option as a number in [min, max]; `def` when absent.  ST_EINVAL names it. */
ST_NODISCARD int cli_u64(const cli_args *args, const char *option, uint64_t def,
                         uint64_t min, uint64_t max, uint64_t *ret, st_err *err);
ST_NODISCARD int cli_f64(const cli_args *args, const char *option, double def, double min,
                         double max, double *ret, st_err *err);
/* The required option, or ST_EINVAL saying that it is missing. */
ST_NODISCARD int cli_need(const cli_args *args, const char *option, const char **ret,
                          st_err *err);

/* A progress bar on standard error when that is a terminal and the work takes over a
 * second; nothing otherwise. */
st_progress cli_progress(void);
void cli_progress_end(void);

bool cli_stdout_is_terminal(void);

/* Call `fn` for each line of a JSON-lines file ("-": standard input).  Each line must be
 * a JSON object; blank lines are skipped; NUL characters in strings are allowed.  An
 * error names file and line.  `fn` returns 0 to go on. */
typedef int cli_row_fn(void *arg, json_t *row, size_t line, st_err *err);
ST_NODISCARD int cli_each_row(const char *path, cli_row_fn *fn, void *arg, st_err *err);

/* A string as JSON; bytes that are not UTF-8 become U+FFFD.  NULL when out of memory. */
json_t *cli_json_text(const char *s, size_t len);

/* One line of compact JSON on standard output, flushed; `row` is released. */
ST_NODISCARD int cli_print_json(json_t *row, st_err *err);

/* Text from a file that nobody vouches for: control characters, which could drive the
 * terminal, and bytes that are not UTF-8 are shown as "?". */
void cli_put_text(FILE *out, const char *text, size_t len);
#endif
