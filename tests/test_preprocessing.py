"""Tokenizer, padding and labels: Keras' numbers, laws that hold for any input, and every refusal.

golden/keras_text.json holds what Keras gave for generated input; golden/make_keras_text.py wrote it.
"""

from __future__ import annotations

import copy
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl.preprocessing
from minidl.preprocessing import (
    Tokenizer,
    hashing_trick,
    one_hot,
    pad_sequences,
    text_to_word_sequence,
    to_categorical,
    tokenizer_from_json,
)

GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("keras_text.json").read_text(encoding="utf-8"))
DOCUMENT_TEXTS = ["I love eating pizza", "The sky is blue", "I hate broccoli", "The sun is shining"]
TABLES = ("word_counts", "word_docs", "index_docs", "word_index", "index_word")
MODES = ("binary", "count", "freq", "tfidf")


def fitted(texts, **settings):
    tokenizer = Tokenizer(**settings)
    tokenizer.fit_on_texts(texts)
    return tokenizer


def state(tokenizer):
    return copy.deepcopy(vars(tokenizer))


# --- the document's example ----------------------------------------------------------------------


def test_the_documents_texts_become_the_documents_rows():
    tokenizer = fitted(DOCUMENT_TEXTS, num_words=1000)
    assert list(tokenizer.word_index) == [
        *("i", "the", "is", "love", "eating", "pizza", "sky", "blue", "hate", "broccoli", "sun", "shining")
    ]
    assert tokenizer.word_index["i"] == 1
    assert tokenizer.word_index["the"] == 2
    padded = pad_sequences(tokenizer.texts_to_sequences(DOCUMENT_TEXTS), maxlen=100)
    assert padded.shape == (4, 100)
    assert padded.dtype == np.int32
    assert not padded[:, :96].any()
    assert padded[:, 96:].tolist() == [[1, 4, 5, 6], [2, 7, 3, 8], [0, 1, 9, 10], [2, 11, 3, 12]]


# --- Keras' numbers ------------------------------------------------------------------------------


@pytest.fixture(params=GOLDEN["tokenizers"], ids=lambda case: str(case["settings"]))
def case(request):
    return request.param


@pytest.fixture
def refitted(case):
    """The case's tokenizer, fitted twice."""
    tokenizer = Tokenizer(**case["settings"])
    for texts in case["fits"]:
        tokenizer.fit_on_texts(texts)
    return tokenizer


def test_fitted_state_is_keras(case, refitted):
    expected = json.loads(case["json"])["config"]
    config = refitted.get_config()
    assert list(config) == list(expected)
    for name, value in expected.items():
        if name in TABLES:
            assert json.loads(config[name]) == json.loads(value), name
        else:
            assert config[name] == value, name
    # these three have an order, which the ids follow
    for name in ("word_counts", "word_index", "index_word"):
        assert config[name] == expected[name]
    assert refitted.index_word == {i: word for word, i in refitted.word_index.items()}


def test_texts_to_sequences_is_keras(case, refitted):
    assert refitted.texts_to_sequences(case["texts"]) == case["texts_to_sequences"]
    assert list(refitted.texts_to_sequences_generator(iter(case["texts"]))) == case["texts_to_sequences"]


def test_sequences_to_texts_is_keras(case, refitted):
    assert refitted.sequences_to_texts(case["sequences"]) == case["sequences_to_texts"]
    assert list(refitted.sequences_to_texts_generator(iter(case["sequences"]))) == case["sequences_to_texts"]


@pytest.mark.parametrize("mode", MODES)
def test_matrices_are_keras(case, refitted, mode):
    for method, given_, expected in (
        (refitted.texts_to_matrix, case["texts"], case["texts_to_matrix"][mode]),
        (refitted.sequences_to_matrix, case["sequences"], case["sequences_to_matrix"][mode]),
    ):
        matrix = method(given_, mode=mode)
        assert matrix.dtype == np.float64
        # the logarithm may differ in its last bit between builds of NumPy
        np.testing.assert_allclose(matrix, np.array(expected), rtol=1e-15 if mode == "tfidf" else 0)


def test_keras_json_is_read(case, refitted):
    loaded = tokenizer_from_json(case["json"])
    assert state(loaded) == state(refitted)
    assert loaded.texts_to_sequences(case["texts"]) == case["texts_to_sequences"]


