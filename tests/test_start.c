/* tests/test_start.c - answers that come later, from the steps of a shared scheduler:
 * those of a call that waits, whoever else is under way, cancelled at every moment, with
 * memory running out.
 *
 * One small model of random weights is lent to several tasks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "expert/readout_ask.h"
#include "task/start.h"
#include "tests/fault.h"
#include "tests/here.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TINY "../shared/goldens/logits/llama-gqa/model-f32.gguf"

enum { TEXTS = 6, OPTIONS = 3 };

static const char *const texts[TEXTS] = {
    "meow purr number 7", "goldfish", "gills and water", "woof", "", "a cat, two dogs"};

/* --- the model that is lent */

typedef struct lender {
    lm *l;
    uint32_t n_lent;
} lender;

static int lend(void *arg, const contract *c, const char *name, lm **ret_lm, st_err *err)
{
    lender *from = arg;
    (void)c;
    (void)name;
    (void)err;
    from->n_lent++;
    *ret_lm = from->l;
    return 0;
}

static void take_back(void *arg, lm *l)
{
    lender *from = arg;
    assert_ptr_equal(from->l, l);
    from->n_lent--;
}

static void lender_open(lender *from, const sched_opts *opts)
{
    const lm_opts how = {.engine = {.n_threads = 1, .kv_best = true, .max_seqs = 16},
                         .int8 = true};
    st_err err = {0};
    sched *s;
    *from = (lender){0};
    if (lm_open(TINY, &how, &from->l, &err) || lm_sched(from->l, opts, &s, &err))
        fail_msg("%s", err.message);
}

/* All that was borrowed is back, pages too. */
static void lender_close(lender *from, uint32_t pages)
{
    assert_int_equal(from->n_lent, 0);
    assert_false(sched_step(from->l->sched));
    sched_spare(from->l->sched, UINT32_MAX);
    assert_int_equal(engine_free_pages(from->l->engine), pages);
    lm_close(from->l);
}

/* --- tasks */

static char path[] = "/tmp/stint-start-XXXXXX";

static const char choice[] = "question:\n"
                             "  type: choice\n"
                             "  instructions: Which animal?\n"
                             "  choices: [{value: cat, description: it says meow}, "
                             "{value: dog}, {value: fish}]\n"
                             "rules: [{if: {matches: '^goldfish'}, answer: fish}]\n"
                             "input: {max_tokens: 40}\n";
static const char predicate[] = "question:\n"
                                "  type: predicate\n"
                                "  instructions: It is a pet.\n";
static const char extract[] = "question:\n"
                              "  type: extract\n"
                              "  schema:\n"
                              "    type: object\n"
                              "    properties:\n"
                              "      kind: {enum: [cat, dog, null]}\n"
                              "      legs: {type: integer, minimum: 0, maximum: 8}\n"
                              "      name: {type: string, maxLength: 8}\n"
                              "    required: [kind, legs, name]\n"
                              "    additionalProperties: false\n"
                              "checks: [{field: /legs, min: 9}]\n" /* once more, always */
                              "input: {max_tokens: 40}\n";

static void put_contract(const char *body)
{
    char cwd[2000], yaml[5000];
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(yaml, sizeof yaml, "task: pets\nmodels: ['%s/" TINY "']\n%s", cwd, body);
    assert_int_equal(st_file_write(path, yaml, strlen(yaml), NULL), 0);
}

static task *open_task(const char *body, const model_source *source)
{
    const task_opts opts = {.n_threads = 1, .source = source};
    st_err err = {0};
    task *t = NULL;
    put_contract(body);
    if (task_open(path, &opts, &t, &err) || task_bind(t, &err))
        fail_msg("%s", err.message);
    return t;
}

static extraction *open_extraction(const model_source *source)
{
    const extraction_opts opts = {.n_threads = 1, .source = source};
    st_err err = {0};
    extraction *x = NULL;
    contract *c;
    put_contract(extract);
    if (contract_load(path, &c, &err) || extraction_open(c, &opts, &x, &err) ||
        extraction_bind(x, &err))
        fail_msg("%s", err.message);
    return x;
}

/* --- an input under way, and what it got */

typedef struct input {
    const char *text;
    uint64_t handle;
    uint32_t n_done;
    int why;
    task_answer answer;
    double probs[OPTIONS];
    uint32_t n_options;
    uint32_t n_prompt;
    char output[100]; /* "" when there is none */
    bool failed_checks;
    double p; /* of the last field */
} input;

