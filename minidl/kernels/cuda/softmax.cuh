// Rows that a kernel goes over more than once: first for a sum, then for the result.
#pragma once

#include "math.cuh"

// A thread's share of a row: its packs lane, lane + group, … Where all of a block's fit into shared memory (`kept`;
// cuda.py knows) they are read once and stay there, each pack for the one thread that uses it, so nobody has to wait.
// Registers would do too, but short rows would take as many of them as long ones and leave no room for other threads. A
// longer row, of more than 11264 float32, is read again, from the L2 if all goes well.
template <typename real> struct Row {
    static constexpr int size = Pack<real>::size;
    i64 n, begin, step;
    bool whole;
    Pack<real>* room;  // every THREADS-th is this thread's

    __device__ Row(bool exists, i64 columns, int group, int lane, bool whole, bool kept)
        : n(exists ? columns : 0), begin(lane * size), step(group * size), whole(whole), room(nullptr) {
        extern __shared__ double2 shared[];  // 16 bytes each
        if (kept) room = reinterpret_cast<Pack<real>*>(shared) + threadIdx.x;
    }

    // body(packs, i) for the packs of these rows
    template <int count, typename Body>
    __device__ void each(const real* const (&rows)[count], real beyond, Body body) const {
        each_of_rows<size / count>(rows, n, begin, step, whole, beyond, body);
    }

    // The same, and the packs of the first row stay in the room if there is one
    template <int count, typename Body>
    __device__ void each_to_keep(const real* const (&rows)[count], real beyond, Body body) const {
        Pack<real>* at = room;
        each(rows, beyond, [&](const Pack<real>* packs, i64 i) {
            if (room) {
                *at = packs[0];
                at += THREADS;
            }
            body(packs, i);
        });
    }

    // body(pack, i) for what stays in the room
    template <typename Body> __device__ void each_kept(Body body) const {
        Pack<real>* at = room;
        for (i64 i = begin; i < n; i += step, at += THREADS) body(*at, i);
    }

    // body(pack, other's pack, i), the first as it stays in the room, or read again
    template <typename Body> __device__ void each_again(const real* first, const real* other, Body body) const {
        if (!room)
            return each({first, other}, 0, [&](const Pack<real>* packs, i64 i) { body(packs[0], packs[1], i); });
        const Pack<real>* at = room;
        each_of_rows<size / 2>({other}, n, begin, step, whole, real(0), [&](const Pack<real>* pack, i64 i) {
            body(*at, *pack, i);
            at += THREADS;
        });
    }
};

// e^(x − max x) and their sum, in one reading of the row: what stays are the exponentials, computed once. A longer row's
// sum is relative to the largest so far, and each larger one makes it smaller.
//
// The largest begins with the lowest finite number. If all are −∞, their sum is 0, and 0 / 0 is NaN as it should.
template <typename real> struct Exponentials {
    const Row<real>& row;
    const real* x;
    real top = lowest<real>(), sum = 0, inverse;

    __device__ Exponentials(const Row<real>& row, const real* x, int group) : row(row), x(x) {
        if (row.room) {
            row.each_to_keep(
                {x}, minus_infinity<real>(), [&](const Pack<real>* pack, i64) { top = larger(*pack); });
            top = reduce(top, group, Max());
            row.each_kept([&](Pack<real>& pack, i64) { pack = added(pack); });
        } else {
            row.each({x}, minus_infinity<real>(), [&](const Pack<real>* pack, i64) {
                const real before = top;
                top = larger(*pack);
                sum *= exponential_beside_1(before - top);
                added(*pack);
            });
            const real own = top;
            top = reduce(top, group, Max());
            sum *= exponential_beside_1(own - top);
        }
        sum = reduce(sum, group, Sum());
        inverse = 1 / sum;
    }

    __device__ real larger(const Pack<real>& pack) const {
        real result = top;
#pragma unroll
        for (int k = 0; k < pack.size; k++) result = Max()(result, pack.v[k]);
        return result;
    }

    __device__ Pack<real> exponentials(Pack<real> pack) const {
#pragma unroll
        for (int k = 0; k < pack.size; k++) pack.v[k] = exponential_beside_1(pack.v[k] - top);
        return pack;
    }

    __device__ Pack<real> added(const Pack<real>& pack) {
        const Pack<real> e = exponentials(pack);
#pragma unroll
        for (int k = 0; k < e.size; k++) sum += e.v[k];
        return e;
    }

    // e / sum, corrected by its remainder: as exact as a division, which takes three times as long
    __device__ real share(real e) const {
        const real y = e * inverse;
        return fma(fma(-y, sum, e), inverse, y);
    }

    // y = the exponentials divided by their sum
    __device__ void store_shares(real* y) const {
        const auto to_y = [&](Pack<real> e, i64 i) {
#pragma unroll
            for (int k = 0; k < e.size; k++) e.v[k] = share(e.v[k]);
            store(y, i, row.n, row.whole, e);
        };
        if (row.room) return row.each_kept(to_y);
        row.each({x}, minus_infinity<real>(), [&](const Pack<real>* pack, i64 i) {
            to_y(exponentials(*pack), i);
        });
    }
};
