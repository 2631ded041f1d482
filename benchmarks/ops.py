"""Each kernel by itself, from sizes that fit the first-level cache to sizes that no cache holds."""

from __future__ import annotations

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
)  # fmt: skip

# An elementwise task's bytes an element, and the ceiling of that way to go through memory.
ELEMENTWISE = {
    "exp": (8, "scale_gbs"), "tanh": (8, "scale_gbs"), "sigmoid": (8, "scale_gbs"), "dropout": (8, "scale_gbs"),
    "sum": (4, "read_gbs"), "adam": (28, "update_gbs"),
}  # fmt: skip
RANDOM = {"dropout"}  # whose numbers nobody else can draw
MEMORY_BOUND = {"exp", "sum", "adam"}


def run(setting: Setting) -> Result:
    result = setting.result("ops", "Single kernels", ABLE)
    threads = max(setting.threads)
    most = machine.ceilings(setting.isa, threads)
    result.notes.append(", ".join(f"{name} {value:.0f}" for name, value in most.items()) + f", {threads} threads.")
    with Field(setting.peers(ABLE), threads) as contestants:
        for m, n, k in setting.pick(MATMULS, MATMULS[:4]):
            _race(
                result,
                contestants,
                f"matmul ({m}, {k}) ({k}, {n})",
                "matmul",
                2 * m * n * k,
                most["fma_gflops"],
                m=m,
                n=n,
                k=k,
            )
        for n in setting.pick(SIZES, SIZES[:2]):
            for task, (width, ceiling) in ELEMENTWISE.items():
                shares = most[ceiling] if n == SIZES[-1] else None  # a cache has another ceiling
                _race(result, contestants, f"{task} {n}", task, width * n, shares, n=n)
            rows = n // 128
            for task in ("softmax", "softmax_cross_entropy"):
                _race(result, contestants, f"{task} ({rows}, 128)", task, batch=rows, classes=128)
            for task in ("embedding_forward", "embedding_backward"):
                _race(result, contestants, f"{task} {rows} of 5000 × 64", task, rows=5000, units=64, n=rows * 2)
    _aim(result)
    return result


def _race(
    result: Result,
    contestants: Field,
    case: str,
    task: str,
    amount: float = 0,
    ceiling: float | None = None,
    **arguments: Any,
) -> None:
    able = contestants if task not in RANDOM else {"minidl": contestants["minidl"]}
    check_agreement(able, task, steps=1, **arguments)
    result.add_race(case, race(contestants, task, **arguments), amount, ceiling)


def _aim(result: Result) -> None:
    cases = list(dict.fromkeys(row.case for row in result.rows))
    for kind in dict.fromkeys(case.split()[0] for case in cases):
        result.aim_all(f"{kind}, of the fastest", [case for case in cases if case.split()[0] == kind], 1.0)
    for case in cases:
        if case.split()[0] in MEMORY_BOUND and case.endswith(f" {SIZES[-1]}"):
            result.aim(f"{case}, share of the memory ceiling", 0.8, result.share_of(case), at_most=False)
    products = [r for case in cases if case.startswith("matmul") and (r := result.ratio_to(case, "numpy"))]
    if products:
        result.aim("matmul, NumPy's time over ours, geometric mean", 1.5, 1 / geometric_mean(products), at_most=False)
