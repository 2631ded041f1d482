// Rows of a table by their ids, and back: the sum of the gradients of each row, added in the order of the places.
//
// Sums of floats differ with their order, so no atomic addition may touch them. The ids are sorted together with their
// places, equal ones in the order of these. Then all that belongs to one row of the table lies side by side, and
// whoever adds it adds in order: the bits are those of the CPU's loop.
#include "math.cuh"

// ---- ids ---------------------------------------------------------------------------------------

// *found = 1 if some id is not in [0, limit). All who write, write the same.
template <typename id> __device__ void outside(i64 n, i64 limit, const id* __restrict__ ids, int* __restrict__ found) {
    const i64 stride = i64(gridDim.x) * THREADS;
    for (i64 i = i64(blockIdx.x) * THREADS + threadIdx.x; i < n; i += stride)
        if (ids[i] < 0 || ids[i] >= limit) atomicOr(found, 1);
}

#define STAMP_ID(id, type)                                                                          \
    KERNEL(outside_##type)(i64 n, i64 limit, const id* __restrict__ ids, int* __restrict__ found) { \
        outside(n, limit, ids, found);                                                              \
    }
STAMP_ID(int, int32)
STAMP_ID(i64, int64)

// ---- forward -----------------------------------------------------------------------------------

// A group of threads copies a row, 16 bytes each. An id outside, which an unchecked call may bring, gives NaN.
template <typename real>
__device__ void gather(
    i64 n, i64 rows, i64 units, int group, const real* __restrict__ table, const i64* __restrict__ ids,
    real* __restrict__ y) {
    constexpr int size = Pack<real>::size;
    const bool whole = aligned(table, y) && units % size == 0;
    each_row(n, group, [&](i64 at, int lane) {
        if (at < 0) return;
        const i64 id = ids[at];
        const bool inside = 0 <= id && id < rows;
        for (i64 i = lane * size; i < units; i += group * size) {
            const Pack<real> pack = load(table + id * units, i, inside ? units : 0, whole, not_a_number<real>());
            store(y + at * units, i, units, whole, pack);
        }
    });
}

// ---- a stable sort -----------------------------------------------------------------------------

// By the digits of the ids, eight bits at a time, the lowest first, as many as `rows` has: twice for up to 65535 rows,
// where a sort that knows nothing of its numbers goes through all of 64 bits. Each pass counts how often each digit
// occurs in each tile, adds the counts up to where each tile's first of each digit goes, and moves.
constexpr int DIGITS = 256;  // one for each thread of a block
constexpr int ROUNDS = 8;
constexpr int TILE = THREADS * ROUNDS;  // as in cuda.py

// Ids outside go last: behind all rows, in a segment that no one adds up.
__device__ inline i64 sorted_as(i64 id, i64 rows) { return 0 <= id && id < rows ? id : rows; }
__device__ inline int digit_of(i64 id, i64 shift) { return int(id >> shift) & (DIGITS - 1); }

// counts[tile][digit]
KERNEL(count_digits)(
    i64 n, i64 rows, i64 shift, const i64* __restrict__ ids, i64* __restrict__ counts) {
    __shared__ int count[DIGITS];
    const i64 tiles = (n + TILE - 1) / TILE;
    for (i64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        count[threadIdx.x] = 0;
        __syncthreads();
        for (int round = 0; round < ROUNDS; round++) {
            const i64 i = tile * TILE + round * THREADS + threadIdx.x;
            if (i < n) atomicAdd(&count[digit_of(sorted_as(ids[i], rows), shift)], 1);
        }
        __syncthreads();
        counts[tile * DIGITS + threadIdx.x] = count[threadIdx.x];
    }
}

// The sum of the values of the threads before this one; *total, of all.
__device__ inline i64 sum_before(i64 value, i64* total) {
    __shared__ i64 of_warp[WARPS];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    i64 sum = value;
    for (int distance = 1; distance < WARP; distance *= 2) {
        const i64 before = __shfl_up_sync(ALL_LANES, sum, distance);
        if (lane >= distance) sum += before;
    }
    if (lane == WARP - 1) of_warp[warp] = sum;
    __syncthreads();
    i64 before = 0;
    *total = 0;
    for (int w = 0; w < WARPS; w++) {
        if (w < warp) before += of_warp[w];
        *total += of_warp[w];
    }
    __syncthreads();
    return before + sum - value;
}

