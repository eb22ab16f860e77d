/* tests/test_wire_tasks.c - /v1/tasks of the real program: the answers of `stint decide`.
 *
 * Tasks on a small model of random weights and a fitted one of words; the examples where
 * their models are here. */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/serve_child.h"
#include "tests/tiny_model.h"
#include <ftw.h>
#include <sys/stat.h>

static char folder[] = "/tmp/stint-tasks-XXXXXX";

static const char *const names[] = {"pets", "often", "holds", "parts", "letter"};
static const char *const questions[] = {
    "  type: choice\n  choices: [{value: cat, description: it says meow}, {value: dog}, "
    "{value: fish}]\nrules: [{if: {matches: '^goldfish'}, answer: fish}]\n",
    "  type: score\n  levels: [{label: never}, {label: sometimes}, {label: always}]\n",
    "  type: predicate\n",
    "  type: extract\n  schema:\n    type: object\n    properties:\n"
    "      kind: {enum: [cat, dog, null]}\n"
    "      legs: {type: integer, minimum: 0, maximum: 8}\n"
    "    required: [kind, legs]\n    additionalProperties: false\n"
    "checks: [{field: /legs, min: 9}]\n",
    "  type: draft\n  template: 'Hello {{who}}.'\n  slots: {who: {enum: [Ann, Bo]}}\n",
};
enum { TASKS = ST_COUNT(names) };

static void path_of(char ret[200], const char *name, const char *file)
{
    snprintf(ret, 200, "%s/%s%s%s", folder, name, file ? "/" : "", file ? file : "");
}

static void put_file(const char *name, const char *file, const char *text)
{
    char path[200];
    path_of(path, name, NULL);
    (void)mkdir(path, 0700);
    path_of(path, name, file);
    assert_int_equal(st_file_write(path, text, strlen(text), NULL), 0);
}

static void put_tasks(void)
{
    char cwd[1000], yaml[3000];
    assert_non_null(getcwd(cwd, sizeof cwd));
    for (size_t i = 0; i < TASKS; i++) {
        snprintf(yaml, sizeof yaml,
                 "task: %s\nmodels: ['%s/" TINY_SOURCE "']\ninput: {max_tokens: 60}\n"
                 "question:\n  instructions: What is it?\n%s",
                 names[i], cwd, questions[i]);
        put_file(names[i], "task.yaml", yaml);
    }
}

/* Run the program with these words, ended by NULL; what it printed, to be freed. */
static char *run(const char *const *words)
{
    const char *argv[16] = {getenv("STINT_EXE")};
    int ends[2], status;
    st_buf out;
    ssize_t n;
    for (unsigned i = 1; *words; i++)
        argv[i] = *words++;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(ends[1]);
    st_buf_init(&out, 1 << 24);
    for (char piece[4096]; (n = read(ends[0], piece, sizeof piece)) > 0;)
        st_buf_add(&out, piece, (size_t)n);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    st_buf_str(&out, "");
    return st_buf_detach(&out, NULL);
}

/* A task without a model, fitted on words. */
static void put_words(void)
{
    char contract[200];
    st_buf rows;
    st_buf_init(&rows, 1 << 16);
    for (int i = 0; i < 60; i++)
        st_buf_fmt(&rows, "{\"text\": \"%s number %d\", \"label\": \"%s\"}\n",
                   i % 2 ? "meow purr" : "woof bark", i, i % 2 ? "cat" : "dog");
    put_file("words", "task.yaml",
             "task: words\nquestion:\n  type: choice\n  instructions: Which animal?\n"
             "  choices: [{value: cat}, {value: dog}]\ndata: {train: train.jsonl}\n");
    put_file("words", "train.jsonl", rows.data);
    st_buf_done(&rows);
    path_of(contract, "words", "task.yaml");
    st_free(run((const char *const[]){"fit", "-t", "1", contract, NULL}));
}

static int folder_make(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    if (is_here(TINY_SOURCE))
        put_tasks();
    put_words();
    return 0;
}

