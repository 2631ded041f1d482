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

/* y = e^(x - max x) and its sum */
INLINE real row_exp(ptrdiff_t classes, const real *x, real max, real *y)
{
    vec sum = vset(0);
    FOR_VECTORS(0, classes, {
        vec e = vexp(vload_or(x + i, n, vset(-(real)INFINITY)) - max);
        vstore_n(y + i, e, n);
        sum += e;
    });
    return vsum(sum);
}

/* y / sum; a sum of at least 1 has an inverse, and a division takes five times as long as a product */
INLINE void row_divide(ptrdiff_t classes, real *y, real sum)
{
    const real inverse = 1 / sum;
    FOR_VECTORS(0, classes, vstore_n(y + i, vload_n(y + i, n) * inverse, n););
}

/* Σ a */
INLINE real row_sum(ptrdiff_t classes, const real *a)
{
    vec sum = vset(0);
    FOR_VECTORS(0, classes, sum += vload_n(a + i, n););
    return vsum(sum);
}

/* Σ a b */
INLINE real row_dot(ptrdiff_t classes, const real *a, const real *b)
{
    vec sum = vset(0);
    FETCHING(FOR_VECTORS(0, classes, {
        FETCH_AHEAD(a + i);
        FETCH_AHEAD(b + i);
        sum = vfma(vload_n(a + i, n), vload_n(b + i, n), sum);
    }););
    return vsum(sum);
}

#endif
