"""What minidl finds on this machine, what it uses of it, and what is missing."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from minidl import __version__, kernels

NEEDED = ("numpy", "tqdm")
OPTIONAL = {  # what it is for, and the command that gets it
    "pytest": ("the tests", "pip install -e '.[test]' in minidl's folder"),
    "hypothesis": ("the tests", "pip install -e '.[test]' in minidl's folder"),
    "torch": ("the tests that compare with PyTorch, which are skipped without it", "pip install torch"),
}


def run(options: argparse.Namespace) -> int:
    libraries = {name: _version(name) for name in (*NEEDED, *OPTIONAL)}
    compiler, gpu, no_cuda = _compiler(), _gpu(), kernels.cuda.missing()
    rows = {
        "minidl": f"{__version__} in {Path(__file__).parents[1]}",
        "kernels": _kernels(),
        "instruction set": _instruction_set(),
        "threads": f"{kernels.get_num_threads()}, and the machine lends this process {_cores()} cores",
        "compiler": compiler or "none found",
        "GPU": gpu or "none found",
        "CUDA kernels": f"not usable: {no_cuda}" if no_cuda else f"usable on {kernels.cuda.device()}",
        "Python": f"{platform.python_version()} on {platform.platform()}",
        **{name: libraries[name] or "not installed" for name in libraries},
    }
    for name, found in rows.items():
        print(f"{name:<16} {found}")
    missing = _missing(compiler, no_cuda if gpu else "", [name for name in OPTIONAL if libraries[name] is None])
    print("\nmissing:" if missing else "\nnothing is missing")
    for line in missing:
        print(f"  {line}")
    return 0


def _missing(compiler: str | None, no_cuda: str, libraries: Sequence[str]) -> list[str]:
    """What is not there, what it is for, and the command that gets it. CUDA is missing only where there is a GPU."""
    lines: list[str] = []
    if kernels.cpu is None:
        get_compiler = "" if compiler else "install gcc or clang (Debian, Ubuntu: sudo apt install gcc), then "
        lines.append(
            f"the compiled kernels ({kernels.cpu_missing}): minidl computes in NumPy, which is slower; "
            f"{get_compiler}pip install -e . in minidl's folder"
        )
    if no_cuda:
        lines.append(f"the kernels for the GPU: {no_cuda}")
    by_remedy: dict[tuple[str, str], list[str]] = {}
    for name in libraries:
        by_remedy.setdefault(OPTIONAL[name], []).append(name)
    return lines + [f"{' and '.join(names)}, for {use}: {command}" for (use, command), names in by_remedy.items()]


def _kernels() -> str:
    if kernels.cpu is None:
        return "reference (NumPy)"
    return f"{kernels.active()} in use, compiled by {kernels.cpu.compiler()}; reference (NumPy) beside it"


def _instruction_set() -> str:
    if kernels.cpu is None:
        return "that of NumPy"
    return f"{kernels.cpu.isa()} in use, of {', '.join(kernels.cpu.available_isas())}; MINIDL_ISA chooses another"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _compiler() -> str | None:
    for name in filter(None, (os.environ.get("CC"), "gcc", "clang", "cc", "cl")):
        path = shutil.which(name)
        if path is not None:
            return f"{_first_line(path, '--version') or name} ({path})"
    return None


def _gpu() -> str | None:
    tool = shutil.which("nvidia-smi")
    return _first_line(tool, "--query-gpu=name,memory.total", "--format=csv,noheader") if tool else None


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _first_line(*command: str) -> str | None:
    """The first line that a program prints, or None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.splitlines()), None)
