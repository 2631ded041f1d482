"""The kernels of `reference` on an NVIDIA GPU: the same names, arguments, checks and errors, for CuPy's arrays.

The CUDA sources are in cuda/, one file a family. CuPy compiles a file when its first kernel is called and keeps the
result on disk, so the next process only loads it. CuPy itself is imported on first use. Inputs of any layout are made
dense, outputs are new arrays, and a call returns when its work is queued. Every sum runs in an order that follows from
the shape alone, so the results are the same bits each time, on any GPU. Where float32 is added or multiplied, numbers
below 1.2e-38 count as 0.

    MINIDL_CHECK_IDS=0      trust ids and labels. To look at them before a launch is the one time that the host waits
                            for the GPU, and keeps a call out of a CUDA graph of your own. (A step that a model has
                            recorded looks at them too, and is told after it has run.) An id outside then reads as NaN
                            and its gradient goes nowhere. `minidl.kernels.cuda.check_ids` is the same switch.
                            A backward trusts the array that its forward has looked at.
    CUPY_TF32=1             let products round float32 to 10 bits, which is faster. CuPy's switch, off by default.
"""

from __future__ import annotations

import contextlib
import math
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minidl.kernels import _cuda_lstm, validate
from minidl.kernels._cuda import (
    BLOCKS,
    NULL,
    THREADS,
    WARP,
    _blocks,
    _dense,
    _empty,
    _launch,
    _name,
    _own,
    _sum_columns,
)
from minidl.kernels._cuda_blas import product
from minidl.kernels._cuda_graph import Recorder, UnrecordableError, asked, recording
from minidl.kernels._cuda_graph import Recording as Recording

Array = Any
LSTMCache = tuple[Array, ...]

# As in cuda/: numbers of a piece of a row; ids that a block sorts at a time, bits by which it does and chunks of them
# that are counted together; equal ids of a piece, pieces that are added at a time and that a group looks at.
PIECE, TILE, BITS, BATCH = 8192, 2048, 10, 16
SHORT, PIECES, FEW = 64, 128, 8

PACK = 16  # bytes that a thread loads at a time
SHARED = 47 << 10  # bytes of shared memory for rows: any GPU gives 48 KiB to a block, with the kernel's own few bytes

CHUNKS = 256  # of ids, at most, each for a block that sorts: most GPUs have room for as many at once
NARROW = 1 << 31  # ids and places below it are sorted as 32 bits

# Rows of a table that a group of threads adds up, at most: fewer where there would not be so many threads.
SPAN, MANY = 16, 1 << 18

# Rows that do not fit into shared memory are read twice. So many bytes of them at a time are still in the L2 then, but
# there are at least so many blocks, to fill the GPU.
RECENT, LEAST = 32 << 20, 256

# A reduction of CuPy's over a middle axis has a block for up to 32 columns of a matrix, however many numbers they have.
# Parts of the axis make more: as many as fill the GPU, of no fewer numbers than take longer than a further launch.
ABREAST, ENOUGH, PART = 32, 1024, 1024


# ---- what they run on -------------------------------------------------------------------


INSTALL = "pip install 'minidl[cuda]', or 'minidl[cuda12]' where the driver has CUDA 12 (nvidia-smi shows it)"
DRIVER = "install one (nvidia.com/drivers, or the system's package) and see that nvidia-smi lists the GPU"


def missing() -> str:
    """What is missing for these kernels to run and how to get it, or nothing."""
    try:
        import cupy
    except ImportError as error:
        if not isinstance(error, ModuleNotFoundError) or error.name != "cupy":
            return f"CuPy does not load ({error}); {INSTALL}"
        if _has_driver():
            return f"CuPy is not installed; {INSTALL}"
        return f"there is no NVIDIA driver; {DRIVER}. CuPy is not installed either; {INSTALL}"
    runtime = cupy.cuda.runtime
    try:
        driver = runtime.driverGetVersion()
        if driver == 0:
            return f"there is no NVIDIA driver; {DRIVER}"
        if runtime.getDeviceCount() == 0:
            return _no_device()
    except runtime.CUDARuntimeError as error:
        if "cudaErrorNoDevice" in str(error):
            return _no_device()
        if "cudaErrorInsufficientDriver" not in str(error):
            return f"the GPU does not answer ({error}); see what nvidia-smi says"
        has, needs = (f"{n // 1000}.{n % 1000 // 10}" for n in (driver, runtime.runtimeGetVersion()))
        return f"the NVIDIA driver has CUDA {has} and CuPy needs {needs}; get a newer driver, or: {INSTALL}"
    try:
        cupy.cuda.nvrtc.getVersion()
    except RuntimeError as error:
        return f"CUDA's compiler NVRTC does not load ({' '.join(str(error).split())}); {INSTALL}"
    return ""


