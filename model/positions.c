/* model/positions.c - how a model tells positions: rotary frequencies and windows, from
 * its metadata. */
#include "model/keys.h"

#include "base/mem.h"
#include <string.h>

/* ---- rotary positions ---- */

static int read_scaling_type(loader *ld, rope_scaling *ret, st_err *err)
{
    static const struct {
        const char *name;
        rope_scaling scaling;
    } kinds[] = {
        {"none", ROPE_PLAIN},
        {"linear", ROPE_LINEAR},
        {"yarn", ROPE_YARN},
        {"longrope", ROPE_PLAIN}, /* its factors are tensors */
    };
    char name[KEY_ROOM];
    gguf_str s;
    if (!keys_has(ld, "rope.scaling.type")) {
        *ret = ROPE_LINEAR; /* by a factor of one unless a key says more */
        return 0;
    }
    int rc = gguf_string(ld->g, keys_name(ld, "rope.scaling.type", name), &s, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < ST_COUNT(kinds); i++) {
        if (strlen(kinds[i].name) == s.len && !memcmp(kinds[i].name, s.data, s.len)) {
            *ret = kinds[i].scaling;
            return 0;
        }
    }
    return st_err_set(err, ST_EUNSUPPORTED,
                      "key '%s': rope scaling '%.*s' is not supported", name,
                      (int)(s.len < 32 ? s.len : 32), s.data);
}

int positions_read(loader *ld, st_err *err)
{
    rope_spec *r = &ld->ropes[0];
    float old_factor;
    int rc = load_u32(ld, "rope.dimension_count", ld->m->layers[0].dim_k, &r->n_rot, err);
    if (!rc)
        rc = load_f32(ld, "rope.freq_base", 10000.0f, &r->base, err);
    if (!rc)
        rc = read_scaling_type(ld, &r->scaling, err);
    if (!rc)
        rc = load_f32(ld, "rope.scale_linear", 1.0f, &old_factor, err);
    if (!rc)
        rc = load_f32(ld, "rope.scaling.factor", old_factor, &r->factor, err);
    if (!rc)
        rc = load_f32(ld, "rope.scaling.attn_factor", 1.0f, &r->attn_factor, err);
    if (!rc)
        rc = load_f32(ld, "rope.scaling.yarn_beta_fast", 32.0f, &r->beta_fast, err);
    if (!rc)
        rc = load_f32(ld, "rope.scaling.yarn_beta_slow", 1.0f, &r->beta_slow, err);
    if (!rc)
        rc = load_u32(ld, "rope.scaling.original_context_length", ld->m->info.n_ctx_train,
                      &r->n_ctx_orig, err);
    if (rc)
        return rc;
    if (r->factor == 0.0f) /* how old files write "none" */
        r->factor = 1.0f;
    ld->ropes[1] = *r;
    ld->ropes[1].scaling = ROPE_PLAIN;
    return 0;
}

int load_rope_sliding(loader *ld, float base, st_err *err)
{
    for (uint32_t i = 0; i < ld->m->info.n_layers; i++)
        ld->m->layers[i].rope = ld->m->layers[i].window ? 1 : 0;
    int rc = load_f32(ld, "rope.freq_base_swa", base, &ld->ropes[1].base, err);
    return rc ? rc
              : load_u32(ld, "rope.dimension_count_swa", ld->ropes[1].n_rot,
                         &ld->ropes[1].n_rot, err);
}

static bool rope_used(const loader *ld, unsigned index)
{
    for (uint32_t i = 0; i < ld->m->info.n_layers; i++)
        if (ld->m->layers[i].rope == index)
            return true;
    return false;
}

