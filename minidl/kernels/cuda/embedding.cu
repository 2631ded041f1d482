// Rows of a table by their ids, and back: the sum of the gradients of each row, in an order that follows from their
// number alone.
//
// Sums of floats differ with their order, so no atomic addition may touch them. The ids are sorted together with their
// places, equal ones in the order of these. Then all that belongs to one row of the table lies side by side. Fewer than
// 128 are added one after the other: the bits are those of the CPU's loop. More are cut into pieces of 64, of which the
// last has what is left over, too; each is added in order, and then the sums of the pieces, 128 at a time.
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

// By the digits of the ids, ten bits at a time, the lowest first, as many as `rows` has: twice for up to 1048575 rows,
// where a sort that knows nothing of its numbers goes through all of 64 bits. Each pass counts how often each digit
// occurs in each chunk of the ids and moves what a chunk has behind all of the same digit in the chunks before.
constexpr int BITS = 10;  // as in cuda.py
constexpr int DIGITS = 1 << BITS;
constexpr int EACH = DIGITS / THREADS;
constexpr int ROUNDS = 8;
constexpr int TILE = THREADS * ROUNDS;  // as in cuda.py
constexpr int BATCH = 16;  // as in cuda.py
static_assert(EACH == Pack<int>::size);

// How often a tile has each of a thread's digits.
struct alignas(8) Tally {
    unsigned short v[EACH];
};
static_assert(TILE < 1 << 16 && sizeof(Tally) == 8);

// An id and where it came from. The first pass makes them of the ids alone. Half the bytes where both fit.
template <typename index> struct alignas(2 * sizeof(index)) Entry {
    index id, place;
};

// Ids outside go last: behind all rows, in a segment that no one adds up.
template <typename index> __device__ Entry<index> entry(const void* given, i64 i, i64 rows, i64 shift) {
    if (shift) return static_cast<const Entry<index>*>(given)[i];
    const i64 id = static_cast<const i64*>(given)[i];
    return {index(0 <= id && id < rows ? id : rows), index(i)};
}
template <typename index> __device__ int digit_of(index id, i64 shift) { return int(id >> shift) & (DIGITS - 1); }

