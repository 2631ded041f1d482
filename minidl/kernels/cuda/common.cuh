// What the kernels share: names of integers, 16 bytes at a time, rows among threads.
//
// Every kernel is a template in `real` and is stamped for float and double as `extern "C"`, with a plain name
// (`exp_float32`): CuPy keeps what it compiled on disk, and names of templates would cost an entry each.
//
// CuPy compiles with -ftz=true and lets no one object: in float32 arithmetic a denormal number counts as 0.
// cuda.py adds --fmad=false: a multiplication and an addition are one instruction where `fma` says so and nowhere else.
// So a result follows from the source and not from the compiler's version, and a processor that runs the source gets
// the same bits. It costs nothing: these kernels wait for memory, not for arithmetic.
#pragma once

typedef long long i64;
typedef unsigned int u32;
typedef unsigned long long u64;

inline constexpr int THREADS = 256;  // of a block, in every kernel here; cuda.py launches as many
inline constexpr int WARP = 32;
inline constexpr int WARPS = THREADS / WARP;
inline constexpr u32 ALL_LANES = 0xffffffff;

// Without __launch_bounds__(THREADS): told so, ptxas saves registers to make more blocks fit, and spills.
#define KERNEL(name) extern "C" __global__ void name

#define FOR_FLOAT_TYPES(STAMP) \
    STAMP(float, float32)      \
    STAMP(double, float64)

// ---- 16 bytes at a time ----------------------------------------------------------------------

// The widest load that a thread has. It takes fewer instructions in flight to keep the memory busy with it.
template <typename real> struct alignas(16) Pack {
    static constexpr int size = 16 / sizeof(real);
    real v[size];
};

// Whether packs may be loaded from all of them. Arrays begin at 512 bytes in CuPy, but a view may begin anywhere.
template <typename... T> __device__ bool aligned(const T*... arrays) {
    return ((reinterpret_cast<u64>(arrays) | ...) & 15) == 0;
}

// x[i], x[i + 1], … of the n that x has; `beyond` stands for the others.
template <typename real>
__device__ Pack<real> load(const real* __restrict__ x, i64 i, i64 n, bool whole, real beyond = 0) {
    constexpr int size = Pack<real>::size;
    if (whole && i + size <= n) return *reinterpret_cast<const Pack<real>*>(x + i);
    Pack<real> pack;
#pragma unroll
    for (int k = 0; k < size; k++) pack.v[k] = i + k < n ? x[i + k] : beyond;
    return pack;
}

template <typename real> __device__ void store(real* __restrict__ y, i64 i, i64 n, bool whole, const Pack<real>& pack) {
    constexpr int size = Pack<real>::size;
    if (whole && i + size <= n) {
        *reinterpret_cast<Pack<real>*>(y + i) = pack;
        return;
    }
#pragma unroll
    for (int k = 0; k < size; k++)
        if (i + k < n) y[i + k] = pack.v[k];
}

// body(i) for each pack of n numbers. The threads of a warp take neighbours; a grid of any size gets through.
template <typename real, typename Body> __device__ void each_pack(i64 n, Body body) {
    constexpr int size = Pack<real>::size;
    const i64 stride = i64(gridDim.x) * THREADS * size;
    for (i64 i = (i64(blockIdx.x) * THREADS + threadIdx.x) * size; i < n; i += stride) body(i);
}

// body(packs, i) for i = begin, begin + step, … < n: the packs at i of rows of n numbers. `whole` says that n is a
// multiple of a pack, too. The packs of `ahead` places are on their way before one is used, so that a thread waits once
// for them and not for each. More would take registers from other threads, which wait meanwhile.
template <int ahead, typename real, int count, typename Body>
__device__ void each_of_rows(
    const real* const (&rows)[count], i64 n, i64 begin, i64 step, bool whole, real beyond, Body body) {
    constexpr int size = Pack<real>::size;
    for (i64 i = begin; i < n; i += ahead * step) {
        Pack<real> packs[ahead][count];
#pragma unroll
        for (int a = 0; a < ahead; a++) {
            const i64 at = i + a * step;
#pragma unroll
            for (int r = 0; r < count; r++) {
#pragma unroll
                for (int k = 0; k < size; k++) packs[a][r].v[k] = beyond;
                if (!whole)
                    packs[a][r] = load(rows[r], at, n, false, beyond);
                else if (at < n)
                    packs[a][r] = *reinterpret_cast<const Pack<real>*>(rows[r] + at);
            }
        }
#pragma unroll
        for (int a = 0; a < ahead; a++)
            if (i + a * step < n) body(packs[a], i + a * step);
    }
}

// ---- rows among threads ----------------------------------------------------------------------

// Each row has `group` threads: a power of two up to 32, neighbours in a warp, or all of the block. cuda.py
// chooses it by the length of the row alone, so that a row's sums run in the same order in any company, on any grid.
//
// body(row, lane) for each row. All threads of a block come along to the last row, for they meet in `reduce`:
// past the end the row is -1.
template <typename Body> __device__ void each_row(i64 rows, int group, Body body) {
    const int together = THREADS / group;
    const int lane = threadIdx.x % group;
    for (i64 first = i64(blockIdx.x) * together; first < rows; first += i64(gridDim.x) * together) {
        const i64 row = first + threadIdx.x / group;
        body(row < rows ? row : -1, lane);
    }
}

struct Sum {
    template <typename T> __device__ T operator()(T a, T b) const { return a + b; }
};

// NaN never wins. It need not: e^(NaN − max) makes the sum of its row NaN.
struct Max {
    template <typename T> __device__ T operator()(T a, T b) const { return a < b ? b : a; }
};

// The values of a group's threads in one, for all of them: pairs, then pairs of pairs. The two of a pair compute
// a + b and b + a, which are the same bits.
template <typename real, typename Operation> __device__ real reduce(real value, int group, Operation operation) {
    __shared__ real of_warp[WARPS];
    for (int distance = (group < WARP ? group : WARP) / 2; distance; distance /= 2)
        value = operation(value, __shfl_xor_sync(ALL_LANES, value, distance));
    if (group <= WARP) return value;
    if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = value;
    __syncthreads();
    value = of_warp[0];
    for (int warp = 1; warp < WARPS; warp++) value = operation(value, of_warp[warp]);
    __syncthreads();  // before someone overwrites of_warp
    return value;
}
