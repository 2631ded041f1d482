"""The LSTM kernels, held to the reference, to an LSTM written here, and to PyTorch's derivatives."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading

import numpy as np
import on_device
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl as md
from minidl.kernels import reference

cpu = pytest.importorskip("minidl.kernels.cpu", exc_type=ImportError)

MODULES = {"cpu": cpu, "cuda": on_device.kernels}
modules = pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)

INPUTS = ("x", "h0", "c0", "kernel", "recurrent", "bias")
OUTPUTS = ("y", "h", "c")
DTYPES = (np.float32, np.float64)
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}  # of the largest entry; one LSTM's rounding, not its chaos


def make(shape, dtype=np.float64, seed=0, masked=False):
    """Random inputs (x, h0, c0, kernel, recurrent, bias), output gradients (dy, dh, dc) and a mask or None."""
    batch, time, features, units = shape
    rng = np.random.default_rng(seed)

    def normal(*shape, scale=1.0):
        return (rng.standard_normal(shape) * scale).astype(dtype)

    inputs = (
        normal(batch, time, features),
        normal(batch, units),
        normal(batch, units),
        normal(features, 4 * units, scale=(features + units) ** -0.5),
        normal(units, 4 * units, scale=(features + units) ** -0.5),
        normal(4 * units),
    )
    gradients = normal(batch, time, units), normal(batch, units), normal(batch, units)
    mask = rng.random((batch, time)) < 0.6 if masked else None
    return inputs, gradients, mask


def run(module, inputs, gradients, mask=None, reverse=False):
    """Outputs (y, h, c) and the gradients of all six inputs."""
    *outputs, cache = module.lstm_forward(*inputs, mask, reverse)
    return tuple(outputs), module.lstm_backward(*gradients, *inputs, mask, reverse, cache)


def assert_close(got, expected, dtype, names):
    for name, a, b in zip(names, got, expected, strict=True):
        assert a.dtype == dtype and a.shape == b.shape, name
        allowed = TOLERANCE[dtype] * np.abs(b).max(initial=0)
        worst = np.abs(a.astype(np.float64) - b).max(initial=0)
        assert worst <= allowed, f"{name} is off by {worst:.3g}, allowed {allowed:.3g}"


def assert_same_bits(got, expected):
    for a, b in zip(got, expected, strict=True):
        assert a.tobytes() == b.tobytes()


def as_float64(arrays):
    return tuple(None if a is None else a.astype(np.float64) for a in arrays)


# ---- an outside truth -------------------------------------------------------------------


def plain_lstm(x, h0, c0, kernel, recurrent, bias, mask, reverse):
    """The LSTM of one sample and unit at a time, in whatever type comes in, complex included."""
    batch, time, _ = x.shape
    units = h0.shape[1]
    y = np.zeros((batch, time, units), x.dtype)
    h, c = h0.copy(), c0.copy()
    for b in range(batch):
        output = np.zeros(units, x.dtype)
        for step in range(time):
            t = time - 1 - step if reverse else step
            if mask is None or mask[b, t]:
                before = h[b].copy()
                for u in range(units):
                    columns = [u, units + u, 2 * units + u, 3 * units + u]
                    sums = (x[b, t, :, None] * kernel[:, columns]).sum(0) + (
                        before[:, None] * recurrent[:, columns]
                    ).sum(0)
                    i, f, g, o = sums + bias[columns]
                    i, f, o = (1 / (1 + np.exp(-v)) for v in (i, f, o))
                    c[b, u] = f * c[b, u] + i * np.tanh(g)
                    h[b, u] = o * np.tanh(c[b, u])
                output = h[b].copy()
            y[b, step] = output
    return y, h, c


def complex_step_gradients(inputs, gradients, mask, reverse):
    """d(Σ dy y + Σ dh h + Σ dc c) to every entry of every input: Im f(a + iε) / ε, free of cancellation."""
    slopes = []
    for n, array in enumerate(inputs):
        slope = np.zeros_like(array)
        for entry in np.ndindex(array.shape):
            moved = [a.astype(complex) for a in inputs]
            moved[n][entry] += 1e-30j
            outputs = plain_lstm(*moved, mask, reverse)
            slope[entry] = sum((d * out.imag).sum() for d, out in zip(gradients, outputs, strict=True)) / 1e-30
        slopes.append(slope)
    return tuple(slopes)


@modules
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("masked", "reverse"), list(itertools.product((False, True), repeat=2)))
def test_equals_the_plain_lstm_and_its_complex_step_derivatives(module, dtype, masked, reverse):
    inputs, gradients, mask = make((3, 4, 2, 3), dtype, seed=1, masked=masked)
    truth = as_float64(inputs), as_float64(gradients)
    outputs, slopes = run(module, inputs, gradients, mask, reverse)
    assert_close(outputs, plain_lstm(*truth[0], mask, reverse), dtype, OUTPUTS)
    assert_close(slopes, complex_step_gradients(*truth, mask, reverse), dtype, INPUTS)


def torch_lstm(torch, inputs, mask, reverse):
    x, h, c, kernel, recurrent, bias = inputs
    outputs, output = [], torch.zeros_like(h)
    time = x.shape[1]
    for t in range(time - 1, -1, -1) if reverse else range(time):
        i, f, g, o = (x[:, t] @ kernel + h @ recurrent + bias).chunk(4, 1)
        c_new = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h_new = o.sigmoid() * c_new.tanh()
        valid = torch.ones(len(x), 1, dtype=bool) if mask is None else torch.from_numpy(mask[:, t, None])
        h, c, output = (torch.where(valid, new, old) for new, old in ((h_new, h), (c_new, c), (h_new, output)))
        outputs.append(output)
    return torch.stack(outputs, 1), h, c


@modules
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (5, 9, 7, 3), (32, 20, 64, 128), (7, 6, 130, 33)])
@pytest.mark.parametrize(("masked", "reverse"), [(False, False), (True, False), (True, True)])
def test_equals_autograd_of_pytorch(module, dtype, shape, masked, reverse):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    inputs, gradients, mask = make(shape, dtype, seed=2, masked=masked)
    leaves = [torch.from_numpy(a).requires_grad_() for a in as_float64(inputs)]
    expected = torch_lstm(torch, leaves, mask, reverse)
    torch.autograd.backward(expected, [torch.from_numpy(g) for g in as_float64(gradients)])
    outputs, slopes = run(module, inputs, gradients, mask, reverse)
    assert_close(outputs, [e.detach().numpy() for e in expected], dtype, OUTPUTS)
    assert_close(slopes, [leaf.grad.numpy() for leaf in leaves], dtype, INPUTS)


# ---- against the reference --------------------------------------------------------------


@modules
@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(0, 9), st.integers(0, 7), st.integers(0, 35), st.integers(1, 35)),
    dtype=st.sampled_from(DTYPES),
    given_gradients=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    masked=st.booleans(),
    reverse=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_the_reference(module, shape, dtype, given_gradients, masked, reverse, seed):
    inputs, gradients, mask = make(shape, dtype, seed, masked)
    gradients = tuple(g if given else None for g, given in zip(gradients, given_gradients, strict=True))
    outputs, slopes = run(module, inputs, gradients, mask, reverse)
    expected = run(reference, as_float64(inputs), as_float64(gradients), mask, reverse)
    assert_close(outputs, expected[0], dtype, OUTPUTS)
    assert_close(slopes, expected[1], dtype, INPUTS)


# the sizes that a chunk of steps, a group of units, a register block and a vector do not divide
LARGE = [
    (1, 600, 3, 5),
    (7, 501, 3, 5),
    (33, 40, 20, 48),
    (600, 2, 5, 7),
    (2, 5, 150, 7),
    (3, 4, 1, 130),
    (2, 2, 30, 650),
    (9, 2, 3, 330),
]


@modules
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", LARGE)
def test_equals_the_reference_at_awkward_sizes(module, dtype, shape):
    inputs, gradients, mask = make(shape, dtype, seed=3, masked=True)
    outputs, slopes = run(module, inputs, gradients, mask)
    expected = run(reference, as_float64(inputs), as_float64(gradients), mask)
    assert_close(outputs, expected[0], dtype, OUTPUTS)
    assert_close(slopes, expected[1], dtype, INPUTS)


@modules
def test_many_gradients_of_one_sign_are_added_up_exactly(module):
    """36,000 of them: added one by one in float32, those of the bias would be off by 4e-5."""
    batch, time, features, units = 600, 60, 1, 1
    inputs, gradients, _ = make((batch, time, features, units), np.float32)
    inputs = tuple(np.full_like(a, scale) for a, scale in zip(inputs, (1, 1, 1, 0.1, 0.01, 1), strict=True))
    gradients = tuple(map(np.ones_like, gradients))
    expected = run(reference, as_float64(inputs), as_float64(gradients))
    assert_close(run(module, inputs, gradients)[1], expected[1], np.float32, INPUTS)


# ---- masks ------------------------------------------------------------------------------


@modules
def test_a_fully_masked_row_keeps_its_state_and_outputs_zero(module):
    inputs, gradients, _ = make((3, 5, 4, 6), seed=4)
    mask = np.ones((3, 5), bool)
    mask[1] = False
    (y, h, c), (dx, dh0, dc0, *_) = run(module, inputs, gradients, mask)
    assert not y[1].any() and not dx[1].any()
    assert_same_bits((h[1], c[1]), (inputs[1][1], inputs[2][1]))
    assert_same_bits((dh0[1], dc0[1]), (gradients[1][1], gradients[2][1]))


@modules
@pytest.mark.parametrize("dtype", DTYPES)
def test_without_features_the_sums_start_from_the_bias(module, dtype):
    inputs, gradients, mask = make((3, 4, 0, 5), dtype, seed=6, masked=True)
    outputs, slopes = run(module, inputs, gradients, mask)
    expected = run(reference, as_float64(inputs), as_float64(gradients), mask)
    assert_close(outputs + slopes, expected[0] + expected[1], dtype, OUTPUTS + INPUTS)


@modules
def test_without_units_the_gradient_of_the_inputs_is_zero(module):
    """The memory of dx is used again, and something else was there before."""
    inputs, gradients, _ = make((64, 32, 16, 0), np.float32)
    module.exp(inputs[0])
    cache = module.lstm_forward(*inputs)[3]
    dx = module.lstm_backward(*gradients, *inputs, None, False, cache)[0]
    np.testing.assert_array_equal(dx, np.zeros((64, 32, 16), np.float32))


@pytest.mark.parametrize("value", [1e3, np.nan, np.inf])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", [(4, 6, 3, 5), (2, 300, 5, 7), (2, 3, 7, 200)])
@pytest.mark.parametrize("module", [reference, *MODULES.values()], ids=["reference", *MODULES])
def test_what_lies_under_the_mask_is_never_read(module, shape, reverse, value):
    inputs, gradients, mask = make(shape, seed=5, masked=True)
    (zeros, hidden) = ((np.where(mask[:, :, None], inputs[0], v), *inputs[1:]) for v in (0, value))
    outputs, slopes = run(module, zeros, gradients, mask, reverse)
    outputs_hidden, slopes_hidden = run(module, hidden, gradients, mask, reverse)
    assert np.isfinite(slopes[3]).all()
    assert_same_bits(outputs_hidden + slopes_hidden, outputs + slopes)


@modules
def test_the_output_repeats_the_one_before(module):
    inputs, gradients, _ = make((2, 5, 3, 4), seed=6)
    mask = np.array([[False, True, False, False, True], [True, False, True, True, False]])
    y = run(module, inputs, gradients, mask)[0][0]
    assert not y[0, 0].any()
    for row, step in ((0, 2), (0, 3), (1, 1), (1, 4)):
        assert_same_bits([y[row, step]], [y[row, step - 1]])


# ---- invariances, to the bit ------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_the_batch_do_not_meet(dtype):
    inputs, gradients, mask = make((13, 9, 20, 37), dtype, seed=7, masked=True)
    order = np.random.default_rng(8).permutation(13)[:10]
    moved = tuple(a[order] for a in inputs[:3]) + inputs[3:]
    outputs, slopes = run(cpu, inputs, gradients, mask)
    outputs_moved, slopes_moved = run(cpu, moved, tuple(g[order] for g in gradients), mask[order])
    assert_same_bits(outputs_moved + slopes_moved[:3], [a[order] for a in outputs + slopes[:3]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_have_the_same_bits_in_any_number(dtype):
    """Few rows take other ways through the products than many; 300 units make more than one run of every sum."""
    inputs, gradients, _ = make((13, 3, 20, 300), dtype, seed=15)
    outputs, slopes = run(cpu, inputs, gradients)
    for count in (1, 2, 3, 4, 7):
        few = tuple(a[:count] for a in inputs[:3]) + inputs[3:]
        outputs_few, slopes_few = run(cpu, few, tuple(g[:count] for g in gradients))
        assert_same_bits(outputs_few + slopes_few[:3], [a[:count] for a in outputs + slopes[:3]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_masked_steps_at_the_end_change_nothing(dtype):
    inputs, gradients, _ = make((6, 30, 9, 21), dtype, seed=9)
    mask = np.zeros((6, 30), bool)
    mask[:, :11] = True
    dy = gradients[0].copy()
    dy[:, 11:] = 0
    outputs, slopes = run(cpu, inputs, (dy, *gradients[1:]), mask)
    short = (np.ascontiguousarray(inputs[0][:, :11]), *inputs[1:])
    outputs_short, slopes_short = run(cpu, short, (dy[:, :11], *gradients[1:]))
    assert_same_bits((outputs[0][:, :11], *outputs[1:]), outputs_short)
    assert_same_bits((slopes[0][:, :11], *slopes[1:3]), slopes_short[:3])
    assert not slopes[0][:, 11:].any()
    assert_close(slopes[3:], as_float64(slopes_short[3:]), dtype, INPUTS[3:])


def test_reversed_time_is_the_flipped_sequence():
    inputs, gradients, mask = make((5, 8, 6, 10), seed=10, masked=True)
    outputs, slopes = run(cpu, inputs, gradients, mask, reverse=True)
    flipped = (inputs[0][:, ::-1], *inputs[1:])
    outputs_flipped, slopes_flipped = run(cpu, flipped, gradients, mask[:, ::-1])
    assert_same_bits(outputs, outputs_flipped)
    assert_same_bits((slopes[0], *slopes[1:]), (slopes_flipped[0][:, ::-1], *slopes_flipped[1:]))


# a few units, rows split among the threads, at last with weights of their own; many units and few rows, or a large R,
# and the units are split
SHARED = [(13, 40, 20, 37), (64, 9, 20, 70), (1, 30, 16, 192), (7, 5, 9, 200), (4, 3, 8, 330), (2, 3, 3, 520)]
SHARED += [(41, 100, 20, 37)]


@pytest.fixture
def _threads_restored():
    before = md.get_num_threads()
    yield
    md.set_num_threads(before)


@pytest.mark.usefixtures("_threads_restored")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHARED)
def test_threads_change_no_bit(dtype, shape):
    inputs, gradients, mask = make(shape, dtype, seed=14, masked=True)
    results = []
    for threads in (1, 2, 3, 8):
        md.set_num_threads(threads)
        results.append(run(cpu, inputs, gradients, mask))
    for outputs, slopes in results[1:]:
        assert_same_bits(outputs + slopes, results[0][0] + results[0][1])
    expected = run(reference, as_float64(inputs), as_float64(gradients), mask)
    assert_close(results[0][0] + results[0][1], expected[0] + expected[1], dtype, OUTPUTS + INPUTS)


@pytest.mark.usefixtures("_threads_restored")
@pytest.mark.parametrize("shape", [(41, 100, 20, 37), (7, 40, 9, 200)])
def test_another_python_thread_may_change_their_number_meanwhile(shape):
    inputs, gradients, mask = make(shape, seed=15, masked=True)
    expected = run(cpu, inputs, gradients, mask)
    done = threading.Event()

    def change():
        while not done.is_set():
            for threads in (1, 5, 2, 8):
                md.set_num_threads(threads)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(20):
            got = run(cpu, inputs, gradients, mask)
            assert_same_bits(got[0] + got[1], expected[0] + expected[1])
            assert_same_bits(cpu.lstm_forward(*inputs, mask, False, False)[:3], expected[0])
    finally:
        done.set()
        changing.join()


@pytest.mark.parametrize("isa", [isa for isa in cpu.available_isas() if isa != cpu.isa()])
def test_the_other_instruction_sets(isa):
    """The plain LSTM, the sizes, the threads and the invariances once more, on each one that the machine has."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    chosen = "plain or awkward or threads or meanwhile or kept or rows_of or rows_have or at_the_end or denormals"
    command += ["-k", f"not cuda and ({chosen})"]
    done = subprocess.run(command, env={**os.environ, "MINIDL_ISA": isa}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# ---- memory -----------------------------------------------------------------------------


@modules
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (1, 30, 3, 96), (33, 50, 8, 20), (5, 1, 2, 3), (2, 0, 3, 4)])
def test_outputs_are_the_same_where_nothing_is_kept(module, dtype, shape, threads):
    """Chunk by chunk in the same memory: many chunks, a sequence of one, none, and units shared by threads."""
    before = md.kernels.get_num_threads()
    md.kernels.set_num_threads(threads)
    try:
        for masked, reverse in ((False, False), (True, True)):
            inputs, _, mask = make(shape, dtype, seed=6, masked=masked)
            *kept, cache = module.lstm_forward(*inputs, mask, reverse)
            *outputs, nothing = module.lstm_forward(*inputs, mask, reverse, False)
            assert_same_bits(outputs, kept)
            assert nothing is None and len(cache) == 3
    finally:
        md.kernels.set_num_threads(before)


