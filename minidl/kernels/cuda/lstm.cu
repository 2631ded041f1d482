// The LSTM on the GPU: forward beside backward, each once for short states and once for long ones.
//
// x W for all steps is one large product before the loop over time, and dx, dW, dR and db are large products behind it;
// cuBLAS does those. What is left to do step by step is h R, or dz Rᵀ, and the gates.
//
// Short states, the `persistent` kernels here and the `wide` ones of lstm_wide.cu: one launch runs the whole sequence. R
// is read once and stays in registers, 64 of each thread, spread over a group of blocks: each block owns some units. A
// group runs the sequence for a few rows of the batch, so no two groups ever wait for each other; what its blocks hand
// each other is all that moves, one number a unit and row. Forward, each block gives its new states to all, and each
// multiplies them by the columns of R of its own units. Backward, each block multiplies its own units' dz, and gives the
// parts of dh to their owners.
//
//     units, float32   float64   of a block   blocks   that hand numbers over in
//              to 32     to 32           32        1   their shared memory
//             to 256    to 128           32     to 8   that of a cluster; before sm_90, which has none, global memory
//             to 512    to 256           16    to 32   global memory, where they meet at a counter: lstm_wide.cu
//            to 1024    to 512            8   to 128   the same; all blocks must be on the GPU at once
//
// What a row of a step costs a block of 16 warps in float32: 64 multiply-adds a thread and as many instructions around
// them as make 420 cycles of an SM that starts four a cycle. An H200 takes 650, of which its schedulers stand idle a
// third, mostly at the barriers of a step. The loads of what is multiplied are few, because each number is used four
// times, for the four gates or for four units; if it were used once, shared memory, which hands a warp 128 bytes a
// cycle, would take 1024 cycles. Two rows run side by side, so that one's loads and shuffles hide behind the other's
// products. (Counted by Nsight Compute, for 512 units and 128 rows.)
//
// What a step waits for, however few the rows: the products of the first, 150 cycles; two barriers with sums between
// warps, 150; the gates and tanh(c), 400, the gates side by side because none has a branch; the way to the other
// blocks. In a cluster that is one store which counts itself in (st.async), a few hundred cycles: a fence or the
// cluster's own barrier would wait for everything that is on its way to global memory. In global memory it is a release
// by one thread, a counter and the way back, some 2000. These cycles come from counting instructions. The whole step of
// one row a group, measured on an H200: 0.83 µs at 128 units, 1.03 at 256, and before there were shifts 1.98 at 512 and
// 2.49 at 1024, of 1980 cycles each, and backward as much.
//
// Long states, the `step` kernels: cuBLAS makes h R, or dz Rᵀ, one step at a time and one kernel does the rest. A model
// plays its steps as graphs (_cuda_graph.py), which spares it the launches from Python.
//
// Every sum has one order, that of the warps and of the units in each, whatever the batch, the grid and the GPU.
//
// B rows of the batch, T steps, U units. gates and dz are (B, T, 4, U), the gates in the order i, f, g, o; y, h_before
// and c_before (B, T, U), where y lists the outputs as they were made and all others lie at the time they belong to;
// mask (B, T) or null; dy, dh and dc may be null and then stand for zeros. Where h_before and c_before are null, nothing
// is kept for backward.

#include "lstm.cuh"

#define IN_CLUSTERS (BLOCKS > 1)

#include "cluster.cuh"

// ---- short states: the whole sequence in one launch ---------------------------------------

