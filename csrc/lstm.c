/* A whole LSTM sequence, forward and backward, of one layer. The equations stand in reference.py.

   1. Layout. What backward needs is kept in the order of the steps, the rows of each together: the gates i, f, g, o
      after their non-linearities (T, B, 4U), and the states h and c before each step (T, B, U).
   2. Chunks. The sequence is worked through some hundred rows at a time, or more of few units, so that what one
      stage leaves is still in the second-level cache when the next one reads it. Forward: x W for all steps of the
      chunk, one product, then the steps. Backward: the steps, which leave dz, then dx = dz W', dW += x' dz and
      dR += h' dz, one product each, and dz is packed once for two of them. W, R and their transposes are
      packed once a call, or once in each thread.
   3. A step forward. R is packed such that LANES units get the sums of all four gates, and sigmoid, tanh, c and h
      follow at once. With 32 registers a block's sums stay in them until then; with 16 they go, run by run of k as in
      gemm.c, onto x W.
   4. A step backward. The gate derivatives row by row, then dh = dz R' with R' packed as gemm.c does it.
   5. Threads. What one core has written takes long to another, so a thread keeps to its own. Rows of the batch are
      independent: forward, each thread takes its rows through the whole sequence and waits for nobody; backward, it
      takes them through the steps of a chunk and dx, and then its columns of dW, dR and db through their products,
      for which alone it reads what others have left. Where there are too few rows, or R is too large to be read by
      every thread in every step, each has some units of all rows instead, and they meet once a step (meeting.h).
   6. Bits. Nothing is summed across threads, the order of every sum is fixed by the sizes of the problem,
      and a row's results do not depend on the rows beside it.
   7. Masks. A masked step copies the states and the last output, and passes dh and dc through. Its gates
      are never used, and zeros stand for its x, which may hold NaN: in dW it would meet the zeros of dz.
   8. Denormals count as zero: states and gradients that decay over a long sequence pass through them, and
      would slow every product down tenfold for the sake of numbers below 1e-38. */

#include "block.h"

#include "gemm.h"
#include "kernels.h"
#include "meeting.h"
#include "memory.h"
#include "parallel.h"

#define FORWARD_ROWS 256      /* of a chunk: the gates of so many fit the cache beside W and R */
#define BACKWARD_ROWS 256     /* as many as the products over them need to run at full speed; */
#define LARGE_ROWS 512        /* the same where dR does not stay near from chunk to chunk; */
#define NEAR_CHUNK (1 << 20)  /* bytes: more rows of few units, for which threads would meet too often */
#define SUM_ROWS 256          /* whose dz are summed before they go into db: a longer sum would be less exact */
#define STEP_BYTES (1 << 20)  /* of R that a thread may read in every step */
#define READ_ROWS 10          /* of a thread, with fewer of which it may read half as many, */
#define READ_MORE_ROWS 16     /* and with so many eight times as many: it multiplies longer than it reads */
#define GROUP_BYTES (1 << 18) /* of R that all rows meet before the rest of it */
#define OWN_ROWS 512          /* of a thread, in all steps, for which it packs W and R for itself */
#define APART 1024            /* numbers between the states of two threads: a core fetches beyond what it reads */
#define STEP_WORK (1 << 15)   /* multiplications of a step that are worth a meeting */

typedef struct {
    ptrdiff_t begin, end;
} Rows;

/* What one thread works on in every step of a chunk. */
typedef struct {
    ptrdiff_t row, rows_end, unit, units_end;
} Share;

typedef struct {
    ptrdiff_t batch, time, features, units;
    const uint8_t *mask; /* (B, T) or NULL */
    int reverse;
    real *gates, *h_before, *c_before; /* (T, B, 4U), (T, B, U), (T, B, U) */
    int kept;                          /* for backward; else there are only the states of two steps, */
    Rows own;                          /* and of these rows */
    int by_units;                      /* each thread has some units of all rows, not all units of some rows */
    ptrdiff_t parts;                   /* of the rows, of which a thread has some */
    ptrdiff_t begin, end;              /* the steps of this chunk */
    const Meeting *meeting;            /* of those who share its units, */
    const Share *shares;               /* and what each of them has */
} Sequence;

/* As few chunks as there can be of at most so many rows, all of about the same size */
static ptrdiff_t chunk_steps(const Sequence *s, ptrdiff_t rows)
{
    const ptrdiff_t most = s->batch < rows ? rows / s->batch : 1, chunks = (s->time + most - 1) / most;
    return (s->time + chunks - 1) / chunks;
}

/* The place in time of a step. */
static ptrdiff_t place(const Sequence *s, ptrdiff_t step) { return s->reverse ? s->time - 1 - step : step; }

static int masked(const Sequence *s, ptrdiff_t row, ptrdiff_t step)
{
    return s->mask && !s->mask[row * s->time + place(s, step)];
}

/* The row of a (T, B, ...) array. */
static ptrdiff_t at(const Sequence *s, ptrdiff_t step, ptrdiff_t row) { return step * s->batch + row; }

