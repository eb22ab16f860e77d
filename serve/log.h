/* serve/log.h - what happens, as JSON lines: {"time","level","event",...}.
 *
 * Names, numbers, and texts of our own; never a prompt, an input or an answer, and never
 * a key.
 *
 * Threads: any; a line is one write. */
#ifndef SERVE_LOG_H
#define SERVE_LOG_H
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG } log_level;

typedef struct logger {
    int fd;
    log_level level; /* what is less pressing is left out */
} logger;

/* "error", "warning", "info", "debug"; false: none of them. */
bool log_level_of(const char *name, log_level *ret_level);

/* `event` is a word that programs can look for: "start", "loaded". */
void log_event(const logger *l, log_level level, const char *event, const char *fmt, ...)
    ST_PRINTF(4, 5);
/* An error and its hint. */
void log_failure(const logger *l, log_level level, const char *event, const st_err *err);

typedef struct log_request_row { /* strings: NULL or "" are left out */
    const char *id;
    const char *method;
    const char *route; /* the pattern, not the path */
    unsigned status;
    const char *code;   /* of the first problem */
    const char *key;    /* the key's name */
    const char *client; /* address */
    const char *model;
    const char *finish;
    uint32_t n_prompt, n_cached, n_new;
    uint64_t queued_us, total_us;
} log_request_row;
/* Level info; warning from status 500 on. */
void log_request(const logger *l, const log_request_row *row);
#endif
