"""Arithmetic on elements: two operands broadcast, and backward sums over what was broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.ops.coercion import constant, operands
from minidl.ops.elementary import Log
from minidl.tensor import UFUNCS, Op, Tensor, as_tensor, wrap


class Add(Op):
    """y = a + b"""

    broadcasts = True
    reads_inputs = False

    def forward(self, a: Any, b: Any) -> Any:
        return a + b

    def backward(self, dy: Any) -> Any:
        return dy, dy


class Subtract(Op):
    """y = a − b"""

    broadcasts = True
    reads_inputs = False

    def forward(self, a: Any, b: Any) -> Any:
        return a - b

    def backward(self, dy: Any) -> Any:
        return dy, -dy if self.needs[1] else None


class Multiply(Op):
    """y = a b;  da = dy b, db = dy a"""

    broadcasts = True

    def reads(self, i: int) -> bool:
        return self.needs[1 - i]

    def forward(self, a: Any, b: Any) -> Any:
        return a * b

    def backward(self, dy: Any) -> Any:
        a, b = self.inputs
        return dy * b if self.needs[0] else None, dy * a if self.needs[1] else None


class Divide(Op):
    """y = a / b;  da = dy / b, db = −dy a / b²"""

    broadcasts = True

    def reads(self, i: int) -> bool:
        return i == 1 or self.needs[1]

    def forward(self, a: Any, b: Any) -> Any:
        y = a / b
        integers = all(np.result_type(x).kind in "iub" for x in (a, b))
        return y.astype(np.float32) if integers else y

    def backward(self, dy: Any) -> Any:
        a, b = self.inputs
        return dy / b if self.needs[0] else None, -dy * a / (b * b) if self.needs[1] else None


class Negative(Op):
    """y = −x"""

    reads_inputs = False

    def forward(self, x: Any) -> Any:
        return -x

    def backward(self, dy: Any) -> Any:
        return -dy


class Power(Op):
    """y = aᵇ;  da = dy b aᵇ⁻¹ (0 where b = 0),  db = dy y ln a (0 where a = 0 and b ≥ 0)"""

    broadcasts = True
    reads_output = True

    def forward(self, a: Any, b: Any) -> Any:
        return a**b

    def backward(self, dy: Any) -> Any:
        a, b = self.inputs
        return self._base(dy, a, b) if self.needs[0] else None, self._exponent(dy, a, b) if self.needs[1] else None

    def _base(self, dy: Any, a: Any, b: Any) -> Any:
        if isinstance(b, (int, float)):
            return dy * b * a ** (b - 1) if b != 0 else dy * 0.0
        at_zero = constant(b) == 0
        return dy * b * a ** Where.apply(at_zero, 1.0, b - 1)

    def _exponent(self, dy: Any, a: Any, b: Any) -> Any:
        if isinstance(a, (int, float)):
            return dy * self.output * float(np.log(a)) if a != 0 else dy * 0.0
        at_zero = (constant(a) == 0) & (constant(b) >= 0)
        return dy * self.output * Log.apply(Where.apply(at_zero, 1.0, a))


class Absolute(Op):
    """y = |x|;  dx = dy sign x, 0 at 0"""

    def forward(self, x: Any) -> Any:
        return np.abs(x)

    def backward(self, dy: Any) -> Any:
        return dy * np.sign(constant(self.inputs[0]))


class Maximum(Op):
    """y = max(a, b); where both are equal each gets half of the gradient"""

    broadcasts = True

    def forward(self, a: Any, b: Any) -> Any:
        return np.maximum(a, b)

    def backward(self, dy: Any) -> Any:
        a, b = map(constant, self.inputs)
        return dy * _share(a > b, a == b, dy.dtype), dy * _share(b > a, a == b, dy.dtype)


class Minimum(Op):
    """y = min(a, b); where both are equal each gets half of the gradient"""

    broadcasts = True

    def forward(self, a: Any, b: Any) -> Any:
        return np.minimum(a, b)

    def backward(self, dy: Any) -> Any:
        a, b = map(constant, self.inputs)
        return dy * _share(a < b, a == b, dy.dtype), dy * _share(b < a, a == b, dy.dtype)


def _share(wins: Any, ties: Any, dtype: Any) -> Any:
    return wins.astype(dtype) + ties.astype(dtype) / 2


class Where(Op):
    """y = a where the condition holds, else b"""

    broadcasts = True
    reads_inputs = False

    def forward(self, condition: Any, a: Any, b: Any) -> Any:
        self.condition = condition
        return np.where(condition, a, b)

    def backward(self, dy: Any) -> Any:
        return None, Where.apply(self.condition, dy, 0.0), Where.apply(self.condition, 0.0, dy)


class Clip(Op):
    """y = x held in [low, high]; dx = dy inside, the bounds included, 0 outside"""

    def forward(self, x: Any, low: float | None, high: float | None) -> Any:
        self.low, self.high = low, high
        return np.clip(x, low, high)

    def backward(self, dy: Any) -> Any:
        x = constant(self.inputs[0])
        inside = np.ones(x.shape, bool)
        if self.low is not None:
            inside &= x >= self.low
        if self.high is not None:
            inside &= x <= self.high
        return Where.apply(inside, dy, 0.0)


class Alias(Op):
    """y = x, as a new node of the graph"""

    reads_inputs = False

    def forward(self, x: Any) -> Any:
        return x[...]  # a view, so that a change of x in place is seen through the alias too

    def backward(self, dy: Any) -> Any:
        return dy


class Astype(Op):
    """y = x in another type; the gradient comes back in x's own"""

    reads_inputs = False

    def forward(self, x: Any, dtype: Any) -> Any:
        self.dtype = x.dtype
        return x.astype(dtype)

    def backward(self, dy: Any) -> Any:
        return dy.astype(self.dtype)


