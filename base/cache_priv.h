/* base/cache_priv.h - the cache's folder, for the files of the cache only. */
#ifndef BASE_CACHE_PRIV_H
#define BASE_CACHE_PRIV_H
#include "base/cache.h"
#include <stdbool.h>
#include <sys/stat.h>

/* Open the folder; `make`: and make it when it is missing.  *ret_fd belongs to the
 * caller. */
ST_NODISCARD int cache_folder_open(bool make, int *ret_fd, st_err *err);

/* This user's, and writable by nobody else. */
bool cache_is_ours(const struct stat *st);

/* Half-written files are called this and 16 hexadecimal digits. */
#define CACHE_TEMP ".tmp-"
#endif
