"""The kernel modules are one: the same names, arguments and defaults, the same results, the same refusals.

`reference` is run too, against itself on contiguous arrays: layouts must not matter to it either. `cuda` runs on the
GPU, or where there is none on the processor, see on_device.py.
"""

from __future__ import annotations

import inspect
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import on_device
import pytest
from cases import DTYPES, KERNELS, LAYOUTS, assert_same, in_dtype, naming
from tolerances import assert_close

import minidl as md
from minidl.kernels import reference

Array = Any
_stream = md.random.Generator(40)

# What the modules have beside the kernels: on what they run.
BESIDE = {
    "reference": set(),
    "cpu": {"available_isas", "compiler", "get_num_threads", "isa", "set_num_threads"},
    "cuda": {
        "broadcast_to",
        "device",
        "digest",
        "filled",
        "found",
        "from_dlpack",
        "may_share_memory",
        "memory",
        "missing",
        "owner",
        "synchronize",
        "to_device",
    },
}
ALL = [*KERNELS, "cuda"]


def module(name: str) -> Any:
    """The module, which takes NumPy's arrays whatever it is."""
    return on_device.kernels if name == "cuda" else getattr(md.kernels, name)


def functions(kernels: ModuleType) -> dict[str, Callable[..., Any]]:
    return {
        name: value
        for name, value in vars(kernels).items()
        if inspect.isfunction(value) and value.__module__ == kernels.__name__ and not name.startswith("_")
    }


# ---- the compiled kernels are here --------------------------------------------------------


def test_the_compiled_kernels_are_here() -> None:
    """Nothing in these tests proves anything about C if C is not there, so that must not go unnoticed."""
    if "cpu" not in KERNELS:
        message = f"THE COMPILED KERNELS WERE NOT TESTED, they are missing: {md.kernels.cpu_missing}"
        if os.environ.get("MINIDL_REQUIRE_CPU") == "1":
            pytest.fail(message)
        pytest.skip(message)


_WITHOUT_C = "import sys; sys.modules['minidl.kernels._cpu'] = None\n"


