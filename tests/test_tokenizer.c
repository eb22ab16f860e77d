/* tests/test_tokenizer.c - the tokenizer on small vocabularies made here: algorithms,
 * control tokens, hostile vocabularies, long texts, failing allocations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "tests/fault.h"
#include "tests/vocab_tok.h"
#include "tokenizer/tokenizer.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define S(text)                                                                          \
    {                                                                                    \
        text, sizeof(text) - 1                                                           \
    }
#define SP "\xE2\x96\x81"

/* ---- the vocabularies ---- */

enum { N_BYTES = 256, MAX_TOKENS = 320 };

typedef struct vocab { /* a spec with room for what it points to */
    vocab_spec spec;
    gguf_str tokens[MAX_TOKENS];
    int32_t types[MAX_TOKENS];
    float scores[MAX_TOKENS];
    char bytes[N_BYTES][8];
} vocab;

static void add(vocab *v, const gguf_str *tokens, size_t n, int32_t type)
{
    for (size_t i = 0; i < n; i++) {
        size_t id = v->spec.n_tokens++;
        v->tokens[id] = tokens[i];
        v->types[id] = type;
        v->scores[id] = -(float)id;
    }
    v->spec.tokens = v->tokens;
    v->spec.types = v->types;
    v->spec.n_types = v->spec.n_tokens;
}

/* ids 0..255 are the bytes, then BPE_... */
enum {
    BPE_LL = 256,
    BPE_HE,
    BPE_HELL,
    BPE_SPACE_A,
    BPE_AA,
    BPE_AAA,
    BPE_EACUTE,
    BPE_SO,   /* a piece on the way to "sos" */
    BPE_CALL, /* <call>: user-defined */
    BPE_BOS,  /* <s> */
    BPE_SOS,  /* sos: a control token that merges would make */
    BPE_END,  /* <|im_end|> */
    BPE_END2, /* <|im_end|>> */
};

static void bpe_vocab(vocab *v, const char *pre)
{
    static const gguf_str words[] = {S("ll"),
                                     S("he"),
                                     S("hell"),
                                     S("\xC4\xA0"
                                       "a"),
                                     S("aa"),
                                     S("aaa"),
                                     S("\xC3\x83\xC2\xA9"),
                                     S("so")};
    static const gguf_str user[] = {S("<call>")};
    static const gguf_str control[] = {S("<s>"), S("sos"), S("<|im_end|>"),
                                       S("<|im_end|>>")};
    static const gguf_str merges[] = {S("l l"),
                                      S("h e"),
                                      S("he ll"),
                                      S("\xC4\xA0 a"),
                                      S("a a"),
                                      S("aa a"),
                                      S("\xC3\x83 \xC2\xA9"),
                                      S("s o"),
                                      S("so s")};
    *v = (vocab){.spec = {.model = "gpt2", .pre = pre}};
    for (unsigned b = 0; b < N_BYTES; b++) {
        gguf_str byte = vocab_byte(b, v->bytes[b]);
        add(v, &byte, 1, 1);
    }
    add(v, words, ST_COUNT(words), 1);
    add(v, user, 1, 4);
    add(v, control, ST_COUNT(control), 3);
    v->spec.merges = merges;
    v->spec.n_merges = ST_COUNT(merges);
    v->spec.ids[0].key = "tokenizer.ggml.bos_token_id";
    v->spec.ids[0].value = BPE_BOS;
    v->spec.flags[0].key = "tokenizer.ggml.add_bos_token";
    v->spec.flags[0].value = true;
}

/* ids 3..258 are the bytes */
enum {
    SPM_UNK,
    SPM_BOS,
    SPM_EOS,
    SPM_BYTES,
    SPM_SPACE = SPM_BYTES + N_BYTES,
    SPM_A,
    SPM_B,
    SPM_AB,
    SPM_BA,
    SPM_SPACE_A,
    SPM_SPACES,
    SPM_USER, /* "▁▁▁": user-defined */
};

static void spm_vocab(vocab *v)
{
    static const gguf_str first[] = {S("<unk>"), S("<s>"), S("</s>")};
    static const gguf_str words[] = {S(SP),   S("a"),    S("b"),  S("ab"),
                                     S("ba"), S(SP "a"), S(SP SP)};
    static const gguf_str user[] = {S(SP SP SP)};
    *v = (vocab){.spec = {.model = "llama", .pre = "default"}};
    add(v, first, 3, 3);
    v->types[SPM_UNK] = 2;
    for (unsigned b = 0; b < N_BYTES; b++) {
        snprintf(v->bytes[b], sizeof v->bytes[b], "<0x%02X>", b);
        gguf_str byte = {v->bytes[b], 6};
        add(v, &byte, 1, 6);
    }
    add(v, words, ST_COUNT(words), 1);
    add(v, user, 1, 4);
    v->scores[SPM_BA] = v->scores[SPM_AB] + 1; /* "ba" goes first */
    v->spec.scores = v->scores;
    v->spec.n_scores = v->spec.n_tokens;
}

