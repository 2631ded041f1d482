"""A text classifier: a model with what stands before it, words to ids, and after it, numbers to classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl.layers import LSTM, Dense, Dropout, Embedding
from minidl.models import Sequential
from minidl.preprocessing import Tokenizer, pad_sequences, tokenizer_from_json
from minidl.saving import load_model_and_extra, save_model

LONGEST = 200  # words a text unless more are asked for: time grows with them, and the end of a review says most


class Prediction(NamedTuple):
    label: str
    probability: float
    probabilities: dict[str, float]  # of every class


class TextClassifier:
    """Texts in, classes out.

    Two LSTMs read the words; a sigmoid tells two classes apart, a softmax more than two.
    """

    def __init__(self, model: Any, tokenizer: Tokenizer, length: int, classes: Sequence[str]) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.length = length
        self.classes = list(classes)

    @classmethod
    def for_texts(
        cls, texts: Sequence[str], classes: Sequence[str], max_words: int, max_length: int | None = None
    ) -> TextClassifier:
        """An untrained one with the vocabulary of these texts, and as many words a text as 95% of them have."""
        tokenizer = Tokenizer(num_words=max_words + 1)  # 0 is padding
        tokenizer.fit_on_texts(texts)
        if not tokenizer.word_index:
            raise ValueError("the texts hold no words")
        lengths = [len(ids) for ids in tokenizer.texts_to_sequences(texts)]
        length = max_length or max(1, min(LONGEST, round(np.quantile(lengths, 0.95))))
        words = min(max_words, len(tokenizer.word_index))
        return cls(_network(words + 1, length, len(classes)), tokenizer, length, classes)

    def inputs(self, texts: Sequence[str]) -> Any:
        """Ids (N, length), 0 before the first word, where the network does not look."""
        return pad_sequences(self.tokenizer.texts_to_sequences(texts), maxlen=self.length)

    def fit(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        validation: tuple[Sequence[str], Sequence[str]] | None = None,
        **options: Any,
    ) -> None:
        """Train on texts and their classes; `validation` is texts and classes too, options as for `Model.fit`."""
        held_out = None if validation is None else (self.inputs(validation[0]), self._numbers(validation[1]))
        self.model.fit(self.inputs(texts), self._numbers(labels), validation_data=held_out, **options)

    def accuracy(self, texts: Sequence[str], labels: Sequence[str]) -> float:
        """The share of the texts that it puts into the right class."""
        return float(np.mean(self._probabilities(texts).argmax(-1) == self._numbers(labels)))

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """The most probable class of each text."""
        return [self._prediction(row.tolist()) for row in self._probabilities(texts)]

    def _numbers(self, labels: Sequence[str]) -> Any:
        """The place of each label among the classes."""
        places = {name: i for i, name in enumerate(self.classes)}
        return np.array([places[label] for label in labels])

    def _probabilities(self, texts: Sequence[str]) -> Any:
        """(N, classes)"""
        p = self.model.predict(self.inputs(texts), batch_size=256, verbose=0)
        return np.concatenate([1 - p, p], axis=1) if len(self.classes) == 2 else p

    def _prediction(self, probabilities: list[float]) -> Prediction:
        best = int(np.argmax(probabilities))
        named = dict(zip(self.classes, probabilities, strict=True))
        return Prediction(self.classes[best], probabilities[best], named)

    # ---- in a file

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write model, vocabulary, length and classes to one file."""
        extra = {"tokenizer": self.tokenizer.to_json(), "length": self.length, "classes": self.classes}
        save_model(self.model, path, {"text_classifier": extra})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TextClassifier:
        """The classifier that `save` wrote."""
        model, extra = load_model_and_extra(path, compile=False)
        if not isinstance(extra, dict) or "text_classifier" not in extra:
            raise ValueError(f"{os.fspath(path)} holds a model without vocabulary and classes; make one with `train`")
        own = extra["text_classifier"]
        return cls(model, tokenizer_from_json(own["tokenizer"]), own["length"], own["classes"])


def _network(words: int, length: int, classes: int) -> Sequential:
    last = Dense(1, activation="sigmoid") if classes == 2 else Dense(classes, activation="softmax")
    model = Sequential(
        [
            Embedding(words, 64, mask_zero=True, input_length=length),
            LSTM(128, return_sequences=True),
            Dropout(0.5),
            LSTM(128),
            Dropout(0.5),
            last,
        ]
    )
    loss = "binary_crossentropy" if classes == 2 else "sparse_categorical_crossentropy"
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return model
