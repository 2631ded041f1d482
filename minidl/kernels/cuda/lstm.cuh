// What the kernels of the LSTM share: a step of one unit, and the products that a block makes with its part of R.
#pragma once

#include "math.cuh"

#ifndef REAL
#define REAL float
#endif
#ifndef BLOCKS
#define BLOCKS 1 // that share the units, and so make a group
#define UNITS 32 // of a block, up to 32: so many neighbours in a warp have one each
#endif

#define PARTS (32 / UNITS) // of a warp, each with other states

typedef REAL real;

constexpr int DEPTH = 64 / sizeof(real); // states that a thread multiplies: R takes 64 registers

struct __align__(16) Gates {
    real i, f, g, o;
};

struct __align__(16) Four {
    real at[4];
};

// ---- one unit, one step ------------------------------------------------------------------

// z becomes i, f, g, o = σ, σ, tanh, σ;  c ← f c + i g;  h = o tanh(c)
//
// The four run side by side, each a long chain of its own, as far as there are no branches; σ far below 0 has one.
__device__ inline real cell_forward(Gates& z, real& c) {
    const real i = logistic_near(z.i), f = logistic_near(z.f), g = hyperbolic_tangent(z.g), o = logistic_near(z.o);
    constexpr real far = Number<real>::sigmoid_far;
    if (z.i < far || z.f < far || z.o < far)
        z = {logistic(z.i), logistic(z.f), g, logistic(z.o)};
    else
        z = {i, f, g, o};
    c = z.f * c + z.i * z.g;
    return z.o * hyperbolic_tangent(c);
}

__device__ inline real tanh_of_state(const Gates& a, real c_before) {
    return hyperbolic_tangent(a.f * c_before + a.i * a.g);
}

// do = dh tanh(c)   dc += dh o (1 − tanh² c)   di = dc g   df = dc c_before   dg = dc i   dc ← dc f
// dz = (di i (1−i), df f (1−f), dg (1−g²), do o (1−o))
__device__ inline Gates cell_backward(const Gates& a, real c_before, real tanh_c, real dh, real& dc) {
    dc += dh * a.o * (1 - tanh_c * tanh_c);
    const Gates dz = {dc * a.g * a.i * (1 - a.i), dc * c_before * a.f * (1 - a.f), dc * a.i * (1 - a.g * a.g),
                      dh * tanh_c * a.o * (1 - a.o)};
    dc *= a.f;
    return dz;
}

__device__ inline Gates read(const real* from, int units) {
    return {from[0], from[units], from[2 * units], from[3 * units]};
}

__device__ inline void write(real* to, int units, const Gates& v) {
    to[0] = v.i;
    to[units] = v.f;
    to[2 * units] = v.g;
    to[3 * units] = v.o;
}

__device__ inline size_t place(int row, int t, int time) { return (size_t)row * time + t; }

// ---- sums over neighbours ---------------------------------------------------------------

// v[0 … 3], each summed over `lanes` neighbours, `stride` lanes apart, of which this is number `part`: the first
// exchange leaves two of the sums to each, the second one, so that four take three shuffles and not eight. Returns
// which is now v[0]; a pair of neighbours keeps two, four or more one.
template <int lanes, int stride> __device__ int sum_and_scatter(real (&v)[4], int part) {
    const auto exchange = [](real kept, real sent, int bits) { return kept + __shfl_xor_sync(ALL_LANES, sent, bits); };
    const bool second = part & 1, odd = part & 2;
    if constexpr (lanes >= 2) {
        const real a = second ? v[2] : v[0], b = second ? v[3] : v[1];
        const real to_a = second ? v[0] : v[2], to_b = second ? v[1] : v[3];
        v[0] = exchange(a, to_a, stride);
        v[1] = exchange(b, to_b, stride);
    }
    if constexpr (lanes >= 4) v[0] = exchange(odd ? v[1] : v[0], odd ? v[0] : v[1], 2 * stride);
#pragma unroll
    for (int apart = 4; apart < lanes; apart *= 2) v[0] = exchange(v[0], v[0], apart * stride);
    return lanes == 1 ? 0 : lanes == 2 ? 2 * second : 2 * second + odd;
}

__device__ constexpr int kept_of_4(int lanes) { return lanes == 1 ? 4 : lanes == 2 ? 2 : 1; }

template <int size> struct __align__(size * sizeof(real) < 16 ? size * sizeof(real) : 16) Kept {
    real at[size];
};

template <int size> __device__ void store(real* to, const real (&v)[4]) {
    Kept<size> kept;
#pragma unroll
    for (int k = 0; k < size; ++k) kept.at[k] = v[k];
    *(Kept<size>*)to = kept;
}

template <int n> struct Count {
    static constexpr int value = n;
};

