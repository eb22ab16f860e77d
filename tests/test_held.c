/* tests/test_held.c - text held to a grammar: the choice among allowed ids, and many
 * tokens a step that are the same as one a step. */
#include "tests/sched_job.h"

#include "engine/held.h"
#include "engine/lookup.h"

static const char *const models[] = {
    GOLDENS "logits/llama-gqa/model-f32.gguf",
    GOLDENS "quant/models/llama-256-q4_0.gguf",
    GOLDENS "logits/gemma2/model-f32.gguf",
};

enum { WORDS = 64 }; /* the largest golden vocabulary has under 2048 ids */
enum { JOBS = 24 };
#define REAL ".cache/models/smollm2-135m-instruct.gguf"

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

/* --- held text, many tokens a step */

static const char *const grammars[] = {
    "root ::= \"{\\\"name\\\": \\\"\" [a-z ]{1,24} \"\\\", \\\"count\\\": \" [0-9]+ "
    "\", \\\"paid\\\": \" (\"true\" | \"false\") \"}\"",
    "root ::= \"[\" item (\", \" item)* \"]\"\nitem ::= \"\\\"\" [^\"\\\\\\n]* \"\\\"\"",
    "root ::= \"only-this-and-nothing-else\"",
    "root ::= \"caf\\u00e9 \" [\\u00e0-\\u00fc]{2,5} \" \\u2192 done.\"",
    "root ::= (\"yes\" | \"yesterday\" | \"no\") (\" and \" root)?",
    "root ::= [^\\x00-\\x08]* ",
    "root ::= \"<<\" (\"ab\" | \"abc\" | \"abcd\" [x-z]+)* \">>\" [0-9]{3} \"-\" "
    "[0-9]{4}",
    "root ::= \" \"? \"a\" (\" \" [a-c]+)+ \".\"",
};
enum { GBNFS = ST_COUNT(grammars), SCHEMAS = 10, GRAMMARS = GBNFS + SCHEMAS };

/* --- random schemas */

static void value_draw(fixture *f, uint32_t depth, st_buf *out)
{
    static const char *const leaves[] = {
        "{\"type\": \"string\", \"maxLength\": 12}",
        "{\"type\": \"string\", \"pattern\": \"^[a-c]{1,3}-[0-9]{2}$\"}",
        "{\"type\": \"integer\", \"minimum\": -20, \"maximum\": 3000}",
        "{\"type\": \"boolean\"}",
        "{\"enum\": [\"red\", \"reddish\", \"blue\", 7, null]}",
        "{\"const\": \"always the same\"}",
        "{\"anyOf\": [{\"type\": \"null\"}, {\"type\": \"number\"}]}",
        "{\"type\": \"string\", \"format\": \"date\"}",
    };
    uint32_t kind = below(f, depth > 0 ? 4 : 2);
    if (kind < 2) {
        st_buf_str(out, leaves[below(f, ST_COUNT(leaves))]);
    } else if (kind == 2) {
        st_buf_fmt(out, "{\"type\": \"array\", \"maxItems\": %u, ", 1 + below(f, 3));
        st_buf_fmt(out,
                   "\"uniqueItems\": %s, \"items\": ", below(f, 2) ? "true" : "false");
        value_draw(f, depth - 1, out);
        st_buf_char(out, '}');
    } else {
        uint32_t n = 1 + below(f, 4);
        st_buf_str(out, "{\"type\": \"object\", \"additionalProperties\": false, "
                        "\"properties\": {");
        for (uint32_t i = 0; i < n; i++) {
            st_buf_fmt(out, "%s\"%s %u\": ", i ? ", " : "", i % 2 ? "name" : "count", i);
            value_draw(f, depth - 1, out);
        }
        st_buf_fmt(out, "}, \"required\": [\"count 0\"%s]}", n > 1 ? ", \"name 1\"" : "");
    }
}

/* One that is not refused: some draws repeat what may not be repeated. */
static grammar *schema_draw(fixture *f)
{
    const grammar_schema_opts opts = {.space = (grammar_space)below(f, 3),
                                      .any_order = below(f, 3) == 0};
    for (;;) {
        grammar_refusal why;
        grammar *g;
        st_buf text;
        st_buf_init(&text, SIZE_MAX / 2);
        value_draw(f, 3, &text);
        int rc = grammar_schema(text.data, text.len, &opts, &g, &why, NULL);
        st_buf_done(&text);
        if (rc == 0)
            return g;
        assert_true(rc == ST_EUNSUPPORTED || rc == ST_EINVAL || rc == ST_ELIMIT);
    }
}

