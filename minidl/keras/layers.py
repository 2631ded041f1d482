"""The names of `keras.layers` that minidl has."""

# ruff: noqa: F401

from minidl.layers import (
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Input,
    InputLayer,
    Layer,
    Masking,
    Reshape,
    SpatialDropout1D,
    TimeDistributed,
    deserialize,
    serialize,
)
from minidl.layers import GlobalAveragePooling1D as GlobalAvgPool1D
from minidl.layers import GlobalMaxPooling1D as GlobalMaxPool1D
from minidl.naming import missing_from as _missing_from

__getattr__ = _missing_from(__name__, globals())
