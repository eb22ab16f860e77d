/* eval/check_task.c - look at a task before it is fitted or asked: rows, models, fit. */
#include "eval/check_task.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "expert/artifact.h"
#include "expert/readout.h"
#include "task/contract.h"
#include "task/data.h"
#include "task/extraction.h"
#include "task/models.h"

enum {
    N_SPLITS = 3,
    SHOWN_REJECTS = 5, /* of each file */
    FEW_ROWS = 2,      /* of a label, below which nothing can be held out */
};

static const char *const split_names[N_SPLITS] = {"train", "dev", "golden"};

typedef struct checker {
    contract *c;
    data_set *splits[N_SPLITS]; /* NULL: not named or not readable */
    check_note *note;
    void *arg;
    unsigned n_errors;
    st_err *err; /* running out of memory */
} checker;

const char *check_level_name(check_level level)
{
    static const char *const names[] = {
        [CHECK_OK] = "ok",
        [CHECK_WARNING] = "warning",
        [CHECK_ERROR] = "error",
    };
    return names[level];
}

static void say(checker *k, check_level level, const char *topic, const char *fmt, ...)
    ST_PRINTF(4, 5);
static void say(checker *k, check_level level, const char *topic, const char *fmt, ...)
{
    char text[640];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    k->n_errors += level == CHECK_ERROR;
    k->note(k->arg, level, topic, text);
}

static void say_failure(checker *k, const char *topic, const st_err *why)
{
    say(k, CHECK_ERROR, topic, "%s%s%s", why->message, why->hint[0] ? "; " : "",
        why->hint);
}

static void check_contract(checker *k)
{
    static const char *const types[] = {
        [QUESTION_PREDICATE] = "predicate", [QUESTION_CHOICE] = "choice",
        [QUESTION_SCORE] = "score",         [QUESTION_EXTRACT] = "extract",
        [QUESTION_DRAFT] = "draft",
    };
    const contract *c = k->c;
    if (contract_writes(c))
        say(k, CHECK_OK, "contract",
            "task %s: %s, a schema of %zu bytes that can be held, %u checks, %u models; "
            "%.12s",
            c->name, types[c->question.type], c->output.schema_len, c->output.n_checks,
            c->n_models, c->digest);
    else
        say(k, CHECK_OK, "contract",
            "task %s: %s of %u options%s, %u models, %u rules; %.12s", c->name,
            types[c->question.type], c->question.n_options,
            c->question.abstain ? " with \"none\"" : "", c->n_models, c->n_rules,
            c->digest);
}

/* ---- data ---- */

static void note_labels(checker *k, unsigned split, const data_set *set)
{
    const question *q = &k->c->question;
    uint32_t rows[QUESTION_MAX_OPTIONS] = {0};
    uint32_t least = 0;
    uint32_t most = 0;
    uint32_t n_rare = 0;
    uint32_t rare = 0;
    for (uint32_t i = 0; i < set->n; i++)
        rows[set->rows[i].label]++;
    for (uint32_t i = 0; i < q->n_options; i++) {
        least = rows[i] < rows[least] ? i : least;
        most = rows[i] > rows[most] ? i : most;
        if (rows[i] < FEW_ROWS && n_rare++ == 0)
            rare = i;
    }
    say(k, CHECK_OK, split_names[split], "%u rows, %u (%s) to %u (%s) a label", set->n,
        rows[least], q->options[least].value, rows[most], q->options[most].value);
    if (n_rare)
        say(k, CHECK_WARNING, split_names[split],
            "%u of %u labels have fewer than %d rows, among them '%s'", n_rare,
            q->n_options, FEW_ROWS, q->options[rare].value);
}

/* Outputs against the schema; and against the checks, which an answer would fail too. */
static int note_outputs(checker *k, unsigned split, const data_set *set)
{
    const contract_output *o = &k->c->output;
    st_err why = {0};
    uint32_t n_failing = 0;
    size_t line = 0;
    int rc = extract_rows_check(k->c, set, &why);
    if (rc == ST_ENOMEM)
        return st_err_set(k->err, rc, "%s", why.message);
    if (rc) {
        say_failure(k, split_names[split], &why);
        return 0;
    }
    for (uint32_t i = 0; i < set->n && rc == 0; i++) {
        const data_row *row = &set->rows[i];
        check_fault faults[CHECK_MAX_FAULTS];
        uint32_t n = 0;
        fields f;
        rc = fields_read(row->output, row->output_len, &f, k->err);
        if (rc)
            break;
        rc = checks_run(o->checks, o->n_checks, row->text, row->len, &f, faults, &n,
                        k->err);
        fields_done(&f);
        n_failing += n > 0;
        line = n && !line ? row->line : line;
    }
    if (rc == 0)
        say(k, CHECK_OK, split_names[split], "%u rows, every output is of the schema",
            set->n);
    if (n_failing)
        say(k, CHECK_WARNING, split_names[split],
            "%u outputs fail the contract's own checks, the first on line %zu", n_failing,
            line);
    return rc;
}

