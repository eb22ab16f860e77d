/* serve/settings_priv.h - one row of the settings and its value; private to the files of
 * settings.
 *
 * Threads: rows are immutable. */
#ifndef SERVE_SETTINGS_PRIV_H
#define SERVE_SETTINGS_PRIV_H
#include "serve/settings.h"

typedef enum setting_type {
    SETTING_LIST,
    SETTING_TEXT,
    SETTING_WORD,
    SETTING_SWITCH,
    SETTING_NUMBER,
    SETTING_BYTES,
    SETTING_SECRET,
} setting_type;

typedef struct setting {
    const char *flag;
    size_t at;
    setting_type type;
    const char *value;
    uint64_t min, max, def;
} setting;

void *setting_field(settings *s, const setting *r);
/* A value as text; `place` is where it was given: "--ctx", "STINT_CTX", file and line. */
ST_NODISCARD int setting_set(settings *s, const setting *r, const char *place,
                             const char *text, st_err *err);
ST_NODISCARD int setting_add(settings *s, const setting *r, const char *place,
                             const char *text, size_t len, st_err *err);
bool setting_number(const char *text, bool bytes, uint64_t *ret);
int setting_fail(const char *place, const char *what, const char *text, st_err *err);
#endif
