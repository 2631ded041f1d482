"""Random numbers from counter-based streams.

A word of a stream depends on the seed and on its place alone (Philox4x32-10, see
`kernels.reference.random_bits`). So one seed gives the same initial weights, dropout masks
and shuffles on every kernel module and for any number of threads, and a mask can be drawn
again in the backward pass instead of being kept. NumPy's global state is never touched.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import kernels
from minidl.kernels.validate import WORD
from minidl.naming import defined_in, missing_from

Shape = int | Sequence[int]


class Generator:
    """A stream of random numbers.

    Args:
        seed: any integer; the same seed gives the same numbers. None draws one from the system.

    >>> import minidl as md
    >>> rng = md.random.Generator(0)
    >>> rng.uniform(3).dtype, bool((rng.uniform(3) < 1).all())
    (dtype('float32'), True)
    >>> md.random.Generator(1).permutation(5).tolist() == md.random.Generator(1).permutation(5).tolist()
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise TypeError(f"seed must be an integer or None, got {seed!r}")
        self.seed = int.from_bytes(os.urandom(8), "little") if seed is None else int(seed) % WORD
        self.offset = 0

    def take(self, n: int) -> int:
        """Reserve n words of the stream; the number of their first block."""
        offset = self.offset
        self.offset = (offset + (n + 3) // 4) % WORD
        return offset

    def bits(self, n: int) -> Any:
        """n random 32-bit words."""
        return kernels.serving().random_bits(n, self.seed, self.take(n))

    def uniform(self, shape: Shape = (), low: float = 0.0, high: float = 1.0, dtype: Any = np.float32) -> Any:
        """An array of this shape, uniform in [low, high)."""
        if not low <= high:
            raise ValueError(f"uniform: high must not be below low, got [{low}, {high})")
        values = (low + (high - low) * self._unit(shape)).astype(dtype)
        below = np.nextafter(np.asarray(high, dtype), np.asarray(low, dtype))
        return np.minimum(values, below)  # rounding may have reached high

    def normal(self, shape: Shape = (), mean: float = 0.0, std: float = 1.0, dtype: Any = np.float32) -> Any:
        """An array of this shape, normal, from pairs of uniform numbers (Box and Muller 1958)."""
        if not std >= 0:
            raise ValueError(f"normal: std must not be negative, got {std}")
        n = int(np.prod(shape))
        radius = np.sqrt(-2 * np.log(1 - self._unit((n + 1) // 2)))
        angle = 2 * np.pi * self._unit((n + 1) // 2)
        pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)
        return (mean + std * pairs[:n]).reshape(shape).astype(dtype)

    def integers(self, low: int, high: int, shape: Shape = ()) -> Any:
        """Integers in [low, high), int64. At most 2⁵³ of them to choose from."""
        if not 0 < high - low <= 2**53:
            raise ValueError(f"integers: high must exceed low, by 2**53 at most, got [{low}, {high})")
        return low + np.floor(self._unit(shape) * (high - low)).astype(np.int64)  # float64 may not hold low

    def permutation(self, n: int) -> Any:
        """0 … n − 1 in a random order: the order of n random 64-bit words."""
        high, low = self.bits(2 * n).astype(np.uint64).reshape(2, n)
        return np.argsort(high << np.uint64(32) | low, kind="stable")

    def _unit(self, shape: Shape) -> Any:
        """float64 in [0, 1) with 53 random bits, so that every dtype is rounded from the same numbers."""
        n = int(np.prod(shape))
        high, low = self.bits(2 * n).astype(np.uint64).reshape(2, n)
        return ((high << np.uint64(21) | low >> np.uint64(11)) * 2.0**-53).reshape(shape)

    def __repr__(self) -> str:
        return f"Generator(seed={self.seed}, offset={self.offset})"


_default = Generator()


def default() -> Generator:
    """The stream that everything random draws from when it is given none."""
    return _default


def set_seed(seed: int) -> None:
    """Start the default stream anew from this seed."""
    global _default
    _default = Generator(seed)


def generator(source: int | Generator | None) -> Generator:
    """A seed or a generator as a generator; None is the default stream."""
    if isinstance(source, Generator):
        return source
    return default() if source is None else Generator(source)


_INSTEAD = {  # of what NumPy, PyTorch and TensorFlow have there
    "normal": "Generator(seed).normal(shape)",
    "randn": "Generator(seed).normal(shape)",
    "uniform": "Generator(seed).uniform(shape)",
    "rand": "Generator(seed).uniform(shape)",
    "random": "Generator(seed).uniform(shape)",
    "randint": "Generator(seed).integers(low, high, shape)",
    "permutation": "Generator(seed).permutation(n)",
    "seed": "set_seed",
    "manual_seed": "set_seed",
    "default_rng": "Generator(seed)",
}

if not TYPE_CHECKING:  # to which every name would be known
    __getattr__ = missing_from(__name__, defined_in(globals()), _INSTEAD)
