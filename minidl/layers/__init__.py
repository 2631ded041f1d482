"""Layers: what models are made of. Each stands in the file of its family; `Layer` tells how to write one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minidl import naming
from minidl.layers.activation import Activation
from minidl.layers.base import Layer
from minidl.layers.dense import Dense
from minidl.layers.dropout import Dropout, SpatialDropout1D
from minidl.layers.embedding import Embedding
from minidl.layers.input import Input, InputLayer
from minidl.layers.masking import Masking
from minidl.layers.pooling import GlobalAveragePooling1D, GlobalMaxPooling1D
from minidl.layers.recurrent import LSTM
from minidl.layers.shaping import Flatten, Reshape
from minidl.layers.wrappers import Bidirectional, TimeDistributed

_CLASSES = (
    Activation, Bidirectional, Dense, Dropout, Embedding, Flatten, GlobalAveragePooling1D, GlobalMaxPooling1D,
    InputLayer, LSTM, Masking, Reshape, SpatialDropout1D, TimeDistributed,
)  # fmt: skip
known_layers: dict[str, type[Layer]] = {cls.__name__: cls for cls in _CLASSES}


def serialize(layer: Layer) -> dict[str, Any]:
    """What `deserialize` makes the layer from again, without its weights."""
    return naming.serialize(layer)


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, type[Layer]] | None = None) -> Layer:
    """A layer from what `serialize` made of one; classes that are not minidl's are given by name in `custom_objects`.

    >>> deserialize(serialize(Dense(3, name="last")))
    <Dense last, not built>
    """
    return naming.resolve("layer", known_layers | dict(custom_objects or {}), config, Layer)


_INSTEAD = {"Linear": "Dense"}  # of PyTorch's names

if not TYPE_CHECKING:  # to which every name would be known
    __getattr__ = naming.missing_from(__name__, naming.defined_in(globals()), _INSTEAD)