enum {
    WP_PAD,
    WP_UNK,
    WP_CLS,
    WP_SEP,
    WP_UN,
    WP_AFFABLE, /* inner */
    WP_HELLO,
    WP_BANG,
    WP_CJK,
    WP_A,
    WP_INNER_A,
    WP_N,
};

static void wordpiece_vocab(vocab *v, bool hash)
{
    static const gguf_str control[] = {S("[PAD]"), S("[UNK]"), S("[CLS]"), S("[SEP]")};
    static const gguf_str marked[] = {S(SP "un"), S("affable"), S(SP "hello"), S(SP "!"),
                                      S(SP "中"), S(SP "a"),    S("a")};
    static const gguf_str hashed[] = {S("un"), S("##affable"), S("hello"), S("!"),
                                      S("中"), S("a"),         S("##a")};
    *v = (vocab){.spec = {.model = "bert"}};
    add(v, control, ST_COUNT(control), 3);
    add(v, hash ? hashed : marked, ST_COUNT(marked), 1);
}

/* The ids are exactly these, which end with -1. */
static void expect_bytes(const tok *t, const char *text, size_t len, unsigned flags,
                         const int32_t *want)
{
    tok_ids ids = {0};
    st_err err = {0};
    size_t n = 0;
    while (want[n] >= 0)
        n++;
    if (tok_encode(t, text, len, flags, &ids, &err))
        fail_msg("%s", err.message);
    bool same = ids.n == n;
    for (size_t i = 0; same && i < n; i++)
        same = ids.ids[i] == want[i];
    if (!same) {
        for (size_t i = 0; i < ids.n; i++)
            print_message("%d ", ids.ids[i]);
        fail_msg("'%.*s': other ids", (int)len, text);
    }
    tok_ids_done(&ids);
}

#define EXPECT(t, text, flags, ...)                                                      \
    expect_bytes(t, text, sizeof(text) - 1, flags, (const int32_t[]){__VA_ARGS__})

static void expect_text(const tok *t, const int32_t *ids, size_t n, bool special,
                        const char *want)
{
    st_buf out;
    st_buf_init(&out, 1 << 20);
    assert_int_equal(tok_decode(t, ids, n, special, &out, NULL), 0);
    assert_string_equal(out.data ? out.data : "", want);
    st_buf_done(&out);
}

/* ---- algorithms ---- */

static void bpe_merges_by_rank(void **state)
{
    vocab v;
    (void)state;
    bpe_vocab(&v, "gpt-2");
    tok *t = vocab_tok(&v.spec);
    assert_int_equal(tok_n_vocab(t), BPE_END2 + 1);
    EXPECT(t, "", 0, -1);
    EXPECT(t, "hello", 0, BPE_HELL, 'o', -1);
    EXPECT(t, "hello", TOK_ADD, BPE_BOS, BPE_HELL, 'o', -1);
    EXPECT(t, "aaaa", 0, BPE_AA, BPE_AA, -1);   /* equal ranks: from the left */
    EXPECT(t, "aaaaa", 0, BPE_AA, BPE_AAA, -1); /* the rest by the later rank */
    EXPECT(t, "b a", 0, 'b', BPE_SPACE_A, -1);
    EXPECT(t, "\xC3\xA9", 0, BPE_EACUTE, -1);
    EXPECT(t, "e\xCC\x81", 0, 'e', 0xCC, 0x81, -1); /* gpt-2 does not normalise */
    EXPECT(t, "a\0b", 0, 'a', 0, 'b', -1);
    EXPECT(t, "\xFF\xC3\x28", 0, 0xFF, 0xC3, '(', -1); /* no UTF-8: by its bytes */
    EXPECT(t, "l\xC3l", 0, 'l', 0xC3, 'l', -1);
    tok_free(t);
}

static void bpe_normalises_where_the_family_does(void **state)
{
    vocab v;
    (void)state;
    bpe_vocab(&v, "qwen2");
    tok *t = vocab_tok(&v.spec);
    EXPECT(t, "e\xCC\x81", 0, BPE_EACUTE, -1);
    /* marks are put in order: below (220) before above (230) */
    EXPECT(t, "b\xCC\x81\xCC\x96", 0, 'b', 0xCC, 0x96, 0xCC, 0x81, -1);
    EXPECT(t, "e\xCC\x81\xFF", 0, BPE_EACUTE, 0xFF, -1);
    tok_free(t);
}

static void bpe_takes_whole_words(void **state)
{
    vocab v;
    static const gguf_str word[] = {S("xyz")};
    (void)state;
    bpe_vocab(&v, "llama-bpe");
    add(&v, word, 1, 1); /* no merge makes it */
    tok *t = vocab_tok(&v.spec);
    EXPECT(t, "xyz", 0, BPE_END2 + 1, -1);
    EXPECT(t, "xyzz", 0, 'x', 'y', 'z', 'z', -1);
    tok_free(t);
    v.spec.pre = "gpt-2";
    t = vocab_tok(&v.spec);
    EXPECT(t, "xyz", 0, 'x', 'y', 'z', -1);
    tok_free(t);
}

/* Where each family cuts: a byte stands alone when nothing merges, so what shows is
 * whether "aa", " a" and "ll" come together. */
