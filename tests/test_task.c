/* tests/test_task.c - contracts, data rows and model names: what is read and what is
 * said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "task/contract.h"
#include "task/data.h"
#include "task/models.h"
#include "task/yaml.h"
#include "tests/fault.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char small[] =
    "task: t\n"
    "question: {type: choice, instructions: Which?, choices: [{value: a}, {value: b}]}\n";

/* ---- tests/contract.test ---- */

typedef struct one_case {
    char name[100];
    st_buf yaml;
    char expect[200];
    char hint[100];
} one_case;

/* False, with a line on standard error, when the case does not come out as written. */
static bool case_holds(const one_case *k)
{
    st_err err = {0};
    contract *c = NULL;
    char place[220];
    int rc = contract_parse("f", k->yaml.data ? k->yaml.data : "", k->yaml.len, &c, &err);
    bool has_digest = rc == 0 && strlen(c->digest) == 64;
    if (rc == 0)
        contract_free(c);
    /* "LINE:COLUMN: part": the place must match, the part must occur */
    snprintf(place, sizeof place, "f:%s", k->expect);
    char *part = strstr(place, ": ");
    if (part) {
        *part = '\0';
        part += 2;
    }
    bool holds =
        strcmp(k->expect, "ok") == 0
            ? has_digest
            : rc == ST_ECONTRACT && strncmp(err.message, place, strlen(place)) == 0 &&
                  (!part || strstr(err.message, part)) && strstr(err.hint, k->hint);
    if (!holds)
        print_error("%s: expected '%s' ('%s'), got %d '%s' ('%s')\n", k->name, k->expect,
                    k->hint, rc, err.message, err.hint);
    return holds;
}

static void take_rest(char *to, size_t size, const char *line)
{
    snprintf(to, size, "%s", line);
    to[strcspn(to, "\n")] = '\0';
}

static void contract_cases(void **state)
{
    char line[400];
    one_case k = {0};
    bool in_yaml = false;
    unsigned n = 0;
    unsigned wrong = 0;
    (void)state;
    st_buf_init(&k.yaml, 1 << 16);
    FILE *f = fopen("tests/contract.test", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "=== ", 4) == 0) {
            wrong += k.expect[0] && !case_holds(&k);
            st_buf_reset(&k.yaml);
            k.expect[0] = k.hint[0] = '\0';
            take_rest(k.name, sizeof k.name, line + 4);
            in_yaml = true;
            n++;
        } else if (strncmp(line, "--- ", 4) == 0) {
            take_rest(k.expect, sizeof k.expect, line + 4);
            in_yaml = false;
        } else if (strncmp(line, "??? ", 4) == 0) {
            take_rest(k.hint, sizeof k.hint, line + 4);
        } else if (in_yaml) {
            /* "----" stands for YAML's "---", which ends a case here */
            assert_int_equal(st_buf_str(&k.yaml, line + (strncmp(line, "----", 4) == 0)),
                             0);
        }
    }
    wrong += !case_holds(&k);
    fclose(f);
    st_buf_done(&k.yaml);
    assert_true(n > 50);
    assert_int_equal(wrong, 0);
}

/* ---- the contract ---- */

static contract *parse_ok(const char *text)
{
    st_err err = {0};
    contract *c = NULL;
    if (contract_parse("dir/task.yaml", text, strlen(text), &c, &err))
        fail_msg("%s", err.message);
    return c;
}

