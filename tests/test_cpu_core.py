"""What the C kernels stand on: threads, instruction sets, memory, and the last checks before C takes an address."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md

Array = Any
cpu = pytest.importorskip("minidl.kernels.cpu", exc_type=ImportError)

HERE = Path(__file__).parent
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = cpu.get_num_threads()
    yield
    cpu.set_num_threads(before)


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, which must end within a minute."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def draw(*shape: int, low: float = -3.0, high: float = 3.0, dtype: Any = np.float32) -> Array:
    return md.random.Generator(3).uniform(shape, low, high, dtype)


# ---- threads: the same bits --------------------------------------------------------------


def large_calls(dtype: Any) -> dict[str, Callable[[], Any]]:
    """A call of every kernel on arrays that several threads share, none a multiple of anything."""
    n, rows, classes = 70_001, 801, 37
    x, y, t = draw(n, dtype=dtype), draw(n, low=-9.0, dtype=dtype), draw(n, low=0.0, high=1.0, dtype=dtype)
    logits, targets = draw(rows, classes, dtype=dtype), draw(rows, classes, low=0.0, dtype=dtype)
    dloss, labels = draw(rows, dtype=dtype), md.random.Generator(4).integers(0, classes, (rows,))
    table, ids = draw(99, 67, dtype=dtype), md.random.Generator(5).integers(0, 99, (2111,))
    dy = draw(2111, 67, dtype=dtype)
    sequence, state = draw(19, 7, 21, dtype=dtype), draw(19, 45, dtype=dtype)
    weights = [draw(21, 180, dtype=dtype) / 4, draw(45, 180, dtype=dtype) / 4, draw(180, dtype=dtype)]
    mask = md.random.Generator(6).uniform((19, 7)) < 0.7

    def step(name: str, moments: int, *scalars: float) -> Callable[[], list[Array]]:
        def call() -> list[Array]:
            w, *rest = [np.abs(x) + i for i in range(moments + 1)]
            getattr(cpu, name)(w, y, *rest, *scalars)
            return [w, *rest]

        return call

    def lstm() -> list[Array]:
        *outputs, cache = cpu.lstm_forward(sequence, state, state, *weights, mask)
        gradients = cpu.lstm_backward(
            sequence[:, :, :1] + outputs[0], state, state, sequence, state, state, *weights, mask, False, cache
        )
        return [*outputs, *gradients]

    return {
        "exp": lambda: cpu.exp(x),
        "tanh": lambda: cpu.tanh(x),
        "tanh_backward": lambda: cpu.tanh_backward(y, t),
        "sigmoid": lambda: cpu.sigmoid(x),
        "sigmoid_backward": lambda: cpu.sigmoid_backward(y, t),
        "erf": lambda: cpu.erf(x),
        "log": lambda: cpu.log(t),
        "sqrt": lambda: cpu.sqrt(t),
        "absolute": lambda: cpu.absolute(x),
        "clip": lambda: cpu.clip(x, -0.5, 1.0),
        "add": lambda: cpu.add(dy, dy[0]),
        "subtract": lambda: cpu.subtract(x, y),
        "multiply": lambda: cpu.multiply(dy[:, :1], dy),
        "divide": lambda: cpu.divide(np.stack([dy, -dy]), np.abs(dy[:, :1]) + 1),
        "maximum": lambda: cpu.maximum(dy, dy[0]),
        "minimum": lambda: cpu.minimum(x, y),
        "relu_forward": lambda: cpu.relu_forward(x),
        "relu_backward": lambda: cpu.relu_backward(y, x),
        "leaky_relu_forward": lambda: cpu.leaky_relu_forward(x, 0.2),
        "leaky_relu_backward": lambda: cpu.leaky_relu_backward(y, x, 0.2),
        "elu_forward": lambda: cpu.elu_forward(x, 0.7, 1.5),
        "elu_backward": lambda: cpu.elu_backward(y, x, 0.7, 1.5),
        "softplus_forward": lambda: cpu.softplus_forward(x),
        "softplus_backward": lambda: cpu.softplus_backward(y, x),
        "silu_forward": lambda: cpu.silu_forward(x),
        "silu_backward": lambda: cpu.silu_backward(y, x),
        "gelu_forward": lambda: cpu.gelu_forward(x),
        "gelu_backward": lambda: cpu.gelu_backward(y, x),
        "where": lambda: cpu.where(x > 0, x, y),
        "matmul": lambda: cpu.matmul(dy[:301].T, dy[:301]),
        "affine_forward": lambda: cpu.affine_forward(dy[:301], dy[301:368].copy(), dy[0]),
        "affine_backward": lambda: cpu.affine_backward(dy[:301], dy[300:601], dy[301:368].copy()),
        "sum_rows": lambda: cpu.sum_rows(x[None]),
        "sum_columns": lambda: cpu.sum_columns(np.stack([dy, -dy])),
        "extreme_forward": lambda: cpu.extreme_forward(np.stack([dy, -dy]), True),
        "extreme_backward": lambda: cpu.extreme_backward(
            dy[:2], np.stack([dy, -dy]), np.stack([dy.max(0), -dy.min(0)])
        ),
        "huber_forward": lambda: cpu.huber_forward(logits, 0.5),
        "huber_backward": lambda: cpu.huber_backward(dloss, logits, 0.5),
        "softmax_forward": lambda: cpu.softmax_forward(logits),
        "softmax_backward": lambda: cpu.softmax_backward(targets, logits),
        "log_softmax_forward": lambda: cpu.log_softmax_forward(logits),
        "log_softmax_backward": lambda: cpu.log_softmax_backward(targets, logits),
        "softmax_cross_entropy_forward": lambda: cpu.softmax_cross_entropy_forward(logits, targets),
        "softmax_cross_entropy_backward": lambda: cpu.softmax_cross_entropy_backward(dloss, logits, targets),
        "sparse_cross_entropy_forward": lambda: cpu.sparse_cross_entropy_forward(logits, labels),
        "sparse_cross_entropy_backward": lambda: cpu.sparse_cross_entropy_backward(dloss, logits, labels),
        "sigmoid_cross_entropy_forward": lambda: cpu.sigmoid_cross_entropy_forward(y, t),
        "sigmoid_cross_entropy_backward": lambda: cpu.sigmoid_cross_entropy_backward(x, y, t),
        "embedding_forward": lambda: cpu.embedding_forward(table, ids),
        "embedding_backward": lambda: cpu.embedding_backward(dy, ids, 99),
        "random_bits": lambda: cpu.random_bits(n, 7, 2**64 - 9),
        "dropout": lambda: cpu.dropout(x, 0.3, 7, 2**64 - 9),
        "lstm": lstm,
        "sgd_step": step("sgd_step", 0, 0.1),
        "momentum_step": step("momentum_step", 1, 0.1, 0.9, True),
        "adam_step": step("adam_step", 2, 0.1, 0.9, 0.999, 1e-7),
        "rmsprop_step": step("rmsprop_step", 1, 0.1, 0.9, 1e-7),
        "adagrad_step": step("adagrad_step", 1, 0.1, 1e-7),
    }


def bits(result: Any) -> list[bytes]:
    return [array.tobytes() for array in (result if isinstance(result, (list, tuple)) else [result])]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_number_of_threads_gives_the_same_bits(dtype: Any) -> None:
    calls = large_calls(dtype)
    cpu.set_num_threads(1)
    alone = {name: bits(call()) for name, call in calls.items()}
    for threads in (2, 3, 8):
        cpu.set_num_threads(threads)
        for name, call in calls.items():
            assert bits(call()) == alone[name], f"{name} with {threads} threads"


@pytest.mark.parametrize("units", [16, 33])
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_the_gradient_of_a_lookup_is_added_up_in_order_however_its_rows_are_shared(rows: int, units: int) -> None:
    draws, n = np.random.default_rng(0), 17_000  # enough to be shared
    drawn, seldom = draws.integers(0, rows, n), draws.integers(0, 2, n)
    dy = draw(n, units)
    for ids in (drawn, np.sort(drawn), drawn * seldom, np.full(n, rows - 1), rows - 1 - drawn * seldom // 2):
        expected = md.kernels.reference.embedding_backward(dy, ids, rows)
        for threads in (1, 2, 3, 7):
            cpu.set_num_threads(threads)
            assert bits(cpu.embedding_backward(dy, ids, rows)) == bits(expected), f"{threads} threads"


@pytest.mark.parametrize("rows", [300, 5000, 30_000])
def test_a_lookup_of_nothing_has_a_gradient_of_zeros(rows: int) -> None:
    last = np.full(200, rows + 9)
    for threads in (1, 2, 3, 7):
        cpu.set_num_threads(threads)
        cpu.embedding_backward(draw(200, 64), last, rows + 10)  # which leaves its ids on the stack
        cpu.exp(np.full((rows, 64), np.nan, np.float32))  # and this NaN in the memory of the next result
        dtable = cpu.embedding_backward(draw(0, 64), last[:0], rows)
        assert dtable.shape == (rows, 64) and not dtable.any(), f"{threads} threads"


def test_every_kernel_is_called_above() -> None:
    kernels = {name for name in vars(md.kernels.reference) if hasattr(cpu, name) and not name.startswith("_")}
    kernels = {name for name in kernels if getattr(getattr(cpu, name), "__module__", "") == cpu.__name__}
    assert kernels - {"lstm_forward", "lstm_backward"} == large_calls(np.float32).keys() - {"lstm"}


def test_threads_of_python_may_call_at_the_same_time() -> None:
    cpu.set_num_threads(4)
    inputs = [draw(60_000) + i for i in range(6)]
    expected = [cpu.tanh(x) for x in inputs]
    wrong = []

    def call(i: int) -> None:
        for _ in range(40):
            if not np.array_equal(cpu.tanh(inputs[i]), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not wrong


def test_the_number_of_threads_may_change_at_any_time() -> None:
    x = draw(60_000)
    expected = cpu.exp(x)
    for threads in (5, 1, 2, 300, 10**20, 3):
        cpu.set_num_threads(threads)
        assert cpu.get_num_threads() == min(threads, 256)
        np.testing.assert_array_equal(cpu.exp(x), expected)


# ---- threads: good neighbours ------------------------------------------------------------


@forks
def test_a_forked_child_computes_too() -> None:
    """The child has none of its parent's threads, and may be born while another of them uses pool and memory."""
    done = run("""
        import os, threading
        import numpy as np
        from minidl.kernels import cpu

        cpu.set_num_threads(4)
        x = np.linspace(-3, 3, 100_000, dtype=np.float32)
        expected = cpu.exp(x)
        stop = threading.Event()

        def keep_busy():
            while not stop.is_set():
                cpu.exp(x)

        busy = threading.Thread(target=keep_busy)
        busy.start()
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                good = all(np.array_equal(cpu.exp(x), expected) for _ in range(5))
                os._exit(0 if good and cpu.get_num_threads() == 4 else 1)
            assert os.waitpid(pid, 0)[1] == 0
        stop.set()
        busy.join()
        assert np.array_equal(cpu.exp(x), expected)
    """)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this platform cannot bind a process to a CPU")
