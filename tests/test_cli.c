/* tests/test_cli.c - command lines sorted, rows read, hostile text shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/frame.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_option options[] = {
    {"json", 'j', NULL, "A flag."},
    {"n", 'n', "N", "A number."},
    {"name", 0, "TEXT", "A text."},
    {0},
};

static const cli_command command = {
    .name = "demo",
    .summary = "demonstrate",
    .operands = "FILE [FILE]",
    .min_operands = 1,
    .max_operands = 2,
    .options = options,
};

#define PARSE(args, err, ...)                                                            \
    cli_parse(&command, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),   \
              (const char *[]){__VA_ARGS__}, args, err)

static void options_and_operands(void **state)
{
    cli_args args;
    st_err err = {0};
    uint64_t n;
    double x;
    (void)state;
    assert_int_equal(PARSE(&args, &err, "a", "-j", "--name=x=y", "-n7", "-"), 0);
    assert_true(cli_flag(&args, "json"));
    assert_string_equal(cli_get(&args, "name"), "x=y");
    assert_int_equal(cli_n_operands(&args), 2);
    assert_string_equal(cli_operand(&args, 1), "-");
    assert_null(cli_operand(&args, 2));
    assert_int_equal(cli_u64(&args, "n", 1, 0, 10, &n, &err), 0);
    assert_int_equal(n, 7);
    assert_int_equal(cli_f64(&args, "n", 1, 0, 10, &x, &err), 0);
    assert_true(x == 7);
    assert_int_equal(PARSE(&args, &err, "--", "--json", "-n"), 0);
    assert_false(cli_flag(&args, "json"));
    assert_string_equal(cli_operand(&args, 0), "--json");
    assert_int_equal(cli_u64(&args, "n", 5, 0, 10, &n, &err), 0);
    assert_int_equal(n, 5);
    assert_int_equal(PARSE(&args, &err, "-z", "--help"), ST_EINVAL);
    err.code = 0;
    assert_int_equal(PARSE(&args, &err, "--help", "-z"), 0);
    assert_true(args.help);
}

static void refuses(int rc, st_err *err, const char *part)
{
    assert_int_equal(rc, ST_EINVAL);
    assert_non_null(strstr(err->message, part));
    memset(err, 0, sizeof *err);
}

static void wrong_lines_are_named(void **state)
{
    cli_args args;
    st_err err = {0};
    uint64_t n;
    double x;
    const char *text;
    (void)state;
    refuses(PARSE(&args, &err, "--jso", "a"), &err, "unknown option '--jso'");
    refuses(PARSE(&args, &err, "-x", "a"), &err, "unknown option '-x'");
    refuses(PARSE(&args, &err, "--json=1", "a"), &err, "no value belongs");
    refuses(PARSE(&args, &err, "a", "--name"), &err, "no value after '--name'");
    refuses(PARSE(&args, &err, "-j", "--json", "a"), &err, "twice");
    refuses(PARSE(&args, &err, "-j"), &err, "FILE [FILE] is missing");
    refuses(PARSE(&args, &err, "a", "b", "c"), &err, "unexpected word 'c'");
    static const char *const bad[] = {
        "", "-1", "11", "1x", "+1", " 1", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char word[64];
        snprintf(word, sizeof word, "--n=%s", bad[i]);
        assert_int_equal(PARSE(&args, &err, "a", word), 0);
        refuses(cli_u64(&args, "n", 0, 0, 10, &n, &err), &err, "--n");
    }
    assert_int_equal(PARSE(&args, &err, "a", "--n=nan"), 0);
    refuses(cli_f64(&args, "n", 0, 0, 10, &x, &err), &err, "--n");
    refuses(cli_need(&args, "name", &text, &err), &err, "--name is missing");
}

typedef struct seen {
    size_t rows;
    size_t last_line;
    size_t text_len;
} seen;

static int see_row(void *arg, json_t *row, size_t line, st_err *err)
{
    seen *s = arg;
    s->rows++;
    s->last_line = line;
    s->text_len = json_string_length(json_object_get(row, "text"));
    if (json_object_get(row, "stop"))
        return st_err_set(err, ST_EINVAL, "stop asked");
    return 0;
}

static int rows_of(const char *text, size_t len, seen *ret, st_err *err)
{
    char path[] = "/tmp/stint-rows-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    close(fd);
    memset(ret, 0, sizeof *ret);
    memset(err, 0, sizeof *err);
    int rc = cli_each_row(path, see_row, ret, err);
    unlink(path);
    return rc;
}

static void rows_and_their_places(void **state)
{
    seen s;
    st_err err;
    (void)state;
#define ROWS(text) rows_of(text, sizeof(text) - 1, &s, &err)
    assert_int_equal(ROWS("\xEF\xBB\xBF{\"text\":\"a\\u0000b\"}\r\n\n \t\n{}"), 0);
    assert_int_equal(s.rows, 2);
    assert_int_equal(s.last_line, 4);
    assert_int_equal(ROWS("{\"text\":\"a\\u0000b\"}\n"), 0);
    assert_int_equal(s.text_len, 3);
    assert_int_equal(ROWS(""), 0);
    assert_int_equal(ROWS("{}\n[]\n"), ST_EFORMAT);
    assert_non_null(strstr(err.message, ":2: not a JSON object"));
    assert_int_equal(ROWS("{\"a\":1,\"a\":2}"), ST_EFORMAT);
    assert_int_equal(ROWS("{} {}"), ST_EFORMAT);
    assert_int_equal(ROWS("\0"), ST_EFORMAT);
    assert_int_equal(ROWS("{}\n{\"stop\":1}\n{}"), ST_EINVAL);
    assert_non_null(strstr(err.message, ":2: stop asked"));
    assert_int_equal(s.rows, 2);
#undef ROWS
    memset(&err, 0, sizeof err);
    assert_int_equal(cli_each_row("/no/such", see_row, &s, &err), ST_ENOTFOUND);
}

static void help_is_complete(void **state)
{
    size_t n;
    const cli_row *rows = cli_rows(&n);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    (void)state;
    assert_non_null(out);
    cli_help(out);
    for (size_t i = 0; i < n; i++) {
        const cli_command *c = rows[i].command;
        assert_ptr_equal(cli_find_command(c->name), c);
        assert_non_null(c->example);
        assert_non_null(c->operands);
        cli_help_command(out, c);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(rows[j].command->name, c->name);
            if (strcmp(rows[j].group, rows[i].group) == 0) /* groups stand together */
                assert_string_equal(rows[i - 1].group, rows[i].group);
        }
    }
    fclose(out);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(strstr(text, rows[i].command->summary));
        assert_non_null(strstr(text, "\n  stint "));
    }
    free(text);
}

static void control_characters_are_hidden(void **state)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    (void)state;
    cli_put_text(out, "a\033[2J\n\0\xC3\xA9", 9);
    cli_put_text(out, "\xC2\x9B|\x9B|\xE2\x80\xAE|\xE2\x80", 11);
    fclose(out);
    assert_string_equal(text, "a?[2J??\xC3\xA9?|?|?|??");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_operands),
        cmocka_unit_test(wrong_lines_are_named),
        cmocka_unit_test(rows_and_their_places),
        cmocka_unit_test(help_is_complete),
        cmocka_unit_test(control_characters_are_hidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