static void pre_tokenisers_cut(void **state)
{
    static const char *const names[] = {
        "gpt-2",          "smollm",      "llama3",    "llama-bpe",  "qwen2",
        "qwen35",         "falcon",      "starcoder", "refact",     "deepseek-llm",
        "deepseek-coder", "deepseek-v3", "command-r", "stablelm2",  "gpt-4o",
        "tekken",         "bloom",       "viking",    "seed-coder", "bailingmoe",
        "default",        "chatglm-bpe", "olmo",
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(names); i++) {
        vocab v;
        bpe_vocab(&v, names[i]);
        tok *t = vocab_tok(&v.spec);
        EXPECT(t, "ll a", 0, BPE_LL, BPE_SPACE_A, -1);
        EXPECT(t, "a a\na", 0, 'a', BPE_SPACE_A, '\n', 'a', -1);
        tok_free(t);
    }
}

static void digits_by_family(void **state)
{
    static const gguf_str pairs[] = {S("11"), S("111"), S("1111")};
    static const gguf_str merges[] = {S("1 1"), S("11 1"), S("11 11")};
    static const struct {
        const char *pre;
        int32_t want[6]; /* of "1111" after BPE_END2 */
    } rows[] = {{"gpt-2", {3}},     {"llama3", {2, 0}},       {"qwen2", {0, 0, 0, 0}},
                {"falcon", {2, 0}}, {"smollm", {0, 0, 0, 0}}, {"deepseek-v3", {2, 0}}};
    (void)state;
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        vocab v;
        int32_t want[6];
        size_t n = 0;
        bpe_vocab(&v, rows[i].pre);
        add(&v, pairs, ST_COUNT(pairs), 1);
        v.spec.merges = merges;
        v.spec.n_merges = ST_COUNT(merges);
        for (int sum = 0; sum < 4; n++) {
            int32_t piece = rows[i].want[n]; /* 0: one digit, 2: three, 3: four */
            want[n] = piece ? BPE_END2 + piece : '1';
            sum += piece ? piece + 1 : 1;
        }
        want[n] = -1;
        tok *t = vocab_tok(&v.spec);
        expect_bytes(t, "1111", 4, 0, want);
        tok_free(t);
    }
}

static void spm_merges_by_score(void **state)
{
    vocab v;
    (void)state;
    spm_vocab(&v);
    tok *t = vocab_tok(&v.spec);
    EXPECT(t, "", 0, -1);
    EXPECT(t, "a", 0, SPM_SPACE_A, -1);
    EXPECT(t, "a", TOK_ADD, SPM_BOS, SPM_SPACE_A, -1);
    EXPECT(t, "bab", 0, SPM_SPACE, SPM_BA, SPM_B, -1); /* not b, ab */
    EXPECT(t, "b\n", 0, SPM_SPACE, SPM_B, SPM_BYTES + '\n', -1);
    EXPECT(t, "\xC3\xA9\xFF", 0, SPM_SPACE, SPM_BYTES + 0xC3, SPM_BYTES + 0xA9,
           SPM_BYTES + 0xFF, -1);
    EXPECT(t, " ", 0, SPM_SPACES, -1);
    EXPECT(t, "<0x41>", 0, SPM_SPACE, SPM_BYTES + '<', SPM_BYTES + '0', SPM_BYTES + 'x',
           SPM_BYTES + '4', SPM_BYTES + '1', SPM_BYTES + '>',
           -1); /* not the byte token */
    EXPECT(t, "b   b", 0, SPM_SPACE, SPM_B, SPM_USER, SPM_SPACE, SPM_B, -1);
    const int32_t ids[] = {SPM_BOS, SPM_SPACE_A, SPM_SPACE, SPM_BA, SPM_EOS, SPM_SPACE_A};
    expect_text(t, ids, 6, true, "<s>a ba</s>a");
    expect_text(t, ids, 6, false, "a baa");
    tok_free(t);
    v.spec.flags[0].key = "tokenizer.ggml.add_space_prefix";
    t = vocab_tok(&v.spec);
    EXPECT(t, "a", 0, SPM_A, -1);
    expect_text(t, (const int32_t[]){SPM_SPACE_A}, 1, false, " a");
    tok_free(t);
}

/* A piece may go over the end of a word; merging must not stop there then. */
static void spm_pieces_over_spaces(void **state)
{
    static const gguf_str more[] = {S("b" SP), S("b" SP "b")};
    vocab v;
    (void)state;
    spm_vocab(&v);
    add(&v, more, 2, 1);
    v.spec.n_scores = v.spec.n_tokens;
    tok *t = vocab_tok(&v.spec);
    EXPECT(t, "b b", 0, SPM_SPACE, SPM_USER + 2, -1);
    EXPECT(t, "b b a", 0, SPM_SPACE, SPM_USER + 2, SPM_SPACE_A, -1);
    EXPECT(t, "aa b", 0, SPM_SPACE_A, SPM_A, SPM_SPACE, SPM_B, -1);
    tok_free(t);
}

