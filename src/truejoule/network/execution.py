"""What one careful forward pass leaves behind: executions of layers, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from truejoule.network.interpret import Names
from truejoule.network.provenance import Origins
from truejoule.network.recognise import Operation
from truejoule.workload import NotUnderstood
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


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Everything seen in one pass, in order."""

    executions: tuple[Execution, ...]
    names: Names
    refused: tuple[NotUnderstood, ...]
    output: Any


@dataclass(frozen=True, slots=True)
class Leaf:
    """A module taken as a whole: ``op`` of its layer, ``None`` where values pass through (identity, quantiser)."""

    op: Op | None
    note: str = ""


def strip(qualified: str) -> str:
    """``conv1.weight`` → ``conv1``; ``conv1.parametrizations.weight.original0`` → ``conv1``; ``w1`` → ``w1``."""
    if ".parametrizations." in f".{qualified}":
        return f".{qualified}".split(".parametrizations.")[0].lstrip(".")
    if "." not in qualified:
        return qualified
    for suffix in (".weight", ".weight_orig", ".weight_v", ".weight_g"):
        qualified = qualified.removesuffix(suffix)
    return qualified
