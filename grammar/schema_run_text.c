/* grammar/schema_run_text.c - the characters of strings and names.
 *
 * Each is written in one way: '"', '\' and control characters as escapes, the short ones
 * where there are any, else \u00XX with capital digits; all others as themselves. */
#include "grammar/schema_run_priv.h"

#include <string.h>

/* Between '\' and the end of an escape. */
enum { PLAIN, BACKSLASH, U, U0, U00, U000, U001 };

static const char escape_letter[] = "\"\\bfnrt", escape_char[] = "\"\\\b\f\n\r\t";

/* May the character be what this escape becomes? */
static bool escape_may_be(uint32_t escape, uint8_t c)
{
    bool known = c && strchr(escape_char, c);
    if (escape == BACKSLASH)
        return known || c < 0x20;
    return !known && c < 0x20 && (escape < U000 || c >> 4 == escape - U000);
}

typedef enum read_kind { READ_NOTHING, READ_CHAR, READ_ESCAPE, READ_END } read_kind;

static read_kind read_escape(uint32_t escape, uint8_t byte, uint8_t *ret_char,
                             uint32_t *ret_escape)
{
    const char *letter = byte ? strchr(escape_letter, byte) : NULL;
    *ret_escape = escape + 1;
    switch (escape) {
    case BACKSLASH:
        if (letter)
            *ret_char = (uint8_t)escape_char[letter - escape_letter];
        return letter ? READ_CHAR : byte == 'u' ? READ_ESCAPE : READ_NOTHING;
    case U:
    case U0:
        return byte == '0' ? READ_ESCAPE : READ_NOTHING;
    case U00:
        *ret_escape = byte == '0' ? U000 : U001;
        return byte == '0' || byte == '1' ? READ_ESCAPE : READ_NOTHING;
    default:
        if (!(byte >= '0' && byte <= '9') && !(byte >= 'A' && byte <= 'F'))
            return READ_NOTHING;
        byte = (uint8_t)(byte <= '9' ? byte - '0' : byte - 'A' + 10);
        *ret_char = (uint8_t)((escape - U000) << 4 | byte);
        return escape_may_be(escape, *ret_char) ? READ_CHAR : READ_NOTHING;
    }
}

static read_kind read_char(uint32_t escape, uint8_t byte, uint8_t *ret_char,
                           uint32_t *ret_escape)
{
    *ret_char = byte;
    *ret_escape = BACKSLASH;
    if (escape != PLAIN)
        return read_escape(escape, byte, ret_char, ret_escape);
    if (byte == '"')
        return READ_END;
    return byte == '\\' ? READ_ESCAPE : byte < 0x20 ? READ_NOTHING : READ_CHAR;
}

static bool step_text(const run *r, const run_plan *p, const uint32_t *t, uint8_t c,
                      uint32_t depth, uint32_t *copy)
{
    if (p->shape->type == JSON_OBJECT) {
        copy[NAME_AT] = names_step(r, p, t, c, depth);
        return copy[NAME_AT] != DFA_DEAD;
    }
    text_state s = {t[TEXT_AT], t[TEXT_N]};
    s = text_step(&p->shape->string, s, c);
    copy[TEXT_AT] = s.at;
    copy[TEXT_N] = s.n;
    return s.at != DFA_DEAD;
}

static bool escape_lives(const run *r, const run_plan *p, const uint32_t *t,
                         uint32_t escape, uint32_t depth)
{
    uint32_t thrown[NAME_SEEN];
    for (uint8_t c = 0; c <= '\\'; c++)
        if (escape_may_be(escape, c) && step_text(r, p, t, c, depth, thrown))
            return true;
    return false;
}

/* Inside a string or a name, but not at its end. */
static bool step_char(run *r, const uint32_t *f, uint32_t n, read_kind kind, uint8_t c,
                      uint32_t escape)
{
    uint32_t depth = frame_depth(f);
    run_begin_at(r, f, frame_place(f));
    r->next[FRAME_HEAD] |= frame_head(0, 0, frame_flags(f) & FLAG_UNIQUE);
    if (kind == READ_ESCAPE)
        r->next[FRAME_ESCAPE] = escape;
    FOR_THREADS(r, f, n, t, p)
    {
        uint32_t *copy = run_copy(r, t, p);
        if (kind == READ_ESCAPE ? escape_lives(r, p, t, escape, depth)
                                : step_text(r, p, t, c, depth, copy))
            r->n += p->words;
    }
    run_flag_few(r);
    return run_alive(r);
}

static bool end_string(run *r, const uint32_t *f, uint32_t n)
{
    run_none_satisfied(r);
    FOR_THREADS(r, f, n, t, p)
    {
        if (text_accepts(&p->shape->string, (text_state){t[TEXT_AT], t[TEXT_N]}))
            run_satisfy(r, p);
    }
    return run_after_value(r, f[FRAME_PARENT], 0);
}

static bool end_name(run *r, const uint32_t *f, uint32_t n)
{
    bool unlisted = false;
    run_begin_at(r, f, OBJECT_KEYED);
    FOR_THREADS(r, f, n, t, p)
    {
        uint32_t *copy = run_copy(r, t, p);
        if (!names_keyed(r, p, copy, frame_depth(f)))
            continue;
        unlisted = unlisted || names_unlisted(p, copy);
        r->n += p->words;
    }
    if (unlisted)
        r->next[FRAME_HEAD] |= frame_head(0, 0, FLAG_NAME);
    return run_alive(r);
}

bool run_step_string(run *r, const uint32_t *f, uint32_t n, uint8_t byte)
{
    uint8_t c;
    uint32_t escape;
    read_kind kind = read_char(f[FRAME_ESCAPE], byte, &c, &escape);
    if (kind == READ_NOTHING)
        return false;
    if (kind != READ_END)
        return step_char(r, f, n, kind, c, escape);
    return frame_place(f) == STRING ? end_string(r, f, n) : end_name(r, f, n);
}
