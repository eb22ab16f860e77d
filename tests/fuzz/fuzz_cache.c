/* tests/fuzz/fuzz_cache.c - any bytes as a kept file: checked, with sums as they are and
 * with sums that hold, so that the other fields are reached. */
#include "base/cache.h"
#include "base/hash.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

static const char key[] =
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

enum { AT_VERSION = 12, AT_BYTES = 16, AT_SUM = 24, AT_KEY = 32, AT_HEAD_SUM = 120 };

static uint64_t number_at(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

/* What is accepted is whole, and of our key. */
static int check(const uint8_t *file, size_t len)
{
    st_err err = {0};
    int rc = st_cache_check(file, len, key, &err);
    if (rc && (!err.code || !err.message[0]))
        abort();
    if (rc == 0 &&
        (len < ST_CACHE_HEAD || number_at(file + AT_BYTES) != len - ST_CACHE_HEAD ||
         memcmp(file + AT_KEY, key, sizeof key - 1) != 0))
        abort();
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint32_t version;
    uint8_t *file = calloc(len ? len : 1, 1);
    if (!file)
        return 0;
    if (len)
        memcpy(file, data, len);
    check(file, len);
    if (len >= ST_CACHE_HEAD) {
        memcpy(&version, file + AT_VERSION, sizeof version);
        uint64_t sum = st_hash64(file + ST_CACHE_HEAD, len - ST_CACHE_HEAD, 0);
        memcpy(file + AT_SUM, &sum, sizeof sum);
        sum = st_hash64(file, AT_HEAD_SUM, version);
        memcpy(file + AT_HEAD_SUM, &sum, sizeof sum);
        bool fits = number_at(file + AT_BYTES) == len - ST_CACHE_HEAD;
        if (check(file, len) == 0) { /* then one bit must not matter anywhere */
            size_t at = (size_t)(sum % len);
            file[at] ^= 1;
            if (!fits || check(file, len) == 0)
                abort();
        }
    }
    free(file);
    return 0;
}