static void decided(void *arg, const task_reply *reply, const st_err *why)
{
    input *in = arg;
    assert_int_equal(in->n_done++, 0);
    assert_true(!reply != !why);
    in->why = why ? why->code : 0;
    if (!reply)
        return;
    in->answer = *reply->answer;
    in->n_prompt = reply->n_prompt;
    assert_int_equal(reply->probs == NULL, in->answer.code != 0);
    if (reply->probs)
        memcpy(in->probs, reply->probs, in->n_options * sizeof *in->probs);
}

static void take_answer(input *in, const extract_answer *a)
{
    snprintf(in->output, sizeof in->output, "%s", a->output ? a->output : "");
    in->failed_checks = a->n_faults > 0;
    in->answer.code = a->code;
    in->n_prompt = a->n_prompt;
    for (uint32_t i = 0; i < a->fields.n; i++)
        if (fields_is(&a->fields, i))
            in->p = a->probability[i];
}

static void written(void *arg, const extract_answer *a, const st_err *why)
{
    input *in = arg;
    assert_int_equal(in->n_done++, 0);
    assert_true(!a != !why);
    in->why = why ? why->code : 0;
    if (a)
        take_answer(in, a);
}

static int start_task(task *t, input *in, uint64_t key, sched_class class, st_err *err)
{
    const task_ask ask = {.text = in->text,
                          .len = strlen(in->text),
                          .class = class,
                          .key = key,
                          .done = decided,
                          .arg = in};
    in->n_options = task_contract(t)->question.n_options;
    return task_start(t, &ask, &in->handle, err);
}

static int start_extraction(extraction *x, input *in, uint64_t key, sched_class class,
                            st_err *err)
{
    const extraction_ask ask = {.text = in->text,
                                .len = strlen(in->text),
                                .class = class,
                                .key = key,
                                .done = written,
                                .arg = in};
    return extraction_start(x, &ask, &in->handle, err);
}

static bool same(const input *a, const input *b)
{
    return a->answer.code == b->answer.code && a->answer.answer == b->answer.answer &&
           a->answer.route == b->answer.route && a->answer.rule == b->answer.rule &&
           memcmp(a->probs, b->probs, sizeof a->probs) == 0 &&
           strcmp(a->output, b->output) == 0 && a->failed_checks == b->failed_checks &&
           memcmp(&a->p, &b->p, sizeof a->p) == 0;
}

/* What a call that waits gives, each input alone, with a model of its own. */
static void decide_alone(const char *body, input *want)
{
    task *t = open_task(body, NULL);
    for (int i = 0; i < TEXTS; i++) {
        size_t len = strlen(texts[i]);
        st_err err = {0};
        want[i] = (input){.text = texts[i]};
        assert_int_equal(task_decide(t, &texts[i], &len, 1, &want[i].answer,
                                     want[i].probs, NULL, &err),
                         0);
    }
    task_close(t);
}

static void write_alone(input *want)
{
    extraction *x = open_extraction(NULL);
    for (int i = 0; i < TEXTS; i++) {
        size_t len = strlen(texts[i]);
        extract_answer a;
        st_err err = {0};
        want[i] = (input){.text = texts[i]};
        assert_int_equal(extraction_decide(x, &texts[i], &len, NULL, 1, &a, &err), 0);
        take_answer(&want[i], &a);
        extract_answer_done(&a);
    }
    extraction_close(x);
}

/* --- tests */

/* Three tasks on one model: inputs of all are under way at once, more join between steps,
 * and each gets what it gets alone. */
