/* The sum of each row. A row is cut into pieces of PIECE numbers, however many threads there are; the sum of a
   piece runs in CHAINS vectors, and the pieces are added from the first to the last, in double. */

#include "simd.h"

#include "kernels.h"
#include "memory.h"
#include "parallel.h"

#define PIECE 8192
#define CHAINS 4 /* a sum waits for the one before: so many hide it */

typedef struct {
    ptrdiff_t columns, pieces; /* of a row */
    const real *x;
    double *sums; /* (rows, pieces) */
} Job;

static double sum_of_piece(ptrdiff_t n, const real *x)
{
    vec sum[CHAINS] = {vset(0), vset(0), vset(0), vset(0)};
    ptrdiff_t at = 0;
    for (; at + CHAINS * LANES <= n; at += CHAINS * LANES)
        for (int chain = 0; chain < CHAINS; chain++)
            sum[chain] += vload(x + at + chain * LANES);
    FOR_VECTORS(at, n, sum[0] += vload_n(x + i, n););
    return vsum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

static void sum_pieces(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Job job = *(const Job *)context;
    for (ptrdiff_t p = begin; p < end; p++) {
        const ptrdiff_t start = p % job.pieces * PIECE, left = job.columns - start;
        job.sums[p] = sum_of_piece(left < PIECE ? left : PIECE, job.x + p / job.pieces * job.columns + start);
    }
}

int NAME(sum_rows)(ptrdiff_t batch, ptrdiff_t columns, const real *x, real *y)
{
    const ptrdiff_t pieces = columns > PIECE ? (columns + PIECE - 1) / PIECE : 1;
    Job job = {columns, pieces, x, memory_take((size_t)(batch * pieces) * sizeof(double))};
    if (!job.sums)
        return -1;
    parallel_for(batch * pieces, 1 + PIECE / (columns + 1), sum_pieces, &job);
    for (ptrdiff_t row = 0; row < batch; row++) {
        double total = 0;
        for (ptrdiff_t p = 0; p < pieces; p++)
            total += job.sums[row * pieces + p];
        y[row] = (real)total;
    }
    memory_give(job.sums);
    return 0;
}
