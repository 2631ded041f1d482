"""Tensors among numbers, lists, arrays and other libraries: types, indexing, copies, and what is refused."""

from __future__ import annotations

import array
import copy
import operator
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import minidl as md

F32, F64, I64 = np.float32, np.float64, np.int64

t32 = md.Tensor([1.0, 2.0])
t64 = md.Tensor([1.0, 2.0], dtype="float64")
ints = md.Tensor([1, 2])
bools = md.Tensor([True, False])


# ---- making one ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, F32), ([1.5, 2], F32), (1, I64), ([True], np.bool_), (np.ones(2), F64), (np.ones(2, F32), F32),
        (np.float64(1.0), F64), (np.arange(3, dtype=np.int32), np.int32), (t64, F64), ([[]], F32), (1j, np.complex128),
    ],
)  # fmt: skip
def test_the_type_that_data_brings(data: Any, dtype: Any) -> None:
    assert md.Tensor(data).dtype == dtype
    assert md.as_tensor(data).dtype == dtype
    assert md.Tensor(data, dtype=np.complex128).dtype == np.complex128


def test_float64_keeps_every_bit() -> None:
    x = 0.1 + 1e-12
    assert md.Tensor(x, dtype="float64").item() == x
    assert md.Tensor([x], dtype="float64").tolist() == [x]
    assert md.Tensor(np.float64(x)).item() == x
    assert md.Tensor(2**53 + 1).item() == 2**53 + 1


@pytest.mark.parametrize("data", [None, "1.5", ["a"], [1.0, None], object(), {"a": 1}, [[1.0], [1.0, 2.0]], b"1"])
def test_what_holds_no_numbers_is_refused(data: Any) -> None:
    for make in (md.Tensor, md.as_tensor, lambda d: md.Tensor(d, dtype="float32"), lambda d: t32 + d):
        with pytest.raises((TypeError, ValueError), match="a Tensor holds numbers|inhomogeneous"):
            make(data)


def test_a_tensor_copies_and_as_tensor_does_not() -> None:
    array = np.ones(2)
    assert not np.shares_memory(md.Tensor(array).numpy(), array)
    assert not np.shares_memory(md.Tensor(t64).numpy(), t64.numpy())
    assert np.shares_memory(md.as_tensor(array).numpy(), array)
    assert md.as_tensor(t64) is t64
    assert md.as_tensor(t64, "float32").dtype == F32


def test_what_a_tensor_says_of_itself() -> None:
    x = md.Tensor([[1.0, 2.0, 3.0]], requires_grad=True, name="kernel")
    assert (x.shape, x.ndim, x.size, len(x), x.name, x.is_leaf) == ((1, 3), 2, 3, 1, "kernel", True)
    assert repr(x) == "Tensor([[1., 2., 3.]], requires_grad=True)"
    assert repr(x + 1) == "Tensor([[2., 3., 4.]], op=add)"
    assert repr(t64) == "Tensor([1., 2.], dtype=float64)"
    assert repr(ints) == "Tensor([1, 2])"
    assert f"{md.Tensor(2.5):.2f}" == "2.50" and f"{t32}" == repr(t32)
    assert (float(md.Tensor([2.5])), int(md.Tensor(2)), bool(md.Tensor([0.0])), [1, 2, 3][md.Tensor(1)]) == (
        2.5,
        2,
        False,
        2,
    )
    assert [row.tolist() for row in md.Tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    assert len({x, x, t32}) == 2
    for wrong in (lambda: bool(t32), lambda: float(t32), lambda: t32.item()):
        with pytest.raises((ValueError, TypeError)):
            wrong()
    for wrong in (lambda: len(md.Tensor(1.0)), lambda: iter(md.Tensor(1.0)), lambda: [1, 2][md.Tensor(1.0)]):
        with pytest.raises(TypeError):
            wrong()


def test_makers() -> None:
    for a, b in (
        (md.zeros(2, 3), np.zeros((2, 3), F32)), (md.zeros((2, 3)), np.zeros((2, 3), F32)), (md.zeros(()), F32(0)),
        (md.ones(2, dtype="int64"), np.ones(2, I64)), (md.full((2, 1), 1.5), np.full((2, 1), 1.5, F32)),
        (md.full(2, 3), np.full(2, 3)), (md.eye(2, 3), np.eye(2, 3, dtype=F32)), (md.arange(3), np.arange(3)),
        (md.arange(1, 2, 0.25), np.arange(1, 2, 0.25, F32)), (md.arange(5, 1, -2, dtype=F64), np.array([5.0, 3.0])),
        (md.linspace(0, 1, 5), np.linspace(0, 1, 5, dtype=F32)), (md.zeros_like(ints), np.zeros(2, I64)),
        (md.ones_like(t64), np.ones(2)), (md.full_like(t32, 7, dtype=F64), np.full(2, 7.0)), (md.zeros(0), F32([])),
    ):  # fmt: skip
        assert isinstance(a, md.Tensor) and a.dtype == b.dtype and not a.requires_grad
        np.testing.assert_array_equal(a.numpy(), b)
    w = md.zeros(3, requires_grad=True)
    (w * 2).sum().backward()
    assert w.grad is not None and w.grad.tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(TypeError, match="only floating-point tensors can require a gradient"):
        md.arange(3, requires_grad=True)
    with pytest.raises(TypeError, match="full has no derivative"):
        md.full((2,), w[0])


# ---- types of results ---------------------------------------------------------------------

OTHERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "int": (3, {"t32": F32, "t64": F64, "ints": I64}),
    "float": (1.5, {"t32": F32, "t64": F64, "ints": F32}),
    "bool": (True, {"t32": F32, "t64": F64, "ints": I64}),
    "np.float64": (np.float64(1.5), {"t32": F32, "t64": F64, "ints": F32}),
    "np.float32": (np.float32(1.5), {"t32": F32, "t64": F64, "ints": F32}),
    "np.int64": (np.int64(3), {"t32": F32, "t64": F64, "ints": I64}),
    "list": ([1.5, 2.5], {"t32": F32, "t64": F64, "ints": F32}),
    "tuple of ints": ((1, 2), {"t32": F32, "t64": F64, "ints": I64}),
    "array of float64": (np.array([1.5, 2.5]), {"t32": F32, "t64": F64, "ints": F64}),
    "array of float32": (np.array([1.5, 2.5], F32), {"t32": F32, "t64": F64, "ints": F32}),
    "array of ints": (np.array([1, 2]), {"t32": F32, "t64": F64, "ints": I64}),
    "array of booleans": (np.array([True, False]), {"t32": F32, "t64": F64, "ints": I64}),
    "0-d array": (np.array(1.5), {"t32": F32, "t64": F64, "ints": F64}),
    "tensor of ints": (ints, {"t32": F32, "t64": F64, "ints": I64}),
    "tensor of float64": (t64, {"t32": F64, "t64": F64, "ints": F64}),
}


