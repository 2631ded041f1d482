"""The differentiable operations, one family a file, each forward beside its backward.

This package also gives `Tensor` its operators and methods: `a + b` is `add(a, b)`.
"""

from minidl.ops import (
    activations,
    arithmetic,
    contractions,
    elementary,
    linalg,
    placement,
    probabilities,
    reductions,
    selection,
    shapes,
)
from minidl.ops.activations import (
    elu,
    gelu,
    leaky_relu,
    relu,
    silu,
    softplus,
)
from minidl.ops.arithmetic import (
    absolute,
    add,
    astype,
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    clip,
    divide,
    equal,
    floor_divide,
    greater,
    greater_equal,
    invert,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    remainder,
    square,
    subtract,
    where,
)
from minidl.ops.contractions import (
    dot,
    einsum,
    outer,
    tensordot,
)
from minidl.ops.elementary import (
    arccos,
    arcsin,
    arctan,
    ceil,
    cos,
    cosh,
    erf,
    exp,
    expm1,
    floor,
    log,
    log1p,
    round,
    sigmoid,
    sign,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)
from minidl.ops.linalg import affine, matmul
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
from minidl.ops.reductions import (
    all,
    any,
    argmax,
    argmin,
    cumsum,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from minidl.ops.selection import (
    argsort,
    diag,
    pad,
    repeat,
    sort,
    take,
    take_along_axis,
    tile,
    topk,
    tril,
    triu,
)
from minidl.ops.shapes import (
    broadcast_to,
    concatenate,
    expand_dims,
    flatten,
    flip,
    moveaxis,
    reshape,
    split,
    squeeze,
    stack,
    swapaxes,
    transpose,
)
from minidl.tensors import Tensor

for _family in (
    activations, arithmetic, contractions, elementary, linalg, placement, probabilities, reductions, selection, shapes
):  # fmt: skip
    for _name, _function in _family.METHODS.items():
        setattr(Tensor, _name, _function)
