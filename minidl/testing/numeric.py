"""Derivatives from values alone, which the backward pass is held to.

A central difference has two errors that pull apart: the step's own (∝ h²) and that of
rounding (∝ ε/h). So each entry tries several steps, joins each with half of it (Richardson:
(4 D(h/2) − D(h)) / 3 is free of the h² term), and keeps the one whose two differences agree
best. A kink close by, or the end of the function's domain, shows as disagreement and is
stepped over by a smaller step.

Where the function runs on complex numbers, Im f(x + ih) / h needs no subtraction and is exact
to the last digits (Squire and Trapp 1998). But a function may run on them and mean something
else, as |x| does, so this is believed only where it agrees with the difference.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl import devices
from minidl.autograd.modes import no_grad
from minidl.tensors import Tensor

Array = Any
Evaluate = Callable[[], Sequence[Array]]

# Relative to 1 + |x|; the first is right for nearly all functions, so it comes first.
STEPS = (1e-4, 1e-5, 1e-3, 1e-6, 1e-7, 1e-8)
SMALL_STEPS = (1e-2, 1e-4)  # relative to |x|, for what happens on the scale of a small x
COMPLEX_STEP = 1e-20


def gradient(
    evaluate: Evaluate, weights: Sequence[Array], x: Tensor, good_enough: Callable[[float], float], complex_too: bool
) -> Array:
    """∂(Σ weights · evaluate()) / ∂x, entry by entry.

    `evaluate` computes the outputs from what x holds, as arrays of its own. The search for a
    step ends when the error is estimated to be below `good_enough(slope)`.
    """
    slopes = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        slopes[index], error = _by_differences(evaluate, weights, x, index, good_enough)
        if complex_too:
            better = _by_complex_step(evaluate, weights, x, index)
            complex_too = better is not None
            if better is not None and abs(better - slopes[index]) <= 1e-6 * abs(better) + 10 * error:
                slopes[index] = better
    return slopes


def one_sided_slopes(
    evaluate: Evaluate, weights: Sequence[Array], x: Tensor, index: tuple[int, ...]
) -> tuple[float, float]:
    """The slopes to the left and to the right: different at a kink."""
    at = _at(evaluate, x, index, _entry(x, index))
    h = 1e-7 * (1 + abs(_entry(x, index)))
    left, right = (_at(evaluate, x, index, _entry(x, index) + step) for step in (-h, h))
    return _dot(weights, at, left) / h, _dot(weights, right, at) / h


def _by_differences(
    evaluate: Evaluate,
    weights: Sequence[Array],
    x: Tensor,
    index: tuple[int, ...],
    good_enough: Callable[[float], float],
) -> tuple[float, float]:
    """The slope and an estimate of its error; NaN and infinity if no step gives a number."""
    best, least = np.nan, np.inf
    size = abs(_entry(x, index))
    small = [step * size for step in SMALL_STEPS] if 0 < size < STEPS[0] else []
    for h in [*(step * (1 + size) for step in STEPS), *small]:
        wide, rounding = _difference(evaluate, weights, x, index, h)
        narrow, _ = _difference(evaluate, weights, x, index, h / 2)
        slope, error = (4 * narrow - wide) / 3, abs(narrow - wide) + rounding
        if error < least:
            best, least = slope, error
        if least <= good_enough(best):
            break
    return best, least


def _difference(
    evaluate: Evaluate, weights: Sequence[Array], x: Tensor, index: tuple[int, ...], h: float
) -> tuple[float, float]:
    """(φ(x + h) − φ(x − h)) / 2h, and what rounding may have added to it."""
    centre = _entry(x, index)
    right, left = centre + h, centre - h
    above, below = _at(evaluate, x, index, right), _at(evaluate, x, index, left)
    width = right - left  # not 2h: the difference of the numbers that were used
    size = sum(float(np.abs(w * a).sum()) for w, a in zip(weights, above, strict=True))
    return _dot(weights, above, below) / width, np.finfo(float).eps * size / width


def _entry(x: Tensor, index: tuple[int, ...]) -> Any:
    return devices.to_host(x._array[index])


def _at(evaluate: Evaluate, x: Tensor, index: tuple[int, ...], value: float) -> Sequence[Array]:
    """The outputs with one entry of x at this value; x is as before when it returns."""
    before = _entry(x, index)
    x._array[index] = value
    x._changed()
    try:
        with np.errstate(all="ignore"):
            return evaluate()
    finally:
        x._array[index] = before
        x._changed()


def _by_complex_step(evaluate: Evaluate, weights: Sequence[Array], x: Tensor, index: tuple[int, ...]) -> float | None:
    """The slope, or None if the function does not run on complex numbers."""
    real = x._array
    x._array = real.astype(complex)
    x._array[index] += 1j * COMPLEX_STEP
    try:
        with no_grad(), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            outputs = evaluate()
    except Exception:  # whatever it is that f does not like: real numbers will do
        return None
    finally:
        x._array = real
    return sum(float((w * y.imag).sum()) for w, y in zip(weights, outputs, strict=True)) / COMPLEX_STEP


def _dot(weights: Sequence[Array], a: Sequence[Array], b: Sequence[Array]) -> float:
    """Σ weights (a − b): differences first, so that what did not change adds no rounding."""
    with np.errstate(invalid="ignore"):
        return sum(float((w * (p - q)).sum()) for w, p, q in zip(weights, a, b, strict=True))
