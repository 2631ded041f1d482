/* A whole LSTM sequence, forward and backward, of one layer. The equations stand in reference.py.

   1. Layout. Inside, everything is (time, batch, ...) in the order of the steps: the rows of a step lie
      together, and a chunk of steps is one matrix of chunk times batch rows. What backward needs is kept
      so: the gates i, f, g, o after their non-linearities (T, B, 4U), and the states h and c before each
      step (T, B, U).
   2. Chunks. The sequence is worked through some hundred rows at a time, so that what one stage leaves is
      still in the second-level cache when the next one reads it. Forward: x W for all steps of the chunk,
      one product, then the steps. Backward: the steps, which leave dz (chunk, B, 4U), then dx = dz W',
      dW += x' dz and dR += h' dz, one product each. W, R and their transposes are packed once a call.
   3. A step forward. R is packed as [unit block][k][4 gates][LANES]: one register block (block.h) sums all
      four gates of LANES units for a few rows of the batch, starting from x W + b, and sigmoid, tanh, c and
      h follow at once.
   4. A step backward. The gate derivatives row by row, then dh = dz R' with R' packed as gemm.c does it.
   5. Threads. Rows of the batch are independent, so each thread runs all steps of a chunk for its own
      rows and waits for nobody. Where there are too few rows for that, or R is too large to be read by
      every thread in every step, each has some units of all rows instead, and they meet once a step. The
      products of a chunk are split by tiles of their result.
   6. Bits. Nothing is summed across threads, the order of every sum is fixed by the sizes of the problem,
      and a row's results do not depend on the rows beside it.
   7. Masks. A masked step copies the states and the last output, and passes dh and dc through. Its gates
      are never read.
   8. Denormals count as zero: states and gradients that decay over a long sequence pass through them, and
      would slow every product down tenfold for the sake of numbers below 1e-38. */

#include "block.h"

#include "gemm.h"
#include "kernels.h"
#include "meeting.h"
#include "memory.h"
#include "parallel.h"

#define FORWARD_ROWS 256      /* of a chunk: the gates of so many fit the cache beside W and R */
#define BACKWARD_ROWS 512     /* as many as the products over them need to run at full speed */
#define STEP_BYTES (1 << 20)  /* of R that a thread may read in every step */
#define STEP_WORK (1 << 15)   /* multiplications of a step that are worth a meeting */
#define THREAD_WORK (1 << 18) /* multiplications that are worth waking a thread for */

typedef struct {
    ptrdiff_t batch, time, features, units;
    const uint8_t *mask; /* (B, T) or NULL */
    int reverse;
    real *gates, *h_before, *c_before; /* (T, B, 4U), (T, B, U), (T, B, U) */
    int by_units;                      /* each thread has some units of all rows, not all units of some rows */
    ptrdiff_t begin, end;              /* the steps of this chunk */
    Meeting *meeting;                  /* of the threads of this chunk */
} Sequence;

/* What one thread works on in every step of a chunk. */
typedef struct {
    ptrdiff_t row, rows_end, unit, units_end;
} Share;

static ptrdiff_t min_of(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t step) { return (n + step - 1) / step * step; }

static ptrdiff_t chunk_steps(const Sequence *s, ptrdiff_t rows)
{
    return min_of(s->time, s->batch < rows ? rows / s->batch : 1);
}

/* The place in time of a step. */
static ptrdiff_t place(const Sequence *s, ptrdiff_t step) { return s->reverse ? s->time - 1 - step : step; }

static int masked(const Sequence *s, ptrdiff_t row, ptrdiff_t step)
{
    return s->mask && !s->mask[row * s->time + place(s, step)];
}

/* The row of a (T, B, ...) array. */
static ptrdiff_t at(const Sequence *s, ptrdiff_t step, ptrdiff_t row) { return step * s->batch + row; }

static void copy(real *to, const real *from, ptrdiff_t n) { memcpy(to, from, (size_t)n * sizeof(real)); }
static void zero(real *array, ptrdiff_t n) { memset(array, 0, (size_t)n * sizeof(real)); }

/* Where the input of a row of the chunk lies in x (B, T, D). */
static ptrdiff_t input_of(const Sequence *s, ptrdiff_t row)
{
    return (row % s->batch * s->time + place(s, s->begin + row / s->batch)) * s->features;
}

