"""Write keras_losses.json: losses, metrics, optimizers and schedules as Keras computes them, in float64.

Needs Keras 3 (made with 3.15) and TensorFlow:

    python tests/golden/make_keras_losses.py
"""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

keras.config.set_floatx("float64")
rng = np.random.default_rng(0)


def losses() -> list[dict]:
    """Loss and gradient for each loss, reduction, weight and mask."""
    distribution = _softmax(rng.normal(size=(4, 3)))
    one_hot = np.eye(3)[[0, 2, 1, 2]]
    steps = rng.normal(size=(2, 3, 2))
    mask = np.array([[True, True, False], [True, False, False]])
    binary = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    extreme = np.array([[0.0, 1.0], [1.0, 0.0], [1e-9, 1.0], [0.5, 1 - 1e-9]])
    real, other = rng.normal(size=(4, 2)), rng.normal(size=(4, 2))
    weights = np.array([1.0, 0.0, 2.5, 0.25])
    return [
        _loss("MeanSquaredError", {}, real, other),
        _loss("MeanSquaredError", {"reduction": "sum"}, real, other, sample_weight=weights),
        _loss("MeanSquaredError", {}, real, other, sample_weight=weights),
        _loss("MeanSquaredError", {}, steps, steps**2, mask=mask),
        _loss("MeanSquaredError", {}, steps, steps**2, mask=mask, sample_weight=[[1.0, 2.0, 9.0], [0.5, 9.0, 9.0]]),
        _loss("MeanSquaredError", {"reduction": "sum"}, steps, steps**2, mask=mask),
        _loss("MeanSquaredError", {}, real[:, 0], other[:, :1]),
        _loss("MeanSquaredError", {}, real[:, :1], other[:, 0]),
        _loss("MeanAbsoluteError", {}, real, other),
        _loss("Huber", {}, real, 3 * other),
        _loss("Huber", {"delta": 0.3}, real, other),
        _loss("BinaryCrossentropy", {}, binary, _sigmoid(other)),
        _loss("BinaryCrossentropy", {}, binary, extreme),
        _loss("BinaryCrossentropy", {"label_smoothing": 0.2}, binary, _sigmoid(other), sample_weight=weights),
        _loss("BinaryCrossentropy", {"from_logits": True}, binary, 20 * other),
        _loss("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, binary, other),
        _loss("CategoricalCrossentropy", {}, one_hot, distribution),
        _loss("CategoricalCrossentropy", {}, one_hot, 0.5 * distribution + 0.1),
        _loss("CategoricalCrossentropy", {}, one_hot, np.eye(3)[[0, 1, 1, 2]]),
        _loss("CategoricalCrossentropy", {"label_smoothing": 0.3}, one_hot, distribution),
        _loss("CategoricalCrossentropy", {"from_logits": True}, distribution, 20 * distribution[::-1]),
        _loss("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, one_hot, distribution),
        _loss("SparseCategoricalCrossentropy", {}, np.array([0, 2, 1, 2]), distribution, sample_weight=weights),
        _loss("SparseCategoricalCrossentropy", {}, np.array([[0], [2], [1], [2]]), distribution),
        _loss("SparseCategoricalCrossentropy", {"from_logits": True}, np.array([0, 2, 1, 2]), 30 * distribution),
        _loss("SparseCategoricalCrossentropy", {"from_logits": True}, [[0, 1, 1], [1, 0, 0]], steps, mask=mask),
        _loss("KLDivergence", {}, distribution[::-1], distribution),
        _loss("KLDivergence", {}, one_hot, distribution),
        _loss("Hinge", {}, binary, other),
        _loss("Hinge", {}, 2 * binary - 1, other),
        _loss("SquaredHinge", {}, binary, other),
        _loss("CategoricalHinge", {}, one_hot, rng.normal(size=(4, 3))),
    ]


def _loss(name: str, config: dict, y_true, y_pred, sample_weight=None, mask=None) -> dict:
    prediction = tf.Variable(y_pred)
    with tf.GradientTape() as tape:
        tensor = tf.identity(prediction)
        if mask is not None:
            keras.src.backend.set_keras_mask(tensor, tf.constant(mask))
        value = getattr(keras.losses, name)(**config)(np.array(y_true), tensor, sample_weight=sample_weight)
    gradient = tape.gradient(value, prediction)
    return _plain(
        name=name, config=config, y_true=y_true, y_pred=y_pred, sample_weight=sample_weight, mask=mask,
        value=value, gradient=gradient,
    )  # fmt: skip


def metrics() -> list[dict]:
    """The result after each of two batches, the second weighted."""
    scores = [np.round(rng.uniform(size=(9, 1)), 2) for _ in range(2)]
    truth = [rng.integers(0, 2, (9, 1)), rng.integers(0, 2, (9, 1))]
    scores[0][:3] = [[0.5], [0.0], [1.0]]
    table = [_softmax(rng.normal(size=(6, 3))) for _ in range(2)]
    one_hot = [np.eye(3)[rng.integers(0, 3, 6)] for _ in range(2)]
    labels = [rng.integers(0, 3, 6) for _ in range(2)]
    many = [rng.integers(0, 2, (6, 3)) for _ in range(2)]
    return [
        _metric("BinaryAccuracy", {}, truth, scores),
        _metric("BinaryAccuracy", {"threshold": 0.3}, truth, scores),
        _metric("CategoricalAccuracy", {}, one_hot, table),
        _metric("SparseCategoricalAccuracy", {}, labels, table),
        _metric("Accuracy", {}, labels, [labels[1], labels[0]]),
        _metric("MeanSquaredError", {}, one_hot, table),
        _metric("RootMeanSquaredError", {}, truth, scores),
        _metric("MeanAbsoluteError", {}, one_hot, table),
        _metric("Precision", {}, truth, scores),
        _metric("Precision", {"thresholds": [0.2, 0.6, 0.9]}, truth, scores),
        _metric("Precision", {"class_id": 1, "thresholds": 0.3}, one_hot, table),
        _metric("Recall", {}, truth, scores),
        _metric("Recall", {"thresholds": [0.2, 0.6, 0.9]}, truth, scores),
        _metric("Recall", {"class_id": 2, "thresholds": 0.3}, one_hot, table),
        *(
            _metric("AUC", {"curve": curve, "summation_method": method, **more}, truth, scores)
            for curve in ("ROC", "PR")
            for method in ("interpolation", "minoring", "majoring")
            for more in ({}, {"num_thresholds": 7})
        ),
        *(_metric("F1Score", {"average": a}, one_hot, table) for a in (None, "micro", "macro", "weighted")),
        _metric("F1Score", {"average": None, "threshold": 0.4}, many, table),
        _metric("F1Score", {"average": "macro", "threshold": 0.5}, truth, scores),
    ]


def _metric(name: str, config: dict, y_true: list, y_pred: list) -> dict:
    metric = getattr(keras.metrics, name)(**config)
    weight = rng.integers(1, 5, len(y_true[1])) / 2
    results = []
    for t, p, w in zip(y_true, y_pred, (None, weight), strict=True):
        metric.update_state(t, p, sample_weight=w)
        results.append(metric.result())
    return _plain(name=name, config=config, y_true=y_true, y_pred=y_pred, sample_weight=weight, results=results)


def optimizers() -> dict:
    """Two weights after 1 and after 10 steps, with the gradient curvature · w + noise[step]."""
    start = [rng.normal(size=(2, 3)), rng.normal(size=3)]
    curvature = [rng.uniform(0.5, 3, size=(2, 3)), rng.uniform(0.5, 3, size=3)]
    noise = [[rng.normal(size=w.shape) for w in start] for _ in range(10)]
    common = [{}, {"clipnorm": 0.7}, {"global_clipnorm": 1.1}, {"clipvalue": 0.4}, {"weight_decay": 0.05}]
    own = {
        "SGD": [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}],
        "Adam": [{"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}],
        "AdamW": [{"weight_decay": 0.1, "clipnorm": 0.7}],
        "RMSprop": [{"rho": 0.5, "epsilon": 1e-3}],
        "Adagrad": [{"initial_accumulator_value": 0.5, "epsilon": 1e-3}],
    }
    cases = []
    for name, options in own.items():
        for config in [*common, *({"learning_rate": 0.05, **o} for o in options)]:
            optimizer = _in_float64(getattr(keras.optimizers, name)(**config))
            weights = [keras.Variable(w) for w in start]
            after = {}
            for step in range(10):
                grads = [c * w.numpy() + n for c, w, n in zip(curvature, weights, noise[step], strict=True)]
                optimizer.apply_gradients(zip([tf.constant(g) for g in grads], weights, strict=True))
                after[step + 1] = [w.numpy() for w in weights]
            cases.append(_plain(name=name, config=config, first=after[1], last=after[10]))
    return {**_plain(start=start, curvature=curvature, noise=noise), "cases": cases}


def schedules() -> list[dict]:
    """The learning rate at some steps."""
    rate = {"initial_learning_rate": 0.1, "decay_steps": 8}
    cases = [
        ("ExponentialDecay", {**rate, "decay_rate": 0.5}),
        ("ExponentialDecay", {**rate, "decay_rate": 0.5, "staircase": True}),
        ("InverseTimeDecay", {**rate, "decay_rate": 0.5}),
        ("InverseTimeDecay", {**rate, "decay_rate": 0.5, "staircase": True}),
        ("PolynomialDecay", rate),
        ("PolynomialDecay", {**rate, "end_learning_rate": 0.01, "power": 2.0}),
        ("PolynomialDecay", {**rate, "end_learning_rate": 0.01, "cycle": True}),
        ("CosineDecay", rate),
        ("CosineDecay", {**rate, "alpha": 0.1}),
        ("CosineDecay", {**rate, "warmup_target": 0.5, "warmup_steps": 5}),
        ("PiecewiseConstantDecay", {"boundaries": [4, 9], "values": [0.1, 0.02, 0.003]}),
    ]
    steps = [0, 1, 4, 5, 6, 7, 8, 9, 15, 16, 17, 40]
    return [
        {"name": name, "config": config, "steps": steps, "rates": [float(schedule(s)) for s in steps]}
        for name, config in cases
        for schedule in [_in_float64(getattr(keras.optimizers.schedules, name)(**config))]
    ]


def _in_float64(thing):
    """Keras on TensorFlow rounds Python floats to float32, whatever floatx is; NumPy's it leaves alone."""
    for name, value in vars(thing).items():
        if type(value) is float:
            setattr(thing, name, np.float64(value))
        elif isinstance(value, list) and value and type(value[0]) is float:
            setattr(thing, name, [np.float64(v) for v in value])
    return thing


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x)
    return e / e.sum(-1, keepdims=True)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _plain(**values) -> dict:
    """Arrays and tensors as nested lists."""
    return {name: _list(value) for name, value in values.items()}


def _list(value):
    if isinstance(value, (list, tuple)):
        return [_list(v) for v in value]
    if isinstance(value, dict) or value is None or isinstance(value, (str, float, int, bool)):
        return value
    return np.asarray(value).tolist()


if __name__ == "__main__":
    found = {"losses": losses(), "metrics": metrics(), "optimizers": optimizers(), "schedules": schedules()}
    lines = [f'"{part}": {json.dumps(cases)}' for part, cases in found.items()]
    Path(__file__).with_suffix("").with_name("keras_losses.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
