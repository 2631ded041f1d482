"""What `fit`, `evaluate` and `predict` are given, as batches: arrays, lists, generators, sequences."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from minidl import devices, random
from minidl.hyperparameters import integer, number
from minidl.tensors import Tensor


class Batch(NamedTuple):
    """Inputs, targets (or None) and sample weights (or None) of a few samples."""

    x: Any
    y: Any
    weights: Any

    @property
    def size(self) -> int:
        return len(_first(self.x))


class ArrayData:
    """Samples in memory, cut into batches. The last batch may be smaller.

    With `steps`, an epoch has so many batches, and the next one goes on where it stopped.
    """

    def __init__(
        self, x: Any, y: Any = None, weights: Any = None, batch_size: int | None = None, steps: int | None = None
    ) -> None:
        self.x = map_arrays(_checked_array("x"), x)
        self.size = len(_first(self.x))
        self.y = None if y is None else _checked_array("y")(_of_one_output(y, self.size))
        self.weights = None if weights is None else _checked_array("sample_weight")(_of_one_output(weights, self.size))
        self.batch_size = integer("batch_size", 32 if batch_size is None else batch_size, 1)
        if self.size == 0:
            raise ValueError("there is no data: x holds no samples")
        self._check_lengths(x)
        self._steps = steps
        self._rest: Iterator[Batch] = iter(())

    def _check_lengths(self, given: Any) -> None:
        parts = arrays_in(self.x)
        names = (
            ["x"]
            if len(parts) == 1
            else [f"x[{key!r}]" for key in (self.x if isinstance(self.x, dict) else range(len(parts)))]
        )
        for name, array in [*zip(names, parts, strict=True), ("y", self.y), ("sample_weight", self.weights)]:
            if array is not None and len(array) != self.size:
                hint = (
                    "; a list of arrays is several inputs, np.stack(x) makes it one"
                    if isinstance(given, (list, tuple)) and len(parts) > 1
                    else ""
                )
                raise ValueError(
                    f"{names[0]} holds {self.size} samples and {name} holds {len(array)}; they must agree{hint}"
                )

    @property
    def steps(self) -> int | None:
        """How many batches there are, None if nobody knows."""
        return -(-self.size // self.batch_size) if self._steps is None else self._steps

    def batches(self) -> Iterator[Batch]:
        """The batches in order, to measure on."""
        return itertools.islice(self._in_order(None), self._steps)

    def epoch(self, shuffle: bool) -> Iterator[Batch]:
        """The batches of one epoch of training, whenever all were seen in a new order from the default stream."""
        if self._steps is None:
            yield from self._pass(shuffle)
            return
        for _ in range(self._steps):
            batch = next(self._rest, None)
            if batch is None:
                self._rest = self._pass(shuffle)
                batch = next(self._rest)
            yield batch

    def _pass(self, shuffle: bool) -> Iterator[Batch]:
        return self._in_order(random.default().permutation(self.size) if shuffle else None)

    def _in_order(self, order: Any) -> Iterator[Batch]:
        for start in range(0, self.size, self.batch_size):
            part: Any = slice(start, start + self.batch_size)
            yield self._select(part if order is None else order[part])

    def split(self, fraction: float, batch_size: int | None, steps: int | None) -> tuple[ArrayData, ArrayData]:
        """Without the last fraction of the samples, and that fraction, in batches of its own."""
        at = int(self.size * (1 - number("validation_split", fraction, "(0, 1)")))
        if at == 0 or at == self.size:
            raise ValueError(f"validation_split={fraction} of {self.size} samples leaves one side empty")
        before, after = self._select(slice(None, at)), self._select(slice(at, None))
        return ArrayData(*before, self.batch_size, self._steps), ArrayData(*after, batch_size, steps)

    def _select(self, part: Any) -> Batch:
        def of(a: Any) -> Any:
            return a[part if isinstance(part, slice) else devices.beside(part, a)]

        y, weights = (None if a is None else of(a) for a in (self.y, self.weights))
        return Batch(map_arrays(of, self.x), y, weights)


class StreamData:
    """Batches made by somebody else: a generator, something to iterate over, or an object with __len__ and __getitem__.

    Each is x, (x, y) or (x, y, sample_weight). What can be started over is, for each epoch, or with
    `steps` whenever it ends; a generator goes on where it stopped.
    """

    def __init__(self, source: Any, steps: int | None = None) -> None:
        self._source, self._steps = source, steps
        self._indexed = hasattr(source, "__getitem__") and hasattr(source, "__len__")
        self._iterator = self._start()

    def _start(self) -> Iterator[Any]:
        if self._indexed:
            return (self._source[i] for i in range(len(self._source)))
        return iter(self._source)

    @property
    def steps(self) -> int | None:
        """How many batches there are, None if nobody knows."""
        return len(self._source) if self._steps is None and hasattr(self._source, "__len__") else self._steps

    def batches(self) -> Iterator[Batch]:
        step = 0
        while self._steps is None or step < self._steps:
            item = next(self._iterator, _END)
            if item is _END:
                self._iterator = self._start()
                item = _END if self._steps is None else next(self._iterator, _END)
            if item is _END:
                break
            yield _as_batch(item)
            step += 1
        if self._steps is not None and 0 < step < self._steps:
            warnings.warn(f"the generator ended after {step} of {self._steps} batches of the epoch", stacklevel=2)
        if hasattr(self._source, "on_epoch_end"):
            self._source.on_epoch_end()

    def epoch(self, shuffle: bool) -> Iterator[Batch]:
        """The batches of one epoch of training. Their order is that of the source."""
        return self.batches()


_END = object()
Data = ArrayData | StreamData


def make_data(
    x: Any, y: Any = None, weights: Any = None, batch_size: int | None = None, steps: int | None = None
) -> Data:
    """The batches that the arguments of `fit` mean."""
    if steps is not None:
        integer("the number of steps", steps, 1)
    if _is_stream(x):
        if y is not None or weights is not None:
            raise ValueError("a generator gives its targets and weights itself: leave y and sample_weight out")
        return StreamData(x, steps)
    return ArrayData(x, y, weights, batch_size, steps)


def validation_batches(given: Any, batch_size: int | None, steps: int | None) -> Data:
    """The batches that the argument validation_data of `fit` means."""
    if isinstance(given, (tuple, list)):
        if len(given) not in (2, 3):
            raise ValueError(f"validation_data must be (x, y) or (x, y, sample_weight), got {len(given)} parts")
        x, y, weights = (*given, None)[:3]
        return make_data(x, y, weights, batch_size, steps)
    data = make_data(given, steps=steps)
    if isinstance(data, ArrayData):
        raise ValueError("validation_data must be (x, y) or (x, y, sample_weight), got an array without targets")
    return data


def one_batch(x: Any, y: Any = None, weights: Any = None) -> Batch:
    """All of it as one batch."""
    data = ArrayData(x, y, weights)
    return Batch(data.x, data.y, data.weights)


def arrays_in(x: Any) -> list[Any]:
    """The arrays of one input, or of a list or dict of them."""
    if isinstance(x, dict):
        return list(x.values())
    return list(x) if isinstance(x, (list, tuple)) else [x]


def map_arrays(function: Callable[[Any], Any], x: Any) -> Any:
    """Apply a function to the one array, or to each in a list or dict of several inputs."""
    if isinstance(x, dict):
        return {key: function(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)) and x and all(map(_is_an_input, x)):
        return [function(e) for e in x]
    return function(x)


def check_class_weight(weights: Any) -> None:
    if not isinstance(weights, Mapping) or not all(_is_whole(key) for key in weights):
        raise TypeError(
            f"class_weight must be a dict from class numbers to weights, such as {{0: 1.0, 1: 2.5}}, got {weights!r}"
        )
    for key, value in weights.items():
        number(f"class_weight[{key}]", value)


def _is_whole(key: Any) -> bool:
    """Whether it is an integer, or a float that is one: a dict finds 1 under 1.0."""
    return isinstance(key, (int, np.integer)) or (isinstance(key, (float, np.floating)) and key == np.floor(key))


def weighted(batch: Batch, weights: Mapping[int, float]) -> Batch:
    """The batch with the weight of each sample's class, 1 for a class that is not named.

    The class is the label, rounded to an integer, or the place of the largest in a one-hot row.
    """
    if batch.weights is not None:
        raise ValueError("class_weight and sample_weight cannot be combined; multiply them into sample_weight yourself")
    if batch.y is None:
        raise ValueError("class_weight needs targets: pass y")
    labels = devices.to_host(batch.y)  # at once, not one by one
    if labels.ndim > 1:
        labels = labels.argmax(-1) if labels.shape[-1] > 1 else labels[..., 0]
    if labels.ndim > 1:
        raise ValueError(
            f"class_weight needs one class a sample, and y has shape {batch.y.shape}: several; "
            f"give each of them its weight in sample_weight"
        )
    classes = np.round(labels).astype(int)
    return batch._replace(weights=np.array([weights.get(int(label), 1.0) for label in classes]))


def _of_one_output(given: Any, samples: int) -> Any:
    """The targets or the weights themselves, where they stand in a list as if there were several outputs."""
    if isinstance(given, (list, tuple)) and len(given) == 1 and _is_an_input(given[0]) and len(given[0]) == samples:
        return given[0]
    return given


def _is_an_input(x: Any) -> bool:
    return (isinstance(x, Tensor) or devices.is_array(x)) and x.ndim > 0


def _first(x: Any) -> Any:
    return arrays_in(x)[0]


def _is_stream(x: Any) -> bool:
    if isinstance(x, (np.ndarray, Tensor, list, tuple, dict, str, bytes)) or hasattr(x, "__array__"):
        return False
    return hasattr(x, "__next__") or hasattr(x, "__iter__") or hasattr(x, "__getitem__")


def _as_batch(item: Any) -> Batch:
    parts = item if isinstance(item, tuple) else (item,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"a batch is x, (x, y) or (x, y, sample_weight); got a tuple of {len(parts)}")
    x, y, weights = (*parts, None, None)[:3]
    return one_batch(x, y, weights)


def _checked_array(name: str) -> Callable[[Any], Any]:
    """How to turn the argument of this name into an array of finite numbers."""

    def check(value: Any) -> Any:
        array = value._array if isinstance(value, Tensor) else _as_array(name, value)
        if array.ndim == 0:
            raise ValueError(f"{name} must hold one entry a sample, got the single value {value!r}")
        if array.dtype.kind not in "fiub":
            cause = "map the classes to 0, 1, …" if name == "y" else "turn texts into ids with a Tokenizer first"
            if array.dtype.kind == "O":
                cause = 'make them numbers with .astype("float32"), and rows of one length'
            raise TypeError(f"{name} must hold numbers, got {array.dtype}; {cause}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise ValueError(f"{name} holds {array[at]} at position {at}; clean the data first")
        return array

    return check


def _as_array(name: str, value: Any) -> Any:
    try:
        return devices.as_array(value)
    except ValueError as error:
        raise ValueError(f"{name} is ragged: its rows differ in length; pad them, e.g. with pad_sequences") from error
