/* grammar/grammar.c - the door: each kind of grammar joined with its automaton and with
 * what reads the finished text another way. */
#include "grammar/grammar.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "grammar/dfa_automaton.h"
#include "grammar/gbnf.h"
#include "grammar/gbnf_earley.h"
#include "grammar/kind.h"
#include "grammar/regex.h"
#include "grammar/schema_run.h"
#include "grammar/validate_priv.h"
#include "grammar/gbnf_rules.h"
#include <stdio.h>
#include <string.h>

static void *kind_new(size_t size, const grammar_ops *ops, st_err *err)
{
    grammar *g = st_zalloc_n(1, size);
    if (g)
        g->ops = ops;
    else
        st_err_set(err, ST_ENOMEM, "out of memory for a grammar");
    return g;
}

/* Give out what was made, or free it. */
static int kind_give(int rc, grammar *g, grammar **ret)
{
    if (rc < 0)
        grammar_free(g);
    else
        *ret = g;
    return rc;
}

/* ---- GBNF ---- */

typedef struct gbnf_kind {
    grammar base;
    gbnf *g;
    rules *r;
} gbnf_kind;

static void gbnf_kind_free(grammar *g)
{
    gbnf_kind *k = (gbnf_kind *)g;
    rules_free(k->r);
    gbnf_free(k->g);
    st_free(k);
}

static int gbnf_automaton(const grammar *g, automaton **ret, st_err *err)
{
    return rules_automaton_new(((const gbnf_kind *)g)->r, ret, err);
}

static int gbnf_validate(const grammar *g, const char *text, size_t len, st_err *err)
{
    return gbnf_earley(((const gbnf_kind *)g)->g, text, len, err);
}

static const grammar_ops gbnf_ops = {gbnf_kind_free, gbnf_automaton, gbnf_validate};

int grammar_gbnf(const char *text, size_t len, grammar **ret, st_err *err)
{
    gbnf_kind *k = kind_new(sizeof *k, &gbnf_ops, err);
    if (!k)
        return ST_ENOMEM;
    int rc = gbnf_read(text, len, &k->g, err);
    if (rc == 0)
        rc = rules_new(k->g, &k->r, err);
    return kind_give(rc, &k->base, ret);
}

/* ---- lists ---- */

typedef struct choices_kind {
    grammar base;
    dfa *d;
    intern texts;
} choices_kind;

static void choices_free(grammar *g)
{
    choices_kind *k = (choices_kind *)g;
    dfa_free(k->d);
    intern_done(&k->texts);
    st_free(k);
}

static int choices_automaton(const grammar *g, automaton **ret, st_err *err)
{
    return dfa_automaton_new(((const choices_kind *)g)->d, ret, err);
}

static int choices_validate(const grammar *g, const char *text, size_t len, st_err *err)
{
    const choices_kind *k = (const choices_kind *)g;
    for (uint32_t i = 1; i <= k->texts.n; i++) {
        size_t have;
        const void *known = intern_get(&k->texts, i, &have);
        if (have == len && memcmp(known, text, len) == 0)
            return 0;
    }
    return st_err_set(err, ST_EFORMAT, "the text is none of the list");
}

static const grammar_ops choices_ops = {choices_free, choices_automaton,
                                        choices_validate};

int grammar_choices(const char *const *texts, const size_t *lens, uint32_t n,
                    grammar **ret, st_err *err)
{
    if (n == 0)
        return st_err_set(err, ST_EINVAL, "a list to choose from is empty");
    choices_kind *k = kind_new(sizeof *k, &choices_ops, err);
    if (!k)
        return ST_ENOMEM;
    int rc = dfa_texts(texts, lens, n, &k->d, err);
    for (uint32_t i = 0, number; rc == 0 && i < n; i++)
        rc = intern_put(&k->texts, texts[i], lens[i], &number, err);
    return kind_give(rc, &k->base, ret);
}

/* ---- JSON Schema ---- */

typedef struct schema_kind {
    grammar base;
    grammar_schema_opts opts;
    const json *root; /* what the others point into */
    schema *s;
    validator *v;
} schema_kind;

static void schema_kind_free(grammar *g)
{
    schema_kind *k = (schema_kind *)g;
    schema_free(k->s);
    validator_free(k->v);
    json_free(k->root);
    st_free(k);
}

