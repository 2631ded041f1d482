"""Sums, means and extremes over axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl import devices, kernels
from minidl.kernels.axes import (
    Axis,
    Layout,
    as_it_lies,
    axes_in,
    back_in_order,
    extreme_of,
    index_of,
    layout_of,
    one_axis,
    sum_of,
    takes_extreme,
)
from minidl.kernels.validate import FLOATS
from minidl.ops.arithmetic import Where, astype
from minidl.ops.coercion import constant, floating
from minidl.ops.shapes import BroadcastTo, Concatenate
from minidl.tensors import FUNCTIONS, Op, Tensor, as_tensor, wrap

LONG_ROW = 256  # factors, from which on a product by vectors is sooner there


class Sum(Op):
    """y = Σ x over the axes;  dx = dy, broadcast back"""

    reads_inputs = False

    def forward(self, x: Any, axis: Axis, keepdims: bool) -> Any:
        self.shape, self.axis = x.shape, index_of(axis)
        return sum_of(x, self.axis, keepdims)

    def backward(self, dy: Any) -> Any:
        return BroadcastTo.apply(dy.reshape(layout_of(self.shape, self.axis).kept), shape=self.shape)


class Mean(Sum):
    """y = Σ x / n over the axes;  dx = dy / n, broadcast back"""

    def forward(self, x: Any, axis: Axis, keepdims: bool) -> Any:
        y = super().forward(x, axis, keepdims)
        self.n = _divisor(self, x, axis)
        return devices.divided(y, self.n)

    def backward(self, dy: Any) -> Any:
        return super().backward(devices.divided(dy, self.n))


class Var(Op):
    """y = Σ (x − mean x)² / (n − ddof) over the axes;  dx = 2 dy (x − mean x) / (n − ddof)"""

    def forward(self, x: Any, axis: Axis, keepdims: bool, ddof: int) -> Any:
        y = self._sum_of_squares(x, axis, keepdims, ddof)
        return devices.divided(y, self.divisor)

    def backward(self, dy: Any) -> Any:
        return kernels.multiply(self._along(dy), 2 / self.divisor)

    def _sum_of_squares(self, x: Any, axis: Axis, keepdims: bool, ddof: int) -> Any:
        self.axis, self.kept = index_of(axis), layout_of(x.shape, axis).kept
        self.divisor = _divisor(self, x, axis, ddof)
        d = self._centred(x)
        return sum_of(kernels.multiply(d, d), self.axis, keepdims)

    def _along(self, dy: Any) -> Any:
        """dy (x − mean x). Of a mean that was rounded something is left in all of them alike, and goes here."""
        return kernels.multiply(dy.reshape(self.kept), self._centred(self._centred(self.inputs[0])))

    def _centred(self, x: Any) -> Any:
        return kernels.subtract(x, Mean.apply(x, axis=self.axis, keepdims=True))


class Std(Var):
    """y = √var;  dx = dy (x − mean x) / ((n − ddof) y), 0 where y = 0"""

    reads_output = True

    def forward(self, x: Any, axis: Axis, keepdims: bool, ddof: int) -> Any:
        root = np.sqrt(self._sum_of_squares(x, axis, keepdims, ddof))
        return devices.divided(root, math.sqrt(self.divisor))

    def backward(self, dy: Any) -> Any:
        y = self.output.reshape(self.kept)
        dx = kernels.divide(self._along(dy), Where.apply(constant(y) == 0, 1.0, y))
        return kernels.multiply(dx, 1 / self.divisor)


class Extreme(Op):
    """y = max x or min x over the axes; elements that tie share the gradient equally"""

    makes_gradients = True
    reads_output = True
    largest: bool

    def forward(self, x: Any, axis: Axis, keepdims: bool) -> Any:
        self.axis = index_of(axis)
        return extreme_of(x, self.axis, keepdims, self.largest)

    def backward(self, dy: Any) -> Any:
        layout = layout_of(self.inputs[0].shape, self.axis)
        dx = None if isinstance(dy, Tensor) else self._by_kernel(dy, layout)
        return dy.reshape(layout.kept) * self._shares(layout).astype(dy.dtype) if dx is None else dx

    def _by_kernel(self, dy: Any, layout: Layout) -> Any:
        """None if it does not take them."""
        x, order = as_it_lies(self.inputs[0])
        y = self.output
        if order:
            dy, y = (a.reshape(layout.kept).transpose(order) for a in (dy, y))
            layout = layout_of(x.shape, axes_in(order, layout))
        if layout.matrices is None or not takes_extreme(x, layout):
            return None
        before, _, after = layout.matrices
        dy, y = dy.reshape(before, after), y.reshape(before, after)
        dx = kernels.of(x).extreme_backward(dy, x.reshape(layout.matrices), y).reshape(x.shape)
        return back_in_order(dx, order) if order else dx

    def _shares(self, layout: Layout) -> Any:
        x, y = constant(self.inputs[0]), constant(self.output).reshape(layout.kept)
        ties = (x == y) | np.isnan(x)  # a NaN is the extreme, and equals nothing
        return ties / ties.sum(self.axis, keepdims=True)


class Max(Extreme):
    largest = True


class Min(Extreme):
    largest = False


class Norm(Op):
    """y = √Σx² over the axes;  dx = dy x / y, 0 where y = 0"""

    reads_output = True

    def forward(self, x: Any, axis: Axis, keepdims: bool) -> Any:
        self.kept = layout_of(x.shape, axis).kept
        return np.sqrt(sum_of(kernels.multiply(x, x), axis, keepdims))

    def backward(self, dy: Any) -> Any:
        (x,) = self.inputs
        y = self.output.reshape(self.kept)
        return kernels.divide(kernels.multiply(dy.reshape(self.kept), x), Where.apply(constant(y) == 0, 1.0, y))


class Cumsum(Op):
    """yᵢ = x₀ + … + xᵢ;  dxᵢ = dyᵢ + dyᵢ₊₁ + …"""

    reads_inputs = False

    def forward(self, x: Any, axis: int) -> Any:
        self.axis = one_axis(axis, x.ndim)
        return np.cumsum(x, axis, dtype=_type_of_sum(x))

    def backward(self, dy: Any) -> Any:
        backwards = (slice(None),) * self.axis + (slice(None, None, -1),)
        return Cumsum.apply(dy[backwards], axis=self.axis)[backwards]


class Prod(Op):
    """y = Π x over one axis;  dxᵢ = dy times the product of the others, right also where some are 0"""

    def forward(self, x: Any, axis: int, keepdims: bool) -> Any:
        self.axis = one_axis(axis, x.ndim)
        self.keepdims = keepdims
        by_halves = self.axis == x.ndim - 1 and x.dtype in FLOATS and not devices.on_gpu(x)
        while by_halves and x.shape[-1] > LONG_ROW:  # of which NumPy takes one factor after the other
            x = _product_of_halves(x, self.axis)
        return x.prod(self.axis, keepdims=keepdims, dtype=_type_of_sum(x))

    def backward(self, dy: Any) -> Any:
        (x,) = self.inputs
        dy = dy if self.keepdims else dy.reshape((*x.shape[: self.axis], 1, *x.shape[self.axis + 1 :]))
        return _times_others(dy, x, self.axis)


def _type_of_sum(x: Any) -> Any:
    """Floats keep their type; of integers and booleans, which it might not hold, NumPy's choice, which is wide."""
    return x.dtype if x.dtype.kind == "f" else None


