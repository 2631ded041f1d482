"""Runs CUDA C kernels on the processor: builds a .cu file as C++ with tests/cuda/shim.h and launches what is in it.

    kernels = cuda_on_cpu.build(path)
    kernels.launch("scale", grid=4, block=128, arguments=[x, np.float32(2), np.int64(x.size)])

The sources are compiled as NVRTC compiles them, without any header of their own, and every `extern "C" __global__`
kernel in the preprocessor's output gets an entry. An array is passed by its address, a scalar as a NumPy scalar of the
parameter's very type, as CuPy passes them: another type is refused, since a GPU would read the wrong bytes. No array
is `np.uintp(0)`; None is refused, for CuPy makes the address 0xffffffff of it (cupy#9046).

`sanitized` runs Python code whose kernels are built for the address or the thread sanitizer.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minidl

HERE = Path(__file__).parent
SHIM = HERE / "cuda"
CACHE = HERE.parent / ".pytest_cache" / "cuda_on_cpu"
FLAGS = ["-std=c++17", "-O1", "-g1", "-fPIC", "-fwrapv", "-Wall", "-Wno-unknown-pragmas", "-Wno-psabi"]

KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?P<attributes>(?:__\w+__\s*\((?:[^()]|\([^()]*\))*\)\s*)*)(?P<name>\w+)\s*\('
)
DYNAMIC = re.compile(r"extern\s+__shared__\s+(?:__align__\s*\(\d+\)\s*)?([\w: ]+?)\s+(\w+)\s*\[\s*\]\s*;")
STATIC = re.compile(r"__shared__\s+(?:__align__\s*\(\d+\)\s*)?([\w: ]+?)\s+(\w+)\s*((?:\[[^\]]*\]\s*)*);")


def build(source: Path, definitions: Sequence[str] = (), arch: int = 900) -> Kernels:
    """The kernels of a .cu file, with macros such as `REAL=float`, as the compiler sees them for sm_`arch`."""
    return _build(Path(source).read_text("utf-8"), str(source), tuple(definitions), arch)


def build_text(text: str, definitions: Sequence[str] = (), arch: int = 900, folder: Path = SHIM) -> Kernels:
    """The same for the text of a source; what it includes is looked for in `folder`."""
    return _build(text, str(folder / "text.cu"), tuple(definitions), arch)


@functools.cache
def _build(text: str, name: str, definitions: tuple[str, ...], arch: int) -> Kernels:
    program = translate(_preprocess(text, name, definitions, arch))
    headers = "".join(path.read_text("utf-8") for path in sorted(SHIM.glob("*.h")))
    return Kernels(_built(headers + program, program, "so", ["-shared", str(_machine())]))


@functools.cache
def _machine() -> Path:
    """The scheduler's object file; for the thread sanitizer, the one part that it does not instrument."""
    text = (SHIM / "machine.cpp").read_text("utf-8")
    return _built((SHIM / "machine.h").read_text("utf-8") + text, text, "o", ["-c"])


def _preprocess(text: str, name: str, definitions: Iterable[str], arch: int) -> str:
    """The source as NVRTC's compiler proper sees it; `__CUDACC_RTC__` is left out, and so is what stands under it."""
    macros = [f"-D{definition}" for definition in (f"__CUDA_ARCH__={arch}", *definitions)]
    folder = str(Path(name).parent)
    done = _run(["g++", "-E", "-std=c++17", "-undef", "-nostdinc", "-x", "c++", *macros, f"-I{folder}", "-"], text)
    return done.replace('"<stdin>"', f'"{name}"')


def translate(text: str) -> str:
    """The C++ program: shared variables looked up by block, and an entry for each kernel behind its source."""
    text = DYNAMIC.sub(r"\1* const \2 = static_cast<\1*>(shim::dynamic_shared());", text)
    text = STATIC.sub(r"auto& \2 = shim::shared_variable<\1\3>(__COUNTER__);", text)
    if left := re.search(r".*__shared__.*", text):
        raise ValueError(
            f"the shim knows one array or variable a declaration of __shared__, got {left[0].strip()[-200:]}"
        )
    entries = [_entry(kernel["name"], kernel["attributes"]) for kernel in KERNEL.finditer(text)]
    if len(entries) != text.count("__global__"):
        raise ValueError(f'{text.count("__global__")} __global__ functions, {len(entries)} of them extern "C" kernels')
    return '#include "shim.h"\n' + text + "\n" + "\n".join(entries)


def _entry(name: str, attributes: str) -> str:
    bound = re.search(r"__launch_bounds__\s*\(([^,)]*)", attributes)
    cluster = re.search(r"__cluster_dims__\s*\(([^,)]*)", attributes)
    limits = f"{cluster[1] if cluster else 1}, {bound[1] if bound else 0}"
    shape = f"{{gx, gy, gz}}, {{bx, by, bz}}, shared, {limits}, cooperative"
    numbers = "unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, uint64_t shared"
    return (
        f'extern "C" const char* {name}__launch({numbers}, bool cooperative, bool reverse, void** arguments) {{'
        f" return shim::launch_kernel({name}, shim::Shape{{{shape}}}, arguments, reverse); }}\n"
        f'extern "C" const char* {name}__describe() {{'
        f" static const std::string text = shim::describe({name}); return text.c_str(); }}\n"
        f'extern "C" const bool {name}__kernel = true;'
    )