@pytest.mark.parametrize("op", [operator.add, operator.mul, operator.sub, md.maximum, md.minimum])
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", ["t32", "t64", "ints"])
def test_the_type_of_a_result_on_either_side(name: str, other: str, op: Callable[..., Any]) -> None:
    tensor: md.Tensor = {"t32": t32, "t64": t64, "ints": ints}[name]
    value, dtypes = OTHERS[other]
    raw = value.numpy() if isinstance(value, md.Tensor) else np.asarray(value)
    plain = {md.maximum: np.maximum, md.minimum: np.minimum}.get(op, op)
    for a, b in ((tensor, value), (value, tensor)):
        y = op(a, b)
        assert isinstance(y, md.Tensor) and y.dtype == dtypes[name]
        expected = plain(*(raw if x is value else tensor.numpy() for x in (a, b)))
        np.testing.assert_array_equal(y.numpy(), expected.astype(y.dtype))


def test_division_and_powers_of_integers() -> None:
    assert (ints / 2).dtype == F32 and (ints / ints).tolist() == [1.0, 1.0] and (1 / ints).tolist() == [1.0, 0.5]
    assert (ints**2).tolist() == [1, 4] and (2**ints).tolist() == [2, 4] and (ints**0.5).dtype == F32
    assert (2**t32).tolist() == [2.0, 4.0] and (t64**-1).tolist() == [1.0, 0.5]


def test_functions_of_integers_give_float32_and_of_anything_like_an_array_a_tensor() -> None:
    for f in (md.exp, md.log, md.sqrt, md.tanh, md.sigmoid, md.relu, md.mean, md.var, md.softmax, md.logsumexp):
        assert f(ints).dtype == F32
    for f in (
        md.exp,
        md.negative,
        md.absolute,
        md.square,
        md.sum,
        md.max,
        md.softmax,
        md.clip,
        md.argmax,
        md.transpose,
    ):
        for given in ([1.0, 2.0], np.array([1.0, 2.0], F32), t32):
            y = f(given, 0.0) if f is md.clip else f(given)
            assert isinstance(y, md.Tensor)
    assert md.astype([1.0], "int32").dtype == np.int32
    assert isinstance(md.embedding(np.eye(2), [1]), md.Tensor)


def test_gradients_at_the_edges_of_a_domain() -> None:
    """The values that PyTorch gives too."""
    inf, nan = np.inf, np.nan

    def slopes(f: Callable[..., Any], *values: float) -> Any:
        x = md.Tensor(values, requires_grad=True, dtype="float64")
        with np.errstate(all="ignore"):
            f(x).sum().backward()
        assert x.grad is not None
        return x.grad.numpy()

    np.testing.assert_array_equal(slopes(lambda x: 0**x, 0.0, 2.0, -1.0, nan), [0.0, 0.0, -inf, nan])
    np.testing.assert_array_equal(slopes(md.prod, inf, 0.0, 1.0), [0.0, inf, nan])
    np.testing.assert_array_equal(slopes(md.std, 1.0, 1.0), [0.0, 0.0])
    np.testing.assert_array_equal(slopes(md.norm, 0.0, 0.0), [0.0, 0.0])
    np.testing.assert_array_equal(slopes(lambda x: x**2, 0.0, -1.0, inf), [0.0, -2.0, inf])
    np.testing.assert_array_equal(slopes(md.logsumexp, -inf, 1.0), [0.0, 1.0])


