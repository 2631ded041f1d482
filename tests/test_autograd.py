"""The backward pass: what it adds where, what it frees, what it refuses, and derivatives of derivatives."""

from __future__ import annotations

import copy
import gc
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cases import in_dtype, results, weights_of
from tolerances import assert_close

import minidl as md
from minidl.ops.probabilities import logits_of
from minidl.testing import Case, cases_of

DIFFERENTIABLE = [case for case in cases_of("op") if case.differentiable]


def leaf(*values: Any, dtype: Any = "float64") -> md.Tensor:
    return md.Tensor(values[0] if len(values) == 1 else values, requires_grad=True, dtype=dtype)


def value(t: md.Tensor | None) -> Any:
    assert t is not None
    return t.tolist()


# ---- where gradients go -------------------------------------------------------------------


def test_gradients_are_added_to_leaves_and_to_nothing_else() -> None:
    x, constant = leaf(1.0, 2.0), md.Tensor([3.0, 4.0], dtype="float64")
    h = x * constant
    y = (h * h).sum()
    y.backward()
    assert value(x.grad) == [18.0, 64.0]
    assert constant.grad is None
    for result in (h, y):
        with pytest.warns(UserWarning, match=r"\.grad of leaves only"):
            assert result.grad is None
    (x * 10.0).sum().backward()
    assert value(x.grad) == [28.0, 74.0]
    x.zero_grad()
    assert x.grad is None


def test_adding_leaves_the_gradient_seen_before_alone() -> None:
    x = leaf(1.0)
    (x * 2).backward()
    before = x.grad
    (x * 3).backward()
    assert value(before) == 2.0 and value(x.grad) == 5.0


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=str)
def test_writing_to_the_gradients_changes_no_other_and_no_later_one(case: Case) -> None:
    leaves, ys = results(case, [x.copy() for x in case.inputs])

    def gradients() -> list[Any]:
        for t in leaves:
            t.zero_grad()
        for y in ys:
            y.backward(np.ones(y.shape), retain_graph=True)
        return [t.grad._array for t in leaves if t.grad is not None]

    first = gradients()
    kept = [array.copy() for array in first]
    for i, array in enumerate(first):
        array[...] = 7
        assert all(map(np.array_equal, first[i + 1 :], kept[i + 1 :]))
    assert all(map(np.array_equal, gradients(), kept))


def test_gradients_of_two_leaves_do_not_share_memory() -> None:
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    given = np.array([1.0, 1.0])
    (a + b).backward(given)
    assert a.grad is not None and b.grad is not None
    a.grad.data[...] = 7.0
    assert value(b.grad) == [1.0, 1.0] and given.tolist() == [1.0, 1.0]


def test_a_leaf_used_in_many_places_gets_the_sum() -> None:
    x = leaf(3.0)
    (x * x + x / 2 + md.exp(x) - x).backward()
    assert value(x.grad) == pytest.approx(2 * 3 + 0.5 + np.exp(3.0) - 1, rel=1e-15)


def test_a_diamond_visits_each_op_once() -> None:
    visits: list[str] = []

    class Watched(md.Op):
        def forward(self, x: Any) -> Any:
            return x * 2

        def backward(self, dy: Any) -> Any:
            visits.append("op")
            return dy * 2

    x = leaf(1.0)
    h = Watched.apply(x)
    ((h * 3 + h * 4) * h).backward()
    assert visits == ["op"] and value(x.grad) == 2 * 7 * 2 * 2.0


def test_a_ladder_of_diamonds_takes_linear_time() -> None:
    x = y = leaf(1.0)
    for _ in range(200):  # 2^200 paths
        y = (y + y) * 0.5
    y.backward()
    assert value(x.grad) == 1.0


def test_wide_fan_out() -> None:
    x = leaf(np.ones(3))
    md.sum(md.stack([x * float(i) for i in range(3000)])).backward()
    assert value(x.grad) == [2999 * 3000 / 2] * 3


def test_backward_from_a_leaf_and_from_several_results_in_turn() -> None:
    x = leaf(2.0, 3.0)
    x.backward([5.0, 6.0])
    assert value(x.grad) == [5.0, 6.0]
    h = x * x
    h.sum().backward(retain_graph=True)
    h.backward([1.0, 0.0])
    assert value(x.grad) == [5.0 + 2 * 2 * 2, 6.0 + 2 * 3]