// z = x_t W + b + h R, the gates, c and h. In gates lies x W.
//
// A block has `rows` rows of the batch and UNITS units, and as many warps as it takes for DEPTH · PARTS states each to
// be all. A thread multiplies its part of the states by its unit's four columns of R, for every row; then the first
// rows · UNITS threads own one state each, and give it to all blocks.
extern "C" __global__ void GROUPED __launch_bounds__(512) persistent_forward(
    real* gates, const real* recurrent, const real* bias, const real* h0, const real* c0, const unsigned char* mask,
    int reverse, int batch, int time, int units, int rows, real* y, real* h_last, real* c_last, real* h_before,
    real* c_before) {
    extern __shared__ __align__(16) unsigned char memory[];
    const int warp = threadIdx.x / 32, warps = blockDim.x / 32, width = warps * PARTS * DEPTH;
    const int part = threadIdx.x % 32 / UNITS, lane = threadIdx.x % UNITS, q_own = threadIdx.x / UNITS;
    const int unit = blockIdx.x % BLOCKS * UNITS + lane, begin = warp * PARTS * DEPTH;
    constexpr int buffers = IN_CLUSTERS ? 2 : 1; // which take turns: a slow block may still read the other
    constexpr int pack = Pack<real>::size;
    [[maybe_unused]] const int sent = (units + pack - 1) / pack * pack; // of a row, in packs
    Meetings meetings(memory);
    Gates* const biases = (Gates*)(memory + 16); // (UNITS,)
    real* const states = (real*)(biases + UNITS); // (buffers, rows, width)
    Gates* const sums = (Gates*)(states + buffers * rows * width); // (rows, warps, UNITS)

    if (threadIdx.x < UNITS) biases[lane] = unit < units ? read(bias + unit, units) : Gates{0, 0, 0, 0};
    Gates r[DEPTH];
    read_columns(r, recurrent, begin, part, unit, units);

    for (int first = blockIdx.x / BLOCKS * rows; first < batch; first += gridDim.x / BLOCKS * rows) {
        const int here = min(rows, batch - first);
        for (int i = threadIdx.x; i < buffers * rows * width; i += blockDim.x) {
            const int q = i / width % rows, from = i % width;
            states[i] = q < here && from < units ? h0[(size_t)(first + q) * units + from] : 0;
        }
        const int row = first + q_own;
        const bool owner = q_own < here && unit < units;
        real h = owner ? h0[(size_t)row * units + unit] : 0, c = owner ? c0[(size_t)row * units + unit] : 0, output = 0;
        Gates next = {0, 0, 0, 0}; // x W and the mask of a step are read one step ahead: the way to memory is long
        unsigned char next_valid = 1; // as it comes: to look at it would be to wait for it
        const auto look_ahead = [&](int step) {
            if (!owner || step == time) return;
            const size_t at = place(row, reverse ? time - 1 - step : step, time);
            next = read(gates + 4 * at * units + unit, units);
            if (mask) next_valid = mask[at];
        };
        look_ahead(0);
        meetings.begin();

        for (int step = 0; step < time; ++step) {
            const int t = reverse ? time - 1 - step : step, turn = meetings.turn();
            Gates z = next;
            const bool valid = next_valid;
            const real h_old = h, c_old = c;
            meetings.expect(here * sent);

            const real* const now = states + (buffers == 2 ? 1 - turn : 0) * rows * width + begin;
            const auto multiply = [&](int q, auto count) {
                Gates* const to = sums + (q * warps + warp) * UNITS + lane;
                multiply_states<decltype(count)::value>(r, now + q * width, width, to, warps, part, lane);
            };
            by_pairs(0, here, multiply);
            __syncthreads();

            if (owner) {
                const Gates b = biases[lane];
                z = {z.i + b.i, z.f + b.f, z.g + b.g, z.o + b.o};
                z = plus_sums(z, sums + q_own * warps * UNITS + lane, warps, lane);
                real c_new = c;
                const real h_new = cell_forward(z, c_new);
                if (valid) h = output = h_new, c = c_new;
#if !IN_CLUSTERS
                states[q_own * width + unit] = h;
#endif
            }
#if IN_CLUSTERS
            if (q_own < here) // all of a warp have the same row; h is 0 past the last unit
                send_to_all(states + (turn * rows + q_own) * width + unit, h, unit < sent, meetings.bytes_come + turn);
#endif
            if (owner) {
                const size_t at = place(row, t, time);
                if (h_before) {
                    h_before[at * units + unit] = h_old;
                    c_before[at * units + unit] = c_old;
                    write(gates + 4 * at * units + unit, units, z);
                }
                y[place(row, step, time) * units + unit] = output;
            }
            look_ahead(step + 1);
            meetings.wait();
        }
        if (owner) {
            h_last[(size_t)row * units + unit] = h;
            c_last[(size_t)row * units + unit] = c;
        }
        __syncthreads();
    }
}

