"""Layers and activations: Keras' results, masks, configurations, dropout, and what is refused."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import activations, layers
from minidl.testing import Case, cases_of

KERAS = json.loads(Path(__file__).with_name("golden").joinpath("keras_layers.json").read_text(encoding="utf-8"))
X = np.random.default_rng(0).normal(size=(3, 4, 2))
MASK = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 0]], bool)


def made(class_name: str, config: dict[str, Any]) -> layers.Layer:
    inside = {"layer": made(**config["layer"])} if "layer" in config else {}
    return getattr(layers, class_name)(**config | inside | {"dtype": "float64"})


# ---- Keras


@pytest.mark.parametrize("name", KERAS["layers"])
def test_keras_results_and_gradients(name: str, kernels: str) -> None:
    case, seed = KERAS["layers"][name], list(KERAS["layers"]).index(name)
    rng = np.random.default_rng(seed)
    layer = made(case["class_name"], case["config"])
    x = md.Tensor(rng.uniform(-1, 1, case["shape"]), requires_grad=True)
    states = [md.Tensor(rng.uniform(-1, 1, (3, 2)), requires_grad=True) for _ in range(case["states"])]
    layer.build((None, *x.shape[1:]))
    layer.set_weights([rng.uniform(-1, 1, w.shape) for w in layer.weights])
    options: dict[str, Any] = {"initial_state": states} if states else {}
    outputs = _listed(layer(x, mask=case["mask"], **options))
    sum((y * rng.uniform(-1, 1, y.shape)).sum() for y in outputs).backward()
    for y, expected in zip(outputs, case["outputs"], strict=True):
        assert y.dtype == np.float64
        np.testing.assert_allclose(y.numpy().reshape(-1), expected, rtol=0, atol=1e-12)
    for v, expected in zip((x, *states, *layer.weights), case["gradients"], strict=True):
        np.testing.assert_allclose(v.grad.numpy().reshape(-1), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", KERAS["activations"])
def test_keras_activations(name: str) -> None:
    y = activations.get(name)(np.linspace(-4, 4, 9)[None])
    # TensorFlow keeps the constants of two of them, 0.2 and √2, in float32; the test below is exact.
    rtol = 1e-6 if name in ("leaky_relu", "gelu") else 1e-12
    np.testing.assert_allclose(y.numpy()[0], KERAS["activations"][name], rtol=rtol, atol=1e-15)


def test_activations_whose_constants_keras_rounds() -> None:
    x = np.linspace(-4, 4, 9)
    cdf = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x])
    np.testing.assert_allclose(activations.gelu(x).numpy(), x * cdf, rtol=0, atol=1e-15)
    np.testing.assert_allclose(activations.gelu(x, approximate=True).numpy(), KERAS["gelu, approximate"], rtol=2e-7)
    np.testing.assert_allclose(activations.leaky_relu(x, 0.3).numpy(), np.where(x > 0, x, 0.3 * x), rtol=1e-15)


def test_keras_masks() -> None:
    y = layers.Masking(5.0)(np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 5.0], [5.0, 5.0]]]))
    assert y.numpy().reshape(-1).tolist() == KERAS["masks"]["masking"]
    assert y._mask.tolist() == KERAS["masks"]["masking mask"]
    y = layers.Embedding(4, 2, mask_zero=True)([[1, 0, 3], [0, 0, 2]])
    assert y._mask.tolist() == KERAS["masks"]["embedding mask"]


# ---- gradients


def test_every_layer_has_a_row_in_the_table() -> None:
    classes = {c.__name__ for c in vars(layers).values() if isinstance(c, type) and issubclass(c, layers.Layer)}
    assert {case.name for case in cases_of("layer")} == classes - {"Layer"}


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("case", cases_of("layer"), ids=str)
def test_first_derivatives(case: Case) -> None:
    assert md.gradcheck(case.function, case.inputs)


@pytest.mark.parametrize("case", cases_of("layer"), ids=str)
def test_second_derivatives(case: Case) -> None:
    assert md.gradgradcheck(case.function, case.inputs)


@pytest.mark.parametrize("name", KERAS["activations"])
def test_activations_far_out(name: str) -> None:
    """Neither the value nor the gradient is spoilt by the branch that is not taken."""
    far = [-800.0, 700.0] if name == "exponential" else [-1e4, 1e4]
    x = md.Tensor(far, requires_grad=True, dtype="float64")
    y = activations.get(name)(x)
    y.backward(np.ones(2))
    assert np.isfinite(y.numpy()).all() and np.isfinite(x.grad.numpy()).all()
    if name in ("elu", "selu"):
        assert float(x.grad[1]) == float(y[1]) / 1e4


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "selu", "softplus", "silu", "gelu"])
def test_pytorch_s_activations(name: str, kernels: str) -> None:
    """Values, first and second derivatives."""
    torch = pytest.importorskip("torch")
    x = np.linspace(-9, 9, 240)
    theirs = torch.tensor(x, requires_grad=True)
    options = {"negative_slope": 0.2} if name == "leaky_relu" else {}
    expected = [getattr(torch.nn.functional, name)(theirs, **options)]
    ours = md.Tensor(x, requires_grad=True)
    weights = np.cos(x)
    y = activations.get(name)(ours)
    total = (y * weights).sum()
    found = [y, md.gradients(total, [ours], retain_graph=True)[0]]
    (slope,) = torch.autograd.grad(expected[0], theirs, torch.tensor(weights), create_graph=True)
    expected.append(slope)
    expected += torch.autograd.grad(slope.sum(), theirs)
    found.append(md.gradients(md.gradients(total, [ours], create_graph=True)[0].sum(), [ours])[0])
    for y, truth in zip(found, expected, strict=True):
        np.testing.assert_allclose(y.numpy(), truth.detach().numpy(), rtol=1e-13, atol=1e-14)


def test_a_plain_gradient_is_that_of_a_graph_that_goes_on() -> None:
    """The kernel of the derivative, and the derivative of the function in small ops: at kinks and far out too.

    Where a slope is next to nothing the kernel has more digits of it, and at an infinity its limit.
    """
    x = md.Tensor([-1e4, -20.0, -1.0, -0.0, 0.0, 1.0, 20.0, 1e4, np.nan], requires_grad=True, dtype="float64")
    for name in ("relu", "leaky_relu", "elu", "selu", "softplus", "silu", "gelu"):
        y = activations.get(name)(x).sum()
        plain = md.gradients(y, [x], retain_graph=True)[0]
        recorded = md.gradients(y, [x], create_graph=True)[0]
        np.testing.assert_allclose(plain.numpy(), recorded.numpy(), rtol=1e-13, atol=1e-16, err_msg=name)


@pytest.mark.parametrize("dtype", ["float16", "longdouble"])
def test_activations_of_types_that_the_kernels_do_not_take(dtype: str) -> None:
    x = np.linspace(-3, 3, 9).astype(dtype)
    eps = float(np.finfo(dtype).eps)
    for name in ("relu", "leaky_relu", "elu", "selu", "softplus"):
        t = md.Tensor(x, requires_grad=True)
        y = activations.get(name)(t)
        y.backward(np.ones_like(x))
        wide = md.Tensor(x.astype("float64"), requires_grad=True)
        activations.get(name)(wide).backward(np.ones(9))
        assert y.dtype == x.dtype and t.grad.dtype == x.dtype
        np.testing.assert_allclose(t.grad.numpy(), wide.grad.numpy(), rtol=max(8 * eps, 1e-14), err_msg=name)


def test_a_slope_may_be_learned() -> None:
    """A tensor in place of the number."""
    x = md.Tensor([-3.0, 2.0, -1.0], requires_grad=True)
    slope = md.Tensor(0.5, requires_grad=True)
    activations.leaky_relu(x, slope).sum().backward()
    assert slope.grad.item() == -4 and x.grad.tolist() == [0.5, 1, 0.5]
    alpha = md.Tensor(0.5, requires_grad=True, dtype="float64")
    activations.elu(md.Tensor([-1.0, 2.0], dtype="float64"), alpha).sum().backward()
    np.testing.assert_allclose(alpha.grad.item(), np.expm1(-1), rtol=1e-15)


# ---- the document's model


def test_the_document_s_model_has_its_parameters() -> None:
    model = md.Sequential(
        [
            layers.Embedding(1000, 64, input_length=100),
            layers.LSTM(128, return_sequences=True),
            layers.Dropout(0.5),
            layers.LSTM(128),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    assert [layer.count_params() for layer in model.layers] == [64_000, 98_816, 0, 131_584, 129]
    assert model.count_params() == 294_529


# ---- every layer: configuration, shapes, types

LAYERS = [
    (lambda: layers.Activation("gelu"), X),
    (lambda: layers.Activation(activations.relu), X),
    (lambda: layers.Bidirectional(layers.LSTM(3, return_sequences=True, seed=1), merge_mode="ave"), X),
    (lambda: layers.Bidirectional(layers.LSTM(3, return_state=True), input_shape=(4, 2)), X),
    (lambda: layers.Bidirectional(layers.LSTM(3), merge_mode=None), X),
    (lambda: layers.Bidirectional(layers.LSTM(3), backward_layer=layers.LSTM(5, "relu", go_backwards=True)), X),
    (lambda: layers.Dense(5, "relu", kernel_regularizer="l2", bias_initializer="ones", input_dim=2), X),
    (
        lambda: layers.Dense(
            5, use_bias=False, kernel_initializer=md.initializers.Orthogonal(2.0, seed=4), name="mine"
        ),
        X,
    ),
    (lambda: layers.Dropout(0.25, (None, 1, 2), seed=6), X),
    (lambda: layers.SpatialDropout1D(0.25, seed=6), X),
    (
        lambda: layers.Embedding(9, 3, mask_zero=True, input_length=4, embeddings_regularizer=md.regularizers.L1(2.0)),
        [[1, 2, 3, 4]],
    ),
    (lambda: layers.Flatten(), X),
    (lambda: layers.GlobalAveragePooling1D(keepdims=True), X),
    (lambda: layers.GlobalMaxPooling1D(), X),
    (lambda: layers.Input((4, 2)), X),
    (
        lambda: layers.LSTM(
            3, "relu", "hard_sigmoid", unit_forget_bias=False, return_state=True, recurrent_regularizer="l1"
        ),
        X,
    ),
    (lambda: layers.LSTM(3, use_bias=False, dropout=0.1, recurrent_dropout=0.2, seed=2, trainable=False), X),
    (lambda: layers.LSTM(3, return_sequences=True, return_state=True, go_backwards=True, stateful=True), X),
    (lambda: layers.Masking(2.0), X),
    (lambda: layers.Reshape((2, -1, 1)), X),
    (lambda: layers.TimeDistributed(layers.Dense(3, activation="tanh"), trainable=False), X),
]


@pytest.mark.parametrize(("make", "x"), LAYERS)
def test_config_round_trip(make: Any, x: Any) -> None:
    layer = make()
    written = json.loads(json.dumps(layers.serialize(layer)))
    again = layers.deserialize(written)
    assert (type(again), again.name, again.batch_shape) == (type(layer), layer.name, layer.batch_shape)
    assert json.loads(json.dumps(layers.serialize(again))) == written
    y = layer(x)  # makes the weights
    again(x)
    again.set_weights(layer.get_weights())
    assert [w.requires_grad for w in again.weights] == [w.requires_grad for w in layer.weights]
    layers.LSTM.reset_state(again) if isinstance(layer, layers.LSTM) else None
    for a, b in zip(_listed(again(x)), _listed(y), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize(("make", "x"), LAYERS)
def test_output_shape_is_what_was_promised(make: Any, x: Any) -> None:
    layer = make()
    x = np.asarray(x)
    promised = layer.compute_output_shape((None, *x.shape[1:]))
    several = isinstance(promised[0], tuple)
    for y, shape in zip(_listed(layer(x)), promised if several else [promised], strict=True):
        assert (None, *y.shape[1:]) == shape and y.shape[0] == x.shape[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("make", "x"), LAYERS)
def test_dtype_is_honoured(make: Any, x: Any, dtype: str) -> None:
    config = make().get_config() | {"dtype": dtype}
    for key in ("layer", "backward_layer"):
        if key in config:
            config[key]["config"]["dtype"] = dtype
    layer = type(make()).from_config(config)
    outputs = _listed(layer(x))
    assert all(w.dtype == dtype for w in layer.weights)
    if not isinstance(layer, layers.InputLayer):  # which passes on what it gets
        assert all(y.dtype == dtype for y in outputs)


def test_integers_are_taken_for_floats() -> None:
    ids = np.arange(24).reshape(3, 4, 2)
    for layer in (
        layers.LSTM(2),
        layers.Dense(2),
        layers.Activation("relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dropout(0.5),
    ):
        np.testing.assert_array_equal(layer(ids).numpy(), layer(ids.astype("float32")).numpy())
        assert layer(ids).dtype == np.float32


def test_float64_never_passes_through_float32() -> None:
    """0.1 has other digits in float32."""
    for data in ([[0.1]], np.array([[0.1]])):
        layer = layers.Dense(1, kernel_initializer="ones", dtype="float64")
        assert float(layer(data)) == 0.1
    wrapped = layers.TimeDistributed(layers.Dense(1, kernel_initializer="ones", dtype="float64"))
    assert float(wrapped([[[0.1]]])) == 0.1
    layer = layers.LSTM(1, dtype="float64", return_state=True)
    _, _, c = layer(np.zeros((1, 1, 1)), initial_state=[[[0.0]], [[0.1]]])
    x, half = np.array(0.1), 1 / (1 + np.exp(-1.0))
    assert float(c) == pytest.approx(float(half * x), rel=1e-15)


# ---- masks


def test_which_layers_hand_a_mask_on() -> None:
    x = layers.Masking()(np.where(MASK[..., None], X, 0))
    on = [layers.Dense(3), layers.Activation("relu"), layers.Dropout(0.5), layers.LSTM(3, return_sequences=True)]
    on += [layers.Bidirectional(layers.LSTM(3, return_sequences=True)), layers.TimeDistributed(layers.Dense(2))]
    for layer in on:
        np.testing.assert_array_equal(layer(x)._mask, MASK)
    for layer in (
        layers.LSTM(3),
        layers.Flatten(),
        layers.Bidirectional(layers.LSTM(3)),
        layers.GlobalAveragePooling1D(),
    ):
        assert getattr(layer(x), "_mask", None) is None
    backwards = layers.LSTM(3, return_sequences=True, go_backwards=True)
    np.testing.assert_array_equal(backwards(x)._mask, MASK[:, ::-1])
    both = layers.Bidirectional(layers.LSTM(3, return_sequences=True), merge_mode=None)(x)
    assert all((y._mask == MASK).all() for y in both)


def test_activations_hand_a_mask_on() -> None:
    x = layers.Masking()(np.where(MASK[..., None], X, 0))
    assert all((activations.get(name)(x)._mask == MASK).all() for name in KERAS["activations"])


def test_a_mask_may_be_booleans_or_0_and_1_of_any_kind() -> None:
    layer = layers.LSTM(3)
    expected = layer(X, mask=MASK).numpy()
    for mask in (MASK.astype(int), MASK.astype("float32"), MASK.tolist(), md.Tensor(MASK)):
        np.testing.assert_array_equal(layer(X, mask=mask).numpy(), expected)
    with pytest.raises(ValueError, match=f"{layer.name}: a mask holds booleans, True for what counts, got int64"):
        layer(X, mask=MASK * 2)


def test_an_input_that_comes_out_again_keeps_its_own_mask() -> None:
    x = md.Tensor(X.astype("float32"))
    y = layers.Dropout(0.5)(x, mask=MASK)
    assert (y._mask == MASK).all() and not hasattr(x, "_mask")

    class Same(layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    assert not hasattr(Same()(y), "_mask")


def test_the_mask_given_is_copied() -> None:
    mask = MASK.copy()
    y = layers.Dense(2)(X, mask=mask)
    mask[...] = True
    np.testing.assert_array_equal(y._mask, MASK)


@pytest.mark.parametrize("dtype", ["float64", np.float64, SimpleNamespace(name="float64"), np.dtype("float64")])
def test_types_are_meant_by_names_or_by_what_has_one(dtype: Any) -> None:
    layer = layers.Dense(2, dtype=dtype)
    assert layer.dtype == layer.compute_dtype == layer.variable_dtype == np.float64


def test_a_weight_holds_zeros_by_default_unless_it_holds_floats() -> None:
    layer = layers.Layer()
    assert layer.add_weight((2,), None, "int32", trainable=False).numpy().tolist() == [0, 0]
    assert layer.add_weight((2, 2)).numpy().all()


def test_weights_change_by_assignment() -> None:
    class Sum(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.total = self.add_weight(shape=(2,), initializer="zeros", trainable=False)

        def call(self, x: md.Tensor) -> md.Tensor:
            return self.total.assign_add(x.sum(0))

    layer = Sum()
    for expected in ([2.0, 2.0], [4.0, 4.0]):
        assert layer(np.ones((2, 2))).numpy().tolist() == expected
    w = md.Tensor([1.0], requires_grad=True)
    assert w.assign_sub(w * 3) is w and w.is_leaf and w.requires_grad and w.item() == -2.0
    with pytest.raises(ValueError, match=r"data of shape \(2,\) cannot replace data of shape \(1,\)"):
        w.assign([1.0, 2.0])


@pytest.mark.parametrize("keepdims", [False, True])
def test_pooling_of_masked_steps(keepdims: bool) -> None:
    values = np.where(MASK[..., None], X - 5, 9.0)  # negative where valid, and the padding largest
    x = md.Tensor(values, requires_grad=True)
    shape = (3, 1, 2) if keepdims else (3, 2)
    average = layers.GlobalAveragePooling1D(keepdims=keepdims, dtype="float64")(x, mask=MASK)
    largest = layers.GlobalMaxPooling1D(keepdims=keepdims, dtype="float64")(x, mask=MASK)
    for i, row in enumerate(MASK):
        np.testing.assert_allclose(average.numpy().reshape(3, 2)[i], values[i, row].sum(0) / max(row.sum(), 1))
        np.testing.assert_array_equal(largest.numpy().reshape(3, 2)[i], values[i, row].max(0) if row.any() else 0)
    assert average.shape == largest.shape == shape
    (average + largest).sum().backward()
    assert not x.grad.numpy()[~MASK].any() and x.grad.numpy()[MASK].any(-1).all()


def test_time_distributed_over_sequences_of_sequences() -> None:
    ids = np.array([[[1, 2, 0], [3, 0, 0]], [[2, 2, 2], [0, 0, 0]]])
    words = layers.Embedding(4, 3, mask_zero=True)(ids)
    sentences = layers.TimeDistributed(layers.LSTM(5))
    y = sentences(words)
    assert y.shape == (2, 2, 5)
    np.testing.assert_array_equal(y._mask, [[True, True], [True, False]])
    alone = sentences.layer(words.numpy().reshape(4, 3, 3), mask=ids.reshape(4, 3) != 0)
    np.testing.assert_array_equal(y.numpy().reshape(4, 5), alone.numpy())
    inside = layers.TimeDistributed(layers.Embedding(4, 3, mask_zero=True))(ids)
    np.testing.assert_array_equal(inside._mask, ids != 0)
    sequences = layers.TimeDistributed(layers.LSTM(5, return_sequences=True))(words)
    np.testing.assert_array_equal(sequences._mask, ids != 0)


# ---- losses find the logits


@pytest.mark.parametrize("name", ["sigmoid", "softmax"])
def test_logits_stay_with_the_result(name: str) -> None:
    x = md.Tensor([[1.0, -2.0]])
    for y in (activations.get(name)(x), layers.Activation(name)(x)):
        assert y._logits[0] == name and y._logits[1] is x
    dense = layers.Dense(2, name, kernel_initializer="identity")
    np.testing.assert_array_equal(dense(x)._logits[1].numpy(), x.numpy())


# ---- Embedding


def test_embedding_looks_up_rows_and_takes_whole_floats() -> None:
    layer = layers.Embedding(5, 2, embeddings_initializer=np.arange(10.0).reshape(5, 2))
    expected = [[[2, 3], [8, 9]]]
    for ids in ([[1, 4]], np.array([[1, 4]], "uint8"), np.array([[1.0, 4.0]]), md.Tensor([[1.0, 4.0]])):
        assert layer(ids).tolist() == expected


def test_embedding_keeps_large_ids_that_come_as_floats() -> None:
    """16,777,217 is no float32."""
    ids = np.array([[[16777217.0]]])
    for layer in (layers.Embedding(5, 2), layers.TimeDistributed(layers.Embedding(5, 2))):
        with pytest.raises(IndexError, match="got 16777217"):
            layer(ids)


def test_embedding_gradient_adds_up_over_repeated_ids() -> None:
    layer = layers.Embedding(4, 2)
    layer([[1, 1, 3]]).sum().backward()
    assert layer.weights[0].grad.tolist() == [[0, 0], [2, 2], [0, 0], [1, 1]]


# ---- Dropout


def test_one_seed_one_dropout_mask(kernels: str) -> None:
    x = np.ones((8, 6, 5), "float32")
    with md.use("reference"):
        expected = [layers.Dropout(0.4, seed=3)(x, training=True).numpy() for _ in range(2)]
    layer = layers.Dropout(0.4, seed=3)
    first, second = (layer(x, training=True).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, expected[0])
    np.testing.assert_array_equal(expected[1], expected[0])
    assert (first != second).any()


def test_dropout_rate_scale_and_inference() -> None:
    x = md.Tensor(np.ones((100, 400), "float32"), requires_grad=True)
    layer = layers.Dropout(0.3, seed=1)
    assert layer(x) is x and layer(x, training=False) is x and layers.Dropout(0)(x, training=True) is x
    y = layer(x, training=True)
    assert np.unique(y.numpy()).tolist() == [0, np.float32(1 / 0.7)]
    # 40,000 draws: a standard error of √(0.3 · 0.7 / 40000) = 0.0023.
    assert abs((y.numpy() == 0).mean() - 0.3) < 4 * 0.0023
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())
    assert not layers.Dropout(1.0)(x, training=True).numpy().any()


def test_dropout_draws_from_the_default_stream() -> None:
    x = np.ones((5, 5))
    layer = layers.Dropout(0.5)
    md.random.set_seed(3)
    first, second = layer(x, training=True).numpy(), layer(x, training=True).numpy()
    md.random.set_seed(3)
    np.testing.assert_array_equal(layer(x, training=True).numpy(), first)
    assert (first != second).any()


@pytest.mark.parametrize(
    ("make", "axes"),
    [
        (lambda: layers.Dropout(0.5, noise_shape=(None, 1, None), seed=0), (1,)),
        (lambda: layers.Dropout(0.5, noise_shape=(6, 7, 1), seed=0), (2,)),
        (lambda: layers.Dropout(0.5, noise_shape=(1, None, 1), seed=0), (0, 2)),
        (lambda: layers.SpatialDropout1D(0.5, seed=0), (1,)),
    ],
)
def test_noise_shape(make: Any, axes: tuple[int, ...]) -> None:
    y = make()(np.ones((6, 7, 8), "float32"), training=True).numpy()
    drawn = y[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(3))]
    np.testing.assert_array_equal(y, np.broadcast_to(drawn, y.shape))
    assert 0.2 < (drawn == 0).mean() < 0.8
    for axis in set(range(3)) - set(axes):
        assert (np.diff(drawn, axis=axis) != 0).any()


def test_layers_inside_a_layer_know_whether_it_trains() -> None:
    class Block(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.drop = layers.Dropout(1.0)

        def call(self, x: Any) -> Any:
            return self.drop(x)

    x = np.ones((2, 2))
    assert Block()(x).numpy().all() and not Block()(x, training=True).numpy().any()


# ---- building


def test_build_by_hand_is_building_once() -> None:
    layer = layers.Dense(2, name="once")
    layer.build((None, 3))
    layer(np.ones((1, 3)))
    assert len(layer.weights) == 2
    with pytest.raises(
        ValueError, match=r"once has its weights already; make a new layer for inputs of shape \(None, 4\)"
    ):
        layer.build((None, 4))


def test_forget_bias_and_weight_names() -> None:
    layer = layers.LSTM(2, bias_initializer=md.initializers.Constant(3.0))
    layer.build((None, None, 5))
    assert [(w.name, w.shape) for w in layer.weights] == [
        ("kernel", (5, 8)),
        ("recurrent_kernel", (2, 8)),
        ("bias", (8,)),
    ]
    assert layer.bias.tolist() == [3, 3, 1, 1, 3, 3, 3, 3]
    plain = layers.LSTM(2, unit_forget_bias=False)
    plain.build((None, None, 5))
    assert not plain.bias.numpy().any()
    none = layers.LSTM(2, use_bias=False)
    none.build((None, None, 5))
    assert len(none.weights) == 2


def test_default_initial_weights() -> None:
    md.random.set_seed(0)
    lstm, dense, table = layers.LSTM(16), layers.Dense(40), layers.Embedding(500, 8)
    lstm.build((None, None, 24))
    dense.build((None, 60))
    table.build((None, 3))
    assert 0.97 * np.sqrt(6 / 88) < np.abs(lstm.kernel.numpy()).max() < np.sqrt(6 / 88)
    r = lstm.recurrent_kernel.numpy()
    np.testing.assert_allclose(r @ r.T, np.eye(16), atol=1e-6)
    assert (
        0.99 * np.sqrt(6 / 100) < np.abs(dense.kernel.numpy()).max() < np.sqrt(6 / 100) and not dense.bias.numpy().any()
    )
    assert 0.049 < np.abs(table.embeddings.numpy()).max() <= 0.05


def test_frozen_wrappers_freeze_what_is_inside() -> None:
    for layer in (
        layers.Bidirectional(layers.LSTM(2), trainable=False),
        layers.TimeDistributed(layers.Dense(2), trainable=False),
    ):
        layer(X)
        assert not layer.trainable_weights and layer.weights


def test_bidirectional_makes_its_own_layers() -> None:
    given = layers.LSTM(2, name="reader")
    layer = layers.Bidirectional(given)
    layer(X)
    assert not given.built
    assert (layer.forward_layer.name, layer.backward_layer.name) == ("forward_reader", "backward_reader")
    assert [w.shape for w in layer.weights] == [(2, 8), (2, 8), (8,)] * 2


def test_input_layer() -> None:
    assert layers.Input((4, None), batch_size=3).batch_shape == (3, 4, None)
    assert layers.Input(batch_shape=(2, 5), dtype="int32").get_config() | {"name": ""} == {
        "name": "", "dtype": "int32", "batch_shape": (2, 5)
    }  # fmt: skip
    x = md.Tensor(X)
    assert layers.Input((4, 2))(x) is x


# ---- Layer itself


class Sum(layers.Layer):
    """Adds its inputs, each multiplied by a weight of its own; counts its calls."""

    def build(self, input_shape: Any) -> None:
        self.shapes = input_shape
        self.factors = [self.add_weight(initializer="ones", name=f"factor_{i}") for i in range(2)]
        self.calls = self.add_weight(initializer="zeros", trainable=False, dtype="int64", name="calls")

    def call(self, a: Any, b: Any = None) -> Any:
        self.calls.data += 1
        if isinstance(a, dict):
            a, b = a["a"], a["b"]
        elif isinstance(a, list):
            a, b = a
        return a * self.factors[0] if b is None else a * self.factors[0] + b * self.factors[1]


@pytest.mark.parametrize(
    ("inputs", "shapes"),
    [
        ((X, X), [(None, 4, 2), (None, 4, 2)]),
        (([X, X],), [(None, 4, 2), (None, 4, 2)]),
        (({"a": X, "b": X},), {"a": (None, 4, 2), "b": (None, 4, 2)}),
    ],
)
def test_several_inputs(inputs: Any, shapes: Any) -> None:
    layer = Sum(dtype="float64")
    np.testing.assert_array_equal(layer(*inputs).numpy(), 2 * X)
    assert layer.shapes == shapes


def test_an_input_may_be_none() -> None:
    layer = Sum(dtype="float64")
    np.testing.assert_array_equal(layer(X, None).numpy(), X)
    assert layer.shapes == (None, 4, 2)


def test_an_embedding_may_be_given_its_table() -> None:
    table = np.arange(8.0).reshape(4, 2)
    for weights in (table, [table]):
        layer = layers.Embedding(4, 2, weights=weights, trainable=False)
        np.testing.assert_array_equal(layer([[3]]).numpy(), [[[6, 7]]])
        assert not layer.trainable_weights


def test_the_input_may_be_given_by_its_name() -> None:
    layer = layers.Dense(2)
    assert layer(x=X).shape == (3, 4, 2)


def test_a_layer_that_forgets_its_base_says_so() -> None:
    class Forgetful(layers.Layer):
        def __init__(self) -> None:
            self.units = 3

        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(RuntimeError, match=r"Forgetful.__init__ must call super\(\).__init__\(\)"):
        Forgetful()(X)


def test_the_initializer_of_a_weight_may_be_anything_keras_takes() -> None:
    layer = layers.Layer()
    assert layer.add_weight((2, 3), initializer=None).shape == (2, 3)
    np.testing.assert_array_equal(layer.add_weight((2,), np.array([1.0, 2.0])).numpy(), [1, 2])


def test_looking_for_shapes_leaves_no_state_behind() -> None:
    class Around(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inside = layers.LSTM(3, stateful=True)

        def call(self, x: Any) -> Any:
            return self.inside(x)

    model = md.Sequential([Around(), layers.Dense(1)])
    model.build((None, 4, 2))
    first = model(X).numpy()
    states = [s.numpy() for s in model.layers[0].inside.states]
    assert model.compute_output_shape((None, 4, 2)) == (None, 1)
    for state, kept in zip(states, model.layers[0].inside.states, strict=True):
        np.testing.assert_array_equal(state, kept.numpy())
    assert not np.array_equal(first, model(X).numpy())


def test_frozen_weights_are_not_penalized() -> None:
    layer = layers.Dense(2, kernel_regularizer="l2", input_dim=2)
    layer(X)
    assert len(layer.losses) == 1
    layer.trainable = False
    assert layer.losses == []


def test_weights_go_by_both_names_of_keras() -> None:
    class Frozen(layers.Dense):
        def build(self, input_shape: Any) -> None:
            super().build(input_shape)
            self.add_weight((), trainable=False)

    layer = Frozen(2)
    layer(X)
    assert len(layer.variables) == 3
    assert [len(layer.trainable_variables), len(layer.non_trainable_variables)] == [2, 1]
    assert layer.trainable_variables[0] is layer.kernel


def test_a_mask_may_be_asked_for() -> None:
    np.testing.assert_array_equal(layers.Embedding(4, 2, mask_zero=True).compute_mask([[1, 0]]), [[True, False]])
    assert layers.Dense(2).compute_mask(X) is None


def test_weights_of_a_layer() -> None:
    layer = Sum(name="sum")
    with pytest.raises(ValueError, match="sum has no weights yet"):
        layer.count_params()
    layer(X), layer(X)
    assert [w.name for w in layer.weights] == ["factor_0", "factor_1", "calls"]
    assert [w.name for w in layer.trainable_weights] == ["factor_0", "factor_1"]
    assert [w.name for w in layer.non_trainable_weights] == ["calls"] and int(layer.calls) == 2
    assert layer.count_params() == 3 and layer.trainable
    for values, message in (
        ([1.0, 2.0], "sum has 3 weights and got 2 arrays"),
        ([5.0, [1.0], 3], r"sum: weight 1 \(factor_1\) has shape \(\), got \(1,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            layer.set_weights(values)
        assert [float(w) for w in layer.get_weights()] == [1, 1, 2]
    layer.set_weights([5.0, 6.0, 7])
    assert [float(w) for w in layer.weights] == [5, 6, 7]


def test_layers_are_found_wherever_they_come_to_stand() -> None:
    """Which attributes may hold layers is remembered as they are set: a list may be filled later, and left again."""

    class Holder(md.layers.Layer):
        def __init__(self) -> None:
            self.before = layers[0]
            super().__init__()
            self.blocks: list[Any] = []
            self.last: Any = None

    layers = [md.layers.Dense(1, name=f"d{i}") for i in range(4)]
    for layer in layers:
        layer.build((None, 1))
    holder = Holder()
    assert holder._descendants() == [holder, layers[0]]
    holder.blocks.append({"deep": (layers[1],)})
    holder.last = layers[2]
    assert holder._descendants() == [holder, *layers[:3]]
    holder.last = 3
    holder.last = layers[3]
    del holder.before
    assert copy.deepcopy(holder).count_params() == holder.count_params() == 4
    assert holder._descendants() == [holder, layers[1], layers[3]]
    holder.last = None
    assert holder._descendants() == [holder, layers[1]]


class Gain(layers.Layer):
    """A weight that is an attribute, before and after one of add_weight."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gain = md.Tensor([2.0, 3.0], requires_grad=True)
        self.shift = self.add_weight((2,), "zeros", name="shift")
        self.constant = md.Tensor([1.0])
        self.dense = layers.Dense(2, input_dim=2)
        self.dense.build((None, 2))
        self.tied = self.dense.kernel

    def call(self, x: Any) -> Any:
        return self.dense(x * self.gain * self.constant + self.shift)


