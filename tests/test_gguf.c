/* tests/test_gguf.c - GGUF files: round trips, every way of being wrong, real files.
 *
 * The hostile files are named after the public reports about other readers that they
 * repeat. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "gguf/gguf.h"
#include "tests/fault.h"
#include "tests/gguf_bytes.h"
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Open a copy of the bytes in a block of exactly their size, so that the sanitizer sees
 * one byte too far, look at everything, close. */
static int open_copy(const void *data, size_t len, st_err *err)
{
    gguf *g = NULL;
    void *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    if (len)
        memcpy(copy, data, len);
    memset(err, 0, sizeof *err);
    int rc = gguf_open_bytes(copy, len, &g, err);
    unsigned sum = 0;
    for (size_t i = 0; !rc && i < gguf_n_keys(g); i++) {
        const char *name = gguf_key_at(g, i)->name;
        gguf_str *strings;
        int32_t *ints;
        float *floats;
        size_t n;
        assert_ptr_equal(gguf_find(g, name), gguf_key_at(g, i));
        if (!gguf_strings(g, name, &strings, &n, NULL)) {
            for (size_t j = 0; j < n; j++)
                sum += strings[j].len ? (unsigned char)strings[j].data[0] : 0;
            st_free(strings);
        }
        if (!gguf_i32s(g, name, &ints, &n, NULL))
            st_free(ints);
        if (!gguf_f32s(g, name, &floats, &n, NULL))
            st_free(floats);
    }
    for (size_t i = 0; !rc && i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        const unsigned char *bytes = t->data;
        sum += bytes[0] + bytes[t->bytes - 1];
    }
    if (sum == 0xFFFFFFFF) /* the sum is used, so the reads happen */
        puts("");
    if (rc)
        assert_int_equal(err->code, rc);
    gguf_close(g);
    free(copy);
    return rc;
}

static void refused(st_buf *b, int code, const char *part)
{
    st_err err;
    assert_int_equal(b->code, 0);
    int rc = open_copy(b->data, b->len, &err);
    if (rc != code || !strstr(err.message, part))
        fail_msg("code %d, message '%s', expected '%s'", rc, err.message, part);
    assert_int_equal(strncmp(err.message, "bytes: ", 7), 0);
    st_buf_done(b);
}

static const float weights[6] = {1, 2, 3, 4, 5, 6};
static const uint8_t blocks[68] = {1, 2, 3};

/* A small file with a key of every kind and two tensors. */
static void write_sample(const char *path)
{
    st_err err = {0};
    gguf_writer *w;
    const int32_t ints[] = {-1, 0, 2147483647};
    const float floats[] = {0.5f, -2};
    const gguf_str strings[] = {{"a", 1}, {"", 0}, {"b\0c", 3}};
    assert_int_equal(gguf_writer_new(&w, &err), 0);
    assert_int_equal(gguf_put_string(w, "general.architecture", "toy", 3, &err), 0);
    assert_int_equal(gguf_put_u32(w, "toy.n", 7, &err), 0);
    assert_int_equal(gguf_put_f32(w, "toy.eps", 1e-5f, &err), 0);
    assert_int_equal(gguf_put_bool(w, "toy.flag", true, &err), 0);
    assert_int_equal(gguf_put_strings(w, "toy.words", strings, 3, &err), 0);
    assert_int_equal(gguf_put_i32s(w, "toy.ints", ints, 3, &err), 0);
    assert_int_equal(gguf_put_f32s(w, "toy.floats", floats, 2, &err), 0);
    assert_int_equal(gguf_put_i32s(w, "toy.none", ints, 0, &err), 0);
    assert_int_equal(
        gguf_put_tensor(w, "a", ST_F32, (uint64_t[]){3, 2}, 2, weights, &err), 0);
    assert_int_equal(
        gguf_put_tensor(w, "b", ST_Q8_0, (uint64_t[]){32, 2}, 2, blocks, &err), 0);
    assert_int_equal(gguf_write(w, path, &err), 0);
    gguf_writer_free(w);
}

