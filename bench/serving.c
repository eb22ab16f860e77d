/* bench/serving.c - what clients of a server wait for: a cancel while long prompts run.
 *
 *   bench_serving MODEL.gguf
 *
 * Eight prompts of 2048 tokens wait, and one more comes; once it runs it is cancelled.
 * Printed, for several step_us: the median and the longest time from a cancel to the end
 * of its request, and how many prompt tokens a second the same steps run. */
#include "base/clock.h"
#include "engine/sched.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PROMPT = 2048, WAITING = 8, CANCELS = 40 };

typedef struct bed {
    model *m;
    engine *e;
    sched *s;
    atomic_bool over;
    int32_t tokens[PROMPT + WAITING];
} bed;

typedef struct call { /* a request */
    atomic_uint_fast64_t ended_us;
} call;

static void call_ended(void *arg, const sched_result *result)
{
    call *c = arg;
    (void)result;
    atomic_store(&c->ended_us, st_clock_us());
}

static void *owner_main(void *arg)
{
    bed *b = arg;
    while (!atomic_load(&b->over))
        if (sched_wait(b->s, 1000))
            sched_step(b->s);
    return NULL;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static int call_start(bed *b, uint64_t key, call *c, sched_id *ret_id, st_err *err)
{
    const sched_request ask = {
        .key = key,
        .tokens = b->tokens + key % WAITING,
        .n = PROMPT,
        .generate = {.how = SAMPLER_GREEDY, .max_new = 8},
        .done = call_ended,
        .arg = c,
    };
    atomic_store(&c->ended_us, 0);
    return sched_submit(b->s, &ask, ret_id, err);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Submit, let some steps go by, cancel, wait for its end. */
static int cancel_once(bed *b, uint64_t key, uint64_t *ret_us, st_err *err)
{
    call c;
    sched_id id;
    int rc = call_start(b, key, &c, &id, err);
    if (rc < 0)
        return rc;
    pause_ms(60 + (long)(key % 37));
    uint64_t begin = st_clock_us(), ended;
    sched_cancel(b->s, id);
    while ((ended = atomic_load(&c.ended_us)) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    *ret_us = ended > begin ? ended - begin : 0;
    return 0;
}

static int cancels_measure(bed *b, uint32_t step_us, st_err *err)
{
    static call waiting[WAITING];
    uint64_t took[CANCELS], key = 1;
    sched_opts opts = {.step_us = step_us};
    sched_stats begin, end;
    sched_id id;
    pthread_t owner;
    int rc = sched_new(b->e, &opts, &b->s, err);
    if (rc < 0)
        return rc;
    atomic_store(&b->over, false);
    if (pthread_create(&owner, NULL, owner_main, b))
        return st_err_set(err, ST_EBUSY, "no thread");
    pause_ms(5);
    uint64_t begin_us = st_clock_us();
    sched_stats_get(b->s, &begin);
    for (uint32_t i = 0; rc == 0 && i < WAITING; i++)
        rc = call_start(b, key++, &waiting[i], &id, err);
    for (uint32_t i = 0; rc == 0 && i < CANCELS; i++) {
        for (uint32_t k = 0; rc == 0 && k < WAITING; k++)
            if (atomic_load(&waiting[k].ended_us))
                rc = call_start(b, key++, &waiting[k], &id, err);
        if (rc == 0)
            rc = cancel_once(b, key++, &took[i], err);
    }
    sched_stats_get(b->s, &end);
    double seconds = (double)(st_clock_us() - begin_us) / 1e6;
    sched_stop(b->s);
    atomic_store(&b->over, true);
    pthread_join(owner, NULL);
    sched_free(b->s);
    if (rc < 0)
        return rc;
    qsort(took, CANCELS, sizeof *took, by_size);
    printf(
        "step_us %6u: cancel median %6.1f ms, longest %6.1f ms; %5.0f prompt tokens/s, "
        "%5.1f ms a step\n",
        step_us, (double)took[CANCELS / 2] / 1e3, (double)took[CANCELS - 1] / 1e3,
        (double)(end.tokens_prefilled - begin.tokens_prefilled) / seconds,
        seconds * 1e3 / (double)(end.steps - begin.steps));
    return 0;
}

static int bed_make(bed *b, const char *path, st_err *err)
{
    static const engine_opts opts = {.kv_best = true, .n_ctx = 4096, .kv_bytes = 1 << 30};
    gguf *g;
    int rc = gguf_open(path, &g, err);
    if (rc < 0)
        return rc;
    rc = model_load(g, NULL, &b->m, err);
    gguf_close(g);
    if (rc < 0)
        return rc;
    st_rng rng = {7};
    for (uint32_t i = 0; i < PROMPT + WAITING; i++)
        b->tokens[i] = (int32_t)st_rng_below(&rng, model_about(b->m)->n_vocab);
    return engine_new(b->m, &opts, &b->e, err);
}

int main(int argc, char **argv)
{
    static const uint32_t steps[] = {0, 100000, 30000, 10000};
    static bed b;
    st_err err = {0};
    int rc = argc == 2 ? 0 : st_err_set(&err, ST_EINVAL, "bench_serving MODEL.gguf");
    if (rc == 0)
        rc = bed_make(&b, argv[1], &err);
    for (size_t i = 0; rc == 0 && i < ST_COUNT(steps); i++)
        rc = cancels_measure(&b, steps[i], &err);
    engine_free(b.e);
    model_free(b.m);
    if (rc < 0)
        fprintf(stderr, "%s\n", err.message);
    return rc < 0;
}
