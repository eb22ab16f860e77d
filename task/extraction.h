/* task/extraction.h - a task of type extract or draft opened for use, and its answers.
 *
 *   length -> examples -> the model writes, held to the schema and, where a check says
 *       verbatim, to the input's own words -> checks
 *                 ^                             | one fails
 *                 '--------- once more, told why
 *
 * A text that did not end within output.max_tokens went round in a loop as a rule.  It is
 * tried once more too, drawn (with the same seed) and not always the likeliest, and is an
 * error if that does not end either.
 *
 * What was fitted (task/extract_fit.h) lies beside the contract like that of other tasks
 * and says which model writes, how many examples it is shown, how they are found, and
 * what its scores are worth.  Not fitted, the first model of the contract that writes
 * text is shown the EXTRACT_SHOTS nearest examples of data.train by words, or none where
 * there is no data.train; the probabilities are the model's own then.
 *
 * The probability of a field comes from the tokens that were chosen for it; those that
 * the grammar forced count 1.  Not fitted it is the product of their probabilities under
 * the model's whole vocabulary, which is never more than that among the allowed ones;
 * fitted it is how often fields with such scores were right (task/extract_true.h).
 *
 * Models may be lent, as to a task of task/task.h: extraction_open then runs on any
 * thread and extraction_bind is due before anything is asked.
 *
 * Threads: one owner; contract, version, model and whether it is fitted may be read by
 * any. */
#ifndef TASK_EXTRACTION_H
#define TASK_EXTRACTION_H
#include "task/checks.h"
#include "task/contract.h"
#include "task/data.h"
#include "task/extract_true.h"
#include "task/extractor.h"
#include "task/fields.h"
#include "task/models.h"
#include "task/shots.h"

enum { EXTRACT_SHOTS = 4 };

typedef struct extraction extraction;

typedef struct extraction_opts {
    unsigned n_threads;   /* 0: st_cpu_count() */
    bool zero_shot;       /* leave examples and what was fitted aside */
    const char *artifact; /* another file than TASKNAME.stint beside the contract; NULL */
    bool unfitted;        /* leave what was fitted aside, but not the examples */
    bool no_repair;       /* what fails its checks is not tried again */
    const model_source *source; /* NULL: models of its own; else it outlives the task */
} extraction_opts;

/* Takes the contract, also when it fails.  ST_EMISMATCH: what was fitted is of another
 * contract, model or data.train, and the error says to run `stint fit`. */
ST_NODISCARD int extraction_open(contract *c, const extraction_opts *opts,
                                 extraction **ret_extraction, st_err *err);
void extraction_close(extraction *x); /* NULL allowed */

const contract *extraction_contract(const extraction *x);
const char *extraction_version(const extraction *x); /* 64 hexadecimal digits */
const char *extraction_model(const extraction *x);   /* its name in the contract */
bool extraction_fitted(const extraction *x);
/* The most examples that are shown, and how they are found. */
uint32_t extraction_shots(const extraction *x, shots_way *ret_way);

typedef struct extract_answer {
    int code; /* 0, or why there is no answer: the rest is not set */
    char why[200];
    char *output; /* the object as it was written, [len] and NUL */
    size_t len;
    char *text;                           /* of a draft: the text; else NULL */
    fields fields;                        /* of output */
    double *probability;                  /* [fields.n]; NaN for what is no field */
    field_score *scores;                  /* [fields.n] */
    check_fault faults[CHECK_MAX_FAULTS]; /* checks that fail; none: accepted */
    uint32_t n_faults;
    uint32_t n_shots;   /* examples that were shown: 0 is zero-shot */
    bool repaired;      /* the second attempt is what is given here */
    bool truncated;     /* the middle of the input was left out (on_too_long) */
    uint32_t n_prompt;  /* tokens of its prompt, without those of a second attempt */
    uint32_t n_cached;  /* of those, not run again */
    uint64_t queued_us; /* until the model began with it */
    uint32_t n_tokens;  /* made, of both attempts; so the next two */
    uint32_t n_steps;   /* that chose tokens; fewer than tokens: steps saved */
    uint32_t n_forced;  /* tokens that no step chose */
    double us;          /* microseconds; inputs that went together share their time */
} extract_answer;
void extract_answer_done(extract_answer *a);

/* Decide n inputs; every answer must be done.  `own` (may be NULL) [n]: the row of
 * data.train that an input is, which is not shown to itself; UINT32_MAX: none. */
ST_NODISCARD int extraction_decide(extraction *x, const char *const *texts,
                                   const size_t *lens, const uint32_t *own, uint32_t n,
                                   extract_answer *ret_answers, st_err *err);

/* Pin the beginning of its prompts: once, before anything is asked.
 * One with models of its own is bound by extraction_open. */
ST_NODISCARD int extraction_bind(extraction *x, st_err *err);

/* Every output of a set must be one of the contract's schema.  ST_EFORMAT names the line
 * and the place. */
ST_NODISCARD int extract_rows_check(const contract *c, const data_set *set, st_err *err);

/* ---- for fitting: the parts in other hands ---- */

typedef struct extract_way { /* how the model is asked */
    uint32_t n_shots;
    shots_way find;
} extract_way;

/* Ask from now on in this way; `encoder` for SHOTS_MODEL. */
ST_NODISCARD int extraction_set_way(extraction *x, const extract_way *way, lm *encoder,
                                    st_err *err);
void extraction_set_repair(extraction *x, bool repair);
contract *extraction_release(extraction *x); /* close it and give the contract back */
lm *extraction_lm(extraction *x);
const data_set *extraction_train(const extraction *x); /* NULL: none */
#endif
