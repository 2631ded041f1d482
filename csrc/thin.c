/* Products in which a matrix has few rows or columns, or some and the other one is not too large. Packing b, as
   gemm.c does, would cost too much beside the product, and in a block many lanes would be idle. The sums are those of
   gemm.c, bit for bit. Rows are dense if the numbers of a row are neighbours in memory, columns likewise.

   1. A narrow b, or some rows, or a small k, or few rows and a b in a near cache. b is read as it is, again for each few
      rows of a, whose sums wait in registers; it is copied only where its rows are not dense or leave parts of vectors
      over.
   2. Few rows otherwise. b is read once, from row to row, and the sums wait in the first-level cache. Where b's columns
      are dense, not its rows, it is transposed in registers on the way, which pays for some rows, too, if there are 32
      registers.
   3. Few columns, or some that would leave many lanes idle. They are few or some rows of the transposed product.
   4. A k of 1, where nothing is summed. */

#include "product.h"

#include "kernels.h"
#include "memory.h"
#include "parallel.h"

/* ---- b as it is ----------------------------------------------------------------------------------- */

/* One run of k for so few rows and columns that the sums stay in registers. The last vector has n lanes, and so has what
   is read of b, unless its rows are `whole` vectors. */
INLINE void multiply_direct(const int rows, const int vecs, const int whole, ptrdiff_t n, ptrdiff_t k, const Gemm *g,
                            const real *a, const real *b, real *c, int accumulate)
{
    vec sum[24]; /* of two rows and twelve vectors */
    UNROLL for (int i = 0; i < rows * vecs; i++)
        sum[i] = vset(0);
    for (; k > 0; k--, a += g->a_col, b += g->b_row)
        UNROLL for (int v = 0; v < vecs; v++) {
            const vec row = vload_n(b + v * LANES, whole || v < vecs - 1 ? LANES : n);
            UNROLL for (int r = 0; r < rows; r++)
                sum[r * vecs + v] = vfma(vset(a[r * g->a_row]), row, sum[r * vecs + v]);
        }
    store_block(rows, vecs, sum, c, g->c_row, n, accumulate);
}

#define WIDE_VECS (BLOCK_VECS == 4 ? 16 : 12) /* that one row sums at a time, or eight rows two */

/* The same for these rows and vectors, which are whole if there are more than four */
static void multiply_direct_block(ptrdiff_t rows, ptrdiff_t vecs, ptrdiff_t n, ptrdiff_t k, const Gemm *g,
                                  const real *a, const real *b, real *c, int accumulate)
{
    switch ((rows * 32 + vecs) * 2 + (g->whole || vecs > 4)) {
#define BLOCK(rows, vecs, whole)                                                                          \
    case ((rows) * 32 + (vecs)) * 2 + (whole):                                                            \
        multiply_direct(rows, vecs, whole, n, k, g, a, b, c, accumulate);                                 \
        break;
#define BLOCKS(rows) BLOCK(rows, 1, 0) BLOCK(rows, 1, 1) BLOCK(rows, 2, 0) BLOCK(rows, 2, 1)
        BLOCKS(1) BLOCKS(2) BLOCKS(3) BLOCKS(4) BLOCKS(5) BLOCKS(6) BLOCKS(7) BLOCKS(8)
        BLOCK(1, 3, 0) BLOCK(1, 3, 1) BLOCK(1, 4, 0) BLOCK(1, 4, 1)
        BLOCK(2, 3, 0) BLOCK(2, 3, 1) BLOCK(2, 4, 0) BLOCK(2, 4, 1)
        BLOCK(1, 8, 1) BLOCK(1, WIDE_VECS, 1)
#if BLOCK_VECS == 4
        BLOCK(2, 12, 1)
#endif
#undef BLOCKS
#undef BLOCK
    }
}

/* As many rows and vectors of a block as registers take, and enough that the sums do not wait for each other. Beside one
   or two rows b is taken in long pieces. */
