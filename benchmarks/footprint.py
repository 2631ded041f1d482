"""From outside: import time, size on disk, memory in training, and a whole program from start to end."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import minidl
from benchmarks.peers import MINIDL, PEERS
from benchmarks.process import Field, Timing
from benchmarks.result import Result, Row
from benchmarks.setting import Setting

ABLE = ("ours", "pytorch", "keras_model")

# A text classifier from imports to weights, as a reader of the document would write it.
PROGRAM = """
import numpy as np
from {package}.models import Sequential
from {package}.layers import LSTM, Dense, Dropout, Embedding
words = np.arange(100 * 4).reshape(4, 100) % 13
model = Sequential([Embedding(1000, 64), LSTM(128, return_sequences=True), Dropout(0.5), LSTM(128), Dropout(0.5),
                    Dense(1, activation="sigmoid")])
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
model.fit(words, np.array([1, 0, 1, 0]), epochs=10, batch_size=32, verbose=0)
"""


def run(setting: Setting) -> Result:
    result = setting.result("footprint", "Footprint", ABLE)
    installed = [peer for peer in (MINIDL, *PEERS) if peer.installed]
    packages = sorted({package for peer in installed for package in peer.packages})
    _imports(result, packages, setting.rounds)
    _sizes(result, packages)
    _memory(result, setting)
    _programs(result, setting)
    return result


# ---- imports ------------------------------------------------------------------------------


def _imports(result: Result, packages: list[str], count: int) -> None:
    """The median over rounds of what importing a package takes beyond starting Python."""
    rounds: dict[str, list[float]] = {package: [] for package in packages}
    for _ in range(count):
        start = _seconds("pass")
        for package, times in rounds.items():
            times.append(_seconds(f"import {package}") - start)
    for package, times in rounds.items():
        result.rows.append(Row("import", package, statistics.median(times), "s", min(times), max(times)))
    over = statistics.median(a - b for a, b in zip(rounds["minidl"], rounds["numpy"], strict=True))
    result.aim("import, seconds over NumPy's, median of the rounds' differences", 0.05, over)


def _seconds(code: str, environment: dict[str, str] | None = None) -> float:
    start = time.perf_counter()
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **(environment or {})})
    return time.perf_counter() - start


# ---- on disk ------------------------------------------------------------------------------


def _sizes(result: Result, packages: list[str]) -> None:
    for package in packages:
        names = _with_requirements(_distribution_of(package))
        megabytes = sum(_bytes_of(name) for name in names) / 1e6
        result.rows.append(Row("installed, with what it requires", package, megabytes, "MB"))


def _distribution_of(package: str) -> str:
    return packages_distributions()[package][0]


def _with_requirements(name: str, found: frozenset[str] = frozenset()) -> frozenset[str]:
    """The distribution and all that it requires, as far as it is installed."""
    key = canonicalize_name(name)
    if key in found:
        return found
    try:
        requirements = distribution(name).requires or []
    except PackageNotFoundError:
        return found
    found |= {key}
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found = _with_requirements(requirement.name, found)
    return found


def _bytes_of(name: str) -> int:
    if canonicalize_name(name) == "minidl":  # perhaps installed as a link to its source
        package = Path(minidl.__file__).parent.rglob("*")
        paths = [path for path in package if "__pycache__" not in path.parts]
    else:
        paths = [Path(str(path.locate())) for path in distribution(name).files or []]
    return sum(path.stat().st_size for path in paths if path.is_file())


# ---- in memory ----------------------------------------------------------------------------


def _memory(result: Result, setting: Setting) -> None:
    """The peak of a process that trains the document's model for ten steps."""
    peaks = {}
    with Field(setting.peers(ABLE), max(setting.threads)) as contestants:
        for name, contestant in contestants.items():
            contestant.ask(
                prepare="document_train", **{"with": {"batch": 32, "time": 100, "rate": 0.5, "optimizer": "adam"}}
            )
            contestant.ask(run=10)
            peaks[name] = contestant.peak_mib
            result.rows.append(Row("peak memory in training", name, contestant.peak_mib, "MiB"))
    if "pytorch" in peaks:
        result.aim("peak memory in training, of PyTorch's", 0.25, peaks["minidl"] / peaks["pytorch"])


# ---- a whole program ----------------------------------------------------------------------


def _programs(result: Result, setting: Setting) -> None:
    case = "a classifier, ten epochs on four texts, whole process"
    able = {peer.name: peer for peer in setting.peers(ABLE) if peer.module != "pytorch"}
    rounds: dict[str, list[float]] = {name: [] for name in able}
    for _ in range(setting.pick(3, 1)):
        for name, peer in able.items():
            package = "minidl.keras" if peer.module == "ours" else "keras"
            rounds[name].append(_seconds(PROGRAM.format(package=package), peer.environment))
    result.add_race(case, {name: Timing(times) for name, times in rounds.items()})
    result.aim(f"{case}, of Keras on TensorFlow", 0.10, result.ratio_to(case, "keras/tensorflow"))
