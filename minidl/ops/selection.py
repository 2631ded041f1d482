"""Picking, ordering and repeating elements: all of it indexing, so its gradients are those of indexing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl import devices
from minidl.kernels.axes import one_axis
from minidl.ops.arithmetic import where
from minidl.ops.coercion import constant, on_host
from minidl.ops.reductions import Sum
from minidl.ops.shapes import AddAt, flatten, getitem, reshape
from minidl.tensors import FUNCTIONS, Op, Tensor, as_tensor, check_one_device, wrap


class Repeat(Op):
    """y = x, with axes of length 1 set apart, repeated along these to the shape;  dx = the sum over the repetitions"""

    reads_inputs = False

    def forward(self, x: Any, apart: tuple[int, ...], shape: tuple[int, ...]) -> Any:
        self.shape = x.shape
        self.axes = tuple([i for i, (one, n) in enumerate(zip(apart, shape, strict=True)) if one != n])
        return devices.broadcast_to(x.reshape(apart), shape).copy()  # not a view of x where one would do

    def backward(self, dy: Any) -> Any:
        return Sum.apply(dy, axis=self.axes, keepdims=False).reshape(self.shape)


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """The elements of x at the indices along an axis; of all elements in order if none is given."""
    x = flatten(x) if axis is None else as_tensor(x)
    axis = one_axis(axis or 0, x.ndim)
    check_one_device("take", x, indices)
    places = constant(indices)
    if places.size and places.dtype.kind not in "biu":
        raise TypeError(f"take: indices must be integers, got {places.dtype}")
    return getitem(x, (slice(None),) * axis + (places.astype(np.intp, copy=False),))


def take_along_axis(x: Any, indices: Any, axis: int) -> Tensor:
    """y[i, j, …] = x[i, indices[i, j, …], …] for axis 1, and so on. Indices of as many axes as x, which broadcast.

    >>> import minidl as md
    >>> md.take_along_axis(md.Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), [[2], [0]], axis=1)
    Tensor([[3.],
            [4.]])
    """
    x = as_tensor(x)
    check_one_device("take_along_axis", x, indices)
    indices = constant(indices)
    axis = one_axis(axis, x.ndim)
    if indices.ndim != x.ndim:
        raise ValueError(f"take_along_axis: indices have {indices.ndim} axes and x has {x.ndim}; they must agree")
    own_places = np.ogrid[tuple(slice(n) for n in x.shape)]
    return getitem(x, tuple(indices if i == axis else own for i, own in enumerate(own_places)))


MANY = 1000  # from so many elements on it takes less to sort them with their places than the places by them
PLACE = 2**32 - 1  # the lower half of 64 bits, which holds a place


def _carry_places(x: Any) -> bool:
    """Whether the elements leave room for their places in 64 bits. On a GPU what CuPy does is as fast."""
    return x.dtype in (np.float16, np.float32) and MANY <= x.size <= PLACE and not devices.on_gpu(x)


def _with_places(x: Any, axis: int, largest_first: bool) -> Any:
    """64-bit integers that order as the elements do, NaN as the largest, or the other way, and by place where they tie.

    The bits of a positive float order as it does, and those of a negative one the other way.
    """
    with np.errstate(invalid="ignore"):  # a NaN that signals
        bits = np.where(x == x, x + np.float32(0), np.float32(np.nan)).view(np.int32)  # one zero, one NaN
    bits ^= (bits >> 31) & (2**31 - 1)
    places = np.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return (~bits if largest_first else bits).astype(np.int64) << 32 | places


def argsort(x: Any, axis: int | None = -1) -> Tensor:
    """The indices that sort x along an axis; those that tie keep their order. Integers: no gradient."""
    x = constant(x)
    x, axis = (x.reshape(-1), 0) if axis is None else (x, one_axis(axis, x.ndim))
    if _carry_places(x):
        return wrap(np.sort(_with_places(x, axis, largest_first=False), axis) & PLACE)
    return wrap(np.argsort(x, axis, kind="stable"))


def sort(x: Any, axis: int | None = -1) -> Tensor:
    """The elements in ascending order along an axis, or all of them in one if it is None; NaN last."""
    x, axis = (flatten(x), 0) if axis is None else (x, axis)
    return take_along_axis(x, argsort(x, axis), axis)


def topk(x: Any, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    """The k largest elements along an axis, largest first, and their indices; of those that tie the first come first.

    >>> import minidl as md
    >>> md.topk(md.Tensor([3.0, 9.0, 1.0, 9.0]), 3)
    (Tensor([9., 9., 3.]), Tensor([1, 3, 0]))
    """
    x = as_tensor(x)
    axis = one_axis(axis, x.ndim)
    n = x.shape[axis]
    if not 0 <= k <= n:
        raise ValueError(f"topk: k must lie between 0 and the {n} elements along axis {axis}, got {k}")
    every = (slice(None),) * axis
    if _carry_places(x._array):
        ranked = _with_places(x._array, axis, largest_first=True)
        ranked = np.partition(ranked, k - 1, axis)[(*every, slice(k))] if 0 < k < n else ranked
        order = np.sort(ranked, axis) & PLACE
    else:
        backwards = (*every, slice(None, None, -1))
        order = n - 1 - argsort(x._array[backwards], axis)._array[backwards]
    first = order[(*every, slice(k))]
    return take_along_axis(x, first, axis), wrap(first)


def repeat(x: Any, repeats: int | Sequence[int], axis: int | None = None) -> Tensor:
    """Each element several times in a row along an axis; all elements in order if none is given."""
    x = flatten(x) if axis is None else as_tensor(x)
    axis = one_axis(axis or 0, x.ndim)
    if isinstance(repeats, (int, np.integer)) and repeats >= 0:
        before, n, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
        y = Repeat.apply(x, apart=(*before, n, 1, *after), shape=(*before, n, int(repeats), *after))
        return reshape(y, *before, n * int(repeats), *after)
    return take(x, np.repeat(np.arange(x.shape[axis]), on_host(repeats)), axis)


def tile(x: Any, reps: int | Sequence[int]) -> Tensor:
    """The whole several times along each axis, as in NumPy: reps and shape are aligned at their ends."""
    x = as_tensor(x)
    times = (reps,) if isinstance(reps, (int, np.integer)) else tuple(reps)
    ndim = max(x.ndim, len(times))
    pairs = list(zip((1,) * (ndim - len(times)) + times, (1,) * (ndim - x.ndim) + x.shape, strict=True))
    apart, shape = tuple(m for _, n in pairs for m in (1, n)), tuple(int(m) for pair in pairs for m in pair)
    return reshape(Repeat.apply(x, apart=apart, shape=shape), [int(r) * n for r, n in pairs])


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Tensor:
    """A margin of one value around x: pad_width as in NumPy, n, (before, after), or such a pair for each axis.

    >>> import minidl as md
    >>> md.pad(md.Tensor([1.0, 2.0]), (1, 2))
    Tensor([0., 1., 2., 0., 0.])
    """
    x = as_tensor(x)
    if mode != "constant":
        raise ValueError(f'pad: mode must be "constant", got {mode!r}; index with an array for reflections')
    widths = np.broadcast_to(pad_width, (x.ndim, 2)).tolist()
    if any(n < 0 for pair in widths for n in pair):
        raise ValueError(f"pad: widths must not be negative, got {pad_width}")
    shape = tuple(before + n + after for n, (before, after) in zip(x.shape, widths, strict=True))
    inside = tuple(slice(before, before + n) for n, (before, _) in zip(x.shape, widths, strict=True))
    y = AddAt.apply(x, shape=shape, key=inside)
    if constant_values == 0:
        return y
    margin = devices.full(shape, True, x._array, bool)
    margin[inside] = False
    return where(margin, constant_values, y)


def diag(x: Any, k: int = 0) -> Tensor:
    """The k-th diagonal of a matrix, or the matrix that has the vector x on its k-th diagonal."""
    x = as_tensor(x)
    if x.ndim not in (1, 2):
        raise ValueError(f"diag needs a vector or a matrix, got shape {x.shape}")
    below, right = max(-k, 0), max(k, 0)
    n = x.size if x.ndim == 1 else max(min(x.shape[0] - below, x.shape[1] - right), 0)
    along = np.arange(n, like=x._array)
    key = along + below, along + right
    return AddAt.apply(x, shape=(n + abs(k),) * 2, key=key) if x.ndim == 1 else getitem(x, key)


def tril(x: Any, k: int = 0) -> Tensor:
    """The matrix with zeros above its k-th diagonal; of a stack of matrices each."""
    x = as_tensor(x)
    return where(_below(x, k), x, False)


def triu(x: Any, k: int = 0) -> Tensor:
    """The matrix with zeros below its k-th diagonal; of a stack of matrices each."""
    x = as_tensor(x)
    return where(_below(x, k - 1), False, x)


def _below(x: Tensor, k: int) -> Any:
    if x.ndim < 2:
        raise ValueError(f"tril and triu need a matrix, got shape {x.shape}")
    rows, columns = x.shape[-2:]
    return np.tri(rows, columns, k, bool, like=x._array)


METHODS = {f.__name__: f for f in (take, argsort, repeat)}
FUNCTIONS |= {
    getattr(np, f.__name__): f for f in (take, take_along_axis, argsort, sort, repeat, tile, pad, diag, tril, triu)
}
