/* tests/test_adapter.c - adapters beside the same weights merged, in any company, by key,
 * and files that lie. */
#include "tests/adapter_made.h"

#include "engine/sched.h"
#include "gguf/safetensors.h"
#include "model/adapter.h"
#include "tests/fault.h"
#include "tests/here.h"

#define GOLDENS "../shared/goldens/"
#define LLAMA GOLDENS "logits/llama-gqa/model-f32.gguf"

enum { TEXT = 40, MOST_VOCAB = 4096 };

typedef struct bed {
    unsigned char *bytes; /* of the base's file */
    size_t len;
    gguf *g;
    model *m;
    engine *e;
    uint32_t n_vocab;
    st_rng rng;
    char folder[64]; /* for files */
    char path[MADE_PATH];
    made made;
} bed;

static void model_from(bed *b, model **ret_model, engine **ret_engine)
{
    const engine_opts opts = {.n_threads = 2, .max_batch = 24, .kv_bytes = 64 << 20};
    st_err err = {0};
    if (model_load(b->g, NULL, ret_model, &err) < 0 ||
        engine_new(*ret_model, &opts, ret_engine, &err) < 0)
        fail_msg("%s", err.message);
}

/* The test is skipped where there are no goldens. */
static void bed_init(bed *b, const char *path)
{
    char *data;
    st_err err = {0};
    if (!is_here(GOLDENS "README.md"))
        skip();
    *b = (bed){.rng = {17}};
    assert_int_equal(st_file_read(path, 1u << 28, &data, &b->len, &err), 0);
    b->bytes = st_aligned_n(b->len, 1);
    memcpy(b->bytes, data, b->len);
    st_free(data);
    assert_int_equal(gguf_open_bytes(b->bytes, b->len, &b->g, &err), 0);
    model_from(b, &b->m, &b->e);
    b->n_vocab = model_about(b->m)->n_vocab;
    assert_true(b->n_vocab <= MOST_VOCAB);
    snprintf(b->folder, sizeof b->folder, "/tmp/stint-adapter-XXXXXX");
    assert_non_null(mkdtemp(b->folder));
    snprintf(b->path, sizeof b->path, "%s/adapter.gguf", b->folder);
}

static void file_remove(const bed *b, const char *name)
{
    char path[MADE_PATH];
    snprintf(path, sizeof path, "%s/%s", b->folder, name);
    unlink(path);
}

static void bed_done(bed *b)
{
    made_done(&b->made);
    file_remove(b, "adapter.gguf");
    file_remove(b, "adapter_config.json");
    file_remove(b, "adapter_model.safetensors");
    rmdir(b->folder);
    engine_free(b->e);
    model_free(b->m);
    gguf_close(b->g);
    st_free(b->bytes);
}

static adapter *opened(const bed *b, const char *path)
{
    adapter *a = NULL;
    st_err err = {0};
    if (adapter_open(path, b->m, 1, &a, &err) < 0)
        fail_msg("%s: %s", path, err.message);
    return a;
}

static adapter *drawn(bed *b, uint32_t rank, uint32_t sparse, st_dtype type)
{
    made_done(&b->made);
    made_draw(&b->made, b->g, rank, sparse, &b->rng);
    made_write_gguf(&b->made, type, b->path);
    return opened(b, b->path);
}

static void text_draw(bed *b, int32_t *text, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        text[i] = (int32_t)st_rng_below(&b->rng, b->n_vocab);
}

/* Logits of every token of a text, run alone. */
static void text_run(engine *e, const adapter *a, const int32_t *text, uint32_t n,
                     float *ret)
{
    uint32_t out[TEXT];
    seq *s;
    st_err err = {0};
    for (uint32_t i = 0; i < n; i++)
        out[i] = i;
    assert_int_equal(seq_new(e, &s, &err), 0);
    assert_int_equal(seq_set_adapter(s, a, &err), 0);
    step_item item = {
        .s = s, .tokens = text, .n = n, .out = out, .n_out = n, .ret_logits = ret};
    if (engine_step(e, &item, 1, &err) < 0)
        fail_msg("%s", err.message);
    seq_free(s);
}

/* The largest difference in parts of the largest logit. */
static double apart(const float *x, const float *y, size_t n)
{
    double most = 0, high = 1e-9;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)x[i] - (double)y[i]);
        assert_false(isnan(d));
        most = d > most ? d : most;
        high = fabs((double)y[i]) > high ? fabs((double)y[i]) : high;
    }
    return most / high;
}