static void tasks_share_a_model(void **state)
{
    enum { ROUNDS = 4, TASKS = 3 };
    static input want[TASKS][TEXTS], got[ROUNDS][TASKS][TEXTS];
    lender from;
    st_rng rng = {11};
    (void)state;
    if (!is_here(TINY))
        skip();
    decide_alone(choice, want[0]);
    decide_alone(predicate, want[1]);
    write_alone(want[2]);
    lender_open(&from, NULL);
    uint32_t pages = engine_free_pages(from.l->engine);
    const model_source source = {lend, take_back, &from};
    task *a = open_task(choice, &source), *b = open_task(predicate, &source);
    extraction *x = open_extraction(&source);
    assert_true(task_is_async(a) && task_is_async(b));
    assert_int_equal(from.n_lent, TASKS);
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < TEXTS * TASKS; i++) {
            st_err err = {0};
            int k = i % TASKS;
            input *in = &got[r][k][i / TASKS];
            uint64_t key = 1 + st_rng_below(&rng, 3);
            sched_class class = st_rng_below(&rng, 2) ? SCHED_BULK : SCHED_INTERACTIVE;
            *in = (input){.text = texts[i / TASKS]};
            int rc = k == 2 ? start_extraction(x, in, key, class, &err)
                            : start_task(k ? b : a, in, key, class, &err);
            if (rc)
                fail_msg("%s", err.message);
            assert_int_equal(in->n_done, in->handle == 0);
            for (uint32_t n = st_rng_below(&rng, 3); n > 0; n--)
                sched_step(from.l->sched);
        }
    while (sched_step(from.l->sched))
        ;
    for (int r = 0; r < ROUNDS; r++)
        for (int k = 0; k < TASKS; k++)
            for (int i = 0; i < TEXTS; i++) {
                const input *in = &got[r][k][i];
                assert_int_equal(in->n_done, 1);
                assert_int_equal(in->why, 0);
                if (!same(in, &want[k][i]))
                    fail_msg("task %d, round %d: '%s'", k, r, texts[i]);
                assert_int_equal(in->n_prompt == 0, in->answer.rule >= 0 && k < 2);
            }
    assert_int_equal(want[0][1].answer.rule, 0);
    assert_true(want[2][0].failed_checks);
    task_close(a);
    extraction_close(x);
    task_close(b);
    lender_close(&from, pages);
}

/* An input that is too long has its answer at once, and a name that is unknown is nothing
 * to cancel. */
static void some_answers_come_at_once(void **state)
{
    static char longer[4000];
    lender from;
    st_err err = {0};
    (void)state;
    if (!is_here(TINY))
        skip();
    memset(longer, 'a', sizeof longer - 1);
    lender_open(&from, NULL);
    uint32_t pages = engine_free_pages(from.l->engine);
    const model_source source = {lend, take_back, &from};
    task *t = open_task(choice, &source);
    extraction *x = open_extraction(&source);
    input in = {.text = longer}, rule = {.text = "goldfish"}, w = {.text = longer};
    assert_int_equal(start_task(t, &in, 1, SCHED_BULK, &err), 0);
    assert_int_equal(start_task(t, &rule, 1, SCHED_BULK, &err), 0);
    assert_int_equal(start_extraction(x, &w, 1, SCHED_BULK, &err), 0);
    assert_true(in.n_done == 1 && in.handle == 0 && in.answer.code == ST_ELIMIT);
    assert_true(w.n_done == 1 && w.handle == 0 && w.answer.code == ST_ELIMIT);
    assert_true(rule.n_done == 1 && rule.answer.route == TASK_RULE);
    assert_true(rule.probs[2] == 1 && rule.n_prompt == 0);
    task_cancel(t, 0);
    task_cancel(t, 99);
    extraction_cancel(x, 0);
    extraction_cancel(x, 99);
    extraction_close(x);
    task_close(t);
    lender_close(&from, pages);
}

/* Cancelled after 0, 1, 2, ... steps until there was nothing left to cancel: one call of
 * done, with what it should be or with ST_ECANCELLED; others do not notice. */
static void cancelled_at_every_step(void **state)
{
    static input want[2][TEXTS];
    lender from;
    uint32_t n_cancelled[2] = {0};
    (void)state;
    if (!is_here(TINY))
        skip();
    decide_alone(choice, want[0]);
    write_alone(want[1]);
    for (int kind = 0; kind < 2; kind++) {
        bool early = true;
        for (uint32_t at = 0; early; at++) {
            st_err err = {0};
            lender_open(&from, NULL);
            uint32_t pages = engine_free_pages(from.l->engine);
            const model_source source = {lend, take_back, &from};
            task *t = open_task(choice, &source);
            extraction *x = open_extraction(&source);
            input in = {.text = texts[0]}, other = {.text = texts[2]};
            assert_int_equal(start_task(t, &other, 1, SCHED_BULK, &err), 0);
            int rc = kind ? start_extraction(x, &in, 2, SCHED_BULK, &err)
                          : start_task(t, &in, 2, SCHED_BULK, &err);
            assert_int_equal(rc, 0);
            for (uint32_t i = 0; i < at; i++)
                sched_step(from.l->sched);
            early = in.n_done == 0;
            if (kind)
                extraction_cancel(x, in.handle);
            else
                task_cancel(t, in.handle);
            while (sched_step(from.l->sched))
                ;
            assert_int_equal(in.n_done, 1);
            assert_int_equal(in.why, early ? ST_ECANCELLED : 0);
            assert_true(early || same(&in, &want[kind][0]));
            assert_true(other.n_done == 1 && same(&other, &want[0][2]));
            n_cancelled[kind] += early;
            task_close(t);
            extraction_close(x);
            lender_close(&from, pages);
        }
    }
    assert_true(n_cancelled[0] >= 2 && n_cancelled[1] >= 6);
}

