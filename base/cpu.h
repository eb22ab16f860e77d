/* base/cpu.h - what this processor and this process may use.
 *
 * Detection asks the CPU (CPUID) and the operating system (XGETBV: are the wide registers
 * saved?).  STINT_CPU=c|avx2|avx512 masks what is above the named level; it exists so
 * that one machine can test every level.
 *
 * Threads: any. */
#ifndef BASE_CPU_H
#define BASE_CPU_H
#include "base/err.h"

typedef enum st_isa { /* each level includes the ones before it of its family */
    ST_ISA_C,
    ST_ISA_NEON,
    ST_ISA_AVX2,        /* AVX2, FMA, F16C */
    ST_ISA_AVX512,      /* F, BW, DQ, VL */
    ST_ISA_AVX512_VNNI, /* the same and VNNI */
} st_isa;

const char *st_isa_name(st_isa isa); /* "c", "neon", "avx2", "avx512", "avx512-vnni" */

/* The best level of this machine, lowered by STINT_CPU; ST_EINVAL for an unknown value
 * or a level that this machine does not have. */
ST_NODISCARD int st_cpu_isa(st_isa *ret_isa, st_err *err);
st_isa st_cpu_isa_best(void); /* the machine's best, without the mask */

/* Processors that this process may use: the affinity mask, then the cgroup quota
 * (cpu.max, rounded up), at least 1. */
unsigned st_cpu_count(void);
#endif
