/* Functions of each number of an array. For exp, tanh and sigmoid simd.h makes no denormal number on the way to a
   denormal result and needs none of its input's, so they can be flushed here, and cost nothing. Those of erf are kept; relu
   computes nothing. */

#include "simd.h"

#include "kernels.h"
#include "parallel.h"

#define GRAIN 8192

typedef struct {
    const real *x;
    real *y;
} Map;

#define MAP(name, f, flushes)                                                                             \
    static void name##_range(void *context, ptrdiff_t begin, ptrdiff_t end)                               \
    {                                                                                                     \
        const Map map = *(const Map *)context;                                                            \
        const unsigned before = flushes ? denormals_flush() : 0;                                          \
        FOR_VECTORS(begin, end, vstore_n(map.y + i, f(vload_n(map.x + i, n)), n););                      \
        if (flushes)                                                                                      \
            denormals_restore(before);                                                                    \
    }                                                                                                     \
    int NAME(name)(ptrdiff_t n, const real *x, real *y)                                                   \
    {                                                                                                     \
        parallel_for(n, GRAIN, name##_range, &(Map){x, y});                                               \
        return 0;                                                                                         \
    }

MAP(exp, vexp, 1)
MAP(tanh, vtanh, 1)
MAP(sigmoid, vsigmoid, 1)
MAP(erf, verf, 0)

static void relu_forward_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Map map = *(const Map *)context;
    FOR_VECTORS(begin, end, vstore_n(map.y + i, vmax(vset(0), vload_n(map.x + i, n)), n););
}

int NAME(relu_forward)(ptrdiff_t n, const real *x, real *y)
{
    parallel_for(n, GRAIN, relu_forward_range, &(Map){x, y});
    return 0;
}

typedef struct {
    const real *dy, *x;
    real *dx;
} Slope;

static void relu_backward_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Slope job = *(const Slope *)context;
    FOR_VECTORS(begin, end, {
        vmask rises = vless(vset(0), vload_n(job.x + i, n));
        vstore_n(job.dx + i, vselect(rises, vload_n(job.dy + i, n), vset(0)), n);
    });
}

int NAME(relu_backward)(ptrdiff_t n, const real *dy, const real *x, real *dx)
{
    parallel_for(n, GRAIN, relu_backward_range, &(Slope){dy, x, dx});
    return 0;
}