@pytest.mark.parametrize("case", GOLDEN["hashing"], ids=lambda case: str(case["n"]))
def test_hashing_is_keras_md5(case):
    for hash_function in (None, "md5"):
        assert hashing_trick(case["text"], case["n"], hash_function) == case["ids"]
    assert one_hot(case["text"], case["n"]) == case["ids"]


@pytest.mark.parametrize("case", GOLDEN["padding"], ids=lambda case: str(case["arguments"]))
def test_padding_is_keras(case):
    padded = pad_sequences(case["sequences"], **case["arguments"])
    assert padded.dtype.name == case["dtype"]
    assert padded.shape == tuple(case["shape"])
    assert padded.tolist() == case["padded"]


@pytest.mark.parametrize("case", GOLDEN["labels"], ids=lambda case: f"{case['x']}-{case['num_classes']}")
def test_labels_are_keras(case):
    rows = to_categorical(case["x"], case["num_classes"])
    assert rows.dtype == np.float64
    assert rows.tolist() == case["rows"]


# --- Tokenizer: laws -----------------------------------------------------------------------------

words = st.text("abcdeABC'é中İ", min_size=1, max_size=3)
texts = st.lists(words, max_size=6).map(" ".join) | st.lists(words, max_size=6)
corpora = st.lists(texts, max_size=6)
settings = st.fixed_dictionaries(
    {},
    optional={
        "num_words": st.none() | st.integers(0, 8),
        "oov_token": st.none() | words | st.just("<unk>"),
        "lower": st.booleans(),
        "char_level": st.booleans(),
    },
)


@given(settings, corpora, corpora)
def test_fitting_in_parts_equals_fitting_at_once(arguments, first, second):
    parts = fitted(first, **arguments)
    parts.fit_on_texts(second)
    assert parts.to_json() == fitted(first + second, **arguments).to_json()


@given(settings, corpora)
def test_json_round_trip(arguments, corpus):
    tokenizer = fitted(corpus, **arguments)
    loaded = tokenizer_from_json(tokenizer.to_json())
    assert state(loaded) == state(tokenizer)
    assert loaded.to_json() == tokenizer.to_json()


def tokens_of(text, tokenizer):
    if isinstance(text, list):
        return [token.lower() if tokenizer.lower else token for token in text]
    text = text.lower() if tokenizer.lower else text
    return list(text) if tokenizer.char_level else text.split()


@given(settings, corpora)
def test_ids_rank_the_counts(arguments, corpus):
    tokenizer = fitted(corpus, **arguments)
    tokens = [tokens_of(text, tokenizer) for text in corpus]
    flat = [token for text in tokens for token in text]
    assert tokenizer.document_count == len(corpus)
    assert tokenizer.word_counts == {token: flat.count(token) for token in flat}
    assert tokenizer.word_docs == {token: sum(token in text for text in tokens) for token in flat}
    assert tokenizer.index_docs == {tokenizer.word_index[word]: n for word, n in tokenizer.word_docs.items()}
    by_rank = sorted((i, word) for word, i in tokenizer.word_index.items() if word in tokenizer.word_counts)
    keys = [(-flat.count(word), flat.index(word)) for _, word in by_rank]
    assert keys == sorted(keys)


@given(st.lists(st.lists(words, min_size=1, max_size=6), min_size=1, max_size=6))
def test_texts_come_back_from_their_ids(token_lists):
    tokenizer = fitted(token_lists, lower=False)
    ids = tokenizer.texts_to_sequences(token_lists)
    assert tokenizer.sequences_to_texts(ids) == [" ".join(tokens) for tokens in token_lists]
    assert tokenizer.sequences_to_texts(pad_sequences(ids)) == [" ".join(tokens) for tokens in token_lists]
    as_floats = pad_sequences(ids, dtype="float32")
    assert tokenizer.sequences_to_texts(as_floats) == [" ".join(tokens) for tokens in token_lists]


@given(st.lists(texts, min_size=1, max_size=6), st.integers(1, 8), st.sampled_from([None, "<unk>"]))
def test_num_words_bounds_the_ids(corpus, num_words, oov_token):
    everything = fitted(corpus, oov_token=oov_token).texts_to_sequences(corpus)
    bounded = fitted(corpus, oov_token=oov_token, num_words=num_words).texts_to_sequences(corpus)
    if oov_token is None:
        assert bounded == [[i for i in ids if i < num_words] for ids in everything]
    else:
        assert bounded == [[i if i < num_words else 1 for i in ids] for ids in everything]


