/* model/keys.h - the metadata that all families share, read and checked. */
#ifndef MODEL_KEYS_H
#define MODEL_KEYS_H
#include "model/load.h"

enum { KEY_ROOM = 128 };

/* "ARCH.key" in `room`, which is returned. */
const char *keys_name(const loader *ld, const char *key, char room[KEY_ROOM]);
bool keys_has(const loader *ld, const char *key);
/* ST_EFORMAT naming the key when v is not in [min, max]. */
ST_NODISCARD int keys_in_range(const loader *ld, const char *key, uint64_t v,
                               uint32_t min, uint32_t max, st_err *err);

/* Fill ld->m (layers included), ld->ropes and ld->window. */
ST_NODISCARD int keys_read(loader *ld, const model_opts *opts, st_err *err);

/* The part of it about rotary positions: ld->ropes. */
ST_NODISCARD int positions_read(loader *ld, st_err *err);
/* After `adjust`: rotary divisors from their tensors, then the frequencies. */
ST_NODISCARD int positions_ready(loader *ld, st_err *err);
#endif
