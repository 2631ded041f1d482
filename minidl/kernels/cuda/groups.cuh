// Groups of blocks that run a sequence together, and how they meet: in a cluster, whose blocks write into each other's
// shared memory, or in global memory at a counter. BLOCKS is their number, IN_CLUSTERS and IN_GLOBAL_MEMORY say which.
#pragma once

#if IN_CLUSTERS
#define GROUPED __cluster_dims__(BLOCKS, 1, 1)
#else
#define GROUPED
#endif

#ifdef __CUDACC_RTC__
#if IN_CLUSTERS
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

// What others released before they changed *p is seen after this, by the whole block once it has met.
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
__device__ inline void end_of_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int under_way> __device__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(under_way) : "memory");
}
#else
__device__ inline void copy_16_bytes(void* to, const void* from) { *(float4*)to = __ldcg((const float4*)from); }
__device__ inline void end_of_copies() {}
template <int under_way> __device__ void wait_for_copies() {}
#endif

// How the blocks of a group meet, once a step. What they hand each other lies twice, taken in turns: nobody gives before
// it has what all gave at the last meeting, and they gave that when they were done with what came before it.
struct Meetings {
    u64* bytes_come; // [2]: in a cluster, what has come of each turn
    u32* arrived;    // of the group: how often a block of it has come, without clusters
    u32 count;       // of meetings so far

    __device__ Meetings(void* shared, u32* arrived)
        : bytes_come((u64*)shared), arrived(arrived + blockIdx.x / BLOCKS), count(0) {
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

    // What this thread has given is given. What it writes after this for nobody in the group may be on its way while it
    // waits; written before, the others would have to wait until it has reached memory.
    __device__ void arrive() {
#if IN_GLOBAL_MEMORY
        __syncthreads();
        if (threadIdx.x == 0) add_release(arrived);
#endif
    }

    // All that was given for this block is there.
    __device__ void wait() {
#if IN_CLUSTERS
        wait_for_bytes(bytes_come + turn(), count / 2 % 2);
#else
#if IN_GLOBAL_MEMORY
        if (threadIdx.x == 0)
            while (load_acquire(arrived) < BLOCKS * (count + 1)) continue;
#endif
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
