/* serve/wire_tokens.c - a model's tokens and its chat template, in llama-server's shapes:
 * /tokenize, /detokenize, /apply-template.
 *
 * Text is what it spells here: control tokens are recognised unless the request says
 * otherwise. */
#include "base/mem.h"
#include "base/utf8.h"
#include "serve/route.h"
#include <string.h>

enum { TEXT_MAX = 64 << 20 };

/* The model that answers; NULL with a problem. */
static const lm *model_of(call *c, problems *out)
{
    const hub_use *use = call_use(c, NULL, out);
    const lm *l = use ? hub_use_lm(use) : NULL;
    if (use && !l)
        problems_add(out, PROBLEM_UNSUPPORTED, "model", "'%s' has no language model",
                     hub_use_name(use));
    return l;
}

/* ---- /tokenize ---- */

/* A piece as text, or as its bytes where it is part of a character. */
static json_t *piece_json(const tok *t, int32_t id)
{
    st_buf piece;
    json_t *value = NULL;
    st_buf_init(&piece, TEXT_MAX);
    if (tok_piece(t, id, &piece, NULL) == 0) {
        value = json_stringn(piece.len ? piece.data : "", piece.len);
        if (!value) { /* not UTF-8 */
            value = json_array();
            for (size_t i = 0; value && i < piece.len; i++)
                json_array_append_new(value, json_integer((unsigned char)piece.data[i]));
        }
    }
    st_buf_done(&piece);
    return json_pack("{s:i, s:o}", "id", (int)id, "piece", value);
}

static json_t *tokens_json(const tok *t, const tok_ids *ids, bool with_pieces)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < ids->n; i++)
        json_array_append_new(list, with_pieces ? piece_json(t, ids->ids[i])
                                                : json_integer(ids->ids[i]));
    return list;
}

static void tokenize(call *c)
{
    const json_t *body = call_body(c), *content = body_get(body, "content");
    problems p = {0};
    st_err err = {0};
    tok_ids ids = {0};
    unsigned flags = (body_bool(body, "add_special", false) ? TOK_ADD : 0) |
                     (body_bool(body, "parse_special", true) ? TOK_PARSE : TOK_LITERAL);
    const lm *l = model_of(c, &p);
    if (l && tok_encode(l->tok, json_string_value(content), json_string_length(content),
                        flags, &ids, &err) < 0)
        problems_from(&p, "content", &err);
    if (p.n > 0 || p.out_of_memory)
        call_reply_problems(c, &p);
    else
        call_reply_json(
            c, 200,
            json_pack("{s:o}", "tokens",
                      tokens_json(l->tok, &ids, body_bool(body, "with_pieces", false))));
    tok_ids_done(&ids);
}

/* ---- /detokenize ---- */

/* Bytes that are no UTF-8 become U+FFFD, as in other servers' answers. */
static json_t *text_json(const st_buf *text)
{
    st_buf out;
    st_buf_init(&out, (size_t)TEXT_MAX * 3);
    for (size_t i = 0, n; i < text->len; i += n)
        if (st_utf8_decode(text->data + i, text->len - i, &n) == ST_UTF8_BAD)
            st_buf_str(&out, "\xEF\xBF\xBD");
        else
            st_buf_add(&out, text->data + i, n);
    json_t *value = out.code ? NULL : json_stringn(out.len ? out.data : "", out.len);
    st_buf_done(&out);
    return value;
}

/* The ids of a list; false with a problem. */
static bool read_ids(const json_t *list, const tok *t, tok_ids *ids, problems *out)
{
    size_t n = json_array_size(list);
    ids->ids = st_alloc_n(n, sizeof *ids->ids);
    if (!ids->ids) {
        problems_add(out, PROBLEM_SERVER, "tokens", "no memory for tokens");
        return false;
    }
    ids->cap = n;
    for (size_t i = 0; i < n; i++) {
        int64_t id = body_int(json_array_get(list, i), -1);
        if (id < 0 || id >= (int64_t)tok_n_vocab(t)) {
            problems_add(out, PROBLEM_VALUE, "tokens",
                         "its member %zu is no token id: an integer below %u", i,
                         tok_n_vocab(t));
            return false;
        }
        ids->ids[ids->n++] = (int32_t)id;
    }
    return true;
}

