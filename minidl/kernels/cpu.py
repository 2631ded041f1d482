"""The kernels of `reference` in C: the same names, arguments, checks and errors.

The C sources are in csrc/, compiled for several instruction sets; the best one that the machine has
is chosen here. What goes number by number takes a transposed array as it lies, and its result lies
alike; other inputs are made dense, in the order of C. Outputs are new arrays. The work is shared
among threads such that the results are the same bits for any number of them.

    MINIDL_ISA=v3           run on x86-64-v3 (or v2, v4), for comparisons
    MINIDL_NUM_THREADS=4    in place of the number of CPUs that the process may use
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minidl.kernels._cpu as _cpu  # where it is missing this names it; "from ... import" supposes an import cycle
from minidl.kernels import validate

Array = Any
LSTMCache = tuple[Array, ...]

Block = _cpu.Block  # memory that is used again, for large outputs
empty = _cpu.empty


# ---- what they run on -------------------------------------------------------------------


def available_isas() -> list[str]:
    """The instruction sets that both the machine and this build have, lowest first."""
    return [name for name, supported in _cpu.isas() if supported]


def isa() -> str:
    """The instruction set that the kernels run on, as "x86-64-v4"."""
    return _isa


def compiler() -> str:
    """The compiler that made the kernels, as "GCC 12.2.0"."""
    return _cpu.compiler()


def set_num_threads(n: int) -> None:
    """Use at most n threads."""
    _cpu.set_num_threads(n)


def get_num_threads() -> int:
    """How many threads are used at most."""
    return _cpu.get_num_threads()


def _choose_isa(wanted: str) -> str:
    """The best instruction set, or the one that MINIDL_ISA asks for."""
    isas = _cpu.isas()
    if not any(supported for _, supported in isas):
        raise ImportError(f"the compiled kernels need at least {isas[0][0]}, which this machine does not have")
    chosen = wanted if wanted in dict(isas) else f"x86-64-{wanted}" if wanted else available_isas()[-1]
    if chosen not in available_isas():
        raise ValueError(f"MINIDL_ISA={wanted!r}: expected one that this machine has: {', '.join(available_isas())}")
    _cpu.select_isa([name for name, _ in isas].index(chosen))
    return chosen


def _default_threads(wanted: str) -> int:
    """The CPUs that this process may use, or MINIDL_NUM_THREADS."""
    if not wanted:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ValueError(f"MINIDL_NUM_THREADS={wanted!r}: expected a positive integer")
    return int(wanted)


_isa = _choose_isa(os.environ.get("MINIDL_ISA", ""))
set_num_threads(_default_threads(os.environ.get("MINIDL_NUM_THREADS", "")))


# ---- arrays as C takes them -------------------------------------------------------------


def _dense(array: Array, dtype: Any = None) -> Array:
    """The array where it is aligned and in C order, else a copy that is; a memory map and the like as a plain array."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned and dtype in (None, array.dtype):
        return np.asarray(array)
    copy = _cpu.copy_in_c_order(array) if dtype in (None, array.dtype) else None
    return np.array(array, dtype, order="C") if copy is None else copy


def _both_dense(a: Array, b: Array) -> tuple[Array, Array]:
    """Two arrays as the second one lies in memory, if that is dense."""
    return (_dense(a.T).T, _dense(b.T).T) if b.flags.fnc else (_dense(a), _dense(b))


def _strided(array: Array) -> Array:
    """The array where its strides are whole numbers of items, else a dense copy."""
    whole = array.flags.forc or all(stride % array.itemsize == 0 for stride in array.strides)
    return np.asarray(array) if array.flags.aligned and whole else np.array(array, order="C")


def _outside(ids: Array, limit: int) -> bool:
    return _cpu.outside(_dense(ids), limit)


# ---- elementary functions ---------------------------------------------------------------


def exp(x: Array) -> Array:
    """y = eˣ"""
    return _map(_cpu.exp, x)


def tanh(x: Array) -> Array:
    """y = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)"""
    return _map(_cpu.tanh, x)


def tanh_backward(dy: Array, y: Array) -> Array:
    """dx = dy (1 − y²)"""
    return _slope(_cpu.tanh_backward, dy, y)


