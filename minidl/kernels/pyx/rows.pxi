# What is made of rows: sums, softmax, and losses.

# ---- sums ---------------------------------------------------------------------------------


cdef int rows_of(array, const void **data, Py_ssize_t *rows, Py_ssize_t *length) noexcept:
    """Look at an array: 32 or 64 if its last axis makes rows of dense reals, how many and how long; else 0."""
    cdef Py_ssize_t n
    cdef int bits = dense(array, data, &n), axes, axis
    if bits == 0:
        return 0
    axes = PyArray_NDIM(<ndarray>array) - 1
    if axes < 0:
        return 0
    rows[0] = 1
    for axis in range(axes):
        rows[0] *= PyArray_DIMS(<ndarray>array)[axis]
    length[0] = PyArray_DIMS(<ndarray>array)[axes]
    return bits


cdef int filled_rows_of(array, const void **data, Py_ssize_t *rows, Py_ssize_t *length) noexcept:
    """The same, for rows of at least one number."""
    cdef int bits = rows_of(array, data, rows, length)
    return 0 if bits == 0 or length[0] == 0 and rows[0] > 0 else bits


def sum_rows(x):
    cdef const void *px
    cdef Py_ssize_t batch, n
    cdef int bits = rows_of(x, &px, &batch, &n), status
    if bits == 0:
        return None
    cdef ndarray y = without_last_axis(x)
    with nogil:
        status = kernel_sum_rows(bits, batch, n, px, PyArray_DATA(y))
    check(status)
    return y


