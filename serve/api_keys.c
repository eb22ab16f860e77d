/* serve/api_keys.c - whose key is this?  All entries are compared in full. */
#include "serve/api_keys.h"

#include "base/mem.h"
#include "serve/api_keys_priv.h"
#include <pthread.h>
#include <sodium/core.h>
#include <sodium/crypto_generichash.h>
#include <sodium/utils.h>
#include <stdio.h>
#include <string.h>

enum { MIN_SINGLE = 16 };

struct api_keys {
    pthread_mutex_t lock; /* of list */
    key_list list;
    char *path; /* NULL: no file */
    bool has_single;
    key_entry single;
};

void key_hash(const char *text, size_t len, unsigned char ret_hash[KEY_HASH])
{
    static const unsigned char use[] = "stint api key, version 1";
    crypto_generichash(ret_hash, KEY_HASH, (const unsigned char *)text, len, use,
                       sizeof use - 1);
}

static int make_single(api_keys *k, const char *text, st_err *err)
{
    if (!text)
        return 0;
    if (strlen(text) < MIN_SINGLE)
        return st_err_set(err, ST_EINVAL, "a key of fewer than %d characters",
                          MIN_SINGLE);
    snprintf(k->single.info.name, KEY_NAME_MAX, "environment");
    key_hash(text, strlen(text), k->single.hash);
    k->has_single = true;
    return 0;
}

static int read_all(const api_keys *k, key_list *ret_list, st_err *err)
{
    key_list list = {0};
    int rc = k->path ? key_list_read(k->path, false, &list, err) : 0;
    if (!rc && k->has_single)
        rc = key_list_add(&list, &k->single, err);
    if (rc)
        key_list_done(&list);
    else
        *ret_list = list;
    return rc;
}

int api_keys_open(const char *path, const char *single, api_keys **ret_keys, st_err *err)
{
    if (sodium_init() < 0)
        return st_err_set(err, ST_EIO, "no source of random bytes");
    api_keys *k = st_zalloc_n(1, sizeof *k);
    if (!k)
        return st_err_set(err, ST_ENOMEM, "keys: out of memory");
    pthread_mutex_init(&k->lock, NULL);
    int rc = make_single(k, single, err);
    if (!rc && path && !(k->path = st_strdup(path)))
        rc = st_err_set(err, ST_ENOMEM, "keys: out of memory");
    if (!rc)
        rc = read_all(k, &k->list, err);
    if (rc)
        api_keys_free(k);
    else
        *ret_keys = k;
    return rc;
}

void api_keys_free(api_keys *k)
{
    if (!k)
        return;
    key_list_done(&k->list);
    pthread_mutex_destroy(&k->lock);
    st_free(k->path);
    st_free(k);
}

int api_keys_reload(api_keys *k, st_err *err)
{
    key_list list;
    int rc = read_all(k, &list, err);
    if (rc)
        return rc;
    pthread_mutex_lock(&k->lock);
    key_list old = k->list;
    k->list = list;
    pthread_mutex_unlock(&k->lock);
    key_list_done(&old);
    return 0;
}

bool api_keys_find(api_keys *k, const char *text, size_t len, int64_t now,
                   key_info *ret_info)
{
    unsigned char hash[KEY_HASH];
    uint32_t at = 0; /* of the entry that is the same, plus one */
    key_hash(text, len, hash);
    pthread_mutex_lock(&k->lock);
    for (uint32_t i = 0; i < k->list.n; i++) {
        /* 0 or -1: no branch, so the way through is the same for every key */
        int differs = sodium_memcmp(hash, k->list.entries[i].hash, KEY_HASH);
        at |= (i + 1) & ~(uint32_t)differs;
    }
    bool found = at != 0;
    if (found)
        *ret_info = k->list.entries[at - 1].info;
    pthread_mutex_unlock(&k->lock);
    return found && (!ret_info->expires || now < ret_info->expires);
}

bool key_allows(const key_info *info, const char *name)
{
    size_t len = strlen(name);
    const char *at = info->tasks;
    if (!*at)
        return true;
    while (*at) {
        size_t n = strcspn(at, ",");
        if (n == len && memcmp(at, name, n) == 0)
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}
