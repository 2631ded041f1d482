"""Tensors, layers and models on the GPU: the same results as on the processor, and no array goes astray.

The GPU is the real one where there is one, else the one behind tests/cupy_stand_in.py.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import on_device
import pytest
from tolerances import assert_close

import minidl as md
from minidl import layers
from minidl.saving import load_model

Array = Any


@pytest.fixture
def cp() -> Iterator[Any]:
    """CuPy, or what stands in for it."""
    with on_device.cupy() as cupy:
        yield cupy


def on_gpu(*values: float, **options: Any) -> md.Tensor:
    return md.Tensor(values, device="cuda", **options)


# ---- where tensors go ---------------------------------------------------------------------


def test_a_tensor_goes_where_it_is_told(cp: Any) -> None:
    assert md.Tensor([1.0]).device == "cpu" and on_gpu(1.0).device == "cuda"
    assert md.Tensor(cp.asarray(np.ones(2))).device == "cuda"  # an array on the GPU stays there
    assert md.Tensor(cp.asarray(np.ones(2)), device="cpu").device == "cpu"
    with md.use("cuda"):
        assert md.Tensor([1.0]).device == "cuda" and md.Tensor([1.0], device="cpu").device == "cpu"
        for made in (md.zeros(2), md.ones(2), md.full(2, 3.0), md.eye(2), md.arange(3), md.linspace(0, 1, 3)):
            assert made.device == "cuda"
        assert layers.Dense(1).device == "cuda"
    assert md.Tensor([1.0]).device == "cpu"
    for like in (md.zeros_like, md.ones_like, lambda x: md.full_like(x, 2)):
        assert like(on_gpu(1.0)).device == "cuda"


MAKERS: dict[str, Callable[..., md.Tensor]] = {
    "zeros": lambda **on: md.zeros(2, **on), "ones": lambda **on: md.ones((2,), **on),
    "full": lambda **on: md.full(2, 3.0, **on), "eye": lambda **on: md.eye(2, **on),
    "arange": lambda **on: md.arange(2.0, **on), "linspace": lambda **on: md.linspace(0, 1, 2, **on),
    "zeros_like": lambda **on: md.zeros_like(md.Tensor([1.0, 2.0], device="cpu"), **on),
    "ones_like": lambda **on: md.ones_like(md.Tensor([1.0, 2.0], device="cpu"), **on),
    "full_like": lambda **on: md.full_like(md.Tensor([1.0, 2.0], device="cpu"), 3, **on),
}  # fmt: skip


@pytest.mark.parametrize("maker", MAKERS)
def test_makers_take_a_device(maker: str, cp: Any) -> None:
    make = MAKERS[maker]
    here, there = make(), make(device="cuda", requires_grad=True)
    assert (here.device, there.device) == ("cpu", "cuda") and here.tolist() == there.tolist()
    assert there.dtype == here.dtype and there.requires_grad and there.is_leaf
    with md.use("cuda"):
        assert make(device="cpu").device == "cpu"
        assert make().device == ("cpu" if maker.endswith("_like") else "cuda")
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        make(device="gpu")


def test_what_is_made_like_another_is_made_beside_it(cp: Any) -> None:
    x = on_gpu(1.0, 2.0)
    assert md.zeros_like(x).device == "cuda" and md.full_like(x, 2, device="cpu").device == "cpu"
    assert md.full(2, md.Tensor(3.0, device="cuda"), device="cpu").tolist() == [3.0, 3.0]


def test_unknown_devices_are_refused(cp: Any) -> None:
    with pytest.raises(ValueError, match="unknown device 'gpu': expected 'cpu', or 'cuda' for the GPU"):
        md.Tensor([1.0], device="gpu")
    with pytest.raises(ValueError, match="unknown device 'cuda:0'"):
        md.Tensor([1.0]).to("cuda:0")


@pytest.mark.skipif(on_device.ON_GPU, reason="there is a GPU")
def test_without_a_gpu_the_error_says_what_is_missing() -> None:
    for ask in (lambda: md.Tensor([1.0], device="cuda"), lambda: md.Tensor([1.0]).to("cuda"), lambda: md.use("cuda")):
        with pytest.raises(RuntimeError, match="the cuda kernels cannot run: .*install"):
            ask()
    assert md.kernels.active() != "cuda" and md.Tensor([1.0]).device == "cpu"


def test_use_leaves_the_kernels_of_numpys_arrays_alone(cp: Any) -> None:
    with md.use("reference"), md.use("cuda"):
        assert md.kernels.active() == "cuda" and md.kernels.serving() is md.kernels.reference


def test_a_tensor_is_moved_as_a_copy_and_its_gradient_comes_back(cp: Any) -> None:
    x = md.Tensor([1.0, 2.0], requires_grad=True)
    y = x.to("cuda")
    assert x.to("cpu") is x and y.to("cuda") is y and (x.device, y.device) == ("cpu", "cuda")
    (y * y).sum().backward()
    assert x.grad is not None and x.grad.device == "cpu" and x.grad.tolist() == [2.0, 4.0]


def test_what_is_no_tensor_joins_the_tensor_that_it_meets(cp: Any) -> None:
    t = on_gpu(1.0, 2.0)
    pair = [1, 2]
    for y in (t + pair, pair + t, t * np.array([2.0, 3.0]), 2**t, np.float32(3) - t, md.where([True, False], t, 0)):
        assert y.device == "cuda" and y.dtype == np.float32
    assert (t + pair).tolist() == [2.0, 4.0]
    assert t[[1, 0]].tolist() == [2.0, 1.0] and t[np.array([False, True])].tolist() == [2.0]
    assert md.concatenate([[3.0], t]).tolist() == [3.0, 1.0, 2.0]
    assert md.embedding(t.reshape(2, 1), [1, 1]).tolist() == [[2.0], [2.0]]


@pytest.mark.parametrize("mix", [
    lambda a, b: a + b, lambda a, b: b * a, lambda a, b: md.maximum(a, b), lambda a, b: a @ b, md.dot,
    lambda a, b: md.concatenate([a, b]), lambda a, b: md.where(b > 1, a, a), lambda a, b: a[b.astype(int) - 1],
    lambda a, b: md.affine(a.reshape(1, 2), b.reshape(2, 1), [0.0]), lambda a, b: md.take(a, b.astype(int) - 1),
    lambda a, b: md.sigmoid_cross_entropy(b, a),
    lambda a, b: md.sparse_cross_entropy(a.reshape(1, 2), b[:1].astype(int)),
])  # fmt: skip
def test_tensors_of_two_devices_are_refused_and_both_are_named(mix: Callable[..., Any], cp: Any) -> None:
    with pytest.raises(
        TypeError, match=r"of .* on (cpu|cuda) and .* on (cpu|cuda): two devices; bring one tensor"
    ) as e:
        mix(on_gpu(1.0, 2.0), md.Tensor([1.0, 2.0]))
    assert "cpu" in str(e.value) and "cuda" in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize(
    "key", [[0, 3], [-4], (slice(None), [2]), (..., [0, -3]), (None, [3]), ([True, False, True], [2])]
)
def test_indices_outside_are_refused_as_on_the_processor(key: Any, cp: Any) -> None:
    """CuPy itself would take them modulo the length."""
    x = np.zeros((3, 2), np.float32)
    with pytest.raises(IndexError) as expected:
        md.Tensor(x)[key]
    for sent in (key, cp.asarray(np.asarray(key)) if isinstance(key, list) else key):
        with pytest.raises(IndexError) as actual:
            md.Tensor(x, device="cuda")[sent]
        assert str(actual.value) == str(expected.value)


def test_numbers_that_meet_in_one_place_are_added_in_order(cp: Any) -> None:
    key = np.random.default_rng(0).integers(0, 5, 200)
    gradients = []
    for device in ("cpu", "cuda"):
        x = md.Tensor(np.zeros(5, np.float32), requires_grad=True, device=device)
        x[key].backward(np.random.default_rng(1).standard_normal(200).astype(np.float32))
        gradients.append(x.grad.numpy())  # type: ignore[union-attr]
    assert_close(*gradients, slack=10)


# ---- what a tensor on the GPU gives away --------------------------------------------------


def test_its_numbers_come_back_as_a_copy(cp: Any) -> None:
    t = on_gpu(1.0, 2.0)
    for array in (t.numpy(), np.asarray(t), np.array(t), np.asarray(t, np.float64)):
        assert type(array) is np.ndarray and array.tolist() == [1.0, 2.0]
        array[0] = 9
    assert t.tolist() == [1.0, 2.0] and t[0].item() == 1.0 and float(t.sum()) == 3.0 and bool(t[0] == 1)
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(t, copy=False)
    assert repr(t) == "Tensor([1., 2.], device=cuda)"


def test_data_is_the_array_itself(cp: Any) -> None:
    t = on_gpu(1.0, 2.0, requires_grad=True)
    assert isinstance(t.data, cp.ndarray)
    y = (t * t).sum()
    t.data[0] = 5
    assert t.tolist() == [5.0, 2.0]
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    t.data = [3.0, 4.0]
    with md.no_grad():
        t[1] = 6.0
        t[:1] = np.array([7.0])
    assert t.device == "cuda" and t.tolist() == [7.0, 6.0]


def test_a_copy_of_it_is_its_own(cp: Any) -> None:
    t = on_gpu(1.0, 2.0, requires_grad=True, name="w")
    loaded = pickle.loads(pickle.dumps(t))
    assert (loaded.tolist(), loaded.requires_grad, loaded.name) == ([1.0, 2.0], True, "w")


def test_an_array_on_the_gpu_is_taken_over_without_a_copy(cp: Any) -> None:
    array = cp.asarray(np.ones(3, np.float32))
    t = md.as_tensor(array)
    array[0] = 4
    assert t.tolist() == [4.0, 1.0, 1.0]


def test_anomalies_are_found_on_the_gpu_too(cp: Any) -> None:
    x = on_gpu(1.0, 0.0)
    with md.detect_anomaly(), pytest.raises(FloatingPointError, match=r"log gave -inf at position \(1,\)"):
        md.log(x)


def test_want_of_memory_says_what_holds_it_and_breaks_nothing(cp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = on_gpu(1.0, 2.0, requires_grad=True)

    def full(*_: Any, **__: Any) -> None:
        raise MemoryError("Out of memory allocating 1,000 bytes")

    with monkeypatch.context() as patch:
        patch.setattr(md.kernels.cuda, "tanh", full)
        with pytest.raises(MemoryError, match="allocating 1,000 bytes") as caught:
            md.tanh(x)
    notes = " ".join(caught.value.__notes__)
    assert "in arrays of this process" in notes and "in tanh of float32[2]" in notes
    assert md.tanh(x).device == "cuda" and x.tolist() == [1.0, 2.0]


# ---- layers and models --------------------------------------------------------------------


def classifier() -> md.Sequential:
    md.random.set_seed(3)
    return md.Sequential(
        [
            layers.Embedding(20, 4, mask_zero=True),
            layers.LSTM(5, return_sequences=True),
            layers.Dropout(0.3),
            layers.Bidirectional(layers.LSTM(3)),
            layers.Dense(4, activation="gelu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def data() -> tuple[Array, Array]:
    x = np.random.default_rng(0).integers(1, 20, (24, 6))
    x[:, :2] = 0
    return x, (x.sum(1) % 2).astype(np.float32)


def trained(**options: Any) -> tuple[md.Sequential, dict[str, list[float]]]:
    model = classifier()
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(*data(), epochs=3, batch_size=8, verbose=0, validation_split=0.25, **options)
    return model, history.history


def test_a_model_trains_as_it_does_on_the_processor(cp: Any) -> None:
    expected, history = trained()
    with md.use("cuda"):
        model, on_cuda = trained()
    assert {w.device for w in model.weights} == {"cuda"}
    for name, values in history.items():
        assert_close(np.array(on_cuda[name], np.float32), np.array(values, np.float32), slack=100)
    x, y = data()
    outputs = model.predict(x, verbose=0)  # its data follows it, with or without use()
    assert type(outputs) is np.ndarray
    assert_close(outputs, expected.predict(x, verbose=0), slack=100)
    assert_close(np.array(model.evaluate(x, y, verbose=0)), np.array(expected.evaluate(x, y, verbose=0)), slack=1e9)


def test_training_twice_gives_the_same_bits(cp: Any) -> None:
    with md.use("cuda"):
        (first, _), (second, _) = trained(), trained()
    assert all(map(np.array_equal, first.get_weights(), second.get_weights()))


def test_a_model_moves_with_its_optimizer(cp: Any) -> None:
    x, y = data()
    stays, _ = trained()
    moves, _ = trained()
    for device in ("cuda", "cpu", "cuda"):
        assert moves.to(device) is moves and {w.device for w in moves.weights} == {device}
        for model in (stays, moves):
            md.random.set_seed(5)  # of the order of the samples, and of dropout
            model.fit(x, y, verbose=0)
    for a, b in zip(moves.get_weights(), stays.get_weights(), strict=True):
        assert_close(a, b, slack=1000)


def test_a_saved_model_goes_on_on_either_device(cp: Any, tmp_path: Path) -> None:
    with md.use("cuda"):
        model, _ = trained()
    model.save(tmp_path / "model.minidl")
    on_processor = load_model(tmp_path / "model.minidl")
    with md.use("cuda"):
        on_cuda = load_model(tmp_path / "model.minidl")
    assert {w.device for w in on_processor.weights} == {"cpu"} and {w.device for w in on_cuda.weights} == {"cuda"}
    x, y = data()
    for loaded in (on_processor, on_cuda):
        assert_close(loaded.predict(x, verbose=0), model.predict(x, verbose=0), slack=100)
        loaded.fit(x, y, verbose=0)


def test_data_on_the_gpu_trains_a_model_there_and_no_other(cp: Any) -> None:
    x, y = (cp.asarray(a) for a in data())
    with md.use("cuda"):
        model, _ = trained()
    model.fit(x, y, verbose=0)
    model.to("cpu")
    with pytest.raises(TypeError, match=r"on cpu and .* on cuda: two devices"):
        model.fit(x, y, verbose=0)


def test_a_stateful_layer_takes_its_state_along(cp: Any) -> None:
    x = np.ones((2, 3, 2), np.float32)
    stays, moves = (
        layers.LSTM(4, kernel_initializer="ones", recurrent_initializer="ones", stateful=True) for _ in "ab"
    )
    stays(x), moves(x)
    moves.to("cuda")
    assert_close(moves(x).numpy(), stays(x).numpy(), slack=10)


# ---- what would go astray -----------------------------------------------------------------


@pytest.mark.parametrize("assign", [
    lambda t, other: setattr(t, "data", other),
    lambda t, other: setattr(t, "grad", other),
    md.no_grad()(lambda t, other: t.__setitem__(slice(None), other)),
    lambda t, other: (t * 2).backward(other),
    lambda t, other: md.gradients(t * 2, t, other),
    lambda t, other: md.optimizers.SGD().apply_gradients([(other, t)]),
])  # fmt: skip
@pytest.mark.parametrize("other", ["tensor", "array"])
def test_nothing_of_another_device_comes_into_a_tensor(assign: Callable[..., Any], other: str, cp: Any) -> None:
    here, there = md.Tensor([1.0, 2.0], requires_grad=True), cp.asarray(np.array([3.0, 4.0], np.float32))
    pairs = [(here, there if other == "array" else md.Tensor(there))]
    if other == "tensor":  # a tensor of the processor is no loose data, which would follow
        pairs.append((on_gpu(1.0, 2.0, requires_grad=True), md.Tensor([3.0, 4.0])))
    for t, given in pairs:
        with pytest.raises(TypeError, match=r"of float32\[2\] on \w+ and float32\[2\] on \w+: two devices"):
            assign(t, given)
        assert t.tolist() == [1.0, 2.0] and t.grad is None and t.device == ("cpu" if t is here else "cuda")


@pytest.mark.parametrize("key", [[0, 3], np.array([-4]), (slice(None), [2]), (..., [0, -3]), 3, (0, 2)])
def test_assignment_refuses_indices_outside_as_on_the_processor(key: Any, cp: Any) -> None:
    x = np.zeros((3, 2), np.float32)
    with pytest.raises(IndexError) as expected:
        md.Tensor(x)[key] = 1.0
    t = md.Tensor(x, device="cuda")
    with pytest.raises(IndexError) as actual:
        t[key] = 1.0
    assert str(actual.value).lower() == str(expected.value).lower() and not t.numpy().any()


@pytest.mark.parametrize("key", [[0, 2], np.array([True, False, True]), (slice(None), [1]), 1, np.int64(1), [], None])
def test_assignment_writes_where_the_processor_writes(key: Any, cp: Any) -> None:
    results = []
    for device in ("cpu", "cuda"):
        t = md.Tensor(np.zeros((3, 2), np.float32), device=device)
        t[key] = 5.0
        t[md.Tensor([2], device=device)] = [[7.0, 8.0]]
        results.append(t.numpy())
    assert np.array_equal(*results)


def test_a_number_of_numpys_indexes_as_a_python_number(cp: Any) -> None:
    for device in ("cpu", "cuda"):
        t = md.Tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
        row = t[np.int64(1)]
        row.data[...] = 0  # a view, as t[1] is one
        assert t.tolist() == [[1.0, 2.0], [0.0, 0.0]] and t[np.int32(0), np.uint8(1)].item() == 2.0


def test_a_condition_on_the_gpu_takes_numbers_and_arrays_there(cp: Any) -> None:
    condition = on_gpu(1.0, -1.0) > 0
    for raw in (condition, condition.data):
        for a, b in ((1.0, 0.0), ([1.0, 1.0], 0), (1.0, np.zeros(2))):
            y = md.where(raw, a, b)
            assert y.device == "cuda" and y.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("compute", [
    lambda a, t: a * t, lambda a, t: t * a, lambda a, t: a - t, lambda a, t: a / t,
    lambda a, t: a @ t, lambda a, t: a**t,
])  # fmt: skip
def test_an_array_of_the_gpu_beside_a_tensor_loses_no_gradient(compute: Callable[..., Any], cp: Any) -> None:
    """CuPy would compute with whatever lends it memory as with its own, and knows of no gradient."""
    expected, actual = [], []
    for results, send, device in ((expected, np.asarray, "cpu"), (actual, cp.asarray, "cuda")):
        t = md.Tensor([1.0, 2.0], requires_grad=True, device=device)
        y = compute(send(np.array([3.0, 4.0], np.float32)), t)
        assert y.device == device and isinstance(compute(send(np.array([3.0, 4.0])), t.detach()), md.Tensor)
        y.sum().backward()
        results += [y.numpy(), t.grad.numpy()]  # type: ignore[union-attr]
    for a, b in zip(actual, expected, strict=True):
        assert_close(a, b, slack=10)


def test_comparisons_with_an_array_of_the_gpu_are_tensors(cp: Any) -> None:
    array, t = cp.asarray(np.array([1.0, 5.0])), on_gpu(2.0, 2.0)
    for y in (array < t, t > array, array != t):
        assert isinstance(y, md.Tensor) and y.device == "cuda"
    assert (array < t).tolist() == [True, False]


def test_memory_is_lent_to_others_without_a_gradient_alone(cp: Any) -> None:
    t = on_gpu(1.0, 2.0, requires_grad=True)
    with pytest.raises(TypeError, match=r"requires a gradient, which another library would lose.*detach"):
        cp.asarray(t)
    shared = cp.asarray(t.detach())
    shared[0] = 9
    assert t.tolist() == [9.0, 2.0]


def test_functions_of_numpys_take_its_arrays_beside_a_tensor_on_the_gpu(cp: Any) -> None:
    t, array = on_gpu(3.0, 4.0), np.array([4.0, 3.0], np.float32)
    assert np.hypot(t, array).tolist() == [5.0, 5.0] and bool(np.allclose(t, np.array([3.0, 4.0])))
    assert md.clip(t, array - 1, [3.5, 3.5]).tolist() == [3.0, 3.5]
    with pytest.raises(TypeError, match=r"np.subtract cannot write .* on cuda into an array of NumPy's"):
        array -= t
    with pytest.raises(TypeError, match=r"np.hypot of .* on cuda and .* on cpu: two devices"):
        np.hypot(t, md.Tensor([1.0, 2.0]))


def test_memory_is_shared_through_dlpack_both_ways(cp: Any) -> None:
    array = cp.asarray(np.array([1.0, 2.0], np.float32))
    t = md.from_dlpack(array)
    array[0] = 5
    cp.from_dlpack(t)[1] = 6
    assert t.device == "cuda" and t.tolist() == [5.0, 6.0]


def test_copies_stay_on_the_device_of_what_was_copied(cp: Any) -> None:
    t = on_gpu(1.0, 2.0, requires_grad=True, name="w")
    for made in (copy.copy(t), copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
        assert (made.device, made.tolist(), made.requires_grad, made.name) == ("cuda", [1.0, 2.0], True, "w")
    with md.use("cuda"):
        assert pickle.loads(pickle.dumps(md.Tensor([1.0], device="cpu"))).device == "cpu"
    model, _ = trained()
    twin = copy.deepcopy(model.to("cuda"))
    x, y = data()
    assert {w.device for w in twin.weights} == {"cuda"}
    assert np.array_equal(twin.predict(x, verbose=0), model.predict(x, verbose=0))
    twin.fit(x, y, verbose=0)


def test_a_model_that_does_not_fit_stays_where_it_is(cp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = trained()
    send, sent = md.kernels.cuda.to_device, []

    def full(array: Array) -> Any:
        if len(sent) == 3:
            raise MemoryError("Out of memory allocating 1,000 bytes")
        sent.append(array)
        return send(array)

    with monkeypatch.context() as patch:
        patch.setattr(md.kernels.cuda, "to_device", full)
        with pytest.raises(MemoryError):
            model.to("cuda")
    assert {w.device for w in model.weights} == {"cpu"} and model.device == "cpu"
    model.fit(*data(), verbose=0)


def test_want_of_memory_is_explained_in_backward_and_on_the_way_to_the_gpu(
    cp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise MemoryError("Out of memory allocating 1,000 bytes")

    x = on_gpu(1.0, 2.0, requires_grad=True)
    y = (x * x).sum()
    with monkeypatch.context() as patch:
        patch.setattr(md.ops.arithmetic.Multiply, "backward", full)
        with pytest.raises(MemoryError) as caught:
            y.backward()
    assert "in arrays of this process" in " ".join(caught.value.__notes__) and x.grad is None
    with monkeypatch.context() as patch:
        patch.setattr(cp, "asarray", full)
        with pytest.raises(MemoryError) as caught:
            md.Tensor([1.0], device="cuda")
    assert "in arrays of this process" in " ".join(caught.value.__notes__)


@pytest.mark.skipif(on_device.ON_GPU, reason="there is a GPU")
def test_memory_on_the_gpu_without_cupy_says_what_is_missing() -> None:
    class Lender:
        __cuda_array_interface__: dict[str, Any] = {}

        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 0

    for ask in (
        lambda: md.Tensor(Lender()),
        lambda: md.from_dlpack(Lender()),
        lambda: md.as_tensor(1.0, device="cuda"),
    ):
        with pytest.raises(RuntimeError, match="the cuda kernels cannot run: .*install"):
            ask()
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        md.as_tensor([1.0], device="gpu")


def test_repeats_and_weights_of_metrics_may_live_on_the_gpu(cp: Any) -> None:
    assert md.repeat(on_gpu(1.0, 2.0), md.Tensor([1, 2], device="cuda")).tolist() == [1.0, 2.0, 2.0]
    half = cp.asarray(np.array([True, False]))
    assert md.metrics.MeanSquaredError()(np.zeros(2), on_gpu(2.0, 5.0), sample_weight=half, mask=half) == 4.0


def test_metrics_and_weights_take_data_of_the_gpu(cp: Any) -> None:
    x, y = data()
    weights = np.linspace(0.5, 1.5, len(y))
    results = []
    for device, send in (("cpu", np.asarray), ("cuda", cp.asarray)):
        model, _ = trained()
        model.compile(
            "sgd", "binary_crossentropy",
            metrics=["mse", "binary_crossentropy", lambda y, p: abs(y - p).mean(-1)],
            weighted_metrics=["accuracy", "AUC"],
        )  # fmt: skip
        model.to(device)
        stop = md.callbacks.EarlyStopping("loss", restore_best_weights=True)
        model.fit(send(x), send(y), sample_weight=send(weights), verbose=0, callbacks=[stop], epochs=2)
        batches = ((send(x[i : i + 4]), send(y[i : i + 4])) for i in range(0, len(x), 4))
        results.append([*model.evaluate(batches, verbose=0), *model.evaluate(send(x), send(y), verbose=0)])
    assert_close(np.array(results[1]), np.array(results[0]), slack=1e10)


def test_weights_of_another_device_change_none(cp: Any) -> None:
    model, _ = trained()
    before = model.get_weights()
    with pytest.raises(TypeError, match="two devices"):
        model.set_weights([w if i == 0 else cp.asarray(w) for i, w in enumerate(before)])
    assert all(map(np.array_equal, model.get_weights(), before))
    model.to("cuda").set_weights(list(map(cp.asarray, before)))  # there it is at home


class Quartic(md.losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ((y_pred - y_true) ** 4).mean(-1)


class DoubledError(md.losses.MeanSquaredError):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return 2 * super().call(y_true, y_pred) + 0 * (y_true - y_pred).sum()


@pytest.mark.parametrize("loss", [lambda y, p: np.mean(np.square(y - p), -1), Quartic(), DoubledError()])
def test_a_loss_of_the_users_own_gets_both_on_one_device(loss: Any, cp: Any) -> None:
    x, y = np.ones((4, 3), np.float32), np.array([1, 2, 3, 4])
    results = []
    for device, send in (("cpu", np.asarray), ("cuda", np.asarray), ("cuda", cp.asarray)):
        md.random.set_seed(0)
        model = md.Sequential([layers.Dense(1)])
        model.compile("sgd", loss)
        model.build((None, 3))
        results.append(model.to(device).train_on_batch(send(x), send(y)))
    assert_close(np.array(results[1:]), np.array(results[:1] * 2), slack=1e10)


def test_bad_numbers_on_the_gpu_are_named_by_their_value(cp: Any) -> None:
    model = md.Sequential([layers.Embedding(5, 2)]).to("cuda")
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=r"got 2.5 at position \(0, 1\)"):
        model(cp.asarray(np.array([[1.0, 2.5]])))
    with pytest.raises(ValueError, match=r"x holds nan at position \(0, 0\)"):
        model.train_on_batch(cp.asarray(np.array([[np.nan, 2.5]])), [1.0])


@pytest.mark.parametrize("first", [1, 2, 3])
def test_gradients_over_the_memory_of_a_weight_that_another_library_lends_twice(first: int, cp: Any) -> None:
    """Of what it lends each array has its own memory to CuPy, who would say that they have nothing in common."""
    room = cp.asarray(np.arange(6, dtype=np.float32))
    w, other = md.from_dlpack(room[first : first + 2]), on_gpu(0.0, 0.0, 0.0)
    g = cp.from_dlpack(room[2:5])
    md.optimizers.SGD(1.0).apply([on_gpu(10.0, 10.0), g], [w, other])
    assert other.tolist() == [-2.0, -3.0, -4.0] and w.tolist() == [first - 10.0, first - 9.0]


def test_a_step_compares_no_ends_of_gradients_and_weights(cp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has memory of its own, also those that are views, as the gradient of a bias is."""
    monkeypatch.setattr(md.devices, "may_share_memory", None)
    for send in (cp.asarray, np.asarray):
        w = [md.as_tensor(send(np.zeros(2, np.float32))) for _ in range(3)]
        views = [send(np.ones((1, 2), np.float32)).reshape(2) for _ in w]
        md.optimizers.SGD(1.0).apply(views, [md.as_tensor(x._array[:]) for x in w])
        assert all(x._array.tolist() == [-1.0, -1.0] for x in w)


