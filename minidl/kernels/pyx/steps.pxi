# Optimizer steps, in place.


def apart(*arrays):
    """Whether all are dense reals of one type and shape, each in memory of its own, writable but for the second."""
    cdef int count = len(arrays), i, j
    for j in range(count):
        if bits_of(arrays[j]) == 0 or not PyArray_ISCARRAY_RO(<ndarray>arrays[j]):
            return False
        if j != 1 and not PyArray_ISWRITEABLE(<ndarray>arrays[j]):
            return False
        for i in range(j):
            if bits_of(arrays[i]) != bits_of(arrays[j]) or not alike(arrays[i], arrays[j]):
                return False
            if overlap(<ndarray>arrays[i], <ndarray>arrays[j]):
                return False
    return True


cdef bint overlap(ndarray a, ndarray b) noexcept:
    cdef uintptr_t begin_a = <uintptr_t>PyArray_DATA(a), begin_b = <uintptr_t>PyArray_DATA(b)
    return begin_a < begin_b + PyArray_NBYTES(b) and begin_b < begin_a + PyArray_NBYTES(a)


def sgd_step(w, g, double lr):
    cdef Py_ssize_t n = w.size
    cdef int bits = bits_of(w), status
    cdef const void *pg = read(g, bits, n)
    cdef void *pw = changed(w, bits, n)
    with nogil:
        status = kernel_sgd_step(bits, n, pw, pg, lr)
    check(status)


def momentum_step(w, g, v, double lr, double momentum, bint nesterov):
    cdef Py_ssize_t n = w.size
    cdef int bits = bits_of(w), status
    cdef const void *pg = read(g, bits, n)
    cdef void *pw = changed(w, bits, n)
    cdef void *pv = changed(v, bits, n)
    with nogil:
        status = kernel_momentum_step(bits, n, pw, pg, pv, lr, momentum, nesterov)
    check(status)


def adam_step(w, g, m, v, double rate, double beta_1, double beta_2, double epsilon):
    cdef Py_ssize_t n = w.size
    cdef int bits = bits_of(w), status
    cdef const void *pg = read(g, bits, n)
    cdef void *pw = changed(w, bits, n)
    cdef void *pm = changed(m, bits, n)
    cdef void *pv = changed(v, bits, n)
    with nogil:
        status = kernel_adam_step(bits, n, pw, pg, pm, pv, rate, beta_1, beta_2, epsilon)
    check(status)


def rmsprop_step(w, g, v, double lr, double rho, double epsilon):
    cdef Py_ssize_t n = w.size
    cdef int bits = bits_of(w), status
    cdef const void *pg = read(g, bits, n)
    cdef void *pw = changed(w, bits, n)
    cdef void *pv = changed(v, bits, n)
    with nogil:
        status = kernel_rmsprop_step(bits, n, pw, pg, pv, lr, rho, epsilon)
    check(status)


def adagrad_step(w, g, a, double lr, double epsilon):
    cdef Py_ssize_t n = w.size
    cdef int bits = bits_of(w), status
    cdef const void *pg = read(g, bits, n)
    cdef void *pw = changed(w, bits, n)
    cdef void *pa = changed(a, bits, n)
    with nogil:
        status = kernel_adagrad_step(bits, n, pw, pg, pa, lr, epsilon)
    check(status)
