/* model/parts.h - what a loaded model is made of.
 *
 * One transformer stack serves every family.  A layer is two branches over the residual
 * stream x, each with norms in any of three places:
 *
 *     h = pre(x)    b = branch(h)    x = out(x + scale * post(b))
 *
 * `pre` absent means h = x; with `parallel` both branches read the same x.  A part whose
 * pointer is NULL is absent.  Families fill these structures (load.h); the stack only
 * reads them.
 *
 * Threads: immutable after loading.  Memory: weights lie in model.weights. */
#ifndef MODEL_PARTS_H
#define MODEL_PARTS_H
#include "base/hash.h"
#include "model/model.h"
#include "model/packed.h"
#include "model/rope.h"

typedef enum norm_kind {
    NORM_RMS,
    NORM_LAYER,
} norm_kind;

typedef struct norm {
    const float *w; /* NULL: no norm */
    const float *b; /* NORM_LAYER only; may be NULL */
} norm;

typedef struct linear {
    kmat w;            /* w.data NULL: absent */
    const float *bias; /* may be NULL */
} linear;

typedef enum act_kind {
    ACT_SILU,
    ACT_GELU_TANH,
    ACT_GELU_ERF,
    ACT_RELU2,       /* max(0, x)^2 */
    ACT_XIELU,       /* Huang 2025: a quadratic above 0, an exponential below */
    ACT_SWIGLU_CLAMP /* gpt-oss: min(g, 7) sigmoid(1.702 g) (clamp(u, -7, 7) + 1) */
} act_kind;

/* down(act(gate x) * up x), or down(act(up x)) when not gated.  When `gate` is absent in
 * a gated one, up has 2 * n_ff rows: the gate's first. */
typedef struct xielu { /* alphas already through softplus */
    float alpha_p;
    float alpha_n;
    float beta;
    float eps;
} xielu;

typedef struct ffn {
    linear gate;
    linear up;
    linear down;
    uint32_t n_ff; /* 0: absent */
    act_kind act;
    xielu xielu; /* of ACT_XIELU */
    bool gated;
} ffn;

typedef enum moe_gating {
    MOE_SOFTMAX,        /* of all experts, then choose */
    MOE_SIGMOID,        /* of each expert, then choose */
    MOE_SOFTMAX_CHOSEN, /* choose by logit, softmax of the chosen */
} moe_gating;

typedef struct mixture {
    linear router;            /* n_expert rows */
    const float *choice_bias; /* added for choosing only; may be NULL */
    ffn *experts;             /* [n_expert] */
    ffn shared;               /* n_ff 0: none */
    linear shared_gate;       /* one row, through a sigmoid; may be absent */
    uint32_t n_expert;
    uint32_t n_used;
    moe_gating gating;
    bool normalise; /* weights of the chosen sum to one */
    float scale;    /* of the weights, last */
} mixture;

/* A gated convolution over the last few tokens, instead of attention (LFM2):
 *     b, c, u = in(h)    z = b * u    y = c * sum of taps[j] * z[now - n_taps + 1 + j]
 * z is kept where attention would keep values. */
typedef struct conv {
    linear in;         /* 3 n_embd rows: b, c, u */
    const float *taps; /* [n_embd, n_taps], oldest first */
    uint32_t n_taps;   /* 0: no convolution */
} conv;

enum { ROPE_OFF = 255 };

enum kv_kind { KV_F32, KV_F16, KV_Q8, KV_KINDS }; /* how keys and values are kept */

static inline enum kv_kind kv_kind(st_dtype type)
{
    return type == ST_F32 ? KV_F32 : type == ST_F16 ? KV_F16 : KV_Q8;
}

typedef struct layer {
    uint32_t n_head;
    uint32_t n_kv;  /* divides n_head */
    uint32_t dim_k; /* of one head */
    uint32_t dim_v;
    uint32_t
        window;   /* positions seen, itself included; 0: all.  Encoders: half each way */
    uint8_t rope; /* index in model.ropes, or ROPE_OFF */
    float scale;  /* of q.k */
    size_t kv_first[KV_KINDS]; /* bytes of a page before this layer's keys */
    norm attn_pre, attn_post, attn_out;
    linear qkv; /* rows q, k, v; or */
    linear q, k, v;
    linear o;
    conv conv;           /* instead of q, k, v */
    norm q_norm, k_norm; /* of each head, or of the whole row when q_norm_row */
    bool q_norm_row;
    bool v_norm;        /* heads of v are scaled to a mean square of one */
    const float *sinks; /* [n_head] or NULL */
    norm ffn_pre, ffn_post, ffn_out;
    ffn ffn;
    mixture *moe;           /* instead of ffn; owned */
    const float *out_scale; /* [1], of the layer's output; or NULL */
} layer;

struct model {
    model_info info;
    char *name; /* behind info.name */
    char id[ST_DIGEST_TEXT];
    const kern *kern;
    norm_kind norm_kind;
    float eps;
    bool parallel;        /* both branches read the layer's input */
    bool norm_after_rope; /* q_norm and k_norm */
    bool qk_paired;       /* rows of q and k are not in their maker's order: see family */
    float embd_scale;
    float residual_scale;
    float logit_scale;
    float attn_softcap;  /* 0: none */
    float logit_softcap; /* 0: none */
    kmat embd;           /* [n_vocab, n_embd] */
    kmat positions;      /* learned; data NULL: none */
    kmat types;          /* token types, row 0 is added; data NULL: none */
    norm embd_norm;
    norm out_norm;
    linear head;
    rope ropes[2];            /* [1]: sliding layers of families that have two */
    layer *layers;            /* [info.n_layers] */
    size_t kv_page[KV_KINDS]; /* bytes of a page; 0: not kept so */
    packed weights;           /* all of them */
};

static inline uint32_t layer_q_dim(const layer *l)
{
    return l->n_head * l->dim_k;
}

static inline uint32_t layer_k_dim(const layer *l)
{
    return l->n_kv * l->dim_k;
}

static inline uint32_t layer_v_dim(const layer *l)
{
    return l->n_kv * l->dim_v;
}

/* Columns of the branch's first product. */
static inline uint32_t layer_qkv_dim(const layer *l)
{
    if (l->conv.n_taps)
        return l->conv.in.w.rows;
    return layer_q_dim(l) + layer_k_dim(l) + layer_v_dim(l);
}
#endif
