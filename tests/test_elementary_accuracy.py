"""Elementary functions in C and CUDA, to the last bits: the bounds that their sources state, the ends of all numbers.

The truth for float32 is NumPy in float64; for float64 it is long double where that has 64 bits of mantissa. Every
exponent and both signs are drawn. test_cpu_core.py runs this file on each instruction set that the machine has. CUDA's
are made of operations that IEEE 754 rounds alike on a GPU and on the processor that stands in for one, with denormal
numbers flushed as on the GPU, so what holds here holds there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import on_device
import pytest
from cases import KERNELS

import minidl as md

Array = Any
MODULES = {"cpu": md.kernels.cpu, "cuda": on_device.kernels}
modules = pytest.mark.parametrize("module", [name for name in MODULES if name in [*KERNELS, "cuda"]])

# In ulp, as in csrc/simd.h and kernels/cuda/math.cuh.
BOUNDS = {
    "exp": {np.float32: 1.1, np.float64: 1.1},
    "tanh": {np.float32: 2.0, np.float64: 2.2},
    "sigmoid": {np.float32: 1.8, np.float64: 1.7},
    "erf": {np.float32: 1.5, np.float64: 1.6},
}
TABLE_BOUND = 1.0  # of tanh in float32 with AVX-512
MONOTONE = ("exp", "tanh", "sigmoid")
CELL_BOUND = 2.7  # in csrc/simd.h alone
LOG_BOUND = 0.9  # in csrc/simd.h alone: CUDA's is CuPy's
DTYPES = (np.float32, np.float64)


def is_by_table(module: str, name: str, dtype: Any) -> bool:
    """Whether it is tanh by a table of polynomials, which AVX-512 alone has, and in float32 alone."""
    return (module, name, dtype) == ("cpu", "tanh", np.float32) and md.kernels.cpu.isa() == "x86-64-v4"


def bound_of(module: str, name: str, dtype: Any) -> float:
    return TABLE_BOUND if is_by_table(module, name, dtype) else BOUNDS[name][dtype]


def true_sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def true_erf(x: Array) -> Array:
    """2/√π e^(−x²) Σ 2ⁿ x²ⁿ⁺¹ / (1 · 3 ··· (2n + 1)), where no term is negative (Abramowitz and Stegun 7.1.6)."""
    square, root_pi = np.minimum(x * x, 49), 2 * np.sqrt(np.arctan(x.dtype.type(1)))
    within = (square > 1e-24) & (square < 49)
    term = total = np.ones_like(square[within])
    for n in range(1, 250):
        term = term * (2 * square[within] / (2 * n + 1))
        total = total + term
    slope = np.ones_like(x)
    slope[within] = total * np.exp(-square[within])
    return np.where(square < 49, 2 / root_pi * x * slope, np.sign(x))


TRUTH: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp, "tanh": np.tanh, "sigmoid": true_sigmoid, "erf": true_erf
}  # fmt: skip


def every_exponent(dtype: Any, each: int) -> Array:
    """Numbers of each exponent, denormals too, and both signs: the ends of the mantissa and `each` inside, sorted."""
    bits, mantissa = (32, 23) if dtype == np.float32 else (64, 52)
    exponents = np.arange((1 << (bits - 1 - mantissa)) - 1, dtype=np.uint64)[:, None] << np.uint64(mantissa)
    inside = md.random.Generator(1).uniform((len(exponents), each), dtype=np.float64) * 2.0**mantissa
    ends = np.broadcast_to([0, 1, 2.0**mantissa - 1], (len(exponents), 3))
    numbers = (exponents + np.concatenate([inside, ends], axis=1).astype(np.uint64)).reshape(-1)
    x = numbers.astype(f"u{bits // 8}").view(dtype)
    return np.unique(np.concatenate([x, -x]))


def samples(name: str, dtype: Any) -> Array:
    """Every exponent, and densely the range where the function is neither flat nor a power of two of itself."""
    widest = {"exp": 105.0, "tanh": 10.0, "sigmoid": 105.0, "erf": 4.0}[name] * (1 if dtype == np.float32 else 7.2)
    dense = [md.random.Generator(2).uniform((60_000,), -w, w, dtype=np.float64) for w in (widest, 2.0, 0.6)]
    x = np.unique(np.concatenate([every_exponent(dtype, 300), *(d.astype(dtype) for d in dense)]))
    return x[np.abs(x) >= np.finfo(dtype).smallest_normal] if name == "erf" else x  # a GPU takes the others for 0


def errors(module: str, name: str, x: Array) -> Array:
    return ulp(getattr(MODULES[module], name)(x), TRUTH[name], x)


def ulp(y: Array, function: Callable[[Array], Array], x: Array) -> Array:
    """How far y is from the function of x, in units of the last place that the true result has in x's type."""
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        truth = function(x.astype(wide))
        rounded = truth.astype(x.dtype)
        finite = np.isfinite(rounded)
        np.testing.assert_array_equal(y[~finite], rounded[~finite])
        return np.abs(y[finite].astype(wide) - truth[finite]) / np.spacing(np.abs(rounded[finite])).astype(wide)


