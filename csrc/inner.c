/* Products of one column or few as inner products: where the numbers that a sum runs over are neighbours in memory, its
   lanes run along them, too, and are added up in the end. Each entry has bits of its own then, whatever other rows of a
   there are. Few rows times dense columns come here as the product of the transposes.

   1. Few columns and long rows of a. Their sums side by side are enough that none waits for the last multiply-add.
   2. One column, or one row times dense columns, which is the same turned. Its sum runs in four vectors, because there
      may be no others beside it. One column times dense columns is one row times dense rows, turned (thin.c). */

#include "product.h"

#include "kernels.h"
#include "memory.h"
#include "parallel.h"

/* c = product, or += with accumulate */
INLINE void store_product(const Gemm *g, real *c, real product)
{
    *c = g->flags & GEMM_ACCUMULATE ? *c + product : product;
}

/* ---- few columns --------------------------------------------------------------------------------- */

/* Rows by columns whose sums have registers. Rows from memory go by three together, of more streams the processor loses
   track, and are fetched 24 rows ahead. */
#define INNER_ROWS (BLOCK_VECS == 4 ? 6 : FAR_ROWS)
#define INNER_COLUMNS 4
#define FAR_ROWS 3
#define FETCH_ROWS 24

/* sums[i] = the lanes of row[i] added up, for as many rows as a piece has numbers */
INLINE void sum_lanes(const vec *row, real *sums)
{
    vec column[PIECE];
    transpose_pieces(row, column);
    UNROLL for (int apart = PIECE / 2; apart; apart /= 2)
        UNROLL for (int i = 0; i < apart; i++)
            column[i] += column[i + apart];
    vsum_pieces(column[0], sums);
}

/* c[r][j] = the sum of a[r][i] b[i][j] for dense rows of a and columns of b */
INLINE void multiply_inner(const int rows, const int columns, const Gemm *g, const real *a, const real *b, real *c)
{
    const ptrdiff_t ahead = g->far ? FETCH_ROWS * g->a_row : 0;
    vec sum[INNER_ROWS * INNER_COLUMNS];
    UNROLL for (int i = 0; i < INNER_ROWS * INNER_COLUMNS; i++)
        sum[i] = vset(0);
    FOR_VECTORS(0, g->k, {
        vec row[INNER_ROWS];
        UNROLL for (int r = 0; r < rows; r++) {
            if (ahead)
                FETCH_FAR(a + r * g->a_row + i + ahead);
            row[r] = vload_n(a + r * g->a_row + i, n);
        }
        UNROLL for (int j = 0; j < columns; j++) {
            const vec column = vload_n(b + j * g->b_col + i, n);
            UNROLL for (int r = 0; r < rows; r++)
                sum[r * columns + j] = vfma(row[r], column, sum[r * columns + j]);
        }
    });
    real product[INNER_ROWS * INNER_COLUMNS];
    UNROLL for (int i = 0; i < INNER_ROWS * INNER_COLUMNS; i += PIECE)
        if (i < rows * columns)
            sum_lanes(sum + i, product + i);
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < columns; j++)
            store_product(g, c + r * g->c_row + j * g->c_col, product[r * columns + j]);
}

/* The same for these rows and columns */
static void multiply_inner_block(ptrdiff_t rows, ptrdiff_t columns, const Gemm *g, const real *a, const real *b,
                                 real *c)
{
    switch (rows * 8 + columns) {
#define BLOCK(rows, columns)                                                                              \
    case (rows) * 8 + (columns):                                                                          \
        multiply_inner(rows, columns, g, a, b, c);                                                        \
        break;
#define BLOCKS(rows) BLOCK(rows, 2) BLOCK(rows, 3) BLOCK(rows, 4)
        BLOCKS(1) BLOCKS(2) BLOCKS(3)
#if BLOCK_VECS == 4
        BLOCKS(4) BLOCKS(5) BLOCKS(6)
#endif
#undef BLOCKS
#undef BLOCK
    }
}

static void multiply_inner_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Gemm *g = context;
    const unsigned before = begin_flush(g);
    const ptrdiff_t groups = (g->n + INNER_COLUMNS - 1) / INNER_COLUMNS;
    const ptrdiff_t together = g->far ? FAR_ROWS : INNER_ROWS;
    for (ptrdiff_t i = begin, rows; i < end; i += rows) {
        rows = min_of(together, end - i);
        for (ptrdiff_t group = 0, j = 0, columns; group < groups; group++, j += columns) {
            columns = g->n / groups + (group < g->n % groups);
            multiply_inner_block(rows, columns, g, g->a + i * g->a_row, g->b + j * g->b_col,
                                 g->c + i * g->c_row + j * g->c_col);
        }
    }
    end_flush(g, before);
}

