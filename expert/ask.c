/* expert/ask.c - a question as tokens: its orders and the tries of their replies. */
#include "expert/ask_priv.h"

#include "base/mem.h"
#include "expert/prompt.h"
#include <stdio.h>
#include <string.h>

enum { MAX_CHAINS = QUESTION_MAX_OPTIONS, YES_OR_NO = 4 };

/* What a predicate may be answered; the option that each means. */
static const struct {
    const char *text;
    uint32_t option;
} yes_or_no[YES_OR_NO] = {{"yes", 0}, {"Yes", 0}, {"no", 1}, {"No", 1}};

/* Asked where a question has no words of its own. */
static const char *const nothing_asked[] = {
    [QUESTION_PREDICATE] = "Is it true?",
    [QUESTION_CHOICE] = "Which one is right?",
    [QUESTION_SCORE] = "Which level is right?",
};

/* The reply is begun for the model, which else may begin by itself in many ways. */
static const char *const begun[] = {
    [ASK_LETTERS] = "Answer:",
    [ASK_TEXT] = "The right answer is",
};

static const char *const method_names[] = {
    [ASK_LETTERS] = "letters",
    [ASK_TEXT] = "text",
};

const char *ask_method_name(ask_method m)
{
    return method_names[m];
}

/* The replies as tokens, in the order of yes_or_no or of the options. */
typedef struct chains {
    tok_ids ids[MAX_CHAINS];
    uint32_t n;
} chains;

static void chains_done(chains *c)
{
    for (uint32_t i = 0; i < MAX_CHAINS; i++)
        tok_ids_done(&c->ids[i]);
    c->n = 0;
}

/* ---- the question's text ---- */

static void write_option(const question *q, uint32_t i, char letter, st_buf *out)
{
    const question_option *o = &q->options[i];
    const char *said = q->type == QUESTION_PREDICATE ? yes_or_no[2 * i].text : o->value;
    if (letter)
        (void)st_buf_fmt(out, "\n%c. %s", letter, said);
    else
        (void)st_buf_fmt(out, "\n- %s", said);
    if (o->description)
        (void)st_buf_fmt(out, ": %s", o->description);
}

static void write_options(const question *q, bool letters, bool reversed, st_buf *out)
{
    for (uint32_t place = 0; place < q->n_options; place++) {
        uint32_t i = reversed ? q->n_options - 1 - place : place;
        bool shown = q->type != QUESTION_PREDICATE || q->options[i].description;
        if (shown)
            write_option(q, i, letters ? (char)('A' + place) : 0, out);
    }
}

static void write_question(const question *q, ask_method method, bool reversed,
                           st_buf *out)
{
    const bool words = q->instructions && q->instructions[0];
    bool letters = method == ASK_LETTERS;
    (void)st_buf_fmt(out, " %s", words ? q->instructions : nothing_asked[q->type]);
    write_options(q, letters, reversed, out);
    if (q->type == QUESTION_PREDICATE)
        (void)st_buf_str(out,
                         reversed ? "\nIs it so, no or yes?" : "\nIs it so, yes or no?");
    else if (letters)
        (void)st_buf_str(out, "\nAnswer with one letter.");
    else
        (void)st_buf_str(out, "\nAnswer with one of these.");
}

/* ---- as tokens ---- */

static int anchored_encode(const ask_base *b, const st_buf *text, const st_buf *marks,
                           size_t skip, tok_ids *ids, st_err *err)
{
    return tok_encode_marked(b->lm->tok, text->data + skip,
                             (const unsigned char *)marks->data + skip, text->len - skip,
                             TOK_PARSE, ids, err);
}

/* What the text after the anchor adds to it; where both would merge, the text alone. */
static int own_encode(const ask_base *b, const st_buf *text, const st_buf *marks,
                      tok_ids *own, st_err *err)
{
    const size_t n_anchor = sizeof ASK_ANCHOR - 1;
    tok_ids anchor = {0}, all = {0};
    int rc = tok_encode(b->lm->tok, ASK_ANCHOR, n_anchor, TOK_LITERAL, &anchor, err);
    if (rc == 0)
        rc = anchored_encode(b, text, marks, 0, &all, err);
    if (rc < 0)
        goto out;
    if (all.n <= anchor.n ||
        memcmp(all.ids, anchor.ids, anchor.n * sizeof *all.ids) != 0) {
        rc = anchored_encode(b, text, marks, n_anchor, own, err);
        goto out;
    }
    own->n = own->cap = all.n - anchor.n;
    own->ids = st_dup(all.ids + anchor.n, own->n * sizeof *own->ids);
    if (!own->ids) {
        *own = (tok_ids){0};
        rc = st_err_set(err, ST_ENOMEM, "no memory for a question");
    }
out:
    tok_ids_done(&all);
    tok_ids_done(&anchor);
    return rc;
}