// counts[tile][digit] becomes how many of the digit the tiles before have; totals[digit], how many all have. One block:
// a tile has 2048 ids, so a million make 500 additions a thread, of numbers that are on their way ahead of them.
KERNEL(add_up_tiles)(i64 tiles, i64* __restrict__ counts, i64* __restrict__ totals) {
    i64 before = 0;
#pragma unroll 8
    for (i64 tile = 0; tile < tiles; tile++) {
        const i64 count = counts[tile * DIGITS + threadIdx.x];
        counts[tile * DIGITS + threadIdx.x] = before;
        before += count;
    }
    totals[threadIdx.x] = before;
}

// Each warp has a part of the tile and goes through it in order, 32 neighbours at a time: a number's place is what its
// warp had of its digit before, and its equals in lanes below. In the first pass the ids lie where they came from.
KERNEL(move_by_digit)(
    i64 n, i64 rows, i64 shift, const i64* __restrict__ ids, const i64* __restrict__ places,
    const i64* __restrict__ counts, const i64* __restrict__ totals, i64* __restrict__ ids_out,
    i64* __restrict__ places_out) {
    __shared__ int seen[WARPS][DIGITS];
    __shared__ i64 begin[DIGITS];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const i64 tiles = (n + TILE - 1) / TILE;
    i64 all;
    const i64 smaller = sum_before(totals[threadIdx.x], &all);
    for (i64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        i64 id[ROUNDS];
        int rank[ROUNDS];
        for (int w = 0; w < WARPS; w++) seen[w][threadIdx.x] = 0;
        __syncthreads();
        const i64 first = tile * TILE + warp * (TILE / WARPS) + lane;
#pragma unroll
        for (int round = 0; round < ROUNDS; round++) {
            const i64 i = first + round * WARP;
            id[round] = i < n ? sorted_as(ids[i], rows) : 0;
            const int digit = digit_of(id[round], shift);
            const u32 equals = __match_any_sync(ALL_LANES, i < n ? digit : DIGITS);
            const int below = __popc(equals & ((1u << lane) - 1));
            if (i < n) rank[round] = seen[warp][digit] + below;
            __syncwarp();
            if (i < n && below == 0) seen[warp][digit] += __popc(equals);
            __syncwarp();
        }
        __syncthreads();
        begin[threadIdx.x] = smaller + counts[tile * DIGITS + threadIdx.x];
        int before = 0;
        for (int w = 0; w < WARPS; w++) {
            const int of_warp = seen[w][threadIdx.x];
            seen[w][threadIdx.x] = before;
            before += of_warp;
        }
        __syncthreads();
#pragma unroll
        for (int round = 0; round < ROUNDS; round++) {
            const i64 i = first + round * WARP;
            if (i >= n) break;
            const int digit = digit_of(id[round], shift);
            const i64 to = begin[digit] + seen[warp][digit] + rank[round];
            ids_out[to] = id[round];
            places_out[to] = shift ? places[i] : i;
        }
        __syncthreads();
    }
}

// ---- backward ----------------------------------------------------------------------------------

// Equal ids are a segment, and whoever finds its first adds it up. Up to SHORT of them: a group of threads, each with
// columns of its own. Four rows are on their way while one is added.
constexpr int SHORT = 64;  // as in cuda.py

template <typename real>
__device__ void add_short(
    i64 n, i64 rows, i64 units, int group, const i64* __restrict__ ids, const i64* __restrict__ places,
    const real* __restrict__ dy, real* __restrict__ dtable) {
    constexpr int size = Pack<real>::size, ahead = 4;
    const bool whole = aligned(dy, dtable) && units % size == 0;
    each_row(n, group, [&](i64 first, int lane) {
        if (first < 0) return;
        const i64 id = ids[first];
        if (id == rows || (first > 0 && ids[first - 1] == id)) return;
        if (first + SHORT < n && ids[first + SHORT] == id) return;
        for (i64 i = lane * size; i < units; i += group * size) {
            Pack<real> sum = {};
            bool ours = true;
            for (i64 at = first; ours; at += ahead) {
                Pack<real> row[ahead];
                bool has[ahead];
#pragma unroll
                for (int r = 0; r < ahead; r++) {
                    has[r] = at + r < n && ids[at + r] == id;
                    if (has[r]) row[r] = load(dy + places[at + r] * units, i, units, whole);
                }
#pragma unroll
                for (int r = 0; r < ahead; r++)
#pragma unroll
                    for (int k = 0; k < size; k++)
                        if (has[r]) sum.v[k] += row[r].v[k];
                ours = has[ahead - 1];
            }
            store(dtable + id * units, i, units, whole, sum);
        }
    });
}

