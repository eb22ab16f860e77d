/* serve/loaded.h - what admin routes have loaded, kept in a file for the next start.
 *
 * DIR/loaded.json: {"loaded": [{"kind", "name", "path", "base", "scale"}, ...]}, in the
 * order in which it is to be loaded again.  It is replaced as a whole, and on disk when
 * the call returns.
 *
 * Threads: one at a time. */
#ifndef SERVE_LOADED_H
#define SERVE_LOADED_H
#include "base/err.h"
#include "serve/hub.h"

typedef struct loaded loaded;

typedef struct loaded_row {
    hub_kind kind;
    const char *name;
    const char *path;
    const char *base; /* of an adapter; else NULL */
    double scale;
} loaded_row;

/* Make the folder where it is not there, read what was kept.  A file that is not as it
 * was written is an error. */
ST_NODISCARD int loaded_open(const char *folder, loaded **ret_loaded, st_err *err);
void loaded_free(loaded *l); /* NULL allowed */
uint32_t loaded_count(const loaded *l);
void loaded_get(const loaded *l, uint32_t i, loaded_row *ret_row);
bool loaded_has(const loaded *l, const char *name);
/* Instead of what had its name.  A relative path is kept as an absolute one. */
ST_NODISCARD int loaded_put(loaded *l, const loaded_row *row, st_err *err);
ST_NODISCARD int loaded_drop(loaded *l, const char *name, st_err *err);

const char *hub_kind_text(hub_kind kind); /* "model", "task", "adapter" */
hub_kind hub_kind_of(const char *text);   /* one of these */
#endif
