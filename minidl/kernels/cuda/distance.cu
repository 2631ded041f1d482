// What errors cost, as the mean of each row.
#include "math.cuh"

template <typename real> __device__ real huber(real e, real delta) {
    const real size = magnitude(e);
    return size > delta ? delta * (size - delta / 2) : e * e / 2;
}

template <typename real>
__device__ void forward(i64 rows, i64 columns, int group, const real* __restrict__ e, real delta, real* __restrict__ y) {
    constexpr int size = Pack<real>::size;
    const bool whole = aligned(e) && columns % size == 0;
    each_row(rows, group, [&](i64 at, int lane) {
        const i64 n = at < 0 ? 0 : columns;
        real sum = 0;
        each_of_rows<4>(
            {e + at * columns}, n, lane * size, group * size, whole, real(0), [&](const Pack<real>* pack, i64) {
#pragma unroll
                for (int k = 0; k < size; k++) sum += huber(pack->v[k], delta);
            });
        sum = reduce(sum, group, Sum());
        if (at >= 0 && lane == 0) y[at] = sum / columns;
    });
}

template <typename real>
__device__ void backward(
    i64 rows, i64 columns, int group, const real* __restrict__ e, const real* __restrict__ dy, real delta,
    real* __restrict__ de) {
    constexpr int size = Pack<real>::size;
    const bool whole = aligned(e, de) && columns % size == 0;
    each_row(rows, group, [&](i64 at, int lane) {
        if (at < 0) return;
        const real share = dy[at] / columns;
        each_of_rows<4>(
            {e + at * columns}, columns, lane * size, group * size, whole, real(0), [&](const Pack<real>* pack, i64 i) {
                Pack<real> slope = *pack;
#pragma unroll
                for (int k = 0; k < size; k++)
                    slope.v[k] = share * (slope.v[k] > delta ? delta : slope.v[k] < -delta ? -delta : slope.v[k]);
                store(de + at * columns, i, columns, whole, slope);
            });
    });
}

#define STAMP(real, type)                                                                                              \
    KERNEL(huber_forward_##type)(                                                                                      \
        i64 rows, i64 columns, i64 group, bool, const real* __restrict__ e, double delta, real* __restrict__ y) {      \
        forward(rows, columns, int(group), e, real(delta), y);                                                         \
    }                                                                                                                  \
    KERNEL(huber_backward_##type)(                                                                                     \
        i64 rows, i64 columns, i64 group, bool, const real* __restrict__ e, const real* __restrict__ dy, double delta, \
        real* __restrict__ de) {                                                                                       \
        backward(rows, columns, int(group), e, dy, real(delta), de);                                                   \
    }
FOR_FLOAT_TYPES(STAMP)
