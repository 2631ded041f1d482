"""How the LSTM runs on a GPU: the forms of its kernels, on the GPUs that want them, and that no chance is in them.

What an LSTM computes is held in test_lstm_kernel.py, for `cuda` too.
"""

from __future__ import annotations

import dataclasses
import shutil
from typing import Any

import cuda_on_cpu
import cupy_stand_in
import numpy as np
import on_device
import pytest
from cases import naming
from cupy_stand_in import GPU
from hypothesis import given
from hypothesis import strategies as st
from test_lstm_kernel import INPUTS, OUTPUTS, as_float64, assert_close, assert_same_bits, make, run

import minidl
from minidl.kernels import _cuda_lstm, cuda, reference
from minidl.kernels._cuda_lstm import DEPTH, WARP, WARPS, Form

pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="no g++ to compile the kernels for the processor")

H100, A100, T4 = GPU(90, 132, 227 << 10), GPU(80, 108, 163 << 10), GPU(75, 40, 64 << 10)
FEW = GPU(80, 4, 163 << 10)  # so few processors that groups take their rows in turns
DTYPES = (np.float32, np.float64)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(autouse=True)
def _on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a GPU too: it is of one kind only."""
    monkeypatch.setattr(on_device, "ON_GPU", False)


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run what follows as on this GPU."""

    def change(gpu: GPU) -> None:
        monkeypatch.setattr(cupy_stand_in, "gpu", gpu)

    return change


def form(gpu: GPU, batch: int, units: int, dtype: Any = np.float32, forward: bool = True) -> Form | None:
    mine = _cuda_lstm.GPU(gpu.id, gpu.processors, gpu.compute_capability >= 90, gpu.shared)
    return Form.of(mine, batch, units, np.dtype(dtype), backward=not forward)


def check(shape: tuple[int, ...], dtype: Any, mask: Any = None, reverse: bool = False, gradients: Any = None) -> Any:
    """The results, once they are found right."""
    inputs, drawn, _ = make(shape, dtype, seed=sum(shape))
    gradients = drawn if gradients is None else tuple(g if f else None for g, f in zip(drawn, gradients, strict=True))
    outputs, slopes = run(on_device.kernels, inputs, gradients, mask, reverse)
    expected = run(reference, as_float64(inputs), as_float64(gradients), mask, reverse)
    assert_close(outputs, expected[0], dtype, OUTPUTS)
    assert_close(slopes, expected[1], dtype, INPUTS)
    return outputs + slopes


# ---- which form ----------------------------------------------------------------------------


def test_short_states_are_a_cluster_and_longer_ones_more_blocks() -> None:
    """The document's model, and the sizes at which one form gives way to the next."""
    one, document, longest = form(H100, 32, 32), form(H100, 32, 128), form(H100, 32, 256)
    assert one and (one.blocks, one.warps, one.rows, one.groups) == (1, 2, 1, 32)
    assert document and document.cluster and (document.blocks, document.warps, document.groups) == (4, 8, 32)
    assert (
        longest and longest.cluster and (longest.blocks, longest.warps, longest.rows, longest.groups) == (8, 16, 3, 11)
    )
    wide, wider = form(H100, 32, 512), form(H100, 32, 1024)
    assert wide and not wide.cluster and (wide.units, wide.blocks, wide.groups) == (16, 32, 4)
    assert wider and not wider.cluster and (wider.units, wider.blocks, wider.groups) == (8, 128, 1)
    assert form(H100, 32, 1025) is None and form(H100, 32, 513, np.float64) is None
    assert form(H100, 256, 512) and form(H100, 256, 1024) is None  # so many rows that large products take less time
    assert form(A100, 32, 128) and form(A100, 32, 864) and form(A100, 32, 872) is None


def test_clusters_are_on_the_gpu_at_once() -> None:
    """One more than there is room for would start when the others are done. Small blocks share a processor."""
    for units, most in ((256, 15), (224, 15), (192, 17), (160, 22), (128, 62), (96, 117), (64, 264)):
        for batch in (1, 32, 100, 200):
            chosen = form(H100, batch, units)
            assert chosen and chosen.cluster and chosen.groups <= most, (units, batch)


@given(
    gpu=st.builds(
        GPU, st.sampled_from([75, 80, 90, 120]), st.integers(1, 200), st.integers(48, 227).map(lambda k: k << 10)
    ),
    batch=st.integers(1, 3000),
    units=st.integers(1, 1100),
    dtype=st.sampled_from(DTYPES),
    forward=st.booleans(),
)
def test_every_form_fits(gpu: GPU, batch: int, units: int, dtype: Any, forward: bool) -> None:
    chosen = form(gpu, batch, units, dtype, forward)
    if chosen is None:
        return
    threads = WARP * chosen.warps
    assert 1 <= chosen.warps <= WARPS and chosen.shared <= gpu.shared
    assert (chosen.blocks - 1) * chosen.units < units <= chosen.blocks * chosen.units  # no block is idle
    assert units <= threads // chosen.units * DEPTH[chosen.dtype]  # every state has a thread that multiplies it
    assert 1 <= chosen.rows <= threads // chosen.units  # every state of a row has an owner
    if chosen.cluster:
        assert gpu.compute_capability >= 90 and chosen.blocks <= 8
    if chosen.cluster or chosen.blocks == 1:
        assert chosen.groups * chosen.rows >= batch
    else:
        assert chosen.groups * chosen.blocks <= gpu.processors


