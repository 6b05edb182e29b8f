"""Neurons and activations that a forward pass computes by itself, without a module: found, tried and recorded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from truejoule.network.comparisons import Comparisons, Group, closure, find, is_comparison, is_rounding
from truejoule.network.execution import Leaf
from truejoule.network.inline import Inline, Place, Role
from truejoule.network.probe import UnknownNeuron, measured
from truejoule.network.recognise import THRESHOLD
from truejoule.network.replay import NotReplayable, Replay
from truejoule.network.tape import Constant, Tape, record
from truejoule.workload import Neuron, NotUnderstood
from truejoule.workload.layer import Op

_SCALINGS = ("mul", "div", "neg", "_to_copy")
_LOST = frozenset(
    """
    index masked_select nonzero where masked_fill index_put masked_scatter argmax argmin argsort sort topk
    bucketize searchsorted unique unique_dim _unique2
    """.split()
)
"""Operations behind which nobody can say what a comparison did."""
_ANSWERS = ("argmax", "argmin", "argsort", "sort", "topk")
"""Harmless where the network ends: the class that won."""


class _Refused(Exception):  # noqa: N818 - internal signal
    """A comparison that becomes data in a way that no record can say."""


@dataclass(frozen=True, slots=True)
class Written:
    """One layer that was written into a forward pass."""

    op: Op | None
    neuron: Neuron | None
    note: str
    path: str


@dataclass(slots=True)
class Functional:
    """What was found: the layers, where their operations are, and what could not be understood."""

    layers: list[Written] = field(default_factory=list)
    inline: Inline = field(default_factory=Inline)
    refused: list[NotUnderstood] = field(default_factory=list)


def find_functional(
    module: nn.Module, x: Tensor, leaves: Mapping[str, Leaf], forward: Callable[[Tensor], Any] | None = None
) -> Functional:
    """Run once, follow every comparison of data until it becomes data, and say what it is."""
    tape = record(module, x, leaves, forward)
    found = Functional()
    flow = _Flow(tape)
    for is_root in (is_comparison, is_rounding):
        comparisons = find(tape, is_root)
        for group in comparisons.groups:
            if is_root is is_rounding and (len(group.ends) < 2 or flow.taken & {*group.roots, *group.analog}):
                continue  # a quantiser, seen in the values
            _settle(flow, comparisons, group, found)
        if is_root is is_comparison:
            found.refused += _lost(flow, comparisons)
    return found


class _Flow:
    """Which values of a tape arrive where."""

    def __init__(self, tape: Tape) -> None:
        self.tape, self.nodes = tape, tape.nodes
        self.consumers: defaultdict[int, list[int]] = defaultdict(list)
        for node in self.nodes:
            for parent in node.parents:
                self.consumers[parent].append(node.index)
        self.live, self.feeds = set(tape.outputs), set[int]()
        for node in reversed(self.nodes):
            if node.index in self.live:
                self.live.update(node.parents)
                if node.index in self.feeds or node.kind == "layer":
                    self.feeds.update(node.parents)
        self.taken: set[int] = set()

    def place(self, index: int) -> Place:
        return self.tape.calls[self.nodes[index].call].place

    def leaving(self, index: int, inside: set[int]) -> bool:
        """Whether a value is used outside of a set of operations, on its way to the output."""
        return index in self.tape.outputs or any(c in self.live and c not in inside for c in self.consumers[index])

    def feeding(self, index: int, inside: set[int]) -> bool:
        """As ``leaving``, on its way to a layer."""
        return any(
            c not in inside and c in self.live and (c in self.feeds or self.nodes[c].kind == "layer")
            for c in self.consumers[index]
        )


def _lost(flow: _Flow, comparisons: Comparisons) -> list[NotUnderstood]:
    """Decisions that are no comparison of element with element, and comparisons that pass through a choice."""
    refused = []
    for node in flow.nodes:
        if node.kind != "mixed" or not node.deep or node.index not in flow.live:
            continue
        answers = any(p in comparisons.binary for p in node.parents)
        decides = not node.dtype.is_floating_point and not answers
        ends = node.name in _ANSWERS and node.index not in flow.feeds
        if (decides or (answers and node.name in _LOST)) and not ends:
            path = flow.place(node.index).path
            refused.append(NotUnderstood(path or "forward", "threshold", f"{THRESHOLD} ({node.name})"))
    return refused


def _settle(flow: _Flow, comparisons: Comparisons, group: Group, found: Functional) -> None:
    if not any(root in flow.live for root in group.roots):
        return  # bookkeeping
    try:
        written, region, roles = _understood(flow, comparisons, group, len(found.layers))
    except _Refused as refusal:
        if not _is_plain_sign(flow, group):
            path = flow.place(group.roots[0]).path or "forward"
            found.refused.append(NotUnderstood(path, "threshold", f"{THRESHOLD}: {refusal}"))
        return
    if written.op == "sign" and _is_plain_sign(flow, group) and len(region.inside) == len(group.roots):
        return
    flow.taken |= region.inside
    found.layers.append(written)
    found.inline.add(roles, _internal(flow, region.inside))


def _understood(
    flow: _Flow, comparisons: Comparisons, group: Group, number: int
) -> tuple[Written, _Region, dict[Place, list[Role]]]:
    """An input that is the same tensor in every step may be read first for the state and last for the step, or not."""
    problem = _Refused("")
    for state_first in (False, True):
        try:
            region = _Region(flow, comparisons, group, state_first)
            drives, results = region.drives(), region.results()
            op, neuron, note = _what(region.replay(drives, results), region)
            written = Written(op, neuron, note, _common([flow.place(n).path for n in region.inside]))
            return written, region, _roles(flow, number, drives, results, region.inside) if op else {}
        except _Refused as error:
            problem = problem if state_first else error
            if not group.still(flow.nodes):
                break
    raise problem


def _is_plain_sign(flow: _Flow, group: Group) -> bool:
    """``torch.sign`` alone is a layer of its own name."""
    return all(flow.place(r).title in ("sign", "sign_", "sgn") for r in group.roots)


class _Region:
    """The operations of one group, from where its input enters to where its answers leave."""

    def __init__(self, flow: _Flow, comparisons: Comparisons, group: Group, state_first: bool) -> None:
        self.flow, self.nodes, self.group, self.binary = flow, flow.nodes, group, comparisons.binary
        self.still, self.state_first = group.still(flow.nodes), state_first
        if group.lost:
            raise _Refused("its state passes through an operation that is not elementwise")
        roots = set(group.roots)
        self.steps = len(group.ends)
        self._operations = {*group.analog, *group.roots}
        self.own: dict[int, int] = {}  # answers of one time step
        self.answers: set[int] = set()  # and those of several
        for index, made_of in comparisons.binary.items():
            if made_of <= roots:
                self.answers.add(index)
                steps = {group.step_of_root(r) for r in made_of}
                if len(steps) == 1:
                    self.own[index] = steps.pop()
        needed = set(closure(self.nodes, roots, set())[0])
        self.counts = {i for i in self.answers if i not in self.own and i in needed}  # spikes remembered as such
        self.fresh = self._fresh()
        self.memory = {n for n in group.analog if n not in self.fresh}
        self.tail = self._tail()
        self.inside = {*group.analog, *self.own, *self.counts, *self.tail}

    def _fresh(self) -> dict[int, int]:
        """Values that depend on the input of one time step only → that step."""
        fresh: dict[int, int] = {}
        for index in sorted(self.group.analog):
            steps = set()
            for parent in self.nodes[index].parents:
                if parent in self.group.analog:
                    steps.add(fresh.get(parent, -1))
                elif parent in self.answers:
                    steps.add(-1)
                else:
                    steps.add(self._step(parent, index))
            if len(steps) == 1 and -1 not in steps:
                fresh[index] = steps.pop()
        return fresh

    def _step(self, leaf: int, reader: int) -> int:
        """Time step for which an operation reads a value of a layer."""
        if leaf not in self.still:
            return self.group.step(min(c for c in self.flow.consumers[leaf] if c in self._operations))
        step = self.group.step(reader)
        return step - 1 if self.state_first and step and reader < self.group.ends[step] else step

    def _tail(self) -> set[int]:
        """What is made of the membrane or of answers together with the membrane: a last reset, a gate by hand."""
        tail, beside = set[int](), set[int]()  # beside: functions of what is compared, for nothing but this
        comparands = {p for r in self.group.roots for p in self.nodes[r].parents if p not in self.answers}
        known = self.memory if self.steps > 1 else set()
        here = {*self.memory, *self.group.analog, *comparands}
        sites = {self.nodes[p].site for n in self.group.analog for p in self.nodes[n].parents} | {self.group.site}
        for node in self.nodes[self.group.roots[0] :]:
            index, parents = node.index, node.parents
            if node.kind != "point" or index in self.group.analog or index in self.answers:
                continue
            if all(p in here or p in beside for p in parents):
                beside.add(index)
            starts = any(p in known or p in tail for p in parents) or (
                any(p in self.own for p in parents) and any(p in here or p in beside for p in parents)
            )
            rest = [p for p in parents if not (p in here or p in beside or p in tail or p in self.answers)]
            if starts and all(p not in self.binary and self.nodes[p].site in sites for p in rest):
                tail.add(index)
        return tail

    # where the input enters

    def drives(self) -> list[list[int]]:
        """Per time step, the values that enter; one, or several whose sum enters."""
        if self.steps == 1:
            return [[self._single()]]
        entries = [self._entries(step) for step in range(1, self.steps)]
        shapes = {tuple(self._signature(e) for e in step) for step in entries}
        if len(shapes) > 1:
            raise _Refused("what enters it changes from one time step to the next")
        wanted = shapes.pop()
        first = [self._first(signature, entries[0][k]) for k, signature in enumerate(wanted)]
        if not any(f is not None for f in first):
            raise _Refused("what enters it in the first time step is not what enters it later")
        return [[f for f in first if f is not None], *entries]

    def _single(self) -> int:
        targets = [*self.own, *(t for t in self.tail if t in self.flow.live)]
        candidates = {p for n in (*self.group.roots, *self.group.analog) for p in self.nodes[n].parents}
        for candidate in sorted(candidates - set(self.own), reverse=True):
            if not closure(self.nodes, targets, {candidate})[1]:
                return candidate
        raise _Refused("it compares values of different layers")

    def _entries(self, step: int) -> list[int]:
        entering: set[int] = set()
        for index in (*self.memory, *self.group.roots):
            for parent in self.nodes[index].parents:
                inner = parent in self.group.analog
                if (inner and self.fresh.get(parent) == step) or (
                    not inner and parent not in self.answers and self._step(parent, index) == step
                ):
                    entering.add(parent)
        if not entering:
            raise _Refused("nothing enters it in some time step")
        if len(entering) > 1:
            leaves = {leaf for e in entering for leaf in self._leaves(e)}
            entering = leaves if len(leaves) == 1 else entering
        return sorted(self._unscaled(e) for e in entering)

    def _leaves(self, index: int) -> set[int]:
        if index not in self.fresh:
            return {index}
        return {leaf for p in self.nodes[index].parents for leaf in self._leaves(p)}

    def _unscaled(self, index: int) -> int:
        """A gain on the input belongs to the neuron: go back over it."""
        while index in self.fresh and self.nodes[index].name in _SCALINGS and len(self.nodes[index].parents) == 1:
            if any(isinstance(a, Constant) and a.value is None for a in self.nodes[index].args):
                break
            index = self.nodes[index].parents[0]
        return index

    def _signature(self, index: int) -> Any:
        node = self.nodes[index]
        if index in self.fresh:
            return (node.name, *(self._signature(p) for p in node.parents))
        return (node.kind, node.site, node.name if node.kind != "layer" else "")

    def _first(self, signature: Any, later: int) -> int | None:
        candidates = {p for n in (*self.group.analog, *self.group.roots) for p in self.nodes[n].parents}
        here = [c for c in sorted(candidates) if self._in_first_step(c) and self._signature(c) == signature]
        if later in candidates and later in here:
            return later
        return here[0] if len(here) == 1 else None

    def _in_first_step(self, index: int) -> bool:
        if index in self.group.analog:
            return self.fresh.get(index) == 0
        return any(self._step(index, c) == 0 for c in self.flow.consumers[index] if c in self._operations)

    # where its answers leave

    def results(self) -> list[int]:
        """Per time step, the value that becomes data."""
        made = [[i for i in self.tail if self.flow.feeding(i, self.inside)]]
        if self.steps > 1:
            made = [[i for i in made[0] if self._latest(i) == step] for step in range(self.steps)]
            escaped = [i for i in self.memory if self.flow.feeding(i, self.inside)]
            if escaped:
                raise _Refused("its membrane potential is used as data")
        results = []
        for step in range(self.steps):
            leaving = [i for i, at in self.own.items() if at == step and self.flow.leaving(i, self._around(step))]
            if made[min(step, len(made) - 1)]:
                leaving = [i for i in leaving if self._needed(i)] + made[step]
            elif not leaving and self.steps == 1:
                leaving = [i for i in self.tail if self.flow.leaving(i, self.inside)]
            results.append(leaving or [min(r for r in self.group.roots if self.group.step_of_root(r) == step)])
        self.several = results
        return [r[0] for r in results]

    def _needed(self, index: int) -> bool:
        return self.flow.feeding(index, self.inside)

    def _latest(self, index: int) -> int:
        behind = closure(self.nodes, [index], set())[0]
        return max((self.group.step_of_root(r) for r in self.group.roots if r in behind), default=0)

    def _around(self, step: int) -> set[int]:
        """What may use an answer without making it data."""
        same = {i for i, at in self.own.items() if at == step}
        return {*same, *self.counts, *self.group.analog, *self.tail, *self.group.roots}

    def replay(self, drives: list[list[int]], results: list[int]) -> Replay:
        """The program from ``drives`` to ``results``."""
        every = {d for step in drives for d in step}
        program, others = closure(self.nodes, [i for step in self.several for i in step], every)
        if others:
            raise _Refused("more than its own input and state enter it")
        reading = [(d, n) for n in program for d in self.nodes[n].parents if d in self.still and d in every]
        uses = {(d, n): self._step(d, n) for d, n in reading}
        replay = Replay([self.nodes[i] for i in program], drives, results, uses)
        if max(map(len, self.several)) > 1:
            _require_equal(replay, self.several)
        upstream = closure(self.nodes, every, set())[0]
        self.inside = {*program, *self.own, *self.counts, *self.tail, *self.memory} - set(upstream)
        return replay


def _require_equal(replay: Replay, results: list[list[int]]) -> None:
    x = torch.randn(len(results), 64, generator=torch.Generator().manual_seed(1)) * 3
    try:
        base = replay.run(x)
        for pick in range(1, max(len(r) for r in results)):
            other = Replay(
                replay.nodes, replay.drives, [r[min(pick, len(r) - 1)] for r in results], replay.uses
            )
            if not torch.equal(base, other.run(x)):
                raise _Refused("more than one value of it becomes data")
    except NotReplayable as error:
        raise _Refused(str(error)) from error


# what it is


def _what(replay: Replay, region: _Region) -> tuple[Op | None, Neuron | None, str]:
    try:
        if region.steps == 1:
            if any(t not in region.flow.live for t in region.tail):
                raise _Refused("one time step does not show what it remembers; read the network with two steps or more")
            return _stateless(lambda x: replay.run(x.unsqueeze(0))[0])
        _require_sum(replay)
        neuron = measured(replay, replay.constants(), "a neuron in the forward pass")
        if neuron is None:
            return _stateless(lambda x: replay.run(x.expand(replay.longest, -1))[-1])
        return "neuron", neuron, ""
    except NotReplayable as error:
        raise _Refused(str(error)) from error
    except UnknownNeuron as error:
        raise _Refused(error.reason) from error


def _require_sum(replay: Replay) -> None:
    """Two inputs (feed-forward and recurrent) must act as their sum."""
    if max(len(d) for d in replay.drives) == 1:
        return
    if max(len(d) for d in replay.drives) > 2:
        raise _Refused("more than two inputs enter it")
    generator = torch.Generator().manual_seed(2)
    x, other = (torch.randint(-16, 17, (replay.longest, 512), generator=generator) / 8 for _ in range(2))
    if not torch.equal(replay.run(x), replay.split(x, other)):
        raise _Refused("two inputs enter it that do not act as their sum")


def _stateless(function: Callable[[Tensor], Tensor]) -> tuple[Op | None, Neuron | None, str]:
    """What a stateless elementwise function is, read from its values."""
    wide = torch.logspace(-4, 4, 400)
    x = torch.cat([-wide, torch.zeros(1), wide, torch.linspace(-8, 8, 1601), torch.linspace(-1.5, 1.5, 601)]).sort()[0]
    y = function(x)
    if torch.equal(y, x):
        return None, None, ""
    if torch.equal(y, x.clamp(min=0)):
        return "relu", None, ""
    snapped = torch.where((y - y.round()).abs() < 1e-5, y.round(), y)
    levels = torch.unique(snapped)
    change = snapped.diff()
    if not 2 <= levels.numel() <= 300 or (bool((change > 0).any()) and bool((change < 0).any())):
        raise _Refused("neither a step, nor a staircase, nor a ReLU")
    low, high = float(levels[0]), float(levels[-1])
    if levels.numel() == 2:
        note = "" if (low, high) == (-1.0, 1.0) else f"times {high:g}" if low == -high else f"{low:g} or {high:g}"
        return "sign", None, note
    if snapped[x == 0].numel() and levels.numel() == 3 and low == -high and bool((snapped[x != 0] != 0).all()):
        return "sign", None, "" if high == 1 else f"times {high:g}"
    return ("relu" if low >= 0 else None), None, f"quantised to {levels.numel()} levels"


# where it is


def _common(paths: Iterable[str]) -> str:
    """The innermost module that all these paths are inside of."""
    parts = [p.split(".") if p else [] for p in paths]
    common = []
    for names in zip(*parts, strict=False):
        if len(set(names)) > 1:
            break
        common.append(names[0])
    return ".".join(common)


def _internal(flow: _Flow, inside: set[int]) -> set[Place]:
    """Calls that compute nothing but this layer."""
    made: defaultdict[int, list[int]] = defaultdict(list)
    for node in flow.nodes:
        made[node.call].append(node.index)
    return {flow.tape.calls[c].place for c, nodes in made.items() if c >= 0 and all(n in inside for n in nodes)}


def _roles(
    flow: _Flow, layer: int, drives: list[list[int]], results: list[int], inside: set[int]
) -> dict[Place, list[Role]]:
    """Where a later run sees the input and the output of every step."""
    roles: defaultdict[Place, list[Role]] = defaultdict(list)
    calls = flow.tape.calls
    users = sorted({flow.nodes[n].call for n in inside})
    begin = 0
    for entering, result in zip(drives, results, strict=True):
        for k, drive in enumerate(entering):
            at = next((c for c in users if c >= begin and drive in calls[c].before), None)
            if at is None:
                raise _Refused("its input is not seen by any torch call")
            roles[calls[at].place].append(Role(layer, "drive", calls[at].before.index(drive), k == 0))
        at, role = _seen(flow, layer, result)
        roles[calls[at].place].append(role)
        begin = at + 1 if drives.count(entering) > 1 else 0
    return roles


def _seen(flow: _Flow, layer: int, result: int) -> tuple[int, Role]:
    made = flow.nodes[result].call
    for at in range(max(made, 0), len(flow.tape.calls)):
        call = flow.tape.calls[at]
        if result in call.results:
            return at, Role(layer, "result", call.results.index(result))
        if result in call.after and result not in call.before:
            return at, Role(layer, "written", call.after.index(result))
        if result in call.before:
            return at, Role(layer, "passed", call.before.index(result))
    raise _Refused("its output is not seen by any torch call")


