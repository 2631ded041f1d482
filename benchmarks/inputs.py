"""The numbers that every contestant starts from: equal weights, equal batches."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

WORDS, FEATURES, UNITS = 1000, 64, 128  # of the document's model
LEARNING_RATES = {"adam": 1e-3, "sgd": 0.1}
REPEATED = 1 << 25  # numbers, after which an array of any length goes on with the same: to draw them takes seconds
EPSILON = 1e-7  # of Adam. Keras adds it to √v before the correction of v, PyTorch after: losses are compared with SGD


def uniform(*shape: int, scale: float = 1.0, seed: int = 0) -> Array:
    """float32 in [−scale, scale)"""
    n = math.prod(shape)
    drawn = np.random.default_rng((seed, *shape)).uniform(-scale, scale, min(n, REPEATED)).astype(np.float32)
    return drawn.reshape(shape) if drawn.size == n else np.resize(drawn, shape)


def lstm_weights(features: int, units: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """kernel (features, 4 units), recurrent kernel (units, 4 units) and bias (4 units,), the gates i, f, c, o."""
    bias = np.zeros(4 * units, np.float32)
    bias[units : 2 * units] = 1
    recurrent = uniform(units, 4 * units, scale=(3 / units) ** 0.5 / 2, seed=seed + 1)
    return uniform(features, 4 * units, scale=(6 / (features + 4 * units)) ** 0.5, seed=seed), recurrent, bias


def document_weights() -> list[Array]:
    """Embedding(1000, 64), LSTM(128), LSTM(128), Dense(1), in Keras' order."""
    return [
        uniform(WORDS, FEATURES, scale=0.05),
        *lstm_weights(FEATURES, UNITS),
        *lstm_weights(UNITS, UNITS, seed=2),
        uniform(UNITS, 1, scale=0.2),
        np.zeros(1, np.float32),
    ]


def document_batch(batch: int, time: int) -> tuple[Array, Array]:
    """Word numbers (batch, time), and labels 0 and 1 (batch, 1)."""
    rng = np.random.default_rng(batch * 10_000 + time)
    return rng.integers(1, WORDS, (batch, time)).astype(np.int32), rng.integers(0, 2, (batch, 1)).astype(np.float32)


def mlp_weights() -> list[Array]:
    """784-256-128-10: kernels (in, out) and biases."""
    sizes = (784, 256, 128, 10)
    pairs = pairwise(sizes)
    return [a for i, o in pairs for a in (uniform(i, o, scale=(6 / (i + o)) ** 0.5), np.zeros(o, np.float32))]


def mlp_batch(batch: int = 64) -> tuple[Array, Array]:
    """Images (batch, 784) and their classes (batch,)."""
    return uniform(batch, 784, seed=1), np.random.default_rng(1).integers(0, 10, batch)


def scalar_weights(sizes: tuple[int, ...] = (2, 16, 16, 1)) -> list[list[list[float]]]:
    """A list a layer of a list a neuron: the weights of its inputs, then its bias."""
    rng = np.random.default_rng(0)
    pairs = pairwise(sizes)
    return [[[*rng.uniform(-1, 1, i).tolist(), 0.0] for _ in range(o)] for i, o in pairs]
