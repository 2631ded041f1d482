"""Softmax, and the cross-entropies that are computed from logits in one stable step."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import devices, kernels
from minidl.kernels.axes import extreme_of, one_axis, sum_of
from minidl.kernels.validate import FLOATS
from minidl.ops.activations import softplus
from minidl.ops.arithmetic import where
from minidl.ops.coercion import constant, constant_beside, floating, of_one_type, operands
from minidl.ops.elementary import Exp, exp
from minidl.ops.reductions import Mean, Sum, mean, sum
from minidl.tensors import Op, Tensor


class Softmax(Op):
    """y = eˣ / Σ eˣ over the last axis;  dx = y (dy − Σ dy y)"""

    reads_inputs = False
    reads_output = True
    makes_gradients = True

    def forward(self, x: Any) -> Any:
        self.kernels = kernels.of(x)
        return self.kernels.softmax_forward(x)

    def backward(self, dy: Any) -> Any:
        return self.kernels.softmax_backward(dy, self.output)

    def composition(self, x: Tensor) -> Tensor:
        return exp(log_softmax(x))


class SoftmaxAcross(Op):
    """y = eˣ / Σ eˣ over an axis that is not the last, whose numbers lie apart, or in a precision of no kernel"""

    reads_inputs = False
    reads_output = True

    def forward(self, x: Any, axis: int) -> Any:
        self.axis = axis
        with np.errstate(invalid="ignore"):
            y = Exp.apply(kernels.subtract(x, extreme_of(x, axis, keepdims=True, largest=True)))
            return kernels.divide(y, sum_of(y, axis, keepdims=True))

    def backward(self, dy: Any) -> Any:
        y = self.output
        total = Sum.apply(kernels.multiply(dy, y), axis=self.axis, keepdims=True)
        return kernels.multiply(y, kernels.subtract(dy, total))


class LogSoftmax(Op):
    """y = x − ln Σ eˣ over the last axis;  dx = dy − eʸ Σ dy"""

    reads_inputs = False
    reads_output = True
    makes_gradients = True

    def forward(self, x: Any) -> Any:
        self.kernels = kernels.of(x)
        return self.kernels.log_softmax_forward(x)

    def backward(self, dy: Any) -> Any:
        return self.kernels.log_softmax_backward(dy, self.output)

    def composition(self, x: Tensor) -> Tensor:
        return x - logsumexp(x, keepdims=True)


class LogSoftmaxAcross(Op):
    """y = x − ln Σ eˣ over an axis that is not the last"""

    reads_inputs = False
    reads_output = True

    def forward(self, x: Any, axis: int) -> Any:
        self.axis = axis
        with np.errstate(invalid="ignore"):
            y = kernels.subtract(x, extreme_of(x, axis, keepdims=True, largest=True))
            return kernels.subtract(y, np.log(sum_of(Exp.apply(y), axis, keepdims=True)))

    def backward(self, dy: Any) -> Any:
        total = Sum.apply(dy, axis=self.axis, keepdims=True)
        return kernels.subtract(dy, kernels.multiply(Exp.apply(self.output), total))


class Logsumexp(Op):
    """y = ln Σ eˣ = max x + ln Σ e^(x − max x);  dx = dy e^(x − y)"""

    reads_output = True

    def forward(self, x: Any, axis: int, keepdims: bool) -> Any:
        top = extreme_of(x, axis, keepdims=True, largest=True)
        self.kept = top.shape
        most = np.finfo(x.dtype).max
        top = np.maximum(-most, np.minimum(most, top))  # of an infinity the difference to itself would be NaN
        with np.errstate(divide="ignore", under="ignore", over="ignore"):
            y = np.log(sum_of(Exp.apply(kernels.subtract(x, top)), axis, keepdims=True))
        y += top
        return y if keepdims else y.squeeze(axis)

    def backward(self, dy: Any) -> Any:
        share = Exp.apply(kernels.subtract(self.inputs[0], self.output.reshape(self.kept)))
        return kernels.multiply(dy.reshape(self.kept), share)


class Logits(Op):
    """y = x, of which p is the sigmoid or the softmax: for a loss of p that is computed from x.

    The gradient goes straight to x, which is stable where p saturates. Only if that of p itself is
    asked for does it go through p:  sigmoid dp = dy / (p (1 − p)),  softmax dp = dy / p.
    """

    detour = True

    def forward(self, p: Any, x: Any, made_by: str) -> Any:
        self.made_by = made_by
        return x

    def backward(self, dy: Any) -> Any:
        p, _ = self.inputs
        if not self.needs[0]:  # and p may well be 0
            return None, dy
        return dy / (p if self.made_by == "softmax" else p * (1 - p)), dy


class SoftmaxCrossEntropy(Op):
    """loss = −Σ t log softmax(x) over the last axis;  dx = dloss (p Σ t − t)"""

    makes_gradients = True

    def forward(self, logits: Any, targets: Any) -> Any:
        self.kernels = kernels.of(logits)
        loss, self.probabilities = self.kernels.softmax_cross_entropy_forward(logits, targets)
        return loss

    def backward(self, dloss: Any) -> Any:
        _, targets = self.inputs
        return self.kernels.softmax_cross_entropy_backward(dloss, self.probabilities, targets), None

    def composition(self, logits: Tensor, targets: Any) -> Tensor:
        return -sum(log_softmax(logits) * targets, -1)


class SparseCrossEntropy(Op):
    """loss = −log softmax(x)[label] over the last axis;  dx = dloss (p − onehot)"""

    makes_gradients = True

    def forward(self, logits: Any, labels: Any) -> Any:
        self.kernels = kernels.of(logits)
        loss, self.probabilities = self.kernels.sparse_cross_entropy_forward(logits, labels)
        return loss

    def backward(self, dloss: Any) -> Any:
        _, labels = self.inputs
        return self.kernels.sparse_cross_entropy_backward(dloss, self.probabilities, labels), None

    def composition(self, logits: Tensor, labels: Any) -> Tensor:
        log_p = log_softmax(logits).reshape(-1, logits.shape[-1])
        flat = constant(labels).reshape(-1)
        return -log_p[np.arange(flat.size, like=flat), flat].reshape(logits.shape[:-1])


class SigmoidCrossEntropy(Op):
    """loss = |x| miss + ln(1 + e^(−|x|)) with miss = 1 − t for x > 0, else t, each;  dx = dloss (σ(x) − t)"""

    makes_gradients = True

    def forward(self, logits: Any, targets: Any) -> Any:
        self.kernels = kernels.of(logits)
        return self.kernels.sigmoid_cross_entropy_forward(logits, targets)

    def backward(self, dloss: Any) -> Any:
        return self.kernels.sigmoid_cross_entropy_backward(dloss, *self.inputs), None

    def composition(self, logits: Tensor, targets: Any) -> Tensor:
        return softplus(logits) - logits * targets


class MeanSigmoidCrossEntropy(SigmoidCrossEntropy):
    """loss = the mean of these over the last axis;  dx = dloss / K (σ(x) − t)"""

    def forward(self, logits: Any, targets: Any) -> Any:
        return Mean.apply(super().forward(logits, targets), axis=-1, keepdims=False)

    def backward(self, dloss: Any) -> Any:
        each = np.empty_like(self.inputs[0])
        each[...] = devices.divided(dloss, each.shape[-1])[..., None]
        return super().backward(each)

    def composition(self, logits: Tensor, targets: Any) -> Tensor:
        return mean(super().composition(logits, targets), -1)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """eˣ / Σ eˣ along the axis. A cross-entropy of the result goes back to x, which is stable."""
    x = floating(x)
    if one_axis(axis, x.ndim) != x.ndim - 1 or x.dtype not in FLOATS:
        return SoftmaxAcross.apply(x, axis=axis)
    y = Softmax.apply(x)
    y._logits = "softmax", x, x._version()
    return y


def logits_of(p: Any, made_by: str) -> Tensor | None:
    """The x of which p is the "sigmoid" or "softmax", to be used in place of p; None if unknown or changed since."""
    made, x = _source(p)
    return None if made != made_by else Logits.apply(p, x, made_by=made_by)


def known_finite(p: Tensor) -> bool:
    """Whether their sum says that all are finite. Not on the GPU: to look at it there is to wait."""
    if devices.on_gpu(p._array):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(sum_of(p._array, None, keepdims=False)))


def where_valid(valid: Any, p: Tensor, other: float) -> Tensor:
    """where(valid, p, other); if p's logits are known so are these, for a loss that leaves the others out."""
    made_by, x = _source(p)
    p = where(valid, p, other)
    if made_by is not None:
        x = where(valid, x, other)
        p._logits = made_by, x, x._version()
    return p


