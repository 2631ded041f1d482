# a + b, a − b, a b, a / b and the larger and the smaller of a and b, of what broadcasts. None for what NumPy is to do,
# or to warn of.

cdef enum:
    WALK = 3  # axes of the kernel: those of two arrays come down to so many, or to fewer, nearly always
    ALONE = 4096  # numbers, for which no other thread of Python's is let in


cdef struct Operand:
    const void *data
    int axes
    const npy_intp *shape
    const npy_intp *strides
    float f32
    double f64


cdef struct Walk:
    int axes
    npy_intp[MOST_AXES] shape
    Py_ssize_t[WALK] sizes, a_steps, b_steps


cdef int[MOST_AXES] AS_IN_C = range(MOST_AXES)


cdef bint number_of(x, double *value) noexcept:
    """Look at a Python number; one that not both precisions hold exactly, if it is an integer, is NumPy's to refuse."""
    cdef int overflow = 0
    cdef long integer
    if PyFloat_CheckExact(x):
        value[0] = PyFloat_AS_DOUBLE(x)
        return True
    if not PyLong_CheckExact(x):
        return False
    integer = PyLong_AsLongAndOverflow(x, &overflow)
    value[0] = integer
    return overflow == 0 and -(1 << 24) <= integer <= 1 << 24


cdef bint operand_of(x, int bits, Operand *operand) noexcept:
    """Look at a number, or at aligned reals of so many bits."""
    operand.axes = 0
    if number_of(x, &operand.f64):
        operand.f32 = <float>operand.f64
        operand.data = <void *>&operand.f32 if bits == 32 else <void *>&operand.f64
        return bits == 64 or isinf(operand.f32) == isinf(operand.f64)
    if bits_of(x) != bits or not PyArray_ISALIGNED(<ndarray>x):
        return False
    operand.data = PyArray_DATA(<ndarray>x)
    operand.axes = PyArray_NDIM(<ndarray>x)
    operand.shape = PyArray_DIMS(<ndarray>x)
    operand.strides = PyArray_STRIDES(<ndarray>x)
    return True


cdef inline bint along(const Operand *operand, int axis, int bits, npy_intp *n, Py_ssize_t *step) noexcept:
    """How long an axis is, and how many numbers are from one to the next: 0 where it is broadcast."""
    n[0], step[0] = operand.shape[axis] if axis >= 0 else 1, 0
    if n[0] == 1:
        return True
    step[0] = operand.strides[axis] >> (2 if bits == 32 else 3)
    return step[0] * (bits >> 3) == operand.strides[axis]


cdef bint walk_of(int bits, const Operand *a, const Operand *b, const int *order, Walk *walk) noexcept:
    """How to go through both at once, axis by axis in this order. Neighbouring axes are one where both go on through
    the next as through this."""
    cdef int axes = max(a.axes, b.axes), place, axis, last = WALK
    cdef npy_intp n, of_a, of_b
    cdef Py_ssize_t a_step, b_step
    walk.axes = axes
    for axis in range(WALK):
        walk.sizes[axis], walk.a_steps[axis], walk.b_steps[axis] = 1, 0, 0
    for place in range(axes - 1, -1, -1):
        axis = order[place]
        if not along(a, axis - axes + a.axes, bits, &of_a, &a_step):
            return False
        if not along(b, axis - axes + b.axes, bits, &of_b, &b_step):
            return False
        n = of_b if of_a == 1 else of_a
        walk.shape[axis] = n
        if of_b != n and of_b != 1:
            return False
        if n == 1:
            continue
        if (last < WALK and a_step == walk.a_steps[last] * walk.sizes[last]
                and b_step == walk.b_steps[last] * walk.sizes[last]):
            walk.sizes[last] *= n
            continue
        if last == 0 or last == WALK and (a_step not in (0, 1) or b_step not in (0, 1)):
            return False
        last -= 1
        walk.sizes[last], walk.a_steps[last], walk.b_steps[last] = n, a_step, b_step
    return True


cdef inline bint walk_along(x, int bits, const Operand *a, const Operand *b, int *order, Walk *walk) noexcept:
    """The same in the order in which an array with all of the axes lies in memory, if that is not C's."""
    if bits_of(x) == 0 or PyArray_ISCARRAY_RO(<ndarray>x) or PyArray_NDIM(<ndarray>x) != max(a.axes, b.axes):
        return False
    return is_packed(<ndarray>x) and walk_of(bits, a, b, order_of(<ndarray>x, order), walk)


cdef combine(int which, a, b):
    cdef int bits = bits_of(a) or bits_of(b), raised = 0, status
    cdef Operand of_a, of_b
    cdef Walk walk
    cdef int[MOST_AXES] order
    if bits == 0 or not operand_of(a, bits, &of_a) or not operand_of(b, bits, &of_b):
        return None
    cdef bint permuted = walk_along(a, bits, &of_a, &of_b, order, &walk)
    permuted = permuted or walk_along(b, bits, &of_a, &of_b, order, &walk)
    if not permuted and not walk_of(bits, &of_a, &of_b, AS_IN_C, &walk):
        return None
    cdef ndarray y = new(NPY_FLOAT if bits == 32 else NPY_DOUBLE, walk.axes, walk.shape, bits // 8)
    if permuted:
        lay_out(y, order)
    cdef void *py = PyArray_DATA(y)
    if PyArray_SIZE(y) <= ALONE:
        status = kernel_arithmetic(
            bits, which, walk.sizes, of_a.data, walk.a_steps, of_b.data, walk.b_steps, py, &raised)
    else:
        with nogil:
            status = kernel_arithmetic(
                bits, which, walk.sizes, of_a.data, walk.a_steps, of_b.data, walk.b_steps, py, &raised)
    check(status)
    if raised & RAISED_WARNING or (raised & RAISED_UNDERFLOW and numpy_geterr()["under"] != "ignore"):
        return None
    return y


def add(a, b):
    return combine(ADD, a, b)


def subtract(a, b):
    return combine(SUBTRACT, a, b)


def multiply(a, b):
    return combine(MULTIPLY, a, b)


def divide(a, b):
    return combine(DIVIDE, a, b)


def maximum(a, b):
    return combine(MAXIMUM, a, b)


def minimum(a, b):
    return combine(MINIMUM, a, b)
