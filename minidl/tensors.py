"""Tensor: an array, its gradient, and the operation that made it.

The operators and most methods (`+`, `@`, `[]`, `sum`, `reshape` …) stand in `minidl.ops`,
each beside its derivative; that package installs them here.
"""

from __future__ import annotations

import itertools
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import devices
from minidl.autograd import anomaly
from minidl.autograd.engine import backpropagate
from minidl.autograd.memory import Memory
from minidl.autograd.modes import modes
from minidl.naming import offer_instead

Array = Any
_order = itertools.count()

# What np.exp(tensor) and np.sum(tensor) mean: NumPy's name of a ufunc, or its function -> the op. Filled by minidl.ops.
UFUNCS: dict[str, Callable[..., Any]] = {}
FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.shape: lambda t: t.shape,
    np.ndim: lambda t: t.ndim,
    np.size: lambda t, axis=None: t.size if axis is None else t.shape[axis],
}


def _array_ufunc(t: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
    """np.exp(t) is md.exp(t), and so on; with out= (as in `array -= t`) plain arithmetic on the arrays."""
    if out is None and method == "__call__" and not kwargs and ufunc.__name__ in UFUNCS:
        return UFUNCS[ufunc.__name__](*inputs)
    name = f"np.{ufunc.__name__}"
    check_one_device(name, *inputs)
    arrays = [_opened(x, t.device) if isinstance(x, np.ndarray) else getattr(x, "_array", x) for x in inputs]
    if out is not None:
        if any(isinstance(x, Tensor) for x in out):
            raise TypeError(f"{name} cannot write into a Tensor; write into its .data")
        if t.device == "cuda" and not all(map(devices.on_gpu, out)):
            raise TypeError(
                f"{name} cannot write what it makes of a tensor on cuda into an array of NumPy's; use .numpy()"
            )
        kwargs["out"] = out
        return getattr(ufunc, method)(*arrays, **kwargs)
    return without_gradient(name, inputs, getattr(ufunc, method)(*arrays, **kwargs))


class _Ufuncs:
    """What a Tensor is to NumPy, which asks its type, and to CuPy, which asks the tensor itself for the same name.

    CuPy computes with whatever lends it memory: `array - t` would be an array of its own, without the gradient.
    None tells it to leave operators to the tensor.
    """

    def __get__(self, t: Tensor | None, kind: type) -> Any:
        return _array_ufunc if t is None else None


class Tensor:
    """An n-dimensional array that remembers how it was computed.

    `data` is copied. Python floats become float32; integers, booleans and arrays keep their type
    unless `dtype` says otherwise. It goes to `device`, "cpu" or "cuda"; without one an array of
    CuPy stays on the GPU, and all else goes where `use` sends new tensors. With `requires_grad`,
    `backward()` on a result fills `.grad` with the derivative of that result.

    >>> import minidl as md
    >>> x = md.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    Tensor([2., 4., 6.])
    """

    # Class-level defaults keep the making of a result, the hottest path of all, to two assignments.
    _op: Op | None = None
    _slot = 0
    _grad: Tensor | None = None
    _needs = False
    _retains = False
    _memory: Memory | None = None
    _logits: tuple[str, Tensor, int] | None = None  # of a sigmoid or softmax: which, of what, and its version then
    name: str | None = None

    def __init__(
        self,
        data: Any,
        requires_grad: bool = False,
        dtype: Any = None,
        name: str | None = None,
        device: str | None = None,
    ) -> None:
        self._array = _to_array(data, dtype, copy=True, device=None if device is None else devices.checked(device))
        self.name = name
        if requires_grad:
            self.requires_grad = True

    # ---- what it holds

    @property
    def data(self) -> Array:
        """The array itself, not a copy. Writing to it is seen by a backward pass that needs the old values."""
        self._shared_memory().expose()
        return self._array

    @data.setter
    def data(self, value: Any) -> None:
        check_one_device("assignment to .data", self, value)
        new = _to_array(value, self.dtype, copy=False, device=self.device)
        if new.shape != self.shape:
            raise ValueError(f"data of shape {new.shape} cannot replace data of shape {self.shape}; make a new Tensor")
        if new is self._array:  # t.data -= … has written in place already
            pass
        elif getattr(self._array.flags, "writeable", True):  # CuPy's arrays always are
            self._array[...] = new
        else:
            changes, self._array = self._version(), new.copy()
            self._memory = Memory(self._array, changes)
        self._changed()

    def assign(self, value: Any) -> Tensor:
        """Take other values, of this shape, in place. No operation is recorded; `assign_add(x)` is assign(self + x).

        >>> Tensor([1.0, 2.0]).assign([3.0, 4.0]).assign_sub([1.0, 1.0])
        Tensor([2., 3.])
        """
        self.data = value
        return self

    def numpy(self) -> Array:
        """The array itself, without the graph; from the GPU a copy."""
        return devices.to_host(self._array) if devices.on_gpu(self._array) else self.data

    @property
    def grad(self) -> Tensor | None:
        """What backward() has added up so far, or None; of a result only if `retain_grad` was asked for."""
        if self._grad is None and self._op is not None and not self._retains:
            warnings.warn(_NO_LEAF.format(op=self._op.name()), stacklevel=2)
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None and self.dtype.kind != "f":
            raise TypeError(f"only floating-point tensors have a gradient, this one holds {self.dtype}")
        self._grad = None if value is None else _gradient_of("assignment to .grad", self, value)

    def zero_grad(self) -> None:
        """Forget the gradient: the next backward() starts from nothing."""
        self._grad = None

    @property
    def requires_grad(self) -> bool:
        """Whether backward() through results of this tensor leads to it."""
        return self._needs

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self.dtype.kind != "f":
            raise TypeError(
                f"only floating-point tensors can require a gradient, this one holds {self.dtype}; "
                f'pass dtype="float32", or write 1.0 for 1'
            )
        if not value and self._op is not None:
            raise RuntimeError(
                "requires_grad can be turned off on leaves only; use .detach() to cut a result from its graph"
            )
        self._needs = bool(value)

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user, not by a recorded operation."""
        return self._op is None

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def size(self) -> int:
        return self._array.size

    @property
    def device(self) -> str:
        """Where it lives: on the "cpu" or on "cuda", the GPU."""
        return devices.of(self._array)

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self._array.item()

    def tolist(self) -> Any:
        return self._array.tolist()

    def detach(self) -> Tensor:
        """The same data, cut from the graph: a constant to everything that follows."""
        t = wrap(self._array)
        t._memory = self._shared_memory()
        return t

    # ---- gradients

    def backward(self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add the derivative of this tensor to `.grad` of every leaf that it was computed from.

        Args:
            gradient: d(something) / d(this), of this shape. May be left out for a single number, where it is 1.
            retain_graph: keep the graph, so that backward() can run through it once more.
            create_graph: record the backward pass too, so that gradients can be differentiated. Retains the graph.
        """
        if not self._needs:
            raise RuntimeError(
                "backward() of a tensor that requires no gradient: nothing that it was computed from has "
                "requires_grad=True, or it was computed under no_grad() or after detach()"
            )
        seed = seed_of(self, gradient, create_graph)
        kept = backpropagate([self], [seed], retain_graph=retain_graph or create_graph, create_graph=create_graph)
        for t, dx in kept.values():
            dx = dx if isinstance(dx, Tensor) else wrap(dx)
            t._grad = dx if t._grad is None else t._grad + dx

    def retain_grad(self) -> None:
        """Ask backward() to fill `.grad` of this tensor although it is not a leaf."""
        if not self._needs:
            raise RuntimeError("retain_grad() of a tensor that requires no gradient")
        self._retains = True

    # ---- its place among NumPy arrays and other libraries

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if devices.on_gpu(self._array):
            if copy is False:
                raise ValueError("a tensor on the GPU cannot become an array of NumPy's without a copy")
            return devices.to_host(self._array).astype(self.dtype if dtype is None else dtype, copy=False)
        if copy:
            return np.array(self._array, dtype=dtype, copy=True)
        if dtype is None or np.dtype(dtype) == self.dtype:
            return self.data
        if copy is False:
            raise ValueError(f"a {self.dtype} tensor cannot become {np.dtype(dtype)} without a copy")
        return self._array.astype(dtype)

    __array_ufunc__ = _Ufuncs()

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        """np.sum(t) is md.sum(t), and so on; a function that is no op of minidl gets the arrays."""
        if not all(issubclass(t, (Tensor, np.ndarray)) or devices.is_array_type(t) for t in types):
            return NotImplemented
        if function in FUNCTIONS:
            return FUNCTIONS[function](*args, **kwargs)
        if isinstance(kwargs.get("out"), Tensor):
            raise TypeError(f"np.{function.__name__} cannot write into a Tensor; write into its .data")
        follow = self.device
        arrays = function(*_opened(args, follow), **{name: _opened(value, follow) for name, value in kwargs.items()})
        return without_gradient(f"np.{function.__name__}", (args, *kwargs.values()), arrays)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.data.__dlpack__(**kwargs)

    @property
    def __cuda_array_interface__(self) -> Any:
        if self._needs and devices.on_gpu(self._array):  # CuPy would take it for an array of its own: array * t
            raise TypeError(
                f"{_brief(self)} requires a gradient, which another library would lose; lend it t.detach(), "
                f"or make its array a tensor with as_tensor() to compute with both"
            )
        return self.data.__cuda_array_interface__  # NumPy's arrays have none, and say so

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._array)

    def __float__(self) -> float:
        return float(self._array.item())

    def __int__(self) -> int:
        return int(self._array.item())

    def __index__(self) -> int:
        return operator.index(self._array.item() if self.ndim == 0 else self._array)

    __hash__ = object.__hash__  # == compares elements, so identity must be said

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 else object.__format__(self, spec)

    def __repr__(self) -> str:
        text = np.array2string(devices.to_host(self._array), separator=", ", prefix="Tensor(")
        if self.dtype not in (np.float32, np.bool_, np.int64):
            text += f", dtype={self.dtype}"
        if self.device != "cpu":
            text += f", device={self.device}"
        if self._op is not None:
            text += f", op={self._op.name()}"
        elif self._needs:
            text += ", requires_grad=True"
        return f"Tensor({text})"

    def __reduce__(self) -> tuple[Any, ...]:
        data = devices.to_host(self._array)
        return Tensor, (data, self._needs and self.is_leaf, self.dtype, self.name, self.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        make, arguments = self.__reduce__()
        t = memo[id(self)] = make(*arguments)
        t._grad = None if self._grad is None else self._grad.__deepcopy__(memo)
        return t

    def _move(self, array: Array) -> None:
        """To where its numbers were copied to, in place: for weights, which everybody holds by this name."""
        if array is not self._array:
            self._memory, self._array = Memory(array, self._version()), array
            self._changed()
            self._grad = None if self._grad is None else self._grad.to(self.device)

    # ---- changes in place, see autograd/memory.py

    def _shared_memory(self) -> Memory:
        if self._memory is None:
            self._memory = Memory(self._array)
        return self._memory

    def _changed(self) -> None:
        self._shared_memory().changed()

    def _version(self) -> int:
        return 0 if self._memory is None else self._memory.version()

    if TYPE_CHECKING:  # installed by minidl.ops
        T: Tensor

        def alias(self) -> Tensor: ...
        def assign_add(self, other: Any) -> Tensor: ...
        def assign_sub(self, other: Any) -> Tensor: ...
        def __getitem__(self, key: Any) -> Tensor: ...
        def __setitem__(self, key: Any, value: Any) -> None: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: object) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: object) -> Tensor: ...  # type: ignore[override]
        def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def max(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def min(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def transpose(self, *axes: Any) -> Tensor: ...
        def swapaxes(self, a: int, b: int) -> Tensor: ...
        def astype(self, dtype: Any) -> Tensor: ...
        def to(self, device: str) -> Tensor: ...


offer_instead(
    Tensor,
    {  # of PyTorch's and NumPy's names
        "view": "it is reshape(shape)",
        "t": "it is .T",
        "permute": "it is transpose(axes)",
        "unsqueeze": "it is expand_dims(axis)",
        "clone": "Tensor(t) is a copy, and a leaf",
        "copy": "Tensor(t) is a copy, and a leaf",
        "float": 'it is astype("float32")',
        "double": 'it is astype("float64")',
        "long": 'it is astype("int64")',
        "cpu": 'it is to("cpu")',
        "cuda": 'it is to("cuda")',
        "nbytes": "it is .data.nbytes",
    },
)


class Op:
    """One operation of the graph: how to compute it, and how to go back. Subclass it for your own.

    `forward` gets arrays (and constants) and returns an array, or a tuple of them. `backward`
    gets d(result)/d(output) for each output and returns the same for each input, in its shape, or
    None; it finds the inputs in `self.inputs`, and in `self.needs` which gradients are asked for.
    One that looks at `self.output` sets `reads_output = True`, so that an output that was changed
    in the meantime is refused. Write it with operators and methods: it runs on arrays in a plain
    backward pass, and on Tensors under `create_graph`, which makes it differentiable again.

    >>> import minidl as md
    >>> class Cube(md.Op):
    ...     def forward(self, x):
    ...         return x * x * x
    ...     def backward(self, dy):
    ...         (x,) = self.inputs
    ...         return dy * 3 * x * x
    >>> x = md.Tensor([2.0], requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    Tensor([12.])
    """

    broadcasts = False  # the inputs broadcast against each other: the engine sums gradients back to their shapes
    reads_inputs = True  # backward looks at self.inputs, so they must not change until then; see also reads()
    reads_output = False  # backward looks at self.output
    detour = False  # the gradient passes by the first input, to what that was made from, unless that of it is asked for
    makes_gradients = False  # what backward returns is new, and not held by anybody else: it becomes .grad uncopied
    composition: Callable[..., Any] | None = None  # a fused op in small ops, for derivatives of derivatives

    order: int
    parents: Any = None
    versions: tuple[int, ...] | None = None  # of the inputs; None if nobody had touched any of them
    needs: tuple[bool, ...]
    n_outputs = 1
    inputs: Sequence[Any]
    output: Any
    called_at: str

    def reads(self, i: int, needs: tuple[bool, ...]) -> bool:
        """Whether backward looks at input i for the gradients that are needed."""
        return self.reads_inputs

    def forward(self, *inputs: Any, **options: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, *dys: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no backward: it cannot be differentiated")

    @classmethod
    def apply(cls, *inputs: Any, **options: Any) -> Any:
        """Compute, and record if an input requires a gradient. On arrays alone it just computes."""
        op = cls()
        arrays = []
        tensors = wanted = touched = False
        for x in inputs:
            if isinstance(x, Tensor):
                tensors = True
                if x._needs:
                    wanted = True
                if x._memory is not None:
                    touched = True
                x = x._array
            arrays.append(x)
        try:
            if options or not 1 <= len(arrays) <= 2:
                result = op.forward(*arrays, **options)
            elif len(arrays) == 2:  # spelled out: with a star, the call itself takes a tenth of a small op
                result = op.forward(arrays[0], arrays[1])
            else:
                result = op.forward(arrays[0])
        except (TypeError, ValueError, IndexError, MemoryError, OverflowError) as error:
            check_one_device(cls.name(), *inputs)
            devices.explain(error, arrays)
            error.add_note(f"in {cls.name()} of {', '.join(map(_brief, inputs))}")
            raise
        if not tensors:
            return result
        if type(result) is not np.ndarray:
            result = _outputs(op, result)
        recording, watching = modes.get()
        if watching:
            anomaly.check_forward(op, arrays, result if isinstance(result, tuple) else (result,))
        maker = None
        if wanted and recording:
            maker = op
            op.parents, op.inputs = inputs, arrays
            op.order = next(_order)
            if touched:
                op.versions = tuple([x._version() if isinstance(x, Tensor) else 0 for x in inputs])
        if type(result) is tuple:
            op.n_outputs = len(result)
            return tuple([_result(y, maker, slot, inputs, arrays) for slot, y in enumerate(result)])
        return _result(result, maker, 0, inputs, arrays)

    @classmethod
    def name(cls) -> str:
        """As the function is called: `SoftmaxCrossEntropy` is softmax_cross_entropy."""
        return re.sub("(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    def free(self) -> None:
        """Let go of the inputs and of all that forward kept."""
        self.__dict__.clear()


def wrap(array: Any) -> Tensor:
    """A Tensor around an array that nobody else holds. No copy."""
    t = Tensor.__new__(Tensor)
    t._array = array if type(array) is np.ndarray else devices.as_array(array)
    return t


def as_tensor(value: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """The value itself if it is a Tensor of that type, else a Tensor that shares memory where it can.

    `device` is where data of the processor goes. A tensor is never moved, nor is an array on the GPU.
    """
    if isinstance(value, Tensor):
        return value if dtype is None or value.dtype == dtype else value.astype(dtype)
    if device == "cpu" and devices.on_gpu(value):
        device = "cuda"
    t = wrap(_to_array(value, dtype, copy=False, device=device))
    if t._array is value or t._array.base is not None:
        t._shared_memory().expose()
    return t


def from_dlpack(value: Any) -> Tensor:
    """A Tensor over the memory of another library's array, wherever that is. No copy."""
    array = devices.from_dlpack(value)
    return as_tensor(array, device=devices.of(array))


def _result(array: Any, op: Op | None, slot: int, inputs: Sequence[Any], arrays: Sequence[Any]) -> Tensor:
    t = Tensor.__new__(Tensor)
    t._array = array
    if op is not None and array.dtype.kind == "f":
        t._op = op
        t._slot = slot
        t._needs = True
    elif op is not None and array.dtype.kind == "c":
        raise TypeError(
            f"{op.name()} makes complex numbers of real ones that require a gradient, and gradients are real here; "
            f"keep real and imaginary parts in two tensors, or detach()"
        )
    base = array.base
    if base is None or type(base) is devices.Block:
        for x in arrays:
            if x is array:
                break
        else:
            return t
    for x in inputs:  # a view of an input, or the input itself, shares its fate
        if isinstance(x, Tensor) and (x._array is array or _share_memory(x._array, array, base)):
            t._memory = x._shared_memory()
    return t


def _share_memory(x: Array, y: Array, base: Any) -> bool:
    """Whether y, which looks at the memory of `base`, may look at that of x."""
    if type(base) is np.ndarray and base.base is None and x.base is None:  # each has memory of its own; nearly always
        return base is x and y.size > 0
    return devices.may_share_memory(x, y)


def _outputs(op: Op, result: Any) -> Any:
    """What a forward returned as an array, or as a tuple of them."""
    if isinstance(result, tuple):
        return tuple([y if type(y) is np.ndarray else _outputs(op, y) for y in result])
    if isinstance(result, np.generic):  # what NumPy makes of two arrays of no axes
        return np.asarray(result)
    if devices.is_array(result) or isinstance(result, (int, float)):
        return devices.as_array(result)
    if isinstance(result, Tensor):
        if result._needs:
            raise TypeError(
                f"the forward of {op.name()} computes with a tensor that requires a gradient and is not among its "
                f"inputs; pass it as an input, or the gradient would be lost"
            )
        return result._array
    raise TypeError(
        f"the forward of {op.name()} returned {type(result).__name__}; return an array, or a tuple of arrays"
    )


def array_of(data: Any, dtype: Any = None) -> Array:
    """The array in what a tensor shall hold, in its own type; one that the dtype cannot hold is refused."""
    if isinstance(data, Tensor):
        data = data._array
    elif isinstance(data, (list, tuple)) and modes.get().recording and _needs_within(data):
        raise TypeError(
            "a list that holds tensors which require a gradient would lose it on its way into one tensor; "
            "use stack() or concatenate(), or detach() them"
        )
    array = devices.as_array(data)
    if array.dtype.kind not in "fiubc":  # before a dtype can make nan of None, and 3.5 of "3.5"
        what = "an integer of more than 64 bits" if isinstance(data, int) else f"an array of {array.dtype}"
        raise TypeError(f"a Tensor holds numbers; {type(data).__name__} gives {what}")
    if array.dtype.kind == "c" and dtype is not None and np.dtype(dtype).kind != "c":
        raise TypeError(f"{np.dtype(dtype)} holds real numbers, got {array.dtype}; give its .real, say")
    return array


def _to_array(data: Any, dtype: Any, copy: bool, device: str | None = None) -> Array:
    array = array_of(data, dtype)
    if dtype is None and not hasattr(data, "dtype") and array.dtype.kind == "f":
        dtype = np.float32
    if dtype is None and not array.dtype.isnative:
        dtype = array.dtype.type  # the kernels read numbers as the processor does
    device = _device_for(array) if device is None else devices.known(device)
    if device != "cpu" or type(array) is not np.ndarray:
        moved = devices.place(array, device)
        return moved.astype(dtype or array.dtype, copy=copy and moved is array)
    return np.array(array, dtype=dtype, copy=True if copy else None)


def replacement(what: str, value: Any, array: Array) -> Array:
    """A copy of the value that can take the place of what the array holds: in its shape and type, beside it."""
    new = value._array if isinstance(value, Tensor) else devices.as_array(value)
    if new.shape != array.shape:
        raise ValueError(f"{what} has shape {array.shape}, got {new.shape}")
    if new.dtype.kind not in "fiub":
        raise TypeError(f"{what} holds {array.dtype}, got an array of {new.dtype}; give real numbers")
    return devices.beside(new.astype(array.dtype), array)


def _device_for(array: Array) -> str:
    """Where a new tensor of it goes if nobody says: an array on the GPU stays there."""
    return "cuda" if devices.on_gpu(array) else devices.current()


def seed_of(root: Tensor, gradient: Any, create_graph: bool) -> Any:
    """The gradient that a backward pass starts from, checked."""
    if gradient is None:
        if root.size != 1:
            raise RuntimeError(
                f"backward() of a tensor of shape {root.shape} needs the gradient of something with respect to it: "
                f"pass gradient=, or make it one number first, as in .sum().backward()"
            )
        seed = devices.full(root.shape, 1, root._array)
        return wrap(seed) if create_graph else seed
    seed = _gradient_of("backward", root, gradient)
    return seed if create_graph else seed._array


def _gradient_of(operation: str, t: Tensor, value: Any) -> Tensor:
    """What is given as the gradient of a tensor, in the tensor's type."""
    check_one_device(operation, t, value)
    dtype = value.dtype if hasattr(value, "dtype") else devices.as_array(value).dtype
    if dtype.kind == "c":
        raise TypeError(f"{operation}: a gradient holds real numbers, got {dtype}")
    gradient = as_tensor(value, t.dtype, t.device)
    if gradient.shape != t.shape:
        raise ValueError(f"the gradient has shape {gradient.shape} and the tensor {t.shape}; they must agree")
    return gradient


def without_gradient(function: str, inputs: Any, result: Any) -> Any:
    """The result of NumPy's own function, unless a gradient would be lost in silence."""
    if modes.get().recording and _needs_within(inputs) and _floats_within(result):
        raise TypeError(
            f"{function} has no derivative in minidl, and the tensor requires a gradient; "
            f"write it as an Op, or pass t.detach() if no gradient should flow"
        )
    return result


def check_one_device(operation: str, *inputs: Any) -> None:
    """Refuse tensors of two devices, and arrays on the GPU beside those of the processor; NumPy's are free to follow.

    Asked only where something went wrong, or would.
    """
    first = None
    for x in inputs:
        array = x._array if isinstance(x, Tensor) else x
        if array is x and not devices.on_gpu(x):
            continue
        if first is None:
            first = array
        elif devices.of(array) != devices.of(first):
            a, b = (f"{_brief(y)} on {devices.of(y)}" for y in (first, array))
            raise TypeError(
                f"{operation} of {a} and {b}: two devices; bring one tensor to the other's with .to(device)"
            )


def _needs_within(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_needs_within, x))
    return isinstance(x, Tensor) and x._needs


def _floats_within(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_floats_within, x))
    return isinstance(x, float) or (hasattr(x, "dtype") and x.dtype.kind in "fc")


def _opened(x: Any, device: str) -> Any:
    """With the arrays in place of the tensors, watched: a function such as np.copyto writes to them.

    NumPy's arrays follow the tensors to the GPU.
    """
    if isinstance(x, (list, tuple)):
        return type(x)([_opened(y, device) for y in x]) if type(x) in (list, tuple) else x
    if isinstance(x, np.ndarray):
        return devices.send(x, device)
    return x.data if isinstance(x, Tensor) else x


_NO_LEAF = (
    "this tensor is the result of {op} and its .grad is None: backward() fills .grad of leaves only, and of results "
    "after retain_grad(); to update a weight and keep it a leaf use w.assign(…), or do it under no_grad()"
)


def _brief(x: Any) -> str:
    return f"{x.dtype}{list(x.shape)}" if hasattr(x, "shape") else repr(x)[:40]
