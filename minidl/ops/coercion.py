"""What may stand beside a Tensor in an operation, and which type the result has.

A float tensor is never promoted behind the user's back: a number, a list or a NumPy array
that meets it takes its type, and so does an integer tensor. Two float tensors of different
precision, both made on purpose, promote as in NumPy. What is no tensor yet takes the device of
the one that it meets; tensors of two devices are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import devices
from minidl.tensors import Tensor, as_tensor, check_one_device, wrap


def operands(a: Any, b: Any) -> tuple[Any, Any]:
    """Two operands of an arithmetic op; Python numbers stay as they are, NumPy treats them as weak."""
    if isinstance(a, Tensor):
        if isinstance(b, Tensor):
            return (a, b) if a._array.dtype is b._array.dtype else _meet(a, b)
        return _beside(a, b)
    if isinstance(b, Tensor):
        second, first = _beside(b, a)
        return first, second
    return _beside(as_tensor(a), b)


def beside_each_other(*values: Any) -> list[Tensor]:
    """All as tensors: what is none takes the type of the first that is one, by the rules of arithmetic."""
    tensors = [x for x in values if isinstance(x, Tensor)]
    if len(tensors) == len(values):
        return tensors
    if not tensors:
        return [as_tensor(x) for x in values]
    leader = tensors[0]
    results = [x if isinstance(x, Tensor) else operands(leader, x)[1] for x in values]
    weak = leader.dtype if _holds_floats(leader) else None  # of a Python number
    return [x if isinstance(x, Tensor) else as_tensor(x, weak, leader.device) for x in results]


def of_one_type(*tensors: Tensor) -> tuple[Any, ...]:
    """All in the type of their result, for kernels, which do not mix types. Gradients come back in their own."""
    first = tensors[0].dtype
    if all(t.dtype == first for t in tensors):
        return tensors
    dtype = np.result_type(*(t.dtype for t in tensors))
    return tuple(as_tensor(t, dtype) for t in tensors)


def floating(x: Any) -> Tensor:
    """A tensor of floats; integers and booleans become float32."""
    if isinstance(x, Tensor) and x._array.dtype.kind == "f":  # nearly always
        return x
    t = as_tensor(x)
    return wrap(t._array.astype(np.float32)) if t._array.dtype.kind in "iub" else t


def constant(x: Any) -> Any:
    """The array in x, for conditions and indices through which no gradient flows."""
    return x._array if isinstance(x, Tensor) else devices.as_array(x)


def constant_beside(operation: str, x: Any, t: Tensor) -> Any:
    """The array in x, on the device of a tensor."""
    array = x._array if isinstance(x, Tensor) else devices.beside(devices.as_array(x), t._array)
    if type(array) is not type(t._array):
        check_one_device(operation, t, x if isinstance(x, Tensor) else array)
    return array


def on_host(x: Any) -> Any:
    """The array in x as NumPy's, for what is computed by the processor."""
    return devices.to_host(constant(x))


def _beside(t: Tensor, other: Any) -> tuple[Tensor, Any]:
    if isinstance(other, np.generic):
        other = other.item()
    if isinstance(other, (bool, int)):
        return t, other
    if isinstance(other, (float, complex)):
        return floating(t), other
    dtype = t.dtype if _holds_floats(t) and not _is_complex(other) else None
    return _meet(t, as_tensor(other, dtype, t.device))


def _meet(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if _holds_floats(a) and b.dtype.kind in "iub":
        return a, wrap(b._array.astype(a.dtype))
    if _holds_floats(b) and a.dtype.kind in "iub":
        return wrap(a._array.astype(b.dtype)), b
    return a, b


def _holds_floats(t: Tensor) -> bool:
    return t.dtype.kind in "fc"


def _is_complex(x: Any) -> bool:
    return devices.as_array(x).dtype.kind == "c"
