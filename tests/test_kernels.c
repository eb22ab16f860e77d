/* tests/test_kernels.c - formats against the goldens, packing, and the C twin's meaning.
 *
 * The other tables are compared with the C twin in check_kernels.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kernels/kernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDENS "../shared/goldens/quant/blocks/"

static const st_dtype types[] = {ST_F32,  ST_F16,    ST_BF16,   ST_Q4_0, ST_Q4_1, ST_Q5_0,
                                 ST_Q5_1, ST_Q8_0,   ST_Q2_K,   ST_Q3_K, ST_Q4_K, ST_Q5_K,
                                 ST_Q6_K, ST_IQ4_NL, ST_IQ4_XS, ST_MXFP4};
enum { ROWS = 64, COLS = 512 };

static void *read_golden(const char *name, const char *suffix, size_t bytes)
{
    char path[256];
    snprintf(path, sizeof path, GOLDENS "%s%s", name, suffix);
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    char *data = st_aligned_n(bytes + 1, 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, bytes + 1, f), bytes);
    fclose(f);
    return data;
}

/* Dequantised straight, and packed and read back row by row: the bits of the file. */
static bool check_format(st_dtype type, const char *blocks_name, const char *values_name)
{
    const char *name = st_dtype_get(type)->name;
    size_t bytes, packed;
    assert_true(st_dtype_size(type, ROWS * COLS, &bytes));
    void *blocks = read_golden(name, blocks_name, bytes);
    float *want = read_golden(name, values_name, ROWS * COLS * sizeof *want);
    if (!blocks || !want) {
        st_free(blocks);
        st_free(want);
        return false;
    }
    float *got = st_alloc_n(ROWS * COLS, sizeof *got);
    assert_int_equal(kern_dequant(type, blocks, ROWS * COLS, got, NULL), 0);
    assert_memory_equal(got, want, ROWS * COLS * sizeof *got);

    for (uint32_t rows = ROWS - 3; rows <= ROWS; rows += 3) { /* a last panel of 13 */
        assert_true(kmat_bytes(type, rows, COLS, &packed));
        void *room = st_aligned_n(packed, 1);
        kmat m = {type, rows, COLS, room};
        kmat_pack(&m, blocks, room, 0, 1);
        kmat_pack(&m, blocks, room, 1, kmat_panels(&m));
        for (int isa = ST_ISA_C; isa <= ST_ISA_AVX512_VNNI; isa++) {
            const kern *k = kern_get((st_isa)isa);
            for (uint32_t r = 0; k && r < rows; r++) {
                k->row(&m, r, got);
                assert_memory_equal(got, want + r * COLS, COLS * sizeof *got);
            }
        }
        st_free(room);
    }
    st_free(got);
    st_free(want);
    st_free(blocks);
    return true;
}

static void formats_match_goldens(void **state)
{
    size_t seen = 0;
    (void)state;
    for (size_t i = 0; i < ST_COUNT(types); i++) {
        seen += check_format(types[i], ".blocks.bin", ".f32.bin");
        seen += check_format(types[i], ".random.blocks.bin", ".random.f32.bin");
    }
    if (seen == 0)
        print_message("SKIP: %s is not there: formats NOT compared with goldens\n",
                      GOLDENS);
    else
        assert_in_range(seen, ST_COUNT(types), 2 * ST_COUNT(types));
}

static void unsupported_is_refused(void **state)
{
    float out[256];
    unsigned char zero[512] = {0};
    st_err err = {0};
    size_t bytes = 7;
    (void)state;
    assert_int_equal(kern_dequant(ST_IQ2_XXS, zero, 256, out, &err), ST_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "IQ2_XXS"));
    err = (st_err){0};
    assert_int_equal(kern_dequant(ST_Q4_K, zero, 255, out, &err), ST_EINVAL);
    assert_int_equal(kern_dequant((st_dtype)99, zero, 256, out, NULL), ST_EUNSUPPORTED);
    assert_false(kmat_bytes(ST_IQ1_S, 16, 256, &bytes));
    assert_false(kmat_bytes(ST_Q4_K, 16, 128, &bytes)); /* half a block */
    assert_false(kmat_bytes(ST_Q4_0, 0, 32, &bytes));
    assert_false(kmat_bytes(ST_Q4_0, 16, 0, &bytes));
    assert_int_equal(bytes, 7);
    assert_true(kmat_bytes(ST_Q4_1, 17, 32, &bytes));
    assert_int_equal(bytes, 2 * 16 * 20);
}

