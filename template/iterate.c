/* template/iterate.c - going through a value item by item, and the errors of undefined.
 */
#include "template/value.h"

#include "base/utf8.h"
#include <string.h>

int val_undef(rt *r, undef_kind kind, const char *hint, val name, val *ret)
{
    tundef *u = rt_take(r, 1, sizeof *u);
    if (!u)
        return r->err->code;
    *u = (tundef){kind, hint, name};
    *ret = val_of(V_UNDEF);
    ret->u.undef = u;
    return 0;
}

static int use_attr(rt *r, const tundef *u)
{
    if (u->name.type == V_STR)
        return rt_fail(r, ST_EFORMAT, "'%s' has no attribute '%.*s'", u->hint,
                       (int)(u->name.u.s->len < 80 ? u->name.u.s->len : 80),
                       u->name.u.s->s);
    tbuild b;
    tbuild_init(&b, r);
    int rc = val_repr(&b, u->name);
    return rc ? rc
              : rt_fail(r, ST_EFORMAT, "%s has no element %.*s", u->hint,
                        (int)(b.len < 80 ? b.len : 80), b.s);
}

int undef_use(rt *r, val undef)
{
    if (undef.type == V_MISSING || !undef.u.undef)
        return rt_fail(r, ST_EFORMAT, "an undefined value is used");
    const tundef *u = undef.u.undef;
    const tstr *name = u->name.type == V_STR ? u->name.u.s : NULL;
    int n = name ? (int)(name->len < 80 ? name->len : 80) : 0;
    switch (u->kind) {
    case UNDEF_NAME:
        return rt_fail(r, ST_EFORMAT, "'%.*s' is undefined", n, name ? name->s : "");
    case UNDEF_ATTR:
        return use_attr(r, u);
    case UNDEF_HINT:
        return rt_fail(r, ST_EFORMAT, u->name.type == V_STR ? "%s '%.*s'%s" : "%s%.*s%s",
                       u->hint, n, name ? name->s : "", name ? " was not provided" : "");
    case UNDEF_UNSAFE:
        return rt_fail(r, ST_EFORMAT,
                       "access to attribute '%.*s' of '%s' object is unsafe.", n,
                       name ? name->s : "", u->hint);
    }
    return rt_fail(r, ST_EFORMAT, "an undefined value is used");
}

size_t trange_length(const trange *range)
{
    tint n = 0;
    if (range->step > 0 && range->stop > range->start)
        n = (range->stop - range->start - 1) / range->step + 1;
    else if (range->step < 0 && range->stop < range->start)
        n = (range->start - range->stop - 1) / -range->step + 1;
    return (size_t)n;
}

bool val_iterable(val v)
{
    switch ((vtype)v.type) {
    case V_UNDEF:
    case V_STR:
    case V_LIST:
    case V_DICT:
    case V_RANGE:
        return true;
    case V_MISSING:
    case V_NONE:
    case V_BOOL:
    case V_INT:
    case V_FLOAT:
    case V_NAMESPACE:
    case V_FUNC:
    case V_MACRO:
    case V_LOOP:
    case V_CYCLER:
    case V_JOINER:
        return false;
    }
    return false;
}

int titer_init(rt *r, val seq, titer *it)
{
    if (!val_iterable(seq))
        return rt_fail(r, ST_EFORMAT, "'%s' object is not iterable", val_type_name(seq));
    if (seq.type == V_UNDEF && seq.u.undef->kind == UNDEF_UNSAFE)
        return undef_use(r, seq);
    *it = (titer){.seq = seq};
    return 0;
}

static int next_char(rt *r, titer *it, val *ret, bool *ret_more)
{
    const tstr *s = it->seq.u.s;
    size_t n;
    *ret_more = it->byte < s->len;
    if (!*ret_more)
        return 0;
    st_utf8_decode(s->s + it->byte, s->len - it->byte, &n);
    tstr plain = *s; /* characters of markup are plain strings */
    plain.markup = false;
    const tstr *one = tstr_part(r, s->markup ? &plain : s, it->byte, n);
    if (one == &plain)
        one = tstr_new(r, s->s, s->len, s->mark);
    it->byte += n;
    if (!one)
        return r->err->code;
    *ret = val_str(one);
    return 0;
}

int titer_next(rt *r, titer *it, val *ret, bool *ret_more)
{
    val seq = it->seq;
    if (rt_step(r, 1))
        return ST_ELIMIT;
    if (seq.type == V_STR)
        return next_char(r, it, ret, ret_more);
    size_t *at = val_is_list(seq, L_ITER) ? &seq.u.list->pos : &it->i;
    *ret_more = false;
    if (seq.type == V_LIST && *at < seq.u.list->n) {
        *ret = seq.u.list->v[*at];
        *ret_more = true;
    } else if (seq.type == V_DICT && *at < seq.u.dict->n) {
        *ret = seq.u.dict->p[*at].key;
        *ret_more = true;
    } else if (seq.type == V_RANGE && *at < trange_length(seq.u.range)) {
        *ret = val_int(seq.u.range->start + (tint)*at * seq.u.range->step);
        *ret_more = true;
    }
    if (*ret_more)
        ++*at;
    return 0;
}

int val_items(rt *r, val v, tlist **ret)
{
    titer it;
    val one;
    bool more;
    int rc = titer_init(r, v, &it);
    if (rc)
        return rc;
    tlist *list = tlist_new(r, L_LIST, v.type == V_LIST ? v.u.list->n : 0);
    if (!list)
        return r->err->code;
    while (!(rc = titer_next(r, &it, &one, &more)) && more) {
        if ((rc = tlist_add(r, list, one)))
            return rc;
    }
    if (!rc)
        *ret = list;
    return rc;
}

int val_length(rt *r, val v, size_t *ret)
{
    switch ((vtype)v.type) {
    case V_UNDEF:
        if (v.u.undef->kind == UNDEF_UNSAFE)
            return undef_use(r, v);
        *ret = 0;
        return 0;
    case V_STR:
        *ret = v.u.s->n_chars;
        return 0;
    case V_DICT:
        *ret = v.u.dict->n;
        return 0;
    case V_RANGE:
        *ret = trange_length(v.u.range);
        return 0;
    case V_CYCLER:
        *ret = v.u.cycler->items->n;
        return 0;
    case V_LIST:
        if (v.u.list->kind == L_ITER)
            break;
        *ret = v.u.list->n;
        return 0;
    case V_MISSING:
    case V_NONE:
    case V_BOOL:
    case V_INT:
    case V_FLOAT:
    case V_NAMESPACE:
    case V_FUNC:
    case V_MACRO:
    case V_LOOP:
    case V_JOINER:
        break;
    }
    return rt_fail(r, ST_EFORMAT, "object of type '%s' has no len()", val_type_name(v));
}
