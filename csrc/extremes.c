/* The largest or the smallest number of each column of matrices, and the slope, which those that tie share. Columns are
   cut into pieces, in whatever order they are compared; of matrices that are one short column, and so are rows in
   memory, many go side by side. NaN is the extreme of what it is in, which instructions for the larger of two forget. So
   0 times each number is added up beside them: what is not 0 then is looked at again. */

#include <math.h>

#include "copy.h"
#include "kernels.h"
#include "memory.h"
#include "parallel.h"

#define CHAINS 4   /* of a row, as in reduce.c */
#define LONG 16384 /* numbers of a piece, where a matrix is one column, which lies dense, */
#define DEEP 512   /* and where it has more */
#define SHORT (8 * LANES) /* a row of so many, or fewer, takes longer at its end than before it */
#define ABREAST (sizeof(vec) == 64 ? 8 : 4) /* vectors of columns, whose sums beside them take as many registers */
#define STRIP 1024 /* columns whose pieces are a task */

typedef struct {
    ptrdiff_t numbers, columns, deep, pieces, strips; /* of a matrix, and the numbers of a piece */
    const real *x;
    real *y; /* (matrices, pieces, columns) */
} Extremes;

INLINE vec further(const int largest, vec a, vec b) { return largest ? vmax(a, b) : vmin(a, b); }

/* Of n numbers so far apart, one by one */
static real extreme_of(int largest, ptrdiff_t n, const real *x, ptrdiff_t apart)
{
    real most = *x;
    for (ptrdiff_t i = 1; i < n && most == most; i++) {
        const real next = x[i * apart];
        if (next != next || (largest ? most < next : next < most))
            most = next;
    }
    return most;
}

/* Whether one of n numbers is NaN, or infinite */
static int is_doubtful(ptrdiff_t n, const real *x)
{
    real doubt = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        doubt += 0 * x[i];
    return doubt != 0;
}

/* The vector of the furthest in each lane of a row that has one at least; `doubt` grows. */
INLINE vec extremes_by_lane(const int largest, ptrdiff_t length, const real *x, vec *doubt)
{
    vec most = vload(x);
    *doubt = vfma(most, vset(0), *doubt);
    for (ptrdiff_t i = LANES; i < length; i += LANES) {
        const vec next = vload(x + min_of(i, length - LANES)); /* of the last some again */
        most = further(largest, next, most);
        *doubt = vfma(next, vset(0), *doubt);
    }
    return most;
}

/* Of rows that are no longer than SHORT, as many side by side as a vector has lanes */
INLINE void extremes_of_short_rows(const int largest, ptrdiff_t rows, ptrdiff_t length, const real *x, real *y)
{
    const ptrdiff_t deep = min_of(length, LANES);
    for (ptrdiff_t row = 0; row < rows; row += LANES, x += LANES * length) {
        const ptrdiff_t n = min_of(LANES, rows - row);
        vec doubt = vset(0), number[LANES];
        real lanes[LANES * LANES];
        for (ptrdiff_t i = 0; i < n && length > LANES; i++)
            vstore(lanes + i * LANES, extremes_by_lane(largest, length, x + i * length, &doubt));
        transpose_tile(n, deep, length > LANES ? lanes : x, deep, number);
        vec most = number[0];
        doubt = vfma(most, vset(0), doubt);
        UNROLL for (int k = 1; k < LANES; k++)
            if (k < deep) {
                most = further(largest, number[k], most);
                doubt = vfma(number[k], vset(0), doubt);
            }
        vstore_n(y + row, most, n);
        const int any_doubt = vsum(doubt) != 0;
        for (ptrdiff_t i = 0; i < n && any_doubt; i++)
            if (is_doubtful(length, x + i * length)) /* by itself: of equal zeros its neighbours keep theirs */
                y[row + i] = extreme_of(largest, length, x + i * length, 1);
    }
}

INLINE real extreme_of_row(const int ahead, const int largest, ptrdiff_t n, const real *x)
{
    const vec start = vset(largest ? -(real)INFINITY : (real)INFINITY), zero = vset(0);
    vec most[CHAINS], doubt[CHAINS];
    UNROLL for (int chain = 0; chain < CHAINS; chain++)
        most[chain] = start, doubt[chain] = zero;
    ptrdiff_t at = 0;
    for (; at + CHAINS * LANES <= n; at += CHAINS * LANES)
        UNROLL for (int chain = 0; chain < CHAINS; chain++) {
            FETCH_AHEAD(x + at + chain * LANES);
            const vec next = vload(x + at + chain * LANES);
            most[chain] = further(largest, next, most[chain]);
            doubt[chain] = vfma(next, zero, doubt[chain]);
        }
    FOR_VECTORS(at, n, {
        const vec next = vload(x + i + n - LANES); /* of the last some again, or of the piece before */
        most[0] = further(largest, next, most[0]);
        doubt[0] = vfma(next, zero, doubt[0]);
    });
    if (vsum((doubt[0] + doubt[1]) + (doubt[2] + doubt[3])) != 0)
        return extreme_of(largest, n, x, 1);
    const vec of_all = further(largest, further(largest, most[0], most[1]), further(largest, most[2], most[3]));
    return largest ? vmax_lane(of_all) : -vmax_lane(-of_all);
}

