"""Sums, means and extremes over axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from minidl import devices, kernels
from minidl.kernels.validate import FLOATS
from minidl.ops.arithmetic import Where, square
from minidl.ops.coercion import constant, floating
from minidl.ops.shapes import BroadcastTo
from minidl.tensors import FUNCTIONS, Op, Tensor, as_tensor, wrap

Axis = int | tuple[int, ...] | None


class Sum(Op):
    """y = Σ x over the axes;  dx = dy, broadcast back"""

    reads_inputs = False

    def forward(self, x: Any, axis: Axis, keepdims: bool) -> Any:
        shape = self.shape = x.shape
        place = _place(len(shape), axis)
        # Of columns that do not lie dense the kernel would need a copy, and NumPy goes along with the strides.
        if place is None or x.dtype not in FLOATS or (place[1] < len(shape) and not x.flags.c_contiguous):
            self.kept = _kept_shape(shape, axis)
            return x.sum(axis, keepdims=keepdims)
        first, end = place
        self.kept = (*shape[:first], *(1,) * (end - first), *shape[end:])
        before, summed, after = shape[:first], math.prod(shape[first:end]), shape[end:]
        if after:
            y = kernels.of(x).sum_columns(x.reshape(*before, summed, math.prod(after)))
        else:
            y = kernels.of(x).sum_rows(x.reshape(*before, summed))
        return y.reshape(self.kept if keepdims else (*before, *after))

    def backward(self, dy: Any) -> Any:
        return BroadcastTo.apply(dy.reshape(self.kept), shape=self.shape)


class Mean(Sum):
    """y = Σ x / n over the axes;  dx = dy / n, broadcast back"""

    def forward(self, x: Any, axis: Axis, keepdims: bool) -> Any:
        y = super().forward(x, axis, keepdims)
        self.n = x.size // y.size if x.size else _count("mean", x, axis)
        y /= self.n
        return y

    def backward(self, dy: Any) -> Any:
        return super().backward(devices.divided(dy, self.n))


class Extreme(Op):
    """y = max x or min x over the axes; elements that tie share the gradient equally"""

    makes_gradients = True
    reads_output = True
    largest: bool
    kernels: Any  # whose result it is, if it is one

    def forward(self, x: Any, axis: Axis, keepdims: bool) -> Any:
        self.axis, self.kept, self.kernels = axis, _kept_shape(x.shape, axis), None
        place = _place(x.ndim, axis)
        # Of what does not lie dense the kernel would need a copy, and NumPy goes along with the strides.
        if place is None or x.dtype not in FLOATS or not x.flags.c_contiguous or not x.size:
            return (x.max if self.largest else x.min)(axis, keepdims=keepdims)
        self.kernels, (first, end) = kernels.of(x), place
        self.matrices = math.prod(x.shape[:first]), math.prod(x.shape[first:end]), math.prod(x.shape[end:])
        y = self.kernels.extreme_forward(x.reshape(self.matrices), self.largest)
        return y.reshape(self.kept if keepdims else (*x.shape[:first], *x.shape[end:]))

    def backward(self, dy: Any) -> Any:
        x, y = self.inputs[0], self.output
        if self.kernels is None or isinstance(dy, Tensor):
            return dy.reshape(self.kept) * self._shares().astype(dy.dtype)
        before, _, after = self.matrices
        dy, x, y = dy.reshape(before, after), x.reshape(self.matrices), y.reshape(before, after)
        return self.kernels.extreme_backward(dy, x, y).reshape(self.inputs[0].shape)

    def _shares(self) -> Any:
        x = constant(self.inputs[0])
        ties = (x == constant(self.output).reshape(self.kept)) | np.isnan(x)  # a NaN is the extreme, and equals nothing
        return ties / ties.sum(self.axis, keepdims=True)


class Max(Extreme):
    largest = True


class Min(Extreme):
    largest = False


class Norm(Op):
    """y = √Σx² over the axes;  dx = dy x / y, 0 where y = 0"""

    reads_output = True

    def forward(self, x: Any, axis: Axis, keepdims: bool) -> Any:
        self.kept = _kept_shape(x.shape, axis)
        return np.sqrt(Sum.apply(x * x, axis=axis, keepdims=keepdims))

    def backward(self, dy: Any) -> Any:
        (x,) = self.inputs
        y = self.output.reshape(self.kept)
        return dy.reshape(self.kept) * x / Where.apply(constant(y) == 0, 1.0, y)


class Cumsum(Op):
    """yᵢ = x₀ + … + xᵢ;  dxᵢ = dyᵢ + dyᵢ₊₁ + …"""

    reads_inputs = False

    def forward(self, x: Any, axis: int) -> Any:
        self.axis = normalize_axis_index(axis, x.ndim)
        return np.cumsum(x, axis, dtype=x.dtype)

    def backward(self, dy: Any) -> Any:
        backwards = (slice(None),) * self.axis + (slice(None, None, -1),)
        return Cumsum.apply(dy[backwards], axis=self.axis)[backwards]


class Prod(Op):
    """y = Π x over one axis;  dxᵢ = dy times the product of the others, right also where some are 0"""

    def forward(self, x: Any, axis: int, keepdims: bool) -> Any:
        self.axis = normalize_axis_index(axis, x.ndim)
        self.keepdims = keepdims
        return x.prod(self.axis, keepdims=keepdims, dtype=x.dtype)

    def backward(self, dy: Any) -> Any:
        (x,) = self.inputs
        dy = dy if self.keepdims else dy.reshape((*x.shape[: self.axis], 1, *x.shape[self.axis + 1 :]))
        return dy * _products_of_others(x, self.axis)


def _products_of_others(x: Any, axis: int) -> Any:
    """Element i holds the product of all but i along the axis: a row a head start, one factor at a time."""
    others = np.ones_like(x)
    n = x.shape[axis]
    index = np.arange(n, like=constant(x)).reshape((n,) + (1,) * (len(x.shape) - axis - 1))
    for k in range(n):
        factor = x[(slice(None),) * axis + (slice(k, k + 1),)]
        others = others * Where.apply(index == k, 1.0, factor)
    return others


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ x over the axes, all of them by default."""
    return Sum.apply(as_tensor(x), axis=axis, keepdims=keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ x / n over the axes, all of them by default. The mean of nothing is an error."""
    return Mean.apply(floating(x), axis=axis, keepdims=keepdims)


def var(x: Any, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """Σ (x − mean x)² / (n − ddof) over the axes; divides by n unless told otherwise, as NumPy does."""
    x = floating(x)
    n = _count("var", x, axis, ddof)
    return sum(square(x - mean(x, axis, keepdims=True)), axis, keepdims) / (n - ddof)


def std(x: Any, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """√var. The gradient where all elements are equal is 0."""
    x = floating(x)
    n = _count("std", x, axis, ddof)
    return norm(x - mean(x, axis, keepdims=True), axis, keepdims) / math.sqrt(n - ddof)


def norm(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """√Σx² over the axes, all of them by default: the length of a vector. The gradient at 0 is 0."""
    return Norm.apply(floating(x), axis=axis, keepdims=keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over the axes; those that tie share the gradient."""
    return Max.apply(as_tensor(x), axis=axis, keepdims=keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over the axes; those that tie share the gradient."""
    return Min.apply(as_tensor(x), axis=axis, keepdims=keepdims)


def prod(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Π x over one axis, or over all elements."""
    x = as_tensor(x)
    if axis is None:
        y = Prod.apply(x.reshape(-1), axis=0, keepdims=False)
        return y.reshape((1,) * x.ndim) if keepdims else y
    return Prod.apply(x, axis=axis, keepdims=keepdims)


def cumsum(x: Any, axis: int | None = None) -> Tensor:
    """Running sums along an axis; of all elements in order if none is given."""
    x = as_tensor(x)
    return Cumsum.apply(x.reshape(-1), axis=0) if axis is None else Cumsum.apply(x, axis=axis)


def argmax(x: Any, axis: int | None = None) -> Tensor:
    """The index of the largest element, the first if several tie. Integers: no gradient."""
    return wrap(constant(x).argmax(axis))


def argmin(x: Any, axis: int | None = None) -> Tensor:
    """The index of the smallest element, the first if several tie. Integers: no gradient."""
    return wrap(constant(x).argmin(axis))


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether one of the elements is not 0. Booleans: no gradient."""
    return wrap(constant(x).any(axis, keepdims=keepdims))


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether none of the elements is 0. Booleans: no gradient."""
    return wrap(constant(x).all(axis, keepdims=keepdims))


def _norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """As np.linalg.norm."""
    vectors = as_tensor(x).ndim == 1 or isinstance(axis, int)
    if ord is None or (ord == 2 and vectors) or (ord == "fro" and not vectors):
        return norm(x, axis, keepdims)
    raise ValueError(f"norm: minidl knows the root of the sum of squares only, got ord={ord!r}")


def _count(function: str, x: Tensor, axis: Axis, ddof: int = 0) -> int:
    shape = x.shape
    n = x.size if axis is None else math.prod([shape[a] for a in _axes(len(shape), axis)])
    if n <= ddof:
        few = "no elements" if n == 0 else f"{n} elements with ddof={ddof}"
        raise ValueError(f"{function} of {few}: shape {x.shape}, axis {axis}")
    return n


def _axes(ndim: int, axis: Axis) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return tuple([normalize_axis_index(a, ndim) for a in (axis if isinstance(axis, tuple) else (axis,))])


def _kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    if axis is None:
        return (1,) * len(shape)
    axes = _axes(len(shape), axis)
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def _place(ndim: int, axis: Axis) -> tuple[int, int] | None:
    """Where the axes of a sum begin and end, if they stand side by side."""
    if axis is None:
        return 0, ndim
    if not isinstance(axis, tuple):
        axis = normalize_axis_index(axis, ndim)
        return axis, axis + 1
    axes = sorted(_axes(ndim, axis))
    side_by_side = axes and axes == list(range(axes[0], axes[0] + len(axes)))
    return (axes[0], axes[-1] + 1) if side_by_side else None


METHODS = {f.__name__: f for f in (sum, mean, var, std, max, min, prod, cumsum, argmax, argmin, any, all)}
FUNCTIONS |= {getattr(np, name): f for name, f in METHODS.items()} | {np.linalg.norm: _norm}
