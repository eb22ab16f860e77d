/* gguf/gguf_priv.h - what the files of this room share about an open GGUF. */
#ifndef GGUF_GGUF_PRIV_H
#define GGUF_GGUF_PRIV_H
#include "base/file.h"
#include "base/hash.h"
#include "base/map.h"
#include "gguf/gguf.h"
#include <pthread.h>

/* Limits, above every model in use; they keep a hostile file from costing more than its
 * own size in memory. */
enum {
    GGUF_MAX_KEYS = 1 << 16,
    GGUF_MAX_TENSORS = 1 << 17,
    GGUF_MAX_KEY_BYTES = 65535, /* of the format */
    GGUF_MAX_NAME_BYTES = 64,   /* of the format */
    GGUF_MIN_ALIGNMENT = 8,     /* of the format */
    GGUF_MAX_ALIGNMENT = 65536, /* a page of the largest kind */
    GGUF_ALIGNMENT = 32,        /* when the file names none */
};

static const char GGUF_MAGIC[4] = {'G', 'G', 'U', 'F'};

struct gguf {
    char *path;
    st_file_map map; /* empty for gguf_open_bytes */
    const unsigned char *data;
    size_t len;
    uint32_t version;
    uint32_t alignment;
    gguf_key *keys; /* names owned here */
    size_t n_keys;
    gguf_tensor *tensors; /* names owned here */
    size_t n_tensors;
    st_map key_map;
    st_map tensor_map;
    pthread_mutex_t digest_lock; /* guards digest */
    char digest[ST_DIGEST_TEXT]; /* empty until asked for */
};

/* Check the bytes and fill keys and tensors.  On failure what was made so far is left for
 * gguf_close(). */
ST_NODISCARD int gguf_parse(gguf *g, st_err *err);

/* The string at *at of checked bytes; *at moves behind it. */
gguf_str gguf_next_str(const unsigned char **at);
#endif
