/* gguf/lora.h - low-rank adapters as they come: a GGUF file, or a PEFT folder.
 *
 *     y = W x + scale * B (A x)    A [rank, columns of W], B [rows of W, rank]
 *
 * A GGUF adapter names tensors of its base with ".lora_a" and ".lora_b" behind them; a
 * PEFT folder (adapter_config.json, adapter_model.safetensors) names modules of the
 * Hugging Face model, which are given here by the GGUF names of their weights.  What
 * would change the answers and is not such a product is refused by name: DoRA, biases,
 * modules saved whole, adapted embeddings and heads, initialisations that change the
 * base.
 *
 * Shapes are those of the file: that they fit a base is its reader's question.
 *
 * Threads: an open one is immutable.  Memory: what is handed out lives until lora_close.
 */
#ifndef GGUF_LORA_H
#define GGUF_LORA_H
#include "base/dtype.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LORA_MAX_PAIRS = 1 << 20, LORA_NAME_ROOM = 96 };

typedef struct lora_factor {
    st_dtype type; /* ST_F32, ST_F16 or ST_BF16 */
    uint64_t rows;
    uint64_t cols;
    const void *data; /* row after row, unaligned */
} lora_factor;

typedef struct lora_pair {
    char tensor[LORA_NAME_ROOM]; /* of the base: "blk.0.attn_q.weight" */
    lora_factor a;
    lora_factor b; /* b.cols == a.rows, which is not 0 */
    double scale;
} lora_pair;

typedef struct lora lora;

/* A folder is read as PEFT, a file as GGUF.  ST_EUNSUPPORTED and ST_EFORMAT name the
 * setting, key or tensor. */
ST_NODISCARD int lora_open(const char *path, lora **ret_lora, st_err *err);
/* A GGUF adapter in bytes that outlive it (tests, fuzzing). */
ST_NODISCARD int lora_open_bytes(const void *data, size_t len, lora **ret_lora,
                                 st_err *err);
void lora_close(lora *l); /* NULL allowed */
size_t lora_n_pairs(const lora *l);
const lora_pair *lora_pair_at(const lora *l, size_t i);
const char *lora_arch(const lora *l); /* of the base, as GGUF has it; "": not said */
const char *lora_base(const lora *l); /* the base's name; "": not said */
/* Rows of q and k stand as Hugging Face has them: element i of a head rotates with the
 * one half a head further on. */
bool lora_is_peft(const lora *l);
#endif
