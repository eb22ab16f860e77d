/* serve/series.h - numbers of one family of metrics, told apart by their labels.
 *
 * Threads: any; series are only ever added.  Memory: all go with the table. */
#ifndef SERVE_SERIES_H
#define SERVE_SERIES_H
#include "base/buf.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SERIES_MAX = 1024, /* of a family; what comes later is counted under "other" */
    SERIES_SLOTS = 2 * SERIES_MAX,
    SERIES_LABELS = 4,
    SERIES_BOUNDS = 16,
};

typedef enum family_kind { FAMILY_COUNTER, FAMILY_GAUGE, FAMILY_HISTOGRAM } family_kind;

typedef struct family { /* constant */
    const char *name;   /* behind "stint_" */
    family_kind kind;
    bool vllm; /* vLLM has it too, under the same name and labels, behind "vllm:" */
    const char *help;
    const char *labels[SERIES_LABELS]; /* NULL behind the last */
    const double *bounds;              /* of a histogram, ends with 0 */
    double unit;                       /* what is added is so many of the unit shown:
                                        * 1e6 for microseconds shown as seconds */
} family;

typedef struct series {
    struct series *_Atomic next; /* in order of making */
    uint64_t hash;
    _Atomic uint64_t n[SERIES_BOUNDS + 1]; /* [0] of a counter; of a histogram what fell
                                            * into each bucket */
    _Atomic uint64_t sum;
    size_t len;
    char labels[]; /* task="a",version="b" */
} series;

typedef struct series_table {
    const family *family;
    pthread_mutex_t lock; /* to add one */
    uint32_t n;
    series *_Atomic first;
    series *last;
    series *_Atomic slots[SERIES_SLOTS];
} series_table;

void series_init(series_table *t, const family *f);
void series_done(series_table *t);

/* Add to the series of these label values, one for each label.  Lost when there is no
 * memory for a new one. */
void series_add(series_table *t, const char *const *values, uint64_t n);
/* `times` observations of x, in what is added (family.unit). */
void series_observe(series_table *t, const char *const *values, uint64_t x,
                    uint64_t times);

/* Write name="value",... with what Prometheus wants escaped; values are cut at 128
 * bytes.  Returns the length. */
size_t series_labels(const family *f, const char *const *values, char *ret, size_t room);

/* The family as text, behind `prefix`; `more` are labels for all of it ("" or
 * "engine=\"0\""). */
void series_render(series_table *t, const char *prefix, const char *more, st_buf *out);
void series_head(const family *f, const char *prefix, st_buf *out);
#endif
