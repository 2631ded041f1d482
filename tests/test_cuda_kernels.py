"""What is CUDA's own: the same bits on any grid, sorted ids, rows of every length, ids that nobody checked, refusals.

The values of each kernel are held to the reference in test_kernel_parity.py and test_elementary_accuracy.py.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cuda_on_cpu
import cupy_stand_in
import numpy as np
import on_device
import pytest
from tolerances import assert_close

import minidl as md
from minidl.kernels import _cuda, _cuda_blas, cuda, reference, validate

Array = Any
run = on_device.kernels
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture
def cp() -> Iterator[Any]:
    """CuPy, or what stands in for it."""
    with on_device.cupy() as module:
        yield module


stand_in = pytest.mark.skipif(
    on_device.WHERE != "the processor", reason="looks into the stand-in, which needs g++ and gives way to a GPU"
)


def draw(*shape: int, low: float = -3.0, high: float = 3.0, dtype: Any = np.float32) -> Array:
    return md.random.Generator(3).uniform(shape, low, high, dtype)


def integers(limit: int, *shape: int) -> Array:
    return md.random.Generator(4).integers(0, limit, shape)


# ---- the same bits --------------------------------------------------------------------------


def calls(dtype: Any) -> dict[str, Callable[[], Any]]:
    """A call of every kernel, on more blocks than one, none a multiple of anything."""
    n, rows, classes = 5003, 301, 37
    x, y, t = draw(n, dtype=dtype), draw(n, low=-9.0, dtype=dtype), draw(n, low=0.0, high=1.0, dtype=dtype)
    logits, targets = draw(rows, classes, dtype=dtype), draw(rows, classes, low=0.0, dtype=dtype)
    long = draw(2, 20_001, dtype=dtype)
    dloss, labels = draw(rows, dtype=dtype), integers(classes, rows)
    table, ids, dy = draw(400, 67, dtype=dtype), integers(400, 5001) // 3 * 3, draw(5001, 67, dtype=dtype)
    ids[::3] = 7
    padding = 8192 + 5 * 64 + 7  # more pieces than are added at a time

    def step(name: str, moments: int, *scalars: float) -> Callable[[], list[Array]]:
        def call() -> list[Array]:
            w, *rest = [np.abs(x) + i for i in range(moments + 1)]
            getattr(run, name)(w, y, *rest, *scalars)
            return [w, *rest]

        return call

    return {
        "exp": lambda: run.exp(x),
        "tanh": lambda: run.tanh(x),
        "tanh_backward": lambda: run.tanh_backward(y, t),
        "sigmoid": lambda: run.sigmoid(x),
        "sigmoid_backward": lambda: run.sigmoid_backward(y, t),
        "erf": lambda: run.erf(x),
        "log": lambda: run.log(t),
        "sqrt": lambda: run.sqrt(t),
        "absolute": lambda: run.absolute(x),
        "clip": lambda: run.clip(x, -0.5, 1.0),
        "add": lambda: run.add(logits, logits[0]),
        "subtract": lambda: run.subtract(x, y),
        "multiply": lambda: run.multiply(logits, dloss[:, None]),
        "divide": lambda: run.divide(x, 2.5),
        "maximum": lambda: run.maximum(logits, logits[0]),
        "minimum": lambda: run.minimum(0.5, x),
        "relu_forward": lambda: run.relu_forward(x),
        "relu_backward": lambda: run.relu_backward(y, x),
        "leaky_relu_forward": lambda: run.leaky_relu_forward(x, 0.2),
        "leaky_relu_backward": lambda: run.leaky_relu_backward(y, x, 0.2),
        "elu_forward": lambda: run.elu_forward(x, 0.7, 1.5),
        "elu_backward": lambda: run.elu_backward(y, x, 0.7, 1.5),
        "softplus_forward": lambda: run.softplus_forward(x),
        "softplus_backward": lambda: run.softplus_backward(y, x),
        "silu_forward": lambda: run.silu_forward(x),
        "silu_backward": lambda: run.silu_backward(y, x),
        "gelu_forward": lambda: run.gelu_forward(x),
        "gelu_backward": lambda: run.gelu_backward(y, x),
        "where": lambda: run.where(x > 0, x, y),
        "matmul": lambda: run.matmul(dy[:31].T, dy[:31]),
        "affine_forward": lambda: run.affine_forward(dy[:31], dy[31:98], dy[99]),
        "affine_backward": lambda: run.affine_backward(dy[:31], dy[:31], dy[31:98]),
        "sum_rows": lambda: (run.sum_rows(logits), run.sum_rows(long)),
        "extreme_forward": lambda: (run.extreme_forward(logits[None], True), run.extreme_forward(logits[None], False)),
        "extreme_backward": lambda: run.extreme_backward(logits[:1], logits[None], logits.max(0)[None]),
        "sum_columns": lambda: (run.sum_columns(logits), run.sum_columns(dy.reshape(3, 1667, 67))),
        "huber_forward": lambda: (run.huber_forward(logits, 0.5), run.huber_forward(long, 0.5)),
        "huber_backward": lambda: run.huber_backward(dloss, logits, 0.5),
        "softmax_forward": lambda: (run.softmax_forward(logits), run.softmax_forward(long)),
        "softmax_backward": lambda: (run.softmax_backward(targets, logits), run.softmax_backward(long, long)),
        "log_softmax_forward": lambda: (run.log_softmax_forward(logits), run.log_softmax_forward(long)),
        "log_softmax_backward": lambda: (
            run.log_softmax_backward(targets, logits),
            run.log_softmax_backward(long, long),
        ),
        "softmax_cross_entropy_forward": lambda: run.softmax_cross_entropy_forward(logits, targets),
        "softmax_cross_entropy_backward": lambda: run.softmax_cross_entropy_backward(dloss, logits, targets),
        "sparse_cross_entropy_forward": lambda: run.sparse_cross_entropy_forward(logits, labels),
        "sparse_cross_entropy_backward": lambda: run.sparse_cross_entropy_backward(dloss, logits, labels),
        "sigmoid_cross_entropy_forward": lambda: run.sigmoid_cross_entropy_forward(y, t),
        "sigmoid_cross_entropy_backward": lambda: run.sigmoid_cross_entropy_backward(x, y, t),
        "embedding_forward": lambda: run.embedding_forward(table, ids),
        "embedding_backward": lambda: (
            run.embedding_backward(dy, ids, 400),
            run.embedding_backward(np.resize(x, (padding, 2)), np.zeros(padding, np.int64), 2),
        ),
        "random_bits": lambda: run.random_bits(n, 7, 2**64 - 9),
        "dropout": lambda: run.dropout(x, 0.3, 7, 2**64 - 9),
        "sgd_step": step("sgd_step", 0, 0.1),
        "momentum_step": step("momentum_step", 1, 0.1, 0.9, True),
        "adam_step": step("adam_step", 2, 0.1, 0.9, 0.999, 1e-7),
        "rmsprop_step": step("rmsprop_step", 1, 0.1, 0.9, 1e-7),
        "adagrad_step": step("adagrad_step", 1, 0.1, 1e-7),
    }


def bits(result: Any) -> list[bytes]:
    return [array.tobytes() for array in (result if isinstance(result, (list, tuple)) else [result])]


def test_every_kernel_is_called_above() -> None:
    kernels = {name for name in vars(reference) if not name.startswith("_") and name in vars(cuda)}
    functions = {name for name in kernels if getattr(getattr(cuda, name), "__module__", "") == cuda.__name__}
    assert functions - {"lstm_forward", "lstm_backward"} == calls(np.float32).keys()


@DTYPES
def test_any_grid_gives_the_same_bits(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {name: bits(call()) for name, call in calls(dtype).items()}
    for blocks in (1, 3):
        monkeypatch.setattr(_cuda, "BLOCKS", blocks)
        for name, call in calls(dtype).items():
            assert bits(call()) == found[name], f"{name} with {blocks} blocks"


@stand_in
@DTYPES
def test_any_order_of_the_threads_gives_the_same_bits(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks, warps and lanes run backwards, which shows a missing barrier and two blocks that wait for each other."""
    found = {name: bits(call()) for name, call in calls(dtype).items()}
    monkeypatch.setattr(cupy_stand_in, "reverse", True)
    for name, call in calls(dtype).items():
        assert bits(call()) == found[name], name


