/* tests/test_convert.c - Hugging Face folders written as GGUF, and numbers re-encoded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "gguf/convert.h"
#include "gguf/encode.h"
#include "gguf/gguf.h"
#include "gguf/safetensors.h"
#include "tests/fault.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCKS "../shared/goldens/quant/blocks/"
#define MINILM ".cache/models/all-minilm-l6-v2.gguf"

/* ---- numbers ---- */

static void same_blocks_as_the_reference(void **state)
{
    static const struct {
        st_dtype type;
        const char *path;
    } rows[] = {{ST_F16, BLOCKS "F16.blocks.bin"},
                {ST_BF16, BLOCKS "BF16.blocks.bin"},
                {ST_Q8_0, BLOCKS "Q8_0.blocks.bin"}};
    char *source, *want;
    size_t len, want_len, bytes;
    (void)state;
    if (st_file_read(BLOCKS "source.f32.bin", 1 << 24, &source, &len, NULL)) {
        print_message("SKIP: no " BLOCKS "\n");
        skip();
    }
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        assert_int_equal(st_file_read(rows[i].path, 1 << 24, &want, &want_len, NULL), 0);
        assert_true(st_dtype_size(rows[i].type, len / 4, &bytes));
        assert_int_equal(bytes, want_len);
        void *got = malloc(bytes);
        assert_int_equal(
            encode_floats(rows[i].type, (float *)(void *)source, len / 4, got, NULL), 0);
        assert_memory_equal(got, want, bytes);
        free(got);
        st_free(want);
    }
    st_free(source);
}

static void numbers_that_do_not_fit(void **state)
{
    float x[32] = {0};
    unsigned char out[128];
    st_err err = {0};
    (void)state;
    x[3] = 65520;
    assert_int_equal(encode_floats(ST_F16, x, 32, out, &err), ST_EFORMAT);
    assert_non_null(strstr(err.message, "value 3 is 65520"));
    assert_int_equal(encode_floats(ST_Q8_0, x, 32, out, NULL), 0);
    assert_int_equal(encode_floats(ST_BF16, x, 32, out, NULL), 0);
    x[3] = (float)NAN;
    assert_int_equal(encode_floats(ST_F32, x, 32, out, NULL), ST_EFORMAT);
    x[3] = (float)-INFINITY;
    assert_int_equal(encode_floats(ST_Q8_0, x, 32, out, NULL), ST_EFORMAT);
    x[3] = 1e-42f; /* 1 / d is infinite */
    assert_int_equal(encode_floats(ST_Q8_0, x, 32, out, NULL), 0);
    for (int i = 2; i < 34; i++)
        assert_int_equal(out[i], 0);
    assert_int_equal(encode_floats(ST_Q8_0, x, 31, out, NULL), ST_EUNSUPPORTED);
    assert_int_equal(encode_floats(ST_Q4_K, x, 0, out, NULL), ST_EUNSUPPORTED);
    assert_int_equal(decode_safet("I64", x, 1, x, NULL), ST_EUNSUPPORTED);
    static const uint16_t halves[] = {0x3C00, 0x3F80};
    assert_int_equal(decode_safet("F16", &halves[0], 1, x, NULL), 0);
    assert_int_equal(decode_safet("BF16", &halves[1], 1, x + 1, NULL), 0);
    assert_true(x[0] == 1 && x[1] == 1);
}

/* ---- a folder of our own: two layers, width 32, eight words ---- */

enum { LAYERS = 2, WIDTH = 32, FF = 64, POSITIONS = 4, WORDS = 8 };

#define CONFIG(more)                                                                     \
    "{\"model_type\":\"bert\",\"hidden_act\":\"gelu\",\"hidden_size\":32,"               \
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"intermediate_size\":64,"        \
    "\"max_position_embeddings\":4,\"type_vocab_size\":2,\"layer_norm_eps\":1e-12" more  \
    "}"
#define VOCAB ",\"vocab_size\":8"

