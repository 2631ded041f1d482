"""What all tests share: the kernel modules to run on, random numbers that repeat, and settled Hypothesis."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

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
