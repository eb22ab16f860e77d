/* grammar/schema_number.c - the atoms of numbers folded into rules.
 *
 * Numbers of `enum` and `const` become rules of one value each; numbers that are ruled
 * out cut the range in pieces. */
#include "grammar/schema_priv.h"

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

typedef struct number_fold {
    number_rule rule;
    ids in, out;       /* nodes whose choices it must, must not be among */
    ids not_multiples; /* decimals */
    uint32_t node;     /* of a multipleOf */
    bool never;
} number_fold;

static void fold_done(number_fold *f)
{
    ids_done(&f->in);
    ids_done(&f->out);
    ids_done(&f->not_multiples);
}

static void fold_bound(number_fold *f, const decimal *d, bool upper, bool open)
{
    number_rule *r = &f->rule;
    decimal *have = upper ? &r->hi : &r->lo;
    bool *has = upper ? &r->has_hi : &r->has_lo;
    bool *is_open = upper ? &r->hi_open : &r->lo_open;
    int order = *has ? decimal_cmp(d, have) : 0;
    if (*has && order == 0)
        *is_open |= open;
    if (*has && (upper ? order >= 0 : order <= 0))
        return;
    *have = *d;
    *has = true;
    *is_open = open;
}

static bool is_one(const decimal *d)
{
    return !d->negative && d->n == 1 && d->exp == 1 && decimal_digit(d, 0) == 1;
}

static int fold_multiple(compiler *c, number_fold *f, const atom *a, st_err *err)
{
    const decimal *d = &c->decimals[a->a];
    number_rule *r = &f->rule;
    f->node = a->node;
    if (is_one(d)) {
        r->integer |= a->b == 1;
        r->fraction |= a->b == 0;
        return 0;
    }
    if (a->b == 0)
        return ids_add(&f->not_multiples, a->a, err);
    for (uint32_t i = 0; i < r->n_multiples; i++) {
        if (decimal_cmp(&r->multiple[i], d) == 0)
            return 0;
    }
    if (r->n_multiples == NUMBER_MULTIPLES) {
        refuse(c, a->node, "multipleOf", ST_EUNSUPPORTED, err,
               "over %d of them for one number", NUMBER_MULTIPLES);
        st_err_hint(err, "write their least common multiple");
        return ST_EUNSUPPORTED;
    }
    r->multiple[r->n_multiples++] = *d;
    return 0;
}

static int fold(compiler *c, const ids *atoms, number_fold *f, st_err *err)
{
    memset(f, 0, sizeof *f);
    int rc = 0;
    for (uint32_t i = 0; i < atoms->n && rc == 0; i++) {
        atom a = atom_get(c, atoms->at[i]);
        if (a.kind == ATOM_LO || a.kind == ATOM_HI)
            fold_bound(f, &c->decimals[a.a], a.kind == ATOM_HI, a.b);
        else if (a.kind == ATOM_INTEGER && a.a)
            f->rule.integer = true;
        else if (a.kind == ATOM_INTEGER)
            f->rule.fraction = true;
        else if (a.kind == ATOM_MULTIPLE)
            rc = fold_multiple(c, f, &a, err);
        else if (a.kind == ATOM_NUMBERS)
            rc = ids_add(a.b ? &f->in : &f->out, a.a, err);
    }
    const number_rule *r = &f->rule;
    int order = r->has_lo && r->has_hi ? decimal_cmp(&r->lo, &r->hi) : -1;
    f->never = order > 0 || (order == 0 && (r->lo_open || r->hi_open)) ||
               (r->integer && r->fraction);
    if (rc < 0)
        fold_done(f);
    return rc;
}

static bool among(const node *n, const decimal *d)
{
    for (uint32_t i = 0; i < n->n_choices; i++) {
        const json *v = &n->choices[i];
        decimal one;
        if (v->type == JSON_NUMBER && decimal_read(v->text, v->n, &one) &&
            decimal_cmp(&one, d) == 0)
            return true;
    }
    return false;
}