static ptrdiff_t chunk_rows(const Sequence *s) { return (s->end - s->begin) * s->batch; }

/* ---- threads ------------------------------------------------------------------------------------- */

static int split_by_units(ptrdiff_t batch, ptrdiff_t units)
{
    const ptrdiff_t work = batch * 4 * units * units, threads = parallel_threads();
    const ptrdiff_t recurrent_bytes = 4 * units * units * (ptrdiff_t)sizeof(real);
    return MEETINGS && units >= threads * SLIVER && work > STEP_WORK &&
           (batch < 2 * threads || recurrent_bytes > STEP_BYTES);
}

/* Run the body on the shares of one chunk. */
static void for_shares(Sequence *s, range_fn body, void *context)
{
    const ptrdiff_t row_work = (s->end - s->begin) * 4 * s->units * s->units;
    Meeting meeting = {0};
    s->meeting = &meeting;
    if (s->by_units)
        parallel_for(s->units, SLIVER, body, context);
    else
        parallel_for(s->batch, 1 + THREAD_WORK / row_work, body, context);
}

/* Run the body on the rows of the chunk, each of which does `work` multiplications. */
static void for_rows(const Sequence *s, ptrdiff_t work, range_fn body, void *context)
{
    parallel_for(chunk_rows(s), round_up(1 + THREAD_WORK / (work + 1), BLOCK_ROWS), body, context);
}

static Share share_of(const Sequence *s, ptrdiff_t begin, ptrdiff_t end)
{
    return s->by_units ? (Share){0, s->batch, begin, end} : (Share){begin, end, 0, s->units};
}

/* Wait until all units of the share's rows have done this many steps of the chunk. */
static void complete_steps(const Sequence *s, const Share *share, ptrdiff_t steps)
{
    if (s->by_units)
        meet(s->meeting, share->units_end - share->unit, steps * s->units);
}

/* ---- forward ------------------------------------------------------------------------------------- */

typedef struct {
    Sequence s;
    const real *x, *bias;      /* (B, T, D), (4U) */
    const real *kernel;        /* W as gemm.c packs it */
    const real *recurrent;     /* R as [unit block][k][4][LANES] */
    real *inputs;              /* x of the chunk, (chunk, B, D) */
    real *y, *h_last, *c_last; /* (B, T, U), (B, U), (B, U) */
} Forward;

static void pack_gates(ptrdiff_t units, const real *recurrent, real *packed)
{
    for (ptrdiff_t unit = 0; unit < units; unit += LANES)
        for (ptrdiff_t row = 0; row < 4 * units; row++, packed += LANES) /* k and gate */
            vstore(packed, vload_n(recurrent + row * units + unit, min_of(LANES, units - unit)));
}

/* The gates of these rows of the chunk = x W */
static void input_products(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Forward *f = context;
    const Sequence *s = &f->s;
    const ptrdiff_t features = s->features, gates = 4 * s->units;
    real *inputs = f->inputs + begin * features, *z = s->gates + (at(s, s->begin, 0) + begin) * gates;
    const unsigned before = denormals_flush();
    for (ptrdiff_t row = begin; row < end; row++)
        copy(f->inputs + row * features, f->x + input_of(s, row), features);
    NAME(gemm_packed)(end - begin, gates, features, inputs, features, 1, f->kernel, z, gates, 0);
    denormals_restore(before);
}

/* The state after a step is the state before the next one. */
static real *after(const Sequence *s, real *before, real *last, ptrdiff_t step)
{
    return step + 1 < s->time ? before + at(s, step + 1, 0) * s->units : last;
}

/* i, f, g and o of n units from their sums, and c from the one before. */
INLINE void update_cell(ptrdiff_t units, ptrdiff_t n, real *gates, const real *c_before, real *c)
{
    vec gate[4];
    UNROLL for (int g = 0; g < 4; g++) {
        const vec z = vload_n(gates + g * units, n);
        gate[g] = g == 2 ? vtanh(z) : vsigmoid(z);
    }
    const vec c_new = vfma(gate[1], vload_n(c_before, n), gate[0] * gate[2]);
    UNROLL for (int g = 0; g < 4; g++)
        vstore_n(gates + g * units, gate[g], n);
    vstore_n(c, c_new, n);
}

