// The optimizers' steps: one pass over the weights and their moments, which are read and written once.
//
// Written with one rounding for each operation of the equations in reference.py, so the results are its bits.
//
// A graph that is played again finds the first of the numbers, which changes from step to step, at `place`.
#include "common.cuh"

// The weights at w, the gradient at g and up to two moments: step(w, g, m, v) for each number.
template <int moments, typename real, typename Step>
__device__ void each(
    i64 n, real* __restrict__ w, const real* __restrict__ g, real* __restrict__ m, real* __restrict__ v, Step step) {
    const bool whole = aligned(w, g) && (moments < 1 || aligned(m)) && (moments < 2 || aligned(v));
    each_pack<real>(n, [&](i64 i) {
        Pack<real> pw = load(w, i, n, whole), pg = load(g, i, n, whole), pm = {}, pv = {};
        if (moments > 0) pm = load(m, i, n, whole);
        if (moments > 1) pv = load(v, i, n, whole);
#pragma unroll
        for (int k = 0; k < pw.size; k++) step(pw.v[k], pg.v[k], pm.v[k], pv.v[k]);
        store(w, i, n, whole, pw);
        if (moments > 0) store(m, i, n, whole, pm);
        if (moments > 1) store(v, i, n, whole, pv);
    });
}

// The number in the arithmetic's type.
template <typename real> __device__ real now(double rate, const double* place) { return real(place ? *place : rate); }

#define STAMP(real, type)                                                                                          \
    KERNEL(sgd_step_##type)(                                                                                       \
        i64 n, real* __restrict__ w, const real* __restrict__ g, double rate, const double* place) {               \
        const real lr = now<real>(rate, place);                                                                    \
        each<0>(n, w, g, w, w, [=](real& w, real g, real&, real&) { w -= lr * g; });                               \
    }                                                                                                              \
    KERNEL(momentum_step_##type)(                                                                                  \
        i64 n, real* __restrict__ w, const real* __restrict__ g, real* __restrict__ v, double rate,                \
        const double* place, double decay, bool nesterov) {                                                        \
        const real lr = now<real>(rate, place), momentum = real(decay);                                            \
        each<1>(n, w, g, v, v, [=](real& w, real g, real& v, real&) {                                              \
            v = v * momentum - lr * g;                                                                             \
            w += nesterov ? momentum * v - lr * g : v;                                                             \
        });                                                                                                        \
    }                                                                                                              \
    KERNEL(adam_step_##type)(                                                                                      \
        i64 n, real* __restrict__ w, const real* __restrict__ g, real* __restrict__ m, real* __restrict__ v,       \
        double corrected, const double* place, double one_minus_beta_1, double one_minus_beta_2, double small) {   \
        const real rate = now<real>(corrected, place), a = real(one_minus_beta_1), b = real(one_minus_beta_2),     \
                   epsilon = real(small);                                                                          \
        each<2>(n, w, g, m, v, [=](real& w, real g, real& m, real& v) {                                            \
            m += a * (g - m);                                                                                      \
            v += b * (g * g - v);                                                                                  \
            w -= rate * m / (sqrt(v) + epsilon);                                                                   \
        });                                                                                                        \
    }                                                                                                              \
    KERNEL(rmsprop_step_##type)(                                                                                   \
        i64 n, real* __restrict__ w, const real* __restrict__ g, real* __restrict__ v, double rate,                \
        const double* place, double decay, double one_minus_decay, double small) {                                 \
        const real lr = now<real>(rate, place), rho = real(decay), a = real(one_minus_decay),                      \
                   epsilon = real(small);                                                                          \
        each<1>(n, w, g, v, v, [=](real& w, real g, real& v, real&) {                                              \
            v = v * rho + a * (g * g);                                                                             \
            w -= lr * g / sqrt(v + epsilon);                                                                       \
        });                                                                                                        \
    }                                                                                                              \
    KERNEL(adagrad_step_##type)(                                                                                   \
        i64 n, real* __restrict__ w, const real* __restrict__ g, real* __restrict__ a, double rate,                \
        const double* place, double small) {                                                                       \
        const real lr = now<real>(rate, place), epsilon = real(small);                                             \
        each<1>(n, w, g, a, a, [=](real& w, real g, real& a, real&) {                                              \
            a += g * g;                                                                                            \
            w -= lr * g / sqrt(a + epsilon);                                                                       \
        });                                                                                                        \
    }
FOR_FLOAT_TYPES(STAMP)
