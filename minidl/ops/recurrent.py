"""The LSTM over a whole sequence: one op, and the same written out in small ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl import devices, kernels
from minidl.autograd.modes import modes
from minidl.ops.arithmetic import where
from minidl.ops.coercion import constant_beside
from minidl.ops.elementary import sigmoid, tanh
from minidl.ops.linalg import matmul
from minidl.ops.shapes import split, stack
from minidl.tensors import Op, Tensor, as_tensor, wrap


class LSTM(Op):
    """Gates σ(f), σ(i), tanh(g), σ(o) of z = x W + h R + b;  c ← f c + i g;  h ← o tanh c"""

    makes_gradients = True

    def forward(
        self, x: Any, h0: Any, c0: Any, kernel: Any, recurrent: Any, bias: Any, mask: Any, reverse: bool, keep: bool
    ) -> tuple[Any, Any, Any]:
        self.kernels, self.mask, self.reverse = kernels.of(x), mask, reverse
        y, h, c, self.cache = self.kernels.lstm_forward(x, h0, c0, kernel, recurrent, bias, mask, reverse, keep)
        return y, h, c

    def backward(self, dy: Any, dh: Any, dc: Any) -> Any:
        return self.kernels.lstm_backward(dy, dh, dc, *self.inputs, self.mask, self.reverse, self.cache)

    def composition(self, x: Tensor, h0: Tensor, c0: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor) -> Any:
        return lstm_composition(x, h0, c0, kernel, recurrent, bias, self.mask, self.reverse)


def lstm(
    x: Tensor,
    h0: Any,
    c0: Any,
    kernel: Tensor,
    recurrent: Tensor,
    bias: Tensor,
    mask: Any = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run an LSTM over a sequence; the equations and the shapes are those of `kernels.reference.lstm_forward`.

    x (B, T, D), h0 and c0 (B, U), kernel (D, 4U), recurrent (U, 4U), bias (4U,), mask (B, T)
    → outputs (B, T, U), last h (B, U), last c (B, U)
    """
    mask = None if mask is None else constant_beside("the mask of lstm", mask, x).copy()
    h0, c0 = as_tensor(h0, device=x.device), as_tensor(c0, device=x.device)
    inputs = x, h0, c0, kernel, recurrent, bias
    keep = modes.get().recording and True in [t._needs for t in inputs]
    return LSTM.apply(*inputs, mask=mask, reverse=reverse, keep=keep)


def lstm_composition(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    kernel: Tensor,
    recurrent: Tensor,
    bias: Tensor,
    mask: Any = None,
    reverse: bool = False,
    recurrent_noise: Any = 1.0,
    activation: Callable[[Tensor], Tensor] = tanh,
    recurrent_activation: Callable[[Tensor], Tensor] = sigmoid,
) -> tuple[Tensor, Tensor, Tensor]:
    """The LSTM in small ops: what the kernels fuse, and what its second derivatives are computed from.

    Also what an LSTM runs on that the kernels do not know: one with recurrent dropout, whose
    noise (B, U) multiplies h on its way into the gates, or with other functions in place of
    tanh and of the sigmoid of the gates.
    """
    x = x if mask is None else where(mask[:, :, None], x, 0)  # NaN would come back with the gradients of 0
    projected = matmul(x, kernel) + bias
    last = wrap(np.zeros_like(h._array))
    outputs = []
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        i, f, g, o = split(projected[:, t] + matmul(h * recurrent_noise, recurrent), 4, axis=1)
        c_new = recurrent_activation(f) * c + recurrent_activation(i) * activation(g)
        h_new = recurrent_activation(o) * activation(c_new)
        if mask is None:
            h, c, last = h_new, c_new, h_new
        else:
            valid = mask[:, t, None]
            h, c, last = where(valid, h_new, h), where(valid, c_new, c), where(valid, h_new, last)
        outputs.append(last)
    y = stack(outputs, axis=1) if outputs else wrap(devices.full((x.shape[0], 0, h.shape[1]), 0, h._array))
    return y, h, c
