"""Input: the shape of what a model will get, said before there is any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.layers.base import Layer, Shape
from minidl.tensors import Tensor


class InputLayer(Layer):
    """The first entry of a Sequential model that is to be built at once. What comes in goes out.

    Args:
        shape: of one sample; None for an axis that may vary: (None,) for sequences of any length.
        batch_size: how many samples a batch has, if that is fixed.
        dtype: of the data. Each layer converts what it gets to its own type, so this is a note to the reader.
        batch_shape: shape with the batch, instead of the two.

    >>> import minidl as md
    >>> md.Sequential([md.layers.Input(shape=(4,)), md.layers.Dense(3)]).count_params()
    15
    """

    autocast = False
    supports_masking = True

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        dtype: Any = None,
        *,  # Keras has kinds of tensors here that minidl has not
        name: str | None = None,
        batch_shape: Sequence[int | None] | None = None,
        input_shape: Sequence[int | None] | None = None,
    ) -> None:
        given = [s for s in (shape, input_shape, batch_shape) if s is not None]
        if len(given) != 1 or not isinstance(given[0], (tuple, list)):
            got = ", ".join(map(repr, given)) or "none"
            raise ValueError(f"Input needs one shape, a tuple such as (100,), got {got}")
        super().__init__(name=name)
        self.dtype = np.dtype(dtype or np.float32)
        self.batch_shape = tuple(given[0]) if batch_shape is not None else (batch_size, *given[0])
        self.built = True

    def call(self, x: Any) -> Tensor:
        return x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype.name, "batch_shape": self.batch_shape}


Input = InputLayer
