"""The demo's corpus: repeatable, balanced, without leaks, and out of reach for a bag of words."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections import Counter
from zlib import crc32

import numpy as np
import pytest

from minidl.demo import phrases
from minidl.demo.baseline import PENALTY, bag_of_words_accuracy, fit_logistic
from minidl.demo.corpus import LONGEST, corpus

FRAMES = [value for value in vars(phrases).values() if isinstance(value, phrases.Frames)]


def past(verb):
    return verb.removesuffix("e") + "ed"


GOOD = {word for _, good, _ in phrases.KINDS.values() for word in good.split()} | set(phrases.GOOD.split())
BAD = {word for _, _, bad in phrases.KINDS.values() for word in bad.split()} | set(phrases.BAD.split())
GOOD |= {form for frames in FRAMES for word in frames.good.split() for form in (word, past(word))}
BAD |= {form for frames in FRAMES for word in frames.bad.split() for form in (word, past(word))}
NOUNS = {noun for nouns, _, _ in phrases.KINDS.values() for noun in nouns.split()}


def words(text):
    return re.findall(r"[a-z']+", text.lower())


@pytest.fixture(scope="module")
def reviews():
    return corpus()


def test_as_many_reviews_as_asked_for_half_of_them_positive_and_none_twice(reviews):
    assert (len(reviews.train), len(reviews.test)) == (6000, 1000)
    for part in reviews:
        assert Counter(review.label for review in part) == {0: len(part) // 2, 1: len(part) // 2}
    assert len({review.text for part in reviews for review in part}) == 7000


def test_reviews_are_in_random_order(reviews):
    for part in reviews:
        changes = np.mean(np.diff([review.label for review in part]) != 0)
        assert 0.4 < changes < 0.6


def test_no_pair_of_noun_and_word_is_in_both_parts(reviews):
    train, test = ({pair for review in part for pair in review.pairs} for part in reviews)
    assert len(train) > 1000 and len(test) > 400
    assert not train & test


def test_pairs_leave_out_no_word_of_the_text(reviews):
    chosen = (GOOD | BAD | NOUNS) - {"it"}
    for review in (*reviews.train, *reviews.test):
        there = set(words(review.text))
        paired = {form for _, word in review.pairs for form in (word, past(word))}
        assert there & chosen - NOUNS == there & paired
        assert all({word, past(word)} & there for _, word in review.pairs)
        assert there & NOUNS - {"it"} == {noun for noun, _ in review.pairs} - {"it"}
        once = [word for word in words(review.text) if word in chosen]
        assert len(once) == len(set(once)), review.text


def test_each_word_of_the_test_part_is_known_from_training(reviews):
    train, test = ({word for review in part for word in words(review.text)} for part in reviews)
    assert test <= train
    assert 350 < len(train) < 1000  # a vocabulary of 1000 holds them all


def test_reviews_are_short_sentences(reviews):
    for review in (*reviews.train, *reviews.test):
        assert 2 <= len(words(review.text)) <= LONGEST
        assert re.fullmatch(r"[A-Z][A-Za-z',; ]*[a-z]\.", review.text)
        assert "  " not in review.text


def test_no_word_gives_a_review_away(reviews):
    count, positive = Counter(), Counter()
    for review in reviews.train:
        there = set(words(review.text))
        count.update(there)
        positive.update(there if review.label else ())
    frequent = [word for word in count if count[word] >= 100]
    assert len(frequent) > 100
    for word in frequent:
        assert 0.2 < positive[word] / count[word] < 0.8, word


def shape(text):
    """The text with a sign in place of each good or bad word, and N for each noun: what is left is how they combine."""
    signs = ["+" if word in GOOD else "-" if word in BAD else "N" if word in NOUNS else word for word in words(text)]
    return " ".join("a" if sign == "an" else sign for sign in signs)


def test_word_order_decides_each_label(reviews):
    assert not GOOD & BAD and not (GOOD | BAD) & NOUNS
    labels: dict[str, int] = {}
    for review in (*reviews.train, *reviews.test, *corpus(1).train):
        assert labels.setdefault(shape(review.text), review.label) == review.label, review.text
    mirrored = {text: text.translate(str.maketrans("+-", "-+")) for text in labels}
    pairs = [(labels[text], labels[mirror]) for text, mirror in mirrored.items() if mirror in labels]
    assert len(pairs) > 500
    assert all(label + opposite == 1 for label, opposite in pairs)


CLAUSE = f"(?:i found |i thought )?\\w+ N (?:(?:was|were|is|are) )?(?:(?:{'|'.join(phrases.VERY)}) )?"
MEANINGS = {
    "plain": CLAUSE + "(?P<main>[+-])",
    "negated": CLAUSE + "(?:not|never|hardly|far from|anything but|by no means) (?P<turned>[+-])",
    "denied": "nobody could call \\w+ N (?P<turned>[+-])",
    "only seems denied": "nobody could deny that " + CLAUSE + "(?P<main>[+-])",
    "but": CLAUSE + "(?P<weak>[+-]) (?:but|yet|however) " + CLAUSE + "(?P<main>[+-])",
    "although A, B": "(?:although|even though|while) " + CLAUSE + "(?P<weak>[+-]) " + CLAUSE + "(?P<main>[+-])",
    "B, although A": CLAUSE + "(?P<main>[+-]) (?:although|even though) " + CLAUSE + "(?P<weak>[+-])",
    "both": CLAUSE + "(?P<main>[+-]) and " + CLAUSE + "(?P<also>[+-])",
    "despite": "despite the (?P<weak>[+-]) N " + CLAUSE + "(?P<main>[+-])",
    "disagreed": "the critics called \\w+ N (?P<turned>[+-]) but i disagree",
    "agreed": "the critics called \\w+ N (?P<main>[+-]) and rightly so",
}


@pytest.fixture(scope="module")
def shapes(reviews):
    return [(shape(review.text), review.label) for part in reviews for review in part]


@pytest.mark.parametrize("meaning", MEANINGS)
def test_labels_are_what_the_sentences_mean(shapes, meaning):
    found = [(match.groupdict(), label) for text, label in shapes if (match := re.fullmatch(MEANINGS[meaning], text))]
    assert len(found) >= 5
    for signs, label in found:
        for name, sign in signs.items():
            assert label == (sign == "+") ^ (name in ("turned", "weak")), (signs, label)


def test_a_bag_of_words_stays_behind(reviews):
    texts, labels = zip(*((review.text, review.label) for review in reviews.train), strict=True)
    held_out = zip(*((review.text, review.label) for review in reviews.test), strict=True)
    assert 0.55 < bag_of_words_accuracy(texts, labels, *held_out) < 0.72


def test_the_baseline_learns_what_words_tell(reviews):
    train, test = ([review.text for review in part[:1000]] for part in reviews)
    contrasted = [[bool({"but", "although", "nobody"} & set(words(text))) for text in part] for part in (train, test)]
    assert bag_of_words_accuracy(train, contrasted[0], test, contrasted[1]) > 0.98


def test_the_baseline_is_fitted_to_the_end():
    stream = np.random.Generator(np.random.PCG64(0))
    x = stream.normal(size=(80, 5))
    y = (stream.random(80) < 0.4).astype(float)

    def loss(w):
        return np.logaddexp(0, -(2 * y - 1) * (x @ w)).sum() + PENALTY / 2 * (w @ w)

    w = fit_logistic(x, y)
    for step in 1e-4 * np.concatenate([np.eye(5), -np.eye(5)]):
        assert loss(w) < loss(w + step)
    with pytest.raises(RuntimeError, match="1 step"):
        fit_logistic(x, y, steps=1)


def checksum(reviews):
    return crc32(repr(reviews).encode())


def test_a_seed_gives_the_same_reviews_in_another_process():
    program = (
        "from minidl.demo.corpus import corpus; from zlib import crc32; print(crc32(repr(corpus(5, 300, 50)).encode()))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    other = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert int(other.stdout) == checksum(corpus(5, 300, 50)) != checksum(corpus(6, 300, 50))


def test_python_s_own_random_state_is_left_alone():
    before = random.getstate()
    corpus(train=10, test=10)
    assert random.getstate() == before
