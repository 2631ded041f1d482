"""The command line: what each command does and prints, and that mistakes cost a line and nothing else."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import cli
from minidl.commands import demo, doctor, gradcheck
from minidl.commands.classifier import LONGEST, TextClassifier
from minidl.demo.corpus import corpus
from minidl.testing import Row

GOOD, BAD = "a good and lovely film, I say", "a bad and dreadful film, I say"
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(Path(md.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
}


def table(path: Path, rows: Sequence[tuple[str, str]] = ((GOOD, "yes"), (BAD, "no")) * 30) -> Path:
    """A table with the columns text and label, in the format that the suffix asks for."""
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps({"text": t, "label": n}) for t, n in rows), encoding="utf-8")
    else:
        delimiter = "," if path.suffix == ".csv" else "\t"
        lines = [f'"{t}"{delimiter}{n}' for t, n in rows]
        path.write_text("\n".join([f"text{delimiter}label", *lines]), encoding="utf-8")
    return path


def train(path: Path, output: Path, *options: str) -> int:
    columns = ["--text", "text", "--label", "label"]
    return cli.main(["train", str(path), *columns, "--output", str(output), "--epochs", "4", *options])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that tells GOOD from BAD."""
    folder = tmp_path_factory.mktemp("model")
    assert train(table(folder / "reviews.csv"), folder / "model.minidl") == 0
    return folder / "model.minidl"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make standard input hold these bytes."""

    def give(content: str | bytes) -> None:
        raw = content.encode() if isinstance(content, str) else content
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))

    return give


def started(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "minidl", *arguments]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **({"text": True, "encoding": "utf-8", "env": ENVIRONMENT} | pipes | options))


# ---- train and predict


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_train_learns_each_kind_of_table(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: Any
) -> None:
    assert train(table(tmp_path / f"reviews.{suffix}"), tmp_path / "m") == 0
    out = capsys.readouterr().out
    assert "54 texts to learn from, 6 held out for validation" in out
    assert "2 classes: no, yes" in out
    assert re.search(r"validation accuracy 100\.0%; saying '(no|yes)' of every text gives 50\.0%", out)
    assert "val_loss" in out
    typed(f"{GOOD}\n{BAD}\n")
    assert cli.main(["predict", str(tmp_path / "m")]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["yes", "no"]
    assert [line[2] for line in lines] == [GOOD, BAD]
    assert all(0.5 < float(line[1]) <= 1 for line in lines)


def test_three_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {"10": "sun and sea", "9": "snow and ice", "-1": "rain all day"}
    path = table(tmp_path / "weather.csv", [(text, label) for label, text in texts.items()] * 30)
    assert train(path, tmp_path / "m") == 0
    assert "3 classes: -1, 9, 10" in capsys.readouterr().out
    assert cli.main(["predict", str(tmp_path / "m"), str(path), "--text", "text", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == 90
    for row in found:
        assert texts[row["label"]] == row["text"]
        assert list(row["probabilities"]) == ["-1", "9", "10"]
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-6)
        assert row["probability"] == row["probabilities"][row["label"]] == max(row["probabilities"].values())


def test_predict_reads_files(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        [str(table(tmp_path / "new.tsv", [(GOOD, "?"), (BAD, "?")])), "--text", "text"],
        [str(lines_file(tmp_path / "new.txt"))],
    ):
        assert cli.main(["predict", str(model), *arguments]) == 0
        assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["yes", "no"]


def lines_file(path: Path) -> Path:
    path.write_text(f"{GOOD}\n{BAD}\n", encoding="utf-8")
    return path


def test_a_line_for_each_text_whatever_it_holds(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["good\tand\nlovely", "Ünïcode …", "unknown words alone", "!?"]
    path = tmp_path / "new.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    assert cli.main(["predict", str(model), str(path), "--text", "text"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[2] for line in lines] == ["good and lovely", *texts[1:]]
    assert cli.main(["predict", str(model), str(path), "--text", "text", "--json"]) == 0
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == texts


def test_more_texts_than_a_chunk(model: Path, capsys: pytest.CaptureFixture[str], typed: Any) -> None:
    typed(f"{GOOD}\n{BAD}\n" * 300)
    assert cli.main(["predict", str(model)]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["yes", "no"] * 300


def test_lines_are_answered_as_they_are_typed(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[str] = []

    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

        def __next__(self) -> str:
            answers.append(capsys.readouterr().out)
            return super().__next__()

    monkeypatch.setattr(sys, "stdin", Keyboard(f"{GOOD}\n\n{BAD}\n"))  # an empty line has no class, and gets none
    assert cli.main(["predict", str(model)]) == 0
    assert [answer[:3].strip() for answer in answers] == ["", "yes", "", "no"]


def test_one_seed_one_file(tmp_path: Path) -> None:
    path = table(tmp_path / "reviews.csv")
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        md.layers.base.reset_names()
        assert train(path, tmp_path / name, "--seed", seed, "--epochs", "1") == 0
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_vocabulary_and_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"word{i} long {'x ' * 500}", str(i % 2)) for i in range(40)]
    path = table(tmp_path / "reviews.csv", rows)
    assert (
        train(path, tmp_path / "m", "--max-words", "3", "--max-length", "7", "--epochs", "1", "--validation", "0") == 0
    )
    out = capsys.readouterr().out
    assert "40 texts to learn from, 0 held out" in out
    assert "42 different words; the 3 most frequent are kept\n7 words of a text are read, its last\n" in out
    assert "validation accuracy" not in out
    classifier = TextClassifier.load(tmp_path / "m")
    assert classifier.inputs(["x long word0 word39"]).tolist() == [[0, 0, 0, 0, 1, 2, 3]]
    assert classifier.model.layers[0].input_dim == 4
    assert TextClassifier.for_texts([t for t, _ in rows], ["0", "1"], max_words=10).length == LONGEST


def test_padding_is_not_read() -> None:
    """Else a text shorter than all that were learnt from would be read with numbers that never were trained."""
    texts = ["a b c d e f", "f e d c b a"]
    short = TextClassifier.for_texts(texts, ["no", "yes"], max_words=10)
    long = TextClassifier(short.model, short.tokenizer, 30, short.classes)
    expected = short.model.predict(short.inputs(texts), verbose=0)
    np.testing.assert_array_equal(long.model.predict(long.inputs(texts), verbose=0), expected)
    alone = TextClassifier(short.model, short.tokenizer, 1, short.classes).predict(["c"])
    assert alone == short.predict(["c"])


def test_training_ends_when_validation_gets_no_better(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    rows = [(f"w{rng.integers(9)} w{rng.integers(9)}", str(rng.integers(2))) for _ in range(60)]
    assert train(table(tmp_path / "noise.csv", rows), tmp_path / "m", "--epochs", "50") == 0
    assert "val_loss did not improve, stopped" in capsys.readouterr().out


def test_training_waits_for_a_small_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its few steps an epoch lower the loss long before they turn an answer."""
    good = ("a wonderful film", "I loved it", "great acting and a moving story", "a film to treasure", "superb")
    bad = ("a boring film", "I hated it", "bad acting and a dull story", "a film to forget", "awful")
    rng = np.random.default_rng(0)
    rows = [(good[i], "yes") if likes else (bad[i], "no") for i, likes in rng.integers((5, 2), size=(200, 2))]
    assert train(table(tmp_path / "small.csv", rows), tmp_path / "m", "--epochs", "10") == 0
    accuracy = re.search(r"validation accuracy ([\d.]+)%", capsys.readouterr().out)
    assert accuracy is not None and float(accuracy[1]) >= 85


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_ctrl_c_saves_what_there_is(tmp_path: Path) -> None:
    arguments = ["--text", "text", "--label", "label", "--output", str(tmp_path / "m"), "--validation", "0"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background hands down its deafness
    try:
        running = started("train", str(table(tmp_path / "reviews.csv")), *arguments, "--epochs", "100000")
    finally:
        signal.signal(signal.SIGINT, before)
    assert running.stdout is not None
    try:
        while "epoch 2/" not in running.stdout.readline():
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()  # else it would train for hours
    assert running.returncode == 130
    assert "stopped; what there is will be saved" in err
    assert "Traceback" not in err
    assert "saved in" in out
    assert TextClassifier.load(tmp_path / "m").classes == ["no", "yes"]


@pytest.mark.skipif(sys.platform == "win32", reason="the pipes of Windows break in other ways")
def test_a_reader_that_leaves_does_not_cost_the_model(tmp_path: Path) -> None:
    arguments = ["--text", "text", "--label", "label", "--output", str(tmp_path / "m"), "--validation", "0"]
    running = started("train", str(table(tmp_path / "reviews.csv")), *arguments, "--epochs", "100000")
    assert running.stdout is not None
    assert running.stderr is not None
    while "epoch 1/" not in running.stdout.readline():
        assert running.poll() is None
    running.stdout.close()
    assert running.wait(timeout=120) == 1
    assert running.stderr.read() == ""
    running.stderr.close()
    assert TextClassifier.load(tmp_path / "m").classes == ["no", "yes"]


def test_an_output_that_cannot_be_written_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path / "reviews.csv")
    assert train(path, tmp_path / ("m" * 1000)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{'m' * 1000}: " in err


def test_nothing_is_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, output = table(tmp_path / "reviews.csv"), tmp_path / "m"
    output.write_text("precious")
    assert train(path, output) == 1
    assert "exists already; choose another --output, or pass --overwrite" in capsys.readouterr().err
    assert output.read_text() == "precious"
    assert train(path, output, "--overwrite", "--epochs", "1") == 0
    assert TextClassifier.load(output).classes == ["no", "yes"]
    before = path.read_bytes()
    assert train(path, path, "--overwrite") == 1
    assert "is the table itself" in capsys.readouterr().err
    assert path.read_bytes() == before


# ---- the demo


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "corpus", lambda: corpus(train=64, test=40))