// multiply(q, Count<2>()) for rows q and q + 1, whose sums do not wait for each other, and multiply(q, Count<1>()) for
// the last of an odd number. In float64, where there are no registers left for a second row, one by one.
template <class Multiply> __device__ void by_pairs(int first, int end, Multiply multiply) {
    int q = first;
    if constexpr (sizeof(real) == 4) {
#pragma unroll 1
        for (; q + 1 < end; q += 2) multiply(q, Count<2>());
    }
#pragma unroll 1
    for (; q < end; ++q) multiply(q, Count<1>());
}

// ---- products with the part of R that a block has in registers -----------------------------

// Four columns of R, of a unit, in the rows of the states that a thread multiplies: those of the parts of a warp lie side
// by side, 16 bytes each.
__device__ inline void read_columns(Gates (&r)[DEPTH], const real* recurrent, int begin, int part, int unit, int units) {
#pragma unroll
    for (int j = 0; j < DEPTH; ++j) {
        const int from = begin + (j / 4 * PARTS + part) * 4 + j % 4;
        r[j] = {0, 0, 0, 0};
        if (from < units && unit < units) r[j] = read(recurrent + (size_t)from * 4 * units + unit, units);
    }
}

// Where there are two parts, half a warp stores two sums of each unit's four, 16 bytes apart. In every other 128 bytes it
// stores them in the place of the other two, or the stores would wait for each other.
__device__ inline int turned(int lane) { return PARTS == 2 && lane * sizeof(Gates) / 128 % 2 ? 2 : 0; }

// This thread's part of h R for `count` rows, summed over its warp, into sums of (rows, warps, UNITS), of its unit.
template <int count>
__device__ void multiply_states(const Gates (&r)[DEPTH], const real* states, int width, Gates* sums, int warps,
                                int part, int lane) {
    real sum[count][4] = {};
#pragma unroll
    for (int j = 0; j < DEPTH; j += 4) {
#pragma unroll
        for (int n = 0; n < count; ++n) {
            const Four v = ((const Four*)(states + n * width))[j / 4 * PARTS + part];
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                sum[n][0] = fma(v.at[k], r[j + k].i, sum[n][0]);
                sum[n][1] = fma(v.at[k], r[j + k].f, sum[n][1]);
                sum[n][2] = fma(v.at[k], r[j + k].g, sum[n][2]);
                sum[n][3] = fma(v.at[k], r[j + k].o, sum[n][3]);
            }
        }
    }
#pragma unroll
    for (int n = 0; n < count; ++n) {
        const int gate = sum_and_scatter<PARTS, UNITS>(sum[n], part) ^ turned(lane);
        store<kept_of_4(PARTS)>((real*)(sums + n * warps * UNITS) + gate, sum[n]);
    }
}

// z plus the warps' sums of a row and a unit, one after the other.
__device__ inline Gates plus_sums(Gates z, const Gates* sums, int warps, int lane) {
    const bool turn = turned(lane);
    if (turn) z = {z.g, z.o, z.i, z.f};
#pragma unroll 4
    for (int w = 0; w < warps; ++w) {
        const Gates sum = sums[w * UNITS];
        z = {z.i + sum.i, z.f + sum.f, z.g + sum.g, z.o + sum.o};
    }
    return turn ? Gates{z.g, z.o, z.i, z.f} : z;
}

constexpr int SHARING = UNITS * 4 / DEPTH; // neighbours that sum up dz of all units of the block, DEPTH / 4 each
constexpr int KEPT = kept_of_4(SHARING);

// The rows of R of four units from `to` on, in the columns of the units whose slopes a thread multiplies.
__device__ inline void read_rows(Gates (&r)[DEPTH], const real* recurrent, int first, int to, int units) {
#pragma unroll
    for (int i = 0; i < DEPTH / 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int from = first + i * SHARING;
            r[4 * i + j] = {0, 0, 0, 0};
            if (from < units && to + j < units)
                r[4 * i + j] = read(recurrent + (size_t)(to + j) * 4 * units + from, units);
        }
    }
}

// This thread's part of dz Rᵀ for `count` rows, for four units, summed over the neighbours: give(n, its first unit's
// number among the four, KEPT sums).
template <int count, class Give>
__device__ void multiply_slopes(const Gates (&r)[DEPTH], const Gates* slopes, int part, Give give) {
    real sum[count][4] = {};
#pragma unroll
    for (int i = 0; i < DEPTH / 4; ++i) {
#pragma unroll
        for (int n = 0; n < count; ++n) {
            const Gates v = slopes[n * UNITS + i * SHARING + part];
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                sum[n][j] = fma(v.i, r[4 * i + j].i, sum[n][j]);
                sum[n][j] = fma(v.f, r[4 * i + j].f, sum[n][j]);
                sum[n][j] = fma(v.g, r[4 * i + j].g, sum[n][j]);
                sum[n][j] = fma(v.o, r[4 * i + j].o, sum[n][j]);
            }
        }
    }
#pragma unroll
    for (int n = 0; n < count; ++n) {
        const int to = sum_and_scatter<SHARING, 1>(sum[n], part);
        give(n, to, sum[n]);
    }
}