def test_the_op_keeps_nothing_for_a_backward_that_cannot_come(monkeypatch):
    kept = []
    forward = md.kernels.serving().lstm_forward
    monkeypatch.setattr(md.kernels.serving(), "lstm_forward", lambda *given: kept.append(given[-1]) or forward(*given))
    layer = md.layers.LSTM(3)
    x = md.Tensor(np.ones((2, 4, 5), np.float32))
    layer(x)
    with md.no_grad():
        layer(x)
    layer.trainable = False
    layer(x)
    layer(md.Tensor(x, requires_grad=True))
    assert kept == [True, False, False, True]


@modules
@pytest.mark.parametrize("dtype", DTYPES)
def test_strided_and_read_only_inputs(module, dtype):
    inputs, gradients, mask = make((4, 5, 6, 7), dtype, seed=11, masked=True)

    def strided(a):
        wide = np.zeros(tuple(2 * n for n in a.shape), a.dtype)[(slice(None, None, -2),) * a.ndim]
        wide[...] = a
        wide.flags.writeable = False
        return wide

    expected = run(module, inputs, gradients, mask)
    got = run(module, tuple(map(strided, inputs)), tuple(map(strided, gradients)), strided(mask))
    assert_same_bits(got[0] + got[1], expected[0] + expected[1])


