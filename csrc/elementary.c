/* exp, tanh and sigmoid of an array. simd.h makes no denormal number on the way to a denormal result and
   needs none of its input's, so they can be flushed here, and cost nothing. */

#include "simd.h"

#include "kernels.h"
#include "parallel.h"

#define GRAIN 8192

typedef struct {
    const real *x;
    real *y;
} Map;

#define MAP(name, f)                                                                                      \
    static void name##_range(void *context, ptrdiff_t begin, ptrdiff_t end)                               \
    {                                                                                                     \
        const Map map = *(const Map *)context;                                                            \
        unsigned before = denormals_flush();                                                              \
        FOR_VECTORS(begin, end, vstore_n(map.y + i, f(vload_n(map.x + i, n)), n););                      \
        denormals_restore(before);                                                                        \
    }                                                                                                     \
    int NAME(name)(ptrdiff_t n, const real *x, real *y)                                                   \
    {                                                                                                     \
        parallel_for(n, GRAIN, name##_range, &(Map){x, y});                                               \
        return 0;                                                                                         \
    }

MAP(exp, vexp)
MAP(tanh, vtanh)
MAP(sigmoid, vsigmoid)
