/* kernels/kern_x86.c - the tables of x86-64. */
#include "kernels/tile.h"

const kern *kern_native(st_isa isa)
{
    switch (isa) {
    case ST_ISA_AVX512_VNNI:
        return &kern_vnni;
    case ST_ISA_AVX512:
        return &kern_avx512;
    case ST_ISA_AVX2:
        return &kern_avx2;
    case ST_ISA_NEON:
    case ST_ISA_C:
        break;
    }
    return NULL;
}
