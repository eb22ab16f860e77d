/* gguf/lora.c - an adapter's pairs; those of a GGUF file.
 *
 * Source: llama.cpp's convert_lora_to_gguf.py writes general.type "adapter", adapter.type
 * "lora", adapter.lora.alpha, and TENSOR.lora_a [columns, rank] and TENSOR.lora_b [rank,
 * rows] in GGUF's order; the product is scaled by alpha / rank, or not where alpha is 0.
 */
#include "gguf/lora.h"

#include "base/mem.h"
#include "gguf/lora_priv.h"
#include <string.h>
#include <sys/stat.h>

int lora_add(lora *l, const lora_pair *pair, st_err *err)
{
    const lora_factor *f[] = {&pair->a, &pair->b};
    for (int i = 0; i < 2; i++)
        if (f[i]->type != ST_F32 && f[i]->type != ST_F16 && f[i]->type != ST_BF16)
            return st_err_set(err, ST_EUNSUPPORTED,
                              "tensor '%s': its factors are neither F32, F16 nor BF16",
                              pair->tensor);
    if (pair->a.rows == 0 || pair->a.cols == 0 || pair->b.rows == 0 ||
        pair->b.cols != pair->a.rows)
        return st_err_set(err, ST_EFORMAT,
                          "tensor '%s': factors [%llu, %llu] and [%llu, %llu] make no "
                          "product",
                          pair->tensor, (unsigned long long)pair->b.rows,
                          (unsigned long long)pair->b.cols,
                          (unsigned long long)pair->a.rows,
                          (unsigned long long)pair->a.cols);
    if (l->n_pairs == LORA_MAX_PAIRS)
        return st_err_set(err, ST_ELIMIT, "more than %d adapted tensors", LORA_MAX_PAIRS);
    if (l->n_pairs == l->room) {
        size_t room = l->room ? 2 * l->room : 64;
        lora_pair *more = st_realloc_n(l->pairs, room, sizeof *more);
        if (!more)
            return st_err_set(err, ST_ENOMEM, "out of memory for adapted tensors");
        l->pairs = more;
        l->room = room;
    }
    l->pairs[l->n_pairs++] = *pair;
    return 0;
}

/* --- GGUF */

static bool is_str(gguf_str s, const char *want)
{
    return s.len == strlen(want) && memcmp(s.data, want, s.len) == 0;
}

static int kind_check(const gguf *g, const char *key, const char *want, st_err *err)
{
    gguf_str is;
    int rc = gguf_string(g, key, &is, err);
    if (rc == ST_ENOTFOUND)
        return st_err_set(err, ST_EFORMAT, "no adapter: key '%s' is missing", key);
    if (rc == 0 && !is_str(is, want))
        rc = st_err_set(err, ST_EUNSUPPORTED, "key '%s' is '%.*s', expected '%s'", key,
                        (int)(is.len < 40 ? is.len : 40), is.data, want);
    return rc;
}

/* What an adapter may say of itself beside its name: nothing else is ignored. */
static int keys_check(const gguf *g, st_err *err)
{
    static const char *const known[] = {"adapter.type", "adapter.lora.alpha",
                                        "adapter.lora.task_name"};
    for (size_t i = 0; i < gguf_n_keys(g); i++) {
        const char *name = gguf_key_at(g, i)->name;
        bool found = strncmp(name, "adapter.", 8) != 0;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            found = found || strcmp(name, known[k]) == 0;
        if (!found)
            return st_err_set(err, ST_EUNSUPPORTED, "key '%s' is not supported", name);
    }
    return 0;
}

static int string_keep(const gguf *g, const char *key, char **ret, st_err *err)
{
    gguf_str s;
    if (!gguf_has(g, key))
        return 0;
    int rc = gguf_string(g, key, &s, err);
    if (rc == 0 && !(*ret = st_dup(s.data, s.len)))
        rc = st_err_set(err, ST_ENOMEM, "out of memory");
    return rc;
}

static lora_factor factor_of(const gguf_tensor *t)
{
    return (lora_factor){t->type, t->dims[1], t->dims[0], t->data};
}

static bool is_matrix(const gguf_tensor *t)
{
    return t->dims[2] == 1 && t->dims[3] == 1;
}

