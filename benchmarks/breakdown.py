"""Where the time of the document's model goes: a clock around each kernel, and what is left to Python and the rest."""

from __future__ import annotations

import inspect
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any
from unittest import mock

import minidl as md
from benchmarks import machine, seed_model
from benchmarks.contestants import ours
from benchmarks.result import OURS, Result, Row
from benchmarks.setting import Setting
from minidl import kernels
from minidl.kernels import reference

KERNELS = [
    name for name, f in inspect.getmembers(reference, inspect.isfunction)
    if f.__module__ == reference.__name__ and not name.startswith("_")
]  # fmt: skip
CASES = (
    ("training", 32, 100),
    ("training", 32, 40),
    ("inference", 32, 100),
    ("training", 1, 100),
    ("inference", 1, 100),
)
SECONDS = 0.3  # of a round
REST = "Python and the rest"

Step = Callable[[], Any]


class Clocks:
    """Seconds in each kernel, and calls of it. A kernel that another one calls is part of that one."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self._running = False

    def around(self, name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._running:
                return kernel(*args, **kwargs)
            self._running = True
            start = time.perf_counter()
            try:
                return kernel(*args, **kwargs)
            finally:
                self.seconds[name] += time.perf_counter() - start
                self.calls[name] += 1
                self._running = False

        return timed


@contextmanager
def clocks() -> Iterator[Clocks]:
    """Clocks around all kernels that serve NumPy's arrays."""
    clock, module, active = Clocks(), kernels.serving(), kernels.active()
    try:
        with ExitStack() as patches:
            for name in KERNELS:
                timed = clock.around(name, getattr(module, name))
                patches.enter_context(mock.patch.object(module, name, timed))
            md.use(active)  # which binds the kernels of arithmetic
            yield clock
    finally:
        md.use(active)


def break_down(step: Step, rounds: int, seconds: float = SECONDS) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of a step in each kernel and outside of them, medians of some rounds; and the calls of each."""
    spent: dict[str, list[float]] = {}
    step()
    for _ in range(rounds):
        with clocks() as clock:
            start, steps = time.perf_counter(), 0
            while steps == 0 or time.perf_counter() - start < seconds:
                step()
                steps += 1
            total = time.perf_counter() - start
        for name, value in {**clock.seconds, REST: total - sum(clock.seconds.values())}.items():
            spent.setdefault(name, []).append(value / steps)
    return {name: median(values) for name, values in spent.items()}, {n: c / steps for n, c in clock.calls.items()}


def run(setting: Setting) -> Result:
    result = setting.result("breakdown", "Where the time of the document's model goes", ("ours",))
    before = md.get_num_threads()
    for threads in setting.threads:
        ceiling = machine.fma_ceiling(setting.isa, threads)
        result.notes.append(f"Measured ceiling on {machine.in_words(threads)}: {ceiling:.0f} GFLOP/s.")
        md.set_num_threads(threads)
        for case in setting.pick(CASES, CASES[:1]):
            _add(result, setting.rounds, threads, ceiling, *case)
    md.set_num_threads(before)
    return result


def _add(result: Result, rounds: int, threads: int, ceiling: float, what: str, batch: int, steps: int) -> None:
    training = what == "training"
    step = ours.document_train(batch, steps, 0.5, "adam") if training else ours.document_infer(batch, steps)
    seconds, calls = break_down(step, rounds)
    whole, case = sum(seconds.values()), f"{what}, B {batch}, T {steps}, {machine.in_words(threads)}"
    forward = seed_model.operations(batch, steps, training=False)
    operations = {OURS: 3 * forward if training else forward, "lstm_forward": forward, "lstm_backward": 2 * forward}
    for name, value in {OURS: whole, **dict(sorted(seconds.items(), key=lambda item: -item[1]))}.items():
        rate = operations[name] / value / 1e9 if name in operations else None
        times = f", {calls[name]:g} calls" if name in calls else ""
        text = f"{name}{times}: {value / whole:.1%}"
        result.rows.append(Row(case, text, value, rate=rate, share=rate / ceiling if rate else None))
