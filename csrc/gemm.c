/* c = a b and c += a b for matrices with any strides.

   1. Blocks. c is cut into tiles and a tile into register blocks (block.h). The sum over k is cut into
      runs of DEPTH, so that a sliver of b, DEPTH rows by SLIVER columns, stays in a near cache while it
      meets every row of the tile.
   2. Copies. A sliver is copied to [k][column] when its turn comes; all of b at the beginning, where several tiles
      of rows will meet it, if the caller has not packed it. A tile's run of a is copied to [row][k], or if its rows
      are not dense to [block][k][row], where a block reads whole lines, unless it lies well enough to stay in the
      cache as it is. So no strides are slow, unless there is no memory for the copies of a.
   3. Threads. Each has rows of c and copies of its own; or a task takes whole tiles, of columns first, and all share
      the copy of b. Nobody waits.
   4. Few rows or columns. They go other ways (inner.c, thin.c), which gemm() chooses in this order:
        one column, or few columns and long rows of a, unless a has       gemm_inner
          dense columns; one row, or few long ones, times dense columns,
          which is that turned
        a k of 1, and a row of b that the first-level cache holds         gemm_outer
        few columns, fewer than rows, and a dense; some columns, if       gemm_few_columns
          the rows of the transposed product fill their vectors better
        some rows, and the columns of b dense                             gemm_few_rows
        NARROW columns, or a shallow product with a large result          gemm_narrow
        SOME_ROWS rows, and the rows of b near and dense; few rows, and   gemm_some_rows
          the rows of b dense, and few or nearer
        few rows, and the rows of b dense                                 gemm_few_rows
   5. Bits. An entry of c is the sum of its runs in order, each run summed in order; in inner.c lane by lane, and then
      the lanes. Copies, tiles and threads have no part in it, nor have the other rows, unless they are few and meet
      dense columns; strides and the number of columns have in that they tell whether inner.c makes it, and in how many
      vectors. */

#include "product.h"

#include "gemm.h"
#include "kernels.h"
#include "memory.h"
#include "parallel.h"
#include "threads.h"

#define TILE_ROWS (42 * BLOCK_ROWS) /* whose copies of a run take 96 to 512 KiB */
#define TILE_COLUMNS (64 * SLIVER)
#define CLOSE_BYTES (1 << 15) /* a run of a tile that lies within so many is not copied */

/* c where k is 0 */
static void sum_nothing(ptrdiff_t m, ptrdiff_t n, real *c, ptrdiff_t c_row)
{
    for (ptrdiff_t i = 0; i < m; i++)
        memset(c + i * c_row, 0, (size_t)n * sizeof(real));
}

/* ---- one sliver of b ----------------------------------------------------------------------------- */

typedef struct {
    ptrdiff_t k;
    const real *a;
    ptrdiff_t a_row, a_col; /* 0 and 0 where a lies in panels, [block][k][row] */
    const real *b, *ahead;  /* packed, and what follows it */
    real *c;
    ptrdiff_t c_row;
    ptrdiff_t last; /* columns in the last vector */
    int accumulate;
    ptrdiff_t fetches; /* of lines ahead, see block.h */
} Product;

INLINE void multiply_block(const int rows, const int vecs, const Product *p)
{
    real *const c = p->c;
    const ptrdiff_t c_row = p->c_row;
    vec sum[BLOCK_ROWS * BLOCK_VECS];
    /* On a Zen 5 alone is anything gained; where rows are not whole lines, by the first line alone. */
    const int fetches_first = !before_zen5, fetches_all = fetches_first && c_row % LINE == 0;
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++) {
            if (v == 0 ? fetches_first : fetches_all && v * LANES % LINE == 0)
                FETCH_TO_WRITE(c + r * c_row + v * LANES);
            sum[r * vecs + v] = vset(0);
        }
    block_accumulate(rows, vecs, sum, p->k, p->a, p->a_row, p->a_col, p->b, p->ahead, p->fetches);
    if (p->last < LANES)
        store_block(rows, vecs, sum, c, c_row, p->last, p->accumulate);
    else if (p->accumulate)
        store_block(rows, vecs, sum, c, c_row, LANES, 1);
    else
        store_block(rows, vecs, sum, c, c_row, LANES, 0);
}

