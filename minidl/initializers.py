"""Initializers: where the values of new weights come from.

An initializer is called with a shape and a dtype and returns an array. The random ones draw
from the streams of `minidl.random` in float64 and round once to the dtype, so one seed gives
the same weights on every kernel module, and float32 weights are the float64 ones rounded.

`seed` may be an integer: then every call gives the same values. A `random.Generator` gives
new values at each call, and so does None, the default, from the stream that
`random.set_seed` starts.

>>> import minidl as md
>>> md.initializers.Constant(3)((2,))
array([3., 3.], dtype=float32)
>>> md.initializers.get("he_normal")
HeNormal(seed=None)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from minidl import random
from minidl.naming import resolve, snake_case

Seed = int | random.Generator | None


class Initializer:
    """Base of all. Write `__call__(shape, dtype)`, and keep the arguments as attributes of their names."""

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no __call__(self, shape, dtype) that returns an array")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make it again. A generator is written as its seed."""
        return {key: value.seed if isinstance(value, random.Generator) else value for key, value in vars(self).items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.get_config().items())})"


# ---- fixed values


class Zeros(Initializer):
    """0 everywhere."""

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> Any:
        return np.zeros(shape, dtype)


class Ones(Initializer):
    """1 everywhere."""

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> Any:
        return np.ones(shape, dtype)


class Constant(Initializer):
    """The same value everywhere, or an array of the weight's shape."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> Any:
        return np.full(shape, self.value, dtype)


class Identity(Initializer):
    """`gain` times the identity matrix; for a matrix that is not square, 1 on its main diagonal."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> Any:
        rows, columns = _matrix("Identity", shape)
        return (self.gain * np.eye(rows, columns)).astype(dtype)


# ---- draws from one distribution


class RandomUniform(Initializer):
    """Uniform in [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Seed = None) -> None:
        if minval > maxval:
            raise ValueError(f"RandomUniform: minval must not exceed maxval, got {minval} and {maxval}")
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> Any:
        return random.generator(self.seed).uniform(shape, self.minval, self.maxval, dtype)


class RandomNormal(Initializer):
    """Normal with the given mean and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Seed = None) -> None:
        self.mean, self.stddev, self.seed = mean, _spread("RandomNormal", stddev), seed

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> Any:
        return random.generator(self.seed).normal(shape, self.mean, self.stddev, dtype)