@pytest.mark.parametrize(
    ("gpu", "units", "kind", "launches"),
    [
        (H100, 32, "persistent", 1),
        (H100, 40, "persistent", 1),
        (T4, 40, "wide", 1),
        (H100, 300, "wide", 1),
        (GPU(90, 1, 227 << 10), 40, "step", 3),
    ],
)
def test_a_sequence_is_one_launch_and_a_state_that_does_not_fit_one_a_step(
    gpu: GPU, units: int, kind: str, launches: int, on: Any
) -> None:
    on(gpu)
    cupy_stand_in.launched.clear()
    check((2, 3, 2, units), np.float32)
    expected = [f"{kind}_forward"] * launches + [f"{kind}_backward"] * launches
    assert cupy_stand_in.launched == [*expected, "sum_columns_float32"]


# ---- every form computes the same -----------------------------------------------------------

MASKS = {
    "none": None,
    "left": [[0, 1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]],
    "right": [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]],
    "holes": [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1]],
    "nothing": [[0, 0, 0, 0], [1, 1, 0, 1], [0, 0, 0, 0]],
}
# In a block, in a cluster, in clusters of many, in global memory, in turns, and step by step.
FORMS = [(H100, 5), (H100, 33), (H100, 130), (A100, 70), (H100, 260), (FEW, 70), (GPU(90, 1, 48 << 10), 70)]


# time reversed or not, and which of dy, dh and dc there are
CALLS = [(False, (1, 1, 1)), (True, (1, 0, 0)), (False, (0, 1, 0)), (True, (0, 0, 1)), (False, (0, 0, 0))]


@every_dtype
@pytest.mark.parametrize(("gpu", "units"), FORMS)
def test_masks_directions_and_gradients_that_are_none(gpu: GPU, units: int, dtype: Any, on: Any) -> None:
    on(gpu)
    for (name, mask), (reverse, there) in zip(MASKS.items(), CALLS, strict=True):
        with naming(f"mask {name}"):
            check((3, 4, 2, units), dtype, None if mask is None else np.array(mask, bool), reverse, there)


@pytest.mark.parametrize("units", [520, 521])
def test_eight_units_a_block(units: int, on: Any) -> None:
    """Two lanes share a slope's sums then, and keep two each; of an odd number of units the last pair is half one."""
    on(H100)
    chosen = form(H100, 3, units, forward=False)
    assert chosen and chosen.units == 8
    check((3, 2, 2, units), np.float32, np.array([[1, 1], [0, 1], [1, 0]], bool))


@every_dtype
@pytest.mark.parametrize("shape", [(21, 3, 2, 40), (23, 2, 3, 33), (9, 2, 3, 70), (17, 3, 2, 100)])
def test_more_rows_than_there_is_room_for(shape: tuple[int, ...], dtype: Any, on: Any) -> None:
    """Rows in turns, in uneven numbers, give the bits that they give alone."""
    mask = np.random.default_rng(0).random(shape[:2]) < 0.7
    alone = check(shape, dtype, mask)
    for gpu in (FEW, GPU(90, 4, 227 << 10)):
        chosen = form(gpu, *shape[::3], dtype)
        assert chosen and chosen.rows > 1
        on(gpu)
        assert_same_bits(check(shape, dtype, mask), alone)


@pytest.mark.parametrize(
    ("gpu", "shape", "units_of_a_block", "rows"),
    [
        (GPU(80, 7, 163 << 10), (27, 4, 2, 220), 32, 14),  # 8 and 6, then 6 and 7
        (GPU(80, 7, 163 << 10), (22, 3, 2, 200), 32, 11),  # too few for two shifts
        (GPU(90, 17, 227 << 10), (23, 3, 2, 260), 16, 12),  # 6 and 6, then 11 in one shift
        (GPU(90, 65, 227 << 10), (9, 3, 2, 515), 8, 9),  # 4 and 5: the second row of four shares a warp with the third
    ],
)
def test_rows_in_two_shifts(gpu: GPU, shape: tuple[int, ...], units_of_a_block: int, rows: int, on: Any) -> None:
    """Of rows that are many, few, odd, and in one warp with others; the bits are those of few rows in one shift."""
    mask = np.random.default_rng(0).random(shape[:2]) < 0.7
    in_one = check(shape, np.float32, mask)
    chosen = form(gpu, shape[0], shape[3])
    assert chosen and not chosen.cluster and (chosen.units, chosen.rows) == (units_of_a_block, rows)
    on(gpu)
    assert_same_bits(check(shape, np.float32, mask), in_one)


