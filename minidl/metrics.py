"""Metrics: numbers that are added up batch by batch and read at the end.

`update_state` takes a batch, `result` gives the value for all batches since `reset_state`. Sums
are kept in float64. A mean is over elements, each with its weight, whatever batch it came in;
elements that a mask hides count for nothing (in Keras they do in Precision, Recall, AUC, F1Score
and RootMeanSquaredError). Names, defaults and values are otherwise those of Keras 3.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import initializers, losses, targets
from minidl.autograd.modes import no_grad
from minidl.hyperparameters import float_type, integer, number, optional, weight_shape
from minidl.naming import defined_in, lookup, missing_from, resolve, serialize, snake_case
from minidl.ops.coercion import on_host
from minidl.tensors import Tensor

Array = Any


class Metric:
    """Subclass it, make what it counts with `add_weight`, and write `update_state` and `result`.

    `fit` gives it arrays. Write `reset_state` too if it is not zeros that it starts from, or not weights that it
    counts in. All elements are its own affair, those that a mask hides too; the metrics here that it hands
    y_pred on to leave these out, for y_pred carries the mask.

    Args:
        dtype: "float32" (the default) or "float64", of what `add_weight` makes. The sums of minidl's own metrics are
            float64 whatever it is.
        name: by default the name of the class in snake case.

    >>> class Positives(Metric):
    ...     def __init__(self, name="positives", **kwargs):
    ...         super().__init__(name=name, **kwargs)
    ...         self.count = self.add_weight(name="count", initializer="zeros")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.count.assign_add((np.asarray(y_pred) > 0.5).sum())
    ...     def result(self):
    ...         return self.count
    >>> float(Positives()([0.0, 1.0, 1.0], [0.2, 0.7, 0.9]))
    2.0
    """

    larger_is_better: bool | None = None  # None if that is not known: then the name decides

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        if not (name is None or isinstance(name, str)):
            raise TypeError(
                f"{type(self).__name__}: name must be a string, got {name!r}; give the other arguments by their names"
            )
        self.name = name or snake_case(type(self).__name__)
        self.dtype = float_type(self.name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> None:
        """Take a batch into account.

        Args:
            sample_weight: one factor for each element, or for each of the first axes: (N,) fits values (N, T).
            mask: where False, elements do not count. Shapes as for the weights. By default the one that y_pred
                carries, as what a model returns may.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update_state(y_true, y_pred, sample_weight, mask)")

    def result(self) -> Any:
        """The value so far; 0.0 for a mean or a ratio of nothing."""
        raise NotImplementedError(f"{type(self).__name__} has no result()")

    def reset_state(self) -> None:
        """Forget all batches: what `add_weight` made becomes zeros, and metrics that are attributes are reset."""
        for held in vars(self).values():
            if isinstance(held, Metric):
                held.reset_state()
        for variable in self.__dict__.get("_variables", ()):
            variable.assign(np.zeros(variable.shape))

    def add_variable(
        self, shape: Sequence[int], initializer: Any = "zeros", dtype: Any = None, *, name: str | None = None
    ) -> Tensor:
        """A tensor to count in, which `reset_state` sets to zeros; change it with `assign`, `assign_add`, `assign_sub`.

        `initializer` is a name or a function, see `minidl.initializers`. It is of the metric's type unless `dtype`
        is given, and lives on the processor, where `update_state` gets its arrays.
        """
        if "dtype" not in vars(self):
            raise RuntimeError(f"{type(self).__name__}.__init__ must call super().__init__() before anything else")
        shape, dtype = weight_shape(self.name, shape), np.dtype(self.dtype if dtype is None else dtype)
        values = initializers.get(initializer)(shape, dtype=dtype)
        variable = Tensor(values, dtype=dtype, name=name, device="cpu")
        self.__dict__.setdefault("_variables", []).append(variable)
        return variable

    def add_weight(
        self, shape: Sequence[int] = (), initializer: Any = "zeros", dtype: Any = None, name: str | None = None
    ) -> Tensor:
        """`add_variable`, of a single number unless `shape` says otherwise."""
        return self.add_variable(shape, initializer, dtype, name=name)

    @property
    def variables(self) -> list[Tensor]:
        """What `add_weight` made, here and in metrics that are attributes."""
        inside = [held.variables for held in vars(self).values() if isinstance(held, Metric)]
        return [*self.__dict__.get("_variables", ()), *(variable for each in inside for variable in each)]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take a batch into account, and return the value so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        own = {} if self.dtype == np.float32 else {"dtype": self.dtype.name}  # not every __init__ takes it
        return {"name": self.name} | own

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


