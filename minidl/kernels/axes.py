"""Axes: the kernels reduce rows and columns of matrices, and this brings an array of any axes to them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from minidl import kernels
from minidl.kernels import on_gpu
from minidl.kernels.validate import FLOATS

Axis = int | tuple[int, ...] | None
SHORT = 4096  # numbers that NumPy adds up over axes apart before two kernels are called
LONG = 1 << 16  # numbers in another order than C's from which on it pays to find out in which


class Layout(NamedTuple):
    """An array as a reduction sees it."""

    axes: tuple[int, ...]  # those that go, from 0 on and in order
    n: int  # how many elements make one of the result
    kept: tuple[int, ...]  # the result's shape, with axes of length 1 for those that go
    left: tuple[int, ...]  # and without them
    matrices: tuple[int, int, int] | None  # so many, of n rows and so many columns; None if the axes lie apart,
    apart: tuple[tuple[int, ...], tuple[int, ...]] | None  # and then the last that lie together, and the others


def layout_of(shape: tuple[int, ...], axis: Axis) -> Layout:
    """How an array of this shape is reduced over the axes."""
    return _layout_of(shape, index_of(axis))


def index_of(axis: Axis) -> Axis:
    """An axis as an integer, several as a tuple of such. An array, or a tensor, may hold another one later."""
    if axis is None or type(axis) is int:
        return axis
    return tuple(map(operator.index, axis)) if isinstance(axis, tuple) else operator.index(axis)


def one_axis(axis: Any, ndim: int) -> int:
    """The place of an axis among so many, counted from the first."""
    try:
        return normalize_axis_index(operator.index(axis), ndim)
    except TypeError:
        raise TypeError(f"expected one axis as an integer, got axis={axis!r}") from None


@lru_cache(4096)  # to find it out takes as long as a short sum
def _layout_of(shape: tuple[int, ...], axis: Axis) -> Layout:
    every = range(len(shape))
    given = every if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = sorted([normalize_axis_index(a, len(shape)) for a in given])
    if len({*axes}) < len(axes):
        raise ValueError(f"duplicate value in 'axis': {axis}")
    n = math.prod([shape[a] for a in axes])
    kept = tuple([1 if a in axes else shape[a] for a in every])
    left = tuple([shape[a] for a in every if a not in axes])
    matrices = apart = None
    run = next((i for i in range(len(axes) - 1, 0, -1) if axes[i - 1] != axes[i] - 1), 0)
    if run:
        apart = tuple(axes[run:]), tuple(axes[:run])
    elif axes:
        matrices = math.prod(shape[: axes[0]]), n, math.prod(shape[axes[-1] + 1 :])
    return Layout(tuple(axes), n, kept, left, matrices, apart)


def sum_of(x: Any, axis: Axis, keepdims: bool) -> Any:
    """Σ x of an array over the axes."""
    layout = layout_of(x.shape, axis)
    _, n, kept, left, matrices, apart = layout
    if x.dtype not in FLOATS:
        if x.dtype == np.float16:
            return sum_of(x.astype(np.float32), axis, keepdims).astype(x.dtype)
        return x.sum(axis, keepdims=keepdims)
    if on_gpu(x):
        if matrices is None:
            x = x.transpose(sorted(range(x.ndim), key=lambda a: kept[a] != x.shape[a]))  # those that go behind the rest
    elif not x.flags.c_contiguous or (matrices is None and x.size < SHORT):
        # Of what does not lie dense the kernel would need a copy, and NumPy goes along with the strides. CuPy does too,
        # on few processors, or in an order that hangs on the GPU.
        y = _along_memory(sum_of, x, layout, keepdims)
        return x.sum(axis, keepdims=keepdims) if y is None else y
    elif apart is not None:
        last, others = apart
        y = sum_of(sum_of(x, last, keepdims=True), others, keepdims=True)
        return y if keepdims else y.reshape(left)
    if matrices is None or matrices[2] == 1:
        y = kernels.of(x).sum_rows(x.reshape(*left, n))
    else:
        y = kernels.of(x).sum_columns(x.reshape(matrices))
    shape = kept if keepdims else left
    return y if y.shape == shape else y.reshape(shape)


def extreme_of(x: Any, axis: Axis, keepdims: bool, largest: bool) -> Any:
    """max x or min x of an array over the axes."""
    layout = layout_of(x.shape, axis)
    if takes_extreme(x, layout):
        y = kernels.of(x).extreme_forward(x.reshape(layout.matrices), largest)
        return y.reshape(layout.kept if keepdims else layout.left)
    y = _along_memory(partial(extreme_of, largest=largest), x, layout, keepdims)
    return (x.max if largest else x.min)(axis, keepdims=keepdims) if y is None else y


def takes_extreme(x: Any, layout: Layout) -> bool:
    """Whether a kernel does it. What does not lie dense it would copy, and NumPy goes along with the strides."""
    goes = x.flags.c_contiguous or on_gpu(x)  # CuPy does so on few processors
    return layout.matrices is not None and x.dtype in FLOATS and goes and x.size > 0


# ---- dense in another order of the axes ---------------------------------------------------


def as_it_lies(x: Any) -> tuple[Any, Sequence[int]]:
    """x with its axes as they lie in memory, and their order, if x is long and dense so; else x, and none."""
    if x.size < LONG or on_gpu(x) or x.flags.c_contiguous:
        return x, ()
    order = sorted(range(x.ndim), key=x.strides.__getitem__, reverse=True)
    dense = x.transpose(order)
    return (dense, order) if dense.flags.c_contiguous else (x, ())


def _along_memory(reduce: Callable[..., Any], x: Any, layout: Layout, keepdims: bool) -> Any:
    """x reduced with its axes as they lie in memory; None if that does not make it dense."""
    dense, order = as_it_lies(x)
    if not order:
        return None
    y = back_in_order(reduce(dense, axes_in(order, layout), keepdims=True), order)
    return y if keepdims else y.reshape(layout.left)


def axes_in(order: Sequence[int], layout: Layout) -> tuple[int, ...]:
    """Where the axes that go are in this order."""
    return tuple([order.index(a) for a in layout.axes])


def back_in_order(y: Any, order: Sequence[int]) -> Any:
    """An array whose axes are in this order, with its axes where they were."""
    return y.transpose(sorted(range(y.ndim), key=order.__getitem__))
