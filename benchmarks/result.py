"""What a benchmark found: rows of timings, targets hit or missed, as JSON, as Markdown and as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import geometric_mean, median
from types import MappingProxyType
from typing import Any

from benchmarks.process import Timing, ratio

OURS = "minidl"

LABELS = ("case", "who")
COLUMNS = (*LABELS, "first step", "median after it", "spread", "rate", "share of ceiling", "minidl takes")
TAKES = "“minidl takes”: its time over that of the row, round by round, the median. Below 1 × it is faster."


@dataclass
class Row:
    """One contestant on one case."""

    case: str
    contestant: str
    value: float
    unit: str = "s"
    low: float | None = None
    high: float | None = None
    first: float | None = None
    against: str = OURS  # which minidl it is compared with: the one of its precision
    ratio: float | None = None  # of that one's value to this one
    rate: float | None = None  # GFLOP/s or GB/s
    share: float | None = None  # of what the machine can do at most

    def cells(self) -> dict[str, str]:
        """What a table shows of it, by column."""
        spread = "" if self.low is None or self.high is None else f"{_quantity(self.low)} – {_quantity(self.high)}"
        other = "" if self.against == OURS else f" by {self.against}"
        return {
            "case": self.case,
            "who": self.contestant,
            "first step": "" if self.first is None else _quantity(self.first),
            "median after it": _quantity(self.value) if self.unit == "s" else f"{self.value:.4g} {self.unit}",
            "spread": spread,
            "rate": "" if self.rate is None else f"{self.rate:.1f} G/s",
            "share of ceiling": "" if self.share is None else f"{self.share:.0%}",
            "minidl takes": "" if self.ratio is None else f"{self.ratio:.2f} ×{other}",
        }


@dataclass
class Target:
    """Something to be reached: a ratio to stay under, or a share of a ceiling to pass."""

    text: str
    limit: float
    reached: float | None
    at_most: bool = True

    @property
    def verdict(self) -> str:
        if self.reached is None:
            return "not measured"
        hit = self.reached <= self.limit if self.at_most else self.reached >= self.limit
        return "reached" if hit else "MISSED"


@dataclass
class Result:
    """A benchmark's rows and verdicts, and what it ran on."""

    name: str
    title: str
    machine: dict[str, Any]
    versions: dict[str, str]
    notes: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def add_race(
        self,
        case: str,
        timings: Mapping[str, Timing],
        amount: float = 0.0,
        ceiling: float | Sequence[float] | None = None,
        against: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """The rows of a race over `amount` operations or bytes; the machine can do `ceiling` · 10⁹ a second, at all
        times or in each round.

        `against` names which minidl a contestant is compared with, where it is another than usual.
        """
        for name, timing in timings.items():
            rival = against.get(name, OURS)
            rate = amount / timing.median / 1e9 if amount else None
            share = _share(amount, timing, ceiling) if amount and ceiling else None
            low, high = timing.spread
            theirs = None if name == rival or rival not in timings else ratio(timings[rival], timing)
            self.rows.append(
                Row(case, name, timing.median, "s", low, high, timing.first, rival, theirs, rate, share),
            )

    def find(self, case: str, contestant: str = OURS) -> Row | None:
        return next((row for row in self.rows if (row.case, row.contestant) == (case, contestant)), None)

    def ratio_to(self, case: str, contestant: str) -> float | None:
        row = self.find(case, contestant)
        return None if row is None else row.ratio

    def ratio_to_fastest(self, case: str, ours: str = OURS) -> float | None:
        """minidl's time over that of the fastest of those that are compared with it."""
        rows = [row for row in self.rows if (row.case, row.against) == (case, ours)]
        return max((row.ratio for row in rows if row.ratio is not None), default=None)

    def share_of(self, case: str) -> float | None:
        row = self.find(case)
        return None if row is None else row.share

    def aim(self, text: str, limit: float, reached: float | None, at_most: bool = True) -> None:
        self.targets.append(Target(text, limit, reached, at_most))

    def aim_all(
        self, text: str, cases: Iterable[str], each: float, mean: float | None = None, ours: str = OURS
    ) -> None:
        """Every case under one limit, and the geometric mean of all under another."""
        found = {case: r for case in cases if (r := self.ratio_to_fastest(case, ours)) is not None}
        worst = max(found, key=found.__getitem__, default=None)
        which = "" if worst is None else f" (worst: {worst})"
        self.aim(f"{text}, each{which}", each, None if worst is None else found[worst])
        if mean is not None:
            self.aim(f"{text}, geometric mean", mean, geometric_mean(found.values()) if found else None)

    # ---- writing it down

    def write(self, folder: Path) -> None:
        """`name.json` and `name.md`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        (folder / f"{self.name}.md").write_text(self.markdown(), encoding="utf-8")

    def markdown(self) -> str:
        facts = ", ".join(f"{key} {value}" for key, value in self.machine.items())
        versions = "; ".join(f"{name}: {text}" for name, text in self.versions.items())
        parts = [f"# {self.title}", f"Machine: {facts}.", f"Versions: {versions}.", *self.notes, self._rows_table()]
        if self.targets:
            parts.append(self._targets_table())
        return "\n\n".join(parts) + "\n"

    def _rows_table(self) -> str:
        """Columns that say something of any row."""
        cells = [row.cells() for row in self.rows]
        shown = [name for name in COLUMNS if name in LABELS or any(row[name] for row in cells)]
        lines = ["| " + " | ".join("" if name == "who" else name for name in shown) + " |", "|---" * len(shown) + "|"]
        if "minidl takes" in shown:
            lines.insert(0, TAKES + "\n")
        before = None
        for row in cells:
            row["case"], before = "" if row["case"] == before else row["case"], row["case"]
            lines.append("| " + " | ".join(row[name] for name in shown) + " |")
        return "\n".join(lines)

    def _targets_table(self) -> str:
        lines = ["| target | to reach | reached | |", "|---|---|---|---|"]
        for target in self.targets:
            reached = "" if target.reached is None else f"{target.reached:.3g}"
            sign = "≤" if target.at_most else "≥"
            lines.append(f"| {target.text} | {sign} {target.limit:g} | {reached} | {target.verdict} |")
        return "\n".join(lines)


def _quantity(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def _share(amount: float, timing: Timing, ceiling: float | Sequence[float]) -> float:
    """Of the ceiling, round by round where it was measured so, the median."""
    if isinstance(ceiling, float):
        return amount / timing.median / 1e9 / ceiling
    return median(amount / seconds / 1e9 / most for seconds, most in zip(timing.rounds, ceiling, strict=True))
