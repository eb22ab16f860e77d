/* tests/test_wires_small.c - embeddings, ranks, classes, tokens and the Open Inference
 * Protocol, by the program itself over loopback. */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/serve_child.h"
#include "tests/tiny_model.h"
#include <math.h>

#define ENCODER "../shared/goldens/embed/bert-e2e-f16.gguf"

static char folder[64]; /* "" when the goldens are not here */
static served s;        /* models "tiny" (it writes), "bert" (it embeds), task "side" */

static const char contract[] = "task: side\n"
                               "models: [MODEL]\n"
                               "question:\n"
                               "  type: choice\n"
                               "  instructions: Left or right?\n"
                               "  choices: [{value: left}, {value: right}]\n"
                               "rules: [{if: {matches: '^L$'}, answer: left}]\n"
                               "input: {max_tokens: 64, on_too_long: reject}\n";

static void path_in(char ret[128], const char *name)
{
    snprintf(ret, 128, "%s/%s", folder, name);
}

static void contract_write(const char *path, const char *model)
{
    st_buf text;
    st_err err = {0};
    const char *at = strstr(contract, "MODEL");
    st_buf_init(&text, 4096);
    st_buf_add(&text, contract, (size_t)(at - contract));
    st_buf_fmt(&text, "%s%s", model, at + strlen("MODEL"));
    assert_int_equal(st_file_write(path, text.data, text.len, &err), 0);
    st_buf_done(&text);
}

static int all_start(void **state)
{
    char model[128], task[128], named[160];
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/stint-wires-XXXXXX");
    assert_non_null(mkdtemp(folder));
    path_in(model, "tiny.gguf");
    path_in(task, "task.yaml");
    if (!is_here(ENCODER) || !tiny_model_write(model)) {
        rmdir(folder);
        folder[0] = '\0';
        return 0;
    }
    contract_write(task, model);
    snprintf(named, sizeof named, "tiny=%s", model);
    served_start(&s, (const char *const[]){"--model", named, "--model", "bert=" ENCODER,
                                           "--task", task, NULL});
    return 0;
}

static int all_stop(void **state)
{
    char path[128];
    (void)state;
    if (!folder[0])
        return 0;
    int status = served_stop(&s, SIGTERM);
    path_in(path, "tiny.gguf");
    unlink(path);
    path_in(path, "task.yaml");
    unlink(path);
    rmdir(folder);
    return status;
}

static answer post(const char *path, const char *body)
{
    if (!folder[0])
        skip();
    return ask_once(s.port, "POST", path, NULL, body);
}

static answer post_good(const char *path, const char *body)
{
    answer a = post(path, body);
    if (a.status != 200)
        fail_msg("%s: %d %s", path, a.status, a.body);
    return a;
}

/* A body that is refused, and what its problem is about. */
static void refused(const char *path, const char *body, int status, const char *param)
{
    answer a = post(path, body);
    if (a.status != status || strcmp(answer_text(&a, "error.param"), param) != 0)
        fail_msg("%s %s: %d %s", path, body, a.status, a.body);
    answer_done(&a);
}

static double number_at(const answer *a, const char *path)
{
    return json_number_value(answer_at(a, path));
}

/* ---- embeddings ---- */

static double length_of(const json_t *vector)
{
    double sum = 0;
    for (size_t i = 0; i < json_array_size(vector); i++) {
        double x = json_number_value(json_array_get(vector, i));
        sum += x * x;
    }
    return sqrt(sum);
}

static void vectors_have_length_one(void **state)
{
    (void)state;
    static const char *const models[] = {"tiny", "bert"};
    for (int m = 0; m < 2; m++) {
        char body[256];
        snprintf(body, sizeof body,
                 "{\"model\": \"%s\", \"input\": [\"hello world\", \"other words\"]}",
                 models[m]);
        answer a = post_good("/v1/embeddings", body);
        assert_string_equal(answer_text(&a, "object"), "list");
        assert_string_equal(answer_text(&a, "model"), models[m]);
        assert_int_equal(json_array_size(answer_at(&a, "data")), 2);
        assert_string_equal(answer_text(&a, "data.1.object"), "embedding");
        assert_int_equal(number_at(&a, "data.1.index"), 1);
        assert_true(fabs(length_of(answer_at(&a, "data.0.embedding")) - 1) < 1e-5);
        assert_true(fabs(length_of(answer_at(&a, "data.1.embedding")) - 1) < 1e-5);
        assert_true(number_at(&a, "usage.prompt_tokens") >= 4);
        assert_true(number_at(&a, "usage.prompt_tokens") ==
                    number_at(&a, "usage.total_tokens"));
        answer_done(&a);
    }
}

