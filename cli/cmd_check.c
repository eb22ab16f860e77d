/* cli/cmd_check.c - stint check: is a task fit for use? */
#include "cli/cli.h"

#include "eval/check_task.h"
#include <stdio.h>

typedef struct printer {
    bool json;
    st_err *err;
    int rc; /* the first failure to print */
} printer;

static void print_note(void *arg, check_level level, const char *topic, const char *text)
{
    printer *p = arg;
    if (p->rc)
        return;
    if (p->json)
        p->rc =
            cli_print_json(json_pack("{s:s, s:s, s:s}", "level", check_level_name(level),
                                     "topic", topic, "text", text),
                           p->err);
    else
        printf("%-8s %s: %s\n", check_level_name(level), topic, text);
}

static int run(cli_args *args, st_err *err)
{
    printer p = {.json = cli_flag(args, "json"), .err = err};
    const char *path = cli_operand(args, 0);
    unsigned n_errors;
    uint64_t threads;
    int rc = cli_u64(args, "threads", 0, 1, 1024, &threads, err);
    if (rc == 0)
        rc = check_run(path, (unsigned)threads, print_note, &p, &n_errors, err);
    if (rc || p.rc)
        return rc ? rc : p.rc;
    if (n_errors)
        return st_err_set(err, ST_ECONTRACT, "%s: %u errors", path, n_errors);
    return 0;
}

static const cli_option options[] = {
    {"threads", 't', "N", "Use N threads; as many as this process may use by default."},
    {"json", 0, NULL, "Print one JSON object a finding: level, topic, text."},
    {0},
};

const cli_command cli_check = {
    .name = "check",
    .summary = "check a task's contract, data and models",
    .operands = "TASK.yaml",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .details =
        "Reads the contract, every data file that it names and every model, and "
        "reports what it finds: labels that are unknown or rare, texts that repeat "
        "or stand in two splits (leakage), rules against labels, models that are "
        "missing or cannot be asked zero-shot, and whether what was fitted is of "
        "this contract.  The exit status is 0 only when there is no error.",
    .example = "stint check examples/support/task.yaml\n"
               "ok       contract: task support: choice of 13 options with \"none\", "
               "2 models, 0 rules; 4b7f0c1d2e3f\n"
               "ok       train: 416 rows, 32 (order_status) to 32 (order_status) a label",
    .run = run,
};