@modules
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BOUNDS)
def test_no_error_is_larger_than_the_source_says(module: str, name: str, dtype: Any) -> None:
    if dtype == np.float64 and np.finfo(np.longdouble).nmant < 63:
        pytest.skip("no wider type than float64 on this platform to compare with")
    assert errors(module, name, samples(name, dtype)).max() <= bound_of(module, name, dtype)


@pytest.mark.skipif("cpu" not in KERNELS, reason="needs the C kernels")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_functions_inside_a_softmax_are_as_exact(dtype: Any) -> None:
    x = samples("exp", dtype)
    x = x[x < -40].reshape(-1, 1)  # no digit of the sum 1 + e^x
    y = md.kernels.cpu.softmax_forward(np.concatenate([x, 0 * x], axis=1))[:, 0]
    flushed = np.exp(x[:, 0]) < np.finfo(dtype).smallest_normal
    assert np.all(y[flushed] <= np.finfo(dtype).smallest_normal)
    assert ulp(y[~flushed], np.exp, x[~flushed, 0]).max() <= BOUNDS["exp"][dtype]

    zeros = [np.zeros((1, n), dtype) for n in (1, 2, 3, 4, 5, 7, 8, 100, 1000, 4097, 65536)]
    logs = np.array([-md.kernels.cpu.log_softmax_forward(row)[0, 0] for row in zeros])
    assert ulp(logs, np.log, np.array([row.size for row in zeros], dtype)).max() <= LOG_BOUND


def every_float32(low: float, high: float) -> Array:
    """All the numbers from one to the other, of the same sign."""
    ends = np.array([low, high], np.float32).view(np.uint32).astype(np.int64)
    return np.sort(np.arange(ends.min(), ends.max(), dtype=np.uint32).view(np.float32))


@modules
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("exp", -5.9, -5.8), ("tanh", 0.5, 0.54), ("tanh", 0.031, 0.0312), ("sigmoid", -1.12, -1.09), ("erf", 0.98, 1.02)],
)
def test_no_error_is_larger_where_all_float32_numbers_have_their_largest(
    module: str, name: str, low: float, high: float
) -> None:
    assert errors(module, name, every_float32(low, high)).max() <= bound_of(module, name, np.float32)


@pytest.mark.skipif("cpu" not in KERNELS, reason="no compiled kernels")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_functions_of_a_cell_are_as_good_as_their_source_says(dtype: Any) -> None:
    if dtype == np.float64 and np.finfo(np.longdouble).nmant < 63:
        pytest.skip("no wider type than float64 on this platform to compare with")
    x = np.unique(np.concatenate([samples("tanh", dtype), samples("sigmoid", dtype)]))
    x = x[np.abs(x) >= np.finfo(dtype).smallest_normal]  # an LSTM takes denormal numbers for 0
    lowest = -87 if dtype == np.float32 else -708
    i, _, g, _ = gates_of(x)
    assert ulp(i[x >= lowest], true_sigmoid, x[x >= lowest]).max() <= CELL_BOUND
    assert (i[x < lowest] <= np.exp(dtype(lowest)) * 1.01).all()
    assert ulp(g, np.tanh, x).max() <= CELL_BOUND
    ends = gates_of(np.array([-np.inf, 0, np.inf, np.nan], dtype))
    np.testing.assert_allclose(ends[0], [0, 0.5, 1, np.nan], atol=2 * np.finfo(dtype).tiny, rtol=0)
    np.testing.assert_array_equal(ends[2], [-1, 0, 1, np.nan])


def gates_of(x: Array) -> Array:
    """The gates of an LSTM of one unit with x as its only input: of x exactly sigmoid, sigmoid, tanh and sigmoid."""
    state, ones, zeros = np.zeros((len(x), 1), x.dtype), np.ones((1, 4), x.dtype), np.zeros((1, 4), x.dtype)
    cache = md.kernels.cpu.lstm_forward(x[:, None, None], state, state, ones, zeros, zeros[0])[3]
    return cache[0].reshape(-1, 4).T


@modules
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MONOTONE)
def test_none_ever_falls(module: str, name: str, dtype: Any) -> None:
    y = getattr(MODULES[module], name)(samples(name, dtype))
    assert (y[1:] >= y[:-1]).all()


