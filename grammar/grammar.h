/* grammar/grammar.h - text held to a JSON Schema, a regular expression, a GBNF grammar or
 * a list; and which tokens may come next.
 *
 *   grammar (compiled, immutable)  +  vocab (the pieces of a tokenizer as a trie)
 *        \                            /
 *         masker: states met so far, their transitions and masks, kept and bounded
 *            |
 *         matcher: one text under way
 *
 * Every text that a matcher lets end is one that the grammar describes; and it is checked
 * once more by grammar_validate, which shares no code with the automata.  A grammar that
 * cannot be held exactly is refused when it is compiled.
 *
 * Threads: grammar and vocab are immutable and may be shared; a masker and its matchers
 * have one owner.  Memory: each has its free; they must be freed in reverse order. */
#ifndef GRAMMAR_GRAMMAR_H
#define GRAMMAR_GRAMMAR_H
#include "base/buf.h"
#include "base/err.h"
#include "tokenizer/tokenizer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct grammar grammar;
typedef struct vocab vocab;
typedef struct masker masker;
typedef struct matcher matcher;

/* JSON between tokens: nothing, one space after ':' and ',', or either each time. */
typedef enum grammar_space {
    GRAMMAR_SPACED, /* {"a": 1, "b": 2}: one way on, the way most models write */
    GRAMMAR_COMPACT,
    GRAMMAR_EITHER,
} grammar_space;

typedef struct grammar_schema_opts {
    grammar_space space;
    bool any_order; /* members in any order; else listed ones in the schema's, then others
                     */
} grammar_schema_opts;

/* Where and why a grammar was refused; the hint of the st_err is a way to rewrite it. */
typedef struct grammar_refusal {
    char pointer[256]; /* JSON pointer into the schema; "" for the others */
    char keyword[64];
} grammar_refusal;

/* Not a schema, expression or grammar: ST_EFORMAT; not supported: ST_EUNSUPPORTED; too
 * many states or shapes: ST_ELIMIT; nothing fits it: ST_EINVAL.  Texts are copied. */
ST_NODISCARD int grammar_schema(const char *text, size_t len,
                                const grammar_schema_opts *opts, grammar **ret,
                                grammar_refusal *ret_refusal, st_err *err);
ST_NODISCARD int grammar_regex(const char *pattern, size_t len, grammar **ret,
                               st_err *err); /* the whole text */
ST_NODISCARD int grammar_gbnf(const char *text, size_t len, grammar **ret, st_err *err);
ST_NODISCARD int grammar_choices(const char *const *texts, const size_t *lens, uint32_t n,
                                 grammar **ret, st_err *err);
void grammar_free(grammar *g); /* NULL allowed */

/* Is the finished text one of the grammar's?  Another way than the automata: schemas over
 * the parsed value with PCRE2 for patterns, GBNF by Earley's algorithm.  ST_EFORMAT: no;
 * says where (JSON pointer or byte). */
ST_NODISCARD int grammar_validate(const grammar *g, const char *text, size_t len,
                                  st_err *err);

/* Ids that are text, as a trie of their bytes.  Control tokens are no text. */
ST_NODISCARD int vocab_new(const tok *t, vocab **ret, st_err *err);
void vocab_free(vocab *v);        /* NULL allowed */
uint32_t vocab_n(const vocab *v); /* ids of the tokenizer, text or not */

typedef struct masker_opts {
    size_t bytes; /* for states and masks; 0: 64 MiB.  Beyond it they are forgotten and
                   * met again; a single mask that needs more is ST_ELIMIT */
} masker_opts;
/* Without a vocabulary (NULL) texts can be held, but all masks are empty. */
ST_NODISCARD int masker_new(const grammar *g, const vocab *v, const masker_opts *opts,
                            masker **ret, st_err *err);
void masker_free(masker *m);          /* NULL allowed */
size_t masker_bytes(const masker *m); /* what states and masks take now */

ST_NODISCARD int matcher_new(masker *m, matcher **ret, st_err *err);
void matcher_free(matcher *t); /* NULL allowed */
void matcher_reset(matcher *t);

typedef struct mask {
    const uint32_t *bits; /* [(vocab_n + 31) / 32] bit i % 32 of word i / 32: id i */
    uint32_t n;           /* how many are set */
    bool may_end;         /* the text may end here: end tokens are allowed too */
} mask;
/* The ids that may come next; valid until the next call with any matcher of the masker.
 * n = 0 and not may_end: there is no way on (only where a text would have to repeat what
 * may not be repeated, or nest too deep), an error of the caller's output. */
ST_NODISCARD int matcher_mask(matcher *t, mask *ret, st_err *err);
/* Go on by a token, or by bytes.  ST_EINVAL: not allowed; nothing has changed. */
ST_NODISCARD int matcher_accept(matcher *t, int32_t id, st_err *err);
ST_NODISCARD int matcher_accept_text(matcher *t, const char *text, size_t len,
                                     st_err *err);
bool matcher_may_end(const matcher *t);
bool matcher_must_end(matcher *t); /* and nothing can follow */
/* Append the bytes that must come next, as far as there is one way on; none where the
 * text may end. */
ST_NODISCARD int matcher_forced(matcher *t, st_buf *out, st_err *err);
const char *matcher_text(const matcher *t, size_t *ret_len); /* until the next change */
void matcher_rewind(matcher *t, size_t len); /* forget the text from byte `len` on */
#endif
