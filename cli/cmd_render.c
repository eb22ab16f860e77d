/* cli/cmd_render.c - stint render: a chat template with the variables of each row.
 *
 * The clock stands still unless --now says otherwise, so that the same template and rows
 * give the same bytes on any day. */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "template/template.h"
#include <stdio.h>
#include <string.h>

enum { TEMPLATE_MAX = 4 << 20, FIXED_NOW = 1741964966 }; /* 2025-03-14 15:09:26 UTC */

typedef struct renderer {
    tmpl *t;
    tmpl_opts opts;
    bool marks;
} renderer;

/* What a chat template may count on although the row does not say it. */
static int complete(json_t *vars, st_err *err)
{
    static const char *const absent[] = {"tools", "documents"};
    json_t *extra = json_object_get(vars, "extra");
    int bad = json_is_object(extra) ? json_object_update_missing(vars, extra) : 0;
    for (size_t i = 0; i < ST_COUNT(absent); i++) {
        if (!json_object_get(vars, absent[i]))
            bad |= json_object_set_new(vars, absent[i], json_null());
    }
    return bad ? st_err_set(err, ST_ENOMEM, "out of memory") : 0;
}

/* Marks as runs: [first byte, bytes] of each stretch of data. */
static json_t *data_runs(const st_buf *marks)
{
    json_t *runs = json_array();
    for (size_t i = 0, n; i < marks->len; i += n) {
        for (n = 1; i + n < marks->len && marks->data[i + n] == marks->data[i];)
            n++;
        if (marks->data[i] == 1)
            json_array_append_new(runs, json_pack("[I,I]", (json_int_t)i, (json_int_t)n));
    }
    return runs;
}

static json_t *failure(int code, const st_err *why)
{
    return json_pack("{s:s, s:b}", "error", why->message, "raised_by_template",
                     code == ST_ERAISED);
}

/* In ASCII: a text may hold U+2028 or U+0085, which some readers take for a line end. */
static int print_answer(json_t *answer, st_err *err)
{
    if (!answer)
        return st_err_set(err, ST_ENOMEM, "out of memory");
    int failed = json_dumpf(answer, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(answer);
    if (failed || putchar('\n') == EOF || fflush(stdout) == EOF)
        return st_err_set(err, ST_EIO, "standard output: cannot write the row");
    return 0;
}

static int render_row(void *arg, json_t *row, size_t line, st_err *err)
{
    const renderer *it = arg;
    tmpl_out out;
    st_err why = {0};
    (void)line;
    int rc = complete(row, err);
    if (rc)
        return rc;
    tmpl_out_init(&out);
    rc = tmpl_render(it->t, row, &it->opts, &out, &why);
    json_t *answer =
        rc ? failure(rc, &why)
           : json_pack("{s:o}", "text",
                       json_stringn(out.text.data ? out.text.data : "", out.text.len));
    if (!rc && it->marks && answer)
        json_object_set_new(answer, "data", data_runs(&out.marks));
    tmpl_out_done(&out);
    return print_answer(answer, err);
}

static int read_now(const cli_args *args, int64_t *ret, st_err *err)
{
    uint64_t now = FIXED_NOW;
    const char *text = cli_get(args, "now");
    int rc = text && strcmp(text, "clock") == 0
                 ? (now = (uint64_t)st_clock_unix(), 0)
                 : cli_u64(args, "now", FIXED_NOW, 1, UINT32_MAX, &now, err);
    *ret = (int64_t)now;
    return rc;
}

static int run(cli_args *args, st_err *err)
{
    const char *path;
    char *source = NULL;
    size_t len;
    renderer it = {.marks = cli_flag(args, "marks")};
    int rc = cli_need(args, "template", &path, err);
    if (!rc)
        rc = read_now(args, &it.opts.now_unix, err);
    if (!rc)
        rc = st_file_read(path, TEMPLATE_MAX, &source, &len, err);
    if (rc)
        return rc;
    rc = tmpl_parse(source, len, &it.t, err);
    if (rc)
        st_err_at(err, "%s", path);
    else
        rc = cli_each_row(cli_n_operands(args) ? cli_operand(args, 0) : "-", render_row,
                          &it, err);
    tmpl_free(it.t);
    st_free(source);
    return rc;
}

static const cli_option options[] = {
    {"template", 't', "FILE", "The template (Jinja as models ship it)."},
    {"jsonl", 0, NULL, "Rows are JSON lines (the only form; may be left out)."},
    {"now", 0, "UNIX", "What strftime_now shows, in seconds since 1970, or \"clock\"."},
    {"marks", 0, NULL, "Add \"data\": [first byte, bytes] of each stretch from the row."},
    {0},
};

const cli_command cli_render = {
    .name = "render",
    .summary = "render a chat template with the variables of each row",
    .operands = "[ROWS.jsonl]",
    .max_operands = 1,
    .options = options,
    .details =
        "Reads one JSON object a line, from a file or standard input, and writes one "
        "line "
        "for each: {\"text\"} or {\"error\", \"raised_by_template\"}.\n"
        "Every member of a row is a variable of the template (messages, tools, "
        "add_generation_prompt, bos_token, ...), and so is every member of its member "
        "\"extra\". tools and documents are null where the row has none.\n"
        "The clock of strftime_now stands at 2025-03-14 15:09:26 UTC unless --now moves "
        "it, "
        "so that the same rows give the same bytes on any day.",
    .example = "echo '{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}' | stint "
               "render -t chat.jinja\n"
               "{\"text\":\"<|im_start|>user\\nHi<|im_end|>\\n\"}",
    .run = run,
};