/* Random blocks whose scales are sane in every format: quantised values come from any
 * bytes, halves are limited to a small exponent. */
static void fill_blocks(st_rng *rng, st_dtype type, unsigned char *p, size_t n_blocks)
{
    const st_dtype_info *info = st_dtype_get(type);
    for (size_t b = 0; b < n_blocks; b++, p += info->bytes) {
        for (size_t i = 0; i < info->bytes; i++)
            p[i] = (unsigned char)st_rng_u64(rng);
        uint16_t h[2] = {(uint16_t)(0x2000 | (st_rng_u64(rng) & 0x8FFF)),
                         (uint16_t)(0x2000 | (st_rng_u64(rng) & 0x8FFF))};
        float f = (float)st_rng_unit(rng) - 0.5f;
        if (type == ST_F32)
            memcpy(p, &f, 4);
        else if (type == ST_MXFP4)
            p[0] = (unsigned char)(120 + st_rng_below(rng, 8));
        else if (type == ST_Q2_K)
            memcpy(p + 80, h, 4);
        else if (type == ST_Q3_K)
            memcpy(p + 108, h, 2);
        else if (type == ST_Q6_K)
            memcpy(p + 208, h, 2);
        else if (type == ST_BF16)
            memcpy(p, (char *)&f + 2, 2);
        else
            memcpy(p, h, info->bytes < 4 ? 2 : 4);
    }
}

/* W x against a sum in double over dequantised weights and the activations as quantised:
 * only the float accumulation differs. */
static void matmul_means_the_product(void **state)
{
    enum { R = 21, C = 768, N = 3 };
    st_rng rng = {1};
    (void)state;
    for (size_t i = 0; i < ST_COUNT(types); i++) {
        size_t bytes, packed, act;
        st_dtype type = types[i];
        assert_true(st_dtype_size(type, R * C, &bytes));
        assert_true(kmat_bytes(type, R, C, &packed));
        assert_true(kact_bytes(N, C, &act));
        unsigned char *blocks = st_alloc(bytes);
        void *room = st_aligned_n(packed, 1);
        float *w = st_alloc_n(R * C, sizeof *w), *x = st_alloc_n(N * C, sizeof *x);
        float y[N][R];
        fill_blocks(&rng, type, blocks, R * C / st_dtype_get(type)->block);
        assert_int_equal(kern_dequant(type, blocks, R * C, w, NULL), 0);
        for (size_t j = 0; j < N * C; j++)
            x[j] = ((float)st_rng_unit(&rng) - 0.3f) * (float)(j % 7 + 1);
        kact a = {N, C, x, st_aligned_n(act, 1), false};
        kmat m = {type, R, C, room};
        kmat_pack(&m, blocks, room, 0, kmat_panels(&m));
        const kern *k = kern_get(ST_ISA_C);
        k->quant(&a, 0, N);
        k->matmul(&m, &a, 0, 1, y[0], R);
        k->matmul(&m, &a, 1, 2, y[0], R);
        bool rounded = type != ST_F32 && type != ST_F16 && type != ST_BF16;
        for (int t = 0; t < N; t++) {
            for (int r = 0; r < R; r++) {
                double sum = 0, size = 0;
                for (int c = 0; c < C; c++) {
                    float most = 0, v = x[t * C + c];
                    for (int j = c / 32 * 32; j < c / 32 * 32 + 32; j++)
                        most = fmaxf(most, fabsf(x[t * C + j]));
                    double q = (double)(nearbyintf(v * (127 / most)) * (most / 127));
                    sum += (double)w[r * C + c] * (rounded ? q : (double)v);
                    size += fabs((double)w[r * C + c] * (double)v);
                }
                assert_true(fabs(sum - (double)y[t][r]) <= 2e-6 * size);
            }
        }
        int32_t some[4] = {20, 3, 3, 17};
        float z[4];
        k->rows(&m, &a, 1, some, 4, z);
        for (int j = 0; j < 4; j++)
            assert_memory_equal(&z[j], &y[1][some[j]], 4);
        st_free(a.q);
        st_free(x);
        st_free(w);
        st_free(room);
        st_free(blocks);
    }
}

/* Rows with a few large channels, some of them in the same blocks. */
static void fill_outliers(st_rng *rng, float *x, uint32_t n, uint32_t cols)
{
    for (uint32_t i = 0; i < n * cols; i++)
        x[i] = (float)st_rng_unit(rng) - 0.5f;
    for (uint32_t t = 0; t < n; t++) {
        x[t * cols + 37] *= 90.0f;
        x[t * cols + st_rng_below(rng, cols)] *= 60.0f;
    }
}

