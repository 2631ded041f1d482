"""Products that sum over named axes, all of them through matmul: einsum, tensordot, dot, outer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.kernels.axes import one_axis
from minidl.ops.arithmetic import multiply
from minidl.ops.coercion import beside_each_other
from minidl.ops.linalg import matmul
from minidl.ops.reductions import sum
from minidl.ops.shapes import flatten, getitem, reshape, transpose
from minidl.tensors import FUNCTIONS, Tensor

Labels = list[Any]  # one for each axis: a letter, or for an axis under "..." its distance from the last of them


def einsum(subscripts: str, *operands: Any) -> Tensor:
    """Products summed over the axes whose letters the result does not have, as in NumPy.

    >>> import minidl as md
    >>> queries, keys = md.Tensor([[1.0, 0.0], [0.0, 2.0]]), md.Tensor([[3.0, 4.0]])
    >>> md.einsum("qd,kd->qk", queries, keys)
    Tensor([[3.],
            [8.]])
    """
    if not isinstance(subscripts, str):
        raise TypeError(f'einsum: the subscripts come first, as in "ij,jk->ik", got {type(subscripts).__name__}')
    tensors = beside_each_other(*operands)
    terms, result = _parse(subscripts, [x.ndim for x in tensors])
    _check_sizes(subscripts, terms, [x.shape for x in tensors])
    pairs = [_diagonal(x, labels) for x, labels in zip(tensors, terms, strict=True)]
    (x, labels), *rest = pairs
    for i, (y, others) in enumerate(rest):
        later = {label for _, names in rest[i + 1 :] for label in names}
        x, labels = _contract(x, labels, y, others, later.union(result))
    x, labels = _summed(x, labels, set(result))
    return _ordered(x, labels, result)


def tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    """Sums over pairs of axes: the last n of a with the first n of b, or (axes of a, axes of b)."""
    a, b = beside_each_other(a, b)
    if isinstance(axes, int):
        axes = range(a.ndim - axes, a.ndim), range(axes)
    of_a, of_b = (_axes(x, one) for x, one in zip((a, b), axes, strict=True))
    if [a.shape[i] for i in of_a] != [b.shape[i] for i in of_b]:
        raise ValueError(f"tensordot: axes {of_a} of {a.shape} and {of_b} of {b.shape} must pair up in length")
    first: Labels = list(range(a.ndim))
    second: Labels = [of_a[of_b.index(i)] if i in of_b else a.ndim + i for i in range(b.ndim)]
    keep = set(first).symmetric_difference(second)
    return _contract(a, first, b, second, keep)[0]


def dot(a: Any, b: Any) -> Tensor:
    """As np.dot: the sum over the last axis of a and the second last, or only, axis of b; a b for a number."""
    a, b = beside_each_other(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return multiply(a, b)
    return tensordot(a, b, (-1, -1 if b.ndim == 1 else -2)) if max(a.ndim, b.ndim) > 2 else matmul(a, b)


def outer(a: Any, b: Any) -> Tensor:
    """yᵢⱼ = aᵢ bⱼ, over all elements of both."""
    a, b = beside_each_other(a, b)
    return multiply(reshape(a, -1, 1), flatten(b))


def _contract(a: Tensor, of_a: Labels, b: Tensor, of_b: Labels, keep: set[Any]) -> tuple[Tensor, Labels]:
    """Multiply two tensors, and sum over the labels that are not kept. Labels: those of both, of a, of b."""
    a, of_a = _summed(a, of_a, keep.union(of_b))
    b, of_b = _summed(b, of_b, keep.union(of_a))
    shared = [label for label in of_a if label in of_b]
    batch, summed = [s for s in shared if s in keep], [s for s in shared if s not in keep]
    rows, columns = [x for x in of_a if x not in shared], [x for x in of_b if x not in shared]
    a, b = _ordered(a, of_a, batch + rows + summed), _ordered(b, of_b, batch + summed + columns)
    n, m = len(batch), len(rows)
    own, others, between = a.shape[n : n + m], b.shape[n + len(summed) :], a.shape[n + m :]
    if summed:
        left = reshape(a, (*a.shape[:n], math.prod(own), math.prod(between)))
        right = reshape(b, (*b.shape[:n], math.prod(between), math.prod(others)))
        y = matmul(left, right)
    else:
        y = multiply(reshape(a, a.shape + (1,) * len(others)), reshape(b, (*b.shape[:n], *(1,) * m, *others)))
    return reshape(y, (*y.shape[:n], *own, *others)), batch + rows + columns


def _axes(x: Tensor, axes: int | Sequence[int]) -> list[int]:
    return [one_axis(i, x.ndim) for i in ([axes] if isinstance(axes, int) else axes)]


def _ordered(x: Tensor, labels: Labels, wanted: Labels) -> Tensor:
    return x if labels == wanted else transpose(x, [labels.index(label) for label in wanted])


def _summed(x: Tensor, labels: Labels, keep: set[Any]) -> tuple[Tensor, Labels]:
    axes = tuple(i for i, label in enumerate(labels) if label not in keep)
    return (sum(x, axes), [label for label in labels if label in keep]) if axes else (x, labels)


def _diagonal(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """A letter that an operand has twice names its diagonal."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            others = [k for k in range(x.ndim) if k not in (i, j)]
            along = np.arange(x.shape[i], like=x._array)
            x = getitem(transpose(x, [i, j, *others]), (along, along))
            labels = [label, *(labels[k] for k in others)]
    return x, labels


def _parse(subscripts: str, ranks: Sequence[int]) -> tuple[list[Labels], Labels]:
    """The labels of each operand and of the result."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"einsum: {subscripts!r} names {len(terms)} operands, got {len(ranks)}")
    inputs = [_labels(subscripts, term, ndim) for term, ndim in zip(terms, ranks, strict=True)]
    dots = max(map(_count_dots, inputs))
    if not arrow:
        letters = left.replace(",", "").replace(".", "")
        right = "..." * (dots > 0) + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    result = _labels(subscripts, right, dots * ("..." in right) + len(right.replace("...", "")))
    known = {label for labels in inputs for label in labels}
    unknown = [label for label in result if label not in known]
    if unknown or len(set(result)) != len(result) or _count_dots(result) != dots:
        raise ValueError(
            f'einsum: the result of {subscripts!r} must name axes of the operands, each once, and "..." if they have it'
        )
    return inputs, result


def _labels(subscripts: str, term: str, ndim: int) -> Labels:
    before, dots, after = term.partition("...")
    named = len(before) + len(after)
    if not (before + after).isalpha() and before + after:
        raise ValueError(f'einsum: {subscripts!r} is not of the form "ij,jk->ik"; letters name the axes')
    if named > ndim or (named < ndim and not dots):
        raise ValueError(f"einsum: {term!r} in {subscripts!r} names {named} axes, and its operand has {ndim}")
    return [*before, *range(ndim - named)[::-1], *after]


def _count_dots(labels: Labels) -> int:
    return len([label for label in labels if isinstance(label, int)])


def _check_sizes(subscripts: str, terms: list[Labels], shapes: list[tuple[int, ...]]) -> None:
    sizes: dict[Any, int] = {}
    for labels, shape in zip(terms, shapes, strict=True):
        for label, n in zip(labels, shape, strict=True):
            if isinstance(label, str) and sizes.setdefault(label, n) != n:
                raise ValueError(f"einsum: {label!r} of {subscripts!r} is {sizes[label]} long here and {n} there")


METHODS = {"dot": dot}
FUNCTIONS |= {np.einsum: einsum, np.tensordot: tensordot, np.dot: dot, np.outer: outer}
