/* grammar/schema_string.c - the atoms of strings folded into automata and lengths.
 *
 * Where a list of texts is given the others are only tried on them.  Cases of the same
 * length are joined into one automaton, so that a string has few shapes. */
#include "grammar/schema_priv.h"

#include "base/mem.h"
#include "grammar/regex.h"
#include <stdio.h>
#include <string.h>

typedef struct string_fold {
    uint32_t min, max;
    ids in, out;  /* texts */
    uint32_t set; /* one of `in` that lists its texts, or LIMIT_NO */
} string_fold;

/* One or more cases that differ by their automaton only. */
typedef struct string_part {
    uint32_t min, max;
    dfa *d;
} string_part;

typedef struct string_parts {
    string_part *at;
    uint32_t n, cap;
    const char **texts; /* of lists */
    size_t *lens;
    uint32_t n_texts, cap_texts, cap_lens;
} string_parts;

static void parts_done(string_parts *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        dfa_free(p->at[i].d);
    st_free(p->at);
    st_free(p->texts);
    st_free(p->lens);
}

static void fold_done(string_fold *f)
{
    ids_done(&f->in);
    ids_done(&f->out);
}

static int fold(compiler *c, const ids *atoms, string_fold *f, st_err *err)
{
    *f = (string_fold){.max = LIMIT_NO, .set = LIMIT_NO};
    int rc = 0;
    for (uint32_t i = 0; i < atoms->n && rc == 0; i++) {
        atom a = atom_get(c, atoms->at[i]);
        if (a.kind == ATOM_LENGTH) {
            f->min = a.a > f->min ? a.a : f->min;
            f->max = a.b < f->max ? a.b : f->max;
        } else if (a.kind == ATOM_TEXT) {
            rc = ids_add(a.b ? &f->in : &f->out, a.a, err);
            if (a.b && c->texts[a.a].kind == TEXT_SET)
                f->set = a.a;
        }
    }
    if (rc < 0)
        fold_done(f);
    return rc;
}

static int make_set(const text_part *t, dfa **ret, st_err *err)
{
    const char **texts = st_alloc_n(t->n + 1, sizeof *texts);
    size_t *lens = st_alloc_n(t->n + 1, sizeof *lens);
    uint32_t n = 0;
    for (uint32_t i = 0; texts && lens && i < t->n; i++) {
        if (t->from[i].type != JSON_STRING)
            continue;
        texts[n] = t->from[i].text;
        lens[n++] = t->from[i].n;
    }
    int rc = texts && lens ? dfa_texts(texts, lens, n, ret, err)
                           : st_err_set(err, ST_ENOMEM, "out of memory for a schema");
    st_free(texts);
    st_free(lens);
    return rc;
}

int automaton_made(compiler *c, const dfa *d, st_err *err)
{
    enum { STATES_A_STEP = 4 };
    c->bytes += (uint64_t)d->n_states * (d->n_classes + 1) * sizeof *d->next;
    if (c->bytes > SCHEMA_BYTES) {
        refuse(c, c->at, "schema", ST_ELIMIT, err, "its automata take over %d MiB",
               SCHEMA_BYTES >> 20);
        st_err_hint(err, "use fewer or simpler patterns, and shorter lists");
        return ST_ELIMIT;
    }
    return work_done(c, d->n_states / STATES_A_STEP, err);
}