static void contract_is_read(void **state)
{
    (void)state;
    contract *c = parse_ok("task: tickets\n"
                           "models: [m1, ./m2.gguf]\n"
                           "question:\n"
                           "  type: choice\n"
                           "  instructions: >\n"
                           "    Which team\n"
                           "    answers?\n"
                           "  choices:\n"
                           "    - {value: billing, description: \"charges, refunds\"}\n"
                           "    - value: fraud\n"
                           "  abstain: true\n"
                           "input: {max_tokens: 512, on_too_long: truncate_middle}\n"
                           "rules:\n"
                           "  - {if: {matches: '(?i)^stop$'}, answer: fraud}\n"
                           "  - {if: {matches: 'stop'}, answer: billing}\n"
                           "data: {train: a.jsonl, golden: b.csv}\n");
    assert_string_equal(c->name, "tickets");
    assert_int_equal(c->n_models, 2);
    assert_string_equal(c->models[1], "./m2.gguf");
    assert_string_equal(c->question.instructions, "Which team answers?\n");
    assert_int_equal(c->question.n_options, 3);
    assert_string_equal(c->question.options[0].description, "charges, refunds");
    assert_null(c->question.options[1].description);
    assert_string_equal(c->question.options[2].value, QUESTION_NONE);
    assert_true(c->question.abstain);
    assert_int_equal(c->max_tokens, 512);
    assert_int_equal(c->too_long, CONTRACT_TRUNCATE_MIDDLE);
    assert_string_equal(c->train, "a.jsonl");
    assert_null(c->dev);
    assert_int_equal(c->n_rules, 2);
    assert_int_equal(c->rules[0].answer, 1);
    assert_int_equal(c->rules[1].line, 15);
    int32_t rule;
    assert_int_equal(contract_match(c, "STOP", 4, &rule, NULL), 0);
    assert_int_equal(rule, 0);
    assert_int_equal(contract_match(c, "please stop", 11, &rule, NULL), 0);
    assert_int_equal(rule, 1);
    assert_int_equal(contract_match(c, "\xFF stop", 6, &rule, NULL), 0);
    assert_int_equal(rule, 1);
    assert_int_equal(contract_match(c, "go", 2, &rule, NULL), 0);
    assert_int_equal(rule, -1);
    char *path = contract_artifact_path(c);
    assert_string_equal(path, "dir/tickets.stint");
    st_free(path);
    contract_free(c);
}

static void pattern_that_runs_away_is_an_error(void **state)
{
    st_err err = {0};
    char text[41];
    int32_t rule;
    (void)state;
    contract *c = parse_ok("task: t\n"
                           "question: {type: predicate, instructions: x}\n"
                           "rules: [{if: {matches: '^(\\w+\\s?)*$'}, answer: true}]\n");
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '!';
    assert_int_equal(contract_match(c, text, sizeof text, &rule, &err), ST_ELIMIT);
    assert_non_null(strstr(err.message, "dir/task.yaml:3: rule 1: the pattern gave up"));
    contract_free(c);
}

/* What the digest must see and what it must not. */
static void digest_follows_meaning(void **state)
{
    static const struct {
        const char *text;
        bool same;
    } cases[] = {
        {"question: {instructions: Which?, type: choice, choices: [{value: a}, {value: "
         "b}]}\n"
         "task: 't'\nmodels: [x/y.gguf]\ndata: {train: elsewhere.csv}\n",
         true},
        {"task: t\nquestion: {type: choice, instructions: Which?, abstain: false, "
         "choices: [{value: a}, {value: b}]}\ninput: {on_too_long: reject}\n",
         true},
        {"task: u\nquestion: {type: choice, instructions: Which?, choices: [{value: a}, "
         "{value: b}]}\n",
         false},
        {"task: t\nquestion: {type: choice, instructions: Which?, choices: [{value: b}, "
         "{value: a}]}\n",
         false},
        {"task: t\nquestion: {type: choice, instructions: Which?, choices: [{value: a}, "
         "{value: b, description: c}]}\n",
         false},
        {"task: t\nquestion: {type: choice, instructions: Which?, choices: [{value: a}, "
         "{value: b}]}\nrules: [{if: {matches: x}, answer: a}]\n",
         false},
        {"task: t\nquestion: {type: choice, instructions: Which?, choices: [{value: a}, "
         "{value: b}]}\ninput: {max_tokens: 9}\n",
         false},
    };
    (void)state;
    contract *base = parse_ok(small);
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        contract *c = parse_ok(cases[i].text);
        assert_int_equal(strcmp(c->digest, base->digest) == 0, cases[i].same);
        contract_free(c);
    }
    contract_free(base);
}

