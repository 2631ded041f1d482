"""Elementary functions of one argument. exp, log, sqrt, tanh, sigmoid and erf have kernels of their own.

The others are NumPy's or made of such; in float32 no result is further than 4 ulp from the true value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minidl import kernels
from minidl.kernels.validate import FLOATS
from minidl.ops.coercion import floating
from minidl.tensors import FUNCTIONS, UFUNCS, Op, Tensor, as_tensor


class Exp(Op):
    """y = eˣ;  dx = dy y"""

    reads_inputs = False
    reads_output = True

    def forward(self, x: Any) -> Any:
        return kernels.of(x).exp(x) if x.dtype in FLOATS else np.exp(x)

    def backward(self, dy: Any) -> Any:
        return kernels.multiply(dy, self.output)


class Expm1(Op):
    """y = eˣ − 1;  dx = dy (y + 1)"""

    reads_inputs = False
    reads_output = True

    def forward(self, x: Any) -> Any:
        with np.errstate(over="ignore"):
            return np.expm1(x)

    def backward(self, dy: Any) -> Any:
        return dy * (self.output + 1)


class Log(Op):
    """y = ln x;  dx = dy / x"""

    def forward(self, x: Any) -> Any:
        if x.dtype in FLOATS:
            return kernels.of(x).log(x)
        with np.errstate(divide="ignore", invalid="ignore"):  # log 0 = −inf; detect_anomaly() is how to ask for more
            return np.log(x)

    def backward(self, dy: Any) -> Any:
        return kernels.divide(dy, self.inputs[0])


class Log1p(Op):
    """y = ln(1 + x);  dx = dy / (1 + x)"""

    def forward(self, x: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log1p(x)

    def backward(self, dy: Any) -> Any:
        return dy / (1 + self.inputs[0])


class Sqrt(Op):
    """y = √x;  dx = dy / 2y"""

    reads_inputs = False
    reads_output = True

    def forward(self, x: Any) -> Any:
        if x.dtype in FLOATS:
            return kernels.of(x).sqrt(x)
        with np.errstate(invalid="ignore"):
            return np.sqrt(x)

    def backward(self, dy: Any) -> Any:
        return kernels.divide(dy, kernels.multiply(2, self.output))


class Sin(Op):
    """y = sin x;  dx = dy cos x"""

    def forward(self, x: Any) -> Any:
        return np.sin(x)

    def backward(self, dy: Any) -> Any:
        return dy * Cos.apply(self.inputs[0])


class Cos(Op):
    """y = cos x;  dx = −dy sin x"""

    def forward(self, x: Any) -> Any:
        return np.cos(x)

    def backward(self, dy: Any) -> Any:
        return -dy * Sin.apply(self.inputs[0])


class Tan(Op):
    """y = tan x;  dx = dy (1 + y²)"""

    reads_inputs = False
    reads_output = True

    def forward(self, x: Any) -> Any:
        return np.tan(x)

    def backward(self, dy: Any) -> Any:
        y = self.output
        return dy * (1 + y * y)


class Arcsin(Op):
    """y = arcsin x;  dx = dy / √(1 − x²)"""

    def forward(self, x: Any) -> Any:
        with np.errstate(invalid="ignore"):
            return np.arcsin(x)

    def backward(self, dy: Any) -> Any:
        x = self.inputs[0]
        return dy / Sqrt.apply((1 - x) * (1 + x))


class Arccos(Op):
    """y = arccos x;  dx = −dy / √(1 − x²)"""

    def forward(self, x: Any) -> Any:
        with np.errstate(invalid="ignore"):
            return np.arccos(x)

    def backward(self, dy: Any) -> Any:
        x = self.inputs[0]
        return -dy / Sqrt.apply((1 - x) * (1 + x))


class Arctan(Op):
    """y = arctan x;  dx = dy / (1 + x²)"""

    def forward(self, x: Any) -> Any:
        return np.arctan(x)

    def backward(self, dy: Any) -> Any:
        x = self.inputs[0]
        return dy / (1 + x * x)


class Sinh(Op):
    """y = (eˣ − e⁻ˣ) / 2;  dx = dy cosh x"""

    def forward(self, x: Any) -> Any:
        with np.errstate(over="ignore"):
            return np.sinh(x)

    def backward(self, dy: Any) -> Any:
        return dy * Cosh.apply(self.inputs[0])


class Cosh(Op):
    """y = (eˣ + e⁻ˣ) / 2;  dx = dy sinh x"""

    def forward(self, x: Any) -> Any:
        with np.errstate(over="ignore"):
            return np.cosh(x)

    def backward(self, dy: Any) -> Any:
        return dy * Sinh.apply(self.inputs[0])


class Step(Op):
    """y = f(x), where f is flat between its jumps;  dx = 0"""

    reads_inputs = False

    def forward(self, x: Any, f: Callable[..., Any]) -> Any:
        return f(x)

    def backward(self, dy: Any) -> Any:
        return np.zeros_like(dy)


class Tanh(Op):
    """y = tanh x;  dx = dy (1 − y²)"""

    reads_inputs = False
    reads_output = True
    makes_gradients = True

    def forward(self, x: Any) -> Any:
        return kernels.of(x).tanh(x)

    def backward(self, dy: Any) -> Any:
        y = self.output
        return dy * (1 - y * y) if isinstance(dy, Tensor) else kernels.of(y).tanh_backward(dy, y)


class Sigmoid(Op):
    """y = 1 / (1 + e⁻ˣ);  dx = dy y (1 − y)"""

    reads_inputs = False
    reads_output = True
    makes_gradients = True

    def forward(self, x: Any) -> Any:
        return kernels.of(x).sigmoid(x)

    def backward(self, dy: Any) -> Any:
        y = self.output
        return dy * y * (1 - y) if isinstance(dy, Tensor) else kernels.of(y).sigmoid_backward(dy, y)


class Erf(Op):
    """y = 2/√π ∫₀ˣ e^(−t²) dt;  dx = dy 2/√π e^(−x²)"""

    def forward(self, x: Any) -> Any:
        return kernels.of(x).erf(x)

    def backward(self, dy: Any) -> Any:
        x = self.inputs[0]
        return dy * (2 / math.sqrt(math.pi)) * Exp.apply(-x * x)


def exp(x: Any) -> Tensor:
    """eˣ"""
    return Exp.apply(floating(x))


def expm1(x: Any) -> Tensor:
    """eˣ − 1, exact for small x."""
    return Expm1.apply(floating(x))


def erf(x: Any) -> Tensor:
    """The error function, 2/√π ∫₀ˣ e^(−t²) dt."""
    return Erf.apply(floating(x))


def log(x: Any) -> Tensor:
    """The natural logarithm; −inf at 0, NaN below."""
    return Log.apply(floating(x))


def log1p(x: Any) -> Tensor:
    """ln(1 + x), exact for small x."""
    return Log1p.apply(floating(x))


def sqrt(x: Any) -> Tensor:
    """√x; the gradient at 0 is infinite."""
    return Sqrt.apply(floating(x))


def sin(x: Any) -> Tensor:
    """sin x, x in radians."""
    return Sin.apply(floating(x))


def cos(x: Any) -> Tensor:
    """cos x, x in radians."""
    return Cos.apply(floating(x))


def tan(x: Any) -> Tensor:
    """sin x / cos x, x in radians."""
    return Tan.apply(floating(x))


def arcsin(x: Any) -> Tensor:
    """The angle in [−π/2, π/2] whose sine is x; NaN outside [−1, 1]."""
    return Arcsin.apply(floating(x))


def arccos(x: Any) -> Tensor:
    """The angle in [0, π] whose cosine is x; NaN outside [−1, 1]."""
    return Arccos.apply(floating(x))


def arctan(x: Any) -> Tensor:
    """The angle in (−π/2, π/2) whose tangent is x."""
    return Arctan.apply(floating(x))


def sinh(x: Any) -> Tensor:
    """(eˣ − e⁻ˣ) / 2"""
    return Sinh.apply(floating(x))


def cosh(x: Any) -> Tensor:
    """(eˣ + e⁻ˣ) / 2"""
    return Cosh.apply(floating(x))


def floor(x: Any) -> Tensor:
    """The integer at or below x. The gradient is 0."""
    return Step.apply(as_tensor(x), f=np.floor)


def ceil(x: Any) -> Tensor:
    """The integer at or above x. The gradient is 0."""
    return Step.apply(as_tensor(x), f=np.ceil)


def round(x: Any, decimals: int = 0) -> Tensor:
    """x to so many decimals; halves go to the even neighbour, as in NumPy. The gradient is 0."""
    return Step.apply(as_tensor(x), f=partial(np.round, decimals=decimals))


def sign(x: Any) -> Tensor:
    """1, 0 or −1. The gradient is 0."""
    return Step.apply(as_tensor(x), f=np.sign)


def tanh(x: Any) -> Tensor:
    """(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)"""
    return Tanh.apply(floating(x))


def sigmoid(x: Any) -> Tensor:
    """1 / (1 + e⁻ˣ). A cross-entropy of the result goes back to x, which is stable where the sigmoid saturates."""
    x = floating(x)
    y = Sigmoid.apply(x)
    y._logits = "sigmoid", x, x._version()
    return y


METHODS = {f.__name__: f for f in (exp, log, sqrt, tanh, sigmoid, round)} | {"__round__": round}
UFUNCS |= {
    f.__name__: f
    for f in (
        exp, expm1, log, log1p, sqrt, sin, cos, tan, arcsin, arccos, arctan, sinh, cosh, tanh, floor, ceil, sign
    )
}  # fmt: skip
FUNCTIONS |= {np.round: round, np.around: round}
