// Rows that a kernel goes over more than once: first for a sum, then for the result.
#pragma once

#include "math.cuh"

// A thread's share of a row: its packs lane, lane + group, … Where all rows of a block fit into shared memory (`kept`;
// cuda.py knows) they are read once and stay there, each pack for the one thread that uses it, so nobody has to wait.
// Registers would do too, but short rows would take as many of them as long ones and leave no room for other threads. A
// longer row, of more than 12032 float32, is read again each time, from the L2 if all goes well.
template <typename real> struct Row {
    static constexpr int size = Pack<real>::size;
    const real* x;
    i64 n;
    int begin, step;
    bool whole;
    real beyond;  // what stands in the last pack past the row's end
    Pack<real>* room;

    __device__ Row(const real* array, i64 row, i64 columns, int group, int lane, bool whole, bool kept, real beyond)
        : x(array + row * columns),
          n(row < 0 ? 0 : columns),
          begin(lane * size),
          step(group * size),
          whole(whole),
          beyond(beyond),
          room(nullptr) {
        if (!kept) return;
        extern __shared__ double2 shared[];  // 16 bytes each
        room = reinterpret_cast<Pack<real>*>(shared) + threadIdx.x / group * ((columns + size - 1) / size);
#pragma unroll 4
        for (i64 i = begin; i < n; i += step) room[i / size] = load(x, i, n, whole, beyond);
    }

    // body(pack, i) for each pack; its first number is x[i].
    template <typename Body> __device__ void each(Body body) const {
        for (i64 i = begin; i < n; i += step) body(room ? room[i / size] : load(x, i, n, whole, beyond), i);
    }
};

// The largest of a row of logits, that its exponentials are taken relative to.
template <typename real> __device__ real row_max(const Row<real>& row, int group) {
    real top = minus_infinity<real>();
    row.each([&](const Pack<real>& x, i64) {
#pragma unroll
        for (int k = 0; k < row.size; k++) top = Max()(top, x.v[k]);
    });
    return reduce(top, group, Max());
}

// Σ e^(x − top)
template <typename real> __device__ real exponential_sum(const Row<real>& row, real top, int group) {
    real sum = 0;
    row.each([&](const Pack<real>& x, i64) {
#pragma unroll
        for (int k = 0; k < row.size; k++) sum += exponential(x.v[k] - top);
    });
    return reduce(sum, group, Sum());
}