/* The pair of a ".lora_a" tensor. */
static int pair_read(lora *l, const gguf_tensor *a, size_t stem, float alpha, st_err *err)
{
    char name[LORA_NAME_ROOM + 8];
    lora_pair p = {.a = factor_of(a)};
    memcpy(p.tensor, a->name, stem);
    memcpy(name, a->name, stem);
    memcpy(name + stem, ".lora_b", sizeof ".lora_b");
    const gguf_tensor *b = gguf_find_tensor(l->file, name);
    if (!b)
        return st_err_set(err, ST_EFORMAT, "tensor '%s' is missing", name);
    if (!is_matrix(a) || !is_matrix(b))
        return st_err_set(err, ST_EUNSUPPORTED,
                          "tensor '%s': factors of many matrices are not supported",
                          p.tensor);
    p.b = factor_of(b);
    p.scale = alpha != 0 && p.b.cols > 0 ? (double)alpha / (double)p.b.cols : 1;
    return lora_add(l, &p, err);
}

/* How long the name of the base's tensor is in an adapter's; 0: it is none. */
static size_t stem_of(const char *name, const char *end)
{
    size_t len = strlen(name), n = strlen(end);
    return len > n && len - n < LORA_NAME_ROOM && strcmp(name + len - n, end) == 0
               ? len - n
               : 0;
}

static int pairs_read(lora *l, st_err *err)
{
    float alpha;
    size_t n_b = 0;
    int rc = gguf_f32_or(l->file, "adapter.lora.alpha", 0, &alpha, err);
    if (rc == 0 && !(alpha >= -1e6f && alpha <= 1e6f))
        rc = st_err_set(err, ST_EFORMAT, "key 'adapter.lora.alpha' is %g", (double)alpha);
    for (size_t i = 0; rc == 0 && i < gguf_n_tensors(l->file); i++) {
        const gguf_tensor *t = gguf_tensor_at(l->file, i);
        size_t stem = stem_of(t->name, ".lora_a");
        if (stem > 0)
            rc = pair_read(l, t, stem, alpha, err);
        else if (stem_of(t->name, ".lora_b") > 0)
            n_b++;
        else
            rc = st_err_set(err, ST_EUNSUPPORTED, "tensor '%s' is no low-rank factor",
                            t->name);
    }
    if (rc == 0 && n_b != l->n_pairs)
        rc = st_err_set(err, ST_EFORMAT, "%zu tensors .lora_a and %zu .lora_b",
                        l->n_pairs, n_b);
    return rc;
}

static int read_gguf(lora *l, st_err *err)
{
    int rc = kind_check(l->file, "general.type", "adapter", err);
    if (rc == 0)
        rc = kind_check(l->file, "adapter.type", "lora", err);
    if (rc == 0)
        rc = keys_check(l->file, err);
    if (rc == 0)
        rc = string_keep(l->file, "general.architecture", &l->arch, err);
    if (rc == 0)
        rc = string_keep(l->file, "general.base_model.0.name", &l->base, err);
    return rc < 0 ? rc : pairs_read(l, err);
}

/* --- both */

static int lora_end(lora *l, int rc, lora **ret_lora, st_err *err)
{
    if (rc == 0 && l->n_pairs == 0)
        rc = st_err_set(err, ST_EFORMAT, "an adapter of no tensor");
    if (rc < 0)
        lora_close(l);
    else
        *ret_lora = l;
    return rc;
}

int lora_open_bytes(const void *data, size_t len, lora **ret_lora, st_err *err)
{
    lora *l = st_zalloc_n(1, sizeof *l);
    if (!l)
        return st_err_set(err, ST_ENOMEM, "out of memory for an adapter");
    int rc = gguf_open_bytes(data, len, &l->file, err);
    return lora_end(l, rc < 0 ? rc : read_gguf(l, err), ret_lora, err);
}

int lora_open(const char *path, lora **ret_lora, st_err *err)
{
    struct stat is;
    lora *l = st_zalloc_n(1, sizeof *l);
    if (!l)
        return st_err_set(err, ST_ENOMEM, "out of memory for an adapter");
    int rc;
    if (stat(path, &is) == 0 && S_ISDIR(is.st_mode)) {
        rc = lora_read_peft(l, path, err);
    } else {
        rc = gguf_open(path, &l->file, err);
        if (rc == 0)
            rc = read_gguf(l, err);
    }
    rc = lora_end(l, rc, ret_lora, err);
    if (rc < 0)
        st_err_at(err, "%s", path);
    return rc;
}

void lora_close(lora *l)
{
    if (!l)
        return;
    gguf_close(l->file);
    safet_close(l->tensors);
    st_free(l->pairs);
    st_free(l->arch);
    st_free(l->base);
    st_free(l);
}

size_t lora_n_pairs(const lora *l)
{
    return l->n_pairs;
}

const lora_pair *lora_pair_at(const lora *l, size_t i)
{
    return &l->pairs[i];
}

const char *lora_arch(const lora *l)
{
    return l->arch ? l->arch : "";
}

const char *lora_base(const lora *l)
{
    return l->base ? l->base : "";
}

bool lora_is_peft(const lora *l)
{
    return l->tensors != NULL;
}