typedef struct bed { /* a model, its tokenizer and a masker for each grammar */
    fixture f;
    tok *tok;
    vocab *vocab;
    grammar *grammars[GRAMMARS];
    masker *maskers[GRAMMARS];
    uint64_t forced, proposed, agreed, preempted, cached, whole, steps, made;
} bed;

static void bed_init(bed *b, const char *path, bool small)
{
    st_err err = {0};
    gguf *g;
    *b = (bed){0};
    fixture_init(&b->f, path, small);
    assert_int_equal(gguf_open(path, &g, &err), 0);
    if (tok_new(g, &b->tok, &err) < 0 || vocab_new(b->tok, &b->vocab, &err) < 0)
        fail_msg("%s", err.message);
    gguf_close(g);
    for (int i = 0; i < GRAMMARS; i++) {
        if (i >= GBNFS)
            b->grammars[i] = schema_draw(&b->f);
        else if (grammar_gbnf(grammars[i], strlen(grammars[i]), &b->grammars[i], &err) <
                 0)
            fail_msg("grammar %d: %s", i, err.message);
        if (masker_new(b->grammars[i], b->vocab, NULL, &b->maskers[i], &err) < 0)
            fail_msg("grammar %d: %s", i, err.message);
    }
}

static void bed_done(bed *b)
{
    for (int i = 0; i < GRAMMARS; i++) {
        masker_free(b->maskers[i]);
        grammar_free(b->grammars[i]);
    }
    vocab_free(b->vocab);
    tok_free(b->tok);
    fixture_done(&b->f);
}

typedef struct held_job {
    job j; /* first: callbacks get it */
    int grammar;
    double want_held[MOST], got_held[MOST];
    bool want_forced[MOST], got_forced[MOST];
    st_buf text;  /* that is wanted */
    st_buf input; /* to copy from */
} held_job;

static bool held_came(void *arg, const sched_token *t)
{
    held_job *h = arg;
    h->got_held[h->j.n_got] = t->held_logp;
    h->got_forced[h->j.n_got] = t->forced;
    return token_came(&h->j, t);
}

/* The choice among what a mask allows, of plain logits. */
static int32_t pick_alone(bed *b, held_job *h, matcher *m, sampler *s, const int32_t *all,
                          uint32_t n, double *ret_held)
{
    fixture *f = &b->f;
    float *kept = st_dup(f->logits, f->info->n_vocab * sizeof *kept);
    mask now;
    double sum = 0;
    assert_int_equal(matcher_mask(m, &now, NULL), 0);
    for (uint32_t i = 0; i < f->info->n_vocab; i++) {
        bool end = tok_is_end(b->tok, (int32_t)i) || (int32_t)i == h->j.stop;
        bool may = end ? now.may_end : i < tok_n_vocab(b->tok) && bit(now.bits, i);
        if (may)
            sum += exp((double)kept[i]);
        else
            f->logits[i] = -INFINITY;
    }
    int32_t id = sampler_pick(s, f->work, all, n, f->logits);
    *ret_held = (double)kept[id] - log(sum);
    memcpy(f->logits, kept, f->info->n_vocab * sizeof *kept);
    st_free(kept);
    return id;
}

static void want_add(held_job *h, int32_t id, double logp, double held_logp, bool forced)
{
    job *j = &h->j;
    bool logs = j->ask.generate.logp;
    h->want_forced[j->n_want] = forced;
    h->want_held[j->n_want] = logs ? held_logp : 0;
    j->want_logp[j->n_want] = !logs ? 0 : forced ? (double)NAN : logp;
    j->want[j->n_want++] = id;
}

/* A held text made one token after the other, each from the logits of the whole
 * vocabulary, without a scheduler.  What is due is what held.h says. */
