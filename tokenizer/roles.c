/* tokenizer/roles.c - which pieces begin, end and separate texts.
 *
 * Ids come from the file's keys, with the defaults of each algorithm; which of them a
 * text gets is a flag of the file or goes with the pre-tokeniser.  Files often type an
 * end-of-turn token as an ordinary one: it is made a control token here, so that text
 * from a user cannot spell it. */
#include "tokenizer/tok_priv.h"

#include <ctype.h>
#include <string.h>

static int32_t by_spelling(const tok *t, const char *spelling)
{
    uint32_t id;
    return st_map_get(&t->by_text, spelling, strlen(spelling), &id) ? (int32_t)id : -1;
}

static int load_id(const tok *t, const gguf *g, const char *key, int32_t def,
                   int32_t *ret, st_err *err)
{
    uint32_t id = 0;
    if (!gguf_has(g, key)) {
        *ret = def >= 0 && (uint32_t)def < t->n ? def : -1;
        return 0;
    }
    int rc = gguf_u32(g, key, &id, err);
    if (rc)
        return rc;
    if (id >= t->n)
        return st_err_set(err, ST_EFORMAT, "%s: %u is not one of %u tokens", key, id,
                          t->n);
    *ret = (int32_t)id;
    return 0;
}

static int load_ids(tok *t, const gguf *g, st_err *err)
{
    bool spm = t->algo == TOK_SPM, bert = t->algo == TOK_WORDPIECE;
    int rc = load_id(t, g, "tokenizer.ggml.bos_token_id",
                     bert  ? by_spelling(t, "[CLS]")
                     : spm ? 1
                           : -1,
                     &t->bos, err);
    if (!rc)
        rc = load_id(t, g, "tokenizer.ggml.cls_token_id", t->bos, &t->bos, err);
    if (!rc)
        rc = load_id(t, g, "tokenizer.ggml.eos_token_id", spm ? 2 : -1, &t->eos, err);
    if (!rc)
        rc = load_id(t, g, "tokenizer.ggml.unknown_token_id",
                     bert  ? by_spelling(t, "[UNK]")
                     : spm ? 0
                           : -1,
                     &t->unk, err);
    if (!rc)
        rc = load_id(t, g, "tokenizer.ggml.separator_token_id",
                     bert ? by_spelling(t, "[SEP]") : -1, &t->sep, err);
    if (!rc) /* the key as converters write it */
        rc = load_id(t, g, "tokenizer.ggml.seperator_token_id", t->sep, &t->sep, err);
    return rc;
}

/* A flag of the file, and whether the id that it calls for is there. */
static int load_flag(const gguf *g, const char *key, bool def, int32_t id, bool *ret,
                     st_err *err)
{
    int rc = gguf_bool_or(g, key, def, ret, err);
    if (rc || !*ret || id >= 0)
        return rc;
    if (gguf_has(g, key))
        return st_err_set(err, ST_EFORMAT, "%s is true but no token has that role", key);
    *ret = false;
    return 0;
}

static int load_flags(tok *t, const gguf *g, unsigned pre_flags, st_err *err)
{
    bool bert = t->algo == TOK_WORDPIECE, space_bpe = t->algo == TOK_SPACE_BPE;
    bool bos = bert || space_bpe || t->algo == TOK_SPM || (pre_flags & PRE_BOS);
    bool sep = bert || (pre_flags & PRE_SEP);
    int rc = load_flag(g, "tokenizer.ggml.add_bos_token", bos, t->bos, &t->add_bos, err);
    if (!rc)
        rc =
            load_flag(g, "tokenizer.ggml.add_eos_token", false, t->eos, &t->add_eos, err);
    if (!rc)
        rc = load_flag(g, "tokenizer.ggml.add_sep_token", sep, t->sep, &t->add_sep, err);
    if (!rc)
        rc = gguf_bool_or(g, "tokenizer.ggml.add_space_prefix", t->algo == TOK_SPM,
                          &t->space_prefix, err);
    if (!rc)
        rc = gguf_bool_or(g, "tokenizer.ggml.normalizer.lowercase", true, &t->lower, err);
    if (!rc)
        rc = gguf_bool_or(g, "tokenizer.ggml.normalizer.strip_accents", t->lower,
                          &t->strip_accents, err);
    if (space_bpe && t->bos >= 0)
        t->add_bos = true; /* such models fail without it, whatever the file says */
    return rc;
}

/* Spellings that end a turn or a text.  `sure`: nothing else is spelled like that, so any
 * type in the file is overruled; the others count where the file types them as control.
 */
