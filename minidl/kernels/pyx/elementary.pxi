# Functions of each number of an array, and the choice between two.

# ---- elementary functions -----------------------------------------------------------------

ctypedef int (*Map)(int bits, Py_ssize_t n, const void *x, void *y) noexcept nogil


cdef apply(Map kernel, x):
    cdef const void *px
    cdef Py_ssize_t n
    cdef int bits = packed(x, &px, &n), status
    if bits == 0:
        return None
    cdef ndarray y = like(x)
    with nogil:
        status = kernel(bits, n, px, PyArray_DATA(y))
    check(status)
    return y


ctypedef int (*Slope)(
    int bits, Py_ssize_t n, const void *dy, Py_ssize_t dy_step, const void *y, void *dx) noexcept nogil


cdef apply_slope(Slope kernel, dy, y):
    cdef const void *py
    cdef const void *pdy
    cdef Py_ssize_t n, step
    cdef int bits = packed(y, &py, &n), status
    if bits == 0 or not gradient_of(dy, y, &pdy, &step):
        return None
    cdef ndarray dx = like(y)
    with nogil:
        status = kernel(bits, n, pdy, step, py, PyArray_DATA(dx))
    check(status)
    return dx


cdef bint gradient_of(dy, y, const void **data, Py_ssize_t *step) noexcept:
    """Look at a gradient in the type and shape of a packed array: in its layout, or as one number with a step of 0."""
    cdef Py_ssize_t n
    if bits_of(dy) != bits_of(y) or not alike(dy, y):
        return False
    step[0] = not is_one_number(dy)
    if step[0]:
        return packed(dy, data, &n) != 0 and in_step(dy, y)
    data[0] = PyArray_DATA(<ndarray>dy)
    return True


def exp(x):
    return apply(kernel_exp, x)


def tanh(x):
    return apply(kernel_tanh, x)


def tanh_backward(dy, y):
    return apply_slope(kernel_tanh_backward, dy, y)


def sigmoid(x):
    return apply(kernel_sigmoid, x)


def sigmoid_backward(dy, y):
    return apply_slope(kernel_sigmoid_backward, dy, y)


def erf(x):
    return apply(kernel_erf, x)


def log(x):
    return apply(kernel_log, x)


def sqrt(x):
    return apply(kernel_sqrt, x)


def absolute(x):
    return apply(kernel_absolute, x)


def clip(x, low, high):
    cdef const void *px
    cdef Py_ssize_t n
    cdef int bits = packed(x, &px, &n), status
    if bits == 0 or type(low) is not float or type(high) is not float or low != low or high != high:
        return None
    cdef double least = low, most = high
    cdef ndarray y = like(x)
    with nogil:
        status = kernel_clip(bits, n, px, least, most, PyArray_DATA(y))
    check(status)
    return y


cdef int check_activation(int which) except -1:
    if not RELU <= which <= GELU:
        raise ValueError(f"there is no activation {which}")
    return 0


def activation_forward(int which, x, alpha, scale):
    check_activation(which)
    cdef const void *px
    cdef Py_ssize_t n
    cdef int bits = packed(x, &px, &n), status
    if bits == 0 or type(alpha) is not float or type(scale) is not float:
        return None
    cdef double a = alpha, s = scale
    cdef ndarray y = like(x)
    with nogil:
        status = kernel_activation_forward(bits, n, which, a, s, px, PyArray_DATA(y))
    check(status)
    return y


def activation_backward(int which, dy, x, alpha, scale):
    check_activation(which)
    cdef const void *pdy
    cdef const void *px
    cdef Py_ssize_t n, step
    cdef int bits = packed(x, &px, &n), status
    if bits == 0 or type(alpha) is not float or type(scale) is not float or not gradient_of(dy, x, &pdy, &step):
        return None
    cdef double a = alpha, s = scale
    cdef ndarray dx = like(x)
    with nogil:
        status = kernel_activation_backward(bits, n, which, a, s, pdy, step, px, PyArray_DATA(dx))
    check(status)
    return dx


cdef bint is_one_number(ndarray array) noexcept:
    """Whether it repeats one number without storing it, as the gradient of a sum does."""
    cdef int axis
    for axis in range(PyArray_NDIM(array)):
        if PyArray_STRIDES(array)[axis] != 0:
            return False
    return PyArray_NDIM(array) > 0 and PyArray_SIZE(array) > 0 and PyArray_ISALIGNED(array)


# ---- selection ----------------------------------------------------------------------------


cdef struct Choice:
    const void *data
    Py_ssize_t step  # 0 for a number, which stands here in both precisions
    float f32
    double f64


cdef bint choice_of(x, condition, int bits, Choice *choice) except -1:
    """Look at what where() may choose: reals of so many bits in the shape of the condition, or a number."""
    cdef Py_ssize_t n
    choice.step = 0
    if type(x) is float or type(x) is int or type(x) is bool:
        choice.f64 = x
        choice.f32 = <float>choice.f64
        choice.data = <void *>&choice.f32 if bits == 32 else <void *>&choice.f64
        return True
    if bits_of(x) != bits or not alike(x, condition):
        return False
    if is_one_number(x):
        choice.data = PyArray_DATA(<ndarray>x)
        return True
    choice.step = 1
    return packed(x, &choice.data, &n) == bits and in_step(x, condition)


def where(condition, a, b):
    cdef int bits = bits_of(a) or bits_of(b), kind = NPY_FLOAT if bits == 32 else NPY_DOUBLE, status
    cdef Choice ca, cb
    if bits == 0 or kind_of(condition) != NPY_BOOL or not is_packed(<ndarray>condition):
        return None
    if not choice_of(a, condition, bits, &ca) or not choice_of(b, condition, bits, &cb):
        return None
    cdef const uint8_t *pcondition = <const uint8_t *>PyArray_DATA(<ndarray>condition)
    cdef Py_ssize_t n = PyArray_SIZE(<ndarray>condition)
    cdef ndarray y = like_in(kind, bits // 8, condition)
    with nogil:
        status = kernel_where(bits, n, pcondition, ca.data, ca.step, cb.data, cb.step, PyArray_DATA(y))
    check(status)
    return y
