/* The losses on logits, fused with their softmax or sigmoid. */

#include "softmax.h"

#include "kernels.h"
#include "parallel.h"

/* ---- softmax: dense targets, or one label ------------------------------------------------------- */

typedef struct {
    ptrdiff_t classes;
    const real *logits, *targets;
    const int64_t *labels; /* instead of targets */
    real *loss, *probabilities;
    int past; /* probabilities are written past the caches */
} SoftmaxForward;

/* -Σ t (x - log Σ eˣ), with max x taken off both */
INLINE real dense_loss(const int ahead, ptrdiff_t classes, const real *x, const real *targets, real max, real log_sum)
{
    vec sum = vset(0);
    FOR_VECTORS(0, classes, {
        FETCH_AHEAD(targets + i);
        vec log_p = vload_n(x + i, n) - max - log_sum;
        sum += vselect(vfirst(n), vload_n(targets + i, n) * log_p, vset(0));
    });
    return -vsum(sum);
}

INLINE void softmax_forward(const int ahead, const SoftmaxForward job, ptrdiff_t begin, ptrdiff_t end)
{
    const ptrdiff_t classes = job.classes, together = rows_together(classes), apart = round_up(classes, LANES);
    real room[ROOM], max[TOGETHER], sum[TOGETHER], log_sum[TOGETHER];
    for (ptrdiff_t first = begin; first < end; first += together) {
        const ptrdiff_t rows = min_of(together, end - first);
        real *e = apart > ROOM ? job.probabilities + first * classes : room;
        rows_exp(ahead, rows, classes, job.logits + first * classes, max, sum, e, apart);
        rows_log(rows, sum, log_sum);
        for (ptrdiff_t r = 0, row = first; r < rows; r++, row++) {
            const real *x = job.logits + row * classes;
            job.loss[row] = job.labels
                                ? -(x[job.labels[row]] - max[r] - log_sum[r])
                                : dense_loss(ahead, classes, x, job.targets + row * classes, max[r], log_sum[r]);
            row_divide(classes, e + r * apart, sum[r], job.probabilities + row * classes, job.past && e == room);
        }
    }
    past_end(job.past);
}

static void softmax_forward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    FETCHING(softmax_forward(ahead, *(const SoftmaxForward *)context, begin, end););
}

int NAME(softmax_cross_entropy_forward)(ptrdiff_t batch, ptrdiff_t classes, const real *logits, const real *targets,
                                        real *loss, real *probabilities)
{
    const int past = rows_past(batch, classes, 3, probabilities);
    SoftmaxForward job = {classes, logits, targets, NULL, loss, probabilities, past};
    parallel_for(batch, row_grain(classes), 1, softmax_forward_rows, &job);
    return 0;
}

int NAME(sparse_cross_entropy_forward)(ptrdiff_t batch, ptrdiff_t classes, const real *logits, const int64_t *labels,
                                       real *loss, real *probabilities)
{
    const int past = rows_past(batch, classes, 2, probabilities);
    SoftmaxForward job = {classes, logits, NULL, labels, loss, probabilities, past};
    parallel_for(batch, row_grain(classes), 1, softmax_forward_rows, &job);
    return 0;
}

typedef struct {
    ptrdiff_t classes;
    const real *dloss, *probabilities, *targets;
    const int64_t *labels; /* instead of targets */
    real *dlogits;
    int past; /* dlogits are written past the caches */
} SoftmaxBackward;

INLINE void dense_backward(const int ahead, const SoftmaxBackward job, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t row = begin; row < end; row++) {
        const ptrdiff_t start = row * job.classes;
        const real *p = job.probabilities + start, *targets = job.targets + start;
        real *dlogits = job.dlogits + start, dloss = job.dloss[row], sum = row_sum(ahead, job.classes, targets);
        FOR_VECTORS_PAST(job.past, job.classes, dlogits, {
            vec difference = vload_n(p + i, n) * sum - vload_n(targets + i, n);
            vstore_past(dlogits + i, dloss * difference, n, past);
        });
    }
    past_end(job.past);
}

