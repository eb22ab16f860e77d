/* expert/ask_base.c - what all questions about a text begin with, and how they end.
 *
 * The chat's template is rendered once, with a mark where a question will stand.  Before
 * the mark is the base; what comes after it, the end of the turn and the beginning of the
 * reply, is the end of every question. */
#include "expert/ask_priv.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "expert/prompt.h"
#include <string.h>

/* Templates that show the date show this one, so that an answer is the same tomorrow. */
enum { THAT_DAY = 1721952000 }; /* 2024-07-26 */

static const char mark[] = "[the question]";
static const char before[] = "\n\n" ASK_ANCHOR;

static int render(const lm *l, const char *text, size_t len, tmpl_out *out, st_err *err)
{
    st_buf content;
    st_buf_init(&content, SIZE_MAX / 2);
    (void)st_buf_add(&content, text, len);
    (void)st_buf_fmt(&content, "%s%s", before, mark);
    json_t *turns = content.code ? NULL
                                 : json_pack("[{s:s, s:s%}]", "role", "user", "content",
                                             content.data, content.len);
    json_t *more = json_pack("{s:b}", "enable_thinking", 0);
    int rc = turns && more ? lm_render(l, turns, NULL, more, THAT_DAY, out, err)
                           : st_err_set(err, ST_ENOMEM, "no memory for a prompt");
    json_decref(more);
    json_decref(turns);
    st_buf_done(&content);
    return rc;
}

/* Where the mark stands, from the end: a text may spell it too. */
static bool mark_find(const tmpl_out *out, size_t *ret_at)
{
    const size_t n = sizeof mark - 1;
    for (size_t at = out->text.len; at-- > 0;) {
        if (out->text.len - at >= n && memcmp(out->text.data + at, mark, n) == 0 &&
            out->marks.data[at]) {
            *ret_at = at;
            return true;
        }
    }
    return false;
}

/* The end of every question: its text and marks. */
static int tail_set(ask_base *b, const char *text, const char *marks, size_t len,
                    st_err *err)
{
    (void)st_buf_add(&b->tail, text, len);
    if (marks)
        (void)st_buf_add(&b->tail_marks, marks, len);
    for (size_t i = b->tail_marks.len; i < b->tail.len; i++)
        (void)st_buf_char(&b->tail_marks, 1);
    return b->tail.code || b->tail_marks.code
               ? st_err_set(err, ST_ENOMEM, "no memory for a prompt")
               : 0;
}

static int chat_set(ask_base *b, const char *text, size_t len, st_err *err)
{
    tmpl_out out;
    size_t at = 0;
    tmpl_out_init(&out);
    int rc = render(b->lm, text, len, &out, err);
    if (rc == 0 && !mark_find(&out, &at))
        rc = st_err_set(err, ST_EUNSUPPORTED,
                        "%s: the chat template does not show a text as it is",
                        b->lm->path);
    if (rc == 0)
        rc = tok_encode_marked(b->lm->tok, out.text.data,
                               (const unsigned char *)out.marks.data, at, TOK_PARSE,
                               &b->ids, err);
    at += sizeof mark - 1;
    if (rc == 0)
        rc = tail_set(b, out.text.data + at, out.marks.data + at, out.text.len - at, err);
    tmpl_out_done(&out);
    return rc;
}

/* Without a template: plain text, whatever it spells. */
static int plain_set(ask_base *b, const char *text, size_t len, st_err *err)
{
    st_buf all;
    st_buf_init(&all, SIZE_MAX / 2);
    (void)st_buf_add(&all, text, len);
    (void)st_buf_str(&all, before);
    int rc = all.code ? st_err_set(err, ST_ENOMEM, "no memory for a prompt")
                      : tok_encode(b->lm->tok, all.data, all.len, TOK_ADD, &b->ids, err);
    while (rc == 0 && b->ids.n > 0 && tok_is_end(b->lm->tok, b->ids.ids[b->ids.n - 1]))
        b->ids.n--; /* the text goes on */
    st_buf_done(&all);
    return rc ? rc : tail_set(b, "\n", NULL, 1, err);
}

int ask_base_new(const lm *l, const char *text, size_t len, ask_base **ret_base,
                 st_err *err)
{
    const model_info *info = model_about(l->model);
    if (!info->causal || !info->has_head)
        return st_err_set(err, ST_EUNSUPPORTED,
                          "%s is an encoder: it cannot be asked questions", l->path);
    if (!st_utf8_valid(text, len, NULL))
        return st_err_set(err, ST_EINVAL, "the text is not UTF-8");
    ask_base *b = st_zalloc_n(1, sizeof *b);
    if (!b)
        return st_err_set(err, ST_ENOMEM, "no memory for a text to ask about");
    b->lm = l;
    st_buf_init(&b->tail, SIZE_MAX / 2);
    st_buf_init(&b->tail_marks, SIZE_MAX / 2);
    int rc = l->chat ? chat_set(b, text, len, err) : plain_set(b, text, len, err);
    if (rc < 0)
        ask_base_free(b);
    else
        *ret_base = b;
    return rc;
}

void ask_base_free(ask_base *b)
{
    if (!b)
        return;
    tok_ids_done(&b->ids);
    st_buf_done(&b->tail);
    st_buf_done(&b->tail_marks);
    st_free(b);
}

uint32_t ask_base_tokens(const ask_base *b)
{
    return (uint32_t)b->ids.n;
}
