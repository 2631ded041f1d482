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
    const int past = units >= PAST_ROW && is_past(y, 2 * n * units);
    parallel_for(n, 1 + 16384 / (units + 1), 1, gather, &(Job){n, units, table, ids, y, past});
    return 0;
}

/* ---- the gradient ------------------------------------------------------------------------------- */

typedef struct {
    ptrdiff_t n, units, parts;
    const real *dy;
    const int64_t *ids, *first; /* a part of the table's rows begins there and ends where the next one begins */
    real *dtable;
    int zeroed; /* in equal shares, before: else by who adds to it */
} Scatter;

#define AHEAD 16   /* rows of dy: behind the ids, the processor does not see them coming */
#define BLOCK 1024 /* ids that are looked through at a time */

/* Into the second-level cache where a thread leaves out rows, so that the processor does not see by itself what comes
   next: if that comes from memory, the first-level cache cannot wait for so many lines. */
INLINE void fetch_row(const int far, const real *row, ptrdiff_t units)
{
    for (ptrdiff_t i = 0; i < units; i += LINE)
        if (far)
            FETCH_FAR(row + i);
        else
            FETCH(row + i);
}

INLINE void add_row(const int far, const Scatter job, ptrdiff_t row, ptrdiff_t later)
{
    const real *from = job.dy + row * job.units;
    real *to = job.dtable + job.ids[row] * job.units;
    fetch_row(far, job.dy + later * job.units, job.units);
    FOR_VECTORS(0, job.units, vstore_n(to + i, vload_n(to + i, n) + vload_n(from + i, n), n););
}

static void zero(void *dtable, ptrdiff_t begin, ptrdiff_t end)
{
    memset((real *)dtable + begin, 0, (size_t)(end - begin) * sizeof(real));
}

/* A thread has some rows of the table to itself, and adds to each what belongs there in order. */
static void scatter_parts(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Scatter job = *(const Scatter *)context;
    if (!job.zeroed)
        zero(job.dtable, job.first[begin] * job.units, job.first[end] * job.units);
    if (end - begin == job.parts) {
        for (ptrdiff_t row = 0; row < job.n; row++)
            add_row(0, job, row, min_of(row + AHEAD, job.n - 1));
        return;
    }
    const uint64_t low = (uint64_t)job.first[begin], span = (uint64_t)job.first[end] - low;
    ptrdiff_t own[BLOCK];
    for (ptrdiff_t start = 0; start < job.n; start += BLOCK) {
        ptrdiff_t count = 0;
        for (ptrdiff_t row = start; row < min_of(start + BLOCK, job.n); row++) {
            own[count] = row;
            count += (uint64_t)job.ids[row] - low < span; /* a branch would be foreseen half the time */
        }
        for (ptrdiff_t k = 0; k < count; k++)
            add_row(1, job, own[k], own[min_of(k + AHEAD, count - 1)]);
    }
}

#define SAMPLE 128
#define FAR_TABLE (1 << 19) /* numbers, and more are cleared in equal shares: of words, few rows have most of the ids */

/* The bounds of parts with about as many of the ids in each: those of a sample of them, sorted. Without any, equal
   parts. */
static void divide_rows(ptrdiff_t rows, ptrdiff_t parts, ptrdiff_t n, const int64_t *ids, int64_t *first)
{
    int64_t sample[SAMPLE];
    const ptrdiff_t count = parts > 1 ? min_of(n, SAMPLE) : 0;
    for (ptrdiff_t k = 0; k < count; k++) {
        ptrdiff_t at = k;
        for (; at > 0 && sample[at - 1] > ids[k * n / count]; at--)
            sample[at] = sample[at - 1];
        sample[at] = ids[k * n / count];
    }
    for (ptrdiff_t part = 1; part < parts; part++)
        first[part] = count ? sample[part * count / parts] : part * rows / parts;
    first[0] = 0;
    first[parts] = rows;
}

int NAME(embedding_backward)(ptrdiff_t n, ptrdiff_t rows, ptrdiff_t units, const real *dy, const int64_t *ids,
                             real *dtable)
{
    int64_t first[PARALLEL_MAX + 1];
    const ptrdiff_t threads = parallel_free_threads();
    const int hot = units % LINE && rows < 256; /* two threads would write to one line of the cache, all the time */
    const int thin = units * (threads - 1) <= LINE; /* to look for one's ids takes longer than to add their rows */
    const ptrdiff_t parts = (n + rows) * units < 1 << 18 || thin || hot ? 1 : threads;
    const int zeroed = rows * units > FAR_TABLE;
    if (zeroed)
        parallel_for(rows * units, 1 << 17, NUMBERS, zero, dtable);
    divide_rows(rows, parts, n, ids, first);
    parallel_for(parts, 1, 1, scatter_parts, &(Scatter){n, units, parts, dy, ids, first, dtable, zeroed});
    return 0;
}