/* A task that is closed ends what is under way, the neutral input among it. */
static void closed_under_way(void **state)
{
    lender from;
    (void)state;
    if (!is_here(TINY))
        skip();
    for (uint32_t at = 0; at < 4; at++) {
        st_err err = {0};
        lender_open(&from, NULL);
        uint32_t pages = engine_free_pages(from.l->engine);
        const model_source source = {lend, take_back, &from};
        task *t = open_task(choice, &source);
        extraction *x = open_extraction(&source);
        input in[3] = {{.text = texts[0]}, {.text = texts[2]}, {.text = texts[3]}};
        for (int i = 0; i < 2; i++)
            assert_int_equal(start_task(t, &in[i], 1, SCHED_BULK, &err), 0);
        assert_int_equal(start_extraction(x, &in[2], 1, SCHED_BULK, &err), 0);
        task_cancel(t, in[0].handle);
        for (uint32_t i = 0; i < at; i++)
            sched_step(from.l->sched);
        task_close(t);
        extraction_close(x);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(in[i].n_done, 1);
            assert_true(in[i].why == ST_ECANCELLED || (i > 0 && at > 0));
        }
        lender_close(&from, pages);
    }
}

/* A full queue refuses, and takes the next attempt of what it has. */
static void full_queues_and_deadlines(void **state)
{
    const sched_opts few = {.max_requests = 4, .max_live = 2};
    lender from;
    st_err err = {0};
    (void)state;
    if (!is_here(TINY))
        skip();
    lender_open(&from, &few);
    uint32_t pages = engine_free_pages(from.l->engine);
    const model_source source = {lend, take_back, &from};
    task *t = open_task(choice, &source);
    extraction *x = open_extraction(&source);
    input in[5];
    for (uint32_t i = 0; i < 5; i++)
        in[i] = (input){.text = texts[0]};
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(start_extraction(x, &in[i], i + 1, SCHED_BULK, &err), 0);
    assert_int_equal(start_extraction(x, &in[4], 9, SCHED_BULK, NULL), ST_EBUSY);
    assert_int_equal(start_task(t, &in[4], 9, SCHED_BULK, NULL), ST_EBUSY);
    assert_int_equal(in[4].n_done, 0);
    sched_drain(from.l->sched);
    while (sched_step(from.l->sched))
        ;
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(in[i].n_done, 1);
        assert_int_equal(in[i].why, 0);
        assert_true(in[i].failed_checks && in[i].output[0] == '{');
    }
    task_close(t);
    extraction_close(x);
    lender_close(&from, pages);
    lender_open(&from, NULL);
    t = open_task(choice, &source);
    x = open_extraction(&source);
    input late = {.text = texts[0], .n_options = OPTIONS}, later = {.text = texts[0]};
    const task_ask ask = {
        .text = texts[0], .len = 4, .deadline_us = 1, .done = decided, .arg = &late};
    const extraction_ask write = {
        .text = texts[0], .len = 4, .deadline_us = 1, .done = written, .arg = &later};
    assert_int_equal(task_start(t, &ask, &late.handle, &err), 0);
    assert_int_equal(extraction_start(x, &write, &later.handle, &err), 0);
    while (sched_step(from.l->sched))
        ;
    assert_true(late.n_done == 1 && late.why == ST_ETIMEOUT);
    assert_true(later.n_done == 1 && later.why == ST_ETIMEOUT);
    task_close(t);
    extraction_close(x);
    lender_close(&from, pages);
}

/* --- several rotations */

static const question_option shapes[] = {
    {"round", "like a ball"}, {"square", NULL}, {"squarish", NULL}, {"flat", "thin"}};
static const question shape = {QUESTION_CHOICE, "Which shape?", shapes, 4, false};
static const readout_opts often = {READOUT_TEXT, true, 4, 1};

typedef struct read_text {
    uint32_t n_done;
    int why;
    double probs[4];
    uint32_t n_prompt;
} read_text;

