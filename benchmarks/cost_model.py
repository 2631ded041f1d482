"""What a pass of an LSTM should take, from three figures of the machine. docs/performance.md has the formulas.

python -m benchmarks.cost_model 32 100 64 128        batch, steps, features, units
"""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import dataclass

from benchmarks import machine, native

EFFICIENCY = 0.93  # of the ceiling, in a product that is large enough
FORWARD_CELL, BACKWARD_CELL = 125, 65  # cycles for the functions of one vector of units, all four gates
PORT_BYTES = 32  # a cycle, that a core gets from its second-level cache
CALL = 2e-5  # seconds, from Python and back


@dataclass(frozen=True)
class Machine:
    """One core's multiplications and additions a second, numbers a register, and how many cores take part."""

    flops: float
    lanes: int
    threads: int

    @property
    def clock(self) -> float:
        """Cycles a second, in each of which a core does two fused multiply-adds of a register; where it needs two for
        a register, as a Zen 4, half of them."""
        return self.flops / (4 * self.lanes)


def predict(batch: int, time: int, features: int, units: int, training: bool, on: Machine) -> float:
    """Seconds for one layer forward, or forward and backward, in float32.

    Products run at a share of the ceiling. In a step, though, a thread cannot be faster than the
    recurrent weights come out of its second-level cache, which is what counts for small batches.
    The functions of a cell cost so many cycles a vector, and wait for the products.
    """
    rows = math.ceil(batch / on.threads) if batch >= 2 * on.threads else batch
    sharers = 1 if batch >= 2 * on.threads else on.threads  # of the units, where the rows are too few
    recurrent = _product(rows, units, units, on) / sharers
    read = 4 * units * units * 4 / sharers / PORT_BYTES / on.clock
    step = max(recurrent, read)
    vectors = rows * math.ceil(units / on.lanes) / sharers
    large = _product(batch, features, units, on) / on.threads * time
    forward = large + time * (step + vectors * FORWARD_CELL / on.clock)
    if not training:
        return CALL + forward
    weights = 2 * large + time * _product(batch, units, units, on) / on.threads  # dx, dW and dR
    return 2 * CALL + forward + weights + time * (step + vectors * BACKWARD_CELL / on.clock)


def _product(rows: float, depth: int, units: int, on: Machine) -> float:
    return 2 * rows * depth * 4 * units / (EFFICIENCY * on.flops)


def here(isa: str, threads: int, gflops: float) -> Machine:
    """This machine, from its measured ceiling on so many threads."""
    return Machine(gflops * 1e9 / threads, native.LEVELS[isa][1] // 4, threads)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost_model", description="Predict one LSTM layer.")
    for name in ("batch", "time", "features", "units"):
        parser.add_argument(name, type=int)
    sizes = batch, time, features, units = tuple(vars(parser.parse_args()).values())
    if min(sizes) < 1:
        parser.error(f"sizes are positive integers, got {sizes}")
    isa = machine.describe()["isa"]
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        on = here(isa, threads, machine.fma_ceiling(isa, threads))
        infer, train = (predict(batch, time, features, units, training, on) * 1e3 for training in (False, True))
        print(f"{machine.in_words(threads)}: {infer:.3g} ms forward, {train:.3g} ms with backward")


if __name__ == "__main__":
    main()
