"""Masking: mark the time steps that are padding."""

from __future__ import annotations

from typing import Any

from minidl.layers.base import Layer, Shape
from minidl.ops.arithmetic import where
from minidl.ops.coercion import constant
from minidl.tensors import Tensor


class Masking(Layer):
    """Steps whose features all equal `mask_value` are padding: they become 0, and the layers that follow skip them.

    x (batch, time, …, features) → y of the same shape, with a mask (batch, time, …)

    >>> import minidl as md
    >>> x = md.Tensor([[[1.0, 2.0], [0.0, 0.0]]])
    >>> md.layers.Masking()(x)
    Tensor([[[1., 2.],
             [0., 0.]]])
    """

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = mask_value

    def call(self, x: Any) -> Tensor:
        return where(self.compute_mask(x, None)[..., None], x, 0)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return (constant(inputs) != self.mask_value).any(-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"mask_value": self.mask_value}
