"""The check that a hyper-parameter is a number, and where it must lie."""

from __future__ import annotations

from typing import Any

import numpy as np


def number(name: str, value: Any, interval: str = "[0, inf)") -> float:
    """The value as a float, which must lie in the interval: "[0, 1)" is 0 ≤ value < 1. NaN lies in none.

    >>> number("beta_1", 0.9, "[0, 1)")
    0.9
    >>> number("beta_1", 1, "[0, 1)")
    Traceback (most recent call last):
    ValueError: beta_1 must lie in [0, 1), got 1
    """
    if isinstance(value, (bool, str, bytes)) or not hasattr(value, "__float__") or getattr(value, "ndim", 0) > 0:
        raise TypeError(f"{name} must be a number, got {value!r}")
    x = float(value)
    low, high = (float(end) for end in interval[1:-1].split(","))
    if not low <= x <= high or (x == low and interval[0] == "(") or (x == high and interval[-1] == ")"):
        raise ValueError(f"{name} must lie in {interval}, got {value}")
    return x


def optional(name: str, value: Any, interval: str = "[0, inf)") -> float | None:
    """None, or a number as above."""
    return None if value is None else number(name, value, interval)


def integer(name: str, value: Any, minimum: int) -> int:
    """The value as an int, no less than the minimum.

    >>> integer("num_thresholds", 1, 2)
    Traceback (most recent call last):
    ValueError: num_thresholds must be an integer of 2 or more, got 1
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < minimum:
        raise ValueError(f"{name} must be an integer of {minimum} or more, got {value!r}")
    return int(value)


def weight_shape(owner: str, shape: Any) -> tuple[int, ...]:
    """The shape of a weight as a tuple. Its name, which older programs put first, is none."""
    if not isinstance(shape, (tuple, list)) or not all(isinstance(n, (int, np.integer)) for n in shape):
        raise TypeError(
            f"{owner}: the shape of a weight is a tuple of sizes such as (3, 4), got {shape!r}; "
            f"give it first, and the others by name"
        )
    return tuple(shape)


def float_type(what: str, dtype: Any) -> np.dtype[Any]:
    """float32 or float64, from a name, a type of NumPy's, or an object with such a name, as policies of Keras' have.

    >>> float_type("dense", None), float_type("dense", "float64")
    (dtype('float32'), dtype('float64'))
    """
    known = getattr(dtype, "name", dtype)
    try:
        known = np.dtype(known or np.float32)
        if known in (np.float32, np.float64):
            return known
    except TypeError:  # NumPy knows no such name, and would not say whose it is
        pass
    raise ValueError(
        f"{what}: dtype must be float32 or float64, got {known}; "
        f"weights and arithmetic are of one of these types, there is no other precision and none that is mixed"
    )
