"""From text to word ids: the Tokenizer, and hashing for when no vocabulary is kept."""

from __future__ import annotations

import json
import math
import operator
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from minidl.preprocessing import _arguments

__all__ = ["Tokenizer", "hashing_trick", "one_hot", "text_to_word_sequence", "tokenizer_from_json"]

FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
MODES = ("binary", "count", "freq", "tfidf")
SETTINGS = ("num_words", "filters", "lower", "split", "char_level", "oov_token")


def text_to_word_sequence(
    input_text: str, filters: str = FILTERS, lower: bool = True, split: str | None = " "
) -> list[str]:
    """The words of a text: lower-case it, turn each character of `filters` into `split`, split.

    The apostrophe is not filtered, so "don't" is one word. ``split=None`` deletes the
    filtered characters and splits at any white space.

    >>> text_to_word_sequence("The sky, it's BLUE!")
    ['the', 'sky', "it's", 'blue']
    """
    if not isinstance(input_text, str):
        raise TypeError(
            f"expected one text as a string, got {type(input_text).__name__}; call once for each text of a list"
        )
    if filters is None:
        raise TypeError("filters must be a string of characters, got None; pass '' to filter nothing")
    if split == "":
        raise ValueError("split must not be empty; use Tokenizer(char_level=True) for single characters")
    if lower:
        input_text = input_text.lower()
    table: dict[str, Any] = dict.fromkeys(filters, split)
    words = input_text.translate(str.maketrans(table)).split(split)
    return [word for word in words if word]


def hashing_trick(
    text: str,
    n: int,
    hash_function: Callable[[str], int] | str | None = None,
    filters: str = FILTERS,
    lower: bool = True,
    split: str | None = " ",
    analyzer: Callable[[str], Iterable[str]] | None = None,
) -> list[int]:
    """Word ids without a vocabulary: ``hash(word) mod (n - 1) + 1``, from 1 to n - 1.

    Different words may share an id. The hash is MD5 (`None` or "md5"), the same in every
    process, or a function of yours. Python's own `hash` of a string changes with each process.
    `analyzer` is a function from the text to its words, in place of `text_to_word_sequence`.

    >>> hashing_trick("the sky is blue, the sun is not", 1000)
    [132, 76, 453, 544, 132, 162, 453, 39]
    """
    n = _arguments.integer("n", n, minimum=2)
    if hash_function is None or hash_function == "md5":
        hash_function = _md5
    elif not callable(hash_function):
        raise ValueError(f"hash_function must be None, 'md5' or a function, got {hash_function!r}")
    words = text_to_word_sequence(text, filters, lower, split) if analyzer is None else analyzer(text)
    return [hash_function(word) % (n - 1) + 1 for word in words]


def one_hot(
    input_text: str,
    n: int,
    filters: str = FILTERS,
    lower: bool = True,
    split: str | None = " ",
    analyzer: Callable[[str], Iterable[str]] | None = None,
) -> list[int]:
    """`hashing_trick` with MD5. It returns ids, not one-hot rows: the name is Keras'.

    >>> one_hot("the sky is blue", 1000) == hashing_trick("the sky is blue", 1000)
    True
    """
    return hashing_trick(input_text, n, None, filters, lower, split, analyzer)


