// The losses on logits, each in one kernel with its softmax or sigmoid.
#include "softmax.cuh"

// ---- softmax: dense targets, or one label ------------------------------------------------------

// Targets: the numbers of a row (dense), or one label. `loss` is a thread's part of −Σ t log p, where
// log p = x − max x − log Σ e^(x − max x).
template <typename real> struct Dense {
    const real* targets;

    __device__ real loss(const Exponentials<real>& of, real log_sum, i64 at, i64 columns) const {
        real sum = 0;
        of.row.each({of.x, targets + at * columns}, 0, [&](const Pack<real>* pack, i64) {  // x: from the cache
#pragma unroll
            for (int k = 0; k < of.row.size; k++) sum -= pack[1].v[k] * (pack[0].v[k] - of.top - log_sum);
        });
        return sum;
    }
};

template <typename real> struct Sparse {
    const i64* labels;

    // For a label outside, which an unchecked call may bring, NaN.
    __device__ real loss(const Exponentials<real>& of, real log_sum, i64 at, i64 columns) const {
        if (of.row.begin > 0 || at < 0) return 0;
        const i64 label = labels[at];
        return label < 0 || label >= columns ? not_a_number<real>() : -(of.x[label] - of.top - log_sum);
    }
};

template <typename real, typename Targets>
__device__ void forward(
    i64 rows, i64 columns, int group, bool kept, const real* __restrict__ logits, Targets targets, bool whole,
    real* __restrict__ loss, real* __restrict__ probabilities) {
    whole = whole && aligned(logits, probabilities) && columns % Pack<real>::size == 0;
    each_row(rows, group, [&](i64 at, int lane) {
        const Row<real> row(at >= 0, columns, group, lane, whole, kept);
        const Exponentials<real> of(row, logits + at * columns, group);
        of.store_shares(probabilities + at * columns);
        const real part = reduce(targets.loss(of, log(of.sum), at, columns), group, Sum());
        if (at >= 0 && lane == 0) loss[at] = part;
    });
}

template <typename real>
__device__ void dense_backward(
    i64 rows, i64 columns, int group, bool kept, const real* __restrict__ probabilities,
    const real* __restrict__ targets, const real* __restrict__ dloss, real* __restrict__ dlogits) {
    const bool whole = aligned(probabilities, targets, dlogits) && columns % Pack<real>::size == 0;
    each_row(rows, group, [&](i64 at, int lane) {
        const Row<real> row(at >= 0, columns, group, lane, whole, kept);
        const real *const t = targets + at * columns, *const p = probabilities + at * columns;
        real sum = 0;
        row.each_to_keep({t}, 0, [&](const Pack<real>* pack, i64) {
#pragma unroll
            for (int k = 0; k < row.size; k++) sum += pack->v[k];
        });
        sum = reduce(sum, group, Sum());
        const real d = at < 0 ? 0 : dloss[at];
        row.each_again(t, p, [&](const Pack<real>& target, Pack<real> slope, i64 i) {
#pragma unroll
            for (int k = 0; k < row.size; k++) slope.v[k] = d * (slope.v[k] * sum - target.v[k]);
            store(dlogits + at * columns, i, columns, whole, slope);
        });
    });
}

template <typename real>
__device__ void sparse_backward(
    i64 rows, i64 columns, int group, const real* __restrict__ probabilities, const i64* __restrict__ labels,
    const real* __restrict__ dloss, real* __restrict__ dlogits) {
    constexpr int size = Pack<real>::size;
    const bool whole = aligned(probabilities, dlogits) && columns % size == 0;
    each_row(rows, group, [&](i64 at, int lane) {
        if (at < 0) return;
        const i64 label = labels[at];
        const real d = dloss[at];
        const Row<real> row(true, columns, group, lane, whole, false);
        row.each({probabilities + at * columns}, 0, [&](const Pack<real>* pack, i64 i) {
            const int hit = i <= label && label < i + size ? int(label - i) : -1;
            Pack<real> p;
#pragma unroll
            for (int k = 0; k < size; k++) p.v[k] = d * (pack->v[k] - (k == hit ? 1 : 0));
            store(dlogits + at * columns, i, columns, whole, p);
        });
    });
}

