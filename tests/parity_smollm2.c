/* tests/parity_smollm2.c - a real quantised model against a float reference.
 *
 * The reference is the same file, dequantised exactly and run in float32 (see the
 * goldens' README).  The figures are printed, so that a change that makes them worse
 * within the bounds is seen too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "engine/engine.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDENS "../shared/goldens/smollm2/"

enum { TOP = 50, CHUNKS = 8, CHUNK = 512, GREEDY = 40 };

typedef struct fixture {
    model *m;
    engine *e;
    uint32_t n_vocab;
} fixture;

/* $STINT_MODEL_SMOLLM2, or the cache that `make models` fills. */
static const char *model_path(char *room, size_t size)
{
    const char *path = getenv("STINT_MODEL_SMOLLM2"), *folder = getenv("STINT_MODELS");
    if (path)
        return path;
    snprintf(room, size, "%s/smollm2-135m-instruct.gguf",
             folder ? folder : ".cache/models");
    return room;
}

static int setup(void **state)
{
    char room[4096];
    const char *path = model_path(room, sizeof room);
    gguf *g;
    st_err err = {0};
    *state = NULL;
    if (access(path, R_OK) != 0 || access(GOLDENS "prompts.jsonl", R_OK) != 0) {
        print_message("SKIP: %s or " GOLDENS " is not here\n", path);
        return 0;
    }
    fixture *f = st_zalloc_n(1, sizeof *f);
    engine_opts opts = {.n_ctx = CHUNK, .kv_best = true};
    if (!f || gguf_open(path, &g, &err) < 0 || model_load(g, NULL, &f->m, &err) < 0 ||
        engine_new(f->m, &opts, &f->e, &err) < 0) {
        print_message("%s: %s\n", path, err.message);
        return -1;
    }
    gguf_close(g);
    f->n_vocab = model_about(f->m)->n_vocab;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    if (f) {
        engine_free(f->e);
        model_free(f->m);
        st_free(f);
    }
    return 0;
}

static void *golden(const char *name, size_t bytes)
{
    char path[256];
    char *data;
    size_t len;
    st_err err = {0};
    snprintf(path, sizeof path, GOLDENS "%s", name);
    if (st_file_read(path, 64 << 20, &data, &len, &err) < 0 || len != bytes)
        fail_msg("%s: %s, %zu bytes", path, err.message, bytes);
    return data;
}

static double now_lse(const float *x, uint32_t n)
{
    double max = (double)x[0], sum = 0;
    for (uint32_t i = 1; i < n; i++)
        max = (double)x[i] > max ? (double)x[i] : max;
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)x[i] - max);
    return max + log(sum);
}

