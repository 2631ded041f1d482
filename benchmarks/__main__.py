"""python -m benchmarks            list them
python -m benchmarks all        run them all
python -m benchmarks overhead   run one, or several
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from benchmarks.peers import PEERS
from benchmarks.setting import Setting
from minidl.saving.archive import try_out

# "all" of a machine without a GPU
NAMES = ("seed_model", "lstm_scaling", "ops", "overhead", "footprint", "stages", "breakdown")
ON_GPU = ("gpu",)
PEER_NAMES = tuple(peer.name for peer in PEERS)


def main(argv: Sequence[str] | None = None) -> None:
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not arguments.names:
        for name in NAMES + ON_GPU:
            print(f"{name:14}{_purpose(name)}")
        print("\nThis runs one of them: python -m benchmarks stages")
        return
    try:
        modules = [_module(name) for name in (NAMES if "all" in arguments.names else arguments.names)]
        _make_folder(arguments.output)
    except ModuleNotFoundError as error:
        sys.exit(f"python -m benchmarks: {error.name} is needed and not installed: pip install -e '.[bench]'")
    except OSError as error:
        given = f"got {str(arguments.output)!r}: {error.strerror}; name another"
        parser.error(f"argument --output: expected a folder that can be written to, {given}")
    setting = Setting(arguments.quick, arguments.rounds, arguments.threads, arguments.peers, arguments.output)
    for module in modules:
        result = module.run(setting)
        print(result.markdown(), flush=True)  # first, for a disk may be full by now
        result.write(arguments.output)
        if find_spec("matplotlib"):
            _module("picture").draw(result, arguments.output / f"{result.name}.svg")
        print(f"Written to {arguments.output}/{result.name}.*", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure minidl beside its peers.")
    add = parser.add_argument
    add("names", nargs="*", type=_name, metavar="NAME", help="none lists them, all runs them all")
    add("--quick", action="store_true", help="fewer cases of those that have many")
    add("--rounds", type=_rounds, default=7, help="turns of each contestant, of which medians are taken (default: 7)")
    cores = len(os.sched_getaffinity(0))
    add("--threads", type=_threads, default=f"1,{cores}", help="comma-separated, as 1,2 (default: 1 and all cores)")
    peers = f"of {'; '.join(PEER_NAMES)}; or none (default: all that are installed; gpu has its own)"
    add("--peers", type=_peers, help=f"in quotes and between semicolons, as 'pytorch;keras/jax', {peers}")
    output = "folder for JSON, Markdown and SVG (default: %(default)s/ under the current folder)"
    add("--output", type=Path, default=Path("benchmarks/results"), help=output)
    return parser


def _make_folder(folder: Path) -> None:
    """Before an hour of measuring, whose results it is for."""
    folder.mkdir(parents=True, exist_ok=True)
    try_out(folder / "overhead.json")


def _purpose(name: str) -> str | None:
    """What a module says of itself, read and not imported: what it imports may not be installed."""
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source))


def _module(name: str):
    return importlib.import_module(f"benchmarks.{name}")


def _name(text: str) -> str:
    return _one_of((*NAMES, *ON_GPU, "all"), text)


def _peers(text: str) -> tuple[str, ...]:
    return tuple(_one_of((*PEER_NAMES, "none"), part.strip()) for part in text.split(";"))


def _one_of(known: Sequence[str], text: str) -> str:
    if text not in known:
        near = get_close_matches(text, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(map(repr, known))}, got {text!r}{hint}")
    return text


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, got {text!r}")
    return int(text)


def _threads(text: str) -> tuple[int, ...]:
    """No more than there are cores: a contestant keeps to one core for each of its threads."""
    cores = len(os.sched_getaffinity(0))
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= cores for part in parts):
        expected = f"expected numbers from 1 to {cores}, the cores there are, between commas"
        raise argparse.ArgumentTypeError(f"{expected}, got {text!r}")
    return tuple(sorted({*map(int, parts)}))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # by way of what closes the contestants
    main()