def test_integers_and_booleans_have_pythons_operators() -> None:
    i, b = md.Tensor([5, -6, 7]), md.Tensor([True, False, True])
    assert (
        (i % 3).tolist() == [2, 0, 1]
        and (i // 2).tolist() == [2, -3, 3]
        and (20 % md.Tensor([6, 7])).tolist() == [2, 6]
    )
    assert [x.tolist() for x in divmod(i, 4)] == [[1, -2, 1], [1, 2, 3]] == [x.tolist() for x in divmod(np.array(i), 4)]
    assert [x.tolist() for x in divmod(7, md.Tensor([2, 3]))] == [[3, 2], [1, 1]] and (
        7 // md.Tensor([2])
    ).tolist() == [3]
    assert (~b).tolist() == [False, True, False] and (b & (i > 0)).tolist() == [True, False, True]
    assert (b | [True, True, False]).tolist() == [True, True, True] and (True ^ b).tolist() == [False, True, False]
    assert (i & 1).tolist() == [1, 0, 1] and (~i).tolist() == [-6, 5, -8] and +i is i
    assert round(md.Tensor([1.26, -2.5]), 1).tolist() == md.Tensor([1.3, -2.5]).tolist()
    for wrong in (lambda: ~t32, lambda: t32 & 1, lambda: t32 | t32):
        with pytest.raises(TypeError, match="not supported for the input types"):
            wrong()


def test_the_gradient_of_remainders_and_of_steps() -> None:
    a, b = md.Tensor([5.5, -5.5], requires_grad=True), md.Tensor([2.0, 2.0], requires_grad=True)
    (a % b + a // b + md.floor(a) + round(a)).sum().backward()
    assert a.grad is not None and a.grad.tolist() == [1.0, 1.0]
    assert b.grad is not None and b.grad.tolist() == [-2.0, 3.0]


@pytest.mark.parametrize("other", [None, "a", {}, object(), Exception])
def test_what_is_no_number_equals_no_tensor(other: Any) -> None:
    assert (t32 == other) is False and (t32 != other) is True and (other == t32) is False
    assert other not in [t32] and (t32 is None or t32 != None)  # noqa: E711
    with pytest.raises(TypeError):
        t32 < other  # noqa: B015


def test_something_that_equals_everything_may_say_so() -> None:
    from unittest.mock import ANY

    assert (t32 == ANY) is True and (t32 == [1.0, 3.0]).tolist() == [True, False]


def test_products_and_losses_promote_as_arithmetic_does(kernels: str) -> None:
    x, w = md.Tensor([[1.0, 2.0]], requires_grad=True), md.Tensor([[3.0], [4.0]], requires_grad=True, dtype="float64")
    for y in (x @ w, x * w.T, md.einsum("ij,jk->ik", x, w), md.softmax_cross_entropy(x, w.detach().T)):
        assert y.dtype == F64
        x.zero_grad()
        y.sum().backward()
        assert x.grad is not None and x.grad.dtype == F32
    assert w.grad is not None and w.grad.dtype == F64 and w.grad.shape == (2, 1)
    assert (md.Tensor([[1, 2]], dtype="int32") @ md.Tensor([[3], [4]])).dtype == I64


@pytest.mark.parametrize("array", [np.array([0.1, 2.0]), [0.1, 2.0], np.array([1, 2]), (1, 2)])
def test_products_with_arrays_keep_the_type_of_the_tensor_on_either_side(array: Any) -> None:
    for t in (t32, t64):
        for f in (md.matmul, md.dot, md.outer, partial(md.einsum, "i,i"), partial(md.tensordot, axes=1)):
            for y in (f(t, array), f(array, t)):
                assert y.dtype == t.dtype
                np.testing.assert_allclose(y.numpy().sum(), f(array, t64).numpy().sum(), rtol=1e-6)
        assert (array @ t).dtype == (t @ array).dtype == t.dtype
    assert md.dot(0.1, t64).tolist() == [0.1, 0.2] and md.einsum(",i->i", 0.1, t64).tolist() == [0.1, 0.2]
    assert md.matmul(np.ones(2), np.ones(2)).dtype == F64


def test_bounds_and_counts_that_are_tensors() -> None:
    x, low = md.Tensor([1.0, 5.0], requires_grad=True), md.Tensor(2.0, requires_grad=True)
    y = md.clip(x, low, 4.0)
    assert y.tolist() == [2.0, 4.0] and md.clip(x, high=md.Tensor(2.0)).tolist() == [1.0, 2.0]
    y.sum().backward()
    assert low.grad is not None and low.grad.item() == 1.0 and x.grad is not None and x.grad.tolist() == [0.0, 0.0]
    assert md.repeat(x, md.Tensor([2, 0])).tolist() == [1.0, 1.0] and md.take(x, md.Tensor([1])).tolist() == [5.0]
    assert md.clip(ints, 1.5, 3).dtype == F32 and md.clip(ints, 2, 3).tolist() == [2, 2]


def test_numpy_functions_leave_other_libraries_their_turn() -> None:
    class Foreign:
        def __array_function__(self, *_: Any) -> str:
            return "foreign"

    assert np.concatenate([t32, Foreign()]) == np.concatenate([Foreign(), t32]) == "foreign"


def test_in_place_operators_make_results_and_under_no_grad_step_a_leaf() -> None:
    w = weight = md.Tensor([1.0, 2.0], requires_grad=True)
    y = x = w * 1.0
    y += 1.0
    assert y is not x and x.tolist() == [1.0, 2.0] and y.requires_grad
    y.sum().backward()
    with md.no_grad():
        assert w.grad is not None
        w -= 0.5 * w.grad
        w *= 2.0
        y += 1.0
        w /= [1.0, 2.0]
        w += np.array([0.0, 1.0])
    assert w is weight and w.is_leaf and w.requires_grad and w.tolist() == [1.0, 2.5]
    assert y.tolist() == [3.0, 4.0] and not y.requires_grad
    with md.no_grad(), pytest.raises(ValueError, match="cannot replace data of shape"):
        w += md.Tensor([[1.0], [2.0]])


def test_comparisons() -> None:
    tenth = md.Tensor([0.1])
    assert (tenth == 0.1).tolist() == operator.eq(0.1, tenth).tolist() == [True]
    assert (tenth == np.array([0.1])).tolist() == (tenth >= np.float64(0.1)).tolist() == [True]
    assert (tenth != 0.1).tolist() == (tenth > 0.1).tolist() == [False]
    assert (md.Tensor([1, 2, 3]) <= 2).tolist() == operator.ge(2, md.Tensor([1, 2, 3])).tolist() == [True, True, False]
    y = md.Tensor([1.0, 2.0], requires_grad=True) < [1.5, 1.5]
    assert y.dtype == np.bool_ and not y.requires_grad and y.tolist() == [True, False]


def test_the_first_of_those_that_tie() -> None:
    x = md.Tensor([[2.0, 5.0, 5.0], [1.0, 1.0, 3.0]])
    assert md.argmax(x, 1).tolist() == [1, 2] and md.argmin(x, 1).tolist() == [0, 0] and md.argmax(x).item() == 1


# ---- NumPy functions and arrays -----------------------------------------------------------


def test_numpy_functions_of_a_tensor_are_ops() -> None:
    x = md.Tensor([0.5, 2.0], requires_grad=True, dtype="float64")
    for f in (np.exp, np.log, np.sqrt, np.tanh, np.sin, np.cos, np.log1p, np.expm1, np.abs, np.square, np.negative):
        y = f(x)
        assert isinstance(y, md.Tensor) and y.requires_grad
        np.testing.assert_allclose(y.numpy(), f(x.numpy()), rtol=1e-15)
    for f in (np.add, np.multiply, np.power, np.maximum, np.matmul, np.less):
        assert isinstance(f(np.array([1.0, 2.0]), x), md.Tensor)
    np.exp(x).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), np.exp(x.numpy()), rtol=1e-15)


