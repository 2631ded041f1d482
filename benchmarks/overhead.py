"""What is around the arithmetic: one tiny op of each kind, many in a chain and in a network, a step of a small MLP."""

from __future__ import annotations

from typing import Any

from benchmarks import small_ops
from benchmarks.process import Field, check_agreement, race
from benchmarks.result import Result
from benchmarks.setting import Setting

ABLE = ("ours", "pytorch", "hips_autograd")


def run(setting: Setting) -> Result:
    result = setting.result("overhead", "Overhead", ABLE)
    threads = max(setting.threads)
    cases = {
        "tiny_op": "one product of two numbers, forward and backward",
        "op_chain": "100 products of two numbers in a chain, forward and backward",
        "scalar_network": "2-16-16-1 of single numbers, forward and backward",
        "mlp_train": "MLP 784-256-128-10, batch 64, a step of Adam",
    }
    small = setting.pick(tuple(small_ops.OPS), tuple(small_ops.OPS)[:3])
    with Field(setting.peers(ABLE), threads) as contestants:
        for task, case in cases.items():
            check_agreement(contestants, task, **_with("sgd", task))
            result.add_race(case, race(contestants, task, setting.rounds, **_with("adam", task)))
        for name in small:
            check_agreement(contestants, "small_op", steps=1, name=name)
            result.add_race(_small(name), race(contestants, "small_op", setting.rounds, name=name))
    for case, limit in zip(cases.values(), (1.0, 1.0, 1.0, 0.7), strict=True):
        result.aim(f"{case}, of the fastest", limit, result.ratio_to_fastest(case))
    text = "one op on 8 × 8 numbers, forward and backward, of the fastest"
    result.aim_all(text, map(_small, small), 1.0, mean=1.0)
    return result


def _small(name: str) -> str:
    return f"{name} of 8 × 8 numbers, forward and backward"


def _with(optimizer: str, task: str) -> dict[str, Any]:
    return {"optimizer": optimizer} if task == "mlp_train" else {}