/* Of so many vectors of columns, the last of which has n lanes */
INLINE void extremes_of_columns(const int ahead, const int largest, const int vecs, ptrdiff_t n, ptrdiff_t numbers,
                                ptrdiff_t columns, const real *x, real *y)
{
    vec most[ABREAST], doubt[ABREAST];
    UNROLL for (int v = 0; v < vecs; v++)
        most[v] = vset(largest ? -(real)INFINITY : (real)INFINITY), doubt[v] = vset(0);
    for (ptrdiff_t i = 0; i < numbers; i++)
        UNROLL for (int v = 0; v < vecs; v++) {
            FETCH_AHEAD(x + i * columns + v * LANES);
            const vec next = vload_n(x + i * columns + v * LANES, v == vecs - 1 ? n : LANES);
            most[v] = further(largest, next, most[v]);
            doubt[v] = vfma(next, vset(0), doubt[v]);
        }
    vec any = vset(0);
    UNROLL for (int v = 0; v < vecs; v++) {
        vstore_n(y + v * LANES, most[v], v == vecs - 1 ? n : LANES);
        any += doubt[v];
    }
    if (vsum(any) == 0)
        return;
    for (ptrdiff_t column = 0; column < (vecs - 1) * LANES + n; column++) {
        real wrong[LANES];
        vstore(wrong, doubt[column / LANES]);
        if (wrong[column % LANES] != 0)
            y[column] = extreme_of(largest, numbers, x + column, columns);
    }
}

INLINE void extremes(const int ahead, const int largest, const Extremes job, ptrdiff_t begin, ptrdiff_t end)
{
    if (job.columns == 1 && job.numbers <= SHORT) {
        extremes_of_short_rows(largest, end - begin, job.numbers, job.x + begin * job.numbers, job.y + begin);
        return;
    }
    for (ptrdiff_t task = begin; task < end; task++) {
        const ptrdiff_t piece = task / job.strips, above = piece % job.pieces * job.deep, left = job.numbers - above;
        const ptrdiff_t deep = left < job.deep ? left : job.deep, first = task % job.strips * STRIP;
        const ptrdiff_t last = first + STRIP < job.columns ? first + STRIP : job.columns;
        const real *x = job.x + (piece / job.pieces * job.numbers + above) * job.columns;
        real *y = job.y + piece * job.columns;
        if (job.columns == 1) {
            *y = extreme_of_row(ahead, largest, deep, x);
            continue;
        }
        ptrdiff_t j = first;
        for (; j + ABREAST * LANES <= last; j += ABREAST * LANES)
            extremes_of_columns(ahead, largest, ABREAST, LANES, deep, job.columns, x + j, y + j);
        for (; j < last; j += LANES)
            extremes_of_columns(ahead, largest, 1, j + LANES <= last ? LANES : last - j, deep, job.columns, x + j,
                                y + j);
    }
}

static void largest_of_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    FETCHING(extremes(ahead, 1, *(const Extremes *)context, begin, end););
}

static void smallest_of_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    FETCHING(extremes(ahead, 0, *(const Extremes *)context, begin, end););
}

/* Tasks of so many numbers of a strip that are worth a thread */
static ptrdiff_t grain(ptrdiff_t numbers, ptrdiff_t columns)
{
    return 1 + 16384 / (numbers * (columns < STRIP ? columns : STRIP) + 1);
}

int NAME(extreme_forward)(ptrdiff_t batch, ptrdiff_t numbers, ptrdiff_t columns, int largest, const real *x, real *y)
{
    const ptrdiff_t most = columns == 1 ? LONG : DEEP, deep = numbers < most ? numbers : most;
    const ptrdiff_t pieces = (numbers + deep - 1) / deep, strips = (columns + STRIP - 1) / STRIP;
    real *scratch = pieces > 1 ? memory_take((size_t)(batch * pieces * columns) * sizeof(real)) : NULL;
    if (pieces > 1 && !scratch)
        return -1;
    Extremes job = {numbers, columns, deep, pieces, strips, x, pieces > 1 ? scratch : y};
    const range_fn tasks = largest ? largest_of_tasks : smallest_of_tasks;
    parallel_for(batch * pieces * strips, grain(deep, columns), 1, tasks, &job);
    for (ptrdiff_t matrix = 0; matrix < batch && scratch; matrix++)
        for (ptrdiff_t j = 0; j < columns; j++)
            y[matrix * columns + j] = extreme_of(largest, pieces, scratch + matrix * pieces * columns + j, columns);
    memory_give(scratch);
    return 0;
}

