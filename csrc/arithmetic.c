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

/* n numbers of a row. Lanes beyond them hold a zero over a one. */
#define EACH(...) FETCHING(FOR_VECTORS_PAST(job.past, count, y, __VA_ARGS__);)
#define ROW(f)                                                                                            \
    if (a_step && b_step)                                                                                 \
        EACH({                                                                                            \
            FETCH_AHEAD(a + i);                                                                           \
            FETCH_AHEAD(b + i);                                                                           \
            vstore_past(y + i, f(vload_n(a + i, n), vload_or(b + i, n, vset(1))), n, past);               \
        });                                                                                               \
    else if (a_step) {                                                                                    \
        const vec same = vset(*b);                                                                        \
        EACH({                                                                                            \
            FETCH_AHEAD(a + i);                                                                           \
            vstore_past(y + i, f(vload_n(a + i, n), same), n, past);                                      \
        });                                                                                               \
    } else if (b_step) {                                                                                  \
        const vec same = vset(*a);                                                                        \
        EACH({                                                                                            \
            FETCH_AHEAD(b + i);                                                                           \
            vstore_past(y + i, f(same, vload_or(b + i, n, vset(1))), n, past);                            \
        });                                                                                               \
    } else {                                                                                              \
        const vec same = f(vset(*a), vset(*b));                                                           \
        FOR_VECTORS_PAST(job.past, count, y, vstore_past(y + i, same, n, past););                         \
    }

#define ARITHMETIC(name, f, warns)                                                                        \
    static void name##_range(void *context, ptrdiff_t begin, ptrdiff_t end)                               \
    {                                                                                                     \
        const Arithmetic job = *(const Arithmetic *)context;                                              \
        const ptrdiff_t middle = job.sizes[1], length = job.sizes[2];                                     \
        const ptrdiff_t a_step = job.a_steps[2], b_step = job.b_steps[2];                                 \
        ptrdiff_t column = begin % length, j = begin / length % middle, k = begin / length / middle;      \
        if (warns)                                                                                        \
            exceptions_clear();                                                                           \
        while (begin < end) {                                                                             \
            const ptrdiff_t count = length - column < end - begin ? length - column : end - begin;        \
            const real *a = job.a + k * job.a_steps[0] + j * job.a_steps[1] + column * a_step;            \
            const real *b = job.b + k * job.b_steps[0] + j * job.b_steps[1] + column * b_step;            \
            real *y = job.y + begin;                                                                      \
            ROW(f)                                                                                        \
            begin += count;                                                                               \
            column = 0;                                                                                   \
            if (++j == middle) {                                                                          \
                j = 0;                                                                                    \
                k++;                                                                                      \
            }                                                                                             \
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

int NAME(arithmetic)(int which, const ptrdiff_t *sizes, const real *a, const ptrdiff_t *a_steps, const real *b,
                     const ptrdiff_t *b_steps, real *y, int *raised)
{
    const ptrdiff_t rows = sizes[0] * sizes[1], n = rows * sizes[2];
    const int past = is_past(y, n) && (rows == 1 || sizes[2] >= PAST_ROW);
    *raised = 0;
    parallel_for(n, GRAIN, NUMBERS, ranges[which], &(Arithmetic){sizes, a_steps, b_steps, a, b, y, raised, past});
    return 0;
}
