/* tests/fuzz/fuzz_gbnf.c - any bytes as a grammar, and after a NUL a text: the automaton
 * and Earley's algorithm say the same of it. */
#include "grammar/grammar.h"
#include "grammar/kind.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_GRAMMAR = 2048, MOST_TEXT = 64 };

static const char plain_text[] = "{\"a\": [1, true, \"b c\"]}";

static void check(const grammar *g, automaton *a, const char *text, size_t len)
{
    state_id s = STATE_START;
    for (size_t i = 0; i <= len; i++) {
        bool in = s != STATE_DEAD && a->ops->accepts(a, s);
        int rc = grammar_validate(g, text, i, NULL);
        if (rc != ST_ELIMIT && rc != (in ? 0 : ST_EFORMAT))
            abort();
        if (i == len || s == STATE_DEAD)
            return;
        if (a->ops->step(a, s, (uint8_t)text[i], &s, NULL) < 0)
            return; /* more ways are open than are followed */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *bytes = (const char *)data;
    const char *end = len ? memchr(bytes, '\0', len) : NULL;
    size_t n = end ? (size_t)(end - bytes) : len;
    const char *text = end ? end + 1 : plain_text;
    size_t text_len = end ? len - n - 1 : strlen(plain_text);
    grammar *g;
    automaton *a;
    st_err err = {0};
    if (n > MOST_GRAMMAR)
        return 0;
    if (grammar_gbnf(bytes, n, &g, &err) < 0) {
        if (!err.code || !err.message[0])
            abort();
        return 0;
    }
    if (g->ops->automaton(g, &a, NULL) == 0) {
        check(g, a, text, text_len < MOST_TEXT ? text_len : MOST_TEXT);
        automaton_free(a);
    }
    grammar_free(g);
    return 0;
}