#define DIRECT_ROWS(columns) (BLOCK_VECS == 4 || (columns) <= LANES ? FEW_ROWS : 5)
static ptrdiff_t direct_vecs(ptrdiff_t rows, ptrdiff_t columns)
{
    const ptrdiff_t whole = columns / LANES;
    if (rows == 1 && whole >= 8)
        return whole >= WIDE_VECS ? WIDE_VECS : 8;
    if (rows == 2 && whole >= 12 && BLOCK_VECS == 4)
        return 12;
    return min_of(vectors_of(columns), rows <= 2 ? 4 : rows * 2 <= WIDE_VECS ? 2 : 1);
}

/* Some rows and columns: for each strip of columns all rows in turn, as long as the first-level cache has that run of k */
static void multiply_strips(const Gemm *g, ptrdiff_t first, ptrdiff_t m, ptrdiff_t column, ptrdiff_t columns_end)
{
    const ptrdiff_t most = DIRECT_ROWS(g->n), blocks = (m + most - 1) / most;
    for (ptrdiff_t k = 0; k < g->k; k += DEPTH)
        for (ptrdiff_t j = column, across; j < columns_end; j += across * LANES) {
            across = direct_vecs((m + blocks - 1) / blocks, columns_end - j);
            for (ptrdiff_t block = 0, i = first, rows; block < blocks; block++, i += rows) {
                rows = m / blocks + (block < m % blocks);
                multiply_direct_block(rows, across, min_of(LANES, columns_end - j - (across - 1) * LANES),
                                      min_of(DEPTH, g->k - k), g, g->a + i * g->a_row + k * g->a_col,
                                      g->b + k * g->b_row + j, g->c + i * g->c_row + j,
                                      k > 0 || (g->flags & GEMM_ACCUMULATE));
            }
        }
}

/* Whether a comes from memory, row by row */
static int is_far_a(const Gemm *g) { return g->a_col == 1 && g->m > FEW_ROWS && is_far(g->m * g->k, THIRD_LEVEL); }

static void multiply_all_strips(const Gemm *g)
{
    const unsigned before = begin_flush(g);
    multiply_strips(g, 0, g->m, 0, g->n);
    end_flush(g, before);
}

static void fetch_rows(ptrdiff_t rows, ptrdiff_t columns, const real *first, ptrdiff_t apart)
{
    for (; rows > 0; rows--, first += apart)
        for (ptrdiff_t i = 0; i < columns; i += LINE)
            FETCH_FAR(first + i);
}

#define SHORT_ROWS 2048 /* bytes of c: of longer rows the processor sees by itself what comes next */

/* A large c or a from front to back, few of their rows at a time; meanwhile the next ones are fetched. */
static void multiply_row_by_row(const Gemm *g)
{
    const unsigned before = begin_flush(g);
    const int far_a = is_far_a(g);
    const int far_c = is_far(g->m * g->n, THIRD_LEVEL) && !is_far(g->n, SHORT_ROWS);
    for (ptrdiff_t i = 0, rows; i < g->m; i += rows) {
        rows = min_of(FEW_ROWS, g->m - i);
        if (far_a)
            fetch_rows(rows, g->k, g->a + (i + FEW_ROWS) * g->a_row, g->a_row);
        if (far_c)
            fetch_rows(rows, g->n, g->c + (i + FEW_ROWS) * g->c_row, g->c_row);
        multiply_strips(g, i, rows, 0, g->n);
    }
    end_flush(g, before);
}

static void multiply_some_columns(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Gemm *g = context;
    const unsigned before = begin_flush(g);
    multiply_strips(g, 0, g->m, begin, end);
    end_flush(g, before);
}

/* Whether a copy of b in rows of whole vectors pays: a part of one is slow to read beside one or three whole ones. */
static int copies_b(const Gemm *g)
{
    return g->b_col != 1 || (is_near(g) && g->m >= 2 * FEW_ROWS && g->n % LANES && g->n / LANES % 2);
}

static int copy_b(Gemm *g)
{
    const ptrdiff_t width = round_up(g->n, LANES);
    g->copies = memory_take((size_t)(g->k * width) * sizeof(real));
    if (!g->copies)
        return -1;
    for (ptrdiff_t k = 0; k < g->k; k++) /* the lanes left over are multiplied, too */
        vstore(g->copies + (k + 1) * width - LANES, vset(0));
    copy_matrix(g->k, g->n, g->b, g->b_row, g->b_col, g->copies, width);
    g->b = g->copies;
    g->whole = 1;
    g->b_row = width;
    g->b_col = 1;
    return 0;
}

