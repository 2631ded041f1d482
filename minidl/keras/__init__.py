"""Keras' names for what minidl has: programs run with `tensorflow` replaced by `minidl`.

Nothing is defined here. `import minidl as tf` makes `tf.keras.Sequential` and the like work, and
`from minidl.keras.layers import LSTM` is the LSTM of `minidl.layers`.

>>> import minidl as tf
>>> tf.keras.layers.Dense is tf.layers.Dense
True
"""

import importlib
from typing import Any

from minidl.naming import missing_from as _missing_from

_MODULES = (
    "activations", "backend", "callbacks", "initializers", "layers", "losses", "metrics", "models", "optimizers",
    "preprocessing", "regularizers", "saving", "utils",
)  # fmt: skip
_NAMES = {"Input": "layers", "Model": "models", "Sequential": "models"}
_missing = _missing_from(__name__, (*_MODULES, *_NAMES))


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"minidl.keras.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"minidl.{_NAMES[name]}"), name)
    return _missing(name)


def __dir__() -> list[str]:
    return [*_MODULES, *_NAMES]
