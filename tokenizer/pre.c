/* tokenizer/pre.c - the table of pre-tokenisers and the cutting by patterns.
 *
 * A rule is what a family of models publishes in its tokenizer.json, written for PCRE2:
 * where nothing can follow that would make a run give back, quantifiers are possessive,
 * so that a text of one repeated character costs one pass.  Many names share a rule.
 *
 * Two stages are not patterns.  Falcon splits punctuation by the reference's own table
 * (wordmark.h), and digits by threes after bytes were written as characters, where six
 * bytes above 0x7F look like numbers too. */
#include "tokenizer/pre.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/compiler.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "tokenizer/classes.h"
#include "tokenizer/wordmark.h"
#include <pcre2.h>
#include <stdint.h>
#include <string.h>

enum { MAX_STAGES = 6 };

/* Stages that are functions; as patterns they could match nothing. */
#define STAGE_PUNCT "(*punct)"
#define STAGE_BYTE_DIGITS "(*byte-digits)"

/* Pieces of patterns */
#define TAIL_SPACE "[" C_SPACE "]+(?![^" C_SPACE "])|[" C_SPACE "]++"
#define LINES "[" C_SPACE "]*[\\r\\n]++"
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define OTHERS "[^" C_SPACE C_L C_N "]"
#define CJK_KANA "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]++"
#define CJK_AND_MORE "[\\x{800}-\\x{9fa5}\\x{ac00}-\\x{d7ff}]++"
#define ONE_DIGIT "[" C_NUMERIC "]"

/* GPT-2: words, numbers and signs, each with one space before it */
#define GPT2                                                                             \
    "'s|'t|'re|'ve|'m|'ll|'d| ?[" C_L "]++| ?[" C_N "]++| ?" OTHERS "++|" TAIL_SPACE

/* The shape that llama 3 and Qwen share; they differ in how many digits stand together */
#define MODERN(digits)                                                                   \
    CONTRACTION "|[^\\r\\n" C_L C_N "]?[" C_L "]++|[" C_N "]" digits "| ?" OTHERS        \
                "++[\\r\\n]*+|" LINES "|" TAIL_SPACE

#define QWEN35                                                                           \
    CONTRACTION "|[^\\r\\n" C_L C_N "]?[" C_L C_M "]++|[" C_N                            \
                "]| ?[^" C_SPACE C_L C_M C_N "]++[\\r\\n]*+|" LINES "|" TAIL_SPACE

#define DEEPSEEK3                                                                        \
    "[!-/:-@\\[-`{-~][A-Za-z]++|[^\\r\\n" C_L C_P C_S "]?[" C_L C_M "]++| ?[" C_P C_S    \
    "]++[\\r\\n]*+|" LINES "|" TAIL_SPACE

/* Words that start with capitals: GPT-4o and, without contractions, Tekken */
#define CAPITALS C_LU "\\p{Lt}" C_LM C_LO C_M
#define SMALLS C_LL C_LM C_LO C_M
#define CASED_WORDS(after)                                                               \
    "[^\\r\\n" C_L C_N "]?[" CAPITALS "]*[" SMALLS "]++" after "|[^\\r\\n" C_L C_N       \
    "]?[" CAPITALS "]++[" SMALLS "]*+" after
#define CASED(after, digits)                                                             \
    CASED_WORDS(after)                                                                   \
    "|[" C_N "]" digits "| ?" OTHERS "++[\\r\\n/]*+|" LINES "|" TAIL_SPACE

#define BLOOM                                                                            \
    " ?[^(" C_SPACE                                                                      \
    "|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]++"

/* What llama.cpp does where a file names no pre-tokeniser of its own */
#define DEFAULT_SIGNS "[\\p{P}$+<=>^~|]++"

