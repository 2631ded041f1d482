/* The sum of each row, and of each column. A row is cut into pieces of PIECE numbers and a column into pieces of DEEP,
   or of DEEP for each lane that it has where columns are few, however many threads there are; the sum of a piece runs
   in CHAINS chains, and the pieces are added from the first to the last, in double. */

#include "simd.h"

#include "kernels.h"
#include "memory.h"
#include "parallel.h"

#define PIECE 8192
#define DEEP 256
#define CHAINS 4 /* a sum waits for the one before: so many hide it */

/* ---- of rows ------------------------------------------------------------------------------------- */

typedef struct {
    ptrdiff_t columns, pieces; /* of a row */
    const real *x;
    double *sums; /* (rows, pieces) */
} Rows;

INLINE double sum_of_piece(const int ahead, ptrdiff_t n, const real *x)
{
    vec sum[CHAINS] = {vset(0), vset(0), vset(0), vset(0)};
    ptrdiff_t at = 0;
    for (; at + CHAINS * LANES <= n; at += CHAINS * LANES)
        for (int chain = 0; chain < CHAINS; chain++) {
            FETCH_AHEAD(x + at + chain * LANES);
            sum[chain] += vload(x + at + chain * LANES);
        }
    FOR_VECTORS(at, n, sum[0] += vload_n(x + i, n););
    return vsum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

INLINE void sums_of_pieces(const int ahead, const Rows job, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t p = begin; p < end; p++) {
        const ptrdiff_t start = p % job.pieces * PIECE, left = job.columns - start;
        job.sums[p] = sum_of_piece(ahead, left < PIECE ? left : PIECE, job.x + p / job.pieces * job.columns + start);
    }
}

static void sum_pieces(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    FETCHING(sums_of_pieces(ahead, *(const Rows *)context, begin, end););
}

int NAME(sum_rows)(ptrdiff_t batch, ptrdiff_t columns, const real *x, real *y)
{
    const ptrdiff_t pieces = columns > PIECE ? (columns + PIECE - 1) / PIECE : 1;
    Rows job = {columns, pieces, x, memory_take((size_t)(batch * pieces) * sizeof(double))};
    if (!job.sums)
        return -1;
    parallel_for(batch * pieces, 1 + PIECE / (columns + 1), 1, sum_pieces, &job);
    for (ptrdiff_t row = 0; row < batch; row++) {
        double total = 0;
        for (ptrdiff_t p = 0; p < pieces; p++)
            total += job.sums[row * pieces + p];
        y[row] = (real)total;
    }
    memory_give(job.sums);
    return 0;
}

/* ---- of columns ---------------------------------------------------------------------------------- */

#define ABREAST (LANES == 1 || sizeof(vec) == 64 ? 4 : 2) /* vectors: with all their chains they fill the registers */
#define STRIP 1024                                        /* columns whose pieces are a task */

typedef struct {
    ptrdiff_t rows, columns, deep, pieces, strips; /* of a matrix, and the rows of a piece */
    const real *x;
    real *sums; /* (matrices, pieces, columns) */
} Columns;

/* The sums of so many vectors of columns, the last of which has n lanes */
INLINE void add_rows(const int ahead, const int vecs, ptrdiff_t n, ptrdiff_t rows, ptrdiff_t columns, const real *x,
                     real *sums)
{
    vec sum[CHAINS][4];
    UNROLL for (int chain = 0; chain < CHAINS; chain++)
        UNROLL for (int v = 0; v < vecs; v++)
            sum[chain][v] = vset(0);
    for (; rows >= CHAINS; rows -= CHAINS)
        UNROLL for (int chain = 0; chain < CHAINS; chain++, x += columns)
            UNROLL for (int v = 0; v < vecs; v++) {
                FETCH_AHEAD(x + v * LANES);
                sum[chain][v] += vload_n(x + v * LANES, v == vecs - 1 ? n : LANES);
            }
    for (; rows > 0; rows--, x += columns)
        UNROLL for (int v = 0; v < vecs; v++)
            sum[0][v] += vload_n(x + v * LANES, v == vecs - 1 ? n : LANES);
    UNROLL for (int v = 0; v < vecs; v++)
        vstore_n(sums + v * LANES, (sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]), v == vecs - 1 ? n : LANES);
}