def test_numpy_functions_that_are_no_ops_give_arrays() -> None:
    x = md.Tensor([0.5, 2.5])
    assert isinstance(np.trunc(x), np.ndarray) and np.trunc(x).tolist() == [0.0, 2.0]
    assert isinstance(np.median(x), np.floating) and np.median(x) == 1.5
    assert np.add.reduce(x) == 3.0
    with pytest.raises(TypeError, match=r"np\.add cannot write into a Tensor; write into its \.data"):
        np.add([1.0, 2.0], x, out=x)


NUMPY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sum": (np.sum, np.sum), "mean": (lambda x: np.mean(x, axis=1), lambda x: np.mean(x, axis=1)),
    **{name: (f, f) for name, f in {
        "max": np.max, "min": np.min, "prod": np.prod, "var": np.var, "linalg.norm": np.linalg.norm,
        "std": lambda x: np.std(x, axis=0, keepdims=True, ddof=1), "cumsum": lambda x: np.cumsum(x, 1),
        "reshape": lambda x: np.reshape(x, (3, 2)), "transpose": np.transpose, "ravel": np.ravel, "diag": np.diag,
        "swapaxes": lambda x: np.swapaxes(x, 0, 1), "moveaxis": lambda x: np.moveaxis(x, 0, 1),
        "concatenate": lambda x: np.concatenate([x, x], axis=1), "stack": lambda x: np.stack((x, x), axis=-1),
        "split": lambda x: np.split(x, 3, axis=1)[1], "squeeze": lambda x: np.squeeze(np.expand_dims(x, 0)),
        "where": lambda x: np.where(x > 0.5, x, 0.0), "clip": lambda x: np.clip(x, 0.5, 1.0), "flip": np.flip,
        "clip, named": lambda x: np.clip(x, a_min=0.5, a_max=1.0), "clip, below": lambda x: np.clip(x, None, 1.0),
        "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3)), "tile": lambda x: np.tile(x, (2, 2)),
        "dot": lambda x: np.dot(x, x.T), "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
        "tensordot": lambda x: np.tensordot(x, x, 2), "outer": lambda x: np.outer(x, x), "sort": np.sort,
        "take": lambda x: np.take(x, [0, 0], axis=1), "repeat": lambda x: np.repeat(x, 2, axis=0),
        "pad": lambda x: np.pad(x, ((1, 0), (0, 2))), "tril": np.tril, "triu": lambda x: np.triu(x, 1),
        "take_along_axis": lambda x: np.take_along_axis(x, np.array([[2], [0]]), 1), "round": lambda x: np.round(x, 1),
    }.items()},
}  # fmt: skip


@pytest.mark.parametrize(("of_tensor", "of_array"), NUMPY.values(), ids=NUMPY)
def test_numpy_functions_keep_the_graph(of_tensor: Callable[..., Any], of_array: Callable[..., Any]) -> None:
    x = md.Tensor([[0.25, 2.0, 1.5], [0.75, -1.0, 3.0]], requires_grad=True, dtype="float64")
    y = of_tensor(x)
    assert isinstance(y, md.Tensor) and y.requires_grad
    np.testing.assert_allclose(y.numpy(), of_array(x.numpy()), rtol=1e-15)