// More than SHORT, such as the id that fills up short texts: a block for each WARP columns, for a thread alone would
// wait for one row after the other. The block brings 128 rows at a time into shared memory, all on their way at once,
// and the next ones while its first warp adds in order, one column a thread.
//
// Such a segment holds a multiple of SHORT; the block of its first multiple is the one that has it.
constexpr int ROWS_EACH = 16;
constexpr int ROWS = WARPS * ROWS_EACH;

template <typename real>
__device__ void add_long(
    i64 n, i64 rows, i64 units, const i64* __restrict__ ids, const i64* __restrict__ places,
    const real* __restrict__ dy, real* __restrict__ dtable) {
    __shared__ real tile[ROWS][WARP];
    __shared__ i64 begin;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, t = threadIdx.x;
    const i64 strips = (units + WARP - 1) / WARP, candidates = (n + SHORT - 1) / SHORT;
    for (i64 job = blockIdx.x; job < candidates * strips; job += gridDim.x) {
        const i64 column = job % strips * WARP + lane, candidate = job / strips * SHORT, id = ids[candidate];
        if (id == rows || (candidate > 0 && ids[candidate - SHORT] == id)) continue;  // all threads alike
        const auto has = [&](i64 at) { return 0 <= at && at < n && ids[at] == id; };
        if (t == 0) begin = -1;
        __syncthreads();
        if (t < SHORT && has(candidate - t) && !has(candidate - t - 1) && has(candidate - t + SHORT))
            begin = candidate - t;
        __syncthreads();
        const i64 first = begin;
        real next[ROWS_EACH], sum = 0;
        const auto bring = [&](i64 at) {
#pragma unroll
            for (int r = 0; r < ROWS_EACH; r++) {
                const i64 row = at + warp * ROWS_EACH + r;
                next[r] = column < units && has(row) ? dy[places[row] * units + column] : 0;
            }
        };
        if (first >= 0) bring(first);
        for (i64 at = first; first >= 0 && has(at); at += ROWS) {
            __syncthreads();  // the rows before are added
#pragma unroll
            for (int r = 0; r < ROWS_EACH; r++) tile[warp * ROWS_EACH + r][lane] = next[r];
            __syncthreads();
            bring(at + ROWS);
            if (warp == 0)
                for (int r = 0; r < ROWS; r++) sum += tile[r][lane];  // past the last of them stand zeros
        }
        if (first >= 0 && warp == 0 && column < units) dtable[id * units + column] = sum;
        __syncthreads();
    }
}

#define STAMP(real, type)                                                                                   \
    KERNEL(embedding_forward_##type)(                                                                       \
        i64 n, i64 rows, i64 units, i64 group, const real* __restrict__ table, const i64* __restrict__ ids, \
        real* __restrict__ y) {                                                                             \
        gather(n, rows, units, int(group), table, ids, y);                                                  \
    }                                                                                                       \
    KERNEL(embedding_add_short_##type)(                                                                     \
        i64 n, i64 rows, i64 units, i64 group, const i64* __restrict__ ids, const i64* __restrict__ places, \
        const real* __restrict__ dy, real* __restrict__ dtable) {                                           \
        add_short(n, rows, units, int(group), ids, places, dy, dtable);                                     \
    }                                                                                                       \
    KERNEL(embedding_add_long_##type)(                                                                      \
        i64 n, i64 rows, i64 units, const i64* __restrict__ ids, const i64* __restrict__ places,            \
        const real* __restrict__ dy, real* __restrict__ dtable) {                                           \
        add_long(n, rows, units, ids, places, dy, dtable);                                                  \
    }
FOR_FLOAT_TYPES(STAMP)
