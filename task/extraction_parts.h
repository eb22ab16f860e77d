/* task/extraction_parts.h - a task of type extract or draft, for the files that open it
 * and that answer. */
#ifndef TASK_EXTRACTION_PARTS_H
#define TASK_EXTRACTION_PARTS_H
#include "expert/artifact.h"
#include "task/extract_write.h"
#include "task/extraction.h"

struct extraction {
    contract *c;
    const model_source *source; /* of the models; NULL: they are its own */
    artifact *artifact;         /* NULL: nothing was fitted */
    extract_true *truth;        /* NULL: not fitted, or nothing could be learnt */
    lm *lm;
    lm *encoder; /* that finds examples; owned when own_encoder */
    bool own_encoder;
    const char *model; /* names in the contract */
    data_set *train;   /* NULL: none, or not needed */
    char **outputs;    /* [train->n] as the grammar writes them */
    shot *examples;    /* [train->n] */
    extract_way way;
    shots *shots; /* NULL: no examples are shown */
    extractor *extractor;
    bool repair;
    unsigned n_threads;
    char version[ST_DIGEST_TEXT];
    struct extract_job *jobs; /* inputs under way, the youngest first */
    uint64_t n_jobs;          /* ever */
};

/* The examples of one input; `pointers` [SHOTS_MAX] is filled and named by the ask. */
ST_NODISCARD int extraction_find_shots(extraction *x, const char *text, size_t len,
                                       uint32_t own, const shot **pointers,
                                       extract_ask *ask, st_err *err);
/* Cancel what is under way and step until it has ended. */
void extraction_stop(extraction *x);
#endif
