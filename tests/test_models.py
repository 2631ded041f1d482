"""fit, evaluate, predict and what surrounds them."""

from __future__ import annotations

import re
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import callbacks, layers


@pytest.fixture(autouse=True)
def seeded() -> None:
    md.random.set_seed(7)


def line() -> tuple[Any, Any]:
    """y = 2 a − b + 1"""
    x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    return x, x @ np.array([2.0, -1.0], "float32") + 1


def regressor(**compile_options: Any) -> md.Sequential:
    model = md.Sequential([layers.Dense(1, input_shape=(2,))])
    model.compile(**({"optimizer": "sgd", "loss": "mse"} | compile_options))
    return model


class Recorder(callbacks.Callback):
    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name in callbacks.HOOKS:
            self.calls.append(name.removeprefix("on_"))
        return super().__getattribute__(name)


# ---- fit


def test_fit_finds_a_line() -> None:
    x, y = line()
    model = regressor(optimizer=md.optimizers.SGD(learning_rate=0.1))
    history = model.fit(x, y, epochs=60, verbose=0)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(kernel[:, 0], [2, -1], atol=1e-3)
    np.testing.assert_allclose(bias, [1], atol=1e-3)
    assert history.history["loss"][-1] < 1e-5 < history.history["loss"][0]


def test_the_loss_of_an_epoch_is_the_mean_over_samples_of_its_batches() -> None:
    x, y = line()
    model = regressor(optimizer=md.optimizers.SGD(learning_rate=0.0))
    history = model.fit(x[:50], y[:50], batch_size=16, verbose=0)
    predicted = model.predict(x[:50], verbose=0)[:, 0]
    assert history.history["loss"][0] == pytest.approx(float(np.mean((predicted - y[:50]) ** 2)), rel=1e-6)


def test_one_epoch_visits_each_sample_once_in_an_order_drawn_from_the_default_stream() -> None:
    seen: list[int] = []

    class Look(layers.Layer):
        def call(self, x: Any) -> Any:
            seen.extend(x.numpy()[:, 0].astype(int).tolist())
            return x

    model = md.Sequential([Look(), layers.Dense(1)])
    model.build((None, 1))
    model.compile(loss="mse")
    x = np.arange(20.0)[:, None]
    orders = []
    for shuffle in (True, True, False):
        seen.clear()
        md.random.set_seed(3)
        model.fit(x, x[:, 0], batch_size=6, shuffle=shuffle, verbose=0)
        orders.append(list(seen))
    assert sorted(orders[0]) == list(range(20))
    assert orders[0] == orders[1] != orders[2] == list(range(20))


def test_validation_split_takes_the_last_samples_before_shuffling() -> None:
    x, y = line()
    model = regressor(optimizer=md.optimizers.SGD(learning_rate=0.0))
    history = model.fit(x, y, validation_split=0.25, epochs=2, verbose=0)
    assert history.history["val_loss"][0] == pytest.approx(model.evaluate(x[48:], y[48:], verbose=0), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "batches", "measured"),
    [
        ({"batch_size": 8}, 2, slice(48, 64)),
        ({"validation_batch_size": 4}, 4, slice(48, 64)),
        ({"validation_batch_size": 4, "validation_steps": 2}, 2, slice(48, 56)),
    ],
)
def test_a_validation_split_has_batches_of_its_own(options: dict[str, Any], batches: int, measured: slice) -> None:
    x, y = line()
    model, begun = regressor(optimizer=md.optimizers.SGD(learning_rate=0.0)), []
    count = md.callbacks.LambdaCallback(on_test_batch_begin=lambda batch, logs: begun.append(batch))
    history = model.fit(x, y, validation_split=0.25, verbose=0, callbacks=[count], **options).history
    assert begun == list(range(batches))
    assert history["val_loss"][0] == pytest.approx(model.evaluate(x[measured], y[measured], verbose=0), rel=1e-6)


def test_validation_after_some_epochs() -> None:
    history = regressor().fit(*line(), validation_data=line(), validation_freq=[1, 3], epochs=4, verbose=0).history
    assert len(history["val_loss"]) == 2


def test_validation_data_and_frequency() -> None:
    x, y = line()
    history = regressor().fit(x, y, validation_data=(x[:8], y[:8]), validation_freq=2, epochs=4, verbose=0)
    assert len(history.history["val_loss"]) == 2
    assert len(history.history["loss"]) == 4


