/* tokenizer/tokenizer.h - text to token ids and back.
 *
 * Three algorithms behind one door, chosen by tokenizer.ggml.model: "gpt2" byte-level BPE
 * with the pre-tokeniser named by tokenizer.ggml.pre, "llama" and "gemma4" SentencePiece-
 * style BPE with byte fallback, "bert" WordPiece.  Where llama.cpp and Hugging Face
 * differ, this follows Hugging Face.
 * Encoding takes time linear in the text up to a logarithm.
 *
 * Control tokens (<|im_end|>, </s>, ...) come only from text that the caller vouches for;
 * by default text is literal, whatever it spells.
 *
 * Threads: a tok is immutable and may be shared.  Memory: see each function. */
#ifndef TOKENIZER_TOKENIZER_H
#define TOKENIZER_TOKENIZER_H
#include "base/buf.h"
#include "base/err.h"
#include "gguf/gguf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tok tok;

typedef struct tok_ids { /* a growable run of ids; zero it to start, tok_ids_done frees */
    int32_t *ids;
    size_t n;
    size_t cap;
} tok_ids;
void tok_ids_done(tok_ids *ids);

enum tok_flags {
    TOK_LITERAL = 0,
    TOK_PARSE = 1, /* spellings of control tokens in the text become those tokens */
    TOK_ADD = 2,   /* add what the model adds: BOS, or [CLS] ... [SEP] */
};

/* The gguf may be closed afterwards. */
ST_NODISCARD int tok_new(const gguf *g, tok **ret_tok, st_err *err);
void tok_free(tok *t); /* NULL allowed */

/* Append the ids of text[0..len).  Any bytes are accepted; ill-formed UTF-8 is encoded by
 * its bytes where the vocabulary can, else as the unknown token.  ST_ELIMIT for a text of
 * over 1 GiB.  On failure *ids keeps what it had. */
ST_NODISCARD int tok_encode(const tok *t, const char *text, size_t len, unsigned flags,
                            tok_ids *ids, st_err *err);

/* The same for rendered templates: marks[i] != 0 says that byte i came from data, and
 * with TOK_PARSE a control token is recognised only where none of its bytes is marked.
 * `marks` may be NULL: nothing is data. */
ST_NODISCARD int tok_encode_marked(const tok *t, const char *text,
                                   const unsigned char *marks, size_t len, unsigned flags,
                                   tok_ids *ids, st_err *err);

/* Append the text of the ids.  Control and unknown tokens are spelled when `special`,
 * else left out.  An id outside the vocabulary is ST_EINVAL. */
ST_NODISCARD int tok_decode(const tok *t, const int32_t *ids, size_t n, bool special,
                            st_buf *out, st_err *err);

/* Append the bytes of one id as it continues a text (no stripping of leading spaces); a
 * control token is spelled. */
ST_NODISCARD int tok_piece(const tok *t, int32_t id, st_buf *out, st_err *err);

uint32_t tok_n_vocab(const tok *t);
int32_t tok_find(const tok *t, const char *spelling); /* vocabulary entry, or -1 */
int32_t tok_bos(const tok *t);                        /* -1 when there is none */
int32_t tok_eos(const tok *t);
bool tok_is_end(const tok *t, int32_t id); /* ends a turn or a text (EOS, EOT, ...) */
const int32_t *tok_ends(const tok *t, uint32_t *ret_n); /* all of those, rising */
bool tok_is_control(const tok *t, int32_t id);
/* Does it stand for bytes of a text?  Control, unknown and unused pieces do not. */
bool tok_is_text(const tok *t, int32_t id);
/* The model's chat template, or NULL; owned by the tok. */
const char *tok_chat_template(const tok *t);
/* SHA-256 over everything that decides the ids: algorithm, pieces, merges, flags. */
const char *tok_digest(const tok *t);
#endif