@given(st.lists(texts, min_size=1, max_size=6), st.integers(2, 9))
def test_matrix_modes_agree_with_their_formulas(corpus, num_words):
    tokenizer = fitted(corpus, num_words=num_words)
    sequences = tokenizer.texts_to_sequences(corpus)
    count, binary, freq, tfidf = (
        tokenizer.texts_to_matrix(corpus, mode) for mode in ("count", "binary", "freq", "tfidf")
    )
    assert not count[:, 0].any()
    assert (binary == (count > 0)).all()
    for row, ids in enumerate(sequences):
        for column in range(num_words):
            occurrences = ids.count(column)
            assert count[row, column] == occurrences
            if occurrences:
                documents = sum(column in other for other in sequences)
                assert freq[row, column] == occurrences / len(ids)
                expected = (1 + math.log(occurrences)) * math.log(1 + len(corpus) / (1 + documents))
                assert tfidf[row, column] == pytest.approx(expected, rel=1e-14)
            else:
                assert freq[row, column] == tfidf[row, column] == 0


# --- Tokenizer: what is accepted -----------------------------------------------------------------


@pytest.mark.parametrize("container", [list, tuple, iter, np.array, lambda texts: (text for text in texts)])
def test_texts_come_in_any_container(container):
    tokenizer = fitted(container(DOCUMENT_TEXTS))
    assert tokenizer.to_json() == fitted(DOCUMENT_TEXTS).to_json()
    assert tokenizer.texts_to_sequences(container(DOCUMENT_TEXTS)) == tokenizer.texts_to_sequences(DOCUMENT_TEXTS)


def test_the_default_filter_keeps_apostrophe_and_carriage_return():
    assert text_to_word_sequence("Don't\ttouch this\r\nNow!") == ["don't", "touch", "this\r", "now"]


def test_split_none_deletes_the_filtered_and_splits_at_white_space():
    assert text_to_word_sequence("a-b\u00a0 c\r\nd", split=None) == ["ab", "c", "d"]


def test_an_analyzer_replaces_the_splitting():
    tokenizer = fitted(["1+2", "2+3"], analyzer=lambda text: iter(text.split("+")))
    assert tokenizer.word_index == {"2": 1, "1": 2, "3": 3}
    assert tokenizer.word_docs == {"1": 1, "2": 2, "3": 1}
    assert tokenizer.texts_to_sequences(["3+2+9"]) == [[3, 1]]
    assert hashing_trick("1+2", 50, analyzer=lambda text: text.split("+")) == [
        *hashing_trick("1", 50),
        *hashing_trick("2", 50),
    ]


def test_hashing_trick_takes_a_function():
    assert hashing_trick("a bbb cc", 4, len) == [2, 1, 3]


def test_tokens_may_be_anything_hashable_without_lower():
    tokenizer = fitted([[60, 64, 60], [67]], lower=False)
    assert tokenizer.texts_to_sequences([[64, 60, 99]]) == [[2, 1]]
    assert tokenizer.sequences_to_texts([[1, 3]]) == ["60 67"]


def test_an_empty_token_is_a_token():
    tokenizer = fitted([["a", "", "a"]])
    assert tokenizer.texts_to_sequences([["", "a"]]) == [[2, 1]]
    assert tokenizer.sequences_to_texts([[1, 2, 1]]) == ["a  a"]


def test_an_oov_token_among_the_words_takes_the_id_of_its_rank():
    tokenizer = fitted(["a a b oov b a"], oov_token="oov")
    assert tokenizer.word_index == {"oov": 4, "a": 2, "b": 3}
    assert tokenizer.texts_to_sequences(["b z"]) == [[3, 4]]


def test_an_empty_corpus_of_texts_is_a_vocabulary_without_words():
    assert fitted(["", " ,"]).texts_to_sequences(["a b", ""]) == [[], []]
    assert fitted([], oov_token="<unk>").texts_to_sequences(["a b"]) == [[1, 1]]


