/* grammar/regex_atoms.c - cuts all characters at the edges of the pattern's sets, then
 * puts the stretches together that the same sets hold. */
#include "grammar/regex_atoms.h"

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_MARKS = 1 << 22 }; /* stretches times 32-bit words of sets */

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Word characters, when the pattern asks where words begin, are one more set. */
static int word_set(const regex_tree *t, code_set *ret, st_err *err)
{
    int rc = t->words ? code_set_class(ret, 'w', err) : 0;
    code_set_settle(ret);
    return rc;
}

static const code_range *ranges_of(const regex_tree *t, const code_set *word,
                                   uint32_t set, uint32_t *ret_n)
{
    if (set <= t->sets.n)
        return regex_set(t, set, ret_n);
    *ret_n = word->n;
    return word->ranges;
}

static int find_cuts(const regex_tree *t, const code_set *word, regex_atoms *a,
                     st_err *err)
{
    size_t n = 4, n_ranges;
    for (uint32_t set = 1; set <= t->sets.n + 1; set++) {
        uint32_t more;
        ranges_of(t, word, set, &more);
        n += 2 * (size_t)more;
    }
    uint32_t *cuts = a->cuts = st_alloc_n(n, sizeof *cuts);
    if (!cuts)
        return st_err_set(err, ST_ENOMEM, "out of memory for a pattern");
    n = 0;
    cuts[n++] = 0;
    cuts[n++] = CODE_SURROGATE;
    cuts[n++] = CODE_AFTER_SURROGATES;
    cuts[n++] = CODE_MAX + 1;
    for (uint32_t set = 1; set <= t->sets.n + 1; set++) {
        uint32_t more;
        const code_range *r = ranges_of(t, word, set, &more);
        for (n_ranges = 0; n_ranges < more; n_ranges++) {
            cuts[n++] = r[n_ranges].lo;
            cuts[n++] = r[n_ranges].hi + 1;
        }
    }
    qsort(cuts, n, sizeof *cuts, ascending);
    uint32_t kept = 1;
    for (size_t i = 1; i < n; i++) {
        if (cuts[i] != cuts[kept - 1])
            cuts[kept++] = cuts[i];
    }
    a->n_cuts = kept - 1;
    return 0;
}

static uint32_t cut_at(const regex_atoms *a, uint32_t code)
{
    uint32_t *at = bsearch(&code, a->cuts, a->n_cuts + 1, sizeof code, ascending);
    return (uint32_t)(at - a->cuts);
}

/* marks[i, set / 32]: stretch i is in the set. */
static void mark_sets(const regex_tree *t, const code_set *word, const regex_atoms *a,
                      uint32_t *marks, size_t words)
{
    for (uint32_t set = 1; set <= t->sets.n + 1; set++) {
        uint32_t n;
        const code_range *r = ranges_of(t, word, set, &n);
        for (uint32_t k = 0; k < n; k++) {
            uint32_t end = cut_at(a, r[k].hi + 1);
            for (uint32_t i = cut_at(a, r[k].lo); i < end; i++)
                marks[i * words + set / 32] |= 1u << set % 32;
        }
    }
}

/* Stretches with equal marks are one atom. */
static int number_atoms(regex_atoms *a, const uint32_t *marks, size_t words,
                        intern *known, st_err *err)
{
    for (uint32_t i = 0; i < a->n_cuts; i++) {
        uint32_t number;
        if (a->cuts[i] == CODE_SURROGATE) {
            a->atom[i] = REGEX_NO_ATOM;
            continue;
        }
        int rc =
            intern_put(known, marks + i * words, words * sizeof *marks, &number, err);
        if (rc < 0)
            return rc;
        a->atom[i] = number - 1;
    }
    a->n = known->n;
    return 0;
}

/* The next set from `set` on that holds an atom, or past the last. */
static uint32_t next_set(const uint32_t *marks, size_t words, uint32_t set)
{
    for (size_t i = set / 32; i < words; i++, set = (uint32_t)i * 32) {
        uint32_t left = marks[i] >> set % 32;
        if (left)
            return set + (uint32_t)__builtin_ctz(left);
    }
    return UINT32_MAX;
}

static int list_atoms(regex_atoms *a, const intern *known, uint32_t n_sets, st_err *err)
{
    size_t n = 0, len;
    a->begin = st_zalloc_n((size_t)n_sets + 3, sizeof *a->begin);
    a->word = st_zalloc_n(a->n, sizeof *a->word);
    if (!a->begin || !a->word)
        return st_err_set(err, ST_ENOMEM, "out of memory for a pattern");
    for (uint32_t atom = 0; atom < a->n; atom++) {
        const uint32_t *marks = intern_get(known, atom + 1, &len);
        size_t words = len / sizeof *marks;
        uint32_t set = next_set(marks, words, 0);
        for (; set != UINT32_MAX; set = next_set(marks, words, set + 1), n++) {
            a->begin[set]++;
            a->word[atom] = set > n_sets;
        }
    }
    a->list = st_alloc_n(n, sizeof *a->list);
    if (!a->list)
        return st_err_set(err, ST_ENOMEM, "out of memory for a pattern");
    for (uint32_t set = 1; set <= n_sets + 2; set++)
        a->begin[set] += a->begin[set - 1];
    for (uint32_t atom = a->n; atom-- > 0;) { /* each set's from its last to its first */
        const uint32_t *marks = intern_get(known, atom + 1, &len);
        size_t words = len / sizeof *marks;
        uint32_t set = next_set(marks, words, 0);
        for (; set != UINT32_MAX; set = next_set(marks, words, set + 1))
            a->list[--a->begin[set]] = atom;
    }
    return 0;
}

int regex_atoms_make(const regex_tree *t, regex_atoms *ret, st_err *err)
{
    regex_atoms a = {0};
    code_set word = {0};
    intern known = {0};
    uint32_t *marks = NULL;
    size_t words = t->sets.n / 32 + 1 + 1;
    int rc = word_set(t, &word, err);
    if (!rc)
        rc = find_cuts(t, &word, &a, err);
    if (!rc && a.n_cuts * words > MAX_MARKS)
        rc = st_err_set(err, ST_ELIMIT, "the pattern has too many different sets");
    if (!rc) {
        marks = st_zalloc_n(a.n_cuts, words * sizeof *marks);
        a.atom = st_alloc_n(a.n_cuts, sizeof *a.atom);
        if (!marks || !a.atom)
            rc = st_err_set(err, ST_ENOMEM, "out of memory for a pattern");
    }
    if (!rc) {
        mark_sets(t, &word, &a, marks, words);
        rc = number_atoms(&a, marks, words, &known, err);
    }
    if (!rc)
        rc = list_atoms(&a, &known, t->sets.n, err);
    code_set_done(&word);
    intern_done(&known);
    st_free(marks);
    if (rc < 0)
        regex_atoms_done(&a);
    else
        *ret = a;
    return rc;
}

void regex_atoms_done(regex_atoms *a)
{
    st_free(a->cuts);
    st_free(a->atom);
    st_free(a->begin);
    st_free(a->list);
    st_free(a->word);
    *a = (regex_atoms){0};
}
