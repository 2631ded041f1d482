"""Metrics against Keras and against counting by hand; weights, masks, and what is refused."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import losses, metrics

GOLDEN = json.loads((Path(__file__).parent / "golden" / "keras_losses.json").read_text())["metrics"]
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "case", GOLDEN, ids=lambda c: "-".join([c["name"], *(f"{k}={v}" for k, v in c["config"].items())])
)
def test_keras(case: dict[str, Any]) -> None:
    metric = getattr(metrics, case["name"])(**case["config"])
    weights = (None, case["sample_weight"])
    # Keras adds 1e-7 to the denominators of F1.
    tolerance = 1e-6 if case["name"] == "F1Score" else 1e-12
    for y_true, y_pred, weight, expected in zip(case["y_true"], case["y_pred"], weights, case["results"], strict=True):
        metric.update_state(np.array(y_true), np.array(y_pred), sample_weight=weight)
        np.testing.assert_allclose(metric.result(), expected, rtol=0, atol=tolerance)
    metric.reset_state()
    metric.update_state(case["y_true"][0], md.Tensor(case["y_pred"][0], dtype="float64"))
    np.testing.assert_allclose(metric.result(), case["results"][0], rtol=0, atol=tolerance)


def every_metric() -> list[metrics.Metric]:
    return [
        metrics.MeanSquaredError(name="mine"),
        metrics.RootMeanSquaredError(),
        metrics.MeanAbsoluteError(),
        metrics.Accuracy(),
        metrics.BinaryAccuracy(threshold=0.25),
        metrics.CategoricalAccuracy(),
        metrics.InferredAccuracy(),
        metrics.Precision(),
        metrics.Recall([0.25, 0.5]),
        metrics.Recall(class_id=1),
        metrics.AUC(50, curve="pr", summation_method="minoring"),
        metrics.F1Score("macro", 0.5),
        metrics.LossMetric(losses.Huber(0.5)),
    ]


@pytest.mark.parametrize("metric", every_metric(), ids=lambda m: type(m).__name__)
def test_batches_add_up_and_configs_rebuild(metric: metrics.Metric) -> None:
    saved = json.loads(json.dumps({"class_name": type(metric).__name__, "config": metric.get_config()}))
    whole = metrics.get(saved)
    assert type(whole) is type(metric)
    assert whole.name == metric.name
    y_true, y_pred = np.eye(2)[RNG.integers(0, 2, 20)], RNG.uniform(0.01, 1, (20, 2))
    y_pred[::3] = y_true[::3]
    weights, mask = RNG.uniform(size=20), RNG.integers(0, 2, 20).astype(bool)
    for part in (slice(0, 7), slice(7, 20)):
        metric.update_state(y_true[part], y_pred[part], weights[part], mask[part])
    whole.update_state(y_true[mask], y_pred[mask], weights[mask])
    np.testing.assert_allclose(metric.result(), whole.result(), rtol=1e-12)
    assert np.isfinite(metric.result()).all()
    assert np.all(np.asarray(metric.result()) > 0)
    metric.reset_state()
    assert np.all(np.asarray(metric.result()) == 0)


def test_mean_is_over_elements_whatever_their_batch() -> None:
    mean = metrics.Mean()
    assert mean.result() == 0.0
    mean.update_state([[1.0, 2.0, 3.0]])
    mean.update_state(10.0)
    assert mean.result() == 4.0
    mean.update_state([5.0, np.nan], mask=[True, False])
    assert mean.result() == pytest.approx(21 / 5)
    assert mean.name == "mean"


def test_padding_does_not_change_an_accuracy() -> None:
    y_true, y_pred = np.array([[0, 1, 1]]), np.eye(2)[[[0, 1, 0]]]
    short, padded = metrics.InferredAccuracy(), metrics.InferredAccuracy()
    short.update_state(y_true, y_pred)
    padded.update_state(
        np.pad(y_true, [(0, 0), (2, 0)]),
        np.pad(y_pred, [(0, 0), (2, 0), (0, 0)]),
        mask=[[False, False, True, True, True]],
    )
    assert short.result() == padded.result() == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "expected"),
    [
        ([0, 1, 1], [[0.5], [0.50001], [0.2]], 2 / 3),  # binary, strictly above 0.5
        ([[0], [1], [1]], [[0.5], [0.50001], [0.2]], 2 / 3),
        ([0, 1, 1], [0.5, 0.50001, 0.2], 2 / 3),
        ([2, 0], [[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]], 1 / 2),  # sparse
        ([[2], [0]], [[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]], 1 / 2),
        ([[0, 0, 1], [1, 0, 0]], [[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]], 1 / 2),  # categorical
        ([[1, 0]], [[[0.1, 0.9], [0.1, 0.9]]], 1 / 2),  # sparse, a label for each step
        ([[[1], [0]]], [[[0.9], [0.1]]], 1.0),  # binary, a label for each step
    ],
)
def test_accuracy_is_inferred_from_the_shapes(y_true: Any, y_pred: Any, expected: float) -> None:
    metric = metrics.get("accuracy")
    metric.update_state(np.array(y_true), np.array(y_pred, "float32"))
    assert metric.result() == pytest.approx(expected)


def test_a_threshold_is_compared_in_the_type_of_the_predictions() -> None:
    at_threshold = np.array([[0.3]], "float32")  # which is 0.30000001192…
    assert metrics.BinaryAccuracy(threshold=0.3)([[1]], at_threshold) == 0.0
    assert metrics.Recall(0.3)([[1]], at_threshold) == 0.0


def test_precision_and_recall_by_counting() -> None:
    y_true = RNG.integers(0, 2, 200)
    y_pred = RNG.uniform(size=(200, 1)).astype("float32")
    positive = y_pred[:, 0] > 0.5
    right = (positive & (y_true == 1)).sum()
    assert metrics.Precision()(y_true, y_pred) == right / positive.sum()
    assert metrics.Recall()(y_true, y_pred) == right / y_true.sum()


def test_area_under_roc_is_the_chance_of_the_right_order() -> None:
    y_true = RNG.integers(0, 2, 60)
    y_pred = np.round(RNG.uniform(size=60), 2)
    pairs = y_pred[y_true == 1][:, None] - y_pred[y_true == 0]
    expected = (pairs > 0).mean() + 0.5 * (pairs == 0).mean()
    # With thresholds finer than the predictions the estimate is exact: Mann and Whitney's statistic.
    assert metrics.AUC(num_thresholds=2001)(y_true, y_pred) == pytest.approx(expected, abs=1e-12)


def test_f1_of_a_perfect_prediction_is_one() -> None:
    assert metrics.F1Score()(np.eye(3), np.eye(3)).tolist() == [1.0, 1.0, 1.0]


def test_f1_takes_a_row_of_zeros_for_no_class_and_a_tie_for_both() -> None:
    assert metrics.F1Score()([[1, 0], [0, 1]], [[0.0, 0.0], [0.0, 0.5]]).tolist() == [0.0, 1.0]
    assert metrics.F1Score("micro")([[1, 0]], [[0.5, 0.5]]) == pytest.approx(2 / 3)


def test_an_area_forgives_rounding() -> None:
    beyond, within = metrics.AUC(), metrics.AUC()
    assert beyond([0, 1], [1.000001, -0.000001]) == within([0, 1], [1.0, 0.0]) == 0.0
    assert beyond._tp[-1] == within._tp[-1] == 0.0
    assert beyond._fp[-1] == within._fp[-1] == 0.0


def test_f1_of_one_class_has_a_threshold() -> None:
    assert metrics.F1Score("micro")([1, 0, 1], [[0.9], [0.8], [0.1]]) == 0.5


def test_nan_is_a_negative_prediction() -> None:
    nan = np.array([[np.nan], [0.9]])
    assert metrics.Recall()([1, 1], nan) == 0.5
    assert metrics.AUC()([1, 1], nan) == 0.0
    assert metrics.get("accuracy")([1, 1], nan) == 0.5


# ---- functions and losses as metrics ----------------------------------------------------


def test_a_function_as_a_metric() -> None:
    def largest_error(y_true: Any, y_pred: Any) -> Any:
        return np.abs(np.asarray(y_true) - np.asarray(y_pred)).max(-1)

    metric = metrics.get(largest_error)
    assert metric.name == "largest_error"
    assert metric([[0.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [4.0, 3.0]]) == 3.0
    with pytest.raises(TypeError, match="subclass Metric"):
        metric.get_config()


def test_names_of_functions_without_a_plain_name() -> None:
    class Distance:
        def __call__(self, y_true: Any, y_pred: Any) -> Any:
            return abs(y_true - y_pred)

    functions = [lambda a, b: abs(a - b), functools.partial(Distance()), Distance()]
    assert [metrics.get(f).name for f in functions] == ["lambda", "partial", "distance"]


# ---- metrics of one's own ---------------------------------------------------------------


class Own(metrics.Metric):
    """As programs for Keras write them."""

    def __init__(self, name: str = "own", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.total = self.add_weight(name="total", initializer="zeros")
        self.powers = self.add_weight(shape=(2,), initializer="ones", name="powers")
        self.left = self.add_variable((3,), initializer="zeros", name="left")
        self.calls = self.add_weight(name="calls", initializer="zeros", dtype="int32")
        self.inner = metrics.Mean()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        self.total.assign_add(np.sum(y_pred))
        self.powers.assign(self.powers * 2)
        self.left.assign_sub([1, 2, 3])
        self.calls.assign_add(1)
        self.inner.update_state(y_pred)

    def result(self) -> Any:
        return self.total / self.calls


def test_a_metric_of_ones_own_counts_in_weights() -> None:
    metric = Own(dtype="float64")
    assert [v.dtype for v in metric.variables] == ["float64", "float64", "float64", "int32"]
    for _ in range(2):
        metric.update_state([1.0], [2.5])
    assert float(metric.result()) == 2.5
    assert [v.numpy().tolist() for v in metric.variables] == [5.0, [4.0, 4.0], [-2.0, -4.0, -6.0], 2]
    metric.reset_state()
    assert [v.numpy().tolist() for v in metric.variables] == [0.0, [0.0, 0.0], [0.0, 0.0, 0.0], 0]
    assert metric.inner.result() == 0.0
    assert metric.get_config() == {"name": "own", "dtype": "float64"}
    assert repr(metric) == "<Own own>"


def test_predictions_carry_their_mask_into_a_metric() -> None:
    model = md.Sequential([md.layers.Masking(), md.layers.Activation("linear")])
    y_pred = model(np.array([[[1.0], [3.0], [0.0]]]))
    y_true = np.zeros((1, 3, 1))
    assert metrics.MeanAbsoluteError()(y_true, y_pred) == 2.0
    assert metrics.MeanAbsoluteError()(y_true, y_pred * 1) == pytest.approx(4 / 3)
    assert metrics.MeanAbsoluteError()(y_true, y_pred, mask=[[True, False, False]]) == 1.0
    assert metrics.Precision(thresholds=0.0)(y_true + 1, y_pred) == 1.0
    assert metrics.Recall()(y_true + 1, y_pred) == 1.0
    scores = metrics.masked(np.array([[0.9], [0.2]]), np.array([True, False]))
    assert metrics.F1Score()([[1], [1]], scores).tolist() == [1.0]


def test_functions_and_losses_record_nothing() -> None:
    def graph(y_true: Any, y_pred: Any) -> Any:
        return np.array(float((y_pred * 2).requires_grad))

    x = md.Tensor([1.0], requires_grad=True)
    assert metrics.get(graph)([0], x) == metrics.get(losses.FunctionLoss(graph))([0], x) == 0.0


def test_a_loss_as_a_metric_finds_the_logits() -> None:
    x = md.Tensor([[100.0]], requires_grad=True)
    for identifier in ("bce", "binary_crossentropy", losses.BinaryCrossentropy(), losses.binary_crossentropy):
        assert metrics.get(identifier)([0], md.sigmoid(x)) == 100.0


def test_small_integers_do_not_wrap_around() -> None:
    assert metrics.MeanAbsoluteError()(np.array([2], "uint8"), np.array([0], "uint8")) == 2.0


@pytest.mark.parametrize("kind", [np.float16, np.int64, bool])
def test_errors_do_not_overflow_in_the_type_of_the_predictions(kind: Any) -> None:
    y_true, y_pred = np.array([0, 1]).astype(kind), np.array([300.0, -6e4], "float16")
    errors = y_pred.astype("float64") - [0, 1]
    assert metrics.MeanSquaredError()(y_true, y_pred) == np.mean(errors**2)
    assert metrics.RootMeanSquaredError()(y_true, y_pred) == np.sqrt(np.mean(errors**2))
    assert metrics.MeanAbsoluteError()(-y_pred, y_pred) == np.mean(2 * np.abs(y_pred.astype("float64")))


# ---- names ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("accuracy", metrics.InferredAccuracy),
        ("acc", metrics.InferredAccuracy),
        ("Accuracy", metrics.Accuracy),
        ("binary_accuracy", metrics.BinaryAccuracy),
        ("AUC", metrics.AUC),
        ("auc", metrics.AUC),
        ("f1_score", metrics.F1Score),
        ("mse", metrics.MeanSquaredError),
        ("huber", metrics.LossMetric),
    ],
)
def test_get_by_name(name: str, cls: type) -> None:
    metric = metrics.get(name)
    assert type(metric) is cls
    assert metric.name == name


class Unfinished(metrics.Metric):
    def __init__(self) -> None:
        self.total = self.add_weight()


def nothing(y_true: Any, y_pred: Any) -> None:
    pass


def test_get_returns_a_metric_as_it_is() -> None:
    metric = metrics.AUC(name="area")
    assert metrics.get(metric) is metric
    assert metrics.get(metrics.AUC).name == "auc"
    assert repr(metric) == "<AUC area>"


# ---- what is refused, and changes nothing -----------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.get("acuracy"), "unknown metric 'acuracy'; did you mean 'accuracy'"),
        (lambda: metrics.get("f1"), r"unknown metric 'f1'; did you mean 'f1_score'\? Known: .*'f1_score'"),
        (lambda: metrics.get("x"), "unknown metric 'x'; known: 'acc', 'accuracy'"),
        (lambda: metrics.AUC(curve="ROK"), "unknown curve 'ROK'; known: 'pr', 'roc'"),
        (lambda: metrics.AUC(summation_method="trapezoid"), "unknown summation method"),
        (lambda: metrics.AUC(num_thresholds=1), "num_thresholds must be an integer of 2 or more"),
        (lambda: metrics.F1Score("mean"), "unknown average"),
        (lambda: metrics.F1Score(threshold=0), "threshold must lie in"),
        (lambda: metrics.Precision([0.5, 0.2]), "ascending order"),
        (lambda: metrics.Precision([]), "one or more"),
        (lambda: metrics.Precision(2.0), "each of thresholds must lie in"),
        (lambda: metrics.BinaryAccuracy(0.3), "BinaryAccuracy: name must be a string, got 0.3; .* by their names"),
        (
            lambda: metrics.MeanSquaredError()(["a"], [1.0]),
            "mean_squared_error: y_true must hold numbers, got an arr.* <U1",
        ),
        (lambda: metrics.BinaryAccuracy()([1], None), "binary_accuracy: y_pred must hold numbers, got None"),
        (
            lambda: metrics.SparseCategoricalAccuracy()([1], [["a", "b"]]),
            "y_pred must hold numbers, got an array of <U1",
        ),
        (lambda: metrics.get(nothing)([1], [1.0]), "nothing: what it takes the mean of must hold numbers, got None"),
        (lambda: metrics.Mean()("much"), "mean: what it takes the mean of must hold numbers, got 'much'"),
        (
            lambda: Own().add_weight("total"),
            "own: the shape of a weight is a tuple of sizes .* got 'total'; give it first",
        ),
        (lambda: Unfinished(), r"Unfinished.__init__ must call super\(\).__init__\(\) before anything else"),
        (lambda: metrics.Mean(dtype="float16", name="m"), "m: dtype must be float32 or float64, got float16"),
        (lambda: metrics.Recall(class_id=-1), "class_id must be an integer of 0"),
        (lambda: metrics.BinaryAccuracy(threshold="high"), "threshold must be a number"),
    ],
)
def test_arguments_that_are_refused(call: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError, RuntimeError), match=words):
        call()


@pytest.mark.parametrize(
    ("metric", "batch", "words"),
    [
        (metrics.AUC(), ([0, 1], [0.5, 1.5]), r"auc: y_pred\[1\] is 1.5, outside"),
        (metrics.AUC(), ([0, 2], [0.5, 0.5]), r"auc: y_true\[1\] is 2; labels must be 0 or 1"),
        (metrics.Precision(), ([0, 0.5], [0.5, 0.5]), "labels must be 0 or 1"),
        (metrics.Recall(class_id=2), ([[0, 1]], [[0.5, 0.5]]), "no such class"),
        (metrics.F1Score(), ([0, 1], [0.5, 0.5]), r"\(samples, classes\)"),
        (metrics.F1Score(), ([0, 1], np.ones((2, 3))), "to_categorical"),
        (metrics.BinaryAccuracy(), ([0, 1], [0.5]), r"y_true has shape \(2,\)"),
        (metrics.CategoricalAccuracy(), ([[0, 1]], [[0.5]]), "gives 1 numbers where the targets have 2"),
        (metrics.SparseCategoricalAccuracy(), ([3], [[0.5, 0.5]]), r"y_true\[0\] is 3"),
        (metrics.SparseCategoricalAccuracy(), ([1, 0], [0.5, 0.5]), "use the categorical form"),
        (metrics.MeanSquaredError(), ([0.0], [1.0], [1.0, 2.0]), "sample_weight of shape"),
        (metrics.MeanSquaredError(), ([0.0], [1.0], [np.inf]), "NaN or infinity"),
        (metrics.MeanSquaredError(), ([0.0], [1.0], None, [True, True]), "mask of shape"),
    ],
)  # fmt: skip
def test_batches_that_are_refused_change_nothing(metric: metrics.Metric, batch: Any, words: str) -> None:
    before = {name: np.copy(value) for name, value in vars(metric).items() if isinstance(value, (float, np.ndarray))}
    with pytest.raises(ValueError, match=words):
        metric.update_state(*batch)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(metric, name), value)


def test_a_score_of_each_class_stays_one_after_a_reset() -> None:
    metric = metrics.F1Score()
    metric.update_state([[1, 0, 0]], [[0.7, 0.2, 0.1]])
    metric.reset_state()
    assert metric.result().tolist() == [0.0, 0.0, 0.0]
    metric.update_state([[1, 0]], [[0.7, 0.2]])  # nothing is counted yet, so there may be others
    assert metric.result().tolist() == [1.0, 0.0]


def test_the_number_of_classes_cannot_change() -> None:
    metric = metrics.F1Score()
    metric.update_state(np.eye(2), np.eye(2))
    with pytest.raises(ValueError, match="3 classes now, 2 before"):
        metric.update_state(np.eye(3), np.eye(3))
