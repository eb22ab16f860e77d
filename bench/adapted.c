/* bench/adapted.c - sixteen streams with ten adapters beside the same without.
 *
 *   bench_adapted MODEL.gguf [RANK [F32|F16|BF16 [THREADS [PARTS]]]]
 *
 * The adapters have drawn factors for the matrices of every layer whose names are among
 * PARTS ("attn_q,attn_v"; all that can be adapted).  Rounds of 32 steps alternate;
 * printed are the median round of each kind and their ratio, and that of the best rounds
 * of processor time, which other programs on the machine disturb less. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "gguf/encode.h"
#include "model/adapter.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STREAMS = 16, ADAPTERS = 10, PROMPT = 24, STEPS = 16, ROUNDS = 3, MOST = 4096 };
static const char every[] =
    "attn_q,attn_k,attn_v,attn_output,attn_qkv,ffn_gate,ffn_up,ffn_down";

typedef struct bed {
    model *m;
    engine *e;
    adapter *adapters[ADAPTERS];
    seq *plain[STREAMS], *adapted[STREAMS];
    int32_t tokens[PROMPT + STREAMS + STEPS];
} bed;

typedef struct factors { /* one adapter while it is written */
    gguf_writer *w;
    void *data[MOST];
    size_t n;
    st_rng rng;
    st_dtype type;
} factors;

