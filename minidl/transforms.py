"""Derivatives of functions, and of tensors with respect to any tensor they were computed from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl.autograd.engine import Graph, backpropagate
from minidl.autograd.modes import enable_grad, is_recording
from minidl.ops.coercion import floating
from minidl.tensors import Tensor, seed_of, wrap


def grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The derivative of a function that returns one number, as a function of the same arguments.

    grad(f)(x) = ∂f(x)/∂x, in the shape of x; with several `argnums` a tuple. Nest it for higher
    derivatives. To differentiate tensors you have already computed, use `gradients`.

    The derivative of a function that closes over weights is recorded too, for it may be differentiated
    by these, which takes far more memory and time: where it is not to be, call it under `no_grad()` or
    use `gradients`.

    >>> import minidl as md
    >>> cube = lambda x: x * x * x
    >>> float(md.grad(cube)(2.0)), float(md.grad(md.grad(cube))(2.0))
    (12.0, 12.0)
    """
    pair = value_and_grad(function, argnums)

    @functools.wraps(function)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        return pair(*args, **kwargs)[1]

    return derivative


def value_and_grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Like `grad`, returning (f(x), ∂f(x)/∂x)."""
    if not callable(function):
        raise TypeError(
            f"grad() takes a function, got {type(function).__name__}; for the gradients of a tensor you have computed, "
            f"use gradients(y, xs)"
        )
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(function)
    def both(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        inputs = list(args)
        for i in positions:
            if not -len(args) <= i < len(args):
                raise TypeError(f"argnums names argument {i}, and there are {len(args)} positional arguments")
        outer = is_recording()
        with enable_grad():
            variables = [_variable(inputs[i], outer) for i in positions]
            for i, variable in zip(positions, variables, strict=True):
                inputs[i] = variable
            y = function(*inputs, **kwargs)
            if not isinstance(y, Tensor) or y.size != 1:
                got = f"shape {y.shape}" if isinstance(y, Tensor) else type(y).__name__
                raise ValueError(f"grad() differentiates functions that return a tensor of one number, got {got}")
            connected = outer and _depends_on_more(y, variables)
            found = _differentiate(y, variables, connected)
        value = y if connected else y.detach()
        return value, found[0] if isinstance(argnums, int) else tuple(found)

    return both


def gradients(y: Tensor, xs: Any, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> Any:
    """∂y/∂x for each x of xs, leaves or intermediate results; `.grad` is left alone.

    A tensor that requires a gradient but had no part in y gets zeros.

    Args:
        y: the result to differentiate, one number unless `gradient` gives d(something)/dy.
        xs: a tensor, or a list of them; the result has the same form.
        retain_graph, create_graph: as in `Tensor.backward`.

    >>> import minidl as md
    >>> x = md.Tensor([1.0, 2.0], requires_grad=True)
    >>> h = x * 3
    >>> md.gradients((h * h).sum(), [h, x])
    [Tensor([ 6., 12.]), Tensor([18., 36.])]
    """
    targets = [xs] if isinstance(xs, Tensor) else list(xs)
    for i, x in enumerate((y, *targets)):
        if not x.requires_grad:
            what = "y" if i == 0 else f"xs[{i - 1}]"
            raise RuntimeError(
                f"gradients: {what}, of shape {x.shape}, requires no gradient; make it with requires_grad=True"
            )
    found = backpropagate(
        [y],
        [seed_of(y, gradient, create_graph)],
        targets,
        retain_graph=retain_graph or create_graph,
        create_graph=create_graph,
    )
    results = [_or_zeros(found, x) for x in targets]
    return results[0] if isinstance(xs, Tensor) else results


def _variable(x: Any, outer: bool) -> Tensor:
    """What the function is called with: a node of the outer graph if x is part of one, else a new leaf."""
    if outer and isinstance(x, Tensor) and x.requires_grad:
        return x.alias()
    return Tensor(floating(x), requires_grad=True)


def _depends_on_more(y: Tensor, variables: list[Tensor]) -> bool:
    """Whether an outer derivative may run through y: by a variable, or by a tensor that the function closes over."""
    own = {id(v) for v in variables}
    return any(v._op is not None for v in variables) or any(
        leaf.requires_grad and id(leaf) not in own for leaf in Graph([y], own).leaves.values()
    )


def _differentiate(y: Tensor, variables: list[Tensor], connected: bool) -> list[Tensor]:
    if not y.requires_grad:
        return [_or_zeros({}, v) for v in variables]
    seed = seed_of(y, None, connected)
    found = backpropagate([y], [seed], variables, retain_graph=connected, create_graph=connected, boundary=variables)
    return [_or_zeros(found, v) for v in variables]


def _or_zeros(found: dict[int, tuple[Tensor, Any]], x: Tensor) -> Tensor:
    dx = found[id(x)][1] if id(x) in found else np.zeros_like(x._array)
    return dx if isinstance(dx, Tensor) else wrap(dx)
