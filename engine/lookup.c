/* engine/lookup.c - where the text being written goes on in the input.
 *
 * Prompt look-up decoding (Saxena 2023) over bytes instead of tokens: inside a value the
 * same words are other tokens than in running text. */
#include "engine/lookup.h"

#include <string.h>

enum {
    RESUME_LEAST = 4, /* bytes in common where it is not the whole value */
    RESUME_MOST = 48, /* bytes compared */
    NAME_MOST = 64,   /* bytes of a name */
    WORD_LEAST = 3,   /* bytes of a word of a name that stands for all of it */
};

static bool is_word(char c)
{
    unsigned char u = (unsigned char)c;
    return (u >= '0' && u <= '9') || (u >= 'A' && u <= 'Z') || (u >= 'a' && u <= 'z') ||
           u >= 0x80;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

size_t lookup_resume(const lookup *l, const char *text, size_t len, size_t value)
{
    size_t best = LOOKUP_NONE, best_n = 0, own = len - value;
    size_t least = own < RESUME_LEAST ? own : RESUME_LEAST;
    if (own == 0)
        return LOOKUP_NONE;
    for (size_t at = least; at < l->len; at++) {
        size_t n = 0, most = at < len ? at : len;
        if (most > RESUME_MOST)
            most = RESUME_MOST;
        while (n < most && l->input[at - 1 - n] == text[len - 1 - n])
            n++;
        if (n < least)
            continue;
        n = 2 * n + (at == n || !is_word(l->input[at - n - 1])); /* whole words first */
        if (n > best_n) {
            best = at;
            best_n = n;
        }
    }
    return best;
}

bool lookup_named(const char *text, size_t len, const char **ret_name, size_t *ret_len)
{
    size_t end = len, begin;
    while (end > 0 && (text[end - 1] == '"' || text[end - 1] == ' '))
        end--;
    if (end < 3 || text[end - 1] != ':')
        return false;
    for (end--; end > 0 && text[end - 1] == ' ';)
        end--;
    if (end < 2 || text[--end] != '"')
        return false;
    for (begin = end; begin > 0 && end - begin < NAME_MOST && text[begin - 1] != '"';)
        begin--;
    *ret_name = text + begin;
    *ret_len = end - begin;
    return true;
}

/* Behind the mark that follows a label, and what is around it; LOOKUP_NONE when there is
 * no mark. */
static size_t mark_pass(const lookup *l, size_t at)
{
    bool marked = false;
    for (; at < l->len; at++) {
        char c = l->input[at];
        if (c == ':' || c == '=' || c == '#')
            marked = true;
        else if (c != ' ' && c != '\t' && c != '*' && c != '"' && c != '\'')
            break;
    }
    return marked && at < l->len && l->input[at] != '\n' ? at : LOOKUP_NONE;
}

/* The bytes of a name as words of running text: case and what stands between words do not
 * count. */
static bool label_is(const lookup *l, size_t at, const char *name, size_t len)
{
    if (len == 0 || len > l->len - at || (at > 0 && is_word(l->input[at - 1])))
        return false;
    for (size_t i = 0; i < len; i++) {
        char a = lower(l->input[at + i]), b = lower(name[i]);
        if (a != b && (is_word(a) || is_word(b)))
            return false;
    }
    return at + len == l->len || !is_word(l->input[at + len]);
}

static size_t label_find(const lookup *l, const char *name, size_t len)
{
    for (size_t at = 0; at < l->len; at++)
        if (label_is(l, at, name, len)) {
            size_t value = mark_pass(l, at + len);
            if (value != LOOKUP_NONE)
                return value;
        }
    return LOOKUP_NONE;
}

size_t lookup_label(const lookup *l, const char *name, size_t len)
{
    size_t at = label_find(l, name, len);
    for (size_t i = 0; at == LOOKUP_NONE && i < len;) {
        size_t word = i;
        while (word < len && is_word(name[word]))
            word++;
        if (word - i >= WORD_LEAST)
            at = label_find(l, name + i, word - i);
        i = word + 1;
    }
    return at;
}

size_t lookup_word(const lookup *l, size_t at)
{
    for (; at < l->len; at++)
        if (is_word(l->input[at]) &&
            (at == 0 || (!is_word(l->input[at - 1]) && !strchr("-_.", l->input[at - 1]))))
            return at;
    return LOOKUP_NONE;
}

static bool is_small(char c)
{
    return c >= 'a' && c <= 'z';
}

/* Does a value consist of words in capitals and numbers so far? */
static bool is_proper(const char *value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (is_small(value[i]) && (i == 0 || value[i - 1] == ' '))
            return false;
    return true;
}

size_t lookup_extent(const lookup *l, size_t at, size_t most, const char *value,
                     size_t len)
{
    bool proper = is_proper(value, len) && (len > 0 || !is_small(l->input[at]));
    size_t n = 0;
    for (; n < most && at + n < l->len; n++) {
        unsigned char c = (unsigned char)l->input[at + n];
        char next = at + n + 1 < l->len ? l->input[at + n + 1] : '\n';
        if (c < 0x20 || c == '"' || c == '\\' ||
            ((next == ' ' || next == '\n') && strchr(",;.:!?)]}", c)) ||
            (c == ' ' && proper && is_small(next)))
            break;
    }
    return n;
}
