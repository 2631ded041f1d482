"""Steps that were recorded as CUDA graphs give the bits of plain ones, and what changes them ends the recording.

Where there is no GPU, tests/cupy_stand_in.py captures: whatever a graph does not do itself each time finds NaN.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import on_device
import pytest

import minidl as md
from minidl import layers, optimizers
from minidl.kernels._cuda_graph import Recording

Array = Any
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cp() -> Iterator[Any]:
    with on_device.cupy() as cupy, md.use("cuda"):
        yield cupy


def recorded(model: md.Model) -> int:
    """How many recordings a model holds."""
    return sum(isinstance(known, Recording) for known in model._playback._known.values())


def updates(model: md.Model) -> int:
    """How many of them hold the step of the optimizer too."""
    return sum(plays for _, plays in model._playback._updates.values())


def text(**options: Any) -> list[layers.Layer]:
    return [
        layers.Embedding(20, 4, **options),
        layers.LSTM(5, return_sequences=True),
        layers.Dropout(0.5),
        layers.LSTM(5),
        layers.Dropout(0.25, seed=3),
        layers.Dense(1, activation="sigmoid"),
    ]


def ids() -> tuple[Array, Array]:
    return rng.integers(0, 20, (6, 7)), rng.integers(0, 2, (6, 1)).astype(np.float32)


def floats(classes: int = 3) -> tuple[Array, Array]:
    return rng.standard_normal((6, 7, 4)).astype(np.float32), np.eye(classes, dtype=np.float32)[rng.integers(0, 3, 6)]


def labels() -> tuple[Array, Array]:
    return floats()[0], rng.integers(0, 3, 6)


def dense(**options: Any) -> list[layers.Layer]:
    return [layers.GlobalMaxPooling1D(), layers.Dense(3, **options)]


CASES: dict[str, tuple[Callable[[], list[layers.Layer]], Callable[[], tuple[Array, Array]], dict[str, Any]]] = {
    "document": (text, ids, {"loss": "binary_crossentropy", "metrics": ["accuracy"]}),
    "masked": (lambda: text(mask_zero=True), ids, {"loss": "binary_crossentropy"}),
    "int32 ids": (text, lambda: (ids()[0].astype(np.int32), ids()[1]), {"loss": "mse", "optimizer": "sgd"}),
    "labels": (
        lambda: dense(activation="softmax"),
        labels,
        {"loss": "sparse_categorical_crossentropy", "weighted_metrics": ["accuracy"]},
    ),
    "one-hot": (lambda: dense(activation="softmax"), floats, {"loss": "categorical_crossentropy"}),
    "probabilities": (
        lambda: [*dense(), layers.Activation("sigmoid"), layers.Reshape((3,))],
        floats,
        {"loss": "binary_crossentropy", "optimizer": "rmsprop"},
    ),
    "penalties": (lambda: dense(kernel_regularizer="l2", activation="relu"), floats, {"loss": "mae"}),
    "hinge": (dense, floats, {"loss": "hinge", "optimizer": optimizers.SGD(0.1, momentum=0.9, clipnorm=0.5)}),
    "huber": (dense, floats, {"loss": "huber", "optimizer": optimizers.AdamW(0.01, global_clipnorm=0.5)}),
    "both ways": (
        lambda: [
            layers.Masking(),
            layers.Bidirectional(layers.LSTM(3, dropout=0.5, recurrent_dropout=0.5)),
            layers.Dense(3),
        ],
        floats,
        {"loss": "mse"},
    ),
    "a long way": (  # as an LSTM with a loop of its own goes, to more steps than CuPy joins without a table of them
        lambda: [layers.Reshape((-1, 1)), layers.LSTM(3, recurrent_dropout=0.5), layers.Dense(3)],
        floats,
        {"loss": "mse"},
    ),
    "over time": (
        lambda: [
            layers.SpatialDropout1D(0.5),
            layers.TimeDistributed(layers.Dense(2)),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ],
        floats,
        {"loss": "kl_divergence"},
    ),
}


def trained(case: str, run_eagerly: bool, steps: int = 6, **fit: Any) -> tuple[md.Sequential, list[Any]]:
    """A model after so many steps, each on new data, and what was measured in them."""
    global rng
    rng = np.random.default_rng(1)
    md.random.set_seed(5)
    parts, batch, options = CASES[case]
    model = md.Sequential(parts())
    model.compile(**copy.deepcopy(options), run_eagerly=run_eagerly)
    return model, [model.train_on_batch(*batch(), **fit) for _ in range(steps)]


def same(a: Any, b: Any) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("weights", [None, np.array([1.0, 2.0, 0.0, 1.0, 0.5, 1.0])], ids=["", "weighted"])
@pytest.mark.parametrize("case", CASES)
def test_played_steps_have_the_bits_of_plain_ones(case: str, weights: Any) -> None:
    plain, expected = trained(case, True, sample_weight=weights)
    played, actual = trained(case, False, sample_weight=weights)
    assert recorded(plain) == 0 and recorded(played) == 1
    assert updates(played) == (case != "huber")  # where the weights decay
    same(actual, expected)
    same(played.get_weights(), plain.get_weights())
    assert md.random.default().offset > 0
    x, y = CASES[case][1]()
    same(*([model.test_on_batch(x, y) for _ in range(4)] for model in (plain, played)))
    assert recorded(played) == 2


def test_fit_and_predict_and_evaluate_play(cp: Any) -> None:
    x, y = rng.integers(0, 20, (22, 7)), rng.integers(0, 2, 22)

    def run(run_eagerly: bool) -> tuple[md.Sequential, list[Any]]:
        md.random.set_seed(2)
        model = md.Sequential(text())
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"], run_eagerly=run_eagerly)
        history = model.fit(x, y, batch_size=4, epochs=4, validation_split=0.3, verbose=0).history
        return model, [*history.values(), model.predict(x, batch_size=4), model.evaluate(x, y, verbose=0)]

    _, expected = run(True)
    played, actual = run(False)
    same(actual, expected)
    assert recorded(played) >= 4  # whole and last batches, in training and in validation


def test_what_is_predicted_belongs_to_the_caller() -> None:
    model = md.Sequential(dense())
    batches = [floats()[0] for _ in range(5)]
    outputs = [model.predict_on_batch(x) for x in batches]
    assert recorded(model) == 1
    same(outputs, [md.Sequential.predict_on_batch(model, x) for x in batches])
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(outputs, 2))


def test_data_on_the_gpu_is_played_too(cp: Any) -> None:
    def run(run_eagerly: bool, place: Callable[[Array], Array]) -> Any:
        global rng
        rng = np.random.default_rng(4)
        md.random.set_seed(4)
        model = md.Sequential(dense(activation="softmax"))
        model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=run_eagerly)
        losses = [model.train_on_batch(*map(place, labels())) for _ in range(5)]
        return recorded(model), losses

    assert run(False, cp.asarray) == (1, run(True, np.asarray)[1])


# ---- bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["document", "labels", "one-hot", "probabilities"])
def test_bad_input_is_refused_as_ever_and_changes_nothing(case: str) -> None:
    (plain, _), (played, _) = trained(case, True), trained(case, False)
    x, y = CASES[case][1]()
    wrong = x.copy() if case == "document" else y.copy()
    wrong[2] = 33
    bad = (wrong, y) if case == "document" else (x, wrong)
    errors = []
    for model in (plain, played):
        before, steps = model.get_weights(), model.optimizer.iterations
        with pytest.raises((IndexError, ValueError)) as caught:
            model.train_on_batch(*bad)
        errors.append(str(caught.value).partition(":")[2])  # without the name of the layer
        same(model.get_weights(), before)
        assert model.optimizer.iterations == steps
    assert errors[0] == errors[1] and "33" in errors[0]
    assert recorded(played) == 1
    md.random.set_seed(8)
    expected = plain.train_on_batch(x, y)
    md.random.set_seed(8)
    same([played.train_on_batch(x, y)], [expected])


# ---- what ends a recording ----------------------------------------------------------------

CHANGES: dict[str, Callable[[md.Sequential], Any]] = {
    "an attribute": lambda model: setattr(model.layers[2], "rate", 0.0),
    "weights that are written": lambda model: model.set_weights([w * 0.5 for w in model.get_weights()]),
    "weights that move": lambda model: model.to("cpu").to("cuda"),
    "frozen weights": lambda model: setattr(model.layers[0], "trainable", False),
    "one frozen weight": lambda model: setattr(model.layers[1].kernel, "requires_grad", False),
    "another loss": lambda model: model.compile("sgd", "mse", run_eagerly=model.run_eagerly),
    "a setting of the loss": lambda model: setattr(model.loss, "label_smoothing", 0.25),
    "a layer more": lambda model: model.add(layers.Dense(1)),
    "another last layer": lambda model: (model.pop(), model.add(layers.Dense(1, activation="sigmoid"))),
    "the learning rate": lambda model: setattr(model.optimizer, "learning_rate", 0.5),
    "the default stream": lambda model: md.random.set_seed(77),
    "a moved stream": lambda model: md.random.default().take(40),
    "a smaller batch": lambda model: [model.train_on_batch(x[:2], y[:2]) for x, y in [ids()]],
    "a setting of the optimizer": lambda model: setattr(model.optimizer, "beta_1", 0.5),
    "a schedule": lambda model: setattr(model.optimizer, "learning_rate", md.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "clipped gradients": lambda model: setattr(model.optimizer, "clipvalue", 0.01),
    "weight decay": lambda model: setattr(model.optimizer, "weight_decay", 0.1),
    "another optimizer": lambda model: setattr(model, "optimizer", optimizers.RMSprop(0.01)),
    "an optimizer that begins anew": lambda model: model.optimizer.__init__(0.02),
    "the state of the optimizer": lambda model: model.optimizer.set_state(
        {name: 2 * array for name, array in model.optimizer.get_state().items()}
    ),
    "a step by hand": lambda model: model.optimizer.apply_gradients([(w * 0.5, w) for w in model.trainable_weights]),
    "metrics": lambda model: model.compile(
        "sgd", "binary_crossentropy", metrics=["accuracy"], run_eagerly=model.run_eagerly
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(change: str) -> None:
    results = []
    for run_eagerly in (True, False):
        model, _ = trained("document", run_eagerly)
        CHANGES[change](model)
        results.append([*(model.train_on_batch(*ids()) for _ in range(4)), *model.get_weights()])
    same(*results)
    assert recorded(model) >= 1


def test_ids_that_are_trusted_are_played_without_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = trained("document", False)
    monkeypatch.setattr(md.kernels.cuda, "check_ids", False)
    for _ in range(4):
        model.train_on_batch(*ids())
    before, after = (known for known in model._playback._known.values() if isinstance(known, Recording))
    assert len(after._noted) == len(before._noted) - 1


# ---- what is never recorded ---------------------------------------------------------------


class Doubled(layers.Layer):
    def call(self, x: Any) -> Any:
        return 2 * x


class Squared(md.losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ((y_pred - y_true) ** 2).mean(-1)


@pytest.mark.parametrize(
    ("parts", "loss"),
    [
        ([Doubled(), layers.Dense(3)], "mse"),
        ([layers.Dense(3, activation=lambda x: 2 * x)], "mse"),
        ([layers.Dense(3, kernel_regularizer=lambda w: (w * w).sum())], "mse"),
        ([layers.Dense(3)], Squared()),
        ([layers.Dense(3)], lambda y, p: ((y - p) ** 2).mean(-1)),
        ([layers.Dropout(0.5, seed=1), layers.Dropout(0.5, seed=1), layers.Dense(3)], "mse"),
    ],
    ids=["a layer", "an activation", "a penalty", "a loss", "a function", "two streams of one seed"],
)
def test_what_is_the_users_own_is_never_recorded(parts: list[layers.Layer], loss: Any) -> None:
    model = md.Sequential([layers.Flatten(), *parts]).to("cuda")
    model.compile("sgd", loss)
    for _ in range(4):
        model.train_on_batch(*floats())
    assert recorded(model) == 0


class Signs(optimizers.Optimizer):
    def update(self, w: Any, g: Any, *rest: Any) -> None:
        w -= rest[-1] * np.sign(g)


def test_an_optimizer_of_the_users_runs_plainly_behind_played_gradients() -> None:
    results, (x, y) = [], floats()
    for run_eagerly in (True, False):
        md.random.set_seed(3)
        model = md.Sequential(dense())
        model.compile(Signs(0.1), "mse", run_eagerly=run_eagerly)
        results.append([*(model.train_on_batch(x, y) for _ in range(5)), *model.get_weights()])
    same(*results)
    assert recorded(model) == 1 and updates(model) == 0


def test_a_layer_that_keeps_its_state_is_never_recorded() -> None:
    model = md.Sequential([layers.LSTM(3, stateful=True)])
    model.compile("sgd", "mse")
    losses = [model.train_on_batch(*floats()) for _ in range(5)]
    assert recorded(model) == 0 and len(model._playback._known) <= 8 and len(set(losses)) == 5


def test_anomalies_are_looked_for_in_plain_steps() -> None:
    model, _ = trained("document", False)
    model.layers[-1].bias.data[...] = np.nan
    with md.detect_anomaly(), pytest.raises(Exception, match="affine|matmul|add"):
        model.train_on_batch(*ids())


def test_a_copy_of_a_model_begins_anew() -> None:
    model, _ = trained("document", False)
    other = copy.deepcopy(model)
    assert recorded(other) == 0
    before = model.get_weights()
    for _ in range(4):
        other.train_on_batch(*ids())
    same(model.get_weights(), before)


def test_a_model_that_is_busy_in_another_thread_runs_plainly() -> None:
    model, _ = trained("document", False)
    x, _ = ids()
    expected = [model.predict_on_batch(x) for _ in range(4)][-1]
    with model._playback._one_at_a_time:
        same([model.predict_on_batch(x)], [expected])
