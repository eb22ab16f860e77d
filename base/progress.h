/* base/progress.h - how long work tells its caller how far it is.
 *
 * Rooms call st_progress(); the command line draws the bar.  A callback that returns
 * false asks the work to stop: it then returns ST_ECANCELLED.
 *
 * Threads: called on the thread that called the room. */
#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H
#include <stdbool.h>
#include <stdint.h>

typedef struct st_progress {
    /* `what` is a short present-tense phrase ("encoding rows"); done <= total. */
    bool (*report)(void *arg, const char *what, uint64_t done, uint64_t total);
    void *arg;
} st_progress;

/* False when the caller asked to stop.  `progress` may be NULL. */
static inline bool st_progress_report(const st_progress *progress, const char *what,
                                      uint64_t done, uint64_t total)
{
    return !progress || !progress->report ||
           progress->report(progress->arg, what, done, total);
}
#endif
