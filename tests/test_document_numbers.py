"""Every worked number and formula of the document: what it prints, what is true, and that minidl computes the truth.

The text of `docs/document.md` says the same in words, and its code is run as a test of its own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import losses, optimizers

# The document's example of the mean squared error: five pairs, their printed squares and the printed mean.
Y_TRUE = np.array([2.0, 3.0, 4.0, 5.0, 6.0])
Y_PRED = np.array([2.5, 3.1, 3.9, 4.2, 5.0])
PRINTED_SQUARES = np.array([0.25, 0.01, 0.81, 0.04, 1.00])
PRINTED_MSE = 0.356


def test_mean_squared_error_of_the_five_pairs(kernels: str) -> None:
    """MSE = (1/n) Σ (yᵢ − ŷᵢ)². Its data give 0.382; the document prints 0.356."""
    assert losses.mean_squared_error(Y_TRUE, Y_PRED).item() == pytest.approx(0.382, abs=1e-12)
    assert losses.MeanSquaredError()(Y_TRUE[:, None], Y_PRED[:, None]).item() == pytest.approx(0.382, abs=1e-12)


def test_what_the_document_prints_for_it_is_wrong_three_times() -> None:
    squares = losses.MeanSquaredError("none")(Y_TRUE[:, None], Y_PRED[:, None]).numpy()
    np.testing.assert_allclose(squares, [0.25, 0.01, 0.01, 0.64, 1.00], atol=1e-12)
    assert np.flatnonzero(np.abs(squares - PRINTED_SQUARES) > 1e-9).tolist() == [2, 3]
    assert PRINTED_SQUARES.mean() == pytest.approx(0.422)
    assert abs(PRINTED_MSE - PRINTED_SQUARES.mean()) > 0.06
    assert abs(PRINTED_MSE - squares.mean()) > 0.02


def test_gradient_of_the_mean_squared_error(kernels: str) -> None:
    """The document sends the loss back without writing the gradient down: 2 (ŷ − y) / n."""
    p = md.Tensor(Y_PRED, requires_grad=True)
    losses.mean_squared_error(Y_TRUE, p).backward()
    assert p.grad is not None
    np.testing.assert_allclose(p.grad.numpy(), [0.2, 0.04, -0.04, -0.32, -0.4], atol=1e-12)


def test_cross_entropy_of_two_distributions(kernels: str) -> None:
    """CE = −0.2 log 0.1 − 0.3 log 0.4 − 0.5 log 0.5, a sum over classes; the document leaves its value open."""
    true, predicted = np.array([[0.2, 0.3, 0.5]]), np.array([[0.1, 0.4, 0.5]])
    written_out = -0.2 * math.log(0.1) - 0.3 * math.log(0.4) - 0.5 * math.log(0.5)
    assert written_out == pytest.approx(1.08198, abs=5e-6)
    assert losses.categorical_crossentropy(true, predicted).item() == pytest.approx(written_out, abs=1e-12)
    from_logits = losses.categorical_crossentropy(true, np.log(predicted), from_logits=True)
    assert from_logits.item() == pytest.approx(written_out, abs=1e-12)
    # A batch of two such samples costs their mean: the sum does not run over samples.
    batch = losses.CategoricalCrossentropy()(np.repeat(true, 2, 0), np.repeat(predicted, 2, 0))
    assert batch.item() == pytest.approx(written_out, abs=1e-12)


def test_cross_entropy_is_entropy_and_divergence() -> None:
    true, predicted = np.array([[0.2, 0.3, 0.5]]), np.array([[0.1, 0.4, 0.5]])
    entropy = losses.categorical_crossentropy(true, true).item()
    assert entropy == pytest.approx(1.02965, abs=5e-6)
    divergence = losses.kl_divergence(true, predicted).item()
    assert divergence == pytest.approx(0.2 * math.log(2) + 0.3 * math.log(0.75), abs=1e-12)
    assert losses.categorical_crossentropy(true, predicted).item() == pytest.approx(entropy + divergence, abs=1e-12)


def test_relu(kernels: str) -> None:
    """ReLU(x) = max(0, x): x where x > 0, else 0. Its formula is garbled in the document, its example is right."""
    assert md.relu(md.Tensor([-3.0, -0.0, 0.0, 0.5, 3.0])).tolist() == [0.0, 0.0, 0.0, 0.5, 3.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_and_tanh(dtype: str, kernels: str) -> None:
    """Sigmoid(x) = 1 / (1 + e⁻ˣ) in (0, 1), Tanh(x) = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ) in (−1, 1): both formulas are right."""
    points = np.linspace(-8, 8, 33)
    x = md.Tensor(points, dtype=dtype)
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    e, inverse = np.exp(points), np.exp(-points)
    np.testing.assert_allclose(md.sigmoid(x).numpy(), 1 / (1 + inverse), rtol=tolerance)
    np.testing.assert_allclose(md.tanh(x).numpy(), (e - inverse) / (e + inverse), rtol=tolerance, atol=1e-16)
    assert (md.sigmoid(x).numpy() > 0).all()
    assert (md.sigmoid(x).numpy() < 1).all()


def test_sigmoid_and_tanh_do_not_overflow_as_their_formulas_do(kernels: str) -> None:
    x = md.Tensor([-1000.0, 1000.0])
    assert md.sigmoid(x).tolist() == [0.0, 1.0]
    assert md.tanh(x).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("theta", [0.0, 1.0, -2.5])
def test_step_of_gradient_descent(theta: float, kernels: str) -> None:
    """θ ← θ − α ∇J(θ); with α = 0.1 and a gradient of 0.5: θ − 0.05, as the document says."""
    w = md.Tensor([theta], dtype="float64")
    optimizers.SGD(learning_rate=0.1).apply_gradients([([0.5], w)])
    assert w.item() == theta - 0.1 * 0.5


# Of the document's example of Adam.
BETA_1, BETA_2, RATE, EPSILON, M, V = 0.9, 0.999, 0.001, 0.001, 0.3, 0.4


def printed_moments(x: Any, before: Any) -> tuple[Any, Any]:
    """m = β₁ x + (1 − β₁)(x − x before),  v = β₂ x² + (1 − β₂)(x² − x² before), as the document prints them."""
    return BETA_1 * x + (1 - BETA_1) * (x - before), BETA_2 * x**2 + (1 - BETA_2) * (x**2 - before**2)


def test_step_of_adam_as_printed(kernels: str) -> None:
    """θ − 0.001 · 0.3 / (√0.4 + 0.001): the kernel's update, its moments held by β = 1, without correction of bias."""
    w, m, v = np.array([1.0]), np.array([M]), np.array([V])
    md.kernels.of(w).adam_step(w, np.array([7.0]), m, v, RATE, 1.0, 1.0, EPSILON)
    assert (m.item(), v.item()) == (M, V)
    assert 1 - w.item() == pytest.approx(0.001 * 0.3 / (math.sqrt(0.4) + 0.001), rel=1e-12)
    assert 1 - w.item() == pytest.approx(4.7359e-4, rel=1e-4)


