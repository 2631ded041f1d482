"""Steps of a model on the GPU as CUDA graphs: one launch for all that a step queues.

To queue a step of a small model takes the processor longer than the GPU needs to run it. So what a model does for the
third time with arrays of the same shapes is recorded and then played (`kernels/_cuda_graph.py`), with the same bits as
before. What decides on the step without being an array must not have changed since: the layers and their attributes,
the loss, where the weights are. And it must all be minidl's own: a layer or a loss of the user's may do what a graph
does not repeat. What an optimizer of minidl's makes of the gradients is a graph of its own, played once the loss and
the metrics have found nothing wrong.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from minidl import devices, random
from minidl.autograd.modes import modes
from minidl.layers.base import Layer, changes
from minidl.layers.recurrent import LSTM
from minidl.models.data import Batch, arrays_in, map_arrays
from minidl.optimizers import NAMES, Optimizer
from minidl.tensors import Tensor, wrap

if TYPE_CHECKING:
    from minidl.models.model import Model

Array = Any
Step = Callable[[Batch], Generator[Any]]  # yields the arrays that the host reads, and then what may still be computed

OPTIMIZERS = frozenset(NAMES.values())
SETTING = (int, float, str, tuple, type(None))  # of an optimizer
FIRST = 2  # runs before a step is recorded: kernels are loaded and weights made in the first
KEPT = 8  # recordings of a model: the last batch of an epoch has a shape of its own, and so may each of three uses


class Playback:
    """What a model has run, by what decides on it: how often so far, or the recording, or None if there can be none."""

    def __init__(self) -> None:
        self._known: dict[Any, int | devices.Recording | None] = {}
        self._recorder: devices.Recorder | None = None
        # The optimizer behind a recording as it was when its step was last seen, and whether that is recorded too.
        self._updates: weakref.WeakKeyDictionary[devices.Recording, tuple[Any, bool]] = weakref.WeakKeyDictionary()
        self._one_at_a_time = threading.Lock()
        self._walked: Any = None
        self._own_streams: list[random.Generator] = []
        self._stateful: list[LSTM] = []

    def __reduce__(self) -> Any:
        """A copy of a model begins anew."""
        return Playback, ()

    def run(self, model: Model, use: str, step: Step, batch: Batch) -> tuple[list[Array | None], Any]:
        """What `step(batch)` yields: the arrays to be read, as NumPy's, and the rest."""
        may_play = model.device == "cuda" and not model.run_eagerly and not modes.get().watching
        if may_play and self._one_at_a_time.acquire(blocking=False):
            try:
                played = self._played(model, use, step, batch)
            finally:
                self._one_at_a_time.release()
            if played is not None:
                return played
        return self.run_once(model, use, step, batch)

    def run_once(self, model: Model, use: str, step: Step, batch: Batch) -> tuple[list[Array | None], Any]:
        """The same for a step that does more than it will do the next time."""
        read, rest = (*step(batch), None)[:2]
        return [None if x is None else devices.to_host(x) for x in read], rest

    def _played(self, model: Model, use: str, step: Step, batch: Batch) -> tuple[list[Array | None], Any] | None:
        arrays, streams = _arrays(batch), self.streams(model)
        try:
            key = use, _signature(batch), _state(model), len(streams)
            known = self._known.pop(key, 0)
        except TypeError:  # the settings of a loss are no key
            return None
        if isinstance(known, int):
            known = known + 1 if known < FIRST else self._recorded(model, step, batch, arrays, streams)
        self._known[key] = known  # as the latest
        while len(self._known) > KEPT:
            del self._known[next(iter(self._known))]
        return None if known is None or isinstance(known, int) else known.play(arrays, streams)

    def update(self, optimizer: Optimizer, pairs: list[tuple[Any, Tensor]]) -> None:
        """One step of the optimizer, which is played where the gradients are those of a recording."""
        recording = next(reversed(self._known.values()), None)
        if recording is None or isinstance(recording, int) or recording.rest is not pairs:
            optimizer.apply_gradients(pairs)
            return
        state, plays = self._updates.get(recording, (None, False))
        now = _state_of(optimizer, pairs)
        if plays and state == now:
            recording.play_update(optimizer.step_size())
            for _, w in pairs:
                w._changed()
            optimizer.iterations += 1
            return
        optimizer.apply_gradients(pairs)
        if state != now:
            plays = _record_update(recording, optimizer, pairs)
            self._updates[recording] = _state_of(optimizer, pairs), plays

    def streams(self, model: Model) -> list[random.Generator]:
        """Every stream that a step may draw from, the default one first."""
        self._walk(model)
        return list({id(stream): stream for stream in [random.default(), *self._own_streams]}.values())

    def stateful(self, model: Model) -> list[LSTM]:
        """The layers in which a step leaves a state for the next one."""
        self._walk(model)
        return self._stateful

    def _walk(self, model: Model) -> None:
        known = changes(), id(model)
        if known != self._walked:
            layers = model._descendants()
            self._own_streams = [v for layer in layers for v in vars(layer).values() if isinstance(v, random.Generator)]
            self._stateful = [layer for layer in layers if isinstance(layer, LSTM) and layer.stateful]
            self._walked = known

    def _recorded(
        self, model: Model, step: Step, batch: Batch, arrays: list[Array], streams: list[random.Generator]
    ) -> devices.Recording | None:
        if not _all_ours(model):
            return None
        try:
            if self._recorder is None:
                self._recorder = devices.Recorder()
            return devices.Recording(self._recorder, lambda *given: step(_rebuilt(batch, given)), arrays, streams)
        except (devices.UnrecordableError, MemoryError):
            return None


