"""Layer: weights, and a function of them."""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Self

import numpy as np

from minidl import devices, initializers, regularizers
from minidl.autograd.modes import no_grad
from minidl.hyperparameters import float_type, weight_shape
from minidl.naming import offer_instead, snake_case, unexpected
from minidl.ops.coercion import constant
from minidl.tensors import Tensor, as_tensor, check_one_device, replacement

Shape = tuple[int | None, ...]

NO_FUNCTIONAL_API = (
    "minidl has no functional models; put the layers in a Sequential, or subclass Model and write call(self, x)"
)

NO_TIME = (
    "set return_sequences=True on a recurrent layer before it; put an Embedding before it if these are ids; "
    "reshape other data; a single sample is a batch of one, x[None]"
)

# Whether the call that surrounds this one trains: layers inside a layer need not be told.
_training: ContextVar[bool] = ContextVar("training", default=False)
# Whether zeros are sent through to make weights, or to see shapes: a stateful layer must not remember them.
_trying: ContextVar[bool] = ContextVar("trying", default=False)
_names_given: dict[str, int] = {}
_changes = [0]


def changes() -> int:
    """How often an attribute of a layer was set so far: while it stays, what the layers compute is the same."""
    return _changes[0]


class Layer:
    """A function with weights. Subclass it for your own.

    Write `build` to make the weights once the shape of the input is known, and `call` to compute
    the output from Tensors. Layers kept as attributes, or in lists and dicts that are attributes,
    are found by themselves: their weights belong to the layer. So does a Tensor made with
    `requires_grad=True` that `__init__` or `build` keeps as an attribute, not in a list; set anew,
    the attribute has the new one in its place. `add_weight` is the longer way, with an initializer.

    A layer whose `__init__` takes arguments of its own says in `get_config` what they are, so that a
    saved model can be loaded.

    Args:
        name: the layer's name in summaries and errors; made from the class if left out (`lstm`, `lstm_1`).
        dtype: of the weights and of the computation, "float32" (the default) or "float64".
        trainable: whether training changes the weights.
        input_shape: the shape of one sample, for a first layer: the model is then built at once.

    >>> import minidl as md
    >>> class Scale(md.layers.Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight((input_shape[-1],), initializer="ones", name="factor")
    ...     def call(self, x):
    ...         return x * self.factor
    >>> layer = Scale()
    >>> layer([[1.0, 2.0]])
    Tensor([[1., 2.]], op=multiply)
    >>> layer.count_params()
    2
    >>> class Shift(md.layers.Layer):
    ...     def __init__(self, by, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.by = by
    ...         self.factor = md.Tensor([1.0], requires_grad=True)
    ...     def call(self, x):
    ...         return x * self.factor + self.by
    ...     def get_config(self):
    ...         return super().get_config() | {"by": self.by}
    >>> Shift.from_config(Shift(2.0).get_config()).weights
    [Tensor([1.], requires_grad=True)]
    """

    supports_masking = False  # whether a mask that comes in goes on unchanged
    autocast = True  # whether floats that come in are converted to the layer's own type

    _own: frozenset[str] = frozenset(
        {"_parameters", "_buffers", "_penalties", "_kept_as", "batch_shape"}
    )  # never hold layers, nor decide on a call
    _holders: dict[str, None]
    _kept_as: dict[str, Tensor] = {}  # the weights that are attributes without add_weight
    _accepted: Sequence[str] = ()  # the names of call's parameters

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = _once(cls.build)  # type: ignore[assignment]
        if "call" in cls.__dict__:
            cls._accepted = tuple(inspect.signature(cls.call).parameters)

    def __init__(
        self,
        *,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        input_shape: Sequence[int | None] | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise unexpected(type(self), unknown)
        self.name = name or _unique_name(type(self))
        self.dtype = float_type(self.name, dtype)
        self.device = devices.current()
        if trainable not in (True, False):
            raise ValueError(f"{self.name}: trainable must be True or False, got {trainable!r}; give a name by name=")
        if not (input_shape is None or isinstance(input_shape, (tuple, list))):
            raise ValueError(f"{self.name}: input_shape must be a tuple such as ({input_shape},), got {input_shape!r}")
        self.built = False
        self.batch_shape: Shape | None = None if input_shape is None else (None, *input_shape)
        self._trainable = trainable
        self._parameters: list[Tensor] = []
        self._buffers: list[Tensor] = []
        self._penalties: list[tuple[Callable[[Tensor], Tensor], Tensor]] = []
        self._kept_as = {}

    @property
    def compute_dtype(self) -> np.dtype[Any]:
        """The type of the computation, which is that of the weights."""
        return self.dtype

    variable_dtype = compute_dtype  # Keras has both names, for it computes in other types too

    # ---- to be written by a subclass

    def build(self, input_shape: Any) -> None:
        """Make the weights. `input_shape` has None for the batch; several inputs give a list of shapes."""

    def call(self, *inputs: Any, **kwargs: Any) -> Any:
        """The output. May take `training` and `mask`, and gets them if it does."""
        raise NotImplementedError(f"{type(self).__name__} has no call(self, x): write one that returns the output")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The output's shape for an input's; found by calling the layer on zeros unless it is written."""
        small, large = (self._output_shape_of_zeros(input_shape, unknown) for unknown in (2, 3))
        return tuple(a if a == b else None for a, b in zip(small, large, strict=True))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask that goes on with the output: booleans, True for what counts."""
        return mask if self.supports_masking else None

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again: from_config(layer.get_config())."""
        config = {"name": self.name, "trainable": self._trainable, "dtype": self.dtype.name}
        return config if self.batch_shape is None else config | {"input_shape": self.batch_shape[1:]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)

    # ---- calling

    def __call__(self, *inputs: Any, training: bool | None = None, mask: Any = None, **kwargs: Any) -> Any:
        accepted = self._accepted
        if not inputs and accepted[1:2] and accepted[1] in kwargs:  # the input given by its name
            inputs = (kwargs.pop(accepted[1]),)
        if inputs and inputs[0] is None:
            raise TypeError(f"{self.name} got None for its input; perhaps the call before it returns nothing")
        if len(inputs) > 1:
            _check_positions(self, inputs)
        inputs = tuple([self._prepared(x) for x in inputs])
        if mask is not None:
            mask = _as_mask(self, mask).copy()
        elif inputs:
            mask = _mask_of(inputs[0])
        if not self.built:
            self._build_for(inputs)
        training = _training.get() if training is None else bool(training)
        if "training" in accepted:
            kwargs["training"] = training
        if "mask" in accepted:
            kwargs["mask"] = mask
        token = _training.set(training)
        try:
            outputs = self.call(*inputs, **kwargs)
        finally:
            _training.reset(token)
        return _with_mask(outputs, _as_mask(self, self.compute_mask(inputs[0] if inputs else None, mask)), inputs)

    def _prepared(self, x: Any) -> Any:
        """Data as tensors; floats in the layer's own type, integers as they are."""
        if isinstance(x, Tensor):
            if not self.autocast or x._array.dtype is self.dtype or x._array.dtype.kind != "f":
                return x
            return _with_mask(x.astype(self.dtype), _mask_of(x))
        if x is None:
            return None
        if isinstance(x, Layer):
            raise TypeError(f"{self.name} was called with {x!r}: {NO_FUNCTIONAL_API}")
        if isinstance(x, (list, tuple)) and any(isinstance(e, Tensor) or devices.is_array(e) for e in x):
            return [self._prepared(e) for e in x]
        if isinstance(x, dict):
            return {key: self._prepared(value) for key, value in x.items()}
        given = x if hasattr(x, "dtype") else np.asarray(x)  # Python's floats are float64: not by way of float32
        floats = self.autocast and given.dtype.kind == "f"
        return as_tensor(given, self.dtype if floats else None, self.device)

    def _build_for(self, inputs: tuple[Any, ...]) -> None:
        shapes = [shapes_of(x) for x in inputs if x is not None]
        self.build(shapes[0] if len(shapes) == 1 else shapes)
        self.built = True

    def _output_shape_of_zeros(self, input_shape: Shape, unknown: int) -> tuple[int, ...]:
        with no_grad(), trying():
            return self(zeros_of(self, input_shape, unknown)).shape

    # ---- weights

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = None,
        dtype: Any = None,
        *,
        trainable: bool = True,
        regularizer: Any = None,
        name: str | None = None,
    ) -> Tensor:
        """A new weight of this layer, of its type unless `dtype` is given. Keep it as an attribute.

        `initializer` and `regularizer` are names or functions, see `minidl.initializers` and
        `minidl.regularizers`; by default floats are drawn by "glorot_uniform", and others are zeros.
        Training updates the weight if `trainable`.
        """
        shape, dtype = weight_shape(self.name, shape), np.dtype(dtype or self.dtype)
        if initializer is None:
            initializer = "glorot_uniform" if dtype.kind == "f" else "zeros"
        values = devices.as_array(initializers.get(initializer)(shape, dtype=dtype))
        if values.shape != shape:
            what = name or "a weight"
            raise ValueError(f"{self.name}: the initializer of {what} gave shape {values.shape} for {shape}")
        weight = Tensor(values, trainable and self._trainable, dtype, name, self.device)
        (self._parameters if trainable else self._buffers).append(weight)
        penalty = regularizers.get(regularizer)
        if penalty is not None:
            self._penalties.append((penalty, weight))
        return weight

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; set it to False to freeze the layer and all inside it."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self._descendants():
            layer._trainable = bool(value)
            for weight in layer._parameters:
                weight.requires_grad = bool(value)

    @property
    def weights(self) -> list[Tensor]:
        """All weights: the layer's own, then those of the layers inside it, in the order they were set."""
        return _unique([w for layer in self._descendants() for w in layer._parameters + layer._buffers])

    @property
    def trainable_weights(self) -> list[Tensor]:
        return [w for w in self.weights if w._needs]

    @property
    def non_trainable_weights(self) -> list[Tensor]:
        return [w for w in self.weights if not w._needs]

    def to(self, device: str) -> Self:
        """Move the weights to the "cpu" or to "cuda", the GPU, in place; later ones are made there. Returns the layer.

        Data of NumPy's then goes there by itself. A layer begins where `use` sends new tensors.
        """
        device = devices.checked(device)
        arrays = [devices.place(w._array, device) for w in self.weights]  # all of them first, or there is no room
        for layer in self._descendants():
            layer.device = device
        for weight, array in zip(self.weights, arrays, strict=True):
            weight._move(array)
        return self

    # Keras has both names for each.
    variables, trainable_variables, non_trainable_variables = weights, trainable_weights, non_trainable_weights

    @property
    def losses(self) -> list[Tensor]:
        """The penalties of the regularizers on what is trained, to be added to the loss."""
        return [penalty(w) for layer in self._descendants() for penalty, w in layer._penalties if w.requires_grad]

    def count_params(self) -> int:
        """How many numbers the weights hold."""
        if not self.built and not self.weights:
            raise ValueError(f"{self.name} has no weights yet: its first input makes them, or build(shape)")
        return sum(w.size for w in self.weights)

    def get_weights(self) -> list[Any]:
        """Copies of all weights, as arrays."""
        return [devices.to_host(w._array.copy()) for w in self.weights]

    def set_weights(self, values: Sequence[Any]) -> None:
        """Replace all weights; nothing is changed if any of the values does not fit."""
        weights, values = self.weights, list(values)
        if len(values) != len(weights):
            raise ValueError(f"{self.name} has {len(weights)} weights and got {len(values)} arrays")
        arrays = []
        for i, (weight, value) in enumerate(zip(weights, values, strict=True)):
            check_one_device(f"{self.name}: the new value of weight {i}, {weight.name},", weight, value)
            arrays.append(replacement(f"{self.name}: weight {i} ({weight.name})", value, weight._array))
        for weight, array in zip(weights, arrays, strict=True):
            weight.data = array

    # ---- the layers inside

    def __setattr__(self, name: str, value: Any) -> None:
        """Remember which attributes may hold layers, which alone are looked through at every step, or are weights."""
        if name in self._kept_as or (isinstance(value, Tensor) and value._needs and value._op is None):
            self._keep(name, value)
        object.__setattr__(self, name, value)
        holders = self.__dict__.setdefault("_holders", {})
        if name in self._own:
            return
        _changes[0] += 1
        if isinstance(value, (Layer, list, tuple, dict)):
            holders[name] = None
        else:
            holders.pop(name, None)

    def _keep(self, name: str, value: Any) -> None:
        """Take a tensor that is to be trained for a weight, in the place of the one that the attribute was before."""
        old, weights = self._kept_as.get(name), self._parameters
        if value is old or (old is None and any(value is weight for weight in weights)):
            return
        if old is None and self.built:
            warnings.warn(_TOO_LATE.format(layer=self.name, name=name), stacklevel=3)
            return
        trained = isinstance(value, Tensor)
        if trained and not (value._needs and value._op is None):
            raise ValueError(_NO_WEIGHT.format(layer=self.name, name=name, value=value))
        place = len(weights) if old is None else next(i for i, weight in enumerate(weights) if weight is old)
        weights[place : place + 1] = [value] if trained else []
        self._kept_as.pop(name, None)
        if trained:
            self._kept_as[name] = value
            value.requires_grad, value.name = self._trainable, value.name or name

    def _children(self) -> list[Layer]:
        return _layers_in([self.__dict__.get(name) for name in self._holders])

    def _descendants(self) -> list[Layer]:
        """This layer and all inside it, each once, parents first."""
        found = {id(self): self}
        _visit_inside(self, found)
        return list(found.values())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{'' if self.built else ', not built'}>"


