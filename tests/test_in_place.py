"""Changes in place between forward and backward: caught where they would make a gradient wrong, and only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import backward, in_dtype, results, weights_of
from tolerances import assert_close

import minidl as md
from minidl.testing import Case, cases_of

DIFFERENTIABLE = [case for case in cases_of("op") if case.differentiable]
CAUGHT = "was changed in place after .* was computed, and its backward needs the value from before"


def leaf(*values: float) -> md.Tensor:
    return md.Tensor(values, requires_grad=True, dtype="float64")


def _overwrite(array: Any) -> None:
    """Other values that are still valid: other floats, other ids, the other boolean."""
    array[...] = {"f": lambda: array + 0.5, "i": lambda: (array == 0).astype(array.dtype), "b": lambda: ~array}[
        array.dtype.kind
    ]()


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=str)
def test_any_change_is_caught_or_does_no_harm(case: Case, kernels: str) -> None:
    """Each input and each output of each op is overwritten in turn; backward is right, or it refuses."""
    expected = backward(case, in_dtype(case.inputs, np.float64))
    for i in range(len(case.inputs) + 3):
        arrays = [a.copy() for a in in_dtype(case.inputs, np.float64)]
        variables, outputs = results(case, arrays)
        weights = weights_of(outputs)
        targets = [*arrays, *(y.numpy() for y in outputs)]
        if i >= len(targets) or not targets[i].flags.writeable:
            continue
        _overwrite(targets[i])
        try:
            for y, w in zip(outputs, weights, strict=True):
                if y.requires_grad:
                    y.backward(w, retain_graph=True)
        except RuntimeError as error:
            assert "was changed in place" in str(error)  # noqa: PT017
            assert all(x.grad is None for x in variables)
            continue
        for x, truth in zip(variables, expected, strict=True):
            assert_close(np.zeros(x.shape) if x.grad is None else x.grad.numpy(), truth)


# ---- every way to change what a tensor holds ----------------------------------------------


def _by_an_optimizer(t: md.Tensor) -> None:
    md.kernels.reference.sgd_step(t._array, np.ones(t.shape), 0.1)
    t._changed()


def _by_subtraction(t: md.Tensor) -> None:
    t.data -= 1.0


def _by_assignment(t: md.Tensor) -> None:
    t.data = np.array([7.0, 8.0])


def _by_setitem_of_a_constant(t: md.Tensor) -> None:
    t.detach()[0] = 5.0


WAYS: list[Callable[[md.Tensor], Any]] = [
    lambda t: t.data.__setitem__(..., 7.0),
    lambda t: t.numpy().__setitem__(0, 7.0),
    lambda t: t.data.sort(),
    lambda t: np.asarray(t).__setitem__(1, -1.0),
    lambda t: np.array(t, copy=None).__setitem__(1, -1.0),
    lambda t: np.from_dlpack(t).__setitem__(0, 9.0),
    lambda t: t.reshape(2, 1).data.__setitem__((1, 0), 9.0),
    lambda t: t[1:].numpy().__setitem__(0, 9.0),
    lambda t: t.reshape(1, 2).T.detach().data.__setitem__((0, 0), 9.0),
    lambda t: t.detach().data.__setitem__(0, 9.0),
    lambda t: t.alias().data.__setitem__(0, 9.0),
    lambda t: np.add(t.data, 1.0, out=t.data),
    lambda t: t.data.view(np.uint8).__setitem__(3, 1),
    _by_an_optimizer,
    _by_subtraction,
    _by_assignment,
    _by_setitem_of_a_constant,
]


@pytest.mark.parametrize("exposed_before", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_change_an_input_is_caught(way: Callable[[md.Tensor], Any], exposed_before: bool) -> None:
    w, x = leaf(3.0, -2.0), leaf(5.0, 4.0)
    if exposed_before:
        w.numpy()
    y = (w * x).sum()
    way(w)
    with pytest.raises(RuntimeError, match=rf"input 0 \(2,\) of multiply {CAUGHT}"):
        y.backward()
    assert w.grad is None and x.grad is None
    (w * x).sum().backward()  # the new values are good for a new computation
    assert x.grad is not None and x.grad.tolist() == w.tolist()


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_change_an_output_is_caught(way: Callable[[md.Tensor], Any]) -> None:
    x = leaf(0.5, 0.25)
    y = md.exp(x)
    total = y.sum()
    way(y)
    with pytest.raises(RuntimeError, match=rf"the output \(2,\) of exp {CAUGHT}"):
        total.backward()


@pytest.mark.parametrize("way", WAYS)
def test_a_change_is_no_harm_to_what_does_not_need_the_value(way: Callable[[md.Tensor], Any]) -> None:
    """Sums, moves, and exp of the input: none of them looks at the old values of w."""
    for f in (lambda w: w + 1.0, lambda w: 2.0 - w, lambda w: -w, lambda w: w[::-1] * 3.0, md.exp):
        w = leaf(3.0, -2.0)
        h = f(w + 0.0)
        expected = md.gradients(h.sum(), w, retain_graph=True).tolist()
        way(w)
        h.sum().backward()
        assert w.grad is not None and w.grad.tolist() == expected


def test_a_change_before_the_op_is_no_change_after_it() -> None:
    w = leaf(3.0, -2.0)
    array = w.data
    array[0] = 10.0
    y = (w * w).sum()
    y.backward()
    assert w.grad is not None and w.grad.tolist() == [20.0, -4.0]


def test_writing_the_same_values_is_no_change() -> None:
    w = leaf(3.0, -2.0)
    array = w.data
    y = (w * w).sum()
    array[...] = [3.0, -2.0]
    y.backward()
    assert w.grad is not None and w.grad.tolist() == [6.0, -4.0]


@pytest.mark.parametrize(
    ("before", "after"),
    [([-1.0, -2.0], [-2.0, -1.0]), ([0.0, 1.0], [-0.0, 1.0]), ([1.0, 2.0], [2.0, 1.0]), ([np.nan, 1.0], [1.0, np.nan])],
)
def test_changes_that_a_poor_checksum_would_miss(before: list[float], after: list[float]) -> None:
    w = leaf(*before)
    y = (w * w).sum()
    w.data[...] = after
    with pytest.raises(RuntimeError, match=CAUGHT):
        y.backward()


def test_a_view_that_was_made_before_anyone_looked() -> None:
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    row = x.reshape(1, 2)
    y = (row * w).sum()
    x.data[0] = 9.0
    with pytest.raises(RuntimeError, match=r"input 0 \(1, 2\) of multiply"):
        y.backward()


def test_an_op_that_returns_its_input() -> None:
    class Identity(md.Op):
        def forward(self, x: Any) -> Any:
            return x

        def backward(self, dy: Any) -> Any:
            return -dy

    x = leaf(1.0, 2.0)
    y = Identity.apply(x)
    z = (y * y).sum()
    x.data[0] = 9.0
    with pytest.raises(RuntimeError, match="input 0 .* of multiply"):
        z.backward()


def test_arrays_that_take_part_without_being_copied() -> None:
    w, features = leaf(1.0, 2.0), np.array([3.0, 4.0])
    for y in ((w * features).sum(), md.matmul(w, features), (md.as_tensor(features) * w).sum()):
        features[0] += 1.0
        with pytest.raises(RuntimeError, match=CAUGHT):
            y.backward()
    part = features[1:]
    y = (w[1:] * part).sum()
    features[1] = 0.0
    with pytest.raises(RuntimeError, match=CAUGHT):
        y.backward()
    copied = md.Tensor(features)
    y = (w * copied).sum()
    features[0] = 0.0
    y.backward()


def test_keys_ids_masks_and_labels_are_the_ops_own_or_watched() -> None:
    ids, mask = np.array([0, 1]), np.array([True, False])
    x = leaf(1.0, 2.0)
    y = x[ids].sum() + x[[0, 1]][mask].sum() + md.where(mask, x, 0.0).sum() + md.embedding(x.reshape(2, 1), ids).sum()
    ids[...], mask[...] = 1, True
    y.backward()
    assert x.grad is not None and x.grad.tolist() == [4.0, 2.0]


def test_setitem_of_a_tensor_in_a_graph_is_refused() -> None:
    x = leaf(1.0, 2.0)
    for t in (x, x * 2):
        with pytest.raises(RuntimeError, match=r"not differentiable.*use where\(\) or stack\(\), or write to \.data"):
            t[0] = 3.0
    constant = md.Tensor([1.0, 2.0, 3.0])
    constant[md.Tensor([True, False, True])] = md.Tensor([5.0, 6.0])
    constant[1] = 7
    constant[md.Tensor(2), ...] = 8.0
    assert constant.tolist() == [5.0, 7.0, 8.0]


def test_setitem_of_a_value_in_a_graph_is_refused_as_it_would_lose_the_gradient() -> None:
    x, table = leaf(1.0, 2.0), md.Tensor([[0.0, 0.0], [0.0, 0.0]])
    with pytest.raises(RuntimeError, match="a gradient is required"):
        table[0] = x * 2
    with md.no_grad():
        table[0] = x * 2
    assert table.tolist() == [[2.0, 4.0], [0.0, 0.0]]


def test_under_no_grad_a_leaf_is_changed_in_place_and_backward_knows() -> None:
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    with md.no_grad():
        x[0] = 5.0
    assert x.is_leaf and x.requires_grad and x.tolist() == [5.0, 2.0]
    with pytest.raises(RuntimeError, match=CAUGHT):
        y.backward()


def test_under_no_grad_a_leaf_stays_the_leaf_through_every_operator() -> None:
    x = same = leaf(7.0, -5.0)
    with md.no_grad():
        x += 1.0
        x -= 2.0
        x *= 3.0
        x /= 2.0
        x **= 2.0
        x //= 4.0
        x %= 7.0
    assert x is same and x.is_leaf and x.requires_grad
    assert x.tolist() == [20.0 % 7, 20.0 % 7]


def test_a_factor_may_change_if_only_its_own_gradient_reads_the_other() -> None:
    ways: list[Callable[[md.Tensor, md.Tensor], md.Tensor]] = [
        lambda w, x: w * x, lambda w, x: x * w, lambda w, x: w / x, lambda w, x: md.matmul(w, x)
    ]  # fmt: skip
    for f in ways:
        w, x = leaf(3.0, -2.0), md.Tensor([5.0, 4.0], dtype="float64")
        expected = md.gradients(f(w, x).sum(), w).tolist()
        y = f(w, x).sum()
        w.data[0] = 100.0
        y.backward()
        assert w.grad is not None and w.grad.tolist() == expected
        y = f(w, x).sum()
        x.data[0] = 100.0
        with pytest.raises(RuntimeError, match=CAUGHT):
            y.backward()


def test_a_fused_op_is_not_computed_again_from_other_inputs() -> None:
    """Under create_graph softmax is differentiated in small ops, which need the input that softmax itself does not."""
    x = leaf(1.0, 2.0, 3.0)
    h = x * 1.0
    y = md.softmax(h)
    h.data[...] = 0.0
    with pytest.raises(RuntimeError, match=rf"input 0 \(3,\) of softmax {CAUGHT}"):
        md.gradients(y[0], x, create_graph=True)
    y[0].backward()
    assert x.grad is not None and x.grad.numpy().argmax() == 0


def test_an_error_leaves_the_graph_whole() -> None:
    w, x = leaf(3.0), leaf(5.0)
    y = (w * x).sum()
    w.data[0] = 4.0
    with pytest.raises(RuntimeError, match=CAUGHT):
        y.backward()
    with pytest.raises(RuntimeError, match=CAUGHT):  # not "freed"
        y.backward()


def test_asking_for_the_shape_exposes_nothing_whose_bytes_would_be_watched_from_then_on() -> None:
    t = leaf(1.0, 2.0)
    assert np.shape(t) == (2,) and np.ndim(t) == 1 and np.size(t) == 2 and np.size(t, axis=0) == 2
    assert t._memory is None
    md.losses.SparseCategoricalCrossentropy()([1], y := md.softmax(md.Tensor([[1.0, 2.0]], requires_grad=True)))
    assert y._memory is None


def test_training_by_hand_never_trips_over_it() -> None:
    w, x, target = leaf(0.0, 0.0), np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([5.0, 1.0])
    losses = []
    for _ in range(100):
        loss = md.mean((x @ w - target) ** 2)
        loss.backward()
        assert w.grad is not None
        w.data -= 0.1 * w.grad
        w.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 1e-6 < losses[0]
    assert w.is_leaf and w.requires_grad
    np.testing.assert_allclose(w.numpy(), [1.0, 2.0], atol=1e-3)


def test_data_takes_what_fits_and_nothing_else() -> None:
    w = leaf(1.0, 2.0)
    array = w.data
    w.data = [3, 4]
    assert array.tolist() == [3.0, 4.0] and w.dtype == np.float64
    with pytest.raises(ValueError, match=r"data of shape \(3,\) cannot replace data of shape \(2,\)"):
        w.data = [1.0, 2.0, 3.0]
    read_only = np.array([1.0, 2.0])
    read_only.flags.writeable = False
    t = md.as_tensor(read_only)
    t.requires_grad = True
    y = (t * t).sum()
    t.data = [5.0, 6.0]
    assert read_only.tolist() == [1.0, 2.0] and t.tolist() == [5.0, 6.0]
    with pytest.raises(RuntimeError, match=CAUGHT):
        y.backward()
