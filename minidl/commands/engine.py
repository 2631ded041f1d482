"""What computes, in a line."""

from __future__ import annotations

from minidl import __version__, kernels


def engine() -> str:
    """The version, and the kernels with their instruction set and threads.

    >>> engine().startswith("minidl ")
    True
    """
    if kernels.active() == "reference":
        return f"minidl {__version__}, reference kernels (NumPy)"
    return f"minidl {__version__}, cpu kernels ({kernels.cpu.isa()}, {_threads(kernels.get_num_threads())})"


def _threads(n: int) -> str:
    return "1 thread" if n == 1 else f"{n} threads"
