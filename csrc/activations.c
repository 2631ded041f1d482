/* Activations: y = f(x) and dx = dy f'(x) for each number of an array. Denormal numbers are kept, as in any product.

   Largest errors of y in ulp, in both precisions: elu 1.3, softplus 2.7, silu 2.1 unless sigma(x) is denormal; gelu 1.7
   for x > 0 (float32 with AVX-512: 2.5) and 9 + x^2 / 2 below, where e^(-x^2/2) has the rounding error of its exponent.
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
} Activation;

/* In terms of x, dy and the numbers alpha and scale of `of`. */
#define ACTIVATION(name, value, gradient)                                                                 \
    static void name##_forward(void *context, ptrdiff_t begin, ptrdiff_t end)                             \
    {                                                                                                     \
        const Activation of = *(const Activation *)context;                                               \
        FOR_VECTORS(begin, end, {                                                                         \
            const vec x = vload_n(of.x + i, n);                                                           \
            vstore_n(of.y + i, value, n);                                                                 \
        });                                                                                               \
    }                                                                                                     \
    static void name##_backward(void *context, ptrdiff_t begin, ptrdiff_t end)                            \
    {                                                                                                     \
        const Activation of = *(const Activation *)context;                                               \
        FOR_VECTORS(begin, end, {                                                                         \
            FETCH_AHEAD(of.x + i);                                                                        \
            FETCH_AHEAD(of.dy + of.dy_step * i);                                                          \
            const vec x = vload_n(of.x + i, n), dy = of.dy_step ? vload_n(of.dy + i, n) : vset(*of.dy);   \
            vstore_n(of.y + i, gradient, n);                                                              \
        });                                                                                               \
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
#if defined(__AVX512F__) && MINIDL_REAL == 32
/* What Phi(-t), the normal distribution's tail, is to e^(-t^2/2), for t >= 0 up to where it is 0: a polynomial in t less
   the middle of one of 16 pieces, each a quarter of an octave of 1 + t, those from 2 on first; minimax fits of the
   relative error by Lawson's algorithm, right to 2.3e-9 up to t = 1, 2.5e-8 up to 3, and 1.1e-7 everywhere. */
INLINE vec normal_tail(vec t)
{
    static const real middle[LANES] =
        {1.250236f, 1.7500972f, 2.2503757f, 2.7500734f, 3.5004256f, 4.5008183f, 5.500531f, 6.500472f, 8.000624f,
        10.001602f, 12.00057f, 13.151044f, 0, 0.37504622f, 0.62500024f, 0.87501925f};
    static const real c[][LANES] = {
        {0.23073424f, 0.1852244f, 0.15363194f, 0.13072184f, 0.10633378f, 0.08478922f, 0.07033629f, 0.060011502f,
         0.049118828f, 0.039500486f, 0.033017423f, 0.030162966f, 0.5f, 0.37959257f, 0.32335612f, 0.2797676f},
        {-0.11047001f, -0.07478159f, -0.053212687f, -0.039447628f, -0.026728805f, -0.017321426f, -0.012055324f,
         -0.008839185f, -0.0059610205f, -0.0038741329f, -0.0027143746f, -0.0022677921f, -0.39894208f, -0.25657752f,
         -0.19684462f, -0.15414025f},
        {0.04630931f, 0.027174305f, 0.01694154f, 0.011118912f, 0.006385412f, 0.003414208f, 0.0020127671f,
         0.0012762996f, 7.134162e-4f, 3.7646247e-4f, 2.2168591e-4f, 1.6956532e-4f, 0.24998881f, 0.14168164f,
         0.100163884f, 0.07244588f},
        {-0.017523628f, -0.009074256f, -0.005029129f, -0.0029565517f, -0.0014585567f, -6.514e-4f, -3.2794813e-4f,
         -1.8085213e-4f, -8.4258994e-5f, -3.6255562e-5f, -1.7989507e-5f, -1.2627283e-5f, -0.13277301f,
         -0.06781333f, -0.04474806f, -0.030248413f},
        {0.0061530927f, 0.0028431762f, 0.0014142941f, 7.506894e-4f, 3.2487794e-4f, 1.2193852e-4f, 5.2656604e-5f,
         2.5332787e-5f, 1.000685e-5f, 3.5044732e-6f, 1.4635872e-6f, 9.389186e-7f, 0.06079445f, 0.029151672f,
         0.018096978f, 0.011519167f},
        {-0.0019919781f, -8.322031e-4f, -3.7502413e-4f, -1.8090554e-4f, -6.858411e-5f, -2.1934831e-5f,
         -8.199844e-6f, -3.4619748e-6f, -1.1517031e-6f, -3.320051e-7f, -1.1724698e-7f, 5.387447e-7f, -0.020047655f,
         -0.011407298f, -0.0066777193f, -0.00408774f}};
    const ivec piece = vbits(t + 1) >> (MANTISSA - 2);
    const vec r = t - vlookup(middle, piece);
    vec y = vlookup(c[5], piece);
    UNROLL for (int i = 4; i >= 0; i--)
        y = vfma(y, r, vlookup(c[i], piece));
    return y;
}

INLINE vec normal_share(vec x, vec bell)
{
    const vec tail = normal_tail(vabs(x));
    return vselect(vless(x, vset(0)), tail * bell, vfma(-tail, bell, vset(1)));
}
#else
INLINE vec normal_share(vec x, vec bell)
{
    const vec by_root_2 = x * (real)0.7071067811865476, tail = vtail(vabs(x));
    const vec far = vselect(vless(x, vset(0)), tail * bell, vfma(-tail, bell, vset(1)));
    const vec near = vfma(verf_near(by_root_2), vset((real)0.5), vset((real)0.5));
    return vselect(vless(vset(1), vabs(by_root_2)), far, near);
}
#endif

INLINE vec gelu(vec x)
{
    const vec near = within(NORMAL_FAR, x);
    return x * normal_share(near, normal_bell(near));
}

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
    parallel_for(n, GRAIN, activations[which].forward, &(Activation){(real)alpha, (real)scale, x, y, NULL, 0});
    return 0;
}

int NAME(activation_backward)(ptrdiff_t n, int which, double alpha, double scale, const real *dy, ptrdiff_t dy_step,
                              const real *x, real *dx)
{
    parallel_for(n, GRAIN, activations[which].backward, &(Activation){(real)alpha, (real)scale, x, dx, dy, dy_step});
    return 0;
}