/* --- the same as merged weights */

static void merged_run(bed *b, const int32_t *text, float *ret)
{
    unsigned char *kept = st_dup(b->bytes, b->len);
    model *m;
    engine *e;
    made_merge(&b->made, b->g, b->bytes);
    model_from(b, &m, &e);
    memcpy(b->bytes, kept, b->len);
    st_free(kept);
    text_run(e, NULL, text, TEXT, ret);
    engine_free(e);
    model_free(m);
}

static void merge_once(bed *b, uint32_t rank, bool peft, bool by_root)
{
    size_t n = (size_t)TEXT * b->n_vocab;
    float *base = malloc(n * sizeof *base), *want = malloc(n * sizeof *want);
    float *got = malloc(n * sizeof *got);
    int32_t text[TEXT];
    text_draw(b, text, TEXT);
    adapter *a = drawn(b, rank, rank > 4 ? 1 : 3, ST_F32);
    if (peft) {
        adapter_free(a);
        b->made.by_root = by_root;
        made_write_peft(&b->made, ST_F32, b->folder);
        a = opened(b, b->folder);
    }
    assert_int_equal(adapter_about(a)->n_adapted, b->made.n);
    assert_int_equal(adapter_about(a)->max_rank, rank);
    text_run(b->e, NULL, text, TEXT, base);
    text_run(b->e, a, text, TEXT, got);
    merged_run(b, text, want);
    double off = apart(got, want, n), does = apart(base, want, n);
    if (!(off < 1e-3) || !(does > 30 * off))
        fail_msg("rank %u: %g from merged weights, the base %g", rank, off, does);
    adapter_free(a);
    free(base);
    free(want);
    free(got);
}

static void gguf_adapters_are_as_merged(void **state)
{
    static const char *const models[] = {
        LLAMA,
        GOLDENS "logits/phi3/model-f32.gguf",
        GOLDENS "logits/qwen3/model-f32.gguf",
        GOLDENS "logits/gemma2/model-f32.gguf",
        GOLDENS "logits/gemma3/model-f32.gguf",
        GOLDENS "logits/cohere/model-f32.gguf",
        GOLDENS "logits/smollm3/model-f32.gguf",
        GOLDENS "logits/lfm2/model-f32.gguf",
        GOLDENS "logits/qwen2moe/model-f32.gguf",
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(models); i++) {
        bed b;
        bed_init(&b, models[i]);
        merge_once(&b, 1, false, false);
        merge_once(&b, 4, false, false);
        merge_once(&b, 19, false, false);
        bed_done(&b);
    }
}

static void peft_adapters_are_as_merged(void **state)
{
    static const char *const models[] = {
        LLAMA,
        GOLDENS "logits/phi3/model-f32.gguf",
        GOLDENS "logits/qwen3/model-f32.gguf",
        GOLDENS "logits/smollm3/model-f32.gguf",
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(models); i++) {
        bed b;
        bed_init(&b, models[i]);
        merge_once(&b, 3, true, false);
        merge_once(&b, 8, true, true);
        bed_done(&b);
    }
}

/* Factors of two bytes are read as they are. */
static void formats_are_close(void **state)
{
    static const st_dtype types[] = {ST_F16, ST_BF16};
    int32_t text[TEXT];
    bed b;
    (void)state;
    bed_init(&b, LLAMA);
    size_t n = (size_t)TEXT * b.n_vocab;
    float *want = malloc(n * sizeof *want), *got = malloc(n * sizeof *got);
    text_draw(&b, text, TEXT);
    for (size_t i = 0; i < ST_COUNT(types); i++) {
        adapter *a = drawn(&b, 8, 1, types[i]);
        made_write_gguf(&b.made, ST_F32, b.path);
        adapter *exact = opened(&b, b.path);
        assert_true(adapter_about(a)->bytes < adapter_about(exact)->bytes);
        text_run(b.e, exact, text, TEXT, want);
        text_run(b.e, a, text, TEXT, got);
        assert_true(apart(got, want, n) < (types[i] == ST_F16 ? 2e-3 : 2e-2));
        made_write_peft(&b.made, types[i], b.folder);
        adapter *peft = opened(&b, b.folder);
        text_run(b.e, peft, text, TEXT, want);
        assert_memory_equal(got, want, n * sizeof *got);
        adapter_free(peft);
        adapter_free(exact);
        adapter_free(a);
    }
    free(want);
    free(got);
    bed_done(&b);
}

