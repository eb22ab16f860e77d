/* tests/fuzz/fuzz_decisions.c - any JSON as a body of decisions, by both readers.
 *
 * What is refused has a problem that can be told in every dialect; what is taken has
 * questions that can be asked and answered. */
#include "base/mem.h"
#include "serve/decision_priv.h"
#include "tests/fuzz/fuzz.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void problems_told(problems *p)
{
    static const dialect all[] = {DIALECT_OPENAI, DIALECT_TYPESAFE, DIALECT_KSERVE};
    for (size_t i = 0; i < ST_COUNT(all); i++) {
        size_t len;
        char *body = problems_body(p, all[i], &len);
        if (!body || problems_status(p, all[i]) < 400)
            abort();
        st_free(body);
    }
}

static void question_good(const decision_question *q)
{
    bool predicate = q->q.type == QUESTION_PREDICATE;
    if (predicate ? q->q.n_options != 0 && q->q.n_options != 2 : q->q.n_options == 0)
        abort();
    if (q->q.n_options > QUESTION_MAX_OPTIONS || !q->param[0])
        abort();
    for (uint32_t i = 0; i < q->q.n_options; i++)
        if (!q->q.options[i].value || !q->q.options[i].value[0] ||
            (!predicate && !q->options[i]))
            abort();
}

static void answered(const decision *d)
{
    double probs[QUESTION_MAX_OPTIONS];
    decided *all = st_zalloc_n(d->n_questions, sizeof *all);
    if (!all)
        abort();
    for (uint32_t i = 0; i < QUESTION_MAX_OPTIONS; i++)
        probs[i] = 1.0 / (i + 1);
    for (uint32_t i = 0; i < d->n_questions; i++)
        all[i] = (decided){.mass = (double)NAN, .probs = probs};
    const decision_result r = {.model = "m", .version = "v", .answers = all};
    json_t *body = decision_answer(d, &r);
    if (json_object_size(json_object_get(body, "answers")) +
            json_array_size(json_object_get(body, "answers")) !=
        d->n_questions)
        abort();
    json_decref(body);
    st_free(all);
}

static void read_as(const json_t *body,
                    void (*read)(const json_t *, decision *, problems *))
{
    decision d;
    problems p = {0};
    read(body, &d, &p);
    if (p.n > 0) {
        problems_told(&p);
    } else {
        if (d.n_questions == 0 || !d.model || d.text.code)
            abort();
        for (uint32_t i = 0; i < d.n_questions; i++)
            question_good(&d.questions[i]);
        answered(&d);
    }
    problems_done(&p);
    decision_done(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    problems p = {0};
    json_t *body = body_parse((const char *)data, len, 128, &p);
    if (body) {
        read_as(body, decision_read);
        read_as(body, decision_read_systemone);
    } else {
        problems_told(&p);
    }
    problems_done(&p);
    json_decref(body);
    return 0;
}
