"""One contestant in a process of its own. Reads a JSON command a line, answers with a JSON line.

{"prepare": task, "with": {…}}   make the task's step ready
{"values": n}                    answers the mean size of what each of n steps returns, such as its loss
{"run": n, "calls": k}           answers the seconds that each of n steps took. On a GPU the wait for its end is part
                                 of it; with calls one wait comes after k steps, and a k-th of the time is answered
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Step = Callable[[], Any]


def main(contestant: str, threads: int) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not end up among the answers
    module = importlib.import_module(f"benchmarks.contestants.{contestant}")
    wait: Step = getattr(module, "wait", _nothing)  # until a GPU has done what it was asked
    step: Step = _nothing
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if "prepare" in command:
                step = _nothing  # the arrays of the last task go before those of the next come
                if not hasattr(module, command["prepare"]):
                    print(json.dumps({"refused": f"there is no {command['prepare']}"}), file=answers)
                    continue
                step = getattr(module, command["prepare"])(**command["with"])
                answer: Any = None
            elif "values" in command:
                answer = [float(np.mean(np.abs(_on_host(step())))) for _ in range(command["values"])]
            else:
                answer = _times(step, wait, command["run"], command.get("calls", 1))
            reply = {"answer": answer, "peak_mib": _peak_mib()}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=answers)


def _on_host(values: Any) -> Any:
    for method in ("get", "cpu"):  # of CuPy's arrays and of PyTorch's tensors
        values = getattr(values, method, lambda values=values: values)()
    return np.asarray(values)


def _peak_mib() -> float:
    """The most memory that this program had. getrusage also counts what the process had before it became this one."""
    with open("/proc/self/status") as lines:
        facts = dict(line.split(":", 1) for line in lines)
    return int(facts["VmHWM"].split()[0]) / 1024


def _nothing() -> None:
    return None


def _times(step: Step, wait: Step, n: int, calls: int = 1) -> list[float]:
    times = []
    for _ in range(n):
        start = time.perf_counter()
        for _ in range(calls):
            step()
        wait()
        times.append((time.perf_counter() - start) / calls)
    return times


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
