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

/* The BLOCKS blocks from `first` on: word j of block b as the low half of c[j][b]. The groups of WIDE
   blocks go through a round side by side, for one alone would wait for its multiplications. */
INLINE void philox(uint64_t first, uint64_t seed, uint64_t c[4][BLOCKS])
{
    wide c0[GROUPS], c1[GROUPS], c2[GROUPS], c3[GROUPS];
    for (int b = 0; b < BLOCKS; b++) {
        c[0][b] = first + (uint64_t)b;
        c[1][b] = c[0][b] >> 32;
    }
    memcpy(c0, c[0], sizeof c0);
    memcpy(c1, c[1], sizeof c1);
    for (int i = 0; i < GROUPS; i++)
        c2[i] = c3[i] = WIDE_SET((uint64_t)0);
    uint32_t low = (uint32_t)seed, high = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++, low += 0x9E3779B9, high += 0xBB67AE85) {
        for (int i = 0; i < GROUPS; i++) {
            wide p0 = multiply(c0[i], 0xD2511F53), p1 = multiply(c2[i], 0xCD9E8D57);
            c0[i] = (p1 >> 32) ^ c1[i] ^ low;
            c1[i] = p1;
            c2[i] = (p0 >> 32) ^ c3[i] ^ high;
            c3[i] = p0;
        }
    }
    memcpy(c[0], c0, sizeof c0);
    memcpy(c[1], c1, sizeof c1);
    memcpy(c[2], c2, sizeof c2);
    memcpy(c[3], c3, sizeof c3);
}

/* The words of the BLOCKS blocks from `first` on. */
static void make_words(uint64_t first, uint64_t seed, uint32_t words[WORDS])
{
    uint64_t c[4][BLOCKS];
    philox(first, seed, c);
    for (int b = 0; b < BLOCKS; b++)
        for (int j = 0; j < 4; j++)
            words[4 * b + j] = (uint32_t)c[j][b];
}

typedef struct {
    uint64_t seed, offset;
    uint32_t threshold, *words;
    real scale;
    const real *x;
    real *y;
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
    parallel_for(n, GRAIN, bits_range, &(Job){.seed = seed, .offset = offset, .words = words});
    return 0;
}

/* The processor does not see x and y coming behind the words that are made in between. */
static void fetch_both(const real *x, const real *y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i += LINE) {
        FETCH(x + i);
        FETCH_TO_WRITE(y + i);
    }
}

static void dropout_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Job job = *(const Job *)context;
    uint32_t words[WORDS];
    for (ptrdiff_t i = begin; i < end; i += WORDS) {
        const ptrdiff_t n = end - i < WORDS ? end - i : WORDS;
        fetch_both(job.x + i, job.y + i, n);
        make_words(job.offset + (uint64_t)(i / 4), job.seed, words);
        for (ptrdiff_t j = 0; j < n; j++) {
            real scaled = job.x[i + j] * job.scale;
            job.y[i + j] = words[j] >= job.threshold ? scaled : 0;
        }
    }
}

int NAME(dropout)(ptrdiff_t n, uint64_t threshold, double scale, uint64_t seed, uint64_t offset, const real *x, real *y)
{
    if (threshold >> 32) { /* no word is that large */
        memset(y, 0, (size_t)n * sizeof(real));
        return 0;
    }
    Job job = {seed, offset, (uint32_t)threshold, NULL, (real)scale, x, y};
    parallel_for(n, GRAIN, dropout_range, &job);
    return 0;
}
