/* cli/cmd_decide.c - stint decide: answers with probabilities, or a report on them. */
#include "cli/extract.h"

#include "base/file.h"
#include "base/mem.h"
#include "eval/judge.h"
#include "eval/report.h"
#include "task/task.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BAR_COLUMNS = 78, MAX_REPORT = 16 << 20 };

typedef struct printer { /* what turns answers into lines */
    const task *t;
    const question *q;
    bool explain;
} printer;

/* ---- one JSON line a row ---- */

static json_t *distribution(const question *q, const double *probs)
{
    json_t *map = json_object();
    for (uint32_t i = 0; i < q->n_options; i++) {
        if (json_object_set_new(map, q->options[i].value, json_real(probs[i]))) {
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

static json_t *experts_object(const printer *p, const double *experts)
{
    json_t *map = json_object();
    for (uint32_t e = 0; e < task_n_experts(p->t); e++) {
        if (json_object_set_new(map, task_expert_name(p->t, e),
                                distribution(p->q, experts + e * p->q->n_options))) {
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

static json_t *id_value(const data_row *row)
{
    return row->id_number ? json_loads(row->id, JSON_DECODE_ANY, NULL)
                          : json_string(row->id);
}

static json_t *refused_object(const task_answer *a, const data_row *row)
{
    json_t *o = json_pack("{s:{s:s, s:s}, s:I}", "error", "code", st_code_text(a->code),
                          "message", a->why, "line", (json_int_t)row->line);
    if (o && row->id)
        json_object_set_new(o, "id", id_value(row));
    return o;
}

/* Members that only some answers have. */
static int add_extras(const printer *p, const task_answer *a, const data_row *row,
                      const double *probs, const double *experts, json_t *o)
{
    int failed = 0;
    if (p->q->type == QUESTION_SCORE)
        failed |= json_object_set_new(o, "score",
                                      json_real(task_score(probs, p->q->n_options)));
    if (!isnan(a->label_mass))
        failed |= json_object_set_new(o, "label_mass", json_real(a->label_mass));
    if (a->rule >= 0)
        failed |= json_object_set_new(o, "rule", json_integer(a->rule + 1));
    if (a->truncated)
        failed |= json_object_set_new(o, "truncated", json_true());
    if (p->explain && experts && a->route == TASK_EXPERTS)
        failed |= json_object_set_new(o, "experts", experts_object(p, experts));
    if (row->id)
        failed |= json_object_set_new(o, "id", id_value(row));
    return failed;
}

static int print_answer(const printer *p, const task_answer *a, const data_row *row,
                        const double *probs, const double *experts, st_err *err)
{
    if (a->code)
        return cli_print_json(refused_object(a, row), err);
    json_t *o = json_pack(
        "{s:s, s:o, s:f, s:s, s:s, s:f}", "answer", p->q->options[a->answer].value,
        "probabilities", distribution(p->q, probs), "confidence", a->confidence, "route",
        task_route_name(a->route), "version", task_version(p->t), "us", a->us);
    if (o && add_extras(p, a, row, probs, experts, o)) {
        json_decref(o);
        o = NULL;
    }
    return cli_print_json(o, err);
}

static int print_rows(void *arg, const judge_rows *rows, st_err *err)
{
    const printer *p = arg;
    size_t options = p->q->n_options;
    size_t stride = options * task_n_experts(p->t);
    int rc = 0;
    for (uint32_t i = 0; i < rows->n && rc == 0; i++)
        rc = print_answer(p, &rows->answers[i], &rows->set->rows[rows->first + i],
                          rows->probs + i * options,
                          rows->experts ? rows->experts + i * stride : NULL, err);
    return rc;
}

/* ---- one text on the command line ---- */

static int print_bars(const question *q, const data_row *row, const double *probs,
                      st_err *err)
{
    st_buf out;
    st_buf_init(&out, MAX_REPORT);
    int rc =
        report_bars(q, row->text, row->len, row->label, probs, BAR_COLUMNS, &out, err);
    if (rc == 0)
        printf("%s\n", out.data);
    st_buf_done(&out);
    return rc;
}

static int decide_text(task *t, const char *text, bool json, bool explain, st_err *err)
{
    const question *q = &task_contract(t)->question;
    const printer p = {t, q, explain};
    const data_row row = {.text = text, .len = strlen(text), .label = -1, .line = 1};
    size_t n_experts = explain ? task_n_experts(t) : 0;
    double *probs = st_zalloc_n((n_experts + 1) * q->n_options, sizeof *probs);
    double *experts = n_experts && probs ? probs + q->n_options : NULL;
    task_answer a;
    if (!probs)
        return st_err_set(err, ST_ENOMEM, "out of memory");
    int rc = task_decide(t, &text, &row.len, 1, &a, probs, experts, err);
    if (rc == 0 && a.code)
        rc = st_err_set(err, a.code, "%s", a.why);
    if (rc == 0)
        rc = json ? print_answer(&p, &a, &row, probs, experts, err)
                  : print_bars(q, &row, probs, err);
    st_free(probs);
    return rc;
}

/* ---- reports ---- */

typedef struct ways { /* up to two ways of answering the same rows */
    report_way way[REPORT_MAX_WAYS];
    judged results[REPORT_MAX_WAYS];
    uint32_t n;
} ways;

/* Run one way into its place.  `compare`: zero-shot where nothing is fitted is an error.
 */
static int run_way(ways *w, uint32_t at, const char *path, const task_opts *opts,
                   bool compare, const data_set *set, st_err *err)
{
    task *t;
    st_progress progress = cli_progress();
    judge_opts how = {.keep = true, .progress = &progress};
    int rc = task_open(path, opts, &t, err);
    if (rc)
        return rc;
    const readout_opts *asked = task_readout(t);
    if (asked && compare && !opts->zero_shot) {
        rc = st_err_set(err, ST_ENOTFOUND, "%s: no experts are fitted to compare with",
                        path);
        st_err_hint(err, "run `stint fit %s` first", path);
    }
    if (rc == 0)
        rc = judge_run(t, set, &how, &w->results[at], err);
    cli_progress_end();
    w->way[at] = (report_way){task_route_name(task_way(t)), &w->results[at]};
    if (rc == 0 && asked)
        printf("zero-shot: %s asked by %s%s, %u rotations, temperature %.3g\n",
               task_readout_model(t), readout_mode_name(asked->mode),
               asked->pmi ? " with PMI" : "", asked->rotations, asked->temperature);
    task_close(t);
    return rc;
}

/* N rows spread over the set, as the last way answered them. */
static int print_samples(const question *q, const data_set *set, const judged *j,
                         uint64_t n, st_err *err)
{
    int rc = 0;
    n = n < set->n ? n : set->n;
    for (uint64_t i = 0; i < n && rc == 0; i++) {
        size_t at = (size_t)((2 * i + 1) * set->n / (2 * n));
        if (!j->answers[at].code)
            rc = print_bars(q, &set->rows[at], j->probs + at * q->n_options, err);
    }
    return rc;
}

static int print_report(const question *q, const data_set *set, const ways *w,
                        uint64_t bars, st_err *err)
{
    st_buf out;
    st_buf_init(&out, MAX_REPORT);
    int rc = report_tables(q, set, w->way, w->n, &out, err);
    if (rc == 0)
        printf("%s%s", out.data, bars ? "\n" : "");
    st_buf_done(&out);
    return rc ? rc : print_samples(q, set, &w->results[w->n - 1], bars, err);
}

static int report(const char *path, const task_opts *opts, bool compare,
                  const question *q, const data_set *set, uint64_t bars, st_err *err)
{
    ways w = {0};
    task_opts zero = *opts;
    zero.zero_shot = true;
    w.n = compare ? 2 : 1;
    int rc = run_way(&w, w.n - 1, path, opts, compare, set, err);
    if (rc == 0 && compare)
        rc = run_way(&w, 0, path, &zero, compare, set, err);
    if (rc == 0)
        rc = print_report(q, set, &w, bars, err);
    for (uint32_t i = 0; i < w.n; i++)
        judged_done(&w.results[i]);
    return rc;
}

/* ---- the command ---- */

static int decide_rows(const char *path, const task_opts *opts, const data_set *set,
                       bool explain, st_err *err)
{
    task *t;
    judged j;
    int rc = task_open(path, opts, &t, err);
    if (rc)
        return rc;
    printer p = {t, &task_contract(t)->question, explain};
    judge_opts how = {.experts = explain, .sink = print_rows, .arg = &p};
    rc = judge_run(t, set, &how, &j, err);
    if (rc == 0 && j.n_refused)
        rc = st_err_set(err, ST_ELIMIT,
                        "%u of %u rows have no answer; their lines say why", j.n_refused,
                        j.n);
    task_close(t);
    return rc;
}

/* The rows named on the command line, else the contract's golden set. */
static int load_rows(const contract *c, const char *input, data_set **ret_set,
                     st_err *err)
{
    const data_opts opts = {0};
    if (!input && !c->golden) {
        st_err_set(err, ST_EINVAL, "%s: nothing to decide", c->path);
        st_err_hint(err, "give a text, --input FILE, or name data: {golden: FILE}");
        return ST_EINVAL;
    }
    char *own = input ? NULL : st_path_beside(c->path, c->golden);
    if (!input && !own)
        return st_err_set(err, ST_ENOMEM, "out of memory");
    int rc = data_load(input ? input : own, &c->question, &opts, ret_set, err);
    st_free(own);
    return rc;
}

/* ---- tasks that write ---- */

static int write_rows(const cli_args *args, extraction *x, st_err *err)
{
    bool asked = cli_flag(args, "report");
    data_set *set;
    int rc = load_rows(extraction_contract(x), cli_get(args, "input"), &set, err);
    if (rc)
        return rc;
    bool report = asked || (!cli_flag(args, "jsonl") && cli_stdout_is_terminal() &&
                            set->n_labelled);
    rc = extract_rows(x, set, report, cli_flag(args, "explain"), err);
    data_free(set);
    return rc;
}

/* Takes the contract. */
static int write_answers(const cli_args *args, contract *c, const task_opts *opts,
                         st_err *err)
{
    static const char *const others[] = {"compare", "bars"};
    const char *text = cli_operand(args, 1);
    const extraction_opts how = {.n_threads = opts->n_threads,
                                 .zero_shot = opts->zero_shot,
                                 .artifact = opts->artifact};
    extraction *x;
    for (size_t i = 0; i < ST_COUNT(others); i++) {
        if (!cli_get(args, others[i]) && !cli_flag(args, others[i]))
            continue;
        contract_free(c);
        return st_err_set(err, ST_EINVAL,
                          "decide: --%s goes with questions that have options",
                          others[i]);
    }
    int rc = extraction_open(c, &how, &x, err);
    if (rc)
        return rc;
    bool json = cli_flag(args, "jsonl") || !cli_stdout_is_terminal();
    rc = text ? extract_text(x, text, json, cli_flag(args, "explain"), err)
              : write_rows(args, x, err);
    extraction_close(x);
    return rc;
}

static int decide_file(const cli_args *args, const contract *c, const task_opts *opts,
                       st_err *err)
{
    const char *path = cli_operand(args, 0);
    data_set *set = NULL;
    uint64_t bars = 0;
    bool compare = cli_flag(args, "compare");
    int rc = cli_u64(args, "bars", 0, 0, 1000, &bars, err);
    if (rc == 0)
        rc = load_rows(c, cli_get(args, "input"), &set, err);
    if (rc == 0) {
        bool asked = cli_flag(args, "report") || compare || bars;
        bool fits =
            !cli_flag(args, "jsonl") && cli_stdout_is_terminal() && set->n_labelled;
        rc = asked || fits ? report(path, opts, compare, &c->question, set, bars, err)
                           : decide_rows(path, opts, set, cli_flag(args, "explain"), err);
    }
    data_free(set);
    return rc;
}

static int decide_text_operand(const cli_args *args, const task_opts *opts, st_err *err)
{
    task *t;
    int rc = task_open(cli_operand(args, 0), opts, &t, err);
    if (rc)
        return rc;
    bool json = cli_flag(args, "jsonl") || !cli_stdout_is_terminal();
    rc = decide_text(t, cli_operand(args, 1), json, cli_flag(args, "explain"), err);
    task_close(t);
    return rc;
}

static int check_options(const cli_args *args, st_err *err)
{
    static const char *const tables[] = {"report", "compare", "bars"};
    bool text = cli_n_operands(args) > 1;
    for (size_t i = 0; i < ST_COUNT(tables); i++) {
        bool asked = cli_flag(args, tables[i]);
        if (asked && (text || cli_flag(args, "jsonl")))
            return st_err_set(err, ST_EINVAL, "decide: --%s does not go with %s",
                              tables[i], text ? "a single text" : "--jsonl");
    }
    if (text && cli_get(args, "input"))
        return st_err_set(err, ST_EINVAL, "decide: give a text or --input, not both");
    if (cli_flag(args, "compare") && cli_flag(args, "zero-shot"))
        return st_err_set(err, ST_EINVAL, "decide: --compare includes zero-shot already");
    return 0;
}

static int run(cli_args *args, st_err *err)
{
    task_opts opts = {.zero_shot = cli_flag(args, "zero-shot"),
                      .artifact = cli_get(args, "fitted")};
    uint64_t threads;
    contract *c;
    int rc = cli_u64(args, "threads", 0, 1, 1024, &threads, err);
    if (rc == 0)
        rc = check_options(args, err);
    if (rc)
        return rc;
    opts.n_threads = (unsigned)threads;
    rc = contract_load(cli_operand(args, 0), &c, err);
    if (rc)
        return rc;
    if (contract_writes(c))
        return write_answers(args, c, &opts, err);
    rc = cli_n_operands(args) == 1 ? decide_file(args, c, &opts, err)
                                   : decide_text_operand(args, &opts, err);
    contract_free(c);
    return rc;
}

static const cli_option options[] = {
    {"input", 'i', "FILE",
     "Decide the rows of FILE (JSON lines, CSV, or - for standard "
     "input); the contract's golden set by default."},
    {"jsonl", 0, NULL, "Write one JSON line a row, in order, also on a terminal."},
    {"explain", 0, NULL, "Add each expert's own distribution to every line."},
    {"zero-shot", 'z', NULL, "Ask the model without the fitted experts."},
    {"report", 'r', NULL, "Print figures over the labelled rows instead of the answers."},
    {"compare", 'c', NULL, "Report zero-shot and fitted side by side."},
    {"bars", 'b', "N", "Report, and draw N of the rows with their distribution."},
    {"fitted", 0, "FILE",
     "Use this fitted file instead of TASKNAME.stint beside the "
     "contract."},
    {"threads", 't', "N", "Use N threads; as many as this process may use by default."},
    {0},
};

const cli_command cli_decide = {
    .name = "decide",
    .summary = "answer inputs with calibrated probabilities, or report on labelled ones",
    .operands = "TASK.yaml [TEXT]",
    .min_operands = 1,
    .max_operands = 2,
    .options = options,
    .details =
        "Rules answer first; then the experts that `stint fit` fitted, or, where nothing "
        "is "
        "fitted, the model zero-shot.  Each line has answer, probabilities (every "
        "option), "
        "confidence (the answer's probability), route (rule, experts, zero-shot), "
        "version (a "
        "digest of contract, fitted file and models), us (microseconds; rows that ran in "
        "one "
        "batch share its time), and where they apply label_mass, score, rule, truncated, "
        "experts and id.  A row without an answer has error and line instead, and the "
        "exit "
        "status is not 0.\n\n"
        "A task of type extract or draft gives output (the object), text (a draft's), "
        "fields (a probability for each), route (few-shot, zero-shot), examples (how "
        "many "
        "were shown), accepted (all checks hold), checks (those that fail), repaired "
        "(the "
        "second attempt is given), version, tokens, steps and us.\n\n"
        "On a terminal labelled rows give a report unless --jsonl is given.",
    .example = "stint decide examples/support/task.yaml \"where is my parcel\"\n"
               "where is my parcel\n"
               "  order_status       0.962 ...",
    .run = run,
};
