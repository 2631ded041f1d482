"""Embedding: a table of vectors, looked up by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import initializers, regularizers
from minidl.kernels.validate import IDS
from minidl.layers.arguments import positive_integer, written
from minidl.layers.base import Layer, Shape
from minidl.ops.coercion import constant
from minidl.ops.lookup import embedding
from minidl.tensors import Tensor


class Embedding(Layer):
    """y = table[ids]: each id becomes the vector in its row.

    ids (batch, …), integers in [0, input_dim) → y (batch, …, output_dim)

    Args:
        input_dim: how many ids there are, 0 included: len(tokenizer.word_index) + 1 for a Tokenizer.
        output_dim: the size of a vector.
        embeddings_initializer, embeddings_regularizer: of the table.
        mask_zero: treat id 0 as padding: the layers that follow get a mask that is False there.
        weights: the table itself, such as vectors made elsewhere, or a list that holds it.
        input_length: how many ids a sample has. A model that begins with the layer is then built at once.
        **kwargs: the arguments of every layer, see `Layer`.

    >>> import minidl as md
    >>> layer = md.layers.Embedding(10, 4)
    >>> layer([[1, 2, 3]]).shape
    (1, 3, 4)
    """

    autocast = False

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        *,  # Keras has a constraint here
        mask_zero: bool = False,
        weights: Any = None,
        input_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.input_dim = positive_integer(self, "input_dim", input_dim)
        self.output_dim = positive_integer(self, "output_dim", output_dim)
        if input_length is not None:
            kwargs["input_shape"] = (positive_integer(self, "input_length", input_length),)
        super().__init__(**kwargs)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.mask_zero = mask_zero
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, list) and len(weights) == 1 else [weights])

    def build(self, input_shape: Shape | None = None) -> None:
        self.embeddings = self.add_weight(
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            name="embeddings",
            regularizer=self.embeddings_regularizer,
        )

    def call(self, ids: Any) -> Tensor:
        given = constant(ids)
        try:
            return embedding(self.embeddings, self._integers(given))
        except IndexError:
            raise IndexError(self._out_of_range(given)) from None

    def _integers(self, ids: Any) -> Any:
        """The ids in a type that the kernels take; floats if they are whole numbers, as pad_sequences can make them."""
        if ids.dtype in IDS:
            return ids
        if ids.dtype.kind == "f":
            fractional = np.argwhere(~(np.isfinite(ids) & (ids == np.floor(ids))))
            if len(fractional):
                position = tuple(int(i) for i in fractional[0])
                raise TypeError(f"{self.name} looks up integer ids, got {ids[position]} at position {position}")
        elif ids.dtype.kind not in "iu":
            raise TypeError(f"{self.name} looks up integer ids, got {ids.dtype}")
        with np.errstate(invalid="ignore"):  # what int64 cannot hold becomes negative, and is refused as the rest is
            return ids.astype(np.int64)

    def _out_of_range(self, ids: Any) -> str:
        position = tuple(int(i) for i in np.argwhere((ids < 0) | (ids >= self.input_dim))[0])
        return (
            f"{self.name}: ids must lie in [0, {self.input_dim}), got {int(ids[position])} at position {position}; "
            f"input_dim must exceed the largest id, for a Tokenizer it is len(word_index) + 1, or its num_words"
        )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return constant(inputs) != 0 if self.mask_zero else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": written(self.embeddings_initializer),
            "embeddings_regularizer": written(self.embeddings_regularizer),
            "mask_zero": self.mask_zero,
        }
