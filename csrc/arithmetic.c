/* a + b, a - b, a b, a / b and the larger and the smaller of a and b, of arrays that broadcast: y (three sizes) is
   dense, and along each of its axes an operand has a step from number to number, which is 0 where the operand is
   broadcast, and along the last axis else 1.

   What NumPy warns of is left to it: a number that is invalid, infinite by overflow or by a division by zero, or too
   small raises a flag of the processor, the kernel passes on that it did, and its caller comes to NumPy with the same
   operands. A comparison raises one for NaN, of which NumPy does not warn, so those of the larger and the smaller are
   not looked at. */

#include "simd.h"

#include "kernels.h"
#include "parallel.h"

#define GRAIN 16384

#if defined(__GNUC__)
#define RAISE(flags, more) __atomic_fetch_or(flags, more, __ATOMIC_RELAXED) /* by any of the threads */
#else
#define RAISE(flags, more) (*(flags) |= (more))
#endif

typedef struct {
    const ptrdiff_t *sizes, *a_steps, *b_steps;
    const real *a, *b;
    real *y;
    int *raised;
    int past; /* y is written past the caches */
} Arithmetic;

INLINE vec vadd(vec a, vec b) { return a + b; }
INLINE vec vsubtract(vec a, vec b) { return a - b; }
INLINE vec vmultiply(vec a, vec b) { return a * b; }
INLINE vec vdivide(vec a, vec b) { return a / b; }

/* ---- pieces -------------------------------------------------------------------------------------- */

/* Some rows of y, and the steps of both operands from row to row and from number to number */
typedef struct {
    const real *a, *b;
    ptrdiff_t rows, length, a_row, a_step, b_row, b_step;
} Piece;

#define STRIP 512 /* numbers of rows shorter than a vector, which go by as one row */

/* Such rows of an operand, one after the other as those of y are */
typedef struct {
    const real *first;
    ptrdiff_t rows;
    real numbers[STRIP + LANES];
} Strip;

typedef struct {
    ptrdiff_t number, column, middle, outer; /* of y, and where that is along its axes */
    Strip a, b;
} Walk;

/* Each row is a vector, beyond whose end the next one is written. */
INLINE const real *strip_of(Strip *strip, const real *x, ptrdiff_t rows, ptrdiff_t length, ptrdiff_t row_step,
                            ptrdiff_t step)
{
    if (step && row_step == length)
        return x;
    if (row_step == 0 && strip->first == x && strip->rows >= rows) /* the one row, as before */
        return strip->numbers;
    strip->first = x;
    strip->rows = rows;
    real *to = strip->numbers;
    for (; rows > 0; rows--, x += row_step, to += length)
        vstore(to, step ? vload_n(x, length) : vset(*x));
    return strip->numbers;
}

INLINE Piece next_piece(const Arithmetic *job, Walk *at, ptrdiff_t end)
{
    const ptrdiff_t *a_steps = job->a_steps, *b_steps = job->b_steps, length = job->sizes[2], left = end - at->number;
    const real *a = job->a + at->outer * a_steps[0] + at->middle * a_steps[1] + at->column * a_steps[2];
    const real *b = job->b + at->outer * b_steps[0] + at->middle * b_steps[1] + at->column * b_steps[2];
    Piece piece = {a, b, 1, min_of(length - at->column, left), a_steps[1], a_steps[2], b_steps[1], b_steps[2]};
    const int whole = at->column == 0 && left >= length;
    ptrdiff_t rows = whole ? min_of(job->sizes[1] - at->middle, left / length) : 1;
    if (rows > 1 && length < LANES) {
        rows = min_of(rows, STRIP / length);
        piece = (Piece){strip_of(&at->a, a, rows, length, a_steps[1], a_steps[2]),
                        strip_of(&at->b, b, rows, length, b_steps[1], b_steps[2]), 1, rows * length, 0, 1, 0, 1};
    } else
        piece.rows = rows;
    at->number += piece.rows * piece.length;
    at->column = 0;
    at->middle += rows;
    if (at->middle == job->sizes[1]) {
        at->middle = 0;
        at->outer++;
    }
    return piece;
}

