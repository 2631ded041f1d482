/* What softmax.c and cross_entropy.c share: one row of K logits. */
#ifndef MINIDL_SOFTMAX_H
#define MINIDL_SOFTMAX_H

#include "simd.h"

/* Rows for one thread to be worth waking. */
INLINE ptrdiff_t row_grain(ptrdiff_t classes) { return 1 + 8192 / (classes + 8); }

INLINE real row_max(ptrdiff_t classes, const real *x)
{
    const vec lowest = vset(-(real)INFINITY);
    vec top = lowest;
    FOR_VECTORS(0, classes, top = vmax(top, vload_or(x + i, n, lowest)););
    return vmax_lane(top);
}

/* Σ e^(x - max x), and its terms in e unless that is NULL */
INLINE real row_exp(const int ahead, ptrdiff_t classes, const real *x, real max, real *e)
{
    vec sum = vset(0);
    FOR_VECTORS(0, classes, {
        FETCH_AHEAD(x + i);
        const vec power = vexp_below_0(vload_or(x + i, n, vset(-(real)INFINITY)) - max);
        if (e)
            vstore_n(e + i, power, n);
        sum += power;
    });
    return vsum(sum);
}

/* Rows that are taken together: none waits for another where many lanes become one. */
#define TOGETHER 8
#define ROOM 4096 /* numbers for what is made of them in between, or of one long row */

INLINE ptrdiff_t rows_together(ptrdiff_t classes)
{
    return classes > ROOM / 8 ? 1 : min_of(TOGETHER, ROOM / 4 / round_up(classes, LANES));
}

/* For each of them max x, Σ e^(x - max x), and the terms in e, whose rows lie `apart`, unless that is NULL */
INLINE void rows_exp(const int ahead, ptrdiff_t rows, ptrdiff_t classes, const real *x, real *max, real *sum, real *e,
                     ptrdiff_t apart)
{
    for (ptrdiff_t r = 0; r < rows; r++)
        max[r] = row_max(classes, x + r * classes);
    for (ptrdiff_t r = 0; r < rows; r++)
        sum[r] = row_exp(ahead, classes, x + r * classes, max[r], e ? e + r * apart : NULL);
}

INLINE void rows_log(ptrdiff_t rows, const real *sum, real *log_sum)
{
    FOR_VECTORS(0, rows, vstore_n(log_sum + i, vlog(vload_or(sum + i, n, vset(1))), n););
}

/* Whether rows of y, one of so many arrays that are read and written, are written past the caches */
INLINE int rows_past(ptrdiff_t rows, ptrdiff_t classes, ptrdiff_t arrays, const real *y)
{
    return classes >= PAST_ROW && is_past(y, arrays * rows * classes);
}

/* y = e / sum; a sum of at least 1 has an inverse, and a division takes five times as long as a product */
INLINE void row_divide(ptrdiff_t classes, const real *e, real sum, real *y, int past_caches)
{
    const real inverse = 1 / sum;
    FOR_VECTORS_PAST(past_caches, classes, y, vstore_past(y + i, vload_n(e + i, n) * inverse, n, past););
}

/* Σ a */
INLINE real row_sum(const int ahead, ptrdiff_t classes, const real *a)
{
    vec sum = vset(0);
    FOR_VECTORS(0, classes, {
        FETCH_AHEAD(a + i);
        sum += vload_n(a + i, n);
    });
    return vsum(sum);
}

/* Σ a b */
INLINE real row_dot(const int ahead, ptrdiff_t classes, const real *a, const real *b)
{
    vec sum = vset(0);
    FOR_VECTORS(0, classes, {
        FETCH_AHEAD(a + i);
        FETCH_AHEAD(b + i);
        sum = vfma(vload_n(a + i, n), vload_n(b + i, n), sum);
    });
    return vsum(sum);
}

#endif