def test_numpy_functions_that_look_at_tensors_only() -> None:
    x = md.Tensor([[0.25, 2.0]], requires_grad=True)
    assert np.shape(x) == (1, 2) and np.ndim(x) == 2 and np.size(x) == 2
    assert np.allclose(x, [[0.25, 2.0]]) and np.array_equal(x, x) and np.any(x > 1).item() and not np.all(x > 1).item()
    assert np.argmax(x).item() == 1 and np.argsort(-x).tolist() == [[1, 0]] and np.where(x > 1)[1].tolist() == [1]
    assert np.isnan(x).tolist() == [[False, False]] and np.logical_and(x > 0, x < 1).tolist() == [[True, False]]
    for y in (np.zeros_like(x), np.ones_like(x), np.full_like(x, 3.0)):
        assert isinstance(y, md.Tensor) and y.shape == x.shape and y.dtype == x.dtype and not y.requires_grad
    np.testing.assert_array_equal(x, x.numpy())


def test_numpy_functions_without_a_derivative_say_so() -> None:
    x = md.Tensor([0.25, 2.0], requires_grad=True)
    for f in (
        np.median,
        np.vstack,
        np.gradient,
        np.unique,
        lambda t: np.array_split(t, 2),
        lambda t: np.interp(1.0, t, t),
    ):
        with pytest.raises(TypeError, match=r"np\.\w+ has no derivative in minidl.*detach"):
            f([x, x] if f is np.vstack else x)
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        np.sum(x, out=np.zeros(()))
    with pytest.raises(TypeError, match="cannot write into a Tensor"):
        np.median(x, out=md.Tensor(0.0))
    with md.no_grad():
        assert np.median(x) == 1.125


def test_numpy_functions_that_write_are_seen_by_backward() -> None:
    x = md.Tensor([0.25, 2.0], requires_grad=True)
    y = (x * x).sum()
    np.copyto(x, 1.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_a_list_of_tensors_does_not_lose_their_gradients() -> None:
    x = md.Tensor([1.0, 2.0], requires_grad=True)
    for make in (md.Tensor, md.as_tensor, lambda data: t32 * data, lambda data: md.stack([data, data])):
        with pytest.raises(TypeError, match=r"a list that holds tensors which require a gradient.*use stack\(\)"):
            make([x[0], 3.0])
    assert md.Tensor([x[0].detach(), 3.0]).tolist() == [1.0, 3.0]
    with md.no_grad():
        assert md.Tensor([[x[0]], [x[1]]]).tolist() == [[1.0], [2.0]]


def test_an_array_takes_a_tensor_in_place() -> None:
    array = np.array([1.0, 2.0])
    same = array
    array -= 0.5 * md.Tensor([1.0, 2.0], requires_grad=True)
    array *= t32
    assert isinstance(array, np.ndarray) and array is same and array.tolist() == [0.5, 2.0]


def test_an_array_of_a_tensor_is_a_view_unless_a_copy_is_asked_for() -> None:
    x = md.Tensor([1.0, 2.0])
    for view in (np.asarray(x), np.array(x, copy=None), np.array(x, copy=False), x.numpy(), x.data):
        assert np.shares_memory(view, x.data)
    for other in (np.array(x), np.array(x, copy=True), np.asarray(x, dtype=F64), x.__array__(F32, copy=True)):
        assert not np.shares_memory(other, x.data) and other.tolist() == [1.0, 2.0]
    assert np.asarray(x, dtype=F64).dtype == F64
    with pytest.raises(ValueError, match="a float32 tensor cannot become float64 without a copy"):
        np.array(x, dtype=F64, copy=False)


def test_dlpack_round_trip() -> None:
    array = np.arange(6.0).reshape(2, 3)
    x = md.from_dlpack(array)
    assert np.shares_memory(x.data, array) and x.dtype == F64
    y = np.from_dlpack(md.Tensor([[1.0, 2.0]]))
    assert y.dtype == F32 and y.tolist() == [[1.0, 2.0]]
    assert np.shares_memory(np.from_dlpack(x.T), array)


def test_dlpack_with_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = md.Tensor([1.0, 2.0])
    theirs = torch.from_dlpack(x)
    theirs[0] = 5.0
    assert x.tolist() == [5.0, 2.0]
    ours = md.from_dlpack(torch.arange(3, dtype=torch.float64))
    assert ours.dtype == F64 and (ours * 2).tolist() == [0.0, 2.0, 4.0]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_and_pickles_are_leaves_with_memory_of_their_own(again: Callable[[Any], Any]) -> None:
    x = md.Tensor([1.0, 2.0], requires_grad=True, dtype="float64", name="w")
    (x * x).sum().backward()
    for t in (x, x * 3, md.Tensor([1, 2], dtype="int32")):
        twin = again(t)
        assert twin.tolist() == t.tolist() and twin.dtype == t.dtype and twin.name == t.name
        assert twin.is_leaf and twin.requires_grad is (t is x)
        assert not np.shares_memory(twin.data, t.data)
    a, b = copy.deepcopy([x, x])
    assert a is b


def test_a_deep_copy_keeps_the_gradient_as_in_pytorch() -> None:
    x = md.Tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    for plain in (copy.copy(x), pickle.loads(pickle.dumps(x))):
        assert plain.grad is None
    twin, gradient = copy.deepcopy((x, x.grad))
    assert twin.grad.tolist() == [2.0, 4.0] and twin.grad is gradient
    twin.grad.data[:] = 0
    assert x.grad.tolist() == [2.0, 4.0]


# ---- indexing -----------------------------------------------------------------------------

KEYS: dict[str, Any] = {
    "int": 1,
    "negative": -1,
    "np int": np.int64(2),
    "a tensor": md.Tensor(2),
    "int and int": (1, 2),
    "range": slice(1, 3),
    "negative step": slice(None, None, -2),
    "columns backwards": (slice(None), slice(3, 0, -1)),
    "Ellipsis": (..., 1),
    "None": (None, 1, None, slice(2, None)),
    "list": [2, 0],
    "repeated": [0, 2, 0, 0],
    "negative and positive names of one": [2, -1, 2],
    "array": np.array([[0, 1], [2, 2]]),
    "tensor of ints": md.Tensor([1, 1]),
    "narrow ints": np.array([1, 1, -1], np.int8),
    "array of the standard library": array.array("l", [0, 0, 2]),
    "memory": memoryview(np.array([1, 1])),
    "tuple in a tuple": ((0, 0),),
    "tuples": ((0, 0, 2), (1, 1, 1)),
    "tuple beside a range": ((0, 0), slice(1, 3)),
    "empty tuple in a tuple": ((),),
    "pairs": ([0, 1, 0], [3, 3, 3]),
    "array and range": (np.array([0, 0]), slice(1, 3)),
    "arrays that broadcast": (np.array([[0], [1]]), np.array([0, 0, 3])),
    "mask": np.arange(12).reshape(3, 4) % 3 == 0,
    "tensor mask": md.Tensor(np.arange(12).reshape(3, 4) % 5 == 0),
    "list mask": [True, False, True],
    "mask of columns": (slice(None), np.array([True, False, False, True])),
    "mask and int": (np.array([True, True, False]), 2),
    "True": True,
    "no rows": [],
    "empty range": slice(3, 3),
    "empty tuple": (),
    "empty mask": np.zeros((3, 4), bool),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_indexing_and_its_gradient(key: Any) -> None:
    places = np.arange(12.0).reshape(3, 4)
    plain = key.numpy() if isinstance(key, md.Tensor) else key
    x = md.Tensor(places, requires_grad=True)
    y = x[key]
    np.testing.assert_array_equal(y.numpy(), places[plain])
    weights = md.random.Generator(3).uniform(y.shape, 1.0, 2.0, F64)
    y.backward(weights)
    expected = np.zeros((3, 4))
    for place, weight in zip(
        np.ravel(y.numpy()).astype(int), np.ravel(weights), strict=True
    ):  # elements are their places
        expected.flat[place] += weight
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-15)


@pytest.mark.parametrize("dtype", [">f4", "<f4", ">f8", ">i4"])
def test_numbers_in_the_byte_order_of_another_machine(dtype: str) -> None:
    x = md.Tensor(np.array([[1, 2], [3, 4]], dtype))
    assert x.dtype.isnative and x.dtype == np.dtype(dtype).newbyteorder("=")
    assert x.tolist() == [[1, 2], [3, 4]] and (x @ x).tolist() == [[7, 10], [15, 22]]
    assert md.tanh(x).shape == (2, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16])