def test_that_their_absence_fails_where_they_are_required() -> None:
    test = f"{__file__}::test_the_compiled_kernels_are_here"
    code = f"{_WITHOUT_C}import pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', {test!r}]))"
    environment = os.environ | {"MINIDL_REQUIRE_CPU": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "THE COMPILED KERNELS WERE NOT TESTED" in done.stdout, done.stdout + done.stderr


def test_without_a_compiler_the_reference_serves_and_says_so() -> None:
    code = f"""{_WITHOUT_C}
import minidl as md
assert md.kernels.active() == "reference"
assert md.exp([0.0]).tolist() == [1.0]
md.set_num_threads(2)
try:
    md.use("cpu")
except RuntimeError as error:
    assert "the compiled kernels are missing" in str(error) and "reinstall minidl" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


# ---- the same names and arguments ---------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_the_same_names(name: str) -> None:
    assert functions(getattr(md.kernels, name)).keys() - BESIDE[name] == functions(reference).keys()


@pytest.mark.parametrize("name", ALL)
def test_the_same_arguments_in_the_same_order_with_the_same_defaults(name: str) -> None:
    kernels = functions(getattr(md.kernels, name))
    for kernel, specification in functions(reference).items():
        assert inspect.signature(kernels[kernel]) == inspect.signature(specification), kernel
        assert (kernels[kernel].__doc__ or "").split()[:2] == (specification.__doc__ or "").split()[:2], kernel


# ---- the same results ---------------------------------------------------------------------


def draw(*shape: int, low: float = -2.0, high: float = 2.0) -> Array:
    return np.asarray(_stream.uniform(shape, low, high, np.float64))


def ids(limit: int, *shape: int, dtype: Any = np.int64) -> Array:
    return _stream.integers(0, limit, shape).astype(dtype)


SHAPES = [(), (0,), (1,), (7,), (3, 5), (2, 3, 4), (130,), (33, 17)]
ROWS = [(1,), (5,), (2, 3), (0, 3), (3, 1), (2, 3, 4), (9, 33), (3, 100)]
COLUMNS = [
    (0, 3), (3, 0), (0, 2, 3), (2, 0, 3), (2, 300, 5), (2, 3, 1100), (41, 1), (3, 99, 2), (2, 3, 2), (46, 3), (23, 4),
    (2, 600, 7), (70, 8), (9, 50), (5, 130),
]  # fmt: skip
PRODUCTS = [
    ((1, 1), (1, 1)), ((2, 3), (3, 4)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((2, 3), (3, 0)), ((7, 13), (13, 5)),
    ((65, 33), (33, 70)), ((2, 2, 3), (3, 2)), ((2, 3), (2, 3, 2)), ((2, 1, 2, 3), (3, 3, 2)), ((0, 2, 3), (3, 2)),
    ((3, 2, 0), (3, 0, 2)),
]  # fmt: skip
AFFINE = [
    (1, 1, 1), (4, 3, 5), (0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 70, 33), (65, 33, 70), (130, 5, 1), (130, 40, 5),
    (130, 40, 20), (100, 700, 17), (130, 40, 1),
]  # fmt: skip
BROADCASTS = [(s, s) for s in SHAPES] + [
    ((3, 5), (5,)), ((5,), (3, 5)), ((3, 5), (3, 1)), ((3, 1), (1, 5)), ((2, 3, 4), (2, 1, 4)), ((2, 3, 4), (3, 1)),
    ((2, 1, 3, 1), (4, 1, 5)), ((2, 3, 2, 3, 2), (3, 1, 3, 1)), ((), (3, 5)), ((0, 3), (1, 3)), ((33, 17), (1, 1)),
]  # fmt: skip
NEEDS = list(itertools.product((True, False), repeat=3))
LSTMS = [
    (2, 3, 3, 2),
    (1, 1, 1, 1),
    (0, 2, 3, 2),
    (2, 0, 3, 2),
    (5, 4, 7, 9),
    (3, 6, 4, 17),
    (19, 2, 3, 8),
    (2, 3, 0, 2),
    (2, 3, 4, 0),
]
PLACES = [(0, 0), (5, 3), (2**64 - 1, 2**64 - 2), (1 << 40, 1 << 33)]


def lstm_weights(features: int, units: int) -> list[Array]:
    return [draw(features, 4 * units, low=-0.5, high=0.5), draw(units, 4 * units, low=-0.5, high=0.5), draw(4 * units)]


def lstm_calls() -> list[tuple[Any, ...]]:
    calls = []
    for batch, time, features, units in LSTMS:
        inputs = [draw(batch, time, features), draw(batch, units), draw(batch, units), *lstm_weights(features, units)]
        gradients = [draw(batch, time, units), draw(batch, units), draw(batch, units)]
        holes = _stream.uniform((batch, time)) < 0.6
        for mask, reverse in ((None, False), (None, True), (holes, False), (holes, True)):
            calls.append((*inputs, mask, reverse, *gradients))
    for used in range(1, 7):  # every subset of the outputs but none and all
        calls.append((*inputs, holes, False, *(g if used >> i & 1 else None for i, g in enumerate(gradients))))
    return calls


def weights_and(moments: int, shape: tuple[int, ...]) -> list[Array]:
    return [draw(*shape), draw(*shape), *(draw(*shape, low=0.1) for _ in range(moments))]


DELTAS = (0.5, 1, np.inf)
MATRICES = [  # of quarters, so that some tie
    np.asarray(np.round(8 * draw(*s)) / 4)
    for s in (
        (1, 1, 1), (3, 7, 1), (2, 16, 1), (2, 17, 1), (3, 130, 1), (1, 17000, 1), (2, 3, 4), (1, 600, 5), (2, 40, 33),
        (1, 3, 1100), (2, 530, 70), (0, 2, 3), (2, 3, 0),
    )
]  # fmt: skip
STEP_SHAPES = [(7,), (3, 5), (0,), (130,), ()]
CALLS: dict[str, list[tuple[Any, ...]]] = {
    "exp": [(draw(*s),) for s in SHAPES] + [(draw(40, low=-90.0, high=90.0),)],
    "tanh": [(draw(*s),) for s in SHAPES] + [(draw(40, low=-20.0, high=20.0),)],
    "tanh_backward": [(draw(*s), draw(*s, low=-1.0, high=1.0)) for s in SHAPES],
    "sigmoid": [(draw(*s),) for s in SHAPES] + [(draw(40, low=-90.0, high=90.0),)],
    "sigmoid_backward": [(draw(*s), draw(*s, low=0.0, high=1.0)) for s in SHAPES],
    "erf": [(draw(*s),) for s in SHAPES] + [(draw(40, low=-7.0, high=7.0),)],
    **{
        kernel: [(draw(*a), draw(*b, low=0.5)) for a, b in BROADCASTS]
        + [sides for s in SHAPES for sides in ((draw(*s), 0.3), (-3, draw(*s, low=0.5)))]
        for kernel in ("add", "subtract", "multiply", "divide")
    },
    "relu_forward": [(draw(*s),) for s in SHAPES],
    "relu_backward": [(draw(*s), draw(*s)) for s in SHAPES],
    "leaky_relu_forward": [(draw(*s), 0.2) for s in SHAPES],
    "leaky_relu_backward": [(draw(*s), draw(*s), -0.3) for s in SHAPES],
    "elu_forward": [(draw(*s), 0.7, 1.5) for s in SHAPES] + [(draw(40, low=-90.0, high=90.0), 1.0, 1.0)],
    "elu_backward": [(draw(*s), draw(*s), 0.7, 1.5) for s in SHAPES] + [(draw(40), draw(40, low=-90.0), 1.0, 1.0)],
    "softplus_forward": [(draw(*s),) for s in SHAPES] + [(draw(40, low=-90.0, high=90.0),)],
    "softplus_backward": [(draw(*s), draw(*s)) for s in SHAPES] + [(draw(40), draw(40, low=-90.0, high=90.0))],
    "silu_forward": [(draw(*s),) for s in SHAPES] + [(draw(40, low=-90.0, high=90.0),)],
    "silu_backward": [(draw(*s), draw(*s)) for s in SHAPES] + [(draw(40), draw(40, low=-90.0, high=90.0))],
    "gelu_forward": [(draw(*s),) for s in SHAPES] + [(draw(40, low=-15.0, high=15.0),)],
    "gelu_backward": [(draw(*s), draw(*s)) for s in SHAPES] + [(draw(40), draw(40, low=-15.0, high=15.0))],
    "where": [
        (np.asarray(draw(*s) > 0), *sides)
        for s in SHAPES
        for sides in ((draw(*s), draw(*s)), (draw(*s), 0.3), (-1, draw(*s)))
    ],
    "matmul": [(draw(*a), draw(*b)) for a, b in PRODUCTS],
    "affine_forward": [(draw(n, d), draw(d, u), draw(u)) for n, d, u in AFFINE],
    "affine_backward": [(draw(n, u), draw(n, d), draw(d, u), needs) for n, d, u in AFFINE for needs in NEEDS],
    "sum_rows": [(draw(*s),) for s in (*ROWS, (0,), (3, 0))],
    "sum_columns": [(draw(*s),) for s in (*ROWS[2:], *COLUMNS)],
    "extreme_forward": [(x, largest) for x in MATRICES for largest in (True, False)],
    "extreme_backward": [(draw(*y.shape), x, y) for x in MATRICES for y in (x.max(1), x.min(1))],
    "huber_forward": [(draw(*s, low=-2.0, high=2.0), delta) for s in ROWS for delta in DELTAS],
    "huber_backward": [(draw(*s[:-1]), draw(*s, low=-2.0, high=2.0), delta) for s in ROWS for delta in DELTAS],
    "softmax_forward": [(draw(*s, low=-9.0, high=9.0),) for s in ROWS],
    "softmax_backward": [(draw(*s), reference.softmax_forward(draw(*s))) for s in ROWS],
    "log_softmax_forward": [(draw(*s, low=-9.0, high=9.0),) for s in ROWS],
    "log_softmax_backward": [(draw(*s), reference.log_softmax_forward(draw(*s))) for s in ROWS],
    "softmax_cross_entropy_forward": [(draw(*s), draw(*s, low=0.0)) for s in ROWS],
    "softmax_cross_entropy_backward": [(draw(*s[:-1]), draw(*s, low=0.0), draw(*s, low=0.0)) for s in ROWS],
    "sparse_cross_entropy_forward": [(draw(*s), ids(s[-1], *s[:-1])) for s in ROWS],
    "sparse_cross_entropy_backward": [(draw(*s[:-1]), draw(*s), ids(s[-1], *s[:-1], dtype=np.int32)) for s in ROWS],
    "sigmoid_cross_entropy_forward": [(draw(*s, low=-30.0, high=30.0), draw(*s, low=0.0, high=1.0)) for s in SHAPES],
    "sigmoid_cross_entropy_backward": [(draw(*s), draw(*s), draw(*s, low=0.0, high=1.0)) for s in SHAPES],
    "embedding_forward": [
        (draw(5, 3), ids(5, *s, dtype=d)) for s in [(), (4,), (2, 3), (0,), (70,)] for d in (np.int32, np.int64)
    ],
    "embedding_backward": [(draw(*s, 3), ids(5, *s), 5) for s in [(), (4,), (2, 3), (0,), (70,)]]
    + [(draw(4, 0), ids(5, 4), 5)],
    "random_bits": [(n, seed, offset) for n in (0, 1, 3, 4, 5, 1000) for seed, offset in PLACES],
    "dropout": [(draw(*s), rate, *at) for s in SHAPES for rate, at in zip((0.0, 0.3, 0.5, 1.0), PLACES, strict=True)],
    "lstm": lstm_calls(),
    "sgd_step": [(*weights_and(0, s), 0.1) for s in STEP_SHAPES],
    "momentum_step": [(*weights_and(1, s), 0.1, 0.9, nesterov) for s in STEP_SHAPES for nesterov in (False, True)],
    "adam_step": [(*weights_and(2, s), 0.01, 0.9, 0.999, 1e-7) for s in STEP_SHAPES],
    "rmsprop_step": [(*weights_and(1, s), 0.01, 0.9, 1e-7) for s in STEP_SHAPES],
    "adagrad_step": [(*weights_and(1, s), 0.01, 1e-7) for s in STEP_SHAPES],
    "log": [(draw(*s, low=0.1),) for s in SHAPES] + [(draw(40, low=0.5, high=1.5),), (draw(40, low=0.0, high=1e30),)],
    "sqrt": [(draw(*s, low=0.0),) for s in SHAPES] + [(draw(40, low=0.0, high=1e30),)],
    "absolute": [(draw(*s),) for s in SHAPES],
    "clip": [(draw(*s), *bounds) for s in SHAPES for bounds in ((-0.7, 1.1), (-np.inf, 1), (0, 1e300), (1.1, -0.7))],
    **{
        kernel: [(draw(*a), draw(*b)) for a, b in BROADCASTS]
        + [sides for s in SHAPES for sides in ((draw(*s), 0.3), (-1, draw(*s)))]
        for kernel in ("maximum", "minimum")
    },
}  # fmt: skip

# Kernels that move numbers, round each once, or add them in order (of an id's gradients, 127): not a bit may differ.
EXACT = {
    "relu_forward", "relu_backward", "leaky_relu_forward", "leaky_relu_backward", "embedding_forward",
    "embedding_backward", "random_bits", "dropout", "where", "extreme_forward", "extreme_backward", "add", "subtract",
    "multiply", "divide", "maximum", "minimum", "sqrt", "absolute", "clip",
}  # fmt: skip


def call(kernels: ModuleType, kernel: str, arguments: tuple[Any, ...]) -> list[Array]:
    """What a kernel returns, or for a step what it has written."""
    if kernel == "lstm":
        return lstm(kernels, *arguments)
    returned = getattr(kernels, kernel)(*arguments)
    if kernel.endswith("_step"):
        assert returned is None
        return [a for a in arguments if isinstance(a, np.ndarray)]
    returned = returned if isinstance(returned, tuple) else (returned,)
    if kernel == "affine_backward":
        assert [y is not None for y in returned] == list(arguments[3]), "what is not needed is None"
    return [y for y in returned if y is not None]


def lstm(kernels: ModuleType, *arguments: Any) -> list[Array]:
    """Forward and backward together: what they keep between them is each module's own affair."""
    *inputs, mask, reverse, dy, dh, dc = arguments
    y, h, c, cache = kernels.lstm_forward(*inputs, mask, reverse)
    return [y, h, c, *kernels.lstm_backward(dy, dh, dc, *inputs, mask, reverse, cache)]


def test_every_kernel_is_called() -> None:
    assert {*CALLS, "lstm_forward", "lstm_backward"} - {"lstm"} == functions(reference).keys()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "kernel"), [(n, k) for n in ALL for k in CALLS])