static void sample_bytes(char **ret, size_t *ret_len)
{
    char path[] = "/tmp/stint-gguf-XXXXXX";
    close(mkstemp(path));
    write_sample(path);
    assert_int_equal(st_file_read(path, 1 << 20, ret, ret_len, NULL), 0);
    unlink(path);
}

static void round_trip_values(const gguf *g)
{
    st_err err = {0};
    uint32_t u;
    float f;
    bool flag;
    gguf_str s, *strings;
    int32_t *ints;
    float *floats;
    size_t n;
    assert_int_equal(gguf_u32(g, "toy.n", &u, &err), 0);
    assert_int_equal(u, 7);
    assert_int_equal(gguf_u32_or(g, "toy.no", 9, &u, &err), 0);
    assert_int_equal(u, 9);
    assert_int_equal(gguf_f32_or(g, "toy.eps", 0, &f, &err), 0);
    assert_true(f == 1e-5f);
    assert_int_equal(gguf_bool_or(g, "toy.flag", false, &flag, &err), 0);
    assert_true(flag);
    assert_int_equal(gguf_string(g, "general.architecture", &s, &err), 0);
    assert_int_equal(s.len, 3);
    assert_memory_equal(s.data, "toy", 3);
    assert_int_equal(gguf_strings(g, "toy.words", &strings, &n, &err), 0);
    assert_int_equal(n, 3);
    assert_int_equal(strings[1].len, 0);
    assert_memory_equal(strings[2].data, "b\0c", 3);
    st_free(strings);
    assert_int_equal(gguf_i32s(g, "toy.ints", &ints, &n, &err), 0);
    assert_int_equal(n, 3);
    assert_int_equal(ints[0], -1);
    assert_int_equal(ints[2], INT32_MAX);
    st_free(ints);
    assert_int_equal(gguf_f32s(g, "toy.floats", &floats, &n, &err), 0);
    assert_int_equal(n, 2);
    assert_true(floats[1] == -2);
    st_free(floats);
    assert_int_equal(gguf_i32s(g, "toy.none", &ints, &n, &err), 0);
    assert_int_equal(n, 0);
    st_free(ints);
    assert_int_equal(gguf_strings(g, "general.architecture", &strings, &n, &err), 0);
    assert_int_equal(n, 1);
    st_free(strings);
}

static void round_trip(void **state)
{
    st_err err = {0};
    gguf *g;
    const char *digest, *again;
    char path[] = "/tmp/stint-gguf-XXXXXX";
    (void)state;
    close(mkstemp(path));
    write_sample(path);
    assert_int_equal(gguf_open(path, &g, &err), 0);
    assert_string_equal(gguf_path(g), path);
    assert_int_equal(gguf_version(g), 3);
    assert_int_equal(gguf_n_keys(g), 8);
    assert_int_equal(gguf_n_tensors(g), 2);
    round_trip_values(g);
    const gguf_tensor *a = gguf_find_tensor(g, "a");
    const gguf_tensor *b = gguf_find_tensor(g, "b");
    assert_null(gguf_find_tensor(g, "c"));
    assert_int_equal(a->n_dims, 2);
    assert_int_equal(a->dims[0], 3);
    assert_int_equal(a->dims[1], 2);
    assert_int_equal(a->dims[3], 1);
    assert_int_equal(a->n, 6);
    assert_int_equal(a->bytes, sizeof weights);
    assert_memory_equal(a->data, weights, sizeof weights);
    assert_int_equal((uintptr_t)a->data % 32, 0);
    assert_int_equal(b->type, ST_Q8_0);
    assert_memory_equal(b->data, blocks, sizeof blocks);
    assert_int_equal(gguf_digest(g, &digest, &err), 0);
    assert_int_equal(strlen(digest), 64);
    assert_int_equal(gguf_digest(g, &again, &err), 0);
    assert_ptr_equal(digest, again);
    gguf_close(g);
    unlink(path);
    gguf_close(NULL);
    gguf_writer_free(NULL);
    assert_int_equal(gguf_open(path, &g, &err), ST_ENOTFOUND);
}

