/* tests/fuzz/fuzz_regex.c - any bytes as a pattern, and after a NUL a text for it. */
#include "base/utf8.h"
#include "grammar/dfa_automaton.h"
#include "grammar/regex.h"
#include "grammar/text.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

/* What dfa.h promises. */
static void check_form(const dfa *d)
{
    if (d->start != (d->n_states > 1) || d->n_states > DFA_MAX_STATES || d->label[0])
        abort();
    for (uint32_t s = 0; s < d->n_states; s++) {
        bool living = d->label[s] != 0;
        for (uint32_t c = 0; c < d->n_classes; c++) {
            uint32_t to = d->next[(size_t)s * d->n_classes + c];
            if (to >= d->n_states || (s == 0 && to))
                abort();
            living = living || to;
        }
        if (s && !living)
            abort();
    }
}

/* The same text by bytes, by the automaton for masks and with a length that is none. */
static void check_text(dfa *d, const char *text, size_t len)
{
    text_rule r;
    automaton *a = NULL;
    uint32_t s = d->start;
    if (s && dfa_automaton_new(d, &a, NULL))
        abort();
    if (text_rule_make(d, 1, (uint32_t)len, &r, NULL)) {
        if (a)
            a->ops->free(a);
        return;
    }
    text_state t = text_start(&r);
    state_id at = STATE_START;
    for (size_t i = 0; i < len && s; i++) {
        s = dfa_step(r.d, s, (uint8_t)text[i]);
        t = text_step(&r, t, (uint8_t)text[i]);
        if (a->ops->step(a, at, (uint8_t)text[i], &at, NULL) || at != s)
            abort();
        if (t.at && t.at != s)
            abort();
    }
    bool accepted = r.d->label[s] != 0;
    if (accepted && !st_utf8_valid(text, len, NULL))
        abort();
    if (text_accepts(&r, t) != (accepted && len > 0))
        abort();
    if (a)
        a->ops->free(a);
    text_rule_done(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *bytes = (const char *)data;
    const char *end = len ? memchr(bytes, '\0', len) : NULL;
    size_t n = end ? (size_t)(end - bytes) : len;
    for (int how = REGEX_SEARCH; how <= REGEX_WHOLE; how++) {
        dfa *d = NULL;
        st_err err = {0};
        int rc = regex_dfa(bytes, n, (regex_match)how, &d, &err);
        if (rc) {
            if (d || rc != err.code || !err.message[0])
                abort();
            continue;
        }
        check_form(d);
        check_text(d, bytes + n + (end != NULL), end ? len - n - 1 : 0);
    }
    return 0;
}
