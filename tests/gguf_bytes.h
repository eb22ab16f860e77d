/* tests/gguf_bytes.h - GGUF files put together byte by byte, also wrong ones. */
#ifndef TESTS_GGUF_BYTES_H
#define TESTS_GGUF_BYTES_H
#include "base/buf.h"
#include "gguf/gguf.h"
#include <string.h>

static inline void put_u32(st_buf *b, uint32_t v)
{
    st_buf_add(b, &v, sizeof v);
}

static inline void put_u64(st_buf *b, uint64_t v)
{
    st_buf_add(b, &v, sizeof v);
}

static inline void put_str(st_buf *b, const char *s)
{
    put_u64(b, strlen(s));
    st_buf_str(b, s);
}

static inline void put_header(st_buf *b, uint32_t version, uint64_t n_tensors,
                              uint64_t n_keys)
{
    st_buf_init(b, 1 << 20);
    st_buf_str(b, "GGUF");
    put_u32(b, version);
    put_u64(b, n_tensors);
    put_u64(b, n_keys);
}

static inline void put_array(st_buf *b, const char *key, gguf_type elem, uint64_t n)
{
    put_str(b, key);
    put_u32(b, GGUF_ARRAY);
    put_u32(b, elem);
    put_u64(b, n);
}

static inline void put_tensor1(st_buf *b, const char *name, uint64_t dim, uint32_t type,
                               uint64_t offset)
{
    put_str(b, name);
    put_u32(b, 1);
    put_u64(b, dim);
    put_u32(b, type);
    put_u64(b, offset);
}

static inline void put_zeros(st_buf *b, size_t n)
{
    while (n--)
        st_buf_char(b, 0);
}

static inline void put_padding(st_buf *b, size_t alignment)
{
    put_zeros(b, (alignment - b->len % alignment) % alignment);
}
#endif