static void wrong_types_are_named(void **state)
{
    st_err err = {0};
    char *data;
    size_t len, n;
    gguf *g;
    uint32_t u = 77;
    float f;
    bool flag;
    gguf_str s, *strings;
    int32_t *ints;
    float *floats;
    (void)state;
    sample_bytes(&data, &len);
    assert_int_equal(gguf_open_bytes(data, len, &g, &err), 0);
#define WRONG(call, want, part)                                                          \
    assert_int_equal(call, want);                                                        \
    assert_non_null(strstr(err.message, part));                                          \
    err.code = 0
    WRONG(gguf_u32(g, "toy.no", &u, &err), ST_ENOTFOUND, "'toy.no' is missing");
    WRONG(gguf_u32(g, "toy.words", &u, &err), ST_EFORMAT, "'toy.words': array of string");
    WRONG(gguf_u32(g, "toy.ints", &u, &err), ST_EFORMAT, "array of i32");
    WRONG(gguf_u32_or(g, "toy.eps", 1, &u, &err), ST_EFORMAT, "'toy.eps': f32");
    WRONG(gguf_f32_or(g, "toy.n", 1, &f, &err), ST_EFORMAT, "'toy.n'");
    WRONG(gguf_bool_or(g, "toy.n", 1, &flag, &err), ST_EFORMAT, "'toy.n'");
    WRONG(gguf_string(g, "toy.words", &s, &err), ST_EFORMAT, "'toy.words'");
    /* llama.cpp #26690: an array read as another type */
    WRONG(gguf_strings(g, "toy.ints", &strings, &n, &err), ST_EFORMAT,
          "expected strings");
    WRONG(gguf_i32s(g, "toy.words", &ints, &n, &err), ST_EFORMAT, "expected integers");
    WRONG(gguf_i32s(g, "toy.flag", &ints, &n, &err), ST_EFORMAT, "expected integers");
    WRONG(gguf_f32s(g, "toy.ints", &floats, &n, &err), ST_EFORMAT, "expected floating");
    assert_int_equal(u, 77); /* outputs are untouched */
    gguf_close(g);
    st_free(data);
}

static void put_scalar(st_buf *b, const char *key, gguf_type type, const void *v,
                       size_t n)
{
    put_str(b, key);
    put_u32(b, type);
    st_buf_add(b, v, n);
}

static void integers_of_every_width(void **state)
{
    static const struct {
        gguf_type type;
        uint64_t bits;
        size_t bytes;
        int code; /* of gguf_u32 */
        uint32_t value;
        int code_i32;
        int32_t value_i32;
    } rows[] = {
        {GGUF_U8, 200, 1, 0, 200, 0, 200},
        {GGUF_I8, 0xFF, 1, ST_EFORMAT, 0, 0, -1},
        {GGUF_U16, 65535, 2, 0, 65535, 0, 65535},
        {GGUF_I16, 0x8000, 2, ST_EFORMAT, 0, 0, -32768},
        {GGUF_U32, 0xFFFFFFFF, 4, 0, 0xFFFFFFFF, ST_EFORMAT, 0},
        {GGUF_I32, 0x80000000, 4, ST_EFORMAT, 0, 0, INT32_MIN},
        {GGUF_U64, 0x100000000, 8, ST_EFORMAT, 0, ST_EFORMAT, 0},
        {GGUF_U64, 0x7FFFFFFF, 8, 0, 0x7FFFFFFF, 0, INT32_MAX},
        {GGUF_I64, 0xFFFFFFFF80000000, 8, ST_EFORMAT, 0, 0, INT32_MIN},
        {GGUF_I64, 0xFFFFFFFF7FFFFFFF, 8, ST_EFORMAT, 0, ST_EFORMAT, 0},
        {GGUF_I64, 5, 8, 0, 5, 0, 5},
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        st_buf b;
        gguf *g;
        uint32_t u = 0;
        int32_t *ints;
        size_t n;
        put_header(&b, 3, 0, 1);
        put_scalar(&b, "k", rows[i].type, &rows[i].bits, rows[i].bytes);
        assert_int_equal(gguf_open_bytes(b.data, b.len, &g, NULL), 0);
        assert_int_equal(gguf_u32(g, "k", &u, NULL), rows[i].code);
        assert_int_equal(u, rows[i].value);
        assert_int_equal(gguf_i32s(g, "k", &ints, &n, NULL), rows[i].code_i32);
        if (!rows[i].code_i32) {
            assert_int_equal(n, 1);
            assert_int_equal(ints[0], rows[i].value_i32);
            st_free(ints);
        }
        gguf_close(g);
        st_buf_done(&b);
    }
}

