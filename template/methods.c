/* template/methods.c - the other methods: splitting and classes of strings, lists,
 * dictionaries, numbers, cyclers; and the tables they are found in. */
#include "template/value.h"

#include "base/utf8.h"
#include <math.h>
#include <string.h>

/* --- splitting --- */

static int add_part(rt *r, tlist *list, const tstr *s, size_t from, size_t to)
{
    const tstr *part = tstr_part(r, s, from, to - from);
    return part ? tlist_add(r, list, val_str(part)) : r->err->code;
}

static int split_left(rt *r, const tstr *s, const tstr *sep, tint max, tlist *list)
{
    size_t from = 0, at;
    int rc = rt_step(r, s->len / STEP_BYTES);
    while (!rc && max != 0 && (at = tstr_find(s, sep, from)) != SIZE_MAX) {
        rc = add_part(r, list, s, from, at);
        from = at + sep->len;
        max--;
    }
    return rc ? rc : add_part(r, list, s, from, s->len);
}

static void reverse(tlist *list)
{
    for (size_t i = 0; i < list->n / 2; i++) {
        val v = list->v[i];
        list->v[i] = list->v[list->n - 1 - i];
        list->v[list->n - 1 - i] = v;
    }
}

static int split_right(rt *r, const tstr *s, const tstr *sep, tint max, tlist *list)
{
    size_t to = s->len, at;
    int rc = rt_step(r, s->len / STEP_BYTES);
    while (!rc && max != 0 && (at = tstr_rfind(s, sep, to)) != SIZE_MAX) {
        rc = add_part(r, list, s, at + sep->len, to);
        to = at;
        max--;
    }
    if (!rc)
        rc = add_part(r, list, s, 0, to);
    reverse(list);
    return rc;
}

/* Bytes up to the next white space. */
static size_t word_length(const char *s, size_t n)
{
    size_t i = 0, len;
    while (i < n && !code_is(st_utf8_decode(s + i, n - i, &len), CLASS_SPACE))
        i += len;
    return i;
}

static int split_words(rt *r, const tstr *s, tint max, tlist *list)
{
    size_t i = space_left(s->s, s->len);
    int rc = rt_step(r, s->len / STEP_BYTES);
    while (!rc && i < s->len) {
        size_t n = word_length(s->s + i, s->len - i);
        if (max == 0)
            return add_part(r, list, s, i, s->len);
        rc = add_part(r, list, s, i, i + n);
        i += n;
        i += space_left(s->s + i, s->len - i);
        max--;
    }
    return rc;
}

/* Bytes of the word that ends at n. */
static size_t word_length_back(const char *s, size_t n)
{
    size_t end = n, len;
    while (end > 0) {
        size_t at = end - 1;
        while (at > 0 && ((unsigned char)s[at] & 0xC0) == 0x80)
            at--;
        if (code_is(st_utf8_decode(s + at, end - at, &len), CLASS_SPACE))
            break;
        end = at;
    }
    return n - end;
}

static int split_words_right(rt *r, const tstr *s, tint max, tlist *list)
{
    size_t end = s->len - space_right(s->s, s->len);
    int rc = rt_step(r, s->len / STEP_BYTES);
    while (!rc && end > 0) {
        size_t n = word_length_back(s->s, end);
        if (max == 0) {
            rc = add_part(r, list, s, 0, end);
            break;
        }
        rc = add_part(r, list, s, end - n, end);
        end -= n;
        end -= space_right(s->s, end);
        max--;
    }
    reverse(list);
    return rc;
}

static int split_method(rt *r, const targs *a, bool right, val *ret)
{
    const tstr *sep = NULL;
    tint max;
    tlist *list = tlist_new(r, L_LIST, 0);
    int rc = list ? arg_int(r, a->v[1], "maxsplit", -1, &max) : r->err->code;
    if (!rc && a->v[0].type != V_MISSING && a->v[0].type != V_NONE)
        rc = arg_text(r, a->v[0], "separator", &sep);
    if (rc)
        return rc;
    if (sep && !sep->len)
        return rt_fail(r, ST_EFORMAT, "empty separator");
    const tstr *s = a->self.u.s;
    if (sep)
        rc = right ? split_right(r, s, sep, max, list) : split_left(r, s, sep, max, list);
    else
        rc = right ? split_words_right(r, s, max, list) : split_words(r, s, max, list);
    if (!rc)
        *ret = val_list(list);
    return rc;
}

