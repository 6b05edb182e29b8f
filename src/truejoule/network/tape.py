"""The elementwise programs inside one forward pass: every tensor operation on data, written down in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from truejoule.network.execution import Leaf
from truejoule.network.failing import guarded
from truejoule.network.inline import Place
from truejoule.network.interpret import Paths
from truejoule.network.operands import Ref, choice_of, program_of, refs, uniform
from truejoule.network.provenance import no_tracking, quiet
from truejoule.network.recognise import function_name, tensors

_ATTRIBUTE = "_truejoule_node"
_POINTWISE = frozenset(
    """
    where masked_fill copy _to_copy floor_divide xlogy prelu _prelu_kernel __and__ __or__ __xor__ fill zero
    """.split()
)
"""Elementwise operations that torch does not tag as such."""

_SAME = frozenset(
    """
    view _unsafe_view reshape _reshape_alias unsqueeze squeeze alias detach lift_fresh clone contiguous expand
    """.split()
)
"""Results that hold the same elements in the same order."""

_VALUELESS = ("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "new_")
_LAYERS = ("conv", "mm", "linear", "norm", "pool", "attention", "lstm", "gru", "rnn", "embedding")

Kind = Literal["input", "point", "layer", "mixed"]


@dataclass(slots=True, eq=False)
class Node:
    """One result that depends on the network's input.

    Attributes
    ----------
    kind : ``"point"``: elementwise, element i of the result from element i of every operand; ``"layer"``: a layer with
        weights, a norm, a pool or a module taken as a whole; ``"mixed"``: any other operation; ``"input"``.
    deep : whether a layer contributed, so that it is more than an encoding of the input.
    site : which layer the values come from, the same in every time step.
    call : index of the torch call that made it.
    size : number of elements.
    """

    index: int
    kind: Kind
    name: str
    parents: tuple[int, ...]
    call: int
    deep: bool
    site: Any
    dtype: torch.dtype
    func: Any = None
    args: Any = ()
    kwargs: Any = field(default_factory=dict)
    size: int = 0


@dataclass(slots=True, eq=False)
class TapeCall:
    """One torch call: where it was, and the nodes of its tensors before and after."""

    place: Place
    before: tuple[int | None, ...]
    after: tuple[int | None, ...] = ()
    results: tuple[int | None, ...] = ()


@dataclass(slots=True, eq=False)
class Tape:
    """Nodes and calls of one forward pass, and the nodes that its output consists of."""

    nodes: list[Node] = field(default_factory=list)
    calls: list[TapeCall] = field(default_factory=list)
    outputs: tuple[int, ...] = ()


def record(
    module: nn.Module,
    x: Tensor,
    leaves: Mapping[str, Leaf],
    forward: Callable[[Tensor], Any] | None = None,
) -> Tape:
    """Run ``module(x)`` once and write down what it does to its data, outside of ``leaves``."""
    writer = _Writer()
    caller = _Caller(module, leaves, writer)
    marked, call = x.clone(), forward or module  # neither the mark nor a change in place may reach the caller's tensor
    writer.hold(marked, writer.add("input", "input", (), torch.float32, deep=False))
    with (
        quiet(),
        guarded(caller.paths, lambda: call(x.clone()), "it is watched"),
        caller.paths.follow(caller.enter, caller.leave),
        writer,
        caller,
    ):
        output = call(marked)
    with no_tracking():
        found = [writer.node_of(t) for t in tensors(output)]
    return Tape(writer.nodes, caller.calls, tuple(n for n in found if n is not None))


class _Caller(TorchFunctionMode):
    """Counts the torch calls of every module, as a later run will count them."""

    def __init__(self, module: nn.Module, leaves: Mapping[str, Leaf], writer: _Writer) -> None:
        super().__init__()
        self.paths, self.leaves, self.writer = Paths(module), leaves, writer
        self.calls: list[TapeCall] = []
        self._met: Counter[tuple[str, str]] = Counter()

    def enter(self, path: str, module: nn.Module, args: Any) -> None:
        if path in self.leaves:
            if not self.writer.muted:
                with no_tracking():
                    nodes = [self.writer.node_of(t) for t in tensors(args)]
                self.writer.entered = tuple(n for n in nodes if n is not None)
            self.writer.muted += 1

    def leave(self, path: str, module: nn.Module, args: Any, output: Any) -> None:
        if path not in self.leaves:
            return
        self.writer.muted -= 1
        parents = self.writer.entered
        if self.writer.muted or not parents:
            return
        with no_tracking():
            passes = self.leaves[path].op is None
            for tensor in tensors(output):
                site = self.writer.nodes[parents[0]].site if passes else ("module", path)
                deep = not passes or self.writer.nodes[parents[0]].deep
                node = self.writer.add("layer", path, parents, tensor.dtype, deep=deep, site=site)
                self.writer.hold(tensor, node)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.writer.muted:
            return func(*args, **kwargs)
        key = (self.paths.current, function_name(func))
        place = Place(*key, self._met[key])
        self._met[key] += 1
        with no_tracking():
            operands = tensors((args, kwargs))
            before = tuple(self.writer.node_of(t) for t in operands)
        self.writer.call, self.writer.path = len(self.calls), key[0]
        call = TapeCall(place, before)
        self.calls.append(call)
        output = func(*args, **kwargs)
        with no_tracking():
            call.after = tuple(self.writer.node_of(t) for t in operands)
            call.results = tuple(self.writer.node_of(t) for t in tensors(output))
        return output


class _Writer(TorchDispatchMode):
    """Gives every tensor that depends on the input its node."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.muted, self.call, self.path = 0, -1, ""
        self.entered: tuple[int, ...] = ()
        self._clock = 0
        self._written: dict[int, tuple[int, list[tuple[int, int, int | None]], Tensor]] = {}

    def add(
        self,
        kind: Kind,
        name: str,
        parents: tuple[int, ...],
        dtype: torch.dtype,
        *,
        deep: bool | None = None,
        site: Any = None,
        program: tuple[Any, Any, Any] = (None, (), {}),
    ) -> int:
        index = len(self.nodes)
        if deep is None:
            deep = any(self.nodes[p].deep for p in parents)
        if site is None:
            site = self.nodes[parents[0]].site if parents else name
        self.nodes.append(Node(index, kind, name, parents, self.call, deep, site, dtype, *program))
        return index

    def hold(self, tensor: Tensor, node: int | None) -> None:
        self._clock += 1
        if node is not None and not self.nodes[node].size:
            self.nodes[node].size = tensor.numel()
        setattr(tensor, _ATTRIBUTE, (id(self), node, self._clock))

    def node_of(self, tensor: Tensor) -> int | None:
        """Node of a tensor; a storage that was written through another view counts as a mixture of all that is in it."""
        owner, node, time = getattr(tensor, _ATTRIBUTE, (id(self), None, 0))
        if owner != id(self):
            node, time = None, 0
        written = self._written.get(_storage(tensor)) if self._written else None
        if written is None or written[0] <= time:
            return node
        size, writes = tensor.numel(), [(n, w) for when, n, w in written[1] if when > time]
        if writes[-1][0] == size == tensor.untyped_storage().nbytes() // tensor.element_size():
            node = writes[-1][1]
        else:
            parts = tuple(dict.fromkeys(n for n in (node, *(w for _, w in writes)) if n is not None))
            node = self.add("mixed", "written in parts", parts, tensor.dtype) if parts else None
        self.hold(tensor, node)
        return node

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.muted:
            return func(*args, **kwargs)
        with no_tracking():
            operands = tensors((args, kwargs))
            before = [self.node_of(t) for t in operands]
            name = func.overloadpacket.__name__
            point = _is_pointwise(func, name) and any(n is not None for n in before)
            program = program_of(args, kwargs, before) if point else ((), {})
            if name in ("index_put", "index_put_") and (choice := choice_of(args, before, operands)) is not None:
                func_of, program = torch.ops.aten.where.self, (choice, {})
            else:
                func_of = func
        result = func(*args, **kwargs)
        with no_tracking():
            self._note(func_of, name, operands, before, program, result, args)
        return result

    def _note(
        self,
        func: Any,
        name: str,
        operands: list[Tensor],
        before: list[int | None],
        program: tuple[Any, Any],
        result: Any,
        args: Any,
    ) -> None:
        parents = tuple(dict.fromkeys(n for n in before if n is not None))
        base = name.rstrip("_") if not name.startswith("_") else name
        writes = name.endswith("_") and not name.startswith("_")
        if name.startswith(_VALUELESS):
            parents = ()
        layer = any(word in name for word in _LAYERS)
        weighted = layer and not any(word in name for word in ("norm", "pool"))
        if not parents and weighted and operands and uniform(operands[1 if name == "addmm" else 0]) is not None:
            pass  # weights on a state that is still empty: later executions see data
        elif not parents:
            if writes:
                self._write(args[0], None)
            return
        for tensor in tensors(result) if not writes else [args[0]]:
            size = tensor.numel()
            if base in _SAME and len(parents) == 1 and size == operands[0].numel():
                node: int | None = parents[0]
            elif layer:
                site = None
                if weighted:
                    site = (self.path, name, tuple(tuple(t.shape) for t in operands if t.dim() > 1)[1:])
                node = self.add(
                    "layer", name, parents, tensor.dtype, deep=True, site=site or (None if parents else name)
                )
            elif base in ("fill", "zero") or (base == "copy" and before[1] is None):
                whole = size == tensor.untyped_storage().nbytes() // tensor.element_size()
                node = None if whole or before[0] is None else self.add("mixed", base, parents, tensor.dtype)
            elif base == "copy" and size == operands[1].numel():
                node = before[1]
                if tensor.dtype != operands[1].dtype:
                    cast = (torch.ops.aten._to_copy.default, (Ref(int(before[1] or 0)),), {"dtype": tensor.dtype})
                    node = self.add("point", "_to_copy", (int(before[1] or 0),), tensor.dtype, program=cast)
            elif program[0] and all(t.numel() == size for t, n in zip(operands, before, strict=True) if n is not None):
                kept = tuple(dict.fromkeys(r.node for r in refs(program)))
                node = self.add("point", base, kept, tensor.dtype, program=(func, *program))
            else:
                node = self.add("mixed", base, parents, tensor.dtype)
            if writes:
                self._write(tensor, node)
            else:
                self.hold(tensor, node)

    def _write(self, tensor: Tensor, node: int | None) -> None:
        key = _storage(tensor)
        self.hold(tensor, node)
        _, writes, _ = self._written.get(key, (0, [], tensor))
        if tensor.numel() == tensor.untyped_storage().nbytes() // tensor.element_size():
            writes = []
        elif node is None and not writes:
            return  # a constant written into a constant, or into a part of data: still what it was
        self._written[key] = (self._clock, [*writes, (self._clock, tensor.numel(), node)], tensor)


def _storage(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # sparse and other tensors without storage
        return id(tensor)


def _is_pointwise(func: Any, name: str) -> bool:
    return torch.Tag.pointwise in func.tags or name.rstrip("_") in _POINTWISE or name in _POINTWISE
