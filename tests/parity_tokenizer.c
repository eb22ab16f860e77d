/* tests/parity_tokenizer.c - reference vectors of real vocabularies, every one exactly.
 *
 * The vectors lie beside the project; the model with its own vocabulary is
 * $STINT_MODEL_SMOLLM2 or in the cache that `make models` fills.  What is not there is
 * skipped loudly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "tokenizer/tokenizer.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDENS "../shared/goldens/tokenizer/"

typedef struct parity {
    const char *name;
    const tok *t;
    size_t rows;
    size_t misses;
} parity;

static tok *open_tok(const char *path)
{
    gguf *g;
    tok *t = NULL;
    st_err err = {0};
    if (gguf_open(path, &g, &err))
        fail_msg("%s", err.message);
    if (tok_new(g, &t, &err))
        fail_msg("%s", err.message);
    gguf_close(g);
    return t;
}

static bool same_ids(const tok_ids *ids, const json_t *want)
{
    bool same = ids->n == json_array_size(want);
    for (size_t i = 0; same && i < ids->n; i++)
        same = ids->ids[i] == json_integer_value(json_array_get(want, i));
    return same;
}

static void miss(parity *p, const char *what, const json_t *row)
{
    char *shown = json_dumps(row, JSON_ENSURE_ASCII);
    if (p->misses++ < 5)
        print_message("%s: %s differ: %.300s\n", p->name, what, shown);
    free(shown);
}

static void compare_ids(parity *p, const json_t *row, const char *key, unsigned flags)
{
    const json_t *text = json_object_get(row, "text"), *want = json_object_get(row, key);
    tok_ids ids = {0};
    if (!want)
        want = json_object_get(row, "ids"); /* the other rows are the same */
    assert_int_equal(tok_encode(p->t, json_string_value(text), json_string_length(text),
                                flags, &ids, NULL),
                     0);
    if (!same_ids(&ids, want))
        miss(p, key, row);
    tok_ids_done(&ids);
}

static void compare_text(parity *p, const json_t *row)
{
    const json_t *list = json_object_get(row, "ids");
    const json_t *want = json_object_get(row, "decoded");
    size_t n = json_array_size(list);
    int32_t *ids = st_alloc_n(n, sizeof *ids);
    st_buf out;
    assert_non_null(ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    st_buf_init(&out, 1 << 20);
    assert_int_equal(tok_decode(p->t, ids, n, true, &out, NULL), 0);
    if (!want)
        want = json_object_get(row, "text");
    if (out.len != json_string_length(want) ||
        (out.len && memcmp(out.data, json_string_value(want), out.len) != 0))
        miss(p, "texts", row);
    st_buf_done(&out);
    st_free(ids);
}

static void compare_file(parity *p)
{
    char path[256], *text;
    size_t len;
    snprintf(path, sizeof path, GOLDENS "%s.jsonl", p->name);
    assert_int_equal(st_file_read(path, 64 << 20, &text, &len, NULL), 0);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *row = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, NULL);
        assert_non_null(row);
        compare_ids(p, row, "ids", TOK_PARSE);
        compare_ids(p, row, "ids_special", TOK_PARSE | TOK_ADD);
        compare_ids(p, row, "ids_plain", TOK_LITERAL);
        compare_text(p, row);
        p->rows++;
        json_decref(row);
    }
    st_free(text);
}

/* llama.cpp's own examples: texts between marker lines, one line of ids for each. */
static void compare_examples(parity *p)
{
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char path[256], *texts, *lines;
    size_t len;
    snprintf(path, sizeof path, GOLDENS "vocab/ggml-vocab-%s.gguf.inp", p->name);
    if (st_file_read(path, 1 << 20, &texts, &len, NULL))
        return;
    snprintf(path, sizeof path, GOLDENS "vocab/ggml-vocab-%s.gguf.out", p->name);
    assert_int_equal(st_file_read(path, 1 << 20, &lines, &len, NULL), 0);
    char *line = lines, *next;
    for (char *text = texts; text && *line; text = next) {
        tok_ids ids = {0};
        char *stop = strstr(text, mark), *number = line;
        size_t n = stop ? (size_t)(stop - text) : strlen(text);
        next = stop ? stop + strlen(mark) : NULL;
        assert_int_equal(tok_encode(p->t, text, n, TOK_PARSE, &ids, NULL), 0);
        bool same = true;
        for (size_t i = 0; i < ids.n; i++)
            same = same && strtol(number, &number, 10) == ids.ids[i];
        line = strchr(line, '\n');
        if (!same || strspn(number, " ") != (size_t)(line - number)) {
            p->misses++;
            print_message("%s: example '%.*s' differs\n", p->name, (int)n, text);
        }
        line++;
        p->rows++;
        tok_ids_done(&ids);
    }
    st_free(texts);
    st_free(lines);
}

static void compare_vocab(const char *name, const char *model)
{
    if (access(model, R_OK) || access(GOLDENS, R_OK)) {
        print_message("SKIP: %s or " GOLDENS " is not here: %s NOT compared\n", model,
                      name);
        skip();
    }
    tok *t = open_tok(model);
    parity p = {.name = name, .t = t};
    compare_file(&p);
    compare_examples(&p);
    tok_free(t);
    print_message("%s: %zu rows, %zu misses\n", name, p.rows, p.misses);
    assert_int_equal(p.misses, 0);
    assert_true(p.rows > 400);
}

#define VOCAB_TEST(test, name)                                                           \
    static void test(void **state)                                                       \
    {                                                                                    \
        (void)state;                                                                     \
        compare_vocab(name, GOLDENS "vocab/ggml-vocab-" name ".gguf");                   \
    }

VOCAB_TEST(gpt2, "gpt-2")
VOCAB_TEST(llama3, "llama-bpe")
VOCAB_TEST(qwen2, "qwen2")
VOCAB_TEST(gemma4, "gemma-4")
VOCAB_TEST(llama2, "llama-spm")
VOCAB_TEST(bert, "bert-bge")

static void smollm2(void **state)
{
    char path[512];
    const char *model = getenv("STINT_MODEL_SMOLLM2"), *folder = getenv("STINT_MODELS");
    (void)state;
    snprintf(path, sizeof path, "%s/smollm2-135m-instruct.gguf",
             folder ? folder : ".cache/models");
    compare_vocab("smollm2", model ? model : path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2),    cmocka_unit_test(llama3), cmocka_unit_test(qwen2),
        cmocka_unit_test(gemma4),  cmocka_unit_test(llama2), cmocka_unit_test(bert),
        cmocka_unit_test(smollm2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
