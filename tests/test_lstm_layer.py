"""The LSTM layer, held to an LSTM unrolled in PyTorch and to the properties that an LSTM has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl as md
from minidl import activations, layers

TOLERANCE = {"float64": 1e-9, "float32": 5e-5}  # of the largest entry
X = np.random.default_rng(0).normal(size=(3, 4, 2))
MASK = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 0]], bool)


# ---- PyTorch


def unrolled(
    torch: Any, x: Any, h: Any, c: Any, weights: list[Any], mask: Any, layer: layers.LSTM
) -> tuple[Any, Any, Any]:
    """What the layer should compute, one step after the other in PyTorch."""
    functions = {
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "relu": torch.relu,
        "softsign": torch.nn.functional.softsign,
    }
    outer = functions[activations.serialize(layer.activation)]
    gate = functions[activations.serialize(layer.recurrent_activation)]
    kernel, recurrent, *bias = weights
    last, outputs = torch.zeros_like(h), []
    steps = range(x.shape[1])
    for t in reversed(steps) if layer.go_backwards else steps:
        z = x[:, t] @ kernel + h @ recurrent + (bias[0] if bias else 0)
        i, f, g, o = z.chunk(4, dim=1)
        c_new = gate(f) * c + gate(i) * outer(g)
        h_new = gate(o) * outer(c_new)
        valid = torch.ones(len(x), 1, dtype=bool) if mask is None else torch.tensor(mask[:, t, None])
        h, c, last = torch.where(valid, h_new, h), torch.where(valid, c_new, c), torch.where(valid, h_new, last)
        outputs.append(last)
    return torch.stack(outputs, 1) if layer.return_sequences else last, h, c


CONFIGURATIONS = [
    {"return_sequences": sequences, "go_backwards": backwards, "masked": masked, "state": state, "used": used}
    for sequences in (True, False)
    for backwards in (True, False)
    for masked in (True, False)
    for state in (True, False)
    for used in ((0, 1, 2), (0,), (2,))
]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("seed", range(len(CONFIGURATIONS)))
def test_parity_with_pytorch(seed: int, dtype: str, kernels: str) -> None:
    check_against_pytorch(CONFIGURATIONS[seed], dtype, seed)


@pytest.mark.parametrize(
    "extra", [{"use_bias": False}, {"activation": "softsign"}, {"recurrent_activation": "softsign"}], ids=str
)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_parity_with_pytorch_beyond_the_defaults(dtype: str, extra: dict[str, Any]) -> None:
    check_against_pytorch(CONFIGURATIONS[0] | extra, dtype, seed=0)


def check_against_pytorch(options: dict[str, Any], dtype: str, seed: int) -> None:
    torch = pytest.importorskip("torch")
    options = dict(options)
    masked, state, used = options.pop("masked"), options.pop("state"), options.pop("used")
    rng = np.random.default_rng(seed)
    batch, time, features, units = rng.integers(2, 7, 4)
    layer = layers.LSTM(units, return_state=True, dtype=dtype, **options)
    layer.build((None, None, features))
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    x = md.Tensor(rng.normal(size=(batch, time, features)), requires_grad=True, dtype=dtype)
    h, c = (md.Tensor(rng.normal(size=(batch, units)) * state, requires_grad=True, dtype=dtype) for _ in range(2))
    mask = rng.random((batch, time)) < 0.5 if masked else None
    if masked:
        mask[0] = False

    got = layer(x, initial_state=[h, c] if state else None, mask=mask)
    gradients = [rng.normal(size=got[i].shape) for i in used]
    sum((got[i] * dy).sum() for i, dy in zip(used, gradients, strict=True)).backward()

    truth = [torch.tensor(np.asarray(t, np.float64), requires_grad=True) for t in (x, h, c, *layer.weights)]
    expected = unrolled(torch, *truth[:3], truth[3:], mask, layer)
    sum((expected[i] * torch.tensor(dy)).sum() for i, dy in zip(used, gradients, strict=True)).backward()

    for name, a, b in zip(("output", "h", "c"), got, expected, strict=True):
        close(name, a, b.detach(), dtype)
    own = (x, h, c, *layer.weights) if state else (x, *layer.weights)
    theirs = truth if state else (truth[0], *truth[3:])
    for i, (a, b) in enumerate(zip(own, theirs, strict=True)):
        close(f"gradient {i}", a.grad, b.grad, dtype)


def close(name: str, got: Any, expected: Any, dtype: str) -> None:
    expected = np.asarray(expected)
    assert got.dtype == dtype and got.shape == expected.shape
    worst = np.abs(got.numpy() - expected).max()
    allowed = TOLERANCE[dtype] * np.abs(expected).max()
    assert worst <= allowed, f"{name} is off by {worst:.3g}, allowed {allowed:.3g}"


# ---- what is returned


def small(**options: Any) -> layers.LSTM:
    layer = layers.LSTM(3, dtype="float64", kernel_initializer=md.initializers.GlorotUniform(1), **options)
    layer.recurrent_initializer = md.initializers.Orthogonal(seed=2)
    return layer


def test_outputs_and_states_agree() -> None:
    y = small(return_sequences=True)(X)
    last = small()(X)
    all_three = small(return_sequences=True, return_state=True)(X)
    three = small(return_state=True)(X)
    np.testing.assert_array_equal(y.numpy()[:, -1], last.numpy())
    np.testing.assert_array_equal(all_three[0].numpy(), y.numpy())
    assert isinstance(three, tuple) and len(three) == 3
    for t in (three[0], three[1], all_three[1]):
        np.testing.assert_array_equal(t.numpy(), last.numpy())
    np.testing.assert_array_equal(three[2].numpy(), all_three[2].numpy())


def test_a_row_without_valid_steps_gives_0_and_keeps_its_state() -> None:
    state = [np.full((3, 3), 0.5), np.full((3, 3), -2.0)]
    output, h, c = small(return_state=True)(X, initial_state=state, mask=MASK)
    assert not output.numpy()[1].any() and (h.numpy()[1] == 0.5).all() and (c.numpy()[1] == -2).all()
    np.testing.assert_array_equal(output.numpy()[[0, 2]], h.numpy()[[0, 2]])


def test_masked_steps_repeat_the_output_before() -> None:
    y = small(return_sequences=True)(X, mask=MASK).numpy()
    np.testing.assert_array_equal(y[0, 2], y[0, 1])
    np.testing.assert_array_equal(y[2, 3], y[2, 2])
    assert not y[2, 0].any() and y[0, 0].any()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1), st.booleans())
def test_padding_anywhere_changes_nothing(batch: int, time: int, seed: int, backwards: bool) -> None:
    """Steps put in under a mask leave the last output and the states, to the last bit."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, time, 2))
    layer = small(return_state=True, go_backwards=backwards)
    padded, mask = [], []
    for row in x:
        places = np.sort(rng.permutation(time + 3)[:time])
        padded.append(rng.normal(size=(time + 3, 2)))
        padded[-1][places] = row
        mask.append(np.isin(np.arange(time + 3), places))
    with md.use("reference"):
        for a, b in zip(layer(x), layer(np.array(padded), mask=np.array(mask)), strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_backwards_is_forwards_on_the_reversed_sequence() -> None:
    back, ahead = small(return_sequences=True, go_backwards=True), small(return_sequences=True)
    np.testing.assert_array_equal(back(X, mask=MASK).numpy(), ahead(X[:, ::-1], mask=MASK[:, ::-1]).numpy())


def test_a_sequence_in_two_halves() -> None:
    layer = small(return_sequences=True, return_state=True)
    whole = layer(X)[0].numpy()
    first, h, c = layer(X[:, :2])
    second, _, _ = layer(X[:, 2:], [h, c])  # by position too
    np.testing.assert_array_equal(whole, np.concatenate([first.numpy(), second.numpy()], 1))


def test_no_steps() -> None:
    y, h, c = layers.LSTM(3, return_sequences=True, return_state=True)(X[:, :0], initial_state=[np.ones((3, 3))] * 2)
    assert y.shape == (3, 0, 3) and (h.numpy() == 1).all() and (c.numpy() == 1).all()
    with pytest.raises(
        ValueError, match=r"short needs at least one time step to give its last output, got shape \(3, 0, 2\)"
    ):
        layers.LSTM(3, name="short")(X[:, :0])


# ---- stateful


def test_stateful_as_keras() -> None:
    path = Path(__file__).with_name("golden") / "keras_layers.json"
    expected = json.loads(path.read_text(encoding="utf-8"))["stateful"]
    rng = np.random.default_rng(100)
    layer = layers.LSTM(2, stateful=True, dtype="float64")
    layer.build((3, 4, 2))
    layer.set_weights([rng.uniform(-1, 1, w.shape) for w in layer.weights])
    batches = rng.uniform(-1, 1, (3, 3, 4, 2))
    outputs = [layer(batches[0]), layer(batches[1])]
    layer.reset_state()
    outputs.append(layer(batches[2]))
    for y, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(y.numpy().reshape(-1), wanted, rtol=0, atol=1e-12)


def test_the_state_that_is_kept_is_a_constant() -> None:
    layer = small(stateful=True)
    layer(X)
    x = md.Tensor(X, requires_grad=True)
    layer(x).sum().backward()
    layer(X).sum().backward()  # the graph of the batch before is gone, and not asked for
    assert x.grad is not None


def test_a_stateful_layer_refuses_another_batch_size_and_keeps_its_state() -> None:
    layer = small(stateful=True, name="keeper")
    layer(X)
    h = layer.states[0].numpy().copy()
    with pytest.raises(
        ValueError, match=r"keeper is stateful and keeps the state of 3 sequences, got a batch of 2; let all"
    ):
        layer(X[:2])
    np.testing.assert_array_equal(layer.states[0].numpy(), h)
    layer.reset_states()  # Keras has both names
    layer(X[:2])


def test_stateful_in_both_directions() -> None:
    both = layers.Bidirectional(small(stateful=True))
    first = both(X).numpy()
    assert (both(X).numpy() != first).any()
    both.reset_state()
    np.testing.assert_array_equal(both(X).numpy(), first)


# ---- dropout


def test_dropout_is_one_mask_for_all_steps(kernels: str) -> None:
    layer = small(dropout=0.5, seed=3)
    x = md.Tensor(np.ones((40, 5, 2)), requires_grad=True)
    y = layer(x, training=True)
    y.sum().backward()
    dropped = x.grad.numpy() == 0
    np.testing.assert_array_equal(dropped, np.broadcast_to(dropped[:, :1], dropped.shape))
    assert 0.2 < dropped[:, 0].mean() < 0.8
    noise = md.dropout(np.ones((40, 1, 2)), 0.5, rng=md.random.Generator(3)).numpy()
    np.testing.assert_allclose(y.numpy(), small()(np.ones((40, 5, 2)) * noise).numpy(), rtol=1e-12)
    np.testing.assert_array_equal(layer(x).numpy(), small()(x).numpy())


def test_recurrent_dropout_is_one_mask_for_all_steps(kernels: str) -> None:
    """The noise on h is noise on the rows of the recurrent kernel, the same at each step."""
    layer, plain = small(recurrent_dropout=0.5, seed=3), small()
    noise = md.dropout(np.ones((3, 3)), 0.5, rng=md.random.Generator(3)).numpy()
    assert np.unique(noise).tolist() == [0, 2]
    got = layer(X, mask=MASK, training=True).numpy()
    plain(X)
    full = plain.recurrent_kernel.numpy().copy()
    for row in range(3):
        plain.recurrent_kernel.data = noise[row][:, None] * full
        np.testing.assert_allclose(got[row], plain(X, mask=MASK).numpy()[row], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"recurrent_dropout": 0.5}], ids=str)
