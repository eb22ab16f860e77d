/* cli/cmd_fit.c - stint fit: learn experts from a task's examples and write them down. */
#include "cli/cli.h"

#include "task/extract_fit.h"
#include "task/fitting.h"
#include <stdio.h>

static void print_score(const fit_score *s)
{
    if (s->n)
        printf("  %8.3f %8.3f %7.3f", s->accuracy, s->nll, s->ece);
    else
        printf("  %8s %8s %7s", "-", "-", "-");
}

static void print_cost(double us)
{
    if (us >= 1000)
        printf("  %9.2f ms\n", us / 1000);
    else
        printf("  %9.1f us\n", us);
}

static void print_expert(const fit_expert *e)
{
    char where[64] = "";
    if (e->n_layers)
        snprintf(where, sizeof where, "layer %u of %u, %s", e->layer, e->n_layers,
                 e->pooling);
    printf("%-34s %-42s %6.2f", e->name, where, e->weight);
    print_score(&e->oof);
    print_score(&e->dev);
    print_cost(e->us);
}

static void print_experts(const fit_report *r)
{
    printf("%-34s %-42s %6s  %26s  %26s\n", "", "", "", "out of fold on train  ",
           "on dev          ");
    printf("%-34s %-42s %6s  %8s %8s %7s  %8s %8s %7s  %12s\n", "expert", "reads",
           "weight", "accuracy", "NLL", "ECE", "accuracy", "NLL", "ECE", "a decision");
    for (uint32_t i = 0; i < r->n_experts; i++)
        print_expert(&r->experts[i]);
    printf("%-34s %-42s %6s", "pool", "", "");
    print_score(&r->pool_oof);
    print_score(&r->pool_dev);
    print_cost(r->pool_us);
    if (r->n_rare)
        printf("%u options have fewer than two rows\n", r->n_rare);
}

static void print_trials(const readout_tuning *t, bool chosen)
{
    for (uint32_t i = 0; i < t->n_trials; i++) {
        const readout_trial *trial = &t->trials[i];
        char way[40];
        snprintf(way, sizeof way, "  %s%s%s", readout_mode_name(trial->opts.mode),
                 trial->opts.pmi ? " with PMI" : "",
                 chosen && i == t->best ? " (chosen)" : "");
        printf("%-26s %9u %11.3g %8.3f %8.3f", way, trial->opts.rotations,
               trial->opts.temperature, trial->accuracy, trial->nll);
        print_cost(trial->us);
    }
    if (t->refused[0])
        printf("  not every way was tried: %s\n", t->refused);
}

static void print_tunings(const fitting *f)
{
    printf("\n%-26s %9s %11s %8s %8s  %12s\n", "zero-shot, asked by", "rotations",
           "temperature", "accuracy", "NLL", "a decision");
    for (uint32_t i = 0; i < f->n_tuned; i++) {
        printf("%s, on %u rows\n", f->models[i].name, f->tunings[i].n_rows);
        print_trials(&f->tunings[i], i == f->reader);
    }
}

static json_t *score_json(const fit_score *s)
{
    if (!s->n)
        return json_null();
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "n", (json_int_t)s->n, "accuracy",
                     s->accuracy, "macro_f1", s->macro_f1, "nll", s->nll, "ece", s->ece,
                     "ece_noise", s->ece_noise);
}

static json_t *expert_json(const fit_expert *e)
{
    return json_pack("{s:s, s:s, s:s?, s:i, s:s, s:f, s:f, s:f, s:o, s:o}", "name",
                     e->name, "kind", e->kind, "model", e->model, "layer", (int)e->layer,
                     "pooling", e->pooling, "reg", e->reg, "weight", e->weight, "us",
                     e->us, "oof", score_json(&e->oof), "dev", score_json(&e->dev));
}

