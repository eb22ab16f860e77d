/* model/families.h - which architectures there are: one row a family. */
#ifndef MODEL_FAMILIES_H
#define MODEL_FAMILIES_H
#include "model/load.h"

/* The table: family_NAME is defined in the family's own file. */
#define FAMILIES(X)                                                                      \
    X(llama)                                                                             \
    X(qwen2)                                                                             \
    X(qwen2moe)                                                                          \
    X(qwen3)                                                                             \
    X(qwen3moe)                                                                          \
    X(gemma)                                                                             \
    X(gemma2)                                                                            \
    X(gemma3)                                                                            \
    X(gemma_embedding)                                                                   \
    X(phi3)                                                                              \
    X(smollm3)                                                                           \
    X(bert)                                                                              \
    X(modernbert)                                                                        \
    X(granite)                                                                           \
    X(granitemoe)                                                                        \
    X(olmo2)                                                                             \
    X(olmoe)                                                                             \
    X(stablelm)                                                                          \
    X(starcoder2)                                                                        \
    X(cohere)                                                                            \
    X(cohere2)                                                                           \
    X(exaone4)                                                                           \
    X(glm4)                                                                              \
    X(glm4moe)                                                                           \
    X(ernie45)                                                                           \
    X(ernie45moe)                                                                        \
    X(phi2)                                                                              \
    X(gpt2)                                                                              \
    X(gptneox)                                                                           \
    X(gptoss)                                                                            \
    X(falcon)                                                                            \
    X(apertus)                                                                           \
    X(arcee)                                                                             \
    X(nemotron)                                                                          \
    X(hunyuan)                                                                           \
    X(seedoss)                                                                           \
    X(gemma4)                                                                            \
    X(lfm2)                                                                              \
    X(minimax)
#define FAMILY_DECLARE(name) extern const family family_##name;
FAMILIES(FAMILY_DECLARE)

/* The family of general.architecture; ST_EUNSUPPORTED names it and lists what there is.
 */
ST_NODISCARD int family_find(gguf_str arch, const family **ret_family, st_err *err);
#endif
