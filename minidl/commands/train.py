"""A text classifier from a table of the user's."""

from __future__ import annotations

import argparse
import errno
import os
import reprlib
import sys
from collections import Counter
from collections.abc import Sequence

from minidl import random
from minidl.callbacks import Callback, EarlyStopping
from minidl.commands.classifier import TextClassifier
from minidl.commands.engine import engine
from minidl.saving.archive import destination, try_out
from minidl.tables import Table, read_table, split

PATIENCE = 4  # epochs that may pass before validation gets better


def run(options: argparse.Namespace) -> int:
    _check_output(options)
    table = read_table(options.file, options.text, options.label)
    _check_classes(table, options.label)
    random.set_seed(options.seed)
    train, held_out = split(table, options.validation, options.seed) if options.validation else (table, Table([], []))
    classifier = TextClassifier.for_texts(train.texts, table.classes, options.max_words, options.max_length)
    _introduce(classifier, train, held_out, options.max_words)
    try:
        finished = _fit(classifier, train, held_out, options)
    except OSError:  # the reader of the progress is gone, say: no reason to lose what was learnt
        classifier.save(options.output)
        raise
    classifier.save(options.output)
    if held_out.texts:
        _report(classifier, train, held_out)
    print(f"saved in {options.output}; to use it: python -m minidl predict {options.output}")
    return 0 if finished else 130


def _check_output(options: argparse.Namespace) -> None:
    """Refuse an output that cannot be written or would replace something: now, not after hours of training."""
    target = destination(options.output)
    if os.path.exists(target):
        if os.path.samefile(target, options.file):
            raise ValueError(f"the output {options.output} is the table itself; choose another --output")
        if not options.overwrite:
            raise FileExistsError(
                errno.EEXIST, "this exists already; choose another --output, or pass --overwrite", options.output
            )
    try_out(options.output)


def _check_classes(table: Table, column: str) -> None:
    labels, classes = _labels(table), table.classes
    if len(classes) > max(2, len(labels) / 2):
        raise ValueError(
            f"column {column!r} holds {len(classes)} different labels in {len(labels)} rows, such as "
            f"{reprlib.repr(classes[0])}: a class needs several examples; is it the right column?"
        )


def _introduce(classifier: TextClassifier, train: Table, held_out: Table, max_words: int) -> None:
    names = ", ".join(classifier.classes[:8]) + (", …" if len(classifier.classes) > 8 else "")
    print(engine())
    print(f"{len(train.texts)} texts to learn from, {len(held_out.texts)} held out for validation")
    print(f"{len(classifier.classes)} classes: {names}")
    different = len(classifier.tokenizer.word_index)
    kept = f"; the {max_words} most frequent are kept" if different > max_words else ""
    print(f"{different} different words{kept}")
    print(f"{classifier.length} words of a text are read, its last\n", flush=True)


def _fit(classifier: TextClassifier, train: Table, held_out: Table, options: argparse.Namespace) -> bool:
    """Train; whether that came to its end and was not stopped by Ctrl-C."""
    validation: tuple[Sequence[str], Sequence[str]] | None = None
    callbacks: list[Callback] = []
    if held_out.texts:
        validation = held_out.texts, _labels(held_out)
        callbacks = [EarlyStopping("val_loss", patience=PATIENCE, restore_best_weights=True, verbose=1)]
    try:
        classifier.fit(
            train.texts,
            _labels(train),
            validation,
            epochs=options.epochs,
            batch_size=options.batch_size,
            callbacks=callbacks,
        )
    except KeyboardInterrupt:
        print("\nstopped; what there is will be saved", file=sys.stderr)
        return False
    return True


def _report(classifier: TextClassifier, train: Table, held_out: Table) -> None:
    labels = _labels(held_out)
    ((most_frequent, _),) = Counter(_labels(train)).most_common(1)
    print(
        f"\nvalidation accuracy {classifier.accuracy(held_out.texts, labels):.1%}; "
        f"saying {most_frequent!r} of every text gives {labels.count(most_frequent) / len(labels):.1%}"
    )


def _labels(table: Table) -> list[str]:
    assert table.labels is not None  # they were asked for
    return table.labels
