"""New tensors: of one value, of the identity, of numbers in a row. Floats are float32 unless `dtype` says otherwise.

They go to `device`, "cpu" or "cuda"; without one where `use` sends new tensors, and those like another beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import devices
from minidl.tensors import FUNCTIONS, Tensor, as_tensor, without_gradient, wrap


def zeros(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False, device: str | None = None) -> Tensor:
    """A tensor of zeros: zeros(2, 3) or zeros((2, 3))."""
    return _filled(shape, 0, dtype, requires_grad, device)


def ones(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False, device: str | None = None) -> Tensor:
    """A tensor of ones: ones(2, 3) or ones((2, 3))."""
    return _filled(shape, 1, dtype, requires_grad, device)


def full(shape: Any, value: Any, dtype: Any = None, requires_grad: bool = False, device: str | None = None) -> Tensor:
    """A tensor of one value, of the type that Tensor(value) has."""
    return _full(shape, value, dtype, requires_grad, _place(device))


def zeros_like(x: Any, dtype: Any = None, requires_grad: bool = False, device: str | None = None) -> Tensor:
    """Zeros of the shape and type of x; a constant, whatever x is."""
    return full_like(x, 0, dtype, requires_grad, device)


def ones_like(x: Any, dtype: Any = None, requires_grad: bool = False, device: str | None = None) -> Tensor:
    """Ones of the shape and type of x; a constant, whatever x is."""
    return full_like(x, 1, dtype, requires_grad, device)


def full_like(x: Any, value: Any, dtype: Any = None, requires_grad: bool = False, device: str | None = None) -> Tensor:
    """One value, in the shape and type of x; a constant, whatever x is."""
    x = as_tensor(x)
    return _full(
        x.shape,
        value,
        x.dtype if dtype is None else dtype,
        requires_grad,
        x.device if device is None else _place(device),
    )


def _filled(shape: tuple[Any, ...], value: int, dtype: Any, requires_grad: bool, device: str | None) -> Tensor:
    place = _place(device)
    return _finished(devices.filled(_shape(shape), value, dtype, place), requires_grad, place)


def _full(shape: Any, value: Any, dtype: Any, requires_grad: bool, device: str) -> Tensor:
    t = as_tensor(value, dtype, "cpu")
    array = np.full_like(t._array, t._array, shape=shape)
    return _finished(without_gradient("full", value, array), requires_grad, device)


def eye(
    n: int,
    m: int | None = None,
    dtype: Any = np.float32,
    requires_grad: bool = False,
    device: str | None = None,
) -> Tensor:
    """The matrix (n, m), (n, n) by default, with ones on its diagonal."""
    return _finished(np.eye(n, m, dtype=dtype), requires_grad, _place(device))


def arange(*bounds: Any, dtype: Any = None, requires_grad: bool = False, device: str | None = None) -> Tensor:
    """start, start + step, … below stop: arange(stop), arange(start, stop) or arange(start, stop, step).

    >>> import minidl as md
    >>> md.arange(3), md.arange(1.0, 2.0, 0.5)
    (Tensor([0, 1, 2]), Tensor([1. , 1.5]))
    """
    numbers = np.arange(*bounds)
    if dtype is None:
        dtype = np.float32 if numbers.dtype.kind == "f" else numbers.dtype
    return _finished(numbers.astype(dtype), requires_grad, _place(device))


def linspace(
    start: float,
    stop: float,
    num: int = 50,
    dtype: Any = np.float32,
    requires_grad: bool = False,
    device: str | None = None,
) -> Tensor:
    """`num` numbers from start to stop, both included, evenly apart."""
    return _finished(np.linspace(start, stop, num).astype(dtype), requires_grad, _place(device))


def _shape(given: tuple[Any, ...]) -> Any:
    return given[0] if len(given) == 1 else given


def _place(device: str | None) -> str:
    return devices.current() if device is None else devices.checked(device)


def _finished(array: Any, requires_grad: bool, device: str) -> Tensor:
    t = wrap(devices.place(array, device))
    t.requires_grad = requires_grad
    return t


FUNCTIONS |= {np.zeros_like: zeros_like, np.ones_like: ones_like, np.full_like: full_like}
