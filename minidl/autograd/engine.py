"""The backward pass: reverse-mode differentiation over the recorded graph.

Ops are numbered as they are made, so descending numbers are an order in which each op comes
before everything it was computed from. Walking that order needs no recursion: a chain of
100,000 ops is as good as one of ten.

A rule of an op is written once and runs on two kinds of values. In a plain backward pass it
gets arrays and computes arrays. With `create_graph` it gets Tensors, so what it computes is
itself recorded and can be differentiated again. A fused op, whose rule calls a kernel, gives
its derivative of a derivative through `composition`, the same function in small ops.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from minidl import devices
from minidl.autograd import anomaly
from minidl.autograd.modes import enable_grad, modes

if TYPE_CHECKING:
    from minidl.tensor import Op, Tensor


def backpropagate(
    roots: Sequence[Tensor],
    seeds: Sequence[Any],
    targets: Sequence[Tensor] | None = None,
    *,
    retain_graph: bool,
    create_graph: bool,
    boundary: Sequence[Tensor] = (),
) -> dict[int, tuple[Tensor, Any]]:
    """The gradient of Σ seed · root for the targets, by id; without targets, for the leaves.

    Gradients are arrays that nobody else holds, or Tensors with `create_graph`. Nothing is
    searched beyond the tensors of `boundary`.
    """
    if create_graph and not modes.get().recording:
        with enable_grad():
            return backpropagate(roots, seeds, targets, retain_graph=True, create_graph=True, boundary=boundary)
    graph = Graph(roots, {id(t) for t in boundary})
    wanted = {id(t) for t in targets} if targets is not None else graph.asked | graph.leaves.keys()
    graph.mark_needs(wanted, all_leaves=targets is None or graph.leaves.keys() <= wanted)
    graph.check_unchanged(create_graph)
    between = wanted - graph.leaves.keys()
    gradients: dict[int, Any] = {}
    own: set[int] = set()  # of the tensors whose gradient nobody else can hold
    kept: dict[int, tuple[Tensor, Any]] = {}
    for root, seed in zip(roots, seeds, strict=True):
        _accumulate(gradients, own, root, seed, False)
    for op, needs in zip(graph.ops, graph.needs, strict=True):
        outputs = graph.outputs.pop(op)  # so that each tensor is let go as soon as its op is done
        dys = [gradients.pop(id(t), None) for t in outputs]
        if between:
            for t, dy in zip(outputs, dys, strict=True):
                if t is not None and dy is not None and id(t) in between:
                    kept[id(t)] = t, dy if create_graph else dy.copy()  # the op's rule is yet to pass it on
        if True in needs and [dy for dy in dys if dy is not None]:
            parents, working = op.parents, _twin(op) if retain_graph else op
            for i, dx in _gradients_of_inputs(working, needs, outputs, dys, create_graph):
                _accumulate(gradients, own, parents[i], dx, op.makes_gradients)
            if not retain_graph:
                op.free()
    for t in graph.leaves.values():
        if id(t) in wanted and id(t) in gradients:
            dx = gradients[id(t)]
            kept[id(t)] = t, dx if id(t) in own or create_graph else dx.copy()
    return kept


class Graph:
    """What a backward pass from the roots will visit."""

    def __init__(self, roots: Iterable[Tensor], boundary: set[int]) -> None:
        self.outputs: dict[Op, list[Tensor | None]] = {}
        self.leaves: dict[int, Tensor] = {}
        self.asked: set[int] = set()  # of the tensors that are no leaves and retain their gradient
        stack = list(roots)
        while stack:
            t = stack.pop()
            op = t._op
            if op is None or id(t) in boundary:
                self.leaves[id(t)] = t
                continue
            slots = self.outputs.get(op)
            if slots is None:
                if op.parents is None:
                    raise RuntimeError(_FREED.format(op=op.name()))
                slots = self.outputs[op] = [None] * op.n_outputs
                for p in op.parents:
                    if getattr(p, "_needs", False):
                        if p._op is None:
                            self.leaves[id(p)] = p
                        else:
                            stack.append(p)
            slots[t._slot] = t
            if t._retains:
                self.asked.add(id(t))
        self.needs: list[tuple[bool, ...]] = []  # of each op
        self.ops: list[Op] = sorted(self.outputs, key=attrgetter("order"), reverse=True)

    def mark_needs(self, wanted: set[int], all_leaves: bool) -> None:
        """Find for each op for which of its inputs a gradient leads to something wanted, or to any leaf."""
        useful = set(wanted)
        for op in reversed(self.ops):
            needs = tuple([getattr(p, "_needs", False) for p in op.parents])
            if not all_leaves:
                needs = tuple([need and id(p) in useful for p, need in zip(op.parents, needs, strict=True)])
            if op.detour:
                asked = id(op.parents[0]) in wanted
                needs = needs[0] and asked, needs[1] and not asked
            self.needs.append(needs)
            if not all_leaves and True in needs:
                useful.update(id(t) for t in self.outputs[op] if t is not None)
        self.needs.reverse()

    def check_unchanged(self, create_graph: bool) -> None:
        """Before any rule runs, so that an error leaves the graph whole."""
        for op, needs in zip(self.ops, self.needs, strict=True):
            for parent in op.parents:
                if getattr(parent, "_memory", None) is not None:  # else a constant, or memory that nobody has touched
                    _check_inputs(op, needs, create_graph)
                    break
            if op.reads_output:
                for t in self.outputs[op]:
                    if t is not None and t._version() != 0:
                        raise RuntimeError(_CHANGED.format(what=f"the output {tuple(t.shape)}", op=op.name()))


def _check_inputs(op: Op, needs: tuple[bool, ...], create_graph: bool) -> None:
    recomputed = create_graph and op.composition is not None
    versions = op.versions or (0,) * len(op.parents)
    for i, (parent, version) in enumerate(zip(op.parents, versions, strict=True)):
        exposed = getattr(parent, "_memory", None) is not None
        if exposed and (recomputed or op.reads(i, needs)) and parent._version() != version:
            raise RuntimeError(_CHANGED.format(what=f"input {i} {tuple(parent.shape)}", op=op.name()))


def _gradients_of_inputs(
    op: Op, needs: tuple[bool, ...], outputs: Sequence[Any], dys: list[Any], create_graph: bool
) -> list[tuple[int, Any]]:
    """The places of the inputs that need a gradient and get one, each with its gradient."""
    op.needs = needs
    if create_graph:
        op.inputs = op.parents
        op.output = outputs[0]
    else:
        op.inputs = [getattr(p, "_array", p) for p in op.parents]
        op.output = None if outputs[0] is None else outputs[0]._array
    try:
        fused = create_graph and op.composition is not None
        gradients = _through_composition(op, dys) if fused else op.backward(*dys)
    except Exception as error:
        devices.explain(error, dys)
        error.add_note(f"in the backward of {op.name()}")
        raise
    if not isinstance(gradients, (tuple, list)):
        gradients = (gradients,)
    if len(gradients) != len(op.parents):
        raise RuntimeError(
            f"the backward of {op.name()} returned {len(gradients)} gradients for {len(op.parents)} inputs; "
            f"return one for each, None where there is none"
        )
    found = []
    for i, dx in enumerate(gradients):
        if needs[i] and dx is not None:
            array = op.parents[i]._array
            known = type(dx) is type(array) or type(dx) is array.dtype.type  # NumPy's number, of arrays without axes
            if not known or dx.shape != array.shape or dx.dtype is not array.dtype:
                dx = _fitted(op, i, op.parents[i], dx, create_graph)
            found.append((i, dx))
    if modes.get().watching:
        anomaly.check_backward(op, found)
    return found


def _twin(op: Op) -> Op:
    """The op as one pass sees it: another thread may go through a graph that is kept, on its way to other targets."""
    twin = object.__new__(type(op))
    twin.__dict__.update(op.__dict__)
    return twin


def _through_composition(op: Op, dys: list[Any]) -> tuple[Any, ...]:
    """Differentiate the op's unfused form, so that the result can be differentiated again."""
    aliases = tuple(p.alias() if getattr(p, "_needs", False) else p for p in op.parents)
    results = op.composition(*aliases)  # type: ignore[misc]
    results = results if isinstance(results, tuple) else (results,)
    pairs = [(y, dy) for y, dy in zip(results, dys, strict=True) if dy is not None and y.requires_grad]
    targets = [a for a, need in zip(aliases, op.needs, strict=True) if need]
    found = backpropagate(
        [y for y, _ in pairs], [dy for _, dy in pairs], targets, retain_graph=True, create_graph=True, boundary=targets
    )
    return tuple(found[id(a)][1] if id(a) in found else None for a in aliases)


