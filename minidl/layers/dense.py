"""Dense: a linear map of the last axis."""

from __future__ import annotations

from typing import Any

from minidl import activations, initializers, regularizers
from minidl.layers.arguments import activation_of, known_features, positive_integer, same_features, written
from minidl.layers.base import Layer, Shape, shapes_of
from minidl.ops.linalg import affine, matmul
from minidl.tensors import Tensor


class Dense(Layer):
    """y = activation(x W + b)

    x (batch, …, features), kernel W (features, units), bias b (units,) → y (batch, …, units)

    Args:
        units: the size of the output's last axis.
        activation: a name or a function; None is linear.
        use_bias: whether b is there.
        kernel_initializer, bias_initializer: see `minidl.initializers`.
        kernel_regularizer, bias_regularizer: see `minidl.regularizers`.
        input_dim: the features of the input, for a first layer; short for input_shape=(input_dim,).
        **kwargs: the arguments of every layer, see `Layer`.

    >>> import minidl as md
    >>> layer = md.layers.Dense(2, kernel_initializer="ones", input_dim=3)
    >>> layer([[1.0, 2.0, 3.0]])
    Tensor([[6., 6.]], op=affine)
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        *,
        input_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.units = positive_integer(self, "units", units)
        if input_dim is not None:
            kwargs["input_shape"] = (positive_integer(self, "input_dim", input_dim),)
        super().__init__(**kwargs)
        self.activation = activation_of(self, activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)

    def build(self, input_shape: Shape) -> None:
        self._check(input_shape)
        features = known_features(self, input_shape)
        self.kernel = self.add_weight(
            (features, self.units), self.kernel_initializer, name="kernel", regularizer=self.kernel_regularizer
        )
        self.bias: Tensor | None = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,), self.bias_initializer, name="bias", regularizer=self.bias_regularizer
            )

    def call(self, x: Any) -> Tensor:
        shape = shapes_of(x)
        self._check(shape)
        same_features(self, shape, self.kernel.shape[0])
        y = matmul(x, self.kernel) if self.bias is None else affine(x, self.kernel, self.bias)
        return self.activation(y)

    def _check(self, shape: Shape) -> None:
        if len(shape) < 2:
            raise ValueError(
                f"{self.name} expects an input of shape (batch, …, features), got 1 axis: {shape}; "
                f"a single sample is a batch of one, x[None]"
            )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": written(self.kernel_initializer),
            "bias_initializer": written(self.bias_initializer),
            "kernel_regularizer": written(self.kernel_regularizer),
            "bias_regularizer": written(self.bias_regularizer),
        }
