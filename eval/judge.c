/* eval/judge.c - a task run over a data set. */
#include "eval/judge.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

typedef struct group { /* room for one group's answers */
    task_answer answers[JUDGE_GROUP];
    const char *texts[JUDGE_GROUP];
    size_t lens[JUDGE_GROUP];
    double *probs;
    double *experts;
} group;

void judged_done(judged *j)
{
    st_free(j->answers);
    st_free(j->probs);
    *j = (judged){0};
}

static void keep_group(judged *j, const judge_rows *rows, size_t options)
{
    for (uint32_t i = 0; i < rows->n; i++)
        j->n_refused += rows->answers[i].code != 0;
    if (!j->answers)
        return;
    memcpy(j->answers + rows->first, rows->answers, rows->n * sizeof *j->answers);
    memcpy(j->probs + rows->first * options, rows->probs,
           rows->n * options * sizeof *j->probs);
}

static int run_group(task *t, const data_set *set, uint32_t first, const judge_opts *opts,
                     group *g, judged *j, st_err *err)
{
    uint32_t n = set->n - first < JUDGE_GROUP ? set->n - first : JUDGE_GROUP;
    for (uint32_t i = 0; i < n; i++) {
        g->texts[i] = set->rows[first + i].text;
        g->lens[i] = set->rows[first + i].len;
    }
    uint64_t start = st_clock_us();
    int rc = task_decide(t, g->texts, g->lens, n, g->answers, g->probs, g->experts, err);
    j->seconds += (double)(st_clock_us() - start) / 1e6;
    if (rc)
        return rc;
    judge_rows rows = {set, first, n, g->answers, g->probs, g->experts};
    keep_group(j, &rows, task_contract(t)->question.n_options);
    return opts->sink ? opts->sink(opts->arg, &rows, err) : 0;
}

static int run_groups(task *t, const data_set *set, const judge_opts *opts, group *g,
                      judged *j, st_err *err)
{
    int rc = 0;
    for (uint32_t first = 0; first < set->n && rc == 0; first += JUDGE_GROUP) {
        if (!st_progress_report(opts->progress, "deciding", first, set->n))
            return st_err_set(err, ST_ECANCELLED, "stopped while deciding");
        rc = run_group(t, set, first, opts, g, j, err);
    }
    return rc;
}

int judge_run(task *t, const data_set *set, const judge_opts *opts, judged *ret_judged,
              st_err *err)
{
    size_t options = task_contract(t)->question.n_options;
    size_t stride = options * task_n_experts(t);
    judged j = {.n = set->n};
    int rc = ST_ENOMEM;
    group *g = st_zalloc_n(1, sizeof *g);
    if (!g)
        goto fail;
    g->probs = st_zalloc_n(JUDGE_GROUP, options * sizeof *g->probs);
    if (!g->probs)
        goto fail;
    if (opts->experts && stride) {
        g->experts = st_zalloc_n(JUDGE_GROUP, stride * sizeof *g->experts);
        if (!g->experts)
            goto fail;
    }
    if (opts->keep) {
        j.answers = st_zalloc_n(set->n, sizeof *j.answers);
        j.probs = st_zalloc_n(set->n, options * sizeof *j.probs);
        if (!j.answers || !j.probs)
            goto fail;
    }
    rc = run_groups(t, set, opts, g, &j, err);
fail:
    if (g) {
        st_free(g->probs);
        st_free(g->experts);
    }
    st_free(g);
    if (rc) {
        judged_done(&j);
        return st_err_set(err, rc, "no memory to decide %u rows", set->n);
    }
    *ret_judged = j;
    return 0;
}
