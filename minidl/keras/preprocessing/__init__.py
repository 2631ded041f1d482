"""The names of `keras.preprocessing` that minidl has."""

from minidl.keras.preprocessing import sequence, text
from minidl.naming import missing_from as _missing_from

__getattr__ = _missing_from(__name__, globals())
