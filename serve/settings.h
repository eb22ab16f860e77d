/* serve/settings.h - everything that can be set, from flags, environment and a file.
 *
 * One table (settings_map.h) has a row for each: its flag, the same in capitals with
 * STINT_ in front and _ for -, its type, bounds, default and a sentence.  Flag beats
 * environment beats file.  The file is YAML: the flags' names as keys; a list where a
 * flag may be repeated (in the environment: commas between).  Unknown keys are refused
 * with line and column, unknown STINT_ names with the nearest known one.  STINT_NAME_FILE
 * names a file that holds the value.
 *
 * PORT in the environment is the port where nothing but the file says `listen`: on all
 * addresses when clients must show keys (or need none by --no-auth), else on 127.0.0.1.
 *
 * Threads: immutable once read. */
#ifndef SERVE_SETTINGS_H
#define SERVE_SETTINGS_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SETTINGS_MAX_LIST = 64 };

typedef struct setting_list {
    char *items[SETTINGS_MAX_LIST];
    uint32_t n;
} setting_list;

typedef struct settings {
    setting_list tasks;    /* --task DIR|FILE ... */
    setting_list models;   /* --model [NAME=]NAME|FILE ... */
    setting_list adapters; /* --adapter NAME=PATH@MODEL ... */
    char *listen;          /* --listen HOST:PORT, always both */
    char *data;            /* --data DIR: what the admin routes loaded; NULL: not kept */
    char *api_keys;        /* --api-keys FILE */
    char *api_key;         /* STINT_API_KEY: one more; NULL */
    bool no_auth;
    char *tls_cert, *tls_key, *tls_client_ca;
    uint64_t threads;     /* of the engine; 0: all cores */
    uint64_t ctx;         /* tokens of a sequence; 0: the model's, at most 4096 */
    uint64_t max_live;    /* requests in one batch; 0: as the scheduler has it */
    uint64_t max_waiting; /* queue */
    uint64_t memory;      /* bytes; 0: no limit */
    uint64_t kv_memory;   /* bytes of pages a model; 0: as the engine has it */
    uint64_t max_body;    /* bytes; 16 MiB */
    uint64_t max_connections;
    uint64_t request_seconds; /* for a request to arrive */
    uint64_t deadline_ms;     /* of an answer; 0: none */
    uint64_t drain_seconds;   /* after SIGTERM */
    bool vllm_metrics;        /* the names that vLLM gives them, too */
    char *trace;              /* DIR: a timeline for each request; NULL */
    char *log_level;          /* error, warning, info, debug */
} settings;

typedef struct setting_row {
    const char *flag;  /* "api-keys" */
    const char *value; /* placeholder; NULL: a switch */
    const char *about;
} setting_row;
extern const setting_row setting_rows[]; /* ends with {0}; those that have a flag; as
                                          * constants in SETTINGS_MAP */

/* `get(arg, flag, i)` is the i-th value of a flag, NULL when there is none (a switch that
 * is on: ""). */
typedef const char *settings_get(const void *arg, const char *flag, unsigned i);
/* `file`: of --config; NULL: STINT_CONFIG names it, or there is none. */
ST_NODISCARD int settings_read(settings_get *get, const void *arg, const char *file,
                               settings *ret_settings, st_err *err);
void settings_done(settings *s);
#endif
