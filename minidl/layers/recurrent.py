"""LSTM: a layer that reads a sequence step by step and remembers."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import activations, devices, initializers, random, regularizers
from minidl.layers.arguments import activation_of, fraction, known_features, positive_integer, same_features, written
from minidl.layers.base import Layer, Shape, as_floats, check_sequences, is_trying, shapes_of
from minidl.ops.arithmetic import where
from minidl.ops.noise import dropout
from minidl.ops.recurrent import lstm, lstm_composition
from minidl.tensors import Tensor, wrap


class LSTM(Layer):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates).

        z = x_t W + h R + b                    split in four: i, f, g, o
        c ← σ(f) c + σ(i) tanh(g)
        h ← σ(o) tanh(c)

    x (batch, time, features), kernel W (features, 4 units), recurrent kernel R (units, 4 units), bias b (4 units,)
    → the last output (batch, units); with return_sequences all outputs (batch, time, units); with
    return_state the tuple (output, h, c), both states (batch, units).

    A masked step leaves the state as it was and repeats the output before it, 0 if there was
    none; its x is not looked at. Any pattern of masked steps will do. The mask goes on with
    return_sequences only.

    Call it with `initial_state=[h, c]` to start from a state other than zeros; gradients flow
    into it. `mask=` (batch, time) is taken from the input if it carries one. Given both, masked
    steps before the first valid one keep the h and c that were given, yet put out 0, not this h.

    Args:
        units: the size of the state and of the output.
        activation: for g and for c on its way out. The compiled kernels know tanh; others run in small ops.
        recurrent_activation: for the gates i, f and o. The compiled kernels know the sigmoid.
        use_bias: whether b is there.
        kernel_initializer, recurrent_initializer, bias_initializer: see `minidl.initializers`.
        unit_forget_bias: let the bias of f start at 1, so that the state is kept at first (Jozefowicz et al. 2015).
        kernel_regularizer, recurrent_regularizer, bias_regularizer: see `minidl.regularizers`.
        dropout: share of the input features to drop in training, the same ones at every step.
        recurrent_dropout: share of h to drop on its way into the gates, the same at every step. Runs in small ops.
        seed: for both dropouts; None draws from the default stream.
        return_sequences, return_state: what is returned, see above.
        go_backwards: read from the last step to the first. The outputs come in the order in which they are
            made, and the mask that goes on with them is reversed too (Keras leaves it as it was).
        stateful: start each batch from the state that the one before it left; `reset_state()` starts anew.
        unroll, use_cudnn, implementation: ways of computing the same in Keras. Accepted, so that programs
            written for it run; they change nothing.
        **kwargs: the arguments of every layer, see `Layer`.

    >>> import minidl as md
    >>> layer = md.layers.LSTM(4, return_sequences=True, return_state=True)
    >>> y, h, c = layer(md.Tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]))
    >>> y.shape, h.shape, c.shape
    ((1, 3, 4), (1, 4), (1, 4))
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        *,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | random.Generator | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        use_cudnn: bool | str = "auto",
        implementation: int = 2,
        **kwargs: Any,
    ) -> None:
        self.units = positive_integer(self, "units", units)
        self.dropout = fraction(self, "dropout", dropout)
        self.recurrent_dropout = fraction(self, "recurrent_dropout", recurrent_dropout)
        super().__init__(**kwargs)
        self.activation = activation_of(self, activation)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.use_bias, self.unit_forget_bias = use_bias, unit_forget_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful = go_backwards, stateful
        self.states: tuple[Tensor, Tensor] | None = None
        self._stream = None if seed is None else random.generator(seed)

    def build(self, input_shape: Shape) -> None:
        check_sequences(self, input_shape)
        features, units = known_features(self, input_shape), self.units
        self.kernel = self.add_weight(
            (features, 4 * units), self.kernel_initializer, name="kernel", regularizer=self.kernel_regularizer
        )
        self.recurrent_kernel = self.add_weight(
            (units, 4 * units),
            self.recurrent_initializer,
            name="recurrent_kernel",
            regularizer=self.recurrent_regularizer,
        )
        self.bias: Tensor | None = None
        if self.use_bias:
            self.bias = self.add_weight((4 * units,), self._first_bias, name="bias", regularizer=self.bias_regularizer)

    def _first_bias(self, shape: tuple[int, ...], dtype: Any) -> Any:
        values = np.array(self.bias_initializer(shape, dtype=dtype))
        if self.unit_forget_bias:
            values[self.units : 2 * self.units] = 1
        return values

    # ---- calling

    def __call__(self, sequences: Any, initial_state: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        return super().__call__(sequences, initial_state=initial_state, **kwargs)

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        x = as_floats(self, sequences)
        self._check(x, mask)
        state = self._start(x, initial_state)
        outputs, h, c = self._run(x, state, mask, training)
        if self.stateful and not is_trying():
            self.states = h.detach(), c.detach()
        output = outputs if self.return_sequences else _last_output(h, mask)
        return (output, h, c) if self.return_state else output

    def _run(self, x: Tensor, state: tuple[Tensor, Tensor], mask: Any, training: bool) -> tuple[Tensor, Tensor, Tensor]:
        if training and self.dropout:
            x = dropout(x, self.dropout, (None, 1, None), random.generator(self._stream))
        bias = wrap(devices.full((4 * self.units,), 0, x._array)) if self.bias is None else self.bias
        arguments = (x, *state, self.kernel, self.recurrent_kernel, bias, mask, self.go_backwards)
        noisy = training and self.recurrent_dropout > 0
        if not noisy and self.activation is activations.tanh and self.recurrent_activation is activations.sigmoid:
            return lstm(*arguments)
        noise: Any = 1.0
        if noisy:
            noise = wrap(np.ones_like(state[0]._array))
            noise = dropout(noise, self.recurrent_dropout, None, random.generator(self._stream))
        return lstm_composition(*arguments, noise, self.activation, self.recurrent_activation)

    def _check(self, x: Tensor, mask: Any) -> None:
        shape = shapes_of(x)
        check_sequences(self, shape)
        same_features(self, shape, self.kernel.shape[0])
        if mask is not None and mask.shape != x.shape[:2]:
            raise ValueError(f"{self.name}: mask must have shape (batch, time) = {x.shape[:2]}, got {mask.shape}")
        if x.shape[1] == 0 and not self.return_sequences:
            raise ValueError(f"{self.name} needs at least one time step to give its last output, got shape {x.shape}")

    # ---- the state

    def _start(self, x: Tensor, given: Any) -> tuple[Tensor, Tensor]:
        if given is None:
            return self._own_start(x)
        batch = len(x)
        if not isinstance(given, (list, tuple)) or len(given) != 2 or any(s is None for s in given):
            got = f"a {type(given).__name__} of {len(given)}" if hasattr(given, "__len__") else repr(given)
            raise ValueError(f"{self.name}: initial_state must be [h, c], got {got}")
        h, c = (as_floats(self, self._prepared(s)) for s in given)
        for name, s in (("h", h), ("c", c)):
            if s.shape != (batch, self.units):
                expected = f"(batch, units) = ({batch}, {self.units})"
                raise ValueError(f"{self.name}: {name} of initial_state must have shape {expected}, got {s.shape}")
        return h, c

    def _own_start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        batch = len(x)
        if self.states is None or is_trying():
            zeros = wrap(devices.full((batch, self.units), 0, x._array))
            return zeros, zeros
        kept = len(self.states[0])
        if kept != batch:
            raise ValueError(
                f"{self.name} is stateful and keeps the state of {kept} sequences, got a batch of {batch}; "
                f"let all batches have one size, or call reset_state() before"
            )
        h, c = self.states
        return h.to(x.device), c.to(x.device)

    def reset_state(self) -> None:
        """Forget what a stateful layer has kept: the next batch starts from zeros."""
        self.states = None

    reset_states = reset_state  # Keras has both names

    # ---- shapes, masks, configuration

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None or not self.return_sequences:
            return None
        return mask[:, ::-1] if self.go_backwards else mask

    def compute_output_shape(self, input_shape: Shape) -> Any:
        batch, time, _ = input_shape
        output = (batch, time, self.units) if self.return_sequences else (batch, self.units)
        return (output, (batch, self.units), (batch, self.units)) if self.return_state else output

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "use_bias": self.use_bias,
            "kernel_initializer": written(self.kernel_initializer),
            "recurrent_initializer": written(self.recurrent_initializer),
            "bias_initializer": written(self.bias_initializer),
            "unit_forget_bias": self.unit_forget_bias,
            "kernel_regularizer": written(self.kernel_regularizer),
            "recurrent_regularizer": written(self.recurrent_regularizer),
            "bias_regularizer": written(self.bias_regularizer),
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": None if self._stream is None else self._stream.seed,
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
        }


def _last_output(h: Tensor, mask: Any) -> Tensor:
    """The output at the last step: h, but 0 for a row that has no valid step, whatever state it started from.

    Taking it from h, not from the outputs, spares backward the gradient of a whole sequence.
    """
    if mask is None or (not devices.on_gpu(mask) and mask.any(1).all()):  # to look at one on the GPU is to wait for it
        return h
    return where(mask.any(1)[:, None], h, 0)
