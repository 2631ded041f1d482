// exp, tanh, sigmoid, erf, and the gradients of two of them: a thread reads and writes 16 bytes at a time. About 20 instructions a number: the memory
// is what they wait for in float32 everywhere, in float64 on GPUs that have whole units for it.
#include "math.cuh"

struct Exp {
    template <typename T> __device__ T operator()(T x) const { return exponential(x); }
};
struct Tanh {
    template <typename T> __device__ T operator()(T x) const { return hyperbolic_tangent(x); }
};
struct Sigmoid {
    template <typename T> __device__ T operator()(T x) const { return logistic(x); }
};

struct Erf {
    template <typename T> __device__ T operator()(T x) const { return error_function(x); }
};

template <typename Function, typename real>
__device__ void map(i64 n, const real* __restrict__ x, real* __restrict__ y) {
    const bool whole = aligned(x, y);
    each_pack<real>(n, [&](i64 i) {
        Pack<real> pack = load(x, i, n, whole);
#pragma unroll
        for (int k = 0; k < pack.size; k++) pack.v[k] = Function()(pack.v[k]);
        store(y, i, n, whole, pack);
    });
}

struct TanhSlope {
    template <typename T> __device__ T operator()(T y) const { return 1 - y * y; }
};
struct SigmoidSlope {
    template <typename T> __device__ T operator()(T y) const { return y * (1 - y); }
};

// dx = dy times a slope in terms of y.
template <typename Slope, typename real>
__device__ void slope(i64 n, const real* __restrict__ dy, const real* __restrict__ y, real* __restrict__ dx) {
    const bool whole = aligned(dy, y, dx);
    each_pack<real>(n, [&](i64 i) {
        const Pack<real> at = load(y, i, n, whole);
        Pack<real> pack = load(dy, i, n, whole);
#pragma unroll
        for (int k = 0; k < pack.size; k++) pack.v[k] *= Slope()(at.v[k]);
        store(dx, i, n, whole, pack);
    });
}

#define STAMP(real, type)                                                             \
    KERNEL(exp_##type)(i64 n, const real* __restrict__ x, real* __restrict__ y) {     \
        map<Exp>(n, x, y);                                                            \
    }                                                                                 \
    KERNEL(tanh_##type)(i64 n, const real* __restrict__ x, real* __restrict__ y) {    \
        map<Tanh>(n, x, y);                                                           \
    }                                                                                 \
    KERNEL(sigmoid_##type)(i64 n, const real* __restrict__ x, real* __restrict__ y) { \
        map<Sigmoid>(n, x, y);                                                        \
    }                                                                                 \
    KERNEL(tanh_backward_##type)(                                                     \
        i64 n, const real* __restrict__ dy, const real* __restrict__ y, real* __restrict__ dx) { \
        slope<TanhSlope>(n, dy, y, dx);                                               \
    }                                                                                 \
    KERNEL(sigmoid_backward_##type)(                                                  \
        i64 n, const real* __restrict__ dy, const real* __restrict__ y, real* __restrict__ dx) { \
        slope<SigmoidSlope>(n, dy, y, dx);                                            \
    }                                                                                 \
    KERNEL(erf_##type)(i64 n, const real* __restrict__ x, real* __restrict__ y) {     \
        map<Erf>(n, x, y);                                                            \
    }
FOR_FLOAT_TYPES(STAMP)
