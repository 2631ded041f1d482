"""minidl: a deep-learning engine to run, to read and to believe.

>>> import minidl as md
>>> w = md.Tensor([1.0, 2.0], requires_grad=True)
>>> loss = ((w - 3) ** 2).sum()
>>> loss.backward()
>>> w.grad
Tensor([-4., -2.])
"""

import importlib
from typing import Any

from minidl import kernels, random
from minidl.autograd.modes import detect_anomaly, enable_grad, is_recording, no_grad
from minidl.kernels import get_num_threads, set_num_threads, use
from minidl.makers import arange, eye, full, full_like, linspace, ones, ones_like, zeros, zeros_like
from minidl.ops import (
    absolute,
    add,
    affine,
    all,
    any,
    arccos,
    arcsin,
    arctan,
    argmax,
    argmin,
    argsort,
    astype,
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    broadcast_to,
    ceil,
    clip,
    concatenate,
    cos,
    cosh,
    cumsum,
    diag,
    divide,
    dot,
    dropout,
    einsum,
    elu,
    embedding,
    equal,
    erf,
    exp,
    expand_dims,
    expm1,
    flatten,
    flip,
    floor,
    floor_divide,
    gelu,
    greater,
    greater_equal,
    invert,
    isfinite,
    isinf,
    isnan,
    leaky_relu,
    less,
    less_equal,
    log,
    log1p,
    log_softmax,
    logical_and,
    logical_not,
    logical_or,
    logsumexp,
    lstm,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    moveaxis,
    multiply,
    negative,
    norm,
    not_equal,
    outer,
    pad,
    power,
    prod,
    relu,
    remainder,
    repeat,
    reshape,
    round,
    sigmoid,
    sigmoid_cross_entropy,
    sign,
    silu,
    sin,
    sinh,
    softmax,
    softmax_cross_entropy,
    softplus,
    sort,
    sparse_cross_entropy,
    split,
    sqrt,
    square,
    squeeze,
    stack,
    std,
    subtract,
    sum,
    swapaxes,
    take,
    take_along_axis,
    tan,
    tanh,
    tensordot,
    tile,
    topk,
    transpose,
    tril,
    triu,
    var,
    where,
)
from minidl.ops import absolute as abs
from minidl.ops import power as pow
from minidl.tensors import Op, Tensor, as_tensor, from_dlpack
from minidl.transforms import grad, gradients, value_and_grad

__version__ = "0.1.0"

# Loaded on first use, so that importing minidl costs little more than importing NumPy.
_LAZY_MODULES = {
    "activations", "callbacks", "initializers", "keras", "layers", "losses", "metrics", "models", "optimizers",
    "preprocessing", "regularizers", "saving", "schedules", "testing",
}  # fmt: skip
_LAZY_NAMES = {
    "Model": "models",
    "Sequential": "models",
    "gradcheck": "testing",
    "gradgradcheck": "testing",
}
# What programs written for TensorFlow and PyTorch look for.
_INSTEAD = {
    "GradientTape": "every operation is recorded without one: minidl.gradients(loss, model.trainable_weights)",
    "Variable": "Tensor(value, requires_grad=True) is one, in a layer add_weight makes it",
    "Parameter": "Tensor(value, requires_grad=True) is one, in a layer add_weight makes it",
    "constant": "Tensor(value) is one",
    "tensor": "Tensor(value) is one",
    "nn": "layers are in minidl.layers, losses in minidl.losses",
    "functional": "its functions stand in minidl itself, losses in minidl.losses",
    "Input": "it is layers.Input",
    "data": "fit takes arrays, a generator of batches, or a sequence of them",
    "utils": "to_categorical and the like are in minidl.keras.utils",
    "train": "model.fit trains, and optimizers take single steps",
    "save": "model.save(path) writes a model, models.load_model(path) reads it",
    "load": "models.load_model(path) reads what model.save(path) wrote",
    "jacobian": "its row i is gradients(y[i], x, retain_graph=True)",
    "hessian": "its row i is gradients(dx[i], x, retain_graph=True) of dx = gradients(y, x, create_graph=True)",
    "allclose": "np.allclose takes tensors",
    "rand": "Tensor(random.Generator(seed).uniform(shape)) is one",
    "randn": "Tensor(random.Generator(seed).normal(shape)) is one",
    "uniform": "Tensor(random.Generator(seed).uniform(shape)) is one",
    "normal": "Tensor(random.Generator(seed).normal(shape)) is one",
    "cat": "it is concatenate",
    "reduce_mean": "it is mean",
    "reduce_sum": "it is sum",
    "manual_seed": "it is random.set_seed",
    "float32": "types have NumPy's names, as in Tensor(value, dtype='float32')",
    "float64": "types have NumPy's names, as in Tensor(value, dtype='float64')",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return importlib.import_module(f"minidl.{name}")
    if name in _LAZY_NAMES:
        return getattr(importlib.import_module(f"minidl.{_LAZY_NAMES[name]}"), name)
    raise AttributeError(f"module 'minidl' has no attribute {name!r}{_hint(name)}")


def _hint(name: str) -> str:
    if name in _INSTEAD:
        return f"; {_INSTEAD[name]}"
    if name.startswith("_"):  # Python and its tools ask for these
        return ""
    from minidl.naming import nearest

    near = nearest(name, [known for known in __dir__() if not known.startswith("_")])
    return f"; did you mean {near}?" if near else ""


def __dir__() -> list[str]:
    return sorted(globals().keys() | _LAZY_MODULES | _LAZY_NAMES.keys())
