/* task/rules.c - the patterns of a contract's rules (PCRE2, UTF-8). */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "task/rules.h"

#include <pcre2.h>
#include <stdint.h>

#include "base/mem.h"

static void *take(size_t bytes, void *arg)
{
    (void)arg;
    return st_alloc(bytes);
}

static void give(void *p, void *arg)
{
    (void)arg;
    st_free(p);
}

static int fail_memory(st_err *err)
{
    return st_err_set(err, ST_ENOMEM, "out of memory for a rule");
}

int rule_compile(const char *pattern, void **ret_code, st_err *err)
{
    int why = 0;
    size_t at = 0;
    pcre2_general_context *memory = pcre2_general_context_create(take, give, NULL);
    pcre2_compile_context *context = memory ? pcre2_compile_context_create(memory) : NULL;
    pcre2_code *code = NULL;
    if (context)
        code =
            pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                          PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C,
                          &why, &at, context);
    pcre2_compile_context_free(context);
    pcre2_general_context_free(memory);
    if (code) {
        *ret_code = code;
        return 0;
    }
    if (!context || why == PCRE2_ERROR_NOMEMORY || why == 121) /* 121: heap failed */
        return fail_memory(err);
    PCRE2_UCHAR text[160];
    if (pcre2_get_error_message(why, text, sizeof text) < 0)
        text[0] = '\0';
    return st_err_set(err, ST_EINVAL, "%s at character %zu of the pattern",
                      (const char *)text, at + 1);
}

void rule_free(void *code)
{
    pcre2_code_free(code);
}

int rule_match(const void *code, const char *text, size_t len, bool *ret_match,
               st_err *err)
{
    int found = PCRE2_ERROR_NOMEMORY;
    pcre2_general_context *memory = pcre2_general_context_create(take, give, NULL);
    pcre2_match_context *context = memory ? pcre2_match_context_create(memory) : NULL;
    pcre2_match_data *match = memory ? pcre2_match_data_create(1, memory) : NULL;
    if (context && match) {
        pcre2_set_match_limit(context, RULE_MATCH_LIMIT);
        pcre2_set_depth_limit(context, RULE_MATCH_LIMIT);
        found = pcre2_match(code, (PCRE2_SPTR)text, len, 0, 0, match, context);
    }
    pcre2_match_data_free(match);
    pcre2_match_context_free(context);
    pcre2_general_context_free(memory);
    if (found == PCRE2_ERROR_NOMEMORY)
        return fail_memory(err);
    if (found < 0 && found != PCRE2_ERROR_NOMATCH)
        return st_err_set(err, ST_ELIMIT, "the pattern gave up (PCRE2 error %d)", found);
    *ret_match = found >= 0;
    return 0;
}
