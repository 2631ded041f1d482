/* Functions of each number of an array. For exp, tanh and sigmoid simd.h makes no denormal number on the way to a
   denormal result and needs none of its input's, so they can be flushed here, and cost nothing. Those of erf are kept. */

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
