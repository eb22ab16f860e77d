/* cli/cmd_embed.c - stint embed: texts to vectors, as the model's maker defines them.
 *
 * Rows are answered in order, a batch at a time.  Spellings of control tokens count as
 * these tokens, as in the model's own library, unless the text is said to be literal.  A
 * text that is too long is refused with its line, or cut to --truncate tokens where that
 * is asked for. */
#include "cli/open.h"

#include "base/mem.h"
#include <stdio.h>
#include <string.h>

enum { MAX_ROWS = 256 }; /* texts held at once */

typedef struct batch {
    lm *lm;
    uint32_t n;
    uint32_t size;     /* rows that are run together */
    uint32_t truncate; /* 0: never cut */
    bool literal;
    tok_ids ids[MAX_ROWS];
    float *vectors; /* [size, n_embd] */
    st_buf line;
} batch;

/* Encode one text as the next of the batch. */
static int text_add(batch *b, const char *text, size_t len, bool literal, st_err *err)
{
    unsigned flags = TOK_ADD | (literal ? TOK_LITERAL : TOK_PARSE);
    tok_ids *ids = &b->ids[b->n];
    ids->n = 0;
    int rc = tok_encode(b->lm->tok, text, len, flags, ids, err);
    if (rc < 0)
        return rc;
    if (b->truncate && ids->n > b->truncate) {
        int32_t last = ids->ids[ids->n - 1];
        ids->n = b->truncate;
        if (tok_is_control(b->lm->tok, last))
            ids->ids[ids->n - 1] = last; /* the end mark stays the end */
    }
    if (ids->n > engine_n_ctx(b->lm->engine)) {
        st_err_set(err, ST_ELIMIT, "the text has %zu tokens, the model reads %u", ids->n,
                   engine_n_ctx(b->lm->engine));
        st_err_hint(err, "split it, or cut it with --truncate %u",
                    engine_n_ctx(b->lm->engine));
        return ST_ELIMIT;
    }
    if (ids->n == 0)
        return st_err_set(err, ST_EINVAL, "the text is empty");
    b->n++;
    return 0;
}

static int vector_print(batch *b, const float *v, st_err *err)
{
    uint32_t n = model_about(b->lm->model)->n_embd;
    st_buf_reset(&b->line);
    st_buf_str(&b->line, "{\"embedding\":[");
    for (uint32_t i = 0; i < n; i++)
        st_buf_fmt(&b->line, "%s%.8g", i ? "," : "", (double)v[i]);
    if (st_buf_str(&b->line, "]}\n") < 0)
        return st_err_set(err, b->line.code, "no memory for a row");
    if (fwrite(b->line.data, 1, b->line.len, stdout) != b->line.len ||
        fflush(stdout) == EOF)
        return st_err_set(err, ST_EIO, "standard output: cannot write the row");
    return 0;
}

/* Run the texts that are held and print their vectors. */
static int batch_flush(batch *b, st_err *err)
{
    const int32_t *texts[MAX_ROWS];
    uint32_t n_tokens[MAX_ROWS], n = b->n;
    uint32_t n_embd = model_about(b->lm->model)->n_embd;
    for (uint32_t i = 0; i < n; i++) {
        texts[i] = b->ids[i].ids;
        n_tokens[i] = (uint32_t)b->ids[i].n;
    }
    b->n = 0;
    int rc = engine_embed(b->lm->engine, texts, n_tokens, n, b->vectors, err);
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        rc = vector_print(b, b->vectors + (size_t)i * n_embd, err);
    return rc;
}

static int row_add(void *arg, json_t *row, size_t line, st_err *err)
{
    batch *b = arg;
    const json_t *text = json_object_get(row, "text");
    const json_t *literal = json_object_get(row, "literal");
    (void)line;
    if (!json_is_string(text)) {
        st_err_set(err, ST_EFORMAT, "no string \"text\"");
        st_err_hint(err, "each row is {\"text\": \"...\"}");
        return ST_EFORMAT;
    }
    if (literal && !json_is_boolean(literal))
        return st_err_set(err, ST_EFORMAT, "\"literal\" is true or false");
    int rc = text_add(b, json_string_value(text), json_string_length(text),
                      literal ? json_is_true(literal) : b->literal, err);
    return rc == 0 && b->n == b->size ? batch_flush(b, err) : rc;
}