/* The same of a state, which takes the place of that before the last one where nothing is kept. */
static ptrdiff_t state_at(const Sequence *s, ptrdiff_t step, ptrdiff_t row)
{
    return s->kept ? at(s, step, row) : step % 2 * (s->own.end - s->own.begin) + row - s->own.begin;
}

static void copy(real *to, const real *from, ptrdiff_t n) { memcpy(to, from, (size_t)n * sizeof(real)); }
static void zero(real *array, ptrdiff_t n) { memset(array, 0, (size_t)n * sizeof(real)); }

/* Where the input of a step lies in x, and its gradient in dx, (B, T, D) both. */
static ptrdiff_t input_at(const Sequence *s, ptrdiff_t step, ptrdiff_t row)
{
    return (row * s->time + place(s, step)) * s->features;
}

static ptrdiff_t chunk_rows(const Sequence *s) { return (s->end - s->begin) * s->batch; }

/* Blocks of so many numbers, all of them or -1. Packed weights get blocks of their own, since those are of the size
   of the gradients: with many units they are most of what a step takes, and the one can have been the other. */
static int take_blocks(int n, const ptrdiff_t *sizes, real **blocks)
{
    for (int i = 0; i < n; i++) {
        blocks[i] = memory_take((size_t)sizes[i] * sizeof(real));
        if (!blocks[i]) {
            while (i--)
                memory_give(blocks[i]);
            return -1;
        }
    }
    return 0;
}

static void give_blocks(int n, real **blocks)
{
    for (int i = 0; i < n; i++)
        memory_give(blocks[i]);
}

/* ---- threads ------------------------------------------------------------------------------------- */

static ptrdiff_t recurrent_bytes(ptrdiff_t units) { return 4 * units * units * (ptrdiff_t)sizeof(real); }

static int split_by_units(ptrdiff_t batch, ptrdiff_t units)
{
    const ptrdiff_t work = batch * 4 * units * units, threads = parallel_free_threads();
    const ptrdiff_t bytes = batch < READ_ROWS * threads        ? STEP_BYTES / 2
                            : batch < READ_MORE_ROWS * threads ? STEP_BYTES
                                                               : STEP_BYTES * 8;
    return units >= threads * SLIVER && work > STEP_WORK &&
           (batch < 2 * threads || recurrent_bytes(units) > bytes);
}

/* Run the body on parts of the units, multiples of a grain but for the last one, for steps that it takes in turns. */
static void for_units(Sequence *s, ptrdiff_t grain, range_fn body, void *context)
{
    const ptrdiff_t grains = (s->units + grain - 1) / grain, parts = min_of(parallel_free_threads(), grains);
    Counter begun[PARALLEL_MAX], done[PARALLEL_MAX];
    Share shares[PARALLEL_MAX];
    for (ptrdiff_t part = 0; part < parts; part++) {
        begun[part].count = done[part].count = 0;
        shares[part] = (Share){0, s->batch, grains * part / parts * grain,
                               min_of(s->units, grains * (part + 1) / parts * grain)};
    }
    const Meeting meeting = {parts, begun, done};
    s->meeting = &meeting;
    s->shares = shares;
    parallel_for(parts, 1, 1, body, context);
}

/* The parts of the batch that are worth a thread each, where a row does `work` multiplications */
static ptrdiff_t parts_of(ptrdiff_t batch, ptrdiff_t work)
{
    const ptrdiff_t worth = batch / (1 + THREAD_WORK / (work + 1));
    return min_of(parallel_free_threads(), worth > 1 ? worth : 1);
}

/* The rows in a range of parts */
static Rows rows_of(const Sequence *s, ptrdiff_t begin, ptrdiff_t end)
{
    return (Rows){begin * s->batch / s->parts, end * s->batch / s->parts};
}

static Share share_of(const Sequence *s, ptrdiff_t begin, ptrdiff_t end)
{
    const Rows rows = rows_of(s, begin, end);
    return (Share){rows.begin, rows.end, 0, s->units};
}

/* x of some rows over a chunk, step by step, which begin `pitch` rows apart; zeros for a masked step */
static void gather(const Sequence *s, const real *x, Rows rows, ptrdiff_t pitch, real *inputs, ptrdiff_t inputs_step)
{
    for (ptrdiff_t step = s->begin; step < s->end; step++, inputs += pitch * inputs_step)
        for (ptrdiff_t row = rows.begin; row < rows.end; row++) {
            real *input = inputs + (row - rows.begin) * inputs_step;
            if (masked(s, row, step))
                zero(input, s->features);
            else
                copy(input, x + input_at(s, step, row), s->features);
        }
}

/* ---- forward ------------------------------------------------------------------------------------- */

typedef struct {
    Sequence s;
    const real *x, *h0, *c0, *kernel, *recurrent, *bias;
    ptrdiff_t copies;                       /* of packed W and R: one for all threads, or each its own, */
    ptrdiff_t kernel_size, recurrent_size;  /* so far from one to the next, */
    real *packed_kernel, *packed_recurrent; /* as gemm.c does it and as pack_gates does it */
    ptrdiff_t together;                     /* gates in a sliver of R */
    real *inputs, *z;                       /* x and x W of a chunk for the rows of a share, step by step */
    ptrdiff_t inputs_step;                  /* from row to row */
    real *y, *h_last, *c_last;              /* (B, T, U), (B, U), (B, U) */
} Forward;

