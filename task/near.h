/* task/near.h - which known name did somebody mean?
 *
 * Threads: any. */
#ifndef TASK_NEAR_H
#define TASK_NEAR_H
#include "base/err.h"
#include <stddef.h>

/* Edits (insert, delete, replace, swap neighbours) from one name to another; SIZE_MAX
 * when one of them is too long to be a name. */
size_t near_distance(const char *a, const char *b);

/* Hint at the nearest of n names, if one is within two edits. */
void near_hint(st_err *err, const char *text, const char *const *names, size_t n);
#endif