def _sanitizer_flags(kind: str) -> list[str]:
    which = os.environ.get("MINIDL_SANITIZE")
    if which == "thread" and kind == "o":
        return ["-DSHIM_THREAD_SANITIZER"]
    return [f"-fsanitize={which}", "-fno-omit-frame-pointer"] if which else []


def _built(content: str, program: str, kind: str, options: list[str]) -> Path:
    """A program's library or object file, compiled if the cache has none of this content and these flags."""
    flags = [*FLAGS, *_sanitizer_flags(kind), f"-I{SHIM}"]
    stamp = hashlib.sha256("\0".join([content, *flags, *options]).encode()).hexdigest()[:32]
    target = CACHE / f"{stamp}.{kind}"
    with made_once(target) as made:
        if not made:
            source = target.with_suffix(".cpp")
            source.write_text(program, "utf-8")  # kept, for the debugger
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                built = Path(folder, target.name)
                _run(["g++", *flags, str(source), *options, "-o", str(built)])
                built.replace(target)
    return target


@contextlib.contextmanager
def made_once(target: Path) -> Iterator[bool]:
    """Whether the file is there; if not, nobody else makes it in this block. The lock ends with the process."""
    import fcntl  # which Windows lacks, where nothing is built either

    if target.exists():
        yield True
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield target.exists()


def _run(command: list[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def sanitized(which: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new Python, in this folder, with kernels built for a sanitizer, "address" or "thread".

    The sanitizer's library must be loaded before Python. It ends the process with an error where it finds one.
    """
    library = Path(_run(["g++", f"-print-file-name=lib{which[0]}san.so"]).strip())
    if not library.is_absolute():
        raise FileNotFoundError(f"g++ has no {library}; install the {which} sanitizer of this compiler")
    settings = {
        "MINIDL_SANITIZE": which,
        "LD_PRELOAD": str(library),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own are many
        "TSAN_OPTIONS": "exitcode=66 report_signal_unsafe=0",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(Path(minidl.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={**os.environ, **settings}, cwd=HERE, capture_output=True, text=True)


class Kernels:
    """The kernels of one compiled source, by name."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        text = library.with_suffix(".cpp").read_text("utf-8")
        self.names = tuple(re.findall(r"const bool (\w+)__kernel = true;", text))

    def launch(
        self,
        name: str,
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        arguments: Sequence[Any],
        *,
        shared: int = 0,
        cooperative: bool = False,
        reverse: bool = False,
    ) -> None:
        """Run a kernel to its end; `reverse` runs blocks, warps and lanes in the opposite order."""
        entry = getattr(self._library, f"{name}__launch")
        entry.restype = ctypes.c_char_p
        held = self._marshal(name, arguments)
        pointers = (ctypes.c_void_p * max(1, len(held)))(*(ctypes.addressof(value) for value in held))
        shape = [ctypes.c_uint(n) for n in (*_three(grid), *_three(block))]
        error = entry(*shape, ctypes.c_uint64(shared), ctypes.c_bool(cooperative), ctypes.c_bool(reverse), pointers)
        if error:
            raise RuntimeError(f"{name}: {error.decode()}")

    def parameters(self, name: str) -> list[str]:
        """One letter and the bytes of each parameter: p8 for a pointer, f4, i8, or s12 for a struct."""
        describe = getattr(self._library, f"{name}__describe")
        describe.restype = ctypes.c_char_p
        return describe().decode().split()

    def _marshal(self, name: str, arguments: Sequence[Any]) -> list[Any]:
        parameters = self.parameters(name)
        if len(arguments) != len(parameters):
            raise TypeError(f"{name} takes {len(parameters)} arguments ({' '.join(parameters)}), got {len(arguments)}")
        return [_value(name, i, p, a) for i, (p, a) in enumerate(zip(parameters, arguments, strict=True))]


def _value(name: str, position: int, parameter: str, argument: Any) -> Any:
    """What an argument's bytes are kept in, checked against the parameter's kind and size."""
    if isinstance(argument, np.ndarray):
        given, value = "p8", ctypes.c_void_p(argument.ctypes.data)
    elif isinstance(argument, np.generic):
        kind = {"f": "f", "i": "i", "u": "i", "b": "i", "V": "s"}[argument.dtype.kind]
        given = f"{kind}{argument.dtype.itemsize}"
        value = ctypes.create_string_buffer(argument.tobytes(), argument.dtype.itemsize)
        if parameter == "p8" and given == "i8" and argument == 0:
            given = "p8"
    else:
        given, value = type(argument).__name__, None
    if given != parameter:
        raise TypeError(f"{name}: argument {position} is {given} and the parameter {parameter}; pass a NumPy scalar")
    return value


def _three(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return (*shape, *(1,) * (3 - len(shape)))