def sigmoid(x: Array) -> Array:
    """y = 1 / (1 + e⁻ˣ)"""
    return _map(_cpu.sigmoid, x)


def sigmoid_backward(dy: Array, y: Array) -> Array:
    """dx = dy y (1 − y)"""
    return _slope(_cpu.sigmoid_backward, dy, y)


def erf(x: Array) -> Array:
    """y = 2/√π ∫₀ˣ e^(−t²) dt"""
    return _map(_cpu.erf, x)


def log(x: Array) -> Array:
    """y = ln x; −∞ at 0, NaN below"""
    return _map(_cpu.log, x)


def sqrt(x: Array) -> Array:
    """y = √x; NaN below 0"""
    return _map(_cpu.sqrt, x)


def absolute(x: Array) -> Array:
    """y = |x|"""
    return _map(_cpu.absolute, x)


def clip(x: Array, low: float, high: float) -> Array:
    """y = min(max(x, low), high)"""
    y = _cpu.clip(x, low, high)
    if y is None:
        bounds = validate.clip(x, low, high)
        y = _cpu.clip(_dense(x), *bounds)
    return y


def _map(kernel: Callable[[Array], Array], x: Array) -> Array:
    y = kernel(x)
    if y is None:
        validate.floats(kernel.__name__, x=x)
        y = kernel(_dense(x))
    return y


def _slope(kernel: Callable[[Array, Array], Array], dy: Array, y: Array) -> Array:
    dx = kernel(dy, y)
    if dx is None:
        validate.elementwise(kernel.__name__, dy=dy, y=y)
        dx = kernel(*_both_dense(dy, y))
    return dx


# ---- arithmetic -------------------------------------------------------------------------


def add(a: Array | float, b: Array | float) -> Array:
    """y = a + b, broadcasting as in NumPy"""
    y = _cpu.add(a, b)
    return a + b if y is None else y


def subtract(a: Array | float, b: Array | float) -> Array:
    """y = a − b, broadcasting as in NumPy"""
    y = _cpu.subtract(a, b)
    return a - b if y is None else y


def multiply(a: Array | float, b: Array | float) -> Array:
    """y = a b, broadcasting as in NumPy"""
    y = _cpu.multiply(a, b)
    return a * b if y is None else y


def divide(a: Array | float, b: Array | float) -> Array:
    """y = a / b, broadcasting as in NumPy"""
    y = _cpu.divide(a, b)
    return a / b if y is None else y


def maximum(a: Array | float, b: Array | float) -> Array:
    """y = max(a, b), broadcasting as in NumPy; NaN wins"""
    y = _cpu.maximum(a, b)
    return np.maximum(a, b) if y is None else y


def minimum(a: Array | float, b: Array | float) -> Array:
    """y = min(a, b), broadcasting as in NumPy; NaN wins"""
    y = _cpu.minimum(a, b)
    return np.minimum(a, b) if y is None else y


# ---- activations ------------------------------------------------------------------------


def relu_forward(x: Array) -> Array:
    """y = max(x, 0)"""
    return _forward("relu_forward", _cpu.RELU, x)


def relu_backward(dy: Array, x: Array) -> Array:
    """dx = dy where x > 0, else 0"""
    return _backward("relu_backward", _cpu.RELU, dy, x)


def leaky_relu_forward(x: Array, alpha: float) -> Array:
    """y = x where x > 0, else α x"""
    return _forward("leaky_relu_forward", _cpu.LEAKY_RELU, x, alpha)


def leaky_relu_backward(dy: Array, x: Array, alpha: float) -> Array:
    """dx = dy where x > 0, else α dy"""
    return _backward("leaky_relu_backward", _cpu.LEAKY_RELU, dy, x, alpha)


def elu_forward(x: Array, alpha: float, scale: float) -> Array:
    """y = scale x where x > 0, else scale α (eˣ − 1)"""
    return _forward("elu_forward", _cpu.ELU, x, alpha, scale)


def elu_backward(dy: Array, x: Array, alpha: float, scale: float) -> Array:
    """dx = scale dy where x > 0, else scale α eˣ dy"""
    return _backward("elu_backward", _cpu.ELU, dy, x, alpha, scale)


