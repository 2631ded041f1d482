"""Moving a tensor from one device to another."""

from __future__ import annotations

from typing import Any

from minidl import devices
from minidl.tensors import Op, Tensor, as_tensor


class To(Op):
    """y = x on another device;  dx = dy on the device of x"""

    reads_inputs = False

    def forward(self, x: Any, device: str) -> Any:
        self.device = devices.of(x)
        return devices.place(x, device)

    def backward(self, dy: Any) -> Any:
        return To.apply(dy, device=self.device)


def to(x: Any, device: str) -> Tensor:
    """x on the "cpu" or on "cuda", the GPU: itself if it lives there, else a copy through which the gradient flows.

    >>> import minidl as md
    >>> md.Tensor([1.0]).to("cpu").device
    'cpu'
    """
    x = as_tensor(x)
    return x if x.device == device else To.apply(x, device=devices.checked(device))


METHODS = {"to": to}
