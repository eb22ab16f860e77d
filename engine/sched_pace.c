/* engine/sched_pace.c - how many tokens a step may have, so that it takes as long as
 * wanted.
 *
 * The pace is a number of tokens beside those of text being made, one each.  A step that
 * used at least half of it, or took too long, sets it to what would have fitted, at most
 * twice and at least a quarter of what it was.  What a step costs besides is in its time,
 * so the pace settles where a full step takes step_us.  It begins low: a slow model's
 * first step is not a long one. */
#include "engine/sched_core.h"

void pace_learn(sched *s, uint32_t n, uint64_t us)
{
    double batch = engine_max_batch(s->engine), pace = s->pace;
    if (s->step_us == 0 || n == 0 || (2.0 * n < pace && us <= s->step_us))
        return;
    double fits = (double)n * s->step_us / (double)(us > 0 ? us : 1);
    pace = fits < pace / 4 ? pace / 4 : fits > 2 * pace ? 2 * pace : fits;
    pace = pace > batch ? batch : pace;
    s->pace = pace < SCHED_LEAST_ROOM ? SCHED_LEAST_ROOM : pace;
}

uint32_t pace_room(const sched *s, uint32_t used)
{
    uint32_t pace = (uint32_t)s->pace, left = pace > used ? pace - used : 0;
    if (s->step_us == 0)
        return UINT32_MAX;
    return left < SCHED_LEAST_ROOM ? SCHED_LEAST_ROOM : left;
}