/* --- company */

enum { STREAMS = 7, ADAPTERS = 3 };

/* Sequences with different adapters, fed in pieces of any length in one step. */
static void company_changes_no_byte(const char *path, st_dtype type)
{
    bed b;
    adapter *all[ADAPTERS + 1] = {NULL};
    int32_t text[STREAMS][TEXT];
    const adapter *of[STREAMS];
    seq *s[STREAMS];
    bed_init(&b, path);
    size_t n = (size_t)TEXT * b.n_vocab;
    float *want = malloc(STREAMS * n * sizeof *want);
    float *got = malloc(n * sizeof *got);
    for (uint32_t i = 1; i <= ADAPTERS; i++)
        all[i] = drawn(&b, 3 * i + 1, i, type);
    for (uint32_t i = 0; i < STREAMS; i++) {
        of[i] = all[i % (ADAPTERS + 1)];
        text_draw(&b, text[i], TEXT);
        text_run(b.e, of[i], text[i], TEXT, want + i * n);
        assert_int_equal(seq_new(b.e, &s[i], NULL), 0);
        assert_int_equal(seq_set_adapter(s[i], of[i], NULL), 0);
    }
    for (uint32_t left = STREAMS; left > 0;) {
        step_item items[STREAMS];
        uint32_t last[STREAMS], of_item[STREAMS], n_items = 0;
        for (uint32_t i = 0; i < STREAMS; i++) {
            uint32_t rest = TEXT - seq_len(s[i]);
            uint32_t take = st_rng_below(&b.rng, 9);
            take = take < rest ? take : rest;
            if (take == 0)
                continue;
            last[n_items] = take - 1;
            of_item[n_items] = i;
            items[n_items] = (step_item){.s = s[i],
                                         .tokens = text[i] + seq_len(s[i]),
                                         .n = take,
                                         .out = &last[n_items],
                                         .n_out = 1,
                                         .ret_logits = got + n_items * b.n_vocab};
            left -= take == rest;
            n_items++;
        }
        assert_int_equal(engine_step(b.e, items, n_items, NULL), 0);
        for (uint32_t k = 0; k < n_items; k++) {
            uint32_t i = of_item[k];
            assert_memory_equal(got + k * b.n_vocab,
                                want + i * n + (seq_len(s[i]) - 1) * b.n_vocab,
                                b.n_vocab * sizeof *got);
        }
    }
    for (uint32_t i = 0; i < STREAMS; i++)
        seq_free(s[i]);
    for (uint32_t i = 1; i <= ADAPTERS; i++)
        adapter_free(all[i]);
    free(want);
    free(got);
    bed_done(&b);
}

static void adapters_share_a_batch(void **state)
{
    (void)state;
    company_changes_no_byte(LLAMA, ST_F32);
    company_changes_no_byte(GOLDENS "logits/phi3/model-f32.gguf", ST_F16);
    company_changes_no_byte(GOLDENS "quant/models/llama-256-q4_0.gguf", ST_BF16);
}

/* Forks have it; a sequence with tokens cannot change it; nor take another model's. */
static void sequences_carry_adapters(void **state)
{
    static const uint32_t last = 2;
    int32_t text[TEXT];
    bed b, other;
    seq *s, *fork;
    (void)state;
    bed_init(&b, LLAMA);
    bed_init(&other, LLAMA);
    adapter *a = drawn(&b, 4, 1, ST_F32), *foreign = drawn(&other, 4, 1, ST_F32);
    float *want = malloc((size_t)TEXT * b.n_vocab * sizeof *want);
    float *got = malloc(b.n_vocab * sizeof *got);
    text_draw(&b, text, TEXT);
    text_run(b.e, a, text, TEXT, want);
    assert_int_equal(seq_new(b.e, &s, NULL), 0);
    assert_null(seq_adapter(s));
    assert_int_equal(seq_set_adapter(s, foreign, NULL), ST_EINVAL);
    assert_int_equal(seq_set_adapter(s, a, NULL), 0);
    step_item item = {.s = s, .tokens = text, .n = 9};
    assert_int_equal(engine_step(b.e, &item, 1, NULL), 0);
    assert_int_equal(seq_set_adapter(s, NULL, NULL), ST_EINVAL);
    assert_int_equal(seq_fork(s, 7, &fork, NULL), 0);
    assert_ptr_equal(seq_adapter(fork), a);
    item = (step_item){.s = fork,
                       .tokens = text + 7,
                       .n = 3,
                       .out = &last,
                       .n_out = 1,
                       .ret_logits = got};
    assert_int_equal(engine_step(b.e, &item, 1, NULL), 0);
    assert_memory_equal(got, want + 9 * (size_t)b.n_vocab, b.n_vocab * sizeof *got);
    seq_free(fork);
    seq_free(s);
    assert_int_equal(seq_new(b.e, &s, NULL), 0); /* the same slot again */
    assert_null(seq_adapter(s));
    seq_free(s);
    adapter_free(a);
    adapter_free(foreign);
    free(want);
    free(got);
    bed_done(&other);
    bed_done(&b);
}

