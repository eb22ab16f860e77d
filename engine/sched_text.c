/* engine/sched_text.c - texts whose states or embeddings are wanted: no sequence, one
 * step.
 *
 * A text is run whole in the step that it comes into. */
#include "engine/sched_core.h"

#include "base/clock.h"
#include <string.h>

bool text_fits(const sched *s, const req *r, uint32_t room)
{
    if (s->n_texts == 0)
        return true;
    const req *first = &s->reqs[s->texts[0]];
    uint32_t before = r->ask.prefix ? r->ask.prefix->pin->n : 0;
    return r->n - before <= room && r->ask.kind == first->ask.kind &&
           r->ask.states.last_layer == first->ask.states.last_layer;
}

void text_plan(sched *s, uint32_t at)
{
    req *r = &s->reqs[at];
    const sched_prefix *p = r->ask.prefix;
    uint32_t before = p ? p->pin->n : 0;
    flow_unwait(s, at);
    flow_charge(s, at, r->n - before);
    r->n_cached = before;
    s->stats.tokens_cached += before;
    r->queued_us = st_clock_us() - r->submit_us;
    s->text_tokens[s->n_texts] = r->tokens + before;
    s->text_n[s->n_texts] = r->n - before;
    s->text_wants[s->n_texts] = r->ask.states;
    s->text_wants[s->n_texts].adapter = r->ask.adapter;
    s->text_wants[s->n_texts].prefix = p ? p->pin->s : NULL;
    s->texts[s->n_texts++] = at;
}

void texts_run(sched *s, uint32_t from, uint32_t to)
{
    uint32_t n = to - from, n_embd = model_about(engine_model(s->engine))->n_embd;
    st_err err = {0};
    bool embed = s->reqs[s->texts[from]].ask.kind == SCHED_EMBED;
    int rc = embed ? engine_embed(s->engine, s->text_tokens + from, s->text_n + from, n,
                                  s->vectors, &err)
                   : engine_states(s->engine, s->text_tokens + from, s->text_n + from,
                                   s->text_wants + from, n, &err);
    if (rc < 0 && n > 1) {
        for (uint32_t i = from; i < to; i++)
            texts_run(s, i, i + 1);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = s->texts[from + i];
        s->stats.tokens_prefilled += s->text_n[from + i];
        if (rc == 0 && embed)
            memcpy(s->reqs[at].ask.ret_vector, s->vectors + (size_t)i * n_embd,
                   n_embd * sizeof(float));
        req_end(s, at, rc < 0 ? SCHED_END_ERROR : SCHED_END_DONE, rc < 0 ? &err : NULL);
    }
}
