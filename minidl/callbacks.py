"""Hooks into training: what runs at the beginning and the end of training, epochs and batches."""

from __future__ import annotations

import inspect
import math
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from minidl.models.model import Model

Logs = dict[str, Any]
HOOKS = (
    "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end",
    "on_test_begin", "on_test_end", "on_test_batch_begin", "on_test_batch_end",
    "on_predict_begin", "on_predict_end", "on_predict_batch_begin", "on_predict_batch_end",
)  # fmt: skip


class Callback:
    """Subclass it and write the hooks you need; `self.model` and `self.params` are set before the first.

    Batch hooks of training come as `on_train_batch_begin(batch, logs)`, for short `on_batch_begin`.
    `logs` is always a dict: at the end of a batch of running means over the epoch, at the end of an
    epoch of its results, validation's with the prefix `val_`, at the end of training of those of the
    last epoch, and empty at each beginning. Set `self.model.stop_training = True` to stop.
    """

    model: Model
    params: dict[str, Any]

    def set_model(self, model: Model) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None: ...
    def on_train_end(self, logs: Logs | None = None) -> None: ...
    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None: ...
    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None: ...
    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_test_begin(self, logs: Logs | None = None) -> None: ...
    def on_test_end(self, logs: Logs | None = None) -> None: ...
    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_predict_begin(self, logs: Logs | None = None) -> None: ...
    def on_predict_end(self, logs: Logs | None = None) -> None: ...
    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.on_batch_end(batch, logs)


class CallbackList:
    """Several callbacks as one: each hook calls that hook of all, in order, with logs or an empty dict."""

    def __init__(self, callbacks: Iterable[Callback], *, model: Model, params: dict[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"a callback must be a Callback, got {type(callback).__name__}; for a function use LambdaCallback"
                )
            callback.set_model(model)
            callback.set_params(params)

    def __getattr__(self, hook: str) -> Callable[..., None]:
        if hook not in HOOKS:
            raise AttributeError(hook)

        def call_all(*args: Any) -> None:
            if not args or not isinstance(args[-1], dict):
                args = (*args, {})
            for callback in self.callbacks:
                getattr(callback, hook)(*args)

        return call_all


class History(Callback):
    """The results of each epoch, which `fit` returns.

    Attributes:
        history: the values by name, one an epoch: loss, the metrics, and val_… of each.
        epoch: the numbers of the epochs that ended.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class LambdaCallback(Callback):
    """Functions as hooks: LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs))."""

    def __init__(self, **hooks: Callable[..., None]) -> None:
        for name, function in hooks.items():
            if name not in (*HOOKS, "on_batch_begin", "on_batch_end"):
                raise ValueError(f"unknown hook {name!r}: expected one of {', '.join(HOOKS)}")
            setattr(self, name, function)


class EarlyStopping(Callback):
    """Stop when a result has not improved for `patience` epochs.

    Args:
        monitor: the name of the result, as in the history.
        min_delta: the least change that counts as an improvement.
        patience: how many epochs without one are allowed.
        verbose: 1 prints a line when training stops.
        mode: "min", "max", or "auto", which asks the metric, and takes "max" for one that sounds like an accuracy.
        baseline: a value that must be beaten for an epoch to count at all.
        restore_best_weights: go back to the weights of the best epoch at the end.
        start_from_epoch: the first epoch that is looked at.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor, self.min_delta, self.patience, self.verbose = monitor, abs(min_delta), patience, verbose
        self.baseline, self.restore_best_weights, self.start_from_epoch = (
            baseline,
            restore_best_weights,
            start_from_epoch,
        )
        self.mode = mode
        self._sign = 1 if mode == "max" or (mode == "auto" and _sounds_like_accuracy(monitor)) else -1

    def on_train_begin(self, logs: Logs | None = None) -> None:
        larger_is_better = self.model.larger_is_better(self.monitor.removeprefix("val_"))
        if self.mode == "auto" and larger_is_better is not None:
            self._sign = 1 if larger_is_better else -1
        self.wait, self.stopped_epoch, self.best_epoch = 0, 0, 0
        self.best: float | None = None
        self.best_weights: list[Any] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(_not_measured(self.monitor, logs or {}), stacklevel=5)  # where fit is called
            return
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self._improves(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._improves(value, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch and self.verbose:
            print(f"epoch {self.stopped_epoch + 1}: {self.monitor} did not improve, stopped")
        if self.restore_best_weights and self.best_weights is not None:
            self.model.set_weights(self.best_weights)

    def _improves(self, value: float, best: float | None) -> bool:
        return best is None or self._sign * (value - best) > self.min_delta


class LearningRateScheduler(Callback):
    """Set the learning rate at the start of each epoch: schedule(epoch, learning_rate) or schedule(epoch)."""

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        arguments: tuple[Any, ...] = (epoch, float(optimizer.learning_rate))
        try:
            inspect.signature(self.schedule).bind(*arguments)
        except TypeError:
            arguments = (epoch,)
        rate = self.schedule(*arguments)
        if not isinstance(rate, (int, float, np.floating)):
            raise ValueError(f"the schedule must return a number, got {rate!r} for epoch {epoch}")
        optimizer.learning_rate = float(rate)
        if self.verbose:
            print(f"epoch {epoch + 1}: learning rate {float(rate):g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


class TerminateOnNaN(Callback):
    """Stop at the first batch whose loss is NaN or infinite."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            print(f"batch {batch}: the loss is {loss}, training stops", file=sys.stderr)
            self.model.stop_training = True


def _not_measured(monitor: str, logs: Logs) -> str:
    said = f"EarlyStopping waits for {monitor!r}, but the results hold {', '.join(logs) or 'nothing'}"
    trained = monitor.removeprefix("val_")
    if trained == monitor or trained not in logs:
        return said
    return f"{said}; pass validation_split= or validation_data=, or monitor={trained!r}"


def _sounds_like_accuracy(monitor: str) -> bool:
    name = monitor.removeprefix("val_")
    return name.endswith(("acc", "accuracy", "auc")) or name in ("precision", "recall", "f1_score")