class TruncatedNormal(Initializer):
    """Normal, but values more than two `stddev` from the mean are drawn again.

    What remains has a standard deviation of 0.8796 `stddev`.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Seed = None) -> None:
        self.mean, self.stddev, self.seed = mean, _spread("TruncatedNormal", stddev), seed

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> Any:
        return (self.mean + self.stddev * _truncated(random.generator(self.seed), shape)).astype(dtype)


# ---- a variance that fits the shape


class VarianceScaling(Initializer):
    """Mean 0 and variance scale / n, with n the inputs, the outputs, or the mean of both of a unit.

    For a kernel (…, inputs, outputs) each of the leading axes, as of a convolution, multiplies both.

    Args:
        scale: a positive number.
        mode: n is "fan_in", the inputs, "fan_out", the outputs, or "fan_avg", their mean.
        distribution: "uniform" in ±√(3 scale / n), "truncated_normal", or "untruncated_normal".
        seed: an integer, a `random.Generator`, or None for the default stream.
    """

    def __init__(
        self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal", seed: Seed = None
    ) -> None:
        if not scale > 0:
            raise ValueError(f"VarianceScaling: scale must be positive, got {scale}")
        self.scale = scale
        self.mode = _one_of("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        # Keras once called the truncated one "normal", and saved models still do.
        known = {"normal": "truncated_normal"}.get(distribution, distribution)
        self.distribution = _one_of("distribution", known, ("uniform", "truncated_normal", "untruncated_normal"))
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> Any:
        return _scaled(shape, dtype, self.scale, self.mode, self.distribution, self.seed)


class _Named(Initializer):
    """VarianceScaling with all but the seed fixed."""

    scale: float
    mode: str
    distribution: str

    def __init__(self, seed: Seed = None) -> None:
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> Any:
        return _scaled(shape, dtype, self.scale, self.mode, self.distribution, self.seed)


class GlorotUniform(_Named):
    """Uniform in ±√(6 / (inputs + outputs)) (Glorot and Bengio 2010)."""

    scale, mode, distribution = 1.0, "fan_avg", "uniform"


class GlorotNormal(_Named):
    """Truncated normal of variance 2 / (inputs + outputs) (Glorot and Bengio 2010)."""

    scale, mode, distribution = 1.0, "fan_avg", "truncated_normal"


class HeUniform(_Named):
    """Uniform in ±√(6 / inputs), for layers with a relu (He, Zhang, Ren and Sun 2015)."""

    scale, mode, distribution = 2.0, "fan_in", "uniform"


class HeNormal(_Named):
    """Truncated normal of variance 2 / inputs, for layers with a relu (He, Zhang, Ren and Sun 2015)."""

    scale, mode, distribution = 2.0, "fan_in", "truncated_normal"


class LecunUniform(_Named):
    """Uniform in ±√(3 / inputs) (LeCun, Bottou, Orr and Müller 1998)."""

    scale, mode, distribution = 1.0, "fan_in", "uniform"


class LecunNormal(_Named):
    """Truncated normal of variance 1 / inputs (LeCun, Bottou, Orr and Müller 1998)."""

    scale, mode, distribution = 1.0, "fan_in", "truncated_normal"


class Orthogonal(Initializer):
    """`gain` times a random matrix whose rows or columns, the fewer of them, are orthonormal (Saxe et al. 2014).

    Axes before the last count as one. Normal vectors are made orthonormal one after the other, as
    in a QR decomposition with a positive diagonal in R: that alone gives every such matrix the same
    chance (Mezzadri 2007).
    """

    def __init__(self, gain: float = 1.0, seed: Seed = None) -> None:
        self.gain, self.seed = gain, seed

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> Any:
        rows, columns = _matrix("Orthogonal", (math.prod(shape[:-1]), shape[-1]) if len(shape) > 2 else shape)
        normal = random.generator(self.seed).normal((min(rows, columns), max(rows, columns)), dtype=np.float64)
        q = _orthonormal(normal)
        return (self.gain * (q if rows < columns else q.T)).reshape(shape).astype(dtype)


def _orthonormal(vectors: Any) -> Any:
    """The rows without their parts along the rows before, at length 1 (modified Gram–Schmidt). In place.

    LAPACK would be no faster, and the last bits of its results depend on how many threads it has.
    """
    for i, vector in enumerate(vectors):
        vector /= np.sqrt((vector * vector).sum())
        later = vectors[i + 1 :]
        later -= np.einsum("ij,j->i", later, vector)[:, None] * vector
    return vectors


# ---- by name

_CLASSES = (
    Zeros, Ones, Constant, Identity, RandomUniform, RandomNormal, TruncatedNormal, VarianceScaling, GlorotUniform,
    GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal, Orthogonal,
)  # fmt: skip
_TABLE: dict[str, Any] = {cls.__name__: cls for cls in _CLASSES} | {snake_case(cls.__name__): cls for cls in _CLASSES}
_TABLE |= {"uniform": RandomUniform, "normal": RandomNormal, "zero": Zeros, "one": Ones}


def get(identifier: Any) -> Callable[..., Any]:
    """An initializer from its name, class or config, or an array; a function of (shape, dtype) will do as it is.

    >>> get("glorot_uniform"), get({"class_name": "Constant", "config": {"value": 2.0}})
    (GlorotUniform(seed=None), Constant(value=2.0))
    """
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    if isinstance(identifier, np.ndarray):
        return Constant(identifier)
    return resolve("initializer", _TABLE, identifier, Initializer)


def __getattr__(name: str) -> Any:
    """Keras also has the classes under their names in snake case: `initializers.glorot_uniform(seed=1)`."""
    if name in _TABLE:
        return _TABLE[name]
    raise AttributeError(f"module 'minidl.initializers' has no attribute {name!r}")


# ---- what several of them need


def _scaled(shape: Sequence[int], dtype: Any, scale: float, mode: str, distribution: str, seed: Seed) -> Any:
    inputs, outputs = _fans(shape)
    n = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}[mode]
    variance = scale / max(1.0, n)
    rng = random.generator(seed)
    if distribution == "uniform":
        limit = math.sqrt(3 * variance)
        return rng.uniform(shape, -limit, limit, dtype)
    if distribution == "untruncated_normal":
        return rng.normal(shape, 0.0, math.sqrt(variance), dtype)
    return (math.sqrt(variance) / _TRUNCATED_STD * _truncated(rng, shape)).astype(dtype)


def _fans(shape: Sequence[int]) -> tuple[float, float]:
    """How many inputs and outputs a unit has that a weight of this shape connects."""
    if len(shape) < 2:
        n = shape[0] if shape else 1
        return n, n
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


# The standard deviation of a standard normal cut at ±2: √(1 − 4φ(2) / (2Φ(2) − 1)).
_TRUNCATED_STD = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))


def _truncated(rng: random.Generator, shape: Sequence[int]) -> Any:
    values = rng.normal(math.prod(shape), dtype=np.float64)
    while (outside := np.flatnonzero(np.abs(values) > 2)).size:
        values[outside] = rng.normal(outside.size, dtype=np.float64)
    return values.reshape(shape)


def _matrix(name: str, shape: Sequence[int]) -> tuple[int, int]:
    if len(shape) != 2:
        raise ValueError(f"{name} makes matrices, got a weight of shape {tuple(shape)}; choose another initializer")
    return shape[0], shape[1]


def _spread(name: str, stddev: float) -> float:
    if not stddev >= 0:
        raise ValueError(f"{name}: stddev must not be negative, got {stddev}")
    return stddev


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"VarianceScaling: {name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value
