// CUDA C on the processor: the words of the language, for kernels compiled as C++ by tests/cuda_on_cpu.py.
//
// The builder runs the preprocessor first, as NVRTC would, without any header, and rewrites two things that C++ cannot
// say: `__shared__ float tile[32][33];` and `extern __shared__ float room[];`. Everything else that kernels use stands
// here. Threads, barriers and shared memory are machine.h's.
#pragma once

#include <math.h>
#include <stdlib.h>

#include "machine.h"

#define __global__
#define __device__
#define __host__
#define __constant__ const
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __align__(n) __attribute__((aligned(n)))

// ---- where a thread is -------------------------------------------------------------------

struct dim3 : shim::Index {
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : Index{x, y, z} {}
};

#define threadIdx (shim::thread_index())
#define blockIdx (shim::block_index())
#define blockDim (shim::block_shape())
#define gridDim (shim::grid_shape())
constexpr int warpSize = 32;

// ---- barriers ----------------------------------------------------------------------------

#define __syncthreads() shim::block_barrier(__COUNTER__)
#define __syncwarp(...) shim::exchange(shim::Exchange::none, shim::mask_of(__VA_ARGS__), 0, 0, __COUNTER__)

namespace shim {
inline unsigned mask_of(unsigned mask = 0xffffffff) { return mask; }
}  // namespace shim

// Of a cluster of blocks: minidl/kernels/cuda/ has the same names in PTX. Who waits must have arrived.
#define cluster_arrive() shim::arrive_at_cluster()
#define cluster_wait() shim::wait_for_cluster(__COUNTER__)
inline unsigned cluster_rank() { return shim::rank_in_cluster(); }
template <class T> T* of_cluster(T* own, unsigned rank) { return static_cast<T*>(shim::of_cluster(own, rank)); }

// A barrier whose phase ends when the bytes that one thread expects have come from the cluster; in kernels: an mbarrier.
// It is a number: the phase, whether it was said how many bytes are expected, and how many are still to come.
namespace shim {
using Counter = unsigned long long;

inline void count_bytes(Counter* counter, unsigned bytes, bool expected) {
    Counter old = __atomic_load_n(counter, __ATOMIC_ACQUIRE), next;
    do {
        const unsigned to_come = unsigned(old) + bytes;
        const Counter said = expected || (old >> 32 & 1), phase = old >> 33;
        next = said && !to_come ? (phase + 1) << 33 : phase << 33 | said << 32 | to_come;
    } while (!__atomic_compare_exchange_n(counter, &old, next, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    yield();
}
}  // namespace shim

inline void start_counting(shim::Counter* counter) { *counter = 0; }
inline void expect_bytes(shim::Counter* counter, unsigned bytes) { shim::count_bytes(counter, bytes, true); }
inline void wait_for_bytes(const shim::Counter* counter, unsigned parity) {
    while ((__atomic_load_n(counter, __ATOMIC_ACQUIRE) >> 33 & 1) == parity) shim::yield();
}
template <class T> void send(T* own, unsigned rank, T value, shim::Counter* counter) {
    *of_cluster(own, rank) = value;
    shim::count_bytes(of_cluster(counter, rank), -unsigned(sizeof(T)), false);
}

namespace cooperative_groups {
struct grid_group {
    void sync() const { shim::grid_barrier(-1); }
};
inline grid_group this_grid() { return {}; }
}  // namespace cooperative_groups

// Other threads may go on wherever one thread spins: here and in the atomic operations.
inline void __nanosleep(unsigned) { shim::yield(); }
inline unsigned load_acquire(const unsigned* p) { // in kernels: in PTX, as the next
    shim::yield();
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}
inline void add_release(unsigned* p) { __atomic_fetch_add(p, 1, __ATOMIC_RELEASE); }
// A missing fence goes unnoticed: the atomic operations here order memory as the strictest would.
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __trap() { abort(); }

// ---- between the lanes of a warp ---------------------------------------------------------

namespace shim {
// Between lanes goes what fits in 8 bytes.
template <class T> T shuffle(int where, unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) <= 8);
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    bits = exchange(Exchange::shuffle, mask, bits, source, where);
    memcpy(&value, &bits, sizeof(T));
    return value;
}

inline unsigned segment(int width) { return lane() & ~unsigned(width - 1); }

template <class T> T shuffle_index(int where, unsigned mask, T value, int source, int width = 32) {
    return shuffle(where, mask, value, segment(width) + (unsigned(source) & unsigned(width - 1)));
}
template <class T> T shuffle_up(int where, unsigned mask, T value, unsigned delta, int width = 32) {
    return shuffle(where, mask, value, lane() - segment(width) >= delta ? lane() - delta : lane());
}
template <class T> T shuffle_down(int where, unsigned mask, T value, unsigned delta, int width = 32) {
    const unsigned other = lane() + delta;
    return shuffle(where, mask, value, other < segment(width) + unsigned(width) ? other : lane());
}
template <class T> T shuffle_xor(int where, unsigned mask, T value, int bits, int width = 32) {
    const unsigned other = lane() ^ unsigned(bits);
    return shuffle(where, mask, value, other < segment(width) + unsigned(width) ? other : lane());
}
template <class T> unsigned match_any(int where, unsigned mask, T value) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    return unsigned(exchange(Exchange::match, mask, bits, 0, where));
}
}  // namespace shim