/* Mean squared distance of `token`'s products from the exact ones. */
static double product_error(const float *w, const float *x, const float *y, uint32_t rows,
                            uint32_t cols)
{
    double error = 0;
    for (uint32_t r = 0; r < rows; r++) {
        double sum = 0;
        for (uint32_t c = 0; c < cols; c++)
            sum += (double)w[r * cols + c] * (double)x[c];
        error += (sum - (double)y[r]) * (sum - (double)y[r]) / rows;
    }
    return error;
}

/* Refined rows come nearer to the exact product; a token gets the same bytes alone and
 * among many, on every ISA. */
static void refining_takes_most_of_the_error(void **state)
{
    enum { R = 40, C = 576, N = 130 };
    st_rng rng = {7};
    size_t bytes, packed, act;
    double plain = 0, fine = 0;
    (void)state;
    assert_true(st_dtype_size(ST_Q4_1, R * C, &bytes));
    assert_true(kmat_bytes(ST_Q4_1, R, C, &packed));
    assert_true(kact_bytes(N, C, &act));
    unsigned char *blocks = st_alloc(bytes);
    void *room = st_aligned_n(packed, 1);
    float *w = st_alloc_n(R * C, 4), *x = st_alloc_n(N * C, 4), *y = st_alloc_n(N * R, 4);
    float *want = st_alloc_n(N * R, 4), one[R];
    kact a = {.n = N, .cols = C, .x = x, .q = st_aligned_n(act, 1)};
    kact b = {.n = 1, .cols = C, .q = st_aligned_n(act, 1), .fine = true};
    kmat m = {ST_Q4_1, R, C, room};
    fill_blocks(&rng, ST_Q4_1, blocks, R * C / 32);
    fill_outliers(&rng, x, N, C);
    assert_int_equal(kern_dequant(ST_Q4_1, blocks, R * C, w, NULL), 0);
    kmat_pack(&m, blocks, room, 0, kmat_panels(&m));
    for (int isa = ST_ISA_C; isa <= ST_ISA_AVX512_VNNI; isa++) {
        const kern *k = kern_get((st_isa)isa);
        if (!k)
            continue;
        a.fine = false;
        k->quant(&a, 0, N);
        k->matmul(&m, &a, 0, kmat_panels(&m), y, R);
        for (uint32_t t = 0; t < N; t++)
            plain += product_error(w, x + t * C, y + t * R, R, C);
        kact_refine(&a, 0, N);
        a.fine = true;
        k->matmul(&m, &a, 0, kmat_panels(&m), y, R);
        for (uint32_t t = 0; t < N; t++) {
            fine += product_error(w, x + t * C, y + t * R, R, C);
            b.x = x + t * C;
            k->quant(&b, 0, 1);
            kact_refine(&b, 0, 1);
            k->matmul(&m, &b, 0, kmat_panels(&m), one, R);
            assert_memory_equal(one, y + t * R, sizeof one);
        }
        if (isa == ST_ISA_C)
            memcpy(want, y, N * R * sizeof *y);
        assert_memory_equal(want, y, N * R * sizeof *y);
    }
    assert_true(fine < 0.1 * plain);
    st_free(a.q);
    st_free(b.q);
    st_free(x);
    st_free(y);
    st_free(w);
    st_free(want);
    st_free(room);
    st_free(blocks);
}

static void quant_marks_bad_values(void **state)
{
    enum { C = 64 };
    ST_ALIGNED(64) unsigned char room[64 * 2 * 2];
    float x[2][C] = {{0}}, y[2][16];
    (void)state;
    kact a = {2, C, x[0], (kqact *)(void *)room, false};
    ST_ALIGNED(64) unsigned char packed[16 * 34 * 2];
    unsigned char q8[16 * 34 * 2];
    memset(q8, 1, sizeof q8);
    kmat m = {ST_Q8_0, 16, C, packed};
    kmat_pack(&m, q8, packed, 0, 1);
    x[0][40] = NAN;
    x[1][3] = 1e-38f; /* below what is kept */
    for (int isa = ST_ISA_C; isa <= ST_ISA_AVX512_VNNI; isa++) {
        const kern *k = kern_get((st_isa)isa);
        if (!k)
            continue;
        k->quant(&a, 0, 2);
        k->matmul(&m, &a, 0, 1, y[0], 16);
        assert_true(isnan(y[0][0]));
        assert_true(y[1][0] == 0);
    }
}

