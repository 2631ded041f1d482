#include "softmax.h"

#include "kernels.h"
#include "parallel.h"

typedef struct {
    ptrdiff_t classes;
    const real *x;
    real *y;
    int past; /* y is written past the caches */
} Forward;

INLINE void forward(const int ahead, const Forward job, ptrdiff_t begin, ptrdiff_t end)
{
    const ptrdiff_t classes = job.classes, together = rows_together(classes), apart = round_up(classes, LANES);
    real room[ROOM], max[TOGETHER], sum[TOGETHER];
    for (ptrdiff_t row = begin; row < end; row += together) {
        const ptrdiff_t rows = min_of(together, end - row);
        real *y = job.y + row * classes, *e = apart > ROOM ? y : room;
        rows_exp(ahead, rows, classes, job.x + row * classes, max, sum, e, apart);
        for (ptrdiff_t r = 0; r < rows; r++)
            row_divide(classes, e + r * apart, sum[r], y + r * classes, job.past && e == room);
    }
    past_end(job.past);
}

static void forward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    FETCHING(forward(ahead, *(const Forward *)context, begin, end););
}

int NAME(softmax_forward)(ptrdiff_t batch, ptrdiff_t classes, const real *x, real *y)
{
    Forward job = {classes, x, y, rows_past(batch, classes, 2, y)};
    parallel_for(batch, row_grain(classes), 1, forward_rows, &job);
    return 0;
}

INLINE void log_forward(const int ahead, const Forward job, ptrdiff_t begin, ptrdiff_t end)
{
    const ptrdiff_t classes = job.classes, together = rows_together(classes);
    real max[TOGETHER], sum[TOGETHER], log_sum[TOGETHER];
    for (ptrdiff_t row = begin; row < end; row += together) {
        const ptrdiff_t rows = min_of(together, end - row);
        rows_exp(ahead, rows, classes, job.x + row * classes, max, sum, NULL, 0);
        rows_log(rows, sum, log_sum);
        for (ptrdiff_t r = 0; r < rows; r++) {
            const real *x = job.x + (row + r) * classes;
            real *y = job.y + (row + r) * classes;
            FOR_VECTORS_PAST(job.past, classes, y,
                             vstore_past(y + i, vload_n(x + i, n) - max[r] - log_sum[r], n, past););
        }
    }
    past_end(job.past);
}

static void log_forward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    FETCHING(log_forward(ahead, *(const Forward *)context, begin, end););
}

int NAME(log_softmax_forward)(ptrdiff_t batch, ptrdiff_t classes, const real *x, real *y)
{
    Forward job = {classes, x, y, rows_past(batch, classes, 2, y)};
    parallel_for(batch, row_grain(classes), 1, log_forward_rows, &job);
    return 0;
}

typedef struct {
    ptrdiff_t classes;
    const real *dy, *y;
    real *dx;
    int past; /* dx is written past the caches */
} Backward;

INLINE void backward(const int ahead, const Backward job, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t row = begin; row < end; row++) {
        const real *dy = job.dy + row * job.classes, *y = job.y + row * job.classes;
        real *dx = job.dx + row * job.classes, mean = row_dot(ahead, job.classes, dy, y);
        FOR_VECTORS_PAST(job.past, job.classes, dx,
                         vstore_past(dx + i, vload_n(y + i, n) * (vload_n(dy + i, n) - mean), n, past););
    }
    past_end(job.past);
}

static void backward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    FETCHING(backward(ahead, *(const Backward *)context, begin, end););
}

int NAME(softmax_backward)(ptrdiff_t batch, ptrdiff_t classes, const real *dy, const real *y, real *dx)
{
    Backward job = {classes, dy, y, dx, rows_past(batch, classes, 3, dx)};
    parallel_for(batch, row_grain(classes), 1, backward_rows, &job);
    return 0;
}

INLINE void log_backward(const int ahead, const Backward job, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t row = begin; row < end; row++) {
        const real *dy = job.dy + row * job.classes, *y = job.y + row * job.classes;
        real *dx = job.dx + row * job.classes, sum = row_sum(ahead, job.classes, dy);
        FOR_VECTORS_PAST(job.past, job.classes, dx,
                         vstore_past(dx + i, vload_n(dy + i, n) - vexp(vload_n(y + i, n)) * sum, n, past););
    }
    past_end(job.past);
}

static void log_backward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    FETCHING(log_backward(ahead, *(const Backward *)context, begin, end););
}

int NAME(log_softmax_backward)(ptrdiff_t batch, ptrdiff_t classes, const real *dy, const real *y, real *dx)
{
    Backward job = {classes, dy, y, dx, rows_past(batch, classes, 3, dx)};
    parallel_for(batch, row_grain(classes), 1, log_backward_rows, &job);
    return 0;
}
