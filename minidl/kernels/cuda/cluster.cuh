// A cluster of blocks that runs a sequence together: its blocks write into each other's shared memory. BLOCKS is their
// number; IN_CLUSTERS says that there are more than one.
#pragma once

#if IN_CLUSTERS
#define GROUPED __cluster_dims__(BLOCKS, 1, 1)
#else
#define GROUPED
#endif

#if IN_CLUSTERS && defined(__CUDACC_RTC__)
__device__ inline void cluster_arrive() { asm volatile("barrier.cluster.arrive.release;" ::: "memory"); }
__device__ inline void cluster_wait() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }

__device__ inline u32 shared_address(const void* p) { return u32(__cvta_generic_to_shared(p)); }

// Where in another block's shared memory this address of the own one lies.
__device__ inline u32 of_cluster(u32 own, u32 rank) {
    u32 other;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(other) : "r"(own), "r"(rank));
    return other;
}

// An mbarrier: a phase ends when the bytes that one thread said it expects have come from the cluster.
__device__ inline void start_counting(u64* barrier) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(barrier)) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ inline void expect_bytes(u64* barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
}

__device__ inline void wait_for_bytes(u64* barrier, u32 parity) {
    u32 done;
    do {
        asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
                     "selp.u32 %0, 1, 0, p;\n}"
                     : "=r"(done)
                     : "r"(shared_address(barrier)), "r"(parity)
                     : "memory");
    } while (!done);
}

// The value or the pack, and that it has come, to the same places of another block. A plain store would need a fence
// behind it, and that waits for all that this block has on its way to global memory.
__device__ inline void send(float* own, u32 rank, float value, u64* barrier) {
    const u32 to = of_cluster(shared_address(own), rank), counter = of_cluster(shared_address(barrier), rank);
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(to),
                 "r"(__float_as_uint(value)), "r"(counter)
                 : "memory");
}
__device__ inline void send(double* own, u32 rank, double value, u64* barrier) {
    const u32 to = of_cluster(shared_address(own), rank), counter = of_cluster(shared_address(barrier), rank);
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.b64 [%0], %1, [%2];" ::"r"(to),
                 "l"(__double_as_longlong(value)), "r"(counter)
                 : "memory");
}
__device__ inline void send(Pack<float>* own, u32 rank, const Pack<float>& p, u64* barrier) {
    const u32 to = of_cluster(shared_address(own), rank), counter = of_cluster(shared_address(barrier), rank);
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1, %2, %3, %4}, [%5];"
                 ::"r"(to), "r"(__float_as_uint(p.v[0])), "r"(__float_as_uint(p.v[1])), "r"(__float_as_uint(p.v[2])),
                 "r"(__float_as_uint(p.v[3])), "r"(counter)
                 : "memory");
}
__device__ inline void send(Pack<double>* own, u32 rank, const Pack<double>& p, u64* barrier) {
    const u32 to = of_cluster(shared_address(own), rank), counter = of_cluster(shared_address(barrier), rank);
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.b64 [%0], {%1, %2}, [%3];" ::"r"(to),
                 "l"(__double_as_longlong(p.v[0])), "l"(__double_as_longlong(p.v[1])), "r"(counter)
                 : "memory");
}
#endif

// How the blocks of a group meet, once a step. What they hand each other lies twice, taken in turns: nobody gives before
// it has what all gave at the last meeting, and they gave that when they were done with what came before it. A block by
// itself hands numbers to itself.
struct Meetings {
    u64* bytes_come; // [2]: in a cluster, what has come of each turn
    u32 count;       // of meetings so far

    __device__ Meetings(void* shared) : bytes_come((u64*)shared), count(0) {
#if IN_CLUSTERS
        if (threadIdx.x == 0) start_counting(bytes_come), start_counting(bytes_come + 1);
#endif
    }

    __device__ int turn() const { return count % 2; }

    // All have begun, and are done with the rows before.
    __device__ void begin() {
#if IN_CLUSTERS
        cluster_arrive();
        cluster_wait();
#else
        __syncthreads();
#endif
    }

    __device__ void expect(int numbers) {
#if IN_CLUSTERS
        if (threadIdx.x == 0) expect_bytes(bytes_come + turn(), numbers * sizeof(real));
#endif
    }

    // All that was given for this block is there.
    __device__ void wait() {
#if IN_CLUSTERS
        wait_for_bytes(bytes_come + turn(), count / 2 % 2);
#else
        __syncthreads();
#endif
        ++count;
    }
};

#if IN_CLUSTERS
// A warp's values to the same places of all blocks, 16 bytes at a time: neighbours have the same pack, each for others.
__device__ inline void send_to_all(real* own, real value, bool there, u64* bytes_come) {
    constexpr int size = Pack<real>::size;
    const int lane = threadIdx.x % size;
    Pack<real> pack;
#pragma unroll
    for (int k = 0; k < size; ++k) pack.v[k] = __shfl_sync(ALL_LANES, value, k, size);
    if (!there) return;
#pragma unroll
    for (int rank = 0; rank < BLOCKS; rank += size)
        if (rank + lane < BLOCKS) send((Pack<real>*)(own - lane), rank + lane, pack, bytes_come);
}
#endif
