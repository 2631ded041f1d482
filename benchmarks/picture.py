"""The rows of a result as bars: one group a case, one bar a contestant, minidl's time over theirs."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from benchmarks.result import Result

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "minidl"  # the same result gives the same file

from matplotlib.figure import Figure  # noqa: E402  (after the choice of what draws)


def draw(result: Result, path: Path) -> None:
    rows = [(row.contestant, row.case, row.ratio) for row in result.rows if row.ratio is not None]
    names = list(dict.fromkeys(name for name, _, _ in rows))
    cases = list(dict.fromkeys(case for _, case, _ in rows))
    if not rows:
        return
    figure = Figure(figsize=(8, 1 + 0.18 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / len(names)
    for i, name in enumerate(names):
        found = {case: ratio for who, case, ratio in rows if who == name}
        places = [cases.index(case) + i * height for case in found]
        axes.barh(places, list(found.values()), height, label=name)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks([i + 0.4 - height / 2 for i in range(len(cases))], cases, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("time of minidl / time of the other, below 1 minidl is faster")
    axes.set_title(result.title, fontsize=10)
    axes.legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None})