static int m_split(rt *r, const targs *a, val *ret)
{
    return split_method(r, a, false, ret);
}

static int m_rsplit(rt *r, const targs *a, val *ret)
{
    return split_method(r, a, true, ret);
}

static int m_splitlines(rt *r, const targs *a, val *ret)
{
    tlist *lines;
    int rc = str_lines(r, a->self.u.s, val_truth(a->v[0]), &lines);
    if (!rc)
        *ret = val_list(lines);
    return rc;
}

static int partition(rt *r, const targs *a, bool right, val *ret)
{
    const tstr *s = a->self.u.s, *sep;
    tlist *list = tlist_new(r, L_TUPLE, 3);
    int rc = list ? arg_text(r, a->v[0], "separator", &sep) : r->err->code;
    if (rc)
        return rc;
    if (!sep->len)
        return rt_fail(r, ST_EFORMAT, "empty separator");
    size_t at = right ? tstr_rfind(s, sep, s->len) : tstr_find(s, sep, 0);
    bool found = at != SIZE_MAX;
    size_t head = found ? at : right ? 0 : s->len;
    size_t middle = found ? head + sep->len : head;
    rc = add_part(r, list, s, 0, head);
    if (!rc)
        rc = add_part(r, list, s, head, middle);
    if (!rc)
        rc = add_part(r, list, s, middle, s->len);
    if (!rc)
        *ret = val_list(list);
    return rc;
}

static int m_partition(rt *r, const targs *a, val *ret)
{
    return partition(r, a, false, ret);
}

static int m_rpartition(rt *r, const targs *a, val *ret)
{
    return partition(r, a, true, ret);
}

const tbuiltin methods_split[] = {
    {"split", "sep maxsplit", 0, m_split},       {"rsplit", "sep maxsplit", 0, m_rsplit},
    {"splitlines", "keepends", 0, m_splitlines}, {"partition", "sep", 1, m_partition},
    {"rpartition", "sep", 1, m_rpartition},      {0},
};

/* --- classes of strings --- */

static int all_are(const targs *a, tclass what, bool empty, val *ret)
{
    const tstr *s = a->self.u.s;
    bool all = s->len ? true : empty;
    for (size_t i = 0, n; i < s->len && all; i += n)
        all = code_is(st_utf8_decode(s->s + i, s->len - i, &n), what);
    *ret = val_bool(all);
    return 0;
}

#define IS_METHOD(name, what, empty)                                                     \
    static int m_##name(rt *r, const targs *a, val *ret)                                 \
    {                                                                                    \
        (void)r;                                                                         \
        return all_are(a, what, empty, ret);                                             \
    }
IS_METHOD(isalpha, CLASS_ALPHA, false)
IS_METHOD(isalnum, CLASS_ALNUM, false)
IS_METHOD(isdigit, CLASS_DIGIT, false)
IS_METHOD(isdecimal, CLASS_DECIMAL, false)
IS_METHOD(isnumeric, CLASS_NUMERIC, false)
IS_METHOD(isspace, CLASS_SPACE, false)
IS_METHOD(isprintable, CLASS_PRINTABLE, true)
#undef IS_METHOD

/* At least one cased character, and none of the other case. */
static int is_case(const targs *a, tclass what, tclass not_what, val *ret)
{
    const tstr *s = a->self.u.s;
    bool any = false, other = false;
    for (size_t i = 0, n; i < s->len && !other; i += n) {
        uint32_t code = st_utf8_decode(s->s + i, s->len - i, &n);
        any |= code_is(code, what);
        other = code_is(code, not_what) || code_is(code, CLASS_TITLE);
    }
    *ret = val_bool(any && !other);
    return 0;
}

static int m_isupper(rt *r, const targs *a, val *ret)
{
    (void)r;
    return is_case(a, CLASS_UPPER, CLASS_LOWER, ret);
}

static int m_islower(rt *r, const targs *a, val *ret)
{
    (void)r;
    return is_case(a, CLASS_LOWER, CLASS_UPPER, ret);
}

