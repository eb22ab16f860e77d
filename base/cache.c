/* base/cache.c - reading and writing the files of the cache. */
#define _DEFAULT_SOURCE /* madvise */
#include "base/cache_priv.h"

#include "base/hash.h"
#include "base/mem.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium/randombytes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum {
    VERSION = 1,
    BYTE_ORDER_MARK = 0x01020304,
    KEY_DIGITS = ST_DIGEST_TEXT - 1,
    TOUCH_SECONDS = 24 * 3600, /* how exactly the time of the last use is known */
};

static const char magic[8] = {'s', 't', 'i', 'n', 't', 'k', 'e', 'p'};

typedef struct head {
    char magic[8];
    uint32_t order;
    uint32_t version;
    uint64_t bytes; /* of the payload */
    uint64_t sum;   /* of the payload */
    char key[KEY_DIGITS];
    char zero[24];
    uint64_t head_sum; /* of all before */
} head;
_Static_assert(sizeof(head) == ST_CACHE_HEAD, "the head has no padding");

static uint64_t head_sum(const head *h)
{
    return st_hash64(h, offsetof(head, head_sum), VERSION);
}

static uint64_t payload_sum(const void *file, size_t len)
{
    return st_hash64((const unsigned char *)file + sizeof(head), len - sizeof(head), 0);
}

static int head_check(const void *file, size_t len, const char *key, head *ret,
                      st_err *err)
{
    head h;
    if (len < sizeof h)
        return st_err_set(err, ST_EFORMAT, "shorter than its head");
    memcpy(&h, file, sizeof h);
    if (memcmp(h.magic, magic, sizeof magic) != 0 || h.order != BYTE_ORDER_MARK)
        return st_err_set(err, ST_EFORMAT, "not a file of this cache");
    if (h.version != VERSION)
        return st_err_set(err, ST_EMISMATCH, "of version %u", h.version);
    if (h.head_sum != head_sum(&h))
        return st_err_set(err, ST_EFORMAT, "its head is damaged");
    if (memcmp(h.key, key, KEY_DIGITS) != 0)
        return st_err_set(err, ST_EMISMATCH, "of other contents");
    if (h.bytes != len - sizeof h)
        return st_err_set(err, ST_EFORMAT, "%zu bytes long, not %llu", len,
                          (unsigned long long)h.bytes + sizeof h);
    *ret = h;
    return 0;
}

static int payload_check(const head *h, const void *file, size_t len, st_err *err)
{
    return h->sum == payload_sum(file, len)
               ? 0
               : st_err_set(err, ST_EFORMAT, "its contents are damaged");
}

int st_cache_check(const void *file, size_t len, const char *key, st_err *err)
{
    head h = {0};
    int rc = head_check(file, len, key, &h, err);
    return rc ? rc : payload_check(&h, file, len, err);
}

static void name_make(const st_cache_item *item, char ret[ST_CACHE_NAME])
{
    assert(strlen(item->id) >= 32);
    snprintf(ret, ST_CACHE_NAME, "%.20s-%.32s", item->kind, item->id);
}

/* All of it will be read: one call instead of a page fault for each few pages, and large
 * pages where the file system has them. */
static void populate(const st_file_map *map)
{
    (void)madvise((void *)(uintptr_t)map->data, map->len, MADV_HUGEPAGE);
    (void)madvise((void *)(uintptr_t)map->data, map->len, MADV_POPULATE_READ);
}

static int map_check(const st_file_map *map, const char *key, st_err *err)
{
    head h = {0};
    int rc = head_check(map->data, map->len, key, &h, err);
    if (rc)
        return rc;
    populate(map);
    return payload_check(&h, map->data, map->len, err);
}

static int map_fd(int fd, size_t len, st_file_map *ret_map)
{
    void *data = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return ST_EIO;
    *ret_map = (st_file_map){.data = data, .len = len};
    return 0;
}