def test_fit_on_sequences_counts_documents_for_tfidf():
    tokenizer = Tokenizer(num_words=4)
    tokenizer.fit_on_sequences(np.array([[1, 1, 2], [1, 3, 3]]))
    tokenizer.fit_on_sequences(ids for ids in [[1]])
    assert tokenizer.document_count == 3
    assert tokenizer.index_docs == {1: 3, 2: 1, 3: 1}
    expected = [[0, (1 + math.log(2)) * math.log(1 + 3 / 4), math.log(1 + 3 / 2), 0]]
    np.testing.assert_allclose(tokenizer.sequences_to_matrix([[1, 1, 2]], mode="tfidf"), expected, rtol=1e-14)
    json.loads(tokenizer.get_config()["index_docs"])


def test_a_loaded_tokenizer_can_go_on_fitting():
    loaded = tokenizer_from_json(fitted(DOCUMENT_TEXTS).to_json())
    loaded.fit_on_texts(["Unseen words"])
    assert loaded.to_json() == fitted([*DOCUMENT_TEXTS, "Unseen words"]).to_json()


def test_json_is_the_same_in_every_process():
    code = (
        "from minidl.preprocessing import Tokenizer, one_hot; t = Tokenizer();"
        f"t.fit_on_texts({DOCUMENT_TEXTS!r}); print(t.to_json(), one_hot({DOCUMENT_TEXTS[0]!r}, 10**9))"
    )
    root = str(Path(minidl.preprocessing.__file__).parents[2])
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert fitted(DOCUMENT_TEXTS).to_json() in outputs.pop()


def test_to_json_hands_its_arguments_to_json():
    tokenizer = fitted(DOCUMENT_TEXTS)
    assert "\n  " in tokenizer.to_json(indent=2)
    assert json.loads(tokenizer.to_json(indent=2)) == json.loads(tokenizer.to_json())


