/* grammar/code_set.c - sets of characters, and those that have a name. */
#include "grammar/code_set.h"

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void code_set_done(code_set *s)
{
    st_free(s->ranges);
    *s = (code_set){0};
}

static int append(code_set *s, uint32_t lo, uint32_t hi, st_err *err)
{
    if (lo > hi)
        return 0;
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? 2 * s->cap : 8;
        code_range *ranges = st_realloc_n(s->ranges, cap, sizeof *ranges);
        if (!ranges)
            return st_err_set(err, ST_ENOMEM, "out of memory for a set of characters");
        s->ranges = ranges;
        s->cap = cap;
    }
    s->ranges[s->n++] = (code_range){lo, hi};
    return 0;
}

int code_set_add(code_set *s, uint32_t lo, uint32_t hi, st_err *err)
{
    if (hi < CODE_SURROGATE || lo >= CODE_AFTER_SURROGATES)
        return append(s, lo, hi, err);
    int rc = lo < CODE_SURROGATE ? append(s, lo, CODE_SURROGATE - 1, err) : 0;
    return rc < 0 ? rc : append(s, CODE_AFTER_SURROGATES, hi, err);
}

int code_set_join(code_set *s, const code_set *other, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; !rc && i < other->n; i++)
        rc = code_set_add(s, other->ranges[i].lo, other->ranges[i].hi, err);
    return rc;
}

static int by_begin(const void *a, const void *b)
{
    const code_range *x = a, *y = b;
    return (x->lo > y->lo) - (x->lo < y->lo);
}

void code_set_settle(code_set *s)
{
    uint32_t n = 0;
    if (s->n > 1)
        qsort(s->ranges, s->n, sizeof *s->ranges, by_begin);
    for (uint32_t i = 0; i < s->n; i++) {
        code_range r = s->ranges[i];
        if (n && r.lo <= s->ranges[n - 1].hi + 1) {
            if (r.hi > s->ranges[n - 1].hi)
                s->ranges[n - 1].hi = r.hi;
        } else {
            s->ranges[n++] = r;
        }
    }
    s->n = n;
}

int code_set_negate(code_set *s, st_err *err)
{
    code_set not = {0};
    uint32_t from = 0;
    int rc = 0;
    for (uint32_t i = 0; !rc && i <= s->n; i++) {
        uint32_t to = i < s->n ? s->ranges[i].lo : CODE_MAX + 1;
        if (from < to)
            rc = code_set_add(&not, from, to - 1, err);
        from = i < s->n ? s->ranges[i].hi + 1 : 0;
    }
    code_set_done(s);
    *s = not ;
    return rc;
}

typedef struct class_ranges {
    char name;
    uint8_t n;
    code_range ranges[10];
} class_ranges;

