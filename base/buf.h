/* base/buf.h - a growable run of bytes with a named limit.
 *
 * The bytes are followed by a NUL that does not count, so `data` is also a C string when
 * no NUL was appended.  The first failure sticks: later appends do nothing and return the
 * same code, so a writer may append many pieces and check once.
 *
 * Threads: one owner.  Memory: st_buf_done frees; st_buf_detach gives the bytes away. */
#ifndef BASE_BUF_H
#define BASE_BUF_H
#include "base/compiler.h"
#include <stddef.h>

typedef struct st_buf {
    char *data;   /* NULL while empty */
    size_t len;   /* bytes in use */
    size_t cap;   /* bytes allocated, 0 or > len */
    size_t limit; /* most bytes it may hold */
    int code;     /* 0, or the first failure: ST_ENOMEM or ST_ELIMIT */
} st_buf;

void st_buf_init(st_buf *buf, size_t limit);
void st_buf_done(st_buf *buf);  /* frees; may be used again after st_buf_init */
void st_buf_reset(st_buf *buf); /* forgets bytes and failure, keeps the memory */

int st_buf_add(st_buf *buf, const void *bytes, size_t len);
int st_buf_str(st_buf *buf, const char *s);
int st_buf_char(st_buf *buf, char c);
int st_buf_fmt(st_buf *buf, const char *fmt, ...) ST_PRINTF(2, 3);
int st_buf_room(st_buf *buf, size_t more); /* make room for `more` bytes after len */

/* The bytes as a NUL-terminated block that the caller frees with st_free; the buffer is
 * empty after.  NULL when a failure stuck or memory ran out. */
char *st_buf_detach(st_buf *buf, size_t *ret_len);
#endif
