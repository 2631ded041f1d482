"""Activation: a function of each element, or of each row, as a layer."""

from __future__ import annotations

from typing import Any

from minidl import activations
from minidl.layers.base import Layer, Shape, as_floats
from minidl.tensors import Tensor


class Activation(Layer):
    """y = activation(x)

    Args:
        activation: a name or a function, see `minidl.activations`.

    >>> import minidl as md
    >>> md.layers.Activation("relu")([[-1.0, 2.0]])
    Tensor([[0., 2.]])
    """

    supports_masking = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, x: Any) -> Tensor:
        return self.activation(as_floats(self, x))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"activation": activations.serialize(self.activation)}