/* A thread packs W and R for itself, if they are small and it has much to do with them. */
static ptrdiff_t copies_of(const Sequence *s)
{
    const ptrdiff_t larger = s->features > s->units ? s->features : s->units;
    const int small = 4 * larger * s->units * (ptrdiff_t)sizeof(real) <= STEP_BYTES;
    return small && s->batch * s->time >= OWN_ROWS * s->parts ? s->parts : 1;
}

/* As many gates as a block of six rows has room for; all four where so few rows would make too few sums. */
static ptrdiff_t gates_together(const Sequence *s)
{
    return (s->batch + s->parts - 1) / s->parts <= GATE_ROWS ? 4 : BLOCK_VECS;
}

/* R as [unit block][gates / together][k][together][LANES] */
static void pack_gates(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Forward *f = context;
    const ptrdiff_t units = f->s.units;
    real *packed = f->packed_recurrent + begin * 4 * units;
    for (ptrdiff_t unit = begin; unit < end; unit += LANES) {
        const ptrdiff_t n = min_of(LANES, units - unit);
        for (ptrdiff_t gate = 0; gate < 4; gate += f->together)
            for (ptrdiff_t k = 0; k < units; k++)
                for (ptrdiff_t v = 0; v < f->together; v++, packed += LANES)
                    vstore(packed, vload_n(f->recurrent + (k * 4 + gate + v) * units + unit, n));
    }
}

static void pack_weights(Forward *f)
{
    const ptrdiff_t units = f->s.units;
    NAME(gemm_pack)(4 * units, f->s.features, f->kernel, 4 * units, 1, f->packed_kernel);
    parallel_for(units, f->s.by_units ? LANES : round_up(1 + COPY_WORK / (4 * units), LANES), LANES, pack_gates, f);
}

/* The state of a row after a step is the state before the next one. */
static real *after(const Sequence *s, real *before, real *last, ptrdiff_t step, ptrdiff_t row)
{
    return step + 1 < s->time ? before + state_at(s, step + 1, row) * s->units : last + row * s->units;
}

/* i, f, g and o of n units, of which o alone is stored where none are `kept`, and c from the one before. z holds x W,
   and the sums h R + b; or, without any, z holds x W + h R, and b is still to come. */
INLINE vec update_cell(ptrdiff_t units, ptrdiff_t n, const real *bias, const vec *sum, const real *z, real *gates,
                       int kept, vec c_before)
{
    vec gate[4];
    UNROLL for (int g = 0; g < 4; g++) {
        const vec total = vload_n(z + g * units, n) + (sum ? sum[g] : vload_n(bias + g * units, n));
        gate[g] = g == 2 ? vtanh_cell(total) : vsigmoid_cell(total);
    }
    UNROLL for (int g = 0; g < 4; g++)
        if (kept || g == 3)
            vstore_n(gates + g * units, gate[g], n);
    return vfma(gate[1], c_before, gate[0] * gate[2]);
}

/* x W of a share's row */
static real *z_of(const Forward *f, const Share *share, ptrdiff_t step, ptrdiff_t row)
{
    const ptrdiff_t rows = share->rows_end - share->row;
    return f->z + ((step - f->s.begin) * rows + row - share->row) * 4 * f->s.units;
}

/* Where the output of a row goes */
static real *output_of(const Forward *f, ptrdiff_t step, ptrdiff_t row)
{
    return f->y + (row * f->s.time + step) * f->s.units;
}

/* What a row will store, before the products that it waits for */
INLINE void fetch_results(const Forward *f, ptrdiff_t step, ptrdiff_t row, ptrdiff_t unit)
{
    const Sequence *s = &f->s;
    FETCH_TO_WRITE(output_of(f, step, row) + unit);
    if (!s->kept)
        return;
    FETCH_TO_WRITE(after(s, s->h_before, f->h_last, step, row) + unit);
    FETCH_TO_WRITE(after(s, s->c_before, f->c_last, step, row) + unit);
    for (int gate = 0; gate < 4 && s->parts > 1; gate++) /* else x W lies there */
        FETCH_TO_WRITE(s->gates + (at(s, step, row) * 4 + gate) * s->units + unit);
}

/* What follows h R, with or without sums of (rows, 4). All rows go through one half before the other begins: a row
   waits for itself, for one function after the other, but not for the rows beside it. */