#define SIZE(rows, vecs) ((rows) * (BLOCK_VECS + 1) + (vecs))
#define CASE(rows, vecs)                                                                                  \
    case SIZE(rows, vecs):                                                                                \
        multiply_block(rows, vecs, p);                                                                    \
        break;
#if BLOCK_VECS == 4
#define CASES(rows) CASE(rows, 1) CASE(rows, 2) CASE(rows, 3) CASE(rows, 4)
#else
#define CASES(rows) CASE(rows, 1) CASE(rows, 2)
#endif

static void multiply_rows(ptrdiff_t rows, ptrdiff_t vecs, const Product *p)
{
    switch (SIZE(rows, vecs)) {
        CASES(1) CASES(2) CASES(3) CASES(4) CASES(5) CASES(6)
    }
}

/* p is the product of the first row block. The first blocks have a row more than the others. */
static void multiply_sliver(ptrdiff_t m, ptrdiff_t columns, Product p)
{
    const ptrdiff_t vecs = vectors_of(columns), blocks = (m + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const ptrdiff_t least = m / blocks, longer = m % blocks, ahead = p.k * SLIVER / blocks;
    const int panels = !p.a_col;
    p.last = columns - (vecs - 1) * LANES;
    for (ptrdiff_t block = 0; block < blocks; block++) {
        const ptrdiff_t rows = least + (block < longer);
        if (panels) {
            p.a_row = 1;
            p.a_col = rows;
        }
        multiply_rows(rows, vecs, &p);
        p.a += rows * (panels ? p.k : p.a_row);
        p.c += rows * p.c_row;
        p.ahead += ahead; /* all of the next sliver by the last block */
    }
}

/* ---- copies -------------------------------------------------------------------------------------- */

#define COPY_DEPTH 16 /* rows at a time, so that lines are read whole */

INLINE void copy_panel(const int rows, ptrdiff_t depth, const real *from, ptrdiff_t from_row, ptrdiff_t from_col,
                       real *to)
{
    for (ptrdiff_t k = 0; k < depth; k++, from += from_col, to += rows)
        if (from_row == 1)
            memcpy(to, from, (size_t)rows * sizeof(real));
        else
            UNROLL for (int r = 0; r < rows; r++)
                to[r] = from[r * from_row];
}

/* Rows of a as [block][k][row], in the blocks of multiply_sliver */
static void copy_panels(ptrdiff_t m, ptrdiff_t k, const real *a, ptrdiff_t a_row, ptrdiff_t a_col, real *panels)
{
    const ptrdiff_t blocks = (m + BLOCK_ROWS - 1) / BLOCK_ROWS, least = m / blocks, longer = m % blocks;
    for (ptrdiff_t i = 0; i < k; i += COPY_DEPTH) {
        const ptrdiff_t depth = min_of(COPY_DEPTH, k - i);
        for (ptrdiff_t block = 0; block < blocks; block++) {
            const ptrdiff_t first = block * least + min_of(block, longer), rows = least + (block < longer);
            const real *from = a + first * a_row + i * a_col;
            real *to = panels + first * k + i * rows;
            switch (rows) {
#define PANEL(rows)                                                                                       \
    case rows:                                                                                            \
        copy_panel(rows, depth, from, a_row, a_col, to);                                                  \
        break;
                PANEL(1) PANEL(2) PANEL(3) PANEL(4) PANEL(5) PANEL(6)
            }
        }
    }
}

static void pack_row(ptrdiff_t columns, const real *from, real *packed)
{
    FOR_VECTORS(0, columns, vstore(packed + i, vload_n(from + i, n)););
}

/* A sliver as [k][whole vectors], zeros after the last column. */
static void pack_sliver(ptrdiff_t columns, ptrdiff_t k, const real *b, ptrdiff_t b_row, ptrdiff_t b_col,
                        real *packed)
{
    const ptrdiff_t width = round_up(columns, LANES);
    if (b_col == 1) {
        for (ptrdiff_t i = 0; i < k; i++, b += b_row, packed += width)
            pack_row(columns, b, packed);
        return;
    }
    copy_matrix(k, columns, b, b_row, b_col, packed, width);
    for (ptrdiff_t i = 0; i < k && columns < width; i++)
        memset(packed + i * width + columns, 0, (size_t)(width - columns) * sizeof(real));
}

/* ---- b packed once and for all -------------------------------------------------------------------- */

ptrdiff_t NAME(gemm_packed_size)(ptrdiff_t n, ptrdiff_t k) { return round_up(k * round_up(n, LANES), LINE); }

/* Where the run from k on of the sliver of `columns` columns from j on lies. */
static ptrdiff_t packed_run(ptrdiff_t j, ptrdiff_t columns, ptrdiff_t k, ptrdiff_t depth)
{
    return j * depth + k * round_up(columns, LANES);
}

typedef struct {
    ptrdiff_t n, k;
    const real *b;
    ptrdiff_t b_row, b_col;
    real *packed;
} Packing;

static void pack_slivers(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Packing *p = context;
    for (ptrdiff_t k = 0; k < p->k; k += COPY_DEPTH)
        for (ptrdiff_t j = begin; j < end; j += SLIVER) {
            const ptrdiff_t columns = min_of(SLIVER, p->n - j);
            pack_sliver(columns, min_of(COPY_DEPTH, p->k - k), p->b + k * p->b_row + j * p->b_col, p->b_row, p->b_col,
                        p->packed + packed_run(j, columns, k, p->k));
        }
}

void NAME(gemm_pack)(ptrdiff_t n, ptrdiff_t k, const real *b, ptrdiff_t b_row, ptrdiff_t b_col, real *packed)
{
    Packing packing = {n, k, b, b_row, b_col, packed};
    parallel_for(n, round_up(1 + COPY_WORK / (k + 1), SLIVER), SLIVER, pack_slivers, &packing);
}

/* Very few rows go through some slivers side by side. */
INLINE void multiply_wide(const int rows, const int wide, const Product *p, ptrdiff_t sliver)
{
    vec sum[24];
    UNROLL for (int i = 0; i < rows * wide * BLOCK_VECS; i++)
        sum[i] = vset(0);
    wide_accumulate(rows, wide, sum, p->k, p->a, p->a_row, p->a_col, p->b, sliver);
    UNROLL for (int w = 0; w < wide; w++) {
        const vec *total = sum + w * rows * BLOCK_VECS;
        if (p->accumulate)
            store_block(rows, BLOCK_VECS, total, p->c + w * SLIVER, p->c_row, LANES, 1);
        else
            store_block(rows, BLOCK_VECS, total, p->c + w * SLIVER, p->c_row, LANES, 0);
    }
}

/* How many of the n columns that are left have gone through multiply_wide: none if there are more rows. One sliver of
   b takes `sliver` numbers. */
static ptrdiff_t multiply_few(ptrdiff_t m, ptrdiff_t n, const Product *p, ptrdiff_t sliver)
{
    switch (m) {
#define WIDE(rows, wide)                                                                                  \
    case rows:                                                                                            \
        if (n < (wide) * SLIVER)                                                                          \
            return 0;                                                                                     \
        multiply_wide(rows, wide, p, sliver);                                                             \
        return (wide) * SLIVER;
        WIDE(1, 4) WIDE(2, 2) WIDE(3, 2)
    }
    return 0;
}

/* The run of k from i on */
static void multiply_packed(ptrdiff_t m, ptrdiff_t n, Product p, ptrdiff_t sliver, ptrdiff_t i)
{
    const real *packed = p.b;
    for (ptrdiff_t j = 0, done; j < n; j += done, p.c += done) {
        const ptrdiff_t columns = min_of(SLIVER, n - j);
        p.b = packed + packed_run(j, columns, i, sliver / SLIVER);
        p.ahead = p.b + sliver;
        done = multiply_few(m, n - j, &p, sliver);
        if (!done) {
            multiply_sliver(m, columns, p);
            done = columns;
        }
    }
}

void NAME(gemm_packed)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const real *a, ptrdiff_t a_row, ptrdiff_t a_col,
                       const real *packed, real *c, ptrdiff_t c_row, int accumulate)
{
    Product p = {.a = a, .a_row = a_row, .a_col = a_col, .b = packed, .c = c, .c_row = c_row, .accumulate = accumulate,
                 .fetches = fetches_of(m, n * k * (ptrdiff_t)sizeof(real))};
    if (k == 0 && !accumulate)
        sum_nothing(m, n, c, c_row);
    for (ptrdiff_t i = 0; i < k; i += DEPTH, p.a += DEPTH * a_col, p.accumulate = 1) {
        p.k = min_of(DEPTH, k - i);
        multiply_packed(m, n, p, SLIVER * k, i);
    }
}

