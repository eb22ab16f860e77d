/* tests/check_kernels.c - compares every table of kernels with its C twin, and times it.
 *
 *     check_kernels            check the tables that this machine has
 *     check_kernels --bench    also time them (and the C twin)
 *     check_kernels --isa avx2 one table only
 *
 * Integer matrix products, quantising, rows, rope and stores must give the same bytes as
 * the twin; each other kernel has an error budget beside its check (check_ops.c). */
#include "tests/check.h"

#include <stdarg.h>

void check_fail(check *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (c->failures++ < 20) {
        printf("FAIL %s %s: ", st_isa_name(c->k->isa), c->what);
        vprintf(fmt, args);
        putchar('\n');
    }
    va_end(args);
}

void *check_alloc(size_t bytes)
{
    void *p = st_aligned_n(bytes + 1, 1);
    if (!p) {
        fprintf(stderr, "check_kernels: out of memory\n");
        exit(3);
    }
    return p;
}

/* A half of either sign between 2^-7 and 2^-5: sums stay finite with huge activations. */
static uint16_t half_random(st_rng *rng)
{
    return (uint16_t)(0x2000 | (st_rng_u64(rng) & 0x87FF));
}

/* Random bytes, or in one block of four the same byte everywhere: codes at their ends. */
static void bytes_fill(st_rng *rng, unsigned char *p, size_t n)
{
    static const unsigned char ends[5] = {0xFF, 0x80, 0x00, 0x77, 0x7F};
    int end = ends[st_rng_below(rng, 5)];
    bool same = st_rng_below(rng, 4) == 0;
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)(same ? (uint64_t)end : st_rng_u64(rng));
}

void blocks_fill(st_rng *rng, st_dtype type, unsigned char *p, size_t n_blocks)
{
    const st_dtype_info *info = st_dtype_get((uint32_t)type);
    for (size_t b = 0; b < n_blocks; b++, p += info->bytes) {
        uint16_t h[2] = {half_random(rng), half_random(rng)};
        float f = (float)st_rng_unit(rng) - 0.5f;
        bytes_fill(rng, p, info->bytes);
        if (type == ST_F32)
            memcpy(p, &f, 4);
        else if (type == ST_BF16)
            memcpy(p, (char *)&f + 2, 2);
        else if (type == ST_MXFP4) /* also the two smallest exponents */
            p[0] = (unsigned char)(st_rng_below(rng, 4) ? 118 + st_rng_below(rng, 8)
                                                        : st_rng_below(rng, 3));
        else if (type == ST_Q2_K)
            memcpy(p + 80, h, 4);
        else if (type == ST_Q3_K || type == ST_Q6_K)
            memcpy(p + info->bytes - 2, h, 2);
        else
            memcpy(p, h, info->bytes < 4 ? 2 : 4);
    }
}

void floats_fill(st_rng *rng, int kind, float *x, size_t n)
{
    const float scale[FILL_KINDS] = {3, 0, 1e30f, 1e-34f, 1, 0};
    const float same = st_rng_below(rng, 2) ? 2.5f : -2.5f;
    for (size_t i = 0; i < n; i++) {
        x[i] = ((float)st_rng_unit(rng) - 0.5f) * scale[kind];
        if (kind == FILL_OUTLIER && st_rng_below(rng, 100) == 0)
            x[i] *= 1000;
        if (kind == FILL_HUGE && i % 5 == 0) /* every code at its end */
            x[i] = i % 2 ? 1e30f : -1e30f;
        if (kind == FILL_SAME)
            x[i] = same;
    }
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* less of the neighbours */
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double bench_ns(void (*run)(void *), void *arg)
{
    const double end = now_ns() + 3e8;
    double best = 1e30;
    unsigned reps = 1;
    for (int i = 0; i < 4 || (i < 15 && now_ns() < end); i++) {
        double start = now_ns();
        for (unsigned r = 0; r < reps; r++)
            run(arg);
        double one = (now_ns() - start) / reps;
        best = one < best ? one : best;
        if (i < 2) /* runs of about 2 ms */
            reps = one < 2e6 ? (unsigned)(2e6 / (one + 1)) + 1 : 1;
    }
    return best;
}

static unsigned table_check(const kern *k)
{
    check c = {.k = k, .c = kern_get(ST_ISA_C), .rng = {7}};
    check_matmul(&c);
    check_ops(&c);
    check_attn(&c);
    printf("%-12s %s (%u failures)\n", st_isa_name(k->isa), c.failures ? "FAILED" : "ok",
           c.failures);
    return c.failures;
}

int main(int argc, char **argv)
{
    const char *only = NULL;
    bool bench = false;
    unsigned failures = 0, seen = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bench") == 0) {
            bench = true;
        } else if (strcmp(argv[i], "--isa") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else {
            fprintf(stderr, "usage: check_kernels [--bench] [--isa NAME]\n");
            return 2;
        }
    }
    for (int isa = ST_ISA_C; isa <= ST_ISA_AVX512_VNNI; isa++) {
        const kern *k = kern_get((st_isa)isa);
        if (!k || (only && strcmp(only, st_isa_name((st_isa)isa)) != 0))
            continue;
        seen++;
        failures += table_check(k);
        if (bench) {
            bench_matmul(k);
            bench_rows(k);
            bench_ops(k);
        }
    }
    if (!seen)
        printf("FAIL no table named %s on this machine\n", only);
    else if (seen == 1 && !only)
        printf("SKIP: this machine has only the C twin\n");
    return failures || !seen;
}
