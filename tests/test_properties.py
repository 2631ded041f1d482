"""Laws that hold for any input, tried on drawn shapes, values and programs.

The programs are random expression graphs, with shared parts and results that nothing uses.
They run twice: in minidl, and on dual numbers (a value and its change along a direction, both
plain NumPy), which know nothing of graphs or backward passes. For a program F and directions
v and w, what the one and the other find must agree: ⟨w, F'(x) v⟩ = ⟨F'(x)ᵀ w, v⟩.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from cases import KERNELS
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tolerances import assert_close

import minidl as md
from minidl.testing import cases_of

Array = Any
DIFFERENTIABLE = [case for case in cases_of("op") if case.differentiable]
on_every_module = pytest.mark.parametrize("name", KERNELS)
seeds = st.integers(0, 2**32)


def leaf(array: Array) -> md.Tensor:
    return md.Tensor(array, requires_grad=True)


def draw(rng: md.random.Generator, shape: Sequence[int], low: float = -1.5, high: float = 1.5) -> Array:
    return np.asarray(rng.uniform(tuple(shape), low, high, np.float64))


def vjp(y: md.Tensor, xs: Sequence[md.Tensor], w: Array) -> list[Array]:
    return [g.numpy() for g in md.gradients(y, xs, gradient=w, retain_graph=True)]


# ---- random programs ----------------------------------------------------------------------


@dataclass
class Dual:
    """A value, and its derivative along a direction."""

    value: Array
    change: Array


@dataclass
class Step:
    """An op of a program: on tensors, and on dual numbers by the rules of the differential calculus."""

    takes: Callable[..., bool]
    on_tensors: Callable[..., md.Tensor]
    on_duals: Callable[..., Dual]


def _function(f: Callable[..., md.Tensor], value: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Step:
    """A function of each element."""
    return Step(lambda a: True, f, lambda a: Dual(value(a.value), slope(a.value) * a.change))


def _linear(
    f: Callable[..., md.Tensor], same: Callable[[Array], Array], takes: Callable[..., bool] = lambda a: True
) -> Step:
    """A linear function: it changes as its argument does."""
    return Step(takes, f, lambda a: Dual(same(a.value), same(a.change)))


def _pair(f: Callable[..., md.Tensor], value: Callable[..., Array], change: Callable[..., Array]) -> Step:
    """A function of two arguments that broadcast."""
    return Step(_broadcast, f, lambda a, b: Dual(value(a.value, b.value), change(a, b)))


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        return math.prod(np.broadcast_shapes(a, b)) <= 64
    except ValueError:
        return False


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _softmax(a: Dual) -> Dual:
    e = np.exp(a.value - a.value.max(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)
    return Dual(y, y * (a.change - (y * a.change).sum(-1, keepdims=True)))


def _max(a: Dual) -> Dual:
    ties = a.value == a.value.max(0)
    return Dual(a.value.max(0), (a.change * ties).sum(0) / ties.sum(0))


def _has_axis(a: tuple[int, ...]) -> bool:
    return len(a) > 0


def _has_axis_and_room(a: tuple[int, ...]) -> bool:
    return len(a) > 0 and math.prod(a) <= 32


SMOOTH = {
    "tanh": _function(md.tanh, np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sin": _function(md.sin, np.sin, np.cos),
    "sigmoid": _function(md.sigmoid, _sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
    "softplus": _function(md.softplus, lambda x: np.logaddexp(0, x), _sigmoid),
    "silu": _function(md.silu, lambda x: x * _sigmoid(x), lambda x: _sigmoid(x) * (1 + x * _sigmoid(-x))),
    "exp(−x²)": _function(lambda x: md.exp(-x * x), lambda x: np.exp(-(x**2)), lambda x: -2 * x * np.exp(-(x**2))),
    "log(1 + x²)": _function(lambda x: md.log(x**2 + 1.0), lambda x: np.log(1 + x * x), lambda x: 2 * x / (1 + x * x)),
    "add": _pair(md.add, np.add, lambda a, b: a.change + b.change),
    "subtract": _pair(md.subtract, np.subtract, lambda a, b: a.change - b.change),
    "multiply": _pair(md.multiply, np.multiply, lambda a, b: a.change * b.value + a.value * b.change),
    "over 1 + b²": _pair(
        lambda a, b: a / (1.0 + b * b), lambda a, b: a / (1 + b * b),
        lambda a, b: a.change / (1 + b.value**2) - 2 * a.value * b.value * b.change / (1 + b.value**2) ** 2,
    ),
    "sum": _linear(md.sum, np.sum),
    "sum of the last axis": _linear(lambda x: md.sum(x, -1), lambda x: x.sum(-1), _has_axis),
    "mean of the first axis": _linear(lambda x: md.mean(x, 0), lambda x: x.mean(0), _has_axis),
    "cumsum": _linear(lambda x: md.cumsum(x, 0), lambda x: np.cumsum(x, 0), _has_axis),
    "transpose": _linear(md.transpose, np.transpose),
    "flatten": _linear(md.flatten, np.ravel),
    "flip": _linear(lambda x: md.flip(x, 0), lambda x: x[::-1], _has_axis),
    "some rows": _linear(lambda x: x[[0, -1, 0]], lambda x: x[[0, -1, 0]], _has_axis_and_room),
    "every second": _linear(lambda x: x[..., ::2], lambda x: x[..., ::2], _has_axis),
    "twice": _linear(lambda x: md.concatenate([x, x], -1), lambda x: np.concatenate([x, x], -1), _has_axis_and_room),
    "new axis": _linear(lambda x: md.expand_dims(x, -1), lambda x: x[..., None], lambda a: len(a) < 4),
    "softmax": Step(_has_axis, md.softmax, _softmax),
    "product with its transpose": Step(
        lambda a: len(a) == 2, lambda x: x @ x.T * 0.1,
        lambda a: Dual(a.value @ a.value.T * 0.1, (a.change @ a.value.T + a.value @ a.change.T) * 0.1),
    ),
}  # fmt: skip
PIECEWISE = {
    "relu": _function(md.relu, lambda x: np.maximum(x, 0), lambda x: x > 0),
    "elu": _function(
        md.elu, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), lambda x: np.exp(np.minimum(x, 0)),
    ),
    "absolute": _function(md.absolute, np.abs, np.sign),
    "clip": _function(lambda x: md.clip(x, -0.5, 0.5), lambda x: np.clip(x, -0.5, 0.5), lambda x: np.abs(x) <= 0.5),
    "maximum": _pair(md.maximum, np.maximum, lambda a, b: np.where(
        a.value == b.value, (a.change + b.change) / 2, np.where(a.value > b.value, a.change, b.change))),
    "where": _pair(lambda a, b: md.where(a > b, a, b * 2.0), lambda a, b: np.where(a > b, a, b * 2),
                   lambda a, b: np.where(a.value > b.value, a.change, b.change * 2)),
    "max of the first axis": Step(_has_axis, lambda x: md.max(x, 0), _max),
}  # fmt: skip


@dataclass
class Program:
    """Inputs, and steps that each take earlier results, by place."""

    shapes: list[tuple[int, ...]]
    steps: list[tuple[Step, str, tuple[int, ...]]]

    def on_tensors(self, inputs: Sequence[md.Tensor]) -> md.Tensor:
        pool = list(inputs)
        for step, _, places in self.steps:
            pool.append(step.on_tensors(*(pool[i] for i in places)))
        return pool[-1]

    def on_duals(self, inputs: Sequence[Dual]) -> Dual:
        pool = list(inputs)
        for step, _, places in self.steps:
            pool.append(step.on_duals(*(pool[i] for i in places)))
        return pool[-1]

    def __repr__(self) -> str:
        return f"inputs {self.shapes}: " + "; ".join(f"{name} of {places}" for _, name, places in self.steps)


@st.composite
def programs(choose: Callable[..., Any], steps: dict[str, Step], first: tuple[int, ...] | None = None) -> Program:
    """A program of these steps; its first input in the shape `first`, if one is given."""
    shape = st.lists(st.integers(1, 4), max_size=3).map(tuple)
    shapes = choose(st.lists(shape, min_size=1, max_size=3))
    shapes[0] = shapes[0] if first is None else first
    pool, program = [np.zeros(s) for s in shapes], Program(shapes, [])
    for _ in range(choose(st.integers(1, 10))):
        name = choose(st.sampled_from(sorted(steps)))
        step = steps[name]
        arity = 2 if step.takes is _broadcast else 1
        places = tuple(choose(st.integers(0, len(pool) - 1)) for _ in range(arity))
        if step.takes(*(pool[i].shape for i in places)):
            pool.append(step.on_duals(*(Dual(pool[i], pool[i]) for i in places)).value)
            program.steps.append((step, name, places))
    assume(program.steps)
    return program


@on_every_module
@given(programs(SMOOTH | PIECEWISE), seeds)
@settings(max_examples=150)
def test_programs_agree_with_dual_numbers(name: str, program: Program, seed: int) -> None:
    rng = md.random.Generator(seed)
    duals = [Dual(draw(rng, s), draw(rng, s)) for s in program.shapes]
    xs = [leaf(d.value) for d in duals]
    expected = program.on_duals(duals)
    w = draw(rng, expected.value.shape)
    with md.use(name):
        y = program.on_tensors(xs)
        assert_close(y.numpy(), expected.value, slack=10)
        y.backward(w)
    backward = sum(
        float((x.grad.numpy() * d.change).sum()) for x, d in zip(xs, duals, strict=True) if x.grad is not None
    )
    size = sum(
        float(np.abs(x.grad.numpy() * d.change).sum()) for x, d in zip(xs, duals, strict=True) if x.grad is not None
    )
    assert abs(backward - float((w * expected.change).sum())) <= 1e-12 * max(1.0, size)


@given(programs(SMOOTH), seeds)
def test_second_derivatives_of_programs(program: Program, seed: int) -> None:
    """H v by differentiating the gradient along v, against the difference of two gradients; and ⟨H v, u⟩ = ⟨H u, v⟩."""
    rng = md.random.Generator(seed)
    arrays, v, u = ([draw(rng, s) for s in program.shapes] for _ in range(3))
    w = draw(rng, program.on_duals([Dual(a, a) for a in arrays]).value.shape)

    def first(xs: list[md.Tensor], create_graph: bool) -> list[md.Tensor]:
        return md.gradients(program.on_tensors(xs), xs, gradient=w, create_graph=create_graph)

    xs = [leaf(a) for a in arrays]
    gradient = first(xs, create_graph=True)
    hv, hu = (_along(gradient, xs, direction) for direction in (v, u))
    h = 1e-5
    ahead, behind = (first([leaf(a + s * h * d) for a, d in zip(arrays, v, strict=True)], False) for s in (1, -1))
    for exact, a, b in zip(hv, ahead, behind, strict=True):
        difference = (a.numpy() - b.numpy()) / (2 * h)
        np.testing.assert_allclose(
            exact, difference, rtol=1e-5, atol=1e-6 * max(1.0, np.abs(difference).max(initial=0))
        )
    assert _dot(hv, u) == pytest.approx(_dot(hu, v), rel=1e-9, abs=1e-9)


def _along(gradient: list[md.Tensor], xs: list[md.Tensor], direction: list[Array]) -> list[Array]:
    parts = [md.sum(g * d) for g, d in zip(gradient, direction, strict=True) if g.requires_grad]
    return vjp(md.sum(md.stack(parts)), xs, np.ones(())) if parts else [np.zeros(x.shape) for x in xs]


def _dot(a: Sequence[Array], b: Sequence[Array]) -> float:
    return sum(float((p * q).sum()) for p, q in zip(a, b, strict=True))


@given(programs(SMOOTH | PIECEWISE), st.data(), seeds)
def test_the_chain_rule(inner: Program, data: st.DataObject, seed: int) -> None:
    """(g ∘ f)' computed at once is g' then f', where g takes the output of f as its first input."""
    rng = md.random.Generator(seed)
    xs = [leaf(draw(rng, s)) for s in inner.shapes]
    middle = inner.on_tensors(xs)
    outer = data.draw(programs(SMOOTH | PIECEWISE, first=middle.shape))
    rest = [leaf(draw(rng, s)) for s in outer.shapes[1:]]
    y = outer.on_tensors([middle, *rest])
    w = draw(rng, y.shape)
    cut = leaf(middle.numpy())
    (dmiddle,) = vjp(outer.on_tensors([cut, *rest]), [cut], w)
    for whole, part in zip(vjp(y, xs, w), vjp(middle, xs, dmiddle), strict=True):
        assert_close(whole, part, slack=100)