_TOO_LATE = (
    "{layer}.{name} requires a gradient, but is set after the weights of {layer} were made, and is none of them: "
    "training and saving pass it by; keep it as an attribute in __init__, or make it by add_weight in build"
)
_NO_WEIGHT = (
    "{layer}.{name} is a weight, and {value!r}, which is no leaf that requires a gradient, cannot take its place; "
    "change its values by {name}.assign(…)"
)


class SetByInit:
    """What only Layer.__init__ sets: to read it before is to have forgotten that."""

    def __get__(self, layer: Layer | None, kind: type) -> Any:
        if layer is None:
            return self
        raise RuntimeError(f"{kind.__name__}.__init__ must call super().__init__() before anything else")


offer_instead(
    Layer,
    {  # of PyTorch's names
        "parameters": "it is trainable_weights, or weights with those that are not trained",
        "train": "to train is said at the call, layer(x, training=True); fit does it by itself",
        "eval": "a call does not train unless told to, as in layer(x, training=True)",
        "zero_grad": "gradients(loss, weights) gives new ones each time; after backward() each weight has zero_grad()",
        "state_dict": "it is get_weights(); a model writes a file by save_weights(path)",
        "load_state_dict": "it is set_weights(arrays); a model reads a file by load_weights(path)",
        "forward": "a layer is called itself, layer(x); what it computes is written in call(self, x)",
        "cpu": 'it is to("cpu")',
        "cuda": 'it is to("cuda")',
    },
)