def test_one_seed_one_noise(options: dict[str, float]) -> None:
    first, second = small(seed=3, **options), small(seed=3, **options)
    a, b = first(X, training=True).numpy(), first(X, training=True).numpy()
    np.testing.assert_array_equal(second(X, training=True).numpy(), a)
    assert (a != b).any()


# ---- which way it runs


def test_fused_where_the_kernels_can() -> None:
    def ops(layer: layers.LSTM, **options: Any) -> str:
        return layer(md.Tensor(X), **options)._op.name()

    assert ops(small(return_sequences=True)) == "lstm" and ops(small(dropout=0.5), training=True) == "lstm"
    assert ops(small(activation="relu", return_sequences=True)) == "stack"
    assert ops(small(recurrent_dropout=0.5, return_sequences=True)) == "lstm"
    assert ops(small(recurrent_dropout=0.5, return_sequences=True), training=True) == "stack"


def test_small_ops_compute_what_the_kernel_computes() -> None:
    def my_tanh(x: Any) -> Any:
        return md.tanh(x)

    fused, written_out = (
        small(return_sequences=True, return_state=True),
        small(return_sequences=True, return_state=True, activation=my_tanh),
    )
    for a, b in zip(fused(X, mask=MASK), written_out(X, mask=MASK), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("again", [False, True])
def test_what_lies_under_the_mask_reaches_no_gradient(again: bool, value: float, kernels: str) -> None:
    """In the small ops: those of a layer that the kernels do not know, and those of second derivatives."""
    layer = small() if again else small(activation=lambda x: md.tanh(x))
    layer.build((None, None, 2))

    def slopes(hidden: float) -> list[Any]:
        x = md.Tensor(np.where(MASK[:, :, None], X, hidden), requires_grad=True)
        y = (layer(x, mask=MASK) ** 2).sum()
        if again:
            y = (md.gradients(y, layer.kernel, create_graph=True) ** 2).sum()
        return [d.numpy() for d in md.gradients(y, [x, *layer.trainable_weights])]

    for with_zeros, with_value in zip(slopes(0.0), slopes(value), strict=True):
        assert np.isfinite(with_value).all() and with_zeros.tobytes() == with_value.tobytes()


def test_ways_of_computing_in_keras_are_accepted() -> None:
    layer = small(unroll=True, use_cudnn=False, implementation=1)
    np.testing.assert_array_equal(layer(X).numpy(), small()(X).numpy())
    assert not {"unroll", "use_cudnn", "implementation"} & layer.get_config().keys()


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial_state": [np.zeros((3, 3))]}, r"reader: initial_state must be \[h, c\], got a list of 1"),
        ({"initial_state": np.zeros((2, 3, 3))}, r"reader: initial_state must be \[h, c\], got a ndarray of 2"),
        ({"initial_state": [None, None]}, r"reader: initial_state must be \[h, c\], got a list of 2"),
        (
            {"initial_state": [np.zeros((3, 3)), np.zeros((3, 4))]},
            r"reader: c of initial_state must have shape \(batch, units\) = \(3, 3\), got \(3, 4\)",
        ),
        ({"mask": MASK[..., None]}, r"reader: mask must have shape \(batch, time\) = \(3, 4\), got \(3, 4, 1\)"),
        ({"mask": MASK[:2]}, r"reader: mask must have shape \(batch, time\) = \(3, 4\), got \(2, 4\)"),
    ],
)
def test_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layers.LSTM(3, name="reader")(X, **options)


def test_states_of_both_directions() -> None:
    both = layers.Bidirectional(layers.LSTM(3), name="both")
    with pytest.raises(
        ValueError, match=r"both: initial_state must be \[forward h, forward c, backward h, backward c\]"
    ):
        both(X, initial_state=[np.zeros((3, 3))] * 2)
