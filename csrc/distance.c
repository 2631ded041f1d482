/* What errors cost, as the mean of each row. A long row is added up in pieces of PIECE numbers, and these in double. */

#include "simd.h"

#include "kernels.h"
#include "parallel.h"

#define PIECE 1024

/* Rows for one thread to be worth waking. */
static ptrdiff_t grain_of(ptrdiff_t columns) { return 1 + 16384 / (columns + 8); }

typedef struct {
    ptrdiff_t columns;
    const real *e;
    real delta, *y;
} Forward;

static real huber_of_piece(ptrdiff_t count, const real *e, real delta)
{
    vec sum = vset(0);
    FOR_VECTORS(0, count, {
        vec error = vload_n(e + i, n), size = vabs(error);
        vec beyond = delta * (size - delta / 2); /* NaN where both are infinite, and then it is not chosen */
        sum += vselect(vless(vset(delta), size), beyond, (real)0.5 * error * error);
    });
    return vsum(sum);
}

static void huber_forward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Forward job = *(const Forward *)context;
    for (ptrdiff_t row = begin; row < end; row++) {
        double sum = 0;
        for (ptrdiff_t at = 0; at < job.columns; at += PIECE) {
            const ptrdiff_t left = job.columns - at;
            sum += huber_of_piece(left < PIECE ? left : PIECE, job.e + row * job.columns + at, job.delta);
        }
        job.y[row] = (real)(sum / (double)job.columns);
    }
}

int NAME(huber_forward)(ptrdiff_t batch, ptrdiff_t columns, const real *e, double delta, real *y)
{
    parallel_for(batch, grain_of(columns), 1, huber_forward_rows, &(Forward){columns, e, (real)delta, y});
    return 0;
}

typedef struct {
    ptrdiff_t columns;
    const real *dy, *e;
    real delta, *de;
} Backward;

static void huber_backward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Backward job = *(const Backward *)context;
    const vec low = vset(-job.delta), high = vset(job.delta);
    for (ptrdiff_t row = begin; row < end; row++) {
        const real *e = job.e + row * job.columns, share = job.dy[row] / (real)job.columns;
        real *de = job.de + row * job.columns;
        FOR_VECTORS(0, job.columns, vstore_n(de + i, share * vmin(high, vmax(low, vload_n(e + i, n))), n););
    }
}

int NAME(huber_backward)(ptrdiff_t batch, ptrdiff_t columns, const real *dy, const real *e, double delta, real *de)
{
    parallel_for(batch, grain_of(columns), 1, huber_backward_rows, &(Backward){columns, dy, e, (real)delta, de});
    return 0;
}
