"""The differentiable operations, one family a file, each forward beside its backward.

This package also gives `Tensor` its operators and methods: `a + b` is `add(a, b)`.
"""

from minidl.ops import arithmetic, elementary, linalg, probabilities, reductions, shapes
from minidl.ops.arithmetic import (
    absolute,
    add,
    astype,
    clip,
    divide,
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    square,
    subtract,
    where,
)
from minidl.ops.elementary import cos, erf, exp, expm1, log, log1p, relu, sigmoid, sin, softplus, sqrt, tanh
from minidl.ops.linalg import matmul
from minidl.ops.lookup import embedding
from minidl.ops.noise import dropout
from minidl.ops.probabilities import (
    log_softmax,
    logsumexp,
    sigmoid_cross_entropy,
    softmax,
    softmax_cross_entropy,
    sparse_cross_entropy,
)
from minidl.ops.recurrent import lstm
from minidl.ops.reductions import argmax, argmin, cumsum, max, mean, min, prod, std, sum, var
from minidl.ops.shapes import (
    broadcast_to,
    concatenate,
    expand_dims,
    flatten,
    flip,
    reshape,
    split,
    squeeze,
    stack,
    swapaxes,
    transpose,
)
from minidl.tensor import Tensor

for _family in (arithmetic, elementary, linalg, probabilities, reductions, shapes):
    for _name, _function in _family.METHODS.items():
        setattr(Tensor, _name, _function)