int NAME(gemm_narrow)(Gemm *g)
{
    if (copies_b(g) && copy_b(g))
        return -1;
    if (g->n <= NARROW && !is_far_a(g))
        multiply_all_strips(g);
    else
        multiply_row_by_row(g);
    memory_give(g->copies);
    return 0;
}

void NAME(gemm_some_rows)(Gemm *g)
{
    parallel_for(g->n, round_up(worth_of(g->m, g->k), 2 * LANES), 2 * LANES, multiply_some_columns, g);
}

/* ---- few rows ------------------------------------------------------------------------------------ */

#define SUMS 8000 /* that wait at a time; not a power of two, or their rows would share the sets of the cache */
#define SUMS_OF(rows) (SUMS / (rows) / LINE * LINE) /* for each row, in whole lines */
#define ABREAST 4 /* rows of b that go by together */

/* sum[r][j] += a[r][k] b[k][j] for `depth` values of k, in order */
INLINE void add_products(const int rows, const int depth, ptrdiff_t columns, const Gemm *g, const real *a,
                         const real *b, real *sum)
{
    const ptrdiff_t b_row = g->b_row;
    const int fetches = rows <= 2 && g->far; /* of more rows it costs more than it brings */
    const int fetches_far = fetches && before_zen5;
    real entry[FEW_ROWS * ABREAST]; /* in one place: so many addresses would fill the registers */
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int k = 0; k < depth; k++)
            entry[r * depth + k] = a[r * g->a_row + k * g->a_col];
    FOR_VECTORS(0, columns, {
        vec row[ABREAST];
        UNROLL for (int k = 0; k < depth; k++) {
            if (fetches_far)
                FETCH_FAR(b + (k + depth) * b_row + i);
            else if (fetches)
                FETCH(b + (k + depth) * b_row + i);
            row[k] = vload_n(b + k * b_row + i, n);
        }
        UNROLL for (int r = 0; r < rows; r++) {
            vec total = vload_n(sum + r * SUMS_OF(rows) + i, n);
            UNROLL for (int k = 0; k < depth; k++)
                total = vfma(vset(entry[r * depth + k]), row[k], total);
            vstore_n(sum + r * SUMS_OF(rows) + i, total, n);
        }
    });
}

/* One run of k for up to SUMS_OF(rows) columns. */
INLINE void multiply_strip(const int rows, ptrdiff_t columns, ptrdiff_t k, const Gemm *g, const real *a,
                           const real *b, real *c, int accumulate, real *sum)
{
    for (int r = 0; r < rows; r++)
        memset(sum + r * SUMS_OF(rows), 0, (size_t)columns * sizeof(real));
    for (; k >= ABREAST; k -= ABREAST, a += ABREAST * g->a_col, b += ABREAST * g->b_row)
        add_products(rows, ABREAST, columns, g, a, b, sum);
    for (; k > 0; k--, a += g->a_col, b += g->b_row)
        add_products(rows, 1, columns, g, a, b, sum);
    for (int r = 0; r < rows; r++)
        FOR_VECTORS(0, columns, {
            real *entry = c + r * g->c_row + i;
            const vec total = vload_n(sum + r * SUMS_OF(rows) + i, n);
            vstore_n(entry, accumulate ? vload_n(entry, n) + total : total, n);
        });
}

static void multiply_few_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Gemm *g = context;
    const unsigned before = begin_flush(g);
    const ptrdiff_t strip = SUMS_OF(g->m);
    real sum[SUMS]; /* here: each of the cases would have its own on the stack */
    for (ptrdiff_t j = begin; j < end; j += strip)
        for (ptrdiff_t k = 0; k < g->k; k += DEPTH) {
            const ptrdiff_t columns = min_of(strip, end - j), depth = min_of(DEPTH, g->k - k);
            const real *a = g->a + k * g->a_col, *b = g->b + k * g->b_row + j;
            const int accumulate = k > 0 || (g->flags & GEMM_ACCUMULATE);
            switch (g->m) {
#define FEW(rows)                                                                                         \
    case rows:                                                                                            \
        multiply_strip(rows, columns, depth, g, a, b, g->c + j, accumulate, sum);                         \
        break;
                FEW(1) FEW(2) FEW(3) FEW(4) FEW(5) FEW(6) FEW(7) FEW(8)
#undef FEW
            }
        }
    end_flush(g, before);
}