def names(weights: Any) -> list[str | None]:
    return [w.name for w in weights]


def test_a_tensor_kept_as_an_attribute_is_a_weight() -> None:
    """As a Variable of Keras' is: in the order in which all are set, the layer's own first, a tied one counted once."""
    layer = Gain(name="g")
    assert names(layer.weights) == names(layer.trainable_weights) == ["gain", "shift", "kernel", "bias"]
    layer.build((None, 2))
    assert layer.count_params() == 2 + 2 + 4 + 2
    layer.set_weights([[5.0, 6.0], [0, 0], np.eye(2), [1.0, 1.0]])
    np.testing.assert_array_equal(layer([[1.0, 1.0]]).numpy(), [[6.0, 7.0]])
    layer.trainable = False
    assert not layer.trainable_weights and not layer.gain.requires_grad
    assert not Gain(trainable=False).gain.requires_grad
    twin = copy.deepcopy(layer)
    twin.gain = md.Tensor([0.0, 0.0], requires_grad=True)
    assert names(twin.weights) == names(layer.weights) and layer.gain.tolist() == [5.0, 6.0]


def test_a_weight_kept_as_an_attribute_is_replaced_in_its_place() -> None:
    layer = Gain(name="g")
    layer.build((None, 2))
    layer.gain = new = md.Tensor([7.0, 8.0, 9.0], requires_grad=True, name="new")
    assert names(layer.weights) == ["new", "shift", "kernel", "bias"] and layer.weights[0] is new
    for wrong in (lambda: layer.gain * 2.0, lambda: md.Tensor([1.0])):
        with pytest.raises(ValueError, match=r"g.gain is a weight, and .* cannot take its place; .* gain.assign\(…\)"):
            layer.gain = wrong()
    with md.no_grad():
        layer.gain -= 1.0
    assert layer.gain is new and new.tolist() == [6.0, 7.0, 8.0]
    layer.gain = None
    layer.shift = md.Tensor([1.0])  # one of add_weight stays, whatever the attribute is
    assert names(layer.weights) == ["shift", "kernel", "bias"]


