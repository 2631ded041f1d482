"""The product of matrices, held to NumPy in float64 within the bound that the sum's length allows."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl as md
from minidl.kernels import reference

cpu = pytest.importorskip("minidl.kernels.cpu", exc_type=ImportError)

DTYPES = (np.float32, np.float64)


def exact_and_bound(a, b):
    """The product in a wider type, and (k + 1) ε |a| |b|: a sum of k products in any order is closer than that."""
    wide = np.float64 if a.dtype == np.float32 else np.longdouble
    sizes = np.matmul(np.abs(a).astype(np.float64), np.abs(b).astype(np.float64))
    return np.matmul(a.astype(wide), b.astype(wide)), (a.shape[-1] + 1) * np.finfo(a.dtype).eps * sizes


def assert_product(a, b, exact, bound):
    before = a.copy(), b.copy()
    c = cpu.matmul(a, b)
    assert c.dtype == a.dtype and c.flags.c_contiguous and c.flags.writeable
    assert c.shape == exact.shape
    assert (np.abs(c - exact) <= bound).all()
    assert np.array_equal(a, before[0]) and np.array_equal(b, before[1])


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def transposed(a):
    return np.ascontiguousarray(a.T).T


def every_other(a):
    wide = np.full((2 * a.shape[0], 3 * a.shape[1]), np.nan, a.dtype)
    wide[::2, ::3] = a
    return wide[::2, ::3]


def backwards(a):
    return np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1]


def in_a_corner(a):
    wide = np.full((a.shape[0] + 3, a.shape[1] + 5), np.nan, a.dtype)
    wide[2:-1, 1:-4] = a
    return wide[2:-1, 1:-4]


LAYOUTS = (np.ascontiguousarray, transposed, every_other, backwards, in_a_corner)

# (M, K, N): single numbers, rows and columns, sizes around the vectors and register blocks, the runs of k, the tiles
SHAPES = [
    (1, 1, 1), (1, 300, 1), (1, 40, 77), (1, 513, 200), (300, 33, 1), (5, 7, 3), (6, 64, 64), (7, 65, 65), (13, 31, 17),
    (18, 129, 127), (64, 300, 48), (33, 1, 95), (400, 20, 30), (30, 20, 700), (97, 1030, 130), (900, 1300, 9),
    (3, 6, 2048), (6, 12, 1100), (5, 40, 1024), (1000, 3, 1), (90, 1, 96), (90, 64, 1), (300, 1, 1), (1, 1, 300),
    (1100, 5, 1000),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_and_layouts(dtype, shape):
    m, k, n = shape
    a, b = normal(m, k, dtype=dtype), normal(k, n, dtype=dtype, seed=1)
    truth = exact_and_bound(a, b)
    for layout_a, layout_b in itertools.product(LAYOUTS, LAYOUTS):
        assert_product(layout_a(a), layout_b(b), *truth)


@settings(max_examples=80, deadline=None)
@given(
    dtype=st.sampled_from(DTYPES),
    size=st.tuples(*[st.integers(0, 70)] * 3),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_and_layout(dtype, size, layouts, seed):
    m, k, n = size
    a, b = normal(m, k, dtype=dtype, seed=seed), normal(k, n, dtype=dtype, seed=seed + 1)
    assert_product(layouts[0](a), layouts[1](b), *exact_and_bound(a, b))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shapes",
    [
        ((3, 0), (0, 4)),
        ((0, 3), (3, 4)),
        ((3, 4), (4, 0)),
        ((2, 0, 3), (3, 4)),
        ((2, 3, 0), (2, 0, 4)),
        ((2, 3, 0), (0, 4)),
    ],
)
def test_an_empty_sum_is_zero(dtype, shapes):
    c = cpu.matmul(np.zeros(shapes[0], dtype), np.zeros(shapes[1], dtype))
    assert c.dtype == dtype and c.shape == np.matmul(np.zeros(shapes[0]), np.zeros(shapes[1])).shape and not c.any()


# fmt: off
STACKS = [
    ((4, 5, 6), (6, 7)), ((2, 3, 5, 6), (6, 7)), ((5, 6), (3, 6, 7)), ((3, 5, 6), (3, 6, 7)), ((1, 5, 6), (3, 6, 7)),
    ((2, 1, 5, 6), (3, 6, 7)), ((2, 3, 5, 6), (2, 1, 6, 7)), ((0, 5, 6), (6, 7)), ((0, 5, 6), (0, 6, 7)),
]
# fmt: on


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shapes", STACKS)
def test_stacks_broadcast(dtype, shapes):
    a, b = normal(*shapes[0], dtype=dtype), normal(*shapes[1], dtype=dtype, seed=1)
    truth = exact_and_bound(a, b)
    assert_product(a, b, *truth)
    assert_product(a, np.ascontiguousarray(b.swapaxes(-1, -2)).swapaxes(-1, -2), *truth)
    assert_product(np.ascontiguousarray(np.moveaxis(a, 0, -1)).transpose(-1, *range(a.ndim - 1)), b, *truth)
    assert_product(a[::-1].copy()[::-1], b, *truth)


def test_a_view_that_repeats_a_row():
    a, b = np.broadcast_to(normal(1, 40), (30, 40)), np.broadcast_to(normal(40, 1), (40, 20))
    assert_product(a, b, *exact_and_bound(a, b))


def test_the_stride_of_an_axis_of_one_means_nothing():
    record = np.ones(1, dtype=[("x", "f4", 3), ("y", "u1")])["x"]
    stack = np.lib.stride_tricks.as_strided(normal(12, 1, dtype=np.float32), (2, 1, 3), (12, 6, 4))
    b = normal(3, 2, dtype=np.float32, seed=1)
    assert_product(record, b, *exact_and_bound(record, b))
    assert_product(stack, b, *exact_and_bound(stack, b))
    assert np.array_equal(cpu.affine_forward(record, b, b[0]), cpu.affine_forward(record.copy(), b, b[0]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 6, 700])
def test_an_entry_does_not_depend_on_the_other_rows_and_columns(dtype, k):
    a, b = normal(70, k, dtype=dtype), normal(k, 150, dtype=dtype, seed=1)
    c = cpu.matmul(a, b)
    for rows, columns in ((slice(0, 1), slice(None)), (slice(11, 60), slice(64, 99)), (slice(None), slice(140, 150))):
        assert np.array_equal(cpu.matmul(a[rows], b[:, columns]), c[rows, columns])
    assert np.array_equal(cpu.matmul(transposed(a), transposed(b)), c)
    for few in (2, 5, 9, 16, 17, 30, 35, 48, 49):  # which go other ways, by their numbers and by what is dense
        for lay_a, lay_b in itertools.product((np.ascontiguousarray, transposed), repeat=2):
            if few > 8 or lay_b is not transposed or k < 700 or (few > 4 and lay_a is transposed):
                assert np.array_equal(cpu.matmul(lay_a(a[:few]), lay_b(b)), c[:few])
            if few > 8 or lay_a is transposed or (few > 4 and lay_b is not transposed):
                assert np.array_equal(cpu.matmul(lay_a(a), lay_b(b[:, :few])), c[:, :few])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("k", [1, 7, 31, 64, 700])
def test_an_entry_of_few_columns_does_not_depend_on_the_other_rows_and_on_strides(dtype, n, k):
    """Its sum may run in lanes and have bits of its own; the same for any company and layout but dense columns of a."""
    a, b = normal(70, k, dtype=dtype), normal(k, n, dtype=dtype, seed=1)
    c = cpu.matmul(a, b)
    assert np.array_equal(cpu.affine_forward(a, b, b[0]), c + b[0])
    for rows in (slice(0, 1), slice(11, 60), *(slice(20, 20 + rows) for rows in range(2, 9))):
        assert np.array_equal(cpu.matmul(a[rows], b), c[rows])
    for layout_a, layout_b in itertools.product(LAYOUTS, LAYOUTS):
        if layout_a is not transposed:
            assert np.array_equal(cpu.matmul(layout_a(a), layout_b(b)), c)
            if layout_b is not transposed or k >= 64:  # a lone row that meets short dense columns has others
                assert np.array_equal(cpu.matmul(layout_a(a)[:1], layout_b(b)), c[:1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [5, 6, 7, 8])
@pytest.mark.parametrize("k", [31, 64, 700])
def test_an_entry_of_some_more_columns_does_not_depend_on_the_other_rows(dtype, n, k):
    """Of so many columns those that are dense and long may have bits of their own."""
    a, b = normal(70, k, dtype=dtype), normal(k, n, dtype=dtype, seed=1)
    for layout_a, layout_b in itertools.product((np.ascontiguousarray, every_other), LAYOUTS):
        c = cpu.matmul(a, layout_b(b))
        least = 5 if k < 700 and layout_b is transposed else 1  # few rows that meet short ones have others
        for rows in (slice(11, 60), *(slice(20, 20 + rows) for rows in range(least, 9))):
            assert np.array_equal(cpu.matmul(layout_a(a)[rows], layout_b(b)), c[rows])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [2, 7, 31, 64, 700])
def test_one_column_times_dense_columns_is_as_any_column(dtype, k):
    """The lanes run along the columns, where the numbers lie, and each sum in the order of k."""
    a, b = normal(70, k, dtype=dtype), normal(k, 9, dtype=dtype, seed=1)
    c = cpu.matmul(a, b)[:, :1]
    for rows, layout_b in itertools.product((slice(None), slice(11, 60), slice(3, 5)), LAYOUTS):
        assert np.array_equal(cpu.matmul(transposed(a)[rows], layout_b(b)[:, :1]), c[rows])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 7, 31, 64, 700])
def test_one_row_times_dense_columns_is_one_column_turned(dtype, k):
    """For a lone row the lanes may run along k, too, and the columns are read where they are."""
    a, b = normal(1, k, dtype=dtype), normal(k, 70, dtype=dtype, seed=1)
    assert_turned(a, b, LAYOUTS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "k"), [(2, 65), (3, 65), (4, 65), (4, 700), (5, 257), (6, 257), (7, 300), (8, 700)])
def test_few_rows_times_long_dense_columns_are_few_columns_turned(dtype, rows, k):
    a, b = normal(rows, k, dtype=dtype), normal(k, 70, dtype=dtype, seed=1)
    assert_turned(a, b, LAYOUTS if rows <= 4 else (np.ascontiguousarray, in_a_corner))


def assert_turned(a, b, layouts):
    c = cpu.matmul(a, transposed(b))
    assert np.array_equal(c, cpu.matmul(transposed(b).T, a.T).T)
    for layout_a in layouts:
        assert np.array_equal(cpu.matmul(layout_a(a), transposed(b)[:, 11:60]), c[:, 11:60])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("k", "n"), [(64, 1), (70, 1), (64, 3), (70, 4), (64, 7), (70, 20), (5, 70)])
def test_a_matrix_or_a_product_beyond_the_caches(dtype, k, n):
    """Their rows are fetched ahead; the last of them, behind which there are none, too."""
    a, b = normal(35_003, k, dtype=dtype), normal(k, n, dtype=dtype, seed=1)
    for layout in (np.ascontiguousarray, transposed):
        c = cpu.matmul(a, layout(b))
        some = 9 if layout is transposed and n > 8 else 2  # fewer that meet long dense columns have other bits
        for rows in (slice(0, 300), slice(17_001, 17_001 + some), slice(34_800, None)):
            assert np.array_equal(c[rows], cpu.matmul(a[rows], layout(b)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 5, 8, 13, 37])
@pytest.mark.parametrize("k", [16, 96, 208])
def test_an_entry_does_not_depend_on_where_a_matrix_begins(dtype, rows, k):
    """Tiles of dense columns begin where lines of the cache do: all places that numbers can have within one."""
    a, b = normal(rows, k, dtype=dtype), normal(k, 40, dtype=dtype, seed=1)
    c = cpu.matmul(a, transposed(b))
    memory = np.full(40 * k + 32, np.nan, dtype)
    for first in range(32):
        moved = memory[first : first + 40 * k].reshape(40, k)
        moved[:] = b.T
        assert np.array_equal(cpu.matmul(a, moved.T), c), first
        moved[:] = np.nan


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_nan_or_infinity_reaches_its_row_and_no_other(value):
    a, b = normal(9, 20), normal(20, 30)
    a[4, 7] = value
    finite = np.isfinite(cpu.matmul(a, b))
    assert not finite[4].any() and finite[[0, 1, 2, 3, 5, 6, 7, 8]].all()


def test_denormals_are_kept():
    small = np.full((300, 300), np.finfo(np.float32).smallest_subnormal * 3)
    assert np.array_equal(cpu.matmul(small, np.eye(300, dtype=np.float32)), small)


@pytest.fixture
def _threads_restored():
    before = md.get_num_threads()
    yield
    md.set_num_threads(before)


@pytest.mark.usefixtures("_threads_restored")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stack", [(), (50,), (3,)])
@pytest.mark.parametrize(
    "shape",
    [(150, 600, 210), (2, 600, 1500), (1500, 600, 2), (30, 20, 25), (71, 600, 163), (1100, 5, 1000), (9000, 60, 1)],
)
def test_threads_change_no_bit(dtype, stack, shape):
    m, k, n = shape
    a, b = normal(*stack, m, k, dtype=dtype), normal(*stack, k, n, dtype=dtype, seed=1)
    results = on_threads(a, b)
    for result in results[1:]:
        assert np.array_equal(result, results[0])
    for index in np.ndindex(*stack):
        assert np.array_equal(cpu.matmul(a[index], b[index]), results[0][index])


def on_threads(a, b):
    """The product on one thread and on more"""
    results = []
    for threads in (1, 2, 3, 8):
        md.set_num_threads(threads)
        results.append(cpu.matmul(a, b))
    return results


@pytest.mark.usefixtures("_threads_restored")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lay_b", [np.ascontiguousarray, transposed])
@pytest.mark.parametrize("lay_a", [np.ascontiguousarray, transposed])
@pytest.mark.parametrize("shape", [(1500, 600, 20), (1500, 600, 1), (700, 600, 57), (12, 600, 1500), (60, 600, 113)])
def test_threads_change_no_bit_of_what_is_thin(dtype, lay_a, lay_b, shape):
    m, k, n = shape
    results = on_threads(lay_a(normal(m, k, dtype=dtype)), lay_b(normal(k, n, dtype=dtype, seed=1)))
    for result in results[1:]:
        assert np.array_equal(result, results[0])


@pytest.mark.parametrize("isa", [isa for isa in cpu.available_isas() if isa != cpu.isa()])
def test_the_other_instruction_sets(isa):
    """The tests of shapes, stacks and threads once more, on each one that the machine has."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    chosen = ["-k", "shapes_and_layouts or stacks or threads or rows or one_column_times"]
    done = subprocess.run(command + chosen, env={**os.environ, "MINIDL_ISA": isa}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


AT_THE_END = """
import ctypes, itertools, mmap
import numpy as np
from minidl.kernels import cpu

def at_the_end(a):  # of a page, behind which there is one that must not be read
    behind = -(-a.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, behind + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + behind), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    b = np.frombuffer(memory, a.dtype, a.size, behind - a.nbytes).reshape(a.shape)
    b[...] = a
    return b

rng = np.random.default_rng(0)
sizes = [(1, 40, 77), (3, 5, 7), (8, 100, 3), (7, 203, 6), (9, 71, 100), (20, 33, 20), (40, 97, 30), (50, 33, 1)]
sizes += [(70, 65, 90), (90, 50, 20)]
for (m, k, n), dtype in itertools.product(sizes, (np.float32, np.float64)):
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    both = [(at_the_end(x), at_the_end(x.T).T) for x in (a, b)]
    for last_a, last_b in itertools.product(*both):
        same_a = last_a.copy("K") if n <= 8 else a  # of few columns the layout of a tells the order of the sum
        assert np.array_equal(cpu.matmul(last_a, last_b), cpu.matmul(same_a, last_b.copy("K"))), (m, k, n, dtype)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected in Linux's way")
@pytest.mark.parametrize("isa", cpu.available_isas())
def test_nothing_behind_a_matrix_is_read(isa):
    environment = {**os.environ, "MINIDL_ISA": isa}
    done = subprocess.run([sys.executable, "-c", AT_THE_END], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


NO_COPIES = """
import pathlib, resource, sys
import numpy as np
from minidl.kernels import cpu

*stack, m, n = map(int, sys.argv[1:])
rows = np.arange(m) + 0.0 if n > 8 else np.arange(0, m, 0.5)[::2]  # dense in no way, or few columns need no copies
a = np.broadcast_to(rows[:, None], (*stack, m, 400))  # with rows of one number
b = np.ones((*stack, 400, n))  # packed, it takes less than the copies of a
expected = 400 * np.arange(m)[:, None] * np.ones((*stack, 1, n))
cpu.matmul(np.ones((40, 40)), np.ones((40, 40)))
room = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
for extra in range(0, 16 << 20, 1 << 16):
    resource.setrlimit(resource.RLIMIT_AS, (room + extra, resource.RLIM_INFINITY))
    try:
        c = cpu.matmul(a, b)
    except MemoryError:
        continue
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert np.array_equal(c, expected), extra
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert np.array_equal(c, expected)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("rows", [["3000"], ["40", "300"]])
@pytest.mark.parametrize("columns", ["40", "3"])
def test_without_memory_for_its_copies_a_product_is_refused_or_right(threads, rows, columns):
    environment = {**os.environ, "MINIDL_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", NO_COPIES, *rows, columns], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.zeros(3), np.zeros((3, 2))),
        (np.zeros((2, 3)), np.zeros(3)),
        (np.zeros((2, 3)), np.zeros((4, 2))),
        (np.zeros((2, 3)), np.zeros((3, 2), np.float32)),
        (np.zeros((2, 3), int), np.zeros((3, 2), int)),
        (np.zeros((2, 4, 3)), np.zeros((3, 3, 2))),
        (np.zeros((2, 4, 3), np.float16), np.zeros((3, 3, 2), np.float16)),
        ([[1.0]], np.zeros((1, 1))),
        (np.zeros((2, 2)), np.zeros((2, 2), "M8[s]")),
        (np.zeros((2, 2)), [[1.0, 2.0], [3.0, 4.0]]),
    ],
)
def test_bad_input_gets_the_error_of_the_reference(a, b):
    messages = []
    for module in (reference, cpu):
        with pytest.raises((TypeError, ValueError)) as caught:
            module.matmul(a, b)
        messages.append((caught.type, str(caught.value)))
    assert messages[0] == messages[1]