@given(programs(SMOOTH | PIECEWISE), seeds)
def test_a_graph_gives_the_same_bits_each_time_and_recorded(program: Program, seed: int) -> None:
    rng = md.random.Generator(seed)
    arrays = [draw(rng, s) for s in program.shapes]
    found = []
    for create_graph in (False, False, True):
        xs = [leaf(a) for a in arrays]
        y = program.on_tensors(xs)
        found.append([g.numpy() for g in md.gradients(y, xs, gradient=np.ones(y.shape), create_graph=create_graph)])
    for first, again, recorded in zip(*found, strict=True):
        np.testing.assert_array_equal(first, again)
        assert_close(recorded, first)


# ---- laws of the backward pass of each op -------------------------------------------------


@on_every_module
@given(st.sampled_from(DIFFERENTIABLE), st.floats(-3, 3), st.floats(-3, 3), seeds)
def test_backward_is_linear(name: str, case: Any, a: float, b: float, seed: int) -> None:
    """The gradient from a u + b w is a times that from u and b times that from w."""
    rng = md.random.Generator(seed)
    with md.use(name):
        xs, ys = _run(case)
        for y in ys:
            u, w = draw(rng, y.shape), draw(rng, y.shape)
            parts = zip(vjp(y, xs, a * u + b * w), vjp(y, xs, u), vjp(y, xs, w), strict=True)
            for both, from_u, from_w in parts:
                assert_close(both, a * from_u + b * from_w, slack=10)


