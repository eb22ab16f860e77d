/* cli/cmd_grammar.c - stint grammar: schemas that text can be held to. */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/grammar_masks.h"
#include "grammar/grammar.h"
#include "grammar/instance.h"
#include <errno.h>
#include <string.h>

enum { MAX_INPUT = 256 << 20 }; /* bytes of a schema, a value or a line's answer */

/* One line in, one out; a malformed one does not end the work but fails it. */
static int check_line(const char *line, size_t len, size_t number,
                      const instance_opts *opts, st_buf *out, st_err *first)
{
    st_err why = {0};
    st_buf_reset(out);
    int rc = instance_check_line(line, len, opts, out, &why);
    if (rc < 0 && rc != ST_EFORMAT) {
        st_err_at(&why, "line %zu", number);
        return st_err_set(first, rc, "%s", why.message);
    }
    if (rc == ST_EFORMAT)
        st_err_set(first, rc, "line %zu: %s", number, why.message);
    if (fwrite(out->data, 1, out->len, stdout) != out->len)
        return st_err_set(first, ST_EIO, "standard output: %s", strerror(errno));
    return 0;
}

static int check_lines(const char *path, const instance_opts *opts, st_err *err)
{
    st_err first = {0}; /* of a line: all lines are answered before it is reported */
    st_buf out;
    char *line = NULL;
    size_t cap = 0, number = 0;
    ssize_t n;
    int rc = 0;
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (!in)
        return st_err_set(err, errno == ENOENT ? ST_ENOTFOUND : ST_EIO, "%s: %s", path,
                          strerror(errno));
    st_buf_init(&out, MAX_INPUT);
    while (rc == 0 && (n = getline(&line, &cap, in)) > 0) {
        size_t len = (size_t)n - (line[n - 1] == '\n');
        rc = check_line(line, len, ++number, opts, &out, &first);
    }
    if (rc == 0 && ferror(in))
        rc = st_err_set(&first, ST_EIO, "%s: %s", path, strerror(errno));
    if (fflush(stdout) != 0 && rc == 0)
        rc = st_err_set(&first, ST_EIO, "standard output: %s", strerror(errno));
    if (in != stdin)
        fclose(in);
    free(line);
    st_buf_done(&out);
    return first.code ? st_err_set(err, first.code, "%s: %s", path, first.message) : 0;
}

/* Can it be compiled?  Where not, the error names the place and a way round. */
static int check_schema(const char *path, bool any_order, grammar **ret, st_err *err)
{
    char *text;
    size_t len;
    grammar_schema_opts opts = {.space = GRAMMAR_EITHER, .any_order = any_order};
    int rc = st_file_read(path, MAX_INPUT, &text, &len, err);
    if (rc < 0)
        return rc;
    uint64_t from = st_clock_us();
    rc = grammar_schema(text, len, &opts, ret, NULL, err);
    st_free(text);
    if (rc < 0) {
        st_err_at(err, "%s", path);
        return rc;
    }
    printf("schema: compiled in %.1f ms\n", (double)(st_clock_us() - from) / 1e3);
    return 0;
}

/* Would this value be written? */
static int check_value(const grammar *g, const char *path, bool any_order, st_err *err)
{
    char *text;
    size_t len;
    int rc = st_file_read(path, MAX_INPUT, &text, &len, err);
    if (rc < 0)
        return rc;
    rc = grammar_validate(g, text, len, err);
    if (rc == 0)
        rc = instance_check(g, text, len, &(instance_opts){.any_order = any_order}, err);
    st_free(text);
    if (rc < 0)
        st_err_at(err, "%s", path);
    else
        printf("data: would be written\n");
    return rc;
}

static int run(cli_args *args, st_err *err)
{
    const char *schema = cli_get(args, "schema"), *data = cli_get(args, "data");
    const char *lines = cli_operand(args, 1);
    instance_opts opts = {.any_order = cli_flag(args, "any-order"),
                          .times = cli_flag(args, "times")};
    const char *tokens = cli_get(args, "vocab");
    grammar *g = NULL;
    if (strcmp(cli_operand(args, 0), "masks") == 0) {
        if (!tokens || !lines || schema || data || cli_flag(args, "jsonl"))
            return st_err_set(err, ST_EINVAL,
                              "grammar masks: needs --vocab FILE and a file of rows");
        return grammar_masks(tokens, lines, err);
    }
    if (strcmp(cli_operand(args, 0), "check") != 0)
        return st_err_set(err, ST_EINVAL, "grammar: no '%s'; try 'check' or 'masks'",
                          cli_operand(args, 0));
    if (tokens)
        return st_err_set(err, ST_EINVAL, "grammar check: --vocab is for 'masks'");
    if (cli_flag(args, "jsonl") == (schema != NULL) || (lines && schema))
        return st_err_set(err, ST_EINVAL,
                          "grammar check: needs --jsonl [FILE] or --schema FILE");
    if (data && !schema)
        return st_err_set(err, ST_EINVAL, "grammar check: --data needs --schema");
    if (!schema)
        return check_lines(lines ? lines : "-", &opts, err);
    int rc = check_schema(schema, opts.any_order, &g, err);
    if (rc == 0 && data)
        rc = check_value(g, data, opts.any_order, err);
    grammar_free(g);
    return rc;
}

static const cli_option options[] = {
    {"jsonl", 0, NULL,
     "Read rows {\"schema\", \"tests\": [{\"data\"}]} from FILE or standard input."},
    {"schema", 0, "FILE", "Check one JSON Schema."},
    {"data", 0, "FILE", "Check a value against --schema."},
    {"any-order", 0, NULL, "Members in the order of the data, not of the schema."},
    {"times", 0, NULL, "Add \"compile_us\" to the answers of --jsonl."},
    {"vocab", 0, "FILE", "GGUF file whose tokenizer 'masks' takes."},
    {0},
};

const cli_command cli_grammar = {
    .name = "grammar",
    .summary = "check schemas that text is to be held to; time their masks",
    .operands = "check|masks [FILE]",
    .min_operands = 1,
    .max_operands = 2,
    .options = options,
    .details =
        "A schema that cannot be held exactly is refused; the error names the place by "
        "its JSON pointer, the keyword, and a way to rewrite it.  Data is checked twice: "
        "would every byte of it be allowed by the mask, and is it valid?\n\n"
        "With --jsonl each row is answered by one line, {\"compiled\": true, "
        "\"accepts\": "
        "[true, ...]} or {\"compiled\": false, \"pointer\", \"keyword\", \"message\", "
        "\"hint\"}.  A line that is no such row is answered by {\"error\"}, and the exit "
        "status then is not 0.\n\n"
        "'masks' takes the rows of FILE too: the text of each valid value (\"valid\": "
        "true, "
        "or not said) is tokenised, and the mask before each of its tokens is timed.",
    .example = "stint grammar check --schema order.json --data answer.json\n"
               "schema: compiled in 0.3 ms\n"
               "data: would be written",
    .run = run,
};
