/* serve/api_keys.h - who may ask: a file of keys, each known by its hash alone.
 *
 *   stint key new --api-keys FILE --name ci     prints sk-stint-... once
 *   FILE     one line a key: name, role, hash, when it was made, then what limits it
 *            ci client blake2b:9f86... 2026-11-21T20:53:50Z tasks=triage,orders
 *                                                           expires=2027-01-01T00:00:00Z
 *
 * A key is 256 random bits, so nothing can be guessed and a fast hash is enough: BLAKE2b
 * (libsodium's generichash), keyed with the name of this use.  A slow one would only let
 * anybody who knocks take our time.  What is presented is hashed and compared with every
 * entry, all bytes of all, so that time tells nothing about which was near.
 *
 * Threads: any; a reload replaces all keys at once. */
#ifndef SERVE_API_KEYS_H
#define SERVE_API_KEYS_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct api_keys api_keys;

typedef enum key_role { KEY_CLIENT, KEY_ADMIN } key_role;

enum {
    KEY_NAME_MAX = 64,
    KEY_TASKS_MAX = 512,
    KEY_TEXT_MAX = 64, /* of the key itself, with its NUL */
    API_KEYS_MAX = 4096,
};

typedef struct key_info {
    char name[KEY_NAME_MAX]; /* letters, digits, '-', '_', '.' */
    key_role role;
    char tasks[KEY_TASKS_MAX]; /* names with a comma between; "": all */
    int64_t created;           /* Unix seconds */
    int64_t expires;           /* 0: never */
    uint64_t id;               /* of the key, the same after a restart; never 0 */
} key_info;

/* `path` NULL: no file.  `single` NULL or one more client key of at least 16 bytes, from
 * the environment; its name is "environment".  ST_EFORMAT names file and line. */
ST_NODISCARD int api_keys_open(const char *path, const char *single, api_keys **ret_keys,
                               st_err *err);
void api_keys_free(api_keys *k); /* NULL allowed */
/* Read the file again; on failure those of before stay. */
ST_NODISCARD int api_keys_reload(api_keys *k, st_err *err);
/* Whose key is it?  False: nobody's, or it has expired at `now` (Unix seconds). */
bool api_keys_find(api_keys *k, const char *text, size_t len, int64_t now,
                   key_info *ret_info);
/* May it use the model, task or adapter of this name? */
bool key_allows(const key_info *info, const char *name);

/* ---- the file (stint key); writers wait for each other ---- */

/* Make a key as `what` says (name, role, tasks, expires); its line is appended to the
 * file, made with mode 0600 if need be.  ST_EINVAL: the name is taken, or none. */
ST_NODISCARD int api_keys_file_new(const char *path, const key_info *what,
                                   char ret_text[KEY_TEXT_MAX], st_err *err);
/* ST_ENOTFOUND: no key of this name. */
ST_NODISCARD int api_keys_file_revoke(const char *path, const char *name, st_err *err);
/* *ret [*ret_n] in the file's order; st_free it. */
ST_NODISCARD int api_keys_file_list(const char *path, key_info **ret, uint32_t *ret_n,
                                    st_err *err);
/* 2027-01-01 or 2027-01-01T00:00:00Z; false: no time. */
bool key_time(const char *text, int64_t *ret_time);
void key_time_text(int64_t time, char ret_text[24]);
#endif