/* More texts than are in the queue at once; each has its own vector, in its place. */
static void many_texts_come_back_in_order(void **state)
{
    (void)state;
    enum { TEXTS = 100 };
    st_buf body;
    st_buf_init(&body, 1 << 20);
    st_buf_str(&body, "{\"model\": \"tiny\", \"input\": [");
    for (int i = 0; i < TEXTS; i++)
        st_buf_fmt(&body, "%s[%d, 7, %d]", i ? "," : "", i % 10 + 1, i % 7 + 1);
    st_buf_str(&body, "]}");
    answer all = post_good("/v1/embeddings", body.data);
    st_buf_done(&body);
    assert_int_equal(json_array_size(answer_at(&all, "data")), TEXTS);
    for (int i = 0; i < TEXTS; i += 33) {
        char one[96], at[32];
        snprintf(one, sizeof one, "{\"model\": \"tiny\", \"input\": [%d, 7, %d]}",
                 i % 10 + 1, i % 7 + 1);
        snprintf(at, sizeof at, "data.%d.embedding", i);
        answer a = post_good("/v1/embeddings", one);
        assert_true(json_equal(answer_at(&all, at), answer_at(&a, "data.0.embedding")));
        answer_done(&a);
    }
    assert_false(json_equal(answer_at(&all, "data.0.embedding"),
                            answer_at(&all, "data.1.embedding")));
    answer_done(&all);
}

static int base64_value(char c)
{
    static const char all[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(all, c) : NULL;
    return at ? (int)(at - all) : 0;
}

static void base64_is_the_same_floats(void **state)
{
    (void)state;
    answer a = post_good("/v1/embeddings", "{\"model\": \"bert\", \"input\": \"hi\"}");
    answer b = post_good("/v1/embeddings", "{\"model\": \"bert\", \"input\": \"hi\","
                                           " \"encoding_format\": \"base64\"}");
    const json_t *list = answer_at(&a, "data.0.embedding");
    const char *text = answer_text(&b, "data.0.embedding");
    size_t n = json_array_size(list), len = strlen(text);
    assert_int_equal(len, (n * 4 + 2) / 3 * 4);
    unsigned char *bytes = malloc(len);
    for (size_t i = 0; i < len; i += 4) {
        unsigned v =
            (unsigned)(base64_value(text[i]) << 18 | base64_value(text[i + 1]) << 12 |
                       base64_value(text[i + 2]) << 6 | base64_value(text[i + 3]));
        bytes[i / 4 * 3] = (unsigned char)(v >> 16);
        bytes[i / 4 * 3 + 1] = (unsigned char)(v >> 8);
        bytes[i / 4 * 3 + 2] = (unsigned char)v;
    }
    for (size_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, bytes + i * 4, 4);
        assert_true(x == (float)json_number_value(json_array_get(list, i)));
    }
    free(bytes);
    answer_done(&a);
    answer_done(&b);
}

static void wrong_inputs_are_named(void **state)
{
    (void)state;
    const char *path = "/v1/embeddings";
    refused(path, "{\"model\": \"tiny\", \"input\": \"\"}", 400, "input");
    refused(path, "{\"model\": \"tiny\", \"input\": []}", 400, "input");
    refused(path, "{\"model\": \"tiny\", \"input\": [\"a\", 1]}", 400, "input[1]");
    refused(path, "{\"model\": \"tiny\", \"input\": [[1], \"a\"]}", 400, "input[1]");
    refused(path, "{\"model\": \"tiny\", \"input\": [[1], []]}", 400, "input[1]");
    refused(path, "{\"model\": \"tiny\", \"input\": [1, -1]}", 400, "input");
    refused(path, "{\"model\": \"tiny\", \"input\": [[1, 99999999]]}", 400, "input[0]");
    refused(path, "{\"model\": \"tiny\", \"input\": \"a\", \"dimensions\": 3}", 400,
            "dimensions");
    refused(path, "{\"model\": \"tiny\", \"input\": \"a\", \"encoding_format\": \"x\"}",
            400, "encoding_format");
    refused(path, "{\"model\": \"nobody\", \"input\": \"a\"}", 404, "model");
    refused(path, "{\"model\": \"tiny\"}", 400, "input");
    st_buf body;
    st_buf_init(&body, 1 << 20);
    st_buf_str(&body, "{\"model\": \"tiny\", \"input\": [\"a\", \"");
    for (int i = 0; i < 2 * TINY_CONTEXT; i++)
        st_buf_str(&body, "zq ");
    st_buf_str(&body, "\"]}");
    refused(path, body.data, 400, "input[1]"); /* more than it reads */
    st_buf_done(&body);
}

