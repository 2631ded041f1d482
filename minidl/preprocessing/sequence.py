"""Sequences of different lengths as one array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minidl.preprocessing import _arguments

__all__ = ["pad_sequences"]

ENDS = ("pre", "post")
ADVICE = "pass a dtype that can, or make ids of words with Tokenizer.texts_to_sequences"


def pad_sequences(
    sequences: Iterable[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Give all sequences one length: cut the long ones, fill up the short ones.

    Args:
        sequences: an iterable of lists, tuples or arrays. Entries of a sequence are scalars,
            or arrays that all have one shape.
        maxlen: the common length. None means the length of the longest sequence.
        dtype: dtype of the result. `object` keeps strings.
        padding: "pre" fills in front of a sequence, "post" behind it.
        truncating: "pre" cuts the front of a sequence, "post" its end.
        value: what is filled in.

    Returns:
        An array of shape ``(len(sequences), maxlen, *shape of an entry)``.

    Raises:
        ValueError: no sequences and no `maxlen`, ``maxlen < 1``, something that is no sequence,
            entries of several shapes, an entry that stays and that `dtype` cannot hold
            (overflow, a fraction as an integer), or an unknown word for `padding` or
            `truncating`.

    >>> pad_sequences([[1], [2, 3], [4, 5, 6]])
    array([[0, 0, 1],
           [0, 2, 3],
           [4, 5, 6]], dtype=int32)
    >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2, padding="post", truncating="post")
    array([[1, 0],
           [2, 3],
           [4, 5]], dtype=int32)
    """
    _arguments.one_of("pad_sequences: padding", padding, ENDS)
    _arguments.one_of("pad_sequences: truncating", truncating, ENDS)
    sequences = _checked(sequences)
    maxlen = _common_length(sequences, maxlen)
    shape = _entry_shape(sequences)
    fill = _filling(value, np.dtype(dtype))
    padded = np.full((len(sequences), maxlen, *shape), fill, dtype=fill.dtype)
    for position, sequence in enumerate(sequences):
        if len(sequence) == 0:  # padded[i, -0:] would be the whole row
            continue
        start = max(len(sequence) - maxlen, 0) if truncating == "pre" else 0
        row = _entries(position, sequence, slice(start, start + maxlen), padded)
        padded[position, slice(-len(row), None) if padding == "pre" else slice(len(row))] = row
    return padded


def _checked(sequences: Any) -> list[Sequence[Any]]:
    is_list = isinstance(sequences, Iterable) and not isinstance(sequences, str | bytes | dict)
    if not is_list:
        raise ValueError(f"pad_sequences expects a list of sequences, got {type(sequences).__name__}")
    checked = list(sequences)
    for position, sequence in enumerate(checked):
        if not _is_sequence(sequence):
            raise ValueError(
                f"pad_sequences: sequences[{position}] must be a list, a tuple or an array, "
                f"got {sequence!r}; a single sequence is passed as [sequence]"
            )
    return checked


def _is_sequence(candidate: Any) -> bool:
    if isinstance(candidate, str | bytes | dict) or getattr(candidate, "ndim", 1) == 0:
        return False
    return hasattr(candidate, "__len__") and hasattr(candidate, "__getitem__")


def _common_length(sequences: list[Sequence[Any]], maxlen: int | None) -> int:
    if maxlen is not None:
        return _arguments.integer("pad_sequences: maxlen", maxlen, minimum=1)
    if not sequences:
        raise ValueError("pad_sequences: there are no sequences to take maxlen from; pass maxlen")
    return max(len(sequence) for sequence in sequences)


def _entry_shape(sequences: list[Sequence[Any]]) -> tuple[int, ...]:
    first = next((sequence for sequence in sequences if len(sequence)), [0])
    return _arguments.array("pad_sequences: the first entry", first[:1]).shape[1:]


def _filling(value: Any, dtype: np.dtype) -> np.ndarray:
    if isinstance(value, str) and dtype.kind not in "OUS":
        raise ValueError(
            f"pad_sequences: value {value!r} is a string and dtype is {dtype}; "
            f"pass dtype=object to pad strings of any length"
        )
    return _arguments.cast("pad_sequences: value", np.asarray(value), dtype, ADVICE)


def _entries(position: int, sequence: Sequence[Any], kept: slice, padded: np.ndarray) -> np.ndarray:
    """The kept part of a sequence, in the dtype and the entry shape of `padded`."""
    name = f"pad_sequences: sequences[{position}]"
    entries = _arguments.array(name, sequence[kept], dtype=object if padded.dtype.kind == "O" else None)
    if entries.shape[1:] != padded.shape[2:]:
        raise ValueError(
            f"{name} has entries of shape {entries.shape[1:]}, an earlier sequence has entries of {padded.shape[2:]}"
        )
    return _arguments.cast(name, entries, padded.dtype, ADVICE, start=kept.start)