INLINE void update_rows(const Forward *f, const Share *share, ptrdiff_t step, ptrdiff_t first, ptrdiff_t rows,
                        ptrdiff_t unit, ptrdiff_t n, const vec *sum)
{
    const Sequence *s = &f->s;
    const ptrdiff_t units = s->units, time = s->time, state = state_at(s, step, first) * units + unit;
    const real *h_before = s->h_before + state, *c_before = s->c_before + state;
    real *z = z_of(f, share, step, first) + unit;
    real *gates = s->kept ? s->gates + at(s, step, first) * 4 * units + unit : z;
    real *y = output_of(f, step, first) + unit;
    real *h = after(s, s->h_before, f->h_last, step, first) + unit;
    real *c = after(s, s->c_before, f->c_last, step, first) + unit;
    vec c_new[BLOCK_ROWS]; /* of a block: from c they would come late where its rows cross lines */
    for (ptrdiff_t row = 0; row < rows; row++) {
        vec c_row = vload_n(c_before + row * units, n);
        if (!masked(s, first + row, step))
            c_row = update_cell(units, n, f->bias + unit, sum ? sum + row * 4 : NULL, z + row * 4 * units,
                                gates + row * 4 * units, s->kept, c_row);
        vstore_n(c + row * units, c_row, n);
        if (sum)
            c_new[row] = c_row;
    }
    for (ptrdiff_t row = 0; row < rows; row++) {
        real *output = y + row * time * units;
        const int keep = masked(s, first + row, step);
        const vec o = vload_n(gates + (row * 4 + 3) * units, n);
        const vec c_row = sum ? c_new[row] : vload_n(c + row * units, n);
        const vec h_new = keep ? vload_n(h_before + row * units, n) : o * vtanh_cell(c_row);
        vstore_n(h + row * units, h_new, n);
        vstore_n(output, !keep ? h_new : step > 0 ? vload_n(output - units, n) : vset(0), n);
    }
}

#if BLOCK_VECS == 4

/* With registers for six rows and all gates, the sums of a block are whole when k is through, and the functions of the
   cell follow at once. */
static void update_block(const Forward *f, const Share *share, ptrdiff_t step, ptrdiff_t first, ptrdiff_t rows,
                         ptrdiff_t unit, ptrdiff_t n, const vec *sum)
{
    if (n == LANES)
        update_rows(f, share, step, first, rows, unit, LANES, sum);
    else
        update_rows(f, share, step, first, rows, unit, n, sum);
}

INLINE void forward_block(const int rows, const Forward *f, const Share *share, ptrdiff_t step, ptrdiff_t first,
                          ptrdiff_t unit, const real *ahead, ptrdiff_t fetches)
{
    const ptrdiff_t units = f->s.units, n = min_of(LANES, units - unit);
    vec sum[BLOCK_ROWS * 4];
    UNROLL for (int i = 0; i < rows * 4; i++)
        sum[i] = vload_n(f->bias + i % 4 * units + unit, n);
    if (before_zen5) /* a Zen 5 stores as fast what it has not fetched */
        UNROLL for (int row = 0; row < rows; row++)
            fetch_results(f, step, first + row, unit);
    block_accumulate(rows, 4, sum, units, f->s.h_before + state_at(&f->s, step, first) * units, units, 1,
                     f->packed_recurrent + unit * 4 * units, ahead, fetches);
    update_block(f, share, step, first, rows, unit, n, sum);
}

#define WIDE 4 /* slivers side by side for one row, as in gemm.c */

static void forward_row(const Forward *f, const Share *share, ptrdiff_t step, ptrdiff_t unit)
{
    const ptrdiff_t units = f->s.units, row = share->row;
    vec sum[WIDE * 4];
    UNROLL for (int i = 0; i < WIDE * 4; i++)
        sum[i] = vload(f->bias + i % 4 * units + unit + i / 4 * LANES);
    wide_accumulate(1, WIDE, sum, units, f->s.h_before + state_at(&f->s, step, row) * units, units, 1,
                    f->packed_recurrent + unit * 4 * units, 4 * LANES * units);
    for (int w = 0; w < WIDE; w++)
        update_block(f, share, step, row, 1, unit + w * LANES, LANES, sum + w * 4);
}

/* All units of a group for some rows, then for the next ones */
static void forward_group(const Forward *f, const Share *share, ptrdiff_t step, ptrdiff_t begin, ptrdiff_t end,
                          ptrdiff_t fetches)
{
    const ptrdiff_t rows = share->rows_end - share->row, blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const ptrdiff_t sliver = 4 * LANES * f->s.units;
    const real *ahead = f->packed_recurrent + end * 4 * f->s.units;
    for (ptrdiff_t block = 0, row = share->row; block < blocks; block++) {
        const ptrdiff_t n = rows / blocks + (block < rows % blocks);
        for (ptrdiff_t unit = begin; unit < end; unit += LANES, ahead += sliver / blocks)
            switch (n) {
#define CASE(n)                                                                                           \
    case n:                                                                                               \
        forward_block(n, f, share, step, row, unit, ahead, fetches);                                      \
        break;
                CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
            }
        row += n;
    }
}

#else

/* A register block of h R: some rows, the gates of a sliver, a run of k */
typedef struct {
    ptrdiff_t depth, units;
    ptrdiff_t n; /* units in the block */
    const real *h, *recurrent, *ahead;
    real *z;
    ptrdiff_t fetches;
} Block;

/* z += h R */
INLINE void forward_block(const int rows, const int vecs, const ptrdiff_t n, const Block *b)
{
    const ptrdiff_t units = b->units;
    real *const z = b->z;
    vec sum[BLOCK_ROWS * BLOCK_VECS];
    UNROLL for (int i = 0; i < rows * vecs; i++) {
        FETCH_TO_WRITE(z + (i / vecs * 4 + i % vecs) * units);
        sum[i] = vset(0);
    }
    block_accumulate(rows, vecs, sum, b->depth, b->h, units, 1, b->recurrent, b->ahead, b->fetches);
    UNROLL for (int i = 0; i < rows * vecs; i++) {
        real *const entry = z + (i / vecs * 4 + i % vecs) * units;
        vstore_n(entry, vload_n(entry, n) + sum[i], n);
    }
}