def test_the_axis_may_be_longer_than_the_type_of_the_indices_counts(dtype: Any) -> None:
    x = md.Tensor(np.zeros(70_000), requires_grad=True)
    x[np.array([1, 100, 1], dtype)].sum().backward()
    assert x.grad is not None
    assert x.grad[1].item() == 2 and x.grad[100].item() == 1 and x.grad.sum().item() == 3


def test_indices_that_an_object_gives_may_change_after_forward() -> None:
    class Places:
        def __init__(self) -> None:
            self.places = np.array([0, 0])

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
            return self.places

    key, x = Places(), md.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x[key]  # type: ignore[index]
    key.places[:] = 2
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2.0, 0.0, 0.0]


@pytest.mark.parametrize(("key", "error"), [(3, IndexError), ([0, 5], IndexError), ((0, 0, 0), IndexError)])
def test_indices_outside_are_refused(key: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        md.Tensor(np.zeros((3, 4)))[key]
    assert caught.value.__notes__ == ["in get_item of float64[3, 4]"]


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (1.5, IndexError), ((0, 2.9), IndexError), ("1", IndexError), (np.float32(1), IndexError), ([0.0], IndexError),
        (slice(0, 2.0), TypeError), ((0, slice(None, None, 1.5)), TypeError), (slice("0", None), TypeError),
    ],
)  # fmt: skip
def test_what_is_no_index_is_refused(key: Any, error: type[Exception], kernels: str) -> None:
    x = md.Tensor(np.zeros((3, 4), np.float32))
    with pytest.raises(error):
        x[key]
    with pytest.raises(error):
        x[key] = 1
    assert not np.any(x.tolist())


# ---- what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: md.softmax(x, 2), lambda x: md.softmax(x[0, 0]), lambda x: md.sum(x, 5), lambda x: md.mean(x, 2),
        lambda x: md.flip(x, 2), lambda x: md.prod(x, -3), lambda x: md.cumsum(x, 2), lambda x: md.max(x, 2),
        lambda x: md.concatenate([x, x], 2), lambda x: md.stack([x, x], 4), lambda x: md.expand_dims(x, 4),
        lambda x: md.logsumexp(x, 2), lambda x: md.argmax(x, 2), lambda x: md.swapaxes(x, 0, 2),
        lambda x: x[0].mT,
        lambda x: md.squeeze(x, 2),
        lambda x: md.transpose(x, 0, 2), lambda x: md.split(x, 1, axis=2),
    ],
)  # fmt: skip
def test_axes_outside_are_refused(wrong: Callable[[Any], Any]) -> None:
    with pytest.raises((ValueError, IndexError)):
        wrong(md.Tensor(np.ones((2, 3)), requires_grad=True))