/* --- the scheduler */

enum { PROMPT = 150, NEW = 6 };

typedef struct call {
    sched_request ask;
    int32_t got[NEW];
    uint32_t n_got, n_cached, n_done;
    int code;
} call;

static void call_ended(void *arg, const sched_result *r)
{
    call *c = arg;
    c->n_got = r->n_new;
    c->n_cached = r->n_cached;
    c->code = r->end == SCHED_END_ERROR ? r->err->code : 0;
    if (r->n_new > 0)
        memcpy(c->got, r->tokens, r->n_new * sizeof *c->got);
    c->n_done++;
}

static void call_make(call *c, const int32_t *text, const adapter *a)
{
    *c = (call){.ask = {.key = 1,
                        .adapter = a,
                        .tokens = text,
                        .n = PROMPT,
                        .generate = {.how = SAMPLER_GREEDY, .max_new = NEW},
                        .done = call_ended}};
    c->ask.arg = c;
}

static void calls_run(sched *s, call *calls, int n)
{
    for (int i = 0; i < n; i++) {
        sched_id id;
        st_err err = {0};
        if (sched_submit(s, &calls[i].ask, &id, &err) < 0)
            fail_msg("%s", err.message);
    }
    while (sched_step(s))
        continue;
    for (int i = 0; i < n; i++) {
        assert_int_equal(calls[i].n_done, 1);
        assert_int_equal(calls[i].code, 0);
    }
}

/* What is kept of one adapter's text is found by requests with the same one only, also
 * when another adapter comes to lie where it was. */
static void kept_text_is_an_adapters_own(void **state)
{
    int32_t text[PROMPT];
    bed b;
    sched *s;
    call calls[3], again;
    (void)state;
    bed_init(&b, LLAMA);
    adapter *one = drawn(&b, 4, 1, ST_F32), *two = drawn(&b, 6, 1, ST_F32);
    text_draw(&b, text, PROMPT);
    assert_int_equal(sched_new(b.e, NULL, &s, NULL), 0);
    const adapter *of[] = {NULL, one, two};
    for (int i = 0; i < 3; i++) { /* one after the other: nothing is found */
        call_make(&calls[i], text, of[i]);
        calls_run(s, &calls[i], 1);
        assert_int_equal(calls[i].n_cached, 0);
    }
    assert_memory_not_equal(calls[0].got, calls[1].got, sizeof calls[0].got);
    assert_memory_not_equal(calls[1].got, calls[2].got, sizeof calls[0].got);
    for (int i = 0; i < 3; i++) {
        call_make(&again, text, of[i]);
        calls_run(s, &again, 1);
        assert_int_equal(again.n_cached, PROMPT - 1);
        assert_memory_equal(again.got, calls[i].got, sizeof again.got);
    }
    call together[3]; /* all at once, on a scheduler that has kept nothing */
    sched_free(s);
    assert_int_equal(sched_new(b.e, NULL, &s, NULL), 0);
    for (int i = 0; i < 3; i++)
        call_make(&together[i], text, of[i]);
    calls_run(s, together, 3);
    for (int i = 0; i < 3; i++)
        assert_memory_equal(together[i].got, calls[i].got, sizeof calls[i].got);
    uint64_t serial = adapter_serial(one);
    adapter_free(one);
    one = opened(&b, b.path); /* the file of `two` */
    assert_true(adapter_serial(one) > serial);
    assert_int_equal(adapter_serial(NULL), 0);
    call_make(&again, text, one);
    calls_run(s, &again, 1);
    assert_int_equal(again.n_cached, 0);
    assert_memory_equal(again.got, calls[2].got, sizeof again.got);
    sched_free(s);
    adapter_free(one);
    adapter_free(two);
    bed_done(&b);
}