static void doubles_and_infinities(void **state)
{
    static const double huge = 1e300, half = 0.5;
    static const float infinite = (float)1e300;
    st_buf b;
    gguf *g;
    float f = 9;
    (void)state;
    put_header(&b, 2, 0, 3);
    put_scalar(&b, "huge", GGUF_F64, &huge, 8);
    put_scalar(&b, "half", GGUF_F64, &half, 8);
    put_scalar(&b, "infinite", GGUF_F32, &infinite, 4);
    assert_int_equal(gguf_open_bytes(b.data, b.len, &g, NULL), 0);
    assert_int_equal(gguf_version(g), 2);
    assert_int_equal(gguf_f32_or(g, "huge", 1, &f, NULL), ST_EFORMAT);
    assert_int_equal(gguf_f32_or(g, "infinite", 1, &f, NULL), ST_EFORMAT);
    assert_true(f == 9);
    assert_int_equal(gguf_f32_or(g, "half", 1, &f, NULL), 0);
    assert_true(f == 0.5f);
    gguf_close(g);
    st_buf_done(&b);
}

static void versions(void **state)
{
    static const struct {
        uint32_t version;
        int code;
        const char *part;
    } rows[] = {
        {0, ST_EFORMAT, "version 0"},
        {1, ST_EUNSUPPORTED, "version 1 is not supported"},
        {4, ST_EUNSUPPORTED, "version 4 is newer"},
        {0x03000000, ST_EUNSUPPORTED, "big-endian GGUF (version 3)"},
        {0x02000000, ST_EUNSUPPORTED, "big-endian"},
        {0x00030000, ST_EUNSUPPORTED, "not supported"},
        {0xFFFFFFFF, ST_EUNSUPPORTED, "newer"},
    };
    st_buf b;
    st_err err;
    (void)state;
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        put_header(&b, rows[i].version, 0, 0);
        refused(&b, rows[i].code, rows[i].part);
    }
    for (uint32_t v = 2; v <= 3; v++) {
        put_header(&b, v, 0, 0);
        assert_int_equal(open_copy(b.data, b.len, &err), 0);
        st_buf_done(&b);
    }
    assert_int_equal(open_copy("", 0, &err), ST_EFORMAT);
    assert_int_equal(open_copy("GGUFgguf", 3, &err), ST_EFORMAT);
    assert_int_equal(open_copy("ggufGGUF", 8, &err), ST_EFORMAT);
}

