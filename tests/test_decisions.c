/* tests/test_decisions.c - decisions over HTTP, by the real program: a tiny model of
 * random weights. */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/decisions_ask.h"
#include "tests/tiny_model.h"
#include <math.h>

static char model[64], task[64]; /* "" when the goldens are not here */

/* A task with a rule, so that who answers can be told. */
static int files_make(void **state)
{
    st_buf text;
    (void)state;
    snprintf(model, sizeof model, "/tmp/stint-decide-%d.gguf", (int)getpid());
    snprintf(task, sizeof task, "/tmp/stint-decide-%d.yaml", (int)getpid());
    if (!tiny_model_write(model)) {
        model[0] = task[0] = '\0';
        return 0;
    }
    st_buf_init(&text, 4096);
    st_buf_fmt(&text,
               "task: triage\nmodels: [%s]\nquestion:\n  type: choice\n"
               "  instructions: Which team?\n  choices:\n    - {value: billing}\n"
               "    - {value: shipping}\n    - {value: tech}\nrules:\n"
               "  - {if: {matches: parcel}, answer: shipping}\n",
               model);
    assert_int_equal(st_file_write(task, text.data, text.len, NULL), 0);
    st_buf_done(&text);
    return 0;
}

static int files_drop(void **state)
{
    (void)state;
    if (model[0]) {
        unlink(model);
        unlink(task);
    }
    return 0;
}

static double real_at(const answer *a, const char *path)
{
    const json_t *value = answer_at(a, path);
    if (!json_is_number(value))
        fail_msg("no number at %s: %s", path, a->body);
    return json_number_value(value);
}

/* ---- shapes ---- */

static void sums_to_one(const json_t *list, const char *value, const json_t *chosen)
{
    double sum = 0, most = -1;
    const json_t *best = NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        double p = json_real_value(json_object_get(row, "probability"));
        sum += p;
        if (p > most) {
            most = p;
            best = json_object_get(row, value);
        }
    }
    assert_true(fabs(sum - 1) < 1e-12);
    if (chosen)
        assert_true(json_equal(best, chosen));
}