static bool in_range(const number_rule *r, const decimal *d)
{
    int lo = r->has_lo ? decimal_cmp(d, &r->lo) : 1;
    int hi = r->has_hi ? decimal_cmp(d, &r->hi) : -1;
    return (lo > 0 || (lo == 0 && !r->lo_open)) && (hi < 0 || (hi == 0 && !r->hi_open));
}

/* Does a number satisfy all that was folded? */
static int fits(compiler *c, const number_fold *f, const decimal *d, bool *ret,
                st_err *err)
{
    const number_rule *r = &f->rule;
    bool sure, all_sure = true;
    *ret = in_range(r, d) && !(r->integer && !decimal_is_integer(d)) &&
           !(r->fraction && decimal_is_integer(d));
    for (uint32_t i = 0; i < f->in.n && *ret; i++)
        *ret = among(&c->nodes[f->in.at[i]], d);
    for (uint32_t i = 0; i < f->out.n && *ret; i++)
        *ret = !among(&c->nodes[f->out.at[i]], d);
    for (uint32_t i = 0; i < r->n_multiples && *ret; i++) {
        *ret = decimal_is_multiple(d, &r->multiple[i], &sure);
        all_sure &= sure;
    }
    for (uint32_t i = 0; i < f->not_multiples.n && *ret; i++) {
        *ret = !decimal_is_multiple(d, &c->decimals[f->not_multiples.at[i]], &sure);
        all_sure &= sure;
    }
    return all_sure ? 0
                    : refuse(c, f->node, "multipleOf", ST_EUNSUPPORTED, err,
                             "takes too many digits to decide");
}

int numbers_maybe(compiler *c, const ids *atoms, bool *ret, st_err *err)
{
    number_fold f;
    int rc = fold(c, atoms, &f, err);
    if (rc < 0)
        return rc;
    *ret = !f.never;
    if (*ret && f.in.n > 0) {
        const node *n = &c->nodes[f.in.at[0]];
        *ret = false;
        for (uint32_t i = 0; i < n->n_choices && rc == 0 && !*ret; i++) {
            decimal d;
            if (n->choices[i].type == JSON_NUMBER &&
                decimal_read(n->choices[i].text, n->choices[i].n, &d))
                rc = fits(c, &f, &d, ret, err);
        }
    } else if (*ret) {
        number_rule rule = f.rule;
        st_err quiet = {0};
        *ret = number_rule_check(&rule, &quiet) < 0 || !number_rule_empty(&rule);
    }
    fold_done(&f);
    return rc;
}

static bool same_bound(bool has_a, bool open_a, const decimal *a, bool has_b, bool open_b,
                       const decimal *b)
{
    return has_a == has_b && (!has_a || (open_a == open_b && decimal_cmp(a, b) == 0));
}

static bool same_rule(const number_rule *a, const number_rule *b)
{
    bool same =
        a->integer == b->integer && a->fraction == b->fraction &&
        a->n_multiples == b->n_multiples &&
        same_bound(a->has_lo, a->lo_open, &a->lo, b->has_lo, b->lo_open, &b->lo) &&
        same_bound(a->has_hi, a->hi_open, &a->hi, b->has_hi, b->hi_open, &b->hi);
    for (uint32_t i = 0; i < a->n_multiples && same; i++)
        same = decimal_cmp(&a->multiple[i], &b->multiple[i]) == 0;
    return same;
}

static int add_rule(compiler *c, const number_fold *f, const number_rule *rule,
                    shape_list *out, st_err *err)
{
    shape s;
    memset(&s, 0, sizeof s);
    s.type = JSON_NUMBER;
    s.number = *rule;
    int rc = number_rule_check(&s.number, err);
    if (rc < 0)
        return refuse(c, f->node, rule->n_multiples ? "multipleOf" : "minimum", rc, err,
                      "cannot be held");
    if (number_rule_empty(&s.number))
        return 0;
    for (uint32_t i = 0; i < out->n; i++) {
        if (same_rule(&out->at[i].number, &s.number))
            return 0;
    }
    return shape_add(c, out, &s, err);
}

