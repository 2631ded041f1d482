// Activations: y = f(x) and dx = dy f′(x) for each number of an array, 16 bytes at a time; see elementary.cu.
#include "math.cuh"

// Of its bits, since a denormal number counts as 0 in a comparison.
template <typename real> __device__ bool positive(real x) { return bits(x) > 0 && x == x; }

// x held in [−far, far], where slopes are already those of the infinities, at which 0 times infinity would be NaN.
template <typename real> __device__ real within(real far, real x) { return x < -far ? -far : x > far ? far : x; }

struct Relu {
    template <typename real> __device__ static real value(real x, real, real) { return bits(x) < 0 && x == x ? 0 : x; }
    template <typename real> __device__ static real gradient(real dy, real x, real, real) {
        return positive(x) ? dy : 0;
    }
};

struct LeakyRelu {
    template <typename real> __device__ static real value(real x, real alpha, real) {
        return positive(x) ? x : alpha * x;
    }
    template <typename real> __device__ static real gradient(real dy, real x, real alpha, real) {
        return positive(x) ? dy : alpha * dy;
    }
};

struct Elu {
    template <typename real> __device__ static real value(real x, real alpha, real scale) {
        return scale * (positive(x) ? x : alpha * expm1_below_0(x));
    }
    // For NaN 0: one that a mask leaves out shall not spoil the gradient of what it was made from.
    template <typename real> __device__ static real gradient(real dy, real x, real alpha, real scale) {
        return scale * (positive(x) ? dy : alpha * (x == x ? exponential(x) : 0) * dy);
    }
};

struct Softplus {
    template <typename real> __device__ static real value(real x, real, real) {
        return (x < 0 ? 0 : x) + log_1_plus(exponential(-magnitude(x)));
    }
    template <typename real> __device__ static real gradient(real dy, real x, real, real) { return dy * logistic(x); }
};

struct Silu {
    template <typename real> __device__ static real value(real x, real, real) { return x * logistic(x); }
    // σ(x) + x σ(x) σ(−x)
    template <typename real> __device__ static real gradient(real dy, real x, real, real) {
        const real near = within(-Number<real>::exp_zero, x), e = exponential(-magnitude(near));
        const real large = reciprocal(1 + e), small = e * large;
        return dy * fma(near * small, large, x < 0 ? small : large);
    }
};

// Φ(x), the share of the normal distribution below x, for a bell of e^(−x²/2).
template <typename real> __device__ real normal_share(real x, real bell) {
    const real by_root_2 = x * real(0.7071067811865476);
    if (!(magnitude(by_root_2) > 1)) return fma(erf_near(by_root_2), real(0.5), real(0.5));
    const real above = tail(magnitude(x));
    return x < 0 ? above * bell : fma(-above, bell, real(1));
}

struct Gelu {
    template <typename real> __device__ static real value(real x, real, real) {
        const real near = within(Number<real>::normal_far, x);
        return x * normal_share(near, exponential_beside_1(near * near * real(-0.5)));
    }
    // Φ(x) + x φ(x)
    template <typename real> __device__ static real gradient(real dy, real x, real, real) {
        const real near = within(Number<real>::normal_far, x), bell = exponential_beside_1(near * near * real(-0.5));
        return dy * fma(near * real(0.3989422804014327), bell, normal_share(near, bell));
    }
};

template <typename Activation, typename real>
__device__ void forward(i64 n, const real* __restrict__ x, real* __restrict__ y, real alpha, real scale) {
    const bool whole = aligned(x, y);
    each_pack<real>(n, [&](i64 i) {
        Pack<real> pack = load(x, i, n, whole);
#pragma unroll
        for (int k = 0; k < pack.size; k++) pack.v[k] = Activation::value(pack.v[k], alpha, scale);
        store(y, i, n, whole, pack);
    });
}

template <typename Activation, typename real>
__device__ void backward(
    i64 n, const real* __restrict__ dy, const real* __restrict__ x, real* __restrict__ dx, real alpha, real scale) {
    const bool whole = aligned(dy, x, dx);
    each_pack<real>(n, [&](i64 i) {
        const Pack<real> at = load(x, i, n, whole);
        Pack<real> pack = load(dy, i, n, whole);
#pragma unroll
        for (int k = 0; k < pack.size; k++) pack.v[k] = Activation::gradient(pack.v[k], at.v[k], alpha, scale);
        store(dx, i, n, whole, pack);
    });
}

#define STAMP(name, Activation, real, type)                                                                    \
    KERNEL(name##_forward_##type)(                                                                             \
        i64 n, const real* __restrict__ x, real* __restrict__ y, double alpha, double scale) {                 \
        forward<Activation>(n, x, y, real(alpha), real(scale));                                                \
    }                                                                                                          \
    KERNEL(name##_backward_##type)(                                                                            \
        i64 n, const real* __restrict__ dy, const real* __restrict__ x, real* __restrict__ dx, double alpha,   \
        double scale) {                                                                                        \
        backward<Activation>(n, dy, x, dx, real(alpha), real(scale));                                          \
    }
#define STAMP_EACH(real, type)                \
    STAMP(relu, Relu, real, type)             \
    STAMP(leaky_relu, LeakyRelu, real, type)  \
    STAMP(elu, Elu, real, type)               \
    STAMP(softplus, Softplus, real, type)     \
    STAMP(silu, Silu, real, type)             \
    STAMP(gelu, Gelu, real, type)
FOR_FLOAT_TYPES(STAMP_EACH)
