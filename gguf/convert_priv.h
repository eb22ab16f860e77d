/* gguf/convert_priv.h - what the converters of all families share. */
#ifndef GGUF_CONVERT_PRIV_H
#define GGUF_CONVERT_PRIV_H
#include "base/progress.h"
#include "gguf/gguf.h"
#include "gguf/safetensors.h"
#include <jansson.h>

typedef struct convert {
    const char *folder;
    const char *name;
    st_dtype matrix; /* format of large matrices */
    const st_progress *progress;
    json_t *config; /* config.json */
    safet *weights; /* model.safetensors */
    bool *used;     /* of weights, by index */
    gguf_writer *out;
    void **blocks;   /* encoded tensors, kept until written */
    size_t n_blocks; /* at most one a tensor of weights */
} convert;

/* folder/name, which the caller frees; NULL when out of memory. */
char *convert_path(const char *folder, const char *name);

/* The JSON object in folder/name, which the caller releases; ST_ENOTFOUND without a
 * message when there is no such file. */
ST_NODISCARD int convert_json(const convert *c, const char *name, json_t **ret,
                              st_err *err);

/* An integer of config.json in [1, max]. */
ST_NODISCARD int convert_count(const convert *c, const char *key, uint32_t max,
                               uint32_t *ret, st_err *err);

/* Write tensor `from` of the weights as `to`.  Its shape, slowest first, must be
 * [rows, cols]; rows 0 means a vector of cols.  `large` ones take c->matrix. */
ST_NODISCARD int convert_tensor(convert *c, const char *from, const char *to,
                                uint64_t rows, uint64_t cols, bool large, st_err *err);

/* ---- families and vocabularies ---- */
ST_NODISCARD int convert_bert(convert *c, st_err *err);
/* Vocabulary, special ids and normaliser of a WordPiece tokenizer; at most `n_rows`
 * tokens, filled up to that with unused ones. */
ST_NODISCARD int convert_wordpiece(convert *c, uint32_t n_rows, st_err *err);
#endif
