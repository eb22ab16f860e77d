/* grammar/dfa_names.c - lists of texts as automata: a tree of their bytes.
 *
 * Labels run the names beside other automata.  A node of the names' tree is reached by
 * one text only, so it goes with one state of the others: the tree is laid over their
 * product, each node a copy of that state's row with the ways of the tree put in. */
#include "grammar/dfa.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "grammar/dfa_build.h"
#include "grammar/dfa_product.h"
#include "grammar/intern.h"
#include <string.h>

enum { TREE_BYTES = 40000 }; /* of texts in one tree */

static int check_text(const char *text, size_t len, uint32_t index, st_err *err)
{
    size_t at;
    if (st_utf8_valid(text, len, &at))
        return 0;
    return st_err_set(err, ST_EINVAL, "text %u is not well-formed UTF-8 (byte %zu)",
                      index + 1, at);
}

/* Bytes that occur in a text get a class each; the others keep theirs of `base`. */
static uint32_t split_classes(const char *const *texts, const size_t *lens, uint32_t from,
                              uint32_t to, const uint8_t *base, uint8_t class_of[256])
{
    bool used[256] = {false}, taken[256] = {false};
    uint8_t number[256] = {0};
    uint32_t n_classes = 0;
    for (uint32_t i = from; i < to; i++) {
        for (size_t k = 0; k < lens[i]; k++)
            used[(uint8_t)texts[i][k]] = true;
    }
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t c = base ? base[byte] : 0;
        if (used[byte]) {
            class_of[byte] = (uint8_t)n_classes++;
            continue;
        }
        if (!taken[c]) {
            taken[c] = true;
            number[c] = (uint8_t)n_classes++;
        }
        class_of[byte] = number[c];
    }
    return n_classes;
}

/* The node at the end of a text, made where there is none.  States up to n_base are not
 * of the tree: where one is met, a node with its row takes its place. */
static int add_text(dfa_draft *w, const char *text, size_t len, uint32_t n_base,
                    uint32_t *ret_node, st_err *err)
{
    uint32_t at = w->start;
    for (size_t i = 0; i < len; i++) {
        uint32_t c = w->class_of[(uint8_t)text[i]];
        uint32_t to = dfa_draft_row(w, at)[c];
        if (to <= n_base) {
            uint32_t node;
            int rc = dfa_draft_add(w, w->label[to], &node, err);
            if (rc < 0)
                return rc;
            memcpy(dfa_draft_row(w, node), dfa_draft_row(w, to),
                   w->n_classes * sizeof *w->next);
            dfa_draft_row(w, at)[c] = node;
            to = node;
        }
        at = to;
    }
    *ret_node = at;
    return 0;
}

/* Those from `from` to `to` - 1 as one tree. */
static int tree_of(const char *const *texts, const size_t *lens, uint32_t from,
                   uint32_t to, dfa **ret, st_err *err)
{
    dfa_draft w = {0};
    uint8_t class_of[256];
    uint32_t n_classes = split_classes(texts, lens, from, to, NULL, class_of);
    int rc = dfa_draft_init(&w, class_of, n_classes, err);
    if (!rc)
        rc = dfa_draft_add(&w, 0, &w.start, err);
    for (uint32_t i = from; !rc && i < to; i++) {
        uint32_t node;
        rc = check_text(texts[i], lens[i], i, err);
        if (!rc)
            rc = add_text(&w, texts[i], lens[i], DFA_DEAD, &node, err);
        if (!rc)
            w.label[node] = 1;
    }
    if (!rc)
        rc = dfa_finish(&w, true, ret, err);
    dfa_draft_done(&w);
    return rc;
}

/* A tree of long lists would be far larger than what is left of it when equal ends are
 * put together: halves are made by themselves, then joined. */
static int list_of(const char *const *texts, const size_t *lens, uint32_t from,
                   uint32_t to, dfa **ret, st_err *err)
{
    size_t bytes = 0;
    for (uint32_t i = from; i < to && bytes <= TREE_BYTES; i++)
        bytes += lens[i] <= TREE_BYTES ? lens[i] : TREE_BYTES + 1;
    if (bytes <= TREE_BYTES || to - from < 2)
        return tree_of(texts, lens, from, to, ret, err);
    dfa *half[2] = {NULL, NULL};
    uint32_t middle = from + (to - from) / 2;
    int rc = list_of(texts, lens, from, middle, &half[0], err);
    if (!rc)
        rc = list_of(texts, lens, middle, to, &half[1], err);
    if (!rc)
        rc = dfa_join((const dfa *const *)half, 2, ret, err);
    dfa_free(half[0]);
    dfa_free(half[1]);
    return rc;
}

