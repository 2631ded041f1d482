// exp, tanh, sigmoid, log1p, expm1 and erf from additions, multiplications, divisions and fused multiply-adds, each of
// which is rounded to nearest on every device: what is proved of them on a processor holds on a GPU. They are the
// functions of csrc/simd.h, with its polynomials, but for the table that AVX-512 has of tanh. The bounds of CUDA's own
// are "generated from extensive but not exhaustive tests, so they are not guaranteed" (CUDA C++ Programming Guide,
// Mathematical Functions), and CuPy's -ftz=true takes their denormal results.
//
// Largest errors in ulp, denormal results included: exp 1.1, tanh 2.0 (float32) and 2.2, sigmoid 1.8 and 1.7. All are
// monotone, right at 0 and at the infinities, and give NaN for NaN. No denormal number takes part in arithmetic. Of erf
// it is 1.5 (float32) and 1.6; in float32 a denormal number counts as 0 there.
#pragma once

#include "common.cuh"

template <typename real> struct Number;

template <> struct Number<float> {
    typedef int integer;
    static constexpr int mantissa = 23, bias = 127;
    static constexpr float ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;  // n ln2_high is exact
    static constexpr float exp_normal = 0x1.5d589ep6f;  // e^-exp_normal is the smallest normal number
    static constexpr float exp_zero = -104, exp_infinite = 89;  // past them e^x is 0 or infinite
    static constexpr int denormal_shift = 100;  // in two steps 2^149, which makes the smallest number 1
    static constexpr float denormal_rest = 0x1p49f;
    static constexpr float tanh_one = -20, tanh_linear = 1e-4f;
    static constexpr float sigmoid_far = -16, sigmoid_most = 80;
    static constexpr float expm1_least = -20, erf_one = 4, normal_far = 13.27f;
};

template <> struct Number<double> {
    typedef i64 integer;
    static constexpr int mantissa = 52, bias = 1023;
    static constexpr double ln2_high = 0x1.62e42fefa38p-1, ln2_low = 0x1.ef35793c7673p-45;
    static constexpr double exp_normal = 0x1.6232bdd7abcd2p9;
    static constexpr double exp_zero = -746, exp_infinite = 710;
    static constexpr int denormal_shift = 1000;
    static constexpr double denormal_rest = 0x1p74;
    static constexpr double tanh_one = -40, tanh_linear = 1e-9;
    static constexpr double sigmoid_far = -36, sigmoid_most = 700;
    static constexpr double expm1_least = -40, erf_one = 6, normal_far = 37.66;
};

__device__ inline int bits(float x) { return __float_as_int(x); }
__device__ inline i64 bits(double x) { return __double_as_longlong(x); }
__device__ inline float from_bits(int x) { return __int_as_float(x); }
__device__ inline double from_bits(i64 x) { return __longlong_as_double(x); }

// Of its bits, for fabs would make a denormal number 0.
template <typename real> __device__ real magnitude(real x) { return from_bits(bits(x) & ~bits(real(-0.0))); }

template <typename real> __device__ real minus_infinity() {
    return from_bits(typename Number<real>::integer(~0ull << Number<real>::mantissa));
}

template <typename real> __device__ real lowest() {
    return from_bits(typename Number<real>::integer(~0ull << Number<real>::mantissa) - 1);
}

template <typename real> __device__ real not_a_number() { return from_bits(typename Number<real>::integer(-1)); }

// 2^(n + k), for n as exp_reduced gives it; −bias < n + k ≤ bias
template <typename real> __device__ real power_of_2(typename Number<real>::integer n, int k) {
    typedef typename Number<real>::integer integer;
    return from_bits(n + (integer(Number<real>::bias + k) << Number<real>::mantissa));
}

// c₀ + c₁ x + … of an even degree. The even and the odd powers are two sums in x², which do not wait for each other.
template <typename real, int count> __device__ real polynomial(real x, real square, const real (&c)[count]) {
    real even = c[count - 1], odd = c[count - 2];
#pragma unroll
    for (int i = count - 3; i > 0; i -= 2) {
        even = fma(even, square, c[i]);
        odd = fma(odd, square, c[i - 1]);
    }
    return fma(odd, x, fma(even, square, c[0]));
}

// (e^r − 1 − r) / r², a minimax fit for |r| ≤ ln 2 / 2
__device__ inline float exp_polynomial(float r, float square) {
    constexpr float c[] = {0.5f, 1.6666545e-1f, 4.1666290e-2f, 8.3663738e-3f, 1.3946046e-3f};
    return polynomial(r, square, c);
}
__device__ inline double exp_polynomial(double r, double square) {
    constexpr double c[] = {
        0.5, 1.6666666666666677e-01, 4.16666666666667e-02, 8.333333333322148e-03, 1.3888888888867784e-03,
        1.984126988495683e-04, 2.4801587359071965e-05, 2.7557245279221485e-06, 2.755724381241855e-07,
        2.5108693922604633e-08, 2.0924165574725563e-09};
    return polynomial(r, square, c);
}