/* What follows the sums of the n units from `unit` on. All rows go through one half before the other begins:
   a row waits for itself, for one function after the other, but not for the rows beside it. */
INLINE void update_rows(const Forward *f, const Share *share, ptrdiff_t step, ptrdiff_t unit, ptrdiff_t n)
{
    const Sequence *s = &f->s;
    const ptrdiff_t units = s->units, time = s->time, first = share->row, rows = share->rows_end - first;
    const ptrdiff_t offset = first * units + unit;
    const real *h_before = s->h_before + at(s, step, 0) * units + offset;
    const real *c_before = s->c_before + at(s, step, 0) * units + offset;
    real *gates = s->gates + at(s, step, first) * 4 * units + unit, *y = f->y + (first * time + step) * units + unit;
    real *h = after(s, s->h_before, f->h_last, step) + offset, *c = after(s, s->c_before, f->c_last, step) + offset;
    for (ptrdiff_t row = 0; row < rows; row++)
        if (masked(s, first + row, step))
            vstore_n(c + row * units, vload_n(c_before + row * units, n), n);
        else
            update_cell(units, n, gates + row * 4 * units, c_before + row * units, c + row * units);
    for (ptrdiff_t row = 0; row < rows; row++) {
        real *output = y + row * time * units;
        const int keep = masked(s, first + row, step);
        const vec o = vload_n(gates + (row * 4 + 3) * units, n);
        const vec h_new = keep ? vload_n(h_before + row * units, n) : o * vtanh(vload_n(c + row * units, n));
        vstore_n(h + row * units, h_new, n);
        vstore_n(output, !keep ? h_new : step > 0 ? vload_n(output - units, n) : vset(0), n);
    }
}

/* z = x W + b + h R for the four gates of the units from `unit` on. */
INLINE void forward_block(const int rows, const Forward *f, ptrdiff_t step, ptrdiff_t row, ptrdiff_t unit,
                          const real *ahead)
{
    const Sequence *s = &f->s;
    const ptrdiff_t units = s->units, n = min_of(LANES, units - unit);
    real *input = s->gates + at(s, step, row) * 4 * units + unit;
    const ptrdiff_t offset = row * units + unit;
    real *h = after(s, s->h_before, f->h_last, step) + offset, *c = after(s, s->c_before, f->c_last, step) + offset;
    real *y = f->y + (row * s->time + step) * units + unit;
    UNROLL for (int r = 0; r < rows; r++) {
        FETCH_TO_WRITE(h + r * units);
        FETCH_TO_WRITE(c + r * units);
        FETCH_TO_WRITE(y + r * s->time * units);
    }
    vec z[GATE_ROWS][4];
    UNROLL for (int gate = 0; gate < 4; gate++) {
        const vec bias = vload_n(f->bias + gate * units + unit, n);
        UNROLL for (int r = 0; r < rows; r++)
            z[r][gate] = vload_n(input + (r * 4 + gate) * units, n) + bias;
    }
    block_accumulate(rows, 4, z[0], units, s->h_before + at(s, step, row) * units, units, 1,
                     f->recurrent + unit * 4 * units, ahead);
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int gate = 0; gate < 4; gate++)
            vstore_n(input + (r * 4 + gate) * units, z[r][gate], n);
}

#define CASE(rows)                                                                                        \
    case rows:                                                                                            \
        forward_block(rows, f, step, row, unit, ahead);                                                   \
        break;

static void forward_rows(ptrdiff_t rows, const Forward *f, ptrdiff_t step, ptrdiff_t row, ptrdiff_t unit,
                         const real *ahead)
{
    switch (rows) {
        FOR_EACH_GATE_ROWS(CASE)
    }
}

static void forward_step(const Forward *f, const Share *share, ptrdiff_t step)
{
    const ptrdiff_t rows = share->rows_end - share->row, blocks = (rows + GATE_ROWS - 1) / GATE_ROWS;
    const ptrdiff_t panel = LANES * 4 * f->s.units; /* of R, for one block of units */
    for (ptrdiff_t unit = share->unit; unit < share->units_end; unit += LANES) {
        const real *next = f->recurrent + (unit / LANES + 1) * panel;
        for (ptrdiff_t block = 0; block < blocks; block++) {
            const ptrdiff_t first = block * rows / blocks, end = (block + 1) * rows / blocks;
            forward_rows(end - first, f, step, share->row + first, unit, next + block * panel / blocks);
        }
        if (f->s.units - unit >= LANES)
            update_rows(f, share, step, unit, LANES);
        else
            update_rows(f, share, step, unit, f->s.units - unit);
    }
}

