/* tests/vocab_tok.h - a tokenizer of a vocabulary put together in memory. */
#ifndef TESTS_VOCAB_TOK_H
#define TESTS_VOCAB_TOK_H
#include "tests/check.h"
#include "tests/vocab_bytes.h"
#include "tokenizer/tokenizer.h"

static inline tok *vocab_tok(const vocab_spec *spec)
{
    st_buf file;
    gguf *g;
    tok *t;
    st_err err = {0};
    vocab_build(spec, &file);
    assert_int_equal(gguf_open_bytes(file.data, file.len, &g, &err), 0);
    int rc = tok_new(g, &t, &err);
    gguf_close(g);
    st_buf_done(&file); /* the tok needs neither */
    if (rc < 0)
        fail_msg("%s", err.message);
    return t;
}
#endif
