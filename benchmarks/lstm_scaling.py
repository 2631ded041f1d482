"""One LSTM layer, and how its cost grows with the batch, the steps and the units."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks import cost_model, machine
from benchmarks.process import Field, check_agreement, race
from benchmarks.result import Result
from benchmarks.setting import Setting

ABLE = ("ours", "pytorch")

Cell = tuple[int, int, int, int]  # batch, steps, features, units

GRID: tuple[Cell, ...] = (
    (1, 100, 64, 128), (8, 20, 32, 32), (32, 20, 64, 64), (32, 100, 64, 128), (32, 100, 128, 128), (32, 100, 256, 256),
    (64, 100, 512, 512), (256, 50, 128, 128), (32, 35, 650, 650), (32, 1000, 64, 128), (20, 35, 1500, 1500),
)  # fmt: skip
GROWTH: tuple[Cell, ...] = (
    *((batch, 50, 128, 128) for batch in (1, 2, 4, 8, 16, 32, 64, 128)),
    *((32, time, 128, 128) for time in (20, 50, 200)),
    *((32, 50, units, units) for units in (32, 64, 256, 512)),
)  # fmt: skip


def operations(cell: Cell, training: bool) -> float:
    batch, time, features, units = cell
    return 2 * batch * time * 4 * units * (features + units) * (3 if training else 1)


def run(setting: Setting) -> Result:
    result = setting.result("lstm_scaling", "One LSTM layer", ABLE)
    cells = setting.pick(tuple(dict.fromkeys(GRID + GROWTH)), GRID[:3])
    for threads in setting.threads:
        ceiling = machine.fma_ceiling(setting.isa, threads)
        result.notes.append(f"Measured ceiling on {machine.in_words(threads)}: {ceiling:.0f} GFLOP/s.")
        distance = machine.Distance(setting.isa, threads)
        with Field(setting.peers(ABLE), threads) as contestants:
            for cell in cells:
                arguments: dict[str, Any] = dict(zip(("batch", "time", "features", "units"), cell, strict=True))
                for what in ("train", "infer"):
                    check_agreement(contestants, f"lstm_{what}", steps=1, **arguments)
                    distance.measure()
                    timings = race(contestants, f"lstm_{what}", setting.rounds, **arguments)
                    amount = operations(cell, what == "train")
                    result.add_race(_case(what, cell, threads), timings, amount, ceiling)
        result.notes += distance.notes()
        _compare_with_the_model(result, cells, threads, cost_model.here(setting.isa, threads, ceiling))
    for threads in setting.threads:
        for what, each, mean in (("train", 1.0, 0.6), ("infer", 1.05, 0.8)):
            cases = [_case(what, cell, threads) for cell in cells]
            result.aim_all(f"{what}, {machine.in_words(threads)}, of PyTorch at its best", cases, each, mean)
            alone = _case(what, GRID[0], threads)
            result.aim(f"{alone}, of the fastest", 0.5, result.ratio_to_fastest(alone))
    return result


def _compare_with_the_model(result: Result, cells: tuple[Cell, ...], threads: int, on: cost_model.Machine) -> None:
    errors = {}
    for cell in cells:
        for what in ("train", "infer"):
            row = result.find(_case(what, cell, threads))
            if row is not None:
                errors[_case(what, cell, threads)] = cost_model.predict(*cell, what == "train", on) / row.value
    worst = max(errors, key=lambda case: abs(errors[case] - 1))
    median = statistics.median(abs(error - 1) for error in errors.values())
    result.notes.append(
        f"The cost model of docs/performance.md is off by {median:.0%} in the median on {machine.in_words(threads)}, "
        f"at most where it predicts {errors[worst]:.2f} of what was measured: {worst}."
    )


def _case(what: str, cell: Cell, threads: int) -> str:
    batch, time, features, units = cell
    return f"{what}, B {batch}, T {time}, {features}→{units}, {machine.in_words(threads)}"
