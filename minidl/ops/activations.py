"""Activations that have kernels: each function of a number in one pass, and its derivative in another."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minidl import kernels
from minidl.kernels.validate import FLOATS
from minidl.ops.arithmetic import clip, where
from minidl.ops.coercion import floating
from minidl.ops.elementary import erf, expm1, log1p, sigmoid
from minidl.tensors import Op, Tensor

_NUMBERS = {float, int}


class Activation(Op):
    """y = f(x), number by number;  dx = dy f′(x). f may have numbers of its own, such as a slope.

    `formula` is f in small ops, for what no kernel takes.
    """

    makes_gradients = True
    kernel: str
    formula: Callable[..., Tensor]

    @classmethod
    def of(cls, x: Any, *numbers: float) -> Tensor:
        """f(x): by the kernel, or by the formula for another type of x, and for a tensor in place of a number."""
        x = floating(x)
        if x._array.dtype not in FLOATS or not _NUMBERS.issuperset(map(type, numbers)):
            return cls.formula(x, *numbers)
        return cls.apply(x, numbers=numbers) if numbers else cls.apply(x)

    def forward(self, x: Any, numbers: tuple[float, ...] = ()) -> Any:
        self.numbers = numbers
        return getattr(kernels.of(x), f"{self.kernel}_forward")(x, *numbers)


class Smooth(Activation):
    """An activation with derivatives of every order, by its formula."""

    def backward(self, dy: Any) -> Any:
        (x,) = self.inputs
        return getattr(kernels.of(x), f"{self.kernel}_backward")(dy, x, *self.numbers)

    def composition(self, x: Tensor) -> Tensor:
        return self.formula(x, *self.numbers)


class Slope(Op):
    """y = s f′(x) for an activation of straight pieces: linear in s, flat in x;  ds = dy f′(x)"""

    makes_gradients = True

    def reads(self, i: int, needs: tuple[bool, ...]) -> bool:
        return i == 1

    def forward(self, s: Any, x: Any, kernel: str, numbers: tuple[float, ...]) -> Any:
        self.kernel, self.numbers = kernel, numbers
        return getattr(kernels.of(x), f"{kernel}_backward")(s, x, *numbers)

    def backward(self, dy: Any) -> Any:
        return Slope.apply(dy, self.inputs[1], kernel=self.kernel, numbers=self.numbers), None


class Straight(Activation):
    """An activation of straight pieces. Its slope is recorded as a function of x, so that its derivative is 0."""

    def backward(self, dy: Any) -> Any:
        return Slope.apply(dy, self.inputs[0], kernel=self.kernel, numbers=self.numbers)


class Relu(Straight):
    """y = max(x, 0);  dx = dy where x > 0, else 0 (0 at 0, the usual choice of subgradient)"""

    kernel = "relu"

    @staticmethod
    def formula(x: Tensor) -> Tensor:
        return where(x <= 0, 0.0, x)


class LeakyRelu(Straight):
    """y = x where x > 0, else a x;  dx = dy where x > 0, else a dy"""

    kernel = "leaky_relu"

    @staticmethod
    def formula(x: Tensor, negative_slope: float) -> Tensor:
        return where(x > 0, x, negative_slope * x)


class Elu(Smooth):
    """y = s x where x > 0, else s α (eˣ − 1);  dx = s dy where x > 0, else s α eˣ dy"""

    kernel = "elu"

    @staticmethod
    def formula(x: Tensor, alpha: float, scale: float) -> Tensor:
        negative = clip(x, high=0.0)  # or e^x of a large x, which where() leaves out, spoils the gradient with ∞ · 0
        return scale * where(x > 0, x, alpha * expm1(negative))


class Softplus(Smooth):
    """y = ln(1 + eˣ);  dx = dy σ(x)"""

    kernel = "softplus"

    @staticmethod
    def formula(x: Tensor) -> Tensor:
        positive = x > 0
        small = math.e ** where(positive, -x, x)  # exp() is for the kernels' types alone
        return where(positive, x, 0.0) + log1p(small)


class Silu(Smooth):
    """y = x σ(x);  dx = dy (σ(x) + x σ(x) σ(−x))"""

    kernel = "silu"

    @staticmethod
    def formula(x: Tensor) -> Tensor:
        return x * sigmoid(x)


class Gelu(Smooth):
    """y = x Φ(x);  dx = dy (Φ(x) + x φ(x)), the normal distribution and its density"""

    kernel = "gelu"

    @staticmethod
    def formula(x: Tensor) -> Tensor:
        return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def relu(x: Any) -> Tensor:
    """max(x, 0)"""
    return Relu.of(x)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Tensor:
    """x where x > 0, else negative_slope x"""
    return LeakyRelu.of(x, negative_slope)


def elu(x: Any, alpha: float = 1.0, scale: float = 1.0) -> Tensor:
    """scale x where x > 0, else scale α (eˣ − 1)"""
    return Elu.of(x, alpha, scale)


def softplus(x: Any) -> Tensor:
    """ln(1 + eˣ), without overflow."""
    return Softplus.of(x)


def silu(x: Any) -> Tensor:
    """x σ(x)"""
    return Silu.of(x)


def gelu(x: Any) -> Tensor:
    """x Φ(x) = x (1 + erf(x/√2)) / 2, which for x < 0 keeps the digits that this sum loses."""
    return Gelu.of(x)


METHODS = {"relu": relu}