static int order_encode(const ask_base *b, const question *q, ask_method method,
                        bool reversed, tok_ids *own, st_err *err)
{
    st_buf text, marks;
    int rc;
    st_buf_init(&text, SIZE_MAX / 2);
    st_buf_init(&marks, SIZE_MAX / 2);
    (void)st_buf_str(&text, ASK_ANCHOR);
    write_question(q, method, reversed, &text);
    size_t n = text.len;
    (void)st_buf_add(&text, b->tail.data, b->tail.len);
    (void)st_buf_str(&text, begun[method]);
    if (!text.code && st_buf_room(&marks, text.len) == 0) {
        memset(marks.data, 1, text.len);
        if (b->tail_marks.len > 0)
            memcpy(marks.data + n, b->tail_marks.data, b->tail_marks.len);
        marks.len = text.len;
    }
    if (text.code || marks.code)
        rc = st_err_set(err, ST_ENOMEM, "no memory for a question");
    else
        rc = own_encode(b, &text, &marks, own, err);
    st_buf_done(&marks);
    st_buf_done(&text);
    return rc;
}

/* ---- the replies ---- */

/* A, B, ... in their place; false when one of them is no token of its own there. */
static int letters_find(const ask_base *b, const tok_ids *prompt, uint32_t n, chains *c,
                        bool *ret_ok, st_err *err)
{
    for (c->n = 0; c->n < n; c->n++) {
        const char letter[] = {(char)('A' + c->n), 0};
        tok_ids *ids = &c->ids[c->n];
        st_err why = {0};
        int rc = prompt_reply(b->lm, prompt, letter, ids, &why);
        if (rc < 0 && rc != ST_EUNSUPPORTED)
            return st_err_set(err, rc, "%s", why.message);
        *ret_ok = rc == 0 && ids->n == 1;
        for (uint32_t i = 0; *ret_ok && i < c->n; i++)
            *ret_ok = c->ids[i].ids[0] != ids->ids[0];
        if (!*ret_ok)
            return 0;
    }
    *ret_ok = true;
    return 0;
}

static int texts_find(const ask_base *b, const question *q, const tok_ids *prompt,
                      chains *c, st_err *err)
{
    bool predicate = q->type == QUESTION_PREDICATE;
    int rc = 0;
    c->n = predicate ? YES_OR_NO : q->n_options;
    for (uint32_t i = 0; i < c->n && rc == 0; i++)
        rc = prompt_reply(b->lm, prompt,
                          predicate ? yes_or_no[i].text : q->options[i].value, &c->ids[i],
                          err);
    return rc;
}

/* Does one reply begin another?  Then all need an end to compete fairly. */
static bool one_begins_another(const chains *c)
{
    for (uint32_t i = 0; i < c->n; i++)
        for (uint32_t k = 0; k < c->n; k++)
            if (i != k && c->ids[i].n < c->ids[k].n &&
                memcmp(c->ids[i].ids, c->ids[k].ids,
                       c->ids[i].n * sizeof *c->ids[i].ids) == 0)
                return true;
    return false;
}

static int trie_make(const ask_base *b, const chains *c, bool reversed, options **ret,
                     st_err *err)
{
    const int32_t *ids[MAX_CHAINS];
    uint32_t n_ids[MAX_CHAINS];
    int32_t end = -1;
    if (one_begins_another(c)) {
        end = lm_turn_end(b->lm) >= 0 ? lm_turn_end(b->lm) : tok_eos(b->lm->tok);
        if (end < 0)
            return st_err_set(err, ST_EUNSUPPORTED,
                              "one option begins another, and %s has no token that ends "
                              "a reply",
                              b->lm->path);
    }
    for (uint32_t i = 0; i < c->n; i++) {
        const tok_ids *from = &c->ids[reversed ? c->n - 1 - i : i];
        ids[i] = from->ids;
        n_ids[i] = (uint32_t)from->n;
    }
    return options_new(ids, n_ids, c->n, end, ret, err);
}

/* ---- together ---- */

static uint32_t orders_of(const question *q)
{
    bool levels = q->type == QUESTION_SCORE;
    return levels || (q->type == QUESTION_CHOICE && q->n_options < 2) ? 1 : 2;
}

