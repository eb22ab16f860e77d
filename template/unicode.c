/* template/unicode.c - what Python's str knows about characters.
 *
 * Classes, simple case maps and folding come from utf8proc; the characters whose upper or
 * title case is more than one character (the unconditional lines of SpecialCasing.txt of
 * Unicode 14) stand in a table here, and the Greek final sigma is a rule. */
#include "template/value.h"

#include "base/utf8.h"
#include <string.h>
#include <utf8proc.h>

typedef struct special {
    uint32_t code;
    uint16_t upper[3], title[3];
} special;

static const special specials[] = {
    {0x00DF, {0x53, 0x53, 0}, {0x53, 0x73, 0}},
    {0x0149, {0x2BC, 0x4E, 0}, {0x2BC, 0x4E, 0}},
    {0x01F0, {0x4A, 0x30C, 0}, {0x4A, 0x30C, 0}},
    {0x0390, {0x399, 0x308, 0x301}, {0x399, 0x308, 0x301}},
    {0x03B0, {0x3A5, 0x308, 0x301}, {0x3A5, 0x308, 0x301}},
    {0x0587, {0x535, 0x552, 0}, {0x535, 0x582, 0}},
    {0x1E96, {0x48, 0x331, 0}, {0x48, 0x331, 0}},
    {0x1E97, {0x54, 0x308, 0}, {0x54, 0x308, 0}},
    {0x1E98, {0x57, 0x30A, 0}, {0x57, 0x30A, 0}},
    {0x1E99, {0x59, 0x30A, 0}, {0x59, 0x30A, 0}},
    {0x1E9A, {0x41, 0x2BE, 0}, {0x41, 0x2BE, 0}},
    {0x1F50, {0x3A5, 0x313, 0}, {0x3A5, 0x313, 0}},
    {0x1F52, {0x3A5, 0x313, 0x300}, {0x3A5, 0x313, 0x300}},
    {0x1F54, {0x3A5, 0x313, 0x301}, {0x3A5, 0x313, 0x301}},
    {0x1F56, {0x3A5, 0x313, 0x342}, {0x3A5, 0x313, 0x342}},
    {0x1F80, {0x1F08, 0x399, 0}, {0x1F88, 0, 0}},
    {0x1F81, {0x1F09, 0x399, 0}, {0x1F89, 0, 0}},
    {0x1F82, {0x1F0A, 0x399, 0}, {0x1F8A, 0, 0}},
    {0x1F83, {0x1F0B, 0x399, 0}, {0x1F8B, 0, 0}},
    {0x1F84, {0x1F0C, 0x399, 0}, {0x1F8C, 0, 0}},
    {0x1F85, {0x1F0D, 0x399, 0}, {0x1F8D, 0, 0}},
    {0x1F86, {0x1F0E, 0x399, 0}, {0x1F8E, 0, 0}},
    {0x1F87, {0x1F0F, 0x399, 0}, {0x1F8F, 0, 0}},
    {0x1F88, {0x1F08, 0x399, 0}, {0x1F88, 0, 0}},
    {0x1F89, {0x1F09, 0x399, 0}, {0x1F89, 0, 0}},
    {0x1F8A, {0x1F0A, 0x399, 0}, {0x1F8A, 0, 0}},
    {0x1F8B, {0x1F0B, 0x399, 0}, {0x1F8B, 0, 0}},
    {0x1F8C, {0x1F0C, 0x399, 0}, {0x1F8C, 0, 0}},
    {0x1F8D, {0x1F0D, 0x399, 0}, {0x1F8D, 0, 0}},
    {0x1F8E, {0x1F0E, 0x399, 0}, {0x1F8E, 0, 0}},
    {0x1F8F, {0x1F0F, 0x399, 0}, {0x1F8F, 0, 0}},
    {0x1F90, {0x1F28, 0x399, 0}, {0x1F98, 0, 0}},
    {0x1F91, {0x1F29, 0x399, 0}, {0x1F99, 0, 0}},
    {0x1F92, {0x1F2A, 0x399, 0}, {0x1F9A, 0, 0}},
    {0x1F93, {0x1F2B, 0x399, 0}, {0x1F9B, 0, 0}},
    {0x1F94, {0x1F2C, 0x399, 0}, {0x1F9C, 0, 0}},
    {0x1F95, {0x1F2D, 0x399, 0}, {0x1F9D, 0, 0}},
    {0x1F96, {0x1F2E, 0x399, 0}, {0x1F9E, 0, 0}},
    {0x1F97, {0x1F2F, 0x399, 0}, {0x1F9F, 0, 0}},
    {0x1F98, {0x1F28, 0x399, 0}, {0x1F98, 0, 0}},
    {0x1F99, {0x1F29, 0x399, 0}, {0x1F99, 0, 0}},
    {0x1F9A, {0x1F2A, 0x399, 0}, {0x1F9A, 0, 0}},
    {0x1F9B, {0x1F2B, 0x399, 0}, {0x1F9B, 0, 0}},
    {0x1F9C, {0x1F2C, 0x399, 0}, {0x1F9C, 0, 0}},
    {0x1F9D, {0x1F2D, 0x399, 0}, {0x1F9D, 0, 0}},
    {0x1F9E, {0x1F2E, 0x399, 0}, {0x1F9E, 0, 0}},
    {0x1F9F, {0x1F2F, 0x399, 0}, {0x1F9F, 0, 0}},
    {0x1FA0, {0x1F68, 0x399, 0}, {0x1FA8, 0, 0}},
    {0x1FA1, {0x1F69, 0x399, 0}, {0x1FA9, 0, 0}},
    {0x1FA2, {0x1F6A, 0x399, 0}, {0x1FAA, 0, 0}},
    {0x1FA3, {0x1F6B, 0x399, 0}, {0x1FAB, 0, 0}},
    {0x1FA4, {0x1F6C, 0x399, 0}, {0x1FAC, 0, 0}},
    {0x1FA5, {0x1F6D, 0x399, 0}, {0x1FAD, 0, 0}},
    {0x1FA6, {0x1F6E, 0x399, 0}, {0x1FAE, 0, 0}},
    {0x1FA7, {0x1F6F, 0x399, 0}, {0x1FAF, 0, 0}},
    {0x1FA8, {0x1F68, 0x399, 0}, {0x1FA8, 0, 0}},
    {0x1FA9, {0x1F69, 0x399, 0}, {0x1FA9, 0, 0}},
    {0x1FAA, {0x1F6A, 0x399, 0}, {0x1FAA, 0, 0}},
    {0x1FAB, {0x1F6B, 0x399, 0}, {0x1FAB, 0, 0}},
    {0x1FAC, {0x1F6C, 0x399, 0}, {0x1FAC, 0, 0}},
    {0x1FAD, {0x1F6D, 0x399, 0}, {0x1FAD, 0, 0}},
    {0x1FAE, {0x1F6E, 0x399, 0}, {0x1FAE, 0, 0}},
    {0x1FAF, {0x1F6F, 0x399, 0}, {0x1FAF, 0, 0}},
    {0x1FB2, {0x1FBA, 0x399, 0}, {0x1FBA, 0x345, 0}},
    {0x1FB3, {0x391, 0x399, 0}, {0x1FBC, 0, 0}},
    {0x1FB4, {0x386, 0x399, 0}, {0x386, 0x345, 0}},
    {0x1FB6, {0x391, 0x342, 0}, {0x391, 0x342, 0}},
    {0x1FB7, {0x391, 0x342, 0x399}, {0x391, 0x342, 0x345}},
    {0x1FBC, {0x391, 0x399, 0}, {0x1FBC, 0, 0}},
    {0x1FC2, {0x1FCA, 0x399, 0}, {0x1FCA, 0x345, 0}},
    {0x1FC3, {0x397, 0x399, 0}, {0x1FCC, 0, 0}},
    {0x1FC4, {0x389, 0x399, 0}, {0x389, 0x345, 0}},
    {0x1FC6, {0x397, 0x342, 0}, {0x397, 0x342, 0}},
    {0x1FC7, {0x397, 0x342, 0x399}, {0x397, 0x342, 0x345}},
    {0x1FCC, {0x397, 0x399, 0}, {0x1FCC, 0, 0}},
    {0x1FD2, {0x399, 0x308, 0x300}, {0x399, 0x308, 0x300}},
    {0x1FD3, {0x399, 0x308, 0x301}, {0x399, 0x308, 0x301}},
    {0x1FD6, {0x399, 0x342, 0}, {0x399, 0x342, 0}},
    {0x1FD7, {0x399, 0x308, 0x342}, {0x399, 0x308, 0x342}},
    {0x1FE2, {0x3A5, 0x308, 0x300}, {0x3A5, 0x308, 0x300}},
    {0x1FE3, {0x3A5, 0x308, 0x301}, {0x3A5, 0x308, 0x301}},
    {0x1FE4, {0x3A1, 0x313, 0}, {0x3A1, 0x313, 0}},
    {0x1FE6, {0x3A5, 0x342, 0}, {0x3A5, 0x342, 0}},
    {0x1FE7, {0x3A5, 0x308, 0x342}, {0x3A5, 0x308, 0x342}},
    {0x1FF2, {0x1FFA, 0x399, 0}, {0x1FFA, 0x345, 0}},
    {0x1FF3, {0x3A9, 0x399, 0}, {0x1FFC, 0, 0}},
    {0x1FF4, {0x38F, 0x399, 0}, {0x38F, 0x345, 0}},
    {0x1FF6, {0x3A9, 0x342, 0}, {0x3A9, 0x342, 0}},
    {0x1FF7, {0x3A9, 0x342, 0x399}, {0x3A9, 0x342, 0x345}},
    {0x1FFC, {0x3A9, 0x399, 0}, {0x1FFC, 0, 0}},
    {0xFB00, {0x46, 0x46, 0}, {0x46, 0x66, 0}},
    {0xFB01, {0x46, 0x49, 0}, {0x46, 0x69, 0}},
    {0xFB02, {0x46, 0x4C, 0}, {0x46, 0x6C, 0}},
    {0xFB03, {0x46, 0x46, 0x49}, {0x46, 0x66, 0x69}},
    {0xFB04, {0x46, 0x46, 0x4C}, {0x46, 0x66, 0x6C}},
    {0xFB05, {0x53, 0x54, 0}, {0x53, 0x74, 0}},
    {0xFB06, {0x53, 0x54, 0}, {0x53, 0x74, 0}},
    {0xFB13, {0x544, 0x546, 0}, {0x544, 0x576, 0}},
    {0xFB14, {0x544, 0x535, 0}, {0x544, 0x565, 0}},
    {0xFB15, {0x544, 0x53B, 0}, {0x544, 0x56B, 0}},
    {0xFB16, {0x54E, 0x546, 0}, {0x54E, 0x576, 0}},
    {0xFB17, {0x544, 0x53D, 0}, {0x544, 0x56D, 0}},
};

