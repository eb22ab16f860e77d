/* tests/test_held.c - text held to a grammar: the choice among allowed ids. */
#include "tests/sched_job.h"

static const char *const models[] = {
    GOLDENS "logits/llama-gqa/model-f32.gguf",
    GOLDENS "quant/models/llama-256-q4_0.gguf",
    GOLDENS "logits/gemma2/model-f32.gguf",
};

enum { WORDS = 64 }; /* the largest vocabulary here has under 2048 ids */

/* --- the engine's choice among allowed ids */

static void bits_draw(fixture *f, uint32_t *bits)
{
    uint32_t n = f->info->n_vocab, some = below(f, 4);
    memset(bits, 0, WORDS * sizeof *bits);
    if (some == 0)
        memset(bits, 0xFF, WORDS * sizeof *bits);
    else if (some == 1)
        for (uint32_t k = 0, ids = 1 + below(f, n / 16); k < ids; k++)
            bits[below(f, n) / 32] |= 1u << below(f, 32);
    else
        for (uint32_t i = 0; i < n; i++)
            bits[i / 32] |= (uint32_t)(below(f, some) == 0) << i % 32;
    uint32_t one = below(f, n);
    bits[one / 32] |= 1u << one % 32;
}

static bool bit(const uint32_t *bits, uint32_t i)
{
    return bits[i / 32] >> i % 32 & 1;
}

/* What a row of plain logits says about the allowed ids. */
static void row_check(const fixture *f, const float *plain, float plain_lse,
                      const uint32_t *bits, int32_t best, float top, const float *logits,
                      const float *lse, float held_lse)
{
    int32_t want = -1;
    double sum = 0;
    for (uint32_t i = 0; i < f->info->n_vocab; i++) {
        bool may = bit(bits, i);
        if (logits && may)
            assert_memory_equal(&logits[i], &plain[i], sizeof *plain);
        else if (logits)
            assert_true(isinf(logits[i]) && logits[i] < 0);
        if (!may)
            continue;
        sum += exp((double)plain[i]);
        if (want < 0 || plain[i] > plain[want])
            want = (int32_t)i;
    }
    assert_int_equal(best, want);
    assert_memory_equal(&top, &plain[want], sizeof top);
    assert_float_equal(held_lse, log(sum), 1e-4);
    if (lse)
        assert_memory_equal(lse, &plain_lse, sizeof plain_lse);
}

enum { TEXT = 40, OUTS = 24 }; /* more outputs than rows of the head at once */

typedef struct asked { /* one sequence of a step */
    int32_t ids[TEXT];
    uint32_t out[OUTS];
    uint32_t bits[OUTS][WORDS];
    const uint32_t *allowed[OUTS];
    int32_t best[OUTS];
    float top[OUTS], lse[OUTS], held_lse[OUTS], plain_lse[OUTS];
    float *logits, *plain;
    bool wants_logits, wants_lse;
} asked;

static void asked_draw(fixture *f, asked *a)
{
    for (uint32_t i = 0; i < TEXT; i++)
        a->ids[i] = (int32_t)below(f, f->info->n_vocab);
    for (uint32_t i = 0; i < OUTS; i++) {
        a->out[i] = TEXT - OUTS + i;
        bits_draw(f, a->bits[i]);
        a->allowed[i] = a->bits[i];
    }
    a->wants_logits = below(f, 2);
    a->wants_lse = below(f, 2);
    a->logits = st_alloc_n((size_t)OUTS * f->info->n_vocab, sizeof *a->logits);
    a->plain = st_alloc_n((size_t)OUTS * f->info->n_vocab, sizeof *a->plain);
}

static step_item asked_item(asked *a, seq *s)
{
    return (step_item){
        .s = s,
        .tokens = a->ids,
        .n = TEXT,
        .out = a->out,
        .n_out = OUTS,
        .allowed = a->allowed,
        .ret_best = a->best,
        .ret_top = a->top,
        .ret_held_lse = a->held_lse,
        .ret_lse = a->wants_lse ? a->lse : NULL,
        .ret_logits = a->wants_logits ? a->logits : NULL,
    };
}