static void read_through(void *arg, const readout_reply *reply, const st_err *why)
{
    read_text *r = arg;
    assert_int_equal(r->n_done++, 0);
    r->why = why ? why->code : 0;
    if (reply) {
        memcpy(r->probs, reply->probs, sizeof r->probs);
        r->n_prompt = reply->n_prompt;
    }
}

/* Where not all rotations find a place none is left over. */
static void rotations_go_together(void **state)
{
    lender from;
    double want[4];
    st_err err = {0};
    (void)state;
    if (!is_here(TINY))
        skip();
    for (uint32_t room = 4; room < 24; room += 3) {
        const sched_opts few = {.max_requests = room, .max_live = 2};
        readout *r;
        read_text got[6] = {{0}};
        uint64_t handles[6];
        uint32_t n = 0;
        lender_open(&from, &few);
        uint32_t pages = engine_free_pages(from.l->engine);
        assert_int_equal(readout_new(from.l, &shape, &often, &r, &err), 0);
        if (room == 4) { /* as many as a key may have: the call waits for each place */
            int rc = readout_decide(r, "it rolls", 8, want, NULL, &err);
            assert_int_equal(rc, ST_EBUSY); /* four rotations are more than its share */
            readout_free(r);
            lender_close(&from, pages);
            continue;
        }
        for (; n < 6; n++) {
            const readout_ask ask = {.text = "it rolls",
                                     .len = 8,
                                     .key = n,
                                     .done = read_through,
                                     .arg = &got[n]};
            if (readout_start(r, &ask, &handles[n], NULL))
                break;
        }
        while (sched_step(from.l->sched))
            ;
        for (uint32_t i = 0; i < 6; i++) {
            assert_int_equal(got[i].n_done, i < n);
            assert_int_equal(got[i].why, 0);
            if (i < n && i > 0)
                assert_memory_equal(got[i].probs, got[0].probs, sizeof want);
        }
        if (n > 0) {
            assert_int_equal(readout_decide(r, "it rolls", 8, want, NULL, &err), 0);
            assert_memory_equal(got[0].probs, want, sizeof want);
        }
        readout_free(r);
        lender_close(&from, pages);
    }
}

/* --- memory */

typedef struct starved {
    lender from;
    const model_source *source;
} starved;

static int start_both(void *arg)
{
    starved *s = arg;
    const task_opts opts = {.n_threads = 1, .source = s->source};
    const extraction_opts how = {.n_threads = 1, .source = s->source};
    input in[2] = {{.text = texts[0]}, {.text = texts[0]}};
    char other[sizeof path + 2];
    st_err err = {0};
    task *t = NULL;
    extraction *x = NULL;
    contract *c;
    snprintf(other, sizeof other, "%s.x", path);
    int rc = task_open(path, &opts, &t, &err), codes[2] = {1, 1};
    if (rc == 0)
        rc = task_bind(t, &err);
    if (rc == 0)
        rc = contract_load(other, &c, &err);
    if (rc == 0)
        rc = extraction_open(c, &how, &x, &err);
    if (rc == 0)
        rc = extraction_bind(x, &err);
    if (rc == 0)
        rc = codes[0] = start_task(t, &in[0], 1, SCHED_BULK, &err);
    if (rc == 0)
        rc = codes[1] = start_extraction(x, &in[1], 1, SCHED_BULK, &err);
    while (sched_step(s->from.l->sched))
        ;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(in[i].n_done, codes[i] == 0);
        rc = rc == 0 ? in[i].why : rc;
    }
    task_close(t);
    extraction_close(x);
    assert_int_equal(s->from.n_lent, 0);
    return rc;
}

static void memory_runs_out(void **state)
{
    starved s;
    char other[sizeof path + 2];
    (void)state;
    if (!is_here(TINY))
        skip();
    lender_open(&s.from, NULL);
    uint32_t pages = engine_free_pages(s.from.l->engine);
    const model_source source = {lend, take_back, &s.from};
    s.source = &source;
    snprintf(other, sizeof other, "%s.x", path);
    put_contract(extract);
    assert_int_equal(rename(path, other), 0);
    put_contract(choice);
    assert_true(fault_sweep(start_both, &s, 1) > 300);
    unlink(other);
    lender_close(&s.from, pages);
}

static int path_make(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int path_drop(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_share_a_model),
        cmocka_unit_test(some_answers_come_at_once),
        cmocka_unit_test(cancelled_at_every_step),
        cmocka_unit_test(closed_under_way),
        cmocka_unit_test(full_queues_and_deadlines),
        cmocka_unit_test(rotations_go_together),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, path_make, path_drop);
}