static void hostile_counts(void **state)
{
    static const uint64_t many[] = {1,          1000,       1ull << 32,
                                    1ull << 61, 1ull << 63, UINT64_MAX};
    st_buf b;
    (void)state;
    for (size_t i = 0; i < ST_COUNT(many); i++) {
        put_header(&b, 3, 0,
                   many[i]); /* CVE-2024-23605 and -21836: counts times a size */
        refused(&b, ST_EFORMAT, "keys do not fit");
        put_header(&b, 3, many[i], 0);
        refused(&b, ST_EFORMAT, "tensors do not fit");
    }
    put_header(&b, 3, 0, 65537); /* really there, and one too many */
    for (int i = 0; i < 65537; i++) {
        put_u64(&b, 1);
        st_buf_add(&b, "k\0\0\0\0\0", 6);
    }
    refused(&b, ST_ELIMIT, "65537 keys, more than 65536");
    static const gguf_type elems[] = {GGUF_U8, GGUF_U32, GGUF_F64, GGUF_STRING};
    for (size_t i = 0; i < ST_COUNT(many); i++) {
        for (size_t j = 0; j < ST_COUNT(elems); j++) {
            put_header(&b, 3, 0, 1); /* CVE-2024-21825: n of an array */
            put_array(&b, "k", elems[j], many[i]);
            refused(&b, ST_EFORMAT, "key 'k'");
        }
    }
    put_header(&b, 3, 0, 1);
    put_array(&b, "k", GGUF_STRING, 2);
    put_str(&b, "one");
    put_u64(&b, UINT64_MAX);
    refused(&b, ST_EFORMAT, "key 'k': string 1");
}

static void hostile_strings(void **state)
{
    static const uint64_t lengths[] = {100, 1ull << 63, UINT64_MAX - 7, UINT64_MAX};
    st_buf b;
    (void)state;
    for (size_t i = 0; i < ST_COUNT(lengths); i++) {
        put_header(&b, 3, 0, 1); /* CVE-2024-23496: length plus one wraps */
        put_u64(&b, lengths[i]);
        put_zeros(&b, 40);
        refused(&b, ST_EFORMAT, "key 0: its name runs beyond");
        put_header(&b, 3, 0, 1);
        put_str(&b, "k");
        put_u32(&b, GGUF_STRING);
        put_u64(&b, lengths[i]);
        put_zeros(&b, 40);
        refused(&b, ST_EFORMAT, "key 'k': string 0");
    }
    put_header(&b, 3, 0, 1);
    put_str(&b, "");
    put_zeros(&b, 40);
    refused(&b, ST_EFORMAT, "a name of 0 bytes");
    put_header(&b, 3, 0, 1);
    put_u64(&b, 3);
    put_zeros(&b, 40);
    refused(&b, ST_EFORMAT, "not text");
    put_header(&b, 3, 0, 1);
    put_str(&b, "\xC0\x80");
    put_zeros(&b, 40);
    refused(&b, ST_EFORMAT, "not text");
}

static void hostile_values(void **state)
{
    st_buf b;
    (void)state;
    put_header(&b, 3, 0, 1);
    put_array(&b, "nested", GGUF_ARRAY, 1);
    put_zeros(&b, 40);
    refused(&b, ST_EUNSUPPORTED, "key 'nested': an array of arrays");
    put_header(&b, 3, 0, 1);
    put_array(&b, "k", (gguf_type)13, 1);
    put_zeros(&b, 40);
    refused(&b, ST_EFORMAT, "value type 13");
    put_header(&b, 3, 0, 1);
    put_str(&b, "k");
    put_u32(&b, 0xFFFFFFFF);
    put_zeros(&b, 40);
    refused(&b, ST_EFORMAT, "value type 4294967295");
    put_header(&b, 3, 0, 1);
    put_scalar(&b, "k", GGUF_BOOL, "\2", 1);
    refused(&b, ST_EFORMAT, "key 'k': a truth value");
    put_header(&b, 3, 0, 1);
    put_array(&b, "k", GGUF_BOOL, 3);
    st_buf_add(&b, "\0\1\3", 3);
    refused(&b, ST_EFORMAT, "key 'k': a truth value");
    put_header(&b, 3, 0, 2);
    put_scalar(&b, "k", GGUF_U8, "\1", 1);
    put_scalar(&b, "k", GGUF_U8, "\1", 1);
    refused(&b, ST_EFORMAT, "key 'k': written twice");
}

