#include "softmax.h"

#include "kernels.h"
#include "parallel.h"

typedef struct {
    ptrdiff_t classes;
    const real *x;
    real *y;
} Forward;

static void forward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Forward job = *(const Forward *)context;
    for (ptrdiff_t row = begin; row < end; row++) {
        const real *x = job.x + row * job.classes;
        real *y = job.y + row * job.classes;
        row_divide(job.classes, y, row_exp(job.classes, x, row_max(job.classes, x), y));
    }
}

int NAME(softmax_forward)(ptrdiff_t batch, ptrdiff_t classes, const real *x, real *y)
{
    parallel_for(batch, row_grain(classes), forward_rows, &(Forward){classes, x, y});
    return 0;
}

static void log_forward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Forward job = *(const Forward *)context;
    for (ptrdiff_t row = begin; row < end; row++) {
        const real *x = job.x + row * job.classes;
        real *y = job.y + row * job.classes, max = row_max(job.classes, x);
        const real log_sum = IF32(logf, log)(row_exp(job.classes, x, max, y));
        FOR_VECTORS(0, job.classes, vstore_n(y + i, vload_n(x + i, n) - max - log_sum, n););
    }
}

int NAME(log_softmax_forward)(ptrdiff_t batch, ptrdiff_t classes, const real *x, real *y)
{
    parallel_for(batch, row_grain(classes), log_forward_rows, &(Forward){classes, x, y});
    return 0;
}

typedef struct {
    ptrdiff_t classes;
    const real *dy, *y;
    real *dx;
} Backward;

static void backward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Backward job = *(const Backward *)context;
    for (ptrdiff_t row = begin; row < end; row++) {
        const real *dy = job.dy + row * job.classes, *y = job.y + row * job.classes;
        real *dx = job.dx + row * job.classes, mean = row_dot(job.classes, dy, y);
        FOR_VECTORS(0, job.classes, vstore_n(dx + i, vload_n(y + i, n) * (vload_n(dy + i, n) - mean), n););
    }
}

int NAME(softmax_backward)(ptrdiff_t batch, ptrdiff_t classes, const real *dy, const real *y, real *dx)
{
    parallel_for(batch, row_grain(classes), backward_rows, &(Backward){classes, dy, y, dx});
    return 0;
}

static void log_backward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Backward job = *(const Backward *)context;
    for (ptrdiff_t row = begin; row < end; row++) {
        const real *dy = job.dy + row * job.classes, *y = job.y + row * job.classes;
        real *dx = job.dx + row * job.classes, sum = row_sum(job.classes, dy);
        FOR_VECTORS(0, job.classes, vstore_n(dx + i, vload_n(dy + i, n) - vexp(vload_n(y + i, n)) * sum, n););
    }
}

int NAME(log_softmax_backward)(ptrdiff_t batch, ptrdiff_t classes, const real *dy, const real *y, real *dx)
{
    parallel_for(batch, row_grain(classes), log_backward_rows, &(Backward){classes, dy, y, dx});
    return 0;
}
