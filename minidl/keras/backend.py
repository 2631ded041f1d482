"""The names of `keras.backend` that minidl has."""

# ruff: noqa: F401

from minidl.layers.base import reset_names as clear_session
from minidl.naming import missing_from as _missing_from

__getattr__ = _missing_from(__name__, globals())
