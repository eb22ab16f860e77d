/* tests/test_base.c - errors, buffers, maps, files, number formats, UTF-8, workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/cpu.h"
#include "base/dtype.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "base/workers.h"
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void err_first_wins(void **state)
{
    st_err err = {0};
    (void)state;
    assert_int_equal(st_err_set(&err, ST_EIO, "disk %d", 3), ST_EIO);
    assert_int_equal(st_err_set(&err, ST_ENOMEM, "later"), ST_ENOMEM);
    assert_int_equal(err.code, ST_EIO);
    st_err_at(&err, "a.gguf");
    st_err_at(NULL, "nowhere");
    assert_string_equal(err.message, "a.gguf: disk 3");
    st_err_hint(&err, "buy %s", "another");
    st_err_hint(&err, "ignored");
    assert_string_equal(err.hint, "buy another");
    assert_string_equal(st_code_text(ST_EFORMAT), "malformed file");
    assert_int_equal(st_code_exit(0), 0);
    assert_int_equal(st_err_set(NULL, ST_EIO, "x"), ST_EIO);
}

static void err_long_place_is_kept(void **state)
{
    st_err err = {0};
    char place[600];
    (void)state;
    memset(place, 'p', sizeof place - 1);
    place[sizeof place - 1] = '\0';
    st_err_set(&err, ST_EIO, "message");
    st_err_at(&err, "%s", place);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
}

static void buf_limit_sticks(void **state)
{
    st_buf buf;
    (void)state;
    st_buf_init(&buf, 5);
    assert_int_equal(st_buf_str(&buf, "hello"), 0);
    assert_int_equal(st_buf_char(&buf, '!'), ST_ELIMIT);
    assert_int_equal(st_buf_add(&buf, "", 0), ST_ELIMIT);
    assert_string_equal(buf.data, "hello");
    st_buf_reset(&buf);
    assert_int_equal(st_buf_fmt(&buf, "%04d", 7), 0);
    size_t len;
    char *s = st_buf_detach(&buf, &len);
    assert_string_equal(s, "0007");
    assert_int_equal(len, 4);
    st_free(s);
    s = st_buf_detach(&buf, &len); /* empty */
    assert_string_equal(s, "");
    st_free(s);
    st_buf_done(&buf);
}

static void map_many_keys(void **state)
{
    enum { N = 5000 };
    static char keys[N][8];
    st_map map;
    uint32_t value;
    bool fresh;
    (void)state;
    st_map_init(&map);
    assert_false(st_map_get(&map, "a", 1, &value));
    for (int i = 0; i < N; i++) {
        int n = snprintf(keys[i], sizeof keys[i], "k%d", i);
        assert_int_equal(st_map_put(&map, keys[i], (size_t)n, (uint32_t)i, &fresh), 0);
        assert_true(fresh);
    }
    assert_int_equal(st_map_put(&map, "k17", 3, 99, &fresh), 0);
    assert_false(fresh);
    for (int i = 0; i < N; i++) {
        assert_true(st_map_get(&map, keys[i], strlen(keys[i]), &value));
        assert_int_equal(value, i);
    }
    assert_false(st_map_get(&map, "k5000", 5, &value));
    assert_int_equal(st_map_put(&map, "", 0, 1, &fresh), 0); /* the empty key is a key */
    assert_true(st_map_get(&map, "x", 0, &value));
    st_map_done(&map);
}

static void file_round_trip(void **state)
{
    st_err err = {0};
    char folder[] = "/tmp/stint-test-XXXXXX";
    char path[64];
    char *data;
    size_t len;
    st_file_map map;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/f", folder);
    assert_int_equal(st_file_write(path, "one\0two", 7, &err), 0);
    assert_int_equal(st_file_read(path, 7, &data, &len, &err), 0);
    assert_int_equal(len, 7);
    assert_memory_equal(data, "one\0two", 8);
    st_free(data);
    assert_int_equal(st_file_read(path, 6, &data, &len, &err), ST_ELIMIT);
    err.code = 0;
    assert_int_equal(st_file_map_open(path, &map, &err), 0);
    assert_int_equal(map.len, 7);
    st_file_map_close(&map);
    st_file_map_close(&map);
    assert_int_equal(st_file_write(path, "", 0, &err), 0);
    assert_int_equal(st_file_map_open(path, &map, &err), 0);
    assert_null(map.data);
    assert_int_equal(st_file_read(path, 0, &data, &len, &err), 0);
    assert_int_equal(len, 0);
    st_free(data);
    assert_int_equal(st_file_map_open(folder, &map, &err), ST_EINVAL);
    err.code = 0;
    unlink(path);
    assert_int_equal(st_file_map_open(path, &map, &err), ST_ENOTFOUND);
    assert_int_equal(st_file_write("/no/such/folder/f", "x", 1, NULL), ST_EIO);
    rmdir(folder);
    char *beside = st_path_beside("a/b/task.yaml", "m.gguf");
    assert_string_equal(beside, "a/b/m.gguf");
    st_free(beside);
    beside = st_path_beside("task.yaml", "/abs");
    assert_string_equal(beside, "/abs");
    st_free(beside);
}