#define CASE(rows, vecs)                                                                                  \
    case (rows) * 8 + (vecs):                                                                             \
        if (b->n == LANES)                                                                                \
            forward_block(rows, vecs, LANES, b);                                                          \
        else                                                                                              \
            forward_block(rows, vecs, b->n, b);                                                           \
        break;

static void forward_rows(ptrdiff_t rows, ptrdiff_t vecs, const Block *b)
{
    switch (rows * 8 + vecs) {
        CASE(1, 4) CASE(2, 4) CASE(3, 4)
        CASE(1, 2) CASE(2, 2) CASE(3, 2) CASE(4, 2) CASE(5, 2) CASE(6, 2)
    }
}

/* z += h R for the units of a block and a run of k: all row blocks meet the same slivers. */
static void forward_run(const Forward *f, const Share *share, ptrdiff_t step, ptrdiff_t unit, ptrdiff_t gate,
                        ptrdiff_t k, ptrdiff_t fetches)
{
    const Sequence *s = &f->s;
    const ptrdiff_t units = s->units, rows = share->rows_end - share->row, depth = min_of(DEPTH, units - k);
    const ptrdiff_t most = f->together == BLOCK_VECS ? BLOCK_ROWS : GATE_ROWS, blocks = (rows + most - 1) / most;
    const ptrdiff_t least = rows / blocks, longer = rows % blocks, width = f->together * LANES;
    Block b = {.depth = depth, .units = units, .n = min_of(LANES, units - unit),
               .h = s->h_before + state_at(s, step, share->row) * units + k,
               .recurrent = f->packed_recurrent + (unit * 4 + gate * LANES) * units + k * width,
               .z = z_of(f, share, step, share->row) + gate * units + unit, .fetches = fetches};
    b.ahead = b.recurrent + depth * width;
    for (ptrdiff_t block = 0; block < blocks; block++) {
        const ptrdiff_t n = least + (block < longer);
        forward_rows(n, f->together, &b);
        b.h += n * units;
        b.z += n * 4 * units;
        b.ahead += depth * width / blocks;
    }
}

/* A group is the units of a vector here, and R is read in runs of k. */
static void forward_group(const Forward *f, const Share *share, ptrdiff_t step, ptrdiff_t unit, ptrdiff_t end,
                          ptrdiff_t fetches)
{
    const ptrdiff_t units = f->s.units, rows = share->rows_end - share->row;
    for (ptrdiff_t gate = 0; gate < 4; gate += f->together)
        for (ptrdiff_t k = 0; k < units; k += DEPTH)
            forward_run(f, share, step, unit, gate, k, fetches);
    if (end - unit == LANES)
        update_rows(f, share, step, share->row, rows, unit, LANES, NULL);
    else
        update_rows(f, share, step, share->row, rows, unit, end - unit, NULL);
}

#endif

/* The units that all rows go through before the next ones come. Of more than a vector's what the rows read and write
   lies together, and R comes from the second-level cache for each block of rows: so it does on older processors in any
   case, whose first-level cache has no room for what is packed of R for a vector of 128 units. */
static ptrdiff_t group_of(ptrdiff_t units)
{
    const ptrdiff_t near = GROUP_BYTES / (4 * units * (ptrdiff_t)sizeof(real)) / LANES * LANES;
    return BLOCK_VECS == 4 && before_zen5 && near > 0 ? near : LANES;
}

static void forward_step(const Forward *f, const Share *share, ptrdiff_t step)
{
    const ptrdiff_t units = f->s.units, share_units = share->units_end - share->unit, group = group_of(units);
    const ptrdiff_t rows = share->rows_end - share->row, bytes = share_units * 4 * units * (ptrdiff_t)sizeof(real);
    const ptrdiff_t fetches = group < share_units ? fetches_of(rows, bytes) : 0;
    ptrdiff_t unit = share->unit;
#if BLOCK_VECS == 4
    for (; rows == 1 && unit + WIDE * LANES <= share->units_end; unit += WIDE * LANES)
        forward_row(f, share, step, unit);
#endif
    for (; unit < share->units_end; unit += group)
        forward_group(f, share, step, unit, min_of(unit + group, share->units_end), fetches);
}

static void forward_turn(const void *context, ptrdiff_t part, ptrdiff_t turn)
{
    const Forward *f = context;
    forward_step(f, f->s.shares + part, f->s.begin + turn);
}

static void forward_steps(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Forward *f = context;
    const Share share = share_of(&f->s, begin, end);
    const unsigned before = denormals_flush();
    if (f->s.by_units)
        take_turns(f->s.meeting, begin, end, (int)(f->s.end - f->s.begin), forward_turn, f);
    else
        for (ptrdiff_t step = f->s.begin; step < f->s.end; step++)
            forward_step(f, &share, step);
    denormals_restore(before);
}

