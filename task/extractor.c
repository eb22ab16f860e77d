/* task/extractor.c - a model that writes answers held to a contract's schema, opened. */
#include "task/extract_write.h"

#include <string.h>

#include "base/mem.h"

enum { MAX_TEXT = 64 << 20 };

static size_t common_beginning(const tok_ids *a, const tok_ids *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->ids[n] == b->ids[n])
        n++;
    return n;
}

/* What the prompts of two inputs have in common that have nothing in common. */
static int find_beginning(extractor *x, const extract_ask *shared, st_err *err)
{
    extract_ask one = {.text = "a", .len = 1};
    extract_ask two = {.text = "9.", .len = 2};
    tok_ids other = {0};
    if (shared) {
        one.shots = two.shots = shared->shots;
        one.n_shots = two.n_shots = shared->n_shots;
    } else {
        static const shot a = {"a", 1, "a", 1};
        static const shot b = {"9.", 2, "9", 1};
        static const shot *const as[] = {&a};
        static const shot *const bs[] = {&b};
        one.shots = as;
        two.shots = bs;
        one.n_shots = two.n_shots = 1;
    }
    int rc = extract_prompt_encode(x->lm, x->system, &one, &x->beginning, err);
    if (rc == 0)
        rc = extract_prompt_encode(x->lm, x->system, &two, &other, err);
    if (rc == 0)
        x->beginning.n = common_beginning(&x->beginning, &other);
    tok_ids_done(&other);
    return rc;
}

/* A beginning that does not fit is no error here: the prompts themselves are judged. */
static int pin_beginning(extractor *x, st_err *err)
{
    st_err why = {0};
    if (x->beginning.n == 0)
        return 0;
    int rc = sched_prefix_pin(x->sched, x->beginning.ids, (uint32_t)x->beginning.n,
                              &x->prefix, &why);
    if (rc == ST_ELIMIT)
        return 0;
    if (rc)
        return st_err_set(err, rc, "%s", why.message);
    rc = x->lm->keeps ? sched_prefix_run_kept(x->sched, x->prefix, &why) : 0;
    return rc == 0 || rc == ST_EBUSY ? 0 : st_err_set(err, rc, "%s", why.message);
}

int extractor_bind(extractor *x, st_err *err)
{
    int rc = x->sched ? 0 : lm_sched(x->lm, NULL, &x->sched, err);
    return rc || x->prefix ? rc : pin_beginning(x, err);
}

static int open_parts(extractor *x, const extract_ask *shared, st_err *err)
{
    st_buf system;
    st_buf_init(&system, MAX_TEXT);
    int rc = extract_prompt_system(x->c, &system, err);
    if (rc == 0 && !(x->system = st_buf_detach(&system, NULL)))
        rc = st_err_set(err, ST_ENOMEM, "no memory for a prompt");
    st_buf_done(&system);
    if (rc == 0)
        rc = vocab_new(x->lm->tok, &x->vocab, err);
    if (rc == 0)
        rc = masker_new(x->c->output.grammar, x->vocab, NULL, &x->masker, err);
    return rc ? rc : find_beginning(x, shared, err);
}

int extractor_new(lm *l, const contract *c, const extract_ask *shared,
                  extractor **ret_extractor, st_err *err)
{
    if (!model_about(l->model)->has_head || !model_about(l->model)->causal) {
        st_err_set(err, ST_EUNSUPPORTED, "%s writes no text: it is an encoder", l->path);
        st_err_hint(err, "name a language model in `models`");
        return ST_EUNSUPPORTED;
    }
    extractor *x = st_zalloc_n(1, sizeof *x);
    if (!x)
        return st_err_set(err, ST_ENOMEM, "no memory to extract");
    x->lm = l;
    x->c = c;
    int rc = open_parts(x, shared, err);
    if (rc) {
        extractor_free(x);
        return rc;
    }
    *ret_extractor = x;
    return 0;
}

void extractor_free(extractor *x)
{
    if (!x)
        return;
    if (x->prefix)
        sched_prefix_unpin(x->sched, x->prefix);
    masker_free(x->masker);
    vocab_free(x->vocab);
    tok_ids_done(&x->beginning);
    st_free(x->system);
    st_free(x);
}
