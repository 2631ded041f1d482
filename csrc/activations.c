/* Activations: y = f(x) and dx = dy f'(x) for each number of an array. Denormal numbers are kept, as in any product.

   Largest errors of y in ulp, in both precisions: elu 1.3, softplus 2.7, silu 2.1 unless sigma(x) is denormal; gelu 1.9
   for x > 0 and 9 + x^2 / 2 below, where e^(-x^2/2) has the rounding error of its exponent.
   tests/test_elementary_accuracy.py holds these. */

#include "simd.h"

#include "kernels.h"
#include "parallel.h"

#define GRAIN 8192

typedef struct {
    real alpha, scale;
    const real *x;
    real *y; /* or dx */
    const real *dy;
    ptrdiff_t dy_step; /* 1, or 0 where dy is one number for all x */
    int past; /* y is written past the caches */
} Activation;

/* In terms of x, dy and the numbers alpha and scale of `of`. */
#define ACTIVATION(name, value, gradient)                                                                 \
    static void name##_forward(void *context, ptrdiff_t begin, ptrdiff_t end)                             \
    {                                                                                                     \
        const Activation of = *(const Activation *)context;                                               \
        FOR_VECTORS(begin, end, {                                                                         \
            const vec x = vload_n(of.x + i, n);                                                           \
            vstore_past(of.y + i, value, n, of.past);                                                     \
        });                                                                                               \
        past_end(of.past);                                                                                \
    }                                                                                                     \
    static void name##_backward(void *context, ptrdiff_t begin, ptrdiff_t end)                            \
    {                                                                                                     \
        const Activation of = *(const Activation *)context;                                               \
        FETCHING(FOR_VECTORS(begin, end, {                                                                \
            const vec x = vload_ahead(ahead, of.x + i, n);                                                \
            const vec dy = of.dy_step ? vload_ahead(ahead, of.dy + i, n) : vset(*of.dy);                  \
            vstore_past(of.y + i, gradient, n, of.past);                                                  \
        }););                                                                                             \
        past_end(of.past);                                                                                \
    }

#define WHERE_POSITIVE(a, b) vselect(vless(vset(0), x), a, b)

/* e^x for x <= 0, and 0 for NaN: one that a mask leaves out shall not spoil the gradient of what it was made from. */
INLINE vec exp_below_0(vec x) { return vexp(vmin(vset(0), vmax(x, vset(EXP_ZERO)))); }

/* x held in [-far, far], where slopes are already those of the infinities, at which 0 times infinity would be NaN */
INLINE vec within(real far, vec x) { return vmin(vset(far), vmax(vset(-far), x)); }

/* sigma(x) + x sigma(x) sigma(-x) */
INLINE vec silu_slope(vec x)
{
    const vec near = within(-EXP_ZERO, x), e = vexp(-vabs(near)), large = 1 / (1 + e), small = e * large;
    return vfma(near * small, large, vselect(vless(x, vset(0)), small, large));
}

#define NORMAL_FAR IF32(13.27f, 37.66) /* the bell is 0 there */

/* e^(-x^2/2) for |x| <= NORMAL_FAR, and 0 where it would be denormal: 2^n has no bits then */
INLINE vec normal_bell(vec x)
{
    ivec n;
    const vec q = vexp_reduced(x * x * (real)-0.5, &n), power = vpower_of_2(n, 0);
    return vfma(q, power, power);
}

/* Phi(x), the share of the normal distribution below x, for a bell of e^(-x^2/2). It keeps the digits of a small one,
   which (1 + erf(x / sqrt(2))) / 2 loses. */
INLINE vec normal_share(vec x, vec bell)
{
    const vec by_root_2 = x * (real)0.7071067811865476, tail = vtail(vabs(x));
    const vec far = vselect(vless(x, vset(0)), tail * bell, vfma(-tail, bell, vset(1)));
    const vec near = vfma(verf_near(by_root_2), vset((real)0.5), vset((real)0.5));
    return vselect(vless(vset(1), vabs(by_root_2)), far, near);
}