static void contract_of_255_options(void **state)
{
    st_err err = {0};
    contract *c = NULL;
    st_buf text;
    (void)state;
    for (unsigned n = 254; n <= 256; n++) {
        st_buf_init(&text, 1 << 20);
        st_buf_str(&text, "task: t\nquestion:\n  type: choice\n  instructions: x\n"
                          "  choices:\n");
        for (unsigned i = 0; i < n; i++)
            st_buf_fmt(&text, "    - {value: label %u}\n", i);
        err.code = 0;
        int rc = contract_parse("f", text.data, text.len, &c, &err);
        assert_int_equal(rc, n <= 255 ? 0 : ST_ECONTRACT);
        if (rc == 0) {
            assert_int_equal(contract_option(c, "label 253", 9), 253);
            assert_int_equal(contract_option(c, "label 2530", 10), -1);
            contract_free(c);
        }
        st_buf_done(&text);
    }
}

static void bytes_that_are_no_text(void **state)
{
    st_err err = {0};
    contract *c;
    (void)state;
    assert_int_equal(contract_parse("f", "task: t\nx: \xFF", 13, &c, &err), ST_ECONTRACT);
    assert_string_equal(err.message, "f:2:4: byte 0xff; expected UTF-8 text");
    err.code = 0;
    assert_int_equal(contract_parse("f", "task\0: t", 8, &c, &err), ST_ECONTRACT);
    assert_string_equal(err.message, "f:1:5: byte 0x00; expected UTF-8 text");
    err.code = 0;
    assert_int_equal(contract_load("/no/such.yaml", &c, &err), ST_ENOTFOUND);
}

/* ---- rows ---- */

static data_set *rows_of(const char *path, const char *text, data_opts opts, st_err *err)
{
    contract *c = parse_ok(small);
    data_set *set = NULL;
    int rc = data_parse(path, text, strlen(text), &c->question, &opts, &set, err);
    assert_int_equal(rc == 0, set != NULL);
    contract_free(c);
    return set;
}

static void jsonl_rows(void **state)
{
    st_err err = {0};
    (void)state;
    data_set *s =
        rows_of("d.jsonl",
                "\xEF\xBB\xBF{\"text\": \"one\", \"label\": \"b\", \"id\": 7, "
                "\"lang\": 3}\r\n"
                "\n"
                "{\"input\": \"t\\u0000wo\", \"source\": \"web\", \"id\": \"7x\", "
                "\"label\": null}\n"
                "{\"text\": \"one\", \"label\": \"a\"}",
                (data_opts){0}, &err);
    if (!s)
        fail_msg("%s", err.message);
    assert_int_equal(s->n, 3);
    assert_int_equal(s->n_labelled, 2);
    assert_int_equal(s->rows[0].label, 1);
    assert_true(s->rows[0].id_number);
    assert_string_equal(s->rows[0].id, "7");
    assert_int_equal(s->rows[1].len, 4);
    assert_memory_equal(s->rows[1].text, "t\0wo", 5);
    assert_int_equal(s->rows[1].label, -1);
    assert_int_equal(s->rows[1].line, 3);
    assert_string_equal(s->rows[1].source, "web");
    assert_int_equal(s->n_extra, 1);
    assert_string_equal(s->extra[0], "lang");
    data_repeats again;
    assert_int_equal(data_find_repeats(s, &again, &err), 0);
    assert_int_equal(again.n, 1);
    assert_int_equal(again.n_conflicting, 1);
    assert_int_equal(again.row_b, 2);
    data_free(s);
}

static void jsonl_errors(void **state)
{
    static const struct {
        const char *text;
        const char *expect;
    } cases[] = {
        {"{\"text\": \"x\"}\n{\"text\": \"y\", \"label\": \"c\"}",
         "d:2: label 'c' is no option"},
        {"{\"label\": \"a\"}", "d:1: has no \"input\""},
        {"{\"text\": \" \\n\"}", "d:1: the input is empty"},
        {"{\"text\": 5}", "d:1: \"text\" is not a string"},
        {"{\"text\": \"x\", \"input\": \"x\"}", "d:1: has both"},
        {"{\"text\": \"x\", \"id\": \"1\"}\n{\"text\": \"y\", \"id\": 1}",
         "d:2: id '1' is on line 1 too"},
        {"[1]", "d:1: is not a JSON object"},
        {"{\"text\": \"x\"\n", "d:1: column 12: "},
        {"{\"text\": \"x\", \"text\": \"y\"}", "d:1: column "},
        {"{\"text\": \"\xFF\"}", "d:1: column "},
        {"\n\n", "d: has no rows"},
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        st_err err = {0};
        assert_null(rows_of("d", cases[i].text, (data_opts){0}, &err));
        if (strncmp(err.message, cases[i].expect, strlen(cases[i].expect)))
            fail_msg("case %zu: '%s'", i, err.message);
    }
    st_err err = {0};
    assert_null(
        rows_of("d", "{\"text\": \"x\"}", (data_opts){.need_labels = true}, &err));
    assert_string_equal(err.message, "d:1: has no \"label\"");
}

