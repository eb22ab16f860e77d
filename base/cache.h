/* base/cache.h - files that can be made again: what costs time at every start, kept.
 *
 * The folder is $STINT_CACHE, else $XDG_CACHE_HOME/stint, else $HOME/.cache/stint;
 * STINT_CACHE=off keeps nothing.  It and its files may be removed at any time.  A cache
 * never fails a caller's work: whatever goes wrong, the caller makes the thing in memory,
 * and the st_err says why for whoever wants to show it.
 *
 * A file is a head of ST_CACHE_HEAD bytes and the payload.  The head names the key, a
 * SHA-256 of all that the payload depends on, and xxh3 sums of the payload and of itself.
 * A file is used only when magic, byte order, version, key, length and both sums hold:
 * what was cut, half written, damaged, made by another program version or on another
 * machine is not there, and is replaced.  All of the payload is summed at every opening;
 * that costs about as much as mapping it, and a reader wants all of it in memory anyway.
 *
 * Trust: the sums find accidents, not attacks.  Against others stand the folder's and the
 * files' owner and mode: both must be this user's and writable by nobody else, and no
 * symbolic link is followed to them.  The mapped bytes must not be changed in place by
 * the same user while they are in use, as with any mapped file; stint never does.
 *
 * A file is written under a name of its own and renamed, so concurrent writers do not
 * meet and the last one stays.  It is not flushed to disk: the sums find what a power cut
 * left.  A write is refused that would take more than half of what the disk has free.
 *
 * It is written in whole steps of ST_CACHE_STEP bytes, because file systems with large
 * folios (XFS, ext4 of new kernels) then keep and map it in memory pages of that size:
 * weights are read up to 40 % faster that way, and mapping costs nothing.
 *
 * Threads: any, on different objects; the environment must not change meanwhile. */
#ifndef BASE_CACHE_H
#define BASE_CACHE_H
#include "base/err.h"
#include "base/file.h"
#include <stdint.h>

enum {
    ST_CACHE_HEAD = 128, /* bytes before the payload, which is 64-byte aligned */
    ST_CACHE_NAME = 64,
    ST_CACHE_STEP = 2 << 20, /* a large memory page of x86 and ARM */
};
#define ST_CACHE_MOST                                                                    \
    ((uint64_t)16 << 30) /* bytes; beyond it the least used files go                     \
                          */

typedef struct st_cache_item {
    const char *kind; /* lower-case letters: what it is */
    const char *id;  /* at least 32 hexadecimal digits: which one; with `kind` the name */
    const char *key; /* 64 hexadecimal digits: what the payload depends on */
} st_cache_item;

/* Where the files are.  ST_ENOTFOUND: nothing is kept; ST_EIO: there is something that is
 * no folder of this user's alone.  A folder that is not there yet is no error. */
ST_NODISCARD int st_cache_folder(char *ret_path, size_t room, st_err *err);

typedef struct st_cached {
    const unsigned char *data; /* 64-byte aligned, read-only; NULL: nothing */
    size_t len;
    st_file_map map;
} st_cached;

/* ST_ENOTFOUND: not there; ST_EMISMATCH: of another key; ST_EFORMAT: damaged; ST_EIO. */
ST_NODISCARD int st_cache_open(const st_cache_item *item, st_cached *ret, st_err *err);
void st_cache_close(st_cached *c); /* twice is allowed */

/* The checks of st_cache_open on the bytes of a file. */
ST_NODISCARD int st_cache_check(const void *file, size_t len, const char *key,
                                st_err *err);

/* Length of the item's file, whatever it holds, to be shown. */
ST_NODISCARD int st_cache_stat(const st_cache_item *item, uint64_t *ret_bytes,
                               st_err *err);

typedef struct st_cache_file { /* being written; private */
    int folder;
    int fd;
    unsigned char *step; /* what is not written yet: from a whole number of steps on */
    size_t in_step;
    size_t bytes;
    size_t done;
    char temp[ST_CACHE_NAME];
    char name[ST_CACHE_NAME];
    char key[ST_CACHE_NAME + 1];
} st_cache_file;

/* Begin a file of `bytes` bytes; then add them all in order; then end, which gives it its
 * name and, when `ret` is not NULL, maps it.  After an error, or to give up: drop. */
ST_NODISCARD int st_cache_begin(const st_cache_item *item, size_t bytes,
                                st_cache_file *ret_file, st_err *err);
ST_NODISCARD int st_cache_add(st_cache_file *f, const void *data, size_t len,
                              st_err *err);
ST_NODISCARD int st_cache_end(st_cache_file *f, st_cached *ret, st_err *err);
void st_cache_drop(st_cache_file *f); /* after end, or twice: nothing */

/* All three at once.  A caller that has the payload may ignore a failure. */
int st_cache_write(const st_cache_item *item, const void *data, size_t len, st_err *err);

/* Remove what crashed writers left, and the least used files until the rest has at most
 * `most` bytes; the file called `keep` (may be NULL) stays.  st_cache_end() does. */
void st_cache_trim(uint64_t most, const char *keep);
#endif
