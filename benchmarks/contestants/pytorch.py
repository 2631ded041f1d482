"""PyTorch, as its manual shows it: nn.LSTM (oneDNN on a CPU, cuDNN on a GPU), fused Adam, inference_mode."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks import inputs, scalars, small_ops
from benchmarks.peers import DEVICE

Step = Callable[[], Any]
torch.set_num_threads(len(os.sched_getaffinity(0)))
wait: Step = torch.cuda.synchronize if DEVICE == "cuda" else lambda: None
# cuDNN multiplies with 10 bits unless it is told not to, other products only if they are told to
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = "BENCHMARK_TF32" in os.environ


def tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(array).to(DEVICE)


class DocumentModel(nn.Module):
    """Embedding, LSTM, Dropout, LSTM, Dropout, Dense, without the sigmoid, which is in the loss."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(inputs.WORDS, inputs.FEATURES)
        self.lstm_1 = nn.LSTM(inputs.FEATURES, inputs.UNITS, batch_first=True)
        self.lstm_2 = nn.LSTM(inputs.UNITS, inputs.UNITS, batch_first=True)
        self.dropout = nn.Dropout(rate)
        self.dense = nn.Linear(inputs.UNITS, 1)
        table, w1, r1, b1, w2, r2, b2, kernel, bias = map(tensor, inputs.document_weights())
        _set(self.embedding.weight, table)
        _set_lstm(self.lstm_1, w1, r1, b1)
        _set_lstm(self.lstm_2, w2, r2, b2)
        _set(self.dense.weight, kernel.T)
        _set(self.dense.bias, bias)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        y, _ = self.lstm_1(self.embedding(ids))
        y, _ = self.lstm_2(self.dropout(y))
        return self.dense(self.dropout(y[:, -1]))


def _set(parameter: Any, value: torch.Tensor) -> None:
    with torch.no_grad():
        parameter.copy_(value)


def _set_lstm(layer: nn.LSTM, kernel: torch.Tensor, recurrent: torch.Tensor, bias: torch.Tensor) -> None:
    _set(layer.weight_ih_l0, kernel.T)
    _set(layer.weight_hh_l0, recurrent.T)
    _set(layer.bias_ih_l0, bias)
    _set(layer.bias_hh_l0, torch.zeros_like(bias))
    layer.bias_hh_l0.requires_grad_(False)  # a second bias, which Keras' LSTM does not have


def _optimizer(name: str, parameters: Any) -> torch.optim.Optimizer:
    rate = inputs.LEARNING_RATES[name]
    if name == "adam":
        return torch.optim.Adam(parameters, rate, eps=inputs.EPSILON, fused=True)
    return torch.optim.SGD(parameters, rate)


def _training_step(model: Any, stepper: torch.optim.Optimizer, loss_of: Any, x: Any, y: Any) -> Step:
    def step() -> Any:
        stepper.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        stepper.step()
        return loss.item()

    return step


# ---- the document's model -----------------------------------------------------------------


def document_train(batch: int, time: int, rate: float, optimizer: str) -> Step:
    model = DocumentModel(rate).to(DEVICE)
    stepper, loss_of = _optimizer(optimizer, model.parameters()), nn.BCEWithLogitsLoss()
    x, y = map(tensor, inputs.document_batch(batch, time))

    return _training_step(model, stepper, loss_of, x, y)


def document_infer(batch: int, time: int) -> Step:
    model = DocumentModel(0.5).to(DEVICE).eval()
    x, _ = map(tensor, inputs.document_batch(batch, time))

    def step() -> Any:
        with torch.inference_mode():
            return torch.sigmoid(model(x))

    return step


# ---- one LSTM -----------------------------------------------------------------------------


def _lstm(features: int, units: int) -> nn.LSTM:
    layer = nn.LSTM(features, units, batch_first=True).to(DEVICE)
    _set_lstm(layer, *map(tensor, inputs.lstm_weights(features, units)))
    return layer


def lstm_train(batch: int, time: int, features: int, units: int) -> Step:
    layer = _lstm(features, units)
    x = tensor(inputs.uniform(batch, time, features)).requires_grad_()
    dy = tensor(inputs.uniform(batch, time, units))

    def step() -> Any:
        x.grad = None
        layer.zero_grad()
        y, _ = layer(x)
        y.backward(dy)
        return x.grad

    return step


def lstm_infer(batch: int, time: int, features: int, units: int) -> Step:
    layer, x = _lstm(features, units).eval(), tensor(inputs.uniform(batch, time, features))

    def step() -> Any:
        with torch.inference_mode():
            return layer(x)[0]

    return step


# ---- single operations --------------------------------------------------------------------


def copy(n: int) -> Step:
    x = tensor(inputs.uniform(n))
    y = torch.zeros_like(x)
    return lambda: y.copy_(x)


def matmul(m: int, n: int, k: int) -> Step:
    a, b = tensor(inputs.uniform(m, k)), tensor(inputs.uniform(k, n, seed=1))
    return lambda: a @ b


