/* tests/test_program.c - the program as a user runs it: output, exit status, messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/frame.h"
#include "tests/here.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEEDS "tests/fuzz/corpus/"

static char output[1 << 20];

/* Run a shell command line; output goes to `output`. */
static int run_line(const char *line)
{
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    size_t len = fread(output, 1, sizeof output - 1, pipe);
    output[len] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Run `stint WORDS`; output and errors go to `output`. */
static int stint(const char *words)
{
    char line[4096];
    const char *exe = getenv("STINT_EXE");
    assert_non_null(exe);
    snprintf(line, sizeof line, "'%s' %s 2>&1", exe, words);
    return run_line(line);
}

/* The same with `input` on standard input. */
static int stint_reads(const char *words, const char *input)
{
    char line[512];
    const char *exe = getenv("STINT_EXE");
    assert_int_equal(setenv("STINT_TEST_INPUT", input, 1), 0);
    snprintf(line, sizeof line, "printf '%%s' \"$STINT_TEST_INPUT\" | '%s' %s 2>&1", exe,
             words);
    return run_line(line);
}

static void says(const char *part)
{
    if (!strstr(output, part))
        fail_msg("'%s' is not in: %s", part, output);
}

static void help_and_mistakes(void **state)
{
    (void)state;
    assert_int_equal(stint(""), 2);
    says("usage: stint COMMAND");
    assert_int_equal(stint("--help"), 0);
    says("\n  inspect ");
    assert_int_equal(stint("frobnicate"), 2);
    says("stint: no command 'frobnicate'\nhint: ");
    assert_int_equal(stint("help frobnicate"), 2);
    assert_int_equal(stint("inspect"), 2);
    says("FILE is missing");
    assert_int_equal(stint("version --version"), 2);
    says("unknown option '--version'");
    assert_int_equal(stint("--version"), 0);
    says("stint 0.");
    assert_int_equal(stint("version >/dev/full"), 4);
    assert_int_equal(stint("version --json >/dev/full"), 4);
}

static void every_command_helps(void **state)
{
    size_t n;
    const cli_row *rows = cli_rows(&n);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        char words[64], usage[64];
        snprintf(words, sizeof words, "%s --help", rows[i].command->name);
        snprintf(usage, sizeof usage, "usage: stint %s", rows[i].command->name);
        assert_int_equal(stint(words), 0);
        says(usage);
        says("\nexample:\n  ");
        snprintf(words, sizeof words, "%s --no-such-option", rows[i].command->name);
        assert_int_equal(stint(words), 2);
    }
}

static void keys(void **state)
{
    char folder[] = "/tmp/stint-program-XXXXXX";
    char words[256];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(words, sizeof words, "key new --api-keys %s/keys --name ci --expires 2d",
             folder);
    assert_int_equal(stint(words), 0);
    says("sk-stint-");
    assert_int_equal(strlen(output), 53); /* with its line's end */
    assert_int_equal(stint(words), 2);
    says("there is a key 'ci' already");
    snprintf(words, sizeof words, "key list --api-keys %s/keys", folder);
    assert_int_equal(stint(words), 0);
    says("ci                       client  made 20");
    snprintf(words, sizeof words, "key list --api-keys %s/keys --role admin", folder);
    assert_int_equal(stint(words), 2);
    says("--role says nothing to list");
    snprintf(words, sizeof words, "key revoke --api-keys %s/keys --name ci", folder);
    assert_int_equal(stint(words), 0);
    assert_int_equal(stint(words), 7);
    says("no key 'ci'");
    assert_int_equal(stint("key new --api-keys k --name a --expires soon"), 2);
    says("expected 2027-01-31");
    assert_int_equal(stint("key new --name a"), 2);
    assert_int_equal(stint("key forge --api-keys k"), 2);
    says("expected new, list or revoke");
    snprintf(words, sizeof words, "%s/keys", folder);
    unlink(words);
    rmdir(folder);
}

static void inspect_gguf(void **state)
{
    (void)state;
    assert_int_equal(stint("inspect no-such-file.gguf"), 7);
    says("stint: no-such-file.gguf: cannot open: ");
    assert_int_equal(stint("inspect tests/test_program.c"), 5);
    says("stint: tests/test_program.c: not a GGUF file\n");
    assert_int_equal(stint("inspect " SEEDS "gguf/v1"), 6);
    says("version 1 is not supported\nhint: convert");
    assert_int_equal(stint("inspect " SEEDS "gguf/all-v2"), 0);
    says("GGUF version 2, ");
    says("  string (string): \"text\"\n");
    says("  f32 (f32): 1e-05\n");
    says("  strings (string[3]): \"a\", \"\", \"\xEF\xBF\xBD?\"\n"); /* no raw bytes */
    says("  Q8_0     32 x 2                 b  68 bytes\n");
}

