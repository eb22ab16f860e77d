/* expert/names.c - an encoder's zero-shot answer: which option's name is nearest. */
#include "expert/names.h"

#include "base/mem.h"

enum { MAX_NAME = 1 << 20 };

struct names {
    lm *lm;
    uint32_t n_options;
    uint32_t n_embd;
    float *vectors; /* [n_options, n_embd], unit length */
    float *input;   /* [n_embd] */
};

static int embed(names *n, const char *text, size_t len, float *ret, st_err *err)
{
    tok_ids ids = {0};
    int rc = tok_encode(n->lm->tok, text, len, TOK_ADD, &ids, err);
    if (rc == 0) {
        const int32_t *texts[1] = {ids.ids};
        uint32_t lens[1] = {(uint32_t)ids.n};
        rc = engine_embed(n->lm->engine, texts, lens, 1, ret, err);
    }
    tok_ids_done(&ids);
    return rc;
}

static int embed_option(names *n, const question *q, uint32_t i, st_err *err)
{
    const question_option *o = &q->options[i];
    bool none = q->abstain && i + 1 == q->n_options;
    st_buf text;
    st_buf_init(&text, MAX_NAME);
    for (const char *p = o->value; *p && !none; p++)
        (void)st_buf_char(&text, *p == '_' || *p == '-' ? ' ' : *p);
    if (o->description)
        (void)st_buf_fmt(&text, "%s%s", none ? "" : ": ", o->description);
    int rc = text.code
                 ? st_err_set(err, text.code, "no memory for an option's name")
                 : embed(n, text.data, text.len, n->vectors + (size_t)i * n->n_embd, err);
    st_buf_done(&text);
    return rc;
}

int names_new(lm *l, const question *q, names **ret_names, st_err *err)
{
    int rc = ST_ENOMEM;
    names *n = st_zalloc_n(1, sizeof *n);
    if (!n)
        goto fail;
    n->lm = l;
    n->n_options = q->n_options;
    n->n_embd = model_about(l->model)->n_embd;
    n->vectors = st_zalloc_n((size_t)n->n_options * n->n_embd, sizeof *n->vectors);
    n->input = st_zalloc_n(n->n_embd, sizeof *n->input);
    if (!n->vectors || !n->input)
        goto fail;
    rc = 0;
    for (uint32_t i = 0; i < n->n_options && rc == 0; i++)
        rc = embed_option(n, q, i, err);
    if (rc)
        goto fail;
    *ret_names = n;
    return 0;
fail:
    names_free(n);
    return st_err_set(err, rc, "no memory for the options' names");
}

void names_free(names *n)
{
    if (!n)
        return;
    st_free(n->vectors);
    st_free(n->input);
    st_free(n);
}

int names_score(names *n, const char *text, size_t len, double *ret_cosines, st_err *err)
{
    int rc = embed(n, text, len, n->input, err);
    for (uint32_t i = 0; rc == 0 && i < n->n_options; i++) {
        const float *v = n->vectors + (size_t)i * n->n_embd;
        double dot = 0;
        for (uint32_t d = 0; d < n->n_embd; d++)
            dot += (double)v[d] * (double)n->input[d];
        ret_cosines[i] = dot;
    }
    return rc;
}
