/* One of two numbers for each place, without a branch: on conditions in no order half of them would be mispredicted. */

#include "simd.h"

#include "kernels.h"
#include "parallel.h"

#define GRAIN 16384

typedef struct {
    const uint8_t *condition;
    const real *a, *b;
    ptrdiff_t a_step, b_step;
    real *y;
    int past; /* y is written past the caches */
} Choice;

static void where_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Choice job = *(const Choice *)context;
    const vec same_a = vset(*job.a), same_b = vset(*job.b);
    FETCHING(FOR_VECTORS(begin, end, {
        const vec a = job.a_step ? vload_ahead(ahead, job.a + i, n) : same_a;
        const vec b = job.b_step ? vload_ahead(ahead, job.b + i, n) : same_b;
        vstore_past(job.y + i, vselect(vtrue_n(job.condition + i, n), a, b), n, job.past);
    }););
    past_end(job.past);
}

int NAME(where)(ptrdiff_t n, const uint8_t *condition, const real *a, ptrdiff_t a_step, const real *b,
                ptrdiff_t b_step, real *y)
{
    const int past = is_past(y, (1 + a_step + b_step) * n);
    parallel_for(n, GRAIN, NUMBERS, where_range, &(Choice){condition, a, b, a_step, b_step, y, past});
    return 0;
}
