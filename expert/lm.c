/* expert/lm.c - open a model file for use, and write prompts in its chat format.
 *
 * The file is closed again once weights and vocabulary are bound.  A prompt goes through
 * the model's own template; what the caller's texts spell stays data, because the
 * template marks their bytes and the tokenizer makes no control token of a marked byte.
 */
#include "expert/lm.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "engine/sched.h"
#include <string.h>

static int digest_take(lm *l, gguf *g, st_err *err)
{
    const char *digest;
    int rc = gguf_digest_recall(g, &digest, err);
    if (rc == 0)
        memcpy(l->digest, digest, sizeof l->digest);
    return rc;
}

static int weights_load(lm *l, gguf *g, const lm_opts *opts, st_err *err)
{
    workers *packers = NULL;
    int rc = workers_new(opts->engine.n_threads, &packers, err);
    if (rc < 0)
        return rc;
    model_opts how = {.n_ctx = opts->engine.n_ctx,
                      .workers = packers,
                      .int8 = opts->int8,
                      .digest = l->digest};
    rc = model_load(g, &how, &l->model, err);
    workers_free(packers);
    return rc;
}

static int vocabulary_load(lm *l, gguf *g, st_err *err)
{
    int rc = tok_new(g, &l->tok, err);
    if (rc < 0)
        return rc;
    if (tok_n_vocab(l->tok) > model_about(l->model)->n_vocab)
        return st_err_set(err, ST_EFORMAT,
                          "the tokenizer has %u tokens, the model knows %u",
                          tok_n_vocab(l->tok), model_about(l->model)->n_vocab);
    const char *chat = tok_chat_template(l->tok);
    if (!chat)
        return 0;
    rc = tmpl_parse(chat, strlen(chat), &l->chat, err);
    if (rc < 0)
        st_err_at(err, "chat template");
    return rc;
}

static int engine_make(lm *l, const lm_opts *opts, st_err *err)
{
    engine_opts how = opts->engine;
    uint32_t trained = model_about(l->model)->n_ctx_train;
    if (opts->ctx_most && trained > 0 && how.n_ctx > trained)
        how.n_ctx = trained;
    return engine_new(l->model, &how, &l->engine, err);
}

int lm_open(const char *path, const lm_opts *opts, lm **ret_lm, st_err *err)
{
    const lm_opts defaults = {0};
    opts = opts ? opts : &defaults;
    gguf *g = NULL;
    lm *l = st_zalloc_n(1, sizeof *l);
    if (!l || !(l->path = st_strdup(path))) {
        st_free(l);
        return st_err_set(err, ST_ENOMEM, "no memory for a model");
    }
    int rc = gguf_open(path, &g, err);
    if (rc < 0)
        goto fail; /* names the path itself */
    if ((rc = digest_take(l, g, err)) < 0 || (rc = weights_load(l, g, opts, err)) < 0 ||
        (rc = vocabulary_load(l, g, err)) < 0 || (rc = engine_make(l, opts, err)) < 0) {
        st_err_at(err, "%s", path);
        goto fail;
    }
    gguf_close(g);
    st_mem_trim(); /* what reading the file took */
    *ret_lm = l;
    return 0;
fail:
    gguf_close(g);
    lm_close(l);
    return rc;
}

void lm_close(lm *l)
{
    if (!l)
        return;
    for (uint32_t i = 0; i < LM_BEGINNINGS; i++) {
        if (l->begun[i].pin)
            sched_prefix_unpin(l->sched, l->begun[i].pin);
        tok_ids_done(&l->begun[i].ids);
    }
    sched_free(l->sched);
    engine_free(l->engine);
    tmpl_free(l->chat);
    tok_free(l->tok);
    model_free(l->model);
    st_free(l->path);
    st_free(l);
}

/* How chat formats spell the end of a turn, where it is not the end of the text. */
static const char *const turn_ends[] = {"<|im_end|>", "<|eot_id|>", "<end_of_turn>",
                                        "<|end|>", "<|END_OF_TURN_TOKEN|>"};

int32_t lm_turn_end(const lm *l)
{
    if (!l->chat)
        return -1;
    for (size_t i = 0; i < ST_COUNT(turn_ends); i++) {
        int32_t id = tok_find(l->tok, turn_ends[i]);
        if (id >= 0 && tok_is_end(l->tok, id))
            return id;
    }
    return tok_eos(l->tok);
}

/* The spelling of a control token as a JSON string; "" when there is none. */
static json_t *token_text(const lm *l, int32_t id, st_err *err)
{
    st_buf text;
    st_buf_init(&text, 1 << 16);
    json_t *value = NULL;
    if (id < 0 || tok_decode(l->tok, &id, 1, true, &text, err) == 0)
        value = json_stringn(text.data ? text.data : "", text.len);
    st_buf_done(&text);
    return value;
}