static int schema_automaton(const grammar *g, automaton **ret, st_err *err)
{
    const schema_kind *k = (const schema_kind *)g;
    return schema_automaton_new(k->s, k->opts.space, k->opts.any_order, ret, err);
}

static int schema_validate(const grammar *g, const char *text, size_t len, st_err *err)
{
    const json *value;
    int rc = json_read(text, len, &value, err);
    if (rc < 0)
        return rc;
    rc = validator_run(((const schema_kind *)g)->v, value, err);
    json_free(value);
    return rc;
}

static const grammar_ops schema_ops = {schema_kind_free, schema_automaton,
                                       schema_validate};

static int schema_compile(schema_kind *k, const char *text, size_t len,
                          grammar_refusal *refusal, st_err *err)
{
    schema_refusal where = {0};
    automaton *a = NULL;
    int rc = json_read(text, len, &k->root, err);
    if (rc == 0)
        rc = schema_new(k->root, &k->s, &where, err);
    if (rc == 0)
        rc = validator_new(k->root, &k->v, err);
    if (rc == 0) /* to know now that it can be made */
        rc = schema_automaton(&k->base, &a, err);
    automaton_free(a);
    if (rc < 0 && refusal) {
        *refusal = (grammar_refusal){0};
        snprintf(refusal->pointer, sizeof refusal->pointer, "%s", where.pointer);
        snprintf(refusal->keyword, sizeof refusal->keyword, "%s", where.keyword);
    }
    return rc;
}

int grammar_schema(const char *text, size_t len, const grammar_schema_opts *opts,
                   grammar **ret, grammar_refusal *ret_refusal, st_err *err)
{
    schema_kind *k = kind_new(sizeof *k, &schema_ops, err);
    if (!k)
        return ST_ENOMEM;
    if (opts)
        k->opts = *opts;
    return kind_give(schema_compile(k, text, len, ret_refusal, err), &k->base, ret);
}

/* ---- regular expressions ---- */

typedef struct regex_kind {
    grammar base;
    dfa *d;
    pattern *p;
} regex_kind;

static void regex_free(grammar *g)
{
    regex_kind *k = (regex_kind *)g;
    dfa_free(k->d);
    pattern_free(k->p);
    st_free(k);
}

static int regex_automaton(const grammar *g, automaton **ret, st_err *err)
{
    return dfa_automaton_new(((const regex_kind *)g)->d, ret, err);
}

static int regex_validate(const grammar *g, const char *text, size_t len, st_err *err)
{
    size_t at;
    if (!st_utf8_valid(text, len, &at))
        return st_err_set(err, ST_EFORMAT, "not UTF-8 at byte %zu", at);
    int found = pattern_find(((const regex_kind *)g)->p, text, len, err);
    if (found < 0)
        return found;
    return found ? 0 : st_err_set(err, ST_EFORMAT, "the expression is not the text");
}

static const grammar_ops regex_ops = {regex_free, regex_automaton, regex_validate};

/* The expression for PCRE2, to be the whole text. */
static int whole_pattern(const char *text, size_t len, pattern **ret, st_err *err)
{
    st_buf whole;
    st_buf_init(&whole, SIZE_MAX / 2);
    st_buf_str(&whole, "^(?:");
    st_buf_add(&whole, text, len);
    int rc = st_buf_str(&whole, ")$");
    if (rc < 0)
        st_err_set(err, rc, "an expression: %s", st_code_text(rc));
    else
        rc = pattern_new(whole.data, whole.len, ret, err);
    st_buf_done(&whole);
    return rc;
}

int grammar_regex(const char *text, size_t len, grammar **ret, st_err *err)
{
    regex_kind *k = kind_new(sizeof *k, &regex_ops, err);
    if (!k)
        return ST_ENOMEM;
    int rc = regex_dfa(text, len, REGEX_WHOLE, &k->d, err);
    if (rc == 0 && k->d->start == DFA_DEAD)
        rc = st_err_set(err, ST_EINVAL, "no text fits the expression");
    if (rc == 0)
        rc = whole_pattern(text, len, &k->p, err);
    return kind_give(rc, &k->base, ret);
}

/* ---- all kinds ---- */

int grammar_validate(const grammar *g, const char *text, size_t len, st_err *err)
{
    return g->ops->validate(g, text, len, err);
}

void grammar_free(grammar *g)
{
    if (g)
        g->ops->free(g);
}
