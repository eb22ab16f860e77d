/* model/model.c - a loaded model: loading by family, one forward pass. */
#include "model/model.h"

#include "base/mem.h"
#include "model/adapter.h"
#include "model/families.h"
#include "model/layer.h"
#include <math.h>
#include <string.h>

int model_load(const gguf *g, const model_opts *opts, model **ret_model, st_err *err)
{
    const kern *kernels = opts ? opts->kernels : NULL;
    const family *f;
    gguf_str arch;
    int rc = gguf_string(g, "general.architecture", &arch, err);
    if (rc)
        return rc == ST_ENOTFOUND ? ST_EFORMAT : rc;
    rc = family_find(arch, &f, err);
    if (!rc && !kernels)
        rc = kern_best(&kernels, err);
    return rc ? rc : load_model(g, f, opts, kernels, ret_model, err);
}

void model_free(model *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; m->layers && i < m->info.n_layers; i++) {
        if (m->layers[i].moe)
            st_free(m->layers[i].moe->experts);
        st_free(m->layers[i].moe);
    }
    st_free(m->layers);
    rope_done(&m->ropes[0]);
    rope_done(&m->ropes[1]);
    packed_done(&m->weights);
    st_free(m->name);
    st_free(m);
}

const model_info *model_about(const model *m)
{
    return &m->info;
}

size_t model_kv_page_bytes(const model *m, st_dtype kv_type)
{
    if (kv_type != ST_F32 && kv_type != ST_F16 && kv_type != ST_Q8_0)
        return 0;
    return m->kv_page[kv_kind(kv_type)];
}

/* ---- what a batch must hold ---- */

/* Ancestors of a node of a span's tree. */
static uint32_t tree_depth(const model_span *span, uint32_t node)
{
    uint32_t depth = 0;
    for (int32_t p = span->parents[node]; p >= 0; p = span->parents[p])
        depth++;
    return depth;
}

/* Also finds the positions that the tree's deepest token needs. */
static int check_parents(const model_work *wk, const model_span *span, uint32_t s,
                         uint64_t *ret_end, st_err *err)
{
    uint32_t n = span->n_tree + span->n, deepest = 0;
    for (uint32_t i = 0; i < n; i++)
        if (span->parents[i] < -1 || span->parents[i] >= (int64_t)i)
            return st_err_set(err, ST_EINVAL,
                              "span %u: parent %d of token %u is not an "
                              "earlier token",
                              s, span->parents[i], i);
    for (uint32_t i = span->n_tree; i < n; i++) {
        uint32_t depth = tree_depth(span, i);
        deepest = depth > deepest ? depth : deepest;
    }
    if (deepest >= wk->max_tokens)
        return st_err_set(err, ST_ELIMIT, "span %u: a tree %u tokens deep, room for %u",
                          s, deepest + 1, wk->max_tokens);
    *ret_end = (uint64_t)span->start + deepest + 1;
    return 0;
}

static int check_span(const model *m, const model_work *wk, const model_span *span,
                      uint32_t s, st_err *err)
{
    uint64_t end = (uint64_t)span->start + span->n;
    if (span->n == 0 || end + span->n_tree > INT32_MAX)
        return st_err_set(err, ST_EINVAL, "span %u: %u tokens after %u", s, span->n,
                          span->start);
    if (span->n_tree && !span->parents)
        return st_err_set(err, ST_EINVAL, "span %u: a chain goes on with a tree", s);
    int rc = span->parents ? check_parents(wk, span, s, &end, err) : 0;
    if (rc < 0)
        return rc;
    if (m->positions.data && end > m->positions.rows)
        return st_err_set(err, ST_ELIMIT,
                          "span %u: %llu tokens, but the model has %u "
                          "positions",
                          s, (unsigned long long)end, m->positions.rows);
    if (span->adapter && adapter_model(span->adapter) != m)
        return st_err_set(err, ST_EINVAL, "span %u: an adapter of another model", s);
    if (span->parents && !m->info.causal)
        return st_err_set(err, ST_EINVAL, "span %u: an encoder reads no token tree", s);
    for (uint32_t i = 0; i < span->n; i++)
        if (span->tokens[i] < 0 || (uint32_t)span->tokens[i] >= m->info.n_vocab)
            return st_err_set(err, ST_EINVAL,
                              "span %u: token %u is %d, the vocabulary has "
                              "%u",
                              s, i, span->tokens[i], m->info.n_vocab);
    return 0;
}

static int check_batch(const model *m, const model_work *wk, const model_kv *kv,
                       const model_batch *b, uint32_t *ret_n, st_err *err)
{
    uint64_t n = 0;
    if (model_kv_page_bytes(m, kv->type) == 0)
        return st_err_set(err, ST_EINVAL,
                          "this model's keys and values are not kept in that type");
    if (b->n_layers > m->info.n_layers)
        return st_err_set(err, ST_EINVAL, "%u layers asked, the model has %u",
                          b->n_layers, m->info.n_layers);
    if (b->n_out && b->n_layers && b->n_layers < m->info.n_layers)
        return st_err_set(err, ST_EINVAL, "final states need all %u layers",
                          m->info.n_layers);
    for (uint32_t s = 0; s < b->n_spans; s++) {
        int rc = check_span(m, wk, &b->spans[s], s, err);
        if (rc)
            return rc;
        n += b->spans[s].n;
    }
    if (n > wk->max_tokens)
        return st_err_set(err, ST_ELIMIT, "a batch of %llu tokens, room for %u",
                          (unsigned long long)n, wk->max_tokens);
    for (uint32_t i = 0; i < b->n_out; i++)
        if (b->out_rows[i] >= n)
            return st_err_set(err, ST_EINVAL, "output row %u of a batch of %llu tokens",
                              b->out_rows[i], (unsigned long long)n);
    *ret_n = (uint32_t)n;
    return 0;
}

