/* base/cache_folder.c - the folder of the cache: which, whose, and how much is in it. */
#include "base/cache_priv.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    NAME_DIGITS = 32,
    TEMP_SECONDS = 3600, /* a writer that took longer has crashed */
    MAX_REMOVED = 64,    /* by one trim */
};

static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

bool cache_is_ours(const struct stat *st)
{
    return st->st_uid == geteuid() && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int folder_check(const char *path, const struct stat *st, st_err *err)
{
    if (!S_ISDIR(st->st_mode))
        return st_err_set(err, ST_EIO, "%s: not a folder", path);
    if (!cache_is_ours(st))
        return st_err_set(err, ST_EIO, "%s: others may write to it", path);
    return 0;
}

int st_cache_folder(char *ret_path, size_t room, st_err *err)
{
    const char *own = env("STINT_CACHE"), *root = env("XDG_CACHE_HOME");
    const char *below = "/stint";
    struct stat st;
    int n;
    if (own && strcmp(own, "off") == 0)
        return st_err_set(err, ST_ENOTFOUND, "STINT_CACHE is off");
    if (!root || root[0] != '/') { /* the standard ignores a relative one */
        root = env("HOME");
        below = "/.cache/stint";
    }
    if (!own && (!root || root[0] != '/'))
        return st_err_set(err, ST_ENOTFOUND, "no STINT_CACHE and no HOME");
    if (!own && stat(root, &st) == 0 && st.st_uid != geteuid())
        return st_err_set(err, ST_EIO, "%s: belongs to another user", root);
    n = own ? snprintf(ret_path, room, "%s", own)
            : snprintf(ret_path, room, "%s%s", root, below);
    if (n < 0 || (size_t)n >= room)
        return st_err_set(err, ST_EIO, "the path of the cache is too long");
    return lstat(ret_path, &st) == 0 ? folder_check(ret_path, &st, err) : 0;
}

/* Every missing folder of the path; what cannot be made shows when it is opened. */
static void folders_make(char *path)
{
    for (char *at = path + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        (void)mkdir(path, 0700);
        *at = '/';
    }
    (void)mkdir(path, 0700);
}

int cache_folder_open(bool make, int *ret_fd, st_err *err)
{
    char path[PATH_MAX];
    struct stat st;
    int rc = st_cache_folder(path, sizeof path, err);
    if (rc)
        return rc;
    if (make)
        folders_make(path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return st_err_set(err, errno == ENOENT ? ST_ENOTFOUND : ST_EIO, "%s: %s", path,
                          strerror(errno));
    if (fstat(fd, &st))
        rc = st_err_set(err, ST_EIO, "%s: %s", path, strerror(errno));
    else
        rc = folder_check(path, &st, err);
    if (rc)
        close(fd);
    else
        *ret_fd = fd;
    return rc;
}

/* KIND-DIGITS: a file that the cache has made. */
static bool is_file_name(const char *name)
{
    size_t kind = 0, digits = 0;
    while (islower((unsigned char)name[kind]))
        kind++;
    if (kind == 0 || name[kind] != '-')
        return false;
    for (name += kind + 1; isxdigit((unsigned char)name[digits]); digits++)
        ;
    return digits == NAME_DIGITS && name[digits] == '\0';
}

typedef struct survey { /* of the folder */
    uint64_t bytes;
    struct timespec oldest_time;
    char oldest[ST_CACHE_NAME];
} survey;

static bool is_before(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

static void survey_add(survey *s, const char *name, const struct stat *st,
                       const char *keep)
{
    s->bytes += (uint64_t)st->st_size;
    if ((keep && strcmp(name, keep) == 0) ||
        (s->oldest[0] && !is_before(st->st_mtim, s->oldest_time)))
        return;
    s->oldest_time = st->st_mtim;
    snprintf(s->oldest, sizeof s->oldest, "%s", name);
}

/* Sum up the files, and remove what crashed writers left. */
static void survey_take(DIR *dir, const char *keep, survey *ret)
{
    const struct dirent *entry;
    int fd = dirfd(dir);
    *ret = (survey){0};
    rewinddir(dir);
    while ((entry = readdir(dir))) {
        struct stat st;
        bool temp = strncmp(entry->d_name, CACHE_TEMP, sizeof CACHE_TEMP - 1) == 0;
        if ((!temp && !is_file_name(entry->d_name)) ||
            fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
            continue;
        if (temp && st.st_mtim.tv_sec + TEMP_SECONDS < time(NULL))
            (void)unlinkat(fd, entry->d_name, 0);
        else if (!temp)
            survey_add(ret, entry->d_name, &st, keep);
    }
}

void st_cache_trim(uint64_t most, const char *keep)
{
    int fd = -1;
    if (cache_folder_open(false, &fd, NULL))
        return;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    for (int i = 0; i < MAX_REMOVED; i++) {
        survey s;
        survey_take(dir, keep, &s);
        if (s.bytes <= most || !s.oldest[0] || unlinkat(fd, s.oldest, 0))
            break;
    }
    closedir(dir);
}
