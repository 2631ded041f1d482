/* The two ceilings of a machine, for one thread: how fast it multiplies and adds, and how fast it moves memory. And how
   far two of its cores are from each other.
   Compiled by benchmarks/native.py for one instruction set, whose registers it counts the operations of. */

#include "simd.h"

_Static_assert(VECTOR_BYTES == REGISTER_BYTES, "benchmarks/native.py and simd.h know registers of other sizes");

#define SUMS 12 /* enough to hide the latency of four cycles on two units, few enough for 16 registers */

/* With names of their own, not as an array: the compiler keeps an array that an asm writes to in memory. */
#define FOR_EACH_SUM(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)
#define DECLARE(i) vec sum##i = (vec){} + i;
#define MULTIPLY_ADD(i)                                                                                   \
    sum##i += a * b;                                                                                      \
    __asm__("" : "+x"(sum##i)); /* nor may it merge one turn with the next */
#define ADD_UP(i) total += sum##i;

/* Multiply and add `turns` times in each lane of SUMS registers. */
void ceiling_fma(ptrdiff_t turns, const float *factors, float *out)
{
    const vec a = (vec){} + factors[0];
    vec b = (vec){} + factors[1], total = (vec){};
    FOR_EACH_SUM(DECLARE)
    for (ptrdiff_t turn = 0; turn < turns; turn++) {
        __asm__("" : "+x"(b)); /* a new product each turn */
        FOR_EACH_SUM(MULTIPLY_ADD)
    }
    FOR_EACH_SUM(ADD_UP)
    memcpy(out, &total, sizeof *out);
}

/* y = 2 x for a thread's n numbers of `whole`, past the caches: what a kernel does that reads one large array and writes
   another. */
void ceiling_scale(ptrdiff_t n, ptrdiff_t whole, const float *x, float *y)
{
    const int past = is_past(y, whole);
    FOR_VECTORS(0, n, vstore_past(y + i, 2 * vload_n(x + i, n), n, past););
    past_end(past);
}

/* y = 2, past the caches. */
void ceiling_fill(ptrdiff_t n, ptrdiff_t whole, float *y)
{
    const int past = is_past(y, whole);
    FOR_VECTORS(0, n, vstore_past(y + i, vset(2), n, past););
    past_end(past);
}

/* x = 2 x: each line is read and written where it is. */
void ceiling_update(ptrdiff_t n, float *x)
{
    for (ptrdiff_t i = 0; i < n; i++)
        x[i] = 2 * x[i];
}

/* The sum of x. */
double ceiling_read(ptrdiff_t n, const float *x)
{
    vec sum[8] = {{0}};
    for (ptrdiff_t i = 0; i + 8 * LANES <= n; i += 8 * LANES)
        for (int j = 0; j < 8; j++)
            sum[j] += vload(x + i + j * LANES);
    double total = 0;
    for (int j = 0; j < 8; j++)
        for (int lane = 0; lane < LANES; lane++)
            total += sum[j][lane];
    return total;
}

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

/* Part 0 and part 1, in two threads, hand a line of the cache to each other: `turns` times there and back. */
void ceiling_trips(ptrdiff_t turns, ptrdiff_t *line, ptrdiff_t part)
{
    for (ptrdiff_t turn = part; turn < 2 * turns; turn += 2) {
        while (__atomic_load_n(line, __ATOMIC_ACQUIRE) != turn)
            PAUSE();
        __atomic_store_n(line, turn + 1, __ATOMIC_RELEASE);
    }
}