static const struct pre_rule {
    const char *id;
    const char *stages[MAX_STAGES]; /* in order; NULL ends */
} rules[] = {
    {"gpt2", {GPT2}},
    {"digits", {ONE_DIGIT, GPT2}},
    {"llama3", {MODERN("{1,3}+")}},
    {"qwen2", {MODERN("")}},
    {"qwen35", {QWEN35}},
    {"falcon", {STAGE_PUNCT, GPT2, STAGE_BYTE_DIGITS}},
    {"deepseek-llm",
     {"[\\r\\n]", "[" C_SPACE "]?[" C_DEEPSEEK_LETTERS "]++",
      "[" C_SPACE "]?[" C_DEEPSEEK_PUNCT "]++", "(?<![" C_SPACE "])[" C_SPACE "]++\\z",
      CJK_AND_MORE, ONE_DIGIT}},
    {"deepseek-coder",
     {"[\\r\\n]", "[" C_SPACE "]?[" C_L "]++", "[" C_SPACE "]?[" C_P "]++", CJK_AND_MORE,
      ONE_DIGIT}},
    {"deepseek3", {"[" C_N "]{1,3}+", CJK_KANA, DEEPSEEK3}},
    {"gpt-4o", {CASED(CONTRACTION "?+", "{1,3}+")}},
    {"tekken", {CASED("", "")}},
    {"bloom", {BLOOM}},
    {"viking", {BLOOM, ONE_DIGIT}},
    {"seed-coder",
     {CONTRACTION "|[^\\r\\n" C_L C_N "]?[" C_L "]++|[" C_N "]| ?[^" C_SPACE C_L C_N
                  "]++|" LINES "|" TAIL_SPACE}},
    {"bailing",
     {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n" C_L C_N "]?+[" C_L "]++|[" C_N "]| ?" OTHERS
      "++[\\r\\n]*+|[" C_SPACE "]*[\\r\\n]|" TAIL_SPACE}},
    {"minicpm5", {"[" C_N "]{1,3}+", MODERN("++")}},
    {"exaone-moe",
     {CONTRACTION "|[^\\r\\n" C_L C_N "]?[" C_L "][" C_M "]*+(?: ?[" C_L "][" C_M
                  "]*+)*+|[" C_N "]| ?" OTHERS "++[\\r\\n/]?+|[" C_SPACE
                  "]*[\\r\\n]|" TAIL_SPACE}},
    {"default", {DEFAULT_SIGNS, GPT2, "\\p{N}++", "[0-9][0-9][0-9]"}},
};

static const struct pre_name {
    const char *name;
    const char *rule;
    unsigned flags;
} names[] = {
    {"gpt-2", "gpt2", 0},
    {"phi-2", "gpt2", 0},
    {"jais", "gpt2", 0},
    {"gigachat", "gpt2", 0},
    {"mellum", "gpt2", 0},
    {"exaone4", "gpt2", 0},
    {"trillion", "gpt2", 0},
    {"granite-docling", "gpt2", 0},
    {"jina-es", "gpt2", 0},
    {"jina-de", "gpt2", 0},
    {"jina-v2-es", "gpt2", 0},
    {"jina-v2-de", "gpt2", 0},
    {"a.x-4.0", "gpt2", 0},
    {"mpt", "gpt2", PRE_NFC},
    {"olmo", "gpt2", PRE_NFC},
    {"modern-bert", "gpt2", PRE_NFC},
    {"roberta-bpe", "gpt2", PRE_SEP},
    {"jina-v1-en", "gpt2", PRE_SEP},
    {"jina-v2-code", "gpt2", PRE_SEP},
    {"smollm", "digits", 0},
    {"starcoder", "digits", 0},
    {"refact", "digits", 0},
    {"codeshell", "digits", 0},
    {"exaone", "digits", 0},
    {"minerva-7b", "digits", 0},
    {"mellum2", "digits", 0},
    {"command-r", "digits", PRE_NFC},
    {"llama3", "llama3", PRE_WHOLE | PRE_BOS},
    {"llama-v3", "llama3", PRE_WHOLE | PRE_BOS},
    {"llama-bpe", "llama3", PRE_WHOLE | PRE_BOS},
    {"falcon3", "llama3", PRE_WHOLE | PRE_BOS},
    {"falcon-h1", "llama3", PRE_WHOLE | PRE_BOS},
    {"pixtral", "llama3", PRE_WHOLE | PRE_BOS},
    {"midm-2.0", "llama3", PRE_WHOLE | PRE_BOS},
    {"lfm2", "llama3", PRE_WHOLE | PRE_BOS},
    {"jina-v5-nano", "llama3", PRE_WHOLE | PRE_BOS},
    {"dbrx", "llama3", 0},
    {"smaug-bpe", "llama3", 0},
    {"chatglm-bpe", "llama3", 0},
    {"glm4", "llama3", 0},
    {"qwen2", "qwen2", PRE_NFC},
    {"qwen3", "qwen2", PRE_NFC},
    {"deepseek-r1-qwen", "qwen2", PRE_NFC},
    {"megrez", "qwen2", PRE_NFC},
    {"stablelm2", "qwen2", PRE_NFC},
    {"hunyuan", "qwen2", 0},
    {"solar-open", "qwen2", 0},
    {"grok-2", "qwen2", 0},
    {"kormo", "qwen2", 0},
    {"f2llmv2", "qwen2", PRE_NFC},
    {"qwen35", "qwen35", PRE_NFC},
    {"falcon", "falcon", 0},
    {"deepseek-llm", "deepseek-llm", 0},
    {"deepseek-coder", "deepseek-coder", 0},
    {"deepseek-v3", "deepseek3", 0},
    {"hunyuan-dense", "deepseek3", 0},
    {"joyai-llm", "deepseek3", 0},
    {"hy_v4", "deepseek3", 0},
    {"gpt-4o", "gpt-4o", 0},
    {"llama4", "gpt-4o", 0},
    {"kanana2", "gpt-4o", 0},
    {"minimax-m2", "gpt-4o", 0},
    {"tekken", "tekken", PRE_WHOLE | PRE_BOS},
    {"bloom", "bloom", 0},
    {"poro-chat", "bloom", 0},
    {"gpt3-finnish", "bloom", 0},
    {"viking", "viking", 0},
    {"seed-coder", "seed-coder", 0},
    {"bailingmoe", "bailing", 0},
    {"bailingmoe2", "bailing", 0},
    {"llada-moe", "bailing", 0},
    {"minicpm5", "minicpm5", PRE_WHOLE},
    {"exaone-moe", "exaone-moe", 0},
    {"default", "default", 0},
};