static void spm_without_bytes_has_unknowns(void **state)
{
    static const gguf_str tokens[] = {S("<unk>"), S("a"), S(SP)};
    const float scores[] = {0, -1, -2};
    const int32_t types[] = {2, 1, 1};
    vocab_spec spec = {.model = "llama",
                       .tokens = tokens,
                       .n_tokens = 3,
                       .types = types,
                       .n_types = 3,
                       .scores = scores,
                       .n_scores = 3};
    (void)state;
    tok *t = vocab_tok(&spec);
    EXPECT(t, "axya\xFF", 0, 2, 1, 0, 1, 0, -1); /* a run of unknowns is one */
    tok_free(t);
}

static void gemma4_merges_characters(void **state)
{
    static const gguf_str tokens[] = {S("<bos>"), S("<0x41>"), S("a"),    S(SP),
                                      S(SP "a"),  S("\n"),     S("\n\n"), S("<unk>")};
    static const gguf_str merges[] = {S("\n \n"), S(SP " a")};
    const int32_t types[] = {3, 6, 1, 1, 1, 1, 1, 2};
    vocab_spec spec = {.model = "gemma4",
                       .tokens = tokens,
                       .n_tokens = 8,
                       .types = types,
                       .n_types = 8,
                       .merges = merges,
                       .n_merges = 2,
                       .ids = {{"tokenizer.ggml.bos_token_id", 0},
                               {"tokenizer.ggml.unknown_token_id", 7}}};
    (void)state;
    tok *t = vocab_tok(&spec);
    EXPECT(t, "a a\n\n\n", TOK_ADD, 0, 2, 4, 6, 5, -1);
    EXPECT(t, "zz", 0, 7, -1); /* not every byte has a piece */
    tok_free(t);
}

static void wordpiece_normalises(void **state)
{
    (void)state;
    for (int hash = 0; hash < 2; hash++) {
        vocab v;
        wordpiece_vocab(&v, hash);
        tok *t = vocab_tok(&v.spec);
        EXPECT(t, "Unaffable  HELLO!", TOK_ADD, WP_CLS, WP_UN, WP_AFFABLE, WP_HELLO,
               WP_BANG, WP_SEP, -1);
        EXPECT(t, "", TOK_ADD, WP_CLS, WP_SEP, -1);
        EXPECT(t, "a中a", 0, WP_A, WP_CJK, WP_A, -1);
        EXPECT(t, "\xC3\xA1\xC3\x80", 0, WP_A, WP_INNER_A, -1); /* áÀ */
        EXPECT(t, "a\x01\xE2\x80\x8D\xEF\xBF\xBD\0a", 0, WP_A, WP_INNER_A,
               -1); /* dropped */
        EXPECT(t, "unx hello", 0, WP_UNK, WP_HELLO, -1);
        EXPECT(t, "a\xFF hello", 0, WP_UNK, WP_HELLO, -1);
        EXPECT(t, "\xFF", 0, WP_UNK, -1);
        EXPECT(t, "a[SEP]a", 0, WP_A, WP_UNK, WP_UNK, WP_UNK, WP_A, -1);
        EXPECT(t, "a[SEP]a", TOK_PARSE, WP_A, WP_SEP, WP_A, -1);
        const int32_t ids[] = {WP_CLS, WP_UN, WP_AFFABLE, WP_HELLO, WP_BANG, WP_SEP};
        expect_text(t, ids, 6, true, "[CLS] unaffable hello! [SEP]");
        expect_text(t, ids, 6, false, "unaffable hello!");
        tok_free(t);
    }
}

static void wordpiece_words_have_a_length(void **state)
{
    vocab v;
    char text[101];
    tok_ids ids = {0};
    (void)state;
    wordpiece_vocab(&v, false);
    tok *t = vocab_tok(&v.spec);
    memset(text, 'a', sizeof text);
    assert_int_equal(tok_encode(t, text, 100, 0, &ids, NULL), 0);
    assert_int_equal(ids.n, 100);
    ids.n = 0;
    assert_int_equal(tok_encode(t, text, 101, 0, &ids, NULL), 0);
    assert_int_equal(ids.n, 1);
    assert_int_equal(ids.ids[0], WP_UNK);
    tok_ids_done(&ids);
    tok_free(t);
}

static void wordpiece_may_keep_case_and_accents(void **state)
{
    vocab v;
    static const gguf_str more[] = {S(SP "A"), S(SP "\xC3\xA1")};
    (void)state;
    wordpiece_vocab(&v, false);
    add(&v, more, 2, 1);
    v.spec.flags[0].key = "tokenizer.ggml.normalizer.lowercase";
    tok *t = vocab_tok(&v.spec);
    EXPECT(t, "A a \xC3\xA1", 0, WP_N, WP_A, WP_N + 1, -1);
    tok_free(t);
}

/* ---- control tokens ---- */