static bool is_space(uint32_t c)
{
    if (c < 0x80)
        return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
           c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

static bool is_printable(utf8proc_category_t cat, uint32_t code)
{
    bool hidden = cat == UTF8PROC_CATEGORY_CC || cat == UTF8PROC_CATEGORY_CF ||
                  cat == UTF8PROC_CATEGORY_CS || cat == UTF8PROC_CATEGORY_CO ||
                  cat == UTF8PROC_CATEGORY_CN || cat == UTF8PROC_CATEGORY_ZL ||
                  cat == UTF8PROC_CATEGORY_ZP || cat == UTF8PROC_CATEGORY_ZS;
    return !hidden || code == ' ';
}

bool code_is(uint32_t code, tclass what)
{
    int32_t c = (int32_t)code;
    utf8proc_category_t cat = utf8proc_category(c);
    bool alpha = cat >= UTF8PROC_CATEGORY_LU && cat <= UTF8PROC_CATEGORY_LO;
    bool number = cat >= UTF8PROC_CATEGORY_ND && cat <= UTF8PROC_CATEGORY_NO;
    bool superscript = (code >= 0x2070 && code <= 0x2089) || code == 0xB2 ||
                       code == 0xB3 || code == 0xB9 || (code >= 0x2460 && code <= 0x2468);
    switch (what) {
    case CLASS_SPACE:
        return is_space(code);
    case CLASS_ALPHA:
        return alpha;
    case CLASS_ALNUM:
        return alpha || number;
    case CLASS_WORD:
        return alpha || number || code == '_';
    case CLASS_DECIMAL:
        return cat == UTF8PROC_CATEGORY_ND;
    case CLASS_DIGIT:
        return cat == UTF8PROC_CATEGORY_ND ||
               (cat == UTF8PROC_CATEGORY_NO && superscript);
    case CLASS_NUMERIC:
        return number;
    case CLASS_PRINTABLE:
        return is_printable(cat, code);
    case CLASS_UPPER:
        return utf8proc_isupper(c) != 0;
    case CLASS_LOWER:
        return utf8proc_islower(c) != 0;
    case CLASS_TITLE:
        return cat == UTF8PROC_CATEGORY_LT;
    case CLASS_CASED:
        return utf8proc_isupper(c) || utf8proc_islower(c) || cat == UTF8PROC_CATEGORY_LT;
    }
    return false;
}

static size_t map_special(const uint16_t *map, uint32_t ret[3])
{
    size_t n = 0;
    for (; n < 3 && map[n]; n++)
        ret[n] = map[n];
    return n;
}

static const special *find_special(uint32_t code)
{
    size_t low = 0, high = ST_COUNT(specials);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (specials[mid].code == code)
            return &specials[mid];
        if (specials[mid].code < code)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static size_t fold(int32_t code, uint32_t ret[3])
{
    int32_t folded[8];
    int boundary = 0;
    utf8proc_ssize_t n =
        utf8proc_decompose_char(code, folded, 8, UTF8PROC_CASEFOLD, &boundary);
    for (utf8proc_ssize_t i = 0; i < n && i < 3; i++)
        ret[i] = (uint32_t)folded[i];
    return n < 0 ? 0 : n > 3 ? 3 : (size_t)n;
}

size_t code_map(uint32_t code, tcase to, uint32_t ret[3])
{
    int32_t c = (int32_t)code;
    const special *s = to == CASE_UPPER || to == CASE_TITLE ? find_special(code) : NULL;
    if (s)
        return map_special(to == CASE_TITLE ? s->title : s->upper, ret);
    if (to == CASE_FOLD)
        return fold(c, ret);
    if (to == CASE_LOWER && code == 0x130) { /* I with a dot */
        ret[0] = 'i';
        ret[1] = 0x307;
        return 2;
    }
    ret[0] = (uint32_t)(to == CASE_UPPER   ? utf8proc_toupper(c)
                        : to == CASE_TITLE ? utf8proc_totitle(c)
                                           : utf8proc_tolower(c));
    return 1;
}

/* A capital sigma that ends a word: a cased letter before it, none after. */
static bool is_final_sigma(const tstr *s, size_t at)
{
    size_t i = at, n;
    while (i > 0 && ((unsigned char)s->s[--i] & 0xC0) == 0x80) {
    }
    if (at == 0 || !code_is(st_utf8_decode(s->s + i, at - i, &n), CLASS_CASED))
        return false;
    return at + 2 >= s->len ||
           !code_is(st_utf8_decode(s->s + at + 2, s->len - at - 2, &n), CLASS_CASED);
}

static int add_mapped(tbuild *b, uint32_t code, tcase to, unsigned char mark)
{
    uint32_t mapped[3];
    size_t n = code_map(code, to, mapped);
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = tbuild_code(b, mapped[i], mark);
    return rc;
}

/* How the character at byte `at` is to be mapped. */
static tcase case_of(tcase to, uint32_t code, size_t at, bool in_word)
{
    if (to == CASE_TITLE)
        return in_word ? CASE_LOWER : CASE_TITLE;
    if (to == CASE_CAPITAL)
        return at ? CASE_LOWER : CASE_TITLE;
    if (to == CASE_SWAP)
        return code_is(code, CLASS_UPPER)   ? CASE_LOWER
               : code_is(code, CLASS_LOWER) ? CASE_UPPER
                                            : CASE_TITLE; /* leaves it */
    return to;
}

int str_case(rt *r, const tstr *s, tcase to, val *ret)
{
    tbuild b;
    bool in_word = false;
    int rc = 0;
    tbuild_init(&b, r);
    for (size_t i = 0, n; i < s->len && !rc; i += n) {
        uint32_t code = st_utf8_decode(s->s + i, s->len - i, &n);
        tcase how = case_of(to, code, i, in_word);
        if (how == CASE_LOWER && code == 0x3A3 && is_final_sigma(s, i))
            rc = tbuild_code(&b, 0x3C2, tstr_mark(s, i));
        else
            rc = add_mapped(&b, code, how, tstr_mark(s, i));
        in_word = code_is(code, CLASS_CASED);
    }
    return rc ? rc : tbuild_end(&b, ret);
}

size_t space_left(const char *s, size_t n)
{
    size_t i = 0, len;
    while (i < n && is_space(st_utf8_decode(s + i, n - i, &len)))
        i += len;
    return i;
}

size_t space_right(const char *s, size_t n)
{
    size_t end = n, len;
    while (end > 0) {
        size_t at = end - 1;
        while (at > 0 && end - at < 4 && ((unsigned char)s[at] & 0xC0) == 0x80)
            at--;
        if (!is_space(st_utf8_decode(s + at, end - at, &len)))
            break;
        end = at;
    }
    return n - end;
}
