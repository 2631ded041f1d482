"""The names of `keras.models` that minidl has."""

# ruff: noqa: F401

from minidl.keras._missing import missing_from as _missing_from
from minidl.models import Model, Sequential, load_model

__getattr__ = _missing_from(__name__, globals())
