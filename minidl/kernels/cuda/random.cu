// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011): block b of a stream
// is four 32-bit words, a function of b and the seed alone. A thread makes a block, for four neighbours.
//
// Ten rounds of two 32 × 32 → 64 bit products: about 25 instructions a number, less than the memory takes.
#include "common.cuh"

struct Block {
    u32 word[4];
};

__device__ inline Block philox(u64 block, u64 seed) {
    u32 c0 = u32(block), c1 = u32(block >> 32), c2 = 0, c3 = 0, k0 = u32(seed), k1 = u32(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9, k1 += 0xBB67AE85) {
        const u64 p0 = u64(c0) * 0xD2511F53, p1 = u64(c2) * 0xCD9E8D57;
        c0 = u32(p1 >> 32) ^ c1 ^ k0;
        c1 = u32(p1);
        c2 = u32(p0 >> 32) ^ c3 ^ k1;
        c3 = u32(p0);
    }
    return {{c0, c1, c2, c3}};
}

KERNEL(random_bits)(i64 n, u64 seed, u64 offset, u32* __restrict__ words) {
    each_pack<u32>(n, [&](i64 i) {
        const Block block = philox(offset + u64(i / 4), seed);
        store(words, i, n, true, Pack<u32>{{block.word[0], block.word[1], block.word[2], block.word[3]}});
    });
}

// Where the word of a number is below the threshold, up to 2³², the number is dropped: NaN and infinity too.
template <typename real>
__device__ void dropout(
    i64 n, const real* __restrict__ x, real* __restrict__ y, i64 threshold, real scale, u64 seed, u64 offset) {
    constexpr int size = Pack<real>::size, packs = 4 / size;  // of a block's four numbers
    const bool whole = aligned(x, y);
    each_pack<float>(n, [&](i64 i) {
        const Block block = philox(offset + u64(i / 4), seed);
#pragma unroll
        for (int p = 0; p < packs; p++) {
            Pack<real> pack = load(x, i + p * size, n, whole);
#pragma unroll
            for (int k = 0; k < size; k++)
                pack.v[k] = block.word[p * size + k] >= threshold ? pack.v[k] * scale : 0;
            store(y, i + p * size, n, whole, pack);
        }
    });
}

// A graph that draws anew each time it is played finds the seed in place[0], and in place[1] what its offset adds to.
#define STAMP(real, type)                                                                                              \
    KERNEL(dropout_##type)(                                                                                            \
        i64 n, const real* __restrict__ x, real* __restrict__ y, i64 threshold, double scale, u64 seed, u64 offset,    \
        const u64* __restrict__ place) {                                                                               \
        dropout(n, x, y, threshold, real(scale), place ? place[0] : seed, place ? place[1] + offset : offset);         \
    }
FOR_FLOAT_TYPES(STAMP)
