"""Every CUDA source compiles for every GPU since Turing, as CuPy compiles it, without a warning.

NVRTC needs no GPU and no driver. What it tells about the machine code is all that can be known of its speed here: that
nothing spills, that enough threads fit on a multiprocessor, that memory is read 16 bytes at a time.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from platform import machine

import pytest
from cuda_on_cpu import made_once

from minidl.kernels import _cuda, cuda

if (sys.platform, machine()) == ("linux", "x86_64"):
    from cuda.bindings import nvrtc  # in the extra `test`
else:
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="NVIDIA has no NVRTC for this platform")

CACHE = Path(__file__).parent.parent / ".pytest_cache" / "nvrtc"
FOLDER = Path(cuda.__file__).with_name("cuda")
FAMILIES = sorted(path.stem for path in FOLDER.glob("*.cu"))
ARCHITECTURES = (75, 80, 90, 100)
AS_CUPY_DOES = ("-ftz=true", "--device-as-default-execution-space")
STRICT = ("-Werror=all-warnings", "--ptxas-options=-v")

# A multiprocessor has 65536 registers. With 64 a thread 1024 threads fit, all of them on Turing and half of the others,
# each with 16 bytes or more on their way from memory; with 80, 768.
REGISTERS, REGISTERS_FLOAT64 = 64, 80
MORE_REGISTERS = {
    "move_by_digit_32": 96,  # each thread holds on to its eight ids instead of reading them twice
    "move_by_digit_64": 128,
    "embedding_backward_float32_32": 80,  # and to six packs, which lie anywhere in memory, at a time
    "embedding_backward_float32_64": 80,
    "embedding_backward_float64_64": 96,
    "embedding_sums_float32": 80,  # and to eight
}


def most_registers(name: str) -> int:
    return MORE_REGISTERS.get(name, REGISTERS_FLOAT64 if "float64" in name else REGISTERS)


@dataclass(frozen=True)
class Kernel:
    registers: int
    spilled: int
    stack: int
    shared: int
    ptx: str


def check(result: tuple[object, ...]) -> object:
    status, *values = result
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS, status
    return values[0] if values else None


def compile_source(text: str, *options: str) -> tuple[bool, str, str]:
    """Whether it compiles, what the compiler says, and the PTX."""
    program = check(nvrtc.nvrtcCreateProgram(text.encode(), b"source.cu", 0, [], []))
    given = [option.encode() for option in options]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(given), given)
    log = bytearray(check(nvrtc.nvrtcGetProgramLogSize(program)))
    check(nvrtc.nvrtcGetProgramLog(program, log))
    ptx = bytearray()
    if done := status == nvrtc.nvrtcResult.NVRTC_SUCCESS:
        ptx = bytearray(check(nvrtc.nvrtcGetPTXSize(program)))
        check(nvrtc.nvrtcGetPTX(program, ptx))
    check(nvrtc.nvrtcDestroyProgram(program))
    return done, log.decode().strip("\0 \n"), ptx.decode()


REPORT = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?(?P<stack>\d+) bytes stack frame, (?P<spilled>\d+) bytes spill stores"
    r".*?Used (?P<registers>\d+) registers(?:[^\n]*?(?P<shared>\d+) bytes smem)?",
    re.DOTALL,
)


def compiled(text: str, *options: str) -> tuple[bool, str, str]:
    """`compile_source`, asked once for the same text: it takes a second."""
    content = "\0".join([text, *options, str(nvrtc.nvrtcVersion())])
    target = CACHE / f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.json"
    with made_once(target) as made:
        if not made:
            found = compile_source(text, *options)
            target.with_suffix(".part").write_text(json.dumps(found), "utf-8")
            target.with_suffix(".part").replace(target)
    done, log, ptx = json.loads(target.read_text("utf-8"))
    return done, log, ptx


@functools.cache
def kernels(family: str, architecture: int, definitions: tuple[str, ...] = ()) -> dict[str, Kernel]:
    given = (f"-arch=sm_{architecture}", *(f"-D{definition}" for definition in definitions))
    options = (*_cuda.OPTIONS, *AS_CUPY_DOES, *STRICT, *given)
    done, log, ptx = compiled(_cuda._source(f"{family}.cu"), *options)
    assert done, log
    assert "warning" not in log.lower()
    bodies = {text.split("(")[0].strip(): text for text in ptx.split(".visible .entry ")[1:]}
    found = {}
    for report in REPORT.finditer(log):
        registers, spilled, stack, shared = (
            int(report[key] or 0) for key in ("registers", "spilled", "stack", "shared")
        )
        found[report["name"]] = Kernel(registers, spilled, stack, shared, bodies[report["name"]])
    assert found.keys() == bodies.keys(), log
    return found


every_source = pytest.mark.parametrize(("family", "architecture"), [(f, a) for f in FAMILIES for a in ARCHITECTURES])


def test_a_warning_is_an_error() -> None:
    text = 'extern "C" __global__ void k(float* x) { int unused = 3; *x = 1; }'
    done, log, _ = compile_source(text, *_cuda.OPTIONS, *AS_CUPY_DOES, *STRICT)
    assert not done and "declared but never referenced" in log


@every_source
def test_it_compiles_and_nothing_spills(family: str, architecture: int) -> None:
    for name, kernel in kernels(family, architecture).items():
        assert (kernel.spilled, kernel.stack) == (0, 0), name
        room = cuda.SHARED if family in ("softmax", "cross_entropy") else 0  # what a launch adds to the kernel's own
        assert kernel.shared + room <= 48 << 10, name


# Those that wait for memory, with the arrays that each reads and writes in packs.
STREAMS = {
    "elementary": {"exp": (1, 1), "tanh": (1, 1), "sigmoid": (1, 1), "erf": (1, 1)},
    "activations": {
        f"{name}_{way}": packs
        for name in ("relu", "leaky_relu", "elu", "softplus", "silu", "gelu")
        for way, packs in (("forward", (1, 1)), ("backward", (2, 1)))
    },
    "cross_entropy": {"sigmoid_cross_entropy_forward": (2, 1), "sigmoid_cross_entropy_backward": (3, 1)},
    "distance": {"huber_forward": (1, 0), "huber_backward": (1, 1)},
    "embedding": {"embedding_forward": (1, 1)},
    "random": {"dropout": (1, 1)},
    "reduce": {"sum": (1, 0)},
    "softmax": {
        "softmax_forward": (1, 1), "softmax_backward": (2, 1),
        "log_softmax_forward": (1, 1), "log_softmax_backward": (2, 1),
    },
    "steps": {
        "sgd_step": (2, 1), "momentum_step": (3, 2), "adam_step": (4, 3), "rmsprop_step": (3, 2), "adagrad_step": (3, 2)
    },
}  # fmt: skip


@pytest.mark.parametrize(("family", "architecture"), [(f, a) for f in STREAMS for a in ARCHITECTURES])
def test_enough_threads_fit_on_a_multiprocessor(family: str, architecture: int) -> None:
    used = {name: kernel.registers for name, kernel in kernels(family, architecture).items()}
    assert {name: n for name, n in used.items() if n > most_registers(name)} == {}


@pytest.mark.parametrize("family", STREAMS)
def test_memory_is_read_and_written_16_bytes_at_a_time(family: str) -> None:
    for stem, (reads, writes) in STREAMS[family].items():
        for suffix, packs in (("float32", r"v4\.\w32"), ("float64", r"v2\.\w64")):
            name = f"sum_{suffix}_to_{suffix}" if stem == "sum" else f"{stem}_{suffix}"
            ptx = kernels(family, 90)[name].ptx
            assert len(re.findall(rf"ld\.global(?:\.nc)?\.{packs}", ptx)) >= reads, name
            assert len(re.findall(rf"st\.global\.{packs}", ptx)) >= writes, name


@pytest.mark.parametrize("family", FAMILIES)
def test_no_sum_of_floats_depends_on_chance(family: str) -> None:
    for name, kernel in kernels(family, 90).items():
        assert not re.search(r"\b(?:atom|red)\.[\w.]*f(?:32|64)", kernel.ptx), name


@pytest.mark.parametrize("family", STREAMS)
def test_float32_kernels_compute_in_float32(family: str) -> None:
    """A constant without its `f` would make them slower, on a GPU for games 64 times. A step's numbers are double."""
    for name, kernel in kernels(family, 90).items():
        if name.endswith("float32") and "float64" not in name:
            wide = set(re.findall(r"^\s+(\w[\w.]*\.f64)\b", kernel.ptx, re.MULTILINE))
            rate_in_memory = {"ld.global.nc.f64"} if family == "steps" else set()  # as a graph has it
            loads = {"ld.param.f64", *rate_in_memory}
            assert wide <= {*loads, "cvt.rn.ftz.f32.f64", "cvt.rn.f32.f64"}, name