def test_the_missing_gradient_of_a_result_is_explained() -> None:
    w = md.Tensor([1.0], requires_grad=True)
    assert w.grad is None
    w.sum().backward()
    w -= 0.1 * w.grad
    with pytest.warns(UserWarning, match=r"the result of subtract and its .grad is None.* w.assign\(…\)") as caught:
        assert w.grad is None
    assert caught[0].filename == __file__
    w.retain_grad()
    assert w.grad is None  # so far
    w.sum().backward()
    assert value(w.grad) == [1.0]
    w.zero_grad()
    copy.deepcopy(w)


def test_retain_grad_keeps_the_gradient_of_a_result() -> None:
    x = leaf(2.0)
    h = x * 3
    h.retain_grad()
    (h * h).backward()
    assert value(h.grad) == 12.0 and value(x.grad) == 36.0
    with pytest.raises(RuntimeError, match="requires no gradient"):
        md.Tensor(1.0).retain_grad()


def test_gradients_with_respect_to_results_on_the_way() -> None:
    x = leaf(1.0, 2.0)
    h = x * 3
    y = (h * h).sum()
    dy, dh, dx = md.gradients(y, [y, h, x])
    assert (value(dy), value(dh), value(dx)) == (1.0, [6.0, 12.0], [18.0, 36.0])
    assert x.grad is None and h._grad is None
    other = leaf(5.0)
    assert value(md.gradients((x * x).sum(), other)) == 0.0
    with pytest.raises(RuntimeError, match=r"xs\[1\], of shape \(2,\), requires no gradient"):
        md.gradients((x * x).sum(), [x, md.Tensor([1.0, 2.0])])
    with pytest.raises(RuntimeError, match="gradients: y, .*requires no gradient"):
        md.gradients(md.Tensor(1.0), x)


def test_only_what_leads_to_the_targets_is_computed() -> None:
    class Forbidden(md.Op):
        def forward(self, x: Any) -> Any:
            return x + 1

        def backward(self, dy: Any) -> Any:
            raise AssertionError("not on the way to a target")

    x, z = leaf(1.0), leaf(2.0)
    h = x * z
    y = h * Forbidden.apply(z)
    assert value(md.gradients(y, x)) == 2.0 * 3.0


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_a_loss_computed_from_logits_gives_a_gradient_to_the_probabilities_too(kind: str, kernels: str) -> None:
    """It goes past p straight to x, which does not mind that p saturates, unless that of p is asked for."""
    t, x = np.array([[0.0, 1.0, 0.0]]), leaf([[0.5, -1.0, 2.0]])
    function, loss = {
        "sigmoid": (md.sigmoid, md.sigmoid_cross_entropy),
        "softmax": (md.softmax, md.softmax_cross_entropy),
    }[kind]

    def computed(x: md.Tensor) -> tuple[md.Tensor, md.Tensor]:
        p = function(x)
        return p, md.sum(loss(logits_of(p, kind), t))

    p, total = computed(x)
    to_x, to_p = p.numpy() - t, (p.numpy() - t) / (p.numpy() * (1 - p.numpy() if kind == "sigmoid" else 1))
    assert_close(md.gradients(total, x, retain_graph=True).numpy(), to_x)
    assert_close(md.gradients(total, p, retain_graph=True).numpy(), to_p)
    for dx, truth in zip(md.gradients(total, [x, p], retain_graph=True), [to_x, to_p], strict=True):
        assert_close(dx.numpy(), truth)
    p.retain_grad()
    total.backward()
    assert p.grad is not None and x.grad is not None
    assert_close(p.grad.numpy(), to_p)
    assert_close(x.grad.numpy(), to_x)
    saturated = leaf([[-1000.0, -1000.0, 1000.0]])
    p, total = computed(saturated)
    assert md.gradients(total, saturated).tolist() == (p.numpy() - t).tolist()


# ---- seeds --------------------------------------------------------------------------------


def test_the_gradient_of_a_result_of_several_numbers_must_be_given() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"shape \(2,\) needs .*pass gradient=, or make it one number first"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="pass gradient="):
        md.gradients(x * 2, x)
    with pytest.raises(ValueError, match=r"the gradient has shape \(3,\) and the tensor \(2,\)"):
        (x * 2).backward([1.0, 2.0, 3.0])
    assert x.grad is None
    (x[:1] * 2).backward()  # one number in an array is one number
    assert value(x.grad) == [2.0, 0.0]


def test_a_gradient_given_as_list_array_or_tensor_is_taken_in_the_type_of_the_result() -> None:
    for gradient in ([1, 2], np.array([1.0, 2.0], np.float32), md.Tensor([1.0, 2.0], dtype="float64")):
        x = leaf(3.0, 4.0, dtype="float32")
        (x * x).backward(gradient)
        assert x.grad is not None and x.grad.dtype == np.float32 and value(x.grad) == [6.0, 16.0]


