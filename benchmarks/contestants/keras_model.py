"""Keras, on the backend that KERAS_BACKEND names: the document's model as the document writes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras.layers import LSTM, Dense, Dropout, Embedding

from benchmarks import inputs

Step = Callable[[], Any]


def _document_model(time: int, rate: float, optimizer: str = "adam") -> keras.Model:
    layers = [keras.Input((time,), dtype="int32"), Embedding(inputs.WORDS, inputs.FEATURES)]
    layers += [LSTM(inputs.UNITS, return_sequences=True), Dropout(rate), LSTM(inputs.UNITS), Dropout(rate)]
    model = keras.Sequential([*layers, Dense(1, activation="sigmoid")])
    learning_rate = inputs.LEARNING_RATES[optimizer]
    adam = keras.optimizers.Adam(learning_rate, epsilon=inputs.EPSILON)
    model.compile(
        optimizer=adam if optimizer == "adam" else keras.optimizers.SGD(learning_rate), loss="binary_crossentropy"
    )
    model.set_weights(inputs.document_weights())
    return model


def document_train(batch: int, time: int, rate: float, optimizer: str) -> Step:
    model, (x, y) = _document_model(time, rate, optimizer), inputs.document_batch(batch, time)

    def step() -> Any:
        loss = model.train_on_batch(x, y)
        model.reset_metrics()
        return np.asarray(loss)

    return step


def document_infer(batch: int, time: int) -> Step:
    model, (x, _) = _document_model(time, 0.5), inputs.document_batch(batch, time)
    return lambda: model.predict_on_batch(x)