def _source(p: Any) -> tuple[str | None, Any]:
    """What made p of which x: "sigmoid" or "softmax"; None and None if unknown or changed since."""
    made_by, x, version = getattr(p, "_logits", None) or (None, None, 0)
    if x is None or (p._op is not None) != x.requires_grad or p._version() or x._version() != version:
        return None, None
    return made_by, x


def logsumexp(x: Any, axis: int = -1, keepdims: bool = False) -> Tensor:
    """ln Σ eˣ along the axis, without overflow."""
    return Logsumexp.apply(floating(x), axis=axis, keepdims=keepdims)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """ln softmax(x) = x − ln Σ eˣ, without the loss of digits of log(softmax(x))."""
    x = floating(x)
    if x.ndim == 0 or not isinstance(axis, int) or x.dtype not in FLOATS:
        return x - logsumexp(x, axis, keepdims=True)
    if one_axis(axis, x.ndim) != x.ndim - 1:
        return LogSoftmaxAcross.apply(x, axis=axis)
    return LogSoftmax.apply(x)


def softmax_cross_entropy(logits: Any, targets: Any) -> Tensor:
    """−Σ t log softmax(logits) over the last axis, one loss a row. Logits and targets (…, K) → (…,)"""
    logits, targets = _pair(logits, targets)
    if targets.requires_grad:
        return -sum(log_softmax(logits) * targets, -1)
    return SoftmaxCrossEntropy.apply(logits, targets)


