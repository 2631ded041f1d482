"""As much of CuPy as minidl/kernels/cuda.py uses, on the processor: its launches, layouts and checks run without a GPU.

`installed()` puts it in CuPy's place. Kernels are compiled by tests/cuda_on_cpu.py and run on the memory of its arrays,
which are strict where a GPU would be: NumPy cannot read them and they cannot be mixed with NumPy's; a kernel gets only
dense ones; new memory holds NaN, and a kernel that writes beside an array is found out after its launch. float32
kernels run with denormal numbers flushed, as CuPy compiles them, where the processor can do that. `waited` lists what
the processor would have waited for the GPU for, `asked` the questions to the driver. What is captured for a graph is
done, and nothing else, each time the graph is launched.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import inspect
import math
import platform
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import cuda_on_cpu
import numpy as np

from minidl.kernels import _cuda, _cuda_blas, _cuda_lstm

GUARD = 512  # bytes before and behind an array; CuPy's arrays begin at multiples of as many
REFUSED = "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct one."

reverse = False  # run blocks, warps and lanes in the opposite order
launched: list[str] = []  # the names of the kernels, in order
waited: list[str] = []  # numbers that came back, and what CuPy waits for inside
asked: list[str] = []


class PooledMemory:
    """Bytes that are all ones, which is NaN or −1, between two guards."""

    def __init__(self, size: int) -> None:
        room = np.full(size + 3 * GUARD, 0xFF, np.uint8)
        begin = -room.ctypes.data % GUARD + GUARD
        self.bytes = room[begin : begin + size]
        self.ptr = self.bytes.ctypes.data
        self._guards = room[begin - GUARD : begin], room[begin + size : begin + size + GUARD]
        for guard in self._guards:
            guard[:] = 0xA5

    def intact(self) -> bool:
        return all((guard == 0xA5).all() for guard in self._guards)


class UnownedMemory(PooledMemory):
    """Somebody else's."""

    def __init__(self, ptr: int) -> None:
        super().__init__(0)
        self.ptr = ptr