# ---- means ------------------------------------------------------------------------------


class _RunningMean(Metric):
    """Σ weight value / Σ weight"""

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.reset_state()

    def reset_state(self) -> None:
        self._total = self._weight = 0.0

    def result(self) -> float:
        return self._total / self._weight if self._weight else 0.0

    def _add(self, values: Any, sample_weight: Any, mask: Any) -> None:
        values = on_host(values)
        targets.check_numbers(self.name, "what it takes the mean of", values)
        values = values.astype(np.float64)
        weights = _weights(values.shape, sample_weight, mask)
        self._total += float((np.where(weights == 0, 0, values) * weights).sum())  # 0 · NaN is NaN
        self._weight += float(weights.sum())


class Mean(_RunningMean):
    """The mean of numbers.

    >>> mean = Mean()
    >>> mean.update_state([1.0, 2.0])
    >>> mean.update_state(6.0, sample_weight=2)
    >>> mean.result()
    3.75
    """

    def update_state(self, values: Any, sample_weight: Any = None, mask: Any = None) -> None:  # type: ignore[override]
        if type(values) is float and type(sample_weight) is int and sample_weight > 0 and mask is None:
            self._total += values * sample_weight  # the loss of a step, at every step
            self._weight += sample_weight
        else:
            self._add(values, sample_weight, mask)


class MeanMetric(_RunningMean):
    """The mean of some value of each element. Subclass it and write `values`."""

    def values(self, y_true: Any, y_pred: Any) -> Any:
        """What to take the mean of, (…, K) → (…,) or (…, K)."""
        raise NotImplementedError(f"{type(self).__name__} has no values(y_true, y_pred)")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> None:
        self._add(self.values(y_true, y_pred), sample_weight, _mask_of(y_pred, mask))


class FunctionMetric(MeanMetric):
    """The mean of what a function of (y_true, y_pred) returns for each sample."""

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name or snake_case(getattr(function, "__name__", type(function).__name__)), dtype)
        self.function = function

    def values(self, y_true: Any, y_pred: Any) -> Any:
        with no_grad():
            return self.function(targets.beside(y_true, y_pred), y_pred)

    def get_config(self) -> dict[str, Any]:
        raise TypeError(
            f"the metric {self.name!r} wraps a Python function, which no configuration can hold; subclass Metric"
        )


