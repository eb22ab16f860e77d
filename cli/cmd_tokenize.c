/* cli/cmd_tokenize.c - stint tokenize: text to token ids and back. */
#include "cli/cli.h"

#include "base/file.h"
#include "base/mem.h"
#include "gguf/gguf.h"
#include "tokenizer/tokenizer.h"
#include <stdio.h>
#include <string.h>

enum { MAX_INPUT = 256 << 20 }; /* bytes of a text that is no row */

static int open_tok(const char *path, tok **ret_tok, st_err *err)
{
    gguf *g;
    int rc = gguf_open(path, &g, err);
    if (rc)
        return rc;
    rc = tok_new(g, ret_tok, err);
    gguf_close(g);
    return rc;
}

/* A true-or-false member of a row; false when it is not there. */
static int row_flag(const json_t *row, const char *key, bool def, bool *ret, st_err *err)
{
    const json_t *value = json_object_get(row, key);
    if (value && !json_is_boolean(value))
        return st_err_set(err, ST_EINVAL, "\"%s\" is not true or false", key);
    *ret = value ? json_is_true(value) : def;
    return 0;
}

static int print_ids(const tok_ids *ids, st_err *err)
{
    json_t *list = json_array(), *row = NULL;
    int failed = !list;
    for (size_t i = 0; !failed && i < ids->n; i++)
        failed = json_array_append_new(list, json_integer(ids->ids[i]));
    if (!failed)
        row = json_pack("{s:O}", "ids", list);
    json_decref(list);
    return row ? cli_print_json(row, err) : st_err_set(err, ST_ENOMEM, "out of memory");
}

static int encode_row(void *arg, json_t *row, size_t line, st_err *err)
{
    const json_t *text = json_object_get(row, "text");
    tok_ids ids = {0};
    bool special = false, literal = false;
    (void)line;
    if (!json_is_string(text))
        return st_err_set(err, ST_EINVAL, "a row needs \"text\", a string");
    int rc = row_flag(row, "special", false, &special, err);
    if (!rc)
        rc = row_flag(row, "literal", false, &literal, err);
    if (!rc)
        rc = tok_encode(arg, json_string_value(text), json_string_length(text),
                        (literal ? TOK_LITERAL : TOK_PARSE) | (special ? TOK_ADD : 0),
                        &ids, err);
    if (!rc)
        rc = print_ids(&ids, err);
    tok_ids_done(&ids);
    return rc;
}

static int read_ids(const json_t *list, int32_t **ret_ids, st_err *err)
{
    size_t n = json_array_size(list);
    int32_t *ids = st_alloc_n(n, sizeof *ids);
    if (!ids)
        return st_err_set(err, ST_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(list, i);
        json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || id > INT32_MAX) {
            st_free(ids);
            return st_err_set(err, ST_EINVAL, "\"ids\"[%zu] is not a token id", i);
        }
        ids[i] = (int32_t)id;
    }
    *ret_ids = ids;
    return 0;
}

static int decode_row(void *arg, json_t *row, size_t line, st_err *err)
{
    const json_t *list = json_object_get(row, "ids");
    int32_t *ids = NULL;
    bool special = true;
    st_buf text;
    (void)line;
    if (!json_is_array(list))
        return st_err_set(err, ST_EINVAL, "a row needs \"ids\", a list of token ids");
    st_buf_init(&text, MAX_INPUT);
    int rc = row_flag(row, "special", true, &special, err);
    if (!rc)
        rc = read_ids(list, &ids, err);
    if (!rc)
        rc = tok_decode(arg, ids, json_array_size(list), special, &text, err);
    if (!rc) {
        json_t *value = cli_json_text(text.data ? text.data : "", text.len);
        json_t *out = value ? json_pack("{s:o}", "text", value) : NULL;
        rc = out ? cli_print_json(out, err) : st_err_set(err, ST_ENOMEM, "out of memory");
    }
    st_buf_done(&text);
    st_free(ids);
    return rc;
}

/* One token a line: the id, then its bytes as a JSON string. */
static int print_pieces(const tok *t, const tok_ids *ids, st_err *err)
{
    int rc = 0;
    st_buf piece;
    st_buf_init(&piece, MAX_INPUT);
    for (size_t i = 0; !rc && i < ids->n; i++) {
        st_buf_reset(&piece);
        rc = tok_piece(t, ids->ids[i], &piece, err);
        json_t *text = rc ? NULL : cli_json_text(piece.data ? piece.data : "", piece.len);
        char *shown = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
        if (shown)
            printf("%8d  %s\n", ids->ids[i], shown);
        else if (!rc)
            rc = st_err_set(err, ST_ENOMEM, "out of memory");
        json_decref(text);
        st_free(shown);
    }
    st_buf_done(&piece);
    return rc;
}

static int show_text(const tok *t, const char *text, size_t len, const cli_args *args,
                     st_err *err)
{
    tok_ids ids = {0};
    unsigned flags = cli_flag(args, "literal") ? TOK_LITERAL : TOK_PARSE;
    if (cli_flag(args, "special"))
        flags |= TOK_ADD;
    int rc = tok_encode(t, text, len, flags, &ids, err);
    if (!rc)
        rc = print_pieces(t, &ids, err);
    if (!rc)
        printf("%zu tokens\n", ids.n);
    tok_ids_done(&ids);
    return rc;
}

static int show(const tok *t, const cli_args *args, st_err *err)
{
    const char *operand = cli_operand(args, 0);
    if (operand)
        return show_text(t, operand, strlen(operand), args, err);
    char *text;
    size_t len;
    int rc = st_file_read("-", MAX_INPUT, &text, &len, err);
    if (rc)
        return rc;
    rc = show_text(t, text, len, args, err);
    st_free(text);
    return rc;
}

static int run(cli_args *args, st_err *err)
{
    const char *path;
    const char *rows = cli_operand(args, 0) ? cli_operand(args, 0) : "-";
    bool decode = cli_flag(args, "decode");
    tok *t = NULL;
    int rc = cli_need(args, "model", &path, err);
    if (!rc)
        rc = open_tok(path, &t, err);
    if (!rc && (decode || cli_flag(args, "jsonl")))
        rc = cli_each_row(rows, decode ? decode_row : encode_row, t, err);
    else if (!rc)
        rc = show(t, args, err);
    tok_free(t);
    return rc;
}

static const cli_option options[] = {
    {"model", 'm', "FILE", "The GGUF file; one that has only a vocabulary will do."},
    {"jsonl", 0, NULL,
     "Read rows {\"text\"} from FILE or standard input, write {\"ids\"}."},
    {"decode", 0, NULL, "Read rows {\"ids\"}, write {\"text\"}."},
    {"literal", 0, NULL, "Take control tokens that the text spells as plain text."},
    {"special", 0, NULL, "Add what the model adds, such as its first token."},
    {0},
};

const cli_command cli_tokenize = {
    .name = "tokenize",
    .summary = "turn text into token ids and back",
    .operands = "[TEXT|FILE]",
    .max_operands = 1,
    .options = options,
    .details =
        "Without --jsonl the operand is the text itself, or standard input is the "
        "text, and each token is shown with the text it stands for.\n\n"
        "A row may have \"special\": true (add what the model adds) and \"literal\": "
        "true (recognise no control token).  When decoding, \"special\": false leaves "
        "control tokens out.",
    .example = "stint tokenize -m SmolLM2-135M-Instruct.Q4_1.gguf 'Hello world'\n"
               "   19556  \"Hello\"\n"
               "     905  \" world\"\n"
               "2 tokens",
    .run = run,
};
