/* engine/lookup.h - where the text being written goes on in the input; private to this
 * room.
 *
 * What is found is a guess: it decides how many tokens a step runs, never which text is
 * made.
 *
 * Threads: any; nothing is kept. */
#ifndef ENGINE_LOOKUP_H
#define ENGINE_LOOKUP_H
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
/* Where a value begins whose name, in quotes, was written last ("order_id": "): behind
 * the same words and a colon or the like in the input.  LOOKUP_NONE: nowhere. */
size_t lookup_named(const lookup *l, const char *text, size_t len);
/* Where the first word at or after byte `at` begins.  LOOKUP_NONE: there is none. */
size_t lookup_word(const lookup *l, size_t at);
/* How many bytes from `at` on, at most `most`, are likely to be of one value: up to the
 * end of a line, a quote, or a mark with a space behind it. */
size_t lookup_extent(const lookup *l, size_t at, size_t most);
#endif
