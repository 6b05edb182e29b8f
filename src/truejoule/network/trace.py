"""One careful forward pass: every execution of every layer, with where its operands came from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from truejoule.network.execution import INPUT, Execution, History, Leaf, Trace, base_name, plain_path, strip
from truejoule.network.failing import guarded
from truejoule.network.functional import Functional, Written
from truejoule.network.inline import Follower
from truejoule.network.interpret import Names, Paths, named_tensors, weight_identity
from truejoule.network.operation import Operation
from truejoule.network.outside import FILLING, WHY, Outside
from truejoule.network.places import Places
from truejoule.network.provenance import Origins, Provenance, layers, no_tracking, parameters, quiet, union
from truejoule.network.recognise import (
    FINAL_ONLY,
    FROM_THE_LEFT,
    PRODUCTS,
    TRANSPARENT,
    TWO_ACTIVATIONS,
    first_tensor,
    function_name,
    reason,
    recognise,
    tensors,
)
from truejoule.network.state import State
from truejoule.workload.layer import Op
from truejoule.workload.workload import NotUnderstood


def trace(
    module: nn.Module,
    x: Tensor,
    leaves: dict[str, Leaf],
    forward: Callable[[Tensor], Any] | None = None,
    functional: Functional | None = None,
    places: Places | None = None,
) -> Trace:
    """Run ``module(x)`` once and record every layer; modules in ``leaves`` are not looked into.

    ``forward(x)`` is called instead where a function around the module drives it; ``functional`` says what it computes
    by itself; ``places`` which calls of one module are to be told apart.
    """
    functional = functional or Functional()
    runner = _Tracer(module, leaves, functional, places or Places())
    marked, call = x.clone(), forward or module  # neither the mark nor a change in place may reach the caller's tensor
    runner.origins.mark(marked, {INPUT: 0})
    with (
        quiet(),
        guarded(runner.paths, lambda: call(x.clone()), "it is watched"),
        runner.paths.follow(runner.enter, runner.leave),
        runner.origins,
        runner,
    ):
        output = call(marked)
    written = dict(zip(runner.written, functional.layers, strict=True))
    neurons = {name: layer.neuron for name, layer in written.items() if layer.neuron is not None}
    refused = (*runner.refused.values(), *functional.refused)
    return Trace(tuple(runner.executions), runner.names(), refused, output, neurons, runner.shared)


class _Tracer(TorchFunctionMode):
    def __init__(self, module: nn.Module, leaves: dict[str, Leaf], functional: Functional, places: Places) -> None:
        super().__init__()
        self._told = places
        self._functional = functional
        self._follower = Follower(functional.inline, self._take, self._give)
        self.written = ["" for _ in functional.layers]
        self.paths, self.leaves = Paths(module), leaves
        # An id names a tensor only while that lives; modules replace their buffers as they run.
        self._alive = [t for _, t in named_tensors(module)]
        self.qualified = {id(t): name for name, t in reversed(list(named_tensors(module)))}
        self.sizes = {name: t.numel() for name, t in named_tensors(module)}
        self.modules = dict(module.named_modules())
        self.origins = Provenance(self.qualified)
        self.executions: list[Execution] = []
        self.shared: dict[str, str] = {}
        self.refused: dict[tuple[str, str], NotUnderstood] = {}
        self._opaque = 0
        self._counts: Counter[str] = Counter()
        self._by_key: dict[tuple[Any, ...], str] = {}
        self._taken: set[str] = {plain_path(leaf) for leaf, kind in leaves.items() if kind.op is not None}
        self._calls: defaultdict[str, list[str | None]] = defaultdict(list)  # of modules that are one layer
        self._of_path: defaultdict[str, list[str]] = defaultdict(list)
        self._history = History()
        self._outside = Outside(self.origins)
        self._weights: dict[str, str] = {}
        self._prepared: set[str] = set()  # parameters that cannot be told by identity alone
        self._sequence: defaultdict[tuple[str, str], list[str | None]] = defaultdict(list)
        # Of the data, of states passed in, and what it keeps.
        self._arguments: list[tuple[Origins, Origins | None, State | None]] = []

    def names(self) -> Names:
        leaves = {path: tuple(self._calls[path]) for path in self.leaves}
        weights = {known: name for known, name in self._weights.items() if known not in self._prepared}
        sequence = {key: tuple(names) for key, names in self._sequence.items()}
        return Names(weights, sequence, leaves, self._functional.inline, tuple(self.written))

    # modules that are one layer

    def enter(self, path: str, module: nn.Module, args: Any) -> None:
        if path in self.leaves:
            self._opaque += 1
            with no_tracking():
                data, *state = tensors(args) or [None]
                given = layers(self.origins.of_all(state)) if len(args) > 1 else None
                kept = State.of(module) if given is None and self.leaves[path].op == "neuron" else None
                self._arguments.append((self.origins.of(data) if data is not None else {}, given, kept))

    def leave(self, path: str, module: nn.Module, args: Any, output: Any) -> None:
        if path not in self.leaves:
            return
        self._opaque -= 1
        with no_tracking():
            leaf, (sources, state, kept) = self.leaves[path], self._arguments.pop()
            if kept is not None and not kept.differing(State.of(module)):
                state = {}  # it forgot everything between its calls
            if self._opaque:
                return
            data, result = first_tensor(args), first_tensor(output)
            of_weights = leaf.op != "neuron" and not layers(sources)
            if leaf.op is None or of_weights or data is None or result is None:
                self._calls[path].append(None)
                for tensor in tensors(output):
                    self.origins.mark(tensor, sources)
                return
            name = self._place(path, leaf.op, layers(sources), state)
            self._calls[path].append(name)
            owner = self._owner(name, path, state) if leaf.op == "neuron" else None
            note = f"shares its state with {owner}" if owner is not None else leaf.note
            if owner is not None:
                self.shared.setdefault(name, owner)
            self._record(name, leaf.op, path, (layers(sources),), data, result, None, note)
            for tensor in tensors(output):
                self.origins.mark(tensor, {name: self._counts[name] - 1})

    def _place(self, path: str, op: Op, sources: Origins, state: Origins | None) -> str:
        """Name of a call of a leaf module. One object may stand at several places; if it keeps a state of its own (``state`` is None), these must be told."""
        places = self._of_path[path]
        number = self._told.of_leaf(path, len(self._calls[path]))
        if op == "neuron" and places and number is None:
            known = [place for place in places if state is None or place in state]
            if known:
                return known[0]
        told = op == "neuron" and number is not None
        key = ("place", path, () if told else tuple(sorted(sources)), number)
        if key not in self._by_key and not places:
            self._by_key[key] = plain_path(path)
        name = self._unique(key, path)
        if name not in places:
            places.append(name)
        return name

    def _owner(self, name: str, path: str, state: Origins | None) -> str | None:
        """The first place of a neuron whose state this later place goes on with."""
        first = self._of_path[path][0]
        return first if name != first and (state is None or first in state) else None

    # functions

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        title = function_name(func)
        if self._opaque or title.startswith("lift_fresh"):  # the latter is a step of making a tensor, not a use of it
            return func(*args, **kwargs)
        return self._follower.call(self.paths.current, func, args, kwargs, self._call)

    def _take(self, tensor: Tensor) -> tuple[Tensor, Origins]:
        return tensor.detach().clone(), layers(self.origins.of(tensor))

    def _give(self, layer: int, inputs: list[tuple[Tensor, Origins]], output: Tensor, first: bool) -> None:
        """One time step of a layer that the forward pass computes by itself."""
        written, sources = self._functional.layers[layer], tuple(origins for _, origins in inputs)
        assert written.op is not None
        if not self.written[layer]:
            self.written[layer] = self._written_name(written, sources)
        name = self.written[layer]
        if first:
            data = inputs[0][0]
            self._record(name, written.op, written.path, sources, data, output.to(data.dtype), None, written.note)
        self.origins.mark(output, {name: self._counts[name] - 1})

    def _written_name(self, written: Written, sources: tuple[Origins, ...]) -> str:
        alone = written.path and sum(w.path == written.path for w in self._functional.layers) == 1
        latest = {e.name: k for k, e in enumerate(self.executions)}
        driver = max((s for origins in sources for s in origins), key=lambda s: latest.get(s, -1), default="")
        kind = "neuron" if written.op == "neuron" else "activation"
        base = written.path if alone else f"{driver}.{kind}" if driver else kind
        return self._unique(("written", len(self._by_key)), base)

    def _call(self, func: Any, title: str, args: Any, kwargs: Any) -> Any:
        with no_tracking():
            self._back_from_outside(self._outside.watch(title, args, kwargs))
            operation = recognise(title, args, kwargs)
            name, sources = self._identify(title, operation)
        if operation is None or name is None:
            if operation is not None and operation.op == "host":
                operation, title = None, "matmul"
            output = func(*args, **kwargs)
            with no_tracking():
                if title in FILLING:
                    self._back_from_outside(self._outside.back(output))
                if operation is None:
                    self._unrecognised(title, args, kwargs, output)
            return output
        before = (
            operation.inputs[0].detach().clone() if operation.op in ("relu", "add", "sign") else operation.inputs[0]
        )
        output = func(*args, **kwargs)
        with no_tracking():
            result = first_tensor(output)
            assert result is not None
            shaped = result.unsqueeze(-2) if title == "conv1d" else result
            self._record(name, operation.op, self.paths.current, sources, before, shaped, operation, operation.note)
            for tensor in tensors(output):
                self.origins.mark(tensor, {name: self._counts[name] - 1})
        return output

    def _identify(self, title: str, operation: Operation | None) -> tuple[str | None, tuple[Origins, ...]]:
        """Name and operand origins of a call; no name when it is not a layer of the data flow."""
        if operation is None:
            return None, ()
        operands = (operation.raw,) if operation.raw is not None else operation.inputs
        every = tuple(self.origins.of(t) for t in operands)
        sources = tuple(layers(o) for o in every)
        name = self._weighted(title, operation, every[0]) if operation.multiplies else self._plain(operation, sources)
        # Every call counts, so that a light run finds its place in the sequence.
        self._sequence[self.paths.current, operation.op].append(name)
        return name, sources

    def _weighted(self, title: str, operation: Operation, source: Origins) -> str | None:
        assert operation.weight is not None
        known = self.qualified.get(id(weight_identity(operation.weight)))
        made_of = self.origins.of(operation.weight)
        if known is None and layers(made_of):
            self._refuse(title, FROM_THE_LEFT if not layers(source) and parameters(source) else TWO_ACTIVATIONS)
            return None
        if not layers(source) and parameters(source):
            self._prepared.add(known or "")
            return None  # weights preparing weights
        name = self._weight_name(known, parameters(made_of), operation, self.paths.current)
        if known is not None:
            self._weights[known] = name
        return name

    def _plain(self, operation: Operation, sources: tuple[Origins, ...]) -> str | None:
        if operation.op == "host" or not any(sources):
            return None  # arithmetic on parameters, or a reader of its own kind
        if operation.op == "sign" and set(sources[0]) == {INPUT}:
            return None  # an encoder
        if operation.op == "add" and (not all(sources) or self._history.over_time(*sources)):
            return None  # adding a constant, or adding up over time
        path = self.paths.current
        number = self._told.of_call(path, operation.op, len(self._sequence[path, operation.op]))
        return self._plain_name(operation.op, path, sources, number)

    def _weight_name(self, known: str | None, made_of: list[str], operation: Operation, path: str) -> str:
        assert operation.weight is not None
        if known is None and made_of:
            size = operation.weight.numel()
            known = max(made_of, key=lambda name: (self.sizes.get(name) == size, self.sizes.get(name, 0)))
        if known is not None:
            return self._unique(("weight", known), strip(known) or operation.op)
        return self._unique(("call", path, operation.op, tuple(operation.weight.shape)), path or operation.op)

    def _plain_name(self, op: Op, path: str, sources: tuple[Origins, ...], number: Hashable) -> str:
        base = base_name(self.modules[path], path, op, op == "norm")
        return self._unique((path, op, tuple(tuple(sorted(s)) for s in sources), number), base)

    def _unique(self, key: tuple[Any, ...], base: str) -> str:
        if key not in self._by_key:
            name, k = (base := plain_path(base)), 2
            while name in self._taken or name == INPUT:
                name, k = f"{base}#{k}", k + 1
            self._taken.add(name)
            self._by_key[key] = name
        return self._by_key[key]

    # what has no hardware meaning

    def _unrecognised(self, title: str, args: Any, kwargs: Any, output: Any) -> None:
        operands = tensors((args, kwargs))
        sources = [layers(self.origins.of(t)) for t in operands]
        together = union(sources)
        result = first_tensor(output)
        if not together or result is None:
            return
        if set(together) == {INPUT} and (title in PRODUCTS or title in ("abs", "__abs__")):
            return  # an encoder
        if title in PRODUCTS:
            data = [(t, s) for t, s in zip(operands, sources, strict=True) if s]
            if len(data) > 1 and (data[0][0].shape == data[1][0].shape or set(data[0][1]) != set(data[1][1])):
                self._host(title, operands, result, TWO_ACTIVATIONS)
            return
        if title in TRANSPARENT or not result.is_floating_point():
            return
        self._host(title, operands, result, reason(title))

    def _back_from_outside(self, changed: Tensor | None) -> None:
        if changed is not None:  # noticed where it is used, which says nothing about where it was made
            name, sources = self._unique(("outside",), "outside torch"), layers(self.origins.of(changed))
            self._record(name, "host", "", (sources,), changed, changed, None, "outside torch")
            self.origins.mark(changed, {name: self._counts[name] - 1})
            self.refused.setdefault((name, name), NotUnderstood(name, name, WHY))
            self._outside.known_as(self.origins.of(changed))

    def _host(self, title: str, operands: list[Tensor], result: Tensor, why: str) -> None:
        sources = tuple(layers(self.origins.of(t)) for t in operands)
        sources = tuple(s for s in sources if s)
        path = self.paths.current
        base = base_name(self.modules[path], path, title, True)
        name = self._unique((path, title, tuple(tuple(sorted(s)) for s in sources)), base)
        data = next(t for t in operands if layers(self.origins.of(t)))
        self._record(name, "host", path, sources, data, result, None, title)
        self.origins.mark(result, {name: self._counts[name] - 1})
        if title not in FINAL_ONLY:
            self.refused.setdefault((name, title), NotUnderstood(name, title, why))

    def _refuse(self, title: str, why: str) -> None:
        path = self.paths.current
        self.refused.setdefault((path, title), NotUnderstood(path or "forward", title, why))

    def _record(
        self,
        name: str,
        op: Op,
        path: str,
        sources: tuple[Origins, ...],
        data: Tensor,
        result: Tensor,
        operation: Operation | None,
        note: str,
    ) -> None:
        index = self._counts[name]
        self._counts[name] += 1
        execution = Execution(name, op, path, index, sources, tuple(data.shape), tuple(result.shape), operation, note)
        self.executions.append(execution)
        self._history.add(execution)
