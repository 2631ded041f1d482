"""Losses against Keras, PyTorch, their closed forms and finite differences; weights, masks and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import DTYPES, LAYOUTS, assert_same, backward, formula, in_dtype, naming, results
from tolerances import assert_close

import minidl as md
from minidl import losses
from minidl.testing import Case, cases_of

GOLDEN = json.loads((Path(__file__).parent / "golden" / "keras_losses.json").read_text())["losses"]
RNG = np.random.default_rng(0)


def case_id(case: dict[str, Any]) -> str:
    extras = [k for k in ("sample_weight", "mask") if case[k] is not None]
    return "-".join([case["name"], *(f"{k}={v}" for k, v in case["config"].items()), *extras])


def with_gradient(loss: Any, y_true: Any, y_pred: Any, **options: Any) -> tuple[Any, Any]:
    p = md.Tensor(y_pred, requires_grad=True)
    return with_gradient_of(p, loss(y_true, p, **options))


def with_gradient_of(x: md.Tensor, value: md.Tensor) -> tuple[Any, Any]:
    return value.numpy(), md.gradients(value, x, np.ones(value.shape)).numpy()


# ---- against others ---------------------------------------------------------------------


@pytest.mark.parametrize("case", GOLDEN, ids=case_id)
def test_keras(case: dict[str, Any], kernels: str) -> None:
    loss = getattr(losses, case["name"])(**case["config"])
    options = {"sample_weight": case["sample_weight"], "mask": case["mask"]}
    value, gradient = with_gradient(loss, np.array(case["y_true"]), np.array(case["y_pred"]), **options)
    assert_close(value, case["value"], slack=10)
    assert_close(gradient, case["gradient"], slack=10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pytorch(dtype: str, kernels: str) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x, y = RNG.normal(size=(2, 5, 3)).astype(dtype)
    labels = np.array([0, 2, 1, 1, 0])
    distribution = np.exp(y) / np.exp(y).sum(-1, keepdims=True)
    binary = (y > 0).astype(dtype)
    pairs: list[tuple[Any, Any, Any]] = [
        (losses.MeanSquaredError(), y, functional.mse_loss),
        (losses.MeanAbsoluteError(), y, functional.l1_loss),
        (losses.Huber(0.5), y, lambda p, t: functional.huber_loss(p, t, delta=0.5)),
        (losses.BinaryCrossentropy(from_logits=True), binary, functional.binary_cross_entropy_with_logits),
        (losses.SparseCategoricalCrossentropy(from_logits=True), labels, functional.cross_entropy),
        (losses.CategoricalCrossentropy(from_logits=True), distribution, functional.cross_entropy),
        (
            losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2),
            np.eye(3, dtype=dtype)[labels],
            lambda p, t: functional.cross_entropy(p, t, label_smoothing=0.2),
        ),
    ]
    for loss, target, theirs in pairs:
        p = torch.tensor(x, requires_grad=True)
        expected = theirs(p, torch.tensor(target))
        expected.backward()
        value, gradient = with_gradient(loss, target, x)
        assert value.dtype == gradient.dtype == dtype
        assert_close(value, expected.detach().numpy())
        assert_close(gradient, p.grad.numpy())


def test_closed_forms_of_the_gradients(kernels: str) -> None:
    x, y = RNG.normal(size=(2, 4, 3))
    _, gradient = with_gradient(losses.MeanSquaredError(), y, x)
    assert_close(gradient, 2 * (x - y) / 12)
    one_hot, p = np.eye(3)[[2, 0, 1, 1]], np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    _, gradient = with_gradient(losses.CategoricalCrossentropy(from_logits=True), one_hot, x)
    assert_close(gradient, (p - one_hot) / 4)
    _, gradient = with_gradient(losses.BinaryCrossentropy(from_logits=True), one_hot, x)
    assert_close(gradient, (1 / (1 + np.exp(-x)) - one_hot) / 12)


# ---- the table of cases -----------------------------------------------------------------

CASES = cases_of("loss")


def test_every_loss_has_a_case() -> None:
    assert {case.name for case in CASES} == {function.__name__ for function in losses.CLASSES}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_in_every_form(case: Case, kernels: str) -> None:
    for dtype in DTYPES:
        for layout in LAYOUTS:
            arrays = [layout(a) for a in in_dtype(case.inputs, dtype)]
            before = [a.copy() for a in arrays]
            with naming(f"{np.dtype(dtype)}, {layout.__name__}"):
                _, (y,) = results(case, arrays)
                assert y.dtype == dtype
                assert_close(y.numpy(), *formula(case, before))
                for actual, truth in zip(
                    backward(case, arrays), backward(case, in_dtype(before, np.float64)), strict=True
                ):
                    assert actual.dtype == dtype
                    assert_close(actual, truth, slack=4)
                assert_same(arrays, before)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_derivatives_against_finite_differences(case: Case, kernels: str) -> None:
    assert md.gradcheck(case.function, case.inputs)
    assert md.gradgradcheck(case.function, case.inputs)


def test_the_target_of_a_distance_can_be_differentiated() -> None:
    y = md.Tensor([[1.0, 2.0]], requires_grad=True)
    losses.mean_squared_error(y, [[2.0, 4.0]]).sum().backward()
    assert y.grad is not None
    assert y.grad.tolist() == [[-1.0, -2.0]]


def test_certain_predictions() -> None:
    right, wrong = losses.kl_divergence([[1, 0], [1, 0]], np.array([[1.0, 0.0], [0.0, 1.0]])).tolist()
    assert right == 0.0
    assert wrong == pytest.approx((1 - 1e-7) * np.log(1e7))
    assert losses.categorical_hinge([[0, 1], [0, 1]], [[0.0, 3.0], [3.0, 0.0]]).tolist() == [0.0, 4.0]
    assert losses.hinge([[1, 0]], [[3.0, -3.0]]).tolist() == [0.0]


@pytest.mark.parametrize("cls", losses.CLASSES.values(), ids=lambda c: c.__name__)
@pytest.mark.parametrize("again", [False, True], ids=["plain", "create_graph"])
def test_targets_that_change_after_the_loss_do_not_change_its_gradient(cls: type[losses.Loss], again: bool) -> None:
    sparse = cls is losses.SparseCategoricalCrossentropy
    given = np.array([2, 0, 1, 1]) if sparse else np.eye(3, dtype=np.float32)[[2, 0, 1, 1]]
    p = md.Tensor(RNG.uniform(0.1, 0.9, (4, 3)).astype(np.float32), requires_grad=True)
    _, expected = with_gradient(cls(), given.copy(), p.numpy())
    loss = cls()(given, p)
    given[...] = 1 - given if not sparse else 0
    found = md.gradients(loss, p, create_graph=again)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_errors_at_no_ordinary_place(kernels: str) -> None:
    """Where predictions have diverged the loss says so; at an error of 0 and at δ itself the slopes are 0 and δ."""
    for loss, costs, slopes in (
        (losses.mean_squared_error, [0, 4, np.inf, np.inf, np.nan], [0, 4, np.inf, -np.inf, np.nan]),
        (losses.mean_absolute_error, [0, 2, np.inf, np.inf, np.nan], [0, 1, 1, -1, np.nan]),
        (lambda y, p: losses.huber(y, p, 2.0), [0, 2, np.inf, np.inf, np.nan], [0, 2, 2, -2, np.nan]),
    ):
        value, gradient = with_gradient(loss, np.ones((5, 1)), np.array([[1], [3], [np.inf], [-np.inf], [np.nan]]))
        np.testing.assert_array_equal(value, costs)
        np.testing.assert_array_equal(gradient[:, 0], slopes)


# ---- logits behind a sigmoid or a softmax ------------------------------------------------


def test_a_sigmoid_that_saturates_costs_what_its_logit_says(kernels: str) -> None:
    x = md.Tensor([[100.0], [-200.0]], requires_grad=True)
    loss = losses.binary_crossentropy([[0.0], [1.0]], md.sigmoid(x))
    assert loss.tolist() == [100.0, 200.0]
    loss.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1.0], [-1.0]]


@pytest.mark.parametrize("sparse", [False, True])
def test_a_softmax_that_saturates_costs_what_its_logits_say(sparse: bool, kernels: str) -> None:
    x = md.Tensor([[0.0, 500.0]], requires_grad=True)
    p = md.softmax(x)
    loss = losses.sparse_categorical_crossentropy([0], p) if sparse else losses.categorical_crossentropy([[1, 0]], p)
    assert loss.tolist() == [500.0]
    loss.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[-1.0, 1.0]]


def test_logits_are_found_without_a_graph_too() -> None:
    with md.no_grad():
        assert losses.binary_crossentropy([0], md.sigmoid(md.Tensor([[100.0]]))).tolist() == [100.0]


def test_a_prediction_without_its_last_axis_keeps_its_logits() -> None:
    assert losses.binary_crossentropy([[0], [0]], md.sigmoid(md.Tensor([100.0, 200.0]))).tolist() == [100.0, 200.0]


CLIPPED = -np.log(np.float32(1) - np.float32(1 - 1e-7))  # what a certain and wrong prediction costs


def test_without_known_logits_probabilities_are_clipped() -> None:
    p = md.sigmoid(md.Tensor([[100.0]]))
    for hidden in (p.detach(), p.reshape(1, 1), p * 1.0, np.array([[1.0]], "float32")):
        assert losses.binary_crossentropy([0], hidden).numpy() == pytest.approx(CLIPPED, rel=1e-6)


def test_logits_of_the_other_kind_do_not_count() -> None:
    x = md.Tensor([[1.0, 2.0]])
    p = md.softmax(x)
    expected = losses.binary_crossentropy([[0, 1]], p.numpy())
    assert_close(losses.binary_crossentropy([[0, 1]], p).numpy(), expected.numpy())
    p = md.sigmoid(x)
    expected = losses.categorical_crossentropy([[0, 1]], p.numpy())
    assert_close(losses.categorical_crossentropy([[0, 1]], p).numpy(), expected.numpy())


def test_stale_logits_do_not_count() -> None:
    p = md.sigmoid(md.Tensor([[100.0]]))
    p.data[...] = 0.5
    assert losses.binary_crossentropy([0], p).numpy() == pytest.approx(np.log(2))
    x = md.Tensor([[100.0]])
    p = md.sigmoid(x)
    x.data = [[0.0]]
    assert losses.binary_crossentropy([0], p).numpy() == pytest.approx(CLIPPED, rel=1e-6)


@pytest.mark.parametrize("kind", ["sigmoid", "softmax", "sparse"])
def test_the_gradient_of_the_probabilities_themselves(kind: str, kernels: str) -> None:
    """The loss is computed from the logits; asked for, the derivative by the probabilities is that of the formula."""
    x = md.Tensor(RNG.normal(size=(3, 2)), requires_grad=True)
    y: Any = np.eye(2)[[0, 1, 1]]
    p = md.sigmoid(x) if kind == "sigmoid" else md.softmax(x)
    q = p.numpy().copy()
    if kind == "sigmoid":
        loss, by_p, by_x = losses.BinaryCrossentropy()(y, p), (q - y) / (q * (1 - q)) / 6, (q - y) / 6
    else:
        loss = losses.get("categorical_crossentropy" if kind == "softmax" else "sparse_categorical_crossentropy")(
            y if kind == "softmax" else y.argmax(-1), p
        )
        by_p, by_x = (1 - y / q) / 3, (q - y) / 3
    found = md.gradients(loss, [p, x], retain_graph=True)
    assert_close(found[0].numpy(), by_p)
    assert_close(found[1].numpy(), by_x)
    assert_close(md.gradients(loss, p, retain_graph=True, create_graph=True).numpy(), by_p)
    assert_close(md.gradients(loss + p.sum(), p, retain_graph=True).numpy(), by_p + 1)
    p.retain_grad()
    loss.backward()
    assert p.grad is not None
    assert x.grad is not None
    assert_close(p.grad.numpy(), by_p)
    assert_close(x.grad.numpy(), by_x)


def test_probabilities_cut_from_the_graph_do_not_lead_to_their_logits() -> None:
    x = md.Tensor([[0.0]], requires_grad=True)
    with md.no_grad():
        p = md.sigmoid(x)
    assert not losses.BinaryCrossentropy()([1], p).requires_grad
    p.requires_grad = True
    losses.BinaryCrossentropy()([1], p).backward()
    assert x.grad is None
    assert p.grad is not None
    assert p.grad.tolist() == [[-2.0]]


def test_second_derivative_of_a_cross_entropy(kernels: str) -> None:
    def loss(x: md.Tensor) -> md.Tensor:
        return losses.BinaryCrossentropy()([[1.0]], md.sigmoid(x))

    x = md.Tensor([[0.3]], dtype="float64")
    curvature = md.grad(lambda x: md.grad(loss)(x).sum())(x)
    p = 1 / (1 + np.exp(-0.3))
    assert_close(curvature.numpy(), [[p * (1 - p)]])


# ---- types and shapes -------------------------------------------------------------------


@pytest.mark.parametrize("cls", losses.CLASSES.values(), ids=lambda c: c.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_keep_their_type(cls: type[losses.Loss], dtype: str) -> None:
    y_pred = RNG.uniform(0.1, 0.9, (4, 3)).astype(dtype)
    y_true = np.array([2, 0, 1, 1]) if cls is losses.SparseCategoricalCrossentropy else np.eye(3)[[2, 0, 1, 1]]
    for target in (y_true.astype("float64"), y_true.astype("int64"), y_true.tolist(), md.Tensor(y_true)):
        value, gradient = with_gradient(cls(), target, y_pred, sample_weight=np.ones(4), mask=np.ones(4, bool))
        assert value.dtype == gradient.dtype == dtype


def test_a_list_of_targets_never_passes_through_float32() -> None:
    for loss in (losses.mean_absolute_error, losses.MeanAbsoluteError("none")):
        assert loss([[0.1]], np.zeros((1, 1))).tolist() == [0.1]


@pytest.mark.parametrize("function", [losses.mean_squared_error, losses.binary_crossentropy, losses.hinge])
def test_a_target_without_the_last_axis_meets_one_output(function: Any) -> None:
    y_true, y_pred = np.array([0.0, 1.0, 1.0]), np.array([[0.2], [0.4], [0.9]])
    expected = function(y_true[:, None], y_pred).tolist()
    assert function(y_true, y_pred).tolist() == expected
    assert function(y_true[:, None], y_pred[:, 0]).tolist() == expected
    steps = function(np.stack([y_true] * 2), np.stack([y_pred] * 2))
    assert steps.shape == (2, 3)
    assert steps.tolist() == [expected] * 2


def test_mean_squared_error_over_one_axis_is_one_number() -> None:
    assert losses.mean_squared_error([1.0, 2.0], [1.0, 4.0]).item() == 2.0
    assert losses.MeanSquaredError()([1.0, 2.0], [1.0, 4.0]).item() == 2.0


# ---- reductions, weights, masks ---------------------------------------------------------

FRACTIONS = RNG.dirichlet(np.ones(4), size=(2, 3))
LABELS = np.array([[0, 1, 2], [3, 2, 1]])
as_they_are = md.activations.linear
OF_MANY_ROWS: list[tuple[Any, ...]] = [
    (losses.MeanSquaredError(), FRACTIONS[::-1], as_they_are),
    (losses.MeanAbsoluteError(), FRACTIONS[::-1], as_they_are),
    (losses.Huber(0.5), FRACTIONS[::-1], as_they_are),
    (losses.BinaryCrossentropy(from_logits=True), FRACTIONS[::-1], as_they_are),
    (losses.BinaryCrossentropy(), FRACTIONS[::-1], md.sigmoid),
    (losses.BinaryCrossentropy(label_smoothing=0.1), FRACTIONS[::-1], as_they_are),
    (losses.CategoricalCrossentropy(from_logits=True), FRACTIONS[::-1], as_they_are),
    (losses.CategoricalCrossentropy(), FRACTIONS[::-1], md.softmax),
    (losses.CategoricalCrossentropy(), FRACTIONS[::-1], as_they_are),
    (losses.SparseCategoricalCrossentropy(from_logits=True), LABELS, as_they_are),
    (losses.SparseCategoricalCrossentropy(), LABELS, md.softmax),
    (losses.SparseCategoricalCrossentropy(), LABELS, as_they_are),
    (losses.KLDivergence(), FRACTIONS[::-1], as_they_are),
    (losses.SquaredHinge(), 2 * np.eye(4)[LABELS] - 1, as_they_are),
    (losses.CategoricalHinge(), np.eye(4)[LABELS], as_they_are),
]


def test_reductions() -> None:
    y_true, y_pred, weights = [[0.0], [0.0], [0.0]], [[1.0], [2.0], [3.0]], [1.0, 0.5, 0.0]
    assert losses.MeanSquaredError("none")(y_true, y_pred, weights).tolist() == [1.0, 2.0, 0.0]
    assert losses.MeanSquaredError(None)(y_true, y_pred).tolist() == [1.0, 4.0, 9.0]
    assert losses.MeanSquaredError("sum")(y_true, y_pred, weights).item() == 3.0
    assert losses.MeanSquaredError()(y_true, y_pred, weights).item() == 1.0


def test_weights_belong_to_the_first_axes() -> None:
    y_pred = np.arange(6.0).reshape(2, 3, 1)
    y_true = np.zeros_like(y_pred)
    expected = y_pred[..., 0] ** 2
    loss = losses.MeanSquaredError("none")
    for weights in ([1.0, 10.0], [[1.0], [10.0]]):
        assert_close(loss(y_true, y_pred, weights).numpy(), expected * [[1.0], [10.0]])
    assert_close(loss(y_true, y_pred, [[1, 2, 3], [4, 5, 6]]).numpy(), expected * [[1, 2, 3], [4, 5, 6]])
    assert_close(loss(y_true, y_pred, 2).numpy(), expected * 2)
    assert loss([[0.0], [0.0]], [[1.0], [1.0]], [[3.0], [4.0]]).tolist() == [3.0, 4.0]


def test_a_mask_hides_even_infinity_and_nan() -> None:
    p = md.Tensor([[0.0], [np.inf], [np.nan]], requires_grad=True)
    loss = losses.MeanSquaredError()([[2.0], [1.0], [1.0]], p, mask=[True, False, False])
    assert loss.item() == 4.0
    assert losses.MeanSquaredError("none")([[2.0], [1.0], [1.0]], p, mask=[1, 0, 0]).tolist() == [4.0, 0.0, 0.0]


@pytest.mark.parametrize("hidden", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("case", OF_MANY_ROWS, ids=naming)
def test_what_a_mask_hides_reaches_no_gradient(case: tuple[Any, ...], hidden: float, kernels: str) -> None:
    loss, y_true, activation = case
    mask = np.array([[True, False, True], [False, True, True]])

    def value_and_slope(value: float, **options: Any) -> tuple[Any, Any]:
        x = md.Tensor(np.where(mask[:, :, None], FRACTIONS, value), requires_grad=True)
        with np.errstate(invalid="ignore"):  # of the activation
            return with_gradient_of(x, loss(y_true, activation(x), **options))

    value, slope = value_and_slope(hidden, mask=mask)
    expected_value, expected_slope = value_and_slope(0.5, sample_weight=mask)  # a mean over 6 in place of 4
    assert_close(value, expected_value * 6 / 4)
    assert_close(slope, expected_slope * 6 / 4)
    assert value_and_slope(0.5, mask=mask)[1][mask].tobytes() == slope[mask].tobytes()


def test_a_mask_leaves_the_predictions_of_a_loss_of_ones_own_alone() -> None:
    """It may compare those of several samples."""
    loss = losses.get(lambda y_true, y_pred: (y_pred - y_pred.max()).sum(-1))
    assert loss([[0.0], [0.0]], [[1.0], [3.0]], mask=[True, False]).item() == -2.0


def test_predictions_carry_their_mask_into_a_loss() -> None:
    model = md.Sequential([md.layers.Masking(), md.layers.Activation("linear")])
    y_pred, y_true = model(np.array([[[1.0], [3.0], [0.0]]])), np.zeros((1, 3, 1))
    assert losses.MeanAbsoluteError()(y_true, y_pred).item() == 2.0
    assert losses.MeanAbsoluteError()(y_true, y_pred * 1).item() == pytest.approx(4 / 3)
    assert losses.MeanAbsoluteError()(y_true, y_pred, mask=[[True, False, False]]).item() == 1.0


def test_one_number_for_all_samples_is_the_loss_of_each() -> None:
    def largest(y_true: md.Tensor, y_pred: md.Tensor) -> md.Tensor:
        return (y_pred - y_true).max()

    y_true, y_pred = np.zeros((2, 3, 1)), np.arange(6.0).reshape(2, 3, 1)
    loss, mask, weights = losses.get(largest), [[1, 1, 0], [1, 0, 0]], [[1, 2, 3], [4, 5, 6]]
    assert loss(y_true, y_pred).item() == loss(y_true, y_pred, mask=mask).item() == 5.0
    assert loss(y_true, y_pred, sample_weight=[1.0, 3.0]).item() == 10.0
    assert loss(y_true, y_pred, weights, mask).item() == pytest.approx(5 * (1 + 2 + 4) / 3)


def test_a_mask_that_hides_all_costs_nothing() -> None:
    p = md.Tensor([[1.0]], requires_grad=True)
    loss = losses.MeanSquaredError()([[0.0]], p, mask=[False])
    loss.backward()
    assert loss.item() == 0.0
    assert p.grad is not None
    assert p.grad.tolist() == [[0.0]]


def test_a_loss_of_ones_own() -> None:
    class Biased(losses.Loss):
        def call(self, y_true: md.Tensor, y_pred: md.Tensor) -> md.Tensor:
            return (y_pred - y_true + 1).mean(-1)

    assert Biased().name == "biased"
    assert (Biased("b", "sum").name, Biased("b", "sum").reduction) == ("b", "sum")  # in the order of Keras' Loss
    assert Biased()([[1], [2]], [[1.0], [4.0]], sample_weight=[1, 0]).item() == 0.5
    wrapped = losses.get(lambda y_true, y_pred: (y_pred * y_true).sum(-1))
    assert wrapped([[2.0]], [[3.0]]).item() == 6.0
    with pytest.raises(TypeError, match="subclass Loss"):
        wrapped.get_config()


def test_targets_of_ones_own_loss_may_be_nan() -> None:
    known = losses.FunctionLoss(lambda y, p: md.where(np.isnan(y.numpy()), 0.0, p).sum(-1))
    assert known([[np.nan, 1.0]], [[5.0, 7.0]]).item() == 7.0


# ---- names and configurations -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("mse", losses.MeanSquaredError),
        ("MSE", losses.MeanSquaredError),
        ("mean_squared_error", losses.MeanSquaredError),
        ("MeanAbsoluteError", losses.MeanAbsoluteError),
        ("binary_crossentropy", losses.BinaryCrossentropy),
        ("sparse_categorical_crossentropy", losses.SparseCategoricalCrossentropy),
        ("kld", losses.KLDivergence),
        (losses.huber, losses.Huber),
        (losses.Hinge, losses.Hinge),
    ],
)
def test_get(name: Any, cls: type) -> None:
    assert type(losses.get(name)) is cls


def test_get_returns_a_loss_as_it_is() -> None:
    loss = losses.Huber(2.0)
    assert losses.get(loss) is loss


@pytest.mark.parametrize(
    "loss",
    [
        losses.MeanSquaredError("sum", name="mine"),
        losses.Huber(0.25),
        losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1),
        losses.CategoricalCrossentropy(label_smoothing=0.1, reduction="none"),
        losses.SparseCategoricalCrossentropy(from_logits=True),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_config_round_trip(loss: losses.Loss) -> None:
    saved = json.loads(json.dumps({"class_name": type(loss).__name__, "config": loss.get_config()}))
    again = losses.get(saved)
    assert type(again) is type(loss)
    assert vars(again) == vars(loss)


# ---- what is refused --------------------------------------------------------------------

ONES = np.ones((4, 3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: losses.get("crossentropy"), r"did you mean 'binary_crossentropy'\? Known: .*'binary_crossentropy'"),
        (lambda: losses.get("mean_squared_eror"), "unknown loss .* did you mean 'mean_squared_error'"),
        (lambda: losses.get(3), "the name of a known loss is a string, got int"),
        (lambda: losses.get({"class_name": "Huber"}), 'keys "class_name" and "config"'),
        (lambda: losses.Huber(0), "delta must lie in"),
        (lambda: losses.Huber()(None, ONES), "huber: y_true must hold numbers, got None"),
        (lambda: losses.get(losses.hinge)(ONES, [["a"]]), "hinge: y_pred must hold numbers, got an array of <U1"),
        (lambda: losses.huber(ONES, ONES, delta=-1), "delta must lie in"),
        (lambda: losses.BinaryCrossentropy(label_smoothing=1.5), "label_smoothing must lie in"),
        (lambda: losses.MeanSquaredError("avg"), "reduction must be one of 'sum_over_batch_size'"),
        (lambda: losses.Loss()(ONES, ONES), "has no call"),
        (
            lambda: losses.sparse_categorical_crossentropy(np.ones((4, 12), int), np.full((4, 20), 0.05)),
            r"expected \(4,\) for y_pred of shape \(4, 20\); y_true has an axis more, .* return_sequences=True",
        ),
        (
            lambda: losses.sparse_categorical_crossentropy(np.ones(4, int), np.full((4, 12, 20), 0.05)),
            r"y_true has shape \(4,\), expected \(4, 12\) .*; y_pred has an axis more, .* return_sequences=False",
        ),
        (
            lambda: losses.mean_squared_error(np.ones((4, 12, 1)), np.ones((4, 1))),
            "y_true has an axis more, perhaps time: set return_sequences=True",
        ),
        (lambda: losses.mean_squared_error(ONES, np.ones((5, 3))), r"y_true has shape \(4, 3\) and y_pred .* \(5, 3\)"),
        (lambda: losses.mean_squared_error(ONES, np.ones((4, 2))), "gives 2 numbers where the targets have 3"),
        (lambda: losses.mean_squared_error(np.ones(4), ONES), "use the sparse_categorical form or to_categorical"),
        (lambda: losses.mean_squared_error(ONES, np.ones((4, 7, 3))), "return_sequences=False"),
        (lambda: losses.mean_squared_error(1.0, 2.0), r"give a single number the shape \(1,\)"),
        (lambda: losses.mean_squared_error([[np.nan]], [[1.0]]), r"y_true\[0, 0\] is nan"),
        (lambda: losses.binary_crossentropy([[0.0]], [[1.5]]), "y_pred.* is 1.5, outside .* pass from_logits=True"),
        (lambda: losses.binary_crossentropy([[2.0]], [[0.5]]), "y_true.* is 2.0, outside .* 0 and 1"),
        (lambda: losses.binary_crossentropy([[0]], md.sigmoid([[0.5]]), from_logits=True), "leave from_logits out"),
        (lambda: losses.categorical_crossentropy(ONES, -ONES), "is -1.0, outside"),
        (lambda: losses.categorical_crossentropy([[0, 1]], [[0.0, 0.0]]), "only zeros"),
        (lambda: losses.categorical_crossentropy([[1]], [[0.5]]), "use binary_crossentropy"),
        (lambda: losses.categorical_crossentropy([0, 1], [[0.5, 0.5], [0.5, 0.5]]), "sparse_categorical form"),
        (lambda: losses.sparse_categorical_crossentropy([0, 2], [[0.5, 0.5]] * 2), r"y_true\[1\] is 2.* 2 classes"),
        (lambda: losses.sparse_categorical_crossentropy([0, -1], [[0.5, 0.5]] * 2), r"y_true\[1\] is -1"),
        (lambda: losses.sparse_categorical_crossentropy([0, 0.5], [[0.5, 0.5]] * 2), r"y_true\[1\] is 0.5"),
        (lambda: losses.sparse_categorical_crossentropy([0, np.nan], [[0.5, 0.5]] * 2), r"y_true\[1\] is nan"),
        (lambda: losses.SparseCategoricalCrossentropy()([0, 1 + 1e-9], [[0.5, 0.5]] * 2), "is 1.000000001"),
        (lambda: losses.MeanSquaredError()(["a"], [[0.5]]), "mean_squared_error: y_true must hold numbers"),
        (lambda: losses.mean_squared_error(ONES[:, :0], ONES[:, :0]), "mean_squared_error: .* no mean of no elements"),
        (lambda: losses.huber(ONES[:0, :0], ONES[:0, :0]), r"huber: y_pred has shape \(0, 0\)"),
        (lambda: losses.Huber()(ONES * np.inf, ONES), r"y_true\[0, 0\] is inf"),
        (lambda: losses.BinaryCrossentropy()([[0, np.nan]], [[0.5, 0.5]]), r"y_true\[0, 1\] is nan"),
        (lambda: losses.sparse_categorical_crossentropy(["a"], [[0.5, 0.5]]), "labels are the numbers of classes"),
        (lambda: losses.sparse_categorical_crossentropy([[1, 0]], [[0.5, 0.5]]), "use the categorical form"),
        (lambda: losses.sparse_categorical_crossentropy([0], [[0.5]]), "two classes or more"),
        (lambda: losses.kl_divergence([[2.0]], [[0.5]]), "y_true.* outside"),
        (lambda: losses.MeanSquaredError()(ONES, ONES, sample_weight=[1, 2]), r"weight of shape \(2,\) does not fit"),
        (lambda: losses.MeanSquaredError()(ONES[0], ONES[0], sample_weight=[1, 2, 3]), r"\(n, 1\) are n samples"),
        (lambda: losses.MeanSquaredError()(ONES, ONES, sample_weight=[1, 2, 3, np.nan]), "holds NaN"),
        (lambda: losses.MeanSquaredError()(ONES, ONES, mask=[True]* 3), r"mask of shape \(3,\) does not fit"),
        (lambda: losses.MeanSquaredError()(ONES[:0], ONES[:0]), "the loss of no samples"),
    ],
)  # fmt: skip
def test_what_is_refused(call: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=words):
        call()


def test_a_model_that_has_diverged_gives_nan_not_an_error(kernels: str) -> None:
    nan = np.array([[np.nan, 0.5]])
    assert np.isnan(losses.binary_crossentropy([[0, 1]], nan).numpy()).all()
    assert np.isnan(losses.categorical_crossentropy([[0, 1]], nan).numpy()).all()
    assert np.isnan(losses.sparse_categorical_crossentropy([0], md.softmax(nan)).numpy()).all()


def test_probabilities_may_be_off_by_rounding() -> None:
    p = np.array([[1.0000002, -1e-7]], "float32")
    assert losses.binary_crossentropy([[1, 0]], p).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error", "huber"])
@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
def test_errors_in_types_that_no_kernel_takes(loss: str, dtype: Any) -> None:
    given = [[1.0, -2.0, 3.0]]
    x, wide = (md.Tensor(np.array(given, d), requires_grad=True) for d in (dtype, np.float64))
    found, expected = (getattr(md.losses, loss)([[0.5, 0.0, 2.5]], p) for p in (x, wide))
    assert found.dtype == dtype
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=2e-3)
    md.sum(found).backward()
    md.sum(expected).backward()
    np.testing.assert_allclose(x.grad.numpy(), wide.grad.numpy(), rtol=2e-3)
