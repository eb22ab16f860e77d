/* cli/help.c - help text made from the table of commands. */
#include "cli/frame.h"

#include <string.h>

enum { TERM_WIDTH = 26 }; /* columns of an option before its sentence */

void cli_help(FILE *out)
{
    size_t n;
    const cli_row *rows = cli_rows(&n);
    fputs("usage: stint COMMAND [OPTION]... [OPERAND]...\n"
          "Small language models that do one job well, on ordinary CPUs.\n",
          out);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(rows[i].group, rows[i - 1].group) != 0)
            fprintf(out, "\n%s:\n", rows[i].group);
        fprintf(out, "  %-12s %s\n", rows[i].command->name, rows[i].command->summary);
    }
    fputs("\n'stint COMMAND --help' shows a command's options and an example.\n", out);
}

static void help_option(FILE *out, const cli_option *o)
{
    char term[64];
    char letter[8] = "    ";
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(term, sizeof term, "%s--%s%s%s", letter, o->name, o->value ? " " : "",
             o->value ? o->value : "");
    fprintf(out, "  %-*s %s\n", TERM_WIDTH, term, o->help);
}

/* The lines of `text`, indented. */
static void help_indented(FILE *out, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        fprintf(out, "%s%.*s\n", len ? "  " : "", (int)len, text);
        text += len + (text[len] == '\n');
    }
}

void cli_help_command(FILE *out, const cli_command *c)
{
    const cli_option help = {"help", 'h', NULL, "Show this text."};
    fprintf(out, "usage: stint %s%s%s%s\n%s\n", c->name,
            c->options && c->options->name ? " [OPTION]..." : "",
            c->operands && *c->operands ? " " : "", c->operands ? c->operands : "",
            c->summary);
    if (c->details)
        fprintf(out, "\n%s\n", c->details);
    fputs("\noptions:\n", out);
    for (const cli_option *o = c->options; o && o->name; o++)
        help_option(out, o);
    help_option(out, &help);
    if (c->example) {
        fputs("\nexample:\n", out);
        help_indented(out, c->example);
    }
}
