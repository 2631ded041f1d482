"""All that the benchmarks aim at, and what was reached on each machine whose results are kept.

python -m benchmarks.aims > benchmarks/results/README.md
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from benchmarks.result import Target

RESULTS = Path(__file__).parent / "results"
BENCHMARKS = ("seed_model", "lstm_scaling", "ops", "overhead", "footprint")
HEADING = """# What is aimed at, and what was reached

Made of the tables of each machine by `python -m benchmarks.aims`. “of PyTorch” and “of the fastest” are times of
minidl's in those of a peer, so that less is better; shares and “NumPy's time over ours” are better where they are
more. “Each” is the worst of all cases, which is named where it **misses** the aim. An empty cell was not measured.
Where there are two aims, the first is that of the Zen 3, which has AVX2.
"""


def _cell(target: Target | None) -> str:
    if target is None or target.reached is None:
        return ""
    if target.verdict == "reached":
        return f"{target.reached:.3g}"
    worst = target.text.partition(" (worst: ")[2].removesuffix(")")
    return f"**{target.reached:.3g}**" + (f" {worst}" if worst else "")


def _limit(targets: list[Target]) -> str:
    """Of several where machines differ, as in the share of the ceiling with and without AVX-512."""
    return " or ".join(dict.fromkeys(f"{'≤' if t.at_most else '≥'} {t.limit:g}" for t in targets))


def _targets(folder: Path, benchmark: str) -> dict[str, Target]:
    """By what they are about: their text without the case that was worst on that machine."""
    found = folder / f"{benchmark}.json"
    targets = json.loads(found.read_text(encoding="utf-8"))["targets"] if found.exists() else []
    return {each["text"].partition(" (worst: ")[0]: Target(**each) for each in targets}


def summary(machines: Iterable[str]) -> str:
    """All aims in Markdown, a column for each folder of results."""
    folders = [RESULTS / machine for machine in machines]
    lines = ["| | aim | " + " | ".join(f"[{folder.name}]({folder.name})" for folder in folders) + " |"]
    lines.append("|---" * (2 + len(folders)) + "|")
    for benchmark in BENCHMARKS:
        lines.append(f"| **{benchmark}** |" + " |" * (1 + len(folders)))
        found = [_targets(folder, benchmark) for folder in folders]
        for text in dict.fromkeys(text for targets in found for text in targets):
            limit = _limit([targets[text] for targets in found if text in targets])
            cells = [_cell(targets.get(text)) for targets in found]
            lines.append("| " + " | ".join((text, limit, *cells)) + " |")
    return "\n".join([HEADING, *lines]) + "\n"


if __name__ == "__main__":
    print(summary(sorted(folder.name for folder in RESULTS.iterdir() if folder.is_dir())), end="")
