/* bench/texts.c - short texts in batches: the states that a fitted head reads, and
 * embeddings.
 *
 * A head on a decoder reads the middle layer, where states say most; a head on an encoder
 * reads its last. */
#include "bench/row.h"

#include "base/clock.h"
#include "base/mem.h"

enum {
    HEAD_TEXTS = 64,
    HEAD_TOKENS = 20,
    EMBED_TEXTS = 32,
    EMBED_TOKENS = 32,
};

typedef struct texts {
    uint32_t n;
    uint32_t layers;
    const int32_t *ids[HEAD_TEXTS];
    uint32_t n_ids[HEAD_TEXTS];
    step_states want[HEAD_TEXTS];
    float *vectors; /* [n, n_embd] */
} texts;

static int start(bench *b, uint32_t n, uint32_t n_tokens, void **ret_state, st_err *err)
{
    const model_info *info = b->info;
    texts *t = st_zalloc_n(1, sizeof *t);
    if (!t)
        return st_err_set(err, ST_ENOMEM, "no memory for texts");
    *ret_state = t;
    t->n = n;
    t->layers = info->causal ? (info->n_layers + 1) / 2 : info->n_layers;
    t->vectors = st_alloc_n((size_t)n * info->n_embd, sizeof *t->vectors);
    if (!t->vectors)
        return st_err_set(err, ST_ENOMEM, "no memory for vectors");
    for (uint32_t i = 0; i < n; i++) {
        t->ids[i] = b->tokens + i * n_tokens;
        t->n_ids[i] = n_tokens;
        t->want[i] = (step_states){.first_layer = t->layers,
                                   .last_layer = t->layers,
                                   .ret_mean = t->vectors + (size_t)i * info->n_embd};
    }
    return 0;
}

static int start_heads(bench *b, void **ret_state, st_err *err)
{
    return start(b, HEAD_TEXTS, HEAD_TOKENS, ret_state, err);
}

static int start_embed(bench *b, void **ret_state, st_err *err)
{
    return start(b, EMBED_TEXTS, EMBED_TOKENS, ret_state, err);
}

static bench_work work_of(const bench *b, const texts *t, uint32_t layers, uint64_t begin)
{
    double share = (double)layers / b->info->n_layers;
    return (bench_work){
        .us = (double)(st_clock_us() - begin),
        .count = t->n,
        .macs = share * t->n * t->n_ids[0] * (double)b->info->macs_per_token,
        .bytes = share * (double)b->info->token_bytes,
    };
}

static int run_heads(bench *b, void *state, bench_work *ret_work, st_err *err)
{
    texts *t = state;
    uint64_t begin = st_clock_us();
    int rc = engine_states(b->engine, t->ids, t->n_ids, t->want, t->n, err);
    *ret_work = work_of(b, t, t->layers, begin);
    return rc;
}

static int run_embed(bench *b, void *state, bench_work *ret_work, st_err *err)
{
    texts *t = state;
    uint64_t begin = st_clock_us();
    int rc = engine_embed(b->engine, t->ids, t->n_ids, t->n, t->vectors, err);
    *ret_work = work_of(b, t, b->info->n_layers, begin);
    return rc;
}

static void end(void *state)
{
    texts *t = state;
    if (t)
        st_free(t->vectors);
    st_free(t);
}

static bool fits_any(const bench *b)
{
    return b->info->n_layers > 0;
}

static bool fits_pooling(const bench *b)
{
    return b->info->pooling != MODEL_POOL_NONE;
}

const bench_row bench_heads = {"heads",     "texts_per_s", fits_any,
                               start_heads, run_heads,     end};
const bench_row bench_embed = {"embed",     "texts_per_s", fits_pooling,
                               start_embed, run_embed,     end};
