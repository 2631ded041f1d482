"""python -m benchmarks            list them
python -m benchmarks all        run them all
python -m benchmarks overhead   run one, or several
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks.setting import Setting

# "all" of a machine without a GPU
NAMES = ("seed_model", "lstm_scaling", "ops", "overhead", "footprint", "stages", "breakdown")
ON_GPU = ("gpu",)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure minidl beside its peers.")
    parser.add_argument(
        "names",
        nargs="*",
        choices=[*NAMES, *ON_GPU, "all", []],
        metavar="NAME",
        help="none lists them, all runs them all",
    )
    parser.add_argument("--quick", action="store_true", help="a few cases of each")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contestant, over which medians are taken")
    parser.add_argument("--threads", default=None, help="comma-separated, as 1,2 (default: 1 and all cores)")
    parser.add_argument(
        "--peers", default=None, help="names between semicolons, as pytorch;keras/jax (default: all that are installed)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results"), help="folder for JSON, Markdown and SVG"
    )
    arguments = parser.parse_args()
    if not arguments.names:
        for name in NAMES + ON_GPU:
            print(f"{name:14}{_module(name).__doc__}")
        return
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # by way of what closes the contestants
    threads, peers = _threads(arguments.threads), _split(arguments.peers)
    setting = Setting(arguments.quick, arguments.rounds, threads, peers, arguments.output)
    for name in NAMES if "all" in arguments.names else arguments.names:
        result = _module(name).run(setting)
        result.write(arguments.output)
        if find_spec("matplotlib"):
            _module("picture").draw(result, arguments.output / f"{name}.svg")
        print(result.markdown())


def _module(name: str):
    return importlib.import_module(f"benchmarks.{name}")


def _split(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(";"))


def _threads(text: str | None) -> tuple[int, ...]:
    if text is not None:
        return tuple(int(part) for part in text.split(","))
    return tuple(sorted({1, len(os.sched_getaffinity(0))}))


if __name__ == "__main__":
    main()
