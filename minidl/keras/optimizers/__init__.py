"""The names of `keras.optimizers` that minidl has."""

from minidl.keras.optimizers import schedules
from minidl.naming import missing_from as _missing_from
from minidl.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, get

__getattr__ = _missing_from(__name__, globals())