@every_dtype
@pytest.mark.parametrize("units", [20, 70])
def test_every_gpu_and_every_order_of_threads_gives_the_same_bits(
    units: int, dtype: Any, on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that hangs on who comes first lacks a barrier; one that hangs on the GPU could not be repeated."""
    shape = (5, 4, 3, units)
    mask = np.random.default_rng(1).random(shape[:2]) < 0.7
    expected = check(shape, dtype, mask)
    for gpu in (H100, A100, T4, FEW):
        if form(gpu, shape[0], units, dtype) and form(gpu, shape[0], units, dtype, forward=False):
            on(gpu)
            assert_same_bits(check(shape, dtype, mask), expected)
            monkeypatch.setattr(cupy_stand_in, "reverse", True)
            assert_same_bits(check(shape, dtype, mask), expected)
            monkeypatch.setattr(cupy_stand_in, "reverse", False)


@pytest.mark.parametrize("processors", [4, 5])
def test_a_group_of_which_blocks_are_missing_leaves_its_rows_to_the_others(
    processors: int, on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CuPy launches no more blocks than it finds room for, and says so; of two groups of three one is whole then."""
    shape = (5, 3, 2, 70)
    on(GPU(80, processors, 163 << 10))
    expected = check(shape, np.float32)
    of = Form.of

    def one_too_many(*arguments: Any, **options: Any) -> Form:
        chosen = of(*arguments, **options)
        assert chosen and chosen.wide and (chosen.blocks, chosen.groups) == (3, 1)
        return dataclasses.replace(chosen, groups=2, rows=3)

    monkeypatch.setattr(Form, "of", one_too_many)
    monkeypatch.setattr(_cuda_lstm.Form.of, "cache_clear", of.cache_clear, raising=False)  # which the stand-in calls
    with pytest.warns(UserWarning, match=f"will be reduced from 6 to {processors}"):
        assert_same_bits(check(shape, np.float32), expected)


def test_the_host_never_waits(on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a call does asks the GPU for a value, whichever form runs."""
    inputs, gradients, mask = make((3, 4, 2, 40), np.float32, masked=True)
    for gpu in (H100, A100, GPU(90, 1, 48 << 10)):
        on(gpu)
        with on_device.cupy() as cp, monkeypatch.context() as patched:
            x, slopes, valid = ([cp.asarray(a) for a in arrays] for arrays in (inputs, gradients, [mask]))
            for asking in ("get", "__bool__", "__int__", "__float__", "__iter__", "__array__"):
                patched.setattr(cp.ndarray, asking, None)
            *_, cache = cuda.lstm_forward(*x, *valid)
            cuda.lstm_backward(*slopes, *x, *valid, False, cache)


def test_each_gpu_is_asked_for_its_shared_memory(on: Any) -> None:
    """A kernel is loaded on each GPU by itself, and gets little there before it is asked for more."""
    (x, *weights), _, _ = make((27, 2, 2, 220), np.float32)
    with on_device.cupy() as cp:
        given = [cp.asarray(a) for a in (x, *weights)]
        for processors in (7, 8):
            on(GPU(80, processors, 163 << 10))
            chosen = form(cupy_stand_in.gpu, 27, 220)
            assert chosen and chosen.shared > _cuda_lstm.UNASKED
            cuda.lstm_forward(*given)  # the stand-in looks at what it was asked for


# ---- under the sanitizers --------------------------------------------------------------------

SANITIZED = """
import cupy_stand_in, minidl, numpy as np, on_device
from test_cuda_lstm import A100, H100, GPU, check

on_device.ON_GPU = False
mask = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]], bool)
for gpu, units in ((H100, 5), (H100, 40), (A100, 40), (GPU(80, 2, 163 << 10), 40), (GPU(90, 1, 48 << 10), 40)):
    cupy_stand_in.gpu = gpu
    check((4, 3, 2, units), np.float32, mask, True)
cupy_stand_in.gpu = GPU(80, 7, 163 << 10)
check((24, 3, 2, 200), np.float32, np.tile(mask, (6, 1)), True)  # two times twelve rows in two shifts
print("looked at everything of", minidl.__file__)
"""


@pytest.mark.parametrize("which", ["address", "thread"])
def test_the_sanitizers_find_nothing(which: str) -> None:
    done = cuda_on_cpu.sanitized(which, SANITIZED)
    assert done.returncode == 0 and f"looked at everything of {minidl.__file__}" in done.stdout, done.stderr