static int operands_add(batch *b, const cli_args *args, st_err *err)
{
    int rc = 0;
    if (cli_n_operands(args) == 0) {
        st_err_set(err, ST_EINVAL, "no text");
        st_err_hint(err, "give the text, or rows with --jsonl");
        return ST_EINVAL;
    }
    for (unsigned i = 0; rc == 0 && i < cli_n_operands(args); i++) {
        rc = text_add(b, cli_operand(args, i), strlen(cli_operand(args, i)), b->literal,
                      err);
        if (rc == 0 && b->n == b->size)
            rc = batch_flush(b, err);
    }
    return rc;
}

/* The mean of a decoder's states has a length and a direction, but was never made to tell
 * texts apart: here it would be taken for what it is not. */
static int check_pooling(const lm *l, st_err *err)
{
    if (model_about(l->model)->pooling != MODEL_POOL_NONE)
        return 0;
    st_err_set(err, ST_EUNSUPPORTED, "the model '%s' names no pooling for embeddings",
               model_about(l->model)->arch);
    st_err_hint(err,
                "use a model that was made for embeddings, such as all-MiniLM-L6-v2");
    return ST_EUNSUPPORTED;
}

static int embed(const cli_args *args, batch *b, st_err *err)
{
    const char *input = cli_get(args, "input");
    uint64_t size, truncate;
    int rc = cli_u64(args, "batch", 32, 1, MAX_ROWS, &size, err);
    if (rc < 0 || (rc = cli_u64(args, "truncate", 0, 1, 1 << 24, &truncate, err)) < 0 ||
        (rc = cli_open_model(args, &b->lm, err)) < 0 ||
        (rc = check_pooling(b->lm, err)) < 0)
        return rc;
    b->size = (uint32_t)size;
    b->truncate = (uint32_t)truncate;
    b->literal = cli_flag(args, "literal");
    b->vectors = st_alloc_n(size * model_about(b->lm->model)->n_embd, sizeof(float));
    if (!b->vectors)
        return st_err_set(err, ST_ENOMEM, "no memory for %llu vectors",
                          (unsigned long long)size);
    if (cli_flag(args, "jsonl"))
        rc = cli_each_row(input ? input : "-", row_add, b, err);
    else
        rc = operands_add(b, args, err);
    return rc == 0 && b->n > 0 ? batch_flush(b, err) : rc;
}

static int run(cli_args *args, st_err *err)
{
    batch *b = st_zalloc_n(1, sizeof *b);
    if (!b)
        return st_err_set(err, ST_ENOMEM, "no memory for a batch");
    st_buf_init(&b->line, 64 << 20);
    int rc = embed(args, b, err);
    for (uint32_t i = 0; i < MAX_ROWS; i++)
        tok_ids_done(&b->ids[i]);
    st_buf_done(&b->line);
    st_free(b->vectors);
    lm_close(b->lm);
    st_free(b);
    return rc;
}

static const cli_option options[] = {
    CLI_MODEL_OPTIONS,
    {"jsonl", 0, NULL, "Read rows {\"text\", \"literal\"?}; write rows {\"embedding\"}."},
    {"input", 'i', "FILE", "Where the rows are; standard input when not given."},
    {"literal", 0, NULL, "Take control tokens that the text spells as plain text."},
    {"truncate", 0, "N", "Cut texts to N tokens; without it a long text is refused."},
    {"batch", 0, "N", "Rows that are run together (32); 1 answers each as it comes."},
    {0},
};

const cli_command cli_embed = {
    .name = "embed",
    .summary = "turn texts into unit-length vectors",
    .operands = "[TEXT ...]",
    .max_operands = 64,
    .options = options,
    .details =
        "The model must be one made for embeddings: it names its own pooling. A text "
        "is taken literally. Output rows are in the order of the input.",
    .example = "echo '{\"text\": \"my card is lost\"}' | "
               "stint embed -m all-minilm-l6-v2 --jsonl\n"
               "{\"embedding\":[0.0123,-0.0456, ...]}",
    .run = run,
};
