"""Classes for texts, by a model that `train` has saved."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from minidl.commands.classifier import Prediction, TextClassifier
from minidl.tables import read_table

CHUNK = 256  # texts whose lines are written together
_ONE_LINE = str.maketrans("\t\n\r", "   ")


def run(options: argparse.Namespace) -> int:
    classifier = TextClassifier.load(options.model)
    written = _as_json if options.json else _as_line
    for texts in _chunks(options):
        for text, prediction in zip(texts, classifier.predict(texts), strict=True):
            print(written(text, prediction))
    return 0


def _chunks(options: argparse.Namespace) -> Iterator[list[str]]:
    """The texts: each line as it is typed, else those of the file or of standard input, many at a time."""
    if options.file is None and sys.stdin is None:
        raise ValueError("there is no standard input to read from: give a FILE")
    if options.file is None and options.text is None and sys.stdin.isatty():
        print("One text a line; the end of the input (Ctrl-D) ends.", file=sys.stderr)
        yield from ([line.removesuffix("\n")] for line in sys.stdin if line.strip())
        return
    texts = read_table(options.file or "-", options.text).texts
    yield from (texts[i : i + CHUNK] for i in range(0, len(texts), CHUNK))


def _as_line(text: str, prediction: Prediction) -> str:
    """One line whatever the text holds: a tab or a line break in it becomes a space."""
    cells = prediction.label, f"{prediction.probability:.4f}", text
    return "\t".join(cell.translate(_ONE_LINE) for cell in cells)


def _as_json(text: str, prediction: Prediction) -> str:
    return json.dumps({**prediction._asdict(), "text": text}, ensure_ascii=False)
