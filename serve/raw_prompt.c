/* serve/raw_prompt.c - prompts that are text or tokens, without a template. */
#include "serve/raw_prompt.h"

#include "base/mem.h"
#include "serve/param.h"
#include <string.h>

static int id_add(const tok *tk, const json_t *value, tok_ids *ids, st_err *err)
{
    int64_t id = body_int(value, -1);
    if (id < 0 || (uint64_t)id >= tok_n_vocab(tk))
        return st_err_set(err, ST_EINVAL, "%lld is no token of the model's %u",
                          (long long)id, tok_n_vocab(tk));
    if (ids->n == ids->cap) {
        size_t cap = 2 * ids->cap + 64;
        int32_t *more = st_realloc_n(ids->ids, cap, sizeof *more);
        if (!more)
            return st_err_set(err, ST_ENOMEM, "no memory for a prompt");
        ids->ids = more;
        ids->cap = cap;
    }
    ids->ids[ids->n++] = (int32_t)id;
    return 0;
}

/* A text, or an array of texts and ids one after the other. */
static int one_encode(const tok *tk, const json_t *prompt, tok_ids *ids, st_err *err)
{
    const json_t *piece;
    size_t i;
    int rc = 0;
    if (json_is_string(prompt))
        return tok_encode(tk, json_string_value(prompt), json_string_length(prompt),
                          TOK_ADD | TOK_PARSE, ids, err);
    json_array_foreach(prompt, i, piece)
    {
        if (rc == 0 && json_is_string(piece))
            rc = tok_encode(tk, json_string_value(piece), json_string_length(piece),
                            i == 0 ? TOK_ADD | TOK_PARSE : TOK_PARSE, ids, err);
        else if (rc == 0 && json_is_number(piece))
            rc = id_add(tk, piece, ids, err);
        else if (rc == 0)
            rc = st_err_set(err, ST_EINVAL, "a prompt is a text or token ids");
    }
    return rc;
}

static void one_read(talk *t, const json_t *prompt, const char *param)
{
    st_err err = {0};
    tok_ids ids = {0};
    if (one_encode(t->lm->tok, prompt, &ids, &err) < 0)
        problems_from(&t->wrong, param, &err);
    else
        talk_prompt(t, &ids, param);
    tok_ids_done(&ids);
}

static void prompts_read(talk *t, const json_t *prompt, bool many)
{
    const json_t *first = json_array_get(prompt, 0), *one;
    char at[PROBLEM_PARAM_MAX];
    size_t i, n = json_array_size(prompt);
    if (json_is_string(prompt))
        st_buf_add(&t->input, json_string_value(prompt), json_string_length(prompt));
    bool list =
        many ? json_is_string(first) || json_is_array(first) : json_is_array(first);
    if (!list) {
        one_read(t, prompt, "prompt");
        return;
    }
    if (n * t->n > TALK_MAX_TEXTS) {
        problems_add(&t->wrong, PROBLEM_COUNT, "prompt", "at most %d texts a request",
                     (int)TALK_MAX_TEXTS);
        return;
    }
    json_array_foreach(prompt, i, one)
    {
        param_index(at, "prompt", i);
        one_read(t, one, at);
    }
}

void raw_start(talk *t, const json_t *body, bool many)
{
    talk_held_check(t);
    talk_not_told(t, (const char *const[]){"show_schema", NULL});
    talk_find_model(t);
    if (talk_refuse(t))
        return;
    talk_hold(t);
    prompts_read(t, body_get(body, "prompt"), many);
    if (!talk_refuse(t))
        talk_start(t);
}