// dz of each step, dh ← dz Rᵀ, and dh and dc before the first.
//
// The same blocks, but nobody hands on dz: a block keeps its units' own and multiplies it by their columns of R, in the
// rows of all units. A thread has four of the rows and a part of the columns. Each sum goes to the block that owns the
// row's unit, and the owner adds up what has come from the blocks: one number a unit where dz has four.
extern "C" __global__ void GROUPED __launch_bounds__(512) persistent_backward(
    const real* gates, const real* c_before, const real* recurrent, const unsigned char* mask, int reverse, int batch,
    int time, int units, int rows, const real* dy, const real* dh_last, const real* dc_last, real* dz, real* dh0,
    real* dc0) {
    extern __shared__ __align__(16) unsigned char memory[];
    const int rank = blockIdx.x % BLOCKS, lane = threadIdx.x % UNITS, q_own = threadIdx.x / UNITS;
    const int unit = rank * UNITS + lane, part = threadIdx.x % SHARING, to = threadIdx.x / SHARING * 4;
    Meetings meetings(memory);
    Gates* const slopes = (Gates*)(memory + 16);            // (2, rows, UNITS)
    real* const parts = (real*)(slopes + 2 * rows * UNITS); // (2, rows, BLOCKS, UNITS)
    const int all_parts = rows * BLOCKS * UNITS;            // that a block is given at a meeting

    Gates r[DEPTH];
    read_rows(r, recurrent, rank * UNITS + part, to, units);

    for (int first = blockIdx.x / BLOCKS * rows; first < batch; first += gridDim.x / BLOCKS * rows) {
        const int here = min(rows, batch - first), row = first + q_own;
        const bool owner = q_own < here && unit < units;
        const size_t state = (size_t)row * units + unit;
        real dh = owner && dh_last ? dh_last[state] : 0, dc = owner && dc_last ? dc_last[state] : 0, doutput = 0;
        Gates next = {0, 0, 0, 0};
        real next_c = 0, next_dy = 0, tanh_c = 0;
        unsigned char next_valid = 1; // as it comes: to look at it would be to wait for it
        const auto look_ahead = [&](int step) {
            if (!owner || step < 0) return;
            const size_t at = place(row, reverse ? time - 1 - step : step, time);
            next = read(gates + 4 * at * units + unit, units);
            next_c = c_before[at * units + unit];
            if (mask) next_valid = mask[at];
            if (dy) next_dy = dy[place(row, step, time) * units + unit];
        };
        look_ahead(time - 1);
        if (owner) tanh_c = tanh_of_state(next, next_c);
        meetings.begin();

        for (int step = time - 1; step >= 0; --step) {
            const int t = reverse ? time - 1 - step : step, turn = meetings.turn();
            const bool valid = next_valid;
            Gates* const now = slopes + turn * rows * UNITS; // in turns: a slow warp may still read the other
            if (q_own < here) {
                Gates slope = {0, 0, 0, 0};
                doutput += next_dy;
                if (owner && valid) {
                    slope = cell_backward(next, next_c, tanh_c, dh + doutput, dc);
                    doutput = 0;
                }
                now[q_own * UNITS + lane] = slope;
            }
            meetings.expect(here * BLOCKS * min(UNITS, units - rank * UNITS));
            look_ahead(step - 1);
            __syncthreads();

            const auto multiply = [&](int q, auto count) {
                const auto give = [&](int n, int which, const real(&sum)[4]) {
                    const int target = to + which;
                    if (part >= 4 || target >= units) return;
                    const int at = ((q + n) * BLOCKS + rank) * UNITS + target % UNITS;
#if IN_CLUSTERS
#pragma unroll
                    for (int k = 0; k < KEPT; ++k)
                        send(parts + turn * all_parts + at + k, target / UNITS, sum[k], meetings.bytes_come + turn);
#else
                    store<KEPT>(parts + turn * all_parts + at, sum);
#endif
                };
                multiply_slopes<decltype(count)::value>(r, now + q * UNITS, part, give);
            };
            by_pairs(0, here, multiply);
            if (owner) {
                write(dz + 4 * place(row, t, time) * units + unit, units, now[q_own * UNITS + lane]);
                if (step) tanh_c = tanh_of_state(next, next_c); // while the others' parts are on their way
            }
            meetings.wait();
            const real* const come = parts + turn * all_parts + q_own * BLOCKS * UNITS;
            if (owner && valid) {
                dh = 0;
#pragma unroll
                for (int b = 0; b < BLOCKS; ++b) dh += come[b * UNITS + lane];
            }
        }
        if (owner) {
            dh0[state] = dh;
            dc0[state] = dc;
        }
    }
}