static void forward_steps(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    Forward *f = context;
    const Share share = share_of(&f->s, begin, end);
    const unsigned before = denormals_flush();
    for (ptrdiff_t step = f->s.begin; step < f->s.end; step++) {
        forward_step(f, &share, step);
        complete_steps(&f->s, &share, step + 1 - f->s.begin);
    }
    denormals_restore(before);
}

static void run_forward(Forward *f)
{
    Sequence *s = &f->s;
    const ptrdiff_t steps = chunk_steps(s, FORWARD_ROWS);
    for (s->begin = 0; s->begin < s->time; s->begin = s->end) {
        s->end = min_of(s->time, s->begin + steps);
        for_rows(s, s->features * 4 * s->units, input_products, f);
        for_shares(s, forward_steps, f);
    }
}

int NAME(lstm_forward)(ptrdiff_t batch, ptrdiff_t time, ptrdiff_t features, ptrdiff_t units, const real *x,
                       const real *h0, const real *c0, const real *kernel, const real *recurrent,
                       const real *bias, const uint8_t *mask, int reverse, real *y, real *h, real *c, real *gates,
                       real *h_before, real *c_before)
{
    const ptrdiff_t state = batch * units;
    if (time == 0 || state == 0) {
        copy(h, h0, state);
        copy(c, c0, state);
        return 0;
    }
    const Sequence s = {.batch = batch, .time = time, .features = features, .units = units, .mask = mask,
                        .reverse = reverse, .gates = gates, .h_before = h_before, .c_before = c_before,
                        .by_units = split_by_units(batch, units)};
    const ptrdiff_t kernel_size = NAME(gemm_packed_size)(4 * units, features);
    const ptrdiff_t recurrent_size = round_up(units, LANES) * 4 * units;
    const ptrdiff_t inputs_size = chunk_steps(&s, FORWARD_ROWS) * batch * features;
    real *memory = memory_take((size_t)(kernel_size + recurrent_size + inputs_size) * sizeof(real));
    if (!memory)
        return -1;
    real *packed_recurrent = memory + kernel_size, *inputs = packed_recurrent + recurrent_size;
    NAME(gemm_pack)(4 * units, features, kernel, 4 * units, 1, memory);
    pack_gates(units, recurrent, packed_recurrent);
    copy(h_before, h0, state);
    copy(c_before, c0, state);
    run_forward(&(Forward){.s = s, .x = x, .bias = bias, .kernel = memory, .recurrent = packed_recurrent,
                           .inputs = inputs, .y = y, .h_last = h, .c_last = c});
    memory_give(memory);
    return 0;
}

/* ---- backward ------------------------------------------------------------------------------------ */

typedef struct {
    Sequence s;
    const real *x, *dy;             /* (B, T, D), (B, T, U) or NULL */
    const real *kernel, *recurrent; /* W' (4U, D) and R' (4U, U), as gemm.c packs them */
    real *dh, *dc;                  /* (B, U), carried from step to step */
    real *dlast;                    /* (B, U), of outputs that repeated an earlier one; NULL without a mask */
    real *dz, *inputs;              /* (chunk, B, 4U), and first x, then dx of the chunk (chunk, B, D) */
    real *dx, *dkernel, *drecurrent, *dbias;
} Backward;

static real *dz_of(const Backward *b, ptrdiff_t step, ptrdiff_t row)
{
    return b->dz + at(&b->s, step - b->s.begin, row) * 4 * b->s.units;
}

/* The step before is the next one: fetch what it will read. */
INLINE void fetch_step_before(const Backward *b, ptrdiff_t step, ptrdiff_t row, ptrdiff_t unit)
{
    const Sequence *s = &b->s;
    for (int gate = 0; gate < 4; gate++)
        FETCH(s->gates + (at(s, step - 1, row) * 4 + gate) * s->units + unit);
    FETCH(s->c_before + at(s, step - 1, row) * s->units + unit);
    if (b->dy)
        FETCH(b->dy + (row * s->time + step - 1) * s->units + unit);
}

