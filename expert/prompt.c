/* expert/prompt.c - the prompt of a question, and its options as tokens in their place.
 *
 * How a text is tokenised depends on what stands before it.  So a reply is encoded
 * together with the end of the prompt (the tokens after its last control token), and what
 * comes after that end is the reply's tokens. */
#include "expert/prompt.h"

#include "base/mem.h"
#include <string.h>

enum {
    MAX_PROMPT = 64 << 20, /* bytes */
    TAIL_TOKENS = 16,      /* of the prompt that may take part in tokenising a reply */
    N_CODES = 26 + 26 * 26,
};

/* The reply is begun for the model, so that an option's name is what goes on naturally; a
 * small model left to begin by itself talks about the options instead. */
static const char *const begun[] = {
    [QUESTION_PREDICATE] = "The statement is",
    [QUESTION_CHOICE] = "This message is about",
    [QUESTION_SCORE] = "The right answer is",
};
static const char begun_codes[] = "The right option is";

const char *prompt_option(const question *q, uint32_t i)
{
    return q->abstain && i + 1 == q->n_options ? "something else" : q->options[i].value;
}

static void write_option(const prompt_form *form, uint32_t place, st_buf *out)
{
    uint32_t i = (place + form->shift) % form->q->n_options;
    const question_option *o = &form->q->options[i];
    if (form->codes)
        (void)st_buf_fmt(out, "%s. ", form->code[place]);
    (void)st_buf_str(out, prompt_option(form->q, i));
    if (o->description)
        (void)st_buf_fmt(out, ": %s", o->description);
    (void)st_buf_char(out, '\n');
}

static void write_prompt(const prompt_form *form, const char *text, size_t len,
                         st_buf *out)
{
    const question *q = form->q;
    (void)st_buf_fmt(out, "%s%s\n\n", q->type == QUESTION_PREDICATE ? "Statement: " : "",
                     q->instructions);
    for (uint32_t i = 0; i < q->n_options; i++)
        write_option(form, i, out);
    (void)st_buf_str(out, "\nMessage: ");
    (void)st_buf_add(out, text, len);
}

int prompt_encode(const prompt_form *form, const char *text, size_t len, tok_ids *ids,
                  st_err *err)
{
    const char *start = form->codes ? begun_codes : begun[form->q->type];
    st_buf out;
    st_buf_init(&out, MAX_PROMPT);
    write_prompt(form, text, len, &out);
    int rc = out.code
                 ? st_err_set(err, out.code, "no memory for a prompt of %zu bytes", len)
                 : lm_prompt(form->lm, NULL, out.data, out.len, ids, err);
    st_buf_done(&out);
    return rc ? rc
              : tok_encode(form->lm->tok, start, strlen(start), TOK_LITERAL, ids, err);
}

/* The text of the prompt's last tokens, back to its last control token. */
static int write_tail(const lm *l, const tok_ids *prompt, st_buf *tail, st_err *err)
{
    size_t from = prompt->n;
    while (from > 0 && prompt->n - from < TAIL_TOKENS &&
           !tok_is_control(l->tok, prompt->ids[from - 1]))
        from--;
    int rc = 0;
    for (size_t i = from; i < prompt->n && rc == 0; i++)
        rc = tok_piece(l->tok, prompt->ids[i], tail, err);
    return rc;
}

int prompt_reply(const lm *l, const tok_ids *prompt, const char *reply, tok_ids *ids,
                 st_err *err)
{
    st_buf tail;
    tok_ids before = {0};
    tok_ids whole = {0};
    st_buf_init(&tail, MAX_PROMPT);
    int rc = write_tail(l, prompt, &tail, err);
    if (rc == 0 && tail.len)
        rc = tok_encode(l->tok, tail.data, tail.len, TOK_LITERAL, &before, err);
    (void)st_buf_char(&tail, ' ');
    if (rc == 0 && st_buf_str(&tail, reply))
        rc = st_err_set(err, tail.code, "no memory for a reply");
    if (rc == 0)
        rc = tok_encode(l->tok, tail.data, tail.len, TOK_LITERAL, &whole, err);
    if (rc)
        goto out;
    if (whole.n <= before.n ||
        (before.n && memcmp(whole.ids, before.ids, before.n * sizeof *before.ids) != 0)) {
        rc =
            st_err_set(err, ST_EUNSUPPORTED,
                       "'%.60s' merges with the end of the prompt into one token", reply);
        goto out;
    }
    size_t n = whole.n - before.n;
    int32_t *grown = st_realloc_n(ids->ids, ids->n + n, sizeof *grown);
    if (!grown) {
        rc = st_err_set(err, ST_ENOMEM, "no memory for a reply");
        goto out;
    }
    memcpy(grown + ids->n, whole.ids + before.n, n * sizeof *grown);
    ids->ids = grown;
    ids->n += n;
    ids->cap = ids->n;
out:
    tok_ids_done(&whole);
    tok_ids_done(&before);
    st_buf_done(&tail);
    return rc;
}

static void code_text(uint32_t i, char to[PROMPT_CODE_BYTES])
{
    memset(to, 0, PROMPT_CODE_BYTES);
    if (i < 26) {
        to[0] = (char)('A' + i);
    } else {
        to[0] = (char)('A' + (i - 26) / 26);
        to[1] = (char)('A' + (i - 26) % 26);
    }
}

static bool is_taken(const int32_t *ids, uint32_t n, int32_t id)
{
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

int prompt_codes(const lm *l, const question *q, const tok_ids *prompt,
                 char (*ret_codes)[PROMPT_CODE_BYTES], int32_t *ret_ids, st_err *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < N_CODES && n < q->n_options; i++) {
        st_err why = {0};
        tok_ids ids = {0};
        code_text(i, ret_codes[n]);
        int rc = prompt_reply(l, prompt, ret_codes[n], &ids, &why);
        if (rc == 0 && ids.n == 1 && !is_taken(ret_ids, n, ids.ids[0]))
            ret_ids[n++] = ids.ids[0];
        tok_ids_done(&ids);
        if (rc && rc != ST_EUNSUPPORTED)
            return st_err_set(err, rc, "%s", why.message);
    }
    if (n < q->n_options)
        return st_err_set(
            err, ST_EUNSUPPORTED,
            "option '%.60s' gets no code: only %u of A..ZZ are one token of "
            "their own here",
            q->options[n].value, n);
    return 0;
}
