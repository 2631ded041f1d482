"""Arrays that are dense once their axes are in another order, as x.T is: read as they lie, and so are the results."""

from __future__ import annotations

from functools import partial
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl as md
from minidl import kernels
from minidl.kernels.axes import extreme_of, sum_of

cpu: Any = pytest.importorskip("minidl.kernels.cpu", reason=f"the compiled kernels are missing: {kernels.cpu_missing}")

Array = Any
ACTIVATIONS = [cpu._cpu.RELU, cpu._cpu.LEAKY_RELU, cpu._cpu.ELU, cpu._cpu.SOFTPLUS, cpu._cpu.SILU, cpu._cpu.GELU]
OF_ONE = {name: getattr(cpu._cpu, name) for name in ("exp", "tanh", "sigmoid", "erf", "log", "sqrt", "absolute")} | {
    "clip": lambda x: cpu._cpu.clip(x, 0.75, 1.5),
    "a number less": lambda x: cpu._cpu.subtract(x, 0.5),
    "where or a number": lambda x: cpu._cpu.where(x > 1, x, 2.5),
    **{f"activation {i}": lambda x, i=i: cpu._cpu.activation_forward(i, x, 0.3, 1.1) for i in ACTIVATIONS},
}
OF_TWO = {
    name: getattr(cpu._cpu, name)
    for name in (
        "tanh_backward", "sigmoid_backward", "add", "subtract", "multiply", "divide", "maximum", "minimum",
    )
} | {
    "where": lambda x, y: cpu._cpu.where(x > y, x, y),
    **{f"slope {i}": lambda dy, x, i=i: cpu._cpu.activation_backward(i, dy, x, 0.3, 1.1) for i in ACTIVATIONS},
}  # fmt: skip
ORDERS = [*permutations(range(3))]
THREE = pytest.mark.parametrize("order", ORDERS, ids=str)


def draw(shape: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(0.5, 2, shape).astype(dtype)


def in_order(x: Array, order: tuple[int, ...]) -> Array:
    """The same numbers with the axes in memory in this order, the slowest first"""
    return x.transpose(order).copy().transpose(np.argsort(order))


def steps(x: Array) -> list[int]:
    """From one number to the next along each axis; along one of length 1 there is none"""
    return [0 if n == 1 else stride // x.itemsize for n, stride in zip(x.shape, x.strides, strict=True)]


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 7, 6), (5, 1, 3), (40, 50, 60), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@THREE
def test_results_lie_as_the_array_does_unless_rows_are_dense(
    order: tuple[int, ...], dtype: Any, shape: tuple[int, ...]
) -> None:
    plain = draw(shape, dtype), draw(shape, dtype, seed=1)
    x, y = (in_order(a, order) for a in plain)
    last = max((axis for axis in range(3) if shape[axis] != 1), default=2)
    has_dense_rows = x.strides[last] == x.itemsize
    for name, kernel in (OF_ONE | OF_TWO).items():
        given = (x,) if name in OF_ONE else (x, y)
        actual, expected = kernel(*given), kernel(*plain[: len(given)])
        if actual is None:
            assert has_dense_rows and not x.flags.c_contiguous, name
            continue
        np.testing.assert_array_equal(actual, expected, err_msg=name)
        assert actual.flags.c_contiguous if has_dense_rows else steps(actual) == steps(x) or not x.size, name


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=5).flatmap(
        lambda shape: st.tuples(
            st.just(tuple(shape)), st.permutations(range(len(shape))), st.permutations(range(len(shape)))
        )
    )
)
def test_two_orders_give_the_results_of_one(drawn: Any) -> None:
    shape, *orders = drawn
    plain = draw(shape), draw(shape, seed=1)
    x, y = (in_order(a, order) for a, order in zip(plain, orders, strict=True))
    for name in ("add", "subtract", "multiply", "divide", "maximum", "tanh_backward", "relu_backward", "silu_backward"):
        np.testing.assert_array_equal(getattr(cpu, name)(x, y), getattr(cpu, name)(*plain), err_msg=name)
    np.testing.assert_array_equal(cpu.where(x > 1, x, y), np.where(x > 1, x, y))


