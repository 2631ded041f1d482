/* Functions of each number of an array. For exp, tanh, sigmoid and log simd.h makes no denormal number on the way to a
   denormal result and needs none of its input's, so they can be flushed here, and cost nothing. The others keep them. */

#include "simd.h"

#include "kernels.h"
#include "parallel.h"

#define GRAIN 8192

typedef struct {
    const real *x;
    real *y;
    int past; /* y is written past the caches */
} Map;

#define MAP(name, f, flushes)                                                                             \
    static void name##_range(void *context, ptrdiff_t begin, ptrdiff_t end)                               \
    {                                                                                                     \
        const Map map = *(const Map *)context;                                                            \
        const unsigned before = flushes ? denormals_flush() : 0;                                          \
        FOR_VECTORS(begin, end, vstore_past(map.y + i, f(vload_n(map.x + i, n)), n, map.past););          \
        past_end(map.past);                                                                               \
        if (flushes)                                                                                      \
            denormals_restore(before);                                                                    \
    }                                                                                                     \
    int NAME(name)(ptrdiff_t n, const real *x, real *y)                                                   \
    {                                                                                                     \
        parallel_for(n, GRAIN, NUMBERS, name##_range, &(Map){x, y, is_past(y, 2 * n)});                   \
        return 0;                                                                                         \
    }

/* dx = dy times a slope in terms of y. Denormal numbers are kept, as in any product. */
typedef struct {
    const real *dy, *y;
    ptrdiff_t dy_step; /* 1, or 0 where dy is one number for all y */
    real *dx;
    int past; /* dx is written past the caches */
} Slope;

#define SLOPE(name, gradient)                                                                             \
    static void name##_backward_range(void *context, ptrdiff_t begin, ptrdiff_t end)                      \
    {                                                                                                     \
        const Slope of = *(const Slope *)context;                                                         \
        FETCHING(FOR_VECTORS(begin, end, {                                                                \
            const vec y = vload_ahead(ahead, of.y + i, n);                                                \
            const vec dy = of.dy_step ? vload_ahead(ahead, of.dy + i, n) : vset(*of.dy);                  \
            vstore_past(of.dx + i, gradient, n, of.past);                                                 \
        }););                                                                                             \
        past_end(of.past);                                                                                \
    }                                                                                                     \
    int NAME(name##_backward)(ptrdiff_t n, const real *dy, ptrdiff_t dy_step, const real *y, real *dx)    \
    {                                                                                                     \
        parallel_for(n, GRAIN, NUMBERS, name##_backward_range,                                            \
                     &(Slope){dy, y, dy_step, dx, is_past(dx, (2 + dy_step) * n)});                       \
        return 0;                                                                                         \
    }

typedef struct {
    Map map;
    real low, high;
} Clip;

static void clip_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Clip clip = *(const Clip *)context;
    const Map map = clip.map;
    const vec low = vset(clip.low), high = vset(clip.high);
    FOR_VECTORS(begin, end, vstore_past(map.y + i, vmin(high, vmax(low, vload_n(map.x + i, n))), n, map.past););
    past_end(map.past);
}

int NAME(clip)(ptrdiff_t n, const real *x, double low, double high, real *y)
{
    parallel_for(n, GRAIN, NUMBERS, clip_range, &(Clip){{x, y, is_past(y, 2 * n)}, (real)low, (real)high});
    return 0;
}

MAP(exp, vexp, 1)
MAP(tanh, vtanh, 1)
SLOPE(tanh, dy * (vset(1) - y * y))
MAP(sigmoid, vsigmoid, 1)
SLOPE(sigmoid, dy * y * (vset(1) - y))
MAP(erf, verf, 0)
MAP(log, vlog, 1)
MAP(sqrt, vsqrt, 0)
MAP(absolute, vabs, 0)