static void rejected_rows_are_listed(void **state)
{
    st_err err = {0};
    (void)state;
    data_set *s = rows_of("d.jsonl", "{\"text\": \"x\"}\nbroken\n{\"text\": \"y\"}\n{}\n",
                          (data_opts){.keep_going = true}, &err);
    assert_int_equal(s->n, 2);
    assert_int_equal(s->n_rejected, 2);
    assert_int_equal(s->rejects[0].line, 2);
    assert_int_equal(s->rejects[1].line, 4);
    assert_string_equal(s->rejects[1].why, "has no \"input\" (or \"text\")");
    data_free(s);
}

static void csv_rows(void **state)
{
    st_err err = {0};
    (void)state;
    data_set *s = rows_of("d.csv",
                          "id,text,label,note\r\n"
                          "1,\"a, \"\"quoted\"\"\nline\",b,\r\n"
                          "\r\n"
                          "2,plain,,x\n"
                          "3,\"\xC3\xA9\",a,\"\"",
                          (data_opts){0}, &err);
    if (!s)
        fail_msg("%s", err.message);
    assert_int_equal(s->n, 3);
    assert_string_equal(s->rows[0].text, "a, \"quoted\"\nline");
    assert_int_equal(s->rows[0].line, 2);
    assert_int_equal(s->rows[1].line, 5);
    assert_int_equal(s->rows[1].label, -1);
    assert_int_equal(s->rows[2].label, 0);
    assert_string_equal(s->extra[0], "note");
    data_free(s);
}

static void csv_errors(void **state)
{
    static const struct {
        const char *text;
        const char *expect;
    } cases[] = {
        {"", "d.csv: line 1: no header"},
        {"label\na\n", "d.csv:1: the header has no column 'input'"},
        {"text,input\na,b\n", "d.csv:1: column 'input' is here twice"},
        {"text,label\nx,a\ny\n", "d.csv:3: 1 fields; the header has 2"},
        {"text\n\"x", "d.csv: line 2: a quote is never closed"},
        {"text\n\"x\"y\n", "d.csv: line 2: text after a closing quote"},
        {"text\nx\"y\n", "d.csv: line 2: a quote inside a field"},
        {"text\n\xFF\n", "d.csv:2: field 1 is not UTF-8"},
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        st_err err = {0};
        assert_null(rows_of("d.csv", cases[i].text, (data_opts){0}, &err));
        if (strncmp(err.message, cases[i].expect, strlen(cases[i].expect)))
            fail_msg("case %zu: '%s'", i, err.message);
    }
}

static void overlap_is_found(void **state)
{
    st_err err = {0};
    data_overlap o;
    (void)state;
    data_set *a =
        rows_of("a", "{\"text\":\"x\"}\n{\"text\":\"y\"}", (data_opts){0}, &err);
    data_set *b = rows_of("b", "{\"text\":\"z\"}\n{\"text\":\"y\"}\n{\"text\":\"x\"}",
                          (data_opts){0}, &err);
    assert_int_equal(data_compare(a, b, &o, &err), 0);
    assert_int_equal(o.n, 2);
    assert_int_equal(o.row_a, 1);
    assert_int_equal(o.row_b, 1);
    data_free(a);
    data_free(b);
}

/* ---- model names ---- */

static void touch(const char *folder, const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(st_file_write(path, "x", 1, NULL), 0);
}