@pytest.mark.parametrize("f", [md.sum, md.mean, md.max, md.prod, md.cumsum, md.flip, md.softmax, md.argmax])
def test_a_number_has_no_axes(f: Callable[..., Any]) -> None:
    with pytest.raises((ValueError, IndexError)):
        f(md.Tensor(1.0), axis=1)
    if f is not md.argmax:
        with pytest.raises(ValueError, match="axis 0 is out of bounds for array of dimension 0"):
            f(md.Tensor(1.0), axis=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: md.matmul(x, x), r"the second last axis of b must agree, got shapes \(2, 3\) and \(2, 3\)"),
        (lambda x: md.matmul(x, [1.0, 2.0]), "the only axis of b must agree"),
        (lambda x: x @ 2.0, r"matmul needs vectors or matrices, .* use \* for a number"),
        (lambda x: md.reshape(x, 4, 2), "cannot reshape"),
        (lambda x: md.squeeze(x, 0), "size not equal to one"),
        (lambda x: md.split(x, 2, axis=1), "an axis of length 3 does not divide into 2 equal parts"),
        (lambda x: md.split(x, 0), "does not divide into 0 equal parts"),
        (lambda x: md.concatenate([]), "concatenate needs at least one tensor"),
        (lambda x: md.stack([]), "stack needs at least one tensor"),
        (lambda x: md.var(x, 0, ddof=2), r"var of 2 elements with ddof=2: shape \(2, 3\), axis 0"),
        (lambda x: md.einsum("ij,jk", x), "names 2 operands, got 1"),
        (lambda x: md.einsum("ijk", x), "'ijk' in 'ijk' names 3 axes, and its operand has 2"),
        (lambda x: md.einsum("i->i", x), "'i' in 'i->i' names 1 axes, and its operand has 2"),
        (lambda x: md.einsum("ij,ij", x, x.T), "'i' of 'ij,ij' is 2 long here and 3 there"),
        (lambda x: md.einsum("ij->k", x), "must name axes of the operands, each once"),
        (lambda x: md.einsum("ij->ii", x), "must name axes of the operands, each once"),
        (lambda x: md.einsum("...i->i", x), 'and "..." if they have it'),
        (lambda x: md.einsum("i1->i", x), 'is not of the form "ij,jk->ik"'),
        (lambda x: md.tensordot(x, x, 1), r"tensordot: axes \[1\] of \(2, 3\) and \[0\] of \(2, 3\) must pair up"),
        (lambda x: md.topk(x, 4), "k must lie between 0 and the 3 elements along axis 1, got 4"),
        (lambda x: md.pad(x, -1), "widths must not be negative, got -1"),
        (lambda x: md.pad(x, 1, "reflect"), 'mode must be "constant", got \'reflect\''),
        (lambda x: md.diag(x[None]), r"diag needs a vector or a matrix, got shape \(1, 2, 3\)"),
        (lambda x: md.tril(x[0]), r"tril and triu need a matrix, got shape \(3,\)"),
        (lambda x: md.take_along_axis(x, [0], 0), "indices have 1 axes and x has 2"),
        (lambda x: md.take(x, [6]), "out of bounds"),
        (lambda x: np.linalg.norm(x, 1), "the root of the sum of squares only, got ord=1"),
        (lambda x: md.stack([x, x[0]]), r"tensor 0 has shape \(2, 3\) and tensor 1 \(3,\); they must agree"),
        (lambda x: md.concatenate([x, x[:, 1:]]), r"\(2, 3\) and tensor 1 \(2, 2\); they must agree in all axes but"),
        (lambda x: md.concatenate([x, x[:1]], -1), r"\(2, 3\) and tensor 1 \(1, 3\); they must .* but axis 1"),
        (lambda x: md.concatenate([x, x], 2), "axis 2 is out of bounds for array of dimension 2"),
        (lambda x: md.concatenate([x[0, 0]]), "tensors of no axes have none to be joined along; use stack"),
        (lambda x: md.transpose(x, 0), "axes don't match array"),
        (lambda x: md.mean(x[:0]), r"mean of no elements: shape \(0, 3\), axis None"),
        (lambda x: md.max(x[:0]), "zero-size array"),
        (lambda x: md.dropout(x, 1.5), r"rate must lie in \[0, 1\], got 1.5"),
        (lambda x: md.sparse_cross_entropy(x, [0, 3]), r"in \[0, 3\), the number of classes; got 3 at position \(1,\)"),
        (lambda x: md.sparse_cross_entropy(x, [0]), r"labels must have shape logits.shape\[:-1\] = \(2,\), got \(1,\)"),
        (lambda x: md.sigmoid_cross_entropy(x, [1.0, 0.0, 1.0]), "they must agree"),
        (lambda x: md.embedding(x, [0, 2]), r"in \[0, 2\), the number of rows of the table; got 2 at position \(1,\)"),
        (lambda x: md.embedding(x, [-1]), r"got -1 at position \(0,\)"),
    ],
)  # fmt: skip
def test_mistakes_are_explained(wrong: Callable[[Any], Any], message: str, kernels: str) -> None:
    with pytest.raises((ValueError, IndexError), match=message):
        wrong(md.Tensor(np.ones((2, 3)), requires_grad=True))


