"""Matrix products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl import kernels
from minidl.ops.coercion import beside_each_other, of_one_type, operands
from minidl.tensors import UFUNCS, Op, Tensor


class Matmul(Op):
    """y = a b, over the last two axes;  da = dy bᵀ, db = aᵀ dy"""

    broadcasts = True
    makes_gradients = True

    def reads(self, i: int, needs: tuple[bool, ...]) -> bool:
        return needs[1 - i]

    def forward(self, a: Any, b: Any) -> Any:
        return _product(a, b)

    def backward(self, dy: Any) -> Any:
        a, b = self.inputs
        return _gradients(dy, a, b, self.needs)


class MatmulOfRows(Matmul):
    """y = a b for a b of one or two axes, as one product of matrices: a is rows, and b is a column if it is a vector"""

    @classmethod
    def name(cls) -> str:
        return Matmul.name()

    def forward(self, a: Any, b: Any) -> Any:
        return _product(_rows(a), _columns(b)).reshape(a.shape[:-1] + b.shape[1:])

    def backward(self, dy: Any) -> Any:
        a, b = self.inputs
        rows, columns = _rows(a), _columns(b)
        da, db = _gradients(dy.reshape(rows.shape[0], columns.shape[1]), rows, columns, self.needs)
        return None if da is None else da.reshape(a.shape), None if db is None else db.reshape(b.shape)


class Affine(Op):
    """y = x W + b, over the last axis of x;  dx = dy Wᵀ, dW = Σ xᵀ dy, db = Σ dy"""

    makes_gradients = True

    def reads(self, i: int, needs: tuple[bool, ...]) -> bool:
        return i < 2 and needs[1 - i]

    def forward(self, x: Any, W: Any, b: Any) -> Any:
        if x.dtype.kind != "f":
            return np.matmul(x, W) + b
        if x.ndim == 2:
            return kernels.of(x).affine_forward(x, W, b)
        return kernels.of(x).affine_forward(_rows(x), W, b).reshape(*x.shape[:-1], W.shape[1])

    def backward(self, dy: Any) -> Any:
        x, W, _ = self.inputs
        if x.ndim == 2:
            return kernels.of(x).affine_backward(dy, x, W, self.needs)
        dx, dW, db = kernels.of(x).affine_backward(_rows(dy), _rows(x), W, self.needs)
        return None if dx is None else dx.reshape(x.shape), dW, db

    def composition(self, x: Tensor, W: Tensor, b: Tensor) -> Tensor:
        return matmul(x, W) + b


def _rows(x: Any) -> Any:
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _columns(x: Any) -> Any:
    return x if x.ndim == 2 else x.reshape(x.shape[0], math.prod(x.shape[1:]))


def _gradients(dy: Any, a: Any, b: Any, needs: tuple[bool, ...]) -> tuple[Any, Any]:
    """dy bᵀ and aᵀ dy; None in place of what is not needed."""
    return (
        _times(dy, b.swapaxes(-1, -2)) if needs[0] else None,
        _times(a.swapaxes(-1, -2), dy) if needs[1] else None,
    )


def _times(a: Any, b: Any) -> Any:
    """a b in a backward pass, of arrays or of tensors"""
    return Matmul.apply(a, b) if isinstance(a, Tensor) or isinstance(b, Tensor) else _product(a, b)


def _product(a: Any, b: Any) -> Any:
    return kernels.of(a).matmul(a, b) if a.dtype.kind == "f" else np.matmul(a, b)


def matmul(a: Any, b: Any) -> Tensor:
    """a b. Vectors are rows on the left and columns on the right, stacks of matrices broadcast, as in NumPy."""
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.dtype == b.dtype):
        a, b = of_one_type(*operands(*beside_each_other(a, b)))
    of_a, of_b = a._array.shape, b._array.shape
    if not of_a or not of_b:
        raise ValueError(f"matmul needs vectors or matrices, got shapes {of_a} and {of_b}; use * for a number")
    if of_a[-1] != of_b[0 if len(of_b) == 1 else -2]:
        raise ValueError(
            f"matmul: the last axis of a and the {'only' if len(of_b) == 1 else 'second last'} axis of b must agree, "
            f"got shapes {of_a} and {of_b}"
        )
    if len(of_b) > 2 and len(of_a) == 1:
        return matmul(a.reshape(1, -1), b).reshape(*of_b[:-2], of_b[-1])
    return Matmul.apply(a, b) if len(of_b) > 2 or len(of_a) == len(of_b) == 2 else MatmulOfRows.apply(a, b)


def affine(x: Any, W: Any, b: Any) -> Tensor:
    """x W + b in one op: what a Dense layer computes.  x (…, D), W (D, U), b (U,) → (…, U)

    >>> affine([[1.0, 2.0]], [[3.0], [4.0]], [5.0])
    Tensor([[16.]])
    """
    x, W, b = beside_each_other(x, W, b)
    if not x._array.dtype == W._array.dtype == b._array.dtype:
        W, b = operands(W, b)
        x, W, b = of_one_type(*operands(x, W), b)
    rows, weights, bias = x._array.shape, W._array.shape, b._array.shape
    if len(rows) < 2 or len(weights) != 2 or rows[-1] != weights[0] or bias != weights[1:]:
        raise ValueError(
            f"affine: expected x (…, rows, D), W (D, U) and b (U,), got shapes {rows}, {weights} and {bias}"
        )
    return Affine.apply(x, W, b)


METHODS = {"__matmul__": matmul, "__rmatmul__": lambda b, a: matmul(a, b), "matmul": matmul}
UFUNCS |= {"matmul": matmul}