static bool is_part(const char *name, const char *parts)
{
    char part[64];
    unsigned il;
    int end = 0;
    if (sscanf(name, "blk.%u.%63[a-z_].weight%n", &il, part, &end) != 2 || !end ||
        name[end])
        return false;
    size_t n = strlen(part);
    for (const char *at = parts; at; at = strchr(at, ','), at += at ? 1 : 0)
        if (strncmp(at, part, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    return false;
}

static int factor_put(factors *f, const char *tensor, const char *end, uint64_t cols,
                      uint64_t rows, st_err *err)
{
    char name[128];
    const uint64_t dims[] = {cols, rows};
    size_t n = cols * rows, bytes;
    float *x = st_alloc_n(n, sizeof *x);
    void *data = st_dtype_size(f->type, n, &bytes) ? st_alloc(bytes) : NULL;
    int rc = x && data && f->n < MOST ? 0 : st_err_set(err, ST_ENOMEM, "no memory");
    for (size_t i = 0; rc == 0 && i < n; i++)
        x[i] = (float)(st_rng_unit(&f->rng) - 0.5) / 64;
    if (rc == 0)
        rc = encode_floats(f->type, x, n, data, err);
    st_free(x);
    if (rc < 0) {
        st_free(data);
        return rc;
    }
    f->data[f->n++] = data;
    snprintf(name, sizeof name, "%s%s", tensor, end);
    return gguf_put_tensor(f->w, name, f->type, dims, 2, data, err);
}

static int adapter_write(const gguf *g, const char *path, uint32_t rank,
                         const char *parts, factors *f, st_err *err)
{
    int rc = gguf_writer_new(&f->w, err);
    if (rc == 0)
        rc = gguf_put_string(f->w, "general.type", "adapter", 7, err);
    if (rc == 0)
        rc = gguf_put_string(f->w, "adapter.type", "lora", 4, err);
    for (size_t i = 0; rc == 0 && i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (!is_part(t->name, parts))
            continue;
        rc = factor_put(f, t->name, ".lora_a", t->dims[0], rank, err);
        if (rc == 0)
            rc = factor_put(f, t->name, ".lora_b", rank, t->dims[1], err);
    }
    if (rc == 0)
        rc = gguf_write(f->w, path, err);
    gguf_writer_free(f->w);
    while (f->n > 0)
        st_free(f->data[--f->n]);
    return rc;
}

static int adapters_make(bed *b, const gguf *g, uint32_t rank, st_dtype type,
                         const char *parts, st_err *err)
{
    static factors f;
    char path[] = "/tmp/stint-bench-XXXXXX";
    int fd = mkstemp(path), rc = 0;
    if (fd < 0)
        return st_err_set(err, ST_EIO, "no temporary file");
    close(fd);
    f = (factors){.rng = {11}, .type = type};
    for (int i = 0; rc == 0 && i < ADAPTERS; i++) {
        rc = adapter_write(g, path, rank, parts, &f, err);
        if (rc == 0)
            rc = adapter_open(path, b->m, 1, &b->adapters[i], err);
    }
    unlink(path);
    return rc;
}

static int streams_make(bed *b, seq **seqs, bool adapted, st_err *err)
{
    for (uint32_t i = 0; i < STREAMS; i++) {
        int rc = seq_new(b->e, &seqs[i], err);
        if (rc == 0)
            rc =
                seq_set_adapter(seqs[i], adapted ? b->adapters[i % ADAPTERS] : NULL, err);
        const step_item item = {.s = seqs[i], .tokens = b->tokens + i, .n = PROMPT};
        if (rc == 0)
            rc = engine_step(b->e, &item, 1, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

typedef struct cost {
    double us;
    double cpu; /* of all threads */
} cost;

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int round_run(bed *b, seq **seqs, cost *ret, st_err *err)
{
    static const uint32_t first = 0;
    int32_t best[STREAMS];
    int rc = 0;
    for (uint32_t i = 0; i < STREAMS; i++)
        seq_truncate(seqs[i], PROMPT);
    uint64_t begin = st_clock_us();
    double cpu = cpu_us();
    for (uint32_t at = 0; rc == 0 && at < STEPS; at++) {
        step_item items[STREAMS];
        for (uint32_t i = 0; i < STREAMS; i++)
            items[i] = (step_item){.s = seqs[i],
                                   .tokens = &b->tokens[at + i],
                                   .n = 1,
                                   .out = &first,
                                   .n_out = 1,
                                   .ret_best = &best[i]};
        rc = engine_step(b->e, items, STREAMS, err);
    }
    *ret = (cost){(double)(st_clock_us() - begin), cpu_us() - cpu};
    return rc;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static int measure(bed *b, st_err *err)
{
    double plain[ROUNDS], adapted[ROUNDS], cpu = 1e30, cpu_adapted = 1e30;
    const double n = STREAMS * STEPS * 1e6;
    for (int i = 0; i < ROUNDS; i++) {
        cost p = {0}, a = {0};
        int rc = round_run(b, b->plain, &p, err);
        if (rc == 0)
            rc = round_run(b, b->adapted, &a, err);
        if (rc < 0)
            return rc;
        plain[i] = p.us;
        adapted[i] = a.us;
        cpu = p.cpu < cpu ? p.cpu : cpu;
        cpu_adapted = a.cpu < cpu_adapted ? a.cpu : cpu_adapted;
    }
    qsort(plain, ROUNDS, sizeof *plain, by_size);
    qsort(adapted, ROUNDS, sizeof *adapted, by_size);
    double p = n / plain[ROUNDS / 2], a = n / adapted[ROUNDS / 2];
    const adapter_info *info = adapter_about(b->adapters[0]);
    printf("%d streams: %.0f tokens/s; with %d adapters of rank %u on %u matrices, %.1f "
           "MB each: %.0f tokens/s, %.0f %%; by processor time %.0f %% (%.1f and %.1f ms "
           "a step)\n",
           STREAMS, p, ADAPTERS, info->max_rank, info->n_adapted,
           (double)info->bytes / 1e6, a, 100 * a / p, 100 * cpu / cpu_adapted,
           cpu / STEPS / 1e3, cpu_adapted / STEPS / 1e3);
    return 0;
}

static int bench_all(bed *b, const char *path, uint32_t rank, st_dtype type,
                     unsigned threads, const char *parts, st_err *err)
{
    const engine_opts opts = {.n_threads = threads, .kv_best = true, .kv_bytes = 1 << 28};
    st_rng rng = {7};
    gguf *g;
    int rc = gguf_open(path, &g, err);
    if (rc < 0)
        return rc;
    rc = model_load(g, NULL, &b->m, err);
    if (rc == 0)
        rc = adapters_make(b, g, rank, type, parts, err);
    gguf_close(g);
    if (rc == 0)
        rc = engine_new(b->m, &opts, &b->e, err);
    for (size_t i = 0; rc == 0 && i < ST_COUNT(b->tokens); i++)
        b->tokens[i] = (int32_t)st_rng_below(&rng, model_about(b->m)->n_vocab);
    if (rc == 0)
        rc = streams_make(b, b->plain, false, err);
    if (rc == 0)
        rc = streams_make(b, b->adapted, true, err);
    return rc < 0 ? rc : measure(b, err);
}

int main(int argc, char **argv)
{
    static bed b;
    st_err err = {0};
    const st_dtype_info *type = st_dtype_by_name(argc > 3 ? argv[3] : "F16");
    uint32_t rank = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 8;
    unsigned threads = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
    int rc =
        argc > 1 && type && encode_can((st_dtype)type->id)
            ? 0
            : st_err_set(&err, ST_EINVAL, "bench_adapted MODEL [RANK [TYPE [PARTS]]]");
    if (rc == 0)
        rc = bench_all(&b, argv[1], rank, (st_dtype)type->id, threads,
                       argc > 5 ? argv[5] : every, &err);
    engine_free(b.e);
    for (int i = 0; i < ADAPTERS; i++)
        adapter_free(b.adapters[i]);
    model_free(b.m);
    if (rc < 0)
        fprintf(stderr, "%s\n", err.message);
    return rc < 0;
}
