/* An array with any strides in the order of C. Its axes come down to one dense row after the other, or to matrices that
   are transposed tile by tile in registers. */

#include "copy.h"

#include "kernels.h"
#include "parallel.h"

#define MOST_AXES 64 /* of an array of NumPy's */
#define ROWS 64      /* of a matrix that a task copies: so many lines of y stay in the first-level cache */
#define COLUMNS 2048

typedef struct {
    int axes; /* beside those of the matrices */
    ptrdiff_t sizes[MOST_AXES], x_steps[MOST_AXES], y_steps[MOST_AXES];
    ptrdiff_t rows, x_row, y_row, columns, x_col;
    ptrdiff_t down, across; /* tasks for each matrix */
    const real *x;
    real *y;
} Copy;

/* Of fewer rows or columns transposing leaves most lanes idle. */
#define FEWEST 4

static void copy_part(const Copy *job, ptrdiff_t rows, ptrdiff_t columns, const real *x, real *y)
{
    if (job->x_col == 1 || (rows >= FEWEST && columns >= FEWEST))
        copy_matrix(rows, columns, x, job->x_row, job->x_col, y, job->y_row);
    else if (rows < FEWEST)
        for (ptrdiff_t i = 0; i < rows; i++)
            for (ptrdiff_t j = 0; j < columns; j++)
                y[i * job->y_row + j] = x[i * job->x_row + j * job->x_col];
    else
        for (ptrdiff_t j = 0; j < columns; j++)
            for (ptrdiff_t i = 0; i < rows; i++)
                y[i * job->y_row + j] = x[i * job->x_row + j * job->x_col];
}

static void copy_parts(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const Copy *job = context;
    for (ptrdiff_t task = begin; task < end; task++) {
        const ptrdiff_t column = task % job->across * COLUMNS, row = task / job->across % job->down * ROWS;
        const real *x = job->x + row * job->x_row + column * job->x_col;
        real *y = job->y + row * job->y_row + column;
        ptrdiff_t matrix = task / job->across / job->down;
        for (int axis = job->axes - 1; axis >= 0; matrix /= job->sizes[axis], axis--) {
            x += matrix % job->sizes[axis] * job->x_steps[axis];
            y += matrix % job->sizes[axis] * job->y_steps[axis];
        }
        copy_part(job, min_of(ROWS, job->rows - row), min_of(COLUMNS, job->columns - column), x, y);
    }
}

/* The axes that are longer than 1, neighbours that x goes through as through one put together */
static void join_axes(Copy *job, int axes, const ptrdiff_t *sizes, const ptrdiff_t *steps)
{
    job->axes = 0;
    for (int axis = 0; axis < axes; axis++) {
        const int last = job->axes - 1;
        if (sizes[axis] == 1)
            continue;
        if (last >= 0 && job->x_steps[last] == sizes[axis] * steps[axis]) {
            job->sizes[last] *= sizes[axis];
            job->x_steps[last] = steps[axis];
            continue;
        }
        job->sizes[job->axes] = sizes[axis];
        job->x_steps[job->axes++] = steps[axis];
    }
    ptrdiff_t apart = 1;
    for (int axis = job->axes - 1; axis >= 0; apart *= job->sizes[axis], axis--)
        job->y_steps[axis] = apart;
}

/* The last axis becomes the columns; the one that is dense in x, or else the last that is left, the rows. */
static void take_matrices(Copy *job)
{
    job->rows = job->columns = 1;
    job->x_row = job->y_row = job->x_col = 0;
    if (job->axes == 0)
        return;
    job->columns = job->sizes[--job->axes];
    job->x_col = job->x_steps[job->axes];
    if (job->axes == 0)
        return;
    int dense = job->axes - 1;
    for (int axis = dense; axis >= 0 && job->x_col != 1; axis--)
        if (job->x_steps[axis] == 1)
            dense = axis;
    job->rows = job->sizes[dense];
    job->x_row = job->x_steps[dense];
    job->y_row = job->y_steps[dense];
    for (job->axes--; dense < job->axes; dense++) {
        job->sizes[dense] = job->sizes[dense + 1];
        job->x_steps[dense] = job->x_steps[dense + 1];
        job->y_steps[dense] = job->y_steps[dense + 1];
    }
}

int NAME(copy)(int axes, const ptrdiff_t *sizes, const ptrdiff_t *steps, const real *x, real *y)
{
    Copy job = {.x = x, .y = y};
    ptrdiff_t matrices = 1;
    join_axes(&job, axes, sizes, steps);
    take_matrices(&job);
    for (int axis = 0; axis < job.axes; axis++)
        matrices *= job.sizes[axis];
    job.down = (job.rows + ROWS - 1) / ROWS;
    job.across = (job.columns + COLUMNS - 1) / COLUMNS;
    const ptrdiff_t of_each = min_of(ROWS, job.rows) * min_of(COLUMNS, job.columns);
    if (of_each > 0)
        parallel_for(matrices * job.down * job.across, 1 + COPY_WORK / of_each, 1, copy_parts, &job);
    return 0;
}
