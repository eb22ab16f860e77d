/* cli/cmd_logits.c - stint logits: what a model computes, as raw numbers.
 *
 * For checking against a reference: token ids in, float32 out, nothing in between.  Rows
 * are written as they are made, a piece of the text at a time; an encoder's text is one
 * piece. */
#include "cli/cli.h"

#include "base/file.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "gguf/gguf.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    PIECE_TOKENS = 128,      /* of a decoder */
    TOKENS_BYTES = 64 << 20, /* of the JSON file */
    MAX_CTX = 1 << 20,
    MAX_THREADS = 256,
};

typedef struct ids {
    int32_t *id;
    uint32_t n;
} ids;

static int ids_from_json(const json_t *list, const char *path, ids *ret, st_err *err)
{
    size_t n = json_array_size(list);
    if (n == 0 || n > MAX_CTX)
        return st_err_set(err, ST_EFORMAT,
                          "%s: expected {\"input_ids\": [...]} with 1 to %d "
                          "ids",
                          path, MAX_CTX);
    int32_t *id = st_alloc_n(n, sizeof *id);
    if (!id)
        return st_err_set(err, ST_ENOMEM, "out of memory for %zu ids", n);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        json_int_t value = json_integer_value(v);
        if (!json_is_integer(v) || value < 0 || value > INT32_MAX) {
            st_free(id);
            return st_err_set(err, ST_EFORMAT, "%s: input_ids[%zu] is not a token id",
                              path, i);
        }
        id[i] = (int32_t)value;
    }
    *ret = (ids){id, (uint32_t)n};
    return 0;
}

static int ids_read(const char *path, ids *ret, st_err *err)
{
    json_error_t where;
    char *text;
    size_t len;
    int rc = st_file_read(path, TOKENS_BYTES, &text, &len, err);
    if (rc)
        return rc;
    json_t *root = json_loadb(text, len, 0, &where);
    st_free(text);
    if (!root)
        return st_err_set(err, ST_EFORMAT, "%s:%d: %s", path, where.line, where.text);
    rc = ids_from_json(json_object_get(root, "input_ids"), path, ret, err);
    json_decref(root);
    return rc;
}

/* A model that makes embeddings shows its final states, any other its logits. */
static bool gives_states(const model_info *info)
{
    return !info->has_head || info->pooling != MODEL_POOL_NONE;
}

static int write_rows(seq *s, const model_info *info, const ids *tokens, FILE *out,
                      const char *path, st_err *err)
{
    size_t width = gives_states(info) ? info->n_embd : info->n_vocab;
    uint32_t piece = info->causal && tokens->n > PIECE_TOKENS ? PIECE_TOKENS : tokens->n;
    float *values = st_alloc_n(piece * width, sizeof *values);
    uint32_t *rows = st_alloc_n(piece, sizeof *rows);
    int rc = values && rows ? 0 : st_err_set(err, ST_ENOMEM, "out of memory for a piece");
    for (uint32_t i = 0; i < piece && !rc; i++)
        rows[i] = i;
    for (uint32_t at = 0; at < tokens->n && !rc; at += piece) {
        uint32_t n = tokens->n - at < piece ? tokens->n - at : piece;
        step_item item = {
            .s = s, .tokens = tokens->id + at, .n = n, .out = rows, .n_out = n};
        *(gives_states(info) ? &item.ret_hidden : &item.ret_logits) = values;
        rc = engine_step(seq_engine(s), &item, 1, err);
        if (!rc && fwrite(values, width * sizeof *values, n, out) != n)
            rc = st_err_set(err, ST_EIO, "%s: %s", path, strerror(errno));
    }
    st_free(values);
    st_free(rows);
    return rc;
}

static int write_file(seq *s, const ids *tokens, const char *path, st_err *err)
{
    FILE *out = fopen(path, "wb");
    if (!out)
        return st_err_set(err, ST_EIO, "%s: %s", path, strerror(errno));
    int rc =
        write_rows(s, model_about(engine_model(seq_engine(s))), tokens, out, path, err);
    if (fclose(out) && !rc)
        rc = st_err_set(err, ST_EIO, "%s: %s", path, strerror(errno));
    if (rc)
        remove(path);
    return rc;
}

