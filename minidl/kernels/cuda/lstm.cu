// The LSTM on the GPU: forward beside backward, each once for short states and once for long ones.
//
// x W for all steps is one large product before the loop over time, and dx, dW, dR and db are large products behind it;
// cuBLAS does those. What is left to do step by step is h R, or dz Rᵀ, and the gates.
//
// Short states, the `persistent` kernels: one launch runs the whole sequence. R is read once and stays in registers, 64
// of each thread, spread over a group of blocks: each block owns some units, one a lane, and each of its warps some of
// the states that they are made of. A group runs the sequence for a few rows of the batch, so no two groups ever wait
// for each other; its blocks hand each other the new states, which are all that moves.
//
//     units, float32   float64   of a block   blocks   that hand the states over in
//              to 32     to 32           32        1   their shared memory
//             to 256    to 128           32     to 8   that of a cluster; before sm_90, which has none, global memory
//             to 512    to 256           16    to 32   global memory, where they meet at a counter
//            to 1024    to 512            8   to 128   the same; all blocks must be on the GPU at once
//
// What a step costs at 128 units in float32 on an H100 (132 SMs of 128 multiply-adds and 128 bytes of shared memory a
// cycle), with the 32 rows of the document's model, one a cluster of 4 blocks of 8 warps: 128 · 128 products a block,
// 128 cycles; 4 KiB of sums between warps out and in, 64; a barrier, the sums and the gates one after the other, some
// 400; the way to the other blocks' memory and the cluster's barrier, some 400: 1000 cycles or 0.6 µs, four fifths of
// it waiting, which more rows share. Backward hands on four numbers for one, and reads the slopes of a row out of
// shared memory in the 128 cycles in which it multiplies them; the rest is the same. The alternatives: all of R, 256
// KiB, on one SM lies in shared memory for the half that registers have no room for, 1024 cycles a step to read, and a
// quarter of the SMs have work; units over the whole grid wait more than 1000 cycles at its barrier. These numbers come
// from data sheets and from counting instructions; none is measured.
//
// Long states, the `step` kernels: cuBLAS makes h R, or dz Rᵀ, one step at a time and one kernel does the rest. A graph
// would spare the launches from Python, but CuPy refuses cuBLAS while a stream is captured (cupy#6290).
//
// Every sum has one order, that of the warps and of the units in each, whatever the batch, the grid and the GPU.
//
// B rows of the batch, T steps, U units. gates and dz are (B, T, 4, U), the gates in the order i, f, g, o; y, h_before
// and c_before (B, T, U), where y lists the outputs as they were made and all others lie at the time they belong to;
// mask (B, T) or null; dy, dh and dc may be null and then stand for zeros.

#include "math.cuh"

#ifndef REAL
#define REAL float
#endif
#ifndef BLOCKS
#define BLOCKS 1 // that share the units, and so make a group
#define UNITS 32 // of a block, up to 32: so many neighbours in a warp have one each
#endif

#define PARTS (32 / UNITS) // of a warp, each with other states
#define IN_CLUSTERS (BLOCKS > 1 && BLOCKS <= 8 && __CUDA_ARCH__ >= 900)
#define IN_GLOBAL_MEMORY (BLOCKS > 1 && !IN_CLUSTERS)

typedef REAL real;

constexpr int DEPTH = 64 / sizeof(real); // states that a thread multiplies: R takes 64 registers

struct __align__(16) Gates {
    real i, f, g, o;
};

struct __align__(16) Four {
    real at[4];
};

// ---- one unit, one step ------------------------------------------------------------------

// z becomes i, f, g, o = σ, σ, tanh, σ;  c ← f c + i g;  h = o tanh(c)
__device__ inline real cell_forward(Gates& z, real& c) {
    z = {logistic(z.i), logistic(z.f), hyperbolic_tangent(z.g), logistic(z.o)};
    c = z.f * c + z.i * z.g;
    return z.o * hyperbolic_tangent(c);
}

// do = dh tanh(c)   dc += dh o (1 − tanh² c)   di = dc g   df = dc c_before   dg = dc i   dc ← dc f
// dz = (di i (1−i), df f (1−f), dg (1−g²), do o (1−o))
__device__ inline Gates cell_backward(const Gates& a, real c_before, real dh, real& dc) {
    const real tanh_c = hyperbolic_tangent(a.f * c_before + a.i * a.g);
    dc += dh * a.o * (1 - tanh_c * tanh_c);
    const Gates dz = {dc * a.g * a.i * (1 - a.i), dc * c_before * a.f * (1 - a.f), dc * a.i * (1 - a.g * a.g),
                      dh * tanh_c * a.o * (1 - a.o)};
    dc *= a.f;
    return dz;
}

__device__ inline Gates read(const real* from, int units) {
    return {from[0], from[units], from[2 * units], from[3 * units]};
}

