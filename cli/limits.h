/* cli/limits.h - what this machine could do at most, measured now.
 *
 * A speed means little alone: on a shared machine it moves with the neighbours.  Beside
 * the limits of the same minute it says how much of the machine is used. */
#ifndef CLI_LIMITS_H
#define CLI_LIMITS_H
#include "base/workers.h"

typedef struct limits {
    double int8_macs_per_s;  /* of the int8 kernel on weights that stay in the cache */
    double read_bytes_per_s; /* from main memory */
} limits;

ST_NODISCARD int limits_measure(workers *w, limits *ret_limits, st_err *err);
#endif