static void prefixes_are_pinned_with_adapters(void **state)
{
    enum { BEFORE = 70 };
    int32_t text[PROMPT];
    float want[64], got[64];
    bed b;
    sched *s;
    sched_prefix *p;
    sched_id id;
    call whole, after, states;
    (void)state;
    bed_init(&b, LLAMA);
    assert_true(model_about(b.m)->n_embd <= 64);
    adapter *a = drawn(&b, 4, 1, ST_F32);
    text_draw(&b, text, PROMPT);
    assert_int_equal(sched_new(b.e, NULL, &s, NULL), 0);
    call_make(&whole, text, a);
    calls_run(s, &whole, 1);
    assert_int_equal(sched_prefix_pin_adapted(s, a, text, BEFORE, &p, NULL), 0);
    call_make(&after, text + BEFORE, a);
    after.ask.n = PROMPT - BEFORE;
    after.ask.prefix = p;
    after.ask.key = 2;
    calls_run(s, &after, 1);
    assert_int_equal(after.n_cached, BEFORE);
    assert_memory_equal(after.got, whole.got, sizeof whole.got);
    after.ask.adapter = NULL;
    assert_int_equal(sched_submit(s, &after.ask, &id, NULL), ST_EINVAL);
    const step_states ask = {.first_layer = 2, .last_layer = 2};
    call_make(&states, text, a);
    states.ask.kind = SCHED_STATES;
    states.ask.states = ask;
    states.ask.states.ret_last = want;
    calls_run(s, &states, 1);
    states.n_done = 0;
    states.ask.prefix = p;
    states.ask.tokens = text + BEFORE;
    states.ask.n = PROMPT - BEFORE;
    states.ask.states.ret_last = got;
    calls_run(s, &states, 1);
    assert_memory_equal(got, want, model_about(b.m)->n_embd * sizeof *got);
    states.n_done = 0;
    states.ask.prefix = NULL;
    states.ask.adapter = NULL;
    states.ask.tokens = text;
    states.ask.n = PROMPT;
    calls_run(s, &states, 1);
    assert_memory_not_equal(got, want, model_about(b.m)->n_embd * sizeof *got);
    states.ask.kind = SCHED_EMBED;
    states.ask.adapter = a;
    states.ask.ret_vector = got;
    assert_int_equal(sched_submit(s, &states.ask, &id, NULL), ST_EUNSUPPORTED);
    sched_prefix_unpin(s, p);
    sched_free(s);
    adapter_free(a);
    bed_done(&b);
}

/* --- files that lie */

static void refused(const bed *b, const char *path, int code, const char *says)
{
    adapter *a = NULL;
    st_err err = {0};
    int rc = adapter_open(path, b->m, 1, &a, &err);
    if (rc != code || !strstr(err.message, says))
        fail_msg("%d, expected %d; '%s' does not say '%s'", rc, code, err.message, says);
    assert_null(a);
}

/* What one change makes of a good file. */
typedef struct wrong {
    const char *arch, *kind, *type, *more_key; /* keys; NULL: the good ones */
    const char *name_a, *name_b;               /* of the only pair; "": none */
    uint64_t rank_a, rank_b, cols, rows;       /* 0: the good one */
    st_dtype dtype;
    int code;
    const char *says;
} wrong;

