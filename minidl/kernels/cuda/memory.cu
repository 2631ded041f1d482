// A number by which a change of memory is noticed.
#include "common.cuh"

// All 64 bits of x depend on all of the result's (the last step of SplitMix64, Steele, Lea and Flood 2014).
__device__ u64 scattered(u64 x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

// sum += Σ scattered(word, place): without the place, words that change theirs would not be noticed. Whole numbers are
// the same whatever the order, so that all blocks may add to one.
template <typename word> __device__ void digest(i64 n, const word* __restrict__ words, u64* __restrict__ sum) {
    const bool whole = aligned(words);
    u64 own = 0;
    each_pack<word>(n, [&](i64 i) {
        const Pack<word> pack = load(words, i, n, whole);
#pragma unroll
        for (int k = 0; k < pack.size; k++)
            if (i + k < n) own += scattered((u64(i + k) << 32 | u64(i + k) >> 32) ^ pack.v[k]);
    });
    own = reduce(own, THREADS, Sum());
    if (threadIdx.x == 0) atomicAdd(sum, own);
}

#define STAMP_DIGEST(word, bytes)                                                                              \
    KERNEL(digest_##bytes)(i64 n, const word* __restrict__ words, u64* __restrict__ sum) { digest(n, words, sum); }

STAMP_DIGEST(unsigned char, 1)
STAMP_DIGEST(u32, 4)
