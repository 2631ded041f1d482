"""A CUDA graph: work that is queued once, and then again as a whole, at the cost of one launch.

What a step queues is the same from one step to the next but for its data, for the place in the random streams, and for
what the host finds in it. So a recording has memory of its own for the data that goes in and the results that come
out, and copies both as part of the graph; a kernel that draws random numbers reads its place from memory; and where
the host would ask whether something is wrong, the answer is noted, and read when the graph has run.

A step in two parts becomes two graphs, and the host waits for the first alone: while it looks at the loss, the GPU is
at the gradients. What the optimizer makes of these is a third, in which the learning rate is read from memory.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from minidl.kernels._cuda import _dense, _empty
from minidl.kernels._cuda_blas import Handle
from minidl.kernels.validate import WORD

Array = Any
Streams = Sequence[Any]  # of random numbers, each with a seed and an offset that moves on
HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2  # cudaMemcpyKind

_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)


def recording() -> Recording | None:
    """The one that what is queued now becomes part of."""
    return _recording.get()


class UnrecordableError(Exception):
    """A step does what a graph cannot hold, such as waiting for a number."""


class Recorder:
    """A stream to record on, and the memory of what is computed there, which its recordings share.

    So the results of one are there until another is played.
    """

    alive: weakref.WeakSet[Recorder] = weakref.WeakSet()

    def __init__(self) -> None:
        import cupy

        cupy.get_default_memory_pool().free_all_blocks()  # what the steps before have left, this one needs as much
        self.pool = cupy.cuda.MemoryPool()
        self.alive.add(self)
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.finish = cupy.cuda.runtime.deviceSynchronize
        with self.here():
            Handle.current()  # it takes its memory now

    @contextlib.contextmanager
    def here(self) -> Iterator[None]:
        """What is queued in this block goes to the stream, and memory comes from the pool."""
        import cupy

        with cupy.cuda.using_allocator(self.pool.malloc), self.stream:
            yield

    def __del__(self) -> None:
        if hasattr(self, "stream"):
            Handle.release(self.stream.ptr)


class Recording:
    """What `step` queues for arrays of these shapes, recorded without being run.

    Args:
        recorder: whose memory it lives in.
        step: takes arrays on the GPU like the inputs, and yields the arrays to be read, and then anything else.
        inputs: arrays of NumPy's or CuPy's; what they hold does not matter.
        streams: the random streams that the step may draw from.
    """

    def __init__(
        self, recorder: Recorder, step: Callable[..., Generator[Any]], inputs: Sequence[Array], streams: Streams
    ) -> None:
        self._recorder = recorder
        self._graphs: list[Any] = []
        self._rate_now: float | None = None
        self._doubts: list[Array] = []  # answers that a host would have waited for; none of them may hold a true
        before = [stream.offset for stream in streams]
        self._seeds = [stream.seed for stream in streams]
        self._begun = dict(zip(self._seeds, before, strict=True))
        try:
            with self._active():
                self._capture(step, inputs)
        finally:
            self._taken = [(stream.offset - begun) % WORD for stream, begun in zip(streams, before, strict=True)]
            for stream, offset in zip(streams, before, strict=True):
                stream.offset = offset

    def __del__(self) -> None:
        if self._graphs and not sys.is_finalizing():
            self._recorder.finish()  # what it reads from the host must be there until it has

    @contextlib.contextmanager
    def _active(self) -> Iterator[None]:
        token = _recording.set(self)
        try:
            with self._recorder.here():
                yield
        except Exception as error:
            raise UnrecordableError(str(error)) from error
        finally:
            _recording.reset(token)

    def _capture(self, step: Callable[..., Generator[Any]], inputs: Sequence[Array]) -> None:
        self._draws = _Place((len(self._seeds), 2), np.dtype(np.uint64), pinned=True)
        self._inputs = [_Place(x.shape, x.dtype, pinned=isinstance(x, np.ndarray)) for x in inputs]
        with contextlib.closing(step(*(place.device for place in self._inputs))) as parts:
            with self._captured():
                for place in (self._draws, *self._inputs):
                    place.fetch()
                self._read = [None if x is None else _Result(x) for x in next(parts)]
                self._noted = [_Result(x) for x in self._doubts]
            with self._captured():
                self.rest = next(parts, None)
        if len(self._doubts) > len(self._noted):
            raise UnrecordableError("something is asked for after the results were read")

    @contextlib.contextmanager
    def _captured(self) -> Iterator[None]:
        """A graph of what is queued in this block."""
        stream = self._recorder.stream
        collects = gc.isenabled()
        gc.disable()  # what it finds may hold memory of CUDA's, and to give that back would break the recording off
        stream.begin_capture()
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):  # the step may have broken it off
                stream.end_capture()
            raise
        finally:
            if collects:
                gc.enable()
        self._graphs.append(stream.end_capture())

    def place_of(self, seed: int, offset: int) -> tuple[Array, int]:
        """Where the graph finds a stream's seed and offset, and how far behind that a draw begins."""
        if self._seeds.count(seed) != 1:
            raise UnrecordableError(f"the seed {seed} is that of {self._seeds.count(seed)} random streams")
        return self._draws.device[self._seeds.index(seed)], (offset - self._begun[seed]) % WORD

    def record_update(self, update: Callable[[], None], rate: float) -> None:
        """Record what an optimizer queues for the gradients that are the rest of the step, at this rate."""
        self._rate_now, graphs = rate, len(self._graphs)
        with self._active():
            self._rate = _Place((1,), np.dtype(np.float64), pinned=True)
            with self._captured():
                self._rate.fetch()
                update()
        self._graphs[2:] = self._graphs[graphs:]

    def play_update(self, rate: float) -> None:
        """Run it. The one before has read its rate, for `play` has waited for work behind it."""
        self._rate.host[0] = rate
        self._graphs[2].launch()

    def place_of_rate(self, rate: float) -> Array:
        """Where the graph of an update finds the rate."""
        if rate != self._rate_now:
            raise UnrecordableError(f"a rate of {rate} beside one of {self._rate_now}")
        return self._rate.device

    def doubt(self, wrong: Array) -> None:
        """Look at this array after each run: where an element is true, the run counts for nothing."""
        self._doubts.append(wrong)

    def play(self, inputs: Sequence[Array], streams: Streams) -> tuple[list[Array | None], Any] | None:
        """Run it on these inputs; what was to be read, as new arrays of NumPy's, and the rest, which may be on its way.

        None if something is wrong with the inputs. Then the streams have not moved on, and an ordinary run of the
        step finds out what it is.
        """
        import cupy

        for place, x in zip(self._inputs, inputs, strict=True):
            place.put(x)
        for i, stream in enumerate(streams):
            self._draws.host[i] = stream.seed, stream.offset
        first, second, *_ = self._graphs
        first.launch()
        read = cupy.cuda.Event(block=False, disable_timing=True)
        read.record()
        second.launch()
        read.synchronize()
        if any(doubt.host.any() for doubt in self._noted):
            return None
        for stream, words in zip(streams, self._taken, strict=True):
            stream.offset = (stream.offset + words) % WORD
        return [None if x is None else x.host.copy() for x in self._read], self.rest