static void wrong_write(const wrong *w, const made_pair *p, const char *path)
{
    static const float zeros[1 << 16];
    const char *kind = w->kind ? w->kind : "adapter", *type = w->type ? w->type : "lora";
    const char *arch = w->arch ? w->arch : "llama";
    const uint64_t a[] = {w->cols ? w->cols : p->cols, w->rank_a ? w->rank_a : 4};
    const uint64_t b[] = {w->rank_b ? w->rank_b : 4, w->rows ? w->rows : p->rows};
    char name[MADE_NAME + 8];
    gguf_writer *out;
    assert_int_equal(gguf_writer_new(&out, NULL), 0);
    assert_int_equal(gguf_put_string(out, "general.type", kind, strlen(kind), NULL), 0);
    assert_int_equal(
        gguf_put_string(out, "general.architecture", arch, strlen(arch), NULL), 0);
    assert_int_equal(gguf_put_string(out, "adapter.type", type, strlen(type), NULL), 0);
    if (w->more_key)
        assert_int_equal(gguf_put_u32(out, w->more_key, 1, NULL), 0);
    assert_true(a[0] * a[1] <= ST_COUNT(zeros) && b[0] * b[1] <= ST_COUNT(zeros));
    snprintf(name, sizeof name, "%s.lora_a", p->tensor);
    const char *name_a = w->name_a ? w->name_a : name;
    if (name_a[0])
        assert_int_equal(gguf_put_tensor(out, name_a, w->dtype, a, 2, zeros, NULL), 0);
    snprintf(name, sizeof name, "%s.lora_b", p->tensor);
    const char *name_b = w->name_b ? w->name_b : name;
    if (name_b[0])
        assert_int_equal(gguf_put_tensor(out, name_b, w->dtype, b, 2, zeros, NULL), 0);
    assert_int_equal(gguf_write(out, path, NULL), 0);
    gguf_writer_free(out);
}

static void wrong_files_are_refused_by_name(void **state)
{
    static const wrong cases[] = {
        {.kind = "model", .code = ST_EUNSUPPORTED, .says = "general.type"},
        {.type = "ia3", .code = ST_EUNSUPPORTED, .says = "adapter.type"},
        {.arch = "qwen2", .code = ST_EFORMAT, .says = "'qwen2'"},
        {.more_key = "adapter.alora.invocation_tokens",
         .code = ST_EUNSUPPORTED,
         .says = "alora"},
        {.name_a = "", .code = ST_EFORMAT, .says = "1 .lora_b"},
        {.name_b = "", .code = ST_EFORMAT, .says = ".lora_b' is missing"},
        {.name_a = "", .name_b = "", .code = ST_EFORMAT, .says = "no tensor"},
        {.name_a = "blk.0.attn_q.bias",
         .code = ST_EUNSUPPORTED,
         .says = "'blk.0.attn_q.bias'"},
        {.name_a = "token_embd.weight.lora_a",
         .name_b = "token_embd.weight.lora_b",
         .code = ST_EUNSUPPORTED,
         .says = "token_embd.weight"},
        {.name_a = "blk.99.attn_q.weight.lora_a",
         .name_b = "blk.99.attn_q.weight.lora_b",
         .code = ST_EUNSUPPORTED,
         .says = "blk.99.attn_q.weight"},
        {.name_a = "blk.0.attn_qkv.weight.lora_a",
         .name_b = "blk.0.attn_qkv.weight.lora_b",
         .code = ST_EUNSUPPORTED,
         .says = "blk.0.attn_qkv.weight"},
        {.name_a = "blk.0.attn_q.weightx.lora_a",
         .name_b = "blk.0.attn_q.weightx.lora_b",
         .code = ST_EUNSUPPORTED,
         .says = "weightx"},
        {.rank_a = 5, .code = ST_EFORMAT, .says = "make no product"},
        {.rank_b = 3, .code = ST_EFORMAT, .says = "make no product"},
        {.rank_a = ADAPTER_MAX_RANK + 1,
         .rank_b = ADAPTER_MAX_RANK + 1,
         .rows = 1,
         .cols = 1,
         .code = ST_ELIMIT,
         .says = "rank of 1025"},
        {.rows = 7, .code = ST_EFORMAT, .says = "the adapter is for [7,"},
        {.cols = 33, .code = ST_EFORMAT, .says = "33]"},
        {.dtype = ST_Q8_0,
         .rank_a = 32,
         .rank_b = 32,
         .code = ST_EUNSUPPORTED,
         .says = "neither F32"},
    };
    bed b;
    (void)state;
    bed_init(&b, LLAMA);
    made_draw(&b.made, b.g, 4, 1, &b.rng);
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        wrong_write(&cases[i], &b.made.pairs[0], b.path);
        refused(&b, b.path, cases[i].code, cases[i].says);
    }
    refused(&b, LLAMA, ST_EUNSUPPORTED, "general.type");
    refused(&b, "/nowhere/at/all", ST_ENOTFOUND, "nowhere");
    refused(&b, b.folder, ST_ENOTFOUND, "adapter_config.json");
    bed_done(&b);
}