def _has_driver() -> bool:
    """Whether NVIDIA's driver is there, asked without CuPy, which is too large to install for nothing."""
    import ctypes

    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _no_device() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hint = "" if visible is None else f" (CUDA_VISIBLE_DEVICES={visible!r} hides those that it does not name)"
    return f"the NVIDIA driver finds no GPU{hint}; see what nvidia-smi lists"


def device() -> str:
    """The GPU in use and the versions that meet on it."""
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    compiler = ".".join(map(str, cupy.cuda.nvrtc.getVersion()))
    name, major, minor = properties["name"].decode(), properties["major"], properties["minor"]
    return f"{name} (compute capability {major}.{minor}) through CuPy {cupy.__version__} and NVRTC {compiler}"


def _choice(variable: str) -> bool:
    wanted = os.environ.get(variable, "1")
    if wanted not in ("0", "1"):
        raise ValueError(f"{variable}={wanted!r}: expected 0 or 1")
    return wanted == "1"


check_ids = _choice("MINIDL_CHECK_IDS")


def to_device(array: Any) -> Array:
    """An array of NumPy's copied to the GPU; one of another library that lives there already as CuPy's, uncopied."""
    if recording():
        raise UnrecordableError("data of the host, which a graph would copy as it is now each time it is played")
    with _explained():
        import cupy

        return cupy.asarray(array)


def filled(shape: Any, value: Any, dtype: Any) -> Array:
    """A new array of one value on the GPU: made there, for the host may have no room for it."""
    with _explained():
        import cupy

        if type(value) is int and value == 0:  # the driver's, which are queued sooner than a kernel
            return cupy.zeros(shape, dtype)
        return cupy.full(shape, value, dtype)


def broadcast_to(array: Array, shape: tuple[int, ...]) -> Array:
    """A view that repeats the array to a shape. By way of NumPy CuPy would import SciPy first."""
    import cupy

    return cupy.broadcast_to(array, shape)


def owner(array: Array) -> Any:
    """The memory that CuPy has made for an array and all that look at it; None if it is another library's."""
    import cupy

    memory = array.data.mem
    return memory if type(memory) is cupy.cuda.memory.PooledMemory else None


def may_share_memory(a: Array, b: Array) -> bool:
    """Whether the ends of two arrays overlap. CuPy says no of two parts of what another library has lent twice."""
    (a_begin, a_end), (b_begin, b_end) = _ends(a), _ends(b)
    return a.size > 0 and b.size > 0 and a_begin < b_end and b_begin < a_end


def _ends(array: Array) -> tuple[int, int]:
    ways = [(n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)]
    begin = array.data.ptr
    return begin + sum(way for way in ways if way < 0), begin + sum(way for way in ways if way > 0) + array.itemsize


def from_dlpack(array: Any) -> Array:
    """Another library's array on the GPU as CuPy's, over the same memory."""
    with _explained():
        import cupy

        return cupy.from_dlpack(array)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """An error says what is missing, or what holds the memory; asked only then, for the driver takes its time."""
    try:
        yield
    except Exception as error:
        if why := missing():
            raise RuntimeError(f"the cuda kernels cannot run: {why}") from error
        if isinstance(error, MemoryError):
            error.add_note(memory())
        raise


def memory() -> str:
    """What the memory of the GPU is used for."""
    import cupy

    free, total = cupy.cuda.runtime.memGetInfo()
    pool = cupy.get_default_memory_pool()
    used, kept = pool.used_bytes(), pool.free_bytes()
    played = sum(recorder.pool.total_bytes() for recorder in Recorder.alive)
    rest = max(total - free - used - kept - played, 0)
    whole, own, cached, graphs, left, others = (f"{n / 2**30:.2f}" for n in (total, used, kept, played, free, rest))
    return (
        f"the GPU has {whole} GiB: {own} in arrays of this process, {cached} kept for its next ones, {graphs} in "
        f"recorded steps of models, {left} free, {others} with CUDA and with other processes"
    )


