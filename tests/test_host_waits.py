"""What a step of training makes the processor wait for on the GPU: the loss that is read, and the check of ids.

Counted by tests/cupy_stand_in.py, which lists every number that comes back, every call of synchronize, what CuPy
itself waits for, and every question to the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cupy_stand_in
import numpy as np
import on_device
import pytest

import minidl as md
from minidl import layers, losses, optimizers

Array = Any
IDS = "event"  # behind the copy of what the kernel that looks at ids has found
LOSS = "get of float32[]"
PLAYED = "event"  # behind the part of a recorded step that computes the loss

pytestmark = pytest.mark.skipif(on_device.ON_GPU, reason="the stand-in alone counts; it is not used where a GPU is")


@pytest.fixture(autouse=True)
def cp() -> Iterator[Any]:
    with on_device.cupy() as cupy:
        yield cupy


def watched(step: Callable[[], Any]) -> tuple[list[str], list[str]]:
    """What the second of two steps waits for, and what it asks the driver. The first one builds the weights."""
    step()
    cupy_stand_in.waited.clear(), cupy_stand_in.asked.clear()
    step()
    return list(cupy_stand_in.waited), list(cupy_stand_in.asked)


def document_model(**options: Any) -> md.Sequential:
    return md.Sequential(
        [
            layers.Embedding(20, 4, **options),
            layers.LSTM(5, return_sequences=True),
            layers.Dropout(0.5),
            layers.LSTM(5),
            layers.Dropout(0.5),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def on_cuda(*parts: layers.Layer, loss: Any = "mse", optimizer: Any = "adam", **options: Any) -> md.Sequential:
    model = (md.Sequential(list(parts)) if parts else document_model()).to("cuda")
    model.compile(optimizer, loss, **options)
    return model


def sentences() -> tuple[Array, Array]:
    return np.random.default_rng(0).integers(0, 20, (6, 7)), np.array([0, 1, 1, 0, 1, 0], np.float32)


def test_a_step_of_the_document_waits_for_its_ids_and_its_loss() -> None:
    model = on_cuda(loss="binary_crossentropy")
    assert watched(lambda: model.train_on_batch(*sentences())) == ([IDS, LOSS], [])


def test_a_lookup_that_fails_waits_for_the_answer_about_its_ids(cp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on its way into memory that goes back to CuPy, who might give it to somebody else before it has come."""

    def without_memory(*arguments: Any) -> None:
        raise MemoryError("Out of memory allocating 1,000 bytes")

    monkeypatch.setattr(md.kernels.cuda, "_gather", without_memory)
    table, ids = cp.zeros((4, 2), np.float32), cp.asarray(np.array([0, 1]))
    cupy_stand_in.waited.clear()
    with pytest.raises(MemoryError, match="1,000 bytes"):
        md.kernels.cuda.embedding_forward(table, ids)
    assert cupy_stand_in.waited == [IDS]