static void control_only_where_asked(void **state)
{
    vocab v;
    (void)state;
    bpe_vocab(&v, "gpt-2");
    tok *t = vocab_tok(&v.spec);
    EXPECT(t, "a<|im_end|>", TOK_PARSE, 'a', BPE_END, -1);
    EXPECT(t, "<|im_end|>>>", TOK_PARSE, BPE_END2, '>', -1); /* the longest */
    EXPECT(t, "<|im_end|", TOK_PARSE, '<', '|', 'i', 'm', '_', 'e', 'n', 'd', '|', -1);
    EXPECT(t, "<|im_end|>", 0, '<', '|', 'i', 'm', '_', 'e', 'n', 'd', '|', '>', -1);
    EXPECT(t, "a<call>a", 0, 'a', BPE_CALL, 'a', -1); /* user-defined: always */
    EXPECT(t, "sos", 0, BPE_SO, 's', -1);             /* merging stops before it */
    EXPECT(t, "sos<s>", TOK_PARSE, BPE_SOS, BPE_BOS, -1);
    assert_true(tok_is_end(t, BPE_END));
    uint32_t n_ends, n_marked = 0;
    const int32_t *ends = tok_ends(t, &n_ends);
    for (int32_t id = 0; id < (int32_t)tok_n_vocab(t); id++)
        n_marked += tok_is_end(t, id);
    assert_int_equal(n_ends, n_marked);
    for (uint32_t i = 0; i < n_ends; i++)
        assert_true(tok_is_end(t, ends[i]) && (i == 0 || ends[i] > ends[i - 1]));
    assert_false(tok_is_end(t, BPE_BOS));
    assert_true(tok_is_control(t, BPE_BOS));
    assert_false(tok_is_control(t, BPE_CALL));
    assert_int_equal(tok_bos(t), BPE_BOS);
    assert_int_equal(tok_eos(t), -1);
    assert_int_equal(tok_find(t, "<|im_end|>"), BPE_END);
    assert_int_equal(tok_find(t, "<|im_start|>"), -1);
    tok_free(t);
}

static void marked_bytes_are_data(void **state)
{
    vocab v;
    static const char text[] = "<s><s><|im_end|>>";
    unsigned char marks[sizeof text] = {0};
    tok_ids ids = {0};
    (void)state;
    bpe_vocab(&v, "gpt-2");
    tok *t = vocab_tok(&v.spec);
    marks[4] = 1;               /* the s of the second <s> */
    marks[sizeof text - 2] = 1; /* the last >: the longer token is spelled with data */
    assert_int_equal(
        tok_encode_marked(t, text, marks, sizeof text - 1, TOK_PARSE, &ids, NULL), 0);
    const int32_t want[] = {BPE_BOS, '<', 's', '>', BPE_END, '>'};
    assert_int_equal(ids.n, ST_COUNT(want));
    assert_memory_equal(ids.ids, want, sizeof want);
    ids.n = 0;
    memset(marks, 1, sizeof marks);
    assert_int_equal(
        tok_encode_marked(t, text, marks, sizeof text - 1, TOK_PARSE, &ids, NULL), 0);
    for (size_t i = 0; i < ids.n; i++)
        assert_false(tok_is_control(t, ids.ids[i]));
    tok_ids_done(&ids);
    tok_free(t);
}

/* Files that type an end-of-turn token as an ordinary or user-defined one. */
static void end_tokens_are_control_whatever_their_type(void **state)
{
    (void)state;
    for (int32_t type = 1; type <= 4; type++) {
        vocab v;
        bpe_vocab(&v, "gpt-2");
        v.types[BPE_END] = type;
        tok *t = vocab_tok(&v.spec);
        assert_true(tok_is_control(t, BPE_END));
        EXPECT(t, "<|im_end|>", 0, '<', '|', 'i', 'm', '_', 'e', 'n', 'd', '|', '>', -1);
        tok_free(t);
    }
}

/* The unknown token comes from anyone's text; it may not be a control token as well. */
static void unknown_is_no_control_token(void **state)
{
    vocab v;
    tok_ids ids = {0};
    st_err err = {0};
    (void)state;
    wordpiece_vocab(&v, false);
    v.spec.ids[0].key = "tokenizer.ggml.unknown_token_id";
    v.spec.ids[0].value = WP_SEP;
    tok *t = vocab_tok(&v.spec);
    assert_int_equal(tok_encode(t, "zzz", 3, 0, &ids, &err), ST_EUNSUPPORTED);
    assert_int_equal(ids.n, 0);
    tok_ids_done(&ids);
    tok_free(t);
}

static void phi3_swallows_space_after_control(void **state)
{
    vocab v;
    (void)state;
    spm_vocab(&v);
    v.spec.name = "Phi-3 mini";
    tok *t = vocab_tok(&v.spec);
    EXPECT(t, "a</s> \n a", TOK_PARSE, SPM_SPACE_A, SPM_EOS, SPM_SPACE_A, -1);
    EXPECT(t, "<s> a", TOK_PARSE, SPM_BOS, SPM_SPACE, SPM_SPACE_A, -1);
    tok_free(t);
}

