"""The names of `keras.activations` that minidl has."""

# ruff: noqa: F401

from minidl.activations import (
    elu,
    exponential,
    gelu,
    get,
    hard_sigmoid,
    leaky_relu,
    linear,
    log_softmax,
    relu,
    selu,
    serialize,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    swish,
    tanh,
)
from minidl.activations import get as deserialize
from minidl.naming import missing_from as _missing_from

__getattr__ = _missing_from(__name__, globals())
