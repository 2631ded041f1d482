"""Arithmetic on elements: two operands broadcast, and backward sums over what was broadcast."""

from __future__ import annotations

import functools
import math
from numbers import Number
from typing import Any

import numpy as np

from minidl import devices, kernels
from minidl.autograd.modes import is_recording, no_grad
from minidl.kernels.validate import FLOATS
from minidl.ops.coercion import constant, constant_beside, floating, operands
from minidl.ops.elementary import Log
from minidl.tensors import FUNCTIONS, UFUNCS, Op, Tensor, as_tensor, wrap


class Add(Op):
    """y = a + b"""

    broadcasts = True
    reads_inputs = False

    def forward(self, a: Any, b: Any) -> Any:
        return kernels.add(a, b)

    def backward(self, dy: Any) -> Any:
        return dy, dy


class Subtract(Op):
    """y = a − b"""

    broadcasts = True
    reads_inputs = False

    def forward(self, a: Any, b: Any) -> Any:
        return kernels.subtract(a, b)

    def backward(self, dy: Any) -> Any:
        return dy, devices.negated(dy) if self.needs[1] else None


class Multiply(Op):
    """y = a b;  da = dy b, db = dy a"""

    broadcasts = True

    def reads(self, i: int, needs: tuple[bool, ...]) -> bool:
        return needs[1 - i]

    def forward(self, a: Any, b: Any) -> Any:
        return kernels.multiply(a, b)

    def backward(self, dy: Any) -> Any:
        a, b = self.inputs
        return kernels.multiply(dy, b) if self.needs[0] else None, kernels.multiply(dy, a) if self.needs[1] else None


class Divide(Op):
    """y = a / b;  da = dy / b, db = −dy a / b²"""

    broadcasts = True

    def reads(self, i: int, needs: tuple[bool, ...]) -> bool:
        return i == 1 or needs[1]

    def forward(self, a: Any, b: Any) -> Any:
        y = kernels.divide(a, b)
        dtype = y.dtype
        if dtype is getattr(a, "dtype", None) or dtype is getattr(b, "dtype", None):  # nearly always
            return y
        integers = all(np.result_type(x).kind in "iub" for x in (a, b))
        return y.astype(np.float32) if integers else y

    def backward(self, dy: Any) -> Any:
        a, b = self.inputs
        da = kernels.divide(dy, b) if self.needs[0] else None
        if not self.needs[1]:
            return da, None
        share = kernels.divide(kernels.multiply(dy, a), b)  # by b twice: b² may be too large, dy / b too small
        return da, devices.negated(kernels.divide(share, b))


class FloorDivide(Op):
    """y = ⌊a / b⌋;  no step of it has a slope: da = db = 0"""

    broadcasts = True
    reads_inputs = False

    def forward(self, a: Any, b: Any) -> Any:
        return devices.floor_divide(a, b)

    def backward(self, dy: Any) -> Any:
        return np.zeros_like(dy), np.zeros_like(dy)


class Remainder(Op):
    """y = a − b ⌊a / b⌋;  da = dy, db = −dy ⌊a / b⌋"""

    broadcasts = True

    def reads(self, i: int, needs: tuple[bool, ...]) -> bool:
        return needs[1]

    def forward(self, a: Any, b: Any) -> Any:
        return devices.remainder(a, b)

    def backward(self, dy: Any) -> Any:
        a, b = map(_bare, self.inputs)
        return dy, -dy * devices.floor_divide(a, b) if self.needs[1] else None


class Negative(Op):
    """y = −x"""

    reads_inputs = False

    def forward(self, x: Any) -> Any:
        return devices.negated(x) if x.dtype in FLOATS else -x

    def backward(self, dy: Any) -> Any:
        return devices.negated(dy)