def test_what_is_kept_once_the_weights_are_made_is_none_of_them() -> None:
    """An input that is kept by call, for its gradient, is not to be trained."""

    class Keeps(layers.Layer):
        def call(self, x: Any) -> Any:
            self.seen = x
            return x

    layer = Keeps(name="keeps")
    with pytest.warns(UserWarning, match="keeps.seen requires a gradient, but is set after the weights") as caught:
        layer(md.Tensor([[1.0]], requires_grad=True))
    assert caught[0].filename == __file__ and not layer.weights
    layer(md.Tensor([[1.0]])), layer(md.Tensor([[1.0]], requires_grad=True) * 2.0)


def test_a_weight_kept_as_an_attribute_is_trained() -> None:
    model = md.Sequential([Gain(name="g"), layers.Dense(1)])
    model.compile(md.optimizers.SGD(0.1), "mse")
    x, before = np.ones((4, 2)), Gain().gain.tolist()
    model.fit(x, np.zeros((4, 1)), verbose=0)
    assert model.layers[0].gain.tolist() != before


class NotBegun(md.Model):
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    "use",
    [
        repr,
        lambda model: model.weights,
        lambda model: model.trainable,
        lambda model: model.compile("sgd", "mse"),
        lambda model: model.summary(),
        lambda model: model.predict(np.ones((1, 1))),
        lambda model: model(np.ones((1, 1))),
        lambda model: setattr(model, "scale", md.Tensor([1.0], requires_grad=True)),
    ],
)
def test_an_init_that_forgets_its_super_is_told(use: Any) -> None:
    with pytest.raises(RuntimeError, match=r"NotBegun.__init__ must call super\(\).__init__\(\) before anything else"):
        use(NotBegun())


