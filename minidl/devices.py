"""Where arrays live: NumPy's in the memory of the processor, CuPy's in that of the GPU.

NumPy's functions go to CuPy by themselves where they are given an array of it (NEP 13 and NEP 18), so an op is
written once, in NumPy's words. Here is what those words do not say: where an array lives, how it gets elsewhere,
and how a new one is made beside another.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import kernels
from minidl.kernels import on_gpu

if TYPE_CHECKING:  # of work that the GPU is to do again; see __getattr__
    from minidl.kernels._cuda_graph import Recorder as Recorder
    from minidl.kernels._cuda_graph import Recording as Recording
    from minidl.kernels._cuda_graph import UnrecordableError as UnrecordableError

Array = Any

NAMES = ("cpu", "cuda")
DLPACK_CUDA = (2, 13)  # kDLCUDA and kDLCUDAManaged, what DLPack calls the memory of an NVIDIA GPU

Block = kernels.Block


def __getattr__(name: str) -> Any:
    """What is read when it is first asked for, as `kernels.cuda` is: most processes have no GPU."""
    if name in ("Recorder", "Recording", "UnrecordableError"):
        return getattr(kernels.cuda, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def current() -> str:
    """Where new tensors go: to "cuda" under use("cuda"), else to the "cpu"."""
    return "cuda" if kernels.active() == "cuda" else "cpu"


def is_array(x: Any) -> bool:
    """Whether it is an array of NumPy or of CuPy."""
    return isinstance(x, (np.ndarray, np.generic)) or on_gpu(x)


def is_array_type(kind: type) -> bool:
    """Whether it is the type of CuPy's arrays."""
    return kind.__module__.partition(".")[0] == "cupy"


def of(array: Array) -> str:
    """The name of the device that the array lives on."""
    return "cuda" if on_gpu(array) else "cpu"


def known(name: Any) -> str:
    """The name of a device, refused if it is none."""
    if name not in NAMES:
        raise ValueError(f"unknown device {name!r}: expected 'cpu', or 'cuda' for the GPU")
    return name


def checked(name: Any) -> str:
    """The name of a device, refused if it is none or not there: the driver is asked, which is too slow for every op."""
    if known(name) == "cuda":
        kernels.check_usable("cuda")
    return name


def place(array: Array, device: str) -> Array:
    """The array on the device: itself if it lives there, else a copy."""
    if device == "cuda":
        return array if on_gpu(array) else kernels.cuda.to_device(array)
    return to_host(array)


def send(array: Array, device: str) -> Array:
    """The array on the GPU if that is the device. Nothing comes back from there without being asked for."""
    return kernels.cuda.to_device(array) if device == "cuda" and not on_gpu(array) else array


def beside(array: Array, other: Array) -> Array:
    """The array on the GPU if the other one lives there."""
    return send(array, of(other))


def full(shape: tuple[int, ...], value: Any, beside: Array, dtype: Any = None) -> Array:
    """A new array of one value on the device of another one, of its type if no other is named."""
    dtype = beside.dtype if dtype is None else dtype
    if not on_gpu(beside):
        array = kernels.empty(shape, np.dtype(dtype))
        if value:
            array.fill(value)
        else:
            array.reshape(-1).view(np.uint8).fill(0)  # in half the time
        return array
    return kernels.cuda.filled(shape, value, dtype)


def filled(shape: Any, value: Any, dtype: Any, device: str) -> Array:
    """A new array of one value on a device."""
    if device == "cuda":
        return kernels.cuda.filled(shape, value, dtype)
    return np.full(shape, value, dtype) if value else np.zeros(shape, dtype)  # which the system has at hand


def broadcast_to(array: Array, shape: tuple[int, ...]) -> Array:
    """The array repeated to a shape, as a view that cannot be written to where it is NumPy's."""
    if on_gpu(array):
        return kernels.cuda.broadcast_to(array, shape)
    if array.size == 1 and array.ndim <= len(shape):  # np.broadcast_to takes ten times as long
        view = np.ndarray(shape, array.dtype, array, strides=(0,) * len(shape))
        view.flags.writeable = False
        return view
    return np.broadcast_to(array, shape)


def owner(array: Array) -> Any:
    """Who owns the memory that an array looks at; None if that is another library's, which may lend it twice."""
    if type(array) is not np.ndarray and on_gpu(array):
        return kernels.cuda.owner(array)
    while (base := array.base) is not None and type(base) is not Block:
        if not isinstance(base, np.ndarray):
            return None
        array = base
    return array


def may_share_memory(a: Array, b: Array) -> bool:
    """Whether two arrays may look at the same memory: nearly always they have other owners, which is quick to tell."""
    of_a, of_b = owner(a), owner(b)
    if of_a is not of_b and of_a is not None and of_b is not None:
        return False
    if on_gpu(a) != on_gpu(b):
        return False
    return kernels.cuda.may_share_memory(a, b) if on_gpu(a) else np.may_share_memory(a, b)


