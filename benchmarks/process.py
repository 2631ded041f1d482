"""Contestants side by side: each in its own process, taking turns, so that all see the same machine.

A machine that others use too is now faster and now slower. So nobody's time is compared with
another's from minutes before: in each round every contestant has a turn of a fraction of a
second, a ratio is taken within a round, and the median of the rounds' ratios is quoted.
"""

from __future__ import annotations

import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers import Peer

AGREEMENT = 2e-4  # of losses, relative
LAST_LINES = 6  # of what a process that ended has said


class RefusedError(Exception):
    """A contestant has no such task."""


class FailedError(RefusedError):
    """It has the task, and an error came out of it."""


class EndedError(RuntimeError):
    """Its process is no more."""


class Contestant:
    """A process in which one library computes, and which on a processor is stopped but for its turns.

    Else the threads of one would spin in the turn of another: OpenBLAS' do, for a tenth of a second.
    """

    def __init__(self, peer: Peer, threads: int, patience: float | None = None) -> None:
        """One that gives no answer within `patience` seconds is ended."""
        self.peer, self._patience = peer, patience
        self._pauses = "BENCHMARK_DEVICE" not in peer.environment  # where a GPU computes nothing spins
        environment = {
            **os.environ,
            **{name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MINIDL_NUM_THREADS")},
            **peer.environment,
        }
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (for as long as the process is there)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", peer.module, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment,
            cwd=Path(__file__).parent.parent,
            text=True,
        )
        self.peak_mib = 0.0

    def ask(self, **command: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.send_signal(signal.SIGCONT)
        line, late = "", False
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            late = not select.select([self._process.stdout], [], [], self._patience)[0]
            if late:
                self._process.kill()
            line = self._process.stdout.readline()
        if not line:
            raise EndedError(self._last_words(late))
        if self._pauses:
            self._process.send_signal(signal.SIGSTOP)
        reply = json.loads(line)
        if "refused" in reply:
            raise RefusedError(f"{self.peer.name}: {reply['refused']}")
        if "error" in reply:
            raise FailedError(f"{self.peer.name}: {reply['error']}")
        self.peak_mib = reply["peak_mib"]
        return reply["answer"]

    def _last_words(self, late: bool) -> str:
        status = self._process.wait()
        why = f" for want of an answer in {self._patience:g} s" if late else ""
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()[-LAST_LINES:]
        return "\n".join([f"the process of {self.peer.name} ended with status {status}{why}", *lines])

    def close(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.communicate(timeout=self._patience)  # the end of its input ends it
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._said.close()


class Field(dict[str, Contestant]):
    """The contestants of one run by name, minidl first; closed at the end of the `with` block."""

    def __init__(self, peers: Sequence[Peer], threads: int, patience: float | None = None) -> None:
        self._start: Callable[[Peer], Contestant] = lambda peer: Contestant(peer, threads, patience)
        super().__init__((peer.name, self._start(peer)) for peer in peers)

    def start_again(self, name: str) -> None:
        """A new process for a contestant, whose old one may have lost its GPU with an error."""
        self[name].close()
        self[name] = self._start(self[name].peer)

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


def values_of(contestant: Contestant, task: str, steps: int, arguments: Mapping[str, Any]) -> list[float]:
    """The losses of its first steps, or the mean size of what they return."""
    contestant.ask(prepare=task, **{"with": arguments})
    values: list[float] = contestant.ask(values=steps)
    return values


def at_once(ask: Callable[[str], Any], names: Iterable[str], together: bool) -> dict[str, Any]:
    """What each contestant answers, or its error; asked all together where none disturbs another."""
    names = list(names)

    def answer(name: str) -> Any:
        try:
            return ask(name)
        except (RefusedError, EndedError) as error:
            return error

    if not together:  # in this thread: another one could stop a contestant after this one has let it go on to its end
        return {name: answer(name) for name in names}
    with ThreadPoolExecutor(max(1, len(names))) as pool:
        return dict(zip(names, pool.map(answer, names), strict=True))


def agree(expected: Sequence[float], got: Sequence[float], tolerance: float = AGREEMENT) -> bool:
    return all(abs(a - b) <= tolerance * abs(a) for a, b in zip(expected, got, strict=True))


def check_agreement(contestants: Mapping[str, Contestant], task: str, steps: int = 3, **arguments: Any) -> None:
    """All of them must compute the same numbers, or their times say nothing about each other."""
    values = {}
    for name, contestant in contestants.items():
        with suppress(RefusedError):  # who has no such task is not timed either
            values[name] = values_of(contestant, task, steps, arguments)
    (first, expected), *others = values.items()
    for name, got in others:
        if not agree(expected, got):
            raise RuntimeError(f"{task} {arguments}: {first} computes {expected}, {name} computes {got}")


@dataclass(frozen=True)
class Pace:
    """How long a race takes."""

    rounds: int
    warm_up: float = 0.3  # seconds
    turn: float = 0.25
    least: int = 1  # steps of a turn
    together: bool = False  # whether all get ready at the same time: where they compute on a GPU
    calls: int = 1  # that a step queues before anyone waits for the GPU; its time is divided by them


Failed = Callable[[str, Exception], None]


def _leave_out(name: str, error: Exception) -> None:
    if not isinstance(error, RefusedError):
        raise error


def race(
    contestants: Mapping[str, Contestant],
    task: str,
    rounds: int,
    before_round: Callable[[], object] | None = None,
    **arguments: Any,
) -> dict[str, Timing]:
    """Time one task in rounds of turns. A contestant that refuses the task is left out."""
    timings = run_race(contestants, task, arguments, Pace(rounds), _leave_out, before_round)
    print("measured:", task, *(f"{name} {value}" for name, value in arguments.items()), file=sys.stderr, flush=True)
    return timings


def run_race(
    contestants: Mapping[str, Contestant],
    task: str,
    arguments: Mapping[str, Any],
    pace: Pace,
    failed: Failed,
    before_round: Callable[[], object] | None = None,
) -> dict[str, Timing]:
    """The same at any pace. Who cannot go on is left out, and `failed` told why."""
    timings, steps = {}, {}
    ready = at_once(lambda name: contestants[name].ask(prepare=task, **{"with": arguments}), contestants, pace.together)
    for name, answer in ready.items():
        try:
            if isinstance(answer, Exception):
                raise answer
            timings[name], steps[name] = _warmed_up(contestants[name], pace)
        except (RefusedError, EndedError) as error:
            failed(name, error)
    for _ in range(pace.rounds):
        if before_round:
            before_round()
        for name in list(timings):
            try:
                times = contestants[name].ask(run=steps[name], calls=pace.calls)
            except (RefusedError, EndedError) as error:
                del timings[name]
                failed(name, error)
            else:
                timings[name].rounds.append(statistics.median(times))
    return timings


def _warmed_up(contestant: Contestant, pace: Pace) -> tuple[Timing, int]:
    """Its timing with the first step of all, and how many steps make a turn."""

    def run(steps: int) -> list[float]:
        times: list[float] = contestant.ask(run=steps, calls=pace.calls)
        return times

    (first,) = run(1)
    one = statistics.median(run(2))
    warm = run(_steps(pace.warm_up, one * pace.calls))
    return Timing(first=first), max(pace.least, _steps(pace.turn, statistics.median(warm) * pace.calls))


def _steps(seconds: float, one: float) -> int:
    return max(1, min(20_000, round(seconds / max(one, 1e-7))))


def ratio(ours: Timing, theirs: Timing) -> float:
    """Our time over theirs, round by round, the median."""
    return statistics.median(a / b for a, b in zip(ours.rounds, theirs.rounds, strict=True))