def test_layers_inside_lists_and_dicts_belong_to_the_layer() -> None:
    class Net(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.shared = layers.Dense(2, input_dim=2)
            self.stack = [layers.Dense(2), self.shared]
            self.named = {"last": layers.Dense(1, kernel_regularizer="l2")}

        def call(self, x: Any) -> Any:
            for layer in self.stack:
                x = layer(x)
            return self.named["last"](self.shared(x))

    net = Net()
    net(X[:, 0])
    assert len(net.weights) == 6 and net.count_params() == 15 and len(net.losses) == 1
    net.trainable = False
    assert not net.trainable_weights and not net.shared.trainable
    net.trainable = True
    assert len(net.trainable_weights) == 6
    net(X[:, 0]).sum().backward()
    assert all(w.grad is not None for w in net.weights)


def test_names() -> None:
    layers.base.reset_names()
    names = [
        make().name
        for make in (lambda: layers.LSTM(2), lambda: layers.LSTM(2), lambda: layers.GlobalMaxPooling1D(), Sum)
    ]
    assert names == ["lstm", "lstm_1", "global_max_pooling1d", "sum"]
    layer = layers.Dense(2, name="mine")
    assert repr(layer) == "<Dense mine, not built>"
    layer(X)
    assert repr(layer) == "<Dense mine>"


def test_reshape_of_a_shape_that_is_not_known_yet() -> None:
    assert layers.Reshape((3, -1)).compute_output_shape((None, None, 2)) == (None, 3, None)
    assert layers.Reshape((3, 4)).compute_output_shape((None, None, 2)) == (None, 3, 4)
    assert layers.Flatten().compute_output_shape((None, None, 2)) == (None, None)
    assert layers.Reshape((2, 2, -1)).compute_output_shape((5, 8)) == (5, 2, 2, 2)


# ---- what is refused

LEGEND = r"expects an input of shape \(batch, time, features\), got 2 axes: \(None, 2\)"
WRONG = [
    (lambda: layers.Dense(0), "Dense: units must be a positive integer, got 0"),
    (lambda: layers.Dense(2.5), "Dense: units must be a positive integer, got 2.5"),
    (lambda: layers.LSTM(True), "LSTM: units must be a positive integer, got True"),
    (lambda: layers.LSTM(2, dropout=1.5), r"LSTM: dropout must be a number in \[0, 1\], got 1.5"),
    (lambda: layers.Dropout("half"), r"Dropout: rate must be a number in \[0, 1\], got 'half'"),
    (lambda: layers.Embedding(0, 2), "Embedding: input_dim must be a positive integer, got 0"),
    (lambda: layers.Embedding(2, 2, input_length="3"), "Embedding: input_length must be a positive integer, got '3'"),
    (lambda: layers.Dense(2, 3), "Dense: activation must be .* got 3; a layer is given its units alone, and finds"),
    (lambda: layers.LSTM(10, 20), "LSTM: activation must be .* got 20; a layer is given its units alone, and finds"),
    (lambda: layers.Dense(2, activation="rleu"), r"unknown activation 'rleu'; did you mean 'relu'\?"),
    (lambda: layers.Dense(2, dtype="int32", name="d"), "d: dtype must be float32 or float64, got int32"),
    (
        lambda: layers.Dropout(0.5, name="d")(X, False),
        "d takes inputs alone by their places, got False; name training= and",
    ),
    (lambda: md.Sequential([], "mine"), "trainable must be True or False, got 'mine'; give a name by name="),
    (lambda: layers.Dense(2, dtype="flot32", name="d"), "d: dtype must be float32 or float64, got flot32"),
    (
        lambda: layers.Dense(2, dtype=SimpleNamespace(name="mixed_float16"), name="d"),
        "d: dtype .* got mixed_float16; .* none that is",
    ),
    (lambda: layers.Dense(2, input_shape=4, name="d"), r"d: input_shape must be a tuple such as \(4,\), got 4"),
    (lambda: layers.Input(100), r"Input needs one shape, a tuple such as \(100,\), got 100"),
    (lambda: layers.Input(), r"Input needs one shape, a tuple such as \(100,\), got none"),
    (lambda: layers.Reshape((-1, -1)), r"Reshape: target_shape takes sizes, and -1 once at most, got \(-1, -1\)"),
    (
        lambda: layers.Bidirectional(layers.Dense(2, name="d")),
        "Bidirectional goes around an LSTM, got <Dense d, not built>",
    ),
    (lambda: layers.Bidirectional(layers.LSTM(2), "add"), "merge_mode must be 'concat', .* got 'add'"),
    (lambda: layers.Bidirectional(layers.LSTM(2, go_backwards=True)), "must have go_backwards=False"),
    (lambda: layers.Bidirectional(layers.LSTM(2), backward_layer=layers.LSTM(2)), "backward_layer go_backwards=True"),
    (lambda: layers.Bidirectional(layers.LSTM(2), backward_layer=layers.Dense(2)), "backward_layer must be an LSTM"),
    (
        lambda: layers.Bidirectional(
            layers.LSTM(2), backward_layer=layers.LSTM(2, go_backwards=True, return_state=True)
        ),
        "both layers must have the same return_state, got False forward and True backward",
    ),
    (lambda: layers.TimeDistributed("dense"), "TimeDistributed goes around a layer, got 'dense'"),
    (lambda: layers.TimeDistributed(layers.Dense(2), dtype="float64"), "computes in float32 as the layer inside"),
    (
        lambda: layers.LSTM(2, name="lstm_1")(X[:, 0]),
        f"lstm_1 {LEGEND}; set return_sequences=True on a recurrent layer before it; put an Embedding before it if "
        r"these are ids; reshape other data; a single sample is a batch of one, x\[None\]$",
    ),
    (lambda: layers.LSTM(2, name="lstm")(X[None]), r"^lstm expects .* got 4 axes: \(None, 3, 4, 2\)$"),
    (lambda: layers.GlobalMaxPooling1D(name="pool")(X[0]), f"pool {LEGEND}; set return_sequences=True"),
    (lambda: layers.SpatialDropout1D(0.5, name="drop")(X[0]), f"drop {LEGEND}; set return_sequences=True"),
    (
        lambda: layers.TimeDistributed(layers.Dense(2), name="t")(X[0]),
        r"t expects an input of shape \(batch, time, …, features\), got 2 .* before it if these are ids; reshape other",
    ),
    (
        lambda: layers.Dense(2, name="d")(np.ones(3)),
        r"d expects .* got 1 axis: \(None,\); a single sample is a batch of one",
    ),
    (lambda: layers.Dense(2, name="d").build((None, None)), r"d needs to know how many features .* got \(None, None\)"),
    (
        lambda: layers.GlobalAveragePooling1D(name="p")(X[:, :0]),
        r"p needs at least one time step, got shape \(3, 0, 2\)",
    ),
    (
        lambda: layers.GlobalAveragePooling1D(name="p")(X, mask=MASK[:, :2]),
        r"p: mask must have shape .* = \(3, 4\), got \(3, 2\)",
    ),
    (
        lambda: layers.Reshape((3, 3), name="r")(X),
        r"r cannot bring \(None, 4, 2\), 8 elements, into the shape \(3, 3\)",
    ),
    (lambda: layers.Reshape((3, -1), name="r").build((None, 4, 2)), r"r cannot bring .* into the shape \(3, -1\)"),
    (
        lambda: layers.Dropout(0.5, (1, 2), name="d")(X, training=True),
        r"d: noise_shape \(1, 2\) does not fit .* \(3, 4, 2\)",
    ),
    (lambda: layers.Dropout(0.5, (1, 3, 1), name="d")(X, training=True), r"noise_shape \(1, 3, 1\) does not fit"),
    (
        lambda: layers.Embedding(4, 2, name="e")([[1, 2], [0, 4]]),
        r"e: ids must lie in \[0, 4\), got 4 at position \(1, 1\); input_dim",
    ),
    (lambda: layers.Embedding(4, 2, name="e")(np.array([[2**63]], np.uint64)), r"\[0, 4\), got 9223372036854775808 at"),
    (lambda: layers.Embedding(4, 2, name="e")(np.array([[1e19]])), r"\[0, 4\), got 10000000000000000000 at"),
    (lambda: layers.Embedding(4, 2, name="e")([[-1]]), r"e: ids must lie in \[0, 4\), got -1 at position \(0, 0\)"),
    (lambda: layers.Embedding(4, 2, name="e")([[1.0, 1.5]]), r"e looks up integer ids, got 1.5 at position \(0, 1\)"),
    (
        lambda: layers.Embedding(4, 2, name="e")([[1.0, np.nan]]),
        r"e looks up integer ids, got nan at position \(0, 1\)",
    ),
    (lambda: layers.Embedding(4, 2, name="e")([[np.inf]]), r"e looks up integer ids, got inf at position \(0, 0\)"),
    (lambda: layers.Embedding(4, 2, name="e")([[True]]), "e looks up integer ids, got bool"),
    (lambda: layers.deserialize({"class_name": "Dens", "config": {}}), r"unknown layer 'Dens'; did you mean 'Dense'\?"),
    (lambda: layers.Layer()(X), r"Layer has no call\(self, x\)"),
    (
        lambda: layers.Dense(2, kernel_initialiser="ones"),
        r"Dense has no argument .* did you mean 'kernel_initializer'\?",
    ),
    (lambda: layers.LSTM(2, weights=[]), "LSTM has no argument 'weights'; .*known: units, .*go_backwards.*name, dtype"),
    (lambda: layers.Dense(2, name="d")(layers.Input((3,))), "d was called with <InputLayer .*no functional models"),
    (lambda: layers.Dense(2, name="d")(None), "d got None for its input; perhaps the call before it returns nothing"),
    (lambda: layers.Layer(name="a").add_weight("w", (2,)), "a: the shape of a weight is a tuple of sizes .* got 'w'"),
    (lambda: layers.Layer(name="a").add_weight(3), "a: the shape of a weight is a tuple .* got 3; give it first"),
    (lambda: layers.Layer(name="a").add_weight((None, 3)), r"a: the shape of a weight .* got \(None, 3\)"),
    (
        lambda: layers.Embedding(4, 2, weights=[np.ones((2, 4))], name="e"),
        r"e: weight 0 .* shape \(4, 2\), got \(2, 4\)",
    ),
    (
        lambda: md.Model(layers.Input((3,)), layers.Dense(2)),
        "Model: minidl has no functional models; put the layers in",
    ),
    (lambda: md.Model(inputs=1, outputs=2), "Model: minidl has no functional models"),
    (lambda: md.Sequential(layers.Dense(2)), r"takes its layers in one list: Sequential\(\[Dense\(…\), …\]\)"),
    (lambda: md.Sequential(layers.Dense(2), layers.Dense(1)), "Sequential takes its layers in one list"),
    (lambda: md.Sequential([layers.Dense(2)], name="s")([X, X]), r"s takes one array, got a list of 2; subclass Model"),
    (lambda: md.Sequential([layers.Dense(2)], name="s")({"x": X}), "s takes one array, got a dict of 1"),
    (lambda: md.Sequential([layers.Dense(2)], name="s").get_layer(index=1), "no layer 1 in s: it has 1 layers"),
]


@pytest.mark.parametrize(("act", "message"), WRONG)
def test_errors(act: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError, IndexError, NotImplementedError), match=message):
        act()


def test_models_refuse_shapes_when_they_are_built() -> None:
    with pytest.raises(
        ValueError, match=r"second expects an input of shape .*, got 2 axes: \(None, 3\); set return_sequences=True"
    ):
        md.Sequential([layers.Embedding(9, 4, input_length=5), layers.LSTM(3), layers.LSTM(3, name="second")])


@pytest.mark.parametrize("layer", [layers.Dense(2, name="mine"), layers.LSTM(2, name="mine")])
def test_another_number_of_features_is_refused(layer: layers.Layer) -> None:
    layer(X)
    with pytest.raises(ValueError, match=r"mine was built for 2 features on the last axis, got 3: \(None, 4, 3\)"):
        layer(np.ones((3, 4, 3)))


def test_an_error_leaves_no_weights_behind() -> None:
    layer = layers.LSTM(2)
    with pytest.raises(ValueError, match="expects an input"):
        layer(X[0])
    assert not layer.weights and not layer.built
    layer(X)
    assert len(layer.weights) == 3


def _listed(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, tuple) else [outputs]
