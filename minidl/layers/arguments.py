"""Checks that the layers share, so that one mistake has one wording, and the way their arguments are written down."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import activations, naming

if TYPE_CHECKING:
    from minidl.layers.base import Layer, Shape


def positive_integer(layer: Layer, name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise ValueError(f"{type(layer).__name__}: {name} must be a positive integer, got {value!r}")
    return number


def fraction(layer: Layer, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)) or not 0 <= value <= 1:
        raise ValueError(f"{type(layer).__name__}: {name} must be a number in [0, 1], got {value!r}")
    return float(value)


def activation_of(layer: Layer, given: Any) -> Any:
    """An activation; PyTorch's layers have their second size in its place."""
    if isinstance(given, int):
        raise TypeError(
            f"{type(layer).__name__}: activation must be a name or a function, got {given!r}; a layer is given its "
            f"units alone, and finds by itself how many features its input has"
        )
    return activations.get(given)


def known_features(layer: Layer, shape: Shape) -> int:
    """The size of the last axis, which the weights of the layer are made for."""
    features = shape[-1]
    if not features:
        raise ValueError(f"{layer.name} needs to know how many features the last axis has, got {shape}")
    return features


def same_features(layer: Layer, shape: Shape, features: int) -> None:
    if shape[-1] != features:
        raise ValueError(f"{layer.name} was built for {features} features on the last axis, got {shape[-1]}: {shape}")


def written(thing: Any) -> Any:
    """An initializer, a regularizer or a layer as `get` takes it back; None and functions of the user's as they are."""
    return naming.serialize(thing) if hasattr(thing, "get_config") else thing
