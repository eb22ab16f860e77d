/* base/file.h - mapped files, whole reads, atomic writes.
 *
 * Threads: any, on different objects. */
#ifndef BASE_FILE_H
#define BASE_FILE_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which file, in which state: a change of its bytes changes the time of change, which no
 * program can set. */
typedef struct st_file_id {
    uint64_t device;
    uint64_t inode;
    uint64_t bytes;
    int64_t modified_ns; /* since 1970, as all */
    int64_t changed_ns;
} st_file_id;

typedef struct st_file_map {
    const unsigned char *data; /* read-only; NULL for an empty file */
    size_t len;
    st_file_id id; /* when it was opened */
} st_file_map;

ST_NODISCARD int st_file_id_get(const char *path, st_file_id *ret_id, st_err *err);
/* Is every later change of the bytes sure to show?  Not within the clock's step of the
 * last one, so not for a file that has just been written. */
bool st_file_id_settled(const st_file_id *id);

/* Map a regular file read-only.  ST_ENOTFOUND, ST_EIO, ST_EINVAL (not a regular file). */
ST_NODISCARD int st_file_map_open(const char *path, st_file_map *ret_map, st_err *err);
void st_file_map_close(st_file_map *map); /* twice is allowed */

/* These bytes of the map were read and will hardly be again: the whole memory pages among
 * them are given back, and read from the file if they are needed after all. */
void st_file_map_forget(const st_file_map *map, const void *data, size_t bytes);

/* The whole file, or standard input for "-", as a NUL-terminated block that the caller
 * frees.  More than `limit` bytes: ST_ELIMIT. */
ST_NODISCARD int st_file_read(const char *path, size_t limit, char **ret_data,
                              size_t *ret_len, st_err *err);

/* Write to a temporary file beside `path`, flush it to disk and rename it over `path`:
 * a reader sees the old bytes or the new ones, also after a power cut. */
ST_NODISCARD int st_file_write(const char *path, const void *data, size_t len,
                               st_err *err);

/* The same from several runs of bytes, one after the other, without joining them. */
typedef struct st_part {
    const void *data;
    size_t len;
} st_part;
ST_NODISCARD int st_file_write_parts(const char *path, const st_part *parts, size_t n,
                                     st_err *err);

/* All of it, however many writes that takes.  False: errno says why. */
ST_NODISCARD bool st_fd_write(int fd, const void *data, size_t len);

/* `name` beside the file `base_path`: absolute names unchanged, relative ones under the
 * folder of base_path.  A heap string, or NULL when out of memory. */
char *st_path_beside(const char *base_path, const char *name);
#endif