static const struct end_spelling {
    const char *text;
    bool sure;
} end_spellings[] = {
    {"<|endoftext|>", true},
    {"<|end_of_text|>", true},
    {"<|eot_id|>", true},
    {"<|eom_id|>", true},
    {"<|im_end|>", true},
    {"<|end|>", true},
    {"<|return|>", true},
    {"<|call|>", true},
    {"<end_of_turn>", true},
    {"<turn|>", true},
    {"<end_of_utterance>", true},
    {"<|END_OF_TURN_TOKEN|>", true},
    {"<｜end▁of▁sentence｜>", true},
    {"<eos>", false},
    {"</s>", false},
    {"<EOT>", false},
    {"[EOT]", false},
    {"[EOS]", false},
};

static void mark_end(tok *t, int32_t id, bool sure)
{
    if (id < 0)
        return;
    piece *p = &t->pieces[id];
    if (sure)
        p->kind = PIECE_CONTROL;
    if (p->kind == PIECE_CONTROL)
        p->ends = true;
}

static int load_ends(tok *t, const gguf *g, st_err *err)
{
    static const char *const keys[] = {"tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < ST_COUNT(end_spellings); i++)
        mark_end(t, by_spelling(t, end_spellings[i].text), end_spellings[i].sure);
    /* In the harmony format a message ends with <|end|> and the turn goes on. */
    int32_t end = by_spelling(t, "<|end|>");
    if (end >= 0 && by_spelling(t, "<|return|>") >= 0 && by_spelling(t, "<|call|>") >= 0)
        t->pieces[end].ends = false;
    for (size_t i = 0; i < ST_COUNT(keys); i++) {
        int32_t id = -1;
        int rc = load_id(t, g, keys[i], -1, &id, err);
        if (rc)
            return rc;
        if (id >= 0)
            t->pieces[id].ends = true;
    }
    if (t->eos >= 0)
        t->pieces[t->eos].ends = true;
    return 0;
}

/* Tokens with a role that are spelled like markup are control tokens.  The unknown token
 * stands for text from anyone, so it may not have another role too. */
static void settle_kinds(tok *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        piece *p = &t->pieces[i];
        int32_t id = (int32_t)i;
        bool markup = p->text_len > 2 && (p->text[0] == '<' || p->text[0] == '[');
        if (markup && (p->ends || id == t->bos || id == t->sep))
            p->kind = PIECE_CONTROL;
        else if (id == t->unk && (markup || p->kind == PIECE_CONTROL))
            p->kind = PIECE_UNKNOWN;
    }
    if (t->unk >= 0 && t->pieces[t->unk].kind == PIECE_CONTROL)
        t->unk = -1;
}

static void list_ends(tok *t)
{
    for (uint32_t i = 0; i < t->n && t->n_ends < MAX_ENDS; i++)
        if (t->pieces[i].ends)
            t->ends[t->n_ends++] = (int32_t)i;
}

static bool name_holds(const gguf_str *name, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= name->len; i++) {
        size_t k = 0;
        while (k < n && tolower((unsigned char)name->data[i + k]) == part[k])
            k++;
        if (k == n)
            return true;
    }
    return false;
}

/* Phi-3 publishes its control tokens as swallowing white space behind them; the format
 * has no field for that, so the model's name decides, as it does in llama.cpp. */
static void load_rstrip(tok *t, const gguf *g)
{
    static const char *const not_these[] = {"<unk>", "<s>", "<|endoftext|>"};
    gguf_str name;
    if (gguf_string(g, "general.name", &name, NULL) ||
        !(name_holds(&name, "phi-3") || name_holds(&name, "phi3")))
        return;
    for (uint32_t i = 0; i < t->n; i++) {
        piece *p = &t->pieces[i];
        p->rstrip = p->kind == PIECE_CONTROL || p->kind == PIECE_USER;
    }
    for (size_t i = 0; i < ST_COUNT(not_these); i++) {
        int32_t id = by_spelling(t, not_these[i]);
        if (id >= 0)
            t->pieces[id].rstrip = false;
    }
}

int roles_load(tok *t, const gguf *g, unsigned pre_flags, st_err *err)
{
    int rc = load_ids(t, g, err);
    if (!rc)
        rc = load_flags(t, g, pre_flags, err);
    if (!rc)
        rc = load_ends(t, g, err);
    if (rc)
        return rc;
    settle_kinds(t);
    list_ends(t);
    load_rstrip(t, g);
    return 0;
}