static const char tokenizer[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"[PAD]\",\"special\":true},"
    "{\"id\":1,\"content\":\"[UNK]\",\"special\":true},{\"id\":2,\"content\":\"[CLS]\","
    "\"special\":true},{\"id\":3,\"content\":\"[SEP]\",\"special\":true}],"
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":false,\"clean_text\":true,"
    "\"handle_chinese_chars\":true,\"strip_accents\":null},"
    "\"model\":{\"type\":\"WordPiece\",\"continuing_subword_prefix\":\"##\",\"vocab\":"
    "{\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"play\":4,\"##ing\":5,\"##\":6}}}";

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[2][128];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void put_file(const char *name, const char *text)
{
    assert_int_equal(st_file_write(in_folder(name), text, strlen(text), NULL), 0);
}

static float values[FF * WIDTH];

static void put_tensor(safet_writer *w, const char *name, uint64_t rows, uint64_t cols)
{
    const uint64_t dims[2] = {rows ? rows : cols, cols};
    assert_int_equal(safet_put(w, name, "F32", dims, rows ? 2 : 1, values, NULL), 0);
}

static void put_layer(safet_writer *w, int layer)
{
    static const struct {
        const char *name;
        uint64_t rows, cols;
    } rows[] = {
        {"attention.self.query", WIDTH, WIDTH},
        {"attention.self.key", WIDTH, WIDTH},
        {"attention.self.value", WIDTH, WIDTH},
        {"attention.output.dense", WIDTH, WIDTH},
        {"attention.output.LayerNorm", 0, WIDTH},
        {"intermediate.dense", FF, WIDTH},
        {"output.dense", WIDTH, FF},
        {"output.LayerNorm", 0, WIDTH},
    };
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        char name[128];
        snprintf(name, sizeof name, "encoder.layer.%d.%s.weight", layer, rows[i].name);
        put_tensor(w, name, rows[i].rows, rows[i].cols);
        snprintf(name, sizeof name, "encoder.layer.%d.%s.bias", layer, rows[i].name);
        put_tensor(w, name, 0, rows[i].rows ? rows[i].rows : rows[i].cols);
    }
}

/* A whole folder; `extra` names one more tensor, or NULL. */
static void make_folder(const char *extra)
{
    safet_writer *w;
    snprintf(folder, sizeof folder, "/tmp/stint-convert-XXXXXX");
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < ST_COUNT(values); i++)
        values[i] = sinf((float)i);
    put_file("config.json", CONFIG(VOCAB));
    put_file("tokenizer.json", tokenizer);
    assert_int_equal(safet_writer_new(&w, NULL), 0);
    put_tensor(w, "embeddings.word_embeddings.weight", WORDS, WIDTH);
    put_tensor(w, "embeddings.position_embeddings.weight", POSITIONS, WIDTH);
    put_tensor(w, "embeddings.token_type_embeddings.weight", 2, WIDTH);
    put_tensor(w, "embeddings.LayerNorm.weight", 0, WIDTH);
    put_tensor(w, "embeddings.LayerNorm.bias", 0, WIDTH);
    put_tensor(w, "pooler.dense.weight", WIDTH, WIDTH);
    for (int i = 0; i < LAYERS; i++)
        put_layer(w, i);
    if (extra)
        put_tensor(w, extra, 2, WIDTH);
    assert_int_equal(safet_write(w, in_folder("model.safetensors"), NULL), 0);
    safet_writer_free(w);
}

static void remove_folder(void)
{
    static const char *const names[] = {
        "config.json",       "tokenizer.json", "tokenizer_config.json",
        "model.safetensors", "vocab.txt",      "1_Pooling/config.json",
        "modules.json",      "out.gguf",       "1_Pooling"};
    for (size_t i = 0; i < ST_COUNT(names); i++)
        remove(in_folder(names[i]));
    assert_int_equal(rmdir(folder), 0);
}

static int convert(st_dtype type, st_err *err)
{
    memset(err, 0, sizeof *err);
    return convert_folder(folder, in_folder("out.gguf"), "tiny", type, NULL, err);
}

static void converts(st_dtype type, gguf **ret)
{
    st_err err;
    if (convert(type, &err))
        fail_msg("%s", err.message);
    assert_int_equal(gguf_open(in_folder("out.gguf"), ret, &err), 0);
}

static void refuses(int code, const char *part)
{
    st_err err;
    int rc = convert(ST_F16, &err);
    if (rc != code || !strstr(err.message, part))
        fail_msg("code %d, message '%s', expected '%s'", rc, err.message, part);
    assert_int_equal(access(in_folder("out.gguf"), F_OK), -1);
}

static void has_u32(const gguf *g, const char *key, uint32_t want)
{
    uint32_t u;
    assert_int_equal(gguf_u32(g, key, &u, NULL), 0);
    assert_int_equal(u, want);
}