__device__ inline void write(real* to, int units, const Gates& v) {
    to[0] = v.i;
    to[units] = v.f;
    to[2 * units] = v.g;
    to[3 * units] = v.o;
}

__device__ inline size_t place(int row, int t, int time) { return (size_t)row * time + t; }

// ---- the blocks that share the units -----------------------------------------------------

#if IN_CLUSTERS
#define GROUPED __cluster_dims__(BLOCKS, 1, 1)
#else
#define GROUPED
#endif

#ifdef __CUDACC_RTC__
#if IN_CLUSTERS
__device__ inline void cluster_arrive() { asm volatile("barrier.cluster.arrive.release;" ::: "memory"); }
__device__ inline void cluster_wait() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }

// Where in another block's shared memory this address of the own one lies.
template <class T> __device__ inline T* of_cluster(T* own, unsigned rank) {
    T* other;
    asm("mapa.u64 %0, %1, %2;" : "=l"(other) : "l"(own), "r"(rank));
    return other;
}
#endif

// What others released before they changed *p is seen after this.
__device__ inline unsigned load_acquire(const unsigned* p) {
    unsigned value;
    asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
    return value;
}
#endif

// What the blocks of a group hand each other: an array of (rows, width) in each one's shared memory. In a cluster there
// are two, taken in turns, so that nobody overwrites what another still reads; without clusters there are two in `room`
// in global memory, and each block fetches its own copy.
template <class T> struct Exchange {
    T* mine;
    T* room;           // (groups, 2, rows, width)
    unsigned* arrived; // (groups,)
    unsigned meetings;
    int rows, width;

    __device__ Exchange(T* shared, T* room, unsigned* arrived, int rows, int width)
        : mine(shared), room(room + (size_t)(blockIdx.x / BLOCKS) * 2 * rows * width),
          arrived(arrived + blockIdx.x / BLOCKS), meetings(0), rows(rows), width(width) {}

    __device__ static constexpr int buffers() { return IN_CLUSTERS ? 2 : 1; }

    __device__ T* row(int turn, int q) const { return mine + (turn % buffers() * rows + q) * width; }

    __device__ void give(int turn, int q, int unit, const T& value) {
#if IN_CLUSTERS
#pragma unroll
        for (int rank = 0; rank < BLOCKS; ++rank) *of_cluster(row(turn, q) + unit, rank) = value;
#elif IN_GLOBAL_MEMORY
        room[(turn * rows + q) * width + unit] = value;
#else
        row(turn, q)[unit] = value;
#endif
    }

    // What this thread has given is given. What it writes after this for nobody in the group may be on its way while it
    // waits; written before, the others would have to wait until it has reached memory.
    __device__ void arrive() {
#if IN_CLUSTERS
        cluster_arrive();
#elif IN_GLOBAL_MEMORY
        __syncthreads();
        if (threadIdx.x == 0) {
            __threadfence();
            atomicAdd(arrived, 1u);
        }
#endif
    }

    // All blocks of the group have arrived, and each sees what the others wrote before.
    __device__ void wait() {
#if IN_CLUSTERS
        cluster_wait();
#elif IN_GLOBAL_MEMORY
        if (threadIdx.x == 0) {
            ++meetings;
            while (load_acquire(arrived) < BLOCKS * meetings) __nanosleep(20);
            __threadfence();
        }
        __syncthreads();
#else
        __syncthreads();
#endif
    }

    // Wait, and what all gave in this turn is there. Nobody gives the units past the last, where room stays 0.
    __device__ void take(int turn) {
        wait();
#if IN_GLOBAL_MEMORY
        const float4* const from = (const float4*)(room + turn * rows * width);
        for (int i = threadIdx.x; i < rows * width * (int)sizeof(T) / 16; i += blockDim.x)
            ((float4*)mine)[i] = __ldcg(from + i); // past the first cache, which may hold what was there before
        __syncthreads();
#endif
    }
};

// The sum over the parts of a warp, in each of its first UNITS lanes.
__device__ inline real over_parts(real v) {
#pragma unroll
    for (int part = 16; part >= UNITS; part /= 2) v += __shfl_down_sync(0xffffffff, v, part);
    return v;
}

// ---- short states: the whole sequence in one launch ---------------------------------------