def _md5(word: str) -> int:
    from hashlib import md5

    return int.from_bytes(md5(word.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest(), "big")


class Tokenizer:
    """Words ranked by frequency, and texts as sequences of their ranks.

    The most frequent word has id 1; words of equal count rank by first appearance. Id 0 is
    never given to a word, so it is free for padding.

    Args:
        num_words: ids stay below `num_words`; rarer words become `oov_token`, or vanish
            without one. `word_index` keeps all words. None or 0 means no limit.
        filters: characters that are replaced by `split`.
        lower: lower-case the texts.
        split: where texts are split into words.
        char_level: every character is a token. `filters`, `split` and `analyzer` are unused.
        oov_token: stands for words outside the vocabulary. It has id 1, unless the texts hold
            it themselves: then it has the id of its rank.
        analyzer: a function from a text to its tokens, in place of `text_to_word_sequence`.
            It is not part of the configuration: set ``tokenizer.analyzer`` again after loading.

    A text is a string, or a list of tokens, which are only lower-cased.

    Attributes:
        word_counts: occurrences of each word, in order of first appearance.
        word_docs, index_docs: number of texts that hold the word, by word and by id.
        word_index, index_word: id of each word and word of each id.
        document_count: number of texts seen.

    >>> tokenizer = Tokenizer(num_words=1000)
    >>> tokenizer.fit_on_texts(["I love eating pizza", "The sky is blue", "I hate broccoli", "The sun is shining"])
    >>> tokenizer.word_index["i"], tokenizer.word_index["the"]
    (1, 2)
    >>> tokenizer.texts_to_sequences(["The sky is shining", "I love broccoli and pizza"])
    [[2, 7, 3, 12], [1, 4, 10, 6]]
    """

    def __init__(
        self,
        num_words: int | None = None,
        filters: str = FILTERS,
        lower: bool = True,
        split: str | None = " ",
        char_level: bool = False,
        oov_token: str | None = None,
        analyzer: Callable[[Any], Iterable[Any]] | None = None,
    ) -> None:
        self.num_words = None if num_words is None else _arguments.integer("num_words", num_words, minimum=0)
        self.filters = filters
        self.lower = lower
        self.split = split
        self.char_level = char_level
        self.oov_token = oov_token
        self.analyzer = analyzer
        self.document_count = 0
        self.word_counts: Counter[str] = Counter()
        self.word_docs: Counter[str] = Counter()
        self.index_docs: Counter[int] = Counter()
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}

    # --- fitting ---------------------------------------------------------------------------------

    def fit_on_texts(self, texts: Iterable[str | list[str]]) -> None:
        """Count the words of `texts`, on top of what was counted before, and rank all words anew.

        An error in one of the texts leaves the tokenizer as it was.
        """
        counts: Counter[str] = Counter()
        docs: Counter[str] = Counter()
        documents = 0
        for tokens in self._tokenized(texts):
            counts.update(tokens)
            docs.update(list(dict.fromkeys(tokens)))  # a set would make the order depend on the hash seed
            documents += 1
        self.word_counts.update(counts)
        self.word_docs.update(docs)
        self.document_count += documents
        self._rank()

    def _rank(self) -> None:
        ranked = sorted(self.word_counts, key=self.word_counts.__getitem__, reverse=True)
        if self.oov_token is not None:
            ranked.insert(0, self.oov_token)
        self.word_index = {word: rank for rank, word in enumerate(ranked, start=1)}
        self.index_word = {rank: word for word, rank in self.word_index.items()}
        for word, documents in self.word_docs.items():
            self.index_docs[self.word_index[word]] = documents

    def fit_on_sequences(self, sequences: Iterable[Iterable[int]]) -> None:
        """Count in how many sequences each id occurs: all that the "tfidf" mode needs."""
        id_lists = list(_id_lists(sequences))
        for ids in id_lists:
            self.index_docs.update(set(ids))
        self.document_count += len(id_lists)

    # --- texts to ids and back -------------------------------------------------------------------

    def texts_to_sequences(self, texts: Iterable[str | list[str]]) -> list[list[int]]:
        """The ids of the words of each text.

        >>> tokenizer = Tokenizer(oov_token="<unk>")
        >>> tokenizer.fit_on_texts(["a b", "b"])
        >>> tokenizer.texts_to_sequences(["a b c"])
        [[3, 2, 1]]
        """
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts: Iterable[str | list[str]]) -> Iterator[list[int]]:
        """`texts_to_sequences`, one text at a time."""
        for tokens in self._tokenized(texts):
            self._require_vocabulary()
            oov_id = None if self.oov_token is None else self.word_index[self.oov_token]
            ids = [self.word_index.get(token, oov_id) for token in tokens]
            limit = self.num_words or math.inf
            ids = [i if i is None or i < limit else oov_id for i in ids]
            yield [i for i in ids if i is not None]

    def sequences_to_texts(self, sequences: Iterable[Iterable[int]]) -> list[str]:
        """The words of each sequence of ids, joined by spaces.

        Ids without a word, the 0 of padding included, become `oov_token`, or vanish without one.

        >>> tokenizer = Tokenizer()
        >>> tokenizer.fit_on_texts(["the sky is blue", "the sun is shining"])
        >>> tokenizer.sequences_to_texts([[0, 0, 1, 5, 2], [1, 3]])
        ['the sun is', 'the sky']
        """
        return list(self.sequences_to_texts_generator(sequences))

    def sequences_to_texts_generator(self, sequences: Iterable[Iterable[int]]) -> Iterator[str]:
        """`sequences_to_texts`, one sequence at a time."""
        for ids in _id_lists(sequences):
            self._require_vocabulary()
            limit = self.num_words or math.inf
            words = [self.index_word.get(i, self.oov_token) if i < limit else self.oov_token for i in ids]
            yield " ".join(str(word) for word in words if word is not None)

    # --- texts as rows of a matrix ---------------------------------------------------------------

    def texts_to_matrix(self, texts: Iterable[str | list[str]], mode: str = "binary") -> np.ndarray:
        """`sequences_to_matrix` of `texts_to_sequences`: one row a text, one column an id.

        >>> tokenizer = Tokenizer()
        >>> tokenizer.fit_on_texts(["b a", "b"])
        >>> tokenizer.texts_to_matrix(["a b b"], mode="count")
        array([[0., 2., 1.]])
        """
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode=mode)

    def sequences_to_matrix(self, sequences: Iterable[Iterable[int]], mode: str = "binary") -> np.ndarray:
        """A float64 row for each sequence, a column for each id below the limit.

        With c occurrences of an id in a sequence of n ids, D documents fitted and d of them
        holding the id, the entry is by `mode`:

        - "binary": 1
        - "count": c
        - "freq": c / n
        - "tfidf": (1 + ln c) · ln(1 + D / (1 + d))

        and 0 for ids that do not occur. The limit is `num_words`, or the vocabulary's size + 1.
        """
        _arguments.one_of("mode", mode, MODES)
        if mode == "tfidf" and not self.document_count:
            raise ValueError("mode 'tfidf' weighs words by the documents seen: call fit_on_texts first")
        columns = self._columns()
        id_lists = list(_id_lists(sequences))
        matrix = np.zeros((len(id_lists), columns))
        for position, ids in enumerate(id_lists):
            if ids and min(ids) < 0:
                raise ValueError(f"sequences[{position}] holds the id {min(ids)}; ids count from 0")
            counts = Counter(i for i in ids if i < columns)
            occurrences = np.array(list(counts.values()), dtype=np.float64)
            matrix[position, list(counts)] = self._weights(mode, list(counts), occurrences, len(ids))
        return matrix

    def _columns(self) -> int:
        if self.num_words:
            return self.num_words
        if not self.word_index:
            raise ValueError("the number of columns is not known: pass num_words, or call fit_on_texts first")
        return len(self.word_index) + 1

    def _weights(self, mode: str, ids: list[int], occurrences: np.ndarray, length: int) -> np.ndarray | float:
        if mode == "binary":
            return 1.0
        if mode == "count":
            return occurrences
        if mode == "freq":
            return occurrences / length
        documents = np.array([self.index_docs.get(i, 0) for i in ids], dtype=np.float64)
        return (1 + np.log(occurrences)) * np.log(1 + self.document_count / (1 + documents))

    # --- configuration ---------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Settings and counts, in Keras' layout: the five tables are strings of JSON."""
        return {
            **{name: getattr(self, name) for name in SETTINGS},
            "document_count": self.document_count,
            "word_counts": json.dumps(self.word_counts),
            "word_docs": json.dumps(self.word_docs),
            "index_docs": json.dumps(self.index_docs, sort_keys=True),
            "index_word": json.dumps(self.index_word),
            "word_index": json.dumps(self.word_index),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Tokenizer:
        """The tokenizer that `get_config` described."""
        tokenizer = cls(**{name: config[name] for name in SETTINGS})
        tokenizer.document_count = config["document_count"]
        tokenizer.word_counts = Counter(json.loads(config["word_counts"]))
        tokenizer.word_docs = Counter(json.loads(config["word_docs"]))
        tokenizer.index_docs = Counter({int(i): count for i, count in json.loads(config["index_docs"]).items()})
        tokenizer.index_word = {int(i): word for i, word in json.loads(config["index_word"]).items()}
        tokenizer.word_index = json.loads(config["word_index"])
        return tokenizer

    def to_json(self, **kwargs: Any) -> str:
        """The configuration as a string for `tokenizer_from_json`, Keras' or this one.

        Equal tokenizers give equal strings. `kwargs` go to `json.dumps`.
        """
        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **kwargs)

    # --- shared by the methods above -------------------------------------------------------------

    def _tokenized(self, texts: Iterable[Any]) -> Iterator[Iterable[str]]:
        _check_texts(texts)
        for position, text in enumerate(texts):
            yield self._tokens(text, position)

    def _tokens(self, text: Any, position: int) -> Iterable[str]:
        if isinstance(text, list):
            return _lower_tokens(text, position) if self.lower else text
        if self.analyzer is not None and not self.char_level:
            return list(self.analyzer(text))
        if not isinstance(text, str):
            raise TypeError(
                f"texts[{position}] must be a string or a list of tokens, got {reprlib.repr(text)}; "
                f"drop missing values or replace them by '', decode bytes"
            )
        if self.char_level:
            return text.lower() if self.lower else text
        return text_to_word_sequence(text, self.filters, self.lower, self.split)

    def _require_vocabulary(self) -> None:
        words_counted = self.document_count and not self.index_docs  # by fit_on_texts, of texts without a word
        if not self.word_index and not words_counted:
            raise ValueError("this Tokenizer has no vocabulary: call fit_on_texts first")
        if self.oov_token is not None and self.oov_token not in self.word_index:
            raise ValueError(
                f"oov_token {self.oov_token!r} was set after fitting and has no id: call fit_on_texts again"
            )


