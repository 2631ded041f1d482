"""How `cuda` compiles kernels and takes arrays: what its families share."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np

Array = Any

# --fmad=false: cuda/common.cuh says why.
OPTIONS = ("--std=c++17", "--fmad=false")
NULL = np.uintp(0)  # of None CuPy makes the address 0xffffffff


# ---- kernels ----------------------------------------------------------------------------


def _source(name: str) -> str:
    """A file of cuda/ with the ones that it includes, each once, in their place.

    CuPy keeps what it compiled under the text that it was given, and would not notice a change in an included file. It
    writes that text in the locale's encoding, so a letter of a comment that is not ASCII becomes a question mark.
    """
    included = {"": ""}

    def text_of(name: str) -> str:
        if name in included:
            return ""
        included[name] = name
        with open(os.path.join(os.path.dirname(__file__), "cuda", name), encoding="utf-8") as file:
            lines = file.read().splitlines()
        return "".join(
            text_of(line.split('"')[1]) if line.startswith('#include "') else f"{line}\n"
            for line in lines
            if line != "#pragma once"
        )

    return text_of(name).encode("ascii", "replace").decode()


@functools.cache
def _kernel(family: str, name: str, definitions: tuple[str, ...] = ()) -> Any:
    """A kernel of a file of cuda/, compiled with these macros defined."""
    return _library(family, definitions).get_function(name)


@functools.cache
def _library(family: str, definitions: tuple[str, ...]) -> Any:
    import cupy

    options = *OPTIONS, *(f"-D{definition}" for definition in definitions)
    return cupy.RawModule(code=_source(f"{family}.cu"), options=options, backend="nvrtc")


# ---- arrays as CUDA takes them ----------------------------------------------------------


def _dense(array: Array, dtype: Any = None) -> Array:
    """The array itself where it is in C order and has the type, else a copy. (ascontiguousarray would add an axis.)"""
    if _own(array).flags.c_contiguous and (dtype is None or array.dtype == dtype):
        return array
    return array.astype(array.dtype if dtype is None else dtype, order="C")


def _own(array: Array) -> Array:
    """CuPy would copy NumPy's arrays to the GPU without a word."""
    import cupy

    if not isinstance(array, cupy.ndarray):
        raise TypeError(f"the cuda kernels take arrays of CuPy, got {type(array).__name__}; cupy.asarray copies it")
    return array


@functools.cache
def _name(dtype: np.dtype[Any]) -> str:
    """Of a type, in the names of kernels. NumPy takes longer to find it than to launch one."""
    return str(dtype)


def _empty(shape: Any, dtype: Any) -> Array:
    import cupy

    return cupy.empty(shape, dtype)
