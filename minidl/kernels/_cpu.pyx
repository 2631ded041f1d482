# cython: language_level=3
"""The C kernels as Python functions of arrays: memory addresses, the GIL released, errors raised.

`minidl.kernels.cpu` prepares the arguments. What could crash the process is checked here once
more: each array is dense, native, aligned, of the type and the number of items that C will assume.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy
from numpy cimport (
    NPY_BOOL, NPY_DOUBLE, NPY_FLOAT, NPY_INT, NPY_LONG, NPY_LONGLONG, NPY_UINT, NPY_ULONG, PyArray_CheckExact,
    PyArray_DATA, PyArray_DIMS, PyArray_ISALIGNED, PyArray_ISCARRAY_RO, PyArray_ISNOTSWAPPED, PyArray_ISWRITEABLE,
    PyArray_ITEMSIZE, PyArray_NBYTES, PyArray_NDIM, PyArray_SAMESHAPE, PyArray_SIZE, PyArray_SimpleNew,
    PyArray_SimpleNewFromData, PyArray_STRIDES, PyArray_TYPE, import_array, ndarray, npy_intp, set_array_base,
)

from numpy import empty as numpy_empty

import_array()

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
    cpdef enum:
        RELU, LEAKY_RELU, ELU, SOFTPLUS, SILU, GELU

    int kernel_exp(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_tanh(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_sigmoid(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_erf(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_activation_forward(
        int bits, Py_ssize_t n, int which, double alpha, double scale, const void *x, void *y)
    int kernel_activation_backward(
        int bits, Py_ssize_t n, int which, double alpha, double scale, const void *dy, Py_ssize_t dy_step,
        const void *x, void *dx)
    int kernel_where(
        int bits, Py_ssize_t n, const uint8_t *condition, const void *a, Py_ssize_t a_step, const void *b,
        Py_ssize_t b_step, void *y)
    int kernel_gemm(
        int bits, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const void *a, Py_ssize_t a_row, Py_ssize_t a_col,
        const void *b, Py_ssize_t b_row, Py_ssize_t b_col, void *c, Py_ssize_t c_row, int flags)
    int kernel_gemm_stack(
        int bits, Py_ssize_t count, const Py_ssize_t *places, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const void *a,
        Py_ssize_t a_row, Py_ssize_t a_col, const void *b, Py_ssize_t b_row, Py_ssize_t b_col, void *c)
    int kernel_sum_rows(int bits, Py_ssize_t batch, Py_ssize_t n, const void *x, void *y)
    int kernel_sum_columns(int bits, Py_ssize_t batch, Py_ssize_t rows, Py_ssize_t n, const void *x, void *y)
    int kernel_huber_forward(int bits, Py_ssize_t batch, Py_ssize_t columns, const void *e, double delta, void *y)
    int kernel_huber_backward(
        int bits, Py_ssize_t batch, Py_ssize_t columns, const void *dy, const void *e, double delta, void *de)
    int kernel_softmax_forward(int bits, Py_ssize_t batch, Py_ssize_t classes, const void *x, void *y)
    int kernel_softmax_backward(
        int bits, Py_ssize_t batch, Py_ssize_t classes, const void *dy, const void *y, void *dx)
    int kernel_log_softmax_forward(int bits, Py_ssize_t batch, Py_ssize_t classes, const void *x, void *y)
    int kernel_log_softmax_backward(
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


# ---- new arrays ---------------------------------------------------------------------------

cdef enum:
    BLOCK_BYTES = 1 << 16  # below, asking the C library costs less than a block
    MOST_AXES = 64  # of an array of NumPy's


cdef class Block:
    """Memory that memory.c keeps for the next block of its size, once no array looks at it."""

    cdef void *memory

    def __cinit__(self, Py_ssize_t bytes):
        self.memory = memory_take(bytes) if bytes >= 0 else NULL
        if self.memory == NULL:
            raise MemoryError(f"no memory for an array of {bytes} bytes")

    def __dealloc__(self):
        memory_give(self.memory)


cdef ndarray new(int kind, int axes, const npy_intp *shape, Py_ssize_t itemsize):
    """A new array of a type by NumPy's number; from BLOCK_BYTES on its memory has been used before, and is warm."""
    cdef Py_ssize_t size = itemsize
    cdef int axis
    for axis in range(axes):
        if shape[axis] > 0 and size > PY_SSIZE_T_MAX // shape[axis]:
            size = 0  # more than there is address space: NumPy has an error for that
            break
        size *= shape[axis]
    if size < BLOCK_BYTES:
        return PyArray_SimpleNew(axes, <npy_intp *>shape, kind)
    cdef Block block = Block(size)
    array = PyArray_SimpleNewFromData(axes, <npy_intp *>shape, kind, block.memory)
    set_array_base(array, block)
    return array


