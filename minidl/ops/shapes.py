"""Moving elements about without changing them: shapes, axes, parts and joins."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np

from minidl import devices, kernels
from minidl.autograd.modes import modes
from minidl.kernels.axes import one_axis
from minidl.kernels.validate import FLOATS
from minidl.ops.coercion import operands
from minidl.tensors import FUNCTIONS, Op, Tensor, array_of, as_tensor, check_one_device


class Reshape(Op):
    """The same elements in another shape"""

    reads_inputs = False

    def forward(self, x: Any, shape: tuple[int, ...]) -> Any:
        self.shape = x.shape
        return x.reshape(shape)

    def backward(self, dy: Any) -> Any:
        return dy.reshape(self.shape)


class Transpose(Op):
    """Axes in another order;  dx = dy with the inverse permutation"""

    reads_inputs = False

    def forward(self, x: Any, axes: tuple[int, ...]) -> Any:
        self.axes = axes  # none of them: reversed, and that is its own inverse
        return x.transpose(*axes)

    def backward(self, dy: Any) -> Any:
        n = len(self.axes)
        return dy.transpose(*sorted(range(n), key=[a % n for a in self.axes].__getitem__))


class BroadcastTo(Op):
    """The array repeated to a larger shape;  dx = the sum over the repetitions"""

    broadcasts = True
    reads_inputs = False

    def forward(self, x: Any, shape: tuple[int, ...]) -> Any:
        return devices.broadcast_to(x, shape)

    def backward(self, dy: Any) -> Any:
        return dy


class GetItem(Op):
    """y = x[key];  dx = zeros with dy added at the key"""

    reads_inputs = False
    makes_gradients = True

    def forward(self, x: Any, key: Any) -> Any:
        self.shape, self.key = x.shape, key
        return x[key]

    def backward(self, dy: Any) -> Any:
        return AddAt.apply(dy, shape=self.shape, key=self.key)


class AddAt(Op):
    """y = zeros with x added at the key, as often as the key names a place;  dx = dy[key]"""

    reads_inputs = False

    def forward(self, x: Any, shape: tuple[int, ...], key: Any) -> Any:
        self.key = key
        if not _is_plain(key) and _may_repeat(key) and x.dtype.kind == "f":
            return _added_up(x, shape, key)
        y = devices.full(shape, 0, x)
        y[key] = x
        return y

    def backward(self, dy: Any) -> Any:
        return GetItem.apply(dy, key=self.key)


class Concatenate(Op):
    """The arrays one after the other along an axis;  each gets its part of dy back"""

    reads_inputs = False

    def forward(self, *arrays: Any, axis: int) -> Any:
        self.axis, self.lengths = axis, [a.shape[axis] for a in arrays]
        return devices.joined(arrays, axis)

    def backward(self, dy: Any) -> Any:
        before, ends = (slice(None),) * self.axis, itertools.accumulate(self.lengths)
        return tuple(
            [
                dy[(*before, slice(end - n, end))] if need else None
                for end, n, need in zip(ends, self.lengths, self.needs, strict=True)
            ]
        )


class Stack(Op):
    """The arrays side by side along a new axis;  each gets its place of dy back"""

    reads_inputs = False

    def forward(self, *arrays: Any, axis: int) -> Any:
        self.before = (slice(None),) * one_axis(axis, arrays[0].ndim + 1)
        new = (*self.before, None)
        return devices.joined(tuple([a[new] for a in arrays]), len(self.before))

    def backward(self, dy: Any) -> Any:
        return tuple([dy[(*self.before, i)] if need else None for i, need in enumerate(self.needs)])


def reshape(x: Any, *shape: Any) -> Tensor:
    """The elements in C order in another shape; one entry may be −1."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    return Reshape.apply(as_tensor(x), shape=shape)


def flatten(x: Any) -> Tensor:
    """All elements in C order, in one axis."""
    return reshape(x, -1)


def transpose(x: Any, *axes: Any) -> Tensor:
    """The axes in the order given; reversed if none is."""
    x = as_tensor(x)
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (tuple, list))):
        axes = tuple(axes[0] or ())
    return Transpose.apply(x, axes=tuple(map(operator.index, axes)))


def swapaxes(x: Any, a: int, b: int) -> Tensor:
    """Two axes exchanged."""
    x = as_tensor(x)
    axes = list(range(x.ndim))
    a, b = one_axis(a, x.ndim), one_axis(b, x.ndim)
    axes[a], axes[b] = axes[b], axes[a]
    return Transpose.apply(x, axes=tuple(axes))


def moveaxis(x: Any, source: int, destination: int) -> Tensor:
    """One axis in another place, the others in their order."""
    x = as_tensor(x)
    source = one_axis(source, x.ndim)
    axes = [i for i in range(x.ndim) if i != source]
    axes.insert(one_axis(destination, x.ndim), source)
    return Transpose.apply(x, axes=tuple(axes))