int lm_render(const lm *l, const json_t *messages, const json_t *tools,
              const json_t *more, int64_t now_unix, tmpl_out *out, st_err *err)
{
    const tmpl_opts opts = {.now_unix = now_unix};
    int rc = ST_ENOMEM;
    if (!l->chat) {
        st_err_set(err, ST_EUNSUPPORTED, "%s has no chat template", l->path);
        st_err_hint(err, "give a plain prompt, or use an instruction-tuned model");
        return ST_EUNSUPPORTED;
    }
    json_t *turns = json_deep_copy(messages);
    json_t *functions = tools ? json_deep_copy(tools) : json_null();
    json_t *bos = token_text(l, tok_bos(l->tok), err);
    json_t *eos = token_text(l, tok_eos(l->tok), err);
    json_t *vars = json_pack("{s:O?, s:b, s:O?, s:O?, s:O?, s:n}", "messages", turns,
                             "add_generation_prompt", 1, "bos_token", bos, "eos_token",
                             eos, "tools", functions, "documents");
    if (!turns || !bos || !eos || !functions || !vars ||
        (more && json_object_update_missing(vars, (json_t *)(uintptr_t)more) < 0))
        st_err_set(err, rc, "no memory for a prompt");
    else
        rc = tmpl_render(l->chat, vars, &opts, out, err);
    json_decref(vars);
    json_decref(eos);
    json_decref(bos);
    json_decref(functions);
    json_decref(turns);
    return rc;
}

int lm_chat(const lm *l, const json_t *messages, const json_t *tools, tok_ids *ids,
            st_err *err)
{
    return lm_chat_with(l, messages, tools, NULL, ids, err);
}

int lm_chat_with(const lm *l, const json_t *messages, const json_t *tools,
                 const json_t *more, tok_ids *ids, st_err *err)
{
    tmpl_out out;
    tmpl_out_init(&out);
    int rc = lm_render(l, messages, tools, more, 0, &out, err);
    if (rc == 0)
        rc = tok_encode_marked(l->tok, out.text.data,
                               (const unsigned char *)out.marks.data, out.text.len,
                               TOK_PARSE, ids, err);
    tmpl_out_done(&out);
    return rc;
}

/* One string of the conversation: first `head` (may be NULL) and a blank line, then text.
 */
static json_t *content_make(const char *head, const char *text, size_t len)
{
    st_buf both;
    st_buf_init(&both, SIZE_MAX / 2);
    if (head) {
        st_buf_str(&both, head);
        st_buf_str(&both, "\n\n");
    }
    st_buf_add(&both, text, len);
    json_t *value = both.code ? NULL : json_stringn(both.data ? both.data : "", both.len);
    st_buf_done(&both);
    return value;
}

static int turns_encode(const lm *l, const char *system, const char *head,
                        const char *user, size_t len, tok_ids *ids, st_err *err)
{
    int rc = ST_ENOMEM;
    json_t *turns = json_array();
    json_t *content = content_make(head, user, len);
    bool ok = turns && content;
    if (system)
        ok = ok && json_array_append_new(turns, json_pack("{s:s, s:s}", "role", "system",
                                                          "content", system)) == 0;
    ok = ok && json_array_append_new(turns, json_pack("{s:s, s:O}", "role", "user",
                                                      "content", content)) == 0;
    if (ok)
        rc = lm_chat(l, turns, NULL, ids, err);
    else
        st_err_set(err, rc, "no memory for a prompt");
    json_decref(content);
    json_decref(turns);
    return rc;
}

/* Without a template: plain text, whatever it spells. */
static int plain_encode(const lm *l, const char *system, const char *user, size_t len,
                        tok_ids *ids, st_err *err)
{
    st_buf text;
    st_buf_init(&text, SIZE_MAX / 2);
    if (system) {
        st_buf_str(&text, system);
        st_buf_char(&text, '\n');
    }
    st_buf_add(&text, user, len);
    int rc = st_buf_char(&text, '\n');
    if (rc < 0)
        st_err_set(err, rc, "no memory for a prompt");
    else
        rc = tok_encode(l->tok, text.data, text.len, TOK_ADD, ids, err);
    st_buf_done(&text);
    return rc;
}

int lm_prompt(const lm *l, const char *system, const char *user, size_t user_len,
              tok_ids *ids, st_err *err)
{
    st_err first = {0};
    if (!l->chat)
        return plain_encode(l, system, user, user_len, ids, err);
    if (!st_utf8_valid(user, user_len, NULL) ||
        (system && !st_utf8_valid(system, strlen(system), NULL)))
        return st_err_set(err, ST_EINVAL, "the prompt is not UTF-8 text");
    int rc = turns_encode(l, system, NULL, user, user_len, ids, &first);
    if (rc == ST_ERAISED &&
        system) /* a model without system turns: it leads the user's */
        return turns_encode(l, NULL, system, user, user_len, ids, err);
    if (rc < 0) {
        st_err_set(err, rc, "%s", first.message);
        st_err_hint(err, "%s", first.hint);
    }
    return rc;
}
