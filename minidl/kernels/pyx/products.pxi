# Products of matrices and of stacks of them, and dense layers.


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


cdef int multiply_matrices(int bits, Matrix a, Matrix b, ndarray c, const void *row=NULL) except -1:
    """c = a b, or where there is a row a b plus this row."""
    cdef Py_ssize_t length = b.columns * bits // 8, i
    cdef char *pc = <char *>PyArray_DATA(c)
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
    multiply_matrices(bits, ma, mb, c)
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
    multiply_matrices(bits, mx, mw, y, row)
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
        multiply_matrices(bits, mdy, transposed(mw), dx)
    if needs[1]:
        dw = reals(bits, 2, mw.rows, mw.columns)
        multiply_matrices(bits, transposed(mx), mdy, dw)
    if needs[2]:
        db = reals(bits, 1, mdy.columns)
        multiply_matrices(bits, row_of_ones(bits, mdy.rows), mdy, db)
    return dx, dw, db