def test_nobody_waits_for_a_worker_whose_processor_is_busy() -> None:
    """On one processor a second thread cannot begin: then the first does all, and does not give way to it."""
    done = run("""
        import os, resource
        import numpy as np
        from minidl.kernels import cpu

        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        cpu.set_num_threads(2)
        x = np.linspace(-3, 3, 40_000, dtype=np.float32)
        cpu.exp(x)
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        for _ in range(200):
            cpu.exp(x)
        print(resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before)
    """)
    assert int(done.stdout) < 50, done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this platform cannot bind a process to a CPU")
@pytest.mark.parametrize("batch", [1, 3])
def test_nobody_waits_in_each_step_for_a_thread_that_does_not_run(batch: int) -> None:
    """Threads that share the units of an LSTM meet once a step. On one processor the first does the steps of both."""
    done = run(f"""
        import os, resource
        import numpy as np
        from minidl.kernels import cpu

        def switches():
            usage = resource.getrusage(resource.RUSAGE_THREAD)
            return usage.ru_nvcsw + usage.ru_nivcsw

        os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
        cpu.set_num_threads(2)
        rng = np.random.default_rng(0)
        shapes = ({batch}, 200, 32), ({batch}, 256), ({batch}, 256), (32, 1024), (256, 1024), (1024,)
        arrays = [0.1 * rng.standard_normal(shape, dtype=np.float32) for shape in shapes]
        before = switches()
        for _ in range(10):
            y, h, c, kept = cpu.lstm_forward(*arrays, None, False, True)
            cpu.lstm_backward(y, None, None, *arrays, None, False, kept)
        print(switches() - before)
    """)
    assert int(done.stdout) < 1000, done.stderr  # of 4000 steps; waiting takes one or two for each


@pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="this is not Linux, or there is but one CPU"
)
def test_a_worker_leaves_the_processor_of_the_caller() -> None:
    """Even for one that is busy, too. It may run where it might before after that, and stays where it is bound."""
    done = run("""
        import os, subprocess, sys
        import numpy as np
        from minidl.kernels import cpu

        ours, other = sorted(os.sched_getaffinity(0))[:2]
        cpu.set_num_threads(2)
        x = np.linspace(-3, 3, 100_000, dtype=np.float32)
        before = set(os.listdir("/proc/self/task"))
        cpu.exp(x)
        (worker,) = map(int, set(os.listdir("/proc/self/task")) - before)

        def is_away():
            cpu.exp(x)
            with open(f"/proc/self/task/{worker}/stat") as fields:
                return int(fields.read().rpartition(")")[2].split()[36]) == other

        neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            os.sched_setaffinity(neighbour.pid, {other})
            os.sched_setaffinity(0, {ours})
            os.sched_setaffinity(worker, {ours})
            assert not any([is_away() for _ in range(100)])
            os.sched_setaffinity(worker, {ours, other})
            assert any([is_away() for _ in range(30)])
            assert os.sched_getaffinity(worker) == {ours, other}
        finally:
            neighbour.kill()
    """)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="this platform does not tell who has run")
