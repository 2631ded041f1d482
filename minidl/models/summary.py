"""The table that `model.summary()` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from minidl.layers.base import Layer
    from minidl.models.model import Model

_HEAD = ("Layer (type)", "Output Shape", "Param #")


def summary_text(model: Model) -> str:
    """Layers with their output shapes and parameters, and the totals."""
    rows = [
        (f"{layer.name} ({type(layer).__name__})", shape, _params(layer)) for layer, shape in model.layers_and_shapes()
    ]
    widths = [max(len(row[i]) for row in [_HEAD, *rows]) for i in range(3)]
    rule = "─" * (sum(widths) + 6)
    lines = [f'Model: "{model.name}"', rule, _row(_HEAD, widths), rule]
    lines += [_row(row, widths) for row in rows]
    lines += [rule, *_totals(model)]
    return "\n".join(lines)


def _params(layer: Layer) -> str:
    return f"{layer.count_params():,}" if layer.built or layer.weights else "0 (unbuilt)"


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    name, shape, params = cells
    return f" {name:<{widths[0]}}  {shape:<{widths[1]}}  {params:>{widths[2]}}"


def _totals(model: Model) -> list[str]:
    groups: tuple[tuple[str, list[Any]], ...] = (
        (" Total params", model.weights),
        (" Trainable params", model.trainable_weights),
        (" Non-trainable params", model.non_trainable_weights),
    )
    return [
        f"{title}: {sum(w.size for w in ws):,} ({_size(sum(w.size * w.dtype.itemsize for w in ws))})"
        for title, ws in groups
    ]


def _size(n: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if n < 1024 or unit == "GB":
            return f"{n:.2f} {unit}"
        n /= 1024
    raise AssertionError(np.nan)
