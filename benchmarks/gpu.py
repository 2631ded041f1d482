"""All that a machine with a GPU can prove and measure: the tests on it, its memory checker, and cuDNN side by side."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from benchmarks import gpu_proof, gpu_speed, gpu_start
from benchmarks.command import Command, last_lines
from benchmarks.journal import Journal
from benchmarks.peers import GPU_PEERS, Peer
from benchmarks.process import Field
from benchmarks.result import Result
from benchmarks.setting import Setting
from minidl.kernels import cuda

RACES_UNTIL = 270.0  # seconds since the start; what is not measured by then is left out
TESTS_UNTIL = 420.0  # then they and the memory checker are stopped, and a process or two remain to be timed
PATIENCE = 60.0  # seconds for an answer of a contestant: importing PyTorch takes ten, a step far less
BUILD = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
ABOUT = """
import torch, cupy
print(f"PyTorch {torch.__version__} with cuDNN {torch.backends.cudnn.version()}, CuPy {cupy.__version__}.")
"""
FACTS = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,clocks.max.mem,power.limit,temperature.gpu"


def run(setting: Setting) -> Result:
    if missing := cuda.missing():
        raise SystemExit(f"benchmarks gpu: {missing}")
    peers = [peer for peer in GPU_PEERS if peer.installed]
    versions = {peer.name: peer.versions for peer in peers}
    result = Result("gpu", "On the GPU", {"gpu": cuda.device(), **setting.machine}, versions)
    journal = Journal(result, setting.output)
    with journal.part("building the kernels in C, and compiling those of the GPU"):
        _make_ready(journal, setting, peers)
    with journal.part("the races"), Field(peers, _cores(), PATIENCE) as contestants:
        races = gpu_speed.Races(journal, contestants, gpu_speed.pace(setting), RACES_UNTIL)
        gpu_speed.measure(races, setting)
    with journal.part("the device"):
        journal.note(_about())
    with journal.part("the proof, and the start of a process that compiles"), gpu_start.Starts() as starts:
        gpu_proof.prove(journal, until=TESTS_UNTIL, cores=_cores(), quick=setting.quick)
        starts.note(journal)
    gpu_speed.aim(result)
    gpu_start.aim(result)
    result.write(setting.output)
    journal.say("done")
    return result


def _make_ready(journal: Journal, setting: Setting, peers: Sequence[Peer]) -> None:
    building = Command(BUILD)
    with journal.part("compiling the kernels of the GPU in many processes"):
        ours = next(peer for peer in peers if peer.module == "ours")
        gpu_start.compile_kernels(journal, setting, ours, max(1, _cores() - 2), PATIENCE)
    said = building.wait(120)
    if building.status:
        journal.note(f"The kernels in C were not built: {last_lines(said)}")


def _about() -> str:
    """The device as its driver sees it right after the races, and the libraries that took part."""
    driver = Command(["nvidia-smi", f"--query-gpu={FACTS}", "--format=csv"])
    libraries = Command([sys.executable, "-c", ABOUT])
    return f"{last_lines(driver.wait(20), 2)}\n{last_lines(libraries.wait(60), 1)}"


def _cores() -> int:
    return len(os.sched_getaffinity(0))