for _attribute in ("name", "dtype", "device", "built", "_trainable", "_parameters", "_holders"):
    setattr(Layer, _attribute, SetByInit())


def _check_positions(layer: Layer, inputs: tuple[Any, ...]) -> None:
    """Refuse what is given by its place and is no input: whether to train, or a mask."""
    for name, value in zip(layer._accepted[1:], inputs, strict=False):
        if name in ("training", "mask"):
            raise TypeError(f"{layer.name} takes inputs alone by their places, got {value!r}; name training= and mask=")


def _once(build: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """A `build` that marks the layer as built, and never adds the weights a second time."""

    @functools.wraps(build)
    def wrapped(self: Layer, input_shape: Any = None) -> None:
        if self.built and (self._parameters or self._buffers):
            raise ValueError(f"{self.name} has its weights already; make a new layer for inputs of shape {input_shape}")
        build(self, input_shape)
        self.built = True

    return wrapped


@contextlib.contextmanager
def trying() -> Iterator[None]:
    """Whoever sends zeros through a layer does it in here."""
    token = _trying.set(True)
    try:
        yield
    finally:
        _trying.reset(token)


def is_trying() -> bool:
    return _trying.get()


def zeros_of(layer: Layer, shape: Shape, unknown: int = 2) -> Tensor:
    """Zeros to try a layer on, in its type and on its device; so many where a size is not known."""
    return Tensor(np.zeros([unknown if n is None else n for n in shape], layer.dtype), device=layer.device)


def as_floats(layer: Layer, x: Tensor) -> Tensor:
    """An input in the layer's type. Floats come in it already, see `autocast`; integers are converted here."""
    return x if x.dtype == layer.dtype else x.astype(layer.dtype)


def check_sequences(layer: Layer, shape: Shape) -> None:
    """Refuse an input that is not (batch, time, features), and say what to do about too few axes."""
    if len(shape) != 3:
        given = f"{len(shape)} axes: {shape}" if len(shape) != 1 else f"1 axis: {shape}"
        advice = f"; {NO_TIME}" if len(shape) < 3 else ""
        raise ValueError(f"{layer.name} expects an input of shape (batch, time, features), got {given}{advice}")


def reset_names() -> None:
    """Start numbering layers anew, as in a new process."""
    _names_given.clear()


def _unique_name(cls: type) -> str:
    base = snake_case(cls.__name__)
    n = _names_given.get(base, 0)
    _names_given[base] = n + 1
    return f"{base}_{n}" if n else base


def _visit_inside(layer: Layer, found: dict[int, Layer]) -> None:
    for child in layer._children():
        if id(child) not in found:
            found[id(child)] = child
            if child._holders:
                _visit_inside(child, found)


def _layers_in(values: Iterable[Any]) -> list[Layer]:
    """The layers among the values, and within the lists, tuples and dicts among them."""
    found: list[Layer] = []
    for value in values:
        if isinstance(value, Layer):
            found.append(value)
        elif isinstance(value, (list, tuple, dict)) and value:
            found += _layers_in(value.values() if isinstance(value, dict) else value)
    return found


def _unique(items: Iterable[Any]) -> list[Any]:
    return list({id(item): item for item in items}.values())


def shapes_of(x: Any) -> Any:
    if isinstance(x, list):
        return [shapes_of(e) for e in x]
    if isinstance(x, dict):
        return {key: shapes_of(value) for key, value in x.items()}
    return (None, *x.shape[1:])


def _mask_of(x: Any) -> Any:
    return getattr(x, "_mask", None)


def _as_mask(layer: Layer, mask: Any) -> Any:
    """A mask as an array of booleans; 0 and 1 will do."""
    if mask is None:
        return None
    array = constant(mask)
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf" or not ((array == 0) | (array == 1)).all():
        raise ValueError(f"{layer.name}: a mask holds booleans, True for what counts, got {array.dtype}: {array}")
    return array.astype(np.bool_)


def _with_mask(outputs: Any, mask: Any, inputs: Sequence[Any] = ()) -> Any:
    """Attach a mask to the output, or to the first of several. An input that comes out again keeps its own."""
    several = isinstance(outputs, (list, tuple))
    first = outputs[0] if several and outputs else outputs
    for x in inputs:
        if first is x and _mask_of(x) is not mask:
            first = first.alias()
            outputs = type(outputs)((first, *outputs[1:])) if several else first
    if mask is not None:
        first._mask = mask
    return outputs
