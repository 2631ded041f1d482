# Optimizer steps, in place: True once done, None, with nothing written, for what C cannot take as it is.


cdef struct Step:
    int bits
    Py_ssize_t n
    void *arrays[4]  # the second is the gradient, which is only read
    double numbers[4]


cdef bint step_of(tuple arrays, tuple numbers, Step *step) except -1:
    """Look at a step: dense reals of one type and shape, each in memory of its own, and Python's floats."""
    cdef int count = len(arrays), i, j
    step.bits, step.n = bits_of(arrays[0]), 0
    for i in range(count):
        if step.bits == 0 or bits_of(arrays[i]) != step.bits or not alike(arrays[0], arrays[i]):
            return False
        if not PyArray_ISCARRAY_RO(<ndarray>arrays[i]) or (i != 1 and not PyArray_ISWRITEABLE(<ndarray>arrays[i])):
            return False
        for j in range(i):
            if overlap(<ndarray>arrays[i], <ndarray>arrays[j]):
                return False
        step.arrays[i] = PyArray_DATA(<ndarray>arrays[i])
    for i in range(len(numbers)):
        if not PyFloat_CheckExact(numbers[i]):
            return False
        step.numbers[i] = PyFloat_AS_DOUBLE(numbers[i])
    step.n = PyArray_SIZE(<ndarray>arrays[0])
    return True


cdef bint overlap(ndarray a, ndarray b) noexcept:
    cdef uintptr_t begin_a = <uintptr_t>PyArray_DATA(a), begin_b = <uintptr_t>PyArray_DATA(b)
    return begin_a < begin_b + PyArray_NBYTES(b) and begin_b < begin_a + PyArray_NBYTES(a)


def sgd_step(w, g, lr):
    cdef Step s
    cdef int status
    if not step_of((w, g), (lr,), &s):
        return None
    with nogil:
        status = kernel_sgd_step(s.bits, s.n, s.arrays[0], s.arrays[1], s.numbers[0])
    return check(status) == 0


def momentum_step(w, g, v, lr, momentum, nesterov):
    cdef Step s
    cdef int status, ahead = bool(nesterov)
    if not step_of((w, g, v), (lr, momentum), &s):
        return None
    with nogil:
        status = kernel_momentum_step(
            s.bits, s.n, s.arrays[0], s.arrays[1], s.arrays[2], s.numbers[0], s.numbers[1], ahead)
    return check(status) == 0


def adam_step(w, g, m, v, rate, beta_1, beta_2, epsilon):
    cdef Step s
    cdef int status
    if not step_of((w, g, m, v), (rate, beta_1, beta_2, epsilon), &s):
        return None
    with nogil:
        status = kernel_adam_step(
            s.bits, s.n, s.arrays[0], s.arrays[1], s.arrays[2], s.arrays[3], s.numbers[0], s.numbers[1], s.numbers[2],
            s.numbers[3])
    return check(status) == 0


def rmsprop_step(w, g, v, lr, rho, epsilon):
    cdef Step s
    cdef int status
    if not step_of((w, g, v), (lr, rho, epsilon), &s):
        return None
    with nogil:
        status = kernel_rmsprop_step(
            s.bits, s.n, s.arrays[0], s.arrays[1], s.arrays[2], s.numbers[0], s.numbers[1], s.numbers[2])
    return check(status) == 0


def adagrad_step(w, g, a, lr, epsilon):
    cdef Step s
    cdef int status
    if not step_of((w, g, a), (lr, epsilon), &s):
        return None
    with nogil:
        status = kernel_adagrad_step(s.bits, s.n, s.arrays[0], s.arrays[1], s.arrays[2], s.numbers[0], s.numbers[1])
    return check(status) == 0
