"""Models in a file: what they are made of, their weights, and all that training needs to go on.

The description holds for the model, and for the loss, the metrics and the optimizer, what
`get_config` returns. A class or function of the user's own is written by its name, and found
again among the `custom_objects` that loading is given: nothing is imported, nothing executed.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import devices, losses, metrics, random
from minidl.autograd.modes import no_grad
from minidl.naming import UnknownNameError, serialize
from minidl.saving import archive
from minidl.saving.archive import Path
from minidl.tensors import Tensor

if TYPE_CHECKING:
    from minidl.layers.base import Layer
    from minidl.models import Model

_WEIGHTS, _OPTIMIZER = "weights/", "optimizer/"
_GIVEN_BY_NAME = "; classes and functions of your own are given by name, custom_objects={name: …}"


# ---- weights alone


def save_weights(model: Model, path: Path) -> None:
    """Write the weights alone, to be read by `load_weights` of a model of the same layers."""
    archive.write(path, {"weights": _titles(model)}, _weights_of(model))


def load_weights(model: Model, path: Path) -> None:
    """Take the weights from a file of `save_weights` or `save_model`. If one does not fit, none is changed."""
    description, arrays = archive.read(path)
    _set_weights(model, description, arrays, path)


def _weights_of(model: Model) -> dict[str, Any]:
    return {f"{_WEIGHTS}{i}": devices.to_host(w._array) for i, w in enumerate(model.weights)}


def _titles(model: Model) -> list[str]:
    """The weights in order, by layer and name, for whoever reads an error or the file."""
    if not model.built:
        raise ValueError(f"{model.name} has no weights to save yet: build(shape) makes them, or the first data")
    owners = {id(w): layer.name for layer in model._descendants() for w in (*layer._parameters, *layer._buffers)}
    return [f"{owners[id(w)]}/{w.name}" for w in model.weights]


def _set_weights(model: Model, description: Mapping[str, Any], arrays: Mapping[str, Any], path: Path) -> None:
    if not model.built:
        raise ValueError(f"{model.name} has no weights to load into yet: build(shape) makes them, or the first data")
    saved, weights = description.get("weights"), model.weights
    if not isinstance(saved, list):
        raise ValueError(f"{os.fspath(path)} is damaged: it does not say which weights it holds")
    if len(saved) != len(weights):
        raise ValueError(
            f"{os.fspath(path)} holds {len(saved)} weights and {model.name} has {len(weights)}: "
            f"the file has {', '.join(saved)}; the model has {', '.join(_titles(model))}"
        )
    names = [f"{_WEIGHTS}{i}" for i in range(len(saved))]
    if not arrays.keys() >= set(names):
        raise ValueError(f"{os.fspath(path)} is damaged: it names more weights than it holds")
    values = [arrays[name] for name in names]
    for title, own, value, weight in zip(saved, _titles(model), values, weights, strict=True):
        if (value.shape, value.dtype) != (weight.shape, weight.dtype):
            raise ValueError(
                f"{os.fspath(path)} does not fit {model.name}: {own} is {weight.dtype} {weight.shape}, "
                f"the file has {title}, {value.dtype} {value.shape}"
            )
    model.set_weights(values)


# ---- whole models


def save_model(model: Model, path: Path, extra: Any = None) -> None:
    """Write a model with all that `load_model` needs. `extra` is anything that JSON can hold, for the caller."""
    description = {
        "weights": _titles(model),
        "model": serialize(model),
        "built_for": model._built_for,
        "streams": [_position(stream) for stream in _streams(model)],
        "default_stream": _position(random.default()),
        "training": None if model.optimizer is None else _training(model),
        "extra": extra,
    }
    archive.write(path, description, _weights_of(model) | _optimizer_state(model))


def load_model(
    filepath: Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True, *, resume: bool = False
) -> Any:
    """The model that `model.save(path)` wrote, weights included.

    Args:
        filepath: the file.
        custom_objects: classes and functions of your own that the model uses, by name.
        compile: bring back the optimizer with its moments, the loss and the metrics too, so that `fit` can go on.
        resume: also put the default random stream where it stood, so that `fit(…, initial_epoch=n)` gives the
            same bits as training that never stopped.

    >>> import minidl as md, pathlib, tempfile
    >>> model = md.Sequential([md.layers.Input((4,)), md.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.minidl")
    ...     model.save(path)
    ...     again = md.models.load_model(path)
    >>> bool((again.get_weights()[0] == model.get_weights()[0]).all())
    True
    """
    return load_model_and_extra(filepath, custom_objects, compile, resume)[0]


def load_model_and_extra(
    path: Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True, resume: bool = False
) -> tuple[Any, Any]:
    """`load_model`, and with the model the `extra` that `save_model` was given."""
    description, arrays = archive.read(path)
    if "model" not in description:
        raise ValueError(f"{os.fspath(path)} holds weights alone: make the model, then model.load_weights(path)")
    default = random.default()
    position = _position(default)
    try:
        model = _model_again(description, custom_objects or {})
        if compile and description["training"] is not None:
            _compile_again(model, description["training"], arrays, custom_objects or {})
        for stream, saved in zip(_streams(model), description["streams"], strict=True):
            stream.seed, stream.offset = map(operator.index, saved)
        seed, offset = map(operator.index, description["default_stream"])
        extra = description["extra"]
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        unknown = isinstance(error, UnknownNameError)
        raise ValueError(
            f"the model in {os.fspath(path)} cannot be made again: {error}{_GIVEN_BY_NAME if unknown else ''}"
        ) from error
    finally:  # the initial weights, which are replaced at once, are not to cost the stream anything
        default.seed, default.offset = position
    _set_weights(model, description, arrays, path)
    if resume:
        default.seed, default.offset = seed, offset
    return model, extra


def _model_again(description: Mapping[str, Any], custom_objects: Mapping[str, Any]) -> Any:
    from minidl.models import Model

    model = _made_again(description["model"], custom_objects)
    if not isinstance(model, Model):
        raise UnknownNameError(f"unknown class {description['model']['class_name']!r}")
    if not model.built:
        with no_grad():
            model(*(_zeros(signature) for signature in description["built_for"]))
    return model


# ---- what training needs


def _training(model: Model) -> dict[str, Any]:
    return {
        "optimizer": serialize(model.optimizer),
        "loss": None if model.loss is None else _written(model.loss),
        "metrics": [_written(metric) for metric in model._metrics],
        "weighted_metrics": [_written(metric) for metric in model._weighted_metrics],
        "trained": [i for i in _trained(model) if i is not None],
    }


def _trained(model: Model) -> list[int | None]:
    """Where the weights that the optimizer has seen stand in the model; None for one that it has no more."""
    places = {id(w): i for i, w in enumerate(model.weights)}
    return [places.get(id(w)) for w in model.optimizer._kept]


def _optimizer_state(model: Model) -> dict[str, Any]:
    """What `get_state` returns, the moments named by the place of their weight in the model."""
    if model.optimizer is None:
        return {}
    trained, state = _trained(model), {}
    for name, array in model.optimizer.get_state().items():
        seen, slash, slot = name.partition("/")
        if not slash:
            state[f"{_OPTIMIZER}{name}"] = array
        elif trained[int(seen)] is not None:
            state[f"{_OPTIMIZER}{trained[int(seen)]}/{slot}"] = array
    return state


def _compile_again(
    model: Model, training: Mapping[str, Any], arrays: Mapping[str, Any], custom_objects: Mapping[str, Any]
) -> None:
    settings = {key: training[key] for key in ("optimizer", "loss", "metrics", "weighted_metrics")}
    model.compile(**_made_again(settings, custom_objects))
    weights, trained = model.weights, training["trained"]
    model.optimizer.build(weights[i] for i in trained)
    state = {}
    for name in [name.removeprefix(_OPTIMIZER) for name in arrays if name.startswith(_OPTIMIZER)]:
        place, slash, slot = name.partition("/")
        state[f"{trained.index(int(place))}/{slot}" if slash else name] = arrays[f"{_OPTIMIZER}{name}"]
    model.optimizer.set_state(state)


def _written(thing: losses.Loss | metrics.Metric) -> dict[str, Any]:
    if isinstance(thing, losses.FunctionLoss):
        config = {"function": thing.function, "reduction": thing.reduction, "name": thing.name}
    elif isinstance(thing, metrics.FunctionMetric):
        config = {"function": thing.function, "name": thing.name}
    else:
        return serialize(thing)
    return {"class_name": type(thing).__name__, "config": config}


# ---- from names to things


def _made_again(value: Any, custom_objects: Mapping[str, Any]) -> Any:
    """A description with what stands for classes and functions of the user's own replaced by these, innermost first.

    What minidl knows by itself stays as it is: the `get` and `deserialize` of its family makes it.
    """
    if isinstance(value, list):
        return [_made_again(element, custom_objects) for element in value]
    if not isinstance(value, dict):
        return value
    value = {key: _made_again(element, custom_objects) for key, element in value.items()}
    if value.keys() == {"class_name", "config"}:
        name, containers = value["class_name"], _containers()
        if name in custom_objects:
            return _of_the_users_own(custom_objects[name], value["config"])
        return containers[name].from_config(value["config"]) if name in containers else value
    if value.keys() == {"function"}:
        if value["function"] not in custom_objects:
            raise UnknownNameError(f"it uses a function {value['function']!r}")
        return custom_objects[value["function"]]
    return value


def _of_the_users_own(cls: Any, config: dict[str, Any]) -> Any:
    try:
        return cls.from_config(config)
    except TypeError as error:
        raise TypeError(
            f"{error}; {cls.__name__}.__init__ must take what get_config() returned, which is {', '.join(config)}: "
            f"write get_config() with its own arguments, and pass **kwargs on to super().__init__; "
            f"until then make the model anew and take its weights from the file, model.load_weights(path)"
        ) from error


def _containers() -> dict[str, Any]:
    """Classes whose configuration may hold something of the user's own, and that no table of names knows."""
    from minidl.models import Sequential

    return {"Sequential": Sequential, "FunctionLoss": losses.FunctionLoss, "FunctionMetric": metrics.FunctionMetric}


# ---- inputs and streams


def _zeros(signature: Any) -> Any:
    """A batch of zeros as `Model._built_for` describes it."""
    if isinstance(signature, list):
        return [_zeros(element) for element in signature]
    if signature.keys() != {"shape", "dtype"}:
        return {key: _zeros(element) for key, element in signature.items()}
    return Tensor(np.zeros([2 if n is None else n for n in signature["shape"]], signature["dtype"]))


def _streams(model: Layer) -> list[random.Generator]:
    """The random streams that layers keep for themselves, of dropout with a seed of its own."""
    values = (value for layer in model._descendants() for value in vars(layer).values())
    return [value for value in values if isinstance(value, random.Generator)]


def _position(stream: random.Generator) -> tuple[int, int]:
    return stream.seed, stream.offset
