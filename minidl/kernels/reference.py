"""Every kernel in plain NumPy: the equations, with shapes. This is the specification.

`cpu` and `cuda` expose the same names with the same arguments and are held to these
functions by tests. Nothing here is tuned; a model trains on it, and a breakpoint in
`lstm_forward` stops in the equations of the LSTM.

Outputs are returned and inputs never changed, except by the optimizer steps, which update
the weights and their moments in place. Arrays are float32 or float64 and keep their type.

Letters in shapes: B batch, T time, D features in, U units, N rows, K classes or columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.kernels import validate

Array = Any
LSTMCache = tuple[Array, ...]


# ---- elementary functions ---------------------------------------------------------------


def exp(x: Array) -> Array:
    """y = eˣ"""
    validate.floats("exp", x=x)
    with np.errstate(over="ignore", under="ignore"):
        return np.exp(x)


def tanh(x: Array) -> Array:
    """y = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)"""
    validate.floats("tanh", x=x)
    return np.tanh(x)


def tanh_backward(dy: Array, y: Array) -> Array:
    """dx = dy (1 − y²)"""
    validate.elementwise("tanh_backward", dy=dy, y=y)
    return dy * (1 - y * y)


def sigmoid(x: Array) -> Array:
    """y = 1 / (1 + e⁻ˣ), from e^(−|x|) so that nothing overflows and small values keep their digits"""
    validate.floats("sigmoid", x=x)
    with np.errstate(under="ignore"):
        e = np.exp(-np.abs(x))
    return np.where(x < 0, e, np.ones_like(e)) / (1 + e)


def sigmoid_backward(dy: Array, y: Array) -> Array:
    """dx = dy y (1 − y)"""
    validate.elementwise("sigmoid_backward", dy=dy, y=y)
    return dy * y * (1 - y)


def erf(x: Array) -> Array:
    """y = 2/√π ∫₀ˣ e^(−t²) dt"""
    validate.floats("erf", x=x)
    return np.asarray(_erf(x)).astype(x.dtype)


_erf = np.frompyfunc(math.erf, 1, 1)  # NumPy has none, and this one is exact to the last bits


def log(x: Array) -> Array:
    """y = ln x; −∞ at 0, NaN below"""
    validate.floats("log", x=x)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(x)


def sqrt(x: Array) -> Array:
    """y = √x; NaN below 0"""
    validate.floats("sqrt", x=x)
    with np.errstate(invalid="ignore"):
        return np.sqrt(x)


def absolute(x: Array) -> Array:
    """y = |x|"""
    validate.floats("absolute", x=x)
    return np.abs(x)


def clip(x: Array, low: float, high: float) -> Array:
    """y = min(max(x, low), high)"""
    low, high = validate.clip(x, low, high)
    with np.errstate(over="ignore"):  # a bound that is no number of float32
        return np.clip(x, x.dtype.type(low), x.dtype.type(high))


# ---- arithmetic ------------------------------------------------------------------------


def add(a: Array | float, b: Array | float) -> Array:
    """y = a + b, broadcasting as in NumPy"""
    return a + b


def subtract(a: Array | float, b: Array | float) -> Array:
    """y = a − b, broadcasting as in NumPy"""
    return a - b


def multiply(a: Array | float, b: Array | float) -> Array:
    """y = a b, broadcasting as in NumPy"""
    return a * b


def divide(a: Array | float, b: Array | float) -> Array:
    """y = a / b, broadcasting as in NumPy"""
    return a / b


def maximum(a: Array | float, b: Array | float) -> Array:
    """y = max(a, b), broadcasting as in NumPy; NaN wins. Of 0 and −0 it may be either."""
    return np.maximum(a, b)


def minimum(a: Array | float, b: Array | float) -> Array:
    """y = min(a, b), broadcasting as in NumPy; NaN wins. Of 0 and −0 it may be either."""
    return np.minimum(a, b)


# ---- activations ------------------------------------------------------------------------


def relu_forward(x: Array) -> Array:
    """y = max(x, 0)"""
    validate.floats("relu_forward", x=x)
    return np.maximum(x, 0)


def relu_backward(dy: Array, x: Array) -> Array:
    """dx = dy where x > 0, else 0; at 0 itself 0 is the usual choice among the slopes from 0 to 1."""
    validate.elementwise("relu_backward", dy=dy, x=x)
    return np.where(x > 0, dy, dy.dtype.type(0))


def leaky_relu_forward(x: Array, alpha: float) -> Array:
    """y = x where x > 0, else α x"""
    validate.floats("leaky_relu_forward", x=x)
    (alpha,) = validate.numbers("leaky_relu_forward", alpha=alpha)
    with np.errstate(invalid="ignore"):
        return np.where(x > 0, x, alpha * x)


def leaky_relu_backward(dy: Array, x: Array, alpha: float) -> Array:
    """dx = dy where x > 0, else α dy"""
    validate.elementwise("leaky_relu_backward", dy=dy, x=x)
    (alpha,) = validate.numbers("leaky_relu_backward", alpha=alpha)
    return np.where(x > 0, dy, alpha * dy)


def elu_forward(x: Array, alpha: float, scale: float) -> Array:
    """y = scale x where x > 0, else scale α (eˣ − 1)"""
    validate.floats("elu_forward", x=x)
    alpha, scale = validate.numbers("elu_forward", alpha=alpha, scale=scale)
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def elu_backward(dy: Array, x: Array, alpha: float, scale: float) -> Array:
    """dx = scale dy where x > 0, else scale α eˣ dy

    It is 0 for NaN: one that a mask leaves out shall not spoil the gradient of what it was made from.
    """
    validate.elementwise("elu_backward", dy=dy, x=x)
    alpha, scale = validate.numbers("elu_backward", alpha=alpha, scale=scale)
    with np.errstate(under="ignore"):
        return scale * np.where(x > 0, dy, alpha * np.exp(np.minimum(np.fmax(x, -np.inf), 0)) * dy)


def softplus_forward(x: Array) -> Array:
    """y = ln(1 + eˣ), from e^(−|x|) so that nothing overflows and small values keep their digits"""
    validate.floats("softplus_forward", x=x)
    with np.errstate(under="ignore"):
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softplus_backward(dy: Array, x: Array) -> Array:
    """dx = dy σ(x)"""
    validate.elementwise("softplus_backward", dy=dy, x=x)
    return dy * sigmoid(x)


def silu_forward(x: Array) -> Array:
    """y = x σ(x)"""
    validate.floats("silu_forward", x=x)
    with np.errstate(invalid="ignore"):
        return x * sigmoid(x)


def silu_backward(dy: Array, x: Array) -> Array:
    """dx = dy (σ(x) + x σ(x) σ(−x)), at ±∞ what it goes to"""
    validate.elementwise("silu_backward", dy=dy, x=x)
    return dy * (sigmoid(x) + _finite(x) * sigmoid(x) * sigmoid(-x))


def gelu_forward(x: Array) -> Array:
    """y = x Φ(x), where Φ is the normal distribution (Hendrycks and Gimpel 2016)"""
    validate.floats("gelu_forward", x=x)
    with np.errstate(invalid="ignore"):
        return x * _normal(x)


def gelu_backward(dy: Array, x: Array) -> Array:
    """dx = dy (Φ(x) + x φ(x)) with φ(x) = e^(−x²/2) / √(2π), at ±∞ what it goes to"""
    validate.elementwise("gelu_backward", dy=dy, x=x)
    with np.errstate(over="ignore", under="ignore"):
        density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return dy * (_normal(x) + _finite(x) * density)


def _normal(x: Array) -> Array:
    return np.asarray(_normal_share(x)).astype(x.dtype)


# Φ(x) by erfc, which for x < 0 keeps the digits that (1 + erf(x/√2)) / 2 loses
_normal_share = np.frompyfunc(lambda x: math.erfc(-x * math.sqrt(0.5)) / 2, 1, 1)


def _finite(x: Array) -> Array:
    """x, but for ±∞ the largest numbers: 0 times these is 0, not NaN"""
    limits = np.finfo(x.dtype)
    return np.clip(x, limits.min, limits.max)


# ---- selection --------------------------------------------------------------------------


def where(condition: Array, a: Array | float, b: Array | float) -> Array:
    """y = a where the condition holds, else b. One of the two may be a number."""
    validate.where(condition, a, b)
    return np.where(condition, a, b)


# ---- products ---------------------------------------------------------------------------


def matmul(a: Array, b: Array) -> Array:
    """c = a b, over the last two axes; the others broadcast.  (…, M, K) (…, K, N) → (…, M, N)"""
    validate.matmul(a, b)
    return np.matmul(a, b)


def affine_forward(x: Array, w: Array, b: Array) -> Array:
    """y = x w + b.  (N, D) (D, U) (U,) → (N, U)"""
    validate.affine("affine_forward", x, w, b=b)
    return x @ w + b


def affine_backward(
    dy: Array, x: Array, w: Array, needs: Sequence[bool] = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    """dx = dy wᵀ, dw = xᵀ dy, db = Σ dy over the rows; None in place of those that are not needed."""
    validate.affine("affine_backward", x, w, dy=dy)
    return dy @ w.T if needs[0] else None, x.T @ dy if needs[1] else None, dy.sum(0) if needs[2] else None


# ---- sums and extremes ------------------------------------------------------------------


def sum_rows(x: Array) -> Array:
    """y = Σ x over the last axis."""
    validate.axes("sum_rows", x, 1)
    return np.asarray(x.sum(-1))


def sum_columns(x: Array) -> Array:
    """y = Σ x over the last axis but one."""
    validate.axes("sum_columns", x, 2)
    return np.asarray(x.sum(-2))


def extreme_forward(x: Array, largest: bool) -> Array:
    """y = max x over the middle axis, or min x. NaN is the extreme of what it is in.  (B, N, C) → (B, C)"""
    largest = validate.extreme("extreme_forward", x, largest)
    return x.max(1) if largest else x.min(1)


def extreme_backward(dy: Array, x: Array, y: Array) -> Array:
    """dx = dy where x = y, divided by how many are, as autograd and PyTorch's amax share it; else 0.

    (B, C), (B, N, C), (B, C) → (B, N, C)
    """
    validate.extreme("extreme_backward", x, dy=dy, y=y)
    ties = (x == y[:, None]) | np.isnan(x)  # a NaN equals nothing
    share = dy * (1 / ties.sum(1)).astype(dy.dtype)
    return np.where(ties, share[:, None], dy.dtype.type(0))


# ---- the cost of errors -----------------------------------------------------------------


def huber_forward(e: Array, delta: float) -> Array:
    """y = the mean over the last axis of e²/2 where |e| ≤ δ, of δ (|e| − δ/2) beyond.  (…, K) → (…,)

    (Huber 1964.) With δ = ∞ it is half the mean square.
    """
    delta = validate.huber("huber_forward", e, delta)
    size = np.abs(e)
    with np.errstate(over="ignore", invalid="ignore"):  # of the side that is not chosen
        delta = e.dtype.type(delta)
        cost = np.where(size <= delta, e * e / 2, delta * (size - delta / 2))
    return np.asarray(cost.sum(-1)) / e.shape[-1]


def huber_backward(dy: Array, e: Array, delta: float) -> Array:
    """de = dy / K times e, held in [−δ, δ].  (…,), (…, K) → (…, K)"""
    delta = validate.huber("huber_backward", e, delta, dy=dy)
    with np.errstate(over="ignore"):  # a δ that is no number of float32
        delta = e.dtype.type(delta)
    return (dy / e.shape[-1])[..., None] * np.clip(e, -delta, delta)


# ---- softmax and the cross-entropies ----------------------------------------------------


def softmax_forward(x: Array) -> Array:
    """y = e^(x − max x) / Σ e^(x − max x), over the last axis."""
    validate.rows("softmax_forward", x)
    e = _exp_shifted(x)
    return e / e.sum(-1, keepdims=True)


def softmax_backward(dy: Array, y: Array) -> Array:
    """dx = y (dy − Σ dy y)"""
    validate.rows("softmax_backward", y)
    validate.elementwise("softmax_backward", dy=dy, y=y)
    return y * (dy - (dy * y).sum(-1, keepdims=True))


def log_softmax_forward(x: Array) -> Array:
    """y = ln softmax(x) = x − max x − ln Σ e^(x − max x), over the last axis."""
    validate.rows("log_softmax_forward", x)
    return _log_softmax(x)


def log_softmax_backward(dy: Array, y: Array) -> Array:
    """dx = dy − eʸ Σ dy"""
    validate.rows("log_softmax_backward", y)
    validate.elementwise("log_softmax_backward", dy=dy, y=y)
    return dy - exp(y) * dy.sum(-1, keepdims=True)


def softmax_cross_entropy_forward(logits: Array, targets: Array) -> tuple[Array, Array]:
    """loss = −Σ targets log softmax(logits), with the probabilities that backward needs.

    (…, K), (…, K) → loss (…,), probabilities (…, K)
    """
    validate.softmax_cross_entropy("softmax_cross_entropy_forward", logits, targets)
    log_p = _log_softmax(logits)
    return -(targets * log_p).sum(-1), softmax_forward(logits)


def softmax_cross_entropy_backward(dloss: Array, probabilities: Array, targets: Array) -> Array:
    """dlogits = dloss (p Σ targets − targets);  for targets that sum to 1 the familiar p − y."""
    validate.softmax_cross_entropy("softmax_cross_entropy_backward", probabilities, targets)
    validate.loss_gradient("softmax_cross_entropy_backward", dloss, probabilities)
    return dloss[..., None] * (probabilities * targets.sum(-1, keepdims=True) - targets)


def sparse_cross_entropy_forward(logits: Array, labels: Array) -> tuple[Array, Array]:
    """loss = −log softmax(logits)[label]

    (…, K), integers (…,) → loss (…,), probabilities (…, K)
    """
    validate.sparse_cross_entropy("sparse_cross_entropy_forward", logits, labels)
    log_p = np.take_along_axis(_log_softmax(logits), labels[..., None], -1)
    return -log_p[..., 0], softmax_forward(logits)


def sparse_cross_entropy_backward(dloss: Array, probabilities: Array, labels: Array) -> Array:
    """dlogits = dloss (p − onehot(label))"""
    validate.sparse_cross_entropy("sparse_cross_entropy_backward", probabilities, labels)
    validate.loss_gradient("sparse_cross_entropy_backward", dloss, probabilities)
    onehot = np.zeros_like(probabilities)
    np.put_along_axis(onehot, labels[..., None], 1, -1)
    return dloss[..., None] * (probabilities - onehot)


def sigmoid_cross_entropy_forward(logits: Array, targets: Array) -> Array:
    """loss = −t log σ(x) − (1−t) log(1−σ(x)) = |x| miss + log(1 + e^(−|x|)), with miss = 1 − t for x > 0, else t

    Without a miss the first term is 0, of an infinite x too.
    """
    validate.elementwise("sigmoid_cross_entropy_forward", logits=logits, targets=targets)
    size, miss = np.abs(logits), np.where(logits > 0, 1 - targets, targets)
    return np.multiply(size, miss, where=miss != 0, out=np.zeros_like(size)) + np.log1p(np.exp(-size))


def sigmoid_cross_entropy_backward(dloss: Array, logits: Array, targets: Array) -> Array:
    """dx = dloss (σ(x) − t)"""
    validate.elementwise("sigmoid_cross_entropy_backward", dloss=dloss, logits=logits, targets=targets)
    return dloss * (sigmoid(logits) - targets)


def _exp_shifted(x: Array) -> Array:
    with np.errstate(under="ignore"):
        return np.exp(x - x.max(-1, keepdims=True)) if x.size else x.copy()


def _log_softmax(x: Array) -> Array:
    if not x.size:
        return x.copy()
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(_exp_shifted(x).sum(-1, keepdims=True))


# ---- embedding --------------------------------------------------------------------------


def embedding_forward(table: Array, ids: Array) -> Array:
    """y[…] = table[ids[…]].  (N, U), integers (…,) → (…, U)"""
    validate.embedding(table, ids)
    return np.take(table, ids, 0)  # table[ids] would be a view for a single id


def embedding_backward(dy: Array, ids: Array, rows: int) -> Array:
    """dtable[i] = Σ dy over the places where ids = i.  (…, U) → (rows, U)

    Up to 127 equal ids are added in order, everywhere: not a bit may differ. More are added in order here; elsewhere
    in an order that follows from their number alone and that is no less exact.
    """
    rows = validate.embedding_backward(dy, ids, rows)
    dtable = np.zeros((rows, dy.shape[-1]), dy.dtype)
    np.add.at(dtable, ids.reshape(-1), dy.reshape(ids.size, dy.shape[-1]))
    return dtable


# ---- random numbers and dropout ---------------------------------------------------------


def random_bits(n: int, seed: int, offset: int) -> Array:
    """n random 32-bit words, four from each block `offset`, `offset` + 1, … of the stream `seed`.

    Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3,
    SC 2011): the counter is (offset, 0) as four 32-bit words, low first, the key is the seed
    as two. A block depends on its number alone, so any thread may make any block.
    """
    n, seed, offset = validate.random_bits(n, seed, offset)
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    block = np.uint64(offset) + np.arange((n + 3) // 4, dtype=np.uint64)
    zeros = np.zeros_like(block)
    c0, c1, c2, c3 = block & low, block >> shift, zeros, zeros
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c2 = (p1 >> shift) ^ c1 ^ np.uint64(k0), (p0 >> shift) ^ c3 ^ np.uint64(k1)
        c1, c3 = p1 & low, p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32).reshape(-1)[:n]


def dropout(x: Array, rate: float, seed: int, offset: int) -> Array:
    """y = x / (1 − rate) where the element's random word ≥ rate · 2³², else 0.

    Element i in C order meets word i of `random_bits(x.size, seed, offset)`. The mask is not
    stored: backward is the same function applied to dy. The scale is rounded to x's type once.
    """
    rate, seed, offset = validate.dropout(x, rate, seed, offset)
    keep = random_bits(x.size, seed, offset).reshape(x.shape) >= np.uint64(int(rate * 2**32))
    scale = x.dtype.type(1 / (1 - rate)) if rate < 1 else x.dtype.type(0)
    return np.where(keep, x * scale, x.dtype.type(0))


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
    """Run an LSTM over a whole sequence (Hochreiter and Schmidhuber 1997, with forget gates).

        z = x_t W + h R + b                     split in four: i, f, g, o
        c ← σ(f) c + σ(i) tanh(g)
        h ← σ(o) tanh(c)

    x (B, T, D), h0 and c0 (B, U), kernel W (D, 4U), recurrent R (U, 4U), bias b (4U,)
    → y (B, T, U), h (B, U), c (B, U), and what backward needs, or None where it need not be kept.

    Where mask (B, T) is False the state stays as it was, and the output repeats the one
    before, or 0 when there was none; x_t counts as 0 there, whatever it holds, NaN included.
    With `reverse` time runs from the last step to the first, and y lists the outputs in the
    order in which they were made, as Keras does.
    """
    validate.lstm("lstm_forward", x, h0, c0, kernel, recurrent, bias, mask)
    x = _unmasked(x, mask)
    batch, time, _ = x.shape
    units = h0.shape[1]
    gates = np.zeros((time, batch, 4 * units), x.dtype)
    h, c = (np.empty((time + 1, batch, units), x.dtype) for _ in range(2))
    y = np.zeros((batch, time, units), x.dtype)
    h[0], c[0] = h0, c0
    last = np.zeros_like(h0)
    for step, t in enumerate(_order(time, reverse)):
        i, f, g, o = _gates(x[:, t] @ kernel + h[step] @ recurrent + bias)
        c_new = f * c[step] + i * g
        h_new = o * tanh(c_new)
        valid = np.ones((batch, 1), bool) if mask is None else mask[:, t, None]
        gates[step] = np.concatenate([i, f, g, o], axis=1)
        c[step + 1] = np.where(valid, c_new, c[step])
        h[step + 1] = np.where(valid, h_new, h[step])
        y[:, step] = last = np.where(valid, h_new, last)
    return y, h[-1].copy(), c[-1].copy(), (gates, h, c) if keep else None


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
    """Back-propagation through time. A gradient of None stands for zeros; i, f, g, o are what σ and tanh made of z.

        dh += dy_t            do = dh tanh(c)       dc += dh o (1 − tanh² c)
        di = dc g             df = dc c_before      dg = dc i          dc ← dc f
        dz = (di i (1−i), df f (1−f), dg (1−g²), do o (1−o))
        dx_t = dz Wᵀ          dh ← dz Rᵀ            dW += x_tᵀ dz
        dR += h_beforeᵀ dz    db += Σ dz

    Where mask is False x_t and dz count as 0: dx_t is 0, dh and dc stay as they are, and dy_t goes to the
    step whose output was repeated.

    → dx (B, T, D), dh0, dc0 (B, U), dkernel (D, 4U), drecurrent (U, 4U), dbias (4U,)
    """
    validate.lstm("lstm_backward", x, h0, c0, kernel, recurrent, bias, mask)
    validate.lstm_gradients(x, recurrent, dy, dh, dc)
    batch, time, _ = x.shape
    units = len(recurrent)
    states = (time + 1, batch, units)
    validate.lstm_cache("reference", cache, x, [(time, batch, 4 * units), states, states])
    x = _unmasked(x, mask)
    gates, hs, cs = cache
    dx, dW, dR, db = (np.zeros_like(a) for a in (x, kernel, recurrent, bias))
    dh = np.zeros_like(h0) if dh is None else dh.copy()
    dc = np.zeros_like(c0) if dc is None else dc.copy()
    dlast = np.zeros_like(h0)  # of the outputs after this step that repeat it, as masked steps do
    for step, t in reversed(list(enumerate(_order(time, reverse)))):
        valid = np.ones((batch, 1), bool) if mask is None else mask[:, t, None]
        if dy is not None:
            dlast = dlast + dy[:, step]
        i, f, g, o = np.split(gates[step], 4, axis=1)
        tanh_c = tanh(f * cs[step] + i * g)
        dh_new = np.where(valid, dh + dlast, 0)
        dc_new = np.where(valid, dc, 0) + dh_new * o * (1 - tanh_c * tanh_c)
        di, df, dg, do = dc_new * g, dc_new * cs[step], dc_new * i, dh_new * tanh_c
        dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)], axis=1)
        dx[:, t] = dz @ kernel.T
        dW += x[:, t].T @ dz
        dR += hs[step].T @ dz
        db += dz.sum(0)
        dh = np.where(valid, dz @ recurrent.T, dh)
        dc = np.where(valid, dc_new * f, dc)
        dlast = np.where(valid, 0, dlast).astype(x.dtype)
    return dx, dh, dc, dW, dR, db


def _unmasked(x: Array, mask: Array | None) -> Array:
    """x with zeros in the place of masked steps: a product of NaN and 0 is NaN."""
    return x if mask is None else np.where(mask[:, :, None], x, 0)


def _order(time: int, reverse: bool) -> range:
    return range(time - 1, -1, -1) if reverse else range(time)


def _gates(z: Array) -> tuple[Array, Array, Array, Array]:
    i, f, g, o = np.split(z, 4, axis=1)
    return sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)


# ---- optimizer steps, in place ----------------------------------------------------------


def sgd_step(w: Array, g: Array, lr: float) -> None:
    """w ← w − lr g"""
    validate.step("sgd_step", w=w, g=g)
    (lr,) = validate.numbers("sgd_step", lr=lr)
    w -= lr * g


def momentum_step(w: Array, g: Array, v: Array, lr: float, momentum: float, nesterov: bool) -> None:
    """v ← μ v − lr g;  w ← w + v,  or with nesterov  w ← w + μ v − lr g"""
    validate.step("momentum_step", w=w, g=g, v=v)
    lr, momentum = validate.numbers("momentum_step", lr=lr, momentum=momentum)
    v *= momentum
    v -= lr * g
    w += momentum * v - lr * g if nesterov else v


def adam_step(
    w: Array, g: Array, m: Array, v: Array, rate: float, beta_1: float, beta_2: float, epsilon: float
) -> None:
    """m ← m + (1−β₁)(g − m);  v ← v + (1−β₂)(g² − v);  w ← w − rate m / (√v + ε)

    (Kingma and Ba 2015, section 2's efficient form: `rate` already holds √(1−β₂ᵗ)/(1−β₁ᵗ).)
    """
    validate.step("adam_step", w=w, g=g, m=m, v=v)
    rate, beta_1, beta_2, epsilon = validate.numbers(
        "adam_step", rate=rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon
    )
    m += (1 - beta_1) * (g - m)
    v += (1 - beta_2) * (g * g - v)
    w -= rate * m / (np.sqrt(v) + epsilon)


def rmsprop_step(w: Array, g: Array, v: Array, lr: float, rho: float, epsilon: float) -> None:
    """v ← ρ v + (1−ρ) g²;  w ← w − lr g / √(v + ε)"""
    validate.step("rmsprop_step", w=w, g=g, v=v)
    lr, rho, epsilon = validate.numbers("rmsprop_step", lr=lr, rho=rho, epsilon=epsilon)
    v *= rho
    v += (1 - rho) * (g * g)
    w -= lr * g / np.sqrt(v + epsilon)


def adagrad_step(w: Array, g: Array, a: Array, lr: float, epsilon: float) -> None:
    """a ← a + g²;  w ← w − lr g / √(a + ε)"""
    validate.step("adagrad_step", w=w, g=g, a=a)
    lr, epsilon = validate.numbers("adagrad_step", lr=lr, epsilon=epsilon)
    a += g * g
    w -= lr * g / np.sqrt(a + epsilon)