static void check_keys(const gguf *g)
{
    gguf_str s;
    bool causal = true;
    float eps;
    assert_int_equal(gguf_string(g, "general.architecture", &s, NULL), 0);
    assert_memory_equal(s.data, "bert", 4);
    has_u32(g, "bert.block_count", LAYERS);
    has_u32(g, "bert.context_length", POSITIONS);
    has_u32(g, "bert.embedding_length", WIDTH);
    has_u32(g, "bert.feed_forward_length", FF);
    has_u32(g, "bert.attention.head_count", 4);
    has_u32(g, "bert.pooling_type", 1);
    has_u32(g, "tokenizer.ggml.token_type_count", 2);
    has_u32(g, "tokenizer.ggml.cls_token_id", 2);
    has_u32(g, "tokenizer.ggml.seperator_token_id", 3);
    has_u32(g, "tokenizer.ggml.unknown_token_id", 1);
    has_u32(g, "tokenizer.ggml.padding_token_id", 0);
    assert_false(gguf_has(g, "tokenizer.ggml.mask_token_id"));
    assert_int_equal(gguf_bool_or(g, "bert.attention.causal", true, &causal, NULL), 0);
    assert_false(causal);
    assert_int_equal(gguf_f32_or(g, "bert.attention.layer_norm_epsilon", 0, &eps, NULL),
                     0);
    assert_true(eps == 1e-12f);
}

static void check_tokens(const gguf *g)
{
    static const char *const want[] = {
        "[PAD]", "[UNK]",          "[CLS]", "[SEP]", "\xE2\x96\x81play",
        "ing",   "\xE2\x96\x81##", "[PAD7]"};
    static const int32_t types[] = {3, 3, 3, 3, 1, 1, 1, 5};
    gguf_str *tokens;
    int32_t *got;
    size_t n;
    assert_int_equal(gguf_strings(g, "tokenizer.ggml.tokens", &tokens, &n, NULL), 0);
    assert_int_equal(n, WORDS);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(tokens[i].len, strlen(want[i]));
        assert_memory_equal(tokens[i].data, want[i], tokens[i].len);
    }
    st_free(tokens);
    assert_int_equal(gguf_i32s(g, "tokenizer.ggml.token_type", &got, &n, NULL), 0);
    assert_int_equal(n, WORDS);
    assert_memory_equal(got, types, sizeof types);
    st_free(got);
}

static void every_type(void **state)
{
    static const st_dtype types[] = {ST_F32, ST_F16, ST_Q8_0};
    (void)state;
    make_folder(NULL);
    for (size_t i = 0; i < ST_COUNT(types); i++) {
        gguf *g;
        unsigned char want[sizeof values];
        bool lowercase = true;
        converts(types[i], &g);
        check_keys(g);
        check_tokens(g);
        assert_int_equal(gguf_bool_or(g, "tokenizer.ggml.normalizer.lowercase", true,
                                      &lowercase, NULL),
                         0);
        assert_false(lowercase);
        assert_int_equal(gguf_n_tensors(g), 5 + LAYERS * 16);
        const gguf_tensor *up = gguf_find_tensor(g, "blk.1.ffn_up.weight");
        assert_int_equal(up->type, types[i]);
        assert_int_equal(up->dims[0], WIDTH);
        assert_int_equal(up->dims[1], FF);
        assert_int_equal(encode_floats(types[i], values, FF * WIDTH, want, NULL), 0);
        assert_memory_equal(up->data, want, up->bytes);
        const gguf_tensor *norm = gguf_find_tensor(g, "blk.0.layer_output_norm.bias");
        assert_int_equal(norm->type, ST_F32);
        assert_memory_equal(norm->data, values, WIDTH * sizeof values[0]);
        assert_int_equal(gguf_find_tensor(g, "position_embd.weight")->type, ST_F32);
        assert_int_equal(gguf_find_tensor(g, "blk.0.ffn_up.bias")->dims[0], FF);
        assert_int_equal(gguf_find_tensor(g, "blk.0.ffn_down.weight")->dims[0], FF);
        assert_int_equal(gguf_find_tensor(g, "token_embd.weight")->type, types[i]);
        gguf_close(g);
    }
    remove_folder();
}