def test_a_transposed_matrix_beside_a_row_a_column_and_one_number() -> None:
    x = draw((300, 200))
    for other in (draw((200,)), draw((1, 200)), draw((300, 1)), np.broadcast_to(np.float32(2), (300, 200))):
        for a, b in ((x.T.copy().T, other), (other, x.T.copy().T)):
            y = cpu._cpu.subtract(a, b)
            np.testing.assert_array_equal(y, a - b)
            assert y.flags.f_contiguous


def test_what_leaves_gaps_or_overlaps_is_no_dense_array() -> None:
    x = draw((8, 8, 8))
    overlapping = np.lib.stride_tricks.as_strided(x, (4, 4), (4, 4))
    for view in (
        x[:, :, ::2],
        x[::2].T,
        x[1:-1, 1:-1].T,
        x.T[::-1],
        x.T[:, ::-1],
        overlapping,
        np.broadcast_to(x, (2, *x.shape)),
    ):
        assert cpu._cpu.exp(view) is None
        np.testing.assert_array_equal(cpu.exp(view), cpu.exp(view.copy()))
        np.testing.assert_array_equal(cpu._cpu.copy_in_c_order(view), view)


def test_an_axis_of_one_number_does_not_say_how_the_others_lie() -> None:
    x = draw((30, 20)).T
    for view, row in ((x[:, None], (1, 3, 1)), (x[None], (3, 1, 1)), (x[..., None], (1, 1, 3))):
        y = cpu._cpu.multiply(view, draw(row))
        np.testing.assert_array_equal(y, view * draw(row))
        axis = row.index(3)
        assert y.strides[axis] == max(y.strides), "the short axis would be the innermost loop"
        np.testing.assert_array_equal(cpu._cpu.exp(view), cpu.exp(view.copy()))


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.integers(0, 9), min_size=0, max_size=5).flatmap(
        lambda shape: st.tuples(st.just(tuple(shape)), st.permutations(range(len(shape))), st.integers(0, 3))
    ),
    st.sampled_from([np.float32, np.float64]),
)
def test_copies_in_c_order(drawn: Any, dtype: Any) -> None:
    shape, order, cut = drawn
    x = in_order(draw(shape, dtype), order)
    view = x if x.ndim < 2 else [x, x[..., ::2], x[::-1], x[1:, 1:]][cut]
    y = cpu._cpu.copy_in_c_order(view)
    np.testing.assert_array_equal(y, view)
    assert y.flags.c_contiguous and y.dtype == dtype and not np.shares_memory(x, y)


@pytest.mark.parametrize("shape", [(2000, 300), (3, 70_000), (70_000, 3), (40, 1, 300, 20), (5, 100, 4, 130)], ids=str)
def test_large_copies_are_the_same_on_any_number_of_threads(shape: tuple[int, ...]) -> None:
    before = md.get_num_threads()
    try:
        for order in permutations(range(len(shape))):
            x = draw(shape).transpose(order)
            for threads in (1, 2, 3):
                md.set_num_threads(threads)
                np.testing.assert_array_equal(cpu._cpu.copy_in_c_order(x), x)
                np.testing.assert_array_equal(cpu._cpu.copy_in_c_order(x[1:, 1:]), x[1:, 1:])
    finally:
        md.set_num_threads(before)


def test_unaligned_and_swapped_ones_are_copied() -> None:
    raw = np.zeros(4 * 60 + 1, np.uint8)[1:].view(np.float32)[:60].reshape(5, 12)
    raw[:] = draw((5, 12))
    for x in (raw.T, draw((5, 12)).astype(">f4").T):
        assert cpu._cpu.exp(x) is None and cpu._cpu.add(x, x) is None
    np.testing.assert_array_equal(cpu.exp(raw.T), cpu.exp(np.array(raw.T)))


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -3, (0, 1), (0, 2), (-1, 1), (0, 1, 2), ()], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
@THREE
def test_sums_and_extremes(order: tuple[int, ...], keepdims: bool, axis: Any) -> None:
    plain = draw((6, 1700, 8))
    x, wide = md.Tensor(in_order(plain, order)), plain.astype(np.float64)
    np.testing.assert_allclose(md.sum(x, axis, keepdims).numpy(), wide.sum(axis, keepdims=keepdims), rtol=1e-6)
    np.testing.assert_array_equal(md.max(x, axis, keepdims=keepdims).numpy(), plain.max(axis, keepdims=keepdims))
    np.testing.assert_array_equal(md.min(x, axis, keepdims=keepdims).numpy(), plain.min(axis, keepdims=keepdims))


