/* base/map.c - hash map from byte strings to 32-bit values. */
#include "base/map.h"

#include "base/err.h"
#include "base/mem.h"
#include <string.h>
#include <xxhash.h>

void st_map_init(st_map *map)
{
    *map = (st_map){0};
}

void st_map_done(st_map *map)
{
    st_free(map->slots);
    st_map_init(map);
}

/* The slot of the key, or the free slot where it would go.  Some slot is always free. */
static st_map_slot *find_slot(const st_map *map, const char *key, size_t len)
{
    size_t mask = map->n_slots - 1;
    for (size_t i = XXH3_64bits(key, len) & mask;; i = (i + 1) & mask) {
        st_map_slot *slot = &map->slots[i];
        if (!slot->key || (slot->len == len && memcmp(slot->key, key, len) == 0))
            return slot;
    }
}

int st_map_reserve(st_map *map, size_t n)
{
    size_t want = 16;
    while (want / 4 * 3 < n) {
        if (want > SIZE_MAX / 4)
            return ST_ENOMEM;
        want *= 2;
    }
    if (want <= map->n_slots)
        return 0;
    st_map bigger = {.slots = st_zalloc_n(want, sizeof *bigger.slots), .n_slots = want};
    if (!bigger.slots)
        return ST_ENOMEM;
    for (size_t i = 0; i < map->n_slots; i++) {
        const st_map_slot *old = &map->slots[i];
        if (old->key)
            *find_slot(&bigger, old->key, old->len) = *old;
    }
    bigger.n_used = map->n_used;
    st_free(map->slots);
    *map = bigger;
    return 0;
}

int st_map_put(st_map *map, const char *key, size_t len, uint32_t value, bool *ret_new)
{
    if (len > UINT32_MAX)
        return ST_ELIMIT;
    int rc = st_map_reserve(map, map->n_used + 1);
    if (rc)
        return rc;
    st_map_slot *slot = find_slot(map, key, len);
    bool fresh = !slot->key;
    if (fresh) {
        *slot = (st_map_slot){key, (uint32_t)len, value};
        map->n_used++;
    }
    if (ret_new)
        *ret_new = fresh;
    return 0;
}

bool st_map_get(const st_map *map, const char *key, size_t len, uint32_t *ret_value)
{
    if (!map->n_slots)
        return false;
    const st_map_slot *slot = find_slot(map, key, len);
    if (!slot->key)
        return false;
    *ret_value = slot->value;
    return true;
}
