/* serve/api_keys_file.c - keys made, revoked, listed: each change is a new file of mode
 * 0600, written beside the old one and renamed over it.  Writers lock the folder, so that
 * none loses what another one added. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "serve/api_keys_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium/core.h>
#include <sodium/randombytes.h>
#include <sodium/utils.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { KEY_BITS_BYTES = 32 };

static const char key_mark[] = "sk-stint-";

void key_time_text(int64_t time, char ret_text[24])
{
    time_t at = (time_t)time;
    struct tm day;
    if (!gmtime_r(&at, &day) || !strftime(ret_text, 24, "%Y-%m-%dT%H:%M:%SZ", &day))
        snprintf(ret_text, 24, "?");
}

/* ---- the file ---- */

static int lock_folder(const char *path, int *ret_fd, st_err *err)
{
    char *folder = st_path_beside(path, ".");
    if (!folder)
        return st_err_set(err, ST_ENOMEM, "keys: out of memory");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        while (flock(fd, LOCK_EX) && errno == EINTR)
            ;
    int rc = fd < 0 ? st_err_set(err, ST_EIO, "%s: %s", folder, strerror(errno)) : 0;
    st_free(folder);
    *ret_fd = fd;
    return rc;
}

static int replace(const char *path, const st_buf *text, int folder, st_err *err)
{
    char temp[4096];
    int n = snprintf(temp, sizeof temp, "%s.%ld.new", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temp)
        return st_err_set(err, ST_EINVAL, "%s: path too long", path);
    unlink(temp); /* of a process of this number that was killed; we hold the lock */
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return st_err_set(err, ST_EIO, "%s: cannot create: %s", temp, strerror(errno));
    bool bad = !st_fd_write(fd, text->data, text->len) || fsync(fd);
    bad = close(fd) || bad;
    bad = bad || rename(temp, path) || fsync(folder);
    if (!bad)
        return 0;
    int why = errno;
    unlink(temp);
    return st_err_set(err, ST_EIO, "%s: cannot write: %s", path, strerror(why));
}

static int old_text(const char *path, st_buf *out, st_err *err)
{
    char *text;
    size_t len;
    st_err why = {0};
    int rc = st_file_read(path, KEY_FILE_MAX, &text, &len, &why);
    if (rc == ST_ENOTFOUND)
        return 0;
    if (rc)
        return st_err_set(err, rc, "%s", why.message);
    st_buf_add(out, text, len);
    if (len && text[len - 1] != '\n')
        st_buf_char(out, '\n');
    st_free(text);
    return 0;
}

static const key_entry *find(const key_list *list, const char *name)
{
    for (uint32_t i = 0; i < list->n; i++)
        if (strcmp(list->entries[i].info.name, name) == 0)
            return &list->entries[i];
    return NULL;
}

/* ---- make ---- */

static void add_line(st_buf *out, const key_info *what, const char *key)
{
    unsigned char hash[KEY_HASH];
    char hex[2 * KEY_HASH + 1];
    char time[24];
    key_hash(key, strlen(key), hash);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    key_time_text(st_clock_unix(), time);
    st_buf_fmt(out, "%s %s blake2b:%s %s", what->name,
               what->role == KEY_ADMIN ? "admin" : "client", hex, time);
    if (*what->tasks)
        st_buf_fmt(out, " tasks=%s", what->tasks);
    if (what->expires) {
        key_time_text(what->expires, time);
        st_buf_fmt(out, " expires=%s", time);
    }
    st_buf_char(out, '\n');
}

static int check_new(const char *path, const key_info *what, st_err *err)
{
    key_list list;
    if (!key_name_ok(what->name))
        return st_err_set(
            err, ST_EINVAL,
            "a key's name is of letters, digits, '-', '_', '.', got '%.60s'", what->name);
    if (!key_tasks_ok(what->tasks))
        return st_err_set(err, ST_EINVAL,
                          "names with a comma between were expected, got '%.60s'",
                          what->tasks);
    int rc = key_list_read(path, true, &list, err);
    if (rc)
        return rc;
    if (find(&list, what->name))
        rc = st_err_set(err, ST_EINVAL, "%s: there is a key '%s' already", path,
                        what->name);
    else if (list.n == API_KEYS_MAX)
        rc = st_err_set(err, ST_ELIMIT, "%s: has %d keys already", path, API_KEYS_MAX);
    key_list_done(&list);
    return rc;
}