class LossMetric(MeanMetric):
    """The mean of a loss, given as a `Loss` or by its name.

    >>> LossMetric("huber")([[0.0]], [[3.0]])
    2.5
    """

    larger_is_better = False

    def __init__(self, loss: Any, name: str | None = None, dtype: Any = None) -> None:
        self.loss = losses.get(loss)
        super().__init__(name or self.loss.name, dtype)

    def values(self, y_true: Any, y_pred: Any) -> Any:
        with no_grad():
            return self.loss.call(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        return {"loss": serialize(self.loss), **super().get_config()}


class MeanSquaredError(MeanMetric):
    """The mean of (ŷ − y)²."""

    larger_is_better = False

    def values(self, y_true: Any, y_pred: Any) -> Array:
        return np.square(_error(self.name, y_true, y_pred))


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean of (ŷ − y)², over all batches together."""

    def result(self) -> float:
        return super().result() ** 0.5


class MeanAbsoluteError(MeanMetric):
    """The mean of |ŷ − y|."""

    larger_is_better = False

    def values(self, y_true: Any, y_pred: Any) -> Array:
        return np.abs(_error(self.name, y_true, y_pred))


# ---- accuracies -------------------------------------------------------------------------


class Accuracy(MeanMetric):
    """How often a prediction is equal to its target. For probabilities, use the accuracies below.

    >>> Accuracy()([1, 2, 3, 4], [0, 2, 3, 4])
    0.75
    """

    larger_is_better = True

    def values(self, y_true: Any, y_pred: Any) -> Array:
        y_true, y_pred = _pair(self.name, y_true, y_pred)
        return y_true.astype(y_pred.dtype) == y_pred


class BinaryAccuracy(MeanMetric):
    """How often a probability lies on the side of the threshold that its label, 0 or 1, asks for.

    >>> BinaryAccuracy()([1, 1, 0, 0], [[0.9], [0.5], [0.5], [0.2]])  # 0.5 is not above 0.5
    0.75
    """

    larger_is_better = True

    def __init__(self, name: str | None = None, dtype: Any = None, threshold: float = 0.5) -> None:
        super().__init__(name, dtype)
        self.threshold = number("threshold", threshold, "(-inf, inf)")

    def values(self, y_true: Any, y_pred: Any) -> Array:
        y_true, y_pred = _pair(self.name, y_true, y_pred)
        return (y_pred > self.threshold) == y_true

    def get_config(self) -> dict[str, Any]:
        return {"threshold": self.threshold, **super().get_config()}


class CategoricalAccuracy(MeanMetric):
    """How often the class of the largest prediction is that of the largest target. Both are (…, K).

    >>> CategoricalAccuracy()([[0, 1, 0], [0, 0, 1]], [[0.1, 0.8, 0.1], [0.6, 0.2, 0.2]])
    0.5
    """

    larger_is_better = True

    def values(self, y_true: Any, y_pred: Any) -> Array:
        y_true, y_pred = _pair(self.name, y_true, y_pred)
        return y_true.argmax(-1) == y_pred.argmax(-1)


class SparseCategoricalAccuracy(MeanMetric):
    """How often the class of the largest prediction is the label. Labels (…,) or (…, 1), predictions (…, K).

    >>> SparseCategoricalAccuracy()([1, 2], [[0.1, 0.8, 0.1], [0.6, 0.2, 0.2]])
    0.5
    """

    larger_is_better = True

    def values(self, y_true: Any, y_pred: Any) -> Array:
        y_pred = on_host(y_pred)
        targets.check_numbers(self.name, "y_pred", y_pred)
        return targets.labels(self.name, on_host(y_true), y_pred.shape) == y_pred.argmax(-1)


class InferredAccuracy(MeanMetric):
    """What "accuracy" means: the accuracy that fits the shapes.

    One prediction a sample, (N,) or (…, 1): binary. Targets of fewer axes than the predictions, or
    of a last axis 1: sparse categorical. Otherwise categorical.

    >>> InferredAccuracy()([1, 0], [[0.9], [0.8]]), InferredAccuracy()([1, 0], [[0.2, 0.8], [0.9, 0.1]])
    (0.5, 1.0)
    """

    larger_is_better = True

    def __init__(self, name: str | None = "accuracy", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Any, y_pred: Any) -> Array:
        y_true, y_pred = on_host(y_true), on_host(y_pred)
        kind: type[MeanMetric]
        if y_pred.ndim < 2 or y_pred.shape[-1] == 1:
            kind = BinaryAccuracy
        elif y_true.ndim < y_pred.ndim or y_true.shape[-1] == 1:
            kind = SparseCategoricalAccuracy
        else:
            kind = CategoricalAccuracy
        return kind(name=self.name).values(y_true, y_pred)


# ---- counts of right and wrong ----------------------------------------------------------


class _Confusion(Metric):
    """Weighted counts of true and false positives and negatives, for each of some ascending thresholds.

    A prediction is positive where it lies above the threshold.
    """

    larger_is_better = True

    def __init__(self, thresholds: Sequence[float], name: str | None, dtype: Any) -> None:
        self._thresholds = np.array(thresholds, np.float64)
        super().__init__(dtype, name)
        self.reset_state()

    def reset_state(self) -> None:
        self._tp, self._fp, self._fn, self._tn = np.zeros((4, len(self._thresholds)))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> None:
        mask = _mask_of(y_pred, mask)
        y_true, y_pred = _pair(self.name, y_true, y_pred)
        weights = _weights(y_pred.shape, sample_weight, mask)
        y_true, y_pred, weights = self._selected(y_true, y_pred, weights)
        targets.check_binary(self.name, y_true)
        # In the type of the predictions: 0.3 in float32 is not above the threshold 0.3. NaN is above none.
        thresholds = self._thresholds.astype(y_pred.dtype)
        passed = np.searchsorted(thresholds, np.where(np.isnan(y_pred), -np.inf, y_pred).ravel(), side="left")
        tp, fn = self._above_and_below(passed, (weights * y_true).ravel())
        fp, tn = self._above_and_below(passed, (weights * (1 - y_true)).ravel())
        self._tp, self._fp, self._fn, self._tn = self._tp + tp, self._fp + fp, self._fn + fn, self._tn + tn

    def _selected(self, y_true: Array, y_pred: Array, weights: Array) -> tuple[Array, Array, Array]:
        """What of these counts, checked."""
        raise NotImplementedError

    def _above_and_below(self, passed: Array, weights: Array) -> tuple[Array, Array]:
        """For each threshold the weight of the elements that passed it, and of the others."""
        at = np.bincount(passed, weights, len(self._thresholds) + 1)
        above = at[::-1].cumsum()[::-1][1:]
        return above, at.sum() - above


class _Ratio(_Confusion):
    """What precision and recall have in common."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        *,  # Keras has a top_k here
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        chosen = 0.5 if thresholds is None else thresholds
        each = [number("each of thresholds", t, "[0, 1]") for t in np.ravel(chosen)]
        if not each or sorted(each) != each:
            raise ValueError(f"thresholds must be one or more numbers in ascending order, got {thresholds}")
        self.thresholds = each if np.ndim(chosen) else each[0]
        self.class_id = None if class_id is None else integer("class_id", class_id, 0)
        super().__init__(each, name, dtype)

    def _selected(self, y_true: Array, y_pred: Array, weights: Array) -> tuple[Array, Array, Array]:
        if self.class_id is None:
            return y_true, y_pred, weights
        if self.class_id >= y_pred.shape[-1]:
            raise ValueError(
                f"{self.name}: class_id is {self.class_id}, and y_pred of shape {y_pred.shape} has no such class"
            )
        return y_true[..., self.class_id], y_pred[..., self.class_id], weights[..., self.class_id]

    def _result(self, others: Array) -> Any:
        ratio = _divide(self._tp, self._tp + others)
        return ratio if np.ndim(self.thresholds) else float(ratio[0])

    def get_config(self) -> dict[str, Any]:
        return {"thresholds": self.thresholds, "class_id": self.class_id, **super().get_config()}


class Precision(_Ratio):
    """The part of the predictions above the threshold whose label is 1: TP / (TP + FP).

    Args:
        thresholds: a number (0.5 by default), or an ascending list of them, which gives an array.
        class_id: look at this entry of the last axis only.

    >>> Precision()([0, 1, 1, 1], [0.9, 0.8, 0.7, 0.2])
    0.6666666666666666
    """

    def result(self) -> Any:
        return self._result(self._fp)


class Recall(_Ratio):
    """The part of the labels 1 whose prediction lies above the threshold: TP / (TP + FN).

    Args:
        thresholds: a number (0.5 by default), or an ascending list of them, which gives an array.
        class_id: look at this entry of the last axis only.

    >>> Recall()([0, 1, 1, 1], [0.9, 0.8, 0.7, 0.2])
    0.6666666666666666
    """

    def result(self) -> Any:
        return self._result(self._fn)


_HEIGHTS: dict[str, Any] = {"interpolation": lambda a, b: (a + b) / 2, "minoring": np.minimum, "majoring": np.maximum}


class AUC(_Confusion):
    """The area under a curve drawn through the counts at evenly spaced thresholds in [0, 1].

    Args:
        num_thresholds: how many, the ends included.
        curve: "ROC", recall over FP / (FP + TN), or "PR", precision over recall.
        summation_method: "interpolation" between thresholds: straight for ROC, after Davis and Goadrich
            (2006) for PR; or "minoring" and "majoring", the lower and the higher of the two neighbours.

    >>> AUC(num_thresholds=3)([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9])
    0.75
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.num_thresholds = integer("num_thresholds", num_thresholds, 2)
        self.curve = _one_of("curve", curve, ("ROC", "PR"))
        self.summation_method = _one_of("summation method", summation_method, _HEIGHTS)
        # The outer ones are moved out, so that 0 lies above the lowest and 1 below the highest.
        inner = np.arange(1, num_thresholds - 1) / (num_thresholds - 1)
        super().__init__([-1e-7, *inner, 1 + 1e-7], name, dtype)

    def _selected(self, y_true: Array, y_pred: Array, weights: Array) -> tuple[Array, Array, Array]:
        targets.check_fractions(
            self.name, "y_pred", y_pred, "the area needs probabilities; end the model with a sigmoid"
        )
        return y_true, y_pred.clip(0, 1), weights

    def result(self) -> float:
        recall = _divide(self._tp, self._tp + self._fn)
        if self.curve == "ROC":
            x, y = _divide(self._fp, self._fp + self._tn), recall
        elif self.summation_method == "interpolation":
            return self._interpolated_precision()
        else:
            x, y = recall, _divide(self._tp, self._tp + self._fp)
        return float(((x[:-1] - x[1:]) * _HEIGHTS[self.summation_method](y[:-1], y[1:])).sum())

    def _interpolated_precision(self) -> float:
        """∫ precision d recall, where from one threshold to the next TP is linear in TP + FP:

        TP = a + s P, so ∫ TP / P dTP = s ∫ (a + s P) / P dP = s (ΔTP + a ln(P₁ / P₂))
        """
        tp, p = self._tp, self._tp + self._fp
        dtp = tp[:-1] - tp[1:]
        slope = _divide(dtp, p[:-1] - p[1:])
        intercept = tp[1:] - slope * p[1:]
        log_ratio = np.log(np.where(p[1:] > 0, _divide(p[:-1], p[1:]), 1))
        return float(_divide(slope * (dtp + intercept * log_ratio), tp[1:] + self._fn[1:]).sum())

    def get_config(self) -> dict[str, Any]:
        own = {"num_thresholds": self.num_thresholds, "curve": self.curve, "summation_method": self.summation_method}
        return {**own, **super().get_config()}


class F1Score(Metric):
    """The harmonic mean of precision and recall of each class: 2 TP / (2 TP + FP + FN). Targets and predictions (N, K).

    Args:
        average: None gives an array of K scores; "macro" their mean, "weighted" their mean weighted by
            how often each class is the target, "micro" the score of all counts added up.
        threshold: predictions above it are positive. None: the largest of each row is, and all
            that are equal to it, unless it is 0; with a single class 0.5 (in Keras all but 0 are positive then).

    >>> F1Score(average="macro")([[1, 0], [0, 1], [0, 1]], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    0.6666666666666666
    """

    larger_is_better = True

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.average = None if average is None else _one_of("average", average, ("micro", "macro", "weighted"))
        self.threshold = optional("threshold", threshold, "(0, 1]")
        super().__init__(dtype, name)
        self._tp = self._fp = self._fn = np.zeros(())  # one number a class, once there is a batch

    def reset_state(self) -> None:
        self._tp = self._fp = self._fn = np.zeros(self._tp.shape)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> None:
        mask = _mask_of(y_pred, mask)
        y_true, y_pred = _pair(self.name, y_true, y_pred)
        if y_pred.ndim != 2:
            raise ValueError(
                f"{self.name}: targets and predictions must have shape (samples, classes), got {y_pred.shape}"
            )
        targets.check_binary(self.name, y_true)
        if self._tp.shape != y_pred.shape[1:]:
            if (self._tp + self._fp + self._fn).any():
                raise ValueError(
                    f"{self.name}: {y_pred.shape[1]} classes now, {self._tp.size} before; call reset_state() between"
                )
            self._tp = self._fp = self._fn = np.zeros(y_pred.shape[1:])
        positive = self._positive(y_pred)
        weights = _weights(y_pred.shape, sample_weight, mask)
        self._tp = self._tp + (weights * (positive & (y_true == 1))).sum(0)
        self._fp = self._fp + (weights * (positive & (y_true == 0))).sum(0)
        self._fn = self._fn + (weights * (~positive & (y_true == 1))).sum(0)

    def _positive(self, y_pred: Array) -> Array:
        if self.threshold is None and y_pred.shape[1] > 1:
            return (y_pred == y_pred.max(1, keepdims=True)) & (np.abs(y_pred) > 1e-9)
        return y_pred > (0.5 if self.threshold is None else self.threshold)

    def result(self) -> Any:
        if self.average == "micro":
            return float(_divide(2 * self._tp.sum(), (2 * self._tp + self._fp + self._fn).sum()))
        scores = _divide(2 * self._tp, 2 * self._tp + self._fp + self._fn)
        if self.average == "weighted":
            support = self._tp + self._fn
            return float(_divide((scores * support).sum(), support.sum()))
        return float(scores.mean()) if self.average == "macro" else scores

    def get_config(self) -> dict[str, Any]:
        return {"average": self.average, "threshold": self.threshold, **super().get_config()}


# ---- names ------------------------------------------------------------------------------

_CLASSES = (
    Mean, MeanSquaredError, RootMeanSquaredError, MeanAbsoluteError, Accuracy, BinaryAccuracy, CategoricalAccuracy,
    SparseCategoricalAccuracy, InferredAccuracy, Precision, Recall, AUC, F1Score,
)  # fmt: skip
NAMES: dict[str, Any] = (
    {name: functools.partial(LossMetric, name) for name in losses.NAMES}
    | {name: cls for cls in _CLASSES for name in (snake_case(cls.__name__), cls.__name__)}
    | {"accuracy": InferredAccuracy, "acc": InferredAccuracy, "mse": MeanSquaredError, "mae": MeanAbsoluteError}
    | {"LossMetric": LossMetric}
)


def get(identifier: Any) -> Metric:
    """The metric meant by a name, a class, a function, a loss, a saved configuration or a metric.

    A metric that is got by a name is called by it.

    >>> get("acc").name, get("binary_crossentropy").name
    ('acc', 'binary_crossentropy')
    """
    if isinstance(identifier, losses.Loss):
        return LossMetric(identifier)
    if callable(identifier) and not isinstance(identifier, (type, Metric)):
        return LossMetric(identifier) if identifier in losses.CLASSES else FunctionMetric(identifier)
    metric = resolve("metric", NAMES, identifier, Metric)
    if isinstance(identifier, str):
        metric.name = identifier
    return metric


class _Masked(np.ndarray):
    """Predictions that carry their mask, so that an update_state of the user's which takes none can hand it on."""

    _mask: Any = None  # of what is computed from them, too


def masked(y_pred: Array, mask: Any) -> Array:
    """The predictions, carrying their mask as what a model returns does."""
    predictions = on_host(y_pred).view(_Masked)
    predictions._mask = mask
    return predictions


def _mask_of(y_pred: Any, mask: Any) -> Any:
    """The mask that is given, else the one that the predictions carry."""
    return getattr(y_pred, "_mask", None) if mask is None else mask


def _pair(metric: str, y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    """Targets and predictions as arrays of one shape, the predictions as floats."""
    y_true, y_pred = on_host(y_true), on_host(y_pred)
    targets.check_numbers(metric, "y_true", y_true)
    targets.check_numbers(metric, "y_pred", y_pred)
    return targets.fit(metric, y_true, y_pred if y_pred.dtype.kind == "f" else y_pred.astype(np.float64))


def _error(metric: str, y_true: Any, y_pred: Any) -> Array:
    """ŷ − y in float64: float16 ends at 65504, and a square of 300 lies beyond."""
    y_true, y_pred = _pair(metric, y_true, y_pred)
    return np.subtract(y_pred, y_true, dtype=np.float64)


def _weights(shape: tuple[int, ...], sample_weight: Any, mask: Any) -> Array:
    """The weight of each element; 0 where a mask hides it."""
    weights = np.ones(shape)
    if sample_weight is not None:
        weights = weights * targets.spread("sample_weight", on_host(sample_weight), shape)
    if mask is not None:
        weights = weights * targets.spread("mask", on_host(mask), shape).astype(bool)
    return weights


def _divide(a: Any, b: Any) -> Array:
    """a / b, and 0 where b is 0."""
    a, b = np.broadcast_arrays(a, b)
    return np.divide(a, b, out=np.zeros(b.shape), where=b != 0)


def _one_of(kind: str, value: Any, names: Iterable[str]) -> str:
    return lookup(kind, {name.lower(): name for name in names}, value)


if not TYPE_CHECKING:  # to which every name would be known
    __getattr__ = missing_from(__name__, defined_in(globals()))