# --- Tokenizer: refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fit_on_texts", "texts_to_sequences", "texts_to_matrix"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("one text", "wrap it in a list"),
        (b"one text", "wrap it in a list"),
        (np.array("one text"), "flat list of texts, got ndarray of shape ()"),
        (np.array([["a", "b"]]), "flat list of texts, got ndarray of shape (1, 2)"),
        (7, "expected a list of texts, got 7"),
        (None, "expected a list of texts, got None"),
        (["a", "b", None], "texts[2] must be a string or a list of tokens, got None; drop missing values"),
        (["a", math.nan], "texts[1] must be a string or a list of tokens, got nan; drop missing values"),
        (["a", b"b"], "got b'b'; drop missing values or replace them by '', decode bytes"),
        (["a", ["b", 3]], "texts[1][1] must be a string, got 3"),
        (["a", ["b", None]], "texts[1][1] must be a string, got None"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(name, bad, message):
    tokenizer = fitted(["a b", "c"])
    before = state(tokenizer)
    with pytest.raises(TypeError, match=re.escape(message)):
        getattr(tokenizer, name)(bad)
    assert state(tokenizer) == before


def test_an_error_in_the_middle_leaves_the_tokenizer_as_it_was():
    def reading():
        yield "c c c"
        raise OSError("the disk is gone")

    tokenizer = fitted(["a b"])
    before = state(tokenizer)
    with pytest.raises(OSError, match="the disk is gone"):
        tokenizer.fit_on_texts(reading())
    with pytest.raises(TypeError, match=r"sequences\[1\]"):
        tokenizer.fit_on_sequences([[1], ["a"]])
    assert state(tokenizer) == before


@pytest.mark.parametrize(
    "use",
    [
        lambda tokenizer: tokenizer.texts_to_sequences(["a"]),
        lambda tokenizer: tokenizer.texts_to_matrix(["a"]),
        lambda tokenizer: tokenizer.sequences_to_texts([[1]]),
        lambda tokenizer: tokenizer.sequences_to_matrix([[1]]),
        lambda tokenizer: tokenizer.sequences_to_matrix([[1]], mode="tfidf"),
    ],
)
def test_an_unfitted_tokenizer_says_so(use):
    with pytest.raises(ValueError, match="call fit_on_texts first"):
        use(Tokenizer())


def test_sequences_alone_are_no_vocabulary():
    tokenizer = Tokenizer()
    tokenizer.fit_on_sequences([[1, 2]])
    with pytest.raises(ValueError, match="call fit_on_texts first"):
        tokenizer.texts_to_sequences(["a"])


def test_an_oov_token_set_after_fitting_is_refused():
    tokenizer = fitted(["a b"])
    tokenizer.oov_token = "<unk>"
    with pytest.raises(ValueError, match="'<unk>' was set after fitting and has no id: call fit_on_texts again"):
        tokenizer.texts_to_sequences(["c"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_words": -1}, ValueError, "num_words must be at least 0, got -1"),
        ({"num_words": 10.0}, TypeError, r"num_words must be an integer, got 10\.0"),
        ({"num_words": "10"}, TypeError, "num_words must be an integer, got '10'"),
    ],
)
def test_bad_settings_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Tokenizer(**arguments)


@pytest.mark.parametrize(
    ("sequences", "error", "message"),
    [
        ([1, 2], TypeError, r"sequences\[0\] must be a list of integer ids, got 1"),
        ([[1], "ab"], TypeError, r"sequences\[1\] must be a list of integer ids, got 'ab'"),
        ([[1], [1.5]], TypeError, r"sequences\[1\] must be a list of integer ids, got \[1\.5\]"),
        ([[math.nan]], TypeError, r"sequences\[0\] must be a list of integer ids, got \[nan\]"),
        ([[1, None]], TypeError, r"sequences\[0\] must be a list of integer ids"),
        ([[1], [2, -1]], ValueError, r"sequences\[1\] holds the id -1; ids count from 0"),
    ],
)
def test_what_is_no_list_of_ids_is_refused(sequences, error, message):
    with pytest.raises(error, match=message):
        fitted(["a b"]).sequences_to_matrix(sequences)


@pytest.mark.parametrize(("mode", "hint"), [("tf-idf", "'tfidf'"), ("Binary", "'binary'"), ("counts", "'count'")])
def test_an_unknown_mode_is_refused_with_a_hint(mode, hint):
    with pytest.raises(ValueError, match=f"got '{mode}'; did you mean {hint}?"):
        fitted(["a b"]).texts_to_matrix(["a"], mode=mode)


@pytest.mark.parametrize("text", ["", "[]", "{}", '"text"', "not JSON", '{"config": {}}', '{"config": null}', b"\xff"])
def test_what_is_no_tokenizer_json_is_refused(text):
    with pytest.raises(ValueError, match="this is not the JSON of a Tokenizer: "):
        tokenizer_from_json(text)


@pytest.mark.parametrize(("old", "new"), [('"word_docs"', '"other"'), ("{\\", "[\\")])
def test_a_damaged_tokenizer_json_is_refused(old, new):
    intact = fitted(["a"]).to_json()
    assert old in intact
    with pytest.raises(ValueError, match="this is not the JSON of a Tokenizer: "):
        tokenizer_from_json(intact.replace(old, new))


def test_tokenizer_from_json_takes_a_string():
    with pytest.raises(TypeError, match=r"takes the string of to_json\(\), got dict"):
        tokenizer_from_json({"class_name": "Tokenizer"})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: one_hot(["a b"], 10), TypeError, "one text as a string, got list; call once for each text"),
        (lambda: one_hot(None, 10), TypeError, "one text as a string, got NoneType"),
        (lambda: text_to_word_sequence(3), TypeError, "one text as a string, got int"),
        (lambda: text_to_word_sequence("a", filters=None), TypeError, "pass '' to filter nothing"),
        (
            lambda: text_to_word_sequence("a", split=""),
            ValueError,
            r"split must not be empty; use Tokenizer\(char_level",
        ),
        (lambda: one_hot("a", 1), ValueError, "n must be at least 2, got 1"),
        (lambda: hashing_trick("a", 9.5), TypeError, r"n must be an integer, got 9\.5"),
        (
            lambda: hashing_trick("a", 9, "sha1"),
            ValueError,
            "hash_function must be None, 'md5' or a function, got 'sha1'",
        ),
    ],
)
def test_bad_arguments_of_the_functions_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- pad_sequences -------------------------------------------------------------------------------

ends = st.sampled_from(["pre", "post"])
id_lists = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=7), min_size=1, max_size=5)


@given(id_lists, st.none() | st.integers(1, 9), ends, ends, st.integers(-5, 5))
def test_padding_keeps_one_end_and_fills_the_other(sequences, maxlen, padding, truncating, value):
    padded = pad_sequences(sequences, maxlen, padding=padding, truncating=truncating, value=value)
    length = max(map(len, sequences)) if maxlen is None else maxlen
    assert padded.shape == (len(sequences), length)
    assert padded.dtype == np.int32
    for row, sequence in zip(padded.tolist(), sequences, strict=True):
        excess = max(len(sequence) - length, 0)
        kept = sequence[excess:] if truncating == "pre" else sequence[: len(sequence) - excess]
        fill = [value] * (length - len(kept))
        assert row == (fill + kept if padding == "pre" else kept + fill)


