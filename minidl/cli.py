"""The command line: what can be asked for, and how mistakes are answered.

Each command is a module of `minidl.commands` with a function `run(options)` that returns the
exit status.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

from minidl import __version__, kernels

_DESCRIPTION = "A deep-learning engine to run, to read and to believe. Without a command it runs the demo."
_EXAMPLES = """\
examples:
  python -m minidl
  python -m minidl train reviews.csv --text review --label stars --output stars.minidl
  python -m minidl predict stars.minidl new.csv --text review
  echo "not bad at all" | python -m minidl predict stars.minidl
  python -m minidl doctor

`python -m minidl COMMAND --help` explains one command."""
_Raw = argparse.RawDescriptionHelpFormatter


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. The exit status: 0 done, 1 failed, 2 not understood, 130 stopped by Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help", "--version")):
        given.insert(0, "demo")
    _write_any_character()
    options, unknown = parser().parse_known_args(given)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")  # with the usage of this command
    try:
        command = importlib.import_module(f"minidl.commands.{options.command}")
        if "kernels" in options:
            _select_kernels(options)
        status: int = command.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the flush at exit fails once more
        return 1
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        _complain(options.command, f"{where}{error.strerror or error}")
    except ValueError as error:
        _complain(options.command, str(error))
    return 1


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser("python -m minidl", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=_Raw)
    top.add_argument("--version", action="version", version=f"minidl {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    _add_demo(commands)
    _add_train(commands)
    _add_predict(commands)
    _add(commands, "doctor", "say which kernels, threads and libraries are in use, and what is missing")
    _add_gradcheck(commands)
    return top


def _add_demo(commands: Any) -> None:
    demo = _add(commands, "demo", "train a classifier on generated reviews, and try it on your own sentences (default)")
    demo.add_argument("--sentence", action="append", metavar="TEXT", help="classify TEXT; may be repeated")
    _add_number(demo, "--epochs", 6, "passes over the reviews")
    _add_engine_options(demo, seed=True)


def _add_train(commands: Any) -> None:
    train = _add(
        commands,
        "train",
        "train a text classifier on your own table",
        "Model, vocabulary and classes are saved in one file. Ctrl-C stops the training and saves what there is.",
        "python -m minidl train reviews.csv --text review --label stars --output stars.minidl",
    )
    train.add_argument("file", metavar="FILE", help="a table: .csv, .tsv or .jsonl, with the names of the columns")
    train.add_argument("--text", required=True, metavar="COLUMN", help="the column that holds the texts")
    train.add_argument("--label", required=True, metavar="COLUMN", help="the column that holds the classes")
    train.add_argument("--output", default="model.minidl", metavar="FILE", help="where to save (default: model.minidl)")
    train.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    _add_number(train, "--epochs", 10, "at most; training ends when validation gets no better")
    _add_number(train, "--batch-size", 32, "texts a step")
    _add_number(train, "--max-words", 5000, "size of the vocabulary, the most frequent words")
    _add_number(train, "--max-length", None, "words a text; longer ones lose their beginning (default: fits 95%%)")
    _add_number(train, "--validation", 0.1, "the part held out to validate on; 0 for none", _fraction, "FRACTION")
    _add_engine_options(train, seed=True)


def _add_predict(commands: Any) -> None:
    predict = _add(
        commands,
        "predict",
        "classify texts with a model that `train` has saved",
        "A line is printed for each text: label, probability and text, with tabs between them.",
        'echo "not bad at all" | python -m minidl predict model.minidl',
    )
    predict.add_argument("model", metavar="MODEL", help="the file that `train` saved")
    predict.add_argument("file", nargs="?", metavar="FILE", help="one text a line, or a table (default: stdin)")
    predict.add_argument("--text", metavar="COLUMN", help="FILE is a table, and this column holds the texts")
    predict.add_argument("--json", action="store_true", help="print a JSON object a line, with all probabilities")
    _add_engine_options(predict)


def _add_gradcheck(commands: Any) -> None:
    gradcheck = _add(commands, "gradcheck", "compare derivatives with finite differences, for all that minidl has")
    gradcheck.add_argument("family", nargs="*", metavar="FAMILY", help="op, loss or layer (default: all)")
    _add_engine_options(gradcheck)


def _add(commands: Any, name: str, purpose: str, more: str = "", example: str = "") -> argparse.ArgumentParser:
    description = f"{purpose[0].upper()}{purpose[1:]}.\n{more}"
    epilog = f"example:\n  {example}" if example else None
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=purpose, description=description, epilog=epilog, formatter_class=_Raw
    )
    command.set_defaults(parser=command)
    return command


def _add_engine_options(command: argparse.ArgumentParser, seed: bool = False) -> None:
    if seed:
        _add_number(command, "--seed", 0, "of the weights, the dropout and the order of the data", int)
    command.add_argument(
        "--kernels", choices=kernels.MODULES, help="what computes: NumPy, compiled code (default), or a GPU"
    )
    _add_number(command, "--threads", None, "for compiled kernels; results do not depend on it (default: all cores)")


def _add_number(
    command: argparse.ArgumentParser, name: str, default: Any, purpose: str, kind: Any = None, letter: str = "N"
) -> None:
    note = "" if default is None else f" (default: {default})"
    command.add_argument(name, type=kind or _positive, default=default, metavar=letter, help=purpose + note)


def _select_kernels(options: argparse.Namespace) -> None:
    try:
        if options.kernels is not None:
            kernels.use(options.kernels)
    except RuntimeError as error:  # they were not compiled
        raise ValueError(error) from error
    if options.threads is not None:
        kernels.set_num_threads(options.threads)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _fraction(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and less than 1, got {text}")
    return number


_positive.__name__, _fraction.__name__ = "integer", "number"  # argparse says "invalid integer value"


def _write_any_character() -> None:
    """Files and pipes get UTF-8 whatever the system prefers; a terminal gets ? for what it cannot show."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        if sys.stdout.isatty():
            sys.stdout.reconfigure(errors="replace")
        else:
            sys.stdout.reconfigure(encoding="utf-8")


def _complain(command: str, message: str) -> None:
    print(f"minidl {command}: {message}", file=sys.stderr)
