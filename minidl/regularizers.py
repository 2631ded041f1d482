"""Regularizers: penalties on weights, added to the loss.

>>> import minidl as md
>>> w = md.Tensor([1.0, -2.0], requires_grad=True)
>>> md.regularizers.L2(0.1)(w)
Tensor(0.5, op=multiply)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

from minidl.naming import resolve
from minidl.ops.arithmetic import absolute, square
from minidl.ops.reductions import sum
from minidl.tensors import Tensor


class Regularizer:
    """Base of all: called with a weight, returns a penalty. Keep the arguments as attributes of their names."""

    def __call__(self, w: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no __call__(self, w): write one that returns the penalty")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make it again."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.get_config().items())})"


class L1(Regularizer):
    """l1 Σ |w|"""

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = _factor("l1", l1)

    def __call__(self, w: Tensor) -> Tensor:
        return self.l1 * sum(absolute(w))


class L2(Regularizer):
    """l2 Σ w²"""

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = _factor("l2", l2)

    def __call__(self, w: Tensor) -> Tensor:
        return self.l2 * sum(square(w))


class L1L2(Regularizer):
    """l1 Σ |w| + l2 Σ w²"""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = _factor("l1", l1), _factor("l2", l2)

    def __call__(self, w: Tensor) -> Tensor:
        return self.l1 * sum(absolute(w)) + self.l2 * sum(square(w))


# Keras has both spellings.
l1, l2, l1_l2 = L1, L2, L1L2

_TABLE = {"L1": L1, "L2": L2, "L1L2": L1L2, "l1": L1, "l2": L2}


def get(identifier: Any) -> Callable[[Tensor], Tensor] | None:
    """A regularizer from its name, class or config; None, or a function of the weight, will do as it is.

    >>> get("l2")
    L2(l2=0.01)
    """
    if identifier is None or (callable(identifier) and not isinstance(identifier, type)):
        return identifier
    return resolve("regularizer", _TABLE, identifier, Regularizer)


def _factor(name: str, value: float) -> float:
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be a number of at least 0, got {value!r}")
    return float(value)