def softplus_forward(x: Array) -> Array:
    """y = ln(1 + eˣ)"""
    return _forward("softplus_forward", _cpu.SOFTPLUS, x)


def softplus_backward(dy: Array, x: Array) -> Array:
    """dx = dy σ(x)"""
    return _backward("softplus_backward", _cpu.SOFTPLUS, dy, x)


def silu_forward(x: Array) -> Array:
    """y = x σ(x)"""
    return _forward("silu_forward", _cpu.SILU, x)


def silu_backward(dy: Array, x: Array) -> Array:
    """dx = dy (σ(x) + x σ(x) σ(−x))"""
    return _backward("silu_backward", _cpu.SILU, dy, x)


def gelu_forward(x: Array) -> Array:
    """y = x Φ(x)"""
    return _forward("gelu_forward", _cpu.GELU, x)


def gelu_backward(dy: Array, x: Array) -> Array:
    """dx = dy (Φ(x) + x φ(x))"""
    return _backward("gelu_backward", _cpu.GELU, dy, x)


def _forward(kernel: str, which: int, x: Array, alpha: float = 0.0, scale: float = 1.0) -> Array:
    y = _cpu.activation_forward(which, x, alpha, scale)
    if y is None:
        validate.floats(kernel, x=x)
        y = _cpu.activation_forward(which, _dense(x), *validate.numbers(kernel, alpha=alpha, scale=scale))
    return y


def _backward(kernel: str, which: int, dy: Array, x: Array, alpha: float = 0.0, scale: float = 1.0) -> Array:
    dx = _cpu.activation_backward(which, dy, x, alpha, scale)
    if dx is None:
        validate.elementwise(kernel, dy=dy, x=x)
        numbers = validate.numbers(kernel, alpha=alpha, scale=scale)
        dx = _cpu.activation_backward(which, *_both_dense(dy, x), *numbers)
    return dx


# ---- selection --------------------------------------------------------------------------


def where(condition: Array, a: Array | float, b: Array | float) -> Array:
    """y = a where the condition holds, else b"""
    y = _cpu.where(condition, a, b)
    if y is None:
        validate.where(condition, a, b)
        y = _cpu.where(*(_dense(x) if hasattr(x, "dtype") else x for x in (condition, a, b)))
    return y


# ---- products ---------------------------------------------------------------------------


def matmul(a: Array, b: Array) -> Array:
    """c = a b, over the last two axes; the others broadcast. Transposed and sliced views are not copied."""
    c = _cpu.product(a, b)
    if c is None:
        validate.matmul(a, b)
        c = _cpu.product(_strided(a), _strided(b))
    return c


def affine_forward(x: Array, w: Array, b: Array) -> Array:
    """y = x w + b"""
    y = _cpu.affine_forward(x, w, b)
    if y is None:
        validate.affine("affine_forward", x, w, b=b)
        y = _cpu.affine_forward(_strided(x), _strided(w), _dense(b))
    return y


