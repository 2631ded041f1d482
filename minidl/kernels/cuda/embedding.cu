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

// By the digits of the ids, nine bits at a time, the lowest first, as many as `rows` has: twice for up to 262143 rows,
// where a sort that knows nothing of its numbers goes through all of 64 bits. Each pass counts how often each digit
// occurs in each chunk of the ids and moves what a chunk has behind all of the same digit in the chunks before.
constexpr int BITS = 9;  // as in cuda.py
constexpr int DIGITS = 1 << BITS;
constexpr int ROUNDS = 8;
constexpr int TILE = THREADS * ROUNDS;  // as in cuda.py
static_assert(DIGITS == 2 * THREADS);

// An id and where it came from. The first pass makes them of the ids alone.
struct alignas(16) Entry {
    i64 id, place;
};

// Ids outside go last: behind all rows, in a segment that no one adds up.
__device__ inline Entry entry(const void* given, i64 i, i64 rows, i64 shift) {
    if (shift) return static_cast<const Entry*>(given)[i];
    const i64 id = static_cast<const i64*>(given)[i];
    return {0 <= id && id < rows ? id : rows, i};
}
__device__ inline int digit_of(i64 id, i64 shift) { return int(id >> shift) & (DIGITS - 1); }

// counts[chunk][digit]; a chunk is some tiles.
KERNEL(count_digits)(
    i64 n, i64 rows, i64 shift, i64 chunk_size, const void* __restrict__ given, int* __restrict__ counts) {
    __shared__ int count[DIGITS];
    for (i64 chunk = blockIdx.x; chunk * chunk_size < n; chunk += gridDim.x) {
        for (int d = threadIdx.x; d < DIGITS; d += THREADS) count[d] = 0;
        __syncthreads();
        const i64 begin = chunk * chunk_size, end = begin + chunk_size < n ? begin + chunk_size : n;
#pragma unroll 4
        for (i64 i = begin + threadIdx.x; i < end; i += THREADS)
            atomicAdd(&count[digit_of(entry(given, i, rows, shift).id, shift)], 1);
        __syncthreads();
        for (int d = threadIdx.x; d < DIGITS; d += THREADS) counts[chunk * DIGITS + d] = count[d];
    }
}

// The sum of the values of the threads before this one.
__device__ inline i64 sum_before(i64 value) {
    __shared__ i64 of_warp[WARPS];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    i64 sum = value;
    for (int distance = 1; distance < WARP; distance *= 2) {
        const i64 before = __shfl_up_sync(ALL_LANES, sum, distance);
        if (lane >= distance) sum += before;
    }
    if (lane == WARP - 1) of_warp[warp] = sum;
    __syncthreads();
    i64 before = sum - value;
    for (int w = 0; w < warp; w++) before += of_warp[w];
    __syncthreads();
    return before;
}

// begin[digit] = where the chunk's first of the digit goes: behind all smaller ones, and its equals in chunks before. A
// thread has two digits. cuda.py makes 256 chunks at most, so that this is short beside the move itself.
__device__ inline void find_begins(i64 chunk, i64 chunks, const int* __restrict__ counts, i64* begin) {
    i64 before[2] = {0, 0}, all[2] = {0, 0};
#pragma unroll 8
    for (i64 c = 0; c < chunks; c++) {
        const int2 count = reinterpret_cast<const int2*>(counts + c * DIGITS)[threadIdx.x];
        if (c < chunk) before[0] += count.x, before[1] += count.y;
        all[0] += count.x, all[1] += count.y;
    }
    const i64 smaller = sum_before(all[0] + all[1]);
    begin[2 * threadIdx.x] = smaller + before[0];
    begin[2 * threadIdx.x + 1] = smaller + all[0] + before[1];
    __syncthreads();
}