int text_dfa(compiler *c, uint32_t text, const dfa **ret, bool *ret_free, st_err *err)
{
    text_part *t = &c->texts[text];
    if (!t->made) {
        st_err said = {0};
        dfa *d = NULL;
        int rc = t->kind == TEXT_SET ? make_set(t, &d, &said)
                 : t->kind == TEXT_PATTERN
                     ? regex_dfa(t->from->text, t->from->n, REGEX_SEARCH, &d, &said)
                     : format_dfa(t->from->text, &d, &said);
        if (rc == ST_ENOTFOUND && t->kind == TEXT_FORMAT) {
            t->free = true;
        } else if (rc < 0) {
            const char *keyword = t->kind == TEXT_SET      ? "enum"
                                  : t->kind == TEXT_FORMAT ? "format"
                                  : c->nodes[t->node].pattern == text
                                      ? "pattern"
                                      : "patternProperties";
            refuse(c, t->node, keyword, rc, err, "%s", said.message);
            st_err_hint(err, "%s",
                        said.hint[0] ? said.hint : "write it more simply, or list texts");
            return rc;
        }
        t->d = d;
        t->made = true;
        rc = d ? automaton_made(c, d, err) : 0;
        if (rc < 0)
            return rc;
    }
    *ret = t->d;
    *ret_free = t->free;
    return 0;
}

/* Is a text one of a part's? */
static int text_takes(compiler *c, uint32_t text, const json *value, bool *ret,
                      st_err *err)
{
    const text_part *t = &c->texts[text];
    *ret = false;
    if (t->kind == TEXT_SET) {
        for (uint32_t i = 0; i < t->n && !*ret; i++)
            *ret = t->from[i].type == JSON_STRING && t->from[i].n == value->n &&
                   memcmp(t->from[i].text, value->text, value->n) == 0;
        return 0;
    }
    const dfa *d;
    bool is_free;
    int rc = text_dfa(c, text, &d, &is_free, err);
    if (rc < 0)
        return rc;
    *ret = is_free || d->label[dfa_run(d, d->start, value->text, value->n)] != 0;
    return 0;
}

static uint32_t characters(const json *text)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < text->n; i++)
        n += ((unsigned char)text->text[i] & 0xc0) != 0x80;
    return n;
}

static int fits(compiler *c, const string_fold *f, const json *value, bool *ret,
                st_err *err)
{
    uint32_t n = value->type == JSON_STRING ? characters(value) : 0;
    int rc = 0;
    *ret = value->type == JSON_STRING && n >= f->min && n <= f->max;
    for (uint32_t i = 0; i < f->in.n && rc == 0 && *ret; i++) {
        if (f->in.at[i] != f->set)
            rc = text_takes(c, f->in.at[i], value, ret, err);
    }
    for (uint32_t i = 0; i < f->out.n && rc == 0 && *ret; i++) {
        rc = text_takes(c, f->out.at[i], value, ret, err);
        *ret = !*ret;
    }
    return rc;
}

/* The automaton of what is not a list; *ret NULL: nothing is in it. */
static int meet(compiler *c, const string_fold *f, dfa **ret, st_err *err)
{
    uint32_t n_in = 0, n_out = 0, n = f->in.n + f->out.n;
    const dfa **all = st_alloc_n((size_t)n + 1, sizeof *all);
    int rc = all ? 0 : st_err_set(err, ST_ENOMEM, "out of memory for a schema");
    bool never = false, is_free;
    for (uint32_t i = 0; i < f->in.n && rc == 0; i++) {
        rc = text_dfa(c, f->in.at[i], &all[n_in], &is_free, err);
        n_in += rc == 0 && !is_free;
    }
    for (uint32_t i = 0; i < f->out.n && rc == 0; i++) {
        rc = text_dfa(c, f->out.at[i], &all[n_in + n_out], &is_free, err);
        never |= rc == 0 && is_free;
        n_out += rc == 0 && !is_free;
    }
    dfa *d = NULL;
    if (rc == 0 && !never) {
        st_err said = {0};
        rc = n_in + n_out == 0 ? dfa_any(&d, &said)
                               : dfa_meet(all, n_in, all + n_in, n_out, &d, &said);
        if (rc < 0)
            rc = refuse(c, n ? c->texts[f->in.n ? f->in.at[0] : f->out.at[0]].node : 0,
                        "pattern", rc, err, "%s", said.message);
    }
    st_free(all);
    if (rc == 0 && d)
        rc = automaton_made(c, d, err);
    if (d && (rc < 0 || d->start == DFA_DEAD)) {
        dfa_free(d);
        d = NULL;
    }
    if (rc == 0)
        *ret = d;
    return rc;
}

