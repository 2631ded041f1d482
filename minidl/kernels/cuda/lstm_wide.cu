// The LSTM for states that more blocks share than are in a cluster: they meet in global memory. What such a launch does
// and why, and what its arguments are, stands in lstm.cu.

#include "lstm.cuh"

// ---- meeting in global memory --------------------------------------------------------------

#ifdef __CUDACC_RTC__
// What others released before they changed *p is seen after this.
__device__ inline u32 load_acquire(const u32* p) {
    u32 value;
    asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
    return value;
}

__device__ inline void add_release(u32* p) { asm volatile("red.release.gpu.add.u32 [%0], 1;" ::"l"(p) : "memory"); }
#endif

// 16 bytes from global to shared memory, past the first cache, which may hold what was there before. From Ampere on
// they pass by the registers, and as many are under way as a thread asks for.
#if defined(__CUDACC_RTC__) && __CUDA_ARCH__ >= 800
__device__ inline void copy_16_bytes(void* to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(u32(__cvta_generic_to_shared(to))), "l"(from)
                 : "memory");
}
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }
#else
__device__ inline void copy_16_bytes(void* to, const void* from) { *(float4*)to = __ldcg((const float4*)from); }
__device__ inline void wait_for_copies() {}
#endif

// What this block has given is given; behind a barrier. What is written after this for nobody in the group may be on its
// way while the others wait; written before, they would have to wait until it has reached memory.
__device__ inline void arrive(u32* arrived) {
    if (threadIdx.x == 0) add_release(arrived);
}

// Behind the next barrier, so many blocks have come. A counter may run over. One thread asks: where each warp asked for
// itself, an H200 took half as long again for a step.
__device__ inline void wait_for(const u32* arrived, u32 due) {
    if (threadIdx.x == 0)
        while (int(load_acquire(arrived) - due) < 0) continue;
}

// ---- the whole sequence in one launch -------------------------------------------------------

// A group's rows work in two shifts, which take turns: what the blocks hand each other of one is on its way while they
// multiply the other. So many rows are in the first, in pairs. Few are one shift, for a shift's own barriers take longer
// than the way; it is longer where more blocks meet. So are all in float64, where there are no registers left to keep two
// apart.
constexpr bool IN_SHIFTS = sizeof(real) == 4;
constexpr int FEW = BLOCKS > 64 ? 6 : 12;
__device__ inline int first_shift(int rows) { return !IN_SHIFTS || rows < FEW ? rows : (rows / 2 + 1) / 2 * 2; }