@given(id_lists)
def test_padding_twice_is_padding_once(sequences):
    once = pad_sequences(sequences, maxlen=5)
    assert (pad_sequences(once, maxlen=5) == once).all()


@pytest.mark.parametrize(
    "sequences",
    [
        ((1, 2), (3,)),
        iter([[1, 2], [3]]),
        [np.array([1, 2]), np.array([3], dtype=np.uint8)],
        [range(1, 3), [3]],
        [[1.0, 2.0], [3.0]],
        [np.array([1, 2], dtype=object), [True + 2]],
    ],
)
def test_sequences_come_in_any_container(sequences):
    padded = pad_sequences(sequences)
    assert padded.dtype == np.int32
    assert padded.tolist() == [[1, 2], [0, 3]]


def test_padding_does_not_look_at_what_is_cut():
    assert pad_sequences([[300, 1.5, 1, 2]], maxlen=2, dtype="uint8").tolist() == [[1, 2]]


def test_a_float_dtype_rounds_and_keeps_infinity_and_nan():
    padded = pad_sequences([[0.1, math.inf, -math.inf, math.nan, 2**24 + 1]], dtype="float32", maxlen=6, value=0.1)
    assert padded.dtype == np.float32
    expected = np.array([[0.1, 0.1, math.inf, -math.inf, math.nan, 2**24]], dtype=np.float32)
    np.testing.assert_array_equal(padded, expected)


def test_words_are_padded_with_dtype_object():
    assert pad_sequences([["a", "bcd"], ["e"]], dtype=object, value="<pad>").tolist() == [["a", "bcd"], ["<pad>", "e"]]
    assert pad_sequences([["a", "bcd"], ["e"]], dtype="U3", value="").tolist() == [["a", "bcd"], ["", "e"]]


def test_entries_may_be_arrays():
    padded = pad_sequences([np.ones((3, 2)), np.full((1, 2), 2)], maxlen=2, dtype="float64", padding="post")
    assert padded.tolist() == [[[1, 1], [1, 1]], [[2, 2], [0, 0]]]


