"""A whole model trained beside PyTorch: every loss and every gradient of ten steps of Adam."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import make_torch_model as pytorch

import minidl as md
from minidl import layers

GOLDEN = Path(__file__).parent / "golden"
# A float32 gradient is held to this share of its largest entry.
RELATIVE = {"float64": 1e-9, "float32": 1e-5}


def classifier(start: dict[str, Any], dtype: str) -> md.Sequential:
    """The document's architecture in the sizes of `start`, with these weights and nothing dropped."""
    vocabulary, embedding = start["embedding"].shape
    units = start["recurrent_1"].shape[0]
    model = md.Sequential(
        [
            layers.Embedding(vocabulary, embedding, dtype=dtype),
            layers.LSTM(units, return_sequences=True, dtype=dtype),
            layers.LSTM(units, dtype=dtype),
            layers.Dense(1, activation="sigmoid", dtype=dtype),
        ]
    )
    model.build((None, 7))
    model.set_weights(list(start.values()))
    return model


def train(
    model: md.Sequential, start: dict[str, Any], ids: Any, labels: Any, steps: int
) -> Iterator[tuple[float, dict]]:
    optimizer = md.optimizers.Adam(learning_rate=pytorch.LEARNING_RATE)
    loss_function = md.losses.BinaryCrossentropy()
    for _ in range(steps):
        loss = loss_function(labels, model(ids, training=True))
        loss.backward()
        pairs = [(w.grad, w) for w in model.weights]
        yield float(loss), {name: w.grad.numpy().copy() for name, w in zip(start, model.weights, strict=True)}
        optimizer.apply_gradients(pairs)
        for w in model.weights:
            w.zero_grad()


def assert_close(actual: Any, expected: Any, relative: float) -> None:
    expected = np.asarray(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=relative * np.abs(expected).max())


@pytest.mark.parametrize("dtype", RELATIVE)
def test_golden_values_of_pytorch(dtype: str, kernels: str) -> None:
    golden = json.loads((GOLDEN / "torch_model.json").read_text())
    start, (ids, labels) = pytorch.start(), pytorch.data()
    results = list(train(classifier(start, dtype), start, ids, labels, 10))
    for (loss, _), expected in zip(results, golden["losses"], strict=True):
        assert loss == pytest.approx(expected, rel=RELATIVE[dtype])
    for (_, gradients), expected in ((results[0], golden["first_gradients"]), (results[-1], golden["last_gradients"])):
        for name in start:
            assert_close(gradients[name], expected[name], RELATIVE[dtype])


@pytest.mark.parametrize("dtype", RELATIVE)
def test_live_pytorch_at_the_documents_size(dtype: str) -> None:
    if os.environ.get("MINIDL_REQUIRE_TORCH") != "1":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(0)
    sizes = {"vocabulary": 1000, "embedding": 64, "units": 128}
    start = _glorot(rng, **sizes)
    ids, labels = rng.integers(0, 1000, (32, 20)), rng.integers(0, 2, 32).astype(float)
    theirs = pytorch.train(start, ids, labels, 10, dtype)
    ours = train(classifier(start, dtype), start, ids, labels, 10)
    for (loss, gradients), (expected_loss, expected) in zip(ours, theirs, strict=True):
        assert loss == pytest.approx(expected_loss, rel=RELATIVE[dtype])
        for name in start:
            assert_close(gradients[name], expected[name], RELATIVE[dtype])


def _glorot(rng: np.random.Generator, vocabulary: int, embedding: int, units: int) -> dict[str, Any]:
    def draw(*shape: int) -> Any:
        return rng.uniform(-1, 1, shape) * np.sqrt(6 / (shape[0] + shape[-1]))

    bias = np.concatenate([np.zeros(units), np.ones(units), np.zeros(2 * units)])
    return {
        "embedding": rng.uniform(-0.05, 0.05, (vocabulary, embedding)),
        "kernel_1": draw(embedding, 4 * units),
        "recurrent_1": draw(units, 4 * units),
        "bias_1": bias,
        "kernel_2": draw(units, 4 * units),
        "recurrent_2": draw(units, 4 * units),
        "bias_2": bias.copy(),
        "dense": draw(units, 1),
        "dense_bias": np.zeros(1),
    }