static int m_istitle(rt *r, const targs *a, val *ret)
{
    const tstr *s = a->self.u.s;
    bool any = false, in_word = false, good = true;
    (void)r;
    for (size_t i = 0, n; i < s->len && good; i += n) {
        uint32_t code = st_utf8_decode(s->s + i, s->len - i, &n);
        bool upper = code_is(code, CLASS_UPPER) || code_is(code, CLASS_TITLE);
        bool lower = !upper && code_is(code, CLASS_LOWER);
        good = !(upper && in_word) && !(lower && !in_word);
        in_word = upper || lower;
        any |= in_word;
    }
    *ret = val_bool(any && good);
    return 0;
}

static int m_isascii(rt *r, const targs *a, val *ret)
{
    (void)r;
    *ret = val_bool(a->self.u.s->len == a->self.u.s->n_chars);
    return 0;
}

static int m_isidentifier(rt *r, const targs *a, val *ret)
{
    const tstr *s = a->self.u.s;
    bool good = s->len && !(s->s[0] >= '0' && s->s[0] <= '9');
    (void)r;
    for (size_t i = 0, n; i < s->len && good; i += n)
        good = code_is(st_utf8_decode(s->s + i, s->len - i, &n), CLASS_WORD);
    *ret = val_bool(good);
    return 0;
}

const tbuiltin methods_is[] = {
    {"isalpha", "", 0, m_isalpha},
    {"isalnum", "", 0, m_isalnum},
    {"isdigit", "", 0, m_isdigit},
    {"isdecimal", "", 0, m_isdecimal},
    {"isnumeric", "", 0, m_isnumeric},
    {"isspace", "", 0, m_isspace},
    {"isprintable", "", 0, m_isprintable},
    {"isupper", "", 0, m_isupper},
    {"islower", "", 0, m_islower},
    {"istitle", "", 0, m_istitle},
    {"isascii", "", 0, m_isascii},
    {"isidentifier", "", 0, m_isidentifier},
    {0},
};

/* --- lists and tuples --- */

static int m_list_count(rt *r, const targs *a, val *ret)
{
    tint n = 0;
    int rc = 0;
    for (size_t i = 0; i < a->self.u.list->n && !rc; i++) {
        bool same;
        rc = val_equal(r, a->self.u.list->v[i], a->v[0], &same);
        n += !rc && same;
    }
    *ret = val_int(n);
    return rc;
}

static int m_list_index(rt *r, const targs *a, val *ret)
{
    for (size_t i = 0; i < a->self.u.list->n; i++) {
        bool same;
        int rc = val_equal(r, a->self.u.list->v[i], a->v[0], &same);
        if (rc)
            return rc;
        if (same)
            return *ret = val_int((tint)i), 0;
    }
    return rt_fail(r, ST_EFORMAT, "the value is not in the list");
}

static int m_list_copy(rt *r, const targs *a, val *ret)
{
    tlist *copy;
    int rc = val_items(r, a->self, &copy);
    if (!rc)
        *ret = val_list(copy);
    return rc;
}

static const tbuiltin methods_list[] = {
    {"count", "value", 1, m_list_count},
    {"index", "value", 1, m_list_index},
    {"copy", "", 0, m_list_copy},
    {0},
};

/* --- dictionaries --- */

static int m_get(rt *r, const targs *a, val *ret)
{
    val *value;
    int rc = tdict_find(r, a->self.u.dict, a->v[0], &value);
    if (rc)
        return rc;
    *ret = value ? *value : a->v[1].type == V_MISSING ? val_of(V_NONE) : a->v[1];
    return 0;
}

static int view(rt *r, const targs *a, tlist_kind kind, val *ret)
{
    const tdict *d = a->self.u.dict;
    tlist *list = tlist_new(r, kind, d->n);
    int rc = list ? rt_step(r, d->n) : r->err->code;
    for (size_t i = 0; i < d->n && !rc; i++) {
        if (kind == L_ITEMS)
            rc = tdict_pair(r, &d->p[i], &list->v[i]);
        else
            list->v[i] = kind == L_KEYS ? d->p[i].key : d->p[i].value;
        list->n = i + 1;
    }
    if (!rc)
        *ret = val_list(list);
    return rc;
}

static int m_keys(rt *r, const targs *a, val *ret)
{
    return view(r, a, L_KEYS, ret);
}

