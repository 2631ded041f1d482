"""Make keras_layers.json: what Keras computes with these layers, to hold minidl's to.

    python tests/golden/make_keras_layers.py        (needs keras and tensorflow; made with Keras 3.15)

Inputs, initial states, weights and the gradient of the outputs are uniform in [−1, 1], drawn in
this order from `numpy.random.default_rng(seed)`, so the file holds results alone. All in float64.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

BATCH, TIME, FEATURES, UNITS = 3, 4, 2, 2
GAPS = [[1, 0, 1, 1], [0, 1, 1, 0], [0, 0, 1, 0]]
EMPTY_ROW = [[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]

SEQUENCE, BOTH = {"return_sequences": True}, {"return_sequences": True, "return_state": True}


def lstm(**arguments: Any) -> dict[str, Any]:
    return {"class_name": "LSTM", "config": {"units": UNITS} | arguments}


def dense(**arguments: Any) -> dict[str, Any]:
    return {"class_name": "Dense", "config": {"units": 3} | arguments}


def row(
    class_name: str,
    shape: tuple[int, ...] = (BATCH, TIME, FEATURES),
    states: int = 0,
    mask: Any = None,
    **arguments: Any,
) -> dict:
    return {"class_name": class_name, "config": arguments, "shape": shape, "states": states, "mask": mask}


CASES = {
    "LSTM": row("LSTM", units=UNITS),
    "LSTM, sequences": row("LSTM", units=UNITS, **SEQUENCE),
    "LSTM, sequences and states from a state": row("LSTM", states=2, units=UNITS, **BOTH),
    "LSTM, last output and states from a state": row("LSTM", states=2, units=UNITS, return_state=True),
    "LSTM, mask": row("LSTM", mask=GAPS, units=UNITS, **BOTH),
    "LSTM, mask, last output": row("LSTM", mask=GAPS, units=UNITS),
    "LSTM, a row masked, from a state": row("LSTM", states=2, mask=EMPTY_ROW, units=UNITS, **BOTH),
    "LSTM, a row masked, from a state, last output": row(
        "LSTM", states=2, mask=EMPTY_ROW, units=UNITS, return_state=True
    ),
    "LSTM, backwards": row("LSTM", states=2, units=UNITS, go_backwards=True, **BOTH),
    "LSTM, backwards, mask": row("LSTM", states=2, mask=GAPS, units=UNITS, go_backwards=True, **BOTH),
    "LSTM, no bias": row("LSTM", units=UNITS, use_bias=False, **SEQUENCE),
    "LSTM, other activations": row(
        "LSTM", states=2, mask=GAPS, units=UNITS, activation="softsign", recurrent_activation="hard_sigmoid", **BOTH
    ),
    "Bidirectional, concat": row("Bidirectional", layer=lstm()),
    "Bidirectional, concat, sequences, mask": row("Bidirectional", mask=GAPS, layer=lstm(**SEQUENCE)),
    "Bidirectional, sum": row("Bidirectional", layer=lstm(**SEQUENCE), merge_mode="sum"),
    "Bidirectional, mul, mask": row("Bidirectional", mask=EMPTY_ROW, layer=lstm(), merge_mode="mul"),
    "Bidirectional, ave, a row masked": row("Bidirectional", mask=EMPTY_ROW, layer=lstm(**SEQUENCE), merge_mode="ave"),
    "Bidirectional, none": row("Bidirectional", layer=lstm(**SEQUENCE), merge_mode=None),
    "Bidirectional, states from states": row("Bidirectional", states=4, mask=GAPS, layer=lstm(**BOTH)),
    "Bidirectional, none, states": row("Bidirectional", layer=lstm(return_state=True), merge_mode=None),
    "TimeDistributed, Dense": row("TimeDistributed", mask=GAPS, layer=dense(activation="tanh")),
    "TimeDistributed, LSTM": row("TimeDistributed", shape=(2, 3, 3, 2), layer=lstm()),
    "Dense": row("Dense", shape=(3, 4), units=2),
    "Dense, 3 axes, softmax": row("Dense", units=3, activation="softmax"),
    "Dense, no bias": row("Dense", shape=(3, 4), units=2, use_bias=False, activation="relu"),
    "Activation": row("Activation", activation="elu"),
    "Flatten": row("Flatten"),
    "Reshape": row("Reshape", target_shape=[2, -1]),
    "GlobalAveragePooling1D": row("GlobalAveragePooling1D"),
    "GlobalAveragePooling1D, mask": row("GlobalAveragePooling1D", mask=GAPS, keepdims=True),
    "GlobalMaxPooling1D": row("GlobalMaxPooling1D", keepdims=True),
}
ACTIVATIONS = (
    "linear", "relu", "leaky_relu", "elu", "selu", "softplus", "softsign", "tanh", "sigmoid", "hard_sigmoid", "softmax",
    "log_softmax", "silu", "swish", "gelu", "exponential",
)  # fmt: skip


def made(class_name: str, config: dict[str, Any]) -> keras.layers.Layer:
    inside = {"layer": made(**config["layer"])} if "layer" in config else {}
    return getattr(keras.layers, class_name)(**config | inside | {"dtype": "float64"})


def results(case: dict[str, Any], seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    layer = made(case["class_name"], case["config"])
    x = tf.constant(rng.uniform(-1, 1, case["shape"]))
    states = [tf.constant(rng.uniform(-1, 1, (BATCH, UNITS))) for _ in range(case["states"])]
    layer.build(case["shape"])
    layer.set_weights([rng.uniform(-1, 1, w.shape) for w in layer.weights])
    options: dict[str, Any] = {"initial_state": states} if states else {}
    if case["mask"] is not None:
        options["mask"] = tf.constant(np.array(case["mask"], bool))
    with tf.GradientTape() as tape:
        tape.watch([x, *states])
        outputs = layer(x, **options)
        outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
        total = sum(tf.reduce_sum(y * rng.uniform(-1, 1, y.shape)) for y in outputs)
    gradients = tape.gradient(total, [x, *states, *(w.value for w in layer.weights)])
    return {"outputs": [plain(y) for y in outputs], "gradients": [plain(g) for g in gradients]}


def plain(values: Any) -> list[float]:
    return [float(f"{v:.13g}") for v in np.asarray(values).reshape(-1)]


def stateful() -> list[list[float]]:
    """Three calls, the third after reset_state()."""
    rng = np.random.default_rng(100)
    layer = keras.layers.LSTM(UNITS, stateful=True, dtype="float64")
    layer.build((BATCH, TIME, FEATURES))
    layer.set_weights(
        [rng.uniform(-1, 1, w.shape) for w in layer.weights if w.name != "rnn_state"] + layer.get_weights()[3:]
    )
    batches = rng.uniform(-1, 1, (3, BATCH, TIME, FEATURES))
    outputs = [layer(batches[0]), layer(batches[1])]
    layer.reset_state()
    return [plain(y) for y in (*outputs, layer(batches[2]))]


def masked() -> dict[str, Any]:
    """What goes on from an Embedding and from a Masking layer."""
    x = np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 5.0], [5.0, 5.0]]])
    y = keras.layers.Masking(5.0, dtype="float64")(x)
    ids = keras.layers.Embedding(4, 2, mask_zero=True)(np.array([[1, 0, 3], [0, 0, 2]]))
    return {
        "masking": plain(y), "masking mask": np.asarray(y._keras_mask).tolist(),
        "embedding mask": np.asarray(ids._keras_mask).tolist(),
    }  # fmt: skip


def main() -> None:
    grid = tf.constant(np.linspace(-4, 4, 9)[None])
    table = {
        "layers": {name: case | results(case, seed) for seed, (name, case) in enumerate(CASES.items())},
        "activations": {name: plain(keras.activations.get(name)(grid)) for name in ACTIVATIONS},
        "gelu, approximate": plain(keras.activations.gelu(grid, approximate=True)),
        "stateful": stateful(),
        "masks": masked(),
    }
    path = Path(__file__).with_name("keras_layers.json")
    path.write_text(json.dumps(table, separators=(",", ":")).replace('},"', '},\n"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
