#include "copy.h"
#include "kernels.h"
#include "parallel.h"

typedef struct {
    ptrdiff_t n, units;
    const real *from;
    const int64_t *ids;
    real *to;
    int past; /* y is written past the caches */
} Job;

static void gather(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Job job = *(const Job *)context;
    for (ptrdiff_t row = begin; row < end; row++) {
        const real *from = job.from + job.ids[row] * job.units;
        real *to = job.to + row * job.units;
        if (job.past) {
            const ptrdiff_t head = before_past(to, job.units);
            if (head)
                vstore_n(to, vload_n(from, head), head);
            copy_row(job.units - head, from + head, to + head, 1);
        } else
            copy_row(job.units, from, to, 0);
    }
    past_end(job.past);
}

int NAME(embedding_forward)(ptrdiff_t n, ptrdiff_t units, const real *table, const int64_t *ids, real *y)
{
    const int past = units >= PAST_ROW && is_past(y, n * units);
    parallel_for(n, 1 + 16384 / (units + 1), gather, &(Job){n, units, table, ids, y, past});
    return 0;
}

#define AHEAD 8 /* rows of dy: behind the ids, the processor does not see them coming */

/* A thread has some columns of the table to itself and adds all of dy's rows to them in order. */
static void scatter_columns(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Job job = *(const Job *)context;
    for (ptrdiff_t row = 0; row < job.n; row++) {
        const real *from = job.from + row * job.units;
        if (row + AHEAD < job.n)
            for (ptrdiff_t i = begin; i < end; i += LINE)
                FETCH(from + AHEAD * job.units + i);
        real *to = job.to + job.ids[row] * job.units;
        FOR_VECTORS(begin, end, vstore_n(to + i, vload_n(to + i, n) + vload_n(from + i, n), n););
    }
}

static void zero(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Job job = *(const Job *)context;
    memset(job.to + begin, 0, (size_t)(end - begin) * sizeof(real));
}

int NAME(embedding_backward)(ptrdiff_t n, ptrdiff_t rows, ptrdiff_t units, const real *dy, const int64_t *ids,
                             real *dtable)
{
    const ptrdiff_t line = 64 / (ptrdiff_t)sizeof(real);
    Job job = {n, units, dy, ids, dtable, 0};
    parallel_for(rows * units, 1 << 17, zero, &job);
    parallel_for(units, n < 512 ? units : line, scatter_columns, &job);
    return 0;
}
