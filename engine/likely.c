/* engine/likely.c - a sorted list that few of many logits get into. */
#include "engine/likely.h"

#include <math.h>

/* A list of n, at most k, gets one more, whose id is higher than all of them. */
static uint32_t list_add(step_likely *list, uint32_t n, uint32_t k, step_likely one)
{
    if (n == k && !(one.logit > list[n - 1].logit))
        return n;
    uint32_t at = n < k ? n++ : k - 1;
    for (; at > 0 && one.logit > list[at - 1].logit; at--)
        list[at] = list[at - 1];
    list[at] = one;
    return n;
}

uint32_t likely_find(const float *x, uint32_t from, uint32_t n, uint32_t k,
                     step_likely *ret)
{
    uint32_t found = 0, i = 0;
    for (; i < n && found < k; i++) {
        float logit = isnan(x[i]) ? -INFINITY : x[i];
        found = list_add(ret, found, k, (step_likely){(int32_t)(from + i), logit});
    }
    for (; i < n && k > 0; i++)
        if (x[i] > ret[k - 1].logit)
            list_add(ret, k, k, (step_likely){(int32_t)(from + i), x[i]});
    return found;
}

uint32_t likely_join(step_likely *list, uint32_t n, const step_likely *more,
                     uint32_t n_more, uint32_t k)
{
    for (uint32_t i = 0; i < n_more; i++)
        n = list_add(list, n, k, more[i]);
    return n;
}