/* Does a fold have a text at all?  Known by its atoms once it was found out. */
static int meet_maybe(compiler *c, const ids *atoms, const string_fold *f, bool *ret,
                      st_err *err)
{
    uint32_t number, known = c->meet_index.n;
    int rc =
        intern_put(&c->meet_index, atoms->at, atoms->n * sizeof *atoms->at, &number, err);
    if (rc == 0 && number > known)
        rc = array_room(&c->meets, number, &c->cap_meets, sizeof *c->meets, err);
    if (rc < 0)
        return rc;
    if (number > known) {
        dfa *d = NULL;
        text_rule rule;
        rc = meet(c, f, &d, err);
        if (rc < 0)
            return rc;
        c->meets[number] = d != NULL;
        st_err quiet = {0};
        if (d && (f->min > 0 || f->max != LIMIT_NO)) {
            if (text_rule_make(d, f->min, f->max, &rule, &quiet) == 0) {
                c->meets[number] = !text_rule_empty(&rule);
                text_rule_done(&rule);
            }
        } else {
            dfa_free(d);
        }
    }
    *ret = c->meets[number];
    return 0;
}

int strings_maybe(compiler *c, const ids *atoms, bool deep, bool *ret, st_err *err)
{
    string_fold f;
    int rc = fold(c, atoms, &f, err);
    if (rc < 0)
        return rc;
    *ret = f.min <= f.max;
    if (*ret && f.set != LIMIT_NO) {
        const text_part *t = &c->texts[f.set];
        *ret = false;
        for (uint32_t i = 0; i < t->n && rc == 0 && !*ret; i++)
            rc = fits(c, &f, &c->texts[f.set].from[i], ret, err);
    } else if (*ret && deep && f.in.n + f.out.n > 0) {
        rc = meet_maybe(c, atoms, &f, ret, err);
    }
    fold_done(&f);
    return rc;
}

static int add_text(string_parts *p, const json *text, st_err *err)
{
    for (uint32_t i = 0; i < p->n_texts && p->n_texts < 256; i++) {
        if (p->lens[i] == text->n && memcmp(p->texts[i], text->text, text->n) == 0)
            return 0;
    }
    int rc = array_room(&p->texts, p->n_texts, &p->cap_texts, sizeof *p->texts, err);
    if (rc == 0)
        rc = array_room(&p->lens, p->n_texts, &p->cap_lens, sizeof *p->lens, err);
    if (rc < 0)
        return rc;
    p->texts[p->n_texts] = text->text;
    p->lens[p->n_texts++] = text->n;
    return 0;
}

/* Add an automaton, which is taken; joined with one of the same length if that is not
 * too large. */
static int add_part(string_parts *p, dfa *d, uint32_t min, uint32_t max, st_err *err)
{
    for (uint32_t i = 0; i < p->n; i++) {
        if (p->at[i].min != min || p->at[i].max != max)
            continue;
        dfa *joined = NULL;
        st_err quiet = {0};
        int rc = dfa_join((const dfa *const[]){p->at[i].d, d}, 2, &joined, &quiet);
        if (rc == ST_ELIMIT)
            continue;
        dfa_free(d);
        if (rc < 0)
            return st_err_set(err, rc, "%s", quiet.message);
        dfa_free(p->at[i].d);
        p->at[i].d = joined;
        return 0;
    }
    int rc = array_room(&p->at, p->n, &p->cap, sizeof *p->at, err);
    if (rc == 0)
        p->at[p->n++] = (string_part){min, max, d};
    else
        dfa_free(d);
    return rc;
}

