"""The names of `keras.backend` that minidl has."""

# ruff: noqa: F401

from minidl.keras._missing import missing_from as _missing_from
from minidl.layers.base import reset_names as clear_session

__getattr__ = _missing_from(__name__, globals())