static void a_client_may_hang_up(void **state)
{
    (void)state;
    if (!folder[0])
        skip();
    st_buf body, text;
    st_buf_init(&body, 1 << 22);
    st_buf_init(&text, 1 << 22);
    st_buf_str(&body, "{\"model\": \"tiny\", \"input\": [");
    for (int i = 0; i < 1000; i++)
        st_buf_fmt(&body, "%s\"a text of some words, number %d\"", i ? "," : "", i);
    st_buf_str(&body, "]}");
    st_buf_fmt(&text,
               "POST /v1/embeddings HTTP/1.1\r\nHost: h\r\nContent-Type: "
               "application/json\r\nContent-Length: %zu\r\n\r\n%s",
               body.len, body.data);
    for (int i = 0; i < 4; i++) {
        client c = client_open(s.port);
        assert_true(client_send(&c, text.data, text.len));
        client_abort(&c);
    }
    st_buf_done(&body);
    st_buf_done(&text);
    answer a = post_good("/v1/embeddings", "{\"model\": \"tiny\", \"input\": \"hi\"}");
    answer_done(&a);
}

/* ---- ranks and classes ---- */

static void the_nearest_comes_first(void **state)
{
    (void)state;
    answer a = post_good(
        "/v1/rerank", "{\"model\": \"bert\", \"query\": \"red car\", \"documents\": "
                      "[\"x\", {\"text\": \"red car\"}, \"blue house\"], \"top_n\": 2}");
    assert_int_equal(json_array_size(answer_at(&a, "results")), 2);
    assert_int_equal(number_at(&a, "results.0.index"), 1);
    assert_string_equal(answer_text(&a, "results.0.document.text"), "red car");
    assert_true(fabs(number_at(&a, "results.0.relevance_score") - 1) < 1e-5);
    assert_true(number_at(&a, "results.0.relevance_score") >
                number_at(&a, "results.1.relevance_score"));
    answer_done(&a);
    a = post_good("/rerank", "{\"model\": \"bert\", \"query\": \"q\", \"documents\": "
                             "[\"x\"], \"return_documents\": false}");
    assert_null(answer_at(&a, "results.0.document"));
    answer_done(&a);
    a = post_good("/score", "{\"model\": \"bert\", \"text_1\": \"red car\", \"text_2\": "
                            "[\"red car\", \"blue\"]}");
    assert_int_equal(json_array_size(answer_at(&a, "data")), 2);
    assert_true(fabs(number_at(&a, "data.0.score") - 1) < 1e-5);
    assert_true(number_at(&a, "data.1.score") < 1);
    answer_done(&a);
    a = post_good("/v1/score", "{\"model\": \"bert\", \"text_1\": [\"a\", \"blue\"], "
                               "\"text_2\": [\"red car\", \"blue\"]}");
    assert_true(fabs(number_at(&a, "data.1.score") - 1) < 1e-5);
    answer_done(&a);
    refused("/rerank", "{\"model\": \"tiny\", \"query\": \"q\", \"documents\": [\"x\"]}",
            400, "model");
    refused("/rerank",
            "{\"model\": \"bert\", \"query\": \"q\", \"documents\": [\"x\", {\"y\": 1}]}",
            400, "documents[1]");
    refused("/rerank", "{\"model\": \"bert\", \"query\": \"q\", \"documents\": []}", 400,
            "documents");
    refused("/score",
            "{\"model\": \"bert\", \"text_1\": [\"a\", \"b\"], \"text_2\": \"c\"}", 400,
            "text_1");
}

static void a_task_gives_classes(void **state)
{
    (void)state;
    answer a = post_good("/classify",
                         "{\"model\": \"side\", \"input\": [\"L\", \"or the other\"]}");
    assert_string_equal(answer_text(&a, "data.0.label"), "left"); /* by the rule */
    assert_int_equal(number_at(&a, "data.1.num_classes"), 2);
    double sum = number_at(&a, "data.1.probs.0") + number_at(&a, "data.1.probs.1");
    assert_true(fabs(sum - 1) < 1e-6);
    answer_done(&a);
    a = post_good("/classify", "{\"model\": \"side\", \"input\": \"L\"}");
    assert_int_equal(json_array_size(answer_at(&a, "data")), 1);
    answer_done(&a);
    refused("/classify", "{\"model\": \"tiny\", \"input\": \"L\"}", 400, "model");
    refused("/classify", "{\"model\": \"side\", \"input\": [\"L\", 1]}", 400, "input[1]");
    st_buf body;
    st_buf_init(&body, 1 << 20);
    st_buf_str(&body, "{\"model\": \"side\", \"input\": [\"L\", \"");
    for (int i = 0; i < 200; i++)
        st_buf_str(&body, "zq ");
    st_buf_str(&body, "\"]}");
    refused("/classify", body.data, 400, "input[1]"); /* of max_tokens 64 */
    st_buf_done(&body);
}

