"""The checker is checked: right gradients pass, wrong ones of every kind are refused and named."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl.testing import Case, GradientError, cases, check_all, gradcheck, gradgradcheck, numeric

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.3, -0.7]])


def op(forward: Any, backward: Any, **attributes: Any) -> Any:
    """An op from two functions; backward gets the op and the gradient."""
    made = {"forward": lambda self, *x: forward(*x), "backward": lambda self, *dy: backward(self, *dy)}
    return type("Custom", (md.Op,), made | attributes).apply


def scaled(factor: Any) -> Any:
    """x² with its gradient times a factor."""
    return op(lambda x: x * x, lambda self, dy: dy * 2 * self.inputs[0] * factor)


# ---- wrong gradients ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "named"),
    [
        (1.001, "wrong at 6 of 6 entries; .* all of them are 1.001 times what they should be"),
        (-1.0, "all of them are -1 times"),
        (0.0, "all of them are 0 times"),
        (1 + 1e-5, "wrong at 6 of 6"),
        (
            np.array([[1.0, 1.0, 1.0], [1.0, 1.01, 1.0]]),
            r"shape \(2, 3\), is wrong at 1 of 6 entries; the worst is \(1, 1\)",
        ),
    ],
)
def test_a_wrong_factor(factor: Any, named: str) -> None:
    assert gradcheck(scaled(1.0), X)
    with pytest.raises(GradientError, match=f"the gradient of input 0, .*{named}"):
        gradcheck(scaled(factor), X)


def test_the_numbers_in_the_message() -> None:
    weigh_nothing = op(lambda x: x * 3.0, lambda self, dy: dy * 3.0 + 0.25)
    with pytest.raises(GradientError) as caught:
        gradcheck(weigh_nothing, md.Tensor([1.0]))
    words = str(caught.value).replace(",", "").split()
    analytic, slope, off = float(words[words.index("gives") + 1]), float(words[words.index("differences") + 1]), 0.25
    assert analytic - slope == pytest.approx(off, abs=1e-8)
    assert words[words.index("off") + 2] == "0.25"


def test_the_numbers_of_one_output_are_its_derivatives() -> None:
    """No hidden weight multiplies them; where weights do, the message says so."""
    wrong = op(lambda x: x * x, lambda self, dy: dy * 3 * self.inputs[0])
    with pytest.raises(GradientError, match=r"\(0,\): the backward pass gives 3 and finite differences 2(\.0+\d*)?, "):
        gradcheck(wrong, md.Tensor([1.0]))
    with pytest.raises(GradientError, match="of the outputs' sum with random weights the backward pass gives"):
        gradcheck(wrong, md.Tensor([1.0, 2.0]))


def _missing_sum(self: Any, dy: Any) -> Any:
    return dy, dy


def _rows_forgotten(self: Any, dy: Any) -> Any:
    return dy, dy[0]


wrong = {
    "transposed": (op(lambda x: x @ x, lambda self, dy: (dy @ self.inputs[0].T + self.inputs[0].T @ dy).T), [X[:, :2]]),
    "ignores what comes from above": (op(lambda x: x * x, lambda self, dy: 2 * self.inputs[0]), [X]),
    "sums over too little of what was broadcast": (op(lambda a, b: a + b, _rows_forgotten), [X, X[0]]),
    "inputs exchanged": (op(lambda a, b: a * b, lambda self, dy: tuple(dy * x for x in self.inputs)), [X, X + 1]),
    "outputs exchanged": (op(lambda x: (x * x, x * 3.0), lambda self, a, b: 2 * self.inputs[0] * b + 3 * a), [X]),
    "last output forgotten": (op(lambda x: (x * x, x * 3.0), lambda self, a, b: 2 * self.inputs[0] * a), [X]),
    "shifted by one": (op(lambda x: x * x, lambda self, dy: np.roll(dy * 2 * self.inputs[0], 1)), [X]),
    "small everywhere": (op(lambda x: x * x, lambda self, dy: dy * 2 * self.inputs[0] + 1e-4), [X]),
    "in one place of many": (op(lambda x: x * 2, lambda self, dy: dy * 2 * (np.arange(300) != 123)), [np.ones(300)]),
}  # fmt: skip


@pytest.mark.parametrize(("f", "inputs"), wrong.values(), ids=wrong)
def test_wrong_gradients(f: Any, inputs: Any) -> None:
    with pytest.raises(GradientError, match="is wrong at"):
        gradcheck(f, inputs)


def test_every_wrong_input_is_named_and_only_those() -> None:
    f = op(lambda a, b, c: a * b * c, lambda self, dy: (dy, dy * self.inputs[0] * self.inputs[2], dy))
    with pytest.raises(GradientError) as caught:
        gradcheck(f, [X, X + 1, X + 2])
    lines = str(caught.value).splitlines()
    assert [line[:27] for line in lines] == ["the gradient of input 0, sh", "the gradient of input 2, sh"]


def test_a_missing_sum_over_what_was_broadcast() -> None:
    with pytest.raises(
        GradientError, match=r"the backward pass failed.*gradient of shape \(2, 3\) for input 1 of shape \(3,\)"
    ):
        gradcheck(op(lambda a, b: a + b, _missing_sum), [X, X[0]])
    assert gradcheck(op(lambda a, b: a + b, _missing_sum, broadcasts=True), [X, X[0]])


def test_too_few_gradients() -> None:
    with pytest.raises(GradientError, match="returned 1 gradients for 2 inputs"):
        gradcheck(op(lambda a, b: a + b, lambda self, dy: dy), [X, X])


@pytest.mark.parametrize(
    "f",
    [
        op(lambda a, b: a * b, lambda self, dy: (dy * self.inputs[1], None)),
        lambda a, b: a * b.detach(),
        lambda a, b: a * md.Tensor(b.numpy()),
        lambda a, b: md.where(md.Tensor([True, False, True]), a, b.detach()),
    ],
    ids=["not returned", "detached", "through NumPy", "in part of the entries"],
)
def test_a_forgotten_input(f: Any) -> None:
    with pytest.raises(GradientError, match="the gradient of input 1, .*no gradient arrived at all"):
        gradcheck(f, [X, X + 1])


def test_an_input_without_influence_has_no_gradient_and_that_is_right() -> None:
    assert gradcheck(lambda a, b: a * 2.0, [X, X])


# ---- what does not repeat itself, and what changes under one's hands ----------------------


def test_outputs_that_differ_from_call_to_call() -> None:
    with pytest.raises(GradientError, match="f is not deterministic: output 0"):
        gradcheck(lambda x: md.dropout(x, 0.5, rng=noise), X)
    assert gradcheck(lambda x: md.dropout(x, 0.5, rng=md.random.Generator(0)), X)


noise = md.random.Generator(0)


def test_gradients_that_differ_from_call_to_call() -> None:
    count = itertools.count()
    f = op(lambda x: x * 3.0, lambda self, dy: dy * (3.0 if next(count) == 0 else 3.0 + 1e-9))
    with pytest.raises(GradientError, match="the backward pass is not deterministic: the gradient of input 0"):
        gradcheck(f, X)


def _spoil(x: Any) -> Any:
    y = x * x
    x += 1
    return y


def _spoil_in_backward(self: Any, dy: Any) -> Any:
    dx = dy * 2 * self.inputs[0]
    self.inputs[0][...] = 0
    return dx


def _spoil_the_gradient(self: Any, dy: Any) -> Any:
    dy *= 2 * self.inputs[0]
    return dy


def test_changes_in_place() -> None:
    with pytest.raises(GradientError, match="f changes input 1 in place"):
        gradcheck(op(lambda a, b: a * _spoil(b), lambda self, dy: (dy, dy)), [X, X])
    with pytest.raises(GradientError, match="a backward rule changes input 0 in place"):
        gradcheck(op(lambda x: x * x, _spoil_in_backward), X)
    with pytest.raises(GradientError, match="changes the gradient that it is given in place"):
        gradcheck(op(lambda x: x * x, _spoil_the_gradient), X)


def test_a_change_of_an_input_that_is_not_checked() -> None:
    ids = np.array([0, 1])

    def f(x: Any, ids: Any) -> Any:
        ids += 1
        return x * 2.0

    with pytest.raises(GradientError, match="f changes input 1 in place"):
        gradcheck(f, [X, ids])
    assert ids.tolist() == [0, 1]


# ---- NaN, kinks, the ends of domains ------------------------------------------------------


def test_nan() -> None:
    with pytest.raises(GradientError, match="an output of shape .* is not finite"):
        gradcheck(lambda x: md.log(x), [[1.0, -1.0]])
    with pytest.raises(GradientError, match="wrong at 1 of 2 entries; .*gives nan"), np.errstate(all="ignore"):
        gradcheck(lambda x: md.where(x > 0, md.sqrt(x), 0.0) + md.relu(x), md.Tensor([1.0, 0.0]))
    with pytest.raises(GradientError, match="the backward pass gives nan and finite differences"):
        gradcheck(op(lambda x: x * 2, lambda self, dy: dy * np.nan), X)


def test_a_kink_is_said_to_be_one() -> None:
    with pytest.raises(
        GradientError, match=r"wrong at 1 of 3 entries; the worst is \(1,\).*the slopes to the left and right.*kink"
    ):
        gradcheck(md.relu, md.Tensor([1.0, 0.0, -1.0]))


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6, 1e-8])
def test_a_kink_close_by_does_no_harm(distance: float) -> None:
    assert gradcheck(lambda x: md.relu(x) + md.absolute(x) * 3.0, md.Tensor([distance, -distance], dtype="float64"))


STEEP = {
    "log near its end": (np.log, lambda x: 1 / x, 1e-3),
    "a pole nearby": (lambda x: 1 / x, lambda x: -1 / x**2, 1e-4),
    "fast waves": (lambda x: np.sin(3e3 * x), lambda x: 3e3 * np.cos(3e3 * x), 1.2),
    "a large input": (np.sin, np.cos, 1e5),
    "a small input": (np.sin, np.cos, 1e-200),
    "growth": (lambda x: np.exp(30 * x), lambda x: 30 * np.exp(30 * x), 1.0),
    "a small slope on a large value": (lambda x: 1e6 + x, lambda x: 1.0, 0.5),
    "a fifth power": (lambda x: x**5, lambda x: 5 * x**4, -2.0),
    "flat": (lambda x: 0 * x, lambda x: 0.0, 1.0),
    "everything small": (lambda x: 1e-12 * np.sin(x / 1e-12), lambda x: np.cos(x / 1e-12), 3e-13),
}


@pytest.mark.parametrize(("f", "slope", "at"), STEEP.values(), ids=STEEP)
def test_the_step_suits_the_function(f: Any, slope: Any, at: float) -> None:
    x = md.Tensor(at, dtype="float64")
    found = numeric.gradient(lambda: [np.asarray(f(x._array))], [np.ones(())], x, lambda s: 1e-7 * abs(s) + 1e-9, False)
    assert found == pytest.approx(slope(at), rel=3e-8)
    assert x.item() == at


def test_complex_numbers_give_the_last_digits() -> None:
    x = md.Tensor([0.3, 1.7], dtype="float64")
    inputs = [lambda: [(x * x * x / (x + 1))._array.copy()], [np.ones(2)], x, lambda s: 1e-7]
    exact = (2 * x._array**3 + 3 * x._array**2) / (x._array + 1) ** 2
    np.testing.assert_allclose(numeric.gradient(*inputs, True), exact, rtol=4e-16)
    assert np.abs(numeric.gradient(*inputs, False) - exact).max() > 1e-15


@pytest.mark.parametrize("f", [np.abs, lambda x: x * np.conj(x), np.real, lambda x: np.maximum(x.real, 0) * x])
def test_complex_numbers_are_not_believed_where_they_mean_something_else(f: Any) -> None:
    x = md.Tensor([0.3, -1.7], dtype="float64")
    args = [lambda: [np.array(f(x._array))], [np.ones(2)], x, lambda s: 1e-7]
    np.testing.assert_allclose(numeric.gradient(*args, True), numeric.gradient(*args, False), rtol=1e-8, atol=1e-10)


# ---- what may be checked ------------------------------------------------------------------


def test_several_inputs_and_outputs_of_any_kind() -> None:
    def f(x: Any, number: Any, ids: Any, text: str, rows: Any) -> Any:
        assert x.dtype == number.dtype == rows.dtype == np.float64
        assert isinstance(ids, np.ndarray) and text == "sum" and ids.dtype == np.int64
        y = x[ids] * number
        return getattr(y, text)(0), md.argmax(x), y + rows

    assert gradcheck(f, (X.astype(np.float32), 0.5, np.array([1, 0, 1]), "sum", [0.5, 1.0, -1.0]))
    assert gradgradcheck(f, (X.astype(np.float32), 0.5, np.array([1, 0, 1]), "sum", [0.5, 1.0, -1.0]))


def test_arguments_that_are_no_arrays_pass_through() -> None:
    def f(x: Any, *others: Any) -> Any:
        assert others == (None, [[1], [2, 3]], {"a": 1}, len)
        return x * 2.0

    assert gradcheck(f, [X, None, [[1], [2, 3]], {"a": 1}, len])


def test_requires_grad_chooses() -> None:
    f = op(lambda a, b: a * b, lambda self, dy: (dy * self.inputs[1], dy * 0.0))
    assert gradcheck(f, [md.Tensor(X, requires_grad=True), md.Tensor(X + 1)])
    with pytest.raises(GradientError, match="input 1"):
        gradcheck(f, [md.Tensor(X), md.Tensor(X + 1)])
    with pytest.raises(GradientError, match="input 1"):
        gradcheck(f, [md.Tensor(X), md.Tensor(X + 1, requires_grad=True)])


def test_the_callers_tensors_are_left_alone() -> None:
    x = md.Tensor([1.0, 2.0], requires_grad=True)
    with md.no_grad():
        assert gradcheck(lambda x: x * x, x)
    assert x.dtype == np.float32 and x.grad is None and x.tolist() == [1.0, 2.0]


def test_shapes_with_nothing_in_them() -> None:
    assert gradcheck(lambda x: x * x, np.zeros((0, 3)))
    assert gradgradcheck(lambda x: md.sum(x * x), np.zeros((0, 3)))


@pytest.mark.parametrize(
    ("f", "inputs", "message"),
    [
        (md.exp, [1, 2], "nothing to check"),
        (md.exp, md.Tensor([1, 2]), "nothing to check"),
        (lambda x: x.numpy(), X, "must return a Tensor, .* got ndarray"),
        (lambda x: (x, 1.0), X, "must return a Tensor, .* got float"),
        (md.argmax, X, "returns no floats"),
        (lambda x: x.astype("float32"), X, "returns float32 from inputs of float64"),
    ],
)
def test_what_cannot_be_checked_is_an_error(f: Any, inputs: Any, message: str) -> None:
    for check in (gradcheck, gradgradcheck):
        with pytest.raises(TypeError, match=message):
            check(f, inputs)


def test_outputs_whose_shape_depends_on_the_values() -> None:
    with pytest.raises(GradientError, match=r"outputs of shapes \[\(2,\)\] had others"):
        gradcheck(lambda x: x[x._array > 0], md.Tensor([1.0, 1e-9, -1.0]))


def test_tolerances() -> None:
    assert gradcheck(scaled(1.001), X, rtol=1e-2)
    assert gradcheck(scaled(1 + 1e-8), X)
    with pytest.raises(GradientError):
        gradcheck(scaled(1 + 1e-8), X, rtol=1e-9, atol=1e-11)


def test_the_weights_of_the_outputs_come_from_the_seed() -> None:
    cancels = op(lambda x: md.random.Generator(3).uniform(2, dtype=np.float64) * x, lambda self, dy: dy * np.zeros(2))
    messages = set()
    for seed in (0, 0, 1):
        with pytest.raises(GradientError) as caught:
            gradcheck(cancels, [[1.0, 2.0]], seed=seed)
        messages.add(str(caught.value))
    assert len(messages) == 2


# ---- objects with weights -----------------------------------------------------------------


class Affine:
    """As a layer: weights in float32 that are made at the first call, and a part with weights of its own."""

    def __init__(self, slope: float = 1.0) -> None:
        self.dtype = np.dtype(np.float32)
        self.inner = Scale()
        self.weights: list[md.Tensor] = []
        self.apply = op(lambda x, w: x @ w, lambda self, dy: (dy @ self.inputs[1].T, slope * (self.inputs[0].T @ dy)))

    @property
    def trainable_weights(self) -> list[md.Tensor]:
        return [*self.weights, *self.inner.trainable_weights]

    def __call__(self, x: md.Tensor) -> md.Tensor:
        if not self.weights:
            self.weights.append(md.Tensor(np.eye(3, 2) + 0.5, requires_grad=True, dtype=self.dtype, name="kernel"))
        return self.inner(self.apply(x.astype(self.dtype), self.weights[0]))


class Scale:
    def __init__(self) -> None:
        self.dtype = np.dtype(np.float32)
        self.factor = md.Tensor([2.0, 3.0], requires_grad=True)
        self.trainable_weights = [self.factor]

    def __call__(self, x: md.Tensor) -> md.Tensor:
        return x.astype(self.dtype) * self.factor * self.factor


def test_weights_are_checked() -> None:
    layer = Affine()
    assert gradcheck(layer, X)
    assert not layer.weights and layer.inner.factor.dtype == np.float32 and layer.dtype == np.float32
    with pytest.raises(GradientError, match=r"the gradient of weight 0 \(kernel\), shape \(3, 2\), .* 1.5 times"):
        gradcheck(Affine(slope=1.5), X)
    assert gradcheck(layer, X.astype(np.float32)) and layer(md.Tensor(X)).dtype == np.float32


def test_weights_without_inputs_that_could_be_checked() -> None:
    class Table:
        def __init__(self) -> None:
            self.trainable_weights = [md.Tensor(X, requires_grad=True)]

        def __call__(self, ids: Any) -> Any:
            return md.embedding(self.trainable_weights[0], ids)

    assert gradcheck(Table(), np.array([1, 0, 1]))
    assert gradgradcheck(Table(), [np.array([1, 0, 1])])


def test_a_layer_of_float32_in_a_function_is_refused_with_the_way_out() -> None:
    layer = Affine()
    with pytest.raises(
        TypeError, match='make a layer that f closes over with dtype="float64", or pass the layer itself'
    ):
        gradcheck(lambda x: layer(x), X)


# ---- second derivatives -------------------------------------------------------------------


def _cube(backward: Any, **attributes: Any) -> Any:
    return op(lambda x: x**3, backward, **attributes)


@pytest.mark.parametrize(
    "f",
    [
        _cube(lambda self, dy: dy * 3 * self.inputs[0] * md.as_tensor(self.inputs[0]).detach()._array),
        _cube(lambda self, dy: dy * 3 * _plain(self.inputs[0]) ** 2),
        _cube(lambda self, dy: dy * 3 * self.inputs[0] ** 2, composition=lambda self, x: x**3 + (x - x.detach()) ** 2),
    ],
    ids=["detached in part", "an array in the rule", "another composition"],
)
def test_wrong_second_derivatives(f: Any) -> None:
    assert gradcheck(f, X)
    with pytest.raises(GradientError, match="the gradient of input 0, .* is wrong at 6 of 6"):
        gradgradcheck(f, X)


def test_a_composition_that_computes_something_else() -> None:
    f = _cube(lambda self, dy: dy * 3 * self.inputs[0] ** 2, composition=lambda self, x: x * x * x * 1.001)
    assert gradcheck(f, X)
    with pytest.raises(GradientError, match="with create_graph the gradient of input 0 is another than without"):
        gradgradcheck(f, X)


def _plain(x: Any) -> Any:
    return getattr(x, "_array", x)


def test_a_rule_that_is_not_linear_in_what_comes_from_above() -> None:
    f = op(
        lambda x: x * 3.0, lambda self, dy: dy * 3.0 + (dy - dy.detach()) * 2.0 if hasattr(dy, "detach") else dy * 3.0
    )
    assert gradcheck(f, X)
    with pytest.raises(GradientError, match="the gradient of the gradient of output 0"):
        gradgradcheck(f, X)


@pytest.mark.parametrize("seed", range(4))
def test_a_rule_that_is_right_for_gradients_of_one_sign(seed: int) -> None:
    f = op(lambda x: x * x, lambda self, dy: abs(dy) * 2 * self.inputs[0])
    with pytest.raises(GradientError, match="is wrong at|not linear in what comes from above: .* gradient of input 0"):
        gradcheck(f, 0.7, seed=seed)


# ---- the whole table ----------------------------------------------------------------------


def test_check_all_gives_a_row_for_each_name(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        Case("good", md.tanh, (X,)),
        Case("good", md.sin, (X,), variant="again"),
        Case("wrong", scaled(1.001), (X,), variant="by a little"),
        Case("breaks", lambda x: x.no_such_thing, (X,)),
        Case("not differentiable", md.argmax, (X,), differentiable=False),
    ]
    monkeypatch.setattr(
        cases, "importlib", type("Stub", (), {"import_module": lambda name: type("M", (), {"CASES": rows})})
    )
    good, bad, broken = check_all(["op"])
    assert good[:3] == ("op", "good", 2) and good.verdict == "ok"
    assert good.first < 1e-9 and good.second < 1e-9
    assert bad.name == "wrong" and bad.first == pytest.approx(1e-3, rel=0.1)
    assert bad.verdict.startswith("wrong, by a little: the gradient of input 0")
    assert broken.verdict.startswith("breaks: ") and broken.first == np.inf


def test_the_first_names_are_public() -> None:
    assert md.gradcheck is gradcheck and md.gradgradcheck is gradgradcheck
