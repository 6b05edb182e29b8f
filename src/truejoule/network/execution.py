"""What one careful forward pass leaves behind: executions of layers, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from truejoule.network.interpret import Names
from truejoule.network.operation import Operation
from truejoule.network.provenance import Origins, union
from truejoule.workload import Neuron, NotUnderstood
from truejoule.workload.layer import Op

INPUT = "input"


@dataclass(frozen=True, slots=True, eq=False)
class Execution:
    """One execution of one layer; ``sources`` holds the origins of each data operand."""

    name: str
    op: Op
    path: str
    index: int
    sources: tuple[Origins, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    operation: Operation | None
    note: str = ""


PASSING = frozenset({"norm", "relu", "sign", "max_pool", "avg_pool", "add"})
"""Operations that neither mix features nor remember: behind them the data still come from the same place."""


class History:
    """The executions so far, by name and index."""

    def __init__(self) -> None:
        self._executions: dict[tuple[str, int], Execution] = {}
        self._anchors: dict[tuple[str, int], Origins] = {}

    def add(self, execution: Execution) -> None:
        self._executions[execution.name, execution.index] = execution

    def anchors(self, origins: Origins) -> Origins:
        """The nearest layers with weights, neurons or the input that values come from, looking through norms, pooling and additions."""
        return union(self._anchors_of(name, index) for name, index in origins.items())

    def over_time(self, a: Origins, b: Origins) -> bool:
        """Whether two operands are the same layer's values, or those of different executions of it behind norms of their own."""
        if set(a) == set(b):
            return True
        first, second = self.anchors(a), self.anchors(b)
        return set(first) == set(second) and all(first[name] != second[name] for name in first)

    def one_place(self, executions: Sequence[Execution]) -> bool:
        """Whether all executions of a layer get their data from the same place of the network."""
        return self.elsewhere(executions) is None

    def elsewhere(self, executions: Sequence[Execution]) -> Execution | None:
        """The first execution whose data come from another place than those of the first one."""
        start = self.current(executions[0])
        return next((e for e in executions[1:] if start and not start & self.current(e)), None)

    def current(self, execution: Execution) -> set[str]:
        """Where data come from, but for what is merely left over from earlier executions."""
        return {
            s
            for s, index in self.anchors(execution.sources[0]).items()
            if s == INPUT or index >= execution.index or (index == 0 and s != execution.name)
        }

    def _anchors_of(self, name: str, index: int) -> Origins:
        key = (name, index)
        if key not in self._anchors:
            execution = self._executions.get(key)
            passing = execution is not None and execution.op in PASSING
            before = union(execution.sources) if execution is not None and passing else {}
            self._anchors[key] = self.anchors(before) if before else {name: index}
        return self._anchors[key]


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Everything seen in one pass, in order."""

    executions: tuple[Execution, ...]
    names: Names
    refused: tuple[NotUnderstood, ...]
    output: Any
    neurons: Mapping[str, Neuron] = field(default_factory=dict)
    """Semantics of the neurons that have no module."""
    shared: Mapping[str, str] = field(default_factory=dict)
    """Later place of a neuron object → the first place, whose state it goes on with."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A module taken as a whole: ``op`` of its layer, ``None`` where values pass through (identity, quantiser)."""

    op: Op | None
    note: str = ""


def strip(qualified: str) -> str:
    """``conv1.weight`` → ``conv1``, also where it is pruned, parametrised or compiled; ``w1`` → ``w1``."""
    if ".parametrizations." in f".{qualified}":
        qualified = f".{qualified}".split(".parametrizations.")[0].lstrip(".")
    elif "." in qualified:
        for suffix in (".weight", ".weight_orig", ".weight_mask", ".weight_v", ".weight_g"):
            qualified = qualified.removesuffix(suffix)
    return plain_path(qualified)


def plain_path(path: str) -> str:
    """A module path without the wrappers that ``torch.compile`` puts around modules."""
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


def base_name(module: nn.Module, path: str, title: str, parameters: bool) -> str:
    """Name of a layer without weights: that of its module if this does nothing else; ``parameters``: it may have some."""
    alone = not any(True for _ in module.children()) and (parameters or not any(True for _ in module.parameters()))
    return title if not path else path if alone else f"{path}.{title}"