/* ---- few rows, and b with dense columns ----------------------------------------------------------- */

/* sum[r] += a[r][k] b[k][j] for `depth` values of k and up to LANES columns j of b, which is transposed in registers.
   Whole tiles go the same way as parts of one: what is asked at run time costs little beside the transposition. */
INLINE void multiply_turned_tile(const int rows, ptrdiff_t columns, ptrdiff_t depth, const Gemm *g, const real *a,
                                 const real *b, vec *sum)
{
    vec column[LANES];
    transpose_tile(columns, depth, b, g->b_col, column);
    UNROLL for (int i = 0; i < LANES; i++)
        if (i < depth)
            UNROLL for (int r = 0; r < rows; r++)
                sum[r] = vfma(vset(a[r * g->a_row + i * g->a_col]), column[i], sum[r]);
}

/* One run of k for up to LANES columns: b is transposed tile by tile in registers. Tiles begin where lines of the cache
   do, if they can in all columns: these may be so far apart that they share one set of it, which does not keep for the
   next tile what this one has left of a line. Of so many columns at a time the processor does not see what comes next:
   what lies `ahead` is fetched, unless that is 0. */
INLINE void multiply_tiles(const int rows, ptrdiff_t columns, ptrdiff_t depth, const Gemm *g, const real *a,
                           const real *b, ptrdiff_t ahead, vec *sum)
{
    const ptrdiff_t past = g->b_col % LANES ? 0 : (ptrdiff_t)((uintptr_t)b / sizeof(real) % LANES);
    for (ptrdiff_t k = 0, deep; k < depth; k += deep, a += deep * g->a_col, b += deep) {
        deep = min_of(k == 0 ? LANES - past : LANES, depth - k);
        for (ptrdiff_t j = 0; j < columns && ahead; j++)
            FETCH_FAR(b + j * g->b_col + ahead);
        multiply_turned_tile(rows, columns, deep, g, a, b, sum);
    }
}

/* The rows of a and c from `a` and `c` on, the columns of b from begin to end */
INLINE void multiply_dense_columns(const int rows, const Gemm *g, const real *a, real *c, ptrdiff_t begin,
                                   ptrdiff_t end)
{
    const ptrdiff_t ahead = g->far ? 2 * LANES * g->b_col : 0;
    for (ptrdiff_t j = begin; j < end; j += LANES)
        for (ptrdiff_t k = 0; k < g->k; k += DEPTH) {
            const ptrdiff_t columns = min_of(LANES, end - j);
            vec sum[TURNED_ROWS];
            UNROLL for (int r = 0; r < rows; r++)
                sum[r] = vset(0);
            multiply_tiles(rows, columns, min_of(DEPTH, g->k - k), g, a + k * g->a_col, g->b + k + j * g->b_col,
                           ahead, sum);
            store_block(rows, 1, sum, c + j, g->c_row, columns, k > 0 || (g->flags & GEMM_ACCUMULATE));
        }
}

static void multiply_few_rows_dense(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Gemm *g = context;
    const unsigned before = begin_flush(g);
    const ptrdiff_t groups = (g->m + TURNED_ROWS - 1) / TURNED_ROWS;
    for (ptrdiff_t group = 0, first = 0, rows; group < groups; group++, first += rows) {
        const real *a = g->a + first * g->a_row;
        real *c = g->c + first * g->c_row;
        rows = g->m / groups + (group < g->m % groups);
        switch (rows) {
#define FEW(rows)                                                                                         \
    case rows:                                                                                            \
        multiply_dense_columns(rows, g, a, c, begin, end);                                                \
        break;
            FEW(2) FEW(3) FEW(4) FEW(5) FEW(6) FEW(7) FEW(8)
#if BLOCK_VECS == 4
            FEW(9) FEW(10) FEW(11) FEW(12) FEW(13) FEW(14) FEW(15) FEW(16)
#endif
#undef FEW
        }
    }
    end_flush(g, before);
}

static range_fn few_rows_of(const Gemm *g) { return g->b_col == 1 ? multiply_few_rows : multiply_few_rows_dense; }

