"""NumPy alone, written as one would write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import inputs

Step = Callable[[], Any]


def matmul(m: int, n: int, k: int) -> Step:
    a, b = inputs.uniform(m, k), inputs.uniform(k, n, seed=1)
    return lambda: a @ b


def matmul_transposed(m: int, n: int, k: int) -> Step:
    a, b = inputs.uniform(m, k), inputs.uniform(n, k, seed=1)
    return lambda: a @ b.T


def matmul_stack(count: int, m: int, n: int, k: int) -> Step:
    a, b = inputs.uniform(count, m, k), inputs.uniform(count, k, n, seed=1)
    return lambda: a @ b


def exp(n: int) -> Step:
    x = inputs.uniform(n, scale=4)
    return lambda: np.exp(x)


def tanh(n: int) -> Step:
    x = inputs.uniform(n, scale=4)
    return lambda: np.tanh(x)


def sum(n: int) -> Step:  # the name of the task
    x = inputs.uniform(n)
    return lambda: x.sum()


def sum_columns(batch: int, classes: int) -> Step:
    x = inputs.uniform(batch, classes)
    return lambda: x.sum(0)


def max(n: int) -> Step:
    x = inputs.uniform(n)
    return lambda: x.max()


def max_rows(batch: int, classes: int) -> Step:
    x = inputs.uniform(batch, classes)
    return lambda: x.max(1)


def max_columns(batch: int, classes: int) -> Step:
    x = inputs.uniform(batch, classes)
    return lambda: x.max(0)


def multiply(n: int) -> Step:
    x, y = inputs.uniform(n), inputs.uniform(n, seed=1)
    return lambda: x * y


def add_row(batch: int, classes: int) -> Step:
    x, y = inputs.uniform(batch, classes), inputs.uniform(classes, seed=1)
    return lambda: x + y


def divide_by_column(batch: int, classes: int) -> Step:
    x, y = inputs.uniform(batch, classes), 2 + inputs.uniform(batch, 1, seed=1)
    return lambda: x / y


def where(n: int) -> Step:
    x, y = inputs.uniform(n), inputs.uniform(n, seed=1)
    condition = x > 0
    return lambda: np.where(condition, x, y)


def embedding_forward(rows: int, units: int, n: int) -> Step:
    table, ids = inputs.uniform(rows, units), np.random.default_rng(0).integers(0, rows, n)
    return lambda: table.take(ids, axis=0)


def embedding_backward(rows: int, units: int, n: int) -> Step:
    dy, ids = inputs.uniform(n, units), np.random.default_rng(0).integers(0, rows, n)

    def step() -> Any:
        table = np.zeros((rows, units), np.float32)
        np.add.at(table, ids, dy)
        return table

    return step
