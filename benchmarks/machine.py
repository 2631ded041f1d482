"""What a benchmark ran on, and what it can do at most: multiplications and bytes a second, and from core to core."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import native

COPY_BYTES = 1 << 28  # far more than any cache holds
LINE = 16  # numbers in a line of the cache, at which the part of each thread begins


def describe() -> dict[str, Any]:
    """The processor, its cores and caches, and the system."""
    from minidl.kernels import cpu, cpu_missing

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        "isa": cpu.isa() if cpu else f"none ({cpu_missing})",
    }


def in_words(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def _processor() -> str:
    with open("/proc/cpuinfo") as lines:
        facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    name, family, model = (facts.get(key) for key in ("model name", "cpu family", "model"))
    return f"{name} (family {family}, model {model})"


def fma_ceiling(isa: str, threads: int) -> float:
    """GFLOP/s of fused multiply-adds in float32, best of fifteen tries."""
    library, turns = native.load("ceiling", isa), 4_000_000
    operations = 2 * 12 * (native.LEVELS[isa][1] // 4) * turns
    factors, out = (ctypes.c_float * 2)(0.5, 1e-3), ctypes.byref(ctypes.c_float())
    seconds = _best(lambda part: library.ceiling_fma(ctypes.c_ssize_t(turns), factors, out), threads)
    return threads * operations / seconds / 1e9


class Memory:
    """GB/s of four ways to go through memory, best of three tries.

    "scale" reads one array and writes another, "update" writes where it reads, "read" writes nothing and "fill" reads
    nothing. Bytes are those that the program names. "scale" and "fill" write past the caches, as minidl's kernels do
    with large arrays; a library that does not fetches each line that it writes, which counts for nothing here.
    """

    WAYS = {"scale": 8, "update": 8, "read": 4, "fill": 4}  # bytes for each number

    def __init__(self, isa: str, threads: int) -> None:
        from minidl import kernels

        self._library = native.load("ceiling", isa)
        self._library.ceiling_read.restype = ctypes.c_double
        self._threads = threads
        self._x, self._y = (kernels.empty((COPY_BYTES // 4,), np.dtype(np.float32)) for _ in range(2))
        self._n = self._x.size // threads // LINE * LINE
        self._x.fill(1)
        self._y.fill(1)

    def measure(self, way: str) -> float:
        kernel = getattr(self._library, f"ceiling_{way}")
        size, whole = ctypes.c_ssize_t(self._n), ctypes.c_ssize_t(self._threads * self._n)

        def body(part: int) -> None:
            x, y = (ctypes.c_void_p(array.ctypes.data + 4 * self._n * part) for array in (self._x, self._y))
            kernel(
                *{"scale": (size, whole, x, y), "update": (size, y), "read": (size, x), "fill": (size, whole, y)}[way]
            )

        return self._threads * self._n * self.WAYS[way] / _best(body, self._threads, tries=3) / 1e9


def _best(body: Callable[[int], Any], threads: int, tries: int = 15) -> float:
    return min(_together(body, threads) for _ in range(tries))


def _together(body: Callable[[int], Any], threads: int) -> float:
    """The seconds that so many threads take for a part each. ctypes lets go of the GIL."""
    others = [threading.Thread(target=body, args=(part,)) for part in range(1, threads)]
    start = time.perf_counter()
    for thread in others:
        thread.start()
    body(0)
    for thread in others:
        thread.join()
    return time.perf_counter() - start


class Distance:
    """How long a line of the cache takes from one core to another and back, in ns.

    Two threads that share their work wait so long for each other. Cores that share a cache are near; and the host of
    a virtual machine may move its cores at any time, so this is measured before each race. On one thread it is not.
    """

    TURNS = 20_000

    def __init__(self, isa: str, threads: int) -> None:
        self._library = native.load("ceiling", isa)
        self._threads = threads
        self._measured: list[float] = []

    def measure(self) -> None:
        cores = os.sched_getaffinity(0)
        if self._threads == 1 or len(cores) < 2:
            return
        try:
            tries = [_together(self._trips(sorted(cores)), 2) for _ in range(3)]  # the first one wakes the second core
        finally:
            os.sched_setaffinity(0, cores)
        self._measured.append(min(tries) / self.TURNS * 1e9)

    def _trips(self, cores: list[int]) -> Callable[[int], None]:
        """What two threads do, on the first two cores, as those of a contestant."""
        line = ctypes.c_ssize_t(0)

        def body(part: int) -> None:
            os.sched_setaffinity(0, {cores[part]})
            self._library.ceiling_trips(ctypes.c_ssize_t(self.TURNS), ctypes.byref(line), ctypes.c_ssize_t(part))

        return body

    def notes(self) -> list[str]:
        if not self._measured:
            return []
        least, median, most = (np.quantile(self._measured, q) for q in (0, 0.5, 1))
        return [
            f"A line of the cache from core to core and back, before each race on {self._threads} threads: "
            f"{least:.0f} to {most:.0f} ns, {median:.0f} ns in the median."
        ]
