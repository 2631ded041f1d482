"""Every op: its values against a formula, its gradients against finite differences and closed forms.

The rows are those of `minidl.testing.op_cases`; each is tried on every kernel module, in both
precisions and in every layout.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import on_device
import pytest
from cases import (
    DTYPES,
    LAYOUTS,
    applies,
    assert_same,
    backward,
    floats,
    formula,
    in_dtype,
    naming,
    results,
    weights_of,
)
from closed_forms import CLOSED_FORMS, ClosedForm
from tolerances import assert_close

import minidl as md
from minidl import ops
from minidl.autograd import engine
from minidl.ops import (
    activations,
    arithmetic,
    contractions,
    elementary,
    linalg,
    placement,
    probabilities,
    reductions,
    selection,
    shapes,
)
from minidl.testing import Case, cases_of, gradcheck, gradgradcheck

CASES = cases_of("op")
DIFFERENTIABLE = [case for case in CASES if case.differentiable]
FAMILIES = (
    activations, arithmetic, contractions, elementary, linalg, placement, probabilities, reductions, selection, shapes
)  # fmt: skip


def every(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=str)


def forms_of(case: Case) -> Iterator[tuple[str, list[Any]]]:
    """The inputs in both precisions and all layouts, each with its name."""
    for dtype in DTYPES:
        for layout in LAYOUTS:
            if applies(case, layout):
                yield f"{np.dtype(dtype)}, {layout.__name__}", [layout(a) for a in in_dtype(case.inputs, dtype)]


# ---- the table is complete ----------------------------------------------------------------


def test_every_public_op_has_a_case() -> None:
    public = {name for name, value in vars(ops).items() if inspect.isfunction(value) and not name.startswith("_")}
    methods = {f.__name__ for family in FAMILIES for f in family.METHODS.values() if inspect.isfunction(f)}
    named = {case.name for case in CASES}
    assert public | methods - {"<lambda>", "_setitem"} <= named  # an assignment has no derivative
    assert len(public) > 55


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_number_is_repeated_without_a_copy_and_cannot_be_written_to(shape: tuple[int, ...]) -> None:
    x = md.Tensor(np.full(shape, 2.5, np.float32), requires_grad=True)
    y = md.broadcast_to(x, (3, 1, 4))
    assert np.shares_memory(y.numpy(), x.numpy()) and not y.numpy().flags.writeable
    np.testing.assert_array_equal(y.numpy(), np.full((3, 1, 4), 2.5, np.float32))
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), np.full(shape, 12, np.float32))
    with pytest.raises(ValueError, match="broadcast"):
        md.broadcast_to(md.Tensor([[2.5]]), (3,))


def test_every_op_class_is_reached_by_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    reached = set()
    apply = md.Op.apply.__func__  # type: ignore[attr-defined]

    def watched(cls: type[md.Op], *inputs: Any, **options: Any) -> Any:
        reached.add(cls)
        return apply(cls, *inputs, **options)

    monkeypatch.setattr(md.Op, "apply", classmethod(watched))
    with on_device.cupy(), md.use("cuda"):  # where To is reached too
        for case in DIFFERENTIABLE:
            backward(case, in_dtype(case.inputs, np.float32))
    assert {c.__name__ for c in _classes(md.Op)} - {c.__name__ for c in reached} == {
        "Extreme",  # of Max and Min
        "OneOfTwo",  # of Maximum and Minimum
        "Activation",
        "Smooth",
        "Straight",  # of Relu and its like
    }


def _classes(cls: type) -> set[type]:
    below = {c for c in cls.__subclasses__() if c.__module__.startswith("minidl.ops")}
    return below.union(*map(_classes, below))


def test_no_two_cases_have_one_name() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)


# ---- values and gradients -----------------------------------------------------------------


@every(CASES)
def test_values(case: Case, kernels: str) -> None:
    for form, arrays in forms_of(case):
        before = [a.copy() for a in arrays]
        with naming(form):
            _, outputs = results(case, arrays)
            for y, expected in zip(outputs, formula(case, before), strict=True):
                assert_close(y.numpy(), expected)
                assert y.dtype == floats(arrays)[0].dtype or not case.differentiable
                assert y.requires_grad is case.differentiable
            assert_same(arrays, before)


@every(DIFFERENTIABLE)
def test_gradients_in_every_form(case: Case, kernels: str) -> None:
    """The same as from contiguous arrays of float64 on the reference, whose gradients finite differences confirm."""
    for form, arrays in forms_of(case):
        before = [a.copy() for a in arrays]
        with naming(form):
            actual = backward(case, arrays)
            with md.use("reference"):
                expected = backward(case, in_dtype(before, np.float64))
            for x, dx, truth in zip(floats(arrays), actual, expected, strict=True):
                assert dx.dtype == x.dtype
                assert_close(dx, truth)
            assert_same(arrays, before)


@every(DIFFERENTIABLE + cases_of("loss"))
def test_a_gradient_that_becomes_the_tensors_uncopied_is_held_by_nobody_else(
    case: Case, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_rule = engine.Gradients._by_rule

    def watched(self: engine.Gradients, op: md.Op, dys: list[Any]) -> Any:
        found = by_rule(self, op, dys)
        new = [dx for dx in found if dx is not None] if isinstance(found, (tuple, list)) else [found]
        held = [a for value in vars(op).values() for a in (value if isinstance(value, (tuple, list)) else [value])]
        arrays = [getattr(a, "_array", a) for a in [*dys, *held]]
        if op.makes_gradients:
            for dx, other in [*itertools.product(new, arrays), *itertools.combinations(new, 2)]:
                assert type(other) is not type(dx) or not np.may_share_memory(dx, other), op
        return found

    monkeypatch.setattr(engine.Gradients, "_by_rule", watched)
    backward(case, in_dtype(case.inputs, np.float32))


def test_nothing_leaks_from_the_side_that_where_does_not_choose(kernels: str) -> None:
    """Chosen, not multiplied by 0 and 1: 0 × NaN is NaN, and so is 0 × ∞."""
    for dtype in DTYPES:
        for bad in (np.nan, np.inf):
            x = md.Tensor(np.linspace(-1, 1, 42, dtype=dtype).reshape(6, 7), requires_grad=True)
            y = md.Tensor(np.full((6, 7), bad, dtype), requires_grad=True)
            condition = x.numpy() < 2
            for z in (md.where(condition, x, y), md.where(~condition, y, x)):
                np.testing.assert_array_equal(z.numpy(), x.numpy())
                x.grad = y.grad = None
                z.backward(np.where(condition, 3.0, bad).astype(dtype))
                np.testing.assert_array_equal(x.grad.numpy(), np.full((6, 7), 3.0))
                np.testing.assert_array_equal(y.grad.numpy(), np.zeros((6, 7)))


@every(DIFFERENTIABLE)
def test_gradients_against_finite_differences(case: Case, kernels: str) -> None:
    assert gradcheck(case.function, case.inputs)


@every(DIFFERENTIABLE)
def test_second_derivatives_against_finite_differences(case: Case, kernels: str) -> None:
    assert gradgradcheck(case.function, case.inputs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", CLOSED_FORMS, ids=str)
def test_gradients_against_closed_forms(form: ClosedForm, dtype: Any, kernels: str) -> None:
    variables = [md.Tensor(x, requires_grad=True, dtype=dtype) for x in form.inputs]
    y = form.function(*variables)
    outputs = list(y) if isinstance(y, tuple) else [y]
    weights = weights_of(outputs)
    for output, weight in zip(outputs, weights, strict=True):
        output.backward(weight, retain_graph=True)
    exact = in_dtype([*weights, *(x.numpy() for x in variables)], np.float64)
    for x, expected in zip(variables, form.gradients(*exact), strict=True):
        assert_close(x.grad.numpy(), expected)


NUMPYS = {
    "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "arcsin": np.arcsin, "arccos": np.arccos, "arctan": np.arctan, "sinh": np.sinh, "cosh": np.cosh,
}  # fmt: skip


@pytest.mark.parametrize("name", NUMPYS)
def test_elementary_functions_without_a_kernel_stay_within_the_ulp_that_their_source_states(name: str) -> None:
    exponents = np.arange(255, dtype=np.uint32)[:, None] << np.uint32(23)
    inside = (md.random.Generator(1).uniform((255, 200), dtype=np.float64) * 2**23).astype(np.uint32)
    ends = np.broadcast_to(
        np.array([0, 1, 2**23 - 1], np.uint32), (255, 3)
    )  # the last is the number below a power of 2
    x = (exponents + np.concatenate([inside, ends], axis=1)).reshape(-1).view(np.float32)
    x = np.concatenate([x, -x])
    with np.errstate(all="ignore"):
        truth = NUMPYS[name](x.astype(np.float64))
        rounded = truth.astype(np.float32)
        y = getattr(md, name)(md.Tensor(x)).numpy()
        ulp = np.spacing(np.abs(rounded))
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(y[~finite], rounded[~finite])
    assert (np.abs(y[finite] - truth[finite]) / ulp[finite]).max() <= 4


@pytest.mark.parametrize("axis", [(0, 1, 1, 3), (-4, 0), (0, 0)])
def test_an_axis_that_is_named_twice_is_refused(axis: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="duplicate value in 'axis'"):
        md.sum(np.ones((2, 2, 2, 2), np.float32), axis)


@pytest.mark.parametrize("reduce", [md.sum, md.mean, md.max, md.var, md.std])
def test_an_axis_may_be_any_integer_and_is_read_at_each_call(reduce: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    for axis in (np.int64(1), np.array(1), md.Tensor(1), True):
        np.testing.assert_array_equal(reduce(x, axis).numpy(), reduce(x, 1).numpy())
    axis, t = md.Tensor(0), md.Tensor(x, requires_grad=True)
    y = reduce(t, axis)
    assert y.shape == (3,)
    axis.data = 1
    y.sum().backward()  # along the axis that it was
    assert t.grad.shape == (2, 3) and reduce(x, axis).shape == (2,)


@pytest.mark.parametrize("value", [123.456, 0.1, 1e-20, -3e7])
def test_what_is_equal_has_no_slope_of_var_and_std(value: float, kernels: str) -> None:
    """Its mean may have been rounded, and then no deviation is 0; but all are the same."""
    for n in range(2, 40):
        for f in (md.var, md.std):
            x = md.Tensor(np.full((n, 3), value, np.float32), requires_grad=True)
            f(x, 0).sum().backward()
            assert np.abs(x.grad.numpy()).max() < 1e-6


@pytest.mark.parametrize(("f", "most"), [(md.var, 1e-5), (md.std, 1e-3)])  # std's value has the mean's rounding in it
def test_slopes_of_var_and_std_far_from_0(f: Any, most: float, kernels: str) -> None:
    x = (1e3 + 0.01 * np.random.default_rng(0).standard_normal((64, 5))).astype(np.float32)
    slopes = []
    for dtype in (np.float32, np.float64):
        t = md.Tensor(x, dtype=dtype, requires_grad=True)
        f(t, 0).sum().backward()
        slopes.append(t.grad.numpy())
    assert np.abs(slopes[0] - slopes[1]).max() < most * np.abs(slopes[1]).max()


def test_std_of_half_precision_keeps_within_its_range() -> None:
    many = md.Tensor(np.tile(np.array([0.01, -0.01], np.float16), 35_000))  # more than the largest float16
    assert abs(float(md.std(many)) - 0.01) < 1e-4
    x = md.Tensor(np.array([0, 5e-4], np.float16), requires_grad=True)
    md.std(x).backward(md.Tensor(np.float16(256), dtype="float16"))
    np.testing.assert_allclose(x.grad.numpy(), [-128, 128], rtol=0.05)


@pytest.mark.parametrize("ddof", [np.int64(1), np.float32(1), md.Tensor(1)])
@pytest.mark.parametrize("f", [md.var, md.std])
def test_a_number_of_numpys_for_ddof_changes_no_type(f: Any, ddof: Any) -> None:
    for dtype in (np.float16, np.float32):
        assert f(md.Tensor(np.arange(6, dtype=dtype).reshape(2, 3)), ddof=ddof).dtype == dtype


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("axis", [0, 1])
def test_logsumexp_of_infinities(dtype: Any, axis: int, kernels: str) -> None:
    inf, most = np.inf, np.finfo(dtype).max
    rows = [[inf, -100], [-inf, -inf], [inf, -inf], [most, -most], [-inf, 2], [np.nan, inf], [inf, inf]]
    x = np.array(rows, dtype)
    y = md.logsumexp(x if axis else x.T, axis).numpy()
    np.testing.assert_array_equal(y, np.array([inf, -inf, inf, most, 2, np.nan, inf], dtype))


def test_where_of_what_its_kernel_does_not_take(kernels: str) -> None:
    a, b = np.arange(4, dtype=np.float32), -np.arange(4, dtype=np.float64)
    for condition in (np.array([0, 2, 1, 0]), np.array([0.0, 0.5, 1.0, np.nan]), a > 1):
        for other in (a[::-1].copy(), b):
            y = md.where(condition, md.Tensor(a), md.Tensor(other))
            np.testing.assert_array_equal(y.numpy(), np.where(condition, a, other))
            assert y.dtype == other.dtype


def test_clip_without_bounds_passes_everything_on(kernels: str) -> None:
    x = md.Tensor([-1.0, 0.0, 5.0], requires_grad=True)
    md.clip(x).backward(md.Tensor([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(x.grad.numpy(), [1, 2, 3])


def test_clip_by_bounds_that_broadcast_x(kernels: str) -> None:
    x = md.Tensor([0.5, 2.0, 3.0], requires_grad=True)
    y = md.clip(x, np.zeros((2, 1), np.float32), np.array([[1], [2]], np.float32))
    y.backward(md.ones((2, 3)))
    np.testing.assert_array_equal(y.numpy(), [[0.5, 1, 1], [0.5, 2, 2]])
    np.testing.assert_array_equal(x.grad.numpy(), [2, 1, 0])


@pytest.mark.parametrize("bounds", [(np.nan, 1), (0, np.nan), (-np.inf, 1), (0, np.inf), (None, 0.5), (2.0, 1.0)])
def test_clip_by_bounds_that_bound_little_is_that_of_numpy(bounds: tuple[Any, Any], kernels: str) -> None:
    for dtype in (np.float16, np.float32, np.float64):
        x = np.array([-1.5, 0.25, 3.0, np.inf, -np.inf, np.nan] * 4, dtype)
        y = md.clip(x, *bounds).numpy()
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, np.clip(x, *bounds))


def test_bounds_of_clip_may_change_after_forward() -> None:
    x, high = md.Tensor([-1.0, 0.5, 2.0], requires_grad=True), np.ones(3, np.float32)
    y = md.clip(x, None, high)
    high[:] = -5
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 1, 0])


@pytest.mark.parametrize("bound", [0.0, 0, np.float64(0), [0.0, 0.0], np.zeros(2), np.zeros(2, int), np.float64])
def test_bounds_of_clip_promote_no_floats_and_integers_where_they_must(bound: Any) -> None:
    bound = np.zeros((), bound) if isinstance(bound, type) else bound
    of_floats = np.result_type(type(bound) if np.isscalar(bound) else np.asarray(bound)).kind == "f"
    assert md.clip(md.Tensor([1.0, -2.0]), bound).dtype == np.float32
    of_integers = md.clip(md.Tensor([1, -2]), bound)
    assert of_integers.tolist() == [1, 0] and of_integers.dtype == (np.float32 if of_floats else np.int64)


def test_running_sums_and_products_of_narrow_integers_are_wide() -> None:
    narrow = md.Tensor(np.array([100, 100], np.int8))
    assert md.cumsum(narrow).tolist() == [100, 200] and md.prod(narrow).item() == 10_000
    assert md.cumsum(md.Tensor([True, True])).tolist() == [1, 2]
    assert md.cumsum(md.Tensor(np.ones(2, np.float16))).dtype == np.float16


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-5), (np.float64, 1e-13)])
@pytest.mark.parametrize("n", [1, 2, 3, 1501, 2048])
def test_products_of_long_rows(n: int, dtype: Any, rtol: float, kernels: str) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.uniform(0.9, 1.1, (4, n)) * rng.choice([-1, 1], (4, n))).astype(dtype)
    rows[1, n // 2], rows[2, 0], rows[2, -1] = 0, 0, 0
    x = md.Tensor(rows, requires_grad=True)
    y = md.prod(x, axis=1)
    y.backward(md.ones(4, dtype=dtype))
    exact = rows.astype(np.float64)
    others = [[np.prod(np.delete(row, i)) for i in range(n)] for row in exact]
    assert y.dtype == x.grad.dtype == dtype
    np.testing.assert_allclose(y.numpy(), exact.prod(1), rtol=rtol)
    np.testing.assert_allclose(x.grad.numpy(), others, rtol=rtol)


@pytest.mark.parametrize(
    "repeated", [lambda x: md.repeat(x, 3, axis=1), lambda x: md.repeat(x, 1), lambda x: md.tile(x, 2)]
)
def test_what_is_repeated_is_a_copy(repeated: Any) -> None:
    for x in (md.Tensor([[1.0], [2.0]]), md.Tensor([1.0]).reshape(1, 1)):
        y = repeated(x)
        before = x.tolist()
        y[...] = 7.0
        assert x.tolist() == before and (y.numpy() == 7).all()


def test_repeats_of_a_narrow_type_make_as_many_as_there_are() -> None:
    x = md.Tensor([1.0, 2.0, 3.0])
    assert md.repeat(x, np.int8(100)).shape == md.tile(x, np.int8(100)).shape == (300,)


def test_the_gradient_of_what_is_repeated_does_not_saturate_in_16_bits() -> None:
    x = md.Tensor(np.ones((1, 2), np.float16), requires_grad=True)
    md.repeat(x, 4096, axis=0).sum(axis=1).sum().backward()
    assert x.grad.tolist() == [[4096, 4096]]


def test_a_product_of_a_row_does_not_depend_on_the_others() -> None:
    rows = np.random.default_rng(0).uniform(0.9, 1.1, (40, 3000)).astype(np.float32)
    assert md.prod(md.Tensor(rows), axis=1)[3].item() == md.prod(md.Tensor(rows[3:4]), axis=1).item()


def test_split_and_take_by_numpys_integers_alone() -> None:
    x = md.Tensor([1.0, 2.0, 3.0, 4.0])
    assert [part.tolist() for part in md.split(x, np.int64(2))] == [[1, 2], [3, 4]]
    with pytest.raises(TypeError, match="take: indices must be integers, got float64"):
        md.take(x, [0.7, 1.2])
    assert md.take(x, []).shape == (0,)


@pytest.mark.parametrize(("function", "expected"), [(md.mean, 2), (md.var, 1), (md.std, 1)])
def test_half_precision_is_added_up_beyond_its_largest_number(function: Any, expected: float, kernels: str) -> None:
    x = md.Tensor(np.tile(np.array([1, 3], np.float16), 70_000), requires_grad=True)
    y = function(x)
    y.backward()
    assert y.dtype == x.grad.dtype == np.float16 and np.isfinite(x.grad.numpy()).all()
    assert y.item() == expected


@pytest.mark.parametrize("join", [md.stack, md.concatenate])
def test_joins_of_two_types(join: Any, kernels: str) -> None:
    assert join([md.Tensor([1, 2]), md.Tensor([0.5, 1.5])]).dtype == np.float32
    a = md.Tensor(np.ones(2, np.float32), requires_grad=True)
    b = md.Tensor(np.full(2, 1 / 3), requires_grad=True)
    y = join([a, b])
    assert y.dtype == np.float64 and y.numpy().reshape(-1)[2] == 1 / 3
    y.sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.float64)


@pytest.mark.parametrize("axis", [0, 1, (0, 1), (1, 2)])
def test_sums_of_views_are_those_of_their_copies(axis: Any) -> None:
    x = np.random.default_rng(0).integers(-9, 9, (7, 6, 5)).astype(np.float32)
    for view in (x.transpose(2, 0, 1), x[:, ::2], x[::-1], np.broadcast_to(x[:, :1], x.shape)):
        np.testing.assert_array_equal(md.sum(view, axis).numpy(), view.sum(axis))


@pytest.mark.parametrize("function", [md.relu, md.leaky_relu])
def test_what_is_straight_has_a_second_derivative_of_0(function: Any) -> None:
    x = md.Tensor([1.0, -2.0], requires_grad=True)
    (slope,) = md.gradients(function(x).sum(), [x], create_graph=True)
    (curvature,) = md.gradients((slope * slope).sum(), [x])
    np.testing.assert_array_equal(curvature.numpy(), [0, 0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble])
def test_relu_passes_on_nan(dtype: Any) -> None:
    np.testing.assert_array_equal(md.relu(np.array([np.nan, -1, 0, 2], dtype)).numpy(), [np.nan, 0, 0, 2])


@pytest.mark.parametrize("shape", [(17, 9, 31), (5, 1, 40, 1, 31), (3, 1700, 1), (4, 3, 8, 7, 9)])
def test_sums_over_axes_that_lie_apart(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for count, keepdims in itertools.product(range(len(shape) + 1), (False, True)):
        for axis in itertools.combinations(range(len(shape)), count):
            y, expected = md.sum(x, axis, keepdims), x.sum(axis, dtype=np.float64, keepdims=keepdims)
            assert y.shape == expected.shape and y.dtype == np.float32
            np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5, atol=1e-4)


_I = np.array([2, 0, 2, -1, 1, 2])
_KEYS = {
    "rows": _I, "rows as a table": _I.reshape(2, 3), "numbers": (_I, _I % 2, -_I % 3), "pairs": (_I, _I % 2),
    "a grid": (_I[:, None], np.array([1, 1, 0])), "one row": (1, _I % 2), "one column": (_I, -1),
    "small integers": (_I.astype(np.int8), _I.astype(np.int8) % 2), "after an axis": (slice(None), _I % 2),
    "around an axis": (_I, slice(None), _I), "a mask": (np.array([True, False, True]), np.array([1, 1])),
    "true": (True, _I),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("key", _KEYS.values(), ids=_KEYS)
def test_the_gradient_of_indices_adds_up_what_they_name_more_than_once(key: Any, dtype: Any) -> None:
    x = md.Tensor(np.zeros((3, 2, 3), dtype), requires_grad=True)
    y = x[key]
    dy = np.arange(1, y.size + 1, dtype=dtype).reshape(y.shape)
    y.backward(dy)
    expected = np.zeros(x.shape, dtype)
    np.add.at(expected, key, dy)
    assert x.grad is not None and x.grad.dtype == dtype
    np.testing.assert_array_equal(x.grad.numpy(), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("b", [-3, -2, -1, 0, 1, 2, 3, 4, 5, 8, 3.0, -2.0, 0.5, 2.5, 1e30, np.inf, -np.inf, np.nan])
def test_a_power_is_that_of_numpy_at_every_base(b: float, dtype: Any) -> None:
    a = np.array([0.0, -0.0, 1, -1, 0.3, -0.3, 1.7, -1.7, 1e30, -1e30, 1e-30, -1e-30, np.inf, -np.inf, np.nan], dtype)
    with np.errstate(all="ignore"):
        y, expected = (md.Tensor(a) ** b).numpy(), a**b
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected, rtol=4 * np.finfo(dtype).eps, atol=float(np.finfo(dtype).smallest_normal))
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(y[known]), np.signbit(expected[known]))


@pytest.mark.parametrize("b", [-3, -2, -1, 2, 3, 4, 5, 6, 7, 8, 3.0, -2.0])
def test_a_power_has_a_first_and_a_second_derivative(b: float) -> None:
    x = [np.array([-1.3, 0.7, 1.6])]
    assert md.gradcheck(lambda t: t**b, x) and md.gradgradcheck(lambda t: t**b, x)


def test_the_slope_of_a_power_in_its_exponent_where_that_is_0() -> None:
    x, p = md.Tensor([2.0, 3.0, 4.0], requires_grad=True), md.Tensor([0.0, 1.0, 0.0], requires_grad=True)
    (dx,) = md.gradients(md.power(x, p).sum(), [x], create_graph=True)
    (twice,) = md.gradients(dx.sum(), [p])
    np.testing.assert_allclose(twice.numpy(), [1 / 2, 1 + np.log(3), 1 / 4], rtol=1e-6)
    assert md.gradgradcheck(md.power, [np.array([2.0, 3.0]), np.array([0.0, 1.0])])


@pytest.mark.parametrize("base", [0.0, np.inf, -np.inf, np.nan])
@pytest.mark.filterwarnings("error")
def test_the_power_0_has_no_slope_in_its_base(base: float) -> None:
    x = md.Tensor([base], requires_grad=True)
    md.power(x, md.Tensor([0.0])).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0]


@pytest.mark.parametrize("function", [md.maximum, md.minimum])
def test_the_gradient_of_an_extreme_goes_to_its_nan(function: Any) -> None:
    nan = np.nan
    a = md.Tensor([1.0, nan, nan, 2.0], requires_grad=True)
    b = md.Tensor([nan, 1.0, nan, 2.0], requires_grad=True)
    function(a, b).sum().backward()
    assert a.grad is not None and b.grad is not None
    assert a.grad.tolist() == [0, 1, 0.5, 0.5] and b.grad.tolist() == [1, 0, 0.5, 0.5]
    c = md.Tensor([3.0, nan], requires_grad=True)
    function(c, nan).sum().backward()
    assert c.grad is not None and c.grad.tolist() == [0, 0.5]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_quotients_rounded_down_and_what_they_leave_are_numpys(dtype: Any, kernels: str) -> None:
    """Where a / b is rounded to the next integer, too, and where it is none."""
    special = [0.0, -0.0, 0.1, -0.1, 0.7, 1.0, -1.0, 5.0, -5.0, 1e30, np.inf, -np.inf, np.nan]
    a, b = (x.ravel().astype(dtype) for x in np.meshgrid(special, special))
    rng = np.random.default_rng(0)
    a = np.append(a, (rng.integers(-99, 99, 500) * 0.1).astype(dtype))
    b = np.append(b, rng.choice([0.1, -0.3, 0.7], 500).astype(dtype))
    for x, y in ((a, b), (a, 0.1), (-7.0, b)):
        t = [z if isinstance(z, float) else md.Tensor(z) for z in (x, y)]
        np.testing.assert_array_equal(np.array((t[0] // t[1]).tolist(), dtype), x // y)
        np.testing.assert_array_equal(np.array((t[0] % t[1]).tolist(), dtype), x % y)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("shape", [(3, 2), (40, 30), (1, 1500), (7, 20, 11)])
def test_what_ties_keeps_its_order_in_arrays_of_any_size(shape: tuple[int, ...], dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 9, shape).astype(dtype)
    if x.dtype.kind == "f":
        x *= dtype(0.3)
        special = [0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max]
        x = np.where(rng.random(shape) < 0.4, rng.choice(np.array(special, dtype), shape), x)
    for axis in range(-1, x.ndim):
        n = x.shape[axis]
        np.testing.assert_array_equal(md.argsort(x, axis).numpy(), np.argsort(x, axis, kind="stable"))
        np.testing.assert_array_equal(md.sort(x, axis).numpy(), np.sort(x, axis))
        ranks = np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
        for k in {0, 1, n // 2, n}:
            values, places = md.topk(x, k, axis)
            expected = np.take(n - 1 - ranks, range(k), axis)
            np.testing.assert_array_equal(places.numpy(), expected)
            np.testing.assert_array_equal(values.numpy(), np.take_along_axis(x, expected, axis))
    np.testing.assert_array_equal(md.argsort(x, None).numpy(), np.argsort(x, None, kind="stable"))


def test_a_nan_that_signals_is_sorted_in_silence() -> None:
    x = np.full(2000, 0x7F800001, np.int32).view(np.float32)
    x[5] = 1
    with np.errstate(all="raise"):
        assert md.argsort(x).numpy()[:2].tolist() == [5, 0] and md.topk(x, 1)[1].item() == 0


def test_axis_none_is_all_elements_in_one() -> None:
    x = md.Tensor([[3.0, 1.0], [2.0, 4.0]], requires_grad=True)
    for joined in (np.concatenate([x, [[5.0]]], axis=None), md.concatenate((x, [[5.0]]), None)):
        assert joined.tolist() == [3, 1, 2, 4, 5]
    assert np.argsort(x, axis=None).tolist() == [1, 2, 0, 3]
    ordered = np.sort(x, axis=None)
    assert ordered.tolist() == [1, 2, 3, 4]
    ordered[0].backward()
    assert x.grad is not None and x.grad.tolist() == [[0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: md.softmax(x, axis=None), "expected one axis as an integer, got axis=None"),
        (lambda x: md.sort(x, axis=(0, 1)), r"expected one axis as an integer, got axis=\(0, 1\)"),
        (lambda x: md.split(x, 1, axis=0.5), "expected one axis as an integer, got axis=0.5"),
        (lambda x: md.split(x, 0.5), "split: expected a number of parts, or the indices where they end, got 0.5"),
    ],
)
def test_axes_and_parts_that_are_none(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(md.Tensor([[1.0, 2.0]]))
    with pytest.raises(np.exceptions.AxisError, match="axis 3 is out of bounds"):
        md.split(md.Tensor([1.0]), 1, axis=3)


@pytest.mark.parametrize("axis", [None, (0, 1), 0, -1])
def test_log_softmax_over_axes_of_all_kinds(axis: Any) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_allclose(md.log_softmax(x, axis).numpy(), x - np.log(np.exp(x).sum(axis, keepdims=True)))
    assert md.log_softmax(3.0, None).item() == 0


@pytest.mark.parametrize("function", [md.softmax, md.log_softmax, md.logsumexp])
def test_over_another_axis_it_is_what_it_is_over_the_last(function: Any, kernels: str) -> None:
    """With a slope each way, and where infinities and NaN stand; large numbers lose no digits."""
    inf, nan = np.inf, np.nan
    rows = [[-inf, 0, 1], [2, -inf, 3], [inf, 1, 2], [nan, 0, 0], [1e4, 1e4 - 1, 0], [-inf, -inf, -inf], [0.3, -2, 0.7]]
    x = np.array([rows, rows[::-1]], np.float32)

    def run(data: Any, axis: int) -> tuple[Any, Any]:
        leaf = md.Tensor(data, requires_grad=True)
        with np.errstate(all="ignore"):
            y = function(leaf, axis)
            y.backward(md.ones(y.shape))
        return y.numpy(), leaf.grad.numpy()

    y, slope = run(x, -1)
    across, slope_across = run(np.moveaxis(x, -1, 0).copy(), 0)
    moved = across if across.ndim < x.ndim else np.moveaxis(across, 0, -1)
    np.testing.assert_allclose(moved, y, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(np.moveaxis(slope_across, 0, -1), slope, atol=2e-6)


@pytest.mark.parametrize("function", [md.exp, md.softmax, md.log_softmax, md.logsumexp])
def test_exponentials_of_half_precision_stay_in_it(function: Any) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float16)
    y = function(x).numpy()
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, function(x.astype(np.float64)).numpy(), rtol=4e-3, atol=2e-3)


# ---- arithmetic ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float16, np.float32, np.float64])
def test_a_square_has_numpys_type(dtype: Any) -> None:
    x = np.array([0, 1, 3]).astype(dtype)
    y = (md.Tensor(x) ** 2).numpy()
    assert y.dtype == (x**2).dtype
    np.testing.assert_array_equal(y, x**2)


QUOTIENTS = [  # type, a, b and dy, of which neither a b² nor a dy / b must be made on the way to −dy a / b²
    ("f2", 0, 0.25, 30000), ("f4", 0, 1e-10, 1e30), ("f4", 1e-30, 1e-20, 1e20), ("f2", 500, 20, 1e-6),
    ("f2", 30000, 100, 1e-5), ("f4", 1e20, 1e10, 1e-36), ("f2", 600, 300, 1), ("f4", 3e25, 3e25, 1), ("f2", 2, 0.01, 1),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "a", "b", "dy"), QUOTIENTS)
def test_the_gradient_of_a_quotient_loses_nothing_on_its_way(dtype: str, a: float, b: float, dy: float) -> None:
    numbers = [np.array([x], dtype) for x in (a, b, dy)]
    divisor = md.Tensor(numbers[1], requires_grad=True)
    (md.Tensor(numbers[0]) / divisor).backward(numbers[2])
    exact = [float(x[0]) for x in numbers]
    truth = -exact[2] * exact[0] / exact[1] ** 2
    kind = np.finfo(dtype)
    np.testing.assert_allclose(
        divisor.grad.numpy(), [truth], rtol=4 * float(kind.eps), atol=2 * float(kind.smallest_subnormal)
    )


def test_no_sum_copies_what_does_not_lie_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of a tensor, nor of a gradient on its way to what was broadcast."""
    module = md.kernels.serving()

    def fails(x: Any) -> Any:
        raise AssertionError(f"a copy of {x.shape}")

    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    b = md.Tensor(np.zeros((), np.float32), requires_grad=True)
    y = (b + x).T
    for kernel in ("sum_rows", "sum_columns"):
        monkeypatch.setattr(module, kernel, fails)
    y.backward(np.ascontiguousarray(x.T))
    assert b.grad is not None and b.grad.item() == 66 and md.sum(md.Tensor(x).T).item() == 66
    assert md.sum(md.broadcast_to(md.Tensor([2.0]), (3, 4)), axis=1).tolist() == [8, 8, 8]
