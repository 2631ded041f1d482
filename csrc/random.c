/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011):
   block b of a stream is four 32-bit words, a function of b and the seed alone. */

#include "simd.h"

#include "kernels.h"
#include "parallel.h"

/* Words of 32 bits, each in 64 so that a product fits. */
#if defined(__GNUC__)
#define WIDE (VECTOR_BYTES / 8)
typedef uint64_t wide __attribute__((vector_size(VECTOR_BYTES)));
#define WIDE_SET(word) ((word) - (wide){0})
#else
#define WIDE 1
typedef uint64_t wide;
#define WIDE_SET(word) ((wide)(word))
#endif

#define GROUPS 4
#define BLOCKS (GROUPS * WIDE) /* made at a time */
#define WORDS (4 * BLOCKS)
#define GRAIN 8192
#define AHEAD 1024 /* numbers: the processor does not see x coming behind the words that are made in between */

/* The product of the low halves. */
INLINE wide multiply(wide a, uint32_t factor)
{
#if defined(__AVX512F__)
    return (wide)_mm512_mul_epu32((__m512i)a, (__m512i)WIDE_SET((uint64_t)factor));
#elif defined(__AVX2__)
    return (wide)_mm256_mul_epu32((__m256i)a, (__m256i)WIDE_SET((uint64_t)factor));
#elif defined(__SSE2__) && defined(__GNUC__)
    return (wide)_mm_mul_epu32((__m128i)a, (__m128i)WIDE_SET((uint64_t)factor));
#else
    return (a & 0xFFFFFFFF) * factor;
#endif
}

/* A lane of a wide has such a block, so that words which belong side by side come there from lanes side by side. */
INLINE ptrdiff_t block_of_lane(ptrdiff_t lane) { return WIDE == 1 ? 0 : lane % 2 * (WIDE / 2) + lane / 2; }

/* The words of one block in each lane, in the order of the blocks */
INLINE void store_words(const wide c[4], uint32_t words[4 * WIDE])
{
    const uint64_t low = 0xFFFFFFFF;
    const wide first = (c[0] & low) | c[1] << 32, second = (c[2] & low) | c[3] << 32;
#if defined(__AVX512F__)
    _mm512_storeu_si512(words, _mm512_unpacklo_epi64((__m512i)first, (__m512i)second));
    _mm512_storeu_si512(words + 16, _mm512_unpackhi_epi64((__m512i)first, (__m512i)second));
#elif defined(__AVX2__)
    _mm256_storeu_si256((void *)words, _mm256_unpacklo_epi64((__m256i)first, (__m256i)second));
    _mm256_storeu_si256((void *)(words + 8), _mm256_unpackhi_epi64((__m256i)first, (__m256i)second));
#else
    uint64_t halves[2][WIDE];
    memcpy(halves[0], &first, sizeof first);
    memcpy(halves[1], &second, sizeof second);
    for (ptrdiff_t lane = 0; lane < WIDE; lane++)
        for (int half = 0; half < 2; half++)
            memcpy(words + 4 * block_of_lane(lane) + 2 * half, &halves[half][lane], sizeof halves[half][lane]);
#endif
}

/* The words of the BLOCKS blocks from `first` on. The groups of WIDE blocks go through a round side by side, for one
   alone would wait for its multiplications. */
INLINE void make_words(uint64_t first, uint64_t seed, uint32_t words[WORDS])
{
    uint64_t blocks[WIDE];
    wide c[GROUPS][4], of_lanes;
    for (ptrdiff_t lane = 0; lane < WIDE; lane++)
        blocks[lane] = (uint64_t)block_of_lane(lane);
    memcpy(&of_lanes, blocks, sizeof of_lanes);
    UNROLL for (int i = 0; i < GROUPS; i++) {
        c[i][0] = of_lanes + (first + (uint64_t)(i * WIDE));
        c[i][1] = c[i][0] >> 32;
        c[i][2] = c[i][3] = WIDE_SET((uint64_t)0);
    }
    uint32_t low = (uint32_t)seed, high = (uint32_t)(seed >> 32);
    UNROLL for (int round = 0; round < 10; round++, low += 0x9E3779B9, high += 0xBB67AE85)
        UNROLL for (int i = 0; i < GROUPS; i++) {
            const wide p0 = multiply(c[i][0], 0xD2511F53), p1 = multiply(c[i][2], 0xCD9E8D57);
            c[i][0] = (p1 >> 32) ^ c[i][1] ^ low;
            c[i][1] = p1;
            c[i][2] = (p0 >> 32) ^ c[i][3] ^ high;
            c[i][3] = p0;
        }
    UNROLL for (int i = 0; i < GROUPS; i++)
        store_words(c[i], words + i * 4 * WIDE);
}

typedef struct {
    uint64_t seed, offset;
    uint32_t threshold, *words;
    real scale;
    const real *x;
    real *y;
    int past; /* y is written past the caches */
} Job;

static void bits_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Job job = *(const Job *)context;
    uint32_t words[WORDS];
    for (ptrdiff_t i = begin; i < end; i += WORDS) {
        ptrdiff_t n = end - i < WORDS ? end - i : WORDS;
        make_words(job.offset + (uint64_t)(i / 4), job.seed, words);
        memcpy(job.words + i, words, (size_t)n * sizeof words[0]);
    }
}

int NAME(random_bits)(ptrdiff_t n, uint64_t seed, uint64_t offset, uint32_t *words)
{
    parallel_for(n, GRAIN, NUMBERS, bits_range, &(Job){.seed = seed, .offset = offset, .words = words});
    return 0;
}

/* Where a word is at least the threshold */
INLINE vmask reaches(const uint32_t *words, uint32_t threshold)
{
#if defined(__AVX512F__)
    const IF32(__m512i, __m256i) w = IF32(_mm512_loadu_si512, _mm256_loadu_si256)((const void *)words);
    return IF32(_mm512_cmpge_epu32_mask(w, _mm512_set1_epi32((int)threshold)),
                _mm256_cmpge_epu32_mask(w, _mm256_set1_epi32((int)threshold)));
#elif defined(__GNUC__)
    typedef uint32_t word __attribute__((vector_size(4 * LANES)));
    word w;
    memcpy(&w, words, sizeof w);
    return (vmask)(__builtin_convertvector(w, ivec) >= (integer)threshold);
#else
    return *words >= threshold;
#endif
}

static void dropout_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Job job = *(const Job *)context;
    uint32_t words[WORDS];
    for (ptrdiff_t at = begin; at < end; at += WORDS) {
        make_words(job.offset + (uint64_t)(at / 4), job.seed, words);
        const real *x = job.x + at;
        real *y = job.y + at;
        FOR_VECTORS(0, min_of(WORDS, end - at), {
            FETCH(x + i + AHEAD);
            const vec scaled = vload_n(x + i, n) * job.scale;
            vstore_past(y + i, vselect(reaches(words + i, job.threshold), scaled, vset(0)), n, job.past);
        });
    }
    past_end(job.past);
}

int NAME(dropout)(ptrdiff_t n, uint64_t threshold, double scale, uint64_t seed, uint64_t offset, const real *x, real *y)
{
    if (threshold >> 32) { /* no word is that large */
        memset(y, 0, (size_t)n * sizeof(real));
        return 0;
    }
    Job job = {seed, offset, (uint32_t)threshold, NULL, (real)scale, x, y, is_past(y, 2 * n)};
    parallel_for(n, GRAIN, NUMBERS, dropout_range, &job);
    return 0;
}
