/* tokenizer/merge.c - join neighbouring symbols, best pair first.
 *
 * The symbols of a stretch form a list.  Every pair that may join waits in a heap by its
 * order, then by its place; an entry whose symbols have changed since is recognised by
 * its size and dropped.  n symbols cost O(n log n). */
#include "tokenizer/tok_priv.h"

#include "base/mem.h"

enum {
    NO_SYM = UINT32_MAX,
    LEAST_SYMS = 64, /* room that suffices for nearly every word */
    WAYS = 4, /* children of a place in the heap: four entries are one cache line */
};

int merge_begin(tok_run *r, const char *text, size_t max_syms)
{
    r->text = text;
    r->n_syms = 0;
    if (max_syms > r->cap_syms) {
        if (max_syms < LEAST_SYMS)
            max_syms = LEAST_SYMS;
        merge_sym *syms = st_alloc_n(max_syms, sizeof *syms);
        if (!syms)
            return ST_ENOMEM;
        st_free(r->syms);
        r->syms = syms;
        r->cap_syms = max_syms;
    }
    return 0;
}

void merge_add(tok_run *r, uint32_t at, uint32_t len, int32_t id)
{
    uint32_t i = (uint32_t)r->n_syms++;
    r->syms[i] = (merge_sym){at, len, i ? i - 1 : NO_SYM, NO_SYM, id};
    if (i)
        r->syms[i - 1].next = i;
}

/* First by order, then by place. */
static uint64_t key_of(const merge_cand *cand)
{
    return (uint64_t)cand->order << 32 | cand->left;
}

static void sift_down(merge_cand *heap, size_t n, size_t i)
{
    merge_cand moving = heap[i];
    uint64_t key = key_of(&moving);
    for (size_t child; (child = WAYS * i + 1) < n; i = child) {
        size_t end = child + WAYS < n ? child + WAYS : n;
        uint64_t best = key_of(&heap[child]);
        for (size_t k = child + 1; k < end; k++) {
            uint64_t other = key_of(&heap[k]);
            child = other < best ? k : child;
            best = other < best ? other : best;
        }
        if (best >= key)
            break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

static void sift_up(merge_cand *heap, size_t i)
{
    merge_cand moving = heap[i];
    uint64_t key = key_of(&moving);
    while (i && key < key_of(&heap[(i - 1) / WAYS])) {
        heap[i] = heap[(i - 1) / WAYS];
        i = (i - 1) / WAYS;
    }
    heap[i] = moving;
}

/* What the neighbours become, and when: by rank of the pair, or by score of the text. */
static bool may_join(const tok_run *r, const merge_sym *a, const merge_sym *b,
                     merge_cand *ret_cand)
{
    const tok *t = r->t;
    if (t->algo != TOK_SPM) {
        const merge_slot *slot = merges_find(t, a->id, b->id);
        if (!slot)
            return false;
        ret_cand->order = slot->rank;
        ret_cand->id = slot->id;
        return true;
    }
    if (a->len + b->len > t->max_text)
        return false;
    ret_cand->id = vocab_literal(t, r->text + a->at, a->len + b->len);
    if (ret_cand->id < 0)
        return false;
    ret_cand->order = t->pieces[ret_cand->id].order;
    return true;
}

static int queue(tok_run *r, uint32_t left, bool sift)
{
    if (left == NO_SYM || r->syms[left].next == NO_SYM)
        return 0;
    const merge_sym *a = &r->syms[left], *b = &r->syms[a->next];
    merge_cand cand = {.left = left, .size = a->len + b->len};
    if (!may_join(r, a, b, &cand))
        return 0;
    if (r->n_heap == r->cap_heap) {
        size_t cap = r->cap_heap ? 2 * r->cap_heap : 64;
        merge_cand *heap = st_realloc_n(r->heap, cap, sizeof *heap);
        if (!heap)
            return ST_ENOMEM;
        r->heap = heap;
        r->cap_heap = cap;
    }
    r->heap[r->n_heap++] = cand;
    if (sift)
        sift_up(r->heap, r->n_heap - 1);
    return 0;
}

static merge_cand take_first(tok_run *r)
{
    merge_cand first = r->heap[0];
    r->heap[0] = r->heap[--r->n_heap];
    if (r->n_heap)
        sift_down(r->heap, r->n_heap, 0);
    return first;
}

static int join(tok_run *r, const merge_cand *cand)
{
    merge_sym *a = &r->syms[cand->left];
    if (!a->len || a->next == NO_SYM || a->len + r->syms[a->next].len != cand->size)
        return 0; /* one of them has been joined otherwise */
    merge_sym *b = &r->syms[a->next];
    a->len = cand->size;
    a->id = cand->id;
    a->next = b->next;
    if (b->next != NO_SYM)
        r->syms[b->next].prev = cand->left;
    b->len = 0;
    int rc = queue(r, a->prev, true);
    return rc ? rc : queue(r, cand->left, true);
}

int merge_run(tok_run *r)
{
    int rc = 0;
    r->n_heap = 0;
    for (size_t i = 0; !rc && i + 1 < r->n_syms; i++)
        rc = queue(r, (uint32_t)i, false);
    for (size_t i = (r->n_heap + WAYS - 2) / WAYS; i-- > 0;)
        sift_down(r->heap, r->n_heap, i);
    while (!rc && r->n_heap) {
        merge_cand first = take_first(r);
        rc = join(r, &first);
    }
    return rc;
}
