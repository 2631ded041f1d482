"""What errors cost, as the mean over the last axis: (…, K) → (…,)"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl import kernels
from minidl.kernels.validate import FLOATS
from minidl.ops.arithmetic import absolute, clip, square
from minidl.ops.reductions import Mean, mean
from minidl.tensors import Op, Tensor


class MeanHuber(Op):
    """y = Σ c (|e| − c/2) / K with c = min(|e|, δ);  de = dy / K times e, held in [−δ, δ]"""

    makes_gradients = True

    def forward(self, e: Any, delta: float) -> Any:
        self.kernels, self.delta = kernels.of(e), delta
        return self.kernels.huber_forward(e, delta)

    def backward(self, dy: Any) -> Any:
        return self.kernels.huber_backward(dy, self.inputs[0], self.delta)

    def composition(self, e: Tensor) -> Tensor:
        return self.formula(e, self.delta)

    @staticmethod
    def formula(e: Tensor, delta: float) -> Tensor:
        c = clip(e, -delta, delta)
        return mean(c * (e - 0.5 * c), -1)


class MeanSquare(Op):
    """y = Σ e² / K, which is twice Huber's with δ = ∞;  de = 2 e dy / K"""

    makes_gradients = True

    def forward(self, e: Any) -> Any:
        self.kernels = kernels.of(e)
        return 2 * self.kernels.huber_forward(e, math.inf)

    def backward(self, dy: Any) -> Any:
        return self.kernels.huber_backward(2 * dy, self.inputs[0], math.inf)

    def composition(self, e: Tensor) -> Tensor:
        return mean(square(e), -1)


class MeanAbsolute(Op):
    """y = Σ |e| / K;  de = sign e dy / K, 0 at 0"""

    makes_gradients = True

    def forward(self, e: Any) -> Any:
        return Mean.apply(np.abs(e), axis=-1, keepdims=False)

    def backward(self, dy: Any) -> Any:
        (e,) = self.inputs
        de = np.sign(e)
        de *= (dy / e.shape[-1])[..., None]
        return de

    def composition(self, e: Tensor) -> Tensor:
        return mean(absolute(e), -1)


def mean_huber(e: Tensor, delta: float) -> Tensor:
    """The mean over the last axis of e²/2 where |e| ≤ δ, of δ |e| − δ²/2 beyond."""
    return MeanHuber.apply(e, delta=delta) if e.dtype in FLOATS else MeanHuber.formula(e, delta)


def mean_square(e: Tensor) -> Tensor:
    """The mean of e² over the last axis."""
    return MeanSquare.apply(e) if e.dtype in FLOATS else mean(square(e), -1)


def mean_absolute(e: Tensor) -> Tensor:
    """The mean of |e| over the last axis."""
    return MeanAbsolute.apply(e)