static uint32_t argmax(const float *x, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

static void run(const fixture *f, seq *s, const int32_t *ids, uint32_t n, uint32_t n_out,
                float *logits)
{
    uint32_t out[CHUNK];
    st_err err = {0};
    for (uint32_t i = 0; i < n_out; i++)
        out[i] = n - n_out + i;
    step_item item = {
        .s = s, .tokens = ids, .n = n, .out = out, .n_out = n_out, .ret_logits = logits};
    if (engine_step(f->e, &item, 1, &err) < 0)
        fail_msg("%s", err.message);
}

typedef struct tally {
    uint32_t n, agree;
    double kl;
    double n_prompts, agree_sum, kl_sum; /* means over prompts, as the reference's own */
    uint32_t greedy_ok, greedy;          /* continuations equal up to a close call */
} tally;

/* Divergence over the reference's 50 likeliest tokens. */
static void row_compare(const float *row, uint32_t n_vocab, const int32_t *ids,
                        const float *logp, tally *t)
{
    double lse = now_lse(row, n_vocab);
    for (int k = 0; k < TOP; k++)
        t->kl += exp((double)logp[k]) * ((double)logp[k] - ((double)row[ids[k]] - lse));
    t->agree += argmax(row, n_vocab) == (uint32_t)ids[0];
    t->n++;
}

/* Greedy continuation: equal until the first step whose margin is under 0.5. */
static void greedy_compare(const fixture *f, seq *s, float *row, const json_t *prompt,
                           tally *t)
{
    const json_t *want = json_object_get(prompt, "greedy_ids");
    const json_t *margins = json_object_get(prompt, "greedy_margins");
    t->greedy++;
    for (size_t i = 0; i < GREEDY; i++) {
        int32_t id = (int32_t)argmax(row, f->n_vocab);
        if (json_number_value(json_array_get(margins, i)) < 0.5)
            break;
        if (id != json_integer_value(json_array_get(want, i)))
            return;
        run(f, s, &id, 1, 1, row);
    }
    t->greedy_ok++;
}

static void prompt_compare(const fixture *f, const json_t *prompt, tally *t)
{
    char name[64];
    const char *id = json_string_value(json_object_get(prompt, "id"));
    const json_t *list = json_object_get(prompt, "ids");
    uint32_t n = (uint32_t)json_array_size(list);
    int32_t ids[CHUNK];
    tally before = *t;
    seq *s;
    assert_true(n > 0 && n < CHUNK - GREEDY);
    for (uint32_t i = 0; i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    snprintf(name, sizeof name, "%s.top50_ids.i32.bin", id);
    int32_t *top = golden(name, (size_t)n * TOP * sizeof *top);
    snprintf(name, sizeof name, "%s.top50_logprobs.f32.bin", id);
    float *logp = golden(name, (size_t)n * TOP * sizeof *logp);
    float *logits = st_alloc_n((size_t)n * f->n_vocab, sizeof *logits);
    assert_int_equal(seq_new(f->e, &s, NULL), 0);
    run(f, s, ids, n, n, logits);
    for (uint32_t i = 0; i < n; i++)
        row_compare(logits + (size_t)i * f->n_vocab, f->n_vocab, top + i * TOP,
                    logp + i * TOP, t);
    t->n_prompts += 1;
    t->agree_sum += (double)(t->agree - before.agree) / n;
    t->kl_sum += (t->kl - before.kl) / n;
    greedy_compare(f, s, logits + (size_t)(n - 1) * f->n_vocab, prompt, t);
    seq_free(s);
    st_free(logits);
    st_free(logp);
    st_free(top);
}

static void prompts_agree(void **state)
{
    const fixture *f = *state;
    tally t = {0};
    char line[1 << 16];
    if (!f)
        return;
    FILE *in = fopen(GOLDENS "prompts.jsonl", "rb");
    assert_non_null(in);
    while (fgets(line, sizeof line, in)) {
        json_t *prompt = json_loads(line, 0, NULL);
        assert_non_null(prompt);
        prompt_compare(f, prompt, &t);
        json_decref(prompt);
    }
    fclose(in);
    double agree = t.agree_sum / t.n_prompts, kl = t.kl_sum / t.n_prompts;
    print_message(
        "mean over prompts: arg-max agreement %.2f %%, KL %.5f; over all %u rows: "
        "%.2f %%, %.5f; greedy %u of %u\n",
        100 * agree, kl, t.n, 100.0 * t.agree / t.n, t.kl / t.n, t.greedy_ok, t.greedy);
    assert_true(t.n > 1000);
    assert_true(agree >= 0.98);
    assert_true(kl <= 0.005 && kl > -0.001);
    assert_int_equal(t.greedy_ok, t.greedy);
}

static void perplexity_agrees(void **state)
{
    const fixture *f = *state;
    double ours = 0, theirs = 0, most = 0;
    if (!f)
        return;
    int32_t *ids = golden("ppl.ids.i32.bin", CHUNKS * CHUNK * sizeof *ids);
    float *nll = golden("ppl.nll.f32.bin", CHUNKS * (CHUNK - 1) * sizeof *nll);
    for (int c = 0; c < CHUNKS; c++) {
        uint32_t out[CHUNK], ends[CHUNK];
        float logits[CHUNK], lse[CHUNK];
        const int32_t *text = ids + c * CHUNK;
        seq *s;
        st_err err = {0};
        for (uint32_t i = 0; i < CHUNK - 1; i++) {
            out[i] = i;
            ends[i] = i + 1;
        }
        assert_int_equal(seq_new(f->e, &s, NULL), 0);
        step_item item = {.s = s,
                          .tokens = text,
                          .n = CHUNK - 1,
                          .out = out,
                          .n_out = CHUNK - 1,
                          .ids = text + 1,
                          .n_ids = CHUNK - 1,
                          .ids_end = ends,
                          .ret_logits = logits,
                          .ret_lse = lse};
        if (engine_step(f->e, &item, 1, &err) < 0)
            fail_msg("%s", err.message);
        for (int i = 0; i < CHUNK - 1; i++) {
            double x = (double)lse[i] - (double)logits[i];
            double want = (double)nll[c * (CHUNK - 1) + i];
            ours += x;
            theirs += want;
            most = fabs(x - want) > most ? fabs(x - want) : most;
        }
        seq_free(s);
    }
    double n = CHUNKS * (CHUNK - 1);
    print_message(
        "mean NLL %.5f, reference %.5f (%+.5f), largest difference of a token %.3f\n",
        ours / n, theirs / n, (ours - theirs) / n, most);
    assert_true(fabs(ours - theirs) / n <= 0.005);
    st_free(nll);
    st_free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_agree),
        cmocka_unit_test(perplexity_agrees),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