// counts[chunk][digit]; a chunk is some tiles. sums[batch][digit], if there are any, are of BATCH chunks each.
template <typename index>
__device__ void count(
    i64 n, i64 rows, i64 shift, i64 chunk_size, const void* __restrict__ given, int* __restrict__ counts,
    int* __restrict__ sums) {
    __shared__ int of_chunk[DIGITS];
    for (i64 chunk = blockIdx.x; chunk * chunk_size < n; chunk += gridDim.x) {
        for (int d = threadIdx.x; d < DIGITS; d += THREADS) of_chunk[d] = 0;
        __syncthreads();
        const i64 begin = chunk * chunk_size, end = begin + chunk_size < n ? begin + chunk_size : n;
#pragma unroll 8
        for (i64 i = begin + threadIdx.x; i < end; i += THREADS)
            atomicAdd(&of_chunk[digit_of(entry<index>(given, i, rows, shift).id, shift)], 1);
        __syncthreads();
        for (int d = threadIdx.x; d < DIGITS; d += THREADS) {
            counts[chunk * DIGITS + d] = of_chunk[d];
            if (sums && of_chunk[d]) atomicAdd(&sums[chunk / BATCH * DIGITS + d], of_chunk[d]);
        }
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

// before = Σ of the rows of counts in [first, own), all = Σ of those in [first, last). A thread has EACH digits.
__device__ inline void add_counts(
    i64 first, i64 own, i64 last, const int* counts, i64 (&before)[EACH], i64 (&all)[EACH]) {
#pragma unroll 8
    for (i64 c = first; c < last; c++) {
        const Pack<int> found = reinterpret_cast<const Pack<int>*>(counts + c * DIGITS)[threadIdx.x];
#pragma unroll
        for (int k = 0; k < EACH; k++) {
            all[k] += found.v[k];
            if (c < own) before[k] += found.v[k];
        }
    }
}

// begin[digit] = where the chunk's first of the digit goes: behind all smaller ones, and its equals in chunks before.
// Where there are sums of batches, only the chunks of its own are read: all would take longer than the move itself.
template <typename index>
__device__ void find_begins(i64 chunk, i64 chunks, const int* counts, const int* sums, index* begin) {
    i64 before[EACH] = {}, all[EACH] = {}, of_batch[EACH] = {};
    const i64 batch = chunk / BATCH;
    if (sums) {
        add_counts(0, batch, (chunks + BATCH - 1) / BATCH, sums, before, all);
        add_counts(batch * BATCH, chunk, chunk, counts, before, of_batch);
    } else {
        add_counts(0, chunk, chunks, counts, before, all);
    }
    i64 smaller = 0;
#pragma unroll
    for (int k = 0; k < EACH; k++) smaller += all[k];
    smaller = sum_before(smaller);
#pragma unroll
    for (int k = 0; k < EACH; k++) {
        begin[EACH * threadIdx.x + k] = index(smaller + before[k]);
        smaller += all[k];
    }
    __syncthreads();
}

// Each warp has a part of a tile and goes through it in order, 32 neighbours at a time: rank = what its warp had of the
// digit before, and its equals in lanes below. `seen` has what the warp has of each digit in the end.
template <typename index>
__device__ void rank_of_own(
    const Entry<index> (&own)[ROUNDS], int count, i64 shift, unsigned short* seen, int (&rank)[ROUNDS]) {
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int round = 0; round < ROUNDS; round++) {
        const bool has = round < count;
        const int digit = has ? digit_of(own[round].id, shift) : DIGITS;
        const u32 equals = __match_any_sync(ALL_LANES, digit);
        const int below = __popc(equals & ((1u << lane) - 1));
        if (has) rank[round] = seen[digit] + below;
        __syncwarp();
        if (has && below == 0) seen[digit] += (unsigned short)__popc(equals);
        __syncwarp();
    }
}

// seen[warp] = what the warps before have of a thread's digits; what all of them have is returned.
__device__ inline Tally sum_warps(Tally (*seen)[THREADS]) {
    Tally sum = {};
#pragma unroll
    for (int w = 0; w < WARPS; w++) {
        const Tally of_warp = seen[w][threadIdx.x];
        seen[w][threadIdx.x] = sum;
#pragma unroll
        for (int k = 0; k < EACH; k++) sum.v[k] += of_warp.v[k];
    }
    return sum;
}

template <typename index>
__device__ void move_tile(
    i64 tile, i64 end, i64 rows, i64 shift, const void* __restrict__ given, index* begin, Tally (*seen)[THREADS],
    Entry<index>* __restrict__ moved) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const i64 first = tile + warp * (TILE / WARPS) + lane, left = (end - first + WARP - 1) / WARP;
    const int count = left < 0 ? 0 : left < ROUNDS ? int(left) : ROUNDS;
    Entry<index> own[ROUNDS];
    int rank[ROUNDS];
#pragma unroll
    for (int w = 0; w < WARPS; w++) seen[w][threadIdx.x] = {};
#pragma unroll
    for (int round = 0; round < ROUNDS; round++)
        if (round < count) own[round] = entry<index>(given, first + round * WARP, rows, shift);
    __syncthreads();
    rank_of_own(own, count, shift, seen[warp]->v, rank);
    __syncthreads();
    const Tally of_tile = sum_warps(seen);
    __syncthreads();
#pragma unroll
    for (int round = 0; round < ROUNDS; round++) {
        if (round >= count) break;
        const int digit = digit_of(own[round].id, shift);
        moved[i64(begin[digit]) + seen[warp]->v[digit] + rank[round]] = own[round];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < EACH; k++) begin[EACH * threadIdx.x + k] += of_tile.v[k];
}

template <typename index>
__device__ void move(
    i64 n, i64 rows, i64 shift, i64 chunk_size, const void* __restrict__ given, const int* __restrict__ counts,
    const int* __restrict__ sums, Entry<index>* __restrict__ moved) {
    __shared__ Tally seen[WARPS][THREADS];
    __shared__ index begin[DIGITS];
    const i64 chunks = (n + chunk_size - 1) / chunk_size;
    for (i64 chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
        find_begins(chunk, chunks, counts, sums, begin);
        const i64 end = (chunk + 1) * chunk_size < n ? (chunk + 1) * chunk_size : n;
        for (i64 tile = chunk * chunk_size; tile < end; tile += TILE)
            move_tile(tile, end, rows, shift, given, begin, seen, moved);
        __syncthreads();
    }
}