static void held_alone(bed *b, held_job *h, const int32_t *prefix, uint32_t n_prefix)
{
    fixture *f = &b->f;
    job *j = &h->j;
    const sched_generate *g = &j->ask.generate;
    int32_t all[3 * MOST];
    uint32_t n = n_prefix, fed = 0;
    sampler s;
    seq *q;
    matcher *m;
    held_text *due;
    st_err err = {0};
    if (n_prefix > 0)
        memcpy(all, prefix, n_prefix * sizeof *all);
    memcpy(all + n, j->tokens, j->ask.n * sizeof *all);
    n += j->ask.n;
    assert_int_equal(sampler_init(&s, &g->how, &err), 0);
    assert_int_equal(sampler_bias_set(&s, g->bias, g->n_bias, f->info->n_vocab, &err), 0);
    assert_int_equal(seq_new(f->plain, &q, &err), 0);
    assert_int_equal(matcher_new(b->maskers[h->grammar], &m, &err), 0);
    assert_int_equal(
        held_new(&g->held, g->stop_ids, g->n_stop, f->info->n_vocab, &due, &err), 0);
    for (;;) {
        held_kind kind;
        int32_t id;
        double logp = 0, held = 0;
        if (held_next(due, &kind, &id, &err) < 0)
            fail_msg("grammar %d: %s", h->grammar, err.message);
        assert_int_equal(kind == HELD_OVER, matcher_must_end(m));
        j->want_end = kind == HELD_OVER ? SCHED_END_DONE : SCHED_END_LENGTH;
        if (kind == HELD_OVER || j->n_want == g->max_new || n > engine_n_ctx(f->plain))
            break;
        if (kind == HELD_CHOICE) {
            const uint32_t last = n - fed - 1;
            float lse;
            step_item item = {.s = q,
                              .tokens = all + fed,
                              .n = n - fed,
                              .out = &last,
                              .n_out = 1,
                              .ret_logits = f->logits,
                              .ret_lse = &lse};
            assert_int_equal(engine_step(f->plain, &item, 1, &err), 0);
            fed = n;
            tops_alone(f, f->logits, lse, j);
            id = pick_alone(b, h, m, &s, all, n, &held);
            logp = (double)f->logits[id] - (double)lse;
        }
        j->want_end = SCHED_END_DONE;
        if (held_is_end(due, id))
            break;
        want_add(h, id, logp, held, kind == HELD_DUE);
        all[n++] = id;
        j->want_end = SCHED_END_STOP;
        assert_int_equal(held_take(due, id, &err), 0);
        assert_int_equal(matcher_accept(m, id, &err), 0);
        if (j->n_want == j->stop_after)
            break;
    }
    size_t len;
    const char *text = matcher_text(m, &len);
    st_buf_add(&h->text, text, len);
    if (j->want_end == SCHED_END_DONE &&
        grammar_validate(b->grammars[h->grammar], text, len, &err) < 0)
        fail_msg("grammar %d: %s: %s", h->grammar, text, err.message);
    held_free(due);
    matcher_free(m);
    seq_free(q);
}

/* Parts of the text that will be made, and of nothing. */
static void input_draw(fixture *f, held_job *h)
{
    static const char noise[] = "name: the count is 17, paid: true. \"and so on\"\n";
    for (uint32_t parts = below(f, 5); parts > 0; parts--) {
        bool own = below(f, 4) != 0 && h->text.len > 0;
        const char *from = own ? h->text.data : noise;
        uint32_t len = own ? (uint32_t)h->text.len : (uint32_t)strlen(noise);
        uint32_t at = below(f, 3) ? 0 : below(f, len);
        st_buf_add(&h->input, from + at, 1 + below(f, len - at));
    }
    h->j.ask.generate.held.input = h->input.data;
    h->j.ask.generate.held.input_len = h->input.len;
}