#if defined(__AVX512F__) && MINIDL_REAL == 32
/* 2^(BELL_EXPONENT t^2) as 2^n 2^r, which takes less than e^r does, and rounds r once. c is (2^r - 1) / r for
   |r| <= 1/2, right to 1e-8 of 2^r. */
INLINE vec bell_by_2(vec t)
{
    static const real c[] = {0.6931472f, 0.2402265f, 0.05550357f, 0.009618083f, 0.0013390863f, 0.00015453163f};
    const vec squared = t * t, to_exponent = vset(BELL_EXPONENT);
    const vec rounded = vfma(squared, to_exponent, vset(ROUNDER)), power = vfrom_bits(vbits(rounded) << MANTISSA);
    const vec r = vfma(squared, to_exponent, ROUNDER - rounded), square = r * r;
    const vec odd = vfma(square, vfma(square, vset(c[5]), vset(c[3])), vset(c[1]));
    const vec even = vfma(square, vset(c[4]), vset(c[2]));
    return vfma(vfma(r, vset(c[0]), square * vfma(r, even, odd)), power, power);
}

/* max(x, 0) - |x| Phi(-|x|) */
INLINE vec gelu(vec x)
{
    const vec t = vmin(vset(NORMAL_FAR), vabs(x));
    return vfma(-bell_by_2(t), vgelu_tail(t), vselect(vless(x, vset(0)), x * 0, x));
}
#else
INLINE vec gelu(vec x)
{
    const vec near = within(NORMAL_FAR, x);
    return x * normal_share(near, normal_bell(near));
}
#endif

/* Phi(x) + x phi(x) */
INLINE vec gelu_slope(vec x)
{
    const vec near = within(NORMAL_FAR, x), bell = normal_bell(near);
    return vfma(near * (real)0.3989422804014327, bell, normal_share(near, bell));
}

ACTIVATION(relu, vmax(vset(0), x), WHERE_POSITIVE(dy, vset(0)))
ACTIVATION(leaky_relu, WHERE_POSITIVE(x, of.alpha * x), WHERE_POSITIVE(dy, of.alpha * dy))
ACTIVATION(elu, of.scale * WHERE_POSITIVE(x, of.alpha * vexpm1_below_0(x)),
           of.scale * WHERE_POSITIVE(dy, of.alpha * exp_below_0(x) * dy))
ACTIVATION(softplus, vmax(vset(0), x) + vlog1p(vexp(-vabs(x))), dy * vsigmoid(x))
ACTIVATION(silu, x * vsigmoid(x), dy * silu_slope(x))
ACTIVATION(gelu, gelu(x), dy * gelu_slope(x))

static const struct {
    range_fn forward, backward;
} activations[] = {
    [RELU] = {relu_forward, relu_backward},
    [LEAKY_RELU] = {leaky_relu_forward, leaky_relu_backward},
    [ELU] = {elu_forward, elu_backward},
    [SOFTPLUS] = {softplus_forward, softplus_backward},
    [SILU] = {silu_forward, silu_backward},
    [GELU] = {gelu_forward, gelu_backward},
};

int NAME(activation_forward)(ptrdiff_t n, int which, double alpha, double scale, const real *x, real *y)
{
    parallel_for(n, GRAIN, NUMBERS, activations[which].forward,
                 &(Activation){(real)alpha, (real)scale, x, y, NULL, 0, is_past(y, 2 * n)});
    return 0;
}

int NAME(activation_backward)(ptrdiff_t n, int which, double alpha, double scale, const real *dy, ptrdiff_t dy_step,
                              const real *x, real *dx)
{
    parallel_for(n, GRAIN, NUMBERS, activations[which].backward,
                 &(Activation){(real)alpha, (real)scale, x, dx, dy, dy_step, is_past(dx, (2 + dy_step) * n)});
    return 0;
}
