/* Copies of matrices with any strides into rows. */
#ifndef MINIDL_COPY_H
#define MINIDL_COPY_H

#include "simd.h"

INLINE ptrdiff_t min_of(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

/* ---- transposing --------------------------------------------------------------------------------- */

/* A vector is seen as pieces of 16 bytes: vload_pieces reads `count` of them, `apart` numbers from each other. zip_low
   and zip_high give the numbers of the lower and upper halves of two pieces in turns, zip_pairs_* pairs of numbers. */
#define PIECE (16 / (ptrdiff_t)sizeof(real))

#if defined(__SSE2__)
#if defined(__AVX512F__)
#define PAIRS(op, a, b) ((vec)_mm512_##op##_pd((__m512d)(a), (__m512d)(b)))
#elif defined(__AVX__)
#define PAIRS(op, a, b) ((vec)_mm256_##op##_pd((__m256d)(a), (__m256d)(b)))
#else
#define PAIRS(op, a, b) ((vec)_mm_##op##_pd((__m128d)(a), (__m128d)(b)))
#endif
INLINE vec zip_low(vec a, vec b) { return X86(unpacklo)(a, b); }
INLINE vec zip_high(vec a, vec b) { return X86(unpackhi)(a, b); }
INLINE vec zip_pairs_low(vec a, vec b) { return PAIRS(unpacklo, a, b); }
INLINE vec zip_pairs_high(vec a, vec b) { return PAIRS(unpackhi, a, b); }
#else
/* As many numbers as a piece has, by what the machine has for that; a single one where it has no vectors. */
INLINE vec zip(vec a, vec b, int first, int together)
{
    real from[2 * LANES], to[LANES];
    vstore(from, a);
    vstore(from + LANES, b);
    UNROLL for (int i = 0; i < LANES; i++)
        to[i] = from[first + i / (2 * together) * together + i % together + (i / together % 2) * LANES];
    return vload(to);
}
INLINE vec zip_low(vec a, vec b) { return zip(a, b, 0, 1); }
INLINE vec zip_high(vec a, vec b) { return zip(a, b, LANES / 2, 1); }
INLINE vec zip_pairs_low(vec a, vec b) { return zip(a, b, 0, 2); }
INLINE vec zip_pairs_high(vec a, vec b) { return zip(a, b, LANES / 2, 2); }
#endif

INLINE vec vload_pieces(const real *p, ptrdiff_t apart, ptrdiff_t count)
{
#if defined(__AVX512F__)
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const void *)p));
    v = count > 1 ? _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + apart)), 1) : v;
    v = count > 2 ? _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + 2 * apart)), 2) : v;
    v = count > 3 ? _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + 3 * apart)), 3) : v;
    return (vec)v;
#elif defined(__AVX__)
    const __m256i v = _mm256_castsi128_si256(_mm_loadu_si128((const void *)p));
    return (vec)(count > 1 ? _mm256_insertf128_si256(v, _mm_loadu_si128((const void *)(p + apart)), 1) : v);
#else
    (void)apart, (void)count;
    return vload(p);
#endif
}

/* to[k][j] = from[j][k] for PIECE values of k and up to LANES of j: row r of the first piece, of the second ... */
INLINE void transpose_pieces(ptrdiff_t columns, const real *from, ptrdiff_t from_row, real *to, ptrdiff_t to_row)
{
    vec row[PIECE];
    UNROLL for (int r = 0; r < PIECE; r++) {
        const ptrdiff_t pieces = (columns - r + PIECE - 1) / PIECE;
        row[r] = pieces > 0 ? vload_pieces(from + r * from_row, PIECE * from_row, pieces) : vset(0);
    }
#if MINIDL_REAL == 32
    const vec low_01 = zip_low(row[0], row[1]), high_01 = zip_high(row[0], row[1]);
    const vec low_23 = zip_low(row[2], row[3]), high_23 = zip_high(row[2], row[3]);
    const vec column[PIECE] = {zip_pairs_low(low_01, low_23), zip_pairs_high(low_01, low_23),
                               zip_pairs_low(high_01, high_23), zip_pairs_high(high_01, high_23)};
#else
    const vec column[PIECE] = {zip_low(row[0], row[1]), zip_high(row[0], row[1])};
#endif
    UNROLL for (int k = 0; k < PIECE; k++)
        vstore_n(to + k * to_row, column[k], columns);
}

/* to (rows, columns) from its transpose of at least PIECE rows; the last pieces may meet those before. */
INLINE void copy_transposed(ptrdiff_t rows, ptrdiff_t columns, const real *from, ptrdiff_t from_col, real *to,
                            ptrdiff_t to_row)
{
    FOR_VECTORS(0, columns, {
        for (ptrdiff_t k = 0; k < rows; k += PIECE) {
            const ptrdiff_t first = min_of(k, rows - PIECE);
            transpose_pieces(n, from + first + i * from_col, from_col, to + first * to_row + i, to_row);
        }
    });
}

/* ---- all copies ---------------------------------------------------------------------------------- */

INLINE void copy_rows(ptrdiff_t rows, ptrdiff_t columns, const real *from, ptrdiff_t from_row, real *to,
                      ptrdiff_t to_row)
{
    for (ptrdiff_t row = 0; row < rows; row++, from += from_row, to += to_row)
        FOR_VECTORS(0, columns, vstore_n(to + i, vload_n(from + i, n), n););
}

/* to (rows, columns), its rows to_row apart, from any strides */
static void copy_matrix(ptrdiff_t rows, ptrdiff_t columns, const real *from, ptrdiff_t from_row, ptrdiff_t from_col,
                        real *to, ptrdiff_t to_row)
{
    if (from_col == 1)
        copy_rows(rows, columns, from, from_row, to, to_row);
    else if (from_row == 1 && rows >= PIECE && LANES >= PIECE)
        copy_transposed(rows, columns, from, from_col, to, to_row);
    else
        for (ptrdiff_t i = 0; i < rows; i++)
            for (ptrdiff_t j = 0; j < columns; j++)
                to[i * to_row + j] = from[i * from_row + j * from_col];
}

#endif