static void held_draw(bed *b, held_job *h, sched_prefix *prefix, const int32_t *before)
{
    fixture *f = &b->f;
    job *j = &h->j;
    sched_generate *g = &j->ask.generate;
    *h = (held_job){.grammar = (int)below(f, GRAMMARS)};
    st_buf_init(&h->text, SIZE_MAX / 2);
    st_buf_init(&h->input, SIZE_MAX / 2);
    j->ask.class = below(f, 3) ? SCHED_INTERACTIVE : SCHED_BULK;
    j->ask.key = 100 + below(f, 3);
    j->ask.done = job_ended;
    j->ask.arg = h;
    j->ask.tokens = j->tokens;
    j->ask.n = 1 + below(f, below(f, 3) ? 30 : MOST - 100);
    for (uint32_t i = 0; i < j->ask.n; i++)
        j->tokens[i] = (int32_t)below(f, f->info->n_vocab);
    g->how = SAMPLER_GREEDY;
    g->how.temperature = below(f, 3) ? 0 : 0.9f;
    g->how.seed = st_rng_u64(&f->rng);
    g->how.repeat_penalty = below(f, 4) ? 1 : 1.2f;
    g->how.top_k = below(f, 2) ? 20 : 0;
    g->max_new = 1 + below(f, below(f, 4) ? 90 : 8);
    g->logp = below(f, 3) == 0;
    g->on_token = held_came;
    j->stop_after = below(f, 8) ? 0 : 1 + below(f, 12);
    do
        j->stop = (int32_t)below(f, f->info->n_vocab);
    while (!tok_is_control(b->tok, j->stop));
    g->stop_ids = &j->stop;
    g->n_stop = below(f, 2);
    if (g->n_stop == 0)
        j->stop = -1;
    tops_draw(f, j);
    g->held.masker = b->maskers[h->grammar];
    g->held.tok = b->tok;
    uint32_t n_prefix = prefix && below(f, 2) ? PREFIX : 0;
    j->ask.prefix = n_prefix ? prefix : NULL;
    held_alone(b, h, before, n_prefix);
    input_draw(f, h);
}

static void held_check(bed *b, held_job *h)
{
    const sched_result *r = &h->j.result;
    job_check(&b->f, &h->j);
    if (!h->j.is_cancelled) {
        uint32_t forced = 0;
        for (uint32_t i = 0; i < h->j.n_want; i++) {
            forced += h->want_forced[i];
            assert_int_equal(h->got_forced[i], h->want_forced[i]);
            assert_float_equal(h->got_held[i], h->want_held[i], 1e-4);
        }
        assert_int_equal(r->n_forced, forced);
        assert_true(r->n_agreed <= r->n_proposed);
        assert_true(r->n_steps <= h->j.n_want - forced + 1);
        b->whole += r->end == SCHED_END_DONE;
    }
    b->forced += r->n_forced;
    b->proposed += r->n_proposed;
    b->agreed += r->n_agreed;
    b->preempted += r->n_preempted;
    b->steps += r->n_steps;
    b->made += h->j.n_got;
    st_buf_done(&h->text);
    st_buf_done(&h->input);
}

static engine *engine_draw(fixture *f)
{
    static const uint32_t batches[] = {0, 2, 24, 100};
    size_t page = model_kv_page_bytes(f->m, f->kv_type);
    engine_opts opts = {.n_threads = 1 + below(f, 3),
                        .max_batch = batches[below(f, 4)],
                        .max_seqs = 8,
                        .kv_type = f->kv_type,
                        .kv_bytes = (9 + below(f, 12)) * page}; /* the longest takes 6 */
    engine *e;
    assert_int_equal(engine_new(f->m, &opts, &e, NULL), 0);
    return e;
}

static void held_mix(bed *b, uint32_t n_jobs)
{
    static held_job jobs[JOBS];
    fixture *f = &b->f;
    engine *e = engine_draw(f);
    uint32_t pages = engine_free_pages(e), came = 0;
    const uint32_t most = engine_max_batch(e) > 8 ? 7 : 1;
    static const uint32_t step_us[] = {0, 1, 2000, UINT32_MAX};
    sched_opts opts = {.max_live = 1 + below(f, most),
                       .prefill_chunk = 1 + below(f, 60),
                       .step_us = step_us[below(f, ST_COUNT(step_us))]};
    int32_t before[PREFIX];
    sched_prefix *prefix = NULL;
    sched_stats stats;
    sched *s;
    st_err err = {0};
    if (sched_new(e, &opts, &s, &err) < 0)
        fail_msg("%s", err.message);
    for (uint32_t i = 0; i < PREFIX; i++)
        before[i] = (int32_t)below(f, f->info->n_vocab);
    if (below(f, 3))
        assert_int_equal(sched_prefix_pin(s, before, PREFIX, &prefix, &err), 0);
    for (uint32_t i = 0; i < n_jobs; i++)
        held_draw(b, &jobs[i], prefix, before);
    for (bool left = true; left || came < n_jobs;) {
        uint32_t n = below(f, 3) ? 0 : below(f, 6);
        for (; n > 0 && came < n_jobs; n--)
            submit(s, &jobs[came++].j);
        if (came > 0 && below(f, 20) == 0) {
            job *j = &jobs[below(f, came)].j;
            j->is_cancelled = true; /* or it is over */
            sched_cancel(s, j->id);
        }
        left = sched_step(s);
    }
    for (uint32_t i = 0; i < n_jobs; i++)
        held_check(b, &jobs[i]);
    sched_stats_get(s, &stats);
    assert_int_equal(stats.waiting + stats.live, 0);
    assert_int_equal(stats.finished + stats.failed, n_jobs);
    assert_int_equal(stats.pages_free + stats.pages_cached + stats.pages_pinned, pages);
    b->cached += stats.tokens_cached;
    sched_prefix_unpin(s, prefix);
    sched_free(s);
    assert_int_equal(engine_free_pages(e), pages);
    engine_free(e);
}