/* ---- tiles --------------------------------------------------------------------------------------- */

/* An odd number of lines */
ptrdiff_t NAME(gemm_spread)(ptrdiff_t length) { return round_up(length - LINE, 2 * LINE) + LINE; }

static int copies_a(const Gemm *g)
{
    const int close = g->tile_rows * g->a_row * (ptrdiff_t)sizeof(real) <= CLOSE_BYTES;
    return g->a_col != 1 || !(close || g->a_row == NAME(gemm_spread)(g->a_row));
}

static ptrdiff_t a_copy_size(const Gemm *g)
{
    const ptrdiff_t depth = min_of(DEPTH, g->k);
    if (!copies_a(g))
        return 0;
    return g->a_col == 1 ? g->tile_rows * NAME(gemm_spread)(depth) : round_up(g->tile_rows * depth, LINE);
}

static ptrdiff_t b_copy_size(const Gemm *g) { return g->packed ? 0 : min_of(DEPTH, g->k) * SLIVER; }

/* One run of k, from `k` on, for n columns from `first` on: c (m, n) += the a of p times b. */
static void multiply_run(const Gemm *g, ptrdiff_t m, ptrdiff_t first, ptrdiff_t n, ptrdiff_t k, Product p,
                         real *b_copy)
{
    for (ptrdiff_t j = first; j < first + n; j += SLIVER, p.c += SLIVER) {
        const ptrdiff_t columns = min_of(SLIVER, first + n - j);
        if (g->packed) {
            p.b = g->packed + packed_run(j, columns, k, g->k);
            p.ahead = p.b + SLIVER * g->k;
            p.fetches = fetches_of(m, g->n * g->k * (ptrdiff_t)sizeof(real));
        } else {
            pack_sliver(columns, p.k, g->b + k * g->b_row + j * g->b_col, g->b_row, g->b_col, b_copy);
            p.b = p.ahead = b_copy;
        }
        multiply_sliver(m, columns, p);
    }
}