static void settings_that_matter_are_refused(void **state)
{
    static const struct {
        const char *more;
        int code;
        const char *says;
    } cases[] = {
        {", \"use_dora\": true", ST_EFORMAT, "use_dora"}, /* twice: duplicates */
        {", \"fan_in_fan_out\": true", ST_EUNSUPPORTED, "fan_in_fan_out"},
        {", \"alpha_pattern\": {\"q_proj\": 3}", ST_EUNSUPPORTED, "alpha_pattern"},
        {", \"layer_replication\": [[0, 1]]", ST_EUNSUPPORTED, "layer_replication"},
        {", \"init_lora_weights\": \"pissa\"", ST_EUNSUPPORTED, "'pissa'"},
        {", \"something_new\": 3", ST_EUNSUPPORTED, "something_new"},
        {", \"target_parameters\": [\"experts\"]", ST_EUNSUPPORTED, "target_parameters"},
    };
    static const struct {
        const char *text;
        int code;
        const char *says;
    } whole[] = {
        {"[]", ST_EFORMAT, "no object"},
        {"{", ST_EFORMAT, "adapter_config.json"},
        {"{}", ST_EUNSUPPORTED, "peft_type"},
        {"{\"peft_type\": \"LOHA\"}", ST_EUNSUPPORTED, "LOHA"},
        {"{\"peft_type\": \"LORA\", \"r\": 4}", ST_EFORMAT, "lora_alpha"},
        {"{\"peft_type\": \"LORA\", \"lora_alpha\": 4}", ST_EFORMAT, "'r'"},
        {"{\"peft_type\": \"LORA\", \"lora_alpha\": 4, \"r\": 9}", ST_EFORMAT, "rank 4"},
        {"{\"peft_type\": \"LORA\", \"lora_alpha\": 4, \"r\": 4, \"use_dora\": true}",
         ST_EUNSUPPORTED, "use_dora"},
        {"{\"peft_type\": \"LORA\", \"lora_alpha\": 4, \"r\": 4, \"bias\": \"all\"}",
         ST_EUNSUPPORTED, "'bias' 'all'"},
        {"{\"peft_type\": \"LORA\", \"lora_alpha\": 4, \"r\": 4, \"modules_to_save\": "
         "[\"lm_head\"]}",
         ST_EUNSUPPORTED, "modules_to_save"},
    };
    bed b;
    (void)state;
    bed_init(&b, LLAMA);
    made_draw(&b.made, b.g, 4, 3, &b.rng);
    made_write_peft(&b.made, ST_F32, b.folder);
    adapter_free(opened(&b, b.folder));
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        made_config(&b.made, cases[i].more, b.folder);
        refused(&b, b.folder, cases[i].code, cases[i].says);
    }
    for (size_t i = 0; i < ST_COUNT(whole); i++) {
        made_file(b.folder, "adapter_config.json", whole[i].text, strlen(whole[i].text));
        refused(&b, b.folder, whole[i].code, whole[i].says);
    }
    /* With a rank for each module the one in `r` is no module's. */
    made_file(b.folder, "adapter_config.json",
              "{\"peft_type\": \"LORA\", \"lora_alpha\": 4, \"r\": 9, \"rank_pattern\": "
              "{\"q_proj\": 4}}",
              strlen("{\"peft_type\": \"LORA\", \"lora_alpha\": 4, \"r\": 9, "
                     "\"rank_pattern\": {\"q_proj\": 4}}"));
    adapter_free(opened(&b, b.folder));
    bed_done(&b);
}

