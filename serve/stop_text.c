/* serve/stop_text.c - words that end a text, looked for while the text grows. */
#include "serve/stop_text.h"

#include <string.h>

bool stop_find(const stop_set *set, const char *text, size_t from, size_t len,
               size_t *ret_begin, size_t *ret_end)
{
    for (size_t end = from + 1; end <= len; end++) {
        size_t longest = 0;
        for (uint32_t i = 0; i < set->n; i++) {
            size_t n = set->len[i];
            if (n > longest && n <= end && memcmp(text + end - n, set->text[i], n) == 0)
                longest = n;
        }
        if (longest > 0) {
            *ret_begin = end - longest;
            *ret_end = end;
            return true;
        }
    }
    return false;
}

/* Bytes at the end of the text that a word may begin with. */
static size_t begun(const char *word, size_t n, const char *text, size_t len)
{
    size_t most = n - 1 < len ? n - 1 : len;
    while (most > 0 && memcmp(text + len - most, word, most) != 0)
        most--;
    return most;
}

size_t stop_certain(const stop_set *set, const char *text, size_t len)
{
    size_t open = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        size_t n = begun(set->text[i], set->len[i], text, len);
        open = n > open ? n : open;
    }
    return len - open;
}
