/* base/utf8.c - UTF-8 by hand (RFC 3629). */
#include "base/utf8.h"

static bool is_tail(const char *s, size_t n, size_t i)
{
    return i < n && ((unsigned char)s[i] & 0xC0) == 0x80;
}

uint32_t st_utf8_decode(const char *s, size_t n, size_t *ret_len)
{
    const unsigned char *u = (const unsigned char *)s;
    uint32_t c = u[0];
    *ret_len = 1;
    if (c < 0x80)
        return c;
    if (c >= 0xC2 && c <= 0xDF && is_tail(s, n, 1)) {
        *ret_len = 2;
        return (c & 0x1F) << 6 | (u[1] & 0x3Fu);
    }
    if (c >= 0xE0 && c <= 0xEF && is_tail(s, n, 1) && is_tail(s, n, 2)) {
        uint32_t code = (c & 0x0F) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu);
        if (code < 0x800 || (code >= 0xD800 && code <= 0xDFFF))
            return ST_UTF8_BAD;
        *ret_len = 3;
        return code;
    }
    if (c >= 0xF0 && c <= 0xF4 && is_tail(s, n, 1) && is_tail(s, n, 2) &&
        is_tail(s, n, 3)) {
        uint32_t code = (c & 0x07) << 18 | (u[1] & 0x3Fu) << 12 | (u[2] & 0x3Fu) << 6 |
                        (u[3] & 0x3Fu);
        if (code < 0x10000 || code > 0x10FFFF)
            return ST_UTF8_BAD;
        *ret_len = 4;
        return code;
    }
    return ST_UTF8_BAD;
}

size_t st_utf8_encode(uint32_t code, char ret_bytes[4])
{
    if (code < 0x80) {
        ret_bytes[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        ret_bytes[0] = (char)(0xC0 | code >> 6);
        ret_bytes[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        ret_bytes[0] = (char)(0xE0 | code >> 12);
        ret_bytes[1] = (char)(0x80 | (code >> 6 & 0x3F));
        ret_bytes[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    ret_bytes[0] = (char)(0xF0 | code >> 18);
    ret_bytes[1] = (char)(0x80 | (code >> 12 & 0x3F));
    ret_bytes[2] = (char)(0x80 | (code >> 6 & 0x3F));
    ret_bytes[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

bool st_utf8_valid(const char *s, size_t n, size_t *ret_bad_at)
{
    for (size_t i = 0, step; i < n; i += step) {
        if (st_utf8_decode(s + i, n - i, &step) == ST_UTF8_BAD) {
            if (ret_bad_at)
                *ret_bad_at = i;
            return false;
        }
    }
    return true;
}
