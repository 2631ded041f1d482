# cython: language_level=3
"""The C kernels as Python functions of arrays: memory addresses, the GIL released, errors raised.

`minidl.kernels.cpu` prepares the arguments. What could crash the process is checked here once
more: each array is dense, native, aligned, of the type and the number of items that C will assume.
"""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_STRIDED_RO, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_IsContiguous,
    PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, strchr
from numpy import empty as numpy_empty, ndarray

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

cdef extern from "memory.h" nogil:
    void *memory_take(size_t bytes)
    void memory_give(void *block)

cdef extern from "parallel.h" nogil:
    void parallel_set_threads(int threads)
    int parallel_threads()
    int PARALLEL_MAX

cdef extern from "dispatch.h" nogil:
    const char *isa_name(int index)
    int isa_supported(int index)
    void isa_select(int index)
    const char *compiler_name()
    int GEMM_ACCUMULATE

    int kernel_exp(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_tanh(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_sigmoid(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_erf(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_relu_forward(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_relu_backward(int bits, Py_ssize_t n, const void *dy, const void *x, void *dx)
    int kernel_gemm(
        int bits, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const void *a, Py_ssize_t a_row, Py_ssize_t a_col,
        const void *b, Py_ssize_t b_row, Py_ssize_t b_col, void *c, Py_ssize_t c_row, int flags)
    int kernel_sum_rows(int bits, Py_ssize_t batch, Py_ssize_t n, const void *x, void *y)
    int kernel_softmax_forward(int bits, Py_ssize_t batch, Py_ssize_t classes, const void *x, void *y)
    int kernel_softmax_backward(
        int bits, Py_ssize_t batch, Py_ssize_t classes, const void *dy, const void *y, void *dx)
    int kernel_softmax_cross_entropy_forward(
        int bits, Py_ssize_t batch, Py_ssize_t classes, const void *logits, const void *targets, void *loss,
        void *probabilities)
    int kernel_softmax_cross_entropy_backward(
        int bits, Py_ssize_t batch, Py_ssize_t classes, const void *dloss, const void *probabilities,
        const void *targets, void *dlogits)
    int kernel_sparse_cross_entropy_forward(
        int bits, Py_ssize_t batch, Py_ssize_t classes, const void *logits, const int64_t *labels, void *loss,
        void *probabilities)
    int kernel_sparse_cross_entropy_backward(
        int bits, Py_ssize_t batch, Py_ssize_t classes, const void *dloss, const void *probabilities,
        const int64_t *labels, void *dlogits)
    int kernel_sigmoid_cross_entropy_forward(
        int bits, Py_ssize_t n, const void *logits, const void *targets, void *loss)
    int kernel_sigmoid_cross_entropy_backward(
        int bits, Py_ssize_t n, const void *dloss, const void *logits, const void *targets, void *dlogits)
    int kernel_embedding_forward(
        int bits, Py_ssize_t n, Py_ssize_t units, const void *table, const int64_t *ids, void *y)
    int kernel_embedding_backward(
        int bits, Py_ssize_t n, Py_ssize_t rows, Py_ssize_t units, const void *dy, const int64_t *ids, void *dtable)
    int kernel_random_bits(int bits, Py_ssize_t n, uint64_t seed, uint64_t offset, uint32_t *words)
    int kernel_dropout(
        int bits, Py_ssize_t n, uint64_t threshold, double scale, uint64_t seed, uint64_t offset, const void *x,
        void *y)
    int kernel_lstm_forward(
        int bits, Py_ssize_t batch, Py_ssize_t time, Py_ssize_t features, Py_ssize_t units, const void *x,
        const void *h0, const void *c0, const void *kernel, const void *recurrent, const void *bias,
        const uint8_t *mask, int reverse, void *y, void *h, void *c, void *gates, void *h_before, void *c_before)
    int kernel_lstm_backward(
        int bits, Py_ssize_t batch, Py_ssize_t time, Py_ssize_t features, Py_ssize_t units, const void *dy,
        const void *dh, const void *dc, const void *x, const void *kernel, const void *recurrent,
        const uint8_t *mask, int reverse, const void *gates, const void *h_before, const void *c_before, void *dx,
        void *dh0, void *dc0, void *dkernel, void *drecurrent, void *dbias)
    int kernel_sgd_step(int bits, Py_ssize_t n, void *w, const void *g, double lr)
    int kernel_momentum_step(
        int bits, Py_ssize_t n, void *w, const void *g, void *v, double lr, double momentum, int nesterov)
    int kernel_adam_step(
        int bits, Py_ssize_t n, void *w, const void *g, void *m, void *v, double rate, double beta_1, double beta_2,
        double epsilon)
    int kernel_rmsprop_step(
        int bits, Py_ssize_t n, void *w, const void *g, void *v, double lr, double rho, double epsilon)
    int kernel_adagrad_step(int bits, Py_ssize_t n, void *w, const void *g, void *a, double lr, double epsilon)


# ---- what is chosen -----------------------------------------------------------------------


def isas():
    """The instruction sets of this build, lowest first, each with whether the machine has it."""
    found = []
    cdef int index = 0
    while isa_name(index) != NULL:
        found.append((isa_name(index).decode(), bool(isa_supported(index))))
        index += 1
    return found


def select_isa(int index):
    """Let the kernels run on isas()[index]. Not while one is running."""
    if not isas()[index][1]:
        raise ValueError(f"the machine does not have {isas()[index][0]}")
    isa_select(index)


def compiler():
    return compiler_name().decode()


def set_num_threads(n):
    parallel_set_threads(min(n, PARALLEL_MAX))


def get_num_threads():
    return parallel_threads()


# ---- memory -------------------------------------------------------------------------------

cdef enum:
    BLOCK_BYTES = 1 << 16  # below, asking the C library costs less than a block


cdef class Block:
    """Memory that memory.c keeps for the next block of its size, once no array looks at it."""

    cdef void *memory
    cdef Py_ssize_t bytes

    def __cinit__(self, Py_ssize_t bytes):
        self.memory = memory_take(bytes) if bytes >= 0 else NULL
        self.bytes = bytes
        if self.memory == NULL:
            raise MemoryError(f"no memory for an array of {bytes} bytes")

    def __dealloc__(self):
        memory_give(self.memory)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.memory, self.bytes, 0, flags)


def empty(tuple shape, dtype):
    """A new array; from BLOCK_BYTES on its memory has been used before, and is warm."""
    cdef Py_ssize_t size = dtype.itemsize, n
    for n in shape:
        if n < 0 or n > 0 and size > PY_SSIZE_T_MAX // n:
            return numpy_empty(shape, dtype)  # NumPy's error
        size *= n
    return ndarray(shape, dtype, Block(size)) if size >= BLOCK_BYTES else numpy_empty(shape, dtype)


cdef bint describe(array, Py_buffer *view) except -1:
    """Get the view of a NumPy array, for the caller to release; False, and nothing to release, if it has none."""
    if type(array) is not ndarray:
        return False
    try:
        PyObject_GetBuffer(array, view, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    except (BufferError, ValueError):  # a type that no buffer can describe
        return False
    return True


cdef inline bint is_aligned(const Py_buffer *view) noexcept:
    """As NumPy sees it, to which an array of nothing is aligned wherever it lies."""
    return view.len == 0 or <uintptr_t>view.buf % view.itemsize == 0


cdef bint look(array, Py_buffer *view) except -1:
    """Get the view of an array of dense reals, for the caller to release; False, and nothing to release, if it is none."""
    if not describe(array, view):
        return False
    if view.format[1] == 0 and view.format[0] in b"fd" and PyBuffer_IsContiguous(view, b"C"[0]) and is_aligned(view):
        return True
    PyBuffer_Release(view)
    return False


cdef made_dense(array):
    """The gradient of a loss as one array, which the mean of the losses has made a broadcast view of one number."""
    return array.copy() if type(array) is ndarray and not array.flags.c_contiguous else array


cdef int dense(array, const void **data, Py_ssize_t *n) except -1:
    """Look at an array: 32 or 64 if it is one of dense reals, where they lie and how many they are; 0 if it is none."""
    cdef Py_buffer view
    if not look(array, &view):
        return 0
    cdef int bits = 8 * <int>view.itemsize
    data[0] = view.buf
    n[0] = view.len // view.itemsize
    PyBuffer_Release(&view)
    return bits


cdef void *address(array, const char *formats, Py_ssize_t itemsize, Py_ssize_t n, int flags) except NULL:
    """Where the n items of an array lie. The caller holds the array for as long as it uses the address."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, flags | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    cdef void *memory = view.buf
    cdef bint good = (
        view.format[0] != 0 and view.format[1] == 0 and strchr(formats, view.format[0]) != NULL
        and view.itemsize == itemsize and view.len == n * itemsize and is_aligned(&view)
    )
    PyBuffer_Release(&view)
    if not good:
        raise ValueError(f"expected {n} dense items of type {formats.decode()}, got {array.dtype} {array.shape}")
    return memory


cdef inline int bits_of(array) except -1:
    return 32 if array.itemsize == 4 else 64


cdef inline const void *reals(array, int bits, Py_ssize_t n) except NULL:
    return address(array, b"f" if bits == 32 else b"d", bits // 8, n, 0)


cdef inline void *results(array, int bits, Py_ssize_t n) except NULL:
    return address(array, b"f" if bits == 32 else b"d", bits // 8, n, PyBUF_WRITABLE)


cdef uint64_t largest_32(const uint32_t *values, Py_ssize_t n) noexcept nogil:
    cdef uint32_t most = 0
    for i in range(n):
        most = max(most, values[i])
    return most


cdef uint64_t largest_64(const uint64_t *values, Py_ssize_t n) noexcept nogil:
    cdef uint64_t most = 0
    for i in range(n):
        most = max(most, values[i])
    return most


def outside(ids, Py_ssize_t limit):
    """Whether one of dense int32 or int64 ids is not in [0, limit). A negative one is huge as unsigned."""
    cdef Py_ssize_t n = ids.size
    cdef const void *pids
    cdef uint64_t most
    if ids.itemsize == 4:
        pids = address(ids, b"il", 4, n, 0)
        with nogil:
            most = largest_32(<const uint32_t *>pids, n)
    else:
        pids = address(ids, b"lq", 8, n, 0)
        with nogil:
            most = largest_64(<const uint64_t *>pids, n)
    return n > 0 and most >= <uint64_t>limit


cdef bint ids_below(ids, Py_ssize_t limit, const int64_t **data, Py_ssize_t *n) except -1:
    """Whether an array is one of dense int64 in [0, limit), where they lie and how many they are."""
    cdef Py_buffer view
    if not describe(ids, &view):
        return False
    cdef bint good = (
        view.itemsize == 8 and view.format[1] == 0 and strchr(b"lq", view.format[0]) != NULL
        and PyBuffer_IsContiguous(&view, b"C"[0]) and is_aligned(&view)
    )
    data[0] = <const int64_t *>view.buf
    n[0] = view.len // 8
    PyBuffer_Release(&view)
    return good and (n[0] == 0 or largest_64(<const uint64_t *>data[0], n[0]) < <uint64_t>limit)


cdef int check(int status) except -1:
    if status:
        raise MemoryError("no memory for the scratch space of a kernel")
    return 0


# ---- elementary functions -----------------------------------------------------------------
# From here to the LSTM a function returns None for an array that is not as C takes it. The caller then finds out with
# patience what is wrong with it, and if nothing is, comes again with a copy.

ctypedef int (*Map)(int bits, Py_ssize_t n, const void *x, void *y) noexcept nogil


cdef apply(Map kernel, x):
    cdef const void *px
    cdef Py_ssize_t n
    cdef int bits = dense(x, &px, &n), status
    if bits == 0:
        return None
    y = empty(x.shape, x.dtype)
    cdef void *py = results(y, bits, n)
    with nogil:
        status = kernel(bits, n, px, py)
    check(status)
    return y


def exp(x):
    return apply(kernel_exp, x)


def tanh(x):
    return apply(kernel_tanh, x)


def sigmoid(x):
    return apply(kernel_sigmoid, x)


def erf(x):
    return apply(kernel_erf, x)


def relu_forward(x):
    return apply(kernel_relu_forward, x)


def relu_backward(dy, x):
    cdef const void *pdy
    cdef const void *px
    cdef Py_ssize_t n
    cdef int bits = dense(dy, &pdy, &n), status
    if bits == 0 or bits != dense(x, &px, &n) or dy.shape != x.shape:
        return None
    dx = empty(x.shape, x.dtype)
    cdef void *pdx = results(dx, bits, n)
    with nogil:
        status = kernel_relu_backward(bits, n, pdy, px, pdx)
    check(status)
    return dx


# ---- products -----------------------------------------------------------------------------


cdef struct Matrix:
    const void *data
    Py_ssize_t rows, columns, row, column  # sizes, and how many items rows and columns lie apart


cdef int bits_of_matrix(array, Matrix *matrix) except -1:
    """Look at a matrix of any strides: 32 or 64, or 0 for what C cannot take as it is. The caller holds the array."""
    cdef Py_buffer view
    if not describe(array, &view):
        return 0
    cdef Py_ssize_t size = view.itemsize
    cdef bint good = (
        view.ndim == 2 and view.format[1] == 0 and is_aligned(&view)
        and (view.format[0] == b"f"[0] and size == 4 or view.format[0] == b"d"[0] and size == 8)
        and view.strides[0] % size == 0 and view.strides[1] % size == 0
    )
    if good:
        matrix[0] = Matrix(view.buf, view.shape[0], view.shape[1], view.strides[0] // size, view.strides[1] // size)
    PyBuffer_Release(&view)
    return 8 * size if good else 0


cdef float one_f32 = 1
cdef double one_f64 = 1


cdef inline Matrix row_of_ones(int bits, Py_ssize_t n) noexcept:
    """All of them the same one: they lie 0 apart."""
    if bits == 32:
        return Matrix(&one_f32, 1, n, 0, 0)
    return Matrix(&one_f64, 1, n, 0, 0)


cdef inline Matrix transposed(Matrix a) noexcept:
    return Matrix(a.data, a.columns, a.rows, a.column, a.row)


cdef int multiply(int bits, Matrix a, Matrix b, c, const void *row=NULL) except -1:
    """c = a b, or where there is a row a b plus this row."""
    cdef Py_ssize_t length = b.columns * bits // 8, i
    cdef char *pc = <char *>results(c, bits, a.rows * b.columns)
    cdef int status, flags = 0 if row == NULL else GEMM_ACCUMULATE
    with nogil:
        if row != NULL:
            for i in range(a.rows):
                memcpy(pc + i * length, row, length)
        status = kernel_gemm(
            bits, a.rows, b.columns, a.columns, a.data, a.row, a.column, b.data, b.row, b.column, pc, b.columns, flags)
    return check(status)


def matmul(a, b, c):
    """c = a b, where c is dense and the others lie as they like."""
    cdef Matrix ma, mb
    cdef int bits = bits_of_matrix(a, &ma)
    if bits == 0 or bits != bits_of_matrix(b, &mb) or ma.columns != mb.rows or bits != bits_of(c):
        raise ValueError(f"not a product of matrices of aligned reals: {a.dtype} {a.shape} and {b.dtype} {b.shape}")
    multiply(bits, ma, mb, c)


def product(a, b):
    """a b of two matrices as most of them are; None for all others."""
    cdef Matrix ma, mb
    cdef int bits = bits_of_matrix(a, &ma)
    if bits == 0 or bits != bits_of_matrix(b, &mb) or ma.columns != mb.rows:
        return None
    if (ma.rows | mb.columns) >> 31:  # a broadcast view may have so many, and the size of c must fit in 64 bits
        return None
    c = empty((ma.rows, mb.columns), a.dtype)
    multiply(bits, ma, mb, c)
    return c


def affine_forward(x, w, b):
    """x w + b, where b is dense and the others lie as they like; None for what C cannot take as it is."""
    cdef Matrix mx, mw
    cdef const void *row
    cdef Py_ssize_t n
    cdef int bits = bits_of_matrix(x, &mx)
    if bits == 0 or bits != bits_of_matrix(w, &mw) or mx.columns != mw.rows:
        return None
    if bits != dense(b, &row, &n) or n != mw.columns or b.ndim != 1:
        return None
    y = empty((mx.rows, mw.columns), x.dtype)
    multiply(bits, mx, mw, y, row)
    return y


def affine_backward(dy, x, w, needs):
    """dy wᵀ, xᵀ dy and the sum of the rows of dy, those that are needed; None for what C cannot take as it is."""
    cdef Matrix mdy, mx, mw
    cdef int bits = bits_of_matrix(dy, &mdy)
    if bits == 0 or bits != bits_of_matrix(x, &mx) or bits != bits_of_matrix(w, &mw):
        return None
    if mdy.rows != mx.rows or mdy.columns != mw.columns or mx.columns != mw.rows:
        return None
    dx = dw = db = None
    if needs[0]:
        dx = empty((mx.rows, mx.columns), x.dtype)
        multiply(bits, mdy, transposed(mw), dx)
    if needs[1]:
        dw = empty((mw.rows, mw.columns), x.dtype)
        multiply(bits, transposed(mx), mdy, dw)
    if needs[2]:
        db = empty((mdy.columns,), x.dtype)
        multiply(bits, row_of_ones(bits, mdy.rows), mdy, db)
    return dx, dw, db


# ---- sums ---------------------------------------------------------------------------------


cdef int rows_of(array, const void **data, Py_ssize_t *rows, Py_ssize_t *length) except -1:
    """Look at an array: 32 or 64 if its last axis makes rows of dense reals, how many and how long; else 0."""
    cdef Py_ssize_t n, axis
    cdef int bits = dense(array, data, &n)
    if bits == 0 or array.ndim == 0:
        return 0
    cdef tuple shape = array.shape
    rows[0] = 1
    for axis in range(len(shape) - 1):
        rows[0] *= <Py_ssize_t>shape[axis]
    length[0] = shape[-1]
    return bits


def sum_rows(x):
    cdef const void *px
    cdef Py_ssize_t batch, n
    cdef int bits = rows_of(x, &px, &batch, &n), status
    if bits == 0:
        return None
    y = empty(x.shape[:-1], x.dtype)
    cdef void *py = results(y, bits, batch)
    with nogil:
        status = kernel_sum_rows(bits, batch, n, px, py)
    check(status)
    return y


# ---- softmax and the cross-entropies ------------------------------------------------------


cdef int classes_of(array, const void **data, Py_ssize_t *batch, Py_ssize_t *classes) except -1:
    """As rows_of, for rows of at least one class."""
    cdef int bits = rows_of(array, data, batch, classes)
    return 0 if classes[0] == 0 and batch[0] > 0 else bits


def softmax_forward(x):
    cdef const void *px
    cdef Py_ssize_t batch, classes
    cdef int bits = classes_of(x, &px, &batch, &classes), status
    if bits == 0:
        return None
    y = empty(x.shape, x.dtype)
    cdef void *py = results(y, bits, batch * classes)
    with nogil:
        status = kernel_softmax_forward(bits, batch, classes, px, py)
    check(status)
    return y


def softmax_backward(dy, y):
    cdef const void *pdy
    cdef const void *py
    cdef Py_ssize_t batch, classes
    cdef int bits = classes_of(dy, &pdy, &batch, &classes), status
    if bits == 0 or bits != classes_of(y, &py, &batch, &classes) or dy.shape != y.shape:
        return None
    dx = empty(y.shape, y.dtype)
    cdef void *pdx = results(dx, bits, batch * classes)
    with nogil:
        status = kernel_softmax_backward(bits, batch, classes, pdy, py, pdx)
    check(status)
    return dx


def softmax_cross_entropy_forward(logits, targets):
    cdef const void *plogits
    cdef const void *ptargets
    cdef Py_ssize_t batch, classes
    cdef int bits = classes_of(logits, &plogits, &batch, &classes), status
    if bits == 0 or bits != classes_of(targets, &ptargets, &batch, &classes) or logits.shape != targets.shape:
        return None
    loss, probabilities = empty(logits.shape[:-1], logits.dtype), empty(logits.shape, logits.dtype)
    cdef void *ploss = results(loss, bits, batch)
    cdef void *pprobabilities = results(probabilities, bits, batch * classes)
    with nogil:
        status = kernel_softmax_cross_entropy_forward(bits, batch, classes, plogits, ptargets, ploss, pprobabilities)
    check(status)
    return loss, probabilities


def softmax_cross_entropy_backward(dloss, probabilities, targets):
    cdef const void *pdloss
    cdef const void *pprobabilities
    cdef const void *ptargets
    cdef Py_ssize_t batch, classes
    dloss = made_dense(dloss)
    cdef int bits = dense(dloss, &pdloss, &batch), status
    if bits == 0 or bits != classes_of(probabilities, &pprobabilities, &batch, &classes):
        return None
    if bits != classes_of(targets, &ptargets, &batch, &classes) or targets.shape != probabilities.shape:
        return None
    if dloss.shape != targets.shape[:-1]:
        return None
    dlogits = empty(targets.shape, targets.dtype)
    cdef void *pdlogits = results(dlogits, bits, batch * classes)
    with nogil:
        status = kernel_softmax_cross_entropy_backward(
            bits, batch, classes, pdloss, pprobabilities, ptargets, pdlogits)
    check(status)
    return dlogits


def sparse_cross_entropy_forward(logits, labels):
    cdef const void *plogits
    cdef const int64_t *plabels
    cdef Py_ssize_t batch, classes
    cdef int bits = classes_of(logits, &plogits, &batch, &classes), status
    if bits == 0 or not ids_below(labels, classes, &plabels, &batch) or labels.shape != logits.shape[:-1]:
        return None
    loss, probabilities = empty(labels.shape, logits.dtype), empty(logits.shape, logits.dtype)
    cdef void *ploss = results(loss, bits, batch)
    cdef void *pprobabilities = results(probabilities, bits, batch * classes)
    with nogil:
        status = kernel_sparse_cross_entropy_forward(bits, batch, classes, plogits, plabels, ploss, pprobabilities)
    check(status)
    return loss, probabilities


def sparse_cross_entropy_backward(dloss, probabilities, labels):
    cdef const void *pdloss
    cdef const void *pprobabilities
    cdef const int64_t *plabels
    cdef Py_ssize_t batch, classes
    dloss = made_dense(dloss)
    cdef int bits = dense(dloss, &pdloss, &batch), status
    if bits == 0 or bits != classes_of(probabilities, &pprobabilities, &batch, &classes):
        return None
    if not ids_below(labels, classes, &plabels, &batch) or not dloss.shape == labels.shape == probabilities.shape[:-1]:
        return None
    dlogits = empty(probabilities.shape, probabilities.dtype)
    cdef void *pdlogits = results(dlogits, bits, batch * classes)
    with nogil:
        status = kernel_sparse_cross_entropy_backward(
            bits, batch, classes, pdloss, pprobabilities, plabels, pdlogits)
    check(status)
    return dlogits


def sigmoid_cross_entropy_forward(logits, targets):
    cdef const void *plogits
    cdef const void *ptargets
    cdef Py_ssize_t n
    cdef int bits = dense(logits, &plogits, &n), status
    if bits == 0 or bits != dense(targets, &ptargets, &n) or logits.shape != targets.shape:
        return None
    loss = empty(logits.shape, logits.dtype)
    cdef void *ploss = results(loss, bits, n)
    with nogil:
        status = kernel_sigmoid_cross_entropy_forward(bits, n, plogits, ptargets, ploss)
    check(status)
    return loss


def sigmoid_cross_entropy_backward(dloss, logits, targets):
    cdef const void *pdloss
    cdef const void *plogits
    cdef const void *ptargets
    cdef Py_ssize_t n
    dloss = made_dense(dloss)
    cdef int bits = dense(dloss, &pdloss, &n), status
    if bits == 0 or bits != dense(logits, &plogits, &n) or bits != dense(targets, &ptargets, &n):
        return None
    if not dloss.shape == logits.shape == targets.shape:
        return None
    dlogits = empty(logits.shape, logits.dtype)
    cdef void *pdlogits = results(dlogits, bits, n)
    with nogil:
        status = kernel_sigmoid_cross_entropy_backward(bits, n, pdloss, plogits, ptargets, pdlogits)
    check(status)
    return dlogits


# ---- embedding ----------------------------------------------------------------------------


def embedding_forward(table, ids):
    """Rows of a table; None for what C cannot take as it is."""
    cdef const void *ptable
    cdef const int64_t *pids
    cdef Py_ssize_t rows, units, n
    cdef int bits = rows_of(table, &ptable, &rows, &units), status
    if bits == 0 or table.ndim != 2 or not ids_below(ids, rows, &pids, &n):
        return None
    y = empty((*ids.shape, units), table.dtype)
    cdef void *py = results(y, bits, n * units)
    with nogil:
        status = kernel_embedding_forward(bits, n, units, ptable, pids, py)
    check(status)
    return y


def embedding_backward(dy, ids, Py_ssize_t rows):
    cdef const void *pdy
    cdef const int64_t *pids
    cdef Py_ssize_t n, units
    cdef int bits = rows_of(dy, &pdy, &n, &units), status
    if bits == 0 or not ids_below(ids, rows, &pids, &n) or dy.shape[:-1] != ids.shape:
        return None
    dtable = empty((rows, units), dy.dtype)
    cdef void *pdtable = results(dtable, bits, rows * units)
    with nogil:
        status = kernel_embedding_backward(bits, n, rows, units, pdy, pids, pdtable)
    check(status)
    return dtable


# ---- random numbers and dropout -----------------------------------------------------------


def random_bits(uint64_t seed, uint64_t offset, words):
    cdef Py_ssize_t n = words.size
    cdef int status
    cdef uint32_t *pwords = <uint32_t *>address(words, b"IL", 4, n, PyBUF_WRITABLE)
    with nogil:
        status = kernel_random_bits(32, n, seed, offset, pwords)
    check(status)


def dropout(x, double rate, uint64_t seed, uint64_t offset):
    """None for an array or a rate that is not as C takes it; an error for other integers than these are."""
    cdef const void *px
    cdef Py_ssize_t n
    cdef int bits = dense(x, &px, &n), status
    if bits == 0 or not 0 <= rate <= 1:
        return None
    cdef uint64_t threshold = <uint64_t>(rate * 2.0**32)
    cdef double scale = 1 / (1 - rate) if rate < 1 else 0
    y = empty(x.shape, x.dtype)
    cdef void *py = results(y, bits, n)
    with nogil:
        status = kernel_dropout(bits, n, threshold, scale, seed, offset, px, py)
    check(status)
    return y


# ---- LSTM ---------------------------------------------------------------------------------


cdef int sizes_of(x, recurrent, Py_ssize_t *batch, Py_ssize_t *time, Py_ssize_t *features, Py_ssize_t *units) except -1:
    """The sizes of an LSTM by its input and its recurrent weights, and its bits; 0 if these are not as C takes them."""
    cdef const void *data
    cdef Py_ssize_t n
    cdef int bits = dense(x, &data, &n)
    if bits == 0 or x.ndim != 3 or dense(recurrent, &data, &n) != bits or recurrent.ndim != 2:
        return 0
    batch[0], time[0], features[0] = x.shape
    units[0] = recurrent.shape[0]
    return bits


cdef bint is_shaped(array, int bits, tuple shape, const void **data) except -1:
    """Whether an array is one of dense reals of so many bits and of this shape, and where they lie."""
    cdef Py_ssize_t n
    return dense(array, data, &n) == bits and array.shape == shape


cdef bint is_absent_or_shaped(array, int bits, tuple shape, const void **data) except -1:
    data[0] = NULL
    return array is None or is_shaped(array, bits, shape, data)


cdef bint is_mask(mask, tuple shape, const uint8_t **data) except -1:
    """Whether it is None, or an array of dense booleans of this shape, and where they lie."""
    cdef Py_buffer view
    data[0] = NULL
    if mask is None:
        return True
    if not describe(mask, &view):
        return False
    data[0] = <const uint8_t *>view.buf
    cdef bint good = view.format[0] == b"?"[0] and view.format[1] == 0 and PyBuffer_IsContiguous(&view, b"C"[0])
    PyBuffer_Release(&view)
    return good and mask.shape == shape


def lstm_forward(x, h0, c0, kernel, recurrent, bias, mask, bint reverse, bint keep):
    """y, h, c and, to keep, what backward needs; None for what C cannot take as it is."""
    cdef Py_ssize_t batch, time, features, units
    cdef int bits = sizes_of(x, recurrent, &batch, &time, &features, &units), status
    cdef const void *px
    cdef const void *ph0
    cdef const void *pc0
    cdef const void *pkernel
    cdef const void *precurrent
    cdef const void *pbias
    cdef const uint8_t *pmask
    if bits == 0 or not (
        is_shaped(x, bits, (batch, time, features), &px)
        and is_shaped(h0, bits, (batch, units), &ph0) and is_shaped(c0, bits, (batch, units), &pc0)
        and is_shaped(kernel, bits, (features, 4 * units), &pkernel)
        and is_shaped(recurrent, bits, (units, 4 * units), &precurrent)
        and is_shaped(bias, bits, (4 * units,), &pbias) and is_mask(mask, (batch, time), &pmask)
    ):
        return None
    cdef Py_ssize_t state = batch * units, states = time * state
    y, h, c = empty((batch, time, units), x.dtype), empty((batch, units), x.dtype), empty((batch, units), x.dtype)
    cdef void *py = results(y, bits, states)
    cdef void *ph = results(h, bits, state)
    cdef void *pc = results(c, bits, state)
    cdef void *pgates = NULL
    cdef void *ph_before = NULL
    cdef void *pc_before = NULL
    cache = None
    if keep:
        gates = empty((time, batch, 4 * units), x.dtype)
        h_before, c_before = empty((time, batch, units), x.dtype), empty((time, batch, units), x.dtype)
        pgates = results(gates, bits, 4 * states)
        ph_before = results(h_before, bits, states)
        pc_before = results(c_before, bits, states)
        cache = gates, h_before, c_before
    with nogil:
        status = kernel_lstm_forward(
            bits, batch, time, features, units, px, ph0, pc0, pkernel, precurrent, pbias, pmask, reverse,
            py, ph, pc, pgates, ph_before, pc_before)
    check(status)
    return y, h, c, cache


def lstm_backward(dy, dh, dc, x, h0, c0, kernel, recurrent, bias, mask, bint reverse, cache):
    """The gradients of x, h0, c0, kernel, recurrent and bias; None for what C cannot take as it is."""
    cdef Py_ssize_t batch, time, features, units
    cdef int bits = sizes_of(x, recurrent, &batch, &time, &features, &units), status
    cdef const void *pdy
    cdef const void *pdh
    cdef const void *pdc
    cdef const void *px
    cdef const void *unread
    cdef const void *pkernel
    cdef const void *precurrent
    cdef const void *pgates
    cdef const void *ph_before
    cdef const void *pc_before
    cdef const uint8_t *pmask
    if bits == 0 or type(cache) is not tuple or len(cache) != 3:
        return None
    gates, h_before, c_before = cache
    if not (
        is_absent_or_shaped(dy, bits, (batch, time, units), &pdy)
        and is_absent_or_shaped(dh, bits, (batch, units), &pdh)
        and is_absent_or_shaped(dc, bits, (batch, units), &pdc)
        and is_shaped(x, bits, (batch, time, features), &px)
        and is_shaped(h0, bits, (batch, units), &unread) and is_shaped(c0, bits, (batch, units), &unread)
        and is_shaped(kernel, bits, (features, 4 * units), &pkernel)
        and is_shaped(recurrent, bits, (units, 4 * units), &precurrent)
        and is_shaped(bias, bits, (4 * units,), &unread) and is_mask(mask, (batch, time), &pmask)
        and is_shaped(gates, bits, (time, batch, 4 * units), &pgates)
        and is_shaped(h_before, bits, (time, batch, units), &ph_before)
        and is_shaped(c_before, bits, (time, batch, units), &pc_before)
    ):
        return None
    cdef Py_ssize_t state = batch * units
    dx, dh0, dc0 = empty(x.shape, x.dtype), empty(h0.shape, x.dtype), empty(c0.shape, x.dtype)
    dkernel, drecurrent = empty(kernel.shape, x.dtype), empty(recurrent.shape, x.dtype)
    dbias = empty(bias.shape, x.dtype)
    cdef void *pdx = results(dx, bits, batch * time * features)
    cdef void *pdh0 = results(dh0, bits, state)
    cdef void *pdc0 = results(dc0, bits, state)
    cdef void *pdkernel = results(dkernel, bits, features * 4 * units)
    cdef void *pdrecurrent = results(drecurrent, bits, units * 4 * units)
    cdef void *pdbias = results(dbias, bits, 4 * units)
    with nogil:
        status = kernel_lstm_backward(
            bits, batch, time, features, units, pdy, pdh, pdc, px, pkernel, precurrent, pmask, reverse,
            pgates, ph_before, pc_before, pdx, pdh0, pdc0, pdkernel, pdrecurrent, pdbias)
    check(status)
    return dx, dh0, dc0, dkernel, drecurrent, dbias


# ---- optimizer steps ----------------------------------------------------------------------


def apart(*arrays):
    """Whether up to four are dense reals of one type and shape, each in memory of its own, writable but for the second."""
    cdef Py_buffer[4] views
    cdef int count = 0, i
    if len(arrays) > 4:
        return False
    try:
        for array in arrays:
            if not look(array, &views[count]):
                return False
            count += 1
            if views[count - 1].readonly and count != 2:
                return False
            for i in range(count - 1):
                if not alike(&views[i], &views[count - 1]) or overlap(&views[i], &views[count - 1]):
                    return False
        return True
    finally:
        for i in range(count):
            PyBuffer_Release(&views[i])


cdef bint alike(const Py_buffer *a, const Py_buffer *b) noexcept:
    cdef int axis
    if a.ndim != b.ndim or a.format[0] != b.format[0]:
        return False
    for axis in range(a.ndim):
        if a.shape[axis] != b.shape[axis]:
            return False
    return True


cdef bint overlap(const Py_buffer *a, const Py_buffer *b) noexcept:
    return <uintptr_t>a.buf < <uintptr_t>b.buf + b.len and <uintptr_t>b.buf < <uintptr_t>a.buf + a.len


def sgd_step(w, g, double lr):
    cdef Py_ssize_t n = w.size
    cdef int bits = bits_of(w), status
    cdef const void *pg = reals(g, bits, n)
    cdef void *pw = results(w, bits, n)
    with nogil:
        status = kernel_sgd_step(bits, n, pw, pg, lr)
    check(status)


def momentum_step(w, g, v, double lr, double momentum, bint nesterov):
    cdef Py_ssize_t n = w.size
    cdef int bits = bits_of(w), status
    cdef const void *pg = reals(g, bits, n)
    cdef void *pw = results(w, bits, n)
    cdef void *pv = results(v, bits, n)
    with nogil:
        status = kernel_momentum_step(bits, n, pw, pg, pv, lr, momentum, nesterov)
    check(status)


def adam_step(w, g, m, v, double rate, double beta_1, double beta_2, double epsilon):
    cdef Py_ssize_t n = w.size
    cdef int bits = bits_of(w), status
    cdef const void *pg = reals(g, bits, n)
    cdef void *pw = results(w, bits, n)
    cdef void *pm = results(m, bits, n)
    cdef void *pv = results(v, bits, n)
    with nogil:
        status = kernel_adam_step(bits, n, pw, pg, pm, pv, rate, beta_1, beta_2, epsilon)
    check(status)


def rmsprop_step(w, g, v, double lr, double rho, double epsilon):
    cdef Py_ssize_t n = w.size
    cdef int bits = bits_of(w), status
    cdef const void *pg = reals(g, bits, n)
    cdef void *pw = results(w, bits, n)
    cdef void *pv = results(v, bits, n)
    with nogil:
        status = kernel_rmsprop_step(bits, n, pw, pg, pv, lr, rho, epsilon)
    check(status)


def adagrad_step(w, g, a, double lr, double epsilon):
    cdef Py_ssize_t n = w.size
    cdef int bits = bits_of(w), status
    cdef const void *pg = reals(g, bits, n)
    cdef void *pw = results(w, bits, n)
    cdef void *pa = results(a, bits, n)
    with nogil:
        status = kernel_adagrad_step(bits, n, pw, pg, pa, lr, epsilon)
    check(status)