static void hostile_alignment(void **state)
{
    static const uint32_t wrong[] = {0, 1, 4, 24, 33, 131072, 0x80000000, 0xFFFFFFFF};
    st_buf b;
    (void)state;
    for (size_t i = 0; i < ST_COUNT(wrong); i++) { /* llama.cpp #24997 */
        put_header(&b, 3, 0, 1);
        put_scalar(&b, "general.alignment", GGUF_U32, &wrong[i], 4);
        refused(&b, ST_EFORMAT, "general.alignment");
    }
    put_header(&b, 3, 0, 1);
    put_array(&b, "general.alignment", GGUF_U32, 1);
    put_u32(&b, 32);
    refused(&b, ST_EFORMAT, "general.alignment");
}

static void hostile_shapes(void **state)
{
    static const struct {
        uint32_t n_dims;
        uint64_t dims[4];
        uint32_t type;
        int code;
        const char *part;
    } rows[] = {
        {0, {1, 1, 1, 1}, 0, ST_EFORMAT, "0 dimensions"},
        {5, {1, 1, 1, 1}, 0, ST_EFORMAT, "5 dimensions"}, /* CVE-2024-21802 */
        {0xFFFFFFFF, {1, 1, 1, 1}, 0, ST_EFORMAT, "dimensions"},
        {2, {4, 0, 1, 1}, 0, ST_EFORMAT, "dimension 1 is zero"},
        {4, {1ull << 32, 1ull << 32, 1, 1}, 0, ST_EFORMAT, "beyond 2^63"},
        {2, {1ull << 32, 1ull << 31, 1, 1}, 0, ST_EFORMAT, "beyond 2^63"},
        {1, {UINT64_MAX, 1, 1, 1}, 0, ST_EFORMAT, "beyond 2^63"},
        {1, {1ull << 62, 1, 1, 1}, 0, ST_EFORMAT, "2^64 bytes"}, /* CVE-2026-33298 */
        {1, {1ull << 62, 1, 1, 1}, 8, ST_EFORMAT, "beyond the end"},
        {1, {1ull << 40, 1, 1, 1}, 0, ST_EFORMAT, "beyond the end"}, /* CVE-2026-7482 */
        {2, {16, 32, 1, 1}, 12, ST_EFORMAT, "whole number of Q4_K"},
        {1, {4, 1, 1, 1}, 4, ST_EUNSUPPORTED, "number format 4"},
        {1, {4, 1, 1, 1}, 0xFFFFFFFF, ST_EUNSUPPORTED, "number format"},
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        st_buf b;
        put_header(&b, 3, 1, 0);
        put_str(&b, "t");
        put_u32(&b, rows[i].n_dims);
        for (uint32_t j = 0; j < 4 && j < rows[i].n_dims; j++)
            put_u64(&b, rows[i].dims[j]);
        put_u32(&b, rows[i].type);
        put_u64(&b, 0);
        put_zeros(&b, 256);
        refused(&b, rows[i].code, rows[i].part);
    }
}