static void bed_run(const char *path, bool small, int rounds)
{
    bed b;
    bed_init(&b, path, small);
    for (int round = 0; round < rounds; round++)
        held_mix(&b, JOBS);
    print_message("%s: %d made in %d steps; %d forced, %d of %d proposed were right, %d "
                  "whole, %d preempted\n",
                  path, (int)b.made, (int)b.steps, (int)b.forced, (int)b.agreed,
                  (int)b.proposed, (int)b.whole, (int)b.preempted);
    assert_true(b.forced > 0 && b.agreed > 0 && b.agreed < b.proposed);
    assert_true(b.whole > 0 && b.preempted > 0 && b.cached > 0);
    bed_done(&b);
}

static void steps_are_saved_and_nothing_changes(void **state)
{
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i++) {
        bed_run(models[i], false, 20);
        bed_run(models[i], true, 10);
    }
}

/* --- one request */

typedef struct one { /* and what it gave */
    sched_request ask;
    st_buf text;
    tok_ids ids;
    const tok *tok;
    masker *frees; /* with its end */
    sched_end end;
    int code;
    uint32_t n_told, n_steps, n_done;
} one;

static bool one_came(void *arg, const sched_token *t)
{
    one *o = arg;
    o->n_told++;
    return tok_piece(o->tok, t->id, &o->text, NULL) == 0;
}

static void one_ended(void *arg, const sched_result *r)
{
    one *o = arg;
    o->end = r->end;
    o->code = r->end == SCHED_END_ERROR ? r->err->code : 0;
    o->n_steps = r->n_steps;
    o->n_done++;
    masker_free(o->frees);
    assert_int_equal(r->n_new, o->n_told);
}

static int one_ask(bed *b, one *o, masker *m, uint32_t max_new)
{
    static const int32_t prompt[] = {40, 50, 60};
    const sched_opts opts = {.max_requests = 2, .max_live = 1};
    sched *s;
    sched_id id;
    st_buf_init(&o->text, SIZE_MAX / 2);
    o->tok = b->tok;
    o->n_told = o->n_done = 0;
    o->ask.tokens = prompt;
    o->ask.n = 3;
    o->ask.generate.how = SAMPLER_GREEDY;
    o->ask.generate.max_new = max_new;
    o->ask.generate.held.masker = m;
    o->ask.generate.held.tok = b->tok;
    o->ask.generate.on_token = one_came;
    o->ask.done = one_ended;
    o->ask.arg = o;
    int rc = sched_new(b->f.plain, &opts, &s, NULL);
    if (rc < 0)
        return rc;
    rc = sched_submit(s, &o->ask, &id, NULL);
    while (rc == 0 && sched_step(s))
        continue;
    sched_free(s);
    return rc < 0 ? rc : o->code;
}

static void bed_init_first(bed *b)
{
    bed_init(b, models[0], false);
}

/* Text with one way on needs no step, ends by itself, and is what the tokenizer writes.
 */
static void forced_text_takes_no_step(void **state)
{
    static const char text[] = "only-this-and-nothing-else";
    bed b;
    one o = {0};
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    bed_init_first(&b);
    assert_int_equal(one_ask(&b, &o, b.maskers[2], 100), 0);
    assert_int_equal(o.end, SCHED_END_DONE);
    assert_int_equal(o.n_steps, 0);
    assert_string_equal(o.text.data, text);
    st_buf_done(&o.text);
    assert_int_equal(one_ask(&b, &o, b.maskers[2], 3), 0);
    assert_int_equal(o.end, SCHED_END_LENGTH);
    assert_int_equal(o.n_told, 3);
    st_buf_done(&o.text);
    bed_done(&b);
}