def tokenizer_from_json(json_string: str) -> Tokenizer:
    """The tokenizer that `Tokenizer.to_json` wrote, Keras' or this one.

    >>> tokenizer = Tokenizer()
    >>> tokenizer.fit_on_texts(["the sky is blue"])
    >>> tokenizer_from_json(tokenizer.to_json()).word_index
    {'the': 1, 'sky': 2, 'is': 3, 'blue': 4}
    """
    if not isinstance(json_string, str | bytes):
        raise TypeError(f"tokenizer_from_json takes the string of to_json(), got {type(json_string).__name__}")
    try:
        return Tokenizer.from_config(json.loads(json_string)["config"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"this is not the JSON of a Tokenizer: {type(error).__name__}: {error}") from error


def _check_texts(texts: Any) -> None:
    if isinstance(texts, str | bytes):
        raise TypeError(
            f"expected a list of texts, got the single text {reprlib.repr(texts)}: wrap it in a list, [text]"
        )
    if getattr(texts, "ndim", 1) != 1:
        raise TypeError(f"expected a flat list of texts, got {type(texts).__name__} of shape {texts.shape}")
    if not isinstance(texts, Iterable):
        raise TypeError(f"expected a list of texts, got {reprlib.repr(texts)}")


def _lower_tokens(tokens: list[Any], position: int) -> list[str]:
    for place, token in enumerate(tokens):
        if not isinstance(token, str):
            raise TypeError(
                f"texts[{position}][{place}] must be a string, got {reprlib.repr(token)}; "
                f"only with lower=False may tokens be something else"
            )
    return [token.lower() for token in tokens]


def _id_lists(sequences: Iterable[Iterable[Any]]) -> Iterator[list[int]]:
    for position, sequence in enumerate(sequences):
        try:
            ids = [_id(entry) for entry in sequence]
        except TypeError as error:
            raise TypeError(
                f"sequences[{position}] must be a list of integer ids, got {reprlib.repr(sequence)}"
            ) from error
        yield ids


def _id(entry: Any) -> int:
    if isinstance(entry, float | np.floating) and float(entry).is_integer():  # padded with a float dtype
        return int(entry)
    return operator.index(entry)