static void tensors_write(const bed *b, const char *const *names, size_t n)
{
    static const float zeros[1 << 12];
    const made_pair *p = &b->made.pairs[0];
    const uint64_t a[] = {4, p->cols}, bb[] = {p->rows, 4};
    safet_writer *w;
    char path[MADE_PATH];
    assert_int_equal(safet_writer_new(&w, NULL), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(safet_put(w, names[i], "F32",
                                   strstr(names[i], "lora_B") ? bb : a, 2, zeros, NULL),
                         0);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", b->folder);
    assert_int_equal(safet_write(w, path, NULL), 0);
    safet_writer_free(w);
}

static void modules_that_are_not_known_are_refused(void **state)
{
#define AT "base_model.model.model.layers.0."
    static const struct {
        const char *names[2];
        int code;
        const char *says;
    } cases[] = {
        {{AT "self_attn.q_proj.lora_A.weight", AT "self_attn.q_proj.lora_magnitude"},
         ST_EFORMAT,
         "no lora_B"},
        {{AT "mlp.experts.0.up_proj.lora_A.weight",
          AT "mlp.experts.0.up_proj.lora_B.weight"},
         ST_EUNSUPPORTED,
         "mlp.experts.0.up_proj"},
        {{"base_model.model.lm_head.lora_A.weight",
          "base_model.model.lm_head.lora_B.weight"},
         ST_EUNSUPPORTED,
         "lm_head"},
        {{"base_model.model.model.embed_tokens.lora_embedding_A", AT "x.lora_B.weight"},
         ST_EUNSUPPORTED,
         "lora_embedding_A"},
        {{"base_model.model.model.layers.4294967296.self_attn.q_proj.lora_A.weight",
          "base_model.model.model.layers.4294967296.self_attn.q_proj.lora_B.weight"},
         ST_EUNSUPPORTED,
         "4294967296"},
        {{AT "self_attn.q_proj.lora_B.weight", AT "self_attn.k_proj.lora_B.weight"},
         ST_EFORMAT,
         "2 lora_B"},
    };
    static const char *const twice[] = {AT "self_attn.q_proj.lora_A.weight",
                                        AT "self_attn.q_proj.lora_B.weight",
                                        AT "self_attn.q_proj.lora_A.default.weight",
                                        AT "self_attn.q_proj.lora_B.default.weight"};
    bed b;
    (void)state;
    bed_init(&b, LLAMA);
    made_draw(&b.made, b.g, 4, 1, &b.rng);
    made_pair *q = NULL; /* first of the pairs: the shape of what is written */
    for (uint32_t i = 0; !q && i < b.made.n; i++)
        if (strcmp(b.made.pairs[i].tensor, "blk.0.attn_q.weight") == 0)
            q = &b.made.pairs[i];
    assert_non_null(q);
    made_pair first = b.made.pairs[0];
    b.made.pairs[0] = *q;
    *q = first;
    made_config(&b.made, "", b.folder);
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        tensors_write(&b, cases[i].names, 2);
        refused(&b, b.folder, cases[i].code, cases[i].says);
    }
    tensors_write(&b, twice, 4);
    refused(&b, b.folder, ST_EFORMAT, "adapted twice");
    tensors_write(&b, twice + 2, 2);
    adapter_free(opened(&b, b.folder));
    bed_done(&b);
}

static void encoders_take_none(void **state)
{
    bed b, e;
    (void)state;
    bed_init(&b, LLAMA);
    bed_init(&e, GOLDENS "logits/bert-mini/model-f32.gguf");
    adapter_free(drawn(&b, 4, 1, ST_F32));
    refused(&e, b.path, ST_EUNSUPPORTED, "encoder");
    bed_done(&e);
    bed_done(&b);
}

typedef struct sweep {
    bed *b;
    const char *path;
} sweep;

static int open_once(void *arg)
{
    const sweep *w = arg;
    adapter *a = NULL;
    int rc = adapter_open(w->path, w->b->m, 1, &a, NULL);
    adapter_free(a);
    return rc;
}

static void memory_runs_out(void **state)
{
    bed b;
    (void)state;
    bed_init(&b, LLAMA);
    adapter_free(drawn(&b, 4, 1, ST_F32));
    made_write_peft(&b.made, ST_F32, b.folder);
    sweep file = {&b, b.path}, folder = {&b, b.folder};
    assert_true(fault_sweep(open_once, &file, 1) > 8);
    assert_true(fault_sweep(open_once, &folder, 1) > 12);
    bed_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_adapters_are_as_merged),
        cmocka_unit_test(peft_adapters_are_as_merged),
        cmocka_unit_test(formats_are_close),
        cmocka_unit_test(adapters_share_a_batch),
        cmocka_unit_test(sequences_carry_adapters),
        cmocka_unit_test(kept_text_is_an_adapters_own),
        cmocka_unit_test(prefixes_are_pinned_with_adapters),
        cmocka_unit_test(wrong_files_are_refused_by_name),
        cmocka_unit_test(settings_that_matter_are_refused),
        cmocka_unit_test(modules_that_are_not_known_are_refused),
        cmocka_unit_test(encoders_take_none),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
