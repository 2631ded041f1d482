"""The user's own data: texts, and their labels, from a file.

A table is a CSV, a TSV or a JSONL file in UTF-8. The first line of a CSV or TSV file names its
columns; each line of a JSONL file is an object, and its keys are the columns. Texts alone may also
come from a .txt file or from standard input, one a line.

Whatever is wrong is an error that names the line and says what to do; no row is left out in silence.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from random import Random
from reprlib import Repr
from typing import Any, NamedTuple

MISSING = ("", "nan", "null", "n/a", "#n/a", "<na>")  # what programs write for a value that is not there


class Table(NamedTuple):
    """Texts and, where they were asked for, their labels."""

    texts: list[str]
    labels: list[str] | None = None

    @property
    def classes(self) -> list[str]:
        """The different labels in order: by value if all of them are numbers, else by alphabet.

        >>> Table(["so-so", "bad", "perfect"], ["5", "1", "10"]).classes
        ['1', '5', '10']
        """
        different = sorted(set(self.labels or ()))
        if all(math.isfinite(_number(label)) for label in different):
            different.sort(key=_number)
        return different


def read_table(path: str | os.PathLike[str], text: str | None = None, label: str | None = None) -> Table:
    """The columns `text` and `label` of the table at `path`, a .csv, .tsv or .jsonl file; `label` may be left out.

    A .txt file, and "-" for standard input, have no columns and hold one text a line. Texts are
    kept as they are written. Labels are strings, without the blanks around them.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not what its suffix says, a column is not there, a text or a label is
            missing, or all labels are equal.
    """
    file = Path(path)
    name, suffix = ("standard input", ".txt") if str(path) == "-" else (str(file), file.suffix.lower())
    if suffix not in (*SUFFIXES, ".txt"):
        raise ValueError(f"{name}: what is it? The name of a file must end in {', '.join(SUFFIXES)} or .txt")
    content = _decode(name, sys.stdin.buffer.read() if str(path) == "-" else file.read_bytes())
    if not content.strip():
        raise ValueError(f"{name} is empty")
    if suffix == ".txt":
        if text is not None or label is not None:
            raise ValueError(f"{name} holds one text a line and has no column {text or label!r}: name no column")
        return Table(_lines(name, content))
    wanted = [text] if label is None else [text, label]
    with _cells_up_to(len(content)):
        table = _collect(name, SUFFIXES[suffix](name, content, wanted), text, label)
    if not table.texts:
        raise ValueError(f"{name} has a line with the names of the columns, and nothing below it")
    if len(table.classes) == 1:
        raise ValueError(
            f"{name}: all labels are {table.classes[0]!r}; there must be two or more classes to tell apart"
        )
    return table


def split(table: Table, fraction: float, seed: int) -> tuple[Table, Table]:
    """The table in two, in random order: what is left, and `fraction` of the rows of each class.

    A class of two rows or more is in both parts, one of a single row in the first.

    >>> table = Table(["a", "b", "c", "d", "e", "f"], ["x", "x", "x", "x", "y", "y"])
    >>> train, validation = split(table, 0.25, seed=0)
    >>> sorted(train.labels), sorted(validation.labels)
    (['x', 'x', 'x', 'y'], ['x', 'y'])
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie between 0 and 1, got {fraction}")
    if table.labels is None:
        raise ValueError("split needs a table with labels: it takes the same fraction of each class")
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(table.labels):
        rows.setdefault(label, []).append(row)
    random = Random(seed)
    parts: tuple[list[int], list[int]] = [], []
    for members in rows.values():
        random.shuffle(members)
        taken = min(max(1, round(fraction * len(members))), len(members) - 1)
        parts[0].extend(members[taken:])
        parts[1].extend(members[:taken])
    if not parts[1]:
        raise ValueError("no class has two rows, so that none can be in both parts; give more examples of each class")
    for part in parts:
        random.shuffle(part)
    first, second = (Table([table.texts[i] for i in part], [table.labels[i] for i in part]) for part in parts)
    return first, second


