/* What gemm.c, thin.c and inner.c share: one product of matrices with any strides. */
#ifndef MINIDL_PRODUCT_H
#define MINIDL_PRODUCT_H

#include "block.h"
#include "copy.h"
#include "kernels.h"
#include "parallel.h"

typedef struct {
    ptrdiff_t m, n, k;
    const real *a;
    ptrdiff_t a_row, a_col;
    const real *b;
    ptrdiff_t b_row, b_col;
    real *c;
    ptrdiff_t c_row, c_col; /* inner.c alone reads c_col, which is 1 elsewhere */
    int flags;
    const real *packed; /* b, or NULL */
    ptrdiff_t tile_rows, tile_columns, across, tiles; /* tiles side by side, and all of them */
    ptrdiff_t tasks;                                  /* each takes its share of the tiles */
    real *copies;                                     /* of a and b, for each task; thin.c makes one */
    int far;   /* whether what is read once comes from afar, by itself or as one of a stack; */
    int whole; /* thin.c: whether the rows of b are whole vectors */
} Gemm;

INLINE ptrdiff_t vectors_of(ptrdiff_t n) { return (n + LANES - 1) / LANES; }

#define FEW_ROWS 8

/* The caches that a matrix comes from fast enough by itself: of its dense rows the second-level one, else the third */
#define SECOND_LEVEL (1 << 20)
#define THIRD_LEVEL (1 << 23)
INLINE int is_far(ptrdiff_t numbers, ptrdiff_t bytes) { return numbers * (ptrdiff_t)sizeof(real) > bytes; }

/* Whether the caches hold b */
#define NEAR_B (BLOCK_VECS == 4 ? 1 << 21 : 1 << 20)
INLINE int is_near(const Gemm *g) { return g->n * g->k * (ptrdiff_t)sizeof(real) <= NEAR_B; }

/* Whether rows of b begin in one set of the first-level cache, or nearly so, which holds eight lines. */
INLINE int is_crowded(const Gemm *g)
{
    const size_t apart = (size_t)(g->b_row < 0 ? -g->b_row : g->b_row) * sizeof(real);
    return (apart + 16) % 4096 <= 32;
}

/* Whether b is read as it is, some vectors of columns at a time, down a run of its rows. Few rows of a read it once in
   any case: for them that pays if the next of these vectors come soon, or from a near cache, or if there are many of
   them, which one row has registers for, and two. A vector of 16 bytes is slow to fill in part. */
#define CLOSE_B (1 << 19)
INLINE int is_direct(const Gemm *g)
{
    if (g->b_col != 1 || VECTOR_BYTES <= 16)
        return 0;
    if (g->m > FEW_ROWS)
        return is_near(g);
    if (is_crowded(g))
        return g->k <= 4;
    if (g->m > 3)
        return g->k <= 16 || g->n * g->k * (ptrdiff_t)sizeof(real) <= CLOSE_B;
    if (g->k <= (g->m <= 2 ? 16 : 8))
        return 1;
    const int wide = g->m == 1 || (g->m == 2 && g->n >= 256 * LANES && BLOCK_VECS == 4);
    return wide && !is_far(g->n * g->k, THIRD_LEVEL);
}

/* As many columns of c, or rows, as are worth a thread, each of which reads k numbers for that many products. To read
   one takes as long as READ of them. */
#define READ 4
INLINE ptrdiff_t worth_of(ptrdiff_t products, ptrdiff_t k)
{
    return 1 + THREAD_WORK / ((products < READ ? READ : products) * k);
}

/* The product of the transposes; c is left to the caller */
INLINE Gemm transpose_of(const Gemm *g)
{
    Gemm turned = {g->n, g->m, g->k, g->b, g->b_col, g->b_row, g->a, g->a_col, g->a_row, g->c, g->c_row, 1, g->flags};
    turned.far = g->far;
    return turned;
}

INLINE unsigned begin_flush(const Gemm *g) { return g->flags & GEMM_FLUSH ? denormals_flush() : 0; }
INLINE void end_flush(const Gemm *g, unsigned before)
{
    if (g->flags & GEMM_FLUSH)
        denormals_restore(before);
}

/* c = sum, or += with accumulate. What does not change from sum to sum must be a constant here. */
INLINE void store_block(const int rows, const int vecs, const vec *sum, real *c, ptrdiff_t c_row, ptrdiff_t last,
                        const int accumulate)
{
    UNROLL for (int r = 0; r < rows; r++, c += c_row)
        UNROLL for (int v = 0; v < vecs; v++) {
            const ptrdiff_t n = v == vecs - 1 ? last : LANES;
            const vec total = sum[r * vecs + v];
            vstore_n(c + v * LANES, accumulate ? vload_n(c + v * LANES, n) + total : total, n);
        }
}

/* inner.c, where gemm() goes first: one column, or few columns and long rows of a, or such a product turned; 0, or -1
   without memory for what has to be made dense. */
int NAME(gemm_inner)(Gemm *g);

/* thin.c, in the order of gemm(): a k of 1, and a dense row of b; */
void NAME(gemm_outer)(Gemm *g);
/* at most FEW_ROWS columns of b, or SOME_COLUMNS if the columns of a are dense, or MOST_TURNED if its rows are; */
#define SOME_COLUMNS 48
#define MOST_TURNED (BLOCK_VECS == 4 ? SOME_COLUMNS : FEW_ROWS)
void NAME(gemm_few_columns)(Gemm *g);
/* at most FEW_ROWS rows of a with b dense one way or the other, or MOST_TURNED if its columns are, TURNED_ROWS of which
   have registers beside what is transposed; */
#define TURNED_ROWS (BLOCK_VECS == 4 ? 16 : FEW_ROWS)
void NAME(gemm_few_rows)(Gemm *g);
/* at most NARROW columns, or a small k and a large c, in the calling thread: 0, or -1 without memory for a copy of b,
   which is near then; */
#define NARROW (4 * LANES)
int NAME(gemm_narrow)(Gemm *g);
/* or at most SOME_ROWS rows, and a b that is_direct. */
#define SOME_ROWS (BLOCK_VECS == 4 ? 64 : 32)
void NAME(gemm_some_rows)(Gemm *g);

#endif