static void detokenize(call *c)
{
    problems p = {0};
    st_err err = {0};
    tok_ids ids = {0};
    st_buf text;
    st_buf_init(&text, TEXT_MAX);
    const lm *l = model_of(c, &p);
    if (l && read_ids(body_get(call_body(c), "tokens"), l->tok, &ids, &p) &&
        tok_decode(l->tok, ids.ids, ids.n, true, &text, &err) < 0)
        problems_from(&p, "tokens", &err);
    if (p.n > 0 || p.out_of_memory)
        call_reply_problems(c, &p);
    else
        call_reply_json(c, 200, json_pack("{s:o}", "content", text_json(&text)));
    st_buf_done(&text);
    tok_ids_done(&ids);
}

/* ---- /apply-template ---- */

static void apply_template(call *c)
{
    const json_t *body = call_body(c);
    problems p = {0};
    st_err err = {0};
    tmpl_out out;
    tmpl_out_init(&out);
    const lm *l = model_of(c, &p);
    if (l && !l->chat)
        problems_add(&p, PROBLEM_UNSUPPORTED, "model", "the model has no chat template");
    else if (l && lm_render(l, body_get(body, "messages"), body_get(body, "tools"),
                            body_get(body, "chat_template_kwargs"), 0, &out, &err) < 0) {
        if (err.code == ST_EFORMAT) /* what the template misses in them */
            problems_add(&p, PROBLEM_VALUE, "messages", "%s", err.message);
        else
            problems_from(&p, "messages", &err);
    }
    if (p.n > 0 || p.out_of_memory)
        call_reply_problems(c, &p);
    else
        call_reply_json(c, 200, json_pack("{s:o}", "prompt", text_json(&out.text)));
    tmpl_out_done(&out);
}

/* ---- the routes ---- */

static const member tokenize_body[] = {
    {"model", MEMBER_STRING, .about = "May be left out where there is one."},
    {"content", MEMBER_STRING, .need = true, .nul = true},
    {"add_special", MEMBER_BOOL, .about = "Add what the model adds (no)."},
    {"parse_special", MEMBER_BOOL, .about = "Recognise control tokens in it (yes)."},
    {"with_pieces", MEMBER_BOOL, .about = "Show the text of each (no)."},
    {0},
};

static const member tokens_answer[] = {
    {"tokens", MEMBER_ARRAY, .need = true, .items = MEMBER_INTEGER | MEMBER_OBJECT,
     .about = "Ids; with_pieces: {\"id\", \"piece\"}, a text or its bytes."},
    {0},
};

static const member detokenize_body[] = {
    {"model", MEMBER_STRING, .about = "May be left out where there is one."},
    {"tokens", MEMBER_ARRAY, .need = true, .items = MEMBER_INTEGER},
    {0},
};

static const member content_answer[] = {
    {"content", MEMBER_STRING, .need = true},
    {0},
};

static const member message[] = {
    {"role", MEMBER_STRING, .need = true, .about = "system, user, assistant, tool."},
    {"content", MEMBER_STRING | MEMBER_NULL, .about = "Text."},
    {0},
};

static const member template_body[] = {
    {"model", MEMBER_STRING, .about = "May be left out where there is one."},
    {"messages", MEMBER_ARRAY, .need = true, .min = 1, .max = -1, .of = message,
     .open = true},
    {"tools", MEMBER_ARRAY, .items = MEMBER_OBJECT, .about = "OpenAI's functions."},
    {"chat_template_kwargs", MEMBER_OBJECT, .open = true,
     .about = "Further variables of the template."},
    {0},
};

static const member prompt_answer[] = {
    {"prompt", MEMBER_STRING, .need = true},
    {0},
};

const route wire_tokens[] = {
    {"POST", "/tokenize", "tokenize", "A text's tokens.", SCOPE_CLIENT,
     .body = tokenize_body, .answer = tokens_answer, .handle = tokenize},
    {"POST", "/detokenize", "detokenize", "The text of tokens.", SCOPE_CLIENT,
     .body = detokenize_body, .answer = content_answer, .handle = detokenize},
    {"POST", "/apply-template", "applyTemplate",
     "The prompt that a model's template makes of messages.", SCOPE_CLIENT,
     .body = template_body, .answer = prompt_answer, .handle = apply_template},
    {0},
};
