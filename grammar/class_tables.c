/* grammar/class_tables.c - for each lead byte the block of code points that it begins,
 * cut into 64 parts for each byte that follows; equal tables are one. */
#include "grammar/class_tables.h"

#include "base/mem.h"
#include "grammar/gbnf_rules.h"
#include <string.h>

typedef struct builder {
    intern tables;       /* uint16_t[256]; number n is table n + 1 */
    const gbnf_range *x; /* the class */
    size_t n;
    uint16_t full[4]; /* any so many bytes; RULES_DEAD: not made yet */
    st_err *err;
} builder;

typedef struct block { /* code points that some first bytes leave open */
    uint32_t lo, hi;
    uint32_t from; /* those below are written with fewer bytes */
    int more;      /* bytes that follow */
} block;

static int put_table(builder *b, const uint16_t table[256], uint16_t *ret)
{
    uint32_t number;
    int rc = intern_put(&b->tables, table, 256 * sizeof *table, &number, b->err);
    if (rc == 0 && number >= RULES_MAX_TABLES)
        rc = st_err_set(b->err, ST_ELIMIT, "grammar: too many different characters");
    if (rc == 0)
        *ret = (uint16_t)(number + 1);
    return rc;
}

/* The first range that does not end before `lo`; n when there is none. */
static size_t range_at(const builder *b, uint32_t lo)
{
    size_t begin = 0, end = b->n;
    while (begin < end) {
        size_t mid = (begin + end) / 2;
        if (b->x[mid].hi < lo)
            begin = mid + 1;
        else
            end = mid;
    }
    return begin;
}

static int full_table(builder *b, int more, uint16_t *ret)
{
    uint16_t table[256] = {RULES_DEAD}, inner = RULES_DONE;
    int rc = 0;
    if (more > 1)
        rc = full_table(b, more - 1, &inner);
    for (int byte = 0x80; byte < 0xC0; byte++)
        table[byte] = inner;
    if (rc == 0 && b->full[more] == RULES_DEAD)
        rc = put_table(b, table, &b->full[more]);
    *ret = b->full[more];
    return rc;
}

/* Where the bytes behind a block lead.  At most three deep. */
static int table_of(builder *b, block k, uint16_t *ret)
{
    uint16_t table[256] = {RULES_DEAD};
    uint32_t lo = k.lo > k.from ? k.lo : k.from;
    uint32_t part = k.more > 0 ? 1u << 6 * (k.more - 1) : 0;
    size_t i = range_at(b, lo);
    int rc = 0;
    *ret = RULES_DEAD;
    if (k.hi < lo || i == b->n || b->x[i].lo > k.hi)
        return 0;
    *ret = RULES_DONE;
    if (k.more == 0)
        return 0;
    if (b->x[i].lo <= k.lo && b->x[i].hi >= k.hi && k.from <= k.lo)
        return full_table(b, k.more, ret);
    for (uint32_t byte = 0; rc == 0 && byte < 64; byte++) {
        uint32_t begin = k.lo + byte * part;
        block inner = {begin, begin + part - 1, k.from, k.more - 1};
        rc = table_of(b, inner, &table[0x80 + byte]);
    }
    return rc < 0 ? rc : put_table(b, table, ret);
}

static int root_of(builder *b, uint16_t *ret)
{
    static const struct {
        unsigned first, last, mask, from;
        int more;
    } leads[] = {{0x00, 0x7F, 0x7F, 0, 0},
                 {0xC2, 0xDF, 0x1F, 0x80, 1},
                 {0xE0, 0xEF, 0x0F, 0x800, 2},
                 {0xF0, 0xF4, 0x07, 0x10000, 3}};
    uint16_t table[256] = {RULES_DEAD};
    int rc = 0;
    for (size_t i = 0; i < ST_COUNT(leads); i++) {
        int shift = 6 * leads[i].more;
        for (unsigned byte = leads[i].first; rc == 0 && byte <= leads[i].last; byte++) {
            uint32_t lo = (byte & leads[i].mask) << shift;
            block k = {lo, lo + (1u << shift) - 1, leads[i].from, leads[i].more};
            rc = table_of(b, k, &table[byte]);
        }
    }
    return rc < 0 ? rc : put_table(b, table, ret);
}

int class_tables(const gbnf *g, uint16_t **ret_next, uint16_t **ret_roots, st_err *err)
{
    builder b = {.err = err};
    uint16_t *roots = st_zalloc_n((size_t)g->classes.n + 1, sizeof *roots);
    uint16_t *next = NULL;
    int rc = roots ? 0 : ST_ENOMEM;
    for (uint32_t i = 1; rc == 0 && i <= g->classes.n; i++) {
        b.x = gbnf_class(g, i, &b.n);
        rc = root_of(&b, &roots[i]);
    }
    if (rc == 0) {
        next = st_zalloc_n(((size_t)b.tables.n + 2) * 256, sizeof *next);
        rc = next ? 0 : ST_ENOMEM;
    }
    for (uint32_t i = 1; rc == 0 && i <= b.tables.n; i++) {
        size_t size;
        const void *table = intern_get(&b.tables, i, &size);
        memcpy(next + ((size_t)i + 1) * 256, table, size);
    }
    intern_done(&b.tables);
    if (rc < 0) {
        st_free(roots);
        return st_err_set(err, rc, "grammar: out of memory for its characters");
    }
    *ret_next = next;
    *ret_roots = roots;
    return 0;
}