/* A file may hold any bits, infinite and NaN scales too: never a fault, and every ISA
 * agrees on what is a number and which. */
static void any_bits_are_allowed(void **state)
{
    enum { R = 16, C = 512, N = 2 };
    st_rng rng = {11};
    float x[N * C], want[N * R], got[N * R], row[C];
    size_t bytes, packed, act;
    (void)state;
    assert_true(kact_bytes(N, C, &act));
    kact a = {N, C, x, st_aligned_n(act, 1), false};
    for (int j = 0; j < N * C; j++)
        x[j] = (float)st_rng_unit(&rng) - 0.5f;
    for (size_t i = 0; i < ST_COUNT(types) * 4; i++) {
        st_dtype type = types[i / 4];
        assert_true(st_dtype_size(type, R * C, &bytes));
        assert_true(kmat_bytes(type, R, C, &packed));
        unsigned char *blocks = st_alloc(bytes);
        void *room = st_aligned_n(packed, 1);
        for (size_t j = 0; j < bytes; j++)
            blocks[j] = (unsigned char)(i % 4 ? st_rng_u64(&rng) : 0xFF);
        kmat m = {type, R, C, room};
        kmat_pack(&m, blocks, room, 0, 1);
        for (int isa = ST_ISA_C; isa <= ST_ISA_AVX512_VNNI; isa++) {
            const kern *k = kern_get((st_isa)isa);
            if (!k)
                continue;
            k->quant(&a, 0, N);
            k->row(&m, 3, row);
            k->matmul(&m, &a, 0, 1, isa == ST_ISA_C ? want : got, R);
            for (int j = 0; isa != ST_ISA_C && j < N * R; j++)
                assert_true((isnan(want[j]) && isnan(got[j])) || want[j] == got[j]);
        }
        st_free(room);
        st_free(blocks);
    }
    st_free(a.q);
}

static void best_obeys_the_mask(void **state)
{
    const kern *k = NULL;
    st_err err = {0};
    (void)state;
    const char *old = getenv("STINT_CPU");
    char *keep = old ? st_strdup(old) : NULL;
    setenv("STINT_CPU", "c", 1);
    assert_int_equal(kern_best(&k, NULL), 0);
    assert_int_equal(k->isa, ST_ISA_C);
    setenv("STINT_CPU", "mmx", 1);
    assert_int_equal(kern_best(&k, &err), ST_EINVAL);
    unsetenv("STINT_CPU");
    assert_int_equal(kern_best(&k, NULL), 0);
    if (keep)
        setenv("STINT_CPU", keep, 1);
    st_free(keep);
}

/* Packed weights are kept between runs by the number of their layout. */
static void the_layout_has_its_number(void **state)
{
    enum { N_ROWS = 21 }; /* the last panel is not full */
    static const uint64_t sums[] = {[KERN_LAYOUT] = 0x34f6f2ecc569cea8};
    static unsigned char blocks[N_ROWS * COLS * 4];
    uint64_t sum = 0;
    (void)state;
    for (size_t i = 0; i < sizeof blocks; i++)
        blocks[i] = (unsigned char)(i * 167 + i / 256 * 13);
    for (int type = 0; type < 64; type++) {
        size_t bytes;
        kmat m = {.type = (st_dtype)type, .rows = N_ROWS, .cols = COLS};
        if (!kmat_bytes(m.type, N_ROWS, COLS, &bytes))
            continue;
        unsigned char *room = st_aligned_n(bytes, 1);
        assert_non_null(room);
        memset(room, 0, bytes);
        kmat_pack(&m, blocks, room, 0, kmat_panels(&m));
        sum = st_hash64(room, bytes, sum);
        st_free(room);
    }
    assert_int_equal(KERN_LAYOUT, sizeof sums / sizeof *sums - 1);
    if (sum != sums[KERN_LAYOUT])
        fail_msg("kmat_pack() makes other bytes (sum 0x%llx): raise KERN_LAYOUT and put "
                 "the sum here",
                 (unsigned long long)sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layout_has_its_number),
        cmocka_unit_test(formats_match_goldens),
        cmocka_unit_test(unsupported_is_refused),
        cmocka_unit_test(matmul_means_the_product),
        cmocka_unit_test(refining_takes_most_of_the_error),
        cmocka_unit_test(quant_marks_bad_values),
        cmocka_unit_test(any_bits_are_allowed),
        cmocka_unit_test(best_obeys_the_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
