"""Three modules with one set of names: `reference` (NumPy), `cpu` (C) and `cuda` (CuPy).

Ops ask `of(array)` for the module that serves an array and call the kernel by its name.
CuPy's arrays are served by `cuda`, NumPy's by the module that `use` selects. Nothing falls
back: a kernel that a module lacks is an error, and where no compiler was found when minidl
was installed, or where there is no GPU, `use("cpu")` and `use("cuda")` say so.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

from minidl.kernels import cuda, reference

try:
    from minidl.kernels import cpu

    cpu_missing = ""
except ImportError as error:  # installed without a C compiler
    cpu = None  # type: ignore[assignment]
    cpu_missing = str(error)

MODULES = ("reference", "cpu", "cuda")

_serving: ModuleType = reference if cpu is None else cpu


def serving() -> ModuleType:
    """The kernel module that serves NumPy arrays now."""
    return _serving


def of(array: Any) -> ModuleType:
    """The kernel module that serves this array."""
    if isinstance(array, (np.ndarray, np.generic)):
        return _serving
    cupy = sys.modules.get("cupy")  # whoever has an array of it has imported it
    if cupy is not None and isinstance(array, cupy.ndarray):
        return cuda
    raise TypeError(f"no kernels serve {type(array).__name__}; pass an array of NumPy or of CuPy")


def active() -> str:
    """The name of the module that serves NumPy arrays now."""
    return _serving.__name__.rpartition(".")[2]


def set_num_threads(n: int) -> None:
    """Let the compiled kernels use at most n threads. Results are the same bits for any n.

    The reference kernels have no threads of their own, so without compiled ones nothing changes.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"set_num_threads: the number of threads must be a positive integer, got {n!r}")
    if cpu is not None:
        cpu.set_num_threads(n)


def get_num_threads() -> int:
    """How many threads the kernels use at most."""
    return 1 if cpu is None else cpu.get_num_threads()


class use:
    """Select the kernels that serve NumPy arrays, from now on or for a `with` block.

    "reference" is plain NumPy, made to be read and stepped through; "cpu" is compiled; "cuda"
    runs on an NVIDIA GPU and refuses NumPy's arrays. What is missing for one is an error.

    >>> import minidl as md
    >>> with md.use("reference"):
    ...     md.kernels.active()
    'reference'
    """

    def __init__(self, name: str) -> None:
        global _serving
        self._before = _serving
        _serving = _module(name)

    def __enter__(self) -> use:
        return self

    def __exit__(self, *exception: object) -> None:
        global _serving
        _serving = self._before


def _module(name: str) -> ModuleType:
    if name not in MODULES:
        import difflib

        near = difflib.get_close_matches(str(name), MODULES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown kernels {name!r}: expected one of {', '.join(map(repr, MODULES))}{hint}")
    if name == "reference":
        return reference
    if name == "cuda":
        if missing := cuda.missing():
            raise RuntimeError(f"the cuda kernels cannot run: {missing}")
        return cuda
    if cpu is None:
        raise RuntimeError(
            f"the compiled kernels are missing ({cpu_missing}); reinstall minidl where gcc or clang is found"
        )
    return cpu
