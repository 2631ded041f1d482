"""The libraries that minidl is measured against, each where it is installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec

DEVICE = os.environ.get("BENCHMARK_DEVICE", "cpu")  # where a contestant computes: this one, or "cuda"


@dataclass(frozen=True)
class Peer:
    """A contestant: a module of `benchmarks.contestants`, and the environment that it runs in."""

    name: str
    module: str
    packages: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    precision: str = "float32"  # of the factors in its products: tf32 keeps 10 bits of them

    @property
    def installed(self) -> bool:
        return all(find_spec(package) is not None for package in self.packages)

    @property
    def versions(self) -> str:
        return " on ".join(f"{package} {_version(package)}" for package in self.packages)


# glibc gives the pages of a large array back when it is freed, and the next step pays for new ones.
# A user who knows can forbid it; that makes a harder peer.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "68719476736", "MALLOC_TOP_PAD_": "67108864"}

MINIDL = Peer("minidl", "ours", ("minidl",))
PEERS = (
    Peer("pytorch", "pytorch", ("torch",)),
    Peer("pytorch, malloc kept", "pytorch", ("torch",), KEEP_MEMORY),
    Peer("keras/tensorflow", "keras_model", ("keras", "tensorflow"), {"KERAS_BACKEND": "tensorflow"}),
    Peer("keras/jax", "keras_model", ("keras", "jax"), {"KERAS_BACKEND": "jax"}),
    Peer("keras/torch", "keras_model", ("keras", "torch"), {"KERAS_BACKEND": "torch"}),
    Peer("autograd", "hips_autograd", ("autograd",)),
    Peer("numpy", "plain_numpy", ("numpy",)),
)


ON_GPU = {"BENCHMARK_DEVICE": "cuda"}
GPU_PEERS = (
    Peer("minidl", "ours", ("minidl", "cupy"), ON_GPU),
    Peer("pytorch", "pytorch", ("torch",), ON_GPU),
    Peer("pytorch, graph", "pytorch_graph", ("torch",), ON_GPU),
    Peer("minidl, tf32", "ours", ("minidl", "cupy"), {**ON_GPU, "CUPY_TF32": "1"}, "tf32"),
    Peer("pytorch, tf32", "pytorch", ("torch",), {**ON_GPU, "BENCHMARK_TF32": "1"}, "tf32"),
)


def _version(package: str) -> str:
    """Of the distribution that brings the package, which may be called otherwise, such as cupy-cuda13x."""
    for name in (package, *packages_distributions().get(package, ())):
        try:
            return version(name)
        except PackageNotFoundError:
            pass
    return getattr(sys.modules.get(package), "__version__", "of unknown version")  # minidl that is not installed


def chosen(names: Sequence[str] | None, able: Sequence[str]) -> list[Peer]:
    """minidl, and of the peers that can take part those that are installed and, if names are given, named."""
    return [MINIDL, *(p for p in PEERS if p.module in able and p.installed and (not names or p.name in names))]


def absent(able: Sequence[str]) -> Iterator[str]:
    """Peers that could take part if they were installed."""
    return (p.name for p in PEERS if p.module in able and not p.installed)