def test_same_seed_same_bits() -> None:
    def trained() -> list[Any]:
        md.random.set_seed(1)
        model = md.Sequential([layers.Dense(8, activation="tanh"), layers.Dropout(0.5), layers.Dense(1)])
        model.compile("adam", "mse")
        model.fit(*line(), epochs=3, verbose=0)
        return model.get_weights()

    for a, b in zip(trained(), trained(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_sample_weights_and_class_weights_agree() -> None:
    x, _ = line()
    labels = (x[:, 0] > 0).astype(int)
    results = []
    for options in ({"class_weight": {0: 1.0, 1: 3.0}}, {"sample_weight": np.where(labels == 1, 3.0, 1.0)}):
        md.random.set_seed(2)
        model = md.Sequential([layers.Dense(1, activation="sigmoid", input_shape=(2,))])
        model.compile("sgd", "binary_crossentropy")
        model.fit(x, labels, verbose=0, **options)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("labels", "class_weight"),
    [
        ([0.0, 1.0, 1.0, 0.0], {0: 1.0, 1: 3.0}),
        ([0.4, 0.6, 1.0, 0.5], {0: 1.0, 1: 3.0}),  # 0.5 is rounded to the even 0
        ([[0.0], [1.0], [1.0], [-0.4]], {0.0: 1.0, 1.0: 3.0}),
        ([0, 1, 1, 2], {np.float32(1.0): 3.0}),
    ],
)
def test_the_class_of_a_label_is_the_nearest_integer(labels: Any, class_weight: Any) -> None:
    x, labels = np.arange(8.0).reshape(4, 2) / 8, np.array(labels)
    losses = []
    for options in ({"class_weight": class_weight}, {"sample_weight": [1.0, 3.0, 3.0, 1.0]}):
        md.random.set_seed(0)
        losses.append(regressor().train_on_batch(x, labels, **options))
    assert losses[0] == losses[1]


def test_class_weights_are_for_training_alone() -> None:
    x, _ = line()
    labels = (x[:, 0] > 0).astype(int)
    model = md.Sequential([layers.Dense(1, activation="sigmoid", input_shape=(2,))])
    model.compile("sgd", "binary_crossentropy")
    history = model.fit(x, labels, validation_split=0.25, class_weight={0: 10.0, 1: 10.0}, verbose=0).history
    assert history["val_loss"][0] == pytest.approx(model.evaluate(x[48:], labels[48:], verbose=0), rel=1e-6)
    assert history["loss"][0] > 4 * history["val_loss"][0]


def test_class_weights_of_a_generator() -> None:
    x, _ = line()
    labels = (x[:, 0] > 0).astype(int)
    results = []
    for data, target in ((((x, labels) for _ in range(1)), None), (x, labels)):
        md.random.set_seed(2)
        model = md.Sequential([layers.Dense(1, activation="sigmoid", input_shape=(2,))])
        model.compile("sgd", "binary_crossentropy")
        model.fit(data, target, batch_size=64, shuffle=False, class_weight={1: 3.0}, verbose=0)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_metrics_of_one_name_are_told_apart() -> None:
    x, y = line()
    model = regressor(metrics=["mae", "mae"], weighted_metrics=["mae"])
    logs = model.evaluate(x, y, sample_weight=np.linspace(0, 2, 64), verbose=0, return_dict=True)
    assert list(logs) == model.metrics_names == ["loss", "mae", "mae_1", "weighted_mae"]
    assert logs["mae"] == logs["mae_1"] != logs["weighted_mae"]


def test_a_metric_of_the_users_need_not_know_of_masks() -> None:
    class Largest(md.metrics.Metric):
        def reset_state(self) -> None:
            self.largest = -np.inf

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
            self.largest = max(self.largest, float(np.max(y_pred)))

        def result(self) -> float:
            return self.largest

    x, y = line()
    model = regressor(metrics=[Largest()])
    assert model.evaluate(x, y, verbose=0)[1] == pytest.approx(model.predict(x, verbose=0).max())


class HandsOn(md.metrics.Metric):
    """Another metric inside, whose update_state gets what this one gets."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.inside = md.metrics.MeanAbsoluteError()
        self.seen: list[Any] = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        self.seen.append(sample_weight)
        self.inside.update_state(y_true, y_pred, sample_weight)

    def result(self) -> Any:
        return self.inside.result()


class OnTop(md.metrics.MeanAbsoluteError):
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        super().update_state(y_true, y_pred, sample_weight)


def test_a_metric_of_the_users_hands_the_mask_on_with_the_predictions() -> None:
    ids, targets = np.array([[1, 2, 0], [3, 0, 0]]), np.arange(6.0).reshape(2, 3, 1)
    weights = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    model = md.Sequential([layers.Embedding(4, 2, mask_zero=True), layers.Dense(1)])
    plain, weighted = [HandsOn("a"), OnTop("b")], [HandsOn("c"), OnTop("d")]
    model.compile("sgd", "mse", metrics=plain, weighted_metrics=weighted)
    results = model.evaluate(ids, targets, sample_weight=weights, verbose=0, return_dict=True)
    errors, valid = abs(model.predict(ids, verbose=0) - targets)[..., 0], ids != 0
    assert results["a"] == results["b"] == pytest.approx(errors[valid].mean(), rel=1e-6)
    expected = (errors * weights)[valid].sum() / weights[valid].sum()
    assert results["c"] == results["d"] == pytest.approx(expected, rel=1e-6)
    assert plain[0].seen == [None]  # type: ignore[union-attr]
    np.testing.assert_array_equal(weighted[0].seen, [weights])  # type: ignore[union-attr]


def test_results_of_metrics_become_floats() -> None:
    class Calls(md.metrics.Metric):
        def __init__(self, several: bool) -> None:
            super().__init__(name="calls")
            self.calls, self.several = self.add_weight(), several

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
            self.calls.assign_add(1)

        def result(self) -> Any:
            return {"once": self.calls, "twice": self.calls * 2} if self.several else self.calls

    history = regressor(metrics=[Calls(False)]).fit(*line(), epochs=2, verbose=0).history
    assert history["calls"] == [2.0, 2.0] and type(history["calls"][0]) is float
    results = regressor(metrics=[Calls(True)]).evaluate(*line(), verbose=0, return_dict=True)
    assert (results["once"], results["twice"]) == (2.0, 4.0) and "calls" not in results


@pytest.mark.parametrize(
    "options",
    [
        {"loss": ["mse"], "metrics": [["mae", "mse"]]},
        {"loss": ("mse",), "metrics": [["mae"], ["mse"]]},
        {"metrics": ["mae", ("mse",)], "steps_per_execution": 4, "auto_scale_loss": False},
        {"metrics": {"dense": ["mae", "mse"]}},
    ],
)
def test_what_is_said_for_each_of_several_outputs_may_be_said_for_one(options: dict[str, Any]) -> None:
    model = regressor(**options)
    assert model.metrics_names == ["loss", "mae", "mse"]
    results = model.evaluate(*line(), verbose=0, return_dict=True)
    assert results["loss"] == pytest.approx(results["mse"], rel=1e-6)
    model.reset_metrics()
    assert model._loss_mean.result() == 0.0


def test_the_data_of_one_input_and_one_output_may_stand_in_lists() -> None:
    x, y = line()
    model, weights = regressor(optimizer=md.optimizers.SGD(0.0)), np.linspace(0, 2, 64)
    expected = model.evaluate(x, y, sample_weight=weights, verbose=0)
    assert model.evaluate([x], [y], sample_weight=(weights,), verbose=0) == expected
    history = model.fit((x,), y, sample_weight=[weights], validation_data=([x], [y], [weights]), verbose=0).history
    assert history["val_loss"] == [expected]
    np.testing.assert_array_equal(model.predict([x], verbose=0), model.predict(x, verbose=0))
    assert model.train_on_batch([x[:1]], [np.array([1.0])]) == model.test_on_batch(x[:1], [1.0])


def test_what_no_model_of_one_output_can_be_compiled_with() -> None:
    with pytest.raises(ValueError, match=r"loss must be one loss, for the one output of the model, got \['mse', 'm"):
        regressor(loss=["mse", "mae"])
    with pytest.raises(ValueError, match=r"loss must be one loss, .* got \{'dense': 'mse'\}"):
        regressor(loss={"dense": "mse"})
    with pytest.raises(TypeError, match=r'metrics must be a list, such as \["accuracy"\], got <AUC auc>'):
        regressor(metrics=md.metrics.AUC())
    for mean in ("mean", md.metrics.Mean()):
        with pytest.raises(TypeError, match=r"metrics: mean takes values, not targets and predictions; .* MeanMetric"):
            regressor(weighted_metrics=[mean])


def test_sample_weights_count_in_weighted_metrics_alone() -> None:
    x, y = line()
    weights = np.linspace(0, 2, 64)
    model = regressor(metrics=["mae"], weighted_metrics=[md.metrics.MeanAbsoluteError(name="weighted")])
    errors = abs(model.predict(x, verbose=0)[:, 0] - y)
    logs = model.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    assert logs["mae"] == pytest.approx(float(errors.mean()), rel=1e-5)
    assert logs["weighted"] == pytest.approx(float((errors * weights).sum() / weights.sum()), rel=1e-5)


def test_generators_and_sequences() -> None:
    x, y = line()

    def endless() -> Any:
        while True:
            yield x[:16], y[:16]

    class Batches:
        ended = 0

        def __len__(self) -> int:
            return 4

        def __getitem__(self, i: int) -> Any:
            return x[16 * i : 16 * i + 16], y[16 * i : 16 * i + 16], np.ones(16)

        def on_epoch_end(self) -> None:
            self.ended += 1

    model = regressor()
    assert len(model.fit(endless(), steps_per_epoch=3, epochs=2, verbose=0).history["loss"]) == 2
    batches = Batches()
    model.fit(batches, epochs=2, verbose=0)
    assert batches.ended == 2
    assert model.evaluate(batches, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)
    assert model.predict((x[i : i + 8] for i in range(0, 64, 8)), verbose=0).shape == (64, 1)


def test_steps_per_epoch_of_arrays_go_on_where_they_stopped() -> None:
    seen: list[int] = []

    class Look(layers.Layer):
        def call(self, x: Any) -> Any:
            seen.extend(x.numpy()[:, 0].astype(int).tolist())
            return x

    model = md.Sequential([Look(), layers.Dense(1)])
    model.build((None, 1))
    model.compile(loss="mse")
    x = np.arange(8.0)[:, None]
    seen.clear()
    model.fit(x, x, batch_size=2, steps_per_epoch=3, epochs=2, shuffle=False, verbose=0)
    assert seen == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]
    seen.clear()
    model.evaluate(x, x, batch_size=2, steps=1, verbose=0)
    assert seen == [0, 1]
    assert len(model.predict(x, batch_size=3, steps=2, verbose=0)) == 6


def test_what_can_be_iterated_again_is() -> None:
    x, y = line()

    class Loader:
        def __iter__(self) -> Any:
            return ((x[i : i + 16], y[i : i + 16]) for i in range(0, 64, 16))

    model = regressor(optimizer=md.optimizers.SGD(learning_rate=0.0))
    for steps in (None, 4, 3):
        losses = model.fit(Loader(), epochs=3, steps_per_epoch=steps, validation_data=Loader(), verbose=0).history
        assert len(losses["loss"]) == 3
        assert losses["val_loss"] == pytest.approx([model.evaluate(x, y, verbose=0)] * 3, rel=1e-5)


def test_a_generator_that_ends() -> None:
    x, y = line()
    model = regressor()
    with pytest.warns(UserWarning, match="the generator has ended: training stops after 1 of 3 epochs"):
        history = model.fit(((x, y) for _ in range(2)), epochs=3, verbose=0)
    assert history.epoch == [0]
    with pytest.warns(UserWarning, match="after 1 of 2 batches"):
        assert len(model.fit(((x, y) for _ in range(3)), epochs=2, steps_per_epoch=2, verbose=0).epoch) == 2
    with pytest.raises(ValueError, match="there is no data: the generator gave no batch"):
        model.fit(iter(()), verbose=0)
    with pytest.raises(ValueError, match="nothing to measure on"):
        model.evaluate(iter(()), verbose=0)
    with pytest.raises(ValueError, match="nothing to predict"):
        model.predict(iter(()), verbose=0)


def test_several_inputs() -> None:
    class Add(md.Model):
        def __init__(self) -> None:
            super().__init__()
            self.out = layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            a, b = (inputs["a"], inputs["b"]) if isinstance(inputs, dict) else inputs
            return self.out(a + b)

    x, y = line()
    for inputs in ([x, x], {"a": x, "b": x}):
        model = Add()
        model.compile("adam", "mse")
        model.fit(inputs, y, verbose=0)
        assert model.predict(inputs, verbose=0).shape == (64, 1)


def test_functions_of_the_users_get_targets_beside_their_predictions() -> None:
    class Own(md.losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return md.square(y_true - y_pred)

    def squared(y_true: Any, y_pred: Any) -> Any:
        return (y_true - y_pred) ** 2

    x, y = line()
    results = []
    for loss in ("mse", squared, Own()):
        md.random.set_seed(1)
        model = regressor(loss=loss, metrics=["mse", squared])
        history = model.fit(x, y, verbose=0).history
        assert history["mse"] == pytest.approx(history["squared"], rel=1e-6)
        results.append([*model.get_weights(), history["loss"]])
    for values in zip(*results, strict=True):
        np.testing.assert_allclose(values[1:], [values[0]] * 2, rtol=1e-6)


def test_labels_and_data_may_be_lists() -> None:
    model = regressor()
    model.fit([[0.0, 1.0], [1.0, 0.0]], [1, 2], verbose=0)
    assert model.predict([[0.0, 1.0]], verbose=0).shape == (1, 1)


def test_initial_epoch_goes_on_counting() -> None:
    assert regressor().fit(*line(), initial_epoch=3, epochs=5, verbose=0).epoch == [3, 4]


def test_regularizers_are_part_of_the_loss_and_of_its_gradient() -> None:
    x, y = line()
    model = md.Sequential([layers.Dense(1, kernel_regularizer=md.regularizers.L2(0.5), input_shape=(2,))])
    model.compile(md.optimizers.SGD(learning_rate=0.1), "mse")
    kernel, bias = model.get_weights()
    error = x @ kernel[:, 0] + bias - y
    expected = kernel[:, 0] - 0.1 * (2 * x.T @ error / 64 + 2 * 0.5 * kernel[:, 0])
    assert model.train_on_batch(x, y) == pytest.approx(float(np.mean(error**2) + 0.5 * np.sum(kernel**2)), rel=1e-5)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], expected, rtol=1e-5)


def test_frozen_layers_stay_as_they_are() -> None:
    model = md.Sequential([layers.Dense(3, input_shape=(2,)), layers.Dense(1)])
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(*line(), verbose=0)
    after = model.get_weights()
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.array_equal(before[2], after[2])


def test_the_mask_reaches_the_loss() -> None:
    ids = np.array([[1, 2, 0], [3, 0, 0]])
    targets = np.ones((2, 3, 1), "float32")
    model = md.Sequential([layers.Embedding(4, 2, mask_zero=True), layers.Dense(1)])
    model.compile("sgd", "mse")
    errors = (model.predict(ids, verbose=0) - 1) ** 2
    valid = ids != 0
    assert model.evaluate(ids, targets, verbose=0) == pytest.approx(float(errors[..., 0][valid].mean()), rel=1e-6)


# ---- evaluate, predict, single batches


def test_evaluate_returns_what_keras_returns() -> None:
    x, y = line()
    assert isinstance(regressor().evaluate(x, y, verbose=0), float)
    model = regressor(metrics=["mae"])
    loss, mae = model.evaluate(x, y, verbose=0)
    assert model.evaluate(x, y, verbose=0, return_dict=True) == {"loss": loss, "mae": mae}


def test_single_batches() -> None:
    x, y = line()
    model = regressor(metrics=["mae"])
    before = model.test_on_batch(x, y)
    assert model.train_on_batch(x, y) == pytest.approx(before)
    assert model.test_on_batch(x, y, return_dict=True)["loss"] < before[0]
    np.testing.assert_array_equal(model.predict_on_batch(x), model.predict(x, batch_size=64, verbose=0))


def test_what_is_predicted_of_a_batch_is_not_the_batch() -> None:
    x = np.ones((2, 3), np.float32)
    outputs = md.Sequential([md.layers.Dropout(0.5)]).predict_on_batch(x)
    outputs[0] = 9
    assert x.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_dropout_acts_in_training_only() -> None:
    model = md.Sequential([layers.Dropout(0.5)])
    x = np.ones((4, 50), "float32")
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)
    assert (model(x, training=True).numpy() == 0).any()


def test_float64_models_compute_in_float64() -> None:
    model = md.Sequential([layers.Dense(1, dtype="float64", input_shape=(2,))])
    model.compile("adam", "mse")
    x, y = line()
    model.fit(x, y, verbose=0)
    assert model.predict(x.astype("float64"), verbose=0).dtype == np.float64
    assert all(w.dtype == np.float64 for w in model.weights)


# ---- structure


def test_the_documents_model_has_its_parameters_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    model = md.Sequential(
        [
            layers.Embedding(1000, 64, input_length=100),
            layers.LSTM(128, return_sequences=True),
            layers.Dropout(0.5),
            layers.LSTM(128),
            layers.Dropout(0.5),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    assert model.count_params() == 64_000 + 98_816 + 131_584 + 129 == 294_529
    model.summary()
    printed = capsys.readouterr().out
    for part in ("(None, 100, 64)", "(None, 100, 128)", "(None, 128)", "98,816", "131,584", "294,529", "1.12 MB"):
        assert part in printed


def test_a_summary_is_written_where_and_as_long_as_one_likes() -> None:
    inner = md.Sequential([layers.Dense(3, trainable=False, name="a"), layers.Dropout(0.5, name="b")], name="inner")
    model = md.Sequential([layers.Input((2,)), inner, layers.Dense(1, name="last")], name="outer")
    texts: list[str] = []
    model.summary(print_fn=texts.append)
    model.summary(60, print_fn=texts.append, expand_nested=True, show_trainable=True)
    rows = [[line.split() for line in text.splitlines()] for text in texts]
    assert [row[0] for row in rows[0] if "(None," in row] == ["inner", "last"]
    assert [(row[-5], row[-1]) for row in rows[1] if "(None," in row] == [
        ("(Sequential)", "Y"), ("(Dense)", "N"), ("(Dropout)", "-"), ("(Dense)", "Y"),
    ]  # fmt: skip
    assert [len(line) for line in texts[1].splitlines() if line[0] == "─"] == [60] * 3


def test_a_model_that_is_not_trainable() -> None:
    model = md.Sequential([layers.Input((2,)), layers.Dense(3)], trainable=False)
    model.add(layers.Dense(1))
    assert len(model.weights) == len(model.non_trainable_weights) == 4
    model.trainable = True
    assert len(model.trainable_weights) == 4


def test_add_pop_and_names() -> None:
    model = md.Sequential()
    model.add(layers.Input((3,)))
    model.add(layers.Dense(4, name="first"))
    model.add(layers.Dense(2))
    assert model.output_shape == (None, 2)
    assert model.get_layer("first").count_params() == 16
    model.pop()
    assert model.output_shape == (None, 4)
    with pytest.raises(ValueError, match="already"):
        model.add(layers.Dense(4, name="first"))
    with pytest.raises(TypeError, match=r"takes layers, got the class LSTM at place 1: write LSTM\(…\)"):
        md.Sequential([layers.Embedding(3, 2), layers.LSTM])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="an Input says what the model gets, .* not at place 1 after dense"):
        md.Sequential([layers.Dense(3, name="dense"), layers.Input((4,))])
    with pytest.raises(ValueError, match=r"an Input says .* after one of shape \(None, 4\)"):
        md.Sequential([layers.Input((4,)), layers.Input((5,)), layers.Dense(3)])
    with pytest.raises(TypeError, match="takes layers, got int"):
        md.Sequential([3])
    with pytest.raises(ValueError, match="no layer 'second'.*first"):
        model.get_layer("second")


def test_a_model_emptied_by_pop_takes_another_input() -> None:
    model = md.Sequential([layers.Dense(1, input_shape=(2,))])
    model.pop()
    model.add(layers.Dense(1, input_shape=(5,)))
    assert model.weights[0].shape == (5, 1)


def test_weights_of_subclassed_models_are_found_in_lists_and_dicts_once() -> None:
    class Deep(md.Model):
        def __init__(self) -> None:
            super().__init__()
            self.stack = [layers.Dense(2), layers.Dense(2)]
            self.named = {"out": layers.Dense(1)}
            self.again = self.stack[0]

        def call(self, x: Any) -> Any:
            for layer in self.stack:
                x = layer(x)
            return self.named["out"](x)

    model = Deep()
    model.build((None, 2))
    assert len(model.weights) == 6
    assert model.count_params() == 6 + 6 + 3


@pytest.mark.parametrize(
    ("bias", "message"),
    [
        (np.zeros(2), r"weight 1 \(bias\) has shape \(1,\), got \(2,\)"),
        (["x"], r"weight 1 \(bias\) holds float32, got an array of <U1; give real numbers"),
        ([None], r"weight 1 \(bias\) holds float32, got an array of object"),
        ([1j], r"weight 1 \(bias\) holds float32, got an array of complex128"),
    ],
)
def test_set_weights_changes_nothing_if_a_value_does_not_fit(bias: Any, message: str) -> None:
    model = regressor()
    before = model.get_weights()
    with pytest.raises((TypeError, ValueError), match=message):
        model.set_weights([np.full((2, 1), 7.0), bias])
    np.testing.assert_array_equal(before[0], model.get_weights()[0])


def test_weights_may_be_exchanged() -> None:
    model = md.Sequential([layers.Dense(2, use_bias=False, input_shape=(2,)), layers.Dense(2, use_bias=False)])
    first, second = model.get_weights()
    model.set_weights([w.data for w in reversed(model.weights)])
    np.testing.assert_array_equal(model.get_weights(), [second, first])


# ---- bad input


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 2)), np.zeros(4), "x holds 3 samples and y holds 4"),
        (np.zeros((0, 2)), np.zeros(0), "no samples"),
        (np.array([[1.0, np.nan]]), [0.0], r"x holds nan at position \(0, 1\)"),
        (np.zeros((1, 2)), [np.inf], r"y holds inf at position \(0,\)"),
        (np.zeros((2, 2)), ["a", "b"], "y must hold numbers.*map the classes"),
        ([["a", "b"]], [0.0], "x must hold numbers.*Tokenizer"),
        (np.array([[1, None]]), [0.0], "x must hold numbers, got object; make them numbers with"),
        ([[1.0], [1.0, 2.0]], [0, 1], "x is ragged.*pad_sequences"),
        (3.0, [1.0], "x must hold one entry a sample"),
        ("a text", [1.0], "x must hold one entry a sample, got the single value 'a text'"),
    ],
)
def test_bad_data_is_refused_and_changes_nothing(x: Any, y: Any, message: str) -> None:
    model = regressor()
    before = model.get_weights()
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(x, y, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("loss", "metrics", "bad", "message"),
    [
        ("sparse_categorical_crossentropy", [], 3, r"y_true\[60\] is 3, and y_pred has 3 classes"),
        ("sparse_categorical_crossentropy", ["precision"], 2, "precision: y_true has shape"),
        (
            md.losses.BinaryCrossentropy(from_logits=True),
            [],
            2,
            r"y_true\[60\] is 2, outside \[0, 1\]; labels are 0 and 1, or one-hot rows; of classes .* to_categorical",
        ),
    ],
)
def test_one_bad_label_anywhere_leaves_everything_as_it_was(loss: Any, metrics: Any, bad: int, message: str) -> None:
    x, _ = line()
    y = np.arange(64) % 2
    units, activation = (3, "softmax") if isinstance(loss, str) else (1, None)
    model = md.Sequential([layers.Dense(units, activation, input_shape=(2,))])
    model.compile("adam", loss)
    history = model.fit(x, y, verbose=0)
    model.compile(model.optimizer, loss, metrics=metrics)
    weights, state = model.get_weights(), model.optimizer.get_state()
    with pytest.raises(ValueError, match=message):
        model.fit(x, np.where(np.arange(64) == 60, bad, y), batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(
        [*weights, *state.values()], [*model.get_weights(), *model.optimizer.get_state().values()], strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert model.history is history


@pytest.mark.parametrize("method", ["fit", "train_on_batch"])
def test_targets_that_are_refused_leave_random_streams_and_states_as_they_were(method: str) -> None:
    x = np.random.default_rng(0).normal(size=(8, 3, 2))
    model = md.Sequential([
        layers.LSTM(4, stateful=True, dropout=0.5, return_sequences=True),
        layers.Bidirectional(layers.LSTM(4, stateful=True, dropout=0.5, seed=3)),
        layers.Dropout(0.5, seed=4),
        layers.Dense(1),
    ])  # fmt: skip
    model.compile("sgd", "mse")

    def standing() -> Any:
        states = [layer.states for layer in model._descendants() if isinstance(layer, layers.LSTM)]
        own = [vars(layer).get("_stream") for layer in model._descendants()]
        return [[s.numpy().tolist() for s in pair] for pair in states], repr([md.random.default(), *own])

    options = {"verbose": 0} if method == "fit" else {}
    getattr(model, method)(x, np.zeros((8, 1)), **options)
    before, history = standing(), model.history
    with pytest.raises(ValueError, match="y_true has shape"):
        getattr(model, method)(x, np.zeros((8, 5)), **options)
    assert standing() == before and model.history is history
    getattr(model, method)(x, np.zeros((8, 1)), **options)
    assert standing() != before


def test_a_model_that_a_refused_fit_has_built_does_not_draw_the_numbers_of_its_weights_again() -> None:
    model = md.Sequential([layers.Dropout(0.5), layers.Dense(1)])
    model.compile("sgd", "mse")
    before = md.random.default().offset
    with pytest.raises(ValueError, match="y_true has shape"):
        model.fit(line()[0], np.zeros((64, 5)), verbose=0)
    assert model.built and md.random.default().offset > before


def test_bad_validation_labels_are_found_before_training() -> None:
    x, _ = line()
    model = md.Sequential([layers.Dense(1, "sigmoid", input_shape=(2,))])
    model.compile("adam", "binary_crossentropy")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"y_true\[0\] is 5"):
        model.fit(x, np.zeros(64), validation_data=(x, np.full(64, 5)), verbose=0)
    np.testing.assert_array_equal(before[0], model.get_weights()[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer of 1 or more, got 0"),
        ({"validation_split": 1.5}, r"validation_split must lie in \(0, 1\), got 1.5"),
        ({"validation_split": "0.5"}, "validation_split must be a number, got '0.5'"),
        (
            {"validation_split": 0.5, "validation_batch_size": 0},
            "validation_batch_size must be an integer of 1 or more",
        ),
        ({"validation_split": 0.5, "validation_steps": 0}, "validation_steps must be an integer of 1 or more"),
        ({"validation_split": 0.999}, "leaves one side empty"),
        ({"validation_data": (1, 2, 3, 4)}, "got 4 parts"),
        ({"class_weight": {0: 1.0}, "sample_weight": np.ones(64)}, "cannot be combined"),
        ({"verbose": 7}, "verbose must be"),
        ({"epochs": 2.5}, "epochs must be an integer of 0 or more, got 2.5"),
        ({"initial_epoch": -1}, "initial_epoch must be"),
        ({"steps_per_epoch": 0}, "steps must be an integer of 1 or more, got 0"),
        ({"validation_data": line(), "validation_freq": 0}, "validation_freq must be an integer of 1 or more, got 0"),
        ({"validation_data": line()[0]}, "must be .* got an array without targets"),
        ({"class_weight": {0: -1.0}}, r"class_weight\[0\] must lie in"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        regressor().fit(*line(), **({"verbose": 0} | options))


def test_class_weight_must_be_a_dict() -> None:
    with pytest.raises(TypeError, match=r"class_weight must be a dict .* got 'balanced'"):
        regressor().fit(*line(), class_weight="balanced", verbose=0)
    with pytest.raises(TypeError, match=r"class_weight must be a dict from class numbers .* got \{0.5: 2.0\}"):
        regressor().fit(*line(), class_weight={0.5: 2.0}, verbose=0)
    model = md.Sequential([layers.LSTM(2, return_sequences=True), layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"needs one class a sample, and y has shape \(4, 3, 1\).* sample_weight"):
        model.fit(np.ones((4, 3, 2)), np.ones((4, 3, 1)), class_weight={0: 1.0}, verbose=0)
    with pytest.raises(ValueError, match="class_weight and sample_weight cannot be combined"):
        regressor().train_on_batch(*line(), sample_weight=np.ones(64), class_weight={0: 1.0})


def test_a_list_of_samples_that_are_arrays_is_explained() -> None:
    x, y = line()
    with pytest.raises(ValueError, match=r"x\[0\] holds 2 samples and y holds 64; .* np.stack\(x\) makes it one"):
        regressor().fit(list(x), y, verbose=0)


def test_a_compile_that_fails_changes_nothing() -> None:
    model = regressor()
    model.fit(*line(), verbose=0)
    before = model.optimizer, model.loss, model.evaluate(*line(), verbose=0)
    with pytest.raises(ValueError, match="unknown loss"):
        model.compile("adam", "msee")
    with pytest.raises(TypeError, match=r'metrics must be a list, such as \["accuracy"\], got \'accuracy\''):
        model.compile("adam", "mae", metrics="accuracy")
    with pytest.raises(TypeError, match=r"alone by their places, got \['accuracy'\] in a third; .* metrics=\[…\]"):
        model.compile("adam", "mae", ["accuracy"])
    assert (model.optimizer, model.loss, model.evaluate(*line(), verbose=0)) == before


def test_a_step_that_fit_would_not_call_is_refused() -> None:
    class Own(md.Model):
        def train_step(self, data: Any) -> Any:
            raise AssertionError

    model = Own()
    model.compile("sgd", "mse")
    with pytest.raises(NotImplementedError, match=r"fit would not call Own.train_step.*gradients"):
        model.fit(*line())


def test_uncompiled_and_unknown() -> None:
    with pytest.raises(RuntimeError, match=r"call model.compile"):
        md.Sequential([layers.Dense(1)]).fit(*line())
    with pytest.raises(ValueError, match="did you mean '[Aa]dam'"):
        regressor(optimizer="adan")
    with pytest.raises(ValueError, match="did you mean"):
        regressor(loss="binary_crossentropi")


def test_a_model_that_does_not_return_a_tensor() -> None:
    class Pair(md.Model):
        def call(self, x: Any) -> Any:
            return x, x

    model = Pair()
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="must return one Tensor"):
        model.fit(*line(), verbose=0)


def test_ctrl_c_keeps_history_and_weights() -> None:
    class Interrupt(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if len(self.model.history.epoch) == 2 and batch == 1:
                raise KeyboardInterrupt

    model = regressor()
    with pytest.raises(KeyboardInterrupt):
        model.fit(*line(), epochs=9, verbose=1, callbacks=[Interrupt()])
    assert model.history.epoch == [0, 1]
    assert np.isfinite(model.predict(line()[0], verbose=0)).all()
    model.fit(*line(), verbose=0)


def test_a_loss_that_is_not_finite_warns_once_and_where_fit_was_called() -> None:
    x, y = line()
    model = regressor(optimizer=md.optimizers.SGD(learning_rate=1e30))
    with pytest.warns(RuntimeWarning, match="TerminateOnNaN") as warned, np.errstate(all="ignore"):
        model.fit(x, y, epochs=5, batch_size=8, verbose=0)
    assert [w.filename for w in warned] == [__file__]


# ---- callbacks


def test_a_callback_that_fails_at_the_beginning_leaves_the_history_and_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fails(callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            raise OSError("no disk")

    closed: list[Any] = []
    model = regressor()
    history = model.fit(*line(), verbose=0)
    monkeypatch.setattr("minidl.models.model._close_bars", closed.append)
    with pytest.raises(OSError, match="no disk"):
        model.fit(*line(), verbose=1, callbacks=Fails())
    assert model.history is history and len(closed) == 1


@pytest.mark.parametrize("steps", [None, 2])
def test_training_goes_on_where_the_data_to_validate_on_have_ended(steps: int | None) -> None:
    x, y = line()
    recorder = Recorder()
    held_out = ((x, y) for _ in range(2))
    with pytest.warns(UserWarning, match="validation_data .*after epoch 2.*pass validation_steps with one") as warned:
        history = regressor().fit(
            x, y, epochs=4, validation_data=held_out, validation_steps=steps, verbose=1, callbacks=recorder
        )
    assert [w.filename for w in warned] == [__file__]
    assert history.epoch == [0, 1, 2, 3] and [len(history.history[k]) for k in ("loss", "val_loss")] == [4, 1]
    assert recorder.calls.count("epoch_end") == 4 and recorder.calls[-1] == "train_end"
    assert recorder.calls.count("test_begin") == recorder.calls.count("test_end") == 2


def test_the_order_of_the_hooks() -> None:
    x, y = line()
    recorder = Recorder()
    regressor().fit(
        x, y, batch_size=64, validation_data=(x, y), validation_batch_size=64, verbose=0, callbacks=[recorder]
    )
    assert recorder.calls == [
        "train_begin", "epoch_begin", "train_batch_begin", "train_batch_end",
        "test_begin", "test_batch_begin", "test_batch_end", "test_end", "epoch_end", "train_end",
    ]  # fmt: skip
    recorder.calls.clear()
    regressor().predict(x, batch_size=64, verbose=0, callbacks=[recorder])
    assert recorder.calls == ["predict_begin", "predict_batch_begin", "predict_batch_end", "predict_end"]


def test_hooks_get_logs_as_in_keras() -> None:
    got: dict[str, Any] = {}

    class Keep(callbacks.Callback):
        def on_train_begin(self, logs: Any) -> None:  # type: ignore[override]
            got["train_begin"] = dict(logs)

        def on_epoch_begin(self, epoch: int, logs: Any) -> None:  # type: ignore[override]
            got["epoch_begin"] = dict(logs)

        def on_batch_begin(self, batch: int, logs: Any) -> None:  # type: ignore[override]
            got["batch_begin"] = dict(logs)

        def on_batch_end(self, batch: int, logs: Any) -> None:  # type: ignore[override]
            got["batch_end"] = dict(logs)

        def on_train_end(self, logs: Any) -> None:  # type: ignore[override]
            got["train_end"] = dict(logs)

        def on_predict_batch_end(self, batch: int, logs: Any) -> None:  # type: ignore[override]
            got["outputs"] = logs["outputs"]

    x, y = line()
    model = regressor()
    history = model.fit(x, y, validation_data=(x[:8], y[:8]), verbose=0, callbacks=Keep()).history
    assert got["train_begin"] == got["epoch_begin"] == got["batch_begin"] == {}
    assert got["batch_end"] == {"loss": history["loss"][0]}
    assert got["train_end"] == {name: values[0] for name, values in history.items()}
    np.testing.assert_array_equal(model.predict(x[:5], verbose=0, callbacks=Keep()), got["outputs"])


def test_early_stopping_restores_the_best_weights() -> None:
    values = iter([3.0, 1.0, 2.0, 2.0, 2.0])
    snapshots: list[Any] = []

    class Script(callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["val_loss"] = next(values)
            snapshots.append(self.model.get_weights())

    model = regressor()
    stop = callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    history = model.fit(*line(), epochs=9, verbose=0, callbacks=[Script(), stop])
    assert (len(history.epoch), stop.best_epoch, stop.stopped_epoch, stop.best) == (4, 1, 3, 1.0)
    np.testing.assert_array_equal(model.get_weights()[0], snapshots[1][0])


@pytest.mark.parametrize(("monitor", "better"), [("val_loss", 0.5), ("val_accuracy", 1.5), ("auc", 1.5)])
def test_early_stopping_knows_what_is_better(monitor: str, better: float) -> None:
    assert callbacks.EarlyStopping(monitor)._improves(better, 1.0)
    assert not callbacks.EarlyStopping(monitor)._improves(2 - better, 1.0)


def test_early_stopping_asks_the_metric_what_is_better() -> None:
    x, y = line()
    chosen = {"area": md.metrics.AUC(name="area"), "size_acc": md.metrics.MeanAbsoluteError(name="size_acc")}
    model = md.Sequential([layers.Dense(1, "sigmoid", input_shape=(2,))])
    model.compile("sgd", "mse", metrics=[*chosen.values(), "accuracy", "accuracy"])
    found = {}
    for name in ("val_area", "size_acc", "accuracy_1", "val_loss"):
        stop = callbacks.EarlyStopping(name)
        model.fit(x, y > 1, validation_data=(x, y > 1), verbose=0, callbacks=stop)
        found[name] = stop._improves(1.5, 1.0)
    assert found == {"val_area": True, "size_acc": False, "accuracy_1": True, "val_loss": False}


def test_early_stopping_warns_of_a_result_that_is_not_there() -> None:
    advice = "; pass validation_split= or validation_data=, or monitor='loss'"
    for monitor, ending in (("val_loss", f"{advice}$"), ("val_los", "$"), ("accuracy", "$")):
        words = f"waits for '{monitor}', but the results hold loss{ending}"
        with pytest.warns(UserWarning, match=words) as caught:
            regressor().fit(*line(), verbose=0, callbacks=[callbacks.EarlyStopping(monitor)])
        assert caught[0].filename == __file__


def test_learning_rate_scheduler() -> None:
    model = regressor()
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 / (epoch + 1))
    history = model.fit(*line(), epochs=3, verbose=0, callbacks=[schedule])
    np.testing.assert_allclose(history.history["learning_rate"], [0.1, 0.05, 0.1 / 3])
    callbacks.LearningRateScheduler(lambda epoch: 0.5)
    with pytest.raises(ValueError, match="must return a number"):
        model.fit(*line(), verbose=0, callbacks=[callbacks.LearningRateScheduler(lambda epoch, rate: "fast")])


def test_an_error_in_a_schedule_is_its_own() -> None:
    def wrong(epoch: int, rate: float) -> float:
        return "half of " + rate  # type: ignore[operator,return-value]

    with pytest.raises(TypeError, match="concatenate"):
        regressor().fit(*line(), verbose=0, callbacks=callbacks.LearningRateScheduler(wrong))


def test_terminate_on_nan() -> None:
    x, y = line()
    model = regressor(optimizer=md.optimizers.SGD(learning_rate=1e30))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        history = model.fit(x, y, epochs=5, batch_size=8, verbose=0, callbacks=[callbacks.TerminateOnNaN()])
    assert len(history.epoch) == 1


def test_lambda_callback() -> None:
    seen: list[int] = []
    hook = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    regressor().fit(*line(), epochs=2, verbose=0, callbacks=[hook])
    assert seen == [0, 1]
    with pytest.raises(ValueError, match="unknown hook 'on_epoch'"):
        callbacks.LambdaCallback(on_epoch=print)
    with pytest.raises(TypeError, match="use LambdaCallback"):
        regressor().fit(*line(), verbose=0, callbacks=[print])


@pytest.mark.parametrize("wrap", [lambda inner: inner, layers.TimeDistributed])
def test_a_model_inside_is_made_again_from_its_configuration(wrap: Any) -> None:
    inner = md.Sequential([layers.Dense(4), layers.Dropout(0.5)])
    model = md.Sequential([layers.Input((5, 6)), wrap(inner), layers.Dense(1)])
    copy = md.Sequential.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert copy.count_params() == model.count_params()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("columns", [60, 80])
def test_progress_on_a_terminal_hides_no_number(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl
    import pty
    import struct
    import termios

    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with open(terminal, "rb", buffering=0) as shown, open(end, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        x, y = line()
        regressor(metrics=["mae"]).fit(x, y, validation_data=(x, y), batch_size=1, verbose=1)
        text = ""
        while not re.search("val_mae.*[\r\n]", text):  # a terminal hands over what it has so far
            text += shown.read(100_000).decode()
    first, *_, last = re.split("[\r\n]+", text.strip())
    assert re.match(r"epoch 1/1:   0%\|.*\| 0/\d+ \[00:00<\?", first)
    number = r"\d+\.\d{4}"
    assert re.fullmatch(
        rf"epoch 1/1: 100% \[00:0\d, loss {number}  mae {number}  val_loss {number}  val_mae {number}\] *", last
    )


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = line()
    model = regressor(metrics=["mae"])
    model.fit(x, y, epochs=2, validation_data=(x, y), verbose=1)
    bar = capsys.readouterr().err
    assert "epoch 2/2: 100%" in bar and "val_mae" in bar and "loss" in bar
    model.fit(x, y, epochs=2, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[1].startswith("epoch 2/2")
    model.evaluate(x, y, verbose=1)
    model.predict(x, verbose=1)
    shown = capsys.readouterr().err
    assert "evaluate: 100%" in shown and "predict: 100%" in shown
    model.fit(x, y, verbose=0)
    assert capsys.readouterr() == ("", "")
