/* The optimizers' steps: one pass over each weight and its moments. Moments decay towards 0, so denormal
   numbers are flushed. */

#include "simd.h"

#include "kernels.h"
#include "parallel.h"

#define GRAIN 8192

typedef struct {
    real *w;
    const real *g;
    real *m, *v;
    real rate, momentum, decay_m, decay_v, epsilon;
} Step;

/* A step's body, in terms of s, i, n and the vectors w and g, gives w. */
#define STEP_RANGE(name, ...)                                                                             \
    static void name(void *context, ptrdiff_t begin, ptrdiff_t end)                                       \
    {                                                                                                     \
        const Step s = *(const Step *)context;                                                            \
        unsigned before = denormals_flush();                                                              \
        FOR_VECTORS(begin, end, {                                                                         \
            vec w = vload_n(s.w + i, n), g = vload_n(s.g + i, n);                                         \
            __VA_ARGS__                                                                                   \
            vstore_n(s.w + i, w, n);                                                                      \
        });                                                                                               \
        denormals_restore(before);                                                                        \
    }

/* The moment `p` after `formula` in terms of its old value. */
#define UPDATE(p, variable, formula)                                                                      \
    vec variable = vload_n(p + i, n);                                                                     \
    variable = formula;                                                                                   \
    vstore_n(p + i, variable, n);

STEP_RANGE(sgd_range, w -= s.rate * g;)

STEP_RANGE(momentum_range, UPDATE(s.v, v, s.momentum * v - s.rate * g) w += v;)

STEP_RANGE(nesterov_range, UPDATE(s.v, v, s.momentum * v - s.rate * g) w += s.momentum * v - s.rate * g;)

/* All is read before anything is written: where the moments lie at the same place of a page a load waits for the store
   before it (see memory.c). */
STEP_RANGE(adam_range, {
    vec m = vload_n(s.m + i, n), v = vload_n(s.v + i, n);
    m += s.decay_m * (g - m);
    v += s.decay_v * (g * g - v);
    vstore_n(s.m + i, m, n);
    vstore_n(s.v + i, v, n);
    w -= s.rate * m / (vsqrt(v) + s.epsilon);
})

STEP_RANGE(rmsprop_range, UPDATE(s.v, v, s.momentum * v + s.decay_v * (g * g)) w -= s.rate * g / vsqrt(v + s.epsilon);)

STEP_RANGE(adagrad_range, UPDATE(s.v, a, a + g * g) w -= s.rate * g / vsqrt(a + s.epsilon);)

int NAME(sgd_step)(ptrdiff_t n, real *w, const real *g, double lr)
{
    parallel_for(n, GRAIN, NUMBERS, sgd_range, &(Step){.w = w, .g = g, .rate = (real)lr});
    return 0;
}

int NAME(momentum_step)(ptrdiff_t n, real *w, const real *g, real *v, double lr, double momentum, int nesterov)
{
    Step step = {.w = w, .g = g, .v = v, .rate = (real)lr, .momentum = (real)momentum};
    parallel_for(n, GRAIN, NUMBERS, nesterov ? nesterov_range : momentum_range, &step);
    return 0;
}

int NAME(adam_step)(ptrdiff_t n, real *w, const real *g, real *m, real *v, double rate, double beta_1, double beta_2,
                    double epsilon)
{
    Step step = {w, g, m, v, (real)rate, 0, (real)(1 - beta_1), (real)(1 - beta_2), (real)epsilon};
    parallel_for(n, GRAIN, NUMBERS, adam_range, &step);
    return 0;
}

int NAME(rmsprop_step)(ptrdiff_t n, real *w, const real *g, real *v, double lr, double rho, double epsilon)
{
    Step step = {.w = w, .g = g, .v = v, .rate = (real)lr, .momentum = (real)rho};
    step.decay_v = (real)(1 - rho);
    step.epsilon = (real)epsilon;
    parallel_for(n, GRAIN, NUMBERS, rmsprop_range, &step);
    return 0;
}

int NAME(adagrad_step)(ptrdiff_t n, real *w, const real *g, real *a, double lr, double epsilon)
{
    Step step = {.w = w, .g = g, .v = a, .rate = (real)lr, .epsilon = (real)epsilon};
    parallel_for(n, GRAIN, NUMBERS, adagrad_range, &step);
    return 0;
}
