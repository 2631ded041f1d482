"""The names of `keras.regularizers` that minidl has."""

# ruff: noqa: F401

from minidl.layers.arguments import written as serialize
from minidl.naming import missing_from as _missing_from
from minidl.regularizers import L1, L1L2, L2, Regularizer, get, l1, l1_l2, l2
from minidl.regularizers import get as deserialize

__getattr__ = _missing_from(__name__, globals())