static void note_rows(checker *k, unsigned split, const data_set *set)
{
    const char *topic = split_names[split];
    for (uint32_t i = 0; i < set->n_rejects && i < SHOWN_REJECTS; i++)
        say(k, CHECK_ERROR, topic, "line %zu: %s", set->rejects[i].line,
            set->rejects[i].why);
    if (set->n_rejected > SHOWN_REJECTS)
        say(k, CHECK_ERROR, topic, "%u more rows cannot be used",
            set->n_rejected - SHOWN_REJECTS);
    for (uint32_t i = 0; i < set->n_extra; i++)
        say(k, CHECK_OK, topic, "'%s' is metadata and not read", set->extra[i]);
}

static int note_repeats(checker *k, unsigned split, const data_set *set)
{
    data_repeats r;
    int rc = data_find_repeats(set, &r, k->err);
    if (rc || r.n == 0)
        return rc;
    say(k, CHECK_WARNING, split_names[split],
        "%u rows repeat a text, %u of them with another label: lines %zu and %zu", r.n,
        r.n_conflicting, set->rows[r.row_a].line, set->rows[r.row_b].line);
    return 0;
}

static int check_split(checker *k, unsigned split, const char *name)
{
    const data_opts opts = {.need_labels = true, .keep_going = true};
    st_err why = {0};
    if (!name)
        return 0;
    char *path = st_path_beside(k->c->path, name);
    if (!path)
        return st_err_set(k->err, ST_ENOMEM, "%s: out of memory", k->c->path);
    int rc = data_load(path, &k->c->question, &opts, &k->splits[split], &why);
    st_free(path);
    if (rc == ST_ENOMEM)
        return st_err_set(k->err, rc, "%s", why.message);
    if (rc) {
        say_failure(k, split_names[split], &why);
        return 0;
    }
    note_rows(k, split, k->splits[split]);
    if (k->splits[split]->n && contract_writes(k->c)) {
        rc = note_outputs(k, split, k->splits[split]);
        if (rc)
            return rc;
    } else if (k->splits[split]->n) {
        note_labels(k, split, k->splits[split]);
    }
    return note_repeats(k, split, k->splits[split]);
}

/* A text of a later split that an earlier one has too makes the later one's figures lie.
 */
static int check_leakage(checker *k)
{
    for (unsigned a = 0; a < N_SPLITS; a++) {
        for (unsigned b = a + 1; b < N_SPLITS; b++) {
            const data_set *one = k->splits[a];
            const data_set *two = k->splits[b];
            data_overlap o = {0};
            int rc = one && two ? data_compare(one, two, &o, k->err) : 0;
            if (rc)
                return rc;
            if (o.n)
                say(k, CHECK_WARNING, split_names[b],
                    "%u of %u texts are in %s too (leakage): line %zu is its line %zu",
                    o.n, two->n, split_names[a], two->rows[o.row_b].line,
                    one->rows[o.row_a].line);
        }
    }
    return 0;
}

/* How often each rule speaks on the training rows, and against their labels. */
static int check_rules(checker *k)
{
    const contract *c = k->c;
    const data_set *set = k->splits[0] ? k->splits[0] : k->splits[2];
    for (uint32_t r = 0; set && r < c->n_rules; r++) {
        uint32_t n = 0;
        uint32_t wrong = 0;
        for (uint32_t i = 0; i < set->n; i++) {
            st_err why = {0};
            int32_t rule;
            int rc = contract_match(c, set->rows[i].text, set->rows[i].len, &rule, &why);
            if (rc == ST_ENOMEM)
                return st_err_set(k->err, rc, "%s", why.message);
            if (rc)
                say(k, CHECK_ERROR, "rules", "%s, at line %zu of %s", why.message,
                    set->rows[i].line, set->path);
            if (rc || rule != (int32_t)r)
                continue;
            n++;
            wrong += set->rows[i].label != (int32_t)c->rules[r].answer;
        }
        say(k, wrong ? CHECK_WARNING : CHECK_OK, "rules",
            "rule %u (line %u) answers %u of %u rows, %u of them against their label",
            r + 1, c->rules[r].line, n, set->n, wrong);
    }
    return 0;
}

