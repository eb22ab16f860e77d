/* bench/loops_none.c - an architecture that has only the loops in C. */
#include "bench/loops.h"

const loops *loops_native(st_isa isa)
{
    (void)isa;
    return NULL;
}