static void openai_is_answered(void **state)
{
    served s;
    (void)state;
    start(&s, model);
    answer a = ask(&s, "", "{" PREDICATE ",\"name\":\"r\"},{" CHOICE "},{" SCORE "}");
    assert_int_equal(json_object_size(a.json), 4);
    assert_string_equal(answer_text(&a, "model"), "m");
    assert_int_equal(json_object_size(answer_at(&a, "answers.0")), 3);
    assert_string_equal(answer_text(&a, "answers.0.name"), "r");
    double p = real_at(&a, "answers.0.probability");
    assert_true(p > 0 && p < 1);
    assert_true(json_is_null(answer_at(&a, "answers.1.name")));
    assert_true(json_is_true(answer_at(&a, "answers.1.probabilities.1.value")));
    assert_string_equal(answer_text(&a, "answers.1.probabilities.2.value"), "true");
    sums_to_one(answer_at(&a, "answers.1.probabilities"), "value",
                answer_at(&a, "answers.1.choice"));
    sums_to_one(answer_at(&a, "answers.2.probabilities"), "label", NULL);
    assert_int_equal(answer_number(&a, "answers.2.probabilities.1.value"), 1);
    assert_true(fabs(real_at(&a, "answers.2.score") -
                     real_at(&a, "answers.2.probabilities.1.probability")) < 1e-12);
    assert_int_equal(answer_number(&a, "usage.output_tokens"), 0);
    assert_int_equal(answer_number(&a, "usage.total_tokens"),
                     answer_number(&a, "usage.input_tokens"));
    assert_true(json_is_false(answer_at(&a, "stint.answers.1.calibrated")));
    assert_true(real_at(&a, "stint.answers.1.label_mass") > 0);
    assert_int_equal(answer_number(&a, "stint.answers.1.orders"), 2);
    assert_int_equal(answer_number(&a, "stint.answers.2.orders"), 1);
    answer_done(&a);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

#define JEV                                                                              \
    "{\"model\":\"m\",\"state\":\"" STORY "\",\"metadata\":{\"x\":1},\"questions\":{"    \
    "\"z.1\":{\"type\":\"choice\",\"instructions\":\"Which team?\",\"criteria\":{"       \
    "\"ship\":null,\"bill\":\"charges\",\"a\":null}},\"b\":{\"type\":\"score\","         \
    "\"instructions\":\"How urgent?\",\"criteria\":[\"low\",\"high: now\"]},\"a\":{"     \
    "\"type\":\"noul\",\"instructions\":\"The writer wants money.\"}}}"

static void keys_are(const json_t *object, const char *const *want)
{
    json_t *walked = (json_t *)(uintptr_t)object;
    for (void *it = json_object_iter(walked); it; it = json_object_iter_next(walked, it))
        assert_string_equal(json_object_iter_key(it), *want++);
    assert_null(*want);
}

static void typesafe_is_answered(void **state)
{
    served s;
    (void)state;
    start(&s, model);
    answer a = post_good(&s, TYPESAFE, JEV);
    assert_non_null(answer_header(&a, "x-typesafe-request-id"));
    const json_t *all = answer_at(&a, "answers");
    keys_are(all, (const char *const[]){"z.1", "b", "a", NULL});
    const json_t *choice = json_object_get(all, "z.1");
    keys_are(json_object_get(choice, "probabilities"),
             (const char *const[]){"ship", "bill", "a", NULL});
    assert_int_equal(json_object_size(choice), 4);
    assert_string_equal(answer_text(&a, "answers.b.legend.1"), "high: now");
    double p = real_at(&a, "answers.b.probabilities.0") +
               real_at(&a, "answers.b.probabilities.1");
    assert_true(fabs(p - 1) < 1e-12);
    assert_int_equal(json_object_size(answer_at(&a, "answers.a")), 2);
    assert_int_equal(json_object_size(answer_at(&a, "usage")), 2);
    /* the same body at the other route, and the same question in the other shape */
    answer b = post_good(&s, OPENAI, JEV);
    assert_true(json_equal(all, answer_at(&b, "answers")));
    answer c = ask(&s, "", "{" PREDICATE "}");
    assert_true(real_at(&c, "answers.0.probability") == real_at(&a, "answers.a.noul"));
    answer_done(&c);
    answer_done(&b);
    answer_done(&a);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

static void sglang_is_answered(void **state)
{
    served s;
    (void)state;
    start(&s, model);
    answer a = post_good(
        &s, OPENAI,
        "{\"model\":\"m\",\"input\":\"" STORY "\",\"questions\":[{\"id\":\"y\",\"type\":"
        "\"yes_no\",\"question\":\"The writer wants money.\"},{\"id\":\"c\",\"question\":"
        "\"Which?\",\"options\":[{\"name\":\"b\"},{\"name\":\"a\"}]},{\"id\":\"s\","
        "\"question\":\"How?\",\"levels\":[\"l\",\"h\"]}]}");
    keys_are(answer_at(&a, "answers"), (const char *const[]){"y", "c", "s", NULL});
    assert_string_equal(answer_text(&a, "answers.y.type"), "yes_no");
    answer b = ask(&s, "", "{" PREDICATE "}");
    assert_true(real_at(&a, "answers.y.probabilities.yes") ==
                real_at(&b, "answers.0.probability"));
    assert_true(real_at(&a, "answers.s.label_mass") > 0);
    answer_done(&b);
    answer_done(&a);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

/* ---- the same answer in any company ---- */

static void company_changes_nothing(void **state)
{
    served s;
    (void)state;
    start(&s, model);
    company_check(&s);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

/* ---- tasks ---- */

static void a_tasks_own_question_is_the_tasks(void **state)
{
    static const char own[] =
        "{\"model\":\"triage\",\"input\":\"Where is my "
        "parcel?\",\"questions\":[{\"type\":"
        "\"choice\",\"instructions\":\"Who?\",\"choices\":[{\"value\":\"tech\"},{"
        "\"value\":\"shipping\"},{\"value\":\"billing\"}]},{" PREDICATE "}]}";
    static const char other[] =
        "{\"model\":\"triage\",\"state\":\"Where is my parcel?\",\"questions\":{\"q\":{"
        "\"type\":\"choice\",\"criteria\":{\"tech\":null,\"shipping\":null}}}}";
    served s;
    (void)state;
    if (!model[0])
        skip();
    served_start(&s, (const char *const[]){"--task", task, "--threads", "2", NULL});
    answer a = post_good(&s, OPENAI, own);
    assert_string_equal(answer_text(&a, "answers.0.choice"), "shipping");
    assert_true(real_at(&a, "answers.0.probabilities.1.probability") == 1);
    assert_true(real_at(&a, "answers.0.confidence") == 1);
    assert_string_equal(answer_text(&a, "stint.task"), "triage");
    assert_string_equal(answer_text(&a, "stint.answers.0.route"), "rule");
    assert_true(json_is_true(answer_at(&a, "stint.answers.0.calibrated")));
    assert_string_equal(answer_text(&a, "stint.answers.1.route"), "model");
    answer_done(&a);
    a = post_good(&s, TYPESAFE, other);
    assert_string_equal(answer_text(&a, "stint.answers.q.route"), "model");
    answer_done(&a);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

/* ---- what cannot be answered ---- */

static void refused(const served *s, const char *path, const char *body, int status,
                    const char *at, const char *want, const char *code_at,
                    const char *code)
{
    answer a = post(s, path, body);
    if (a.status != status || strcmp(answer_text(&a, at), want) != 0 ||
        strcmp(answer_text(&a, code_at), code) != 0)
        fail_msg("%d %s", a.status, a.body);
    answer_done(&a);
}

static void requests_are_refused_in_their_dialect(void **state)
{
    served s;
    st_buf body;
    (void)state;
    start(&s, model);
    refused(&s, OPENAI,
            "{\"model\":\"none\",\"input\":\"x\",\"questions\":[{" PREDICATE "}]}", 404,
            "error.param", "model", "error.code", "model_not_found");
    refused(&s, TYPESAFE,
            "{\"model\":\"none\",\"state\":\"x\",\"questions\":{\"q\":{\"type\":\"noul\"}"
            "}}",
            404, "detail.error_type", "not_found_error", "error.code", "");
    refused(&s, OPENAI, "{", 400, "error.code", "invalid_json", "error.type",
            "invalid_request_error");
    refused(&s, TYPESAFE, "{", 422, "detail.0.type", "json_invalid", "detail.0.loc.0",
            "body");
    /* one question too many tokens, and a text with too many for any */
    st_buf_init(&body, 1 << 20);
    st_buf_str(&body, "{\"model\":\"m\",\"input\":\"x\",\"questions\":[{" PREDICATE
                      "},{\"type\":\"predicate\",\"instructions\":\"");
    for (int i = 0; i < 3000; i++)
        st_buf_str(&body, "word ");
    st_buf_str(&body, "\"}]}");
    refused(&s, OPENAI, body.data, 400, "error.param", "questions[1]", "error.code",
            "context_length_exceeded");
    st_buf_reset(&body);
    st_buf_str(&body, "{\"model\":\"m\",\"questions\":{\"q\":{\"type\":\"noul\"}},"
                      "\"state\":\"");
    for (int i = 0; i < 3000; i++)
        st_buf_str(&body, "word ");
    st_buf_str(&body, "\"}");
    refused(&s, TYPESAFE, body.data, 422, "detail.0.loc.1", "state", "detail.0.type",
            "context_length_exceeded");
    st_buf_done(&body);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

/* The keys of a request, in each dialect. */
static void keys_are_asked_for_in_the_dialect(void **state)
{
    static const char jev[] =
        "{\"model\":\"m\",\"state\":\"x\",\"questions\":{\"q\":{\"type\":\"noul\"}}}";
    char file[64], line[256], named[80];
    served s;
    (void)state;
    if (!model[0])
        skip();
    snprintf(file, sizeof file, "/tmp/stint-decide-keys-%d", (int)getpid());
    snprintf(named, sizeof named, "m=%s", model);
    snprintf(line, sizeof line, "'%s' key new --api-keys '%s' --name a >/dev/null",
             getenv("STINT_EXE"), file);
    FILE *made = popen(line, "r");
    assert_non_null(made);
    assert_int_equal(pclose(made), 0);
    served_start(&s, (const char *const[]){"--api-keys", file, "--model", named, NULL});
    refused(&s, TYPESAFE, jev, 403, "detail.error_type", "authentication_error",
            "error.code", "");
    refused(&s, OPENAI, jev, 401, "error.code", "invalid_api_key", "error.type",
            "invalid_request_error");
    answer a = ask_once(s.port, "POST", TYPESAFE, "authorization: Bearer sk-no\r\n", jev);
    assert_int_equal(a.status, 401);
    assert_string_equal(answer_text(&a, "detail.error_type"), "authentication_error");
    answer_done(&a);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
    unlink(file);
}

/* A body of n predicates. */
static void many_questions(st_buf *body, int n)
{
    st_buf_init(body, 1 << 20);
    st_buf_str(body, "{\"model\":\"m\",\"input\":\"" STORY "\",\"questions\":[");
    for (int i = 0; i < n; i++)
        st_buf_fmt(body, "%s{\"type\":\"predicate\",\"instructions\":\"Number %d?\"}",
                   i ? "," : "", i);
    st_buf_str(body, "]}");
}

static void time_runs_out_in_the_dialect(void **state)
{
    static const char soon[] = "x-stint-deadline-ms: 1\r\n";
    served s;
    st_buf body;
    (void)state;
    start(&s, model);
    many_questions(&body, 400);
    answer a = ask_once(s.port, "POST", OPENAI, soon, body.data);
    assert_int_equal(a.status, 504);
    assert_string_equal(answer_text(&a, "error.code"), "deadline_exceeded");
    answer_done(&a);
    a = ask_once(s.port, "POST", TYPESAFE, soon, JEV);
    if (a.status != 200) { /* it may be done by then */
        assert_int_equal(a.status, 504);
        assert_string_equal(answer_text(&a, "detail.error_type"), "timeout_error");
    }
    answer_done(&a);
    st_buf_done(&body);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

static bool is_running(const served *s)
{
    answer a = ask_once(s->port, "GET", "/metrics", NULL, NULL);
    const char *at = a.body ? strstr(a.body, "\nstint_work_running ") : NULL;
    bool some = at && strtod(strchr(at, ' '), NULL) > 0;
    answer_done(&a);
    return some;
}

/* A request that was accepted is answered whole, though the server is told to end. */
static void what_was_accepted_is_finished(void **state)
{
    served s;
    st_buf body;
    (void)state;
    start(&s, model);
    many_questions(&body, 400);
    client c = client_open(s.port);
    assert_true(client_ask(&c, "POST", OPENAI, NULL, body.data));
    for (int i = 0; i < 200 && !is_running(&s); i++)
        served_pause();
    assert_int_equal(kill(s.pid, SIGTERM), 0);
    answer a = client_answer_read(&c, true);
    if (a.status != 200)
        fail_msg("%d %s", a.status, a.body);
    assert_int_equal(json_array_size(answer_at(&a, "answers")), 400);
    answer_done(&a);
    client_close(&c);
    st_buf_done(&body);
    assert_int_equal(served_wait(&s), 0);
    unlink(s.log);
}

/* A client that hangs up takes its questions with it: others are served at once, and the
 * server ends when it is told. */
static void who_hangs_up_is_let_go(void **state)
{
    served s;
    st_buf body;
    (void)state;
    start(&s, model);
    many_questions(&body, 400);
    for (int i = 0; i < 3; i++) {
        client c = client_open(s.port);
        assert_true(client_ask(&c, "POST", OPENAI, NULL, body.data));
        for (int k = 0; k < 10 * i; k++)
            served_pause();
        client_abort(&c);
    }
    answer a = ask(&s, "", "{" SCORE "}");
    answer_done(&a);
    a = post_good(&s, OPENAI, body.data);
    assert_int_equal(json_array_size(answer_at(&a, "answers")), 400);
    answer_done(&a);
    st_buf_done(&body);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openai_is_answered),
        cmocka_unit_test(typesafe_is_answered),
        cmocka_unit_test(sglang_is_answered),
        cmocka_unit_test(company_changes_nothing),
        cmocka_unit_test(a_tasks_own_question_is_the_tasks),
        cmocka_unit_test(requests_are_refused_in_their_dialect),
        cmocka_unit_test(keys_are_asked_for_in_the_dialect),
        cmocka_unit_test(time_runs_out_in_the_dialect),
        cmocka_unit_test(what_was_accepted_is_finished),
        cmocka_unit_test(who_hangs_up_is_let_go),
    };
    return cmocka_run_group_tests(tests, files_make, files_drop);
}
