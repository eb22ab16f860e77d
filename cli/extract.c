/* cli/extract.c - answers of tasks that write, as lines and reports. */
#include "cli/extract.h"

#include "base/mem.h"
#include "eval/extract_report.h"
#include <errno.h>
#include <math.h>
#include <string.h>

enum { MAX_REPORT = 16 << 20 };

/* ---- one JSON line a row ---- */

static json_t *id_value(const data_row *row)
{
    return row->id_number ? json_loads(row->id, JSON_DECODE_ANY, NULL)
                          : json_string(row->id);
}

typedef struct extract_print { /* what turns answers into lines */
    const extraction *x;
    bool explain; /* with the scores behind each probability */
} extract_print;

static json_t *fields_object(const extract_print *p, const extract_answer *a)
{
    json_t *map = json_object();
    for (uint32_t i = 0; i < a->fields.n; i++) {
        if (!fields_is(&a->fields, i))
            continue;
        json_t *one = json_pack("{s:f}", "probability", a->probability[i]);
        if (one && p->explain) {
            const field_score *s = &a->scores[i];
            json_object_set_new(one, "logp", json_real(s->logp));
            json_object_set_new(one, "held_logp", json_real(s->held_logp));
            json_object_set_new(one, "tokens", json_integer(s->n));
        }
        if (json_object_set_new(map, fields_pointer(&a->fields, i), one)) {
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

static json_t *checks_array(const extract_print *p, const extract_answer *a)
{
    const check *checks = extraction_contract(p->x)->output.checks;
    json_t *list = json_array();
    for (uint32_t i = 0; i < a->n_faults; i++) {
        const check_fault *f = &a->faults[i];
        const check *k = &checks[f->check];
        json_t *one = json_pack("{s:i, s:s, s:o}", "check", (int)f->check + 1,
                                k->rule ? "rule" : "field", f->field ? f->field : k->text,
                                "message", cli_json_text(f->why, strlen(f->why)));
        if (json_array_append_new(list, one)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* All members but the output. */
static json_t *rest_object(const extract_print *p, const data_row *row,
                           const extract_answer *a)
{
    int failed = 0;
    json_t *o = json_pack(
        "{s:o, s:s, s:i, s:b, s:b, s:o, s:s, s:i, s:i, s:f}", "fields",
        fields_object(p, a), "route", a->n_shots ? "few-shot" : "zero-shot", "examples",
        (int)a->n_shots, "accepted", a->n_faults == 0, "repaired", a->repaired, "checks",
        checks_array(p, a), "version", extraction_version(p->x), "tokens",
        (int)a->n_tokens, "steps", (int)a->n_steps, "us", a->us);
    if (o && a->text)
        failed |= json_object_set_new(o, "text", cli_json_text(a->text, strlen(a->text)));
    if (o && a->truncated)
        failed |= json_object_set_new(o, "truncated", json_true());
    if (o && row->id)
        failed |= json_object_set_new(o, "id", id_value(row));
    if (!failed)
        return o;
    json_decref(o);
    return NULL;
}

static int print_refused(const data_row *row, const extract_answer *a, st_err *err)
{
    json_t *o = json_pack("{s:{s:s, s:s}, s:I}", "error", "code", st_code_text(a->code),
                          "message", a->why, "line", (json_int_t)row->line);
    if (o && row->id)
        json_object_set_new(o, "id", id_value(row));
    return cli_print_json(o, err);
}

/* The output goes out as the model wrote it, not through numbers of another kind. */
static int print_row(const extract_print *p, const data_row *row, const extract_answer *a,
                     st_err *err)
{
    if (a->code)
        return print_refused(row, a, err);
    json_t *rest = rest_object(p, row, a);
    char *text = rest ? json_dumps(rest, JSON_COMPACT) : NULL;
    json_decref(rest);
    if (!text)
        return st_err_set(err, ST_ENOMEM, "out of memory");
    int n = printf("{\"output\":%s,%s\n", a->output, text + 1);
    st_free(text);
    if (n < 0 || fflush(stdout) == EOF)
        return st_err_set(err, ST_EIO, "standard output: %s", strerror(errno));
    return 0;
}

/* ---- for a person ---- */

static int show_answer(const extraction *x, const extract_answer *a, st_err *err)
{
    const check *checks = extraction_contract(x)->output.checks;
    st_buf text;
    st_buf_init(&text, MAX_REPORT);
    for (uint32_t i = 0; i < a->fields.n && !text.code; i++) {
        if (!fields_is(&a->fields, i))
            continue;
        st_buf_reset(&text);
        (void)fields_value(&a->fields, i, &text);
        printf("%-24s %6.3f  ", fields_pointer(&a->fields, i), a->probability[i]);
        cli_put_text(stdout, text.data ? text.data : "", text.len);
        putchar('\n');
    }
    for (uint32_t i = 0; i < a->n_faults; i++) {
        const check_fault *f = &a->faults[i];
        printf("check %u fails: %s: ", f->check + 1,
               f->field ? f->field : checks[f->check].text);
        cli_put_text(stdout, f->why, strlen(f->why));
        putchar('\n');
    }
    if (a->text) {
        putchar('\n');
        for (const char *line = a->text, *end; *line; line = end + (*end == '\n')) {
            end = line + strcspn(line, "\n");
            cli_put_text(stdout, line, (size_t)(end - line));
            putchar('\n');
        }
    }
    int rc = text.code ? st_err_set(err, text.code, "out of memory") : 0;
    st_buf_done(&text);
    return rc;
}

int extract_text(extraction *x, const char *text, bool json, bool explain, st_err *err)
{
    const extract_print p = {x, explain};
    const data_row row = {.text = text, .len = strlen(text), .line = 1};
    extract_answer a;
    int rc = extraction_decide(x, &text, &row.len, NULL, 1, &a, err);
    if (rc == 0 && a.code)
        rc = st_err_set(err, a.code, "%s", a.why);
    if (rc == 0)
        rc = json ? print_row(&p, &row, &a, err) : show_answer(x, &a, err);
    extract_answer_done(&a);
    return rc;
}

static int print_sink(void *arg, const data_row *row, const extract_answer *a,
                      st_err *err)
{
    return print_row(arg, row, a, err);
}

int extract_rows(extraction *x, const data_set *set, bool report, bool explain,
                 st_err *err)
{
    extract_print p = {x, explain};
    st_progress progress = cli_progress();
    extract_judged j;
    st_buf out;
    int rc = report ? extract_judge(x, set, NULL, NULL, &progress, &j, err)
                    : extract_judge(x, set, print_sink, &p, NULL, &j, err);
    cli_progress_end();
    if (rc)
        return rc;
    st_buf_init(&out, MAX_REPORT);
    if (report)
        rc = extract_report(x, set, &j, &out, err);
    if (rc == 0 && report)
        fputs(out.data, stdout);
    st_buf_done(&out);
    if (rc == 0 && j.n_refused)
        rc = st_err_set(err, ST_ELIMIT, "%u of %u rows have no answer%s", j.n_refused,
                        j.n, report ? "" : "; their lines say why");
    extract_judged_done(&j);
    return rc;
}