static st_cached cached_of(st_file_map map)
{
    return (st_cached){map.data + ST_CACHE_HEAD, map.len - ST_CACHE_HEAD, map};
}

/* Open the item's file, when it is a plain file of this user. */
static int file_open(const char *name, int *ret_fd, struct stat *st, st_err *err)
{
    int folder, rc = cache_folder_open(false, &folder, err);
    if (rc)
        return rc;
    /* not blocking: a FIFO is refused below, not awaited */
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int why = errno;
    close(folder);
    if (fd < 0)
        return st_err_set(err, why == ENOENT ? ST_ENOTFOUND : ST_EIO, "%s: %s", name,
                          strerror(why));
    if (fstat(fd, st) == 0 && S_ISREG(st->st_mode) && cache_is_ours(st)) {
        *ret_fd = fd;
        return 0;
    }
    close(fd);
    return st_err_set(err, ST_EIO, "%s: not a plain file that only this user writes to",
                      name);
}

static void used_now(int fd, const struct stat *st)
{
    if (st->st_mtim.tv_sec + TOUCH_SECONDS < time(NULL))
        (void)futimens(fd, NULL); /* on a read-only disk it stays as it is */
}

int st_cache_open(const st_cache_item *item, st_cached *ret, st_err *err)
{
    char name[ST_CACHE_NAME];
    struct stat st;
    st_file_map map = {0};
    int fd = -1;
    name_make(item, name);
    int rc = file_open(name, &fd, &st, err);
    if (rc)
        return rc;
    if ((uint64_t)st.st_size < ST_CACHE_HEAD || (uint64_t)st.st_size > SIZE_MAX)
        rc = st_err_set(err, ST_EFORMAT, "%s: shorter than its head", name);
    else if ((rc = map_fd(fd, (size_t)st.st_size, &map)))
        st_err_set(err, rc, "%s: cannot map", name);
    else if ((rc = map_check(&map, item->key, err)))
        st_err_at(err, "%s", name);
    else
        used_now(fd, &st);
    close(fd);
    if (rc)
        st_file_map_close(&map);
    else
        *ret = cached_of(map);
    return rc;
}

void st_cache_close(st_cached *c)
{
    st_file_map_close(&c->map);
    *c = (st_cached){0};
}

int st_cache_stat(const st_cache_item *item, uint64_t *ret_bytes, st_err *err)
{
    char name[ST_CACHE_NAME];
    struct stat st;
    int fd = -1;
    name_make(item, name);
    int rc = file_open(name, &fd, &st, err);
    if (rc)
        return rc;
    close(fd);
    *ret_bytes = (uint64_t)st.st_size;
    return 0;
}

/* ---- writing ---- */

/* Is there room?  A write over the limit of the process would end it by a signal. */
static int room_check(int folder, uint64_t bytes, st_err *err)
{
    struct rlimit limit;
    struct statvfs disk;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        bytes > limit.rlim_cur)
        return st_err_set(err, ST_ELIMIT, "%llu bytes pass this process's limit (ulimit)",
                          (unsigned long long)bytes);
    if (fstatvfs(folder, &disk) == 0 && bytes / disk.f_frsize >= disk.f_bavail / 2)
        return st_err_set(err, ST_ELIMIT,
                          "%llu bytes are over half of what the disk has free",
                          (unsigned long long)bytes);
    return 0;
}