/* ---- models ---- */

/* Can this model be asked zero-shot by label texts, and by codes? */
static int check_replies(checker *k, const char *name, lm *l)
{
    static const readout_mode modes[] = {READOUT_TEXT, READOUT_CODES};
    for (size_t i = 0; i < ST_COUNT(modes); i++) {
        const readout_opts how = {.mode = modes[i], .rotations = 1, .temperature = 1};
        st_err why = {0};
        readout *r = NULL;
        int rc = readout_new(l, &k->c->question, &how, &r, &why);
        readout_free(r);
        if (rc == ST_ENOMEM)
            return st_err_set(k->err, rc, "%s", why.message);
        if (rc)
            say(k, CHECK_WARNING, name, "cannot be asked by %s: %s",
                readout_mode_name(modes[i]), why.message);
        else
            say(k, CHECK_OK, name, "can be asked by %s", readout_mode_name(modes[i]));
    }
    return 0;
}

static int check_model(checker *k, const char *name, unsigned n_threads)
{
    st_err why = {0};
    lm *l;
    int rc = models_open(NULL, k->c, name, n_threads, &l, &why);
    if (rc == ST_ENOMEM)
        return st_err_set(k->err, rc, "%s", why.message);
    if (rc) {
        say_failure(k, name, &why);
        return 0;
    }
    const model_info *m = model_about(l->model);
    say(k, CHECK_OK, name, "%s, %.1f million parameters, %u layers; %s", m->arch,
        (double)m->n_params / 1e6, m->n_layers, l->path);
    if (m->causal && m->has_head && !contract_writes(k->c))
        rc = check_replies(k, name, l);
    lm_close(l);
    return rc;
}

static int check_artifact(checker *k)
{
    st_err why = {0};
    artifact *a = NULL;
    char *path = contract_artifact_path(k->c);
    if (!path)
        return st_err_set(k->err, ST_ENOMEM, "%s: out of memory", k->c->path);
    if (access(path, F_OK)) {
        say(k, CHECK_OK, "fit", "nothing is fitted yet%s",
            contract_writes(k->c) ? "" : ": decisions are zero-shot");
    } else if (artifact_open(path, &a, &why)) {
        say_failure(k, "fit", &why);
    } else if (strcmp(artifact_contract(a), k->c->digest)) {
        say(k, CHECK_ERROR, "fit",
            "%s was fitted for another contract; run `stint fit %s`", path, k->c->path);
    } else {
        say(k, CHECK_OK, "fit", "%s is of this contract; %.12s", path,
            artifact_digest(a));
    }
    artifact_close(a);
    st_free(path);
    return why.code == ST_ENOMEM ? st_err_set(k->err, ST_ENOMEM, "%s", why.message) : 0;
}

static int check_all(checker *k, unsigned n_threads)
{
    const char *names[N_SPLITS] = {k->c->train, k->c->dev, k->c->golden};
    int rc = 0;
    check_contract(k);
    for (unsigned i = 0; i < N_SPLITS && rc == 0; i++)
        rc = check_split(k, i, names[i]);
    if (rc == 0)
        rc = check_leakage(k);
    if (rc == 0)
        rc = check_rules(k);
    for (uint32_t i = 0; i < k->c->n_models && rc == 0; i++)
        rc = check_model(k, k->c->models[i], n_threads);
    return rc ? rc : check_artifact(k);
}

int check_run(const char *contract_path, unsigned n_threads, check_note *note, void *arg,
              unsigned *ret_errors, st_err *err)
{
    checker k = {.note = note, .arg = arg, .err = err};
    int rc = contract_load(contract_path, &k.c, err);
    if (rc)
        return rc;
    rc = check_all(&k, n_threads);
    for (unsigned i = 0; i < N_SPLITS; i++)
        data_free(k.splits[i]);
    contract_free(k.c);
    if (rc == 0)
        *ret_errors = k.n_errors;
    return rc;
}
