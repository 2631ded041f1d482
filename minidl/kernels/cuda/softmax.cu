// softmax along rows. The exponentials are computed twice, for the sum and for the result, since the memory has more to
// do than the arithmetic.
#include "softmax.cuh"

template <typename real>
__device__ void forward(
    i64 rows, i64 columns, int group, bool kept, const real* __restrict__ x, real* __restrict__ y) {
    const bool whole = aligned(x, y) && columns % Pack<real>::size == 0;
    each_row(rows, group, [&](i64 at, int lane) {
        const Row<real> row(x, at, columns, group, lane, whole, kept, minus_infinity<real>());
        const real top = row_max(row, group), sum = exponential_sum(row, top, group);
        row.each([&](Pack<real> e, i64 i) {
#pragma unroll
            for (int k = 0; k < row.size; k++) e.v[k] = exponential(e.v[k] - top) / sum;
            store(y + at * columns, i, columns, whole, e);
        });
    });
}

template <typename real>
__device__ void backward(
    i64 rows, i64 columns, int group, bool kept, const real* __restrict__ dy, const real* __restrict__ y,
    real* __restrict__ dx) {
    const bool whole = aligned(dy, y, dx) && columns % Pack<real>::size == 0;
    each_row(rows, group, [&](i64 at, int lane) {
        const Row<real> row(y, at, columns, group, lane, whole, kept, 0);
        real sum = 0;
        row.each([&](const Pack<real>& p, i64 i) {
            const Pack<real> d = load(dy + at * columns, i, columns, whole);
#pragma unroll
            for (int k = 0; k < row.size; k++) sum += d.v[k] * p.v[k];
        });
        sum = reduce(sum, group, Sum());
        row.each([&](Pack<real> p, i64 i) {
            const Pack<real> d = load(dy + at * columns, i, columns, whole);  // from the cache
#pragma unroll
            for (int k = 0; k < row.size; k++) p.v[k] *= d.v[k] - sum;
            store(dx + at * columns, i, columns, whole, p);
        });
    });
}

#define STAMP(real, type)                                                                                     \
    KERNEL(softmax_forward_##type)(                                                                           \
        i64 rows, i64 columns, i64 group, bool kept, const real* __restrict__ x, real* __restrict__ y) {      \
        forward(rows, columns, int(group), kept, x, y);                                                       \
    }                                                                                                         \
    KERNEL(softmax_backward_##type)(                                                                          \
        i64 rows, i64 columns, i64 group, bool kept, const real* __restrict__ dy, const real* __restrict__ y, \
        real* __restrict__ dx) {                                                                              \
        backward(rows, columns, int(group), kept, dy, y, dx);                                                 \
    }
FOR_FLOAT_TYPES(STAMP)
