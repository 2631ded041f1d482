"""What gradcheck works on: a function with its arguments and weights in float64, and the gradient of one."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minidl import devices, random
from minidl.autograd.engine import backpropagate
from minidl.tensors import Tensor, wrap

Array = Any


class GradientError(AssertionError):
    """A gradient is not the derivative of the function that it belongs to."""


class Subject:
    """Something with variables, by what errors call them, and outputs computed from them."""

    variables: dict[str, Tensor]
    complex_too: bool  # whether it may be tried on complex numbers

    def outputs(self) -> list[Tensor]:
        """The outputs that hold floats, or complex numbers if a variable does."""
        raise NotImplementedError

    def values(self) -> list[Array]:
        """The same without derivatives, and in arrays of their own: a view would move with its variable."""
        return [devices.to_host(y._array.copy()) for y in self.outputs()]

    def backward(self, weights: Sequence[Array]) -> list[Array | None]:
        """The gradient of Σ weights · outputs for each variable, None where none arrives."""
        outputs = self.outputs()
        seeds = [devices.beside(w.copy(), y._array) for w, y in zip(weights, outputs, strict=True)]
        targets = list(self.variables.values())
        try:
            found = backpropagate(outputs, seeds, targets, retain_graph=False, create_graph=False)
        except RuntimeError as error:
            raise GradientError(f"the backward pass failed: {error}") from error
        if not all(map(np.array_equal, map(devices.to_host, seeds), weights)):
            raise GradientError(
                "a backward rule changes the gradient that it is given in place; others may hold it too"
            )
        return [devices.to_host(found[id(x)][1]) if id(x) in found else None for x in targets]


class Function(Subject):
    """f with its arguments and weights in float64; what the caller holds is left alone."""

    complex_too = True

    def __init__(self, f: Callable[..., Any], inputs: Any) -> None:
        given = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
        self.arguments, chosen = _arguments(given)
        self.variables = {f"input {i}": self.arguments[i] for i in chosen}
        self.f = f
        if not inspect.isroutine(f) and hasattr(f, "trainable_weights"):
            self.f = _in_float64(f)
            self.f(*self.arguments)  # layers make their weights when they are first called
            self.variables |= {_label(i, w): w for i, w in enumerate(self.f.trainable_weights)}  # type: ignore[attr-defined]
        if not self.variables:
            raise TypeError("nothing to check: pass at least one input of floats (1.0, not 1), or a layer with weights")

    def outputs(self) -> list[Tensor]:
        with self._arguments_unchanged("f"):
            y = self.f(*self.arguments)
        outputs = list(y) if isinstance(y, (tuple, list)) else [y]
        for output in outputs:
            if not isinstance(output, Tensor):
                raise TypeError(
                    f"f must return a Tensor, or a tuple of them, got {type(output).__name__}; "
                    f"what leaves the tensors, as by .numpy(), has no gradient"
                )
        return [output for output in outputs if output.dtype.kind in "fc"]

    def backward(self, weights: Sequence[Array]) -> list[Array | None]:
        with self._arguments_unchanged("a backward rule"):
            return super().backward(weights)

    @contextlib.contextmanager
    def _arguments_unchanged(self, who: str) -> Iterator[None]:
        held = {i: getattr(x, "_array", x) for i, x in enumerate(self.arguments)}
        arrays = {i: x for i, x in held.items() if devices.is_array(x)}
        before = {i: array.copy() for i, array in arrays.items()}
        yield
        for i, array in arrays.items():
            if not np.array_equal(before[i], array, equal_nan=array.dtype.kind in "fc"):
                raise GradientError(f"{who} changes input {i} in place; let it work on a copy")


class Gradient(Subject):
    """The gradients of f, as a function of its variables and of the gradients of its outputs."""

    complex_too = False  # a backward pass is for floats

    def __init__(self, f: Callable[..., Any], inputs: Any, seed: int) -> None:
        self.inner = Function(f, inputs)
        outputs = self.inner.outputs()
        check_outputs(outputs)
        self.seeds = [Tensor(w, requires_grad=True) for w in draw_weights(outputs, seed)]
        self.variables = self.inner.variables | {f"the gradient of output {i}": dy for i, dy in enumerate(self.seeds)}
        self._check_agreement()

    def outputs(self) -> list[Tensor]:
        """The gradients as create_graph records them: for a fused op through its composition."""
        targets = list(self.inner.variables.values())
        found = backpropagate(self.inner.outputs(), self.seeds, targets, retain_graph=True, create_graph=True)
        return [found[id(x)][1] if id(x) in found else wrap(np.zeros_like(x._array)) for x in targets]

    def values(self) -> list[Array]:
        """The gradients of a plain backward pass, which those above must agree with."""
        found = self.inner.backward([devices.to_host(dy._array) for dy in self.seeds])
        variables = self.inner.variables.values()
        return [np.zeros(x.shape) if dx is None else dx for x, dx in zip(variables, found, strict=True)]

    def _check_agreement(self) -> None:
        outputs = [devices.to_host(y._array) for y in self.outputs()]
        for label, recorded, plain in zip(self.inner.variables, outputs, self.values(), strict=True):
            if not np.allclose(recorded, plain, rtol=1e-9, atol=1e-12, equal_nan=True):
                raise GradientError(
                    f"with create_graph the gradient of {label} is another than without, by up to "
                    f"{np.abs(recorded - plain).max():.3g}: an op's composition may differ from its forward, "
                    f"or something in f is random"
                )


def check_outputs(outputs: Sequence[Tensor]) -> None:
    """Refuse outputs that finite differences can make nothing of."""
    if not outputs:
        raise TypeError("f returns no floats: there is nothing to differentiate")
    for y in outputs:
        if y.dtype != np.float64:
            raise TypeError(
                f"f returns {y.dtype} from inputs of float64, too few digits for finite differences; something in it "
                f'converts: make a layer that f closes over with dtype="float64", or pass the layer itself as f'
            )
        if not np.isfinite(y._array).all():
            raise GradientError(f"an output of shape {y.shape} is not finite at these inputs: {y._array}")


def draw_weights(outputs: Sequence[Tensor], seed: int) -> list[Array]:
    """Random, of either sign and none near 0, so that a wrong gradient of any output shows."""
    rng = random.Generator(seed)
    sizes = [rng.uniform(y.shape, 0.5, 1.5, np.float64) for y in outputs]
    return [np.where(rng.uniform(size.shape) < 0.5, size, -size) for size in sizes]


def _arguments(given: list[Any]) -> tuple[list[Any], list[int]]:
    """Copies of the arguments, and the places of those to be checked."""
    marked = [i for i, x in enumerate(given) if isinstance(x, Tensor) and x.requires_grad]
    chosen = marked or [i for i, x in enumerate(given) if _holds_floats(x)]
    arguments = []
    for i, x in enumerate(given):
        if i in chosen or isinstance(x, Tensor):
            dtype = np.float64 if _holds_floats(x) else None
            x = Tensor(x, requires_grad=i in chosen, dtype=dtype, name=getattr(x, "name", None))
        elif devices.is_array(x):
            x = x.astype(np.float64 if _holds_floats(x) else x.dtype)
        arguments.append(x)
    return arguments, chosen


def _holds_floats(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(_holds_floats(e) for e in x if isinstance(e, (float, list, tuple)))
    return isinstance(x, float) or ((isinstance(x, Tensor) or devices.is_array(x)) and x.dtype.kind == "f")


def _in_float64(f: Any) -> Any:
    """A copy, in float64, of an object with weights, where new tensors go."""
    twin = copy.deepcopy(f)
    if hasattr(twin, "to"):
        twin.to(devices.current())
    for part in _parts(twin, set()):
        if isinstance(part, Tensor):
            if part.dtype.kind == "f":
                part._array = part._array.astype(np.float64)
        elif "dtype" in vars(part):
            part.dtype = np.dtype(np.float64)
    return twin


def _parts(value: Any, seen: set[int]) -> Iterator[Any]:
    """The tensors and the objects with weights in an object, itself included."""
    if id(value) in seen:
        return
    seen.add(id(value))
    inside: Any = ()
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        inside = value
    elif isinstance(value, dict):
        inside = value.values()
    elif hasattr(value, "trainable_weights"):
        yield value
        inside = list(vars(value).values())
    for part in inside:
        yield from _parts(part, seen)


def _label(i: int, weight: Tensor) -> str:
    return f"weight {i} ({weight.name})" if weight.name else f"weight {i}"