def affine_backward(
    dy: Array, x: Array, w: Array, needs: Sequence[bool] = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    """dx = dy wᵀ, dw = xᵀ dy, db = Σ dy over the rows; None in place of those that are not needed."""
    gradients = _cpu.affine_backward(dy, x, w, needs)
    if gradients is None:
        validate.affine("affine_backward", x, w, dy=dy)
        gradients = _cpu.affine_backward(*map(_strided, (dy, x, w)), needs)
    return gradients


# ---- sums -------------------------------------------------------------------------------


def sum_rows(x: Array) -> Array:
    """y = Σ x over the last axis."""
    y = _cpu.sum_rows(x)
    if y is None:
        validate.axes("sum_rows", x, 1)
        y = _cpu.sum_rows(_dense(x))
    return y


def sum_columns(x: Array) -> Array:
    """y = Σ x over the last axis but one."""
    y = _cpu.sum_columns(x)
    if y is None:
        validate.axes("sum_columns", x, 2)
        y = _cpu.sum_columns(_dense(x))
    return y


# ---- extremes ---------------------------------------------------------------------------


def extreme_forward(x: Array, largest: bool) -> Array:
    """y = max x over the middle axis, or min x."""
    y = _cpu.extreme_forward(x, largest)
    if y is None:
        largest = validate.extreme("extreme_forward", x, largest)
        y = _cpu.extreme_forward(_dense(x), largest)
    return y


def extreme_backward(dy: Array, x: Array, y: Array) -> Array:
    """dx = dy where x = y, divided by how many are."""
    dx = _cpu.extreme_backward(dy, x, y)
    if dx is None:
        validate.extreme("extreme_backward", x, dy=dy, y=y)
        dx = _cpu.extreme_backward(_dense(dy), _dense(x), _dense(y))
    return dx


# ---- the cost of errors -----------------------------------------------------------------


def huber_forward(e: Array, delta: float) -> Array:
    """y = the mean over the last axis of e²/2 where |e| ≤ δ, of δ (|e| − δ/2) beyond."""
    y = _cpu.huber_forward(e, delta)
    if y is None:
        delta = validate.huber("huber_forward", e, delta)
        y = _cpu.huber_forward(_dense(e), delta)
    return y


def huber_backward(dy: Array, e: Array, delta: float) -> Array:
    """de = dy / K times e, held in [−δ, δ]"""
    de = _cpu.huber_backward(dy, e, delta)
    if de is None:
        delta = validate.huber("huber_backward", e, delta, dy=dy)
        de = _cpu.huber_backward(_dense(dy), _dense(e), delta)
    return de


# ---- softmax and the cross-entropies ----------------------------------------------------


def softmax_forward(x: Array) -> Array:
    """y = e^(x − max x) / Σ e^(x − max x), over the last axis."""
    y = _cpu.softmax_forward(x)
    if y is None:
        validate.rows("softmax_forward", x)
        y = _cpu.softmax_forward(_dense(x))
    return y


def softmax_backward(dy: Array, y: Array) -> Array:
    """dx = y (dy − Σ dy y)"""
    dx = _cpu.softmax_backward(dy, y)
    if dx is None:
        validate.rows("softmax_backward", y)
        validate.elementwise("softmax_backward", dy=dy, y=y)
        dx = _cpu.softmax_backward(_dense(dy), _dense(y))
    return dx


def log_softmax_forward(x: Array) -> Array:
    """y = x − max x − ln Σ e^(x − max x), over the last axis."""
    y = _cpu.log_softmax_forward(x)
    if y is None:
        validate.rows("log_softmax_forward", x)
        y = _cpu.log_softmax_forward(_dense(x))
    return y


def log_softmax_backward(dy: Array, y: Array) -> Array:
    """dx = dy − eʸ Σ dy"""
    dx = _cpu.log_softmax_backward(dy, y)
    if dx is None:
        validate.rows("log_softmax_backward", y)
        validate.elementwise("log_softmax_backward", dy=dy, y=y)
        dx = _cpu.log_softmax_backward(_dense(dy), _dense(y))
    return dx


def softmax_cross_entropy_forward(logits: Array, targets: Array) -> tuple[Array, Array]:
    """loss = −Σ targets log softmax(logits), with the probabilities that backward needs."""
    results = _cpu.softmax_cross_entropy_forward(logits, targets)
    if results is None:
        validate.softmax_cross_entropy("softmax_cross_entropy_forward", logits, targets)
        results = _cpu.softmax_cross_entropy_forward(_dense(logits), _dense(targets))
    return results


def softmax_cross_entropy_backward(dloss: Array, probabilities: Array, targets: Array) -> Array:
    """dlogits = dloss (p Σ targets − targets)"""
    dlogits = _cpu.softmax_cross_entropy_backward(dloss, probabilities, targets)
    if dlogits is None:
        validate.softmax_cross_entropy("softmax_cross_entropy_backward", probabilities, targets)
        validate.loss_gradient("softmax_cross_entropy_backward", dloss, probabilities)
        dlogits = _cpu.softmax_cross_entropy_backward(*map(_dense, (dloss, probabilities, targets)))
    return dlogits


def sparse_cross_entropy_forward(logits: Array, labels: Array) -> tuple[Array, Array]:
    """loss = −log softmax(logits)[label], with the probabilities that backward needs."""
    results = _cpu.sparse_cross_entropy_forward(logits, labels)
    if results is None:
        validate.sparse_cross_entropy("sparse_cross_entropy_forward", logits, labels, _outside)
        results = _cpu.sparse_cross_entropy_forward(_dense(logits), _dense(labels, np.int64))
    return results


def sparse_cross_entropy_backward(dloss: Array, probabilities: Array, labels: Array) -> Array:
    """dlogits = dloss (p − onehot(label))"""
    dlogits = _cpu.sparse_cross_entropy_backward(dloss, probabilities, labels)
    if dlogits is None:
        validate.sparse_cross_entropy("sparse_cross_entropy_backward", probabilities, labels, _outside)
        validate.loss_gradient("sparse_cross_entropy_backward", dloss, probabilities)
        dense = _dense(dloss), _dense(probabilities), _dense(labels, np.int64)
        dlogits = _cpu.sparse_cross_entropy_backward(*dense)
    return dlogits


def sigmoid_cross_entropy_forward(logits: Array, targets: Array) -> Array:
    """loss = |x| miss + log(1 + e^(−|x|)), with miss = 1 − t for x > 0, else t"""
    loss = _cpu.sigmoid_cross_entropy_forward(logits, targets)
    if loss is None:
        validate.elementwise("sigmoid_cross_entropy_forward", logits=logits, targets=targets)
        loss = _cpu.sigmoid_cross_entropy_forward(_dense(logits), _dense(targets))
    return loss


def sigmoid_cross_entropy_backward(dloss: Array, logits: Array, targets: Array) -> Array:
    """dx = dloss (σ(x) − t)"""
    dlogits = _cpu.sigmoid_cross_entropy_backward(dloss, logits, targets)
    if dlogits is None:
        validate.elementwise("sigmoid_cross_entropy_backward", dloss=dloss, logits=logits, targets=targets)
        dlogits = _cpu.sigmoid_cross_entropy_backward(*map(_dense, (dloss, logits, targets)))
    return dlogits


# ---- embedding --------------------------------------------------------------------------


def embedding_forward(table: Array, ids: Array) -> Array:
    """y[…] = table[ids[…]]"""
    y = _cpu.embedding_forward(table, ids)
    if y is None:
        validate.embedding(table, ids, _outside)
        y = _cpu.embedding_forward(_dense(table), _dense(ids, np.int64))
    return y


def embedding_backward(dy: Array, ids: Array, rows: int) -> Array:
    """dtable[i] = Σ dy over the places where ids = i, added in order."""
    dtable = _cpu.embedding_backward(dy, ids, rows) if type(rows) is int and 0 <= rows < validate.INDEX else None
    if dtable is None:
        rows = validate.embedding_backward(dy, ids, rows, _outside)
        dtable = _cpu.embedding_backward(_dense(dy), _dense(ids, np.int64), rows)
    return dtable


# ---- random numbers and dropout ---------------------------------------------------------


def random_bits(n: int, seed: int, offset: int) -> Array:
    """n random 32-bit words, four from each block `offset`, `offset` + 1, … of the stream `seed`."""
    n, seed, offset = validate.random_bits(n, seed, offset)
    words = np.empty(n, np.uint32)
    _cpu.random_bits(seed, offset, words)
    return words


def dropout(x: Array, rate: float, seed: int, offset: int) -> Array:
    """y = x / (1 − rate) where the element's random word ≥ rate · 2³², else 0."""
    given = rate, seed, offset
    if tuple(map(type, given)) != (float, int, int) or not (0 <= seed < validate.WORD and 0 <= offset < validate.WORD):
        given = validate.dropout(x, *given)
    y = _cpu.dropout(x, *given)
    if y is None:
        validate.dropout(x, *given)
        y = _cpu.dropout(_dense(x), *given)
    return y


# ---- LSTM -------------------------------------------------------------------------------


def lstm_forward(
    x: Array,
    h0: Array,
    c0: Array,
    kernel: Array,
    recurrent: Array,
    bias: Array,
    mask: Array | None = None,
    reverse: bool = False,
    keep: bool = True,
) -> tuple[Array, Array, Array, LSTMCache | None]:
    """Run an LSTM over a whole sequence; the equations stand in `reference.lstm_forward`."""
    arrays = x, h0, c0, kernel, recurrent, bias
    results = _cpu.lstm_forward(*arrays, mask, reverse, keep)
    if results is None:
        validate.lstm("lstm_forward", *arrays, mask)
        results = _cpu.lstm_forward(*map(_dense, arrays), None if mask is None else _dense(mask), reverse, keep)
    return results


def lstm_backward(
    dy: Array | None,
    dh: Array | None,
    dc: Array | None,
    x: Array,
    h0: Array,
    c0: Array,
    kernel: Array,
    recurrent: Array,
    bias: Array,
    mask: Array | None,
    reverse: bool,
    cache: LSTMCache,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Back-propagation through time; the equations stand in `reference.lstm_backward`."""
    arrays = x, h0, c0, kernel, recurrent, bias
    gradients = _cpu.lstm_backward(dy, dh, dc, *arrays, mask, reverse, cache)
    if gradients is None:
        validate.lstm("lstm_backward", *arrays, mask)
        validate.lstm_gradients(x, recurrent, dy, dh, dc)
        validate.lstm_cache("cpu", cache, x, _lstm_cache_shapes(x, len(recurrent)))
        given = [None if array is None else _dense(array) for array in (dy, dh, dc, *arrays, mask)]
        gradients = _cpu.lstm_backward(*given, reverse, tuple(map(_dense, cache)))
    return gradients


def _lstm_cache_shapes(x: Array, units: int) -> list[tuple[int, ...]]:
    """What is kept of each step: the gates, and the states h and c before it."""
    batch, time, _ = x.shape
    return [(time, batch, 4 * units), (time, batch, units), (time, batch, units)]


# ---- optimizer steps, in place ----------------------------------------------------------


def sgd_step(w: Array, g: Array, lr: float) -> None:
    """w ← w − lr g"""
    if not _cpu.sgd_step(w, g, lr):
        _step(_cpu.sgd_step, {"w": w, "g": g}, {"lr": lr})


def momentum_step(w: Array, g: Array, v: Array, lr: float, momentum: float, nesterov: bool) -> None:
    """v ← μ v − lr g;  w ← w + v,  or with nesterov  w ← w + μ v − lr g"""
    if not _cpu.momentum_step(w, g, v, lr, momentum, nesterov):
        _step(_cpu.momentum_step, {"w": w, "g": g, "v": v}, {"lr": lr, "momentum": momentum}, nesterov)


def adam_step(
    w: Array, g: Array, m: Array, v: Array, rate: float, beta_1: float, beta_2: float, epsilon: float
) -> None:
    """m ← m + (1−β₁)(g − m);  v ← v + (1−β₂)(g² − v);  w ← w − rate m / (√v + ε)"""
    if not _cpu.adam_step(w, g, m, v, rate, beta_1, beta_2, epsilon):
        scalars = {"rate": rate, "beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
        _step(_cpu.adam_step, {"w": w, "g": g, "m": m, "v": v}, scalars)


def rmsprop_step(w: Array, g: Array, v: Array, lr: float, rho: float, epsilon: float) -> None:
    """v ← ρ v + (1−ρ) g²;  w ← w − lr g / √(v + ε)"""
    if not _cpu.rmsprop_step(w, g, v, lr, rho, epsilon):
        _step(_cpu.rmsprop_step, {"w": w, "g": g, "v": v}, {"lr": lr, "rho": rho, "epsilon": epsilon})


def adagrad_step(w: Array, g: Array, a: Array, lr: float, epsilon: float) -> None:
    """a ← a + g²;  w ← w − lr g / √(a + ε)"""
    if not _cpu.adagrad_step(w, g, a, lr, epsilon):
        _step(_cpu.adagrad_step, {"w": w, "g": g, "a": a}, {"lr": lr, "epsilon": epsilon})


def _step(kernel: Callable[..., Any], arrays: dict[str, Array], scalars: dict[str, float], *flags: bool) -> None:
    """The same on dense copies, which are written back, if nothing is wrong with what C did not take as it was."""
    validate.step(kernel.__name__, **arrays)
    dense = [_dense(array) for array in arrays.values()]
    kernel(*dense, *validate.numbers(kernel.__name__, **scalars), *flags)
    for (name, array), copy in zip(arrays.items(), dense, strict=True):
        if name != "g" and copy is not array:
            array[...] = copy