/* What the thread works with that has these rows, from that part on */
static void take_own(Forward *f, ptrdiff_t part, Rows rows)
{
    const ptrdiff_t units = f->s.units, first = rows.begin * chunk_steps(&f->s, FORWARD_ROWS);
    if (f->copies > 1) {
        f->packed_kernel += part * f->kernel_size;
        f->packed_recurrent += part * f->recurrent_size;
        pack_weights(f);
    }
    f->inputs += first * f->inputs_step;
    f->z += first * 4 * units;
    f->s.own = rows;
    if (!f->s.kept) {
        f->s.h_before += rows.begin * 4 * units + part * APART;
        f->s.c_before = f->s.h_before + (rows.end - rows.begin) * 2 * units;
    }
    for (ptrdiff_t row = rows.begin; row < rows.end; row++) {
        copy(f->s.h_before + state_at(&f->s, 0, row) * units, f->h0 + row * units, units);
        copy(f->s.c_before + state_at(&f->s, 0, row) * units, f->c0 + row * units, units);
    }
}

/* The next chunk, if there is one. The z of all rows lies where their gates will. */
static int next_chunk(Forward *f, int all_rows)
{
    Sequence *s = &f->s;
    s->begin = s->end;
    s->end = min_of(s->time, s->begin + chunk_steps(s, FORWARD_ROWS));
    if (s->kept && all_rows)
        f->z = s->gates + at(s, s->begin, 0) * 4 * s->units;
    return s->begin < s->time;
}

/* x W of a chunk for some rows */
static void multiply_inputs(const Forward *f, Rows rows)
{
    const ptrdiff_t n = rows.end - rows.begin, gates = 4 * f->s.units;
    gather(&f->s, f->x, rows, n, f->inputs, f->inputs_step);
    NAME(gemm_packed_parallel)(n * (f->s.end - f->s.begin), gates, f->s.features, f->inputs, f->inputs_step, 1,
                               f->packed_kernel, f->z, gates, GEMM_FLUSH);
}

/* The whole sequence for the rows of some parts */
static void forward_by_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    Forward f = *(const Forward *)context;
    const Rows rows = rows_of(&f.s, begin, end);
    take_own(&f, begin, rows);
    while (next_chunk(&f, rows.end - rows.begin == f.s.batch)) {
        multiply_inputs(&f, rows);
        forward_steps(&f, begin, end);
    }
}

