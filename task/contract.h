/* task/contract.h - a task's YAML file, read strictly.
 *
 *     task: tickets                        # letters, digits, '-', '_', '.'; at most 64
 *     models: [all-minilm-l6-v2, smollm2]  # names, paths or digests, cheapest first
 *     question:
 *       type: choice              # choice | predicate | score | extract | draft
 *       instructions: Which team should handle this message?
 *       choices:                           # choice: 2..255 with "none"
 *         - {value: billing, description: charges, invoices, refunds}
 *         - {value: fraud}
 *       abstain: true                      # "none of these" is a possible answer
 *       # levels: [{label: low, description: ...}, ...]   score: 2..10, lowest first
 *     input: {max_tokens: 512, on_too_long: reject}       # reject | truncate_middle,
 * which # needs max_tokens rules:                               # answered without a
 * model, first match wins
 *       - {if: {matches: '(?i)^unsubscribe$'}, answer: unsubscribe}
 *     data: {train: train.jsonl, dev: dev.jsonl, golden: golden.jsonl}
 *
 * A question of type extract or draft has no options; the model writes its answer:
 *
 *     question:
 *       type: extract
 *       instructions: Take the order apart.      # may be left out
 *       schema: order.json                       # a file, or the JSON Schema itself
 *     # type: draft
 *     # template: "Dear {{name}}, your order {{order_id}} is late: {{reason}}"
 *     # slots: {name: {type: string, maxLength: 40}, order_id: {...}, reason: {...}}
 *     output: {max_tokens: 512}                  # longer is an error, no answer
 *     checks:                                    # after the model: task/checks.h
 *       - {field: /order_id, verbatim: true, matches: '^[A-Z]'}
 *       - {field: /total, min: 0, max: 5000}
 *       - {rule: '/total == /net + /tax', within: 0.01}        # task/relation.h
 *
 * The schema is compiled when the contract is read: what cannot be held is refused with
 * its JSON pointer, the keyword and a way to rewrite it.  A check of a field that the
 * schema does not know is refused.
 *
 * `task` and `question` are required.  An unknown key, a wrong type, a duplicate or empty
 * label, a missing key and a wrong number of options are errors with line and column,
 * what was expected and the nearest known name.  Keys that belong to a later version are
 * refused by name: nothing is accepted and ignored.
 *
 * Digest: SHA-256 of a canonical JSON (sorted keys, no spaces) of task, question, input,
 * rules, output and checks with defaults filled in, and the schema's text in compact
 * form.  The paths of data and the names of models are not
 * in it: moving a file changes nothing, and models are bound by their own bytes.
 *
 * Memory: the contract owns every string it hands out.  Threads: immutable after
 * contract_load, may be shared. */
#ifndef TASK_CONTRACT_H
#define TASK_CONTRACT_H
#include "base/err.h"
#include "base/hash.h"
#include "expert/question.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CONTRACT_MAX_MODELS = 8,
    CONTRACT_MAX_RULES = 1000,
    CONTRACT_MAX_LEVELS = 10,
    CONTRACT_MAX_TOKENS = 1 << 20,
    CONTRACT_MAX_CHECKS = 100,
    CONTRACT_OUTPUT_TOKENS = 512, /* of an answer, unless the contract says */
};

typedef enum contract_too_long {                  /* an input of more than max_tokens */
                                 CONTRACT_REJECT, /* is an error of its row */
                                 CONTRACT_TRUNCATE_MIDDLE, /* loses its middle; the answer
                                                              says so */
} contract_too_long;

typedef struct contract_rule {
    const char *matches; /* PCRE2 pattern, searched anywhere in the input */
    uint32_t answer;     /* index of an option */
    unsigned line;       /* where it stands */
    void *code;          /* compiled pattern */
} contract_rule;

typedef struct contract_output { /* what a task of type extract or draft writes */
    char *schema;                /* JSON text, compact, NUL-terminated */
    size_t schema_len;
    struct grammar *grammar; /* of the schema, spaced, in its order */
    struct draft *draft;     /* NULL for extract */
    struct check *checks;    /* task/checks.h */
    uint32_t n_checks;
    uint32_t max_tokens; /* of one answer */
} contract_output;

typedef struct contract {
    char *path; /* as given to contract_load */
    const char *name;
    const char *models[CONTRACT_MAX_MODELS];
    uint32_t n_models;
    question question;
    uint32_t max_tokens; /* 0: what the model can read */
    contract_too_long too_long;
    contract_rule *rules;
    uint32_t n_rules;
    contract_output output;
    const char *train; /* as written, relative to the contract; NULL when absent */
    const char *dev;
    const char *golden;
    char digest[ST_DIGEST_TEXT];
    struct yaml *source;      /* owns the strings */
    question_option *options; /* owns question.options */
} contract;

ST_NODISCARD int contract_load(const char *path, contract **ret_contract, st_err *err);
/* The same from memory; `path` is what errors call it and what relative names refer to.
 */
ST_NODISCARD int contract_parse(const char *path, const char *text, size_t len,
                                contract **ret_contract, st_err *err);
void contract_free(contract *c); /* NULL allowed */

bool contract_writes(const contract *c); /* extract or draft: it has an output */

/* The option whose value is text[0..len), or -1. */
int32_t contract_option(const contract *c, const char *text, size_t len);

/* The first rule that matches: *ret_rule is its index, -1 for none.  A pattern that gives
 * up (its step limit) is an error that names the rule, never a silent "no". */
ST_NODISCARD int contract_match(const contract *c, const char *text, size_t len,
                                int32_t *ret_rule, st_err *err);

/* PATH with its extension replaced: the file that `stint fit` writes beside the contract,
 * TASKNAME.stint.  A heap string, NULL when out of memory. */
char *contract_artifact_path(const contract *c);
#endif
