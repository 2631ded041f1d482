"""The names of `keras.losses` that minidl has."""

# ruff: noqa: F401, N812

from minidl.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    Hinge,
    Huber,
    KLDivergence,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    binary_crossentropy,
    categorical_crossentropy,
    categorical_hinge,
    get,
    hinge,
    huber,
    kl_divergence,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from minidl.losses import kl_divergence as KLD
from minidl.losses import kl_divergence as kld
from minidl.losses import mean_absolute_error as MAE
from minidl.losses import mean_absolute_error as mae
from minidl.losses import mean_squared_error as MSE
from minidl.losses import mean_squared_error as mse
from minidl.naming import missing_from as _missing_from

__getattr__ = _missing_from(__name__, globals())
