/* task/length.c - inputs held to the length that the contract allows.
 *
 * The cut is found by bisection over the bytes that are kept: a text with more of its
 * middle taken out has, but for a token or two at the seam, fewer tokens.  What is
 * returned has been counted. */
#include "task/length.h"

#include <string.h>

#include "base/mem.h"

static const char seam[] = " ... ";
enum { SEAM = sizeof seam - 1, MODEL_ADDS = 8 /* more than any model adds to a text */ };

typedef struct limit {
    const contract *c;
    lm *const *models;
    uint32_t n_models;
} limit;

static uint32_t limit_of(const limit *l, uint32_t i)
{
    uint32_t context = engine_n_ctx(l->models[i]->engine);
    uint32_t most = l->c->max_tokens;
    return most && most < context ? most : context;
}

/* The first model that the text is too long for, or -1; its count. */
static int find_excess(const limit *l, const char *text, size_t len, int *ret_over,
                       size_t *ret_tokens, st_err *err)
{
    *ret_over = -1;
    for (uint32_t i = 0; i < l->n_models; i++) {
        tok_ids ids = {0};
        if (len + MODEL_ADDS <= limit_of(l, i)) /* a token has at least one byte */
            continue;
        int rc = tok_encode(l->models[i]->tok, text, len, TOK_ADD, &ids, err);
        size_t n = ids.n;
        tok_ids_done(&ids);
        if (rc)
            return rc;
        if (n > limit_of(l, i)) {
            *ret_over = (int)i;
            *ret_tokens = n;
            return 0;
        }
    }
    return 0;
}

static bool starts_character(const char *text, size_t len, size_t at)
{
    return at >= len || ((unsigned char)text[at] & 0xC0) != 0x80;
}

/* The first and last keep/2 bytes, each back to a whole character, joined by the seam. */
static size_t join_ends(const char *text, size_t len, size_t keep, char *to)
{
    size_t head = keep / 2;
    size_t tail = keep / 2;
    while (head && !starts_character(text, len, head))
        head--;
    while (tail && !starts_character(text, len, len - tail))
        tail--;
    memcpy(to, text, head);
    memcpy(to + head, seam, SEAM);
    memcpy(to + head + SEAM, text + len - tail, tail);
    to[head + SEAM + tail] = '\0';
    return head + SEAM + tail;
}

static int cut_middle(const limit *l, const char *text, size_t len, char **ret_cut,
                      size_t *ret_len, st_err *err)
{
    char *cut = st_alloc(len + SEAM + 1);
    size_t low = 0;
    size_t high = len;
    int rc = 0;
    if (!cut)
        return st_err_set(err, ST_ENOMEM, "no memory to shorten an input");
    while (high - low > 1 && rc == 0) {
        size_t keep = low + (high - low) / 2;
        size_t tokens;
        int over;
        rc = find_excess(l, cut, join_ends(text, len, keep, cut), &over, &tokens, err);
        if (over < 0)
            low = keep;
        else
            high = keep;
    }
    if (rc) {
        st_free(cut);
        return rc;
    }
    *ret_len = join_ends(text, len, low, cut);
    *ret_cut = cut;
    return 0;
}

int length_hold(const contract *c, lm *const *models, uint32_t n_models, const char *text,
                size_t len, char **ret_cut, size_t *ret_len, st_err *err)
{
    const limit l = {c, models, n_models};
    size_t tokens = 0;
    int over;
    int rc = find_excess(&l, text, len, &over, &tokens, err);
    if (rc)
        return rc;
    if (over >= 0 && c->too_long == CONTRACT_TRUNCATE_MIDDLE)
        return cut_middle(&l, text, len, ret_cut, ret_len, err);
    if (over >= 0) {
        st_err_set(err, ST_ELIMIT, "the input has %zu tokens; at most %u are read",
                   tokens, limit_of(&l, (uint32_t)over));
        st_err_hint(err, "shorten it, or write `on_too_long: truncate_middle` into the "
                         "contract");
        return ST_ELIMIT;
    }
    *ret_cut = NULL;
    return 0;
}