# Of the device's arrays, as of NumPy's: what they return lives on the device. With the names that CuPy takes.
METHODS = {
    "all": "axis out keepdims", "any": "axis out keepdims", "argmax": "axis out dtype keepdims",
    "argmin": "axis out dtype keepdims", "astype": "dtype order copy", "clip": "min max out", "copy": "order",
    "max": "axis out keepdims", "min": "axis out keepdims", "prod": "axis dtype out keepdims", "ravel": "order",
    "reshape": "order copy", "squeeze": "axis", "sum": "axis dtype out keepdims", "swapaxes": "axis1 axis2",
    "transpose": "", "view": "dtype type",
}  # fmt: skip


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # noqa: N801
    """An array of the device: what NumPy's array does, on arrays of its own kind alone."""

    __module__ = "cupy"

    def __init__(self, array: Any, memory: PooledMemory, base: ndarray | None = None) -> None:
        self._host, self._block, self.base = array, memory, base

    @property
    def flags(self) -> SimpleNamespace:  # CuPy has these and no others
        of = self._host.flags
        return SimpleNamespace(c_contiguous=of.c_contiguous, f_contiguous=of.f_contiguous, owndata=of.owndata)

    def __getattr__(self, name: str) -> Any:
        if name in {"shape", "dtype", "ndim", "size", "itemsize", "nbytes", "strides"}:
            return getattr(self._host, name)
        if name in {"item", "tolist"}:
            return getattr(self._came_back(name), name)
        if name == "T":
            return self.transpose()
        if name in METHODS:
            return functools.partial(self._call, name)
        raise AttributeError(f"CuPy's stand-in has no ndarray.{name}; add it if CuPy's ndarray does")

    def _call(self, name: str, *arguments: Any, **options: Any) -> ndarray:
        if unknown := options.keys() - METHODS[name].split():
            raise TypeError(f"{name}() got an unexpected keyword argument {min(unknown)!r}")
        if name == "clip" and not any(bound is not None for bound in (*arguments, *options.values())):
            raise ValueError("array_clip: must set either max or min")
        method = getattr(self._host, name)
        return self._made(lambda: method(*map(_bare, arguments), **options))

    def _made(self, compute: Callable[[], Any]) -> ndarray:
        return _made(compute, lambda result: self if result is self._host else _wrap(result, self))

    @property
    def data(self) -> SimpleNamespace:
        return SimpleNamespace(ptr=self._host.ctypes.data, mem=self._block)

    def __getitem__(self, index: Any) -> ndarray:
        return self._made(lambda: self._host[self._wrapped_around(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        number = isinstance(value, np.ndarray) and value.ndim == 0
        bare = value if number else _bare(value)
        if _capturing:
            self._wrapped_around(index)  # a mask is counted now, which a graph cannot
        _done(lambda: self._host.__setitem__(self._wrapped_around(index), bare))

    def _wrapped_around(self, index: Any) -> Any:
        """CuPy takes arrays of indices modulo the length of their axes, where NumPy refuses those outside."""
        parts = index if isinstance(index, tuple) else (index,)
        bare = [np.asarray(k, None if k else int) if isinstance(k, list) else _as_integers(_bare(k)) for k in parts]
        if not any(k is Ellipsis for k in bare):
            bare.append(Ellipsis)  # which also makes a view of a single number
        dots = next(i for i, k in enumerate(bare) if k is Ellipsis)
        taken = [k.ndim if _is_mask(k) else k is not None and k is not Ellipsis for k in bare]
        for i, k in enumerate(bare):
            axis = sum(taken[:i]) if i < dots else self.ndim - sum(taken[i:])
            if _is_mask(k):
                _wait(f"count of {list(k.shape)}")  # of the places where it is true
            elif isinstance(k, np.ndarray) and k.dtype.kind in "iu" and axis < self.ndim:
                bare[i] = k % max(self.shape[axis], 1)
        return tuple(bare)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._came_back("bool"))

    def __int__(self) -> int:
        return int(self._came_back("int"))

    def __float__(self) -> float:
        return float(self._came_back("float"))

    def get(self) -> Any:
        return self._came_back("get").copy()

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, spec: str) -> str:
        return format(self.get(), spec)

    def _came_back(self, how: str) -> Any:
        _wait(f"{how} of {self.dtype}{list(self.shape)}")
        return self._host

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(REFUSED)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if method == "__call__" and options.keys() - {"dtype", "casting"}:
            raise TypeError(f"Wrong arguments {options}")
        operands = [_operand(x, ufunc) for x in inputs]
        if any(x is NotImplemented for x in operands):
            return NotImplemented
        if ufunc.__name__ in OF_FLOATS and np.result_type(*operands).kind == "f":
            return _made(lambda: OF_FLOATS[ufunc.__name__](*operands))
        if out is None:
            return _made(lambda: getattr(ufunc, method)(*operands, **options))
        _done(lambda: getattr(ufunc, method)(*operands, out=tuple(map(_bare, out)), **options))
        return out[0]

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        if function.__name__ not in FUNCTIONS:
            raise AttributeError(f"CuPy's stand-in has no {function.__name__}; add it with CuPy's own signature")
        wants_arrays, signature = FUNCTIONS[function.__name__]
        given = signature.bind(*arguments, **options).arguments
        for name in wants_arrays & given.keys():
            arrays = given[name] if name == "tup" else [given[name]]
            if not all(isinstance(x, ndarray) for x in arrays):
                raise TypeError(f"{function.__name__}: {name} must be arrays of CuPy, got {type(given[name])}")
        if function.__name__ in WAITING:
            _wait(function.__name__)
        if function is np.concatenate:
            _refuse_as_cupy(given["tup"], given.get("axis", 0))
        if function is np.may_share_memory and given["a"]._block.ptr != given["b"]._block.ptr:
            return False  # although both may be lent by one library
        bare, named = tuple(map(_bare, arguments)), {name: _bare(value) for name, value in options.items()}
        return _made(lambda: function(*bare, **named), _all_wrapped)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self._host.__array_interface__, "version": 3}

    def __dlpack__(self, **options: Any) -> Any:
        return self._host.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