static int drop_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int folder_drop(void **state)
{
    (void)state;
    return nftw(folder, drop_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void start(served *s)
{
    char paths[TASKS + 1][200];
    const char *words[2 * TASKS + 8] = {"--threads", "1", "--max-body", "70000000"};
    unsigned n = 4;
    for (size_t i = 0; i <= TASKS; i++) {
        if (i < TASKS && access(TINY_SOURCE, R_OK))
            continue;
        path_of(paths[i], i < TASKS ? names[i] : "words", NULL);
        words[n++] = "--task";
        words[n++] = paths[i];
    }
    served_start(s, words);
}

/* What `stint decide` says; json_decref it. */
static json_t *decided(const char *contract, const char *text)
{
    char *line = run((const char *const[]){"decide", "-t", "1", "--jsonl", "--explain",
                                           contract, text, NULL});
    json_t *json = json_loads(line, 0, NULL);
    if (!json)
        fail_msg("%s", line);
    st_free(line);
    return json;
}

static answer ask(uint16_t port, const char *name, const char *body)
{
    char path[200];
    snprintf(path, sizeof path, "/v1/tasks/%s", name);
    return ask_once(port, "POST", path, NULL, body);
}

static const json_t *at(const json_t *from, const char *path)
{
    const answer a = {.json = (json_t *)(uintptr_t)from};
    return answer_at(&a, path);
}

static void same_number(const json_t *a, const json_t *b, const char *what)
{
    if (!json_is_number(a) || json_number_value(a) != json_number_value(b))
        fail_msg("%s: %g, not %g", what, json_number_value(a), json_number_value(b));
}

/* The same probabilities as the command gives, bit by bit. */
static void same_decision(const json_t *got, const json_t *want)
{
    size_t i;
    json_t *row;
    const json_t *all = at(want, "probabilities"), *rows = at(got, "probabilities");
    if (strcmp(json_string_value(at(got, "type")), "predicate") == 0) {
        same_number(at(got, "probability"), at(all, "true"), "predicate");
    } else {
        assert_int_equal(json_array_size(rows), json_object_size(all));
        json_array_foreach((json_t *)(uintptr_t)rows, i, row)
        {
            const char *value = json_string_value(at(row, "label"));
            value = value ? value : json_string_value(at(row, "value"));
            same_number(at(row, "probability"), json_object_get(all, value), value);
        }
    }
    assert_string_equal(json_string_value(at(got, "stint.route")),
                        json_string_value(at(want, "route")));
    assert_string_equal(json_string_value(at(got, "stint.version")),
                        json_string_value(at(want, "version")));
    same_number(at(got, "stint.p"), at(want, "confidence"), "p");
    if (at(want, "label_mass"))
        same_number(at(got, "stint.label_mass"), at(want, "label_mass"), "mass");
    assert_int_equal(at(want, "experts") != NULL, at(got, "stint.experts") != NULL);
    if (at(want, "experts"))
        assert_true(json_equal(at(want, "experts"), at(got, "stint.experts")));
}

static void same_written(const json_t *got, const json_t *want)
{
    const char *pointer;
    json_t *field;
    const json_t *fields = at(got, "fields");
    assert_true(json_equal(at(got, "output"), at(want, "output")));
    assert_int_equal(json_object_size(fields), json_object_size(at(want, "fields")));
    json_object_foreach((json_t *)(uintptr_t)fields, pointer, field)
    {
        const json_t *other = json_object_get(at(want, "fields"), pointer);
        same_number(at(field, "p"), at(other, "probability"), pointer);
    }
    assert_true(json_equal(at(got, "faults"), at(want, "checks")));
    assert_true(json_equal(at(got, "repaired"), at(want, "repaired")));
    if (at(want, "text"))
        assert_true(json_equal(at(got, "text"), at(want, "text")));
    assert_string_equal(json_string_value(at(got, "stint.version")),
                        json_string_value(at(want, "version")));
}

static void same_as_command(const json_t *got, const char *contract, const char *text)
{
    json_t *want = decided(contract, text);
    if (at(want, "fields"))
        same_written(got, want);
    else
        same_decision(got, want);
    json_decref(want);
}

/* --- tests */

/* Every type, one input and several, gets what the command gives. */
static void answers_are_those_of_the_command(void **state)
{
    static const char *const texts[] = {"meow purr number 7", "goldfish", "woof"};
    served s;
    char contract[200];
    (void)state;
    start(&s);
    for (size_t k = 0; k <= TASKS; k++) {
        const char *name = k < TASKS ? names[k] : "words";
        if (k < TASKS && access(TINY_SOURCE, R_OK))
            continue;
        path_of(contract, name, "task.yaml");
        answer one = ask(s.port, name, "{\"input\": \"meow purr number 7\"}");
        if (one.status != 200)
            fail_msg("%s: %d %s", name, one.status, one.body);
        assert_string_equal(answer_text(&one, "object"), "task.answer");
        assert_string_equal(answer_text(&one, "model"), name);
        assert_string_equal(answer_text(&one, "stint.task"), name);
        assert_int_equal(answer_number(&one, "usage.input_tokens") > 0, k < TASKS);
        same_as_command(one.json, contract, texts[0]);
        answer many =
            ask(s.port, name,
                "{\"inputs\": [\"meow purr number 7\", \"goldfish\", \"woof\"], "
                "\"user\": \"me\", \"metadata\": {\"a\": \"b\"}}");
        if (many.status != 200)
            fail_msg("%s: %d %s", name, many.status, many.body);
        assert_string_equal(answer_text(&many, "object"), "list");
        assert_int_equal(json_array_size(answer_at(&many, "data")), 3);
        json_int_t tokens = 0;
        for (int i = 0; i < 3; i++) {
            const json_t *got = json_array_get(answer_at(&many, "data"), i);
            assert_int_equal(json_integer_value(at(got, "index")), i);
            same_as_command(got, contract, texts[i]);
            tokens += json_integer_value(at(got, "usage.total_tokens"));
        }
        assert_int_equal(answer_number(&many, "usage.total_tokens"), tokens);
        answer_done(&many);
        answer_done(&one);
    }
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

static void tasks_are_told(void **state)
{
    served s;
    (void)state;
    start(&s);
    bool tiny = access(TINY_SOURCE, R_OK) == 0;
    answer a = ask_once(s.port, "GET", "/v1/tasks", NULL, NULL);
    assert_int_equal(a.status, 200);
    assert_int_equal(json_array_size(answer_at(&a, "data")), tiny ? TASKS + 1 : 1);
    answer_done(&a);
    a = ask_once(s.port, "GET", "/v1/tasks/words", NULL, NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_text(&a, "route"), "experts");
    assert_true(json_is_true(answer_at(&a, "fitted")));
    assert_int_equal(json_array_size(answer_at(&a, "experts")), 1);
    assert_string_equal(answer_text(&a, "options.1.value"), "dog");
    answer_done(&a);
    a = ask_once(s.port, "GET", "/v1/tasks/nobody", NULL, NULL);
    assert_int_equal(a.status, 404);
    answer_done(&a);
    if (tiny) {
        a = ask_once(s.port, "GET", "/v1/tasks/parts", NULL, NULL);
        assert_string_equal(answer_text(&a, "type"), "extract");
        assert_string_equal(answer_text(&a, "schema.type"), "object");
        assert_string_equal(answer_text(&a, "checks.0.field"), "/legs");
        assert_true(json_is_false(answer_at(&a, "fitted")));
        answer_done(&a);
        a = ask_once(s.port, "GET", "/v1/tasks/pets", NULL, NULL);
        assert_string_equal(answer_text(&a, "rules.0.answer"), "fish");
        assert_int_equal(answer_number(&a, "input.max_tokens"), 60);
        answer_done(&a);
    }
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

static void refused(uint16_t port, const char *name, const char *body, int status,
                    const char *param)
{
    answer a = ask(port, name, body);
    if (a.status != status || (param && strcmp(answer_text(&a, "error.param"), param)))
        fail_msg("%s: %d %s, not %d at %s", body, a.status, a.body, status, param);
    answer_done(&a);
}

static void bad_bodies_are_refused(void **state)
{
    served s;
    st_buf many;
    (void)state;
    start(&s);
    refused(s.port, "words", "{}", 400, "input");
    refused(s.port, "words", "{\"input\": null}", 400, "input");
    refused(s.port, "words", "{\"input\": 7}", 400, "input");
    refused(s.port, "words", "{\"input\": \"a\", \"inputs\": [\"b\"]}", 400, "inputs");
    refused(s.port, "words", "{\"inputs\": []}", 400, "inputs");
    refused(s.port, "words", "{\"inputs\": [\"a\", 1]}", 400, "inputs[1]");
    refused(s.port, "words", "{\"input\": \"a\", \"other\": 1}", 400, "other");
    refused(s.port, "nobody", "{\"input\": \"a\"}", 404, NULL);
    st_buf_init(&many, 1 << 24);
    st_buf_str(&many, "{\"inputs\": [\"a\"");
    for (int i = 0; i < 256; i++)
        st_buf_str(&many, ",\"a\"");
    st_buf_str(&many, "]}");
    refused(s.port, "words", many.data, 400, "inputs");
    st_buf_done(&many);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

/* One input of many that cannot be answered has its error in its place. */
static void one_fails_alone(void **state)
{
    served s;
    st_buf body;
    (void)state;
    if (!is_here(TINY_SOURCE))
        skip();
    start(&s);
    for (int k = 0; k < 4; k += 3) { /* a choice; an extraction */
        st_buf_init(&body, 1 << 20);
        st_buf_str(&body, "{\"inputs\": [\"woof\", \"");
        for (int i = 0; i < 2000; i++)
            st_buf_str(&body, "ab ");
        st_buf_str(&body, "\", \"meow\"]}");
        answer a = ask(s.port, names[k], body.data);
        if (a.status != 200)
            fail_msg("%d %s", a.status, a.body);
        assert_string_equal(answer_text(&a, "data.0.object"), "task.answer");
        assert_string_equal(answer_text(&a, "data.1.object"), "error");
        assert_int_equal(answer_number(&a, "data.1.index"), 1);
        assert_string_equal(answer_text(&a, "data.1.error.param"), "inputs[1]");
        assert_non_null(
            strstr(answer_text(&a, "data.1.error.message"), "at most 60 are read"));
        assert_string_equal(answer_text(&a, "data.2.object"), "task.answer");
        answer_done(&a);
        st_buf_reset(&body);
        st_buf_str(&body, "{\"input\": \"");
        for (int i = 0; i < 2000; i++)
            st_buf_str(&body, "ab ");
        st_buf_str(&body, "\"}");
        refused(s.port, names[k], body.data, 400, "input");
        st_buf_done(&body);
    }
    answer late =
        ask_once(s.port, "POST", "/v1/tasks/parts", "x-stint-deadline-ms: 1\r\n",
                 "{\"inputs\": [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\"]}");
    assert_int_equal(late.status, 200); /* each is late or was quick enough */
    assert_int_equal(json_array_size(answer_at(&late, "data")), 6);
    answer_done(&late);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

static json_int_t in_use(uint16_t port)
{
    json_int_t sum = 0;
    answer a = ask_once(port, "GET", "/v1/admin/loaded", NULL, NULL);
    const json_t *all = answer_at(&a, "data");
    for (size_t i = 0; i < json_array_size(all); i++)
        sum += json_integer_value(at(json_array_get(all, i), "in_use"));
    answer_done(&a);
    return sum;
}

/* A client that hangs up leaves nothing under way. */
static void hanging_up_cancels_all(void **state)
{
    served s;
    st_buf body;
    (void)state;
    if (!is_here(TINY_SOURCE))
        skip();
    start(&s);
    st_buf_init(&body, 1 << 20);
    st_buf_str(&body, "{\"inputs\": [\"first\"");
    for (int i = 0; i < 250; i++)
        st_buf_fmt(&body, ",\"number %d of many\"", i);
    st_buf_str(&body, "]}");
    client c = client_open(s.port);
    assert_true(client_ask(&c, "POST", "/v1/tasks/parts", NULL, body.data));
    while (in_use(s.port) == 0) /* it has come, or will never have */
        ;
    client_abort(&c);
    while (in_use(s.port) > 0)
        ;
    while (!served_logged(&s, "\"/v1/tasks/{task}\",\"status\":"))
        served_pause();
    assert_true(served_logged(&s, "\"/v1/tasks/{task}\",\"status\":503"));
    answer after = ask(s.port, "pets", "{\"input\": \"woof\"}");
    assert_int_equal(after.status, 200);
    answer_done(&after);
    st_buf_done(&body);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

/* The examples with real models, where they are here. */
static void examples_answer(void **state)
{
    served s;
    (void)state;
    if (!is_here(".cache/models/smollm2-135m-instruct.gguf") ||
        !is_here(".cache/models/all-minilm-l6-v2.gguf"))
        skip();
    setenv("STINT_MODELS", ".cache/models", 0);
    served_start(&s, (const char *const[]){"--task", "examples/support", "--task",
                                           "examples/orders", NULL});
    answer a =
        ask(s.port, "orders", "{\"input\": \"three oak stools, order 4471-B please\"}");
    if (a.status != 200)
        fail_msg("%d %s", a.status, a.body);
    same_as_command(a.json, "examples/orders/task.yaml",
                    "three oak stools, order 4471-B please");
    answer_done(&a);
    a = ask(s.port, "support", "{\"input\": \"where is my parcel\"}");
    if (a.status != 200)
        fail_msg("%d %s", a.status, a.body);
    same_as_command(a.json, "examples/support/task.yaml", "where is my parcel");
    assert_true(answer_number(&a, "usage.input_tokens") >= 4);
    answer_done(&a);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_those_of_the_command),
        cmocka_unit_test(tasks_are_told),
        cmocka_unit_test(bad_bodies_are_refused),
        cmocka_unit_test(one_fails_alone),
        cmocka_unit_test(hanging_up_cancels_all),
        cmocka_unit_test(examples_answer),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
