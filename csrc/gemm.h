/* What kernels that are made of products need of gemm.c. Strides count numbers, not bytes. */
#ifndef MINIDL_GEMM_H
#define MINIDL_GEMM_H

#include "simd.h"

/* For a b that is used again and again: packed once, by all threads that are free, into so many numbers, */
ptrdiff_t NAME(gemm_packed_size)(ptrdiff_t n, ptrdiff_t k);
void NAME(gemm_pack)(ptrdiff_t n, ptrdiff_t k, const real *b, ptrdiff_t b_row, ptrdiff_t b_col, real *packed);
/* then c = a b, or += with accumulate, in the calling thread, */
void NAME(gemm_packed)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const real *a, ptrdiff_t a_row, ptrdiff_t a_col,
                       const real *packed, real *c, ptrdiff_t c_row, int accumulate);
/* or in tiles, from copies of a where that pays and there is memory for them, with the flags of the kernel gemm: in all
   threads that are free, in the body of a parallel_for in the calling one. */
void NAME(gemm_packed_parallel)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const real *a, ptrdiff_t a_row,
                                ptrdiff_t a_col, const real *packed, real *c, ptrdiff_t c_row, int flags);

/* The step from row to row, for rows of so many numbers, at which they lie in different sets of the cache: a matrix a
   with such rows is read where it is. */
ptrdiff_t NAME(gemm_spread)(ptrdiff_t length);

#endif
