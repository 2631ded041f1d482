"""Targets beside predictions: which shapes meet, what weights and masks belong to, and what is refused.

Losses and metrics share these, so that a mistake is named by both in the same words.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import devices
from minidl.kernels.validate import outside
from minidl.ops.coercion import constant

Array = Any


def fit(what: str, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Both in one shape: (…,) meets (…, 1) by an axis of length 1. Tensors or arrays."""
    if (*y_true.shape, 1) == y_pred.shape:
        y_true = y_true.reshape(y_pred.shape)
    elif (*y_pred.shape, 1) == y_true.shape:
        y_pred = y_pred.reshape(y_true.shape)
    if y_true.shape != y_pred.shape or y_pred.ndim == 0:
        raise ValueError(
            f"{what}: y_true has shape {y_true.shape} and y_pred has shape {y_pred.shape}; "
            f"{_usual_cause(y_true.shape, y_pred.shape)}"
        )
    return y_true, y_pred


def beside(y_true: Any, y_pred: Any) -> Any:
    """The targets in the shape of the predictions, if all that they differ by is an axis of length 1 at the end.

    Left as they are, (N,) and (N, 1) would give (N, N): every target against every prediction.
    """
    true, pred = np.shape(y_true), np.shape(y_pred)
    if (*true, 1) == pred or true == (*pred, 1):
        return (y_true if hasattr(y_true, "reshape") else np.asarray(y_true)).reshape(pred)
    return y_true


def _usual_cause(true: tuple[int, ...], pred: tuple[int, ...]) -> str:
    if true == pred:
        return "the first axis counts the samples: give a single number the shape (1,)"
    if true == pred[:-1]:
        return (
            f"for labels of {pred[-1]} classes use the sparse_categorical form or to_categorical(y_true), "
            f"for one number a sample give the last layer 1 unit"
        )
    if abs(len(pred) - len(true)) == 1 and true[:1] == pred[:1]:
        return _time_in_one(len(true), len(pred))
    if len(pred) == len(true) and true[:-1] == pred[:-1]:
        return f"the last layer gives {pred[-1]} numbers where the targets have {true[-1]}"
    return "they must agree: one prediction for each target"


def _time_in_one(true: int, pred: int) -> str:
    """What to do where one of the two has an axis more than the other."""
    longer, sequences = ("y_pred", False) if pred > true else ("y_true", True)
    return f"{longer} has an axis more, perhaps time: set return_sequences={sequences} on the last recurrent layer"


def labels(what: str, y_true: Any, shape: tuple[int, ...]) -> Array:
    """Class numbers as int64 of shape (…,), from (…,) or (…, 1), for predictions of shape (…, K)."""
    array = constant(y_true)
    if not shape or shape[-1] < 2:
        raise ValueError(
            f"{what}: y_pred has shape {shape}, and its last axis must hold two classes or more; "
            f"for one output use the binary form"
        )
    if array.shape == (*shape[:-1], 1):
        array = array[..., 0]
    if array.shape != shape[:-1]:
        raise ValueError(
            f"{what}: y_true has shape {array.shape}, expected {shape[:-1]} for y_pred of shape {shape}"
            f"{_cause_for_labels(array.shape, shape)}"
        )
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what}: labels are the numbers of classes, got an array of {array.dtype}")
    if array.size and (array.dtype.kind == "f" or devices.on_gpu(array) or outside(array, shape[-1])):
        wrong = (array < 0) | (array >= shape[-1]) | (array != np.floor(array))  # NaN differs from itself
        if devices.any_true(wrong):
            raise ValueError(
                f"{what}: y_true{_first(array, wrong)}, and y_pred has {shape[-1]} classes: "
                f"labels are integers from 0 to {shape[-1] - 1}"
            )
    return array.astype(np.int64)


def _cause_for_labels(true: tuple[int, ...], pred: tuple[int, ...]) -> str:
    if true == pred:
        return "; for one-hot rows use the categorical form"
    if abs(len(pred) - 1 - len(true)) == 1 and true[:1] == pred[:1]:
        return f"; {_time_in_one(len(true), len(pred) - 1)}"
    return ""


def check_numbers(what: str, which: str, array: Array) -> None:
    """Refuse what is no array of real numbers: strings, or None where there is a value missing."""
    if array.dtype.kind not in "fiub":
        given = f"an array of {array.dtype}" if array.ndim else repr(array.item())
        raise TypeError(f"{what}: {which} must hold numbers, got {given}")


def check_finite(what: str, y_true: Array) -> None:
    wrong = ~np.isfinite(y_true)
    if devices.any_true(wrong):
        raise ValueError(
            f"{what}: y_true{_first(y_true, wrong)}; give such samples any target, and the weight 0 to leave them out"
        )


def are_fractions(array: Array) -> bool:
    """Whether all are in [0, 1], as the smallest and the largest say: the quick answer, and nearly always yes."""
    return not devices.on_gpu(array) and bool(array.size and array.min() >= 0 and array.max() <= 1)


def check_fractions(what: str, which: str, array: Array, advice: str) -> None:
    """All in [0, 1], but for rounding. NaN passes: a model that has diverged gives a loss of NaN, not this error."""
    if are_fractions(array):
        return
    wrong = (array < -1e-5) | (array > 1 + 1e-5)
    if devices.any_true(wrong):
        raise ValueError(f"{what}: {which}{_first(array, wrong)}, outside [0, 1]; {advice}")


def check_binary(what: str, y_true: Array) -> None:
    wrong = (y_true != 0) & (y_true != 1)
    if devices.any_true(wrong):
        raise ValueError(f"{what}: y_true{_first(y_true, wrong)}; labels must be 0 or 1")


def spread(what: str, values: Any, shape: tuple[int, ...]) -> Array:
    """Weights or a mask as an array of this shape: they belong to the first axes, and repeat along the others."""
    return np.broadcast_to(along_first_axes(what, values, shape), shape)


def along_first_axes(what: str, values: Any, shape: tuple[int, ...]) -> Array:
    """The same with axes of length 1 along which they repeat."""
    given = array = constant(values)
    if array.ndim == len(shape) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim > len(shape) or any(n not in (1, m) for n, m in zip(array.shape, shape, strict=False)):
        hint = "; predictions (n,) are one sample, (n, 1) are n samples" if shape == () else ""
        raise ValueError(f"a {what} of shape {given.shape} does not fit values of shape {shape}{hint}")
    if array.dtype.kind == "f" and devices.any_true(~np.isfinite(array)):
        raise ValueError(f"the {what} holds NaN or infinity")
    return array.reshape(array.shape + (1,) * (len(shape) - array.ndim))


def _first(array: Array, wrong: Array) -> str:
    """Where the first wrong element stands, and what it is: "[3, 0] is 7"."""
    index = tuple(np.argwhere(wrong)[0].tolist())
    return f"{list(index) if index else ''} is {array[index].item()}"
