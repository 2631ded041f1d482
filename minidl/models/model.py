"""Model: a layer that trains itself."""

from __future__ import annotations

import errno
import inspect
import math
import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np

from minidl import losses, optimizers
from minidl import metrics as known_metrics
from minidl.autograd.modes import enable_grad, no_grad
from minidl.callbacks import Callback, CallbackList, History
from minidl.layers.base import Layer, Shape
from minidl.models.data import Batch, Data, class_weights, make_data, map_arrays, shuffled
from minidl.models.progress import ProgressBar, display
from minidl.models.summary import summary_text
from minidl.tensor import Tensor, wrap
from minidl.transforms import gradients


class Model(Layer):
    """Layers with a `call` that joins them, and the methods to train, measure and use them.

    >>> import minidl as md
    >>> class Two(md.Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.first = md.layers.Dense(4, activation="relu")
    ...         self.last = md.layers.Dense(1)
    ...     def call(self, x):
    ...         return self.last(self.first(x))
    >>> model = Two()
    >>> model.compile(optimizer="adam", loss="mse")
    >>> history = model.fit([[0.0], [1.0]], [0.0, 1.0], epochs=2, verbose=0)
    >>> len(history.history["loss"])
    2
    """

    optimizer: Any = None
    loss: Any = None
    history: History | None = None
    stop_training = False
    _metrics: Sequence[Any] = ()
    _weighted_metrics: Sequence[Any] = ()
    _built_for: Any = None  # shapes and types of the first inputs, from which a saved model is built again

    # ---- what it is made of

    @property
    def layers(self) -> list[Layer]:
        """The layers directly inside."""
        return list({id(child): child for child in self._children()}.values())

    def layers_and_shapes(self) -> list[tuple[Layer, str]]:
        """The rows of the summary. The order of calls is the model's own affair, so shapes are not known here."""
        return [(layer, "?") for layer in self.layers]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """A layer by its name or its place."""
        if index is not None:
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"no layer {name!r} in {self.name}: it has {', '.join(layer.name for layer in self.layers)}")

    def summary(self) -> None:
        """Print the layers, their output shapes and their numbers of parameters."""
        print(summary_text(self))

    def build(self, input_shape: Shape) -> None:
        """Make all weights by calling the model on zeros of this shape (None: the batch)."""
        if self.built:
            return
        self.built = True
        try:
            with no_grad():
                self(wrap(np.zeros([2 if n is None else n for n in input_shape], self.dtype)))
        except BaseException:
            self.built = False
            raise

    def _build_for(self, inputs: tuple[Any, ...]) -> None:
        if type(self).build is not Model.build:  # a subclass makes weights of its own
            super()._build_for(inputs)
        self.built = True  # the layers build themselves as the call reaches them

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        outputs = super().__call__(*inputs, **kwargs)
        if self._built_for is None:
            self._built_for = [_signature(self._prepared(x)) for x in inputs]
        return outputs

    # ---- compile

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Iterable[Any] | None = None,
        weighted_metrics: Iterable[Any] | None = None,
    ) -> None:
        """Choose how to train: the optimizer, the loss, and what to measure besides.

        Each is a name ("adam", "mse", "accuracy"), an object with its own settings, or, for the
        loss and the metrics, a function (y_true, y_pred). Sample weights count in the loss and in
        `weighted_metrics`; `metrics` take all samples alike.
        """
        self.optimizer = optimizers.get(optimizer)
        self.loss = None if loss is None else losses.get(loss)
        self._metrics = [known_metrics.get(m) for m in metrics or ()]
        self._weighted_metrics = [known_metrics.get(m) for m in weighted_metrics or ()]
        self._loss_mean = known_metrics.Mean(name="loss")

    # ---- training

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Iterable[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> History:
        """Train, and return the History of what was measured.

        Args:
            x: arrays (one, or a list or dict of several inputs), a generator of batches, or a sequence of them.
            y: the targets, one a sample.
            batch_size: samples a step, 32 if not given. The last batch of an epoch may be smaller.
            epochs: the number of the epoch to train up to.
            verbose: 0 silent, 1 a progress bar, 2 a line an epoch, "auto" a bar on a terminal and lines elsewhere.
            callbacks: Callback objects.
            validation_split: the fraction at the end of the data to hold out, taken before any shuffling.
            validation_data: (x, y) or (x, y, sample_weight), or a generator, to measure after each epoch.
            shuffle: draw a new order of the samples each epoch, from the default random stream.
            class_weight: how much the samples of each class count, by class number.
            sample_weight: how much each sample counts. Not together with class_weight.
            initial_epoch: the number of the first epoch, to go on with earlier training.
            steps_per_epoch, validation_steps: batches an epoch, for generators that do not end.
            validation_batch_size, validation_freq: if validation differs from training, and every how many epochs.

        Ctrl-C stops training and is passed on; `model.history` and the weights stay as they are then.
        """
        self._check_compiled("fit")
        if class_weight is not None and sample_weight is not None:
            raise ValueError(
                "class_weight and sample_weight cannot be combined; multiply them into sample_weight yourself"
            )
        if class_weight is not None:
            sample_weight = class_weights(y, class_weight)
        data: Data = make_data(x, y, sample_weight, batch_size, steps_per_epoch)
        validation = None
        if validation_data is not None:
            validation = _validation(validation_data, validation_batch_size or batch_size, validation_steps)
        elif validation_split:
            if not hasattr(data, "split"):
                raise ValueError("validation_split needs arrays; with a generator pass validation_data")
            data, validation = data.split(validation_split)
        self.history = History()
        params = {"epochs": epochs, "steps": _steps(data), "verbose": verbose}
        hooks = CallbackList([*display(verbose), *(callbacks or ()), self.history], self, params)
        self.stop_training = False
        hooks.on_train_begin()
        try:
            for epoch in range(initial_epoch, epochs):
                self._run_epoch(epoch, data, hooks, shuffle, validation if (epoch + 1) % validation_freq == 0 else None)
                if self.stop_training:
                    break
        finally:
            _close_bars(hooks)
        hooks.on_train_end(self._logs())
        return self.history

    def _run_epoch(self, epoch: int, data: Data, hooks: Any, shuffle: bool, validation: Data | None) -> None:
        hooks.on_epoch_begin(epoch)
        self._reset_metrics()
        order = shuffled(data) if shuffle else None
        for step, batch in enumerate(data.batches(order)):
            hooks.on_train_batch_begin(step)
            self._train_step(batch)
            hooks.on_train_batch_end(step, self._logs())
            if self.stop_training:
                break
        logs = self._logs()
        if not math.isfinite(logs["loss"]):
            warnings.warn(
                f"the loss is {logs['loss']} after epoch {epoch + 1}: try a smaller learning rate or clipnorm; "
                f"TerminateOnNaN() stops at once, detect_anomaly() names the op",
                RuntimeWarning,
                stacklevel=3,
            )
        if validation is not None:
            logs |= {f"val_{name}": value for name, value in self._evaluate(validation, hooks).items()}
        hooks.on_epoch_end(epoch, logs)

    def _train_step(self, batch: Batch) -> None:
        with enable_grad():
            predicted = self._forward(batch.x, training=True)
            loss = self._loss_of(batch, predicted)
            weights = self.trainable_weights
            if not weights:
                raise RuntimeError(f"{self.name} has no trainable weights")
            found = gradients(loss, weights)
        self.optimizer.apply_gradients(list(zip(found, weights, strict=True)))
        self._measure(batch, predicted, loss)

    def _forward(self, x: Any, training: bool) -> Tensor:
        predicted = self(map_arrays(wrap, x), training=training)
        if not isinstance(predicted, Tensor):
            raise TypeError(
                f"{self.name}.call returned {type(predicted).__name__}; to be trained it must return one Tensor"
            )
        return predicted

    def _loss_of(self, batch: Batch, predicted: Tensor) -> Tensor:
        if batch.y is None:
            raise ValueError("there are no targets: pass y")
        loss = self.loss(batch.y, predicted, sample_weight=batch.weights, mask=getattr(predicted, "_mask", None))
        for penalty in self.losses:
            loss = loss + penalty
        return loss

    def _measure(self, batch: Batch, predicted: Tensor, loss: Tensor) -> None:
        self._loss_mean.update_state(float(loss), sample_weight=batch.size)
        mask = getattr(predicted, "_mask", None)
        for metric in self._metrics:
            metric.update_state(batch.y, predicted._array, mask=mask)
        for metric in self._weighted_metrics:
            metric.update_state(batch.y, predicted._array, sample_weight=batch.weights, mask=mask)

    def _logs(self) -> dict[str, float]:
        return {m.name: m.result() for m in self._all_metrics()}

    def _reset_metrics(self) -> None:
        for metric in self._all_metrics():
            metric.reset_state()

    def _all_metrics(self) -> list[Any]:
        return [self._loss_mean, *self._metrics, *self._weighted_metrics]

    # ---- measuring and using

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Iterable[Callback] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and the metrics on this data: [loss, metric, …], the loss alone if there are none, or a dict."""
        self._check_compiled("evaluate")
        data = make_data(x, y, sample_weight, batch_size, steps)
        hooks = CallbackList([*display(verbose), *(callbacks or ())], self, {"epochs": 1, "steps": _steps(data)})
        logs = self._evaluate(data, hooks)
        return logs if return_dict else _unpacked(logs)

    def _evaluate(self, data: Data, hooks: Any) -> dict[str, float]:
        self._reset_metrics()
        hooks.on_test_begin()
        with no_grad():
            for step, batch in enumerate(data.batches()):
                hooks.on_test_batch_begin(step)
                predicted = self._forward(batch.x, training=False)
                self._measure(batch, predicted, self._loss_of(batch, predicted))
                hooks.on_test_batch_end(step, self._logs())
        logs = self._logs()
        hooks.on_test_end(logs)
        return logs

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Iterable[Callback] | None = None,
    ) -> Any:
        """The outputs for all samples, as an array."""
        data = make_data(x, batch_size=batch_size, steps=steps)
        hooks = CallbackList([*display(verbose), *(callbacks or ())], self, {"epochs": 1, "steps": _steps(data)})
        hooks.on_predict_begin()
        parts = []
        for step, batch in enumerate(data.batches()):
            hooks.on_predict_batch_begin(step)
            parts.append(self.predict_on_batch(batch.x))
            hooks.on_predict_batch_end(step)
        hooks.on_predict_end()
        return np.concatenate(parts)

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step on one batch; what was measured on it, before the step changed the weights."""
        self._check_compiled("train_on_batch")
        weights = class_weights(y, class_weight) if class_weight is not None else sample_weight
        self._reset_metrics()
        self._train_step(_one_batch(x, y, weights))
        return self._logs() if return_dict else _unpacked(self._logs())

    def test_on_batch(self, x: Any, y: Any, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """What is measured on one batch, without training."""
        self._check_compiled("test_on_batch")
        batch = _one_batch(x, y, sample_weight)
        self._reset_metrics()
        with no_grad():
            predicted = self._forward(batch.x, training=False)
            self._measure(batch, predicted, self._loss_of(batch, predicted))
        return self._logs() if return_dict else _unpacked(self._logs())

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as an array."""
        with no_grad():
            return self._forward(_one_batch(x).x, training=False)._array

    def _check_compiled(self, method: str) -> None:
        if self.loss is None:
            raise RuntimeError(f"{method}() needs a loss: call model.compile(optimizer=…, loss=…) first")

    # ---- keeping

    def save(self, path: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the model to one file: layers, weights, and all that training needs to go on with."""
        from minidl import saving

        _refuse_to_overwrite(path, overwrite)
        saving.save_model(self, path)

    def save_weights(self, path: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights alone to a file."""
        from minidl import saving

        _refuse_to_overwrite(path, overwrite)
        saving.save_weights(self, path)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Take the weights from a file that `save` or `save_weights` wrote; if one does not fit, none is changed."""
        from minidl import saving

        saving.load_weights(self, path)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The model that `get_config` describes. What a subclass's __init__ does not take is set afterwards."""
        parameters = inspect.signature(cls).parameters
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        model = cls(**{key: value for key, value in config.items() if takes_all or key in parameters})
        model.name = config.get("name", model.name)
        return model


def _signature(x: Any) -> Any:
    """The shape, None for the batch, and the type of an input, or of each in a list or dict of them."""
    if isinstance(x, list):
        return [_signature(e) for e in x]
    if isinstance(x, dict):
        return {key: _signature(value) for key, value in x.items()}
    return {"shape": [None, *x.shape[1:]], "dtype": x.dtype.name}


def _refuse_to_overwrite(path: str | os.PathLike[str], overwrite: bool) -> None:
    if not overwrite and os.path.exists(path):
        raise FileExistsError(errno.EEXIST, "overwrite=False, and there is such a file already", os.fspath(path))


def _one_batch(x: Any, y: Any = None, weights: Any = None) -> Batch:
    data = make_data(x, y, weights)
    return Batch(data.x, data.y, data.weights)  # type: ignore[union-attr]


def _validation(given: Any, batch_size: int | None, steps: int | None) -> Data:
    if isinstance(given, (tuple, list)):
        if len(given) not in (2, 3):
            raise ValueError(f"validation_data must be (x, y) or (x, y, sample_weight), got {len(given)} parts")
        x, y, weights = (*given, None)[:3]
        return make_data(x, y, weights, batch_size)
    return make_data(given, steps=steps)


def _steps(data: Data) -> int | None:
    try:
        return len(data)
    except TypeError:
        return None


def _unpacked(logs: dict[str, float]) -> Any:
    values = list(logs.values())
    return values if len(values) > 1 else values[0]


def _close_bars(hooks: CallbackList) -> None:
    for callback in hooks.callbacks:
        if isinstance(callback, ProgressBar):
            callback.close()
