"""Arithmetic in C is NumPy's to the last bit: any shapes that broadcast, any numbers beside them, its warnings too."""

from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np
import pytest
from cases import DTYPES, LAYOUTS, broadcast
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from test_kernel_parity import SPECIAL

import minidl as md
from minidl import kernels
from minidl.kernels import reference

cpu: Any = pytest.importorskip("minidl.kernels.cpu", reason=f"the compiled kernels are missing: {kernels.cpu_missing}")

OPERATORS = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
    "maximum": np.maximum, "minimum": np.minimum,
}  # fmt: skip
NAMES = pytest.mark.parametrize("name", OPERATORS)
OF_TWO = ("maximum", "minimum")
Array = Any


def draw(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Numbers from 1/2 to 2 of either sign"""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.uniform(0.5, 2, shape) * rng.choice([-1.0, 1.0], shape)).astype(dtype)


def assert_same_bits(actual: Any, expected: Any) -> None:
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    np.testing.assert_array_equal(actual, expected)
    there = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(actual)[there], np.signbit(expected)[there])


# ---- shapes -------------------------------------------------------------------------------


def inside(x: Array) -> Array:
    """As a part of a wider array, whose rows lie apart"""
    return np.pad(x, 1)[(slice(1, -1),) * x.ndim]


def backwards(x: Array) -> Array:
    """With the first axis from its end"""
    return x[::-1].copy()[::-1] if x.ndim else x


def swapped(x: Array) -> Array:
    """With the axes before the last in another order"""
    return np.moveaxis(np.moveaxis(x, -2, 0).copy(), 0, -2) if x.ndim > 2 else x


@NAMES
@given(
    st.sampled_from(DTYPES),
    mutually_broadcastable_shapes(num_shapes=2, max_dims=5, max_side=5, min_side=0),
    st.tuples(*[st.sampled_from([*LAYOUTS, inside, backwards, swapped])] * 2),
    st.tuples(*[st.booleans()] * 2),
)
@settings(max_examples=500, deadline=None)
def test_any_shapes_and_layouts(name: str, dtype: Any, shapes: Any, layouts: Any, repeated: Any) -> None:
    sides = [
        np.broadcast_to(dtype(1.25 + i), s) if repeats else layout(draw(s, dtype, i))
        for i, (s, layout, repeats) in enumerate(zip(shapes.input_shapes, layouts, repeated, strict=True))
    ]
    result = getattr(cpu, name)(*sides)
    assert_same_bits(result, OPERATORS[name](*sides))
    assert not any(np.shares_memory(result, side) for side in sides)


SPLIT = [  # what threads share: ranges that begin and end within a row, within a matrix
    ((70001,), (70001,)), ((70001,), ()), ((257, 301), (301,)), ((257, 301), (257, 1)), ((257, 1), (1, 301)),
    ((31, 47, 53), (31, 1, 53)), ((31, 47, 53), (47, 1)), ((31, 1, 53), (47, 1)), ((9001, 7), (7,)),
    ((2, 40000), (2, 1)), ((1, 66000), (1,)), ((3, 5, 7, 11, 61), (5, 7, 1, 61)), ((40000, 2), (2,)),
    ((9001, 7), (9001, 1)), ((300, 90, 3), (90, 1)), ((300, 90, 3), (300, 1, 3)), ((300, 1, 3), (90, 1)),
    ((6000, 2, 5), (2, 1)), ((300, 90, 1), (300, 1, 3)),
]  # fmt: skip


@NAMES
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shapes", SPLIT, ids=str)
def test_any_number_of_threads(name: str, dtype: Any, shapes: Any) -> None:
    sides = [draw(s, dtype, i) for i, s in enumerate(shapes)]
    apart = [inside(x) for x in sides]
    before = md.get_num_threads()
    try:
        for threads in (1, 2, 3, 8):
            md.set_num_threads(threads)
            for a, b in (sides, sides[::-1], apart):
                assert_same_bits(getattr(cpu, name)(a, b), OPERATORS[name](a, b))
    finally:
        md.set_num_threads(before)


@NAMES
@pytest.mark.parametrize(
    "shapes",
    [((3,), (3,)), ((), ()), ((2, 3), (3,)), ((2, 3), (2, 1)), ((2, 3, 4), (2, 1, 4)), ((2, 3, 4), (2, 3, 1)),
     ((2, 3, 4, 5), (4, 5)), ((6, 1), (1, 7)), ((1, 1, 4), (4,)), ((2, 3, 4, 5, 6), (2, 3, 1, 5, 6))],
    ids=str,
)  # fmt: skip
def test_common_shapes_are_done_in_c(name: str, shapes: Any) -> None:
    a, b = (draw(s, np.float32) for s in shapes)
    for x, y in (
        (a, b),
        (b, a),
        (a, 2.5),
        (3, b),
        (np.broadcast_to(np.float32(2), a.shape), b),
        (np.broadcast_to(np.float32(2), a.shape), -1),
    ):
        assert getattr(cpu._cpu, name)(x, y) is not None


@pytest.mark.parametrize("layout", [inside, backwards, swapped, broadcast])
def test_views_whose_last_axis_is_dense_are_not_copied(layout: Any) -> None:
    x = layout(draw((4, 5, 6), np.float32))
    for a, b in ((x, x), (x, 2.0), (draw((4, 5, 1), np.float32), x)):
        assert not x.flags.c_contiguous and cpu._cpu.add(a, b) is not None


@NAMES
def test_shapes_that_do_not_broadcast_are_refused_as_numpy_does(name: str) -> None:
    for a, b in (((3,), (4,)), ((2, 3), (2,)), ((2, 3), (3, 2)), ((0,), (2,))):
        with pytest.raises(ValueError, match="could not be broadcast together"):
            getattr(cpu, name)(draw(a, np.float32), draw(b, np.float32))


# ---- numbers ------------------------------------------------------------------------------

NUMBERS = [
    0,
    1,
    -3,
    1 << 24,
    (1 << 24) + 1,
    -(1 << 24) - 1,
    -(1 << 30),
    1 << 70,
    True,
    0.1,
    -0.0,
    1e-50,
    float("inf"),
    float("nan"),
]
NUMBERS += [np.float32(0.1), np.float64(0.1), np.int64(3), np.float32(np.inf)]


@NAMES
@pytest.mark.parametrize("number", NUMBERS, ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_beside_an_array(name: str, number: Any, dtype: Any) -> None:
    for shape in ((), (7,), (3, 40)):
        x = draw(shape, dtype)
        for sides in ((x, number), (number, x)):
            with np.errstate(all="ignore"):
                assert_same_bits(getattr(cpu, name)(*sides), OPERATORS[name](*sides))


@NAMES
def test_a_number_that_the_type_does_not_hold_is_numpys_to_refuse(name: str) -> None:
    x = draw((5,), np.float32)
    with pytest.warns(RuntimeWarning, match="overflow"):
        ours = getattr(cpu, name)(x, 1e300)
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert_same_bits(ours, OPERATORS[name](x, 1e300))


@NAMES
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_ends_of_the_range(name: str, dtype: Any) -> None:
    x = np.array(SPECIAL, dtype)
    assert_same = np.testing.assert_array_equal if name in OF_TWO else assert_same_bits  # of 0 and −0 it may be either
    with np.errstate(all="ignore"):
        for a, b in ((x[:, None], x), (x, x[::-1].copy()), (x, 0.0), (2.0, x)):
            assert_same(getattr(cpu, name)(a, b), OPERATORS[name](a, b))


@NAMES
def test_types_that_c_does_not_take(name: str) -> None:
    for a, b in ((np.arange(3), np.arange(1, 4)), (draw((3,), np.float16), 2.0), (draw((3,), "f"), draw((3,), "d")),
                 (draw((3,), ">f4"), 1.0), (draw((3,), "f"), np.arange(1, 4)), (2.0, 3.0)):  # fmt: skip
        expected = OPERATORS[name](a, b)
        actual = getattr(cpu, name)(a, b)
        assert type(actual) is type(expected) and np.array_equal(actual, expected)


# ---- what NumPy warns of ------------------------------------------------------------------

WARNED = [
    ("divide", 1.0, 0.0, "divide by zero"),
    ("divide", 0.0, 0.0, "invalid value"),
    ("subtract", np.inf, np.inf, "invalid value"),
    ("add", 3e38, 3e38, "overflow"),
    ("multiply", 3e38, 2.0, "overflow"),
    ("multiply", np.inf, 0.0, "invalid value"),
    ("multiply", 1e-30, 1e-30, "underflow"),
    ("divide", 1e-30, 1e30, "underflow"),
]


@pytest.mark.parametrize(("name", "a", "b", "warning"), WARNED)
@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("n", [1, 5, 16, 33, 100_000])
def test_what_numpy_warns_of(name: str, a: float, b: float, warning: str, place: int, n: int) -> None:
    """One place among many, the first or the last one: the thread that called finds it, or another."""
    x, y = np.ones(n, np.float32), np.ones(n, np.float32)
    x[place], y[place] = a, b
    kernel = getattr(cpu, name)
    with np.errstate(under="warn"):
        with pytest.warns(RuntimeWarning, match=warning):
            kernel(x, y)
        with pytest.warns(RuntimeWarning, match=warning):
            kernel(x[[place], None], np.resize(y[place], (2, n)))
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match=warning):
        kernel(x, y)
    with np.errstate(all="ignore"):
        assert_same_bits(kernel(x, y), OPERATORS[name](x, y))


@NAMES
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_warned_of_that_is_not_there(name: str, dtype: Any) -> None:
    """Neither by lanes beyond the last number, nor for what happened before."""
    with np.errstate(all="ignore"):
        np.ones(3, dtype) / np.zeros(3, dtype)
    tiny = np.finfo(dtype).tiny
    with warnings.catch_warnings(), np.errstate(under="ignore"):  # as NumPy has it by default
        warnings.simplefilter("error")
        assert cpu._cpu.multiply(np.full(3, tiny), 0.3) is not None
    with warnings.catch_warnings(), np.errstate(all="warn"):
        warnings.simplefilter("error")
        for n in (*range(1, 70), 100_003):
            x = draw((n,), dtype)
            for sides in ((x, x), (x, 0.5), (0.5, x), (x, x[:1]), (x[:1], x)):
                assert getattr(cpu._cpu, name)(*sides) is not None
                getattr(cpu, name)(*sides)


@pytest.mark.parametrize("name", OF_TWO)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_is_compared_in_c_and_not_warned_of(name: str, dtype: Any) -> None:
    """Although a processor raises a flag for it."""
    for n in (1, 5, 33, 100_000):
        x, y = draw((n,), dtype), draw((n,), dtype, 1)
        x[-1], y[n // 2] = np.nan, np.inf
        with np.errstate(all="raise"):
            for sides in ((x, y), (y, x), (x, 0.5), (y, float("nan"))):
                np.testing.assert_array_equal(getattr(cpu._cpu, name)(*sides), OPERATORS[name](*sides))


# ---- who computes -------------------------------------------------------------------------


@NAMES
def test_the_package_has_those_of_the_module_that_serves(name: str) -> None:
    with md.use("cpu"):
        assert getattr(kernels, name) is getattr(cpu, name)
        with md.use("reference"):
            assert getattr(kernels, name) is getattr(reference, name)
        assert getattr(kernels, name) is getattr(cpu, name)


@NAMES
def test_tensors_are_left_to_their_operator(name: str) -> None:
    x, y = (md.Tensor(draw((3,), np.float32), requires_grad=True) for _ in range(2))
    z = getattr(kernels, name)(x, y)
    assert isinstance(z, md.Tensor) and z.requires_grad
    np.testing.assert_array_equal(z.data, OPERATORS[name](x.data, y.data))
