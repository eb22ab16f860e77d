/* serve/api_keys_priv.h - a line of the file of keys; private to the files of keys.
 *
 * Threads: any. */
#ifndef SERVE_API_KEYS_PRIV_H
#define SERVE_API_KEYS_PRIV_H
#include "serve/api_keys.h"

enum { KEY_HASH = 32, KEY_LINE_MAX = 1024, KEY_FILE_MAX = API_KEYS_MAX * KEY_LINE_MAX };

typedef struct key_entry {
    key_info info;
    unsigned char hash[KEY_HASH];
} key_entry;

typedef struct key_list {
    key_entry *entries;
    uint32_t n, cap;
} key_list;

void key_hash(const char *text, size_t len, unsigned char ret_hash[KEY_HASH]);
/* Fills in info.id from the hash. */
ST_NODISCARD int key_list_add(key_list *list, const key_entry *entry, st_err *err);
void key_list_done(key_list *list);
/* `missing_ok`: no file is an empty one. */
ST_NODISCARD int key_list_read(const char *path, bool missing_ok, key_list *ret_list,
                               st_err *err);
bool key_name_ok(const char *name);
bool key_tasks_ok(const char *tasks);
#endif
