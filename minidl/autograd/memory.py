"""Finding out that data was changed in place while a backward pass still needs it.

A change through minidl (an optimizer step, `t.data = …`, `t[0] = …`) counts itself. A change
through NumPy does not: once somebody holds the array of a tensor (`t.data`, `t.numpy()`,
`np.asarray(t)`, DLPack) nothing tells when they write to it. So a tensor whose array was
handed out is *exposed*, and from then on its bytes are summed up each time its version is
asked for. Tensors that nobody looked into, which is nearly all of them, cost nothing.
"""

from __future__ import annotations

from typing import Any

from minidl import devices


class Memory:
    """The bytes that a tensor and the views of it share, and how often they were changed."""

    __slots__ = ("_array", "_changes", "_digest")

    def __init__(self, array: Any, changes: int = 0) -> None:
        self._array = array
        self._changes = changes
        self._digest: Any = None

    def expose(self) -> None:
        """Somebody is about to hold the array: remember what it holds."""
        if self._digest is None:
            self._digest = devices.digest(self._array)

    def changed(self) -> None:
        """The bytes were changed by minidl itself."""
        self._changes += 1
        if self._digest is not None:
            self._digest = devices.digest(self._array)

    def version(self) -> int:
        """How many changes were seen so far; looks for new ones if the array is exposed."""
        if self._digest is not None:
            digest = devices.digest(self._array)
            if digest != self._digest:
                self._changes += 1
                self._digest = digest
        return self._changes
