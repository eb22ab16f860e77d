/* stats/sparse.c - sparse rows. */
#include "stats/sparse.h"

#include "base/mem.h"
#include <string.h>

void sparse_done(sparse *m)
{
    st_free(m->start);
    st_free(m->col);
    st_free(m->val);
    *m = (sparse){0};
}

static int sparse_alloc(sparse *m, uint32_t n_rows, uint32_t n_cols, uint64_t n,
                        st_err *err)
{
    *m = (sparse){.n_rows = n_rows, .n_cols = n_cols};
    m->start = st_zalloc_n((size_t)n_rows + 1, sizeof *m->start);
    m->col = st_alloc_n(n, sizeof *m->col);
    m->val = st_alloc_n(n, sizeof *m->val);
    if (m->start && m->col && m->val)
        return 0;
    sparse_done(m);
    return st_err_set(err, ST_ENOMEM, "sparse rows: out of memory");
}

int sparse_turn(const sparse *m, sparse *ret_turned, st_err *err)
{
    sparse t;
    uint64_t n = m->start[m->n_rows];
    int code = sparse_alloc(&t, m->n_cols, m->n_rows, n, err);
    if (code)
        return code;
    for (uint64_t i = 0; i < n; i++)
        t.start[m->col[i] + 1]++;
    for (uint32_t c = 0; c < m->n_cols; c++)
        t.start[c + 1] += t.start[c];
    /* start[c] walks to the end of its line and is put back by one shift */
    for (uint32_t r = 0; r < m->n_rows; r++)
        for (uint64_t i = m->start[r]; i < m->start[r + 1]; i++) {
            uint64_t at = t.start[m->col[i]]++;
            t.col[at] = r;
            t.val[at] = m->val[i];
        }
    memmove(t.start + 1, t.start, m->n_cols * sizeof *t.start);
    t.start[0] = 0;
    *ret_turned = t;
    return 0;
}

int sparse_pick(const sparse *m, const uint32_t *rows, uint32_t n, sparse *ret_picked,
                st_err *err)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += m->start[rows[i] + 1] - m->start[rows[i]];
    sparse p;
    int code = sparse_alloc(&p, n, m->n_cols, total, err);
    if (code)
        return code;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t from = m->start[rows[i]], len = m->start[rows[i] + 1] - from;
        memcpy(p.col + p.start[i], m->col + from, len * sizeof *p.col);
        memcpy(p.val + p.start[i], m->val + from, len * sizeof *p.val);
        p.start[i + 1] = p.start[i] + len;
    }
    *ret_picked = p;
    return 0;
}