#define STAMP_SOFTMAX(real, type)                                                                                      \
    KERNEL(softmax_cross_entropy_forward_##type)(                                                                      \
        i64 rows, i64 columns, i64 group, bool kept, const real* __restrict__ logits,                                  \
        const real* __restrict__ targets, real* __restrict__ loss, real* __restrict__ probabilities) {                 \
        forward(rows, columns, int(group), kept, logits, Dense<real>{targets}, aligned(targets), loss, probabilities); \
    }                                                                                                                  \
    KERNEL(softmax_cross_entropy_backward_##type)(                                                                     \
        i64 rows, i64 columns, i64 group, bool kept, const real* __restrict__ probabilities,                           \
        const real* __restrict__ targets, const real* __restrict__ dloss, real* __restrict__ dlogits) {                \
        dense_backward(rows, columns, int(group), kept, probabilities, targets, dloss, dlogits);                       \
    }                                                                                                                  \
    KERNEL(sparse_cross_entropy_forward_##type)(                                                                       \
        i64 rows, i64 columns, i64 group, bool kept, const real* __restrict__ logits,                                  \
        const i64* __restrict__ labels, real* __restrict__ loss, real* __restrict__ probabilities) {                   \
        forward(rows, columns, int(group), kept, logits, Sparse<real>{labels}, true, loss, probabilities);             \
    }                                                                                                                  \
    KERNEL(sparse_cross_entropy_backward_##type)(                                                                      \
        i64 rows, i64 columns, i64 group, bool, const real* __restrict__ probabilities,                                \
        const i64* __restrict__ labels, const real* __restrict__ dloss, real* __restrict__ dlogits) {                  \
        sparse_backward(rows, columns, int(group), probabilities, labels, dloss, dlogits);                             \
    }
FOR_FLOAT_TYPES(STAMP_SOFTMAX)

// ---- sigmoid -----------------------------------------------------------------------------------

template <typename real>
__device__ void sigmoid_forward(
    i64 n, const real* __restrict__ logits, const real* __restrict__ targets, real* __restrict__ loss) {
    const bool whole = aligned(logits, targets, loss);
    each_pack<real>(n, [&](i64 i) {
        const Pack<real> x = load(logits, i, n, whole);
        Pack<real> t = load(targets, i, n, whole);
#pragma unroll
        for (int k = 0; k < x.size; k++) {
            const real size = magnitude(x.v[k]), miss = x.v[k] > 0 ? 1 - t.v[k] : t.v[k];
            t.v[k] = (miss == 0 ? 0 : size * miss) + log_1_plus(exponential(-size));
        }
        store(loss, i, n, whole, t);
    });
}

template <typename real>
__device__ void sigmoid_backward(
    i64 n, const real* __restrict__ dloss, const real* __restrict__ logits, const real* __restrict__ targets,
    real* __restrict__ dlogits) {
    const bool whole = aligned(dloss, logits, targets, dlogits);
    each_pack<real>(n, [&](i64 i) {
        const Pack<real> x = load(logits, i, n, whole), t = load(targets, i, n, whole);
        Pack<real> d = load(dloss, i, n, whole);
#pragma unroll
        for (int k = 0; k < x.size; k++) d.v[k] *= logistic(x.v[k]) - t.v[k];
        store(dlogits, i, n, whole, d);
    });
}

#define STAMP_SIGMOID(real, type)                                                                                 \
    KERNEL(sigmoid_cross_entropy_forward_##type)(                                                                 \
        i64 n, const real* __restrict__ logits, const real* __restrict__ targets, real* __restrict__ loss) {      \
        sigmoid_forward(n, logits, targets, loss);                                                                \
    }                                                                                                             \
    KERNEL(sigmoid_cross_entropy_backward_##type)(                                                                \
        i64 n, const real* __restrict__ dloss, const real* __restrict__ logits, const real* __restrict__ targets, \
        real* __restrict__ dlogits) {                                                                             \
        sigmoid_backward(n, dloss, logits, targets, dlogits);                                                     \
    }
FOR_FLOAT_TYPES(STAMP_SIGMOID)