static void poolings(void **state)
{
    gguf *g;
    (void)state;
    make_folder(NULL);
    assert_int_equal(mkdir(in_folder("1_Pooling"), 0700), 0);
    put_file("1_Pooling/config.json", "{\"pooling_mode_cls_token\":true,"
                                      "\"pooling_mode_mean_tokens\":false}");
    converts(ST_F16, &g);
    has_u32(g, "bert.pooling_type", 2);
    gguf_close(g);
    put_file("modules.json",
             "[{\"type\":\"sentence_transformers.models.Transformer\",\"path\":\"\"}]");
    converts(ST_F16, &g); /* the list of modules is the truth where there is one */
    has_u32(g, "bert.pooling_type", 1);
    gguf_close(g);
    remove(in_folder("out.gguf"));
    put_file("modules.json", "[{\"type\":\"s.Pooling\",\"path\":\"1_Pooling\"},"
                             "{\"type\":\"s.Dense\",\"path\":\"2_Dense\"}]");
    refuses(ST_EUNSUPPORTED, "module 's.Dense'");
    put_file("modules.json", "[{\"type\":\"s.Pooling\",\"path\":\"../x\"}]");
    refuses(ST_EUNSUPPORTED, "module 's.Pooling'");
    put_file("modules.json", "[{\"type\":\"s.Pooling\",\"path\":\"9_Pooling\"}]");
    refuses(ST_ENOTFOUND, "9_Pooling/config.json is missing");
    put_file("modules.json", "[{\"type\":\"s.Pooling\",\"path\":\"1_Pooling\"}]");
    put_file("1_Pooling/config.json", "{\"pooling_mode_max_tokens\":true}");
    refuses(ST_EUNSUPPORTED, "pooling_mode_max_tokens");
    put_file("1_Pooling/config.json",
             "{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":true}");
    refuses(ST_EUNSUPPORTED, "joined with another");
    remove_folder();
}

