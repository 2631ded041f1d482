"""Activation functions: what a layer does to each number, or each row, of its output.

All are made of differentiable operations, so each has derivatives of every order.

>>> import minidl as md
>>> md.activations.get("leaky_relu")(md.Tensor([-1.0, 2.0]))
Tensor([-0.2,  2. ])
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from minidl import ops
from minidl.naming import lookup
from minidl.ops.coercion import floating
from minidl.tensors import Tensor

_TABLE: dict[str, Callable[..., Tensor]] = {}


def _activation(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Register a function under its name. It takes anything array-like, and a mask goes on with the result."""

    @functools.wraps(function)
    def activated(x: Any, *args: Any, **kwargs: Any) -> Tensor:
        y = function(floating(x), *args, **kwargs)
        mask = getattr(x, "_mask", None)
        if mask is not None and y is not x:
            y._mask = mask  # type: ignore[attr-defined]
        return y

    _TABLE[function.__name__] = activated
    return activated


@_activation
def linear(x: Tensor) -> Tensor:
    """x"""
    return x


@_activation
def relu(x: Tensor) -> Tensor:
    """max(x, 0)"""
    return ops.relu(x)


@_activation
def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """x where x > 0, else negative_slope x"""
    return ops.leaky_relu(x, negative_slope)


@_activation
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else α (eˣ − 1) (Clevert, Unterthiner and Hochreiter 2016)"""
    return ops.elu(x, alpha)


@_activation
def selu(x: Tensor) -> Tensor:
    """λ elu(x, α), with constants that keep mean 0 and variance 1 (Klambauer, Unterthiner, Mayr and Hochreiter 2017)"""
    return ops.elu(x, alpha=1.6732632423543772, scale=1.0507009873554805)


@_activation
def softplus(x: Tensor) -> Tensor:
    """ln(1 + eˣ)"""
    return ops.softplus(x)


@_activation
def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|)"""
    return x / (1 + ops.absolute(x))


@_activation
def tanh(x: Tensor) -> Tensor:
    """(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)"""
    return ops.tanh(x)


@_activation
def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e⁻ˣ). Losses find the logits x on the result, and compute the stable form from them."""
    return ops.sigmoid(x)


@_activation
def hard_sigmoid(x: Tensor) -> Tensor:
    """x / 6 + 1/2, held in [0, 1]"""
    return ops.clip(x / 6 + 0.5, 0.0, 1.0)


@_activation
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """eˣ / Σ eˣ along the axis. Losses find the logits x on the result, and compute the stable form from them."""
    return ops.softmax(x, axis)


@_activation
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """ln softmax(x)"""
    return ops.log_softmax(x, axis)


@_activation
def silu(x: Tensor) -> Tensor:
    """x σ(x), also called swish"""
    return ops.silu(x)


@_activation
def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """x Φ(x) = x (1 + erf(x/√2)) / 2, or x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2 (Hendrycks and Gimpel 2016)"""
    if approximate:
        return 0.5 * x * (1 + ops.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return ops.gelu(x)


@_activation
def exponential(x: Tensor) -> Tensor:
    """eˣ"""
    return ops.exp(x)


swish = _TABLE["swish"] = silu


def get(identifier: Any) -> Callable[..., Tensor]:
    """An activation from its name; None is linear, and a function, or a layer, will do as it is.

    >>> get("swish").__name__, get(None).__name__
    ('silu', 'linear')
    """
    if identifier is None:
        return linear
    return identifier if callable(identifier) else lookup("activation", _TABLE, identifier)


def serialize(activation: Callable[..., Tensor]) -> Any:
    """The name of a function of this module; any other comes back as it is."""
    name = getattr(activation, "__name__", "")
    return name if _TABLE.get(name) is activation else activation