def divided(y: Any, n: float) -> Any:
    """y / n, of an array or a tensor. The operator of CuPy's arrays would import SciPy for a number."""
    return kernels.cuda.divide(y, n) if on_gpu(y) else kernels.divide(y, n)


def negated(x: Any) -> Any:
    """−x, of an array or a tensor. NumPy's takes longer than a product by the kernel; CuPy's meets no number."""
    return -x if on_gpu(x) else kernels.multiply(x, -1)


def floor_divide(a: Any, b: Any) -> Array:
    """a // b. CuPy's is ⌊a / b⌋, which for floats is rounded before it is cut off: 1 // 0.1 is 10 there, and 9 here."""
    if not _floats_on_gpu(a, b):
        return a // b
    rest, turned = _rest(a, b)
    quotient = (a - rest) / b - turned  # an integer but for its own rounding
    whole = np.floor(quotient)
    return np.where((rest != rest) & (b == 0), a / b, whole + (quotient - whole > 0.5))


def remainder(a: Any, b: Any) -> Array:
    """a % b. CuPy's is a − b ⌊a / b⌋, which for floats may be of the other sign, and NaN where b is infinite."""
    if not _floats_on_gpu(a, b):
        return a % b
    rest, turned = _rest(a, b)
    return np.copysign(np.where(turned, rest + b, rest), b)


def _floats_on_gpu(a: Any, b: Any) -> bool:
    kinds = [np.dtype(getattr(x, "dtype", type(x))).kind for x in (a, b)]
    return (on_gpu(a) or on_gpu(b)) and "f" in kinds


def _rest(a: Any, b: Any) -> tuple[Array, Array]:
    """What fmod leaves of a, which is exact and has a's sign, and where b's is the other one."""
    rest = np.fmod(a, b)
    return rest, (rest != 0) & ((rest < 0) != (b < 0))


def joined(arrays: tuple[Array, ...], axis: int) -> Array:
    """The arrays one after the other along an axis, counted from the first.

    CuPy tells its kernel by a table which arrays there are, if they are many, and a graph cannot copy it to the GPU.
    """
    if not on_gpu(arrays[0]) or not kernels.cuda.recording():
        return np.concatenate(arrays, axis)
    before, shape, end = (slice(None),) * axis, list(arrays[0].shape), 0
    shape[axis] = sum(a.shape[axis] for a in arrays)
    y = np.empty_like(arrays[0], shape=tuple(shape))
    for a in arrays:
        begin, end = end, end + a.shape[axis]
        y[(*before, slice(begin, end))] = a
    return y


def to_host(array: Array) -> Array:
    """The array as NumPy's, a copy if it lives on the GPU: this waits until all work before it is done."""
    return array.get() if on_gpu(array) else array


def digest(array: Array) -> Any:
    """A number by which a change of the bytes is noticed. On the GPU it stays there, and waits to be compared."""
    if on_gpu(array):
        return kernels.cuda.digest(array)
    # A sum of the bytes would miss a permutation of them; a CRC does not.
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data) if array.size else 0


def from_dlpack(value: Any) -> Array:
    """The array of another library over the same memory, on the processor or on the GPU."""
    return kernels.cuda.from_dlpack(value) if value.__dlpack_device__()[0] in DLPACK_CUDA else np.from_dlpack(value)


def any_true(wrong: Array) -> bool:
    """Whether something is wrong. On the GPU the processor has to wait to know, but while a graph is recorded."""
    return kernels.cuda.found(wrong.any()) if on_gpu(wrong) else bool(wrong.any())


def checks_ids() -> bool:
    """Whether ids on the GPU are looked at."""
    return kernels.cuda.check_ids


def check_indices(indices: Array, axis: int, length: int) -> None:
    """NumPy's error for an index outside of an axis. Of indices on the GPU the processor has to wait to know."""
    if on_gpu(indices) and not checks_ids():
        return
    wrong = (indices < -length) | (indices >= length)
    if bool(wrong.any()):
        raise IndexError(f"index {indices[wrong][0].item()} is out of bounds for axis {axis} with size {length}")


def explain(error: Exception, arrays: Iterable[Any]) -> None:
    """Add to an error for want of memory on the GPU what holds it."""
    if isinstance(error, MemoryError) and any(on_gpu(getattr(x, "_array", x)) for x in arrays):
        error.add_note(kernels.cuda.memory())


def synchronize() -> None:
    """Wait until the GPU has done all that was asked of it; an error that it met is raised here."""
    kernels.cuda.synchronize()


def as_array(value: Any) -> Array:
    """An array of NumPy or CuPy as it is, another library's on the GPU without a copy, and all else as NumPy's."""
    if type(value) is np.ndarray or on_gpu(value):
        return value
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise TypeError("a masked array holds no numbers where it is masked; give them with .filled(value)")
    if hasattr(value, "__cuda_array_interface__"):
        return kernels.cuda.to_device(value)
    return np.asarray(value)