typedef enum stage_kind {
    STAGE_IS_PATTERN,
    STAGE_IS_PUNCT,
    STAGE_IS_BYTE_DIGITS
} stage_kind;

struct pre_split {
    pcre2_general_context *memory;
    unsigned n;
    stage_kind kinds[MAX_STAGES];
    pcre2_code *codes[MAX_STAGES]; /* NULL where the stage is a function */
};

struct pre_match {
    pcre2_match_data *data;
};

static void *take_memory(size_t bytes, void *arg)
{
    (void)arg;
    return st_alloc(bytes);
}

static void give_memory(void *p, void *arg)
{
    (void)arg;
    st_free(p);
}

static int stage_new(pre_split *pre, const char *pattern, st_err *err)
{
    unsigned i = pre->n++;
    pre->kinds[i] = strcmp(pattern, STAGE_PUNCT) == 0         ? STAGE_IS_PUNCT
                    : strcmp(pattern, STAGE_BYTE_DIGITS) == 0 ? STAGE_IS_BYTE_DIGITS
                                                              : STAGE_IS_PATTERN;
    if (pre->kinds[i] != STAGE_IS_PATTERN)
        return 0;
    pcre2_compile_context *how = pcre2_compile_context_create(pre->memory);
    if (!how)
        return st_err_set(err, ST_ENOMEM, "pre-tokeniser: out of memory");
    int code;
    size_t at;
    pre->codes[i] =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, how);
    pcre2_compile_context_free(how);
    if (!pre->codes[i])
        return code == PCRE2_ERROR_HEAP_FAILED
                   ? st_err_set(err, ST_ENOMEM, "pre-tokeniser: out of memory")
                   : st_err_set(err, ST_EUNSUPPORTED,
                                "this PCRE2 does not take a pattern of the tokenizer "
                                "(error %d at %zu)",
                                code, at);
    /* Where code may not be made at run time the interpreter gives the same matches. */
    (void)pcre2_jit_compile(pre->codes[i], PCRE2_JIT_COMPLETE);
    return 0;
}

static const struct pre_name *find_name(const char *name, size_t len)
{
    for (size_t i = 0; i < ST_COUNT(names); i++) {
        if (strlen(names[i].name) == len && memcmp(names[i].name, name, len) == 0)
            return &names[i];
    }
    return NULL;
}

static const struct pre_rule *find_rule(const char *id)
{
    const struct pre_rule *rule = rules;
    while (strcmp(rule->id, id) != 0)
        rule++; /* every name names a rule */
    return rule;
}

int pre_new(const char *name, size_t len, pre_split **ret_pre, unsigned *ret_flags,
            st_err *err)
{
    const struct pre_name *found = find_name(name, len);
    if (!found)
        return st_err_set(err, ST_EUNSUPPORTED,
                          "tokenizer.ggml.pre: pre-tokeniser '%.*s' is not known",
                          len > 60 ? 60 : (int)len, name);
    pre_split *pre = st_zalloc_n(1, sizeof *pre);
    int rc = 0;
    if (pre)
        pre->memory = pcre2_general_context_create(take_memory, give_memory, NULL);
    if (!pre || !pre->memory)
        rc = st_err_set(err, ST_ENOMEM, "pre-tokeniser: out of memory");
    const struct pre_rule *rule = find_rule(found->rule);
    for (unsigned i = 0; !rc && i < MAX_STAGES && rule->stages[i]; i++)
        rc = stage_new(pre, rule->stages[i], err);
    if (rc) {
        pre_free(pre);
        return rc;
    }
    *ret_pre = pre;
    *ret_flags = found->flags;
    return 0;
}

void pre_free(pre_split *pre)
{
    if (!pre)
        return;
    for (unsigned i = 0; i < pre->n; i++)
        pcre2_code_free(pre->codes[i]);
    pcre2_general_context_free(pre->memory);
    st_free(pre);
}

