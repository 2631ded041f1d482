"""Optimizers: how a gradient changes a weight.

A step clips the gradients, then decays the weights, then updates them, in this order, as Keras 3
does. Every gradient is checked before the first weight is touched. Each update is one kernel,
which writes to the weight and to its moments in place.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import devices, kernels, schedules
from minidl.hyperparameters import integer, number, optional
from minidl.kernels.axes import sum_of
from minidl.naming import defined_in, missing_from, offer_instead, resolve, serialize, snake_case, unexpected
from minidl.ops.coercion import constant_beside
from minidl.tensors import Tensor, replacement
from minidl.transforms import gradients

Array = Any


class Optimizer:
    """Keeps the step count, the learning rate and the moments of each weight. Subclass it and write `update`.

    Args:
        learning_rate: a number, or a function of the step such as a schedule.
        weight_decay: w ← w − w · weight_decay · learning rate before each update (Loshchilov and Hutter 2019).
        clipnorm: each gradient is scaled down to this norm.
        clipvalue: each element of a gradient is held in [−clipvalue, clipvalue].
        global_clipnorm: all gradients are scaled down together so that the norm of them all is this.
        name: by default the name of the class in snake case.

    >>> import minidl as md
    >>> class SignDescent(Optimizer):
    ...     def update(self, w, g, lr):
    ...         w -= lr * np.sign(g)
    >>> w = md.Tensor([1.0, 2.0])
    >>> SignDescent(learning_rate=0.5).apply_gradients([([3.0, -4.0], w)])
    >>> w
    Tensor([0.5, 2.5])
    """

    slots: tuple[str, ...] = ()  # the names of the arrays kept for each weight, handed to update in this order
    slot_value = 0.0  # what these arrays hold at first

    def __init__(
        self,
        learning_rate: float | Callable[[int], float] = 0.001,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        *,  # Keras has averages of the weights here
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise unexpected(type(self), unknown)
        self.learning_rate = learning_rate
        self.weight_decay = optional("weight_decay", weight_decay)
        self.clipnorm = optional("clipnorm", clipnorm, "(0, inf)")
        self.clipvalue = optional("clipvalue", clipvalue, "(0, inf)")
        self.global_clipnorm = optional("global_clipnorm", global_clipnorm, "(0, inf)")
        if sum(c is not None for c in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError("only one of clipnorm, clipvalue and global_clipnorm can be set")
        self.name = name or snake_case(type(self).__name__)
        self.iterations = 0
        self._kept: dict[Tensor, tuple[Array, ...]] = {}

    @property
    def learning_rate(self) -> float:
        """The rate of the next step. May be set to a number, or to a function of the step."""
        rate = self._rate
        return number("the learning rate of a schedule", rate(self.iterations)) if callable(rate) else rate

    @learning_rate.setter
    def learning_rate(self, value: float | Callable[[int], float]) -> None:
        if isinstance(value, dict):
            value = schedules.get(value)
        self._rate = value if callable(value) else number("learning_rate", value)

    # ---- steps

    def update(self, w: Array, g: Array, *args: Any, **kwargs: Any) -> None:
        """Change w in place by its gradient g, arrays of one shape and type: update(w, g, *slots, learning_rate)."""
        raise NotImplementedError(f"{type(self).__name__} has no update(w, g, *slots, learning_rate)")

    def apply_gradients(self, grads_and_weights: Iterable[tuple[Any, Tensor]]) -> None:
        """One step, from pairs of a gradient and its weight.

        A gradient is a Tensor or an array in the shape of its weight. Where it is None, the weight
        stays as it is, with a warning; if all of them are, that is an error.

        >>> import minidl as md
        >>> model, optimizer = md.Sequential([md.layers.Dense(1, "tanh"), md.layers.Dense(1)]), SGD(0.1)
        >>> for step in range(100):
        ...     loss = md.losses.mean_squared_error([[3.0], [-3.0]], model([[1.0], [-1.0]], training=True)).mean()
        ...     gradients = md.gradients(loss, model.trainable_weights)
        ...     optimizer.apply_gradients(zip(gradients, model.trainable_weights))
        >>> round(model([[1.0]]).item(), 3)
        3.0
        """
        pairs = list(grads_and_weights)
        weights, grads = _checked(pairs)
        self.build([w for _, w in pairs])
        rate = self.learning_rate
        for w, g in zip(weights, self._clipped(grads), strict=True):
            self._change(w, g, rate)
            w._changed()
        self.iterations += 1

    def _change(self, w: Tensor, g: Array, rate: float) -> None:
        array = w._array
        if self.weight_decay:
            array -= array * (self.weight_decay * rate)
        self.update(array, g, *self._kept[w], rate)

    def step_size(self) -> float:
        """The one number of the next step that was another one in the step before."""
        return self.learning_rate

    def apply(self, grads: Iterable[Any], weights: Iterable[Tensor]) -> None:
        """One step, from gradients and weights in the same order: `apply_gradients` of their pairs."""
        if isinstance(grads, Tensor) or isinstance(weights, Tensor):
            raise TypeError("apply takes a list of gradients and one of weights, got a tensor; write apply([g], [w])")
        grads, weights = list(grads), list(weights)
        if len(grads) != len(weights):
            raise ValueError(f"apply: {len(grads)} gradients for {len(weights)} weights; there must be one for each")
        self.apply_gradients(zip(grads, weights, strict=True))

    def minimize(self, loss: Tensor | Callable[[], Tensor], weights: Sequence[Tensor]) -> Tensor:
        """One step that makes a loss smaller, or a function's result; returns the loss from before the step.

        >>> import minidl as md
        >>> w = md.Tensor([3.0], requires_grad=True)
        >>> SGD(0.1).minimize(lambda: (w * w).sum(), [w]), w
        (Tensor(9.), Tensor([2.4], requires_grad=True))
        """
        weights = list(weights)
        value = loss if isinstance(loss, Tensor) else loss()
        if not isinstance(value, Tensor):
            raise TypeError(
                f"minimize: the loss must be a Tensor, or a function that returns one, got {type(value).__name__}"
            )
        self.apply_gradients(zip(gradients(value, weights), weights, strict=True))
        return value.detach()

    def _clipped(self, grads: list[Array]) -> list[Array]:
        if self.clipvalue is not None:
            return [np.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        if self.clipnorm is not None:
            return [_scaled(g, self.clipnorm, _norm(g)) for g in grads]
        if self.global_clipnorm is not None:
            norm = _norm_of_all([_norm(g) for g in grads])
            return [_scaled(g, self.global_clipnorm, norm) for g in grads]
        return grads

    # ---- state

    def build(self, weights: Iterable[Tensor]) -> None:
        """Make the moments of these weights, where there are none yet. The first step does it by itself."""
        for w in weights:
            kept = self._kept.get(w)
            if kept is None:
                self._kept[w] = tuple([devices.full(w.shape, self.slot_value, w._array) for _ in self.slots])
            elif kept and type(kept[0]) is not type(w._array):  # the weight has moved
                self._kept[w] = tuple([devices.place(array, w.device) for array in kept])

    def get_state(self) -> dict[str, Array]:
        """Copies of all that a step depends on: iterations, the learning rate unless it is a schedule, and moments.

        The moments of the i-th weight that the optimizer has seen are named "i/momentum" and the like.
        """
        state = {"iterations": np.array(self.iterations, np.int64)}
        if not callable(self._rate):
            state["learning_rate"] = np.array(self._rate, np.float64)
        return state | {name: devices.to_host(array.copy()) for name, array in self._named_slots()}

    def set_state(self, state: dict[str, Array]) -> None:
        """Continue from what `get_state` returned. Call `build(weights)` first, with the weights in the same order."""
        slots = dict(self._named_slots())
        expected = {"iterations", *slots} | (set() if callable(self._rate) else {"learning_rate"})
        if state.keys() != expected:
            raise ValueError(
                f"{self.name}: the state does not fit this optimizer: "
                f"missing {sorted(expected - state.keys())}, unexpected {sorted(state.keys() - expected)}; "
                f"call build(weights) first, with the weights that were trained"
            )
        for name, array in slots.items():
            if devices.on_gpu(state[name]) and not devices.on_gpu(array):
                raise TypeError(f"{self.name}: {name} is on cuda and its weight on cpu; pass state[{name!r}].get()")
        new = [replacement(f"{self.name}: {name}", state[name], array) for name, array in slots.items()]
        iterations = integer("iterations", state["iterations"], 0)
        if "learning_rate" in state:
            self.learning_rate = state["learning_rate"]
        self.iterations = iterations
        for array, values in zip(slots.values(), new, strict=True):
            array[...] = values

    def _named_slots(self) -> Iterable[tuple[str, Array]]:
        for i, arrays in enumerate(self._kept.values()):
            yield from ((f"{i}/{slot}", array) for slot, array in zip(self.slots, arrays, strict=True))

    def get_config(self) -> dict[str, Any]:
        rate = self._rate
        if callable(rate) and not isinstance(rate, schedules.LearningRateSchedule):
            raise TypeError(
                f"{self.name}: no configuration can hold a Python function; make the rate a LearningRateSchedule"
            )
        return {
            "learning_rate": serialize(rate) if callable(rate) else rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "clipvalue": self.clipvalue,
            "global_clipnorm": self.global_clipnorm,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Optimizer:
        return cls(**config)


offer_instead(
    Optimizer,
    {  # of PyTorch's names
        "step": "it is apply_gradients(zip(gradients, weights)), or minimize(loss, weights)",
        "zero_grad": "gradients(loss, weights) gives new ones each time; after backward() each weight has zero_grad()",
        "lr": "it is learning_rate",
        "param_groups": "all its weights have one learning_rate; give those of another an optimizer of their own",
        "state_dict": "it is get_state()",
        "load_state_dict": "it is set_state(state)",
    },
)


class SGD(Optimizer):
    """w ← w − lr g. With momentum μ: v ← μ v − lr g, then w ← w + v, or with `nesterov` w ← w + μ v − lr g.

    >>> import minidl as md
    >>> w = md.Tensor([1.0])
    >>> SGD(0.1).apply_gradients([([0.5], w)])
    >>> w
    Tensor([0.95])
    """

    def __init__(
        self,
        learning_rate: float | Callable[[int], float] = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.momentum = number("momentum", momentum, "[0, 1]")
        self.nesterov = nesterov
        self.slots = ("momentum",) if self.momentum else ()

    def update(self, w: Array, g: Array, *args: Any) -> None:
        if self.momentum:
            v, lr = args
            kernels.of(w).momentum_step(w, g, v, lr, self.momentum, self.nesterov)
        else:
            (lr,) = args
            kernels.of(w).sgd_step(w, g, lr)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}


class Adam(Optimizer):
    """Adaptive moments (Kingma and Ba 2015), t counting the steps from 1:

        m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²
        w ← w − lr √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)

    >>> import minidl as md
    >>> w = md.Tensor([1.0], dtype="float64")
    >>> Adam(0.5).apply_gradients([([100.0], w)])  # the first step is as long as the learning rate
    >>> round(w.item(), 6)
    0.5
    """

    slots = ("momentum", "velocity")

    def __init__(
        self,
        learning_rate: float | Callable[[int], float] = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = number("beta_1", beta_1, "[0, 1)")
        self.beta_2 = number("beta_2", beta_2, "[0, 1)")
        self.epsilon = number("epsilon", epsilon)

    def update(self, w: Array, g: Array, m: Array, v: Array, lr: float) -> None:
        kernels.of(w).adam_step(w, g, m, v, self._corrected(lr), self.beta_1, self.beta_2, self.epsilon)

    def _corrected(self, lr: float) -> float:
        """lr √(1 − β₂ᵗ) / (1 − β₁ᵗ): the moments start at 0, which is too small."""
        t = self.iterations + 1
        return lr * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)

    def step_size(self) -> float:
        return self._corrected(self.learning_rate)

    def get_config(self) -> dict[str, Any]:
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


class AdamW(Adam):
    """Adam, with weights that decay by default (Loshchilov and Hutter 2019): w ← w − w · weight_decay · lr first."""

    def __init__(
        self,
        learning_rate: float | Callable[[int], float] = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay=weight_decay, **options)


class RMSprop(Optimizer):
    """v ← ρ v + (1 − ρ) g²;  w ← w − lr g / √(v + ε)  (Tieleman and Hinton 2012)

    >>> import minidl as md
    >>> w = md.Tensor([1.0], dtype="float64")
    >>> RMSprop(0.5, rho=0.75).apply_gradients([([100.0], w)])  # √v = 50
    >>> round(w.item(), 6)
    0.0
    """

    slots = ("velocity",)

    def __init__(
        self,
        learning_rate: float | Callable[[int], float] = 0.001,
        rho: float = 0.9,
        *,  # Keras has a momentum here
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = number("rho", rho, "[0, 1)")
        self.epsilon = number("epsilon", epsilon)

    def update(self, w: Array, g: Array, v: Array, lr: float) -> None:
        kernels.of(w).rmsprop_step(w, g, v, lr, self.rho, self.epsilon)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}


class Adagrad(Optimizer):
    """a ← a + g²;  w ← w − lr g / √(a + ε), where a starts at `initial_accumulator_value`  (Duchi et al. 2011)

    >>> import minidl as md
    >>> w = md.Tensor([1.0], dtype="float64")
    >>> Adagrad(0.5, initial_accumulator_value=7.0).apply_gradients([([3.0], w)])  # √a = 4
    >>> round(w.item(), 6)
    0.625
    """

    slots = ("accumulator",)

    def __init__(
        self,
        learning_rate: float | Callable[[int], float] = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value = self.slot_value = number(
            "initial_accumulator_value", initial_accumulator_value
        )
        self.epsilon = number("epsilon", epsilon)

    def update(self, w: Array, g: Array, a: Array, lr: float) -> None:
        kernels.of(w).adagrad_step(w, g, a, lr, self.epsilon)

    def get_config(self) -> dict[str, Any]:
        own = {"initial_accumulator_value": self.initial_accumulator_value, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


NAMES: dict[str, type[Optimizer]] = {
    name: cls for cls in (SGD, Adam, AdamW, RMSprop, Adagrad) for name in (cls.__name__.lower(), cls.__name__)
}


def get(identifier: Any) -> Optimizer:
    """The optimizer meant by a name, a class, a saved configuration or an optimizer.

    >>> get("adam").learning_rate
    0.001
    """
    return resolve("optimizer", NAMES, identifier, Optimizer)


# ---- gradients --------------------------------------------------------------------------


def _checked(pairs: list[tuple[Any, Tensor]]) -> tuple[list[Tensor], list[Array]]:
    """The weights that have a gradient, and the gradients as arrays in their types."""
    if not pairs:
        raise ValueError(_NO_PAIRS)
    weights, grads, without, seen = [], [], [], set()
    for i, pair in enumerate(pairs):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"pair {i} must be (gradient, weight), as from zip(gradients, weights), got {pair!r:.60}")
        g, w = pair
        if not (isinstance(w, Tensor) and w._op is None and w._array.dtype.kind == "f" and _is_writable(w._array)):
            raise _wrong_weight(i, w)
        if not w._needs:
            _check_order(i, g, w)
        if id(w) in seen:
            raise ValueError(f"{_title(i, w)} is given twice; add up its gradients")
        seen.add(id(w))
        if g is None:
            without.append(_title(i, w))
            continue
        weights.append(w)
        grads.append(_gradient(i, g, w))
    if not weights:
        raise ValueError("no weight has a gradient; run backward() on a loss that was computed from them")
    if without:
        warnings.warn(
            f"no gradient for {', '.join(without)}: the loss does not depend on it, it stays as it is", stacklevel=3
        )
    return weights, _apart(grads, weights)


_NO_PAIRS = (
    "a step needs at least one pair of a gradient and its weight; a model has no weights before it has seen data: "
    "build(shape) makes them, or take them after its first call"
)


def _is_writable(array: Array) -> bool:
    return getattr(array.flags, "writeable", True)  # CuPy's always are


def _wrong_weight(i: int, w: Any) -> Exception:
    if not isinstance(w, Tensor):
        return TypeError(f"pair {i} must be (gradient, weight) with a Tensor as the weight, got {type(w).__name__}")
    if w.dtype.kind != "f":
        return TypeError(f"{_title(i, w)} holds {w.dtype}; only floating-point weights can be trained")
    if not w.is_leaf:
        return ValueError(
            f"{_title(i, w)} is the result of an operation; a step changes weights, which are made by Tensor(…)"
        )
    return ValueError(f"{_title(i, w)} is read-only, and a step changes it in place; pass a copy")


def _check_order(i: int, g: Any, w: Tensor) -> None:
    """A leaf that requires a gradient is a weight, and it stands where its gradient should."""
    if isinstance(g, Tensor) and g.requires_grad and g.is_leaf:
        raise ValueError(
            f"pair {i} must be (gradient, weight), and seems to be swapped: its first, {_title(i, g)}, requires a "
            f"gradient, and its second, {_title(i, w)}, does not; write zip(gradients, weights)"
        )


def _gradient(i: int, g: Any, w: Tensor) -> Array:
    array, weight = constant_beside("a step", g, w), w._array
    if array.shape != weight.shape:
        raise ValueError(
            f"the gradient of {_title(i, w)} has shape {array.shape}; it must have the shape of the weight"
        )
    if array.dtype is not weight.dtype:
        if array.dtype.kind not in "fiu":
            raise TypeError(f"the gradient of {_title(i, w)} holds {array.dtype}; it must hold real numbers")
        return array.astype(weight.dtype)
    return array


def _apart(grads: list[Array], weights: list[Tensor]) -> list[Array]:
    """The gradients, copied where they look at the memory of a weight: it may change before they are read."""
    owners = {id(devices.owner(w._array)) for w in weights}
    lent, apart = id(None) in owners, []
    for g in grads:
        owner = devices.owner(g)
        near = lent or owner is None or id(owner) in owners  # hardly ever; the weights themselves take longer to ask
        shared = near and any(devices.may_share_memory(g, w._array) for w in weights)
        apart.append(g.copy() if shared else g)
    return apart


def _title(i: int, w: Tensor) -> str:
    return f"weight {w.name or i} {w.shape}"


def _norm(g: Array) -> Any:
    """A number in float64. On the GPU it stays there: to compare it here the processor would have to wait."""
    total = sum_of(np.square(g, dtype=np.float64), None, keepdims=False)
    return np.sqrt(total) if devices.on_gpu(g) else math.sqrt(total)


def _norm_of_all(norms: list[Any]) -> Any:
    return functools.reduce(np.hypot, norms) if all(map(devices.on_gpu, norms)) else math.hypot(*norms)


def _scaled(g: Array, limit: float, norm: Any) -> Array:
    if devices.on_gpu(norm):
        return g * (limit / np.maximum(norm, limit)).astype(g.dtype)
    return g if norm <= limit else g * (limit / norm)


if not TYPE_CHECKING:  # to which every name would be known
    __getattr__ = missing_from(__name__, defined_in(globals()))