@on_every_module
@given(st.sampled_from(DIFFERENTIABLE), seeds)
def test_backward_is_the_adjoint_of_its_own_derivative(name: str, case: Any, seed: int) -> None:
    """⟨J v, u⟩ = ⟨v, Jᵀ u⟩, with J v found by differentiating Jᵀ u, which is linear in u."""
    rng = md.random.Generator(seed)
    with md.use(name):
        xs, ys = _run(case)
        for y in ys:
            u, vs = leaf(draw(rng, y.shape)), [draw(rng, x.shape) for x in xs]
            back = md.gradients(y, xs, gradient=u, create_graph=True)
            along = [md.sum(g * v) for g, v in zip(back, vs, strict=True) if g.requires_grad]
            total = md.sum(md.stack(along)) if along else None
            jv = vjp(total, [u], np.ones(()))[0] if total is not None else np.zeros(y.shape)
            assert_close(float((jv * u.numpy()).sum()), _dot([g.numpy() for g in back], vs), slack=10)


def _run(case: Any) -> tuple[list[md.Tensor], list[md.Tensor]]:
    tensors = [leaf(a) if a.dtype.kind == "f" else a for a in case.inputs]
    y = case.function(*tensors)
    outputs = list(y) if isinstance(y, (tuple, list)) else [y]
    return [t for t in tensors if isinstance(t, md.Tensor)], [y for y in outputs if y.requires_grad]