def test_a_worker_that_sleeps_is_woken() -> None:
    """What it fails to come for the calling thread does: no result would be wrong, all would be slow.

    Asked is how often it got a processor: for how long is for the system to say, which may give both the same one.
    """
    done = run("""
        import os, time
        import numpy as np
        from minidl.kernels import cpu

        cpu.set_num_threads(2)
        x = np.linspace(-3, 3, 100_000, dtype=np.float32)
        before = set(os.listdir("/proc/self/task"))
        cpu.exp(x)
        (worker,) = set(os.listdir("/proc/self/task")) - before

        def turns():
            with open(f"/proc/self/task/{worker}/schedstat") as times:
                return int(times.read().split()[2])

        time.sleep(0.1)
        asleep, end = turns(), time.perf_counter() + 0.3
        while time.perf_counter() < end:
            cpu.exp(x)
        print(turns() - asleep)
    """)
    assert int(done.stdout) > 0, done.stderr


def test_idle_threads_burn_no_cpu() -> None:
    cpu.set_num_threads(4)
    cpu.exp(draw(200_000))
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.05


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this platform cannot bind a process to a CPU")
def test_by_default_there_are_as_many_threads_as_cpus_to_run_on() -> None:
    done = run("""
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        from minidl.kernels import cpu
        assert cpu.get_num_threads() == 1
    """, MINIDL_NUM_THREADS="")  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_environment_sets_the_number_of_threads() -> None:
    assert run("import minidl as md; print(md.get_num_threads())", MINIDL_NUM_THREADS="7").stdout == "7\n"


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_number_of_threads_that_is_none_is_refused_at_import(value: str) -> None:
    done = run("import minidl", MINIDL_NUM_THREADS=value)
    assert f"ValueError: MINIDL_NUM_THREADS={value!r}: expected a positive integer" in done.stderr


# ---- instruction sets --------------------------------------------------------------------

# test_lstm_kernel.py and test_matmul_kernel.py see to theirs.
KERNEL_TESTS = [
    str(HERE / "test_elementary_accuracy.py"),
    str(HERE / "test_kernel_parity.py"),
    str(HERE / "test_cpu_core.py"),
    "-k",
    "accuracy and not cuda or bits_of_c or [cpu or beyond",
]


