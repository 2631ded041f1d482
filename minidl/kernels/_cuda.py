"""How `cuda` compiles kernels and takes arrays: what its families share."""

from __future__ import annotations

import functools
import math
import os
from typing import Any

import numpy as np

Array = Any

# --fmad=false: cuda/common.cuh says why.
OPTIONS = ("--std=c++17", "--fmad=false")

THREADS, WARP, DEEP = 256, 32, 256  # as in cuda/: threads of a block, and of them side by side; rows of a piece

# Threads of this many blocks take all there is in turns. An H100, with 132 multiprocessors of 8 blocks, is full four
# times over, so that the last round, which may leave some idle, is short beside the others.
BLOCKS = 4096

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
    """A kernel of a file of cuda/, with these macros defined, such as "UNITS=32"."""
    return _library(family, definitions).get_function(name)


@functools.cache
def _library(family: str, definitions: tuple[str, ...]) -> Any:
    import cupy

    # In the text: for options that it has not met in this process CuPy compiles an empty file, to know its compiler.
    defined = "".join(f"#define {definition.replace('=', ' ')}\n" for definition in definitions)
    return cupy.RawModule(code=defined + _source(f"{family}.cu"), options=OPTIONS, backend="nvrtc")


def _launch(family: str, kernel: str, blocks: int, *arguments: Any, shared: int = 0) -> None:
    """Queue a kernel, unless there is nothing to do: CUDA refuses a grid of no blocks."""
    if blocks:
        given = tuple(TYPES[type(value)](value) if type(value) in TYPES else value for value in arguments)
        _kernel(family, kernel)((min(blocks, BLOCKS),), (THREADS,), given, shared_mem=shared)


TYPES: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float64}


def _blocks(work: int, each: int) -> int:
    return -(-work // each)


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


# ---- sums -------------------------------------------------------------------------------


def _sum_columns(x: Array) -> Array:
    """Σ x over the rows of matrices: of pieces of them first, which then are rows again."""
    *stack, rows, columns = x.shape
    pieces = max(1, _blocks(rows, DEEP))
    y, tiles = _empty((*stack, pieces, columns), x.dtype), math.prod(stack) * pieces * _blocks(columns, WARP)
    _launch("reduce", f"sum_columns_{_name(x.dtype)}", tiles, tiles, rows, columns, pieces, _dense(x), y)
    return y.reshape(*stack, columns) if pieces == 1 else _sum_columns(y)