def add(a: Any, b: Any) -> Tensor:
    """a + b, broadcasting as in NumPy."""
    return Add.apply(*operands(a, b))


def subtract(a: Any, b: Any) -> Tensor:
    """a − b, broadcasting as in NumPy."""
    return Subtract.apply(*operands(a, b))


def multiply(a: Any, b: Any) -> Tensor:
    """a b, element by element, broadcasting as in NumPy."""
    return Multiply.apply(*operands(a, b))


def divide(a: Any, b: Any) -> Tensor:
    """a / b, broadcasting as in NumPy; integers give float32."""
    return Divide.apply(*operands(a, b))


def power(a: Any, b: Any) -> Tensor:
    """aᵇ, broadcasting as in NumPy."""
    return Power.apply(*operands(a, b))


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of each pair of elements; NaN wins."""
    return Maximum.apply(*operands(a, b))


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of each pair of elements; NaN wins."""
    return Minimum.apply(*operands(a, b))


def negative(x: Any) -> Tensor:
    """−x"""
    return Negative.apply(as_tensor(x))


def absolute(x: Any) -> Tensor:
    """|x|"""
    return Absolute.apply(as_tensor(x))


def square(x: Any) -> Tensor:
    """x²"""
    return multiply(x, x)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where the condition holds, else b; all three broadcast. No gradient flows through the condition."""
    a, b = operands(a, b)
    return Where.apply(constant(condition).copy(), a, b)  # backward reads it again


def clip(x: Any, low: float | None = None, high: float | None = None) -> Tensor:
    """x held in [low, high]; the gradient is that of x inside and 0 outside."""
    return Clip.apply(as_tensor(x), low=low, high=high)


def astype(x: Any, dtype: Any) -> Tensor:
    """x in another type. The gradient flows if both are floats."""
    x = as_tensor(x)
    return x if x.dtype == np.dtype(dtype) else Astype.apply(x, dtype=np.dtype(dtype))


def alias(x: Tensor) -> Tensor:
    """The same tensor as a new node of the graph."""
    return Alias.apply(x)


def _comparison(ufunc: np.ufunc) -> Any:
    def compare(a: Any, b: Any) -> Tensor:
        a, b = operands(a, b)
        return wrap(ufunc(*(x._array if isinstance(x, Tensor) else x for x in (a, b))))

    compare.__name__ = ufunc.__name__
    compare.__doc__ = f"np.{ufunc.__name__} as a tensor of booleans, through which no gradient flows."
    return compare


def _swapped(function: Any) -> Any:
    return lambda a, b: function(b, a)


less, less_equal = _comparison(np.less), _comparison(np.less_equal)
greater, greater_equal = _comparison(np.greater), _comparison(np.greater_equal)
equal, not_equal = _comparison(np.equal), _comparison(np.not_equal)

METHODS = {
    "__add__": add, "__radd__": add, "__sub__": subtract, "__rsub__": _swapped(subtract),
    "__mul__": multiply, "__rmul__": multiply, "__truediv__": divide, "__rtruediv__": _swapped(divide),
    "__pow__": power, "__rpow__": _swapped(power), "__neg__": negative, "__abs__": absolute, "abs": absolute,
    "__lt__": less, "__le__": less_equal, "__gt__": greater, "__ge__": greater_equal,
    "__eq__": equal, "__ne__": not_equal, "clip": clip, "astype": astype, "alias": alias,
}  # fmt: skip
UFUNCS |= {
    "add": add, "subtract": subtract, "multiply": multiply, "divide": divide, "power": power, "negative": negative,
    "absolute": absolute, "square": square, "maximum": maximum, "minimum": minimum, "less": less, "greater": greater,
    "less_equal": less_equal, "greater_equal": greater_equal, "equal": equal, "not_equal": not_equal,
}  # fmt: skip
