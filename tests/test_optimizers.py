"""Optimizers and schedules against Keras, PyTorch and their equations; state, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tolerances import assert_close

import minidl as md
from minidl import optimizers, schedules

GOLDEN = json.loads((Path(__file__).parent / "golden" / "keras_losses.json").read_text())
PROBLEM = {k: GOLDEN["optimizers"][k] for k in ("start", "curvature", "noise")}


def case_id(case: dict[str, Any]) -> str:
    return "-".join([case["name"], *(f"{k}={v}" for k, v in case["config"].items())])


def run(optimizer: optimizers.Optimizer, steps: range, weights: list[md.Tensor]) -> None:
    """Steps with the gradient curvature · w + noise[step]."""
    for step in steps:
        pairs = zip(PROBLEM["curvature"], weights, PROBLEM["noise"][step], strict=True)
        grads = [(np.array(c) * w.numpy() + np.array(n)).astype(w.dtype) for c, w, n in pairs]
        optimizer.apply_gradients(zip(grads, weights, strict=True))


def start(dtype: str = "float64") -> list[md.Tensor]:
    return [md.Tensor(w, dtype=dtype) for w in PROBLEM["start"]]


# ---- against others ---------------------------------------------------------------------


@pytest.mark.parametrize("case", GOLDEN["optimizers"]["cases"], ids=case_id)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ten_steps_of_keras(case: dict[str, Any], dtype: str, kernels: str) -> None:
    optimizer = getattr(optimizers, case["name"])(**case["config"])
    weights = start(dtype)
    run(optimizer, range(1), weights)
    for w, expected in zip(weights, case["first"], strict=True):
        assert w.dtype == dtype
        assert_close(w.numpy(), expected)
    run(optimizer, range(1, 10), weights)
    for w, expected in zip(weights, case["last"], strict=True):
        assert_close(w.numpy(), expected, slack=4)
    assert optimizer.iterations == 10


# With ε = 0 the definitions agree: PyTorch adds ε to the corrected √v, or to √v instead of v.
TORCH: list[tuple[Callable[[], optimizers.Optimizer], str, dict[str, Any]]] = [
    (lambda: optimizers.SGD(0.05), "SGD", {"lr": 0.05}),
    (lambda: optimizers.SGD(0.05, momentum=0.9), "SGD", {"lr": 0.05, "momentum": 0.9}),
    (lambda: optimizers.SGD(0.05, 0.9, nesterov=True), "SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    (lambda: optimizers.Adam(0.05, epsilon=0), "Adam", {"lr": 0.05, "eps": 0.0}),
    (lambda: optimizers.Adam(0.05, 0.5, 0.9, epsilon=0), "Adam", {"lr": 0.05, "betas": (0.5, 0.9), "eps": 0.0}),
    (lambda: optimizers.AdamW(0.05, 0.3, epsilon=0), "AdamW", {"lr": 0.05, "weight_decay": 0.3, "eps": 0.0}),
    (lambda: optimizers.RMSprop(0.05, 0.7, epsilon=0), "RMSprop", {"lr": 0.05, "alpha": 0.7, "eps": 0.0}),
    (
        lambda: optimizers.Adagrad(0.05, 0.2, epsilon=0),
        "Adagrad",
        {"lr": 0.05, "initial_accumulator_value": 0.2, "eps": 0.0},
    ),
]


@pytest.mark.parametrize(("make", "name", "options"), TORCH, ids=lambda x: x if isinstance(x, str) else "")
@pytest.mark.parametrize("clip", [None, "global_clipnorm", "clipvalue"])
def test_ten_steps_of_pytorch(make: Any, name: str, options: dict[str, Any], clip: str | None, kernels: str) -> None:
    torch = pytest.importorskip("torch")
    theirs = [torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in PROBLEM["start"]]
    torch_optimizer = getattr(torch.optim, name)(theirs, **options)
    for step in range(10):
        for w, c, n in zip(theirs, PROBLEM["curvature"], PROBLEM["noise"][step], strict=True):
            w.grad = torch.tensor(c, dtype=torch.float64) * w.detach() + torch.tensor(n, dtype=torch.float64)
        if clip == "global_clipnorm":
            torch.nn.utils.clip_grad_norm_(theirs, 1.1)
        elif clip == "clipvalue":
            torch.nn.utils.clip_grad_value_(theirs, 0.4)
        torch_optimizer.step()
    optimizer, weights = make(), start()
    if clip:
        setattr(optimizer, clip, {"global_clipnorm": 1.1, "clipvalue": 0.4}[clip])
    run(optimizer, range(10), weights)
    for w, expected in zip(weights, theirs, strict=True):
        # clip_grad_norm_ divides by the norm + 1e-6
        np.testing.assert_allclose(
            w.numpy(), expected.detach().numpy(), rtol=0, atol=3e-6 if clip == "global_clipnorm" else 1e-13
        )


EVERY: list[tuple[type[optimizers.Optimizer], dict[str, Any]]] = [
    (optimizers.SGD, {}),
    (optimizers.SGD, {"momentum": 0.9, "nesterov": True}),
    (optimizers.Adam, {}),
    (optimizers.AdamW, {}),
    (optimizers.RMSprop, {}),
    (optimizers.Adagrad, {}),
]
every = pytest.mark.parametrize(("cls", "options"), EVERY, ids=lambda x: x.__name__ if isinstance(x, type) else "")


@every
def test_each_goes_downhill(cls: Any, options: dict[str, Any], kernels: str) -> None:
    optimizer = cls(learning_rate=0.1, **options)
    w = md.Tensor([3.0, -2.0], requires_grad=True)
    before = optimizer.minimize(((w - 1) ** 2).sum(), [w])
    assert before.item() == 13.0
    for _ in range(30):
        after = optimizer.minimize(lambda: ((w - 1) ** 2).sum(), [w])
    assert after.item() < before.item()
    assert w.grad is None


# ---- order: clip, decay, update ---------------------------------------------------------


def test_clipnorm_is_per_weight_and_global_clipnorm_for_all() -> None:
    grads = [np.array([3.0, 4.0]), np.array([0.6, 0.8]), np.array([0.0])]
    for options, expected in (
        ({"clipnorm": 2.0}, [[1.2, 1.6], [0.6, 0.8], [0.0]]),
        ({"global_clipnorm": math.sqrt(26) / 2}, [[1.5, 2.0], [0.3, 0.4], [0.0]]),
        ({"clipvalue": 0.7}, [[0.7, 0.7], [0.6, 0.7], [0.0]]),
    ):
        weights = [md.Tensor(np.zeros(g.shape)) for g in grads]
        optimizers.SGD(1.0, **options).apply_gradients(zip(grads, weights, strict=True))
        for w, e in zip(weights, expected, strict=True):
            np.testing.assert_allclose(w.numpy(), -np.array(e), rtol=1e-14)
    assert [g.tolist() for g in grads] == [[3.0, 4.0], [0.6, 0.8], [0.0]]


def test_a_gradient_below_the_limit_keeps_its_bits() -> None:
    g = np.array([0.1, 0.7])
    for options in ({"clipnorm": 0.9}, {"global_clipnorm": 0.9}):
        w = md.Tensor(np.zeros(2))
        optimizers.SGD(1.0, **options).apply_gradients([(g, w)])
        assert w.tolist() == (-g).tolist()


def test_the_norm_of_large_float32_gradients_does_not_overflow() -> None:
    w = md.Tensor([0.0, 0.0])
    optimizers.SGD(1.0, clipnorm=1.0).apply_gradients([(np.array([3e30, -4e30], "float32"), w)])
    np.testing.assert_allclose(w.numpy(), [-0.6, 0.8], rtol=1e-6)


def test_decay_comes_before_the_update_and_scales_with_the_rate() -> None:
    w = md.Tensor(np.array([10.0]))
    optimizers.SGD(0.1, weight_decay=0.5).apply_gradients([(np.array([1.0]), w)])
    assert w.item() == pytest.approx(10 - 10 * 0.5 * 0.1 - 0.1, rel=1e-15)
    w = md.Tensor(np.array([10.0]))
    optimizers.SGD(1.0, weight_decay=0.5).apply_gradients([(w, w)])  # the gradient is the weight from before the decay
    assert w.item() == -5.0


# ---- by hand ----------------------------------------------------------------------------


def test_gradients_come_in_any_form_and_stay_as_they_are() -> None:
    for g in (
        [1.0, 2.0],
        np.array([1, 2]),
        np.array([1.0, 2.0]),
        md.Tensor([1.0, 2.0]),
        md.Tensor([1.0, 2.0], dtype="float64"),
    ):
        w = md.Tensor([0.0, 0.0])
        optimizers.SGD(0.5).apply_gradients([(g, w)])
        assert w.dtype == np.float32
        assert w.tolist() == [-0.5, -1.0]
        assert np.asarray(g).tolist() == [1.0, 2.0]


def test_a_step_is_seen_by_a_backward_that_needs_the_old_weights() -> None:
    w = md.Tensor([2.0], requires_grad=True)
    loss = (w * w).sum()
    optimizers.SGD(0.1).apply_gradients([([1.0], w)])
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_apply_takes_gradients_and_weights_apart() -> None:
    w = md.Tensor([1.0, 2.0])
    optimizers.SGD(0.5).apply([[2.0, 4.0]], [w])
    np.testing.assert_array_equal(w.numpy(), [0, 0])
    with pytest.raises(ValueError, match="0 gradients for 1 weights"):
        optimizers.SGD().apply([], [w])


def test_a_weight_without_gradient_stays_with_a_warning() -> None:
    used, unused = md.Tensor([1.0], name="kernel"), md.Tensor([1.0], name="bias")
    optimizer = optimizers.Adam(0.1)
    with pytest.warns(UserWarning, match=r"no gradient for weight bias \(1,\)"):
        optimizer.apply_gradients([(None, unused), ([1.0], used)])
    assert unused.item() == 1.0
    assert used.item() != 1.0
    assert list(optimizer.get_state())[2:] == ["0/momentum", "0/velocity", "1/momentum", "1/velocity"]


@pytest.mark.parametrize("gradient", [lambda a: a, lambda a: a.data[:], lambda a: a.data[::-1][::-1]])
@pytest.mark.parametrize("weight", [md.Tensor, lambda values: md.as_tensor(np.array([*values, 0.0], np.float32)[:1])])
@pytest.mark.parametrize("decay", [None, 0.5])
def test_a_weight_may_be_the_gradient_of_another(gradient: Any, weight: Any, decay: float | None) -> None:
    a, b = weight([1.0]), weight([2.0])
    optimizers.SGD(1.0, weight_decay=decay).apply_gradients([(gradient(b), a), (gradient(a), b)])
    kept = 1 - (decay or 0)
    assert [a.item(), b.item()] == [kept * 1 - 2, kept * 2 - 1]


def test_gradients_over_the_memory_of_a_weight_that_another_library_lends() -> None:
    memory = bytearray(np.array([1.0, 2.0], np.float32).tobytes())
    a, b = (md.as_tensor(np.frombuffer(memory, np.float32, 1, 4 * i)) for i in range(2))
    grads = [np.frombuffer(memory, np.float32, 1, 4 * i) for i in (1, 0)]
    optimizers.SGD(1.0).apply(grads, [a, b])
    assert [a.item(), b.item()] == [-1.0, 1.0]


@pytest.mark.parametrize("weight_is_lent", [True, False])
def test_a_gradient_and_a_weight_of_which_one_is_lent_the_memory_of_the_other(weight_is_lent: bool) -> None:
    own = np.array([1.0, 2.0], np.float32)
    lent = np.frombuffer(memoryview(own), np.float32)
    w, other = md.as_tensor(lent if weight_is_lent else own), md.Tensor([0.0, 0.0])
    optimizers.SGD(1.0).apply([[9.0, 9.0], own if weight_is_lent else lent], [w, other])
    assert other.tolist() == [-1.0, -2.0] and w.tolist() == [-8.0, -7.0]


def test_weights_are_told_apart_by_identity() -> None:
    a, b = md.Tensor([1.0]), md.Tensor([1.0])
    optimizer = optimizers.SGD(1.0, momentum=0.5)
    optimizer.apply_gradients([([1.0], a)])
    optimizer.apply_gradients([([1.0], b)])
    optimizer.apply_gradients([([0.0], b), ([0.0], a)])
    assert a.item() == b.item() == -0.5


@pytest.mark.parametrize(
    "layout", [np.asfortranarray, lambda x: np.ascontiguousarray(x)[::-1, ::2], np.ascontiguousarray]
)
@every
def test_any_layout(cls: Any, options: dict[str, Any], layout: Any, kernels: str) -> None:
    optimizer, again = (cls(learning_rate=0.1, **{"weight_decay": 0.1, **options}) for _ in range(2))
    values, grads = np.arange(24.0).reshape(4, 6), np.cos(np.arange(24.0)).reshape(4, 6)
    w, plain = md.as_tensor(layout(values)), md.Tensor(layout(values).copy())
    for _ in range(3):
        optimizer.apply_gradients([(layout(grads), w)])
        again.apply_gradients([(layout(grads).copy(), plain)])
    assert w.tolist() == plain.tolist()


def test_a_weight_of_no_elements() -> None:
    w = md.Tensor(np.zeros((0, 3)))
    optimizers.Adam(clipnorm=1.0).apply_gradients([(np.zeros((0, 3)), w)])


# ---- the learning rate ------------------------------------------------------------------


@pytest.mark.parametrize("case", GOLDEN["schedules"], ids=case_id)
def test_schedules_of_keras(case: dict[str, Any]) -> None:
    schedule = getattr(schedules, case["name"])(**case["config"])
    rates = [schedule(step) for step in case["steps"]]
    np.testing.assert_allclose(rates, case["rates"], rtol=1e-13, atol=1e-17)
    assert all(type(rate) is float for rate in rates)
    again = schedules.get({"class_name": case["name"], "config": json.loads(json.dumps(schedule.get_config()))})
    assert vars(again) == vars(schedule)


def test_a_schedule_counts_the_steps_from_zero() -> None:
    optimizer = optimizers.SGD(schedules.PiecewiseConstantDecay([0, 1], [1.0, 10.0, 100.0]))
    w = md.Tensor([0.0])
    seen = []
    for _ in range(3):
        seen.append(optimizer.learning_rate)
        optimizer.apply_gradients([([1.0], w)])
    assert seen == [1.0, 10.0, 100.0]
    assert w.item() == -111.0


def test_the_rate_can_be_set() -> None:
    optimizer = optimizers.SGD(0.5)
    optimizer.learning_rate = 0.25
    w = md.Tensor([1.0])
    optimizer.apply_gradients([([1.0], w)])
    assert w.item() == 0.75
    optimizer.learning_rate = lambda step: 1.0 / step  # type: ignore[assignment]
    assert optimizer.learning_rate == 1.0


# ---- state and configuration ------------------------------------------------------------


@every
def test_resuming_gives_the_same_bits(cls: Any, options: dict[str, Any], kernels: str) -> None:
    optimizer = cls(learning_rate=0.05, **options)
    weights = start("float32")
    run(optimizer, range(5), weights)
    optimizer.learning_rate = 0.03
    saved, state = [w.numpy().copy() for w in weights], optimizer.get_state()
    run(optimizer, range(5, 10), weights)
    again = cls.from_config(optimizer.get_config())
    again.learning_rate = 0.5
    resumed = [md.Tensor(w) for w in saved]
    again.build(resumed)
    again.set_state(state)
    assert again.iterations == 5
    assert again.learning_rate == 0.03
    run(again, range(5, 10), resumed)
    for w, expected in zip(resumed, weights, strict=True):
        assert w.tolist() == expected.tolist()


def test_state_that_does_not_fit_changes_nothing() -> None:
    w = md.Tensor([1.0, 2.0])
    optimizer = optimizers.Adam()
    optimizer.apply_gradients([([1.0, 1.0], w)])
    before = optimizer.get_state()
    for change, words in (
        ({"1/momentum": np.zeros(2)}, r"unexpected \['1/momentum'\]"),
        ({"0/velocity": np.zeros(3)}, r"0/velocity has shape \(2,\), got \(3,\)"),
        ({"iterations": 7, "0/velocity": ["x", "y"]}, "0/velocity holds float32, got an array of <U1"),
        ({"iterations": 7, "0/velocity": [1j, 1j]}, "0/velocity holds float32, got an array of complex128"),
        ({"iterations": -1}, "iterations must be"),
        ({"learning_rate": np.array(np.nan), "0/momentum": np.ones(2)}, "learning_rate must lie"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            optimizer.set_state({**before, **change})
        for name, value in optimizer.get_state().items():
            np.testing.assert_array_equal(value, before[name])
    with pytest.raises(ValueError, match=r"missing .*0/momentum.*call build\(weights\) first"):
        optimizer.set_state({"iterations": np.array(1), "learning_rate": np.array(0.1)})


@pytest.mark.parametrize(
    "optimizer",
    [
        optimizers.SGD(0.5, momentum=0.1, nesterov=True, clipnorm=2.0, name="mine"),
        optimizers.Adam(schedules.CosineDecay(0.1, 100), 0.5, 0.6, 1e-3, global_clipnorm=1.0),
        optimizers.AdamW(weight_decay=None),
        optimizers.RMSprop(rho=0.5, clipvalue=0.25),
        optimizers.Adagrad(initial_accumulator_value=0.3, weight_decay=0.1),
    ],
    ids=lambda optimizer: optimizer.name,
)
def test_config_round_trip(optimizer: optimizers.Optimizer) -> None:
    saved = json.loads(json.dumps({"class_name": type(optimizer).__name__, "config": optimizer.get_config()}))
    again = optimizers.get(saved)
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    assert again.learning_rate == optimizer.learning_rate


@pytest.mark.parametrize(
    ("name", "cls", "rate"),
    [
        ("sgd", optimizers.SGD, 0.01),
        ("Adam", optimizers.Adam, 0.001),
        ("adamw", optimizers.AdamW, 0.001),
        ("RMSprop", optimizers.RMSprop, 0.001),
        ("adagrad", optimizers.Adagrad, 0.001),
    ],
)
def test_get(name: str, cls: type, rate: float) -> None:
    assert type(optimizers.get(name)) is cls
    assert optimizers.get(cls).learning_rate == rate
    assert optimizers.AdamW().weight_decay == 0.004


def test_a_function_as_a_rate_has_no_config() -> None:
    with pytest.raises(TypeError, match="LearningRateSchedule"):
        optimizers.SGD(lambda step: 0.1).get_config()


# ---- what is refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: optimizers.get("adamm"), "unknown optimizer 'adamm'; did you mean 'adam'"),
        (lambda: optimizers.SGD(-0.1), "learning_rate must lie in"),
        (lambda: optimizers.SGD(math.nan), "learning_rate must lie in"),
        (lambda: optimizers.SGD("0.1"), "learning_rate must be a number, got '0.1'"),
        (lambda: optimizers.SGD(True), "learning_rate must be a number"),
        (lambda: optimizers.SGD(np.ones(2)), "learning_rate must be a number"),
        (lambda: optimizers.SGD(momentum=1.5), r"momentum must lie in \[0, 1\]"),
        (lambda: optimizers.Adam(beta_1=1.0), r"beta_1 must lie in \[0, 1\)"),
        (lambda: optimizers.Adam(beta_2=-0.1), r"beta_2 must lie in \[0, 1\)"),
        (lambda: optimizers.Adam(epsilon=-1e-7), "epsilon must lie in"),
        (lambda: optimizers.RMSprop(rho=1), "rho must lie in"),
        (lambda: optimizers.Adagrad(initial_accumulator_value=-1), "initial_accumulator_value must lie in"),
        (lambda: optimizers.Adam(weight_decay=-1), "weight_decay must lie in"),
        (lambda: optimizers.Adam(clipnorm=0), "clipnorm must lie in"),
        (lambda: optimizers.Adam(clipnorm=1, clipvalue=1), "only one of clipnorm, clipvalue"),
        (lambda: optimizers.Adam(decay=0.1), "Adam has no argument 'decay'; .*known: learning_rate, .*clipnorm"),
        (lambda: optimizers.RMSprop(learning_rat=0.1), r"RMSprop has no argument .* did you mean 'learning_rate'\?"),
        (lambda: optimizers.SGD(lambda step: -1.0).learning_rate, "the learning rate of a schedule must lie"),
        (lambda: optimizers.SGD(schedules.LearningRateSchedule()).learning_rate, "has no __call__"),
        (lambda: schedules.LearningRateSchedule().get_config(), "has no get_config"),
        (lambda: optimizers.SGD({"class_name": "CosinDecay", "config": {}}), "did you mean"),
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "decay_steps must lie in"),
        (lambda: schedules.CosineDecay(-0.1, 10), "initial_learning_rate must lie in"),
        (lambda: schedules.PolynomialDecay(0.1, 10, power=0), "power must lie in"),
        (
            lambda: schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2]),
            "values must be one more than boundaries, got 2 and 2",
        ),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3]), "must ascend"),
        (lambda: optimizers.Optimizer(0.1).apply_gradients([([1.0], md.Tensor([1.0]))]), "has no update"),
        (lambda: optimizers.SGD().apply(md.Tensor([1.0]), md.Tensor([1.0])), r"a tensor; write apply\(\[g\], \[w\]\)"),
        (lambda: optimizers.SGD().minimize(lambda: 1.0, [md.Tensor([1.0])]), "must be a Tensor, or a function"),
    ],
)
def test_arguments_that_are_refused(call: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=words):
        call()


def trained() -> md.Tensor:
    return md.Tensor([1.0, 2.0], requires_grad=True, name="kernel")


def read_only() -> md.Tensor:
    array = np.ones(2)
    array.flags.writeable = False
    return md.as_tensor(array)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (lambda: ([1.0], md.Tensor([1.0, 2.0], name="kernel")), r"gradient of weight kernel \(2,\) has shape \(1,\)"),
        (lambda: ([1.0, 2.0, 3.0], md.Tensor([1.0, 2.0])), r"gradient of weight 1 \(2,\) has shape \(3,\)"),
        (lambda: ([1j, 1j], md.Tensor([1.0, 2.0])), "must hold real numbers"),
        (lambda: ([1.0, 2.0], np.ones(2)), r"pair 1 must be \(gradient, weight\)"),
        (lambda: md.Tensor([[1.0], [2.0]]), r"pair 1 must be \(gradient, weight\), as from zip\(gradients, weights\)"),
        (lambda: ([1.0, 2.0], md.Tensor([1, 2])), "only floating-point weights"),
        (lambda: ([1.0, 2.0], md.Tensor([1.0, 2.0], requires_grad=True) * 2), "result of an operation"),
        (lambda: ([1.0, 1.0], read_only()), "read-only"),
        (lambda: (trained(), md.Tensor([1.0, 1.0])), r"pair 1 .* seems to be swapped: its first, weight kernel \(2,\)"),
    ],
)
def test_one_bad_pair_leaves_all_weights_as_they_were(pair: Any, words: str) -> None:
    good, optimizer = md.Tensor([5.0]), optimizers.Adam()
    with pytest.raises((ValueError, TypeError), match=words):
        optimizer.apply_gradients([([1.0], good), pair()])
    assert good.item() == 5.0
    assert optimizer.iterations == 0
    assert "0/momentum" not in optimizer.get_state()


def test_what_requires_no_gradient_can_be_trained() -> None:
    """By a gradient that is itself differentiable, too: it is no leaf."""
    w, x = md.Tensor([5.0]), trained()
    (dx,) = md.gradients((x * x).sum(), [x], create_graph=True)
    optimizers.SGD(1.0).apply_gradients([([1.0], w)])
    optimizers.SGD(1.0).apply_gradients([(dx[:1], w)])
    assert w.item() == 2.0


def test_steps_that_are_refused() -> None:
    w, optimizer = md.Tensor([5.0]), optimizers.SGD()
    with pytest.raises(ValueError, match=r"at least one pair .* build\(shape\) makes them"):
        optimizer.apply_gradients([])
    with pytest.raises(ValueError, match=r"weight 1 \(1,\) is given twice"):
        optimizer.apply_gradients([([1.0], w), ([1.0], w)])
    with pytest.raises(ValueError, match="no weight has a gradient"):
        optimizer.apply_gradients([(None, w)])
    assert w.item() == 5.0


def test_a_step_that_breaks_off_leaves_no_change_unnoticed() -> None:
    """A weight that was changed before the error counts as changed, so a backward that needs the old one is refused."""

    class Breaks(optimizers.Optimizer):
        def update(self, w: Any, g: Any, *rest: Any) -> None:
            if w.size > 1:
                raise ArithmeticError("no more")
            w -= g

    first, second = md.Tensor([2.0], requires_grad=True), md.Tensor([3.0, 4.0], requires_grad=True)
    loss = (first * second).sum()
    with pytest.raises(ArithmeticError):
        Breaks().apply_gradients([([1.0], first), ([1.0, 1.0], second)])
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()
