/* The LSTM forward in stages, from the equations as they stand to the form of csrc/lstm.c. All compute

       z = x W + h R + b,  c <- f c + i g,  h <- o tanh c

   for x (B, T, D), W (D, 4U), R (U, 4U), b (4U), from zero states to y (B, T, U), with float32 and one thread.
   U must be a multiple of the LANES of a register, and B of GATE_ROWS; the kernel itself has no such limits.
   benchmarks/stages.py times them, tests/test_benchmarks.py holds them to the reference. */

#include "block.h"

#include <math.h>
#include <stdlib.h>

typedef ptrdiff_t size;

static void *take(size reals) { return aligned_alloc(64, (size_t)(reals + 16) / 16 * 64); }

/* ---- what the first stages share: the non-linearities, one number at a time ----------------------- */

static float sigmoid(float x) { return 1 / (1 + expf(-x)); }

static void cell(size U, const float *z, float *c, float *h)
{
    for (size u = 0; u < U; u++) {
        c[u] = sigmoid(z[U + u]) * c[u] + sigmoid(z[u]) * tanhf(z[2 * U + u]);
        h[u] = sigmoid(z[3 * U + u]) * tanhf(c[u]);
    }
}

/* ---- 1: the sum that defines each entry of z. Its second factor is read with a stride of 4U. ------- */

void stage_equations(size B, size T, size D, size U, const float *x, const float *W, const float *R, const float *b,
                     float *y)
{
    float *z = take(4 * U), *c = take(U), *h = take(U);
    for (size row = 0; row < B; row++) {
        memset(c, 0, (size_t)U * sizeof *c);
        memset(h, 0, (size_t)U * sizeof *h);
        for (size t = 0; t < T; t++) {
            const float *input = x + (row * T + t) * D;
            for (size j = 0; j < 4 * U; j++) {
                z[j] = b[j];
                for (size k = 0; k < D; k++)
                    z[j] += input[k] * W[k * 4 * U + j];
                for (size k = 0; k < U; k++)
                    z[j] += h[k] * R[k * 4 * U + j];
            }
            cell(U, z, c, h);
            memcpy(y + (row * T + t) * U, h, (size_t)U * sizeof *h);
        }
    }
    free(z), free(c), free(h);
}

/* ---- 2: the same sums, k outside. Now memory is read in order, and the compiler uses vectors. ------ */

static void add_row(size n, float factor, const float *restrict from, float *restrict to)
{
    for (size j = 0; j < n; j++)
        to[j] += factor * from[j];
}

void stage_order(size B, size T, size D, size U, const float *x, const float *W, const float *R, const float *b,
                 float *y)
{
    float *z = take(4 * U), *c = take(U), *h = take(U);
    for (size row = 0; row < B; row++) {
        memset(c, 0, (size_t)U * sizeof *c);
        memset(h, 0, (size_t)U * sizeof *h);
        for (size t = 0; t < T; t++) {
            const float *input = x + (row * T + t) * D;
            memcpy(z, b, (size_t)(4 * U) * sizeof *z);
            for (size k = 0; k < D; k++)
                add_row(4 * U, input[k], W + k * 4 * U, z);
            for (size k = 0; k < U; k++)
                add_row(4 * U, h[k], R + k * 4 * U, z);
            cell(U, z, c, h);
            memcpy(y + (row * T + t) * U, h, (size_t)U * sizeof *h);
        }
    }
    free(z), free(c), free(h);
}

/* ---- 3 to 5: all rows of a step together, so that what is read of W and R serves GATE_ROWS rows ---- */

/* How the products and the cell of a block are done; from stage to stage one more thing changes. */
typedef struct {
    int packed;  /* W and R as [unit block][k][4 gates][LANES], read in order */
    int vectors; /* sigmoid and tanh of whole registers */
} Form;

/* sum[r][gate] += a[r][k] m[k][gate][unit ..], where a row of m is 4U long and the gates lie U apart */
INLINE void accumulate_strided(vec sum[GATE_ROWS][4], size depth, const float *a, size a_row, size U,
                               const float *m)
{
    for (size k = 0; k < depth; k++, m += 4 * U)
        UNROLL for (int gate = 0; gate < 4; gate++) {
            const vec column = vload(m + gate * U);
            UNROLL for (int r = 0; r < GATE_ROWS; r++)
                sum[r][gate] = vfma(vset(a[r * a_row + k]), column, sum[r][gate]);
        }
}