#define STAMP_SORT(index, bits)                                                                               \
    KERNEL(count_digits_##bits)(                                                                              \
        i64 n, i64 rows, i64 shift, i64 chunk_size, const void* __restrict__ given, int* __restrict__ counts, \
        int* __restrict__ sums) {                                                                             \
        count<index>(n, rows, shift, chunk_size, given, counts, sums);                                        \
    }                                                                                                         \
    KERNEL(move_by_digit_##bits)(                                                                             \
        i64 n, i64 rows, i64 shift, i64 chunk_size, const void* __restrict__ given,                           \
        const int* __restrict__ counts, const int* __restrict__ sums, Entry<index>* __restrict__ moved) {     \
        move<index>(n, rows, shift, chunk_size, given, counts, sums, moved);                                  \
    }
STAMP_SORT(u32, 32)
STAMP_SORT(i64, 64)

// ---- backward ----------------------------------------------------------------------------------

// Equal ids are a segment, which has a row of dtable. A group of threads, a warp at most, adds up one after the other
// what is not long: a span of rows of dtable, of which many may have no id and become 0, or a piece of a long segment.
// Each thread has columns of its own and waits for no other. The rows of dy lie anywhere: six are on their way at a
// time, of the next segments, too.
constexpr int SHORT = 64;    // as in cuda.py: of a segment that is not long at most, and of a piece
constexpr int PIECES = 128;  // as in cuda.py: whose sums are added at a time
constexpr int WAYS = 16;

// The first of the sorted entries whose id is `row` or more. The steps wait for each other, so each has many ways.
template <typename index> __device__ i64 first_of(i64 row, i64 n, const Entry<index>* __restrict__ sorted) {
    i64 begin = 0, end = n;
    while (begin < end) {
        const i64 step = (end - begin) / (WAYS + 1) + 1;
        int below = 0;
#pragma unroll
        for (int way = 1; way <= WAYS; way++) {
            const i64 at = begin + way * step - 1;
            below += at < end && i64(sorted[at].id) < row;
        }
        begin += below * step;
        end = begin + step - 1 < end ? begin + step - 1 : end;
    }
    return begin;
}

template <typename real> __device__ void operator+=(Pack<real>& sum, const Pack<real>& pack) {
#pragma unroll
    for (int k = 0; k < Pack<real>::size; k++) sum.v[k] += pack.v[k];
}

// Of an assignment the compiler makes four stores here.
__device__ inline void store_whole(float* y, const Pack<float>& pack) {
    __stcg(reinterpret_cast<float4*>(y), make_float4(pack.v[0], pack.v[1], pack.v[2], pack.v[3]));
}
__device__ inline void store_whole(double* y, const Pack<double>& pack) {
    __stcg(reinterpret_cast<double2*>(y), make_double2(pack.v[0], pack.v[1]));
}

// What a thread has of each row: the pack at `first`, of rows that cannot be read in packs one number after the other.
template <typename real, bool whole> struct Columns {
    i64 units, first;

    __device__ Columns(i64 units, i64 strip, int group)
        : units(units), first((strip * group + threadIdx.x % group) * Pack<real>::size) {}

    // Zeros of a row that is not wanted.
    __device__ Pack<real> read(const real* x, i64 row, bool wanted) const {
        if (!whole) return load(x + row * units, first, wanted ? units : 0, false);
        if (!wanted || first >= units) return {};
        return *reinterpret_cast<const Pack<real>*>(x + row * units + first);
    }
    __device__ void write(real* y, i64 row, const Pack<real>& pack) const {
        if (!whole)
            store(y + row * units, first, units, false, pack);
        else if (first < units)
            store_whole(y + row * units + first, pack);
    }
};

// The groups of all blocks take the jobs in turns, each of them for each strip of the columns: body(job, strip).
template <typename Body> __device__ void each_job(i64 jobs, i64 strips, int group, Body body) {
    const i64 stride = i64(gridDim.x) * THREADS / group;
    for (i64 i = (i64(blockIdx.x) * THREADS + threadIdx.x) / group; i < jobs * strips; i += stride)
        body(i / strips, i % strips);
}