static void asked_plainly(fixture *f, asked *a)
{
    seq *s;
    assert_int_equal(seq_new(f->plain, &s, NULL), 0);
    step_item item = {.s = s,
                      .tokens = a->ids,
                      .n = TEXT,
                      .out = a->out,
                      .n_out = OUTS,
                      .ret_logits = a->plain,
                      .ret_lse = a->plain_lse};
    assert_int_equal(engine_step(f->plain, &item, 1, NULL), 0);
    seq_free(s);
}

static void choices_once(fixture *f)
{
    enum { SEQS = 4 };
    static asked all[SEQS];
    const engine_opts opts = {.n_threads = 1 + below(f, 2),
                              .max_batch = below(f, 2) ? 0 : 50,
                              .kv_type = f->kv_type};
    step_item items[SEQS];
    engine *e;
    st_err err = {0};
    assert_int_equal(engine_new(f->m, &opts, &e, &err), 0);
    for (int i = 0; i < SEQS; i++) {
        seq *s;
        asked_draw(f, &all[i]);
        asked_plainly(f, &all[i]);
        assert_int_equal(seq_new(e, &s, &err), 0);
        items[i] = asked_item(&all[i], s);
    }
    fault_arm(0);
    assert_int_equal(engine_step(e, items, SEQS, &err), 0);
    assert_int_equal(fault_disarm(), 0);
    for (int i = 0; i < SEQS; i++) {
        const asked *a = &all[i];
        for (uint32_t k = 0; k < OUTS; k++) {
            size_t row = (size_t)k * f->info->n_vocab;
            row_check(f, a->plain + row, a->plain_lse[k], a->bits[k], a->best[k],
                      a->top[k], a->wants_logits ? a->logits + row : NULL,
                      a->wants_lse ? &a->lse[k] : NULL, a->held_lse[k]);
        }
        st_free(a->logits);
        st_free(a->plain);
    }
    engine_free(e);
}

static void allowed_ids_are_chosen_among(void **state)
{
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i++) {
        fixture f;
        fixture_init(&f, models[i], false);
        assert_true(f.info->n_vocab <= 32 * WORDS);
        for (int round = 0; round < 6; round++)
            choices_once(&f);
        fixture_done(&f);
    }
}

static void bad_choices_are_refused(void **state)
{
    fixture f;
    const int32_t id = 1;
    const uint32_t out = 0;
    uint32_t bits[WORDS] = {1};
    const uint32_t *allowed = bits;
    int32_t best;
    float sum;
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, models[0], false);
    step_item item = {.tokens = &id, .n = 1, .out = &out, .n_out = 1};
    assert_int_equal(seq_new(f.plain, &item.s, NULL), 0);
    item.ret_held_lse = &sum;
    assert_int_equal(engine_step(f.plain, &item, 1, NULL), ST_EINVAL);
    item.allowed = &allowed;
    item.ret_top = &sum;
    assert_int_equal(engine_step(f.plain, &item, 1, NULL), ST_EINVAL);
    item.ret_best = &best;
    item.ids = &id;
    item.n_ids = 1;
    assert_int_equal(engine_step(f.plain, &item, 1, NULL), ST_EINVAL);
    item.n_ids = 0;
    bits[0] = 0;
    assert_int_equal(engine_step(f.plain, &item, 1, NULL), ST_EINVAL);
    bits[f.info->n_vocab / 32] = 1u << f.info->n_vocab % 32; /* behind the last id */
    assert_int_equal(engine_step(f.plain, &item, 1, NULL), ST_EINVAL);
    assert_int_equal(seq_len(item.s), 0);
    bits[0] = 2;
    assert_int_equal(engine_step(f.plain, &item, 1, NULL), 0);
    assert_int_equal(best, 1);
    seq_free(item.s);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allowed_ids_are_chosen_among),
        cmocka_unit_test(bad_choices_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