static void pieces_and_template(void **state)
{
    vocab v;
    st_buf out;
    st_err err = {0};
    (void)state;
    bpe_vocab(&v, "gpt-2");
    v.spec.chat_template = "{{ messages }}";
    tok *t = vocab_tok(&v.spec);
    st_buf_init(&out, 100);
    assert_int_equal(tok_piece(t, BPE_SPACE_A, &out, NULL), 0);
    assert_int_equal(tok_piece(t, BPE_CALL, &out, NULL), 0);
    assert_int_equal(tok_piece(t, BPE_END, &out, NULL), 0);
    assert_string_equal(out.data, " a<call><|im_end|>");
    assert_int_equal(tok_piece(t, -1, &out, &err), ST_EINVAL);
    assert_int_equal(tok_piece(t, BPE_END2 + 1, &out, NULL), ST_EINVAL);
    const int32_t ids[] = {'a', BPE_END2 + 1};
    st_buf_reset(&out);
    assert_int_equal(tok_decode(t, ids, 2, true, &out, NULL), ST_EINVAL);
    assert_int_equal(out.len, 0);
    assert_string_equal(tok_chat_template(t), "{{ messages }}");
    assert_false(tok_is_end(t, -1));
    assert_false(tok_is_control(t, INT32_MAX));
    st_buf_done(&out);
    tok_free(t);
    tok_free(NULL);
}

static void digest_sees_what_decides_ids(void **state)
{
    vocab v;
    char first[80];
    (void)state;
    bpe_vocab(&v, "gpt-2");
    tok *t = vocab_tok(&v.spec);
    snprintf(first, sizeof first, "%s", tok_digest(t));
    assert_int_equal(strlen(first), 64);
    tok_free(t);
    v.spec.chat_template = "no part of it";
    t = vocab_tok(&v.spec);
    assert_string_equal(tok_digest(t), first);
    tok_free(t);
    for (int change = 0; change < 4; change++) {
        bpe_vocab(&v, change == 0 ? "qwen2" : "gpt-2");
        if (change == 1)
            v.types[BPE_CALL] = 1;
        if (change == 2)
            v.spec.n_merges--;
        if (change == 3)
            v.spec.flags[0].value = false;
        t = vocab_tok(&v.spec);
        assert_string_not_equal(tok_digest(t), first);
        tok_free(t);
    }
}

/* ---- long texts: a tokenizer that is not linear does not come back from these ---- */

static void long_texts_of(const vocab_spec *spec)
{
    enum { LONG = 1 << 17 };
    static const char *const units[] = {"a",
                                        " ",
                                        "\n",
                                        "l",
                                        "1",
                                        "!",
                                        "'",
                                        "\t",
                                        "\xFF",
                                        "中",
                                        "\xCC\x81",
                                        "<",
                                        "aA",
                                        "a ",
                                        "\n ",
                                        "<|im_end|>",
                                        "\xCC\x81\xCC\x96",
                                        "😀"};
    static const char *const tails[] = {"", "x", "1", "中"};
    tok *t = vocab_tok(spec);
    char *text = st_alloc(LONG + 16);
    assert_non_null(text);
    for (size_t i = 0; i < ST_COUNT(units) * ST_COUNT(tails); i++) {
        const char *unit = units[i / ST_COUNT(tails)], *tail = tails[i % ST_COUNT(tails)];
        tok_ids ids = {0};
        size_t len = 0;
        if (*tail && *unit != ' ' && *unit != '\n')
            continue; /* white space is where what follows matters */
        for (; len < LONG; len += strlen(unit))
            memcpy(text + len, unit, strlen(unit));
        memcpy(text + len, tail, strlen(tail));
        len += strlen(tail);
        assert_int_equal(tok_encode(t, text, len, TOK_PARSE, &ids, NULL), 0);
        tok_ids_done(&ids);
    }
    st_free(text);
    tok_free(t);
}

static void long_texts_bpe(void **state)
{
    static const char *const names[] = {"qwen2", "falcon", "deepseek-llm", "deepseek-v3",
                                        "gpt-4o"};
    (void)state;
    for (size_t i = 0; i < ST_COUNT(names); i++) {
        vocab v;
        bpe_vocab(&v, names[i]);
        long_texts_of(&v.spec);
    }
}

static void long_texts_others(void **state)
{
    vocab v;
    (void)state;
    spm_vocab(&v);
    long_texts_of(&v.spec);
    wordpiece_vocab(&v, false);
    long_texts_of(&v.spec);
}

/* A text gives more ids than bytes were foreseen for; the ids before it stay. */
static void ids_are_appended(void **state)
{
    vocab v;
    tok_ids ids = {0};
    char text[5000];
    (void)state;
    bpe_vocab(&v, "gpt-2");
    tok *t = vocab_tok(&v.spec);
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(tok_encode(t, text, sizeof text, 0, &ids, NULL), 0);
    assert_int_equal(ids.n, 3 * sizeof text);
    assert_int_equal(ids.ids[0], 'x');
    tok_ids_done(&ids);
    tok_free(t);
}

/* ---- hostile vocabularies ---- */

