"""Compile a C file of `benchmarks/csrc/` on the spot and load it: code that is measured but not part of minidl."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parent / "csrc"
CSRC = Path(__file__).parent.parent / "csrc"

# The instruction sets of setup.py, with the width of a register in bytes.
LEVELS = {
    "x86-64-v2": (["-march=x86-64-v2"], 16),
    "x86-64-v3": (["-march=x86-64-v3"], 32),
    "x86-64-v4": (["-march=x86-64-v4", "-mprefer-vector-width=512"], 64),
    "plain": ([], 16),
}


@cache
def load(source: str, isa: str) -> ctypes.CDLL:
    """`benchmarks/csrc/<source>.c`, compiled for an instruction set."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise RuntimeError("the benchmarks compile code to measure the machine with, and found no gcc or cc")
    flags, width = LEVELS[isa]
    path = SOURCES / f"{source}.c"
    command = [compiler, "-O3", "-fPIC", "-shared", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
    command += [f"-DREGISTER_BYTES={width}", "-DMINIDL_REAL=32", "-DMINIDL_ISA=bench", f"-I{CSRC}", *flags]
    texts = [text.read_bytes() for text in (path, *sorted(CSRC.glob("*.h")))]
    key = hashlib.sha256(b"".join([repr(command).encode(), *texts])).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"minidl-benchmarks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{source}-{key}.so"
    if not library.exists():
        part = library.with_suffix(f".{os.getpid()}")
        subprocess.run([*command, str(path), "-o", str(part), "-lm"], check=True)
        part.replace(library)
    return ctypes.CDLL(str(library))