#define __shfl_sync(...) shim::shuffle_index(__COUNTER__, __VA_ARGS__)
#define __shfl_up_sync(...) shim::shuffle_up(__COUNTER__, __VA_ARGS__)
#define __shfl_down_sync(...) shim::shuffle_down(__COUNTER__, __VA_ARGS__)
#define __shfl_xor_sync(...) shim::shuffle_xor(__COUNTER__, __VA_ARGS__)
#define __match_any_sync(...) shim::match_any(__COUNTER__, __VA_ARGS__)
#define __ballot_sync(mask, predicate) \
    unsigned(shim::exchange(shim::Exchange::ballot, mask, uint64_t(bool(predicate)), 0, __COUNTER__))
#define __any_sync(mask, predicate) int(__ballot_sync(mask, predicate) != 0)
#define __all_sync(mask, predicate) int(__ballot_sync(mask, !(predicate)) == 0)
#define __reduce_add_sync(mask, value) unsigned(shim::exchange(shim::Exchange::sum, mask, value, 0, __COUNTER__))

// ---- atomic operations, on integers ------------------------------------------------------

namespace shim {
template <class T, class Change> T atomic(T* address, Change change) {
    static_assert(std::is_integral_v<T>, "sums of floats in an order of chance give other bits each time");
    T old = __atomic_load_n(address, __ATOMIC_ACQUIRE);
    while (!__atomic_compare_exchange_n(address, &old, change(old), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {}
    yield();
    return old;
}
}  // namespace shim

template <class T> T atomicAdd(T* p, std::common_type_t<T> v) { return shim::atomic(p, [=](T o) { return T(o + v); }); }
template <class T> T atomicSub(T* p, std::common_type_t<T> v) { return shim::atomic(p, [=](T o) { return T(o - v); }); }
template <class T> T atomicMin(T* p, std::common_type_t<T> v) {
    return shim::atomic(p, [=](T o) { return v < o ? v : o; });
}
template <class T> T atomicMax(T* p, std::common_type_t<T> v) {
    return shim::atomic(p, [=](T o) { return v > o ? v : o; });
}
template <class T> T atomicExch(T* p, std::common_type_t<T> v) { return shim::atomic(p, [=](T) { return v; }); }
template <class T> T atomicAnd(T* p, std::common_type_t<T> v) { return shim::atomic(p, [=](T o) { return T(o & v); }); }
template <class T> T atomicOr(T* p, std::common_type_t<T> v) { return shim::atomic(p, [=](T o) { return T(o | v); }); }
template <class T> T atomicCAS(T* p, std::common_type_t<T> expected, std::common_type_t<T> v) {
    return shim::atomic(p, [=](T o) { return o == expected ? v : o; });
}

// ---- memory ------------------------------------------------------------------------------

template <class T> T __ldg(const T* p) { return *p; }
template <class T> T __ldcg(const T* p) { return *p; }
template <class T> T __ldcs(const T* p) { return *p; }
template <class T> void __stcg(T* p, std::common_type_t<T> v) { *p = v; }
template <class T> void __stcs(T* p, std::common_type_t<T> v) { *p = v; }

// ---- vectors -----------------------------------------------------------------------------

// As aligned as on the GPU: the processor stops at an address that the GPU would refuse.
#define SHIM_VECTORS(T, name)                                                                     \
    struct __align__(2 * sizeof(T)) name##2 { T x, y; };                                          \
    struct name##3 { T x, y, z; };                                                                \
    struct __align__(sizeof(T) > 4 ? 16 : 4 * sizeof(T)) name##4 { T x, y, z, w; };               \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                    \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                            \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
SHIM_VECTORS(float, float)
SHIM_VECTORS(double, double)
SHIM_VECTORS(int, int)
SHIM_VECTORS(unsigned, uint)
SHIM_VECTORS(long long, longlong)
SHIM_VECTORS(unsigned long long, ulonglong)
SHIM_VECTORS(signed char, char)
SHIM_VECTORS(unsigned char, uchar)

// ---- numbers -----------------------------------------------------------------------------

#define SHIM_MIN_MAX(T)                                  \
    inline T min(T a, T b) { return b < a ? b : a; }     \
    inline T max(T a, T b) { return a < b ? b : a; }
SHIM_MIN_MAX(int)
SHIM_MIN_MAX(unsigned)
SHIM_MIN_MAX(long)
SHIM_MIN_MAX(unsigned long)
SHIM_MIN_MAX(long long)
SHIM_MIN_MAX(unsigned long long)
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline float rsqrt(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / ::sqrt(x); }
inline float rcbrtf(float x) { return 1 / cbrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double x) { return ::sqrt(x); }
inline double __fma_rn(double a, double b, double c) { return ::fma(a, b, c); }
inline float saturate(float x) { return fminf(fmaxf(x, 0), 1); }
inline float __saturatef(float x) { return saturate(x); }

inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(unsigned x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(unsigned long long x) { return x ? __builtin_clzll(x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }

namespace shim {
template <class To, class From> To bits_of(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
}  // namespace shim

inline int __float_as_int(float x) { return shim::bits_of<int>(x); }
inline unsigned __float_as_uint(float x) { return shim::bits_of<unsigned>(x); }
inline float __int_as_float(int x) { return shim::bits_of<float>(x); }
inline float __uint_as_float(unsigned x) { return shim::bits_of<float>(x); }
inline long long __double_as_longlong(double x) { return shim::bits_of<long long>(x); }
inline double __longlong_as_double(long long x) { return shim::bits_of<double>(x); }