static void inspect_json(void **state)
{
    (void)state;
    assert_int_equal(stint("inspect --json " SEEDS "gguf/all-v2"), 0);
    json_t *all = json_loads(output, JSON_ALLOW_NUL, NULL);
    assert_non_null(all);
    const json_t *meta = json_object_get(all, "metadata");
    assert_int_equal(json_integer_value(json_object_get(meta, "i8")), -1);
    assert_int_equal(json_integer_value(json_object_get(meta, "i64")), -1);
    assert_int_equal(json_integer_value(json_object_get(meta, "u64")),
                     (json_int_t)1 << 40);
    assert_true(json_is_true(json_object_get(meta, "bool")));
    assert_true((float)json_real_value(json_object_get(meta, "f32")) == 1e-5f);
    assert_int_equal(json_array_size(json_object_get(meta, "strings")), 3);
    assert_int_equal(json_array_size(json_object_get(meta, "none")), 0);
    assert_int_equal(json_array_size(json_object_get(all, "tensors")), 2);
    assert_int_equal(strlen(json_string_value(json_object_get(all, "sha256"))), 64);
    json_decref(all);
}

static void inspect_safetensors(void **state)
{
    char folder[] = "/tmp/stint-program-XXXXXX", path[64], words[128];
    char *data;
    size_t len;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    assert_int_equal(st_file_read(SEEDS "safetensors/two", 1000, &data, &len, NULL), 0);
    assert_int_equal(st_file_write(path, data, len, NULL), 0);
    st_free(data);
    snprintf(words, sizeof words, "inspect %s", path);
    assert_int_equal(stint(words), 0);
    says("  format: \"pt\"\n");
    says("F32      2 x 3");
    says("I64      scalar");
    snprintf(words, sizeof words, "inspect --json %s", path);
    assert_int_equal(stint(words), 0);
    says("{\"name\":\"a\",\"type\":\"F32\",\"dims\":[2,3],\"elements\":6,\"bytes\":24}");
    unlink(path);
    rmdir(folder);
}

