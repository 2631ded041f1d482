"""Data on its way to the model: text to ids, ids to rows of one length, labels to one-hot rows."""

from __future__ import annotations

from minidl.preprocessing.labels import to_categorical
from minidl.preprocessing.sequence import pad_sequences
from minidl.preprocessing.text import Tokenizer, hashing_trick, one_hot, text_to_word_sequence, tokenizer_from_json

__all__ = [
    "Tokenizer",
    "hashing_trick",
    "one_hot",
    "pad_sequences",
    "text_to_word_sequence",
    "to_categorical",
    "tokenizer_from_json",
]