@modules
def test_outputs_may_be_changed_and_backward_repeated(module):
    inputs, gradients, mask = make((4, 5, 6, 7), seed=12, masked=True)
    kept = [a.copy() for a in (*inputs, *gradients)]
    y, h, c, cache = module.lstm_forward(*inputs, mask, False)
    first = module.lstm_backward(*gradients, *inputs, mask, False, cache)
    for a in (y, h, c, *first):
        assert a.flags.c_contiguous and a.flags.writeable
    results = [a.copy() for a in first]
    for a in (y, h, c, *first):
        a[...] = np.nan
    assert_same_bits(module.lstm_backward(*gradients, *inputs, mask, False, cache), results)
    assert_same_bits((*inputs, *gradients), kept)


def test_no_denormals_come_out_and_the_mode_ends_with_the_call():
    tiny = np.finfo(np.float32).tiny
    small = np.full((64, 64), tiny / 4, np.float32)
    inputs, gradients, _ = make((8, 400, 64, 64), np.float32, seed=13)
    kernel, recurrent, bias = (a * np.float32(1e-3) for a in inputs[3:])
    bias[:] = -1.5  # gates of 0.18 that let nothing in: the state falls below 1e-38 within sixty steps
    bias[128:192] = 0
    x = np.zeros_like(inputs[0])
    outputs, slopes = run(cpu, (x, *inputs[1:3], kernel, recurrent, bias), (None, *gradients[1:]))
    for a in outputs + slopes[:3]:
        assert not ((a != 0) & (np.abs(a) < tiny)).any()
    assert_same_bits([cpu.matmul(small, np.eye(64, dtype=np.float32))], [small])


