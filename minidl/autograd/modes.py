"""Whether operations are recorded for a backward pass, and whether they are watched for NaN."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, NamedTuple


class Modes(NamedTuple):
    recording: bool = True
    watching: bool = False


# A context variable, so that one thread's no_grad leaves the others alone.
modes: ContextVar[Modes] = ContextVar("modes", default=Modes())


class _Mode:
    """A `with` block or a decorator that changes one of the modes and restores it."""

    _change: dict[str, bool] = {}

    def __init__(self) -> None:
        self._tokens: list[Token[Modes]] = []

    def __enter__(self) -> _Mode:
        self._tokens.append(modes.set(modes.get()._replace(**self._change)))
        return self

    def __exit__(self, *exception: object) -> None:
        modes.reset(self._tokens.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            block = f"{type(self).__name__}()"
            raise TypeError(
                f"@{block} ends before a generator or a coroutine runs: "
                f"{function.__name__} needs `with {block}:` inside"
            )

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return inside


class no_grad(_Mode):
    """Operations inside leave no graph: less memory, and no gradient can be asked for.

    >>> import minidl as md
    >>> w = md.Tensor([1.0, 2.0], requires_grad=True)
    >>> with md.no_grad():
    ...     y = w * 3
    >>> y.requires_grad
    False
    """

    _change = {"recording": False}


class enable_grad(_Mode):
    """Record operations again inside a `no_grad` block."""

    _change = {"recording": True}


class detect_anomaly(_Mode):
    """Stop at the first NaN or infinity, forward or backward, naming the op and where it was called.

    Every result is scanned, so this costs time: use it to find an error, not to train.

    >>> import minidl as md
    >>> with md.detect_anomaly():
    ...     md.log(md.Tensor([1.0, 0.0]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FloatingPointError: log gave -inf at position (1,) in its forward pass, from inputs that were finite...
    """

    _change = {"watching": True}


def is_recording() -> bool:
    """Whether an operation on a tensor that requires a gradient would be recorded now."""
    return modes.get().recording