int dfa_texts(const char *const *texts, const size_t *lens, uint32_t n, dfa **ret,
              st_err *err)
{
    return n ? list_of(texts, lens, 0, n, ret, err) : tree_of(NULL, NULL, 0, 0, ret, err);
}

/* Labels without a name: which parts (all but the last, which is `within`) accept. */
static int label_parts(const dfa_product *p, const uint32_t *states, uint32_t *ret,
                       st_err *err)
{
    uint64_t parts = 0;
    *ret = 0;
    if (p->parts[0]->label[states[0]] == 0)
        return 0;
    for (uint32_t i = 1; i < p->n; i++)
        parts |= (uint64_t)(p->parts[i]->label[states[i]] != 0) << (i - 1);
    return intern_put(p->arg, &parts, sizeof parts, ret, err);
}

/* The parts and `within` together, without names.  sets: label -> parts. */
static int join_parts(const dfa *const *parts, uint32_t n_parts, const dfa *within,
                      intern *sets, dfa **ret, st_err *err)
{
    dfa *any = NULL;
    const dfa **all = st_alloc_n((size_t)n_parts + 1, sizeof *all);
    int rc = all ? 0 : dfa_out_of_memory(err);
    if (!rc && !within)
        rc = dfa_any(&any, err);
    if (!rc) {
        all[0] = within ? within : any;
        for (uint32_t i = 0; i < n_parts; i++)
            all[i + 1] = parts[i];
        dfa_product p = {all, n_parts + 1, 1, false, label_parts, sets};
        rc = dfa_product_make(&p, ret, err);
    }
    st_free(all);
    dfa_free(any);
    return rc;
}

/* `base` as the first states of a draft with finer classes, and the tree's root. */
static int begin_tree(dfa_draft *w, const dfa *base, const uint8_t class_of[256],
                      uint32_t n_classes, st_err *err)
{
    uint32_t state;
    int rc = dfa_draft_init(w, class_of, n_classes, err);
    for (uint32_t s = 1; !rc && s <= base->n_states; s++) {
        uint32_t of = s < base->n_states ? s : base->start;
        rc = dfa_draft_add(w, base->label[of], &state, err);
        for (uint32_t byte = 0; !rc && byte < 256; byte++)
            dfa_draft_row(w, state)[class_of[byte]] = dfa_step(base, of, (uint8_t)byte);
    }
    if (!rc)
        w->start = state;
    return rc;
}

typedef struct labels {
    dfa_label *labels;
    uint32_t n;
} labels;

static int add_names(dfa_draft *w, const dfa *base, const char *const *names,
                     const size_t *lens, uint32_t n, labels *l, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; !rc && i < n; i++) {
        uint32_t node;
        uint32_t at = dfa_run(base, base->start, names[i], lens[i]);
        uint32_t label = base->label[at];
        if (label == 0)
            continue; /* not within */
        rc = add_text(w, names[i], lens[i], base->n_states - 1, &node, err);
        if (!rc && w->label[node] == label) { /* else it is there twice */
            l->labels[l->n++] = (dfa_label){(int32_t)i, l->labels[label - 1].parts};
            w->label[node] = l->n;
        }
    }
    return rc;
}

int dfa_labels(const char *const *names, const size_t *lens, uint32_t n_names,
               const dfa *const *parts, uint32_t n_parts, const dfa *within, dfa **ret,
               dfa_label **ret_labels, uint32_t *ret_n_labels, st_err *err)
{
    intern sets = {0};
    dfa_draft w = {0};
    dfa *base = NULL;
    labels l = {0};
    uint8_t class_of[256];
    if (n_parts > 64)
        return st_err_set(err, ST_ELIMIT, "more than 64 patterns for names");
    int rc = join_parts(parts, n_parts, within, &sets, &base, err);
    if (!rc) {
        l.labels = st_alloc_n((size_t)sets.n + n_names, sizeof *l.labels);
        rc = l.labels ? 0 : dfa_out_of_memory(err);
    }
    if (!rc) {
        for (; l.n < sets.n; l.n++) {
            size_t len;
            uint64_t accept;
            memcpy(&accept, intern_get(&sets, l.n + 1, &len), sizeof accept);
            l.labels[l.n] = (dfa_label){-1, accept};
        }
        uint32_t n_classes =
            split_classes(names, lens, 0, n_names, base->class_of, class_of);
        rc = begin_tree(&w, base, class_of, n_classes, err);
    }
    if (!rc)
        rc = add_names(&w, base, names, lens, n_names, &l, err);
    if (!rc)
        rc = dfa_finish(&w, false, ret, err);
    if (!rc) {
        *ret_labels = l.labels;
        *ret_n_labels = l.n;
        l.labels = NULL;
    }
    st_free(l.labels);
    dfa_draft_done(&w);
    dfa_free(base);
    intern_done(&sets);
    return rc;
}
