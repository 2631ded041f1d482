"""Tables of the user's: what is read, what is refused and in which words, and the split in two."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl.tables import MISSING, Table, read_table, split

# U+2028 ends a line for str.splitlines, not for CSV or JSON.
TEXTS = ["plain", 'a "quoted" word, and a comma', "two\nlines", "tab\there", "  blanks kept ", "äöü 好 🙂", "a\u2028b"]
LABELS = ["good", "bad", "good", "bad", "good", "bad", "bad"]


def write(path, content, encoding="utf-8"):
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def as_csv(rows, delimiter=","):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows(rows)
    return file.getvalue()


def as_jsonl(columns, rows):
    return "".join(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)


@pytest.fixture(params=["csv", "tsv", "jsonl", "csv with BOM", "csv with \\n", "JSONL in capitals"])
def reviews(request, tmp_path):
    columns, rows = (
        ["id", "review", "stars"],
        [[str(i), *pair] for i, pair in enumerate(zip(TEXTS, LABELS, strict=True))],
    )
    content = as_csv([columns, *rows])
    if request.param == "csv with BOM":
        return write(tmp_path / "reviews.csv", content, "utf-8-sig")
    if request.param == "csv with \\n":
        return write(tmp_path / "reviews.csv", content.replace("\r\n", "\n"))
    if request.param == "JSONL in capitals":
        return write(tmp_path / "REVIEWS.JSONL", as_jsonl(columns, rows))
    content = {"csv": content, "tsv": as_csv([columns, *rows], "\t"), "jsonl": as_jsonl(columns, rows)}[request.param]
    return write(tmp_path / f"reviews.{request.param}", content)


def test_columns_are_read_to_the_letter(reviews):
    assert read_table(reviews, "review", "stars") == Table(TEXTS, LABELS)
    assert read_table(str(reviews), "stars") == Table(LABELS, None)


texts = st.text(st.characters(codec="utf-8"), max_size=20).filter(lambda text: text.strip().lower() not in MISSING)


@settings(max_examples=50)
@given(st.lists(texts, min_size=1, max_size=5))
def test_whatever_is_written_is_read_back(tmp_path_factory, texts):
    rows = [[text, "x"] for text in texts]
    written = {
        "any.csv": as_csv([["text", "other"], *rows]),
        "any.tsv": as_csv([["text", "other"], *rows], "\t"),
        "any.jsonl": as_jsonl(["text", "other"], rows),
    }
    for name, content in written.items():
        assert read_table(write(tmp_path_factory.getbasetemp() / name, content), "text").texts == texts


def test_labels_are_strings_without_blanks_around(tmp_path):
    path = write(tmp_path / "a.csv", "text, stars\na, 1\nb,10 \n\nc,9\n")
    assert read_table(path, "text", "stars").labels == ["1", "10", "9"]
    path = write(tmp_path / "a.jsonl", '{"t": "a", "l": 1}\n\n{"t": "b", "l": true}\n{"t": 3.5, "l": 2.5}')
    assert read_table(path, "t", "l") == Table(["a", "b", "3.5"], ["1", "true", "2.5"])


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9", "1", "9"], ["1", "9", "10"]),
        (["2.5", "-1", "1e1"], ["-1", "2.5", "1e1"]),
        (["10", "9", "b"], ["10", "9", "b"]),
        (["10", "9", "inf"], ["10", "9", "inf"]),
        (["pos", "neg"], ["neg", "pos"]),
    ],
)
def test_classes_are_in_order(labels, classes):
    assert Table([""] * len(labels), labels).classes == classes


def test_plain_text_is_one_text_a_line(tmp_path, monkeypatch):
    content = '\ufeffnot bad\r\n  at "all", I say \nlast'.encode()
    texts = ["not bad", '  at "all", I say ', "last"]
    assert read_table(write(tmp_path / "a.txt", content)) == Table(texts, None)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert read_table("-") == Table(texts, None)


REFUSED = {
    "unknown suffix": ("a.xlsx", "x", r"a\.xlsx: what is it\? .* \.csv, \.tsv, \.jsonl or \.txt"),
    "no suffix": ("reviews", "x", "reviews: what is it"),
    "empty file": ("a.csv", "", r"a\.csv is empty"),
    "only a BOM and blanks": ("a.jsonl", "\ufeff\n \n", r"a\.jsonl is empty"),
    "header alone": ("a.csv", "text,label\n", "names of the columns, and nothing below it"),
    "missing column": (
        "a.csv",
        "text,lable\na,b\n",
        "no column 'label', there are 'text', 'lable'; did you mean 'lable'",
    ),
    "other case": ("a.tsv", "text\tLABEL\na\tb\n", "did you mean 'LABEL'"),
    "nothing near": ("a.csv", "text,y\na,b\n", "line 1, which names the .*no column 'label', there are 'text', 'y'$"),
    "no names": (
        "a.csv",
        "a film" * 99 + ",good\nb,bad\n",
        r"line 1, .* no column 'text', there are 'a f.{,60}', 'good'$",
    ),
    "semicolons": ("a.csv", "text;label\na, b;c\n", "there is 'text;label'; .* separated by ';': save .* with commas"),
    "semicolons and quotes": ("a.csv", 'text;label\n"a, b";c\n', "separated by ';'"),
    "tabs in CSV": ("a.csv", "text\tlabel\na\tc\n", r"separated by '\\t': rename the file to \.tsv"),
    "commas in TSV": ("a.tsv", "text,label\na,c\n", r"separated by ',': rename the file to \.csv"),
    "missing key": (
        "a.jsonl",
        '{"text": "a", "label": 1}\n{"text": "b"}',
        r"a\.jsonl, line 2: there is no column 'label'",
    ),
    "two of a name": ("a.csv", "text,label,text\na,b,c\n", "line 1, .*: two columns are named 'text'"),
    "long row": ("a.csv", "text,label\na,b\nwell, no,b\n", "line 3: 3 cells, .* 2 columns; .* a comma must"),
    "short row": ("a.tsv", "text\tlabel\na\n", "line 2: 1 cell, .* line 1 names 2 columns; .* a tab must"),
    "after line breaks": ("a.csv", 'text,label\n"a\n\nb",x\n\n,y\n', "line 6: 'text' is empty; fill it in"),
    "open quote": ("a.csv", 'text,label\na,x\n"b,y\nc,x\n', "line 3: unexpected end of data; .* double quote"),
    "text after a quote": ("a.csv", 'text,label\n"b"c,y\n', "line 2: .*quotes within it are doubled"),
    "empty text": ("a.csv", "text,label\na,x\n  ,y\n", "line 3: 'text' is empty"),
    "empty label": ("a.csv", "text,label\na,x\nb,\n", "line 3: 'label' is empty"),
    "NaN label": ("a.csv", "text,label\na,x\nb,NaN\n", "line 3: 'label' is 'NaN', which stands for a missing value"),
    "NaN in JSON": ("a.jsonl", '{"text": "a", "label": NaN}', "line 1: 'label' is 'NaN', which"),
    "null in JSON": ("a.jsonl", '{"text": null, "label": 1}', "line 1: 'text' is 'null', which"),
    "list in JSON": ("a.jsonl", '{"text": ["a"], "label": 1}', "line 1: 'text' is a list; it must be a string"),
    "bad JSON": ("a.jsonl", '{"text": "a", "label": 1}\n{"text"}', "line 2: this is not JSON: Expecting ':'"),
    "deep JSON": ("a.jsonl", "[" * 200_000, "line 1: this is not JSON"),
    "huge number": ("a.jsonl", '{"text": "a", "label": ' + "1" * 5000 + "}", "line 1: this is not JSON: .*4300 digits"),
    "no object": ("a.jsonl", "[1, 2]", "line 1: a line must be an object"),
    "half a pair": ("a.jsonl", '{"text": "\\ud83d", "label": 1}', "line 1: 'text' holds half of a surrogate pair"),
    "latin1": (
        "a.csv",
        b"text,label\na,x\ncaf\xe9,y\n",
        r"line 3: byte 0xe9 is not UTF-8; .*iconv -f latin1 -t utf-8 \S*a\.csv",
    ),
    "UTF-16": ("a.csv", "text,label\na,x\n".encode("utf-16"), r"a\.csv is in UTF-16; .*iconv -f utf-16"),
    "one class": ("a.csv", "text,label\na,x\nb, x\n", "all labels are 'x'; there must be two or more"),
    "columns of a text": ("a.txt", "not bad\n", "has no column 'text': name no column"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path):
    name, content, message = REFUSED[case]
    path = write(tmp_path / name, content)
    with pytest.raises(ValueError, match=message) as raised:
        read_table(path, "text", "label")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_text_may_be_long_and_the_limit_of_others_stays(tmp_path):
    before = csv.field_size_limit()
    long = "word " * 100_000
    assert read_table(write(tmp_path / "a.csv", f"text,n\n{long},1\nshort,2\n"), "text").texts == [long, "short"]
    with pytest.raises(ValueError, match="no column 'x'") as caught:
        read_table(tmp_path / "a.csv", "x")
    assert csv.field_size_limit() == before, caught


def test_the_column_of_texts_must_be_named(tmp_path):
    with pytest.raises(ValueError, match="say which column holds the texts; there are 'a', 'b'"):
        read_table(write(tmp_path / "a.csv", "a,b\nx,y\n"))


def test_an_empty_line_of_plain_text_is_refused(tmp_path):
    with pytest.raises(ValueError, match="line 2 is empty"):
        read_table(write(tmp_path / "a.txt", "x\n \ny\n"))


def test_empty_lines_after_the_last_text_are_none(tmp_path):
    assert read_table(write(tmp_path / "a.txt", "x\ny \n\n \r\n")).texts == ["x", "y "]


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_table(tmp_path / "none.csv", "text")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OSError, match=r"folder\.csv"):
        read_table(tmp_path / "folder.csv", "text")


label_lists = st.lists(st.sampled_from("abc"), min_size=2, max_size=60).filter(
    lambda labels: len(labels) > len(set(labels))
)


@given(label_lists, st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_split_takes_its_fraction_of_each_class(labels, fraction, seed):
    table = Table([f"{label}{i}" for i, label in enumerate(labels)], labels)
    train, validation = split(table, fraction, seed)
    assert sorted(train.texts + validation.texts) == sorted(table.texts)
    for part in (train, validation):
        assert [text[0] for text in part.texts] == part.labels
    for label, count in Counter(labels).items():
        taken = validation.labels.count(label)
        assert taken == min(max(1, round(fraction * count)), count - 1)


def test_split_depends_on_its_seed_alone_and_shuffles_both_parts():
    table = Table([str(i) for i in range(200)], ["a", "b"] * 100)
    train, validation = split(table, 0.25, seed=3)
    assert (train, validation) == split(table, 0.25, seed=3)
    assert set(validation.texts) != set(split(table, 0.25, seed=4)[1].texts)
    for part in (train, validation):
        assert part.texts != sorted(part.texts, key=int)
        assert part.labels != sorted(part.labels)


@pytest.mark.parametrize(
    ("table", "fraction", "message"),
    [
        (Table(["x", "y"], ["a", "a"]), 0.0, "between 0 and 1, got 0.0"),
        (Table(["x", "y"], ["a", "a"]), 1.0, "between 0 and 1, got 1.0"),
        (Table(["x", "y"], ["a", "a"]), float("nan"), "between 0 and 1, got nan"),
        (Table(["x", "y"]), 0.5, "a table with labels"),
        (Table(["x", "y"], ["a", "b"]), 0.5, "no class has two rows"),
    ],
)
def test_split_refuses(table, fraction, message):
    with pytest.raises(ValueError, match=message):
        split(table, fraction, seed=0)
