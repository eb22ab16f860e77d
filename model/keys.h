/* model/keys.h - the metadata that all families share, read and checked. */
#ifndef MODEL_KEYS_H
#define MODEL_KEYS_H
#include "model/load.h"

/* Fill ld->m (layers included), ld->ropes and ld->window. */
ST_NODISCARD int keys_read(loader *ld, const model_opts *opts, st_err *err);

/* After `adjust`: rotary divisors from their tensors, then the frequencies. */
ST_NODISCARD int keys_ropes(loader *ld, st_err *err);
#endif