def test_the_same_results(name: str, kernel: str, dtype: Any, layout: Callable[[Array], Array]) -> None:
    in_place = kernel.endswith("_step")
    for i, arguments in enumerate(CALLS[kernel]):
        plain = [a if not isinstance(a, np.ndarray) else in_dtype([a], dtype)[0] for a in arguments]
        given = [layout(a) if isinstance(a, np.ndarray) else a for a in plain]
        if in_place:  # what is written must be writable; the gradient may come as it likes
            given = [
                a if i == 1 or not isinstance(a, np.ndarray) or a.flags.writeable else plain[i].copy()
                for i, a in enumerate(given)
            ]
        before = [np.array(a) for a in given if isinstance(a, np.ndarray)]
        with naming(f"call {i}"):
            contiguous = [np.array(a) if isinstance(a, np.ndarray) else a for a in given]
            expected = call(reference, kernel, tuple(contiguous))
            actual = call(module(name), kernel, tuple(given))
            for y, truth in zip(actual, expected, strict=True):
                _check(kernel, y, truth)
            arrays = [a for a in given if isinstance(a, np.ndarray)]
            assert_same(arrays[1:2] if in_place else arrays, before[1:2] if in_place else before)
            if not in_place:
                assert not any(np.shares_memory(y, a) for y in actual for a in arrays)


class Subclass(np.ndarray):
    """As numpy.memmap is one."""


@pytest.mark.parametrize("name", ["cpu"])
@pytest.mark.parametrize("kernel", CALLS)
def test_an_array_of_a_subclass_is_an_array(name: str, kernel: str) -> None:
    plain = [np.array(a) if isinstance(a, np.ndarray) else a for a in CALLS[kernel][0]]
    given = [a.copy().view(Subclass) if isinstance(a, np.ndarray) else a for a in plain]
    expected = call(reference, kernel, tuple(plain))
    for y, truth in zip(call(module(name), kernel, tuple(given)), expected, strict=True):
        assert_close(np.asarray(y), truth)