static const class_ranges classes[] = {
    {'d', 1, {{'0', '9'}}},
    {'w', 4, {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
    {'s',
     10,
     {{0x09, 0x0D},
      {0x20, 0x20},
      {0xA0, 0xA0},
      {0x1680, 0x1680},
      {0x2000, 0x200A},
      {0x2028, 0x2029},
      {0x202F, 0x202F},
      {0x205F, 0x205F},
      {0x3000, 0x3000},
      {0xFEFF, 0xFEFF}}},
    {'.', 4, {{0, 0x09}, {0x0B, 0x0C}, {0x0E, 0x2027}, {0x202A, CODE_MAX}}},
};

int code_set_class(code_set *s, char name, st_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < ST_COUNT(classes); i++) {
        for (uint32_t k = 0; !rc && classes[i].name == name && k < classes[i].n; k++)
            rc = code_set_add(s, classes[i].ranges[k].lo, classes[i].ranges[k].hi, err);
    }
    return rc;
}

/* General categories: names as in PropertyValueAliases.txt; which of utf8proc's. */
#define OF(name) (1u << UTF8PROC_CATEGORY_##name)
static const struct category {
    const char *names; /* separated by blanks */
    uint32_t of;
} categories[] = {
    {"Lu Uppercase_Letter", OF(LU)},
    {"Ll Lowercase_Letter", OF(LL)},
    {"Lt Titlecase_Letter", OF(LT)},
    {"LC Cased_Letter", OF(LU) | OF(LL) | OF(LT)},
    {"Lm Modifier_Letter", OF(LM)},
    {"Lo Other_Letter", OF(LO)},
    {"L Letter", OF(LU) | OF(LL) | OF(LT) | OF(LM) | OF(LO)},
    {"Mn Nonspacing_Mark", OF(MN)},
    {"Mc Spacing_Mark", OF(MC)},
    {"Me Enclosing_Mark", OF(ME)},
    {"M Mark Combining_Mark", OF(MN) | OF(MC) | OF(ME)},
    {"Nd Decimal_Number digit", OF(ND)},
    {"Nl Letter_Number", OF(NL)},
    {"No Other_Number", OF(NO)},
    {"N Number", OF(ND) | OF(NL) | OF(NO)},
    {"Pc Connector_Punctuation", OF(PC)},
    {"Pd Dash_Punctuation", OF(PD)},
    {"Ps Open_Punctuation", OF(PS)},
    {"Pe Close_Punctuation", OF(PE)},
    {"Pi Initial_Punctuation", OF(PI)},
    {"Pf Final_Punctuation", OF(PF)},
    {"Po Other_Punctuation", OF(PO)},
    {"P Punctuation punct", OF(PC) | OF(PD) | OF(PS) | OF(PE) | OF(PI) | OF(PF) | OF(PO)},
    {"Sm Math_Symbol", OF(SM)},
    {"Sc Currency_Symbol", OF(SC)},
    {"Sk Modifier_Symbol", OF(SK)},
    {"So Other_Symbol", OF(SO)},
    {"S Symbol", OF(SM) | OF(SC) | OF(SK) | OF(SO)},
    {"Zs Space_Separator", OF(ZS)},
    {"Zl Line_Separator", OF(ZL)},
    {"Zp Paragraph_Separator", OF(ZP)},
    {"Z Separator", OF(ZS) | OF(ZL) | OF(ZP)},
    {"Cc Control cntrl", OF(CC)},
    {"Cf Format", OF(CF)},
    {"Co Private_Use", OF(CO)},
    {"Cn Unassigned", OF(CN)},
    {"C Other", OF(CC) | OF(CF) | OF(CO) | OF(CN)},
    {"Any", UINT32_MAX},
    {"Assigned", ~OF(CN)},
};

static bool has_name(const char *names, const char *name, size_t len)
{
    while (*names) {
        size_t n = strcspn(names, " ");
        if (n == len && memcmp(names, name, len) == 0)
            return true;
        names += n + (names[n] == ' ');
    }
    return false;
}

/* All characters; `alike`: those of the stretch have one category, in any version of
 * Unicode so far. */
static const struct stretch {
    uint32_t lo, hi;
    bool alike;
} stretches[] = {
    {0, CODE_SURROGATE - 1, false}, {CODE_AFTER_SURROGATES, 0x3FFFF, false},
    {0x40000, 0xDFFFF, true},       {0xE0000, 0xE0FFF, false},
    {0xE1000, 0xEFFFF, true},       {0xF0000, 0xFFFFD, true},
    {0xFFFFE, 0xFFFFF, true},       {0x100000, 0x10FFFD, true},
    {0x10FFFE, CODE_MAX, true},
};

static bool is_of(uint32_t of, uint32_t code)
{
    return of >> utf8proc_category((utf8proc_int32_t)code) & 1;
}

static int add_categories(code_set *s, uint32_t of, st_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < ST_COUNT(stretches); i++) {
        const struct stretch *t = &stretches[i];
        for (uint32_t code = t->lo, to; !rc && code <= t->hi; code = to + 1) {
            bool in = is_of(of, code);
            to = t->alike ? t->hi : code;
            while (to < t->hi && is_of(of, to + 1) == in)
                to++;
            if (in)
                rc = code_set_add(s, code, to, err);
        }
    }
    return rc;
}
#undef OF

int code_set_property(code_set *s, const char *name, size_t len, st_err *err)
{
    static const char *const prefixes[] = {"General_Category=", "gc="};
    for (size_t i = 0; i < ST_COUNT(prefixes); i++) {
        size_t n = strlen(prefixes[i]);
        if (len > n && memcmp(name, prefixes[i], n) == 0) {
            name += n;
            len -= n;
            break;
        }
    }
    for (size_t i = 0; i < ST_COUNT(categories); i++) {
        if (has_name(categories[i].names, name, len))
            return add_categories(s, categories[i].of, err);
    }
    if (has_name("ASCII", name, len))
        return code_set_add(s, 0, 0x7F, err);
    if (has_name("ASCII_Hex_Digit AHex", name, len)) {
        int rc = code_set_add(s, '0', '9', err);
        if (!rc)
            rc = code_set_add(s, 'A', 'F', err);
        return rc ? rc : code_set_add(s, 'a', 'f', err);
    }
    st_err_set(err, ST_EUNSUPPORTED, "the property '%.*s' is not supported",
               len < 60 ? (int)len : 60, name);
    st_err_hint(err, "use a general category (\\p{L}, \\p{Nd}) or list the ranges");
    return ST_EUNSUPPORTED;
}