// x = n ln 2 + r: e^r − 1, and n in the place of the exponent's bits
template <typename real> __device__ real exp_reduced(real x, typename Number<real>::integer* n) {
    typedef typename Number<real>::integer integer;
    constexpr real rounder = real(3ll << (Number<real>::mantissa - 1));  // adding it rounds to an integer, in low bits
    const real rounded = fma(x, real(1.4426950408889634), rounder), whole = rounded - rounder;
    *n = integer(u64(bits(rounded)) << Number<real>::mantissa);
    const real r = fma(whole, -Number<real>::ln2_low, fma(whole, -Number<real>::ln2_high, x));
    const real square = r * r;
    return fma(square, exp_polynomial(r, square), r);
}

// p 2^n below the normal numbers, rounded as the integer that its bits are.
template <typename real> __device__ real exp_denormal(real p, typename Number<real>::integer n) {
    constexpr real least = real(1ll << Number<real>::mantissa);
    const real units = p * power_of_2<real>(n, Number<real>::denormal_shift) * Number<real>::denormal_rest;
    return from_bits(bits(units + least) - bits(least));
}

template <typename real> __device__ real exponential(real x) {
    typename Number<real>::integer n;
    x = x < Number<real>::exp_zero ? Number<real>::exp_zero : x;
    x = x > Number<real>::exp_infinite ? Number<real>::exp_infinite : x;
    const real p = exp_reduced(x, &n) + 1;
    if (!(magnitude(x) > Number<real>::exp_normal)) return p * power_of_2<real>(n, 0);
    return x < 0 ? exp_denormal(p, n) : p * 2 * power_of_2<real>(n, -1);
}

// e^x for x ≤ 0, where the results count beside 1: without a branch, and 0 where they would be denormal.
template <typename real> __device__ real exponential_beside_1(real x) {
    constexpr real zero = -Number<real>::bias * real(0.6931471805599453);  // its 2^n has no bits
    typename Number<real>::integer n;
    const real q = exp_reduced(x < zero ? zero : x, &n), power = power_of_2<real>(n, 0);
    return fma(q, power, power);
}

// 1 / b and a / b for numbers and results that are far from the ends of the range, or a = 0. The instructions are those
// of CUDA's own division, which looks first whether it needs more, and so branches: two of them cannot run side by side.
__device__ inline float reciprocal(float b) {
#ifdef __CUDACC_RTC__
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(b));
    return fma(y, fma(-b, y, 1.0f), y);
#else
    return 1 / b;
#endif
}
__device__ inline float quotient(float a, float b) {
#ifdef __CUDACC_RTC__
    const float y = reciprocal(b), q = a * y;
    return fma(y, fma(-b, q, a), q);
#else
    return a / b;
#endif
}
__device__ inline double reciprocal(double b) { return 1 / b; }
__device__ inline double quotient(double a, double b) { return a / b; }

// tanh |x| = t / (1 − t) with t = (1 − e^(−2|x|)) / 2, which keeps its digits near 0. The quotient y is corrected by
// its remainder t − y (1 − t), so that the rounding of 1 − t does not count.
template <typename real> __device__ real hyperbolic_tangent(real x) {
    typename Number<real>::integer n;
    const real size = magnitude(x), exponent = size * -2;
    const real q = exp_reduced(exponent < Number<real>::tanh_one ? Number<real>::tanh_one : exponent, &n);
    const real half = power_of_2<real>(n, -1);
    const real t = fma(-q, half, real(0.5) - half);
    real y = quotient(t, 1 - t);
    y = fma(fma(y, t, t - y), y + 1, y);
    y = from_bits((bits(y) & ~bits(real(-0.0))) | (bits(x) & bits(real(-0.0))));
    return size < Number<real>::tanh_linear ? x : y;
}

// 1 / (1 + e^−x). It has no branch.
template <typename real> __device__ real logistic_near(real x) {
    constexpr real most = Number<real>::sigmoid_most;
    typename Number<real>::integer n;
    real opposite = -x < -most ? -most : -x;
    opposite = opposite > most ? most : opposite;
    const real q = exp_reduced(opposite, &n), power = power_of_2<real>(n, 0);
    return reciprocal(fma(q, power, power + 1));
}

