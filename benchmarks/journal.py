"""The log of a run that goes in parts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.command import last_lines
from benchmarks.result import Result


class Journal:
    """A run in parts. A part that fails becomes a note, and after each what there is is written down."""

    def __init__(self, result: Result, folder: Path) -> None:
        self.result, self._folder, self._start = result, folder, time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    def say(self, text: str) -> None:
        print(f"{self.seconds:6.1f} s  {text}", flush=True)

    def note(self, text: str) -> None:
        self.say(text)
        self.result.notes.append(text)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self.say(name)
        try:
            yield
        except Exception as error:
            self.note(f"{name}: failed with {type(error).__name__}: {last_lines(str(error))}")
        finally:
            self.result.write(self._folder)
