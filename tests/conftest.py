"""What all tests share: the kernel modules to run on, random numbers that repeat, and settled Hypothesis."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import on_device
import pytest
from cases import KERNELS

import minidl as md

hypothesis.settings.register_profile("minidl", derandomize=True, deadline=None, max_examples=60, database=None)
hypothesis.settings.load_profile("minidl")


def pytest_report_header() -> str:
    missing = "" if "cpu" in KERNELS else f"; THE COMPILED KERNELS ARE MISSING: {md.kernels.cpu_missing}"
    cuda = f"cuda on {on_device.WHERE}" if on_device.WHERE else "cuda NOT TESTED, for want of a GPU or g++"
    return f"minidl kernels: {', '.join(KERNELS)}, {cuda}{missing}"


ALL_TESTS = 5000  # at least
_ahead: list[subprocess.Popen[bytes]] = []


def pytest_collection_finish(session: pytest.Session) -> None:
    """Where all tests are run a second processor compiles ahead of them."""
    if on_device.WHERE == "the processor" and len(session.items) > ALL_TESTS and (os.cpu_count() or 1) > 1:
        command = [sys.executable, str(Path(__file__).with_name("ahead.py"))]
        _ahead.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def pytest_unconfigure() -> None:
    for process in _ahead:
        process.kill()
        process.wait()


@pytest.fixture(params=[*KERNELS, "cuda"])
def kernels(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on every kernel module; its name."""
    device = on_device.cupy() if request.param == "cuda" else contextlib.nullcontext()
    with device, md.use(request.param):
        yield request.param


@pytest.fixture(autouse=True)
def _as_if_first() -> Iterator[None]:
    """No test sees the default stream or the kernels that another one left behind."""
    serving = md.kernels.active()
    md.random.set_seed(0)
    yield
    md.use(serving)
