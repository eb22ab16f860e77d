/* grammar/intern.c - byte strings numbered by value: open addressing over their hashes.
 */
#include "grammar/intern.h"

#include "base/hash.h"
#include "base/mem.h"
#include <string.h>

enum { FIRST_SLOTS = 64, FIRST_STATES = 32 };
enum { KEPT_ROOM = 4096 }; /* bytes that are not worth giving back */

const void *intern_get(const intern *s, uint32_t number, size_t *ret_len)
{
    *ret_len = s->begin[number + 1] - s->begin[number];
    return s->bytes + s->begin[number];
}

/* The slot of a value, or the free one where it would go. */
static uint32_t find(const intern *s, const void *value, size_t len)
{
    uint32_t mask = s->n_slots - 1;
    uint32_t i = (uint32_t)st_hash64(value, len, 0) & mask;
    for (; s->slots[i] != 0; i = (i + 1) & mask) {
        size_t have;
        const void *known = intern_get(s, s->slots[i], &have);
        if (have == len && memcmp(known, value, len) == 0)
            break;
    }
    return i;
}

static int rehash(intern *s, uint32_t n_slots, st_err *err)
{
    uint32_t *slots = st_zalloc_n(n_slots, sizeof *slots);
    if (!slots)
        return st_err_set(err, ST_ENOMEM, "out of memory for %u states", s->n);
    st_free(s->slots);
    s->slots = slots;
    s->n_slots = n_slots;
    for (uint32_t i = 1; i <= s->n; i++) {
        size_t len;
        const void *value = intern_get(s, i, &len);
        s->slots[find(s, value, len)] = i;
    }
    return 0;
}

/* Room for one more value of `len` bytes, in the arrays and in the table. */
static int grow(intern *s, size_t len, st_err *err)
{
    size_t need;
    if (!st_add_ok(s->used, len, &need) || need > SIZE_MAX / 2 || s->n >= UINT32_MAX / 4)
        return st_err_set(err, ST_ELIMIT, "too many states");
    if (need > s->cap || !s->bytes) {
        size_t cap = need + need / 2 + 1024;
        uint8_t *bytes = st_realloc_n(s->bytes, cap, 1);
        if (!bytes)
            return st_err_set(err, ST_ENOMEM, "out of memory for %u states", s->n);
        s->bytes = bytes;
        s->cap = cap;
    }
    if (s->n + 3 > s->cap_n) {
        uint32_t cap_n = s->cap_n ? 2 * s->cap_n : FIRST_STATES;
        size_t *begin = st_realloc_n(s->begin, cap_n, sizeof *begin);
        if (!begin)
            return st_err_set(err, ST_ENOMEM, "out of memory for %u states", s->n);
        if (!s->begin)
            begin[0] = begin[1] = 0; /* number 0 is no state */
        s->begin = begin;
        s->cap_n = cap_n;
    }
    if (!s->slots || s->n + 1 > s->n_slots / 2)
        return rehash(s, s->slots ? 2 * s->n_slots : FIRST_SLOTS, err);
    return 0;
}

int intern_put(intern *s, const void *value, size_t len, uint32_t *ret, st_err *err)
{
    int rc = grow(s, len, err);
    if (rc < 0)
        return rc;
    uint32_t slot = find(s, value, len);
    if (s->slots[slot] == 0) {
        memcpy(s->bytes + s->used, value, len);
        s->used += len;
        s->slots[slot] = ++s->n;
        s->begin[s->n + 1] = s->used;
    }
    *ret = s->slots[slot];
    return 0;
}

/* Give back what was needed for many values; what cannot be given back stays. */
static void shrink(intern *s)
{
    uint32_t n_slots = FIRST_SLOTS;
    if (s->cap > s->used + KEPT_ROOM) {
        uint8_t *bytes = st_realloc_n(s->bytes, s->used + KEPT_ROOM, 1);
        if (bytes) {
            s->bytes = bytes;
            s->cap = s->used + KEPT_ROOM;
        }
    }
    if (s->cap_n > s->n + KEPT_ROOM / 4) {
        uint32_t cap_n = s->n + 3 > FIRST_STATES ? s->n + 3 : FIRST_STATES;
        size_t *begin = st_realloc_n(s->begin, cap_n, sizeof *begin);
        if (begin) {
            s->begin = begin;
            s->cap_n = cap_n;
        }
    }
    while (s->n + 1 > n_slots / 2)
        n_slots *= 2;
    if (s->n_slots > KEPT_ROOM / 4 && n_slots < s->n_slots) {
        uint32_t *slots = st_realloc_n(s->slots, n_slots, sizeof *slots);
        if (slots) {
            s->slots = slots;
            s->n_slots = n_slots;
        }
    }
}

uint32_t intern_find(const intern *s, const void *value, size_t len)
{
    return s->slots ? s->slots[find(s, value, len)] : 0;
}

void intern_keep(intern *s, uint32_t n)
{
    if (n >= s->n)
        return;
    s->n = n;
    s->used = s->begin[n + 1];
    shrink(s);
    memset(s->slots, 0, s->n_slots * sizeof *s->slots);
    for (uint32_t i = 1; i <= n; i++) {
        size_t len;
        const void *value = intern_get(s, i, &len);
        s->slots[find(s, value, len)] = i;
    }
}

size_t intern_bytes(const intern *s)
{
    return s->cap + s->cap_n * sizeof *s->begin + s->n_slots * sizeof *s->slots;
}

void intern_done(intern *s)
{
    st_free(s->bytes);
    st_free(s->begin);
    st_free(s->slots);
    *s = (intern){0};
}
