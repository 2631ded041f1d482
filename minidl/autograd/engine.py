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

from minidl import devices, kernels
from minidl.autograd import anomaly
from minidl.autograd.modes import enable_grad, modes
from minidl.kernels.axes import sum_of

if TYPE_CHECKING:
    from minidl.tensors import Op, Tensor


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
    searched beyond the tensors of `boundary`, as the inputs of a fused op are to its composition.
    """
    if create_graph and not modes.get().recording:
        with enable_grad():
            return backpropagate(roots, seeds, targets, retain_graph=True, create_graph=True, boundary=boundary)
    graph = Graph(roots, {id(t) for t in boundary})
    wanted = {id(t) for t in targets} if targets is not None else graph.asked | graph.leaves.keys()
    graph.narrow(wanted, all_leaves=targets is None or graph.leaves.keys() <= wanted)
    graph.check_unchanged(create_graph)
    between = wanted - graph.leaves.keys()
    gradients, kept = Gradients(create_graph), {}
    for root, seed in zip(roots, seeds, strict=True):
        gradients.add(id(root), seed, False)
    while graph.nodes:
        node = graph.nodes.pop()  # the last one made; its tensors are let go as soon as it is done
        dys, arrived = [], False
        for t in node.outputs:
            dy = gradients.sums.pop(id(t), None)
            dys.append(dy)
            if dy is not None:
                arrived = True
                if t is not None and id(t) in between:
                    kept[id(t)] = t, dy if create_graph else dy.copy("A")  # the op's rule is yet to pass it on
        if arrived and True in node.needs:
            gradients.pass_through(_twin(node.op) if retain_graph else node.op, node, dys)
            if not retain_graph:
                node.op.free()
    for key, t in graph.leaves.items():
        if key in wanted and key in gradients.sums:
            dx = gradients.sums[key]
            if key not in gradients.own:
                dx = dx * 1 if create_graph else dx.copy("A")
            kept[key] = t, dx
    return kept


class Gradients:
    """What has arrived so far at each tensor, by its id."""

    def __init__(self, create_graph: bool) -> None:
        self.create_graph = create_graph
        self.watching = modes.get().watching
        self.sums: dict[int, Any] = {}
        self.own: set[int] = set()  # of the tensors whose gradient nobody else can hold

    def add(self, key: int, dx: Any, is_new: bool) -> None:
        """Never in place: a rule may hand the same array to several inputs, and one that is kept to others too."""
        sums = self.sums
        if key in sums:
            sums[key] = kernels.add(sums[key], dx)
            self.own.add(key)
        else:
            sums[key] = dx
            if is_new:
                self.own.add(key)

    def pass_through(self, op: Op, node: Node, dys: list[Any]) -> None:
        """Turn the gradients of an op's outputs into those of its inputs, by its rule."""
        parents, output, needs = op.parents, node.outputs[0], node.needs
        op.needs = needs
        if self.create_graph:
            op.inputs, op.output = parents, output
        else:
            op.output = None if output is None else output._array
        for i, dx in enumerate(self._by_rule(op, dys)):
            if dx is None or not needs[i]:
                continue
            p = parents[i]
            array, kind = p._array, type(dx)
            known = kind is type(array) or kind is array.dtype.type  # NumPy's number, of arrays without axes
            if not known or dx.shape != array.shape or dx.dtype is not array.dtype:
                dx = _fitted(op, i, p, dx, self.create_graph)
            if self.watching:
                anomaly.check_backward(op, i, dx)
            self.add(id(p), dx, op.makes_gradients)

    def _by_rule(self, op: Op, dys: list[Any]) -> Sequence[Any]:
        try:
            fused = self.create_graph and op.composition is not None
            found = _through_composition(op, dys) if fused else op.backward(*dys)
        except Exception as error:
            devices.explain(error, dys)
            error.add_note(f"in the backward of {op.name()}")
            raise
        if not isinstance(found, (tuple, list)):
            found = (found,)
        if len(found) != len(op.parents):
            raise RuntimeError(
                f"the backward of {op.name()} returned {len(found)} gradients for {len(op.parents)} inputs; "
                f"return one for each, None where there is none"
            )
        return found