def test_step_of_adam_as_it_is(kernels: str) -> None:
    """Step 1000 from the moments of the example, with a gradient of 0.3, which leaves m as it is and moves v to g²."""
    w, g, steps = md.Tensor([1.0], dtype="float64"), 0.3, 1000
    optimizer = optimizers.Adam(RATE, BETA_1, BETA_2, EPSILON)
    optimizer.build([w])
    optimizer.set_state({**optimizer.get_state(), "iterations": steps - 1, "0/momentum": [M], "0/velocity": [V]})
    optimizer.apply_gradients([([g], w)])
    v = BETA_2 * V + (1 - BETA_2) * g * g
    correction = math.sqrt(1 - BETA_2**steps) / (1 - BETA_1**steps)
    assert 1 - w.item() == pytest.approx(RATE * correction * M / (math.sqrt(v) + EPSILON), rel=1e-12)
    assert correction == pytest.approx(0.795, abs=5e-4)  # a fifth shorter than the printed step


def test_the_printed_moments_are_no_averages() -> None:
    """Of a constant gradient the average is that gradient; the printed formula makes 0.9 of it, for ever."""
    m, _ = printed_moments(1.0, 1.0)
    assert m == pytest.approx(0.9)
    w, optimizer = md.Tensor([0.0], dtype="float64"), optimizers.Adam()
    for _ in range(400):
        optimizer.apply_gradients([([1.0], w)])
    assert optimizer.get_state()["0/momentum"].item() == pytest.approx(1.0, abs=1e-12)


def test_the_printed_second_moment_turns_negative() -> None:
    """After a gradient of 1 comes one of 0: v = −0.001, and √v is no number. Adam's v is never negative."""
    _, v = printed_moments(0.0, 1.0)
    assert v == pytest.approx(-0.001)
    w, optimizer = md.Tensor([0.0], dtype="float64"), optimizers.Adam()
    for g in (1.0, 0.0):
        optimizer.apply_gradients([([g], w)])
    assert optimizer.get_state()["0/velocity"].item() == pytest.approx(0.999 * 0.001, rel=1e-12)
    assert np.isfinite(w.item())


@pytest.mark.parametrize("gradient", [1e-3, 0.3, 1000.0])
def test_the_printed_step_lacks_the_correction_of_the_first_steps(gradient: float, kernels: str) -> None:
    """Adam's first step is as long as its rate, whatever the gradient; without the correction 3.16 times as long."""
    w = md.Tensor([0.0], dtype="float64")
    optimizers.Adam(RATE, BETA_1, BETA_2, epsilon=0).apply_gradients([([gradient], w)])
    assert -w.item() == pytest.approx(RATE, rel=1e-12)
    m, v = (1 - BETA_1) * gradient, (1 - BETA_2) * gradient**2
    assert RATE * m / math.sqrt(v) == pytest.approx(3.1623 * RATE, rel=1e-4)
