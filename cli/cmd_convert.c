/* cli/cmd_convert.c - stint convert: a Hugging Face folder to one GGUF file. */
#include "cli/cli.h"

#include "base/mem.h"
#include "gguf/convert.h"
#include <string.h>

static int matrix_type(const char *text, st_dtype *ret, st_err *err)
{
    static const struct {
        const char *text;
        st_dtype type;
    } rows[] = {{"f32", ST_F32}, {"f16", ST_F16}, {"q8_0", ST_Q8_0}};
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        if (strcmp(rows[i].text, text) == 0) {
            *ret = rows[i].type;
            return 0;
        }
    }
    st_err_set(err, ST_EINVAL, "convert: --type: '%s' is not known", text);
    st_err_hint(err, "one of f32, f16, q8_0");
    return ST_EINVAL;
}

/* The last part of the folder's path, without slashes behind it; freed by the caller. */
static char *name_of(const char *folder)
{
    size_t end = strlen(folder);
    while (end > 1 && folder[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin && folder[begin - 1] != '/')
        begin--;
    return st_dup(folder + begin, end - begin);
}

static int run(cli_args *args, st_err *err)
{
    const char *folder = cli_operand(args, 0);
    const char *out = cli_operand(args, 1);
    const char *type = cli_get(args, "type");
    const char *given = cli_get(args, "name");
    st_dtype matrix = ST_F16;
    st_progress progress = cli_progress();
    int rc = matrix_type(type ? type : "f16", &matrix, err);
    if (rc)
        return rc;
    char *name = given ? st_strdup(given) : name_of(folder);
    if (!name)
        return st_err_set(err, ST_ENOMEM, "out of memory");
    rc = convert_folder(folder, out, name, matrix, &progress, err);
    st_free(name);
    return rc;
}

static const cli_option options[] = {
    {"type", 't', "TYPE", "Format of the matrices: f32, f16 (default) or q8_0."},
    {"name", 0, "TEXT", "Name of the model in the file; the folder's name otherwise."},
    {0},
};

const cli_command cli_convert = {
    .name = "convert",
    .summary = "write a Hugging Face model folder as one GGUF file",
    .operands = "DIR OUT.gguf",
    .min_operands = 2,
    .max_operands = 2,
    .options = options,
    .details =
        "Reads config.json, model.safetensors, tokenizer.json or vocab.txt, and the\n"
        "pooling of sentence-transformers. Families: bert. What cannot be expressed\n"
        "is refused by name; OUT.gguf is written whole or not at all.\n"
        "\n"
        "Tasks read f16 in 8 bits, so they are as fast with it as with q8_0; q8_0 "
        "halves\n"
        "the file, and `stint embed` is then as fast and as exact as a task (cosine "
        "0.9992\n"
        "or better with the vectors of f16).",
    .example = "stint convert all-MiniLM-L6-v2/ minilm.gguf",
    .run = run,
};