static int check_n_rot(const loader *ld, unsigned index, st_err *err)
{
    uint32_t n_rot = ld->ropes[index].n_rot;
    for (uint32_t i = 0; i < ld->m->info.n_layers; i++) {
        const layer *l = &ld->m->layers[i];
        if (l->rope == index && (n_rot == 0 || n_rot % 2 || n_rot > l->dim_k))
            return st_err_set(err, ST_EFORMAT,
                              "key '%s.rope.dimension_count' is %u, expected "
                              "an even number up to the head's width %u",
                              ld->family->arch, n_rot, l->dim_k);
    }
    return 0;
}

/* Divisors of the frequencies: one tensor, or long and short ones chosen by context. */
static int read_divisors(loader *ld, st_err *err)
{
    rope_spec *r = &ld->ropes[0];
    const char *used = "rope_freqs.weight", *other = NULL;
    int rc;
    if (!bind_has(&ld->binder, used)) {
        bool is_long = ld->n_ctx > r->n_ctx_orig;
        used = is_long ? "rope_factors_long.weight" : "rope_factors_short.weight";
        other = is_long ? "rope_factors_short.weight" : "rope_factors_long.weight";
        if (!bind_has(&ld->binder, used))
            return 0;
    }
    ld->divisors = st_alloc_n(r->n_rot / 2, sizeof(float));
    if (!ld->divisors)
        return st_err_set(err, ST_ENOMEM, "out of memory for rope factors");
    rc = other && bind_has(&ld->binder, other)
             ? bind_read(&ld->binder, other, r->n_rot / 2, ld->divisors, err)
             : 0;
    if (!rc)
        rc = bind_read(&ld->binder, used, r->n_rot / 2, ld->divisors, err);
    r->divisors = ld->divisors;
    return rc;
}

int positions_ready(loader *ld, st_err *err)
{
    for (unsigned i = 0; i < 2; i++) {
        if (!rope_used(ld, i))
            continue;
        int rc = check_n_rot(ld, i, err);
        if (!rc && i == 0)
            rc = read_divisors(ld, err);
        if (!rc)
            rc = rope_init(&ld->m->ropes[i], &ld->ropes[i], err);
        if (rc)
            return rc;
        ld->m->ropes[i].halves = ld->family->rope == ROPE_HALVES;
    }
    return 0;
}

/* ---- sliding windows ---- */

void load_window_all(loader *ld)
{
    for (uint32_t i = 0; i < ld->m->info.n_layers; i++)
        ld->m->layers[i].window = ld->window;
}

/* The pattern as a flag a layer; false when the key is absent or a period. */
static bool pattern_flags(const loader *ld, const unsigned char **ret_flags,
                          uint64_t *ret_n)
{
    char name[KEY_ROOM];
    const gguf_key *key =
        gguf_find(ld->g, keys_name(ld, "attention.sliding_window_pattern", name));
    if (!key || key->type != GGUF_ARRAY || key->elem != GGUF_BOOL)
        return false;
    *ret_flags = key->data;
    *ret_n = key->n;
    return true;
}

int load_windows(loader *ld, uint32_t period, bool full_first, st_err *err)
{
    uint32_t n_layers = ld->m->info.n_layers;
    const unsigned char *flags = NULL;
    uint64_t n_flags = 0;
    if (pattern_flags(ld, &flags, &n_flags)) {
        if (n_flags != n_layers)
            return st_err_set(err, ST_EFORMAT,
                              "key '%s.attention.sliding_window_pattern' "
                              "has %llu flags for %u layers",
                              ld->family->arch, (unsigned long long)n_flags, n_layers);
    } else {
        int rc = load_u32(ld, "attention.sliding_window_pattern", period, &period, err);
        if (!rc)
            rc = keys_in_range(ld, "attention.sliding_window_pattern", period, 1,
                               UINT32_MAX, err);
        if (rc)
            return rc;
    }
    for (uint32_t i = 0; i < n_layers; i++) {
        uint32_t at = full_first ? i : i + 1;
        bool slides = flags ? flags[i] != 0 : at % period != 0;
        ld->m->layers[i].window = slides ? ld->window : 0;
    }
    return 0;
}