/* All of it as the tokenizer writes it. */
static void forced_as_written(bed *b, const char *text)
{
    const size_t len = strlen(text);
    tok_ids ids = {0};
    grammar *g;
    masker *m;
    held_text *h;
    held_kind kind;
    int32_t id;
    assert_int_equal(grammar_choices(&text, &len, 1, &g, NULL), 0);
    assert_int_equal(masker_new(g, b->vocab, NULL, &m, NULL), 0);
    const sched_held ask = {.masker = m, .tok = b->tok};
    assert_int_equal(held_new(&ask, NULL, 0, b->f.info->n_vocab, &h, NULL), 0);
    assert_int_equal(tok_encode(b->tok, text, len, TOK_LITERAL, &ids, NULL), 0);
    for (size_t i = 0; i < ids.n; i++) {
        assert_int_equal(held_next(h, &kind, &id, NULL), 0);
        assert_int_equal(kind, HELD_DUE);
        assert_int_equal(id, ids.ids[i]);
        assert_int_equal(held_take(h, id, NULL), 0);
    }
    assert_int_equal(held_next(h, &kind, &id, NULL), 0);
    assert_int_equal(kind, HELD_OVER);
    tok_ids_done(&ids);
    held_free(h);
    masker_free(m);
    grammar_free(g);
}

/* After text that was chosen, as the tokenizer writes both together. */
static void forced_after_choice(bed *b)
{
    static const char text[] = "{\"name\": \"x\", \"count\": 7";
    tok_ids ids = {0};
    held_text *h;
    held_kind kind;
    int32_t id;
    uint32_t chosen = 0;
    const sched_held ask = {.masker = b->maskers[0], .tok = b->tok};
    assert_int_equal(held_new(&ask, NULL, 0, b->f.info->n_vocab, &h, NULL), 0);
    assert_int_equal(tok_encode(b->tok, text, strlen(text), TOK_LITERAL, &ids, NULL), 0);
    for (size_t i = 0; i < ids.n; i++) {
        assert_int_equal(held_next(h, &kind, &id, NULL), 0);
        chosen += kind == HELD_CHOICE;
        if (kind == HELD_DUE)
            assert_int_equal(id, ids.ids[i]);
        assert_int_equal(held_take(h, ids.ids[i], NULL), 0);
    }
    assert_in_range(chosen, 3, 5); /* the quote, what is in it, its end, the number */
    tok_ids_done(&ids);
    held_free(h);
}

static void a_real_model(void **state)
{
    static const char *const texts[] = {
        "{\"order_id\": \"A-48213\", \"customer\": \"Maria Gonz\xC3\xA1lez\"}",
        "Yes, this is all that there is to say.\n\n  - one\n  - two",
        "\xE2\x82\xAC 12.50",
        "x",
    };
    bed b;
    (void)state;
    if (!is_here(REAL))
        return;
    bed_init(&b, REAL, true);
    for (size_t i = 0; i < ST_COUNT(texts); i++)
        forced_as_written(&b, texts[i]);
    forced_after_choice(&b);
    held_mix(&b, 6);
    bed_done(&b);
}

static void bad_requests_are_refused(void **state)
{
    const int32_t text = 70;
    bed b;
    one o = {0};
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    bed_init_first(&b);
    assert_false(tok_is_control(b.tok, text));
    o.ask.generate.stop_ids = &text;
    o.ask.generate.n_stop = 1;
    assert_int_equal(one_ask(&b, &o, b.maskers[0], 9), ST_EINVAL);
    assert_int_equal(o.n_done, 0);
    o.ask.generate.n_stop = 0;
    tok *t = b.tok;
    b.tok = NULL;
    assert_int_equal(one_ask(&b, &o, b.maskers[0], 9), ST_EINVAL);
    b.tok = t;
    bed_done(&b);
}

/* What was lent may be freed when a request ends. */
static void lent_until_done(void **state)
{
    bed b;
    one o = {0};
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    bed_init_first(&b);
    assert_int_equal(masker_new(b.grammars[0], b.vocab, NULL, &o.frees, NULL), 0);
    assert_int_equal(one_ask(&b, &o, o.frees, 100), 0);
    assert_int_equal(o.n_done, 1);
    st_buf_done(&o.text);
    bed_done(&b);
}

