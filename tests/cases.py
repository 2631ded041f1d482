"""Every case of the table, every kernel module that is here, every layout an array can have."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import minidl as md
from minidl.testing import Case

Array = Any

# Those that serve NumPy's arrays; "cuda" has its own, see on_device.py.
KERNELS = [name for name in ("reference", "cpu") if getattr(md.kernels, name) is not None]
DTYPES = [np.float32, np.float64]

# What stands between the elements of a strided array: using it shows.
_JUNK = {"f": np.nan, "i": 1 << 20, "u": 1 << 20, "b": True}


def contiguous(x: Array) -> Array:
    return x.copy()


def transposed(x: Array) -> Array:
    """The same, in Fortran's order."""
    return x.T.copy().T


def strided(x: Array) -> Array:
    """The same with gaps along all axes, the last of them backwards."""
    room = np.full([2 * n + 1 for n in x.shape or (1,)], _JUNK[x.dtype.kind], x.dtype)
    view = room[tuple(slice(1, None, 2) for _ in room.shape)][..., ::-1].reshape(x.shape)
    assert np.may_share_memory(view, room) or not x.size
    view[...] = x
    return view


def read_only(x: Array) -> Array:
    y = x.copy()
    y.flags.writeable = False
    return y


def unaligned(x: Array) -> Array:
    """The same, one byte beyond where a number of this type may begin."""
    y = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    y[...] = x
    return y


def broadcast(x: Array) -> Array:
    """The first of each along the first axis, repeated without being stored."""
    return np.broadcast_to(x[:1], x.shape) if x.ndim else x


LAYOUTS = [contiguous, transposed, strided, read_only, unaligned, broadcast]


def in_dtype(arrays: Sequence[Array], dtype: Any) -> list[Array]:
    """The arrays of floats in this type, the others as they are."""
    return [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]


def results(case: Case, arrays: Sequence[Array]) -> tuple[list[md.Tensor], list[md.Tensor]]:
    """The variables that the arrays of floats become, no copies, and the outputs of the case."""
    tensors = [md.as_tensor(a) for a in arrays]
    variables = [t for t in tensors if t.dtype.kind == "f"]
    for x in variables:
        x.requires_grad = True
    y = case.function(*tensors)
    return variables, list(y) if isinstance(y, (tuple, list)) else [y]


def backward(case: Case, arrays: Sequence[Array]) -> list[Array]:
    """The gradients of Σ weights · outputs, with fixed weights in the outputs' type; zeros where none arrives."""
    variables, outputs = results(case, arrays)
    for y, w in zip(outputs, weights_of(outputs), strict=True):
        if y.requires_grad:
            y.backward(w, retain_graph=True)
    return [np.zeros(x.shape, x.dtype) if x.grad is None else x.grad.numpy() for x in variables]


def weights_of(outputs: Sequence[md.Tensor]) -> list[Array]:
    rng = md.random.Generator(1)
    return [rng.uniform(y.shape, 0.5, 1.5, y.dtype) for y in outputs]


def formula(case: Case, arrays: Sequence[Array]) -> list[Array]:
    """What the outputs should be, from the formula in float64."""
    assert case.formula is not None
    y = case.formula(*in_dtype([a.copy() for a in arrays], np.float64))
    return list(y) if isinstance(y, (tuple, list)) else [y]


def applies(case: Case, layout: Callable[[Array], Array]) -> bool:
    """std has no gradient where all elements are equal, as broadcasting makes them."""
    return not (layout is broadcast and case.name == "std")


def floats(arrays: Sequence[Array]) -> list[Array]:
    return [a for a in arrays if a.dtype.kind == "f"]


def assert_same(now: Sequence[Array], then: Sequence[Array]) -> None:
    """No input was changed in place."""
    for a, b in zip(now, then, strict=True):
        np.testing.assert_array_equal(a, b)


@contextlib.contextmanager
def naming(what: str) -> Iterator[None]:
    """An error inside says which turn of the loop it was."""
    try:
        yield
    except Exception as error:
        error.add_note(f"with {what}")
        raise
