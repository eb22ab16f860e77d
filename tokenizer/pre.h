/* tokenizer/pre.h - pre-tokenisers: how a text is cut into words before merging.
 *
 * A pre-tokeniser is a few stages; each cuts every piece of the stage before it into the
 * matches of a pattern and what lies between them.  Patterns are run by PCRE2 with JIT on
 * well-formed UTF-8, written so that no text makes them slow.
 *
 * Threads: a pre_split is immutable; a pre_match belongs to one encoding. */
#ifndef TOKENIZER_PRE_H
#define TOKENIZER_PRE_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct pre_split pre_split;
typedef struct pre_match pre_match;

enum pre_flags {                /* what comes with the name of a pre-tokeniser */
                 PRE_NFC = 1,   /* text is normalised to NFC */
                 PRE_WHOLE = 2, /* a word that is a piece is taken whole */
                 PRE_BOS = 4, /* a text starts with BOS unless the file says otherwise */
                 PRE_SEP = 8, /* and ends with the separator (RoBERTa) */
};

/* The pre-tokeniser with that name of tokenizer.ggml.pre.  ST_EUNSUPPORTED when unknown.
 */
ST_NODISCARD int pre_new(const char *name, size_t len, pre_split **ret_pre,
                         unsigned *ret_flags, st_err *err);
void pre_free(pre_split *pre); /* NULL allowed */

ST_NODISCARD int pre_match_new(const pre_split *pre, pre_match **ret_match);
void pre_match_free(pre_match *match); /* NULL allowed */

/* Call `word` for every word of s in order; stops at the first that is not 0. */
typedef int pre_word_fn(void *arg, const char *s, size_t len);
ST_NODISCARD int pre_words(const pre_split *pre, pre_match *match, const char *s,
                           size_t len, pre_word_fn *word, void *arg, st_err *err);
#endif
