/* base/map.h - hash map from byte strings to 32-bit values.
 *
 * Open addressing with linear probing over xxh3; keys are borrowed, not copied, and must
 * outlive the map.  There is no removal: nothing here needs it.
 *
 * Threads: one writer; any number of readers once nobody writes. */
#ifndef BASE_MAP_H
#define BASE_MAP_H
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct st_map_slot {
    const char *key; /* NULL marks a free slot */
    uint32_t len;
    uint32_t value;
} st_map_slot;

typedef struct st_map {
    st_map_slot *slots;
    size_t n_slots; /* 0 or a power of two */
    size_t n_used;
} st_map;

void st_map_init(st_map *map);
void st_map_done(st_map *map);

/* Make room for `n` keys in all.  0 or ST_ENOMEM. */
ST_NODISCARD int st_map_reserve(st_map *map, size_t n);

/* Set key -> value; an existing key keeps its first value and *ret_new (may be NULL) is
 * false.  0, ST_ENOMEM, or ST_ELIMIT for a key of 4 GiB or more. */
ST_NODISCARD int st_map_put(st_map *map, const char *key, size_t len, uint32_t value,
                            bool *ret_new);

bool st_map_get(const st_map *map, const char *key, size_t len, uint32_t *ret_value);
#endif
