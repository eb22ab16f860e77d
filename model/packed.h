/* model/packed.h - the packed weights of a model: one block, in memory or a mapped file.
 *
 * Weights are re-laid in panels (kernels.h).  Where the digest of the model's file is
 * known, the block is kept in the cache (base/cache.h) and mapped by the next load: it is
 * in memory once, shared by all processes that use the model, and the kernel may drop and
 * reread it.  The kept file is bound to the digest, to KERN_LAYOUT and to the name, place
 * and shape of every tensor.  Without a cache the block is packed in memory.
 *
 * Packing gives the source's memory back tensor by tensor, so that at most one copy of
 * the weights is resident.
 *
 * Threads: one owner. */
#ifndef MODEL_PACKED_H
#define MODEL_PACKED_H
#include "base/cache.h"
#include "base/hash.h"
#include "base/workers.h"

typedef struct binder binder;

typedef struct packed {
    const unsigned char *base; /* 64-byte aligned; of the block or of the file */
    unsigned char *block;
    st_cached file;
    char key[ST_DIGEST_TEXT]; /* of all that the bytes depend on; "" without a digest */
} packed;

/* Pack what was bound and fill in its places, on the workers when there are any.
 * `digest` of the model's file, hexadecimal; NULL: the cache is not used. */
ST_NODISCARD int packed_make(const binder *b, workers *w, const char *digest,
                             packed *ret_packed, st_err *err);
void packed_done(packed *p); /* twice is allowed */

/* The file that holds the packed weights of a model, those of the file or those with
 * model_opts.int8, as far as its name goes: `key` is NULL.  For st_cache_stat(). */
st_cache_item packed_item(const char *digest, bool narrow);
#endif