/* A text that has to go on with what the vocabulary does not have. */
static void nowhere_to_go_is_an_error(void **state)
{
    static const char schema[] = "root ::= \"ab\" root | \"c\"";
    const masker_opts tight = {.bytes = 1};
    bed b;
    one o = {0};
    grammar *g;
    masker *m;
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    bed_init_first(&b);
    assert_int_equal(grammar_gbnf(schema, strlen(schema), &g, NULL), 0);
    int rc = masker_new(g, b.vocab, &tight, &m, NULL);
    if (rc == 0) {
        assert_int_equal(one_ask(&b, &o, m, 9), ST_ELIMIT);
        assert_int_equal(o.end, SCHED_END_ERROR);
        assert_int_equal(o.n_done, 1);
        masker_free(m);
        st_buf_done(&o.text);
    }
    grammar_free(g);
    bed_done(&b);
}

static int held_work(void *arg)
{
    bed *b = arg;
    static const char input[] = "name: abc, count: 17";
    one o = {.ask.generate = {.held = {.input = input, .input_len = sizeof input - 1}}};
    masker *m = NULL;
    int rc = masker_new(b->grammars[0], b->vocab, NULL, &m, NULL);
    if (rc == 0)
        rc = one_ask(b, &o, m, 40);
    masker_free(m);
    st_buf_done(&o.text);
    return rc;
}

static void memory_runs_out(void **state)
{
    bed b;
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    bed_init_first(&b);
    uint32_t pages = engine_free_pages(b.f.plain);
    assert_true(fault_sweep(held_work, &b, 1) > 30);
    assert_int_equal(engine_free_pages(b.f.plain), pages);
    bed_done(&b);
}

/* --- looking up */

static const char message[] =
    "Order no: A-17 by Ann Lee of Oslo, 12 red cups.\nTo be sent (soon) to the old mill.";

static size_t resumed(const char *text, const char *value)
{
    const lookup l = {message, strlen(message)};
    size_t begin = (size_t)(strstr(text, value) - text);
    return lookup_resume(&l, text, strlen(text), begin);
}

static size_t behind(const char *part)
{
    return (size_t)(strstr(message, part) - message) + strlen(part);
}

static void texts_go_on_in_the_input(void **state)
{
    const lookup l = {message, strlen(message)};
    const char *name;
    size_t n;
    (void)state;
    assert_int_equal(resumed("{\"a\": \"Ann", "Ann"), behind("Ann"));
    assert_int_equal(resumed("{\"a\": \"L", "L"), behind("Ann L"));
    assert_int_equal(resumed("{\"a\": \"by Ann Le", "by Ann Le"), behind("by Ann Le"));
    assert_int_equal(resumed("{\"a\": \"Joe Lee", "Joe Lee"), behind("Ann Lee"));
    assert_int_equal(resumed("{\"a\": \"Joee", "Joee"), LOOKUP_NONE);
    assert_int_equal(lookup_resume(&l, "abc", 3, 3), LOOKUP_NONE);
    assert_true(lookup_named("{\"order_no\": \"", 14, &name, &n));
    assert_int_equal(n, 8);
    assert_int_equal(lookup_label(&l, name, n), behind("no: "));
    assert_int_equal(lookup_label(&l, "order", 5), LOOKUP_NONE);
    assert_int_equal(lookup_label(&l, "", 0), LOOKUP_NONE);
    assert_false(lookup_named("[\"a", 3, &name, &n));
    assert_false(lookup_named("\": \"", 4, &name, &n));
    assert_int_equal(lookup_word(&l, 1), behind("Order "));
    assert_int_equal(lookup_word(&l, l.len), LOOKUP_NONE);
    assert_int_equal(lookup_extent(&l, behind("by "), 99, "", 0), strlen("Ann Lee"));
    assert_int_equal(lookup_extent(&l, behind("by "), 5, "", 0), 5);
    assert_int_equal(lookup_extent(&l, behind("12 "), 99, "12 red", 6),
                     strlen("red cups"));
    assert_int_equal(lookup_extent(&l, behind("to the "), 99, "", 0), strlen("old mill"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allowed_ids_are_chosen_among),
        cmocka_unit_test(bad_choices_are_refused),
        cmocka_unit_test(steps_are_saved_and_nothing_changes),
        cmocka_unit_test(forced_text_takes_no_step),
        cmocka_unit_test(a_real_model),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(lent_until_done),
        cmocka_unit_test(nowhere_to_go_is_an_error),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(texts_go_on_in_the_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