/* dz of the four gates, and dc of the step before, from dh and dc. dh is used up: dz R' takes its place. */
INLINE void differentiate(const Backward *b, ptrdiff_t step, ptrdiff_t row, ptrdiff_t unit, ptrdiff_t n)
{
    const Sequence *s = &b->s;
    const ptrdiff_t units = s->units, offset = row * units + unit;
    const real *gates = s->gates + at(s, step, row) * 4 * units + unit;
    const vec i = vload_n(gates, n), f = vload_n(gates + units, n);
    const vec g = vload_n(gates + 2 * units, n), o = vload_n(gates + 3 * units, n);
    const vec c_before = vload_n(s->c_before + at(s, step, row) * units + unit, n);
    if (step > 0)
        fetch_step_before(b, step, row, unit);
    const vec one = vset(1), tanh_c = vtanh(vfma(f, c_before, i * g));
    vec dh = vload_n(b->dh + offset, n);
    if (b->dy)
        dh += vload_n(b->dy + (row * s->time + step) * units + unit, n);
    if (b->dlast) {
        dh += vload_n(b->dlast + offset, n);
        vstore_n(b->dlast + offset, vset(0), n);
    }
    const vec dc = vfma(dh * o, one - tanh_c * tanh_c, vload_n(b->dc + offset, n));
    real *dz = dz_of(b, step, row) + unit;
    vstore_n(dz, dc * g * i * (one - i), n);
    vstore_n(dz + units, dc * c_before * f * (one - f), n);
    vstore_n(dz + 2 * units, dc * i * (one - g * g), n);
    vstore_n(dz + 3 * units, dh * tanh_c * o * (one - o), n);
    vstore_n(b->dh + offset, vset(0), n);
    vstore_n(b->dc + offset, dc * f, n);
}

/* A masked step: dh and dc stay as they are, dy goes to the step whose output was repeated. */
static void pass_over(const Backward *b, ptrdiff_t step, ptrdiff_t row, ptrdiff_t unit, ptrdiff_t n)
{
    const ptrdiff_t units = b->s.units;
    for (int gate = 0; gate < 4; gate++)
        zero(dz_of(b, step, row) + gate * units + unit, n);
    if (b->dy)
        for (ptrdiff_t u = unit; u < unit + n; u++)
            b->dlast[row * units + u] += b->dy[(row * b->s.time + step) * units + u];
}

static void differentiate_share(const Backward *b, const Share *share, ptrdiff_t step)
{
    for (ptrdiff_t row = share->row; row < share->rows_end; row++)
        if (masked(&b->s, row, step))
            pass_over(b, step, row, share->unit, share->units_end - share->unit);
        else
            FOR_VECTORS(share->unit, share->units_end, differentiate(b, step, row, i, n););
}

static void backward_steps(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    Backward *b = context;
    const Sequence *s = &b->s;
    const Share share = share_of(s, begin, end);
    const ptrdiff_t rows = share.rows_end - share.row, units = share.units_end - share.unit;
    const ptrdiff_t gates = 4 * s->units;
    const unsigned before = denormals_flush();
    for (ptrdiff_t step = s->end - 1; step >= s->begin; step--) {
        differentiate_share(b, &share, step);
        complete_steps(s, &share, s->end - step);
        NAME(gemm_packed)(rows, units, gates, dz_of(b, step, share.row), gates, 1,
                          b->recurrent + share.unit * gates, b->dh + share.row * s->units + share.unit, s->units, 1);
    }
    denormals_restore(before);
}

static void gather_inputs(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Backward *b = context;
    for (ptrdiff_t row = begin; row < end; row++)
        copy(b->inputs + row * b->s.features, b->x + input_of(&b->s, row), b->s.features);
}

/* dx = dz W' for these rows of the chunk */
static void input_gradients(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Backward *b = context;
    const Sequence *s = &b->s;
    const ptrdiff_t features = s->features, gates = 4 * s->units;
    const unsigned before = denormals_flush();
    NAME(gemm_packed)(end - begin, features, gates, b->dz + begin * gates, gates, 1, b->kernel,
                      b->inputs + begin * features, features, 0);
    for (ptrdiff_t row = begin; row < end; row++)
        copy(b->dx + input_of(s, row), b->inputs + row * features, features);
    denormals_restore(before);
}

