"""The names of `keras.optimizers.schedules` that minidl has."""

# ruff: noqa: F401

from minidl.naming import missing_from as _missing_from
from minidl.schedules import (
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

__getattr__ = _missing_from(__name__, globals())
