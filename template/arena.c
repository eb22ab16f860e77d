/* template/arena.c - memory and budget of one render or one parsed template.
 *
 * Chunks grow with use; a block larger than a chunk gets one of its own.  Nothing is
 * given back before the end, so the limit is on everything ever taken. */
#include "template/value.h"

#include "base/mem.h"
#include "base/utf8.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK_MIN = 16384, CHUNK_MAX = 1 << 20, ALIGN = 16, HEAD = 32 };

void tarena_init(tarena *a, size_t limit)
{
    *a = (tarena){.limit = limit};
}

void tarena_done(tarena *a)
{
    while (a->chunks) {
        tchunk *next = a->chunks->next;
        st_free(a->chunks);
        a->chunks = next;
    }
    tarena_init(a, a->limit);
}

static bool add_chunk(tarena *a, size_t bytes)
{
    size_t size = a->used < CHUNK_MIN ? CHUNK_MIN : a->used;
    if (size > CHUNK_MAX)
        size = CHUNK_MAX;
    if (size < bytes + HEAD)
        size = bytes + HEAD;
    tchunk *chunk = st_alloc(size);
    if (!chunk)
        return false;
    *chunk = (tchunk){.next = a->chunks, .size = size};
    a->chunks = chunk;
    a->at = (char *)chunk + HEAD;
    a->end = (char *)chunk + size;
    return true;
}

void *tarena_take(tarena *a, size_t bytes)
{
    if (bytes > a->limit || a->used + bytes + ALIGN > a->limit) {
        a->over = true;
        return NULL;
    }
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if ((size_t)(a->end - a->at) < bytes && !add_chunk(a, bytes))
        return NULL;
    void *p = a->at;
    a->at += bytes;
    a->used += bytes;
    return p;
}

void *tarena_grow(tarena *a, void *p, size_t old_bytes, size_t bytes)
{
    if (bytes > a->limit) {
        a->over = true;
        return NULL;
    }
    size_t old = (old_bytes + ALIGN - 1) / ALIGN * ALIGN;
    size_t whole = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (p && (char *)p + old == a->at && (size_t)(a->end - (char *)p) >= whole &&
        a->used - old + whole <= a->limit) {
        a->at = (char *)p + whole;
        a->used += whole - old;
        return p;
    }
    void *copy = tarena_take(a, bytes);
    if (copy && old_bytes)
        memcpy(copy, p, old_bytes);
    return copy;
}

/* Cut a message that vsnprintf cut inside a character. */
static void trim_message(char *message)
{
    size_t bad;
    if (!st_utf8_valid(message, strlen(message), &bad))
        message[bad] = '\0';
}

int rt_fail(rt *r, int code, const char *fmt, ...)
{
    char text[sizeof r->err->message];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    trim_message(text);
    if (code == ST_ERAISED)
        st_err_set(r->err, code, "%s", text);
    else
        st_err_set(r->err, code, "line %d: %s", r->line, text);
    if (r->err)
        trim_message(r->err->message);
    return code;
}

int rt_oom(rt *r)
{
    if (!r->mem.over)
        return rt_fail(r, ST_ENOMEM, "out of memory while rendering");
    return rt_fail(r, ST_ELIMIT, "rendering needs more than %zu MiB of memory",
                   r->mem.limit >> 20);
}

int rt_step(rt *r, size_t n)
{
    if (r->steps_left < n) {
        r->steps_left = 0;
        return rt_fail(r, ST_ELIMIT, "the template takes too many steps");
    }
    r->steps_left -= n;
    return 0;
}

int rt_enter(rt *r)
{
    if (r->depth >= DEPTH_MAX)
        return rt_fail(r, ST_ELIMIT, "nested too deep");
    r->depth++;
    return rt_step(r, 1) ? (r->depth--, ST_ELIMIT) : 0;
}

void *rt_take(rt *r, size_t count, size_t size)
{
    size_t bytes;
    void *p = st_mul_ok(count, size, &bytes) ? tarena_take(&r->mem, bytes) : NULL;
    if (!p)
        rt_oom(r);
    else
        memset(p, 0, bytes);
    return p;
}
