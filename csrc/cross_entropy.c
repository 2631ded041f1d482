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
} SoftmaxForward;

/* -Σ t (x - log Σ eˣ), with max x taken off both */
static real dense_loss(ptrdiff_t classes, const real *x, const real *targets, real max, real log_sum)
{
    vec sum = vset(0);
    FOR_VECTORS(0, classes, {
        vec log_p = vload_n(x + i, n) - max - log_sum;
        sum += vselect(vfirst(n), vload_n(targets + i, n) * log_p, vset(0));
    });
    return -vsum(sum);
}

static void softmax_forward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const SoftmaxForward job = *(const SoftmaxForward *)context;
    for (ptrdiff_t row = begin; row < end; row++) {
        const real *x = job.logits + row * job.classes;
        real *p = job.probabilities + row * job.classes;
        real max = row_max(job.classes, x), sum = row_exp(job.classes, x, max, p), log_sum = IF32(logf, log)(sum);
        job.loss[row] = job.labels ? -(x[job.labels[row]] - max - log_sum)
                                   : dense_loss(job.classes, x, job.targets + row * job.classes, max, log_sum);
        row_divide(job.classes, p, sum);
    }
}

int NAME(softmax_cross_entropy_forward)(ptrdiff_t batch, ptrdiff_t classes, const real *logits, const real *targets,
                                        real *loss, real *probabilities)
{
    SoftmaxForward job = {classes, logits, targets, NULL, loss, probabilities};
    parallel_for(batch, row_grain(classes), softmax_forward_rows, &job);
    return 0;
}

int NAME(sparse_cross_entropy_forward)(ptrdiff_t batch, ptrdiff_t classes, const real *logits, const int64_t *labels,
                                       real *loss, real *probabilities)
{
    SoftmaxForward job = {classes, logits, NULL, labels, loss, probabilities};
    parallel_for(batch, row_grain(classes), softmax_forward_rows, &job);
    return 0;
}

typedef struct {
    ptrdiff_t classes;
    const real *dloss, *probabilities, *targets;
    const int64_t *labels; /* instead of targets */
    real *dlogits;
} SoftmaxBackward;

static void dense_backward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const SoftmaxBackward job = *(const SoftmaxBackward *)context;
    for (ptrdiff_t row = begin; row < end; row++) {
        const ptrdiff_t start = row * job.classes;
        const real *p = job.probabilities + start, *targets = job.targets + start;
        real *dlogits = job.dlogits + start, dloss = job.dloss[row], sum = row_sum(job.classes, targets);
        FOR_VECTORS(0, job.classes, {
            vec difference = vload_n(p + i, n) * sum - vload_n(targets + i, n);
            vstore_n(dlogits + i, dloss * difference, n);
        });
    }
}

static void sparse_backward_rows(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const SoftmaxBackward job = *(const SoftmaxBackward *)context;
    for (ptrdiff_t row = begin; row < end; row++) {
        const real *p = job.probabilities + row * job.classes;
        real *dlogits = job.dlogits + row * job.classes, dloss = job.dloss[row];
        FOR_VECTORS(0, job.classes, vstore_n(dlogits + i, dloss * vload_n(p + i, n), n););
        dlogits[job.labels[row]] = dloss * (p[job.labels[row]] - 1);
    }
}

int NAME(softmax_cross_entropy_backward)(ptrdiff_t batch, ptrdiff_t classes, const real *dloss,
                                         const real *probabilities, const real *targets, real *dlogits)
{
    SoftmaxBackward job = {classes, dloss, probabilities, targets, NULL, dlogits};
    parallel_for(batch, row_grain(classes), dense_backward_rows, &job);
    return 0;
}

int NAME(sparse_cross_entropy_backward)(ptrdiff_t batch, ptrdiff_t classes, const real *dloss,
                                        const real *probabilities, const int64_t *labels, real *dlogits)
{
    SoftmaxBackward job = {classes, dloss, probabilities, NULL, labels, dlogits};
    parallel_for(batch, row_grain(classes), sparse_backward_rows, &job);
    return 0;
}

/* ---- sigmoid ------------------------------------------------------------------------------------ */

#define GRAIN 8192

typedef struct {
    const real *dloss, *logits, *targets;
    real *y; /* loss or dlogits */
} Sigmoid;

static void sigmoid_forward_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Sigmoid job = *(const Sigmoid *)context;
    FOR_VECTORS(begin, end, {
        vec x = vload_n(job.logits + i, n), t = vload_n(job.targets + i, n), size = vabs(x);
        vec miss = vselect(vless(vset(0), x), 1 - t, t);
        vec missed = vselect(vless(vset(0), vabs(miss)), size * miss, miss); /* 0 times infinity is 0 */
        vstore_n(job.y + i, missed + vlog1p(vexp(-size)), n);
    });
}

static void sigmoid_backward_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Sigmoid job = *(const Sigmoid *)context;
    FOR_VECTORS(begin, end, {
        vec error = vsigmoid(vload_n(job.logits + i, n)) - vload_n(job.targets + i, n);
        vstore_n(job.y + i, vload_n(job.dloss + i, n) * error, n);
    });
}

int NAME(sigmoid_cross_entropy_forward)(ptrdiff_t n, const real *logits, const real *targets, real *loss)
{
    parallel_for(n, GRAIN, sigmoid_forward_range, &(Sigmoid){NULL, logits, targets, loss});
    return 0;
}

int NAME(sigmoid_cross_entropy_backward)(ptrdiff_t n, const real *dloss, const real *logits, const real *targets,
                                         real *dlogits)
{
    parallel_for(n, GRAIN, sigmoid_backward_range, &(Sigmoid){dloss, logits, targets, dlogits});
    return 0;
}