def asked(wrong: Array) -> Callable[[], bool]:
    """Ask whether the one element is true. The host waits for the answer when it is called for, not for later work.

    It must be called for: the GPU writes it into memory that is given back with the question. While a graph is recorded
    there is no answer but later: see `doubt`.
    """
    if now := recording():
        now.doubt(wrong)
        return lambda: False
    import cupy

    host, come = _pinned(wrong.shape, wrong.dtype), cupy.cuda.Event(block=False, disable_timing=True)
    _copy(host.ctypes.data, wrong.data.ptr, host.nbytes, DEVICE_TO_HOST)
    come.record()

    def answer() -> bool:
        come.synchronize()
        return bool(host.any())

    return answer


class _Place:
    """An array that the graph begins with: on the GPU, and for what comes from the host in memory that it copies."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], pinned: bool) -> None:
        self.device = _empty(shape, dtype)
        self.host: Any = _pinned(shape, dtype) if pinned else None

    def fetch(self) -> None:
        if self.host is not None and self.host.size:
            _copy(self.device.data.ptr, self.host.ctypes.data, self.host.nbytes, HOST_TO_DEVICE)

    def put(self, x: Array) -> None:
        if self.host is None:
            self.device[...] = x
        else:
            np.copyto(self.host, x)


class _Result:
    """An array that the graph ends with, and its copy for the host."""

    def __init__(self, x: Array) -> None:
        self._device = _dense(x)
        self.host = _pinned(x.shape, x.dtype)
        if self.host.size:
            _copy(self.host.ctypes.data, self._device.data.ptr, self.host.nbytes, DEVICE_TO_HOST)


def _copy(to: int, of: int, size: int, kind: int) -> None:
    """As CUDA has it: CuPy's arrays refuse while a graph is recorded, for most memory of a host is not pinned."""
    import cupy

    cupy.cuda.runtime.memcpyAsync(to, of, size, kind, cupy.cuda.get_current_stream().ptr)


def _pinned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array of NumPy's in memory that the GPU reads and writes by itself."""
    import cupy

    size = int(np.prod(shape)) * dtype.itemsize
    memory = cupy.cuda.alloc_pinned_memory(max(size, 1))
    return np.frombuffer(memory, np.uint8, size).view(dtype).reshape(shape)