/* The rows of a for one run of k, from a copy where that pays. */
static void place_a(const Gemm *g, ptrdiff_t m, const real *a, Product *p, real *copy)
{
    p->a = a;
    p->a_row = g->a_row;
    p->a_col = g->a_col;
    if (!copies_a(g) || !copy)
        return;
    p->a = copy;
    p->a_row = g->a_col == 1 ? NAME(gemm_spread)(p->k) : 0;
    p->a_col = g->a_col == 1 ? 1 : 0;
    if (g->a_col == 1)
        copy_rows(m, p->k, a, g->a_row, copy, p->a_row);
    else
        copy_panels(m, p->k, a, g->a_row, g->a_col, copy);
}

static void multiply_tile(const Gemm *g, ptrdiff_t i, ptrdiff_t j, real *a_copy, real *b_copy)
{
    const ptrdiff_t m = min_of(g->tile_rows, g->m - i), n = min_of(g->tile_columns, g->n - j);
    Product p = {.c = g->c + i * g->c_row + j, .c_row = g->c_row, .accumulate = g->flags & GEMM_ACCUMULATE};
    for (ptrdiff_t k = 0; k < g->k; k += DEPTH, p.accumulate = 1) {
        p.k = min_of(DEPTH, g->k - k);
        place_a(g, m, g->a + i * g->a_row + k * g->a_col, &p, a_copy);
        multiply_run(g, m, j, n, k, p, b_copy);
    }
}

static void multiply_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Gemm *g = context;
    const unsigned before = begin_flush(g);
    for (ptrdiff_t task = begin; task < end; task++) {
        real *a_copy = g->copies ? g->copies + task * (a_copy_size(g) + b_copy_size(g)) : NULL;
        real *b_copy = g->copies ? a_copy + a_copy_size(g) : NULL;
        for (ptrdiff_t tile = task * g->tiles / g->tasks; tile < (task + 1) * g->tiles / g->tasks; tile++)
            multiply_tile(g, tile / g->across * g->tile_rows, tile % g->across * g->tile_columns, a_copy, b_copy);
    }
    end_flush(g, before);
}

