/* task/checks.h - what must be true of an answer's fields, looked at after the model.
 *
 *   verbatim   a text stands in the input as it is, a number by its value, both as whole
 *              words; of an array each of its texts and numbers.  While it is written, a
 *              field is also held to what the input offers (task/verbatim.h)
 *   min, max   a number's bounds; of an array how many items it has
 *   matches    a pattern (task/rules.h) that occurs in a text, or in a number as written
 *   rule       a relation between fields (task/relation.h)
 *
 * A check of a field that is absent or null holds: what must be there is said by the
 * schema.
 *
 * Threads: immutable once made.  Memory: checks_done frees what a check owns. */
#ifndef TASK_CHECKS_H
#define TASK_CHECKS_H
#include "task/fields.h"
#include "task/relation.h"

typedef struct check {
    const char *text; /* the field's pointer or the rule, as written */
    relation *rule;   /* NULL: of a field */
    double within;    /* of a rule: the most that == may be off */
    bool verbatim;
    bool has_min, has_max;
    double min, max;
    void *matches; /* compiled pattern, or NULL */
    const char *pattern;
    unsigned line; /* where it stands in the contract */
} check;

typedef struct check_fault {
    uint32_t check;    /* index */
    const char *field; /* in `fields`; NULL: of a rule */
    char why[160];     /* "'AB-12' is not in the input" */
} check_fault;

enum { CHECK_MAX_FAULTS = 16 }; /* that are told */

/* Look at all checks; *ret_n faults, each check at most once. */
ST_NODISCARD int checks_run(const check *checks, uint32_t n, const char *input,
                            size_t len, const fields *f,
                            check_fault ret_faults[CHECK_MAX_FAULTS], uint32_t *ret_n,
                            st_err *err);
void checks_done(check *checks, uint32_t n);
#endif