/* How many rows go by as one: some fit a vector where columns are few. */
static ptrdiff_t rows_abreast(ptrdiff_t columns) { return columns && 2 * columns <= LANES ? LANES / columns : 1; }

/* Of so few columns */
INLINE void add_thin_rows(const int ahead, ptrdiff_t rows, ptrdiff_t columns, const real *x, real *sums)
{
    const ptrdiff_t abreast = rows_abreast(columns), n = abreast * columns;
    real lanes[LANES] = {0};
    add_rows(ahead, 1, n, rows / abreast, n, x, lanes);
    for (ptrdiff_t j = 0; j < columns; j++) {
        real total = 0;
        for (ptrdiff_t lane = j; lane < n; lane += columns)
            total += lanes[lane];
        for (ptrdiff_t row = rows / abreast * abreast; row < rows; row++)
            total += x[row * columns + j];
        sums[j] = total;
    }
}

INLINE void sum_of_strips(const int ahead, const Columns job, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t task = begin; task < end; task++) {
        const ptrdiff_t piece = task / job.strips, first = task % job.strips * STRIP;
        const ptrdiff_t above = piece % job.pieces * job.deep, deep = min_of(job.deep, job.rows - above);
        const real *x = job.x + (piece / job.pieces * job.rows + above) * job.columns;
        real *sums = job.sums + piece * job.columns;
        if (rows_abreast(job.columns) > 1) {
            add_thin_rows(ahead, deep, job.columns, x, sums);
            continue;
        }
        const ptrdiff_t last = first + STRIP < job.columns ? first + STRIP : job.columns;
        ptrdiff_t j = first;
        for (; j + ABREAST * LANES <= last; j += ABREAST * LANES)
            add_rows(ahead, ABREAST, LANES, deep, job.columns, x + j, sums + j);
        const ptrdiff_t whole = (last - j) / LANES, n = (last - j) % LANES;
        switch (whole + (n > 0)) {
#define ADD(vecs)                                                                                         \
    case vecs:                                                                                            \
        if (vecs <= ABREAST)                                                                              \
            add_rows(ahead, vecs, n ? n : LANES, deep, job.columns, x + j, sums + j);                     \
        break;
            ADD(1) ADD(2) ADD(3) ADD(4)
#undef ADD
        }
    }
}

static void sum_strips(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    FETCHING(sum_of_strips(ahead, *(const Columns *)context, begin, end););
}

int NAME(sum_columns)(ptrdiff_t batch, ptrdiff_t rows, ptrdiff_t columns, const real *x, real *y)
{
    const ptrdiff_t deep = rows_abreast(columns) * DEEP;
    const ptrdiff_t pieces = rows > deep ? (rows + deep - 1) / deep : 1, strips = (columns + STRIP - 1) / STRIP;
    real *scratch = pieces > 1 ? memory_take((size_t)(batch * pieces * columns) * sizeof(real)) : NULL;
    if (pieces > 1 && !scratch)
        return -1;
    Columns job = {rows, columns, deep, pieces, strips, x, pieces > 1 ? scratch : y};
    const ptrdiff_t work = min_of(rows, deep) * min_of(columns, STRIP);
    parallel_for(batch * pieces * strips, 1 + 16384 / (work + 1), 1, sum_strips, &job);
    for (ptrdiff_t matrix = 0; matrix < batch && scratch; matrix++)
        for (ptrdiff_t j = 0; j < columns; j++) {
            double total = 0;
            for (ptrdiff_t p = 0; p < pieces; p++)
                total += scratch[(matrix * pieces + p) * columns + j];
            y[matrix * columns + j] = (real)total;
        }
    memory_give(scratch);
    return 0;
}
