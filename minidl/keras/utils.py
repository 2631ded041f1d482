"""The names of `keras.utils` that minidl has."""

# ruff: noqa: F401

from minidl.layers.base import reset_names as clear_session
from minidl.naming import missing_from as _missing_from
from minidl.preprocessing import pad_sequences, to_categorical
from minidl.random import set_seed as set_random_seed

__getattr__ = _missing_from(__name__, globals())
