"""The shim that runs CUDA kernels on the processor: it runs right ones, and it notices wrong ones."""

from __future__ import annotations

import shutil

import cuda_on_cpu
import numpy as np
import pytest

pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="no g++ to compile the kernels for the processor")

LESSONS = cuda_on_cpu.SHIM / "lessons.cu"
ORDERS = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reversed"])


@pytest.fixture(scope="module")
def kernels() -> cuda_on_cpu.Kernels:
    return cuda_on_cpu.build(LESSONS)


def total(kernels: cuda_on_cpu.Kernels, name: str, dtype: type, reverse: bool) -> float:
    x, y = np.arange(1, 1001).astype(dtype), np.zeros(1, dtype)
    kernels.launch(name, 1, 256, [x, y, np.int32(x.size)], reverse=reverse)
    return float(y[0])


@ORDERS
def test_a_sum_by_shuffles(kernels: cuda_on_cpu.Kernels, reverse: bool) -> None:
    assert total(kernels, "sum_f32", np.float32, reverse) == 500500
    assert total(kernels, "sum_f64", np.float64, reverse) == 500500


def test_the_order_shows_a_missing_barrier(kernels: cuda_on_cpu.Kernels) -> None:
    """The last warp's sum is there when the first adds up only if the warps happen to run in that order."""
    assert total(kernels, "sum_without_barrier", np.float32, True) == 500500
    assert np.isnan(total(kernels, "sum_without_barrier", np.float32, False))


@ORDERS
def test_tiles_in_shared_memory(kernels: cuda_on_cpu.Kernels, reverse: bool) -> None:
    x = np.random.default_rng(0).random((37, 50), np.float32)
    y = np.zeros((50, 37), np.float32)
    kernels.launch("transpose", (4, 3), (16, 16), [x, y, np.int32(37), np.int32(50)], reverse=reverse)
    np.testing.assert_array_equal(y, x.T)


@ORDERS
def test_shared_memory_of_the_launch(kernels: cuda_on_cpu.Kernels, reverse: bool) -> None:
    x = np.arange(3 * 70, dtype=np.int32)
    kernels.launch("turn_round", 3, 70, [x], shared=4 * 70, reverse=reverse)
    np.testing.assert_array_equal(x.reshape(3, 70), np.arange(3 * 70).reshape(3, 70)[:, ::-1])


@ORDERS
def test_the_grid_meets(kernels: cuda_on_cpu.Kernels, reverse: bool) -> None:
    x = np.zeros(5, np.int32)
    kernels.launch("rounds", 5, 40, [x, np.int32(3)], cooperative=True, reverse=reverse)
    expected = np.zeros(5, int)
    for _ in range(3):
        expected = expected.sum() + np.arange(5)
    np.testing.assert_array_equal(x, expected)


@ORDERS
def test_a_barrier_of_atomic_counters(kernels: cuda_on_cpu.Kernels, reverse: bool) -> None:
    arrived, x = np.zeros(1, np.uint32), np.zeros(12, np.int32)
    kernels.launch("meet", 6, 32, [arrived, x], cooperative=True, reverse=reverse)
    np.testing.assert_array_equal(x[6:], 21)
    with pytest.raises(RuntimeError, match="meet: threads spin for ever"):
        kernels.launch("meet", 6, 32, [np.zeros(1, np.uint32), x])


@ORDERS
def test_a_cluster_shares_its_memory(kernels: cuda_on_cpu.Kernels, reverse: bool) -> None:
    y = np.zeros(8, np.int32)
    kernels.launch("pass_on", 8, 32, [y], shared=4, reverse=reverse)
    np.testing.assert_array_equal(y, [3, 0, 1, 2, 7, 4, 5, 6])
    with pytest.raises(RuntimeError, match="no multiple of the cluster"):
        kernels.launch("pass_on", 6, 32, [y], shared=4)


@ORDERS
def test_bytes_sent_in_a_cluster_are_counted(kernels: cuda_on_cpu.Kernels, reverse: bool) -> None:
    y = np.zeros((4, 4), np.int32)
    kernels.launch("send_on", 4, 32, [y, np.int32(8)], shared=24, reverse=reverse)
    np.testing.assert_array_equal(y, [[3, 3, 13, 13], [0, 0, 10, 10], [1, 1, 11, 11], [2, 2, 12, 12]])
    with pytest.raises(RuntimeError, match="send_on: threads spin for ever"):
        kernels.launch("send_on", 4, 32, [y, np.int32(12)], shared=24, reverse=reverse)


# ---- what is wrong is noticed --------------------------------------------------------------