static int add_value(compiler *c, const number_fold *f, const decimal *d, shape_list *out,
                     st_err *err)
{
    number_rule rule;
    memset(&rule, 0, sizeof rule);
    for (uint32_t i = 0; i < out->n; i++) {
        const number_rule *r = &out->at[i].number;
        if (r->has_lo && r->has_hi && decimal_cmp(&r->lo, d) == 0 &&
            decimal_cmp(&r->hi, d) == 0)
            return 0;
    }
    rule.has_lo = rule.has_hi = true;
    rule.lo = rule.hi = *d;
    rule.integer = decimal_is_integer(d);
    return add_rule(c, f, &rule, out, err);
}

static int by_value(const void *a, const void *b)
{
    return decimal_cmp(a, b);
}

/* The range without the numbers that are ruled out: pieces between them. */
static int add_pieces(compiler *c, const number_fold *f, shape_list *out, st_err *err)
{
    decimal *cuts = NULL;
    uint32_t n = 0, cap = 0;
    int rc = 0;
    for (uint32_t i = 0; i < f->out.n && rc == 0; i++) {
        const node *from = &c->nodes[f->out.at[i]];
        for (uint32_t j = 0; j < from->n_choices && rc == 0; j++) {
            const json *v = &from->choices[j];
            decimal d;
            if (v->type != JSON_NUMBER || !decimal_read(v->text, v->n, &d) ||
                !in_range(&f->rule, &d))
                continue;
            rc = array_room(&cuts, n, &cap, sizeof *cuts, err);
            if (rc == 0)
                cuts[n++] = d;
        }
    }
    if (n > 1)
        qsort(cuts, n, sizeof *cuts, by_value);
    number_rule piece = f->rule;
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        piece.has_hi = piece.hi_open = true;
        piece.hi = cuts[i];
        if (!piece.has_lo || decimal_cmp(&piece.lo, &piece.hi) < 0)
            rc = add_rule(c, f, &piece, out, err);
        piece = f->rule;
        piece.has_lo = piece.lo_open = true;
        piece.lo = cuts[i];
    }
    if (rc == 0 &&
        !(piece.has_lo && piece.has_hi && decimal_cmp(&piece.lo, &piece.hi) >= 0 &&
          (piece.lo_open || piece.hi_open)))
        rc = add_rule(c, f, &piece, out, err);
    st_free(cuts);
    return rc;
}

static int add_case(compiler *c, const number_fold *f, shape_list *out, st_err *err)
{
    if (f->never)
        return 0;
    if (f->in.n > 0) {
        const node *n = &c->nodes[f->in.at[0]];
        int rc = 0;
        for (uint32_t i = 0; i < n->n_choices && rc == 0; i++) {
            const json *v = &n->choices[i];
            decimal d;
            bool fit = false;
            if (v->type == JSON_NUMBER && decimal_read(v->text, v->n, &d))
                rc = fits(c, f, &d, &fit, err);
            if (rc == 0 && fit)
                rc = add_value(c, f, &d, out, err);
        }
        return rc;
    }
    if (f->not_multiples.n > 0) {
        refuse(c, f->node, "multipleOf", ST_EUNSUPPORTED, err,
               "cannot be held where it must not hold");
        st_err_hint(err, "list the numbers with enum, or leave the branches of oneOf to "
                         "anyOf");
        return ST_EUNSUPPORTED;
    }
    return add_pieces(c, f, out, err);
}

int numbers_shape(compiler *c, const cases *s, shape_list *out, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < s->n && rc == 0; i++) {
        number_fold f;
        rc = fold(c, &s->at[i], &f, err);
        if (rc == 0) {
            rc = add_case(c, &f, out, err);
            fold_done(&f);
        }
    }
    return rc;
}
