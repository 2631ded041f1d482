"""How a process comes to its kernels: CuPy compiles them when they are first called and keeps them on disk."""

from __future__ import annotations

import os
import queue
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from benchmarks.command import Command, last_lines
from benchmarks.gpu_speed import DOCUMENTS, LSTMS, document, kernels, lstm
from benchmarks.journal import Journal
from benchmarks.peers import ON_GPU, Peer
from benchmarks.process import Contestant, EndedError, Field, RefusedError, values_of
from benchmarks.result import OURS, Result, Row
from benchmarks.setting import Setting

START = """
import time; start = time.perf_counter()
import cupy; cupy.zeros(1).sum().item(); imported = time.perf_counter()
from benchmarks.contestants import ours
ours.document_train(32, 20, 0.5, "adam")(); ours.wait()
print(imported - start, time.perf_counter() - imported)
"""


def compile_kernels(journal: Journal, setting: Setting, ours: Peer, processes: int, patience: float) -> None:
    """Run every task once, in many processes, so that CuPy finds each kernel on disk when the races begin."""
    jobs: list[tuple[str, dict[str, Any]]] = [("softmax_cross_entropy", {"batch": 2, "classes": 2})]
    jobs += [(task, arguments) for task, (arguments, _) in kernels(1 << 12).items()]
    jobs += [("lstm_train", lstm(layer)) for layer in setting.pick(LSTMS, LSTMS[:1])]
    jobs += [("document_train", document(*DOCUMENTS[0]))]
    crew = [replace(ours, name=f"{ours.name}, process {i}") for i in range(min(processes, len(jobs)))]
    free: queue.SimpleQueue[Contestant] = queue.SimpleQueue()

    def do(job: tuple[str, dict[str, Any]]) -> None:
        contestant, (task, arguments) = free.get(), job
        try:
            values_of(contestant, task, 1, arguments)
        except (RefusedError, EndedError) as error:
            journal.note(f"{task} {arguments} failed where its kernels were to be compiled: {last_lines(str(error))}")
        finally:
            free.put(contestant)

    with Field(crew, len(os.sched_getaffinity(0)), patience) as contestants, ThreadPoolExecutor(len(crew)) as pool:
        for contestant in contestants.values():
            free.put(contestant)
        list(pool.map(do, jobs))


class Starts:
    """A process that compiles the kernels, which takes long and goes on beside other work, then one that does not."""

    def __enter__(self) -> Starts:
        self._cache = tempfile.TemporaryDirectory()
        self._first = self._start()
        return self

    def _start(self) -> Command:
        return Command([sys.executable, "-c", START], **ON_GPU, CUPY_CACHE_DIR=self._cache.name)

    def note(self, journal: Journal) -> None:
        said = {"first": self._first.wait(60), "second": self._start().wait(60)}
        for which, text in said.items():
            try:
                _, own = map(float, last_lines(text, 1).split())
            except ValueError:
                journal.note(f"The start of the {which} process could not be timed: {last_lines(text)}")
            else:
                journal.result.rows.append(Row(_case(which), OURS, own))
        journal.note("The first process started beside the tests, the second by itself.")

    def __exit__(self, *exception: object) -> None:
        self._first.wait(0)
        self._cache.cleanup()


def _case(which: str) -> str:
    return f"first training step of the {which} process, after CuPy's import"


def aim(result: Result) -> None:
    second = result.find(_case("second"))
    result.aim(f"{_case('second')}, seconds", 0.5, None if second is None else second.value)