def test_threads_that_never_come(kernels: cuda_on_cpu.Kernels) -> None:
    with pytest.raises(RuntimeError, match="half_meet: a barrier that not all threads reach: .* waits for its block"):
        kernels.launch("half_meet", 1, 32, [])
    with pytest.raises(RuntimeError, match="wait at different barriers"):
        kernels.launch("meet_elsewhere", 1, 64, [])
    with pytest.raises(RuntimeError, match="31 more|30 more"):
        kernels.launch("shuffle_without_all", 1, 32, [np.zeros(32, np.int32)])
    with pytest.raises(RuntimeError, match="waits at its cluster's barrier without having arrived"):
        kernels.launch("wait_only", 2, 1, [])
    assert total(kernels, "sum_f32", np.float32, False) == 500500  # and the machine is as before


def test_shared_memory_that_nobody_wrote(kernels: cuda_on_cpu.Kernels) -> None:
    y = np.zeros(1, np.float32)
    kernels.launch("never_written", 1, 1, [y])
    assert np.isnan(y[0])


def test_blocks_that_write_the_same_place(kernels: cuda_on_cpu.Kernels) -> None:
    first, last = np.zeros(1, np.int32), np.zeros(1, np.int32)
    kernels.launch("all_write_one", 4, 1, [first])
    kernels.launch("all_write_one", 4, 1, [last], reverse=True)
    assert first[0] == 3 and last[0] == 0


def test_arguments_and_shapes_of_other_types(kernels: cuda_on_cpu.Kernels) -> None:
    x = np.zeros(4, np.float32)
    for wrong in (np.int64(4), np.float32(4), 4, x):
        with pytest.raises(TypeError, match="sum_f32: argument 2 is .* and the parameter i4"):
            kernels.launch("sum_f32", 1, 32, [x, x, wrong])
    with pytest.raises(TypeError, match="argument 0 is NoneType and the parameter p8"):
        kernels.launch("sum_f32", 1, 32, [None, x, np.int32(4)])
    kernels.launch("sum_f32", 1, 32, [np.uintp(0), x, np.int32(0)])
    with pytest.raises(TypeError, match="takes 3 arguments"):
        kernels.launch("sum_f32", 1, 32, [x, x])
    with pytest.raises(RuntimeError, match="__launch_bounds__"):
        kernels.launch("sum_f32", 1, 512, [x, x, np.int32(4)])


def test_every_kernel_is_found(kernels: cuda_on_cpu.Kernels) -> None:
    assert {"sum_f32", "sum_f64", "transpose", "pass_on"} <= set(kernels.names)
    with pytest.raises(ValueError, match='1 __global__ functions, 0 of them extern "C"'):
        cuda_on_cpu.build_text("__global__ void plain(float* x) { *x = 1; }")
    with pytest.raises(ValueError, match="one array or variable a declaration"):
        cuda_on_cpu.build_text('extern "C" __global__ void two() { __shared__ int a[2], b[3]; }')
    with pytest.raises(RuntimeError, match="static assertion failed"):
        cuda_on_cpu.build_text('extern "C" __global__ void f(float* x) { atomicAdd(x, 1.0f); }')


# ---- under the sanitizers --------------------------------------------------------------------


PRELUDE = f"""
import numpy as np, cuda_on_cpu
kernels = cuda_on_cpu.build({str(LESSONS)!r})
x = np.zeros(1024, 'f4')
"""

RIGHT = """
y = np.zeros(64, 'i4')
kernels.launch('sum_f32', 1, 256, [x, x[:1].copy(), np.int32(1000)])
kernels.launch('turn_round', 3, 70, [np.zeros(210, 'i4')], shared=280)
kernels.launch('rounds', 3, 40, [y, np.int32(2)], cooperative=True)
kernels.launch('pass_on', 8, 32, [y], shared=4)
kernels.launch('meet', 3, 32, [np.zeros(1, 'u4'), y], cooperative=True)
"""


@pytest.mark.parametrize("which", ["address", "thread"])
def test_sanitizers_accept_what_is_right(which: str) -> None:
    done = cuda_on_cpu.sanitized(which, PRELUDE + RIGHT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("which", "code", "message"),
    [
        ("address", "kernels.launch('past_the_end', 1, 32, [x])", "heap-buffer-overflow"),
        ("address", "kernels.launch('turn_round', 1, 64, [np.zeros(64, 'i4')], shared=252)", "heap-buffer-overflow"),
        ("thread", "kernels.launch('sum_without_barrier', 1, 64, [x, x[:1].copy(), np.int32(9)])", "data race"),
        ("thread", "kernels.launch('all_write_one', 2, 1, [np.zeros(1, 'i4')])", "data race"),
        ("thread", "kernels.launch('pass_on_too_late', 2, 1, [np.zeros(2, 'i4')], shared=4)", "data race"),
    ],
)
def test_sanitizers_see_what_is_wrong(which: str, code: str, message: str) -> None:
    done = cuda_on_cpu.sanitized(which, PRELUDE + code)
    assert done.returncode != 0 and message in done.stderr, done.stderr
