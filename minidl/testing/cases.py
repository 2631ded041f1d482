"""The table of cases: what is checked, family by family.

A family is a module of this package with a list `CASES`. Each row names an op, a loss or a
layer, and a function with inputs to try it on: one row for each way in which it can be
called. To add an op, add its row to `op_cases`; to add a family, write its module and name
it in `FAMILIES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FAMILIES = {
    "op": "minidl.testing.op_cases",
    "loss": "minidl.testing.loss_cases",
    "layer": "minidl.testing.layer_cases",
}


@dataclass(frozen=True)
class Case:
    """One way to call an op, a loss or a layer.

    Args:
        name: what is checked, as it is called: `matmul`.
        function: takes the inputs as tensors. It must not be random: give it a generator of its own. A layer is copied.
        inputs: arrays; floats as float64, which tests also run as float32.
        formula: the same function of arrays, written independently of minidl's kernels and ops.
        variant: what is special about this row.
        differentiable: False for functions whose results are integers or booleans.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    formula: Callable[..., Any] | None = None
    variant: str = ""
    differentiable: bool = True

    def __str__(self) -> str:
        return f"{self.name}, {self.variant}" if self.variant else self.name


def cases_of(family: str) -> list[Case]:
    """The rows of one family."""
    return importlib.import_module(FAMILIES[family]).CASES