/* ---- one column ---------------------------------------------------------------------------------- */

#define CHAINS 4
#define STRIDE (CHAINS * LANES)

/* Rows that go by together: as many as there are registers for. One alone would wait for the end of its sums; but on a
   Zen 5 long rows are in each other's way in the cache, and before it rows of a page and less that come from memory, of
   whose pages the processor fetches one stream each. With vectors of 16 bytes it takes two to fill the units. */
#define PAGE 4096
#define MOST_ROWS (BLOCK_VECS == 4 ? 6 : FEWEST_ROWS)
#define FEWEST_ROWS (LANES * sizeof(real) > 16 ? 1 : 2)

/* product[r] = the r-th row of a, which is dense, times b. Of a matrix that comes from afar the next rows are fetched. */
INLINE void multiply_dense(const int rows, const int far, ptrdiff_t k, const real *a, ptrdiff_t a_row, const real *b,
                           real *product)
{
    vec sum[MOST_ROWS][CHAINS];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int chain = 0; chain < CHAINS; chain++)
            sum[r][chain] = vset(0);
    ptrdiff_t i = 0;
    for (; i + STRIDE <= k; i += STRIDE)
        UNROLL for (int chain = 0; chain < CHAINS; chain++) {
            const vec factor = vload(b + i + chain * LANES);
            UNROLL for (int r = 0; r < rows; r++) {
                if (far)
                    FETCH_FAR(a + (r + rows) * a_row + i + chain * LANES);
                sum[r][chain] = vfma(vload(a + r * a_row + i + chain * LANES), factor, sum[r][chain]);
            }
        }
    UNROLL for (int chain = 0; chain < CHAINS; chain++, i += LANES) {
        const ptrdiff_t n = min_of(LANES, k - i);
        if (n <= 0)
            break;
        UNROLL for (int r = 0; r < rows; r++)
            sum[r][chain] = vfma(vload_n(a + r * a_row + i, n), vload_n(b + i, n), sum[r][chain]);
    }
    for (int r = 0; r < rows; r++)
        product[r] = vsum((sum[r][0] + sum[r][1]) + (sum[r][2] + sum[r][3]));
}

/* Entries of c, so many at a time */
INLINE void multiply_column(const int together, const int far, const Gemm *g, ptrdiff_t begin, ptrdiff_t end)
{
    const unsigned before = begin_flush(g);
    for (ptrdiff_t i = begin, rows; i < end; i += rows) {
        const real *a = g->a + i * g->a_row;
        real product[MOST_ROWS];
        rows = end - i < together ? 1 : together;
        if (rows == 1)
            multiply_dense(1, far, g->k, a, g->a_row, g->b, product);
        else
            multiply_dense(together, far, g->k, a, g->a_row, g->b, product);
        for (ptrdiff_t r = 0; r < rows; r++)
            store_product(g, g->c + (i + r) * g->c_row, product[r]);
    }
    end_flush(g, before);
}

/* Functions of their own, because the compiler makes less of one for all. */
static void multiply_most_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    multiply_column(MOST_ROWS, 0, context, begin, end);
}

static void multiply_far_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    multiply_column(MOST_ROWS, 1, context, begin, end);
}

static void multiply_fewest_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    multiply_column(FEWEST_ROWS, 0, context, begin, end);
}

/* At most as many rows as a piece has numbers, of so few vectors, the last of which has n lanes, that the sum of one need
   not wait for that of the next */
