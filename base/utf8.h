/* base/utf8.h - UTF-8 by hand (RFC 3629).  Threads: any. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ST_UTF8_BAD 0xFFFFFFFFu

/* Decode one code point at s (n > 0 bytes left).  *ret_len is the bytes used, at least 1;
 * ST_UTF8_BAD with *ret_len 1 for a byte that starts no well-formed sequence. */
uint32_t st_utf8_decode(const char *s, size_t n, size_t *ret_len);
size_t st_utf8_encode(uint32_t code, char ret_bytes[4]); /* 1..4; code <= 0x10FFFF */
bool st_utf8_valid(const char *s, size_t n, size_t *ret_bad_at); /* ret may be NULL */
#endif
