"""gradcheck and gradgradcheck: is the backward pass the derivative of the forward pass?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl import devices
from minidl.autograd.modes import enable_grad
from minidl.tensors import Tensor
from minidl.testing import numeric
from minidl.testing.subjects import Function, Gradient, GradientError, Subject, check_outputs, draw_weights

Array = Any
RTOL, ATOL = 1e-6, 1e-8


def gradcheck(f: Callable[..., Any], inputs: Any, *, rtol: float = RTOL, atol: float = ATOL, seed: int = 0) -> bool:
    """Check the gradients of a function or layer against finite differences: True, or a GradientError.

    Everything is computed in float64. The outputs are summed up with random weights, if there is
    more than one number, so that one backward pass gives one number for each entry of each input;
    the same numbers are found again from values of f alone (`minidl.testing.numeric`). For a layer, or any
    callable object that has `trainable_weights`, the gradients of these are checked too.

    It also fails if f, called twice, gives two results or two gradients, if a backward rule is
    not linear in the gradient that it is given, if anything is changed in place that should not
    be, and if an output or a gradient is NaN.

    At a kink, as relu has at 0, there is no derivative, and differences give the mean of the
    slopes on both sides: check such functions elsewhere. What is random must repeat itself:
    `lambda x: md.dropout(x, 0.5, rng=md.random.Generator(0))`.

    Args:
        f: takes tensors; returns a Tensor, or a tuple or list of them. Integers among them are passed over.
        inputs: the argument of f, or a tuple or list of its arguments. Those of floats (tensors, arrays,
            numbers, lists of numbers) become float64 tensors and are checked; if some are tensors with
            requires_grad, only those are. All else goes to f as it is.
        rtol, atol: a difference up to rtol |slope| + atol is put down to rounding.
        seed: of the weights of the outputs.

    >>> import minidl as md
    >>> md.gradcheck(lambda x: md.sum(md.tanh(x) * x), md.Tensor([0.5, -1.0]))
    True
    >>> class Wrong(md.Op):
    ...     def forward(self, x):
    ...         return x * x
    ...     def backward(self, dy):
    ...         return dy * 2.002 * self.inputs[0]
    >>> md.gradcheck(Wrong.apply, md.Tensor([1.0, 3.0]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    minidl.testing.subjects.GradientError: the gradient of input 0, shape (2,), is wrong at 2 of 2 entries; ...
    """
    with enable_grad():
        return _verdict(compare(Function(f, inputs), rtol, atol, seed))


def gradgradcheck(f: Callable[..., Any], inputs: Any, *, rtol: float = RTOL, atol: float = ATOL, seed: int = 0) -> bool:
    """Check second derivatives: `gradcheck` of the gradients of f, as create_graph records them.

    The gradients are a function of the inputs and of the gradients of the outputs, and are
    checked with respect to all of them. Arguments and errors are those of `gradcheck`.

    >>> import minidl as md
    >>> md.gradgradcheck(md.sigmoid, md.Tensor([0.5, -1.0]))
    True
    """
    with enable_grad():
        return _verdict(compare(Gradient(f, inputs, seed + 1), rtol, atol, seed))


class Comparison(NamedTuple):
    """What was found about the gradient of one variable."""

    error: float  # the largest |analytic − numeric| / (|numeric| + atol / rtol): right up to rtol
    message: str  # what is wrong, or nothing


def compare(subject: Subject, rtol: float, atol: float, seed: int) -> list[Comparison]:
    """The gradient of each variable by the backward pass and by finite differences."""
    outputs = subject.outputs()
    check_outputs(outputs)
    alone = sum(y.size for y in outputs) == 1  # whose derivatives an error shows as they are
    weights = [np.ones(y.shape) for y in outputs] if alone else draw_weights(outputs, seed)
    analytic = subject.backward(weights)
    _check_repeats(subject, outputs, weights, analytic)
    evaluate = _evaluator(subject, [y.shape for y in outputs])
    found = []
    for (label, x), dx in zip(subject.variables.items(), analytic, strict=True):
        slopes = numeric.gradient(
            evaluate, weights, x, lambda slope: (rtol * abs(slope) + atol) / 10, subject.complex_too
        )
        errors = _errors(dx, slopes, atol / rtol)
        wrong, message = errors > rtol, ""
        if wrong.any():
            worst = tuple(int(i) for i in np.unravel_index(errors.argmax(), errors.shape))
            sides = numeric.one_sided_slopes(evaluate, weights, x, worst)
            of = "" if alone else "of the outputs' sum with random weights "
            message = (
                f"the gradient of {label}, {_described(dx, slopes, wrong, worst, of)}{_hint(dx, slopes, wrong, sides)}"
            )
        found.append(Comparison(float(errors.max(initial=0.0)), message))
    if not any(c.message for c in found):
        _check_linear(subject, weights, analytic, rtol, atol)
    return found


def _check_repeats(
    subject: Subject, outputs: Sequence[Tensor], weights: Sequence[Array], analytic: Sequence[Array | None]
) -> None:
    for i, (first, second) in enumerate(zip(outputs, subject.outputs(), strict=True)):
        if not np.array_equal(devices.to_host(first._array), devices.to_host(second._array)):
            raise GradientError(f"f is not deterministic: output {i}, computed twice from the same inputs, differs")
    for label, a, b in zip(subject.variables, analytic, subject.backward(weights), strict=True):
        if (a is None) is not (b is None) or not np.array_equal(
            np.asarray(a, float), np.asarray(b, float), equal_nan=True
        ):
            raise GradientError(
                f"the backward pass is not deterministic: the gradient of {label}, computed twice, differs"
            )


def _check_linear(
    subject: Subject, weights: Sequence[Array], analytic: Sequence[Array | None], rtol: float, atol: float
) -> None:
    """Rules like |dy| are right for the weights of one sign; a power of two times these must give exactly as much."""
    scaled = subject.backward([-2 * w for w in weights])
    for label, a, b in zip(subject.variables, analytic, scaled, strict=True):
        if a is not None and b is not None and not np.allclose(-2 * a, b, rtol, atol, equal_nan=True):
            raise GradientError(
                f"the backward pass is not linear in what comes from above: -2 times the gradient of the outputs "
                f"does not give -2 times the gradient of {label}"
            )


def _evaluator(subject: Subject, shapes: list[tuple[int, ...]]) -> numeric.Evaluate:
    def evaluate() -> list[Array]:
        arrays = subject.values()
        if [a.shape for a in arrays] != shapes:
            raise GradientError(f"outputs of shapes {shapes} had others when an input was changed a little")
        return arrays

    return evaluate


def _errors(analytic: Array | None, slopes: Array, floor: float) -> Array:
    dx = np.zeros_like(slopes) if analytic is None else analytic
    with np.errstate(invalid="ignore"):
        errors = np.abs(dx - slopes) / (np.abs(slopes) + floor)
    return np.where(np.isnan(errors), np.inf, errors)


def _described(analytic: Array | None, slopes: Array, wrong: Array, worst: tuple[int, ...], of: str) -> str:
    a, n = 0.0 if analytic is None else analytic[worst], slopes[worst]
    return (
        f"shape {slopes.shape}, is wrong at {wrong.sum()} of {wrong.size} entries; the worst is {worst}: "
        f"{of}the backward pass gives {a:.10g} and finite differences {n:.10g}, off by {abs(a - n):.3g}"
    )


def _hint(analytic: Array | None, slopes: Array, wrong: Array, sides: tuple[float, float]) -> str:
    """What the error looks like, where it looks like something."""
    if analytic is None:
        return "; no gradient arrived at all: was it detached, or an array on its way?"
    left, right = sides
    if abs(right - left) > 1e-3 * (abs(left) + abs(right)) + 1e-5:
        return f"; the slopes to the left and right, {left:.4g} and {right:.4g}, differ: check it where it has no kink"
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (analytic / slopes)[wrong]
    if ratios.size > 1 and np.isfinite(ratios).all() and np.ptp(ratios) <= 1e-5 * abs(ratios[0]):
        return f"; all of them are {ratios[0]:.6g} times what they should be"
    return ""


def _verdict(found: Sequence[Comparison]) -> bool:
    messages = [c.message for c in found if c.message]
    if messages:
        raise GradientError("\n".join(messages))
    return True