@pytest.mark.parametrize("axis", [None, 0, 1, 2, (0, 1), (0, 2)], ids=str)
@THREE
def test_the_gradient_of_an_extreme(order: tuple[int, ...], axis: Any) -> None:
    plain = np.random.default_rng(0).integers(0, 50, (6, 1700, 8)).astype(np.float32)
    dy = draw(plain.max(axis).shape)
    found = []
    for values in (plain, in_order(plain, order)):
        x = md.Tensor(values, requires_grad=True)
        md.max(x.alias(), axis).backward(dy)
        found.append(x.grad.numpy())
    np.testing.assert_array_equal(*found)
    assert (found[0] != 0).sum() >= dy.size


def test_kernels_see_long_arrays_as_they_lie_without_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    x, seen = draw((300, 400)).T, []
    for name in ("sum_rows", "sum_columns", "extreme_forward"):
        kernel = getattr(cpu, name)
        monkeypatch.setattr(cpu, name, lambda x, *a, kernel=kernel: seen.append(x) or kernel(x, *a))
    for axis in (None, 0, 1):
        for reduce in (sum_of, partial(extreme_of, largest=True)):
            reduce(x, axis, keepdims=False)
    assert len(seen) == 6 and all(y.flags.c_contiguous and np.shares_memory(y, x) for y in seen)


def test_long_sums_of_any_order_are_exact() -> None:
    """NumPy adds one number after the other where the axis that goes is not the dense one."""
    plain = draw((4, 200_000, 3))
    for order in ORDERS:
        x = in_order(plain, order)
        for axis in range(3):
            for f in (lambda x: x, lambda x: x * 2, md.relu):
                y = f(md.Tensor(x))
                truth = y.numpy().sum(axis, dtype=np.float64)
                np.testing.assert_allclose(md.sum(y, axis).numpy(), truth, rtol=5e-7)


@pytest.mark.parametrize("axis", [2, -3, (0, 5)], ids=str)
@pytest.mark.parametrize("reduce", [md.sum, md.mean, md.max])
def test_an_axis_that_is_not_there_is_named_as_it_was_given(reduce: Any, axis: Any) -> None:
    wrong = axis[1] if isinstance(axis, tuple) else axis
    with pytest.raises(np.exceptions.AxisError, match=f"axis {wrong} is out of bounds for array of dimension 2"):
        reduce(md.Tensor(draw((300, 400))).T, axis)


@pytest.mark.parametrize("reduce", [md.sum, md.mean, md.var, md.max, md.min, md.norm])
def test_an_axis_that_is_there_twice_is_refused(reduce: Any) -> None:
    for x in (md.Tensor(draw((3, 4))), md.Tensor(draw((300, 400))).T, md.Tensor(draw((300, 400)))):
        for axis in ((0, 0), (1, -1), (0, 1, -2)):
            with pytest.raises(ValueError, match="duplicate value in"):
                reduce(x, axis)


def test_gradients_of_a_tensor_that_lies_transposed() -> None:
    x = md.Tensor(draw((30, 20)).T, requires_grad=True)
    y = md.relu(x) * md.exp(x)
    assert y.numpy().flags.f_contiguous
    y.backward(md.Tensor(draw((20, 30))))
    dx, values = x.grad.numpy(), x.numpy()
    np.testing.assert_allclose(dx, draw((20, 30)) * np.exp(values) * (1 + values), rtol=1e-6)
