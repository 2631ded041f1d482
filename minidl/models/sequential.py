"""Sequential: layers one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from minidl.layers import known_layers
from minidl.layers.base import Layer, Shape
from minidl.models.model import Model


class Sequential(Model):
    """Layers, each fed with the output of the one before.

    The weights are made at once if the first layer knows the shape of its input (an `Input`,
    `input_shape=`, or `input_length=` of an Embedding), else with the first data.

    Args:
        layers: a list of them.
        trainable: whether training changes the weights; False holds for the layers inside, too.
        name: as for every layer.

    >>> import minidl as md
    >>> model = md.Sequential([md.layers.Input((4,)), md.layers.Dense(3), md.layers.Dense(2)])
    >>> model.count_params()
    23
    """

    autocast = False  # each layer converts what it gets to its own type

    def __init__(self, layers: Iterable[Layer] | None = None, trainable: bool = True, name: str | None = None) -> None:
        if isinstance(layers, Layer):
            raise TypeError(f"Sequential takes its layers in one list: Sequential([{type(layers).__name__}(…), …])")
        super().__init__(trainable=trainable, name=name)
        self._layers: list[Layer] = []
        for layer in layers or ():
            self._append(layer)
        self._build_if_known()

    def add(self, layer: Layer) -> None:
        """Put a layer at the end."""
        self._append(layer)
        self.built = False
        self._build_if_known()

    def pop(self) -> Layer:
        """Take the last layer off, and return it."""
        if not self._layers:
            raise IndexError(f"{self.name} has no layer to take off")
        return self._layers.pop()

    def _append(self, layer: Any) -> None:
        if isinstance(layer, type) and issubclass(layer, Layer):
            place, name = len(self._layers), layer.__name__
            raise TypeError(f"{self.name} takes layers, got the class {name} at place {place}: write {name}(…)")
        if not isinstance(layer, Layer):
            raise TypeError(f"{self.name} takes layers, got {type(layer).__name__} at place {len(self._layers)}")
        if any(layer is other or layer.name == other.name for other in self._layers):
            raise ValueError(f"{self.name} has a layer named {layer.name!r} already; give each its own name")
        if _is_input(layer) and (self._layers or self.batch_shape is not None):
            before = f"after {self._layers[-1].name}" if self._layers else f"after one of shape {self.batch_shape}"
            raise ValueError(
                f"{self.name}: an Input says what the model gets, so it must be the first, and not at place "
                f"{len(self._layers)} {before}"
            )
        if not self._layers and layer.batch_shape is not None:
            self.batch_shape = layer.batch_shape
        if not _is_input(layer):
            self._layers.append(layer)
        if not self._trainable:
            layer.trainable = False

    def _build_if_known(self) -> None:
        if self.batch_shape is not None and self._layers:
            self.build(self.batch_shape)

    def build(self, input_shape: Shape | None = None) -> None:
        """Make the weights for inputs of this shape (None: the batch)."""
        if input_shape is None:
            raise ValueError(f"{self.name}: build() needs the input's shape, such as (None, 100)")
        for layer, shape in self._shapes_from(tuple(input_shape)):
            if not layer.built:
                layer.build(shape)
                layer.built = True
        self.batch_shape = tuple(input_shape)
        self.built = True

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        if inputs and isinstance(inputs[0], (list, tuple)) and len(inputs[0]) == 1 and hasattr(inputs[0][0], "shape"):
            inputs = (inputs[0][0], *inputs[1:])  # in a list, as if there were several
        if inputs and isinstance(inputs[0], (list, dict)) and not hasattr(self._prepared(inputs[0]), "shape"):
            raise TypeError(
                f"{self.name} takes one array, got a {type(inputs[0]).__name__} of {len(inputs[0])}; "
                f"subclass Model for several inputs; a batch of a generator is a tuple (x, y)"
            )
        return super().__call__(*inputs, **kwargs)

    def _build_for(self, inputs: tuple[Any, ...]) -> None:
        self.build((None, *inputs[0].shape[1:]))

    def _shapes_from(self, shape: Any) -> Iterable[tuple[Layer, Any]]:
        """Each layer with the shape of its input; lets the caller build it before its output's shape is asked for."""
        for layer in self._layers:
            yield layer, shape
            shape = layer.compute_output_shape(shape)

    def call(self, x: Any, mask: Any = None) -> Any:
        for layer in self._layers:
            x = layer(x, mask=mask)
            mask = None  # from here on it travels with the data
        return x

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None  # the last layer has put its mask on the output itself

    def compute_output_shape(self, input_shape: Any) -> Any:
        for layer in self._layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    @property
    def layers(self) -> list[Layer]:
        return list(self._layers)

    @property
    def input_shape(self) -> Any:
        """The shape of the input with None for the batch; None while it is unknown."""
        return self.batch_shape

    @property
    def output_shape(self) -> Any:
        """The shape of the output with None for the batch; None while it is unknown."""
        return None if self.batch_shape is None else self.compute_output_shape(self.batch_shape)

    def layers_and_shapes(self) -> list[tuple[Layer, str]]:
        if not self.built:
            return [(layer, "?") for layer in self._layers]
        shapes = self._shapes_from(self.batch_shape)
        return [(layer, str(layer.compute_output_shape(shape))) for layer, shape in shapes]

    def get_config(self) -> dict[str, Any]:
        from minidl import layers as known

        return {
            "name": self.name,
            "layers": [known.serialize(layer) for layer in self._layers],
            "build_input_shape": self.batch_shape,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        from minidl import layers as known

        model = cls([known.deserialize(entry) for entry in config["layers"]], name=config.get("name"))
        if config.get("build_input_shape") and not model.built:
            model.build(tuple(config["build_input_shape"]))
        return model


def _is_input(layer: Layer) -> bool:
    from minidl.layers.input import InputLayer

    return isinstance(layer, InputLayer)


known_layers["Sequential"] = Sequential  # a layer may hold a model, but `layers` does not import `models`