def sum_columns(x):
    cdef const void *px
    cdef Py_ssize_t rows, n, of_each
    cdef int bits = rows_of(x, &px, &rows, &n), axes, status
    if bits == 0 or PyArray_NDIM(<ndarray>x) < 2:
        return None
    cdef npy_intp[MOST_AXES] shape
    axes = PyArray_NDIM(<ndarray>x)
    memcpy(shape, PyArray_DIMS(<ndarray>x), (axes - 1) * sizeof(npy_intp))
    of_each, shape[axes - 2] = shape[axes - 2], n
    cdef ndarray y = new(PyArray_TYPE(<ndarray>x), axes - 1, shape, bits // 8)
    with nogil:
        status = kernel_sum_columns(bits, PyArray_SIZE(y) // n if n else 0, of_each, n, px, PyArray_DATA(y))
    check(status)
    return y


# ---- extremes -----------------------------------------------------------------------------


cdef int matrices_of(array, const void **data) noexcept:
    """Look at an array: 32 or 64 if it is matrices of dense reals, in each column at least one; else 0."""
    cdef Py_ssize_t n
    cdef int bits = dense(array, data, &n)
    if bits == 0 or PyArray_NDIM(<ndarray>array) != 3 or PyArray_DIMS(<ndarray>array)[1] == 0:
        return 0
    return bits


def extreme_forward(x, largest):
    cdef const void *px
    cdef int bits = matrices_of(x, &px), status
    if bits == 0 or type(largest) is not bool:
        return None
    cdef const npy_intp *shape = PyArray_DIMS(<ndarray>x)
    cdef int which = largest
    cdef ndarray y = reals(bits, 2, shape[0], shape[2])
    with nogil:
        status = kernel_extreme_forward(bits, shape[0], shape[1], shape[2], which, px, PyArray_DATA(y))
    check(status)
    return y


def extreme_backward(dy, x, y):
    cdef const void *pdy
    cdef const void *px
    cdef const void *py
    cdef Py_ssize_t n
    cdef int bits = matrices_of(x, &px), status
    if bits == 0 or bits != dense(dy, &pdy, &n) or bits != dense(y, &py, &n):
        return None
    cdef const npy_intp *shape = PyArray_DIMS(<ndarray>x)
    for array in (dy, y):
        if (
            PyArray_NDIM(<ndarray>array) != 2
            or PyArray_DIMS(<ndarray>array)[0] != shape[0]
            or PyArray_DIMS(<ndarray>array)[1] != shape[2]
        ):
            return None
    cdef ndarray dx = like(x)
    with nogil:
        status = kernel_extreme_backward(bits, shape[0], shape[1], shape[2], pdy, px, py, PyArray_DATA(dx))
    check(status)
    return dx


# ---- the cost of errors -------------------------------------------------------------------


def huber_forward(e, delta):
    cdef const void *pe
    cdef Py_ssize_t batch, columns
    cdef int bits = filled_rows_of(e, &pe, &batch, &columns), status
    if bits == 0 or type(delta) is not float or not delta > 0:
        return None
    cdef double limit = delta
    cdef ndarray y = without_last_axis(e)
    with nogil:
        status = kernel_huber_forward(bits, batch, columns, pe, limit, PyArray_DATA(y))
    check(status)
    return y


def huber_backward(dy, e, delta):
    cdef const void *pdy
    cdef const void *pe
    cdef Py_ssize_t batch, columns
    dy = made_dense(dy)
    cdef int bits = dense(dy, &pdy, &batch), status
    if bits == 0 or bits != filled_rows_of(e, &pe, &batch, &columns) or not leads(dy, e):
        return None
    if type(delta) is not float or not delta > 0:
        return None
    cdef double limit = delta
    cdef ndarray de = like(e)
    with nogil:
        status = kernel_huber_backward(bits, batch, columns, pdy, pe, limit, PyArray_DATA(de))
    check(status)
    return de


# ---- softmax and the cross-entropies ------------------------------------------------------


ctypedef int (*Rows)(int bits, Py_ssize_t batch, Py_ssize_t classes, const void *x, void *y) noexcept nogil
ctypedef int (*RowsBackward)(
    int bits, Py_ssize_t batch, Py_ssize_t classes, const void *dy, const void *y, void *dx) noexcept nogil


cdef apply_to_rows(Rows kernel, x):
    cdef const void *px
    cdef Py_ssize_t batch, classes
    cdef int bits = filled_rows_of(x, &px, &batch, &classes), status
    if bits == 0:
        return None
    cdef ndarray y = like(x)
    with nogil:
        status = kernel(bits, batch, classes, px, PyArray_DATA(y))
    check(status)
    return y


cdef backward_of_rows(RowsBackward kernel, dy, y):
    cdef const void *pdy
    cdef const void *py
    cdef Py_ssize_t batch, classes
    dy = made_dense(dy)
    cdef int bits = filled_rows_of(dy, &pdy, &batch, &classes), status
    if bits == 0 or bits != filled_rows_of(y, &py, &batch, &classes) or not alike(dy, y):
        return None
    cdef ndarray dx = like(y)
    with nogil:
        status = kernel(bits, batch, classes, pdy, py, PyArray_DATA(dx))
    check(status)
    return dx


def softmax_forward(x):
    return apply_to_rows(kernel_softmax_forward, x)


def softmax_backward(dy, y):
    return backward_of_rows(kernel_softmax_backward, dy, y)


def log_softmax_forward(x):
    return apply_to_rows(kernel_log_softmax_forward, x)


def log_softmax_backward(dy, y):
    return backward_of_rows(kernel_log_softmax_backward, dy, y)


def softmax_cross_entropy_forward(logits, targets):
    cdef const void *plogits
    cdef const void *ptargets
    cdef Py_ssize_t batch, classes
    cdef int bits = filled_rows_of(logits, &plogits, &batch, &classes), status
    if bits == 0 or bits != filled_rows_of(targets, &ptargets, &batch, &classes) or not alike(logits, targets):
        return None
    cdef ndarray loss = without_last_axis(logits)
    cdef ndarray probabilities = like(logits)
    with nogil:
        status = kernel_softmax_cross_entropy_forward(
            bits, batch, classes, plogits, ptargets, PyArray_DATA(loss), PyArray_DATA(probabilities))
    check(status)
    return loss, probabilities


def softmax_cross_entropy_backward(dloss, probabilities, targets):
    cdef const void *pdloss
    cdef const void *pprobabilities
    cdef const void *ptargets
    cdef Py_ssize_t batch, classes
    dloss = made_dense(dloss)
    cdef int bits = dense(dloss, &pdloss, &batch), status
    if bits == 0 or bits != filled_rows_of(probabilities, &pprobabilities, &batch, &classes):
        return None
    if bits != filled_rows_of(targets, &ptargets, &batch, &classes) or not alike(targets, probabilities):
        return None
    if not leads(dloss, targets):
        return None
    cdef ndarray dlogits = like(targets)
    with nogil:
        status = kernel_softmax_cross_entropy_backward(
            bits, batch, classes, pdloss, pprobabilities, ptargets, PyArray_DATA(dlogits))
    check(status)
    return dlogits


def sparse_cross_entropy_forward(logits, labels):
    cdef const void *plogits
    cdef const int64_t *plabels
    cdef Py_ssize_t batch, classes
    cdef int bits = filled_rows_of(logits, &plogits, &batch, &classes), status
    if bits == 0 or not ids_below(labels, classes, &plabels, &batch) or not leads(labels, logits):
        return None
    cdef ndarray loss = without_last_axis(logits)
    cdef ndarray probabilities = like(logits)
    with nogil:
        status = kernel_sparse_cross_entropy_forward(
            bits, batch, classes, plogits, plabels, PyArray_DATA(loss), PyArray_DATA(probabilities))
    check(status)
    return loss, probabilities


def sparse_cross_entropy_backward(dloss, probabilities, labels):
    cdef const void *pdloss
    cdef const void *pprobabilities
    cdef const int64_t *plabels
    cdef Py_ssize_t batch, classes
    dloss = made_dense(dloss)
    cdef int bits = dense(dloss, &pdloss, &batch), status
    if bits == 0 or bits != filled_rows_of(probabilities, &pprobabilities, &batch, &classes):
        return None
    if not ids_below(labels, classes, &plabels, &batch) or not alike(dloss, labels) or not leads(labels, probabilities):
        return None
    cdef ndarray dlogits = like(probabilities)
    with nogil:
        status = kernel_sparse_cross_entropy_backward(
            bits, batch, classes, pdloss, pprobabilities, plabels, PyArray_DATA(dlogits))
    check(status)
    return dlogits


def sigmoid_cross_entropy_forward(logits, targets):
    cdef const void *plogits
    cdef const void *ptargets
    cdef Py_ssize_t n
    cdef int bits = dense(logits, &plogits, &n), status
    if bits == 0 or bits != dense(targets, &ptargets, &n) or not alike(logits, targets):
        return None
    cdef ndarray loss = like(logits)
    with nogil:
        status = kernel_sigmoid_cross_entropy_forward(bits, n, plogits, ptargets, PyArray_DATA(loss))
    check(status)
    return loss


def sigmoid_cross_entropy_backward(dloss, logits, targets):
    cdef const void *pdloss
    cdef const void *plogits
    cdef const void *ptargets = NULL
    cdef Py_ssize_t n
    dloss = made_dense(dloss)
    cdef int bits = dense(dloss, &pdloss, &n), status
    if bits == 0 or bits != dense(logits, &plogits, &n) or bits != dense(targets, &ptargets, &n):
        return None
    if not alike(dloss, logits) or not alike(logits, targets):
        return None
    cdef ndarray dlogits = like(logits)
    with nogil:
        status = kernel_sigmoid_cross_entropy_backward(bits, n, pdloss, plogits, ptargets, PyArray_DATA(dlogits))
    check(status)
    return dlogits