/* ---- the operations ------------------------------------------------------------------------------ */

/* Lanes beyond a row hold a zero over a one. */
#define ROWS(...)                                                                                         \
    for (ptrdiff_t row = 0; row < p.rows; row++, a += p.a_row, b += p.b_row, y += p.length)               \
        FOR_VECTORS_PAST(job.past, p.length, y, __VA_ARGS__);
#define EACH(...) FETCHING(ROWS(__VA_ARGS__))
#define PIECE(f)                                                                                          \
    if (p.a_step && p.b_step)                                                                             \
        EACH({                                                                                            \
            const vec u = vload_ahead(ahead, a + i, n), v = vload_or_ahead(ahead, b + i, n, vset(1));     \
            vstore_past(y + i, f(u, v), n, past);                                                         \
        });                                                                                               \
    else if (p.a_step)                                                                                    \
        EACH(vstore_past(y + i, f(vload_ahead(ahead, a + i, n), vset(*b)), n, past););                    \
    else if (p.b_step)                                                                                    \
        EACH(vstore_past(y + i, f(vset(*a), vload_or_ahead(ahead, b + i, n, vset(1))), n, past););        \
    else                                                                                                  \
        ROWS(vstore_past(y + i, f(vset(*a), vset(*b)), n, past););

#define ARITHMETIC(name, f, warns)                                                                        \
    static void name##_range(void *context, ptrdiff_t begin, ptrdiff_t end)                               \
    {                                                                                                     \
        const Arithmetic job = *(const Arithmetic *)context;                                              \
        const ptrdiff_t middle = job.sizes[1], length = job.sizes[2];                                     \
        Walk at; /* whose strips need not be zeros */                                                     \
        at.number = begin;                                                                                \
        at.column = begin % length;                                                                       \
        at.middle = begin / length % middle;                                                              \
        at.outer = begin / length / middle;                                                               \
        at.a.rows = at.b.rows = 0;                                                                        \
        if (warns)                                                                                        \
            exceptions_clear();                                                                           \
        while (at.number < end) {                                                                         \
            real *y = job.y + at.number;                                                                  \
            const Piece p = next_piece(&job, &at, end);                                                   \
            const real *a = p.a, *b = p.b;                                                                \
            PIECE(f)                                                                                      \
        }                                                                                                 \
        past_end(job.past);                                                                               \
        const int raised = warns ? exceptions_raised() : 0;                                               \
        if (raised)                                                                                       \
            RAISE(job.raised, raised);                                                                    \
    }

ARITHMETIC(add, vadd, 1)
ARITHMETIC(subtract, vsubtract, 1)
ARITHMETIC(multiply, vmultiply, 1)
ARITHMETIC(divide, vdivide, 1)
ARITHMETIC(maximum, vmaximum, 0)
ARITHMETIC(minimum, vminimum, 0)

static const range_fn ranges[] = {
    [ADD] = add_range,       [SUBTRACT] = subtract_range, [MULTIPLY] = multiply_range,
    [DIVIDE] = divide_range, [MAXIMUM] = maximum_range,   [MINIMUM] = minimum_range};

/* Of an operand: an axis along which it is broadcast has one */
static ptrdiff_t numbers_of(const ptrdiff_t *sizes, const ptrdiff_t *steps)
{
    return (steps[0] ? sizes[0] : 1) * (steps[1] ? sizes[1] : 1) * (steps[2] ? sizes[2] : 1);
}

int NAME(arithmetic)(int which, const ptrdiff_t *sizes, const real *a, const ptrdiff_t *a_steps, const real *b,
                     const ptrdiff_t *b_steps, real *y, int *raised)
{
    const ptrdiff_t rows = sizes[0] * sizes[1], n = rows * sizes[2];
    const ptrdiff_t numbers = numbers_of(sizes, a_steps) + numbers_of(sizes, b_steps) + n;
    const int past = is_past(y, numbers) && (rows == 1 || sizes[2] >= PAST_ROW);
    *raised = 0;
    parallel_for(n, GRAIN, NUMBERS, ranges[which], &(Arithmetic){sizes, a_steps, b_steps, a, b, y, raised, past});
    return 0;
}