static void hostile_places(void **state)
{
    static const struct {
        uint64_t first,
            second;       /* offsets of two tensors of 64 bytes; 256 bytes of data */
        const char *part; /* NULL: fine */
    } rows[] = {
        {0, 64, NULL},
        {64, 0, NULL},
        {192, 64, NULL},
        {0, 0, "overlaps"},
        {0, 32, "overlaps"},
        {64, 32, "overlaps"},
        {0, 68, "not a multiple of 32"},
        {0, 224, "beyond the end"},
        {0, 256, "beyond the end"},
        {0, 1ull << 63, "beyond the end"},      /* CVE-2025-53630: sums that wrap */
        {0, UINT64_MAX - 31, "beyond the end"}, /* CVE-2026-27940 */
        {UINT64_MAX - 63, 0, "beyond the end"}, /* back into the header */
    };
    st_buf b;
    st_err err;
    (void)state;
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        put_header(&b, 3, 2, 0);
        put_tensor1(&b, "x", 16, ST_F32, rows[i].first);
        put_tensor1(&b, "y", 16, ST_F32, rows[i].second);
        put_padding(&b, 32);
        put_zeros(&b, 256);
        if (rows[i].part) {
            refused(&b, ST_EFORMAT, rows[i].part);
        } else {
            assert_int_equal(open_copy(b.data, b.len, &err), 0);
            st_buf_done(&b);
        }
    }
    put_header(&b, 3, 2, 0);
    put_tensor1(&b, "x", 4, ST_F32, 0);
    put_tensor1(&b, "x", 4, ST_F32, 32);
    put_zeros(&b, 256);
    refused(&b, ST_EFORMAT, "tensor 'x': described twice");
    put_header(&b, 3, 1, 0);
    put_u64(&b, 65);
    put_zeros(&b, 256);
    refused(&b, ST_EFORMAT, "a name of 65 bytes");
}

static void every_truncation_is_refused(void **state)
{
    char *data;
    size_t len;
    st_err err;
    (void)state;
    sample_bytes(&data, &len);
    assert_int_equal(open_copy(data, len, &err), 0);
    for (size_t cut = 0; cut < len; cut++) {
        size_t padding = (32 - sizeof blocks % 32) % 32; /* behind the last tensor */
        int rc = open_copy(data, cut, &err);
        assert_int_equal(rc, cut + padding < len ? ST_EFORMAT : 0);
    }
    st_free(data);
}

static void every_changed_byte_is_survived(void **state)
{
    static const unsigned char changes[] = {0x01, 0x80, 0xFF, 0x7F, 0x20};
    char *data;
    size_t len;
    st_err err;
    int n_refused = 0;
    (void)state;
    sample_bytes(&data, &len);
    for (size_t i = 0; i < len; i++) {
        for (size_t j = 0; j < ST_COUNT(changes); j++) {
            data[i] = (char)(data[i] ^ changes[j]);
            n_refused += open_copy(data, len, &err) != 0;
            data[i] = (char)(data[i] ^ changes[j]);
        }
    }
    assert_true(n_refused > 100);
    assert_int_equal(open_copy(data, len, &err), 0);
    st_free(data);
}

static void writer_refuses(void **state)
{
    st_err err = {0};
    gguf_writer *w;
    const uint64_t dims[] = {32, 2, 1, 1, 1};
    (void)state;
    assert_int_equal(gguf_writer_new(&w, &err), 0);
    assert_int_equal(gguf_put_u32(w, "a", 1, &err), 0);
    assert_int_equal(gguf_put_u32(w, "a", 2, &err), ST_EINVAL);
    assert_non_null(strstr(err.message, "'a'"));
    assert_int_equal(gguf_put_u32(w, "", 2, NULL), ST_EINVAL);
    assert_int_equal(gguf_put_u32(w, "\xFF", 2, NULL), ST_EINVAL);
    assert_int_equal(gguf_put_tensor(w, "t", ST_Q8_0, dims, 2, blocks, NULL), 0);
    assert_int_equal(gguf_put_tensor(w, "t", ST_Q8_0, dims, 2, blocks, NULL), ST_EINVAL);
    assert_int_equal(gguf_put_tensor(w, "u", ST_Q4_K, dims, 2, blocks, NULL), ST_EINVAL);
    assert_int_equal(gguf_put_tensor(w, "v", ST_F32, dims, 0, blocks, NULL), ST_EINVAL);
    assert_int_equal(gguf_put_tensor(w, "v", ST_F32, dims, 5, blocks, NULL), ST_EINVAL);
    assert_int_equal(gguf_put_tensor(w, "v", (st_dtype)5, dims, 2, blocks, NULL),
                     ST_EINVAL);
    assert_int_equal(
        gguf_put_tensor(w, "v", ST_F32, (uint64_t[]){1ull << 62}, 1, blocks, NULL),
        ST_EINVAL);
    memset(&err, 0, sizeof err);
    assert_int_equal(gguf_write(w, "/no/such/folder/x.gguf", &err), ST_EIO);
    gguf_writer_free(w);
}