/* ---- backward ------------------------------------------------------------------------------------ */

typedef struct {
    ptrdiff_t numbers, columns, strips; /* of a matrix */
    const real *dy, *x, *y;
    real *dx;
} Slopes;

/* A column by itself; with y NaN those that are NaN tie. */
static void share_column(ptrdiff_t numbers, ptrdiff_t apart, real dy, real y, const real *x, real *dx)
{
    ptrdiff_t ties = 0;
    for (ptrdiff_t i = 0; i < numbers; i++)
        ties += x[i * apart] == y || x[i * apart] != x[i * apart];
    const real share = dy * (real)(1 / (double)ties);
    for (ptrdiff_t i = 0; i < numbers; i++)
        dx[i * apart] = x[i * apart] == y || x[i * apart] != x[i * apart] ? share : 0;
}

INLINE vmask differ(vec a, vec b) { return (vmask)(vless(a, b) | vless(b, a)); }

static void share_row(ptrdiff_t numbers, real dy, real y, const real *x, real *dx)
{
    if (numbers < LANES || y != y) {
        share_column(numbers, 1, dy, y, x, dx);
        return;
    }
    const vec most = vset(y), zero = vset(0), one = vset(1), no_tie = vset(y == 0);
    double ties = 0;
    for (ptrdiff_t at = 0; at < numbers; at += LONG) { /* float32 counts no further than to 2^24 */
        vec count = zero;
        FOR_VECTORS(at, at + LONG < numbers ? at + LONG : numbers, {
            count += vselect(differ(vload_or(x + i, n, no_tie), most), zero, one);
        });
        ties += (double)vsum(count);
    }
    const vec share = vset(dy * (real)(1 / ties));
    FOR_VECTORS(0, numbers, vstore_n(dx + i, vselect(differ(vload_n(x + i, n), most), zero, share), n););
}

/* Of up to LANES columns */
static void share_columns(ptrdiff_t n, ptrdiff_t numbers, ptrdiff_t columns, const real *dy, const real *y,
                          const real *x, real *dx)
{
    const vec most = vload_n(y, n), zero = vset(0), one = vset(1);
    vec ties = zero;
    for (ptrdiff_t i = 0; i < numbers; i++)
        ties += vselect(differ(vload_n(x + i * columns, n), most), zero, one);
    real share[LANES], count[LANES];
    vstore(count, ties);
    for (ptrdiff_t lane = 0; lane < LANES; lane++)
        share[lane] = lane < n ? dy[lane] * (real)(1 / (double)count[lane]) : 0;
    const vec shares = vload(share);
    for (ptrdiff_t i = 0; i < numbers; i++)
        vstore_n(dx + i * columns, vselect(differ(vload_n(x + i * columns, n), most), zero, shares), n);
    for (ptrdiff_t lane = 0; lane < n; lane++)
        if (y[lane] != y[lane] || numbers > 1 << 24)
            share_column(numbers, columns, dy[lane], y[lane], x + lane, dx + lane);
}

static void share_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Slopes job = *(const Slopes *)context;
    for (ptrdiff_t task = begin; task < end; task++) {
        const ptrdiff_t matrix = task / job.strips, first = task % job.strips * STRIP, all = matrix * job.numbers;
        const ptrdiff_t behind = first + STRIP < job.columns ? first + STRIP : job.columns;
        const real *dy = job.dy + matrix * job.columns, *y = job.y + matrix * job.columns;
        const real *x = job.x + all * job.columns;
        real *dx = job.dx + all * job.columns;
        if (job.columns == 1)
            share_row(job.numbers, *dy, *y, x, dx);
        else
            FOR_VECTORS(first, behind, share_columns(n, job.numbers, job.columns, dy + i, y + i, x + i, dx + i););
    }
}

int NAME(extreme_backward)(ptrdiff_t batch, ptrdiff_t numbers, ptrdiff_t columns, const real *dy, const real *x,
                           const real *y, real *dx)
{
    Slopes job = {numbers, columns, (columns + STRIP - 1) / STRIP, dy, x, y, dx};
    parallel_for(batch * job.strips, grain(numbers, columns), 1, share_tasks, &job);
    return 0;
}
