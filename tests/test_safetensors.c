/* tests/test_safetensors.c - safetensors files: round trips and every way of being wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "gguf/safetensors.h"
#include "tests/fault.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const float matrix[6] = {1, 2, 3, 4, 5, 6};
static const int64_t scalar = -7;

static int open_copy(const void *data, size_t len, st_err *err)
{
    safet *s = NULL;
    void *copy = malloc(len ? len : 1);
    unsigned sum = 0;
    assert_non_null(copy);
    if (len)
        memcpy(copy, data, len);
    memset(err, 0, sizeof *err);
    int rc = safet_open_bytes(copy, len, &s, err);
    for (size_t i = 0; !rc && i < safet_n_tensors(s); i++) {
        const safet_tensor *t = safet_tensor_at(s, i);
        assert_ptr_equal(safet_find(s, t->name), t);
        for (size_t j = 0; j < t->bytes; j++)
            sum += ((const unsigned char *)t->data)[j];
    }
    if (sum == 0xFFFFFFFF) /* the sum is used, so the reads happen */
        print_message(" ");
    if (rc)
        assert_int_equal(err->code, rc);
    safet_close(s);
    free(copy);
    return rc;
}

static void write_sample(const char *path)
{
    safet_writer *w;
    st_err err = {0};
    assert_int_equal(safet_writer_new(&w, &err), 0);
    assert_int_equal(safet_put_meta(w, "format", "st \xC3\xA9 \"q\"", &err), 0);
    assert_int_equal(safet_put(w, "m", "F32", (uint64_t[]){2, 3}, 2, matrix, &err), 0);
    assert_int_equal(safet_put(w, "empty", "U8", (uint64_t[]){0, 9}, 2, NULL, &err), 0);
    assert_int_equal(safet_put(w, "s", "I64", NULL, 0, &scalar, &err), 0);
    assert_int_equal(safet_write(w, path, &err), 0);
    safet_writer_free(w);
}

static void round_trip(void **state)
{
    char path[] = "/tmp/stint-safet-XXXXXX";
    safet *s;
    st_err err = {0};
    (void)state;
    close(mkstemp(path));
    write_sample(path);
    assert_int_equal(safet_open(path, &s, &err), 0);
    unlink(path);
    assert_int_equal(safet_n_tensors(s), 3);
    const safet_tensor *m = safet_find(s, "m");
    assert_string_equal(m->dtype, "F32");
    assert_int_equal(m->n_dims, 2);
    assert_int_equal(m->dims[1], 3);
    assert_int_equal(m->n, 6);
    assert_memory_equal(m->data, matrix, sizeof matrix);
    const safet_tensor *one = safet_find(s, "s");
    assert_int_equal(one->n_dims, 0);
    assert_int_equal(one->n, 1);
    assert_memory_equal(one->data, &scalar, sizeof scalar);
    assert_int_equal(safet_find(s, "empty")->bytes, 0);
    assert_null(safet_find(s, "__metadata__"));
    assert_string_equal(safet_meta(s, "format"), "st \xC3\xA9 \"q\"");
    assert_null(safet_meta(s, "other"));
    safet_close(s);
    safet_close(NULL);
    safet_writer_free(NULL);
    assert_int_equal(safet_open(path, &s, &err), ST_ENOTFOUND);
}

static void refused(const char *header, size_t n_data, int code, const char *part)
{
    st_buf b;
    st_err err;
    uint64_t len = strlen(header);
    st_buf_init(&b, 1 << 16);
    st_buf_add(&b, &len, sizeof len);
    st_buf_str(&b, header);
    while (n_data--)
        st_buf_char(&b, 1);
    int rc = open_copy(b.data, b.len, &err);
    if (rc != code || (code && !strstr(err.message, part)))
        fail_msg("%s: code %d, message '%s', expected '%s'", header, rc, err.message,
                 part);
    st_buf_done(&b);
}

