"""Where each layer of a workload lives on a machine."""

from __future__ import annotations

from dataclasses import dataclass, replace

from truejoule.workload import Workload


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one layer lives.

    Attributes
    ----------
    units : indices of the tiles or cores it occupies.
    arrays : how many arrays (crossbars, macros) hold its weights, or how often one array is filled.
    row_blocks, column_blocks : how it is cut.
    utilisation : share of its arrays that is in use.
    """

    layer: str
    units: tuple[int, ...]
    arrays: int
    row_blocks: int
    column_blocks: int
    utilisation: float


@dataclass(frozen=True, slots=True)
class Transfer:
    """Values that travel from one layer's units to another's in one time step.

    Attributes
    ----------
    elements, bits : values per sample and step, and the width of one.
    hops : mean number of network hops.
    """

    source: str
    target: str
    elements: int
    bits: int
    hops: float


@dataclass(frozen=True, slots=True)
class Mapping:
    """Where each layer lives.

    Attributes
    ----------
    workload : what was mapped.
    placements : per layer with weights, in order of execution.
    transfers : between layers with weights; what lies between them (norm, neuron, pool, add) works where its input is made.
    units, grid, unit_name : number of tiles or cores, their arrangement (rows, columns), and what the machine calls them.
    array_name, in_use : what ``arrays`` of a placement counts (``"crossbar"``), and what its utilisation is a share of (``"cells"``).
    warnings : what the user should know.
    """

    workload: Workload
    placements: tuple[Placement, ...]
    transfers: tuple[Transfer, ...]
    units: int
    grid: tuple[int, int]
    unit_name: str
    array_name: str
    in_use: str
    warnings: tuple[str, ...] = ()

    def telling(self, *warnings: str) -> Mapping:
        """The same mapping with something more to tell."""
        return replace(self, warnings=(*self.warnings, *warnings))

    def placement(self, layer: str) -> Placement:
        return next(p for p in self.placements if p.layer == layer)

    @property
    def arrays(self) -> int:
        return sum(p.arrays for p in self.placements)

    @property
    def utilisation(self) -> float:
        """Share of all arrays that is in use."""
        return sum(p.utilisation * p.arrays for p in self.placements) / max(self.arrays, 1)