def expand_dims(x: Any, axis: int) -> Tensor:
    """A new axis of length 1 at this place of the result."""
    x = as_tensor(x)
    if not -x.ndim - 1 <= axis <= x.ndim:
        raise ValueError(f"expand_dims: axis {axis} is outside a result of {x.ndim + 1} axes")
    axis %= x.ndim + 1
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def squeeze(x: Any, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """Without its axes of length 1, or without the ones named."""
    x = as_tensor(x)
    return reshape(x, x._array.squeeze(axis).shape)


def broadcast_to(x: Any, shape: Sequence[int]) -> Tensor:
    """Repeated to a larger shape, as in NumPy."""
    return BroadcastTo.apply(as_tensor(x), shape=tuple(shape))


def getitem(x: Any, key: Any) -> Tensor:
    """x[key], for slices, integers, masks and arrays of integers."""
    x = as_tensor(x)
    return GetItem.apply(x, key=_usable(key, x))


def _setitem(t: Tensor, key: Any, value: Any) -> None:
    if modes.get().recording and (t._needs or getattr(value, "_needs", False)):
        raise RuntimeError(
            "assignment to part of a tensor is not differentiable, and a gradient is required; use where() or "
            "stack(), or write to .data, or under no_grad(), if the change is no part of the computation"
        )
    check_one_device("assignment to a part", t, value)
    array = value
    if not isinstance(value, Number):
        array = devices.beside(array_of(value, t.dtype), t._array)
    t._array[_usable(key, t)] = array
    t._changed()


def flip(x: Any, axis: int | None = None) -> Tensor:
    """Backwards along an axis, or along all of them."""
    x = as_tensor(x)
    if axis is None:
        return getitem(x, (slice(None, None, -1),) * x.ndim)
    return getitem(x, (slice(None),) * one_axis(axis, x.ndim) + (slice(None, None, -1),))


def concatenate(tensors: Sequence[Any], axis: int | None = 0) -> Tensor:
    """The tensors one after the other along an existing axis, or the elements of all in one axis if it is None."""
    tensors = _alike("concatenate", tensors)
    tensors, axis = ([flatten(t) for t in tensors], 0) if axis is None else (tensors, axis)
    axis = _checked_joint([t.shape for t in tensors], axis)
    return Concatenate.apply(*tensors, axis=axis)


def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """The tensors side by side along a new axis."""
    tensors = _alike("stack", tensors)
    for i, t in enumerate(tensors):
        if t.shape != tensors[0].shape:
            raise ValueError(f"stack: tensor 0 has shape {tensors[0].shape} and tensor {i} {t.shape}; they must agree")
    return Stack.apply(*tensors, axis=axis)


def split(x: Any, parts: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Equal parts along an axis, or parts that end at the indices given."""
    x = as_tensor(x)
    axis = one_axis(axis, x.ndim)
    n = x.shape[axis]
    if not isinstance(parts, (int, np.integer, Sequence, np.ndarray)):
        raise TypeError(f"split: expected a number of parts, or the indices where they end, got {parts!r}")
    if isinstance(parts, (int, np.integer)):
        if parts < 1 or n % parts:
            raise ValueError(f"split: an axis of length {n} does not divide into {parts} equal parts")
        parts = range(n // parts, n, n // parts) if n else [0] * (parts - 1)
    before = (slice(None),) * axis
    return [getitem(x, (*before, slice(a, b))) for a, b in zip([0, *parts], [*parts, n], strict=True)]


def _alike(function: str, tensors: Sequence[Any]) -> list[Tensor]:
    """All as tensors of one type, by the rules of arithmetic."""
    if not len(tensors):
        raise ValueError(f"{function} needs at least one tensor")
    if all(isinstance(t, Tensor) for t in tensors) and len({t._array.dtype for t in tensors}) == 1:  # nearly always
        return list(tensors)
    leader = next((t for t in tensors if isinstance(t, Tensor)), None)
    device = None if leader is None else leader.device
    given = [t if isinstance(t, Tensor) else as_tensor(t, device=device) for t in tensors]
    leader = given[0] if leader is None else leader
    for t in given:
        leader = operands(leader, t)[0]
    return [operands(leader, t)[1] if t.dtype != leader.dtype else t for t in given]


def _checked_joint(shapes: list[tuple[int, ...]], axis: int) -> int:
    """The axis, counted from the first. What NumPy and CuPy refuse in words of their own is refused here."""
    first, ndim = shapes[0], len(shapes[0])
    if ndim == 0:
        raise ValueError("concatenate: tensors of no axes have none to be joined along; use stack()")
    axis = one_axis(axis, ndim)
    for i, shape in enumerate(shapes):
        if shape == first:
            continue
        text = f"concatenate: tensor 0 has shape {first} and tensor {i} {shape}"
        if len(shape) != ndim:
            raise ValueError(f"{text}; they need the same number of dimensions")
        if (*shape[:axis], *shape[axis + 1 :]) != (*first[:axis], *first[axis + 1 :]):
            raise ValueError(f"{text}; they must agree in all axes but axis {axis}, along which they are joined")
    return axis


_PLAIN = {int, slice, type(None), type(Ellipsis)}


def _is_plain(key: Any) -> bool:
    """Whether it names each place once, and needs no look on any device: nearly always."""
    return _PLAIN.issuperset(map(type, key)) if type(key) is tuple else type(key) in _PLAIN


def _usable(key: Any, x: Tensor) -> Any:
    """A key that x's array takes, and refuses where NumPy's would."""
    if type(x._array) is not np.ndarray:
        _check_bounds(key)
    if _is_plain(key):
        return key
    key = _frozen(key, x)
    if x.device == "cuda":
        _check_indices(key, x.shape)
        key = _sent(key, x.device)
    return key


def _frozen(key: Any, x: Tensor) -> Any:
    """A key of x that the caller cannot change before backward uses it again."""
    return tuple(_frozen_part(k, x) for k in key) if isinstance(key, tuple) else _frozen_part(key, x)


def _frozen_part(k: Any, x: Tensor) -> Any:
    """Numbers, slices and the like as they are, and all else as an array: a tuple within the key, too, is one."""
    if isinstance(k, Tensor):
        check_one_device("indexing", x, k)
        return k._array.copy()
    k = k.item() if isinstance(k, np.generic) else k
    if isinstance(k, (float, str)):  # of which CuPy would make an integer
        raise IndexError(f"an index is an integer, a slice, None, … or an array of integers or booleans, got {k!r}")
    if type(k) in _PLAIN or isinstance(k, int) or (hasattr(k, "__index__") and not hasattr(k, "__len__")):
        return k
    array = devices.as_array(k)
    if isinstance(k, (list, tuple)) and not array.size:
        return array.astype(np.intp)  # NumPy takes [] for floats
    return array.copy()


def _check_bounds(key: Any) -> None:
    """Refuse what NumPy refuses: CuPy would make integers of the bounds of a slice."""
    for k in key if isinstance(key, tuple) else (key,):
        for bound in (k.start, k.stop, k.step) if isinstance(k, slice) else ():
            if bound is not None:
                operator.index(bound)


def _check_indices(key: Any, shape: tuple[int, ...]) -> None:
    """Refuse indices outside of an axis, as NumPy does: CuPy would take them modulo its length."""
    parts = key if isinstance(key, tuple) else (key,)
    taken = [k.ndim if _is_mask(k) else k is not None and k is not Ellipsis for k in parts]  # axes of x by each part
    axis = 0
    for i, k in enumerate(parts):
        if devices.is_array(k) and not _is_mask(k) and axis < len(shape):
            devices.check_indices(k, axis, shape[axis])
        axis = len(shape) - sum(taken[i + 1 :]) if k is Ellipsis else axis + taken[i]


def _sent(key: Any, device: str) -> Any:
    if isinstance(key, tuple):
        return tuple(_sent(k, device) for k in key)
    return devices.send(key, device) if devices.is_array(key) else key


def _added_up(x: Any, shape: tuple[int, ...], key: Any) -> Any:
    """Zeros with x added at the key in order, as to the rows of a table, each of which is what the key leaves whole."""
    parts = key if isinstance(key, tuple) else (key,)
    if all(type(k) is int or (devices.is_array(k) and not _is_mask(k)) for k in parts):
        lead = len(parts)
        places: Any = 0
        for k, n in zip(parts, shape, strict=False):
            k = k if type(k) is int else k.astype(np.int64, copy=False)  # its own type may not hold so many
            places = places * n + k % max(n, 1)
    else:
        lead, places = len(shape), np.arange(math.prod(shape), like=x).reshape(shape)[key]
    rows, columns = math.prod(shape[:lead]), math.prod(shape[lead:])
    dy = (x if x.dtype in FLOATS else x.astype(np.float32)).reshape(places.size, columns)
    y = kernels.of(x).embedding_backward(dy, places.astype(np.int64, copy=False).reshape(-1), rows)
    return y.reshape(shape).astype(x.dtype, copy=False)


def _is_mask(k: Any) -> bool:
    return devices.is_array(k) and k.dtype == np.bool_


def _may_repeat(key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return any(devices.is_array(k) and not _is_mask(k) and k.size != 1 for k in parts)


METHODS = {f.__name__: f for f in (reshape, flatten, transpose, swapaxes, squeeze, expand_dims)} | {
    "__getitem__": getitem,
    "__setitem__": _setitem,
    "ravel": flatten,
    "T": property(transpose),
    "mT": property(lambda x: swapaxes(x, -1, -2)),
}
FUNCTIONS |= {getattr(np, f.__name__): f for f in (
    reshape, transpose, swapaxes, moveaxis, expand_dims, squeeze, broadcast_to, flip, concatenate, stack, split
)} | {np.ravel: flatten}  # fmt: skip
