"""Naming the op that made a NaN or an infinity, and the line of the user's code that called it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import devices

if TYPE_CHECKING:
    from minidl.tensors import Op

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep


def call_site() -> str:
    """The innermost line of the running program that is not minidl's own."""
    import traceback  # needed for this alone, and slow to load

    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return "".join(traceback.format_stack(frame, limit=1)).strip()


def check_forward(op: Op, inputs: Iterable[Any], outputs: Iterable[Any]) -> None:
    """Remember where the op was called, and raise if it made or met something not finite."""
    op.called_at = call_site()
    _wait(op, outputs)
    for y in outputs:
        found = _first_bad(y)
        if found:
            bad = [i for i, x in enumerate(inputs) if devices.is_array(x) and _first_bad(x)]
            source = f"its input {bad[0]} was already not finite" if bad else "from inputs that were finite"
            raise FloatingPointError(f"{op.name()} gave {found} in its forward pass, {source}\n  {op.called_at}")


def check_backward(op: Op, i: int, dx: Any) -> None:
    """Look at the gradient of one input."""
    array = getattr(dx, "_array", dx)
    _wait(op, [array])
    found = _first_bad(array)
    if found:
        where = f"the gradient of its input {i}; it was called at\n  {_site(op)}"
        raise FloatingPointError(f"the backward of {op.name()} gave {found} in {where}")


def _wait(op: Op, results: Iterable[Any]) -> None:
    """What fails on the GPU would be found out at some later op."""
    if any(devices.on_gpu(y) for y in results):
        try:
            devices.synchronize()
        except RuntimeError as error:
            raise RuntimeError(f"{op.name()} failed on the GPU: {error}\n  {_site(op)}") from error


def _site(op: Op) -> str:
    return getattr(op, "called_at", "a call made outside detect_anomaly()")


def _first_bad(array: Any) -> str | None:
    """'nan at position (0, 1)', or None."""
    if array.dtype.kind not in "fc" or np.isfinite(array).all():
        return None
    position = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    return f"{array[position].item()} at position {position}"
