/* task/extract_prompt.c - what a model is asked that writes an answer. */
#include "task/extract_prompt.h"

#include <jansson.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "task/draft.h"
#include "task/outline.h"

enum { MAX_PROMPT = 64 << 20 };

static const char repair_text[] = "This is not right:\n";
static const char again_text[] = "Write the JSON again.";

int extract_prompt_system(const contract *c, st_buf *out, st_err *err)
{
    const contract_output *o = &c->output;
    const char *instructions = c->question.instructions;
    if (!instructions)
        instructions = o->draft ? "Fill in the slots of the text for this message."
                                : "Take the message apart into these fields.";
    (void)st_buf_fmt(out, "%s\n\n", instructions);
    if (o->draft)
        (void)st_buf_fmt(out, "%s\n\n", draft_template(o->draft));
    int rc = outline_describe(o->schema, o->schema_len, out, err);
    return rc == 0 && out->code ? st_err_set(err, out->code, "no memory for a prompt")
                                : rc;
}

typedef struct turns { /* of a conversation under way */
    json_t *list;
    const char *lead; /* put before the first user turn; NULL: nothing */
    bool ok;
} turns;

static void add_turn(turns *t, const char *role, const char *text, size_t len)
{
    st_buf both;
    st_buf_init(&both, MAX_PROMPT);
    if (t->lead && strcmp(role, "user") == 0) {
        (void)st_buf_fmt(&both, "%s\n\n", t->lead);
        t->lead = NULL;
    }
    (void)st_buf_add(&both, text, len);
    json_t *content =
        both.code ? NULL : json_stringn(both.data ? both.data : "", both.len);
    json_t *turn = json_pack("{s:s, s:o}", "role", role, "content", content);
    t->ok = t->ok && content && turn && json_array_append(t->list, turn) == 0;
    json_decref(turn);
    st_buf_done(&both);
}

/* `leads`: the system turn stands before the first user turn instead. */
static json_t *make_turns(const char *system, const extract_ask *ask, bool leads)
{
    turns t = {.list = json_array(), .lead = leads ? system : NULL, .ok = true};
    t.ok = t.list != NULL;
    if (!leads)
        add_turn(&t, "system", system, strlen(system));
    for (uint32_t i = 0; i < ask->n_shots; i++) {
        const shot *s = ask->shots[i];
        add_turn(&t, "user", s->input, s->len);
        add_turn(&t, "assistant", s->output, s->output_len);
    }
    add_turn(&t, "user", ask->text, ask->len);
    if (ask->why) {
        st_buf why;
        st_buf_init(&why, MAX_PROMPT);
        (void)st_buf_fmt(&why, "%s%s%s", repair_text, ask->why, again_text);
        t.ok = t.ok && !why.code;
        add_turn(&t, "assistant", ask->failed, ask->failed_len);
        add_turn(&t, "user", why.data ? why.data : "", why.len);
        st_buf_done(&why);
    }
    if (t.ok)
        return t.list;
    json_decref(t.list);
    return NULL;
}

static int encode_turns(const lm *l, const char *system, const extract_ask *ask,
                        bool leads, tok_ids *ids, st_err *err)
{
    json_t *list = make_turns(system, ask, leads);
    int rc = list ? lm_chat(l, list, NULL, ids, err)
                  : st_err_set(err, ST_ENOMEM, "no memory for a prompt");
    json_decref(list);
    return rc;
}

static int encode_chat(const lm *l, const char *system, const extract_ask *ask,
                       tok_ids *ids, st_err *err)
{
    st_err first = {0};
    int rc = encode_turns(l, system, ask, false, ids, &first);
    if (rc == ST_ERAISED) /* a model without system turns */
        return encode_turns(l, system, ask, true, ids, err);
    if (rc) {
        st_err_set(err, rc, "%s", first.message);
        st_err_hint(err, "%s", first.hint);
    }
    return rc;
}

/* One example or the input as plain text. */
static void put_plain(const char *input, size_t len, const char *output,
                      size_t output_len, st_buf *out)
{
    (void)st_buf_str(out, "Message: ");
    (void)st_buf_add(out, input, len);
    (void)st_buf_str(out, "\nJSON: ");
    (void)st_buf_add(out, output, output_len);
    (void)st_buf_str(out, output_len ? "\n\n" : "");
}

static int encode_plain(const lm *l, const char *system, const extract_ask *ask,
                        tok_ids *ids, st_err *err)
{
    st_buf text;
    st_buf_init(&text, MAX_PROMPT);
    (void)st_buf_fmt(&text, "%s\n", system);
    for (uint32_t i = 0; i < ask->n_shots; i++)
        put_plain(ask->shots[i]->input, ask->shots[i]->len, ask->shots[i]->output,
                  ask->shots[i]->output_len, &text);
    if (ask->why) {
        put_plain(ask->text, ask->len, ask->failed, ask->failed_len, &text);
        (void)st_buf_fmt(&text, "%s%s\n", repair_text, ask->why);
    }
    put_plain(ask->text, ask->len, "", 0, &text);
    int rc = text.code ? st_err_set(err, text.code, "no memory for a prompt")
                       : tok_encode(l->tok, text.data, text.len, TOK_ADD, ids, err);
    st_buf_done(&text);
    return rc;
}

int extract_prompt_encode(const lm *l, const char *system, const extract_ask *ask,
                          tok_ids *ids, st_err *err)
{
    if (!st_utf8_valid(ask->text, ask->len, NULL))
        return st_err_set(err, ST_EINVAL, "the input is not UTF-8 text");
    return l->chat ? encode_chat(l, system, ask, ids, err)
                   : encode_plain(l, system, ask, ids, err);
}