def _signature(text: str) -> tuple[set[str], inspect.Signature]:
    """Which arguments are arrays (with a star), and all of them by name."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = [name.removeprefix("*") for name in text.split()]
    parameters = [inspect.Parameter(n, kind, default=None) for n in names]
    return {name[1:] for name in text.split() if name[0] == "*"}, inspect.Signature(parameters)


def _refuse_as_cupy(arrays: Sequence[ndarray], axis: int) -> None:
    """In CuPy's words, so that no test takes those of NumPy for minidl's."""
    ndim = arrays[0].ndim
    if _capturing and len(arrays) > 8:
        raise RuntimeError("the current stream is capturing, so H2D transfers are disallowed")  # of a table of them
    if not ndim:
        raise TypeError("zero-dimensional arrays cannot be concatenated")
    if any(x.ndim != ndim for x in arrays):
        raise ValueError("All arrays to concatenate must have the same ndim")
    if -ndim <= axis < ndim and len({tuple(np.delete(x.shape, axis)) for x in arrays}) > 1:
        raise ValueError("All arrays must have same shape except the axis to concatenate")


# What CuPy's functions of these names take, which is less than NumPy's do.
FUNCTIONS = {name: _signature(text) for name, text in {
    "allclose": "*a *b rtol atol equal_nan", "arange": "start stop step dtype", "argsort": "*a axis kind",
    "argwhere": "*a",
    "array_equal": "*a1 *a2 equal_nan", "broadcast_to": "*array shape", "clip": "*a a_min a_max out",
    "concatenate": "*tup axis out dtype casting", "cumsum": "*a axis dtype out",
    "empty_like": "*prototype dtype order subok shape",
    "full_like": "*a fill_value dtype order subok shape", "isin": "*element *test_elements assume_unique invert",
    "may_share_memory": "*a *b max_work", "nonzero": "*a", "ones_like": "*a dtype order subok shape",
    "result_type": "a b", "round": "*a decimals out", "shape": "*a", "shares_memory": "*a *b max_work",
    "tri": "N M k dtype", "where": "*condition x y", "zeros_like": "*a dtype order subok shape",
}.items()}  # fmt: skip
WAITING = {"argwhere", "nonzero", "shares_memory"}  # for a count or a number, inside


def _is_mask(key: Any) -> bool:
    return isinstance(key, np.ndarray) and key.dtype == np.bool_


def _as_integers(k: Any) -> Any:
    """CuPy makes integers of an index and of the bounds of a slice, where NumPy refuses what is none."""
    if isinstance(k, slice):
        return slice(*(None if bound is None else int(bound) for bound in (k.start, k.stop, k.step)))
    return int(k) if isinstance(k, (float, str)) else k


def _operand(value: Any, ufunc: Any) -> Any:
    """As CuPy takes the operands of a function of elements: its arrays, what has memory on the GPU, and numbers."""
    if isinstance(value, np.ndarray) and value.ndim == 0 and ufunc.__name__ in COMPARISONS:
        return value.item()
    if isinstance(value, (ndarray, np.ndarray, bool, int, float, complex, np.generic)):
        return _bare(value)
    return asarray(value)._host if hasattr(value, "__cuda_array_interface__") else NotImplemented


# What CuPy computes in another way than NumPy.
OF_FLOATS = {"floor_divide": lambda a, b: np.floor(a / b), "remainder": lambda a, b: a - np.floor(a / b) * b}
COMPARISONS = {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}


def _bare(value: Any) -> Any:
    """NumPy's array of one of the device's; NumPy's own are refused, as CuPy refuses them."""
    if isinstance(value, tuple):
        return tuple(map(_bare, value))
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return value._host if isinstance(value, ndarray) else value


def _wrap(array: Any, base: ndarray | None = None) -> ndarray:
    """A view of the base as it is; anything else in memory of the device."""
    if base is not None and isinstance(array, np.ndarray) and np.may_share_memory(array, base._host):
        return ndarray(array, base._block, base)
    made = empty(np.shape(array), np.asarray(array).dtype)
    made._host[...] = array
    return made


def _made(compute: Callable[[], Any], wrapped: Callable[[Any], Any] = lambda result: _wrap(result)) -> Any:
    """What NumPy computes, on the device; while a graph is captured it is noted how it is computed again."""
    with np.errstate(**({"all": "ignore"} if _capturing else {})):  # of what is not there yet
        made = wrapped(compute())
    if _capturing:
        _capturing[-1].steps.append(lambda: _refill(made, compute()))
    return made


def _refill(made: Any, values: Any) -> None:
    for array, value in zip(made, values, strict=True) if isinstance(made, (list, tuple)) else [(made, values)]:
        if isinstance(array, ndarray) and not np.may_share_memory(array._host, value):  # a view follows by itself
            array._host[...] = value


