"""The rows of the layers. Their weights are checked with their inputs, and are the same in every run.

Each layer is given a name, so that the rows use up none of those that a user's layers get.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minidl as md
from minidl.layers import base
from minidl.testing.cases import Case

_stream = md.random.Generator(21)
_MASK = np.array([[True, False, True], [False, False, False]])
_IDS = np.array([[1, 0, 3], [3, 3, 2]])


def _draw(*shape: int) -> Any:
    return _stream.uniform(shape, -1.5, 1.5, np.float64)


def _dense(units: int, **arguments: Any) -> md.layers.Dense:
    weights = md.initializers.RandomUniform(-1.0, 1.0, seed=1)
    return md.layers.Dense(units, name="dense", kernel_initializer=weights, bias_initializer=weights, **arguments)


def _lstm(units: int = 2, **arguments: Any) -> md.layers.LSTM:
    weights, orthogonal = md.initializers.RandomUniform(-1.0, 1.0, seed=1), md.initializers.Orthogonal(seed=2)
    arguments |= {"kernel_initializer": weights, "bias_initializer": weights, "recurrent_initializer": orthogonal}
    return md.layers.LSTM(units, name="lstm", **arguments)


class _Masked(base.Layer):
    """The layer inside with a mask, from the states that follow its input."""

    def __init__(self, layer: md.layers.Layer) -> None:
        super().__init__(name="masked")
        self.layer = layer

    def call(self, x: Any, *states: Any) -> Any:
        start: Any = {"initial_state": list(states)} if states else {}
        return self.layer(x, mask=_MASK, **start)


class _Training(base.Layer):
    """The layer inside as it trains, but with the same noise at each call."""

    def __init__(self, layer: Any) -> None:
        super().__init__(name="training")
        self.layer = layer

    def call(self, x: Any) -> Any:
        self.layer._stream.offset = 0
        return self.layer(x, training=True)


_ACTIVATIONS = (
    "linear", "relu", "leaky_relu", "elu", "selu", "softplus", "softsign", "tanh", "sigmoid", "hard_sigmoid",
    "softmax", "log_softmax", "silu", "gelu", "exponential",
)  # fmt: skip
_X, _STATE = _draw(2, 3, 2), (_draw(2, 2), _draw(2, 2))
_EVERYTHING = {"return_sequences": True, "return_state": True}

CASES = [
    *(
        Case("Activation", md.layers.Activation(name, name="activation"), (_draw(2, 4),), variant=name)
        for name in _ACTIVATIONS
    ),
    Case("Bidirectional", md.layers.Bidirectional(_lstm(), name="both"), (_X,)),
    Case(
        "Bidirectional",
        md.layers.Bidirectional(_lstm(return_sequences=True), merge_mode=None, name="both"),
        (_X,),
        variant="apart",
    ),
    Case(
        "Bidirectional",
        _Masked(md.layers.Bidirectional(_lstm(**_EVERYTHING), merge_mode="mul", name="both")),
        (_X, *_STATE, *_STATE),
        variant="mask and states",
    ),
    Case("Dense", _dense(3, activation="tanh"), (_draw(2, 4),)),
    Case("Dense", _dense(3, use_bias=False), (_X,), variant="3 axes, no bias"),
    Case("Dropout", _Training(md.layers.Dropout(0.4, seed=3, name="noise")), (_draw(3, 4),)),
    Case(
        "Dropout",
        _Training(md.layers.Dropout(0.4, (None, 1, None), seed=3, name="noise")),
        (_X,),
        variant="noise shape",
    ),
    Case("Embedding", md.layers.Embedding(4, 2, md.initializers.RandomUniform(seed=1), name="table"), (_IDS,)),
    Case("Flatten", md.layers.Flatten(name="flat"), (_X,)),
    Case("GlobalAveragePooling1D", md.layers.GlobalAveragePooling1D(name="pool"), (_X,)),
    Case("GlobalAveragePooling1D", _Masked(md.layers.GlobalAveragePooling1D(name="pool")), (_X,), variant="mask"),
    Case("GlobalMaxPooling1D", md.layers.GlobalMaxPooling1D(name="pool"), (_X,)),
    Case(
        "GlobalMaxPooling1D", _Masked(md.layers.GlobalMaxPooling1D(keepdims=True, name="pool")), (_X,), variant="mask"
    ),
    Case("InputLayer", md.layers.Input((3, 2), name="input"), (_X,)),
    Case("LSTM", _lstm(), (_X,)),
    Case("LSTM", _lstm(go_backwards=True, use_bias=False, **_EVERYTHING), (_X,), variant="backwards, no bias"),
    Case("LSTM", _Masked(_lstm(**_EVERYTHING)), (_X, *_STATE), variant="mask and state"),
    Case("LSTM", _Masked(_lstm()), (_X, *_STATE), variant="mask and state, last output"),
    Case("LSTM", _lstm(activation="softsign", recurrent_activation="tanh"), (_X,), variant="other activations"),
    Case("LSTM", _Training(_lstm(dropout=0.3, recurrent_dropout=0.3, seed=3)), (_X,), variant="dropout"),
    Case("Masking", md.layers.Masking(name="masking"), (_X,)),
    Case("Reshape", md.layers.Reshape((3, -1), name="reshape"), (_X,)),
    Case("SpatialDropout1D", _Training(md.layers.SpatialDropout1D(0.4, seed=3, name="noise")), (_X,)),
    Case("TimeDistributed", md.layers.TimeDistributed(_dense(3, activation="sigmoid"), name="each"), (_X,)),
]
