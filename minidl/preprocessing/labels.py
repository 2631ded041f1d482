"""Class labels as rows with a single one."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.preprocessing import _arguments

__all__ = ["to_categorical"]


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """One-hot rows of integer class labels: ``out[..., k]`` is 1 where ``x == k``, else 0.

    Args:
        x: labels in [0, num_classes), of any shape. A last axis of length 1 is dropped.
            Floats are accepted if they are whole numbers.
        num_classes: length of the new last axis. None means ``max(x) + 1``.

    Returns:
        A float64 array of shape ``x.shape + (num_classes,)``.

    Raises:
        ValueError: a label that is not an integer, is negative or is not below
            `num_classes`; or no label to infer `num_classes` from.

    >>> to_categorical([0, 2, 1])
    array([[1., 0., 0.],
           [0., 0., 1.],
           [0., 1., 0.]])
    >>> to_categorical([[1], [0]], num_classes=2)
    array([[0., 1.],
           [1., 0.]])
    """
    labels = _arguments.array("to_categorical: x", x)
    if labels.size == 0 and num_classes is None:
        raise ValueError("to_categorical: x is empty, so num_classes cannot be inferred; pass num_classes")
    labels = _arguments.cast("to_categorical: x", labels, np.dtype(np.int64), "labels are integers counted from 0")
    classes = int(labels.max()) + 1 if num_classes is None else num_classes
    if num_classes is not None:
        classes = _arguments.integer("to_categorical: num_classes", num_classes, minimum=1)
    _check_range(labels, classes)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    one_hot = np.zeros((labels.size, classes))
    one_hot[np.arange(labels.size), labels.reshape(-1)] = 1
    return one_hot.reshape(*labels.shape, classes)


def _check_range(labels: np.ndarray, classes: int) -> None:
    outside = (labels < 0) | (labels >= classes)
    if not outside.any():
        return
    position = tuple(np.argwhere(outside)[0].tolist())
    index = "".join(f"[{i}]" for i in position)
    raise ValueError(
        f"to_categorical: x{index} is {labels[position]}, outside [0, {classes}); "
        f"labels count from 0 and num_classes is at least max(x) + 1"
    )
