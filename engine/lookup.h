/* engine/lookup.h - where the text being written goes on in the input; private to this
 * room.
 *
 * What is found is a guess: it decides how many tokens a step runs, never which text is
 * made.
 *
 * Threads: any; nothing is kept. */
#ifndef ENGINE_LOOKUP_H
#define ENGINE_LOOKUP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOOKUP_NONE SIZE_MAX

typedef struct lookup {
    const char *input;
    size_t len;
} lookup;

/* Where the input goes on after the end of `text`, whose last value began at byte
 * `value`: behind the place that has most of its end in common, all of the value or four
 * bytes at least.  LOOKUP_NONE: nowhere; so with an empty value. */
size_t lookup_resume(const lookup *l, const char *text, size_t len, size_t value);
/* Was a name in quotes and a colon written last ("order_id": ")?  Where a value begins
 * behind the same words and a colon or the like in the input; LOOKUP_NONE: nowhere. */
bool lookup_named(const char *text, size_t len, const char **ret_name, size_t *ret_len);
size_t lookup_label(const lookup *l, const char *name, size_t len);
/* Where the first word at or after byte `at` begins.  LOOKUP_NONE: there is none. */
size_t lookup_word(const lookup *l, size_t at);
/* How many bytes from `at` on, at most `most`, are likely to be of one value of which
 * `value` [len] was written: up to the end of a line, a quote, a mark with a space behind
 * it; and a word in small letters after words in capitals and numbers. */
size_t lookup_extent(const lookup *l, size_t at, size_t most, const char *value,
                     size_t len);
#endif