// Rows [row, last) of dtable but those of long segments, along the entries from the first of them on.
template <int ahead, typename real, bool whole, typename index>
__device__ void add_short(
    i64 row, i64 last, i64 n, const Columns<real, whole>& columns, const Entry<index>* __restrict__ sorted,
    const real* __restrict__ dy, real* __restrict__ dtable) {
    i64 at = first_of(row, n, sorted);
    Pack<real> sum = {};
    while (row < last) {
        Pack<real> packs[ahead];
        i64 id[ahead];
        bool goes_on[ahead];
#pragma unroll
        for (int a = 0; a < ahead; a++) {
            const Entry<index> own = at + a < n ? sorted[at + a] : Entry<index>{index(last), 0};
            id[a] = own.id;
            goes_on[a] = at + a + SHORT < n && sorted[at + a + SHORT].id == own.id;
            packs[a] = columns.read(dy, own.place, id[a] < last);
        }
        i64 next = at + ahead;
#pragma unroll
        for (int a = 0; a < ahead; a++) {
            if (row < id[a]) {
                columns.write(dtable, row, sum);
                for (row++; row < id[a] && row < last; row++) columns.write(dtable, row, {});
                sum = {};
            }
            if (row == last) break;
            if (goes_on[a]) {  // at the first entry of a long segment and at none of the others
                next = first_of(++row, n, sorted);
                break;
            }
            sum += packs[a];
        }
        at = next;
    }
}

// A piece of a long segment: the id, the piece's number and how many there are; 0 if there is nothing left to add.
struct Run {
    i64 id, number, count;
};

// Piece number k begins k SHORT places behind its segment, and in its first SHORT places is one multiple of SHORT: so
// each multiple has a piece at most, and the pieces of a segment are neighbours.
template <typename index>
__device__ Run find_piece(i64 at, i64 n, i64 rows, const Entry<index>* __restrict__ sorted, i64& begin, i64& end) {
    const auto id = [&](i64 i) { return 0 <= i && i < n ? i64(sorted[i].id) : rows; };
    const i64 own = id(at), before = id(at - SHORT / 2), behind = id(at + SHORT / 2);
    if (own == rows || (own != before && own != behind)) return {own, 0, 0};
    begin = first_of(own, n, sorted), end = first_of(own + 1, n, sorted);
    const Run run = {own, (at - begin) / SHORT, (end - begin) / SHORT};
    if (end - begin <= SHORT || run.number >= run.count) return {own, 0, 0};
    begin += run.number * SHORT;
    if (run.number < run.count - 1) end = begin + SHORT;
    return run;
}

template <int ahead, typename real, bool whole, typename index>
__device__ void add_piece(
    i64 piece, i64 n, i64 rows, const Columns<real, whole>& columns, const Entry<index>* __restrict__ sorted,
    const real* __restrict__ dy, Run* __restrict__ runs, real* __restrict__ sums, real* __restrict__ dtable) {
    i64 begin, end;
    const Run run = find_piece(piece * SHORT, n, rows, sorted, begin, end);
    if (columns.first == 0) runs[piece] = {run.id, run.number, run.count == 1 ? 0 : run.count};
    if (!run.count) return;
    Pack<real> sum = {};
    for (; begin < end; begin += ahead) {
        Pack<real> packs[ahead];
#pragma unroll
        for (int a = 0; a < ahead; a++) {
            const bool has = begin + a < end;
            packs[a] = columns.read(dy, has ? sorted[begin + a].place : 0, has);
        }
#pragma unroll
        for (int a = 0; a < ahead; a++) sum += packs[a];
    }
    if (run.count == 1)
        columns.write(dtable, run.id, sum);
    else
        columns.write(sums, piece, sum);
}

// Whether the sums of up to PIECES pieces, `step` apart, are to be added up, of which this is the first.
__device__ inline bool leads(const Run& run, i64 step) { return run.count > step && run.number % (PIECES * step) == 0; }

// further[piece] = Σ of them; the last of all is the row of dtable.
template <int ahead, typename real, bool whole>
__device__ void add_sums(
    i64 piece, i64 step, const Run& run, const Columns<real, whole>& columns, const real* __restrict__ sums,
    real* __restrict__ further, real* __restrict__ dtable) {
    const i64 left = run.count - run.number, end = left < PIECES * step ? left : PIECES * step;
    Pack<real> sum = {};
    for (i64 i = 0; i < end; i += ahead * step) {
        Pack<real> packs[ahead];
#pragma unroll
        for (int a = 0; a < ahead; a++) packs[a] = columns.read(sums, piece + i + a * step, i + a * step < end);
#pragma unroll
        for (int a = 0; a < ahead; a++) sum += packs[a];
    }
    if (run.count <= PIECES * step)
        columns.write(dtable, run.id, sum);
    else
        columns.write(further, piece, sum);
}