static void add_trials(const fitting *f, uint32_t index, json_t *list)
{
    const readout_tuning *tuning = &f->tunings[index];
    for (uint32_t i = 0; i < tuning->n_trials; i++) {
        const readout_trial *t = &tuning->trials[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:b, s:i, s:f, s:f, s:f, s:f, s:b}",
                                        "model", f->models[index].name, "mode",
                                        readout_mode_name(t->opts.mode), "pmi",
                                        t->opts.pmi, "rotations", (int)t->opts.rotations,
                                        "temperature", t->opts.temperature, "accuracy",
                                        t->accuracy, "nll", t->nll, "us", t->us, "chosen",
                                        index == f->reader && i == tuning->best));
    }
}

static int print_json(const fitting *f, st_err *err)
{
    const fit_report *r = fitted_report(f->fitted);
    json_t *experts = json_array();
    json_t *trials = json_array();
    for (uint32_t i = 0; i < r->n_experts; i++)
        json_array_append_new(experts, expert_json(&r->experts[i]));
    for (uint32_t i = 0; i < f->n_tuned; i++)
        add_trials(f, i, trials);
    return cli_print_json(
        json_pack("{s:s, s:o, s:{s:o, s:o, s:f, s:f}, s:o, s:f}", "artifact", f->path,
                  "experts", experts, "pool", "oof", score_json(&r->pool_oof), "dev",
                  score_json(&r->pool_dev), "temperature", r->temperature, "us",
                  r->pool_us, "readout", trials, "seconds", r->seconds),
        err);
}

static void print_text(const fitting *f)
{
    const fit_report *r = fitted_report(f->fitted);
    if (r->n_experts)
        print_experts(r);
    if (f->n_tuned)
        print_tunings(f);
    printf("\nwritten: %s (%.1f s)\n", f->path, r->seconds);
}

/* ---- tasks that write ---- */

static const char *ways_text(const extract_way *way)
{
    static const char *const texts[] = {
        [SHOTS_FIXED] = "fixed",
        [SHOTS_WORDS] = "nearest by words",
        [SHOTS_MODEL] = "nearest by encoder",
    };
    return way->n_shots ? texts[way->find] : "";
}

static void print_ways(const extract_fit *f)
{
    printf("%s, on %u rows\n", f->model, f->n_rows);
    printf("%8s %-20s %8s %8s  %12s\n", "examples", "", "F1", "answers", "a row");
    for (uint32_t i = 0; i < f->n_trials; i++) {
        const extract_trial *t = &f->trials[i];
        printf("%8u %-20s %8.3f %8u  %9.1f ms%s\n", t->way.n_shots, ways_text(&t->way),
               fields_f1(&t->fields), f->n_rows - t->n_refused, t->us / 1000,
               i == f->best ? "  (chosen)" : "");
    }
    if (f->n_fields)
        printf("\nprobabilities: %u of %u fields are right; NLL %.3f by the model's own, "
               "%.3f fitted\n",
               f->n_right, f->n_fields, f->nll_before, f->nll_after);
    else
        printf("\nprobabilities: too little to learn from; they are the model's own\n");
    printf("\nwritten: %s (%.1f s)\n", f->path, f->seconds);
}

static int print_ways_json(const extract_fit *f, st_err *err)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < f->n_trials; i++) {
        const extract_trial *t = &f->trials[i];
        json_array_append_new(
            list,
            json_pack("{s:i, s:s, s:f, s:i, s:f, s:b}", "examples", (int)t->way.n_shots,
                      "by", shots_way_name(t->way.find), "f1", fields_f1(&t->fields),
                      "refused", (int)t->n_refused, "us", t->us, "chosen", i == f->best));
    }
    return cli_print_json(json_pack("{s:s, s:s, s:i, s:o, s:{s:i, s:i, s:f, s:f}, s:f}",
                                    "artifact", f->path, "model", f->model, "rows",
                                    (int)f->n_rows, "ways", list, "probabilities",
                                    "fields", (int)f->n_fields, "right", (int)f->n_right,
                                    "nll_before", f->nll_before, "nll_after",
                                    f->nll_after, "seconds", f->seconds),
                          err);
}

