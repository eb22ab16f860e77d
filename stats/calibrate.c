/* stats/calibrate.c - temperature scaling.
 *
 * NLL is convex in b = 1 / T, so its slope, the mean of E_p[z] - z[label], rises with b:
 * bisect for its zero. */
#include "stats/calibrate.h"

#include <math.h>
#include <stddef.h>

enum { HALVINGS = 40 };

static double row_slope(const float *z, int32_t label, uint32_t k, double b)
{
    double top = (double)z[0];
    for (uint32_t j = 1; j < k; j++)
        top = fmax(top, (double)z[j]);
    double mass = 0, mean = 0;
    for (uint32_t j = 0; j < k; j++) {
        double w = exp(b * ((double)z[j] - top));
        mass += w;
        mean += w * ((double)z[j] - top);
    }
    return mean / mass - ((double)z[label] - top);
}

double calibrate_temperature(const float *logp, const int32_t *labels, uint32_t n,
                             uint32_t k)
{
    double low = 1 / CALIBRATE_MAX, high = 1 / CALIBRATE_MIN;
    for (int i = 0; i < HALVINGS; i++) {
        double b = (low + high) / 2, slope = 0;
        for (uint32_t r = 0; r < n; r++)
            slope += row_slope(logp + (size_t)r * k, labels[r], k, b);
        if (slope > 0)
            high = b;
        else
            low = b;
    }
    return 2 / (low + high);
}
