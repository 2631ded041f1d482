"""Dropout: noise that keeps a network from relying on single numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minidl import random
from minidl.layers.arguments import fraction
from minidl.layers.base import Layer, Shape, as_floats, check_sequences, shapes_of
from minidl.ops.noise import dropout
from minidl.tensors import Tensor


class Dropout(Layer):
    """While training, set elements to 0 with probability `rate` and scale the others by 1 / (1 − rate).

    At other times the input comes out as it is. (Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014)

    Args:
        rate: in [0, 1].
        noise_shape: like the input's shape, batch included, with 1 (or None for "as the input") where one
            draw serves a whole axis: (None, 1, None) drops the same features at every time step.
        seed: an integer gives the layer a stream of its own; else it draws from the default one.
        **kwargs: the arguments of every layer, see `Layer`.

    >>> import minidl as md
    >>> layer = md.layers.Dropout(0.5, seed=0)
    >>> layer([[1.0, 1.0, 1.0, 1.0]], training=True)
    Tensor([[0., 2., 2., 2.]])
    """

    supports_masking = True

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | random.Generator | None = None,
        **kwargs: Any,
    ) -> None:
        self.rate = fraction(self, "rate", rate)
        super().__init__(**kwargs)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self._stream = None if seed is None else random.generator(seed)

    def call(self, x: Any, training: bool = False) -> Tensor:
        x = as_floats(self, x)
        if not training or self.rate == 0:
            return x
        return dropout(x, self.rate, self._noise_shape(x), random.generator(self._stream))

    def _noise_shape(self, x: Tensor) -> tuple[int | None, ...] | None:
        shape = self.noise_shape
        if shape is None:
            return None
        if len(shape) != x.ndim or any(m not in (None, 1, n) for m, n in zip(shape, x.shape, strict=True)):
            raise ValueError(
                f"{self.name}: noise_shape {shape} does not fit an input of shape {x.shape}; "
                f"it needs an entry for each axis: 1, None, or the axis' own length"
            )
        return shape

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        seed = None if self._stream is None else self._stream.seed
        return super().get_config() | {"rate": self.rate, "noise_shape": self.noise_shape, "seed": seed}


class SpatialDropout1D(Dropout):
    """Dropout of whole features: one draw for each, the same at every time step.

    x (batch, time, features) → y of the same shape (Tompson, Goroshin, Jain, LeCun and Bregler 2015)

    Args:
        rate, seed: as in Dropout.

    >>> import minidl as md
    >>> layer = md.layers.SpatialDropout1D(0.5, seed=0)
    >>> layer(md.Tensor([[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]), training=True)
    Tensor([[[0., 2., 2.],
             [0., 2., 2.]]])
    """

    def __init__(self, rate: float, seed: int | random.Generator | None = None, **kwargs: Any) -> None:
        super().__init__(rate, noise_shape=(None, 1, None), seed=seed, **kwargs)

    def build(self, input_shape: Shape) -> None:
        check_sequences(self, input_shape)

    def call(self, x: Any, training: bool = False) -> Tensor:
        check_sequences(self, shapes_of(x))
        return super().call(x, training)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["noise_shape"]
        return config