// Far below 0 the 1 is lost beside e^−x, and e^x − e^x / (1 + e^−x) is better.
template <typename real> __device__ real logistic(real x) {
    typename Number<real>::integer n;
    const real y = logistic_near(x);
    if (!(x < Number<real>::sigmoid_far)) return y;
    const real p = exp_reduced(x < Number<real>::exp_zero ? Number<real>::exp_zero : x, &n) + 1;
    if (x < -Number<real>::exp_normal) return exp_denormal(p, n);
    const real e = p * power_of_2<real>(n, 0);
    return fma(-e, y, e);
}

// log(1 + e) = 2 atanh(s) with s = e / (2 + e), for 0 ≤ e ≤ 1. The polynomials are minimax fits of
// (2 atanh(s) − 2 s) / s³ in s².
__device__ inline float atanh_polynomial(float square) {
    constexpr float c[] = {6.6666674e-1f, 3.9998982e-1f, 2.8614357e-1f, 2.1452638e-1f, 2.4214082e-1f};
    return polynomial(square, square * square, c);
}
__device__ inline double atanh_polynomial(double square) {
    constexpr double c[] = {
        0.6666666666666667, 0.39999999999996627, 0.28571428572159924, 0.22222222149148912, 0.18181822263106084,
        0.1538447534819997, 0.1333642878883686, 0.11719871273229279, 0.1094713769817081, 0.07087806310238202,
        0.16318513502082052};
    return polynomial(square, square * square, c);
}

template <typename real> __device__ real log_1_plus(real e) {
    const real s = e / (e + 2), square = s * s;
    return fma(square * s, atanh_polynomial(square), s + s);
}

// e^x − 1 for x ≤ 0
template <typename real> __device__ real expm1_below_0(real x) {
    typename Number<real>::integer n;
    const real q = exp_reduced(x < Number<real>::expm1_least ? Number<real>::expm1_least : x, &n);
    const real power = power_of_2<real>(n, 0);
    return fma(q, power, power - 1);
}

// erf x for |x| ≤ 1. The polynomials are minimax fits of erf(x) / x − 1 in x².
__device__ inline float erf_polynomial(float square) {
    constexpr float c[] = {1.28379166e-1f, -3.76126258e-1f, 1.12835852e-1f, -2.68538119e-2f,
                           5.18832755e-3f, -8.01019151e-4f, 7.85385218e-5f};
    return polynomial(square, square * square, c);
}
__device__ inline double erf_polynomial(double square) {
    constexpr double c[] = {
        0.12837916709551257, -0.37612638903183748, 0.1128379167095486, -0.026866170645072898, 0.0052239776247808822,
        -0.00085483269787427508, 0.0001205533103691626, -1.492559350731262e-05, 1.6460972824822209e-06,
        -1.6350025317943156e-07, 1.4657880562563488e-08, -1.1365668999040741e-09, 5.9452672002921677e-11};
    return polynomial(square, square * square, c);
}

template <typename real> __device__ real erf_near(real x) { return fma(x, erf_polynomial(x * x), x); }

// What Φ(−t), the normal distribution's tail, is to e^(−t²/2), for t ≥ √2 up to where it is 0: s P(s) with
// s = 1 / (1 + c t), see csrc/simd.h.
__device__ inline float tail(float t) {
    constexpr float c[] = {3.38601639e-1f, 3.04814444e-1f, -5.68983688e-3f, -2.25501219e-1f, 5.80540745e-2f,
                           2.55151515e-1f, -2.58077781e-1f, -2.1568934e-1f, 5.58478186e-1f};
    const float s = reciprocal(fma(t, 0.625f, 1.0f)), u = s - 0.3125f;
    return s * polynomial(u, u * u, c);
}
__device__ inline double tail(double t) {
    constexpr double c[] = {
        0.27702693407748492, 0.29514401575001958, 0.13155087231557164, -0.10164249861195661, -0.11620023739310467,
        0.099902836322207868, 0.10548074460830948, -0.16809779849753181, -0.05460801790735082, 0.29469215369320836,
        -0.15128936457178671, -0.37655909915975415, 0.67457662760211518, -0.034198264019028212, -1.3523227913246105,
        1.8797803695270312, 0.56098053648464249, -5.3495794607434796, 4.9210464544818414, 6.3181952096592186,
        -11.148516681811127};
    const double s = reciprocal(fma(t, 0.5, 1.0)), u = s - 0.3125;
    return s * polynomial(u, u * u, c);
}

// erf x; past 1 as 1 − 2 Φ(−x √2)
template <typename real> __device__ real error_function(real x) {
    const real most = Number<real>::erf_one, size = magnitude(x) > most ? most : magnitude(x);
    const real far = fma(tail(size * real(1.4142135623730951)) * -2, exponential_beside_1(-size * size), real(1));
    if (!(size > 1)) return erf_near(x);
    return from_bits(bits(far) | (bits(x) & bits(real(-0.0))));
}
