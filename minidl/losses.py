"""Losses: how far predictions are from targets, as functions and as classes.

A function returns one loss a sample, the mean (or sum) over the last axis: (…, K) → (…,). A class
then multiplies by the sample weights, leaves out what a mask hides, and reduces to one number:

    sum_over_batch_size     Σ weight loss / number of losses, those that a mask hides not counted
    sum                     Σ weight loss
    none                    the weighted losses themselves

Names, defaults and values are those of Keras 3. Targets take the type of the predictions, and a
target (…,) meets a prediction (…, 1), or the reverse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import devices, ops, targets
from minidl.hyperparameters import number
from minidl.naming import defined_in, missing_from, resolve, snake_case
from minidl.ops.coercion import floating
from minidl.ops.distances import mean_absolute, mean_huber, mean_square
from minidl.ops.placement import To
from minidl.ops.probabilities import known_finite, logits_of, mean_sigmoid_cross_entropy, where_valid
from minidl.tensors import Tensor, as_tensor, wrap

EPSILON = 1e-7  # probabilities are held in [ε, 1 − ε] before their logarithm is taken
REDUCTIONS = ("sum_over_batch_size", "sum", "none")


# ---- distances --------------------------------------------------------------------------


def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """mean (ŷ − y)² over the last axis; its derivative is 2 (ŷ − y) / n.

    >>> mean_squared_error([[1.0, 2.0]], [[1.5, 4.0]])
    Tensor([2.125])
    """
    return mean_square(_error("mean_squared_error", y_true, y_pred))


def mean_absolute_error(y_true: Any, y_pred: Any) -> Tensor:
    """mean |ŷ − y| over the last axis.

    >>> mean_absolute_error([[1.0, 2.0]], [[1.5, 4.0]])
    Tensor([1.25])
    """
    return mean_absolute(_error("mean_absolute_error", y_true, y_pred))


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Tensor:
    """The mean over the last axis of e²/2 where |e| ≤ δ and δ |e| − δ²/2 beyond, with e = ŷ − y (Huber 1964).

    >>> huber([[0.0, 0.0]], [[0.5, 3.0]])
    Tensor([1.3125])
    """
    delta = number("delta", delta, "(0, inf)")
    return mean_huber(_error("huber", y_true, y_pred), delta)


# ---- cross-entropies --------------------------------------------------------------------


def binary_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0) -> Tensor:
    """mean −y ln p − (1 − y) ln(1 − p) over the last axis, with p the probability of class 1.

    Probabilities that come straight from a sigmoid are replaced by its input, from which the loss
    is exact however far the sigmoid saturates; other ones are held in [1e-7, 1 − 1e-7].

    Args:
        y_true: targets in [0, 1].
        y_pred: probabilities, or with `from_logits` the input of a sigmoid.
        label_smoothing: s turns a target y into y (1 − s) + s / 2.

    >>> binary_crossentropy([[1.0], [0.0]], [[0.5], [0.5]])
    Tensor([0.6931472, 0.6931472])
    """
    name = "binary_crossentropy"
    logits = _logits(name, y_pred, from_logits, "sigmoid")
    y_true, x = _pair(
        name, y_true, y_pred if logits is None else logits, fractions="the labels of two classes are 0 and 1"
    )
    y_true = _smooth(y_true, label_smoothing, 2)
    if logits is not None:
        return mean_sigmoid_cross_entropy(x, y_true)
    targets.check_fractions(name, "y_pred", x._array, _NO_PROBABILITY.format("a sigmoid"))
    p = ops.clip(x, EPSILON, 1 - EPSILON)
    return -ops.mean(y_true * ops.log(p) + (1 - y_true) * ops.log(1 - p), -1)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0
) -> Tensor:
    """−Σ y ln p over the last axis, the classes. Targets are one-hot rows or distributions, (…, K).

    Rows of probabilities are first divided by their sum. Those that come straight from a softmax
    are replaced by its input, from which the loss is exact; other ones are held in [1e-7, 1 − 1e-7].

    Args:
        y_true: targets in [0, 1], one for each class.
        y_pred: probabilities, or with `from_logits` the input of a softmax.
        label_smoothing: s turns a target y into y (1 − s) + s / K.

    >>> categorical_crossentropy([[0.0, 1.0, 0.0]], [[0.25, 0.5, 0.25]])
    Tensor([0.6931472])
    """
    name = "categorical_crossentropy"
    logits = _logits(name, y_pred, from_logits, "softmax")
    rows = "each row is one-hot or a distribution over the classes"
    y_true, x = _pair(name, y_true, y_pred if logits is None else logits, fractions=rows)
    if x.shape[-1] < 2:
        raise ValueError(f"{name}: y_pred has shape {x.shape}: one class alone is certain; use binary_crossentropy")
    y_true = _smooth(y_true, label_smoothing, x.shape[-1])
    if logits is not None:
        return ops.softmax_cross_entropy(x, y_true)
    return -ops.sum(y_true * _log_probabilities(name, x), -1)


def sparse_categorical_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False) -> Tensor:
    """−ln p[y], with y the number of the right class. Labels (…,) or (…, 1), predictions (…, K) → (…,)

    Probabilities are treated as in `categorical_crossentropy`.

    >>> sparse_categorical_crossentropy([1], [[0.25, 0.5, 0.25]])
    Tensor([0.6931472])
    """
    name = "sparse_categorical_crossentropy"
    logits = _logits(name, y_pred, from_logits, "softmax")
    x = floating(y_pred) if logits is None else logits
    labels = targets.labels(name, y_true, x.shape)
    if logits is not None:
        return ops.sparse_cross_entropy(x, labels)
    log_p = _log_probabilities(name, x).reshape(-1, x.shape[-1])
    return -log_p[np.arange(labels.size, like=labels), labels.reshape(-1)].reshape(labels.shape)


def kl_divergence(y_true: Any, y_pred: Any) -> Tensor:
    """Σ y ln(y / p) over the last axis (Kullback and Leibler 1951); both are first held in [1e-7, 1].

    >>> kl_divergence([[0.5, 0.5]], [[0.5, 0.5]])
    Tensor([0.])
    """
    name = "kl_divergence"
    y_true, y_pred = _pair(name, y_true, y_pred, fractions="each row is a distribution over the classes")
    targets.check_fractions(name, "y_pred", y_pred._array, "end the model with a softmax")
    y_true, p = ops.clip(y_true, EPSILON, 1), ops.clip(y_pred, EPSILON, 1)
    return ops.sum(y_true * ops.log(y_true / p), -1)


# ---- margins ----------------------------------------------------------------------------


def hinge(y_true: Any, y_pred: Any) -> Tensor:
    """mean max(1 − y ŷ, 0) over the last axis. Targets are −1 and 1; if all are 0 or 1, 0 counts as −1.

    >>> hinge([[1.0, -1.0]], [[0.5, 0.5]])
    Tensor([1.])
    """
    y_true, y_pred = _pair("hinge", y_true, y_pred, signs=True)
    return ops.mean(ops.maximum(1 - y_true * y_pred, 0.0), -1)


def squared_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """mean max(1 − y ŷ, 0)² over the last axis, with targets as in `hinge`.

    >>> squared_hinge([[1.0, -1.0]], [[0.5, 0.5]])
    Tensor([1.25])
    """
    y_true, y_pred = _pair("squared_hinge", y_true, y_pred, signs=True)
    return ops.mean(ops.square(ops.maximum(1 - y_true * y_pred, 0.0)), -1)


def categorical_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """max(1 + max (1 − y) ŷ − Σ y ŷ, 0) over the last axis, with one-hot targets (…, K).

    >>> categorical_hinge([[0.0, 1.0]], [[0.25, 0.5]])
    Tensor([0.75])
    """
    y_true, y_pred = _pair("categorical_hinge", y_true, y_pred)
    right = ops.sum(y_true * y_pred, -1)
    wrong = ops.max((1 - y_true) * y_pred, -1)
    return ops.maximum(wrong - right + 1, 0.0)


# ---- classes ----------------------------------------------------------------------------


class Loss:
    """A loss that weighs and reduces. Subclass it and write `call`, which returns one loss a sample.

    Args:
        name: by default the name of the class in snake case.
        reduction: "sum_over_batch_size", "sum" or "none" (None means "none").

    >>> class Quartic(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return ((y_pred - y_true) ** 4).mean(-1)
    >>> Quartic()([[0.0], [0.0]], [[1.0], [2.0]])
    Tensor(8.5)
    >>> Quartic()([[0.0], [0.0]], [[1.0], [2.0]], sample_weight=[1.0, 0.5])
    Tensor(4.5)
    """

    def __init__(self, name: str | None = None, reduction: str | None = "sum_over_batch_size") -> None:
        reduction = "none" if reduction is None else reduction
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {', '.join(map(repr, REDUCTIONS))}, got {reduction!r}")
        self.reduction = reduction
        self.name = name or snake_case(type(self).__name__)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One loss a sample, (…, K) → (…,)."""
        raise NotImplementedError(f"{type(self).__name__} has no call(y_true, y_pred)")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> Tensor:
        """The reduced loss.

        Args:
            sample_weight: one factor for each loss, or for each of the first axes: (N,) fits losses (N, T).
            mask: where False, the loss does not count, whatever is predicted there; a loss of your own is given these
                predictions all the same. Shapes as for the weights. By default the one that y_pred carries, as what
                a model returns may.
        """
        mask = getattr(y_pred, "_mask", None) if mask is None else mask
        y_pred = _predictions(self.name, y_pred)
        if type(self) not in _CONVERTING:
            y_true = _as_targets(self.name, y_true, y_pred)
        elif mask is not None:
            y_pred = _unmasked(y_pred, mask)
        losses = self.call(y_true, y_pred)
        if losses is None:
            raise TypeError(f"the loss {self.name} returned None; it must return one loss a sample")
        losses = as_tensor(losses)
        if losses.ndim == 0 and y_pred.ndim > 1:  # a function of the user's that takes the mean itself
            losses = _of_each(losses, sample_weight, mask)
        return _reduce(losses, self.reduction, sample_weight, mask)

    def check_targets(self, y_true: Any, shape: tuple[int, ...]) -> None:
        """Refuse targets that no predictions of this shape can meet. `fit` asks for all before its first step."""

    def get_config(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        return cls(**config)


class _Known(Loss):
    """A loss of Keras', whose classes take their arguments in another order than `Loss` does."""

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = None) -> None:
        super().__init__(name, reduction)


class MeanSquaredError(_Known):
    """`mean_squared_error`, weighted and reduced.

    >>> MeanSquaredError()([[1.0], [2.0]], [[1.0], [4.0]])
    Tensor(2.)
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        return mean_squared_error(y_true, y_pred)


class MeanAbsoluteError(_Known):
    """`mean_absolute_error`, weighted and reduced."""

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        return mean_absolute_error(y_true, y_pred)


class Huber(_Known):
    """`huber`, weighted and reduced."""

    def __init__(
        self, delta: float = 1.0, reduction: str | None = "sum_over_batch_size", name: str | None = None
    ) -> None:
        super().__init__(reduction, name)
        self.delta = number("delta", delta, "(0, inf)")

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        return huber(y_true, y_pred, self.delta)

    def get_config(self) -> dict[str, Any]:
        return {"delta": self.delta, **super().get_config()}


class _CrossEntropy(_Known):
    """What the two cross-entropies against distributions have in common."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,  # Keras has an axis here
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.from_logits = from_logits
        self.label_smoothing = number("label_smoothing", label_smoothing, "[0, 1]")

    def check_targets(self, y_true: Any, shape: tuple[int, ...]) -> None:
        advice = "labels are 0 and 1, or one-hot rows; of classes 0, 1, 2 … to_categorical makes such rows"
        targets.check_fractions(self.name, "y_true", y_true, advice)

    def get_config(self) -> dict[str, Any]:
        return {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing, **super().get_config()}


class BinaryCrossentropy(_CrossEntropy):
    """`binary_crossentropy`, weighted and reduced.

    >>> BinaryCrossentropy()([1, 0], [[0.5], [0.5]])
    Tensor(0.6931472)
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        return binary_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing)


class CategoricalCrossentropy(_CrossEntropy):
    """`categorical_crossentropy`, weighted and reduced."""

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        return categorical_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing)


class SparseCategoricalCrossentropy(_Known):
    """`sparse_categorical_crossentropy`, weighted and reduced."""

    def __init__(
        self,
        from_logits: bool = False,
        *,  # Keras has an ignore_class here
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.from_logits = from_logits

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        return sparse_categorical_crossentropy(y_true, y_pred, self.from_logits)

    def check_targets(self, y_true: Any, shape: tuple[int, ...]) -> None:
        targets.labels(self.name, y_true, shape)

    def get_config(self) -> dict[str, Any]:
        return {"from_logits": self.from_logits, **super().get_config()}


class KLDivergence(_Known):
    """`kl_divergence`, weighted and reduced."""

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        return kl_divergence(y_true, y_pred)


class Hinge(_Known):
    """`hinge`, weighted and reduced."""

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        return hinge(y_true, y_pred)


class SquaredHinge(_Known):
    """`squared_hinge`, weighted and reduced."""

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        return squared_hinge(y_true, y_pred)


class CategoricalHinge(_Known):
    """`categorical_hinge`, weighted and reduced."""

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        return categorical_hinge(y_true, y_pred)


class FunctionLoss(_Known):
    """Any function of (y_true, y_pred) that returns one loss a sample, weighted and reduced."""

    def __init__(
        self,
        function: Callable[[Any, Any], Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name or getattr(function, "__name__", None))
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.function(targets.beside(y_true, y_pred), y_pred)

    def get_config(self) -> dict[str, Any]:
        raise TypeError(
            f"the loss {self.name!r} wraps a Python function, which no configuration can hold; subclass Loss"
        )


CLASSES: dict[Any, type[Loss]] = {
    mean_squared_error: MeanSquaredError,
    mean_absolute_error: MeanAbsoluteError,
    huber: Huber,
    binary_crossentropy: BinaryCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
    kl_divergence: KLDivergence,
    hinge: Hinge,
    squared_hinge: SquaredHinge,
    categorical_hinge: CategoricalHinge,
}
# Their targets by themselves, after they have looked at them; and each loss is of its own predictions alone.
_CONVERTING = frozenset(CLASSES.values())
NAMES: dict[str, type[Loss]] = {
    "mse": MeanSquaredError, "mae": MeanAbsoluteError, "bce": BinaryCrossentropy, "kld": KLDivergence,
} | {name: cls for function, cls in CLASSES.items() for name in (function.__name__, cls.__name__)}  # fmt: skip


def get(identifier: Any) -> Loss:
    """The loss meant by a name, a class, a function, a saved configuration or a loss.

    >>> get("mse").name
    'mean_squared_error'
    """
    if callable(identifier) and not isinstance(identifier, (type, Loss)):
        return CLASSES[identifier]() if identifier in CLASSES else FunctionLoss(identifier)
    return resolve("loss", NAMES, identifier, Loss)


# ---- weights and masks ------------------------------------------------------------------


def _of_each(loss: Tensor, *weights: Any) -> Tensor:
    """One number for all samples as the loss of each that there is a weight or a mask for."""
    shapes = [np.shape(each) for each in weights if each is not None]
    return ops.broadcast_to(loss, max(shapes, key=len, default=()))


def _unmasked(y_pred: Tensor, mask: Any) -> Tensor:
    """The predictions, if need be with a logit or probability like any in the place of those that a mask hides.

    Left as it is, NaN there would come back: the gradient of such a loss is 0, and 0 × NaN is NaN.
    """
    if known_finite(y_pred):
        return y_pred
    return where_valid(targets.along_first_axes("mask", mask, y_pred.shape).astype(bool), y_pred, 0.5)


def _reduce(losses: Tensor, reduction: str, sample_weight: Any, mask: Any) -> Tensor:
    count = None
    if mask is not None:
        valid = targets.spread("mask", mask, losses.shape).astype(bool)
        losses = ops.where(valid, losses, 0.0)  # not a product: 0 × NaN is NaN
        count = np.maximum(valid.sum(), 1).astype(losses.dtype)
    if sample_weight is not None:
        weights = targets.spread("sample_weight", sample_weight, losses.shape).astype(losses.dtype)
        losses = losses * wrap(devices.beside(weights, losses._array))
    if reduction == "none":
        return losses
    if losses.size == 0:
        raise ValueError(f"the loss of no samples: the losses have shape {losses.shape}")
    if reduction == "sum":
        return ops.sum(losses)
    if count is None:
        return ops.mean(losses)
    return ops.sum(losses) / wrap(devices.beside(count, losses._array))  # a bare array would be watched for changes


# ---- targets and logits -----------------------------------------------------------------

_NO_PROBABILITY = "that is no probability; pass from_logits=True, or end the model with {}"


def _pair(loss: str, y_true: Any, y_pred: Any, fractions: str = "", signs: bool = False) -> tuple[Tensor, Tensor]:
    """Targets and predictions as tensors of one float type and one shape, the targets of `fractions` in [0, 1].

    Targets are looked at where they are, and then follow the predictions to the GPU: to look at them
    there the processor would have to wait for all work before.
    """
    y_pred = _predictions(loss, y_pred)
    y_true = y_true.astype(y_pred.dtype) if isinstance(y_true, Tensor) else _on_host(loss, y_true, y_pred.dtype)
    unknown = not (fractions and targets.are_fractions(y_true._array))
    if unknown:
        targets.check_finite(loss, y_true._array)
    y_true, y_pred = targets.fit(loss, y_true, y_pred)
    if fractions and unknown:
        targets.check_fractions(loss, "y_true", y_true._array, fractions)
    y_true = _signs(y_true) if signs else y_true
    return _following(y_true, y_pred), y_pred


def _error(loss: str, y_true: Any, y_pred: Any) -> Tensor:
    """ŷ − y. An array of targets is not copied: once it is subtracted nobody reads it again."""
    y_pred = _predictions(loss, y_pred)
    if type(y_true) is np.ndarray and y_true.dtype.kind in "fiub":
        y_true = wrap(y_true.astype(y_pred.dtype, copy=False))
    y_true, y_pred = _pair(loss, y_true, y_pred)
    if y_pred.ndim and y_pred.shape[-1] == 0:
        raise ValueError(f"{loss}: y_pred has shape {y_pred.shape}, and there is no mean of no elements")
    return y_pred - y_true


def _predictions(loss: str, y_pred: Any) -> Tensor:
    """The predictions as a tensor of floats."""
    if not isinstance(y_pred, Tensor):
        targets.check_numbers(loss, "y_pred", devices.as_array(y_pred))
    return floating(y_pred)


def _as_targets(loss: str, y_true: Any, y_pred: Tensor) -> Tensor:
    """Targets for a loss of somebody's own: a tensor of the type of the predictions, beside them."""
    if not isinstance(y_true, Tensor):
        y_true = _on_host(loss, y_true)
    if y_true.dtype.kind == "f":
        y_true = y_true.astype(y_pred.dtype)
    if y_true.ndim < y_pred.ndim:
        y_true = targets.beside(y_true, y_pred)
    return _following(y_true, y_pred)


def _following(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The targets on the GPU if the predictions are there; .to() would ask the driver at every step."""
    return To.apply(y_true, device="cuda") if y_pred.device == "cuda" != y_true.device else y_true


def _on_host(loss: str, y_true: Any, dtype: Any = None) -> Tensor:
    """A copy of targets, which stays with the processor until it was looked at; on the GPU if it lives there."""
    array = devices.as_array(y_true)
    targets.check_numbers(loss, "y_true", array)
    return Tensor(array, dtype=dtype, device=None if devices.on_gpu(array) else "cpu")


def _logits(loss: str, y_pred: Any, from_logits: bool, made_by: str) -> Tensor | None:
    """The predictions as logits, if they are logits or their logits are known."""
    logits = logits_of(y_pred, made_by)
    if not from_logits:
        return logits
    if logits is not None:
        raise ValueError(f"{loss}: from_logits=True, but y_pred is the output of a {made_by}; leave from_logits out")
    return floating(y_pred)


def _log_probabilities(loss: str, p: Tensor) -> Tensor:
    """ln(p / Σ p) over the last axis."""
    targets.check_fractions(loss, "y_pred", p._array, _NO_PROBABILITY.format("a softmax"))
    total = ops.sum(p, -1, keepdims=True)
    if devices.any_true(total._array == 0):
        raise ValueError(f"{loss}: a row of y_pred holds only zeros, which is no distribution over the classes")
    return ops.log(ops.clip(p / total, EPSILON, 1 - EPSILON))


def _smooth(y_true: Tensor, s: float, classes: int) -> Tensor:
    number("label_smoothing", s, "[0, 1]")
    return y_true * (1 - s) + s / classes if s else y_true


def _signs(y_true: Tensor) -> Tensor:
    labels = (y_true._array == 0) | (y_true._array == 1)
    return ops.where(labels.all(), 2 * y_true - 1, y_true)


_INSTEAD = {  # of PyTorch's names, and of those that a string alone may have
    "BCELoss": "BinaryCrossentropy",
    "CrossEntropyLoss": "SparseCategoricalCrossentropy",
    "L1Loss": "MeanAbsoluteError",
    "MSELoss": "MeanSquaredError",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
}

if not TYPE_CHECKING:  # to which every name would be known
    __getattr__ = missing_from(__name__, defined_in(globals()), _INSTEAD)
