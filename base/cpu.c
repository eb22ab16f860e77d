/* base/cpu.c - what this processor and this process may use. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "base/cpu.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *st_isa_name(st_isa isa)
{
    switch (isa) {
    case ST_ISA_C:
        return "c";
    case ST_ISA_NEON:
        return "neon";
    case ST_ISA_AVX2:
        return "avx2";
    case ST_ISA_AVX512:
        return "avx512";
    case ST_ISA_AVX512_VNNI:
        return "avx512-vnni";
    }
    return "?";
}

/* The compiler's own detection reads CPUID and XGETBV. */
st_isa st_cpu_isa_best(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                 __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx512 && __builtin_cpu_supports("avx512vnni"))
        return ST_ISA_AVX512_VNNI;
    return avx512 ? ST_ISA_AVX512 : avx2 ? ST_ISA_AVX2 : ST_ISA_C;
#elif defined(__aarch64__)
    return ST_ISA_NEON;
#else
    return ST_ISA_C;
#endif
}

int st_cpu_isa(st_isa *ret_isa, st_err *err)
{
    st_isa best = st_cpu_isa_best();
    const char *mask = getenv("STINT_CPU");
    st_isa most;
    if (!mask || !*mask) {
        *ret_isa = best;
        return 0;
    }
    if (strcmp(mask, "c") == 0)
        most = ST_ISA_C;
    else if (strcmp(mask, "neon") == 0)
        most = ST_ISA_NEON;
    else if (strcmp(mask, "avx2") == 0)
        most = ST_ISA_AVX2;
    else if (strcmp(mask, "avx512") == 0)
        most = ST_ISA_AVX512_VNNI;
    else
        return st_err_set(err, ST_EINVAL,
                          "STINT_CPU=%s: expected c, neon, avx2 or avx512", mask);
    int family_ok = most == ST_ISA_C || (most == ST_ISA_NEON) == (best == ST_ISA_NEON);
    int level_ok = strcmp(mask, "avx512") != 0 || best >= ST_ISA_AVX512;
    if (!family_ok || !level_ok || (most == ST_ISA_AVX2 && best < ST_ISA_AVX2))
        return st_err_set(err, ST_EINVAL, "STINT_CPU=%s: this machine has only %s", mask,
                          st_isa_name(best));
    *ret_isa = most < best ? most : best;
    return 0;
}

/* "max 100000" or "150000 100000"; 0 when there is no quota. */
static unsigned quota_cpus(void)
{
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    char text[64] = "";
    long quota, period;
    if (!f)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    if (sscanf(text, "%ld %ld", &quota, &period) != 2 || quota <= 0 || period <= 0)
        return 0;
    return (unsigned)((quota + period - 1) / period);
}

unsigned st_cpu_count(void)
{
    cpu_set_t set;
    unsigned n = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = (unsigned)CPU_COUNT(&set);
    unsigned quota = quota_cpus();
    if (quota && quota < n)
        n = quota;
    return n ? n : 1;
}