@pytest.mark.usefixtures("small")
def test_demo(capsys: pytest.CaptureFixture[str], typed: Any) -> None:
    typed("")
    assert cli.main(["--epochs", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"minidl {md.__version__}, ")
    assert md.kernels.active() in out.splitlines()[0]
    assert "64 reviews to learn from, 40 held out" in out
    assert re.search(r"lstm\w* \(LSTM\) +\(None, \d+, 128\) +98,816", out)
    assert re.search(r"epoch 1/1 .* loss \d\.\d+  accuracy 0\.\d+", out)
    assert re.search(r"held-out accuracy \d+\.\d%, and \d+\.\d% for a bag of words", out)
    for example in demo.EXAMPLES:
        assert re.search(rf"(positive|negative) +\d+\.\d%  {re.escape(example)}", out)


@pytest.mark.usefixtures("small")
def test_demo_without_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert cli.main(["demo", "--epochs", "1"]) == 0
    assert demo.EXAMPLES[0] in capsys.readouterr().out


@pytest.mark.usefixtures("small")
def test_demo_sentences_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--epochs", "1", "--sentence", "It was xyzzy.", "--sentence", "It was good."]) == 0
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert lines[0].endswith("  It was xyzzy.  (not in the reviews: xyzzy)")
    assert lines[1].endswith("  It was good.")


@pytest.mark.usefixtures("small")
def test_demo_sentences_typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    for ending in ("", EOFError(), KeyboardInterrupt()):
        answers = iter(["It was good.", ending, "never asked for"])

        def ask(prompt: str, answers: Any = answers) -> str:
            answer = next(answers)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        monkeypatch.setattr("builtins.input", ask)
        assert cli.main(["demo", "--epochs", "1"]) == 0
        assert capsys.readouterr().out.rstrip().splitlines()[-1].endswith("  It was good.")
        assert next(answers) == "never asked for"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot say whether a pipe holds anything")
@pytest.mark.usefixtures("small")
def test_demo_sentences_piped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    with os.fdopen(read) as stdin, os.fdopen(write, "w") as pipe:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert cli.main(["demo", "--epochs", "1"]) == 0  # a pipe that nobody writes to is not waited for
        assert demo.EXAMPLES[-1] in capsys.readouterr().out
        pipe.write("It was good.\n\nIt was bad.\n")
        pipe.close()
        assert cli.main(["demo", "--epochs", "1"]) == 0
    assert [line[17:] for line in capsys.readouterr().out.splitlines()[-2:]] == ["It was good.", "It was bad."]


@pytest.mark.usefixtures("small")
def test_demo_repeats_itself(capsys: pytest.CaptureFixture[str]) -> None:
    results = []
    for seed in ("0", "0", "1"):
        assert cli.main(["demo", "--epochs", "1", "--seed", seed, "--sentence", "It was good."]) == 0
        results.append(re.findall(r"loss \S+", capsys.readouterr().out))
    assert results[0] == results[1] != results[2]


@pytest.mark.usefixtures("small")
def test_kernels_and_threads(capsys: pytest.CaptureFixture[str]) -> None:
    before = md.kernels.get_num_threads()
    try:
        assert (
            cli.main(["--kernels", "reference", "--threads", "1", "--epochs", "1", "--sentence", "It was good."]) == 0
        )
        assert md.kernels.get_num_threads() == 1
    finally:
        md.kernels.set_num_threads(before)
    assert "reference kernels (NumPy)" in capsys.readouterr().out


def test_kernels_that_are_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(md.kernels, "cpu", None)
    assert cli.main(["--kernels", "cpu"]) == 1
    assert "minidl demo: the compiled kernels are missing" in capsys.readouterr().err


# ---- doctor


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    rows = dict(re.findall(r"^(\w[\w ]*?)  +(.+)$", capsys.readouterr().out, re.M))
    assert rows["minidl"].startswith(md.__version__)
    assert rows["kernels"].startswith(md.kernels.active())
    assert rows["numpy"] == np.__version__
    assert rows["Python"].startswith(sys.version.split()[0])
    assert rows["threads"].startswith(str(md.kernels.get_num_threads()))
    assert {"instruction set", "compiler", "GPU", "CUDA kernels", "tqdm", "pytest", "torch"} <= rows.keys()
    if md.kernels.cpu is not None:
        assert rows["instruction set"].startswith(md.kernels.cpu.isa())


def test_doctor_says_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(md.kernels, "cpu", None)
    monkeypatch.setattr(md.kernels, "cpu_missing", "no module _cpu")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    flying, diving = ("flying", "pip install wings"), ("diving, if you dare", "pip install fins")
    monkeypatch.setattr(doctor, "OPTIONAL", {"no-such-library": flying, "no-other": diving, "nor-this": flying})
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"kernels +reference", out)
    assert re.search(r"compiler +none found", out)
    assert "the compiled kernels (no module _cpu)" in out
    assert "sudo apt install gcc" in out
    assert "  no-such-library and nor-this, for flying: pip install wings\n" in out
    assert "  no-other, for diving, if you dare: pip install fins\n" in out


