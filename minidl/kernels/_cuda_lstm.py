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

WARP = 32
WARPS = 16  # of a block at most
DEPTH = {"float32": 16, "float64": 8}  # states that a thread multiplies: 64 registers of R
CLUSTER = 8  # blocks of a cluster at most, on every GPU that has clusters
TURNS = 4  # that groups without clusters take at the rows; with more to do, large products for each step are faster
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
    gates = cupy.matmul(_rows(x), kernel).reshape(*sizes.states[:2], 4 * sizes.units)  # x W, and then what z becomes
    y, h_before, c_before = (cupy.empty(sizes.states, x.dtype) for _ in range(3))
    cache = gates, h_before, c_before
    if not y.size:
        return y, h0.copy(), c0.copy(), cache
    given = h0, c0, recurrent, bias, _optional(mask), bool(reverse)
    if form := Form.of(sizes, handed=1, summed=4):
        h, c = _persistent_forward(form, sizes, *cache, y, *given)
    else:
        h, c = _stepwise_forward(sizes, *cache, y, *given)
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
    given = _optional(dy), dh, dc, recurrent, _optional(mask), bool(reverse)
    if not dz.size:
        dh0, dc0 = _copy_or_zeros(dh, h0), _copy_or_zeros(dc, c0)
    elif form := Form.of(sizes, handed=4, summed=1):
        dh0, dc0 = _persistent_backward(form, sizes, gates, c_before, dz, *given)
    else:
        dh0, dc0 = _stepwise_backward(sizes, gates, c_before, dz, *given)
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


