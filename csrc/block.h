/* The register block under gemm.c and lstm.c: a few rows of a times a few vectors of b.

   rows times vecs sums stay in registers while k runs. Each step loads the vectors of b once and multiplies
   them by one entry of each row of a. `rows` and `vecs` must be constants wherever this is inlined: with a
   count known at run time only, the compiler cannot give the sums names, keeps them in memory, and the
   speed drops sixfold. A sum runs over k in order, whatever the size of the block, so that a row gets the
   same bits in any company. */
#ifndef MINIDL_BLOCK_H
#define MINIDL_BLOCK_H

#include "simd.h"

/* The rows and vectors of a block, its rows where the vectors are the four gates of the same units of an LSTM, and what
   a sliver of a run of k takes of the first-level cache, or of the second-level one on a Zen 4, where that is fast
   enough: in longer runs the sums are read and written less often. */
#if defined(__AVX512F__) || defined(__aarch64__) /* 32 vector registers: 24 sums, 4 of b, 1 of a */
#define BLOCK_ROWS 6
#define BLOCK_VECS 4
#define GATE_ROWS 6
#define SLIVER_BYTES (before_zen5 ? 1 << 17 : 24576)
#else /* 16: 12 sums, 2 of b, 2 of a. The fewer vectors, the less of b passes by for each product. */
#define BLOCK_ROWS 6
#define BLOCK_VECS 2
#define GATE_ROWS 3
#define SLIVER_BYTES 16384
#endif
#define SLIVER (BLOCK_VECS * LANES) /* columns of b that a block meets */
#define DEPTH (SLIVER_BYTES / (SLIVER * (ptrdiff_t)sizeof(real))) /* of a run of k */

/* Of b that are still in the second-level cache when they come round again. It has 1 MiB and more with AVX-512. */
#if defined(__AVX512F__)
#define NEAR_BYTES (1 << 19)
#else
#define NEAR_BYTES (1 << 18)
#endif
#define FETCH_DEPTH 8 /* of k, before which some lines are fetched: the end of a longer loop is not foreseen */

/* The lines that each block of a sliver's rows fetches before every FETCH_DEPTH of k, so that all of the next sliver is
   on its way when it is needed: the processor does not see it coming while the rows of a meet the same b again and
   again. Where nothing is gained, or for one or two rows, none: each costs a load. */
INLINE ptrdiff_t fetches_of(ptrdiff_t rows, ptrdiff_t bytes)
{
    const ptrdiff_t blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    return rows <= 2 || (blocks < 4 && bytes < NEAR_BYTES) ? 0 : (FETCH_DEPTH * SLIVER / LINE + blocks - 1) / blocks;
}

/* sum[r vecs + v] += a[r a_row + k a_col] b[k][v], over all k < depth, with b packed as [k][v][LANES]. Meanwhile what
   lies `ahead` is fetched; any address will do. */
INLINE void block_accumulate(const int rows, const int vecs, vec *sum, ptrdiff_t depth, const real *a,
                             ptrdiff_t a_row, ptrdiff_t a_col, const real *b, const real *ahead, ptrdiff_t fetches)
{
    while (depth > 0) {
        for (ptrdiff_t line = 0; line < fetches; line++, ahead += LINE)
            FETCH(ahead);
        const ptrdiff_t end = depth < FETCH_DEPTH ? depth : FETCH_DEPTH;
        for (ptrdiff_t k = 0; k < end; k++, a += a_col, b += vecs * LANES) {
            vec column[4];
            UNROLL for (int v = 0; v < vecs; v++)
                column[v] = vload(b + v * LANES);
            UNROLL for (int r = 0; r < rows; r++) {
                const vec entry = vset(a[r * a_row]);
                UNROLL for (int v = 0; v < vecs; v++)
                    sum[r * vecs + v] = vfma(entry, column[v], sum[r * vecs + v]);
            }
        }
        depth -= end;
    }
}

/* The same for some slivers side by side, `sliver` numbers apart: with very few rows each sum of one alone would wait
   for itself. The sums are those of one sliver after the other. */
INLINE void wide_accumulate(const int rows, const int wide, vec *sum, ptrdiff_t depth, const real *a, ptrdiff_t a_row,
                            ptrdiff_t a_col, const real *b, ptrdiff_t sliver)
{
    for (ptrdiff_t k = 0; k < depth; k++, a += a_col, b += SLIVER)
        UNROLL for (int w = 0; w < wide; w++)
            UNROLL for (int v = 0; v < BLOCK_VECS; v++) {
                const vec column = vload(b + w * sliver + v * LANES);
                UNROLL for (int r = 0; r < rows; r++) {
                    vec *total = sum + (w * rows + r) * BLOCK_VECS + v;
                    *total = vfma(vset(a[r * a_row]), column, *total);
                }
            }
}

#endif
