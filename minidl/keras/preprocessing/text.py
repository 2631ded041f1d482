"""The names of `keras.preprocessing.text` that minidl has."""

# ruff: noqa: F401

from minidl.naming import missing_from as _missing_from
from minidl.preprocessing.text import Tokenizer, hashing_trick, one_hot, text_to_word_sequence, tokenizer_from_json

__getattr__ = _missing_from(__name__, globals())
