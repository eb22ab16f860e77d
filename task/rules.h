/* task/rules.h - the patterns of a contract's rules (PCRE2, UTF-8).
 *
 * A match may take RULE_MATCH_LIMIT steps, so that no input makes a pattern run away.
 * Bytes of an input that are not UTF-8 match nothing but do not stop the search.
 *
 * Threads: a compiled rule is immutable and may be shared. */
#ifndef TASK_RULES_H
#define TASK_RULES_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum { RULE_MATCH_LIMIT = 1000000 };

/* ST_EINVAL: PCRE2's message and the offset in the pattern. */
ST_NODISCARD int rule_compile(const char *pattern, void **ret_code, st_err *err);
void rule_free(void *code); /* NULL allowed */
ST_NODISCARD int rule_match(const void *code, const char *text, size_t len,
                            bool *ret_match, st_err *err);
#endif
