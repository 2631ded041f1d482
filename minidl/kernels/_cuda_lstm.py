"""The LSTM of `cuda`: which kernels of cuda/lstm.cu run, in what shape, between the large products of cuBLAS.

Short states run persistently, with R in registers and the whole sequence in one launch; long ones step by step. The
host never waits for the GPU: a call returns when its work is queued.

Letters in shapes: B batch, T time, D features in, U units.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.kernels import validate

Array = Any
LSTMCache = tuple[Array, ...]

LANES = 32  # units of a block
BLOCKS = 8  # of a cluster at most, on every GPU that has clusters
WARPS = 16  # of a block at most
DEPTH = {"float32": 16, "float64": 8}  # states that a warp multiplies: 64 registers of R a thread
SHARED = 48 << 10  # bytes of shared memory that every GPU gives a block unasked
THREADS = 256  # of a block that does one step

NOTHING = np.uintp(0)  # a null pointer; of None CuPy makes the address 0xffffffff


def lstm_forward(
    x: Array,
    h0: Array,
    c0: Array,
    kernel: Array,
    recurrent: Array,
    bias: Array,
    mask: Array | None = None,
    reverse: bool = False,
) -> tuple[Array, Array, Array, LSTMCache]:
    """Run an LSTM over a whole sequence; the equations stand in `reference.lstm_forward`."""
    import cupy

    validate.lstm("lstm_forward", x, h0, c0, kernel, recurrent, bias, mask)
    x, h0, c0, kernel, recurrent, bias = map(_dense, (x, h0, c0, kernel, recurrent, bias))
    sizes = Sizes(x, recurrent)
    gates = cupy.matmul(_rows(x), kernel).reshape(
        *sizes.states[:2], 4 * sizes.units
    )  # x W, from which the kernels go on
    y, h_before, c_before = (cupy.empty(sizes.states, x.dtype) for _ in range(3))
    cache = gates, h_before, c_before
    if not y.size:
        return y, h0.copy(), c0.copy(), cache
    run = _persistent_forward if is_short(sizes) else _stepwise_forward
    h, c = run(sizes, *cache, y, h0, c0, recurrent, bias, _optional(mask), bool(reverse))
    return y, h, c, cache


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
    import cupy

    validate.lstm("lstm_backward", x, h0, c0, kernel, recurrent, bias, mask)
    validate.lstm_gradients(x, recurrent, dy, dh, dc)
    sizes = Sizes(x, recurrent)
    validate.lstm_cache("cuda", cache, x, [(*sizes.states[:2], 4 * sizes.units), sizes.states, sizes.states])
    gates, h_before, c_before, x, kernel, recurrent = map(_dense, (*cache, x, kernel, recurrent))
    dz = cupy.empty_like(gates)
    run = _persistent_backward if is_short(sizes) else _stepwise_backward
    slopes = _optional(dy), _optional(dh), _optional(dc)
    dh0, dc0 = run(sizes, gates, c_before, dz, *slopes, recurrent, _optional(mask), bool(reverse))
    dz = _rows(dz)
    dx = cupy.matmul(dz, kernel.T).reshape(x.shape)
    return dx, dh0, dc0, cupy.matmul(_rows(x).T, dz), cupy.matmul(_rows(h_before).T, dz), dz.sum(0)


class Sizes:
    """B, T and U, and the type, as the kernels take them."""

    def __init__(self, x: Array, recurrent: Array) -> None:
        self.batch, self.time, _ = x.shape
        self.units = len(recurrent)
        self.dtype = x.dtype
        self.states = self.batch, self.time, self.units
        self.arguments = tuple(map(np.int32, self.states))

    def order(self, reverse: bool) -> range:
        """The time of each step."""
        return range(self.time - 1, -1, -1) if reverse else range(self.time)


# ---- short states: the whole sequence in one launch ---------------------------------------


def is_short(sizes: Sizes) -> bool:
    """Whether R fits in the registers of one cluster: up to 256 units in float32, 128 in float64."""
    return sizes.units <= min(LANES * BLOCKS, DEPTH[sizes.dtype.name] * WARPS)


def _persistent_forward(
    sizes: Sizes,
    gates: Array,
    h_before: Array,
    c_before: Array,
    y: Array,
    h0: Array,
    c0: Array,
    recurrent: Array,
    bias: Array,
    mask: Array,
    reverse: bool,
) -> tuple[Array, Array]:
    """Fill gates, y and the states before each step; the states after the last."""
    import cupy

    h, c = cupy.empty_like(h0), cupy.empty_like(c0)
    form = Form.of(sizes, handed=1, summed=4)
    inputs = gates, recurrent, bias, h0, c0, mask, np.int32(reverse), *sizes.arguments, np.int32(form.rows)
    form.queue("persistent_forward", *inputs, y, h, c, h_before, c_before)
    return h, c


def _persistent_backward(
    sizes: Sizes,
    gates: Array,
    c_before: Array,
    dz: Array,
    dy: Array,
    dh: Array,
    dc: Array,
    recurrent: Array,
    mask: Array,
    reverse: bool,
) -> tuple[Array, Array]:
    """Fill dz; the slopes of the states before the first step."""
    import cupy

    dh0, dc0 = (cupy.empty((sizes.batch, sizes.units), sizes.dtype) for _ in range(2))
    if dh0.size:
        form = Form.of(sizes, handed=4, summed=1)
        inputs = gates, c_before, recurrent, mask, np.int32(reverse), *sizes.arguments, np.int32(form.rows)
        form.queue("persistent_backward", *inputs, dy, dh, dc, dz, dh0, dc0)
    return dh0, dc0


@dataclass(frozen=True)
class Form:
    """The shape of a persistent launch: groups of blocks that share the units, each with some rows of the batch."""

    dtype: str
    blocks: int  # of a group
    warps: int  # of a block
    rows: int  # of the batch that a group has at a time, one a warp
    groups: int
    handed: int  # numbers that the blocks hand each other for a unit
    shared: int  # bytes of a block
    clusters: bool  # whether a group is a cluster, or meets in global memory

    @classmethod
    def of(cls, sizes: Sizes, handed: int, summed: int) -> Form:
        """Enough groups to fill the GPU, and then more rows each; `summed` numbers a unit are summed over the warps."""
        processors, clusters = _gpu()
        dtype = sizes.dtype.name
        blocks, warps = _ceil(sizes.units, LANES), _ceil(sizes.units, DEPTH[dtype])
        fit = max(1, processors // blocks)
        bytes_a_row = warps * (2 * handed * DEPTH[dtype] + summed * LANES) * sizes.dtype.itemsize
        rows = min(warps, SHARED // bytes_a_row, _ceil(sizes.batch, fit))
        groups = _ceil(sizes.batch, rows)
        if blocks > 1 and not clusters:
            groups = min(groups, fit)  # they wait for each other, so all must be there; each takes more rows in turns
        return cls(dtype, blocks, warps, rows, groups, handed, rows * bytes_a_row, clusters)

    def queue(self, name: str, *arguments: Any) -> None:
        kernel = _kernel(name, self.dtype, self.blocks)
        shape = (self.groups * self.blocks,), (LANES * self.warps,)
        if self.blocks == 1 or self.clusters:
            kernel(*shape, (*arguments, NOTHING, NOTHING), shared_mem=self.shared)
            return
        # Cooperative, so that CUDA refuses a grid that is not on the GPU all at once; RawKernel's own switch
        # for it would link a library that only the whole toolkit has.
        kernel.kernel(*shape, (*arguments, *self._meeting()), shared_mem=self.shared, enable_cooperative_groups=True)

    def _meeting(self) -> tuple[Array, Array]:
        """Global memory for what blocks hand each other, and counters of those that have come."""
        import cupy

        room = self.groups, 2, self.rows, self.warps * DEPTH[self.dtype] * self.handed
        return cupy.empty(room, self.dtype), cupy.zeros(self.groups, np.uint32)


# ---- long states: a product of cuBLAS and one launch for each step ------------------------


def _stepwise_forward(
    sizes: Sizes,
    gates: Array,
    h_before: Array,
    c_before: Array,
    y: Array,
    h0: Array,
    c0: Array,
    recurrent: Array,
    bias: Array,
    mask: Array,
    reverse: bool,
) -> tuple[Array, Array]:
    """Fill gates, y and the states before each step; the states after the last."""
    import cupy

    h, c = h0.copy(), c0.copy()
    h_times_r = cupy.empty((sizes.batch, 4 * sizes.units), sizes.dtype)
    kernel, shape = _kernel("step_forward", sizes.dtype.name, 1), _one_thread_a_state(sizes)
    for step, t in enumerate(sizes.order(reverse)):
        cupy.dot(h, recurrent, out=h_times_r)
        now = np.int32(step), np.int32(t), *sizes.arguments
        kernel(*shape, (gates, h_times_r, bias, mask, *now, y, h, c, h_before, c_before))
    return h, c


def _stepwise_backward(
    sizes: Sizes,
    gates: Array,
    c_before: Array,
    dz: Array,
    dy: Array,
    dh: Array,
    dc: Array,
    recurrent: Array,
    mask: Array,
    reverse: bool,
) -> tuple[Array, Array]:
    """Fill dz; the slopes of the states before the first step."""
    import cupy

    state = sizes.batch, sizes.units
    dh, dc = (cupy.zeros(state, sizes.dtype) if slope is NOTHING else slope.copy() for slope in (dh, dc))
    doutput, dz_times_r = cupy.zeros_like(dh), cupy.zeros_like(dh)
    dz_now = cupy.empty((sizes.batch, 4 * sizes.units), sizes.dtype)
    kernel, shape = _kernel("step_backward", sizes.dtype.name, 1), _one_thread_a_state(sizes)
    for step, t in reversed(list(enumerate(sizes.order(reverse)))):
        now = np.int32(step), np.int32(t), *sizes.arguments
        kernel(*shape, (gates, c_before, mask, *now, dy, dz_times_r, dh, dc, doutput, dz, dz_now))
        cupy.dot(dz_now, recurrent.T, out=dz_times_r)
    return dh + dz_times_r, dc


def _one_thread_a_state(sizes: Sizes) -> tuple[tuple[int], tuple[int]]:
    return (_ceil(sizes.batch * sizes.units, THREADS),), (THREADS,)


# ---- kernels and arrays as CuPy has them --------------------------------------------------


@functools.cache
def _kernel(name: str, dtype: str, blocks: int) -> Any:
    """A kernel of cuda/lstm.cu, compiled for the number of blocks that share the units; CuPy keeps it on disk."""
    return _library(dtype, blocks).get_function(name)


@functools.cache
def _library(dtype: str, blocks: int) -> Any:
    import cupy

    with open(os.path.join(os.path.dirname(__file__), "cuda", "lstm.cu"), encoding="utf-8") as file:
        source = file.read()
    return cupy.RawModule(code=source, options=("--std=c++17", "--fmad=false", *definitions(dtype, blocks)))


def definitions(dtype: str, blocks: int) -> tuple[str, ...]:
    """What the compiler is told of a form."""
    real = {"float32": "float", "float64": "double"}[dtype]
    return f"-DREAL={real}", f"-DDEPTH={DEPTH[dtype]}", f"-DCLUSTER={blocks}"


def _gpu() -> tuple[int, bool]:
    """How many multiprocessors the current GPU has, and whether it has clusters."""
    import cupy

    return _gpu_by_number(cupy.cuda.Device().id)


@functools.cache
def _gpu_by_number(number: int) -> tuple[int, bool]:
    import cupy

    device = cupy.cuda.Device(number)
    return device.attributes["MultiProcessorCount"], int(device.compute_capability) >= 90


def _dense(array: Array) -> Array:
    import cupy

    return cupy.ascontiguousarray(array)


def _optional(array: Array | None) -> Array:
    return NOTHING if array is None else _dense(array)


def _rows(array: Array) -> Array:
    """(B, T, n) as (B T, n)"""
    batch, time, n = array.shape
    return array.reshape(batch * time, n)


def _ceil(work: int, each: int) -> int:
    return -(-work // each)
