"""Every op, loss and layer against finite differences, as a table."""

from __future__ import annotations

import argparse

from minidl.naming import lookup
from minidl.testing import FAMILIES, check_all


def run(options: argparse.Namespace) -> int:
    known = {name: name for name in FAMILIES}
    families = [lookup("family", known, name) for name in options.family] or list(FAMILIES)
    print("largest relative errors of the first and second derivatives\n")
    print(f"{'family':8}{'name':34}{'cases':>6}{'1st':>10}{'2nd':>10}  verdict")
    names = cases = wrong = 0
    for row in check_all(families):
        print(f"{row.family:8}{row.name:34}{row.cases:6}{row.first:10.1e}{row.second:10.1e}  {row.verdict}", flush=True)
        names, cases, wrong = names + 1, cases + row.cases, wrong + (row.verdict != "ok")
    if wrong:
        result = f"{wrong} of the names {'is' if wrong == 1 else 'are'} wrong"
    else:
        result = "all derivatives agree with finite differences"
    print(f"\n{names} names, {cases} cases: {result}")
    return 1 if wrong else 0
