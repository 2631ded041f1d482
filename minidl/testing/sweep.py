"""gradcheck over the whole table of cases."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from minidl.autograd.modes import enable_grad
from minidl.testing.cases import FAMILIES, Case, cases_of
from minidl.testing.gradients import ATOL, RTOL, Comparison, compare
from minidl.testing.subjects import Function, Gradient


class Row(NamedTuple):
    """What was found about one op, loss or layer."""

    family: str
    name: str
    cases: int
    first: float  # the largest relative error of a first derivative
    second: float  # and of a second
    verdict: str  # "ok", or what is wrong


def check_all(families: Iterable[str] = tuple(FAMILIES)) -> Iterator[Row]:
    """Check first and second derivatives of every case of these families; a row for each name, as it is done.

    >>> from minidl.testing import check_all
    >>> row = next(check_all(["op"]))
    >>> row.name, row.cases > 0, row.first < 1e-6, row.verdict
    ('absolute', True, True, 'ok')
    """
    for family in families:
        by_name: dict[str, list[Case]] = {}
        for case in cases_of(family):
            if case.differentiable:
                by_name.setdefault(case.name, []).append(case)
        for name, cases in by_name.items():
            yield _row(family, name, cases)


def _row(family: str, name: str, cases: list[Case]) -> Row:
    first, second, wrong = 0.0, 0.0, []
    for case in cases:
        try:
            with enable_grad():
                firsts = compare(Function(case.function, case.inputs), RTOL, ATOL, seed=0)
                seconds = compare(Gradient(case.function, case.inputs, seed=1), RTOL, ATOL, seed=0)
        except Exception as error:  # whatever a case raises is what is wrong with it
            firsts = seconds = [Comparison(math.inf, str(error))]
        first, second = max(first, _worst(firsts)), max(second, _worst(seconds))
        wrong += [f"{case}: {c.message}" for c in (*firsts, *seconds) if c.message]
    return Row(family, name, len(cases), first, second, "; ".join(wrong) or "ok")


def _worst(found: list[Comparison]) -> float:
    return max(c.error for c in found)
