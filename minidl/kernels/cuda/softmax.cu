// softmax along rows.
#include "softmax.cuh"

template <typename real>
__device__ void forward(
    i64 rows, i64 columns, int group, bool kept, const real* __restrict__ x, real* __restrict__ y) {
    const bool whole = aligned(x, y) && columns % Pack<real>::size == 0;
    each_row(rows, group, [&](i64 at, int lane) {
        const Row<real> row(at >= 0, columns, group, lane, whole, kept);
        Exponentials<real>(row, x + at * columns, group).store_shares(y + at * columns);
    });
}

template <typename real>
__device__ void backward(
    i64 rows, i64 columns, int group, bool kept, const real* __restrict__ dy, const real* __restrict__ y,
    real* __restrict__ dx) {
    const bool whole = aligned(dy, y, dx) && columns % Pack<real>::size == 0;
    each_row(rows, group, [&](i64 at, int lane) {
        const Row<real> row(at >= 0, columns, group, lane, whole, kept);
        const real* const of_row[] = {y + at * columns, dy + at * columns};
        real sum = 0;
        row.each(of_row, 0, [&](const Pack<real>* pack, i64) {
#pragma unroll
            for (int k = 0; k < row.size; k++) sum += pack[0].v[k] * pack[1].v[k];
        });
        sum = reduce(sum, group, Sum());
        row.each(of_row, 0, [&](const Pack<real>* pack, i64 i) {  // from the cache
            Pack<real> d;
#pragma unroll
            for (int k = 0; k < row.size; k++) d.v[k] = pack[0].v[k] * (pack[1].v[k] - sum);
            store(dx + at * columns, i, columns, whole, d);
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
