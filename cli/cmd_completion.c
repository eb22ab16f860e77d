/* cli/cmd_completion.c - stint completion: scripts for the shells, from the table. */
#include "cli/frame.h"

#include <stdio.h>
#include <string.h>

static void print_names(void)
{
    size_t n;
    const cli_row *rows = cli_rows(&n);
    for (size_t i = 0; i < n; i++)
        printf("%s%s", i ? " " : "", rows[i].command->name);
}

static void print_bash(void)
{
    size_t n;
    const cli_row *rows = cli_rows(&n);
    printf("# bash completion of stint; eval \"$(stint completion bash)\"\n"
           "_stint()\n{\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} options=--help\n"
           "    COMPREPLY=()\n"
           "    if ((COMP_CWORD == 1)); then\n"
           "        COMPREPLY=($(compgen -W '");
    print_names();
    printf(" help --help --version' -- \"$word\"))\n        return\n    fi\n"
           "    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < n; i++) {
        printf("    %s) options='", rows[i].command->name);
        for (const cli_option *o = rows[i].command->options; o && o->name; o++)
            printf("--%s ", o->name);
        printf("--help' ;;\n");
    }
    printf(
        "    esac\n"
        "    [[ $word != -* ]] || COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
        "}\ncomplete -o default -F _stint stint\n");
}

/* Text inside single quotes and _arguments brackets. */
static void print_zsh_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr("[]:\\", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void print_zsh_option(const cli_option *o)
{
    printf(" \\\n            '--%s%s[", o->name, o->value ? "=" : "");
    print_zsh_text(o->help);
    printf("]");
    if (o->value) {
        printf(":");
        print_zsh_text(o->value);
        printf(":_files");
    }
    printf("'");
}

static void print_zsh(void)
{
    size_t n;
    const cli_row *rows = cli_rows(&n);
    printf("#compdef stint\n"
           "# zsh completion of stint; put it in a folder of $fpath as _stint\n"
           "_stint()\n{\n    local -a commands\n    commands=(\n");
    for (size_t i = 0; i < n; i++) {
        printf("        '%s:", rows[i].command->name);
        print_zsh_text(rows[i].command->summary);
        printf("'\n");
    }
    printf("    )\n    if ((CURRENT == 2)); then\n"
           "        _describe command commands\n        return\n    fi\n"
           "    local command=$words[2]\n    shift words\n    ((CURRENT--))\n"
           "    case $command in\n");
    for (size_t i = 0; i < n; i++) {
        printf("    %s)\n        _arguments '--help[Show help.]'", rows[i].command->name);
        for (const cli_option *o = rows[i].command->options; o && o->name; o++)
            print_zsh_option(o);
        printf(" \\\n            '*:file:_files' ;;\n");
    }
    printf("    esac\n}\ncompdef _stint stint\n");
}

static int run(cli_args *args, st_err *err)
{
    const char *shell = cli_operand(args, 0);
    if (strcmp(shell, "bash") == 0) {
        print_bash();
    } else if (strcmp(shell, "zsh") == 0) {
        print_zsh();
    } else {
        st_err_set(err, ST_EINVAL, "completion: no script for '%s'", shell);
        st_err_hint(err, "bash or zsh");
        return ST_EINVAL;
    }
    return 0;
}

static const cli_option options[] = {{0}};

const cli_command cli_completion = {
    .name = "completion",
    .summary = "print a script that completes commands and options in a shell",
    .operands = "bash|zsh",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .example = "eval \"$(stint completion bash)\"",
    .run = run,
};
