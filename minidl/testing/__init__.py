"""Checking gradients: of your own functions and layers, and of everything in minidl.

`gradcheck` compares the backward pass of a function with finite differences, `gradgradcheck`
its derivative too. `check_all` runs both over the table of cases, which names every op, loss
and layer; `python -m minidl gradcheck` prints what it finds.
"""

from minidl.testing.cases import FAMILIES, Case, cases_of
from minidl.testing.gradients import gradcheck, gradgradcheck
from minidl.testing.subjects import GradientError
from minidl.testing.sweep import Row, check_all

__all__ = ["FAMILIES", "Case", "GradientError", "Row", "cases_of", "check_all", "gradcheck", "gradgradcheck"]
