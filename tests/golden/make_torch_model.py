"""Writes torch_model.json: a small text classifier trained in PyTorch, its losses and gradients.

    python tests/golden/make_torch_model.py        (needs PyTorch; float64 throughout)

The weights start from a formula (`start`), so the file holds results only. PyTorch is imported
where it is used: the tests take the formulas from here on machines that lack it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY, EMBEDDING, UNITS, BATCH, TIME, STEPS = 20, 4, 5, 6, 7, 10
SHAPES = {
    "embedding": (VOCABULARY, EMBEDDING),
    "kernel_1": (EMBEDDING, 4 * UNITS),
    "recurrent_1": (UNITS, 4 * UNITS),
    "bias_1": (4 * UNITS,),
    "kernel_2": (UNITS, 4 * UNITS),
    "recurrent_2": (UNITS, 4 * UNITS),
    "bias_2": (4 * UNITS,),
    "dense": (UNITS, 1),
    "dense_bias": (1,),
}
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-7


def start() -> dict[str, np.ndarray]:
    """Weights with no pattern that a mistake could hide in."""
    return {
        name: 0.4 * np.sin(1.7 * np.arange(1, np.prod(shape) + 1) ** 1.3 + place).reshape(shape)
        for place, (name, shape) in enumerate(SHAPES.items())
    }


def data() -> tuple[np.ndarray, np.ndarray]:
    ids = (np.arange(BATCH * TIME) ** 2 * 7 % VOCABULARY).reshape(BATCH, TIME)
    return ids, (np.arange(BATCH) % 3 == 0).astype(float)


def lstm(x: Any, kernel: Any, recurrent: Any, bias: Any) -> Any:
    """torch.lstm with Keras' arrangement of the weights; both use the order i, f, g, o."""
    import torch

    zeros = torch.zeros(1, x.shape[0], recurrent.shape[0], dtype=x.dtype)
    weights = [kernel.T, recurrent.T, bias, torch.zeros_like(bias)]
    return torch.lstm(x, (zeros, zeros), weights, True, 1, 0.0, False, False, True)[0]


def logits(w: dict[str, Any], ids: Any) -> Any:
    import torch

    x = torch.nn.functional.embedding(ids, w["embedding"])
    x = lstm(x, w["kernel_1"], w["recurrent_1"], w["bias_1"])
    x = lstm(x, w["kernel_2"], w["recurrent_2"], w["bias_2"])[:, -1]
    return (x @ w["dense"] + w["dense_bias"])[:, 0]


def train(
    start: dict[str, np.ndarray], ids: np.ndarray, labels: np.ndarray, steps: int, dtype_name: str
) -> Iterator[tuple[float, dict[str, np.ndarray]]]:
    """Yields the loss and the gradients by name of each step of Adam, before its update."""
    import torch

    dtype = getattr(torch, dtype_name)
    w = {name: torch.tensor(value, dtype=dtype, requires_grad=True) for name, value in start.items()}
    optimizer = torch.optim.Adam(list(w.values()), LEARNING_RATE, (BETA_1, BETA_2))
    for step in range(1, steps + 1):
        # Keras adds epsilon before the correction of v, PyTorch after it.
        optimizer.param_groups[0]["eps"] = EPSILON / (1 - BETA_2**step) ** 0.5
        optimizer.zero_grad()
        targets = torch.tensor(labels, dtype=dtype)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits(w, torch.tensor(ids)), targets)
        loss.backward()
        yield loss.item(), {name: t.grad.numpy().copy() for name, t in w.items()}
        optimizer.step()


def main() -> None:
    trained = list(train(start(), *data(), STEPS, "float64"))
    result = {
        "losses": [loss for loss, _ in trained],
        "first_gradients": {name: g.tolist() for name, g in trained[0][1].items()},
        "last_gradients": {name: g.tolist() for name, g in trained[-1][1].items()},
    }
    Path(__file__).with_name("torch_model.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
