"""What every kernel module refuses, and in which words.

`reference`, `cpu` and `cuda` call the same function here before they touch an array, so a
mistake is named identically on each of them and never reaches C. The checks look at
dtypes, ranks, sizes and ids; layout is each module's own affair.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
IDS = (np.dtype(np.int32), np.dtype(np.int64))
INDEX = 1 << 63
WORD = 1 << 64


def is_array(kernel: str, name: str, value: Any) -> None:
    if not hasattr(value, "dtype"):
        raise TypeError(f"{kernel}: {name} must be an array, got {type(value).__name__}")


def same_library(kernel: str, /, **arrays: Any) -> None:
    """All of them NumPy's, or all of them CuPy's: nothing is copied to a device and back without being asked for."""
    (first, a), *others = arrays.items()
    for name, b in others:
        if type(a) is not type(b) and _library(a) != _library(b):
            raise TypeError(
                f"{kernel}: {name} is an array of {_library(b)} and {first} one of {_library(a)}; "
                f"kernels do not mix devices, bring one to the other's"
            )


def _library(array: Any) -> str:
    name = "numpy" if isinstance(array, (np.ndarray, np.generic)) else type(array).__module__.partition(".")[0]
    return {"numpy": "NumPy", "cupy": "CuPy"}.get(name, name)


def floats(kernel: str, /, **arrays: Any) -> None:
    """All of them float32, or all of them float64, of one library."""
    first = None
    for name, array in arrays.items():
        if first is not None:
            if type(array) is not type(first[1]) and hasattr(array, "dtype"):
                same_library(kernel, **dict([first]), **{name: array})
            if getattr(array, "dtype", None) is first[1].dtype:
                continue
        is_array(kernel, name, array)
        if array.dtype not in FLOATS:
            raise TypeError(f"{kernel}: {name} must be float32 or float64, got {array.dtype}")
        if first is None:
            first = name, array
        elif array.dtype != first[1].dtype:
            raise TypeError(
                f"{kernel}: {name} is {array.dtype} and {first[0]} is {first[1].dtype}; "
                f"kernels do not mix precisions, convert one with .astype"
            )


def numbers(kernel: str, /, **values: Any) -> list[float]:
    """Real numbers, as Python's: one of NumPy's would draw float32 arrays up to its own precision."""
    for name, value in values.items():
        if not hasattr(value, "__float__") or getattr(value, "ndim", 0) > 0:
            raise TypeError(f"{kernel}: {name} must be a real number, got {type(value).__name__}")
    return [float(value) for value in values.values()]


def integer(kernel: str, name: str, value: Any, limit: int) -> int:
    """An integer in [0, limit)"""
    if not hasattr(value, "__index__") or getattr(value, "ndim", 0) > 0:
        raise TypeError(f"{kernel}: {name} must be an integer, got {type(value).__name__}")
    if not 0 <= value < limit:
        raise ValueError(f"{kernel}: {name} must lie in [0, 2**{limit.bit_length() - 1}), got {value}")
    return operator.index(value)


def rank(kernel: str, name: str, array: Any, ndim: int, shape: str) -> None:
    if array.ndim != ndim:
        raise ValueError(f"{kernel}: {name} must have shape {shape}, got {array.shape}")


def same_shape(kernel: str, /, **arrays: Any) -> None:
    (first, a), *others = arrays.items()
    for name, b in others:
        if a.shape != b.shape:
            raise ValueError(f"{kernel}: {name} has shape {b.shape} and {first} has {a.shape}; they must agree")


def expect(kernel: str, name: str, array: Any, shape: tuple[int, ...], legend: str) -> None:
    if array.shape != shape:
        raise ValueError(f"{kernel}: {name} must have shape {legend} = {shape}, got {array.shape}")


def outside(ids: Any, limit: int) -> bool:
    """Whether some id is not in [0, limit). A module may look in another way, or trust the caller."""
    return int(ids.view(f"u{ids.itemsize}").max()) >= limit  # one pass: a negative one is huge as unsigned


Outside = Callable[[Any, int], bool]


def ids(kernel: str, name: str, array: Any, limit: int, meaning: str, outside: Outside = outside) -> None:
    """Integers in [0, limit); the first one outside is named with its position."""
    is_array(kernel, name, array)
    if array.dtype not in IDS:
        raise TypeError(f"{kernel}: {name} must be int32 or int64, got {array.dtype}")
    if array.size and outside(array, limit):
        where = np.argwhere((array < 0) | (array >= limit))[0]
        position = tuple(int(i) for i in where)
        raise IndexError(
            f"{kernel}: {name} must lie in [0, {limit}), the number of {meaning}; "
            f"got {int(array[position])} at position {position}"
        )


def random_bits(n: Any, seed: Any, offset: Any) -> tuple[int, int, int]:
    return (
        integer("random_bits", "n", n, INDEX),
        integer("random_bits", "seed", seed, WORD),
        integer("random_bits", "offset", offset, WORD),
    )


def dropout(x: Any, rate: Any, seed: Any, offset: Any) -> tuple[float, int, int]:
    floats("dropout", x=x)
    (rate,) = numbers("dropout", rate=rate)
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"dropout: rate must lie in [0, 1], got {rate}")
    return rate, integer("dropout", "seed", seed, WORD), integer("dropout", "offset", offset, WORD)


def clip(x: Any, low: Any, high: Any) -> list[float]:
    """An array of floats and two bounds, which may be infinite but not NaN."""
    floats("clip", x=x)
    bounds = numbers("clip", low=low, high=high)
    for name, bound in zip(("low", "high"), bounds, strict=True):
        if bound != bound:
            raise ValueError(f"clip: {name} must not be NaN, which bounds nothing")
    return bounds


def where(condition: Any, a: Any, b: Any) -> None:
    """A condition of booleans, and of its shape two arrays of floats, or one and a Python number."""
    is_array("where", "condition", condition)
    if condition.dtype != np.bool_:
        raise TypeError(f"where: condition must be bool, got {condition.dtype}")
    arrays = {name: x for name, x in (("a", a), ("b", b)) if type(x) not in (float, int, bool)}
    if not arrays:
        raise TypeError("where: a or b must be an array, got two numbers, which have no type")
    floats("where", **arrays)
    for x in (a, b):
        if type(x) is int:
            float(x)  # which refuses one that is too large in the same words everywhere
    same_library("where", condition=condition, **arrays)
    same_shape("where", condition=condition, **arrays)


def matmul(a: Any, b: Any) -> None:
    floats("matmul", a=a, b=b)
    if a.ndim < 2 or b.ndim < 2:
        raise ValueError(f"matmul: both operands need two axes or more, got shapes {a.shape} and {b.shape}")
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(
            f"matmul: a has {a.shape[-1]} columns and b has {b.shape[-2]} rows, shapes {a.shape} and {b.shape}"
        )
    if a.ndim > 2 and b.ndim > 2:
        try:
            np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise ValueError(f"matmul: the stacks of shapes {a.shape} and {b.shape} do not broadcast") from None


def affine(kernel: str, x: Any, w: Any, **others: Any) -> None:
    """x (N, D), w (D, U), and of the others b (U,) or dy (N, U)."""
    floats(kernel, x=x, w=w, **others)
    rank(kernel, "x", x, 2, "(rows, features)")
    rank(kernel, "w", w, 2, "(features, units)")
    expect(kernel, "w", w, (x.shape[1], w.shape[1]), "(features, units)")
    for name, array in others.items():
        shape, legend = (w.shape[1:], "(units,)") if name == "b" else ((len(x), w.shape[1]), "(rows, units)")
        expect(kernel, name, array, shape, legend)


def axes(kernel: str, x: Any, least: int) -> None:
    """A float array with at least so many axes."""
    floats(kernel, x=x)
    if x.ndim < least:
        raise ValueError(f"{kernel}: x needs {('one axis', 'two axes')[least - 1]} or more, got shape {x.shape}")


def extreme(kernel: str, x: Any, largest: Any = True, **others: Any) -> bool:
    """x (B, N, C) with N > 0, which extreme, and in a backward dy and y (B, C)."""
    floats(kernel, x=x, **others)
    rank(kernel, "x", x, 3, "(matrices, numbers, columns)")
    if x.shape[1] == 0:
        raise ValueError(f"{kernel}: of no numbers there is no extreme; the middle axis of x is 0 in {x.shape}")
    for name, array in others.items():
        expect(kernel, name, array, (x.shape[0], x.shape[2]), "(matrices, columns)")
    if not isinstance(largest, (bool, np.bool_)):
        raise TypeError(f"{kernel}: largest must be True or False, got {largest!r}")
    return bool(largest)


def huber(kernel: str, e: Any, delta: Any, **dy: Any) -> float:
    """e (…, K) with K > 0, and in a backward dy (…,); δ > 0."""
    floats(kernel, e=e, **dy)
    if e.ndim == 0 or (e.shape[-1] == 0 and 0 not in e.shape[:-1]):
        raise ValueError(f"{kernel}: the last axis must hold at least one error, got shape {e.shape}")
    for name, array in dy.items():
        expect(kernel, name, array, e.shape[:-1], "e.shape[:-1]")
    (delta,) = numbers(kernel, delta=delta)
    if not delta > 0:
        raise ValueError(f"{kernel}: delta must lie in (0, inf], got {delta}")
    return delta


def rows(kernel: str, x: Any) -> None:
    """A float array with a last axis to normalise over."""
    floats(kernel, x=x)
    if x.ndim == 0 or (x.shape[-1] == 0 and x.size == 0 and 0 not in x.shape[:-1]):
        raise ValueError(f"{kernel}: the last axis must hold at least one class, got shape {x.shape}")


def softmax_cross_entropy(kernel: str, logits: Any, targets: Any) -> None:
    rows(kernel, logits)
    floats(kernel, logits=logits, targets=targets)
    same_shape(kernel, logits=logits, targets=targets)


def sparse_cross_entropy(kernel: str, logits: Any, labels: Any, outside: Outside = outside) -> None:
    rows(kernel, logits)
    is_array(kernel, "labels", labels)
    same_library(kernel, logits=logits, labels=labels)
    expect(kernel, "labels", labels, logits.shape[:-1], "logits.shape[:-1]")
    ids(kernel, "labels", labels, logits.shape[-1], "classes", outside)


def loss_gradient(kernel: str, dloss: Any, probabilities: Any) -> None:
    floats(kernel, probabilities=probabilities, dloss=dloss)
    expect(kernel, "dloss", dloss, probabilities.shape[:-1], "probabilities.shape[:-1]")


def elementwise(kernel: str, /, **arrays: Any) -> None:
    floats(kernel, **arrays)
    same_shape(kernel, **arrays)


def embedding(table: Any, indices: Any, outside: Outside = outside) -> None:
    floats("embedding_forward", table=table)
    rank("embedding_forward", "table", table, 2, "(rows, units)")
    is_array("embedding_forward", "ids", indices)
    same_library("embedding_forward", table=table, ids=indices)
    ids("embedding_forward", "ids", indices, table.shape[0], "rows of the table", outside)


def embedding_backward(dy: Any, indices: Any, rows: Any, outside: Outside = outside) -> int:
    floats("embedding_backward", dy=dy)
    is_array("embedding_backward", "ids", indices)
    same_library("embedding_backward", dy=dy, ids=indices)
    rows = integer("embedding_backward", "rows", rows, INDEX)
    if dy.ndim == 0 or dy.shape[:-1] != indices.shape:
        raise ValueError(
            f"embedding_backward: dy must have shape ids.shape + (units,), got {dy.shape} for {indices.shape}"
        )
    ids("embedding_backward", "ids", indices, rows, "rows of the table", outside)
    return rows


def lstm(kernel: str, x: Any, h0: Any, c0: Any, w: Any, r: Any, b: Any, mask: Any) -> None:
    floats(kernel, x=x, h0=h0, c0=c0, kernel=w, recurrent=r, bias=b)
    rank(kernel, "x", x, 3, "(batch, time, features)")
    rank(kernel, "recurrent", r, 2, "(units, 4·units)")
    batch, time, features = x.shape
    units = r.shape[0]
    expect(kernel, "recurrent", r, (units, 4 * units), "(units, 4·units)")
    expect(kernel, "kernel", w, (features, 4 * units), "(features, 4·units)")
    expect(kernel, "bias", b, (4 * units,), "(4·units,)")
    expect(kernel, "h0", h0, (batch, units), "(batch, units)")
    expect(kernel, "c0", c0, (batch, units), "(batch, units)")
    if mask is not None:
        is_array(kernel, "mask", mask)
        same_library(kernel, x=x, mask=mask)
        if mask.dtype != np.bool_:
            raise TypeError(f"{kernel}: mask must be bool, got {mask.dtype}")
        expect(kernel, "mask", mask, (batch, time), "(batch, time)")


def lstm_gradients(x: Any, recurrent: Any, dy: Any, dh: Any, dc: Any) -> None:
    batch, time, _ = x.shape
    units = recurrent.shape[0]
    for name, array, shape, legend in (
        ("dy", dy, (batch, time, units), "(batch, time, units)"),
        ("dh", dh, (batch, units), "(batch, units)"),
        ("dc", dc, (batch, units), "(batch, units)"),
    ):
        if array is not None:
            floats("lstm_backward", x=x, **{name: array})
            expect("lstm_backward", name, array, shape, legend)


def lstm_cache(module: str, cache: Any, x: Any, shapes: list[tuple[int, ...]]) -> None:
    """What backward gets is what the module's forward keeps: arrays of these shapes and of x's type."""
    given = cache if isinstance(cache, (tuple, list)) else ()
    kept = [(getattr(array, "shape", None), getattr(array, "dtype", None)) for array in given]
    if kept != [(shape, x.dtype) for shape in shapes]:
        raise ValueError(f"lstm_backward: cache must be what {module}.lstm_forward returned for the same arguments")


def overlap(a: Any, b: Any) -> bool:
    """Whether two arrays share memory. A module may find out in another way."""
    return np.may_share_memory(a, b) and np.shares_memory(a, b)  # the first looks at the ends alone, and is quick


def step(kernel: str, overlap: Callable[[Any, Any], bool] = overlap, /, **arrays: Any) -> None:
    """The arrays of an optimizer step; every one but the gradient is written in place."""
    elementwise(kernel, **arrays)
    for name, array in arrays.items():
        if name != "g" and not getattr(array.flags, "writeable", True):  # CuPy's always are
            raise ValueError(f"{kernel}: {name} is read-only, and the step updates it in place; pass a copy")
    for (first, a), (second, b) in combinations(arrays.items(), 2):
        if overlap(a, b):
            raise ValueError(
                f"{kernel}: {first} and {second} share memory, and the step updates them in place; pass a copy"
            )
