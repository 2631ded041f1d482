"""From naive C to the kernel: what each step on the way gives. One LSTM forward, B 48, T 50, 64→128, one thread."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import minidl as md
from benchmarks import inputs, machine, native
from benchmarks.process import Timing
from benchmarks.result import OURS, Result
from benchmarks.setting import Setting
from minidl import kernels

BATCH, TIME, FEATURES, UNITS = 48, 50, 64, 128
STAGES = {
    "equations": "1  the sums as they are defined",
    "order": "2  loops in the order of memory, so that the compiler can use vectors",
    "blocks": "3  sums of several rows and all gates in registers",
    "packed": "4  weights packed in the order in which they are read",
    "vectors": "5  sigmoid and tanh on whole registers",
}

Array = np.ndarray[Any, Any]


def stage(name: str, isa: str) -> Callable[..., Array]:
    """y (batch, time, units) of x (batch, time, features), as `csrc/stages.c` computes it."""
    function = native.load("stages", isa)[f"stage_{name}"]

    def run(x: Array, kernel: Array, recurrent: Array, bias: Array) -> Array:
        (batch, time_, features), units = x.shape, len(recurrent)
        y = np.empty((batch, time_, units), np.float32)
        sizes = [ctypes.c_ssize_t(n) for n in (batch, time_, features, units)]
        arrays = (x, kernel, recurrent, bias, y)
        function(*sizes, *(ctypes.c_void_p(array.ctypes.data) for array in arrays))
        return y

    return run


def run(setting: Setting) -> Result:
    result = setting.result("stages", "From naive C to the kernel", ("ours",))
    ceiling = machine.fma_ceiling(setting.isa, 1)
    result.notes.append(f"Measured ceiling on one thread: {ceiling:.0f} GFLOP/s.")
    x, weights = inputs.uniform(BATCH, TIME, FEATURES), inputs.lstm_weights(FEATURES, UNITS)
    zero = np.zeros((BATCH, UNITS), np.float32)
    steps: dict[str, Callable[[], Any]] = {
        text: partial(stage(name, setting.isa), x, *weights) for name, text in STAGES.items()
    }
    module = kernels.of(x)
    steps[OURS] = lambda: module.lstm_forward(x, zero, zero, *weights, keep=False)
    steps["the same, and what backward needs is kept"] = lambda: module.lstm_forward(x, zero, zero, *weights)
    threads = md.get_num_threads()
    md.set_num_threads(1)
    timings: dict[str, Timing] = {text: Timing() for text in steps}
    for _ in range(setting.rounds):
        for text, step in steps.items():
            timings[text].rounds.append(statistics.median(_seconds(step) for _ in range(3)))
    md.set_num_threads(threads)
    amount = 2 * BATCH * TIME * 4 * UNITS * (FEATURES + UNITS)
    result.add_race("LSTM forward, one thread", timings, amount, ceiling)
    return result


def _seconds(step: Callable[[], Any]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
