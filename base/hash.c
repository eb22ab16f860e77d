/* base/hash.c - digests of bytes. */
#include "base/hash.h"

#include <xxhash.h>

void st_sha_init(st_sha *sha)
{
    crypto_hash_sha256_init(&sha->state);
}

void st_sha_add(st_sha *sha, const void *bytes, size_t len)
{
    crypto_hash_sha256_update(&sha->state, bytes, len);
}

void st_sha_end(st_sha *sha, char ret_hex[ST_DIGEST_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char out[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(&sha->state, out);
    for (size_t i = 0; i < sizeof out; i++) {
        ret_hex[2 * i] = digits[out[i] >> 4];
        ret_hex[2 * i + 1] = digits[out[i] & 15];
    }
    ret_hex[2 * sizeof out] = '\0';
}

void st_sha_of(const void *bytes, size_t len, char ret_hex[ST_DIGEST_TEXT])
{
    st_sha sha;
    st_sha_init(&sha);
    st_sha_add(&sha, bytes, len);
    st_sha_end(&sha, ret_hex);
}

uint64_t st_hash64(const void *bytes, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, len, seed);
}