static void model_names(void **state)
{
    st_err err = {0};
    char folder[] = "/tmp/stint-models-XXXXXX";
    char contract_path[100];
    char expect[100];
    char *path;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(contract_path, sizeof contract_path, "%s/task.yaml", folder);
    touch(folder, "near.gguf");
    touch(folder, "sha256-ab12");
    setenv("STINT_MODELS", folder, 1);
    assert_int_equal(models_find("near", "x", &path, &err), 0);
    snprintf(expect, sizeof expect, "%s/near.gguf", folder);
    assert_string_equal(path, expect);
    st_free(path);
    assert_int_equal(models_find("sha256:ab12", "x", &path, &err), 0);
    st_free(path);
    assert_int_equal(models_find("near.gguf", contract_path, &path, &err), 0);
    assert_string_equal(path, expect);
    st_free(path);
    assert_int_equal(models_find("./near.gguf", "/elsewhere/t", &path, &err),
                     ST_ENOTFOUND);
    assert_non_null(strstr(err.message, "/elsewhere/./near.gguf"));
    err.code = 0;
    assert_int_equal(models_find("far", "x", &path, &err), ST_ENOTFOUND);
    assert_non_null(strstr(err.message, folder));
    assert_true(err.hint[0]);
    snprintf(expect, sizeof expect, "%s/near.gguf", folder);
    unlink(expect);
    snprintf(expect, sizeof expect, "%s/sha256-ab12", folder);
    unlink(expect);
    rmdir(folder);
    unsetenv("STINT_MODELS");
}

/* ---- every allocation fails once ---- */

static const char whole[] =
    "task: t\n"
    "models: [a, b]\n"
    "question: {type: choice, instructions: x, choices: [{value: a, description: d}, "
    "{value: 'b'}], abstain: true}\n"
    "input: {max_tokens: 9, on_too_long: truncate_middle}\n"
    "rules: [{if: {matches: 'x+'}, answer: a}, {if: {matches: y}, answer: b}]\n"
    "data: {train: a.jsonl}\n";

static int contract_work(void *arg)
{
    contract *c = NULL;
    st_err err = {0};
    int32_t rule;
    (void)arg;
    int rc = contract_parse("f", whole, sizeof whole - 1, &c, &err);
    assert_int_equal(rc == 0, c != NULL);
    assert_int_equal(rc, err.code);
    if (rc == 0)
        rc = contract_match(c, "zzz", 3, &rule, &err);
    char *path = c ? contract_artifact_path(c) : NULL;
    if (c && !path)
        rc = ST_ENOMEM;
    st_free(path);
    contract_free(c);
    return rc;
}

static void contract_without_memory(void **state)
{
    (void)state;
    assert_true(fault_sweep(contract_work, NULL, 1) > 20);
}

static int rows_work(void *arg)
{
    static const char jsonl[] =
        "{\"id\": 1, \"text\": \"x\", \"label\": \"a\", \"k\": 0}\n"
        "{\"text\": \"x\", \"source\": \"s\"}\nbroken\n";
    static const char table[] = "id,text,label,k\n1,\"x\ny\",a,0\n2,z,q,1\n";
    const data_opts opts = {.keep_going = true};
    const contract *c = arg;
    st_err err = {0};
    data_set *one = NULL;
    data_set *two = NULL;
    data_repeats repeats;
    data_overlap overlap;
    int rc =
        data_parse("a.jsonl", jsonl, sizeof jsonl - 1, &c->question, &opts, &one, &err);
    if (rc == 0)
        rc =
            data_parse("b.csv", table, sizeof table - 1, &c->question, &opts, &two, &err);
    if (rc == 0)
        rc = data_find_repeats(one, &repeats, &err);
    if (rc == 0)
        rc = data_compare(one, two, &overlap, &err);
    data_free(one);
    data_free(two);
    return rc;
}

static void rows_without_memory(void **state)
{
    (void)state;
    contract *c = parse_ok(small);
    assert_true(fault_sweep(rows_work, c, 1) > 10);
    contract_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contract_cases),
        cmocka_unit_test(contract_is_read),
        cmocka_unit_test(pattern_that_runs_away_is_an_error),
        cmocka_unit_test(digest_follows_meaning),
        cmocka_unit_test(contract_of_255_options),
        cmocka_unit_test(bytes_that_are_no_text),
        cmocka_unit_test(jsonl_rows),
        cmocka_unit_test(jsonl_errors),
        cmocka_unit_test(rejected_rows_are_listed),
        cmocka_unit_test(csv_rows),
        cmocka_unit_test(csv_errors),
        cmocka_unit_test(overlap_is_found),
        cmocka_unit_test(model_names),
        cmocka_unit_test(contract_without_memory),
        cmocka_unit_test(rows_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