// Each warp has a part of a tile and goes through it in order, 32 neighbours at a time: a number's place is what its
// warp had of its digit before, and its equals in lanes below.
KERNEL(move_by_digit)(
    i64 n, i64 rows, i64 shift, i64 chunk_size, const void* __restrict__ given, const int* __restrict__ counts,
    Entry* __restrict__ moved) {
    __shared__ int seen[WARPS][DIGITS];
    __shared__ i64 begin[DIGITS];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const i64 chunks = (n + chunk_size - 1) / chunk_size;
    for (i64 chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
        find_begins(chunk, chunks, counts, begin);
        const i64 end = (chunk + 1) * chunk_size < n ? (chunk + 1) * chunk_size : n;
        for (i64 tile = chunk * chunk_size; tile < end; tile += TILE) {
            Entry own[ROUNDS];
            int rank[ROUNDS];
            for (int w = 0; w < WARPS; w++) seen[w][threadIdx.x] = seen[w][THREADS + threadIdx.x] = 0;
            __syncthreads();
            const i64 first = tile + warp * (TILE / WARPS) + lane;
#pragma unroll
            for (int round = 0; round < ROUNDS; round++)
                if (first + round * WARP < end) own[round] = entry(given, first + round * WARP, rows, shift);
#pragma unroll
            for (int round = 0; round < ROUNDS; round++) {
                const bool has = first + round * WARP < end;
                const int digit = has ? digit_of(own[round].id, shift) : DIGITS;
                const u32 equals = __match_any_sync(ALL_LANES, digit);
                const int below = __popc(equals & ((1u << lane) - 1));
                if (has) rank[round] = seen[warp][digit] + below;
                __syncwarp();
                if (has && below == 0) seen[warp][digit] += __popc(equals);
                __syncwarp();
            }
            __syncthreads();
            int of_tile[2];
            for (int k = 0; k < 2; k++) {
                of_tile[k] = 0;
                for (int w = 0; w < WARPS; w++) {
                    const int of_warp = seen[w][k * THREADS + threadIdx.x];
                    seen[w][k * THREADS + threadIdx.x] = of_tile[k];
                    of_tile[k] += of_warp;
                }
            }
            __syncthreads();
#pragma unroll
            for (int round = 0; round < ROUNDS; round++) {
                if (first + round * WARP >= end) break;
                const int digit = digit_of(own[round].id, shift);
                moved[begin[digit] + seen[warp][digit] + rank[round]] = own[round];
            }
            __syncthreads();
            for (int k = 0; k < 2; k++) begin[k * THREADS + threadIdx.x] += of_tile[k];
        }
        __syncthreads();
    }
}

// ---- backward ----------------------------------------------------------------------------------

