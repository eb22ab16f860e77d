/* bench/limits.h - what this machine can do at most, measured in the same minutes.
 *
 * A speed means little alone: on a shared machine it moves with the neighbours.  Beside
 * the limits it says how much of the machine is used.  The loops are plain and share no
 * code with the kernels room: an int8 matrix product with exact sums whose operands stay
 * in the first cache and whose sums stay in registers, and vector reads of a region
 * larger than the caches.  All threads run them.
 *
 * A meter is asked for rounds between the things it is compared with; the best round
 * counts, for neighbours only take away.
 *
 * Threads: the owner of the workers. */
#ifndef BENCH_LIMITS_H
#define BENCH_LIMITS_H
#include "base/cpu.h"
#include "base/workers.h"

typedef struct limits {
    double int8_macs_per_s;  /* multiplications and additions of the ISA in use */
    double read_bytes_per_s; /* from main memory */
} limits;

typedef struct limits_meter limits_meter;

ST_NODISCARD int limits_meter_new(workers *w, st_isa isa, limits_meter **ret_meter,
                                  st_err *err);
void limits_meter_free(limits_meter *m);  /* NULL allowed */
void limits_meter_round(limits_meter *m); /* some tens of milliseconds */
limits limits_meter_best(const limits_meter *m);
#endif