def _part(x: Any, axis: int, begin: int, end: int | None) -> Any:
    return x[(slice(None),) * axis + (slice(begin, end),)]


def _halves(x: Any, axis: int) -> tuple[Any, Any]:
    """The elements that have a partner along the axis, and their partners; the last one may have none."""
    pairs = x.shape[axis] // 2
    return _part(x, axis, 0, pairs), _part(x, axis, pairs, 2 * pairs)


def _product_of_halves(x: Any, axis: int) -> Any:
    """Each element times its partner; the product of these is that of x."""
    product = kernels.multiply(*_halves(x, axis))
    return Concatenate.apply(product, _part(x, axis, -1, None), axis=axis) if x.shape[axis] % 2 else product


def _times_others(dy: Any, x: Any, axis: int) -> Any:
    """Element i is dy times the product of all elements but i along the axis: what meets a pair meets both of it."""
    if x.shape[axis] < 2:
        return BroadcastTo.apply(dy, shape=x.shape)
    first, second = _halves(x, axis)
    d = _times_others(dy, _product_of_halves(x, axis), axis)
    of_pairs, of_last = _part(d, axis, 0, first.shape[axis]), _part(d, axis, first.shape[axis], None)
    return Concatenate.apply(kernels.multiply(of_pairs, second), kernels.multiply(of_pairs, first), of_last, axis=axis)


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ x over the axes, all of them by default."""
    return Sum.apply(as_tensor(x), axis=axis, keepdims=keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ x / n over the axes, all of them by default. The mean of nothing is an error."""
    return _added_up(Mean, x, axis=axis, keepdims=keepdims)


def var(x: Any, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """Σ (x − mean x)² / (n − ddof) over the axes; divides by n unless told otherwise, as NumPy does."""
    return _added_up(Var, x, axis=axis, keepdims=keepdims, ddof=ddof)


def std(x: Any, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """√var. The gradient where all elements are equal is 0."""
    return _added_up(Std, x, axis=axis, keepdims=keepdims, ddof=ddof)


def norm(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """√Σx² over the axes, all of them by default: the length of a vector. The gradient at 0 is 0."""
    return _added_up(Norm, x, axis=axis, keepdims=keepdims)


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


def _added_up(op: type[Op], x: Any, **options: Any) -> Tensor:
    """The op of floats. Those of 16 bits are added up in 32: the largest number that they hold is 65,504."""
    x = floating(x)
    if x.dtype == np.float16:
        return astype(op.apply(astype(x, np.float32), **options), np.float16)
    return op.apply(x, **options)


def _divisor(op: Op, x: Any, axis: Axis, ddof: Any = 0) -> Any:
    """n − ddof, as a number of Python's, which changes no type."""
    n = layout_of(x.shape, axis).n
    if n <= ddof:
        few = "no elements" if n == 0 else f"{n} elements with ddof={ddof}"
        raise ValueError(f"{op.name()} of {few}: shape {x.shape}, axis {axis}")
    return n - (ddof.item() if hasattr(ddof, "item") else ddof)


METHODS = {f.__name__: f for f in (sum, mean, var, std, max, min, prod, cumsum, argmax, argmin, any, all)}
FUNCTIONS |= {getattr(np, name): f for name, f in METHODS.items()} | {np.linalg.norm: _norm}
