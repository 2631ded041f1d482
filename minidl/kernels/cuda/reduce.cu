// The sum of each row: a group of threads takes one of up to PIECE numbers. A longer row is cut into pieces of that
// many, each the row of a block, and cuda.py has their sums added as rows again, in float64.
//
// A thread adds one number in 32 at most (of PIECE / THREADS), in as many sums as a pack has numbers, and then the
// threads' sums are added in pairs: no sum is long, so float32 is exact enough for them.
#include "common.cuh"

constexpr i64 PIECE = 8192;  // as in cuda.py

template <typename real, typename result>
__device__ void sum_pieces(i64 rows, i64 columns, int group, const real* __restrict__ x, result* __restrict__ y) {
    constexpr int size = Pack<real>::size;
    const i64 pieces = columns > PIECE ? (columns + PIECE - 1) / PIECE : 1;
    const bool whole = aligned(x) && columns % size == 0;
    each_row(rows * pieces, group, [&](i64 row, int lane) {
        Pack<real> sums = {};
        if (row >= 0) {
            // Short rows are many, and a division of 64 bits takes as long as adding one up.
            const i64 of = pieces == 1 ? row : row / pieces, begin = (row - of * pieces) * PIECE;
            const i64 left = columns - begin, n = left < PIECE ? left : PIECE;
            const real* piece = x + of * columns + begin;
            each_of_rows<4>({piece}, n, lane * size, group * size, whole, real(0), [&](const Pack<real>* pack, i64) {
#pragma unroll
                for (int k = 0; k < size; k++) sums.v[k] += pack->v[k];
            });
        }
        real sum = sums.v[0];
#pragma unroll
        for (int k = 1; k < size; k++) sum += sums.v[k];
        sum = reduce(sum, group, Sum());
        if (row >= 0 && lane == 0) y[row] = sum;
    });
}

#define STAMP(real, type, result, result_type)                                               \
    KERNEL(sum_##type##_to_##result_type)                                                    \
    (i64 rows, i64 columns, i64 group, const real* __restrict__ x, result* __restrict__ y) { \
        sum_pieces(rows, columns, int(group), x, y);                                         \
    }
STAMP(float, float32, float, float32)
STAMP(float, float32, double, float64)
STAMP(double, float64, float, float32)
STAMP(double, float64, double, float64)

// The sum of each column of some matrices. A block has 32 columns of up to DEEP rows, its warps every eighth of these;
// _cuda.py has the pieces' sums added as rows again. So the order follows from the number of rows.
constexpr i64 DEEP = 256;  // as in _cuda.py

template <typename real>
__device__ void sum_columns(
    i64 tiles, i64 rows, i64 columns, i64 pieces, const real* __restrict__ x, real* __restrict__ y) {
    __shared__ real of_warp[WARPS][WARP];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const i64 across = (columns + WARP - 1) / WARP;
    for (i64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const i64 piece = tile / across, column = (tile - piece * across) * WARP + lane;
        const i64 matrix = piece / pieces, begin = (piece - matrix * pieces) * DEEP;
        const i64 end = begin + DEEP < rows ? begin + DEEP : rows;
        real sum = 0;
        if (column < columns) {
#pragma unroll 8
            for (i64 row = begin + warp; row < end; row += WARPS) sum += x[(matrix * rows + row) * columns + column];
        }
        of_warp[warp][lane] = sum;
        __syncthreads();
        if (warp == 0 && column < columns) {
#pragma unroll
            for (int w = 1; w < WARPS; w++) sum += of_warp[w][lane];
            y[piece * columns + column] = sum;
        }
        __syncthreads();  // before someone overwrites of_warp
    }
}

#undef STAMP
#define STAMP(real, type)                                                                     \
    KERNEL(sum_columns_##type)                                                                \
    (i64 tiles, i64 rows, i64 columns, i64 pieces, const real* __restrict__ x,                \
     real* __restrict__ y) {                                                                  \
        sum_columns(tiles, rows, columns, pieces, x, y);                                      \
    }
FOR_FLOAT_TYPES(STAMP)