static void multiply_thin(Gemm *g)
{
    if (g->b_col == 1 && (g->n <= NARROW || g->m > FEW_ROWS || is_direct(g)))
        multiply_all_strips(g);
    else
        few_rows_of(g)(g, 0, g->n);
}

#define LONG_ROWS (1 << 14)

/* Where b is transposed all of a is read again for every LANES columns: where these are many, rows that do not stay in
   the first-level cache are copied to [k][row], if there is memory for that. */
static void turn_long_rows(Gemm *g)
{
    if (g->b_col == 1 || g->a_row == 1 || g->n < 8 * LANES || !is_far(g->m * g->k, LONG_ROWS))
        return;
    g->copies = memory_take((size_t)(g->m * g->k) * sizeof(real));
    if (!g->copies)
        return;
    copy_matrix(g->k, g->m, g->a, g->a_col, g->a_row, g->copies, g->m);
    g->a = g->copies;
    g->a_row = 1;
    g->a_col = g->m;
}

void NAME(gemm_few_rows)(Gemm *g)
{
    g->far |= is_far(g->n * g->k, g->b_col == 1 ? SECOND_LEVEL : THIRD_LEVEL);
    turn_long_rows(g);
    parallel_for(g->n, round_up(worth_of(g->m, g->k), 2 * LINE), LINE, few_rows_of(g), g);
    memory_give(g->copies);
}

/* ---- few columns --------------------------------------------------------------------------------- */

#define COLUMNS_ABREAST 1024 /* of few rows, and of some as many as take no more memory */
#define NUMBERS_ABREAST (FEW_ROWS * COLUMNS_ABREAST)

/* The few rows of the product of the transposes, for some columns of it at a time; but c is as it shall be. */
static void multiply_few_columns(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Gemm *g = context;
    real transposed[NUMBERS_ABREAST + SOME_COLUMNS * LINE]; /* c; its rows in different sets of the cache */
    const ptrdiff_t abreast = min_of(COLUMNS_ABREAST, NUMBERS_ABREAST / g->m / (2 * LINE) * (2 * LINE));
    const ptrdiff_t apart = abreast + LINE; /* an odd number of lines */
    for (ptrdiff_t j = begin; j < end; j += abreast) {
        Gemm part = *g;
        part.n = min_of(abreast, end - j);
        part.b += j * g->b_col;
        part.c = transposed;
        part.c_row = apart;
        real *c = g->c + j * g->c_row;
        if (g->flags & GEMM_ACCUMULATE)
            copy_matrix(g->m, part.n, c, 1, g->c_row, transposed, apart);
        multiply_thin(&part);
        copy_matrix(part.n, g->m, transposed, 1, apart, c, g->c_row);
    }
}

void NAME(gemm_few_columns)(Gemm *g)
{
    Gemm turned = transpose_of(g);
    turned.far |= is_far(g->m * g->k, g->a_row == 1 ? SECOND_LEVEL : THIRD_LEVEL);
    turn_long_rows(&turned);
    const ptrdiff_t least = round_up(worth_of(turned.m, turned.k), LINE);
    parallel_for(turned.n, least, LINE, multiply_few_columns, &turned);
    memory_give(turned.copies);
}

/* ---- k of 1 -------------------------------------------------------------------------------------- */

/* Nothing is summed: it takes as long as to write c, which is done from front to back. */
static void multiply_outer(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Gemm *g = context;
    const unsigned before = begin_flush(g);
    for (ptrdiff_t row = begin; row < end; row++) {
        const vec entry = vset(g->a[row * g->a_row]);
        real *c = g->c + row * g->c_row;
        if (g->flags & GEMM_ACCUMULATE)
            FOR_VECTORS(0, g->n, vstore_n(c + i, vload_n(c + i, n) + vfma(entry, vload_n(g->b + i, n), vset(0)), n););
        else
            FOR_VECTORS(0, g->n, vstore_n(c + i, vfma(entry, vload_n(g->b + i, n), vset(0)), n););
    }
    end_flush(g, before);
}

void NAME(gemm_outer)(Gemm *g)
{
    parallel_for(g->m, 1 + THREAD_WORK / g->n, 1, multiply_outer, g);
}