/* The whole sequence, some units in each thread */
static void forward_by_units(Forward *f)
{
    const Rows all = {0, f->s.batch};
    take_own(f, 0, all);
    while (next_chunk(f, 1)) {
        multiply_inputs(f, all);
        for_units(&f->s, LANES, forward_steps, f);
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
    const int by_units = split_by_units(batch, units);
    const ptrdiff_t parts = by_units ? 1 : parts_of(batch, time * 4 * units * (features + units));
    const Sequence s = {.batch = batch, .time = time, .features = features, .units = units, .mask = mask,
                        .reverse = reverse, .gates = gates, .h_before = h_before, .c_before = c_before,
                        .kept = gates != NULL, .by_units = by_units, .parts = parts};
    Forward f = {.s = s, .x = x, .h0 = h0, .c0 = c0, .kernel = kernel, .recurrent = recurrent, .bias = bias,
                 .copies = copies_of(&s), .kernel_size = NAME(gemm_packed_size)(4 * units, features),
                 .recurrent_size = round_up(units, LANES) * 4 * units, .together = gates_together(&s),
                 .inputs_step = NAME(gemm_spread)(features), .y = y, .h_last = h, .c_last = c};
    const ptrdiff_t rows = chunk_steps(&s, FORWARD_ROWS) * batch;
    const ptrdiff_t sizes[] = {f.copies * f.kernel_size, f.copies * f.recurrent_size, rows * f.inputs_step,
                               s.kept && parts == 1 ? 0 : rows * 4 * units, s.kept ? 0 : 4 * state + parts * APART};
    real *blocks[5];
    if (take_blocks(5, sizes, blocks))
        return -1;
    f.packed_kernel = blocks[0];
    f.packed_recurrent = blocks[1];
    f.inputs = blocks[2];
    f.z = blocks[3];
    if (!s.kept)
        f.s.h_before = blocks[4];
    if (f.copies == 1)
        pack_weights(&f);
    if (by_units)
        forward_by_units(&f);
    else
        parallel_for(parts, 1, 1, forward_by_rows, &f);
    give_blocks(5, blocks);
    return 0;
}

/* ---- backward ------------------------------------------------------------------------------------ */

typedef struct {
    Sequence s;
    const real *x, *dy;             /* (B, T, D), (B, T, U) or NULL */
    const real *kernel, *recurrent; /* W' (4U, D) and R' (4U, U), as gemm.c packs them */
    real *dh, *dc;                  /* (B, U), carried from step to step */
    real *dlast;                    /* (B, U), of outputs that repeated an earlier one; NULL without a mask */
    real *dz, *dx_chunk;            /* (B, chunk, 4U), (B, chunk, D): the rows of a thread lie together */
    real *packed_dz, *inputs;       /* (chunk, B, 4U) as gemm.c packs it, and x (chunk, B, D) */
    ptrdiff_t dz_step, inputs_step; /* from row to row */
    real *dx, *dkernel, *drecurrent, *dbias;
} Backward;

/* The row of a (B, chunk, ...) array. */
static ptrdiff_t in_chunk(const Sequence *s, ptrdiff_t step, ptrdiff_t row)
{
    return row * (s->end - s->begin) + step - s->begin;
}

static real *dz_of(const Backward *b, ptrdiff_t step, ptrdiff_t row)
{
    return b->dz + in_chunk(&b->s, step, row) * b->dz_step;
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
    const vec one = vset(1), tanh_c = vtanh_cell(vfma(f, c_before, i * g));
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

/* The derivatives of a share, from the end of the chunk on: dh from all dz of the step before, and then dz. */
static void backward_step(const Backward *b, const Share *share, ptrdiff_t turn)
{
    const Sequence *s = &b->s;
    const ptrdiff_t units = s->units, gates = 4 * units, step = s->end - 1 - turn;
    if (turn > 0)
        NAME(gemm_packed)(share->rows_end - share->row, share->units_end - share->unit, gates,
                          dz_of(b, step + 1, share->row), (s->end - s->begin) * b->dz_step, 1,
                          b->recurrent + share->unit * gates, b->dh + share->row * units + share->unit, units, 1);
    if (step >= s->begin)
        differentiate_share(b, share, step);
}

static void backward_turn(const void *context, ptrdiff_t part, ptrdiff_t turn)
{
    const Backward *b = context;
    backward_step(b, b->s.shares + part, turn);
}

static void backward_steps(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Backward *b = context;
    const Share share = share_of(&b->s, begin, end);
    const ptrdiff_t turns = b->s.end - b->s.begin + 1;
    const unsigned before = denormals_flush();
    if (b->s.by_units)
        take_turns(b->s.meeting, begin, end, (int)turns, backward_turn, b);
    else
        for (ptrdiff_t turn = 0; turn < turns; turn++)
            backward_step(b, &share, turn);
    denormals_restore(before);
}

/* dx of a chunk for some rows, and their x for dW */
static void multiply_gradients(const Backward *b, Rows rows)
{
    const Sequence *s = &b->s;
    real *dx = b->dx_chunk + in_chunk(s, s->begin, rows.begin) * b->inputs_step;
    NAME(gemm_packed_parallel)((rows.end - rows.begin) * (s->end - s->begin), s->features, 4 * s->units,
                               dz_of(b, s->begin, rows.begin), b->dz_step, 1, b->kernel, dx, b->inputs_step,
                               GEMM_FLUSH);
    for (ptrdiff_t row = rows.begin; row < rows.end; row++)
        for (ptrdiff_t step = s->begin; step < s->end; step++, dx += b->inputs_step)
            copy(b->dx + input_at(s, step, row), dx, s->features);
    gather(s, b->x, rows, s->batch, b->inputs + rows.begin * b->inputs_step, b->inputs_step);
}

/* dz and dx of a chunk for the rows of some parts */
static void backward_by_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Backward *b = context;
    backward_steps(context, begin, end);
    multiply_gradients(b, rows_of(&b->s, begin, end));
}

/* The same, some units in each thread */
static void backward_by_units(Backward *b)
{
    for_units(&b->s, SLIVER, backward_steps, b);
    multiply_gradients(b, (Rows){0, b->s.batch});
}

/* db += the sums of a sliver, which then begin again */
INLINE void add_bias(const Backward *b, ptrdiff_t column, ptrdiff_t columns, vec *sum)
{
    UNROLL for (int v = 0; v < BLOCK_VECS; v++)
        if (v * LANES < columns) {
            const ptrdiff_t n = min_of(LANES, columns - v * LANES);
            real *dbias = b->dbias + column + v * LANES;
            vstore_n(dbias, vload_n(dbias, n) + sum[v], n);
            sum[v] = vset(0);
        }
}

/* dz for the columns of a sliver, packed as gemm.c does it, and db += its sums over some rows each, in order. Meanwhile
   some units of each row of h are fetched, which dR reads next and which may lie far by now. */
INLINE void pack_sliver(const Backward *b, ptrdiff_t column, ptrdiff_t columns, ptrdiff_t unit, ptrdiff_t units_end)
{
    const Sequence *s = &b->s;
    const ptrdiff_t width = round_up(columns, LANES), row_step = (s->end - s->begin) * b->dz_step;
    const real *h_before = s->h_before + at(s, s->begin, 0) * s->units;
    real *packed = b->packed_dz + column * chunk_rows(s);
    ptrdiff_t summed = 0;
    vec sum[BLOCK_VECS];
    UNROLL for (int v = 0; v < BLOCK_VECS; v++)
        sum[v] = vset(0);
    for (ptrdiff_t step = s->begin; step < s->end; step++) {
        const real *dz = dz_of(b, step, 0) + column;
        for (ptrdiff_t row = 0; row < s->batch; row++, dz += row_step, packed += width, h_before += s->units) {
            for (ptrdiff_t u = unit; u < units_end; u += LINE)
                FETCH(h_before + u);
            UNROLL for (int v = 0; v < BLOCK_VECS; v++)
                if (v * LANES < columns) {
                    const vec entries = vload_n(dz + v * LANES, min_of(LANES, columns - v * LANES));
                    vstore(packed + v * LANES, entries);
                    sum[v] += entries;
                }
        }
        summed += s->batch;
        if (summed >= SUM_ROWS || step + 1 == s->end) {
            add_bias(b, column, columns, sum);
            summed = 0;
        }
    }
}

/* The columns from begin to end of dz. Each of their slivers fetches as many units of h, if h stays near until it is
   read. */
static void pack_gradients(const Backward *b, ptrdiff_t begin, ptrdiff_t end)
{
    const ptrdiff_t units = b->s.units, bytes = chunk_rows(&b->s) * units * (ptrdiff_t)sizeof(real);
    const ptrdiff_t slivers = (end - begin + SLIVER - 1) / SLIVER;
    const ptrdiff_t share = bytes <= NEAR_BYTES ? round_up((units + slivers - 1) / slivers, LINE) : 0;
    const unsigned before = denormals_flush();
    for (ptrdiff_t column = begin, unit = 0; column < end; column += SLIVER, unit += share)
        if (column + SLIVER <= end)
            pack_sliver(b, column, SLIVER, unit, min_of(unit + share, units));
        else
            pack_sliver(b, column, end - column, unit, min_of(unit + share, units));
    denormals_restore(before);
}

/* What a chunk adds to some columns of dW, dR and db */
static void weight_gradients(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Backward *b = context;
    const Sequence *s = &b->s;
    const ptrdiff_t rows = chunk_rows(s), units = s->units, gates = 4 * units, columns = end - begin;
    const real *h_before = s->h_before + at(s, s->begin, 0) * units, *packed_dz = b->packed_dz + begin * rows;
    const int add = GEMM_ACCUMULATE | GEMM_FLUSH;
    pack_gradients(b, begin, end);
    NAME(gemm_packed_parallel)(s->features, columns, rows, b->inputs, 1, b->inputs_step, packed_dz, b->dkernel + begin,
                               gates, add);
    NAME(gemm_packed_parallel)(units, columns, rows, h_before, 1, units, packed_dz, b->drecurrent + begin, gates, add);
}

static ptrdiff_t backward_chunk(const Sequence *s)
{
    /* the gates, dz and dz packed, 4 numbers a unit each, h, c; x, dx */
    const ptrdiff_t row_bytes = (14 * s->units + 2 * s->features) * (ptrdiff_t)sizeof(real);
    const ptrdiff_t near = NEAR_CHUNK / row_bytes;
    const ptrdiff_t rows = recurrent_bytes(s->units) > STEP_BYTES ? LARGE_ROWS : BACKWARD_ROWS;
    return chunk_steps(s, near > rows ? near : rows);
}

static void run_backward(Backward *b)
{
    Sequence *s = &b->s;
    const ptrdiff_t steps = backward_chunk(s), gates = 4 * s->units, both = s->features + s->units;
    for (s->end = s->time; s->end > 0; s->end = s->begin) {
        s->begin = (s->end - 1) / steps * steps;
        if (s->by_units)
            backward_by_units(b);
        else
            parallel_for(s->parts, 1, 1, backward_by_rows, b);
        parallel_for(gates, round_up(1 + THREAD_WORK / (chunk_rows(s) * both), LANES), LANES, weight_gradients, b);
    }
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
    Sequence s = {.batch = batch, .time = time, .features = features, .units = units, .mask = mask,
                  .reverse = reverse, .gates = (real *)gates, .h_before = (real *)h_before,
                  .c_before = (real *)c_before, .by_units = split_by_units(batch, units)};
    s.parts = s.by_units ? 1 : parts_of(batch, backward_chunk(&s) * 4 * units * (features + units));
    const ptrdiff_t rows = backward_chunk(&s) * batch;
    const ptrdiff_t dz_step = NAME(gemm_spread)(4 * units), inputs_step = NAME(gemm_spread)(features);
    const ptrdiff_t sizes[] = {NAME(gemm_packed_size)(features, 4 * units), NAME(gemm_packed_size)(units, 4 * units),
                               NAME(gemm_packed_size)(4 * units, rows), rows * dz_step, rows * inputs_step,
                               rows * inputs_step, mask ? state : 0};
    real *blocks[7];
    if (take_blocks(7, sizes, blocks))
        return -1;
    NAME(gemm_pack)(features, 4 * units, kernel, 1, 4 * units, blocks[0]);
    NAME(gemm_pack)(units, 4 * units, recurrent, 1, 4 * units, blocks[1]);
    if (mask)
        zero(blocks[6], state);
    run_backward(&(Backward){.s = s, .x = x, .dy = dy, .kernel = blocks[0], .recurrent = blocks[1], .dh = dh0,
                             .dc = dc0, .dlast = mask ? blocks[6] : NULL, .packed_dz = blocks[2], .dz = blocks[3],
                             .dx_chunk = blocks[4], .inputs = blocks[5], .dz_step = dz_step,
                             .inputs_step = inputs_step, .dx = dx, .dkernel = dkernel, .drecurrent = drecurrent,
                             .dbias = dbias});
    give_blocks(7, blocks);
    return 0;
}