static void dequant(void **state)
{
    static const uint16_t halves[2] = {0x3C00, 0xC000};
    char folder[] = "/tmp/stint-program-XXXXXX", in[64], out[64], words[512];
    char *data;
    size_t len;
    float got[2];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(in, sizeof in, "%s/in", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    assert_int_equal(st_file_write(in, halves, sizeof halves, NULL), 0);
    snprintf(words, sizeof words, "dequant --type F16 --in %s --out %s", in, out);
    assert_int_equal(stint(words), 0);
    assert_int_equal(st_file_read(out, 100, &data, &len, NULL), 0);
    assert_int_equal(len, sizeof got);
    memcpy(got, data, sizeof got);
    st_free(data);
    assert_true(got[0] == 1 && got[1] == -2);
    snprintf(words, sizeof words, "dequant --type Q4_K --in %s --out %s", in, out);
    assert_int_equal(stint(words), 5);
    says("4 bytes are not whole Q4_K blocks of 144");
    snprintf(words, sizeof words, "dequant --type IQ1_M --in /dev/null --out %s", out);
    assert_int_equal(stint(words), 2); /* not a regular file */
    snprintf(words, sizeof words, "dequant --type q9 --in %s --out %s", in, out);
    assert_int_equal(stint(words), 2);
    assert_int_equal(stint("dequant --type F16"), 2);
    says("--in is missing");
    unlink(in);
    unlink(out);
    rmdir(folder);
}

static void convert_names_what_is_wrong(void **state)
{
    (void)state;
    assert_int_equal(stint("convert tests /tmp/never.gguf"), 7);
    says("tests: no config.json in it\nhint: ");
    assert_int_equal(stint("convert --type q4_k tests /tmp/never.gguf"), 2);
    says("one of f32, f16, q8_0");
}

static void shell_and_manual(void **state)
{
    size_t n;
    const cli_row *rows = cli_rows(&n);
    (void)state;
    assert_int_equal(stint("man"), 0);
    says("\n.SH EXIT STATUS\n");
    for (size_t i = 0; i < n; i++) {
        char part[64];
        snprintf(part, sizeof part, "\n.SS stint %s ", rows[i].command->name);
        says(part);
    }
    assert_int_equal(stint("completion zsh"), 0);
    says("#compdef stint\n");
    assert_int_equal(stint("completion fish"), 2);
    assert_int_equal(stint("completion bash"), 0);
    says("complete -o default -F _stint stint");
    assert_int_equal(
        stint("completion bash | sh -c 'command -v bash >/dev/null || exit 0; "
              "exec bash -n'"),
        0);
}

#define GOLDENS "../shared/goldens/"
#define BERT GOLDENS "embed/bert-e2e-f16.gguf"
#define LLAMA GOLDENS "logits/llama-gqa/model-f32.gguf"

static void tokenize_text_and_rows(void **state)
{
    static const char rows[] =
        "{\"text\":\"ab<s>a\"}\n{\"text\":\"a\\u0000\",\"special\":true}\n\n"
        "{\"text\":\"<s>\",\"literal\":true}\n";
    char folder[] = "/tmp/stint-test-XXXXXX", path[64], words[256];
    (void)state;
    assert_int_equal(stint("tokenize 'ab'"), 2);
    says("--model");
    assert_int_equal(stint("tokenize -m " SEEDS "tokenizer/file 'ab<s>'"), 0);
    assert_string_equal(output, "       2  \" a\"\n       3  \"b\"\n"
                                "       1  \"<s>\"\n3 tokens\n");
    assert_int_equal(stint("tokenize -m " SEEDS "tokenizer/twice x"), 5);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/rows", folder);
    assert_int_equal(st_file_write(path, rows, sizeof rows - 1, NULL), 0);
    snprintf(words, sizeof words, "tokenize -m " SEEDS "tokenizer/file --jsonl %s", path);
    assert_int_equal(stint(words), 0);
    assert_string_equal(output,
                        "{\"ids\":[2,3,1,2]}\n{\"ids\":[1,2,0]}\n{\"ids\":[0]}\n");
    assert_int_equal(st_file_write(path, output, strlen(output), NULL), 0);
    snprintf(words, sizeof words, "tokenize -m " SEEDS "tokenizer/file --decode < %s",
             path);
    assert_int_equal(stint(words), 0);
    assert_string_equal(output, "{\"text\":\"ab<s>a\"}\n{\"text\":\"<s>a<unk>\"}\n"
                                "{\"text\":\"<unk>\"}\n");
    assert_int_equal(st_file_write(path, "{\"ids\":[4]}\n", 12, NULL), 0);
    assert_int_equal(stint(words), 2);
    says("token id 4 is not one of 4");
    unlink(path);
    rmdir(folder);
}

/* Rows in any batch give the same lines, in order; a long text names its line. */
static void embed_rows(void **state)
{
    static const char rows[] = GOLDENS "embed/bert-e2e-f16.embeddings.jsonl";
    char words[512], *whole;
    (void)state;
    if (!is_here(BERT))
        return;
    snprintf(words, sizeof words, "embed -m " BERT " --jsonl -i %s", rows);
    assert_int_equal(stint(words), 0);
    whole = st_strdup(output);
    snprintf(words, sizeof words, "embed -m " BERT " --jsonl --batch 7 -t 1 < %s", rows);
    assert_int_equal(stint(words), 0);
    assert_string_equal(output, whole);
    st_free(whole);
    json_t *row = json_loads(output, JSON_DISABLE_EOF_CHECK, NULL);
    double sum = 0;
    for (size_t i = 0; i < json_array_size(json_object_get(row, "embedding")); i++) {
        const json_t *x = json_array_get(json_object_get(row, "embedding"), i);
        sum += json_number_value(x) * json_number_value(x);
    }
    assert_true(sum > 0.9999 && sum < 1.0001);
    json_decref(row);
}

/* A schema, a text, and what every answer has; nothing is accepted and ignored. */
static void extract_answers_and_refuses(void **state)
{
    static const char model[] = GOLDENS "logits/llama-gqa/model-f32.gguf";
    static const char schema[] =
        "{\"type\": \"object\", \"properties\": {\"n\": {\"enum\": "
        "[1, 2]}}, \"required\": [\"n\"], "
        "\"additionalProperties\": false}";
    char folder[] = "/tmp/stint-program-XXXXXX", path[64], words[512];
    (void)state;
    if (!is_here(model))
        return;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/schema", folder);
    assert_int_equal(st_file_write(path, schema, sizeof schema - 1, NULL), 0);
    snprintf(words, sizeof words, "extract -s %s -m %s one", path, model);
    assert_int_equal(stint(words), 0);
    assert_true(strncmp(output, "{\"output\":{\"n\": ", 16) == 0);
    says("\"fields\":{\"/n\":{\"probability\":");
    says("\"route\":\"zero-shot\"");
    snprintf(words, sizeof words, "extract -s %s -m %s -n 2 one", path, model);
    assert_int_equal(stint(words), 8);
    says("no whole answer in 2 tokens");
    snprintf(words, sizeof words, "extract -s %s -m %s", path, model);
    assert_int_equal(stint(words), 2);
    says("give a text, or rows with --jsonl");
    snprintf(words, sizeof words, "extract -m %s one", model);
    assert_int_equal(stint(words), 2);
    says("--schema is missing");
    assert_int_equal(st_file_write(path, "{\"type\": \"strin\"}", 17, NULL), 0);
    snprintf(words, sizeof words, "extract -s %s -m %s one", path, model);
    assert_int_equal(stint(words), 11);
    says("the schema: type: ");
    unlink(path);
    rmdir(folder);
}

static void embed_refuses(void **state)
{
    (void)state;
    if (!is_here(BERT))
        return;
    assert_int_equal(stint("embed -m " BERT), 2);
    says("no text");
    assert_int_equal(stint("embed -m " BERT " --ctx 8 'a b c d e f g h i j'"), 8);
    says("the text has 12 tokens, the model reads 8\nhint: split it, or cut it with "
         "--truncate 8");
    assert_int_equal(
        stint("embed -m " BERT " --ctx 8 --truncate 8 'a b c d e f g h i j'"), 0);
    says("{\"embedding\":[");
    assert_int_equal(stint("embed -m " BERT " --jsonl -i Makefile"), 5);
    says("Makefile:1: ");
    assert_int_equal(stint("embed -m " LLAMA " x"), 6);
    says("names no pooling");
    assert_int_equal(stint("embed -m no-such-model x"), 7);
    assert_int_equal(stint("embed x"), 2);
}

static void run_prompts(void **state)
{
    char *first;
    (void)state;
    if (!is_here(BERT))
        return;
    assert_int_equal(stint("run -m " LLAMA " -n 9 --temp 1 --seed 4 hello"), 0);
    first = st_strdup(output);
    assert_true(strlen(first) > 1);
    assert_int_equal(stint("run -m " LLAMA " -n 9 --temp 1 --seed 4 -t 1 hello"), 0);
    assert_string_equal(output, first);
    st_free(first);
    assert_int_equal(stint("run -m " LLAMA " -n 300 --ctx 64 --raw hello"), 0);
    assert_int_equal(stint("run -m " LLAMA " --ctx 4 --raw 'hello hello hello'"), 8);
    says("the context holds 4\nhint: ");
    assert_int_equal(stint("run -m " BERT " hello"), 6);
    says("gives no logits");
    assert_int_equal(stint("run -m " LLAMA), 2);
    assert_int_equal(stint("run -m " LLAMA " --top-p 2 x"), 2);
    says("--top-p");
    assert_int_equal(stint("bench -m " LLAMA " --only nothing"), 2);
    says("this model's rows are prefill");
    assert_int_equal(stint("bench -m " LLAMA " --threads 2,"), 2);
    says("is no list of thread counts");
}

static void run_rows(void **state)
{
    (void)state;
    if (!is_here(BERT))
        return;
    assert_int_equal(stint("run -m " LLAMA " -n 3 --jsonl 2>&1 <<'END'\n"
                           "{\"prompt\": \"a\"}\n{\"messages\": []}\nEND\nexit $?"),
                     6);
    says("\"prompt_tokens\":");
    says("standard input:2: ");
    says("no chat template");
    assert_int_equal(
        stint("run -m " LLAMA " --jsonl 2>&1 <<'END'\n{\"text\": \"a\"}\nEND\nexit $?"),
        5);
    says("standard input:1: a row has either");
}

/* Text held to a grammar: whole and fitting, or an error and nothing on standard output.
 */
static void run_held(void **state)
{
    (void)state;
    if (!is_here(BERT))
        return;
    assert_int_equal(stint("run -m " LLAMA " --choice yes --choice nope hello"), 0);
    assert_true(strcmp(output, "yes\n") == 0 || strcmp(output, "nope\n") == 0);
    assert_int_equal(stint("run -m " LLAMA " --choice 'only this' hello"), 0);
    assert_string_equal(output, "only this\n");
    assert_int_equal(stint("run -m " LLAMA " --regex '[0-9]{4}-[0-9]{2}' hello"), 0);
    assert_int_equal(strlen(output), 8);
    assert_int_equal(output[4], '-');
    assert_int_equal(
        stint("run -m " LLAMA " --regex '[0-9]{9}' -n 3 hello 2>/dev/null; exit $?"), 8);
    assert_string_equal(output, "");
    assert_int_equal(stint("run -m " LLAMA " --regex '[0-9]{9}' -n 3 hello"), 8);
    says("it is not whole\nhint: ");
    assert_int_equal(stint("run -m " LLAMA " --schema - hello <<'END' 2>&1\n"
                           "{\"type\": \"array\", \"items\": {\"enum\": [1, \"b\"]}, "
                           "\"minItems\": 2, \"maxItems\": 2}\nEND\nexit $?"),
                     0);
    json_t *two = json_loads(output, 0, NULL);
    assert_int_equal(json_array_size(two), 2);
    json_decref(two);
    assert_int_equal(stint("run -m " LLAMA " --schema - hello <<'END' 2>&1\n"
                           "{\"items\": {\"$ref\": \"http://a/b\"}}\nEND\nexit $?"),
                     6);
    says("/items");
    assert_int_equal(stint("run -m " LLAMA " --no-schema-prompt --choice b hello"), 2);
    assert_int_equal(stint("run -m " LLAMA " --regex a --choice b hello"), 2);
    says("held one way");
    assert_int_equal(stint("run -m " LLAMA " --regex a --regex b hello"), 2);
    says("given twice");
    assert_int_equal(stint("run -m " LLAMA " --regex '(' hello"), 5);
    assert_int_equal(stint("run -m " LLAMA " --grammar /no/such hello"), 7);
    int rc =
        stint("run -m " LLAMA " --regex '[ab]{3}|[0-9]{20}' -n 4 --jsonl 2>&1 <<'END'"
              "\n{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\nEND\nexit $?");
    assert_int_equal(rc, strstr(output, "\"error\"") ? 8 : 0);
}

/* A call names a function and fits its schema, in the text of a real model. */
static void run_calls(void **state)
{
    const char *folder = getenv("STINT_MODELS");
    char model[2048], line[3500];
    (void)state;
    if (!is_here(BERT))
        return;
    assert_int_equal(stint("run -m " LLAMA " --tools /no/such hello"), 7);
    assert_int_equal(stint("run -m " LLAMA " --tool-choice none hello"), 2);
    says("no functions");
    assert_int_equal(stint("run -m " LLAMA " --tools x --raw hello"), 7);
    snprintf(model, sizeof model, "%s/smollm2-135m-instruct.gguf",
             folder ? folder : ".cache/models");
    if (!is_here(model))
        return;
    snprintf(line, sizeof line,
             "run -m %s -n 80 --jsonl 2>&1 <<'END'\n"
             "{\"prompt\": \"What is the weather in Oslo?\", \"tool_choice\": "
             "\"required\", \"tools\": [{\"type\": \"function\", \"function\": "
             "{\"name\": \"get_weather\", \"parameters\": {\"type\": \"object\", "
             "\"properties\": {\"place\": {\"enum\": [\"Oslo\", \"Rome\"]}}, "
             "\"required\": [\"place\"]}}}]}\n"
             "{\"prompt\": \"Hello\"}\nEND\nexit $?",
             model);
    assert_int_equal(stint(line), 0);
    says("\"name\":\"get_weather\",\"arguments\":\"{\\\"place\\\": \\\"");
    says("\"finish\":\"tool_calls\"");
    says("{\"text\":");
}

static void grammar_check(void **state)
{
    (void)state;
    assert_int_equal(
        stint_reads(
            "grammar check --jsonl",
            "{\"schema\":{\"properties\":{\"b\":{\"type\":\"integer\"},\"a\":true}},"
            "\"valid\":1,\"tests\":[{\"data\":{\"a\":1,\"b\":1.0}},"
            "{\"data\":{\"b\":\"\"}},{\"data\":[1e2]}]}\n"
            "{\"schema\":{\"items\":{\"minLength\":-1}},\"tests\":[]}\n"
            "{\"schema\":true,\"tests\":[]}"),
        0);
    says("{\"compiled\":true,\"accepts\":[true,false,true]}\n{\"compiled\":false,"
         "\"pointer\":\"/items\",\"keyword\":\"minLength\",\"message\":\"");
    says("}\n{\"compiled\":true,\"accepts\":[]}\n");
    assert_int_equal(stint_reads("grammar check --jsonl --any-order -",
                                 "{\"schema\":{\"properties\":{\"b\":true,\"a\":true}},"
                                 "\"tests\":[{\"data\":{\"a\":1,\"b\":1}}]}\n{}\n{\"a\n\n"
                                 "{\"schema\":true,\"tests\":[{\"data\":1}]}\n"),
                     5);
    says("{\"compiled\":true,\"accepts\":[true]}\n{\"error\":\"no \\\"schema\\\" with");
    says("\n{\"error\":\"line 1 column");
    says("\n{\"compiled\":true,\"accepts\":[true]}\n");
    says("stint: -: line 2: ");
}

/* One schema, one value: what is wrong is named. */
static void grammar_check_files(void **state)
{
    char path[] = "/tmp/stint-schema-XXXXXX", words[256];
    static const char schema[] = "{\"properties\":{\"a\":{\"maximum\":2}}}";
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, schema, sizeof schema - 1), sizeof schema - 1);
    close(fd);
    snprintf(words, sizeof words, "grammar check --schema %s --data -", path);
    assert_int_equal(stint_reads(words, "{\"a\":3}"), 5);
    says("schema: compiled in ");
    says("-: \"/a\": \"maximum\"");
    assert_int_equal(stint_reads(words, "{\"a\":1e0}"), 0);
    says("data: would be written");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(stint_reads("grammar check --schema -", "{\"minLength\":1.5}"), 5);
    says("stint: -: ");
    says("minLength");
    assert_int_equal(stint("grammar check --schema tests/nothing.json"), 7);
    assert_int_equal(stint("grammar check --jsonl tests/nothing.jsonl"), 7);
    assert_int_equal(stint("grammar check"), 2);
    assert_int_equal(stint("grammar check --data x --jsonl"), 2);
    assert_int_equal(stint("grammar chalk"), 2);
    says("try 'check'");
    assert_int_equal(stint("grammar check --vocab x --schema y"), 2);
}

