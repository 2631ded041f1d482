"""The names of `keras.callbacks` that minidl has."""

# ruff: noqa: F401

from minidl.callbacks import (
    Callback,
    CallbackList,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    TerminateOnNaN,
)
from minidl.naming import missing_from as _missing_from

__getattr__ = _missing_from(__name__, globals())