int st_cache_begin(const st_cache_item *item, size_t bytes, st_cache_file *ret_file,
                   st_err *err)
{
    st_cache_file f = {.folder = -1, .fd = -1, .bytes = bytes};
    size_t whole;
    uint64_t number;
    if (!st_add_ok(bytes, sizeof(head), &whole))
        return st_err_set(err, ST_ELIMIT, "%zu bytes in a file", bytes);
    name_make(item, f.name);
    memcpy(f.key, item->key, KEY_DIGITS);
    int rc = cache_folder_open(true, &f.folder, err);
    if (rc == 0)
        rc = room_check(f.folder, whole, err);
    if (rc == 0) {
        randombytes_buf(&number, sizeof number);
        snprintf(f.temp, sizeof f.temp, CACHE_TEMP "%016llx", (unsigned long long)number);
        f.fd = openat(f.folder, f.temp,
                      O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (f.fd < 0)
            rc = st_err_set(err, ST_EIO, "%s: cannot write: %s", f.name, strerror(errno));
    }
    if (rc == 0) {
        f.step = st_zalloc_n(whole < ST_CACHE_STEP ? whole : ST_CACHE_STEP, 1);
        f.in_step = sizeof(head); /* filled in at the end */
        if (!f.step)
            rc = st_err_set(err, ST_ENOMEM, "no memory to write a file");
    }
    if (rc)
        st_cache_drop(&f);
    else
        *ret_file = f;
    return rc;
}

static bool step_write(st_cache_file *f)
{
    bool ok = st_fd_write(f->fd, f->step, f->in_step);
    f->in_step = 0;
    return ok;
}

int st_cache_add(st_cache_file *f, const void *data, size_t len, st_err *err)
{
    if (f->fd < 0 || len > f->bytes - f->done)
        return st_err_set(err, ST_EINVAL, "%s: more bytes than were announced", f->name);
    f->done += len;
    for (const char *at = data; len;) {
        size_t n = ST_CACHE_STEP - f->in_step < len ? ST_CACHE_STEP - f->in_step : len;
        memcpy(f->step + f->in_step, at, n);
        f->in_step += n;
        at += n;
        len -= n;
        if (f->in_step == ST_CACHE_STEP && !step_write(f))
            return st_err_set(err, ST_EIO, "%s: cannot write: %s", f->name,
                              strerror(errno));
    }
    return 0;
}

/* Sum what was written, as it will be read. */
static int head_write(st_cache_file *f, const st_file_map *map)
{
    head h = {.order = BYTE_ORDER_MARK, .version = VERSION, .bytes = f->bytes};
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.key, f->key, KEY_DIGITS);
    populate(map);
    h.sum = payload_sum(map->data, map->len);
    h.head_sum = head_sum(&h);
    return pwrite(f->fd, &h, sizeof h, 0) == (ssize_t)sizeof h ? 0 : ST_EIO;
}

int st_cache_end(st_cache_file *f, st_cached *ret, st_err *err)
{
    st_file_map map = {0};
    int rc = 0;
    if (f->fd < 0 || f->done != f->bytes)
        return st_err_set(err, ST_EINVAL, "%s: fewer bytes than were announced", f->name);
    if (!step_write(f) || map_fd(f->fd, f->bytes + ST_CACHE_HEAD, &map) ||
        head_write(f, &map) || renameat(f->folder, f->temp, f->folder, f->name))
        rc = st_err_set(err, ST_EIO, "%s: cannot write: %s", f->name, strerror(errno));
    else
        f->temp[0] = '\0'; /* it has its name */
    if (rc == 0 && ret)
        *ret = cached_of(map);
    else
        st_file_map_close(&map);
    if (rc == 0)
        st_cache_trim(ST_CACHE_MOST, f->name);
    st_cache_drop(f);
    return rc;
}

void st_cache_drop(st_cache_file *f)
{
    if (f->temp[0])
        (void)unlinkat(f->folder, f->temp, 0);
    if (f->fd >= 0)
        close(f->fd);
    if (f->folder >= 0)
        close(f->folder);
    st_free(f->step);
    *f = (st_cache_file){.folder = -1, .fd = -1};
}

int st_cache_write(const st_cache_item *item, const void *data, size_t len, st_err *err)
{
    st_cache_file f;
    int rc = st_cache_begin(item, len, &f, err);
    if (rc)
        return rc;
    rc = st_cache_add(&f, data, len, err);
    if (rc == 0)
        rc = st_cache_end(&f, NULL, err);
    else
        st_cache_drop(&f);
    return rc;
}
