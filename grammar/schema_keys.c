/* grammar/schema_keys.c - automata of names, made once for each set of names, patterns
 * and restrictions. */
#include "grammar/schema_keys.h"

#include "base/mem.h"
#include <string.h>

enum { MAX_PARTS = 64, WORDS_A_STEP = 64 };

void key_spec_done(key_spec *spec)
{
    ids_done(&spec->names);
    ids_done(&spec->parts);
    ids_done(&spec->others);
    ids_done(&spec->within);
}

/* For each state the labels that can still come. */
static int look_ahead(compiler *c, keys *k, st_err *err)
{
    const dfa *d = k->d;
    size_t words = (k->n_labels + 63) / 64, n;
    if (!st_mul_ok(d->n_states, words, &n))
        return st_err_set(err, ST_ELIMIT, "too many names");
    int rc = work_done(c, n / WORDS_A_STEP, err);
    if (rc == 0)
        rc = pool_get(&c->s->pool, n + 1, sizeof *k->label_ahead, &k->label_ahead, err);
    if (rc < 0)
        return rc;
    for (uint32_t s = 1; s < d->n_states; s++) {
        uint32_t label = d->label[s];
        if (label != 0)
            k->label_ahead[s * words + (label - 1) / 64] |= 1ull << (label - 1) % 64;
    }
    for (bool again = true; again;) {
        again = false;
        for (uint32_t s = d->n_states; s-- > 1;) {
            uint64_t *bits = k->label_ahead + s * words;
            uint32_t last = DFA_DEAD;
            for (uint32_t class = 0; class < d->n_classes; class ++) {
                uint32_t to = d->next[(size_t)s * d->n_classes + class];
                if (to == last || to == DFA_DEAD || to == s)
                    continue;
                last = to;
                for (size_t w = 0; w < words; w++) {
                    uint64_t more = k->label_ahead[to * words + w] & ~bits[w];
                    bits[w] |= more;
                    again |= more != 0;
                }
            }
        }
    }
    return 0;
}

typedef struct parts { /* automata, some of them made here */
    const dfa *at[MAX_PARTS];
    dfa *own[MAX_PARTS + 1];
    uint32_t n, n_own;
    dfa *within;
} parts;

static void parts_done(parts *p)
{
    for (uint32_t i = 0; i < p->n_own; i++)
        dfa_free(p->own[i]);
}

static int make_parts(compiler *c, const key_spec *spec, uint32_t at, parts *p,
                      st_err *err)
{
    int rc = 0;
    if (spec->parts.n + spec->others.n > MAX_PARTS) {
        refuse(c, at, "patternProperties", ST_ELIMIT, err,
               "over %d patterns for one "
               "object",
               MAX_PARTS);
        st_err_hint(err, "join patterns that have the same schema");
        return ST_ELIMIT;
    }
    for (uint32_t i = 0; i < spec->parts.n && rc == 0; i++) {
        bool is_free;
        rc = text_dfa(c, spec->parts.at[i], &p->at[p->n++], &is_free, err);
    }
    for (uint32_t i = 0; i < spec->others.n && rc == 0; i++) {
        uint32_t literal = spec->others.at[i];
        rc = strings_dfa(c, &(ids){1, 0, &literal}, &p->own[p->n_own], err);
        if (rc == 0)
            p->at[p->n++] = p->own[p->n_own++];
    }
    if (rc == 0 && spec->within.n > 0) {
        rc = strings_dfa(c, &spec->within, &p->own[p->n_own], err);
        if (rc == 0)
            p->within = p->own[p->n_own++];
    }
    return rc;
}

static int make(compiler *c, const key_spec *spec, uint32_t at, keys *k, st_err *err)
{
    uint32_t n = spec->names.n;
    parts p = {0};
    const char **names = st_alloc_n((size_t)n + 1, sizeof *names);
    size_t *lens = st_alloc_n((size_t)n + 1, sizeof *lens);
    dfa_label *labels = NULL;
    dfa *d = NULL;
    int rc = names && lens ? make_parts(c, spec, at, &p, err)
                           : st_err_set(err, ST_ENOMEM, "out of memory for a schema");
    for (uint32_t i = 0; i < n && rc == 0; i++)
        names[i] = intern_get(&c->names, spec->names.at[i], &lens[i]);
    st_err said = {0};
    if (rc == 0)
        rc = dfa_labels(names, lens, n, p.at, p.n, p.within, &d, &labels, &k->n_labels,
                        &said);
    if (said.code != 0) {
        refuse(c, at, p.n ? "patternProperties" : "properties", rc, err, "%s",
               said.message);
        st_err_hint(err, "%s", said.hint);
    }
    st_free(names);
    st_free(lens);
    parts_done(&p);
    if (rc < 0)
        return rc;
    rc = schema_keep(c->s, d, err);
    if (rc == 0)
        rc = automaton_made(c, d, err);
    dfa_label *kept = NULL;
    if (rc == 0)
        rc = pool_get(&c->s->pool, k->n_labels + 1, sizeof *kept, &kept, err);
    if (rc == 0)
        memcpy(kept, labels, k->n_labels * sizeof *kept);
    st_free(labels);
    k->d = d;
    k->labels = kept;
    return rc < 0 ? rc : look_ahead(c, k, err);
}

static int spec_number(compiler *c, const key_spec *spec, uint32_t *ret, st_err *err)
{
    const ids *lists[] = {&spec->names, &spec->parts, &spec->others, &spec->within};
    ids flat = {0};
    int rc = 0;
    for (int i = 0; i < 4; i++) {
        for (uint32_t j = 0; j < lists[i]->n && rc == 0; j++)
            rc = ids_add(&flat, lists[i]->at[j], err);
        if (rc == 0)
            rc = ids_add(&flat, LIMIT_NO, err);
    }
    if (rc == 0)
        rc = intern_put(&c->key_index, flat.at, flat.n * sizeof *flat.at, ret, err);
    ids_done(&flat);
    return rc;
}

int keys_of(compiler *c, const key_spec *spec, uint32_t at, keys *ret, st_err *err)
{
    uint32_t number, known = c->key_index.n;
    int rc = spec_number(c, spec, &number, err);
    if (rc == 0 && number > known) {
        keys k = {0};
        rc = array_room(&c->keys, number, &c->cap_keys, sizeof *c->keys, err);
        if (rc == 0)
            rc = make(c, spec, at, &k, err);
        if (rc == 0)
            c->keys[number] = k;
    }
    if (rc == 0)
        *ret = c->keys[number];
    return rc;
}
