"""The demo: two LSTMs learn to tell good reviews from bad ones, and judge sentences of yours."""

from __future__ import annotations

import argparse
import select
import sys
import time
from collections.abc import Iterator, Sequence

from minidl import random
from minidl.commands.classifier import TextClassifier
from minidl.commands.engine import engine
from minidl.demo.baseline import bag_of_words_accuracy
from minidl.demo.corpus import Corpus, Review, corpus
from minidl.preprocessing import text_to_word_sequence

CLASSES = ("negative", "positive")
EXAMPLES = (
    "The film was gripping from start to finish.",
    "The waiters were not friendly at all.",
    "Although the plot was silly, I really enjoyed the movie.",
    "The critics called it boring, but I disagree.",
    "The rooms were anything but clean.",
)


def run(options: argparse.Namespace) -> int:
    random.set_seed(options.seed)
    reviews = corpus()
    longest = max(len(text_to_word_sequence(review.text)) for review in reviews.train)
    train, held_out = _texts_and_labels(reviews.train), _texts_and_labels(reviews.test)
    classifier = TextClassifier.for_texts(train[0], CLASSES, max_words=2000, max_length=longest)
    print(f"{engine()}: {len(reviews.train)} reviews to learn from, {len(reviews.test)} held out\n")
    classifier.model.summary()
    print()
    started = time.perf_counter()
    classifier.fit(*train, epochs=options.epochs)
    print(f"\ntrained in {time.perf_counter() - started:.1f} s by {engine()}")
    print(f"held-out accuracy {classifier.accuracy(*held_out):.1%}, and {_baseline(reviews):.1%} for a bag of words\n")
    _judge(classifier, options.sentence)
    return 0


def _texts_and_labels(reviews: Sequence[Review]) -> tuple[list[str], list[str]]:
    return [review.text for review in reviews], [CLASSES[review.label] for review in reviews]


def _baseline(reviews: Corpus) -> float:
    """What is reached without knowing the order of the words."""
    train, test = reviews
    return bag_of_words_accuracy(
        [review.text for review in train],
        [review.label for review in train],
        [review.text for review in test],
        [review.label for review in test],
    )


def _judge(classifier: TextClassifier, given: Sequence[str] | None) -> None:
    """Classify the sentences given, those that are typed or piped in, or the examples."""
    if given:
        sentences: Iterator[str] = iter(given)
    elif sys.stdin is not None and sys.stdin.isatty():
        sentences = _typed()
    else:
        sentences = iter(_piped() or EXAMPLES)
    for sentence in sentences:
        print(_verdict(classifier, sentence), flush=True)


def _verdict(classifier: TextClassifier, sentence: str) -> str:
    (prediction,) = classifier.predict([sentence])
    unknown = [w for w in text_to_word_sequence(sentence) if w not in classifier.tokenizer.word_index]
    note = f"  (not in the reviews: {', '.join(unknown)})" if unknown else ""
    return f"{prediction.label} {prediction.probability:6.1%}  {sentence}{note}"


def _typed() -> Iterator[str]:
    """Lines from the keyboard, until an empty one, the end of the input, or Ctrl-C."""
    print("Type a sentence about a film, a meal, a phone …; an empty line ends.")
    while True:
        try:
            sentence = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if not sentence:
            return
        yield sentence


def _piped() -> list[str]:
    """The lines of standard input, if there is anything: a pipe that nobody writes to must not stop the demo."""
    if sys.stdin is None:
        return []
    try:
        ready, _, _ = select.select([sys.stdin], [], [], 0)
    except (OSError, ValueError):  # Windows can ask this of sockets only, and what replaces stdin may be no file
        return []
    return [line.strip() for line in sys.stdin if line.strip()] if ready else []
