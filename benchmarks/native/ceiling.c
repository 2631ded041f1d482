/* The two ceilings of a machine, for one thread: how fast it multiplies and adds, and how fast it moves memory.
   Compiled by benchmarks/native.py for one instruction set; REGISTER_BYTES is the width of its registers. */

#include <stddef.h>
#include <string.h>

typedef float vec __attribute__((vector_size(REGISTER_BYTES)));
#define LANES (REGISTER_BYTES / sizeof(float))
#define SUMS 12 /* enough to hide the latency of four cycles on two units, few enough for 16 registers */

/* Multiply and add `turns` times in each lane of SUMS registers: the number of operations done. */
double ceiling_fma(ptrdiff_t turns, float *out)
{
    vec sum[SUMS], a = (vec){} + 0.999f, b = (vec){} + 1e-3f;
    for (int i = 0; i < SUMS; i++)
        sum[i] = (vec){} + (float)i;
    for (ptrdiff_t turn = 0; turn < turns; turn++)
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) {
            sum[i] = sum[i] * a + b;
            __asm__("" : "+x"(sum[i])); /* in a register, and not merged with another turn */
        }
    for (int i = 1; i < SUMS; i++)
        sum[0] += sum[i];
    memcpy(out, &sum[0], sizeof *out);
    return 2.0 * SUMS * LANES * (double)turns;
}

/* y = 2 x. The compiler's own loop: what a kernel does that reads one array and writes another. */
void ceiling_scale(ptrdiff_t n, const float *restrict x, float *restrict y)
{
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = 2 * x[i];
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
    for (ptrdiff_t i = 0; i + 8 * (ptrdiff_t)LANES <= n; i += 8 * LANES)
        for (int j = 0; j < 8; j++) {
            vec v;
            memcpy(&v, x + i + j * LANES, sizeof v);
            sum[j] += v;
        }
    double total = 0;
    for (int j = 0; j < 8; j++)
        for (size_t lane = 0; lane < LANES; lane++)
            total += sum[j][lane];
    return total;
}