def test_doctor_gets_what_tests_need_as_the_readme_does() -> None:
    extra = "pip install -e '.[test]'"
    assert extra in (Path(__file__).parents[1] / "README.md").read_text()
    assert all(extra in doctor.OPTIONAL[name][1] for name in ("pytest", "hypothesis"))


def test_doctor_misses_cuda_only_where_there_is_a_gpu(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(md.kernels.cuda, "missing", lambda: "no wind; pip install sails")
    for gpu in (None, "GeForce 9999"):
        monkeypatch.setattr(doctor, "_gpu", lambda gpu=gpu: gpu)
        assert cli.main(["doctor"]) == 0
        out = capsys.readouterr().out
        assert re.search(r"^CUDA kernels +not usable: no wind; pip install sails$", out, re.M)
        assert ("the kernels for the GPU: no wind; pip install sails" in out) is (gpu is not None)


def test_doctor_when_all_is_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(
        isa=lambda: "x86-64-v9",
        available_isas=lambda: ["x86-64-v9"],
        get_num_threads=lambda: 3,
        compiler=lambda: "CC 1",
    )
    monkeypatch.setattr(md.kernels, "cpu", fake)
    monkeypatch.setattr(md.kernels, "cuda", SimpleNamespace(missing=lambda: "", device=lambda: "GeForce 9999"))
    monkeypatch.setattr(doctor, "OPTIONAL", {})
    monkeypatch.setattr(doctor.shutil, "which", lambda name: sys.executable)
    monkeypatch.setattr(doctor, "_first_line", lambda *command: "GeForce" if "--query-gpu" in command[1] else "gcc 99")
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "x86-64-v9 in use" in out
    assert f"gcc 99 ({sys.executable})" in out
    assert "usable on GeForce 9999" in out
    assert out.endswith("nothing is missing\n")


def test_doctor_survives_programs_that_fail() -> None:
    assert doctor._first_line(sys.executable, "-c", "print('one'); print('two')") == "one"
    assert doctor._first_line(sys.executable, "-c", "pass") is None
    assert doctor._first_line(sys.executable, "-c", "print('one'); raise SystemExit(3)") is None
    assert doctor._first_line("no such program anywhere") is None


# ---- gradcheck


def test_gradcheck(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Row("op", "add", 3, 1e-10, 2e-9, "ok"), Row("layer", "Dense", 2, 0.5, 1.0, "the gradient of x is wrong")]
    asked: list[Any] = []

    def check(families: Any) -> Any:
        asked.append(families)
        return iter(rows)

    monkeypatch.setattr(gradcheck, "check_all", check)
    assert cli.main(["gradcheck"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"op +add +3 +1\.0e-10 +2\.0e-09  ok", out)
    assert re.search(r"layer +Dense +2 +5\.0e-01 +1\.0e\+00  the gradient of x is wrong", out)
    assert out.splitlines()[-1] == "2 names, 5 cases: 1 of the names is wrong"
    del rows[1]
    assert cli.main(["gradcheck", "op"]) == 0
    assert "1 names, 3 cases: all derivatives agree" in capsys.readouterr().out
    assert asked == [["op", "loss", "layer"], ["op"]]


def test_gradcheck_of_losses(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["gradcheck", "loss"]) == 0
    assert re.search(r"loss +\w+.* ok", capsys.readouterr().out)


# ---- mistakes


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "train nowhere.csv --text text --label label --output m",
            "minidl train: nowhere.csv: No such file or directory",
        ),
        ("train t.csv --text txet --label label --output m", "there is no column 'txet'"),
        ("train t.csv --text text --label text --output m", "column 'text' holds 3 different labels in 3 rows"),
        ("train one.csv --text text --label label --output m", "two or more classes"),
        ("train marks.csv --text text --label label --output m --validation 0", "the texts hold no words"),
        ("train t.csv --text text --label label --output no/m", "there is no such folder to save in"),
        ("predict nowhere.minidl", "minidl predict: nowhere.minidl: No such file or directory"),
        ("predict t.csv", "t.csv is damaged, or is no file that minidl saved"),
        ("predict plain.minidl", "holds a model without vocabulary and classes"),
        ("gradcheck layr", "unknown family 'layr'; did you mean 'layer'?"),
    ],
)
def test_mistakes_cost_a_line(
    command: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table(Path("t.csv"), [("a b", "x"), ("c d", "y"), ("e f", "x")])
    table(Path("one.csv"), [("a b", "x"), ("c d", "x")])
    table(Path("marks.csv"), [("!", "x"), ("?", "y")])
    md.Sequential([md.layers.Dense(1, input_shape=(2,))]).save("plain.minidl")
    before = sorted(tmp_path.iterdir())
    assert cli.main(command.split()) == 1
    out, err = capsys.readouterr()
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in out + err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "invalid choice: 'trian'"),
        (["train", "t.csv"], "the following arguments are required: --text, --label"),
        (["--epochs", "0"], "argument --epochs: must be at least 1, got 0"),
        (["--epochs", "many"], "argument --epochs: invalid integer value: 'many'"),
        (["train", "t.csv", "--validation", "1"], "argument --validation: must be at least 0 and less than 1"),
        (["--kernels", "gpu"], "argument --kernels: invalid choice: 'gpu'"),
        (["--sentnce", "x"], "usage: python -m minidl demo [-h] [--sentence TEXT]"),
        (["predict", "m", "f", "--all"], "python -m minidl predict: error: unrecognized arguments: --all"),
    ],
)
def test_commands_that_are_not_understood(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_predict_without_input(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, typed: Any
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert cli.main(["predict", str(model)]) == 1
    assert "there is no standard input to read from: give a FILE" in capsys.readouterr().err
    typed(b"fine\nbad \xff\n")
    assert cli.main(["predict", str(model)]) == 1
    assert "line 2: byte 0xff is not UTF-8" in capsys.readouterr().err


def test_without_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # as Python starts where it is closed
    assert cli.main(["doctor"]) == 0


def test_ctrl_c_anywhere_ends_politely(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(options: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "run", stopped)
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err == "\nstopped\n"


def test_help_shows_commands_that_work(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["train", "--help"], ["predict", "--help"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        assert caught.value.code == 0
        shown = re.findall(r"^  (?:.* \| )?python -m minidl(.*)$", capsys.readouterr().out, re.M)
        assert shown
        for example in shown:
            cli.parser().parse_args(example.split() or ["demo"])


# ---- as a process


def test_as_a_process(model: Path) -> None:
    running = started(
        "predict", str(model), stdin=subprocess.PIPE, env=ENVIRONMENT | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    )
    out, err = running.communicate(f"{GOOD} …\n", timeout=60)
    assert (running.returncode, err) == (0, "")
    assert re.fullmatch(rf"yes\t[01]\.\d{{4}}\t{GOOD} …\n", out)
    assert started("--version").communicate(timeout=60)[0] == f"minidl {md.__version__}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="the pipes of Windows break in other ways")
@pytest.mark.parametrize("lines", [1, 20_000])
def test_a_reader_that_has_seen_enough(lines: int, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    path.write_text(f"{GOOD}\n" * lines, encoding="utf-8")
    running = started("predict", str(model), str(path))
    assert running.stdout is not None
    assert running.stderr is not None
    if lines > 1:
        assert running.stdout.readline().startswith("yes\t")
    running.stdout.close()
    assert running.wait(timeout=120) == 1
    assert running.stderr.read() == ""
    running.stderr.close()