#define T(dtype, shape, begin, end)                                                      \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static void hostile_headers(void **state)
{
    (void)state;
    refused("{}", 0, 0, "");
    refused("{\"a\":" T("F32", "[2]", "0", "8") "}", 8, 0, "");
    refused("{\"a\":" T("F32", "[2]", "0", "8") "}  ", 8, 0, "");
    refused("{}", 1, ST_EFORMAT, "1 bytes behind");
    refused(" {}", 0, ST_EFORMAT, "no header object");
    refused("[{}]", 0, ST_EFORMAT, "no header object");
    refused("{\"a\":", 0, ST_EFORMAT, "header: byte");
    refused("{\"a\":1}", 0, ST_EFORMAT, "tensor 'a': not an object");
    refused("{\"a\":{}}", 0, ST_EFORMAT, "tensor 'a': 'dtype' is missing");
    refused("{\"__metadata__\":[]}", 0, ST_EFORMAT, "__metadata__");
    refused("{\"__metadata__\":{\"k\":1}}", 0, ST_EFORMAT, "'k' is not a string");
    refused("{\"a\":" T("F32", "[1]", "0", "4") ",\"a\":" T("F32", "[1]", "4", "8") "}",
            8, ST_EFORMAT, "duplicate");
    refused("{\"a\\u0000b\":1}", 0, ST_EFORMAT, "header");
    refused("{\"a\":" T("F4", "[1]", "0", "1") "}", 1, ST_EUNSUPPORTED, "'F4'");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}}", 1,
            ST_EFORMAT, "field 'x'");
}

static void hostile_shapes(void **state)
{
    (void)state;
    refused("{\"a\":" T("F32", "[3]", "0", "8") "}", 8, ST_EFORMAT, "does not match");
    refused("{\"a\":" T("F32", "2", "0", "8") "}", 8, ST_EFORMAT, "'shape'");
    refused("{\"a\":" T("F32", "[-2]", "0", "8") "}", 8, ST_EFORMAT, "dimension 0");
    refused("{\"a\":" T("F32", "[2.0]", "0", "8") "}", 8, ST_EFORMAT, "dimension 0");
    refused("{\"a\":" T("U8", "[1,1,1,1,1,1,1,1,1]", "0", "1") "}", 1, ST_EFORMAT,
            "at most 8");
    refused("{\"a\":" T("U8", "[4294967296,4294967296]", "0", "0") "}", 0, ST_EFORMAT,
            "does not match"); /* the product wraps to 0 */
    refused("{\"a\":" T("F32", "[4611686018427387904]", "0", "0") "}", 0, ST_EFORMAT,
            "does not match"); /* times 4 wraps to 0 */
    refused("{\"a\":" T("U8", "[99999999999999999999]", "0", "1") "}", 1, ST_EFORMAT,
            "header");
    refused("{\"a\":" T("U8", "[2]", "0", "2") "}", 1, ST_EFORMAT, "beyond the file");
    refused("{\"a\":" T("U8", "[2]", "2", "0") "}", 2, ST_EFORMAT, "a begin and an end");
    refused("{\"a\":" T("U8", "[2]", "-1", "1") "}", 2, ST_EFORMAT, "a begin and an end");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1,
            ST_EFORMAT, "a begin and an end");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":{}}}", 1, ST_EFORMAT,
            "a begin and an end");
    refused("{\"a\":" T("U8", "[2]", "0", "2") ",\"b\":" T("U8", "[2]", "1", "3") "}", 3,
            ST_EFORMAT, "tensor 'b': an overlap");
    refused("{\"a\":" T("U8", "[2]", "0", "2") ",\"b\":" T("U8", "[1]", "3", "4") "}", 4,
            ST_EFORMAT, "tensor 'b': unused bytes");
    refused("{\"b\":" T("U8", "[1]", "2", "3") ",\"a\":" T("U8", "[2]", "0", "2") "}", 3,
            0, "");
}

static void hostile_lengths(void **state)
{
    static const uint64_t lengths[] = {3, 17 << 20, 1ull << 63, UINT64_MAX,
                                       UINT64_MAX - 7};
    st_err err;
    char bytes[10] = {0};
    (void)state;
    for (size_t i = 0; i < ST_COUNT(lengths); i++) {
        memcpy(bytes, &lengths[i], 8);
        memcpy(bytes + 8, "{}", 2);
        assert_int_equal(open_copy(bytes, 10, &err), ST_EFORMAT);
        assert_non_null(strstr(err.message, "bytes: the header runs beyond"));
    }
    assert_int_equal(open_copy("", 0, &err), ST_EFORMAT);
    /* a header over the limit that is really there */
    size_t len = (17 << 20) + 8;
    char *big = malloc(len);
    assert_non_null(big);
    memset(big, ' ', len);
    memcpy(big, &lengths[1], 8);
    big[8] = '{';
    assert_int_equal(open_copy(big, len, &err), ST_ELIMIT);
    /* nesting deeper than any stack */
    uint64_t deep = 1 << 20;
    memset(big, '[', len);
    memcpy(big, &deep, 8);
    memcpy(big + 8, "{\"a\":", 5);
    assert_int_equal(open_copy(big, (1 << 20) + 8, &err), ST_EFORMAT);
    free(big);
}