static void refuse(const vocab_spec *spec, int code, const char *place)
{
    st_buf file;
    gguf *g;
    tok *t = NULL;
    st_err err = {0};
    vocab_build(spec, &file);
    assert_int_equal(gguf_open_bytes(file.data, file.len, &g, &err), 0);
    assert_int_equal(tok_new(g, &t, &err), code);
    assert_null(t);
    if (!strstr(err.message, place))
        fail_msg("'%s' does not name %s", err.message, place);
    assert_int_equal(tok_new(g, &t, NULL), code);
    gguf_close(g);
    st_buf_done(&file);
}

static void bad_models_are_named(void **state)
{
    vocab v;
    (void)state;
    bpe_vocab(&v, "gpt-2");
    v.spec.model = NULL;
    refuse(&v.spec, ST_ENOTFOUND, "tokenizer.ggml.model");
    v.spec.model = "t5";
    refuse(&v.spec, ST_EUNSUPPORTED, "'t5'");
    bpe_vocab(&v, NULL);
    refuse(&v.spec, ST_ENOTFOUND, "tokenizer.ggml.pre");
    bpe_vocab(&v, "gpt-3");
    refuse(&v.spec, ST_EUNSUPPORTED, "'gpt-3'");
    bpe_vocab(&v, "gpt-2");
    v.spec.tokens = NULL;
    refuse(&v.spec, ST_ENOTFOUND, "tokenizer.ggml.tokens");
    bpe_vocab(&v, "gpt-2");
    v.spec.n_tokens = 0;
    refuse(&v.spec, ST_EFORMAT, "tokenizer.ggml.tokens");
    bpe_vocab(&v, "gpt-2");
    v.spec.merges = NULL;
    refuse(&v.spec, ST_ENOTFOUND, "tokenizer.ggml.merges");
    spm_vocab(&v);
    v.spec.scores = NULL;
    refuse(&v.spec, ST_ENOTFOUND, "tokenizer.ggml.scores");
}

static void bad_counts_are_named(void **state)
{
    vocab v;
    (void)state;
    spm_vocab(&v);
    v.spec.n_scores--;
    refuse(&v.spec, ST_EFORMAT, "tokenizer.ggml.scores");
    spm_vocab(&v);
    v.scores[5] = NAN;
    refuse(&v.spec, ST_EFORMAT, "tokenizer.ggml.scores[5]");
    spm_vocab(&v);
    v.spec.n_types--;
    refuse(&v.spec, ST_EFORMAT, "tokenizer.ggml.token_type");
    spm_vocab(&v);
    v.types[7] = 99;
    refuse(&v.spec, ST_EFORMAT, "tokenizer.ggml.token_type[7]");
    spm_vocab(&v);
    v.types[SPM_A] = 6;
    refuse(&v.spec, ST_EFORMAT, "byte token");
    spm_vocab(&v);
    v.tokens[SPM_B] = v.tokens[SPM_A];
    refuse(&v.spec, ST_EFORMAT, "tokenizer.ggml.tokens[261]");
}

static void bad_ids_are_named(void **state)
{
    static const char *const keys[] = {
        "tokenizer.ggml.bos_token_id",       "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.eot_token_id",       "tokenizer.ggml.eom_token_id",
        "tokenizer.ggml.unknown_token_id",   "tokenizer.ggml.cls_token_id",
        "tokenizer.ggml.seperator_token_id", "tokenizer.ggml.separator_token_id"};
    vocab v;
    (void)state;
    for (size_t i = 0; i < ST_COUNT(keys); i++) {
        spm_vocab(&v);
        v.spec.ids[0].key = keys[i];
        v.spec.ids[0].value = (uint32_t)v.spec.n_tokens;
        refuse(&v.spec, ST_EFORMAT, keys[i]);
        v.spec.ids[0].value = UINT32_MAX;
        refuse(&v.spec, ST_EFORMAT, keys[i]);
    }
    bpe_vocab(&v, "gpt-2");
    v.spec.flags[1].key = "tokenizer.ggml.add_eos_token";
    v.spec.flags[1].value = true;
    refuse(&v.spec, ST_EFORMAT, "tokenizer.ggml.add_eos_token");
}

static void bad_merges_are_named(void **state)
{
    static const gguf_str bad[] = {S(""),      S("a"),     S(" "),   S("a "), S(" a"),
                                   S("a b c"), S("zzz a"), S("a b"), S("  "), S("a  ")};
    (void)state;
    for (size_t i = 0; i < ST_COUNT(bad); i++) {
        vocab v;
        bpe_vocab(&v, "gpt-2");
        v.spec.merges = &bad[i];
        v.spec.n_merges = 1;
        refuse(&v.spec, ST_EFORMAT, "tokenizer.ggml.merges[0]");
    }
}

/* CVE-2025-49847: the length of a piece was cut to 32 bits and overran a buffer.
 * CVE-2025-52566: so was a count of ids.  Lengths are bounded at load; ids grow. */
