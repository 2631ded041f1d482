"""Dropout, with a mask that is drawn again in the backward pass instead of being kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minidl import devices, kernels, random
from minidl.ops.coercion import floating
from minidl.tensors import Op, Tensor


class Dropout(Op):
    """y = x m / (1 − rate) with m drawn from a place of a random stream;  dx = dy m / (1 − rate)"""

    reads_inputs = False
    makes_gradients = True

    def forward(self, x: Any, rate: float, seed: int, offset: int) -> Any:
        self.draw = {"rate": rate, "seed": seed, "offset": offset}
        return kernels.of(x).dropout(x, **self.draw)

    def backward(self, dy: Any) -> Any:
        return Dropout.apply(dy, **self.draw)


def dropout(
    x: Any, rate: float, noise_shape: Sequence[int | None] | None = None, rng: random.Generator | None = None
) -> Tensor:
    """Set elements to 0 with probability `rate` and scale the others by 1 / (1 − rate).

    With `noise_shape` one draw serves all elements along the axes where it is 1 (None: as x).

    >>> import minidl as md
    >>> md.dropout(md.Tensor([1.0, 1.0, 1.0, 1.0]), 0.5, rng=md.random.Generator(0))
    Tensor([0., 2., 2., 2.])
    """
    x = floating(x)
    if not 0 <= rate <= 1:
        raise ValueError(f"dropout: rate must lie in [0, 1], got {rate}")
    rng = rng or random.default()
    if noise_shape is None:
        return Dropout.apply(x, rate=rate, seed=rng.seed, offset=rng.take(x.size))
    shape = tuple(n if m is None else m for m, n in zip(noise_shape, x.shape, strict=True))
    ones = devices.full(shape, 1, x._array)
    return x * kernels.of(ones).dropout(ones, rate, rng.seed, rng.take(ones.size))
