/* model/bind.h - tensors of a file to the places of a model, by name and exact shape.
 *
 * Binding is in two steps: bind_... finds a tensor, checks it and notes where its packed
 * form belongs; packed_make() then packs all into one block and fills in the pointers.  A
 * place must not move between the two.
 *
 * A tensor of the file that nothing asked for is an error: it would change the results,
 * and leaving it out silently is worse than refusing.
 *
 * Threads: one owner. */
#ifndef MODEL_BIND_H
#define MODEL_BIND_H
#include "base/map.h"
#include "model/parts.h"

typedef struct bind_item {
    const gguf_tensor *t;
    const unsigned char *blocks; /* first byte in the file */
    size_t first_byte;           /* in the block */
    size_t bytes;                /* in the block */
    kmat *matrix;                /* or NULL: a vector */
    const float **vector;
    uint64_t n; /* elements of a vector */
} bind_item;

typedef struct binder {
    const gguf *g;
    bind_item *items;
    size_t n_items;
    size_t room;
    size_t bytes; /* of the block */
    uint64_t n_params;
    bool int8;   /* float matrices of layers are packed as Q8_0 */
    bool layers; /* what is bound now is of layers, and may be rounded */
    bool floats; /* such matrices there were */
    st_map used; /* tensor names */
} binder;

void binder_init(binder *b, const gguf *g);
void binder_done(binder *b);

bool bind_has(const binder *b, const char *name);

/* The whole tensor as a matrix [rows, cols]. */
ST_NODISCARD int bind_matrix(binder *b, const char *name, uint32_t rows, uint32_t cols,
                             kmat *place, st_err *err);
/* Matrix `index` of `count` of equal shape in one tensor. */
ST_NODISCARD int bind_slice(binder *b, const char *name, uint32_t index, uint32_t count,
                            uint32_t rows, uint32_t cols, kmat *place, st_err *err);
/* Elements [first, first + n) of a tensor of `total`, as float32. */
ST_NODISCARD int bind_vector(binder *b, const char *name, uint64_t first, uint64_t n,
                             uint64_t total, const float **place, st_err *err);
/* A vector now, into `ret` (n floats), not into the block. */
ST_NODISCARD int bind_read(binder *b, const char *name, uint32_t n, float *ret,
                           st_err *err);

/* ST_EUNSUPPORTED names a tensor of the file that was not bound. */
ST_NODISCARD int bind_all_used(const binder *b, st_err *err);
#endif
