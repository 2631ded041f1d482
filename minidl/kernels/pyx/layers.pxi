# Embedding, dropout and LSTM.

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