@DTYPES
def test_an_array_that_begins_anywhere_gives_the_same_bits(cp: Any, dtype: Any) -> None:
    """Packs of 16 bytes are loaded one by one then, by the same threads."""
    for n in (1, 3, 8, 1001):
        room = cp.asarray(draw(3 * n + 1, dtype=dtype))
        shifted, x = room[1:], cp.asarray(room[1:].get())
        for kernel in (cuda.exp, cuda.sum_rows, cuda.softmax_forward):
            rows = (3, n)
            assert kernel(shifted.reshape(rows)).get().tobytes() == kernel(x.reshape(rows)).get().tobytes()
        w, same = room[1 : n + 1], cp.asarray(room[1 : n + 1].get())
        for weights in (w, same):
            cuda.sgd_step(weights, x[n : 2 * n], 0.5)
        assert w.get().tobytes() == same.get().tobytes()


# ---- sums -------------------------------------------------------------------------------------


@stand_in
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, (0, 1), (0, 2), (2, 0, 1), ()])
def test_a_sum_of_floats_is_the_kernels_however_they_lie(axis: Any, dtype: Any, cp: Any) -> None:
    """CuPy's own runs in an order that hangs on the GPU, or on one processor."""
    room = cp.asarray(draw(5, 700, 6).astype(dtype))
    row = cp.broadcast_to(room[0, 0], (5, 700, 6))
    for x in (room, room[:, ::2, ::-1], room.transpose(2, 0, 1), row, room[:0], room[0, 0, 0].reshape(1, 1, 1)):
        cupy_stand_in.launched.clear()
        y = md.sum(md.as_tensor(x), axis=axis)
        assert any(name.startswith("sum_") for name in cupy_stand_in.launched) or not x.size
        dense = md.sum(md.as_tensor(cp.asarray(np.ascontiguousarray(x.get()))), axis=axis)
        assert y.dtype == dtype and y._array.get().tobytes() == dense._array.get().tobytes()
        expected = x.get().sum(axis, dtype=np.float64)
        tolerance = {"rtol": 1e-3, "atol": 1e-2} if dtype == np.float16 else {"rtol": 1e-5, "atol": 1e-4}
        np.testing.assert_allclose(y._array.get(), expected, **tolerance)


