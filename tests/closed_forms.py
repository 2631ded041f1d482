"""Gradients worked out by hand, in plain NumPy: what the gradients of ops are held to besides finite differences.

Each entry: the function, its inputs, and the gradients of Σ g · output for the inputs, from g and the inputs.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

import minidl as md
from minidl.ops.distances import mean_absolute, mean_huber, mean_square

Array = Any
_stream = md.random.Generator(30)


class ClosedForm(NamedTuple):
    name: str
    function: Any
    inputs: tuple[Array, ...]
    gradients: Any

    def __str__(self) -> str:
        return self.name


def _draw(*shape: int, low: float = -2.0, high: float = 2.0) -> Array:
    return _stream.uniform(shape, low, high, np.float64)


def _softmax(x: Array) -> Array:
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _softmax_by_its_jacobian(g: Array, x: Array) -> tuple[Array]:
    """∂yᵢ/∂xⱼ = yᵢ (δᵢⱼ − yⱼ), row by row."""
    rows = []
    for y, dy in zip(_softmax(x), g, strict=True):
        rows.append(dy @ (np.diag(y) - np.outer(y, y)))
    return (np.array(rows),)


def lstm_bptt(
    x: Array,
    h0: Array,
    c0: Array,
    kernel: Array,
    recurrent: Array,
    bias: Array,
    valid: Array,
    order: Any,
    dy: Array,
    dh: Array,
    dc: Array,
) -> tuple[Array, ...]:
    """Back-propagation through time written out for one sample, one step after the other.

    x (T, D), states (U,), valid (T,), dy (T, U) in the order in which the outputs are made.
    """
    units, dx = len(h0), np.zeros_like(x)
    dW, dR, db = np.zeros_like(kernel), np.zeros_like(recurrent), np.zeros_like(bias)
    h, c, steps = h0, c0, []
    for t in order:
        z = x[t] @ kernel + h @ recurrent + bias
        i, f, o = (_sigmoid(z[k * units : (k + 1) * units]) for k in (0, 1, 3))
        g = np.tanh(z[2 * units : 3 * units])
        steps.append((h, c, i, f, g, o))
        if valid[t]:
            c = f * c + i * g
            h = o * np.tanh(c)
    dlast = np.zeros(units)  # of the output that later, masked steps repeat
    for step in reversed(range(len(steps))):
        t = order[step]
        dlast = dlast + dy[step]
        if not valid[t]:
            continue
        h, c, i, f, g, o = steps[step]
        tanh_c = np.tanh(f * c + i * g)
        dh, dlast = dh + dlast, np.zeros(units)
        dc = dc + dh * o / np.cosh(f * c + i * g) ** 2
        dz = np.concatenate(
            [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)]
        )
        dx[t] = kernel @ dz
        dW, dR, db = dW + np.outer(x[t], dz), dR + np.outer(h, dz), db + dz
        dh, dc = recurrent @ dz, dc * f
    return dx, dh, dc, dW, dR, db


def _lstm(name: str, mask: Array, reverse: bool) -> ClosedForm:
    batch, time = mask.shape
    inputs = (
        _draw(batch, time, 3), _draw(batch, 2), _draw(batch, 2),
        _draw(3, 8, low=-1.0, high=1.0), _draw(2, 8, low=-1.0, high=1.0), _draw(8),
    )  # fmt: skip

    def gradients(
        gy: Array, gh: Array, gc: Array, x: Array, h0: Array, c0: Array, *weights: Array
    ) -> tuple[Array, ...]:
        order = range(time)[::-1] if reverse else range(time)
        samples = [lstm_bptt(x[b], h0[b], c0[b], *weights, mask[b], order, gy[b], gh[b], gc[b]) for b in range(batch)]
        dx, dh0, dc0, dW, dR, db = (np.array(parts) for parts in zip(*samples, strict=True))
        return dx, dh0, dc0, dW.sum(0), dR.sum(0), db.sum(0)

    return ClosedForm(name, lambda *a: md.lstm(*a, mask=mask, reverse=reverse), inputs, gradients)


_T = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
_K = np.array([1, 2])
_IDS = np.array([[3, 0], [3, 3]])
_HOLES = np.array([[True, True, False, True, False], [False, True, False, False, True], [True] * 5])

CLOSED_FORMS = [
    ClosedForm("mean square: 2 e / K", mean_square, (_draw(2, 3),), lambda g, e: (g[:, None] * 2 * e / 3,)),
    ClosedForm("mean absolute: sign e / K", mean_absolute, (_draw(2, 3),), lambda g, e: (g[:, None] * np.sign(e) / 3,)),
    ClosedForm(
        "Huber: e in [−δ, δ] / K", lambda e: mean_huber(e, 0.7), (_draw(2, 5),),
        lambda g, e: (g[:, None] * np.minimum(np.maximum(e, -0.7), 0.7) / 5,),
    ),
    ClosedForm("softmax", md.softmax, (_draw(2, 3),), _softmax_by_its_jacobian),
    ClosedForm("logsumexp: softmax", md.logsumexp, (_draw(2, 3),), lambda g, x: (g[:, None] * _softmax(x),)),
    ClosedForm(
        "log_softmax: g − p Σ g", md.log_softmax, (_draw(2, 3),),
        lambda g, x: (g - _softmax(x) * g.sum(1, keepdims=True),),
    ),
    ClosedForm(
        "softmax cross-entropy: p − y",
        lambda x: md.softmax_cross_entropy(x, _T),
        (_draw(2, 3),),
        lambda g, x: (g[:, None] * (_softmax(x) - _T),),
    ),
    ClosedForm(
        "sparse cross-entropy: p − onehot",
        lambda x: md.sparse_cross_entropy(x, _K),
        (_draw(2, 3),),
        lambda g, x: (g[:, None] * (_softmax(x) - _T),),
    ),
    ClosedForm(
        "mean binary cross-entropy: (p − y) / n",
        lambda x: md.mean(md.sigmoid_cross_entropy(x, _T)),
        (_draw(2, 3),),
        lambda g, x: (g * (_sigmoid(x) - _T) / 6,),
    ),
    ClosedForm(
        "mean squared error: 2 (p − y) / n",
        lambda p, y: md.mean(md.square(p - y)),
        (_draw(2, 3), _draw(2, 3)),
        lambda g, p, y: (g * 2 * (p - y) / 6, g * 2 * (y - p) / 6),
    ),
    ClosedForm("sigmoid: p (1 − p)", md.sigmoid, (_draw(5),), lambda g, x: (g * _sigmoid(x) * _sigmoid(-x),)),
    ClosedForm("tanh: 1 / cosh²", md.tanh, (_draw(5),), lambda g, x: (g / np.cosh(x) ** 2,)),
    ClosedForm("softplus: sigmoid", md.softplus, (_draw(5),), lambda g, x: (g * _sigmoid(x),)),
    ClosedForm(
        "matmul: g bᵀ, aᵀ g", md.matmul, (_draw(2, 3), _draw(3, 4)),
        lambda g, a, b: (np.einsum("ij,kj->ik", g, b), np.einsum("ik,ij->kj", a, g)),
    ),
    ClosedForm(
        "stacked matmul: the matrix sums over the stack", md.matmul, (_draw(2, 5, 3), _draw(3, 4)),
        lambda g, a, b: (np.einsum("bij,kj->bik", g, b), np.einsum("bik,bij->kj", a, g)),
    ),
    ClosedForm("var: 2 (x − mean) / n", md.var, (_draw(2, 3),), lambda g, x: (g * 2 * (x - x.mean()) / 6,)),
    ClosedForm("std: (x − mean) / n std", md.std, (_draw(6),), lambda g, x: (g * (x - x.mean()) / (6 * x.std()),)),
    ClosedForm("prod: y / x", md.prod, (_draw(4),), lambda g, x: (g * np.prod(x) / x,)),
    ClosedForm("cumsum: sums from the end", md.cumsum, (_draw(4),), lambda g, x: (np.cumsum(g[::-1])[::-1],)),
    ClosedForm(
        "power: b aᵇ⁻¹, aᵇ ln a", md.power, (_draw(4, low=0.5), _draw(4)),
        lambda g, a, b: (g * b * a ** (b - 1), g * a**b * np.log(a)),
    ),
    ClosedForm(
        "divide: 1/b, −a/b²", md.divide, (_draw(2, 3), _draw(3, low=0.5)),
        lambda g, a, b: (g / b, (-g * a / b**2).sum(0)),
    ),
    ClosedForm(
        "embedding: sums by id",
        lambda table: md.embedding(table, _IDS),
        (_draw(4, 2),),
        lambda g, table: (np.array([g[0, 1], [0, 0], [0, 0], g[0, 0] + g[1, 0] + g[1, 1]]),),
    ),
    ClosedForm("max: where it is", lambda x: md.max(x, 1), (np.array([[1.0, 3.0, 2.0], [5.0, 4.0, 5.0]]),),
               lambda g, x: (np.array([[0, g[0], 0], [g[1] / 2, 0, g[1] / 2]]),)),
    ClosedForm("maximum: half each where equal", md.maximum, (np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])),
               lambda g, a, b: (g * [0, 0.5, 1], g * [1, 0.5, 0])),
    ClosedForm("minimum: half each where equal", md.minimum, (np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])),
               lambda g, a, b: (g * [1, 0.5, 0], g * [0, 0.5, 1])),
    ClosedForm("relu: 0 at 0", md.relu, (np.array([-1.0, 0.0, 2.0]),), lambda g, x: (g * [0, 0, 1],)),
    ClosedForm("leaky_relu: the slope at 0", lambda x: md.leaky_relu(x, 0.3), (np.array([-1.0, 0.0, 2.0]),),
               lambda g, x: (g * [0.3, 0.3, 1],)),
    ClosedForm("elu: scale α eˣ up to 0", lambda x: md.elu(x, 0.7, 2.0), (np.array([-1.0, 0.0, 2.0]),),
               lambda g, x: (g * [1.4 / np.e, 1.4, 2],)),
    ClosedForm("silu: σ + x σ σ(−x)", md.silu, (_draw(5),),
               lambda g, x: (g * (_sigmoid(x) + x * _sigmoid(x) * _sigmoid(-x)),)),
    ClosedForm("gelu: Φ + x φ", md.gelu, (_draw(5),), lambda g, x: (
        g * (np.vectorize(math.erf)(x / 2**0.5) / 2 + 0.5 + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)),)),
    ClosedForm("absolute: 0 at 0", md.absolute, (np.array([-1.0, 0.0, 2.0]),), lambda g, x: (g * [-1, 0, 1],)),
    ClosedForm("clip: 1 at the bounds", lambda x: md.clip(x, -1.0, 2.0), (np.array([-1.5, -1.0, 2.0, 3.0]),),
               lambda g, x: (g * [0, 1, 1, 0],)),
    _lstm("LSTM", np.ones((3, 5), bool), reverse=False),
    _lstm("LSTM, masked", _HOLES, reverse=False),
    _lstm("LSTM, masked and reversed", _HOLES, reverse=True),
]  # fmt: skip