@modules
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("exp", -104.2, -103.0), ("exp", -87.6, -87.1), ("exp", 88.4, 89.1), ("tanh", 8.4, 9.3), ("tanh", -9.3, -8.4),
     ("sigmoid", -104.2, -103.0), ("sigmoid", -87.6, -87.1), ("sigmoid", -80.2, -79.8), ("sigmoid", -16.2, -15.8),
     ("sigmoid", 15.5, 18.5)],
)  # fmt: skip
def test_neighbours_are_in_order_where_the_way_of_computing_changes(
    module: str, name: str, low: float, high: float
) -> None:
    y = getattr(MODULES[module], name)(every_float32(low, high))
    assert (y[1:] >= y[:-1]).all()


@modules
def test_tanh_does_not_fall_from_one_piece_to_the_next(module: str) -> None:
    """By a table it is 16 polynomials, each for a quarter of an octave of 13 |x| + 9."""
    for piece in range(1, 16):
        start = (2.0 ** (3 + piece // 4) * (1 + piece % 4 / 4) - 9) / 13
        y = MODULES[module].tanh(every_float32(start * 0.9998, start * 1.0002))
        assert (y[1:] >= y[:-1]).all()


@modules
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_ends_of_the_number_line(module: str, dtype: Any) -> None:
    kernels = MODULES[module]
    x = np.array([-np.inf, -0.0, 0.0, np.inf], dtype)
    largest, least = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
    np.testing.assert_array_equal(kernels.exp(x), np.array([0, 1, 1, np.inf], dtype))
    np.testing.assert_array_equal(kernels.sigmoid(x), np.array([0, 0.5, 0.5, 1], dtype))
    np.testing.assert_array_equal(kernels.tanh(x), np.array([-1, -0.0, 0.0, 1], dtype))
    np.testing.assert_array_equal(np.signbit(kernels.tanh(x)), [True, True, False, False])
    np.testing.assert_array_equal(kernels.erf(x), np.array([-1, -0.0, 0.0, 1], dtype))
    np.testing.assert_array_equal(np.signbit(kernels.erf(x)), [True, True, False, False])
    far = np.array([-largest, largest], dtype)
    np.testing.assert_array_equal(kernels.exp(far), np.array([0, np.inf], dtype))
    np.testing.assert_array_equal(kernels.sigmoid(far), np.array([0, 1], dtype))
    np.testing.assert_array_equal(kernels.tanh(far), np.array([-1, 1], dtype))
    np.testing.assert_array_equal(kernels.erf(far), np.array([-1, 1], dtype))
    tiny = np.array([-least, least, -3 * least], dtype)
    np.testing.assert_array_equal(kernels.tanh(tiny), tiny)


@modules
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BOUNDS)
def test_nan_in_nan_out(module: str, name: str, dtype: Any) -> None:
    """Quiet and signalling ones with any payload, in every lane of a vector and in its shorter last one."""
    bits = np.array([0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FFFFFFF], np.uint32).view(np.float32)
    nans = (
        bits
        if dtype == np.float32
        else np.array([0x7FF8 << 48, 0xFFF8 << 48, (0x7FF << 52) + 1], np.uint64).view(dtype)
    )
    for nan in nans:
        for place in range(37):
            x = np.linspace(-3, 3, 37).astype(dtype)
            x[place] = nan
            y = getattr(MODULES[module], name)(x)
            assert np.isnan(y[place]) and np.isnan(y).sum() == 1


@modules
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BOUNDS)
def test_a_number_gives_the_same_bits_wherever_it_stands(module: str, name: str, dtype: Any) -> None:
    x = samples(name, dtype)[::997]
    y = getattr(MODULES[module], name)(x)
    for n in (1, 2, 3, 5, 17):
        np.testing.assert_array_equal(getattr(MODULES[module], name)(x[:n]), y[:n])
        np.testing.assert_array_equal(getattr(MODULES[module], name)(x[n:]), y[n:])


@pytest.mark.skipif(
    md.kernels.cpu is None or md.kernels.cpu.isa() not in ("x86-64-v3", "x86-64-v4"),
    reason="needs compiled kernels with fused multiply-adds",
)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BOUNDS)
def test_cuda_has_the_bits_of_c(name: str, dtype: Any) -> None:
    """So what is known of each of all float32 numbers in C is known on a GPU."""
    if is_by_table("cpu", name, dtype):
        pytest.skip("CUDA has the bits of AVX2 there, and test_cpu_core.py sees to them")
    x = samples(name, dtype)
    np.testing.assert_array_equal(getattr(MODULES["cuda"], name)(x), getattr(MODULES["cpu"], name)(x))


@modules
@pytest.mark.parametrize("dtype", DTYPES)
def test_erf_is_odd_and_stays_at_1(module: str, dtype: Any) -> None:
    x = samples("erf", dtype)
    y = MODULES[module].erf(x)
    np.testing.assert_array_equal(MODULES[module].erf(-x), -y)
    one = np.flatnonzero(y == 1)
    assert y.max() == 1 and (y[one[0] :] == 1).all() and 3.8 < x[one[0]] < 6