# ---- shapes -------------------------------------------------------------------------------


@on_every_module
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4, min_side=0), seeds)
def test_broadcasting(name: str, shapes: Any, seed: int) -> None:
    rng = md.random.Generator(seed)
    (a, b), shape = (leaf(draw(rng, s)) for s in shapes.input_shapes), shapes.result_shape
    w = draw(rng, shape)
    with md.use(name):
        y = a * b + a
        y.backward(w)
    assert y.shape == shape and a.grad is not None and b.grad is not None
    for x, slope in ((a, b.numpy() + 1), (b, a.numpy())):
        full = w * slope
        lead = full.ndim - x.ndim
        axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(x.shape) if n == 1)
        assert_close(x.grad.numpy(), full.sum(axes, keepdims=True).reshape(x.shape))


@given(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4), st.data(), seeds)
def test_reductions_over_any_axes(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    x = leaf(draw(md.random.Generator(seed), shape))
    axis = data.draw(
        st.none() | st.integers(-len(shape), len(shape) - 1) | hnp.valid_tuple_axes(len(shape), min_size=1)
    )
    keepdims = data.draw(st.booleans())
    for f, plain in ((md.sum, np.sum), (md.mean, np.mean), (md.max, np.max), (md.min, np.min), (md.var, np.var)):
        y = f(x, axis=axis, keepdims=keepdims)
        assert_close(y.numpy(), plain(x.numpy(), axis=axis, keepdims=keepdims))
        dx = md.gradients(y, x, gradient=np.ones(y.shape)).numpy()
        total = {md.var: 0.0, md.sum: x.size}.get(f, y.size)
        assert dx.sum() == pytest.approx(total, abs=1e-12)


@given(hnp.array_shapes(min_dims=1, max_dims=4, max_side=5), st.data())
def test_indexing_by_anything(shape: tuple[int, ...], data: st.DataObject) -> None:
    array = np.arange(float(math.prod(shape))).reshape(shape)
    key = data.draw(
        hnp.basic_indices(shape, allow_newaxis=True)
        | hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3))
        | hnp.arrays(bool, shape)
    )
    x = leaf(array)
    y = x[key]
    np.testing.assert_array_equal(y.numpy(), array[key])
    y.backward(np.ones(y.shape))
    assert x.grad is not None
    counts = np.bincount(np.ravel(y.numpy()).astype(int), minlength=array.size)
    np.testing.assert_array_equal(x.grad.numpy().reshape(-1), counts)