/* Takes the contract. */
static int fit_writer(const cli_args *args, contract *c, unsigned n_threads, st_err *err)
{
    static const char *const others[] = {"no-words",   "no-heads", "no-neighbours",
                                         "no-readout", "folds",    "seed"};
    st_progress progress = cli_progress();
    const extract_fit_opts opts = {
        .n_threads = n_threads, .artifact = cli_get(args, "out"), .progress = &progress};
    extract_fit *f;
    for (size_t i = 0; i < ST_COUNT(others); i++) {
        if (!cli_flag(args, others[i]))
            continue;
        contract_free(c);
        return st_err_set(err, ST_EINVAL,
                          "fit: --%s goes with questions that have options", others[i]);
    }
    int rc = extract_fit_run(c, &opts, &f, err);
    cli_progress_end();
    if (rc)
        return rc;
    if (cli_flag(args, "json"))
        rc = print_ways_json(f, err);
    else
        print_ways(f);
    extract_fit_free(f);
    return rc;
}

static int run(cli_args *args, st_err *err)
{
    st_progress progress = cli_progress();
    uint64_t threads, folds, seed;
    contract *c;
    fitting *f;
    fitting_opts opts = {
        .fit = {.no_words = cli_flag(args, "no-words"),
                .no_heads = cli_flag(args, "no-heads"),
                .no_neighbours = cli_flag(args, "no-neighbours"),
                .progress = &progress},
        .no_readout = cli_flag(args, "no-readout"),
        .artifact = cli_get(args, "out"),
    };
    int rc = cli_u64(args, "threads", 0, 1, 1024, &threads, err);
    if (rc == 0)
        rc = cli_u64(args, "folds", 0, 2, 20, &folds, err);
    if (rc == 0)
        rc = cli_u64(args, "seed", 1, 0, UINT64_MAX, &seed, err);
    if (rc)
        return rc;
    opts.fit.n_threads = (unsigned)threads;
    opts.fit.n_folds = (uint32_t)folds;
    opts.fit.seed = seed;
    rc = contract_load(cli_operand(args, 0), &c, err);
    if (rc)
        return rc;
    if (contract_writes(c))
        return fit_writer(args, c, (unsigned)threads, err);
    contract_free(c);
    rc = fitting_run(cli_operand(args, 0), &opts, &f, err);
    cli_progress_end();
    if (rc)
        return rc;
    if (cli_flag(args, "json"))
        rc = print_json(f, err);
    else
        print_text(f);
    fitting_free(f);
    return rc;
}

static const cli_option options[] = {
    {"out", 'o', "FILE", "Write here instead of TASKNAME.stint beside the contract."},
    {"threads", 't', "N", "Use N threads; as many as this process may use by default."},
    {"seed", 0, "N", "Seed of the folds; 1 by default."},
    {"folds", 0, "N", "Folds for out-of-fold predictions; 5 by default."},
    {"no-words", 0, NULL, "Leave out the expert on words."},
    {"no-heads", 0, NULL, "Leave out heads on the models' states."},
    {"no-neighbours", 0, NULL, "Leave out the nearest examples."},
    {"no-readout", 0, NULL, "Do not choose how the model is asked zero-shot."},
    {"json", 0, NULL, "Print the report as one JSON object."},
    {0},
};

const cli_command cli_fit = {
    .name = "fit",
    .summary = "learn experts from a task's examples, pool them, write them down",
    .operands = "TASK.yaml",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .details =
        "Fits words, a head on each model's hidden state and the nearest examples on "
        "data.train, and pools them; everything is chosen by out-of-fold predictions, "
        "and "
        "data.dev is only reported on.  Which model answers zero-shot and how it is "
        "asked "
        "(label texts free or held to, codes or names, PMI, rotations, temperature) is "
        "chosen on data.dev, or on data.train where there is no dev.\n\n"
        "A task of type extract or draft: how many examples are shown and how they are "
        "found is chosen by the F1 of fields on data.dev, and what the scores of a field "
        "are worth is learnt on rows of both.\n\n"
        "The result is one file, bound to the digests of contract, weights and "
        "tokenizers; "
        "`stint decide` refuses it with any other.",
    .example = "stint fit examples/support/task.yaml\n"
               "expert   reads   weight   accuracy ...",
    .run = run,
};
