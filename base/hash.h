/* base/hash.h - digests of bytes.
 *
 * SHA-256 (FIPS 180-4, by libsodium) names content: weights, contracts, artifacts.
 * xxh3 is for hash tables and hashed features, never for identity.
 *
 * Threads: an st_sha belongs to its caller. */
#ifndef BASE_HASH_H
#define BASE_HASH_H
#include <sodium/crypto_hash_sha256.h>
#include <stddef.h>
#include <stdint.h>

enum { ST_DIGEST_TEXT = 65 }; /* 64 hexadecimal digits and a NUL */

typedef struct st_sha {
    crypto_hash_sha256_state state;
} st_sha;

void st_sha_init(st_sha *sha);
void st_sha_add(st_sha *sha, const void *bytes, size_t len);
void st_sha_end(st_sha *sha, char ret_hex[ST_DIGEST_TEXT]);
void st_sha_of(const void *bytes, size_t len, char ret_hex[ST_DIGEST_TEXT]);

uint64_t st_hash64(const void *bytes, size_t len, uint64_t seed); /* xxh3, stable */
#endif
