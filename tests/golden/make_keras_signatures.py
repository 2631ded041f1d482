"""Make keras_signatures.json: what the classes and functions of Keras take by position, in order, with the defaults.

python tests/golden/make_keras_signatures.py        (needs keras and tensorflow; made with Keras 3.15)
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import keras

MODULES = [
    "activations", "callbacks", "initializers", "layers", "losses", "metrics", "models", "optimizers",
    "optimizers.schedules", "regularizers",
]  # fmt: skip
METHODS = {
    "metrics.Metric": ["add_variable", "add_weight"],
    "models.Sequential": [
        "compile", "evaluate", "fit", "get_layer", "load_weights", "predict", "predict_on_batch", "save",
        "save_weights", "summary", "test_on_batch", "train_on_batch",
    ],
}  # fmt: skip


def found(path: str) -> Any:
    thing = keras
    for name in path.split("."):
        thing = getattr(thing, name)
    return thing


def signature(function: Any) -> list[list[Any]] | None:
    """[name, default] of each; a default that JSON cannot hold, or none, is null. None for a function of *args."""
    rows = []
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            return None
        if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self":
            rows.append([p.name, p.default if isinstance(p.default, (bool, int, float, str)) else None])
    return rows


def main() -> None:
    signatures = {}
    for module in MODULES:
        for name, thing in sorted(vars(found(module)).items()):
            if callable(thing) and name[0] != "_":
                signatures[f"{module}.{name}"] = signature(thing.__init__ if isinstance(thing, type) else thing)
    for owner, names in METHODS.items():
        for name in names:
            signatures[f"{owner}.{name}"] = signature(getattr(found(owner), name))
    lines = [f"{json.dumps(name)}: {json.dumps(rows)}" for name, rows in signatures.items() if rows is not None]
    Path(__file__).with_name("keras_signatures.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