class Power(Op):
    """y = aᵇ;  da = dy b aᵇ⁻¹ (0 where b = 0),  db = dy y ln a (0 where a = 0 and b ≥ 0)"""

    broadcasts = True
    reads_output = True

    def forward(self, a: Any, b: Any) -> Any:
        return _raised(a, b)

    def backward(self, dy: Any) -> Any:
        a, b = self.inputs
        return self._base(dy, a, b) if self.needs[0] else None, self._exponent(dy, a, b) if self.needs[1] else None

    def _base(self, dy: Any, a: Any, b: Any) -> Any:
        if isinstance(b, (int, float)):
            if b == 0:
                return dy * 0.0
            if b == 0.5:
                return kernels.divide(dy, kernels.multiply(self.output, 2))
            return kernels.multiply(kernels.multiply(dy, b), a if b == 2 else _raised(a, b - 1))
        no_slope = (constant(b) == 0) & ~(np.abs(constant(a)) > 0)  # 0 times the infinity of 0⁻¹, and of NaN
        return dy * b * Where.apply(no_slope, 1.0, a) ** (b - 1)

    def _exponent(self, dy: Any, a: Any, b: Any) -> Any:
        if isinstance(a, (int, float)) and a != 0:
            return dy * self.output * float(np.log(a))
        at_zero = (constant(a) == 0) & (constant(b) >= 0)
        return dy * self.output * Log.apply(Where.apply(at_zero, 1.0, a))


def _raised(a: Any, b: Any) -> Any:
    """aᵇ. A whole power by products where these are few.

    NumPy takes a hundred times as long where a number is negative as where none is, so none is shown to it.
    """
    if isinstance(a, Tensor) or type(b) not in (int, float) or a.dtype not in FLOATS:
        return a**b
    if b % 1 != 0 or b in (0, 1):
        return a**b
    if b in (-1, -2):
        inverse = kernels.of(a).divide(1, a)
        return inverse if b == -1 else kernels.multiply(inverse, inverse)
    if b in (2, 3, 4):
        square = kernels.multiply(a, a)
        return square if b == 2 else kernels.multiply(square, a if b == 3 else square)
    if devices.on_gpu(a):
        return a**b
    size = abs(a) ** b
    return np.copysign(size, a) if b % 2 else size


class Absolute(Op):
    """y = |x|;  dx = dy sign x, 0 at 0"""

    def forward(self, x: Any) -> Any:
        return kernels.of(x).absolute(x) if x.dtype in FLOATS else np.abs(x)

    def backward(self, dy: Any) -> Any:
        return dy * np.sign(constant(self.inputs[0]))


class OneOfTwo(Op):
    """dy goes to the one that y is, a NaN among numbers; where it is both each gets half"""

    broadcasts = True
    reads_output = True

    def backward(self, dy: Any) -> Any:
        a, b, y = map(_bare, (*self.inputs, self.output))
        is_a, is_b = (a == y) | (a != a), (b == y) | (b != b)
        return dy * _share(is_a, is_b, dy.dtype), dy * _share(is_b, is_a, dy.dtype)


class Maximum(OneOfTwo):
    """y = max(a, b); where both are equal each gets half of the gradient"""

    def forward(self, a: Any, b: Any) -> Any:
        return kernels.maximum(a, b)


class Minimum(OneOfTwo):
    """y = min(a, b); where both are equal each gets half of the gradient"""

    def forward(self, a: Any, b: Any) -> Any:
        return kernels.minimum(a, b)


def _bare(x: Any) -> Any:
    """The array in an operand; a number stays one, for CuPy takes no array of NumPy's in its place."""
    return x._array if isinstance(x, Tensor) else x


def _share(own: Any, other: Any, dtype: Any) -> Any:
    """1 where y is this one, 1/2 where it is the other one, too"""
    return own.astype(dtype) - (own & other).astype(dtype) / 2


class Where(Op):
    """y = a where the condition holds, else b"""

    broadcasts = True
    reads_inputs = False

    def forward(self, condition: Any, a: Any, b: Any) -> Any:
        self.condition = condition
        choose = kernels.of(condition).where if _of_one_shape(condition, a, b) else np.where
        return choose(condition, a, b)

    def backward(self, dy: Any) -> Any:
        _, a, b = self.needs
        of_a = Where.apply(self.condition, dy, 0.0) if a else None
        return None, of_a, Where.apply(self.condition, 0.0, dy) if b else None