def _check(kernel: str, actual: Array, expected: Array) -> None:
    assert isinstance(actual, (np.ndarray, np.generic)) and actual.dtype == expected.dtype
    if kernel in EXACT:
        np.testing.assert_array_equal(actual, expected)
    else:
        assert_close(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
def test_the_same_results_on_arrays_large_enough_for_threads_and_reused_memory(name: str, dtype: Any) -> None:
    a, b = (draw(300, 257).astype(dtype) for _ in range(2))
    labels = ids(257, 300)
    large = {
        "exp": (a,), "tanh": (a,), "sigmoid": (a,), "erf": (a,), "tanh_backward": (a, b / 2), "add": (a, b),
        "log": (abs(a) + 0.1,), "sqrt": (abs(a),), "absolute": (a,), "clip": (a, -0.5, 1.0), "maximum": (a, b[0]),
        "minimum": (0.5, b),
        "sigmoid_backward": (a, b / 4 + 0.5), "subtract": (a, b[0]),
        "multiply": (2.5, b), "divide": (a[:, :1], abs(b) + 1), "relu_forward": (a,), "relu_backward": (a, b),
        "leaky_relu_forward": (a, 0.2), "leaky_relu_backward": (a, b, 0.2), "elu_forward": (a, 0.7, 1.5),
        "elu_backward": (a, b, 0.7, 1.5), "softplus_forward": (a,), "softplus_backward": (a, b),
        "silu_forward": (a,), "silu_backward": (a, b), "gelu_forward": (a,), "gelu_backward": (a, b),
        "softmax_forward": (a,), "softmax_backward": (a, b),
        "sum_rows": (a,), "sum_columns": (a,), "matmul": (a, b.T), "affine_forward": (a, b.T, a[0, :1].repeat(300)),
        "extreme_forward": (np.stack([a, -b]), False),
        "extreme_backward": (a[:2], np.stack([a, -b]), np.stack([a.max(0), -b.min(0)])),
        "huber_forward": (a, 0.4), "huber_backward": (a[:, 0].copy(), b, 0.4),
        "log_softmax_forward": (a,), "log_softmax_backward": (a, -a * a),
        "where": (a > b, a, 0.5),
        "sparse_cross_entropy_forward": (a, labels),
        "softmax_cross_entropy_forward": (a, b),
        "sigmoid_cross_entropy_forward": (a, b), "embedding_backward": (a, ids(40, 300), 40), "dropout": (a, 0.3, 1, 2),
    }  # fmt: skip
    for kernel, arguments in large.items():
        with naming(kernel):
            expected = call(reference, kernel, arguments)
            for _ in range(3):  # the second and third time in memory that was used before
                for y, truth in zip(call(module(name), kernel, arguments), expected, strict=True):
                    assert_close(y, truth, slack=4)


@pytest.mark.parametrize("name", ALL)
def test_dropout_keeps_a_word_that_equals_the_threshold(name: str) -> None:
    words = reference.random_bits(9, 1, 2)
    for i in (0, 3, 8):
        y = module(name).dropout(np.ones(9), words[i] / 2**32, 1, 2)
        np.testing.assert_array_equal(y != 0, words >= words[i])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
def test_where_chooses_bits_by_any_byte_that_is_not_0(name: str, dtype: Any) -> None:
    condition = np.tile(np.array([0, 1, 2, 128, 255], np.uint8), 9).view(bool)
    a, b = np.resize(np.array(SPECIAL, dtype), (2, 45))
    for sides in ((a, b), (b, a), (a, float("nan")), (np.inf, b)):
        y = module(name).where(condition, *sides)
        assert y.tobytes() == np.where(condition, *sides).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
def test_where_takes_what_repeats_numbers(name: str, dtype: Any) -> None:
    condition = np.arange(77).reshape(7, 11) % 3 == 0
    other = np.arange(77, dtype=dtype).reshape(7, 11)
    row, column = np.arange(11, dtype=dtype), np.arange(7, dtype=dtype)[:, None]
    for repeated in (np.broadcast_to(x, (7, 11)) for x in (dtype(5), row, column)):  # one number as a sum's gradient is
        for sides in ((repeated, other), (other, repeated), (repeated, 0.5), (repeated, repeated)):
            np.testing.assert_array_equal(module(name).where(condition, *sides), np.where(condition, *sides))


SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    np.inf,
    -np.inf,
    np.nan,
    1e-40,
    -1e-40,
    3e38,
    -3e38,
    88.0,
    89.0,
    -104.0,
    710.0,
    -746.0,
    1e-8,
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", ["exp", "tanh", "sigmoid"])
@pytest.mark.parametrize("name", ALL)
def test_the_ends_of_the_range(name: str, kernel: str, dtype: Any) -> None:
    x = np.array(SPECIAL * 3, dtype)
    with np.errstate(all="ignore"):
        truth = {"exp": np.exp, "tanh": np.tanh, "sigmoid": lambda v: 1 / (1 + np.exp(-v))}[kernel](
            x.astype(np.longdouble)
        ).astype(dtype)
    y = getattr(module(name), kernel)(x)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
    np.testing.assert_allclose(y, truth, rtol=4 * np.finfo(dtype).eps, atol=float(np.finfo(dtype).tiny) * 1e-6)
    if kernel == "tanh":
        np.testing.assert_array_equal(np.signbit(y[~np.isnan(y)]), np.signbit(x[~np.isnan(x)]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
def test_roots_logarithms_and_bounds_of_numbers_that_are_not_ordinary(name: str, dtype: Any) -> None:
    """Nobody is warned of a root of −1, or of the logarithm of 0."""
    kernels, inf, nan = module(name), np.inf, np.nan
    x = np.array([-inf, -3e38, -1.0, -0.0, 0.0, 1.0, 4.0, inf, nan] * 5, dtype)
    for y, truth in (
        (kernels.log(x), [nan, nan, nan, -inf, -inf, 0, np.log(dtype(4)), inf, nan]),
        (kernels.sqrt(x), [nan, nan, nan, -0.0, 0, 1, 2, inf, nan]),
        (kernels.absolute(x), [inf, dtype(3e38), 1, 0, 0, 1, 4, inf, nan]),
        (kernels.clip(x, -2.0, 3.0), [-2, -2, -1, -0.0, 0, 1, 3, 3, nan]),
        (kernels.clip(x, -inf, inf), x[:9]),
        (kernels.clip(x, 0.5, 1e300), [0.5] * 5 + [1, 4, inf if dtype == np.float32 else 1e300, nan]),
    ):
        np.testing.assert_allclose(y, np.array([*truth] * 5, dtype), rtol=np.finfo(dtype).eps, atol=0)
        there = ~np.isnan(y)
        np.testing.assert_array_equal(np.signbit(y)[there], np.signbit(np.array([*truth] * 5, dtype))[there])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KERNELS)
def test_roots_logarithms_and_bounds_of_denormal_numbers(name: str, dtype: Any) -> None:
    kernels, least = module(name), np.finfo(dtype).smallest_subnormal
    x = np.arange(1, 40).astype(dtype) * least
    np.testing.assert_array_equal(kernels.sqrt(x), np.sqrt(x))
    np.testing.assert_array_equal(kernels.absolute(-x), x)
    np.testing.assert_array_equal(kernels.clip(x, float(3 * least), 1.0), np.maximum(x, 3 * least))
    np.testing.assert_array_equal(kernels.minimum(x, 3 * least), np.minimum(x, 3 * least))
    np.testing.assert_allclose(kernels.log(x), np.log(x.astype(np.longdouble)), rtol=np.finfo(dtype).eps)
    assert np.isnan(kernels.log(-x)).all() and np.isnan(kernels.sqrt(-x)).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
def test_nan_is_the_larger_and_the_smaller_of_two_wherever_it_stands(name: str, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for place in range(37):
        a, b = rng.standard_normal((2, 37)).astype(dtype)
        a[place] = np.nan
        for kernel, function in ((module(name).maximum, np.maximum), (module(name).minimum, np.minimum)):
            for sides in ((a, b), (b, a), (a, 0.5), (-0.5, a), (b, float("nan")), (a, -a), (a, np.inf), (-np.inf, a)):
                np.testing.assert_array_equal(kernel(*sides), function(*sides))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
def test_softmax_and_cross_entropies_of_large_logits(name: str, dtype: Any) -> None:
    kernels = module(name)
    x = np.array([[1000.0, 0.0, -1000.0], [-1e30, -1e30, -1e30]], dtype)
    third = dtype(1) / 3
    np.testing.assert_allclose(kernels.softmax_forward(x), [[1, 0, 0], [third] * 3], rtol=1e-6)
    log_third = -np.log(dtype(3))
    np.testing.assert_allclose(kernels.log_softmax_forward(x), [[0, -1000, -2000], [log_third] * 3], rtol=1e-6)
    loss, _ = kernels.sparse_cross_entropy_forward(x, np.array([1, 2]))
    np.testing.assert_allclose(loss, [1000.0, np.log(3)], rtol=1e-6)
    loss = kernels.sigmoid_cross_entropy_forward(
        np.array([800.0, -800.0, 800.0], dtype), np.array([0.0, 1.0, 1.0], dtype)
    )
    np.testing.assert_allclose(loss, [800.0, 800.0, 0.0])
    x, t = np.array([np.inf, -np.inf, np.nan]), np.array([1.0, 0.0, 0.5, np.nan])
    loss = kernels.sigmoid_cross_entropy_forward(np.repeat(x, 4).astype(dtype), np.tile(t, 3).astype(dtype))
    np.testing.assert_array_equal(
        loss.reshape(3, 4), [[0, np.inf, np.inf, np.nan], [np.inf, 0, np.inf, np.nan], [np.nan] * 4]
    )


# The numbers that each takes.
ACTIVATIONS: dict[str, tuple[float, ...]] = {
    "relu": (), "leaky_relu": (0.25,), "elu": (0.5, 2.0), "softplus": (), "silu": (), "gelu": ()
}  # fmt: skip

# At −∞, −0, 0, ∞ and NaN: the value, and the slope. Nothing is NaN that has a limit but x σ(x) and x Φ(x), as products.
ENDS: dict[str, tuple[list[float], list[float]]] = {
    "relu": ([0, 0, 0, np.inf, np.nan], [0, 0, 0, 1, 0]),
    "leaky_relu": ([-np.inf, 0, 0, np.inf, np.nan], [0.25, 0.25, 0.25, 1, 0.25]),
    "elu": ([-1, 0, 0, np.inf, np.nan], [0, 1, 1, 2, 0]),
    "softplus": ([0, np.log(2), np.log(2), np.inf, np.nan], [0, 0.5, 0.5, 1, np.nan]),
    "silu": ([np.nan, 0, 0, np.inf, np.nan], [0, 0.5, 0.5, 1, np.nan]),
    "gelu": ([np.nan, 0, 0, np.inf, np.nan], [0, 0.5, 0.5, 1, np.nan]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ALL)
def test_activations_at_the_ends_of_the_range(name: str, activation: str, dtype: Any) -> None:
    x = np.array([-np.inf, -0.0, 0.0, np.inf, np.nan] * 5, dtype)
    values, slopes = (np.array(ends * 5, dtype) for ends in ENDS[activation])
    numbers = ACTIVATIONS[activation]
    y = getattr(module(name), f"{activation}_forward")(x, *numbers)
    np.testing.assert_allclose(y, values, rtol=np.finfo(dtype).eps)
    dx = getattr(module(name), f"{activation}_backward")(np.ones_like(x), x, *numbers)
    np.testing.assert_array_equal(dx, slopes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
def test_activations_far_from_0_and_next_to_it(name: str, dtype: Any) -> None:
    largest, least = np.finfo(dtype).max, np.finfo(dtype).tiny * 4  # the GPU takes what is denormal for 0
    x = np.array([-largest, -least, least, largest], dtype)
    half = least / 2
    for activation, expected, slopes in (
        ("relu", [0, 0, least, largest], [0, 0, 1, 1]),
        ("leaky_relu", [-largest / 4, -least / 4, least, largest], [0.25, 0.25, 1, 1]),
        ("elu", [-1, -least, 2 * least, np.inf], [0, 1, 2, 2]),
        ("softplus", [0, dtype(np.log(2)), dtype(np.log(2)), largest], [0, 0.5, 0.5, 1]),
        ("silu", [0, -half, half, largest], [0, 0.5, 0.5, 1]),
        ("gelu", [0, -half, half, largest], [0, 0.5, 0.5, 1]),
    ):
        numbers = ACTIVATIONS[activation]
        with naming(activation), np.errstate(over="ignore"):
            y = getattr(module(name), f"{activation}_forward")(x, *numbers)
            np.testing.assert_allclose(y, np.array(expected, dtype), rtol=np.finfo(dtype).eps, atol=0)
            dx = getattr(module(name), f"{activation}_backward")(np.ones_like(x), x, *numbers)
            np.testing.assert_array_equal(dx, np.array(slopes, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KERNELS)
def test_activations_keep_denormal_numbers(name: str, dtype: Any) -> None:
    tiny = np.finfo(dtype).smallest_subnormal * 64
    x = np.array([-tiny, tiny] * 9, dtype)
    for activation, below, above in (
        ("relu", 0, 1), ("leaky_relu", 0.25, 1), ("elu", 1, 2), ("silu", 0.5, 0.5), ("gelu", 0.5, 0.5)
    ):  # fmt: skip
        y = getattr(module(name), f"{activation}_forward")(x, *ACTIVATIONS[activation])
        np.testing.assert_array_equal(y, np.array([-tiny * below, tiny * above] * 9, dtype), activation)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
def test_the_numbers_of_an_activation_may_be_of_any_real_type(name: str, dtype: Any) -> None:
    x, results = np.linspace(-3, 3, 50, dtype=dtype), []
    for kind in (float, np.float64, np.array):
        y = module(name).elu_forward(x, kind(0.7), kind(1.1))
        results.append((y, module(name).elu_backward(x, x, kind(0.7), kind(1.1))))
    for found in results[1:]:
        assert_same(found, results[0])


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "tanh", "sigmoid"])
@pytest.mark.parametrize("name", ALL)
def test_the_gradient_of_a_sum_need_not_be_stored(name: str, activation: str) -> None:
    """One number for all of x, or for each of its rows."""
    x, numbers = draw(70, 33), ACTIVATIONS.get(activation, ())
    backward, reference_backward = (getattr(m, f"{activation}_backward") for m in (module(name), reference))
    for dy in (np.float64(1.75), draw(1, 33), draw(70, 1)):
        repeated = np.broadcast_to(dy, x.shape)
        np.testing.assert_array_equal(backward(repeated, x, *numbers), backward(repeated.copy(), x, *numbers))
        assert_close(backward(repeated, x, *numbers), reference_backward(repeated.copy(), x, *numbers))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("columns", [1, 3, 21, 140])
def test_extremes_of_infinities_and_nan(name: str, columns: int, dtype: Any) -> None:
    """NaN is the extreme wherever it stands, and takes the slope; the infinities are numbers as any other."""
    kernels, rng = module(name), np.random.default_rng(columns)
    for numbers in (1, 2, 7, 16, 17, 40, 133):
        for value in (np.nan, np.inf, -np.inf):
            for place in {0, numbers // 3, numbers - 1}:
                x = rng.standard_normal((2, numbers, columns)).astype(dtype)
                x[1, place, columns // 2] = value
                for largest, expected in ((True, x.max(1)), (False, x.min(1))):
                    y = kernels.extreme_forward(x, largest)
                    np.testing.assert_array_equal(y, expected)
                    slopes = kernels.extreme_backward(np.full_like(y, 3), x, y)
                    extreme = (x == expected[:, None]) | np.isnan(x)
                    np.testing.assert_array_equal(slopes, np.where(extreme, dtype(3), 0))
    x = rng.standard_normal((1, 16387, 1)).astype(dtype)  # a long piece, and one that is shorter than a vector
    np.testing.assert_array_equal(kernels.extreme_forward(x, True), x.max(1))
    for same in (np.nan, np.inf, -np.inf, -0.0):
        x = np.full((1, 24, columns), same, dtype)
        np.testing.assert_array_equal(kernels.extreme_forward(x, True), x[:, 0])
        shared = np.full_like(x, dtype(1) * dtype(1 / 24))
        np.testing.assert_array_equal(kernels.extreme_backward(np.ones((1, columns), dtype), x, x[:, 0]), shared)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("length", [1, 2, 5, 8, 9, 16, 17, 40, 64, 65, 128, 129])
def test_extremes_of_rows_that_may_go_by_side_by_side(name: str, length: int, dtype: Any) -> None:
    kernels, rng = module(name), np.random.default_rng(length)
    for rows in (1, 15, 16, 37):
        x = rng.standard_normal((rows, length, 1)).astype(dtype)
        for value in (0, np.inf, -np.inf, np.nan):
            x[rng.integers(rows), rng.integers(length)] = value
            np.testing.assert_array_equal(kernels.extreme_forward(x, True), x.max(1))
            np.testing.assert_array_equal(kernels.extreme_forward(x, False), x.min(1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("length", [18, 32, 60])
def test_the_zero_that_is_the_largest_is_the_same_in_any_company(name: str, length: int, dtype: Any) -> None:
    """Of a positive and a negative zero either may be it, but on any number of threads, beside NaN or not, the same."""
    kernels, before = module(name), md.get_num_threads()
    x = np.full((8000, length, 1), -1, dtype)
    x[:, 5], x[:, 17] = 0.0, -0.0  # in lanes of another order
    alone = kernels.extreme_forward(x[:1], True).tobytes()
    x[1344::500, 8] = np.nan
    try:
        for threads in (1, 2, 3, 8):
            md.set_num_threads(threads)
            y = kernels.extreme_forward(x, True)
            assert {y[i].tobytes() for i in range(len(y)) if y[i] == y[i]} == {alone}
    finally:
        md.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
def test_huber_of_numbers_that_are_not_ordinary(name: str, dtype: Any) -> None:
    kernels, inf, nan = module(name), np.inf, np.nan
    e = np.array([[2], [-0.5], [0], [inf], [-inf], [nan], [1e30]], dtype)
    square = np.array([2, 0.125, 0, inf, inf, nan, dtype(1e30) * dtype(0.5e30) if dtype == np.float64 else inf], dtype)
    np.testing.assert_allclose(kernels.huber_forward(e, inf), square, rtol=1e-6)
    np.testing.assert_allclose(kernels.huber_forward(e, 1.0), [1.5, 0.125, 0, inf, inf, nan, 1e30], rtol=1e-6)
    np.testing.assert_allclose(kernels.huber_forward(e[:3], 1e300), square[:3], rtol=1e-6)
    dy = np.full(7, 3, dtype)
    np.testing.assert_allclose(kernels.huber_backward(dy, e, inf), 3 * e, rtol=1e-6)
    np.testing.assert_allclose(kernels.huber_backward(dy[:3], e[:3], 1e300), 3 * e[:3], rtol=1e-6)
    slopes = [[3], [-1.5], [0], [3], [-3], [nan], [3]]
    np.testing.assert_allclose(kernels.huber_backward(dy, e, 1.0), slopes, rtol=1e-6)


@pytest.mark.parametrize("name", KERNELS)
def test_the_mean_of_a_long_row_of_errors_is_exact(name: str) -> None:
    """So many equal numbers in a few sums of float32 would be off by a thousandth."""
    e = np.tile(np.array([[1.1], [0.7]], np.float32), 1_000_003)
    expected = e[:, 0].astype(np.float64) ** 2 / 2
    np.testing.assert_allclose(module(name).huber_forward(e, np.inf), expected, rtol=5e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [3, 37])
@pytest.mark.parametrize("name", ALL)
def test_log_softmax_of_infinities_and_nan(name: str, classes: int, dtype: Any) -> None:
    """What is impossible stays so, ln 0; a row that has no distribution is NaN as a whole, and no other one is."""
    kernels, inf, nan = module(name), np.inf, np.nan
    x = np.full((6, classes), -inf, dtype)
    x[:5, :2] = [[0, 0], [-inf, 5], [nan, 0], [inf, 0], [1, -inf]]
    half, never = np.log(dtype(0.5)), [-inf] * (classes - 2)
    truth = [
        [half, half, *never],
        [-inf, 0, *never],
        [nan] * classes,
        [nan] * classes,
        [0, -inf, *never],
        [nan] * classes,
    ]
    with np.errstate(invalid="ignore"):
        y = kernels.log_softmax_forward(x)
    np.testing.assert_allclose(y, truth, rtol=1e-6)
    dx = kernels.log_softmax_backward(np.ones_like(x), y)
    share = dtype(1) - classes / 2
    np.testing.assert_allclose(
        dx[[0, 1, 4]],
        [
            [share, share, *[1] * (classes - 2)],
            [1, 1 - classes, *[1] * (classes - 2)],
            [1 - classes, 1, *[1] * (classes - 2)],
        ],
        rtol=1e-6,
    )
    assert np.isnan(dx[[2, 3, 5]]).all()


# ---- the same refusals --------------------------------------------------------------------

F = np.ones((2, 3))
H, V = np.ones((2, 2)), np.ones(3)
LSTM = [np.ones((2, 4, 3)), H, H, np.ones((3, 8)), np.ones((2, 8)), np.ones(8)]
CACHE = reference.lstm_forward(*LSTM)[3]
READ_ONLY = np.ones(3)
READ_ONLY.flags.writeable = False
M = np.ones((3, 2))[:, 0]

# Each step with its arrays and its hyperparameters.
STEPS: list[tuple[str, int, tuple[float, ...]]] = [
    ("sgd_step", 2, (0.1,)), ("momentum_step", 3, (0.1, 0.9)), ("adam_step", 4, (0.1, 0.9, 0.99, 1e-7)),
    ("rmsprop_step", 3, (0.1, 0.9, 1e-7)), ("adagrad_step", 3, (0.1, 1e-7)),
]  # fmt: skip


def step_with(kernel: str, numbers: tuple[Any, ...]) -> tuple[Any, ...]:
    """The numbers of a step, with the flag that one of them takes too."""
    return (*numbers, True) if kernel == "momentum_step" else numbers


def lstm_with(i: int, array: Any, mask: Any = None) -> tuple[Any, ...]:
    return (*LSTM[:i], array, *LSTM[i + 1 :], mask)


def lstm_gradients(dy: Any, dh: Any, dc: Any) -> tuple[Any, ...]:
    return (dy, dh, dc, *LSTM, None, False, CACHE)


WRONG: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    *[(k, (a,), TypeError, m) for k in ("exp", "tanh", "sigmoid", "log", "sqrt", "absolute") for a, m in (
        ([1.0], f"{k}: x must be an array, got list"), (np.arange(3), f"{k}: x must be float32 or float64, got int64"),
        (None, f"{k}: x must be an array, got NoneType"), (F.astype(np.float16), "got float16"),
        (F + 1j, "got complex128"), (F.astype(">f8"), "got >f8"))],
    *[(f"{name}_forward", (np.arange(3), *numbers), TypeError, f"{name}_forward: x must be float32 or float64, got int")
      for name, numbers in ACTIVATIONS.items()],
    *[(f"{name}_backward", (*arrays, *numbers), error, f"{name}_backward: {m}") for name, numbers in ACTIVATIONS.items()
      for arrays, error, m in (
        ((F, V), ValueError, r"x has shape \(3,\) and dy has \(2, 3\)"), ((V, 1.0), TypeError, "x must be an array"),
        ((F, F.astype(np.float32)), TypeError, "x is float32 and dy is float64; kernels do not mix precisions"))],
    *[(f"{name}_backward", arrays, error, f"{name}_backward: {m}") for name in ("tanh", "sigmoid")
      for arrays, error, m in (
        ((F, V), ValueError, r"y has shape \(3,\) and dy has \(2, 3\)"), ((V, 1.0), TypeError, "y must be an array"),
        ((F, F.astype(np.float32)), TypeError, "y is float32 and dy is float64; kernels do not mix precisions"))],
    ("leaky_relu_forward", (F, "0.2"), TypeError, "alpha must be a real number, got str"),
    ("leaky_relu_backward", (F, F, V), TypeError, "alpha must be a real number, got ndarray"),
    ("elu_forward", (F, None, 1.0), TypeError, "alpha must be a real number, got NoneType"),
    ("elu_backward", (F, F, 1.0, 1j), TypeError, "scale must be a real number, got complex"),
    ("clip", ([1.0], 0.0, 1.0), TypeError, "clip: x must be an array, got list"),
    ("clip", (np.arange(3), 0.0, 1.0), TypeError, "clip: x must be float32 or float64, got int64"),
    ("clip", (F, "0", 1.0), TypeError, "clip: low must be a real number, got str"),
    ("clip", (F, 0.0, None), TypeError, "clip: high must be a real number, got NoneType"),
    ("clip", (F, V, 1.0), TypeError, "clip: low must be a real number, got ndarray"),
    ("clip", (F, float("nan"), 1.0), ValueError, "clip: low must not be NaN"),
    ("clip", (F, np.float32(0), np.float32("nan")), ValueError, "clip: high must not be NaN"),
    ("where", ([True], V, V), TypeError, "where: condition must be an array, got list"),
    ("where", (V, V, V), TypeError, "where: condition must be bool, got float64"),
    ("where", (V > 0, [1.0], 0.0), TypeError, "where: a must be an array, got list"),
    ("where", (V > 0, V, 1j), TypeError, "where: b must be an array, got complex"),
    ("where", (V > 0, 1.0, 0), TypeError, "where: a or b must be an array, got two numbers"),
    ("where", (V > 0, np.ones(3, int), 0), TypeError, "where: a must be float32 or float64, got int64"),
    ("where", (V > 0, V, V.astype(np.float32)), TypeError, "b is float32 and a is float64; kernels do not mix"),
    ("where", (F > 0, 0.0, V), ValueError, r"where: b has shape \(3,\) and condition has \(2, 3\); they must agree"),
    ("where", (V > 0, V, 10**400), OverflowError, "int too large"),
    ("matmul", (F, F), ValueError, "a has 3 columns and b has 2 rows"),
    ("matmul", (F, V), ValueError, "both operands need two axes or more"),
    ("matmul", (F, F.T.astype(np.float32)), TypeError, "b is float32 and a is float64; kernels do not mix precisions"),
    ("matmul", (np.ones((2, 2, 3)), np.ones((3, 3, 2))), ValueError, "broadcast"),
    ("affine_forward", (V, F, V), ValueError, r"x must have shape \(rows, features\), got \(3,\)"),
    ("affine_forward", (F, F, V), ValueError, r"w must have shape \(features, units\) = \(3, 3\), got \(2, 3\)"),
    ("affine_forward", (F, V, V), ValueError, r"w must have shape \(features, units\)"),
    ("affine_forward", (F, F.T, V), ValueError, r"b must have shape \(units,\) = \(2,\), got \(3,\)"),
    ("affine_forward", (F, F.T, F[:, :2]), ValueError, r"b must have shape \(units,\) = \(2,\), got \(2, 2\)"),
    ("affine_forward", (F, F.T, V.astype(np.float32)), TypeError, "b is float32 and x is float64; kernels do not mix"),
    ("affine_forward", (F, F.T, [1.0, 2.0]), TypeError, "b must be an array, got list"),
    ("affine_backward", (F, F, F.T), ValueError, r"dy must have shape \(rows, units\) = \(2, 2\), got \(2, 3\)"),
    ("affine_backward", (F[:1, :2], F, F.T), ValueError, "dy must have shape"),
    ("affine_backward", (F[:, :2].astype(int), F, F.T), TypeError, "dy must be float32 or float64, got int64"),
    ("sum_rows", (np.array(1.0),), ValueError, "x needs one axis or more"),
    ("sum_rows", (np.ones(3, int),), TypeError, "x must be float32 or float64"),
    ("sum_columns", (V,), ValueError, r"x needs two axes or more, got shape \(3,\)"),
    ("sum_columns", (np.ones((2, 3), int),), TypeError, "x must be float32 or float64"),
    ("extreme_forward", (F, True), ValueError, r"shape \(matrices, numbers, columns\), got \(2, 3\)"),
    ("extreme_forward", (np.ones((2, 0, 3)), True), ValueError, r"no extreme; the middle axis of x is 0 in"),
    ("extreme_forward", (np.ones((2, 1, 3), int), True), TypeError, "x must be float32 or float64, got int64"),
    ("extreme_forward", (np.ones((2, 1, 3)), "max"), TypeError, "largest must be True or False, got 'max'"),
    ("extreme_backward", (V, F[None], V), ValueError, r"dy must have shape \(matrices, columns\) = \(1, 3\), got"),
    ("extreme_backward", (V[None], F[None], F), ValueError, r"y must have shape \(matrices, columns\) = \(1, 3\), got"),
    ("extreme_backward", (V[None].astype("f4"), F[None], V[None]), TypeError, "dy is float32 and x is float64"),
    *[("huber_forward", (F, d), e, m) for d, e, m in (
        (0, ValueError, r"huber_forward: delta must lie in \(0, inf\], got 0.0"), (float("nan"), ValueError, "got nan"),
        (-1.0, ValueError, "got -1.0"), ("1", TypeError, "delta must be a real number, got str"))],
    ("huber_forward", (F.astype(int), 1.0), TypeError, "e must be float32 or float64, got int64"),
    ("huber_forward", (np.array(1.0), 1.0), ValueError, r"the last axis must hold at least one error, got shape \(\)"),
    ("huber_forward", (np.ones((2, 0)), 1.0), ValueError, r"at least one error, got shape \(2, 0\)"),
    ("huber_backward", (V, F, 1.0), ValueError, r"dy must have shape e.shape\[:-1\] = \(2,\), got \(3,\)"),
    ("huber_backward", (V[:2].astype("f4"), F, 1.0), TypeError, "dy is float32 and e is float64; kernels do not mix"),
    ("huber_backward", (V[:2], F, 0.0), ValueError, "huber_backward: delta must lie in"),
    ("softmax_forward", (np.array(1.0),), ValueError, "the last axis must hold at least one class"),
    ("softmax_forward", (np.ones((2, 0)),), ValueError, "the last axis must hold at least one class"),
    ("softmax_backward", (F, F[:1]), ValueError, "y has shape"),
    ("softmax_backward", (np.array(1.0), np.array(1.0)), ValueError, "the last axis must hold at least one class"),
    ("log_softmax_forward", (np.array(1.0),), ValueError, "the last axis must hold at least one class"),
    ("log_softmax_forward", (np.ones((2, 0)),), ValueError, "the last axis must hold at least one class"),
    ("log_softmax_forward", (np.ones(3, int),), TypeError, "x must be float32 or float64"),
    ("log_softmax_backward", (F, F[:1]), ValueError, "y has shape"),
    ("log_softmax_backward", (F.astype(np.float32), F), TypeError, "do not mix precisions"),
    ("softmax_cross_entropy_forward", (F, F.T), ValueError, "they must agree"),
    ("softmax_cross_entropy_forward", (F, F.astype(np.float32)), TypeError, "do not mix precisions"),
    ("softmax_cross_entropy_backward", (V, F, F), ValueError, "dloss must have shape"),
    ("softmax_cross_entropy_backward", (V[:2].astype("f4"), F, F), TypeError, "dloss is float32 and probabilities is"),
    ("softmax_cross_entropy_backward", ([1.0, 1.0], F, F), TypeError, "dloss must be an array, got list"),
    ("sparse_cross_entropy_forward", (F, np.array([0, 3])), IndexError, "got 3 at position"),
    ("sparse_cross_entropy_forward", (F, np.array([-1, 0])), IndexError, "got -1 at position"),
    ("sparse_cross_entropy_forward", (F, np.array([0.0, 1.0])), TypeError, "must be int32 or int64"),
    ("sparse_cross_entropy_forward", (F, np.array([0])), ValueError, "labels must have shape"),
    ("sparse_cross_entropy_forward", (F, [0, 1]), TypeError, "labels must be an array, got list"),
    ("sparse_cross_entropy_backward", (V, F, np.array([0, 1])), ValueError, "dloss must have shape"),
    ("sparse_cross_entropy_backward", (np.ones(2, int), F, np.array([0, 1])), TypeError, "dloss must be float32 or"),
    ("sigmoid_cross_entropy_forward", (F, V), ValueError, "they must agree"),
    ("sigmoid_cross_entropy_backward", (V, F, F), ValueError, "they must agree"),
    ("embedding_forward", (F, np.array([0, 2])), IndexError, "got 2 at position"),
    ("embedding_forward", (F, np.array([[0, -5]])), IndexError, r"got -5 at position \(0, 1\)"),
    ("embedding_forward", (V, np.array([0])), ValueError, "table must have shape"),
    ("embedding_forward", (F, np.array([True])), TypeError, "ids must be int32 or int64, got bool"),
    ("embedding_forward", (np.ones((0, 3)), np.array([0])), IndexError, r"\[0, 0\)"),
    ("embedding_forward", (F, [0]), TypeError, "ids must be an array, got list"),
    ("embedding_backward", (F, np.array([0, 9]), 5), IndexError, "got 9"),
    ("embedding_backward", (F, [0, 1], 5), TypeError, "ids must be an array, got list"),
    ("embedding_backward", (F, np.array([0, 1]), 5.0), TypeError, "rows must be an integer, got float"),
    ("embedding_backward", (F[:0], np.array([0])[:0], -1), ValueError, "rows must lie in"),
    ("embedding_backward", (F, np.array([0]), 5), ValueError, "dy must have shape"),
    ("random_bits", (-1, 0, 0), ValueError, r"n must lie in \[0, 2\*\*63\), got -1"),
    ("random_bits", ((2, 2), 0, 0), TypeError, "n must be an integer, got tuple"),
    ("random_bits", (4, 1.5, 0), TypeError, "seed must be an integer, got float"),
    ("random_bits", (4, -1, 0), ValueError, "seed must lie in"),
    ("random_bits", (4, 0, 2**64), ValueError, "offset must lie in"),
    ("dropout", (F, 1.5, 0, 0), ValueError, r"rate must lie in \[0, 1\], got 1.5"),
    ("dropout", (F, float("nan"), 0, 0), ValueError, "rate must lie"),
    ("dropout", (F, "half", 0, 0), TypeError, "rate must be a real number, got str"),
    ("dropout", (F, 0.5, -1, 0), ValueError, "seed must lie in"),
    ("dropout", (F, 0.5, 0, None), TypeError, "dropout: offset must be an integer, got NoneType"),
    *[("lstm_forward", lstm_with(i, a[..., :-1]), ValueError, "must have shape") for i, a in enumerate(LSTM) if i],
    ("lstm_forward", lstm_with(0, np.ones((2, 4, 2))), ValueError, r"kernel must have shape \(features, 4·units\)"),
    ("lstm_forward", lstm_with(0, F), ValueError, "x must have shape"),
    ("lstm_forward", lstm_with(0, LSTM[0].astype(np.float32)), TypeError, "do not mix precisions"),
    ("lstm_forward", lstm_with(0, LSTM[0], np.ones((2, 4))), TypeError, "mask must be bool, got float64"),
    ("lstm_forward", lstm_with(0, LSTM[0], [[True] * 4] * 2), TypeError, "mask must be an array, got list"),
    ("lstm_forward", lstm_with(3, None), TypeError, "kernel must be an array, got NoneType"),
    ("lstm_forward", lstm_with(0, LSTM[0], np.ones((2, 3), bool)), ValueError, "mask must have shape"),
    ("lstm_backward", lstm_gradients(np.ones((2, 4, 3)), None, None), ValueError, "dy must have shape"),
    ("lstm_backward", lstm_gradients(None, V, None), ValueError, "dh must have shape"),
    ("lstm_backward", lstm_gradients(None, None, H.astype(np.float32)), TypeError, "do not mix precisions"),
    *[(k, (READ_ONLY, *[V] * (n - 1), *step_with(k, r)), ValueError, "w is read-only, and the step updates it")
      for k, n, r in STEPS],
    *[(k, (*np.ones((n, 3)), *step_with(k, (*r[:i], bad, *r[i + 1 :]))), TypeError, f"must be a real number, got {t}")
      for k, n, r in STEPS for i in range(len(r))
      for bad, t in ((None, "NoneType"), ("1", "str"), (1j, "complex"), (V, "ndarray"))],
    ("adam_step", (*np.ones((4, 3)), 0.1, 0.9, 0.99, 10**400), OverflowError, "int too large"),
    ("sgd_step", (V, V, 0.1), ValueError, "w and g share memory, and the step updates them in place; pass a copy"),
    ("adam_step", (V[::-1], F[0], M, M, 0.1, 0.9, 0.99, 1e-7), ValueError, "m and v share memory"),
    ("adam_step", (V, V, V, READ_ONLY, 0.1, 0.9, 0.99, 1e-7), ValueError, "v is read-only"),
    ("sgd_step", (V, F, 0.1), ValueError, "g has shape"),
    ("sgd_step", (V, V.astype(np.float32), 0.1), TypeError, "do not mix precisions"),
]  # fmt: skip


# Every module with every mistake that can be made on it: an array of the device cannot be read-only.
REFUSED = [
    (name, kernel, *case)
    for name in ALL
    for kernel, *case in WRONG
    if not (name == "cuda" and "is read-only" in case[-1])
]


@pytest.mark.parametrize(("name", "kernel", "arguments", "error", "message"), REFUSED)
def test_the_same_refusals(name: str, kernel: str, arguments: Any, error: type[Exception], message: str) -> None:
    before = [np.array(a) for a in arguments if isinstance(a, np.ndarray)]
    with pytest.raises(error, match=message) as caught:
        getattr(module(name), kernel)(*arguments)
    with pytest.raises(error) as specified:
        getattr(reference, kernel)(*arguments)
    assert str(caught.value) == str(specified.value)
    assert_same([a for a in arguments if isinstance(a, np.ndarray)], before)


@pytest.mark.parametrize(("kernel", "arrays", "numbers"), STEPS)
@pytest.mark.parametrize("name", ALL)
def test_the_numbers_of_a_step_may_be_of_any_real_type(
    name: str, kernel: str, arrays: int, numbers: tuple[float, ...]
) -> None:
    """A float64 of NumPy draws float32 arrays up to float64 where it meets them, and so changes the last bits."""
    results = []
    for kind in (float, np.float64, np.array):
        given = np.linspace(0.1, 0.9, arrays * 40, dtype=np.float32).reshape(arrays, 40)
        getattr(module(name), kernel)(*given, *step_with(kernel, tuple(map(kind, numbers))))
        results.append(given)
    assert_same(results[1:], [results[0]] * 2)


# ---- which module serves ------------------------------------------------------------------


def test_use_as_a_call_as_a_block_and_after_an_error() -> None:
    before = md.kernels.active()
    with md.use("reference"):
        assert md.kernels.of(np.ones(1)) is reference
        for name in KERNELS:
            with md.use(name):
                assert md.kernels.active() == name and md.kernels.of(np.float64(1.0)) is module(name)
        assert md.kernels.active() == "reference"
    with pytest.raises(ZeroDivisionError), md.use("reference"):
        raise ZeroDivisionError
    assert md.kernels.active() == before
    md.use("reference")
    assert md.kernels.active() == "reference"


def test_use_holds_for_every_thread() -> None:
    seen: list[str] = []
    with md.use("reference"):
        thread = threading.Thread(target=lambda: seen.append(md.kernels.active()))
        thread.start()
        thread.join()
    assert seen == ["reference"]


def test_unknown_kernels_and_arrays_that_none_serve() -> None:
    with pytest.raises(ValueError, match="unknown kernels 'gpu': expected 'reference', 'cpu', or 'cuda' for the GPU"):
        md.use("gpu")
    with pytest.raises(TypeError, match="no kernels serve list; pass an array of NumPy or of CuPy"):
        md.kernels.of([1.0])
    assert md.kernels.active() in KERNELS


def test_a_graph_goes_back_on_the_kernels_it_came_on() -> None:
    """An LSTM that ran forward on one module runs backward on the same one, whatever serves by then."""
    variables = [md.Tensor(a, requires_grad=True) for a in LSTM]
    run = partial(md.lstm, *variables)
    for first in KERNELS:
        for second in KERNELS:
            with md.use(first):
                y = md.sum(run()[0])
            with md.use(second):
                found = md.gradients(y, variables)
            for dx, truth in zip(
                found, lstm(reference, *LSTM, None, False, np.ones((2, 4, 2)), None, None)[3:], strict=True
            ):
                assert_close(dx.numpy(), truth)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 8191), (3, 8192), (2, 8193), (1, 100_003), (300, 41)])
def test_sums_of_whole_numbers_are_exact(name: str, dtype: Any, shape: tuple[int, int]) -> None:
    """Whatever the order of a sum, as long as each number counts once: all partial sums fit the precision."""
    x = np.random.default_rng(0).integers(-50, 50, shape)
    assert np.array_equal(module(name).sum_rows(x.astype(dtype)), x.sum(1))
    assert np.array_equal(module(name).sum_rows(x.astype(dtype)[:, ::-2]), x[:, ::-2].sum(1))
    assert np.array_equal(module(name).sum_columns(x.T.astype(dtype)), x.sum(1))
    assert np.array_equal(module(name).sum_columns(np.stack([x, -x]).astype(dtype)), [x.sum(0), -x.sum(0)])