def test_backward_of_what_requires_no_gradient() -> None:
    for t in (md.Tensor(1.0), leaf(1.0).detach(), md.argmax(leaf(1.0, 2.0))):
        with pytest.raises(RuntimeError, match="requires no gradient: nothing .* has requires_grad=True"):
            t.backward()


@pytest.mark.parametrize("data", [1, [1, 2], True, np.arange(3), 1j])
def test_only_floats_can_require_a_gradient(data: Any) -> None:
    with pytest.raises(TypeError, match="only floating-point tensors can require a gradient, this one holds"):
        md.Tensor(data, requires_grad=True)
    t = md.Tensor(data)
    with pytest.raises(TypeError, match='pass dtype="float32", or write 1.0 for 1'):
        t.requires_grad = True
    assert not t.requires_grad


def test_requires_grad_is_turned_off_on_leaves_only() -> None:
    x = leaf(1.0)
    y = x * 2
    with pytest.raises(RuntimeError, match=r"leaves only; use \.detach\(\)"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad


def test_a_gradient_must_fit_its_tensor() -> None:
    x = leaf(1.0, 2.0)
    x.grad = np.ones(2)
    for wrong, message in (
        (np.ones(3), r"the gradient has shape \(3,\) and the tensor \(2,\)"),
        (np.array([1j, 1j]), "assignment to .grad: a gradient holds real numbers, got complex128"),
        (["a", "b"], "a Tensor holds numbers"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            x.grad = wrong
        with pytest.raises((TypeError, ValueError), match=message.replace("assignment to .grad", "backward")):
            (x * 2).backward(wrong)
    (x * 2).sum().backward()
    assert value(x.grad) == [3.0, 3.0]
    x.grad = None
    assert x.grad is None
    with pytest.raises(TypeError, match="only floating-point tensors have a gradient, this one holds int64"):
        md.Tensor([1, 2]).grad = [1.0, 2.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_takes_the_type_of_its_tensor(dtype: str) -> None:
    x = md.Tensor([1.0, 2.0], requires_grad=True, dtype=dtype)
    for given in (
        [0.1, 2],
        np.array([0.1, 2.0]),
        np.array([0.1, 2.0], "float16"),
        np.array([1, 2]),
        md.Tensor([0.1, 2.0], dtype="float64"),
    ):
        x.grad = given
        assert x.grad.dtype == dtype
        assert x.grad.tolist() == np.asarray(given).astype(dtype).tolist()


# ---- the graph, once and again ------------------------------------------------------------


def test_a_second_backward_says_what_happened() -> None:
    x = leaf(2.0)
    h = md.exp(x)
    y = h * h
    y.backward()
    first = value(x.grad)
    for result in (y, h, h * 3):
        with pytest.raises(RuntimeError, match=r"a graph that an earlier backward\(\) has freed .*retain_graph=True"):
            result.backward()
    with pytest.raises(RuntimeError, match="has freed"):
        md.gradients(y, x)
    assert value(x.grad) == first


def test_what_a_backward_did_not_go_through_is_not_freed() -> None:
    x, z = leaf(3.0), leaf(2.0)
    h = md.exp(z)
    y = x * h
    assert md.gradients(y, x).item() == h.item()
    assert md.gradients(h, z).item() == h.item()
    k = md.exp(x)
    assert md.gradients(k * k, k).item() == 2 * k.item()
    assert md.gradients(k, x).item() == k.item()


def test_retain_graph_allows_a_second_backward() -> None:
    x = leaf(2.0)
    y = x * x * x
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    assert value(x.grad) == 3 * 12.0
    with pytest.raises(RuntimeError, match="has freed"):
        y.backward()


def test_create_graph_gives_each_leaf_a_gradient_of_its_own() -> None:
    x, w = leaf(2.0), leaf(3.0)
    (x + w).backward(create_graph=True)
    assert x.grad is not None and w.grad is not None
    x.grad.data[...] = 7.0
    assert value(w.grad) == 1.0


def test_create_graph_gives_second_and_third_derivatives() -> None:
    x = leaf(2.0)
    (x**4).backward(create_graph=True)
    first = x.grad
    assert first is not None and value(first) == 32.0
    x.zero_grad()
    first.backward(create_graph=True)
    second = x.grad
    assert second is not None and value(second) == 48.0
    x.zero_grad()
    second.backward()
    assert value(x.grad) == 48.0
    assert not x.grad.requires_grad  # type: ignore[union-attr]


def test_create_graph_under_no_grad_still_creates_it(kernels: str) -> None:
    x = leaf([[[0.5, -1.0]]])
    w = [leaf(np.full(shape, 0.3)) for shape in ((2, 4), (1, 4), (4,))]
    h = md.Tensor([[0.1]], dtype="float64")
    for f in (lambda: (x * md.sum(x * x)).sum(), lambda: md.lstm(x, h, h, *w)[0].sum()):
        expected = md.gradients(md.gradients(f(), x, create_graph=True).sum(), x)
        y = f()
        with md.no_grad():
            dx = md.gradients(y, x, create_graph=True)
        assert_close(md.gradients(dx.sum(), x).numpy(), expected.numpy())


def test_a_gradient_penalty() -> None:
    """Loss with the size of its own gradient in it: L = (w x)² + (dL₁/dx)²."""
    w, x = leaf(3.0), leaf(2.0)
    y = (w * x) ** 2
    dx = md.gradients(y, x, create_graph=True)  # 2 w² x
    (y + dx * dx).backward()
    assert value(w.grad) == 2 * 3 * 4 + 2 * (2 * 9 * 2) * (4 * 3 * 2)


def test_anything_goes_on_from_any_subset_of_the_outputs(kernels: str) -> None:
    """The outputs of an LSTM, of a split and of a custom op, each used or not: the gradient is the sum of the parts."""
    shapes = [(2, 3, 2), (2, 2), (2, 2), (2, 8), (2, 8), (8,)]
    rng = md.random.Generator(1)
    arrays = [rng.uniform(shape, -1, 1, "float64") for shape in shapes]
    for f in (lambda *v: md.lstm(*v), lambda *v: md.split(v[0], 3, axis=1), lambda *v: list(Both.apply(v[0], v[1]))):
        parts = []
        for chosen in range(1, 8):
            variables = [leaf(a) for a in arrays]
            outputs = f(*variables)
            used = [md.sum(md.sin(y)) for i, y in enumerate(outputs) if chosen >> i & 1]
            if used:
                md.sum(md.stack(used)).backward()
            parts.append([np.zeros(v.shape) if v.grad is None else v.grad.numpy() for v in variables])
        for chosen in range(1, 8):
            alone = [parts[(1 << i) - 1] for i in range(3) if chosen >> i & 1]
            for dx, *summands in zip(parts[chosen - 1], *alone, strict=True):
                assert_close(dx, np.sum(summands, axis=0))


class Both(md.Op):
    def forward(self, a: Any, b: Any) -> Any:
        return a * 2, a[:, 0] * b

    def backward(self, da: Any, db: Any) -> Any:
        a, b = self.inputs
        dx = np.zeros_like(a) if da is None else da * 2
        if db is not None:
            dx[:, 0] += db * b
        return dx, None if db is None else db * a[:, 0]


# ---- functions of functions ---------------------------------------------------------------


def test_grad_and_value_and_grad() -> None:
    def f(a: Any, b: Any, power: int = 2) -> Any:
        return md.sum(a**power * b)

    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    assert md.grad(f)(a, b).tolist() == [6.0, 16.0]
    assert md.grad(f, 1)(a, b).tolist() == [1.0, 4.0]
    assert [g.tolist() for g in md.grad(f, (0, 1))(a, b, power=3)] == [[9.0, 48.0], [1.0, 8.0]]
    y, g = md.value_and_grad(f)(a, b)
    assert y.item() == 19.0 and g.tolist() == [6.0, 16.0] and g.dtype == np.float64
    assert md.grad(lambda x: x * x)(3).dtype == np.float32
    assert md.grad(lambda x: md.Tensor(5.0))(3.0).item() == 0.0
    assert f.__name__ == md.grad(f).__name__


def test_grad_leaves_the_arguments_alone() -> None:
    x = leaf(2.0)
    assert md.grad(lambda v: v * v)(x).item() == 4.0
    assert x.grad is None
    with md.no_grad():
        assert md.grad(lambda v: v * v)(x).item() == 4.0


def test_grad_of_an_argument_that_is_not_there() -> None:
    with pytest.raises(TypeError, match="argnums names argument 2, and there are 1 positional arguments"):
        md.grad(lambda x: x * x, argnums=2)(1.0)


def test_grad_of_what_is_no_number_or_no_function() -> None:
    with pytest.raises(ValueError, match=r"a tensor of one number, got shape \(2,\)"):
        md.grad(lambda x: x * x)([1.0, 2.0])
    with pytest.raises(ValueError, match="a tensor of one number, got float"):
        md.grad(lambda x: 1.0)(2.0)
    with pytest.raises(TypeError, match=r"takes a function, got Tensor; .*use gradients"):
        md.grad(leaf(1.0))


def test_nested_grads() -> None:
    f = lambda x: x**4 + md.sin(x)  # noqa: E731
    derivatives = [f]
    for _ in range(4):
        derivatives.append(md.grad(derivatives[-1]))
    x = np.float64(0.7)
    expected = [x**4 + np.sin(x), 4 * x**3 + np.cos(x), 12 * x**2 - np.sin(x), 24 * x - np.cos(x), 24 + np.sin(x)]
    for derivative, truth in zip(derivatives, expected, strict=True):
        assert float(derivative(md.Tensor(x))) == pytest.approx(truth, rel=1e-13)


def test_grad_of_a_function_that_closes_over_a_weight() -> None:
    w = leaf(3.0)
    x = leaf(2.0)
    derivative = md.grad(lambda v: v * v * w)
    slope = derivative(x)  # 2 x w
    assert slope.requires_grad
    slope.backward()
    assert value(w.grad) == 4.0 and value(x.grad) == 6.0
    with md.no_grad():
        alone = derivative(x)
    assert value(alone) == 12.0 and not alone.requires_grad
    assert not md.gradients(x * x * w, x).requires_grad


def test_grads_in_grads_over_each_others_variables() -> None:
    """d/dx [x · d/dy (x² y³)] at (2, 3), with the inner function closing over the outer variable."""
    mixed = md.grad(lambda x: x * md.grad(lambda y: x * x * y * y * y)(md.Tensor(3.0, dtype="float64")))
    assert float(mixed(md.Tensor(2.0, dtype="float64"))) == 3 * 4 * 3 * 9.0
    same = md.grad(lambda x: md.grad(lambda y: y * y * x)(x))  # d/dx (2 y x at y = x) = 4 x
    assert float(same(5.0)) == 20.0
    constant = md.grad(lambda x: x * md.grad(lambda y: y * y)(4.0))
    assert float(constant(5.0)) == 8.0


def test_the_value_beside_a_gradient_is_connected_when_it_has_to_be() -> None:
    w = leaf(3.0)
    y, slope = md.value_and_grad(lambda v: v * v * w)(2.0)
    (y + slope).backward()
    assert value(w.grad) == 4.0 + 4.0
    y, slope = md.value_and_grad(lambda v: v * v)(2.0)
    assert not y.requires_grad and not slope.requires_grad


def test_the_rows_of_a_jacobian() -> None:
    x = leaf(0.5, -1.0, 2.0)
    matrix = np.arange(6.0).reshape(2, 3) / 8
    y = md.tanh(matrix @ x)
    rows = [md.gradients(y, x, gradient=e, retain_graph=True).numpy() for e in np.eye(2)]
    expected = (1 - np.tanh(matrix @ x.numpy()) ** 2)[:, None] * matrix
    assert_close(rows, expected)


def test_the_hessian_is_symmetric_and_right() -> None:
    x = leaf(0.5, -1.0, 2.0)
    a = np.array([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0], [4.0, 0.0, 5.0]])
    dx = md.gradients(x @ (a @ x) + md.prod(x), x, create_graph=True)
    hessian = np.array([md.gradients(dx, x, gradient=e, retain_graph=True).numpy() for e in np.eye(3)])
    p, q, r = x.tolist()
    np.testing.assert_allclose(hessian, a + a.T + np.array([[0, r, q], [r, 0, p], [q, p, 0]]), rtol=1e-14)


# ---- no graph -----------------------------------------------------------------------------


def test_no_grad_as_block_as_decorator_and_undone() -> None:
    x = leaf(1.0)

    @md.no_grad()
    def f() -> md.Tensor:
        assert not md.is_recording()
        return x * 2

    with md.no_grad():
        assert not (x * 2).requires_grad
        with md.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad and not f().requires_grad and md.is_recording()


def test_no_grad_refuses_to_decorate_what_runs_later() -> None:
    with pytest.raises(TypeError, match=r"numbers needs `with no_grad\(\):` inside"):

        @md.no_grad()
        def numbers() -> Iterator[int]:
            yield 1


def test_no_grad_ends_when_the_block_raises() -> None:
    with pytest.raises(ZeroDivisionError), md.no_grad():
        raise ZeroDivisionError
    assert md.is_recording()


def test_no_grad_of_one_thread_leaves_the_others_alone() -> None:
    inside, done = threading.Event(), threading.Event()
    seen: dict[str, bool] = {}

    def quiet() -> None:
        with md.no_grad():
            inside.set()
            done.wait(10)
            seen["quiet"] = (leaf(1.0) * 2).requires_grad

    thread = threading.Thread(target=quiet)
    thread.start()
    assert inside.wait(10)
    seen["main"] = (leaf(1.0) * 2).requires_grad
    done.set()
    thread.join()
    assert seen == {"main": True, "quiet": False}


def test_backward_in_many_threads_at_once() -> None:
    def work(i: int) -> None:
        x = leaf(np.full(50, float(i)))
        for _ in range(30):
            md.sum(md.tanh(x * 0.01) * x).backward()
        found[i] = value(x.grad)[0]

    found: dict[int, float] = {}
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        t = np.tanh(0.01 * i)
        assert found[i] == pytest.approx(30 * (t + 0.01 * i * (1 - t * t)), rel=1e-12)


def test_two_threads_go_through_one_graph_to_different_targets() -> None:
    a, b = leaf(1.0), leaf(2.0)
    y, wrong = a * b, []

    def work(x: md.Tensor, slope: float) -> None:
        for _ in range(1500):
            found = md.gradients(y, x, retain_graph=True).item()
            if found != slope:
                wrong.append(found)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=args) for args in ((a, 2.0), (b, 1.0))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


def test_detach_cuts_and_shares() -> None:
    x = leaf(2.0)
    cut = (x * 3).detach()
    assert cut.is_leaf and not cut.requires_grad
    (cut * x).backward()
    assert value(x.grad) == 6.0
    assert np.shares_memory(x.detach().numpy(), x.numpy())


# ---- depth and memory ---------------------------------------------------------------------


def test_a_chain_of_100_000_ops() -> None:
    """Backward through it, and the release of its graph, on a stack that recursion would overflow at once."""

    def work() -> None:
        x = y = leaf(1.0)
        for _ in range(100_000):
            y = y + 0.5
        y.backward(retain_graph=True)
        found.append(value(x.grad))
        del x, y
        x = y = leaf(1.0)
        for _ in range(5000):
            y = y * 1.0
        md.gradients(y * y, x, create_graph=True).backward()
        found.append(value(x.grad))

    found: list[float] = []
    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert found == [1.0, 2.0]


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What lives on now lives on because something holds it, not because nobody has looked for cycles."""
    gc.disable()
    yield
    gc.enable()


def _watch(tensors: list[md.Tensor]) -> list[weakref.ref[Any]]:
    return [weakref.ref(t) for t in tensors] + [weakref.ref(t._array) for t in tensors if t._array.base is None]


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=str)
def test_graphs_hold_no_cycles(case: Case, kernels: str, no_collector: None) -> None:
    """All of a graph goes when its result goes: without a backward pass, after one, and after one that was recorded."""
    for way in ("dropped", "backward", "create_graph"):
        variables, outputs = results(case, in_dtype(case.inputs, np.float64))
        watched = _watch(variables) + _watch(outputs)
        total = md.sum(md.stack([md.sum(y * w) for y, w in zip(outputs, weights_of(outputs), strict=True)]))
        if way == "backward":
            total.backward()
        if way == "create_graph":
            watched += _watch(md.gradients(total, variables, create_graph=True))
        del variables, outputs, total
        assert [r() for r in watched if r() is not None] == [], way


def test_backward_lets_go_of_what_forward_kept(no_collector: None) -> None:
    class Keeper(md.Op):
        def forward(self, x: Any) -> Any:
            self.kept = np.zeros(1000)
            kept.append(weakref.ref(self.kept))
            return x * 2

        def backward(self, dy: Any) -> Any:
            return dy * 2

    kept: list[weakref.ref[Any]] = []
    x = leaf(1.0)
    h = x * 3
    middle = weakref.ref(h._array)
    y = Keeper.apply(h)
    del h
    y.backward(retain_graph=True)
    assert kept[0]() is not None and middle() is not None
    y.backward()
    assert kept[0]() is None and middle() is None and y.requires_grad


def test_a_result_that_nothing_needs_is_let_go_at_once(no_collector: None) -> None:
    x = leaf(np.ones(10))
    h = x + 1
    array = weakref.ref(h._array)
    y = h + 1  # adding needs no values to go back
    kept = y._op.parents[0] is h  # type: ignore[union-attr]
    del h
    assert kept and array() is not None  # held by the graph until backward …
    y.sum().backward()
    assert array() is None  # … and not after it


# ---- ops of one's own ---------------------------------------------------------------------


class Cube(md.Op):
    def forward(self, x: Any) -> Any:
        return x * x * x

    def backward(self, dy: Any) -> Any:
        (x,) = self.inputs
        return dy * 3 * x * x


def test_a_custom_op_on_tensors_on_arrays_and_twice() -> None:
    x = leaf(2.0)
    assert md.grad(md.grad(Cube.apply))(x).item() == 12.0
    assert isinstance(Cube.apply(np.array([2.0])), np.ndarray)
    assert Cube.name() == "cube" and "op=cube" in repr(Cube.apply(x))
    assert (Cube.apply(x).reshape(1, 1) @ [[1.0]])._op.name() == "matmul"  # type: ignore[union-attr]
    assert md.logsumexp(x.reshape(1), keepdims=True)._op.name() == "logsumexp"  # type: ignore[union-attr]
    assert md.gradcheck(Cube.apply, x) and md.gradgradcheck(Cube.apply, x)


def test_a_custom_op_with_options_attributes_and_a_constant() -> None:
    class Scale(md.Op):
        reads_inputs = False

        def forward(self, x: Any, table: Any, *, factor: float) -> Any:
            self.factor = factor
            return x * factor + table

        def backward(self, dy: Any) -> Any:
            assert self.needs == (True, False)
            return dy * self.factor, None

    x = leaf(1.0, 2.0)
    Scale.apply(x, np.array([5.0, 6.0]), factor=3.0).backward([1.0, 10.0])
    assert value(x.grad) == [3.0, 30.0]


@pytest.mark.parametrize(
    ("backward", "message"),
    [
        (lambda self, dy: (dy, dy), "the backward of broken returned 2 gradients for 1 inputs"),
        (
            lambda self, dy: dy[:1],
            r"the backward of broken returned a gradient of shape \(1,\) for input 0 of shape \(2,\)",
        ),
        (lambda self, dy: [dy, None], "the backward of broken returned 2 gradients for 1 inputs"),
        (lambda self, dy: 2.0, r"the backward of broken returned a gradient of shape \(\) for input 0 of shape \(2,\)"),
        (md.Op.backward, "Broken has no backward: it cannot be differentiated"),
    ],
)
def test_a_custom_op_that_is_wrong_is_named(backward: Any, message: str) -> None:
    Broken = type("Broken", (md.Op,), {"forward": lambda self, x: x * 2, "backward": backward})
    with pytest.raises((RuntimeError, NotImplementedError), match=message):
        Broken.apply(leaf(1.0, 2.0)).sum().backward()


@pytest.mark.parametrize("result", [None, [1.0, 2.0], "x"])
def test_a_forward_that_returns_no_array_is_named(result: Any) -> None:
    Broken = type("Broken", (md.Op,), {"forward": lambda self, x: result})
    with pytest.raises(TypeError, match=f"the forward of broken returned {type(result).__name__}; return an array"):
        Broken.apply(leaf(1.0))


def test_a_forward_that_computes_with_a_tensor_from_elsewhere_is_named() -> None:
    w = leaf(3.0)
    Closed = type("Closed", (md.Op,), {"forward": lambda self, x: x * w, "backward": lambda self, dy: dy * 3.0})
    with pytest.raises(TypeError, match="forward of closed computes with a tensor .* pass it as an input"):
        Closed.apply(leaf(1.0))


def test_a_forward_may_return_a_number_or_a_tensor_and_a_rule_a_list_of_numbers() -> None:
    class Length(md.Op):
        def forward(self, x: Any, y: Any) -> Any:
            return float(x + y), md.as_tensor(x * y)

        def backward(self, d_sum: Any, d_product: Any) -> Any:
            return [float(d_sum), float(d_sum)]

    x, y = leaf(2.0), leaf(3.0)
    total, product = Length.apply(x, y)
    assert total.dtype == np.float64 and value(product) == 6.0
    total.backward()
    assert value(x.grad) == value(y.grad) == 1.0


def test_an_error_in_a_rule_names_the_op_and_changes_no_gradient() -> None:
    def fail(self: md.Op, dy: Any) -> Any:
        raise ZeroDivisionError("oh")

    x = leaf(1.0, 2.0)
    Failing = type("Failing", (md.Op,), {"forward": lambda self, x: x * 2, "backward": fail})
    with pytest.raises(ZeroDivisionError, match="oh") as caught:
        (Failing.apply(x).sum() + (x * x).sum()).backward()
    assert caught.value.__notes__ == ["in the backward of failing"] and x.grad is None
    (x * x).sum().backward()
    assert value(x.grad) == [2.0, 4.0]


def test_complex_results_do_not_lose_a_gradient_in_silence() -> None:
    x = leaf(1.0, 2.0)
    for wrong in (lambda: x * 1j, lambda: x.astype("complex128"), lambda: x + np.array([1j, 2j])):
        with pytest.raises(TypeError, match=r"makes complex numbers of real ones that require a gradient.*detach"):
            wrong()
    assert (x.detach() * 1j).dtype == np.complex128


def test_a_rule_may_return_tensors_and_what_is_not_needed_is_dropped() -> None:
    class Product(md.Op):
        def forward(self, a: Any, b: Any) -> Any:
            return a * b

        def backward(self, dy: Any) -> Any:
            return md.as_tensor(dy * self.inputs[1]), md.as_tensor(dy * self.inputs[0])

    x, constant = leaf(2.0), md.Tensor(3.0, dtype="float64")
    Product.apply(x, constant).backward()
    assert value(x.grad) == 3.0 and constant.grad is None


def test_an_op_without_forward_and_one_that_gets_the_wrong_shapes() -> None:
    with pytest.raises(NotImplementedError, match="Lazy has no forward"):
        type("Lazy", (md.Op,), {}).apply(leaf(1.0))
    with pytest.raises(ValueError, match="broadcast") as caught:
        leaf(1.0, 2.0) + leaf(1.0, 2.0, 3.0)
    assert caught.value.__notes__ == ["in add of float64[2], float64[3]"]
    with pytest.raises(OverflowError) as beyond:
        md.Tensor([1]) + 2**70
    assert beyond.value.__notes__ == [f"in add of int64[1], {2**70}"]


def test_a_gradient_in_another_type_comes_back_in_that_of_the_input() -> None:
    a, b = leaf(1.5, dtype="float32"), leaf(2.0, dtype="float64")
    (a * b).backward()
    assert a.grad is not None and b.grad is not None
    assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.float64)
    x = leaf(1.0, 2.0, dtype="float32")
    y = x.astype("float64") * 3
    assert y.dtype == np.float64
    y.sum().backward()
    assert x.grad is not None and x.grad.dtype == np.float32 and value(x.grad) == [3.0, 3.0]
    assert not x.astype("int64").requires_grad


# ---- looking for NaN ----------------------------------------------------------------------


def test_detect_anomaly_names_the_op_and_the_line_forward() -> None:
    x = leaf(1.0, 0.0, -1.0)
    with md.detect_anomaly():
        y = x * 2
        with pytest.raises(FloatingPointError) as caught:
            md.log(y)  # the culprit
    message = str(caught.value)
    assert message.startswith("log gave -inf at position (1,) in its forward pass, from inputs that were finite")
    assert __file__ in message and "md.log(y)  # the culprit" in message


def test_detect_anomaly_says_when_the_input_was_bad_already() -> None:
    with (
        md.detect_anomaly(),
        pytest.raises(FloatingPointError, match=r"multiply gave nan .* its input 0 was already not finite"),
    ):
        md.Tensor([np.nan]) * 2.0


def test_detect_anomaly_names_the_op_and_the_line_backward() -> None:
    x = leaf(4.0, 0.0)
    with md.detect_anomaly():
        y = md.sqrt(x).sum()  # the line to find
        with pytest.raises(FloatingPointError) as caught, np.errstate(divide="ignore"):
            y.backward()
    message = str(caught.value)
    assert message.startswith("the backward of sqrt gave inf at position (1,) in the gradient of its input 0")
    assert "# the line to find" in message
    assert x.grad is None


def test_detect_anomaly_of_an_op_that_was_called_before_and_after_it() -> None:
    x = leaf(0.0)
    y = md.sqrt(x)
    message = r"(?s)backward of sqrt gave inf .*made outside detect_anomaly\(\)"
    with md.detect_anomaly(), np.errstate(divide="ignore"), pytest.raises(FloatingPointError, match=message):
        y.backward()
    assert md.log(md.Tensor(0.0)).item() == -np.inf


def test_an_op_may_have_no_inputs() -> None:
    class Two(md.Op):
        def forward(self) -> Any:
            return np.full(3, 2.0, np.float32)

    np.testing.assert_array_equal(Two.apply(), [2, 2, 2])
