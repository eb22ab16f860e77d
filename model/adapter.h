/* model/adapter.h - low-rank adapters of a loaded model (LoRA, Hu et al. 2021).
 *
 *     y = W x + scale * B (A x)    for the rows of a span that carries one
 *
 * An adapter is bound to one model: every matrix it adapts is there, with that shape.
 * Spans with different adapters, and with none, share a batch; a span's bytes are the
 * same in any company, and one without an adapter costs nothing.  What can be adapted are
 * q, k, v and o of attention (together where the model has them so), and gate, up and
 * down of a dense feed-forward; experts, convolutions and encoders cannot.
 *
 * Threads: immutable after adapter_open.  Memory: the model must outlive it; it must
 * outlive the spans and sequences that carry it. */
#ifndef MODEL_ADAPTER_H
#define MODEL_ADAPTER_H
#include "model/model.h"

enum { ADAPTER_MAX_RANK = 1024 };

typedef struct adapter adapter;

typedef struct adapter_info {
    const char *base;   /* name of the model it was made for; "": not said */
    uint32_t n_adapted; /* matrices */
    uint32_t max_rank;
    size_t bytes; /* of its factors */
} adapter_info;

/* A GGUF adapter or the folder of one that PEFT saved (gguf/lora.h), `scale` times as
 * strong as it says.  ST_EUNSUPPORTED and ST_EFORMAT name the tensor. */
ST_NODISCARD int adapter_open(const char *path, const model *base, float scale,
                              adapter **ret_adapter, st_err *err);
void adapter_free(adapter *a); /* NULL allowed */
const adapter_info *adapter_about(const adapter *a);
/* Never 0 and never given twice in this process, also not after adapter_free; 0 for NULL.
 */
uint64_t adapter_serial(const adapter *a);
const model *adapter_model(const adapter *a);
#endif