static void long_pieces_are_refused(void **state)
{
    enum { TOO_LONG = (1 << 16) + 1 };
    vocab v;
    char *text = st_zalloc_n(TOO_LONG, 1);
    (void)state;
    assert_non_null(text);
    memset(text, 'x', TOO_LONG);
    gguf_str token = {text, TOO_LONG};
    spm_vocab(&v);
    add(&v, &token, 1, 1);
    v.spec.n_scores = v.spec.n_tokens;
    refuse(&v.spec, ST_EFORMAT, "tokenizer.ggml.tokens[267]");
    token.len = 2000;
    spm_vocab(&v);
    add(&v, &token, 1, 3); /* searched for at every place of a text */
    v.spec.n_scores = v.spec.n_tokens;
    refuse(&v.spec, ST_EFORMAT, "control token");
    token.len = TOO_LONG - 1;
    spm_vocab(&v);
    add(&v, &token, 1, 1);
    v.spec.n_scores = v.spec.n_tokens;
    tok *t = vocab_tok(&v.spec);
    st_buf out;
    st_buf_init(&out, 1 << 20);
    assert_int_equal(tok_piece(t, SPM_USER + 1, &out, NULL), 0);
    assert_int_equal(out.len, TOO_LONG - 1);
    st_buf_done(&out);
    tok_free(t);
    st_free(text);
}

/* Empty spellings occur in real files; they are never found. */
static void empty_pieces_do_nothing(void **state)
{
    static const gguf_str empty[] = {S(""), S("")};
    (void)state;
    for (int32_t type = 1; type <= 4; type++) {
        vocab v;
        bpe_vocab(&v, "gpt-2");
        add(&v, empty, 2, type);
        tok *t = vocab_tok(&v.spec);
        EXPECT(t, "ll", TOK_PARSE, BPE_LL, -1);
        tok_free(t);
        wordpiece_vocab(&v, type % 2);
        add(&v, empty, 2, type);
        t = vocab_tok(&v.spec);
        EXPECT(t, "hello", TOK_PARSE, WP_HELLO, -1);
        tok_free(t);
    }
}

/* ---- every allocation fails once ---- */

static int work_load_and_encode(void *arg)
{
    static const char text[] =
        "hello <|im_end|> e\xCC\x81 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    tok *t = NULL;
    tok_ids ids = {0};
    st_err err = {0};
    st_buf out;
    st_buf_init(&out, 1 << 20);
    int rc = tok_new(arg, &t, &err);
    for (int i = 0; !rc && i < 5; i++) {
        size_t before = ids.n;
        rc = tok_encode(t, text, sizeof text - 1, TOK_PARSE | TOK_ADD, &ids, &err);
        if (rc && ids.n != before)
            rc = ST_EINVAL; /* what was there is kept */
    }
    if (!rc)
        rc = tok_decode(t, ids.ids, ids.n, true, &out, &err);
    if (rc && err.code != rc)
        rc = ST_EINVAL;
    st_buf_done(&out);
    tok_ids_done(&ids);
    tok_free(t);
    return rc;
}

static void sweep(const vocab_spec *spec)
{
    st_buf file;
    gguf *g;
    vocab_build(spec, &file);
    assert_int_equal(gguf_open_bytes(file.data, file.len, &g, NULL), 0);
    assert_true(fault_sweep(work_load_and_encode, g, 1) > 10);
    gguf_close(g);
    st_buf_done(&file);
}

static void every_allocation_fails_once(void **state)
{
    vocab v;
    (void)state;
    bpe_vocab(&v, "qwen2");
    v.spec.chat_template = "x";
    sweep(&v.spec);
    bpe_vocab(&v, "llama-bpe");
    sweep(&v.spec);
    spm_vocab(&v);
    sweep(&v.spec);
    wordpiece_vocab(&v, true);
    sweep(&v.spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_merges_by_rank),
        cmocka_unit_test(bpe_normalises_where_the_family_does),
        cmocka_unit_test(bpe_takes_whole_words),
        cmocka_unit_test(pre_tokenisers_cut),
        cmocka_unit_test(digits_by_family),
        cmocka_unit_test(spm_merges_by_score),
        cmocka_unit_test(spm_pieces_over_spaces),
        cmocka_unit_test(spm_without_bytes_has_unknowns),
        cmocka_unit_test(gemma4_merges_characters),
        cmocka_unit_test(wordpiece_normalises),
        cmocka_unit_test(wordpiece_words_have_a_length),
        cmocka_unit_test(wordpiece_may_keep_case_and_accents),
        cmocka_unit_test(control_only_where_asked),
        cmocka_unit_test(marked_bytes_are_data),
        cmocka_unit_test(end_tokens_are_control_whatever_their_type),
        cmocka_unit_test(unknown_is_no_control_token),
        cmocka_unit_test(phi3_swallows_space_after_control),
        cmocka_unit_test(pieces_and_template),
        cmocka_unit_test(digest_sees_what_decides_ids),
        cmocka_unit_test(long_texts_bpe),
        cmocka_unit_test(long_texts_others),
        cmocka_unit_test(ids_are_appended),
        cmocka_unit_test(bad_models_are_named),
        cmocka_unit_test(bad_counts_are_named),
        cmocka_unit_test(bad_ids_are_named),
        cmocka_unit_test(bad_merges_are_named),
        cmocka_unit_test(long_pieces_are_refused),
        cmocka_unit_test(empty_pieces_do_nothing),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
