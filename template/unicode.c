/* template/unicode.c - what Python's str knows about characters.
 *
 * Classes and simple case maps come from utf8proc; the few characters whose case is more
 * than one character (the unconditional lines of Unicode's SpecialCasing.txt) stand in a
 * table here, and the Greek final sigma is a rule. */
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
    {0xFB00, {0x46, 0x46, 0}, {0x46, 0x66, 0}},
    {0xFB01, {0x46, 0x49, 0}, {0x46, 0x69, 0}},
    {0xFB02, {0x46, 0x4C, 0}, {0x46, 0x6C, 0}},
    {0xFB03, {0x46, 0x46, 0x49}, {0x46, 0x66, 0x69}},
    {0xFB04, {0x46, 0x46, 0x4C}, {0x46, 0x66, 0x6C}},
    {0xFB05, {0x53, 0x54, 0}, {0x53, 0x74, 0}},
    {0xFB06, {0x53, 0x54, 0}, {0x53, 0x74, 0}},
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

static size_t map_special(uint32_t code, tcase to, uint32_t ret[3])
{
    for (size_t i = 0; i < ST_COUNT(specials) && code >= 0xDF; i++) {
        if (specials[i].code != code)
            continue;
        const uint16_t *map = to == CASE_TITLE ? specials[i].title : specials[i].upper;
        size_t n = 0;
        for (; n < 3 && map[n]; n++)
            ret[n] = map[n];
        for (size_t k = 0; k < n && to == CASE_FOLD; k++)
            ret[k] = (uint32_t)utf8proc_tolower((int32_t)ret[k]);
        return n;
    }
    return 0;
}

size_t code_map(uint32_t code, tcase to, uint32_t ret[3])
{
    int32_t c = (int32_t)code;
    size_t n = to == CASE_LOWER ? 0 : map_special(code, to, ret);
    if (n)
        return n;
    if (to == CASE_LOWER && code == 0x130) { /* I with a dot */
        ret[0] = 'i';
        ret[1] = 0x307;
        return 2;
    }
    if (to == CASE_FOLD && code == 0x3C2)
        c = 0x3C3;
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
        return code_is(code, CLASS_UPPER) ? CASE_LOWER : CASE_UPPER;
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
