/* Copies of matrices with any strides into rows. */
#ifndef MINIDL_COPY_H
#define MINIDL_COPY_H

#include "simd.h"

/* ---- transposing --------------------------------------------------------------------------------- */

/* A vector is seen as pieces of 16 bytes. zip_low and zip_high give the numbers of the lower and of the upper halves of
   two pieces in turns, zip_pairs_low and zip_pairs_high pairs of numbers. */
#define PIECES (LANES == 1 ? 1 : VECTOR_BYTES / 16)
#define PIECE (LANES / PIECES)

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
INLINE vec zip(vec a, vec b, int first, int together)
{
    real from[2 * LANES], to[LANES];
    vstore(from, a);
    vstore(from + LANES, b);
    UNROLL for (int i = 0; i < LANES; i++)
        to[i] = from[first + i / (2 * together) * together + i % together + i / together % 2 * LANES];
    return vload(to);
}
INLINE vec zip_low(vec a, vec b) { return zip(a, b, 0, 1); }
INLINE vec zip_high(vec a, vec b) { return zip(a, b, LANES / 2, 1); }
INLINE vec zip_pairs_low(vec a, vec b) { return zip(a, b, 0, 2); }
INLINE vec zip_pairs_high(vec a, vec b) { return zip(a, b, LANES / 2, 2); }
#endif

#if defined(__AVX512F__)
/* Half a vector of each of two rows: put together as they are read they take no shuffle. */
INLINE __m512 halves(const real *a, const real *b, ptrdiff_t half, ptrdiff_t depth)
{
    const ptrdiff_t n = depth - half * (LANES / 2);
    const __mmask8 first = (__mmask8)((1u << (n < 0 ? 0 : n < LANES / 2 ? n : LANES / 2)) - 1);
    a += half * (LANES / 2);
    b += half * (LANES / 2);
    const __m256d low = (__m256d)IF32(_mm256_maskz_loadu_ps, _mm256_maskz_loadu_pd)(first, a);
    const __m256d high = (__m256d)IF32(_mm256_maskz_loadu_ps, _mm256_maskz_loadu_pd)(first, b);
    return (__m512)_mm512_insertf64x4(_mm512_castpd256_pd512(low), high, 1);
}
#endif

/* piece[p] = the p-th pieces of these rows, of which there are as many as a vector has pieces */
INLINE void exchange_pieces(const real *const *row, ptrdiff_t depth, vec *piece)
{
#if defined(__AVX512F__)
    UNROLL for (int half = 0; half < 2; half++) {
        const __m512 rows_01 = halves(row[0], row[1], half, depth), rows_23 = halves(row[2], row[3], half, depth);
        piece[2 * half] = (vec)_mm512_shuffle_f32x4(rows_01, rows_23, 0x88);
        piece[2 * half + 1] = (vec)_mm512_shuffle_f32x4(rows_01, rows_23, 0xdd);
    }
#elif defined(__AVX__)
    const __m256 row_0 = (__m256)vload_n(row[0], depth), row_1 = (__m256)vload_n(row[1], depth);
    piece[0] = (vec)_mm256_permute2f128_ps(row_0, row_1, 0x20);
    piece[1] = (vec)_mm256_permute2f128_ps(row_0, row_1, 0x31);
#else
    piece[0] = vload_n(row[0], depth);
#endif
}

/* column[k] = the k-th numbers of as many pieces in all vectors, of which there are as many as a piece has numbers */
INLINE void transpose_pieces(const vec *row, vec *column)
{
#if LANES == 1
    column[0] = row[0];
#elif MINIDL_REAL == 32
    const vec low_01 = zip_low(row[0], row[1]), high_01 = zip_high(row[0], row[1]);
    const vec low_23 = zip_low(row[2], row[3]), high_23 = zip_high(row[2], row[3]);
    column[0] = zip_pairs_low(low_01, low_23);
    column[1] = zip_pairs_high(low_01, low_23);
    column[2] = zip_pairs_low(high_01, high_23);
    column[3] = zip_pairs_high(high_01, high_23);
#else
    column[0] = zip_low(row[0], row[1]);
    column[1] = zip_high(row[0], row[1]);
#endif
}

/* column[k][j] = from[j][k] for k < depth and j < columns, at most LANES of each and at least one. Row j is piece
   j / PIECE of what transpose_pieces gets; the rows after the last are the last once more. */
INLINE void transpose_tile(ptrdiff_t columns, ptrdiff_t depth, const real *from, ptrdiff_t from_row, vec *column)
{
    vec pieces[PIECE][PIECES];
    UNROLL for (int r = 0; r < PIECE; r++) {
        const real *row[PIECES];
        UNROLL for (int p = 0; p < PIECES; p++)
            row[p] = from + min_of(p * PIECE + r, columns - 1) * from_row;
        exchange_pieces(row, depth, pieces[r]);
    }
    UNROLL for (int p = 0; p < PIECES; p++) {
        vec row[PIECE];
        UNROLL for (int r = 0; r < PIECE; r++)
            row[r] = pieces[r][p];
        transpose_pieces(row, column + p * PIECE);
    }
}

/* to (rows, columns) from its transpose */
INLINE void copy_transposed(ptrdiff_t rows, ptrdiff_t columns, const real *from, ptrdiff_t from_col, real *to,
                            ptrdiff_t to_row)
{
    for (ptrdiff_t j = 0; j < columns; j += LANES)
        for (ptrdiff_t i = 0; i < rows; i += LANES) {
            const ptrdiff_t n = min_of(LANES, columns - j), depth = min_of(LANES, rows - i);
            vec column[LANES];
            transpose_tile(n, depth, from + i + j * from_col, from_col, column);
            UNROLL for (int k = 0; k < LANES; k++)
                if (k < depth)
                    vstore_n(to + (i + k) * to_row + j, column[k], n);
        }
}

/* ---- all copies ---------------------------------------------------------------------------------- */

/* Four loads and then four stores: a load that has to wait between stores holds up those behind it. */
INLINE void copy_row(ptrdiff_t n, const real *from, real *to, const int past)
{
    ptrdiff_t done = 0;
    for (; done + 4 * LANES <= n; done += 4 * LANES) {
        vec v[4];
        UNROLL for (int j = 0; j < 4; j++)
            v[j] = vload(from + done + j * LANES);
        UNROLL for (int j = 0; j < 4; j++)
            vstore_past(to + done + j * LANES, v[j], LANES, past);
    }
    FOR_VECTORS(done, n, vstore_past(to + i, vload_n(from + i, n), n, past););
}

INLINE void copy_rows(ptrdiff_t rows, ptrdiff_t columns, const real *from, ptrdiff_t from_row, real *to,
                      ptrdiff_t to_row)
{
    for (ptrdiff_t row = 0; row < rows; row++, from += from_row, to += to_row)
        copy_row(columns, from, to, 0);
}

/* to (rows, columns), its rows to_row apart, from any strides */
static inline void copy_matrix(ptrdiff_t rows, ptrdiff_t columns, const real *from, ptrdiff_t from_row,
                               ptrdiff_t from_col, real *to, ptrdiff_t to_row)
{
    if (from_col == 1)
        copy_rows(rows, columns, from, from_row, to, to_row);
    else if (from_row == 1)
        copy_transposed(rows, columns, from, from_col, to, to_row);
    else
        for (ptrdiff_t i = 0; i < rows; i++)
            for (ptrdiff_t j = 0; j < columns; j++)
                to[i * to_row + j] = from[i * from_row + j * from_col];
}

#endif