static int replies_set(ask *a, const ask_base *b, const chains *c, st_err *err)
{
    bool letters = a->method == ASK_LETTERS;
    int rc = 0;
    a->n_replies = c->n;
    a->option_of = st_alloc_n(c->n, sizeof *a->option_of);
    if (!a->option_of)
        return st_err_set(err, ST_ENOMEM, "no memory for a question");
    for (uint32_t i = 0; i < c->n; i++)
        a->option_of[i] = a->type == QUESTION_PREDICATE ? yes_or_no[i].option : i;
    /* the letter of an option differs by order, its text does not */
    for (uint32_t i = 0; i < (letters ? a->n_orders : 1) && rc == 0; i++)
        rc = trie_make(b, c, i == 1, &a->tries[i], err);
    for (uint32_t i = 0; i < a->n_orders; i++)
        a->orders[i].replies = a->tries[letters ? i : 0];
    return rc;
}

static void orders_drop(ask *a)
{
    for (uint32_t i = 0; i < ASK_MAX_ORDERS; i++)
        tok_ids_done(&a->orders[i].own);
}

static int orders_encode(ask *a, const ask_base *b, const question *q, ask_method method,
                         st_err *err)
{
    int rc = 0;
    a->method = method;
    orders_drop(a);
    for (uint32_t i = 0; i < a->n_orders && rc == 0; i++)
        rc = order_encode(b, q, method, i == 1, &a->orders[i].own, err);
    return rc;
}

/* The letters must be the same tokens after each order. */
static int letters_try(ask *a, const ask_base *b, const question *q, chains *c,
                       bool *ret_ok, st_err *err)
{
    int32_t first[ASK_MAX_LETTERS];
    *ret_ok = q->type != QUESTION_PREDICATE && q->n_options <= ASK_MAX_LETTERS;
    if (!*ret_ok)
        return 0;
    int rc = orders_encode(a, b, q, ASK_LETTERS, err);
    for (uint32_t i = 0; i < a->n_orders && rc == 0 && *ret_ok; i++) {
        chains_done(c);
        rc = letters_find(b, &a->orders[i].own, q->n_options, c, ret_ok, err);
        for (uint32_t k = 0; k < c->n && rc == 0 && *ret_ok; k++) {
            *ret_ok = i == 0 || first[k] == c->ids[k].ids[0];
            first[k] = c->ids[k].ids[0];
        }
    }
    return rc;
}

static int ask_fill(ask *a, const ask_base *b, const question *q, chains *c, st_err *err)
{
    bool letters = false;
    int rc = letters_try(a, b, q, c, &letters, err);
    if (rc == 0 && !letters) {
        chains_done(c);
        rc = orders_encode(a, b, q, ASK_TEXT, err);
        if (rc == 0)
            rc = texts_find(b, q, &a->orders[0].own, c, err);
    }
    return rc ? rc : replies_set(a, b, c, err);
}

int ask_new(const ask_base *b, const question *q, ask **ret_ask, st_err *err)
{
    bool predicate = q->type == QUESTION_PREDICATE;
    bool good = q->type == QUESTION_CHOICE || q->type == QUESTION_SCORE || predicate;
    if (!good || q->n_options > QUESTION_MAX_OPTIONS ||
        (predicate ? q->n_options != 0 && q->n_options != 2 : q->n_options == 0))
        return st_err_set(err, ST_EINVAL, "no question with %u options", q->n_options);
    int rc = ST_ENOMEM;
    ask *a = st_zalloc_n(1, sizeof *a);
    chains *c = st_zalloc_n(1, sizeof *c);
    if (!a || !c) {
        st_err_set(err, rc, "no memory for a question");
    } else {
        a->type = q->type;
        a->n_options = predicate ? 2 : q->n_options;
        a->n_orders = orders_of(q);
        rc = ask_fill(a, b, q, c, err);
    }
    if (c)
        chains_done(c);
    st_free(c);
    if (rc < 0)
        ask_free(a);
    else
        *ret_ask = a;
    return rc;
}

void ask_free(ask *a)
{
    if (!a)
        return;
    orders_drop(a);
    for (uint32_t i = 0; i < ASK_MAX_ORDERS; i++)
        options_free(a->tries[i]);
    st_free(a->option_of);
    st_free(a);
}

uint32_t ask_tokens(const ask_base *b, const ask *a, uint32_t order)
{
    return (uint32_t)(b->ids.n + a->orders[order].own.n);
}

int ask_prompt(const ask_base *b, const ask *a, uint32_t order, tok_ids *ids, st_err *err)
{
    const tok_ids *own = &a->orders[order].own;
    size_t n = ids->n + b->ids.n + own->n;
    int32_t *grown = st_realloc_n(ids->ids, n, sizeof *grown);
    if (!grown)
        return st_err_set(err, ST_ENOMEM, "no memory for a prompt of %zu tokens", n);
    memcpy(grown + ids->n, b->ids.ids, b->ids.n * sizeof *grown);
    memcpy(grown + ids->n + b->ids.n, own->ids, own->n * sizeof *grown);
    *ids = (tok_ids){.ids = grown, .n = n, .cap = n};
    return 0;
}