// The first of the sorted entries whose id is `row` or more.
__device__ inline i64 first_of(i64 row, i64 n, const Entry* __restrict__ sorted) {
    i64 begin = 0, end = n;
    while (begin < end) {
        const i64 middle = (begin + end) / 2;
        if (sorted[middle].id < row)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

// Equal ids are a segment, which has a row of dtable. Up to SHORT of them: a group of threads adds them up, each with
// columns of its own. Two packs of two rows of dy are on their way at a time. A block has SPAN rows of dtable, of which
// many may have no id and become 0.
constexpr int SHORT = 64;  // as in cuda.py
constexpr int SPAN = 64;

template <typename real>
__device__ void add_short(
    i64 span, i64 n, i64 rows, i64 units, int group, const Entry* __restrict__ sorted, const real* __restrict__ dy,
    real* __restrict__ dtable) {
    constexpr int size = Pack<real>::size, ahead = 2, wide = 2;
    __shared__ i64 begins[SPAN + 1];
    const bool whole = aligned(dy, dtable) && units % size == 0;
    const int lane = threadIdx.x % group;
    if (threadIdx.x <= SPAN) begins[threadIdx.x] = first_of(span * SPAN + threadIdx.x, n, sorted);
    __syncthreads();
    for (int r = threadIdx.x / group; r < SPAN && span * SPAN + r < rows; r += THREADS / group) {
        const i64 begin = begins[r], end = begins[r + 1];
        if (end - begin > SHORT) continue;
        for (i64 i = lane * size; i < units; i += wide * group * size) {
            Pack<real> sums[wide] = {};
            for (i64 at = begin; at < end; at += ahead) {
                i64 place[ahead];
                Pack<real> packs[ahead][wide];
#pragma unroll
                for (int a = 0; a < ahead; a++) place[a] = at + a < end ? sorted[at + a].place : 0;
#pragma unroll
                for (int a = 0; a < ahead; a++)
#pragma unroll
                    for (int w = 0; w < wide; w++) {
                        const i64 column = at + a < end ? i + w * group * size : units;
                        packs[a][w] = load(dy + place[a] * units, column, units, whole);
                    }
#pragma unroll
                for (int a = 0; a < ahead; a++)
#pragma unroll
                    for (int w = 0; w < wide; w++)
#pragma unroll
                        for (int k = 0; k < size; k++) sums[w].v[k] += packs[a][w].v[k];
            }
#pragma unroll
            for (int w = 0; w < wide; w++)
                store(dtable + (span * SPAN + r) * units, i + w * group * size, units, whole, sums[w]);
        }
    }
    __syncthreads();  // before someone overwrites begins
}

// More than SHORT, such as the id that fills up short texts: a block for each WARP columns, for a thread alone would
// wait for one row after the other. The block brings 128 rows at a time into shared memory, all on their way at once,
// and the next ones while its first warp adds in order, one column a thread.
constexpr int ROWS_EACH = 16;
constexpr int ROWS = WARPS * ROWS_EACH;

template <typename real>
__device__ void add_segment(
    i64 begin, i64 n, i64 units, i64 column, const Entry* __restrict__ sorted, const real* __restrict__ dy,
    real* __restrict__ dtable) {
    __shared__ real tile[ROWS][WARP];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const i64 id = sorted[begin].id;
    const auto has = [&](i64 at) { return at < n && sorted[at].id == id; };
    real next[ROWS_EACH], sum = 0;
    const auto bring = [&](i64 at) {
#pragma unroll
        for (int r = 0; r < ROWS_EACH; r++) {
            const i64 row = at + warp * ROWS_EACH + r;
            next[r] = column < units && has(row) ? dy[sorted[row].place * units + column] : 0;
        }
    };
    bring(begin);
    for (i64 at = begin; has(at); at += ROWS) {
        __syncthreads();  // the rows before are added
#pragma unroll
        for (int r = 0; r < ROWS_EACH; r++) tile[warp * ROWS_EACH + r][lane] = next[r];
        __syncthreads();
        bring(at + ROWS);
        if (warp == 0)
            for (int r = 0; r < ROWS; r++) sum += tile[r][lane];  // past the last of them stand zeros
    }
    if (warp == 0 && column < units) dtable[id * units + column] = sum;
    __syncthreads();
}

// Such a segment holds a multiple of SHORT, and the entry half of SHORT before or behind it. Each thread of a warp looks at
// one multiple, whether it is the first in a long segment.
template <typename real>
__device__ void add_long(
    i64 job, i64 n, i64 rows, i64 units, const Entry* __restrict__ sorted, const real* __restrict__ dy,
    real* __restrict__ dtable) {
    __shared__ i64 begins[WARP];
    const int lane = threadIdx.x % WARP;
    const i64 strips = (units + WARP - 1) / WARP, at = (job / strips * WARP + lane) * SHORT;
    if (threadIdx.x < WARP) {
        const auto id = [&](i64 i) { return 0 <= i && i < n ? sorted[i].id : rows; };
        const i64 own = id(at), before = id(at - SHORT / 2), behind = id(at + SHORT / 2);
        begins[lane] = -1;
        if (own < rows && (own == before || own == behind)) {
            const i64 begin = first_of(own, n, sorted);
            if (at - begin < SHORT && id(begin + SHORT) == own) begins[lane] = begin;
        }
    }
    __syncthreads();
    for (int k = 0; k < WARP; k++)
        if (begins[k] >= 0) add_segment(begins[k], n, units, job % strips * WARP + lane, sorted, dy, dtable);
    __syncthreads();
}

// Jobs: WARP multiples of SHORT for WARP columns each, which take longest if they find anything, and then spans.
template <typename real>
__device__ void add(
    i64 n, i64 rows, i64 units, int group, const Entry* __restrict__ sorted, const real* __restrict__ dy,
    real* __restrict__ dtable) {
    const i64 multiples = (n + SHORT - 1) / SHORT, spans = (rows + SPAN - 1) / SPAN;
    const i64 longs = (multiples + WARP - 1) / WARP * ((units + WARP - 1) / WARP);
    for (i64 job = blockIdx.x; job < longs + spans; job += gridDim.x) {
        if (job < longs)
            add_long(job, n, rows, units, sorted, dy, dtable);
        else
            add_short(job - longs, n, rows, units, group, sorted, dy, dtable);
    }
}

#define STAMP(real, type)                                                                                   \
    KERNEL(embedding_forward_##type)(                                                                       \
        i64 n, i64 rows, i64 units, i64 group, const real* __restrict__ table, const i64* __restrict__ ids, \
        real* __restrict__ y) {                                                                             \
        gather(n, rows, units, int(group), table, ids, y);                                                  \
    }                                                                                                       \
    KERNEL(embedding_backward_##type)(                                                                      \
        i64 n, i64 rows, i64 units, i64 group, const Entry* __restrict__ sorted,                            \
        const real* __restrict__ dy, real* __restrict__ dtable) {                                           \
        add(n, rows, units, int(group), sorted, dy, dtable);                                                \
    }
FOR_FLOAT_TYPES(STAMP)