def digest(array: Array) -> Array:
    """A number by which a change of the bytes is noticed, on the GPU itself: nobody waits until it is compared."""
    import cupy

    dense, sum = _dense(array), cupy.zeros((), np.uint64)
    word = 4 if array.itemsize % 4 == 0 else 1
    _launch("memory", f"digest_{word}", _blocks(dense.nbytes, PACK * THREADS), dense.nbytes // word, dense, sum)
    return sum


def synchronize() -> None:
    """Wait until all work that was queued is done; an error that it met is raised here."""
    import cupy

    cupy.cuda.Device().synchronize()


# ---- kernels and their launch -----------------------------------------------------------


def _each(family: str, kernel: str, *arguments: Any) -> None:
    """Queue a kernel that goes through arrays of one shape, of which the first argument is one."""
    x = arguments[0]
    _launch(family, f"{kernel}_{_name(x.dtype)}", _blocks(x.nbytes, PACK * THREADS), x.size, *arguments)


def _rows(family: str, kernel: str, *arguments: Any) -> None:
    """Queue a kernel that goes along the last axis of the first argument, which stays in shared memory if it fits."""
    x = arguments[0]
    rows, columns = _matrix(x)
    group = _group(columns, x.itemsize)
    shared = THREADS * _blocks(columns * x.itemsize, PACK * group) * PACK
    shared = shared if shared <= SHARED else 0
    blocks = min(_blocks(rows, THREADS // group), BLOCKS if shared else max(LEAST, RECENT // (columns * x.itemsize)))
    _launch(family, f"{kernel}_{_name(x.dtype)}", blocks, rows, columns, group, shared > 0, *arguments, shared=shared)


def _matrix(x: Array) -> tuple[int, int]:
    """How many rows the last axis makes, and their length."""
    return math.prod(x.shape[:-1]), x.shape[-1]


def _group(columns: int, itemsize: int, packs: int = 4) -> int:
    """How many threads go along a row of that many numbers: one for so many packs up to a warp, with 8 each a block."""
    share = _blocks(columns * itemsize, PACK * packs)
    return THREADS if share > 8 * WARP // packs else min(WARP, 1 << max(0, share - 1).bit_length())


def found(wrong: Array) -> bool:
    """Whether the one element is true. The host waits for the answer, but while a graph is recorded."""
    return asked(wrong)()


def _outside(ids: Array, limit: int) -> bool:
    """Whether some id is not in [0, limit). The host waits for the answer."""
    return check_ids and _answer(_look(ids, limit), ids, limit)


def _look(ids: Array, limit: int) -> Callable[[], bool]:
    """The question whether some id is not in [0, limit)."""
    import cupy

    dense, wrong = _dense(ids), cupy.zeros(1, np.int32)
    _launch("embedding", f"outside_{_name(ids.dtype)}", _blocks(ids.size, THREADS), ids.size, limit, dense, wrong)
    return asked(wrong)


def _answer(question: Callable[[], bool], ids: Array, limit: int) -> bool:
    """Whether some id is outside; if none is, this array need not be looked at again."""
    if question():
        return True
    key = id(ids)
    _inside[key] = weakref.ref(ids, lambda _: _inside.pop(key, None)), limit
    return False


_inside: dict[int, tuple[Any, int]] = {}  # the arrays of ids that were looked at, by their id(), and the limit then


def _outside_now(ids: Array, limit: int) -> bool:
    """The same for a backward, where the host need not wait again if forward has looked at this very array."""
    array, known = _inside.get(id(ids), (None, 0))
    return (array is None or array() is not ids or known != limit) and _outside(ids, limit)


# ---- elementary functions ---------------------------------------------------------------


def exp(x: Array) -> Array:
    """y = eˣ"""
    validate.floats("exp", x=x)
    return _map("exp", x)


def tanh(x: Array) -> Array:
    """y = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)"""
    validate.floats("tanh", x=x)
    return _map("tanh", x)


def tanh_backward(dy: Array, y: Array) -> Array:
    """dx = dy (1 − y²)"""
    return _slope("tanh_backward", dy, y)


def sigmoid(x: Array) -> Array:
    """y = 1 / (1 + e⁻ˣ)"""
    validate.floats("sigmoid", x=x)
    return _map("sigmoid", x)


def sigmoid_backward(dy: Array, y: Array) -> Array:
    """dx = dy y (1 − y)"""
    return _slope("sigmoid_backward", dy, y)


def erf(x: Array) -> Array:
    """y = 2/√π ∫₀ˣ e^(−t²) dt"""
    validate.floats("erf", x=x)
    return _map("erf", x)


def log(x: Array) -> Array:
    """y = ln x; −∞ at 0, NaN below. CuPy's own, as sqrt, absolute and clip are."""
    validate.floats("log", x=x)
    import cupy

    return cupy.log(x)


def sqrt(x: Array) -> Array:
    """y = √x; NaN below 0"""
    validate.floats("sqrt", x=x)
    import cupy

    return cupy.sqrt(x)


def absolute(x: Array) -> Array:
    """y = |x|"""
    validate.floats("absolute", x=x)
    import cupy

    return cupy.absolute(x)


def clip(x: Array, low: float, high: float) -> Array:
    """y = min(max(x, low), high)"""
    low, high = validate.clip(x, low, high)
    with np.errstate(over="ignore"):  # a bound that is no number of float32
        return x.clip(x.dtype.type(low), x.dtype.type(high))


def _map(kernel: str, x: Array) -> Array:
    y = _empty(x.shape, x.dtype)
    _each("elementary", kernel, _dense(x), y)
    return y


def _slope(kernel: str, dy: Array, y: Array) -> Array:
    validate.elementwise(kernel, dy=dy, y=y)
    dx = _empty(y.shape, y.dtype)
    _each("elementary", kernel, _dense(dy), _dense(y), dx)
    return dx


# ---- arithmetic ------------------------------------------------------------------------


def add(a: Array | float, b: Array | float) -> Array:
    """y = a + b, broadcasting as in NumPy"""
    return a + b


def subtract(a: Array | float, b: Array | float) -> Array:
    """y = a − b, broadcasting as in NumPy"""
    return a - b


def multiply(a: Array | float, b: Array | float) -> Array:
    """y = a b, broadcasting as in NumPy"""
    return a * b


def divide(a: Array | float, b: Array | float) -> Array:
    """y = a / b, broadcasting as in NumPy. CuPy's operator goes to a number by way of NumPy, and imports SciPy."""
    import cupy

    return cupy.divide(a, b)


def maximum(a: Array | float, b: Array | float) -> Array:
    """y = max(a, b), broadcasting as in NumPy; NaN wins"""
    import cupy

    return cupy.maximum(a, b)


def minimum(a: Array | float, b: Array | float) -> Array:
    """y = min(a, b), broadcasting as in NumPy; NaN wins"""
    import cupy

    return cupy.minimum(a, b)


# ---- activations ------------------------------------------------------------------------


def relu_forward(x: Array) -> Array:
    """y = max(x, 0)"""
    return _forward("relu_forward", x)


def relu_backward(dy: Array, x: Array) -> Array:
    """dx = dy where x > 0, else 0"""
    return _backward("relu_backward", dy, x)


def leaky_relu_forward(x: Array, alpha: float) -> Array:
    """y = x where x > 0, else α x"""
    return _forward("leaky_relu_forward", x, alpha)


def leaky_relu_backward(dy: Array, x: Array, alpha: float) -> Array:
    """dx = dy where x > 0, else α dy"""
    return _backward("leaky_relu_backward", dy, x, alpha)


def elu_forward(x: Array, alpha: float, scale: float) -> Array:
    """y = scale x where x > 0, else scale α (eˣ − 1)"""
    return _forward("elu_forward", x, alpha, scale)


def elu_backward(dy: Array, x: Array, alpha: float, scale: float) -> Array:
    """dx = scale dy where x > 0, else scale α eˣ dy"""
    return _backward("elu_backward", dy, x, alpha, scale)


def softplus_forward(x: Array) -> Array:
    """y = ln(1 + eˣ)"""
    return _forward("softplus_forward", x)


def softplus_backward(dy: Array, x: Array) -> Array:
    """dx = dy σ(x)"""
    return _backward("softplus_backward", dy, x)


def silu_forward(x: Array) -> Array:
    """y = x σ(x)"""
    return _forward("silu_forward", x)


def silu_backward(dy: Array, x: Array) -> Array:
    """dx = dy (σ(x) + x σ(x) σ(−x))"""
    return _backward("silu_backward", dy, x)


def gelu_forward(x: Array) -> Array:
    """y = x Φ(x)"""
    return _forward("gelu_forward", x)


def gelu_backward(dy: Array, x: Array) -> Array:
    """dx = dy (Φ(x) + x φ(x))"""
    return _backward("gelu_backward", dy, x)


def _forward(kernel: str, x: Array, alpha: float = 0.0, scale: float = 1.0) -> Array:
    validate.floats(kernel, x=x)
    y = _empty(x.shape, x.dtype)
    _each("activations", kernel, _dense(x), y, *validate.numbers(kernel, alpha=alpha, scale=scale))
    return y


def _backward(kernel: str, dy: Array, x: Array, alpha: float = 0.0, scale: float = 1.0) -> Array:
    validate.elementwise(kernel, dy=dy, x=x)
    dx = _empty(x.shape, x.dtype)
    _each("activations", kernel, _dense(dy), _dense(x), dx, *validate.numbers(kernel, alpha=alpha, scale=scale))
    return dx


# ---- selection --------------------------------------------------------------------------


def where(condition: Array, a: Array | float, b: Array | float) -> Array:
    """y = a where the condition holds, else b. By CuPy, to whom NumPy hands it on."""
    validate.where(condition, a, b)
    return np.where(*(_dense(x) if hasattr(x, "dtype") else x for x in (condition, a, b)))


# ---- products ---------------------------------------------------------------------------


def matmul(a: Array, b: Array) -> Array:
    """c = a b, over the last two axes; the others broadcast. By cuBLAS, in full precision unless CUPY_TF32=1."""
    import cupy

    validate.matmul(a, b)
    a, b = _own(a), _own(b)
    if b.ndim > 2:
        return cupy.matmul(a, b)
    if a.ndim == 2:
        return product(a, b)
    return product(a.reshape(_matrix(a)), b).reshape(*a.shape[:-1], b.shape[1])  # one product is faster than many


def affine_forward(x: Array, w: Array, b: Array) -> Array:
    """y = x w + b"""
    validate.affine("affine_forward", x, w, b=b)
    y = matmul(x, w)
    y += b
    return y


def affine_backward(
    dy: Array, x: Array, w: Array, needs: Sequence[bool] = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    """dx = dy wᵀ, dw = xᵀ dy, db = Σ dy over the rows; None in place of those that are not needed."""
    validate.affine("affine_backward", x, w, dy=dy)
    return (
        matmul(dy, w.T) if needs[0] else None,
        matmul(x.T, dy) if needs[1] else None,
        _sum_columns(dy) if needs[2] else None,
    )


# ---- sums -------------------------------------------------------------------------------


def sum_rows(x: Array) -> Array:
    """y = Σ x over the last axis."""
    validate.axes("sum_rows", x, 1)
    return _sum_rows(_dense(x), x.dtype)


def _sum_rows(x: Array, dtype: Any) -> Array:
    """The sums of the rows, or of the pieces of long rows and then of their sums, which are kept in float64."""
    rows, columns = _matrix(x)
    pieces = _blocks(columns, PIECE) if columns > PIECE else 1
    y = _empty(x.shape[:-1], dtype) if pieces == 1 else _empty((*x.shape[:-1], pieces), np.dtype(np.float64))
    group = _group(min(columns, PIECE), x.itemsize)
    blocks = _blocks(rows * pieces, THREADS // group)
    _launch("reduce", f"sum_{_name(x.dtype)}_to_{_name(y.dtype)}", blocks, rows, columns, group, x, y)
    return y if pieces == 1 else _sum_rows(y, dtype)


def sum_columns(x: Array) -> Array:
    """y = Σ x over the last axis but one."""
    validate.axes("sum_columns", x, 2)
    return _sum_columns(x)


# ---- extremes ---------------------------------------------------------------------------


def extreme_forward(x: Array, largest: bool) -> Array:
    """y = max x over the middle axis, or min x. By CuPy."""
    largest = validate.extreme("extreme_forward", x, largest)
    return _over_the_middle("max" if largest else "min", _own(x))


def _over_the_middle(reduce: str, x: Array) -> Array:
    """A reduction of CuPy's over the middle axis, in any order: of parts of it first, where there are few blocks."""
    batch, numbers, columns = x.shape
    parts = min(ENOUGH // max(1, batch * _blocks(columns, ABREAST)), numbers // PART)
    if parts > 1:
        whole = numbers - numbers % parts
        of_parts = _reduced(reduce, x[:, :whole].reshape(batch, parts, whole // parts, columns), 2)
        x = np.concatenate((of_parts, x[:, whole:]), axis=1)  # the rest has fewer numbers than there are parts
    return _reduced(reduce, x, 1)


def _reduced(reduce: str, x: Array, axis: int) -> Array:
    """A reduction of CuPy's over one axis. Beside an axis of one it would take one block for each result."""
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    above = [n for n in before if n != 1]
    lean = x.reshape(*above, x.shape[axis], *(n for n in after if n != 1))
    return getattr(lean, reduce)(len(above)).reshape(before + after)


def extreme_backward(dy: Array, x: Array, y: Array) -> Array:
    """dx = dy where x = y, divided by how many are. By CuPy."""
    validate.extreme("extreme_backward", x, dy=dy, y=y)
    ties = (_own(x) == _own(y)[:, None]) | (x != x)
    share = filled(y.shape, 1, np.float64)
    share /= _over_the_middle("sum", ties)
    return np.where(ties, (_own(dy) * share.astype(dy.dtype))[:, None], filled((), 0, dy.dtype))


# ---- the cost of errors -----------------------------------------------------------------


def huber_forward(e: Array, delta: float) -> Array:
    """y = the mean over the last axis of e²/2 where |e| ≤ δ, of δ (|e| − δ/2) beyond."""
    delta = validate.huber("huber_forward", e, delta)
    y = _empty(e.shape[:-1], e.dtype)
    _rows("distance", "huber_forward", _dense(e), delta, y)
    return y


def huber_backward(dy: Array, e: Array, delta: float) -> Array:
    """de = dy / K times e, held in [−δ, δ]"""
    delta = validate.huber("huber_backward", e, delta, dy=dy)
    de = _empty(e.shape, e.dtype)
    _rows("distance", "huber_backward", _dense(e), _dense(dy), delta, de)
    return de


# ---- softmax and the cross-entropies ----------------------------------------------------


def softmax_forward(x: Array) -> Array:
    """y = e^(x − max x) / Σ e^(x − max x), over the last axis."""
    validate.rows("softmax_forward", x)
    y = _empty(x.shape, x.dtype)
    _rows("softmax", "softmax_forward", _dense(x), y)
    return y


def softmax_backward(dy: Array, y: Array) -> Array:
    """dx = y (dy − Σ dy y)"""
    validate.rows("softmax_backward", y)
    validate.elementwise("softmax_backward", dy=dy, y=y)
    dx = _empty(y.shape, y.dtype)
    _rows("softmax", "softmax_backward", _dense(dy), _dense(y), dx)
    return dx


def log_softmax_forward(x: Array) -> Array:
    """y = x − max x − ln Σ e^(x − max x), over the last axis."""
    validate.rows("log_softmax_forward", x)
    y = _empty(x.shape, x.dtype)
    _rows("softmax", "log_softmax_forward", _dense(x), y)
    return y


def log_softmax_backward(dy: Array, y: Array) -> Array:
    """dx = dy − eʸ Σ dy"""
    validate.rows("log_softmax_backward", y)
    validate.elementwise("log_softmax_backward", dy=dy, y=y)
    dx = _empty(y.shape, y.dtype)
    _rows("softmax", "log_softmax_backward", _dense(dy), _dense(y), dx)
    return dx


def softmax_cross_entropy_forward(logits: Array, targets: Array) -> tuple[Array, Array]:
    """loss = −Σ targets log softmax(logits), with the probabilities that backward needs."""
    validate.softmax_cross_entropy("softmax_cross_entropy_forward", logits, targets)
    loss, probabilities = _empty(logits.shape[:-1], logits.dtype), _empty(logits.shape, logits.dtype)
    _rows("cross_entropy", "softmax_cross_entropy_forward", _dense(logits), _dense(targets), loss, probabilities)
    return loss, probabilities


def softmax_cross_entropy_backward(dloss: Array, probabilities: Array, targets: Array) -> Array:
    """dlogits = dloss (p Σ targets − targets)"""
    validate.softmax_cross_entropy("softmax_cross_entropy_backward", probabilities, targets)
    validate.loss_gradient("softmax_cross_entropy_backward", dloss, probabilities)
    dlogits = _empty(targets.shape, targets.dtype)
    _rows(
        "cross_entropy",
        "softmax_cross_entropy_backward",
        _dense(probabilities),
        _dense(targets),
        _dense(dloss),
        dlogits,
    )
    return dlogits


def sparse_cross_entropy_forward(logits: Array, labels: Array) -> tuple[Array, Array]:
    """loss = −log softmax(logits)[label], with the probabilities that backward needs."""
    validate.sparse_cross_entropy("sparse_cross_entropy_forward", logits, labels, _outside)
    loss, probabilities = _empty(logits.shape[:-1], logits.dtype), _empty(logits.shape, logits.dtype)
    labels = _dense(labels, np.int64)
    _rows("cross_entropy", "sparse_cross_entropy_forward", _dense(logits), labels, loss, probabilities)
    return loss, probabilities


def sparse_cross_entropy_backward(dloss: Array, probabilities: Array, labels: Array) -> Array:
    """dlogits = dloss (p − onehot(label))"""
    validate.sparse_cross_entropy("sparse_cross_entropy_backward", probabilities, labels, _outside_now)
    validate.loss_gradient("sparse_cross_entropy_backward", dloss, probabilities)
    dlogits = _empty(probabilities.shape, probabilities.dtype)
    labels = _dense(labels, np.int64)
    _rows("cross_entropy", "sparse_cross_entropy_backward", _dense(probabilities), labels, _dense(dloss), dlogits)
    return dlogits


def sigmoid_cross_entropy_forward(logits: Array, targets: Array) -> Array:
    """loss = |x| miss + log(1 + e^(−|x|)), with miss = 1 − t for x > 0, else t"""
    validate.elementwise("sigmoid_cross_entropy_forward", logits=logits, targets=targets)
    loss = _empty(logits.shape, logits.dtype)
    _each("cross_entropy", "sigmoid_cross_entropy_forward", _dense(logits), _dense(targets), loss)
    return loss


def sigmoid_cross_entropy_backward(dloss: Array, logits: Array, targets: Array) -> Array:
    """dx = dloss (σ(x) − t)"""
    validate.elementwise("sigmoid_cross_entropy_backward", dloss=dloss, logits=logits, targets=targets)
    dlogits = _empty(logits.shape, logits.dtype)
    _each("cross_entropy", "sigmoid_cross_entropy_backward", _dense(dloss), _dense(logits), _dense(targets), dlogits)
    return dlogits


# ---- embedding --------------------------------------------------------------------------


def embedding_forward(table: Array, ids: Array) -> Array:
    """y[…] = table[ids[…]]"""
    made = []

    def outside(ids: Array, limit: int) -> bool:
        """Looks at the ids, and has the rows fetched before it waits for the answer, which is there earlier."""
        question = _look(ids, limit)
        try:
            made.append(_gather(table, ids))
        except BaseException:
            question()  # until the answer has come its memory must not serve others
            raise
        return _answer(question, ids, limit)

    validate.embedding(table, ids, outside if check_ids else _outside)
    return made[0] if made else _gather(table, ids)


def _gather(table: Array, ids: Array) -> Array:
    rows, units = table.shape
    y = _empty((*ids.shape, units), table.dtype)
    group = _group(units, table.itemsize, 1)
    blocks = _blocks(ids.size, THREADS // group) if units else 0
    table, ids = _dense(table), _dense(ids, np.int64)
    _launch("embedding", f"embedding_forward_{_name(table.dtype)}", blocks, ids.size, rows, units, group, table, ids, y)
    return y


def embedding_backward(dy: Array, ids: Array, rows: int) -> Array:
    """dtable[i] = Σ dy over the places where ids = i.

    Up to 127 of them are added in order. More are cut into pieces of 64, the last of which has the rest, too. Each is
    added in order, then the sums of 128 pieces at a time, and so on until there is one.
    """
    import cupy

    rows = validate.embedding_backward(dy, ids, rows, _outside_now)
    if not ids.size:
        return cupy.zeros((rows, dy.shape[-1]), dy.dtype)
    dtable = _empty((rows, dy.shape[-1]), dy.dtype)
    if dtable.size:
        _add(_dense(dy), _sort(_dense(ids, np.int64), rows), dtable)
    return dtable


def _add(dy: Array, entries: Array, dtable: Array) -> None:
    """Adds the rows of dy up in dtable. A launch has what the one before it has left of the pieces of long segments."""
    (rows, units), n, name = dtable.shape, len(entries), _name(dy.dtype)
    pieces = _blocks(n, SHORT)
    runs, sums = _empty((pieces, 3), np.int64), _empty((pieces, units), dy.dtype)
    group = min(WARP, _group(units, dy.itemsize, 1))
    strips = _blocks(units * dy.itemsize, PACK * group)
    span = max(1, min(SPAN, rows * strips * group // MANY))
    blocks = _blocks(max(pieces, _blocks(rows, span)) * strips * group, THREADS)
    kernel = f"embedding_backward_{name}_{8 * entries.itemsize}"
    _launch("embedding", kernel, blocks, n, rows, span, units, strips, group, entries, dy, runs, sums, dtable)
    blocks, step = _blocks(_blocks(pieces, FEW) * strips * group, THREADS), 1
    while step < n // SHORT:
        further = _empty(sums.shape, dy.dtype) if step * PIECES < n // SHORT else NULL
        arguments = pieces, step, units, strips, group, runs, sums, further, dtable
        _launch("embedding", f"embedding_sums_{name}", blocks, *arguments)
        sums, step = further, step * PIECES


def _sort(ids: Array, rows: int) -> Array:
    """The ids in order, each with its place, by ten bits at a time; those outside [0, rows) last, as `rows`."""
    import cupy

    n, shifts = ids.size, range(0, max(1, rows.bit_length()), BITS)
    chunk = TILE * _blocks(n, TILE * CHUNKS)
    chunks, dtype = _blocks(n, chunk), np.dtype(np.uint32 if max(n, rows) < NARROW else np.int64)
    counts, entries, sums = _empty((chunks, 1 << BITS), np.int32), ids, [NULL] * len(shifts)
    if chunks > BATCH:
        sums = list(cupy.zeros((len(shifts), _blocks(chunks, BATCH), 1 << BITS), np.int32))
    for shift, of_batches in zip(shifts, sums, strict=True):
        moved = _empty((n, 2), dtype)
        arguments = chunks, n, rows, shift, chunk, entries, counts, of_batches
        _launch("embedding", f"count_digits_{8 * dtype.itemsize}", *arguments)
        _launch("embedding", f"move_by_digit_{8 * dtype.itemsize}", *arguments, moved)
        entries = moved
    return entries


# ---- random numbers and dropout ---------------------------------------------------------


def random_bits(n: int, seed: int, offset: int) -> Array:
    """n random 32-bit words, four from each block `offset`, `offset` + 1, … of the stream `seed`."""
    n, seed, offset = validate.random_bits(n, seed, offset)
    words = _empty(n, np.uint32)
    _launch("random", "random_bits", _blocks(n, 4 * THREADS), n, np.uint64(seed), np.uint64(offset), words)
    return words


def dropout(x: Array, rate: float, seed: int, offset: int) -> Array:
    """y = x / (1 − rate) where the element's random word ≥ rate · 2³², else 0."""
    rate, seed, offset = validate.dropout(x, rate, seed, offset)
    y, place = _empty(x.shape, x.dtype), NULL
    if now := recording():
        place, offset = now.place_of(seed, offset)
    scale = 1 / (1 - rate) if rate < 1 else 0.0
    _each("random", "dropout", _dense(x), y, int(rate * 2**32), scale, np.uint64(seed), np.uint64(offset), place)
    return y


# ---- LSTM -------------------------------------------------------------------------------


def lstm_forward(
    x: Array,
    h0: Array,
    c0: Array,
    kernel: Array,
    recurrent: Array,
    bias: Array,
    mask: Array | None = None,
    reverse: bool = False,
    keep: bool = True,
) -> tuple[Array, Array, Array, LSTMCache | None]:
    """Run an LSTM over a whole sequence; the equations stand in `reference.lstm_forward`."""
    validate.lstm("lstm_forward", x, h0, c0, kernel, recurrent, bias, mask)
    x, h0, c0, kernel, recurrent, bias = map(_dense, (x, h0, c0, kernel, recurrent, bias))
    return _cuda_lstm.forward(x, h0, c0, kernel, recurrent, bias, _optional(mask), bool(reverse), keep)


def lstm_backward(
    dy: Array | None,
    dh: Array | None,
    dc: Array | None,
    x: Array,
    h0: Array,
    c0: Array,
    kernel: Array,
    recurrent: Array,
    bias: Array,
    mask: Array | None,
    reverse: bool,
    cache: LSTMCache,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Back-propagation through time; the equations stand in `reference.lstm_backward`."""
    validate.lstm("lstm_backward", x, h0, c0, kernel, recurrent, bias, mask)
    validate.lstm_gradients(x, recurrent, dy, dh, dc)
    batch, time, _ = x.shape
    states = batch, time, len(recurrent)
    validate.lstm_cache("cuda", cache, x, [(batch, time, 4 * len(recurrent)), states, states])
    dy, dh, dc, mask = map(_optional, (dy, dh, dc, mask))
    x, kernel, recurrent = map(_dense, (x, kernel, recurrent))
    gates, h_before, c_before = map(_dense, cache)
    return _cuda_lstm.backward(dy, dh, dc, x, kernel, recurrent, mask, bool(reverse), gates, h_before, c_before)


def _optional(array: Array | None) -> Array | None:
    return None if array is None else _dense(array)


# ---- optimizer steps, in place ----------------------------------------------------------


def sgd_step(w: Array, g: Array, lr: float) -> None:
    """w ← w − lr g"""
    validate.step("sgd_step", _overlap, w=w, g=g)
    (lr,) = validate.numbers("sgd_step", lr=lr)
    _step("sgd_step", g, (w,), lr)


def momentum_step(w: Array, g: Array, v: Array, lr: float, momentum: float, nesterov: bool) -> None:
    """v ← μ v − lr g;  w ← w + v,  or with nesterov  w ← w + μ v − lr g"""
    validate.step("momentum_step", _overlap, w=w, g=g, v=v)
    lr, momentum = validate.numbers("momentum_step", lr=lr, momentum=momentum)
    _step("momentum_step", g, (w, v), lr, momentum, bool(nesterov))


def adam_step(
    w: Array, g: Array, m: Array, v: Array, rate: float, beta_1: float, beta_2: float, epsilon: float
) -> None:
    """m ← m + (1−β₁)(g − m);  v ← v + (1−β₂)(g² − v);  w ← w − rate m / (√v + ε)"""
    validate.step("adam_step", _overlap, w=w, g=g, m=m, v=v)
    rate, beta_1, beta_2, epsilon = validate.numbers(
        "adam_step", rate=rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon
    )
    _step("adam_step", g, (w, m, v), rate, 1 - beta_1, 1 - beta_2, epsilon)


def rmsprop_step(w: Array, g: Array, v: Array, lr: float, rho: float, epsilon: float) -> None:
    """v ← ρ v + (1−ρ) g²;  w ← w − lr g / √(v + ε)"""
    validate.step("rmsprop_step", _overlap, w=w, g=g, v=v)
    lr, rho, epsilon = validate.numbers("rmsprop_step", lr=lr, rho=rho, epsilon=epsilon)
    _step("rmsprop_step", g, (w, v), lr, rho, 1 - rho, epsilon)


def adagrad_step(w: Array, g: Array, a: Array, lr: float, epsilon: float) -> None:
    """a ← a + g²;  w ← w − lr g / √(a + ε)"""
    validate.step("adagrad_step", _overlap, w=w, g=g, a=a)
    lr, epsilon = validate.numbers("adagrad_step", lr=lr, epsilon=epsilon)
    _step("adagrad_step", g, (w, a), lr, epsilon)


def _overlap(a: Array, b: Array) -> bool:
    """Whether two arrays share memory. To ask NumPy for the six pairs of Adam's takes longer than to launch it."""
    if not (_own(a).flags.c_contiguous and _own(b).flags.c_contiguous):
        return may_share_memory(a, b) and np.shares_memory(a, b)
    return a.data.ptr < b.data.ptr + b.nbytes and b.data.ptr < a.data.ptr + a.nbytes


def _step(kernel: str, g: Array, written: tuple[Array, ...], rate: float, *scalars: float) -> None:
    """Run a step on the arrays themselves, or on dense copies that are written back."""
    place = now.place_of_rate(rate) if (now := recording()) else NULL
    w, *moments = dense = [_dense(array) for array in written]
    _each("steps", kernel, w, _dense(g), *moments, rate, place, *scalars)
    for array, copy in zip(written, dense, strict=True):
        if copy is not array:
            array[...] = copy
