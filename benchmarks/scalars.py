"""Single numbers, each a tensor of its own: a chain of products, and the network of micrograd's demo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import inputs


def chain(x: Any, factor: Any) -> Any:
    """x factor¹⁰⁰, one product after the other."""
    for _ in range(100):
        x = x * factor
    return x


def chain_of(leaf: Callable[[float], Any]) -> Any:
    """Forward and backward of a chain; gives the gradient of its beginning. For libraries with a backward()."""
    x, factor = leaf(1.5), leaf(1.01)

    def step() -> Any:
        x.grad = factor.grad = None
        chain(x, factor).backward()
        return x.grad

    return step


def step_of(leaf: Callable[[float], Any], constant: Callable[[float], Any], tanh: Callable[[Any], Any]) -> Any:
    """Forward and backward of 2-16-16-1; gives the gradient of the first weight. For libraries with a backward()."""
    layers = [[[leaf(w) for w in neuron] for neuron in layer] for layer in inputs.scalar_weights()]
    weights = [w for layer in layers for neuron in layer for w in neuron]
    point = [constant(0.5), constant(-0.25)]

    def step() -> Any:
        for w in weights:
            w.grad = None
        values = point
        for layer in layers:
            values = [output(neuron, values, tanh) for neuron in layer]
        (1 - values[0]).backward()
        return layers[0][0][0].grad

    return step


def output(neuron: list[Any], values: list[Any], tanh: Callable[[Any], Any]) -> Any:
    """tanh(bias + Σ weight · value), one product after the other."""
    *weights, total = neuron
    for w, value in zip(weights, values, strict=True):
        total = total + w * value
    return tanh(total)