/* ---- tokens ---- */

static void tokens_go_there_and_back(void **state)
{
    (void)state;
    answer a = post_good("/tokenize", "{\"model\": \"tiny\", \"content\": \"hello\"}");
    char *ids = json_dumps(answer_at(&a, "tokens"), JSON_COMPACT);
    char body[512];
    snprintf(body, sizeof body, "{\"model\": \"tiny\", \"tokens\": %s}", ids);
    answer b = post_good("/detokenize", body);
    assert_non_null(strstr(answer_text(&b, "content"), "hello"));
    free(ids);
    answer_done(&b);
    b = post_good("/tokenize", "{\"model\": \"tiny\", \"content\": \"hello\", "
                               "\"with_pieces\": true}");
    assert_true(json_equal(answer_at(&a, "tokens.0"), answer_at(&b, "tokens.0.id")));
    assert_non_null(answer_at(&b, "tokens.0.piece"));
    answer_done(&a);
    answer_done(&b);
    a = post_good("/tokenize",
                  "{\"model\": \"bert\", \"content\": \"hello\", \"add_special\": true}");
    b = post_good("/tokenize", "{\"model\": \"bert\", \"content\": \"[CLS]hello[SEP]\"}");
    assert_true(json_equal(answer_at(&a, "tokens"), answer_at(&b, "tokens")));
    answer_done(&b);
    b = post_good("/tokenize", "{\"model\": \"bert\", \"content\": \"[CLS]hello[SEP]\", "
                               "\"parse_special\": false}");
    assert_false(json_equal(answer_at(&a, "tokens"), answer_at(&b, "tokens")));
    answer_done(&a);
    answer_done(&b);
    refused("/detokenize", "{\"model\": \"tiny\", \"tokens\": [1, -5]}", 400, "tokens");
    refused("/tokenize", "{\"content\": \"a\"}", 404, "model"); /* which one? */
}

static void a_template_makes_the_prompt(void **state)
{
    (void)state;
    answer a = post_good("/apply-template",
                         "{\"model\": \"tiny\", \"messages\": [{\"role\": \"user\", "
                         "\"content\": \"hi\"}]}");
    assert_string_equal(answer_text(&a, "prompt"), "user: hi\nassistant: ");
    answer_done(&a);
    refused("/apply-template",
            "{\"model\": \"bert\", \"messages\": [{\"role\": \"user\", \"content\": "
            "\"hi\"}]}",
            400, "model");
    refused("/apply-template",
            "{\"model\": \"tiny\", \"messages\": [{\"content\": \"hi\"}]}", 400,
            "messages[0].role");
}

/* ---- the Open Inference Protocol ---- */

static answer get(const char *path)
{
    if (!folder[0])
        skip();
    return ask_once(s.port, "GET", path, NULL, NULL);
}

static void get_is(const char *path, int status, const char *part)
{
    answer a = get(path);
    if (a.status != status || !strstr(a.body, part))
        fail_msg("%s: %d %s", path, a.status, a.body);
    answer_done(&a);
}

static void what_is_here_is_told(void **state)
{
    (void)state;
    char path[256];
    get_is("/v2", 200, "\"stint\"");
    get_is("/v2/health/live", 200, "true");
    get_is("/v2/health/ready", 200, "true");
    get_is("/v2/models/side/ready", 200, "true");
    get_is("/v2/models/nobody/ready", 404, "{\"error\":\"");
    get_is("/v2/models/bert/versions/1", 404, "{\"error\":\"");
    get_is("/v2/models/bert", 200, "\"embedding\"");
    get_is("/v2/models/tiny", 200, "\"text_output\"");
    answer a = get("/v2/models/side");
    assert_string_equal(answer_text(&a, "inputs.0.datatype"), "BYTES");
    assert_int_equal(number_at(&a, "outputs.2.shape.1"), 2);
    snprintf(path, sizeof path, "/v2/models/side/versions/%s/ready",
             answer_text(&a, "versions.0"));
    answer_done(&a);
    get_is(path, 200, "true");
}

