/* grammar/toolcall_partial.c - what is certain of an answer that is still being made.
 *
 * The masks let a model write nothing but what the format's row has, so marks are
 * compared as they stand there.  Content is certain up to where the trigger may have
 * begun, without the blanks before it, which toolcalls_read drops where calls follow. */
#include "grammar/toolcall_priv.h"

#include <string.h>

typedef enum fit { FIT_NO, FIT_OPEN, FIT_WHOLE } fit;

static bool blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Does the text begin with the mark, as toolcalls_read compares: blanks not counted? */
static fit begins(const char *text, size_t len, const char *mark)
{
    size_t at = 0;
    for (; *mark; mark++) {
        if (blank(*mark))
            continue;
        while (at < len && blank(text[at]))
            at++;
        if (at == len)
            return FIT_OPEN;
        if (text[at++] != *mark)
            return FIT_NO;
    }
    return FIT_WHOLE;
}

/* The same, every byte counted; *at moves behind a mark that is whole. */
static fit mark_at(const char *text, size_t len, size_t *at, const char *mark, size_t n)
{
    size_t there = len - *at < n ? len - *at : n;
    if (memcmp(text + *at, mark, there) != 0)
        return FIT_NO;
    if (there < n)
        return FIT_OPEN;
    *at += n;
    return FIT_WHOLE;
}

/* ---- content ---- */

static void lead_look(const toolcall_format *f, const char *text, size_t len,
                      toolcalls_seen *seen)
{
    fit trigger = begins(text, len, f->trigger);
    fit tag = f->tag ? begins(text, len, f->tag) : FIT_NO;
    seen->begun = trigger == FIT_WHOLE || tag == FIT_WHOLE;
    if (trigger == FIT_NO && tag == FIT_NO)
        seen->end = len;
}

/* Content up to a trigger, or to what may become one. */
static void trigger_look(const toolcall_format *f, const char *text, size_t len,
                         toolcalls_seen *seen)
{
    size_t n = strlen(f->trigger), at = seen->end;
    for (; at < len; at++) {
        size_t there = len - at < n ? len - at : n;
        if (memcmp(text + at, f->trigger, there) != 0)
            continue;
        seen->begun = there == n;
        break;
    }
    seen->calls = at;
    while (at > seen->end && blank(text[at - 1]))
        at--;
    seen->end = at;
}

void toolcalls_look(const toolcall_format *format, const char *text, size_t len,
                    toolcalls_seen *seen)
{
    size_t head = format->content ? strlen(format->content) : 0;
    if (seen->begun)
        return;
    if (format->leads) {
        lead_look(format, text, len, seen);
        return;
    }
    if (seen->begin < head) {
        size_t at = 0;
        fit content = mark_at(text, len, &at, format->content, head);
        seen->begun = content == FIT_NO;
        if (content != FIT_WHOLE)
            return;
        seen->begin = seen->end = head;
    }
    trigger_look(format, text, len, seen);
}

/* ---- calls ---- */

/* Where a JSON value that begins at `at` ends; *ret_whole: it does. */
static size_t value_end(const char *text, size_t len, size_t at, bool *ret_whole)
{
    size_t depth = 0;
    bool string = false;
    *ret_whole = false;
    for (; at < len && !*ret_whole; at++) {
        char c = text[at];
        if (string && c == '\\')
            at++;
        else if (c == '"')
            string = !string;
        else if (!string && (c == '{' || c == '['))
            depth++;
        else if (!string && (c == '}' || c == ']'))
            *ret_whole = --depth == 0;
    }
    return at < len ? at : len;
}

static size_t word_end(const char *text, size_t len, size_t at)
{
    while (at < len && ((text[at] >= 'a' && text[at] <= 'z') ||
                        (text[at] >= 'A' && text[at] <= 'Z') ||
                        (text[at] >= '0' && text[at] <= '9') || text[at] == '_' ||
                        text[at] == '-' || text[at] == '.'))
        at++;
    return at;
}

/* One piece of a call other than a text; false: it is not whole. */
static bool piece_read(const char *text, size_t len, call_piece piece, size_t *at,
                       toolcall_part *ret)
{
    size_t from = *at;
    if (piece == PIECE_ARGUMENTS) {
        ret->named = true;
        *at = value_end(text, len, from, &ret->whole);
        ret->arguments = text + from;
        ret->arguments_len = *at - from;
        return ret->whole;
    }
    *at = word_end(text, len, from);
    *(piece == PIECE_NAME ? &ret->name : &ret->id) = text + from;
    *(piece == PIECE_NAME ? &ret->name_len : &ret->id_len) = *at - from;
    return *at < len;
}

/* Behind what stands before a call. */
static bool call_begins(const toolcall_format *f, const char *text, size_t len,
                        const toolcalls_seen *seen, size_t *at)
{
    const char *mark = f->between;
    if (*at == seen->calls) {
        mark = seen->begin > 0 && f->behind ? f->behind : f->first;
        if (f->tag && mark_at(text, len, at, f->tag, strlen(f->tag)) == FIT_OPEN)
            return false;
    }
    return mark_at(text, len, at, mark, strlen(mark)) == FIT_WHOLE;
}

bool toolcalls_part(const toolcall_format *format, const char *text, size_t len,
                    const toolcalls_seen *seen, size_t *at, toolcall_part *ret)
{
    size_t now = *at, n;
    const char *row = format->call, *literal;
    call_piece piece;
    bool more = seen->begun && call_begins(format, text, len, seen, &now);
    *ret = (toolcall_part){0};
    while (more && call_next(&row, &piece, &literal, &n)) {
        if (piece == PIECE_TEXT)
            more = mark_at(text, len, &now, literal, n) == FIT_WHOLE;
        else
            more = piece_read(text, len, piece, &now, ret);
    }
    if (more)
        *at = now;
    return ret->named;
}
