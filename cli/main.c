/* cli/main.c - find the command, run it, report its error. */
#include "cli/frame.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int report(int rc, const st_err *err)
{
    const char *message = err->code && err->message[0] ? err->message : st_code_text(rc);
    fputs("stint: ", stderr);
    cli_put_text(stderr, message, strlen(message));
    putc('\n', stderr);
    if (err->code && err->hint[0]) {
        fputs("hint: ", stderr);
        cli_put_text(stderr, err->hint, strlen(err->hint));
        putc('\n', stderr);
    }
    return st_code_exit(rc);
}

static int run_command(const char *name, int argc, const char *const *argv, st_err *err)
{
    const cli_command *command = cli_find_command(name);
    cli_args args;
    if (!command) {
        st_err_set(err, ST_EINVAL, "no command '%s'", name);
        st_err_hint(err, "stint --help lists the commands");
        return ST_EINVAL;
    }
    int rc = cli_parse(command, argc, argv, &args, err);
    if (rc)
        return rc;
    if (args.help) {
        cli_help_command(stdout, command);
        return 0;
    }
    rc = command->run(&args, err);
    cli_progress_end();
    return rc;
}

int main(int argc, char **argv)
{
    st_err err = {0};
    const char *word = argc > 1 ? argv[1] : "";
    int rc = 0;
    if (argc < 2) {
        cli_help(stderr);
        return st_code_exit(ST_EINVAL);
    }
    if (strcmp(word, "--version") == 0)
        word = "version";
    if (strcmp(word, "help") == 0 && argc > 2) {
        const char *only[] = {"--help"};
        rc = run_command(argv[2], 1, only, &err);
    } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 ||
               strcmp(word, "help") == 0) {
        cli_help(stdout);
    } else {
        rc = run_command(word, argc - 2, (const char *const *)argv + 2, &err);
    }
    if (fflush(stdout) == EOF && !rc)
        rc = st_err_set(&err, ST_EIO, "standard output: %s", strerror(errno));
    return rc ? report(rc, &err) : 0;
}