// z = x_t W + b + h R, the gates, c and h. In gates lies x W.
//
// As in lstm.cu, a thread multiplies its part of the states by its unit's four columns of R for every row, and the first
// rows · UNITS threads own one state each. Here they give it to all blocks through `room`, (2, rows, width) of a group,
// whose two halves are taken in turns: nobody gives a third time before all have come with the second, and who comes
// with the second has fetched the first. Behind the products of one shift the states of the other are fetched, while the
// owners make the gates.
extern "C" __global__ void __launch_bounds__(512)
    wide_forward(real* gates, const real* recurrent, const real* bias, const real* h0, const real* c0,
                 const unsigned char* mask, int reverse, int batch, int time, int units, int rows, real* y,
                 real* h_last, real* c_last, real* h_before, real* c_before, real* room, u32* arrived) {
    extern __shared__ __align__(16) unsigned char memory[];
    const int warp = threadIdx.x / 32, warps = blockDim.x / 32, width = warps * PARTS * DEPTH;
    const int part = threadIdx.x % 32 / UNITS, lane = threadIdx.x % UNITS, q_own = threadIdx.x / UNITS;
    const int group = blockIdx.x / BLOCKS, groups = gridDim.x / BLOCKS;
    if (group == groups) return; // some of its blocks are missing; the others take its rows
    const int unit = blockIdx.x % BLOCKS * UNITS + lane, begin = warp * PARTS * DEPTH;
    constexpr int pack = Pack<real>::size;
    Gates* const biases = (Gates*)memory; // (UNITS,)
    real* const states = (real*)(biases + UNITS); // (rows, width)
    Gates* const sums = (Gates*)(states + rows * width); // (rows, warps, UNITS)
    real* const group_room = room + (size_t)group * 2 * rows * width;
    u32* const counters = arrived + 2 * group; // of the shifts; once a group's rows are too few for two, they remain so

    if (threadIdx.x < UNITS) biases[lane] = unit < units ? read(bias + unit, units) : Gates{0, 0, 0, 0};
    Gates r[DEPTH];
    read_columns(r, recurrent, begin, part, unit, units);

    u32 count = 0; // of steps, of all rows so far
    for (int first = group * rows; first < batch; first += groups * rows) {
        const int here = min(rows, batch - first), split = first_shift(here);
        const bool alone = !IN_SHIFTS || split == here;
        for (int i = threadIdx.x; i < rows * width; i += blockDim.x) {
            const int q = i / width, from = i % width;
            states[i] = q < here && from < units ? h0[(size_t)(first + q) * units + from] : 0;
        }
        const int row = first + q_own;
        const bool owner = q_own < here && unit < units;
        real h = owner ? h0[(size_t)row * units + unit] : 0, c = owner ? c0[(size_t)row * units + unit] : 0;
        Gates next = {0, 0, 0, 0}; // x W and the mask of a step are read one step ahead: the way to memory is long
        unsigned char next_valid = 1; // as it comes: to look at it would be to wait for it
        const auto look_ahead = [&](int step) {
            if (!owner || step == time) return;
            const size_t at = place(row, reverse ? time - 1 - step : step, time);
            next = read(gates + 4 * at * units + unit, units);
            if (mask) next_valid = mask[at];
        };
        const auto multiply = [&](int q, auto rows_at_once) {
            Gates* const to = sums + (q * warps + warp) * UNITS + lane;
            multiply_states<decltype(rows_at_once)::value>(r, states + q * width + begin, width, to, warps, part, lane);
        };
        // What all blocks have given of a shift, from this half of the room.
        const auto fetch = [&](int shift, u32 turn) {
            const int q = shift ? split : 0, end = shift ? here : split;
            for (int i = q * width + threadIdx.x * pack; i < end * width; i += blockDim.x * pack)
                copy_16_bytes(states + i, group_room + turn * rows * width + i);
        };
        look_ahead(0);
        __syncthreads();

        for (int step = 0; step < time; ++step, ++count) {
            const u32 turn = count % 2;
#pragma unroll 1
            for (int shift = 0; shift <= !alone; ++shift) {
                const int q = shift ? split : 0, end = shift ? here : split;
                by_pairs(q, end, multiply);
                // of the second shift the states of the step before, of the first those of this one
                if (!alone) wait_for(counters + 1 - shift, BLOCKS * (count + shift));
                __syncthreads();
                if (!alone && step + shift) fetch(1 - shift, shift ? turn : 1 - turn);

                const bool now = owner && q <= q_own && q_own < end, valid = next_valid;
                const real h_old = h, c_old = c;
                Gates z = next;
                if (now) {
                    const Gates b = biases[lane];
                    z = {z.i + b.i, z.f + b.f, z.g + b.g, z.o + b.o};
                    z = plus_sums(z, sums + q_own * warps * UNITS + lane, warps, lane);
                    real c_new = c;
                    const real h_new = cell_forward(z, c_new);
                    if (valid) h = h_new, c = c_new;
                    group_room[(turn * rows + q_own) * width + unit] = h;
                }
                if (!alone) wait_for_copies();
                __syncthreads();
                arrive(counters + shift);
                if (now) {
                    const size_t at = place(row, reverse ? time - 1 - step : step, time);
                    if (h_before) {
                        h_before[at * units + unit] = h_old;
                        c_before[at * units + unit] = c_old;
                        write(gates + 4 * at * units + unit, units, z);
                    }
                    const size_t out = place(row, step, time) * units + unit;
                    y[out] = valid ? h : step ? y[out - units] : 0;
                    look_ahead(step + 1);
                }
            }
            if (alone) {
                wait_for(counters, BLOCKS * (count + 1));
                __syncthreads();
                fetch(0, turn);
                wait_for_copies();
                __syncthreads();
            }
        }
        if (owner) {
            h_last[(size_t)row * units + unit] = h;
            c_last[(size_t)row * units + unit] = c;
        }
    }
}