typedef struct sample {
    char *data;
    size_t len;
} sample;

static int open_and_read(void *arg)
{
    sample *s = arg;
    gguf *g;
    gguf_str *strings;
    int32_t *ints;
    float *floats;
    size_t n;
    int rc = gguf_open_bytes(s->data, s->len, &g, NULL);
    if (rc)
        return rc;
    rc = gguf_strings(g, "toy.words", &strings, &n, NULL);
    if (!rc) {
        st_free(strings);
        rc = gguf_i32s(g, "toy.ints", &ints, &n, NULL);
    }
    if (!rc) {
        st_free(ints);
        rc = gguf_f32s(g, "toy.floats", &floats, &n, NULL);
    }
    if (!rc)
        st_free(floats);
    gguf_close(g);
    return rc;
}

static int build_and_write(void *arg)
{
    gguf_writer *w;
    char name[16];
    int rc = gguf_writer_new(&w, NULL);
    if (rc)
        return rc;
    for (int i = 0; i < 40 && !rc; i++) { /* enough for every array to grow */
        snprintf(name, sizeof name, "n%d", i);
        rc = gguf_put_string(w, name, "some text", 9, NULL);
        if (!rc)
            rc = gguf_put_tensor(w, name, ST_F32, (uint64_t[]){3, 2}, 2, weights, NULL);
    }
    if (!rc)
        rc = gguf_write(w, arg, NULL);
    gguf_writer_free(w);
    return rc;
}

static void every_allocation_fails_once(void **state)
{
    char path[] = "/tmp/stint-gguf-XXXXXX";
    sample s;
    (void)state;
    sample_bytes(&s.data, &s.len);
    assert_true(fault_sweep(open_and_read, &s, 1) > 20);
    st_free(s.data);
    close(mkstemp(path));
    assert_true(fault_sweep(build_and_write, path, 1) > 90);
    unlink(path);
}

static void real_files_open(void **state)
{
    static const char *const patterns[] = {
        "../shared/goldens/logits/*/*.gguf", "../shared/goldens/quant/models/*.gguf",
        "../shared/goldens/tokenizer/vocab/*.gguf", "../shared/goldens/embed/*.gguf"};
    glob_t found = {0};
    (void)state;
    for (size_t i = 0; i < ST_COUNT(patterns); i++)
        glob(patterns[i], i ? GLOB_APPEND : 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        st_err err = {0};
        gguf *g;
        gguf_str architecture;
        if (gguf_open(found.gl_pathv[i], &g, &err))
            fail_msg("%s", err.message);
        assert_int_equal(gguf_string(g, "general.architecture", &architecture, &err), 0);
        gguf_close(g);
    }
    size_t n = found.gl_pathc;
    globfree(&found);
    if (n == 0) {
        print_message("SKIP: no GGUF files under ../shared/goldens\n");
        skip();
    }
    assert_true(n > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(wrong_types_are_named),
        cmocka_unit_test(integers_of_every_width),
        cmocka_unit_test(doubles_and_infinities),
        cmocka_unit_test(versions),
        cmocka_unit_test(hostile_counts),
        cmocka_unit_test(hostile_strings),
        cmocka_unit_test(hostile_values),
        cmocka_unit_test(hostile_alignment),
        cmocka_unit_test(hostile_shapes),
        cmocka_unit_test(hostile_places),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_changed_byte_is_survived),
        cmocka_unit_test(writer_refuses),
        cmocka_unit_test(every_allocation_fails_once),
        cmocka_unit_test(real_files_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
