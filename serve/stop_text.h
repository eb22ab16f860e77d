/* serve/stop_text.h - words that end a text, looked for while the text grows.
 *
 * Where the text is cut does not depend on the pieces that it grew by: of all places
 * where a word is whole, the one that is whole first counts, and of words that end there
 * the longest.
 *
 * Threads: any; a set is immutable. */
#ifndef SERVE_STOP_TEXT_H
#define SERVE_STOP_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STOP_MAX = 16, STOP_MAX_LEN = 1024 };

typedef struct stop_set { /* texts are borrowed, none is empty */
    const char *text[STOP_MAX];
    size_t len[STOP_MAX];
    uint32_t n;
} stop_set;

/* Is a word whole in text[0, len) that was not in text[0, from)? */
bool stop_find(const stop_set *set, const char *text, size_t from, size_t len,
               size_t *ret_begin, size_t *ret_end);
/* The bytes of a text without such a word that will stay, whatever it grows by. */
size_t stop_certain(const stop_set *set, const char *text, size_t len);
#endif
