/* model/load.h - what a family says, and the loader that turns it into a model.
 *
 * A family is one constant: which norms stand where, how positions are told, which
 * activation, and, when its metadata asks for more, a function `adjust`.  Loading reads
 * the keys that all families share, calls `adjust`, then binds every tensor by the names
 * of the family and refuses a file with a tensor that found no place. */
#ifndef MODEL_LOAD_H
#define MODEL_LOAD_H
#include "model/bind.h"

typedef struct loader loader;

/* Tensor names inside a layer, without "blk.N." and ".weight"; NULL: the family has none;
 * a name that starts with '?' may be missing from a layer. */
typedef struct layer_names {
    const char *attn_pre, *attn_post, *attn_out;
    const char *q_norm, *k_norm;
    const char *sinks;
    const char *ffn_pre, *ffn_post, *ffn_out;
    const char *out_scale;
} layer_names;

typedef enum rope_pairs {
    ROPE_NO,     /* no rotation */
    ROPE_NEXT,   /* elements 2i and 2i + 1 */
    ROPE_HALVES, /* elements i and i + n/2 */
} rope_pairs;

typedef struct family {
    const char *arch; /* general.architecture */
    norm_kind norm;
    rope_pairs rope;
    act_kind act;
    bool gated;      /* feed-forward has a gate */
    bool parallel;   /* attention and feed-forward read the same input */
    bool encoder;    /* every token sees the whole text */
    bool q_norm_row; /* q and k norms over all heads at once */
    bool norm_after_rope;
    bool qk_paired; /* GGUF files have the rows of q and k so that neighbours rotate,
                     * where the maker's rotate half a head apart */
    bool conv;      /* layers without key heads are convolutions */
    const char *embd_norm, *out_norm; /* tensor names, as in layer_names */
    const char *positions, *types;    /* learned positions, token types */
    layer_names layer;
    int (*adjust)(loader *ld, st_err *err); /* may be NULL */
} family;

struct loader {
    const gguf *g;
    const family *family;
    model *m; /* layers are there and hold what the common keys say */
    binder binder;
    rope_spec ropes[2]; /* [0] from rope.*; [1] starts as a copy without scaling */
    float *divisors;    /* behind ropes[].divisors */
    uint32_t n_ctx;     /* that will be used */
    uint32_t window;    /* attention.sliding_window, 0: none */
};

/* Load with family `f`.  As model_load. */
ST_NODISCARD int load_model(const gguf *g, const family *f, const model_opts *opts,
                            const kern *kernels, model **ret_model, st_err *err);

/* For `adjust`: keys without "ARCH."; the default stands for a missing key. */
ST_NODISCARD int load_u32(loader *ld, const char *key, uint32_t def, uint32_t *ret,
                          st_err *err);
ST_NODISCARD int load_f32(loader *ld, const char *key, float def, float *ret,
                          st_err *err);
ST_NODISCARD int load_bool(loader *ld, const char *key, bool def, bool *ret, st_err *err);

/* All layers slide over `ld->window` positions, when that is not 0. */
void load_window_all(loader *ld);
/* Of each `period` layers one sees everything: the last, or the first.  The key
 * attention.sliding_window_pattern (a period, or a flag a layer) overrides. */
ST_NODISCARD int load_windows(loader *ld, uint32_t period, bool full_first, st_err *err);
/* Sliding layers rotate by ropes[1], whose base is rope.freq_base_swa or `base`. */
ST_NODISCARD int load_rope_sliding(loader *ld, float base, st_err *err);

/* Experts for every layer that has a router tensor, when expert_count is over 0.  The
 * keys expert_gating_func, expert_weights_norm and expert_weights_scale override the
 * style. */
typedef struct expert_style {
    act_kind act;
    moe_gating gating;
    bool normalise;
} expert_style;
ST_NODISCARD int load_experts(loader *ld, const expert_style *style, st_err *err);

/* Sliding layers have heads of their own width: attention.key_length_swa and
 * attention.value_length_swa, where the file has them. */
ST_NODISCARD int load_heads_sliding(loader *ld, st_err *err);

/* Every layer's score scale. */
void load_attn_scale(loader *ld, float scale);
#endif
