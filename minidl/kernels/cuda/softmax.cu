// softmax and its logarithm along rows.
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
        const real *const p = y + at * columns, *const d = dy + at * columns;
        real sum = 0;
        row.each_to_keep({p, d}, 0, [&](const Pack<real>* packs, i64) {
#pragma unroll
            for (int k = 0; k < row.size; k++) sum += packs[0].v[k] * packs[1].v[k];
        });
        sum = reduce(sum, group, Sum());
        row.each_again(p, d, [&](Pack<real> slope, const Pack<real>& of_y, i64 i) {
#pragma unroll
            for (int k = 0; k < row.size; k++) slope.v[k] *= of_y.v[k] - sum;
            store(dx + at * columns, i, columns, whole, slope);
        });
    });
}

template <typename real>
__device__ void log_forward(
    i64 rows, i64 columns, int group, bool kept, const real* __restrict__ x, real* __restrict__ y) {
    const bool whole = aligned(x, y) && columns % Pack<real>::size == 0;
    each_row(rows, group, [&](i64 at, int lane) {
        const Row<real> row(at >= 0, columns, group, lane, whole, kept);
        const Exponentials<real> of(row, x + at * columns, group);
        const real log_sum = log(of.sum);
        row.each({of.x}, 0, [&](const Pack<real>* pack, i64 i) {  // from the cache: what is kept are the exponentials
            Pack<real> log_p;
#pragma unroll
            for (int k = 0; k < row.size; k++) log_p.v[k] = pack->v[k] - of.top - log_sum;
            store(y + at * columns, i, columns, whole, log_p);
        });
    });
}

template <typename real>
__device__ void log_backward(
    i64 rows, i64 columns, int group, bool kept, const real* __restrict__ dy, const real* __restrict__ y,
    real* __restrict__ dx) {
    const bool whole = aligned(dy, y, dx) && columns % Pack<real>::size == 0;
    each_row(rows, group, [&](i64 at, int lane) {
        const Row<real> row(at >= 0, columns, group, lane, whole, kept);
        const real *const log_p = y + at * columns, *const d = dy + at * columns;
        real sum = 0;
        row.each_to_keep({d}, 0, [&](const Pack<real>* pack, i64) {
#pragma unroll
            for (int k = 0; k < row.size; k++) sum += pack->v[k];
        });
        sum = reduce(sum, group, Sum());
        row.each_again(d, log_p, [&](Pack<real> slope, const Pack<real>& of_y, i64 i) {
#pragma unroll
            for (int k = 0; k < row.size; k++) slope.v[k] -= exponential(of_y.v[k]) * sum;
            store(dx + at * columns, i, columns, whole, slope);
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
    }                                                                                                         \
    KERNEL(log_softmax_forward_##type)(                                                                       \
        i64 rows, i64 columns, i64 group, bool kept, const real* __restrict__ x, real* __restrict__ y) {      \
        log_forward(rows, columns, int(group), kept, x, y);                                                   \
    }                                                                                                         \
    KERNEL(log_softmax_backward_##type)(                                                                      \
        i64 rows, i64 columns, i64 group, bool kept, const real* __restrict__ dy, const real* __restrict__ y, \
        real* __restrict__ dx) {                                                                              \
        log_backward(rows, columns, int(group), kept, dy, y, dx);                                             \
    }
FOR_FLOAT_TYPES(STAMP)