// z = x_t W + b + h R, the gates, c and h. In gates lies x W.
//
// A block has `rows` rows of the batch and UNITS units, and as many warps as it takes for DEPTH · PARTS states each to
// be all. A thread multiplies its part of the states by its unit's four columns of R, for every row; then the first
// rows · UNITS threads own one state each.
extern "C" __global__ void GROUPED __launch_bounds__(512) persistent_forward(
    real* gates, const real* recurrent, const real* bias, const real* h0, const real* c0, const unsigned char* mask,
    int reverse, int batch, int time, int units, int rows, real* y, real* h_last, real* c_last, real* h_before,
    real* c_before, real* room, unsigned* arrived) {
    extern __shared__ __align__(16) unsigned char memory[];
    const int warp = threadIdx.x / 32, warps = blockDim.x / 32, width = warps * PARTS * DEPTH;
    const int part = threadIdx.x % 32 / UNITS, lane = threadIdx.x % UNITS, q_own = threadIdx.x / UNITS;
    const int unit = blockIdx.x % BLOCKS * UNITS + lane, begin = warp * PARTS * DEPTH;
    Exchange<real> states((real*)memory, room, arrived, rows, width);
    Gates* const sums = (Gates*)states.row(0, states.buffers() * rows); // (rows, warps, UNITS)

    Gates r[DEPTH];
#pragma unroll
    for (int j = 0; j < DEPTH; ++j) {
        const int from = begin + (j / 4 * PARTS + part) * 4 + j % 4; // parts side by side, 16 bytes each
        r[j] = {0, 0, 0, 0};
        if (from < units && unit < units) r[j] = read(recurrent + (size_t)from * 4 * units + unit, units);
    }

    for (int first = blockIdx.x / BLOCKS * rows; first < batch; first += gridDim.x / BLOCKS * rows) {
        for (int i = threadIdx.x; i < states.buffers() * rows * width; i += blockDim.x) {
            const int row = first + i / width, from = i % width;
            const bool known = i < rows * width && row < batch && from < units;
            states.mine[i] = known ? h0[(size_t)row * units + from] : 0;
        }
        const int row = first + q_own;
        const bool owner = q_own < rows && row < batch && unit < units;
        real h = owner ? h0[(size_t)row * units + unit] : 0, c = owner ? c0[(size_t)row * units + unit] : 0, output = 0;
        Gates next = {0, 0, 0, 0}; // x W and the mask of a step are read one step ahead: the way to memory is long
        bool next_valid = false;
        const auto look_ahead = [&](int step) {
            if (!owner || step == time) return;
            const size_t at = place(row, reverse ? time - 1 - step : step, time);
            next = read(gates + 4 * at * units + unit, units);
            next_valid = !mask || mask[at];
        };
        look_ahead(0);
        states.arrive();
        states.wait(); // nobody gives before all have begun, and are done with the rows before

        for (int step = 0; step < time; ++step) {
            const int t = reverse ? time - 1 - step : step, turn = step % 2;
            Gates z = next;
            const bool valid = next_valid;
            const real h_old = h, c_old = c;
            look_ahead(step + 1);

#pragma unroll 1
            for (int q = 0; q < rows; ++q) { // this thread's part of h R
                const Four* const from = (const Four*)(states.row(turn, q) + begin) + part;
                Gates sum = {0, 0, 0, 0};
#pragma unroll
                for (int j = 0; j < DEPTH; j += 4) {
                    const Four v = from[j / 4 * PARTS];
#pragma unroll
                    for (int k = 0; k < 4; ++k) {
                        sum.i = fma(v.at[k], r[j + k].i, sum.i);
                        sum.f = fma(v.at[k], r[j + k].f, sum.f);
                        sum.g = fma(v.at[k], r[j + k].g, sum.g);
                        sum.o = fma(v.at[k], r[j + k].o, sum.o);
                    }
                }
                sum = {over_parts(sum.i), over_parts(sum.f), over_parts(sum.g), over_parts(sum.o)};
                if (part == 0) sums[(q * warps + warp) * UNITS + lane] = sum;
            }
            __syncthreads();

            if (owner) {
                const Gates b = read(bias + unit, units); // in the cache after the first step; registers are dear
                z = {z.i + b.i, z.f + b.f, z.g + b.g, z.o + b.o};
#pragma unroll 4
                for (int w = 0; w < warps; ++w) {
                    const Gates sum = sums[(q_own * warps + w) * UNITS + lane];
                    z = {z.i + sum.i, z.f + sum.f, z.g + sum.g, z.o + sum.o};
                }
                real c_new = c;
                const real h_new = cell_forward(z, c_new);
                if (valid) h = output = h_new, c = c_new;
                states.give(1 - turn, q_own, unit, h);
            }
            states.arrive();
            if (owner) {
                const size_t at = place(row, t, time);
                h_before[at * units + unit] = h_old;
                c_before[at * units + unit] = c_old;
                write(gates + 4 * at * units + unit, units, z);
                y[place(row, step, time) * units + unit] = output;
            }
            states.take(1 - turn);
        }
        if (owner) {
            h_last[(size_t)row * units + unit] = h;
            c_last[(size_t)row * units + unit] = c;
        }
    }
}