static int m_values(rt *r, const targs *a, val *ret)
{
    return view(r, a, L_VALUES, ret);
}

static int m_items(rt *r, const targs *a, val *ret)
{
    return view(r, a, L_ITEMS, ret);
}

static int m_dict_copy(rt *r, const targs *a, val *ret)
{
    const tdict *d = a->self.u.dict;
    tdict *copy = tdict_new(r, d->n);
    int rc = copy ? rt_step(r, d->n) : r->err->code;
    for (size_t i = 0; i < d->n && !rc; i++)
        rc = tdict_add(r, copy, d->p[i].key, d->p[i].value);
    if (!rc)
        *ret = val_dict(copy);
    return rc;
}

static const tbuiltin methods_dict[] = {
    {"get", "key default", 1, m_get}, {"keys", "", 0, m_keys},
    {"values", "", 0, m_values},      {"items", "", 0, m_items},
    {"copy", "", 0, m_dict_copy},     {0},
};

/* --- numbers, cyclers --- */

static int m_bit_length(rt *r, const targs *a, val *ret)
{
    tint i = val_as_int(a->self), n = 0;
    (void)r;
    for (; i != 0 && i != -1; i /= 2)
        n++;
    *ret = val_int(i == -1 ? n + 1 : n);
    return 0;
}

static int m_is_integer(rt *r, const targs *a, val *ret)
{
    (void)r;
    *ret = val_bool(isfinite(a->self.u.f) && floor(a->self.u.f) == a->self.u.f);
    return 0;
}

static int m_next(rt *r, const targs *a, val *ret)
{
    tcycler *c = a->self.u.cycler;
    (void)r;
    *ret = c->items->v[c->pos];
    c->pos = (c->pos + 1) % c->items->n;
    return 0;
}

static int m_reset(rt *r, const targs *a, val *ret)
{
    (void)r;
    a->self.u.cycler->pos = 0;
    *ret = val_of(V_NONE);
    return 0;
}

static const tbuiltin methods_int[] = {{"bit_length", "", 0, m_bit_length}, {0}};
static const tbuiltin methods_float[] = {{"is_integer", "", 0, m_is_integer}, {0}};
static const tbuiltin methods_cycler[] = {
    {"next", "", 0, m_next}, {"reset", "", 0, m_reset}, {0}};

/* --- tables --- */

const tbuiltin *builtin_find(const tbuiltin *table, const tstr *name)
{
    for (; table->name; table++) {
        if (tstr_is(name, table->name))
            return table;
    }
    return NULL;
}

static const tbuiltin *str_method(const tstr *name)
{
    const tbuiltin *fn = builtin_find(methods_str, name);
    if (!fn)
        fn = builtin_find(methods_split, name);
    return fn ? fn : builtin_find(methods_is, name);
}

const tbuiltin *method_find(val obj, const tstr *name)
{
    if (obj.type == V_STR)
        return str_method(name);
    if (obj.type == V_DICT)
        return builtin_find(methods_dict, name);
    if (obj.type == V_LIST && obj.u.list->kind <= L_GROUP) {
        const tbuiltin *fn = builtin_find(methods_list, name);
        return fn && fn->fn == m_list_copy && obj.u.list->kind != L_LIST ? NULL : fn;
    }
    if (val_is_int(obj))
        return builtin_find(methods_int, name);
    if (obj.type == V_FLOAT)
        return builtin_find(methods_float, name);
    if (obj.type == V_CYCLER)
        return builtin_find(methods_cycler, name);
    return obj.type == V_LOOP ? builtin_find(loop_methods(), name) : NULL;
}

bool method_changes(val obj, const tstr *name)
{
    static const char *const of_list[] = {"append", "clear",  "extend",  "insert",
                                          "pop",    "remove", "reverse", "sort"};
    static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault",
                                          "update"};
    if (val_is_list(obj, L_LIST)) {
        for (size_t i = 0; i < ST_COUNT(of_list); i++) {
            if (tstr_is(name, of_list[i]))
                return true;
        }
    }
    for (size_t i = 0; i < ST_COUNT(of_dict) && obj.type == V_DICT; i++) {
        if (tstr_is(name, of_dict[i]))
            return true;
    }
    return false;
}
