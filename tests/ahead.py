"""Compiles on a second processor what later tests would wait for; conftest.py starts it where all tests are run.

What it makes lies in the caches of the tests, under its content, where they look first. Who comes second to a source
waits for the first, and nothing is taken over from here but what was compiled.
"""

from __future__ import annotations

import itertools

import cuda_on_cpu
import cupy_stand_in
import test_cuda_compiles as compiles
import test_cuda_kernels as kernels
import test_cuda_lstm as lstm
from cases import DTYPES


def main() -> None:
    for family, architecture in itertools.product(compiles.FAMILIES, compiles.ARCHITECTURES):
        compiles.kernels(family, architecture)
    for real, (family, units, blocks) in itertools.product(compiles.REALS, compiles.FORMS):
        for architecture in compiles.architectures(family, blocks):
            compiles.kernels(family, architecture, compiles.definitions(real, units, blocks))
    for (gpu, units), dtype in itertools.product(lstm.FORMS, DTYPES):
        cupy_stand_in.gpu = gpu
        lstm.check((3, 4, 2, units), dtype)
    for which, code in itertools.product(("thread", "address"), (lstm.SANITIZED, kernels.SMALL + kernels.SHARING)):
        cuda_on_cpu.sanitized(which, code)


if __name__ == "__main__":
    main()