def _of_one_shape(condition: Any, a: Any, b: Any) -> bool:
    """Whether the kernel takes them: booleans, and beside them floats of one type, of which one may be a number."""
    shape, dtype = condition.shape, None
    if condition.dtype != bool:
        return False
    for x in (a, b):
        if type(x) in (float, int, bool):
            continue
        found = getattr(x, "dtype", None)
        if found not in FLOATS or x.shape != shape or (dtype is not None and found != dtype):
            return False
        dtype = found
    return dtype is not None


class Clip(Op):
    """y = x held in [low, high]; dx = dy inside, the bounds included, 0 outside"""

    broadcasts = True  # against the bounds

    def forward(self, x: Any, low: Any, high: Any) -> Any:
        self.low, self.high = low, high
        if low is None and high is None:
            return x.copy()  # CuPy refuses to clip without a bound
        if x.dtype in FLOATS and _bounds(low) and _bounds(high):
            bounds = -math.inf if low is None else float(low), math.inf if high is None else float(high)
            return kernels.of(x).clip(x, *bounds)
        return x.clip(low, high)

    def backward(self, dy: Any) -> Any:
        x = constant(self.inputs[0])
        if self.low is None and self.high is None:
            return dy
        inside = (self.low is None or x >= self.low) & (self.high is None or x <= self.high)
        return Where.apply(inside, dy, 0.0)


def _bounds(b: Any) -> bool:
    """Whether the kernel takes it: a number, or none."""
    return b is None or (type(b) in (float, int) and b == b)


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


def floor_divide(a: Any, b: Any) -> Tensor:
    """a // b, rounded down. The gradient is 0."""
    return FloorDivide.apply(*operands(a, b))


def remainder(a: Any, b: Any) -> Tensor:
    """a % b = a − b ⌊a / b⌋, of the sign of b."""
    return Remainder.apply(*operands(a, b))


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
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        a = as_tensor(a, device="cuda" if devices.on_gpu(getattr(condition, "_array", condition)) else None)
    a, b = operands(a, b)
    beside = a if isinstance(a, Tensor) else b
    return Where.apply(constant_beside("where", condition, beside).copy("A"), a, b)  # backward reads it again


def clip(x: Any, low: Any = None, high: Any = None) -> Tensor:
    """x held in [low, high]; the gradient is that of x inside and 0 outside. Bounds may be tensors, with gradients."""
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        x = x if low is None else maximum(x, low)
        return as_tensor(x) if high is None else minimum(x, high)
    x = as_tensor(x)
    bounds = [b if b is None or type(b) is float else operands(x, b)[1] for b in (low, high)]
    x = floating(x) if any(map(_is_fractional, bounds)) else x
    low, high = (b._array.astype(x.dtype) if isinstance(b, Tensor) else b for b in bounds)  # copies, for backward
    return Clip.apply(x, low=low, high=high)


def _is_fractional(b: Any) -> bool:
    return b.dtype.kind == "f" if isinstance(b, Tensor) else isinstance(b, float)


def astype(x: Any, dtype: Any) -> Tensor:
    """x in another type. The gradient flows if both are floats."""
    x = as_tensor(x)
    return x if x.dtype == np.dtype(dtype) else Astype.apply(x, dtype=np.dtype(dtype))


def alias(x: Tensor) -> Tensor:
    """The same tensor as a new node of the graph."""
    return Alias.apply(x)


def _where(condition: Any, *either: Any) -> Any:
    """As np.where: of a condition alone, the indices where it holds."""
    return where(condition, *either) if either else np.nonzero(constant(condition))


def _clip(x: Any, a_min: Any = None, a_max: Any = None, **names: Any) -> Tensor:
    """As np.clip, which has two names for each of the bounds."""
    bounds = {"low": names.pop("min", a_min), "high": names.pop("max", a_max)}
    return clip(x, **bounds, **names)


def _discrete(ufunc: np.ufunc) -> Any:
    def of_one(x: Any) -> Tensor:
        return wrap(ufunc(constant(x)))

    def of_two(a: Any, b: Any) -> Tensor:
        a, b = operands(a, b)
        return wrap(ufunc(*map(_bare, (a, b))))

    function = of_one if ufunc.nin == 1 else of_two
    function.__name__ = ufunc.__name__
    function.__doc__ = f"np.{ufunc.__name__} as a tensor of booleans or integers, through which no gradient flows."
    return function


