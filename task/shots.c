/* task/shots.c - which examples are shown to a model beside an input.
 *
 * An example is a vector of unit length, sparse (words) or dense (an encoder's); nearness
 * is the product of two.  A sparse input is spread out over all features once, so that
 * each example costs its own few numbers. */
#include "task/shots.h"

#include <string.h>

#include "base/mem.h"

enum {
    MOST_FEATURES = 1 << 16,
    BATCH = 16,
    FIXED_ROWS = 500, /* among so many are fixed ones picked, evenly spread */
};

struct shots {
    shots_way way;
    uint32_t n;
    lm *encoder;
    uint32_t d;                /* numbers of a dense vector */
    float *dense;              /* [n, d] of an encoder */
    words_model words;         /* features; the rest of it is not used */
    sparse rows;               /* [n, features] */
    float *input;              /* [d or features] of the input at hand */
    float *near;               /* [n] */
    uint32_t fixed[SHOTS_MAX]; /* in the order they were picked */
    uint32_t n_fixed;
};

const char *shots_way_name(shots_way way)
{
    static const char *const names[] = {
        [SHOTS_FIXED] = "fixed",
        [SHOTS_WORDS] = "words",
        [SHOTS_MODEL] = "model",
    };
    return names[way];
}

/* ---- vectors ---- */

static int encode(const shots *s, const words_text *text, tok_ids *ids, st_err *err)
{
    uint32_t most = engine_n_ctx(s->encoder->engine);
    int rc = tok_encode(s->encoder->tok, text->text, text->len, TOK_ADD, ids, err);
    if (rc == 0 && ids->n > most)
        ids->n = most;
    return rc;
}

static int embed_some(const shots *s, engine *e, const words_text *texts, uint32_t n,
                      float *ret, st_err *err)
{
    tok_ids ids[BATCH] = {{0}};
    const int32_t *lists[BATCH];
    uint32_t lens[BATCH];
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        rc = encode(s, &texts[i], &ids[i], err);
        lists[i] = ids[i].ids;
        lens[i] = (uint32_t)ids[i].n;
    }
    if (rc == 0)
        rc = engine_embed(e, lists, lens, n, ret, err);
    for (uint32_t i = 0; i < n; i++)
        tok_ids_done(&ids[i]);
    return rc;
}

/* On an engine of its own: the model may be in use by the thread that owns the other. */
static int embed_all(shots *s, const words_text *texts, st_err *err)
{
    engine *shared = s->encoder->engine, *own = NULL;
    const engine_opts how = {.n_threads = workers_count(engine_workers(shared)),
                             .n_ctx = engine_n_ctx(shared),
                             .kv_best = true};
    s->d = model_about(s->encoder->model)->n_embd;
    s->dense = st_alloc_n(s->n, s->d * sizeof *s->dense);
    s->input = st_zalloc_n(s->d, sizeof *s->input);
    if (!s->dense || !s->input)
        return st_err_set(err, ST_ENOMEM, "no memory for %u examples", s->n);
    int rc = engine_new(s->encoder->model, &how, &own, err);
    for (uint32_t i = 0; i < s->n && rc == 0; i += BATCH) {
        uint32_t n = s->n - i < BATCH ? s->n - i : BATCH;
        rc = embed_some(s, own, texts + i, n, s->dense + (size_t)i * s->d, err);
    }
    engine_free(own);
    return rc;
}

static int count_words(shots *s, const words_text *texts, st_err *err)
{
    int rc = words_choose(texts, s->n, 1, MOST_FEATURES, &s->words, err);
    if (rc == 0)
        rc = words_rows(&s->words, texts, s->n, &s->rows, err);
    if (rc)
        return rc;
    s->input = st_zalloc_n((size_t)s->words.n + 1, sizeof *s->input);
    return s->input ? 0 : st_err_set(err, ST_ENOMEM, "no memory for examples");
}

/* How near every step-th example is to a sparse vector. */
static void near_sparse(shots *s, const uint32_t *cols, const float *vals, uint64_t n,
                        uint32_t step)
{
    for (uint64_t k = 0; k < n; k++)
        s->input[cols[k]] = vals[k];
    for (uint32_t i = 0; i < s->n; i += step) {
        float sum = 0;
        for (uint64_t k = s->rows.start[i]; k < s->rows.start[i + 1]; k++)
            sum += s->rows.val[k] * s->input[s->rows.col[k]];
        s->near[i] = sum;
    }
    for (uint64_t k = 0; k < n; k++)
        s->input[cols[k]] = 0;
}