OUT_OF_MEMORY = """
import pathlib, resource
import numpy as np
from minidl.kernels import cpu

units = 600
inputs = [np.ones(shape, np.float32) for shape in
          [(1, 2, units), (1, units), (1, units), (units, 4 * units), (units, 4 * units), (4 * units,)]]
cpu.matmul(np.ones((300, 300)), np.ones((300, 300)))  # the threads are made
enough = [*cpu.lstm_forward(*inputs)]
enough = [*enough[:3], *cpu.lstm_backward(*enough[:3], *inputs, None, False, enough[3])]
room = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
said = []
for extra in range(0, 200, 4):
    resource.setrlimit(resource.RLIMIT_AS, (room + (extra << 20), resource.RLIM_INFINITY))
    try:
        y, h, c, cache = cpu.lstm_forward(*inputs)
        gradients = cpu.lstm_backward(y, h, c, *inputs, None, False, cache)
        got = [y, h, c, *gradients]
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        same = all(a.tobytes() == b.tobytes() for a, b in zip(got, enough, strict=True))
        said.append("done" if same else "something else")
    except MemoryError as error:
        said.append(str(error))
print(*said, sep="\\n")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
def test_no_memory_is_an_error_and_nothing_worse():
    environment = {**os.environ, "MINIDL_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", OUT_OF_MEMORY], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    refused = [line for line in said if line != "done"]
    # for outputs, large ones in blocks or small ones in NumPy's arrays, or for scratch: which one depends on the heap
    assert refused and all(line.startswith(("no memory for ", "Unable to allocate ")) for line in refused), said
    assert said[-1] == "done"


# ---- bad input --------------------------------------------------------------------------


def forward_and_backward(module, named):
    """Both kernels on arguments by name."""
    inputs, mask = [named[name] for name in INPUTS], named["mask"]
    cache = module.lstm_forward(*inputs, mask)[3]
    return module.lstm_backward(*(named[name] for name in ("dy", "dh", "dc")), *inputs, mask, False, cache)


BAD = [
    ("x", lambda a: a[0]),
    ("x", lambda a: a.astype(np.float32)),
    ("x", lambda a: a.astype(int)),
    ("x", lambda a: a.tolist()),
    ("h0", lambda a: a[:, :4]),
    ("c0", lambda a: a[:1]),
    ("kernel", lambda a: a.T),
    ("recurrent", lambda a: a[:, :5]),
    ("bias", lambda a: a[None]),
    ("mask", lambda a: a.astype(int)),
    ("mask", lambda a: a[:, :2]),
    ("dy", lambda a: a[:, :2]),
    ("dh", lambda a: a.astype(np.float32)),
    ("dc", lambda a: a[0]),
]


@modules
@pytest.mark.parametrize(("place", "change"), BAD)
def test_bad_input_gets_the_error_of_the_reference(module, place, change):
    inputs, gradients, mask = make((2, 3, 4, 5), masked=True)
    named = dict(zip((*INPUTS, "dy", "dh", "dc", "mask"), (*inputs, *gradients, mask), strict=True))
    named[place] = change(named[place])
    messages = []
    for one in (reference, module):
        with pytest.raises((TypeError, ValueError)) as caught:
            forward_and_backward(one, named)
        messages.append((caught.type, str(caught.value)))
    assert messages[0] == messages[1]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: None,
        lambda c: [1, 2, 3],
        lambda c: c[:2],
        lambda c: (c[0][1:], *c[1:]),
        lambda c: tuple(a.astype("f4") for a in c),
    ],
)
def test_a_cache_of_something_else_is_refused(spoil):
    inputs, gradients, mask = make((2, 3, 4, 5))
    cache = spoil(cpu.lstm_forward(*inputs, mask, False)[3])
    for module in (reference, cpu):
        with pytest.raises(ValueError, match=f"cache must be what {module.__name__.split('.')[-1]}.lstm_forward"):
            module.lstm_backward(*gradients, *inputs, mask, False, cache)


def test_a_cache_may_have_been_stored_and_laid_out_anew():
    inputs, gradients, mask = make((2, 3, 4, 5))
    cache = cpu.lstm_forward(*inputs, mask, False)[3]
    expected = cpu.lstm_backward(*gradients, *inputs, mask, False, cache)
    actual = cpu.lstm_backward(*gradients, *inputs, mask, False, [np.asfortranarray(a) for a in cache])
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, b)
