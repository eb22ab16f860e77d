/* grammar/dfa.c - automata as they are used: run, counted, freed; and that of any text.
 */
#include "grammar/dfa.h"

#include "base/mem.h"
#include "grammar/dfa_build.h"
#include <string.h>

uint32_t dfa_run(const dfa *d, uint32_t state, const char *text, size_t len)
{
    for (size_t i = 0; i < len && state != DFA_DEAD; i++)
        state = dfa_step(d, state, (uint8_t)text[i]);
    return state;
}

void dfa_free(dfa *d)
{
    if (!d)
        return;
    st_free(d->next);
    st_free(d->label);
    st_free(d);
}

/* States of well-formed UTF-8 (RFC 3629): between characters; 1, 2 or 3 bytes to come;
 * and after the bytes that limit the next one. */
enum {
    BETWEEN = 1,
    LEFT1,
    LEFT2,
    LEFT3,
    AFTER_E0,
    AFTER_ED,
    AFTER_F0,
    AFTER_F4,
    AFTER_C2,
    AFTER_E2,
    AFTER_E2_80,
    UTF8_STATES
};

typedef struct utf8_way {
    uint8_t from, lo, hi, to;
} utf8_way;

/* What follows the lead bytes that both of the automata below share. */
#define UTF8_TAILS                                                                       \
    {LEFT1, 0x80, 0xBF, BETWEEN}, {LEFT2, 0x80, 0xBF, LEFT1},                            \
        {LEFT3, 0x80, 0xBF, LEFT2}, {BETWEEN, 0xE0, 0xE0, AFTER_E0},                     \
        {AFTER_E0, 0xA0, 0xBF, LEFT1}, {BETWEEN, 0xED, 0xED, AFTER_ED},                  \
        {AFTER_ED, 0x80, 0x9F, LEFT1}, {BETWEEN, 0xEE, 0xEF, LEFT2},                     \
        {BETWEEN, 0xF0, 0xF0, AFTER_F0}, {AFTER_F0, 0x90, 0xBF, LEFT2},                  \
        {BETWEEN, 0xF1, 0xF3, LEFT3}, {BETWEEN, 0xF4, 0xF4, AFTER_F4},                   \
        {AFTER_F4, 0x80, 0x8F, LEFT2},

static const utf8_way any_ways[] = {{BETWEEN, 0x00, 0x7F, BETWEEN},
                                    {BETWEEN, 0xC2, 0xDF, LEFT1},
                                    {BETWEEN, 0xE1, 0xEC, LEFT2},
                                    UTF8_TAILS};

/* Without U+0000 to U+001F, '"', '\\', U+007F to U+009F, U+2028, U+2029. */
static const utf8_way plain_ways[] = {
    {BETWEEN, 0x20, 0x21, BETWEEN},      {BETWEEN, 0x23, 0x5B, BETWEEN},
    {BETWEEN, 0x5D, 0x7E, BETWEEN},      {BETWEEN, 0xC2, 0xC2, AFTER_C2},
    {AFTER_C2, 0xA0, 0xBF, BETWEEN},     {BETWEEN, 0xC3, 0xDF, LEFT1},
    {BETWEEN, 0xE1, 0xE1, LEFT2},        {BETWEEN, 0xE2, 0xE2, AFTER_E2},
    {AFTER_E2, 0x80, 0x80, AFTER_E2_80}, {AFTER_E2_80, 0x80, 0xA7, BETWEEN},
    {AFTER_E2_80, 0xAA, 0xBF, BETWEEN},  {AFTER_E2, 0x81, 0xBF, LEFT1},
    {BETWEEN, 0xE3, 0xEC, LEFT2},        UTF8_TAILS};

static int of_ways(const utf8_way *ways, size_t n, dfa **ret, st_err *err)
{
    dfa_draft w;
    uint8_t class_of[256] = {0};
    bool begins[257] = {false};
    uint32_t state;
    for (size_t i = 0; i < n; i++)
        begins[ways[i].lo] = begins[ways[i].hi + 1] = true;
    for (uint32_t byte = 1; byte < 256; byte++)
        class_of[byte] = (uint8_t)(class_of[byte - 1] + begins[byte]);
    int rc = dfa_draft_init(&w, class_of, class_of[255] + 1u, err);
    for (uint32_t s = BETWEEN; !rc && s < UTF8_STATES; s++)
        rc = dfa_draft_add(&w, s == BETWEEN, &state, err);
    if (!rc) {
        for (size_t i = 0; i < n; i++) {
            for (uint32_t byte = ways[i].lo; byte <= ways[i].hi; byte++)
                dfa_draft_row(&w, ways[i].from)[class_of[byte]] = ways[i].to;
        }
        w.start = BETWEEN;
        rc = dfa_finish(&w, false, ret, err);
    }
    dfa_draft_done(&w);
    return rc;
}

int dfa_any(dfa **ret, st_err *err)
{
    return of_ways(any_ways, ST_COUNT(any_ways), ret, err);
}

int dfa_plain(dfa **ret, st_err *err)
{
    return of_ways(plain_ways, ST_COUNT(plain_ways), ret, err);
}

bool dfa_sort(const dfa *d, uint32_t *ways_in, uint32_t *order)
{
    uint32_t n = 0;
    memset(ways_in, 0, d->n_states * sizeof *ways_in);
    for (uint32_t s = 1; s < d->n_states; s++) {
        for (uint32_t c = 0; c < d->n_classes; c++)
            ways_in[d->next[(size_t)s * d->n_classes + c]]++;
    }
    if (ways_in[d->start] > 0)
        return false;
    order[n++] = d->start;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t c = 0; c < d->n_classes; c++) {
            uint32_t to = d->next[(size_t)order[i] * d->n_classes + c];
            if (to != DFA_DEAD && --ways_in[to] == 0)
                order[n++] = to;
        }
    }
    return n == d->n_states - 1;
}

uint64_t dfa_count(const dfa *d, uint64_t most)
{
    uint32_t bytes_of[256] = {0};
    if (d->start == DFA_DEAD || most == 0)
        return 0;
    /* Without memory the answer is the safe one: "that many or more". */
    uint64_t *texts = st_zalloc_n(d->n_states, sizeof *texts);
    uint32_t *ways_in = st_alloc_n(d->n_states, 2 * sizeof *ways_in);
    uint64_t count = most;
    for (uint32_t byte = 0; byte < 256; byte++)
        bytes_of[d->class_of[byte]]++;
    if (texts && ways_in && dfa_sort(d, ways_in, ways_in + d->n_states)) {
        const uint32_t *order = ways_in + d->n_states;
        for (uint32_t i = d->n_states - 1; i-- > 0;) {
            uint32_t s = order[i];
            texts[s] = d->label[s] != 0;
            for (uint32_t c = 0; c < d->n_classes; c++) {
                uint64_t more = texts[d->next[(size_t)s * d->n_classes + c]];
                if (more > 0 && (most - texts[s]) / more < bytes_of[c])
                    texts[s] = most;
                else
                    texts[s] += more * bytes_of[c];
            }
        }
        count = texts[d->start] < most ? texts[d->start] : most;
    }
    st_free(texts);
    st_free(ways_in);
    return count;
}