def test_a_state_of_another_device_changes_no_optimizer(cp: Any) -> None:
    w = md.Tensor([1.0, 2.0])
    optimizer = md.optimizers.Adam(0.5)
    optimizer.apply_gradients([([1.0, 1.0], w)])
    before = optimizer.get_state()
    wrong = before | {"iterations": np.array(7), "0/velocity": cp.asarray(np.ones(2, np.float32))}
    with pytest.raises(TypeError, match="0/velocity is on cuda and its weight on cpu"):
        optimizer.set_state(wrong)
    assert all(np.array_equal(value, before[name]) for name, value in optimizer.get_state().items())


def test_a_metric_of_the_users_counts_on_the_processor(cp: Any) -> None:
    class Errors(md.metrics.Metric):
        def __init__(self) -> None:
            super().__init__(name="errors")
            self.total = self.add_weight()

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
            self.total.assign_add(abs(y_true - y_pred).sum())

        def result(self) -> Any:
            return self.total

    results = []
    ids, y = np.array([[1, 2, 0], [3, 0, 0]]), np.arange(6.0).reshape(2, 3, 1)
    for device in ("cpu", "cuda"):
        for mask_zero in (False, True):
            md.random.set_seed(0)
            with md.use("cuda" if device == "cuda" else "cpu"):
                model = md.Sequential([layers.Embedding(4, 2, mask_zero=mask_zero), layers.Dense(1)])
                metric = Errors()
                assert metric.total.device == "cpu"
                model.compile("sgd", "mse", metrics=[metric, "mae"], weighted_metrics=[Errors()])
                results.append(model.evaluate(ids, y, verbose=0))
    assert_close(np.array(results[2:]), np.array(results[:2]), slack=1e10)