def test_nothing_is_fused_that_the_source_does_not_fuse() -> None:
    """`w -= lr * g` is rounded twice, as it is everywhere; exp's polynomial is fused."""
    assert not re.search(r"\bfma\.", kernels("steps", 90)["sgd_step_float32"].ptx)
    assert len(re.findall(r"\bfma\.rn\.ftz\.f32", kernels("elementary", 90)["exp_float32"].ptx)) >= 7


# ---- the LSTM, in each of its forms ----------------------------------------------------------

REALS = ("REAL=float", "REAL=double")
FORMS = [  # family, units of a block, blocks
    ("lstm", 32, 1),
    ("lstm", 32, 4),
    ("lstm", 32, 8),
    ("lstm_wide", 32, 4),  # without clusters
    ("lstm_wide", 32, 8),
    ("lstm_wide", 16, 32),
    ("lstm_wide", 8, 128),
]
every_form = pytest.mark.parametrize(("family", "units", "blocks"), FORMS)


def definitions(real: str, units: int, blocks: int) -> tuple[str, ...]:
    return real, f"UNITS={units}", f"BLOCKS={blocks}"


def architectures(family: str, blocks: int) -> tuple[int, ...]:
    """Those that a form is for: clusters came with sm_90."""
    return tuple(a for a in ARCHITECTURES if family != "lstm" or blocks == 1 or a >= 90)


