/* expert/experts.h - what an expert is made of, inside this room.
 *
 * An artifact owns everything below it, whether it was fitted a moment ago or read from a
 * file: fit fills one, pool reads one, and neither can tell the difference.
 *
 * A reading says how a text becomes numbers with a model: which layers' states, pooled
 * how, of the bare text or inside the prompt.  Each layer's vector is scaled to unit
 * length; the vectors stand side by side, `width` floats in all.  A scaling, fitted on
 * the training rows, then makes every number of mean 0 and variance 1 / width. */
#ifndef EXPERT_EXPERTS_H
#define EXPERT_EXPERTS_H
#include "expert/artifact.h"
#include "expert/lm.h"
#include "expert/question.h"

enum {
    READING_MAX_LAYERS = 4,
    EXPERT_MAX_ROWS = 1 << 22,  /* remembered by neighbours */
    EXPERT_MAX_WIDTH = 1 << 17, /* of a reading */
};

typedef enum expert_kind {
    EXPERT_WORDS,
    EXPERT_HEAD,
    EXPERT_NEIGHBOURS,
} expert_kind;

typedef enum reading_pooling {
    READING_MEAN,
    READING_LAST,
} reading_pooling;

typedef struct reading {
    uint32_t n_layers;
    uint32_t layers[READING_MAX_LAYERS]; /* rising; 0 is the embedding */
    reading_pooling pooling;
    bool prompt; /* the text inside lm_prompt() with the question's instructions */
} reading;

typedef struct scaling {
    uint32_t d;
    float *mean;   /* [d] */
    float *factor; /* [d]: 0 where the training rows do not vary */
} scaling;

typedef struct words_model {
    uint32_t n;        /* features */
    uint32_t *feature; /* [n] rising */
    float *idf;        /* [n] */
    float *rows;       /* [(n + 1) * K], logistic.h's shape */
} words_model;

typedef struct head_model {
    scaling scale;
    float *rows; /* [(d + 1) * K] */
} head_model;

typedef struct neighbours_model {
    scaling scale;
    uint32_t r;      /* directions kept */
    float *basis;    /* [d, r] */
    uint32_t n;      /* rows remembered */
    float *keys;     /* [n, r], unit length */
    int32_t *labels; /* [n] */
    uint32_t k;      /* neighbours that vote */
    double spread;   /* temperature of their votes */
    double doubt;    /* share spread evenly over all options */
} neighbours_model;

typedef struct expert {
    expert_kind kind;
    char *name;
    uint32_t model; /* in the artifact's list; words: ARTIFACT_MAX_MODELS */
    reading read;
    double weight;
    union {
        words_model words;
        head_model head;
        neighbours_model near;
    } as;
} expert;

typedef struct artifact_setting_pair {
    char *key;
    char *value;
} artifact_setting_pair;

struct artifact {
    char digest[ST_DIGEST_TEXT];
    char contract[ST_DIGEST_TEXT];
    uint32_t n_options;
    char **options;
    uint32_t n_models;
    artifact_model models[ARTIFACT_MAX_MODELS]; /* strings owned */
    uint32_t n_experts;
    expert experts[ARTIFACT_MAX_EXPERTS];
    uint32_t n_settings;
    artifact_setting_pair settings[ARTIFACT_MAX_SETTINGS];
};

const char *expert_kind_name(expert_kind kind);
void expert_done(expert *x);
uint32_t expert_width(const expert *x); /* floats of its reading; 0 for words */

/* An artifact without experts, bound to these; strings are copied. */
ST_NODISCARD int artifact_new(const char *contract, const question *q,
                              const artifact_model *models, uint32_t n_models,
                              artifact **ret_artifact, st_err *err);
ST_NODISCARD int artifact_set(artifact *a, const char *key, const char *value,
                              st_err *err);
ST_NODISCARD int artifact_save(const artifact *a, const char *path, st_err *err);
#endif
