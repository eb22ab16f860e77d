/* cli/cmd_man.c - stint man: the manual page (roff), from the table. */
#include "cli/frame.h"

#include "base/compiler.h"
#include <stdio.h>
#include <string.h>

/* Text as roff prints it: no line is taken for a request, no hyphen for a dash. */
static void print_roff(const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
        line_start = *text == '\n';
    }
}

static void print_option(const cli_option *o)
{
    printf(".TP\n");
    if (o->letter)
        printf("\\fB\\-%c\\fR, ", o->letter);
    printf("\\fB\\-\\-");
    print_roff(o->name);
    printf("\\fR");
    if (o->value) {
        printf(" \\fI");
        print_roff(o->value);
        printf("\\fR");
    }
    putchar('\n');
    print_roff(o->help);
    putchar('\n');
}

/* Paragraphs: an empty line of the text starts the next one. */
static void print_paragraphs(const char *text)
{
    printf(".PP\n");
    for (const char *gap; (gap = strstr(text, "\n\n")); text = gap + 2) {
        char part[2048];
        snprintf(part, sizeof part, "%.*s", (int)(gap - text), text);
        print_roff(part);
        printf("\n.PP\n");
    }
    print_roff(text);
    putchar('\n');
}

static void print_command(const cli_command *c)
{
    printf(".SS stint %s ", c->name);
    print_roff(c->operands);
    putchar('\n');
    char first = c->summary[0];
    putchar(first >= 'a' && first <= 'z' ? first - 'a' + 'A' : first);
    print_roff(c->summary + 1);
    printf(".\n");
    if (c->details)
        print_paragraphs(c->details);
    for (const cli_option *o = c->options; o && o->name; o++)
        print_option(o);
    if (c->example) {
        printf(".PP\nExample:\n.PP\n.nf\n.RS\n");
        print_roff(c->example);
        printf("\n.RE\n.fi\n");
    }
}

static void print_exit_codes(void)
{
    static const struct {
        int status;
        const char *text;
    } rows[] = {
#define EXIT_ROW(name, value, text, exit) {exit, text},
        ST_ERR_MAP(EXIT_ROW)
#undef EXIT_ROW
    };
    printf(".SH EXIT STATUS\n.TP\n.B 0\nsuccess\n");
    for (size_t i = 0; i < ST_COUNT(rows); i++)
        printf(".TP\n.B %d\n%s\n", rows[i].status, rows[i].text);
}

static void print_environment(void)
{
    printf(
        ".SH ENVIRONMENT\n.TP\n.B STINT_CPU\n"
        "Highest kernel level to use: c, avx2 or avx512.\n"
        ".TP\n.B STINT_MODELS\nFolder in which model names are looked up.\n"
        ".TP\n.B STINT_CACHE\nFolder for what makes the next start fast: packed\n"
        "weights, about as large as each model's file, digests of model files, and\n"
        "what a model computes for a contract alone.\n"
        "$XDG_CACHE_HOME/stint or ~/.cache/stint when not set; \"off\" keeps nothing.\n"
        "It must belong to the user alone, and may be removed at any time; beyond\n"
        "16 GiB the least used files go.\n");
}

static int run(cli_args *args, st_err *err)
{
    size_t n;
    const cli_row *rows = cli_rows(&n);
    (void)args;
    (void)err;
    printf(
        ".TH STINT 1 \"\" \"stint %s\" \"User Commands\"\n"
        ".SH NAME\nstint \\- small language models that do one job well, on ordinary "
        "CPUs\n"
        ".SH SYNOPSIS\n.B stint\n.I COMMAND\n[\\fIOPTION\\fR]... [\\fIOPERAND\\fR]...\n"
        ".SH DESCRIPTION\n"
        "Results go to standard output, one JSON object a line where a command says so;\n"
        "progress and errors go to standard error. An option is written\n"
        "\\fB\\-\\-name value\\fR or \\fB\\-\\-name=value\\fR, once; \\fB\\-\\-\\fR ends "
        "them.\n"
        ".SH COMMANDS\n",
        STINT_VERSION);
    for (size_t i = 0; i < n; i++)
        print_command(rows[i].command);
    print_exit_codes();
    print_environment();
    return 0;
}

static const cli_option options[] = {{0}};

const cli_command cli_man = {
    .name = "man",
    .summary = "print the manual page",
    .operands = "",
    .options = options,
    .example = "stint man | man -l -",
    .run = run,
};
