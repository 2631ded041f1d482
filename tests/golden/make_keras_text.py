"""Write keras_text.json: what Keras makes of generated corpora, sequences and labels.

Needs Keras 3 (made with 3.15). Run with PYTHONHASHSEED=0, since the order of word_docs in
Keras' JSON follows the hash seed:

    PYTHONHASHSEED=0 python tests/golden/make_keras_text.py
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import keras
from keras.src.legacy.preprocessing import text as keras_text

WORDS = [
    "Red",
    "red",
    "blue-green",
    "don't",
    "DON'T",
    "x",
    "X",
    "Éa",
    "straße",
    "İz",
    "日本",
    "a.b",
    "(q)",
    "né\r",
    "#1",
]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"num_words": 0},
    {"num_words": 1},
    {"num_words": 1, "oov_token": "<unk>"},
    {"num_words": 4},
    {"num_words": 4, "oov_token": "<unk>"},
    {"num_words": 100, "oov_token": "x"},
    {"oov_token": "red", "num_words": 3},
    {"lower": False},
    {"lower": False, "filters": ""},
    {"filters": "aeiou", "split": "-"},
    {"split": "__", "filters": " ."},
    {"split": None},
    {"char_level": True},
    {"char_level": True, "lower": False, "oov_token": "?", "num_words": 5},
]
MODES = ("binary", "count", "freq", "tfidf")


def corpus(rng: random.Random, documents: int) -> list[str | list[str]]:
    texts: list[str | list[str]] = []
    for _ in range(documents):
        words = [rng.choice(WORDS) for _ in range(rng.choice([0, 2, 4, 7]))]
        joined = rng.choice([" ", " ", ", ", "\t", "__"]).join(words)
        texts.append(words if rng.random() < 0.2 else joined)
    return texts


def tokenizer_case(seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    rng = random.Random(seed)
    fits = [corpus(rng, 5), corpus(rng, 3)]
    texts = corpus(rng, 3)
    sequences = [[rng.randrange(0, 14) for _ in range(rng.randrange(7))] for _ in range(3)]
    tokenizer = keras_text.Tokenizer(**settings)
    for fit in fits:
        tokenizer.fit_on_texts(fit)
    return {
        "settings": settings,
        "fits": fits,
        "texts": texts,
        "sequences": sequences,
        "json": tokenizer.to_json(),
        "texts_to_sequences": tokenizer.texts_to_sequences(texts),
        "sequences_to_texts": tokenizer.sequences_to_texts(sequences),
        "texts_to_matrix": {mode: tokenizer.texts_to_matrix(texts, mode).tolist() for mode in MODES},
        "sequences_to_matrix": {mode: tokenizer.sequences_to_matrix(sequences, mode).tolist() for mode in MODES},
    }


def hashing_case(text: str, n: int) -> dict[str, Any]:
    return {"text": text, "n": n, "ids": keras_text.hashing_trick(text, n, "md5")}


def padding_case(sequences: list[Any], **arguments: Any) -> dict[str, Any]:
    padded = keras.utils.pad_sequences(sequences, **arguments)
    return {
        "sequences": sequences,
        "arguments": arguments,
        "dtype": padded.dtype.name,
        "shape": padded.shape,
        "padded": padded.tolist(),
    }


def padding_cases() -> list[dict[str, Any]]:
    ids = [[5, 6, 7, 8, 9], [], [1], [2, 3]]
    vectors = [[[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]], [], [[7.5, 8.5]]]
    ends = ("pre", "post")
    return [
        padding_case(ids),
        padding_case([[], []]),
        padding_case([], maxlen=3),
        padding_case([[2.0, 3.0], [4.0]]),
        padding_case([["a", "bc"], ["d"]], dtype="object", value=-1),
        padding_case(ids, value=-1, dtype="int64"),
        *(
            padding_case(ids, maxlen=n, padding=padding, truncating=truncating)
            for n in (1, 3, 7)
            for padding in ends
            for truncating in ends
        ),
        *(padding_case(vectors, dtype="float32", value=0.5, padding=padding, maxlen=2) for padding in ends),
    ]


def labels_case(x: Any, num_classes: int | None) -> dict[str, Any]:
    return {"x": x, "num_classes": num_classes, "rows": keras.utils.to_categorical(x, num_classes).tolist()}


def main() -> None:
    golden = {
        "keras": keras.__version__,
        "tokenizers": [tokenizer_case(seed, settings) for seed, settings in enumerate(SETTINGS)],
        "hashing": [hashing_case(" ".join(WORDS), n) for n in (2, 10, 100_000)],
        "padding": padding_cases(),
        "labels": [
            labels_case(x, num_classes)
            for x in (2, [0, 2, 1], [[0], [2]], [[0, 1], [2, 0]], [[[1], [0]]], [3.0, 0.0], [2])
            for num_classes in (None, 5)
        ],
    }
    target = Path(__file__).with_name("keras_text.json")
    target.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