int api_keys_file_new(const char *path, const key_info *what, char ret_text[KEY_TEXT_MAX],
                      st_err *err)
{
    unsigned char bits[KEY_BITS_BYTES];
    char key[KEY_TEXT_MAX];
    int folder = -1;
    if (sodium_init() < 0)
        return st_err_set(err, ST_EIO, "no source of random bytes");
    randombytes_buf(bits, sizeof bits);
    memcpy(key, key_mark, sizeof key_mark);
    sodium_bin2base64(key + sizeof key_mark - 1, sizeof key - sizeof key_mark + 1, bits,
                      sizeof bits, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    st_buf text;
    st_buf_init(&text, KEY_FILE_MAX);
    int rc = lock_folder(path, &folder, err);
    if (!rc)
        rc = check_new(path, what, err);
    if (!rc)
        rc = old_text(path, &text, err);
    if (!rc) {
        add_line(&text, what, key);
        rc = text.code
                 ? st_err_set(err, text.code, "%s: %s", path, st_code_text(text.code))
                 : replace(path, &text, folder, err);
    }
    if (!rc)
        memcpy(ret_text, key, sizeof key);
    st_buf_done(&text);
    if (folder >= 0)
        close(folder);
    sodium_memzero(key, sizeof key);
    sodium_memzero(bits, sizeof bits);
    return rc;
}

/* ---- revoke, list ---- */

/* All lines but the key's, as they are. */
static bool without(const char *text, size_t len, const char *name, st_buf *out)
{
    size_t n = strlen(name);
    bool found = false;
    for (size_t i = 0; i < len;) {
        const char *end = memchr(text + i, '\n', len - i);
        size_t line = end ? (size_t)(end - text) + 1 - i : len - i;
        size_t blank = strspn(text + i, " \t");
        bool is_it = blank + n < line && memcmp(text + i + blank, name, n) == 0 &&
                     strchr(" \t", text[i + blank + n]);
        found = found || is_it;
        if (!is_it)
            st_buf_add(out, text + i, line);
        i += line;
    }
    return found;
}

static int revoke(const char *path, const char *name, int folder, st_err *err)
{
    key_list list;
    st_buf old, text;
    int rc = key_list_read(path, false, &list, err);
    if (rc)
        return rc;
    key_list_done(&list);
    st_buf_init(&old, KEY_FILE_MAX);
    st_buf_init(&text, KEY_FILE_MAX);
    rc = old_text(path, &old, err);
    if (!rc && (!old.len || !without(old.data, old.len, name, &text)))
        rc = st_err_set(err, old.code ? old.code : ST_ENOTFOUND, "%s: no key '%.60s'",
                        path, name);
    if (!rc && text.code)
        rc = st_err_set(err, text.code, "%s: %s", path, st_code_text(text.code));
    if (!rc)
        rc = replace(path, &text, folder, err);
    st_buf_done(&old);
    st_buf_done(&text);
    return rc;
}

int api_keys_file_revoke(const char *path, const char *name, st_err *err)
{
    int folder = -1;
    int rc = lock_folder(path, &folder, err);
    if (!rc)
        rc = revoke(path, name, folder, err);
    if (folder >= 0)
        close(folder);
    return rc;
}

int api_keys_file_list(const char *path, key_info **ret, uint32_t *ret_n, st_err *err)
{
    key_list list;
    int rc = key_list_read(path, false, &list, err);
    if (rc)
        return rc;
    key_info *infos = st_alloc_n(list.n, sizeof *infos);
    for (uint32_t i = 0; infos && i < list.n; i++)
        infos[i] = list.entries[i].info;
    *ret_n = list.n;
    key_list_done(&list);
    if (!infos)
        return st_err_set(err, ST_ENOMEM, "keys: out of memory");
    *ret = infos;
    return 0;
}