static void f16_every_value(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = st_f16_to_f32((uint16_t)h);
        if (isnan(f))
            assert_true((st_f32_to_f16(f) & 0x7C00) == 0x7C00);
        else
            assert_int_equal(st_f32_to_f16(f), h);
    }
    assert_int_equal(st_f32_to_f16(65519.0f), 0x7BFF); /* below half way to 65536 */
    assert_int_equal(st_f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(st_f32_to_f16(0x1p-25f), 0); /* a tie goes to even */
    assert_int_equal(st_f32_to_f16(0x1.8p-25f), 1);
    assert_int_equal(st_f32_to_f16(1.0f + 0x1p-11f), 0x3C00);
    assert_int_equal(st_f32_to_f16(1.0f + 0x1.8p-10f), 0x3C02);
}

static void dtype_sizes(void **state)
{
    size_t bytes;
    (void)state;
    assert_true(st_dtype_size(ST_Q4_K, 512, &bytes));
    assert_int_equal(bytes, 288);
    assert_false(st_dtype_size(ST_Q4_K, 100, &bytes));
    assert_false(st_dtype_size(ST_F32, UINT64_MAX / 2, &bytes));
    assert_false(st_dtype_size((st_dtype)4, 32, &bytes)); /* Q4_2 was removed */
    assert_int_equal(st_dtype_by_name("MXFP4")->id, 39);
    assert_null(st_dtype_by_name("Q9_9"));
}

static void utf8_edges(void **state)
{
    size_t n;
    char bytes[4];
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        size_t len = st_utf8_encode(c, bytes);
        uint32_t back = st_utf8_decode(bytes, len, &n);
        if (c >= 0xD800 && c <= 0xDFFF)
            assert_int_equal(back, ST_UTF8_BAD);
        else
            assert_true(back == c && n == len);
    }
    const char *bad[] = {"\xC0\x80", "\xE0\x80\x80", "\xF5\x80\x80\x80", "\x80",
                         "\xE2\x82"};
    for (size_t i = 0; i < ST_COUNT(bad); i++) {
        assert_int_equal(st_utf8_decode(bad[i], strlen(bad[i]), &n), ST_UTF8_BAD);
        assert_int_equal(n, 1);
    }
    size_t at;
    assert_false(st_utf8_valid("ab\xFFz", 4, &at));
    assert_int_equal(at, 2);
}

static void sha_known_answer(void **state)
{
    char hex[ST_DIGEST_TEXT];
    (void)state;
    st_sha_of("abc", 3, hex); /* FIPS 180-4 example */
    assert_string_equal(
        hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

typedef struct tally {
    _Atomic uint32_t seen[1000];
    _Atomic uint32_t bad_worker;
    unsigned n_workers;
} tally;

static void count_chunk(void *arg, uint32_t chunk, uint32_t worker)
{
    tally *t = arg;
    if (worker >= t->n_workers)
        atomic_fetch_add(&t->bad_worker, 1);
    atomic_fetch_add(&t->seen[chunk], 1);
}

static void workers_each_chunk_once(void **state)
{
    static tally t;
    workers *w;
    (void)state;
    assert_int_equal(workers_new(4, &w, NULL), 0);
    t.n_workers = workers_count(w);
    for (uint32_t round = 0; round < 3000; round++) {
        uint32_t n = round % 40;
        workers_run(w, n, count_chunk, &t);
        for (uint32_t i = 0; i < n; i++)
            assert_int_equal(atomic_exchange(&t.seen[i], 0), 1);
        assert_int_equal(t.seen[n], 0);
        if (round % 500 == 0)
            nanosleep(&(struct timespec){0, 2000000},
                      NULL); /* let the threads fall asleep */
    }
    assert_int_equal(t.bad_worker, 0);
    workers_free(w);
    workers_free(NULL);
}

static void cpu_mask(void **state)
{
    st_isa isa;
    (void)state;
    const char *old = getenv("STINT_CPU");
    char *keep = old ? st_strdup(old) : NULL;
    setenv("STINT_CPU", "c", 1);
    assert_int_equal(st_cpu_isa(&isa, NULL), 0);
    assert_int_equal(isa, ST_ISA_C);
    setenv("STINT_CPU", "sse9", 1);
    assert_int_equal(st_cpu_isa(&isa, NULL), ST_EINVAL);
    unsetenv("STINT_CPU");
    assert_int_equal(st_cpu_isa(&isa, NULL), 0);
    assert_int_equal(isa, st_cpu_isa_best());
    assert_true(st_cpu_count() >= 1);
    if (keep)
        setenv("STINT_CPU", keep, 1);
    st_free(keep);
}

static void rng_below_is_uniform(void **state)
{
    st_rng rng = {7};
    uint32_t counts[6] = {0};
    (void)state;
    for (int i = 0; i < 60000; i++)
        counts[st_rng_below(&rng, 6)]++;
    for (int i = 0; i < 6; i++)
        assert_in_range(counts[i], 9600, 10400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_first_wins),   cmocka_unit_test(err_long_place_is_kept),
        cmocka_unit_test(buf_limit_sticks), cmocka_unit_test(map_many_keys),
        cmocka_unit_test(file_round_trip),  cmocka_unit_test(f16_every_value),
        cmocka_unit_test(dtype_sizes),      cmocka_unit_test(utf8_edges),
        cmocka_unit_test(sha_known_answer), cmocka_unit_test(workers_each_chunk_once),
        cmocka_unit_test(cpu_mask),         cmocka_unit_test(rng_below_is_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
