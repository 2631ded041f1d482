"""Layers that change the shape of each sample, not its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minidl.layers.base import Layer, Shape, shapes_of
from minidl.tensors import Tensor


class Flatten(Layer):
    """Each sample in one axis, in C order.  (batch, …) → (batch, the product of the others)

    >>> import minidl as md
    >>> md.layers.Flatten()([[[1, 2], [3, 4]]])
    Tensor([[1, 2, 3, 4]])
    """

    def call(self, x: Any) -> Tensor:
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], _size(input_shape[1:]))


class Reshape(Layer):
    """Each sample in another shape, in C order.  (batch, …) → (batch, *target_shape)

    Args:
        target_shape: without the batch; one entry may be −1, which is then made to fit.

    >>> import minidl as md
    >>> md.layers.Reshape((2, -1))([[1, 2, 3, 4]])
    Tensor([[[1, 2],
             [3, 4]]])
    """

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        self.target_shape = tuple(target_shape)
        if self.target_shape.count(-1) > 1 or any(n < -1 for n in self.target_shape):
            raise ValueError(f"Reshape: target_shape takes sizes, and -1 once at most, got {self.target_shape}")
        super().__init__(**kwargs)

    def build(self, input_shape: Shape) -> None:
        self.compute_output_shape(input_shape)

    def call(self, x: Any) -> Tensor:
        return x.reshape(x.shape[0], *self.compute_output_shape(shapes_of(x))[1:])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        size, known = _size(input_shape[1:]), math.prod(n for n in self.target_shape if n != -1)
        free = -1 in self.target_shape
        if size is None:
            rest = None
        elif size == known and not free:
            rest = 1
        elif free and known and size % known == 0:
            rest = size // known
        else:
            raise ValueError(
                f"{self.name} cannot bring {input_shape}, {size} elements, into the shape {self.target_shape}"
            )
        return (input_shape[0], *(rest if n == -1 else n for n in self.target_shape))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"target_shape": self.target_shape}


def _size(shape: Shape) -> int | None:
    """How many elements, None if that depends on an axis that is not known yet."""
    sizes = [n for n in shape if n is not None]
    return math.prod(sizes) if len(sizes) == len(shape) else None
