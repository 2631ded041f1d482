"""The LSTM of `cuda`: which kernels of cuda/lstm*.cu run, in what shape, between the large products of cuBLAS.

Short states run persistently, with R in registers and the whole sequence in one launch; long ones step by step. The
host never waits for the GPU: a call returns when its work is queued.

Letters in shapes: B batch, T time, D features in, U units.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.kernels._cuda import NULL, WARP, _blocks, _empty, _kernel, _sum_columns
from minidl.kernels._cuda_blas import product, product_into, rounds

Array = Any
LSTMCache = tuple[Array, ...]

WARPS = 16  # of a block at most
DEPTH = {"float32": 16, "float64": 8}  # states that a thread multiplies, as in lstm.cuh: R takes 64 registers
REAL = {"float32": "REAL=float", "float64": "REAL=double"}
CLUSTER = 8  # blocks of a cluster at most, on every GPU that has clusters
UNASKED = 48 << 10  # bytes of shared memory that a block gets without the kernel's asking for more
ROWS = 32  # of a group at most: what 128 blocks give each other for more in one step outgrows the second cache
BARRIERS = 4  # of a cluster, as in lstm.cu: their bytes as numbers, of either type
SUBTOTALS = 8  # as in lstm_wide.cu
# Clusters of so many blocks that are on an H200 of 132 processors at once, where each block takes one, by
# cuOccupancyMaxActiveClusters. A cluster lies in one part of the GPU, and the parts are not multiples of it.
CLUSTERS, PROCESSORS = {2: 66, 3: 39, 4: 31, 5: 22, 6: 17, 7: 15, 8: 15}, 132

# Nanoseconds of a step, to choose between one launch and two a step, as an H200 took them: H 384 to 1024, B 1 to 256,
# forward and backward within a fifth of these.
MEETING = 2300  # of 32 to 128 blocks in global memory, with the gates and what comes before the first row
ROW = {"float32": 15.5, "float64": 31}  # of a row in a warp; in float64 by reckoning
PRODUCT = {"float32": 0.0063, "float64": 0.0126}  # of cuBLAS, for a multiply-add on one processor; so is this
TENSOR_CORES = 0.2  # of that in float32, where products are rounded
STEP = 8_600  # of cuBLAS before and behind its multiply-adds, and of the kernel of a step
LAUNCHES = 30_000  # of the host for both. A graph needs none, but must give the bits of what it stands for
THREADS = 256  # of a block that does one step


def forward(
    x: Array,
    h0: Array,
    c0: Array,
    kernel: Array,
    recurrent: Array,
    bias: Array,
    mask: Array | None,
    reverse: bool,
    keep: bool,
) -> tuple[Array, Array, Array, LSTMCache | None]:
    """y, h, c, and for backward the gates and the states before each step, at the time they belong to."""
    sizes = Sizes(x, recurrent)
    gates = product(_rows(x), kernel).reshape(sizes.batch, sizes.time, 4 * sizes.units)  # x W, to go on from
    y = _empty((sizes.batch, sizes.time, sizes.units), x.dtype)
    h_before, c_before = (_empty(y.shape, x.dtype) if keep else None for _ in range(2))
    given, made = (recurrent, bias, h0, c0, mask, reverse), (gates, y, h_before, c_before)
    if not y.size:
        h, c = h0.copy(), c0.copy()
    elif form := Form.of(_gpu(), sizes.batch, sizes.units, sizes.dtype):
        h, c = _persistent_forward(form, sizes, *given, *made)
    else:
        h, c = _stepwise_forward(sizes, *given, *made)
    return y, h, c, (gates, h_before, c_before) if keep else None


def backward(
    dy: Array | None,
    dh: Array | None,
    dc: Array | None,
    x: Array,
    kernel: Array,
    recurrent: Array,
    mask: Array | None,
    reverse: bool,
    gates: Array,
    h_before: Array,
    c_before: Array,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """dx, dh0, dc0, dW, dR, db: dz step by step, and all that is made of it in large products."""
    sizes = Sizes(x, recurrent)
    dz = _empty(gates.shape, gates.dtype)
    given = gates, c_before, recurrent, mask, reverse, dy, dh, dc
    if not dz.size:
        dh0, dc0 = _copy_or_zeros(dh, sizes), _copy_or_zeros(dc, sizes)
    elif form := Form.of(_gpu(), sizes.batch, sizes.units, sizes.dtype, backward=True):
        dh0, dc0 = _persistent_backward(form, sizes, *given, dz)
    else:
        dh0, dc0 = _stepwise_backward(sizes, *given, dz)
    dz = _rows(dz)
    dx = product(dz, kernel.T).reshape(x.shape)
    inputs = x if mask is None else np.where(mask[:, :, None], x, 0)  # of masked steps dz is 0, and x may be NaN
    return dx, dh0, dc0, product(_rows(inputs).T, dz), product(_rows(h_before).T, dz), _sum_columns(dz)


class Sizes:
    """B, T and U, and the type, as the kernels take them."""

    def __init__(self, x: Array, recurrent: Array) -> None:
        self.batch, self.time, _ = x.shape
        self.units = len(recurrent)
        self.dtype = x.dtype
        self.arguments = np.int32(self.batch), np.int32(self.time), np.int32(self.units)

    def order(self, reverse: bool) -> range:
        """The time of each step."""
        return range(self.time - 1, -1, -1) if reverse else range(self.time)


# ---- short states: the whole sequence in one launch ---------------------------------------


def _persistent_forward(
    form: Form,
    sizes: Sizes,
    recurrent: Array,
    bias: Array,
    h0: Array,
    c0: Array,
    mask: Array | None,
    reverse: bool,
    gates: Array,
    y: Array,
    h_before: Array | None,
    c_before: Array | None,
) -> tuple[Array, Array]:
    """Fill y, and to keep them gates and the states before each step; the states after the last."""
    h, c = _empty(h0.shape, h0.dtype), _empty(c0.shape, c0.dtype)
    inputs = gates, recurrent, bias, h0, c0, mask, np.int32(reverse), *sizes.arguments, np.int32(form.rows)
    form.queue(*inputs, y, h, c, h_before, c_before)
    return h, c


def _persistent_backward(
    form: Form,
    sizes: Sizes,
    gates: Array,
    c_before: Array,
    recurrent: Array,
    mask: Array | None,
    reverse: bool,
    dy: Array | None,
    dh: Array | None,
    dc: Array | None,
    dz: Array,
) -> tuple[Array, Array]:
    """Fill dz; the slopes of the states before the first step."""
    dh0, dc0 = (_empty((sizes.batch, sizes.units), sizes.dtype) for _ in range(2))
    inputs = gates, c_before, recurrent, mask, np.int32(reverse), *sizes.arguments, np.int32(form.rows)
    form.queue(*inputs, dy, dh, dc, dz, dh0, dc0)
    return dh0, dc0


@dataclass(frozen=True)
class GPU:
    """What of a GPU decides on the form, and its number: a kernel is loaded for one GPU."""

    number: int
    processors: int
    clusters: bool
    shared: int  # bytes that a block may have


@dataclass(frozen=True)
class Form:
    """The shape of a persistent launch: groups of blocks that share the units, each with some rows of the batch."""

    backward: bool
    dtype: str
    units: int  # of a block, one a lane; the other lanes have the same units and other states
    blocks: int  # of a group, which have all units
    warps: int  # of a block
    rows: int  # of the batch that a group has at a time
    groups: int
    shared: int  # bytes of a block
    cluster: bool  # whether a group is a cluster, or meets in global memory

    @classmethod
    @functools.lru_cache(1024)
    def of(cls, gpu: GPU, batch: int, all_units: int, real: np.dtype[Any], backward: bool = False) -> Form | None:
        """Enough groups to fill the GPU, and then more rows each.

        None where R does not fit in the GPU's registers, or where large products for each step take less time.
        """
        dtype, size = real.name, real.itemsize
        units = next((n for n in (32, 16, 8) if all_units * n <= WARPS * WARP * DEPTH[dtype]), None)
        if units is None or _blocks(all_units, units) > gpu.processors:
            return None
        blocks, warps = _blocks(all_units, units), _blocks(all_units * units, WARP * DEPTH[dtype])
        cluster = 1 < blocks <= CLUSTER and gpu.clusters
        once, a_row = _shared(units, blocks, warps, cluster, dtype, backward)
        fit = _fit(gpu, blocks, warps, cluster)
        most = min(WARP * warps // units, ROWS, (gpu.shared - once * size) // (a_row * size), _blocks(batch, fit))
        if most < 1:
            return None
        turns = _blocks(batch, fit * most)
        rows = _blocks(batch, fit * turns)
        groups = _blocks(batch, rows)
        if blocks > 1 and not cluster:
            if turns * (MEETING + rows * warps * ROW[dtype]) > _stepwise_time(gpu, batch, all_units, dtype):
                return None
            groups = min(groups, fit)  # blocks that wait for each other must all be on the GPU
        return cls(backward, dtype, units, blocks, warps, rows, groups, (once + rows * a_row) * size, cluster)

    @property
    def wide(self) -> bool:
        """Whether a group meets in global memory."""
        return self.blocks > 1 and not self.cluster

    @functools.cached_property
    def _kernel(self) -> Any:
        definitions = REAL[self.dtype], f"UNITS={self.units}", f"BLOCKS={self.blocks}"
        family, stem = ("lstm_wide", "wide") if self.wide else ("lstm", "persistent")
        kernel = _kernel(family, f"{stem}_{'backward' if self.backward else 'forward'}", definitions)
        if self.shared > UNASKED:  # the same for all forms of a kernel, in whatever order they are made
            kernel.max_dynamic_shared_size_bytes = _gpu().shared
        return kernel

    def queue(self, *arguments: Any) -> None:
        shape, kernel = ((self.groups * self.blocks,), (WARP * self.warps,)), self._kernel
        if not self.wide:
            kernel(*shape, _pointers(*arguments), shared_mem=self.shared)
            return
        # Cooperative, so that all blocks are on the GPU at once: where there is no room for them CuPy warns and
        # launches fewer, and the groups that are whole take the rows of one that is not. RawKernel's own switch for it
        # would link a library that only the whole toolkit has.
        given = _pointers(*arguments, *self._meeting())
        kernel.kernel(*shape, given, shared_mem=self.shared, enable_cooperative_groups=True)

    def _meeting(self) -> tuple[Array, Array]:
        """Global memory for what blocks hand each other, and for each shift a counter of those that have come."""
        import cupy

        width = self.warps * WARP // self.units * DEPTH[self.dtype]
        if self.backward:  # nobody reads what nobody wrote
            room = _empty((self.groups, 2, self.blocks, self.rows, self.blocks, self.units), self.dtype)
        else:  # the states past the last are zeros
            room = cupy.zeros((self.groups, 2, self.rows, width), self.dtype)
        return room, cupy.zeros((self.groups, 2), np.uint32)


def _shared(units: int, blocks: int, warps: int, cluster: bool, dtype: str, backward: bool) -> tuple[int, int]:
    """Numbers that a block has in shared memory: once, and for each row. As in lstm.cu and lstm_wide.cu."""
    wide = blocks > 1 and not cluster
    once = 0 if wide else BARRIERS
    if backward:
        return once, (2 * 4 + (min(blocks, SUBTOTALS) if wide else 2 * blocks)) * units
    width = warps * WARP // units * DEPTH[dtype]
    return once + 4 * units, width * (2 if cluster else 1) + 4 * warps * units


def _fit(gpu: GPU, blocks: int, warps: int, cluster: bool) -> int:
    """Groups that are on the GPU at once; as many to begin with, where blocks need not wait for each other."""
    if not cluster:
        return max(gpu.processors // blocks, 1)
    return max(WARPS // warps * CLUSTERS[blocks] * gpu.processors // PROCESSORS, 1)


def _stepwise_time(gpu: GPU, batch: int, units: int, dtype: str) -> float:
    """Of a step in two launches: the GPU's, or those of the host if these are more."""
    each = PRODUCT[dtype] * (TENSOR_CORES if rounds() and dtype == "float32" else 1)
    return max(LAUNCHES, STEP + 4 * batch * units**2 / gpu.processors * each)


