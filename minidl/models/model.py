"""Model: a layer that trains itself."""

from __future__ import annotations

import errno
import inspect
import itertools
import math
import os
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from minidl import devices, losses, optimizers
from minidl import metrics as known_metrics
from minidl.autograd.modes import enable_grad, no_grad
from minidl.callbacks import Callback, CallbackList, History
from minidl.hyperparameters import integer
from minidl.layers.base import NO_FUNCTIONAL_API, Layer, SetByInit, Shape, trying, zeros_of
from minidl.models.data import (
    ArrayData,
    Batch,
    Data,
    check_class_weight,
    make_data,
    map_arrays,
    one_batch,
    validation_batches,
    weighted,
)
from minidl.models.playback import Playback
from minidl.models.progress import ProgressBar, display
from minidl.models.summary import summary_text
from minidl.tensors import Tensor, wrap
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

    _own = Layer._own | {"_metrics", "_weighted_metrics", "_measured", "_built_for", "history", "stop_training"}
    optimizer: Any = None
    loss: Any = None
    history: History | None = None
    stop_training = False
    run_eagerly = False
    _metrics: Sequence[Any] = ()
    _weighted_metrics: Sequence[Any] = ()
    _measured: Mapping[str, Any] = {}
    _playback: Any = SetByInit()
    _built_for: Any = None  # shapes and types of the first inputs, from which a saved model is built again

    def __init__(self, *functional: Any, **kwargs: Any) -> None:
        if functional or {"inputs", "outputs"} & kwargs.keys():
            raise TypeError(f"{type(self).__name__}: {NO_FUNCTIONAL_API}")
        super().__init__(**kwargs)
        self._playback = Playback()

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
            if not -len(self.layers) <= index < len(self.layers):
                raise IndexError(f"no layer {index} in {self.name}: it has {len(self.layers)} layers")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"no layer {name!r} in {self.name}: it has {', '.join(layer.name for layer in self.layers)}")

    def summary(
        self,
        line_length: int | None = None,
        *,  # Keras has the places of the columns here
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
    ) -> None:
        """Print the layers, their output shapes and their numbers of parameters.

        Args:
            line_length: how many characters a line has at least.
            print_fn: gets the text instead of `print`, such as the `info` of a logger.
            expand_nested: show the layers of models inside, too.
            show_trainable: a column that says whether training changes the layer: Y, N, or - if it has no weights.
        """
        (print_fn or print)(summary_text(self, line_length, expand_nested, show_trainable))

    def build(self, input_shape: Shape) -> None:
        """Make all weights by calling the model on zeros of this shape (None: the batch)."""
        if self.built:
            return
        self.built = True
        try:
            with no_grad(), trying():
                self(zeros_of(self, input_shape))
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
        *placed: Any,  # Keras has weights of the losses here
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        jit_compile: bool | str = "auto",
        steps_per_execution: int = 1,
        auto_scale_loss: bool = True,
    ) -> None:
        """Choose how to train: the optimizer, the loss, and what to measure besides.

        Each is a name ("adam", "mse", "accuracy"), an object with its own settings, or, for the
        loss and the metrics, a function (y_true, y_pred). Sample weights count in the loss and in
        `weighted_metrics`; `metrics` take all samples alike. If two of them have one name, the
        second is called `weighted_…` or gets a number.

        On the GPU a step that repeats is recorded and played as a CUDA graph, with the same results;
        `run_eagerly=True` forbids that. `jit_compile`, `steps_per_execution` and `auto_scale_loss` are
        ways of computing the same in Keras. They are accepted, so that programs written for it run, and
        change nothing.
        """
        _check_nothing_else_is_placed(self.name, placed)
        chosen = optimizers.get(optimizer), _loss_of_compile(loss)
        plain, weighted = _metrics_of("metrics", metrics), _metrics_of("weighted_metrics", weighted_metrics)
        self.optimizer, self.loss = chosen
        self.run_eagerly = bool(run_eagerly)
        self._metrics, self._weighted_metrics = plain, weighted
        self._loss_mean = known_metrics.Mean(name="loss")
        self._measured = _named(self._loss_mean, plain, weighted)

    @property
    def metrics_names(self) -> list[str]:
        """What `evaluate` returns, in this order."""
        return list(self._measured)

    def larger_is_better(self, name: str) -> bool | None:
        """Whether the model gets better as what is measured under this name grows; None if nobody knows."""
        return False if name == "loss" else getattr(self._measured.get(name), "larger_is_better", None)

    # ---- training

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Callback | Iterable[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
    ) -> History:
        """Train, and return the History of what was measured.

        Args:
            x: arrays (one, or a list or dict of several inputs), a generator of batches, or a sequence of them.
            y: the targets, one a sample.
            batch_size: samples a step, 32 if not given. The last batch of an epoch may be smaller.
            epochs: the number of the epoch to train up to.
            verbose: 0 silent, 1 a progress bar, 2 a line an epoch, "auto" a bar on a terminal and lines elsewhere.
            callbacks: Callback objects, or one.
            validation_split: the fraction at the end of the data to hold out, taken before any shuffling.
            validation_data: (x, y) or (x, y, sample_weight), or a generator, to measure after each epoch. Once it
                has ended training goes on without.
            shuffle: draw a new order of the samples each epoch, from the default random stream.
            class_weight: how much the samples of each class count, by class number.
            sample_weight: how much each sample counts. Not together with class_weight.
            initial_epoch: the number of the first epoch, to go on with earlier training.
            steps_per_epoch: batches an epoch. The next epoch goes on where it stopped; arrays start over at their end.
            validation_steps: how many batches to validate on.
            validation_batch_size: if it differs from batch_size.
            validation_freq: validate every so many epochs, or after the epochs of this list, counted from 1.

        Ctrl-C stops training and is passed on; `model.history` and the weights stay as they are then.
        """
        self._check_compiled("fit")
        self._check_no_steps_of_its_own()
        if class_weight is not None:
            check_class_weight(class_weight)
        epochs, initial_epoch = integer("epochs", epochs, 0), integer("initial_epoch", initial_epoch, 0)
        validates = _validation_epochs(validation_freq)
        batching = _validation_batching(validation_batch_size, batch_size, validation_steps)
        data: Data = make_data(x, y, sample_weight, batch_size, steps_per_epoch)
        validation: Data | None = None
        if validation_data is not None:
            validation = validation_batches(validation_data, *batching)
        elif validation_split:
            if not isinstance(data, ArrayData):
                raise ValueError("validation_split needs arrays; with a generator pass validation_data")
            data, validation = data.split(validation_split, *batching)
        history = History()
        hooks = self._hooks(verbose, callbacks, {"epochs": epochs, "steps": data.steps, "verbose": verbose}, history)
        go_back = self._way_back()
        self.history, self.stop_training = history, False
        try:
            hooks.on_train_begin()
            logs = self._train(range(initial_epoch, epochs), data, validation, validates, shuffle, class_weight, hooks)
        except Exception:
            go_back()
            raise
        finally:
            _close_bars(hooks)
        hooks.on_train_end(logs)
        return history

    def _way_back(self) -> Callable[[], None]:
        """For an error: puts history, random streams and states back to where they are now, if nothing was trained."""
        steps, history = self.optimizer.iterations, self.history
        states = [(layer, layer.states) for layer in self._playback.stateful(self)]
        # The words that new weights were drawn from are not to be drawn again.
        streams = [(s, s.seed, s.offset) for s in self._playback.streams(self)] if self.built else []

        def go_back() -> None:
            if self.optimizer.iterations > steps:
                return
            self.history = history
            for layer, state in states:
                layer.states = state
            for stream, seed, offset in streams:
                stream.seed, stream.offset = seed, offset

        return go_back

    def _train(
        self,
        epochs: range,
        data: Data,
        validation: Data | None,
        validates: Callable[[int], bool],
        shuffle: bool,
        class_weight: dict[int, float] | None,
        hooks: CallbackList,
    ) -> dict[str, float]:
        logs: dict[str, float] = {}
        finite = True
        unchecked = [d for d in (data, validation) if isinstance(d, ArrayData)]
        for done, epoch in enumerate(epochs):
            hooks.on_epoch_begin(epoch)
            batches = data.epoch(shuffle)
            if class_weight is not None:
                batches = (weighted(batch, class_weight) for batch in batches)
            if not self._train_epoch(batches, hooks, [] if done else unchecked):
                _complain_of_no_batches(done, len(epochs))
                break
            logs = self._logs()
            if finite and not math.isfinite(logs["loss"]):  # said once: it stays so in the epochs after
                finite = False
                _complain_of_loss(logs["loss"], epoch)
            if validation is not None and validates(epoch + 1):
                measured = self._evaluate(validation, hooks)
                logs |= {f"val_{name}": value for name, value in measured.items()}
                if not measured:
                    validation = None  # it has ended for good
                    _complain_of_no_validation(epoch)
            hooks.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        return logs

    def _train_epoch(self, batches: Iterable[Batch], hooks: CallbackList, unchecked: list[ArrayData]) -> int:
        """Train on these batches; how many there were."""
        self.reset_metrics()
        done = 0
        for batch in batches:
            hooks.on_train_batch_begin(done)
            self._train_step(batch, unchecked if done == 0 else ())
            hooks.on_train_batch_end(done, self._logs())
            done += 1
            if self.stop_training:
                break
        return done

    def _train_step(self, batch: Batch, unchecked: Iterable[ArrayData] = ()) -> None:
        def differentiate(batch: Batch) -> Generator[Any]:
            predicted = self._forward(batch.x, training=True)
            weights = self.trainable_weights
            if not weights:
                raise RuntimeError(f"{self.name} has no trainable weights")
            for data in unchecked:  # a wrong label in the last batch would be found after many steps
                if data.y is not None:
                    self.loss.check_targets(data.y, (data.size, *predicted.shape[1:]))
            loss = self._loss_of(batch, predicted)
            yield self._to_measure(predicted, loss)
            yield list(zip(gradients(loss, weights), weights, strict=True))

        run = self._playback.run_once if unchecked else self._playback.run
        with enable_grad():
            measured, pairs = run(self, "train", differentiate, batch)
        self._measure(batch, *measured)  # first, for a metric may refuse what the loss takes
        self._playback.update(self.optimizer, pairs)

    def _test_step(self, batch: Batch) -> None:
        def compare(batch: Batch) -> Generator[Any]:
            predicted = self._forward(batch.x, training=False)
            yield self._to_measure(predicted, self._loss_of(batch, predicted))

        with no_grad():
            measured, _ = self._playback.run(self, "test", compare, batch)
            self._measure(batch, *measured)

    def _forward(self, x: Any, training: bool) -> Tensor:
        predicted = self(map_arrays(self._wrapped, x), training=training)
        if not isinstance(predicted, Tensor):
            raise TypeError(
                f"{self.name}.call returned {type(predicted).__name__}; to be trained it must return one Tensor"
            )
        return predicted

    def _wrapped(self, array: Any) -> Tensor:
        return array if isinstance(array, Tensor) else wrap(devices.send(array, self.device))

    def _loss_of(self, batch: Batch, predicted: Tensor) -> Tensor:
        if batch.y is None:
            raise ValueError("there are no targets: pass y")
        loss = self.loss(batch.y, predicted, sample_weight=batch.weights)
        for penalty in self.losses:
            loss = loss + penalty
        return loss

    @property
    def _measures_outputs(self) -> bool:
        """Whether there are metrics, which look at what the model predicts."""
        return bool(self._metrics or self._weighted_metrics)

    def _to_measure(self, predicted: Tensor, loss: Tensor) -> list[Any]:
        """The arrays that `_measure` takes: the loss, and for the metrics the predictions and their mask."""
        if not self._measures_outputs:
            return [loss._array, None, None]
        return [loss._array, predicted._array, getattr(predicted, "_mask", None)]

    def _measure(self, batch: Batch, loss: Any, outputs: Any, mask: Any) -> None:
        self._loss_mean.update_state(float(loss), sample_weight=batch.size)
        if not self._measures_outputs:
            return
        y, weights = map(devices.to_host, (batch.y, batch.weights))
        predicted = outputs if mask is None else known_metrics.masked(outputs, mask)
        for metric in self._metrics:
            metric.update_state(y, predicted)
        for metric in self._weighted_metrics:
            metric.update_state(y, predicted, sample_weight=weights)

    def _logs(self) -> dict[str, float]:
        logs: dict[str, Any] = {}
        for name, metric in self._measured.items():
            result = metric.result()
            logs |= result if isinstance(result, Mapping) else {name: result}
        return {name: value if type(value) is float else _plain(value) for name, value in logs.items()}

    def reset_metrics(self) -> None:
        """Forget what was measured. `fit`, `evaluate` and the methods for one batch do it when they begin."""
        for metric in self._measured.values():
            metric.reset_state()

    def _hooks(self, verbose: Any, callbacks: Any, params: dict[str, Any], *own: Callback) -> CallbackList:
        given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
        return CallbackList([*display(verbose), *given, *own], model=self, params=params)

    # ---- measuring and using

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Callback | Iterable[Callback] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and the metrics on this data: [loss, metric, …], the loss alone if there are none, or a dict."""
        self._check_compiled("evaluate")
        data = make_data(x, y, sample_weight, batch_size, steps)
        hooks = self._hooks(verbose, callbacks, {"epochs": 1, "steps": data.steps})
        logs = self._evaluate(data, hooks)
        if not logs:
            raise ValueError("there is nothing to measure on: the generator gave no batch, or none that are left")
        return logs if return_dict else _unpacked(logs)

    def _evaluate(self, data: Data, hooks: Any) -> dict[str, float]:
        """What is measured on these data; nothing if they have no batch."""
        self.reset_metrics()
        hooks.on_test_begin()
        step = -1
        with no_grad():
            for step, batch in enumerate(data.batches()):
                hooks.on_test_batch_begin(step)
                self._test_step(batch)
                hooks.on_test_batch_end(step, self._logs())
        logs = self._logs() if step >= 0 else {}
        hooks.on_test_end(logs)
        return logs

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Callback | Iterable[Callback] | None = None,
    ) -> Any:
        """The outputs for all samples, as an array."""
        data = make_data(x, batch_size=batch_size, steps=steps)
        hooks = self._hooks(verbose, callbacks, {"epochs": 1, "steps": data.steps})
        hooks.on_predict_begin()
        parts = []
        for step, batch in enumerate(data.batches()):
            hooks.on_predict_batch_begin(step)
            parts.append(self.predict_on_batch(batch.x))
            hooks.on_predict_batch_end(step, {"outputs": parts[-1]})
        hooks.on_predict_end()
        if not parts:
            raise ValueError("there is nothing to predict: the generator gave no batch, or none that are left")
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
        batch = one_batch(x, y, sample_weight)
        if class_weight is not None:
            check_class_weight(class_weight)
            batch = weighted(batch, class_weight)
        self.reset_metrics()
        go_back = self._way_back()
        try:
            self._train_step(batch)
        except Exception:
            go_back()
            raise
        return self._logs() if return_dict else _unpacked(self._logs())

    def test_on_batch(self, x: Any, y: Any, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """What is measured on one batch, without training."""
        self._check_compiled("test_on_batch")
        batch = one_batch(x, y, sample_weight)
        self.reset_metrics()
        self._test_step(batch)
        return self._logs() if return_dict else _unpacked(self._logs())

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as an array."""

        def predict(batch: Batch) -> Generator[Any]:
            yield [self._forward(batch.x, training=False)._array]

        with no_grad():
            (outputs,), _ = self._playback.run(self, "predict", predict, one_batch(x))
        return np.array(outputs)  # a layer may have passed on what it was given, and that is the caller's

    def _check_compiled(self, method: str) -> None:
        if self.loss is None:
            raise RuntimeError(f"{method}() needs a loss: call model.compile(optimizer=…, loss=…) first")

    def _check_no_steps_of_its_own(self) -> None:
        for name in ("train_step", "test_step", "compute_loss"):
            if hasattr(self, name):
                raise NotImplementedError(
                    f"fit would not call {type(self).__name__}.{name}: it has no such step to replace; "
                    f"write the loop yourself, with gradients(loss, weights) and optimizer.apply_gradients"
                )

    # ---- keeping

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the model to one file: layers, weights, and all that training needs to go on with.

        It is in minidl's own format whatever its name, with a warning if that says .keras, .h5 or .hdf5.
        """
        from minidl import saving

        _refuse_to_overwrite(filepath, overwrite)
        _warn_of_names_of_keras(filepath)
        saving.save_model(self, filepath)

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights alone to a file, in the format that `save` writes."""
        from minidl import saving

        _refuse_to_overwrite(filepath, overwrite)
        _warn_of_names_of_keras(filepath)
        saving.save_weights(self, filepath)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Take the weights from a file that `save` or `save_weights` wrote; if one does not fit, none is changed."""
        from minidl import saving

        saving.load_weights(self, filepath)

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


def _warn_of_names_of_keras(path: str | os.PathLike[str]) -> None:
    """No error: programs written for Keras save and load under such names."""
    root, extension = os.path.splitext(os.fspath(path))
    if extension in (".keras", ".h5", ".hdf5"):
        warnings.warn(
            f"{os.fspath(path)} is written in minidl's own format, which Keras does not read; "
            f"the name {os.path.basename(root)}.minidl would say so",
            stacklevel=3,
        )


def _validation_batching(own: int | None, batch_size: int | None, steps: int | None) -> tuple[int | None, int | None]:
    """The size of the batches to validate on, and how many of them."""
    size = batch_size if own is None else integer("validation_batch_size", own, 1)
    return size, None if steps is None else integer("validation_steps", steps, 1)


def _validation_epochs(frequency: Any) -> Callable[[int], bool]:
    """Whether to validate after an epoch, counted from 1."""
    if isinstance(frequency, (list, tuple, set)):
        return lambda epoch: epoch in frequency
    every = integer("validation_freq", frequency, 1)
    return lambda epoch: epoch % every == 0


def _check_nothing_else_is_placed(model: str, placed: tuple[Any, ...]) -> None:
    if placed:
        raise TypeError(
            f"{model}: compile takes the optimizer and the loss alone by their places, got {placed[0]!r} in a third; "
            f"metrics are named, metrics=[…]"
        )


def _loss_of_compile(given: Any) -> Any:
    """The loss meant: None, or one loss, which may stand in a list as if there were several outputs."""
    saved = isinstance(given, Mapping) and {"class_name", "config"} <= given.keys()
    if isinstance(given, (list, tuple, Mapping)) and not saved:
        if len(given) != 1 or isinstance(given, Mapping):
            raise ValueError(f"loss must be one loss, for the one output of the model, got {given!r}")
        given = given[0]
    return None if given is None else losses.get(given)


def _metrics_of(argument: str, given: Any) -> list[Any]:
    if not (given is None or isinstance(given, (list, tuple, Mapping))):
        raise TypeError(f'{argument} must be a list, such as ["accuracy"], got {given!r}')
    metrics = [known_metrics.get(m) for m in _flattened(given or ())]
    for metric in metrics:
        if type(metric).update_state is known_metrics.Mean.update_state:
            raise TypeError(
                f"{argument}: {metric.name} takes values, not targets and predictions; write a function "
                f"(y_true, y_pred) of one value a sample, whose mean is taken, or subclass MeanMetric"
            )
    return metrics


def _flattened(given: Any) -> list[Any]:
    """The metrics in lists, and in dicts by output, which may be nested: all are for the one output."""
    if isinstance(given, Mapping) and not {"class_name", "config"} <= given.keys():
        given = list(given.values())
    return [m for each in given for m in _flattened(each)] if isinstance(given, (list, tuple)) else [given]


def _plain(result: Any) -> Any:
    """What a metric gives as a float, or as an array if it is several numbers."""
    array = devices.to_host(result._array if isinstance(result, Tensor) else np.asarray(result))
    return float(array) if array.ndim == 0 else array


def _named(loss: Any, plain: list[Any], weighted: list[Any]) -> dict[str, Any]:
    """All that is measured, by names that differ."""
    measured = {loss.name: loss}
    for prefix, metrics in (("", plain), ("weighted_", weighted)):
        for metric in metrics:
            base = metric.name if metric.name not in measured else prefix + metric.name
            numbered = (f"{base}_{i}" for i in itertools.count(1))
            measured[base if base not in measured else next(n for n in numbered if n not in measured)] = metric
    return measured


def _complain_of_no_batches(done: int, epochs: int) -> None:
    if done == 0:
        raise ValueError("there is no data: the generator gave no batch")
    warnings.warn(
        f"the generator has ended: training stops after {done} of {epochs} epochs; "
        f"pass steps_per_epoch with one that goes on, or an object with __len__ and __getitem__",
        stacklevel=4,
    )


def _complain_of_no_validation(epoch: int) -> None:
    warnings.warn(
        f"validation_data gave no batch after epoch {epoch + 1}: nothing is validated from now on; "
        f"pass validation_steps with one that goes on, or an object with __len__ and __getitem__",
        stacklevel=4,
    )


def _complain_of_loss(loss: float, epoch: int) -> None:
    warnings.warn(
        f"the loss is {loss} after epoch {epoch + 1}: try a smaller learning rate or clipnorm; "
        f"TerminateOnNaN() stops at once, detect_anomaly() names the op",
        RuntimeWarning,
        stacklevel=4,
    )


def _unpacked(logs: dict[str, float]) -> Any:
    values = list(logs.values())
    return values if len(values) > 1 else values[0]


def _close_bars(hooks: CallbackList) -> None:
    for callback in hooks.callbacks:
        if isinstance(callback, ProgressBar):
            callback.close()