static int run_engine(const model *m, const engine_opts *opts, const ids *tokens,
                      const char *path, st_err *err)
{
    engine *e = NULL;
    seq *s = NULL;
    int rc = engine_new(m, opts, &e, err);
    if (!rc)
        rc = seq_new(e, &s, err);
    if (!rc)
        rc = write_file(s, tokens, path, err);
    seq_free(s);
    engine_free(e);
    return rc;
}

static int run_model(const char *path, const engine_opts *opts, const ids *tokens,
                     const char *out, st_err *err)
{
    model_opts load = {.n_ctx = opts->n_ctx};
    gguf *g = NULL;
    model *m = NULL;
    int rc = gguf_open(path, &g, err);
    if (rc)
        return rc;
    rc = workers_new(opts->n_threads, &load.workers, err);
    if (!rc)
        rc = model_load(g, &load, &m, err);
    if (rc)
        st_err_at(err, "%s", path);
    gguf_close(g);
    workers_free(load.workers);
    if (!rc)
        rc = run_engine(m, opts, tokens, out, err);
    model_free(m);
    return rc;
}

static int read_options(const cli_args *args, engine_opts *ret, st_err *err)
{
    const char *kv = cli_get(args, "kv");
    uint64_t n_ctx, n_threads;
    int rc = cli_u64(args, "ctx", 0, 1, MAX_CTX, &n_ctx, err);
    if (!rc)
        rc = cli_u64(args, "threads", 0, 1, MAX_THREADS, &n_threads, err);
    if (!rc && kv && strcmp(kv, "f32") && strcmp(kv, "f16"))
        rc = st_err_set(err, ST_EINVAL, "--kv is '%s', expected f32 or f16", kv);
    if (rc)
        return rc;
    *ret = (engine_opts){.n_threads = (unsigned)n_threads,
                         .n_ctx = (uint32_t)n_ctx,
                         .max_batch = PIECE_TOKENS,
                         .max_seqs = 1,
                         .kv_type = kv && !strcmp(kv, "f16") ? ST_F16 : ST_F32};
    return 0;
}

static int run(cli_args *args, st_err *err)
{
    const char *path, *tokens_path, *out;
    engine_opts opts;
    ids tokens = {0};
    int rc = cli_need(args, "model", &path, err);
    if (!rc)
        rc = cli_need(args, "tokens", &tokens_path, err);
    if (!rc)
        rc = cli_need(args, "out", &out, err);
    if (!rc)
        rc = read_options(args, &opts, err);
    if (!rc)
        rc = ids_read(tokens_path, &tokens, err);
    if (!rc)
        rc = run_model(path, &opts, &tokens, out, err);
    st_free(tokens.id);
    return rc;
}

static const cli_option options[] = {
    {"model", 'm', "FILE", "The weights, a GGUF file."},
    {"tokens", 0, "FILE",
     "JSON: {\"input_ids\": [...]}, one sequence, nothing is added."},
    {"out", 'o', "FILE", "Where the numbers go."},
    {"kv", 0, "TYPE", "Keys and values as f32 (default) or f16."},
    {"ctx", 0, "N",
     "Context length; picks long rope factors. Default: the model's, at most "
     "4096."},
    {"threads", 0, "N", "Threads; default: all that this process may use."},
    {0},
};

const cli_command cli_logits = {
    .name = "logits",
    .summary = "write the logits of a token sequence as raw float32",
    .operands = "",
    .options = options,
    .details =
        "Writes float32, little-endian, without a header: one row of the vocabulary's "
        "size for each token, the logits after it.  For encoders and other models "
        "that make embeddings a row is the final hidden state of the token.",
    .example =
        "stint logits -m model.gguf --tokens tokens.json --out logits.bin --ctx 256",
    .run = run,
};
