"""The names of `keras.optimizers` that minidl has."""

from minidl.keras._missing import missing_from as _missing_from
from minidl.keras.optimizers import schedules
from minidl.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, get

__getattr__ = _missing_from(__name__, globals())