less, less_equal = _discrete(np.less), _discrete(np.less_equal)
greater, greater_equal = _discrete(np.greater), _discrete(np.greater_equal)
equal, not_equal = _discrete(np.equal), _discrete(np.not_equal)
bitwise_and, bitwise_or, bitwise_xor = _discrete(np.bitwise_and), _discrete(np.bitwise_or), _discrete(np.bitwise_xor)
logical_and, logical_or, logical_not = _discrete(np.logical_and), _discrete(np.logical_or), _discrete(np.logical_not)
invert, isnan, isinf, isfinite = map(_discrete, (np.invert, np.isnan, np.isinf, np.isfinite))


def _swapped(function: Any) -> Any:
    return lambda a, b: function(b, a)


def _among_numbers(function: Any) -> Any:
    """None, a string and the like are equal to no tensor: Python's own == says so, if this one has no answer."""

    @functools.wraps(function)
    def compare(t: Tensor, other: Any) -> Any:
        numbers = isinstance(other, (Number, list, tuple)) or hasattr(other, "__array__")
        return function(t, other) if numbers else NotImplemented

    return compare


def _assigning(function: Any) -> Any:
    """What w -= step means: under no_grad() a leaf stays the leaf it is; everything else is w = w - step."""

    @functools.wraps(function)
    def assign(t: Tensor, other: Any) -> Tensor:
        y = function(t, other)
        if is_recording() or not t.requires_grad or not t.is_leaf:
            return y
        t.data = y
        return t

    return assign


def _assigned(function: Any) -> Any:
    """What w.assign_add(step) means, in whatever mode."""

    @functools.wraps(function)
    def assign(t: Tensor, other: Any) -> Tensor:
        with no_grad():
            return t.assign(function(t, other))

    return assign


METHODS = {
    "__add__": add, "__radd__": add, "__sub__": subtract, "__rsub__": _swapped(subtract),
    "__mul__": multiply, "__rmul__": multiply, "__truediv__": divide, "__rtruediv__": _swapped(divide),
    "__floordiv__": floor_divide, "__rfloordiv__": _swapped(floor_divide),
    "__mod__": remainder, "__rmod__": _swapped(remainder),
    "__divmod__": lambda a, b: (floor_divide(a, b), remainder(a, b)),
    "__rdivmod__": lambda b, a: (floor_divide(a, b), remainder(a, b)),
    "__pow__": power, "__rpow__": _swapped(power), "__abs__": absolute, "__neg__": negative, "__pos__": lambda x: x,
    "__iadd__": _assigning(add), "__isub__": _assigning(subtract),
    "__imul__": _assigning(multiply), "__itruediv__": _assigning(divide), "__ipow__": _assigning(power),
    "__ifloordiv__": _assigning(floor_divide), "__imod__": _assigning(remainder),
    "assign_add": _assigned(add), "assign_sub": _assigned(subtract),
    "__and__": bitwise_and, "__rand__": bitwise_and, "__or__": bitwise_or, "__ror__": bitwise_or,
    "__xor__": bitwise_xor, "__rxor__": bitwise_xor, "__invert__": invert,
    "__lt__": less, "__le__": less_equal, "__gt__": greater, "__ge__": greater_equal,
    "__eq__": _among_numbers(equal), "__ne__": _among_numbers(not_equal),
    "abs": absolute, "clip": clip, "astype": astype, "alias": alias,
}  # fmt: skip
UFUNCS |= {f.__name__: f for f in (
    add, subtract, multiply, divide, power, negative, absolute, square, maximum, minimum, floor_divide, remainder,
    less, less_equal, greater, greater_equal, equal, not_equal, logical_and, logical_or, logical_not,
    bitwise_and, bitwise_or, bitwise_xor, invert, isnan, isinf, isfinite,
)} | {"positive": as_tensor}  # fmt: skip
FUNCTIONS |= {np.where: _where, np.clip: _clip}
