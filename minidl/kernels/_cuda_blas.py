"""Products of matrices by cuBLAS, called without CuPy's help.

CuPy's matmul takes the processor four times as long as the call itself, and refuses while work is recorded for a CUDA
graph (cupy#6290). The library is the one that CuPy brings.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from minidl.kernels._cuda import _dense, _empty

Array = Any

# cuBLAS' numbers for a type of elements, and for computing in it (cublas_api.h, library_types.h).
REAL_32, REAL_64 = 0, 1
COMPUTE_32, COMPUTE_32_FAST_TF32, COMPUTE_64 = 68, 77, 70
DEFAULT_ALGORITHM = -1
AS_IT_IS, TRANSPOSED = 0, 1
# The arguments of cublasGemmEx_64. With them ctypes takes Python's numbers, and need not be given its own.
INT, COUNT, PLACE = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
GEMM: Any = (PLACE, INT, INT, *[COUNT] * 3, PLACE, *[PLACE, INT, COUNT] * 2, PLACE, PLACE, INT, COUNT, INT, INT)
WORKSPACE = 32 << 20  # bytes; what cuBLAS takes by itself on the largest GPUs


def product(a: Array, b: Array) -> Array:
    """c = a b of matrices (M, K) and (K, N) of one type, in full precision unless CUPY_TF32=1."""
    c = _empty((len(a), b.shape[1]), a.dtype)
    if c.size and len(b):
        product_into(c, _laid_out(a), _laid_out(b))()
    else:
        c[...] = 0
    return c


def product_into(c: Array, a: Array, b: Array) -> Callable[[], None]:
    """Computes c = a b each time that it is called, of what is in their memory then.

    c is dense, a and b are so or transposed, and none of them is empty. A call takes the host a third of the time that
    it takes to get ready for it.
    """
    (m, k), n = a.shape, b.shape[1]
    kind, compute, one, zero = _types()[a.dtype.char]
    (a_form, a_step), (b_form, b_step) = _form(a), _form(b)
    # cuBLAS counts down columns: it sees cᵀ (N, M) = bᵀ aᵀ.
    handle = Handle.current()
    arguments = (
        handle.address, b_form, a_form, n, m, k, one, b.data.ptr, kind, b_step, a.data.ptr, kind, a_step, zero,
        c.data.ptr, kind, n, compute, DEFAULT_ALGORITHM,
    )  # fmt: skip

    def multiply(*alive: Array) -> None:
        _check("cublasGemmEx", handle.multiply(*arguments))

    return functools.partial(multiply, a, b, c)


@functools.cache
def rounds() -> bool:
    """Whether products round float32 to the 10 bits that the tensor cores multiply: CuPy's switch, read once."""
    return os.environ.get("CUPY_TF32") == "1"


def _laid_out(matrix: Array) -> Array:
    """The matrix where it is dense in the order of its rows or of its columns, else a copy."""
    return matrix if matrix.flags.f_contiguous else _dense(matrix)


def _form(matrix: Array) -> tuple[int, int]:
    """Whether the matrix lies in the order of its columns, and how far its rows or columns are apart."""
    if matrix.flags.c_contiguous:
        return AS_IT_IS, matrix.shape[1]
    assert matrix.flags.f_contiguous, f"a matrix of shape {matrix.shape} and strides {matrix.strides} is not dense"
    return TRANSPOSED, matrix.shape[0]


@functools.cache
def _types() -> dict[str, tuple[int, int, Any, Any]]:
    """For each type of elements: its number, that of the arithmetic, and where 1 and 0 stand in it."""
    single = COMPUTE_32_FAST_TF32 if rounds() else COMPUTE_32
    numbers_32, numbers_64 = (
        (ctypes.byref(real(1)), ctypes.byref(real(0))) for real in (ctypes.c_float, ctypes.c_double)
    )
    return {"f": (REAL_32, single, *numbers_32), "d": (REAL_64, COMPUTE_64, *numbers_64)}


class Handle:
    """cuBLAS on one stream of one GPU, with memory of its own, so that the same products give the same bits."""

    _of_streams: dict[tuple[int, int], Handle] = {}

    def __init__(self, stream: int) -> None:
        import cupy

        library = _library()
        self.multiply = library.cublasGemmEx_64
        self.address = ctypes.c_void_p()
        self._destroy = library.cublasDestroy_v2
        _check("cublasCreate", library.cublasCreate_v2(ctypes.byref(self.address)))
        _check("cublasSetStream", library.cublasSetStream_v2(self.address, ctypes.c_void_p(stream)))
        self._workspace = cupy.cuda.alloc(WORKSPACE)
        place, size = ctypes.c_void_p(self._workspace.ptr), ctypes.c_size_t(WORKSPACE)
        _check("cublasSetWorkspace", library.cublasSetWorkspace_v2(self.address, place, size))

    @classmethod
    def current(cls) -> Handle:
        """That of the stream in use."""
        import cupy

        key = cupy.cuda.runtime.getDevice(), cupy.cuda.get_current_stream().ptr
        if key not in cls._of_streams:
            cls._of_streams[key] = cls(key[1])
        return cls._of_streams[key]

    @classmethod
    def release(cls, stream: int) -> None:
        """Forget a stream that is about to go: the next one may have its address."""
        for key in [key for key in cls._of_streams if key[1] == stream]:
            del cls._of_streams[key]

    def __del__(self) -> None:
        if self.address and not sys.is_finalizing():  # then the driver may be gone already
            self._destroy(self.address)


@functools.cache
def _library() -> Any:
    """cuBLAS as CuPy has loaded it. Calls keep Python's lock: a handle serves one thread at a time."""
    import cupy

    cupy.cuda.device.get_cublas_handle()
    version = cupy.cuda.runtime.runtimeGetVersion() // 1000
    library = ctypes.PyDLL(f"cublas64_{version}.dll" if os.name == "nt" else f"libcublas.so.{version}")
    library.cublasGemmEx_64.argtypes = GEMM
    return library


def _check(call: str, status: int) -> None:
    if status:
        raise RuntimeError(f"{call} of cuBLAS failed with status {status} (cublasStatus_t in cublas_api.h)")
