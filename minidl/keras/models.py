"""The names of `keras.models` that minidl has."""

# ruff: noqa: F401

from minidl.models import Model, Sequential, load_model
from minidl.naming import missing_from as _missing_from

__getattr__ = _missing_from(__name__, globals())
