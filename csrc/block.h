/* The register block under gemm.c and lstm.c: a few rows of a times a few vectors of b.

   rows times vecs sums stay in registers while k runs. Each step loads the vectors of b once and multiplies
   them by one entry of each row of a. `rows` and `vecs` must be constants wherever this is inlined: with a
   count known at run time only, the compiler cannot give the sums names, keeps them in memory, and the
   speed drops sixfold. A sum runs over k in order, whatever the size of the block, so that a row gets the
   same bits in any company. */
#ifndef MINIDL_BLOCK_H
#define MINIDL_BLOCK_H

#include "simd.h"

/* A product's blocks, and those of an LSTM, which hold the four gates of the same units side by side. */
#if defined(__AVX512F__) || defined(__aarch64__) /* 32 vector registers: 24 sums, 4 of b, 1 of a */
#define BLOCK_ROWS 6
#define BLOCK_VECS 4
#define GATE_ROWS 6
#define FOR_EACH_GATE_ROWS(F) F(1) F(2) F(3) F(4) F(5) F(6)
#else /* 16: 12 sums, 2 of b, 2 of a. The fewer vectors, the less of b passes by for each product. */
#define BLOCK_ROWS 6
#define BLOCK_VECS 2
#define GATE_ROWS 3
#define FOR_EACH_GATE_ROWS(F) F(1) F(2) F(3)
#endif
#define SLIVER (BLOCK_VECS * LANES) /* columns of b that a block meets */

#define LINE (64 / (ptrdiff_t)sizeof(real)) /* of the cache */

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 8")
#endif
#if defined(__GNUC__)
#define FETCH(address) __builtin_prefetch(address, 0, 2) /* into the second-level cache, to be read */
#define FETCH_TO_WRITE(address) __builtin_prefetch(address, 1, 3)
#else
#define UNROLL
#define FETCH(address) ((void)(address))
#define FETCH_TO_WRITE(address) ((void)(address))
#endif

/* sum[r vecs + v] += a[r a_row + k a_col] b[k][v], over all k < depth, with b packed as [k][v][LANES]. Meanwhile a
   line per k is fetched from `ahead` on, where what comes after this b lies: the processor does not see it coming
   while the rows of a meet the same b again and again. Any address will do. */
INLINE void block_accumulate(const int rows, const int vecs, vec *sum, ptrdiff_t depth, const real *a,
                             ptrdiff_t a_row, ptrdiff_t a_col, const real *b, const real *ahead)
{
    for (ptrdiff_t k = 0; k < depth; k++, a += a_col, b += vecs * LANES, ahead += LINE) {
        vec column[4];
        if (rows > 2) /* else there is no time to spare */
            FETCH(ahead);
        UNROLL for (int v = 0; v < vecs; v++)
            column[v] = vload(b + v * LANES);
        UNROLL for (int r = 0; r < rows; r++) {
            const vec entry = vset(a[r * a_row]);
            UNROLL for (int v = 0; v < vecs; v++)
                sum[r * vecs + v] = vfma(entry, column[v], sum[r * vecs + v]);
        }
    }
}

#endif