static void truncated_or_changed(void **state)
{
    static const unsigned char changes[] = {0x01, 0x80, 0xFF, 0x20};
    char path[] = "/tmp/stint-safet-XXXXXX";
    char *data;
    size_t len;
    st_err err;
    int n_refused = 0;
    (void)state;
    close(mkstemp(path));
    write_sample(path);
    assert_int_equal(st_file_read(path, 1 << 20, &data, &len, NULL), 0);
    unlink(path);
    assert_int_equal(open_copy(data, len, &err), 0);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(open_copy(data, cut, &err), ST_EFORMAT);
    for (size_t i = 0; i < len; i++) {
        for (size_t j = 0; j < ST_COUNT(changes); j++) {
            data[i] = (char)(data[i] ^ changes[j]);
            n_refused += open_copy(data, len, &err) != 0;
            data[i] = (char)(data[i] ^ changes[j]);
        }
    }
    assert_true(n_refused > 100);
    st_free(data);
}

static void writer_refuses(void **state)
{
    safet_writer *w;
    const uint64_t dims[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    (void)state;
    assert_int_equal(safet_writer_new(&w, NULL), 0);
    assert_int_equal(safet_put(w, "a", "F32", dims, 1, matrix, NULL), 0);
    assert_int_equal(safet_put(w, "a", "F32", dims, 1, matrix, NULL), ST_EINVAL);
    assert_int_equal(safet_put(w, "__metadata__", "F32", dims, 1, matrix, NULL),
                     ST_EINVAL);
    assert_int_equal(safet_put(w, "b", "Q4_K", dims, 1, matrix, NULL), ST_EINVAL);
    assert_int_equal(safet_put(w, "b", "F32", dims, 9, matrix, NULL), ST_EINVAL);
    assert_int_equal(safet_put(w, "\xFF", "F32", dims, 1, matrix, NULL), ST_EINVAL);
    assert_int_equal(
        safet_put(w, "b", "F32", (uint64_t[]){1ull << 33, 1ull << 33}, 2, matrix, NULL),
        ST_EINVAL);
    assert_int_equal(safet_put_meta(w, "k", "v", NULL), 0);
    assert_int_equal(safet_put_meta(w, "k", "v", NULL), ST_EINVAL);
    assert_int_equal(safet_put_meta(w, "l", "\xFF", NULL), ST_EINVAL);
    assert_int_equal(safet_write(w, "/no/such/folder/x", NULL), ST_EIO);
    safet_writer_free(w);
}

static int write_and_open(void *arg)
{
    safet_writer *w;
    safet *s;
    char name[16];
    int rc = safet_writer_new(&w, NULL);
    if (rc)
        return rc;
    for (int i = 0; i < 40 && !rc; i++) { /* enough for every array to grow */
        snprintf(name, sizeof name, "n%d", i);
        rc = safet_put(w, name, "F32", (uint64_t[]){6}, 1, matrix, NULL);
    }
    if (!rc)
        rc = safet_write(w, arg, NULL);
    safet_writer_free(w);
    if (!rc)
        rc = safet_open(arg, &s, NULL);
    if (!rc)
        safet_close(s);
    return rc;
}

static void every_allocation_fails_once(void **state)
{
    char path[] = "/tmp/stint-safet-XXXXXX";
    (void)state;
    close(mkstemp(path));
    assert_true(fault_sweep(write_and_open, path, 1) > 8);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(hostile_headers),
        cmocka_unit_test(hostile_shapes),
        cmocka_unit_test(hostile_lengths),
        cmocka_unit_test(truncated_or_changed),
        cmocka_unit_test(writer_refuses),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
