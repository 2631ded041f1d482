"""What a module of the face answers when it is asked for a name that it has not."""

from __future__ import annotations

import difflib
import opcode
import sys
from collections.abc import Callable, Iterable
from typing import Any


def missing_from(module: str, names: Iterable[str]) -> Callable[[str], Any]:
    """A `__getattr__` for a module, which offers those of these names that are public.

    >>> missing_from("minidl.keras.layers", ["Dense", "LSTM"])("LTSM")
    Traceback (most recent call last):
    AttributeError: minidl has no keras.layers.LTSM; did you mean LSTM?
    """

    def fail(name: str) -> Any:
        known = {n.lower(): n for n in names if not n.startswith("_")}
        near = difflib.get_close_matches(name.lower(), known, 1)
        advice = f"did you mean {known[near[0]]}?" if near else f"it has {', '.join(sorted(known.values()))}"
        message = f"minidl has no {module.removeprefix('minidl.')}.{name}; {advice}"
        raise ImportError(message, name=module) if _in_import_statement() else AttributeError(message)

    return fail


def _in_import_statement() -> bool:
    """Whether the name is asked for by `from module import name`.

    Python would put words of its own in place of those of an AttributeError, but passes on an ImportError.
    """
    asking: Any = sys._getframe(2)
    while asking.f_code.co_name == "__getattr__":
        asking = asking.f_back
    return opcode.opname[asking.f_code.co_code[asking.f_lasti]] == "IMPORT_FROM"
