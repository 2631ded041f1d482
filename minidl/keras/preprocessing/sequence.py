"""The names of `keras.preprocessing.sequence` that minidl has."""

# ruff: noqa: F401

from minidl.naming import missing_from as _missing_from
from minidl.preprocessing.sequence import pad_sequences

__getattr__ = _missing_from(__name__, globals())
