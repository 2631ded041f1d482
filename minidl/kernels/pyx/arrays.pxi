# New arrays, and looking at the ones that are given: dense, native, aligned, of which type and how large.

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


cdef inline npy_intp apart_along(ndarray x, int axis) noexcept:
    """From one number to the next; where there is none the stride says nothing, and the axis may as well be the first."""
    return PyArray_STRIDES(x)[axis] if PyArray_DIMS(x)[axis] != 1 else PY_SSIZE_T_MAX


cdef const int *order_of(ndarray x, int *order) noexcept:
    """The axes of a packed array from the one whose numbers are farthest apart in memory to the one that is dense."""
    cdef int axis, place
    order[0] = 0
    for axis in range(1, PyArray_NDIM(x)):
        place = axis
        while place > 0 and apart_along(x, order[place - 1]) < apart_along(x, axis):
            order[place] = order[place - 1]
            place -= 1
        order[place] = axis
    return order


cdef void lay_out(ndarray y, const int *order) noexcept:
    """Let the axes of a new array lie in memory in this order."""
    cdef npy_intp apart = PyArray_ITEMSIZE(y)
    cdef int place
    for place in range(PyArray_NDIM(y) - 1, -1, -1):
        PyArray_STRIDES(y)[order[place]] = apart
        apart *= PyArray_DIMS(y)[order[place]]
    PyArray_UpdateFlags(y, NPY_ARRAY_UPDATE_ALL)


cdef inline ndarray like_in(int kind, int itemsize, ndarray x):
    """A new array of a type, in the shape and the layout of a packed one."""
    cdef int[MOST_AXES] order
    cdef ndarray y = new(kind, PyArray_NDIM(x), PyArray_DIMS(x), itemsize)
    if not PyArray_ISCARRAY_RO(x):
        lay_out(y, order_of(x, order))
    return y


cdef inline ndarray like(ndarray x):
    return like_in(PyArray_TYPE(x), PyArray_ITEMSIZE(x), x)


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


cdef inline bint is_packed(ndarray x) noexcept:
    """Whether an array is dense in C order, or once its axes are in another order, as a transposed one is."""
    return PyArray_ISCARRAY_RO(x) or is_turned(x)


cdef bint is_turned(ndarray x) noexcept:
    """Whether it is dense in another order than C's, and its rows are not."""
    cdef npy_intp apart = PyArray_ITEMSIZE(x)
    cdef int axes = PyArray_NDIM(x), left = 0, axis
    for axis in range(axes - 1, -1, -1):
        if PyArray_DIMS(x)[axis] != 1:
            if left == 0 and PyArray_STRIDES(x)[axis] == apart:
                return False  # rows are dense: to copy them costs little, and what works on rows would want it done
            left += 1
    while left > 0:
        for axis in range(axes):
            if PyArray_DIMS(x)[axis] != 1 and PyArray_STRIDES(x)[axis] == apart:
                break
        else:
            return False
        apart *= PyArray_DIMS(x)[axis]
        left -= 1
    return PyArray_ISALIGNED(x)


cdef inline int packed(array, const void **data, Py_ssize_t *n) noexcept:
    """Look at a packed array as dense() does at a dense one."""
    cdef int bits = bits_of(array)
    data[0] = NULL
    n[0] = 0
    if bits == 0 or not is_packed(<ndarray>array):
        return 0
    data[0] = PyArray_DATA(<ndarray>array)
    n[0] = PyArray_SIZE(<ndarray>array)
    return bits


cdef inline bint alike(a, b) noexcept:
    """Whether two plain arrays have one shape."""
    return PyArray_SAMESHAPE(<ndarray>a, <ndarray>b)


cdef bint in_step(ndarray a, ndarray b) noexcept:
    """Whether two packed arrays of one shape have one layout."""
    cdef int axis
    if PyArray_ISCARRAY_RO(a) and PyArray_ISCARRAY_RO(b):
        return True
    for axis in range(PyArray_NDIM(a)):
        if (PyArray_DIMS(a)[axis] != 1
                and PyArray_STRIDES(a)[axis] * PyArray_ITEMSIZE(b) != PyArray_STRIDES(b)[axis] * PyArray_ITEMSIZE(a)):
            return False
    return True


cdef inline bint leads(a, b) noexcept:
    """Whether a plain array has the shape of another one without its last axis."""
    cdef int axes = PyArray_NDIM(<ndarray>a), axis
    if axes != PyArray_NDIM(<ndarray>b) - 1:
        return False
    for axis in range(axes):
        if PyArray_DIMS(<ndarray>a)[axis] != PyArray_DIMS(<ndarray>b)[axis]:
            return False
    return True


def copy_in_c_order(array):
    """A dense copy of aligned reals whose strides are whole numbers; None of anything else."""
    cdef int bits = bits_of(array), axes, axis, status
    cdef Py_ssize_t[MOST_AXES] steps
    if bits == 0 or not PyArray_ISALIGNED(<ndarray>array):
        return None
    axes = PyArray_NDIM(<ndarray>array)
    for axis in range(axes):
        steps[axis] = PyArray_STRIDES(<ndarray>array)[axis] // (bits // 8)
        if steps[axis] * (bits // 8) != PyArray_STRIDES(<ndarray>array)[axis]:
            return None
    cdef ndarray y = new(PyArray_TYPE(<ndarray>array), axes, PyArray_DIMS(<ndarray>array), bits // 8)
    cdef const void *x = PyArray_DATA(<ndarray>array)
    with nogil:
        status = kernel_copy(bits, axes, <const Py_ssize_t *>PyArray_DIMS(y), steps, x, PyArray_DATA(y))
    check(status)
    return y


cdef made_dense(array):
    """The gradient of a loss as one array, which the mean of the losses has made a broadcast view of one number."""
    return array.copy() if PyArray_CheckExact(array) and not PyArray_ISCARRAY_RO(<ndarray>array) else array


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
