"""The kernels of `cuda` as the tests of the others call them: with NumPy's arrays, taken to the device and back.

The device is the GPU where there is one, else the processor behind tests/cupy_stand_in.py, which needs g++.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from typing import Any

import cupy_stand_in
import numpy as np
import pytest

from minidl.kernels import cuda

Array = Any
ON_GPU = not cuda.missing()
WHERE = "the GPU" if ON_GPU else "the processor" if shutil.which("g++") else ""


def cupy() -> Any:
    """CuPy, or what stands in for it in this block; where nothing can, the test is skipped, or fails if it must run."""
    if ON_GPU:
        import cupy

        return contextlib.nullcontext(cupy)
    if not WHERE:
        message = "THE CUDA KERNELS WERE NOT TESTED: there is neither a GPU nor g++ to run them on the processor"
        (pytest.fail if os.environ.get("MINIDL_REQUIRE_CPU") == "1" else pytest.skip)(message)
    return cupy_stand_in.installed()


def to_device(cp: Any, x: Array) -> Array:
    """The array on the device, in its layout: repeated rows, gaps between the elements, or another order."""
    if not x.dtype.isnative:
        return x  # NumPy alone has such; the kernels refuse it
    if x.ndim and x.size and x.strides[0] == 0 and x.shape[0] > 1:
        return cp.broadcast_to(to_device(cp, x[:1]), x.shape)
    if x.flags.c_contiguous or x.flags.f_contiguous:
        return cp.asarray(x)
    room = cp.zeros([2 * n + 1 for n in x.shape], x.dtype)
    view = room[tuple(slice(1, None, 2) for _ in x.shape)][..., ::-1]
    view[...] = cp.asarray(np.ascontiguousarray(x))
    return view


def to_host(result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(map(to_host, result))
    return None if result is None else result.get()


class Kernels:
    """`cuda` with the names of the other modules; a step writes into the arrays that it is given."""

    def __getattr__(self, kernel: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            with cupy() as cp:
                arrays: dict[int, tuple[Array, Array]] = {}
                given = tuple(self._take(cp, a, arrays) for a in arguments)
                returned = to_host(getattr(cuda, kernel)(*given))
                if kernel.endswith("_step"):
                    for host, device in arrays.values():
                        if host.flags.writeable:
                            host[...] = device.get()
                return returned

        return call

    def _take(self, cp: Any, argument: Any, arrays: dict[int, tuple[Array, Array]]) -> Any:
        """One array of the host is one of the device, so that what was shared is shared there too."""
        if isinstance(argument, tuple):
            return tuple(self._take(cp, a, arrays) for a in argument)
        if isinstance(argument, np.integer):
            argument = np.asarray(argument)  # a single id
        if not isinstance(argument, np.ndarray):
            return argument
        if id(argument) not in arrays:
            arrays[id(argument)] = argument, to_device(cp, argument)
        return arrays[id(argument)][1]


kernels = Kernels()
