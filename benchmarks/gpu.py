"""All that a machine with a GPU can prove and measure: the tests on it, its memory checker, and cuDNN side by side."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.peers import GPU_PEERS
from benchmarks.process import Field, check_agreement, race
from benchmarks.result import Result, Row
from benchmarks.seed_model import operations as document_operations
from benchmarks.setting import Setting
from minidl.kernels import cuda

ROOT = Path(__file__).parent.parent
LSTMS = tuple((batch, 50, units, units) for units in (256, 512, 1024) for batch in (32, 256))
FAR = 1 << 26  # numbers in an array that no cache on a GPU holds: 256 MiB
START = """
import time; start = time.perf_counter()
import cupy; cupy.zeros(1).sum().item(); imported = time.perf_counter()
import minidl as md; from benchmarks.contestants import ours
ours.document_train(32, 20, 0.5, "adam")(); md.devices.synchronize()
print(imported - start, time.perf_counter() - imported)
"""


def run(setting: Setting) -> Result:
    if missing := cuda.missing():
        raise SystemExit(f"benchmarks gpu: {missing}")
    subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=ROOT, check=True)
    peers = [peer for peer in GPU_PEERS if peer.installed]
    versions = {peer.name: peer.versions for peer in peers}
    result = Result("gpu", "On the GPU", {"gpu": cuda.device(), **setting.machine}, versions)
    result.notes += [_tests(setting), _memory_check()]
    copy = copy_bandwidth()
    result.notes.append(f"Measured copy bandwidth: {copy:.0f} GB/s, bytes read and bytes written together.")
    with Field(peers, threads=1) as contestants:
        _race_models(result, contestants, setting)
        _race_layers(result, contestants, setting)
        _race_kernels(result, contestants, setting, copy)
    _time_starts(result)
    _aim(result)
    return result


# ---- proof --------------------------------------------------------------------------------


def _tests(setting: Setting) -> str:
    """The suite of the engine and the kernels, with the GPU as one of the kernel modules."""
    command = [sys.executable, "-m", "pytest", "-q", "-x" if setting.quick else "--maxfail=20", "-k", "cuda or device"]
    done = _run([*command, "-p", "no:cacheprovider", "tests"], timeout=240)
    print(done)
    return f"Tests on the GPU: {_last_line(done)}"


def _memory_check() -> str:
    """compute-sanitizer watches every access of the kernels on one form of every case."""
    places = [*Path("/usr/local").glob("cuda*/bin"), *Path(sys.prefix).glob("lib/python*/site-packages/nvidia/*/bin")]
    tool = shutil.which("compute-sanitizer", path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, places)]))
    if tool is None:
        return "compute-sanitizer was not found, so no access was watched."
    tests = [
        "-m",
        "pytest",
        "-q",
        "-k",
        "cuda and float32 and contiguous and same_results",
        "tests/test_kernel_parity.py",
    ]
    done = _run([tool, "--tool", "memcheck", "--error-exitcode", "9", sys.executable, *tests], timeout=120)
    print(done)
    found = re.findall(r"ERROR SUMMARY: \d+ errors?", done)
    return f"compute-sanitizer memcheck: {found[-1] if found else _last_line(done)}"


def _run(command: list[str], timeout: float) -> str:
    """What a command prints; one that fails or hangs is a finding, not the end."""
    try:
        done = subprocess.run(command, cwd=ROOT, timeout=timeout, capture_output=True, text=True)
    except subprocess.TimeoutExpired as error:
        return f"{(error.stdout or b'').decode()[-4000:]}\nstopped after {timeout:.0f} s"
    return done.stdout[-4000:] + done.stderr[-2000:]


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "nothing was printed"


# ---- speed --------------------------------------------------------------------------------


def copy_bandwidth(tries: int = 20) -> float:
    """GB/s that a plain copy of arrays past every cache reaches."""
    x = cuda.to_device(np.ones(FAR, np.float32))
    y = x.copy()
    times = []
    for _ in range(tries):
        cuda.synchronize()
        start = time.perf_counter()
        y[...] = x
        cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 2 * x.nbytes / statistics.median(times) / 1e9


def _race_models(result: Result, contestants: Field, setting: Setting) -> None:
    check_agreement(contestants, "document_train", batch=32, time=100, rate=0.0, optimizer="sgd")
    check_agreement(contestants, "document_infer", steps=1, batch=32, time=100)
    for batch, steps in setting.pick(((32, 100), (32, 40), (1, 100), (256, 100)), ((32, 100),)):
        trained = race(
            contestants, "document_train", setting.rounds, batch=batch, time=steps, rate=0.5, optimizer="adam"
        )
        result.add_race(_model("training", batch, steps), trained, document_operations(batch, steps, True))
        used = race(contestants, "document_infer", setting.rounds, batch=batch, time=steps)
        result.add_race(_model("inference", batch, steps), used, document_operations(batch, steps, False))


def _race_layers(result: Result, contestants: Field, setting: Setting) -> None:
    for cell in setting.pick(LSTMS, LSTMS[:1]):
        arguments = dict(zip(("batch", "time", "features", "units"), cell, strict=True))
        for what in ("train", "infer"):
            check_agreement(contestants, f"lstm_{what}", steps=1, **arguments)
            result.add_race(_layer(what, cell), race(contestants, f"lstm_{what}", setting.rounds, **arguments))


def _race_kernels(result: Result, contestants: Field, setting: Setting, copy: float) -> None:
    for task, arguments, size in _kernels():
        timings = race(contestants, task, setting.rounds, **arguments)
        result.add_race(_kernel(task), timings, size, copy)


def _kernels() -> list[tuple[str, dict[str, int], float]]:
    """Each with the bytes that it moves at least, on arrays that no cache holds."""
    rows, units, n = 100_000, 256, FAR // 256
    return [
        *((task, {"n": FAR}, 8 * FAR) for task in ("exp", "tanh", "sigmoid", "dropout")),
        ("adam", {"n": FAR}, 28 * FAR),
        ("embedding_forward", {"rows": rows, "units": units, "n": n}, 8 * FAR),
        ("embedding_backward", {"rows": rows, "units": units, "n": n}, 4 * FAR + 4 * rows * units),
    ]


def _time_starts(result: Result) -> None:
    """A process that compiles the kernels, and one that finds them on disk."""
    for case in ("first", "second"):
        printed = _run([sys.executable, "-c", START], timeout=120)
        try:
            _, own = map(float, _last_line(printed).split())
        except ValueError:
            result.notes.append(f"The start of a process could not be timed: {_last_line(printed)}")
            return
        result.rows.append(Row(_start(case), "minidl", own))


def _model(what: str, batch: int, steps: int) -> str:
    return f"document's model, {what}, B {batch}, T {steps}"


def _layer(what: str, cell: tuple[int, int, int, int]) -> str:
    batch, steps, features, units = cell
    return f"LSTM, {what}, B {batch}, T {steps}, {features}→{units}"


def _kernel(task: str) -> str:
    return f"{task}, {FAR} numbers"


def _start(which: str) -> str:
    return f"first training step of the {which} process, after CuPy's import"


def _aim(result: Result) -> None:
    for what in ("training", "inference"):
        case = _model(what, 32, 100)
        result.aim(f"{case}, of the fastest", 1.0, result.ratio_to_fastest(case))
    for what in ("train", "infer"):
        result.aim_all(f"LSTM, {what}, of the fastest", [_layer(what, cell) for cell in LSTMS], 1.1)
    for task, _, _ in _kernels():
        share = result.share_of(_kernel(task))
        result.aim(f"{_kernel(task)}, share of the copy bandwidth", 0.85, share, at_most=False)
    second = result.find(_start("second"))
    result.aim(f"{_start('second')}, seconds", 0.5, None if second is None else second.value)