@pytest.mark.skipif("cpu" not in KERNELS, reason="no compiled kernels")
@pytest.mark.parametrize("dtype", DTYPES)
def test_erf_of_a_denormal_number_is_as_good(dtype: Any) -> None:
    x = np.arange(1, 100_000).astype(dtype) * np.finfo(dtype).smallest_subnormal
    assert x.dtype == dtype
    assert ulp(md.kernels.cpu.erf(x), true_erf, x).max() <= BOUNDS["erf"][dtype]


@pytest.mark.skipif("cpu" not in KERNELS, reason="no compiled kernels")
@pytest.mark.parametrize("dtype", DTYPES)
def test_log_is_as_good_as_its_source_says(dtype: Any) -> None:
    """Denormal numbers too, and next to 1, where the result is small; √2 and √½, where the exponent of x changes."""
    if dtype == np.float64 and np.finfo(np.longdouble).nmant < 63:
        pytest.skip("no wider type than float64 on this platform to compare with")
    drawn = md.random.Generator(2).uniform((60_000,), -1.0, 1.0, dtype=np.float64)
    near = [1 + drawn * width for width in (0.5, 1e-3, 1e-7)] + [root + drawn * 0.01 for root in (2**0.5, 0.5**0.5)]
    x = np.concatenate([every_exponent(dtype, 300), *(n.astype(dtype) for n in near)])
    x = np.unique(x[x > 0])
    y = md.kernels.cpu.log(x)
    assert ulp(y, np.log, x).max() <= LOG_BOUND
    np.testing.assert_array_equal(np.signbit(y), x < 1)
    np.testing.assert_array_equal(md.kernels.cpu.log(x[::997]), y[::997])


@pytest.mark.skipif("cpu" not in KERNELS, reason="no compiled kernels")
def test_log_has_its_largest_error_next_to_a_root_of_one_half_and_never_falls() -> None:
    x = every_float32(0.7, 0.71)
    y = md.kernels.cpu.log(x)
    assert 0.8 < ulp(y, np.log, x).max() <= LOG_BOUND and (y[1:] >= y[:-1]).all()


# ---- activations ----------------------------------------------------------------------------


def true_normal(x: Array) -> Array:
    """Φ(x), for x < −2 by Laplace's continued fraction φ(x) / (−x + 1 / (−x + 2 / (−x + 3 / …)))"""
    fraction = np.zeros_like(x)
    for n in range(400, 0, -1):
        fraction = n / (np.maximum(-x, 2) + fraction)
    density = np.exp(-x * x / 2) / np.sqrt(8 * np.arctan(x.dtype.type(1)))
    near = 0.5 + true_erf(x / np.sqrt(x.dtype.type(2))) / 2
    return np.where(x < -2, density / (np.maximum(-x, 2) + fraction), near)


ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "elu": (lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), 1.3),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 2.7),
    "silu": (lambda x: x * true_sigmoid(x), 2.1),
}


@modules
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_right_to_a_few_ulp(module: str, name: str, dtype: Any) -> None:
    if dtype == np.float64 and np.finfo(np.longdouble).nmant < 63:
        pytest.skip("no wider type than float64 on this platform to compare with")
    x = np.append(samples("exp", dtype), np.array([-1.2767873, -4.851435], dtype))  # where softplus is furthest off
    x = x[(np.abs(x) < (80 if dtype == np.float32 else 700)) & (np.abs(x) > 4 * np.finfo(dtype).tiny)]
    truth, bound = ACTIVATIONS[name]
    y = getattr(MODULES[module], f"{name}_forward")(x, *([1.0, 1.0] if name == "elu" else []))
    assert ulp(y, truth, x).max() <= bound


@modules
@pytest.mark.parametrize("dtype", DTYPES)
def test_gelu_keeps_its_digits_far_below_0(module: str, dtype: Any) -> None:
    """Where x (1 + erf(x/√2)) / 2 has lost them all."""
    if dtype == np.float64 and np.finfo(np.longdouble).nmant < 63:
        pytest.skip("no wider type than float64 on this platform to compare with")
    drawn = md.random.Generator(2).uniform((200_000,), -12.5, 9.0, dtype=np.float64)
    x = np.unique(np.append(drawn, drawn * 1e-3).astype(dtype))
    y = MODULES[module].gelu_forward(x)
    wide = x.astype(np.float64 if dtype == np.float32 else np.longdouble)
    truth = wide * true_normal(wide)
    error = np.abs(y - truth) / np.spacing(np.abs(truth).astype(dtype))
    assert (error <= np.where(x > 0, 1.9, 9 + x * x / 2)).all()