static void dense_backward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    FETCHING(dense_backward(ahead, *(const SoftmaxBackward *)context, begin, end););
}

static void sparse_backward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const SoftmaxBackward job = *(const SoftmaxBackward *)context;
    const int past = job.past && job.classes <= ROOM;
    real room[ROOM];
    for (ptrdiff_t row = begin; row < end; row++) {
        const ptrdiff_t label = job.labels[row];
        const real *p = job.probabilities + row * job.classes, dloss = job.dloss[row];
        real *dlogits = job.dlogits + row * job.classes, *made = past ? room : dlogits;
        FOR_VECTORS(0, job.classes, vstore_n(made + i, dloss * vload_n(p + i, n), n););
        made[label] = dloss * (p[label] - 1);
        if (past)
            FOR_VECTORS_PAST(1, job.classes, dlogits, vstore_past(dlogits + i, vload_n(room + i, n), n, past););
    }
    past_end(past);
}

int NAME(softmax_cross_entropy_backward)(ptrdiff_t batch, ptrdiff_t classes, const real *dloss,
                                         const real *probabilities, const real *targets, real *dlogits)
{
    const int past = rows_past(batch, classes, 3, dlogits);
    SoftmaxBackward job = {classes, dloss, probabilities, targets, NULL, dlogits, past};
    parallel_for(batch, row_grain(classes), 1, dense_backward_rows, &job);
    return 0;
}

int NAME(sparse_cross_entropy_backward)(ptrdiff_t batch, ptrdiff_t classes, const real *dloss,
                                        const real *probabilities, const int64_t *labels, real *dlogits)
{
    const int past = rows_past(batch, classes, 2, dlogits);
    SoftmaxBackward job = {classes, dloss, probabilities, NULL, labels, dlogits, past};
    parallel_for(batch, row_grain(classes), 1, sparse_backward_rows, &job);
    return 0;
}

/* ---- sigmoid ------------------------------------------------------------------------------------ */

#define GRAIN 8192

typedef struct {
    const real *dloss, *logits, *targets;
    real *y;  /* loss or dlogits */
    int past; /* y is written past the caches */
} Sigmoid;

static void sigmoid_forward_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Sigmoid job = *(const Sigmoid *)context;
    FETCHING(FOR_VECTORS(begin, end, {
        vec x = vload_ahead(ahead, job.logits + i, n), t = vload_ahead(ahead, job.targets + i, n), size = vabs(x);
        vec miss = vselect(vless(vset(0), x), 1 - t, t);
        vec missed = vselect(vless(vset(0), vabs(miss)), size * miss, miss); /* 0 times infinity is 0 */
        vstore_past(job.y + i, missed + vlog1p(vexp(-size)), n, job.past);
    }););
    past_end(job.past);
}

static void sigmoid_backward_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Sigmoid job = *(const Sigmoid *)context;
    FETCHING(FOR_VECTORS(begin, end, {
        const vec x = vload_ahead(ahead, job.logits + i, n), t = vload_ahead(ahead, job.targets + i, n);
        vstore_past(job.y + i, vload_ahead(ahead, job.dloss + i, n) * (vsigmoid(x) - t), n, job.past);
    }););
    past_end(job.past);
}

int NAME(sigmoid_cross_entropy_forward)(ptrdiff_t n, const real *logits, const real *targets, real *loss)
{
    Sigmoid job = {NULL, logits, targets, loss, is_past(loss, 3 * n)};
    parallel_for(n, GRAIN, NUMBERS, sigmoid_forward_range, &job);
    return 0;
}

int NAME(sigmoid_cross_entropy_backward)(ptrdiff_t n, const real *dloss, const real *logits, const real *targets,
                                         real *dlogits)
{
    Sigmoid job = {dloss, logits, targets, dlogits, is_past(dlogits, 4 * n)};
    parallel_for(n, GRAIN, NUMBERS, sigmoid_backward_range, &job);
    return 0;
}