static int add_case(compiler *c, const string_fold *f, string_parts *p, st_err *err)
{
    int rc = 0;
    if (f->min > f->max)
        return 0;
    if (f->set == LIMIT_NO) {
        dfa *d = NULL;
        rc = meet(c, f, &d, err);
        return rc == 0 && d ? add_part(p, d, f->min, f->max, err) : rc;
    }
    for (uint32_t i = 0; i < c->texts[f->set].n && rc == 0; i++) {
        const json *value = &c->texts[f->set].from[i];
        bool fit;
        rc = fits(c, f, value, &fit, err);
        if (rc == 0 && fit)
            rc = add_text(p, value, err);
    }
    return rc;
}

static int collect(compiler *c, const cases *s, string_parts *p, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < s->n && rc == 0; i++) {
        string_fold f;
        rc = fold(c, &s->at[i], &f, err);
        if (rc == 0) {
            rc = add_case(c, &f, p, err);
            fold_done(&f);
        }
    }
    dfa *d = NULL;
    if (rc == 0 && p->n_texts > 0)
        rc = dfa_texts(p->texts, p->lens, p->n_texts, &d, err);
    return rc == 0 && d ? add_part(p, d, 0, LIMIT_NO, err) : rc;
}

int strings_shape(compiler *c, const cases *s, shape_list *out, st_err *err)
{
    string_parts p = {0};
    int rc = collect(c, s, &p, err);
    for (uint32_t i = 0; i < p.n && rc == 0; i++) {
        shape one;
        st_err said = {0};
        memset(&one, 0, sizeof one);
        one.type = JSON_STRING;
        dfa *d = p.at[i].d;
        p.at[i].d = NULL;
        rc = text_rule_make(d, p.at[i].min, p.at[i].max, &one.string, &said);
        if (rc < 0)
            rc = refuse(c, c->at, p.at[i].max == LIMIT_NO ? "minLength" : "maxLength", rc,
                        err, "%s", said.message);
        else if (text_rule_empty(&one.string))
            text_rule_done(&one.string);
        else
            rc = shape_add(c, out, &one, err);
    }
    parts_done(&p);
    return rc;
}

/* The automaton of a length alone. */
static int length_dfa(uint32_t min, uint32_t max, dfa **ret, st_err *err)
{
    char pattern[64];
    if (max == LIMIT_NO)
        snprintf(pattern, sizeof pattern, "[\\s\\S]{%u,}", min);
    else
        snprintf(pattern, sizeof pattern, "[\\s\\S]{%u,%u}", min, max);
    return regex_dfa(pattern, strlen(pattern), REGEX_WHOLE, ret, err);
}

static int with_length(string_part *p, st_err *err)
{
    if (p->min == 0 && p->max == LIMIT_NO)
        return 0;
    dfa *length = NULL, *both = NULL;
    int rc = length_dfa(p->min, p->max, &length, err);
    if (rc == 0)
        rc = dfa_meet((const dfa *const[]){p->d, length}, 2, NULL, 0, &both, err);
    dfa_free(length);
    if (rc < 0)
        return rc;
    dfa_free(p->d);
    p->d = both;
    return 0;
}

int strings_dfa(compiler *c, const ids *literals, dfa **ret, st_err *err)
{
    goal_id g;
    cases found = {0};
    string_parts p = {0};
    int rc = goal_of(c, literals, &g, err);
    if (rc == 0 && g != GOAL_NONE)
        rc = cases_of(c, g, JSON_STRING, &found, err);
    if (rc == 0)
        rc = collect(c, &found, &p, err);
    const dfa **all = st_alloc_n((size_t)p.n + 1, sizeof *all);
    if (rc == 0 && !all)
        rc = st_err_set(err, ST_ENOMEM, "out of memory for a schema");
    for (uint32_t i = 0; i < p.n && rc == 0; i++) {
        rc = with_length(&p.at[i], err);
        all[i] = p.at[i].d;
    }
    if (rc == 0)
        rc = p.n ? dfa_join(all, p.n, ret, err) : dfa_texts(NULL, NULL, 0, ret, err);
    st_free(all);
    cases_done(&found);
    parts_done(&p);
    return rc;
}
