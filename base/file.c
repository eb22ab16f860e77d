/* base/file.c - mapped files, whole reads, atomic writes. */
#define _DEFAULT_SOURCE /* madvise */
#include "base/file.h"

#include "base/buf.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_STEP = 1 << 16,        /* bytes asked of one read() */
    CLOCK_STEP_NS = 2000000000, /* the coarsest time of change that file systems keep */
};

static int open_error(const char *path, st_err *err)
{
    int code = errno == ENOENT ? ST_ENOTFOUND : ST_EIO;
    return st_err_set(err, code, "%s: cannot open: %s", path, strerror(errno));
}

static int64_t ns_of(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static st_file_id id_of(const struct stat *st)
{
    return (st_file_id){
        .device = st->st_dev,
        .inode = st->st_ino,
        .bytes = (uint64_t)st->st_size,
        .modified_ns = ns_of(st->st_mtim),
        .changed_ns = ns_of(st->st_ctim),
    };
}

int st_file_id_get(const char *path, st_file_id *ret_id, st_err *err)
{
    struct stat st;
    if (stat(path, &st))
        return st_err_set(err, errno == ENOENT ? ST_ENOTFOUND : ST_EIO, "%s: %s", path,
                          strerror(errno));
    *ret_id = id_of(&st);
    return 0;
}

bool st_file_id_settled(const st_file_id *id)
{
    struct timespec now;
    return clock_gettime(CLOCK_REALTIME, &now) == 0 &&
           id->changed_ns < ns_of(now) - CLOCK_STEP_NS;
}

int st_file_map_open(const char *path, st_file_map *ret_map, st_err *err)
{
    struct stat st;
    int rc = 0;
    /* Not blocking: a FIFO is refused below, not awaited. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return open_error(path, err);
    if (fstat(fd, &st)) {
        rc = st_err_set(err, ST_EIO, "%s: cannot stat: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        rc = st_err_set(err, ST_EINVAL, "%s: not a regular file", path);
    } else if (st.st_size == 0) {
        *ret_map = (st_file_map){.id = id_of(&st)};
    } else {
        size_t len = (size_t)st.st_size;
        void *data = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            rc = st_err_set(err, ST_EIO, "%s: cannot map: %s", path, strerror(errno));
        else
            *ret_map = (st_file_map){data, len, id_of(&st)};
    }
    close(fd);
    return rc;
}

void st_file_map_close(st_file_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->len);
    *map = (st_file_map){0};
}

void st_file_map_forget(const st_file_map *map, const void *data, size_t bytes)
{
    long page = sysconf(_SC_PAGESIZE);
    size_t begin = (size_t)((const unsigned char *)data - map->data), end = begin + bytes;
    if (!map->data || page <= 0)
        return;
    begin = (begin + (size_t)page - 1) / (size_t)page * (size_t)page;
    end = end / (size_t)page * (size_t)page;
    if (begin < end)
        (void)madvise((void *)(uintptr_t)(map->data + begin), end - begin, MADV_DONTNEED);
}

static int read_all(int fd, const char *path, st_buf *buf, st_err *err)
{
    for (;;) {
        int rc = st_buf_room(buf, 1); /* at the limit, only the end of the file is fine */
        size_t want =
            buf->limit - buf->len < READ_STEP ? buf->limit - buf->len : READ_STEP;
        char spill;
        if (rc == 0)
            rc = st_buf_room(buf, want);
        if (rc == ST_ENOMEM)
            return st_err_set(err, rc, "%s: out of memory", path);
        ssize_t n = rc ? read(fd, &spill, 1) : read(fd, buf->data + buf->len, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return st_err_set(err, ST_EIO, "%s: cannot read: %s", path, strerror(errno));
        if (n == 0)
            return 0;
        if (rc)
            return st_err_set(err, ST_ELIMIT, "%s: longer than %zu bytes", path,
                              buf->limit);
        buf->len += (size_t)n;
        buf->data[buf->len] = '\0';
    }
}

int st_file_read(const char *path, size_t limit, char **ret_data, size_t *ret_len,
                 st_err *err)
{
    st_buf buf;
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return open_error(path, err);
    st_buf_init(&buf, limit);
    int rc = read_all(fd, path, &buf, err);
    buf.code = 0; /* a read that ended exactly at the limit is a whole read */
    if (!standard)
        close(fd);
    char *data = rc ? NULL : st_buf_detach(&buf, ret_len);
    if (!rc && !data)
        rc = st_err_set(err, ST_ENOMEM, "%s: out of memory", path);
    if (!rc)
        *ret_data = data;
    st_buf_done(&buf);
    return rc;
}

bool st_fd_write(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* Make the rename itself durable. */
static int sync_folder(const char *folder, const char *path, st_err *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd);
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (failed)
        return st_err_set(err, ST_EIO, "%s: cannot flush its folder: %s", path,
                          strerror(why));
    return 0;
}

static int write_parts(int fd, const st_part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!st_fd_write(fd, parts[i].data, parts[i].len))
            return -1;
    }
    return 0;
}

static int replace_file(const char *path, const st_part *parts, size_t n_parts,
                        st_err *err)
{
    char temp[PATH_MAX];
    int n = snprintf(temp, sizeof temp, "%s.%ld.tmp", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temp)
        return st_err_set(err, ST_EINVAL, "%s: path too long", path);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return st_err_set(err, ST_EIO, "%s: cannot create: %s", temp, strerror(errno));
    int failed = write_parts(fd, parts, n_parts) || fsync(fd);
    int why = errno;
    if (close(fd) && !failed) {
        failed = 1;
        why = errno;
    }
    if (!failed && rename(temp, path)) {
        failed = 1;
        why = errno;
    }
    if (failed) {
        unlink(temp);
        return st_err_set(err, ST_EIO, "%s: cannot write: %s", path, strerror(why));
    }
    return 0;
}

int st_file_write_parts(const char *path, const st_part *parts, size_t n, st_err *err)
{
    char *folder = st_path_beside(path, "."); /* first: after the rename is too late */
    if (!folder)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", path);
    int rc = replace_file(path, parts, n, err);
    if (!rc)
        rc = sync_folder(folder, path, err);
    st_free(folder);
    return rc;
}

int st_file_write(const char *path, const void *data, size_t len, st_err *err)
{
    st_part whole = {data, len};
    return st_file_write_parts(path, &whole, 1, err);
}

char *st_path_beside(const char *base_path, const char *name)
{
    const char *slash = strrchr(base_path, '/');
    if (name[0] == '/' || !slash)
        return st_strdup(name);
    size_t folder = (size_t)(slash - base_path) + 1;
    size_t len = strlen(name);
    char *path = st_alloc(folder + len + 1);
    if (path) {
        memcpy(path, base_path, folder);
        memcpy(path + folder, name, len + 1);
    }
    return path;
}
