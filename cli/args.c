/* cli/args.c - a command line sorted into options and operands.
 *
 * `--name value`, `--name=value`, `-n value`, `-nvalue`; flags may not be joined.  "--"
 * ends the options and "-" is an operand.  An option is given at most once, unless it
 * says otherwise: the second would silently win.  Nothing is copied; the words live as
 * long as argv. */
#include "cli/frame.h"

#include "base/compiler.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const cli_option *find_option(const cli_command *c, const char *name, size_t len,
                                     char letter)
{
    for (const cli_option *o = c->options; o && o->name; o++) {
        if (letter ? o->letter == letter
                   : strlen(o->name) == len && strncmp(o->name, name, len) == 0)
            return o;
    }
    return NULL;
}

static int bad_word(const cli_command *c, st_err *err, const char *what, const char *word)
{
    st_err_set(err, ST_EINVAL, "%s: %s '%s'", c->name, what, word);
    st_err_hint(err, "see stint %s --help", c->name);
    return ST_EINVAL;
}

/* May it be given many times?  Its placeholder ends with " ...". */
static bool repeats(const cli_option *o)
{
    size_t n = o->value ? strlen(o->value) : 0;
    return n > 4 && strcmp(o->value + n - 4, " ...") == 0;
}

static int add_given(cli_args *args, const cli_option *o, const char *value, st_err *err)
{
    for (unsigned i = 0; i < args->n_given; i++) {
        if (args->given[i].option == o && !repeats(o))
            return bad_word(args->command, err, "option given twice:", o->name);
    }
    if (args->n_given == CLI_MAX_GIVEN)
        return bad_word(args->command, err, "too many options at", o->name);
    args->given[args->n_given++] = (cli_given){o, value};
    return 0;
}

static bool is_word(const char *word, const char *letter, const char *name)
{
    return strcmp(word, letter) == 0 || strcmp(word, name) == 0;
}

/* Take the option that starts at argv[*at]; *at moves over its value. */
static int take_option(cli_args *args, int argc, const char *const *argv, int *at,
                       st_err *err)
{
    const cli_command *c = args->command;
    const char *word = argv[*at];
    bool is_long = word[1] == '-';
    const char *equals = is_long ? strchr(word, '=') : NULL;
    size_t len = !is_long ? 0 : equals ? (size_t)(equals - word - 2) : strlen(word + 2);
    const cli_option *o = find_option(c, word + 2, len, is_long ? 0 : word[1]);
    const char *joined = equals ? equals + 1 : !is_long && word[2] ? word + 2 : NULL;
    if (!o)
        return bad_word(c, err, "unknown option", word);
    if (!o->value)
        return joined ? bad_word(c, err, "no value belongs to the flag", word)
                      : add_given(args, o, NULL, err);
    if (!joined) {
        if (*at + 1 >= argc)
            return bad_word(c, err, "no value after", word);
        joined = argv[++*at];
    }
    return add_given(args, o, joined, err);
}

static int check_operands(const cli_args *args, st_err *err)
{
    const cli_command *c = args->command;
    if (args->n_operands < c->min_operands) {
        st_err_set(err, ST_EINVAL, "%s: %s is missing", c->name, c->operands);
        st_err_hint(err, "usage: stint %s %s; see stint %s --help", c->name, c->operands,
                    c->name);
        return ST_EINVAL;
    }
    if (args->n_operands > c->max_operands)
        return bad_word(c, err, "unexpected word", args->operands[c->max_operands]);
    return 0;
}

int cli_parse(const cli_command *command, int argc, const char *const *argv,
              cli_args *ret_args, st_err *err)
{
    cli_args args = {.command = command};
    bool only_operands = false;
    int rc = 0;
    for (int i = 0; i < argc && !rc; i++) {
        const char *word = argv[i];
        if (only_operands || word[0] != '-' || !word[1]) {
            if (args.n_operands == CLI_MAX_OPERANDS)
                return bad_word(command, err, "too many words at", word);
            args.operands[args.n_operands++] = word;
        } else if (strcmp(word, "--") == 0) {
            only_operands = true;
        } else if (is_word(word, "-h", "--help")) {
            args.help = true;
            *ret_args = args;
            return 0;
        } else {
            rc = take_option(&args, argc, argv, &i, err);
        }
    }
    if (!rc)
        rc = check_operands(&args, err);
    if (!rc)
        *ret_args = args;
    return rc;
}

static const cli_given *find_given(const cli_args *args, const char *option)
{
    for (unsigned i = 0; i < args->n_given; i++) {
        if (strcmp(args->given[i].option->name, option) == 0)
            return &args->given[i];
    }
    return NULL;
}

const char *cli_get(const cli_args *args, const char *option)
{
    const cli_given *given = find_given(args, option);
    return given ? given->value : NULL;
}

const char *cli_get_nth(const cli_args *args, const char *option, unsigned nth)
{
    for (unsigned i = 0; i < args->n_given; i++)
        if (strcmp(args->given[i].option->name, option) == 0 && nth-- == 0)
            return args->given[i].value;
    return NULL;
}

bool cli_flag(const cli_args *args, const char *option)
{
    return find_given(args, option) != NULL;
}

const char *cli_operand(const cli_args *args, unsigned i)
{
    return i < args->n_operands ? args->operands[i] : NULL;
}

unsigned cli_n_operands(const cli_args *args)
{
    return args->n_operands;
}

static int bad_number(const cli_args *args, const char *option, const char *text,
                      st_err *err)
{
    return st_err_set(err, ST_EINVAL, "%s: --%s: '%s' is not a number in its range",
                      args->command->name, option, text);
}

int cli_u64(const cli_args *args, const char *option, uint64_t def, uint64_t min,
            uint64_t max, uint64_t *ret, st_err *err)
{
    const char *text = cli_get(args, option);
    if (!text) {
        *ret = def;
        return 0;
    }
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || v < min || v > max) {
        bad_number(args, option, text, err);
        st_err_hint(err, "a whole number from %llu to %llu", (unsigned long long)min,
                    (unsigned long long)max);
        return ST_EINVAL;
    }
    *ret = v;
    return 0;
}

int cli_f64(const cli_args *args, const char *option, double def, double min, double max,
            double *ret, st_err *err)
{
    const char *text = cli_get(args, option);
    if (!text) {
        *ret = def;
        return 0;
    }
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !isfinite(v) || v < min || v > max) {
        bad_number(args, option, text, err);
        st_err_hint(err, "a number from %g to %g", min, max);
        return ST_EINVAL;
    }
    *ret = v;
    return 0;
}

int cli_need(const cli_args *args, const char *option, const char **ret, st_err *err)
{
    const char *text = cli_get(args, option);
    if (!text) {
        st_err_set(err, ST_EINVAL, "%s: --%s is missing", args->command->name, option);
        st_err_hint(err, "see stint %s --help", args->command->name);
        return ST_EINVAL;
    }
    *ret = text;
    return 0;
}
