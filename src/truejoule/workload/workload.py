"""What a network asks of hardware: layers, edges and activity. Pure numbers."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from truejoule.errors import InputError, did_you_mean, some
from truejoule.workload.activity import Activity, LayerActivity
from truejoule.workload.layer import REAL, Layer


@dataclass(frozen=True, slots=True)
class Edge:
    """Data flows from ``source`` to ``target``; ``recurrent`` if it carries a value of the previous time step."""

    source: str
    target: str
    recurrent: bool = False


def _sorted(names: Sequence[str], edges: Sequence[Edge], where: str) -> list[str]:
    """Names in topological order of the edges within a time step; the given order decides where the edges leave a choice.

    Raises
    ------
    InputError : for a circle of edges of which none is recurrent.
    """
    place = {name: i for i, name in enumerate(names)}
    pairs = {(e.source, e.target) for e in edges if not e.recurrent and e.source != "input"}
    waiting = dict.fromkeys(names, 0)
    targets: dict[str, list[str]] = {name: [] for name in names}
    for source, target in pairs:
        waiting[target] += 1
        targets[source].append(target)
    ready = [place[name] for name in names if not waiting[name]]
    ordered = []
    while ready:
        name = names[heapq.heappop(ready)]
        ordered.append(name)
        for target in targets[name]:
            waiting[target] -= 1
            if not waiting[target]:
                heapq.heappush(ready, place[target])
    if len(ordered) < len(names):
        raise InputError(
            "layers that wait for each other within one time step",
            where=where,
            got=some(name for name in names if waiting[name]),
            expected="no circle of edges, but for recurrent ones, which carry a value of the previous time step",
            fix="mark the edge that goes back in time: Edge(source, target, recurrent=True)",
        )
    return ordered


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """An operation of the user's network that no accelerator runs: where it is and why it is not taken."""

    where: str
    operation: str
    reason: str


@dataclass(frozen=True, slots=True)
class Workload:
    """Layers with edges and (optionally) activity.

    Attributes
    ----------
    name : for titles.
    layers : names unique; kept in an order in which every layer comes behind its sources of the same time step, else as they were given.
    edges : between layer names; ``"input"`` is the network's input.
    time_steps : T; 1 for a network without time.
    activity : measured or assumed statistics, ``None`` if nobody asked yet.
    not_understood : everything that was seen and is not modelled. Never dropped.
    """

    name: str
    layers: tuple[Layer, ...]
    edges: tuple[Edge, ...]
    time_steps: int = 1
    activity: Activity | None = None
    not_understood: tuple[NotUnderstood, ...] = ()
    _index: Mapping[str, Layer] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        index = {layer.name: layer for layer in self.layers}
        if len(index) != len(self.layers):
            raise InputError(
                "two layers of one name",
                where=self.name,
                got=str(sorted(n.name for n in self.layers)),
                expected="unique layer names",
            )
        for edge in self.edges:
            for end in (edge.source, edge.target):
                if end != "input" and end not in index:
                    raise InputError(
                        "an edge to a layer that does not exist",
                        where=f"{edge.source} → {edge.target}",
                        got=end,
                        expected="a layer name",
                        fix=did_you_mean(end, index),
                    )
        object.__setattr__(self, "layers", tuple(index[name] for name in _sorted(list(index), self.edges, self.name)))
        object.__setattr__(self, "_index", index)

    def __getitem__(self, name: str) -> Layer:
        if name not in self._index:
            raise InputError(f"no layer {name!r}", where=self.name, fix=did_you_mean(name, self._index))
        return self._index[name]

    @property
    def multiplying(self) -> tuple[Layer, ...]:
        """The layers with weights, in order."""
        return tuple(layer for layer in self.layers if layer.multiplies)

    @property
    def spiking(self) -> bool:
        return any(layer.op == "neuron" for layer in self.layers)

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates of one inference, all time steps."""
        return sum(layer.macs * layer.steps for layer in self.layers)

    @property
    def weights(self) -> int:
        return sum(layer.weights for layer in self.layers)

    def sources(self, name: str) -> tuple[str, ...]:
        """Names of the layers whose output enters ``name`` in the same time step."""
        return tuple(edge.source for edge in self.edges if edge.target == name and not edge.recurrent)

    def bits_behind(self, name: str) -> int | None:
        """Width of what leaves an activation, as those see it that take it; ``None`` where nobody does, or one sees no integers."""
        taken = [self[e.target].input_bits for e in self.edges if e.source == name]
        return max(taken) if taken and max(taken) < REAL else None

    def activity_of(self, name: str) -> LayerActivity:
        """Activity of one layer.

        Raises
        ------
        InputError : if nothing was measured or assumed.
        """
        if self.activity is None or name not in self.activity.layers:
            raise InputError(
                "this workload has no activity",
                where=f"{self.name}, layer {name}",
                expected="measured statistics, or a named profile",
                fix="observe it with data, or use with_profile(...)",
            )
        return self.activity.layers[name]

    def with_activity(self, activity: Activity) -> Workload:
        return replace(self, activity=activity)

    def table(self, format: Literal["text", "csv", "latex"] = "text") -> str:
        """One row per layer: loops, steps, weights, MACs, bits, density, spikes, neuron."""
        from truejoule.workload.table import table

        return table(self, format)

    def dataframe(self) -> Any:
        """``table`` as a pandas data frame. Raises ``InputError`` where pandas is not installed."""
        from truejoule.workload.table import dataframe

        return dataframe(self)

    def synaptic_operations(self) -> float:
        """Effective accumulates of one inference: dense MACs times input density, per layer and step (the SynOps proxy)."""
        return sum(layer.macs * sum(self.activity_of(layer.name).density()) for layer in self.multiplying)