/* As few parts as there can be of at most so many, all of about the same size, in steps. */
static ptrdiff_t part_of(ptrdiff_t n, ptrdiff_t most, ptrdiff_t step)
{
    const ptrdiff_t parts = (n + most - 1) / most;
    return round_up((n + parts - 1) / parts, step);
}

/* Large tiles, but enough of them to give each thread its share. */
static void choose_tiles(Gemm *g)
{
    const double work = (double)g->m * (double)g->n * (double)g->k;
    const ptrdiff_t threads = min_of(parallel_free_threads(), 1 + (ptrdiff_t)(work / (double)THREAD_WORK));
    ptrdiff_t rows = TILE_ROWS, columns = TILE_COLUMNS;
    for (;;) {
        g->tile_rows = part_of(g->m, rows, BLOCK_ROWS);
        g->tile_columns = part_of(g->n, columns, SLIVER);
        g->across = (g->n + g->tile_columns - 1) / g->tile_columns;
        g->tiles = g->across * ((g->m + g->tile_rows - 1) / g->tile_rows);
        if (g->tiles % threads == 0 || g->tiles > 4 * threads)
            break;
        if (columns > SLIVER && g->n > SLIVER)
            columns = round_up(min_of(columns, g->n) / 2, SLIVER);
        else if (rows > BLOCK_ROWS && g->m > BLOCK_ROWS)
            rows = round_up(min_of(rows, g->m) / 2, BLOCK_ROWS);
        else
            break;
    }
    g->tasks = min_of(g->tiles, threads);
}

static int tiles(Gemm *g)
{
    choose_tiles(g);
    const size_t size = (size_t)(g->tasks * (a_copy_size(g) + b_copy_size(g)));
    g->copies = size ? memory_take(size * sizeof(real)) : NULL;
    if (size && !g->copies && (!g->packed || g->a_col == 0))
        return -1; /* b cannot be read where it is, nor a with strides that mean panels */
    parallel_for(g->tasks, 1, 1, multiply_tasks, g);
    memory_give(g->copies);
    return 0;
}

/* Where b meets several tiles of rows it is packed once, not by each, if there is room for that. */
static int many_tiles(Gemm *g)
{
    real *packed = memory_take((size_t)NAME(gemm_packed_size)(g->n, g->k) * sizeof(real));
    if (packed)
        NAME(gemm_pack)(g->n, g->k, g->b, g->b_row, g->b_col, packed);
    g->packed = packed;
    const int failed = tiles(g);
    memory_give(packed);
    return failed;
}

/* ---- rows of a thread ---------------------------------------------------------------------------- */

#define OWN_ROWS 60         /* of a thread, for which it copies b for itself, */
#define UNEVEN_ROWS 24      /* or where columns, SLIVER by SLIVER, would leave a thread more than an eighth too many; */
#define OWN_BYTES (1 << 14) /* so many bytes of b for each of its rows at most */

typedef struct {
    Gemm whole;
    int (*alone)(Gemm *);
    Atomic failed;
} Shared;

static void multiply_own_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    Shared *shared = context;
    Gemm g = shared->whole;
    g.a += begin * g.a_row;
    g.c += begin * g.c_row;
    g.m = end - begin;
    if (shared->alone(&g))
        atomic_set(&shared->failed, 1);
}

/* Each thread multiplies rows of its own, if it can have so many at least. */
static int share_rows(Gemm *g, ptrdiff_t least, int (*alone)(Gemm *))
{
    if (g->m < 2 * least) /* spares a small product what it takes to hand it over */
        return alone(g);
    Shared shared = {*g, alone, 0};
    parallel_for(g->m, least, BLOCK_ROWS, multiply_own_rows, &shared);
    return atomic_get(&shared.failed) ? -1 : 0;
}

static int multiply_alone(Gemm *g) { return g->m > TILE_ROWS ? many_tiles(g) : tiles(g); }

/* What one core has written takes long to get to another. So each thread has rows of c, not columns, whose neighbours a
   core fetches while it writes its own, and a copy of b, unless that is too large or there are too few rows. */
static int multiply_shared(Gemm *g)
{
    const ptrdiff_t row_work = g->n * g->k, least = round_up(1 + THREAD_WORK / row_work, BLOCK_ROWS);
    const ptrdiff_t threads = min_of(parallel_free_threads(), g->m / least);
    if (threads < 2)
        return multiply_alone(g);
    const ptrdiff_t rows = g->m / threads, columns = round_up((g->n + threads - 1) / threads, SLIVER);
    const int uneven = 8 * columns * threads > 9 * g->n;
    if (rows < (uneven ? UNEVEN_ROWS : OWN_ROWS) || row_work * (ptrdiff_t)sizeof(real) > rows * OWN_BYTES)
        return multiply_alone(g);
    return share_rows(g, least, multiply_alone);
}