class Node:
    """An op as one backward pass sees it."""

    __slots__ = ("needs", "op", "order", "outputs")

    op: Op
    order: int
    outputs: list[Tensor | None]
    needs: tuple[bool, ...]  # for which of the inputs a gradient leads to something wanted


class Graph:
    """What a backward pass from the roots will visit."""

    def __init__(self, roots: Iterable[Tensor], boundary: set[int]) -> None:
        self.leaves: dict[int, Tensor] = {}
        self.asked: set[int] = set()  # of the tensors that are no leaves and retain their gradient
        self.exposed: list[Node] = []  # whose inputs or outputs may have been changed
        self.detours: list[Node] = []
        found: dict[Op, Node] = {}
        stack = list(roots)
        while stack:
            t = stack.pop()
            op = t._op
            if op is None or id(t) in boundary:
                self.leaves[id(t)] = t
                continue
            node = found.get(op)
            if node is None:
                node = found[op] = self._visited(op, stack)
            node.outputs[t._slot] = t
            if t._retains:
                self.asked.add(id(t))
        self.nodes: list[Node] = sorted(found.values(), key=attrgetter("order"))

    def _visited(self, op: Op, stack: list[Tensor]) -> Node:
        """The node of an op, with those of its inputs on the stack that lead on."""
        if op.parents is None:
            raise RuntimeError(_FREED.format(op=op.name()))
        needs, exposed = [], op.reads_output
        for p in op.parents:
            need = getattr(p, "_needs", False)
            needs.append(need)
            if getattr(p, "_memory", None) is not None:
                exposed = True
            if need:
                if p._op is None:
                    self.leaves[id(p)] = p
                else:
                    stack.append(p)
        node = Node()
        node.op, node.order, node.outputs, node.needs = op, op.order, [None] * op.n_outputs, tuple(needs)
        if exposed:
            self.exposed.append(node)
        if op.detour:
            self.detours.append(node)
        return node

    def narrow(self, wanted: set[int], all_leaves: bool) -> None:
        """Narrow the needs of each op to what leads to something wanted. To some leaf they all lead."""
        if not all_leaves:
            useful = set(wanted)
            for node in self.nodes:
                node.needs = tuple([n and id(p) in useful for n, p in zip(node.needs, node.op.parents, strict=True)])
                if node.op.detour:
                    _take_detour(node, wanted)
                if True in node.needs:
                    useful.update([id(t) for t in node.outputs if t is not None])
        else:
            for node in self.detours:
                _take_detour(node, wanted)

    def check_unchanged(self, create_graph: bool) -> None:
        """Before any rule runs, so that an error leaves the graph whole."""
        for node in self.exposed:
            _check_inputs(node, create_graph)
            if node.op.reads_output:
                for t in node.outputs:
                    if t is not None and t._version() != 0:
                        raise RuntimeError(_CHANGED.format(what=f"the output {tuple(t.shape)}", op=node.op.name()))


def _take_detour(node: Node, wanted: set[int]) -> None:
    asked = id(node.op.parents[0]) in wanted
    node.needs = node.needs[0] and asked, node.needs[1] and not asked


def _check_inputs(node: Node, create_graph: bool) -> None:
    op = node.op
    recomputed = create_graph and op.composition is not None
    for i, parent in enumerate(op.parents):
        memory = getattr(parent, "_memory", None)
        if memory is None or memory.version() == (op.versions[i] if op.versions else 0):
            continue
        if recomputed or op.reads(i, node.needs):
            raise RuntimeError(_CHANGED.format(what=f"input {i} {tuple(parent.shape)}", op=op.name()))


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
    axes = tuple(range(extra)) + stretched
    return (x.sum(axes) if hasattr(x, "_array") else sum_of(x, axes, keepdims=False)).reshape(shape)


_FREED = (
    "backward() came to a graph that an earlier backward() has freed (at {op}); compute the result again, "
    "or pass retain_graph=True to the earlier backward()"
)
_CHANGED = (
    "{what} of {op} was changed in place after {op} was computed, and its backward needs the value from before; "
    "run backward() before changing data, or change a copy"
)