static int near_input(shots *s, const words_text *text, st_err *err)
{
    sparse row = {0};
    int rc;
    if (s->way == SHOTS_MODEL) {
        rc = embed_some(s, s->encoder->engine, text, 1, s->input, err);
        for (uint32_t i = 0; i < s->n && rc == 0; i++) {
            s->near[i] = 0;
            for (uint32_t k = 0; k < s->d; k++)
                s->near[i] += s->dense[(size_t)i * s->d + k] * s->input[k];
        }
        return rc;
    }
    rc = words_rows(&s->words, text, 1, &row, err);
    if (rc == 0)
        near_sparse(s, row.col, row.val, row.start[1], 1);
    sparse_done(&row);
    return rc;
}

/* ---- fixed ones ---- */

/* How much nearer the examples come when row `c` is picked too; `best` [n] as it is. */
static double gain(shots *s, uint32_t c, uint32_t step, const float *best)
{
    double sum = 0;
    uint64_t from = s->rows.start[c];
    near_sparse(s, s->rows.col + from, s->rows.val + from, s->rows.start[c + 1] - from,
                step);
    for (uint32_t i = 0; i < s->n; i += step)
        sum += s->near[i] > best[i] ? (double)(s->near[i] - best[i]) : 0;
    return sum;
}

static uint32_t pick_best(shots *s, uint32_t step, const float *best)
{
    double most = 0;
    uint32_t pick = UINT32_MAX;
    for (uint32_t c = 0; c < s->n; c += step) {
        double more = gain(s, c, step, best);
        if (more > most) {
            most = more;
            pick = c;
        }
    }
    return pick;
}

static int pick_fixed(shots *s, st_err *err)
{
    uint32_t step = s->n / FIXED_ROWS + 1;
    uint32_t pick;
    float *best = st_zalloc_n(s->n, sizeof *best);
    if (!best)
        return st_err_set(err, ST_ENOMEM, "no memory for examples");
    while (s->n_fixed < SHOTS_MAX && (pick = pick_best(s, step, best)) != UINT32_MAX) {
        (void)gain(s, pick, step, best);
        for (uint32_t i = 0; i < s->n; i += step)
            best[i] = s->near[i] > best[i] ? s->near[i] : best[i];
        s->fixed[s->n_fixed++] = pick;
    }
    st_free(best);
    return 0;
}

/* ---- the door ---- */

int shots_new(const words_text *texts, uint32_t n, shots_way way, lm *encoder,
              shots **ret_shots, st_err *err)
{
    shots *s = st_zalloc_n(1, sizeof *s);
    if (!s)
        return st_err_set(err, ST_ENOMEM, "no memory for examples");
    s->way = way;
    s->n = n;
    s->encoder = encoder;
    s->near = st_alloc_n(n, sizeof *s->near);
    int rc = s->near ? 0 : st_err_set(err, ST_ENOMEM, "no memory for examples");
    if (rc == 0)
        rc = way == SHOTS_MODEL ? embed_all(s, texts, err) : count_words(s, texts, err);
    if (rc == 0 && way == SHOTS_FIXED)
        rc = pick_fixed(s, err);
    if (rc) {
        shots_free(s);
        return rc;
    }
    *ret_shots = s;
    return 0;
}

void shots_free(shots *s)
{
    if (!s)
        return;
    sparse_done(&s->rows);
    st_free(s->words.feature);
    st_free(s->words.idf);
    st_free(s->dense);
    st_free(s->input);
    st_free(s->near);
    st_free(s);
}

/* The k nearest, the nearest last; the earlier example first where two are alike. */
static uint32_t take_nearest(const shots *s, uint32_t k, uint32_t skip, uint32_t *rows)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if (i == skip || (n == k && !(s->near[i] > s->near[rows[0]])))
            continue;
        if (n == k)
            memmove(rows, rows + 1, --n * sizeof *rows);
        uint32_t at = n++;
        while (at > 0 && !(s->near[i] > s->near[rows[at - 1]])) {
            rows[at] = rows[at - 1];
            at--;
        }
        rows[at] = i;
    }
    return n;
}

int shots_find(shots *s, const char *text, size_t len, uint32_t k, uint32_t skip,
               uint32_t ret_rows[SHOTS_MAX], uint32_t *ret_n, st_err *err)
{
    const words_text one = {text, len};
    uint32_t rows[SHOTS_MAX];
    uint32_t n = 0;
    k = k < SHOTS_MAX ? k : SHOTS_MAX;
    if (s->way == SHOTS_FIXED) {
        for (uint32_t i = 0; i < s->n_fixed && n < k; i++)
            if (s->fixed[i] != skip)
                rows[n++] = s->fixed[i];
    } else if (k > 0) {
        int rc = near_input(s, &one, err);
        if (rc)
            return rc;
        n = take_nearest(s, k, skip, rows);
    }
    memcpy(ret_rows, rows, n * sizeof *rows);
    *ret_n = n;
    return 0;
}
