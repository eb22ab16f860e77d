/* task/data.h - labelled rows from JSON lines or CSV.
 *
 * A row is {"id"?, "input" or "text", "label"?, "source"?}, all strings (an id may be an
 * integer).  Rows of a question of type extract or draft have an object "output" in place
 * of the label.  A CSV file (RFC 4180; its name ends in .csv) has a header line with
 * those names, and an output as JSON text.  Both "input" and "text" in one
 * row are an error.  Other keys and columns are metadata: they are not read, and their
 * names are listed in `extra` so that a report can say so.
 *
 * A row that cannot be used (no input, an unknown label, an id seen before, broken JSON
 * or CSV) is an error with its line.  With `keep_going` such rows are listed in `rejects`
 * instead; none is skipped silently.  Whether an output is one of the schema is not
 * looked at here.
 *
 * Threads: immutable once loaded.  Memory: the set owns all its strings. */
#ifndef TASK_DATA_H
#define TASK_DATA_H
#include "base/err.h"
#include "base/hash.h"
#include "expert/question.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DATA_MAX_BYTES = 1 << 30, /* of one file, which is read whole */
    DATA_MAX_REJECTS = 1000,  /* listed; more are counted */
    DATA_MAX_EXTRA = 16,      /* names of other columns listed */
};

typedef struct data_row {
    const char *id;   /* NULL when absent */
    bool id_number;   /* it was a JSON integer: written back as one */
    const char *text; /* NUL-terminated; may hold NUL inside (JSON's \u0000) */
    size_t len;
    int32_t label;      /* index of the option; -1 when the row has none */
    const char *output; /* JSON text as it stands in the file; NULL when absent */
    size_t output_len;
    const char *source; /* NULL when absent */
    size_t line;        /* where the row starts */
} data_row;

typedef struct data_reject {
    size_t line;
    char why[160];
} data_reject;

typedef struct data_set {
    char *path;
    data_row *rows;
    uint32_t n;
    uint32_t n_labelled; /* with a label or an output */
    data_reject *rejects;
    uint32_t n_rejects;  /* listed */
    uint32_t n_rejected; /* in all */
    const char *extra[DATA_MAX_EXTRA];
    uint32_t n_extra;
    char digest[ST_DIGEST_TEXT]; /* of the file's bytes */
    struct data_block *blocks;   /* owns the strings */
} data_set;

typedef struct data_opts {
    bool need_labels; /* a row without a label (or an output) is rejected */
    bool keep_going;  /* list rejected rows instead of failing at the first */
} data_opts;

/* "-" is standard input, as JSON lines.  The error names file, line and reason. */
ST_NODISCARD int data_load(const char *path, const question *q, const data_opts *opts,
                           data_set **ret_set, st_err *err);
/* The same from memory; `path` names it and its ending tells the format. */
ST_NODISCARD int data_parse(const char *path, const char *text, size_t len,
                            const question *q, const data_opts *opts, data_set **ret_set,
                            st_err *err);
void data_free(data_set *set); /* NULL allowed */

/* How two sets overlap: rows of `b` whose text is in `a` too.  Counts, and the first. */
typedef struct data_overlap {
    uint32_t n;
    uint32_t row_a; /* the first: indices in a and b */
    uint32_t row_b;
} data_overlap;
ST_NODISCARD int data_compare(const data_set *a, const data_set *b, data_overlap *ret,
                              st_err *err);

/* Texts that occur more than once in one set: how many rows repeat an earlier one, and
 * how many of these carry another label than it. */
typedef struct data_repeats {
    uint32_t n;
    uint32_t n_conflicting;
    uint32_t row_a; /* the first conflict, or else the first repeat */
    uint32_t row_b;
} data_repeats;
ST_NODISCARD int data_find_repeats(const data_set *set, data_repeats *ret, st_err *err);
#endif