constexpr int SUBTOTALS = BLOCKS < 8 ? BLOCKS : 8; // in which the blocks' parts of a slope are added up

// dz of each step, dh ← dz Rᵀ, and dh and dc before the first.
//
// As in lstm.cu, each block multiplies its own units' dz by their columns of R and gives the sums to the units' owners,
// who add up what has come; here through `room`, (2, BLOCKS, rows, BLOCKS, UNITS) of a group, in the order of the turn,
// the owner, the row and the giver. There are no shifts: on an H200 they took longer, since what has come must be fetched
// and added up, by all warps and then by the owners, before the next dz can be made.
extern "C" __global__ void __launch_bounds__(512)
    wide_backward(const real* gates, const real* c_before, const real* recurrent, const unsigned char* mask,
                  int reverse, int batch, int time, int units, int rows, const real* dy, const real* dh_last,
                  const real* dc_last, real* dz, real* dh0, real* dc0, real* room, u32* arrived) {
    extern __shared__ __align__(16) unsigned char memory[];
    const int rank = blockIdx.x % BLOCKS, lane = threadIdx.x % UNITS, q_own = threadIdx.x / UNITS;
    const int group = blockIdx.x / BLOCKS, groups = gridDim.x / BLOCKS;
    if (group == groups) return; // some of its blocks are missing; the others take its rows
    const int unit = rank * UNITS + lane, part = threadIdx.x % SHARING, to = threadIdx.x / SHARING * 4;
    Gates* const slopes = (Gates*)memory;                   // (2, rows, UNITS)
    real* const parts = (real*)(slopes + 2 * rows * UNITS); // (rows, SUBTOTALS, UNITS)
    const int all_parts = rows * BLOCKS * UNITS;            // that a block is given in a step
    real* const group_room = room + (size_t)group * 2 * BLOCKS * all_parts;
    u32* const counter = arrived + 2 * group;

    Gates r[DEPTH];
    read_rows(r, recurrent, rank * UNITS + part, to, units);

    u32 count = 0; // of steps, of all rows so far
    for (int first = group * rows; first < batch; first += groups * rows) {
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

        for (int step = time - 1; step >= 0; --step, ++count) {
            const int t = reverse ? time - 1 - step : step, turn = count % 2;
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
            look_ahead(step - 1);
            __syncthreads();

            const auto multiply = [&](int q, auto rows_at_once) {
                const auto give = [&](int n, int which, const real(&sum)[4]) {
                    const int target = to + which;
                    if (part >= 4 || target >= units) return;
                    const int at = ((q + n) * BLOCKS + rank) * UNITS + target % UNITS;
                    store<KEPT>(group_room + (size_t)(turn * BLOCKS + target / UNITS) * all_parts + at, sum);
                };
                multiply_slopes<decltype(rows_at_once)::value>(r, now + q * UNITS, part, give);
            };
            by_pairs(0, here, multiply);
            __syncthreads();
            arrive(counter);
            if (owner) {
                write(dz + 4 * place(row, t, time) * units + unit, units, now[q_own * UNITS + lane]);
                if (step) tanh_c = tanh_of_state(next, next_c); // while the others' parts are on their way
            }
            wait_for(counter, BLOCKS * (count + 1));
            __syncthreads();
            const real* const from = group_room + (size_t)(turn * BLOCKS + rank) * all_parts;
            for (int i = threadIdx.x; i < here * SUBTOTALS * UNITS; i += blockDim.x) {
                const int q = i / (SUBTOTALS * UNITS), block = i / UNITS % SUBTOTALS;
                real total = 0;
#pragma unroll
                for (int b = 0; b < BLOCKS; b += SUBTOTALS)
                    if (block + b < BLOCKS) total += __ldcg(from + (q * BLOCKS + block + b) * UNITS + lane);
                parts[i] = total;
            }
            __syncthreads();
            if (owner && valid) {
                dh = 0;
#pragma unroll
                for (int b = 0; b < SUBTOTALS; ++b) dh += parts[(q_own * SUBTOTALS + b) * UNITS + lane];
            }
        }
        if (owner) {
            dh0[state] = dh;
            dc0[state] = dc;
        }
    }
}