#define TEXT_TENSOR(n, data)                                                             \
    "\"inputs\": [{\"name\": \"text\", \"shape\": [" n                                   \
    "], \"datatype\": \"BYTES\", \"data\": [" data "]}]"

static void tensors_are_answered(void **state)
{
    (void)state;
    answer a = post_good("/v2/models/side/infer",
                         "{\"id\": \"7\", " TEXT_TENSOR("2", "\"L\", \"what\"") "}");
    assert_string_equal(answer_text(&a, "id"), "7");
    assert_string_equal(answer_text(&a, "model_name"), "side");
    assert_string_equal(answer_text(&a, "outputs.0.data.0"), "left");
    assert_int_equal(json_array_size(answer_at(&a, "outputs")), 3);
    assert_int_equal(json_array_size(answer_at(&a, "outputs.2.data")), 4);
    answer_done(&a);
    a = post_good(
        "/v2/models/side/infer",
        "{\"outputs\": [{\"name\": \"confidence\"}], " TEXT_TENSOR("1, 1", "\"L\"") "}");
    assert_int_equal(json_array_size(answer_at(&a, "outputs")), 1);
    assert_string_equal(answer_text(&a, "outputs.0.name"), "confidence");
    answer_done(&a);
    a = post_good("/v2/models/bert/infer", "{" TEXT_TENSOR("1", "\"hi\"") "}");
    assert_true(fabs(length_of(answer_at(&a, "outputs.0.data")) - 1) < 1e-5);
    answer_done(&a);
    a = post_good("/v2/models/tiny/generate",
                  "{\"text_input\": \"hello\", \"parameters\": {\"max_tokens\": 4}}");
    answer b = post_good("/v2/models/tiny/generate",
                         "{\"text_input\": \"hello\", \"parameters\": {\"max_tokens\": "
                         "4, \"top_k\": 1, \"temperature\": 1, \"seed\": 5}}");
    assert_string_equal(answer_text(&a, "text_output"), answer_text(&b, "text_output"));
    answer_done(&a);
    answer_done(&b);
}

static void wrong_tensors_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *path, *body, *says;
    } cases[] = {
        {"side/infer", "{" TEXT_TENSOR("3", "\"L\"") "}", "inputs[0].shape"},
        {"side/infer", "{" TEXT_TENSOR("-1", "\"L\"") "}", "inputs[0].shape"},
        {"side/infer", "{" TEXT_TENSOR("4096, 4096", "\"L\"") "}", "inputs[0].shape"},
        {"side/infer", "{\"inputs\": []}", "inputs"},
        {"side/infer",
         "{\"outputs\": [{\"name\": \"x\"}], " TEXT_TENSOR("1", "\"L\"") "}",
         "no output 'x'"},
        {"side/infer",
         "{\"inputs\": [{\"name\": \"t\", \"shape\": [1], \"datatype\": \"FP32\", "
         "\"data\": [\"a\"]}]}",
         "BYTES is wanted"},
        {"tiny/infer", "{" TEXT_TENSOR("1", "\"L\"") "}", "/generate"},
        {"side/generate", "{\"text_input\": \"a\"}", "/infer"},
        {"bert/generate", "{\"text_input\": \"a\"}", "/infer"},
        {"tiny/generate", "{\"text_input\": \"a\", \"parameters\": {\"top_p\": 2}}",
         "parameters.top_p"},
        {"tiny/generate", "{\"text_input\": \"a\", \"parameters\": {\"stop\": [\"\"]}}",
         "parameters.stop"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[64];
        snprintf(path, sizeof path, "/v2/models/%s", cases[i].path);
        answer a = post(path, cases[i].body);
        if (a.status != 400 || !strstr(answer_text(&a, "error"), cases[i].says))
            fail_msg("%s %s: %d %s", path, cases[i].body, a.status, a.body);
        answer_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_have_length_one),
        cmocka_unit_test(many_texts_come_back_in_order),
        cmocka_unit_test(base64_is_the_same_floats),
        cmocka_unit_test(wrong_inputs_are_named),
        cmocka_unit_test(a_client_may_hang_up),
        cmocka_unit_test(the_nearest_comes_first),
        cmocka_unit_test(a_task_gives_classes),
        cmocka_unit_test(tokens_go_there_and_back),
        cmocka_unit_test(a_template_makes_the_prompt),
        cmocka_unit_test(what_is_here_is_told),
        cmocka_unit_test(tensors_are_answered),
        cmocka_unit_test(wrong_tensors_are_refused),
    };
    return cmocka_run_group_tests(tests, all_start, all_stop);
}