/* Masks are timed over the rows' valid values. */
static void grammar_masks_take_time(void **state)
{
    (void)state;
    assert_int_equal(stint("grammar masks rows.jsonl"), 2);
    assert_int_equal(stint("grammar masks --vocab tests/nothing.gguf rows.jsonl"), 7);
    if (!is_here(LLAMA))
        return;
    assert_int_equal(
        stint_reads("grammar masks --vocab " LLAMA " -",
                    "{\"schema\":{\"minLength\":3},\"tests\":[{\"data\":\"abc\"},"
                    "{\"valid\":true,\"data\":\"a\"},{\"valid\":false,"
                    "\"data\":\"b\"}]}\n\n{\"schema\":{\"type\":[]}}\n"),
        0);
    says("compile  2: mean ");
    says("mask     ");
    says("schemas refused 1; texts 2, not allowed 1; ids ");
    assert_int_equal(stint_reads("grammar masks --vocab " LLAMA " -", "{}"), 5);
    says("-:1: a row needs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_and_mistakes),
        cmocka_unit_test(every_command_helps),
        cmocka_unit_test(keys),
        cmocka_unit_test(inspect_gguf),
        cmocka_unit_test(inspect_json),
        cmocka_unit_test(inspect_safetensors),
        cmocka_unit_test(dequant),
        cmocka_unit_test(convert_names_what_is_wrong),
        cmocka_unit_test(shell_and_manual),
        cmocka_unit_test(tokenize_text_and_rows),
        cmocka_unit_test(embed_rows),
        cmocka_unit_test(extract_answers_and_refuses),
        cmocka_unit_test(embed_refuses),
        cmocka_unit_test(grammar_check),
        cmocka_unit_test(grammar_check_files),
        cmocka_unit_test(grammar_masks_take_time),
        cmocka_unit_test(run_prompts),
        cmocka_unit_test(run_rows),
        cmocka_unit_test(run_held),
        cmocka_unit_test(run_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
