"""Initializers, by their statistics and structure; and regularizers."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest

import minidl as md
from minidl import initializers, regularizers

# For 400 inputs and 100 outputs: the variance each promises.
VARIANCES = {
    "glorot_uniform": 2 / 500,
    "glorot_normal": 2 / 500,
    "he_uniform": 2 / 400,
    "he_normal": 2 / 400,
    "lecun_uniform": 1 / 400,
    "lecun_normal": 1 / 400,
    "random_uniform": 0.1**2 / 12,
    "random_normal": 0.05**2,
    "uniform": 0.1**2 / 12,
    "normal": 0.05**2,
    "variance_scaling": 1 / 400,
    # A standard normal cut at ±2 has the variance 1 − 4φ(2) / (2Φ(2) − 1).
    "truncated_normal": 0.05**2 * (1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2))),
}


def seeded(name: str, seed: object = 5) -> initializers.Initializer:
    return initializers.get({"class_name": name, "config": {"seed": seed}})


@pytest.mark.parametrize("name", VARIANCES)
def test_mean_and_variance(name: str) -> None:
    values = seeded(name)((400, 100), np.float64)
    std = math.sqrt(VARIANCES[name])
    # 40,000 draws: the mean has a standard error of std / 200, the variance of at most variance · √2 / 200.
    assert abs(values.mean()) < 4 * std / 200
    assert abs(values.var() / VARIANCES[name] - 1) < 4 * math.sqrt(2) / 200


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("glorot_uniform", math.sqrt(6 / 500)),
        ("he_uniform", math.sqrt(6 / 400)),
        ("lecun_uniform", math.sqrt(3 / 400)),
        ("uniform", 0.05),
        ("truncated_normal", 0.1),
        ("glorot_normal", 2 * math.sqrt(2 / 500) / 0.87962566103423978),
    ],
)
def test_bounds_are_reached_and_kept(name: str, limit: float) -> None:
    largest = np.abs(seeded(name)((400, 100), np.float64)).max()
    assert 0.99 * limit < largest <= limit


def test_distributions_of_variance_scaling() -> None:
    for distribution, kurtosis in (("uniform", 1.8), ("truncated_normal", 2.3677), ("untruncated_normal", 3.0)):
        w = initializers.VarianceScaling(2.0, "fan_out", distribution, seed=1)((400, 100), np.float64)
        assert abs(w.var() / (2 / 100) - 1) < 0.03
        assert abs((w**4).mean() / w.var() ** 2 - kurtosis) < 0.1


@pytest.mark.parametrize(
    ("shape", "fans"), [((), (1, 1)), ((7,), (7, 7)), ((3, 5), (3, 5)), ((2, 3, 5), (6, 10)), ((2, 4, 3, 5), (24, 40))]
)
def test_inputs_and_outputs_of_a_shape(shape: tuple[int, ...], fans: tuple[int, int]) -> None:
    for mode, n in (("fan_in", fans[0]), ("fan_out", fans[1]), ("fan_avg", sum(fans) / 2)):
        w = initializers.VarianceScaling(1.0, mode, "uniform", seed=2)(shape, np.float64)
        # The same draws in a unit interval, so that the ratio is the limit itself.
        unit = md.random.Generator(2).uniform(shape, -1, 1, np.float64)
        np.testing.assert_allclose(np.asarray(w), math.sqrt(3 / n) * unit, rtol=1e-12)


@pytest.mark.parametrize("shape", [(6, 6), (8, 3), (3, 8), (2, 3, 4)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = initializers.Orthogonal(gain=2.0, seed=3)(shape, np.float64).reshape(-1, shape[-1])
    product = w @ w.T if w.shape[0] < w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 4 * np.eye(min(w.shape)), atol=1e-13)


def test_orthogonal_is_the_qr_decomposition_with_a_positive_diagonal() -> None:
    q, r = np.linalg.qr(md.random.Generator(3).normal((40, 60), dtype=np.float64).T)
    w = initializers.Orthogonal(seed=3)((60, 40), np.float64)
    np.testing.assert_allclose(w, q * np.sign(np.diag(r)), atol=1e-12)


def test_weights_do_not_depend_on_the_threads_of_the_blas() -> None:
    program = "import minidl as md; print(hash(md.initializers.Orthogonal(seed=1)((300, 300), 'float64').tobytes()))"
    results = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(results) == 1 and results != {""}


def test_orthogonal_is_uniform_over_rotations() -> None:
    rng = md.random.Generator(4)
    first = np.array([initializers.Orthogonal(seed=rng)((2, 2), np.float64)[0, 0] for _ in range(2000)])
    # The cosine of a uniform angle: mean 0, variance 1/2. With LAPACK's signs it would never be positive.
    assert abs(first.mean()) < 4 * math.sqrt(0.5 / 2000) and abs(first.var() - 0.5) < 0.04


def test_fixed_values() -> None:
    assert (initializers.Zeros()((2, 3)) == 0).all() and (initializers.Ones()((2, 3)) == 1).all()
    np.testing.assert_array_equal(initializers.Constant([1, 2, 3])((2, 3)), [[1, 2, 3], [1, 2, 3]])
    np.testing.assert_array_equal(initializers.Identity(2)((2, 3)), [[2, 0, 0], [0, 2, 0]])


RANDOM = [*VARIANCES, "orthogonal"]


@pytest.mark.parametrize("name", RANDOM)
def test_float32_is_float64_rounded(name: str) -> None:
    wide, narrow = seeded(name)((30, 20), np.float64), seeded(name)((30, 20))
    assert narrow.dtype == np.float32 and wide.dtype == np.float64
    np.testing.assert_array_equal(narrow, wide.astype(np.float32))
    assert (wide != narrow).any()


@pytest.mark.parametrize("name", RANDOM)
def test_one_seed_one_result(name: str, kernels: str) -> None:
    with md.use("reference"):
        expected = seeded(name)((5, 7))
    initializer = seeded(name)
    np.testing.assert_array_equal(initializer((5, 7)), expected)
    np.testing.assert_array_equal(initializer((5, 7)), expected)  # an integer seed starts anew at each call
    assert (seeded(name, seed=6)((5, 7)) != expected).any()


@pytest.mark.parametrize("name", RANDOM)
def test_a_generator_and_the_default_stream_go_on(name: str) -> None:
    rng = md.random.Generator(5)
    first, second = seeded(name, rng)((5, 7)), seeded(name, rng)((5, 7))
    np.testing.assert_array_equal(first, seeded(name, 5)((5, 7)))
    assert (first != second).any()
    md.random.set_seed(5)
    unseeded = initializers.get(name)
    np.testing.assert_array_equal(unseeded((5, 7)), first)
    np.testing.assert_array_equal(unseeded((5, 7)), second)


@pytest.mark.parametrize(
    "initializer",
    [
        initializers.Zeros(),
        initializers.Constant(3.5),
        initializers.Identity(2.0),
        initializers.RandomUniform(-1, 2, seed=3),
        initializers.TruncatedNormal(1.0, 0.5, seed=3),
        initializers.VarianceScaling(3.0, "fan_out", "uniform", seed=3),
        initializers.GlorotUniform(seed=3),
        initializers.Orthogonal(2.0, seed=3),
    ],
    ids=repr,
)
def test_config_round_trip(initializer: initializers.Initializer) -> None:
    again = initializers.get({"class_name": type(initializer).__name__, "config": initializer.get_config()})
    assert type(again) is type(initializer) and repr(again) == repr(initializer)
    np.testing.assert_array_equal(again((4, 3)), initializer((4, 3)))


def test_a_generator_is_written_as_its_seed() -> None:
    assert initializers.HeNormal(md.random.Generator(9)).get_config() == {"seed": 9}


def test_get() -> None:
    instance = initializers.Ones()
    assert initializers.get(instance) is instance
    assert isinstance(initializers.get(initializers.Ones), initializers.Ones)
    assert isinstance(initializers.get("GlorotUniform"), initializers.GlorotUniform)
    assert isinstance(initializers.glorot_uniform(seed=1), initializers.GlorotUniform)
    np.testing.assert_array_equal(initializers.get(np.array([1.0, 2.0]))((2,)), [1, 2])

    def mine(shape: tuple[int, ...], dtype: object) -> np.ndarray:
        return np.full(shape, 7, dtype)

    layer = md.layers.Dense(2, kernel_initializer=mine)
    layer.build((None, 3))
    assert initializers.get(mine) is mine and (layer.kernel.numpy() == 7).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: initializers.get("glorot_unifrom"),
            r"unknown initializer 'glorot_unifrom'; did you mean 'glorot_uniform'\?",
        ),
        (lambda: initializers.glorot_unifrom, "no attribute 'glorot_unifrom'"),
        (lambda: initializers.get(None), "a string, got NoneType"),
        (lambda: initializers.Orthogonal()((3,)), r"Orthogonal makes matrices, got a weight of shape \(3,\)"),
        (lambda: initializers.Identity()((2, 2, 2)), r"Identity makes matrices, got a weight of shape \(2, 2, 2\)"),
        (lambda: initializers.RandomUniform(1, 0), "minval must not exceed maxval, got 1 and 0"),
        (lambda: initializers.RandomNormal(stddev=-1), "stddev must not be negative, got -1"),
        (lambda: initializers.VarianceScaling(0), "scale must be positive, got 0"),
        (
            lambda: initializers.VarianceScaling(mode="fan"),
            "mode must be one of 'fan_in', 'fan_out', 'fan_avg', got 'fan'",
        ),
        (lambda: initializers.VarianceScaling(distribution="cauchy"), "distribution must be one of .*, got 'cauchy'"),
        (lambda: initializers.Initializer()((2,)), "Initializer has no __call__"),
        (lambda: regularizers.Regularizer()(md.Tensor([1.0])), "Regularizer has no __call__"),
        (lambda: regularizers.get("l3"), "unknown regularizer 'l3'; known: 'l1', 'l2'"),
        (lambda: regularizers.L2(-1), "l2 must be a number of at least 0, got -1"),
        (lambda: regularizers.L1(float("nan")), "l1 must be a number of at least 0, got nan"),
    ],
)
def test_errors(make: object, message: str) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError, NotImplementedError), match=message):
        make()


def test_a_layer_names_the_weight_whose_initializer_gives_another_shape() -> None:
    layer = md.layers.Dense(2, bias_initializer=lambda shape, dtype: np.zeros(5), name="last")
    with pytest.raises(ValueError, match=r"last: the initializer of bias gave shape \(5,\) for \(2,\)"):
        layer.build((None, 3))


# ---- regularizers


@pytest.mark.parametrize(
    ("regularizer", "value", "gradient"),
    [
        (regularizers.L1(0.5), 2.5, [0.5, -0.5, 0.5]),
        (regularizers.L2(0.5), 4.5, [1.0, -2.0, 2.0]),
        (regularizers.L1L2(0.5, 1.0), 11.5, [2.5, -4.5, 4.5]),
        (regularizers.l2(0.5), 4.5, [1.0, -2.0, 2.0]),
    ],
    ids=repr,
)
def test_regularizers(regularizer: regularizers.Regularizer, value: float, gradient: list[float]) -> None:
    w = md.Tensor([1.0, -2.0, 2.0], requires_grad=True)
    penalty = regularizer(w)
    penalty.backward()
    assert float(penalty) == value and penalty.dtype == np.float32
    assert w.grad is not None and w.grad.tolist() == gradient
    again = regularizers.get({"class_name": type(regularizer).__name__, "config": regularizer.get_config()})
    assert repr(again) == repr(regularizer)


def test_regularizers_by_name() -> None:
    assert repr(regularizers.get("l1")) == "L1(l1=0.01)" and repr(regularizers.get(regularizers.L2)) == "L2(l2=0.01)"
    assert regularizers.get(None) is None


def test_losses_of_a_layer() -> None:
    layer = md.layers.Dense(
        1, kernel_regularizer="l2", bias_regularizer=md.sum, kernel_initializer="ones", bias_initializer="ones"
    )
    layer.build((None, 4))
    assert [float(loss) for loss in layer.losses] == pytest.approx([0.04, 1.0])
    layer.losses[0].backward()
    np.testing.assert_allclose(layer.kernel.grad.numpy(), np.full((4, 1), 0.02), rtol=1e-6)