@pytest.mark.parametrize(
    ("sequences", "arguments", "message"),
    [
        ([], {}, "there are no sequences to take maxlen from; pass maxlen"),
        ([[1]], {"maxlen": 0}, "maxlen must be at least 1, got 0"),
        ([[1]], {"maxlen": -3}, "maxlen must be at least 1, got -3"),
        (5, {}, "expects a list of sequences, got int"),
        (None, {}, "expects a list of sequences, got NoneType"),
        ("abc", {}, "expects a list of sequences, got str"),
        ({"a": [1]}, {}, "expects a list of sequences, got dict"),
        ([1, 2], {}, "sequences[0] must be a list, a tuple or an array, got 1; a single sequence is passed"),
        (np.array([1, 2]), {}, "sequences[0] must be a list, a tuple or an array"),
        ([[1], 2], {}, "sequences[1] must be a list, a tuple or an array, got 2"),
        ([[1], None], {}, "sequences[1] must be a list, a tuple or an array, got None"),
        ([[1], "ab"], {}, "sequences[1] must be a list, a tuple or an array, got 'ab'"),
        ([[1], {2}], {}, "sequences[1] must be a list, a tuple or an array, got {2}"),
        ([[1], [2, [3]]], {}, "sequences[1] is ragged"),
        ([[[1], [2, 3]]], {}, "sequences[0] is ragged"),
        ([[], [[1, 2]], [3]], {}, "sequences[2] has entries of shape (), an earlier sequence has entries of (2,)"),
        ([[1]], {"padding": "left"}, "padding must be one of 'pre', 'post', got 'left'"),
        ([[1]], {"padding": "Post"}, "got 'Post'; did you mean 'post'?"),
        ([[1]], {"truncating": "prev"}, "truncating must be one of 'pre', 'post', got 'prev'; did you mean 'pre'?"),
        ([[1], [2, 2**31]], {}, "sequences[1][1] is 2147483648, which int32 cannot hold"),
        ([[9] * 5, [0, 1, 2, -1, 3]], {"dtype": "uint8", "maxlen": 3}, "sequences[1][3] is -1, which uint8"),
        ([np.array([1, 300])], {"dtype": "uint8"}, "sequences[0][1] is 300, which uint8 cannot hold"),
        ([[2**70]], {"dtype": "int64"}, "which int64 cannot hold"),
        ([[1, 2.5]], {}, "sequences[0][1] is 2.5, which int32 cannot hold"),
        ([[1, math.nan]], {}, "sequences[0][1] is nan, which int32 cannot hold"),
        ([[1, None]], {}, "sequences[0][1] is None, which int32 cannot hold"),
        ([["the"]], {}, "'the', which int32 cannot hold: pass a dtype that can, or make ids of words with Tokenizer"),
        ([["1", "2"]], {}, "sequences[0][0] is '1', which int32 cannot hold"),
        ([["1.5"]], {"dtype": "float32"}, "sequences[0][0] is '1.5', which float32 cannot hold"),
        ([[1e300]], {"dtype": "float32"}, "sequences[0][0] is 1e+300, which float32 cannot hold"),
        ([[[1, 2], [3, 4.5]]], {}, "sequences[0][1][1] is 4.5, which int32 cannot hold"),
        ([["abcd"]], {"dtype": "U3", "value": ""}, "sequences[0][0] is 'abcd', which <U3 cannot hold"),
        ([[1]], {"value": 0.5}, "value is 0.5, which int32 cannot hold"),
        ([[1]], {"value": math.nan}, "value is nan, which int32 cannot hold"),
        ([[1]], {"value": -1, "dtype": "uint8"}, "value is -1, which uint8 cannot hold"),
        ([[1]], {"value": "<pad>"}, "value '<pad>' is a string and dtype is int32; pass dtype=object"),
    ],
)
def test_bad_sequences_are_refused(sequences, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        pad_sequences(sequences, **arguments)


def test_maxlen_and_dtype_of_a_wrong_type_are_refused():
    with pytest.raises(TypeError, match=r"maxlen must be an integer, got 2\.0"):
        pad_sequences([[1]], maxlen=2.0)
    with pytest.raises(TypeError, match="int33"):
        pad_sequences([[1]], dtype="int33")


# --- to_categorical ------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 20), min_size=1, max_size=10), st.integers(0, 3))
def test_argmax_undoes_to_categorical(labels, more):
    classes = max(labels) + 1 + more
    rows = to_categorical(labels, classes)
    assert rows.shape == (len(labels), classes)
    assert rows.argmax(axis=-1).tolist() == labels
    assert rows.sum(axis=-1).tolist() == [1] * len(labels)
    assert (to_categorical(np.array(labels)[:, None], classes) == rows).all()
    assert (to_categorical(labels) == rows[:, : max(labels) + 1]).all()


def test_no_labels_give_no_rows():
    assert to_categorical([], 3).shape == (0, 3)
    assert to_categorical(np.zeros((0, 1), dtype=np.int32), 3).shape == (0, 3)
    assert to_categorical(np.array([], dtype="U1"), 3).shape == (0, 3)


def test_booleans_are_labels():
    assert to_categorical([True, False]).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("x", "num_classes", "message"),
    [
        ([], None, "x is empty, so num_classes cannot be inferred; pass num_classes"),
        ([0, -1], None, "x[1] is -1, outside [0, 1)"),
        ([0, 1, 3], 3, "x[2] is 3, outside [0, 3); labels count from 0 and num_classes is at least max(x) + 1"),
        ([[0, 1], [4, 1]], 2, "x[1][0] is 4, outside [0, 2)"),
        ([0, 1.5], None, "x[1] is 1.5, which int64 cannot hold: labels are integers counted from 0"),
        ([0, math.nan], None, "x[1] is nan, which int64 cannot hold"),
        ([0, None], None, "x[1] is None, which int64 cannot hold"),
        (["1", "2"], None, "x[0] is '1', which int64 cannot hold"),
        (["pos", "neg"], 2, "x[0] is 'pos', which int64 cannot hold"),
        ([[0], [1, 2]], None, "x is ragged"),
        ([0], 0, "num_classes must be at least 1, got 0"),
        (-1, 3, "x is -1, outside [0, 3)"),
    ],
)
def test_bad_labels_are_refused(x, num_classes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        to_categorical(x, num_classes)


def test_num_classes_of_a_wrong_type_is_refused():
    with pytest.raises(TypeError, match=r"num_classes must be an integer, got 3\.0"):
        to_categorical([0], 3.0)