static void vocab_txt(void **state)
{
    gguf *g;
    bool lowercase = false;
    (void)state;
    make_folder(NULL);
    remove(in_folder("tokenizer.json"));
    refuses(ST_ENOTFOUND, "vocab.txt");
    put_file("vocab.txt", "[PAD]\n[UNK]\r\n[CLS]\n[SEP]\nplay\n##ing\n##");
    converts(ST_F32, &g);
    check_tokens(g);
    assert_int_equal(
        gguf_bool_or(g, "tokenizer.ggml.normalizer.lowercase", false, &lowercase, NULL),
        0);
    assert_true(lowercase);
    gguf_close(g);
    put_file("tokenizer_config.json", "{\"do_lower_case\":false}");
    converts(ST_F32, &g);
    assert_int_equal(
        gguf_bool_or(g, "tokenizer.ggml.normalizer.lowercase", true, &lowercase, NULL),
        0);
    assert_false(lowercase);
    gguf_close(g);
    remove(in_folder("out.gguf"));
    put_file("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\na\n");
    refuses(ST_EFORMAT, "has two ids");
    put_file("vocab.txt", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    refuses(ST_EFORMAT, "not below vocab_size 8");
    put_file("vocab.txt", "[PAD]\n[UNK]\n[CLS]\nno separator\n");
    refuses(ST_EUNSUPPORTED, "no [SEP]");
    put_file("vocab.txt", "[PAD]\n\n[CLS]\n");
    refuses(ST_EFORMAT, "token 1: 0 bytes");
    remove_folder();
}

static void wrong_tokenizers(void **state)
{
    (void)state;
    make_folder(NULL);
    put_file("tokenizer.json", "{\"model\":{\"type\":\"BPE\"}}");
    refuses(ST_EUNSUPPORTED, "tokenizer of type 'BPE'");
    put_file("tokenizer.json", "{\"model\":{\"type\":\"WordPiece\"}}");
    refuses(ST_EUNSUPPORTED, "normalizer '(missing)'");
    put_file("tokenizer.json", "{");
    refuses(ST_EFORMAT, "tokenizer.json:1");
#define MODEL(norm, vocab)                                                               \
    "{\"model\":{\"type\":\"WordPiece\",\"vocab\":" vocab                                \
    "},\"normalizer\":{\"type\":\"BertNormalizer\"" norm "}}"
    put_file("tokenizer.json", MODEL("", "{\"a\":0,\"b\":2}"));
    refuses(ST_EFORMAT, "no token with id 1");
    put_file("tokenizer.json", MODEL("", "{\"a\":0,\"b\":0}"));
    refuses(ST_EFORMAT, "id 0 is taken");
    put_file("tokenizer.json", MODEL("", "{\"a\":-1}"));
    refuses(ST_EFORMAT, "id -1");
    put_file("tokenizer.json", MODEL("", "{\"a\":\"0\"}"));
    refuses(ST_EFORMAT, "its id is no number");
    put_file("tokenizer.json",
             MODEL(",\"strip_accents\":true,\"lowercase\":false", "{}"));
    refuses(ST_EUNSUPPORTED, "strip_accents");
    put_file("tokenizer.json", MODEL(",\"clean_text\":false", "{}"));
    refuses(ST_EUNSUPPORTED, "clean_text");
#undef MODEL
    remove_folder();
}

static void wrong_folders(void **state)
{
    st_err err;
    (void)state;
    make_folder(NULL);
    put_file("config.json", "{\"model_type\":\"mamba2\"}");
    refuses(ST_EUNSUPPORTED, "model_type 'mamba2' cannot be converted");
    put_file("config.json", "[]");
    refuses(ST_EUNSUPPORTED, "model_type '(missing)'");
    put_file("config.json", CONFIG(",\"vocab_size\":9"));
    refuses(ST_EFORMAT, "'embeddings.word_embeddings.weight': its shape");
    put_file("config.json", CONFIG(",\"vocab_size\":4294967296"));
    refuses(ST_EFORMAT, "'vocab_size'");
    put_file("config.json", CONFIG(""));
    refuses(ST_EFORMAT, "'vocab_size'");
    put_file("config.json",
             CONFIG(VOCAB ",\"position_embedding_type\":\"relative_key\""));
    refuses(ST_EUNSUPPORTED, "'relative_key'");
    put_file("config.json", "{\"model_type\":\"bert\",\"hidden_act\":\"relu\"}");
    refuses(ST_EUNSUPPORTED, "hidden_act 'relu'");
    assert_int_equal(convert(ST_Q4_K, &err), ST_EINVAL);
    put_file("config.json", CONFIG(VOCAB));
    remove(in_folder("model.safetensors"));
    refuses(ST_ENOTFOUND, "model.safetensors");
    put_file("model.safetensors", "12345678{}");
    refuses(ST_EFORMAT, "model.safetensors: the header runs beyond");
    remove(in_folder("config.json"));
    refuses(ST_ENOTFOUND, "no config.json");
    remove_folder();
    make_folder("classifier.weight");
    refuses(ST_EUNSUPPORTED, "tensor 'classifier.weight' has no place");
    remove_folder();
    make_folder("encoder.layer.2.output.LayerNorm.weight"); /* more layers than it says */
    refuses(ST_EUNSUPPORTED, "'encoder.layer.2.output.LayerNorm.weight'");
    put_file("config.json",
             "{\"model_type\":\"bert\",\"hidden_size\":32,"
             "\"num_hidden_layers\":3,\"num_attention_heads\":4,"
             "\"intermediate_size\":64,\"max_position_embeddings\":4,"
             "\"type_vocab_size\":2,\"layer_norm_eps\":1e-12,\"vocab_size\":8}");
    refuses(ST_EFORMAT,
            "tensor 'encoder.layer.2.attention.self.query.weight' is missing");
    remove_folder();
}

static int convert_once(void *arg)
{
    (void)arg;
    return convert_folder(folder, in_folder("out.gguf"), "tiny", ST_Q8_0, NULL, NULL);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    make_folder(NULL);
    assert_true(fault_sweep(convert_once, NULL, 1) > 100);
    remove_folder();
}

/* What `stint convert` made of the real folder when the models were fetched. */
static void minilm(void **state)
{
    st_err err = {0};
    gguf *g;
    gguf_str *tokens;
    size_t n;
    (void)state;
    if (access(MINILM, R_OK)) {
        print_message("SKIP: no " MINILM "; make models gets it\n");
        skip();
    }
    assert_int_equal(gguf_open(MINILM, &g, &err), 0);
    assert_int_equal(gguf_n_tensors(g), 5 + 6 * 16);
    has_u32(g, "bert.block_count", 6);
    has_u32(g, "bert.pooling_type", 1);
    has_u32(g, "tokenizer.ggml.cls_token_id", 101);
    has_u32(g, "tokenizer.ggml.mask_token_id", 103);
    assert_int_equal(gguf_find_tensor(g, "token_embd.weight")->dims[1], 30522);
    assert_int_equal(gguf_strings(g, "tokenizer.ggml.tokens", &tokens, &n, &err), 0);
    assert_int_equal(n, 30522);
    assert_memory_equal(tokens[101].data, "[CLS]", 5);
    assert_memory_equal(tokens[1012].data, "\xE2\x96\x81", 3);
    st_free(tokens);
    gguf_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_blocks_as_the_reference),
        cmocka_unit_test(numbers_that_do_not_fit),
        cmocka_unit_test(every_type),
        cmocka_unit_test(poolings),
        cmocka_unit_test(vocab_txt),
        cmocka_unit_test(wrong_tokenizers),
        cmocka_unit_test(wrong_folders),
        cmocka_unit_test(every_allocation_fails_once),
        cmocka_unit_test(minilm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
