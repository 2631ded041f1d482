"""Short reviews with a sentiment label, generated: the corpus that `python -m minidl` trains on.

A review is one sentence about a film, a meal, a phone and so on, of one clause or two, each with a
noun and a word that is good or bad. The label (1 positive, 0 negative) hangs on how they combine:

- negation turns a clause round ("was anything but dull"), and some of it only looks as if it did
  ("nobody could deny that it was dull", "was nothing if not dull");
- of two clauses that disagree the main one decides, before or after the other ("although A, B",
  "B, although A", "A, but B");
- what others said counts only if the writer agrees ("the critics called it dull, but I disagree").

Half of the reviews are positive, and no word gives a review away: every third that holds a good
word is negative. Who counts words is therefore right in two reviews of three, and who reads them in
order can be right in all. Each pair of a noun and a word belongs either to the training part or to
the test part, so that a test review combines words that were never combined before.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple
from zlib import crc32

from minidl.demo import phrases
from minidl.demo.phrases import Frames

LONGEST = 20  # words in a review
TURNED = 0.27  # the share of clauses that mean the opposite of their word
SUITED = 0.6  # the share of adjectives that suit only some kinds of things, such as "tasty"


class Review(NamedTuple):
    """One sentence, its label, and which words it says of which nouns."""

    text: str
    label: int
    pairs: tuple[tuple[str, str], ...]


class Corpus(NamedTuple):
    """The reviews to learn from and the reviews to be judged on."""

    train: list[Review]
    test: list[Review]


def corpus(seed: int = 0, train: int = 6000, test: int = 1000) -> Corpus:
    """`train` and `test` different reviews in random order, half of them positive; one seed gives the same ones always.

    >>> reviews = corpus(train=600, test=100)
    >>> len(reviews.train), len(reviews.test)
    (600, 100)
    >>> any(held_out(noun, word) for review in reviews.train for noun, word in review.pairs)
    False
    >>> all(held_out(noun, word) for review in reviews.test for noun, word in review.pairs)
    True
    """
    random = Random(seed)
    return Corpus(_reviews(_Writer(random, test=False), train), _reviews(_Writer(random, test=True), test))


def held_out(noun: str, word: str) -> bool:
    """Whether the pair belongs to the test part, as a fifth of all pairs do."""
    return crc32(f"{noun} {word}".encode()) % 5 == 0


def _reviews(writer: _Writer, count: int) -> list[Review]:
    reviews: dict[str, Review] = {}
    while len(reviews) < count:
        try:
            review = writer.review(good=len(reviews) % 2 == 0)
        except _DeadEndError:
            continue
        if len(review.text.split()) <= LONGEST:
            reviews.setdefault(review.text, review)
    shuffled = list(reviews.values())
    writer.random.shuffle(shuffled)
    return shuffled


class _DeadEndError(Exception):
    """The part has no pair that suits the sentence begun."""


class _Writer:
    """Writes the reviews of one part, from that part's pairs only."""

    def __init__(self, random: Random, test: bool) -> None:
        self.random = random
        self.test = test
        self.pairs: list[tuple[str, str]] = []

    def review(self, good: bool) -> Review:
        self.pairs = []
        text = self._sentence(self.random.choice(list(phrases.TOPICS)), good)
        chance = self.random.random()
        if chance < 0.15:
            text = f"{self.random.choice(phrases.OPENERS)}, {text}"
        elif chance < 0.25:
            text = f"{text} {self.random.choice(phrases.CLOSERS)}"
        return Review(text[0].upper() + text[1:] + ".", int(good), tuple(self.pairs))

    def _sentence(self, topic: str, good: bool) -> str:
        forms = ("clause", "fragment", "hearsay", "agreement", "despite", "contrast")
        form = self.random.choices(forms, (35, 5, 15, 15, 3, 27))[0]
        if form == "fragment":
            return self._say(phrases.FRAGMENT, topic, good)
        if form == "hearsay":
            return self._say(phrases.HEARSAY, topic, good)
        main = self._clause(topic, good)
        if form == "agreement":
            return self.random.choice(phrases.AGREEMENT).format(main=main, also=self._clause(topic, good))
        if form == "despite":
            return f"{self._say(phrases.DESPITE, topic, not good)}, {main}"
        if form == "contrast":
            return self.random.choice(phrases.CONTRAST).format(main=main, weak=self._clause(topic, not good))
        return main

    def _clause(self, topic: str, good: bool) -> str:
        families = (phrases.PREDICATE, phrases.VERBAL, phrases.ATTRIBUTIVE, phrases.SUPERLATIVE)
        return self._say(self.random.choices(families, (70, 15, 10, 5))[0], topic, good)

    def _say(self, frames: Frames, topic: str, good: bool) -> str:
        """One of the frames filled in, so that it means `good`."""
        turned = self.random.random() < TURNED
        frame = self.random.choice(frames.turned if turned else frames.plain)
        noun, words = self._combine(frames, frame, topic, good != turned)
        self.pairs += [(noun, word) for word in words]
        was, be = ("were", "are") if noun in phrases.PLURAL.split() else ("was", "is")
        return frame.format(
            noun=self._noun_phrase(noun),
            bare=noun,
            whole=noun,
            was=was,
            be=be if self.random.random() < 0.25 else was,
            a="an" if words[0][0] in "aeiou" else "a",
            word=words[0],
            other=words[-1],
            past=words[0].removesuffix("e") + "ed",
            very=self.random.choice(phrases.VERY),
            that=self.random.choice(phrases.THAT),
        )

    def _combine(self, frames: Frames, frame: str, topic: str, good: bool) -> tuple[str, list[str]]:
        """A noun new to the review and as many words for it as the frame takes, all of this part."""
        kinds = (topic,) if "{whole}" in frame else (topic, *phrases.TOPICS[topic])
        things = [(kind, noun) for kind in kinds for noun in phrases.KINDS[kind][0].split()]
        used = {entry for pair in self.pairs for entry in pair}
        if self.pairs or "{noun}" not in frame:
            used.add("it")
        count = 2 if "{other}" in frame else 1
        for kind, noun in self.random.sample(things, len(things)):
            words = [word for word in self._words(frames, kind, good) if word not in used]
            words = [word for word in words if held_out(noun, word) == self.test]
            if noun not in used and len(words) >= count:
                return noun, self.random.sample(words, count)
        raise _DeadEndError

    def _words(self, frames: Frames, kind: str, good: bool) -> list[str]:
        if frames.good:
            return (frames.good if good else frames.bad).split()
        if self.random.random() < SUITED:
            return phrases.KINDS[kind][1 if good else 2].split()
        return (phrases.GOOD if good else phrases.BAD).split()

    def _noun_phrase(self, noun: str) -> str:
        if noun == "it":
            return noun
        return self.random.choice(("the", "the", "these" if noun in phrases.PLURAL.split() else "this")) + " " + noun