@pytest.mark.parametrize("isa", [isa for isa in cpu.available_isas() if isa != cpu.isa()])
def test_the_kernels_are_right_on_each_instruction_set(isa: str) -> None:
    """The tests of the kernels, run again in a process that is told to use this one."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *KERNEL_TESTS],
        env=os.environ | {"MINIDL_ISA": isa}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-3000:]


def test_the_best_instruction_set_is_chosen() -> None:
    done = run("from minidl.kernels import cpu; print(cpu.isa())", MINIDL_ISA="")
    assert done.stdout.strip() == cpu.available_isas()[-1], done.stderr


@pytest.mark.parametrize("isa", cpu.available_isas())
def test_the_environment_chooses_by_either_name(isa: str) -> None:
    for name in (isa, isa.rpartition("-")[2]):
        assert run("from minidl.kernels import cpu; print(cpu.isa())", MINIDL_ISA=name).stdout.strip() == isa


@pytest.mark.parametrize("isa", ["v9", "avx2", "x86-64-"])
def test_an_unknown_instruction_set_is_refused_at_import_with_those_there_are(isa: str) -> None:
    done = run("import minidl", MINIDL_ISA=isa)
    assert (
        f"ValueError: MINIDL_ISA={isa!r}: expected one that this machine has: {cpu.available_isas()[0]}" in done.stderr
    )


def test_an_instruction_set_that_the_machine_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu._cpu, "isas", lambda: [("x86-64-v2", True), ("x86-64-v9", False)])
    with pytest.raises(ValueError, match="MINIDL_ISA='v9': expected one that this machine has: x86-64-v2$"):
        cpu._choose_isa("v9")
    monkeypatch.setattr(cpu._cpu, "isas", lambda: [("x86-64-v9", False)])
    with pytest.raises(ImportError, match="need at least x86-64-v9"):
        cpu._choose_isa("")


def test_it_says_what_it_was_compiled_with() -> None:
    assert any(name in cpu.compiler().lower() for name in ("gcc", "clang", "msvc"))


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc, whose sanitizer sees the integers of a vector overflow")
@pytest.mark.parametrize("real", [32, 64])
def test_no_integer_overflows_not_even_in_a_lane_that_is_not_selected(real: int, tmp_path: Path) -> None:
    """Where it has a sign that is undefined, and only flags that Python happens to bring along may hide it."""
    source, program = tmp_path / "sweep.c", tmp_path / "sweep"
    source.write_text("""
        #include "simd.h"
        int main(void)
        {
            volatile real sink;
            for (double x = 1e-9; x < 1e6; x *= 1.001)
                for (int sign = -1; sign < 2; sign += 2) {
                    const vec v = vset((real)(sign * x));
                    sink = vsum(vexp(v)) + vsum(vtanh(v)) + vsum(vsigmoid(v)) + vsum(vlog1p(vexp(-vabs(v))));
                    sink = vsum(vlog(v));
                }
            return 0 * (sink != 0);
        }
    """)
    flags = ["-std=gnu11", "-O1", "-fno-wrapv", "-fsanitize=signed-integer-overflow"]
    trap = ["-fsanitize-undefined-trap-on-error", f"-DMINIDL_REAL={real}", "-DMINIDL_ISA=plain"]
    csrc = HERE.parent / "csrc"
    subprocess.run(["gcc", *flags, *trap, f"-I{csrc}", source, "-o", program, "-lm"], check=True, timeout=60)
    assert subprocess.run([program], timeout=60).returncode == 0


# ---- denormal numbers --------------------------------------------------------------------


def cpu_time(call: Callable[[], Any]) -> float:
    """The least of many, on this thread alone."""
    cpu.set_num_threads(1)
    times = []
    for _ in range(30):
        start = time.thread_time_ns()
        call()
        times.append(time.thread_time_ns() - start)
    return min(times)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "log"])
def test_denormal_numbers_do_not_slow_a_function_down(name: str, dtype: Any) -> None:
    kernel, n = getattr(cpu, name), 20_000
    ordinary = draw(n, low=0.1 if name == "log" else -3.0, dtype=dtype)
    usual = cpu_time(lambda: kernel(ordinary))
    small = np.full(n, np.finfo(dtype).smallest_subnormal * 99, dtype)
    towards_small = np.full(n, np.log(np.finfo(dtype).tiny) - 3, dtype)  # e^x and sigmoid are denormal there
    for x in (small, towards_small):
        assert cpu_time(lambda x=x: kernel(x)) < 5 * usual


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_denormal_moments_do_not_slow_a_step_down(dtype: Any) -> None:
    n = 20_000
    w, g, m, v = (draw(n, low=0.1, dtype=dtype) for _ in range(4))
    usual = cpu_time(lambda: cpu.adam_step(w, g, m, v, 0.001, 0.9, 0.999, 1e-7))
    tiny = [np.full(n, np.finfo(dtype).tiny / 2, dtype) for _ in range(2)]
    assert cpu_time(lambda: cpu.adam_step(w, 0 * g, *tiny, 0.001, 0.9, 0.999, 1e-7)) < 5 * usual


def test_python_computes_with_denormal_numbers_after_a_kernel_that_flushed_them() -> None:
    smallest = np.array([np.finfo(np.float32).smallest_subnormal])
    cpu.tanh(draw(10))
    assert smallest[0] * np.float32(1) != 0 and (smallest * 3)[0] != 0


# ---- arrays ------------------------------------------------------------------------------


def test_a_step_writes_through_a_view_and_beside_nothing_else() -> None:
    wide = np.zeros((50, 4), np.float32)
    wide[:] = [1, 2, 3, 4]
    dense = wide.copy()
    g = draw(50)
    cpu.momentum_step(wide[:, 1], g[::-1], wide[:, 2], 0.1, 0.9, True)
    w, v = dense[:, 1].copy(), dense[:, 2].copy()
    cpu.momentum_step(w, g[::-1].copy(), v, 0.1, 0.9, True)
    np.testing.assert_array_equal(wide, np.stack([dense[:, 0], w, v, dense[:, 3]], axis=1))


def test_arrays_that_share_memory_are_refused_by_a_step_and_left_alone() -> None:
    buffer = np.arange(12.0)
    before = buffer.copy()
    for w, a in ((buffer[:8], buffer[4:]), (buffer[::2], buffer[::2]), (buffer[:8], buffer[7::-1])):
        with pytest.raises(ValueError, match="w and a share memory"):
            cpu.adagrad_step(w, np.ones(len(w)), a, 0.1, 1e-7)
    with pytest.raises(ValueError, match="w and g share memory"):
        cpu.sgd_step(buffer[:8], buffer[1:9], 0.1)
    np.testing.assert_array_equal(buffer, before)


def test_an_empty_array_may_lie_anywhere() -> None:
    """NumPy calls an array of nothing aligned even at an odd address, so none is copied."""
    nothing = np.ndarray((0,), np.float32, bytearray(8), offset=1)
    no_ids = np.ndarray((0,), np.int64, bytearray(8), offset=1)
    assert nothing.flags.aligned and address(nothing) % 4
    assert cpu.exp(nothing).shape == (0,)
    assert cpu.matmul(nothing.reshape(0, 3), draw(3, 2)).shape == (0, 2)
    assert cpu.embedding_forward(draw(3, 2), no_ids).shape == (0, 2)
    cpu.sgd_step(nothing, draw(0), 0.1)


def test_arrays_at_odd_addresses_are_copied_and_foreign_byte_orders_refused() -> None:
    odd = np.zeros(4 * 9 + 1, np.uint8)[1:].view(np.float32)
    odd[:] = draw(9)
    assert not odd.flags.aligned
    np.testing.assert_array_equal(cpu.exp(odd), cpu.exp(odd.copy()))
    expected = odd - np.float32(0.5) * odd
    cpu.sgd_step(odd, odd.copy(), 0.5)
    np.testing.assert_array_equal(odd, expected)
    foreign = np.dtype(np.float32).newbyteorder()
    with pytest.raises(TypeError, match="must be float32 or float64"):
        cpu.exp(draw(9).astype(foreign))


STEPS = {  # how many arrays they take, and which numbers
    "sgd_step": (2, 0.1), "momentum_step": (3, 0.1, 0.9, True), "adam_step": (4, 0.1, 0.9, 0.99, 1e-7),
    "rmsprop_step": (3, 0.1, 0.9, 1e-7), "adagrad_step": (3, 0.1, 1e-7),
}  # fmt: skip


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(3, np.int32),
        np.zeros(3, np.float64),
        np.zeros(3, ">f4"),
        np.zeros(2, np.float32),
        np.zeros(6, np.float32)[::2],
        np.zeros(13, np.uint8)[1:].view(np.float32),
        np.zeros(3, np.uint32),
    ],
    ids=["int32", "float64", "big-endian", "too short", "strided", "odd address", "uint32"],
)  # fmt: skip
def test_c_never_sees_an_array_that_it_would_misread(x: Array) -> None:
    """The last line of defence, behind cpu.py: nothing that it lets through can crash the process."""
    good = np.zeros(3, np.float32)
    assert cpu._cpu.sigmoid_cross_entropy_forward(good, x) is None
    assert cpu._cpu.sigmoid_cross_entropy_backward(good, good, x) is None
    assert cpu._cpu.add(good, x) is None and cpu._cpu.divide(x, good) is None
    read_only = good.copy()
    read_only.flags.writeable = False
    for name, (count, *numbers) in STEPS.items():
        step = getattr(cpu._cpu, name)
        arrays = [good.copy() for _ in range(count)]
        for i in range(count):
            wrong = [x, arrays[i - 1], *([read_only] if i != 1 else [])]
            assert all(step(*arrays[:i], bad, *arrays[i + 1 :], *numbers) is None for bad in wrong)
        assert step(*arrays, *[np.float32(n) for n in numbers[:1]], *numbers[1:]) is None
        assert not np.any(arrays) and step(*arrays, *numbers) is True


# ---- memory ------------------------------------------------------------------------------


def address(array: Array) -> int:
    return array.__array_interface__["data"][0]


def past_bytes() -> int:
    """A result that is as large or larger is written past the caches by a kernel that reads as much or more."""
    text = (HERE.parent / "csrc" / "simd.h").read_text()
    ((times, power),) = re.findall(r"#define PAST_BYTES \(\(ptrdiff_t\)(\d+) << (\d+)\)", text)
    return (int(times) << int(power)) // 2


def past_calls(row: Array) -> dict[str, Callable[[Array], Array]]:
    """The kernels that write past the caches, of an array whose last axis is as long as the row"""
    calls: dict[str, Callable[[Array], Array]] = {
        name: getattr(cpu, name) for name in ("exp", "tanh", "sigmoid", "erf", "absolute", "relu_forward")
    }
    for name in ("tanh_backward", "sigmoid_backward", "gelu_backward", "add"):
        calls[name] = lambda x, name=name: getattr(cpu, name)(x - 1, x)
    return calls | {
        "multiply, a row": lambda x: cpu.multiply(x, row),
        "divide, a column": lambda x: cpu.divide(x, x[..., :1] + 4),
        "subtract, a number": lambda x: cpu.subtract(2.5, x),
        "maximum, a row": lambda x: cpu.maximum(x, row),
        "minimum, a number": lambda x: cpu.minimum(0.5, x),
        "clip": lambda x: cpu.clip(x, -0.5, 1.0),
        "log": lambda x: cpu.log(x + 4),
        "sqrt": lambda x: cpu.sqrt(x + 4),
        "where": lambda x: cpu.where(x > 1, x, x - 1),
        "a lookup": lambda x: cpu.embedding_forward(x, np.arange(len(x))),
        "softmax": cpu.softmax_forward,
        "log_softmax": cpu.log_softmax_forward,
        "softmax_backward": lambda x: cpu.softmax_backward(x - 1, x),
        "log_softmax_backward": lambda x: cpu.log_softmax_backward(x - 1, x),
        "softmax_cross_entropy": lambda x: cpu.softmax_cross_entropy_forward(x, x * x)[1],
        "softmax_cross_entropy_backward": lambda x: cpu.softmax_cross_entropy_backward(x[:, 0], x, x * x),
        "sparse_cross_entropy": lambda x: cpu.sparse_cross_entropy_forward(x, labels(x))[1],
        "sparse_cross_entropy_backward": lambda x: cpu.sparse_cross_entropy_backward(x[:, 0], x, labels(x)),
        "sigmoid_cross_entropy": lambda x: cpu.sigmoid_cross_entropy_forward(x, x * x),
        "sigmoid_cross_entropy_backward": lambda x: cpu.sigmoid_cross_entropy_backward(x - 1, x, x * x),
    }


def labels(x: Array) -> Array:
    """A class for each row, which depends on nothing else"""
    return (np.abs(x[:, 0]) * 1000).astype(np.int64) % x.shape[1]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [64, 101, 37])  # whole vectors, rows that begin anywhere, and short ones
def test_results_beyond_the_caches_are_those_of_their_parts(columns: int, dtype: Any, threads: int) -> None:
    cpu.set_num_threads(threads)
    x = draw(past_bytes() // np.dtype(dtype).itemsize // columns + 5, columns, dtype=dtype)
    parts = np.array_split(x, 3)  # which no kernel of four arrays writes so
    for name, call in past_calls(draw(columns, dtype=dtype)).items():
        y = call(x)
        assert y.nbytes > past_bytes() and bits(y) == bits(np.concatenate([call(part) for part in parts])), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_beyond_the_caches_is_that_of_its_parts(dtype: Any) -> None:
    x = draw(past_bytes() // np.dtype(dtype).itemsize + 13, dtype=dtype)
    half = len(x) // 8 * 4
    first, second = cpu.dropout(x[:half], 0.5, 7, 0), cpu.dropout(x[half:], 0.5, 7, half // 4)
    assert bits(cpu.dropout(x, 0.5, 7, 0)) == bits(np.concatenate([first, second]))


def test_nothing_is_written_beyond_a_result_that_is_beyond_the_caches() -> None:
    x = draw(past_bytes() // 4 + 13)
    y = cpu.exp(x)
    place, mark = address(y), b"mark" * 16
    after = (ctypes.c_char * 64).from_address(place + y.nbytes)  # of the same block, which ends later
    after[:] = mark
    del y
    y = cpu.exp(x)
    assert address(y) == place and bytes(after) == mark


def test_large_results_use_memory_again_but_never_that_of_a_living_array() -> None:
    x = draw(50_000)
    first = cpu.exp(x)
    place, view = address(first), first[100:200]
    kept = view.copy()
    del first
    second = cpu.tanh(x)
    assert address(second) != place
    np.testing.assert_array_equal(view, kept)
    del view
    third = cpu.exp(x)
    fourth = cpu.exp(x)
    assert address(third) == place and place % 64 == 0
    assert len({address(y) for y in (second, third, fourth)}) == 3


def test_large_results_begin_half_a_page_from_where_the_arrays_of_numpy_do() -> None:
    """Else a load from such an array waits for the store before it: only places within a page are compared."""
    for size in (1 << 14, 50_000, 1 << 20, 1 << 25):
        assert address(cpu.exp(draw(size))) % 4096 == 2048


def test_results_belong_to_the_user() -> None:
    y = cpu.exp(draw(50_000))
    y[:] = 1
    assert y.flags.writeable and y.flags.c_contiguous and y.dtype == np.float32


def test_no_memory_is_an_error() -> None:
    for size in (1 << 62, -1):
        with pytest.raises(MemoryError, match=str(size)):
            cpu._cpu.Block(size)


def test_a_result_that_no_address_space_holds_is_refused_as_numpy_does() -> None:
    ones = np.broadcast_to(np.float32(1), (1 << 40, 1))
    with pytest.raises(ValueError, match="array is too big"):
        cpu.matmul(ones, ones.T)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this platform does not say how much a process has")
def test_memory_that_is_not_used_again_goes_back() -> None:
    """Blocks of ever new sizes, 30 GiB in all: what is kept for later must not pile up."""
    done = run("""
        import resource
        from minidl.kernels import cpu

        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + (1 << 30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for mebibytes in range(16, 250):
            cpu._cpu.Block(mebibytes << 20)
    """)
    assert done.returncode == 0, done.stderr