int pre_match_new(const pre_split *pre, pre_match **ret_match)
{
    pre_match *match = st_zalloc_n(1, sizeof *match);
    if (match)
        match->data = pcre2_match_data_create(1, pre->memory);
    if (!match || !match->data) {
        st_free(match);
        return ST_ENOMEM;
    }
    *ret_match = match;
    return 0;
}

void pre_match_free(pre_match *match)
{
    if (!match)
        return;
    pcre2_match_data_free(match->data);
    st_free(match);
}

typedef struct cut { /* one pre_words() under way */
    const pre_split *pre;
    pre_match *match;
    pre_word_fn *word;
    void *arg;
    st_err *err;
} cut;

/* Runs of punctuation and what lies between them. */
static size_t punct_run(const char *s, size_t len, size_t at)
{
    size_t n, start = at;
    bool inside = wordmark_is_punct(st_utf8_decode(s + at, len - at, &n));
    for (at += n; at < len; at += n) {
        if (wordmark_is_punct(st_utf8_decode(s + at, len - at, &n)) != inside)
            break;
    }
    return at - start;
}

/* Does the byte look like a number once it is written as a character? */
static bool digit_byte(unsigned char b)
{
    return (b >= '0' && b <= '9') || b == 0xB2 || b == 0xB3 || b == 0xB9 ||
           (b >= 0xBC && b <= 0xBE);
}

static bool three_digits(const char *s, size_t len, size_t at)
{
    for (size_t i = at; i < at + 3; i++) {
        if (i >= len || s[i] < '0' || s[i] > '9')
            return false;
    }
    return true;
}

/* Runs of numbers and what lies between them; three digits of a run stand together. */
static size_t digit_run(const char *s, size_t len, size_t at)
{
    if (three_digits(s, len, at))
        return 3;
    size_t start = at;
    bool inside = digit_byte((unsigned char)s[at]);
    do {
        at++;
    } while (at < len && digit_byte((unsigned char)s[at]) == inside &&
             !(inside && three_digits(s, len, at)));
    return at - start;
}

/* The next match of a pattern in s[at..len); at the end when there is none. */
static int next_match(const cut *c, unsigned stage, const char *s, size_t len, size_t at,
                      size_t *ret_from, size_t *ret_to)
{
    int n = pcre2_match(c->pre->codes[stage], (PCRE2_SPTR)s, len, at, PCRE2_NO_UTF_CHECK,
                        c->match->data, NULL);
    if (n == PCRE2_ERROR_NOMATCH) {
        *ret_from = *ret_to = len;
        return 0;
    }
    if (n < 0)
        return n == PCRE2_ERROR_NOMEMORY || n == PCRE2_ERROR_HEAPLIMIT
                   ? st_err_set(c->err, ST_ENOMEM, "pre-tokeniser: out of memory")
                   : st_err_set(c->err, ST_ELIMIT, "pre-tokeniser: matching failed (%d)",
                                n);
    const size_t *ends = pcre2_get_ovector_pointer(c->match->data);
    *ret_from = ends[0];
    *ret_to = ends[1];
    return 0;
}

static int cut_stage(const cut *c, unsigned stage, const char *s, size_t len);

static int cut_pattern(const cut *c, unsigned stage, const char *s, size_t len)
{
    size_t at = 0;
    while (at < len) {
        size_t from = len, to = len;
        int rc = next_match(c, stage, s, len, at, &from, &to);
        if (!rc && from > at)
            rc = cut_stage(c, stage + 1, s + at, from - at);
        if (!rc && to > from)
            rc = cut_stage(c, stage + 1, s + from, to - from);
        if (rc)
            return rc;
        at = to;
    }
    return 0;
}

/* Stages are few, so the recursion is shallow.  A stage that cuts inside characters is
 * the last of its rule. */
static int cut_stage(const cut *c, unsigned stage, const char *s, size_t len)
{
    if (stage == c->pre->n)
        return c->word(c->arg, s, len);
    stage_kind kind = c->pre->kinds[stage];
    if (kind == STAGE_IS_PATTERN)
        return cut_pattern(c, stage, s, len);
    for (size_t at = 0; at < len;) {
        size_t n = kind == STAGE_IS_PUNCT ? punct_run(s, len, at) : digit_run(s, len, at);
        int rc = cut_stage(c, stage + 1, s + at, n);
        if (rc)
            return rc;
        at += n;
    }
    return 0;
}

int pre_words(const pre_split *pre, pre_match *match, const char *s, size_t len,
              pre_word_fn *word, void *arg, st_err *err)
{
    cut c = {pre, match, word, arg, err};
    return cut_stage(&c, 0, s, len);
}
