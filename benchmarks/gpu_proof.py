"""What shows that the kernels are right on this GPU: the tests with it, and NVIDIA's checker of memory and of races."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.command import Command, last_lines
from benchmarks.journal import Journal
from benchmarks.peers import ON_GPU

PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:benchmark"]  # the last warns beside xdist
CHOSEN = "cuda or device or playback"
NEED_NO_GPU = ("test_cuda_compiles", "test_cuda_shim", "test_cuda_lstm")
WITHOUT_XDIST = ("tests/test_kernel_parity.py", "tests/test_cuda_kernels.py", "tests/test_lstm_kernel.py")
CHECKS = {"memcheck": 60.0, "racecheck": 60.0}  # seconds at most
WATCHED = "each kernel in float32 on plain arrays, and LSTMs in a cluster of blocks and in blocks that meet in memory"
WATCH = """
import sys
import pytest
from benchmarks.contestants import ours

for units in (64, 300):
    ours.lstm_train(batch=3, time=4, features=2, units=units)()
ours.wait()
chosen = "the_same_results and not large and cuda and float32 and contiguous"
sys.exit(pytest.main([*sys.argv[1:], "-q", "-k", chosen, "tests/test_kernel_parity.py"]))
"""


def prove(journal: Journal, until: float, cores: int, quick: bool) -> None:
    """The tests on all cores but two, and meanwhile the checker; no more than `until` seconds after the start."""
    parallel = find_spec("xdist") is not None
    tests = Command(tests_command(max(1, cores - 2) if parallel else 0, quick), PYTHONUNBUFFERED="1")
    with journal.part("compute-sanitizer"):
        _check(journal, until)
    said = tests.wait(max(20.0, until - journal.seconds))
    print(failures(said), flush=True)
    journal.note(verdict(said, parallel))


def tests_command(workers: int, quick: bool) -> list[str]:
    """The suite of the engine and the kernels, with the GPU as one of the kernel modules."""
    ignored = [f"--ignore=tests/{name}.py" for name in NEED_NO_GPU]
    which = [*ignored, "tests"] if workers else [*WITHOUT_XDIST]
    options = ["-v", "-rsfE", "--tb=short", "--maxfail=1" if quick else "--maxfail=20", "-k", CHOSEN]
    return [*PYTEST, *(["-n", str(workers)] if workers else []), *options, *which]


def failures(said: str) -> str:
    """What pytest tells of each, which is too long for a note."""
    found = re.search(r"^=+ (?:FAILURES|ERRORS) =+$.*", said, re.MULTILINE | re.DOTALL)
    return found[0][:20_000] if found else last_lines(said)


def verdict(said: str, parallel: bool) -> str:
    """The last line of a run of pytest, what failed and what was skipped for which reason."""
    about = f"without {', '.join(NEED_NO_GPU)}, which use no GPU"
    if not parallel:
        about = f"for want of pytest-xdist only {', '.join(WITHOUT_XDIST)}"
    last = last_lines(said, 1)
    if last.startswith("stopped"):
        ends = re.findall(r"\b(PASSED|FAILED|ERROR|SKIPPED)\b", said)
        last += "".join(f", {ends.count(end)} {end.lower()}" for end in sorted({*ends}))
    listed = dict.fromkeys(re.findall(r"^(?:SKIPPED|FAILED|ERROR) (?:\[\d+\] )?\S+.*$", said, re.MULTILINE))
    return "\n".join([f"Tests on the GPU, {about}: {last.strip('= ')}", *(f"- {line[:300]}" for line in listed)])


def _check(journal: Journal, until: float) -> None:
    tool = _sanitizer()
    if tool is None:
        journal.note("compute-sanitizer was not found, so no access was watched.")
        return
    for check, most in CHECKS.items():
        limit = min(most, until - journal.seconds)
        if limit < 20:
            journal.note(f"compute-sanitizer {check}: no time was left.")
            continue
        options = ["--tool", check, "--error-exitcode", "9", sys.executable, "-c", WATCH, *PYTEST[3:]]
        journal.note(checked(check, Command([tool, *options], **ON_GPU).wait(limit)))


def checked(check: str, said: str) -> str:
    """What the checker found and where, and that the tests under it ran to their end."""
    found = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: .*", said)
    ran = re.findall(r"\d+ (?:passed|failed).*", said)
    ends = [*ran[-1:], *found[-1:]]
    told = "; ".join(ends) if len(ends) == 2 else last_lines(said)
    where = dict.fromkeys(re.findall(r"^=+ (?:Error|Warning|Invalid|Race).*$", said, re.MULTILINE))
    return "\n".join(
        [f"compute-sanitizer {check}, on {WATCHED}: {told}", *(f"- {line[:300]}" for line in [*where][:5])]
    )


def _sanitizer() -> str | None:
    places: Sequence[Path] = [
        *Path("/usr/local").glob("cuda*/bin"),
        *Path("/usr/local").glob("cuda*/compute-sanitizer"),
        *Path(sys.prefix).glob("lib/python*/site-packages/nvidia/*/bin"),
    ]
    return shutil.which("compute-sanitizer", path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, places)]))
