// Kernels that prove the shim: each has something that only works if its barriers, shuffles and shared memory do.

#define STAMP(REAL, NAME)                                                                            \
    extern "C" __global__ void __launch_bounds__(256) NAME(const REAL* __restrict__ x, REAL* y, int n) { \
        __shared__ REAL warps[8];                                                                    \
        REAL sum = 0;                                                                                \
        for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];                               \
        for (int d = 16; d; d >>= 1) sum += __shfl_down_sync(0xffffffff, sum, d);                    \
        if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = sum;                                    \
        BARRIER;                                                                                     \
        if (threadIdx.x == 0) {                                                                      \
            REAL total = 0;                                                                          \
            for (int w = 0; w < (int)blockDim.x / 32; ++w) total += warps[w];                        \
            *y = total;                                                                              \
        }                                                                                            \
    }

#define BARRIER __syncthreads()
STAMP(float, sum_f32)
STAMP(double, sum_f64)
#undef BARRIER
#define BARRIER
STAMP(float, sum_without_barrier)

// y = xᵀ by tiles
extern "C" __global__ void transpose(const float* x, float* y, int rows, int columns) {
    __shared__ float tile[16][17];
    const int r = blockIdx.y * 16 + threadIdx.y, c = blockIdx.x * 16 + threadIdx.x;
    if (r < rows && c < columns) tile[threadIdx.y][threadIdx.x] = x[(size_t)r * columns + c];
    __syncthreads();
    const int tr = blockIdx.x * 16 + threadIdx.y, tc = blockIdx.y * 16 + threadIdx.x;
    if (tr < columns && tc < rows) y[(size_t)tr * rows + tc] = tile[threadIdx.x][threadIdx.y];
}

// Turns each block's numbers round through memory whose size the launch gives.
extern "C" __global__ void turn_round(int* x) {
    extern __shared__ int room[];
    room[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    x[blockIdx.x * blockDim.x + threadIdx.x] = room[blockDim.x - 1 - threadIdx.x];
}

// Each round, every block adds up what all blocks wrote in the one before.
extern "C" __global__ void rounds(int* x, int steps) {
    __shared__ int sum;
    for (int s = 0; s < steps; ++s) {
        if (threadIdx.x == 0) {
            sum = 0;
            for (int b = 0; b < (int)gridDim.x; ++b) sum += x[b];
        }
        cooperative_groups::this_grid().sync();
        if (threadIdx.x == 0) x[blockIdx.x] = sum + blockIdx.x;
        cooperative_groups::this_grid().sync();
    }
}

// The grid's barrier as one writes it without a library: needs all blocks on the machine at once.
extern "C" __global__ void meet(unsigned* arrived, int* x) {
    if (threadIdx.x == 0) {
        x[blockIdx.x] = blockIdx.x + 1;
        __threadfence();
        atomicAdd(arrived, 1);
        while (atomicAdd(arrived, 0) < gridDim.x) __nanosleep(20);
        __threadfence();
        int sum = 0;
        for (int b = 0; b < (int)gridDim.x; ++b) sum += x[b];
        x[gridDim.x + blockIdx.x] = sum;
    }
}

// Each block of a cluster writes its number into the memory of the next one.
extern "C" __global__ void __cluster_dims__(4, 1, 1) pass_on(int* y) {
    extern __shared__ int mine[];
    if (threadIdx.x == 0) of_cluster(mine, (cluster_rank() + 1) % 4)[0] = blockIdx.x;
    cluster_arrive();
    cluster_wait();
    if (threadIdx.x == 0) y[blockIdx.x] = mine[0];
    cluster_arrive();
    cluster_wait();
}

// The same without meeting: each block waits for the eight bytes that it is sent, twice.
extern "C" __global__ void __cluster_dims__(4, 1, 1) send_on(int* y, int expected) {
    extern __shared__ unsigned long long counter[];
    int* const mine = (int*)(counter + 1);
    if (threadIdx.x == 0) start_counting(counter);
    cluster_arrive();
    cluster_wait();
    for (int phase = 0; phase < 2; ++phase) {
        if (threadIdx.x == 0) expect_bytes(counter, expected);
        if (threadIdx.x < 2)
            send(mine + 2 * phase + threadIdx.x, (cluster_rank() + 1) % 4, int(blockIdx.x + 10 * phase), counter);
        wait_for_bytes(counter, phase);
        if (threadIdx.x < 2) y[4 * blockIdx.x + 2 * phase + threadIdx.x] = mine[2 * phase + threadIdx.x];
    }
}

// ---- wrong on purpose --------------------------------------------------------------------

extern "C" __global__ void half_meet() {
    if (threadIdx.x < 16) __syncthreads();
}

extern "C" __global__ void meet_elsewhere() {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
}

extern "C" __global__ void shuffle_without_all(int* y) {
    if (threadIdx.x != 3) y[threadIdx.x] = __shfl_sync(0xffffffff, (int)threadIdx.x, 0);
}

extern "C" __global__ void never_written(float* y) {
    __shared__ float x[32];
    *y = x[threadIdx.x];
}

extern "C" __global__ void past_the_end(float* y) {
    __shared__ float x[32];
    x[threadIdx.x + 1] = 1;
    y[threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void __cluster_dims__(2, 1, 1) pass_on_too_late(int* y) {
    extern __shared__ int mine[];
    cluster_arrive();
    cluster_wait();
    cluster_arrive();
    of_cluster(mine, 1 - cluster_rank())[0] = blockIdx.x;
    cluster_wait();
    y[blockIdx.x] = mine[0];
}

extern "C" __global__ void __cluster_dims__(2, 1, 1) wait_only() { cluster_wait(); }

extern "C" __global__ void all_write_one(int* y) { *y = blockIdx.x; }