/* ---- the kernel ---------------------------------------------------------------------------------- */

/* Whether the columns of b are dense and its rows are not */
static int has_dense_columns(const Gemm *g) { return g->b_row == 1 && g->b_col != 1; }

/* Whether the lanes had better run along k: few columns leave most of them idle, and k is so long that it takes less to
   add up the lanes in the end. Not if a is dense along its columns; with one number in a row that is all there is. Columns
   that are not dense are copied, which pays for four of them and if they are not too large. */
static int is_inner(const Gemm *g)
{
    if (g->m > 1 && g->a_row == 1 && (g->a_col != 1 || g->k == 1))
        return 0;
    if (g->n == 1)
        return 1;
    if (g->n <= FEW_ROWS / 2)
        return 2 * g->k >= LANES * g->n && (g->b_row == 1 || !is_far(g->n * g->k, THIRD_LEVEL));
    return g->n <= FEW_ROWS && has_dense_columns(g) && g->k >= LANES * g->n;
}

/* Whether that holds for the product of the transposes: few rows, and dense columns of b. The other way it would be
   transposed in registers, not in memory, so k must be longer; and of a b from memory more columns go by together. */
static int is_inner_turned(const Gemm *g)
{
    if (!has_dense_columns(g) || g->m > FEW_ROWS || (g->m > 2 && is_far(g->n * g->k, THIRD_LEVEL)))
        return 0;
    const ptrdiff_t least = g->m == 1 ? 0 : g->m <= FEW_ROWS / 2 ? 4 * LANES : 16 * LANES;
    const Gemm turned = transpose_of(g);
    return g->k > least && is_inner(&turned);
}

/* Whether c is better written row by row from one row of b that stays in the first-level cache, and a column of a */
static int is_outer(const Gemm *g)
{
    return g->k == 1 && g->b_col == 1 && g->n > 2 * LANES && g->n * (ptrdiff_t)sizeof(real) <= 1 << 14;
}

/* Whether the transpose of c is better made: its rows fill their vectors where those of c leave many lanes idle. To turn it
   takes as long as some more of k. */
#define TURN 4
static int is_turned(const Gemm *g)
{
    const ptrdiff_t most = g->a_row == 1 ? SOME_COLUMNS : g->a_col == 1 && g->k > LANES ? MOST_TURNED : 0;
    if (g->n > most)
        return 0;
    const ptrdiff_t work = g->m * vectors_of(g->n) * g->k, turned_work = g->n * vectors_of(g->m) * (g->k + TURN);
    return (g->n <= FEW_ROWS && g->n < g->m) || 10 * turned_work < 9 * work;
}

/* Whether b is better read as it is than packed. A vector of 16 bytes is slow to fill in part, so not there. */
static int is_narrow(const Gemm *g)
{
    return g->n <= NARROW && (g->m <= FEW_ROWS ? g->b_col == 1 : VECTOR_BYTES > 16 && (g->b_col == 1 || is_near(g)));
}

/* Whether it takes longer to write c than to sum it. Tile by tile it would be written a few columns at a time. */
#define SHALLOW 32          /* k at most, */
#define SHALLOW_B (1 << 22) /* bytes of b at most, which is read for every few rows, or of its copy a fourth of that, */
#define SHALLOW_C (1 << 22) /* and of c at least. 16 registers are too few for eight rows. */
static int is_shallow(const Gemm *g)
{
    const ptrdiff_t bytes_of_b = g->k * g->n * (ptrdiff_t)sizeof(real) * (g->b_col == 1 ? 1 : 4);
    return BLOCK_VECS == 4 && VECTOR_BYTES > 16 && g->k <= SHALLOW && g->m > FEW_ROWS && bytes_of_b <= SHALLOW_B &&
           g->m * g->n * (ptrdiff_t)sizeof(real) >= SHALLOW_C;
}