// dz of each step, dh ← dz Rᵀ, and dh and dc before the first.
//
// The same blocks: a thread multiplies its part of dz by its unit's row of R, that leads from the unit, where forward
// has the columns that lead to it.
extern "C" __global__ void GROUPED __launch_bounds__(512) persistent_backward(
    const real* gates, const real* c_before, const real* recurrent, const unsigned char* mask, int reverse, int batch,
    int time, int units, int rows, const real* dy, const real* dh_last, const real* dc_last, real* dz, real* dh0,
    real* dc0, Gates* room, unsigned* arrived) {
    extern __shared__ __align__(16) unsigned char memory[];
    const int warp = threadIdx.x / 32, warps = blockDim.x / 32, width = warps * PARTS * DEPTH;
    const int part = threadIdx.x % 32 / UNITS, lane = threadIdx.x % UNITS, q_own = threadIdx.x / UNITS;
    const int unit = blockIdx.x % BLOCKS * UNITS + lane, begin = warp * PARTS * DEPTH;
    Exchange<Gates> slopes((Gates*)memory, room, arrived, rows, width);
    real* const sums = (real*)slopes.row(0, slopes.buffers() * rows); // (rows, warps, UNITS)

    Gates r[DEPTH];
#pragma unroll
    for (int j = 0; j < DEPTH; ++j) {
        const int to = begin + j * PARTS + part;
        r[j] = {0, 0, 0, 0};
        if (to < units && unit < units) r[j] = read(recurrent + (size_t)unit * 4 * units + to, units);
    }

    for (int first = blockIdx.x / BLOCKS * rows; first < batch; first += gridDim.x / BLOCKS * rows) {
        for (int i = threadIdx.x; i < slopes.buffers() * rows * width; i += blockDim.x) slopes.mine[i] = {0, 0, 0, 0};
        const int row = first + q_own;
        const bool owner = q_own < rows && row < batch && unit < units;
        const size_t state = (size_t)row * units + unit;
        real dh = owner && dh_last ? dh_last[state] : 0, dc = owner && dc_last ? dc_last[state] : 0, doutput = 0;
        Gates next = {0, 0, 0, 0};
        real next_c = 0, next_dy = 0;
        bool next_valid = false;
        const auto look_ahead = [&](int step) {
            if (!owner || step < 0) return;
            const size_t at = place(row, reverse ? time - 1 - step : step, time);
            next = read(gates + 4 * at * units + unit, units);
            next_c = c_before[at * units + unit];
            next_valid = !mask || mask[at];
            if (dy) next_dy = dy[place(row, step, time) * units + unit];
        };
        look_ahead(time - 1);
        slopes.arrive();
        slopes.wait();

        for (int step = time - 1; step >= 0; --step) {
            const int t = reverse ? time - 1 - step : step, turn = step % 2;
            const bool valid = next_valid;
            Gates slope = {0, 0, 0, 0};
            if (owner) {
                doutput += next_dy;
                if (valid) {
                    slope = cell_backward(next, next_c, dh + doutput, dc);
                    doutput = 0;
                }
                slopes.give(turn, q_own, unit, slope);
            }
            slopes.arrive();
            if (owner) write(dz + 4 * place(row, t, time) * units + unit, units, slope);
            look_ahead(step - 1);
            slopes.take(turn);

#pragma unroll 1
            for (int q = 0; q < rows; ++q) { // this thread's part of dz Rᵀ
                const Gates* const from = slopes.row(turn, q) + begin + part;
                Gates sum = {0, 0, 0, 0};
#pragma unroll
                for (int j = 0; j < DEPTH; ++j) {
                    const Gates v = from[j * PARTS];
                    sum.i = fma(v.i, r[j].i, sum.i);
                    sum.f = fma(v.f, r[j].f, sum.f);
                    sum.g = fma(v.g, r[j].g, sum.g);
                    sum.o = fma(v.o, r[j].o, sum.o);
                }
                const real all = over_parts((sum.i + sum.f) + (sum.g + sum.o));
                if (part == 0) sums[(q * warps + warp) * UNITS + lane] = all;
            }
            __syncthreads();

            if (owner && valid) {
                dh = 0;
#pragma unroll 4
                for (int w = 0; w < warps; ++w) dh += sums[(q_own * warps + w) * UNITS + lane];
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
    h_before[at * units + unit] = h[i];
    c_before[at * units + unit] = c[i];
    real c_new = c[i];
    const real h_new = cell_forward(z, c_new);
    write(gates + 4 * at * units + unit, units, z);
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
        slope = cell_backward(a, c_before[at * units + unit], dh_all + dout, dc_all);
    }
    dh[i] = valid ? 0 : dh_all;
    dc[i] = dc_all;
    doutput[i] = valid ? 0 : dout;
    write(dz + 4 * at * units + unit, units, slope);
    write(dz_now + (size_t)row * 4 * units + unit, units, slope);
}