/* ---- one pass ---- */

/* Where each token stands; the position of a tree's token is its depth. */
static void place_tokens(pass *p)
{
    token_at *at = p->wk->at;
    for (uint32_t s = 0; s < p->batch->n_spans; s++) {
        const model_span *span = &p->batch->spans[s];
        for (uint32_t i = 0; i < span->n; i++) {
            uint32_t after = span->parents ? tree_depth(span, span->n_tree + i) : i;
            uint32_t position = span->start + after;
            at[i] = (token_at){.span = s, .i = i, .position = position};
        }
        at += span->n;
        p->adapted = p->adapted || span->adapter;
    }
}

/* Nobody looks at the last layer's output of the other tokens. */
static void list_final(pass *p)
{
    token_at *at = p->wk->at;
    p->n_live = p->n;
    if (p->batch->tap)
        return;
    p->final = p->wk->final;
    for (uint32_t i = 0; i < p->batch->n_out; i++)
        at[p->batch->out_rows[i]].wanted = true;
    for (uint32_t t = 0; t < p->n; t++)
        if (at[t].wanted)
            p->wk->final[p->n_final++] = t;
}

static void add_row(const pass *p, const kmat *w, uint32_t row, float *x, float *spare)
{
    p->m->kern->row(w, row, spare);
    p->m->kern->add(x, spare, p->m->info.n_embd);
}

static void embed_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const pass *p = arg;
    const model *m = p->m;
    uint32_t n_embd = m->info.n_embd;
    (void)worker;
    for (uint32_t t = row0; t < row1; t++) {
        const token_at *at = &p->wk->at[t];
        float *x = p->wk->x + (size_t)t * n_embd,
              *spare = p->wk->h_rows + (size_t)t * n_embd;
        m->kern->row(&m->embd, (uint32_t)p->batch->spans[at->span].tokens[at->i], x);
        if (m->embd_scale != 1.0f)
            for (uint32_t i = 0; i < n_embd; i++)
                x[i] *= m->embd_scale;
        if (m->types.data)
            add_row(p, &m->types, 0, x, spare);
        if (m->positions.data)
            add_row(p, &m->positions, at->position, x, spare);
        if (m->embd_norm.w)
            layer_norm_row(m, &m->embd_norm, x, n_embd, x);
        for (unsigned i = 0; i < 2; i++) {
            const rope *r = &m->ropes[i];
            size_t place = ((size_t)i * p->wk->max_tokens + t) * p->wk->rope_width;
            rope_at(r, at->position, p->wk->cos + place, p->wk->sin + place);
        }
    }
}

static void final_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const pass *p = arg;
    uint32_t n_embd = p->m->info.n_embd;
    (void)worker;
    for (uint32_t i = row0; i < row1; i++) {
        const float *x = p->wk->x + (size_t)p->batch->out_rows[i] * n_embd;
        float *y = p->batch->ret_hidden + (size_t)i * n_embd;
        if (p->m->out_norm.w)
            layer_norm_row(p->m, &p->m->out_norm, x, n_embd, y);
        else
            memcpy(y, x, n_embd * sizeof *y);
    }
}

static void tap_norm_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const pass *p = arg;
    uint32_t n_embd = p->m->info.n_embd;
    (void)worker;
    for (uint32_t t = row0; t < row1; t++)
        layer_norm_row(p->m, &p->m->out_norm, p->wk->x + (size_t)t * n_embd, n_embd,
                       p->wk->h_rows + (size_t)t * n_embd);
}

static void tap_after(pass *p, uint32_t n_done)
{
    const model_batch *b = p->batch;
    const float *x = p->wk->x;
    if (!b->tap)
        return;
    if (!p->m->info.causal && n_done == p->m->info.n_layers && p->m->out_norm.w) {
        work_rows(p->wk, p->n, tap_norm_rows, p);
        x = p->wk->h_rows;
    }
    b->tap(b->tap_arg, n_done, x, p->n);
}

int model_forward(const model *m, model_work *work, const model_kv *kv,
                  const model_batch *batch, st_err *err)
{
    pass p = {.m = m, .wk = work, .kv = kv, .batch = batch};
    uint32_t n_layers = batch->n_layers ? batch->n_layers : m->info.n_layers;
    int rc = check_batch(m, work, kv, batch, &p.n, err);
    if (rc)
        return rc;
    place_tokens(&p);
    list_final(&p);
    work_rows(work, p.n, embed_rows, &p);
    tap_after(&p, 0);
    layer_enter(&p, m->layers);
    for (uint32_t i = 0; i < n_layers; i++) {
        layer_run(&p, &m->layers[i], i + 1 < n_layers ? &m->layers[i + 1] : NULL);
        tap_after(&p, i + 1);
    }
    work_rows(work, batch->n_out, final_rows, &p);
    return 0;
}