@on_every_module
@given(st.integers(0, 3), st.lists(st.integers(0, 3), max_size=2), st.integers(0, 9), st.integers(0, 9), seeds)
def test_matmul_of_any_size(name: str, rows: int, stack: list[int], inner: int, columns: int, seed: int) -> None:
    rng = md.random.Generator(seed)
    a, b = leaf(draw(rng, (*stack, rows, inner))), leaf(draw(rng, (inner, columns)))
    with md.use(name):
        y = a @ b
        w = draw(rng, y.shape)
        y.backward(w)
    assert a.grad is not None and b.grad is not None
    assert_close(y.numpy(), np.einsum("...ik,kj->...ij", a.numpy(), b.numpy()))
    assert_close(a.grad.numpy(), np.einsum("...ij,kj->...ik", w, b.numpy()))
    flat_a, flat_w = a.numpy().reshape(math.prod(stack) * rows, inner), w.reshape(math.prod(stack) * rows, columns)
    assert_close(b.grad.numpy(), np.einsum("ik,ij->kj", flat_a, flat_w))


# ---- the LSTM -----------------------------------------------------------------------------


@dataclass
class Sequences:
    """An LSTM's inputs, and gradients for its outputs."""

    inputs: list[Array]
    mask: Array
    reverse: bool
    gradients: list[Array]
    rng: md.random.Generator

    def run(self, **changes: Any) -> tuple[list[Array], list[Array]]:
        """Outputs y, h, c, and the gradients of the six inputs; `changes` replace any of the fields."""
        s = Sequences(**(vars(self) | changes))
        xs = [leaf(a) for a in s.inputs]
        ys = md.lstm(*xs, mask=s.mask, reverse=s.reverse)
        total = md.stack([md.sum(y * g) for y, g in zip(ys, s.gradients, strict=True)])
        return [y.numpy() for y in ys], [g.numpy() for g in md.gradients(md.sum(total), xs)]


@st.composite
def sequences(choose: Callable[..., Any]) -> Sequences:
    batch, time = choose(st.integers(0, 5)), choose(st.integers(0, 6))
    features, units = choose(st.integers(1, 5)), choose(st.integers(1, 18))
    rng = md.random.Generator(choose(seeds))
    shapes = [
        (batch, time, features),
        (batch, units),
        (batch, units),
        (features, 4 * units),
        (units, 4 * units),
        (4 * units,),
    ]
    mask = choose(hnp.arrays(bool, (batch, time)))
    outputs = [(batch, time, units), (batch, units), (batch, units)]
    return Sequences([draw(rng, s) for s in shapes], mask, choose(st.booleans()), [draw(rng, s) for s in outputs], rng)


def close(actual: Sequence[Array], expected: Sequence[Array]) -> None:
    for a, b in zip(actual, expected, strict=True):
        assert_close(a, b, slack=30)


@on_every_module
@given(sequences(), st.randoms(use_true_random=False))
def test_the_rows_of_a_batch_do_not_know_of_each_other(name: str, s: Sequences, random: Any) -> None:
    """Permuting the batch permutes outputs and gradients; the gradients of the weights are sums."""
    order = list(range(len(s.mask)))
    random.shuffle(order)
    with md.use(name):
        outputs, gradients = s.run()
        permuted = {"inputs": [a[order] for a in s.inputs[:3]] + s.inputs[3:], "mask": s.mask[order]}
        outputs_p, gradients_p = s.run(**permuted, gradients=[g[order] for g in s.gradients])
    close(outputs_p, [y[order] for y in outputs])
    close(gradients_p, [g[order] for g in gradients[:3]] + gradients[3:])


