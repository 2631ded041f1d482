"""The table that `model.summary()` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from minidl.layers.base import Layer
    from minidl.models.model import Model

_HEAD = ("Layer (type)", "Output Shape", "Param #", "Trainable")


def summary_text(
    model: Model, line_length: int | None = None, expand_nested: bool = False, show_trainable: bool = False
) -> str:
    """Layers with their output shapes and parameters, and the totals."""
    columns = 4 if show_trainable else 3
    table = [row[:columns] for row in (_HEAD, *_rows(model, expand_nested))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    widths[0] += max(0, (line_length or 0) - sum(widths) - 2 * columns)
    rule = "─" * (sum(widths) + 2 * columns)
    lines = [f'Model: "{model.name}"', rule, _row(table[0], widths), rule]
    lines += [_row(row, widths) for row in table[1:]]
    lines += [rule, *_totals(model)]
    return "\n".join(lines)


def _rows(model: Any, expand_nested: bool, indent: str = "") -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for layer, shape in model.layers_and_shapes():
        rows.append((f"{indent}{layer.name} ({type(layer).__name__})", shape, _params(layer), _trainable(layer)))
        if expand_nested and hasattr(layer, "layers_and_shapes"):
            rows += _rows(layer, True, f"{indent}  └ " if not indent else f"    {indent}")
    return rows


def _params(layer: Layer) -> str:
    return f"{layer.count_params():,}" if layer.built or layer.weights else "0 (unbuilt)"


def _trainable(layer: Layer) -> str:
    return ("Y" if layer.trainable else "N") if layer.weights else "-"


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    name, shape, params, *trainable = cells
    left = f" {name:<{widths[0]}}  {shape:<{widths[1]}}  {params:>{widths[2]}}"
    return left + "".join(f"  {cell:<{widths[3]}}".rstrip() for cell in trainable)


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
