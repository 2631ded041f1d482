"""Learning rates that change with the step. Pass one as the `learning_rate` of an optimizer.

Names, arguments and values are those of Keras 3; steps count from 0.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import Any

from minidl.hyperparameters import number, optional
from minidl.naming import resolve, snake_case


class LearningRateSchedule:
    """A learning rate for each step. Subclass it and write `__call__` and `get_config`.

    >>> class Halving(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 * 0.5 ** step
    >>> Halving()(2)
    0.025
    """

    def __call__(self, step: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} has no __call__(step)")

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(f"{type(self).__name__} has no get_config()")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearningRateSchedule:
        return cls(**config)


class _DecayByRate(LearningRateSchedule):
    """What exponential and inverse-time decay have in common: the same arguments."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = None,
    ) -> None:
        self.initial_learning_rate = number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = number("decay_steps", decay_steps, "(0, inf)")
        self.decay_rate = number("decay_rate", decay_rate)
        self.staircase = staircase
        self.name = name or snake_case(type(self).__name__)

    def _periods(self, step: int) -> float:
        periods = step / self.decay_steps
        return math.floor(periods) if self.staircase else periods

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class ExponentialDecay(_DecayByRate):
    """rate = initial · decay_rate^(step / decay_steps), the exponent rounded down with `staircase`.

    >>> ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)(20)
    0.025
    """

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate * self.decay_rate ** self._periods(step)


class InverseTimeDecay(_DecayByRate):
    """rate = initial / (1 + decay_rate · step / decay_steps), the quotient rounded down with `staircase`.

    >>> InverseTimeDecay(0.1, decay_steps=10, decay_rate=0.5)(20)
    0.05
    """

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate / (1 + self.decay_rate * self._periods(step))


class PolynomialDecay(LearningRateSchedule):
    """rate = (initial − end)(1 − step / decay_steps)^power + end, and `end` from decay_steps on.

    With `cycle` the step never runs out: decay_steps is taken as its first multiple that is not passed.

    >>> PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0)(5)
    0.05
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str | None = None,
    ) -> None:
        self.initial_learning_rate = number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = number("decay_steps", decay_steps, "(0, inf)")
        self.end_learning_rate = number("end_learning_rate", end_learning_rate)
        self.power = number("power", power, "(0, inf)")
        self.cycle = cycle
        self.name = name or snake_case(type(self).__name__)

    def __call__(self, step: int) -> float:
        if self.cycle:
            p = step / (self.decay_steps * max(math.ceil(step / self.decay_steps), 1))
        else:
            p = min(step / self.decay_steps, 1.0)
        return (self.initial_learning_rate - self.end_learning_rate) * (1 - p) ** self.power + self.end_learning_rate

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
            "name": self.name,
        }


class CosineDecay(LearningRateSchedule):
    """rate = top · (α + (1 − α)(1 + cos π p) / 2), with p the part of decay_steps that has passed, at most 1.

    `top` is the initial rate. With a `warmup_target` the rate first climbs to it in a straight line
    of `warmup_steps`, and decays from there (Loshchilov and Hutter 2017).

    >>> CosineDecay(0.1, decay_steps=10)(5)
    0.05
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str | None = None,
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = number("decay_steps", decay_steps, "(0, inf)")
        self.alpha = number("alpha", alpha)
        self.warmup_target = optional("warmup_target", warmup_target)
        self.warmup_steps = number("warmup_steps", warmup_steps)
        self.name = name or snake_case(type(self).__name__)

    def __call__(self, step: int) -> float:
        top: float = self.initial_learning_rate
        since: float = step
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top, since = self.warmup_target, step - self.warmup_steps
        p = min(since / self.decay_steps, 1.0)
        return top * (self.alpha + (1 - self.alpha) * 0.5 * (1 + math.cos(math.pi * p)))

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "name": self.name,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] up to and including step boundaries[0], values[1] up to boundaries[1], …, then the last value.

    >>> schedule = PiecewiseConstantDecay([10, 20], [0.1, 0.01, 0.001])
    >>> schedule(10), schedule(11), schedule(21)
    (0.1, 0.01, 0.001)
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str | None = None) -> None:
        self.boundaries = list(boundaries)
        self.values = [number("each of values", v) for v in values]
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"values must be one more than boundaries, got {len(self.values)} and {len(self.boundaries)}"
            )
        if any(b <= a for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"boundaries must ascend, got {self.boundaries}")
        self.name = name or snake_case(type(self).__name__)

    def __call__(self, step: int) -> float:
        return self.values[bisect.bisect_left(self.boundaries, step)]

    def get_config(self) -> dict[str, Any]:
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}


NAMES: dict[str, type[LearningRateSchedule]] = {
    name: cls
    for cls in (ExponentialDecay, InverseTimeDecay, PolynomialDecay, CosineDecay, PiecewiseConstantDecay)
    for name in (snake_case(cls.__name__), cls.__name__)
}


def get(identifier: Any) -> LearningRateSchedule:
    """The schedule itself, or the one that a saved configuration describes."""
    return resolve("learning-rate schedule", NAMES, identifier, LearningRateSchedule)