INLINE void cell_scalar(const vec z[4], float *c, float *h)
{
    float gates[4][LANES];
    memcpy(gates, z, sizeof gates);
    for (int u = 0; u < LANES; u++) {
        c[u] = sigmoid(gates[1][u]) * c[u] + sigmoid(gates[0][u]) * tanhf(gates[2][u]);
        h[u] = sigmoid(gates[3][u]) * tanhf(c[u]);
    }
}

INLINE void cell_vector(const vec z[4], float *c, float *h)
{
    const vec c_new = vfma(vsigmoid(z[1]), vload(c), vsigmoid(z[0]) * vtanh(z[2]));
    vstore(c, c_new);
    vstore(h, vsigmoid(z[3]) * vtanh(c_new));
}

/* One step of GATE_ROWS rows: h is read from y one step before, and written to y. */
INLINE void step_block(const Form form, size T, size D, size U, size t, const float *x, const float *W, const float *R,
                       const float *b, float *c, float *y, size unit)
{
    vec z[GATE_ROWS][4];
    UNROLL for (int r = 0; r < GATE_ROWS; r++)
        UNROLL for (int gate = 0; gate < 4; gate++)
            z[r][gate] = vload(b + gate * U + unit);
    if (form.packed)
        block_accumulate(GATE_ROWS, 4, z[0], D, x + t * D, T * D, 1, W + unit * 4 * D, W, 0);
    else
        accumulate_strided(z, D, x + t * D, T * D, U, W + unit);
    if (t > 0 && form.packed)
        block_accumulate(GATE_ROWS, 4, z[0], U, y + (t - 1) * U, T * U, 1, R + unit * 4 * U, R, 0);
    else if (t > 0)
        accumulate_strided(z, U, y + (t - 1) * U, T * U, U, R + unit);
    for (int r = 0; r < GATE_ROWS; r++) {
        float *h = y + (r * T + t) * U + unit;
        if (form.vectors)
            cell_vector(z[r], c + r * U + unit, h);
        else
            cell_scalar(z[r], c + r * U + unit, h);
    }
}

static void pack(size depth, size U, const float *m, float *packed)
{
    for (size unit = 0; unit < U; unit += LANES)
        for (size row = 0; row < 4 * depth; row++, packed += LANES) /* k and gate */
            memcpy(packed, m + row * U + unit, LANES * sizeof *m);
}

INLINE void run(const Form form, size B, size T, size D, size U, const float *x, const float *W, const float *R,
                const float *b, float *y)
{
    float *c = take(B * U), *packed = take((D + U) * 4 * U);
    memset(c, 0, (size_t)(B * U) * sizeof *c);
    if (form.packed) {
        pack(D, U, W, packed);
        pack(U, U, R, packed + D * 4 * U);
        W = packed;
        R = packed + D * 4 * U;
    }
    for (size t = 0; t < T; t++)
        for (size unit = 0; unit < U; unit += LANES)
            for (size row = 0; row < B; row += GATE_ROWS)
                step_block(form, T, D, U, t, x + row * T * D, W, R, b, c + row * U, y + row * T * U, unit);
    free(c), free(packed);
}

#define STAGE(name, ...)                                                                                  \
    void name(size B, size T, size D, size U, const float *x, const float *W, const float *R, const float *b, \
              float *y)                                                                                   \
    {                                                                                                     \
        run((Form){__VA_ARGS__}, B, T, D, U, x, W, R, b, y);                                              \
    }

/* 3: twelve or twenty-four sums in registers, each value of W and R loaded once for several rows */
STAGE(stage_blocks, .packed = 0, .vectors = 0)
/* 4: what a block reads lies in the order in which it is read */
STAGE(stage_packed, .packed = 1, .vectors = 0)
/* 5: sigmoid and tanh of eight or sixteen numbers at a time, on the sums where they are */
STAGE(stage_vectors, .packed = 1, .vectors = 1)