@stand_in
def test_gradients_and_norms_on_the_gpu_are_added_up_by_the_kernels(cp: Any) -> None:
    b, w = (md.Tensor(np.zeros(n, np.float32), requires_grad=True, device="cuda") for n in ((), 3))
    y = (b + cp.asarray(draw(4, 5))).T
    for add_up in (
        lambda: y.backward(cp.asarray(draw(5, 4))),
        lambda: md.optimizers.SGD(clipnorm=1.0).apply_gradients([(cp.asarray(draw(3)), w)]),
    ):
        cupy_stand_in.launched.clear()
        add_up()
        assert any(name.startswith("sum_") for name in cupy_stand_in.launched)


# ---- extremes ---------------------------------------------------------------------------------


def blocks_of(shape: tuple[int, ...], axis: int) -> int:
    """Of a reduction of CuPy's: `_get_block_specs` in cupy/_core/_reduction.pyx."""
    abreast = max(min(math.prod(shape[axis + 1 :]), 32), 512 // shape[axis])
    return math.prod(shape) // shape[axis] // (1 << abreast.bit_length() - 1)


@stand_in
@pytest.mark.parametrize("shape", [(1, 400_009, 10), (1, 300_001, 1), (3, 140_003, 7), (2, 90_007, 40)])
def test_columns_that_are_few_and_long_are_reduced_by_many_blocks(
    shape: tuple[int, ...], cp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, seen, reduced = cp.asarray(draw(*shape)), [], cuda._reduced

    def watched(reduce: str, x: Array, axis: int) -> Array:
        seen.append((x, axis))
        return reduced(reduce, x, axis)

    monkeypatch.setattr(cuda, "_reduced", watched)
    cuda.extreme_forward(x, True)
    (parts, axis), (rest, _) = seen
    assert blocks_of(parts.shape, axis) > 132
    assert parts._block is x._block and rest.size < x.size / 100  # a view, and little more


def test_an_extreme_of_what_does_not_lie_dense_is_the_kernels(cp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy's own, of all elements, would run on one processor."""
    x = cp.asarray(draw(6, 8))[::2, 1:]
    t, called = md.Tensor([0.0], device="cuda", requires_grad=True) + x, []
    for kernel in ("extreme_forward", "extreme_backward"):
        bare = getattr(cuda, kernel)
        monkeypatch.setattr(cuda, kernel, lambda *a, bare=bare, kernel=kernel: called.append(kernel) or bare(*a))
    assert md.max(md.as_tensor(x)).item() == x.get().max() and called == ["extreme_forward"]
    md.min(t.T).backward()
    assert called == ["extreme_forward", "extreme_forward", "extreme_backward"]


@DTYPES
@pytest.mark.parametrize("numbers", [1, 2, 3, 7, 8, 9, 50, 64])
@pytest.mark.parametrize(("batch", "columns"), [(1, 1), (1, 3), (2, 1), (3, 5)])
def test_extremes_of_parts(batch: int, numbers: int, columns: int, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that divide the numbers and parts that leave a rest, with the extreme, one that ties or a NaN in either."""
    monkeypatch.setattr(cuda, "PART", 4)
    x = np.round(draw(batch, numbers, columns, dtype=dtype) * 4)
    for place in (0, numbers // 2, numbers - 1):
        for value in (99.0, -99.0, np.nan):
            x[-1, place, 0] = value
            for largest in (True, False):
                y = run.extreme_forward(x, largest)
                np.testing.assert_array_equal(y, reference.extreme_forward(x, largest))
                dy = draw(batch, columns, dtype=dtype)
                found = run.extreme_backward(dy, x, y)
                np.testing.assert_array_equal(found, reference.extreme_backward(dy, x, y))


# ---- rows of every length -------------------------------------------------------------------

# Around a pack, a warp's first and last row, a block's, and the longest that shared memory holds.
LENGTHS = [
    1,
    2,
    3,
    4,
    5,
    31,
    32,
    33,
    127,
    128,
    129,
    512,
    513,
    1023,
    1024,
    1025,
    5632,
    5633,
    8192,
    8193,
    11_264,
    11_265,
    16_385,
]


@DTYPES
@pytest.mark.parametrize("columns", LENGTHS)
def test_rows_of_every_length(columns: int, dtype: Any) -> None:
    x, y, dloss = draw(3, columns, dtype=dtype), draw(3, columns, low=0.0, high=0.1, dtype=dtype), draw(3, dtype=dtype)
    labels = integers(columns, 3)
    for kernel, arguments in {
        "sum_rows": (x,),
        "huber_forward": (x, 0.5),
        "huber_backward": (dloss, x, 0.5),
        "softmax_forward": (x,),
        "softmax_backward": (x, y),
        "log_softmax_forward": (x,),
        "log_softmax_backward": (x, -y),
        "softmax_cross_entropy_forward": (x, y),
        "softmax_cross_entropy_backward": (dloss, x, y),
        "sparse_cross_entropy_forward": (x, labels),
        "sparse_cross_entropy_backward": (dloss, x, labels),
    }.items():
        found = getattr(run, kernel)(*arguments)
        wide = [a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype == dtype else a for a in arguments]
        expected = getattr(reference, kernel)(*wide)
        for actual, truth in zip(*(r if isinstance(r, tuple) else (r,) for r in (found, expected)), strict=True):
            assert_close(actual, truth, slack=4)


@pytest.mark.parametrize("columns", [5, 1500, 13_000])
def test_infinities_and_nan_in_a_row(columns: int) -> None:
    rows = draw(6, columns)
    rows[0, 3], rows[1, 4], rows[2, 1], rows[3] = np.inf, -np.inf, np.nan, -np.inf
    rows[4, :2] = -np.inf
    with np.errstate(invalid="ignore"):
        expected = reference.softmax_forward(rows)
    np.testing.assert_allclose(run.softmax_forward(rows), expected, rtol=1e-5)
    assert np.isnan(expected).any(axis=1).tolist() == [True, False, True, True, False, False]


@DTYPES
@pytest.mark.parametrize("columns", [999, 12_000])
def test_softmax_of_a_row_that_grows(columns: int, dtype: Any) -> None:
    """A long row's sum begins anew with each larger number, and what is far below the largest is 0 in the end."""
    rows = np.stack([np.linspace(-1e3, 1e3, columns), np.linspace(80.0, -80.0, columns)]).astype(dtype)
    assert_close(run.softmax_forward(rows), reference.softmax_forward(rows.astype(np.float64)), slack=4)
    loss, _ = run.sparse_cross_entropy_forward(rows, np.array([columns - 1, 3]))
    assert_close(
        loss, reference.sparse_cross_entropy_forward(rows.astype(np.float64), np.array([columns - 1, 3]))[0], slack=4
    )


@DTYPES
def test_relu_of_numbers_that_are_not_ordinary(dtype: Any) -> None:
    x = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 3.0], dtype)
    np.testing.assert_array_equal(run.relu_forward(x), reference.relu_forward(x))
    np.testing.assert_array_equal(run.relu_backward(x[::-1].copy(), x), reference.relu_backward(x[::-1].copy(), x))


# ---- embeddings -----------------------------------------------------------------------------


def scattered(dy: Array, ids: Array, rows: int) -> None:
    """Up to 127 equal ids: the bits of a loop. More: those of the loops over pieces, and over their sums."""
    found, expected = run.embedding_backward(dy, ids, rows), reference.embedding_backward(dy, ids, rows)
    counts = np.bincount(ids, minlength=rows)
    for row in np.flatnonzero(counts > 127):
        expected[row] = sum_of_pieces(dy[ids == row])
    np.testing.assert_array_equal(found, expected)


def sum_of_pieces(x: Array) -> Array:
    pieces = len(x) // 64
    sums = [in_order(x[64 * k : 64 * (k + 1) if k < pieces - 1 else None]) for k in range(pieces)]
    while len(sums) > 1:
        sums = [in_order(sums[k : k + 128]) for k in range(0, len(sums), 128)]
    return sums[0]


def in_order(rows: Any) -> Array:
    return functools.reduce(np.add, rows)


@pytest.mark.parametrize("rows", [1, 2, 255, 256, 257, 1023, 1024, 70_001])
def test_gradients_of_few_and_many_rows(rows: int) -> None:
    """One pass of the sort and two, over one tile and over more."""
    for n in (1, 31, 2047, 2048, 2049, 4500):
        ids = integers(rows, n)
        ids[-1] = rows - 1
        scattered(draw(n, 3), ids, rows)


@DTYPES
@pytest.mark.parametrize("units", [1, 4, 31, 33, 64, 70])
def test_gradients_of_ids_that_occur_once_or_often(units: int, dtype: Any) -> None:
    """Each count around what a group adds up at a time and around two pieces and more."""
    counts = [1, 2, 3, 4, 5, 6, 7, 63, 64, 65, 66, 67, 127, 128, 129, 191, 192, 193, 256, 320, 1000]
    ids = np.repeat(np.arange(len(counts)) * 2, counts)
    for order in (np.arange(len(ids)), md.random.Generator(5).permutation(len(ids))):
        scattered(draw(len(ids), units, dtype=dtype), ids[order], 2 * len(counts))
    scattered(draw(1000, units, dtype=dtype), np.full(1000, 5), 6)


def test_gradients_of_more_ids_than_all_chunks_sort_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tiles in each chunk, the last of them not full."""
    monkeypatch.setattr(cuda, "CHUNKS", 2)
    scattered(draw(12_001, 2), integers(700, 12_001), 700)


@pytest.mark.parametrize("n", [16 * 2048, 16 * 2048 + 1, 40_001])
def test_gradients_of_more_chunks_than_are_counted_together(n: int) -> None:
    scattered(draw(n, 2), integers(1700, n), 1700)


@DTYPES
def test_gradients_of_more_pieces_than_are_added_at_a_time(dtype: Any) -> None:
    for n in (128 * 64, 129 * 64 - 1, 129 * 64, 128 * 128 + 70):
        scattered(draw(n + 9, 3, dtype=dtype), np.r_[np.zeros(n, np.int64), integers(3, 9)], 3)


def test_gradients_of_ids_and_places_that_32_bits_do_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "NARROW", 0)
    for rows in (9, 2000):
        scattered(draw(4500, 5), integers(rows, 4500), rows)


def test_up_to_127_equal_ids_are_added_in_order() -> None:
    """1e8 − 1e8 + 1 in turns: another order leaves another sum."""
    dy = np.tile(np.array([[1e8], [1.0], [-1e8]], np.float32), (43, 1))[:127]
    found = run.embedding_backward(dy, np.zeros(127, np.int64), 1)
    np.testing.assert_array_equal(found, reference.embedding_backward(dy, np.zeros(127, np.int64), 1))
    assert found != dy.sum(dtype=np.float64)


def test_many_equal_ids_are_added_more_exactly_than_by_a_loop() -> None:
    """Of numbers between 0 and 6 a loop adds each to a sum thousands of times as large."""
    for n in (128, 1000, 20_000):
        dy, ids = draw(n, 8) + np.float32(3), np.zeros(n, np.int64)
        exact = dy.sum(0, dtype=np.float64)
        error, of_loop = (
            np.abs(kernels.embedding_backward(dy, ids, 1)[0] - exact).mean() for kernels in (run, reference)
        )
        assert error < of_loop / (1 if n < 1000 else 2), n


# ---- products -------------------------------------------------------------------------------


@pytest.mark.parametrize(("switch", "compute"), [("0", 68), ("1", 77)])
@stand_in
def test_products_of_float32_are_rounded_where_cupys_switch_says_so(
    cp: Any, switch: str, compute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Any, ...]] = []
    monkeypatch.setattr(cupy_stand_in.cublas, "cublasGemmEx_64", lambda *arguments: given.append(arguments) or 0)
    monkeypatch.setenv("CUPY_TF32", switch)
    for cached in (_cuda_blas.rounds, _cuda_blas._types):
        cached.cache_clear()
    try:
        cuda.matmul(cp.asarray(draw(2, 3)), cp.asarray(draw(3, 4)))
        cuda.matmul(cp.asarray(draw(2, 3, dtype=np.float64)), cp.asarray(draw(3, 4, dtype=np.float64)))
    finally:
        for cached in (_cuda_blas.rounds, _cuda_blas._types):
            cached.cache_clear()
    assert [arguments[-2] for arguments in given] == [compute, 70]  # cublasComputeType_t


@stand_in
def test_an_error_of_cublas_is_an_error(cp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cupy_stand_in.cublas, "cublasGemmEx_64", lambda *_: 14)
    with pytest.raises(RuntimeError, match="cublasGemmEx of cuBLAS failed with status 14"):
        cuda.matmul(cp.asarray(draw(2, 3)), cp.asarray(draw(3, 4)))


# ---- ids ------------------------------------------------------------------------------------


@stand_in
def test_ids_are_looked_at_once_and_the_rows_fetched_meanwhile(cp: Any) -> None:
    table, good, bad = cp.asarray(draw(5, 3)), cp.asarray(integers(5, 4)), cp.asarray(np.array([0, 1, 5]))
    cupy_stand_in.launched.clear()
    cuda.embedding_forward(table, good)
    assert cupy_stand_in.launched == ["outside_int64", "embedding_forward_float32"]
    cupy_stand_in.launched.clear()
    with pytest.raises(IndexError, match="got 5 at position"):
        cuda.embedding_forward(table, bad)
    cupy_stand_in.launched.clear()
    with pytest.raises(IndexError, match="got 5 at position"):
        cuda.embedding_backward(cp.asarray(draw(3, 2)), bad, 5)
    assert cupy_stand_in.launched == ["outside_int64"]


def test_without_the_check_an_id_outside_reads_as_nan_and_its_gradient_goes_nowhere(
    cp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "check_ids", False)
    ids = np.array([3, -1, 0, 5, 2**40, 3, -(2**62)])
    inside = (ids >= 0) & (ids < 5)
    table, dy = draw(5, 7), draw(len(ids), 7)
    y = cuda.embedding_forward(cp.asarray(table), cp.asarray(ids)).get()
    np.testing.assert_array_equal(y[inside], table[ids[inside]])
    assert np.isnan(y[~inside]).all()
    dtable = cuda.embedding_backward(cp.asarray(dy), cp.asarray(ids), 5).get()
    np.testing.assert_array_equal(dtable, reference.embedding_backward(dy[inside], ids[inside], 5))
    logits = draw(len(ids), 5)
    loss, p = cuda.sparse_cross_entropy_forward(cp.asarray(logits), cp.asarray(ids))
    assert_close(loss.get()[inside], reference.sparse_cross_entropy_forward(logits[inside], ids[inside])[0])
    assert np.isnan(loss.get()[~inside]).all()
    dloss = np.ones(len(ids), np.float32)
    dlogits = cuda.sparse_cross_entropy_backward(cp.asarray(dloss), p, cp.asarray(ids)).get()
    np.testing.assert_array_equal(dlogits[~inside], p.get()[~inside])


@stand_in
def test_without_the_check_nobody_waits(cp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "check_ids", False)
    cupy_stand_in.launched.clear()
    cuda.embedding_forward(cp.asarray(draw(5, 3)), cp.asarray(integers(5, 4)))
    assert cupy_stand_in.launched == ["embedding_forward_float32"]


@pytest.mark.parametrize(("value", "expected"), [("0", "False"), ("1", "True"), ("yes", "MINIDL_CHECK_IDS='yes': exp")])
def test_the_switch_in_the_environment(value: str, expected: str) -> None:
    code = "from minidl.kernels import cuda; print(cuda.check_ids)"
    done = subprocess.run([sys.executable, "-c", code], env={"MINIDL_CHECK_IDS": value}, capture_output=True, text=True)
    assert expected in done.stdout + done.stderr


# ---- devices --------------------------------------------------------------------------------


def digest_of(x: Array) -> int:
    """The same sum, in NumPy."""
    raw = np.ascontiguousarray(x).reshape(-1).view(np.uint32 if x.itemsize % 4 == 0 else np.uint8).astype(np.uint64)
    places = np.arange(raw.size, dtype=np.uint64)
    z = (places << np.uint64(32) | places >> np.uint64(32)) ^ raw
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return int((z ^ (z >> np.uint64(31))).sum(dtype=np.uint64))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.bool_, np.complex64])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (7001,)])
def test_the_digest_of_memory(shape: tuple[int, ...], dtype: Any, cp: Any) -> None:
    x = draw(*shape, low=-9.0, high=9.0).astype(dtype)
    assert int(cuda.digest(cp.asarray(x))) == digest_of(x)


def test_the_digest_sees_a_bit_a_permutation_and_a_part_of_an_array(cp: Any) -> None:
    x = np.arange(4000, dtype=np.float32)
    one_bit, swapped = x.copy(), x.copy()
    one_bit.view(np.uint32)[3777] ^= 1
    swapped[[5, 3001]] = swapped[[3001, 5]]
    device = cp.asarray(x)
    arrays = [device, cp.asarray(one_bit), cp.asarray(swapped), device[1:], device[::-1], device[:-1]]
    digests = [int(cuda.digest(a)) for a in arrays]
    assert len(set(digests)) == len(arrays) and int(cuda.digest(cp.asarray(x))) == digests[0]
    assert digests[3] == digest_of(x[1:]) and digests[4] == digest_of(x[::-1])


def test_arrays_of_numpy_are_refused_and_not_copied(cp: Any) -> None:
    x = draw(3)
    for call in (lambda: cuda.exp(x), lambda: cuda.matmul(x[None], x[:, None]), lambda: cuda.sgd_step(x, x + 1, 0.1)):
        with pytest.raises(
            TypeError, match="the cuda kernels take arrays of CuPy, got ndarray; cupy.asarray copies it"
        ):
            call()


def test_mixed_devices_are_refused_in_a_line_that_names_both(cp: Any) -> None:
    x, ids = draw(3, 3), np.zeros(3, np.int64)
    here, there = cp.asarray(x), cp.asarray(ids)
    for call, message in (
        (lambda: cuda.matmul(here, x), "matmul: b is an array of NumPy and a one of CuPy; kernels do not mix devices"),
        (lambda: cuda.softmax_backward(x, here), "softmax_backward: y is an array of CuPy and dy one of NumPy"),
        (
            lambda: md.kernels.cuda.adam_step(here, here + 1, x, here + 2, 0.1, 0.9, 0.9, 0.1),
            "adam_step: m is an array",
        ),
        (
            lambda: cuda.embedding_forward(here, ids),
            "embedding_forward: ids is an array of NumPy and table one of CuPy",
        ),
        (lambda: cuda.embedding_backward(here, ids, 5), "ids is an array of NumPy and dy one of CuPy"),
        (lambda: reference.embedding_forward(x, there), "ids is an array of CuPy and table one of NumPy"),
        (lambda: cuda.sparse_cross_entropy_forward(here, ids), "labels is an array of NumPy and logits one of CuPy"),
    ):
        with pytest.raises(TypeError, match=message):
            call()


def test_a_mask_on_another_device_is_refused(cp: Any) -> None:
    x, h, w, r, b = (cp.asarray(draw(*s)) for s in ((2, 3, 4), (2, 5), (4, 20), (5, 20), (20,)))
    with pytest.raises(TypeError, match="lstm_forward: mask is an array of NumPy and x one of CuPy"):
        validate.lstm("lstm_forward", x, h, h, w, r, b, np.ones((2, 3), bool))


def test_of_serves_arrays_of_cupy_with_cuda(cp: Any) -> None:
    assert md.kernels.of(cp.asarray(draw(3))) is cuda
    assert md.kernels.of(draw(3)) is md.kernels.serving() is not cuda


def test_use_selects_cuda_where_nothing_is_missing(cp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "missing", lambda: "")
    with md.use("cuda"):
        assert md.kernels.active() == "cuda" and md.kernels.serving() is not cuda  # which are for NumPy's arrays
        assert md.zeros(2).device == "cuda"
    monkeypatch.setattr(cuda, "missing", lambda: "no wind; pip install sails")
    before = md.kernels.active()
    with pytest.raises(RuntimeError, match="^the cuda kernels cannot run: no wind; pip install sails$"):
        md.use("cuda")
    assert md.kernels.active() == before


# ---- what is missing ------------------------------------------------------------------------


class RuntimeFailureError(RuntimeError):
    """What CuPy raises for an error of CUDA."""


def machine(driver: int = 13020, devices: int | str = 1, nvrtc: str = "") -> ModuleType:
    """A CuPy on a machine with such a driver, so many GPUs or CUDA's error instead, and perhaps no compiler."""

    def count() -> int:
        if isinstance(devices, str):
            raise RuntimeFailureError(devices)
        return devices

    def version() -> tuple[int, int]:
        if nvrtc:
            raise RuntimeError(nvrtc)
        return 13, 2

    class runtime:  # noqa: N801
        CUDARuntimeError = RuntimeFailureError
        driverGetVersion = staticmethod(lambda: driver)  # noqa: N815
        runtimeGetVersion = staticmethod(lambda: 13020)  # noqa: N815
        getDeviceCount = staticmethod(count)  # noqa: N815
        getDeviceProperties = staticmethod(lambda i: {"name": b"GeForce 9999", "major": 9, "minor": 1})  # noqa: N815

    cupy = ModuleType("cupy")
    cupy.__version__ = "14.2.0"
    cupy.cuda = ModuleType("cupy.cuda")
    cupy.cuda.runtime, cupy.cuda.nvrtc = runtime, ModuleType("nvrtc")
    cupy.cuda.nvrtc.getVersion = version
    cupy.cuda.Device = type("Device", (), {"id": 0})
    return cupy


INSTALL = r"pip install 'minidl\[cuda\]', or 'minidl\[cuda12\]'"


@pytest.mark.parametrize(
    ("cupy", "message"),
    [
        (machine(driver=0, devices="cudaErrorInsufficientDriver: version"), "^there is no NVIDIA driver; install one"),
        (machine(devices=0), "^the NVIDIA driver finds no GPU; see what nvidia-smi lists$"),
        (machine(devices="cudaErrorNoDevice: no CUDA-capable device is detected"), "^the NVIDIA driver finds no GPU"),
        (machine(driver=12040, devices="cudaErrorInsufficientDriver: version"),
         f"^the NVIDIA driver has CUDA 12.4 and CuPy needs 13.2; get a newer driver, or: {INSTALL}"),
        (machine(devices="cudaErrorSystemNotReady: wait"), "^the GPU does not answer .cudaErrorSystemNotReady: wait"),
        (machine(nvrtc='no "libnvrtc.so.13":\nNo such file'), f"NVRTC does not load .no .* No such file.; {INSTALL}"),
        (machine(), "^$"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_with_the_way_to_get_it(
    cupy: ModuleType, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    found = cuda.missing()
    assert re.search(message, found), found
    assert "\n" not in found


def test_without_cupy_the_driver_is_looked_for_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    libraries: list[str] = []
    with monkeypatch.context() as there:
        there.setattr(ctypes, "CDLL", libraries.append)
        there.setattr(sys, "path", [])
        assert re.match(f"CuPy is not installed; {INSTALL}", cuda.missing())
    assert libraries == ["nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"]
    with monkeypatch.context() as absent:
        absent.setattr(ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError(f"{name}: cannot open")))
        absent.setattr(sys, "path", [])
        found = cuda.missing()
    assert re.match(rf"there is no NVIDIA driver; install one .*\. CuPy is not installed either; {INSTALL}", found)


def test_a_cupy_that_does_not_load_and_gpus_that_are_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    for error in (
        "ImportError('libcudart.so.13: no such file')",
        "ModuleNotFoundError('no fastrlock', name='fastrlock')",
    ):
        (tmp_path / "cupy.py").write_text(f"raise {error}\n")
        importlib.invalidate_caches()
        assert re.search(f"^CuPy does not load .(libcudart|no fastrlock).*; {INSTALL}", cuda.missing())
    monkeypatch.setitem(sys.modules, "cupy", machine(devices=0))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert "finds no GPU (CUDA_VISIBLE_DEVICES='7' hides those" in cuda.missing()


def test_the_device_with_its_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", machine())
    assert cuda.device() == "GeForce 9999 (compute capability 9.1) through CuPy 14.2.0 and NVRTC 13.2"


# ---- sources --------------------------------------------------------------------------------


def test_a_source_holds_each_file_that_it_includes_once() -> None:
    """CuPy would not see that an included file has changed."""
    text = _cuda._source("cross_entropy.cu")
    assert "#include" not in text and "#pragma once" not in text and text.isascii()
    for phrase in ("struct alignas(16) Pack", "__device__ real exponential(", "struct Row {", "struct Dense {"):
        assert text.count(phrase) == 1


def test_constants_that_stand_in_python_and_in_cuda() -> None:
    for name, family in (
        ("THREADS", "reduce"),
        ("PIECE", "reduce"),
        ("DEEP", "reduce"),
        ("SHORT", "embedding"),
        ("PIECES", "embedding"),
        ("FEW", "embedding"),
        ("BITS", "embedding"),
        ("BATCH", "embedding"),
    ):
        assert re.search(
            rf"constexpr (?:int|i64) {name} = {getattr(cuda, name, None) or getattr(_cuda, name)};",
            _cuda._source(f"{family}.cu"),
        ), name
    rounds = re.search(r"ROUNDS = (\d+);\nconstexpr int TILE = THREADS \* ROUNDS;", _cuda._source("embedding.cu"))
    assert rounds and cuda.THREADS * int(rounds[1]) == cuda.TILE


# ---- the sanitizers -------------------------------------------------------------------------

# In a process of their own. float32 alone, since a sanitizer takes long to compile; on two blocks, since the thread
# sanitizer has memory for few threads.
SMALL = """
import numpy as np
from test_cuda_kernels import _cuda, cuda, draw, integers, run
source = _cuda._source
_cuda._source = lambda name: source(name).replace("    STAMP(double, float64)", "")
_cuda.BLOCKS = 2
"""

# Every kernel whose threads share memory.
SHARING = """
x, labels, ids = draw(3, 1100), integers(1100, 3), integers(9, 300)
ids[::2] = 3
run.sum_rows(x), run.sum_columns(draw(2, 300, 40))
run.sum_rows(x)
run.huber_forward(x, 0.5)
run.softmax_forward(x), run.softmax_backward(x, x)
run.log_softmax_forward(x), run.log_softmax_backward(x, x)
run.softmax_cross_entropy_forward(x, x), run.softmax_cross_entropy_backward(x[:, 0], x, x)
run.sparse_cross_entropy_forward(x, labels), run.sparse_cross_entropy_backward(x[:, 0], x, labels)
run.embedding_forward(draw(9, 5), ids), run.embedding_backward(draw(300, 5), ids, 300)
print("all ran")
"""

MISSING_BARRIER = """
float32 = _cuda._source
_cuda._source = lambda name: float32(name).replace("    __syncthreads();  // before someone overwrites of_warp", "")
run.sum_rows(draw(3, 1100))
"""


@stand_in
@pytest.mark.parametrize("which", ["address", "thread"])
def test_the_sanitizers_find_nothing(which: str) -> None:
    done = cuda_on_cpu.sanitized(which, SMALL + SHARING)
    assert done.returncode == 0 and "all ran" in done.stdout, done.stderr[-3000:]


@stand_in
def test_the_thread_sanitizer_sees_a_barrier_that_is_missing() -> None:
    done = cuda_on_cpu.sanitized("thread", SMALL + MISSING_BARRIER)
    assert done.returncode != 0 and "data race" in done.stderr, done.stderr[-3000:]


# ---- the stand-in ---------------------------------------------------------------------------


@stand_in
def test_the_stand_in_is_as_strict_as_cupy(cp: Any) -> None:
    x = cp.asarray(draw(6))
    for mistake in (lambda: np.asarray(x), lambda: x + draw(6), lambda: draw(6) * x, lambda: x.__setitem__(0, draw(1))):
        with pytest.raises(TypeError, match="Implicit conversion|Unsupported type|unsupported operand"):
            mistake()
    with pytest.raises(AttributeError, match="writeable"):
        _ = x.flags.writeable
    with pytest.raises(AssertionError, match="got a strided array"):
        cuda._launch("elementary", "exp_float32", 1, 3, x[::2], cp.empty(3, np.float32))
    with pytest.raises(AssertionError, match="exp_float32 wrote beside an array of shape"):
        cuda._launch("elementary", "exp_float32", 1, 7, cp.asarray(draw(7)), cp.empty(6, np.float32))
    assert np.isnan(cp.empty(3, np.float32).get()).all()


@stand_in
def test_the_stand_in_takes_the_arguments_that_cupy_takes(cp: Any) -> None:
    x = cp.asarray(draw(2, 3))
    for call, argument in (
        (lambda: x.sum(initial=0), "initial"),
        (lambda: x.max(where=True), "where"),
        (lambda: x.any(where=True), "where"),
        (lambda: x.astype(np.float64, casting="safe"), "casting"),
        (lambda: x.clip(0, 1, dtype=np.float64), "dtype"),
        (lambda: x.transpose(axes=(1, 0)), "axes"),
    ):
        with pytest.raises(TypeError, match=f"got an unexpected keyword argument '{argument}'"):
            call()
    with pytest.raises(ValueError, match="must set either max or min"):
        x.clip(None, None)
    assert x.argmax(1, keepdims=True).shape == (2, 1) and x.sum(axis=0, dtype=np.float64, keepdims=True).size == 3


@stand_in
def test_the_stand_in_captures_no_masked_assignment(cp: Any) -> None:
    """CuPy reads on the host in how many places a mask is true. An array of indices, and a slice, it need not count."""
    x, mask, places = cp.zeros(4), cp.asarray(np.array([True, False, True, False])), cp.asarray(np.array([1, -1]))
    stream = cp.cuda.Stream(non_blocking=True)
    stream.begin_capture()
    with pytest.raises(RuntimeError, match="cudaErrorStreamCaptureUnsupported: count of"):
        x[mask] = 1.0
    x[places] = 2.0
    x[:1] = 3.0
    stream.end_capture().launch()
    assert x.tolist() == [3, 2, 0, 2]


@pytest.mark.skipif(not cupy_stand_in.FLUSHES and not on_device.ON_GPU, reason="this processor keeps denormal numbers")
def test_denormal_numbers_of_float32_count_as_0_in_arithmetic_alone() -> None:
    x = np.array([1e-40, -1e-40, 1e-37], np.float32)
    np.testing.assert_array_equal(run.dropout(x, 0.0, 0, 0), [0, 0, x[2]])
    np.testing.assert_array_equal(run.tanh(x), x)
    np.testing.assert_array_equal(run.relu_forward(x), [x[0], 0, x[2]])
    np.testing.assert_array_equal(run.relu_backward(np.ones_like(x), x), [1, 0, 1])
    assert run.exp(np.array([-90.0], np.float32)) == np.exp(np.float32(-90))
    np.testing.assert_array_equal(run.dropout(np.array([1e-310]), 0.0, 0, 0), [1e-310])