def _decode(name: str, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{name} is in UTF-16; {_conversion(name, 'utf-16')}")
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        where = f"{name}, line {line}: byte 0x{error.object[error.start]:02x}"
        raise ValueError(f"{where} is not UTF-8; {_conversion(name, 'latin1')}") from None


def _conversion(name: str, encoding: str) -> str:
    return f"save it as UTF-8, or convert it, as with: iconv -f {encoding} -t utf-8 {name} > new"


# A reader is told which columns must be there, and yields the number of the first line of each row, and the row's
# cells by column.
_Columns = Sequence[str | None]
_Rows = Iterator[tuple[int, dict[str, Any]]]


def _csv_rows(name: str, content: str, wanted: _Columns, delimiter: str = ",") -> _Rows:
    records = _csv_records(name, content, delimiter)
    first, names = next(records)
    columns = [cell.strip() for cell in names]
    where = f"{name}, line {first}, which names the columns"
    twice = [column for column in columns if column and columns.count(column) > 1]
    if twice:
        raise ValueError(f"{where}: two columns are named {twice[0]!r}; rename one")
    _check_columns(where, columns, wanted, _other_delimiter(columns, delimiter))
    for line, cells in records:
        if len(cells) != len(columns):
            raise ValueError(
                f"{name}, line {line}: {_count(cells, 'cell')}, where line {first} names {_count(columns, 'column')}; "
                f"a cell that holds {_DELIMITERS[delimiter]} must stand in double quotes"
            )
        yield line, dict(zip(columns, cells, strict=True))


_DELIMITERS = {",": "a comma", "\t": "a tab"}


def _other_delimiter(columns: list[str], delimiter: str) -> str:
    """What to do where the names of the columns seem to be separated by something else."""
    if len(columns) > 1:
        return ""
    advice = {",": "rename the file to .csv", "\t": "rename the file to .tsv", ";": "save the table with commas"}
    found = [other for other in advice if other != delimiter and other in columns[0]]
    return f"; its cells seem to be separated by {found[0]!r}: {advice[found[0]]}" if found else ""


def _csv_records(name: str, content: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row that is not blank, and the line it begins in: a quoted cell may hold line breaks."""
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{name}, line {line}: {error}; a cell that begins with a double quote must end with one, "
            f"and quotes within it are doubled"
        ) from None


@contextmanager
def _cells_up_to(length: int) -> Iterator[None]:
    """`csv` refuses cells of more than 128 KiB unless it is told otherwise, and is told so for the whole process."""
    limit = csv.field_size_limit(length)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _count(things: list[str], name: str) -> str:
    return f"{len(things)} {name}" if len(things) == 1 else f"{len(things)} {name}s"


def _tsv_rows(name: str, content: str, wanted: _Columns) -> _Rows:
    return _csv_rows(name, content, wanted, delimiter="\t")


def _jsonl_rows(name: str, content: str, wanted: _Columns) -> _Rows:
    for number, line in enumerate(content.split("\n"), 1):  # not splitlines: a JSON string may hold a bare U+2028
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name}, line {number}: this is not JSON: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f'{name}, line {number}: a line must be an object, such as {{"text": "fine", "label": 1}}')
        _check_columns(f"{name}, line {number}", list(row), wanted)
        yield number, row


SUFFIXES = {".csv": _csv_rows, ".tsv": _tsv_rows, ".jsonl": _jsonl_rows}


def _collect(name: str, rows: _Rows, text: Any, label: str | None) -> Table:
    texts, labels = [], []
    for line, row in rows:
        texts.append(_cell(f"{name}, line {line}", row, text))
        if label is not None:
            labels.append(_cell(f"{name}, line {line}", row, label).strip())
    return Table(texts, None if label is None else labels)


def _check_columns(where: str, columns: list[str], wanted: _Columns, cause: str = "") -> None:
    there = "there is" if len(columns) == 1 else "there are"
    there += f" {', '.join(map(_SHORT.repr, columns))}"
    for column in wanted:
        if column is None:
            raise ValueError(f"{where}: say which column holds the texts; {there}")
        if column not in columns:
            lower = {name.lower(): name for name in columns}
            close = get_close_matches(column.lower(), lower, n=1)
            hint = f"; did you mean {lower[close[0]]!r}?" if close else ""
            raise ValueError(f"{where}: there is no column {column!r}, {there}{cause or hint}")


_SHORT = Repr()
_SHORT.maxstring = 50  # where the first line is a text already, and not a name


def _cell(where: str, row: dict[str, Any], column: str) -> str:
    """What the row has in the column; what is not a string in JSON, as JSON writes it."""
    value = row[column]
    if isinstance(value, list | dict):
        raise ValueError(f"{where}: {column!r} is a {type(value).__name__}; it must be a string or a number")
    cell = value if isinstance(value, str) else json.dumps(value)
    if re.search("[\ud800-\udfff]", cell):
        raise ValueError(f"{where}: {column!r} holds half of a surrogate pair, which is no character: {cell!a}")
    if cell.strip().lower() in MISSING:
        found = f"is {cell!r}, which stands for a missing value" if cell.strip() else "is empty"
        raise ValueError(f"{where}: {column!r} {found}; fill it in or remove the row")
    return cell


def _lines(name: str, content: str) -> list[str]:
    """The texts, one a line. Those at the end that are empty are none; one among them would shift what comes out."""
    lines = content.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise ValueError(f"{name}, line {number} is empty; remove it")
    return [line.removesuffix("\r") for line in lines]


def _number(label: str) -> float:
    try:
        return float(label)
    except ValueError:
        return math.nan