cdef inline ndarray like(ndarray x):
    return new(PyArray_TYPE(x), PyArray_NDIM(x), PyArray_DIMS(x), PyArray_ITEMSIZE(x))


cdef inline ndarray without_last_axis(ndarray x):
    return new(PyArray_TYPE(x), PyArray_NDIM(x) - 1, PyArray_DIMS(x), PyArray_ITEMSIZE(x))


cdef inline ndarray reals(int bits, int axes, npy_intp a, npy_intp b=0, npy_intp c=0):
    """A new array of up to three axes."""
    cdef npy_intp[3] shape = [a, b, c]
    return new(NPY_FLOAT if bits == 32 else NPY_DOUBLE, axes, shape, bits // 8)


def empty(tuple shape, dtype):
    """A new array of any shape and type."""
    cdef npy_intp[MOST_AXES] sizes
    cdef int axes = len(shape), axis
    if dtype.isbuiltin != 1 or dtype.hasobject or axes > MOST_AXES:
        return numpy_empty(shape, dtype)
    for axis in range(axes):
        sizes[axis] = shape[axis]
        if sizes[axis] < 0:
            return numpy_empty(shape, dtype)  # NumPy's error
    return new(dtype.num, axes, sizes, dtype.itemsize)


# ---- looking at arrays --------------------------------------------------------------------


cdef inline int kind_of(array) noexcept:
    """The number of a plain array's type as C has it; -1 for anything else."""
    return PyArray_TYPE(<ndarray>array) if PyArray_CheckExact(array) and PyArray_ISNOTSWAPPED(<ndarray>array) else -1


cdef inline int bits_of(array) noexcept:
    """32 or 64 for a plain array of reals, 0 for anything else."""
    cdef int kind = kind_of(array)
    return 32 if kind == NPY_FLOAT else 64 if kind == NPY_DOUBLE else 0


cdef inline int dense(array, const void **data, Py_ssize_t *n) noexcept:
    """Look at an array: 32 or 64 if it is one of dense reals, where they lie and how many they are; 0 if it is none."""
    cdef int bits = bits_of(array)
    data[0] = NULL
    n[0] = 0
    if bits == 0 or not PyArray_ISCARRAY_RO(<ndarray>array):
        return 0
    data[0] = PyArray_DATA(<ndarray>array)
    n[0] = PyArray_SIZE(<ndarray>array)
    return bits


cdef inline bint alike(a, b) noexcept:
    """Whether two plain arrays have one shape."""
    return PyArray_SAMESHAPE(<ndarray>a, <ndarray>b)


cdef inline bint leads(a, b) noexcept:
    """Whether a plain array has the shape of another one without its last axis."""
    cdef int axes = PyArray_NDIM(<ndarray>a), axis
    if axes != PyArray_NDIM(<ndarray>b) - 1:
        return False
    for axis in range(axes):
        if PyArray_DIMS(<ndarray>a)[axis] != PyArray_DIMS(<ndarray>b)[axis]:
            return False
    return True


cdef made_dense(array):
    """The gradient of a loss as one array, which the mean of the losses has made a broadcast view of one number."""
    return array.copy() if PyArray_CheckExact(array) and not PyArray_ISCARRAY_RO(<ndarray>array) else array


cdef const void *read(array, int bits, Py_ssize_t n) except NULL:
    """Where n dense reals lie. The caller holds their array for as long as it uses them."""
    cdef const void *data
    cdef Py_ssize_t size
    if bits == 0 or dense(array, &data, &size) != bits or size != n:
        raise ValueError(f"expected {n} dense reals of {bits} bits, got {array.dtype} {array.shape}")
    return data


cdef void *changed(array, int bits, Py_ssize_t n) except NULL:
    """The same of an array that a kernel changes."""
    cdef const void *data = read(array, bits, n)
    if not PyArray_ISWRITEABLE(<ndarray>array):
        raise ValueError("expected an array to change, got one that is read-only")
    return <void *>data


# Whether one of n ids is not in [0, limit): then the id or its distance to the last one is negative. Bits are put
# together faster than a maximum is found.


cdef bint outside_32(const uint32_t *ids, Py_ssize_t n, Py_ssize_t limit) noexcept nogil:
    cdef uint32_t last = <uint32_t>min(limit - 1, <Py_ssize_t>0x7FFFFFFF), signs = 0
    for i in range(n):
        signs |= ids[i] | (last - ids[i])
    return signs >> 31


cdef bint outside_64(const uint64_t *ids, Py_ssize_t n, Py_ssize_t limit) noexcept nogil:
    cdef uint64_t last = <uint64_t>(limit - 1), signs = 0
    for i in range(n):
        signs |= ids[i] | (last - ids[i])
    return signs >> 63


cdef inline int bits_of_ids(ids) noexcept:
    """32 or 64 for a plain array of so many dense integers with a sign, 0 for anything else."""
    cdef int kind = kind_of(ids)
    if kind != NPY_INT and kind != NPY_LONG and kind != NPY_LONGLONG or not PyArray_ISCARRAY_RO(<ndarray>ids):
        return 0
    return 8 * <int>PyArray_ITEMSIZE(<ndarray>ids)


def outside(ids, Py_ssize_t limit):
    """Whether one of dense int32 or int64 ids is not in [0, limit)."""
    cdef int bits = bits_of_ids(ids)
    if bits == 0:
        raise ValueError(f"expected dense ids, got {ids.dtype} {ids.shape}")
    cdef const void *pids = PyArray_DATA(<ndarray>ids)
    cdef Py_ssize_t n = PyArray_SIZE(<ndarray>ids)
    cdef bint found
    with nogil:
        if bits == 32:
            found = outside_32(<const uint32_t *>pids, n, limit)
        else:
            found = outside_64(<const uint64_t *>pids, n, limit)
    return found


cdef bint ids_below(ids, Py_ssize_t limit, const int64_t **data, Py_ssize_t *n) noexcept:
    """Whether an array is one of dense int64 in [0, limit), where they lie and how many they are."""
    if bits_of_ids(ids) != 64:
        return False
    data[0] = <const int64_t *>PyArray_DATA(<ndarray>ids)
    n[0] = PyArray_SIZE(<ndarray>ids)
    return not outside_64(<const uint64_t *>data[0], n[0], limit)


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
    cdef ndarray y = like(x)
    with nogil:
        status = kernel(bits, n, px, PyArray_DATA(y))
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


cdef int check_activation(int which) except -1:
    if not RELU <= which <= GELU:
        raise ValueError(f"there is no activation {which}")
    return 0


def activation_forward(int which, x, alpha, scale):
    check_activation(which)
    cdef const void *px
    cdef Py_ssize_t n
    cdef int bits = dense(x, &px, &n), status
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
    cdef Py_ssize_t n, step = 1
    cdef int bits = dense(x, &px, &n), status
    if bits == 0 or type(alpha) is not float or type(scale) is not float or bits_of(dy) != bits or not alike(dy, x):
        return None
    if is_one_number(dy):
        pdy, step = PyArray_DATA(<ndarray>dy), 0
    elif dense(dy, &pdy, &n) == 0:
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
    """Look at what where() may choose: dense reals of so many bits in the shape of the condition, or a number."""
    cdef Py_ssize_t n
    if type(x) is float or type(x) is int or type(x) is bool:
        choice.f64 = x
        choice.f32 = <float>choice.f64
        choice.data, choice.step = <void *>&choice.f32 if bits == 32 else <void *>&choice.f64, 0
        return True
    choice.step = 1
    return dense(x, &choice.data, &n) == bits and alike(x, condition)


def where(condition, a, b):
    cdef int bits = bits_of(a) or bits_of(b), kind = NPY_FLOAT if bits == 32 else NPY_DOUBLE, status
    cdef Choice ca, cb
    if bits == 0 or kind_of(condition) != NPY_BOOL or not PyArray_ISCARRAY_RO(<ndarray>condition):
        return None
    if not choice_of(a, condition, bits, &ca) or not choice_of(b, condition, bits, &cb):
        return None
    cdef const uint8_t *pcondition = <const uint8_t *>PyArray_DATA(<ndarray>condition)
    cdef Py_ssize_t n = PyArray_SIZE(<ndarray>condition)
    cdef ndarray y = new(kind, PyArray_NDIM(<ndarray>condition), PyArray_DIMS(<ndarray>condition), bits // 8)
    with nogil:
        status = kernel_where(bits, n, pcondition, ca.data, ca.step, cb.data, cb.step, PyArray_DATA(y))
    check(status)
    return y


# ---- products -----------------------------------------------------------------------------


cdef struct Matrix:
    const void *data
    Py_ssize_t rows, columns, row, column  # sizes, and how many items rows and columns lie apart


cdef int bits_of_stack(array, Matrix *matrix) noexcept:
    """Look at a stack of matrices of any strides: 32 or 64, and the first one, or 0 for what C cannot take as it is.

    The caller holds the array.
    """
    cdef int bits = bits_of(array), axes, axis, size = bits // 8
    if bits == 0 or PyArray_NDIM(<ndarray>array) < 2 or not PyArray_ISALIGNED(<ndarray>array):
        return 0
    cdef const npy_intp *shape = PyArray_DIMS(<ndarray>array)
    cdef const npy_intp *strides = PyArray_STRIDES(<ndarray>array)
    axes = PyArray_NDIM(<ndarray>array)
    for axis in range(axes):
        if shape[axis] > 1 and strides[axis] % size:  # that of an axis of one means nothing, and may be anything
            return 0
    matrix[0] = Matrix(
        PyArray_DATA(<ndarray>array), shape[axes - 2], shape[axes - 1], strides[axes - 2] // size,
        strides[axes - 1] // size)
    return bits


cdef int bits_of_matrix(array, Matrix *matrix) noexcept:
    """The same of a single matrix."""
    cdef int bits = bits_of_stack(array, matrix)
    return bits if bits and PyArray_NDIM(<ndarray>array) == 2 else 0


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
    cdef char *pc = <char *>changed(c, bits, a.rows * b.columns)
    cdef int status, flags = 0 if row == NULL else GEMM_ACCUMULATE
    with nogil:
        if row != NULL:
            for i in range(a.rows):
                memcpy(pc + i * length, row, length)
        status = kernel_gemm(
            bits, a.rows, b.columns, a.columns, a.data, a.row, a.column, b.data, b.row, b.column, pc, b.columns, flags)
    return check(status)


cdef struct Stack:
    int axes
    npy_intp[MOST_AXES + 2] shape  # of these axes, then rows and columns
    npy_intp[MOST_AXES] a, b  # the strides of both, in items; 0 where one is repeated


cdef bint broadcast(ndarray a, ndarray b, int size, Stack *stack) noexcept:
    """The axes before the last two of both, by NumPy's rules; whether they agree."""
    cdef int lead_a = PyArray_NDIM(a) - 2, lead_b = PyArray_NDIM(b) - 2, axis, of_a, of_b
    cdef npy_intp in_a, in_b
    stack.axes = max(lead_a, lead_b)
    for axis in range(stack.axes):
        of_a, of_b = axis - stack.axes + lead_a, axis - stack.axes + lead_b
        in_a = PyArray_DIMS(a)[of_a] if of_a >= 0 else 1
        in_b = PyArray_DIMS(b)[of_b] if of_b >= 0 else 1
        if in_a != in_b and in_a != 1 and in_b != 1:
            return False
        stack.shape[axis] = in_b if in_a == 1 else in_a
        stack.a[axis] = PyArray_STRIDES(a)[of_a] // size if in_a != 1 else 0
        stack.b[axis] = PyArray_STRIDES(b)[of_b] // size if in_b != 1 else 0
    return True


cdef void find_places(const Stack *stack, Py_ssize_t count, Py_ssize_t *places) noexcept nogil:
    """How far the a and the b of each product lie from the first."""
    cdef Py_ssize_t i, rest
    cdef int axis
    for i in range(count):
        places[2 * i] = places[2 * i + 1] = 0
        rest = i
        for axis in range(stack.axes - 1, -1, -1):
            places[2 * i] += rest % stack.shape[axis] * stack.a[axis]
            places[2 * i + 1] += rest % stack.shape[axis] * stack.b[axis]
            rest //= stack.shape[axis]


cdef multiply_stack(int bits, Matrix a, Matrix b, Stack *stack):
    """All products of a stack in a new array."""
    stack.shape[stack.axes] = a.rows
    stack.shape[stack.axes + 1] = b.columns
    cdef ndarray c = new(NPY_FLOAT if bits == 32 else NPY_DOUBLE, stack.axes + 2, stack.shape, bits // 8)
    if PyArray_SIZE(c) == 0:
        return c
    cdef Py_ssize_t count = PyArray_SIZE(c) // (a.rows * b.columns)
    cdef Block block = Block(count * 2 * sizeof(Py_ssize_t))
    cdef Py_ssize_t *places = <Py_ssize_t *>block.memory
    cdef int status
    with nogil:
        find_places(stack, count, places)
        status = kernel_gemm_stack(
            bits, count, places, a.rows, b.columns, a.columns, a.data, a.row, a.column, b.data, b.row, b.column,
            PyArray_DATA(c))
    check(status)
    return c


def product(a, b):
    """a b over the last two axes, where the others broadcast; None for what C cannot take as it is."""
    cdef Matrix ma, mb
    cdef Stack stack
    cdef int bits = bits_of_stack(a, &ma), axis
    if bits == 0 or bits != bits_of_stack(b, &mb) or ma.columns != mb.rows:
        return None
    cdef int axes = PyArray_NDIM(<ndarray>a)
    if PyArray_NDIM(<ndarray>b) > 2 or axes > 2 and not PyArray_ISCARRAY_RO(<ndarray>a):
        return multiply_stack(bits, ma, mb, &stack) if broadcast(a, b, bits // 8, &stack) else None
    if axes > 2:  # dense, and with one b: one product of all rows
        ma.row = ma.columns
        for axis in range(axes - 2):
            ma.rows *= PyArray_DIMS(<ndarray>a)[axis]
    memcpy(stack.shape, PyArray_DIMS(<ndarray>a), (axes - 1) * sizeof(npy_intp))
    stack.shape[axes - 1] = mb.columns
    c = new(PyArray_TYPE(<ndarray>a), axes, stack.shape, bits // 8)
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
    if bits != dense(b, &row, &n) or n != mw.columns or PyArray_NDIM(<ndarray>b) != 1:
        return None
    y = reals(bits, 2, mx.rows, mw.columns)
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
        dx = reals(bits, 2, mx.rows, mx.columns)
        multiply(bits, mdy, transposed(mw), dx)
    if needs[1]:
        dw = reals(bits, 2, mw.rows, mw.columns)
        multiply(bits, transposed(mx), mdy, dw)
    if needs[2]:
        db = reals(bits, 1, mdy.columns)
        multiply(bits, row_of_ones(bits, mdy.rows), mdy, db)
    return dx, dw, db


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


# ---- embedding ----------------------------------------------------------------------------


cdef ndarray with_axis(ndarray ids, Py_ssize_t units, ndarray table):
    """A new array of the shape of the ids and one more axis."""
    cdef npy_intp[MOST_AXES + 1] shape
    cdef int axes = PyArray_NDIM(ids)
    memcpy(shape, PyArray_DIMS(ids), axes * sizeof(npy_intp))
    shape[axes] = units
    return new(PyArray_TYPE(table), axes + 1, shape, PyArray_ITEMSIZE(table))


def embedding_forward(table, ids):
    """Rows of a table; None for what C cannot take as it is."""
    cdef const void *ptable
    cdef const int64_t *pids
    cdef Py_ssize_t rows, units, n
    cdef int bits = rows_of(table, &ptable, &rows, &units), status
    if bits == 0 or PyArray_NDIM(<ndarray>table) != 2 or not ids_below(ids, rows, &pids, &n):
        return None
    cdef ndarray y = with_axis(ids, units, table)
    with nogil:
        status = kernel_embedding_forward(bits, n, units, ptable, pids, PyArray_DATA(y))
    check(status)
    return y


def embedding_backward(dy, ids, Py_ssize_t rows):
    cdef const void *pdy
    cdef const int64_t *pids
    cdef Py_ssize_t n, units
    cdef int bits = rows_of(dy, &pdy, &n, &units), status
    if bits == 0 or not ids_below(ids, rows, &pids, &n) or not leads(ids, dy):
        return None
    cdef ndarray dtable = reals(bits, 2, rows, units)
    with nogil:
        status = kernel_embedding_backward(bits, n, rows, units, pdy, pids, PyArray_DATA(dtable))
    check(status)
    return dtable


# ---- random numbers and dropout -----------------------------------------------------------


def random_bits(uint64_t seed, uint64_t offset, words):
    cdef int kind = kind_of(words), status
    if kind != NPY_UINT and kind != NPY_ULONG or PyArray_ITEMSIZE(<ndarray>words) != 4:
        raise ValueError(f"expected words of 32 bits, got {words.dtype}")
    if not PyArray_ISCARRAY_RO(<ndarray>words) or not PyArray_ISWRITEABLE(<ndarray>words):
        raise ValueError("expected dense words to change")
    cdef Py_ssize_t n = PyArray_SIZE(<ndarray>words)
    cdef uint32_t *pwords = <uint32_t *>PyArray_DATA(<ndarray>words)
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
    cdef ndarray y = like(x)
    with nogil:
        status = kernel_dropout(bits, n, threshold, scale, seed, offset, px, PyArray_DATA(y))
    check(status)
    return y


# ---- LSTM ---------------------------------------------------------------------------------


cdef int sizes_of(
    x, recurrent, Py_ssize_t *batch, Py_ssize_t *time, Py_ssize_t *features, Py_ssize_t *units
) noexcept:
    """The sizes of an LSTM by its input and its recurrent weights, and its bits; 0 if these are not as C takes them."""
    cdef int bits = bits_of(x)
    if bits == 0 or PyArray_NDIM(<ndarray>x) != 3:
        return 0
    if bits != bits_of(recurrent) or PyArray_NDIM(<ndarray>recurrent) != 2:
        return 0
    cdef const npy_intp *shape = PyArray_DIMS(<ndarray>x)
    batch[0], time[0], features[0] = shape[0], shape[1], shape[2]
    units[0] = PyArray_DIMS(<ndarray>recurrent)[0]
    return bits


cdef bint is_shaped(array, int bits, const void **data, int axes, npy_intp a, npy_intp b=0, npy_intp c=0) noexcept:
    """Whether an array is one of dense reals of so many bits and of this shape, and where they lie."""
    cdef Py_ssize_t n
    if dense(array, data, &n) != bits or PyArray_NDIM(<ndarray>array) != axes:
        return False
    cdef const npy_intp *shape = PyArray_DIMS(<ndarray>array)
    return shape[0] == a and (axes < 2 or shape[1] == b) and (axes < 3 or shape[2] == c)


cdef bint is_absent_or_shaped(
    array, int bits, const void **data, int axes, npy_intp a, npy_intp b, npy_intp c=0
) noexcept:
    data[0] = NULL
    return array is None or is_shaped(array, bits, data, axes, a, b, c)


cdef bint is_mask(mask, const uint8_t **data, npy_intp batch, npy_intp time) noexcept:
    """Whether it is None, or an array of dense booleans of this shape, and where they lie."""
    data[0] = NULL
    if mask is None:
        return True
    if kind_of(mask) != NPY_BOOL or not PyArray_ISCARRAY_RO(<ndarray>mask) or PyArray_NDIM(<ndarray>mask) != 2:
        return False
    data[0] = <const uint8_t *>PyArray_DATA(<ndarray>mask)
    return PyArray_DIMS(<ndarray>mask)[0] == batch and PyArray_DIMS(<ndarray>mask)[1] == time


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
        is_shaped(x, bits, &px, 3, batch, time, features)
        and is_shaped(h0, bits, &ph0, 2, batch, units) and is_shaped(c0, bits, &pc0, 2, batch, units)
        and is_shaped(kernel, bits, &pkernel, 2, features, 4 * units)
        and is_shaped(recurrent, bits, &precurrent, 2, units, 4 * units)
        and is_shaped(bias, bits, &pbias, 1, 4 * units) and is_mask(mask, &pmask, batch, time)
    ):
        return None
    cdef ndarray y = reals(bits, 3, batch, time, units)
    cdef ndarray h = like(h0)
    cdef ndarray c = like(c0)
    cdef ndarray gates = reals(bits, 3, time, batch, 4 * units) if keep else None
    cdef ndarray h_before = reals(bits, 3, time, batch, units) if keep else None
    cdef ndarray c_before = reals(bits, 3, time, batch, units) if keep else None
    cdef void *pgates = PyArray_DATA(gates) if keep else NULL
    cdef void *ph_before = PyArray_DATA(h_before) if keep else NULL
    cdef void *pc_before = PyArray_DATA(c_before) if keep else NULL
    with nogil:
        status = kernel_lstm_forward(
            bits, batch, time, features, units, px, ph0, pc0, pkernel, precurrent, pbias, pmask, reverse,
            PyArray_DATA(y), PyArray_DATA(h), PyArray_DATA(c), pgates, ph_before, pc_before)
    check(status)
    return y, h, c, (gates, h_before, c_before) if keep else None


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
        is_absent_or_shaped(dy, bits, &pdy, 3, batch, time, units)
        and is_absent_or_shaped(dh, bits, &pdh, 2, batch, units)
        and is_absent_or_shaped(dc, bits, &pdc, 2, batch, units)
        and is_shaped(x, bits, &px, 3, batch, time, features)
        and is_shaped(h0, bits, &unread, 2, batch, units) and is_shaped(c0, bits, &unread, 2, batch, units)
        and is_shaped(kernel, bits, &pkernel, 2, features, 4 * units)
        and is_shaped(recurrent, bits, &precurrent, 2, units, 4 * units)
        and is_shaped(bias, bits, &unread, 1, 4 * units) and is_mask(mask, &pmask, batch, time)
        and is_shaped(gates, bits, &pgates, 3, time, batch, 4 * units)
        and is_shaped(h_before, bits, &ph_before, 3, time, batch, units)
        and is_shaped(c_before, bits, &pc_before, 3, time, batch, units)
    ):
        return None
    cdef ndarray dx = like(x)
    cdef ndarray dh0 = like(h0)
    cdef ndarray dc0 = like(c0)
    cdef ndarray dkernel = like(kernel)
    cdef ndarray drecurrent = like(recurrent)
    cdef ndarray dbias = like(bias)
    with nogil:
        status = kernel_lstm_backward(
            bits, batch, time, features, units, pdy, pdh, pdc, px, pkernel, precurrent, pmask, reverse,
            pgates, ph_before, pc_before, PyArray_DATA(dx), PyArray_DATA(dh0), PyArray_DATA(dc0),
            PyArray_DATA(dkernel), PyArray_DATA(drecurrent), PyArray_DATA(dbias))
    check(status)
    return dx, dh0, dc0, dkernel, drecurrent, dbias


# ---- optimizer steps ----------------------------------------------------------------------


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