INLINE void multiply_short(const int vecs, const int rows, ptrdiff_t n, const Gemm *g, const vec *factor,
                           const real *a, real *c)
{
    vec total[PIECE];
    real product[PIECE];
    UNROLL for (int r = 0; r < PIECE; r++) {
        vec sum[CHAINS] = {vset(0), vset(0), vset(0), vset(0)};
        UNROLL for (int v = 0; v < vecs && r < rows; v++)
            sum[v] = vfma(vload_n(a + r * g->a_row + v * LANES, v < vecs - 1 ? LANES : n), factor[v], sum[v]);
        total[r] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
    sum_lanes(total, product);
    UNROLL for (int r = 0; r < rows; r++)
        store_product(g, c + r * g->c_row, product[r]);
}

INLINE void multiply_short_column(const int vecs, ptrdiff_t n, const Gemm *g, ptrdiff_t begin, ptrdiff_t end)
{
    vec factor[CHAINS];
    UNROLL for (int v = 0; v < vecs; v++)
        factor[v] = vload_n(g->b + v * LANES, v < vecs - 1 ? LANES : n);
    ptrdiff_t i = begin;
    for (; i + PIECE <= end; i += PIECE)
        multiply_short(vecs, PIECE, n, g, factor, g->a + i * g->a_row, g->c + i * g->c_row);
    for (; i < end; i++)
        multiply_short(vecs, 1, n, g, factor, g->a + i * g->a_row, g->c + i * g->c_row);
}

static void multiply_short_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Gemm *g = context;
    const unsigned before = begin_flush(g);
    const ptrdiff_t vecs = vectors_of(g->k), n = g->k - (vecs - 1) * LANES;
    switch (vecs) {
#define SHORT(vecs)                                                                                       \
    case vecs:                                                                                            \
        if (n == LANES)                                                                                   \
            multiply_short_column(vecs, LANES, g, begin, end);                                            \
        else                                                                                              \
            multiply_short_column(vecs, n, g, begin, end);                                                \
        break;
        SHORT(1) SHORT(2) SHORT(3) SHORT(4)
#undef SHORT
    }
    end_flush(g, before);
}

static range_fn dense_rows_of(const Gemm *g)
{
    if (g->k <= STRIDE)
        return multiply_short_rows;
    const int far = is_far(g->m * g->k, THIRD_LEVEL);
    const int is_long = g->k >= 2 * STRIDE && g->k % STRIDE == 0; /* a rest waits for itself, however long the row */
    if (before_zen5 && far)
        return is_far(g->k, PAGE) ? multiply_far_rows : multiply_fewest_rows;
    return !is_long || before_zen5 ? multiply_most_rows : far ? multiply_far_rows : multiply_fewest_rows;
}

/* ---- the kernel ---------------------------------------------------------------------------------- */

/* to[j][i] = from[i][j]. The compiler sees such a loop through, if its strides are constants. */
INLINE void separate(const int columns, ptrdiff_t k, const real *restrict from, real *restrict to)
{
    for (ptrdiff_t i = 0; i < k; i++)
        for (int j = 0; j < columns; j++)
            to[j * k + i] = from[i * columns + j];
}

static void separate_columns(const Gemm *g, real *to)
{
    if (g->b_row != g->n || g->b_col != 1)
        copy_matrix(g->n, g->k, g->b, g->n == 1 ? 0 : g->b_col, g->b_row, to, g->k); /* one row is no columns */
    else if (g->n == 2)
        separate(2, g->k, g->b, to);
    else if (g->n == 3)
        separate(3, g->k, g->b, to);
    else if (g->n == 4)
        separate(4, g->k, g->b, to);
}

/* Makes rows of a and columns of b dense where they are not. */
static int make_dense(Gemm *g)
{
    const ptrdiff_t a_size = g->a_col == 1 ? 0 : g->m * g->k, b_size = g->b_row == 1 ? 0 : g->n * g->k;
    if (a_size + b_size == 0)
        return 0;
    g->copies = memory_take((size_t)(a_size + b_size) * sizeof(real));
    if (!g->copies)
        return -1;
    if (a_size) {
        copy_matrix(g->m, g->k, g->a, g->a_row, g->a_col, g->copies, g->k);
        g->a = g->copies;
        g->a_row = g->k;
    }
    if (b_size) {
        separate_columns(g, g->copies + a_size);
        g->b = g->copies + a_size;
        g->b_col = g->k;
    }
    return 0;
}

int NAME(gemm_inner)(Gemm *g)
{
    if (make_dense(g))
        return -1;
    const ptrdiff_t least = worth_of(g->n, g->k);
    if (g->n == 1) {
        parallel_for(g->m, least, 1, dense_rows_of(g), g);
    } else {
        g->far |= is_far(g->m * g->k, THIRD_LEVEL);
        parallel_for(g->m, round_up(least, INNER_ROWS), INNER_ROWS, multiply_inner_rows, g);
    }
    memory_give(g->copies);
    return 0;
}
