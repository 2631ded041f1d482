"""What a run of the benchmarks was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import machine
from benchmarks.peers import Peer, absent, chosen
from benchmarks.result import Result

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    quick: bool
    rounds: int
    threads: tuple[int, ...]
    names: tuple[str, ...] | None
    output: Path

    @cached_property
    def machine(self) -> dict[str, Any]:
        return machine.describe()

    @property
    def isa(self) -> str:
        return str(self.machine["isa"])

    def pick(self, whole: T, quick: T) -> T:
        return quick if self.quick else whole

    def peers(self, able: Sequence[str]) -> list[Peer]:
        return chosen(self.names, able)

    def result(self, name: str, title: str, able: Sequence[str]) -> Result:
        """An empty result that knows where it was measured, and who was not there."""
        versions = {peer.name: peer.versions for peer in self.peers(able)}
        missing = "; ".join(absent(able))
        notes = [f"Not installed, so not measured: {missing}."] if missing else []
        return Result(name, title, self.machine, versions, notes)