def _record_update(recording: devices.Recording, optimizer: Optimizer, pairs: list[tuple[Any, Tensor]]) -> bool:
    """Record the optimizer's step for these gradients; whether that can be done."""
    grads, weights = [None if g is None else g._array for g, _ in pairs], [w for _, w in pairs]
    whole = all(g is not None and g.dtype is w.dtype for g, w in zip(grads, weights, strict=True))
    if type(optimizer) not in OPTIMIZERS or optimizer.weight_decay or not whole:
        return False

    def queue() -> None:
        rate = optimizer.learning_rate
        for w, g in zip(weights, optimizer._clipped(grads), strict=True):
            optimizer._change(w, g, rate)

    try:
        recording.record_update(queue, optimizer.step_size())
    except (devices.UnrecordableError, MemoryError):
        return False
    return True


# ---- the arrays of a batch ----------------------------------------------------------------


def _arrays(batch: Batch) -> list[Array]:
    return [*arrays_in(batch.x), *(a for a in (batch.y, batch.weights) if a is not None)]


def _rebuilt(batch: Batch, arrays: Sequence[Array]) -> Batch:
    """A batch like this one, of these arrays. Tensors, for a bare array would be watched for changes."""
    tensors = iter(map(wrap, arrays))
    x = map_arrays(lambda _: next(tensors), batch.x)
    y, weights = (None if a is None else next(tensors) for a in (batch.y, batch.weights))
    return Batch(x, y, weights)


def _signature(batch: Batch) -> Any:
    names = tuple(batch.x) if isinstance(batch.x, dict) else type(batch.x) is list
    of = [None if a is None else (a.shape, a.dtype.str, devices.on_gpu(a)) for a in (batch.y, batch.weights)]
    return names, *((a.shape, a.dtype.str, devices.on_gpu(a)) for a in arrays_in(batch.x)), *of


# ---- what decides on a step besides --------------------------------------------------------


def _state(model: Model) -> Any:
    """All that a recording holds as it was."""
    loss = model.loss
    return (
        changes(),
        devices.checks_ids(),
        tuple([id(layer) for layer in model._descendants()]),
        tuple([(_address(w._array), w._needs) for w in model.weights]),
        (id(loss), *vars(loss).items()) if loss is not None else None,
    )


def _state_of(optimizer: Optimizer, pairs: list[tuple[Any, Tensor]]) -> Any:
    """All that the recording of an update holds as it was; the rate and the count of the steps are not in it."""
    settings = {k: v for k, v in vars(optimizer).items() if isinstance(v, SETTING) and k not in ("iterations", "_rate")}
    return id(optimizer), settings, [[_address(array) for array in optimizer._kept.get(w, ())] for _, w in pairs]


def _address(array: Array) -> Any:
    return array.data.ptr if devices.on_gpu(array) else "on the host"


def _all_ours(model: Model) -> bool:
    """Whether what a step calls is minidl's: the layers, what they call, the penalties and the loss."""
    return all(map(_is_ours, _called(model)))


def _called(model: Model) -> Iterator[Any]:
    yield model.loss
    yield from vars(model.loss).values() if model.loss is not None else ()
    for layer in model._descendants():
        yield layer
        yield from vars(layer).values()
        yield from (penalty for penalty, _ in layer._penalties)


def _is_ours(value: Any) -> bool:
    """Whether it is data, or a function or an object with a call of minidl's."""
    if not callable(value) and not isinstance(value, Layer):
        return True
    kind = value if hasattr(value, "__qualname__") else type(value)
    return str(kind.__module__).partition(".")[0] == "minidl"
