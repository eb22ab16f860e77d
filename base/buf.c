/* base/buf.c - a growable run of bytes with a named limit. */
#include "base/buf.h"

#include "base/err.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void st_buf_init(st_buf *buf, size_t limit)
{
    *buf = (st_buf){.limit = limit};
}

void st_buf_done(st_buf *buf)
{
    st_free(buf->data);
    st_buf_init(buf, buf->limit);
}

void st_buf_reset(st_buf *buf)
{
    buf->len = 0;
    buf->code = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

int st_buf_room(st_buf *buf, size_t more)
{
    if (buf->code)
        return buf->code;
    if (more > buf->limit || buf->len > buf->limit - more)
        return buf->code = ST_ELIMIT;
    size_t need = buf->len + more;
    if (need < buf->cap)
        return 0;
    size_t cap = buf->cap ? buf->cap : 64;
    while (cap <= need)
        cap = cap > SIZE_MAX / 2 ? need + 1 : cap * 2;
    char *data = st_realloc_n(buf->data, cap, 1);
    if (!data)
        return buf->code = ST_ENOMEM;
    buf->data = data;
    buf->cap = cap;
    return 0;
}

int st_buf_add(st_buf *buf, const void *bytes, size_t len)
{
    int rc = st_buf_room(buf, len);
    if (rc)
        return rc;
    if (len)
        memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return 0;
}

int st_buf_str(st_buf *buf, const char *s)
{
    return st_buf_add(buf, s, strlen(s));
}

int st_buf_char(st_buf *buf, char c)
{
    return st_buf_add(buf, &c, 1);
}

int st_buf_fmt(st_buf *buf, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        return buf->code = buf->code ? buf->code : ST_EINVAL;
    int rc = st_buf_room(buf, (size_t)n);
    if (rc)
        return rc;
    va_start(ap, fmt);
    vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    buf->len += (size_t)n;
    return 0;
}

char *st_buf_detach(st_buf *buf, size_t *ret_len)
{
    if (st_buf_add(buf, "", 0)) /* an empty buffer still gives a string */
        return NULL;
    char *data = buf->data;
    if (ret_len)
        *ret_len = buf->len;
    st_buf_init(buf, buf->limit);
    return data;
}
