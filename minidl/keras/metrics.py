"""The names of `keras.metrics` that minidl has."""

# ruff: noqa: F401

from minidl.metrics import (
    AUC,
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    F1Score,
    Mean,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    Precision,
    Recall,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    get,
)
from minidl.naming import missing_from as _missing_from

__getattr__ = _missing_from(__name__, globals())