def _done(action: Callable[[], Any]) -> None:
    """Do it; while a graph is captured only note it."""
    if _capturing:
        _capturing[-1].steps.append(action)
    else:
        action()


def _wait(reason: str) -> None:
    """The processor waits for the GPU, which CUDA refuses while a graph is captured."""
    if _capturing:
        raise RuntimeError(f"cudaErrorStreamCaptureUnsupported: {reason}")
    waited.append(reason)


def _all_wrapped(result: Any) -> Any:
    """The arrays among the results of a function, on the device; a dtype or a shape as it is."""
    if isinstance(result, (list, tuple)):
        return type(result)(map(_all_wrapped, result))
    return _wrap(result) if isinstance(result, (np.ndarray, np.generic)) else result


# ---- CuPy's functions --------------------------------------------------------------------


def empty(shape: int | Sequence[int], dtype: Any = float) -> ndarray:
    shape, dtype = (shape,) if isinstance(shape, int) else tuple(shape), np.dtype(dtype)
    memory = PooledMemory(math.prod(shape) * dtype.itemsize)
    if _capturing:
        _capturing[-1].memories.append(memory)
    return ndarray(memory.bytes.view(dtype).reshape(shape), memory)


def zeros(shape: int | Sequence[int], dtype: Any = float) -> ndarray:
    made = empty(shape, dtype)
    made[...] = 0
    return made


def full(shape: int | Sequence[int], fill_value: Any, dtype: Any = None) -> ndarray:
    made = empty(shape, dtype)
    made[...] = fill_value
    return made


def asarray(array: Any, dtype: Any = None) -> ndarray:
    """NumPy's arrays are copied, in Fortran's order if that is theirs."""
    if isinstance(array, ndarray):
        return array if dtype in (None, array.dtype) else array.astype(dtype)
    if hasattr(array, "__cuda_array_interface__"):
        lent = SimpleNamespace(__array_interface__=array.__cuda_array_interface__, owner=array)
        return _over(np.asarray(lent))
    assert not _capturing, "CuPy copies by way of memory that it uses for something else then"
    array = np.asarray(array, dtype)
    if array.flags.fnc:
        return asarray(array.T).transpose()
    return _wrap(array)


def from_dlpack(array: Any) -> ndarray:
    """Another library's array on the GPU, over the same memory."""
    assert array.__dlpack_device__()[0] == 2, "CuPy takes arrays of CUDA alone"
    lent = SimpleNamespace(__dlpack__=array.__dlpack__, __dlpack_device__=lambda: (1, 0))
    return _over(np.from_dlpack(lent))


def _over(array: Any) -> ndarray:
    return ndarray(array, UnownedMemory(array.ctypes.data))


def broadcast_to(array: ndarray, shape: Sequence[int]) -> ndarray:
    return _wrap(np.broadcast_to(_bare(array), shape), array)


def _of_elements(ufunc: Any) -> Callable[..., ndarray]:
    """Which on a GPU warns of no result."""

    def function(*operands: ndarray | float) -> ndarray:
        with np.errstate(all="ignore"):
            return _made(lambda: ufunc(*map(_bare, operands)))

    return function


divide, maximum, minimum = map(_of_elements, (np.divide, np.maximum, np.minimum))
log, sqrt, absolute = map(_of_elements, (np.log, np.sqrt, np.absolute))


def matmul(a: ndarray, b: ndarray) -> ndarray:
    if _capturing:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
    return _wrap(np.matmul(_bare(a), _bare(b)))


# ---- cuBLAS ------------------------------------------------------------------------------


def _gemm(
    handle: Any, a_form: int, b_form: int, m: Any, n: Any, k: Any, alpha: Any, a: Any, a_type: int, a_step: Any, b: Any,
    b_type: int, b_step: Any, beta: Any, c: Any, c_type: int, c_step: Any, compute: int, algorithm: int,
) -> int:  # fmt: skip
    """c = α a b + β c, each down its columns, which are `step` apart; with form 1 that of the transposed matrix."""
    assert a_type == b_type == c_type and compute == (68, 70)[a_type] and algorithm == -1
    assert (alpha._obj.value, beta._obj.value) == (1, 0) and type(alpha._obj) is (ctypes.c_float, ctypes.c_double)[
        a_type
    ]

    def columns(place: Any, step: Any, rows: int, columns: int) -> Any:
        size = 8 if a_type else 4
        assert step >= rows
        memory = (ctypes.c_char * (((columns - 1) * step + rows) * size)).from_address(place)
        return np.ndarray((rows, columns), f"f{size}", memory, strides=(size, step * size))

    first = columns(a, a_step, k, m).T if a_form else columns(a, a_step, m, k)
    second = columns(b, b_step, n, k).T if b_form else columns(b, b_step, k, n)
    result = columns(c, c_step, m, n)
    _done(lambda: result.__setitem__(..., first @ second))
    return 0