def test_a_step_of_the_document_needs_no_scipy(cp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy imports it where an array meets a number that is not in place, and a process would start a second later."""
    met: list[str] = []
    through_numpy = cp.ndarray.__array_ufunc__

    def watched(self: Any, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if out is None and not all(isinstance(x, cp.ndarray) for x in inputs):
            met.append(f"{ufunc.__name__} of {', '.join(type(x).__name__ for x in inputs)}")
        return through_numpy(self, ufunc, method, *inputs, **options, **({} if out is None else {"out": out}))

    monkeypatch.setattr(cp.ndarray, "__array_ufunc__", watched)
    model = on_cuda(loss="binary_crossentropy")
    model.train_on_batch(*sentences())
    assert met == []
    assert cp.zeros(2) / 2 is not None and met == ["divide of ndarray, int"]  # it would have been seen


def test_a_mean_is_divided_in_one_pass_and_minus_meets_no_number(cp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by way of NumPy, as CuPy's operators go to a number, nor in place on a copy, which is one launch more."""
    met: list[str] = []
    through_numpy = cp.ndarray.__array_ufunc__

    def watched(self: Any, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        met.append(f"{ufunc.__name__} of {len([x for x in inputs if isinstance(x, cp.ndarray)])}")
        return through_numpy(self, ufunc, method, *inputs, **options)

    monkeypatch.setattr(cp.ndarray, "__array_ufunc__", watched)
    x = md.Tensor([1.0, 2.0, 4.0], device="cuda", requires_grad=True)
    c, y = x.detach(), x.mean()
    y.backward()
    assert met == [] and y.item() == pytest.approx(7 / 3)
    for of_x, expected in (
        (lambda: -x, ["negative of 1", "negative of 1"]),
        (lambda: c - x, ["subtract of 2", "negative of 1"]),
        (lambda: c / x, ["divide of 2", "multiply of 2", "divide of 2", "divide of 2", "negative of 1"]),
    ):
        met.clear(), x.zero_grad()
        of_x().backward(c)
        assert met == expected


def test_ids_that_are_trusted_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(md.kernels.cuda, "check_ids", False)
    model = on_cuda(loss="binary_crossentropy")
    assert watched(lambda: model.train_on_batch(*sentences())) == ([LOSS], [])


def test_a_step_by_hand_waits_for_nothing_but_its_ids() -> None:
    model, optimizer, loss = on_cuda(), optimizers.Adam(), losses.BinaryCrossentropy()
    x, y = sentences()

    def step() -> None:
        model.build(x.shape)
        found = md.gradients(loss(y, model(x, training=True)), model.trainable_weights)
        optimizer.apply_gradients(zip(found, model.trainable_weights, strict=True))

    assert watched(step) == ([IDS], [])


def test_backward_and_weights_that_change_in_place_ask_no_driver() -> None:
    w = md.Tensor([1.0, 2.0], requires_grad=True, device="cuda")

    def step() -> None:
        w.zero_grad()
        (w * np.array([3.0, 4.0]) + [1.0, 2.0]).backward(np.array([1.0, 1.0]))
        with md.no_grad():
            w.data = w - 0.1 * w.grad  # type: ignore[operator]
        w.grad = np.zeros(2, np.float32)

    assert watched(step) == ([], [])


def test_fit_asks_the_driver_nothing_and_waits_once_a_step(cp: Any) -> None:
    model = on_cuda(layers.Dense(3), layers.Dense(1))
    x, y = np.ones((8, 2), np.float32), np.ones(8, np.float32)
    assert watched(lambda: model.fit(x, y, batch_size=2, verbose=0)) == ([LOSS] + [PLAYED] * 3, [])


def test_a_mask_is_not_looked_at() -> None:
    model = document_model(mask_zero=True).to("cuda")
    model.compile("adam", "binary_crossentropy")
    assert watched(lambda: model.train_on_batch(*sentences())) == ([IDS, LOSS], [])


def test_a_mask_on_the_loss_and_weights_of_samples_cost_no_wait() -> None:
    model = on_cuda(layers.Masking(), layers.LSTM(3, return_sequences=True, recurrent_dropout=0.5), layers.Dense(1))
    x = np.ones((4, 3, 2), np.float32)
    x[0, 2] = 0
    weights = np.array([1.0, 2.0, 1.0, 0.5])
    assert watched(lambda: model.train_on_batch(x, np.ones((4, 3, 1)), weights)) == ([LOSS], [])


@pytest.mark.parametrize("pooling", [layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D])
def test_pooling_under_a_mask_costs_no_wait(pooling: type[layers.Layer]) -> None:
    model = on_cuda(layers.Masking(), pooling(), layers.Dense(1))
    assert watched(lambda: model.train_on_batch(np.ones((4, 3, 2), np.float32), np.ones(4))) == ([LOSS], [])


def test_labels_are_waited_for_once(cp: Any) -> None:
    model = on_cuda(layers.Dense(3, activation="softmax"), loss="sparse_categorical_crossentropy")
    y = np.array([0, 1, 2, 1])
    assert watched(lambda: model.train_on_batch(np.ones((4, 2), np.float32), y)) == ([IDS, LOSS], [])


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm", "clipvalue", "weight_decay"])
def test_clipping_and_decay_cost_no_wait_and_clip_as_on_the_processor(clip: str) -> None:
    x, y = np.ones((4, 2), np.float32), 9 * np.ones((4, 3), np.float32)
    models = []
    for device in ("cpu", "cuda"):
        md.random.set_seed(1)
        model = md.Sequential([layers.Dense(4), layers.Dense(3)])
        model.compile(optimizers.SGD(0.1, **{clip: 0.5}), "mse")
        model.build((None, 2))
        models.append(model.to(device))
    expected, actual = models
    expected.train_on_batch(x, y), expected.train_on_batch(x, y)
    assert watched(lambda: actual.train_on_batch(x, y)) == ([LOSS], [])
    for a, b in zip(actual.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_classes_of_labels_on_the_gpu_are_read_at_once(cp: Any) -> None:
    model = on_cuda(layers.Dense(1, activation="sigmoid"), loss="binary_crossentropy")
    x, y = cp.asarray(np.ones((8, 2), np.float32)), cp.asarray(np.array([0, 1] * 4))
    waits, asked = watched(lambda: model.train_on_batch(x, y, class_weight={0: 1.0, 1: 2.0}))
    assert waits.count("get of int64[8]") == 1 and not [w for w in waits if w.startswith("int of")] and not asked


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "binary_crossentropy", "categorical_crossentropy", "mae"])
def test_targets_are_looked_at_before_they_go_to_the_gpu(loss: str) -> None:
    predictions = md.Tensor([[0.2, 0.8], [0.9, 0.1]], requires_grad=True, device="cuda")
    logits = md.softmax(predictions) if loss == "categorical_crossentropy" else md.sigmoid(predictions)
    targets = np.array([[0.0, 1.0], [1.0, 0.0]])
    waits, _ = watched(lambda: losses.get(loss)(targets, logits))
    assert waits == []


def test_an_array_of_cupys_is_watched_where_it_is(cp: Any) -> None:
    """Whoever holds it may write to it. An op that takes it, and its backward, wait for a bit, not for the array."""
    array = cp.asarray(np.array([3.0, 4.0], np.float32))
    x = md.Tensor([1.0, 2.0], requires_grad=True, device="cuda")
    bit = "bool of bool[]"
    assert watched(lambda: (x * array).sum().backward()) == ([bit, bit], [])
    with md.no_grad():
        assert watched(lambda: x * array) == ([], [])
    y = (x * array).sum()
    array[0] = 9
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
