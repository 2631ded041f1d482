"""The rows of the losses: each function as it is called, with its formula in plain NumPy.

Predictions are random, so that they lie at no kink and in no part that is clipped.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minidl as md
from minidl import losses
from minidl.testing.cases import Case

Array = Any
_stream = md.random.Generator(22)


def _draw(*shape: int, low: float = 0.1, high: float = 0.9) -> Array:
    return np.asarray(_stream.uniform(shape, low, high, np.float64))


def _share(x: Array) -> Array:
    return x / x.sum(-1, keepdims=True)


def _softmax(x: Array) -> Array:
    return _share(np.exp(x))


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _bce(y: Array, p: Array) -> Array:
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(-1)


def _ce(y: Array, p: Array) -> Array:
    return -(y * np.log(p)).sum(-1)


def _huber(e: Array, delta: float) -> Array:
    return np.where(np.abs(e) <= delta, e**2 / 2, delta * np.abs(e) - delta**2 / 2).mean(-1)


_BITS = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
_HOT = np.eye(3)[[2, 0]]
_LABELS = np.array([2, 0])
_STEPS = np.array([[0, 2], [1, 1]])
_SOME = _share(_draw(2, 3))
_REAL = _draw(2, 3, low=-2, high=2)


def _margins(p: Array) -> Array:
    return np.maximum(1 - (2 * _BITS - 1) * p, 0)


CASES = [
    Case(
        "mean_squared_error",
        losses.mean_squared_error,
        (_draw(2, 3), _draw(2, 3)),
        lambda y, p: ((p - y) ** 2).mean(-1),
    ),
    Case(
        "mean_squared_error",
        losses.mean_squared_error,
        (_draw(3), _draw(3, 1)),
        lambda y, p: (p[:, 0] - y) ** 2,
        "targets without the last axis",
    ),
    Case(
        "mean_absolute_error",
        losses.mean_absolute_error,
        (_draw(2, 3), _draw(2, 3)),
        lambda y, p: np.abs(p - y).mean(-1),
    ),
    Case("huber", lambda p: losses.huber(_REAL, p), (_draw(2, 3),), lambda p: _huber(p - _REAL, 1.0)),
    Case("huber", lambda p: losses.huber(_REAL, p, 0.3), (_draw(2, 3),), lambda p: _huber(p - _REAL, 0.3), "delta"),
    Case(
        "binary_crossentropy", lambda p: losses.binary_crossentropy(_BITS, p), (_draw(2, 3),), lambda p: _bce(_BITS, p)
    ),
    Case(
        "binary_crossentropy",
        losses.binary_crossentropy,
        (_draw(2, 2, 3), _draw(2, 2, 3)),
        _bce,
        "targets with a gradient",
    ),
    Case(
        "binary_crossentropy",
        lambda x: losses.binary_crossentropy(_BITS, x, from_logits=True, label_smoothing=0.2),
        (_draw(2, 3, low=-3, high=3),),
        lambda x: _bce(0.8 * _BITS + 0.1, _sigmoid(x)),
        "smoothed, from logits",
    ),
    Case(
        "binary_crossentropy",
        lambda x: losses.binary_crossentropy(_BITS, md.sigmoid(x)),
        (_draw(2, 3, low=-3, high=3),),
        lambda x: _bce(_BITS, _sigmoid(x)),
        "of a sigmoid",
    ),
    Case(
        "categorical_crossentropy",
        lambda p: losses.categorical_crossentropy(_HOT, p),
        (_draw(2, 3),),
        lambda p: _ce(_HOT, _share(p)),
    ),
    Case(
        "categorical_crossentropy",
        lambda x: losses.categorical_crossentropy(_SOME, x, from_logits=True, label_smoothing=0.3),
        (_draw(2, 3, low=-3, high=3),),
        lambda x: _ce(0.7 * _SOME + 0.1, _softmax(x)),
        "smoothed, from logits",
    ),
    Case(
        "categorical_crossentropy",
        lambda x: losses.categorical_crossentropy(_SOME, md.softmax(x)),
        (_draw(2, 3, low=-3, high=3),),
        lambda x: _ce(_SOME, _softmax(x)),
        "of a softmax",
    ),
    Case(
        "sparse_categorical_crossentropy",
        lambda p: losses.sparse_categorical_crossentropy(_LABELS, p),
        (_draw(2, 3),),
        lambda p: _ce(_HOT, _share(p)),
    ),
    Case(
        "sparse_categorical_crossentropy",
        lambda x: losses.sparse_categorical_crossentropy(_STEPS, x, from_logits=True),
        (_draw(2, 2, 3, low=-3, high=3),),
        lambda x: _ce(np.eye(3)[_STEPS], _softmax(x)),
        "of sequences, from logits",
    ),
    Case(
        "sparse_categorical_crossentropy",
        lambda x: losses.sparse_categorical_crossentropy(_LABELS, md.softmax(x)),
        (_draw(2, 3, low=-3, high=3),),
        lambda x: _ce(_HOT, _softmax(x)),
        "of a softmax",
    ),
    Case(
        "kl_divergence",
        losses.kl_divergence,
        (_draw(2, 3), _draw(2, 3)),
        lambda y, p: (y * np.log(y / p)).sum(-1),
    ),
    Case("hinge", lambda p: losses.hinge(_BITS, p), (_draw(2, 3),), lambda p: _margins(p).mean(-1)),
    Case(
        "squared_hinge", lambda p: losses.squared_hinge(_BITS, p), (_draw(2, 3),), lambda p: (_margins(p) ** 2).mean(-1)
    ),
    Case(
        "categorical_hinge",
        lambda p: losses.categorical_hinge(_HOT, p),
        (_draw(2, 3),),
        lambda p: np.maximum(((1 - _HOT) * p).max(-1) - (_HOT * p).sum(-1) + 1, 0),
    ),
]
