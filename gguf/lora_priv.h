/* gguf/lora_priv.h - what the readers of adapters share. */
#ifndef GGUF_LORA_PRIV_H
#define GGUF_LORA_PRIV_H
#include "gguf/gguf.h"
#include "gguf/lora.h"
#include "gguf/safetensors.h"

struct lora {
    gguf *file;     /* of a GGUF adapter, or */
    safet *tensors; /* of a PEFT folder */
    char *arch;     /* behind lora_arch; NULL: "" */
    char *base;     /* behind lora_base; NULL: "" */
    lora_pair *pairs;
    size_t n_pairs;
    size_t room;
};

/* Take a pair whose factors are there: rank and types are checked. */
ST_NODISCARD int lora_add(lora *l, const lora_pair *pair, st_err *err);
/* The folder of an adapter that PEFT saved, into an empty one. */
ST_NODISCARD int lora_read_peft(lora *l, const char *folder, st_err *err);
#endif