/* The product of the transposes instead, with the transpose of c */
static int turned(const Gemm *g, int (*product)(Gemm *))
{
    Gemm other = transpose_of(g);
    other.c_row = 1;
    other.c_col = g->c_row;
    return product(&other);
}

/* Each sum in the order of k */
static int multiply_in_order(Gemm *g)
{
    if (is_outer(g))
        NAME(gemm_outer)(g);
    else if (is_turned(g))
        NAME(gemm_few_columns)(g);
    else if (g->m <= MOST_TURNED && has_dense_columns(g))
        NAME(gemm_few_rows)(g);
    else if (is_narrow(g) || is_shallow(g))
        return share_rows(g, round_up(1 + THREAD_WORK / (g->n * g->k), FEW_ROWS), NAME(gemm_narrow));
    else if (g->m <= SOME_ROWS && is_direct(g))
        NAME(gemm_some_rows)(g);
    else if (g->m <= FEW_ROWS && g->b_col == 1)
        NAME(gemm_few_rows)(g);
    else
        return multiply_shared(g);
    return 0;
}

static int multiply(Gemm *g)
{
    if (g->m == 0 || g->n == 0)
        return 0;
    if (g->k == 0) {
        if (!(g->flags & GEMM_ACCUMULATE))
            sum_nothing(g->m, g->n, g->c, g->c_row);
        return 0;
    }
    if (is_inner(g))
        return NAME(gemm_inner)(g);
    if (g->n == 1 && g->c_row == 1)
        return turned(g, multiply_in_order);
    if (is_inner_turned(g))
        return turned(g, NAME(gemm_inner));
    return multiply_in_order(g);
}

int NAME(gemm)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const real *a, ptrdiff_t a_row, ptrdiff_t a_col,
               const real *b, ptrdiff_t b_row, ptrdiff_t b_col, real *c, ptrdiff_t c_row, int flags)
{
    return multiply(&(Gemm){m, n, k, a, a_row, a_col, b, b_row, b_col, c, c_row, 1, flags});
}

void NAME(gemm_packed_parallel)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const real *a, ptrdiff_t a_row, ptrdiff_t a_col,
                                const real *packed, real *c, ptrdiff_t c_row, int flags)
{
    if (k == 0)
        NAME(gemm_packed)(m, n, k, a, a_row, a_col, packed, c, c_row, flags & GEMM_ACCUMULATE);
    else if (m > 0 && n > 0)
        tiles(&(Gemm){m, n, k, a, a_row, a_col, .packed = packed, .c = c, .c_row = c_row, .flags = flags});
}

/* ---- stacks of products -------------------------------------------------------------------------- */

typedef struct {
    Gemm first;
    const ptrdiff_t *places; /* of the a and the b of each product, from the first */
    uint8_t *failed;         /* for each product */
} Stack;

static void multiply_stack(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Stack *s = context;
    for (ptrdiff_t i = begin; i < end; i++) {
        Gemm g = s->first;
        g.a += s->places[2 * i];
        g.b += s->places[2 * i + 1];
        g.c += i * g.m * g.n;
        s->failed[i] = multiply(&g) != 0;
    }
}

#define STACK_BYTES (1 << 20) /* as much as a second-level cache holds: what is larger comes from afar */

/* Threads share the products, or each product where there are few large ones. */
int NAME(gemm_stack)(ptrdiff_t count, const ptrdiff_t *places, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const real *a,
                     ptrdiff_t a_row, ptrdiff_t a_col, const real *b, ptrdiff_t b_row, ptrdiff_t b_col, real *c)
{
    uint8_t *failed = memory_take((size_t)count);
    if (!failed)
        return -1;
    const double numbers = (double)k * (double)(n < m ? m : n);
    const int far = (double)count * numbers * sizeof(real) > STACK_BYTES;
    Stack s = {{m, n, k, a, a_row, a_col, b, b_row, b_col, c, n, 1, 0, .far = far}, places, failed};
    const double work = (double)m * (double)n * (double)k;
    const int threads = parallel_free_threads();
    if (count < 4 * threads && work > (double)(THREAD_WORK * threads))
        multiply_stack(&s, 0, count);
    else
        parallel_for(count, 1 + (ptrdiff_t)((double)THREAD_WORK / (work + 1)), 1, multiply_stack, &s);
    const int any = memchr(failed, 1, (size_t)count) != NULL;
    memory_give(failed);
    return any ? -1 : 0;
}
