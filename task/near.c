/* task/near.c - which known name did somebody mean?
 *
 * The distance is computed row by row over the first name's letters; a swap looks two
 * rows back, so three rows are kept in turn. */
#include "task/near.h"

#include <stdint.h>
#include <string.h>

enum {
    MAX_NAME = 40,
    NEAR = 2, /* edits; further is another word */
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t near_distance(const char *a, const char *b)
{
    size_t rows[3][MAX_NAME + 1];
    size_t na = strlen(a);
    size_t nb = strlen(b);
    if (na > MAX_NAME || nb > MAX_NAME)
        return SIZE_MAX;
    for (size_t j = 0; j <= nb; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *row = rows[i % 3];
        const size_t *up = rows[(i + 2) % 3];
        const size_t *up2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            row[j] =
                least(least(up[j], row[j - 1]) + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], up2[j - 2] + 1);
        }
    }
    return rows[na % 3][nb];
}

void near_hint(st_err *err, const char *text, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t nearest = NEAR + 1;
    for (size_t i = 0; i < n; i++) {
        size_t d = near_distance(text, names[i]);
        if (d < nearest && d < strlen(names[i])) {
            nearest = d;
            best = names[i];
        }
    }
    if (best)
        st_err_hint(err, "did you mean '%s'?", best);
}
