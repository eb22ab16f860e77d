/* serve/gen.c - one text that a model makes. */
#include "serve/gen.h"

#include "base/clock.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>

enum { MOST_TEXT = 64 << 20 };

void gen_init(gen *g)
{
    *g = (gen){0};
    st_buf_init(&g->text, MOST_TEXT);
    st_buf_init(&g->piece, MOST_TEXT);
}

void gen_done(gen *g)
{
    st_buf_done(&g->text);
    st_buf_done(&g->piece);
    st_free(g->tokens);
    st_free(g->top);
    st_free(g->ids);
    *g = (gen){0};
}

static bool fail(gen *g, int code, const char *what)
{
    st_err_set(&g->err, code, "%s", what);
    g->finish = GEN_FAILED;
    return false;
}

/* Room for n more members of *list. */
static bool room(void **list, uint32_t *cap, uint32_t n, uint32_t more, size_t size)
{
    if (n + more <= *cap)
        return true;
    uint32_t want = 2 * *cap + more + 16;
    void *bigger = st_realloc_n(*list, want, size);
    if (!bigger)
        return false;
    *list = bigger;
    *cap = want;
    return true;
}

static int piece_read(gen *g, const gen_spec *spec, int32_t id)
{
    st_buf_reset(&g->piece);
    if (spec->held)
        return tok_piece(spec->tok, id, &g->piece, &g->err);
    if (tok_is_control(spec->tok, id))
        return 0;
    if (g->n_ids == 1 && !spec->continues)
        return tok_decode(spec->tok, &id, 1, false, &g->piece, &g->err);
    return tok_piece(spec->tok, id, &g->piece, &g->err);
}

static bool token_keep(gen *g, const sched_token *token)
{
    void *tokens = g->tokens, *top = g->top;
    bool good = room(&tokens, &g->cap_tokens, g->n_tokens, 1, sizeof *g->tokens);
    g->tokens = tokens;
    good = good && room(&top, &g->cap_tops, g->n_tops, token->n_top, sizeof *g->top);
    g->top = top;
    if (!good)
        return false;
    g->tokens[g->n_tokens++] = (gen_token){.id = token->id,
                                           .logp = isnan(token->logp) ? 0 : token->logp,
                                           .begin = g->text.len,
                                           .top = g->n_tops,
                                           .n_top = token->n_top};
    if (token->n_top > 0)
        memcpy(g->top + g->n_tops, token->top, token->n_top * sizeof *token->top);
    g->n_tops += token->n_top;
    return true;
}

/* Cut the text where a stop word is whole. */
static bool stop_look(gen *g, const gen_spec *spec)
{
    size_t begin, end, most = g->text.len;
    if (spec->calls && g->seen.begun)
        most = g->seen.end;
    if (spec->stops.n == 0 || most <= g->searched)
        return false;
    if (!stop_find(&spec->stops, g->text.data, g->searched, most, &begin, &end)) {
        g->searched = most;
        return false;
    }
    g->text.len = spec->keeps_stop ? end : begin;
    g->text.data[g->text.len] = '\0';
    for (uint32_t i = 0; i < spec->stops.n; i++)
        if (spec->stops.len[i] == end - begin)
            g->stop_word = i;
    g->stopped_by_word = true;
    g->finish = GEN_STOP;
    g->seen.begun = false;
    g->seen.end = g->text.len;
    while (g->n_tokens > 0 && g->tokens[g->n_tokens - 1].begin >= g->text.len)
        g->n_tokens--;
    return true;
}

static void certain_find(gen *g, const gen_spec *spec)
{
    size_t most = g->text.len;
    if (most == 0)
        return;
    if (spec->calls)
        most = g->seen.end;
    if (!g->stopped_by_word && !(spec->calls && g->seen.begun))
        most = stop_certain(&spec->stops, g->text.data, most);
    g->certain = most > g->certain ? most : g->certain;
}

static bool out_of_time(const gen *g, const gen_spec *spec)
{
    return spec->most_us > 0 && st_clock_us() - g->begun_us > spec->most_us;
}

bool gen_add(gen *g, const gen_spec *spec, const sched_token *token)
{
    void *ids = g->ids;
    bool good = room(&ids, &g->cap_ids, g->n_ids, 1, sizeof *g->ids);
    g->ids = ids;
    if (!good)
        return fail(g, ST_ENOMEM, "no memory for a text");
    if (g->n_ids == 0)
        g->begun_us = st_clock_us();
    g->ids[g->n_ids++] = token->id;
    if (piece_read(g, spec, token->id) < 0) {
        g->finish = GEN_FAILED;
        return false;
    }
    if (spec->logp && g->piece.len > 0 && !token_keep(g, token))
        return fail(g, ST_ENOMEM, "no memory for a text");
    text_join_add(&g->join, g->piece.data ? g->piece.data : "", g->piece.len, &g->text);
    if (g->text.code)
        return fail(g, g->text.code, "no room for a text");
    if (g->text.len > 0 && spec->calls)
        toolcalls_look(spec->calls, g->text.data, g->text.len, &g->seen);
    bool stops = stop_look(g, spec);
    certain_find(g, spec);
    if (stops)
        return false;
    if (out_of_time(g, spec)) {
        g->finish = GEN_LENGTH;
        return false;
    }
    return true;
}

static void finish_find(gen *g, const sched_result *result)
{
    switch (result->end) {
    case SCHED_END_DONE:
    case SCHED_END_STOP:
        g->finish = GEN_STOP;
        break;
    case SCHED_END_LENGTH:
        g->finish = GEN_LENGTH;
        break;
    case SCHED_END_ERROR:
        g->finish = GEN_FAILED;
        st_err_set(&g->err, result->err->code, "%s", result->err->message);
        st_err_hint(&g->err, "%s", result->err->hint);
        break;
    }
}

void gen_end(gen *g, const gen_spec *spec, const sched_result *result)
{
    g->n_prompt = result->n_prompt;
    g->n_cached = result->n_cached;
    g->n_new = result->n_new;
    g->n_proposed = result->n_proposed;
    g->n_agreed = result->n_agreed;
    g->queued_us = result->queued_us;
    g->first_us = result->first_us;
    g->total_us = result->total_us;
    if (g->finish == GEN_GOING)
        finish_find(g, result);
    if (!g->stopped_by_word)
        text_join_end(&g->join, &g->text);
    if (g->text.code)
        fail(g, g->text.code, "no room for a text");
    if (!spec->calls)
        g->certain = g->text.len;
    else if (!g->seen.begun && !g->stopped_by_word)
        g->certain = g->seen.end = g->text.len;
}