/* db += the sum of dz over the rows of the chunk, from the first to the last */
static void bias_gradients(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Backward *b = context;
    const real *dz = b->dz;
    for (ptrdiff_t row = 0; row < chunk_rows(&b->s); row++, dz += 4 * b->s.units)
        for (ptrdiff_t j = begin; j < end; j++)
            b->dbias[j] += dz[j];
}

/* What a chunk adds to dW, dR and db, and its dx. -1 where memory ran out. */
static int chunk_gradients(Backward *b)
{
    const Sequence *s = &b->s;
    const ptrdiff_t features = s->features, units = s->units, gates = 4 * units, rows = chunk_rows(s);
    const real *h_before = s->h_before + at(s, s->begin, 0) * units;
    const int add = GEMM_ACCUMULATE | GEMM_FLUSH;
    for_rows(s, features, gather_inputs, b);
    if (NAME(gemm)(features, gates, rows, b->inputs, 1, features, b->dz, gates, 1, b->dkernel, gates, add) ||
        NAME(gemm)(units, gates, rows, h_before, 1, units, b->dz, gates, 1, b->drecurrent, gates, add))
        return -1;
    for_rows(s, features * gates, input_gradients, b);
    parallel_for(gates, 1 + THREAD_WORK / rows, bias_gradients, b);
    return 0;
}

static int run_backward(Backward *b)
{
    Sequence *s = &b->s;
    const ptrdiff_t steps = chunk_steps(s, BACKWARD_ROWS);
    int failed = 0;
    for (s->end = s->time; s->end > 0 && !failed; s->end = s->begin) {
        s->begin = (s->end - 1) / steps * steps;
        for_shares(s, backward_steps, b);
        failed = chunk_gradients(b);
    }
    return failed;
}

static void start_from(real *to, const real *from, ptrdiff_t n)
{
    if (from)
        copy(to, from, n);
    else
        zero(to, n);
}

int NAME(lstm_backward)(ptrdiff_t batch, ptrdiff_t time, ptrdiff_t features, ptrdiff_t units, const real *dy,
                        const real *dh, const real *dc, const real *x, const real *kernel, const real *recurrent,
                        const uint8_t *mask, int reverse, const real *gates, const real *h_before,
                        const real *c_before, real *dx, real *dh0, real *dc0, real *dkernel, real *drecurrent,
                        real *dbias)
{
    const ptrdiff_t state = batch * units;
    start_from(dh0, dh, state);
    start_from(dc0, dc, state);
    zero(dkernel, features * 4 * units);
    zero(drecurrent, units * 4 * units);
    zero(dbias, 4 * units);
    if (time == 0 || state == 0) {
        zero(dx, batch * time * features); /* without units there are inputs all the same */
        return 0;
    }
    const Sequence s = {.batch = batch, .time = time, .features = features, .units = units, .mask = mask,
                        .reverse = reverse, .gates = (real *)gates, .h_before = (real *)h_before,
                        .c_before = (real *)c_before, .by_units = split_by_units(batch, units)};
    const ptrdiff_t rows = chunk_steps(&s, BACKWARD_ROWS) * batch;
    const ptrdiff_t kernel_size = NAME(gemm_packed_size)(features, 4 * units);
    const ptrdiff_t recurrent_size = NAME(gemm_packed_size)(units, 4 * units);
    const ptrdiff_t size = kernel_size + recurrent_size + rows * (4 * units + features) + (mask ? state : 0);
    real *memory = memory_take((size_t)size * sizeof(real));
    if (!memory)
        return -1;
    real *packed_recurrent = memory + kernel_size, *dz = packed_recurrent + recurrent_size;
    real *inputs = dz + rows * 4 * units, *dlast = mask ? inputs + rows * features : NULL;
    NAME(gemm_pack)(features, 4 * units, kernel, 1, 4 * units, memory);
    NAME(gemm_pack)(units, 4 * units, recurrent, 1, 4 * units, packed_recurrent);
    if (mask)
        zero(dlast, state);
    const int failed = run_backward(
        &(Backward){.s = s, .x = x, .dy = dy, .kernel = memory, .recurrent = packed_recurrent, .dh = dh0, .dc = dc0,
                    .dlast = dlast, .dz = dz, .inputs = inputs, .dx = dx, .dkernel = dkernel,
                    .drecurrent = drecurrent, .dbias = dbias});
    memory_give(memory);
    return failed;
}
