"""Argument checks that the preprocessing functions share, so that one mistake has one wording."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np


def integer(name: str, value: Any, minimum: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    return number


def one_of(name: str, given: Any, choices: Sequence[str]) -> None:
    if given in choices:
        return
    from difflib import get_close_matches

    close = get_close_matches(str(given).lower(), choices, n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {given!r}{hint}")


def array(name: str, values: Any, dtype: Any = None) -> np.ndarray:
    try:
        return np.asarray(values, dtype=dtype)
    except ValueError as error:
        raise ValueError(f"{name} is ragged: its entries must all have one shape ({error})") from None


def cast(name: str, values: np.ndarray, dtype: np.dtype, advice: str, start: int = 0) -> np.ndarray:
    """`values` as `dtype`; an error names the first entry that `dtype` cannot hold.

    `start` is the index that ``values[0]`` had before it was cut out of a longer sequence.

    Floats may be rounded, but may not overflow to infinity. Every other dtype must hold the
    exact value: 2.0 is an integer, while 2.5, NaN, 300 as uint8 and "2" are not.
    """
    converted = _converted(values, dtype)
    if converted is not None:
        return converted
    flat = values.reshape(-1)
    first = next(i for i in range(flat.size) if _converted(flat[i : i + 1], dtype) is None)
    position = [int(i) for i in np.unravel_index(first, values.shape)]
    position[:1] = [start + i for i in position[:1]]
    index = "".join(f"[{i}]" for i in position)
    raise ValueError(f"{name}{index} is {flat.tolist()[first]!r}, which {dtype} cannot hold: {advice}")


def _converted(values: np.ndarray, dtype: np.dtype) -> np.ndarray | None:
    if dtype.kind == "O" or values.dtype == dtype or values.size == 0:
        return values.astype(dtype, copy=False)
    try:
        with np.errstate(all="ignore"):
            converted = values.astype(dtype)
        if dtype.kind in "fc":
            held = ~np.isinf(converted) | (abs(values) == np.inf)
        else:
            held = converted == values
    except (TypeError, ValueError, OverflowError):  # text among numbers, None, an integer beyond 64 bits
        return None
    return converted if held.all() else None
