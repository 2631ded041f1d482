"""The names of `keras.saving` that minidl has."""

# ruff: noqa: F401

from minidl.naming import missing_from as _missing_from
from minidl.saving import load_model

__getattr__ = _missing_from(__name__, globals())