def _persistent_forward(
    form: Form,
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
    inputs = gates, recurrent, bias, h0, c0, mask, np.int32(reverse), *sizes.arguments, np.int32(form.rows)
    form.queue("persistent_forward", *inputs, y, h, c, h_before, c_before)
    return h, c


def _persistent_backward(
    form: Form,
    sizes: Sizes,
    gates: Array,
    c_before: Array,
    dz: Array,
    dy: Array,
    dh: Array | None,
    dc: Array | None,
    recurrent: Array,
    mask: Array,
    reverse: bool,
) -> tuple[Array, Array]:
    """Fill dz; the slopes of the states before the first step."""
    import cupy

    dh0, dc0 = (cupy.empty((sizes.batch, sizes.units), sizes.dtype) for _ in range(2))
    inputs = gates, c_before, recurrent, mask, np.int32(reverse), *sizes.arguments, np.int32(form.rows)
    form.queue("persistent_backward", *inputs, dy, _optional(dh), _optional(dc), dz, dh0, dc0)
    return dh0, dc0


@dataclass(frozen=True)
class GPU:
    processors: int
    clusters: bool
    shared: int  # bytes that a block may have


@dataclass(frozen=True)
class Form:
    """The shape of a persistent launch: groups of blocks that share the units, each with some rows of the batch."""

    dtype: str
    units: int  # of a block, one a lane; the other lanes have the same units and other states
    blocks: int  # of a group
    warps: int  # of a block
    rows: int  # of the batch that a group has at a time
    groups: int
    handed: int  # numbers that the blocks hand each other for a unit
    shared: int  # bytes of a block
    cluster: bool  # whether a group is a cluster, or meets in global memory

    @classmethod
    def of(cls, sizes: Sizes, handed: int, summed: int) -> Form | None:
        """Enough groups to fill the GPU, and then more rows each; None where R does not fit in the GPU's registers.

        The kernel hands over `handed` numbers of each unit, and sums `summed` over the warps.
        """
        gpu, dtype = _gpu(), sizes.dtype.name
        units = next((n for n in (32, 16, 8) if sizes.units * n <= WARPS * WARP * DEPTH[dtype]), None)
        if units is None or _ceil(sizes.units, units) > gpu.processors:
            return None
        blocks, warps = _ceil(sizes.units, units), _ceil(sizes.units * units, WARP * DEPTH[dtype])
        cluster = 1 < blocks <= CLUSTER and gpu.clusters
        width = warps * WARP // units * DEPTH[dtype]
        bytes_a_row = (handed * width * (2 if cluster else 1) + summed * warps * units) * sizes.dtype.itemsize
        if bytes_a_row > gpu.shared:
            return None
        fit = gpu.processors // blocks
        most = min(WARP * warps // units, gpu.shared // bytes_a_row, _ceil(sizes.batch, fit))
        turns = _ceil(sizes.batch, fit * most)
        rows = _ceil(sizes.batch, fit * turns)
        groups = _ceil(sizes.batch, rows)
        if blocks > 1 and not cluster:
            if turns > TURNS:
                return None
            groups = min(groups, fit)  # blocks that wait for each other must all be on the GPU
        return cls(dtype, units, blocks, warps, rows, groups, handed, rows * bytes_a_row, cluster)

    def queue(self, name: str, *arguments: Any) -> None:
        kernel = _kernel(name, self.dtype, self.units, self.blocks)
        shape = (self.groups * self.blocks,), (WARP * self.warps,)
        if self.blocks == 1 or self.cluster:
            kernel(*shape, (*arguments, NOTHING, NOTHING), shared_mem=self.shared)
            return
        # Cooperative, so that CUDA refuses a grid that is not on the GPU all at once; RawKernel's own switch
        # for it would link a library that only the whole toolkit has.
        kernel.kernel(*shape, (*arguments, *self._meeting()), shared_mem=self.shared, enable_cooperative_groups=True)

    def _meeting(self) -> tuple[Array, Array]:
        """Global memory for what blocks hand each other, and counters of those that have come."""
        import cupy

        room = self.groups, 2, self.rows, self.warps * WARP // self.units * DEPTH[self.dtype] * self.handed
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
    kernel, shape = _kernel("step_forward", sizes.dtype.name), _one_thread_a_state(sizes)
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
    dh: Array | None,
    dc: Array | None,
    recurrent: Array,
    mask: Array,
    reverse: bool,
) -> tuple[Array, Array]:
    """Fill dz; the slopes of the states before the first step."""
    import cupy

    state = c_before[:, 0]
    dh, dc = _copy_or_zeros(dh, state), _copy_or_zeros(dc, state)
    doutput, dz_times_r = cupy.zeros_like(dh), cupy.zeros_like(dh)
    dz_now = cupy.empty((sizes.batch, 4 * sizes.units), sizes.dtype)
    kernel, shape = _kernel("step_backward", sizes.dtype.name), _one_thread_a_state(sizes)
    for step, t in reversed(list(enumerate(sizes.order(reverse)))):
        now = np.int32(step), np.int32(t), *sizes.arguments
        kernel(*shape, (gates, c_before, mask, *now, dy, dz_times_r, dh, dc, doutput, dz, dz_now))
        cupy.dot(dz_now, recurrent.T, out=dz_times_r)
    return dh + dz_times_r, dc


def _one_thread_a_state(sizes: Sizes) -> tuple[tuple[int], tuple[int]]:
    return (_ceil(sizes.batch * sizes.units, THREADS),), (THREADS,)


# ---- kernels and arrays as CuPy has them --------------------------------------------------


@functools.cache
def _kernel(name: str, dtype: str, units: int = 32, blocks: int = 1) -> Any:
    """A kernel of cuda/lstm.cu, compiled for a form; CuPy keeps what it compiled on disk."""
    kernel = _library(dtype, units, blocks).get_function(name)
    kernel.max_dynamic_shared_size_bytes = _gpu().shared
    return kernel


@functools.cache
def _library(dtype: str, units: int, blocks: int) -> Any:
    import cupy

    with open(os.path.join(os.path.dirname(__file__), "cuda", "lstm.cu"), encoding="utf-8") as file:
        source = file.read()
    return cupy.RawModule(code=source, options=("--std=c++17", "--fmad=false", *definitions(dtype, units, blocks)))


def definitions(dtype: str, units: int, blocks: int) -> tuple[str, ...]:
    """What the compiler is told of a form."""
    real = {"float32": "float", "float64": "double"}[dtype]
    return f"-DREAL={real}", f"-DDEPTH={DEPTH[dtype]}", f"-DUNITS={units}", f"-DBLOCKS={blocks}"


def _gpu() -> GPU:
    import cupy

    return _gpu_by_number(cupy.cuda.Device().id)


@functools.cache
def _gpu_by_number(number: int) -> GPU:
    import cupy

    device = cupy.cuda.Device(number)
    of = device.attributes
    clusters = int(device.compute_capability) >= 90
    return GPU(of["MultiProcessorCount"], clusters, of["MaxSharedMemoryPerBlockOptin"])


def _dense(array: Array) -> Array:
    import cupy

    return cupy.ascontiguousarray(array)


def _optional(array: Array | None) -> Array:
    return NOTHING if array is None else _dense(array)


def _copy_or_zeros(slope: Array | None, state: Array) -> Array:
    import cupy

    return cupy.zeros(state.shape, state.dtype) if slope is None else _dense(slope).copy()


def _rows(array: Array) -> Array:
    """(B, T, n) as (B T, n)"""
    batch, time, n = array.shape
    return array.reshape(batch * time, n)


def _ceil(work: int, each: int) -> int:
    return -(-work // each)
