"""The operations of one written-out layer on a tape: where its input enters, and where its answers become data."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import torch

from truejoule.network.comparisons import Comparisons, Group, closure
from truejoule.network.inline import Place
from truejoule.network.operands import Constant
from truejoule.network.replay import NotReplayable, Replay
from truejoule.network.tape import Tape

_SCALINGS = ("mul", "div", "neg", "_to_copy")


class Refused(Exception):  # noqa: N818 - internal signal
    """A comparison that becomes data in a way that no record can say."""


class Flow:
    """Which values of a tape arrive where."""

    def __init__(self, tape: Tape) -> None:
        self.tape, self.nodes = tape, tape.nodes
        self.consumers: defaultdict[int, list[int]] = defaultdict(list)
        for node in self.nodes:
            for parent in node.parents:
                self.consumers[parent].append(node.index)
        # A layer counts as a use even if its answer comes too late in the last steps to reach the output.
        self.live = {*tape.outputs, *(node.index for node in self.nodes if node.kind == "layer")}
        self.feeds = set[int]()
        for node in reversed(self.nodes):
            if node.index in self.live:
                self.live.update(node.parents)
                if node.index in self.feeds or node.kind == "layer":
                    self.feeds.update(node.parents)
        self.taken: set[int] = set()
        self.judged: dict[
            Any, Any
        ] = {}  # programs that were judged before: layers of a network are mostly written alike

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


class Region:
    """The operations of one group, from where its input enters to where its answers leave."""

    def __init__(self, flow: Flow, comparisons: Comparisons, group: Group, state_first: bool) -> None:
        self.flow, self.nodes, self.group, self.binary = flow, flow.nodes, group, comparisons.binary
        self.still, self.state_first = group.still(flow.nodes), state_first
        if group.lost:
            raise Refused("its state passes through an operation that is not elementwise")
        if group.mixed:
            raise Refused(group.mixed)
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

    @property
    def unused(self) -> bool:
        """Whether something is kept that this forward pass has no use for: a state, after the only time step."""
        return any(index not in self.flow.live for index in self.tail)

    # where the input enters

    def ways(self) -> list[list[list[int]]]:
        """Per time step, the values that enter (one, or several whose sum enters): every choice of where it begins."""
        if self.steps == 1:
            return [[[entry]] for entry in self._single()]
        entries = [self._entries(step) for step in range(1, self.steps)]
        unscaled = [sorted(self._unscaled(e) for e in step) for step in entries]
        ways = [way for way in (self._from_first_step(e) for e in (entries, unscaled)) if way]
        if not ways:
            raise Refused("what enters it changes from one time step to the next")
        return ways

    def _from_first_step(self, entries: list[list[int]]) -> list[list[int]] | None:
        """With what enters in the first time step, where there is no state yet; ``None`` if it cannot be told."""
        shapes = {tuple(self._signature(e) for e in step) for step in entries}
        if len(shapes) > 1:
            return None
        wanted = shapes.pop()
        found = [self._first(signature, entries[0][k]) for k, signature in enumerate(wanted)]
        first = [f for f in found if f is not None]
        return [first, *entries] if first else None

    def _single(self) -> list[int]:
        """Values of which all of it is a function, the last one first."""
        targets = [*self.own, *(t for t in self.tail if t in self.flow.live)]
        candidates = {p for n in self._operations for p in self.nodes[n].parents} - set(self.own)
        found = []
        for candidate in sorted(candidates, reverse=True):
            program, others = closure(self.nodes, targets, {candidate})
            between = {n for n in program if n not in self.own and n not in self.tail}
            if not others and not any(self.flow.leaving(n, {*program, *self.inside}) for n in between):
                found.append(candidate)
        return found

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
            raise Refused("nothing enters it in some time step")
        if len(entering) > 1:
            leaves = {leaf for e in entering for leaf in self._leaves(e)}
            entering = leaves if len(leaves) == 1 else entering
        return sorted(entering)

    def _leaves(self, index: int) -> set[int]:
        if index not in self.fresh:
            return {index}
        return {leaf for p in self.nodes[index].parents for leaf in self._leaves(p)}

    def _unscaled(self, index: int) -> int:
        """A gain on the input belongs to the neuron: go back over it."""
        while index in self.fresh and self.nodes[index].name in _SCALINGS and len(self.nodes[index].parents) == 1:
            if any(
                isinstance(a, Constant) and (a.value is None or a.value.numel() > 1) for a in self.nodes[index].args
            ):
                break  # a scale per channel stays outside
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
                raise Refused("its membrane potential is used as data")
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
            raise Refused("more than its own input and state enter it")
        reading = [(d, n) for n in program for d in self.nodes[n].parents if d in self.still and d in every]
        uses = {(d, n): self._step(d, n) for d, n in reading}
        replay = Replay([self.nodes[i] for i in program], drives, results, uses)
        if max(map(len, self.several)) > 1:
            _require_equal(replay, self.several)
        upstream = closure(self.nodes, every, set())[0]
        self.inside = {*program, *self.own, *self.counts, *self.tail, *self.memory} - set(upstream)
        return replay


def _require_equal(replay: Replay, results: list[list[int]]) -> None:
    try:
        shape = (len(results), 64, replay.neurons)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 3
        base = replay.run(x)
        for pick in range(1, max(len(r) for r in results)):
            others = [r[min(pick, len(r) - 1)] for r in results]
            if not torch.equal(base, replace(replay, results=others).run(x)):
                raise Refused("more than one value of it becomes data")
    except NotReplayable as error:
        raise Refused(str(error)) from error