// ---- long states: one launch a step, between two products of cuBLAS -----------------------

// The same step where h R has been made: z = x_t W + b + h R. One thread a unit and row; h and c are changed in place.
extern "C" __global__ void step_forward(real* gates, const real* h_times_r, const real* bias, const unsigned char* mask,
                                        int step, int t, int batch, int time, int units, real* y, real* h, real* c,
                                        real* h_before, real* c_before) {
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)batch * units) return;
    const int row = int(i / units), unit = int(i % units);
    const size_t at = place(row, t, time), out = place(row, step, time) * units + unit;
    const Gates b = read(bias + unit, units), hr = read(h_times_r + (size_t)row * 4 * units + unit, units);
    Gates z = read(gates + 4 * at * units + unit, units);
    z = {z.i + b.i + hr.i, z.f + b.f + hr.f, z.g + b.g + hr.g, z.o + b.o + hr.o};
    const real h_old = h[i], c_old = c[i];
    real c_new = c_old;
    const real h_new = cell_forward(z, c_new);
    if (h_before) {
        h_before[at * units + unit] = h_old;
        c_before[at * units + unit] = c_old;
        write(gates + 4 * at * units + unit, units, z);
    }
    if (!mask || mask[at]) {
        h[i] = h_new;
        c[i] = c_new;
        y[out] = h_new;
    } else {
        y[out] = step ? y[out - units] : 0;
    }
}

// dh is what reached this step past the product, dz_times_r what came through it; dh is left for masked rows alone.
extern "C" __global__ void step_backward(const real* gates, const real* c_before, const unsigned char* mask, int step,
                                         int t, int batch, int time, int units, const real* dy, const real* dz_times_r,
                                         real* dh, real* dc, real* doutput, real* dz, real* dz_now) {
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)batch * units) return;
    const int row = int(i / units), unit = int(i % units);
    const size_t at = place(row, t, time);
    const bool valid = !mask || mask[at];
    real dh_all = dh[i] + dz_times_r[i], dc_all = dc[i], dout = doutput[i];
    if (dy) dout += dy[place(row, step, time) * units + unit];
    Gates slope = {0, 0, 0, 0};
    if (valid) {
        const Gates a = read(gates + 4 * at * units + unit, units);
        const real c = c_before[at * units + unit];
        slope = cell_backward(a, c, tanh_of_state(a, c), dh_all + dout, dc_all);
    }
    dh[i] = valid ? 0 : dh_all;
    dc[i] = dc_all;
    doutput[i] = valid ? 0 : dout;
    write(dz + 4 * at * units + unit, units, slope);
    write(dz_now + (size_t)row * 4 * units + unit, units, slope);
}
