"""What `fit`, `evaluate` and `predict` are given, as batches: arrays, lists, generators, sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minidl import random
from minidl.tensor import Tensor


class Batch(NamedTuple):
    """Inputs, targets (or None) and sample weights (or None) of a few samples."""

    x: Any
    y: Any
    weights: Any

    @property
    def size(self) -> int:
        return len(_first(self.x))


class ArrayData:
    """Samples in memory, cut into batches. The last batch may be smaller."""

    def __init__(self, x: Any, y: Any = None, weights: Any = None, batch_size: int | None = None) -> None:
        self.x = map_arrays(_checked_array("x"), x)
        self.y = None if y is None else _checked_array("y")(y)
        self.weights = None if weights is None else _checked_array("sample_weight")(weights)
        self.batch_size = _positive("batch_size", 32 if batch_size is None else batch_size)
        self.size = len(_first(self.x))
        if self.size == 0:
            raise ValueError("there is no data: x holds no samples")
        self._check_lengths()

    def _check_lengths(self) -> None:
        named = [("x", a) for a in arrays_in(self.x)] + [("y", self.y), ("sample_weight", self.weights)]
        for name, array in named:
            if array is not None and len(array) != self.size:
                raise ValueError(f"x holds {self.size} samples and {name} holds {len(array)}; they must agree")

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def batches(self, order: Any = None) -> Iterator[Batch]:
        """The batches in order, or with the samples in the order given."""
        for start in range(0, self.size, self.batch_size):
            part: Any = slice(start, start + self.batch_size)
            yield self._select(part if order is None else order[part])

    def split(self, fraction: float) -> tuple[ArrayData, ArrayData]:
        """Without the last fraction of the samples, and that fraction."""
        if not 0 < fraction < 1:
            raise ValueError(f"validation_split must lie between 0 and 1, got {fraction}")
        at = int(self.size * (1 - fraction))
        if at == 0 or at == self.size:
            raise ValueError(f"validation_split={fraction} of {self.size} samples leaves one side empty")
        return tuple(  # type: ignore[return-value]
            ArrayData(*self._select(part), self.batch_size) for part in (slice(None, at), slice(at, None))
        )

    def _select(self, part: Any) -> Batch:
        y, weights = (None if a is None else a[part] for a in (self.y, self.weights))
        return Batch(map_arrays(lambda a: a[part], self.x), y, weights)


class StreamData:
    """Batches made by somebody else: a generator, or an object with __len__ and __getitem__.

    Each is x, (x, y) or (x, y, sample_weight). A generator goes on where it stopped; one that
    ends within an epoch ends that epoch.
    """

    def __init__(self, source: Any, steps: int | None = None) -> None:
        indexed = hasattr(source, "__getitem__") and hasattr(source, "__len__")
        self._next = iter(source).__next__ if not indexed else None
        self._source = source
        self._steps = steps if steps is not None else (len(source) if indexed else None)

    def __len__(self) -> int:
        if self._steps is None:
            raise TypeError("the number of batches of a generator is unknown")
        return self._steps

    def batches(self, order: Any = None) -> Iterator[Batch]:
        step = 0
        while self._steps is None or step < self._steps:
            try:
                item = self._source[step % len(self._source)] if self._next is None else self._next()
            except StopIteration:
                return
            yield _as_batch(item)
            step += 1
        if self._next is None and hasattr(self._source, "on_epoch_end"):
            self._source.on_epoch_end()


Data = ArrayData | StreamData


def make_data(
    x: Any, y: Any = None, weights: Any = None, batch_size: int | None = None, steps: int | None = None
) -> Data:
    """The batches that the arguments of `fit` mean."""
    if _is_stream(x):
        if y is not None or weights is not None:
            raise ValueError("a generator gives its targets and weights itself: leave y and sample_weight out")
        return StreamData(x, steps)
    return ArrayData(x, y, weights, batch_size)


def shuffled(data: Data) -> Any:
    """A random order of the samples, or None for a stream, which has its own."""
    return random.default().permutation(data.size) if isinstance(data, ArrayData) else None


def arrays_in(x: Any) -> list[Any]:
    """The arrays of one input, or of a list or dict of them."""
    if isinstance(x, dict):
        return list(x.values())
    return list(x) if isinstance(x, (list, tuple)) else [x]


def map_arrays(function: Callable[[Any], Any], x: Any) -> Any:
    """Apply a function to the one array, or to each in a list or dict of several inputs."""
    if isinstance(x, dict):
        return {key: function(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)) and x and all(isinstance(e, (np.ndarray, Tensor)) and np.ndim(e) > 0 for e in x):
        return [function(e) for e in x]
    return function(x)


def class_weights(y: Any, weights: dict[int, float]) -> Any:
    """The weight of each sample's class, 1 for a class that is not named."""
    labels = np.asarray(y)
    if labels.ndim > 1 and labels.shape[-1] > 1:
        labels = labels.argmax(-1)
    return np.array([weights.get(int(label), 1.0) for label in labels.reshape(len(labels), -1)[:, 0]])


def _first(x: Any) -> Any:
    return arrays_in(x)[0]


def _is_stream(x: Any) -> bool:
    if isinstance(x, (np.ndarray, Tensor, list, tuple, dict)) or hasattr(x, "__array__"):
        return False
    return hasattr(x, "__next__") or hasattr(x, "__iter__") or hasattr(x, "__getitem__")


def _as_batch(item: Any) -> Batch:
    parts = item if isinstance(item, tuple) else (item,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"a batch is x, (x, y) or (x, y, sample_weight); got a tuple of {len(parts)}")
    x, y, weights = (*parts, None, None)[:3]
    data = ArrayData(x, y, weights)
    return Batch(data.x, data.y, data.weights)


def _checked_array(name: str) -> Callable[[Any], Any]:
    """How to turn the argument of this name into an array of finite numbers."""

    def check(value: Any) -> Any:
        array = value._array if isinstance(value, Tensor) else _as_array(name, value)
        if array.ndim == 0:
            raise ValueError(f"{name} must hold one entry a sample, got the single value {value!r}")
        if array.dtype.kind not in "fiub":
            cause = "map the classes to 0, 1, …" if name == "y" else "turn texts into ids with a Tokenizer first"
            raise TypeError(f"{name} must hold numbers, got {array.dtype}; {cause}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise ValueError(f"{name} holds {array[at]} at position {at}; clean the data first")
        return array

    return check


def _as_array(name: str, value: Any) -> Any:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is ragged: its rows differ in length; pad them, e.g. with pad_sequences") from error


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)
