"""HIPS/autograd: NumPy with derivatives, in pure Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd
import autograd.numpy as np

from benchmarks import inputs, scalars

Step = Callable[[], Any]


def tiny_op() -> Step:
    derivative = autograd.grad(lambda a, b: a * b, (0, 1))
    return lambda: derivative(1.5, 2.5)[0]


def op_chain() -> Step:
    derivative = autograd.grad(scalars.chain, (0, 1))
    return lambda: derivative(1.5, 1.01)[0]


def mlp_train(optimizer: str) -> Step:
    def loss_of(weights: list[Any], x: Any, y: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = weights
        hidden = np.maximum(x @ w1 + b1, 0)
        logits = np.maximum(hidden @ w2 + b2, 0) @ w3 + b3
        peak = np.max(logits, axis=1, keepdims=True)
        log_sum = peak[:, 0] + np.log(np.sum(np.exp(logits - peak), axis=1))
        return np.mean(log_sum - logits[np.arange(len(y)), y])

    derivative = autograd.value_and_grad(loss_of)
    weights, (x, y) = inputs.mlp_weights(), inputs.mlp_batch()
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    learning_rate, t = inputs.LEARNING_RATES[optimizer], 0

    def step() -> Any:
        nonlocal t
        t += 1
        loss, gradients = derivative(weights, x, y)
        if optimizer == "sgd":
            for w, g in zip(weights, gradients, strict=True):
                w -= learning_rate * g
            return loss
        rate = learning_rate * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)
        for w, g, (m, v) in zip(weights, gradients, moments, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            w -= rate * m / (np.sqrt(v) + inputs.EPSILON)
        return loss

    return step


def scalar_network() -> Step:
    def loss(layers: list[list[list[Any]]]) -> Any:
        values = [0.5, -0.25]
        for layer in layers:
            values = [scalars.output(neuron, values, np.tanh) for neuron in layer]
        return 1 - values[0]

    derivative, layers = autograd.grad(loss), inputs.scalar_weights()
    return lambda: derivative(layers)[0][0][0]
