# cython: language_level=3
"""The C kernels as Python functions of arrays: memory addresses, the GIL released, errors raised.

`minidl.kernels.cpu` calls them. What could crash the process is checked here: each array is dense,
for some kernels in any order of its axes, native, aligned, of the type and the number of items that
C will assume. For one that is not, a function returns None. The caller then finds out with patience
what is wrong with it, and if nothing is, comes again with a copy.
"""

from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_CheckExact
from libc.math cimport isinf
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy
from numpy cimport (
    NPY_ARRAY_UPDATE_ALL, NPY_BOOL, NPY_DOUBLE, NPY_FLOAT, NPY_INT, NPY_LONG, NPY_LONGLONG, NPY_UINT, NPY_ULONG,
    PyArray_CheckExact, PyArray_DATA, PyArray_DIMS, PyArray_ISALIGNED, PyArray_ISCARRAY_RO, PyArray_ISNOTSWAPPED,
    PyArray_ISWRITEABLE, PyArray_ITEMSIZE, PyArray_NBYTES, PyArray_NDIM, PyArray_SAMESHAPE, PyArray_SIZE,
    PyArray_SimpleNew, PyArray_SimpleNewFromData, PyArray_STRIDES, PyArray_TYPE, PyArray_UpdateFlags, import_array,
    ndarray, npy_intp, set_array_base,
)

from numpy import empty as numpy_empty, geterr as numpy_geterr

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
    enum:
        ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM
        RAISED_WARNING, RAISED_UNDERFLOW

    int kernel_exp(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_tanh(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_tanh_backward(
        int bits, Py_ssize_t n, const void *dy, Py_ssize_t dy_step, const void *y, void *dx)
    int kernel_sigmoid(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_sigmoid_backward(
        int bits, Py_ssize_t n, const void *dy, Py_ssize_t dy_step, const void *y, void *dx)
    int kernel_erf(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_log(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_sqrt(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_absolute(int bits, Py_ssize_t n, const void *x, void *y)
    int kernel_clip(int bits, Py_ssize_t n, const void *x, double low, double high, void *y)
    int kernel_activation_forward(
        int bits, Py_ssize_t n, int which, double alpha, double scale, const void *x, void *y)
    int kernel_activation_backward(
        int bits, Py_ssize_t n, int which, double alpha, double scale, const void *dy, Py_ssize_t dy_step,
        const void *x, void *dx)
    int kernel_arithmetic(
        int bits, int which, const Py_ssize_t *sizes, const void *a, const Py_ssize_t *a_steps, const void *b,
        const Py_ssize_t *b_steps, void *y, int *raised)
    int kernel_copy(int bits, int axes, const Py_ssize_t *sizes, const Py_ssize_t *steps, const void *x, void *y)
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
    int kernel_extreme_forward(
        int bits, Py_ssize_t batch, Py_ssize_t n, Py_ssize_t columns, int largest, const void *x, void *y)
    int kernel_extreme_backward(
        int bits, Py_ssize_t batch, Py_ssize_t n, Py_ssize_t columns, const void *dy, const void *x, const void *y,
        void *dx)
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


# ---- the kernels --------------------------------------------------------------------------

include "pyx/arrays.pxi"
include "pyx/elementary.pxi"
include "pyx/arithmetic.pxi"
include "pyx/products.pxi"
include "pyx/rows.pxi"
include "pyx/layers.pxi"
include "pyx/steps.pxi"
