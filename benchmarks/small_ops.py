"""One op on matrices of a few numbers, and the way back: nearly all of it is what stands around the arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from benchmarks import inputs

Op = Callable[[ModuleType, Any, Any, Any], Any]

# In what minidl and PyTorch both understand, of x and y (8, 8) and b (8,).
OPS: dict[str, Op] = {
    "x + b": lambda lib, x, y, b: x + b,
    "x / y": lambda lib, x, y, b: x / y,
    "2.5 - x": lambda lib, x, y, b: 2.5 - x,
    "tanh(x)": lambda lib, x, y, b: lib.tanh(x),
    "relu(x)": lambda lib, x, y, b: lib.relu(x),
    "clip(x, -0.5, 0.5)": lambda lib, x, y, b: lib.clip(x, -0.5, 0.5),
    "where(x > 0, x, y)": lambda lib, x, y, b: lib.where(x > 0, x, y),
    "x @ y": lambda lib, x, y, b: x @ y,
    "x @ b": lambda lib, x, y, b: x @ b,
    "x.T @ y": lambda lib, x, y, b: x.T @ y,
    "x.sum(-1)": lambda lib, x, y, b: x.sum(-1),
    "x.mean(0)": lambda lib, x, y, b: x.mean(0),
    "x.max()": lambda lib, x, y, b: x.max(),
    "log_softmax(x, -1)": lambda lib, x, y, b: lib.log_softmax(x, -1),
    "x[:, -1]": lambda lib, x, y, b: x[:, -1],
    "x.reshape(4, 16)": lambda lib, x, y, b: x.reshape(4, 16),
    "stack([x, y])": lambda lib, x, y, b: lib.stack([x, y]),
    "concatenate([x, y])": lambda lib, x, y, b: lib.concatenate([x, y]),
}


def step_of(name: str, lib: ModuleType, leaf: Callable[[Any], Any]) -> Callable[[], Any]:
    """Forward and backward of the sum of an op's result; gives the gradient of x."""
    op = OPS[name]
    x, y, b = leaf(inputs.uniform(8, 8)), leaf(inputs.uniform(8, 8, seed=1)), leaf(inputs.uniform(8, seed=2))

    def step() -> Any:
        x.grad = y.grad = b.grad = None
        op(lib, x, y, b).sum().backward()
        return x.grad

    return step
