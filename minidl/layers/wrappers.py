"""Layers around a layer: in both directions of time, and at each step of it."""

from __future__ import annotations

from typing import Any, Self

from minidl.layers.arguments import written
from minidl.layers.base import NO_TIME, Layer, Shape
from minidl.layers.recurrent import LSTM
from minidl.ops.arithmetic import where
from minidl.ops.shapes import concatenate, flip
from minidl.tensors import Tensor


class _Wrapper(Layer):
    """A layer around others, which convert what they get to their own type."""

    autocast = False

    def __init__(self, inner: Any, kind: type[Layer], **kwargs: Any) -> None:
        if not isinstance(inner, kind):
            what = "a layer" if kind is Layer else "an LSTM"
            raise TypeError(f"{type(self).__name__} goes around {what}, got {inner!r}")
        if kwargs.get("dtype") not in (None, inner.dtype):
            raise ValueError(f"{type(self).__name__} computes in {inner.dtype} as the layer inside; set dtype there")
        super().__init__(**kwargs | {"dtype": inner.dtype})

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        from minidl.layers import deserialize  # imports this module

        inside: Any = {key: deserialize(config[key]) for key in ("layer", "backward_layer") if key in config}
        return cls(**config | inside)


class Bidirectional(_Wrapper):
    """One LSTM reads the sequence forwards, another backwards, and their outputs are merged.

    The outputs of the backward one are turned round, so that both say something about the
    same step. With return_sequences masked steps give 0. With return_state the result is the
    tuple (output, forward h, c, backward h, c), and `initial_state=` takes those four.

    Args:
        layer: an LSTM. A new one is made with its arguments for each direction.
        merge_mode: "concat" along the last axis, "sum", "mul", "ave", or None for the tuple of both outputs.
        backward_layer: for other arguments backwards; it must have go_backwards=True.
        **kwargs: the arguments of every layer, see `Layer`.

    >>> import minidl as md
    >>> layer = md.layers.Bidirectional(md.layers.LSTM(4))
    >>> layer(md.Tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 8)
    """

    def __init__(
        self, layer: LSTM, merge_mode: str | None = "concat", *, backward_layer: Any = None, **kwargs: Any
    ) -> None:
        if merge_mode not in ("concat", "sum", "mul", "ave", None):
            modes = "'concat', 'sum', 'mul', 'ave' or None"
            raise ValueError(f"Bidirectional: merge_mode must be {modes}, got {merge_mode!r}")
        super().__init__(layer, LSTM, **kwargs)
        self.merge_mode = merge_mode
        self.forward_layer = _copy(layer, "forward_")
        self.backward_layer = _copy(layer, "backward_", go_backwards=True) if backward_layer is None else backward_layer
        self._check_pair()
        if not self._trainable:
            self.trainable = False  # and the layers inside with it

    def _check_pair(self) -> None:
        ahead, back = self.forward_layer, self.backward_layer
        if not isinstance(back, LSTM):
            raise TypeError(f"Bidirectional: backward_layer must be an LSTM, got {back!r}")
        if ahead.go_backwards or not back.go_backwards:
            raise ValueError("Bidirectional: the layer must have go_backwards=False, backward_layer go_backwards=True")
        for name in ("return_sequences", "return_state", "stateful", "dtype"):
            if getattr(ahead, name) != getattr(back, name):
                raise ValueError(
                    f"Bidirectional: both layers must have the same {name}, got {getattr(ahead, name)} "
                    f"forward and {getattr(back, name)} backward"
                )

    def build(self, input_shape: Shape) -> None:
        self.forward_layer.build(input_shape)
        self.backward_layer.build(input_shape)

    def __call__(self, sequences: Any, initial_state: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        return super().__call__(sequences, initial_state=initial_state, **kwargs)

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        first, second = self._halves(initial_state)
        y, *states = _listed(self.forward_layer(sequences, first, mask=mask, training=training))
        y_back, *states_back = _listed(self.backward_layer(sequences, second, mask=mask, training=training))
        if self.forward_layer.return_sequences:
            y, y_back = self._in_step(y, y_back, mask)
        output = self._merge(y, y_back)
        if not self.forward_layer.return_state:
            return output
        return (*output, *states, *states_back) if self.merge_mode is None else (output, *states, *states_back)

    def _halves(self, state: Any) -> tuple[Any, Any]:
        if state is None:
            return None, None
        if not isinstance(state, (list, tuple)) or len(state) != 4:
            raise ValueError(f"{self.name}: initial_state must be [forward h, forward c, backward h, backward c]")
        return state[:2], state[2:]

    def _in_step(self, y: Tensor, y_back: Tensor, mask: Any) -> tuple[Tensor, Tensor]:
        """Both sequences in the order of time, with 0 at masked steps."""
        y_back = flip(y_back, 1)
        if mask is not None:
            y, y_back = (where(mask[..., None], s, 0) for s in (y, y_back))
            y_back._mask = mask  # type: ignore[attr-defined]  # the first output of several gets its own in any case
        return y, y_back

    def _merge(self, y: Tensor, y_back: Tensor) -> Any:
        if self.merge_mode == "concat":
            return concatenate([y, y_back], axis=-1)
        if self.merge_mode == "sum":
            return y + y_back
        if self.merge_mode == "mul":
            return y * y_back
        if self.merge_mode == "ave":
            return (y + y_back) / 2
        return y, y_back

    def reset_state(self) -> None:
        """Forget what stateful layers have kept: the next batch starts from zeros."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return mask if self.forward_layer.return_sequences else None

    def compute_output_shape(self, input_shape: Shape) -> Any:
        shapes = [layer.compute_output_shape(input_shape) for layer in (self.forward_layer, self.backward_layer)]
        (y, *states), (y_back, *states_back) = shapes if self.forward_layer.return_state else [[s] for s in shapes]
        if self.merge_mode is None:
            return (y, y_back, *states, *states_back)
        merged = (*y[:-1], y[-1] + y_back[-1]) if self.merge_mode == "concat" else y
        return (merged, *states, *states_back) if states else merged

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "merge_mode": self.merge_mode,
            "layer": written(self.forward_layer),
            "backward_layer": written(self.backward_layer),
        }


class TimeDistributed(_Wrapper):
    """The same layer at each step of time.  x (batch, time, …) → y (batch, time, …)

    A mask (batch, time) goes on with the result. One with further axes, as an Embedding makes
    it from sequences of sequences, is meant for the layer inside; when that consumes it, a
    step counts if anything inside it does. (Keras takes no notice of such a mask.)

    Args:
        layer: gets the steps of all samples as one batch, (batch · time, …).

    >>> import minidl as md
    >>> md.layers.TimeDistributed(md.layers.Dense(3))(md.Tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 2, 3)
    """

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        super().__init__(layer, Layer, **kwargs)
        self.layer = layer
        if not self._trainable:
            self.trainable = False  # and the layer inside with it

    def build(self, input_shape: Shape) -> None:
        self._check(input_shape)
        if not self.layer.built:
            self.layer.build((None, *input_shape[2:]))

    def call(self, x: Any, mask: Any = None, training: bool = False) -> Tensor:
        self._check(x.shape)
        y = self.layer(_merged(x), mask=_inner(mask), training=training)
        return y.reshape(*x.shape[:2], *y.shape[1:])

    def _check(self, shape: Shape) -> None:
        if len(shape) < 3:
            raise ValueError(
                f"{self.name} expects an input of shape (batch, time, …, features), got {len(shape)} axes: {shape}; "
                f"{NO_TIME}"
            )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        inside = self.layer.compute_mask(_merged(inputs), _inner(mask))
        if inside is not None:
            return inside.reshape(*inputs.shape[:2], *inside.shape[1:])
        return None if mask is None else mask.any(tuple(range(2, mask.ndim)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:2], *self.layer.compute_output_shape((None, *input_shape[2:]))[1:])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"layer": written(self.layer)}


def _copy(layer: LSTM, prefix: str, **changes: Any) -> LSTM:
    name = prefix + layer.name.removeprefix(prefix)
    return type(layer).from_config(layer.get_config() | {"name": name} | changes)


def _listed(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def _merged(x: Any) -> Any:
    """Batch and time in one axis."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def _inner(mask: Any) -> Any:
    """What the layer inside is to know of the mask: what it says beyond (batch, time)."""
    return None if mask is None or mask.ndim < 3 else _merged(mask)