def matmul_transposed(m: int, n: int, k: int) -> Step:
    a, b = tensor(inputs.uniform(m, k)), tensor(inputs.uniform(n, k, seed=1))
    return lambda: a @ b.T


def matmul_stack(count: int, m: int, n: int, k: int) -> Step:
    a, b = tensor(inputs.uniform(count, m, k)), tensor(inputs.uniform(count, k, n, seed=1))
    return lambda: a @ b


def _elementwise(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[int], Step]:
    def task(n: int) -> Step:
        x = tensor(inputs.uniform(n, scale=4))
        return lambda: function(x)

    return task


exp, tanh, sigmoid = _elementwise(torch.exp), _elementwise(torch.tanh), _elementwise(torch.sigmoid)
gelu = _elementwise(nn.functional.gelu)


def multiply(n: int) -> Step:
    x, y = tensor(inputs.uniform(n)), tensor(inputs.uniform(n, seed=1))
    return lambda: x * y


def add_row(batch: int, classes: int) -> Step:
    x, y = tensor(inputs.uniform(batch, classes)), tensor(inputs.uniform(classes, seed=1))
    return lambda: x + y


def divide_by_column(batch: int, classes: int) -> Step:
    x, y = tensor(inputs.uniform(batch, classes)), 2 + tensor(inputs.uniform(batch, 1, seed=1))
    return lambda: x / y


def where(n: int) -> Step:
    x, y = tensor(inputs.uniform(n)), tensor(inputs.uniform(n, seed=1))
    condition = x > 0
    return lambda: torch.where(condition, x, y)


def sum(n: int) -> Step:  # the name of the task
    x = tensor(inputs.uniform(n))
    return lambda: x.sum()


def sum_columns(batch: int, classes: int) -> Step:
    x = tensor(inputs.uniform(batch, classes))
    return lambda: x.sum(0)


def max(n: int) -> Step:
    x = tensor(inputs.uniform(n))
    return lambda: torch.amax(x, 0)


def max_rows(batch: int, classes: int) -> Step:
    x = tensor(inputs.uniform(batch, classes))
    return lambda: torch.amax(x, 1)


def max_columns(batch: int, classes: int) -> Step:
    x = tensor(inputs.uniform(batch, classes))
    return lambda: torch.amax(x, 0)


def log_softmax(batch: int, classes: int) -> Step:
    x = tensor(inputs.uniform(batch, classes, scale=4))
    return lambda: torch.log_softmax(x, 1)


def softmax(batch: int, classes: int) -> Step:
    x = tensor(inputs.uniform(batch, classes, scale=4))
    return lambda: torch.softmax(x, 1)


def softmax_cross_entropy(batch: int, classes: int) -> Step:
    x = tensor(inputs.uniform(batch, classes, scale=4)).requires_grad_()
    labels = torch.arange(batch, device=DEVICE) % classes

    def step() -> Any:
        x.grad = None
        nn.functional.cross_entropy(x, labels, reduction="sum").backward()
        return x.grad

    return step


def dropout(n: int) -> Step:
    x = tensor(inputs.uniform(n))
    return lambda: nn.functional.dropout(x, 0.5)


def _ids(rows: int, n: int) -> torch.Tensor:
    import numpy as np

    return tensor(np.random.default_rng(0).integers(0, rows, n))


def embedding_forward(rows: int, units: int, n: int) -> Step:
    table, ids = tensor(inputs.uniform(rows, units)), _ids(rows, n)
    return lambda: nn.functional.embedding(ids, table)


def embedding_backward(rows: int, units: int, n: int) -> Step:
    dy, ids = tensor(inputs.uniform(n, units)), _ids(rows, n)
    return lambda: torch.ops.aten.embedding_dense_backward(dy, ids, rows, -1, False)


def adam(n: int) -> Step:
    weight = nn.Parameter(tensor(inputs.uniform(n)))
    weight.grad = tensor(inputs.uniform(n, seed=1))
    stepper = _optimizer("adam", [weight])

    def step() -> Any:
        stepper.step()
        return 0.0

    return step


# ---- what is around the arithmetic --------------------------------------------------------


def tiny_op() -> Step:
    a, b = (torch.tensor(value, requires_grad=True) for value in (1.5, 2.5))

    def step() -> Any:
        a.grad = b.grad = None
        (a * b).backward()
        return a.grad

    return step


def small_op(name: str) -> Step:
    return small_ops.step_of(name, torch, lambda array: tensor(array).requires_grad_())


def op_chain() -> Step:
    return scalars.chain_of(partial(torch.tensor, requires_grad=True))


def mlp_train(optimizer: str) -> Step:
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    for parameter, value in zip(model.parameters(), inputs.mlp_weights(), strict=True):
        _set(parameter, tensor(value.T))
    stepper, loss_of = _optimizer(optimizer, model.parameters()), nn.CrossEntropyLoss()
    x, y = map(tensor, inputs.mlp_batch())

    return _training_step(model, stepper, loss_of, x, y)


def scalar_network() -> Step:
    return scalars.step_of(partial(torch.tensor, requires_grad=True), torch.tensor, torch.tanh)