def _create(handle: Any) -> int:
    handle._obj.value = 1
    return 0


cublas = SimpleNamespace(
    cublasCreate_v2=_create,
    cublasDestroy_v2=lambda handle: 0,
    cublasSetStream_v2=lambda handle, stream: 0,
    cublasSetWorkspace_v2=lambda handle, place, size: 0,
    cublasGemmEx_64=_gemm,
)


# ---- streams and graphs ------------------------------------------------------------------


class Graph:
    """What was captured: what is done again, in what memory."""

    def __init__(self) -> None:
        self.steps: list[Callable[[], Any]] = []
        self.memories: list[PooledMemory] = []

    def launch(self) -> None:
        launched.append("graph")
        for step in self.steps:
            step()


_capturing: list[Graph] = []


class Stream:
    def __init__(self, ptr: int = 0, non_blocking: bool = False) -> None:
        self.ptr = ptr or (id(self) if non_blocking else 0)

    def __enter__(self) -> Stream:
        _streams.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _streams.pop()

    def synchronize(self) -> None:
        _wait("synchronize")

    def begin_capture(self) -> None:
        assert self.ptr, "CUDA captures no default stream"
        _capturing.append(Graph())

    def end_capture(self) -> Graph:
        """Nothing was done yet, so nothing is there, not even what NumPy had to make to know its shape."""
        graph = _capturing.pop()
        for memory in graph.memories:
            memory.bytes[:] = 0xFF
        return graph


_streams = [Stream()]


# ---- the GPU -----------------------------------------------------------------------------


@dataclass
class GPU:
    """What the tests may change: as an H100, but for the tests that say otherwise."""

    compute_capability: int = 90
    processors: int = 132
    shared: int = 227 << 10

    @property
    def id(self) -> int:
        return hash((self.compute_capability, self.processors, self.shared))


gpu = GPU()


class Device:
    """The GPU that it is while it is looked at."""

    def __init__(self, number: int = 0) -> None:
        self.id = gpu.id
        self.compute_capability = str(gpu.compute_capability)
        self.attributes = {"MultiProcessorCount": gpu.processors, "MaxSharedMemoryPerBlockOptin": gpu.shared}

    def synchronize(self) -> None:
        """All that was launched is done."""
        _wait("synchronize")


def get_default_memory_pool() -> Any:
    return SimpleNamespace(used_bytes=lambda: 70 << 30, free_bytes=lambda: 2 << 30, free_all_blocks=lambda: None)


def _driver_says(question: str, answer: int) -> Callable[[], int]:
    def ask() -> int:
        asked.append(question)
        return answer

    return ask


cuda = SimpleNamespace(
    Device=Device,
    Stream=Stream,
    get_current_stream=lambda: _streams[-1],
    Event=lambda block, disable_timing: SimpleNamespace(record=lambda: None, synchronize=lambda: _wait("event")),
    memory=SimpleNamespace(PooledMemory=PooledMemory),
    MemoryPool=lambda: SimpleNamespace(malloc=None, total_bytes=lambda: 3 << 30),
    using_allocator=lambda malloc: contextlib.nullcontext(),
    alloc=lambda size: SimpleNamespace(ptr=0),
    alloc_pinned_memory=bytearray,
    runtime=SimpleNamespace(
        getDevice=lambda: gpu.id,
        deviceSynchronize=lambda: None,
        memcpyAsync=lambda to, of, size, kind, stream: _done(lambda: ctypes.memmove(to, of, size)),
        driverGetVersion=_driver_says("driverGetVersion", 13000),
        getDeviceCount=_driver_says("getDeviceCount", 1),
        memGetInfo=lambda: (1 << 30, 80 << 30),
        CUDARuntimeError=type("CUDARuntimeError", (RuntimeError,), {}),
    ),
    nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
)