def both_ways(family: str, architecture: int, real: str, units: int, blocks: int) -> list[Kernel]:
    """What runs a whole sequence forward and backward."""
    found = kernels(family, architecture, definitions(real, units, blocks))
    stem = "persistent" if family == "lstm" else "wide"
    return [found[f"{stem}_{way}"] for way in ("forward", "backward")]


@every_form
def test_r_stays_in_registers(family: str, units: int, blocks: int) -> None:
    """64 of them; the rest must do for all else, with nothing put aside in memory."""
    for architecture, real in itertools.product(architectures(family, blocks), REALS):
        for kernel in both_ways(family, architecture, real, units, blocks):
            assert (kernel.spilled, kernel.stack) == (0, 0), (architecture, real)
            assert 64 < kernel.registers <= 128  # which 512 threads have
            assert (family == "lstm" and blocks > 1) == ("barrier.cluster.arrive" in kernel.ptx)


@every_form
def test_a_step_waits_for_no_more_than_it_must(family: str, units: int, blocks: int) -> None:
    """In a cluster for what was sent, not for a fence; in global memory with many copies under way; for no branch."""
    wide, cluster = family == "lstm_wide", family == "lstm" and blocks > 1
    for real in REALS:
        forward, backward = (kernel.ptx for kernel in both_ways(family, 90, real, units, blocks))
        for ptx in (forward, backward):
            assert cluster == ("st.async" in ptx) and ptx.count("barrier.cluster.arrive") == cluster
            assert wide == ("red.release.gpu" in ptx) and "membar" not in ptx and "fence.acq_rel" not in ptx
            assert real != "REAL=float" or not re.search(r"\bdiv\.rn|\brcp\.rn", ptx)
        assert wide == ("cp.async.cg" in forward)


@every_form
def test_states_and_slopes_are_read_16_bytes_at_a_time(family: str, units: int, blocks: int) -> None:
    """What a thread multiplies R by: one number at a time would keep shared memory busy four times as long."""
    for real, pack, most in (("REAL=float", "v4.f32", 4), ("REAL=double", "v2.f64", 4)):
        forward, backward = (kernel.ptx for kernel in both_ways(family, 90, real, units, blocks))
        assert "ld.shared.f" not in forward and "ld.shared.b" not in forward
        assert forward.count(f"ld.shared.{pack}") >= most
        assert backward.count(f"ld.shared.{pack}") >= most