def sparse_cross_entropy(logits: Any, labels: Any) -> Tensor:
    """−log softmax(logits)[label] over the last axis. Logits (…, K), integer labels (…,) → (…,)"""
    logits = floating(logits)
    return SparseCrossEntropy.apply(logits, constant_beside("sparse_cross_entropy", labels, logits).copy())


def sigmoid_cross_entropy(logits: Any, targets: Any) -> Tensor:
    """−t log σ(x) − (1 − t) log(1 − σ(x)), element by element, stable for any x."""
    logits, targets = _pair(logits, targets)
    if targets.requires_grad:
        return softplus(logits) - logits * targets
    return SigmoidCrossEntropy.apply(logits, targets)


def mean_sigmoid_cross_entropy(logits: Any, targets: Any) -> Tensor:
    """The mean of `sigmoid_cross_entropy` over the last axis, in one step."""
    logits, targets = _pair(logits, targets)
    if targets.requires_grad:
        return mean(sigmoid_cross_entropy(logits, targets), -1)
    return MeanSigmoidCrossEntropy.apply(logits, targets)


def _pair(logits: Any, targets: Any) -> tuple[Tensor, Tensor]:
    targets = targets if isinstance(targets, Tensor) else devices.as_array(targets)
    logits, targets = of_one_type(*operands(floating(logits), targets))
    return logits, targets


METHODS = {"softmax": softmax}
