"""Contestants side by side: each in its own process, taking turns, so that all see the same machine.

A machine that others use too is now faster and now slower. So nobody's time is compared with
another's from minutes before: in each round every contestant has a turn of a fraction of a
second, a ratio is taken within a round, and the median of the rounds' ratios is quoted.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers import Peer

WARM_UP = 0.3  # seconds
TURN = 0.25
AGREEMENT = 2e-4  # of losses, relative


class RefusedError(Exception):
    """A contestant cannot do a task."""


class Contestant:
    """A process in which one library computes, and which is stopped but for its turns.

    Else the threads of one would spin in the turn of another: OpenBLAS' do, for a tenth of a second.
    """

    def __init__(self, peer: Peer, threads: int) -> None:
        self.peer = peer
        environment = {
            **os.environ,
            **{name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MINIDL_NUM_THREADS")},
            **peer.environment,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", peer.module, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=Path(__file__).parent.parent,
            text=True,
        )
        self.peak_mib = 0.0

    def ask(self, **command: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"the process of {self.peer.name} ended with status {self._process.wait()}")
        self._process.send_signal(signal.SIGSTOP)
        reply = json.loads(line)
        if "error" in reply:
            raise RefusedError(f"{self.peer.name}: {reply['error']}")
        self.peak_mib = reply["peak_mib"]
        return reply["answer"]

    def close(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.communicate()  # the end of its input ends it


class Field(dict[str, Contestant]):
    """The contestants of one run by name, minidl first; closed at the end of the `with` block."""

    def __init__(self, peers: Sequence[Peer], threads: int) -> None:
        super().__init__((peer.name, Contestant(peer, threads)) for peer in peers)

    def __enter__(self) -> Field:
        return self

    def __exit__(self, *exception: object) -> None:
        for contestant in self.values():
            contestant.close()


@dataclass
class Timing:
    """How long a step of one contestant took: the median of each round, in seconds."""

    rounds: list[float] = field(default_factory=list)
    first: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        return min(self.rounds), max(self.rounds)


def check_agreement(contestants: Mapping[str, Contestant], task: str, steps: int = 3, **arguments: Any) -> None:
    """All of them must compute the same numbers, or their times say nothing about each other."""
    values = {}
    for name, contestant in contestants.items():
        with suppress(RefusedError):  # who has no such task is not timed either
            contestant.ask(prepare=task, **{"with": arguments})
            values[name] = contestant.ask(values=steps)
    (first, expected), *others = values.items()
    for name, got in others:
        for a, b in zip(expected, got, strict=True):
            if not abs(a - b) <= AGREEMENT * abs(a):
                raise RuntimeError(f"{task} {arguments}: {first} computes {expected}, {name} computes {got}")


def race(contestants: Mapping[str, Contestant], task: str, rounds: int, **arguments: Any) -> dict[str, Timing]:
    """Time one task in rounds of turns. A contestant that refuses the task is left out."""
    timings, steps = {}, {}
    for name, contestant in contestants.items():
        try:
            contestant.ask(prepare=task, **{"with": arguments})
            (first,) = contestant.ask(run=1)
        except RefusedError:
            continue
        timings[name] = Timing(first=first)
        one = statistics.median(contestant.ask(run=2))
        warm = contestant.ask(run=_steps(WARM_UP, one))
        steps[name] = _steps(TURN, statistics.median(warm))
    for _ in range(rounds):
        for name, timing in timings.items():
            timing.rounds.append(statistics.median(contestants[name].ask(run=steps[name])))
    return timings


def _steps(seconds: float, one: float) -> int:
    return max(1, min(20_000, round(seconds / max(one, 1e-7))))


def ratio(ours: Timing, theirs: Timing) -> float:
    """Our time over theirs, round by round, the median."""
    return statistics.median(a / b for a, b in zip(ours.rounds, theirs.rounds, strict=True))
