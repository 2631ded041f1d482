"""The rows of the ops: each with a formula in plain NumPy, and the inputs where ops go wrong.

Inputs are random, so that they lie at no kink; ties, zeros and empty axes have rows of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import minidl as md
from minidl.ops.arithmetic import alias
from minidl.ops.distances import mean_absolute, mean_huber, mean_square
from minidl.ops.probabilities import logits_of, mean_sigmoid_cross_entropy
from minidl.ops.shapes import getitem
from minidl.testing.cases import Case

Array = Any
_stream = md.random.Generator(20)


def _draw(*shape: int, low: float = -2.0, high: float = 2.0) -> Array:
    return np.asarray(_stream.uniform(shape, low, high, np.float64))


def _unary(
    function: Callable[..., Any], formula: Callable[..., Any], low: float = -2.0, high: float = 2.0
) -> list[Case]:
    shapes = {"": (2, 3), "a number": (), "no elements": (0, 3)}
    return [Case(function.__name__, function, (_draw(*s, low=low, high=high),), formula, v) for v, s in shapes.items()]


def _binary(
    function: Callable[..., Any], formula: Callable[..., Any], low: float = -2.0, high: float = 2.0
) -> list[Case]:
    def pair(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[Array, Array]:
        return _draw(*a, low=low, high=high), _draw(*b, low=low, high=high)

    name = function.__name__
    return [
        Case(name, function, pair((2, 3), (2, 3)), formula),
        Case(name, function, pair((3, 1), (2, 1, 4)), formula, "both broadcast"),
        Case(name, function, pair((), (2, 2)), formula, "a number and an array"),
        Case(name, function, pair((0, 3), (3,)), formula, "no elements"),
        Case(
            name, lambda x: function(x, 0.75), pair((2, 3), ())[:1], lambda x: formula(x, 0.75), "a Python number right"
        ),
        Case(
            name, lambda x: function(0.75, x), pair((2, 3), ())[:1], lambda x: formula(0.75, x), "a Python number left"
        ),
        Case(name, lambda x: function(x, x), pair((2, 3), ())[:1], lambda x: formula(x, x), "the same twice"),
    ]


def _variants(name: str, x: Array, rows: dict[str, tuple[Callable[..., Any], Callable[..., Any]]]) -> list[Case]:
    """Several ways to call a function of one array."""
    return [Case(name, function, (x,), formula, variant) for variant, (function, formula) in rows.items()]


def _reduction(function: Callable[..., Any], formula: Callable[..., Any], empty: bool = False) -> list[Case]:
    rows: dict[str, dict[str, Any]] = {
        "all": {},
        "axis 0": {"axis": 0},
        "last axis": {"axis": -1},
        "two axes": {"axis": (0, -1)},
        "axes kept": {"axis": 1, "keepdims": True},
        "all kept": {"keepdims": True},
    }
    name, x = function.__name__, _draw(2, 3, 2)
    cases = [
        Case(name, lambda x, k=k: function(x, **k), (x,), lambda x, k=k: formula(x, **k), v) for v, k in rows.items()
    ]
    cases.append(Case(name, function, (_draw(),), formula, "a number"))
    none = _draw(0, 3)
    along = 0 if empty else 1
    cases.append(
        Case(name, lambda x: function(x, axis=along), (none,), lambda x: formula(x, axis=along), "no elements")
    )
    return cases


# ---- formulas that NumPy does not have ----------------------------------------------------


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _softmax(x: Array, axis: int = -1) -> Array:
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


def _bce(x: Array, t: Array) -> Array:
    return -t * np.log(_sigmoid(x)) - (1 - t) * np.log(1 - _sigmoid(x))


def _rows_of(x: Array, ids: Array) -> Array:
    return np.array([x[i] for i in ids.reshape(-1)]).reshape(*ids.shape, x.shape[1])


def _dropped(x: Array, rate: float, noise_shape: tuple[int, ...]) -> Array:
    """The definition: an element stays where its random word is at least rate · 2³²."""
    words = md.random.Generator(5).bits(math.prod(noise_shape)).reshape(noise_shape)
    return x * (words >= rate * 2**32) / (1 - rate)


def lstm_by_hand(
    x: Array, h0: Array, c0: Array, kernel: Array, recurrent: Array, bias: Array, mask: Array, reverse: bool
) -> Any:
    """The equations of the LSTM, one sample, one step and one unit at a time."""
    batch, time, _ = x.shape
    units = h0.shape[1]
    y, h, c = np.zeros((batch, time, units)), h0.copy(), c0.copy()
    for b in range(batch):
        last = np.zeros(units)
        for step, t in enumerate(range(time)[:: -1 if reverse else 1]):
            if mask[b, t]:
                before = h[b].copy()
                for u in range(units):
                    i, f, g, o = (
                        bias[k] + sum(x[b, t] * kernel[:, k]) + sum(before * recurrent[:, k])
                        for k in range(u, 4 * units, units)
                    )
                    c[b, u] = _sigmoid(f) * c[b, u] + _sigmoid(i) * math.tanh(g)
                    h[b, u] = _sigmoid(o) * math.tanh(c[b, u])
                last = h[b].copy()
            y[b, step] = last
    return y, h, c


# ---- the rows -----------------------------------------------------------------------------

_UNARY = [
    *_unary(md.absolute, np.abs),
    *_unary(md.negative, lambda x: 0 - x),
    *_unary(md.square, lambda x: x**2),
    *_unary(md.exp, np.exp),
    *_unary(md.log, np.log, 0.2, 3.0),
    *_unary(md.log1p, lambda x: np.log(1 + x), -0.7, 3.0),
    *_unary(md.sqrt, lambda x: x**0.5, 0.2, 3.0),
    *_unary(md.sin, np.sin),
    *_unary(md.cos, np.cos),
    *_unary(md.expm1, lambda x: np.exp(x) - 1),
    *_unary(md.erf, np.vectorize(math.erf, otypes=[float])),
    *_unary(md.tan, lambda x: np.sin(x) / np.cos(x), -1.2, 1.2),
    *_unary(md.arcsin, lambda x: np.arctan2(x, np.sqrt(1 - x * x)), -0.9, 0.9),
    *_unary(md.arccos, lambda x: np.arctan2(np.sqrt(1 - x * x), x), -0.9, 0.9),
    *_unary(md.arctan, lambda x: np.arctan2(x, 1)),
    *_unary(md.sinh, lambda x: (np.exp(x) - np.exp(-x)) / 2),
    *_unary(md.cosh, lambda x: (np.exp(x) + np.exp(-x)) / 2),
    *_unary(md.floor, lambda x: x - x % 1),
    *_unary(md.ceil, lambda x: x + -x % 1),
    *_unary(md.round, lambda x: (x + 0.5) - (x + 0.5) % 1),
    *_unary(md.sign, lambda x: x / abs(x)),
    Case("round", lambda x: md.round(x, 1), (_draw(4),), lambda x: np.floor(10 * x + 0.5) / 10, "to a decimal"),
    *_unary(md.tanh, lambda x: 1 - 2 / (np.exp(2 * x) + 1)),
    *_unary(md.sigmoid, _sigmoid),
    *_unary(md.relu, lambda x: x * (x > 0)),
    *_unary(md.leaky_relu, lambda x: x * np.where(x > 0, 1, 0.2)),
    Case("leaky_relu", lambda x: md.leaky_relu(x, -1.0), (_draw(5),), np.abs, "a negative slope"),
    *_unary(md.elu, lambda x: np.where(x > 0, x, np.exp(x) - 1)),
    Case(
        "elu",
        lambda x: md.elu(x, 0.7, 1.5),
        (_draw(5),),
        lambda x: np.where(x > 0, 1.5 * x, 1.05 * (np.exp(x) - 1)),
        "α and scale",
    ),
    *_unary(md.softplus, lambda x: np.log(1 + np.exp(x))),
    *_unary(md.silu, lambda x: x / (1 + np.exp(-x))),
    *_unary(md.gelu, lambda x: x * np.vectorize(math.erfc, otypes=[float])(-x / math.sqrt(2)) / 2),
    *_unary(alias, lambda x: x),
    Case("astype", lambda x: md.astype(md.astype(x, "float64"), x.dtype), (_draw(2, 3),), lambda x: x),
]

_BINARY = [
    *_binary(md.add, lambda a, b: a + b),
    *_binary(md.subtract, lambda a, b: a - b),
    *_binary(md.multiply, lambda a, b: a * b),
    *_binary(md.divide, lambda a, b: a / b, 0.5, 2.0),
    *_binary(md.floor_divide, lambda a, b: np.trunc(a / b), 0.5, 3.0),
    *_binary(md.remainder, lambda a, b: a - b * np.trunc(a / b), 0.5, 3.0),
    Case(
        "remainder",
        md.remainder,
        (np.array([5.5, -5.5, 5.5, -5.5]), np.array([2.0, 2.0, -2.0, -2.0])),
        lambda a, b: a - b * np.floor(a / b),
        "of either sign",
    ),
    *_binary(md.power, lambda a, b: np.exp(b * np.log(a)), 0.3, 2.0),
    *_binary(md.maximum, lambda a, b: np.where(a > b, a, b)),
    *_binary(md.minimum, lambda a, b: np.where(a < b, a, b)),
    *_variants(
        "power",
        np.array([-1.5, 0.0, 2.0]),
        {
            "to the second": (lambda x: x**2, lambda x: x * x),
            "to the third": (lambda x: x**3, lambda x: x * x * x),
            "to the first": (lambda x: x**1, lambda x: x),
            "to the zeroth": (lambda x: x**0, np.ones_like),
            "to an array": (lambda x: x ** np.array([3, 1, 0]), lambda x: np.array([x[0] ** 3, x[1], 1.0])),
        },
    ),
    Case("power", lambda x: x**-1.5, (_draw(3, low=0.5),), lambda x: 1 / (x * np.sqrt(x)), "to a negative fraction"),
    Case("power", lambda x: x**0.5, (_draw(3, low=0.5),), np.sqrt, "to a half"),
    Case("power", lambda x: x**-1, (np.array([-1.5, 0.5, 2.0]),), lambda x: 1 / x, "to minus one"),
    Case("power", lambda x: x**-2, (np.array([-1.5, 0.5, 2.0]),), lambda x: 1 / (x * x), "to minus two"),
    Case("power", lambda x: 0**x, (_draw(3, low=0.5),), np.zeros_like, "of zero"),
    Case("where", md.where, (_draw(2, 3) > 0, _draw(2, 3), _draw(3)), lambda c, a, b: c * a + ~c * b),
    Case(
        "where",
        lambda c, x: md.where(c, x, 1.5),
        (_draw(2, 1) > 0, _draw(3)),
        lambda c, x: c * x + ~c * 1.5,
        "a Python number",
    ),
    *_variants(
        "clip",
        _draw(2, 4),
        {
            "both": (lambda x: md.clip(x, -0.5, 1.0), lambda x: np.where(x < -0.5, -0.5, np.where(x > 1, 1, x))),
            "low": (lambda x: md.clip(x, low=0.3), lambda x: np.where(x < 0.3, 0.3, x)),
            "high": (lambda x: md.clip(x, high=0.3), lambda x: np.where(x > 0.3, 0.3, x)),
        },
    ),
]

_COMPARISONS = [
    Case(name, getattr(md, name), (np.array([1.0, 2.0, 3.0]), np.array([[2.0], [3.0]])), formula, differentiable=False)
    for name, formula in {
        "less": lambda a, b: a - b < 0,
        "less_equal": lambda a, b: a - b <= 0,
        "equal": lambda a, b: a - b == 0,
        "greater": lambda a, b: a - b > 0,
        "greater_equal": lambda a, b: a - b >= 0,
        "not_equal": lambda a, b: a - b != 0,
    }.items()
]
_SPECIAL = np.array([0.0, np.nan, np.inf, -np.inf, -2.0])
_TRUTHS = np.array([True, True, False, False])
_LOGIC = [
    *[
        Case(name, getattr(md, name), (_SPECIAL,), formula, differentiable=False)
        for name, formula in {
            "isnan": lambda x: x != x,
            "isinf": lambda x: abs(x) == np.inf,
            "isfinite": lambda x: abs(x) < np.inf,
            "logical_not": lambda x: x == 0,
        }.items()
    ],
    *[
        Case(name, function, (np.array([1.5, 0.0, 1.5, 0.0]),), formula, differentiable=False)
        for name, function, formula in (
            ("logical_and", lambda x: md.logical_and(x, _TRUTHS), lambda x: x * _TRUTHS > 0),
            ("logical_or", lambda x: md.logical_or(x, _TRUTHS), lambda x: x + _TRUTHS > 0),
            ("bitwise_and", lambda x: (x > 0) & _TRUTHS, lambda x: x * _TRUTHS > 0),
            ("bitwise_or", lambda x: (x > 0) | _TRUTHS, lambda x: x + _TRUTHS > 0),
            ("bitwise_xor", lambda x: (x > 0) ^ _TRUTHS, lambda x: (x > 0) != _TRUTHS),
            ("invert", lambda x: ~(x > 0), lambda x: x == 0),
        )
    ],
    Case("any", lambda x: md.any(x, 1), (np.eye(3)[:2, 1:],), lambda x: x.sum(1) > 0, differentiable=False),
    Case("all", lambda x: md.all(x, -1, keepdims=True), (np.tri(2),), lambda x: x[:, -1:] > 0, differentiable=False),
]


def _items(x: Array, keys: dict[str, Any]) -> list[Case]:
    return [Case("getitem", lambda x, k=k: getitem(x, k), (x,), lambda x, k=k: x[k], v) for v, k in keys.items()]


_TIED = np.array([[[3.0, 1.0], [2.0, 7.0]], [[9.0, 0.0], [9.0, 4.0]]])
_REDUCTIONS = [
    *_reduction(md.sum, np.sum, empty=True),
    *_reduction(md.mean, np.mean),
    *_reduction(md.max, lambda x, **k: -np.min(-x, **k)),
    *_reduction(md.min, lambda x, **k: -np.max(-x, **k)),
    *[c for f in (md.var, md.std) for c in _reduction(f, getattr(np, f.__name__)) if c.variant != "a number"],
    *_reduction(md.norm, lambda x, **k: np.sum(x * x, **k) ** 0.5),
    *[
        Case(f.__name__, lambda x, f=f: f(x, 0, ddof=1), (_draw(3, 2),), lambda x, g=g: g(x, 0, ddof=1), "of a sample")
        for f, g in ((md.var, np.var), (md.std, np.std))
    ],
    *_variants(
        "prod",
        _draw(3, 2, 2),
        {
            "all": (md.prod, np.prod),
            "axis 1": (lambda x: md.prod(x, 1), lambda x: x[:, 0] * x[:, 1]),
            "axis kept": (lambda x: md.prod(x, -1, keepdims=True), lambda x: x[..., :1] * x[..., 1:]),
            "all kept": (lambda x: md.prod(x, keepdims=True), lambda x: np.prod(x).reshape(1, 1, 1)),
        },
    ),
    Case("prod", lambda x: md.prod(x, 0), (_draw(7, 2),), lambda x: np.prod(x, 0), "seven in a column"),
    Case(
        "prod",
        lambda x: md.prod(x, 1),
        (np.array([[2.0, 0.0, 3.0], [0.0, 5.0, 0.0]]),),
        lambda x: np.prod(x, 1),
        "zeros",
    ),
    Case("prod", lambda x: md.prod(x, 0), (_draw(0, 3),), lambda x: np.ones(3), "no elements"),
    *_variants(
        "cumsum",
        _draw(2, 3),
        {
            "all": (md.cumsum, lambda x: np.tri(6) @ x.reshape(6)),
            "axis 0": (lambda x: md.cumsum(x, 0), lambda x: np.tri(2) @ x),
            "last axis": (lambda x: md.cumsum(x, -1), lambda x: x @ np.tri(3).T),
        },
    ),
    Case("argmax", lambda x: md.argmax(x, 1), (_TIED,), lambda x: np.argmax(x, 1), differentiable=False),
    Case("argmax", md.argmax, (_TIED,), np.argmax, "all", differentiable=False),
    Case("argmin", lambda x: md.argmin(x, -1), (_TIED,), lambda x: np.argmin(x, -1), differentiable=False),
]

_ROWS = np.array([[0, 2], [1, 1]])
_SHAPES = [
    *_variants(
        "reshape",
        _draw(2, 3),
        {
            "": (lambda x: md.reshape(x, 3, 2), lambda x: np.array([x[0, :2], [x[0, 2], x[1, 0]], x[1, 1:]])),
            "inferred": (lambda x: md.reshape(x, (-1, 1, 2)), lambda x: np.reshape(x, (3, 1, 2))),
        },
    ),
    Case("flatten", md.flatten, (_draw(2, 3),), lambda x: np.concatenate([*x])),
    *_variants(
        "transpose",
        _draw(2, 3, 4),
        {
            "": (md.transpose, lambda x: np.einsum("abc->cba", x)),
            "axes": (lambda x: md.transpose(x, 1, -1, 0), lambda x: np.einsum("abc->bca", x)),
            "axes in a tuple": (lambda x: md.transpose(x, (2, 0, 1)), lambda x: np.einsum("abc->cab", x)),
        },
    ),
    *_variants(
        "moveaxis",
        _draw(2, 3, 4),
        {
            "to the end": (lambda x: md.moveaxis(x, 0, -1), lambda x: np.einsum("abc->bca", x)),
            "to the front": (lambda x: md.moveaxis(x, 2, 0), lambda x: np.einsum("abc->cab", x)),
        },
    ),
    Case("swapaxes", lambda x: md.swapaxes(x, 0, -1), (_draw(2, 3, 4),), lambda x: np.einsum("abc->cba", x)),
    *_variants(
        "expand_dims",
        _draw(2, 3),
        {
            "in front": (lambda x: md.expand_dims(x, 0), lambda x: np.array([x])),
            "behind": (lambda x: md.expand_dims(x, -1), lambda x: x[:, :, None]),
        },
    ),
    *_variants(
        "squeeze",
        _draw(1, 3, 1),
        {
            "": (md.squeeze, lambda x: x[0, :, 0]),
            "one axis": (lambda x: md.squeeze(x, 0), lambda x: x[0]),
            "axes": (lambda x: md.squeeze(x, (0, -1)), lambda x: x[0, :, 0]),
        },
    ),
    *_variants(
        "broadcast_to",
        _draw(3, 1),
        {
            "": (lambda x: md.broadcast_to(x, (2, 3, 2)), lambda x: np.ones((2, 3, 2)) * x),
            "to nothing": (lambda x: md.broadcast_to(x, (3, 0)), lambda x: np.ones((3, 0))),
        },
    ),
    *_variants(
        "flip",
        _draw(2, 3),
        {
            "axis 0": (lambda x: md.flip(x, 0), lambda x: np.array([x[1], x[0]])),
            "last axis": (lambda x: md.flip(x, -1), lambda x: x[:, [2, 1, 0]]),
            "all axes": (md.flip, lambda x: x[[1, 0]][:, [2, 1, 0]]),
        },
    ),
    Case(
        "concatenate",
        lambda *t: md.concatenate(t, -1),
        (_draw(2, 1), _draw(2, 3), _draw(2, 0)),
        lambda a, b, c: np.hstack([a, b]),
    ),
    Case(
        "concatenate",
        lambda a, b: md.concatenate([a, b, a]),
        (_draw(2, 2), _draw(1, 2)),
        lambda a, b: np.vstack([a, b, a]),
        "one twice",
    ),
    Case("stack", lambda a, b: md.stack([a, b]), (_draw(2, 3), _draw(2, 3)), lambda a, b: np.array([a, b])),
    Case(
        "stack", lambda a, b: md.stack([a, b], -1), (_draw(2), _draw(2)), lambda a, b: np.array([a, b]).T, "last axis"
    ),
    *_variants(
        "split",
        _draw(2, 6),
        {
            "equal parts": (lambda x: tuple(md.split(x, 3, axis=1)), lambda x: (x[:, :2], x[:, 2:4], x[:, 4:])),
            "at indices": (
                lambda x: tuple(md.split(x, [1, 1, 4], axis=-1)),
                lambda x: (x[:, :1], x[:, 1:1], x[:, 1:4], x[:, 4:]),
            ),
            "one used": (lambda x: md.split(x, 2)[1], lambda x: x[1:]),
        },
    ),
    *_items(
        _draw(3, 4),
        {
            "a row": 1,
            "an element": (2, -1),
            "a range": slice(1, 3),
            "backwards": (slice(None, None, -1), slice(3, 0, -2)),
            "an ellipsis": (..., 0),
            "a new axis": (None, slice(None), None, 2),
            "rows, some twice": [2, 0, 2],
            "elements, some twice": ([0, 1, 0], [3, 3, 3]),
            "a mask": np.eye(3, 4) > 0,
            "a mask of rows": [True, False, True],
            "rows and a range": (_ROWS, slice(0, 4, 3)),
            "arrays apart": (np.array([[0], [2]]), None, np.array([1, 1])),
            "nothing": slice(2, 2),
            "no rows": [],
            "everything": (),
        },
    ),
]


_COLUMNS = np.array([[2, 0], [1, 1]])
_PICKED = [
    *_variants(
        "take",
        _draw(2, 3),
        {
            "all": (lambda x: md.take(x, [5, 0, 5]), lambda x: np.array([x[1, 2], x[0, 0], x[1, 2]])),
            "last axis": (lambda x: md.take(x, _COLUMNS, -1), lambda x: np.array([r[_COLUMNS] for r in x])),
        },
    ),
    *_variants(
        "take_along_axis",
        _draw(2, 3),
        {
            "last axis": (
                lambda x: md.take_along_axis(x, _COLUMNS, -1),
                lambda x: np.array([[x[0, 2], x[0, 0]], [x[1, 1], x[1, 1]]]),
            ),
            "one row for all columns": (lambda x: md.take_along_axis(x, [[1]], 0), lambda x: x[1:]),
        },
    ),
    *_variants(
        "sort",
        _draw(3, 4),
        {
            "": (md.sort, lambda x: np.array([sorted(row) for row in x])),
            "axis 0": (lambda x: md.sort(x, 0), lambda x: np.array([sorted(row) for row in x.T]).T),
        },
    ),
    Case("argsort", lambda x: md.argsort(x, 0), (_draw(3, 2),), lambda x: np.argsort(x, 0), differentiable=False),
    Case("topk", lambda x: md.topk(x, 2)[0], (_draw(2, 4),), lambda x: np.array([sorted(row)[:-3:-1] for row in x])),
    Case(
        "topk",
        lambda x: md.topk(x, 2, 0)[1],
        (_TIED[1],),
        lambda x: np.array([sorted([0, 1], key=lambda i: (-column[i], i)) for column in x.T]).T,
        "places",
        differentiable=False,
    ),
    *_variants(
        "repeat",
        _draw(2, 2),
        {
            "all": (lambda x: md.repeat(x, 2), lambda x: np.array([v for v in x.flat for _ in range(2)])),
            "along an axis": (lambda x: md.repeat(x, 3, axis=1), lambda x: x[:, [0, 0, 0, 1, 1, 1]]),
            "each as often as said": (lambda x: md.repeat(x, [0, 3], axis=1), lambda x: x[:, [1, 1, 1]]),
        },
    ),
    *_variants(
        "tile",
        _draw(2, 3),
        {
            "columns": (lambda x: md.tile(x, 2), lambda x: np.hstack([x, x])),
            "a new axis": (lambda x: md.tile(x, (2, 1, 1)), lambda x: np.array([x, x])),
            "one of two axes": (lambda x: md.tile(x, (3, 1)), lambda x: np.vstack([x, x, x])),
            "none": (lambda x: md.tile(x, (2, 0)), lambda x: np.zeros((4, 0))),
        },
    ),
    *_variants(
        "pad",
        _draw(2, 3),
        {
            "": (lambda x: md.pad(x, 1), lambda x: np.eye(4, 2, -1) @ x @ np.eye(3, 5, 1)),
            "each side": (lambda x: md.pad(x, ((0, 0), (2, 0))), lambda x: np.hstack([np.zeros((2, 2)), x])),
            "with a value": (
                lambda x: md.pad(x, ((1, 0), (0, 0)), constant_values=-5.0),
                lambda x: np.vstack([np.full(3, -5.0), x]),
            ),
        },
    ),
    *_variants(
        "diag",
        _draw(3, 4),
        {
            "": (md.diag, lambda x: np.array([x[0, 0], x[1, 1], x[2, 2]])),
            "above": (lambda x: md.diag(x, 2), lambda x: np.array([x[0, 2], x[1, 3]])),
            "outside": (lambda x: md.diag(x, -3), lambda x: np.zeros(0)),
        },
    ),
    Case("diag", md.diag, (_draw(2),), lambda x: np.array([[x[0], 0], [0, x[1]]]), "of a vector"),
    Case("diag", lambda x: md.diag(x, -1), (_draw(1),), lambda x: np.array([[0, 0], [x[0], 0]]), "of a vector, below"),
    *_variants(
        "tril",
        _draw(2, 3, 3),
        {
            "": (md.tril, lambda x: x * np.tri(3)),
            "without the diagonal": (lambda x: md.tril(x, -1), lambda x: x * np.tri(3, k=-1)),
        },
    ),
    *_variants(
        "triu",
        _draw(2, 3),
        {
            "": (md.triu, lambda x: x * [[1, 1, 1], [0, 1, 1]]),
            "without the diagonal": (lambda x: md.triu(x, 1), lambda x: x * [[0, 1, 1], [0, 0, 1]]),
        },
    ),
]


def _einsum(subscripts: str, *shapes: tuple[int, ...], variant: str = "") -> Case:
    function, formula = partial(md.einsum, subscripts), partial(np.einsum, subscripts)
    return Case("einsum", function, tuple(_draw(*s) for s in shapes), formula, subscripts + variant)


def _tensordot(a: tuple[int, ...], b: tuple[int, ...], axes: Any) -> Case:
    function, formula = partial(md.tensordot, axes=axes), partial(np.tensordot, axes=axes)
    return Case("tensordot", function, (_draw(*a), _draw(*b)), formula, str(axes))


_CONTRACTIONS = [
    _einsum("ij,jk", (2, 3), (3, 2)),
    _einsum("ij,jk->ki", (2, 3), (3, 2)),
    _einsum("bhqd,bhkd->bhqk", (2, 1, 2, 3), (2, 1, 3, 3)),
    _einsum("i,j->ij", (2,), (3,)),
    _einsum("i,i", (3,), (3,)),
    _einsum("ij,ij->j", (2, 3), (2, 3)),
    _einsum("ii", (3, 3)),
    _einsum("iij->ji", (2, 2, 3)),
    _einsum("ijk->", (2, 1, 2)),
    _einsum("ba", (2, 3)),
    _einsum("ij,jk,kl->il", (2, 3), (3, 2), (2, 1)),
    _einsum("i,ij,j->", (2,), (2, 3), (3,)),
    _einsum("ik,jk->", (2, 3), (2, 3)),
    _einsum("...i,...i->...", (2, 1, 3), (4, 3)),
    _einsum("...ij,jk", (2, 2, 3), (3, 2)),
    _einsum(",i->i", (), (2,)),
    _einsum("ij,jk->ik", (2, 0), (0, 3), variant=", nothing to sum"),
    _tensordot((2, 3, 2), (3, 2, 4), 2),
    _tensordot((2, 3), (2,), 0),
    _tensordot((2, 3, 4), (4, 2), ([0, 2], [1, 0])),
    _tensordot((2, 3), (2, 3), (-1, 1)),
    Case("dot", md.dot, (_draw(3), _draw(3)), lambda a, b: np.sum(a * b), "vectors"),
    Case("dot", md.dot, (_draw(2, 3), _draw(3, 2)), lambda a, b: np.einsum("ik,kj->ij", a, b), "matrices"),
    Case("dot", md.dot, (_draw(2, 2, 3), _draw(2, 3, 2)), lambda a, b: np.einsum("abk,ckd->abcd", a, b), "stacks"),
    Case("dot", md.dot, (_draw(2, 2, 3), _draw(3)), lambda a, b: (a * b).sum(-1), "a stack and a vector"),
    Case("dot", md.dot, (_draw(), _draw(3)), lambda a, b: a * b, "a number"),
    Case("outer", md.outer, (_draw(2), _draw(3)), lambda a, b: a[:, None] * b),
    Case("outer", md.outer, (_draw(2, 1), _draw(1, 2)), lambda a, b: a * b, "of matrices"),
]


def _product(variant: str, a: tuple[int, ...], b: tuple[int, ...], sums: str) -> Case:
    return Case("matmul", md.matmul, (_draw(*a), _draw(*b)), lambda a, b: np.einsum(sums, a, b), variant)


_PRODUCTS = [
    _product("", (2, 3), (3, 4), "ik,kj->ij"),
    _product("vectors", (3,), (3,), "k,k->"),
    _product("a vector left", (3,), (3, 2), "k,kj->j"),
    _product("a vector right", (2, 3), (3,), "ik,k->i"),
    _product("a vector and a stack", (3,), (2, 3, 2), "k,bkj->bj"),
    _product("a stack and a vector", (2, 2, 3), (3,), "bik,k->bi"),
    _product("a stack and a matrix", (2, 2, 3), (3, 2), "bik,kj->bij"),
    _product("a matrix and a stack", (2, 3), (2, 3, 2), "ik,bkj->bij"),
    _product("stacks", (2, 2, 3), (2, 3, 1), "bik,bkj->bij"),
    _product("stacks that broadcast", (2, 1, 2, 3), (3, 3, 2), "abik,bkj->abij"),
    _product("no rows", (0, 3), (3, 2), "ik,kj->ij"),
    _product("nothing to sum", (2, 0), (0, 3), "ik,kj->ij"),
    _product("a stack with nothing to sum", (2, 3, 0), (0, 2), "bik,kj->bij"),
    Case("matmul", lambda x: x @ x.T, (_draw(2, 3),), lambda x: np.einsum("ik,jk->ij", x, x), "with its own transpose"),
]


_MOVED = Case("to", lambda x: x.to("cpu"), (_draw(2, 3),), lambda x: x)


def _affine(variant: str, *x: int) -> Case:
    drawn = (_draw(*x), _draw(3, 2), _draw(2))
    return Case("affine", md.affine, drawn, lambda x, W, b: np.einsum("...k,kj->...j", x, W) + b, variant)


_AFFINE = [
    _affine("", 2, 3),
    _affine("a stack", 2, 2, 3),
    _affine("one row", 1, 3),
    _affine("no rows", 0, 3),
    Case("affine", lambda x: md.affine(x, x, x[0]), (_draw(2, 2),), lambda x: x @ x + x[0], "of itself"),
]

_HOT = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
_SOME = np.array([[0.0, 1.0, 0.3], [0.2, 0.5, 0.1]])
_NO_IDS = np.zeros(0, int)
_SOFT = [
    *_variants(
        "softmax",
        _draw(2, 3, 2),
        {
            "": (md.softmax, _softmax),
            "axis 1": (lambda x: md.softmax(x, 1), lambda x: _softmax(x, 1)),
        },
    ),
    *_variants(
        "log_softmax",
        _draw(2, 3),
        {
            "": (md.log_softmax, lambda x: np.log(_softmax(x))),
            "axis 0": (lambda x: md.log_softmax(x, 0), lambda x: np.log(_softmax(x, 0))),
        },
    ),
    *_variants(
        "logsumexp",
        _draw(2, 3),
        {
            "": (md.logsumexp, lambda x: np.log(np.exp(x).sum(-1))),
            "axis kept": (
                lambda x: md.logsumexp(x, 0, keepdims=True),
                lambda x: np.log(np.exp(x).sum(0, keepdims=True)),
            ),
        },
    ),
    Case("softmax", md.softmax, (_draw(0, 3),), _softmax, "no rows"),
    Case("softmax", md.softmax, (_draw(2, 1),), np.ones_like, "one class"),
    Case("softmax", lambda x: logits_of(md.softmax(x), "softmax"), (_draw(2, 3),), lambda x: x, "its logits"),
    Case("sigmoid", lambda x: logits_of(md.sigmoid(x), "sigmoid"), (_draw(2, 3),), lambda x: x, "its logits"),
    *_variants(
        "softmax_cross_entropy",
        _draw(2, 3),
        {
            "one class true": (lambda x: md.softmax_cross_entropy(x, _HOT), lambda x: -np.log(_softmax(x))[_HOT == 1]),
            "any targets": (
                lambda x: md.softmax_cross_entropy(x, _SOME),
                lambda x: -(_SOME * np.log(_softmax(x))).sum(1),
            ),
        },
    ),
    Case(
        "softmax_cross_entropy",
        md.softmax_cross_entropy,
        (_draw(2, 2, 3), _draw(2, 2, 3)),
        lambda x, t: -(t * np.log(_softmax(x))).sum(-1),
        "targets with a gradient",
    ),
    Case(
        "sparse_cross_entropy",
        md.sparse_cross_entropy,
        (_draw(2, 3), np.array([2, 0])),
        lambda x, k: -np.log(_softmax(x)[[0, 1], k]),
    ),
    Case(
        "sparse_cross_entropy",
        md.sparse_cross_entropy,
        (_draw(2, 2, 2), np.array([[1, 0], [1, 1]], np.int32)),
        lambda x, k: -np.log(np.where(k == 1, _softmax(x)[..., 1], _softmax(x)[..., 0])),
        "of sequences",
    ),
    Case("sparse_cross_entropy", md.sparse_cross_entropy, (_draw(0, 3), _NO_IDS), lambda x, k: np.zeros(0), "no rows"),
    Case(
        "sigmoid_cross_entropy", lambda x: md.sigmoid_cross_entropy(x, _SOME), (_draw(2, 3),), lambda x: _bce(x, _SOME)
    ),
    Case(
        "sigmoid_cross_entropy",
        md.sigmoid_cross_entropy,
        (_draw(2, 3), _draw(2, 3, low=0.1, high=0.9)),
        _bce,
        "targets with a gradient",
    ),
    Case(
        "mean_sigmoid_cross_entropy",
        lambda x: mean_sigmoid_cross_entropy(x, _SOME),
        (_draw(2, 3),),
        lambda x: _bce(x, _SOME).mean(-1),
    ),
    Case(
        "mean_sigmoid_cross_entropy",
        mean_sigmoid_cross_entropy,
        (_draw(2, 2, 3), _draw(2, 2, 3, low=0.1, high=0.9)),
        lambda x, t: _bce(x, t).mean(-1),
        "targets with a gradient",
    ),
]


def _huber(e: Array, delta: float) -> Array:
    size = np.abs(e)
    return np.where(size < delta, e**2 / 2, delta * size - delta**2 / 2).mean(-1)


_DISTANCES = [
    *_variants(
        "mean_square",
        _draw(2, 3),
        {
            "": (mean_square, lambda e: (e**2).mean(-1)),
            "of one": (lambda e: mean_square(e[:, :1]), lambda e: e[:, 0] ** 2),
        },
    ),
    Case("mean_square", mean_square, (_draw(0, 3),), lambda e: np.zeros(0), "no rows"),
    Case("mean_absolute", mean_absolute, (_draw(2, 2, 3),), lambda e: np.abs(e).mean(-1)),
    Case("mean_huber", lambda e: mean_huber(e, 1.0), (_draw(2, 2, 3),), lambda e: _huber(e, 1.0)),
    Case("mean_huber", lambda e: mean_huber(e, 0.25), (_draw(7),), lambda e: _huber(e, 0.25), "another δ"),
]

_TABLES = [
    Case("embedding", md.embedding, (_draw(4, 2), np.array([[3, 0, 3], [1, 3, 3]])), _rows_of),
    Case("embedding", md.embedding, (_draw(4, 2), np.array(2)), lambda x, i: x[2], "one id"),
    Case(
        "embedding", md.embedding, (_draw(4, 2), np.zeros((2, 0), np.int32)), lambda x, i: np.zeros((2, 0, 2)), "no ids"
    ),
    Case(
        "dropout",
        lambda x: md.dropout(x, 0.4, rng=md.random.Generator(5)),
        (_draw(3, 4),),
        lambda x: _dropped(x, 0.4, (3, 4)),
    ),
    Case(
        "dropout",
        lambda x: md.dropout(x, 0.5, (None, 1), rng=md.random.Generator(5)),
        (_draw(4, 3),),
        lambda x: _dropped(x, 0.5, (4, 1)),
        "a draw for each row",
    ),
    Case("dropout", lambda x: md.dropout(x, 1.0), (_draw(2, 3),), np.zeros_like, "all of it"),
    Case("dropout", lambda x: md.dropout(x, 0.0), (_draw(2, 3),), lambda x: x, "nothing"),
]


def _lstm(variant: str, batch: int, time: int, mask: Array = None, reverse: bool = False) -> Case:
    features, units = 3, 2
    states = (_draw(batch, units), _draw(batch, units))
    weights = (
        _draw(features, 4 * units, high=1.0, low=-1.0),
        _draw(units, 4 * units, high=1.0, low=-1.0),
        _draw(4 * units),
    )
    function = partial(md.lstm, mask=mask, reverse=reverse)
    formula = partial(lstm_by_hand, mask=np.ones((batch, time), bool) if mask is None else mask, reverse=reverse)
    return Case("lstm", function, (_draw(batch, time, features), *states, *weights), formula, variant)


_HOLES = np.array([[True, False, True], [False, True, False]])
_RECURRENT = [
    _lstm("", 2, 3),
    _lstm("masked", 2, 3, _HOLES),
    _lstm("reversed", 2, 3, reverse=True),
    _lstm("masked and reversed", 2, 3, _HOLES, reverse=True),
    _lstm("all masked", 1, 2, np.zeros((1, 2), bool)),
    _lstm("no steps", 2, 0),
    _lstm("no samples", 0, 2),
]

CASES = [
    *_UNARY, *_BINARY, *_COMPARISONS, *_LOGIC, *_REDUCTIONS, *_SHAPES, *_PICKED,
    *_PRODUCTS, *_AFFINE, _MOVED, *_CONTRACTIONS, *_SOFT, *_DISTANCES, *_TABLES, *_RECURRENT,
]  # fmt: skip