@on_every_module
@given(sequences(), st.integers(0, 3), st.integers(0, 3))
def test_masked_steps_might_as_well_not_be_there(name: str, s: Sequences, before: int, after: int) -> None:
    """Padding on either side, of any content, changes no state and no gradient, and gets none."""
    x, *rest = s.inputs
    first, last = (after, before) if s.reverse else (before, after)

    def padded(a: Array, fill: Any) -> Array:
        widths = [(0, 0), (before, after), (0, 0)][: a.ndim]
        room = np.pad(a, widths)
        real = np.pad(np.ones(a.shape, bool), widths)
        return np.where(real, room, fill)

    with md.use(name):
        (y, h, c), (dx, *others) = s.run()
        gy = np.pad(s.gradients[0], [(0, 0), (first, last), (0, 0)])  # in the order in which outputs are made
        (y_p, h_p, c_p), (dx_p, *others_p) = s.run(
            inputs=[padded(x, draw(s.rng, (x.shape[0], x.shape[1] + before + after, x.shape[2]))), *rest],
            mask=padded(s.mask, False),
            gradients=[gy, *s.gradients[1:]],
        )
    close([h_p, c_p, *others_p], [h, c, *others])
    time = x.shape[1]
    close([y_p[:, first : first + time], dx_p[:, before : before + time]], [y, dx])
    assert not y_p[:, :first].any() and not dx_p[:, :before].any() and not dx_p[:, before + time :].any()
    for step in range(first + time, y_p.shape[1]):  # the last output is repeated
        np.testing.assert_array_equal(y_p[:, step], y_p[:, step - 1] if step else 0 * y_p[:, step])


@on_every_module
@given(sequences())
def test_reversed_time_is_time_reversed(name: str, s: Sequences) -> None:
    x, *rest = s.inputs
    with md.use(name):
        outputs, (dx, *others) = s.run()
        outputs_r, (dx_r, *others_r) = s.run(inputs=[x[:, ::-1], *rest], mask=s.mask[:, ::-1], reverse=not s.reverse)
    close([*outputs_r, dx_r[:, ::-1], *others_r], [*outputs, dx, *others])


@on_every_module
@given(sequences())
def test_a_mask_of_ones_is_no_mask(name: str, s: Sequences) -> None:
    with md.use(name):
        without, with_ones = s.run(mask=None), s.run(mask=np.ones_like(s.mask))
    close([*with_ones[0], *with_ones[1]], [*without[0], *without[1]])


@on_every_module
@given(sequences(), st.data())
def test_a_sequence_in_two_parts_is_the_sequence(name: str, s: Sequences, data: st.DataObject) -> None:
    """The states of the first part begin the second; gradients flow back through them."""
    cut = data.draw(st.integers(0, s.mask.shape[1]))
    mask = np.ones_like(s.mask)
    with md.use(name):
        (y, h, c), expected = s.run(mask=mask, reverse=False)
        x, h0, c0, *weights = xs = [leaf(a) for a in s.inputs]
        y1, h1, c1 = md.lstm(x[:, :cut], h0, c0, *weights)
        y2, h2, c2 = md.lstm(x[:, cut:], h1, c1, *weights)
        joined = md.concatenate([y1, y2], axis=1)
        parts = [md.sum(a * g) for a, g in zip((joined, h2, c2), s.gradients, strict=True)]
        found = md.gradients(md.sum(md.stack(parts)), xs)
    close([joined.numpy(), h2.numpy(), c2.numpy()], [y, h, c])
    close([g.numpy() for g in found], expected)


@on_every_module
@given(sequences())
@settings(max_examples=30)
def test_the_kernel_and_the_composition_are_one_function(name: str, s: Sequences) -> None:
    from minidl.ops.recurrent import lstm_composition

    with md.use(name):
        outputs, gradients = s.run()
        xs = [leaf(a) for a in s.inputs]
        ys = lstm_composition(*xs, mask=s.mask, reverse=s.reverse)
        parts = [md.sum(y * g) for y, g in zip(ys, s.gradients, strict=True)]
        found = md.gradients(md.sum(md.stack(parts)), xs)
    close([y.numpy() for y in ys], outputs)
    close([g.numpy() for g in found], gradients)