// A group looks at FEW pieces. Mostly there is nothing to do.
constexpr int FEW = 8;  // as in cuda.py

template <int ahead, typename real, bool whole>
__device__ void add_all_sums(
    i64 pieces, i64 step, i64 units, i64 strips, int group, const Run* __restrict__ runs,
    const real* __restrict__ sums, real* __restrict__ further, real* __restrict__ dtable) {
    each_job((pieces + FEW - 1) / FEW, strips, group, [&](i64 job, i64 strip) {
        const Columns<real, whole> columns(units, strip, group);
        u32 leading = 0;
#pragma unroll
        for (int k = 0; k < FEW; k++)
            if (job * FEW + k < pieces && leads(runs[job * FEW + k], step)) leading |= 1u << k;
        for (; leading; leading &= leading - 1) {
            const i64 piece = job * FEW + __ffs(int(leading)) - 1;
            add_sums<ahead>(piece, step, runs[piece], columns, sums, further, dtable);
        }
    });
}

// A job is a piece, if there is one, and then a span.
template <int ahead, typename real, bool whole, typename index>
__device__ void add_all(
    i64 n, i64 rows, i64 span, i64 units, i64 strips, int group, const Entry<index>* __restrict__ sorted,
    const real* __restrict__ dy, Run* __restrict__ runs, real* __restrict__ sums, real* __restrict__ dtable) {
    const i64 pieces = (n + SHORT - 1) / SHORT, spans = (rows + span - 1) / span;
    each_job(pieces > spans ? pieces : spans, strips, group, [&](i64 job, i64 strip) {
        const Columns<real, whole> columns(units, strip, group);
        const i64 row = job * span, last = row + span < rows ? row + span : rows;
        if (job < pieces) add_piece<ahead>(job, n, rows, columns, sorted, dy, runs, sums, dtable);
        if (row < last) add_short<ahead>(row, last, n, columns, sorted, dy, dtable);
    });
}

// Or else the compiler has a row added before it asks for the next, to make more blocks fit.
#define MORE_REGISTERS __launch_bounds__(THREADS, 2)

#define STAMP_BACKWARD(real, type, index, bits)                                                                    \
    KERNEL(embedding_backward_##type##_##bits)(                                                                    \
        i64 n, i64 rows, i64 span, i64 units, i64 strips, i64 group, const Entry<index>* __restrict__ sorted,      \
        const real* __restrict__ dy, Run* __restrict__ runs, real* __restrict__ sums, real* __restrict__ dtable) { \
        if (units % Pack<real>::size == 0 && aligned(dy, sums, dtable))                                            \
            add_all<6, real, true>(n, rows, span, units, strips, int(group), sorted, dy, runs, sums, dtable);      \
        else                                                                                                       \
            add_all<1, real, false>(n, rows, span, units, strips, int(group), sorted, dy, runs, sums, dtable);     \
    }

#define STAMP(real, type)                                                                                       \
    KERNEL(embedding_forward_##type)(                                                                           \
        i64 n, i64 rows, i64 units, i64 group, const real* __restrict__ table, const i64* __restrict__ ids,     \
        real* __restrict__ y) {                                                                                 \
        gather(n, rows, units, int(group), table, ids, y);                                                      \
    }                                                                                                           \
    STAMP_BACKWARD(real, type, u32, 32)                                                                         \
    STAMP_BACKWARD(real, type, i64, 64)                                                                         \
    extern "C" __global__ void MORE_REGISTERS embedding_sums_##type(                                            \
        i64 pieces, i64 step, i64 units, i64 strips, i64 group, const Run* __restrict__ runs,                   \
        const real* __restrict__ sums, real* __restrict__ further, real* __restrict__ dtable) {                 \
        if (units % Pack<real>::size == 0 && aligned(sums, further, dtable))                                    \
            add_all_sums<8, real, true>(pieces, step, units, strips, int(group), runs, sums, further, dtable);  \
        else                                                                                                    \
            add_all_sums<1, real, false>(pieces, step, units, strips, int(group), runs, sums, further, dtable); \
    }
FOR_FLOAT_TYPES(STAMP)