@pytest.mark.parametrize("axis", [[0, 1], 1.0, (1.0,), "1", {0, 1}, np.array([0, 1]), slice(1)])
@pytest.mark.parametrize("reduce", [md.sum, md.mean, md.max, md.var])
def test_an_axis_is_an_integer(reduce: Callable[..., Any], axis: Any, kernels: str) -> None:
    x = md.Tensor(np.ones((2, 3)))
    for known in (1, (1,), (0, 1)):  # what they make of the array is remembered
        reduce(x, known)
    with pytest.raises(TypeError, match="integer"):
        reduce(x, axis)


@pytest.mark.parametrize("axes", [np.array([1, 0]), range(2), (1, 0.0), md.Tensor([1, 0])])
def test_transpose_takes_integers(axes: Any) -> None:
    with pytest.raises(TypeError, match="integer"):
        md.transpose(np.ones((2, 3)), *(axes if isinstance(axes, tuple) else (axes,)))


@pytest.mark.parametrize("wrong", [lambda x: md.sparse_cross_entropy(x, [0.0, 1.0]), lambda x: md.embedding(x, [0.5])])
def test_ids_that_are_no_integers(wrong: Callable[[Any], Any], kernels: str) -> None:
    with pytest.raises(TypeError, match="must be int32 or int64, got float"):
        wrong(md.Tensor(np.ones((2, 3))))


def test_methods_are_the_functions() -> None:
    x = md.Tensor([[1.0, 4.0], [9.0, 16.0]])
    for name in ("exp", "log", "sqrt", "tanh", "sigmoid", "relu", "softmax", "sum", "mean", "var", "std", "max", "min",
                 "prod", "cumsum", "argmax", "argmin", "flatten", "transpose", "squeeze",
                 "any", "all", "round", "argsort"):  # fmt: skip
        assert getattr(x, name)().tolist() == getattr(md, name)(x).tolist()
    assert x.T.tolist() == md.transpose(x).tolist() and x.swapaxes(0, 1).shape == x.reshape(4, 1).reshape((2, 2)).shape
    assert abs(-x).tolist() == x.tolist() == x.clip(0.0, 20.0).tolist() == x.astype("int64").tolist()
    assert (
        x.mT.tolist() == x.T.tolist() and x[None].mT.shape == (1, 2, 2) and x.ravel().tolist() == x.flatten().tolist()
    )
    assert x.dot(x).tolist() == (x @ x).tolist() and x.take([3]).tolist() == [16.0] and x.repeat(2, 0).shape == (4, 2)
    assert md.abs is md.absolute and md.pow is md.power
    assert (x @ x).tolist() == x.matmul(x).tolist() and ([1.0, 1.0] @ x).tolist() == [10.0, 20.0]


def test_a_ufunc_without_a_derivative_does_not_drop_the_gradient_silently() -> None:
    t = md.Tensor([0.5], requires_grad=True)
    with pytest.raises(TypeError, match=r"np\.cbrt has no derivative in minidl.*detach"):
        np.cbrt(t)
    assert np.isfinite(t).all()
    np.testing.assert_array_equal(np.cbrt(t.detach()), np.cbrt(np.float32([0.5])))
    with md.no_grad():
        assert np.cbrt(t).dtype == np.float32


def test_a_masked_array_is_asked_for_the_numbers_that_it_hides() -> None:
    hidden = np.ma.masked_array([1.0, 2.0], [False, True])
    with pytest.raises(TypeError, match=r"\.filled\(value\)"):
        md.Tensor(hidden)
    with pytest.raises(TypeError, match=r"\.filled\(value\)"):
        md.losses.mean_squared_error(hidden[None], [[1.0, 2.0]])
    assert type(md.Tensor(hidden.filled(0.0)).numpy()) is np.ndarray
    assert type(md.Tensor(np.ma.masked_array([1.0], [False])).data) is np.ndarray


def test_no_number_loses_its_imaginary_part() -> None:
    t = md.Tensor([1.0, 2.0])

    def set_data() -> None:
        t.data = np.array([1j, 2])

    def set_part() -> None:
        t[:] = [1j, 2]

    for attempt in (set_data, set_part, lambda: md.Tensor(np.array([1j]), dtype="float32")):
        with pytest.raises(TypeError, match="float32 holds real numbers, got complex128"):
            attempt()
    assert t.tolist() == [1, 2]


def test_a_list_of_tensors_with_a_gradient_is_no_part_of_another() -> None:
    t, a = md.Tensor([0.0, 0.0]), md.Tensor(1.0, requires_grad=True)
    with pytest.raises(TypeError, match="would lose it on its way into one tensor"):
        t[:] = [a, 2.0]
    assert t.tolist() == [0, 0]
    with md.no_grad():
        t[:] = [a, 2.0]
    assert t.tolist() == [1, 2]


def test_an_integer_of_more_bits_than_any_type_has() -> None:
    with pytest.raises(TypeError, match="int gives an integer of more than 64 bits"):
        md.Tensor(2**70)


@pytest.mark.parametrize("key", [[], [[]], ([], 0), (slice(None), [[]])])
def test_a_list_of_no_indices(key: Any) -> None:
    x = np.arange(6.0).reshape(2, 3)
    expected = x[
        tuple(np.array(k, int) if isinstance(k, list) else k for k in (key if isinstance(key, tuple) else (key,)))
    ]
    assert md.Tensor(x)[key].shape == expected.shape
