/* bench/loops_x86.c - the loops of x86-64. */
#include "bench/loops.h"

const loops *loops_native(st_isa isa)
{
    switch (isa) {
    case ST_ISA_AVX512_VNNI:
        return &loops_vnni;
    case ST_ISA_AVX512:
        return &loops_avx512;
    case ST_ISA_AVX2:
        return &loops_avx2;
    case ST_ISA_NEON:
    case ST_ISA_C:
        break;
    }
    return NULL;
}