def _fitted(op: Op, i: int, parent: Tensor, dx: Any, create_graph: bool) -> Any:
    """The gradient in its input's shape and type; broadcasting forward is summing backward."""
    if not create_graph and hasattr(dx, "_array"):
        dx = dx._array
    if not hasattr(dx, "shape"):
        dx = devices.beside(devices.as_array(dx), parent._array)  # a number
    if dx.shape != parent.shape:
        if not op.broadcasts:
            raise RuntimeError(
                f"the backward of {op.name()} returned a gradient of shape {tuple(dx.shape)} "
                f"for input {i} of shape {tuple(parent.shape)}"
            )
        dx = sum_to(dx, parent.shape)
    return dx if dx.dtype == parent.dtype else dx.astype(parent.dtype)


def sum_to(x: Any, shape: tuple[int, ...]) -> Any:
    """Sum the axes along which an array of this shape was broadcast. The adjoint of broadcasting."""
    extra = len(x.shape) - len(shape)
    stretched = tuple(i + extra for i, n in enumerate(shape) if n == 1 and x.shape[i + extra] != 1)
    return x.sum(tuple(range(extra)) + stretched).reshape(shape)


def _accumulate(gradients: dict[int, Any], own: set[int], t: Tensor, dx: Any, is_new: bool) -> None:
    """Never in place: a rule may hand the same array to several inputs, and an array that is kept to others too."""
    key = id(t)
    if key in gradients:
        gradients[key] = gradients[key] + dx
        own.add(key)
        return
    gradients[key] = dx
    if is_new:
        own.add(key)


_FREED = (
    "backward() came to a graph that an earlier backward() has freed (at {op}); compute the result again, "
    "or pass retain_graph=True to the earlier backward()"
)
_CHANGED = (
    "{what} of {op} was changed in place after {op} was computed, and its backward needs the value from before; "
    "run backward() before changing data, or change a copy"
)
