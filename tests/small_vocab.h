/* tests/small_vocab.h - a byte-level vocabulary made here: every byte, and pieces that go
 * over the boundaries of grammars.  Ids 0 to 255 are the bytes, SMALL_END ends a text. */
#ifndef TESTS_SMALL_VOCAB_H
#define TESTS_SMALL_VOCAB_H
#include "grammar/grammar.h"
#include "tests/vocab_tok.h"
#include <stdlib.h>

static const char *const small_pieces[] = {
    "ab",   "abc",      "bc",       "aa",   "aaaa", "ba",       "a,",    ",b",
    "{\"",  "\":",      "\": \"",   "\"}",  "\",",  "\", \"",   "}}",    "]}",
    "}, {", "true",     "tru",      "12",   "123",  "1,",       "0.5",   "-1",
    "e+",   "\\n",      "\\\"",     "\\u0", "\n\n", "\xC3\xA9", "e\xC3", "\xA9\"",
    " a",   "  ",       "hello",    "a\"b", "x,a,", "a\nb",     "((",    "))",
    "+(",   "\xF0\x9F", "\x98\x80", ":-)",  "null"};

enum { SMALL_CONTROL = 256 + ST_COUNT(small_pieces), SMALL_END, SMALL_N };

static inline tok *small_tok(void)
{
    static char bytes[SMALL_N][64];
    static gguf_str tokens[SMALL_N];
    static int32_t types[SMALL_N];
    for (unsigned b = 0; b < 256; b++)
        tokens[b] = vocab_byte(b, bytes[b]), types[b] = 1;
    for (size_t i = 0; i < ST_COUNT(small_pieces); i++) {
        size_t n = 0;
        for (const char *p = small_pieces[i]; *p; p++) {
            gguf_str c = vocab_byte((unsigned char)*p, bytes[256 + i] + n);
            n += c.len;
        }
        tokens[256 + i] = (gguf_str){bytes[256 + i], n};
        types[256 + i] = 1;
    }
    tokens[SMALL_CONTROL] = (gguf_str){"<call>", 6};
    tokens[SMALL_END] = (gguf_str){"<end>", 5};
    types[SMALL_CONTROL] = types[SMALL_END] = 3;
    gguf_str merge = {"a b", 3};
    vocab_spec spec = {.model = "gpt2",
                       .pre = "gpt-2",
                       .tokens = tokens,
                       .n_tokens = SMALL_N,
                       .types = types,
                       .n_types = SMALL_N,
                       .merges = &merge,
                       .n_merges = 1,
                       .ids = {{"tokenizer.ggml.eos_token_id", SMALL_END}}};
    return vocab_tok(&spec);
}

static inline vocab *small_vocab(void)
{
    tok *t = small_tok();
    vocab *v;
    st_err err = {0};
    if (vocab_new(t, &v, &err) < 0)
        fail_msg("%s", err.message);
    tok_free(t);
    return v;
}
#endif
