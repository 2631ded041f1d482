"""Three modules with one set of names: `reference` (NumPy), `cpu` (C) and `cuda` (CuPy).

Ops ask `of(array)` for the module that serves an array and call the kernel by its name.
CuPy's arrays are served by `cuda`, NumPy's by the one of the others that `use` selects. Nothing
falls back: a kernel that a module lacks is an error, and where no compiler was found when minidl
was installed, or where there is no GPU, `use("cpu")` and `use("cuda")` say so.

Arithmetic comes so often, and with so little to do, that asking would take as long as computing:
`add`, `subtract`, `multiply`, `divide`, `maximum` and `minimum` stand here, as the module has them
that serves NumPy's arrays. They take anything that has the operator (or is NumPy's function for),
and are it for what no C kernel takes: CuPy's arrays, and tensors.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.kernels import reference

if TYPE_CHECKING:
    from minidl.kernels import cuda as cuda

try:
    from minidl.kernels import cpu

    cpu_missing = ""
except ImportError as error:  # installed without a C compiler
    cpu = None  # type: ignore[assignment]
    cpu_missing = str(error)

MODULES = ("reference", "cpu", "cuda")

_NUMPYS = (np.ndarray, np.generic)
_serving: ModuleType
_active: ModuleType
add: Callable[[Any, Any], Any]
subtract: Callable[[Any, Any], Any]
multiply: Callable[[Any, Any], Any]
divide: Callable[[Any, Any], Any]
maximum: Callable[[Any, Any], Any]
minimum: Callable[[Any, Any], Any]


def _select(active: ModuleType, serving: ModuleType) -> None:
    """From now on one module computes with new tensors, and one serves NumPy's arrays."""
    global _active, _serving, add, subtract, multiply, divide, maximum, minimum
    _active, _serving = active, serving
    add, subtract, multiply, divide = serving.add, serving.subtract, serving.multiply, serving.divide
    maximum, minimum = serving.maximum, serving.minimum


# The memory that a kernel makes for an array, which nobody else looks at.
Block: type = type(None) if cpu is None else cpu.Block

_first: ModuleType = reference if cpu is None else cpu
_select(_first, _first)


def _for_gpu() -> ModuleType:
    """The module `cuda`, which is read when it is first asked for: most processes have no GPU."""
    return sys.modules.get("minidl.kernels.cuda") or importlib.import_module("minidl.kernels.cuda")


def __getattr__(name: str) -> ModuleType:
    if name == "cuda":
        return _for_gpu()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def serving() -> ModuleType:
    """The kernel module that serves NumPy's arrays now."""
    return _serving


def of(array: Any) -> ModuleType:
    """The kernel module that serves this array."""
    if isinstance(array, _NUMPYS):
        return _serving
    if on_gpu(array):
        return _for_gpu()
    raise TypeError(f"no kernels serve {type(array).__name__}; pass an array of NumPy or of CuPy")


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """A new array of NumPy's; a large one in memory of the kernels, which lies in large pages where there are any."""
    return np.empty(shape, dtype) if cpu is None else cpu.empty(shape, dtype)


def on_gpu(array: Any) -> bool:
    """Whether it is an array of CuPy, found out without importing it: whoever has one has imported it."""
    kind = type(array)
    if kind is np.ndarray:  # nearly always
        return False
    if kind in _ON_GPU:
        return True
    cupy = sys.modules.get("cupy")
    if found := cupy is not None and isinstance(array, cupy.ndarray):
        _ON_GPU.add(kind)
    return found


_ON_GPU: set[type] = set()  # the types of arrays of CuPy that were met: to look for CuPy takes four times as long


def active() -> str:
    """The name of the module that computes with new tensors now."""
    return _active.__name__.rpartition(".")[2]


def set_num_threads(n: int) -> None:
    """Let the compiled kernels use at most n threads. Results are the same bits for any n.

    The reference kernels have no threads of their own, so without compiled ones nothing changes.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"set_num_threads: the number of threads must be a positive integer, got {n!r}")
    if cpu is not None:
        cpu.set_num_threads(int(n))


def get_num_threads() -> int:
    """How many threads the kernels use at most."""
    return 1 if cpu is None else cpu.get_num_threads()


class use:
    """Select the kernels for new tensors, from now on or for a `with` block.

    "reference" is plain NumPy, made to be read and stepped through; "cpu" is compiled. With "cuda"
    new tensors go to an NVIDIA GPU and are computed with there; NumPy's arrays stay with the module
    that served them before. What is missing for one of them is an error.

    It holds for the whole process: let one thread select for all. Blocks of two threads that overlap
    get each other's kernels, and may leave them selected.

    >>> import minidl as md
    >>> with md.use("reference"):
    ...     md.kernels.active()
    'reference'
    """

    def __init__(self, name: str) -> None:
        self._before = _active, _serving
        active = check_usable(name)
        _select(active, _serving if name == "cuda" else active)

    def __enter__(self) -> use:
        return self

    def __exit__(self, *exception: object) -> None:
        _select(*self._before)


def check_usable(name: str) -> ModuleType:
    """The kernel module of this name; an error says what is missing for it."""
    if name not in MODULES:
        raise ValueError(f"unknown kernels {name!r}: expected 'reference', 'cpu', or 'cuda' for the GPU")
    if name == "reference":
        return reference
    if name == "cuda":
        if missing := _for_gpu().missing():
            raise RuntimeError(f"the cuda kernels cannot run: {missing}")
        return _for_gpu()
    if cpu is None:
        raise RuntimeError(
            f"the compiled kernels are missing ({cpu_missing}); reinstall minidl where gcc or clang is found"
        )
    return cpu
