"""The names of `keras.preprocessing` that minidl has."""

from minidl.keras._missing import missing_from as _missing_from
from minidl.keras.preprocessing import sequence, text

__getattr__ = _missing_from(__name__, globals())