# ---- kernels -----------------------------------------------------------------------------

# Denormal numbers count as 0 and none are made. -ftz does that to float32 alone.
_FLUSH = """
extern "C" void flush_denormals(bool on) {
    const unsigned state = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(on ? state | 0x8040 : state & ~0x8040u);
}
"""
FLUSHES = platform.machine() in ("x86_64", "AMD64")


class RawModule:
    def __init__(self, *, code: str, options: tuple[str, ...] = (), backend: str = "nvrtc") -> None:
        self._flushing = FLUSHES and code.startswith("#define REAL float\n")
        self._kernels = cuda_on_cpu.build_text(code + _FLUSH * FLUSHES, [], gpu.compute_capability * 10)

    def get_function(self, name: str) -> RawKernel:
        if name not in self._kernels.names:
            raise KeyError(f"{name}: there is {', '.join(self._kernels.names)}")
        return RawKernel(self, name)


class RawKernel:
    """Called as CuPy's, or by `kernel` with its launches' options."""

    def __init__(self, module: RawModule, name: str) -> None:
        self._module, self._name = module, name
        self._dynamic_shared: dict[int, int] = {}

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """Of the kernel as it is loaded on the GPU in use, as CuPy has it."""
        return self._dynamic_shared.get(gpu.id, 48 << 10)

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        self._dynamic_shared[gpu.id] = size

    @property
    def kernel(self) -> Any:
        return functools.partial(self._launch)

    def __call__(self, grid: Any, block: Any, arguments: Sequence[Any], *, shared_mem: int = 0) -> None:
        self._launch(grid, block, arguments, shared_mem)

    def _launch(
        self,
        grid: Any,
        block: Any,
        arguments: Sequence[Any],
        shared_mem: int = 0,
        enable_cooperative_groups: bool = False,
    ) -> None:
        name, arrays = self._name, [a for a in arguments if isinstance(a, ndarray)]
        for array in arrays:
            assert array.flags.c_contiguous, f"{name} got a strided array"
        assert shared_mem <= self.max_dynamic_shared_size_bytes <= gpu.shared, (
            f"{name} did not ask for its shared memory"
        )
        if enable_cooperative_groups and grid[0] > gpu.processors:
            message = "The grid size will be reduced from {} to {}, as the specified grid size exceeds the limit."
            warnings.warn(message.format(grid[0], gpu.processors), stacklevel=1)  # an error to all tests but one
            grid = (gpu.processors,)
        bare = [a._host if isinstance(a, ndarray) else a for a in arguments]
        options = {"shared": shared_mem, "cooperative": enable_cooperative_groups, "reverse": reverse}
        launched.append(name)
        _done(lambda: self._run(name, grid, block, bare, options))
        for array in arrays:
            assert array._block.intact(), f"{name} wrote beside an array of shape {array.shape}"

    def _run(self, name: str, grid: Any, block: Any, bare: list[Any], options: dict[str, Any]) -> None:
        with self._flushed("float32" in name or self._module._flushing):
            self._module._kernels.launch(name, grid, block, bare, **options)

    @contextlib.contextmanager
    def _flushed(self, on: bool) -> Iterator[None]:
        if not (on and FLUSHES):
            yield
            return
        flush = self._module._kernels._library.flush_denormals
        flush(ctypes.c_bool(True))
        try:
            yield
        finally:
            flush(ctypes.c_bool(False))


# ---- in CuPy's place ---------------------------------------------------------------------


@contextlib.contextmanager
def installed() -> Iterator[ModuleType]:
    """`import cupy` gives this module; the kernels that cuda.py has loaded from the other one are put aside."""
    before, library = sys.modules.get("cupy"), _cuda_blas._library
    _forget_kernels()
    _cuda_blas._library = lambda: cublas
    sys.modules["cupy"] = sys.modules[__name__]
    try:
        yield sys.modules[__name__]
    finally:
        _cuda_blas._library = library
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before
        _forget_kernels()


def _forget_kernels() -> None:
    _cuda._kernel.cache_clear()
    _cuda._library.cache_clear()
    _cuda_lstm._gpu_by_number.cache_clear()
    _cuda_lstm.Form.of.cache_clear()
    _cuda_blas.Handle._of_streams.clear()
