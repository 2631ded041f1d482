"""Global pooling: one vector for a whole sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import ops
from minidl.layers.base import Layer, Shape, as_floats, check_sequences, shapes_of
from minidl.tensors import Tensor


class _GlobalPooling1D(Layer):
    """What both have in common: shapes, and the check of the input."""

    def __init__(self, *, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keepdims = keepdims

    def build(self, input_shape: Shape) -> None:
        check_sequences(self, input_shape)

    def call(self, x: Any, mask: Any = None) -> Tensor:
        check_sequences(self, shapes_of(x))
        if x.shape[1] == 0:
            raise ValueError(f"{self.name} needs at least one time step, got shape {x.shape}")
        if mask is not None and mask.shape != x.shape[:2]:
            raise ValueError(f"{self.name}: mask must have shape (batch, time) = {x.shape[:2]}, got {mask.shape}")
        x = as_floats(self, x)
        return self.pool(x) if mask is None else self.pool_valid(x, mask[..., None])

    def pool(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def pool_valid(self, x: Tensor, valid: Any) -> Tensor:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, _, features = input_shape
        return (batch, 1, features) if self.keepdims else (batch, features)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"keepdims": self.keepdims}


class GlobalAveragePooling1D(_GlobalPooling1D):
    """The mean over time. With a mask over the valid steps; 0 where a row has none (Keras: NaN).

    x (batch, time, features), mask (batch, time) → y (batch, features), or (batch, 1, features) with keepdims

    >>> import minidl as md
    >>> layer = md.layers.GlobalAveragePooling1D()
    >>> layer(md.Tensor([[[1.0], [3.0], [9.0]]]), mask=[[True, True, False]])
    Tensor([[2.]])
    """

    def pool(self, x: Tensor) -> Tensor:
        return ops.mean(x, 1, self.keepdims)

    def pool_valid(self, x: Tensor, valid: Any) -> Tensor:
        count = np.maximum(valid.sum(1, keepdims=self.keepdims), 1)
        return ops.sum(ops.where(valid, x, 0), 1, self.keepdims) / count


class GlobalMaxPooling1D(_GlobalPooling1D):
    """The largest value over time. With a mask over the valid steps; 0 where a row has none.

    Keras ignores the mask here, and so takes maxima over padding too.

    x (batch, time, features), mask (batch, time) → y (batch, features), or (batch, 1, features) with keepdims

    >>> import minidl as md
    >>> layer = md.layers.GlobalMaxPooling1D()
    >>> layer(md.Tensor([[[1.0], [3.0], [9.0]]]), mask=[[True, True, False]])
    Tensor([[3.]])
    """

    def pool(self, x: Tensor) -> Tensor:
        return ops.max(x, 1, self.keepdims)

    def pool_valid(self, x: Tensor, valid: Any) -> Tensor:
        lowest = float(np.finfo(x.dtype).min)
        y = ops.max(ops.where(valid, x, lowest), 1, self.keepdims)
        return ops.where(valid.any(1, keepdims=self.keepdims), y, 0)
