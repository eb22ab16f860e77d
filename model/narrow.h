/* model/narrow.h - float matrices packed as 8-bit blocks.
 *
 * Threads: one owner, whose workers share the panels. */
#ifndef MODEL_NARROW_H
#define MODEL_NARROW_H
#include "base/workers.h"
#include "kernels/kernels.h"

/* Pack `rows` of F32, F16 or BF16 as `m`, a Q8_0 matrix (kmat_bytes of room), with the
 * values of ggml's quantiser.  Kept between runs: other values need another KERN_LAYOUT.
 * ST_EFORMAT for a value that is not finite. */
ST_NODISCARD int narrow_pack(const kmat *m, st_dtype from, const void *rows, workers *w,
                             void *room, st_err *err);
#endif
