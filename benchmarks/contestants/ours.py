"""minidl, on the processor or on the GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import minidl as md
from benchmarks import inputs, scalars, small_ops
from benchmarks.peers import DEVICE
from minidl import devices, kernels
from minidl.layers import LSTM, Dense, Dropout, Embedding

Step = Callable[[], Any]
Array = Any

if DEVICE == "cuda":
    md.use("cuda")
wait: Step = devices.synchronize if DEVICE == "cuda" else lambda: None


def _uniform(*shape: int, scale: float = 1.0, seed: int = 0) -> Array:
    return devices.send(inputs.uniform(*shape, scale=scale, seed=seed), devices.current())


def _ids(rows: int, n: int) -> Array:
    return devices.send(np.random.default_rng(0).integers(0, rows, n), devices.current())


# ---- the document's model -----------------------------------------------------------------


def _optimizer(name: str) -> md.optimizers.Optimizer:
    rate = inputs.LEARNING_RATES[name]
    return md.optimizers.Adam(rate, epsilon=inputs.EPSILON) if name == "adam" else md.optimizers.SGD(rate)


def _document_model(time: int, rate: float, optimizer: str = "adam") -> md.Sequential:
    layers: list[md.layers.Layer] = [Embedding(inputs.WORDS, inputs.FEATURES, input_length=time)]
    layers += [LSTM(inputs.UNITS, return_sequences=True), Dropout(rate), LSTM(inputs.UNITS), Dropout(rate)]
    model = md.Sequential([*layers, Dense(1, activation="sigmoid")])
    model.compile(optimizer=_optimizer(optimizer), loss="binary_crossentropy")
    model.set_weights(inputs.document_weights())
    return model


def document_train(batch: int, time: int, rate: float, optimizer: str) -> Step:
    model, (x, y) = _document_model(time, rate, optimizer), inputs.document_batch(batch, time)
    return lambda: model.train_on_batch(x, y)


def document_infer(batch: int, time: int) -> Step:
    model, (x, _) = _document_model(time, 0.5), inputs.document_batch(batch, time)
    return lambda: model.predict_on_batch(x)


# ---- one LSTM -----------------------------------------------------------------------------


def _lstm(features: int, units: int) -> LSTM:
    layer = LSTM(units, return_sequences=True)
    layer.build((None, None, features))
    layer.set_weights(inputs.lstm_weights(features, units))
    return layer


def lstm_train(batch: int, time: int, features: int, units: int) -> Step:
    layer = _lstm(features, units)
    x = md.Tensor(inputs.uniform(batch, time, features), requires_grad=True)
    dy = md.Tensor(inputs.uniform(batch, time, units))

    def step() -> Any:
        for t in (x, *layer.weights):
            t.zero_grad()
        layer(x).backward(dy)
        return x.grad

    return step


def lstm_infer(batch: int, time: int, features: int, units: int) -> Step:
    layer, x = _lstm(features, units), md.Tensor(inputs.uniform(batch, time, features))

    def step() -> Any:
        with md.no_grad():
            return layer(x)

    return step


# ---- single operations --------------------------------------------------------------------


def copy(n: int) -> Step:
    x = _uniform(n)
    y = x - x

    def step() -> Any:
        y[...] = x
        return y

    return step


def matmul(m: int, n: int, k: int) -> Step:
    a, b = _uniform(m, k), _uniform(k, n, seed=1)
    return lambda: kernels.of(a).matmul(a, b)


def matmul_transposed(m: int, n: int, k: int) -> Step:
    a, b = _uniform(m, k), _uniform(n, k, seed=1)
    return lambda: kernels.of(a).matmul(a, b.T)


def matmul_stack(count: int, m: int, n: int, k: int) -> Step:
    a, b = _uniform(count, m, k), _uniform(count, k, n, seed=1)
    return lambda: kernels.of(a).matmul(a, b)


def _elementwise(name: str) -> Callable[[int], Step]:
    def task(n: int) -> Step:
        x = _uniform(n, scale=4)
        kernel = getattr(kernels.of(x), name)
        return lambda: kernel(x)

    return task


exp, tanh, sigmoid = _elementwise("exp"), _elementwise("tanh"), _elementwise("sigmoid")
gelu = _elementwise("gelu_forward")


def multiply(n: int) -> Step:
    x, y = _uniform(n), _uniform(n, seed=1)
    return lambda: kernels.of(x).multiply(x, y)


def add_row(batch: int, classes: int) -> Step:
    x, y = _uniform(batch, classes), _uniform(classes, seed=1)
    return lambda: kernels.of(x).add(x, y)


def divide_by_column(batch: int, classes: int) -> Step:
    x, y = _uniform(batch, classes), 2 + _uniform(batch, 1, seed=1)
    return lambda: kernels.of(x).divide(x, y)


def where(n: int) -> Step:
    x, y = _uniform(n), _uniform(n, seed=1)
    condition = x > 0
    return lambda: kernels.of(x).where(condition, x, y)


def sum(n: int) -> Step:  # the name of the task
    x = _uniform(n)
    return lambda: kernels.of(x).sum_rows(x)


def sum_columns(batch: int, classes: int) -> Step:
    x = _uniform(batch, classes)
    return lambda: kernels.of(x).sum_columns(x)


def _max(x: Array) -> Step:
    return lambda: kernels.of(x).extreme_forward(x, True)


def max(n: int) -> Step:  # the name of the task
    return _max(_uniform(n)[None, :, None])


def max_rows(batch: int, classes: int) -> Step:
    return _max(_uniform(batch, classes)[:, :, None])


def max_columns(batch: int, classes: int) -> Step:
    return _max(_uniform(batch, classes)[None])


def softmax(batch: int, classes: int) -> Step:
    x = _uniform(batch, classes, scale=4)
    return lambda: kernels.of(x).softmax_forward(x)


def log_softmax(batch: int, classes: int) -> Step:
    x = _uniform(batch, classes, scale=4)
    return lambda: kernels.of(x).log_softmax_forward(x)


def softmax_cross_entropy(batch: int, classes: int) -> Step:
    x = md.Tensor(_uniform(batch, classes, scale=4), requires_grad=True)
    labels = devices.send(np.arange(batch) % classes, devices.current())

    def step() -> Any:
        x.zero_grad()
        md.sparse_cross_entropy(x, labels).sum().backward()
        return x.grad

    return step


def dropout(n: int) -> Step:
    x, stream = _uniform(n), md.random.Generator(0)
    return lambda: kernels.of(x).dropout(x, 0.5, stream.seed, stream.take(n))


def embedding_forward(rows: int, units: int, n: int) -> Step:
    table, ids = _uniform(rows, units), _ids(rows, n)
    return lambda: kernels.of(table).embedding_forward(table, ids)


def embedding_backward(rows: int, units: int, n: int) -> Step:
    dy, ids = _uniform(n, units), _ids(rows, n)
    return lambda: kernels.of(dy).embedding_backward(dy, ids, rows)


def adam(n: int) -> Step:
    weight = md.Tensor(_uniform(n), requires_grad=True)
    gradient = md.Tensor(_uniform(n, seed=1))
    optimizer = _optimizer("adam")

    def step() -> Any:
        optimizer.apply_gradients([(gradient, weight)])
        return 0.0

    return step


# ---- what is around the arithmetic --------------------------------------------------------


def tiny_op() -> Step:
    a, b = md.Tensor(1.5, requires_grad=True), md.Tensor(2.5, requires_grad=True)

    def step() -> Any:
        a.grad = b.grad = None
        (a * b).backward()
        return a.grad

    return step


def small_op(name: str) -> Step:
    return small_ops.step_of(name, md, partial(md.Tensor, requires_grad=True))


def op_chain() -> Step:
    return scalars.chain_of(partial(md.Tensor, requires_grad=True))


def mlp_train(optimizer: str) -> Step:
    model = md.Sequential([Dense(256, activation="relu"), Dense(128, activation="relu"), Dense(10)])
    model.build((None, 784))
    model.set_weights(inputs.mlp_weights())
    loss = md.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=_optimizer(optimizer), loss=loss)
    x, y = inputs.mlp_batch()
    return lambda: model.train_on_batch(x, y)


def scalar_network() -> Step:
    return scalars.step_of(partial(md.Tensor, requires_grad=True), md.Tensor, md.tanh)
