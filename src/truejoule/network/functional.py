"""Neurons and activations that a forward pass computes by itself, without a module: found, tried and recorded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from truejoule.network.comparisons import Comparisons, Group, Predicate, find, is_comparison, is_rounding
from truejoule.network.execution import Leaf
from truejoule.network.inline import Inline, Place, Role
from truejoule.network.judge import judge
from truejoule.network.recognise import THRESHOLD
from truejoule.network.region import Flow, Refused, Region
from truejoule.network.tape import record
from truejoule.workload import Neuron, NotUnderstood
from truejoule.workload.layer import Op

_LOST = frozenset(
    """
    index masked_select nonzero where masked_fill index_put masked_scatter argmax argmin argsort sort topk
    bucketize searchsorted unique unique_dim _unique2
    """.split()
)
"""Operations behind which nobody can say what a comparison did."""
_ANSWERS = ("argmax", "argmin", "argsort", "sort", "topk")
"""Harmless where the network ends: the class that won."""


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
    flow, found = Flow(record(module, x, leaves, forward)), Functional()
    for is_root in (is_comparison, is_rounding):
        comparisons, settled = _settled(flow, is_root)
        for group, outcome in settled:
            try:
                _take(flow, outcome, found)
            except Refused as refusal:
                path = flow.place(group.roots[0]).path or "forward"
                found.refused.append(NotUnderstood(path, "threshold", f"{THRESHOLD}: {refusal}"))
        if is_root is is_comparison:
            found.refused += _lost(flow, comparisons)
    return found


def _take(flow: Flow, outcome: Outcome | Refused | None, found: Functional) -> None:
    if outcome is None:
        return
    if isinstance(outcome, Refused):
        raise outcome
    roles = _roles(flow, len(found.layers), outcome) if outcome.written.op is not None else {}
    flow.taken |= outcome.inside
    found.layers.append(outcome.written)
    found.inline.add(roles, _internal(flow, outcome.inside))


def _settled(flow: Flow, is_root: Predicate) -> tuple[Comparisons, list[tuple[Group, Outcome | Refused | None]]]:
    """Every group with what it is. Spikes made with a soft backward path are only known as such once their group is
    understood, so that groups behind them are looked at again."""
    spikes: dict[int, frozenset[int]] = {}
    understood: dict[tuple[int, ...], Outcome | None] = {}
    while True:
        comparisons = find(flow.tape, is_root, spikes)
        settled: list[tuple[Group, Outcome | Refused | None]] = []
        for group in comparisons.groups:
            key = tuple(group.roots)
            try:
                if key not in understood:
                    understood[key] = _settle(flow, comparisons, group, is_root)
                settled.append((group, understood[key]))
            except Refused as refusal:
                settled.append((group, refusal))
        more = {
            result: frozenset(r for r in group.roots if group.step_of_root(r) == step)
            for group, outcome in settled
            if isinstance(outcome, Outcome)
            for step, result in enumerate(outcome.results)
            if result not in comparisons.binary
        }
        if not more:
            return comparisons, settled
        spikes |= more


@dataclass(frozen=True, slots=True)
class Outcome:
    """A group that was understood: per time step what enters, and the values that become data."""

    written: Written
    drives: list[list[int]]
    results: list[int]
    several: list[list[int]]
    inside: set[int]


def _lost(flow: Flow, comparisons: Comparisons) -> list[NotUnderstood]:
    """Decisions that are no comparison of element with element, and comparisons that pass through a choice."""
    refused = []
    for node in flow.nodes:
        if node.kind != "mixed" or not node.deep or node.index not in flow.live:
            continue
        answers = any(p in comparisons.binary or not flow.nodes[p].dtype.is_floating_point for p in node.parents)
        decides = not node.dtype.is_floating_point and not answers
        ends = node.name in _ANSWERS and node.index not in flow.feeds
        if (decides or (answers and node.name in _LOST)) and not ends:
            path = flow.place(node.index).path
            refused.append(NotUnderstood(path or "forward", "threshold", f"{THRESHOLD} ({node.name})"))
    return refused


def _settle(flow: Flow, comparisons: Comparisons, group: Group, is_root: Predicate) -> Outcome | None:
    """What a group is; ``None`` where it needs no record: bookkeeping, a quantiser, or a sign that is seen by name."""
    if not any(root in flow.live for root in group.roots):
        return None
    if is_root is is_rounding and (len(group.ends) < 2 or flow.taken & {*group.roots, *group.analog}):
        return None
    by_name = all(flow.place(r).title in ("sign", "sign_", "sgn") for r in group.roots)
    try:
        outcome = _understood(flow, comparisons, group)
    except Refused:
        if by_name:
            return None
        raise
    return None if by_name and len(outcome.inside) == len(group.roots) else outcome


def _understood(flow: Flow, comparisons: Comparisons, group: Group) -> Outcome:
    """An input that is the same tensor in every step may be read first for the state and last for the step, or not."""
    problem: Refused | None = None
    for state_first in (False, True) if group.still(flow.nodes) else (False,):
        try:
            region = Region(flow, comparisons, group, state_first)
            results, ways = region.results(), region.ways()
        except Refused as error:
            problem = problem or error
            continue
        for drives in ways:
            try:
                op, neuron, note = judge(region.replay(drives, results), region.steps, region.unused)
            except Refused as error:
                problem = problem or error
                continue
            written = Written(op, neuron, note, _common([flow.place(n).path for n in region.inside]))
            return Outcome(written, drives, results, region.several, region.inside)
    raise problem or Refused("it compares values of different layers")


def _common(paths: Iterable[str]) -> str:
    """The innermost module that all these paths are inside of."""
    parts = [p.split(".") if p else [] for p in paths]
    common = []
    for names in zip(*parts, strict=False):
        if len(set(names)) > 1:
            break
        common.append(names[0])
    return ".".join(common)


def _internal(flow: Flow, inside: set[int]) -> set[Place]:
    """Calls that compute nothing but this layer."""
    made: defaultdict[int, list[int]] = defaultdict(list)
    for node in flow.nodes:
        made[node.call].append(node.index)
    return {flow.tape.calls[c].place for c, nodes in made.items() if c >= 0 and all(n in inside for n in nodes)}


def _roles(flow: Flow, layer: int, outcome: Outcome) -> dict[Place, list[Role]]:
    """Where a later run sees the input and the output of every step."""
    roles: defaultdict[Place, list[Role]] = defaultdict(list)
    calls = flow.tape.calls
    users = sorted({flow.nodes[n].call for n in outcome.inside})
    begin = 0
    for entering, results in zip(outcome.drives, outcome.several, strict=True):
        seen = []
        for drive in entering:
            at = next((c for c in users if c >= begin and drive in calls[c].before), None)
            if at is None:
                raise Refused("its input is not seen by any torch call")
            seen.append((at, calls[at].before.index(drive)))
        for k, (at, position) in enumerate(sorted(seen)):
            roles[calls[at].place].append(Role(layer, "drive", position, k == 0))
        at = 0
        for k, result in enumerate(results):
            at, role = _seen(flow, layer, result, k == 0)
            roles[calls[at].place].append(role)
        begin = at + 1 if outcome.drives.count(entering) > 1 else 0
    return roles


def _seen(flow: Flow, layer: int, result: int, first: bool) -> tuple[int, Role]:
    made = flow.nodes[result].call
    for at in range(max(made, 0), len(flow.tape.calls)):
        call = flow.tape.calls[at]
        if result in call.results:
            return at, Role(layer, "result", call.results.index(result), first)
        if result in call.after and result not in call.before:
            return at, Role(layer, "written", call.after.index(result), first)
        if result in call.before:
            return at, Role(layer, "passed", call.before.index(result), first)
    raise Refused("its output is not seen by any torch call")