# ---- long states: a product of cuBLAS and one launch for each step ------------------------


def _stepwise_forward(
    sizes: Sizes,
    recurrent: Array,
    bias: Array,
    h0: Array,
    c0: Array,
    mask: Array | None,
    reverse: bool,
    gates: Array,
    y: Array,
    h_before: Array | None,
    c_before: Array | None,
) -> tuple[Array, Array]:
    """Fill y, and to keep them gates and the states before each step; the states after the last."""
    h, c = h0.copy(), c0.copy()
    h_times_r = _empty((sizes.batch, 4 * sizes.units), sizes.dtype)
    kernel, shape = _kernel("lstm", "step_forward", (REAL[sizes.dtype.name],)), _one_thread_a_state(sizes)
    multiply, given = product_into(h_times_r, h, recurrent), _pointers(gates, h_times_r, bias, mask)
    made = _pointers(*sizes.arguments, y, h, c, h_before, c_before)
    for step, t in enumerate(sizes.order(reverse)):
        multiply()
        kernel(*shape, (*given, np.int32(step), np.int32(t), *made))
    return h, c


def _stepwise_backward(
    sizes: Sizes,
    gates: Array,
    c_before: Array,
    recurrent: Array,
    mask: Array | None,
    reverse: bool,
    dy: Array | None,
    dh: Array | None,
    dc: Array | None,
    dz: Array,
) -> tuple[Array, Array]:
    """Fill dz; the slopes of the states before the first step."""
    dh, dc = _copy_or_zeros(dh, sizes), _copy_or_zeros(dc, sizes)
    doutput, dz_times_r = _copy_or_zeros(None, sizes), _copy_or_zeros(None, sizes)
    dz_now = _empty((sizes.batch, 4 * sizes.units), sizes.dtype)
    kernel, shape = _kernel("lstm", "step_backward", (REAL[sizes.dtype.name],)), _one_thread_a_state(sizes)
    multiply, given = product_into(dz_times_r, dz_now, recurrent.T), _pointers(gates, c_before, mask)
    made = _pointers(*sizes.arguments, dy, dz_times_r, dh, dc, doutput, dz, dz_now)
    for step, t in reversed(list(enumerate(sizes.order(reverse)))):
        kernel(*shape, (*given, np.int32(step), np.int32(t), *made))
        multiply()
    return dh + dz_times_r, dc


def _one_thread_a_state(sizes: Sizes) -> tuple[tuple[int], tuple[int]]:
    return (_blocks(sizes.batch * sizes.units, THREADS),), (THREADS,)


# ---- what the kernels are given -----------------------------------------------------------


def _pointers(*arguments: Any) -> tuple[Any, ...]:
    return tuple(NULL if argument is None else argument for argument in arguments)


def _gpu() -> GPU:
    import cupy

    return _gpu_by_number(cupy.cuda.runtime.getDevice())


@functools.cache
def _gpu_by_number(number: int) -> GPU:
    import cupy

    device = cupy.cuda.Device(number)
    of = device.attributes
    return GPU(
        number, of["MultiProcessorCount"], int(device.compute_capability) >= 90, of["MaxSharedMemoryPerBlockOptin"]
    )


def _copy_or_zeros(slope: Array | None, sizes: Sizes) -> Array:
    import cupy

    return cupy.zeros((sizes.batch, sizes.units), sizes.dtype) if slope is None else slope.copy()


def _rows(array: Array) -> Array:
    """(B, T, n) as (B T, n)"""
    batch, time, n = array.shape
    return array.reshape(batch * time, n)
