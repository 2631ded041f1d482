"""Each kernel by itself, from sizes that fit the first-level cache to sizes that no cache holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from statistics import geometric_mean
from typing import Any

from benchmarks import machine
from benchmarks.process import Field, check_agreement, race
from benchmarks.result import Result
from benchmarks.setting import Setting

ABLE = ("ours", "pytorch", "plain_numpy")

SIZES = (1 << 12, 1 << 16, 1 << 21, 1 << 25)  # numbers: 16 KiB, 256 KiB, 8 MiB, 128 MiB
MATMULS = (
    *((n, n, n) for n in (8, 32, 64, 128, 256, 512, 1024, 2048)),
    (32, 512, 64), (3200, 512, 64), (64, 256, 784), (64, 10, 128), (17, 33, 129), (1000, 1000, 10),
    (1, 512, 128), (1, 1024, 1024), (1024, 1, 1024), (32, 1, 128), (128, 1, 32),
    (8, 8, 1000), (1000, 3, 512), (4096, 2, 128),
)  # fmt: skip
TRANSPOSED = ((64, 256, 784), (512, 512, 512), (1, 300, 300), (2, 512, 512), (5, 5, 4096), (784, 1, 300))
STACKS = ((100, 4, 4, 4), (32, 10, 30, 20), (32, 100, 100, 64), (64, 1, 128, 128), (3, 200, 200, 200))


@dataclass(frozen=True)
class Case:
    """A task with its arguments, what it does at least, and which ceiling of the machine that meets."""

    text: str
    task: str
    arguments: dict[str, Any]
    amount: float = 0  # operations of a product, bytes of the others
    ceiling: str | None = None  # "fma", or one of the memory's

    @property
    def from_memory(self) -> bool:
        return self.ceiling not in (None, "fma")


def products() -> Iterator[Case]:
    for m, n, k in MATMULS:
        yield Case(f"matmul ({m}, {k}) ({k}, {n})", "matmul", {"m": m, "n": n, "k": k}, 2 * m * n * k, "fma")
    for m, n, k in TRANSPOSED:
        text = f"matmul ({m}, {k}) ({n}, {k})ᵀ"
        yield Case(text, "matmul_transposed", {"m": m, "n": n, "k": k}, 2 * m * n * k, "fma")
    for count, m, n, k in STACKS:
        text, sizes = f"matmul {count} × ({m}, {k}) ({k}, {n})", {"count": count, "m": m, "n": n, "k": k}
        yield Case(text, "matmul_stack", sizes, count * 2 * m * n * k, "fma")


# What each reads and writes at least, in bytes for each number, and in what way.
PASSES = {
    "exp": (8, "scale"), "tanh": (8, "scale"), "sigmoid": (8, "scale"), "gelu": (8, "scale"), "dropout": (8, "scale"),
    "multiply": (12, "scale"), "where": (13, "scale"), "sum": (4, "read"), "adam": (28, "update"), "max": (4, "read"),
}  # fmt: skip
PASSES_OF_ROWS = {
    "add_row": (8, "scale"), "divide_by_column": (8, "scale"), "sum_columns": (4, "read"), "max_rows": (4, "read"),
    "max_columns": (4, "read"), "softmax": (8, "scale"), "log_softmax": (8, "scale"),
    "softmax_cross_entropy": (16, "scale"),  # and its gradient, by the probabilities
}  # fmt: skip
LOOKUPS = {"embedding_forward": (4, "fill"), "embedding_backward": (4, "read")}  # a cache holds the table


def passes(n: int) -> Iterator[Case]:
    """Kernels that go through n numbers. A share is told where they come from memory: a cache has other ceilings."""
    far = n == SIZES[-1]
    for task, (each, ceiling) in PASSES.items():
        yield Case(f"{task} {n}", task, {"n": n}, each * n, ceiling if far else None)
    for task, (each, ceiling) in PASSES_OF_ROWS.items():
        sizes = {"batch": n // 128, "classes": 128}
        yield Case(f"{task} ({n // 128}, 128)", task, sizes, each * n, ceiling if far else None)
    for task, (each, ceiling) in LOOKUPS.items():
        sizes = {"rows": 5000, "units": 64, "n": n // 64}
        yield Case(f"{task} of {n // 64} × 64", task, sizes, each * n, ceiling if far else None)


def run(setting: Setting) -> Result:
    result = setting.result("ops", "Single kernels", ABLE)
    threads = max(setting.threads)
    fma = machine.fma_ceiling(setting.isa, threads)
    result.notes.append(f"Measured ceiling on {machine.in_words(threads)}: {fma:.0f} GFLOP/s.")
    cases = setting.pick(list(products()), list(products())[:4])
    cases += [case for n in setting.pick(SIZES, SIZES[:2]) for case in passes(n)]
    distance = machine.Distance(setting.isa, threads)
    memory = machine.Memory(setting.isa, threads)
    ceilings: dict[str, list[float]] = {way: [] for way in memory.WAYS}
    with Field(setting.peers(ABLE), threads) as contestants:
        for case in cases:
            distance.measure()
            if case.task != "dropout":  # nobody else can draw the same numbers
                check_agreement(contestants, case.task, steps=1, **case.arguments)
            now: list[float] = []  # the host moves the cores, and the memory is near or far then
            measure = partial(_measure, memory, str(case.ceiling), now) if case.from_memory else None
            timings = race(contestants, case.task, setting.rounds, measure, **case.arguments)
            result.add_race(case.text, timings, case.amount, now or (fma if case.ceiling else None))
            if case.from_memory:
                ceilings[str(case.ceiling)] += now
    result.notes += distance.notes() + _notes(ceilings)
    _aim(result, cases, 1.5 if setting.isa == "x86-64-v4" else 1.0)
    return result


def _measure(memory: machine.Memory, way: str, values: list[float]) -> None:
    values.append(memory.measure(way))


def _notes(ceilings: dict[str, list[float]]) -> list[str]:
    ways = ", ".join(f"{way} {min(values):.0f} to {max(values):.0f}" for way, values in ceilings.items() if values)
    return [f"Measured ceilings of memory in GB/s, before each round that goes there: {ways}."] if ways else []


def _aim(result: Result, cases: list[Case], mean: float) -> None:
    for task in dict.fromkeys(case.task for case in cases):
        result.aim_all(f"{task}, of the fastest", [case.text for case in cases if case.task == task], 1.0)
    for case in cases:
        if case.from_memory:
            result.aim(f"{case.text}, share of the memory ceiling", 0.8, result.share_of(case.text), at_most=False)
    ratios = [r for case in products() if (r := result.ratio_to(case.text, "numpy"))]
    if ratios:
        result.aim("matmul, NumPy's time over ours, geometric mean", mean, 1 / geometric_mean(ratios), at_most=False)
