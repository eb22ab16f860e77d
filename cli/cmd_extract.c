/* cli/cmd_extract.c - stint extract: fields of texts, by a schema and without a contract.
 *
 * The options become the contract that they stand for; all else is that of a task. */
#include "cli/extract.h"

#include "base/mem.h"
#include <string.h>

enum { MAX_CONTRACT = 1 << 20 };

/* "key: value" with the value as a JSON string, which YAML reads as one. */
static void put_line(st_buf *out, const char *key, const char *value)
{
    json_t *text = cli_json_text(value, strlen(value));
    char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
    (void)st_buf_fmt(out, "%s%s%s\n", key, quoted ? quoted : "\"\"",
                     strchr(key, '[')   ? "]"
                     : strchr(key, '{') ? "}"
                                        : "");
    st_free(quoted);
    json_decref(text);
}

static int make_contract(const cli_args *args, contract **ret_contract, st_err *err)
{
    const char *name;
    const char *schema;
    const char *instructions = cli_get(args, "instructions");
    const char *examples = cli_get(args, "examples");
    uint64_t tokens;
    st_buf text;
    int rc = cli_need(args, "model", &name, err);
    if (rc == 0)
        rc = cli_need(args, "schema", &schema, err);
    if (rc == 0)
        rc = cli_u64(args, "tokens", CONTRACT_OUTPUT_TOKENS, 1, CONTRACT_MAX_TOKENS,
                     &tokens, err);
    if (rc)
        return rc;
    st_buf_init(&text, MAX_CONTRACT);
    (void)st_buf_str(&text, "task: extract\n");
    put_line(&text, "models: [", name);
    (void)st_buf_str(&text, "question:\n  type: extract\n");
    put_line(&text, "  schema: ", schema);
    if (instructions)
        put_line(&text, "  instructions: ", instructions);
    (void)st_buf_fmt(&text, "output: {max_tokens: %llu}\n", (unsigned long long)tokens);
    if (examples)
        put_line(&text, "data: {train: ", examples);
    rc = text.code
             ? st_err_set(err, text.code, "out of memory")
             : contract_parse("stint extract", text.data, text.len, ret_contract, err);
    st_buf_done(&text);
    return rc;
}

static int extract_input(extraction *x, const char *input, st_err *err)
{
    const data_opts how = {0};
    data_set *set;
    int rc = data_load(input, &extraction_contract(x)->question, &how, &set, err);
    if (rc)
        return rc;
    rc = extract_rows(x, set, false, false, err);
    data_free(set);
    return rc;
}

static int run(cli_args *args, st_err *err)
{
    const char *text = cli_operand(args, 0);
    const char *input = cli_get(args, "input");
    bool rows = cli_flag(args, "jsonl");
    extraction_opts opts = {.unfitted = true};
    uint64_t threads;
    contract *c;
    extraction *x;
    if (!text == !(rows || input))
        return st_err_set(err, ST_EINVAL, "extract: give a text, or rows with --jsonl");
    int rc = cli_u64(args, "threads", 0, 1, 1024, &threads, err);
    if (rc == 0)
        rc = make_contract(args, &c, err);
    if (rc)
        return rc;
    opts.n_threads = (unsigned)threads;
    rc = extraction_open(c, &opts, &x, err);
    if (rc)
        return rc;
    rc = text ? extract_text(x, text, !cli_stdout_is_terminal(), false, err)
              : extract_input(x, input ? input : "-", err);
    extraction_close(x);
    return rc;
}

static const cli_option options[] = {
    {"schema", 's', "FILE", "The JSON Schema that every answer is held to."},
    {"model", 'm', "MODEL", "A GGUF file, or a name in $STINT_MODELS."},
    {"instructions", 0, "TEXT", "What to do, in words; the fields' descriptions go too."},
    {"examples", 0, "FILE", "Rows with input and output; the nearest are shown."},
    {"tokens", 'n', "N", "Most tokens of an answer (512); longer is an error."},
    {"jsonl", 0, NULL, "Read rows {\"input\"}; write one JSON line a row."},
    {"input", 'i', "FILE", "Where the rows are; standard input when not given."},
    {"threads", 't', "N", "Use N threads; as many as this process may use by default."},
    {0},
};

const cli_command cli_extract = {
    .name = "extract",
    .summary = "take texts apart into the fields of a JSON Schema",
    .operands = "[TEXT]",
    .max_operands = 1,
    .options = options,
    .details =
        "Each line has output (the object, one of the schema without exception), fields "
        "(the probability of each), and what `stint decide` says of a task of type "
        "extract.  A text that gets no whole answer is an error and has none.  A schema "
        "that cannot be held exactly is refused with its place, the keyword and a way to "
        "rewrite it.\n\n"
        "With a contract, `stint fit` chooses the examples and makes the probabilities "
        "true, and checks are made after the model.",
    .example = "stint extract -s order.json -m smollm2-135m-instruct 'two mugs, order "
               "771'\n"
               "/order_id                 0.931  771\n"
               "/item                     0.874  mugs",
    .run = run,
};
